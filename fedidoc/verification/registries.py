"""What a row of a register says, whatever register it is from; and the rows of NPPES.

A register is public data that says a number exists and whose it is. It never says that the person
who typed the number is that person: see `evidence`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from fedidoc.model import Role
from fedidoc.storage import registers as table
from fedidoc.storage.statements import Reader


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence number as the register has it, with the state that gave it (two letters, or a
    country's code). `expires` is ISO or empty."""

    number: str
    state: str
    taxonomy: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRow:
    """One entry. Dates are ISO (`2009-04-17`) or empty. `organisation`: it is not a person's.

    `taxonomies` are NUCC codes, the primary one first. `last_name` is an organisation's whole name.
    A register that is not NPPES may have one `full_name`, its own word for the entry's `status`
    with `in_force` as what that means, its own words for `professions` (and `roles` as what they
    mean, None where it does not say) and `specialties`, and a day on which the entry runs out.
    """

    npi: str = ""
    organisation: bool = False
    last_name: str = ""
    first_name: str = ""
    middle_name: str = ""
    full_name: str = ""
    credential: str = ""
    city: str = ""
    state: str = ""
    taxonomies: tuple[str, ...] = ()
    licences: tuple[Licence, ...] = ()
    enumerated: str = ""
    updated: str = ""
    deactivated: str = ""
    reactivated: str = ""
    status: str = ""
    in_force: bool = True
    professions: tuple[str, ...] = ()
    roles: frozenset[Role] | None = None
    specialties: tuple[str, ...] = ()
    expires: str = ""

    @property
    def name(self) -> str:
        parts = (self.first_name, self.middle_name, self.last_name)
        return " ".join(p for p in parts if p) or self.full_name

    @property
    def active(self) -> bool:
        """Whether the register says that the entry is in force. NPPES keeps the dates of both
        deactivation and reactivation; the later one counts (readme of the dissemination file)."""
        return self.in_force and (not self.deactivated or self.reactivated >= self.deactivated)


def row_to_bytes(row: RegisterRow) -> bytes:
    """For sealing."""
    fields = asdict(row)
    fields["roles"] = None if row.roles is None else sorted(row.roles)
    return json.dumps(fields, ensure_ascii=False).encode()


def row_from_bytes(data: bytes) -> RegisterRow:
    """What `row_to_bytes` made."""
    fields: dict[str, Any] = json.loads(data)
    roles = fields.pop("roles")
    for name in ("taxonomies", "professions", "specialties"):
        fields[name] = tuple(fields[name])
    fields["licences"] = tuple(Licence(**licence) for licence in fields["licences"])
    return RegisterRow(
        **fields, roles=None if roles is None else frozenset(Role(role) for role in roles)
    )


class Nppes:
    """The National Plan and Provider Enumeration System, as it was imported."""

    name = "NPPES"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, npi: str) -> RegisterRow | None:
        row = await table.find_nppes(self._reader, npi)
        if row is None:
            return None
        return RegisterRow(
            npi=row.npi,
            organisation=row.entity_type == "2",
            last_name=row.last_name,
            first_name=row.first_name,
            middle_name=row.middle_name,
            credential=row.credential,
            city=row.city,
            state=row.state,
            taxonomies=row.taxonomies,
            licences=tuple(Licence(*parts) for parts in row.licences),
            enumerated=row.enumerated,
            updated=row.updated,
            deactivated=row.deactivated,
            reactivated=row.reactivated,
        )

    async def loaded(self) -> bool:
        return await table.has_nppes(self._reader)
