"""The LEIE in its published layout, with fictional people, and who is found in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedidoc.clock import FrozenClock
from fedidoc.errors import BadInput
from fedidoc.model import Role
from fedidoc.storage.engine import Database
from fedidoc.verification.claims import Claim
from fedidoc.verification.exclusions import Exclusions
from fedidoc.verification.leie import COLUMNS, import_leie

NPI, OTHER = "1234567893", "1679576722"


def record(**values: str) -> str:
    known = {
        "LASTNAME": "QUILL", "FIRSTNAME": "ROBERT", "MIDNAME": "J", "GENERAL": "PHYSICIAN (MD, DO)",
        "SPECIALTY": "FAMILY PRACTICE", "NPI": "0000000000", "DOB": "19650517",
        "ADDRESS": "1 ELM STREET", "CITY": "ALBANY", "STATE": "NY", "ZIP": "12201",
        "EXCLTYPE": "1128b4   ", "EXCLDATE": "20190320", "REINDATE": "00000000",
        "WAIVERDATE": "00000000", "WVRSTATE": "  ", **values,
    }  # fmt: skip
    return ",".join(f'"{known.get(name, "")}"' for name in COLUMNS)


def write(path: Path, *records: str) -> Path:
    path.write_text("\r\n".join([",".join(COLUMNS), *records]) + "\r\n")
    return path


def claim(name: str = "Robert Quill", **values: str) -> Claim:
    fields = {"licence_number": "1", "jurisdiction": "US-NY", "npi": "", **values}
    return Claim(name, Role.PHYSICIAN, specialty=None, **fields)  # type: ignore[arg-type]


async def test_a_number_is_certain_whatever_the_name(database: Database, tmp_path: Path) -> None:
    exclusions = Exclusions(database)
    assert not await exclusions.loaded()
    path = write(tmp_path / "UPDATED.csv", record(NPI=NPI, LASTNAME="ELSE"), record(NPI=OTHER))
    report = await import_leie(database, FrozenClock(), path)
    assert (report.rows, report.malformed) == (2, 0)
    assert await exclusions.loaded()
    (hit,) = await exclusions.find(claim("Ada Smith", npi=NPI, jurisdiction="US-CA"))
    assert hit.certain and hit.holds and hit.name == "ROBERT J ELSE"
    assert (hit.date, hit.state, hit.waiver) == ("2019-03-20", "NY", "")
    assert hit.kind == "licence revoked, suspended or surrendered (1128b4)"
    assert hit.birth_date_matches is None
    assert (hit.register, hit.matched) == ("LEIE", "NPI")
    assert hit.reason.startswith("excluded on 2019-03-20: licence revoked")
    # The same name with another number is another person.
    assert await exclusions.find(claim(npi="1003000126")) == ()


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("Robert Quill", {"birth_date": "1965-05-17"}, True),
        ("Bob J. Quill, MD", {"birth_date": "1965-05-17", "jurisdiction": "US-CA"}, True),
        ("Robert Quill", {"birth_date": "1965-05-18"}, False),
        ("Robert Quill", {}, None),
        ("Quill Robert", {}, None),
        ("Robert Quill-Sanders", {}, None),
        ("Robert Quill", {"jurisdiction": "US-CA"}, False),
        ("Robert Quill", {"jurisdiction": "DE"}, False),
        ("Robert Quill", {"npi": NPI}, None),
        ("Ronda Quill", {}, False),
        ("Robert Quillan", {"birth_date": "1965-05-17"}, False),
    ],
    ids=lambda value: str(value),
)
async def test_without_a_number_there_is_only_a_possible_hit(
    database: Database, tmp_path: Path, name: str, values: dict[str, str], found: bool | None
) -> None:
    await import_leie(database, FrozenClock(), write(tmp_path / "UPDATED.csv", record()))
    hits = await Exclusions(database).find(claim(name, **values))
    if found is False:
        assert hits == ()
    else:
        (hit,) = hits
        assert not hit.certain and hit.birth_date_matches is found
        assert hit.matched == ("name and birth date" if found else "name and state")


async def test_half_of_a_double_name_is_found(database: Database, tmp_path: Path) -> None:
    path = write(tmp_path / "UPDATED.csv", record(LASTNAME="GARCIA LOPEZ", FIRSTNAME="JOSE"))
    await import_leie(database, FrozenClock(), path)
    for name in ("José García", "José López", "José García-López"):
        assert len(await Exclusions(database).find(claim(name))) == 1, name


async def test_a_supplement_adds_and_a_full_file_replaces(
    database: Database, tmp_path: Path
) -> None:
    clock, exclusions = FrozenClock(), Exclusions(database)
    one, two = record(NPI=NPI), record(NPI=OTHER, LASTNAME="DOE")
    await import_leie(database, clock, write(tmp_path / "UPDATED.csv", one))
    clock.advance(1000)
    added = await import_leie(database, clock, write(tmp_path / "2610EXCL.csv", two))
    assert (added.rows, added.removed) == (1, 0)
    assert (await exclusions.find(claim(npi=NPI)))[0].holds
    clock.advance(1000)
    ended = record(NPI=NPI, REINDATE="20261015", ADDRESS="MOVED")
    await import_leie(database, clock, write(tmp_path / "2610REIN.csv", ended))
    (hit,) = await exclusions.find(claim(npi=NPI))
    assert not hit.holds and hit.reinstated == "2026-10-15"
    assert hit.reason.endswith("; reinstated on 2026-10-15")
    clock.advance(1000)
    waived = record(NPI=OTHER, LASTNAME="DOE", WAIVERDATE="20200101", WVRSTATE="NJ")
    full = write(tmp_path / "UPDATED.csv", waived)
    report = await import_leie(database, clock, full)
    assert (report.rows, report.removed) == (1, 1)
    assert await exclusions.find(claim("X Y", npi=NPI)) == ()
    assert (await exclusions.find(claim(npi=OTHER)))[0].waiver == "NJ"
    assert (await import_leie(database, clock, full)).already


async def test_a_supplement_under_a_wrong_name_does_not_replace_the_list(
    database: Database, tmp_path: Path
) -> None:
    clock = FrozenClock()
    people = [record(LASTNAME=f"PERSON{n}") for n in range(5)]
    await import_leie(database, clock, write(tmp_path / "UPDATED.csv", *people))
    clock.advance(1000)
    few = write(tmp_path / "october.csv", record(LASTNAME="NEW"), record(LASTNAME="NEWER"))
    with pytest.raises(BadInput, match="--supplement"):
        await import_leie(database, clock, few)
    exclusions = Exclusions(database)
    assert len(await exclusions.find(claim("Robert Person3"))) == 1
    assert await exclusions.find(claim("Robert New")) == ()
    assert (await import_leie(database, clock, few, supplement=True)).rows == 2
    assert len(await exclusions.find(claim("Robert Person3"))) == 1
    clock.advance(1000)
    assert (await import_leie(database, clock, few, supplement=False)).removed == 5
    assert await exclusions.find(claim("Robert Person3")) == ()


async def test_malformed_records_are_counted(database: Database, tmp_path: Path) -> None:
    path = write(
        tmp_path / "UPDATED.csv",
        record(), "too,short", record(EXCLDATE="20191320"), record(LASTNAME=""),
        record(LASTNAME="", BUSNAME="CLINIC LLC", DOB=""), 'x"y,', "",
    )  # fmt: skip
    report = await import_leie(database, FrozenClock(), path)
    assert (report.rows, report.malformed) == (2, 4)
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n")
    with pytest.raises(BadInput, match="LASTNAME"):
        await import_leie(database, FrozenClock(), wrong)
