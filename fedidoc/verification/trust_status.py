"""How trust lists stand, explained: each list, each issuer, what follows here, what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fedidoc.clock import DAY
from fedidoc.model import PeerPolicy
from fedidoc.storage.peers import Peer
from fedidoc.verification.consequences import GRACE, WITHHELD, Consequence, Freshness, Mode
from fedidoc.verification.subscriptions import Stand
from fedidoc.verification.trust_lists import Accredited

# A list that was not renewed by then will probably run out.
_SOON: Final = 14 * DAY

_ADVICE: Final[Mapping[str, str]] = {
    "rollback": "Ask the publisher whether its server was put back to an old state, or broken"
    " into.",
    "fork": "Compare the digest of the list with another subscriber's, and ask the signers which of"
    " the two they signed.",
    "signatures": "Ask the society, not its server, for its signers' keys; if they have changed,"
    " put them into [trust_lists.NAME] keys.",
    "new_signers": "Tell the publisher: its next signers have to sign this list as well.",
    "expired": "Ask the publisher for a new list.",
    "future": "Compare the clock of this server with the publisher's.",
    "other_list": "Compare [trust_lists.NAME] url with what the society gave you.",
}
_OTHERWISE: Final = "It is tried again by itself; if it stays so, ask the publisher."


@dataclass(frozen=True, slots=True)
class IssuerStatus:
    """One issuer on a list, and in a sentence what that means for it here."""

    host: str
    name: str
    country: str
    status: str
    key: str
    effect: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListStatus:
    """One subscription. Times are UTC milliseconds; None where no list was accepted yet.

    `flags` are (what is wrong, what to do) in sentences; empty when all is well.
    """

    name: str
    url: str
    mode: str
    title: str | None
    sequence: int | None
    digest: str | None
    issued: int | None
    expires: int | None
    freshness: str | None
    signed: int | None
    threshold: int
    signers: tuple[str, ...]
    asked: int | None
    answered: int | None
    flags: tuple[tuple[str, str], ...]
    issuers: tuple[IssuerStatus, ...]


def describe(
    stand: Stand,
    consequences: Sequence[tuple[Consequence, Peer | None]],
    *,
    own_host: str,
    now: int,
) -> ListStatus:
    """How one subscription stands."""
    found, accepted = stand.found, stand.accepted
    by_host = {each.host: (each, peer) for each, peer in consequences}
    signers = found.signers if found and not stand.begins_anew else stand.pins.signers
    return ListStatus(
        name=stand.pins.name,
        url=stand.pins.url,
        mode=stand.pins.mode.value,
        title=found.name if found else None,
        sequence=found.sequence if found else None,
        digest=found.digest if found else None,
        issued=found.issued if found else None,
        expires=found.expires if found else None,
        freshness=stand.freshness.value if stand.freshness else None,
        signed=accepted.signed if accepted else None,
        threshold=signers.threshold,
        signers=signers.keys,
        asked=stand.row.asked,
        answered=stand.row.answered,
        flags=tuple(_flags(stand, now)),
        issuers=tuple(_issuer(i, by_host.get(i.host), stand, own_host) for i in found.issuers)
        if found
        else (),
    )


def fallen(consequences: Sequence[tuple[Consequence, Peer | None]]) -> list[Peer]:
    """Servers that a list named once and none does now, and that nobody else allowed."""
    return [
        peer
        for each, peer in consequences
        if peer is not None and not peer.own and not each.lists and not each.believed
    ]


def effect_on(peer: Peer | None) -> str:
    """What lists and the operator's own word come to for a server, in a sentence."""
    if peer is None:
        return "Not a peer here."
    if peer.policy is PeerPolicy.BLOCKED:
        return "Blocked by you."
    limited = ", but limited by you" if peer.policy is PeerPolicy.LIMITED else ""
    if peer.own:
        return "Limited by you." if limited else "Allowed by you, whatever lists say."
    if peer.withheld is not None:
        return f"Not believed: {WITHHELD[peer.withheld]}."
    names = ", ".join(peer.lists)
    return f"Allowed by the list {names}{limited}."


def _issuer(
    issuer: Accredited,
    known: tuple[Consequence, Peer | None] | None,
    stand: Stand,
    own_host: str,
) -> IssuerStatus:
    consequence, peer = known or (None, None)
    effect = effect_on(peer)
    if issuer.host == own_host:
        effect = "This instance."
    elif peer is None and stand.pins.mode is Mode.ADVISE:
        effect = "Not a peer here: this list only advises."
    elif peer is None and not issuer.active:
        effect = "Not a peer here: the list has suspended it."
    return IssuerStatus(
        host=issuer.host,
        name=issuer.name,
        country=issuer.country,
        status=issuer.status.value,
        key=issuer.key,
        effect=effect,
        notes=_notes(consequence, peer),
    )


def _notes(consequence: Consequence | None, peer: Peer | None) -> tuple[str, ...]:
    notes = consequence.notes if consequence else ()
    return (*notes, peer.reason) if peer is not None and peer.reason else notes


def _flags(stand: Stand, now: int) -> list[tuple[str, str]]:
    flags: list[tuple[str, str]] = []
    row, found = stand.row, stand.found
    if stand.freshness is Freshness.LAPSED:
        flags.append((
            "The list has run out and its grace is over: no issuer is believed on its word.",
            "Ask the publisher for a new list. Servers that you know can be allowed one by one.",
        ))  # fmt: skip
    elif stand.freshness is Freshness.STALE and found is not None:
        days = max(1, (found.expires + GRACE - now) // DAY)
        flags.append((
            f"The list has run out. What it gave is kept for {days} more"
            f" {'day' if days == 1 else 'days'}, and nothing is added.",
            "Ask the publisher for a new list.",
        ))  # fmt: skip
    elif found is not None and found.expires - now < _SOON:
        flags.append(("The list runs out soon.", "Ask the publisher when the next one comes."))
    if row.trouble is not None and row.trouble_text is not None:
        advice = _ADVICE.get(row.trouble, _OTHERWISE).replace("NAME", stand.pins.name)
        flags.append((row.trouble_text, advice))
    if stand.accepted is not None and stand.accepted.flag is not None:
        flags.append((
            stand.accepted.flag,
            "The signatures hold. Ask the publisher why earlier lists are gone from its server.",
        ))  # fmt: skip
    if found is None and row.trouble is None:
        flags.append(("No list was had yet.", "It is asked for as soon as the server runs."))
    elif stand.begins_anew:
        flags.append((
            "Address, keys or threshold were changed in the configuration; the list that is held is"
            " still the one from before.",
            "The next list has to be signed by the keys that are configured now.",
        ))  # fmt: skip
    return flags
