"""The outbox: events become activities and deliveries, deliveries are sent.

Deliveries go to many hosts at once and in order within a host. Each is signed when it is sent,
retried or not, since peers refuse dates that are hours old. Results are written down together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final

from fedidoc.activitypub.deliver import Delivered, GiveUp, deliver
from fedidoc.activitypub.digests import BodyDigest, digest_body
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.signatures import Scheme
from fedidoc.clock import Clock
from fedidoc.federation.bounded import Recent
from fedidoc.federation.expansion import Expanded, Expansion
from fedidoc.federation.signing import SigningKeys
from fedidoc.log import Log, cause_of
from fedidoc.storage import activities, queues
from fedidoc.storage.engine import Database, Row
from fedidoc.storage.queues import Delivery, GivenUp, Outcome, Postponed, Sent
from fedidoc.verification.trust import Trust

EVENTS: Final = "events"
DELIVERY: Final = "delivery"

_CACHED_BODIES = 512
_SETTLE_EVERY = 1.0  # seconds
_PATIENCE = 3.0  # seconds; a slower host goes on beside the next batch
_SAME_ERROR_TRIES = 6
_EVENT_TRIES = 8
_EVENT_AGAIN = 30_000


class Outbox:
    """Everything this instance tells others."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        trust: Trust,
        fetcher: Fetcher,
        expansion: Expansion,
        signing: SigningKeys,
        *,
        concurrency: int = 32,
        wake: Callable[[str], None] = lambda queue: None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._trust = trust
        self._fetcher = fetcher
        self._expansion = expansion
        self._signing = signing
        self._wake = wake
        self._log = Log("outbox")
        self._hosts = asyncio.Semaphore(concurrency)
        self._bodies: Recent[str, tuple[bytes, BodyDigest]] = Recent(_CACHED_BODIES)
        self._slow: set[asyncio.Task[None]] = set()

    # Events -----------------------------------------------------------------------------------

    async def expand(self, rows: Sequence[Row]) -> None:
        """Turn claimed event rows into activities and delivery rows, and settle them."""
        made: list[Expanded] = []
        done: list[str] = []
        for row in rows:
            try:
                expanded = await self._expansion.expand(self._db, row)
            except Exception as error:
                await self._put_off(row, cause_of(error))
                continue
            if expanded is not None:
                made.append(expanded)
            done.append(row["id"])
        now = self._clock.now()
        deliveries = [
            Delivery(
                self._clock.sortable_id(), e.activity.id, e.activity.actor_id, host, inbox, now
            )
            for e in made
            for inbox, host in e.inboxes
        ]
        async with self._db.transaction() as tx:
            await activities.put(tx, [e.activity for e in made])
            await queues.put_deliveries(tx, deliveries)
            await queues.finish(tx, EVENTS, done, now)
        if deliveries:
            self._wake(DELIVERY)

    async def _put_off(self, row: Row, cause: str) -> None:
        self._log.error("event_failed", cause=cause, job=row["kind"])
        async with self._db.transaction() as tx:
            if row["attempts"] >= _EVENT_TRIES:
                await queues.bury(tx, EVENTS, row["id"], cause)
            else:
                at = self._clock.now() + _EVENT_AGAIN * row["attempts"]
                await queues.retry(tx, EVENTS, row["id"], at, cause)

    # Deliveries -------------------------------------------------------------------------------

    async def send(self, rows: Sequence[Row]) -> None:
        """Send claimed delivery rows (sorted by host, then id) and settle each.

        A host that takes longer than a few seconds goes on by itself under its lease, so that it
        does not hold up the others; `settled` waits for those.
        """
        await self._load_bodies(rows)
        remembered = await queues.schemes(self._db, {row["host"] for row in rows})
        tasks: dict[asyncio.Task[list[Outcome]], str] = {}
        for host, run in groupby(rows, key=lambda row: str(row["host"])):
            scheme = Scheme(remembered[host]) if host in remembered else None
            task = asyncio.create_task(self._send_run(host, list(run), scheme))
            tasks[task] = host
        until = asyncio.get_running_loop().time() + _PATIENCE
        waiting: set[asyncio.Task[list[Outcome]]] = set(tasks)
        while waiting and asyncio.get_running_loop().time() < until:
            done, waiting = await asyncio.wait(waiting, timeout=_SETTLE_EVERY)
            await self._settle([outcome for task in done for outcome in task.result()])
        for task in waiting:
            late = asyncio.create_task(self._settle_late(task))
            self._slow.add(late)
            late.add_done_callback(self._slow.discard)

    async def settled(self) -> None:
        """Wait for the slow hosts of earlier batches."""
        while self._slow:
            await asyncio.gather(*self._slow, return_exceptions=True)

    async def close(self) -> None:
        """Leave slow hosts to their leases: their rows are sent again after the restart."""
        for task in list(self._slow):
            task.cancel()
        await asyncio.gather(*self._slow, return_exceptions=True)

    async def _settle_late(self, task: asyncio.Task[list[Outcome]]) -> None:
        try:
            await self._settle(await task)
        finally:
            task.cancel()

    async def _send_run(
        self, host: str, rows: Sequence[Row], scheme: Scheme | None
    ) -> list[Outcome]:
        """One host's rows in order, up to the first that has to wait."""
        outcomes: list[Outcome] = []
        async with self._hosts:
            for row in rows:
                try:
                    outcome, scheme = await self._send_one(host, row, scheme)
                except Exception as error:
                    # Whatever it was, the row must not be lost nor stop the other hosts.
                    self._log.error("delivery_failed", host=host, cause=cause_of(error))
                    again = self._clock.now() + _EVENT_AGAIN * int(row["attempts"])
                    outcome = Postponed(row["id"], host, again, cause_of(error))
                outcomes.append(outcome)
                if isinstance(outcome, Postponed):
                    break
        return outcomes

    async def _send_one(
        self, host: str, row: Row, scheme: Scheme | None
    ) -> tuple[Outcome, Scheme | None]:
        body = self._bodies.get(row["activity_id"])
        if not self._trust.allows(host):
            return GivenUp(row["id"], host, "peer_not_allowed"), scheme
        if body is None:
            return GivenUp(row["id"], host, "no_activity"), scheme
        failures = int(row["attempts"]) - 1  # `attempts` counts this try
        outcome = await deliver(
            row["inbox"],
            body[0],
            keys=await self._signing.of(row["actor_id"]),
            scheme=scheme,
            fetcher=self._fetcher,
            now_ms=self._clock.now(),
            attempts=failures,
            digest=body[1],
        )
        if isinstance(outcome, Delivered):
            return Sent(row["id"], host, outcome.scheme.value), outcome.scheme
        if isinstance(outcome, GiveUp):
            return GivenUp(row["id"], host, outcome.reason), scheme
        if outcome.reason == "status_500" and failures + 1 >= _SAME_ERROR_TRIES:
            # The host is up and fails on this activity: what waits behind it goes on.
            return GivenUp(row["id"], host, outcome.reason), scheme
        return Postponed(row["id"], host, outcome.at_ms, outcome.reason), scheme

    async def _load_bodies(self, rows: Sequence[Row]) -> None:
        """Have every body of the batch in memory, each with its digest made once."""
        wanted = {row["activity_id"] for row in rows}
        missing = [id for id in wanted if self._bodies.get(id) is None]
        found: Mapping[str, activities.Activity] = {}
        if missing:
            found = await activities.get_many(self._db, missing)
        for id, activity in found.items():
            body = activity.body.encode()
            self._bodies.put(id, (body, digest_body(body)))

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        now = self._clock.now()
        async with self._db.transaction() as tx:
            await queues.settle_deliveries(tx, outcomes, now)
            for outcome in outcomes:
                if isinstance(outcome, Postponed):
                    # The circuit breaker: nothing goes to this host before.
                    await queues.host_failed(tx, outcome.host, outcome.at, outcome.reason)
        for outcome in outcomes:
            if not isinstance(outcome, Sent):
                event = "postponed" if isinstance(outcome, Postponed) else "given_up"
                self._log.info(event, host=outcome.host, reason=outcome.reason)
