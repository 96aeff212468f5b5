"""Canonical JSON, Multikey and Data Integrity proofs: what can be checked without asking anybody.

Pure, and shared by credentials and FEP-8b32. The proof is ``eddsa-jcs-2022`` (W3C Data Integrity
EdDSA Cryptosuites v1.0, section 3.3): Ed25519 over the SHA-256 of the proof's options and of the
document, both in canonical JSON (RFC 8785). Keys are Multikeys (W3C Controlled Identifiers; for
actors FEP-521a).

Documents are values: nothing here changes one that it is given.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

CRYPTOSUITE: Final = "eddsa-jcs-2022"
MAX_INTEGER: Final = 2**53 - 1
MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_PROOFS: Final = 8
MAX_SKEW_MS: Final = 3_600_000
MAX_BASE58_LENGTH: Final = 128

PUBLIC: Final = "https://www.w3.org/ns/activitystreams#Public"

_PUBLIC_ALIASES: Final = frozenset({"as:Public", "Public"})
_AUDIENCES: Final = frozenset({"to", "cc", "bto", "bcc", "audience"})

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUES: Final = {character: value for value, character in enumerate(_BASE58)}
# Multicodec names of the keys, as unsigned varints.
_ED25519_PUBLIC: Final = b"\xed\x01"
_ED25519_PRIVATE: Final = b"\x80\x26"
_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)


class IntegrityError(Exception):
    """``reason`` is a machine word such as ``proof_wrong``, ``text`` a sentence safe to show."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


# Canonical JSON


def parse_strict(data: bytes | str, *, max_bytes: int = MAX_BYTES) -> Any:
    """JSON that means one thing to every reader.

    Refuses repeated keys, integers beyond 2^53 - 1, numbers beyond a double, NaN, lone surrogates,
    bad UTF-8, more than ``max_bytes`` bytes and more than 32 levels. Raises ``IntegrityError``
    (``json_*``).
    """
    try:
        octets = data.encode("utf-8") if isinstance(data, str) else data
        if len(octets) > max_bytes:
            raise IntegrityError("json_too_large", f"The document has over {max_bytes} bytes.")
        value = _DECODER.decode(octets.decode("utf-8"))
    except UnicodeError as error:
        raise IntegrityError("json_malformed", "The document is not UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError("json_malformed", "The document is not JSON.") from error
    _check_value(value)
    return value


def canonicalize(value: Any) -> bytes:
    """The canonical JSON of a value (RFC 8785), the bytes that are hashed. Raises
    ``IntegrityError`` (``not_canonical``) for what I-JSON cannot hold."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise IntegrityError("not_canonical", "The document has no canonical form.") from error


def _take_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise IntegrityError("json_duplicate_key", "The document says one thing twice.")
    return value


def _take_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise IntegrityError("json_number", "The document holds a number that is too large.")
    return int(text)


def _take_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise IntegrityError("json_number", "The document holds a number that is too large.")
    return value


def _refuse_constant(text: str) -> float:
    raise IntegrityError("json_number", "The document holds something that is not a number.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_take_pairs,
    parse_int=_take_integer,
    parse_float=_take_float,
    parse_constant=_refuse_constant,
)


def _check_value(value: Any) -> None:
    """Depth, and strings that no UTF-8 can carry (a lone surrogate written as an escape)."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        texts = [item for item in level if isinstance(item, str)]
        below: list[Any] = []
        containers = [item for item in level if isinstance(item, dict | list)]
        for item in containers:
            if isinstance(item, dict):
                texts.extend(item)
            below.extend(item.values() if isinstance(item, dict) else item)
        try:
            "".join(texts).encode("utf-8")
        except UnicodeEncodeError as error:
            raise IntegrityError(
                "json_malformed", "The document holds text that is not Unicode."
            ) from error
        if not containers:
            return
        level = below
    raise IntegrityError("json_too_deep", f"The document has over {MAX_DEPTH} levels.")


# Multibase and Multikey


def encode_base58btc(data: bytes) -> str:
    """Multibase base58btc, with its ``z``."""
    number = int.from_bytes(data)
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "z" + "1" * zeros + "".join(reversed(digits))


def decode_base58btc(text: str) -> bytes:
    """The bytes of a multibase text that begins with ``z``.

    At most 128 characters, as decoding takes time with the square of the length. Raises
    ``IntegrityError`` (``multibase_malformed``).
    """
    if not text.startswith("z") or len(text) > MAX_BASE58_LENGTH:
        raise IntegrityError("multibase_malformed", "The value is not short base58btc multibase.")
    number = 0
    for character in text[1:]:
        value = _BASE58_VALUES.get(character)
        if value is None:
            raise IntegrityError("multibase_malformed", "The value is not base58btc.")
        number = number * 58 + value
    zeros = len(text) - 1 - len(text[1:].lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def encode_multikey(public_key: Ed25519PublicKey) -> str:
    """``publicKeyMultibase`` of an Ed25519 key (``z6Mk…``)."""
    return encode_base58btc(_ED25519_PUBLIC + public_key.public_bytes_raw())


def decode_multikey(text: str) -> Ed25519PublicKey:
    """The Ed25519 key of a ``publicKeyMultibase``. Raises ``IntegrityError`` (``key_unusable``,
    ``multibase_malformed``)."""
    return Ed25519PublicKey.from_public_bytes(_strip_codec(text, _ED25519_PUBLIC))


def encode_secret_multikey(private_key: Ed25519PrivateKey) -> str:
    """``secretKeyMultibase`` of an Ed25519 key (``z3u2…``); to be kept as any private key."""
    return encode_base58btc(_ED25519_PRIVATE + private_key.private_bytes_raw())


def decode_secret_multikey(text: str) -> Ed25519PrivateKey:
    """The private key of a ``secretKeyMultibase``. Raises as ``decode_multikey`` does."""
    return Ed25519PrivateKey.from_private_bytes(_strip_codec(text, _ED25519_PRIVATE))


def _strip_codec(text: str, codec: bytes) -> bytes:
    data = decode_base58btc(text)
    if not data.startswith(codec) or len(data) != len(codec) + 32:
        raise IntegrityError("key_unusable", "The key is not an Ed25519 Multikey.")
    return data[len(codec) :]


# Data Integrity proofs


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof says of itself; believed only as the result of ``verify_proof``.

    ``created`` and ``expires`` are milliseconds since 1970, None where the proof is silent.
    """

    verification_method: str
    purpose: str
    created: int | None
    expires: int | None


def create_proof(
    document: Mapping[str, Any],
    key: Ed25519PrivateKey,
    verification_method: str,
    purpose: str,
    created: datetime,
) -> dict[str, Any]:
    """The ``proof`` to put into ``document``, which must not have one yet.

    ``verification_method`` is the id of the key's Multikey, ``purpose`` usually
    ``assertionMethod``, ``created`` an aware time, kept to the second.
    """
    if "proof" in document:
        raise IntegrityError("proof_present", "The document already has a proof.")
    if created.tzinfo is None:
        raise ValueError("created must be an aware time")
    options: dict[str, Any] = {
        "type": "DataIntegrityProof",
        "cryptosuite": CRYPTOSUITE,
        "verificationMethod": verification_method,
        "proofPurpose": purpose,
        "created": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if "@context" in document:
        options["@context"] = document["@context"]
    value = key.sign(_hash(options, document))
    return {**options, "proofValue": encode_base58btc(value)}


def list_proofs(document: Mapping[str, Any]) -> list[Proof]:
    """The ``eddsa-jcs-2022`` proofs a document carries, unverified: where to look for the key."""
    return [_read_proof(proof) for proof in _find_proofs(document)]


def verify_proof(
    document: Mapping[str, Any],
    public_key: Ed25519PublicKey,
    *,
    verification_method: str,
    purpose: str,
    now_ms: int,
    public_aliases: bool = False,
) -> Proof:
    """Check the one proof that ``verification_method`` made, with the key the caller holds under
    that id.

    The proof covers the whole document but the proof itself. Where it carries an ``@context``, the
    document's must begin with it, as the cryptosuite has it: contexts added behind are not covered.
    With ``public_aliases`` a proof also counts if it was made over the full Public IRI where the
    document says ``as:Public``, as Fedify does (FEP-8b32). Dates: not expired, not from more than
    1 h ahead. Whether the key is the issuer's or the actor's is the caller's to know. Raises
    ``IntegrityError`` (``proof_*``).
    """
    found = [
        p for p in _find_proofs(document) if p.get("verificationMethod") == verification_method
    ]
    if not found:
        raise IntegrityError("proof_missing", "The document has no proof by this key.")
    if len(found) > 1:
        raise IntegrityError("proof_ambiguous", "The document has several proofs by this key.")
    options = found[0]
    proof = _read_proof(options)
    if proof.purpose != purpose:
        raise IntegrityError("proof_purpose", "The proof was made for another purpose.")
    if proof.expires is not None and proof.expires < now_ms:
        raise IntegrityError("proof_expired", "The proof has expired.")
    if proof.created is not None and proof.created > now_ms + MAX_SKEW_MS:
        raise IntegrityError("proof_date", "The proof is from the future.")
    value = _read_value(options)
    options = {name: part for name, part in options.items() if name != "proofValue"}
    unsecured = {name: part for name, part in document.items() if name != "proof"}
    if "@context" in options:
        if not _begins_with(unsecured.get("@context"), options["@context"]):
            raise IntegrityError("proof_context", "The proof was made under another context.")
        unsecured["@context"] = options["@context"]
    if _fits(public_key, value, _hash(options, unsecured)):
        return proof
    if public_aliases:
        normal = normalize_public(unsecured)
        if normal != unsecured and _fits(public_key, value, _hash(options, normal)):
            return proof
    raise IntegrityError("proof_wrong", "The proof does not fit the document and the key.")


def normalize_public(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which ``as:Public`` and ``Public`` stand as the full IRI wherever recipients are
    named, in embedded objects too."""
    return {
        name: _name_public(part) if name in _AUDIENCES else _normalize_part(part)
        for name, part in document.items()
    }


def _normalize_part(part: Any) -> Any:
    if isinstance(part, Mapping):
        return normalize_public(part)
    if isinstance(part, list):
        return [_normalize_part(item) for item in part]
    return part


def _name_public(part: Any) -> Any:
    if isinstance(part, list):
        return [_name_public(item) for item in part]
    if isinstance(part, str):
        return PUBLIC if part in _PUBLIC_ALIASES else part
    return _normalize_part(part)


def _hash(options: Mapping[str, Any], document: Mapping[str, Any]) -> bytes:
    return sha256(canonicalize(options)).digest() + sha256(canonicalize(document)).digest()


def _fits(public_key: Ed25519PublicKey, value: bytes, data: bytes) -> bool:
    try:
        public_key.verify(value, data)
    except InvalidSignature:
        return False
    return True


def _find_proofs(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = document.get("proof")
    proofs = given if isinstance(given, list) else [given]
    if len(proofs) > MAX_PROOFS:
        raise IntegrityError("proof_ambiguous", "The document has too many proofs.")
    return [
        proof
        for proof in proofs
        if isinstance(proof, dict)
        and proof.get("type") == "DataIntegrityProof"
        and proof.get("cryptosuite") == CRYPTOSUITE
    ]


def _read_proof(options: Mapping[str, Any]) -> Proof:
    method, purpose = options.get("verificationMethod"), options.get("proofPurpose")
    if not isinstance(method, str) or not isinstance(purpose, str):
        raise _malformed()
    return Proof(
        verification_method=method,
        purpose=purpose,
        created=_read_time(options.get("created")),
        expires=_read_time(options.get("expires")),
    )


def _read_value(options: Mapping[str, Any]) -> bytes:
    text = options.get("proofValue")
    if not isinstance(text, str):
        raise _malformed()
    value = decode_base58btc(text)
    if len(value) != 64:
        raise _malformed()
    return value


def _read_time(text: Any) -> int | None:
    """An XML Schema dateTime with its zone, as milliseconds since 1970."""
    if text is None:
        return None
    if not isinstance(text, str) or _DATE_TIME.fullmatch(text) is None:
        raise _malformed()
    try:
        return math.floor(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise _malformed() from error


def _begins_with(context: Any, start: Any) -> bool:
    """Whether the contexts of a document begin with those of its proof, in the same order."""
    whole = context if isinstance(context, list) else [context]
    part: Sequence[Any] = start if isinstance(start, list) else [start]
    return whole[: len(part)] == list(part)


def _malformed() -> IntegrityError:
    return IntegrityError("proof_malformed", "The proof cannot be read.")
