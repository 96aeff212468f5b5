from dataclasses import replace

import pytest

from fedidoc.model import Role, Specialty
from fedidoc.verification.comparison import (
    Mark,
    compare_licences,
    compare_names,
    compare_professions,
    compare_specialties,
    compare_status,
    fold,
)
from fedidoc.verification.registries import Licence, RegisterRow

ROW = RegisterRow(
    npi="1234567893",
    organisation=False,
    last_name="GARCIA LOPEZ",
    first_name="JOSE",
    middle_name="MANUEL",
    credential="MD",
    city="ALBANY",
    state="NY",
    taxonomies=("207RC0000X", "207R00000X"),
    licences=(Licence("MD012345", "NY", "207RC0000X"), Licence("99-887", "NJ", "207R00000X")),
    enumerated="2006-05-23",
    updated="2020-07-08",
    deactivated="",
    reactivated="",
)


def named(first: str, last: str, middle: str = "") -> RegisterRow:
    return replace(ROW, first_name=first, middle_name=middle, last_name=last)


@pytest.mark.parametrize(
    ("claimed", "row"),
    [
        ("José García-López", ROW),
        ("jose manuel garcia lopez", ROW),
        ("Garcia Lopez, Jose", ROW),
        ("Dr. José García López, MD", ROW),
        ("Seán O'Brien", named("SEAN", "OBRIEN")),
        ("Minh Do", named("MINH", "DO")),
        ("Md Rahman", named("MD", "RAHMAN")),
        ("Søren Kjær", named("SOREN", "KJAER")),
        ("Łukasz Żółć", named("LUKASZ", "ZOLC")),
    ],
)
def test_the_same_name(claimed: str, row: RegisterRow) -> None:
    assert compare_names(claimed, row) is Mark.SAME


@pytest.mark.parametrize(
    ("claimed", "row"),
    [
        ("Bob Smith", named("ROBERT", "SMITH")),
        ("Robert Smith", named("BOB", "SMITH")),
        ("J. Smith", named("JOHN", "SMITH")),
        ("Manuel García López", ROW),
        ("José López", ROW),
        ("Anna Smith-Jones", named("ANNA", "SMITH")),
        ("Jürgen Müller", named("JUERGEN", "MUELLER")),
        ("Catherine Johnson", named("CATHERINE", "JOHNSTON")),
        ("Maria van der Berg", named("MARIA", "VANDERBERG")),
        ("John Smiht", named("JOHN", "SMITH")),
    ],
)
def test_a_similar_name(claimed: str, row: RegisterRow) -> None:
    assert compare_names(claimed, row) is Mark.SIMILAR


@pytest.mark.parametrize(
    ("claimed", "row"),
    [
        ("Maria Smith", named("ROBERT", "SMITH")),
        ("Robert Jones", named("ROBERT", "SMITH")),
        ("Robert Lee", named("ROBERT", "LIU")),
        ("Smith", named("ROBERT", "SMITH")),
        ("Ann Lee", named("AMY", "LEE")),
    ],
)
def test_a_different_name(claimed: str, row: RegisterRow) -> None:
    assert compare_names(claimed, row) is Mark.DIFFERENT


def test_a_missing_name() -> None:
    assert compare_names("Jose Garcia", named("", "")) is Mark.MISSING
    assert compare_names("", ROW) is Mark.MISSING


@pytest.mark.parametrize(
    ("number", "state", "mark"),
    [
        ("MD012345", "NY", Mark.SAME),
        ("md-012345", "NY", Mark.SAME),
        ("012345", "NY", Mark.SIMILAR),
        ("12345", "NY", Mark.SIMILAR),
        ("MD012346", "NY", Mark.DIFFERENT),
        ("99887", "NJ", Mark.SAME),
        # The right number in the wrong state is somebody else's licence.
        ("99887", "NY", Mark.DIFFERENT),
        ("99887", "CA", Mark.DIFFERENT),
        ("55555", "CA", Mark.MISSING),
        ("", "NY", Mark.MISSING),
    ],
)
def test_licences_are_compared_within_the_state(number: str, state: str, mark: Mark) -> None:
    found = compare_licences(number, state, ROW)
    assert found.mark is mark
    assert "MD012345 (NY)" in found.registered


def test_an_empty_number_never_matches_an_empty_one() -> None:
    row = replace(ROW, licences=(Licence("---", "NY", ""),))
    assert compare_licences("-", "NY", row).mark is Mark.MISSING
    assert compare_licences("0", "NY", row).mark is Mark.MISSING
    assert compare_licences("7", "NY", row).mark is Mark.DIFFERENT


@pytest.mark.parametrize(
    ("code", "mark"),
    [("207R00000X", Mark.SAME), ("207RG0100X", Mark.SIMILAR), ("208600000X", Mark.DIFFERENT)],
)
def test_specialties(code: str, mark: Mark) -> None:
    found = compare_specialties(Specialty(code, "x"), ROW, {"207RC0000X": "Cardiovascular Disease"})
    assert found.mark is mark
    assert found.registered == "Cardiovascular Disease (207RC0000X), unknown (207R00000X)"


def test_professions() -> None:
    assert compare_professions(Role.PHYSICIAN, ROW).mark is Mark.SAME
    nurse = replace(ROW, taxonomies=("363LF0000X",))
    assert compare_professions(Role.PHYSICIAN, nurse).mark is Mark.DIFFERENT
    assert compare_professions(Role.NURSE_PRACTITIONER, nurse).mark is Mark.SAME
    # Doctors of dental surgery, podiatrists and chiropractors are no physicians of this network.
    assert compare_professions(
        Role.PHYSICIAN, replace(ROW, taxonomies=("122300000X",))
    ).mark is Mark.DIFFERENT  # fmt: skip


def test_status() -> None:
    assert compare_status(ROW).mark is Mark.SAME
    off = replace(ROW, deactivated="2019-01-31")
    assert compare_status(off).mark is Mark.DIFFERENT
    assert compare_status(replace(off, reactivated="2019-06-01")).mark is Mark.SAME
    again = replace(off, reactivated="2018-06-01")
    assert compare_status(again).mark is Mark.DIFFERENT
    assert compare_status(replace(ROW, organisation=True)).mark is Mark.DIFFERENT


def test_fold() -> None:
    assert fold("  Ðorđe  D’Ångström-Æsir. ") == "dorde dangstrom aesir"
