"""Drafts: what a member is writing, sealed by the caller. One for each member and form."""

from __future__ import annotations

from fedidoc.storage.statements import Reader, Transaction


async def put(
    tx: Transaction, draft_id: str, account_id: str, place: str, sealed: bytes, now: int
) -> None:
    """Store a draft in place of the one before."""
    await tx.insert_many(
        "drafts",
        ("id", "account_id", "place", "fields_sealed", "saved"),
        [(draft_id, account_id, place, sealed, now)],
        conflict="ON CONFLICT (account_id, place) DO UPDATE SET"
        " fields_sealed = excluded.fields_sealed, saved = excluded.saved",
    )


async def get(reader: Reader, account_id: str, place: str) -> tuple[bytes, int] | None:
    """(sealed fields, when they were saved)."""
    row = await reader.fetch_one(
        "SELECT fields_sealed, saved FROM drafts WHERE account_id = ? AND place = ?",
        (account_id, place),
    )
    return (bytes(row["fields_sealed"]), row["saved"]) if row else None


async def every(reader: Reader, account_id: str, limit: int) -> list[tuple[str, bytes, int]]:
    """(place, sealed fields, saved) of a member's drafts, the latest first."""
    rows = await reader.fetch_all(
        "SELECT place, fields_sealed, saved FROM drafts WHERE account_id = ?"
        " ORDER BY saved DESC, place LIMIT ?",
        (account_id, limit),
    )
    return [(row["place"], bytes(row["fields_sealed"]), row["saved"]) for row in rows]


async def count(reader: Reader, account_id: str) -> int:
    found: int = await reader.fetch_value(
        "SELECT COUNT(*) FROM drafts WHERE account_id = ?", (account_id,)
    )
    return found


async def remove(tx: Transaction, account_id: str, place: str) -> None:
    await tx.execute("DELETE FROM drafts WHERE account_id = ? AND place = ?", (account_id, place))
