"""Signing trust lists, and judging one that was served. Pure.

A signature is a Data Integrity proof by a signer's own key, named by its `did:key`: the key itself
is in the name, so nobody has to be asked for it, and the publisher's server has no say in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import MINUTE
from fedidoc.integrity import (
    MAX_PROOFS,
    IntegrityError,
    create_proof,
    decode_multikey,
    encode_multikey,
    verify_proof,
)
from fedidoc.verification.checks import PURPOSE
from fedidoc.verification.trust_lists import ListRefused, Signers, TrustList, read, require

_SKEW: Final = 10 * MINUTE

# Signing ------------------------------------------------------------------------------------------


def method_of(key: str) -> str:
    """The verification method that stands for a signer's key: its own `did:key`."""
    return f"did:key:{key}#{key}"


def sign(document: Mapping[str, Any], key: Ed25519PrivateKey, now: int) -> dict[str, Any]:
    """The document with one more proof. Raises `ListRefused` if this key has signed it already, or
    if a list cannot have one more."""
    bare = {name: part for name, part in document.items() if name != "proof"}
    proofs = list(document.get("proof", []))
    method = method_of(encode_multikey(key.public_key()))
    if any(proof.get("verificationMethod") == method for proof in proofs):
        raise ListRefused("signed_twice", "This key has signed the list already.")
    if len(proofs) == MAX_PROOFS:
        raise ListRefused("proof_malformed", f"A list has at most {MAX_PROOFS} signatures.")
    created = datetime.fromtimestamp(now // 1000, UTC)
    return {**bare, "proof": [*proofs, create_proof(bare, key, method, PURPOSE, created)]}


def signed_by(found: TrustList, keys: Collection[str], now: int) -> tuple[str, ...]:
    """Those of the keys whose signature is on the list and holds, each once."""
    held = []
    for key in keys:
        try:
            verify_proof(
                found.document,
                decode_multikey(key),
                verification_method=method_of(key),
                purpose=PURPOSE,
                now_ms=now,
            )
        except IntegrityError:
            continue
        held.append(key)
    return tuple(held)


# Judging ------------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What a list that was presented comes to."""

    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"  # the one that is held already
    GAP = "gap"  # lists between are missing: fetch them, oldest first
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A conclusion on presented bytes. `signed` are the pinned keys whose signature holds."""

    outcome: Outcome
    reason: str
    text: str
    found: TrustList | None = None
    signed: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.outcome is Outcome.ACCEPTED


def judge(
    document: bytes,
    *,
    url: str,
    pinned: Signers,
    held: TrustList | None,
    now: int,
    leap: bool = False,
) -> Verdict:
    """Whether a list that was served at `url` follows the one that is `held` (None: the first).

    `pinned` are the signers that have to have signed it: those that the held list names, or those
    of the subscription. `leap` accepts a list whose predecessors cannot be had any more; it still
    needs the pinned signers, and the verdict's reason is `gap`. Never raises for bad input.
    """
    try:
        return _judge(document, url, pinned, held, now, leap)
    except ListRefused as refusal:
        return Verdict(Outcome.REFUSED, refusal.reason, refusal.text)


def _judge(
    document: bytes, url: str, pinned: Signers, held: TrustList | None, now: int, leap: bool
) -> Verdict:
    found = read(document)
    require(found.url == url, "other_list", "The document is another list than the one asked for.")
    if held is not None:
        if found.sequence < held.sequence:
            raise ListRefused(
                "rollback",
                f"The publisher serves list {found.sequence}, but {held.sequence} was accepted"
                " before: somebody shows old lists.",
            )
        if found.sequence == held.sequence:
            if found.digest == held.digest:
                return Verdict(Outcome.UNCHANGED, "unchanged", "This list is held already.", found)
            raise ListRefused(
                "fork",
                f"The publisher serves another list {found.sequence} than the one that was"
                " accepted: two lists with one number must not exist.",
            )
        if found.sequence == held.sequence + 1 and found.previous != held.digest:
            raise ListRefused(
                "fork",
                f"List {found.sequence} follows another list {held.sequence} than the one that"
                " was accepted.",
            )
        if found.sequence > held.sequence + 1 and not leap:
            return Verdict(Outcome.GAP, "gap", "Lists between are missing.", found)
    require(found.issued <= now + _SKEW, "future", "The list is from the future.")
    signed = signed_by(found, pinned.keys, now)
    if len(signed) < pinned.threshold:
        raise ListRefused(
            "signatures",
            f"{len(signed)} of the signers that are believed signed list {found.sequence};"
            f" {pinned.threshold} must.",
        )
    new = signed_by(found, found.signers.keys, now)
    if len(new) < found.signers.threshold:
        # Otherwise a list could name keys that nobody holds, and no list could follow it.
        raise ListRefused(
            "new_signers",
            f"{len(new)} of the signers that list {found.sequence} names for the next one have"
            f" signed it; {found.signers.threshold} must, to show that they hold their keys.",
        )
    if held is None and found.expires <= now:
        raise ListRefused("expired", "The list has expired; its publisher must issue a new one.")
    if leap:
        text = f"List {found.sequence} is accepted, but lists before it could not be had."
        return Verdict(Outcome.ACCEPTED, "gap", text, found, signed)
    text = f"List {found.sequence} is accepted."
    return Verdict(Outcome.ACCEPTED, "accepted", text, found, signed)
