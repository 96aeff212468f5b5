"""The delivery queue: one row for each activity and inbox, sent in order for each host.

Order is per host: the oldest waiting row of a host goes first, and while it is leased, or waits for
its next try, or the host's circuit breaker (`hosts.next_at`) is open, the host's other rows wait.
One claim takes an ordered run of rows from each of several hosts. `storage.queues` offers the
functions of this module under its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedidoc.storage.statements import Dialect, Reader, Row, Transaction, among

# Steps from one waiting host to the next through the index (state, host, id): what a claim costs
# depends on how many hosts wait, not on how long their queues are.
_WAITING_HOSTS = """
WITH RECURSIVE waiting (host) AS (
  SELECT MIN(host) FROM deliveries WHERE state = 'waiting'
  UNION ALL
  SELECT (SELECT MIN(d.host) FROM deliveries d WHERE d.state = 'waiting' AND d.host > w.host)
  FROM waiting w WHERE w.host IS NOT NULL
)
SELECT {columns} FROM waiting w JOIN hosts h ON h.host = w.host {head}
"""
# `head` is the oldest waiting row of a host, `r` are the oldest few. PostgreSQL needs LATERAL to
# find them by the index; SQLite has no such thing, and finds them by the index without. There a
# run's last id is looked up first, to make the run a range; no id is greater than "~".
_HEAD: dict[Dialect, str] = {
    "sqlite": """
  JOIN deliveries head ON head.id = (
    SELECT d.id FROM deliveries d WHERE d.state = 'waiting' AND d.host = w.host
    ORDER BY d.id LIMIT 1)""",
    "postgresql": """
  CROSS JOIN LATERAL (
    SELECT d.id, d.next_at FROM deliveries d WHERE d.state = 'waiting' AND d.host = w.host
    ORDER BY d.id LIMIT 1) head""",
}
_RUN: dict[Dialect, str] = {
    "sqlite": """
  JOIN deliveries r ON r.state = 'waiting' AND r.host = h.host AND r.id <= COALESCE((
    SELECT d.id FROM deliveries d WHERE d.state = 'waiting' AND d.host = h.host
    ORDER BY d.id LIMIT 1 OFFSET ? - 1), '~')""",
    "postgresql": """
  CROSS JOIN LATERAL (
    SELECT d.id FROM deliveries d WHERE d.state = 'waiting' AND d.host = h.host
    ORDER BY d.id LIMIT ?) r""",
}
# A host with a lease that still holds is passed over.
_CLAIM = """
UPDATE deliveries SET lease_by = ?, lease_until = ?, next_at = ?, attempts = attempts + 1
WHERE id IN (
  SELECT r.id FROM hosts h {run}
  WHERE {hosts} AND NOT EXISTS (
    SELECT 1 FROM deliveries l WHERE l.host = h.host AND l.lease_by IS NOT NULL
    AND l.lease_until > ?)
) RETURNING *
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One activity to one inbox. `id` is sortable: a host gets its rows in the order of ids."""

    id: str
    activity_id: str
    actor_id: str
    host: str  # of the inbox: authority with a port that is not the scheme's own
    inbox: str
    at: int  # due from (ms)


@dataclass(frozen=True, slots=True)
class Sent:
    """The inbox took the row."""

    id: str
    host: str
    scheme: str  # the signature scheme that worked


@dataclass(frozen=True, slots=True)
class Postponed:
    """The host could not take the row now; the host's later rows stay behind it."""

    id: str
    host: str
    at: int
    reason: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The row is dead; the host's later rows go on."""

    id: str
    host: str
    reason: str


Outcome = Sent | Postponed | GivenUp


async def put_deliveries(tx: Transaction, rows: Sequence[Delivery]) -> int:
    """Queue rows; an inbox that has the activity already is left out. How many are new."""
    # In order, so that two transactions that meet new hosts cannot wait for each other.
    hosts = sorted({row.host for row in rows})
    await tx.insert_many(
        "hosts", ("host",), [(host,) for host in hosts], conflict="ON CONFLICT (host) DO NOTHING"
    )
    new = await tx.insert_many(
        "deliveries",
        ("id", "activity_id", "actor_id", "host", "inbox", "next_at", "created"),
        [(r.id, r.activity_id, r.actor_id, r.host, r.inbox, r.at, r.at) for r in rows],
        conflict="ON CONFLICT (activity_id, inbox) DO NOTHING",
        returning="id",
    )
    return len(new)


async def claim_deliveries(
    tx: Transaction,
    *,
    now: int,
    worker: str,
    lease_ms: int,
    limit: int,
    hosts: int | None = None,
    run: int = 20,
) -> list[Row]:
    """Lease due rows to `worker`: an ordered run of at most `run` rows for each of several hosts.

    At most `hosts` hosts (`limit` when not given), about `limit` rows in all, sorted by host and
    then by id. Of one host's rows only one worker ever holds any.
    """
    lock = "FOR UPDATE OF h SKIP LOCKED" if tx.dialect == "postgresql" else ""
    # On PostgreSQL the locked host rows keep other claims away; what they had claimed up to then
    # is seen by the second statement, which looks at the rows anew.
    due = await tx.fetch_all(
        _WAITING_HOSTS.format(columns="h.host", head=_HEAD[tx.dialect])
        + f"WHERE h.next_at <= ? AND head.next_at <= ? ORDER BY head.id LIMIT ? {lock}",
        (now, now, min(limit, hosts or limit)),
    )
    if not due:
        return []
    each = max(1, min(run, limit // len(due)))
    clause, names = among("h.host", [row[0] for row in due])
    until = now + lease_ms
    rows = await tx.fetch_all(
        _CLAIM.format(run=_RUN[tx.dialect], hosts=clause),
        (worker, until, until, each, *names, now),
    )
    return sorted(rows, key=lambda row: (row["host"], row["id"]))


async def settle_deliveries(tx: Transaction, outcomes: Sequence[Outcome], now: int) -> None:
    """Write down how tries ended, for any number of rows and hosts, in few statements.

    A row that no longer waits is left as it is. After `Postponed` the rest of its host's run is
    given back, to be claimed again after it.
    """
    sent = [outcome for outcome in outcomes if isinstance(outcome, Sent)]
    if sent:
        clause, ids = among("id", [outcome.id for outcome in sent])
        await tx.execute(
            "UPDATE deliveries SET state = 'done', finished = ?, lease_by = NULL, lease_until = 0,"
            f" last_error = NULL WHERE state = 'waiting' AND {clause}",
            (now, *ids),
        )
        for scheme in sorted({outcome.scheme for outcome in sent}):
            hosts = [outcome.host for outcome in sent if outcome.scheme == scheme]
            await host_recovered(tx, hosts, scheme, now)
    for outcome in outcomes:
        if isinstance(outcome, Postponed):
            await postpone(tx, outcome.id, outcome.at, outcome.reason)
        elif isinstance(outcome, GivenUp):
            await tx.execute(
                "UPDATE deliveries SET state = 'dead', lease_by = NULL, lease_until = 0,"
                " last_error = ? WHERE state = 'waiting' AND id = ?",
                (outcome.reason, outcome.id),
            )


async def postpone(tx: Transaction, delivery_id: str, at: int, reason: str) -> None:
    """Try this row again at `at`, and give back the rows of its host that were leased with it."""
    host = await tx.fetch_value(
        "UPDATE deliveries SET next_at = ?, lease_by = NULL, lease_until = 0, last_error = ?"
        " WHERE state = 'waiting' AND id = ? RETURNING host",
        (at, reason, delivery_id),
    )
    if host is not None:
        await tx.execute(
            "UPDATE deliveries SET next_at = created, lease_by = NULL, lease_until = 0,"
            " attempts = attempts - 1"
            " WHERE host = ? AND lease_by IS NOT NULL AND state = 'waiting' AND id > ?",
            (host, delivery_id),
        )


async def host_failed(tx: Transaction, host: str, next_at: int, error: str) -> None:
    """Open the host's circuit breaker: nothing is claimed for it before `next_at`."""
    await tx.execute(
        "INSERT INTO hosts (host, failures, next_at, last_error) VALUES (?, 1, ?, ?)"
        " ON CONFLICT (host) DO UPDATE SET failures = hosts.failures + 1,"
        " next_at = excluded.next_at, last_error = excluded.last_error",
        (host, next_at, error),
    )


async def host_recovered(tx: Transaction, hosts: Iterable[str], scheme: str, at: int) -> None:
    """Close the circuit breaker of hosts that took a delivery, and remember their scheme.

    `hosts.delivered` is kept to the minute, so that a healthy host costs no write for each row.
    """
    names = sorted(set(hosts))
    clause, params = among("host", names)
    await tx.execute(
        "UPDATE hosts SET failures = 0, next_at = 0, last_error = NULL, scheme = ?, delivered = ?"
        f" WHERE {clause} AND (failures > 0 OR scheme IS NULL OR scheme <> ?"
        " OR delivered IS NULL OR delivered < ?)",
        (scheme, at, *params, scheme, at - 60_000),
    )


async def set_scheme(tx: Transaction, host: str, scheme: str) -> None:
    """Remember which signature scheme a host takes, before anything was delivered to it."""
    await tx.execute(
        "INSERT INTO hosts (host, scheme) VALUES (?, ?)"
        " ON CONFLICT (host) DO UPDATE SET scheme = excluded.scheme",
        (host, scheme),
    )


async def schemes(reader: Reader, hosts: Iterable[str]) -> dict[str, str]:
    """The scheme that worked last, for each of `hosts` where one is known."""
    clause, params = among("host", hosts)
    rows = await reader.fetch_all(
        f"SELECT host, scheme FROM hosts WHERE scheme IS NOT NULL AND {clause}", params
    )
    return {row[0]: row[1] for row in rows}


async def failures(reader: Reader, hosts: Iterable[str]) -> dict[str, int]:
    """How often in a row each of `hosts` failed, where it did."""
    clause, params = among("host", hosts)
    rows = await reader.fetch_all(
        f"SELECT host, failures FROM hosts WHERE failures > 0 AND {clause}", params
    )
    return {row[0]: row[1] for row in rows}


async def earliest_delivery(reader: Reader) -> int | None:
    """When the next row may be claimed (ms), its lease, its next try and its host considered."""
    value: int | None = await reader.fetch_value(
        _WAITING_HOSTS.format(
            columns="MIN(CASE WHEN h.next_at > head.next_at THEN h.next_at ELSE head.next_at END)",
            head=_HEAD[reader.dialect],
        )
    )
    return value


async def revive_deliveries(tx: Transaction, host: str | None) -> int:
    """Make dead and postponed rows due again (of one host, or all) and close circuit breakers."""
    of_host: str = "1 = 1" if host is None else "host = ?"
    params = () if host is None else (host,)
    await tx.execute(f"UPDATE hosts SET next_at = 0 WHERE next_at > 0 AND {of_host}", params)
    return await tx.execute(
        "UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = created"
        f" WHERE {of_host} AND (state = 'dead' OR (state = 'waiting' AND lease_by IS NULL"
        " AND next_at > created))",
        params,
    )
