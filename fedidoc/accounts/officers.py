"""Officers' keys: made on their own machine, in a file under a passphrase; the public half is text.

The file is JSON: the 32-byte X25519 private key under AES-256-GCM, its key from the passphrase by
scrypt (RFC 7914) with 128 MiB. The instance never sees it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedidoc.accounts.escrow import EscrowError, Officer
from fedidoc.config import Config, OfficerKey
from fedidoc.errors import ConfigError

LEAST: Final = 12
"""The fewest characters of a passphrase."""
_KIND: Final = "fedidoc officer key"
_COST: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class OfficerFile:
    """An officer's own key, opened."""

    name: str
    key: X25519PrivateKey

    @property
    def public(self) -> str:
        """For the instance's configuration: [officers.NAME] key."""
        return public_text(self.key.public_key())


def make(name: str, passphrase: str, *, cost: int = _COST) -> tuple[OfficerFile, str]:
    """A fresh key, and the text of the file to keep it in."""
    if len(passphrase) < LEAST:
        raise EscrowError(f"Choose a passphrase of at least {LEAST} characters.")
    made = OfficerFile(name, X25519PrivateKey.generate())
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(_key(passphrase, salt, cost)).encrypt(
        nonce, made.key.private_bytes_raw(), _bound(name)
    )
    document = {
        "kind": _KIND,
        "version": 1,
        "name": name,
        "public": made.public,
        "cost": cost,
        "salt": base64.b64encode(salt).decode(),
        "sealed": base64.b64encode(nonce + sealed).decode(),
    }
    return made, json.dumps(document, indent=1) + "\n"


def open_file(text: str, passphrase: str) -> OfficerFile:
    """The key in a file; EscrowError if it is none, or the passphrase is another one."""
    try:
        document: dict[str, Any] = json.loads(text)
        if document["kind"] != _KIND or document["version"] != 1:
            raise ValueError
        name, cost = str(document["name"]), int(document["cost"])
        salt = base64.b64decode(document["salt"], validate=True)
        sealed = base64.b64decode(document["sealed"], validate=True)
        if cost not in {1 << power for power in range(10, 21)}:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise EscrowError("This is no officer's key; `fedidoc officer keygen` makes one.") from None
    try:
        raw = AESGCM(_key(passphrase, salt, cost)).decrypt(sealed[:12], sealed[12:], _bound(name))
    except (InvalidTag, ValueError):
        raise EscrowError("The passphrase is not the one of this key.") from None
    return OfficerFile(name, X25519PrivateKey.from_private_bytes(raw))


def _key(passphrase: str, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode())


def _bound(name: str) -> bytes:
    return f"{_KIND} of {name}".encode()


def public_text(key: X25519PublicKey) -> str:
    """32 bytes in base64."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def read_public(text: str) -> X25519PublicKey:
    """A public key from its text; EscrowError for anything else."""
    try:
        return X25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise EscrowError("An officer's public key is 32 bytes in base64.") from None


def configured(officers: dict[str, OfficerKey]) -> tuple[Officer, ...]:
    """The officers of the configuration that have a key, by name; ConfigError names one whose key
    is none."""
    found = []
    for name, entry in sorted((n, o) for n, o in officers.items() if o.key):
        try:
            found.append(Officer(name, read_public(entry.key), entry.organisation))
        except EscrowError as error:
            raise ConfigError(f"[officers.{name}] key is not usable: {error.text}") from None
    return tuple(found)


def check_configuration(config: Config) -> None:
    """ConfigError if [pseudonyms] and [officers.NAME] do not fit together."""
    rules, number = config.pseudonyms, len(configured(config.officers))
    keys = {officer.key for officer in config.officers.values()}
    scheme, _, host = rules.origin.partition("://")
    apart = scheme == config.base_url.partition("://")[0] and host not in ("", config.domain)
    for holds, text in (
        (rules.threshold == 0 or 2 <= rules.threshold <= number, "threshold must be 0 (no"
         " pseudonyms), or at least 2 and at most the number of [officers.NAME] sections."),
        (len(keys - {""}) == number, "takes officers of whom each has another key."),
        (rules.crowd >= 5, "crowd must be at least 5."),
        (0 <= rules.hour <= 23, "hour must be between 0 and 23."),
        (not rules.origin or (apart and "/" not in host), "origin must be empty, or https:// and"
         " another host name than [instance] domain, and nothing behind it."),
    ):  # fmt: skip
        if not holds:
            raise ConfigError(f"[pseudonyms] {text}")
