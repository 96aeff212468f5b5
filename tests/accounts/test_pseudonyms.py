"""Pseudonyms as accounts of their own: the code, enrolling, the batch, logging in, sanctions."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from fedidoc.accounts import codes, escrow
from fedidoc.accounts.escrow import EscrowError
from fedidoc.accounts.pseudonyms import ends
from fedidoc.clock import DAY, HOUR
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound, NotSignedIn
from fedidoc.model import Account, Role
from fedidoc.storage import actors, moderation
from fedidoc.storage import pseudonyms as stored
from fedidoc.storage.pseudonyms import PseudonymStanding
from tests.house import ADDRESS, CARDIOLOGY, PASSWORD, House, any_house, house
from tests.nyms import CROWD, PASSPHRASE, Nyms

__all__ = ["any_house", "house"]

REASON = "Case 12 of the moderators: harassment"


@pytest.fixture
async def nyms(house: House) -> Nyms:
    return Nyms(house)


# The code -----------------------------------------------------------------------------------------


async def test_everybody_is_handed_one_code_a_year(nyms: Nyms) -> None:
    anna, bert, *_ = await nyms.crowd()
    assert await nyms.enrolment.code_is_due(anna)
    code = await nyms.enrolment.hand_out(anna)
    assert code is not None and len(code.replace("-", "")) == 72
    assert not await nyms.enrolment.code_is_due(anna)
    assert await nyms.enrolment.hand_out(anna) == code  # the page did not arrive
    assert await nyms.enrolment.hand_out(bert) != code
    nyms.house.clock.advance(2 * HOUR)
    await nyms.enrolment.hand_out(bert)
    assert await nyms.enrolment.hand_out(anna) is None
    nyms.house.clock.advance(366 * DAY)
    assert await nyms.enrolment.code_is_due(anna)


async def test_a_handed_out_code_leaves_nothing_but_that_it_was_handed_out(nyms: Nyms) -> None:
    anna, *_ = await nyms.crowd()
    before = await nyms.house.everything_stored()
    code = await nyms.enrolment.hand_out(anna)
    after = await nyms.house.everything_stored()
    changed = [(a, b) for a, b in zip(before.split("\n"), after.split("\n"), strict=True) if a != b]
    assert len(changed) == 1
    assert code is not None and code not in after
    digest = codes.digest(nyms.house.vault, nyms.enrolment.year, code)
    assert digest not in after


async def test_only_verified_clinicians_get_one(nyms: Nyms) -> None:
    new = await nyms.house.sign_up("zoe")
    rita = await nyms.house.admin()
    for account in (new, rita):
        assert not await nyms.enrolment.code_is_due(account)
        with pytest.raises(Forbidden):
            await nyms.enrolment.hand_out(account)


async def test_a_code_buys_one_pseudonym(nyms: Nyms) -> None:
    await nyms.enrol("anna", "quiet_heron")
    with pytest.raises(BadInput, match="used before"):
        await nyms.enrol("anna", "loud_heron")
    assert (await nyms.open()).opened == 1
    with pytest.raises(BadInput, match="used before"):
        await nyms.enrol("anna", "loud_heron")
    # Written otherwise it is the same code.
    code = await nyms.code("bert")
    await nyms.enrolment.enrol(code, "loud_heron", PASSPHRASE, address=ADDRESS)
    for typed in (code.upper(), code.replace("-", " "), code.replace("0", "o")):
        with pytest.raises(BadInput, match="used before"):
            await nyms.enrolment.enrol(typed, "third_heron", PASSPHRASE, address=ADDRESS)


async def test_codes_of_others_years_and_other_houses_buy_nothing(nyms: Nyms) -> None:
    anna, *_ = await nyms.crowd()
    year = nyms.enrolment.year
    right = codes.make(nyms.house.vault, year, anna.id)
    wrong = [
        codes.make(nyms.house.vault, year - 1, anna.id),
        codes.make(nyms.house.vault, year, "0" * 26),
        right[:-1], right + "0", "", "nonsense", "é" * 72, "0" * 72,
        ("1" if right[0] != "1" else "2") + right[1:],
    ]  # fmt: skip
    for code in wrong:
        with pytest.raises(BadInput) as refused:
            await nyms.enrolment.enrol(code, "quiet_heron", PASSPHRASE, address=ADDRESS)
        assert refused.value.field == "code"
        nyms.house.clock.advance(HOUR)


async def test_the_code_of_somebody_suspended_meanwhile_buys_nothing(nyms: Nyms) -> None:
    await nyms.crowd()
    code = await nyms.code("anna")
    await nyms.house.accounts.suspend("anna", reason="licence lapsed", by="operator")
    with pytest.raises(BadInput, match="nobody who is verified"):
        await nyms.enrolment.enrol(code, "quiet_heron", PASSPHRASE, address=ADDRESS)


# Enrolling ----------------------------------------------------------------------------------------


async def test_the_passphrase_is_not_the_password(nyms: Nyms) -> None:
    await nyms.crowd()
    code = await nyms.code("anna")
    with pytest.raises(BadInput, match="nowhere else"):
        await nyms.enrolment.enrol(code, "quiet_heron", PASSWORD, address=ADDRESS)


async def test_too_few_of_a_profession_hide_nobody(nyms: Nyms) -> None:
    await nyms.crowd(CROWD - 1)
    with pytest.raises(BadInput, match="Fewer than 5"):
        await nyms.enrolment.enrol(
            await nyms.code("anna"), "quiet_heron", PASSPHRASE, address=ADDRESS
        )


async def test_a_specialty_shows_only_where_enough_share_it(nyms: Nyms) -> None:
    await nyms.crowd()
    await nyms.house.sign_up("zoe", specialty=None)
    shown = await nyms.made("anna", "quiet_heron", show_specialty=True)
    assert shown.specialty == CARDIOLOGY and shown.profession is Role.PHYSICIAN
    hidden = await nyms.made("bert", "grey_falcon")
    assert hidden.specialty is None
    async with nyms.house.db.transaction() as tx:
        await tx.execute("UPDATE accounts SET specialty = NULL WHERE username = 'emil'")
    rare = await nyms.made("carla", "late_train", show_specialty=True)
    assert rare.specialty is None


async def test_nothing_opens_before_the_crowd_has_its_codes(nyms: Nyms) -> None:
    await nyms.crowd()
    code = await nyms.code("anna")
    await nyms.enrolment.enrol(code, "quiet_heron", PASSPHRASE, address=ADDRESS)
    assert (await nyms.open()).waiting == 1
    with pytest.raises(Forbidden, match="tomorrow"):
        await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)
    for name in ("bert", "carla", "dirk", "emil"):
        await nyms.code(name)
    assert (await nyms.open()).opened == 1
    assert (await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)).token


async def test_what_is_public_says_the_month(nyms: Nyms) -> None:
    pseudonym = await nyms.made("anna", "quiet_heron")
    actor = await actors.get(nyms.house.db, pseudonym.actor_id)
    assert actor is not None
    first = datetime.fromtimestamp(actor.created / 1000, UTC)
    assert (first.day, first.hour, first.minute, first.microsecond) == (1, 0, 0, 0)
    assert actor.refreshed == actor.created
    assert actor.pseudonymous and not actor.discoverable and actor.badge.sealed
    assert actor.name == actor.username == "quiet_heron"
    row = await nyms.house.db.fetch_one(
        "SELECT document FROM credentials WHERE actor_id = ?", (actor.id,)
    )
    assert row is not None
    document = json.loads(row["document"])
    subject = document["credentialSubject"]
    assert subject == {
        "id": actor.uri, "profession": "physician", "assurance": "vouched", "identity": "sealed",
    }  # fmt: skip
    assert document["validFrom"].endswith("-01T00:00:00Z")
    assert document["validUntil"].endswith("-02-01T00:00:00Z")
    assert document["proof"]["created"].endswith("-01T00:00:00Z")


async def test_a_handle_that_a_member_took_meanwhile_gets_a_number(nyms: Nyms) -> None:
    await nyms.enrol("anna", "quiet_heron")
    await nyms.house.sign_up("quiet_heron", name="Zed")
    await nyms.open()
    assert [p.handle for p in await stored.every(nyms.house.db)] == ["quiet_heron_2"]


# Logging in ---------------------------------------------------------------------------------------


async def test_a_pseudonym_logs_in_as_itself(nyms: Nyms) -> None:
    await nyms.made("anna", "quiet_heron")
    done = await nyms.accounts.log_in("@Quiet_Heron ", PASSPHRASE, address=ADDRESS)
    session = await nyms.accounts.session(done.token)
    assert session is not None and session.csrf == done.csrf
    account = session.account
    assert account.pseudonymous and account.verified and account.username == "quiet_heron"
    assert await nyms.house.accounts.session(done.token) is None  # a store of its own
    await nyms.accounts.log_out(done.token)
    assert await nyms.accounts.session(done.token) is None
    for handle, passphrase in (("quiet_heron", PASSWORD), ("nobody", PASSPHRASE)):
        with pytest.raises(NotSignedIn):
            await nyms.accounts.log_in(handle, passphrase, address=ADDRESS)
    with pytest.raises(NotSignedIn):
        await nyms.house.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)


async def test_a_session_says_no_finer_time_than_a_day(nyms: Nyms) -> None:
    await nyms.made("anna", "quiet_heron")
    nyms.house.clock.advance(7 * HOUR + 123)
    await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)
    rows = await nyms.house.db.fetch_all("SELECT * FROM pseudonym_sessions")
    assert [row["expires"] % DAY for row in rows] == [0]


async def test_a_recovery_code_sets_a_new_passphrase_once(nyms: Nyms) -> None:
    recovery = await nyms.enrol("anna", "quiet_heron")
    await nyms.open()
    old = await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)
    fresh = "quite another sentence"
    done = await nyms.accounts.recover(
        "quiet_heron", recovery[3].upper().replace("-", " "), fresh, address=ADDRESS
    )
    assert await nyms.accounts.session(old.token) is None
    assert await nyms.accounts.session(done.token) is not None
    with pytest.raises(NotSignedIn):
        await nyms.accounts.recover("quiet_heron", recovery[3], fresh, address=ADDRESS)
    overview = await nyms.accounts.overview(done.account)
    assert overview.recovery_codes == 7
    again = await nyms.accounts.replace_recovery_codes(done.account)
    assert len(set(again)) == 8
    with pytest.raises(NotSignedIn):
        await nyms.accounts.recover("quiet_heron", recovery[4], fresh, address=ADDRESS)


async def test_it_runs_out_and_is_renewed_with_the_next_code(nyms: Nyms) -> None:
    pseudonym = await nyms.made("anna", "quiet_heron")
    clock = nyms.house.clock
    clock.advance(ends(pseudonym.year) - clock.now() - DAY)
    done = await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)
    assert done.account.verified
    for name in ("anna", "bert", "carla", "dirk", "emil"):
        await nyms.code(name)
    clock.advance(2 * DAY)
    session = await nyms.accounts.session(done.token)
    assert session is not None and not session.account.verified  # reads nothing
    code = codes.make(nyms.house.vault, nyms.enrolment.year, (await nyms.crowd())[0].id)
    await nyms.enrolment.renew(session.account, code)
    assert (await nyms.activation.run()).renewed == 1
    session = await nyms.accounts.session(done.token)
    assert session is not None and session.account.verified
    with pytest.raises(BadInput, match="keep the code"):
        await nyms.enrolment.renew(session.account, code)
    assert len(await stored.records(nyms.house.db, pseudonym.id)) == 2


# Sanctions and the sealed link --------------------------------------------------------------------


async def moderators(nyms: Nyms) -> tuple[Account, Account]:
    return await nyms.house.admin("rita"), await nyms.house.admin("sam")


async def approved(nyms: Nyms, handle: str) -> str:
    rita, sam = await moderators(nyms)
    asked = await nyms.openings.ask(handle, REASON, by=rita)
    await nyms.openings.approve(asked.id, by=sam)
    return asked.id


async def shares(nyms: Nyms, case: str, *officers: str) -> list[str]:
    document = await nyms.openings.file_for_officers(case)
    record = escrow.read(json.dumps(document["records"][0]))
    return [
        escrow.write_share(escrow.open_share(record, name, nyms.keys[name])) for name in officers
    ]


async def test_two_moderators_and_k_officers_learn_whose_it_is(nyms: Nyms) -> None:
    await nyms.made("carla", "quiet_heron")
    case = await approved(nyms, "quiet_heron")
    account, done = await nyms.openings.open(case, await shares(nyms, case, "cleo", "ada"))
    assert account.username == "carla" and not done.withheld
    with pytest.raises(Conflict):
        await nyms.openings.open(case, await shares(nyms, case, "cleo", "ada"))


async def test_no_case_opens_without_a_second_moderator(nyms: Nyms) -> None:
    await nyms.made("carla", "quiet_heron")
    rita, sam = await moderators(nyms)
    with pytest.raises(Forbidden):
        await nyms.openings.ask("quiet_heron", REASON, by=(await nyms.crowd())[0])
    asked = await nyms.openings.ask("quiet_heron", REASON, by=rita)
    with pytest.raises(Forbidden, match="Two moderators"):
        await nyms.openings.approve(asked.id, by=rita)
    with pytest.raises(Conflict, match="approved first"):
        await nyms.openings.file_for_officers(asked.id)
    with pytest.raises(Conflict):
        await nyms.openings.open(asked.id, [])
    await nyms.openings.refuse(asked.id, by=sam)
    with pytest.raises(Conflict):
        await nyms.openings.approve(asked.id, by=sam)


async def test_one_share_or_another_pseudonyms_open_nothing(nyms: Nyms) -> None:
    await nyms.made("carla", "quiet_heron")
    await nyms.made("dirk", "grey_falcon")
    case = await approved(nyms, "quiet_heron")
    rita = await nyms.house.accounts.show("rita")
    sam = await nyms.house.accounts.show("sam")
    second = await nyms.openings.ask("grey_falcon", REASON, by=rita)
    await nyms.openings.approve(second.id, by=sam)
    one = await shares(nyms, case, "ada")
    with pytest.raises(EscrowError, match="2 different"):
        await nyms.openings.open(case, [*one, *one])
    others = await shares(nyms, second.id, "ada", "ben")
    with pytest.raises(EscrowError, match="another record"):
        await nyms.openings.open(case, others)
    with pytest.raises(EscrowError, match="another record"):
        await nyms.openings.open(case, [one[0], others[1]])
    assert (await nyms.openings.requests())[0].state.value == "approved"


async def test_the_log_tells_the_case_and_not_the_person(nyms: Nyms) -> None:
    await nyms.made("carla", "quiet_heron")
    carla = await nyms.house.accounts.show("carla")
    case = await approved(nyms, "quiet_heron")
    await nyms.openings.open(case, await shares(nyms, case, "ben", "ada"))
    rows = [row async for row in moderation.export(nyms.house.db)]
    assert await moderation.verify(nyms.house.db) is None
    told = [(row.action, row.subject) for row in rows[-3:]]
    assert told == [
        ("escrow_asked", case), ("escrow_approved", case), ("escrow_opened", case),
    ]  # fmt: skip
    assert rows[-1].detail["officers"] == ["ada", "ben"] and rows[-1].detail["told"] is True
    opened = next(row for row in rows if row.action == "pseudonyms_opened")
    assert dict(opened.detail) == {"opened": 1, "renewed": 0} and opened.at % DAY == 0
    late = [json.dumps(dict(row.detail)) + row.subject for row in rows if row.number > opened.number
            or row.action.startswith(("pseudonym", "escrow"))]  # fmt: skip
    assert not any(carla.id in text or "carla" in text for text in late)


async def test_the_member_is_told_unless_the_law_forbids(nyms: Nyms) -> None:
    await nyms.made("carla", "quiet_heron")
    done = await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)
    case = await approved(nyms, "quiet_heron")
    await nyms.openings.open(case, await shares(nyms, case, "ben", "ada"))
    assert [n[0] for n in (await nyms.accounts.overview(done.account)).notices] == ["opened"]
    await nyms.made("dirk", "grey_falcon")
    rita, sam = [await nyms.house.accounts.show(n) for n in ("rita", "sam")]
    second = await nyms.openings.ask("grey_falcon", REASON, by=rita)
    await nyms.openings.approve(second.id, by=sam)
    await nyms.openings.open(
        second.id, await shares(nyms, second.id, "ben", "ada"), withhold="Section 7 of the act"
    )
    silent = await nyms.accounts.log_in("grey_falcon", PASSPHRASE, address=ADDRESS)
    assert (await nyms.accounts.overview(silent.account)).notices == ()
    facts = await nyms.openings.transparency()
    assert facts.openings == ((nyms.enrolment.year, "opened", 2, 1),)
    assert facts.threshold == 2 and len(facts.organisations) == 3


async def test_a_suspended_pseudonym_is_gone_for_its_year(nyms: Nyms) -> None:
    await nyms.made("carla", "quiet_heron")
    done = await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)
    await nyms.openings.warn("quiet_heron", "Please stay with the case.", by="operator")
    await nyms.openings.mute("quiet_heron", REASON, by="operator")
    session = await nyms.accounts.session(done.token)
    assert session is not None and session.muted
    after = await nyms.openings.suspend("quiet_heron", REASON, by="operator")
    assert after.standing is PseudonymStanding.SUSPENDED
    assert await nyms.accounts.session(done.token) is None
    with pytest.raises(Forbidden, match="harassment"):
        await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)
    for again in (nyms.openings.unmute, nyms.openings.suspend, nyms.openings.warn):
        with pytest.raises(Conflict):
            await again("quiet_heron", REASON, by="operator")
    actor = await actors.get(nyms.house.db, after.actor_id)
    assert actor is not None and actor.suspended and not actor.badge.verified
    with pytest.raises(BadInput, match="used before"):
        await nyms.enrol("carla", "new_heron")
    with pytest.raises(NotFound):
        await nyms.openings.mute("nobody", REASON, by="operator")


async def test_officers_change_without_anything_being_opened(nyms: Nyms) -> None:
    await nyms.made("carla", "quiet_heron")
    await nyms.made("dirk", "grey_falcon")
    heirs = Nyms(nyms.house, keys={**nyms.keys, "fay": next(iter(nyms.keys.values()))})
    # A key of its own for the successor, who stands in the configuration now.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    keys = {"ada": nyms.keys["ada"], "cleo": nyms.keys["cleo"], "fay": X25519PrivateKey.generate()}
    heirs = Nyms(nyms.house, keys=keys)
    fay = next(o for o in heirs.enrolment.officers if o.name == "fay")
    records = await heirs.openings.records_of("ben")
    assert len(records) == 2
    after = [escrow.hand_over(r, "ben", nyms.keys["ben"], fay) for r in records]
    assert await heirs.openings.take_over(after, by="operator") == 2
    assert await heirs.openings.records_of("ben") == []
    case = await approved(heirs, "quiet_heron")
    account, _ = await heirs.openings.open(case, await shares(heirs, case, "fay", "cleo"))
    assert account.username == "carla"
    # What is not a mere handing over is refused whole.
    swapped = escrow.read(escrow.write(after[0]).replace(after[0].id, after[1].id))
    with pytest.raises(EscrowError, match="does not fit"):
        await heirs.openings.take_over([after[1], swapped], by="operator")


# Both databases -----------------------------------------------------------------------------------


async def test_it_works_on_both_databases(any_house: House) -> None:
    nyms = Nyms(any_house)
    await nyms.made("anna", "quiet_heron", show_specialty=True, jitter=True)
    done = await nyms.accounts.log_in("quiet_heron", PASSPHRASE, address=ADDRESS)
    session = await nyms.accounts.session(done.token)
    assert session is not None and session.jitter and session.account.specialty == CARDIOLOGY
    await nyms.openings.mute("quiet_heron", REASON, by="operator")
    case = await approved(nyms, "quiet_heron")
    account, _ = await nyms.openings.open(case, await shares(nyms, case, "ben", "ada"))
    assert account.username == "anna"
    assert (await nyms.openings.transparency()).openings[0][2:] == (1, 0)
    assert (await nyms.accounts.overview(done.account)).recovery_codes == 8
