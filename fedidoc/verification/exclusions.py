"""Whether somebody who applies is on a list of people excluded from health programmes.

With an NPI in the list the answer is certain. Without one it is never: a name, a birth date and a
state are shown to a person, who decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fedidoc.storage import exclusions as table
from fedidoc.storage.exclusions import ExclusionRow
from fedidoc.storage.statements import Reader
from fedidoc.verification.claims import Claim
from fedidoc.verification.comparison import Mark, compare_names, surnames_in
from fedidoc.verification.registries import RegisterRow

# Grounds of the Social Security Act, by how the list writes them without brackets and blanks.
_GROUNDS: Final = {
    "1128a1": "convicted of a crime related to a health programme",
    "1128a2": "convicted of abuse or neglect of patients",
    "1128a3": "convicted of a felony: health care fraud",
    "1128a4": "convicted of a felony: controlled substances",
    "1128b1": "convicted of a misdemeanour: fraud",
    "1128b2": "convicted of obstructing an investigation or audit",
    "1128b3": "convicted of a misdemeanour: controlled substances",
    "1128b4": "licence revoked, suspended or surrendered",
    "1128b5": "excluded or suspended by a federal or state health programme",
    "1128b6": "excessive charges, unnecessary or substandard services",
    "1128b7": "fraud, kickbacks or other prohibited acts",
    "1128b8": "an entity controlled by somebody sanctioned",
    "1128b9": "failed to disclose required information",
    "1128b10": "failed to disclose ownership or transactions",
    "1128b11": "failed to give payment information",
    "1128b12": "refused access to an agency",
    "1128b13": "failed to take corrective action",
    "1128b14": "in default on a health education loan",
    "1128b15": "controls an entity that is sanctioned",
    "1128b16": "false statements in an application",
    "1128c3gi": "convicted of a second mandatory offence",
    "1128c3gii": "convicted of a third mandatory offence; for good",
    "1128aa": "a civil monetary penalty was imposed",
    "1156": "failed to meet obligations of quality review",
    "brchcia": "broke a corporate integrity agreement",
    "brchsa": "broke a settlement agreement",
}


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry of a list that is, or may be, the person who applies.

    `reference` is the entry's own id, the same after every import. `certain`: the NPI is the same.
    `birth_date_matches` is None where either side does not say. `kind` says in words why; dates are
    ISO; `reinstated` is empty while the exclusion holds; `waiver` is the state that an exclusion is
    waived in, or empty.
    """

    register: str
    reference: str
    certain: bool
    name: str
    birth_date_matches: bool | None
    state: str
    kind: str
    date: str
    reinstated: str
    waiver: str

    @property
    def holds(self) -> bool:
        """Whether the exclusion has not ended."""
        return not self.reinstated

    @property
    def matched(self) -> str:
        """What is the same on both sides, in words."""
        if self.certain:
            return "NPI"
        return "name and birth date" if self.birth_date_matches else "name and state"

    @property
    def reason(self) -> str:
        """Why and since when, and what became of it, in words."""
        words = f"excluded on {self.date}: {self.kind}"
        if self.reinstated:
            words += f"; reinstated on {self.reinstated}"
        if self.waiver:
            words += f"; waived in {self.waiver}"
        return words


class Exclusions:
    """The lists that were imported."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def loaded(self) -> bool:
        """Whether there is a list; if not, no hit means nothing."""
        return await table.loaded(self._reader)

    async def find(self, claim: Claim) -> tuple[Hit, ...]:
        """Entries with the claim's NPI; and those without an NPI, or with none to compare, whose
        name is the same or nearly, and whose birth date, or else state, is the claimed one."""
        hits = [_hit(row, claim, certain=True) for row in await table.with_npi(
            self._reader, claim.npi
        )] if claim.npi else []  # fmt: skip
        known = {hit.reference for hit in hits}
        surnames = surnames_in(claim.legal_name)
        for row in await table.with_surnames(
            self._reader, surnames, state=claim.state, born=claim.birth_date
        ):
            if row.id not in known and _may_be(row, claim):
                hits.append(_hit(row, claim, certain=False))
        return tuple(sorted(hits, key=lambda h: (not h.certain, not h.holds, h.date)))


def _may_be(row: ExclusionRow, claim: Claim) -> bool:
    if row.npi and claim.npi:
        return False  # two people: had the numbers been the same, it would be certain
    if compare_names(claim.legal_name, _as_register_row(row)) not in (Mark.SAME, Mark.SIMILAR):
        return False
    born = _birth_date_matches(row, claim)
    if born is None:
        return bool(claim.state) and claim.state == row.state
    return born


def _birth_date_matches(row: ExclusionRow, claim: Claim) -> bool | None:
    return row.born == claim.birth_date if row.born and claim.birth_date else None


def _as_register_row(row: ExclusionRow) -> RegisterRow:
    return RegisterRow(
        last_name=row.last_name, first_name=row.first_name, middle_name=row.middle_name
    )


def _hit(row: ExclusionRow, claim: Claim, *, certain: bool) -> Hit:
    person = " ".join(p for p in (row.first_name, row.middle_name, row.last_name) if p)
    return Hit(
        register="LEIE",
        reference=row.id,
        certain=certain,
        name=person or row.business,
        birth_date_matches=_birth_date_matches(row, claim),
        state=row.state,
        kind=_words(row.kind),
        date=row.excluded,
        reinstated=row.reinstated,
        waiver=(row.waiver_state or "some states") if row.waived else "",
    )


def _words(kind: str) -> str:
    """The list's code with what it means, where that is known."""
    words = _GROUNDS.get(re.sub(r"[^0-9a-z]", "", kind.lower()))
    return f"{words} ({kind})" if words else kind
