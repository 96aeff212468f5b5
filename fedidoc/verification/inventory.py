"""Which registers are loaded, from which file, since when, and whether that is long ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedidoc.clock import DAY
from fedidoc.storage import registers
from fedidoc.storage.statements import Reader
from fedidoc.verification import deactivations, leie, nppes, nucc

# How many days a register's file serves: most are published monthly, NUCC's list twice a year.
FRESH_DAYS: Final = {
    nppes.REGISTER: 45,
    deactivations.REGISTER: 45,
    leie.REGISTER: 45,
    nucc.REGISTER: 400,
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


async def take(reader: Reader, now: int, *, count: bool = True) -> list[Shelf]:
    """Every register that fedidoc reads. Counting rows takes a second for NPPES; without `count`
    it is left out."""
    finished = {run.register: run for run in await registers.last_imports(reader)}
    shelves = []
    for name, days in FRESH_DAYS.items():
        run = finished.get(name)
        latest = await registers.latest_import(reader, name)
        loaded = run.finished if run else None
        shelves.append(
            Shelf(
                register=name,
                rows=await registers.count_rows(reader, name) if count and run else 0,
                file_name=run.file_name if run else "",
                loaded=loaded,
                stale=loaded is not None and now - loaded > days * DAY,
                unfinished=latest.file_name if latest and latest.finished is None else "",
            )
        )
    return shelves
