"""Import of the NPPES data dissemination file (CMS, layout V.2: 330 columns) and of the NUCC list.

The whole country is about nine million rows and ten gigabytes, so the file is streamed, also from
inside the .zip that CMS ships; columns are found by their names in the header. A malformed row is
counted and passed over. An import that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.storage import registers
from fedidoc.storage.engine import Database
from fedidoc.verification import npi as npi_rules

Progress = Callable[[int, int, int], None]
"""Called with bytes done, bytes in all (of the CSV, also inside a .zip), and records done."""

BATCH: Final = 5_000
_MAX_LINE: Final = 1 << 16
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


@dataclass
class Report:
    """What an import did. `samples` names the first malformed records and what was wrong."""

    rows: int = 0
    malformed: int = 0
    resumed_at: int = 0
    already: bool = False
    samples: list[str] = field(default_factory=list)

    def refuse(self, record: int, reason: str) -> None:
        self.malformed += 1
        if len(self.samples) < 10:
            self.samples.append(f"record {record}: {reason}")


class Layout:
    """Where the wanted columns are, from the header's names."""

    def __init__(self, header: list[str]) -> None:
        names = {name.strip().strip("\ufeff").strip('"'): at for at, name in enumerate(header)}
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
        dates = [_iso(values[at[name]]) for name in _DATES]
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


def _iso(text: str) -> str | None:
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
            if len(raw) > _MAX_LINE:
                yield None
                continue
            line = _decode(raw).rstrip("\r\n")
            if (
                line.count('"') == quotes
                and line.count('","') == seams
                and line.startswith('"')
                and line.endswith('"')
            ):
                values = line[1:-1].split('","', cut)
            else:
                found = _parse(line)
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
        while size <= _MAX_LINE and (more := self._line()):
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
        return held or self.stream.readline(_MAX_LINE + 1)


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        # Older files carry single bytes of Windows-1252 in names.
        return raw.decode("cp1252", "replace")


def _parse(line: str) -> list[str] | None:
    try:
        rows = list(csv.reader(io.StringIO(line, newline=""), strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


async def import_nppes(
    db: Database, clock: Clock, path: Path, progress: Progress | None = None
) -> Report:
    """Read the dissemination file at `path` (.csv, or the .zip that CMS ships) into the register.

    BadInput names what is wrong with the file as a whole. Runs on the caller's loop in batches:
    made for a command, not for a server that answers meanwhile.
    """
    report = Report()
    with _opened(path, "npidata_pfile_", ".csv") as (stream, position, total):
        digest = _digest(path)
        header = _parse(_decode(stream.readline(_MAX_LINE)).rstrip("\r\n"))
        records = _Records(stream, Layout(header or []))
        run, done = await _begin(db, clock, "nppes", path, digest)
        if run is None:
            return Report(already=True)
        report.resumed_at = done
        records.skip(done)
        batch: dict[str, tuple[str, ...]] = {}
        for values in records:
            row = records.layout.row(values) if values else "the record is malformed"
            if isinstance(row, str):
                report.refuse(records.taken, row)
            else:
                batch[row[0]] = row
                report.rows += 1
            if len(batch) >= BATCH or records.taken % BATCH == 0:
                await _store(db, run, batch, records.taken)
                if progress:
                    progress(position(), total, records.taken)
        await _store(db, run, batch, records.taken, finished=clock.now())
        if progress:
            progress(total, total, records.taken)
    return report


async def _begin(
    db: Database, clock: Clock, register: str, path: Path, digest: str
) -> tuple[str | None, int]:
    """The import's id and the records that are done; no id if this file is imported already."""
    known = await registers.import_of(db, register, digest)
    if known is not None:
        return (None, 0) if known.finished else (known.id, known.rows_done)
    run = clock.sortable_id()
    async with db.transaction() as tx:
        await registers.begin_import(tx, run, register, path.name, digest, clock.now())
    return run, 0


async def _store(
    db: Database,
    run: str,
    batch: dict[str, tuple[str, ...]],
    taken: int,
    *,
    finished: int | None = None,
) -> None:
    async with db.transaction() as tx:
        await registers.put_nppes(tx, list(batch.values()))
        await registers.advance_import(tx, run, taken, finished=finished)
    batch.clear()


_NUCC_COLUMNS: Final = ("Code", "Grouping", "Classification", "Specialization", "Display Name")


async def import_nucc(
    db: Database, clock: Clock, path: Path, progress: Progress | None = None
) -> Report:
    """Read NUCC's taxonomy (`nucc_taxonomy_*.csv`, or a .zip with it) into the register."""
    report = Report()
    with _opened(path, "nucc_taxonomy", ".csv") as (stream, _, total):
        text = _decode(stream.read(1 << 24)).removeprefix("\ufeff")
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(rows, [])
        missing = [name for name in _NUCC_COLUMNS if name not in header]
        if missing:
            raise BadInput(f"This is not NUCC's list: its header has no column “{missing[0]}”.")
        at = [header.index(name) for name in _NUCC_COLUMNS]
        found: dict[str, tuple[str, str, str, str, str]] = {}
        for number, row in enumerate(rows, start=2):
            if len(row) <= max(at) or len(row[at[0]].strip()) != 10:
                if any(row):
                    report.refuse(number, "the record is malformed")
                continue
            code, grouping, classification, special, display = (row[i].strip() for i in at)
            display = display or special or classification
            found[code] = (code, grouping, classification, special, display)
    except csv.Error:
        raise BadInput("This is not NUCC's list: it cannot be read as CSV.") from None
    async with db.transaction() as tx:
        await registers.put_nucc(tx, list(found.values()))
        run = clock.sortable_id()
        await registers.begin_import(tx, run, "nucc", path.name, _digest(path), clock.now())
        await registers.advance_import(tx, run, len(found), finished=clock.now())
    report.rows = len(found)
    if progress:
        progress(total, total, report.rows)
    return report


def _digest(path: Path) -> str:
    """SHA-256 of the size and the first mebibyte: tells files apart without reading them twice."""
    hashed = hashlib.sha256(str(path.stat().st_size).encode() + b"\n")
    with path.open("rb") as file:
        hashed.update(file.read(1 << 20))
    return hashed.hexdigest()


@contextmanager
def _opened(
    path: Path, prefix: str, suffix: str
) -> Iterator[tuple[IO[bytes], Callable[[], int], int]]:
    """The file, or the one inside a .zip that is meant; how far it was read, and its whole size."""
    try:
        raw = path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({type(error).__name__}).") from None
    with raw:
        if not zipfile.is_zipfile(raw):
            raw.seek(0)
            yield raw, raw.tell, path.stat().st_size
            return
        raw.seek(0)
        try:
            with zipfile.ZipFile(raw) as archive:
                member = _member(archive, prefix, suffix)
                with archive.open(member) as inner, _buffered(inner) as lines:
                    yield lines, inner.tell, member.file_size
        except zipfile.BadZipFile:
            raise BadInput(f"{path} is a damaged .zip file; fetch it again.") from None
        except NotImplementedError:
            raise BadInput(
                f"{path} is compressed in a way that Python cannot open; unzip it first."
            ) from None


def _buffered(inner: IO[bytes]) -> IO[bytes]:
    """A member of a .zip reads lines slowly by itself."""
    return io.BufferedReader(cast(io.RawIOBase, inner), 1 << 20)


def _member(archive: zipfile.ZipFile, prefix: str, suffix: str) -> zipfile.ZipInfo:
    """CMS ships the data beside a file that holds the header alone (`…_fileheader.csv`)."""
    for info in archive.infolist():
        name = info.filename.rpartition("/")[2].lower()
        if name.startswith(prefix) and name.endswith(suffix) and "fileheader" not in name:
            return info
    raise BadInput(f"The .zip holds no {prefix}…{suffix} file.")
