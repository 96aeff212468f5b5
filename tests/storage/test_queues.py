"""Every queue on both databases: nothing claimed twice, nothing lost, in order for each host."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from fedidoc.clock import DAY, HOUR, SECOND, Clock
from fedidoc.model import Event, EventKind
from fedidoc.storage import queues
from fedidoc.storage.engine import Database, Row, Transaction
from fedidoc.storage.queues import Delivery, GivenUp, Postponed, Queue, Sent

NOW = 1_790_000_000_000
LEASE = 60 * SECOND


@dataclass(frozen=True)
class Entry:
    """What receive() would have verified."""

    activity_id: str
    signer: str = "https://peer.example/users/ada"
    host: str = "peer.example"
    type: str = "Create"
    body: bytes = b'{"summary":"caf\xc3\xa9"}'
    received: int = NOW
    verified_by_receive: Literal[True] = True


async def put(db: Database, *entries: Entry) -> set[str]:
    async with db.transaction() as tx:
        return await queues.put_inbox(tx, entries)


async def take(
    db: Database, queue: Queue = "inbox", *, now: int = NOW, worker: str = "w", limit: int = 10
) -> list[Row]:
    async with db.transaction() as tx:
        return await queues.claim(tx, queue, now=now, worker=worker, lease_ms=LEASE, limit=limit)


async def deliver(db: Database, *pairs: tuple[str, str], at: int = NOW) -> list[str]:
    """Queue (host, activity) pairs in order; their ids."""
    clock = Clock()
    rows = [
        Delivery(clock.sortable_id(), activity, "actor", host, f"https://{host}/inbox", at)
        for host, activity in pairs
    ]
    async with db.transaction() as tx:
        assert await queues.put_deliveries(tx, rows) == len(rows)
    return [row.id for row in rows]


async def take_deliveries(db: Database, **arguments: Any) -> list[tuple[str, str]]:
    wanted = {"now": NOW, "worker": "w", "lease_ms": LEASE, "limit": 100} | arguments
    async with db.transaction() as tx:
        rows = await queues.claim_deliveries(tx, **wanted)
    return [(row["host"], row["activity_id"]) for row in rows]


async def settle(db: Database, *outcomes: queues.Outcome, now: int = NOW) -> None:
    async with db.transaction() as tx:
        await queues.settle_deliveries(tx, outcomes, now)


async def test_an_activity_is_stored_once_for_each_signer(any_database: Database) -> None:
    first = await put(any_database, Entry("a"), Entry("b"))
    assert len(first) == 2
    again = await put(
        any_database, Entry("a"), Entry("c"), Entry("a", signer="https://peer.example/users/bo")
    )
    assert len(again) == 2
    assert not first & again
    rows = await take(any_database)
    assert [row["activity_id"] for row in rows if row["id"] in first] == ["a", "b"]
    assert rows[0]["body"] == '{"summary":"café"}'
    assert await queues.counts(any_database) == {
        "inbox": {"waiting": 4, "done": 0, "dead": 0},
        "events": {"waiting": 0, "done": 0, "dead": 0},
        "delivery": {"waiting": 0, "done": 0, "dead": 0},
        "tasks": {"waiting": 0, "done": 0, "dead": 0},
        "mail": {"waiting": 0, "done": 0, "dead": 0},
    }


async def test_one_batch_with_the_same_activity_twice_stores_it_once(
    any_database: Database,
) -> None:
    assert len(await put(any_database, Entry("a"), Entry("a"))) == 1


async def test_the_inbox_refuses_what_receive_did_not_verify(any_database: Database) -> None:
    forged: Any = Entry("a")
    object.__setattr__(forged, "verified_by_receive", 1)
    with pytest.raises(TypeError, match="verified"):
        await put(any_database, forged)
    assert await queues.earliest(any_database, "inbox") is None


async def test_a_leased_row_is_due_again_only_after_its_lease(any_database: Database) -> None:
    await put(any_database, Entry("a"))
    assert [row["attempts"] for row in await take(any_database)] == [1]
    assert await take(any_database, now=NOW + LEASE - 1) == []
    assert await queues.earliest(any_database, "inbox") == NOW + LEASE
    again = await take(any_database, now=NOW + LEASE, worker="other")
    assert [(row["attempts"], row["lease_by"]) for row in again] == [(2, "other")]


async def test_finished_rows_keep_their_effect_and_are_not_run_again(
    any_database: Database,
) -> None:
    await put(any_database, Entry("a"), Entry("b"), Entry("c"))
    ids = {row["activity_id"]: row["id"] for row in await take(any_database)}
    async with any_database.transaction() as tx:
        effects = {ids["a"]: "stored", ids["b"]: "refused: no credential"}
        await queues.finish(tx, "inbox", list(ids.values()), NOW, effects)
    rows = await any_database.fetch_all("SELECT activity_id, state, effect, lease_by FROM inbox")
    assert {tuple(row) for row in rows} == {
        ("a", "done", "stored", None),
        ("b", "done", "refused: no credential", None),
        ("c", "done", None, None),
    }
    assert await take(any_database, now=NOW + DAY) == []
    assert await queues.earliest(any_database, "inbox") is None


async def test_an_undone_transaction_undoes_finishing(any_database: Database) -> None:
    await put(any_database, Entry("a"))
    [row] = await take(any_database)
    with pytest.raises(ZeroDivisionError):
        async with any_database.transaction() as tx:
            await queues.finish(tx, "inbox", [row["id"]], NOW)
            raise ZeroDivisionError
    assert len(await take(any_database, now=NOW + LEASE)) == 1


async def test_retry_bury_and_revive(any_database: Database) -> None:
    await put(any_database, Entry("a"), Entry("b", host="other.example"))
    first, second = await take(any_database)
    async with any_database.transaction() as tx:
        await queues.retry(tx, "inbox", first["id"], NOW + HOUR, "peer away")
        await queues.bury(tx, "inbox", second["id"], "cannot be read")
    assert (await queues.counts(any_database))["inbox"] == {"waiting": 1, "done": 0, "dead": 1}
    assert await take(any_database, now=NOW + HOUR - 1) == []
    async with any_database.transaction() as tx:
        assert await queues.revive(tx, "inbox", host="other.example") == 1
    assert [row["activity_id"] for row in await take(any_database)] == ["b"]
    async with any_database.transaction() as tx:
        assert await queues.revive(tx, "inbox") == 1
    assert [(r["activity_id"], r["attempts"]) for r in await take(any_database)] == [("a", 1)]


async def test_settling_a_row_that_is_settled_changes_nothing(any_database: Database) -> None:
    """A worker whose lease ran out while another finished its rows."""
    await put(any_database, Entry("a"), Entry("b"))
    ids = [row["id"] for row in await take(any_database)]
    async with any_database.transaction() as tx:
        await queues.finish(tx, "inbox", ids[:1], NOW, {ids[0]: "stored"})
        await queues.bury(tx, "inbox", ids[1], "given up")
        await queues.finish(tx, "inbox", ids, NOW, dict.fromkeys(ids, "late"))
        await queues.release(tx, "inbox", ids, "w")
        for row_id in ids:
            await queues.retry(tx, "inbox", row_id, NOW, "late")
            await queues.bury(tx, "inbox", row_id, "late")
    rows = await any_database.fetch_all("SELECT state, effect, last_error FROM inbox ORDER BY id")
    assert [tuple(row) for row in rows] == [("done", "stored", None), ("dead", None, "given up")]


async def test_release_gives_back_only_what_this_worker_holds(any_database: Database) -> None:
    await put(any_database, Entry("a"), Entry("b"))
    mine = await take(any_database, limit=1, worker="me")
    theirs = await take(any_database, limit=1, worker="them")
    ids = [row["id"] for row in (*mine, *theirs)]
    assert await queues.unsettled(any_database, "inbox", ids, "me") == [(mine[0]["id"], 1)]
    async with any_database.transaction() as tx:
        await queues.release(tx, "inbox", ids, "me")
    assert [(r["id"], r["attempts"]) for r in await take(any_database)] == [(mine[0]["id"], 1)]


async def test_events_keep_their_detail(any_database: Database) -> None:
    event = Event("01", EventKind.POST_DELETED, "ada", "post", NOW, {"inboxes": [["x", "ü"]]})
    async with any_database.transaction() as tx:
        await queues.put_event(tx, event)
        await queues.put_event(tx, event)
    [row] = await take(any_database, "events")
    assert row["kind"] == "post_deleted"
    assert row["detail"] == '{"inboxes": [["x", "\\u00fc"]]}'


async def test_a_task_put_again_while_it_runs_runs_again(any_database: Database) -> None:
    db = any_database
    async with db.transaction() as tx:
        await queues.put_task(tx, "peer", "b.example", {"n": 1}, NOW + HOUR)
        await queues.put_task(tx, "peer", "b.example", {"n": 2}, NOW)  # earlier wins
        await queues.put_task(tx, "peer", "b.example", {"n": 3}, NOW + DAY)
    [row] = await take(db, "tasks")
    assert row["detail"] == '{"n": 3}'
    async with db.transaction() as tx:
        await queues.put_task(tx, "peer", "b.example", {"n": 4}, NOW)
        await queues.finish(tx, "tasks", [row["id"]], NOW)
    [again] = await take(db, "tasks")
    assert again["detail"] == '{"n": 4}'
    async with db.transaction() as tx:
        await queues.finish(tx, "tasks", [again["id"]], NOW)
    assert await take(db, "tasks", now=NOW + DAY) == []


async def test_a_host_gets_its_rows_in_order_and_to_one_worker(any_database: Database) -> None:
    db = any_database
    ids = await deliver(db, ("a", "1"), ("b", "1"), ("a", "2"), ("a", "3"), ("b", "2"))
    assert await take_deliveries(db, run=2) == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]
    # The third row of `a` waits for the run before it.
    assert await take_deliveries(db, worker="other") == []
    await settle(db, Sent(ids[0], "a", "cavage"))
    assert await take_deliveries(db, worker="other") == []
    await settle(db, Sent(ids[2], "a", "cavage"))
    assert await take_deliveries(db, worker="other") == [("a", "3")]
    assert await queues.schemes(db, ["a", "b", "c"]) == {"a": "cavage"}


async def test_a_later_row_with_a_smaller_id_does_not_pass_a_lease(
    any_database: Database,
) -> None:
    """Another process, whose clock is behind, queued it."""
    await deliver(any_database, ("a", "1"))
    assert await take_deliveries(any_database) == [("a", "1")]
    async with any_database.transaction() as tx:
        row = Delivery("0" * 26, "0", "actor", "a", "https://a/inbox", NOW)
        await queues.put_deliveries(tx, [row])
    assert await take_deliveries(any_database) == []
    assert await take_deliveries(any_database, now=NOW + LEASE) == [("a", "0"), ("a", "1")]


async def test_a_postponed_row_holds_its_host_back(any_database: Database) -> None:
    db = any_database
    ids = await deliver(db, ("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"))
    assert len(await take_deliveries(db)) == 4
    await settle(
        db,
        Sent(ids[0], "a", "cavage"),
        Postponed(ids[1], "a", NOW + HOUR, "503"),
        GivenUp(ids[3], "b", "410"),
    )
    assert await take_deliveries(db, now=NOW + HOUR - 1) == []
    assert await queues.earliest(db, "delivery") == NOW + HOUR
    assert await take_deliveries(db, now=NOW + HOUR) == [("a", "2"), ("a", "3")]
    attempts = await db.fetch_all("SELECT activity_id, attempts FROM deliveries WHERE host = 'a'")
    assert {tuple(row) for row in attempts} == {("1", 1), ("2", 2), ("3", 1)}
    assert (await queues.counts(db))["delivery"] == {"waiting": 2, "done": 1, "dead": 1}


async def test_an_open_circuit_breaker_keeps_claims_away(any_database: Database) -> None:
    db = any_database
    await deliver(db, ("a", "1"), ("b", "1"))
    async with db.transaction() as tx:
        await queues.host_failed(tx, "a", NOW + HOUR, "timeout")
        await queues.host_failed(tx, "a", NOW + HOUR, "timeout")
    assert await queues.failures(db, ["a", "b"]) == {"a": 2}
    assert await take_deliveries(db) == [("b", "1")]
    assert await queues.earliest(db, "delivery") == NOW + LEASE
    async with db.transaction() as tx:
        await queues.host_recovered(tx, ["a"], "rfc9421-rsa", NOW)
    assert await queues.failures(db, ["a"]) == {}
    assert await take_deliveries(db) == [("a", "1")]


async def test_reviving_closes_the_circuit_breaker(any_database: Database) -> None:
    db = any_database
    ids = await deliver(db, ("a", "1"), ("a", "2"), ("b", "1"))
    await take_deliveries(db)
    await settle(db, GivenUp(ids[0], "a", "no"), Postponed(ids[1], "a", NOW + DAY, "no"))
    async with db.transaction() as tx:
        await queues.host_failed(tx, "a", NOW + DAY, "timeout")
        assert await queues.revive(tx, "delivery", host="a") == 2
    assert await take_deliveries(db) == [("a", "1"), ("a", "2")]


async def test_an_activity_goes_to_an_inbox_once(any_database: Database) -> None:
    await deliver(any_database, ("a", "1"))
    async with any_database.transaction() as tx:
        again = Delivery("z" * 26, "1", "actor", "a", "https://a/inbox", NOW)
        assert await queues.put_deliveries(tx, [again]) == 0


async def test_the_host_that_waited_longest_goes_first(any_database: Database) -> None:
    await deliver(any_database, ("z", "1"), ("a", "1"), ("a", "2"), ("m", "1"))
    assert await take_deliveries(any_database, limit=2, hosts=1) == [("z", "1")]
    assert await take_deliveries(any_database, limit=2) == [("a", "1"), ("m", "1")]


async def test_a_long_queue_to_one_host_is_claimed_in_runs(any_database: Database) -> None:
    db = any_database
    ids = await deliver(db, *(("a", f"{n:04}") for n in range(1000)))
    claims = 0
    seen: list[str] = []
    while rows := await take_deliveries(db, limit=500, run=200):
        claims += 1
        seen += [activity for _, activity in rows]
        done = ids[len(seen) - len(rows) : len(seen)]
        await settle(db, *(Sent(row, "a", "cavage") for row in done))
    assert claims == 5
    assert seen == [f"{n:04}" for n in range(1000)]


@pytest.mark.parametrize("queue", ["inbox", "delivery"])
async def test_racing_claims_take_every_row_once(
    any_database: Database, any_database_url: str, queue: Queue
) -> None:
    """Two databases, as two processes have them, claim side by side from the same tables."""
    if queue == "inbox":
        await put(any_database, *(Entry(f"{n}") for n in range(300)))
    else:
        await deliver(any_database, *((f"h{n % 40}", f"{n:04}") for n in range(300)))
    other = await Database.open(any_database_url)
    claimed: list[tuple[str, str]] = []
    held: dict[str, str] = {}

    async def claim_all(db: Database, worker: str) -> None:
        while True:
            async with db.transaction() as tx:
                if queue == "delivery":
                    rows = await queues.claim_deliveries(
                        tx, now=NOW, worker=worker, lease_ms=LEASE, limit=12, hosts=4, run=3
                    )
                else:
                    rows = await queues.claim(
                        tx, queue, now=NOW, worker=worker, lease_ms=LEASE, limit=7
                    )
            if not rows:
                waiting = (await queues.counts(db))[queue]["waiting"]
                if not waiting:
                    return
                await asyncio.sleep(0.002)
                continue
            for host in {row["host"] for row in rows} if queue == "delivery" else ():
                assert held.setdefault(host, worker) == worker, "two workers hold one host"
            await asyncio.sleep(0)
            claimed.extend((row["host"], row["id"]) for row in rows)
            for host in {row["host"] for row in rows}:
                held.pop(host, None)
            async with db.transaction() as tx:
                await queues.finish(tx, queue, [row["id"] for row in rows], NOW)

    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(claim_all(any_database, f"a{number}"))
                group.create_task(claim_all(other, f"b{number}"))
    finally:
        await other.close()
    assert len(claimed) == 300
    assert len(set(claimed)) == 300
    if queue == "delivery":
        for host in {host for host, _ in claimed}:
            ids = [row for name, row in claimed if name == host]
            assert ids == sorted(ids)


async def test_prune_empties_bodies_and_still_knows_the_replay(any_database: Database) -> None:
    db = any_database
    await put(db, Entry("old"), Entry("new"), Entry("waiting"))
    rows = {row["activity_id"]: row["id"] for row in await take(db)}
    async with db.transaction() as tx:
        await queues.put_event(tx, Event("01", EventKind.LIKED, "ada", "p", NOW, {}))
        await queues.finish(tx, "inbox", [rows["old"]], NOW)
        await queues.finish(tx, "events", ["01"], NOW)
        await queues.finish(tx, "inbox", [rows["new"]], NOW + DAY)
        assert await queues.prune(tx, NOW + 1) == 2
        assert await queues.prune(tx, NOW + 1) == 0
    bodies = await db.fetch_all("SELECT activity_id FROM inbox WHERE body = ''")
    assert [row[0] for row in bodies] == ["old"]
    assert await put(db, Entry("old")) == set()
    async with db.transaction() as tx:
        assert await queues.prune(tx, NOW + 1, forget_before=NOW + 1) == 1
    assert len(await put(db, Entry("old"))) == 1


class Spy:
    """A transaction that notes the statements it is given, and passes them on."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.dialect = tx.dialect
        self.statements: list[tuple[str, Sequence[Any]]] = []

    async def fetch_all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self.statements.append((sql, params))
        return await self.tx.fetch_all(sql, params)

    async def fetch_value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        rows = await self.fetch_all(sql, params)
        return rows[0][0] if rows else None

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        self.statements.append((sql, params))
        return await self.tx.execute(sql, params)


async def test_indexes_serve_the_queues(any_database: Database) -> None:
    """No statement on the way of a row reads a whole table, however long the queues are."""
    db = any_database
    await put(db, *(Entry(f"{n}") for n in range(3000)))
    await deliver(db, *((f"h{n % 30}", f"{n:05}") for n in range(3000)))
    async with db.transaction() as tx:
        await tx.execute("ANALYZE")
        spy: Any = Spy(tx)
        for queue in ("inbox", "events", "tasks"):
            await queues.claim(spy, queue, now=NOW, worker="w", lease_ms=LEASE, limit=10)
        rows = await queues.claim_deliveries(
            spy, now=NOW, worker="w", lease_ms=LEASE, limit=20, hosts=4
        )
        assert len(rows) == 20
        for name in ("inbox", "delivery"):
            await queues.earliest(spy, name)
            await queues.finish(spy, name, ["1", "2"], NOW)
            await queues.retry(spy, name, rows[0]["id"], NOW, "x")
        await queues.prune(spy, NOW, forget_before=NOW)
        assert len(spy.statements) > 12
        explain = "EXPLAIN QUERY PLAN " if db.dialect == "sqlite" else "EXPLAIN "
        tables = "inbox|deliveries"
        for sql, params in spy.statements:
            plan = "\n".join(
                row["detail"] if db.dialect == "sqlite" else row[0]
                for row in await tx.fetch_all(explain + sql, params)
            )
            whole = re.search(rf"(SCAN|Seq Scan on) ({tables}|d|r|l|head)\b", plan)
            assert whole is None, f"{sql}\n{plan}"
            if "SET lease_by = ?" in sql and "deliveries" in sql and db.dialect == "sqlite":
                assert "deliveries_due (state=? AND host=? AND id<?)" in plan
                assert "deliveries_leased" in plan
