"""Passwords: what one may be, and Argon2id (RFC 9106) away from the event loop."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fedidoc.errors import BadInput, TooMany

P = ParamSpec("P")
T = TypeVar("T")

LEAST: Final = 10
_MOST_BYTES: Final = 512
_WAITING: Final = 64

# Of the passwords that turn up most in published leaks, those long enough to be let in otherwise.
_WORDS: Final = """
1234567890 0123456789 9876543210 0987654321 12345678910 123456789a 1234567891 123456789q
1234567899 12345678900 11111111111 1111111111 0000000000 2222222222 5555555555 6666666666
7777777777 8888888888 9999999999 1122334455 1029384756 1q2w3e4r5t 1q2w3e4r5t6y q1w2e3r4t5
q1w2e3r4t5y6 1qaz2wsx3edc qwertyuiop qwertyuiop1 qwerty12345 qwerty123456 qwerty1234
asdfghjkl1 asdfghjkl; zxcvbnm123 abcdefghij abcdefghijk abcd123456 abc1234567 a123456789
a1234567890 aa12345678 password12 password123 password1234 password12345 passwordpassword
password01 password11 password99 passw0rd123 p@ssw0rd123 p@ssword123 iloveyou12 iloveyou123
iloveyouso iloveyou1234 princess123 sunshine123 football123 baseball123 superman123 letmein123
letmein1234 welcome123 welcome1234 welcome2024 welcome2025 welcome2026 changeme123 changeme1234
administrator admin12345 admin123456 admin1234567 testtest12 test123456 hospital123 doctor1234
doctor12345 physician1 medicine123 stethoscope qazwsxedcrfv qazwsx1234 michael123 jordan2323
manchester liverpool1 chelsea123 basketball basketball1 volkswagen blink182182 summer2024
summer2025 summer2026 winter2024 winter2025 winter2026 autumn2025 autumn2026 spring2025
spring2026 monkey12345 dragon12345 shadow12345 master12345 trustno1trustno1 correcthorse
correcthorsebatterystaple
"""
_COMMON: Final = frozenset(_WORDS.split())


def check_rules(password: str, *, personal: Iterable[str], field: str = "password") -> None:
    """BadInput unless the password may be used. `personal` is what it must not simply repeat:
    username, e-mail address, the instance's domain."""
    text = normalise(password)
    if text is None or len(text.encode()) > _MOST_BYTES:
        raise BadInput("Choose a shorter password, of ordinary characters.", field=field)
    if len(text) < LEAST:
        raise BadInput(f"Choose a password of at least {LEAST} characters.", field=field)
    folded = text.casefold()
    if folded in _COMMON or len(set(folded)) < 4:
        raise BadInput("This password is among the first that others try; choose another.",
                       field=field)  # fmt: skip
    bare = _letters(folded)
    if bare in {_letters(word.casefold()) for word in personal if word}:
        raise BadInput(
            "The password must not be your name, your e-mail address or this site's name.",
            field=field,
        )


def _letters(text: str) -> str:
    """Without digits at either end, signs and blanks: `St-Olaf.example1` is still the domain."""
    return "".join(c for c in text.strip("0123456789!?.") if c.isalnum())


def normalise(password: str) -> str | None:
    """The same characters however a keyboard composed them (NFKC, as NIST SP 800-63B advises);
    None for what cannot be text."""
    try:
        text = unicodedata.normalize("NFKC", password)
        text.encode()
    except UnicodeEncodeError:
        return None
    return text


def fresh_password() -> str:
    """A password for somebody to be handed: 80 random bits in four groups, easy to read out."""
    alphabet = "23456789abcdefghjkmnpqrstvwxyzAB"
    letters = [secrets.choice(alphabet) for _ in range(16)]
    return "-".join("".join(letters[i : i + 4]) for i in range(0, 16, 4))


class Passwords:
    """Hashes and checks, two at a time in threads, each with 64 MiB (RFC 9106, second choice).

    More than 64 waiting are sent away: a flood of logins must not queue for minutes.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, threads: int = 2) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """The encoded hash. The password has passed `check_rules`."""
        return await self._run(self._hash, password)

    async def check(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits; as slow as ever, and False, when there is no hash."""
        return await self._run(self._check, password_hash, password)

    def outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than those in use now."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= _WAITING:
            raise TooMany("Very many people are logging in; try again in 10 seconds.",
                          retry_after=10)  # fmt: skip
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, partial(work, *args, **kwargs))
        finally:
            self._waiting -= 1

    def _hash(self, password: str) -> str:
        return self._hasher.hash(normalise(password) or "")

    def _check(self, password_hash: str | None, password: str) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash(secrets.token_urlsafe())
        text = normalise(password) or ""
        usable = len(text.encode()) <= _MOST_BYTES
        try:
            self._hasher.verify(password_hash or self._nobodys, text if usable else "")
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None
