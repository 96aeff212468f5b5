"""A trust list: a society names the issuers it accredits, with their keys, signed k-of-n. Pure.

A list is one JSON document with a set of `eddsa-jcs-2022` proofs, each by a signer's own key, named
by its `did:key`. Lists are numbered without gaps; each carries the digest of the one before it and
names the keys and the threshold that the next one has to be signed with, so that keys can change.
The rules are those of The Update Framework's root role (TUF 1.0, section 5.3), with reasons in
docs/decisions/0005-trust-lists.md; the format stands in docs/wire.md. `trust_signatures` signs and
judges.

Everything here is strict: a member that is not known is refused, because what it restricts would
otherwise be ignored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from fedidoc.clock import DAY, from_iso, iso
from fedidoc.config import is_loopback
from fedidoc.errors import BadInput
from fedidoc.integrity import (
    CRYPTOSUITE,
    MAX_INTEGER,
    MAX_PROOFS,
    IntegrityError,
    canonicalize,
    decode_multikey,
    parse_strict,
)
from fedidoc.verification.checks import CONTEXT as CREDENTIALS_CONTEXT
from fedidoc.verification.checks import origin
from fedidoc.verification.trust import normalise_host

TYPE: Final = "TrustList"
MAX_BYTES: Final = 1 << 20
MAX_ISSUERS: Final = 1_000
MAX_SIGNERS: Final = MAX_PROOFS
# Thirteen months. Shorter is better: until it expires, a list that is held back is not missed.
LONGEST: Final = 397 * DAY

_NAMESPACE: Final = "https://w3id.org/fedidoc/v1#"
_TERMS: Final = {
    term: _NAMESPACE + term
    for term in (
        TYPE, "publisher", "sequence", "issued", "expires", "previous", "signers", "threshold",
        "keys", "issuers", "host", "actor", "credentialKey", "publicKeyMultibase", "country",
        "since", "status", "requireCredential",
    )
}  # fmt: skip
CONTEXT: Final[list[Any]] = [CREDENTIALS_CONTEXT, _TERMS]

_MEMBERS: Final = frozenset({
    "@context", "type", "id", "name", "publisher", "sequence", "issued", "expires", "previous",
    "signers", "issuers", "proof",
})  # fmt: skip
_ISSUER_MEMBERS: Final = frozenset({
    "host", "actor", "credentialKey", "name", "country", "since", "status", "requireCredential",
})  # fmt: skip
_PROOF_MEMBERS: Final = frozenset({
    "type", "cryptosuite", "verificationMethod", "proofPurpose", "created", "proofValue",
    "@context",
})  # fmt: skip
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_FRAGMENT: Final = re.compile(r"#[A-Za-z0-9._-]{1,64}")


class Accreditation(StrEnum):
    """How an issuer stands with the society: believed, or for now not."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Accredited:
    """One issuer on a list. `key` is its credential key (Multikey text) and `key_id` the id that
    its credentials name; `since` is a date, `country` a code of ISO 3166-1 alpha-2."""

    host: str
    actor: str
    key_id: str
    key: str
    name: str
    country: str
    since: str
    status: Accreditation
    require_credential: bool

    @property
    def active(self) -> bool:
        return self.status is Accreditation.ACTIVE


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose signatures count (Multikey texts), and how many of them it takes."""

    keys: tuple[str, ...]
    threshold: int

    @classmethod
    def of(cls, keys: Sequence[str], threshold: int) -> Signers:
        """Checked: usable keys, each once, and a threshold that can be reached. Raises
        `ListRefused`."""
        require(0 < len(keys) <= MAX_SIGNERS, "signers", f"There must be 1 to {MAX_SIGNERS} keys.")
        require(
            len(set(keys)) == len(keys), "signers", "A signer's key stands there more than once."
        )
        for key in keys:
            _key(key, "signers")
        require(threshold >= 1, "threshold", "The threshold must be at least 1.")
        require(
            threshold <= len(keys), "threshold", "The threshold is larger than the number of keys."
        )
        return cls(tuple(keys), threshold)


@dataclass(frozen=True, slots=True)
class TrustList:
    """One list as it was read; nothing says yet that anybody signed it.

    Times are UTC milliseconds. `digest` is that of the canonical form without its proofs, so that
    one more signature makes no other list. `signers` are those of the *next* list.
    """

    url: str
    name: str
    publisher: str
    sequence: int
    issued: int
    expires: int
    previous: str | None
    signers: Signers
    issuers: tuple[Accredited, ...]
    digest: str
    document: Mapping[str, Any]
    by_host: Mapping[str, Accredited]

    def issuer(self, host: str) -> Accredited | None:
        """What the list says of a host."""
        return self.by_host.get(host)


class ListRefused(Exception):
    """Why a list does not count: a word for machines, and one sentence that may be shown."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


# Reading ------------------------------------------------------------------------------------------


def read(document: bytes) -> TrustList:
    """A list from its bytes, signed or not yet. Raises `ListRefused`.

    Refused: what is not strict JSON (an equal key twice, more than 1 MiB, deeper than 32), a
    member more or less than the format has, another context, keys or addresses of an issuer on
    another origin than its host, and a host or a key that stands there twice.
    """
    try:
        parsed = parse_strict(document, max_bytes=MAX_BYTES)
    except IntegrityError as error:
        raise ListRefused(error.reason, f"The list cannot be read: {error.text}") from None
    require(isinstance(parsed, dict), "format", "The list cannot be read.")
    _members(parsed, _MEMBERS, "list", optional={"proof"})
    if parsed["@context"] != CONTEXT or parsed["type"] != TYPE:
        raise ListRefused("format", "The document is no trust list of a format known here.")
    url, publisher = parsed["id"], parsed["publisher"]
    require(origin(_text(url, "id", 300)) is not None, "id", "The list's id is no web address.")
    require(
        origin(_text(publisher, "publisher", 300)) == origin(url),
        "publisher",
        "The list is on another server than its publisher.",
    )
    sequence, previous = parsed["sequence"], parsed["previous"]
    require(_is_count(sequence), "sequence", "The list's number is not a whole number from 1 on.")
    require(
        previous is None if sequence == 1 else _is_digest(previous),
        "previous",
        "The list must name the digest of the one before it, unless it is the first.",
    )
    issued, expires = _moment(parsed["issued"]), _moment(parsed["expires"])
    require(
        issued < expires <= issued + LONGEST,
        "dates",
        "The list must expire after it was issued, within thirteen months.",
    )
    signers = _signers(parsed["signers"])
    issuers = _issuers(parsed["issuers"], signers)
    if "proof" in parsed:
        _proofs(parsed)
    return TrustList(
        url=url,
        name=_text(parsed["name"], "name", 120),
        publisher=publisher,
        sequence=sequence,
        issued=issued,
        expires=expires,
        previous=previous,
        signers=signers,
        issuers=issuers,
        digest=digest_of(parsed),
        document=parsed,
        by_host={issuer.host: issuer for issuer in issuers},
    )


def digest_of(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical form (RFC 8785) of a document without its proofs."""
    bare = {name: part for name, part in document.items() if name != "proof"}
    return sha256(canonicalize(bare)).hexdigest()


def _signers(given: Any) -> Signers:
    require(isinstance(given, dict), "signers", "The list does not say who signs the next one.")
    _members(given, frozenset({"keys", "threshold"}), "signers")
    keys, threshold = given["keys"], given["threshold"]
    require(
        isinstance(keys, list) and all(isinstance(key, str) for key in keys),
        "signers",
        "The list does not say who signs the next one.",
    )
    require(type(threshold) is int, "threshold", "The threshold must be a whole number.")
    return Signers.of(keys, threshold)


def _issuers(given: Any, signers: Signers) -> tuple[Accredited, ...]:
    require(isinstance(given, list), "issuers", "The list has no list of issuers.")
    require(len(given) <= MAX_ISSUERS, "issuers", f"A list has at most {MAX_ISSUERS} issuers.")
    issuers = tuple(_issuer(each) for each in given)
    hosts, keys = set[str](), set(signers.keys)
    for issuer in issuers:
        if issuer.host in hosts:
            raise ListRefused("issuer_twice", f"{issuer.host} stands on the list twice.")
        if issuer.key in keys:
            raise ListRefused("key_reused", f"{issuer.host} has a key that somebody else has too.")
        hosts.add(issuer.host)
        keys.add(issuer.key)
    return issuers


def _issuer(given: Any) -> Accredited:
    require(isinstance(given, dict), "issuers", "An issuer on the list cannot be read.")
    _members(given, _ISSUER_MEMBERS, "issuer")
    host, actor, country = _text(given["host"], "host", 253), given["actor"], given["country"]
    try:
        usual = normalise_host(host) == host
    except BadInput:
        usual = False
    require(usual, "host", "An issuer's host is not written as host or host:port.")
    own = origin(_text(actor, "actor", 300))
    if own is None or own[1] != host or (own[0] != "https" and not is_loopback(host)):
        raise ListRefused("issuer_origin", f"The actor of {host} is on another server.")
    credential_key = given["credentialKey"]
    require(isinstance(credential_key, dict), "issuers", "An issuer on the list has no key.")
    _members(credential_key, frozenset({"id", "publicKeyMultibase"}), "key")
    key_id, key = _text(credential_key["id"], "id", 400), credential_key["publicKeyMultibase"]
    if not key_id.startswith(actor) or _FRAGMENT.fullmatch(key_id[len(actor) :]) is None:
        raise ListRefused("key_origin", f"The key of {host} is not one of its own actor.")
    require(
        isinstance(country, str) and _COUNTRY.fullmatch(country) is not None,
        "country",
        "A country is two capital letters (ISO 3166-1).",
    )
    require(
        type(given["requireCredential"]) is bool,
        "issuers",
        "Whether an issuer's members need a credential must be true or false.",
    )
    try:
        status = Accreditation(given["status"])
    except ValueError:
        raise ListRefused("status", "An issuer is either active or suspended.") from None
    return Accredited(
        host=host,
        actor=actor,
        key_id=key_id,
        key=_key(key, "issuers"),
        name=_text(given["name"], "name", 120),
        country=country,
        since=_day(given["since"]),
        status=status,
        require_credential=given["requireCredential"],
    )


def _proofs(document: Mapping[str, Any]) -> None:
    """The shape of the proofs, which covers what `verify_proof` leaves open."""
    proofs = document["proof"]
    if not isinstance(proofs, list) or not 0 < len(proofs) <= MAX_PROOFS:
        raise ListRefused("proof_malformed", f"A list has a set of 1 to {MAX_PROOFS} proofs.")
    methods = set[str]()
    for proof in proofs:
        require(isinstance(proof, dict), "proof_malformed", "A proof cannot be read.")
        _members(proof, _PROOF_MEMBERS, "proof")
        kind = (proof["type"], proof["cryptosuite"])
        if kind != ("DataIntegrityProof", CRYPTOSUITE) or proof["@context"] != CONTEXT:
            raise ListRefused("proof_malformed", f"Every proof must be {CRYPTOSUITE}.")
        method = _text(proof["verificationMethod"], "verificationMethod", 300)
        if method in methods:
            raise ListRefused("signed_twice", "The same key signed the list more than once.")
        methods.add(method)


# Parts --------------------------------------------------------------------------------------------


def require(holds: bool, reason: str, text: str) -> None:
    """Raise `ListRefused` unless something holds."""
    if not holds:
        raise ListRefused(reason, text)


def _members(
    given: Mapping[str, Any], names: frozenset[str], what: str, optional: Collection[str] = ()
) -> None:
    unknown, missing = given.keys() - names, names - given.keys() - set(optional)
    if unknown:
        raise ListRefused("unknown_member", f"The {what} has a member that is not known here.")
    if missing:
        raise ListRefused("missing_member", f"The {what} lacks {', '.join(sorted(missing))}.")


def _text(value: Any, name: str, longest: int) -> str:
    if isinstance(value, str) and 0 < len(value) <= longest and value.isprintable():
        return value
    raise ListRefused("text", f"The list's {name} is missing, too long, or cannot be shown.")


def _key(text: Any, reason: str) -> str:
    try:
        decode_multikey(text if isinstance(text, str) else "")
    except (IntegrityError, ValueError):
        raise ListRefused(reason, "A key on the list is not an Ed25519 Multikey.") from None
    return str(text)


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_INTEGER


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _moment(value: Any) -> int:
    """A time in the one spelling `2026-11-23T16:59:00Z`."""
    moment = from_iso(value) if isinstance(value, str) else None
    if moment is None or moment < 0 or iso(moment) != value:
        raise ListRefused("dates", "A time on the list is not written as 2026-11-23T16:59:00Z.")
    return moment


def _day(value: Any) -> str:
    try:
        if isinstance(value, str) and date.fromisoformat(value).isoformat() == value:
            return value
    except ValueError:
        pass
    raise ListRefused("dates", "A date on the list is not written as 2026-11-23.")
