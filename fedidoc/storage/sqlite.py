"""SQLite through aiosqlite: one writing connection, a few reading ones, each a thread of its own.

A statement costs one hop to such a thread and back (about 50 µs), far more than SQLite's own work,
so the writer begins its transaction in the hop of the first statement, and `execute_fetchall` is
used throughout. Several processes may share the file: WAL lets them read while one writes, and
`BEGIN IMMEDIATE` with a busy timeout makes their transactions follow one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import aiosqlite

from fedidoc.storage.statements import (
    Busy,
    Dialect,
    Duplicate,
    Params,
    Row,
    Session,
    StorageError,
)

# SQLITE_MAX_VARIABLE_NUMBER is 32766 since 3.32.
_MAX_PARAMETERS = 32_766
_BUSY_SECONDS = 15.0
# How long a caller waits for this process' own writer before it is told to come back later.
_WRITER_SECONDS = 30.0
_OLDEST = (3, 38, 0)


class _Connection(sqlite3.Connection):
    """Opens a transaction with its first statement once `begins` is set."""

    begins = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.begins and not self.in_transaction:
            super().execute("BEGIN IMMEDIATE")
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        if self.begins and not self.in_transaction:
            super().execute("BEGIN IMMEDIATE")
        return super().executemany(sql, parameters)


class SqliteDriver:
    """The connections to one database file."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, scratch: tempfile.TemporaryDirectory[str] | None) -> None:
        self._path = path
        self._scratch = scratch
        self._lock = asyncio.Lock()
        self._writer: aiosqlite.Connection | None = None
        self._readers: list[aiosqlite.Connection] = []
        self._loads: list[int] = []

    @classmethod
    async def open(cls, location: str, *, readers: int) -> SqliteDriver:
        """`location` is a path, or `:memory:` for a private file that goes when it is closed."""
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StorageError("SQLite is older than 3.38; install a newer one.")
        scratch = None
        if location == ":memory:":
            scratch = tempfile.TemporaryDirectory(prefix="fedidoc-")
            path = Path(scratch.name) / "memory.db"
        else:
            path = Path(location)
        driver = cls(path, scratch)
        try:
            driver._writer = await driver._connect(writes=True)
            for _ in range(max(1, readers)):
                driver._readers.append(await driver._connect(writes=False))
                driver._loads.append(0)
        except BaseException:
            await driver.close()
            raise
        return driver

    async def fetch(self, sql: str, params: Params) -> list[Row]:
        if not self._readers:
            raise Busy("The database is closed.")
        index = min(range(len(self._loads)), key=self._loads.__getitem__)
        self._loads[index] += 1
        try:
            return await _fetch(self._readers[index], sql, params)
        finally:
            self._loads[index] -= 1

    async def begin(self) -> Session:
        if self._lock.locked():
            try:
                async with asyncio.timeout(_WRITER_SECONDS):
                    await self._lock.acquire()
            except TimeoutError:
                raise Busy from None
        else:
            await self._lock.acquire()
        if self._writer is None:
            self._lock.release()
            raise Busy("The database is closed.")
        return _SqliteSession(self._writer, self._lock)

    async def close(self) -> None:
        async with self._lock:
            connections = [*self._readers, *([self._writer] if self._writer else [])]
            self._readers, self._writer = [], None
            for connection in connections:
                await connection.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    async def _connect(self, *, writes: bool) -> aiosqlite.Connection:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                self._path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                cached_statements=1024,
                factory=_Connection,
            )
            connection.row_factory = sqlite3.Row
            for pragma in (
                "journal_mode = WAL",
                # FULL: the WAL reaches the disk at every COMMIT, before anybody is answered 202.
                "synchronous = OFF" if self._scratch else "synchronous = FULL",
                "foreign_keys = ON",
                "secure_delete = ON",
                "temp_store = MEMORY",
                "trusted_schema = OFF",
                "cache_size = -16000",
                "journal_size_limit = 67108864",
                "query_only = OFF" if writes else "query_only = ON",
            ):
                connection.execute(f"PRAGMA {pragma}")
            connection.begins = writes
            return connection

        with _translated():
            return await aiosqlite.Connection(connect, iter_chunk_size=64)


class _SqliteSession:
    """One transaction on the writing connection; holds the writer's lock until it ends."""

    dialect: Dialect = "sqlite"

    def __init__(self, connection: aiosqlite.Connection, lock: asyncio.Lock) -> None:
        self._connection = connection
        self._lock = lock

    async def fetch(self, sql: str, params: Params) -> list[Row]:
        return await _fetch(self._connection, sql, params)

    async def run(self, sql: str, params: Params) -> int:
        with _translated():
            cursor = await self._connection.execute(sql, params)
            return max(0, cursor.rowcount)

    async def run_many(self, sql: str, rows: Sequence[Params]) -> None:
        with _translated():
            await self._connection.executemany(sql, rows)

    async def insert(
        self,
        table: str,
        columns: tuple[str, ...],
        rows: Sequence[Params],
        tail: str,
        rows_back: bool,
    ) -> list[Row]:
        if not rows_back:
            await self.run_many(_insert(table, columns, 1) + tail, rows)
            return []
        found: list[Row] = []
        step = _MAX_PARAMETERS // len(columns)
        for start in range(0, len(rows), step):
            chunk = rows[start : start + step]
            values = [value for row in chunk for value in row]
            found += await self.fetch(_insert(table, columns, len(chunk)) + tail, values)
        return found

    async def lock(self, name: str) -> None:
        """Every transaction is alone here; the first statement takes the file's write lock."""

    async def commit(self) -> None:
        await self._end(self._connection.commit())

    async def rollback(self) -> None:
        await self._end(self._connection.rollback())

    async def _end(self, step: Awaitable[None]) -> None:
        try:
            with _translated():
                await step
        except BaseException:
            with contextlib.suppress(sqlite3.Error, ValueError):
                await self._connection.rollback()
            raise
        finally:
            self._lock.release()


async def _fetch(connection: aiosqlite.Connection, sql: str, params: Params) -> list[Row]:
    with _translated():
        return cast("list[Row]", await connection.execute_fetchall(sql, params))


@lru_cache(maxsize=1024)
def _insert(table: str, columns: tuple[str, ...], count: int) -> str:
    one = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * count)}"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Driver errors as storage errors; ValueError is how aiosqlite says that it is closed."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorname in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
            raise Duplicate from error
        raise StorageError from error
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorname", "") or ""
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise Busy from error
        raise StorageError from error
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        # Also lone surrogates and integers beyond 64 bits, which no column can hold.
        raise StorageError from error
    except ValueError as error:
        raise Busy("The database is closed.") from error
