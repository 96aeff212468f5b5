"""Which registers are loaded, from which file, since when, and whether that is long ago."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fedidoc.clock import DAY
from fedidoc.config import RegisterFile
from fedidoc.storage import registers
from fedidoc.storage.registers import ImportRun
from fedidoc.storage.statements import Reader
from fedidoc.verification import deactivations, fhir, leie, nppes, nucc

# How many days a register's file serves: most are published monthly, NUCC's list twice a year.
FRESH_DAYS: Final = {
    nppes.REGISTER: 45,
    deactivations.REGISTER: 45,
    leie.REGISTER: 45,
    nucc.REGISTER: 400,
    fhir.REGISTER: 45,
}


@dataclass(frozen=True, slots=True)
class Shelf:
    """One register. `loaded` is when its last file was imported (UTC milliseconds), None for never;
    `unfinished` names a file whose import was interrupted and would go on."""

    register: str
    rows: int
    file_name: str
    loaded: int | None
    stale: bool
    unfinished: str


def is_stale(run: ImportRun, now: int, mapped: Mapping[str, RegisterFile]) -> bool:
    """Whether the import of a register's last file is longer ago than such a file serves."""
    return run.finished is not None and now - run.finished > _days(run.register, mapped) * DAY


def _days(register: str, mapped: Mapping[str, RegisterFile]) -> int:
    return mapped[register].fresh_days if register in mapped else FRESH_DAYS.get(register, 45)


async def take(
    reader: Reader, now: int, mapped: Mapping[str, RegisterFile], *, count: bool = True
) -> list[Shelf]:
    """Every register that fedidoc reads, those that the configuration maps among them. Counting
    rows takes a second for NPPES; without `count` it is left out."""
    finished = {run.register: run for run in await registers.last_imports(reader)}
    shelves = []
    for name in [*FRESH_DAYS, *mapped]:
        run = finished.get(name)
        latest = await registers.latest_import(reader, name)
        shelves.append(
            Shelf(
                register=name,
                rows=await registers.count_rows(reader, name) if count and run else 0,
                file_name=run.file_name if run else "",
                loaded=run.finished if run else None,
                stale=run is not None and is_stale(run, now, mapped),
                unfinished=latest.file_name if latest and latest.finished is None else "",
            )
        )
    return shelves
