"""Evidence that has run out, and what follows from it for members who were verified by it."""

from __future__ import annotations

from fedidoc.clock import Clock
from fedidoc.errors import NotFound
from fedidoc.storage import evidence
from fedidoc.storage.engine import Database
from fedidoc.verification.review import Review

BY = "fedidoc"


class Expiry:
    """Looks at each piece of evidence once after its last day."""

    def __init__(self, db: Database, clock: Clock, review: Review) -> None:
        self._db = db
        self._clock = clock
        self._review = review

    async def run_out(self, limit: int = 200) -> int:
        """Mark what has run out as withdrawn and judge its members again; how many pieces."""
        done = 0
        for row in await evidence.run_out(self._db, self._clock.now(), limit):
            async with self._db.transaction() as tx:
                try:
                    await self._review.records.withdraw(tx, row.id, by=BY, reason="It ran out.")
                except NotFound:
                    continue  # another worker was quicker
                await self._review.settle(tx, row.account_id, BY)
            done += 1
        return done
