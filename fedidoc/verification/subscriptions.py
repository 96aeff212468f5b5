"""Subscriptions: the trust lists that this instance follows, and what it does because of them.

A list, its place as the newest, every peer and key that follows from it, the badges that fall, and
the rows of the audit log are one transaction: a process that is killed has done all of it or
nothing. Nothing here asks the network; `federation.subscribing` does, and hands over bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fedidoc.clock import Clock
from fedidoc.config import TrustListRules
from fedidoc.errors import ConfigError, NotFound
from fedidoc.integrity import canonicalize
from fedidoc.log import Log
from fedidoc.model import Badge, PeerPolicy
from fedidoc.storage import actors, moderation, peers, queues
from fedidoc.storage import trust_lists as table
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.storage.peers import Peer
from fedidoc.storage.trust_lists import Accepted, Subscription
from fedidoc.verification.checks import origin
from fedidoc.verification.consequences import (
    WITHHELD,
    Consequence,
    Followed,
    Freshness,
    Mode,
    conclude,
    differences,
    freshness,
)
from fedidoc.verification.trust import Trust, normalise_host
from fedidoc.verification.trust_lists import Accredited, ListRefused, Signers, TrustList, read
from fedidoc.verification.trust_signatures import Outcome, Verdict, judge

log = Log("trust_lists")

_DIFFERENCES_LOGGED: Final = 200


@dataclass(frozen=True, slots=True)
class Pins:
    """What the operator configured of one subscription, checked."""

    name: str
    url: str
    signers: Signers
    mode: Mode

    @classmethod
    def of(cls, name: str, rules: TrustListRules) -> Pins:
        """Raises ConfigError."""
        if len(rules.url) > 300 or origin(rules.url) is None:
            raise ConfigError(
                f"[trust_lists.{name}] url must be the list's address, such as"
                " https://society.example/trust-list."
            )
        if rules.mode not in set(Mode):
            raise ConfigError(f"[trust_lists.{name}] mode must be allow or advise.")
        try:
            signers = Signers.of(rules.keys, rules.threshold)
        except ListRefused as refusal:
            raise ConfigError(f"[trust_lists.{name}] keys and threshold: {refusal.text}") from None
        return cls(name, rules.url, signers, Mode(rules.mode))

    @property
    def digest(self) -> str:
        """The same for as long as address, keys and threshold are the same."""
        pinned = [self.url, sorted(self.signers.keys), self.signers.threshold]
        return hashlib.sha256(canonicalize(pinned)).hexdigest()


@dataclass(frozen=True, slots=True)
class Stand:
    """One subscription as it stands: for the command and the page."""

    pins: Pins
    row: Subscription
    accepted: Accepted | None
    found: TrustList | None
    freshness: Freshness | None

    @property
    def begins_anew(self) -> bool:
        """Whether the configuration changed since: the list that is held is not the beginning."""
        return self.found is not None and self.row.sequence is None


class Subscriptions:
    """Takes lists, and keeps peers, keys and badges as they have it."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        trust: Trust,
        rules: Mapping[str, TrustListRules],
        *,
        own_host: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._trust = trust
        self._own_host = own_host
        self._pins = {name: Pins.of(name, each) for name, each in sorted(rules.items())}

    @property
    def names(self) -> tuple[str, ...]:
        """The configured subscriptions."""
        return tuple(self._pins)

    def pins(self, name: str) -> Pins | None:
        return self._pins.get(name)

    async def begin(self) -> None:
        """Know what is configured: new and changed subscriptions begin, others end, and what they
        gave is taken away. To be called at every start; changes nothing when nothing changed."""
        known = await table.subscriptions(self._db)
        wanted = {name: pins.digest for name, pins in self._pins.items()}
        if {name: row.pins for name, row in known.items()} != wanted:
            now = self._clock.now()
            async with self._db.transaction() as tx:
                await tx.lock("trust lists")
                known = await table.subscriptions(tx)
                for name in known.keys() - wanted.keys():
                    await table.end(tx, name)
                    await self._audit(tx, "trust_list_ended", name, {})
                for name, digest in wanted.items():
                    if name not in known or known[name].pins != digest:
                        await table.begin(tx, name, digest)
                        await self._audit(tx, "trust_list_begun", name, {"url": self._url(name)})
                await self._follow(tx, now)
        else:
            await self.follow()
        await self._trust.refresh()

    # Lists ------------------------------------------------------------------------------------

    async def held(self, name: str) -> Stand:
        """How a configured subscription stands. Raises NotFound."""
        for stand in await self.stands():
            if stand.pins.name == name:
                return stand
        raise NotFound(f"There is no [trust_lists.{name}] in the configuration.")

    async def take(
        self,
        name: str,
        documents: Sequence[bytes],
        *,
        etag: str | None = None,
        leap: bool = False,
        more: bool = False,
    ) -> Verdict:
        """Judge lists that the publisher served, oldest first, and do what follows from the last
        if all of them are accepted; the last verdict.

        `etag` is what the publisher calls its newest. A verdict of `gap` changes nothing: fetch the
        lists between, or with `leap` do without those right before the last. With `more` the last
        is not the newest: the lists are kept, and nothing follows from them yet. Not to be called
        inside a transaction.
        """
        self._db.forbid_nesting()
        stand = await self.held(name)
        now = self._clock.now()
        verdicts = await asyncio.to_thread(_judge_all, stand, documents, now, leap)
        last = verdicts[-1]
        if last.outcome is Outcome.GAP:
            return last
        if last.outcome is Outcome.REFUSED:
            await self.miss(name, last.reason, last.text)
            return last
        async with self._db.transaction() as tx:
            await tx.lock("trust lists")
            row = (await table.subscriptions(tx)).get(name)
            if row is None or (row.pins, row.sequence) != (stand.row.pins, stand.row.sequence):
                # Another process was quicker, or the configuration changed: it is asked again.
                text = "The subscription changed meanwhile."
                return Verdict(Outcome.REFUSED, "changed_meanwhile", text)
            before = stand.found
            for verdict, document in zip(verdicts, documents, strict=True):
                if verdict.accepted and verdict.found is not None:
                    await self._keep(tx, name, before, verdict, verdict.found, document, now)
                    before = verdict.found
            await table.answered(tx, name, etag, now)
            if not more:
                await self._follow(tx, now)
        await self._trust.refresh()
        return last

    async def _keep(
        self,
        tx: Transaction,
        name: str,
        before: TrustList | None,
        verdict: Verdict,
        found: TrustList,
        document: bytes,
        now: int,
    ) -> None:
        flag = verdict.text if verdict.reason == "gap" else None
        entry = Accepted(
            found.sequence, found.digest, document.decode(), len(verdict.signed), flag, now
        )
        await table.accept(tx, name, entry)
        changes = differences(before, found)[:_DIFFERENCES_LOGGED]
        detail = {
            "sequence": found.sequence,
            "digest": found.digest,
            "signed": list(verdict.signed),
            "flag": verdict.reason if flag else None,
            "changes": [[change.kind, change.subject] for change in changes],
        }
        await self._audit(tx, "trust_list_accepted", name, detail)
        log.info("trust_list_accepted", reason=verdict.reason, count=len(found.issuers))

    async def unchanged(self, name: str) -> None:
        """The publisher says that the list is the one it served before."""
        async with self._db.transaction() as tx:
            row = (await table.subscriptions(tx)).get(name)
            if row is not None:
                await table.answered(tx, name, row.etag, self._clock.now())
        await self.follow()

    async def miss(self, name: str, reason: str, text: str) -> None:
        """Note that no list that counts could be had; what is held goes on, and ages."""
        now = self._clock.now()
        async with self._db.transaction() as tx:
            if await table.troubled(tx, name, reason, text, now):
                await self._audit(tx, "trust_list_trouble", name, {"reason": reason})
        log.warning("trust_list_trouble", reason=reason)
        await self.follow()

    # What follows -----------------------------------------------------------------------------

    async def follow(self) -> None:
        """Bring peers into line with the lists that are held, as time and the operator's own
        decisions changed what follows from them."""
        now = self._clock.now()
        if not await self._has_changes(now):
            return
        async with self._db.transaction() as tx:
            await tx.lock("trust lists")
            await self._follow(tx, now)
        await self._trust.refresh()

    async def defer(self, host: str, *, reason: str | None = None, by: str) -> Peer:
        """Take the operator's own word on a server back: from now on only lists decide on it."""
        host = normalise_host(host)
        now = self._clock.now()
        async with self._db.transaction() as tx:
            await tx.lock("trust lists")
            known = await peers.get(tx, host)
            if known is None:
                raise NotFound(f"{host} is not among the servers.")
            await peers.disown(tx, host, reason)
            await moderation.append(tx, now, by, "peer_deferred", host, {})
            await self._follow(tx, now)
            stored = await peers.get(tx, host)
        await self._trust.refresh()
        assert stored is not None  # rows of peers are never deleted
        return stored

    async def _has_changes(self, now: int) -> bool:
        known = {peer.host: peer for peer in await peers.every(self._db)}
        for consequence in await self._conclude(self._db, known, now):
            if _steps(consequence, known.get(consequence.host)):
                return True
        return False

    async def _follow(self, tx: Transaction, now: int) -> None:
        known = {peer.host: peer for peer in await peers.every(tx)}
        for consequence in await self._conclude(tx, known, now):
            peer = known.get(consequence.host)
            steps = _steps(consequence, peer)
            if steps:
                await self._step(tx, consequence, peer, steps, now)

    async def _conclude(
        self, reader: Reader, known: Mapping[str, Peer], now: int
    ) -> list[Consequence]:
        followed = [
            Followed(stand.pins.name, stand.pins.mode, stand.found, stand.freshness)
            for stand in await self._stands(reader, now)
            if stand.found is not None and stand.freshness is not None
        ]
        given = await table.grants(reader)
        hosts = given.keys() | {i.host for each in followed for i in each.found.issuers}
        hosts |= {host for host, peer in known.items() if not peer.own}
        return [
            conclude(host, followed, known.get(host), given.get(host, ()))
            for host in sorted(hosts - {self._own_host})
        ]

    async def _step(
        self,
        tx: Transaction,
        consequence: Consequence,
        peer: Peer | None,
        steps: Mapping[str, Any],
        now: int,
    ) -> None:
        """Do for one server what `_steps` found, and write it down."""
        host, pin = consequence.host, consequence.pin
        if "listed" in steps or "credential" in steps:
            needs = consequence.require_credential
            await peers.put_listed(tx, host, require_credential=needs, now=now)
        if "lists" in steps:
            await table.set_grants(tx, host, consequence.lists, now)
        if pin is not None and "pinned" in steps:
            await peers.pin_issuer(tx, host, pin.actor, pin.key_id, pin.key, now=now)
        if pin is not None and "repinned" in steps:
            reason = "A trust list gave it another credential key; ask its operator whether it is."
            await peers.repin_issuer(
                tx, host, pin.actor, pin.key_id, pin.key, reason=reason, now=now
            )
            words = f"The key of {host} changed; the credential is checked anew."
            await actors.set_badges_at(tx, host, Badge(False, words), at=now)
            log.warning("issuer_key_changed", host=host, reason="trust_list")
        if "withheld" in steps:
            why = consequence.withheld
            await peers.withhold(tx, host, why)
            if why is not None:
                words = f"{host} is not believed here: {WITHHELD[why]}."
                await actors.set_badges_at(tx, host, Badge(False, words, checked=now), at=now)
                log.warning("trust_withheld", host=host, reason=why)
        heard = peer is None or peer.policy is not PeerPolicy.BLOCKED
        news = consequence.believed and steps.keys() - {"lists", "credential"}
        if heard and (news or "pinned" in steps):
            # Meets the server, and looks again at the badges of its members.
            await queues.put_task(tx, "peer", host, {}, now)
        await self._audit(tx, "peer_by_list", host, steps)

    async def _audit(
        self, tx: Transaction, action: str, subject: str, detail: Mapping[str, Any]
    ) -> None:
        await moderation.append(tx, self._clock.now(), "trust lists", action, subject, detail)

    # How it stands ----------------------------------------------------------------------------

    async def stands(self) -> list[Stand]:
        """Every configured subscription."""
        return await self._stands(self._db, self._clock.now())

    async def consequences(self) -> list[tuple[Consequence, Peer | None]]:
        """What follows from the lists for each server that they name or named."""
        known = {peer.host: peer for peer in await peers.every(self._db)}
        found = await self._conclude(self._db, known, self._clock.now())
        return [(each, known.get(each.host)) for each in found]

    async def _stands(self, reader: Reader, now: int) -> list[Stand]:
        rows = await table.subscriptions(reader)
        stands = []
        for name, pins in self._pins.items():
            row = rows.get(name)
            if row is None:
                continue
            accepted = await table.accepted(reader, name)
            found = read(accepted.document.encode()) if accepted else None
            stands.append(
                Stand(pins, row, accepted, found, freshness(found, now) if found else None)
            )
        return stands

    def _url(self, name: str) -> str:
        return self._pins[name].url


def _judge_all(stand: Stand, documents: Sequence[bytes], now: int, leap: bool) -> list[Verdict]:
    """The verdicts on lists that follow each other, up to the first that is not accepted."""
    held = None if stand.row.sequence is None else stand.found
    verdicts: list[Verdict] = []
    for number, document in enumerate(documents, 1):
        verdict = judge(
            document,
            url=stand.pins.url,
            pinned=held.signers if held else stand.pins.signers,
            held=held,
            now=now,
            leap=leap and number == len(documents),
        )
        verdicts.append(verdict)
        if verdict.outcome in (Outcome.GAP, Outcome.REFUSED):
            break
        held = verdict.found
    return verdicts


def _steps(consequence: Consequence, peer: Peer | None) -> dict[str, Any]:
    """What has to be done so that a server is as the lists have it; empty when it is.

    Also what the audit log says of it: hosts, keys and words of our own.
    """
    pin, steps = consequence.pin, dict[str, Any]()
    if peer is None:
        if not consequence.believed or pin is None:
            return steps
        return {"listed": True, "lists": list(consequence.lists), "pinned": pin.key}
    if peer.lists != consequence.lists:
        steps["lists"] = list(consequence.lists)
    # Of one that is blocked no key is pinned; but once it is not, its lists count as they are then.
    if pin is not None and peer.policy is not PeerPolicy.BLOCKED and not _is_pinned(peer, pin):
        if peer.issuer_key is None:
            steps["pinned"] = pin.key
        else:
            steps["repinned"] = pin.key
            steps["before"] = peer.issuer_key
    if not peer.own:
        if peer.withheld != consequence.withheld:
            steps["withheld"] = consequence.withheld
        needs = consequence.require_credential
        if consequence.believed and peer.require_credential != needs:
            steps["credential"] = needs
    return steps


def _is_pinned(peer: Peer, pin: Accredited) -> bool:
    pinned: Sequence[str | None] = (peer.issuer_uri, peer.issuer_key_id, peer.issuer_key)
    return pinned == (pin.actor, pin.key_id, pin.key)
