"""The yearly code: what every verified member is handed, and buys one pseudonym with. Pure.

A code is the account's id under AES-256-GCM with a random nonce and a key of the year, in groups of
letters that can be read aloud. Nothing of it is stored when it is handed out; when it is used, a
keyed digest of it is, in a set that belongs to nobody. So the database says of each member only
that they were handed the year's code, which everybody was, and of each used code only that
somebody's was used.
"""

from __future__ import annotations

from typing import Final

from fedidoc.errors import BadInput, ConfigError
from fedidoc.vault import Vault

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, as in ids
_VALUE: Final = {letter: value for value, letter in enumerate(_ALPHABET)} | {
    "i": 1, "l": 1, "o": 0,
}  # fmt: skip
_ID: Final = 26
_BYTES: Final = 45  # version, nonce, 16 bytes of id, tag
LETTERS: Final = 72
_GROUP: Final = 6


def make(vault: Vault, year: int, account_id: str) -> str:
    """A code for an account (an id as `Clock.random_id` makes them), another one at each call."""
    sealed = vault.seal(_number(account_id).to_bytes(16), _purpose(year))
    number = int.from_bytes(sealed)
    letters = [_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(LETTERS))]
    return "-".join("".join(letters[i : i + _GROUP]) for i in range(0, LETTERS, _GROUP))


def open_code(vault: Vault, year: int, code: str) -> str:
    """The id of the account that a code was made for. BadInput for one of another year or none."""
    try:
        number = 0
        letters = _letters(code)
        if len(letters) != LETTERS:
            raise ValueError
        for letter in letters:
            number = number * 32 + _VALUE[letter]
        raw = vault.open(number.to_bytes(_BYTES), _purpose(year))
    except (ConfigError, KeyError, ValueError, OverflowError):
        raise BadInput(
            f"This is not a code of {year}; copy it whole, as it was shown to you.", field="code"
        ) from None
    number = int.from_bytes(raw)
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(_ID)))


def digest(vault: Vault, year: int, code: str) -> str:
    """What is kept of a used code. One code has one digest however it was typed."""
    typed = "".join(_ALPHABET[_VALUE.get(letter, 0)] for letter in _letters(code))
    return vault.fingerprint(typed, _purpose(year))


def _letters(code: str) -> str:
    return "".join(c for c in code.lower() if c not in "- \t\r\n")


def _number(account_id: str) -> int:
    if len(account_id) != _ID:
        raise ValueError("not an account's id")
    number = 0
    for letter in account_id:
        number = number * 32 + _ALPHABET.index(letter)
    return number


def _purpose(year: int) -> str:
    return f"pseudonym code {year}"
