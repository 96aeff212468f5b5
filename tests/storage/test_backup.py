from __future__ import annotations

import contextlib
import gzip
import io
import json
import sqlite3
import stat
import tarfile
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fedidoc.storage import backup
from fedidoc.storage.backup import BackupError, Place
from fedidoc.storage.engine import Database

NOW = 1_795_453_140_000


async def put(url: str, value: str) -> None:
    db = await Database.open(url)
    async with db.transaction() as tx:
        await tx.execute("DELETE FROM settings")
        await tx.execute("INSERT INTO settings (name, value) VALUES (?, ?)", ("note", value))
    await db.close()


async def read(url: str) -> str | None:
    db = await Database.open(url)
    try:
        value: str | None = await db.fetch_value(
            "SELECT value FROM settings WHERE name = ?", ("note",)
        )
        return value
    finally:
        await db.close()


@pytest.fixture
def place(any_database_url: str, tmp_path: Path) -> Place:
    media = tmp_path / "home" / "media"
    media.mkdir(parents=True)
    (media / "3k9.webp").write_bytes(b"picture" * 1000)
    config = tmp_path / "home" / "config.toml"
    config.write_text('[instance]\ndomain = "a.example"\n')
    return Place("a.example", any_database_url, media, config)


async def test_what_was_saved_comes_back(place: Place, tmp_path: Path) -> None:
    await put(place.database_url, "before")
    target = tmp_path / "b.tar.gz"
    saved = backup.save(place, target, now_ms=NOW)
    assert (saved.domain, saved.files, saved.has_config) == ("a.example", 3, True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    await put(place.database_url, "after")
    (place.media / "3k9.webp").unlink()
    (place.media / "new.webp").write_bytes(b"new")

    restored = backup.restore(target, place, force=True, now_ms=NOW)
    assert restored == saved
    assert await read(place.database_url) == "before"
    assert [p.name for p in place.media.iterdir()] == ["3k9.webp"]
    assert (place.media / "3k9.webp").read_bytes() == b"picture" * 1000
    assert place.config is not None
    assert backup.configuration(target) == place.config.read_bytes()
    # Nothing temporary is left, and the pictures that were replaced are kept.
    assert {p.name for p in place.media.parent.iterdir()} == {
        "config.toml",
        "media",
        f"media.replaced-{NOW // 1000}",
    }
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".") or "partial" in p.name]


async def test_a_backup_without_the_configuration_does_not_hold_it(
    place: Place, tmp_path: Path
) -> None:
    target = tmp_path / "b.tar.gz"
    assert backup.save(replace(place, config=None), target, now_ms=NOW).has_config is False
    assert b"a.example" not in gzip.decompress(target.read_bytes()).split(b"manifest.json")[0]
    assert backup.configuration(target) is None


async def test_a_restore_refuses_to_overwrite_without_force(place: Place, tmp_path: Path) -> None:
    await put(place.database_url, "before")
    target = tmp_path / "b.tar.gz"
    backup.save(place, target, now_ms=NOW)
    await put(place.database_url, "after")
    with pytest.raises(BackupError):
        backup.restore(target, place, force=False, now_ms=NOW)
    assert await read(place.database_url) == "after"
    assert (place.media / "3k9.webp").exists()


@pytest.fixture
def small(database_url: str, tmp_path: Path) -> Place:
    if not database_url.startswith("sqlite"):
        pytest.skip("about the archive, which is the same for both databases")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").write_bytes(b"a" * 5000)
    return Place("a.example", database_url, tmp_path / "media")


async def test_it_is_taken_while_the_server_writes(small: Place, tmp_path: Path) -> None:
    """The copy is of one moment, also with a transaction open and a write-ahead log in use."""
    db = await Database.open(small.database_url)
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO settings (name, value) VALUES (?, ?)", ("note", "committed"))
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO settings (name, value) VALUES (?, ?)", ("half", "open"))
        backup.save(small, tmp_path / "b.tar.gz", now_ms=NOW)
    await db.close()
    elsewhere = replace(
        small, database_url=f"sqlite:///{tmp_path}/x/db.sqlite", media=tmp_path / "x" / "media"
    )
    backup.restore(tmp_path / "b.tar.gz", elsewhere, force=False, now_ms=NOW)
    with closing(sqlite3.connect(tmp_path / "x" / "db.sqlite")) as copy:
        assert copy.execute("SELECT name FROM settings").fetchall() == [("note",)]


async def test_a_replaced_database_is_kept_whole(small: Place, tmp_path: Path) -> None:
    await put(small.database_url, "first")
    backup.save(small, tmp_path / "b.tar.gz", now_ms=NOW)
    await put(small.database_url, "second")
    backup.restore(tmp_path / "b.tar.gz", small, force=True, now_ms=NOW)
    assert await read(small.database_url) == "first"
    assert await read(f"{small.database_url}.replaced-{NOW // 1000}") == "second"


async def test_a_replaced_database_is_kept_whole_after_a_crash(
    small: Place, tmp_path: Path
) -> None:
    """A server that was killed leaves its last changes in the write-ahead log."""
    backup.save(small, tmp_path / "b.tar.gz", now_ms=NOW)
    database = Path(small.database_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(database)) as killed:
        killed.execute("PRAGMA journal_mode=WAL")
        killed.execute("PRAGMA wal_autocheckpoint=0")
        killed.execute("INSERT INTO settings (name, value) VALUES ('note', 'in the log')")
        killed.commit()
        left = {path: path.read_bytes() for path in database.parent.glob("fedidoc.db*")}
    assert any(path.name.endswith("-wal") for path in left)
    for path, data in left.items():
        path.write_bytes(data)
    backup.restore(tmp_path / "b.tar.gz", small, force=True, now_ms=NOW)
    assert await read(f"{small.database_url}.replaced-{NOW // 1000}") == "in the log"
    assert await read(small.database_url) is None


def test_an_existing_file_is_never_overwritten(small: Place, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    target.write_text("precious")
    with pytest.raises(BackupError, match="exists already"):
        backup.save(small, target, now_ms=NOW)
    assert target.read_text() == "precious"


def test_a_missing_database_is_said(small: Place, tmp_path: Path) -> None:
    lost = replace(small, database_url=f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(BackupError, match="no database"):
        backup.save(lost, tmp_path / "b.tar.gz", now_ms=NOW)
    assert not (tmp_path / "b.tar.gz").exists()
    assert not (tmp_path / "none.db").exists()


def test_damage_is_found_wherever_it_is(small: Place, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    backup.save(small, target, now_ms=NOW)
    assert backup.check(target).files == 2
    whole = gzip.decompress(target.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == ["database.sqlite", "media/a.png", "manifest.json"]
    places = [entry.offset + 5 for entry in entries]
    places += [e.offset_data + e.size * part // 10 for e in entries[:2] for part in range(10)]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 0x55
        # Compressed anew, so that gzip's own sum fits again.
        target.write_bytes(gzip.compress(bytes(changed), 1))
        with pytest.raises(BackupError):
            backup.check(target)


async def test_nothing_is_changed_by_a_damaged_backup(small: Place, tmp_path: Path) -> None:
    await put(small.database_url, "first")
    target = tmp_path / "b.tar.gz"
    backup.save(small, target, now_ms=NOW)
    await put(small.database_url, "second")
    whole = bytearray(gzip.decompress(target.read_bytes()))
    whole[whole.index(b"a" * 5000) + 100] = ord("b")
    target.write_bytes(gzip.compress(bytes(whole)))
    with pytest.raises(BackupError, match="damaged"):
        backup.restore(target, small, force=True, now_ms=NOW)
    assert await read(small.database_url) == "second"
    assert (small.media / "a.png").read_bytes() == b"a" * 5000
    assert not list(tmp_path.glob("*.replaced-*"))


def test_a_file_that_was_cut_short_is_refused(small: Place, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    backup.save(small, target, now_ms=NOW)
    whole = target.read_bytes()
    for length in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        target.write_bytes(whole[:length])
        with pytest.raises(BackupError):
            backup.check(target)
    with pytest.raises(BackupError, match="no file"):
        backup.check(tmp_path / "other.tar.gz")


def test_damage_to_the_compressed_stream_is_said_in_words(small: Place, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    backup.save(small, target, now_ms=NOW)
    whole = target.read_bytes()
    content = gzip.decompress(whole)
    for place in range(0, len(whole), max(1, len(whole) // 200)):
        if 3 < place < 10:
            continue  # gzip's header: time and system, which nothing depends on
        changed = bytearray(whole)
        changed[place] ^= 0x10
        with contextlib.suppress(OSError, EOFError, zlib.error):
            if gzip.decompress(changed) == content:
                continue  # a repetition that is copied from another place: the same bytes
        target.write_bytes(changed)
        with pytest.raises(BackupError):
            backup.check(target)


def hostile(path: Path, *names: str, kind: bytes = tarfile.REGTYPE) -> None:
    with tarfile.open(path, "w:gz") as archive:
        entries = {}
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, 1 * (kind == tarfile.REGTYPE), "/etc"
            archive.addfile(entry, io.BytesIO(b"x"))
            entries[name] = {"bytes": 1, "sha256": "0" * 64}
        manifest = json.dumps(
            {"format": 1, "domain": "a", "database": "sqlite", "made": "", "entries": entries}
        ).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(manifest)
        archive.addfile(entry, io.BytesIO(manifest))


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/escaped", "media/../../escaped", "media/..", "media/a/b", "other"]
)
def test_a_hostile_archive_writes_nowhere(name: str, tmp_path: Path) -> None:
    hostile(tmp_path / "h.tar.gz", name)
    with pytest.raises(BackupError, match="not a backup"):
        backup.check(tmp_path / "h.tar.gz")
    assert not (tmp_path.parent / "escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_only_files_are_taken_from_an_archive(kind: bytes, tmp_path: Path) -> None:
    hostile(tmp_path / "h.tar.gz", "media/x", kind=kind)
    with pytest.raises(BackupError, match="not a backup"):
        backup.check(tmp_path / "h.tar.gz")


def test_a_name_may_come_once(tmp_path: Path) -> None:
    hostile(tmp_path / "h.tar.gz", "media/x", "media/x")
    with pytest.raises(BackupError, match="not a backup"):
        backup.check(tmp_path / "h.tar.gz")


async def test_a_backup_of_another_house_is_refused(small: Place, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    backup.save(small, target, now_ms=NOW)
    with pytest.raises(BackupError, match="cannot move to another domain"):
        backup.restore(target, replace(small, domain="b.example"), force=True, now_ms=NOW)
    other = replace(small, database_url="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(BackupError, match="sqlite database"):
        backup.restore(target, other, force=True, now_ms=NOW)


def test_a_password_never_stands_among_the_arguments() -> None:
    with backup._connection("postgresql://u%40x:p%3Aw@db.internal:5433/fedidoc") as environment:
        assert environment["PGPASSWORD"] == "p:w"
        assert environment["PGUSER"] == "u@x"
        assert (environment["PGHOST"], environment["PGPORT"]) == ("db.internal", "5433")
        assert environment["PGDATABASE"] == "fedidoc"
