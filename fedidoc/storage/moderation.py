"""The audit log: who decided what, append-only, each row carrying the digest of the one before.

A row's digest is SHA-256 over the RFC 8785 canonical JSON of its fields and the digest of the row
before it, so that changing, removing or inserting a row breaks every digest after it. It does not
protect from somebody who rewrites the whole log: keep the newest digest elsewhere (`export`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from fedidoc.storage.statements import Reader, Row, Transaction, among

_FIRST = "0" * 64
_PAGE = 500


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One decision. `detail` holds ids, reasons and settings; never what is sealed elsewhere."""

    number: int  # from 1, without gaps
    at: int  # ms
    who: str  # an account's id, or the name of a command
    action: str
    subject: str
    detail: Mapping[str, Any]
    previous: str  # hex digest of the row before, zeros for the first
    digest: str


async def append(
    tx: Transaction, at: int, who: str, action: str, subject: str, detail: Mapping[str, Any]
) -> int:
    """Write a decision down in the transaction that carries it out; the row's number.

    `detail` is JSON with integers below 2^53. Decisions are numbered in the order they commit:
    on PostgreSQL a second one waits here for the first.
    """
    await tx.lock("audit")
    last = await tx.fetch_one("SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1")
    number = last["number"] + 1 if last else 1
    previous = last["digest"] if last else _FIRST
    text = json.dumps(detail, ensure_ascii=False)
    digest = _digest(number, at, who, action, subject, json.loads(text), previous)
    await tx.execute(
        "INSERT INTO audit (number, at, who, action, subject, detail, previous, digest)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, at, who, action, subject, text, previous, digest),
    )
    return number


async def verify(reader: Reader) -> int | None:
    """The number of the first row that is missing, changed or out of place; None: all is well.

    Rows cut off at the end leave no trace here: compare with a digest that was kept elsewhere.
    """
    number, previous = 0, _FIRST
    after = -(2**62)
    while rows := await _page(reader, after):
        for row in rows:
            number += 1
            if row["number"] != number or row["previous"] != previous:
                return number
            try:
                detail = json.loads(row["detail"])
                digest = _digest(
                    number, row["at"], row["who"], row["action"], row["subject"], detail, previous
                )
            except (ValueError, RecursionError):
                return number
            if digest != row["digest"]:
                return number
            previous, after = digest, number
    return None


async def export(reader: Reader, *, after: int = 0) -> AsyncIterator[AuditRow]:
    """All rows behind number `after`, oldest first, with their digests."""
    while rows := await _page(reader, after):
        for row in rows:
            after = row["number"]
            yield _row_of(row)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row: kept elsewhere, it shows later whether rows were cut off or rewritten."""

    number: int
    digest: str


async def head(reader: Reader) -> Head:
    """Number 0 and zeros while nothing was decided."""
    row = await reader.fetch_one("SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1")
    return Head(row["number"], row["digest"]) if row else Head(0, _FIRST)


async def has(reader: Reader, digest: str, number: int = 0) -> bool:
    """Whether a row has this digest, and this number unless that is 0, as a kept head must."""
    found = await reader.fetch_all("SELECT number FROM audit WHERE digest = ?", (digest,))
    return digest == _FIRST or any(number in (0, row["number"]) for row in found)


async def newest(
    reader: Reader, *, before: int | None = None, action: str = "", limit: int = 50
) -> list[AuditRow]:
    """Rows before number `before`, the newest first; of one action if that is given."""
    rows = await reader.fetch_all(
        "SELECT * FROM audit WHERE number < ? AND (? = '' OR action = ?)"
        " ORDER BY number DESC LIMIT ?",
        (2**62 if before is None else before, action, action, limit),
    )
    return [_row_of(row) for row in rows]


async def about(reader: Reader, subjects: Collection[str], *, limit: int = 200) -> list[AuditRow]:
    """Rows about any of the subjects, oldest first: the last `limit` of them."""
    where, params = among("subject", subjects)
    rows = await reader.fetch_all(
        f"SELECT * FROM audit WHERE {where} ORDER BY number DESC LIMIT ?", (*params, limit)
    )
    return [_row_of(row) for row in reversed(rows)]


async def actions(reader: Reader) -> list[str]:
    """Every action that was ever recorded, by name."""
    rows = await reader.fetch_all("SELECT DISTINCT action FROM audit ORDER BY action")
    return [row["action"] for row in rows]


def check(row: AuditRow, number: int, previous: str) -> bool:
    """Whether a row of an export is the whole row `number` behind the digest `previous`."""
    if (row.number, row.previous) != (number, previous):
        return False
    try:
        digest = _digest(number, row.at, row.who, row.action, row.subject, row.detail, row.previous)
    except (ValueError, RecursionError):
        return False
    return digest == row.digest


def _row_of(row: Row) -> AuditRow:
    return AuditRow(
        number=row["number"],
        at=row["at"],
        who=row["who"],
        action=row["action"],
        subject=row["subject"],
        detail=json.loads(row["detail"]),
        previous=row["previous"],
        digest=row["digest"],
    )


async def _page(reader: Reader, after: int) -> list[Row]:
    return await reader.fetch_all(
        "SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?", (after, _PAGE)
    )


def _digest(
    number: int, at: int, who: str, action: str, subject: str, detail: Any, previous: str
) -> str:
    fields = {
        "number": number,
        "at": at,
        "who": who,
        "action": action,
        "subject": subject,
        "detail": detail,
        "previous": previous,
    }
    return hashlib.sha256(rfc8785.dumps(fields)).hexdigest()
