from dataclasses import replace

import pytest

from fedidoc.errors import BadInput
from fedidoc.model import Role
from fedidoc.verification import claims
from tests.house import claim

ROLES = [role.value for role in Role]


def test_a_claim_is_tidied() -> None:
    given = claim(
        legal_name="  Anna \t Müller ",
        licence_number=" md  77 ",
        jurisdiction=" us-ny ",
        npi="1234 567-893",
        note="one \r\ntwo\0\ud800\r\n",
    )
    tidy = claims.tidy(given, ROLES)
    assert tidy == replace(
        given, legal_name="Anna Müller", licence_number="MD 77", jurisdiction="US-NY",
        npi="1234567893", note="one\ntwo",
    )  # fmt: skip
    assert tidy.state == "NY"
    assert claims.from_bytes(claims.to_bytes(tidy)) == tidy


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"legal_name": "Anna"}, "legal_name"),
        ({"legal_name": ""}, "legal_name"),
        ({"legal_name": "Anna \u202e Berg"}, "legal_name"),
        ({"legal_name": "x " * 100}, "legal_name"),
        ({"profession": Role.STAFF}, "profession"),
        ({"npi": "1234567890"}, "npi"),
        ({"npi": ""}, "npi"),
        ({"npi": "", "profession": Role.RESIDENT}, "npi"),
        ({"licence_number": " "}, "licence_number"),
        ({"licence_number": "x" * 41}, "licence_number"),
        ({"licence_number": "\ud800"}, "licence_number"),
        ({"jurisdiction": ""}, "jurisdiction"),
        ({"jurisdiction": "New York"}, "jurisdiction"),
        ({"jurisdiction": "US-XX"}, "jurisdiction"),
        ({"jurisdiction": "\u00df"}, "jurisdiction"),
        ({"note": "x" * 2001}, "note"),
    ],
)
def test_the_field_that_is_wrong_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(BadInput) as refusal:
        claims.tidy(claim(**changes), ROLES)
    assert refusal.value.field == field


def test_a_profession_that_the_instance_does_not_take() -> None:
    with pytest.raises(BadInput) as refusal:
        claims.tidy(claim(profession=Role.STUDENT), ["physician"])
    assert refusal.value.field == "profession"


@pytest.mark.parametrize(
    ("jurisdiction", "npi", "found", "state"),
    [
        ("CA", "1234567893", "US-CA", "CA"),
        ("CA", "", "CA", ""),
        ("DE", "", "DE", ""),
        ("CA-ON", "", "CA-ON", ""),
        ("GB-SCT", "", "GB-SCT", ""),
        ("US", "1234567893", "US", ""),
    ],
)
def test_jurisdictions(jurisdiction: str, npi: str, found: str, state: str) -> None:
    tidy = claims.tidy(claim(jurisdiction=jurisdiction, npi=npi), ROLES)
    assert (tidy.jurisdiction, tidy.state) == (found, state)


def test_who_is_in_training_may_have_no_licence_yet() -> None:
    claims.tidy(claim(profession=Role.RESIDENT, licence_number=""), ROLES)
    claims.tidy(claim(profession=Role.STUDENT, licence_number="", npi=""), ROLES)
