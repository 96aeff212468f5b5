"""The badge of a remote actor: its credential fetched, and this instance's conclusion on it."""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.activitypub.addressing import host_of
from fedidoc.activitypub.errors import DocumentError, FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.clock import HOUR, Clock
from fedidoc.federation.peering import Peering
from fedidoc.integrity import encode_multikey
from fedidoc.model import NO_BADGE, Badge
from fedidoc.storage.presented import Presented
from fedidoc.verification.checks import Issuer, presented
from fedidoc.verification.consequences import WITHHELD
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.status import StatusBits
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


@dataclass(frozen=True, slots=True)
class Seen:
    """A credential as it came: `document` is what `url` answered at `fetched`."""

    url: str
    document: bytes
    fetched: int
    status_list: str | None
    status_index: int | None
    issuer_key: str
    valid_until: int | None

    def of(self, actor_id: str) -> Presented:
        """The row that keeps it."""
        return Presented(
            actor_id,
            self.url,
            self.document,
            self.fetched,
            self.status_list,
            self.status_index,
            self.issuer_key,
            self.valid_until,
        )


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
        self,
        actor_uri: str,
        url: str | None,
        *,
        before: Badge = NO_BADGE,
        kept: Presented | None = None,
        fresh: bool = False,
    ) -> tuple[Badge, Seen | None]:
        """The badge an actor has now, and the credential if one came; `is_open` if nothing can be
        concluded yet.

        `url` is the credential's, which the caller has found to be on the actor's own server.

        When the credential cannot be fetched for a while, the one that was `kept` is examined: a
        signed document does not change, and the status list says whether it still counts. Without
        it the badge `before` holds for 72 hours since it was last checked. `fresh` asks for the
        status list anew. Never raises.
        """
        if url is None:
            return NO_BADGE, None
        try:
            host = host_of(actor_uri)
            withheld = self._trust.withholds(host)
            if withheld is not None:
                return self._no(f"{host} is not believed here: {WITHHELD[withheld]}."), None
            await self._peering.see_issuer(host)
            issuer = self._trust.issuer(host)
            if issuer is None:
                return Badge(False, f"The credential key of {host} is not known here yet."), None
            document, _ = await self._fetcher.get_bytes(
                url, max_bytes=_MAX_BYTES, accept=MEDIA_TYPES, signed=True
            )
        except FetchError as error:
            if not error.transient:
                return self._no("The credential could not be had."), None
            if kept is None or kept.url != url or issuer is None:
                return self._held(before), None
            document = kept.document
            return await self._examine(document, actor_uri, url, issuer, fresh), None
        except DocumentError:
            return self._no("The credential has no usable address."), None
        seen = self._seen(url, document, issuer)
        return await self._examine(document, actor_uri, url, issuer, fresh), seen

    async def status_list(self, uri: str, issuer: Issuer, *, ask: bool = True) -> StatusBits | None:
        """An issuer's status list, asked for if it is due; None if there is none to believe.
        Without `ask` the one at hand."""
        if not ask:
            return await self._credentials.lists.kept(uri, issuer)
        return await self._credentials.lists.current(uri, issuer, self._fetch_list)

    async def _examine(
        self, document: bytes, actor_uri: str, url: str, issuer: Issuer, fresh: bool
    ) -> Badge:
        found = await self._credentials.examine(
            document,
            actor_uri=actor_uri,
            issuer=issuer,
            fetch=self._fetch_list,
            fresh=fresh,
            named=url,
        )
        return found.badge

    def _seen(self, url: str, document: bytes, issuer: Issuer) -> Seen:
        says = presented(document, issuer)
        return Seen(
            url,
            document,
            self._clock.now(),
            says.status_list if says else None,
            says.index if says else None,
            encode_multikey(issuer.key),
            says.valid_until if says else None,
        )

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
