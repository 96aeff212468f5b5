"""The desk: what stands against an application, two pairs of eyes, notes, and the queue's order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fedidoc.clock import DAY, HOUR
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import Account, NotificationKind, Role, Standing
from fedidoc.storage import people
from fedidoc.verification.claims import licence_key
from fedidoc.verification.desk import Desk, State
from fedidoc.verification.evidence import Assurance, EvidenceKind
from fedidoc.verification.leie import import_leie
from fedidoc.verification.policy import Policy
from fedidoc.verification.urgency import Cause, reasons, score
from tests.house import House, claim
from tests.verification.test_exclusions import record, write

K = EvidenceKind
NPI, OTHER = "1234567893", "1245319599"


async def standing(house: House, account: Account) -> Standing:
    return (await house.accounts.show(account.username)).standing


async def applied(house: House, name: str = "anna", **changes: object) -> str:
    return await house.review.apply(await house.sign_up(name), claim(**changes))


# Exclusion lists


async def on_a_list(house: House, folder: Path, **values: str) -> None:
    await import_leie(house.db, house.clock, write(folder / "UPDATED.csv", record(**values)))


async def test_nothing_is_approved_before_every_hit_is_judged(
    any_house: House, tmp_path: Path
) -> None:
    house = any_house
    await on_a_list(house, tmp_path, NPI=NPI)
    id, rita = await applied(house), await house.admin("rita")
    desk = await house.review.look(id, by=rita)
    (hit,) = desk.hits
    assert hit.open and hit.hit.certain and desk.lists_loaded
    with pytest.raises(Conflict, match="exclusion list"):
        await house.review.approve(id, rita, "seen", [K.EMPLOYER])
    for words, wrong in (("  ", BadInput), ("x" * 1001, BadInput)):
        with pytest.raises(wrong) as refusal:
            await house.review.judge(id, rita, hit.key, words)
        assert refusal.value.field == "judgement"
    with pytest.raises(NotFound):
        await house.review.judge(id, rita, "0" * 32, "another one")
    await house.review.judge(id, rita, hit.key, "Reinstated, letter of Oct 3 seen.")
    (judged,) = (await house.review.look(id, by=rita)).hits
    assert judged.judgement is not None and not judged.open
    assert (judged.judgement.by, judged.judgement.words) == (
        "rita", "Reinstated, letter of Oct 3 seen.",
    )  # fmt: skip
    assert "letter of Oct" not in await house.everything_stored()
    assert (rita.id, "exclusion_judged", id) in await house.audit()
    done = await house.review.approve(id, rita, "seen", [K.EMPLOYER])
    assert done.state is State.APPROVED
    with pytest.raises(Conflict, match="approved already"):
        await house.review.judge(id, rita, hit.key, "after all")


async def test_a_judgement_is_of_one_claim(house: House, tmp_path: Path) -> None:
    await on_a_list(house, tmp_path, NPI=NPI)
    anna = await house.sign_up("anna")
    id, rita = await house.review.apply(anna, claim()), await house.admin("rita")
    (hit,) = (await house.review.look(id, by=rita)).hits
    await house.review.judge(id, rita, hit.key, "Not she: another birth date.")
    await house.review.ask(id, rita, "Your middle name?")
    await house.review.apply(anna, claim(legal_name="Anna Q. Muller"))
    assert all(h.open for h in (await house.review.look(id, by=rita)).hits)


async def test_what_has_ended_stands_in_nobodys_way(house: House, tmp_path: Path) -> None:
    await on_a_list(house, tmp_path, NPI=NPI, REINDATE="20250101")
    id, rita = await applied(house), await house.admin("rita")
    desk = await house.review.look(id, by=rita)
    assert [h.open for h in desk.hits] == [False] and desk.blockers == ()
    await house.review.approve(id, rita, "seen")


async def test_an_identity_provider_does_not_pass_a_list_by(house: House, tmp_path: Path) -> None:
    await on_a_list(house, tmp_path, NPI=NPI)
    house.use_policy(Policy.of({}, automatic=["identity_provider"]))
    anna = await house.sign_up("anna")
    async with house.db.transaction() as tx:
        await house.review.records.record(
            tx, anna.id, K.IDENTITY_PROVIDER, detail="staff 12", by="idp"
        )
        assert not await house.review.settle(tx, anna.id, "idp", claim())
    assert await standing(house, anna) is Standing.APPLIED
    rita = await house.admin("rita")
    (item,) = (await house.review.worklist(by=rita)).items
    assert [reason.cause for reason in item.reasons] == [Cause.HIT, Cause.CONFIRMED]


async def test_what_the_provider_says_takes_the_place_of_what_was_typed(house: House) -> None:
    house.use_policy(Policy.of({}, automatic=["identity_provider"]))
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim(profession=Role.PHYSICIAN, note="hello"))
    async with house.db.transaction() as tx:
        await house.review.records.record(
            tx, anna.id, K.IDENTITY_PROVIDER, detail="resident", by="idp"
        )
        said = claim(profession=Role.RESIDENT, specialty=None, npi="", licence_number="")
        assert await house.review.settle(tx, anna.id, "idp", said)
    now = await house.accounts.show("anna")
    assert (now.role, now.level) == (Role.RESIDENT, "trainee")
    own = await house.review.current(anna)
    assert own is not None and (own.id, own.claim.note) == (id, "hello")
    # Without a claim of its own it verifies nobody as something else than their account says.
    bert = await house.sign_up("bert", role=Role.RESIDENT)
    await house.review.apply(bert, claim(profession=Role.PHYSICIAN, npi=OTHER))
    async with house.db.transaction() as tx:
        await house.review.records.record(tx, bert.id, K.IDENTITY_PROVIDER, detail="x", by="idp")
        assert not await house.review.settle(tx, bert.id, "idp")
    assert await standing(house, bert) is Standing.APPLIED


# The same licence twice


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("MD-778899", "md 778899", True),
        ("0012345", "12345", True),
        ("MD 0012", "MD12", True),
        ("1200", "12", False),
        ("MD-778899", "778899", False),
    ],
)
def test_one_spelling_for_one_licence(one: str, other: str, same: bool) -> None:
    keys = [licence_key(claim(licence_number=number)) for number in (one, other)]
    assert (keys[0] == keys[1]) is same
    assert licence_key(claim(licence_number=one, jurisdiction="US-NJ")) != keys[0]
    assert licence_key(claim(licence_number=" - ")) == ""


async def test_the_same_licence_is_found_and_given_once(any_house: House) -> None:
    house = any_house
    ids = [
        await applied(house, "anna"),
        await applied(house, "bert", npi=OTHER, licence_number="md 778899"),
    ]
    rita, otto = await house.admin("rita"), await house.admin("otto")
    desk = await house.review.look(ids[1], by=rita)
    assert [other.account.username for other in desk.same_licence] == ["anna"]
    assert desk.same_npi == () and desk.blockers == ()
    causes = [[r.cause for r in i.reasons] for i in (await house.review.worklist(by=rita)).items]
    assert causes == [[Cause.DUPLICATE], [Cause.DUPLICATE]]
    results = await asyncio.gather(
        house.review.approve(ids[0], rita, "one"),
        house.review.approve(ids[1], otto, "two"),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert await house.db.fetch_value("SELECT COUNT(*) FROM credentials") == 1


async def test_licences_of_older_applications_become_findable(house: House) -> None:
    first = await applied(house, "anna")
    await applied(house, "bert", npi="", licence_number="", profession=Role.STUDENT)
    async with house.db.transaction() as tx:
        await tx.execute("UPDATE applications SET licence_mac = NULL")
    second = await applied(house, "cora", npi=OTHER)
    await house.review.remember_licences()
    rita = await house.admin("rita")
    assert [a.id for a in (await house.review.look(second, by=rita)).same_licence] == [first]


# Evidence as a set


async def test_what_is_held_and_what_is_seen_count_together(house: House) -> None:
    anna = await house.sign_up("anna")
    id, rita = await house.review.apply(anna, claim()), await house.admin("rita")
    with pytest.raises(BadInput, match="gives no level") as refusal:
        await house.review.approve(id, rita, "saw a card", [K.DOCUMENT])
    assert refusal.value.field == "kinds"
    assert await standing(house, anna) is Standing.APPLIED
    assert (await house.review.look(id, by=rita)).evidence == ()
    async with house.db.transaction() as tx:
        await house.review.records.record(tx, anna.id, K.REGISTER, detail="row 7", by="register")
    desk = await house.review.look(id, by=rita)
    (way,) = [w for w in desk.ways if K.DOCUMENT in w.needed]
    assert way.needed == (K.REGISTER, K.DOCUMENT) and way.missing == (K.DOCUMENT,)
    await house.review.approve(id, rita, "saw a card", [K.DOCUMENT])
    assert (await house.actor(anna)).badge.assurance == Assurance.REGISTER.value


async def test_evidence_on_file_alone_may_be_enough(house: House) -> None:
    anna = await house.sign_up("anna")
    id, rita = await house.review.apply(anna, claim()), await house.admin("rita")
    async with house.db.transaction() as tx:
        await house.review.records.record(
            tx, anna.id, K.INSTITUTIONAL_EMAIL, detail="x@st-olaf.example", by="mail"
        )
    await house.review.approve(id, rita, "That suffices.", [])
    assert (await house.actor(anna)).badge.assurance == Assurance.INSTITUTIONAL_EMAIL.value


async def test_another_claim_than_the_one_that_was_seen_is_not_approved(house: House) -> None:
    anna = await house.sign_up("anna")
    id, rita = await house.review.apply(anna, claim()), await house.admin("rita")
    seen = (await house.review.look(id, by=rita)).application.digest
    await house.review.ask(id, rita, "Sure?")
    await house.review.apply(anna, claim(legal_name="Somebody Else"))
    with pytest.raises(Conflict, match="changed the application"):
        await house.review.approve(id, rita, "as I saw it", seen=seen)
    now = (await house.review.look(id, by=rita)).application.digest
    await house.review.approve(id, rita, "as I see it", seen=now)


# Four eyes


async def look(house: House, id: str, by: Account) -> Desk:
    return await house.review.look(id, by=by)


async def test_two_see_what_one_sees(any_house: House) -> None:
    house = any_house
    house.use_policy(Policy.of({}), four_eyes=True)
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim())
    rita, otto = await house.admin("rita"), await house.admin("otto")
    for _ in range(3):  # nobody confirms their own, however often
        view = await house.review.approve(id, rita, "called them", [K.EMPLOYER])
        assert view.state is State.APPLIED
    assert await standing(house, anna) is Standing.APPLIED
    assert house.told == [] and (await look(house, id, rita)).evidence == ()
    proposal = (await look(house, id, otto)).proposal
    assert proposal is not None
    assert (proposal.by, proposal.kinds, proposal.words) == ("rita", (K.EMPLOYER,), "called them")
    assert "called them" not in await house.everything_stored()
    assert [r[1] for r in await house.audit() if r[1].startswith("application_p")] == [
        "application_proposed"
    ]
    (item,) = (await house.review.worklist(by=rita, cause=Cause.PROPOSED)).items
    assert item.application.id == id
    done = await house.review.approve(id, otto, "called too", [K.EMPLOYER])
    assert (done.state, done.decided_by) == (State.APPROVED, "otto")
    desk = await look(house, id, otto)
    (held,) = desk.evidence
    assert (held.kind, held.recorded_by) == (K.EMPLOYER, rita.id)
    assert held.detail == "called them\nConfirmed by otto: called too"
    assert desk.proposal is None
    assert [step.action for step in desk.history] == [
        "application_filed", "application_proposed", "application_approved",
    ]  # fmt: skip
    assert house.told == [(NotificationKind.VERIFIED, anna.actor_id)]


async def test_other_evidence_is_another_proposal(house: House) -> None:
    house.use_policy(Policy.of({}), four_eyes=True)
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim())
    rita, otto = await house.admin("rita"), await house.admin("otto")
    await house.review.approve(id, rita, "called", [K.EMPLOYER])
    await house.review.approve(id, otto, "I only know her", [K.VOUCHES])
    proposal = (await look(house, id, rita)).proposal
    assert proposal is not None and (proposal.by, proposal.kinds) == ("otto", (K.VOUCHES,))
    await house.review.approve(id, otto, "again", [K.VOUCHES])
    assert await standing(house, anna) is Standing.APPLIED
    await house.review.approve(id, rita, "so do I", [K.VOUCHES])
    assert (await house.actor(anna)).badge.assurance == Assurance.VOUCHED.value


async def test_a_proposal_falls_with_its_reviewer_or_its_claim(any_house: House) -> None:
    house = any_house
    house.use_policy(Policy.of({}), four_eyes=True)
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim())
    rita, otto = await house.admin("rita"), await house.admin("otto")
    cleo = await house.admin("cleo")

    async def proposes(by: Account) -> None:
        await house.review.approve(id, by, "seen", [K.EMPLOYER])
        assert (await look(house, id, cleo)).proposal is not None

    # Demoted meanwhile: what the first one said counts no longer.
    await proposes(rita)
    async with house.db.transaction() as tx:
        await people.set_admin(tx, rita.id, False)
    assert (await look(house, id, otto)).proposal is None
    assert (await house.review.approve(id, otto, "seen", [K.EMPLOYER])).state is State.APPLIED
    # Suspended meanwhile.
    await house.accounts.suspend("otto", reason="left", by="operator")
    assert (await house.review.approve(id, cleo, "seen", [K.EMPLOYER])).state is State.APPLIED
    # Asked, and answered with another claim.
    async with house.db.transaction() as tx:
        await people.set_admin(tx, rita.id, True)
    await house.review.ask(id, rita, "Which name?")
    await house.review.apply(anna, claim(legal_name="Anna Else"))
    assert (await look(house, id, rita)).proposal is None
    assert (await house.review.approve(id, rita, "seen", [K.EMPLOYER])).state is State.APPLIED
    assert await standing(house, anna) is Standing.APPLIED
    assert (await house.review.approve(id, cleo, "seen", [K.EMPLOYER])).state is State.APPROVED


async def test_a_changed_row_is_no_confirmation(house: House) -> None:
    """A proposal that was written for another claim, as if somebody had kept it in the table."""
    house.use_policy(Policy.of({}), four_eyes=True)
    id = await applied(house)
    rita, otto = await house.admin("rita"), await house.admin("otto")
    await house.review.approve(id, rita, "seen", [K.EMPLOYER])
    async with house.db.transaction() as tx:
        await tx.execute("UPDATE proposals SET claim_digest = ?", ("0" * 64,))
    assert (await house.review.approve(id, otto, "seen", [K.EMPLOYER])).state is State.APPLIED


async def test_an_applicant_who_reviews_proposes_nothing_for_themselves(house: House) -> None:
    house.use_policy(Policy.of({}), four_eyes=True)
    rita, _ = await house.accounts.add_member(
        "rita", "r@mail.example", "Rita", Role.PHYSICIAN, None, admin=True, by="operator"
    )
    id = await house.review.apply(rita, claim())
    with pytest.raises(Forbidden):
        await house.review.approve(id, rita, "me", [K.EMPLOYER])
    otto = await house.admin("otto")
    await house.review.approve(id, otto, "seen", [K.EMPLOYER])
    with pytest.raises(Forbidden):
        await house.review.approve(id, rita, "me", [K.EMPLOYER])
    with pytest.raises(Forbidden):
        await house.review.note(id, rita, "what a good physician")
    assert await standing(house, rita) is Standing.APPLIED


async def test_the_setting_may_change_in_between(house: House) -> None:
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim())
    rita = await house.admin("rita")
    house.use_policy(Policy.of({}), four_eyes=True)
    await house.review.approve(id, rita, "seen", [K.EMPLOYER])
    house.use_policy(Policy.of({}))
    assert (await house.review.approve(id, rita, "seen", [K.EMPLOYER])).state is State.APPROVED
    assert await house.db.fetch_value("SELECT COUNT(*) FROM proposals") == 0


async def test_policy_may_change_in_between(house: House) -> None:
    id = await applied(house)
    rita, otto = await house.admin("rita"), await house.admin("otto")
    house.use_policy(Policy.of({}), four_eyes=True)
    await house.review.approve(id, rita, "seen", [K.VOUCHES])
    strict = replace(Policy.of({}).levels[0], evidence=(frozenset({K.EMPLOYER}),))
    house.use_policy(Policy((strict,)), four_eyes=True)
    with pytest.raises(BadInput, match="gives no level"):
        await house.review.approve(id, otto, "seen", [K.VOUCHES])


async def test_many_at_once_decide_once(any_house: House) -> None:
    house = any_house
    house.use_policy(Policy.of({}), four_eyes=True)
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim())
    reviewers = [await house.admin(name) for name in ("rita", "otto", "cleo")]
    results = await asyncio.gather(
        *(house.review.approve(id, by, "seen", [K.EMPLOYER]) for by in reviewers * 2),
        return_exceptions=True,
    )
    assert all(isinstance(r, Conflict) or not isinstance(r, BaseException) for r in results)
    assert await standing(house, anna) is Standing.VERIFIED
    assert await house.db.fetch_value("SELECT COUNT(*) FROM credentials") == 1
    (held,) = (await look(house, id, reviewers[0])).evidence
    first, second = held.detail.splitlines()
    assert first == "seen" and "Confirmed by" in second
    witness = next(by for by in reviewers if by.id == held.recorded_by)
    assert f"Confirmed by {witness.username}" not in second
    assert len(house.told) == 1


# Notes


async def test_notes_are_for_reviewers(house: House) -> None:
    id, rita = await applied(house), await house.admin("rita")
    bert = await house.verified("bert")
    await house.review.note(id, rita, "I know the chief there.\r\n\tAsk her.")
    desk = await look(house, id, rita)
    assert [(n.by, n.words) for n in desk.notes] == [("rita", "I know the chief there.\n Ask her.")]
    assert "chief there" not in await house.everything_stored()
    for attempt in (
        house.review.note(id, bert, "x"),
        house.review.judge(id, bert, "0" * 32, "x"),
        house.review.worklist(by=bert),
    ):
        with pytest.raises(Forbidden):
            await attempt
    with pytest.raises(NotFound):
        await house.review.note("x", rita, "x")
    with pytest.raises(BadInput):
        await house.review.note(id, rita, "\n")


# The queue


def test_reasons_and_their_weights() -> None:
    now = 1_000 * DAY
    assert reasons(now, now - 3 * DAY) == ()
    (long,) = reasons(now, now - 4 * DAY)
    assert (long.cause, long.words, long.weight) == (Cause.WAITING, "Waiting 4 days", 20)
    (old,) = reasons(now, 0)
    assert old.weight == 100  # no more, but more than any one cause
    (soon,) = reasons(now, now, ends=[now - 1, now + 40 * DAY, now + 1, now + 29 * DAY])
    assert soon.words == "Evidence runs out in 1 day"
    everything = reasons(
        now, 0, hits=2, duplicates=1, proposed=True, confirmed=True, ends=[now + DAY]
    )
    assert {reason.cause for reason in everything} == set(Cause)
    assert [r.weight for r in everything] == sorted((r.weight for r in everything), reverse=True)
    assert score(everything) == sum(r.weight for r in everything)


async def test_the_most_urgent_comes_first_and_then_the_longest_waiting(
    any_house: House, tmp_path: Path
) -> None:
    house = any_house
    await on_a_list(house, tmp_path, NPI=OTHER)
    rita = await house.admin("rita")
    for name, npi, licence in (("anna", NPI, "A-1"), ("bert", "2123456784", "B-2")):
        await applied(house, name, npi=npi, licence_number=licence)
        house.clock.advance(HOUR)
    last = await applied(house, "cora", npi=OTHER, licence_number="C-3", profession=Role.RESIDENT)
    page = await house.review.worklist(by=rita)
    assert [i.application.account.username for i in page.items] == ["cora", "anna", "bert"]
    assert page.states[State.APPLIED] == 3 and page.causes == {Cause.HIT: 1}
    assert page.roles == {Role.PHYSICIAN: 2, Role.RESIDENT: 1}
    only = await house.review.worklist(by=rita, role=Role.RESIDENT)
    assert [i.application.id for i in only.items] == [last] and only.roles == page.roles
    assert (await house.review.worklist(by=rita, cause=Cause.DUPLICATE)).items == ()
    await house.review.ask(last, rita, "Why?")
    assert (await house.review.worklist(by=rita)).states[State.ASKED] == 1
    asked = await house.review.worklist(State.ASKED, by=rita)
    assert [i.application.id for i in asked.items] == [last]
    # Who waits longest is not overtaken for ever.
    house.clock.advance(20 * DAY)
    assert (await house.review.worklist(by=rita)).items[0].score == 100
    for nonsense in ("", "x", "-1", "²", "9" * 99):
        assert len((await house.review.worklist(page=nonsense, by=rita)).items) == 2


async def test_a_long_queue_comes_in_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedidoc.verification import worklist

    monkeypatch.setattr(worklist, "PAGE", 2)
    rita = await house.admin("rita")
    for number, name in enumerate(("anna", "bert", "cora"), 1):
        await applied(house, name, npi="", jurisdiction="DE", licence_number=f"D-{number}")
    first = await house.review.worklist(by=rita)
    assert [i.application.account.username for i in first.items] == ["anna", "bert"]
    second = await house.review.worklist(page=first.older, by=rita)
    assert [i.application.account.username for i in second.items] == ["cora"]
    assert second.older is None and second.roles == first.roles
