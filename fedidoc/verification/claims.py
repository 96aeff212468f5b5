"""What somebody who applies says of themselves, and what such a claim must have. Pure.

A claim holds a legal name, a licence number and an NPI: it is stored sealed and never leaves the
instance.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from fedidoc.errors import BadInput
from fedidoc.model import Role, Specialty
from fedidoc.verification import npi as npi_rules

# ISO 3166-2 after "US-": states, the District of Columbia and the territories.
US_STATES: Final = frozenset(
    (
        "AK", "AL", "AR", "AS", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "GU", "HI", "IA",
        "ID", "IL", "IN", "KS", "KY", "LA", "MA", "MD", "ME", "MI", "MN", "MO", "MP", "MS", "MT",
        "NC", "ND", "NE", "NH", "NJ", "NM", "NV", "NY", "OH", "OK", "OR", "PA", "PR", "RI", "SC",
        "SD", "TN", "TX", "UT", "VA", "VI", "VT", "WA", "WI", "WV", "WY",
    )
)  # fmt: skip
_JURISDICTION: Final = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_IN_TRAINING: Final = frozenset({Role.STUDENT, Role.RESIDENT})


@dataclass(frozen=True, slots=True)
class Claim:
    """`jurisdiction` is where the licence is from (ISO 3166: `US-NY`, `DE`, `CA-ON`).

    `birth_date` is ISO, or empty: it is asked for only where a list of excluded people is loaded.
    """

    legal_name: str
    profession: Role
    licence_number: str
    jurisdiction: str
    npi: str
    specialty: Specialty | None
    note: str = ""
    birth_date: str = ""

    @property
    def state(self) -> str:
        """The state within the United States as registers write it (`NY`); "" elsewhere."""
        return self.jurisdiction[3:] if self.jurisdiction.startswith("US-") else ""

    @property
    def place(self) -> str:
        """Where the licence is from, as a register's row says it: `NY`, or `DE`."""
        return self.state or self.jurisdiction


def tidy(claim: Claim, roles: Collection[str]) -> Claim:
    """The claim as it is stored. BadInput names the first field that is wrong, and why.

    `roles` are the professions that this instance takes. An NPI is needed for a licence of the
    United States, except from students; two letters beside an NPI are a state's (`CA` is California
    then, and Canada without).
    """
    if claim.profession is Role.STAFF or claim.profession.value not in roles:
        raise BadInput("This instance does not take this profession.", field="profession")
    name = " ".join(claim.legal_name.split())
    if not 2 <= len(name) <= 120 or not name.isprintable() or len(name.split()) < 2:
        raise BadInput(
            "Write your first and last name as they stand on your licence.", field="legal_name"
        )
    number = npi_rules.normalise(claim.npi)
    if number and not npi_rules.valid(number):
        raise BadInput(
            "This is not a valid NPI: it has ten digits, the last of which is a check digit.",
            field="npi",
        )
    jurisdiction = tidy_jurisdiction(claim.jurisdiction, number)
    licence = " ".join(claim.licence_number.split()).upper()
    if len(licence) > 40 or not licence.isprintable():
        raise BadInput("A licence number has at most 40 characters.", field="licence_number")
    if not licence and claim.profession not in _IN_TRAINING:
        raise BadInput("Give the number of your licence.", field="licence_number")
    in_the_states = jurisdiction == "US" or jurisdiction.startswith("US-")
    if in_the_states and not number and claim.profession is not Role.STUDENT:
        raise BadInput("Give your NPI; everybody licensed in the United States has one.",
                       field="npi")  # fmt: skip
    note = tidy_lines(claim.note)
    if len(note) > 2000:
        raise BadInput("Keep the note under 2,000 characters.", field="note")
    return replace(
        claim,
        birth_date=_tidy_birth_date(claim.birth_date),
        legal_name=name,
        npi=number,
        jurisdiction=jurisdiction,
        licence_number=licence,
        note=note,
    )


def licence_key(claim: Claim) -> str:
    """One spelling for one licence: `US-NY` and the number's letters and digits, each run of digits
    without leading zeros; empty without a number. Two members with the same key claim the same
    licence."""
    number = "".join(filter(str.isalnum, claim.licence_number.upper()))
    number = re.sub(r"(?<![0-9])0+(?=[0-9])", "", number)
    return f"{claim.jurisdiction} {number}" if number else ""


def _tidy_birth_date(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    try:
        born = dt.date.fromisoformat(text)
    except ValueError:
        born = dt.date.min
    if not text.isascii() or len(text) != 10 or not 1900 <= born.year <= 2020:
        raise BadInput(
            "Write your date of birth as year, month and day, such as 1975-03-30, or leave it out.",
            field="birth_date",
        )
    return born.isoformat()


def tidy_lines(text: str) -> str:
    """Lines that somebody typed, without what no database and no page can hold."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ").split("\n")
    return "\n".join("".join(filter(str.isprintable, line)).rstrip() for line in lines).strip()


def tidy_jurisdiction(text: str, npi: str) -> str:
    """Where a licence is from, as a code; BadInput if the text is none."""
    code = text.strip().upper()
    if npi and code in US_STATES:
        code = f"US-{code}"
    unknown_state = code.startswith("US-") and code[3:] not in US_STATES
    if not text.isascii() or _JURISDICTION.fullmatch(code) is None or unknown_state:
        raise BadInput(
            "Give the state or country of your licence as a code, such as US-NY, CA-ON or DE.",
            field="jurisdiction",
        )
    return code


def to_bytes(claim: Claim) -> bytes:
    """For sealing."""
    return json.dumps(asdict(claim), ensure_ascii=False).encode()


def from_bytes(data: bytes) -> Claim:
    """What `to_bytes` made."""
    fields: dict[str, Any] = json.loads(data)
    specialty = fields.pop("specialty")
    return Claim(
        **{**fields, "profession": Role(fields["profession"])},
        specialty=Specialty(**specialty) if specialty else None,
    )
