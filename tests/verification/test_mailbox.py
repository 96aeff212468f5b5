"""Institutional addresses: which are taken, and links that nobody forges, borrows or replays."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from fedidoc.clock import DAY, HOUR
from fedidoc.config import EvidenceRules
from fedidoc.errors import BadInput, ConfigError, Conflict, NotFound, TooMany
from fedidoc.model import Account, Standing
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.mailbox import Domains, Mailboxes
from fedidoc.verification.policy import Policy
from tests.house import House

DOMAINS = Domains(["stolaf.example", ".nhs.example", "klinik-münchen.example"])
ADDRESS = "Anna.Lind@stolaf.example"


def boxes(house: House, **changes: Any) -> Mailboxes:
    rules = EvidenceRules(email_domains=("stolaf.example", ".nhs.example"))
    return house.mailboxes(replace(house.config, evidence=replace(rules, **changes)))


def token_in(house: House, letter: int = -1) -> str:
    found = re.search(r"/application/email/(\S+)", house.letters[letter][2])
    assert found is not None
    return found[1]


async def kinds(house: House, account: Account) -> set[EvidenceKind]:
    return {e.kind for e in await house.review.records.held(house.db, account.id)}


# Addresses ----------------------------------------------------------------------------------------

TAKEN = {
    "plain": ("anna@stolaf.example", "anna@stolaf.example"),
    "capitals": ("Anna.Lind@StOlaf.Example", "Anna.Lind@stolaf.example"),
    "blanks": ("  anna@stolaf.example ", "anna@stolaf.example"),
    "below": ("anna@leeds.nhs.example", "anna@leeds.nhs.example"),
    "far-below": ("anna@a.b.nhs.example", "anna@a.b.nhs.example"),
    "unicode": ("anna@klinik-münchen.example", "anna@xn--klinik-mnchen-3ob.example"),
    "punycode": ("anna@xn--klinik-mnchen-3ob.example", "anna@xn--klinik-mnchen-3ob.example"),
    "wide": ("anna@ｓｔｏｌａｆ.example", "anna@stolaf.example"),
    "apostrophe": ("o'neill@stolaf.example", "o'neill@stolaf.example"),
}


@pytest.mark.parametrize(("typed", "address"), TAKEN.values(), ids=TAKEN.keys())
def test_addresses_of_the_institution_are_taken_in_one_spelling(typed: str, address: str) -> None:
    assert DOMAINS.take(typed) == address


REFUSED = {
    "empty": "",
    "no-at": "anna",
    "no-local": "@stolaf.example",
    "no-domain": "anna@",
    "other": "anna@mail.example",
    "below-an-exact-one": "anna@evil.stolaf.example",
    "above-the-dot": "anna@nhs.example",
    "suffix-without-dot": "anna@evilnhs.example",
    "longer": "anna@stolaf.example.evil.example",
    "shorter": "anna@example",
    "trailing-dot": "anna@stolaf.example.",
    "cyrillic": "anna@st\u043elaf.example",
    "greek": "anna@stolaf.\u03b5xample",
    "zero-width": "anna@stolaf\u200d.example",
    "plus": "anna+1@stolaf.example",
    "quoted": '"anna"@stolaf.example',
    "quoted-at": '"x@mail.example"@stolaf.example',
    "two-at": "x@mail.example@stolaf.example",
    "comment": "anna(x)@stolaf.example",
    "route": "<@mail.example:anna@stolaf.example>",
    "percent": "anna%mail.example@stolaf.example",
    "bang": "mail.example!anna@stolaf.example",
    "crlf": "anna\r\nBcc: x@stolaf.example",
    "crlf-local": "an\r\nna@stolaf.example",
    "lf-domain": "anna@stolaf.example\nBcc: x",
    "nul": "anna\0@stolaf.example",
    "blank": "an na@stolaf.example",
    "comma": "x@mail.example,anna@stolaf.example",
    "unicode-local": "änna@stolaf.example",
    "dots": "anna..lind@stolaf.example",
    "leading-dot": ".anna@stolaf.example",
    "literal": "anna@[192.0.2.1]",
    "shared": "Info@stolaf.example",
    "postmaster": "postmaster@stolaf.example",
    "long-local": "a" * 65 + "@stolaf.example",
    "long": "a@" + "b." * 200 + "nhs.example",
}


@pytest.mark.parametrize("typed", REFUSED.values(), ids=REFUSED.keys())
def test_all_else_is_refused_beside_its_field(typed: str) -> None:
    with pytest.raises(BadInput) as found:
        DOMAINS.take(typed)
    assert found.value.field == "address"
    assert "stolaf" not in found.value.text


@pytest.mark.parametrize(
    "listed", ["", ".", "example", "a b.example", "@stolaf.example", "*.nhs.example"]
)
def test_a_list_that_cannot_be_meant_stops_the_instance(listed: str) -> None:
    with pytest.raises(ConfigError):
        Domains([listed])


# Links --------------------------------------------------------------------------------------------


async def test_an_answer_from_the_mailbox_is_evidence_for_a_time(any_house: House) -> None:
    house = any_house
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    [(to, _, text)] = house.letters
    assert to == ADDRESS
    assert "https://st-olaf.example/application/email/" in text
    asked = await rooms.look(anna, token_in(house))
    assert asked.address == ADDRESS
    assert await kinds(house, anna) == set(), "looking at a link confirmed it"
    await rooms.confirm(anna, token_in(house))
    assert await kinds(house, anna) == {EvidenceKind.INSTITUTIONAL_EMAIL}
    [box], waiting = await rooms.state(anna)
    assert (box.address, waiting) == (ADDRESS, ())
    assert 360 * DAY < box.valid_until - house.clock.now() < 366 * DAY
    house.clock.advance(366 * DAY)
    assert await kinds(house, anna) == set()
    assert await rooms.state(anna) == ((), ())


async def test_nothing_readable_is_stored(any_house: House) -> None:
    house = any_house
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    token = token_in(house)
    stored = await house.everything_stored()
    await rooms.confirm(anna, token)
    stored += await house.everything_stored()
    for secret in ("Anna.Lind", "anna.lind", "stolaf.example", token.partition(".")[2]):
        assert secret not in stored


async def test_a_link_works_once(house: House) -> None:
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    token = token_in(house)
    await rooms.confirm(anna, token)
    [box], _ = await rooms.state(anna)
    house.clock.advance(HOUR)
    await rooms.confirm(anna, token)  # the second click of two
    assert (await rooms.state(anna))[0] == (box,), "a replayed link made the evidence newer"
    with pytest.raises(Conflict):
        await rooms.look(anna, token)
    house.clock.advance(400 * DAY)
    with pytest.raises(Conflict):
        await rooms.confirm(anna, token)


async def test_two_clicks_at_once_are_one_piece_of_evidence(any_house: House) -> None:
    house = any_house
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    token = token_in(house)
    await asyncio.gather(*(rooms.confirm(anna, token) for _ in range(5)))
    assert len(await house.review.records.held(house.db, anna.id)) == 1
    assert len((await rooms.state(anna))[0]) == 1


async def test_a_link_runs_out(house: House) -> None:
    anna, rooms = await house.sign_up(), boxes(house, email_link_hours=2)
    await rooms.ask(anna, ADDRESS)
    house.clock.advance(2 * HOUR)
    for act in (rooms.look, rooms.confirm):
        with pytest.raises(Conflict, match="run out"):
            await act(anna, token_in(house))
    assert await kinds(house, anna) == set()


async def test_a_link_is_for_the_member_who_asked(house: House) -> None:
    anna, eve, rooms = await house.sign_up(), await house.sign_up("eve"), boxes(house)
    await rooms.ask(anna, ADDRESS)
    for act in (rooms.look, rooms.confirm):
        with pytest.raises(NotFound):
            await act(eve, token_in(house))
    await rooms.confirm(anna, token_in(house))
    assert await kinds(house, eve) == set()


async def test_forged_links_open_nothing(house: House) -> None:
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    await rooms.ask(anna, "anna@leeds.nhs.example")
    one, other = token_in(house, 0), token_in(house, 1)
    id, mac = one.split(".")
    forged = [
        "", ".", id, f"{id}.", f"{id}.{'0' * 64}", f"{id}.{mac[:-1]}", f"{id}.{mac.upper()}",
        f"{id}.{mac} ", f" {one}", f"{one}\n", f"{other.split('.')[0]}.{mac}",
        f"{'0' * 26}.{mac}", f"{id}.{mac}.{mac}", "\0", "../../x", f"{id}.{'é' * 64}",
    ]  # fmt: skip
    for token in forged:
        with pytest.raises(NotFound):
            await rooms.confirm(anna, token)
    assert await kinds(house, anna) == set()


@pytest.mark.parametrize("column", ["account_id", "address_mac", "expires"])
async def test_a_link_whose_row_was_changed_opens_nothing(house: House, column: str) -> None:
    """Somebody who writes to the database, but has not the key, moves no link to themselves."""
    anna, eve, rooms = await house.sign_up(), await house.sign_up("eve"), boxes(house)
    await rooms.ask(anna, ADDRESS)
    value: object = {"account_id": eve.id, "address_mac": "0" * 64, "expires": 2**50}[column]
    async with house.db.transaction() as tx:
        await tx.execute(f"UPDATE mailbox_links SET {column} = ?", (value,))
    with pytest.raises(NotFound):
        await rooms.confirm(eve if column == "account_id" else anna, token_in(house))


# Whose an address is ------------------------------------------------------------------------------


async def test_an_address_is_one_members_and_asking_does_not_tell(any_house: House) -> None:
    house = any_house
    anna, eve, rooms = await house.sign_up(), await house.sign_up("eve"), boxes(house)
    await rooms.ask(anna, ADDRESS)
    await rooms.confirm(anna, token_in(house))
    await rooms.ask(eve, ADDRESS.upper().replace("EXAMPLE", "example"))
    # The mailbox is told, and nobody else: the letter has no link and no name.
    _, _, text = house.letters[-1]
    assert "/application/email/" not in text
    assert "anna" not in text.lower()
    assert "eve" not in text.lower().split()
    # What the asking member sees is what everybody sees who asked.
    boxes_of_eve, waiting = await rooms.state(eve)
    assert boxes_of_eve == ()
    assert [asked.address.lower() for asked in waiting] == [ADDRESS.lower()]


async def test_the_first_of_two_who_asked_has_it(any_house: House) -> None:
    house = any_house
    anna, eve, rooms = await house.sign_up(), await house.sign_up("eve"), boxes(house)
    await rooms.ask(anna, ADDRESS)
    await rooms.ask(eve, ADDRESS)
    results = await asyncio.gather(
        rooms.confirm(anna, token_in(house, 0)),
        rooms.confirm(eve, token_in(house, 1)),
        return_exceptions=True,
    )
    assert sorted(type(r).__name__ for r in results) == ["Conflict", "NoneType"]
    held = [await kinds(house, account) for account in (anna, eve)]
    assert sorted(map(len, held)) == [0, 1]


async def test_an_address_that_ran_out_is_free_again(house: House) -> None:
    anna, eve, rooms = await house.sign_up(), await house.sign_up("eve"), boxes(house)
    await rooms.ask(anna, ADDRESS)
    await rooms.confirm(anna, token_in(house))
    house.clock.advance(366 * DAY)
    await rooms.ask(eve, ADDRESS)
    await rooms.confirm(eve, token_in(house))
    assert await kinds(house, eve) == {EvidenceKind.INSTITUTIONAL_EMAIL}
    assert await kinds(house, anna) == set()


async def test_a_suspended_member_keeps_the_address_from_a_second_account(house: House) -> None:
    anna, eve, rooms = await house.verified(), await house.sign_up("eve"), boxes(house)
    await rooms.ask(anna, ADDRESS)
    await rooms.confirm(anna, token_in(house))
    await house.accounts.suspend("anna", reason="fraud", by="operator")
    await rooms.ask(eve, ADDRESS)
    assert "/application/email/" not in house.letters[-1][2]


async def test_a_domain_taken_off_the_list_is_taken_no_more(house: House) -> None:
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    later = boxes(house, email_domains=(".nhs.example",))
    with pytest.raises(BadInput):
        await later.confirm(anna, token_in(house))


# Limits -------------------------------------------------------------------------------------------


async def test_a_member_asks_five_times_a_day(any_house: House) -> None:
    house = any_house
    anna, rooms = await house.sign_up(), boxes(house)
    results = await asyncio.gather(
        *(rooms.ask(anna, f"anna{n}@stolaf.example") for n in range(9)), return_exceptions=True
    )
    assert len(house.letters) == 5
    assert sum(isinstance(r, TooMany) for r in results) == 4
    house.clock.advance(DAY + 1)
    await rooms.ask(anna, "anna9@stolaf.example")
    assert len(house.letters) == 6


async def test_nobodys_mailbox_is_filled(house: House) -> None:
    rooms = boxes(house)
    for number in range(6):
        await rooms.ask(await house.sign_up(f"eve{number}"), ADDRESS)
    assert len(house.letters) == 3
    anna = await house.sign_up()
    await rooms.ask(anna, ADDRESS)  # hears the same as ever
    assert len((await rooms.state(anna))[1]) == 1
    house.clock.advance(DAY + 1)
    await rooms.ask(anna, ADDRESS)
    assert len(house.letters) == 4


async def test_what_ran_out_is_forgotten(house: House) -> None:
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    await rooms.forget()
    assert await house.db.fetch_value("SELECT COUNT(*) FROM mailbox_links") == 1
    house.clock.advance(9 * DAY)
    await rooms.forget()
    assert await house.db.fetch_value("SELECT COUNT(*) FROM mailbox_links") == 0


# What follows -------------------------------------------------------------------------------------


async def test_where_the_house_says_so_an_address_verifies_at_once(house: House) -> None:
    house.use_policy(Policy.of({}, automatic=["institutional_email"]))
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    await rooms.confirm(anna, token_in(house))
    assert (await house.accounts.show("anna")).standing is Standing.VERIFIED
    assert (await house.actor(anna)).badge.assurance == "institutional_email"


async def test_otherwise_a_reviewer_decides(house: House) -> None:
    anna, rooms = await house.sign_up(), boxes(house)
    await rooms.ask(anna, ADDRESS)
    await rooms.confirm(anna, token_in(house))
    assert (await house.accounts.show("anna")).standing is Standing.NEW
    log = await house.audit()
    assert ("institutional e-mail", "evidence_recorded", anna.id) in log
