"""Vouches: who may, how many, for whom not, and what falls with whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fedidoc.clock import DAY
from fedidoc.config import EvidenceRules, LevelRules
from fedidoc.errors import BadInput, Conflict, NotFound, TooMany
from fedidoc.model import Account, NotificationKind, Role, Standing
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.policy import Policy
from fedidoc.verification.vouches import Vouches
from tests.house import House, claim

WORDS = "We have shared night duty since 2021."


def room(house: House, **changes: Any) -> Vouches:
    rules = replace(EvidenceRules(vouches_needed=2), **changes)
    return house.vouches(replace(house.config, evidence=rules))


async def colleagues(house: House, *names: str) -> list[Account]:
    """Members who were verified long enough ago."""
    made = [await house.verified(name) for name in names]
    house.clock.advance(31 * DAY)
    return made


async def request(rooms: Vouches, applicant: Account, voucher: Account) -> str:
    """Ask, and the id under which the colleague has it."""
    await rooms.ask(applicant, voucher.username)
    waiting = [r for r in await rooms.requests(voucher) if r.applicant.id == applicant.actor_id]
    return waiting[0].id


async def vouch(rooms: Vouches, applicant: Account, *vouchers: Account) -> None:
    for voucher in vouchers:
        await rooms.give(voucher, await request(rooms, applicant, voucher), WORDS)


async def held(house: House, account: Account) -> list[EvidenceKind]:
    return [e.kind for e in await house.review.records.held(house.db, account.id)]


async def renewed(house: House, username: str) -> Account:
    """Somebody whose verification ended, so that they ask anew."""
    account = await house.accounts.show(username)
    async with house.db.transaction() as tx:
        await house.review.standings.end(tx, account, "verification_lapsed", "fedidoc")
    return await house.accounts.show(username)


# Enough vouches -----------------------------------------------------------------------------------


async def test_enough_colleagues_are_evidence_for_a_time(any_house: House) -> None:
    house = any_house
    bea, carl = await colleagues(house, "bea", "carl")
    anna, rooms = await house.sign_up(), room(house)
    await vouch(rooms, anna, bea)
    assert await held(house, anna) == []
    house.clock.advance(DAY)
    await vouch(rooms, anna, carl)
    [evidence] = await house.review.records.held(house.db, anna.id)
    assert evidence.kind is EvidenceKind.VOUCHES
    # It counts as long as both words do: until the older one ends.
    assert evidence.valid_until == house.clock.now() + 364 * DAY
    assert [wish.given for wish in await rooms.of_applicant(anna)] == [True, True]
    assert [word.statement for word in await rooms.of_account(anna.id)] == [WORDS, WORDS]
    house.clock.advance(364 * DAY)
    assert await held(house, anna) == []
    assert len(await rooms.of_account(anna.id)) == 1


async def test_a_third_word_changes_nothing_and_stands_in(house: House) -> None:
    bea, carl, dora = await colleagues(house, "bea", "carl", "dora")
    anna, rooms = await house.sign_up(), room(house)
    await vouch(rooms, anna, bea, carl)
    [first] = await house.review.records.held(house.db, anna.id)
    await vouch(rooms, anna, dora)
    assert await house.review.records.held(house.db, anna.id) == (first,)
    [asked] = [r for r in await rooms.requests(bea) if r.given]
    await rooms.withdraw(bea, asked.id)
    assert await held(house, anna) == [EvidenceKind.VOUCHES]


async def test_two_clicks_are_one_word(any_house: House) -> None:
    house = any_house
    [bea] = await colleagues(house, "bea")
    anna, rooms = await house.sign_up(), room(house)
    id = await request(rooms, anna, bea)
    await asyncio.gather(*(rooms.give(bea, id, WORDS) for _ in range(4)))
    assert await held(house, anna) == []
    assert len(await rooms.of_account(anna.id)) == 1


async def test_where_the_house_says_so_colleagues_verify(house: House) -> None:
    house.use_policy(Policy.of({}, automatic=["vouches"]))
    bea, carl = await colleagues(house, "bea", "carl")
    anna, rooms = await house.sign_up(), room(house)
    await vouch(rooms, anna, bea, carl)
    assert (await house.accounts.show("anna")).verified
    assert (await house.actor(anna)).badge.assurance == "vouched"


async def test_what_was_said_is_sealed(house: House) -> None:
    [bea] = await colleagues(house, "bea")
    anna, rooms = await house.sign_up(), room(house)
    await vouch(rooms, anna, bea)
    stored = await house.everything_stored()
    assert "night duty" not in stored


# Who may vouch ------------------------------------------------------------------------------------


async def test_not_before_having_been_verified_for_a_while(house: House) -> None:
    bea = await house.verified("bea")
    anna, rooms = await house.sign_up(), room(house)
    id = await request(rooms, anna, bea)
    with pytest.raises(Conflict, match="later on"):
        await rooms.give(bea, id, WORDS)
    house.clock.advance(29 * DAY)
    assert (await rooms.look(bea, id)).hindrance
    # The request would have run out by then: they ask again.
    house.clock.advance(2 * DAY)
    with pytest.raises(NotFound):
        await rooms.look(bea, id)
    await vouch(rooms, anna, bea)


@pytest.mark.parametrize("role", [Role.RESIDENT, Role.STUDENT], ids=str)
async def test_levels_without_the_right_do_not_vouch(house: House, role: Role) -> None:
    tom = await house.sign_up("tom", role=Role.RESIDENT)
    async with house.db.transaction() as tx:
        await tx.execute("UPDATE accounts SET role = ? WHERE id = ?", (role.value, tom.id))
    await house.review.verify_directly(tom.id, "seen", "operator")
    house.clock.advance(40 * DAY)
    anna, rooms = await house.sign_up(), room(house)
    await rooms.ask(anna, "tom")
    assert await rooms.requests(await house.accounts.show("tom")) == ()
    assert (NotificationKind.VOUCH_ASKED, tom.actor_id) not in house.told


async def test_a_right_taken_meanwhile_is_gone(house: House) -> None:
    [bea] = await colleagues(house, "bea")
    anna, rooms = await house.sign_up(), room(house)
    id = await request(rooms, anna, bea)
    level = LevelRules(("physician",), ("operator",), ("read",))
    house.use_policy(Policy.of({"reader": level}))
    await house.review.standings.follow_policy()
    with pytest.raises(Conflict, match="level"):
        await rooms.give(bea, id, WORDS)  # `bea` is from before


async def test_a_few_a_year_whatever_is_sent_at_once(any_house: House) -> None:
    house = any_house
    [bea] = await colleagues(house, "bea")
    rooms = room(house, vouches_a_year=3)
    applicants = [await house.sign_up(f"anna{n}") for n in range(6)]
    ids = [await request(rooms, applicant, bea) for applicant in applicants]
    results = await asyncio.gather(
        *(rooms.give(bea, id, WORDS) for id in ids), return_exceptions=True
    )
    assert sum(r is None for r in results) == 3
    assert sum(isinstance(r, Conflict) for r in results) == 3
    # Taking one back frees no place.
    [given, *_] = [r for r in await rooms.requests(bea) if r.given]
    await rooms.withdraw(bea, given.id)
    [left, *_] = [r for r in await rooms.requests(bea) if not r.given]
    with pytest.raises(Conflict, match="within a year"):
        await rooms.give(bea, left.id, WORDS)
    house.clock.advance(366 * DAY)
    await vouch(rooms, await house.sign_up("later"), bea)


async def test_no_circles(house: House) -> None:
    """Bea vouched for Anna, Anna for Carl: neither Anna nor Carl vouches for Bea within a year."""
    house.use_policy(Policy.of({}, automatic=["vouches"]))
    [bea] = await colleagues(house, "bea")
    rooms = room(house, vouches_needed=1)
    anna = await house.sign_up()
    await vouch(rooms, anna, bea)
    house.clock.advance(31 * DAY)
    carl = await house.sign_up("carl")
    await vouch(rooms, carl, await house.accounts.show("anna"))
    house.clock.advance(31 * DAY)
    bea = await renewed(house, "bea")
    for name in ("anna", "carl"):
        voucher = await house.accounts.show(name)
        assert voucher.verified
        with pytest.raises(Conflict, match="circle"):
            await vouch(rooms, bea, voucher)
    house.clock.advance(320 * DAY)  # more than a year after Bea's word
    await vouch(rooms, bea, await house.accounts.show("anna"))


async def test_nobody_vouches_for_themselves_or_for_the_verified(house: House) -> None:
    [bea] = await colleagues(house, "bea")
    rooms = room(house)
    with pytest.raises(Conflict):
        await rooms.ask(bea, "anna")
    anna = await house.sign_up()
    with pytest.raises(BadInput, match="themselves"):
        await rooms.ask(anna, "@Anna")
    id = await request(rooms, anna, bea)
    await house.review.verify_directly(anna.id, "seen", "operator")
    with pytest.raises(Conflict, match="no vouch any more"):
        await rooms.give(bea, id, WORDS)


@pytest.mark.parametrize(
    "words", ["", "   ", "short", "x" * 1001], ids=["none", "blank", "short", "long"]
)
async def test_a_word_has_to_say_something(house: House, words: str) -> None:
    [bea] = await colleagues(house, "bea")
    anna, rooms = await house.sign_up(), room(house)
    id = await request(rooms, anna, bea)
    with pytest.raises(BadInput) as found:
        await rooms.give(bea, id, words)
    assert found.value.field == "statement"


# What each learns ---------------------------------------------------------------------------------


async def test_the_colleague_sees_the_public_face_only(house: House) -> None:
    [bea] = await colleagues(house, "bea")
    anna, rooms = await house.sign_up(), room(house)
    await house.review.apply(anna, claim())
    id = await request(rooms, anna, bea)
    assert (NotificationKind.VOUCH_ASKED, bea.actor_id) in house.told
    shown = repr(await rooms.look(bea, id))
    assert "physician" in shown and "Cardiovascular" in shown
    for secret in ("1234567893", "MD-778899", "Lindqvist", "anna@mail.example", anna.id):
        assert secret not in shown


async def test_the_applicant_learns_nothing_of_who_is_here_or_says_no(house: House) -> None:
    [bea] = await colleagues(house, "bea")
    tom = await house.sign_up("tom")  # here, and not verified
    anna, rooms = await house.sign_up(), room(house)
    for name in ("bea", "tom", "nobody_here"):
        await rooms.ask(anna, name)
    [asked] = await rooms.requests(bea)
    await rooms.decline(bea, asked.id)
    wishes = await rooms.of_applicant(anna)
    assert {(w.words, w.given) for w in wishes} == {
        ("bea", False), ("tom", False), ("nobody_here", False),
    }  # fmt: skip
    assert await rooms.requests(tom) == ()
    for wish in wishes:
        await rooms.cancel(anna, wish.id)
    assert await rooms.of_applicant(anna) == ()
    for name in ("bea", "tom", "nobody_here"):
        with pytest.raises(BadInput, match="already"):
            await rooms.ask(anna, name)


async def test_a_request_is_the_colleagues_and_the_applicants_alone(house: House) -> None:
    bea, carl = await colleagues(house, "bea", "carl")
    anna, eve, rooms = await house.sign_up(), await house.sign_up("eve"), room(house)
    id = await request(rooms, anna, bea)
    for act in (
        rooms.look(carl, id), rooms.give(carl, id, WORDS), rooms.decline(carl, id),
        rooms.withdraw(carl, id), rooms.cancel(eve, id), rooms.cancel(bea, id),
        rooms.look(anna, id), rooms.give(anna, id, WORDS), rooms.decline(anna, id),
        rooms.withdraw(bea, id), rooms.look(bea, "nope"), rooms.give(bea, "nope", WORDS),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await act
    await rooms.give(bea, id, WORDS)
    with pytest.raises(Conflict):
        await rooms.cancel(anna, id)
    with pytest.raises(NotFound):
        await rooms.decline(bea, id)


async def test_asking_has_a_limit_and_fills_nobodys_page(any_house: House) -> None:
    house = any_house
    [bea] = await colleagues(house, "bea")
    anna, rooms = await house.sign_up(), room(house)
    results = await asyncio.gather(
        *(rooms.ask(anna, f"name{n}") for n in range(13)), return_exceptions=True
    )
    assert sum(isinstance(r, TooMany) for r in results) == 3
    for number in range(23):
        await rooms.ask(await house.sign_up(f"eve{number}"), "bea")
    told = [one for one in house.told if one == (NotificationKind.VOUCH_ASKED, bea.actor_id)]
    assert len(told) == 20


@pytest.mark.parametrize(
    "name", ["", "@", "bea@elsewhere.example", "bea\nx", "x" * 300], ids=range(5)
)
async def test_what_is_no_colleague_is_refused(house: House, name: str) -> None:
    anna, rooms = await house.sign_up(), room(house)
    with pytest.raises(BadInput) as found:
        await rooms.ask(anna, name)
    assert found.value.field == "colleague"


async def test_a_house_may_do_without(house: House) -> None:
    anna, rooms = await house.sign_up(), room(house, vouches_needed=0)
    with pytest.raises(Conflict):
        await rooms.ask(anna, "bea")


# What falls ---------------------------------------------------------------------------------------


async def test_the_word_of_who_is_suspended_falls_with_what_rested_on_it(
    any_house: House,
) -> None:
    house = any_house
    house.use_policy(Policy.of({}, automatic=["vouches"]))
    bea, carl = await colleagues(house, "bea", "carl")
    anna, rooms = await house.sign_up(), room(house)
    await vouch(rooms, anna, bea, carl)
    assert (await house.accounts.show("anna")).verified
    await house.accounts.suspend("bea", reason="fraud", by="operator")
    assert await held(house, anna) == []
    after = await house.accounts.show("anna")
    assert after.standing is Standing.NEW and not after.rights
    assert not (await house.actor(anna)).badge.verified
    log = await house.audit()
    assert ("vouches", "evidence_withdrawn", anna.id) in log
    # Restored, but what fell stays fallen.
    await house.accounts.restore("bea", by="operator")
    assert await held(house, anna) == []
    assert len(await rooms.of_account(anna.id)) == 1


async def test_other_evidence_carries_on(house: House) -> None:
    bea, carl = await colleagues(house, "bea", "carl")
    anna, rooms = await house.sign_up(), room(house)
    await vouch(rooms, anna, bea, carl)
    await house.review.verify_directly(anna.id, "seen", "operator")
    await house.accounts.suspend("bea", reason="fraud", by="operator")
    assert (await house.accounts.show("anna")).verified


async def test_a_word_taken_back_falls(house: House) -> None:
    bea, carl = await colleagues(house, "bea", "carl")
    anna, rooms = await house.sign_up(), room(house)
    await vouch(rooms, anna, bea, carl)
    [given] = await rooms.requests(bea)
    await rooms.withdraw(bea, given.id)
    assert await held(house, anna) == []
    with pytest.raises(NotFound):
        await rooms.withdraw(bea, given.id)
