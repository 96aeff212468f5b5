import asyncio
from dataclasses import replace

import pytest

from fedidoc.clock import DAY, HOUR
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import NO_BADGE, Account, NotificationKind, Role, Specialty, Standing
from fedidoc.storage import registers
from fedidoc.verification.comparison import Mark
from fedidoc.verification.desk import GRAPH, OPEN, State
from fedidoc.verification.evidence import Assurance
from fedidoc.verification.evidence import EvidenceKind as Kind
from tests.house import CARDIOLOGY, House, claim

NPI = "1234567893"


async def put_register_row(house: House, **changes: str) -> None:
    row = {
        "npi": NPI,
        "entity_type": "1",
        "last_name": "MULLER LINDQVIST",
        "first_name": "ANNA",
        "middle_name": "",
        "credential": "MD",
        "city": "NEW YORK",
        "state": "NY",
        "taxonomies": '["207RC0000X"]',
        "licences": '[["778899", "NY", "207RC0000X"]]',
        "enumerated": "2010-01-01",
        "updated": "2024-01-01",
        "deactivated": "",
        "reactivated": "",
        **changes,
    }
    async with house.db.transaction() as tx:
        await registers.put_nppes(tx, [[row[column] for column in registers.NPPES_COLUMNS]])


async def standing(house: House, account: Account) -> Standing:
    return (await house.accounts.show(account.username)).standing


# The graph


def test_every_state_is_reached_and_what_is_decided_stays_so() -> None:
    reached, new = {State.APPLIED}, {State.APPLIED}
    while new:
        new = {after for state in new for after in GRAPH[state]} - reached
        reached |= new
    assert reached == set(State) == set(GRAPH)
    assert set(OPEN) == {State.APPLIED, State.ASKED}


# From application to badge


async def test_the_whole_way(any_house: House) -> None:
    house = any_house
    await put_register_row(house)
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    assert await house.review.current(anna) is None
    id = await house.review.apply(anna, claim())
    assert await standing(house, anna) is Standing.APPLIED
    assert await house.review.waiting() == 1
    waiting = (await house.review.queue(by=rita)).items
    assert [a.id for a in waiting] == [id]
    assert waiting[0].claim == claim()

    desk = await house.review.look(id, by=rita)
    (listing,) = desk.listings
    assert listing.register == "NPPES" and desk.asked == ("NPPES",)
    assert {d.field: d.mark for d in listing.differences} == {
        "status": Mark.SAME,
        "name": Mark.SAME,
        "licence": Mark.SIMILAR,
        "profession": Mark.SAME,
        "specialty": Mark.SAME,
    }
    assert desk.blockers == () and desk.same_npi == () and desk.evidence == ()
    assert Kind.REGISTER in desk.kinds
    assert not {Kind.OPERATOR, Kind.IDENTITY_PROVIDER} & set(desk.kinds)

    house.clock.advance(HOUR)
    done = await house.review.approve(id, rita, "saw the card", [Kind.REGISTER, Kind.DOCUMENT])
    assert (done.state, done.decided_by, done.decided) == (
        State.APPROVED, "rita", house.clock.now(),
    )  # fmt: skip
    assert await standing(house, anna) is Standing.VERIFIED
    badge = (await house.actor(anna)).badge
    assert badge.verified and badge.assurance == Assurance.REGISTER.value
    assert badge.jurisdiction == "US-NY" and badge.specialty == CARDIOLOGY
    assert house.told == [(NotificationKind.VERIFIED, anna.actor_id)]
    assert await house.events() == [("actor_updated", anna.actor_id)]
    assert (rita.id, "application_approved", id) in await house.audit()
    desk = await house.review.look(id, by=rita)
    assert sorted((e.kind, e.detail, e.recorded_by) for e in desk.evidence) == [
        (Kind.DOCUMENT, "saw the card", rita.id),
        (Kind.REGISTER, "saw the card", rita.id),
    ]
    own = await house.review.current(anna)
    assert own is not None and own.state is State.APPROVED and own.reason is None


async def test_what_is_claimed_is_stored_sealed(house: House) -> None:
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(
        anna, claim(legal_name="Annabella Zuckerfeld", licence_number="LIC-445566", note="a note")
    )
    await house.review.approve(id, rita, "seen the passport")
    stored = await house.everything_stored()
    assert id in stored
    for secret in ("Annabella", "LIC-445566", NPI, "a note", "seen the passport"):
        assert secret not in stored


async def test_role_and_specialty_follow_what_was_approved(house: House) -> None:
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim(profession=Role.RESIDENT, specialty=None))
    await house.review.approve(id, rita, "known", [Kind.EMPLOYER])
    now = await house.accounts.show("anna")
    assert (now.role, now.specialty) == (Role.RESIDENT, None)
    assert (await house.actor(anna)).badge.profession == "resident"


# Refusing, asking, withdrawing


async def test_refused_with_a_reason_and_applying_again(any_house: House) -> None:
    house = any_house
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    first = await house.review.apply(anna, claim())
    with pytest.raises(BadInput) as refusal:
        await house.review.refuse(first, rita, " \n ")
    assert refusal.value.field == "reason"
    refused = await house.review.refuse(first, rita, "The licence has lapsed.")
    assert refused.reason == "The licence has lapsed."
    assert await standing(house, anna) is Standing.REFUSED
    assert house.told == [(NotificationKind.REFUSED, anna.actor_id)]
    assert (await house.actor(anna)).badge == NO_BADGE
    with pytest.raises(Conflict, match="refused already, by rita"):
        await house.review.approve(first, rita, "after all")
    house.clock.advance(DAY)
    second = await house.review.apply(anna, claim(licence_number="NEW-1"))
    assert second != first
    await house.review.approve(second, rita, "renewed")
    kept = await house.review.queue(State.REFUSED, by=rita)
    assert [(a.id, a.reason) for a in kept.items] == [(first, "The licence has lapsed.")]


async def test_asking_and_answering(house: House) -> None:
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim(npi="1245319599"))
    asked = await house.review.ask(id, rita, "Is this your number?")
    assert (asked.state, asked.reason) == (State.ASKED, "Is this your number?")
    assert await standing(house, anna) is Standing.APPLIED
    assert await house.review.waiting() == 0
    with pytest.raises(Conflict):
        await house.review.ask(id, await house.admin("otto"), "And yours?")
    assert await house.review.apply(anna, claim()) == id
    own = await house.review.current(anna)
    assert own is not None
    assert (own.state, own.claim.npi, own.reason, own.decided) == (State.APPLIED, NPI, None, None)
    assert (await house.review.approve(id, rita, "now it fits")).state is State.APPROVED


async def test_withdrawing(house: House) -> None:
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim())
    await house.review.withdraw(anna)
    assert await standing(house, anna) is Standing.NEW
    with pytest.raises(Conflict):
        await house.review.withdraw(anna)
    with pytest.raises(Conflict, match="withdrawn already"):
        await house.review.approve(id, rita, "quick")
    await house.review.apply(anna, claim())


async def test_one_application_at_a_time(any_house: House) -> None:
    house = any_house
    anna = await house.sign_up("anna")
    results = await asyncio.gather(
        *(house.review.apply(anna, claim()) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 3
    assert await house.db.fetch_value("SELECT COUNT(*) FROM applications") == 1


async def test_who_is_verified_or_suspended_does_not_apply(house: House) -> None:
    anna = await house.verified("anna")
    with pytest.raises(Conflict):
        await house.review.apply(anna, claim())
    await house.accounts.suspend("anna", reason="x", by="operator")
    with pytest.raises(Conflict):
        await house.review.apply(anna, claim())


async def test_a_bad_claim_files_nothing(house: House) -> None:
    anna = await house.sign_up("anna")
    with pytest.raises(BadInput) as refusal:
        await house.review.apply(anna, claim(npi="1234567890"))
    assert refusal.value.field == "npi"
    assert await standing(house, anna) is Standing.NEW


async def test_the_words_of_a_specialty_are_not_the_forms(house: House) -> None:
    anna = await house.sign_up("anna")
    with pytest.raises(BadInput) as refusal:
        await house.review.apply(anna, claim(specialty=Specialty("999ZZ9999X", "Magic")))
    assert refusal.value.field == "specialty"
    await house.review.apply(anna, claim(specialty=Specialty("207rc0000x", "Chief of everything")))
    own = await house.review.current(anna)
    assert own is not None and own.claim.specialty == CARDIOLOGY


# Who may decide


async def test_nobody_decides_on_their_own_application(house: House) -> None:
    rita, _ = await house.accounts.add_member(
        "rita", "r@mail.example", "Rita", Role.PHYSICIAN, None, admin=True, by="operator"
    )
    id = await house.review.apply(rita, claim())
    desk = await house.review.look(id, by=rita)
    assert any("own application" in reason for reason in desk.blockers)
    for decide in (house.review.approve, house.review.refuse, house.review.ask):
        with pytest.raises(Forbidden, match="own application"):
            await decide(id, rita, "because")
    assert await standing(house, rita) is Standing.APPLIED


async def test_only_reviewers_see_and_decide(house: House) -> None:
    anna, bert = await house.sign_up("anna"), await house.verified("bert")
    id = await house.review.apply(anna, claim())
    # A session that says admin is not believed: the database is asked.
    for stranger in (bert, replace(bert, admin=True), replace(bert, id="nobody", admin=True)):
        for attempt in (
            house.review.approve(id, stranger, "friend"),
            house.review.refuse(id, stranger, "enemy"),
            house.review.look(id, by=stranger),
            house.review.queue(by=stranger),
        ):
            with pytest.raises(Forbidden):
                await attempt
    rita = await house.admin("rita")
    await house.accounts.suspend("rita", reason="left", by="operator")
    with pytest.raises(Forbidden):
        await house.review.approve(id, rita, "still here")
    assert await standing(house, anna) is Standing.APPLIED


async def test_unknown_applications(house: House) -> None:
    rita = await house.admin("rita")
    for attempt in (
        house.review.approve("x", rita, "r"),
        house.review.refuse("x", rita, "r"),
        house.review.look("x", by=rita),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_a_double_click_approves_once(any_house: House) -> None:
    house = any_house
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim())
    both = await asyncio.gather(*(house.review.approve(id, rita, "seen") for _ in range(3)))
    assert {view.state for view in both} == {State.APPROVED}
    assert await house.db.fetch_value("SELECT COUNT(*) FROM credentials") == 1
    assert await house.db.fetch_value("SELECT COUNT(*) FROM evidence") == 1
    assert house.told == [(NotificationKind.VERIFIED, anna.actor_id)]
    refused = await house.sign_up("bert")
    id = await house.review.apply(refused, claim(npi="1245319599"))
    await asyncio.gather(*(house.review.refuse(id, rita, "no") for _ in range(3)))
    assert len([told for told in house.told if told[0] is NotificationKind.REFUSED]) == 1


async def test_of_two_reviewers_at_once_the_second_is_told(any_house: House) -> None:
    house = any_house
    anna = await house.sign_up("anna")
    rita, otto = await house.admin("rita"), await house.admin("otto")
    id = await house.review.apply(anna, claim())
    results = await asyncio.gather(
        house.review.approve(id, rita, "seen"),
        house.review.refuse(id, otto, "not seen"),
        house.review.approve(id, otto, "seen too"),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Conflict) for result in results) >= 1
    state = (await house.review.look(id, by=rita)).application.state
    now = await standing(house, anna)
    assert (state, now) in {
        (State.APPROVED, Standing.VERIFIED), (State.REFUSED, Standing.REFUSED),
    }  # fmt: skip
    issued = await house.db.fetch_value("SELECT COUNT(*) FROM credentials")
    assert issued == (1 if state is State.APPROVED else 0)
    assert len(house.told) == 1


async def test_a_claim_changed_behind_the_reviewers_back_is_not_approved(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim())
    await house.review.ask(id, rita, "Sure?")
    from fedidoc.storage import applications

    honest = applications.get
    first = True

    async def get_then_change(reader: object, wanted: str) -> object:
        nonlocal first
        found = await honest(reader, wanted)  # type: ignore[arg-type]
        if first:
            first = False
            await house.review.apply(anna, claim(legal_name="Somebody Else"))
        return found

    monkeypatch.setattr(applications, "get", get_then_change)
    with pytest.raises(Conflict, match="changed the application"):
        await house.review.approve(id, rita, "as I saw it")
    assert await standing(house, anna) is Standing.APPLIED


# What blocks an approval


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"deactivated": "2020-01-01"}, "deactivated this number"),
        ({"entity_type": "2", "last_name": "GENERAL, INC"}, "belongs to GENERAL, INC"),
    ],
)
async def test_a_number_that_is_nobodys(house: House, changes: dict[str, str], words: str) -> None:
    await put_register_row(house, **changes)
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim())
    desk = await house.review.look(id, by=rita)
    assert words in desk.blockers[0]
    with pytest.raises(Conflict, match=words):
        await house.review.approve(id, rita, "whatever", [Kind.EMPLOYER])
    assert await standing(house, anna) is Standing.APPLIED
    assert (await house.actor(anna)).badge == NO_BADGE


async def test_a_register_match_needs_name_and_licence(house: House) -> None:
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim())
    desk = await house.review.look(id, by=rita)
    assert desk.asked == () and desk.listings == ()
    assert Kind.REGISTER not in desk.kinds
    await put_register_row(house, last_name="ANDERSON", first_name="PETER")
    assert Kind.REGISTER not in (await house.review.look(id, by=rita)).kinds
    await put_register_row(house, licences='[["778899", "NJ", ""]]')
    assert Kind.REGISTER not in (await house.review.look(id, by=rita)).kinds
    for kinds in ([Kind.REGISTER, Kind.DOCUMENT], [Kind.OPERATOR], [Kind.IDENTITY_PROVIDER]):
        with pytest.raises(BadInput) as refusal:
            await house.review.approve(id, rita, "it said so", kinds)
        assert refusal.value.field == "kinds"
    await house.review.approve(id, rita, "their chief called", [Kind.EMPLOYER])


async def test_a_number_that_somebody_else_was_verified_with(any_house: House) -> None:
    house = any_house
    anna, bert = await house.sign_up("anna"), await house.sign_up("bert")
    rita, otto = await house.admin("rita"), await house.admin("otto")
    ids = [await house.review.apply(anna, claim()), await house.review.apply(bert, claim())]
    desk = await house.review.look(ids[1], by=rita)
    assert [other.account.username for other in desk.same_npi] == ["anna"]
    assert desk.blockers == ()
    results = await asyncio.gather(
        house.review.approve(ids[0], rita, "one"),
        house.review.approve(ids[1], otto, "two"),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert await house.db.fetch_value("SELECT COUNT(*) FROM credentials") == 1
    # A suspended account does not hold the number for ever.
    winner = anna if await standing(house, anna) is Standing.VERIFIED else bert
    loser = ids[1] if winner is anna else ids[0]
    with pytest.raises(Conflict, match=f"{winner.username} is verified with the same NPI"):
        await house.review.approve(loser, rita, "again")
    await house.accounts.suspend(winner.username, reason="left", by="operator")
    await house.review.approve(loser, rita, "the number is free")


async def test_a_suspended_applicant(house: House) -> None:
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim())
    await house.accounts.suspend("anna", reason="spam", by="operator")
    with pytest.raises(Conflict, match="suspended"):
        await house.review.approve(id, rita, "seen")
    await house.review.refuse(id, rita, "spam")
    assert await standing(house, anna) is Standing.SUSPENDED


# The operator's own word


async def test_verified_by_the_operator(any_house: House) -> None:
    house = any_house
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    done = await house.review.verify_directly(anna.id, "personnel file 12", "operator")
    assert (done.state, done.decided_by) == (State.APPROVED, "operator")
    assert await standing(house, anna) is Standing.VERIFIED
    assert (await house.actor(anna)).badge.assurance == Assurance.VOUCHED.value
    desk = await house.review.look(done.id, by=rita)
    assert [(e.kind, e.detail) for e in desk.evidence] == [(Kind.OPERATOR, "personnel file 12")]
    assert ("operator", "application_approved", done.id) in await house.audit()
    with pytest.raises(Conflict, match="verified already"):
        await house.review.verify_directly(anna.id, "again", "operator")
    with pytest.raises(BadInput, match="Staff"):
        await house.review.verify_directly(rita.id, "nice", "operator")
    with pytest.raises(NotFound):
        await house.review.verify_directly("nobody", "who", "operator")
    bert = await house.sign_up("bert")
    with pytest.raises(BadInput):
        await house.review.verify_directly(bert.id, "", "operator")


async def test_the_operator_may_settle_an_open_application(house: House) -> None:
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim())
    assert (await house.review.verify_directly(anna.id, "known", "operator")).id == id
    own = await house.review.current(anna)
    assert own is not None and own.claim == claim()
    assert (await house.actor(anna)).badge.jurisdiction == "US-NY"


# Later


async def test_a_verification_ends_with_its_credential(house: House) -> None:
    anna = await house.verified("anna")
    house.clock.advance(200 * DAY)
    bert = await house.verified("bert")
    assert await house.review.lapse() == 0
    house.clock.advance(166 * DAY)
    assert await house.review.lapse() == 1
    assert await standing(house, anna) is Standing.NEW
    assert await standing(house, bert) is Standing.VERIFIED
    assert (await house.actor(anna)).badge == NO_BADGE
    assert await house.review.lapse() == 0
    await house.review.apply(anna, claim())


async def test_the_queue_comes_in_pages_longest_waiting_first(any_house: House) -> None:
    house = any_house
    rita = await house.admin("rita")
    numbers = ["1234567893", "1245319599", "2123456784"]
    names = ["cora", "anna", "bert"]
    for name, npi in zip(names, numbers, strict=True):
        await house.review.apply(await house.sign_up(name), claim(npi=npi))
    page = await house.review.queue(by=rita, limit=2)
    assert [a.account.username for a in page.items] == ["cora", "anna"]
    page = await house.review.queue(page=page.older, by=rita, limit=2)
    assert [a.account.username for a in page.items] == ["bert"] and page.older is None
    for nonsense in ("", "x", "1.", "²³.x", "9" * 99 + ".x"):
        assert len((await house.review.queue(page=nonsense, by=rita)).items) in (0, 3)
