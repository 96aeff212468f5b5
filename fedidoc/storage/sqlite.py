"""SQLite through aiosqlite: one writing connection, a few reading ones, each a thread of its own.

A hop to such a thread and back costs about 90 µs of CPU, a statement on it a few. So a transaction
begins in the hop of its first statement, and the works of a group run whole, from BEGIN to COMMIT,
in one hop: their coroutines await nothing but their transaction, which there never has to wait.

Several processes may share the file: WAL lets them read while one writes, and `BEGIN IMMEDIATE`
with a busy timeout makes their transactions follow one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiosqlite

from fedidoc.storage.statements import (
    Busy,
    Dialect,
    Duplicate,
    Params,
    Row,
    Session,
    StorageError,
    Transaction,
)

T = TypeVar("T")
R = TypeVar("R")

# SQLITE_MAX_VARIABLE_NUMBER is 32766 since 3.32.
_MAX_PARAMETERS = 32_766
_BUSY_SECONDS = 15.0
# How long a caller waits for this process' own writer before it is told to come back later.
_WRITER_SECONDS = 30.0
_OLDEST = (3, 38, 0)


class _Call(Protocol):
    async def __call__(self, function: Callable[..., R], *arguments: Any) -> R: ...


class _Thread(aiosqlite.Connection):
    """One connection and its thread."""

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run `function(connection, *arguments)` there; it is run even if the caller is gone."""
        with _translated():
            # aiosqlite's own way to its thread, which all of its methods take.
            result: T = await self._execute(  # type: ignore[no-untyped-call]
                function, self._conn, *arguments
            )
            return result


class SqliteDriver:
    """The connections to one database file."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, scratch: tempfile.TemporaryDirectory[str] | None) -> None:
        self._path = path
        self._scratch = scratch
        self._lock = asyncio.Lock()
        self._writer: _Thread | None = None
        self._readers: list[_Thread] = []
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
            return await self._readers[index].call(_fetch, sql, params)
        finally:
            self._loads[index] -= 1

    async def begin(self) -> Session:
        writer = await self._acquire()

        def end() -> None:
            self._lock.release()

        return _SqliteSession(writer.call, end)

    async def run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        """A whole transaction in the writer's thread, in one hop."""
        writer = await self._acquire()
        try:
            return await writer.call(_run_whole, work)
        finally:
            self._lock.release()

    async def _acquire(self) -> _Thread:
        try:
            async with asyncio.timeout(_WRITER_SECONDS):
                await self._lock.acquire()
        except TimeoutError:
            raise Busy from None
        if self._writer is None:
            self._lock.release()
            raise Busy("The database is closed.")
        return self._writer

    async def compact(self, *, rewrite: bool) -> None:
        """Empty the write-ahead log; with `rewrite` first write the file anew, without free
        pages."""
        writer = await self._acquire()
        try:
            await writer.call(_compact, rewrite)
        finally:
            self._lock.release()

    async def close(self) -> None:
        async with self._lock:
            connections = [*self._readers, *([self._writer] if self._writer else [])]
            self._readers, self._writer = [], None
            for connection in connections:
                await connection.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    async def _connect(self, *, writes: bool) -> _Thread:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                self._path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                cached_statements=1024,
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
            return connection

        thread = _Thread(connect, iter_chunk_size=64)
        with _translated():
            await thread
        return thread


class _SqliteSession:
    """One transaction on the writing connection.

    `call` runs a function on the connection: by a hop, or at once where that is its thread already.
    """

    dialect: Dialect = "sqlite"

    def __init__(self, call: _Call, end: Callable[[], None]) -> None:
        self._call = call
        self._end = end

    async def fetch(self, sql: str, params: Params) -> list[Row]:
        return await self._call(_begin_and_fetch, sql, params)

    async def run(self, sql: str, params: Params) -> int:
        return await self._call(_begin_and_run, sql, params)

    async def run_many(self, sql: str, rows: Sequence[Params]) -> None:
        await self._call(_begin_and_run_many, sql, rows)

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
        try:
            await self._call(_commit)
        finally:
            self._end()

    async def rollback(self) -> None:
        try:
            await self._call(sqlite3.Connection.rollback)
        finally:
            self._end()


# What follows runs in the connections' threads.


def _fetch(connection: sqlite3.Connection, sql: str, params: Params) -> list[Row]:
    return connection.execute(sql, params).fetchall()


def _begin(connection: sqlite3.Connection) -> None:
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")


def _begin_and_fetch(connection: sqlite3.Connection, sql: str, params: Params) -> list[Row]:
    _begin(connection)
    return connection.execute(sql, params).fetchall()


def _begin_and_run(connection: sqlite3.Connection, sql: str, params: Params) -> int:
    _begin(connection)
    return max(0, connection.execute(sql, params).rowcount)


def _begin_and_run_many(connection: sqlite3.Connection, sql: str, rows: Sequence[Params]) -> None:
    _begin(connection)
    connection.executemany(sql, rows)


def _compact(connection: sqlite3.Connection, rewrite: bool) -> None:
    if rewrite:
        connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _commit(connection: sqlite3.Connection) -> None:
    try:
        connection.commit()
    except sqlite3.Error:
        connection.rollback()
        raise


def _run_whole(
    connection: sqlite3.Connection, work: Callable[[Transaction], Coroutine[Any, Any, T]]
) -> T:
    async def call(function: Callable[..., R], *arguments: Any) -> R:
        with _translated():
            return function(connection, *arguments)

    tx = Transaction(_SqliteSession(call, lambda: None))
    try:
        result = _run_to_end(work(tx))
    except BaseException:
        _run_to_end(tx._rollback())
        raise
    _run_to_end(tx._commit())
    return result


def _run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that has nothing to wait for; where it waits, that is an error there."""
    try:
        coroutine.send(None)
        while True:
            coroutine.throw(
                RuntimeError("A work of a group may await nothing but its transaction.")
            )
    except StopIteration as end:
        result: T = end.value
        return result


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
