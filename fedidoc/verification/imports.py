"""How a register's file is read: opened, also inside a .zip; streamed in batches; resumed.

Every batch is stored together with the count of records that are done, so that an import that was
killed goes on where it stopped. A file that was the last one imported is not imported again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.storage import registers
from fedidoc.storage.engine import Database, Transaction

Progress = Callable[[int, int, int], None]
"""Called with bytes done, bytes in all (of the table, also inside a .zip), and records done."""

BATCH: Final = 5_000
MAX_LINE: Final = 1 << 16
_MAX_SAMPLES: Final = 10
_SAMPLE: Final = 1 << 20


@dataclass
class Report:
    """What an import did. `samples` names the first malformed records and what was wrong.

    `removed` are entries that the file, which is the whole register, no longer has.
    """

    rows: int = 0
    malformed: int = 0
    resumed_at: int = 0
    removed: int = 0
    already: bool = False
    samples: list[str] = field(default_factory=list)

    def refuse(self, record: int, reason: str) -> None:
        self.malformed += 1
        if len(self.samples) < _MAX_SAMPLES:
            self.samples.append(f"record {record}: {reason}")


@dataclass(frozen=True, slots=True)
class Source:
    """An open table: how far it was read, and its whole size, both in bytes."""

    stream: IO[bytes]
    position: Callable[[], int]
    total: int


class Run:
    """One file on its way into a register."""

    def __init__(self, db: Database, clock: Clock, id: str, register: str, done: int) -> None:
        self._db = db
        self._clock = clock
        self.id = id
        self._register = register
        self.done = done
        """Records that an earlier, interrupted run has stored."""

    @classmethod
    async def begin(
        cls, db: Database, clock: Clock, register: str, path: Path, digest: str
    ) -> Run | None:
        """A new run, or the last one of this register where it was interrupted in this very file.

        None if this file was the last one that was imported: there is nothing to do.
        """
        known = await registers.latest_import(db, register)
        if known is not None and known.file_digest == digest:
            if known.finished is not None:
                return None
            return cls(db, clock, known.id, register, known.rows_done)
        id = clock.sortable_id()
        async with db.transaction() as tx:
            await registers.begin_import(tx, id, register, path.name, digest, clock.now())
        return cls(db, clock, id, register, 0)

    async def store(
        self,
        put: Callable[[Transaction], Awaitable[None]],
        taken: int,
        *,
        finished: bool = False,
    ) -> None:
        """What `put` writes, and that `taken` records of the file are done, in one transaction.

        BadInput if another file of the same register was begun meanwhile: one at a time.
        """
        async with self._db.transaction() as tx:
            await put(tx)
            held = await registers.advance_import(
                tx, self.id, self._register, taken, finished=self._clock.now() if finished else None
            )
            if not held:
                raise BadInput(
                    f"Another import of {self._register} was begun meanwhile; this one stops."
                )


def digest_of(path: Path, *more: str) -> str:
    """Tells files apart without reading ten gigabytes twice: SHA-256 of the size and of a mebibyte
    at the beginning, in the middle and at the end, and of what else decides how it is read."""
    hashed = hashlib.sha256()
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for start in sorted({0, max(0, size // 2), max(0, size - _SAMPLE)}):
                file.seek(start)
                hashed.update(file.read(_SAMPLE))
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({type(error).__name__}).") from None
    for text in (str(size), *more):
        hashed.update(b"\0" + text.encode())
    return hashed.hexdigest()


@contextmanager
def opened(
    path: Path, suffix: str = ".csv", *, prefix: str = "", besides: str = "fileheader"
) -> Iterator[Source]:
    """The file, or the one inside a .zip whose name has this beginning and end, without `besides`.

    BadInput says what is wrong with the file.
    """
    try:
        raw = path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({type(error).__name__}).") from None
    with raw:
        # A workbook is a .zip itself.
        if suffix == ".xlsx" or not zipfile.is_zipfile(raw):
            raw.seek(0)
            yield Source(raw, raw.tell, path.stat().st_size)
            return
        raw.seek(0)
        try:
            with zipfile.ZipFile(raw) as archive:
                member = _member(archive, prefix, suffix, besides)
                with archive.open(member) as inner, _buffered(inner) as lines:
                    yield Source(lines, inner.tell, member.file_size)
        except zipfile.BadZipFile:
            raise BadInput(f"{path} is a damaged .zip file; fetch it again.") from None
        except NotImplementedError:
            raise BadInput(
                f"{path} is compressed in a way that Python cannot open; unzip it first."
            ) from None


def _buffered(inner: IO[bytes]) -> IO[bytes]:
    """A member of a .zip reads lines slowly by itself."""
    return io.BufferedReader(cast(io.RawIOBase, inner), 1 << 20)


def _member(archive: zipfile.ZipFile, prefix: str, suffix: str, besides: str) -> zipfile.ZipInfo:
    for info in archive.infolist():
        name = info.filename.rpartition("/")[2].lower()
        if name.startswith(prefix) and name.endswith(suffix) and besides not in name:
            return info
    raise BadInput(f"The .zip holds no {prefix}…{suffix} file.")


def decode(raw: bytes) -> str:
    """UTF-8, or Windows-1252, of which older files carry single bytes in names. NUL, which no
    database takes, is left out."""
    raw = raw.replace(b"\0", b"")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def parse_line(line: str, delimiter: str = ",") -> list[str] | None:
    """The values of one record; None if it is not one."""
    try:
        rows = list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def columns_of(header: list[str]) -> dict[str, int]:
    """Where each column is, by its name without what exports leave around it."""
    return {name.strip().strip("\ufeff").strip('"'): at for at, name in enumerate(header)}
