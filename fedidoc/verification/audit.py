"""The audit log for people: pages of it, an export, and whether a log is whole.

A head (number and digest of the newest row) that is kept elsewhere shows later whether rows were
cut off at the end, or everything rewritten: by itself no log can show that.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from fedidoc.model import Page
from fedidoc.storage import moderation, people
from fedidoc.storage.engine import Database
from fedidoc.storage.moderation import AuditRow, Head
from fedidoc.storage.statements import Reader

_PAGE: Final = 50
_FIRST: Final = "0" * 64
_LONGEST_LINE: Final = 1 << 20
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row with the username behind `who`, or the name of a command or service; and the username
    behind the subject where that is a member, or what the row says."""

    row: AuditRow
    who: str
    about: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a log is whole. `broken` is the number of the first row that is missing, changed or
    out of place; `missing_head`: the head that was kept is not in it. `head` is the newest row."""

    head: Head
    broken: int | None = None
    missing_head: bool = False

    @property
    def whole(self) -> bool:
        return self.broken is None and not self.missing_head


class Audit:
    """Reads the log of one database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, before: str | None = None, action: str = "") -> Page[Entry]:
        """The newest first; of one action if that is given."""
        text = before or ""
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
        rows = await moderation.newest(self._db, before=number, action=action, limit=_PAGE + 1)
        shown = rows[:_PAGE]
        ids = {row.who for row in shown} | {row.subject for row in shown}
        names = await people.usernames(self._db, ids)
        entries = tuple(
            Entry(row, names.get(row.who, row.who), names.get(row.subject, row.subject))
            for row in shown
        )
        return Page(entries, str(shown[-1].number) if len(rows) > _PAGE else None)

    async def actions(self) -> list[str]:
        """Every action that the log has, by name."""
        return await moderation.actions(self._db)

    async def head(self) -> Head:
        """The newest row."""
        return await moderation.head(self._db)

    def export(self) -> AsyncIterator[bytes]:
        """Every row as a line of JSON with its digest, oldest first."""
        return export(self._db)


async def export(reader: Reader) -> AsyncIterator[bytes]:
    """Every row as a line of JSON with its digest, oldest first."""
    async for row in moderation.export(reader):
        yield json.dumps(asdict(row), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_head(text: str) -> Head | None:
    """A head as `audit head` prints it: `number digest`, or the digest alone (number 0)."""
    number, _, digest = text.strip().replace(":", " ").rpartition(" ")
    if _DIGEST.fullmatch(digest) is None or not (number.strip() or "0").isdigit():
        return None
    return Head(int(number.strip() or 0), digest)


async def verify(reader: Reader, kept: Head | None = None) -> Verdict:
    """Whether the database's log is whole, and goes on from the head that was kept."""
    broken = await moderation.verify(reader)
    missing = kept is not None and not await moderation.has(reader, kept.digest, kept.number)
    return Verdict(await moderation.head(reader), broken, missing)


def verify_lines(lines: Iterable[bytes], kept: Head | None = None) -> Verdict:
    """The same for an export."""
    head, found = Head(0, _FIRST), kept is None or kept.digest == _FIRST
    for line in lines:
        row = _row(line)
        if row is None or not moderation.check(row, head.number + 1, head.digest):
            return Verdict(head, head.number + 1, not found)
        head = Head(row.number, row.digest)
        found = found or (kept is not None and kept.digest == head.digest
                          and kept.number in (0, head.number))  # fmt: skip
    return Verdict(head, None, not found)


def _row(line: bytes) -> AuditRow | None:
    """A line of an export; None for what is none."""
    if len(line) > _LONGEST_LINE:
        return None
    try:
        fields: Any = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    kinds = {
        "number": int, "at": int, "who": str, "action": str, "subject": str, "detail": dict,
        "previous": str, "digest": str,
    }  # fmt: skip
    if not isinstance(fields, Mapping) or fields.keys() != kinds.keys():
        return None
    if any(type(fields[name]) is not kind for name, kind in kinds.items()):
        return None
    return AuditRow(**fields)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are there once: two readers must not read two things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found
