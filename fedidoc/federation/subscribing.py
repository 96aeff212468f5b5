"""Asking publishers for their trust lists: every hour, and less often while one does not answer.

The list is fetched like any document: through the guard, bounded, without a signature, since lists
are public. Lists between the one that is held and the newest are fetched by their number, oldest
first, so that each is judged by the signers that the one before it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from fedidoc.activitypub.errors import FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.clock import HOUR, MINUTE, Clock
from fedidoc.federation.tasks import Tasks
from fedidoc.log import Log
from fedidoc.storage import queues
from fedidoc.storage.engine import Database
from fedidoc.verification.subscriptions import Subscriptions
from fedidoc.verification.trust_lists import MAX_BYTES
from fedidoc.verification.trust_signatures import Outcome, Verdict

KIND: Final = "trust list"
MEDIA_TYPES: Final = ("application/ld+json", "application/json")
EVERY: Final = HOUR
# Lists between that are fetched in one visit; a subscriber that was away for longer comes again.
_AT_ONCE: Final = 50
# What an entity tag may be (RFC 9110 section 8.8.3, without what is no ASCII); others are not kept.
_TAG: Final = re.compile(r'(?:W/)?"[!#-~]{0,200}"')


class Subscribing:
    """Fetches the lists of the configured subscriptions, and hands them to `Subscriptions`."""

    def __init__(
        self, db: Database, clock: Clock, fetcher: Fetcher, subscriptions: Subscriptions
    ) -> None:
        self._db = db
        self._clock = clock
        self._fetcher = fetcher
        self._subscriptions = subscriptions
        self._log = Log("trust_lists")

    def register(self, tasks: Tasks) -> None:
        tasks.add(KIND, self.visit)

    async def seed(self) -> None:
        """Queue a task for each subscription, due an hour after it was last asked; harmless when it
        is queued already."""
        stands = await self._subscriptions.stands()
        async with self._db.transaction() as tx:
            for stand in stands:
                asked = stand.row.asked
                due = self._clock.now() if asked is None else asked + EVERY
                await queues.put_task(tx, KIND, stand.pins.name, {}, due)

    async def visit(self, name: str, detail: Mapping[str, Any]) -> int | None:
        """The task: ask once; when to ask again. None for what is no longer configured."""
        if self._subscriptions.pins(name) is None:
            return None
        verdict = await self.ask(name)
        failures = (await self._subscriptions.held(name)).row.failures
        if verdict is not None and verdict.outcome is Outcome.GAP:
            return self._clock.now() + MINUTE
        return self._clock.now() + (EVERY if not failures else _pause(failures))

    async def ask(self, name: str) -> Verdict | None:
        """Fetch a subscription's list now, with those before it that are missing, and have it
        judged. None if it could not be had, or is the one that is held. A verdict of `gap`: there
        are more lists between than are fetched in one visit."""
        stand = await self._subscriptions.held(name)
        url = stand.pins.url
        try:
            found = await self._fetch(url, stand.row.etag)
            if found is None:
                await self._subscriptions.unchanged(name)
                return None
            document, etag = found
            verdict = await self._subscriptions.take(name, [document], etag=etag)
            if verdict.outcome is Outcome.GAP and verdict.found is not None:
                return await self._catch_up(name, url, verdict, document, etag)
        except FetchError as error:
            text = f"The publisher's list could not be had ({error.reason}); it is tried again."
            await self._subscriptions.miss(name, error.reason, text)
            return None
        return verdict

    async def _catch_up(
        self, name: str, url: str, gap: Verdict, newest: bytes, etag: str | None
    ) -> Verdict:
        """Take the lists between, oldest first, then the newest."""
        stand = await self._subscriptions.held(name)
        assert gap.found is not None and stand.row.sequence is not None
        first, last = stand.row.sequence + 1, gap.found.sequence
        between: list[bytes] = []
        for sequence in range(first, last):
            if len(between) == _AT_ONCE:
                taken = await self._subscriptions.take(name, between, more=True)
                return gap if taken.accepted else taken
            try:
                found = await self._fetch(f"{url}/{sequence}", None)
            except FetchError as error:
                if not error.gone:
                    raise
                # They are lost. The newest still needs the signers that are believed here.
                documents = [*between, newest]
                return await self._subscriptions.take(name, documents, etag=etag, leap=True)
            assert found is not None  # nothing was said of what is known already
            between.append(found[0])
        return await self._subscriptions.take(name, [*between, newest], etag=etag)

    async def _fetch(self, url: str, etag: str | None) -> tuple[bytes, str | None] | None:
        found = await self._fetcher.get_changed(
            url, max_bytes=MAX_BYTES, accept=MEDIA_TYPES, etag=etag
        )
        if found is None:
            return None
        document, tag = found
        return document, tag if tag is not None and _TAG.fullmatch(tag) else None


def _pause(failures: int) -> int:
    """Soon after the first failure, then less often: 2, 4, 8 … minutes, an hour at the most."""
    return min(EVERY, MINUTE << min(failures, 6))
