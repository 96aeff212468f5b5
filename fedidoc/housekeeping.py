"""What an instance does by itself: every hour end what has run out and forget what is done, once a
day open the pseudonyms that wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedidoc.accounts.activation import KIND as PSEUDONYMS
from fedidoc.accounts.activation import Activation
from fedidoc.clinical.media import Pictures
from fedidoc.clock import DAY, HOUR, Clock
from fedidoc.federation.tasks import Tasks
from fedidoc.storage import logins, people, queues
from fedidoc.storage.engine import Database
from fedidoc.verification.documents import Documents
from fedidoc.verification.expiry import Expiry
from fedidoc.verification.far_vouches import FarVouches
from fedidoc.verification.lifetimes import Lifetimes
from fedidoc.verification.mailbox import Mailboxes
from fedidoc.verification.recheck import TASK as RECHECK
from fedidoc.verification.recheck import Recheck
from fedidoc.verification.review import Review

# How long the contents of what is done stay readable for an operator who looks for a fault.
_KEEP_DONE = 7 * DAY
# How long a peer's activity id is remembered; signatures are accepted for 13 hours at the most.
_REMEMBER_IDS = 30 * DAY


class Housekeeping:
    """The tasks of that kind, the comparison of members with the registers, and the daily batch of
    pseudonyms."""

    KIND = "housekeeping"

    def __init__(
        self,
        db: Database,
        clock: Clock,
        review: Review,
        lifetimes: Lifetimes,
        pictures: Pictures,
        mailboxes: Mailboxes,
        documents: Documents,
        recheck: Recheck,
        activation: Activation,
        far_vouches: FarVouches,
    ) -> None:
        self._db = db
        self._clock = clock
        self._review = review
        self._lifetimes = lifetimes
        self._expiry = Expiry(db, clock, review)
        self._pictures = pictures
        self._mailboxes = mailboxes
        self._documents = documents
        self._recheck = recheck
        self._activation = activation
        self._far_vouches = far_vouches

    def register(self, tasks: Tasks) -> None:
        tasks.add(self.KIND, self.keep)
        tasks.add(RECHECK, self._recheck.work)
        tasks.add(PSEUDONYMS, self.open_pseudonyms)

    async def seed(self) -> None:
        batch = self._activation.next_batch()
        async with self._db.transaction() as tx:
            for kind in (self.KIND, RECHECK):
                await queues.put_task(tx, kind, "all", {}, self._clock.now() + HOUR)
            await queues.put_task(tx, PSEUDONYMS, "all", {}, batch)

    async def open_pseudonyms(self, subject: str, detail: Mapping[str, Any]) -> int:
        if self._activation.enabled:
            await self._activation.run()
        return self._activation.next_batch()

    async def keep(self, subject: str, detail: Mapping[str, Any]) -> int:
        now = self._clock.now()
        await self._review.lapse()
        await self._lifetimes.watch()
        await self._expiry.run_out()
        await self._far_vouches.watch()
        await self._pictures.sweep()
        await self._documents.sweep()
        await self._mailboxes.forget()
        if self._activation.enabled:
            await self._activation.settle(whole=False)
        async with self._db.transaction() as tx:
            await people.delete_expired_sessions(tx, now)
            await logins.forget_expired(tx, now)
            await queues.prune(tx, now - _KEEP_DONE, forget_before=now - _REMEMBER_IDS)
        return now + HOUR
