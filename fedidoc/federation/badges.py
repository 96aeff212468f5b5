"""The badge of a remote actor: its credential fetched, and this instance's conclusion on it."""

from __future__ import annotations

from fedidoc.activitypub.addressing import host_of
from fedidoc.activitypub.errors import DocumentError, FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.clock import HOUR, Clock
from fedidoc.federation.peering import Peering
from fedidoc.model import NO_BADGE, Badge
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.trust import Trust

MEDIA_TYPES = (
    "application/vc+ld+json",
    "application/vc",
    "application/ld+json",
    "application/json",
)
_MAX_BYTES = 128 * 1024
_MAX_LIST_BYTES = 1 << 20
_UNCHECKED_LASTS = 72 * HOUR


def counts(badge: Badge, now: int) -> bool:
    """Whether a badge that was stored earlier says that somebody is verified now."""
    return badge.verified and (badge.valid_until is None or badge.valid_until > now)


def is_open(badge: Badge) -> bool:
    """Whether there is a credential that could not be looked at yet: nothing is concluded."""
    return not badge.verified and badge.checked is None and badge != NO_BADGE


class Badges:
    """Checks credentials that actors present, through the pinned issuer of their own server."""

    def __init__(
        self,
        fetcher: Fetcher,
        peering: Peering,
        trust: Trust,
        credentials: Credentials,
        clock: Clock,
    ) -> None:
        self._fetcher = fetcher
        self._peering = peering
        self._trust = trust
        self._credentials = credentials
        self._clock = clock

    async def check(
        self, actor_uri: str, url: str | None, *, before: Badge = NO_BADGE, fresh: bool = False
    ) -> Badge:
        """The badge an actor has now; `is_open` if nothing can be concluded yet.

        `url` is the credential's, which the caller has found to be on the actor's own server.

        `before` is the one it had: when the credential cannot be fetched for a while it holds, for
        72 hours since it was last checked. `fresh` asks for the status list anew. Never raises.
        """
        if url is None:
            return NO_BADGE
        try:
            host = host_of(actor_uri)
            await self._peering.see_issuer(host)
            issuer = self._trust.issuer(host)
            if issuer is None:
                return Badge(False, f"The credential key of {host} is not known here yet.")
            document, _ = await self._fetcher.get_bytes(
                url, max_bytes=_MAX_BYTES, accept=MEDIA_TYPES, signed=True
            )
        except FetchError as error:
            if error.transient:
                return self._held(before)
            return self._no("The credential could not be had.")
        except DocumentError:
            return self._no("The credential has no usable address.")
        badge = await self._credentials.examine(
            document, actor_uri=actor_uri, issuer=issuer, fetch=self._fetch_list, fresh=fresh
        )
        if badge.verified and badge.credential != url:
            return self._no("The credential calls itself by another address.")
        return badge

    def _no(self, reason: str) -> Badge:
        return Badge(False, reason, checked=self._clock.now())

    def _held(self, before: Badge) -> Badge:
        """A badge whose credential cannot be looked at just now."""
        now = self._clock.now()
        if not before.verified:
            return Badge(False, "The credential could not be had; it is tried again.")
        if before.valid_until is not None and before.valid_until <= now:
            return Badge(False, "The credential has expired.", issuer=before.issuer)
        if before.checked is None or before.checked < now - _UNCHECKED_LASTS:
            return Badge(False, "The credential was not seen for 72 hours.", issuer=before.issuer)
        return before

    async def _fetch_list(self, uri: str) -> bytes | None:
        try:
            document, _ = await self._fetcher.get_bytes(
                uri, max_bytes=_MAX_LIST_BYTES, accept=MEDIA_TYPES, signed=True
            )
        except FetchError:
            return None
        return document
