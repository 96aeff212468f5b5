"""Which servers are heard, and which issuers are believed: the operator's list of peers.

Trust lists add servers to it (`subscriptions`); what the operator says of one always comes first.

`Trust` answers from memory, since every request asks it; the list is read again after each change
made here and every few seconds, since a command may change it from another process.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput, FedidocError, NotFound
from fedidoc.integrity import IntegrityError, decode_multikey
from fedidoc.log import Log, cause_of
from fedidoc.model import PeerPolicy
from fedidoc.storage import moderation, peers, queues
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.peers import Peer
from fedidoc.verification.checks import Issuer, origin

__all__ = ["Issuer", "Trust"]

REFRESH_SECONDS: Final = 3.0
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([1-9][0-9]{{0,4}}))?")
log = Log("trust")


class Trust:
    """A synchronous snapshot of the peers; `refresh()` before the first question."""

    def __init__(self, db: Database, clock: Clock, *, own_host: str = "") -> None:
        self._db = db
        self._clock = clock
        self._own_host = own_host
        self._peers: Mapping[str, Peer] = {}
        self._issuers: Mapping[str, Issuer] = {}

    # In memory --------------------------------------------------------------------------------

    def policy(self, host: str) -> PeerPolicy | None:
        """The policy for `host[:port]`; None for a server that nobody allowed. One whose trust is
        withheld is limited at the most."""
        peer = self._peers.get(host)
        if peer is not None and peer.withheld and peer.policy is PeerPolicy.ALLOWED:
            return PeerPolicy.LIMITED
        return peer.policy if peer else None

    def allows(self, host: str) -> bool:
        """Whether the server is spoken with at all: closed by default."""
        peer = self._peers.get(host)
        return peer is not None and peer.heard

    def requires_credential(self, host: str) -> bool:
        """Whether authors on that server count only with a credential; also for unknown ones."""
        peer = self._peers.get(host)
        return peer is None or peer.require_credential or peer.withheld is not None

    def trusts(self, host: str) -> bool:
        """Whether what is for verified physicians of trusted peers may go there."""
        peer = self._peers.get(host)
        return peer is not None and peer.trusted

    def withholds(self, host: str) -> str | None:
        """Why a server that lists name is not believed just now (`removed`, `suspended`,
        `stale`); None if it is, or nobody named it."""
        peer = self._peers.get(host)
        return peer.withheld if peer else None

    def takes_word_of(self, host: str) -> bool:
        """Whether members of that server may vouch for applicants here, and be asked by theirs: it
        is trusted, not limited, and its key is known."""
        return (
            self.trusts(host)
            and self.policy(host) is PeerPolicy.ALLOWED
            and self.issuer(host) is not None
        )

    def issuer(self, host: str) -> Issuer | None:
        """The pinned issuer of a server that is heard; None if there is none (yet)."""
        return self._issuers.get(host)

    # Kept up to date --------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Read the list of peers again."""
        found = {peer.host: peer for peer in await peers.every(self._db)}
        issuers: dict[str, Issuer] = {}
        for host, peer in found.items():
            issuer = _issuer_of(peer) if peer.heard and peer.withheld is None else None
            if issuer is not None:
                issuers[host] = issuer
        self._peers, self._issuers = found, issuers

    async def keep_fresh(self, seconds: float = REFRESH_SECONDS) -> None:
        """Refresh for ever; a failed read keeps the snapshot and is tried again."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.refresh()
            except FedidocError as error:
                log.warning("peers_not_read", cause=cause_of(error))

    # Changed by the operator ------------------------------------------------------------------

    async def allow(
        self, host: str, *, require_credential: bool = True, reason: str | None = None, by: str
    ) -> Peer:
        """Speak with a server from now on, and look it up (a task that is tried until it is up)."""
        return await self._set(host, PeerPolicy.ALLOWED, require_credential, reason, by)

    async def limit(
        self,
        host: str,
        *,
        require_credential: bool | None = None,
        reason: str | None = None,
        by: str,
    ) -> Peer:
        """Speak with a server, but keep it out of everybody's first page. What was asked of its
        authors stays as it is, unless it is given."""
        return await self._set(host, PeerPolicy.LIMITED, require_credential, reason, by)

    async def block(self, host: str, *, reason: str | None = None, by: str) -> Peer:
        """Neither hear nor tell a server anything."""
        return await self._set(host, PeerPolicy.BLOCKED, None, reason, by)

    async def unpin(self, host: str, *, by: str) -> None:
        """Forget a server's credential key, after the operator compared the new one."""
        host = self._host(host)
        async with self._db.transaction() as tx:
            if await peers.get(tx, host) is None:
                raise NotFound(f"{host} is not among the peers.")
            await peers.unpin_issuer(tx, host)
            await self._look_up(tx, host)
            await moderation.append(tx, self._clock.now(), by, "peer_unpinned", host, {})
        await self.refresh()

    async def peers(self) -> list[Peer]:
        """All peers as they are stored now."""
        return await peers.every(self._db)

    async def _set(
        self,
        host: str,
        policy: PeerPolicy,
        require_credential: bool | None,
        reason: str | None,
        by: str,
    ) -> Peer:
        host = self._host(host)
        if reason is not None:
            reason = "".join(filter(str.isprintable, reason))[:1000] or None
        now = self._clock.now()
        async with self._db.transaction() as tx:
            known = await peers.get(tx, host)
            if require_credential is None:
                require_credential = known.require_credential if known else True
            # Limiting or blocking what a list allows is no leave of the operator's own.
            own = policy is PeerPolicy.ALLOWED or known is None or known.own
            await peers.put(
                tx, host, policy, require_credential=require_credential, reason=reason, now=now,
                own=own,
            )  # fmt: skip
            if policy is not PeerPolicy.BLOCKED:
                await self._look_up(tx, host)
            detail = {"policy": policy.value, "require_credential": require_credential}
            await moderation.append(tx, now, by, "peer_set", host, detail)
            stored = await peers.get(tx, host)
        await self.refresh()
        assert stored is not None  # it was just written
        return stored

    async def _look_up(self, tx: Transaction, host: str) -> None:
        await queues.put_task(tx, "peer", host, {}, self._clock.now())

    def _host(self, text: str) -> str:
        host = normalise_host(text)
        if host == self._own_host:
            raise BadInput("This instance needs no leave to speak with itself.", field="host")
        return host


def normalise_host(text: str) -> str:
    """`host[:port]` in lower case and IDNA as it stands in URLs; BadInput for anything else."""
    host = text.strip().lower().removesuffix(".")
    if not host.isascii():
        try:
            name, colon, port = host.partition(":")
            host = name.encode("idna").decode() + colon + port
        except UnicodeError:
            host = ""
    found = _HOST.fullmatch(host)
    if found is None or len(host) > 253 or int(found[1] or 1) > 65535:
        raise BadInput(
            "Give the other server's domain, such as st-olaf.example, without https://.",
            field="host",
        )
    return host.removesuffix(":443") if found[1] == "443" else host


def _issuer_of(peer: Peer) -> Issuer | None:
    if peer.issuer_uri is None or peer.issuer_key_id is None or peer.issuer_key is None:
        return None
    try:
        key = decode_multikey(peer.issuer_key)
    except IntegrityError as error:
        log.warning("issuer_key_unusable", host=peer.host, reason=error.reason)
        return None
    own = origin(peer.issuer_uri)
    if own is None or own[1] != peer.host or origin(peer.issuer_key_id) != own:
        log.warning("issuer_elsewhere", host=peer.host)
        return None
    by = "" if peer.own else " and ".join(peer.lists)
    return Issuer(peer.host, peer.issuer_uri, peer.issuer_key_id, key, peer.issuer_pinned, by)
