"""Every register of this instance, asked with a claim: the rows that know it, each compared.

    registers = Registers(db, clock, vault, national=read_rules(config.registers))
    await registers.refresh(claim)          # outside a transaction: may ask a service
    for listing in await registers.find(claim): ...

A public register gives a REGISTER match, which says that such a person exists; the credentialing
office's own list gives an EMPLOYER match. Neither says who typed the claim.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fedidoc.clock import DAY, Clock
from fedidoc.storage import registers as table
from fedidoc.storage.engine import Database
from fedidoc.vault import Vault
from fedidoc.verification import comparison
from fedidoc.verification.claims import Claim
from fedidoc.verification.comparison import Difference, Mark
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.fhir import REGISTER as FHIR
from fedidoc.verification.fhir import find_in_fhir
from fedidoc.verification.national import NationalRegister
from fedidoc.verification.nppes_service import NppesService
from fedidoc.verification.registries import Nppes, RegisterRow
from fedidoc.verification.specialties import Specialties

OFFICE: Final = "the credentialing office"
_NEAR: Final = (Mark.SAME, Mark.SIMILAR)
_LIFE: Final = ("status", "expires")


@dataclass(frozen=True, slots=True)
class Listing:
    """One register's row for a claim, and how the two compare.

    `register` is for people, `source` its own name. `expires` is the last day of the claimed
    licence, ISO, empty where the register does not say.
    """

    register: str
    source: str
    kind: EvidenceKind
    row: RegisterRow
    differences: tuple[Difference, ...]
    expires: str = ""

    @property
    def matches(self) -> bool:
        """Whether name and licence are the claimed ones, or nearly, and the entry is in force."""
        marks = {d.field: d.mark for d in self.differences}
        return (
            marks["name"] in _NEAR
            and marks["licence"] in _NEAR
            and marks["status"] is Mark.SAME
            and marks.get("expires", Mark.SAME) is Mark.SAME
        )

    @property
    def until(self) -> int | None:
        """The end of the licence's last day (UTC milliseconds)."""
        if not self.expires:
            return None
        day = dt.datetime.combine(dt.date.fromisoformat(self.expires), dt.time(), dt.UTC)
        return int(day.timestamp()) * 1000 + DAY


def standing_against(listings: Iterable[Listing]) -> list[str]:
    """What public registers say against somebody's licence, in words: it is not a person's, not in
    force, or has run out. A register with several entries says so only if all of them do."""
    faults: dict[str, list[str]] = {}
    for each in listings:
        if each.kind is EvidenceKind.REGISTER:
            differing = [d for d in each.differences if d.mark is Mark.DIFFERENT]
            notes = " ".join(d.note for d in differing if d.field in _LIFE)
            faults.setdefault(each.register, []).append(notes)
    return [f"{name}: {notes[0]}" for name, notes in faults.items() if all(notes)]


class Registers:
    """What this instance has imported, and the service it may ask."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        *,
        national: Sequence[NationalRegister] = (),
        service: NppesService | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._national = tuple(national)
        self._service = service
        self._nppes = Nppes(db)
        self._specialties = Specialties(db)

    async def refresh(self, claim: Claim) -> None:
        """Ask NPPES' own service for a number that no imported file has, where it is configured.

        Not inside a transaction. A service that does not answer is no error: then there is no row.
        """
        if self._service is None or not claim.npi or not self._service.configured:
            return
        if await self._nppes.find(claim.npi) is None:
            await self._service.refresh(claim.npi)

    async def find(self, claim: Claim) -> tuple[Listing, ...]:
        """Every row that has the claim's number, best match first. Asks nobody outside."""
        found = []
        if claim.npi:
            row, name = await self._nppes.find(claim.npi), self._nppes.name
            if row is None and self._service is not None:
                row, name = await self._service.find(claim.npi), "NPPES (its service)"
            if row is not None:
                found.append(await self._listing(claim, row, name, "nppes"))
        for register in self._national:
            for row in await register.find(self._db, claim):
                found.append(await self._listing(claim, row, register.title, register.name))
        for row in await find_in_fhir(self._db, self._vault, claim, self._today()):
            found.append(await self._listing(claim, row, OFFICE, FHIR))
        return tuple(sorted(found, key=lambda listing: not listing.matches))

    async def asked(self, claim: Claim) -> tuple[str, ...]:
        """The names of the registers that were looked into: those that have rows at all and would
        have the claim's. If there are none, that nothing was found means nothing."""
        names = []
        if claim.npi:
            if await self._nppes.loaded():
                names.append(self._nppes.name)
            elif self._service is not None and await self._service.answered(claim.npi):
                names.append("NPPES (its service)")
        for register in self._national:
            if register.serves(claim) and await table.has_entries(self._db, register.name):
                names.append(register.title)
        if await table.has_entries(self._db, FHIR):
            names.append(OFFICE)
        return tuple(names)

    async def _listing(self, claim: Claim, row: RegisterRow, name: str, source: str) -> Listing:
        codes = await table.nucc_rows(self._db, row.taxonomies)
        labels = {}
        for code in row.taxonomies:
            specialty = await self._specialties.find(code)
            if specialty is not None:
                labels[code] = specialty.label
        licences = comparison.matching_licences(claim.licence_number, claim.place, row)
        expires = max((x.expires for x in licences), default="") or row.expires
        differences = [
            comparison.compare_status(row),
            comparison.compare_names_field(claim.legal_name, row),
            comparison.compare_licences(claim.licence_number, claim.place, row),
            comparison.compare_professions(
                claim.profession,
                row,
                {c: (known.grouping, known.classification) for c, known in codes.items()},
            ),
            comparison.compare_specialties(claim.specialty, row, labels),
        ]
        if expires:
            differences.append(comparison.compare_expiry(expires, self._today().isoformat()))
        return Listing(
            register=name,
            source=source,
            kind=EvidenceKind.EMPLOYER if source == FHIR else EvidenceKind.REGISTER,
            row=row,
            differences=tuple(differences),
            expires=expires,
        )

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._clock.now() / 1000, dt.UTC).date()
