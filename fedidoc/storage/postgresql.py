"""PostgreSQL through asyncpg: a pool that writes and a pool that reads.

Two pools, so that a task that holds a transaction can always read beside it: with one, as many
such tasks as there are connections would wait for each other for ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg

from fedidoc.storage.statements import (
    Busy,
    Dialect,
    Duplicate,
    Params,
    Row,
    Session,
    StorageError,
    Transaction,
    numbered,
)

T = TypeVar("T")

_WRITERS = 6
_WAIT_SECONDS = 30.0
_SETTINGS = {
    "application_name": "fedidoc",
    "timezone": "UTC",
    # Short statements only: compiling them costs more than it gains.
    "jit": "off",
    # A client that froze inside a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "60000",
}


class _Connection(asyncpg.Connection):  # type: ignore[misc, unused-ignore]
    """Saves a round trip at each release: nothing here outlives its transaction."""

    def get_reset_query(self) -> str:
        return ""


class PostgresqlDriver:
    """The connections to one database."""

    dialect: Dialect = "postgresql"

    def __init__(self, writers: Any, readers: Any) -> None:
        self._writers = writers
        self._readers = readers
        self._types: dict[tuple[str, tuple[str, ...]], str] = {}

    @classmethod
    async def open(cls, url: str, *, readers: int) -> PostgresqlDriver:
        """Connect; Busy if the server does not answer or refuses the connection."""
        with _translated():
            writing = await _pool(url, _WRITERS)
            try:
                reading = await _pool(url, max(4, readers))
            except BaseException:
                writing.terminate()
                raise
        return cls(writing, reading)

    async def fetch(self, sql: str, params: Params) -> list[Row]:
        with _translated():
            found: list[Row] = await self._readers.fetch(numbered(sql), *params)
            return found

    async def begin(self) -> Session:
        with _translated():
            connection = await self._writers.acquire(timeout=_WAIT_SECONDS)
            try:
                await connection.execute("BEGIN")
            except BaseException:
                connection.terminate()
                await self._writers.release(connection)
                raise
        return _PostgresqlSession(self._writers, connection, self._types)

    async def run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        """A whole transaction."""
        tx = Transaction(await self.begin())
        try:
            result = await work(tx)
        except BaseException:
            await tx._rollback()
            raise
        await tx._commit()
        return result

    async def compact(self, *, rewrite: bool) -> None:
        """Nothing to do: its own vacuum takes deleted rows out."""

    async def close(self) -> None:
        for pool in (self._readers, self._writers):
            try:
                await pool.close()
            except BaseException:
                pool.terminate()
                raise


class _PostgresqlSession:
    """One transaction on a connection of its own, which goes back to the pool at its end."""

    dialect: Dialect = "postgresql"

    def __init__(
        self, pool: Any, connection: Any, types: dict[tuple[str, tuple[str, ...]], str]
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._types = types

    async def fetch(self, sql: str, params: Params) -> list[Row]:
        with _translated():
            found: list[Row] = await self._connection.fetch(numbered(sql), *params)
            return found

    async def run(self, sql: str, params: Params) -> int:
        with _translated():
            status: str = await self._connection.execute(numbered(sql), *params)
        # "UPDATE 3", "INSERT 0 3", "CREATE TABLE"
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def run_many(self, sql: str, rows: Sequence[Params]) -> None:
        with _translated():
            await self._connection.executemany(numbered(sql), rows)

    async def insert(
        self,
        table: str,
        columns: tuple[str, ...],
        rows: Sequence[Params],
        tail: str,
        rows_back: bool,
    ) -> list[Row]:
        # One array for each column makes one prepared statement serve any number of rows.
        source = await self._source(table, columns)
        with _translated():
            found: list[Row] = await self._connection.fetch(
                _insert(table, columns, source, tail),
                *([row[index] for row in rows] for index in range(len(columns))),
            )
        return found

    async def lock(self, name: str) -> None:
        await self.run("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (name,))

    async def commit(self) -> None:
        await self._end("COMMIT")

    async def rollback(self) -> None:
        await self._end("ROLLBACK")

    async def _end(self, word: str) -> None:
        try:
            with _translated():
                status = await self._connection.execute(word)
                if status != word:
                    # A COMMIT of a transaction that the server had given up is a ROLLBACK.
                    raise StorageError("The database undid this transaction; try again.")
        except BaseException:
            if self._connection.is_closed() or self._connection.is_in_transaction():
                self._connection.terminate()
            raise
        finally:
            await self._pool.release(self._connection)

    async def _source(self, table: str, columns: tuple[str, ...]) -> str:
        source = self._types.get((table, columns))
        if source is None:
            rows = await self.fetch(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                " WHERE attrelid = ?::text::regclass AND attnum > 0 AND NOT attisdropped",
                (table,),
            )
            types = {row[0]: row[1] for row in rows}
            source = ", ".join(
                f"${number}::{types[column]}[]" for number, column in enumerate(columns, 1)
            )
            self._types[table, columns] = source
        return source


async def _pool(url: str, size: int) -> Any:
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        connection_class=_Connection,
        statement_cache_size=1024,
        max_inactive_connection_lifetime=300.0,
        timeout=10.0,
        command_timeout=60.0,
        server_settings=_SETTINGS,
        init=_insist_on_disk,
    )


async def _insist_on_disk(connection: Any) -> None:
    """A COMMIT that does not wait for the disk would make a lie of every 202."""
    await connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )


@lru_cache(maxsize=256)
def _insert(table: str, columns: tuple[str, ...], source: str, tail: str) -> str:
    # The second name keeps `ON CONFLICT … DO UPDATE SET x = excluded.x` and RETURNING unambiguous.
    names = ", ".join(columns)
    return numbered(f"INSERT INTO {table} ({names}) SELECT * FROM unnest({source}) AS given{tail}")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Duplicate from error
    except (
        asyncpg.PostgresConnectionError,
        asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.TooManyConnectionsError,
        asyncpg.LockNotAvailableError,
        asyncpg.DeadlockDetectedError,
        asyncpg.SerializationError,
        asyncpg.QueryCanceledError,
        OSError,
        TimeoutError,
    ) as error:
        raise Busy from error
    except (asyncpg.PostgresError, asyncpg.DataError) as error:
        raise StorageError from error
    except asyncpg.InterfaceError as error:
        # The pool or the connection is closed or closing.
        raise Busy from error
