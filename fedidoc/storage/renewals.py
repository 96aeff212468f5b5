"""Renewals that members asked for, reminders that were left, and whose credential ends when."""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.model import Account, Specialty
from fedidoc.storage.people import ACCOUNT, account_of, read_specialty, specialty_text
from fedidoc.storage.statements import Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class RenewalRow:
    """`state` is waiting, renewed, declined or withdrawn; `reason` is read by the member."""

    id: str
    account_id: str
    state: str
    specialty: Specialty | None
    jurisdiction: str
    changed: bool
    note_sealed: bytes
    created: int
    decided: int | None
    decided_by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """A verified member whose credential ends at `valid_until`, which was issued at `issued`."""

    account: Account
    name: str
    credential_id: str
    issued: int
    valid_until: int
    evidence_until: int | None
    renewal_id: str | None


def _row_of(row: Row) -> RenewalRow:
    return RenewalRow(
        id=row["id"],
        account_id=row["account_id"],
        state=row["state"],
        specialty=read_specialty(row["specialty"]),
        jurisdiction=row["jurisdiction"],
        changed=bool(row["changed"]),
        note_sealed=bytes(row["note_sealed"]),
        created=row["created"],
        decided=row["decided"],
        decided_by=row["decided_by"],
        reason=row["reason"],
    )


async def put(tx: Transaction, renewal: RenewalRow) -> bool:
    """False if one of the member waits already."""
    r = renewal
    rows = await tx.insert_many(
        "renewals",
        ("id", "account_id", "state", "specialty", "jurisdiction", "changed", "note_sealed",
         "created"),
        [(r.id, r.account_id, r.state, specialty_text(r.specialty), r.jurisdiction,
          int(r.changed), r.note_sealed, r.created)],
        conflict="ON CONFLICT (account_id) WHERE state = 'waiting' DO NOTHING",
        returning="id",
    )  # fmt: skip
    return bool(rows)


async def latest(reader: Reader, account_id: str) -> RenewalRow | None:
    """The one that the member asked for last."""
    row = await reader.fetch_one(
        "SELECT * FROM renewals WHERE account_id = ? ORDER BY created DESC, id DESC LIMIT 1",
        (account_id,),
    )
    return _row_of(row) if row else None


async def waiting(reader: Reader, account_id: str) -> RenewalRow | None:
    row = await reader.fetch_one(
        "SELECT * FROM renewals WHERE account_id = ? AND state = 'waiting'", (account_id,)
    )
    return _row_of(row) if row else None


async def settle(
    tx: Transaction, account_id: str, state: str, *, at: int, by: str, reason: str | None
) -> bool:
    """End the one that waits; False if none does."""
    changed = await tx.execute(
        "UPDATE renewals SET state = ?, decided = ?, decided_by = ?, reason = ?"
        " WHERE account_id = ? AND state = 'waiting'",
        (state, at, by, reason, account_id),
    )
    return changed == 1


_ENDING = (
    f"SELECT {ACCOUNT}, x.name, c.id AS credential_id, c.issued, c.valid_until,"
    " r.id AS renewal_id, (SELECT MIN(e.valid_until) FROM evidence e"
    " WHERE e.account_id = accounts.id AND e.withdrawn IS NULL AND e.valid_until > ?)"
    " AS evidence_until FROM credentials c JOIN accounts ON accounts.actor_id = c.actor_id"
    " JOIN actors x ON x.id = c.actor_id"
    " LEFT JOIN renewals r ON r.account_id = accounts.id AND r.state = 'waiting'"
    " WHERE c.revoked IS NULL AND c.superseded IS NULL AND accounts.standing = 'verified'"
)


def _ending_of(row: Row) -> Ending:
    return Ending(
        account=account_of(row),
        name=row["name"],
        credential_id=row["credential_id"],
        issued=row["issued"],
        valid_until=row["valid_until"],
        evidence_until=row["evidence_until"],
        renewal_id=row["renewal_id"],
    )


async def endings(
    reader: Reader, now: int, *, before: int, after: tuple[int, str] = (0, ""), limit: int
) -> list[Ending]:
    """Verified members by the end of their credentials, soonest first: those that end before a
    moment, behind (end, credential id)."""
    rows = await reader.fetch_all(
        _ENDING + " AND c.valid_until < ? AND (c.valid_until > ? OR (c.valid_until = ?"
        " AND c.id > ?)) ORDER BY c.valid_until, c.id LIMIT ?",
        (now, before, after[0], after[0], after[1], limit),
    )
    return [_ending_of(row) for row in rows]


async def asked(reader: Reader, now: int, limit: int) -> list[Ending]:
    """Members who wait for a renewal, soonest end first."""
    rows = await reader.fetch_all(
        _ENDING + " AND r.id IS NOT NULL ORDER BY c.valid_until, c.id LIMIT ?", (now, limit)
    )
    return [_ending_of(row) for row in rows]


async def ending_of(reader: Reader, account_id: str, now: int) -> Ending | None:
    """A verified member's credential and its end."""
    row = await reader.fetch_one(
        _ENDING + " AND accounts.id = ? ORDER BY c.issued DESC, c.id DESC LIMIT 1",
        (now, account_id),
    )
    return _ending_of(row) if row else None


async def remind(tx: Transaction, credential_id: str, days: int, at: int) -> bool:
    """Note that a reminder is left; False if it was before."""
    rows = await tx.insert_many(
        "reminders",
        ("credential_id", "days", "at"),
        [(credential_id, days, at)],
        conflict="ON CONFLICT (credential_id, days) DO NOTHING",
        returning="days",
    )
    return bool(rows)


async def unreminded(reader: Reader, now: int, *, days: int, span: int, limit: int) -> list[Ending]:
    """Those whose credential ends within `span` (ms), was given for longer, and who have no
    reminder for `days` yet."""
    rows = await reader.fetch_all(
        _ENDING + " AND c.valid_until > ? AND c.valid_until <= ? AND c.valid_until - c.issued > ?"
        " AND NOT EXISTS (SELECT 1 FROM reminders m WHERE m.credential_id = c.id AND m.days = ?)"
        " ORDER BY c.valid_until, c.id LIMIT ?",
        (now, now, now + span, span, days, limit),
    )
    return [_ending_of(row) for row in rows]
