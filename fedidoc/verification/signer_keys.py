"""The file in which a signer of trust lists keeps their key: sealed with a passphrase. Pure.

Argon2id (RFC 9106) makes the key that seals, AES-256-GCM seals. The public key stands beside it in
clear and is bound to it, so that one can tell whose file it is without the passphrase.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import Any, Final

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedidoc.errors import BadInput
from fedidoc.integrity import IntegrityError, decode_multikey, encode_multikey, parse_strict

KIND: Final = "fedidoc trust list signer"
SHORTEST: Final = 12
# RFC 9106's second recommendation has 64 MiB; a signature is rare enough for four times that.
_MEMORY_KIB: Final = 256 * 1024
_PASSES: Final = 3
_LANES: Final = 4
_MAX_BYTES: Final = 4_096


def seal(key: Ed25519PrivateKey, passphrase: str) -> str:
    """The text of the file. BadInput for a passphrase under 12 characters."""
    if len(passphrase) < SHORTEST:
        raise BadInput(f"Choose a passphrase of at least {SHORTEST} characters.")
    public, salt, nonce = encode_multikey(key.public_key()), os.urandom(16), os.urandom(12)
    box = AESGCM(_derive(passphrase, salt, _MEMORY_KIB, _PASSES, _LANES))
    sealed = nonce + box.encrypt(nonce, key.private_bytes_raw(), public.encode())
    content = {
        "kind": KIND,
        "publicKeyMultibase": public,
        "argon2id": {
            "salt": _text(salt), "memory_kib": _MEMORY_KIB, "passes": _PASSES, "lanes": _LANES,
        },
        "sealed": _text(sealed),
    }  # fmt: skip
    return json.dumps(content, indent=2) + "\n"


def public_key(text: str) -> str:
    """The public key (Multikey text) that a file names. BadInput if it is no such file."""
    return str(_read(text)["publicKeyMultibase"])


def unseal(text: str, passphrase: str) -> Ed25519PrivateKey:
    """The key in a file. BadInput if it is no such file, or the passphrase is another one."""
    content = _read(text)
    public, kdf = content["publicKeyMultibase"], content["argon2id"]
    try:
        salt, sealed = _bytes(kdf["salt"]), _bytes(content["sealed"])
        derived = _derive(passphrase, salt, kdf["memory_kib"], kdf["passes"], kdf["lanes"])
        raw = AESGCM(derived).decrypt(sealed[:12], sealed[12:], public.encode())
        key = Ed25519PrivateKey.from_private_bytes(raw)
    except (InvalidTag, ValueError, binascii.Error):
        raise BadInput("The key does not open: the passphrase is wrong, or the file.") from None
    if encode_multikey(key.public_key()) != public:
        raise BadInput("The file names another key than the one it holds; do not use it.")
    return key


def _read(text: str) -> dict[str, Any]:
    wrong = BadInput("This is no file that `fedidoc trust keygen` has written.")
    try:
        content = parse_strict(text, max_bytes=_MAX_BYTES)
    except IntegrityError:
        raise wrong from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise wrong
    kdf = content.get("argon2id")
    if not isinstance(kdf, dict) or not isinstance(content.get("sealed"), str):
        raise wrong
    # Bounds, so that a file cannot make its reader spend hours or all memory.
    numbers = [(kdf.get("memory_kib"), 1 << 20), (kdf.get("passes"), 16), (kdf.get("lanes"), 16)]
    if not isinstance(kdf.get("salt"), str) or not all(
        type(value) is int and 1 <= value <= most for value, most in numbers
    ):
        raise wrong
    try:
        decode_multikey(str(content.get("publicKeyMultibase")))
    except (IntegrityError, ValueError):
        raise wrong from None
    return content


def _derive(passphrase: str, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    try:
        return hash_secret_raw(
            passphrase.encode(), salt, passes, memory_kib, lanes, hash_len=32, type=Type.ID
        )
    except Exception as error:  # argon2 has a class of its own for each parameter it refuses
        raise ValueError("unusable parameters") from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
