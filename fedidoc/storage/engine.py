"""The one place that knows SQLite (aiosqlite) from PostgreSQL (asyncpg).

    db = await Database.open("sqlite:///fedidoc.db")       # or postgresql://…
    await db.fetch_all("SELECT … WHERE host = ?", (host,)) # what is committed
    async with db.transaction() as tx:                     # committed at the end, or nothing
        await actors.put_follow(tx, …)
    await db.group(lambda tx: …)                           # the same, sharing one fsync with others

Storage functions take a `Transaction` to write and any `Reader` to read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from fedidoc.errors import ConfigError
from fedidoc.storage.groups import Gathering
from fedidoc.storage.sqlite import SqliteDriver
from fedidoc.storage.statements import (
    Busy,
    Dialect,
    Duplicate,
    Params,
    Reader,
    Row,
    Session,
    StorageError,
    Transaction,
    among,
    skip_locked,
)

__all__ = [
    "Busy",
    "Database",
    "Dialect",
    "Duplicate",
    "Params",
    "Reader",
    "Row",
    "StorageError",
    "Transaction",
    "among",
]

T = TypeVar("T")
Item = TypeVar("Item")
_Work = Callable[[Transaction], Awaitable[Any]]


class _Driver(Protocol):
    @property
    def dialect(self) -> Dialect: ...
    async def fetch(self, sql: str, params: Params) -> list[Row]: ...
    async def begin(self) -> Session: ...
    async def run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T: ...
    async def compact(self, *, rewrite: bool) -> None: ...
    async def close(self) -> None: ...


class Database:
    """One database. Reads outside a transaction see what is committed.

    Safe to use from any number of tasks of one event loop, and for several processes at once.
    """

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._holders: set[asyncio.Task[Any]] = set()
        self._gatherings: list[Gathering[Any, Any]] = []
        self._group: Gathering[_Work, Any] = self.gathering(_run_works)

    @classmethod
    async def open(cls, url: str, *, readers: int = 2) -> Database:
        """Connect to `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://…`.

        `sqlite://:memory:` is a private temporary file, gone after `close()`. Does not migrate.
        """
        if url == "sqlite://:memory:":
            return cls(await SqliteDriver.open(":memory:", readers=readers))
        if url.startswith("sqlite:///"):
            return cls(await SqliteDriver.open(url.removeprefix("sqlite:///"), readers=readers))
        if url.startswith(("postgresql:", "postgres:")):
            # Imported when it is used: an instance on SQLite never loads asyncpg.
            from fedidoc.storage.postgresql import PostgresqlDriver

            return cls(await PostgresqlDriver.open(url, readers=readers))
        raise ConfigError("[database] url must start with sqlite:/// or postgresql://.")

    @property
    def dialect(self) -> Dialect:
        return self._driver.dialect

    @property
    def skip_locked(self) -> str:
        return skip_locked(self._driver.dialect)

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        """All rows of a query."""
        return await self._driver.fetch(sql, params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        """The first row, or None."""
        rows = await self._driver.fetch(sql, params)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row, or None."""
        rows = await self._driver.fetch(sql, params)
        return rows[0][0] if rows else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A writing transaction: committed when the block ends, undone when it raises.

        On SQLite there is one writer and others wait (Busy after 30 s); on PostgreSQL they run
        side by side at READ COMMITTED. A task may hold one at a time. A caller that is cancelled
        leaves nothing open; if it was cancelled while committing, the commit still happens.
        """
        task = self._free_task()
        self._holders.add(task)
        try:
            tx = Transaction(await self._driver.begin())
            try:
                yield tx
            except BaseException:
                await _settle(tx._rollback())
                raise
            await _settle(tx._commit())
        finally:
            self._holders.discard(task)

    async def group(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction that other waiting works share; returns after the COMMIT.

        Works that wait at the same time pay for one fsync together, and on SQLite for one hop to
        the writer's thread, where they run from beginning to end. So a work may compute and await
        its `tx`, nothing else: no other await, no other reads, nothing of asyncio's. A work that
        raises fails alone; the others are then run once more without it.
        """
        result: T = await self._group.put(work)
        return result

    def gathering(
        self,
        work: Callable[[Transaction, Sequence[Item]], Coroutine[Any, Any, Sequence[T]]],
        *,
        limit: int = 256,
        linger_ms: int = 0,
    ) -> Gathering[Item, T]:
        """Like `group`, for one kind of work that takes many items in one statement.

        `work` gets every item that waits (at most `limit`) and answers one result each, in order.
        With `linger_ms` the first one waits that long for companions: fewer, larger transactions.
        """
        made = Gathering(self, work, limit=limit, linger_ms=linger_ms)
        self._gatherings.append(made)
        return made

    async def run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        """Run one work, by the rules of `group`, in a transaction of its own."""
        self.forbid_nesting()
        return await _settle(self._hold_and_run(work))

    async def _hold_and_run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        task = self._free_task()
        self._holders.add(task)
        try:
            return await self._driver.run(work)
        finally:
            self._holders.discard(task)

    def forbid_nesting(self) -> None:
        """Raise if this task holds a transaction: waiting for another would never end."""
        self._free_task()

    def _free_task(self) -> asyncio.Task[Any]:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # in the writer's thread
            task = None
        if task is None or task in self._holders:
            raise RuntimeError("A transaction is held here already; pass that one on instead.")
        return task

    async def compact(self, *, rewrite: bool = True) -> None:
        """Leave nothing of what was deleted or changed: SQLite empties its write-ahead log and, to
        `rewrite`, writes the file anew (seconds for a gigabyte, while writers wait). PostgreSQL
        does its own vacuuming."""
        self.forbid_nesting()
        await self._driver.compact(rewrite=rewrite)

    async def close(self) -> None:
        """Finish what is being written, then close every connection."""
        for gathering in self._gatherings:
            await gathering.close()
        await self._driver.close()


async def _run_works(tx: Transaction, works: Sequence[_Work]) -> list[Any]:
    return [await work(tx) for work in works]


# asyncio itself keeps only weak references to tasks.
_settling: set[asyncio.Task[Any]] = set()


async def _settle(end: Coroutine[Any, Any, T]) -> T:
    """Await the end of a transaction so that it comes to pass even if this task is cancelled."""
    task = asyncio.get_running_loop().create_task(end)
    _settling.add(task)
    task.add_done_callback(_settling.discard)
    return await asyncio.shield(task)
