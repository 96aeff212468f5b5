"""Group commit: many callers' writes in one transaction, so that they share one fsync.

While one transaction is being written, callers that come meanwhile wait, and the next transaction
takes them all. A lone caller is written at once, unless its gathering lingers for companions.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypeVar

from fedidoc.storage.statements import Busy, Transaction

Item = TypeVar("Item")
Result = TypeVar("Result")
T = TypeVar("T")


class _Writes(Protocol):
    async def run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T: ...
    def forbid_nesting(self) -> None: ...


class Gathering(Generic[Item, Result]):
    """Items of many callers, handed to `work` together; made by `Database.gathering`.

    All is tried without savepoints first, since those can cost more than the work itself. If
    `work` raises for several items together, the transaction is undone and each is tried alone
    behind a savepoint, in one more transaction: only the callers at fault get errors.
    """

    def __init__(
        self,
        database: _Writes,
        work: Callable[[Transaction, Sequence[Item]], Coroutine[Any, Any, Sequence[Result]]],
        *,
        limit: int = 256,
        linger_ms: int = 0,
    ) -> None:
        self._database = database
        self._work = work
        self._limit = limit
        self._linger = linger_ms / 1000
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def put(self, item: Item) -> Result:
        """Hand in one item; its result, after the COMMIT. Raises what `work` raised for it.

        A caller that is cancelled while its item waits has it taken out again; later than that
        it is written all the same.
        """
        if self._closed:
            raise Busy("The database is closed.")
        self._database.forbid_nesting()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._writer is None:
            self._writer = loop.create_task(self._write_all())
        return await future

    async def close(self) -> None:
        """Write what waits; whoever comes later gets Busy."""
        self._closed = True
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                if self._linger and len(self._waiting) < self._limit and not self._closed:
                    await asyncio.sleep(self._linger)
                if batch := self._take():
                    await self._write(batch)
        finally:
            self._writer = None
            # Only reached with callers waiting when this task itself was cancelled.
            while self._waiting:
                self._waiting.popleft()[1].cancel()

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._limit:
            entry = self._waiting.popleft()
            if not entry[1].done():
                batch.append(entry)
        return batch

    async def _write(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        items = [item for item, _ in batch]
        outcomes: Sequence[Result | _Failed]
        try:
            try:
                outcomes = await self._database.run(lambda tx: self._try_all(tx, items))
            except Exception as error:
                if len(batch) == 1:
                    outcomes = [_Failed(error)]
                else:
                    outcomes = await self._database.run(lambda tx: self._try_each(tx, items))
        except Exception as error:
            outcomes = [_Failed(error)] * len(batch)
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, _Failed):
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome)

    async def _try_all(self, tx: Transaction, items: Sequence[Item]) -> Sequence[Result]:
        results = await self._work(tx, items)
        if len(results) != len(items):
            raise RuntimeError("A gathering's work must answer one result for each item.")
        return results

    async def _try_each(self, tx: Transaction, items: Sequence[Item]) -> list[Result | _Failed]:
        outcomes: list[Result | _Failed] = []
        for item in items:
            try:
                async with tx.savepoint():
                    outcomes += await self._try_all(tx, [item])
            except Exception as error:
                outcomes.append(_Failed(error))
        return outcomes


class _Failed:
    def __init__(self, error: Exception) -> None:
        self.error = error
