"""The sealed link between a pseudonym and an account. Pure: no database, no clock.

A fresh 16-byte key encrypts the padded account id (AES-128-GCM). The key is split k-of-n (Shamir
over GF(2^128), PyCryptodome), and each share is sealed by HPKE (RFC 9180, base mode: DHKEM(X25519),
HKDF-SHA256, AES-128-GCM) to one officer's own public key. The pseudonym's id, the record's own id,
the officer's name and the share's number are bound into all of it, so that nothing of one record
opens anything of another. Every record is split by itself: opening one opens no other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedidoc.errors import FedidocError

T = TypeVar("T")

VERSION: Final = 1
_KEY: Final = 16
# Longer than any account id, so that the record's size says nothing of whose it is.
_PADDED: Final = 48
_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
# A key encrypts one message and no other, so that a fixed nonce is met with it only once.
_NONCE: Final = bytes(12)
_MOST_OFFICERS: Final = 32


class EscrowError(FedidocError):
    """A record or a share does not open, or is not what it says it is."""

    status = 400


@dataclass(frozen=True, slots=True)
class Officer:
    """Somebody who holds one share of every record. Only the public half of their key is known."""

    name: str
    key: X25519PublicKey
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """One officer's part of a record. `proof` is a digest that the opened share must have."""

    officer: str
    number: int
    sealed: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A pseudonym's sealed link. Says nothing of the account but through `threshold` shares."""

    id: str
    pseudonym: str
    threshold: int
    sealed: bytes
    shares: tuple[Share, ...]

    def share_of(self, officer: str) -> Share:
        """The officer's share; EscrowError if they hold none of this record."""
        for share in self.shares:
            if share.officer == officer:
                return share
        raise EscrowError("This officer holds no share of this record.")


@dataclass(frozen=True, slots=True)
class OpenShare:
    """A share that its officer has opened: secret, and of use for this one record only."""

    record: str
    number: int
    secret: bytes


def seal(pseudonym: str, account: str, officers: Sequence[Officer], threshold: int) -> Record:
    """Seal whose pseudonym it is, so that any `threshold` of the officers open it together.

    ValueError for a threshold below two or above the number of officers, and for two officers
    with one name or one key: those would be fewer people than they seem.
    """
    names = {officer.name for officer in officers}
    keys = {officer.key.public_bytes_raw() for officer in officers}
    if not 2 <= threshold <= len(officers) <= _MOST_OFFICERS:
        raise ValueError("the threshold must be at least two and at most the number of officers")
    if len(names) < len(officers) or len(keys) < len(officers):
        raise ValueError("every officer has a name and a key of their own")
    id, key = secrets.token_hex(16), secrets.token_bytes(_KEY)
    sealed = AESGCM(key).encrypt(_NONCE, _pad(account), _bound(id, pseudonym, threshold))
    parts = Shamir.split(threshold, len(officers), key, ssss=False)
    shares = [
        _seal_share(id, pseudonym, number, secret, officer)
        for (number, secret), officer in zip(parts, officers, strict=True)
    ]
    return Record(id, pseudonym, threshold, sealed, tuple(shares))


def open_share(record: Record, officer: str, key: X25519PrivateKey) -> OpenShare:
    """An officer's own share of one record. EscrowError with another key or of another record."""
    share = record.share_of(officer)
    try:
        secret = _SUITE.decrypt(
            share.sealed, key, info=_info(record.id, record.pseudonym, officer, share.number)
        )
    except (InvalidTag, ValueError):
        raise EscrowError("This share does not open with this key.") from None
    opened = OpenShare(record.id, share.number, secret)
    _check(record, opened)
    return opened


def hand_over(record: Record, officer: str, key: X25519PrivateKey, to: Officer) -> Record:
    """The record with an officer's own share sealed anew to their successor; nothing is opened
    but that one share. EscrowError as in `open_share`, and if the successor holds one already."""
    if any(share.officer == to.name and to.name != officer for share in record.shares):
        raise EscrowError("The new officer holds a share of this record already.")
    opened = open_share(record, officer, key)
    anew = _seal_share(record.id, record.pseudonym, opened.number, opened.secret, to)
    shares = (anew if share.number == anew.number else share for share in record.shares)
    return replace(record, shares=tuple(shares))


def open_record(record: Record, shares: Collection[OpenShare]) -> str:
    """The account's id, from at least `threshold` opened shares of this very record, in any order.

    EscrowError says what is wrong: too few, of another record, not as they were sealed, tampered.
    """
    found: dict[int, bytes] = {}
    for share in shares:
        _check(record, share)
        found[share.number] = share.secret
    if len(found) < record.threshold:
        raise EscrowError(
            f"{record.threshold} different shares are needed; these are {len(found)}."
        )
    key = Shamir.combine(sorted(found.items())[: record.threshold], ssss=False)
    try:
        padded = AESGCM(key).decrypt(
            _NONCE, record.sealed, _bound(record.id, record.pseudonym, record.threshold)
        )
    except (InvalidTag, ValueError):
        raise EscrowError("The record was changed since it was sealed; it cannot be opened.") from (
            None
        )
    return padded[1 : 1 + padded[0]].decode()


def _check(record: Record, opened: OpenShare) -> None:
    if opened.record != record.id:
        raise EscrowError("This share belongs to another record.")
    proofs = {share.number: share.proof for share in record.shares}
    proof = _proof(record.id, record.pseudonym, opened.number, opened.secret)
    if not secrets.compare_digest(proofs.get(opened.number, b""), proof):
        raise EscrowError("This share is not the one that was sealed for this record.")


def _seal_share(id: str, pseudonym: str, number: int, secret: bytes, officer: Officer) -> Share:
    sealed = _SUITE.encrypt(secret, officer.key, info=_info(id, pseudonym, officer.name, number))
    return Share(officer.name, number, sealed, _proof(id, pseudonym, number, secret))


def _proof(id: str, pseudonym: str, number: int, secret: bytes) -> bytes:
    """A share has 128 random bits, so that its digest gives nothing of it away."""
    context = _context("share", id, pseudonym, str(number))
    return hashlib.sha256(context + secret).digest()[:16]


def _info(id: str, pseudonym: str, officer: str, number: int) -> bytes:
    return _context("sealed share", id, pseudonym, officer, str(number))


def _bound(id: str, pseudonym: str, threshold: int) -> bytes:
    return _context("record", id, pseudonym, str(threshold))


def _context(*parts: str) -> bytes:
    """Unambiguous whatever the parts hold."""
    return json.dumps(["fedidoc escrow", VERSION, *parts], ensure_ascii=True).encode()


def _pad(account: str) -> bytes:
    raw = account.encode()
    if not 1 <= len(raw) < _PADDED:
        raise ValueError("an account id has 1 to 47 bytes")
    return bytes([len(raw)]) + raw + bytes(_PADDED - 1 - len(raw))


# As text ------------------------------------------------------------------------------------------


def write(record: Record) -> str:
    """The record as one line of JSON."""
    document = {
        "v": VERSION,
        "id": record.id,
        "pseudonym": record.pseudonym,
        "threshold": record.threshold,
        "sealed": _text(record.sealed),
        "shares": [[s.officer, s.number, _text(s.sealed), _text(s.proof)] for s in record.shares],
    }
    return json.dumps(document, separators=(",", ":"))


def read(text: str | bytes) -> Record:
    """A record that `write` wrote; EscrowError for anything else."""
    try:
        document: dict[str, Any] = json.loads(text)
        if document["v"] != VERSION:
            raise ValueError
        shares = tuple(
            Share(_typed(officer, str), _typed(number, int), _bytes(sealed), _bytes(proof))
            for officer, number, sealed, proof in _typed(document["shares"], list)
        )
        record = Record(
            _typed(document["id"], str),
            _typed(document["pseudonym"], str),
            _typed(document["threshold"], int),
            _bytes(document["sealed"]),
            shares,
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise EscrowError("This is no escrow record that this version can read.") from None
    numbers = {share.number for share in shares}
    if len(numbers) < len(shares) or len(shares) > _MOST_OFFICERS:
        raise EscrowError("This is no escrow record that this version can read.")
    return record


def write_share(share: OpenShare) -> str:
    """An opened share as one line, to be handed to who opens the record."""
    return f"fedidoc-share-{VERSION}:{share.record}:{share.number}:{_text(share.secret)}"


def read_share(text: str) -> OpenShare:
    """A share that `write_share` wrote; EscrowError for anything else."""
    parts = text.strip().split(":")
    try:
        if len(parts) != 4 or parts[0] != f"fedidoc-share-{VERSION}":
            raise ValueError
        secret = _bytes(parts[3])
        if len(secret) != _KEY:
            raise ValueError
        return OpenShare(parts[1], int(parts[2]), secret)
    except ValueError:
        raise EscrowError(
            "This is no opened share; `fedidoc officer open-share` prints one."
        ) from (None)


def _typed(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise ValueError
    return value


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None
