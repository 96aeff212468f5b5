"""The status lists of other issuers: fetched, checked, kept, and asked for again in time.

One list settles every credential of its issuer, so it is asked for by its age and not by how many
are checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

from fedidoc.clock import HOUR, MINUTE, Clock
from fedidoc.storage import credentials as table
from fedidoc.storage.engine import Database
from fedidoc.verification.checks import Issuer, NotBelieved, check_status_list
from fedidoc.verification.status import StatusBits

KEPT: Final = 6 * HOUR
"""A list this old is asked for again; sooner where its issuer says so (`ttl`)."""

_SOONEST: Final = 15 * MINUTE

Fetch = Callable[[str], Awaitable[bytes | None]]
"""Fetches a document from another instance; None if it cannot be had now."""


class StatusLists:
    """Lists by their address, each believed for 72 hours from its signing."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        # Locks of lists that are being fetched; each is gone when nobody holds it.
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def current(
        self, uri: str, issuer: Issuer, fetch: Fetch, *, fresh: bool = False
    ) -> StatusBits | None:
        """The newest list that can be had and believed; None if there is none.

        Fetched when the one at hand is due again, or always with `fresh` (an actor said that
        something changed); if that fails, one at hand serves until it is 72 hours old. An older
        list than the one at hand is a replay and does not take its place. Not to be called inside a
        transaction.
        """
        self._db.forbid_nesting()
        asked_at = self._clock.now()
        # Many actors of one server are checked at once; the first fetches the list for all.
        async with self._fetching.setdefault(uri, asyncio.Lock()):
            now = self._clock.now()
            kept = await self.kept(uri, issuer)
            if kept is not None and kept.fetched is not None:
                since = asked_at if fresh else now - self._lasts(kept)
                if since < kept.fetched <= now:
                    return kept
            fetched = await fetch(uri)
            bits = self._read(fetched, uri, issuer, now) if fetched is not None else None
            if fetched is None or bits is None:
                return kept
            if kept is not None and kept.signed_at > bits.signed_at:
                # Replayed: an older list would undo a revocation.
                return kept
            entry = table.StatusList(uri, issuer.uri, fetched.decode(), now)
            async with self._db.transaction() as tx:
                await table.put_status_list(tx, entry)
            return bits

    async def kept(self, uri: str, issuer: Issuer) -> StatusBits | None:
        """The list at hand, if it is still believed; nothing is fetched."""
        stored = await table.status_list(self._db, uri)
        if stored is None:
            return None
        return self._read(stored.document.encode(), uri, issuer, stored.fetched)

    async def text(self, uri: str) -> bytes | None:
        """The list at hand as it was fetched, to hand on to who wants to check it."""
        stored = await table.status_list(self._db, uri)
        return stored.document.encode() if stored else None

    def _lasts(self, kept: StatusBits) -> int:
        if kept.ttl is None:
            return KEPT
        return max(_SOONEST, min(KEPT, kept.ttl))

    def _read(self, document: bytes, uri: str, issuer: Issuer, fetched: int) -> StatusBits | None:
        try:
            return check_status_list(
                document, uri=uri, trusted=issuer, now=self._clock.now(), fetched=fetched
            )
        except NotBelieved:
            return None
