import asyncio
import time

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from fedidoc.accounts.passwords import Passwords, check_rules, fresh_password, normalise
from fedidoc.errors import BadInput, TooMany

PERSONAL = ("anna", "anna.berg@mail.example", "anna.berg", "mail.example", "st-olaf.example")
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.mark.parametrize(
    "password",
    ["", "short", "ninechars", "aaaaaaaaaaaa", "abababababab", "1234567890", "Password123",
     "CorrectHorseBatteryStaple", "anna.berg@mail.example", "ANNA.BERG@MAIL.EXAMPLE",
     "st-olaf.example", "St-Olaf.example1", "mail.example!", "x" * 600, "lone \ud800 surrogate"],
)  # fmt: skip
def test_passwords_that_are_refused(password: str) -> None:
    with pytest.raises(BadInput) as refusal:
        check_rules(password, personal=PERSONAL)
    assert refusal.value.field == "password"
    assert password not in refusal.value.text or not password


@pytest.mark.parametrize(
    "password", ["an uncommon sentence", "ten-letter", "пароль-кардиолога", "anna likes long walks"]
)
def test_passwords_that_are_taken(password: str) -> None:
    check_rules(password, personal=PERSONAL)


def test_fresh_passwords_pass_the_rules_and_differ() -> None:
    made = {fresh_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_rules(password, personal=PERSONAL)


async def test_the_parameters_in_use_are_those_of_rfc_9106() -> None:
    passwords = Passwords()
    parameters = extract_parameters(await passwords.hash("an uncommon sentence"))
    passwords.close()
    assert parameters.type is Type.ID
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (3, 65536, 4)


async def test_check_and_outdated() -> None:
    passwords = Passwords(QUICK)
    stored = await passwords.hash("caf\u00e9 at midnight")
    assert await passwords.check(stored, "cafe\u0301 at midnight")
    assert not await passwords.check(stored, "cafe at midnight")
    assert not await passwords.check(None, "cafe at midnight")
    assert not await passwords.check("no hash", "x")
    assert not await passwords.check(stored, "\ud800")
    assert not await passwords.check(stored, "x" * 10_000_000)
    assert not passwords.outdated(stored)
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    assert stronger.outdated(stored)
    assert await stronger.check(stored, "caf\u00e9 at midnight")
    passwords.close()
    stronger.close()


async def test_nobody_can_log_in_to_what_is_no_account() -> None:
    """The stand-in hash of unknown names fits nothing, the empty password least of all."""
    passwords = Passwords(QUICK)
    for password in ("", "\ud800", "x" * 600):
        assert not await passwords.check(None, password)
    passwords._nobodys = await passwords.hash("guessed right")
    assert not await passwords.check(None, "guessed right")
    passwords.close()


async def test_the_loop_goes_on_while_passwords_are_hashed_and_a_flood_is_sent_away() -> None:
    passwords = Passwords(PasswordHasher(time_cost=4, memory_cost=32768, parallelism=1))
    flood = [asyncio.create_task(passwords.hash("an uncommon sentence")) for _ in range(70)]
    ticks = 0
    await asyncio.sleep(0)
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        await asyncio.sleep(0.005)
        ticks += 1
    assert ticks > 10
    await asyncio.wait(flood, timeout=0.01)
    refused = [t for t in flood if t.done() and isinstance(t.exception(), TooMany)]
    assert len(refused) == 6
    for task in flood:
        task.cancel()
    passwords.close()


def test_normalise() -> None:
    assert normalise("ﬁne") == "fine"
    assert normalise("\ud800") is None
