"""A whole instance in one file, and back: database, pictures, and the configuration if asked for.

The file is a gzip-compressed tar. `manifest.json`, its last entry, holds the format's number, the
domain, the kind of database, the time, and the size and SHA-256 of every other entry; a restore
checks all of them before it changes anything.

SQLite is copied with its backup API (https://sqlite.org/backup.html), which gives one consistent
moment while the server runs. PostgreSQL is dumped with pg_dump's custom format.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fedidoc.errors import FedidocError

FORMAT = 1
_MANIFEST = "manifest.json"
_SQLITE, _DUMP, _CONFIG = "database.sqlite", "database.dump", "config.toml"
_NAME = re.compile(
    r"manifest\.json|database\.sqlite|database\.dump|config\.toml|media/[\w.-]{1,200}"
)
_PREFIX = "sqlite:///"


class BackupError(FedidocError):
    """The backup or the restore was not done; nothing was changed."""


@dataclass(frozen=True)
class Place:
    """What of an instance is saved, and where it lies."""

    domain: str
    database_url: str
    media: Path
    config: Path | None = None

    @property
    def sqlite(self) -> Path | None:
        """The SQLite file, None for PostgreSQL."""
        if self.database_url.startswith(_PREFIX):
            return Path(self.database_url.removeprefix(_PREFIX))
        if self.database_url.startswith("sqlite:"):
            raise BackupError("A database in memory cannot be saved or restored.")
        return None


@dataclass(frozen=True)
class Contents:
    """What a backup file holds, as its checked manifest says."""

    domain: str
    database: str
    made: str
    files: int
    bytes: int
    has_config: bool


# Saving ---------------------------------------------------------------------------------------


def save(place: Place, target: Path, *, now_ms: int) -> Contents:
    """Write the backup to `target`, complete or not at all; never over an existing file."""
    if target.exists():
        raise BackupError(f"{target} exists already; name another file.")
    partial = target.with_name(target.name + ".partial")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
            database = _snapshot(place, Path(folder))
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as raw:
                contents = _write(raw, place, database, now_ms)
                raw.flush()
                os.fsync(raw.fileno())
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"The backup was not made: {_words(error)}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return contents


def _snapshot(place: Place, folder: Path) -> Path:
    if place.sqlite is None:
        target = folder / _DUMP
        _postgres("pg_dump", place.database_url, ["--format=custom", f"--file={target}"])
        return target
    if not place.sqlite.is_file():
        raise BackupError(f"There is no database at {place.sqlite}; has the instance run once?")
    target = folder / _SQLITE
    with (
        closing(sqlite3.connect(f"file:{place.sqlite}?mode=ro", uri=True, timeout=60)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    return target


def _write(raw: IO[bytes], place: Place, database: Path, now_ms: int) -> Contents:
    entries: dict[str, dict[str, Any]] = {}
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        sources = [(database.name, database)]
        if place.config is not None:
            sources.append((_CONFIG, place.config))
        sources.extend(_pictures(place.media))
        for name, path in sources:
            try:
                file = path.open("rb")
            except FileNotFoundError:
                # A picture may be deleted between the listing and now; the database's copy is of
                # an earlier moment and shows such a picture as missing, as it would anyway.
                continue
            with file:
                entries[name] = _add(archive, name, file, now_ms)
        manifest = {
            "format": FORMAT,
            "domain": place.domain,
            "database": "postgresql" if place.sqlite is None else "sqlite",
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ms // 1000)),
            "entries": entries,
        }
        _add(archive, _MANIFEST, io.BytesIO(json.dumps(manifest, indent=1).encode()), now_ms)
    return _contents(manifest)


def _pictures(media: Path) -> Iterator[tuple[str, Path]]:
    if media.is_dir():
        for path in sorted(media.iterdir()):
            if path.is_file() and _NAME.fullmatch(f"media/{path.name}"):
                yield f"media/{path.name}", path


class _Digesting(io.RawIOBase):
    """Reads `size` bytes of a file and keeps their digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data


def _add(archive: tarfile.TarFile, name: str, file: IO[bytes], now_ms: int) -> dict[str, Any]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, now_ms // 1000
    reader = _Digesting(file)
    archive.addfile(entry, reader)
    return {"bytes": size, "sha256": reader.digest.hexdigest()}


# Restoring ------------------------------------------------------------------------------------


def restore(source: Path, place: Place, *, force: bool, now_ms: int) -> Contents:
    """Put a backup's database and pictures in place, after every digest has been checked.

    Refused when there is a database or a picture already, unless `force`; then what was there is
    kept beside it under a name ending in `.replaced-<time>`. PostgreSQL: the dump goes into the
    named database in one transaction, and `force` drops the tables that are there. The
    configuration in a backup is not touched here: see `configuration`.
    """
    home = place.media.parent
    home.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".restore-") as name:
            folder = Path(name)
            contents = _unpack(source, folder)
            _agree(contents, place)
            if not force:
                _refuse_overwriting(place)
            suffix = f".replaced-{now_ms // 1000}"
            if place.sqlite is None:
                options = ["--no-owner", "--no-acl", "--single-transaction", "--exit-on-error"]
                options += ["--clean", "--if-exists"] if force else []
                _postgres("pg_restore", place.database_url, options, str(folder / _DUMP))
            else:
                _swap_database(folder / _SQLITE, place.sqlite, suffix)
            _swap(folder / "media", place.media, suffix)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"The backup was not restored: {_words(error)}.") from error
    return contents


def check(source: Path) -> Contents:
    """Read a backup through and check every digest, changing nothing."""
    with tempfile.TemporaryDirectory() as folder:
        return _unpack(source, Path(folder))


def configuration(source: Path) -> bytes | None:
    """The configuration file inside a backup, after every digest was checked; None if none is."""
    with tempfile.TemporaryDirectory() as folder:
        _unpack(source, Path(folder))
        saved = Path(folder) / _CONFIG
        return saved.read_bytes() if saved.is_file() else None


def _unpack(source: Path, folder: Path) -> Contents:
    """Every entry into the folder, only under the names that `save` gives; digests checked."""
    (folder / "media").mkdir()
    digests: dict[str, dict[str, Any]] = {}
    try:
        with gzip.open(source) as packed, tarfile.open(fileobj=packed, mode="r:") as archive:
            for entry in archive:
                if not (entry.isfile() and _NAME.fullmatch(entry.name)):
                    raise BackupError(f"{source} is not a backup that fedidoc made.")
                stream = archive.extractfile(entry)
                assert stream is not None
                digest = hashlib.sha256()
                with (folder / entry.name).open("xb") as file:  # a name comes once
                    while data := stream.read(1 << 20):
                        digest.update(data)
                        file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                (folder / entry.name).chmod(0o600)
                digests[entry.name] = {"bytes": entry.size, "sha256": digest.hexdigest()}
            while packed.read(1 << 20):  # to its end, where gzip checks the whole
                pass
    except FileNotFoundError:
        raise BackupError(f"There is no file {source}.") from None
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise BackupError(f"{source} is damaged or not a backup ({_words(error)}).") from None
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        entries = manifest["entries"]
        contents = _contents(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BackupError(f"{source} has no readable manifest; it may be cut short.") from None
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{source} has a format that this version does not know.")
    digests.pop(_MANIFEST)
    if digests != entries:
        raise BackupError(f"{source} is damaged: its contents do not match its own digests.")
    return contents


def _contents(manifest: dict[str, Any]) -> Contents:
    entries = manifest["entries"]
    return Contents(
        domain=str(manifest["domain"]),
        database=str(manifest["database"]),
        made=str(manifest["made"]),
        files=len(entries),
        bytes=sum(int(entry["bytes"]) for entry in entries.values()),
        has_config=_CONFIG in entries,
    )


def _agree(contents: Contents, place: Place) -> None:
    kind = "postgresql" if place.sqlite is None else "sqlite"
    if contents.database != kind:
        raise BackupError(
            f"The backup is of a {contents.database} database and [database] url names {kind}."
        )
    if contents.domain != place.domain:
        raise BackupError(
            f"The backup is of {contents.domain} and this configuration is for {place.domain};"
            " members' addresses cannot move to another domain."
        )


def _refuse_overwriting(place: Place) -> None:
    if place.sqlite is not None and place.sqlite.exists():
        raise BackupError(f"There is a database at {place.sqlite} already; --force replaces it.")
    if next(_pictures(place.media), None) is not None:
        raise BackupError(f"There are pictures in {place.media} already; --force replaces them.")


def _swap_database(restored: Path, database: Path, suffix: str) -> None:
    with closing(sqlite3.connect(restored)) as copy:
        if copy.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise BackupError("The database in the backup is damaged; use an older backup.")
    database.parent.mkdir(parents=True, exist_ok=True)
    if database.exists():
        # Its write-ahead log belongs to it: fold it in before the file gets another name.
        with closing(sqlite3.connect(database, timeout=5)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for ending in ("-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)
    _swap(restored, database, suffix)


def _swap(restored: Path, place: Path, suffix: str) -> None:
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    if place.exists():
        place.rename(place.with_name(place.name + suffix))
    if restored.is_dir():
        restored.chmod(0o700)
    try:
        restored.rename(place)
    except OSError:
        shutil.move(restored, place)  # another file system: a copy


# PostgreSQL's own tools -----------------------------------------------------------------------


def _postgres(tool: str, url: str, options: list[str], *arguments: str) -> None:
    path = shutil.which(tool)
    if path is None:
        raise BackupError(
            f"{tool} is not installed; install PostgreSQL's client tools (Debian: apt-get install"
            " postgresql-client), of the server's version or newer."
        )
    with _connection(url) as environment:
        command = [path, "--no-password", *options]
        if tool == "pg_restore":
            command.append(f"--dbname={environment['PGDATABASE']}")
        done = subprocess.run(  # noqa: S603
            [*command, *arguments], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        reason = (lines or ["it gave no reason"])[0][:300]
        raise BackupError(f"{tool} failed: {reason}")


@contextmanager
def _connection(url: str) -> Iterator[dict[str, str]]:
    """A PostgreSQL URL as libpq's variables: a password never stands among the arguments."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    values = {
        "PGHOST": unquote(parts.hostname or query.get("host", "")),
        "PGPORT": str(parts.port or query.get("port", "")),
        "PGUSER": unquote(parts.username or query.get("user", "")),
        "PGPASSWORD": unquote(parts.password or query.get("password", "")),
        "PGDATABASE": unquote(parts.path.lstrip("/")) or query.get("dbname", ""),
        "PGSSLMODE": query.get("sslmode", ""),
    }
    yield {**os.environ, **{name: value for name, value in values.items() if value}}


def _words(error: Exception) -> str:
    """An error of the system as words; its own message, which names files and nothing else."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
