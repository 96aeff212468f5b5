"""Keys: those of remote actors as they were fetched, and this instance's own, sealed.

One key serves one use: HTTP signatures and credentials never share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from fedidoc.storage.engine import Reader, Row, Transaction
from fedidoc.vault import Vault

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class KeyUse(StrEnum):
    """What a key is for; one never serves for another."""

    RSA = "rsa"  # HTTP signatures
    ED25519 = "ed25519"  # HTTP signatures between fedidoc instances
    CREDENTIAL = "credential"  # Ed25519, signs credentials only


@dataclass(frozen=True, slots=True)
class FreshKeys:
    """Key pairs that were just made and are not stored yet."""

    rsa: RSAPrivateKey
    ed25519: Ed25519PrivateKey
    credential: Ed25519PrivateKey


def generate_keys() -> FreshKeys:
    """Keys for one actor. Takes a tenth of a second or more: call it before the transaction, in a
    thread where others wait (`await asyncio.to_thread(generate_keys)`)."""
    return FreshKeys(
        generate_private_key(public_exponent=65537, key_size=2048),
        Ed25519PrivateKey.generate(),
        Ed25519PrivateKey.generate(),
    )


@dataclass(frozen=True, slots=True)
class Key:
    """A public key in PEM (SubjectPublicKeyInfo). `actor_id` is "" while its owner is unknown."""

    key_id: str
    actor_id: str
    owner_uri: str
    use: KeyUse
    public: str
    fetched: int


def _key_of(row: Row) -> Key:
    return Key(
        row["key_id"],
        row["actor_id"],
        row["owner_uri"],
        KeyUse(row["algorithm"]),
        row["public"],
        row["fetched"],
    )


_KEY_COLUMNS = "key_id, actor_id, owner_uri, algorithm, public, fetched"


async def replace_keys(tx: Transaction, owner_uri: str, actor_id: str, keys: Sequence[Key]) -> None:
    """Store what a remote actor lists as its keys; others that it listed before are forgotten.

    A local key is never touched.
    """
    await tx.execute(
        "DELETE FROM actor_keys WHERE owner_uri = ? AND private_sealed IS NULL", (owner_uri,)
    )
    await tx.insert_many(
        "actor_keys",
        ("key_id", "actor_id", "owner_uri", "algorithm", "public", "fetched"),
        [(k.key_id, actor_id, owner_uri, k.use.value, k.public, k.fetched) for k in keys],
        conflict=(
            "ON CONFLICT (key_id) DO UPDATE SET actor_id = excluded.actor_id,"
            " owner_uri = excluded.owner_uri, algorithm = excluded.algorithm,"
            " public = excluded.public, fetched = excluded.fetched"
            " WHERE actor_keys.private_sealed IS NULL"
        ),
    )


async def keys_of(reader: Reader, actor_id: str) -> dict[KeyUse, Key]:
    """An actor's public keys by use."""
    rows = await reader.fetch_all(
        f"SELECT {_KEY_COLUMNS} FROM actor_keys WHERE actor_id = ?", (actor_id,)
    )
    return {key.use: key for key in map(_key_of, rows)}


async def key_by_id(reader: Reader, key_id: str) -> Key | None:
    row = await reader.fetch_one(
        f"SELECT {_KEY_COLUMNS} FROM actor_keys WHERE key_id = ?", (key_id,)
    )
    return _key_of(row) if row else None


async def private_key(
    reader: Reader, vault: Vault, actor_id: str, use: KeyUse
) -> tuple[str, PrivateKey] | None:
    """A local actor's key id and private key, unsealed; None if it has none for that use."""
    row = await reader.fetch_one(
        "SELECT key_id, private_sealed FROM actor_keys"
        " WHERE actor_id = ? AND algorithm = ? AND private_sealed IS NOT NULL",
        (actor_id, use.value),
    )
    if row is None:
        return None
    secret = vault.open(bytes(row["private_sealed"]), _purpose(row["key_id"]))
    # The key was checked when it was made, and GCM says that it is the same: RSA's own slow
    # consistency check would cost more than the signature.
    key = serialization.load_der_private_key(
        secret, password=None, unsafe_skip_rsa_key_validation=True
    )
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise TypeError("a stored key is of another kind")
    return row["key_id"], key


def _purpose(key_id: str) -> str:
    return f"actor key {key_id}"


async def put_private(
    tx: Transaction,
    vault: Vault,
    actor_id: str,
    owner_uri: str,
    now: int,
    keys: Sequence[tuple[str, KeyUse, PrivateKey]],
) -> None:
    """Seal and store a local actor's key pairs, each under its key id."""
    rows = [
        (key_id, actor_id, owner_uri, use.value, public_pem(key),
         vault.seal(_private_der(key), _purpose(key_id)), now)
        for key_id, use, key in keys
    ]  # fmt: skip
    columns = (
        "key_id", "actor_id", "owner_uri", "algorithm", "public", "private_sealed", "fetched",
    )  # fmt: skip
    await tx.insert_many("actor_keys", columns, rows)


def public_pem(key: PrivateKey) -> str:
    """The public half in PEM (SubjectPublicKeyInfo)."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def _private_der(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
