import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.errors import BadInput
from fedidoc.verification import signer_keys
from tests.verification.lists import fresh_key, public

PASSPHRASE = "correct horse battery"
KEY = fresh_key()


@pytest.fixture(scope="module")
def sealed() -> str:
    return signer_keys.seal(KEY, PASSPHRASE)


def test_a_key_opens_with_its_passphrase(sealed: str) -> None:
    assert signer_keys.public_key(sealed) == public(KEY)
    opened = signer_keys.unseal(sealed, PASSPHRASE)
    assert opened.private_bytes_raw() == KEY.private_bytes_raw()


def test_nothing_of_the_private_key_is_in_the_file(sealed: str) -> None:
    raw = KEY.private_bytes_raw()
    assert raw.hex() not in sealed
    assert PASSPHRASE not in sealed
    assert signer_keys.seal(KEY, PASSPHRASE) != sealed, "salt and nonce are fresh"


def test_another_passphrase_opens_nothing(sealed: str) -> None:
    for wrong in ("", "correct horse batterY", PASSPHRASE + " "):
        with pytest.raises(BadInput, match="passphrase is wrong"):
            signer_keys.unseal(sealed, wrong)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 12"):
        signer_keys.seal(KEY, "elevenchars")


def changed(text: str, **changes: Any) -> str:
    return json.dumps({**json.loads(text), **changes})


def test_a_file_that_names_another_key_does_not_open(sealed: str) -> None:
    """The public key beside the sealed one is bound to it: nobody signs with another than shown."""
    other = changed(sealed, publicKeyMultibase=public(Ed25519PrivateKey.generate()))
    with pytest.raises(BadInput):
        signer_keys.unseal(other, PASSPHRASE)


@pytest.mark.parametrize(
    "parameters",
    [
        {"memory_kib": 1 << 30}, {"passes": 1_000_000}, {"lanes": 1 << 20}, {"memory_kib": 0},
        {"passes": "3"}, {"salt": 1}, {"passes": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_cannot_ask_for_hours_or_all_memory(
    sealed: str, parameters: dict[str, object]
) -> None:
    kdf = {**json.loads(sealed)["argon2id"], **parameters}
    with pytest.raises(BadInput):
        signer_keys.unseal(changed(sealed, argon2id=kdf), PASSPHRASE)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kind": "fedidoc trust list signer"}', "x" * 10_000, "-----BEGIN"],
    ids=["empty", "array", "object", "kind", "long", "pem"],
)
def test_what_is_no_key_file(text: str) -> None:
    with pytest.raises(BadInput, match="keygen"):
        signer_keys.public_key(text)


def test_salt_and_secret_that_are_no_base64(sealed: str) -> None:
    kdf = {**json.loads(sealed)["argon2id"], "salt": "ü", "memory_kib": 64, "passes": 1}
    for text in (changed(sealed, argon2id=kdf), changed(sealed, sealed="AA")):
        with pytest.raises(BadInput):
            signer_keys.unseal(text, PASSPHRASE)
