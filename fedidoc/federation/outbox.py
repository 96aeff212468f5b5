"""The outbox: events become activities and deliveries, deliveries are sent.

Deliveries go to many hosts at once and in order within a host. Each is signed when it is sent,
retried or not, since peers refuse dates that are hours old. Results are written down together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from fedidoc.activitypub.deliver import Delivered, GiveUp, deliver
from fedidoc.activitypub.digests import BodyDigest, digest_body
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.signatures import Scheme
from fedidoc.clock import Clock
from fedidoc.federation.bounded import Recent
from fedidoc.federation.expansion import Expansion
from fedidoc.federation.signing import SigningKeys
from fedidoc.log import Log
from fedidoc.storage import activities, queues
from fedidoc.storage.activities import Activity
from fedidoc.storage.engine import Database, Row, Transaction
from fedidoc.storage.queues import Delivery, GivenUp, Outcome, Postponed, Queue, Sent
from fedidoc.verification.trust import Trust

EVENTS: Final = "events"
DELIVERY: Final = "delivery"

_CACHED_BODIES = 512
_CACHED_HOSTS = 4_096
_LINGER = 0.015  # seconds
_SAME_ERROR_TRIES = 6  # in about four hours
_OF_THIS_ACTIVITY = frozenset({"status_403", "status_500"})


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
        wake: Callable[[Queue], None] = lambda queue: None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._trust = trust
        self._fetcher = fetcher
        self._expansion = expansion
        self._signing = signing
        self._wake = wake
        self._log = Log("outbox")
        self._bodies: Recent[str, tuple[bytes, BodyDigest]] = Recent(_CACHED_BODIES)
        self._schemes: Recent[str, Scheme] = Recent(_CACHED_HOSTS)
        self._ended: list[Outcome] = []
        self._writing: asyncio.Task[None] | None = None

    # Events -----------------------------------------------------------------------------------

    async def expand(self, rows: Sequence[Row]) -> None:
        """Turn claimed event rows into activities and delivery rows, and settle them."""
        made = [
            expanded
            for row in rows
            if (expanded := await self._expansion.expand(self._db, row)) is not None
        ]
        now = self._clock.now()
        deliveries = [
            Delivery(
                self._clock.sortable_id(), e.activity.id, e.activity.actor_id, host, inbox, now
            )
            for e in made
            for inbox, host in e.inboxes
        ]
        for expanded in made:
            self._keep_body(expanded.activity)

        async def write(tx: Transaction) -> None:
            await activities.put(tx, [e.activity for e in made])
            await queues.put_deliveries(tx, deliveries)
            await queues.finish(tx, EVENTS, [row["id"] for row in rows], now)

        await self._db.group(write)
        if deliveries:
            self._wake(DELIVERY)

    # Deliveries -------------------------------------------------------------------------------

    async def send(self, rows: Sequence[Row]) -> None:
        """Send one host's claimed rows in order, up to the first that has to wait; settle them."""
        outcomes: list[Outcome] = []
        host = str(rows[0]["host"])
        for row in rows:
            outcome = await self._send_one(host, row)
            outcomes.append(outcome)
            if isinstance(outcome, Postponed):
                break
        await self._settle(outcomes)

    async def _send_one(self, host: str, row: Row) -> Outcome:
        if not self._trust.allows(host):
            return GivenUp(row["id"], host, "peer_not_allowed")
        body = await self._body(row["activity_id"])
        if body is None:
            return GivenUp(row["id"], host, "no_activity")
        failures = int(row["attempts"]) - 1  # `attempts` counts this try
        outcome = await deliver(
            row["inbox"],
            body[0],
            keys=await self._signing.of(row["actor_id"]),
            scheme=await self._scheme(host),
            fetcher=self._fetcher,
            now_ms=self._clock.now(),
            attempts=failures,
            digest=body[1],
        )
        if isinstance(outcome, Delivered):
            self._schemes.put(host, outcome.scheme)
            return Sent(row["id"], host, outcome.scheme.value)
        if isinstance(outcome, GiveUp):
            return GivenUp(row["id"], host, outcome.reason)
        if outcome.reason in _OF_THIS_ACTIVITY and failures + 1 >= _SAME_ERROR_TRIES:
            # The host is up and will not have this activity: what waits behind it goes on.
            return GivenUp(row["id"], host, outcome.reason)
        return Postponed(row["id"], host, outcome.at_ms, outcome.reason)

    async def _body(self, activity_id: str) -> tuple[bytes, BodyDigest] | None:
        """An activity's bytes and their digest, which is made once for all hosts."""
        cached = self._bodies.get(activity_id)
        if cached is not None:
            return cached
        activity = await activities.get(self._db, activity_id)
        return self._keep_body(activity) if activity is not None else None

    def _keep_body(self, activity: Activity) -> tuple[bytes, BodyDigest]:
        body = activity.body.encode()
        entry = body, digest_body(body)
        self._bodies.put(activity.id, entry)
        return entry

    async def _scheme(self, host: str) -> Scheme | None:
        """What the host took last time."""
        cached = self._schemes.get(host)
        if cached is None:
            stored = await queues.schemes(self._db, (host,))
            cached = Scheme(stored[host]) if host in stored else None
        return cached

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        """Write results down; hosts that end at about the same time share a transaction."""
        self._ended.extend(outcomes)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        await asyncio.shield(self._writing)

    async def _write(self) -> None:
        await asyncio.sleep(_LINGER)
        outcomes, self._ended = self._ended, []
        self._writing = None
        now = self._clock.now()

        async def write(tx: Transaction) -> None:
            await queues.settle_deliveries(tx, outcomes, now)
            for outcome in outcomes:
                if isinstance(outcome, Postponed):
                    # The circuit breaker: nothing goes to this host before.
                    await queues.host_failed(tx, outcome.host, outcome.at, outcome.reason)

        await self._db.group(write)
        for outcome in outcomes:
            if not isinstance(outcome, Sent):
                event = "postponed" if isinstance(outcome, Postponed) else "given_up"
                self._log.info(event, host=outcome.host, reason=outcome.reason)
