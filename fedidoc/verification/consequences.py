"""What follows from trust lists: what changed between two, what to believe of each server. Pure.

The rules: the operator's own word comes first; a list takes away only what a list gave; a list that
has run out freezes what it gave for 14 days, gives nothing new, and then no longer holds; lists
that name different keys for one server are not decided between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedidoc.clock import DAY
from fedidoc.model import PeerPolicy
from fedidoc.storage.peers import REMOVED, STALE, SUSPENDED, Peer
from fedidoc.verification.trust_lists import Accredited, TrustList

GRACE: Final = 14 * DAY

WITHHELD: Final[Mapping[str, str]] = {
    REMOVED: "no trust list names it any more",
    SUSPENDED: "the trust list that names it has suspended it",
    STALE: "the trust list that names it has run out",
}
"""Why trust in a server is withheld, to follow a colon."""


class Mode(StrEnum):
    """What a subscription does: allow the issuers it names, or only pin and compare keys."""

    ALLOW = "allow"
    ADVISE = "advise"


class Freshness(StrEnum):
    """How a list stands to its expiry."""

    FRESH = "fresh"
    STALE = "stale"  # has run out; what it gave is kept for the grace, nothing is added
    LAPSED = "lapsed"  # the grace is over as well


def freshness(found: TrustList, now: int) -> Freshness:
    """How a list stands now."""
    if now < found.expires:
        return Freshness.FRESH
    return Freshness.STALE if now < found.expires + GRACE else Freshness.LAPSED


@dataclass(frozen=True, slots=True)
class Followed:
    """A subscription with the newest list that it accepted."""

    name: str
    mode: Mode
    found: TrustList
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows for one server.

    `lists` are the subscriptions that it is on by allowance; `withheld` says why it is not believed
    on their word, None if it is. `pin` is the key to have pinned; None leaves it as it is. `notes`
    are sentences for the operator.
    """

    host: str
    lists: tuple[str, ...]
    withheld: str | None
    pin: Accredited | None
    require_credential: bool
    notes: tuple[str, ...]

    @property
    def believed(self) -> bool:
        return self.withheld is None


def conclude(
    host: str, followed: Sequence[Followed], peer: Peer | None, given: Collection[str]
) -> Consequence:
    """What the lists mean for `host`. `given` names those that gave it trust until now."""
    named = [(each, issuer) for each in followed if (issuer := each.found.issuer(host))]
    on = [
        (each, issuer)
        for each, issuer in named
        if each.mode is Mode.ALLOW
        and (each.name in given or (issuer.active and each.freshness is Freshness.FRESH))
    ]
    believing = [
        issuer for each, issuer in on if issuer.active and each.freshness is not Freshness.LAPSED
    ]
    withheld = None
    if not believing:
        suspended = any(not issuer.active for _, issuer in on)
        withheld = REMOVED if not on else SUSPENDED if suspended else STALE
    return Consequence(
        host=host,
        lists=tuple(sorted(each.name for each, _ in on)),
        withheld=withheld,
        pin=_choose_key(believing or _advised(named, peer)),
        require_credential=any(issuer.require_credential for issuer in believing),
        notes=tuple(_notes(host, named, peer)),
    )


def _choose_key(issuers: Sequence[Accredited]) -> Accredited | None:
    """The key that all of them name; None where they differ."""
    keys = {(issuer.actor, issuer.key_id, issuer.key) for issuer in issuers}
    return issuers[0] if len(keys) == 1 else None


def _advised(
    named: Sequence[tuple[Followed, Accredited]], peer: Peer | None
) -> Sequence[Accredited]:
    """Keys for a server that the operator allowed and whose own key was not seen yet."""
    if peer is None or not peer.own or peer.issuer_key is not None:
        return ()
    return [issuer for each, issuer in named if issuer.active and each.freshness is Freshness.FRESH]


def _notes(
    host: str, named: Sequence[tuple[Followed, Accredited]], peer: Peer | None
) -> Iterator[str]:
    keys = {(issuer.actor, issuer.key_id, issuer.key) for _, issuer in named if issuer.active}
    if len(keys) > 1:
        names = ", ".join(each.name for each, issuer in named if issuer.active)
        yield f"The lists {names} name different keys for {host}; none of them was pinned for it."
    if peer is None:
        return
    for each, issuer in named:
        pinned = (peer.issuer_uri, peer.issuer_key_id, peer.issuer_key)
        if peer.policy is PeerPolicy.BLOCKED:
            if issuer.active:
                yield f"List {each.name} names {host}, but you have blocked it."
        elif issuer.active and peer.issuer_key and pinned != (
            issuer.actor, issuer.key_id, issuer.key
        ):  # fmt: skip
            yield (
                f"List {each.name} names another key for {host} than the one that is pinned here;"
                " compare them by telephone."
            )
        elif not issuer.active and peer.own:
            yield (
                f"List {each.name} has suspended {host}; you allowed it yourself, so it is still"
                " believed here."
            )


# Between two lists --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One change: a word for machines, whom it concerns, and the sentence."""

    kind: str
    subject: str
    text: str


def differences(before: TrustList | None, after: TrustList) -> list[Difference]:
    """What a list changes against the one before it, in the order in which it matters."""
    old = {issuer.host: issuer for issuer in before.issuers} if before else {}
    new = {issuer.host: issuer for issuer in after.issuers}
    found = [*_signer_changes(before, after)]
    for host in sorted(old.keys() - new.keys()):
        found.append(Difference("removed", host, f"{host} ({old[host].name}) is removed."))
    for host in sorted(old.keys() & new.keys()):
        found.extend(_issuer_changes(old[host], new[host]))
    for host in sorted(new.keys() - old.keys()):
        issuer = new[host]
        how = "" if issuer.active else ", suspended"
        words = f"{host} ({issuer.name}, {issuer.country}) is added{how}, with key {issuer.key}."
        found.append(Difference("added", host, words))
    return found


def _signer_changes(before: TrustList | None, after: TrustList) -> Iterator[Difference]:
    old = before.signers if before else None
    if old is not None:
        for key in old.keys:
            if key not in after.signers.keys:
                yield Difference("signer_removed", key, f"Signer {key} signs no more lists.")
    for key in after.signers.keys:
        if old is None or key not in old.keys:
            yield Difference("signer_added", key, f"Signer {key} signs the next lists.")
    threshold, many = after.signers.threshold, len(after.signers.keys)
    if old is None or (old.threshold, len(old.keys)) != (threshold, many):
        words = f"The next list needs {threshold} of {many} signatures."
        yield Difference("threshold", str(threshold), words)


def _issuer_changes(old: Accredited, new: Accredited) -> Iterator[Difference]:
    host = new.host
    if (old.actor, old.key_id, old.key) != (new.actor, new.key_id, new.key):
        words = f"{host} has another key: {old.key} before, {new.key} now."
        yield Difference("key_changed", host, words)
    if old.status is not new.status:
        words = f"{host} is active again." if new.active else f"{host} is suspended."
        yield Difference("reinstated" if new.active else "suspended", host, words)
    if old.require_credential != new.require_credential:
        words = "need" if new.require_credential else "no longer need"
        yield Difference("credential", host, f"The members of {host} {words} a credential.")
    rest = (old.name, old.country, old.since), (new.name, new.country, new.since)
    if rest[0] != rest[1]:
        yield Difference("details", host, f"{host} is described anew: {', '.join(rest[1])}.")
