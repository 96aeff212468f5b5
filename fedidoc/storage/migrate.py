"""Numbered migrations, forward only: `migrations/NNNN_name.sql`, each applied once, in order.

A file is common SQL: text ids, BIGINT for times and truth, BLOB for sealed bytes. What differs is
put in here: on PostgreSQL BYTEA for BLOB, and text ordered by its bytes as SQLite does; on SQLite
STRICT tables with INTEGER for BIGINT, so that it is as particular about types. WITHOUT ROWID at the
end of a table is for SQLite alone. Each statement ends with `;` at the end of a line. A line that
reads `-- only: sqlite` or `-- only: postgresql` restricts the statement that follows it.
"""

from __future__ import annotations

import re
from importlib import resources

from fedidoc.errors import ConfigError
from fedidoc.storage.engine import Database
from fedidoc.storage.statements import Dialect, Reader

_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_ONLY = re.compile(r"^-- only: (sqlite|postgresql)$", re.MULTILINE)


async def migrate(db: Database) -> list[str]:
    """Apply what is missing, all in one transaction; the names of the files applied.

    Two processes may start it at once: the second waits and finds nothing left to do.
    ConfigError if the database was made by a newer version.
    """
    async with db.transaction() as tx:
        await tx.lock("migrate")
        await tx.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, number BIGINT NOT NULL)"
        )
        missing = _missing(await _applied(tx))
        for name in missing:
            for statement in statements(_text(name), tx.dialect):
                await tx.execute(statement)
            await tx.execute(
                "INSERT INTO migrations (name, number) VALUES (?, ?)", (name, int(name[:4]))
            )
    return missing


async def pending(db: Database) -> list[str]:
    """The files that `migrate` would apply now."""
    return _missing(await _applied(db) if await _has_table(db) else set())


def names() -> list[str]:
    """All migration files of this version, in order."""
    folder = resources.files("fedidoc.storage") / "migrations"
    return sorted(entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name))


def statements(text: str, dialect: Dialect) -> list[str]:
    """The statements of one file as `dialect` takes them."""
    found = []
    for part in re.split(r";[ \t]*$", text, flags=re.MULTILINE):
        only = _ONLY.search(part)
        bare = re.sub(r"^--.*$", "", part, flags=re.MULTILINE).strip()
        if not bare or (only and only.group(1) != dialect):
            continue
        if dialect == "postgresql":
            bare = re.sub(r"\bBLOB\b", "BYTEA", bare)
            bare = re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', bare)
            bare = bare.removesuffix(" WITHOUT ROWID")
        else:
            bare = re.sub(r"\bBIGINT\b", "INTEGER", bare)
            if bare.startswith("CREATE TABLE"):
                bare += ", STRICT" if bare.endswith(" WITHOUT ROWID") else " STRICT"
        found.append(bare)
    return found


def _missing(applied: set[str]) -> list[str]:
    known = names()
    if applied - set(known):
        raise ConfigError("The database was made by a newer fedidoc; install that version.")
    return [name for name in known if name not in applied]


async def _applied(reader: Reader) -> set[str]:
    return {row[0] for row in await reader.fetch_all("SELECT name FROM migrations")}


async def _has_table(reader: Reader) -> bool:
    if reader.dialect == "sqlite":
        sql = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'migrations'"
    else:
        sql = "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'migrations'"  # noqa: E501
    return bool(await reader.fetch_value(sql))


def _text(name: str) -> str:
    return (resources.files("fedidoc.storage") / "migrations" / name).read_text("utf-8")
