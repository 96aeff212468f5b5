"""Actors and objects of other servers: found, fetched, checked, stored.

Everything is asked through `activitypub.fetch`, signed by the instance's actor, of allowed peers
only. Nothing here runs inside a transaction but the last step that stores what was found.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fedidoc.activitypub.addressing import host_of
from fedidoc.activitypub.discovery import Handle, find_actor_url, parse_handle
from fedidoc.activitypub.documents import ActorDocument, id_of, read_actor, types
from fedidoc.activitypub.errors import DocumentError, FetchError, ProtocolError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard
from fedidoc.activitypub.inspect import ACTOR_TYPES, POST_TYPES
from fedidoc.clock import DAY, MINUTE, Clock
from fedidoc.errors import BadInput, NotFound, PeerTrouble
from fedidoc.federation.badges import Badges, Seen, counts, is_open
from fedidoc.federation.bounded import Allowance, Recent
from fedidoc.federation.keyring import Keyring, keys_in
from fedidoc.federation.profiles import read_profile
from fedidoc.federation.urls import Urls
from fedidoc.log import Log
from fedidoc.model import NO_BADGE, Actor, Badge
from fedidoc.storage import actors, cases, moves, presented
from fedidoc.storage import keys as stored_keys
from fedidoc.storage.engine import Database, Transaction

STALE_AFTER = DAY
_REFRESHES_A_MINUTE = 6
_MISSING_LASTS = 5 * MINUTE
_JUST_NOW = 10 * MINUTE
_FETCHES_AT_ONCE = 16
_MOST_ALIASES = 32


class Policy(Protocol):
    """Which hosts this instance speaks with; from memory."""

    def allows(self, host: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Missing:
    """An actor or object that could not be had; `transient` says that a later try may help."""

    reason: str
    transient: bool
    gone: bool


class Remote:
    """What other servers have, as this instance sees it."""

    def __init__(
        self,
        db: Database,
        fetcher: Fetcher,
        guard: Guard,
        urls: Urls,
        clock: Clock,
        peers: Policy,
        keyring: Keyring,
        badges: Badges,
    ) -> None:
        self._db = db
        self._fetcher = fetcher
        self._guard = guard
        self._urls = urls
        self._clock = clock
        self._peers = peers
        self._keyring = keyring
        self._badges = badges
        self._log = Log("remote")
        self._missing: Recent[str, tuple[int, Missing]] = Recent(4_000)
        self._refreshes: Allowance[str] = Allowance(_REFRESHES_A_MINUTE, MINUTE)
        self._proofs: Allowance[str] = Allowance(1, MINUTE)
        self._slots = asyncio.Semaphore(_FETCHES_AT_ONCE)

    async def find(self, text: str) -> Actor:
        """The actor that somebody asks for by handle (`@name@host`) or web address.

        Raises BadInput, NotFound or PeerTrouble with a sentence for whoever asked.
        """
        try:
            wanted = parse_handle(text)
        except DocumentError as error:
            raise BadInput(error.text) from None
        host = wanted.host if isinstance(wanted, Handle) else host_of(wanted)
        if host == self._urls.authority:
            return await self._find_local(wanted)
        if not self._peers.allows(host):
            raise PeerTrouble(
                f"{host} is not a server this one federates with; an administrator can allow it."
            )
        try:
            uri = wanted
            if isinstance(uri, Handle):
                uri = await find_actor_url(uri, self._fetcher, self._guard)
                if not self._peers.allows(host_of(uri)):
                    raise PeerTrouble("This colleague is on a server this one does not speak with.")
            return await self._fetch_actor(uri)
        except (FetchError, DocumentError) as error:
            raise _explain(host, error) from None

    async def _find_local(self, wanted: Handle | str) -> Actor:
        if isinstance(wanted, Handle):
            username: str | None = wanted.username
        else:
            page = self._urls.base + "/@"
            username = self._urls.username_of(wanted) or (
                wanted.removeprefix(page) if wanted.startswith(page) else None
            )
        found = await actors.local_by_username(self._db, username) if username else None
        if found is None or found.suspended or found.deleted:
            raise NotFound("There is nobody of that name here.")
        return found

    async def actor(self, uri: str, *, refresh: bool = False) -> Actor:
        """The actor with that id, fetched if it is not known (or on `refresh`, not too often).

        Raises FetchError or DocumentError. A peer must be allowed.
        """
        known = await actors.by_uri(self._db, uri)
        if known is not None and (
            known.local or not refresh or not self._refreshes.take(uri, self._clock.now())
        ):
            return known
        if self._urls.is_ours(uri):
            raise FetchError("unknown", "There is no such actor here.", gone=True)
        if not self._peers.allows(host_of(uri)):
            raise FetchError("peer_not_allowed", "The actor's server is not a peer.")
        try:
            return await self._fetch_actor(uri, fresh=refresh)
        except FetchError as error:
            if known is not None and error.status in (404, 410):
                await self._take_badge_off(known)
            raise

    async def _take_badge_off(self, actor: Actor) -> None:
        """Their own server does not show them any more: they were suspended, or are gone. Nothing
        vouches for them until it does again, not even a credential that is still to be had."""
        badge = Badge(False, "Their server does not show them any more.", checked=self._clock.now())
        async with self._db.transaction() as tx:
            await actors.set_badge(tx, actor.id, badge, None, at=self._clock.now())

    async def prefetch(self, uris: set[str], *, refresh: set[str]) -> dict[str, Missing]:
        """See that actors are stored, before a transaction that needs them; what could not be had.

        Failures are remembered for minutes, so that a server that is down is not asked for every
        activity that names it.
        """
        known = await actors.by_uris(self._db, uris | refresh)
        wanted = [uri for uri in uris if uri not in known]
        wanted += [uri for uri in refresh if uri in known and not known[uri].local]
        failures = await asyncio.gather(*(self._try_actor(uri, uri in known) for uri in wanted))
        return {uri: failure for uri, failure in zip(wanted, failures, strict=True) if failure}

    async def _try_actor(self, uri: str, refresh: bool) -> Missing | None:
        # Who says that something changed may be back again: a suspension that was undone at once.
        remembered = None if refresh else self._missing.get(uri)
        if remembered is not None and self._clock.now() < remembered[0]:
            return remembered[1]
        try:
            await self.actor(uri, refresh=refresh)
        except (FetchError, DocumentError) as error:
            failure = missing(error)
            self._missing.put(uri, (self._clock.now() + _MISSING_LASTS, failure))
            return failure
        self._missing.drop(uri)
        return None

    async def prove(self, uris: set[str]) -> set[str]:
        """Look again at those who would be refused for want of a badge: their server may have
        verified them since, or been away before. Answers those of whom nothing can be concluded
        yet."""
        if not uris:
            return set()
        now = self._clock.now()
        known = await actors.by_uris(self._db, uris)
        doubtful = [
            actor for actor in known.values() if not actor.local and not counts(actor.badge, now)
        ]
        if not doubtful:
            return set()
        asked = [actor for actor in doubtful if self._proofs.take(actor.uri, now)]
        await asyncio.gather(*(self.recheck(actor) for actor in asked))
        again = await actors.by_uris(self._db, {actor.uri for actor in doubtful})
        return {uri for uri, actor in again.items() if is_open(actor.badge)}

    async def unsure(self, uris: set[str]) -> set[str]:
        """Those whose badge was not looked at just now, though it was to be: their server did not
        answer. A later try may."""
        if not uris:
            return set()
        since = self._clock.now() - _JUST_NOW
        known = await actors.by_uris(self._db, uris)
        return {
            uri
            for uri, actor in known.items()
            if is_open(actor.badge) or (actor.badge.verified and (actor.badge.checked or 0) < since)
        }

    async def objects(self, uris: set[str]) -> dict[str, dict[str, Any] | Missing]:
        """The documents of those posts that this database does not have, by id."""
        known = await cases.places(self._db, uris)
        wanted = [uri for uri in uris - known.keys() if not self._urls.is_ours(uri)]
        found = await asyncio.gather(*(self.document(uri) for uri in wanted))
        return dict(zip(wanted, found, strict=True))

    async def document(self, uri: str) -> dict[str, Any] | Missing:
        """A post's document from its own origin, if that is an allowed peer."""
        try:
            if not self._peers.allows(host_of(uri)):
                return Missing("peer_not_allowed", transient=False, gone=False)
            async with self._slots:
                document = await self._fetcher.get_document(uri)
            if POST_TYPES.isdisjoint(types(document)):
                raise DocumentError("not_a_post", "The document is not a post.")
        except (FetchError, DocumentError) as error:
            return missing(error)
        return document

    async def _fetch_actor(self, uri: str, *, fresh: bool = False) -> Actor:
        async with self._slots:
            document = await self._fetcher.get_document(uri)
            if ACTOR_TYPES.isdisjoint(types(document)):
                raise DocumentError("actor_type", "This is not an actor.")
            actor = read_actor(document)
            if self._urls.is_ours(actor.id) or not self._peers.allows(host_of(actor.id)):
                raise FetchError("peer_not_allowed", "The actor's server is not a peer.")
            profile = read_profile(actor, handle_confirmed=await self._confirms_handle(actor))
            before = await actors.by_uri(self._db, actor.id)
            badge, seen = await self._badges.check(
                actor.id,
                profile.credential_url,
                before=before.badge if before else NO_BADGE,
                kept=await presented.get(self._db, before.id) if before else None,
                fresh=fresh,
            )
        now = self._clock.now()
        listed = keys_in(actor, now)
        async with self._db.transaction() as tx:
            stored = await actors.upsert_remote(tx, self._clock, profile)
            await stored_keys.replace_keys(tx, actor.id, stored.id, listed)
            await self._keep(tx, stored.id, badge, profile.credential_url, seen)
            await moves.set_aliases(tx, stored.id, actor.also_known_as[:_MOST_ALIASES])
        self._keyring.forget([key.key_id for key in listed])
        self._missing.drop(uri)
        return replace(stored, badge=badge)

    async def _confirms_handle(self, actor: ActorDocument) -> bool:
        """Whether the actor's own host says by WebFinger that the handle is this actor's."""
        if not actor.preferred_username:
            return False
        handle = Handle(actor.preferred_username, host_of(actor.id))
        try:
            return await find_actor_url(handle, self._fetcher, self._guard) == actor.id
        except (FetchError, DocumentError):
            return False

    async def recheck(self, actor: Actor) -> None:
        """Fetch a remote actor and its credential again, for the rounds.

        When its server does not answer, the badge alone is looked at again: it may have expired. A
        server that is not spoken with is not asked, and its members are not verified here.
        """
        if not self._peers.allows(actor.host):
            words = f"{actor.host} is not among the servers that are believed here."
            url = await actors.credential_url(self._db, actor.id)
            async with self._db.transaction() as tx:
                badge = Badge(False, words, checked=self._clock.now())
                await self._keep(tx, actor.id, badge, url, None)
                await actors.touch(tx, actor.id, self._clock.now())
            return
        try:
            await self._fetch_actor(actor.uri)
        except (FetchError, DocumentError) as error:
            self._log.info("recheck_failed", host=actor.host, reason=error.reason)
            url = await actors.credential_url(self._db, actor.id)
            kept = await presented.get(self._db, actor.id)
            badge, seen = await self._badges.check(actor.uri, url, before=actor.badge, kept=kept)
            async with self._db.transaction() as tx:
                await self._keep(tx, actor.id, badge, url, seen)
                await actors.touch(tx, actor.id, self._clock.now())

    async def _keep(
        self, tx: Transaction, actor_id: str, badge: Badge, url: str | None, seen: Seen | None
    ) -> None:
        await actors.set_badge(tx, actor_id, badge, url, at=self._clock.now())
        if seen is not None:
            await presented.put(tx, seen.of(actor_id))


def missing(error: ProtocolError) -> Missing:
    """What became of a fetch, as a value."""
    if isinstance(error, FetchError):
        return Missing(error.reason, error.transient, error.gone)
    return Missing(error.reason, transient=False, gone=False)


def _explain(host: str, error: ProtocolError) -> NotFound | PeerTrouble:
    if isinstance(error, FetchError):
        if error.gone:
            return NotFound(f"{host} does not know anybody of that name.")
        if error.status in (401, 403):
            return PeerTrouble(f"{host} does not answer this server; has it allowed it as a peer?")
        if error.transient:
            return PeerTrouble(f"{host} could not be reached; try again later.")
    return PeerTrouble(f"{host} gave an answer that this server does not believe.")


def author_of(document: dict[str, Any]) -> str | None:
    """Whom a post says it is by."""
    return id_of(document.get("attributedTo"))
