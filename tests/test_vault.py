from __future__ import annotations

import base64

import pytest

from fedidoc.errors import ConfigError
from fedidoc.vault import Vault, fresh_key

KEY = bytes(range(32))


def test_what_is_sealed_opens_for_its_purpose() -> None:
    vault = Vault(KEY)
    assert vault.open(vault.seal(b"a private key", "actor_keys"), "actor_keys") == b"a private key"


def test_a_sealed_value_shows_nothing_and_is_different_every_time() -> None:
    vault = Vault(KEY)
    first, second = (
        vault.seal(b"resident@example.org", "e"),
        vault.seal(b"resident@example.org", "e"),
    )
    assert first != second
    assert b"resident" not in first


def test_a_sealed_value_copied_to_another_column_does_not_open() -> None:
    vault = Vault(KEY)
    with pytest.raises(ConfigError):
        vault.open(vault.seal(b"x", "accounts.email"), "evidence.detail")


def test_every_changed_byte_is_noticed() -> None:
    vault = Vault(KEY)
    sealed = vault.seal(b"secret", "p")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(ConfigError):
            vault.open(bytes(changed), "p")
    for length in range(len(sealed)):
        with pytest.raises(ConfigError):
            vault.open(sealed[:length], "p")


def test_another_key_opens_nothing_and_its_error_quotes_nothing() -> None:
    sealed = Vault(KEY).seal(b"secret", "p")
    with pytest.raises(ConfigError) as caught:
        Vault(bytes(32)).open(sealed, "p")
    assert "secret" not in str(caught.value).replace("[secrets]", "")


def test_fingerprints_are_keyed_and_bound_to_their_purpose() -> None:
    vault = Vault(KEY)
    assert vault.fingerprint("1234567893", "npi") == Vault(KEY).fingerprint("1234567893", "npi")
    assert vault.fingerprint("1234567893", "npi") != vault.fingerprint("1234567893", "email")
    assert vault.fingerprint("1234567893", "npi") != Vault(bytes(32)).fingerprint(
        "1234567893", "npi"
    )
    # Where the purpose ends and the value begins cannot be moved.
    assert vault.fingerprint("b", "a") != vault.fingerprint("", "a\0b")


def test_keys_come_from_the_configuration_in_base64() -> None:
    made = fresh_key()
    assert len(base64.b64decode(made)) == 32
    assert made != fresh_key()
    vault = Vault.from_text(made)
    assert vault.open(vault.seal(b"x", "p"), "p") == b"x"


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(bytes(31)).decode(), "é" * 44])
def test_a_bad_key_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\[secrets\] key"):
        Vault.from_text(text)


def test_what_was_minted_is_known_without_a_database() -> None:
    one, other = Vault.from_text(fresh_key()), Vault.from_text(fresh_key())
    token = one.mint("session")
    assert one.minted(token, "session") and token != one.mint("session")
    assert not other.minted(token, "session") and not one.minted(token, "api token")
    bare, _, mark = token.rpartition(".")
    for forged in ("", ".", bare, mark, f".{mark}", f"x{token}", f"{token}x", f"{bare}.", "é." * 9):
        assert not one.minted(forged, "session")
