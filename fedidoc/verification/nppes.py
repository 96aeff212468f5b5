"""Import of the NPPES data dissemination files (CMS, layout V.2: 330 columns), full and weekly.

The whole country is about nine million rows and ten gigabytes, so the file is streamed, also from
inside the .zip that CMS ships; columns are found by their names in the header. A malformed row is
counted and passed over. An import that was interrupted goes on where it stopped. A row replaces the
one that is there unless that is newer, so that the order of full and weekly files does not matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
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
    columns_of,
    decode,
    digest_of,
    opened,
    parse_line,
)

REGISTER: Final = "nppes"
_START: Final = re.compile(rb'"[0-9]{10}","')
_TAXONOMIES: Final = 15

_NPI = "NPI"
_PLAIN: Final = {
    "entity_type": "Entity Type Code",
    "organisation": "Provider Organization Name (Legal Business Name)",
    "last_name": "Provider Last Name (Legal Name)",
    "first_name": "Provider First Name",
    "middle_name": "Provider Middle Name",
    "credential": "Provider Credential Text",
    "city": "Provider Business Practice Location Address City Name",
    "state": "Provider Business Practice Location Address State Name",
    "enumerated": "Provider Enumeration Date",
    "updated": "Last Update Date",
    "deactivated": "NPI Deactivation Date",
    "reactivated": "NPI Reactivation Date",
}
_REPEATED: Final = (
    "Healthcare Provider Taxonomy Code_{}",
    "Provider License Number_{}",
    "Provider License Number State Code_{}",
    "Healthcare Provider Primary Taxonomy Switch_{}",
)


class Layout:
    """Where the wanted columns are, from the header's names."""

    def __init__(self, header: list[str]) -> None:
        names = columns_of(header)
        required = [_NPI, *_PLAIN.values(), *(name.format(1) for name in _REPEATED)]
        missing = [name for name in required if name not in names]
        if missing:
            raise BadInput(
                f"This is not an NPPES file: its header has no column “{missing[0]}”"
                + (f" (and {len(missing) - 1} more are missing)." if len(missing) > 1 else ".")
            )
        self.width = len(header)
        self.npi = names[_NPI]
        at = {field: names[name] for field, name in _PLAIN.items()}
        self.at = at
        self.groups = [
            tuple(names[name.format(number)] for name in _REPEATED)
            for number in range(1, _TAXONOMIES + 1)
            if all(name.format(number) in names for name in _REPEATED)
        ]
        # What lies behind the last wanted column need not be taken apart.
        self.last = max(self.npi, *at.values(), *(max(group) for group in self.groups))

    def row(self, values: list[str]) -> tuple[str, ...] | str:
        """The values of `registers.NPPES_COLUMNS`, or what is wrong with them."""
        number = values[self.npi]
        if not npi_rules.valid(number):
            return "the NPI is not valid"
        at = self.at
        kind = values[at["entity_type"]]
        if kind not in ("", "1", "2"):
            return "the entity type is neither 1 nor 2"
        codes: list[str] = []
        licences: list[tuple[str, str, str]] = []
        for code_at, licence_at, state_at, primary_at in self.groups:
            code, licence = values[code_at], values[licence_at]
            if code:
                if values[primary_at] == "Y":
                    codes.insert(0, code)
                else:
                    codes.append(code)
            elif not licence:
                # The groups are filled from the first on.
                break
            if licence:
                licences.append((licence, values[state_at], code))
        dates = [iso_date(values[at[name]]) for name in _DATES]
        if None in dates:
            return "a date is not MM/DD/YYYY"
        last = values[at["organisation"]] if kind == "2" else values[at["last_name"]]
        return (
            number,
            kind,
            last,
            values[at["first_name"]],
            values[at["middle_name"]],
            values[at["credential"]],
            values[at["city"]],
            values[at["state"]],
            json.dumps(codes) if codes else "[]",
            json.dumps(licences, ensure_ascii=False) if licences else "[]",
            *(date or "" for date in dates),
        )


_DATES: Final = ("enumerated", "updated", "deactivated", "reactivated")


def iso_date(text: str) -> str | None:
    """MM/DD/YYYY as ISO; "" for nothing, None for anything else."""
    if not text:
        return ""
    if len(text) == 10 and text[2] == text[5] == "/":
        date = f"{text[6:]}-{text[:2]}-{text[3:5]}"
        if (text[6:] + text[:2] + text[3:5]).isdigit() and "01" <= text[:2] <= "12":
            return date
    return None


@dataclass
class _Records:
    """Records of an open file, one after the other: values, or None for one that is broken.

    Nearly every line is a whole record in which each value is quoted and holds no quote, and such a
    line splits at `","`. Anything else goes through the csv module, together with the lines that a
    quoted line break makes of it.
    """

    stream: IO[bytes]
    layout: Layout
    taken: int = 0
    _held: bytes = b""

    def skip(self, count: int) -> None:
        for _ in range(count):
            if not self._next():
                return

    def __iter__(self) -> Iterator[list[str] | None]:
        layout = self.layout
        cut = layout.last + 1
        quotes, seams = 2 * layout.width, layout.width - 1
        while raw := self._next():
            if len(raw) > MAX_LINE:
                yield None
                continue
            line = decode(raw).rstrip("\r\n")
            if (
                line.count('"') == quotes
                and line.count('","') == seams
                and line.startswith('"')
                and line.endswith('"')
            ):
                values = line[1:-1].split('","', cut)
            else:
                found = parse_line(line)
                if found is None or len(found) != layout.width:
                    yield None
                    continue
                values = found
            yield values

    def _next(self) -> bytes:
        """One record's bytes: a line, and the lines behind it while a quote stands open. A quote
        too many swallows no good record: what begins like one is the next. Nothing at the end."""
        line = self._line()
        self.taken += bool(line)
        if line.count(b'"') % 2 == 0:
            return line
        parts = [line]
        size = len(line)
        while size <= MAX_LINE and (more := self._line()):
            if _START.match(more):
                self._held = more
                break
            parts.append(more)
            size += len(more)
            if more.count(b'"') % 2 == 1:
                break
        return b"".join(parts)

    def _line(self) -> bytes:
        held, self._held = self._held, b""
        return held or self.stream.readline(MAX_LINE + 1)


async def import_nppes(
    db: Database, clock: Clock, path: Path, progress: Progress | None = None
) -> Report:
    """Read the dissemination file at `path` (.csv, or the .zip that CMS ships) into the register.

    BadInput names what is wrong with the file as a whole. Runs on the caller's loop in batches:
    made for a command, not for a server that answers meanwhile.
    """
    report = Report()
    with opened(path, prefix="npidata_pfile_") as source:
        header = parse_line(decode(source.stream.readline(MAX_LINE)).rstrip("\r\n"))
        records = _Records(source.stream, Layout(header or []))
        run = await Run.begin(db, clock, REGISTER, path, digest_of(path))
        if run is None:
            return Report(already=True)
        report.resumed_at = run.done
        records.skip(run.done)
        batch: dict[str, tuple[str, ...]] = {}
        for values in records:
            row = records.layout.row(values) if values else "the record is malformed"
            if isinstance(row, str):
                report.refuse(records.taken, row)
            else:
                batch[row[0]] = row
                report.rows += 1
            if len(batch) >= BATCH or records.taken % BATCH == 0:
                await run.store(
                    partial(registers.put_nppes, rows=list(batch.values())), records.taken
                )
                batch.clear()
                if progress:
                    progress(source.position(), source.total, records.taken)
        await run.store(
            partial(registers.put_nppes, rows=list(batch.values())), records.taken, finished=True
        )
        if progress:
            progress(source.total, source.total, records.taken)
    return report
