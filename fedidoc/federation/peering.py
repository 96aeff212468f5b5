"""What a peer says of itself: its software, its shared inbox, and the key of its credentials."""

from __future__ import annotations

import asyncio

from fedidoc.activitypub.addressing import host_of, same_origin
from fedidoc.activitypub.discovery import find_software
from fedidoc.activitypub.documents import ActorDocument, read_actor
from fedidoc.activitypub.errors import DocumentError, FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard
from fedidoc.activitypub.signatures import Scheme
from fedidoc.clock import MINUTE, Clock
from fedidoc.config import is_loopback
from fedidoc.federation.bounded import Allowance
from fedidoc.federation.keyring import CREDENTIAL_FRAGMENT
from fedidoc.log import Log
from fedidoc.storage import peers, queues
from fedidoc.storage.engine import Database
from fedidoc.verification.trust import Trust

OWN_SOFTWARE = "fedidoc"


class Peering:
    """Introduces peers. A peer's credential key is pinned at first contact and kept from then on;
    another one later is flagged for the operator and not believed."""

    def __init__(
        self, db: Database, fetcher: Fetcher, guard: Guard, clock: Clock, trust: Trust
    ) -> None:
        self._db = db
        self._fetcher = fetcher
        self._guard = guard
        self._clock = clock
        self._trust = trust
        self._log = Log("peering")
        self._tries: Allowance[str] = Allowance(2, MINUTE)
        self._locks: dict[str, asyncio.Lock] = {}

    def base_of(self, host: str) -> str:
        """`https://host`; `http://` for this machine where that is allowed."""
        plain = self._guard.allow_plain_http and is_loopback(host)
        return f"{'http' if plain else 'https'}://{host}"

    async def see_issuer(self, host: str) -> None:
        """Meet a peer whose key is not pinned yet, a few times a minute at most; never raises."""
        if self._trust.issuer(host) is not None or not self._trust.allows(host):
            return
        # Only allowed hosts get here, so there are no more locks than peers.
        async with self._locks.setdefault(host, asyncio.Lock()):
            if self._trust.issuer(host) is None and self._tries.take(host, self._clock.now()):
                try:
                    await self.meet(host)
                except (FetchError, DocumentError) as error:
                    self._log.info("peer_not_met", host=host, reason=error.reason)

    async def meet(self, host: str) -> None:
        """Ask a peer for its NodeInfo and its instance actor, and store what it says.

        Raises FetchError or DocumentError when nothing could be learnt.
        """
        software = None
        try:
            software, _ = await find_software(host, self._fetcher, self._guard)
        except DocumentError:
            # It is up, but does not say what it runs.
            pass
        try:
            actor = await self._instance_actor(host)
        except FetchError as error:
            # Many servers have no instance actor there; they can still be followed and written to.
            if software is None or software == OWN_SOFTWARE or not error.gone:
                raise
            actor = None
        await self._learn(host, software, actor)

    async def _instance_actor(self, host: str) -> ActorDocument:
        actor = read_actor(await self._fetcher.get_document(f"{self.base_of(host)}/actor"))
        if host_of(actor.id) != host:
            raise DocumentError("actor_foreign", "The instance actor is of another server.")
        return actor

    async def _learn(self, host: str, software: str | None, actor: ActorDocument | None) -> None:
        shared = None
        if actor is not None:
            shared = actor.shared_inbox or actor.inbox
            shared = shared if shared and same_origin(shared, actor.id) else None
        key = _credential_key(actor) if actor else None
        pinned = True
        async with self._db.transaction() as tx:
            await peers.learn(
                tx, host, shared_inbox=shared, software=software, now=self._clock.now()
            )
            if software == OWN_SOFTWARE:
                await queues.set_scheme(tx, host, Scheme.RFC9421_ED25519.value)
            peer = await peers.get(tx, host)
            # The key of a server that only trust lists allow is theirs to say, not its own.
            by_list = peer is not None and not peer.own and peer.issuer_key is None
            if actor is not None and key is not None and not by_list:
                pinned = await peers.pin_issuer(tx, host, actor.id, *key, now=self._clock.now())
        await self._trust.refresh()
        self._log.info("peer_met", host=host, software=software)
        if not pinned:
            self._log.warning("issuer_key_changed", host=host)


def _credential_key(actor: ActorDocument) -> tuple[str, str] | None:
    """(key id, Multikey text) of the key that an instance signs credentials with."""
    wanted = f"{actor.id}#{CREDENTIAL_FRAGMENT}"
    for key_id, controller, multibase in actor.multikeys:
        if key_id == wanted and controller == actor.id and len(multibase) < 128:
            return key_id, multibase
    return None
