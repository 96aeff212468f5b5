"""Work that is due at some time: meeting peers, rounds of the badges, fetching pictures.

One row for each kind and subject. A kind's handler answers when to run again, None for never; if
it raises FetchError or DocumentError, the row is tried again, later each time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from fedidoc.activitypub.errors import DocumentError, FetchError, ProtocolError
from fedidoc.clock import MINUTE, SECOND, Clock
from fedidoc.federation.peering import Peering
from fedidoc.federation.remote import Remote
from fedidoc.log import Log
from fedidoc.storage import actors, queues
from fedidoc.storage.engine import Database, Row

QUEUE: Final = "tasks"

PEER: Final = "peer"
BADGES: Final = "badges"

_LONGEST_PAUSE = 15 * MINUTE

Handler = Callable[[str, Mapping[str, Any]], Awaitable[int | None]]


class Tasks:
    """Runs claimed task rows. `add` the kinds of other rooms before the workers start."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._handlers: dict[str, tuple[Handler, int | None]] = {}
        self._log = Log("tasks")

    def add(self, kind: str, handler: Handler, *, tries: int | None = None) -> None:
        """Have `handler(subject, detail)` do the tasks of a kind; twice is a ValueError.

        After `tries` failures a row is given up, by default never. So is, with `tries`, one whose
        failure a later try cannot mend.
        """
        if kind in self._handlers:
            raise ValueError(f"tasks of kind {kind} have a handler already")
        self._handlers[kind] = handler, tries

    async def work(self, rows: Sequence[Row]) -> None:
        """Do claimed rows side by side, and settle each as it ends."""
        results = await asyncio.gather(*(self._do(row) for row in rows), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _do(self, row: Row) -> None:
        kind, subject = str(row["kind"]), str(row["subject"])
        handler, tries = self._handlers.get(kind, (None, 0))
        reason, again = "unknown kind", None
        if handler is not None:
            try:
                reason, again = "", await handler(subject, json.loads(row["detail"]))
            except (FetchError, DocumentError) as error:
                reason, again = error.reason, self._next_try(int(row["attempts"]), tries, error)
        async with self._db.transaction() as tx:
            if again is not None:
                await queues.retry(tx, QUEUE, row["id"], again, reason)
            elif reason:
                await queues.bury(tx, QUEUE, row["id"], reason)
            else:
                await queues.finish(tx, QUEUE, [row["id"]], self._clock.now())
        if reason:
            self._log.info("task_put_off", job=kind, reason=reason, attempts=row["attempts"])

    def _next_try(self, attempts: int, tries: int | None, error: ProtocolError) -> int | None:
        hopeless = not (isinstance(error, FetchError) and error.transient)
        if tries is not None and (hopeless or attempts >= tries):
            return None
        return self._clock.now() + min(_LONGEST_PAUSE, SECOND << min(attempts, 16))


class Acquaintance:
    """Meeting peers: a task for each."""

    def __init__(self, db: Database, clock: Clock, peering: Peering, remote: Remote) -> None:
        self._db = db
        self._clock = clock
        self._peering = peering
        self._remote = remote

    def register(self, tasks: Tasks) -> None:
        tasks.add(PEER, self.meet)

    async def meet(self, host: str, detail: Mapping[str, Any]) -> int | None:
        """Meet a peer, tried until it is up; then see whether its members' badges hold now."""
        await self._peering.meet(host)
        for actor in await actors.with_credential_at(self._db, host):
            if not actor.badge.verified:
                await self._remote.recheck(actor)
        return None
