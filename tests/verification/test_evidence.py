"""Evidence is recorded, counts while it stands, and moves levels."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fedidoc.clock import DAY
from fedidoc.config import LevelRules
from fedidoc.errors import NotFound
from fedidoc.model import NO_BADGE, Account, NotificationKind, Right, Role, Standing
from fedidoc.storage import migrate as migrations
from fedidoc.storage.engine import Database
from fedidoc.verification.desk import State
from fedidoc.verification.evidence import Assurance, EvidenceKind
from fedidoc.verification.policy import Policy
from tests.house import House, claim

K = EvidenceKind


async def record(house: House, account: Account, *kinds: K, until: int | None = None) -> list[str]:
    async with house.db.transaction() as tx:
        return [
            await house.review.records.record(
                tx, account.id, kind, detail=f"saw {kind.value}", by="register", valid_until=until
            )
            for kind in kinds
        ]


async def settle(house: House, account: Account) -> bool:
    async with house.db.transaction() as tx:
        return await house.review.settle(tx, account.id, "idp")


async def held(house: House, account: Account) -> list[tuple[K, str]]:
    found = await house.review.records.held(house.db, account.id)
    return sorted((item.kind, item.detail) for item in found)


async def test_recorded_held_and_withdrawn(any_house: House) -> None:
    house = any_house
    anna, bert = await house.sign_up("anna"), await house.sign_up("bert")
    first, second = await record(house, anna, K.REGISTER, K.VOUCHES)
    assert await held(house, anna) == [
        (K.REGISTER, "saw register"),
        (K.VOUCHES, "saw vouches"),
    ]
    assert await held(house, bert) == []
    assert "saw register" not in await house.everything_stored()
    async with house.db.transaction() as tx:
        await house.review.records.withdraw(tx, first, by=bert.id, reason="a mistake")
    assert await held(house, anna) == [(K.VOUCHES, "saw vouches")]
    for id in (first, "unknown"):
        with pytest.raises(NotFound):
            async with house.db.transaction() as tx:
                await house.review.records.withdraw(tx, id, by=bert.id, reason="again")
    assert await house.audit() == [
        ("register", "evidence_recorded", anna.id),
        ("register", "evidence_recorded", anna.id),
        (bert.id, "evidence_withdrawn", anna.id),
    ]
    assert "a mistake" not in await house.everything_stored()
    assert second


async def test_nothing_is_recorded_by_a_transaction_that_fails(house: House) -> None:
    anna = await house.sign_up("anna")
    with pytest.raises(RuntimeError):
        async with house.db.transaction() as tx:
            await house.review.records.record(tx, anna.id, K.EMPLOYER, detail="x", by="test")
            raise RuntimeError
    assert await held(house, anna) == []
    assert await house.audit() == []


async def test_evidence_runs_out(house: House) -> None:
    anna = await house.sign_up("anna")
    await record(house, anna, K.EMPLOYER, until=house.clock.now() + DAY)
    house.clock.advance(DAY - 1)
    assert len(await held(house, anna)) == 1
    house.clock.advance(1)
    assert await held(house, anna) == []


# What follows


def automatic(house: House, *texts: str) -> None:
    house.use_policy(Policy.of({}, automatic=texts))


@pytest.mark.parametrize(
    ("texts", "kinds", "verified"),
    [
        (["identity_provider"], [K.IDENTITY_PROVIDER], True),
        (["identity_provider"], [K.EMPLOYER], False),
        ([], [K.IDENTITY_PROVIDER], False),
        (["register+document"], [K.REGISTER], False),
        (["register+document"], [K.DOCUMENT, K.REGISTER], True),
        (["vouches"], [], False),
    ],
)
async def test_what_needs_nobody_to_decide(
    house: House, texts: list[str], kinds: Sequence[K], verified: bool
) -> None:
    automatic(house, *texts)
    anna = await house.sign_up("anna")
    await record(house, anna, *kinds)
    assert await settle(house, anna) is verified
    now = await house.accounts.show("anna")
    assert now.standing is (Standing.VERIFIED if verified else Standing.NEW)
    assert now.may(Right.READ) is verified
    assert (await house.actor(anna)).badge.verified is verified
    assert house.told == ([(NotificationKind.VERIFIED, anna.actor_id)] if verified else [])


async def test_an_open_application_is_approved_by_it(any_house: House) -> None:
    house = any_house
    automatic(house, "identity_provider")
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim())
    await record(house, anna, K.IDENTITY_PROVIDER)
    assert await settle(house, anna)
    own = await house.review.current(anna)
    assert own is not None and (own.id, own.state) == (id, State.APPROVED)
    badge = (await house.actor(anna)).badge
    assert (badge.assurance, badge.jurisdiction) == (Assurance.EMPLOYER.value, "US-NY")
    assert ("idp", "application_approved", id) in await house.audit()


async def test_not_while_something_stands_against_it(house: House) -> None:
    automatic(house, "identity_provider")
    bert = await house.sign_up("bert")
    await house.review.apply(bert, claim())
    await house.review.verify_directly(bert.id, "known", "operator")
    anna = await house.sign_up("anna")
    await house.review.apply(anna, claim())
    await record(house, anna, K.IDENTITY_PROVIDER)
    assert not await settle(house, anna)
    await house.accounts.suspend("anna", reason="x", by="operator")
    assert not await settle(house, anna)
    rita = await house.admin("rita")
    await record(house, rita, K.IDENTITY_PROVIDER)
    assert not await settle(house, rita)


async def test_a_verified_members_level_follows_the_evidence(house: House) -> None:
    anna = await house.verified("anna")
    assert (anna.level, anna.may(Right.VOUCH)) == ("verified", True)
    before = (await house.actor(anna)).badge
    assert before.assurance == Assurance.VOUCHED.value
    house.clock.advance(DAY)
    [better] = await record(house, anna, K.EMPLOYER)
    assert await settle(house, anna)
    badge = (await house.actor(anna)).badge
    assert badge.assurance == Assurance.EMPLOYER.value
    assert badge.credential != before.credential
    assert badge.valid_until == before.valid_until
    # The same evidence again changes nothing, and tells no peers.
    told = await house.events()
    assert await settle(house, anna)
    assert await house.events() == told
    async with house.db.transaction() as tx:
        await house.review.records.withdraw(tx, better, by="idp", reason="left")
        assert await house.review.settle(tx, anna.id, "idp")
    assert (await house.actor(anna)).badge.assurance == Assurance.VOUCHED.value
    [known] = await house.review.records.held(house.db, anna.id)
    async with house.db.transaction() as tx:
        await house.review.records.withdraw(tx, known.id, by="idp", reason="not they")
        assert not await house.review.settle(tx, anna.id, "idp")
    now = await house.accounts.show("anna")
    assert (now.standing, now.level, now.may(Right.READ)) == (Standing.NEW, None, False)
    assert (await house.actor(anna)).badge == NO_BADGE
    assert ("idp", "verification_ended", anna.id) in await house.audit()


async def test_a_change_of_policy_moves_levels(any_house: House) -> None:
    house = any_house
    anna = await house.verified("anna")
    rena = await house.sign_up("rena", role=Role.RESIDENT)
    await house.review.verify_directly(rena.id, "known", "operator")
    assert (await house.accounts.show("rena")).level == "trainee"
    assert await house.review.standings.follow_policy() == 0
    house.use_policy(Policy.of({
        "employed": LevelRules(("physician",), ("employer",), ("read", "answer", "open")),
        "guests": LevelRules(("physician",), ("operator",), ("read",)),
    }))  # fmt: skip
    assert await house.review.standings.follow_policy() == 2
    now = await house.accounts.show("anna")
    assert (now.level, now.may(Right.READ), now.may(Right.ANSWER)) == ("guests", True, False)
    # Whom no level fits keeps the credential, which is true, and may do nothing here.
    stranded = await house.accounts.show("rena")
    assert stranded.verified and stranded.level is None
    assert not any(stranded.may(right) for right in Right)
    assert (await house.actor(rena)).badge.verified
    assert await house.review.standings.follow_policy() == 0
    assert ("fedidoc", "level_changed", anna.id) in await house.audit()


# Instances that are older than accounts' evidence


async def test_old_evidence_is_kept_by_account(any_database: Database) -> None:
    house = await House(any_database).start()
    anna = await house.sign_up("anna")
    id = await house.review.apply(anna, claim())
    sealed = house.vault.seal(b"saw the card", f"evidence of application {id}")
    async with any_database.transaction() as tx:
        for statement in (
            "DROP TABLE evidence", "DROP TABLE proposals", "DROP TABLE application_notes",
            "DROP TABLE disposed_hits", "DROP INDEX accounts_standing",
            "DROP INDEX applications_licence", "DROP INDEX audit_subject",
            "DROP INDEX audit_action", "ALTER TABLE accounts DROP COLUMN level",
            "ALTER TABLE accounts DROP COLUMN rights",
            "ALTER TABLE applications DROP COLUMN licence_mac",
        ):  # fmt: skip
            await tx.execute(statement)
        text = migrations._text("0001_foundation.sql")
        for statement in migrations.statements(text, tx.dialect):
            if "evidence" in statement.split("(")[0]:
                await tx.execute(statement)
        await tx.insert_many(
            "evidence",
            ("id", "application_id", "kind", "assurance", "detail_sealed", "recorded",
             "recorded_by"),
            [
                ("e1", id, "register_and_document", "register", sealed, 1, "rita"),
                ("e2", id, "employer", "employer", sealed, 2, "rita"),
            ],
        )  # fmt: skip
        text = migrations._text("0003_evidence.sql")
        for statement in migrations.statements(text, tx.dialect):
            await tx.execute(statement)
    found = await house.review.records.held(any_database, anna.id)
    assert sorted((e.kind, e.detail, e.recorded, e.recorded_by) for e in found) == [
        (K.DOCUMENT, "saw the card", 1, "rita"),
        (K.EMPLOYER, "saw the card", 2, "rita"),
        (K.REGISTER, "saw the card", 1, "rita"),
    ]
    house.accounts.close()
