"""Registers and the desk together, and the monthly look again at who was verified."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from fedidoc.clock import DAY, HOUR
from fedidoc.config import RegisterFile
from fedidoc.errors import BadInput, ConfigError, Conflict, Forbidden, NotFound
from fedidoc.model import Account, Standing
from fedidoc.storage import moderation, people
from fedidoc.verification.evidence import EvidenceKind as Kind
from fedidoc.verification.fhir import import_fhir
from fedidoc.verification.leie import import_leie
from fedidoc.verification.national import NationalRegister, import_national
from fedidoc.verification.recheck import Cause
from tests.house import House, any_house, claim, house
from tests.verification.test_exclusions import record, write
from tests.verification.test_fhir import bundle, practitioner
from tests.verification.test_review import NPI, put_register_row

__all__ = ["any_house", "house"]

BOARD = NationalRegister.of(
    "board",
    RegisterFile(
        "US-NY", {"number": "No", "name": "Name", "status": "Status", "expires": "Until"}, "Board",
        numbers="digits", active=("Active",),
    ),
)  # fmt: skip


def day(house: House, days: int) -> str:
    """A date so many days from the house's today."""
    at = house.clock.now() + days * DAY
    return dt.datetime.fromtimestamp(at / 1000, dt.UTC).date().isoformat()


async def board(house: House, folder: Path, status: str = "Active", days: int = 100) -> None:
    """The board's register, imported anew with one entry."""
    if not house.national:
        house.national = (BOARD,)
        house.use_policy(house.policy)
    house.clock.advance(1000)
    path = folder / "board.csv"
    path.write_text(f"No,Name,Status,Until\n778899,Anna Lindqvist,{status},{day(house, days)}\n")
    await import_national(house.db, house.clock, path, register=BOARD)
    house.clock.advance(1000)


async def verified(house: House, *kinds: Kind, **changes: Any) -> tuple[Account, Account, str]:
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim(**changes))
    await house.review.approve(id, rita, "seen", kinds or (Kind.DOCUMENT, Kind.REGISTER))
    return await house.accounts.show("anna"), rita, id


async def causes(house: House, by: Account) -> list[Cause]:
    return [flag.cause for flag in await house.recheck.open_flags(by)]


async def standing(house: House, username: str = "anna") -> Standing:
    return (await house.accounts.show(username)).standing


async def deeds(house: House) -> list[str]:
    return [row.action async for row in moderation.export(house.db)]


# The desk


async def test_a_credential_ends_when_the_licence_does(house: House, tmp_path: Path) -> None:
    await put_register_row(house)
    await board(house, tmp_path, days=100)
    anna, _, _ = await verified(house)
    actor = await house.actor(anna)
    end = dt.datetime.fromisoformat(day(house, 100)).replace(tzinfo=dt.UTC)
    assert actor.badge.valid_until == int(end.timestamp()) * 1000 + DAY
    held = {e.kind: e.valid_until for e in await house.review.records.held(house.db, anna.id)}
    assert held == {Kind.REGISTER: actor.badge.valid_until, Kind.DOCUMENT: None}


@pytest.mark.parametrize(("status", "days"), [("Erased", 100), ("Active", -1)])
async def test_a_licence_that_is_not_in_force_cannot_be_approved(
    house: House, tmp_path: Path, status: str, days: int
) -> None:
    await board(house, tmp_path, status, days)
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim())
    desk = await house.review.look(id, by=rita)
    assert len(desk.blockers) == 1 and desk.blockers[0].startswith("Board: ")
    assert Kind.REGISTER not in desk.kinds
    with pytest.raises(Conflict, match="Board"):
        await house.review.approve(id, rita, "their chief called", [Kind.EMPLOYER])


async def test_a_renewal_ends_with_the_licence_and_needs_one(house: House, tmp_path: Path) -> None:
    await board(house, tmp_path, days=30)
    anna, rita, _ = await verified(house, Kind.EMPLOYER)
    await house.lifetimes.renew("anna", rita)
    first = (await house.actor(anna)).badge.valid_until
    await board(house, tmp_path, days=200)
    await house.lifetimes.renew("anna", rita)
    actor = await house.actor(anna)
    assert actor.badge.valid_until is not None and first is not None
    assert actor.badge.valid_until - first == 170 * DAY
    await board(house, tmp_path, "Suspended")
    with pytest.raises(Conflict, match="Board"):
        await house.lifetimes.renew("anna", rita)


# The look again


async def test_who_is_as_before_is_not_flagged_and_not_asked_again(any_house: House) -> None:
    house = any_house
    await put_register_row(house)
    _, rita, _ = await verified(house)
    assert await house.recheck.look_again() == 1
    assert await causes(house, rita) == []
    assert await house.recheck.look_again() == 0
    house.clock.advance(30 * DAY + 1)
    assert await house.recheck.look_again() == 1


async def test_a_deactivated_number_is_flagged_once(any_house: House, tmp_path: Path) -> None:
    house = any_house
    await put_register_row(house)
    anna, rita, id = await verified(house)
    await house.recheck.look_again()
    await put_register_row(house, updated="2026-01-01", deactivated="2026-02-03")
    house.clock.advance(31 * DAY)
    for _ in range(3):
        await house.recheck.look_again()
        house.clock.advance(31 * DAY)
    (flag,) = await house.recheck.open_flags(rita)
    assert (flag.cause, flag.account.id, flag.application_id) == (Cause.DEACTIVATED, anna.id, id)
    assert "NPPES" in flag.words and await house.recheck.waiting() == 1
    assert await standing(house) is Standing.VERIFIED
    assert (await deeds(house)).count("member_flagged") == 1
    stored = await house.db.fetch_all("SELECT * FROM flags")
    assert "NPPES" not in repr([tuple(row) for row in stored])
    # Looked at and settled, it does not come back; another deactivation is another finding.
    house.clock.advance(HOUR)
    await house.recheck.settle(flag.id, rita, "A clerical error; CMS mends it.")
    with pytest.raises(Conflict):
        await house.recheck.settle(flag.id, rita, "again")
    house.clock.advance(31 * DAY)
    await house.recheck.look_again()
    assert await causes(house, rita) == []
    await put_register_row(house, updated="2026-01-01", deactivated="2026-05-05")
    house.clock.advance(31 * DAY)
    await house.recheck.look_again()
    assert await causes(house, rita) == [Cause.DEACTIVATED]
    assert await moderation.verify(house.db) is None


async def test_a_newer_file_has_everybody_compared_again(house: House, tmp_path: Path) -> None:
    await board(house, tmp_path)
    _, rita, _ = await verified(house)
    assert await house.recheck.look_again() == 1
    await board(house, tmp_path, "Suspended")
    assert await house.recheck.look_again() == 1
    assert await causes(house, rita) == [Cause.NOT_ACTIVE]
    assert await house.recheck.look_again() == 0
    # Restored, the flag goes by itself; suspended again, it is raised again.
    await board(house, tmp_path)
    await house.recheck.look_again()
    assert await causes(house, rita) == []
    await board(house, tmp_path, "Suspended")
    await house.recheck.look_again()
    assert await causes(house, rita) == [Cause.NOT_ACTIVE]
    assert (await deeds(house))[-3:] == ["member_flagged", "flag_gone", "member_flagged"]


async def test_an_expired_licence_and_one_that_no_register_has_any_more(
    house: House, tmp_path: Path
) -> None:
    await board(house, tmp_path, days=100)
    _, rita, _ = await verified(house)
    await board(house, tmp_path, days=-1)
    await house.recheck.look_again()
    assert await causes(house, rita) == [Cause.EXPIRED]
    house.clock.advance(1000)
    path = tmp_path / "board.csv"
    path.write_text(f"No,Name,Status,Until\n1,Bo Ek,Active,{day(house, 9)}\n")
    await import_national(house.db, house.clock, path, register=BOARD)
    house.clock.advance(1000)
    await house.recheck.look_again()
    assert await causes(house, rita) == [Cause.MISSING]


async def test_exclusions_certain_and_possible(house: House, tmp_path: Path) -> None:
    _, rita, _ = await verified(house, Kind.EMPLOYER)
    bert = await house.sign_up("bert")
    born = {"birth_date": "1965-05-17", "npi": "1679576722", "licence_number": "5"}
    id = await house.review.apply(bert, claim(legal_name="Robert Quill", **born))
    await house.review.approve(id, rita, "their chief called", [Kind.EMPLOYER])
    path = write(tmp_path / "UPDATED.csv", record(NPI=NPI, LASTNAME="ELSE"), record())
    await import_leie(house.db, house.clock, path)
    house.clock.advance(1000)
    await house.recheck.look_again()
    found = {f.account.username: f for f in await house.recheck.open_flags(rita)}
    assert {name: f.cause for name, f in found.items()} == {
        "anna": Cause.EXCLUDED,
        "bert": Cause.POSSIBLY_EXCLUDED,
    }
    assert "licence revoked" in found["anna"].words
    assert await standing(house) is Standing.VERIFIED
    # A reinstatement takes the flag away.
    ended = record(NPI=NPI, LASTNAME="ELSE", REINDATE="20260901")
    await import_leie(house.db, house.clock, write(tmp_path / "2609REIN.csv", ended))
    house.clock.advance(1000)
    await house.recheck.look_again()
    assert [f.account.username for f in await house.recheck.open_flags(rita)] == ["bert"]


async def test_who_left_the_house_is_flagged(house: House, tmp_path: Path) -> None:
    staff = bundle(tmp_path / "staff.json", practitioner())
    await import_fhir(house.db, house.clock, staff, vault=house.vault)
    _, rita, id = await verified(house, Kind.EMPLOYER)
    desk = await house.review.look(id, by=rita)
    assert [x.kind for x in desk.listings] == [Kind.EMPLOYER]
    house.clock.advance(1000)
    bundle(staff, practitioner(active=False))
    await import_fhir(house.db, house.clock, staff, vault=house.vault)
    house.clock.advance(1000)
    await house.recheck.look_again()
    assert await causes(house, rita) == [Cause.LEFT]


async def test_what_the_configuration_says_is_revoked_by_itself(
    any_house: House, tmp_path: Path
) -> None:
    house = any_house
    await put_register_row(house)
    anna, rita, _ = await verified(house)
    house.recheck = house.make_recheck("deactivated", "excluded")
    path = write(tmp_path / "UPDATED.csv", record(LASTNAME="LINDQVIST", FIRSTNAME="ANNA"))
    await import_leie(house.db, house.clock, path)
    house.clock.advance(1000)
    await house.recheck.look_again()
    # A possible hit is nobody's end.
    assert await causes(house, rita) == [Cause.POSSIBLY_EXCLUDED]
    assert await standing(house) is Standing.VERIFIED
    await put_register_row(house, updated="2026-01-01", deactivated="2026-02-03")
    house.clock.advance(31 * DAY)
    await house.recheck.look_again()
    assert await standing(house) is Standing.NEW
    assert not (await house.actor(anna)).badge.verified
    assert (await deeds(house))[-2:] == ["member_flagged", "verification_stopped"]
    assert await house.recheck.look_again() == 0
    with pytest.raises(ConfigError, match="possibly"):
        house.make_recheck("possibly_excluded")


async def test_two_workers_and_a_killed_one_raise_a_flag_once(
    any_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = any_house
    await put_register_row(house)
    _, rita, _ = await verified(house)
    await put_register_row(house, updated="2026-01-01", deactivated="2026-02-03")

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    from fedidoc.storage import flags

    with monkeypatch.context() as patched:
        patched.setattr(flags, "set_checked", die)
        with pytest.raises(asyncio.CancelledError):
            await house.recheck.look_again()
    assert await causes(house, rita) == []
    await asyncio.gather(*(house.recheck.look_again() for _ in range(3)))
    assert await causes(house, rita) == [Cause.DEACTIVATED]
    assert (await deeds(house)).count("member_flagged") == 1


async def test_only_other_reviewers_settle(house: House) -> None:
    await put_register_row(house)
    anna, rita, _ = await verified(house)
    await put_register_row(house, updated="2026-01-01", deactivated="2026-02-03")
    await house.recheck.look_again()
    (flag,) = await house.recheck.open_flags(rita)
    with pytest.raises(Forbidden):
        await house.recheck.open_flags(anna)
    with pytest.raises(Forbidden):
        await house.recheck.settle(flag.id, anna, "not me")
    async with house.db.transaction() as tx:
        await people.set_admin(tx, anna.id, True)
    with pytest.raises(Forbidden):
        await house.recheck.settle(flag.id, await house.accounts.show("anna"), "not me")
    for note in ("", " \n ", "x" * 1001):
        with pytest.raises(BadInput):
            await house.recheck.settle(flag.id, rita, note)
    with pytest.raises(NotFound):
        await house.recheck.settle("nothing", rita, "what")


async def test_who_was_suspended_while_a_service_was_asked_is_left_alone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_register_row(house)
    _, rita, _ = await verified(house)
    await put_register_row(house, updated="2026-01-01", deactivated="2026-02-03")

    async def suspend(_: object) -> None:
        await house.accounts.suspend("anna", reason="On leave.", by="operator")

    monkeypatch.setattr(house.registers, "refresh", suspend)
    await house.recheck.look_again()
    assert await causes(house, rita) == []
    assert await standing(house) is Standing.SUSPENDED
