"""Checking a physician credential: bytes in, a badge with its reason in words out. Pure.

The credential is a W3C Verifiable Credential 2.0 with a Data Integrity proof `eddsa-jcs-2022`. The
order is that of `examination.Step`: strict parse, issuer trusted and key pinned, purpose, proof,
dates, status list, subject, content, and whether the actor names it. No check asks the issuer about
the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedidoc.clock import DAY, MINUTE, from_iso
from fedidoc.integrity import IntegrityError, encode_multikey, parse_strict, verify_proof
from fedidoc.model import Badge, Role, Specialty
from fedidoc.verification.evidence import Assurance
from fedidoc.verification.examination import Examination, Record, day, minute
from fedidoc.verification.status import STALE, StatusBits, StatusError, decode

CONTEXT: Final = "https://www.w3.org/ns/credentials/v2"
PURPOSE: Final = "assertionMethod"
TYPE: Final = "PhysicianCredential"
STATUS_TYPE: Final = "BitstringStatusListCredential"
SEALED: Final = "sealed"
"""`identity` of a pseudonym's credential: the issuer knows who it is only with its officers."""
MAX_BYTES: Final = 64 * 1024
MAX_LIST_BYTES: Final = 256 * 1024
# Thirteen months, the longest of which have 397 days.
MAX_VALIDITY: Final = 397 * DAY
_SKEW: Final = 10 * MINUTE


@dataclass(frozen=True, slots=True)
class Issuer:
    """An instance whose credentials are believed, with the key that was pinned for it.

    `uri` is the instance actor, `key_id` the id of its credential key, `host` with the port.
    `pinned` is since when (UTC milliseconds; None where that was not noted), `by` on whose word:
    the name of a trust list, empty for the operator's own peers.
    """

    host: str
    uri: str
    key_id: str
    key: Ed25519PublicKey
    pinned: int | None = None
    by: str = ""


class NotBelieved(Exception):
    """Why a credential or a list does not count: one sentence that may be shown."""


def origin(url: str) -> tuple[str, str] | None:
    """Scheme and authority in lower case; None for what is no http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    usual = {"http": 80, "https": 443}[parts.scheme]
    name = parts.hostname.lower()
    return parts.scheme, name if port in (None, usual) else f"{name}:{port}"


@dataclass(frozen=True, slots=True)
class Presented:
    """What a credential says of its own life, unchecked: where its revocation would stand."""

    status_list: str
    index: int
    valid_until: int | None


def check(
    document: bytes, *, actor_uri: str, trusted: Issuer, status: StatusBits | None, now: int
) -> Badge:
    """This instance's conclusion on a credential that was presented for `actor_uri`: `examine`
    without its list of checks."""
    return examine(document, actor_uri=actor_uri, trusted=trusted, status=status, now=now).badge


def examine(
    document: bytes,
    *,
    actor_uri: str,
    trusted: Issuer,
    status: StatusBits | None,
    now: int,
    named: str | None = None,
    without_status: bool = False,
) -> Examination:
    """Every check of a credential that was presented for `actor_uri`, and the badge it earns.

    `status` is the list that the credential names (`status_list_uri`), None if it could not be
    had. `named` is the credential's address as the actor gives it; without it that check is left
    out. `without_status` leaves revocation out, for who looks at a credential without the list;
    never for a badge that is shown. Never raises for bad input: the badge says why it does not
    count.
    """
    record = Record(now)
    try:
        badge = _examine(record, document, actor_uri, trusted, status, now, named, without_status)
    except NotBelieved as refusal:
        record.failed(str(refusal))
        badge = Badge(False, str(refusal), issuer=trusted.host, checked=now)
    return Examination(badge, record.whole())


def _examine(
    record: Record,
    document: bytes,
    actor_uri: str,
    trusted: Issuer,
    status: StatusBits | None,
    now: int,
    named: str | None,
    without_status: bool,
) -> Badge:
    credential = _read(document, TYPE)
    record.passed("It is a physician credential (W3C Verifiable Credential 2.0), read strictly.")
    _check_issuer(credential, trusted)
    record.passed(_trust_in(trusted))
    proof = _check_purpose(credential, trusted)
    record.passed("It has one proof, made by that key, and made to attest.")
    _check_proof(credential, proof, trusted, now)
    record.passed("The signature fits every word of it.")
    start, end = _check_dates(credential, now, MAX_VALIDITY)
    record.passed(f"It holds from {day(start)} until {day(end)}.")
    if without_status:
        _status_entry(credential, trusted)
        record.left_out("Whether the issuer took it back was not looked at.")
    else:
        bits = _check_status(credential, trusted, status, now)
        record.passed(
            f"{trusted.host} had not taken it back in its list of {minute(bits.signed_at)}.",
            at=bits.fetched,
        )
    subject = credential.get("credentialSubject")
    if not isinstance(subject, dict):
        raise NotBelieved("The credential names no person.")
    # Simple string comparison: an id that is spelt otherwise is another actor (RFC 3986, 6.2.1).
    if subject.get("id") != actor_uri:
        raise NotBelieved("The credential belongs to somebody else.")
    if origin(actor_uri) is None or origin(actor_uri) != origin(trusted.uri):
        raise NotBelieved("The credential is about a member of another server than its issuer.")
    record.passed("It is about this very account, on the issuer's own server.")
    badge = Badge(
        verified=True,
        reason=f"Verified by {trusted.host}.",
        profession=_profession(subject),
        specialty=_specialty(subject),
        assurance=_assurance(subject),
        jurisdiction=_short_text(subject.get("jurisdiction")),
        issuer=trusted.host,
        valid_from=start,
        valid_until=end,
        checked=now,
        credential=credential["id"],
        sealed=_sealed(subject),
    )
    record.passed("It names a clinical profession and how the person was verified.")
    if named is None:
        record.left_out("Whether the account names it was not looked at.")
    elif named != credential["id"]:
        raise NotBelieved("The credential calls itself by another address.")
    else:
        record.passed("The account names this credential as its own.")
    return badge


def status_list_uri(document: bytes, trusted: Issuer) -> str | None:
    """The status list that a credential by `trusted` names, to be fetched before `check`.

    None if there is none on the issuer's own origin; the proof is not checked here.
    """
    found = presented(document, trusted)
    return found.status_list if found else None


def presented(document: bytes, trusted: Issuer) -> Presented | None:
    """Where a credential by `trusted` would be revoked, and its end, if it says so; unchecked."""
    try:
        credential = _read(document, TYPE)
        uri, index = _status_entry(credential, trusted)
    except NotBelieved:
        return None
    end = credential.get("validUntil")
    return Presented(uri, index, from_iso(end) if isinstance(end, str) else None)


def check_status_list(
    document: bytes, *, uri: str, trusted: Issuer, now: int, fetched: int | None = None
) -> StatusBits:
    """The bits of a status list that was fetched from `uri` (at `fetched`, else `now`). Raises
    `NotBelieved`."""
    listed = _read(document, STATUS_TYPE, MAX_LIST_BYTES)
    if listed["id"] != uri:
        raise NotBelieved("The status list calls itself by another address.")
    _check_issuer(listed, trusted)
    _check_proof(listed, _check_purpose(listed, trusted), trusted, now)
    signed_at, valid_until = _check_dates(listed, now, STALE)
    subject = listed.get("credentialSubject")
    if not isinstance(subject, dict) or subject.get("type") != "BitstringStatusList":
        raise NotBelieved("The status list holds no list.")
    purpose, encoded = subject.get("statusPurpose"), subject.get("encodedList")
    if purpose != "revocation" or not isinstance(encoded, str):
        raise NotBelieved("The status list is not one of revocations.")
    ttl = subject.get("ttl")
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int) or ttl < 0):
        raise NotBelieved("The status list does not say how long it may be kept.")
    try:
        bits = decode(encoded)
    except StatusError as error:
        raise NotBelieved(f"The issuer's status list cannot be read: {error}.") from None
    return StatusBits(
        uri, trusted.uri, bits, signed_at, valid_until, now if fetched is None else fetched, ttl
    )


def _read(document: bytes, type_: str, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    try:
        parsed = parse_strict(document, max_bytes=max_bytes)
    except IntegrityError as error:
        raise NotBelieved(f"The credential cannot be read: {error.text}") from None
    if not isinstance(parsed, dict):
        raise NotBelieved("The credential cannot be read.")
    context, types = parsed.get("@context"), parsed.get("type")
    if not isinstance(context, list) or context[:1] != [CONTEXT]:
        raise NotBelieved("The credential is not a Verifiable Credential 2.0.")
    if not isinstance(types, list) or not {"VerifiableCredential", type_} <= _texts(types):
        raise NotBelieved("The credential is of a kind that is not known here.")
    if not isinstance(parsed.get("id"), str):
        raise NotBelieved("The credential has no id.")
    return parsed


def _texts(values: list[Any]) -> set[str]:
    return {value for value in values if isinstance(value, str)}


def _check_issuer(credential: Mapping[str, Any], trusted: Issuer) -> None:
    issuer = credential.get("issuer")
    if isinstance(issuer, dict):
        issuer = issuer.get("id")
    if issuer != trusted.uri:
        raise NotBelieved(f"The credential was issued by somebody else than {trusted.host}.")
    if origin(str(credential["id"])) != origin(trusted.uri):
        raise NotBelieved("The credential has its address on another server than its issuer.")


def _trust_in(trusted: Issuer) -> str:
    """The sentence on why an issuer is believed, with enough of its key to compare."""
    key = encode_multikey(trusted.key)
    since = f", kept here since {day(trusted.pinned)}" if trusted.pinned is not None else ""
    on = f" on the word of the trust list {trusted.by}" if trusted.by else ""
    return f"It is by {trusted.host}, which is trusted here{on}, with the key {key}{since}."


def _check_purpose(credential: Mapping[str, Any], trusted: Issuer) -> Mapping[str, Any]:
    """The one proof, if it says that it is the pinned key's and made to attest."""
    proof = credential.get("proof")
    if not isinstance(proof, dict):
        raise NotBelieved("The credential has no single proof.")
    if proof.get("verificationMethod") != trusted.key_id:
        raise NotBelieved("The credential was signed with a key that was not pinned.")
    if proof.get("proofPurpose") != PURPOSE:
        raise NotBelieved("The credential's proof was made for another purpose.")
    return proof


def _check_proof(
    credential: Mapping[str, Any], proof: Mapping[str, Any], trusted: Issuer, now: int
) -> None:
    if proof.get("@context", credential["@context"]) != credential["@context"]:
        raise NotBelieved("The credential's proof was made under another context.")
    if "created" not in proof:
        raise NotBelieved("The credential's proof does not say when it was made.")
    try:
        verify_proof(
            credential,
            trusted.key,
            verification_method=trusted.key_id,
            purpose=PURPOSE,
            now_ms=now,
        )
    except IntegrityError as error:
        raise NotBelieved(f"The credential's signature does not hold: {error.text}") from None


def _check_dates(credential: Mapping[str, Any], now: int, longest: int) -> tuple[int, int]:
    start, end = _time(credential, "validFrom"), _time(credential, "validUntil")
    if start > now + _SKEW:
        raise NotBelieved("The credential is not valid yet.")
    if end <= now:
        what = "status list is out of date" if longest == STALE else "credential has expired"
        raise NotBelieved(f"The {what}.")
    if end - start > longest or end - now > longest + _SKEW:
        raise NotBelieved("The credential claims to be valid for too long.")
    return start, end


def _time(credential: Mapping[str, Any], name: str) -> int:
    text = credential.get(name)
    moment = from_iso(text) if isinstance(text, str) else None
    if moment is None:
        raise NotBelieved("The credential does not say from when and until when it is valid.")
    return moment


def _status_entry(credential: Mapping[str, Any], trusted: Issuer) -> tuple[str, int]:
    entry = credential.get("credentialStatus")
    if not isinstance(entry, dict) or entry.get("type") != "BitstringStatusListEntry":
        raise NotBelieved("The credential cannot be revoked, so it does not count.")
    uri, index = entry.get("statusListCredential"), entry.get("statusListIndex")
    if entry.get("statusPurpose") != "revocation" or not isinstance(uri, str):
        raise NotBelieved("The credential's status entry cannot be read.")
    if origin(uri) != origin(trusted.uri):
        raise NotBelieved("The credential's status list is on another server than its issuer.")
    # The standard writes the index as a decimal text.
    if not isinstance(index, str) or not (index.isascii() and index.isdigit()) or len(index) > 9:
        raise NotBelieved("The credential's status entry cannot be read.")
    return uri, int(index)


def _check_status(
    credential: Mapping[str, Any], trusted: Issuer, status: StatusBits | None, now: int
) -> StatusBits:
    uri, index = _status_entry(credential, trusted)
    if status is None:
        raise NotBelieved("The issuer's list of revoked credentials could not be had.")
    if status.uri != uri or status.issuer != trusted.uri:
        raise NotBelieved("The credential names another status list than the one at hand.")
    if now - status.signed_at > STALE or now >= status.valid_until:
        raise NotBelieved("The issuer's list of revoked credentials is older than 72 hours.")
    if index >= len(status):
        raise NotBelieved("The credential's place is not in the issuer's status list.")
    if status.is_set(index):
        raise NotBelieved("The issuer has revoked the credential.")
    return status


def _profession(subject: Mapping[str, Any]) -> str:
    try:
        role = Role(str(subject.get("profession")))
    except ValueError:
        raise NotBelieved("The credential names a profession that is not known here.") from None
    if role is Role.STAFF:
        raise NotBelieved("The credential is not a clinician's.")
    return role.value


def _assurance(subject: Mapping[str, Any]) -> str:
    try:
        return Assurance(str(subject.get("assurance"))).value
    except ValueError:
        raise NotBelieved("The credential does not say how the person was verified.") from None


def _sealed(subject: Mapping[str, Any]) -> bool:
    identity = subject.get("identity")
    if identity not in (None, SEALED):
        raise NotBelieved("The credential says of its person what is not known here.")
    return identity == SEALED


def _specialty(subject: Mapping[str, Any]) -> Specialty | None:
    given = subject.get("specialty")
    if given is None:
        return None
    code = _short_text(given.get("code")) if isinstance(given, dict) else None
    label = _short_text(given.get("label")) if isinstance(given, dict) else None
    if code is None or label is None:
        raise NotBelieved("The credential's specialty cannot be read.")
    return Specialty(code, label)


def _short_text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 120 or not value.isprintable():
        raise NotBelieved("The credential holds a text that cannot be shown.")
    return value
