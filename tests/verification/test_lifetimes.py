"""The life of a member's credential."""

from __future__ import annotations

import json

import pytest

from fedidoc.clock import DAY, HOUR
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import Account, NotificationKind, Specialty, Standing
from fedidoc.storage import credentials as table
from fedidoc.storage import moderation, spans
from fedidoc.verification.checks import check_status_list
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.status import StatusBits
from tests.house import House, any_house, claim, house

__all__ = ["any_house", "house"]

NEURO = Specialty("2084N0400X", "Neurology")


async def ask(house: House, account: Account, **changes: object) -> str:
    given = {
        "holds": True, "specialty": account.specialty, "jurisdiction": "", "note": "", **changes,
    }  # fmt: skip
    return await house.lifetimes.ask(account, **given)  # type: ignore[arg-type]


async def places(house: House) -> list[bool]:
    """Of each credential that was ever issued, oldest first, whether it stands as revoked."""
    bits = await listed(house)
    rows = await house.db.fetch_all("SELECT status_index FROM credentials ORDER BY issued, id")
    return [bits.is_set(row["status_index"]) for row in rows]


async def listed(house: House) -> StatusBits:
    return check_status_list(
        json.dumps(await house.credentials.status_list()).encode(), uri=house.urls.status_list,
        trusted=await house.credentials.own_issuer(), now=house.clock.now(),
    )  # fmt: skip


async def announced(house: House) -> None:
    """The Update goes out, as the outbox would write it down, and one peer has not taken it."""
    now = house.clock.now()
    actor = await house.db.fetch_value("SELECT actor_id FROM credentials LIMIT 1")
    async with house.db.transaction() as tx:
        await tx.execute("DELETE FROM events")
        await tx.execute(
            "INSERT INTO activities (id, uri, actor_id, type, object_uri, audience, body, created)"
            " VALUES ('u', 'u', ?, 'Update', 'x', '', '', ?)",
            (actor, now),
        )
        await tx.execute(
            "INSERT INTO deliveries (id, activity_id, actor_id, host, inbox, next_at, created)"
            " VALUES ('d', 'u', ?, 'away.example', 'x', ?, ?)",
            (actor, now, now),
        )


async def near_the_end(house: House, name: str = "anna", days: int = 20) -> Account:
    account = await house.verified(name)
    house.clock.advance((365 - days) * DAY)
    return account


async def test_a_renewal_from_the_first_reminder_to_the_retired_credential(
    any_house: House,
) -> None:
    house = any_house
    anna, rita = await near_the_end(house), await house.admin()
    before = (await house.actor(anna)).badge
    await ask(house, anna, specialty=NEURO, jurisdiction="US-NY", note="New licence in New York.")
    (waiting,) = await house.lifetimes.asked(rita)
    ending, row, note = waiting
    assert (ending.account.username, row.changed, note) == (
        "anna",
        True,
        "New licence in New York.",
    )
    await house.lifetimes.renew("anna", rita, credential_id=ending.credential_id)
    after = (await house.actor(anna)).badge
    assert after.verified and after.credential != before.credential
    assert (after.specialty, after.jurisdiction) == (NEURO, "US-NY")
    assert after.valid_until == (house.clock.now() + 365 * DAY) // 1000 * 1000
    assert (await house.accounts.show("anna")).specialty == NEURO
    assert house.told[-1] == (NotificationKind.RENEWED, anna.actor_id)
    assert await house.lifetimes.asked(rita) == ()
    # No gap: the old one stands until the new one is announced, and an hour more.
    await house.lifetimes.watch()
    assert await places(house) == [False, False]
    await announced(house)
    async with house.db.transaction() as tx:
        await tx.execute("UPDATE deliveries SET state = 'done'")
    house.clock.advance(HOUR - 1)
    await house.lifetimes.watch()
    assert await places(house) == [False, False], "peers are still reading what they took"
    async with house.db.transaction() as tx:
        await tx.execute("UPDATE deliveries SET state = 'waiting'")
    house.clock.advance(HOUR)
    await house.lifetimes.watch()
    assert await places(house) == [False, False], "a peer has not taken the Update yet"
    async with house.db.transaction() as tx:
        await tx.execute("UPDATE deliveries SET state = 'done'")
    await house.lifetimes.watch()
    assert await places(house) == [True, False]
    assert (await house.actor(anna)).badge == after
    assert await moderation.verify(house.db) is None
    assert (rita.id, "verification_renewed", anna.id) in await house.audit()
    held = (await spans.of(house.db, [anna.actor_id]))[anna.actor_id]
    assert [span.ended for span in held] == [None], "one span without a gap"


async def test_a_peer_that_is_away_does_not_keep_the_old_one_alive(house: House) -> None:
    anna = await near_the_end(house)
    await house.lifetimes.renew("anna", "operator")
    await announced(house)
    house.clock.advance(2 * DAY)
    await house.lifetimes.watch()
    assert await places(house) == [True, False]
    assert (await house.actor(anna)).badge.verified


async def test_revoking_takes_both_the_renewed_and_the_one_before(house: House) -> None:
    await near_the_end(house)
    await house.lifetimes.renew("anna", "operator")
    await house.lifetimes.revoke("anna", reason="licence lost", by="operator")
    assert await places(house) == [True, True]


async def test_reminded_60_30_and_7_days_before(any_house: House) -> None:
    house = any_house
    anna = await house.verified("anna")
    await house.verified("bela")
    until = (await house.actor(anna)).badge.valid_until
    assert until is not None
    told: list[int] = []
    while house.clock.now() < until - HOUR:
        house.clock.advance(6 * HOUR)
        house.told.clear()
        await house.lifetimes.watch()
        if (NotificationKind.RENEWAL_DUE, anna.actor_id) in house.told:
            told.append((until - house.clock.now()) // DAY)
    assert told in ([60, 30, 7], [59, 29, 6])
    letters = [text for account_id, _, text in house.letters if account_id == anna.id]
    assert len(letters) == 3
    assert all("https://st-olaf.example/renewal" in text for text in letters)


async def test_an_instance_that_was_down_reminds_once(house: House) -> None:
    anna = await near_the_end(house, days=5)
    house.told.clear()
    await house.lifetimes.watch()
    await house.lifetimes.watch()
    assert house.told == [(NotificationKind.RENEWAL_DUE, anna.actor_id)]


async def test_who_has_asked_is_not_reminded(house: House) -> None:
    anna = await near_the_end(house, days=20)
    await house.lifetimes.watch()
    await ask(house, anna)
    house.told.clear()
    house.clock.advance(14 * DAY)
    await house.lifetimes.watch()
    assert house.told == []


async def test_a_short_credential_is_not_reminded_of_at_once(house: House) -> None:
    house.credentials._valid = 30 * DAY
    await house.verified("anna")
    house.told.clear()
    await house.lifetimes.watch()
    assert house.told == []


async def test_asking_too_early_twice_or_without_confirming(house: House) -> None:
    anna = await house.verified("anna")
    with pytest.raises(Conflict, match="from"):
        await ask(house, anna)
    house.clock.advance(300 * DAY)
    with pytest.raises(BadInput, match="Confirm"):
        await ask(house, anna, holds=False)
    with pytest.raises(BadInput):
        await ask(house, anna, jurisdiction="the moon")
    with pytest.raises(BadInput):
        await ask(house, anna, note="x" * 1001)
    await ask(house, anna)
    with pytest.raises(Conflict, match="already"):
        await ask(house, anna)
    await house.lifetimes.withdraw(anna)
    with pytest.raises(Conflict):
        await house.lifetimes.withdraw(anna)
    await ask(house, anna)
    nora = await house.sign_up("nora")
    with pytest.raises(Conflict, match="nothing to renew"):
        await ask(house, nora)


async def test_a_second_click_renews_nothing(any_house: House) -> None:
    house = any_house
    await near_the_end(house)
    rita = await house.admin()
    (ending,) = (await house.lifetimes.calendar(rita)).items
    await house.lifetimes.renew("anna", rita, credential_id=ending.credential_id)
    with pytest.raises(Conflict, match="meanwhile"):
        await house.lifetimes.renew("anna", rita, credential_id=ending.credential_id)
    assert await house.db.fetch_value("SELECT COUNT(*) FROM credentials") == 2


async def test_only_other_reviewers_renew_and_see(house: House) -> None:
    anna = await near_the_end(house)
    async with house.db.transaction() as tx:
        await tx.execute("UPDATE accounts SET admin = 1 WHERE id = ?", (anna.id,))
    anna = await house.accounts.show("anna")
    with pytest.raises(Forbidden, match="their own"):
        await house.lifetimes.renew("anna", anna)
    bela = await house.verified("bela")
    for work in (
        house.lifetimes.renew("anna", bela),
        house.lifetimes.decline("anna", bela, "no"),
        house.lifetimes.calendar(bela),
        house.lifetimes.asked(bela),
    ):
        with pytest.raises(Forbidden):
            await work
    with pytest.raises(NotFound):
        await house.lifetimes.renew("nobody", anna)


async def test_nothing_is_renewed_on_evidence_that_is_gone(house: House) -> None:
    anna = await house.verified("anna")
    async with house.db.transaction() as tx:
        (held,) = await house.review.records.held(tx, anna.id)
        await house.review.records.record(
            tx, anna.id, EvidenceKind.INSTITUTIONAL_EMAIL, detail="seen", by="operator",
            valid_until=house.clock.now() + 350 * DAY,
        )  # fmt: skip
        await house.review.records.withdraw(tx, held.id, by="operator", reason="a mistake")
    house.clock.advance(340 * DAY)
    rita = await house.admin()
    (ending,) = (await house.lifetimes.calendar(rita)).items
    assert ending.evidence_until is not None
    house.clock.advance(11 * DAY)
    with pytest.raises(Conflict, match="run out"):
        await house.lifetimes.renew("anna", rita)
    assert (await house.actor(anna)).badge.verified


async def test_a_renewal_says_the_assurance_of_what_is_still_held(house: House) -> None:
    anna = await near_the_end(house)
    async with house.db.transaction() as tx:
        await house.review.records.record(
            tx, anna.id, EvidenceKind.EMPLOYER, detail="seen", by="operator"
        )
    await house.lifetimes.renew("anna", "operator")
    assert (await house.actor(anna)).badge.assurance == "employer"


async def test_declined_with_a_reason_and_the_credential_holds_to_its_end(house: House) -> None:
    anna, rita = await near_the_end(house), await house.admin()
    with pytest.raises(Conflict):
        await house.lifetimes.decline("anna", rita, "No licence in the register.")
    await ask(house, anna)
    with pytest.raises(BadInput):
        await house.lifetimes.decline("anna", rita, " ")
    await house.lifetimes.decline("anna", rita, "No licence in the register.")
    life = await house.lifetimes.of(anna)
    assert life is not None and life.asked is not None
    assert (life.asked.state, life.asked.reason) == ("declined", "No licence in the register.")
    assert (await house.actor(anna)).badge.verified
    await ask(house, anna)
    house.clock.advance(21 * DAY)
    assert await house.review.lapse() == 1
    assert await house.lifetimes.of(anna) is None


async def test_taken_back_and_given_back(any_house: House) -> None:
    house = any_house
    anna = await house.verified("anna")
    until = (await house.actor(anna)).badge.valid_until
    house.clock.advance(40 * DAY)
    with pytest.raises(BadInput):
        await house.lifetimes.revoke("anna", reason=" ", by="operator")
    taken = await house.lifetimes.revoke("anna", reason="licence lapsed", by="operator")
    assert (taken.standing, taken.level) == (Standing.REFUSED, None)
    assert not (await house.actor(anna)).badge.verified
    with pytest.raises(Conflict):
        await house.lifetimes.revoke("anna", reason="again", by="operator")
    house.clock.advance(DAY)
    back = await house.lifetimes.give_back("anna", by="operator")
    badge = (await house.actor(anna)).badge
    assert back.standing is Standing.VERIFIED and back.level == "verified"
    assert badge.verified and badge.valid_until == until
    with pytest.raises(Conflict):
        await house.lifetimes.give_back("anna", by="operator")
    held = (await spans.of(house.db, [anna.actor_id]))[anna.actor_id]
    assert [span.ended is None for span in held] == [False, True]
    actions = [action for _, action, subject in await house.audit() if subject == anna.id]
    assert actions[-2:] == ["credential_revoked", "credential_restored"]


async def test_nothing_is_given_back_that_was_never_taken(house: House) -> None:
    await house.verified("anna")
    bela = await house.sign_up("bela")
    rita = await house.admin()
    application = await house.review.apply(bela, claim())
    await house.review.refuse(application, rita, "no such licence")
    for name in ("anna", "bela"):
        with pytest.raises(Conflict):
            await house.lifetimes.give_back(name, by="operator")
    with pytest.raises(NotFound):
        await house.lifetimes.give_back("rita", by="operator")


async def test_a_credential_that_was_taken_back_stays_so_whatever_signs_in(house: House) -> None:
    """Evidence that verifies by itself does not undo a person's decision."""
    from fedidoc.verification.policy import Policy

    house.use_policy(Policy.of({}, automatic=["identity_provider"]))
    anna = await house.verified("anna")
    await house.lifetimes.revoke("anna", reason="licence lapsed", by="operator")
    async with house.db.transaction() as tx:
        await house.review.records.record(
            tx, anna.id, EvidenceKind.IDENTITY_PROVIDER, detail="signed in", by="sso"
        )
        assert not await house.review.settle(tx, anna.id, "sso")
    assert not (await house.actor(anna)).badge.verified


async def test_the_calendar_comes_in_pages_soonest_first(any_house: House) -> None:
    house = any_house
    rita = await house.admin()
    for name in ("anna", "bela", "cleo"):
        await house.verified(name)
        house.clock.advance(DAY)
    await house.sign_up("nora")
    first = await house.lifetimes.calendar(rita, limit=2)
    second = await house.lifetimes.calendar(rita, page=first.older, limit=2)
    names = [e.account.username for e in (*first.items, *second.items)]
    assert names == ["anna", "bela", "cleo"]
    assert second.older is None
    await house.accounts.suspend("bela", reason="inquiry", by="operator")
    await house.lifetimes.revoke("cleo", reason="gone", by="operator")
    left = await house.lifetimes.calendar(rita)
    assert [e.account.username for e in left.items] == ["anna"]
    assert (await house.lifetimes.calendar(rita, within=30 * DAY)).items == ()


async def test_a_note_is_stored_sealed(house: House) -> None:
    anna = await near_the_end(house)
    await ask(house, anna, note="Zqxjknote")
    rows = await house.db.fetch_all("SELECT * FROM renewals")
    assert "Zqxjknote" not in repr([tuple(row) for row in rows])
    assert await table.latest_of(house.db, anna.actor_id)
