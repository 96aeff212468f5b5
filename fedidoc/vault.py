"""Secrets at rest: sealed under the instance's key before they touch the database.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. `purpose` is bound as associated data, so
that a sealed value copied to another row or column does not open there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedidoc.errors import ConfigError

_VERSION = b"\x01"


class Vault:
    """Seals and opens small secrets. `key` is 32 bytes, in base64 in the configuration."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ConfigError("[secrets] key must be 32 bytes in base64; `fedidoc init` makes one.")
        self._seal = AESGCM(_derive(key, b"fedidoc seal v1"))
        self._mac = _derive(key, b"fedidoc mac v1")

    @classmethod
    def from_text(cls, text: str) -> Vault:
        """A vault from the configuration's base64 text."""
        try:
            return cls(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            raise ConfigError(
                "[secrets] key must be 32 bytes in base64; `fedidoc init` makes one."
            ) from None

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Version byte, nonce (12 bytes), ciphertext and tag."""
        nonce = os.urandom(12)
        return _VERSION + nonce + self._seal.encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """The secret; ConfigError if the key is another one or the value was changed."""
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return self._seal.decrypt(sealed[1:13], sealed[13:], purpose.encode())
        except (InvalidTag, ValueError):
            raise ConfigError(
                "A sealed value does not open with [secrets] key; restore the key it was made with."
            ) from None

    def fingerprint(self, value: str, purpose: str) -> str:
        """A keyed digest (HMAC-SHA-256, hex) to look a secret value up by without storing it."""
        return hmac.new(self._mac, f"{purpose}\0{value}".encode(), hashlib.sha256).hexdigest()

    def mint(self, purpose: str) -> str:
        """256 random bits as text, with a mark by which `minted` knows them again."""
        token = secrets.token_urlsafe(32)
        return f"{token}.{self._mark(token, purpose)}"

    def minted(self, token: str, purpose: str) -> bool:
        """Whether a token was minted here for that, without asking a database: it may have ended
        long ago."""
        bare, _, mark = token.rpartition(".")
        return token.isascii() and hmac.compare_digest(mark, self._mark(bare, purpose))

    def _mark(self, token: str, purpose: str) -> str:
        return self.fingerprint(token, f"mint {purpose}")[:32]


def _derive(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(key)


def fresh_key() -> str:
    """A new instance key in base64."""
    return base64.b64encode(os.urandom(32)).decode()
