"""Import of a credentialing office's list: FHIR R4 `Practitioner` and `PractitionerRole` resources.

A Bundle (JSON) or one resource a line (NDJSON, as bulk export writes them). The list is not public:
entries are stored sealed and are found by keyed digests of the NPI and of licence numbers. Birth
dates, addresses and telephone numbers are left out. https://hl7.org/fhir/R4/practitioner.html
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.model import Role
from fedidoc.storage import registers
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.registers import EntryRow
from fedidoc.storage.statements import Reader
from fedidoc.vault import Vault
from fedidoc.verification import npi as npi_rules
from fedidoc.verification.claims import Claim
from fedidoc.verification.imports import BATCH, Progress, Report, Run, digest_of, opened
from fedidoc.verification.registries import Licence, RegisterRow, row_from_bytes, row_to_bytes

REGISTER: Final = "fhir"
NPI_SYSTEMS: Final = frozenset({"http://hl7.org/fhir/sid/us-npi", "urn:oid:2.16.840.1.113883.4.6"})
NUCC_SYSTEM: Final = "http://nucc.org/provider-taxonomy"
# Identifier types of HL7's table 0203: a medical licence, a licence.
_LICENCE_TYPES: Final = frozenset({"MD", "LN"})
# http://terminology.hl7.org/CodeSystem/practitioner-role
_ROLES: Final = {"doctor": frozenset({Role.PHYSICIAN, Role.RESIDENT})}

_MAX_BYTES: Final = 64 << 20
_MAX_RESOURCES: Final = 200_000
_MAX_LIST: Final = 50
_MAX_TEXT: Final = 200
_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?(?:T.*)?")


@dataclass
class _Person:
    """A practitioner and the roles that refer to it."""

    resource: Mapping[str, Any]
    roles: list[Mapping[str, Any]] = field(default_factory=list)


async def import_fhir(
    db: Database,
    clock: Clock,
    path: Path,
    progress: Progress | None = None,
    *,
    vault: Vault,
) -> Report:
    """Read the list at `path` in place of the one before, whole or not at all.

    BadInput says what is wrong with the file. A resource that cannot be used is counted.
    """
    report = Report()
    with opened(path, ".json") as source:
        if source.total > _MAX_BYTES:
            raise BadInput(f"{path.name} is larger than {_MAX_BYTES >> 20} MB; split it.")
        data = source.stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise BadInput(f"{path.name} is larger than {_MAX_BYTES >> 20} MB; split it.")
    people = _gather(_resources(data, report), report)
    if not people:
        raise BadInput("The file has no Practitioner with a name and an NPI or a licence number.")
    run = await Run.begin(db, clock, REGISTER, path, digest_of(path))
    if run is None:
        return Report(already=True)

    async def put(tx: Transaction) -> None:
        batch: list[EntryRow] = []
        for taken, (id, person) in enumerate(people.items(), start=1):
            rows = list(_entries(vault, id, person))
            report.rows += bool(rows)
            if not rows:
                report.refuse(taken, "a Practitioner has no name, or neither NPI nor licence")
            batch += rows
            if len(batch) >= BATCH:
                await registers.put_entries(tx, REGISTER, run.id, batch)
                batch.clear()
                if progress:
                    progress(taken, len(people), taken)
        await registers.put_entries(tx, REGISTER, run.id, batch)
        report.removed = await registers.remove_other_entries(tx, REGISTER, run.id)

    await run.store(put, len(people), finished=True)
    if progress:
        progress(1, 1, len(people))
    return report


async def find_in_fhir(
    reader: Reader, vault: Vault, claim: Claim, today: dt.date
) -> list[RegisterRow]:
    """What the office lists under the claim's NPI, or else under its licence number."""
    for key in _keys([claim.npi] if claim.npi else [], [claim.licence_number]):
        entries = await registers.find_entries(reader, REGISTER, vault.fingerprint(key, REGISTER))
        if entries:
            rows = [row_from_bytes(vault.open(entry, _purpose(vault, key))) for entry in entries]
            return [_as_of(row, today) for row in rows]
    return []


def _as_of(row: RegisterRow, today: dt.date) -> RegisterRow:
    """The list says until when; whether that is over is seen when it is asked."""
    over = bool(row.expires) and row.expires < today.isoformat()
    return replace(row, in_force=False, status="the role has ended") if over else row


def _resources(data: bytes, report: Report) -> Iterator[Mapping[str, Any]]:
    """Every resource of a Bundle, or of a file with one a line. A role's `practitioner` may refer
    to an entry by its `fullUrl`, which is kept under a name that FHIR has no use for."""
    whole = _parse(data)
    if whole is not None and whole.get("resourceType") != "Bundle":
        yield whole
        return
    if whole is not None:
        entries = whole.get("entry")
        for entry in entries if isinstance(entries, list) else []:
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict):
                yield {**resource, "fullUrl": entry.get("fullUrl")}
        return
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        resource = _parse(line)
        if resource is None:
            if number == 1:
                raise BadInput("The file is neither a FHIR Bundle (JSON) nor NDJSON.")
            report.refuse(number, "the line is not JSON")
        else:
            yield resource


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _gather(resources: Iterable[Mapping[str, Any]], report: Report) -> dict[str, _Person]:
    """Practitioners by id, with their roles; a role may come before its practitioner."""
    people: dict[str, _Person] = {}
    names: dict[str, str] = {}
    roles: list[Mapping[str, Any]] = []
    for count, resource in enumerate(resources, start=1):
        if count > _MAX_RESOURCES:
            raise BadInput(f"The file has more than {_MAX_RESOURCES:,} resources; split it.")
        kind, id = resource.get("resourceType"), _text(resource.get("id"))
        url = _text(resource.get("fullUrl"))
        if kind == "Practitioner" and (id or url):
            people[id or url] = _Person(resource)
            # What a role may call it.
            names |= {f"Practitioner/{id}": id} if id else {}
            names |= {url: id or url} if url else {}
        elif kind == "Practitioner":
            report.refuse(count, "a Practitioner has no id")
        elif kind == "PractitionerRole":
            roles.append(resource)
    for number, role in enumerate(roles, start=1):
        reference = _text(_object(role.get("practitioner")).get("reference"))
        person = people.get(names.get(reference, ""))
        if person is None:
            # A server may write its whole address in front.
            person = people.get(names.get("/".join(reference.split("/")[-2:]), ""))
        if person is None:
            report.refuse(number, "a PractitionerRole refers to nobody in the file")
        else:
            person.roles.append(role)
    return people


def _entries(vault: Vault, id: str, person: _Person) -> Iterator[EntryRow]:
    numbers, row = _row(person)
    keys = list(_keys([row.npi] if row.npi else [], numbers))
    if not row.name:
        return
    for key in keys:
        yield EntryRow(
            vault.fingerprint(key, REGISTER),
            vault.fingerprint(id, "fhir id")[:16],
            vault.seal(row_to_bytes(row), _purpose(vault, key)),
        )


def _keys(npis: Iterable[str], licences: Iterable[str]) -> Iterator[str]:
    yield from (f"npi {number}" for number in npis)
    for licence in licences:
        kept = "".join(c for c in licence.upper() if c.isalnum()).lstrip("0")
        if kept:
            yield f"licence {kept}"


def _purpose(vault: Vault, key: str) -> str:
    return f"credentialing office {vault.fingerprint(key, REGISTER)}"


def _row(person: _Person) -> tuple[list[str], RegisterRow]:
    """The licence numbers that the practitioner is found by, and the row."""
    resource = person.resource
    name = _name(resource)
    npi, licences = "", []
    for identifier in _objects(resource.get("identifier")):
        value = _text(identifier.get("value"))
        types = {c.get("code") for c in _codings(identifier.get("type"))}
        if identifier.get("system") in NPI_SYSTEMS and npi_rules.valid(value):
            npi = value
        elif types & _LICENCE_TYPES and value:
            licences.append(Licence(value, "", "", _day(_object(identifier.get("period")), "end")))
    credentials = []
    for qualification in _objects(resource.get("qualification")):
        until = _day(_object(qualification.get("period")), "end")
        words = _words(qualification.get("code"))
        issuer = _text(_object(qualification.get("issuer")).get("display"))
        credentials.append(f"{words} ({issuer})" if words and issuer else words)
        for identifier in _objects(qualification.get("identifier")):
            if value := _text(identifier.get("value")):
                licences.append(Licence(value, "", "", until))
    current = [role for role in person.roles if role.get("active") is not False]
    codes = [c for role in current for c in _concepts(role.get("specialty"))]
    taxonomies = [_text(c.get("code")) for c in codes if c.get("system") == NUCC_SYSTEM]
    jobs = [c for role in current for c in _concepts(role.get("code"))]
    known = [_ROLES[code] for c in jobs if (code := str(c.get("code"))) in _ROLES]
    ends = [_day(_object(role.get("period")), "end") for role in current]
    works = bool(current) or not person.roles
    return [licence.number for licence in licences], RegisterRow(
        npi=npi,
        last_name=name[0],
        first_name=name[1],
        middle_name=name[2],
        full_name=name[3],
        credential=", ".join(filter(None, credentials))[:_MAX_TEXT],
        taxonomies=tuple(dict.fromkeys(filter(None, taxonomies))),
        licences=tuple(dict.fromkeys(licences)),
        status="" if works else "no active role",
        in_force=resource.get("active") is not False and works,
        professions=tuple(dict.fromkeys(filter(None, map(_display, jobs)))),
        roles=frozenset().union(*known) if known else None,
        specialties=tuple(dict.fromkeys(filter(None, map(_display, codes)))),
        # Somebody with one role without an end has no end.
        expires=max(ends) if ends and all(ends) else "",
    )


def _name(resource: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Family, first, middle and whole name: the official one, or else the first."""
    names = _objects(resource.get("name"))
    chosen = next((n for n in names if n.get("use") == "official"), names[0] if names else {})
    given = [_text(g) for g in _some(chosen.get("given"))]
    return (
        _text(chosen.get("family")), given[0] if given else "", " ".join(given[1:]),
        _text(chosen.get("text")),
    )  # fmt: skip


def _concepts(value: object) -> list[Mapping[str, Any]]:
    """The codings of a list of concepts; one with words alone stands as a coding of those."""
    found: list[Mapping[str, Any]] = []
    for concept in _objects(value):
        codings = _codings(concept)
        found += codings or ([{"display": concept["text"]}] if concept.get("text") else [])
    return found


def _codings(value: object) -> list[Mapping[str, Any]]:
    return _objects(_object(value).get("coding"))


def _words(concept: object) -> str:
    return _text(_object(concept).get("text")) or next(
        filter(None, map(_display, _codings(concept))), ""
    )


def _display(coding: Mapping[str, Any]) -> str:
    return _text(coding.get("display")) or _text(coding.get("code"))


def _day(period: Mapping[str, Any], end: str) -> str:
    """A FHIR dateTime as its last day, ISO; "" for none and for what is no date."""
    found = _DATE.fullmatch(_text(period.get(end)))
    if found is None:
        return ""
    year, month, day = int(found[1]), int(found[2] or 12), found[3]
    try:
        if day:
            return dt.date(year, month, int(day)).isoformat()
        following = dt.date(year + month // 12, month % 12 + 1, 1)
        return (following - dt.timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return ""


def _some(value: object) -> list[Any]:
    return value[:_MAX_LIST] if isinstance(value, list) else []


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in _some(value) if isinstance(item, dict)]


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return " ".join("".join(filter(str.isprintable, value[:_MAX_TEXT])).split())
