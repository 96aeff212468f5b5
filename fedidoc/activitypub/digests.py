"""The digest of a body: ``Digest`` (RFC 3230) and ``Content-Digest`` (RFC 9530). Pure.

A body is hashed once and its digest used for every host it goes to: ``digest_body`` when the body
is made, ``as_digest`` or ``as_content_digest`` when a request is signed.
"""

import hashlib
from base64 import b64encode
from typing import Final, NewType

from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.fields import FieldError, Item, decode_base64, parse_dictionary
from fedidoc.activitypub.messages import Request

BodyDigest = NewType("BodyDigest", str)
"""The base64 of a body's SHA-256."""

MAX_DIGEST_LENGTH: Final = 1024

_HASHES: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def digest_body(body: bytes) -> BodyDigest:
    """The digest to pass to ``sign`` for each host that gets this body."""
    return BodyDigest(b64encode(hashlib.sha256(body).digest()).decode("ascii"))


def as_digest(digest: BodyDigest) -> str:
    """The value of a ``Digest`` header."""
    return f"SHA-256={digest}"


def as_content_digest(digest: BodyDigest) -> str:
    """The value of a ``Content-Digest`` header."""
    return f"sha-256=:{digest}:"


def check_digest(request: Request) -> None:
    """Refuse a body that is not the one its digests were made of.

    Each digest header that is present must hold a SHA-256 or SHA-512 value and every such value
    must fit, so that a header that was not signed cannot stand in for one that was. Raises
    ``SignatureError`` (``digest_missing``, ``digest_malformed``, ``digest_wrong``).
    """
    stated = [*_read_digest(request), *_read_content_digest(request)]
    if not stated:
        raise SignatureError("digest_missing", "The request has no Digest or Content-Digest.")
    actual: dict[str, bytes] = {}
    for name, value in stated:
        if name not in actual:
            actual[name] = _HASHES[name](request.body).digest()
        if actual[name] != value:
            raise SignatureError("digest_wrong", "The body does not fit its digest.")


def _read_digest(request: Request) -> list[tuple[str, bytes]]:
    text = request.header("digest")
    if text is None:
        return []
    _check_length(text)
    pairs = (part.partition("=") for part in text.split(","))
    values = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
    return _keep_known([(name, _decode(value)) for name, value in values if name in _HASHES])


def _read_content_digest(request: Request) -> list[tuple[str, bytes]]:
    text = request.header("content-digest")
    if text is None:
        return []
    _check_length(text)
    try:
        members = parse_dictionary(text, unique=True)
    except FieldError as error:
        raise _malformed() from error
    known: list[tuple[str, bytes]] = []
    for name, member in members.items():
        if name in _HASHES:
            if not isinstance(member, Item) or not isinstance(member.value, bytes):
                raise _malformed()
            known.append((name, member.value))
    return _keep_known(known)


def _keep_known(known: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    if not known:
        raise SignatureError("digest_unknown", "A digest must be SHA-256 or SHA-512.")
    return known


def _check_length(text: str) -> None:
    if len(text) > MAX_DIGEST_LENGTH:
        raise _malformed()


def _decode(text: str) -> bytes:
    try:
        return decode_base64(text)
    except FieldError as error:
        raise _malformed() from error


def _malformed() -> SignatureError:
    return SignatureError("digest_malformed", "The Digest or Content-Digest cannot be read.")
