"""Import of the LEIE, the List of Excluded Individuals/Entities: full files and supplements.

The HHS Office of Inspector General publishes it. The full file (`UPDATED.csv`, monthly) is the
whole list and replaces what is there; a supplement (`2510EXCL.csv`, `2510REIN.csv`) adds a month's
exclusions, or reinstatements, to it. Dates are YYYYMMDD, all zeros for none; an NPI of all zeros is
none. A file is read whole or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.storage import exclusions
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.exclusions import ExclusionRow
from fedidoc.verification import npi as npi_rules
from fedidoc.verification.comparison import fold
from fedidoc.verification.imports import (
    BATCH,
    MAX_LINE,
    Progress,
    Report,
    Run,
    Source,
    columns_of,
    decode,
    digest_of,
    opened,
    parse_line,
)

REGISTER: Final = "leie"
COLUMNS: Final = (
    "LASTNAME", "FIRSTNAME", "MIDNAME", "BUSNAME", "GENERAL", "SPECIALTY", "UPIN", "NPI", "DOB",
    "ADDRESS", "CITY", "STATE", "ZIP", "EXCLTYPE", "EXCLDATE", "REINDATE", "WAIVERDATE", "WVRSTATE",
)  # fmt: skip
_SUPPLEMENT: Final = re.compile(r"[0-9]{4}(excl|rein)", re.IGNORECASE)


async def import_leie(
    db: Database,
    clock: Clock,
    path: Path,
    progress: Progress | None = None,
    *,
    supplement: bool | None = None,
) -> Report:
    """Read a file of the list. `supplement` adds to what is there instead of replacing it; None
    goes by the file's name, and refuses a "full" file that has less than half of what is there.

    All of it happens in one transaction, so that nobody is ever compared with half a list.
    """
    report = Report()
    adds = bool(_SUPPLEMENT.match(path.name)) if supplement is None else supplement
    with opened(path) as source:
        header = parse_line(decode(source.stream.readline(MAX_LINE)).strip("\ufeff\r\n"))
        names = columns_of(header or [])
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise BadInput(f"This is not a LEIE file: its header has no column “{missing[0]}”.")
        before = await exclusions.count(db)
        run = await Run.begin(db, clock, REGISTER, path, digest_of(path, str(adds)))
        if run is None:
            return Report(already=True)

        async def put(tx: Transaction) -> None:
            batch: dict[str, ExclusionRow] = {}
            for row in _rows(source, names, run.id, report, progress):
                batch[row.id] = row
                if len(batch) >= BATCH:
                    await exclusions.put(tx, list(batch.values()))
                    batch.clear()
            await exclusions.put(tx, list(batch.values()))
            if not adds:
                if supplement is None and report.rows < before / 2:
                    raise BadInput(
                        f"{path.name} has {report.rows:,} records, the list here {before:,}: say"
                        " --supplement if it adds to the list, --full if it is the whole list."
                    )
                report.removed = await exclusions.remove_others(tx, run.id)

        await run.store(put, report.rows, finished=True)
    if progress:
        progress(source.total, source.total, report.rows + report.malformed)
    return report


def _rows(
    source: Source, names: dict[str, int], run: str, report: Report, progress: Progress | None
) -> Iterator[ExclusionRow]:
    taken = 0
    while raw := source.stream.readline(MAX_LINE):
        taken += 1
        if progress and taken % BATCH == 0:
            progress(source.position(), source.total, taken)
        if not raw.strip():
            continue
        values = parse_line(decode(raw).rstrip("\r\n"))
        if values is None or len(values) != len(names):
            report.refuse(taken, "the record is malformed")
            continue
        row = _row({name: " ".join(values[at].split()) for name, at in names.items()}, run)
        if isinstance(row, str):
            report.refuse(taken, row)
            continue
        report.rows += 1
        yield row


def _row(values: dict[str, str], run: str) -> ExclusionRow | str:
    dates = {name: _date(values[name]) for name in ("DOB", "EXCLDATE", "REINDATE", "WAIVERDATE")}
    if None in dates.values():
        return "a date is not YYYYMMDD"
    if not values["LASTNAME"] and not values["BUSNAME"]:
        return "there is no name"
    number = values["NPI"] if npi_rules.valid(values["NPI"]) else ""
    # What stays the same when an exclusion is listed again, or as ended.
    same = ("LASTNAME", "FIRSTNAME", "MIDNAME", "BUSNAME", "DOB", "EXCLTYPE", "EXCLDATE")
    digest = hashlib.sha256("\0".join(values[name].upper() for name in same).encode())
    return ExclusionRow(
        id=digest.hexdigest()[:32],
        npi=number,
        surname=fold(values["LASTNAME"]),
        last_name=values["LASTNAME"],
        first_name=values["FIRSTNAME"],
        middle_name=values["MIDNAME"],
        business=values["BUSNAME"],
        general=values["GENERAL"],
        specialty=values["SPECIALTY"],
        born=dates["DOB"] or "",
        city=values["CITY"],
        state=values["STATE"].upper(),
        kind=values["EXCLTYPE"],
        excluded=dates["EXCLDATE"] or "",
        reinstated=dates["REINDATE"] or "",
        waived=dates["WAIVERDATE"] or "",
        waiver_state=values["WVRSTATE"].upper(),
        import_id=run,
    )


def _date(text: str) -> str | None:
    """YYYYMMDD as ISO; "" for none; None for anything else."""
    if not text.strip("0"):
        return ""
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return None
    if not ("01" <= text[4:6] <= "12" and "01" <= text[6:] <= "31"):
        return None
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"
