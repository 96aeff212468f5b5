"""Bitstring Status Lists (W3C Bitstring Status List v1.0): what an issuer has revoked.

One list serves every credential of an issuer, so that fetching it does not tell whose is checked.
Pure.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fedidoc.clock import HOUR

SIZE: Final = 131_072
"""Places in a list: the least that the standard allows, for herd privacy."""

_BYTES: Final = SIZE // 8
MAX_BYTES: Final = 8 * _BYTES
"""The longest list that is unpacked, a million places; what says more is not read."""

STALE: Final = 72 * HOUR
"""A list that its issuer signed longer ago than this is not believed any more."""


class StatusError(ValueError):
    """The encoded list cannot be read; `str()` is a safe clause."""


def encode(indexes: Iterable[int]) -> str:
    """`encodedList` with the bits at `indexes` set: gzip, base64url without padding, `u` in front.

    The first place is the leftmost bit of the first byte (section 3.2).
    """
    bits = bytearray(_BYTES)
    for index in indexes:
        bits[index >> 3] |= 0x80 >> (index & 7)
    # No time in the header: the same list is the same text.
    packed = gzip.compress(bytes(bits), 9, mtime=0)
    return "u" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bits of an `encodedList`, at least `SIZE` of them. Unpacks `MAX_BYTES` at most, however
    much the packed form would grow to. Raises `StatusError`."""
    if not text.startswith("u"):
        raise StatusError("the list is not base64url multibase")
    try:
        packed = base64.b64decode(
            text[1:] + "=" * (-(len(text) - 1) % 4), altchars=b"-_", validate=True
        )
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        bits = unpacker.decompress(packed, MAX_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error):
        raise StatusError("the list is not gzip in base64url") from None
    if len(bits) > MAX_BYTES or unpacker.unconsumed_tail:
        raise StatusError("the list is too long")
    if not unpacker.eof:
        raise StatusError("the list is cut short")
    if len(bits) < _BYTES:
        raise StatusError("the list is shorter than the standard allows")
    return bits


@dataclass(frozen=True, slots=True)
class StatusBits:
    """A checked list: made by `credentials.check_status_list` only.

    `signed_at` is the issuer's own time, so that an old list cannot be passed off as fresh;
    `fetched` is when it came here; `ttl` (ms) how long the issuer lets it be kept before asking
    again, None if it does not say.
    """

    uri: str
    issuer: str
    bits: bytes
    signed_at: int
    valid_until: int
    fetched: int | None = None
    ttl: int | None = None

    def __len__(self) -> int:
        return len(self.bits) * 8

    def is_set(self, index: int) -> bool:
        """Whether the bit is set; IndexError outside the list."""
        if index < 0:
            raise IndexError(index)
        return bool(self.bits[index >> 3] & (0x80 >> (index & 7)))
