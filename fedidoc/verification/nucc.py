"""Import of NUCC's Health Care Provider Taxonomy: what the codes of specialties mean."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.storage import registers
from fedidoc.storage.engine import Database
from fedidoc.storage.registers import NuccRow
from fedidoc.verification.imports import Progress, Report, Run, decode, digest_of, opened

REGISTER: Final = "nucc"
_COLUMNS: Final = ("Code", "Grouping", "Classification", "Specialization", "Display Name")
_MAX_BYTES: Final = 1 << 24


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
