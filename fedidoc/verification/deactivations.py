"""Import of CMS's monthly "NPPES Deactivated NPI Report": a workbook, or the same table as CSV.

The first row is a title, the second names the columns, "NPI" and "NPPES Deactivation Date"; dates
are MM/DD/YYYY. CMS ships the workbook in a .zip.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.storage import registers
from fedidoc.storage.engine import Database
from fedidoc.verification import npi as npi_rules
from fedidoc.verification.imports import (
    BATCH,
    MAX_LINE,
    Progress,
    Report,
    Run,
    decode,
    digest_of,
    opened,
    parse_line,
)
from fedidoc.verification.nppes import iso_date
from fedidoc.verification.spreadsheets import read_sheet

REGISTER: Final = "deactivated"
_NPI: Final = "npi"
_DATE: Final = "nppes deactivation date"
_HEADER_WITHIN: Final = 10
_MAX_UNPACKED: Final = 256 << 20
_DAY_ZERO: Final = dt.date(1899, 12, 30)


async def import_deactivations(
    db: Database, clock: Clock, path: Path, progress: Progress | None = None
) -> Report:
    """Note every number of the report as deactivated. BadInput says what is wrong with the file.

    The report is small; there is no telling how many rows a workbook has before its end, so
    progress is told in rows.
    """
    report = Report()
    with _rows_of(path) as rows:
        npi_at, date_at = _find_columns(rows)
        run = await Run.begin(db, clock, REGISTER, path, digest_of(path))
        if run is None:
            return Report(already=True)
        report.resumed_at = run.done
        batch: list[tuple[str, str]] = []
        taken = 0
        for row in rows:
            taken += 1
            if taken <= run.done or not any(row):
                continue
            number = row[npi_at] if len(row) > npi_at else ""
            date = _date(row[date_at] if len(row) > date_at else "")
            if not npi_rules.valid(number):
                report.refuse(taken, "the NPI is not valid")
            elif not date:
                report.refuse(taken, "the date is not MM/DD/YYYY")
            else:
                batch.append((number, date))
                report.rows += 1
            if len(batch) >= BATCH:
                await run.store(partial(registers.deactivate_nppes, rows=list(batch)), taken)
                batch.clear()
                if progress:
                    progress(0, 0, taken)
        await run.store(partial(registers.deactivate_nppes, rows=batch), taken, finished=True)
        if progress:
            progress(1, 1, taken)
    return report


def _find_columns(rows: Iterator[list[str]]) -> tuple[int, int]:
    for _, row in zip(range(_HEADER_WITHIN), rows, strict=False):
        names = [" ".join(name.lower().split()) for name in row]
        if _NPI in names and _DATE in names:
            return names.index(_NPI), names.index(_DATE)
    raise BadInput(
        "This is not the deactivation report: none of its first rows has the columns “NPI” and"
        " “NPPES Deactivation Date”."
    )


def _date(text: str) -> str:
    """ISO from MM/DD/YYYY or from a workbook's count of days; "" for anything else."""
    if text.isascii() and text.isdigit() and len(text) == 5:
        return (_DAY_ZERO + dt.timedelta(days=int(text))).isoformat()
    return iso_date(text) or ""


@contextmanager
def _rows_of(path: Path) -> Iterator[Iterator[list[str]]]:
    """The rows of the workbook, of the workbook inside a .zip, or of a CSV file."""
    with tempfile.TemporaryDirectory(prefix="fedidoc-") as folder:
        names = _names_in(path)
        if any(name.lower().endswith(".xlsx") for name in names):
            yield read_sheet(_unpack(path, Path(folder)))
        elif "[Content_Types].xml" in names:
            yield read_sheet(path)
        else:
            with opened(path) as source:
                yield _records(source.stream)


def _records(stream: IO[bytes]) -> Iterator[list[str]]:
    while line := stream.readline(MAX_LINE):
        yield parse_line(decode(line).strip("\ufeff\r\n")) or []


def _names_in(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return []


def _unpack(path: Path, folder: Path) -> Path:
    """The workbook inside the .zip as a file of its own: it is a .zip again, read at random."""
    target = folder / "report.xlsx"
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.lower().endswith(".xlsx"))
            with archive.open(name) as inner, target.open("wb") as file:
                while piece := inner.read(1 << 20):
                    if file.tell() > _MAX_UNPACKED:
                        raise BadInput(f"{path} holds a workbook that is too large.")
                    file.write(piece)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        raise BadInput(f"{path} is a damaged .zip file; fetch it again.") from None
    return target
