"""A credentialing office's list as FHIR R4 resources, in the shapes that servers export."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from fedidoc.clock import FrozenClock
from fedidoc.errors import BadInput
from fedidoc.model import Role
from fedidoc.storage.engine import Database
from fedidoc.vault import Vault
from fedidoc.verification import fhir
from fedidoc.verification.claims import Claim
from fedidoc.verification.fhir import find_in_fhir, import_fhir
from tests.house import KEY

VAULT = Vault.from_text(KEY)
NPI = "1234567893"
TODAY = dt.date(2026, 11, 23)


def practitioner(id: str = "p1", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Practitioner",
        "id": id,
        "active": True,
        "identifier": [
            {"system": "http://hl7.org/fhir/sid/us-npi", "value": NPI},
            {"system": "http://hospital.example/staff", "value": "S-17"},
        ],
        "name": [
            {"use": "nickname", "text": "Ami"},
            {"use": "official", "family": "Okafor", "given": ["Amina", "Rose"], "prefix": ["Dr"]},
        ],
        "birthDate": "1971-02-03",
        "telecom": [{"system": "phone", "value": "555-0100"}],
        "qualification": [
            {
                "identifier": [{"system": "http://board.example", "value": "MD-012345"}],
                "code": {"text": "Medical license"},
                "period": {"start": "2010", "end": "2027-06"},
                "issuer": {"display": "New York State"},
            }
        ],
        **changes,
    }


def role(practitioner: str = "Practitioner/p1", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "PractitionerRole",
        "id": "r1",
        "active": True,
        "period": {"start": "2015-01-01", "end": "2028-12-31"},
        "practitioner": {"reference": practitioner},
        "code": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/practitioner-role",
                        "code": "doctor",
                        "display": "Doctor",
                    }
                ]
            }
        ],
        "specialty": [
            {
                "coding": [
                    {
                        "system": "http://nucc.org/provider-taxonomy",
                        "code": "207RC0000X",
                        "display": "Cardiovascular Disease Physician",
                    }
                ]
            }
        ],
        **changes,
    }


def bundle(path: Path, *resources: dict[str, Any], urls: bool = False) -> Path:
    entries = [
        {"fullUrl": f"urn:uuid:{at}", "resource": resource} if urls else {"resource": resource}
        for at, resource in enumerate(resources)
    ]
    document = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    path.write_text(json.dumps(document, indent=1))
    return path


def claim(npi: str = NPI, licence: str = "MD 12345") -> Claim:
    return Claim("Amina Okafor", Role.PHYSICIAN, licence, "US-NY", npi, None)


async def load(db: Database, path: Path, clock: FrozenClock | None = None) -> Any:
    return await import_fhir(db, clock or FrozenClock(), path, vault=VAULT)


async def find(db: Database, claim: Claim, today: dt.date = TODAY) -> Any:
    return await find_in_fhir(db, VAULT, claim, today)


@pytest.mark.parametrize("shape", ["bundle", "urls", "ndjson", "roles first"])
async def test_a_practitioner_with_a_role_is_found(
    database: Database, tmp_path: Path, shape: str
) -> None:
    path = tmp_path / "staff.json"
    if shape == "bundle":
        bundle(path, practitioner(), role("https://fhir.hospital.example/r4/Practitioner/p1"))
    elif shape == "urls":
        person = practitioner()
        del person["id"]
        bundle(path, person, role("urn:uuid:0"), urls=True)
    else:
        lines = [practitioner(), role()] if shape == "ndjson" else [role(), practitioner()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = await load(database, path)
    assert (report.rows, report.malformed) == (1, 0)
    (row,) = await find(database, claim())
    assert (row.npi, row.name) == (NPI, "Amina Rose Okafor")
    assert row.active and row.roles == {Role.PHYSICIAN, Role.RESIDENT}
    assert row.taxonomies == ("207RC0000X",) and row.professions == ("Doctor",)
    assert row.licences[0].number == "MD-012345" and row.licences[0].expires == "2027-06-30"
    assert row.expires == "2028-12-31"
    assert row.credential == "Medical license (New York State)"
    # Without an NPI it is found by the licence.
    assert await find(database, claim(npi="", licence="md-012345")) == [row]
    assert await find(database, claim(npi="1679576722", licence="99")) == []
    (row,) = await find(database, claim(), dt.date(2029, 1, 1))
    assert not row.active


async def test_nothing_of_the_list_stands_open_in_the_database(
    database: Database, tmp_path: Path
) -> None:
    await load(database, bundle(tmp_path / "x.json", practitioner(), role()))
    rows = await database.fetch_all("SELECT register, number, variant, entry FROM register_rows")
    assert len(rows) == 2  # by NPI and by licence
    stored = b"".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
        for row in rows
        for value in row
    )
    for secret in (NPI, "Okafor", "012345", "1971", "0100"):
        assert secret.encode() not in stored
    (row,) = await find(database, claim())
    assert "1971" not in repr(row) and "0100" not in repr(row)


@pytest.mark.parametrize(
    ("changes", "roles"),
    [
        ({"active": False}, [role()]),
        ({}, [role(active=False)]),
        ({}, [role(period={"end": "2020-05-05"})]),
    ],
    ids=["inactive", "inactive role", "ended role"],
)
async def test_who_no_longer_works_there_is_not_in_force(
    database: Database, tmp_path: Path, changes: dict[str, Any], roles: list[dict[str, Any]]
) -> None:
    await load(database, bundle(tmp_path / "x.json", practitioner(**changes), *roles))
    (row,) = await find(database, claim())
    assert not row.active


async def test_a_role_without_an_end_has_no_end(database: Database, tmp_path: Path) -> None:
    path = bundle(tmp_path / "x.json", practitioner(), role(), role(period={"start": "2020-01-01"}))
    await load(database, path)
    (row,) = await find(database, claim())
    assert row.expires == "" and row.active


async def test_a_newer_list_takes_the_place_of_the_one_before(
    database: Database, tmp_path: Path
) -> None:
    clock = FrozenClock()
    other = practitioner(
        "p2", identifier=[{"system": "urn:oid:2.16.840.1.113883.4.6", "value": "1679576722"}],
        qualification=[],
    )  # fmt: skip
    await load(database, bundle(tmp_path / "one.json", practitioner(), other), clock)
    assert len(await find(database, claim("1679576722", ""))) == 1
    clock.advance(1000)
    report = await load(database, bundle(tmp_path / "two.json", practitioner()), clock)
    assert (report.rows, report.removed) == (1, 1)
    assert await find(database, claim("1679576722", "")) == []
    assert (await load(database, tmp_path / "two.json", clock)).already


HOSTILE: list[Any] = [
    {"resourceType": "Practitioner", "id": {"a": 1}},
    {"resourceType": "Practitioner", "id": "x", "name": "Smith", "identifier": 7},
    {"resourceType": "Practitioner", "id": "y", "name": [{"family": ["A"]}], "qualification": [1]},
    {**role(), "practitioner": "p1"},
    {"resourceType": "PractitionerRole", "practitioner": {"reference": "Practitioner/none"}},
    {"resourceType": "Patient", "id": "p1", "name": [{"family": "Sick"}]},
    practitioner("z", name=[{"family": "\ud800\u0000\n" + "x" * 9999}], active="yes",
                 qualification=[{"period": {"end": "9999-99-99"}, "identifier": [{"value": "7"}],
                                 "code": {"coding": [None, {"code": 4}]}}] * 1000),
]  # fmt: skip


async def test_hostile_resources_cost_only_themselves(database: Database, tmp_path: Path) -> None:
    path = bundle(tmp_path / "x.json", *HOSTILE, practitioner())
    report = await load(database, path)
    assert (report.rows, report.malformed) == (2, 5)
    rows = await find(database, claim())
    assert {len(row.last_name) for row in rows} <= {6, 197, 198, 199, 200}
    # A role that says of nobody whose it is, is nobody's.
    assert all(row.professions == () for row in rows)


async def test_what_is_no_list_is_refused(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    for text in ("", "hello", "[1, 2]", '{"resourceType": "Bundle"}', "[" * 100_000,
                 '{"resourceType": "Bundle", "entry": 7}', json.dumps(role())):  # fmt: skip
        path.write_text(text)
        with pytest.raises(BadInput):
            await load(database, path)
    bundle(path, practitioner(), practitioner("p2"))
    monkeypatch.setattr(fhir, "_MAX_RESOURCES", 1)
    with pytest.raises(BadInput, match="resources"):
        await load(database, path)
    monkeypatch.setattr(fhir, "_MAX_BYTES", 100)
    with pytest.raises(BadInput, match="larger"):
        await load(database, path)
