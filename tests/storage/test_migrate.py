"""Migrations are applied once, in order, whole or not at all."""

import asyncio
from pathlib import Path

import pytest

from fedidoc.errors import ConfigError
from fedidoc.storage import migrate as migrations
from fedidoc.storage.engine import Database, StorageError
from fedidoc.storage.migrate import migrate, names, pending, statements


async def test_a_new_database_is_brought_up_to_date_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    db, other = await Database.open(url), await Database.open(url)
    try:
        assert await pending(db) == names()
        applied = await asyncio.gather(migrate(db), migrate(other))
        assert sorted(applied, key=len) == [[], names()]
        assert await pending(db) == []
    finally:
        await db.close()
        await other.close()


async def test_nothing_is_left_to_do_on_a_migrated_one(any_database: Database) -> None:
    assert await pending(any_database) == []
    assert await migrate(any_database) == []


async def test_a_newer_database_is_refused(any_database: Database) -> None:
    async with any_database.transaction() as tx:
        await tx.execute("INSERT INTO migrations (name, number) VALUES ('9999_later.sql', 9999)")
    with pytest.raises(ConfigError, match="newer"):
        await pending(any_database)
    with pytest.raises(ConfigError, match="newer"):
        await migrate(any_database)


async def test_a_migration_that_fails_leaves_nothing(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = names()
    text = {"9998_one.sql": "CREATE TABLE one (id TEXT PRIMARY KEY);\nNOT SQL;\n"}
    monkeypatch.setattr(migrations, "names", lambda: [*known, *text])
    monkeypatch.setattr(migrations, "_text", text.__getitem__)
    with pytest.raises(StorageError):
        await migrate(any_database)
    assert await pending(any_database) == list(text)
    with pytest.raises(StorageError):
        await any_database.fetch_all("SELECT * FROM one")


def test_a_file_becomes_statements_of_each_database() -> None:
    text = (
        "-- About; this.\n"
        "CREATE TABLE a (\n  id TEXT PRIMARY KEY,\n  n BIGINT NOT NULL,\n  s BLOB\n);\n"
        "-- only: sqlite\nPRAGMA optimize;\n"
        "-- only: postgresql\nCREATE INDEX g ON a USING gin (s);\n"
        "INSERT INTO a VALUES ('x;y', 1, NULL);\n"
    )
    assert statements(text, "sqlite") == [
        "CREATE TABLE a (\n  id TEXT PRIMARY KEY,\n  n INTEGER NOT NULL,\n  s BLOB\n) STRICT",
        "PRAGMA optimize",
        "INSERT INTO a VALUES ('x;y', 1, NULL)",
    ]
    assert statements(text, "postgresql") == [
        'CREATE TABLE a (\n  id TEXT COLLATE "C" PRIMARY KEY,\n  n BIGINT NOT NULL,\n  s BYTEA\n)',
        "CREATE INDEX g ON a USING gin (s)",
        "INSERT INTO a VALUES ('x;y', 1, NULL)",
    ]
