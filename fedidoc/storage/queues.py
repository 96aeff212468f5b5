"""Every queue is a table: inbox, events, deliveries, tasks, mails, all of one row shape.

A row waits, is done or is dead. Claiming leases it: it still waits, but is not due before the lease
is over, so a worker that dies gives it back by doing nothing. Rows are thus run at least once;
their effects happen once because `finish` goes into the transaction of the effects.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from fedidoc.clock import Clock
from fedidoc.model import Event
from fedidoc.storage.deliveries import (
    Delivery,
    GivenUp,
    Outcome,
    Postponed,
    Sent,
    claim_deliveries,
    earliest_delivery,
    failures,
    host_failed,
    host_recovered,
    postpone,
    put_deliveries,
    revive_deliveries,
    schemes,
    set_scheme,
    settle_deliveries,
)
from fedidoc.storage.statements import Reader, Row, Transaction, among, skip_locked

__all__ = [
    "Delivery",
    "GivenUp",
    "Outcome",
    "Postponed",
    "Queue",
    "Sent",
    "VerifiedEntry",
    "bury",
    "claim",
    "claim_deliveries",
    "counts",
    "earliest",
    "failures",
    "finish",
    "forget_body",
    "host_failed",
    "host_recovered",
    "prune",
    "put_deliveries",
    "put_event",
    "put_events",
    "put_inbox",
    "put_task",
    "release",
    "renew",
    "retry",
    "revive",
    "schemes",
    "set_scheme",
    "settle_deliveries",
    "unsettled",
]

Queue = Literal["inbox", "events", "delivery", "tasks", "mail"]
QUEUES: tuple[Queue, ...] = ("inbox", "events", "delivery", "tasks", "mail")
_TABLES: dict[Queue, str] = {
    "inbox": "inbox",
    "events": "events",
    "delivery": "deliveries",
    "tasks": "tasks",
    "mail": "mails",
}


class VerifiedEntry(Protocol):
    """What the inbox takes. Only `activitypub.receive.VerifiedActivity` carries the brand."""

    @property
    def verified_by_receive(self) -> Literal[True]: ...
    @property
    def signer(self) -> str: ...
    @property
    def activity_id(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def received(self) -> int: ...


async def put_inbox(tx: Transaction, entries: Sequence[VerifiedEntry]) -> set[str]:
    """Store verified activities, due at once; the ids of the new rows.

    An activity that the same signer sent before is not stored again (its row may be done).
    """
    ids = Clock()
    rows = []
    for entry in entries:
        if entry.verified_by_receive is not True:
            raise TypeError("the inbox takes only what receive() verified")
        rows.append(
            (
                ids.sortable_id(),
                entry.signer,
                entry.activity_id,
                entry.host,
                entry.type,
                entry.body.decode(),
                entry.received,
                entry.received,
            )
        )
    new = await tx.insert_many(
        "inbox",
        ("id", "signer", "activity_id", "host", "type", "body", "next_at", "created"),
        rows,
        conflict="ON CONFLICT (signer, activity_id) DO NOTHING",
        returning="id",
    )
    return {row[0] for row in new}


async def put_event(tx: Transaction, event: Event, *, due: int | None = None) -> None:
    """Queue one domain event, in the transaction of the change that it tells of; due at once, or
    at `due` (ms)."""
    await put_events(tx, (event,), due=due)


async def put_events(tx: Transaction, events: Sequence[Event], *, due: int | None = None) -> None:
    """Queue domain events, due at their time or at `due`; one that is there is left out."""
    await tx.insert_many(
        "events",
        ("id", "kind", "actor_id", "subject", "detail", "next_at", "created"),
        [
            (e.id, str(e.kind), e.actor_id, e.subject, json.dumps(e.detail), due or e.at, e.at)
            for e in events
        ],
        conflict="ON CONFLICT (id) DO NOTHING",
    )


async def put_task(
    tx: Transaction, kind: str, subject: str, detail: Mapping[str, object], at: int
) -> None:
    """Have `kind` done for `subject` from `at` (ms) on; there is one task for each such pair.

    One that waits already keeps the earlier time and gets the new detail. One that is running, done
    or dead starts anew under a new id, so that the end of the old run does not end it.
    """
    await tx.execute(
        "INSERT INTO tasks (id, kind, subject, detail, next_at, created) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, subject) DO UPDATE SET id = excluded.id, detail = excluded.detail,"
        " next_at = CASE WHEN tasks.state = 'waiting' AND tasks.lease_by IS NULL"
        " AND tasks.next_at < excluded.next_at THEN tasks.next_at ELSE excluded.next_at END,"
        " state = 'waiting', attempts = 0, lease_by = NULL, lease_until = 0, last_error = NULL,"
        " created = excluded.created",
        (Clock().sortable_id(), kind, subject, json.dumps(detail), at, at),
    )


async def claim(
    tx: Transaction, queue: Queue, *, now: int, worker: str, lease_ms: int, limit: int
) -> list[Row]:
    """Lease up to `limit` due rows to `worker`, sorted by id. `attempts` counts claims.

    For `delivery` see `claim_deliveries`.
    """
    if queue == "delivery":
        return await claim_deliveries(tx, now=now, worker=worker, lease_ms=lease_ms, limit=limit)
    table = _TABLES[queue]
    until = now + lease_ms
    # MATERIALIZED: PostgreSQL might otherwise run the subquery again and lock more than `limit`.
    rows = await tx.fetch_all(
        f"WITH due AS MATERIALIZED (SELECT id FROM {table} WHERE state = 'waiting' AND next_at <= ?"
        f" ORDER BY next_at, id LIMIT ? {skip_locked(tx.dialect)})"
        f" UPDATE {table} SET lease_by = ?, lease_until = ?, next_at = ?, attempts = attempts + 1"
        " WHERE id IN (SELECT id FROM due) RETURNING *",
        (now, limit, worker, until, until),
    )
    return sorted(rows, key=_id_of)


async def finish(
    tx: Transaction,
    queue: Queue,
    ids: Sequence[str],
    now: int,
    effects: Mapping[str, str] | None = None,
) -> None:
    """Mark rows as done, in the transaction of their effects. Rows that do not wait stay as is.

    `effects` (inbox only) says for an id what came of it: a short text without what was sent.
    """
    by_effect: dict[str | None, list[str]] = defaultdict(list)
    for row_id in ids:
        by_effect[effects.get(row_id) if effects else None].append(row_id)
    for effect, some in by_effect.items():
        clause, params = among("id", some)
        also: str = ""
        values: list[object] = [now]
        if queue == "delivery":
            also, values = ", finished = ?", [now, now]
        elif effect is not None:
            also, values = ", effect = ?", [now, effect]
        await tx.execute(
            f"UPDATE {_TABLES[queue]} SET state = 'done', lease_by = NULL, lease_until = 0,"
            f" last_error = NULL, next_at = ?{also} WHERE state = 'waiting' AND {clause}",
            (*values, *params),
        )


async def forget_body(tx: Transaction, row_id: str) -> None:
    """Empty an inbox row that is done in this transaction: its words are kept sealed elsewhere."""
    await tx.execute("UPDATE inbox SET body = '' WHERE id = ?", (row_id,))


async def retry(tx: Transaction, queue: Queue, row_id: str, at: int, error: str) -> None:
    """Give a row back, to be tried again at `at` (ms). `error` is safe text from our own code.

    For `delivery` the later rows of the same host that were leased with it are given back too.
    """
    if queue == "delivery":
        await postpone(tx, row_id, at, error)
        return
    await tx.execute(
        f"UPDATE {_TABLES[queue]} SET next_at = ?, lease_by = NULL, lease_until = 0, last_error = ?"
        " WHERE state = 'waiting' AND id = ?",
        (at, error, row_id),
    )


async def bury(tx: Transaction, queue: Queue, row_id: str, error: str) -> None:
    """Give a row up: it stays, dead, until somebody revives it."""
    await tx.execute(
        f"UPDATE {_TABLES[queue]} SET state = 'dead', lease_by = NULL, lease_until = 0,"
        " last_error = ? WHERE state = 'waiting' AND id = ?",
        (error, row_id),
    )


async def release(tx: Transaction, queue: Queue, ids: Sequence[str], worker: str) -> None:
    """Give back what `worker` still has leased of these rows, as if it had not been claimed."""
    clause, params = among("id", ids)
    await tx.execute(
        f"UPDATE {_TABLES[queue]} SET next_at = created, lease_by = NULL, lease_until = 0,"
        f" attempts = attempts - 1 WHERE state = 'waiting' AND lease_by = ? AND {clause}",
        (worker, *params),
    )


async def renew(tx: Transaction, queue: Queue, ids: Sequence[str], worker: str, until: int) -> None:
    """Lengthen the leases that `worker` still has on these rows."""
    clause, params = among("id", ids)
    await tx.execute(
        f"UPDATE {_TABLES[queue]} SET lease_until = ?, next_at = ?"
        f" WHERE state = 'waiting' AND lease_by = ? AND {clause}",
        (until, until, worker, *params),
    )


async def unsettled(
    reader: Reader, queue: Queue, ids: Sequence[str], worker: str
) -> list[tuple[str, int]]:
    """(id, attempts) of those of these rows that `worker` has leased and not settled."""
    clause, params = among("id", ids)
    rows = await reader.fetch_all(
        f"SELECT id, attempts FROM {_TABLES[queue]}"
        f" WHERE state = 'waiting' AND lease_by = ? AND {clause} ORDER BY id",
        (worker, *params),
    )
    return [(row[0], row[1]) for row in rows]


async def earliest(reader: Reader, queue: Queue) -> int | None:
    """When the next row of the queue is due (ms, may be past), or None: nothing waits."""
    if queue == "delivery":
        return await earliest_delivery(reader)
    value: int | None = await reader.fetch_value(
        f"SELECT MIN(next_at) FROM {_TABLES[queue]} WHERE state = 'waiting'"
    )
    return value


async def counts(reader: Reader) -> dict[str, dict[str, int]]:
    """`{"inbox": {"waiting": …, "done": …, "dead": …}, …}` for each queue."""
    found = {name: {"waiting": 0, "done": 0, "dead": 0} for name in QUEUES}
    for name in QUEUES:
        rows = await reader.fetch_all(f"SELECT state, COUNT(*) FROM {_TABLES[name]} GROUP BY state")
        for row in rows:
            found[name][row[0]] = row[1]
    return {str(name): states for name, states in found.items()}


async def revive(tx: Transaction, queue: Queue, host: str | None = None) -> int:
    """Make dead rows, and rows that wait for a later try, due again. How many.

    `host` restricts it to rows from (inbox) or to (delivery) one host; for delivery the circuit
    breaker is closed as well. A task that was put for a later time keeps its time.
    """
    if queue == "delivery":
        return await revive_deliveries(tx, host)
    where: str = "1 = 1"
    params: tuple[str, ...] = ()
    if host is not None and queue == "inbox":
        where, params = "host = ?", (host,)
    return await tx.execute(
        f"UPDATE {_TABLES[queue]} SET state = 'waiting', attempts = 0, next_at = created"
        f" WHERE {where} AND (state = 'dead' OR (state = 'waiting' AND lease_by IS NULL"
        " AND next_at > created))",
        params,
    )


async def prune(
    tx: Transaction, before: int, *, forget_before: int | None = None, limit: int = 1000
) -> int:
    """Take done rows' contents away; how many rows were touched (`limit`: call it again).

    Inbox rows done before `before` lose their body. Signer and activity id stay, so that a replay
    is known, until `forget_before`, which must be further back than any signature is accepted
    (12 h and 1 h of skew; by default the rows stay). Done events, tasks and mails before `before`
    go.
    """
    touched = await tx.execute(
        "UPDATE inbox SET body = '' WHERE id IN (SELECT id FROM inbox"
        " WHERE state = 'done' AND body <> '' AND next_at < ? LIMIT ?)",
        (before, limit),
    )
    doomed: list[tuple[str, int]] = [("events", before), ("tasks", before), ("mails", before)]
    if forget_before is not None:
        doomed.append(("inbox", min(before, forget_before)))
    for table, moment in doomed:
        touched += await tx.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table}"
            " WHERE state = 'done' AND next_at < ? ORDER BY next_at, id LIMIT ?)",
            (moment, limit),
        )
    return touched


def _id_of(row: Row) -> str:
    row_id: str = row["id"]
    return row_id
