"""Import of NUCC's Health Care Provider Taxonomy, and the professions that its codes stand for.

NUCC groups its codes: "Allopathic & Osteopathic Physicians", "Physician Assistants & Advanced
Practice Nursing Providers", "Student, Health Care". A register that gives somebody a code of a
group says which profession they have; one code, 390200000X, is that of all who are in training.
"""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.model import Role
from fedidoc.storage import registers
from fedidoc.storage.engine import Database
from fedidoc.storage.registers import NuccRow
from fedidoc.verification.imports import Progress, Report, Run, decode, digest_of, opened

REGISTER: Final = "nucc"
IN_TRAINING: Final = "390200000X"
_COLUMNS: Final = ("Code", "Grouping", "Classification", "Specialization", "Display Name")
_MAX_BYTES: Final = 1 << 24

_PHYSICIANS: Final = "allopathic & osteopathic physicians"
_ADVANCED: Final = {
    "nurse practitioner": frozenset({Role.NURSE_PRACTITIONER}),
    "physician assistant": frozenset({Role.PHYSICIAN_ASSISTANT}),
}
# How codes begin, for as long as the list itself is not imported.
_BEGINNINGS: Final = {
    "20": frozenset({Role.PHYSICIAN, Role.RESIDENT}),
    "363L": _ADVANCED["nurse practitioner"],
    "363A": _ADVANCED["physician assistant"],
}


def professions_of(code: str, known: NuccRow | None) -> frozenset[Role]:
    """The professions that somebody with this code may have; none for all that is not medicine.

    `known` is the code's row in the imported list. A resident may have a physician's code already,
    a student has none but the one of training.
    """
    if code == IN_TRAINING:
        return frozenset({Role.STUDENT, Role.RESIDENT})
    if known is None:
        return next(
            (roles for start, roles in _BEGINNINGS.items() if code.startswith(start)), frozenset()
        )
    if known.grouping.casefold() == _PHYSICIANS:
        return _BEGINNINGS["20"]
    if known.grouping.casefold().startswith("physician assistants & advanced practice"):
        return _ADVANCED.get(known.classification.casefold(), frozenset())
    return frozenset()


async def import_nucc(
    db: Database, clock: Clock, path: Path, progress: Progress | None = None
) -> Report:
    """Read NUCC's taxonomy (`nucc_taxonomy_*.csv`, or a .zip with it) into the register."""
    report = Report()
    with opened(path, prefix="nucc_taxonomy") as source:
        text = decode(source.stream.read(_MAX_BYTES)).removeprefix("\ufeff")
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(rows, [])
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            raise BadInput(f"This is not NUCC's list: its header has no column “{missing[0]}”.")
        at = [header.index(name) for name in _COLUMNS]
        found: dict[str, NuccRow] = {}
        for number, row in enumerate(rows, start=2):
            if len(row) <= max(at) or len(row[at[0]].strip()) != 10:
                if any(row):
                    report.refuse(number, "the record is malformed")
                continue
            code, grouping, classification, special, display = (row[i].strip() for i in at)
            display = display or special or classification
            found[code] = NuccRow(code, grouping, classification, special, display)
    except csv.Error:
        raise BadInput("This is not NUCC's list: it cannot be read as CSV.") from None
    run = await Run.begin(db, clock, REGISTER, path, digest_of(path))
    if run is None:
        return Report(already=True)
    await run.store(
        partial(registers.put_nucc, rows=list(found.values())), len(found), finished=True
    )
    report.rows = len(found)
    if progress:
        progress(source.total, source.total, report.rows)
    return report
