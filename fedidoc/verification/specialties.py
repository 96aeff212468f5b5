"""Specialties: NUCC Health Care Provider Taxonomy codes and the words for them.

A short list of common specialties is built in, so that forms work before anything is imported;
the imported NUCC table wins wherever it has the code (`fedidoc register import nucc FILE`).
"""

from __future__ import annotations

import re
from typing import Final

from fedidoc.model import Specialty
from fedidoc.storage import registers
from fedidoc.storage.statements import Reader

_CODE: Final = re.compile(r"[0-9A-Z]{9}X")

# Code -> our own words, in the order of the words.
COMMON: Final[dict[str, str]] = {
    "207K00000X": "Allergy & Immunology",
    "207L00000X": "Anesthesiology",
    "207LP2900X": "Anesthesiology: Pain Medicine",
    "207RC0000X": "Cardiovascular Disease",
    "207RI0011X": "Cardiology: Interventional",
    "207RC0001X": "Cardiology: Clinical Cardiac Electrophysiology",
    "2084P0804X": "Child & Adolescent Psychiatry",
    "208C00000X": "Colon & Rectal Surgery",
    "207RC0200X": "Critical Care Medicine",
    "207N00000X": "Dermatology",
    "207P00000X": "Emergency Medicine",
    "207RE0101X": "Endocrinology, Diabetes & Metabolism",
    "207Q00000X": "Family Medicine",
    "207RG0100X": "Gastroenterology",
    "208D00000X": "General Practice",
    "207RG0300X": "Geriatric Medicine",
    "207VX0201X": "Gynecologic Oncology",
    "207RH0003X": "Hematology & Oncology",
    "208M00000X": "Hospitalist",
    "207RI0200X": "Infectious Disease",
    "207R00000X": "Internal Medicine",
    "207VM0101X": "Maternal & Fetal Medicine",
    "207RX0202X": "Medical Oncology",
    "2080N0001X": "Neonatal-Perinatal Medicine",
    "207RN0300X": "Nephrology",
    "207T00000X": "Neurological Surgery",
    "2084N0400X": "Neurology",
    "207U00000X": "Nuclear Medicine",
    "363L00000X": "Nurse Practitioner",
    "363LF0000X": "Nurse Practitioner: Family",
    "207V00000X": "Obstetrics & Gynecology",
    "207W00000X": "Ophthalmology",
    "204E00000X": "Oral & Maxillofacial Surgery",
    "207X00000X": "Orthopaedic Surgery",
    "207XS0114X": "Orthopaedic Surgery: Adult Reconstructive",
    "207XX0004X": "Orthopaedic Surgery: Foot and Ankle",
    "207XS0106X": "Orthopaedic Surgery: Hand",
    "207XS0117X": "Orthopaedic Surgery: Spine",
    "207XX0005X": "Orthopaedic Surgery: Sports Medicine",
    "207XX0801X": "Orthopaedic Surgery: Trauma",
    "207Y00000X": "Otolaryngology",
    "208VP0000X": "Pain Medicine",
    "207ZP0102X": "Pathology: Anatomic & Clinical",
    "2080P0202X": "Pediatric Cardiology",
    "2080P0203X": "Pediatric Critical Care Medicine",
    "2080P0207X": "Pediatric Hematology-Oncology",
    "2086S0120X": "Pediatric Surgery",
    "208000000X": "Pediatrics",
    "208100000X": "Physical Medicine & Rehabilitation",
    "363A00000X": "Physician Assistant",
    "208200000X": "Plastic Surgery",
    "208300000X": "Preventive Medicine",
    "2084P0800X": "Psychiatry",
    "207RP1001X": "Pulmonary Disease",
    "2085R0001X": "Radiation Oncology",
    "2085R0202X": "Radiology: Diagnostic",
    "2085R0204X": "Radiology: Vascular & Interventional",
    "207VE0102X": "Reproductive Endocrinology & Infertility",
    "207RR0500X": "Rheumatology",
    "390200000X": "Student or Resident in Training",
    "208600000X": "Surgery",
    "2086X0206X": "Surgical Oncology",
    "2086S0127X": "Surgery: Trauma",
    "208G00000X": "Thoracic Surgery",
    "204F00000X": "Transplant Surgery",
    "208800000X": "Urology",
    "2086S0129X": "Vascular Surgery",
}


def well_formed(code: str) -> bool:
    """Whether `code` looks like a NUCC code: ten characters, the last an X."""
    return _CODE.fullmatch(code) is not None


class Specialties:
    """Words for codes. Reads the database at every call: the table may be imported meanwhile."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, code: str) -> Specialty | None:
        """The specialty with a code, whatever the case of its letters; None if nobody knows it."""
        code = code.strip().upper()
        if not well_formed(code):
            return None
        display = (await registers.nucc_displays(self._reader, [code])).get(code)
        label = _shorten(display) if display else COMMON.get(code)
        return Specialty(code, label) if label else None

    async def common(self) -> tuple[Specialty, ...]:
        """The common ones by their words, for a form to offer."""
        displays = await registers.nucc_displays(self._reader, list(COMMON))
        found = [
            Specialty(code, _shorten(displays[code]) if code in displays else label)
            for code, label in COMMON.items()
        ]
        return tuple(sorted(found, key=lambda s: s.label.casefold()))


def _shorten(display: str) -> str:
    """NUCC ends what it shows of a physician with the word; here that is what most of them are."""
    return display.removesuffix(" Physician")
