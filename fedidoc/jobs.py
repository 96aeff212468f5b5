"""Workers: claim due rows, hand them to the room that knows them, back off, bury, stop in order.

    runner = Runner(db, clock, log, [Lane("inbox", inbox.process), Lane("tasks", …)])
    running = asyncio.create_task(runner.run())
    runner.wake("inbox")          # there is something new; otherwise it looks by itself
    await runner.stop()

The rows are the truth: a wake-up that is lost costs `idle_ms`, a worker that is killed costs the
rest of its lease, and neither loses work. Leases are short, and renewed while their work runs. Any
number of processes may run the same lanes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from fedidoc.clock import HOUR, SECOND, Clock
from fedidoc.errors import FedidocError
from fedidoc.log import Log, cause_of
from fedidoc.storage import queues
from fedidoc.storage.engine import Database, Row, Transaction
from fedidoc.storage.queues import Queue

Work = Callable[[list[Row]], Awaitable[None]]

# What a row is given when its work raised something nobody expected: about eight hours in all.
_TRIES = 10
# How soon to look again when rows are due but another worker was just then claiming them.
_CROWDED_MS = 50
_TROUBLE_MS = 30 * SECOND


@dataclass(frozen=True, slots=True)
class Lane:
    """One queue and the work for its rows.

    `work` gets claimed rows (all columns, sorted by id) and settles each: `queues.finish` in the
    transaction of its effects, `queues.retry` or `queues.bury`. If it raises, the rows it had not
    settled are tried one by one, and those that raise again are put off, in the end buried. If the
    process dies, the lease (`lease_ms`) ends and the rows run again.

    For `delivery`, `work` gets the rows of one host at a time, in order.
    """

    name: Queue
    work: Work
    idle_ms: int = SECOND  # how often to look for what another process queued
    limit: int = 64  # most rows of a claim
    slots: int = 1  # how many pieces of work run at once
    lease_ms: int = 20 * SECOND  # how long the rows of a killed process rest
    # After a wake-up, wait for companions: a claim costs the same for one row as for fifty.
    linger_ms: int = 10


@dataclass(slots=True)
class _State:
    lane: Lane
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    running: set[asyncio.Task[Exception | None]] = field(default_factory=set)
    held: set[str] = field(default_factory=set)  # the ids of the rows that are at work


class Runner:
    """Runs lanes until it is told to stop, once."""

    def __init__(self, db: Database, clock: Clock, log: Log, lanes: Sequence[Lane]) -> None:
        self._db = db
        self._clock = clock
        self._log = log
        self._states = {lane.name: _State(lane) for lane in lanes}
        self._worker = f"{os.getpid()}-{clock.random_id()[:10]}"
        self._stopping = False
        self._stopped = asyncio.Event()
        self._stopped.set()

    def wake(self, queue: Queue) -> None:
        """Rows were queued: look soon. Harmless when that lane is not run here."""
        state = self._states.get(queue)
        if state is not None:
            state.wake.set()

    async def run(self) -> None:
        """Work until `stop()`. Trouble with the database is logged and waited out."""
        self._stopped.clear()
        try:
            async with asyncio.TaskGroup() as group:
                lanes = [group.create_task(self._serve(s)) for s in self._states.values()]
                renewing = group.create_task(self._renew_leases())
                await asyncio.wait(lanes)
                renewing.cancel()
        finally:
            await self._cancel_running()
            self._stopped.set()

    async def stop(self, grace_seconds: float = 20.0) -> None:
        """Claim nothing more, let running work end, then give back what is still leased."""
        self._stopping = True
        for state in self._states.values():
            state.wake.set()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._stopped.wait()
        except TimeoutError:
            await self._cancel_running()
            await self._stopped.wait()

    async def drain(self, limit: int = 10_000, *, strict: bool = True) -> int:
        """Run all that is due until nothing is; how many rows ran. For tests and commands.

        With `strict` an error that work raised is raised here too, once its row has been put off.
        Stops early after about `limit` rows.
        """
        total = 0
        renewing = asyncio.create_task(self._renew_leases())
        try:
            while total < limit:
                before = total
                for state in self._states.values():
                    while total < limit and (pieces := await self._claim(state)):
                        errors = await asyncio.gather(*(self._do(state, p) for p in pieces))
                        total += sum(map(len, pieces))
                        for error in errors:
                            if strict and error is not None:
                                raise error
                if total == before:
                    break
        finally:
            renewing.cancel()
        return total

    async def _renew_leases(self) -> None:
        shortest = min((s.lane.lease_ms for s in self._states.values()), default=HOUR)
        while True:
            await asyncio.sleep(shortest / 3000)
            for state in self._states.values():
                if not state.held:
                    continue
                try:
                    await self._db.group(partial(self._renew, state.lane, sorted(state.held)))
                except FedidocError as error:
                    self._log.warning(
                        "renewal_failed", queue=state.lane.name, cause=cause_of(error)
                    )

    async def _renew(self, lane: Lane, ids: list[str], tx: Transaction) -> None:
        until = self._clock.now() + lane.lease_ms
        await queues.renew(tx, lane.name, ids, self._worker, until)

    async def _serve(self, state: _State) -> None:
        trouble = 0
        while not self._stopping:
            try:
                claimed = await self._fill(state)
                trouble = 0
                await self._rest(state, claimed)
            except FedidocError as error:
                trouble += 1
                self._log.warning(
                    "claim_failed", queue=state.lane.name, cause=cause_of(error), attempts=trouble
                )
                await _wait(state.wake, min(_TROUBLE_MS, SECOND << min(trouble, 5)))
        if state.running:
            await asyncio.wait(state.running)

    async def _fill(self, state: _State) -> int:
        """Claim once if there is a free slot, and start the work; how many rows were claimed."""
        lane = state.lane
        state.wake.clear()
        if len(state.running) >= lane.slots:
            return 0
        claimed = 0
        for piece in await self._claim(state):
            claimed += len(piece)
            task = asyncio.get_running_loop().create_task(self._do(state, piece))
            state.running.add(task)
            task.add_done_callback(state.running.discard)
            if lane.name == "delivery":
                # The host may have more rows than one run.
                task.add_done_callback(lambda _: state.wake.set())
        return claimed

    async def _rest(self, state: _State, claimed: int) -> None:
        """Wait for a free slot, a wake-up, the next due time, or `idle_ms`."""
        lane = state.lane
        while len(state.running) >= lane.slots and not self._stopping:
            await asyncio.wait(state.running, return_when=asyncio.FIRST_COMPLETED)
        if claimed >= lane.limit or self._stopping:
            return
        crowded = not claimed
        while not state.wake.is_set():
            # To look is cheaper than to claim, which is a transaction.
            due = await queues.earliest(self._db, lane.name)
            pause = lane.idle_ms if due is None else min(lane.idle_ms, due - self._clock.now())
            if pause <= 0:
                if crowded:
                    await _wait(state.wake, _CROWDED_MS)
                break
            crowded = False
            await _wait(state.wake, pause)
        if not self._stopping:
            await asyncio.sleep(lane.linger_ms / 1000)

    async def _claim(self, state: _State) -> list[list[Row]]:
        """Pieces of claimed rows, each for one call of `work`."""
        lane = state.lane
        now = self._clock.now()
        if lane.name != "delivery":
            rows = await self._db.group(
                lambda tx: queues.claim(
                    tx,
                    lane.name,
                    now=now,
                    worker=self._worker,
                    lease_ms=lane.lease_ms,
                    limit=lane.limit,
                )
            )
            return [rows] if rows else []
        free = max(1, lane.slots - len(state.running))
        rows = await self._db.group(
            lambda tx: queues.claim_deliveries(
                tx,
                now=now,
                worker=self._worker,
                lease_ms=lane.lease_ms,
                limit=max(lane.limit, free),
                hosts=free,
            )
        )
        return [list(run) for _, run in itertools.groupby(rows, key=lambda row: str(row["host"]))]

    async def _do(self, state: _State, rows: list[Row]) -> Exception | None:
        lane = state.lane
        ids = [str(row["id"]) for row in rows]
        state.held.update(ids)
        try:
            try:
                await lane.work(rows)
            except Exception as error:
                self._log.warning(
                    "work_failed", queue=lane.name, cause=cause_of(error), waiting=len(rows)
                )
                return await self._after_error(lane, rows, error)
        except asyncio.CancelledError:
            await self._release(lane, ids)
            raise
        except FedidocError as error:
            # The database is away as well: the lease will end by itself.
            self._log.warning("settle_failed", queue=lane.name, cause=cause_of(error))
            return error
        finally:
            state.held.difference_update(ids)
        return None

    async def _after_error(self, lane: Lane, rows: list[Row], error: Exception) -> Exception | None:
        """One row alone is put off or buried; of several, each is tried by itself first."""
        ids = [str(row["id"]) for row in rows]
        left = dict(await queues.unsettled(self._db, lane.name, ids, self._worker))
        if len(rows) == 1:
            for row_id, attempts in left.items():
                await self._put_off(lane, row_id, attempts, error)
            return error
        last: Exception | None = None
        for row in rows:
            row_id = str(row["id"])
            if row_id not in left:
                continue
            try:
                await lane.work([row])
            except Exception as again:
                last = again
                await self._put_off(lane, row_id, left[row_id], again)
                if lane.name == "delivery":
                    break  # the host's later rows were given back with it
        return last

    async def _put_off(self, lane: Lane, row_id: str, attempts: int, error: Exception) -> None:
        pause = pause_after(attempts)
        reason = f"error: {cause_of(error)}"
        self._log.warning(
            "row_failed",
            queue=lane.name,
            job=row_id,
            cause=cause_of(error),
            attempts=attempts,
            status="dead" if pause is None else "waiting",
        )
        async with self._db.transaction() as tx:
            if pause is None:
                await queues.bury(tx, lane.name, row_id, reason)
            else:
                await queues.retry(tx, lane.name, row_id, self._clock.now() + pause, reason)

    async def _release(self, lane: Lane, ids: list[str]) -> None:
        try:
            await self._db.group(lambda tx: queues.release(tx, lane.name, ids, self._worker))
        except FedidocError as error:
            self._log.warning("release_failed", queue=lane.name, cause=cause_of(error))

    async def _cancel_running(self) -> None:
        tasks = [task for state in self._states.values() for task in state.running]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def pause_after(attempts: int) -> int | None:
    """How long (ms) a row rests after its `attempts`th unexpected error; None: give it up."""
    if attempts >= _TRIES:
        return None
    return min(2 * HOUR, 5 * SECOND * int(3 ** (attempts - 1)))


async def _wait(event: asyncio.Event, milliseconds: int) -> None:
    try:
        async with asyncio.timeout(milliseconds / 1000):
            await event.wait()
    except TimeoutError:
        pass
