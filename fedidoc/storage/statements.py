"""What a caller holds to read and write: rows, readers, transactions, and the storage errors.

Statements are common SQL with `?` placeholders: text ids, integers for times and truth, JSON as
text, `bytes` for sealed values, `ON CONFLICT`, `RETURNING`. Both databases then behave alike, also
in the matter that surprises most: an error in a statement ends the transaction it happened in
(PostgreSQL's rule), unless a savepoint around it is rolled back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Literal, Protocol

from fedidoc.errors import Conflict, FedidocError, Unavailable

Params = Sequence[Any]
Dialect = Literal["sqlite", "postgresql"]


class StorageError(FedidocError):
    """The database refused a statement. The cause is chained; its message stays out of logs."""

    def __init__(self, text: str = "The database could not do this; see the log.") -> None:
        super().__init__(text)


class Duplicate(StorageError, Conflict):
    """A unique or primary key exists already."""

    status = 409

    def __init__(self) -> None:
        super().__init__("This exists already.")


class Busy(StorageError, Unavailable):
    """The database is away, locked for too long, or shutting down; the same may work later."""

    status = 503

    def __init__(self, text: str = "The database is busy or away; try again in a moment.") -> None:
        super().__init__(text)


class Row(Protocol):
    """One row: `row["column"]`, `row[0]`, `tuple(row)` for its values, `dict(row)`.

    There is no `row.get`, and `in` means different things on the two databases: avoid it.
    """

    def __getitem__(self, key: str | int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def keys(self) -> Iterable[str]: ...


class Reader(Protocol):
    """Anything that can be read from: the database (what is committed) or a transaction."""

    @property
    def dialect(self) -> Dialect: ...
    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]: ...
    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None: ...
    async def fetch_value(self, sql: str, params: Params = ()) -> Any: ...


class Session(Protocol):
    """A driver's side of one transaction. `commit` and `rollback` end it, whatever happens."""

    dialect: Dialect

    async def fetch(self, sql: str, params: Params) -> list[Row]: ...
    async def run(self, sql: str, params: Params) -> int: ...
    async def run_many(self, sql: str, rows: Sequence[Params]) -> None: ...
    async def insert(
        self,
        table: str,
        columns: tuple[str, ...],
        rows: Sequence[Params],
        tail: str,
        rows_back: bool,
    ) -> list[Row]: ...
    async def lock(self, name: str) -> None: ...
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...


class Transaction:
    """One open transaction. Only `Database.transaction()` and `Database.group()` make one.

    Never await the network while holding it: on SQLite it is the only writer there is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._state: Literal["open", "failed", "over"] = "open"
        self._depth = 0

    @property
    def dialect(self) -> Dialect:
        return self._session.dialect

    @property
    def skip_locked(self) -> str:
        """What a claiming subquery ends with: PostgreSQL passes rows that others hold."""
        return skip_locked(self._session.dialect)

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        """All rows of a query or of a statement with RETURNING."""
        self._check()
        try:
            return await self._session.fetch(sql, params)
        except BaseException:
            self._state = "failed"
            raise

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        """The first row, or None."""
        rows = await self.fetch_all(sql, params)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row, or None."""
        rows = await self.fetch_all(sql, params)
        return rows[0][0] if rows else None

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement without RETURNING; the number of rows it changed."""
        self._check()
        try:
            return await self._session.run(sql, params)
        except BaseException:
            self._state = "failed"
            raise

    async def execute_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement once for each row of parameters."""
        self._check()
        if not rows:
            return
        try:
            await self._session.run_many(sql, rows)
        except BaseException:
            self._state = "failed"
            raise

    async def insert_many(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Params],
        *,
        conflict: str = "",
        returning: str | None = None,
    ) -> list[Row]:
        """Insert any number of rows; `conflict` is a whole `ON CONFLICT …` clause.

        Answers the rows of `returning` (in no promised order), or nothing without it. With
        DO NOTHING a row that is there already is not among them.
        """
        self._check()
        if not rows:
            return []
        tail = f" {conflict}" if conflict else ""
        if returning is not None:
            tail += f" RETURNING {returning}"
        try:
            return await self._session.insert(
                table, tuple(columns), rows, tail, returning is not None
            )
        except BaseException:
            self._state = "failed"
            raise

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What happens inside is undone if it raises, and the transaction goes on.

        Costs two statements; when most work succeeds, run it without and repeat only on error.
        """
        self._check()
        self._depth += 1
        name = f"s{self._depth}"
        try:
            await self.execute(f"SAVEPOINT {name}")
            try:
                yield
                self._check()
            except Exception:
                self._state = "open"
                await self.execute(f"ROLLBACK TO SAVEPOINT {name}")
                await self.execute(f"RELEASE SAVEPOINT {name}")
                raise
            await self.execute(f"RELEASE SAVEPOINT {name}")
        finally:
            self._depth -= 1

    async def lock(self, name: str) -> None:
        """Wait until no other transaction holds `name`, and hold it to the end of this one.

        Nothing to do on SQLite, where transactions follow one another anyway.
        """
        self._check()
        try:
            await self._session.lock(name)
        except BaseException:
            self._state = "failed"
            raise

    def _check(self) -> None:
        if self._state == "failed":
            raise StorageError("An earlier statement of this transaction failed; it is void.")
        if self._state == "over":
            raise StorageError("This transaction is over; open another one.")

    async def _commit(self) -> None:
        try:
            if self._state == "failed":
                await self._session.rollback()
                self._check()
            await self._session.commit()
        finally:
            self._state = "over"

    async def _rollback(self) -> None:
        self._state = "over"
        await self._session.rollback()


def skip_locked(dialect: Dialect) -> str:
    """`FOR UPDATE SKIP LOCKED` where there is such a thing and need of it, else nothing."""
    return "FOR UPDATE SKIP LOCKED" if dialect == "postgresql" else ""


def among(column: str, values: Iterable[Any]) -> tuple[str, tuple[Any, ...]]:
    """`column IN (?, …)` and its parameters; never true for no values.

    The list is filled up to a power of two by repeating its last value, so that a handful of
    statements serve every length and the databases' statement caches stay warm. At most 16,384
    values, half of what one statement may carry.
    """
    found = list(dict.fromkeys(values))
    if not found:
        return "0 = 1", ()
    size = 1 << (len(found) - 1).bit_length()
    found.extend(found[-1:] * (size - len(found)))
    return f"{column} IN ({_marks(size)})", tuple(found)


@lru_cache(maxsize=64)
def _marks(count: int) -> str:
    return ", ".join("?" * count)


@lru_cache(maxsize=4096)
def numbered(sql: str) -> str:
    """`?` placeholders as PostgreSQL's `$1`, `$2`, …; quoted text and comments stay as they are."""
    out: list[str] = []
    count = at = 0
    while at < len(sql):
        char = sql[at]
        if char == "?":
            count += 1
            out.append(f"${count}")
            at += 1
            continue
        end = at + 1
        if char in "'\"":
            found = sql.find(char, at + 1)
            end = len(sql) if found < 0 else found + 1
        elif sql.startswith("--", at):
            found = sql.find("\n", at)
            end = len(sql) if found < 0 else found
        elif sql.startswith("/*", at):
            found = sql.find("*/", at)
            end = len(sql) if found < 0 else found + 2
        out.append(sql[at:end])
        at = end
    return "".join(out)
