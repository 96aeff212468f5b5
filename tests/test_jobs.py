"""Workers over a real database: batches, errors, leases, stopping."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fedidoc.clock import HOUR, MINUTE, SECOND, Clock, FrozenClock
from fedidoc.jobs import Lane, Runner, pause_after
from fedidoc.log import Log
from fedidoc.model import Event, EventKind
from fedidoc.storage import queues
from fedidoc.storage.engine import Busy, Database, Row
from fedidoc.storage.queues import Delivery, Postponed, Sent

LOG = Log("jobs")


async def put(db: Database, clock: Clock, *subjects: str) -> None:
    at = clock.now()
    events = [
        Event(clock.sortable_id(), EventKind.LIKED, "ada", subject, at, {}) for subject in subjects
    ]
    async with db.transaction() as tx:
        await queues.put_events(tx, events)


async def deliver(db: Database, clock: Clock, *pairs: tuple[str, str]) -> None:
    rows = [
        Delivery(clock.sortable_id(), activity, "ada", host, f"https://{host}/i", clock.now())
        for host, activity in pairs
    ]
    async with db.transaction() as tx:
        await queues.put_deliveries(tx, rows)


class Room:
    """Work that notes what it was given and finishes it, unless told to fail for a subject."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self.db = db
        self.clock = clock
        self.batches: list[list[str]] = []
        self.broken: set[str] = set()

    async def work(self, rows: list[Row]) -> None:
        subjects = [str(row["subject"]) for row in rows]
        self.batches.append(subjects)
        async with self.db.transaction() as tx:
            if self.broken & set(subjects):
                raise ValueError("a patient's name that must not be logged")
            await queues.finish(tx, "events", [row["id"] for row in rows], self.clock.now())


@asynccontextmanager
async def started(runner: Runner) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        await runner.stop()
        await asyncio.wait_for(task, 10)


async def until(condition: "asyncio.Event", seconds: float = 10) -> None:
    await asyncio.wait_for(condition.wait(), seconds)


async def test_drain_runs_what_is_due_in_batches(any_database: Database) -> None:
    clock = FrozenClock()
    room = Room(any_database, clock)
    await put(any_database, clock, "a", "b", "c", "d", "e")
    runner = Runner(any_database, clock, LOG, [Lane("events", room.work, limit=2)])
    assert await runner.drain() == 5
    assert room.batches == [["a", "b"], ["c", "d"], ["e"]]
    assert await runner.drain() == 0


async def test_drain_goes_on_while_work_makes_work(any_database: Database) -> None:
    db, clock = any_database, FrozenClock()
    sent: list[str] = []

    async def expand(rows: list[Row]) -> None:
        await deliver(db, clock, *(("b.example", row["subject"]) for row in rows))
        async with db.transaction() as tx:
            await queues.finish(tx, "events", [row["id"] for row in rows], clock.now())

    async def send(rows: list[Row]) -> None:
        sent.extend(row["activity_id"] for row in rows)
        async with db.transaction() as tx:
            outcomes = [Sent(row["id"], row["host"], "cavage") for row in rows]
            await queues.settle_deliveries(tx, outcomes, clock.now())

    await put(db, clock, "a", "b")
    # The delivery lane comes first, so that a second round is needed.
    runner = Runner(db, clock, LOG, [Lane("delivery", send), Lane("events", expand)])
    assert await runner.drain() == 4
    assert sent == ["a", "b"]


async def test_a_row_that_breaks_the_work_fails_alone(
    any_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    db, clock = any_database, FrozenClock()
    room = Room(db, clock)
    room.broken = {"b"}
    await put(db, clock, "a", "b", "c")
    runner = Runner(db, clock, LOG, [Lane("events", room.work)])
    with caplog.at_level(logging.DEBUG), pytest.raises(ValueError, match="patient"):
        await runner.drain()
    assert room.batches == [["a", "b", "c"], ["a"], ["b"], ["c"]]
    assert (await queues.counts(db))["events"] == {"waiting": 1, "done": 2, "dead": 0}
    row = await db.fetch_one("SELECT * FROM events WHERE state = 'waiting'")
    assert row is not None
    assert (row["subject"], row["last_error"]) == ("b", "error: ValueError")
    assert row["next_at"] == clock.now() + 5 * SECOND
    assert "work_failed" in caplog.text
    lines = [str(record.__dict__) for record in caplog.records]
    assert not any("patient" in line for line in lines)


async def test_a_row_that_always_fails_is_buried(any_database: Database) -> None:
    db, clock = any_database, FrozenClock()
    room = Room(db, clock)
    room.broken = {"a"}
    await put(db, clock, "a")
    runner = Runner(db, clock, LOG, [Lane("events", room.work)])
    for _ in range(9):
        assert await runner.drain(strict=False) == 1
        clock.advance(2 * HOUR)
    assert (await queues.counts(db))["events"]["waiting"] == 1
    await runner.drain(strict=False)
    assert (await queues.counts(db))["events"] == {"waiting": 0, "done": 0, "dead": 1}


def test_pauses_grow_and_end() -> None:
    pauses = [pause_after(attempts) for attempts in range(1, 11)]
    assert pauses[:3] == [5 * SECOND, 15 * SECOND, 45 * SECOND]
    assert pauses[-1] is None
    waits = [pause for pause in pauses if pause is not None]
    assert waits == sorted(waits)
    assert max(waits) == 2 * HOUR


async def test_a_wake_up_runs_new_rows_at_once(any_database: Database) -> None:
    db, clock = any_database, Clock()
    done = asyncio.Event()

    async def work(rows: list[Row]) -> None:
        async with db.transaction() as tx:
            await queues.finish(tx, "events", [row["id"] for row in rows], clock.now())
        done.set()

    runner = Runner(db, clock, LOG, [Lane("events", work, idle_ms=HOUR)])
    async with started(runner):
        await asyncio.sleep(0.1)
        await put(db, clock, "a")
        runner.wake("events")
        runner.wake("inbox")  # not run here
        await until(done)


async def test_without_a_wake_up_the_next_look_finds_it(any_database: Database) -> None:
    db, clock = any_database, Clock()
    done = asyncio.Event()

    async def work(rows: list[Row]) -> None:
        done.set()

    runner = Runner(db, clock, LOG, [Lane("events", work, idle_ms=50)])
    async with started(runner):
        await asyncio.sleep(0.1)
        await put(db, clock, "a")
        await until(done)


async def test_a_row_runs_when_it_comes_due(database: Database) -> None:
    clock = Clock()
    done = asyncio.Event()

    async def work(rows: list[Row]) -> None:
        async with database.transaction() as tx:
            await queues.finish(tx, "tasks", [row["id"] for row in rows], clock.now())
        done.set()

    async with database.transaction() as tx:
        await queues.put_task(tx, "peer", "b", {}, clock.now() + 400)
    begun = clock.now()
    runner = Runner(database, clock, LOG, [Lane("tasks", work, idle_ms=MINUTE)])
    async with started(runner):
        await until(done)
    assert 350 < clock.now() - begun < 5000


async def test_a_lease_is_renewed_while_its_work_runs(
    any_database: Database, any_database_url: str
) -> None:
    """Work that takes four leases is not taken by another worker; a killed one's soon is."""
    db, clock = any_database, Clock()
    other = await Database.open(any_database_url)
    runs: list[str] = []
    done = asyncio.Event()

    async def slow(rows: list[Row]) -> None:
        runs.append("slow")
        await asyncio.sleep(1.6)
        async with db.transaction() as tx:
            await queues.finish(tx, "events", [row["id"] for row in rows], clock.now())
        done.set()

    async def thief(rows: list[Row]) -> None:
        runs.append("thief")

    await put(db, clock, "a", "b")
    runner = Runner(db, clock, LOG, [Lane("events", slow, lease_ms=400)])
    try:
        async with started(runner):
            while not runs:
                await asyncio.sleep(0.01)
            waiting = Runner(other, clock, LOG, [Lane("events", thief, lease_ms=400, idle_ms=20)])
            async with started(waiting):
                await until(done)
    finally:
        await other.close()
    assert runs == ["slow"]
    rows = await db.fetch_all("SELECT state, attempts FROM events")
    assert [tuple(row) for row in rows] == [("done", 1)] * 2


@pytest.mark.parametrize("slots", [1, 3])
async def test_stopping_waits_for_work_that_runs(database: Database, slots: int) -> None:
    db, clock = database, Clock()
    begun = asyncio.Event()

    async def work(rows: list[Row]) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        async with db.transaction() as tx:
            await queues.finish(tx, "events", [row["id"] for row in rows], clock.now())

    await put(db, clock, "a", "b", "c", "d")
    runner = Runner(db, clock, LOG, [Lane("events", work, limit=1, slots=slots)])
    async with started(runner):
        await until(begun)
        await asyncio.sleep(0.1)
    assert (await queues.counts(db))["events"] == {"waiting": 4 - slots, "done": slots, "dead": 0}


async def test_a_host_with_more_rows_than_a_run_is_served_without_a_pause(
    any_database: Database,
) -> None:
    db, clock = any_database, Clock()
    seen: list[str] = []
    done = asyncio.Event()

    async def send(rows: list[Row]) -> None:
        await asyncio.sleep(0.1)
        seen.extend(row["activity_id"] for row in rows)
        async with db.transaction() as tx:
            outcomes = [Sent(row["id"], row["host"], "cavage") for row in rows]
            await queues.settle_deliveries(tx, outcomes, clock.now())
        if len(seen) == 70:
            done.set()

    await deliver(db, clock, *(("a", f"{n:02}") for n in range(70)))
    lane = Lane("delivery", send, slots=4, idle_ms=HOUR, lease_ms=HOUR)
    async with started(Runner(db, clock, LOG, [lane])):
        await until(done)
    assert seen == [f"{n:02}" for n in range(70)]


async def test_stopping_gives_back_what_takes_too_long(any_database: Database) -> None:
    db, clock = any_database, Clock()
    begun = asyncio.Event()

    async def work(rows: list[Row]) -> None:
        begun.set()
        await asyncio.sleep(3600)

    await put(db, clock, "a", "b")
    runner = Runner(db, clock, LOG, [Lane("events", work)])
    task = asyncio.create_task(runner.run())
    await until(begun)
    await runner.stop(grace_seconds=0.1)
    await asyncio.wait_for(task, 5)
    rows = await db.fetch_all("SELECT lease_by, attempts, next_at - created FROM events")
    assert [tuple(row) for row in rows] == [(None, 0, 0)] * 2


async def test_cancelling_the_runner_gives_leases_back(any_database: Database) -> None:
    db, clock = any_database, Clock()
    begun = asyncio.Event()

    async def work(rows: list[Row]) -> None:
        begun.set()
        await asyncio.sleep(3600)

    await put(db, clock, "a")
    task = asyncio.create_task(Runner(db, clock, LOG, [Lane("events", work)]).run())
    await until(begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await db.fetch_value("SELECT lease_by FROM events") is None


async def test_a_stop_before_the_start_is_kept(database: Database) -> None:
    runner = Runner(database, Clock(), LOG, [Lane("events", Room(database, Clock()).work)])
    task = asyncio.create_task(runner.run())
    await runner.stop()
    await asyncio.wait_for(task, 5)


async def test_a_slow_host_does_not_hold_up_others(any_database: Database) -> None:
    db, clock = any_database, Clock()
    running: dict[str, int] = {}
    sent: dict[str, list[str]] = {}
    all_fast = asyncio.Event()
    blocked = asyncio.Event()

    async def send(rows: list[Row]) -> None:
        [host] = {row["host"] for row in rows}
        running[host] = running.get(host, 0) + 1
        assert running[host] == 1, "two runs of one host at once"
        if host == "slow":
            await blocked.wait()
        sent.setdefault(host, []).extend(row["activity_id"] for row in rows)
        running[host] -= 1
        async with db.transaction() as tx:
            outcomes = [Sent(row["id"], host, "cavage") for row in rows]
            await queues.settle_deliveries(tx, outcomes, clock.now())
        if all(len(sent.get(f"h{n}", ())) == 30 for n in range(5)):
            all_fast.set()

    pairs = [("slow", "0"), *((f"h{n % 5}", f"{n:03}") for n in range(150))]
    await deliver(db, clock, *pairs)
    runner = Runner(db, clock, LOG, [Lane("delivery", send, slots=3, limit=12, idle_ms=HOUR)])
    async with started(runner):
        runner.wake("delivery")
        await until(all_fast, 20)
        assert "slow" not in sent
        blocked.set()
    assert (await queues.counts(db))["delivery"] == {"waiting": 0, "done": 151, "dead": 0}
    for n in range(5):
        assert sent[f"h{n}"] == [f"{k:03}" for k in range(150) if k % 5 == n]


async def test_an_error_in_a_run_keeps_the_order_of_its_host(any_database: Database) -> None:
    db, clock = any_database, FrozenClock()
    tries: list[list[str]] = []

    async def send(rows: list[Row]) -> None:
        tries.append([row["activity_id"] for row in rows])
        first = rows[0]
        if first["activity_id"] == "2" and first["attempts"] < 3:
            raise RuntimeError("broken")
        async with db.transaction() as tx:
            outcome = Sent(first["id"], first["host"], "cavage")
            await queues.settle_deliveries(tx, [outcome], clock.now())
        if len(rows) > 1:
            raise RuntimeError("stopped half way")

    await deliver(db, clock, ("a", "1"), ("a", "2"), ("a", "3"))
    runner = Runner(db, clock, LOG, [Lane("delivery", send)])
    assert await runner.drain(strict=False) == 3
    assert tries == [["1", "2", "3"], ["2"]]
    clock.advance(MINUTE)
    await runner.drain(strict=False)
    assert tries[2:] == [["2", "3"], ["2"]]
    clock.advance(MINUTE)
    await runner.drain(strict=False)
    assert tries[4:] == [["2", "3"], ["3"]]
    assert (await queues.counts(db))["delivery"]["done"] == 3


async def test_a_postponed_delivery_is_no_error(any_database: Database) -> None:
    db, clock = any_database, FrozenClock()
    at: list[int] = []

    async def send(rows: list[Row]) -> None:
        at.append(clock.now())
        async with db.transaction() as tx:
            row = rows[0]
            later = Postponed(row["id"], row["host"], clock.now() + HOUR, "503")
            await queues.settle_deliveries(tx, [later], clock.now())

    await deliver(db, clock, ("a", "1"), ("a", "2"))
    runner = Runner(db, clock, LOG, [Lane("delivery", send)])
    await runner.drain()
    clock.advance(HOUR)
    await runner.drain()
    assert at == [clock.now() - HOUR, clock.now()]


async def test_trouble_with_the_database_is_waited_out(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The claim fails twice as it does when the server is away; then it is back."""
    clock = Clock()
    done = asyncio.Event()
    failures = 2

    class Away(Database):
        async def group(self, work):  # type: ignore[no-untyped-def]
            nonlocal failures
            if failures:
                failures -= 1
                raise Busy
            return await database.group(work)

    async def work(rows: list[Row]) -> None:
        async with database.transaction() as tx:
            await queues.finish(tx, "events", [row["id"] for row in rows], clock.now())
        done.set()

    await put(database, clock, "a")
    db = Away(database._driver)
    runner = Runner(db, clock, LOG, [Lane("events", work)])
    with caplog.at_level(logging.WARNING):
        async with started(runner):
            for _ in range(2):
                runner.wake("events")
                await asyncio.sleep(0.1)
            await until(done)
    assert sum("claim_failed" in record.message for record in caplog.records) == 2
