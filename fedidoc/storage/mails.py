"""Mail that waits to be sent: rows of the queue `mail`, their contents sealed by the caller."""

from __future__ import annotations

from fedidoc.storage.statements import Transaction


async def put(tx: Transaction, id: str, sealed: bytes, *, now: int, expires: int) -> None:
    """Queue one mail, due at once; it is not worth sending after `expires` (ms)."""
    await tx.insert_many(
        "mails",
        ("id", "sealed", "expires", "next_at", "created"),
        [(id, sealed, expires, now, now)],
    )


async def empty(tx: Transaction, id: str) -> None:
    """Take the contents away; the row stays to be counted."""
    await tx.execute("UPDATE mails SET sealed = ? WHERE id = ?", (b"", id))
