"""Evidence: what was seen of a person, when, and by whom. The words are sealed.

A row is never changed but once, when it is withdrawn; it then stays as it was.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fedidoc.storage.statements import Reader, Row, Transaction, among


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """`application_id` where it was recorded for one. `valid_until` in milliseconds; None: it does
    not run out."""

    id: str
    account_id: str
    application_id: str | None
    kind: str
    detail_sealed: bytes
    recorded: int
    recorded_by: str
    valid_until: int | None = None


_COLUMNS = (
    "id", "account_id", "application_id", "kind", "detail_sealed", "recorded", "recorded_by",
    "valid_until",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM evidence"


def _row_of(row: Row) -> EvidenceRow:
    return EvidenceRow(
        id=row["id"],
        account_id=row["account_id"],
        application_id=row["application_id"],
        kind=row["kind"],
        detail_sealed=bytes(row["detail_sealed"]),
        recorded=row["recorded"],
        recorded_by=row["recorded_by"],
        valid_until=row["valid_until"],
    )


async def put(tx: Transaction, row: EvidenceRow) -> None:
    await tx.insert_many(
        "evidence",
        _COLUMNS,
        [(row.id, row.account_id, row.application_id, row.kind, row.detail_sealed, row.recorded,
          row.recorded_by, row.valid_until)],
    )  # fmt: skip


async def get(reader: Reader, id: str) -> EvidenceRow | None:
    row = await reader.fetch_one(f"{_SELECT} WHERE id = ?", (id,))
    return _row_of(row) if row else None


async def held(reader: Reader, account_id: str, now: int) -> list[EvidenceRow]:
    """What counts now: neither withdrawn nor run out. Oldest first."""
    rows = await reader.fetch_all(
        f"{_SELECT} WHERE account_id = ? AND withdrawn IS NULL"
        " AND (valid_until IS NULL OR valid_until > ?) ORDER BY recorded, id",
        (account_id, now),
    )
    return [_row_of(row) for row in rows]


async def kinds_of(
    reader: Reader, account_ids: Collection[str], now: int
) -> dict[str, frozenset[str]]:
    """The kinds that count now, for many accounts at once; those without any are left out."""
    where, params = among("account_id", account_ids)
    rows = await reader.fetch_all(
        f"SELECT DISTINCT account_id, kind FROM evidence WHERE {where} AND withdrawn IS NULL"
        " AND (valid_until IS NULL OR valid_until > ?)",
        (*params, now),
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["account_id"], set()).add(row["kind"])
    return {account_id: frozenset(kinds) for account_id, kinds in found.items()}


async def ends_of(
    reader: Reader, account_ids: Collection[str], now: int
) -> dict[str, tuple[int, ...]]:
    """When what counts now runs out, for many accounts at once."""
    where, params = among("account_id", account_ids)
    rows = await reader.fetch_all(
        f"SELECT account_id, valid_until FROM evidence WHERE {where} AND withdrawn IS NULL"
        " AND valid_until > ?",
        (*params, now),
    )
    found: dict[str, tuple[int, ...]] = {}
    for row in rows:
        found[row["account_id"]] = (*found.get(row["account_id"], ()), row["valid_until"])
    return found


async def run_out(reader: Reader, now: int, limit: int) -> list[EvidenceRow]:
    """What was not withdrawn and counts no more, of members who are verified."""
    rows = await reader.fetch_all(
        f"SELECT {', '.join(f'evidence.{name}' for name in _COLUMNS)} FROM evidence"
        " JOIN accounts ON accounts.id = evidence.account_id"
        " WHERE evidence.withdrawn IS NULL AND evidence.valid_until <= ?"
        " AND accounts.standing = 'verified' ORDER BY evidence.valid_until, evidence.id LIMIT ?",
        (now, limit),
    )
    return [_row_of(row) for row in rows]


async def withdraw(tx: Transaction, id: str, *, at: int, by: str, why_sealed: bytes) -> bool:
    """False if it is unknown or was withdrawn already."""
    changed = await tx.execute(
        "UPDATE evidence SET withdrawn = ?, withdrawn_by = ?, withdrawal_sealed = ?"
        " WHERE id = ? AND withdrawn IS NULL",
        (at, by, why_sealed, id),
    )
    return changed == 1
