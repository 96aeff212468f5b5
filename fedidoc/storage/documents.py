"""Documents that applicants upload: what is known of each file, and who looked at it.

The key and the name are sealed by the caller; both are taken away when the document is destroyed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from fedidoc.storage.statements import Reader, Row, Transaction, among


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """`size` is in bytes before encryption. Rows of destroyed documents are not read."""

    id: str
    account_id: str
    name_sealed: bytes
    key_sealed: bytes
    file: str
    media_type: str
    size: int
    uploaded: int


class Decision(NamedTuple):
    """Where an application stands; `decided` is when it came there, None while it waits."""

    state: str
    decided: int | None


def _row_of(row: Row) -> DocumentRow:
    return DocumentRow(
        row["id"],
        row["account_id"],
        bytes(row["name_sealed"]),
        bytes(row["key_sealed"]),
        row["file"],
        row["media_type"],
        row["size"],
        row["uploaded"],
    )


async def put(tx: Transaction, row: DocumentRow) -> None:
    await tx.insert_many(
        "documents",
        ("id", "account_id", "name_sealed", "key_sealed", "file", "media_type", "size", "uploaded"),
        [(row.id, row.account_id, row.name_sealed, row.key_sealed, row.file, row.media_type,
          row.size, row.uploaded)],
    )  # fmt: skip


async def get(reader: Reader, id: str) -> DocumentRow | None:
    row = await reader.fetch_one(
        "SELECT * FROM documents WHERE id = ? AND destroyed IS NULL", (id,)
    )
    return _row_of(row) if row else None


async def of_account(reader: Reader, account_id: str) -> list[DocumentRow]:
    """Oldest first."""
    rows = await reader.fetch_all(
        "SELECT * FROM documents WHERE account_id = ? AND destroyed IS NULL ORDER BY uploaded, id",
        (account_id,),
    )
    return [_row_of(row) for row in rows]


async def kept(reader: Reader, after: str, limit: int) -> list[DocumentRow]:
    """All that are not destroyed, by id behind `after`."""
    rows = await reader.fetch_all(
        "SELECT * FROM documents WHERE destroyed IS NULL AND id > ? ORDER BY id LIMIT ?",
        (after, limit),
    )
    return [_row_of(row) for row in rows]


async def known(reader: Reader, files: Collection[str]) -> set[str]:
    """Those of the files that belong to a document that is kept."""
    where, params = among("file", files)
    rows = await reader.fetch_all(
        f"SELECT file FROM documents WHERE {where} AND destroyed IS NULL", params
    )
    return {row["file"] for row in rows}


async def destroy(tx: Transaction, id: str, now: int) -> bool:
    """Take key and name away, so that the file opens no more; False if somebody was quicker."""
    changed = await tx.execute(
        "UPDATE documents SET key_sealed = ?, name_sealed = ?, destroyed = ?"
        " WHERE id = ? AND destroyed IS NULL",
        (b"", b"", now, id),
    )
    return changed == 1


async def decisions(reader: Reader, account_ids: Collection[str]) -> dict[str, list[Decision]]:
    """Every application of these accounts."""
    where, params = among("account_id", account_ids)
    rows = await reader.fetch_all(
        f"SELECT account_id, state, decided FROM applications WHERE {where}", params
    )
    found: dict[str, list[Decision]] = {}
    for row in rows:
        found.setdefault(row["account_id"], []).append(Decision(row["state"], row["decided"]))
    return found


async def put_view(tx: Transaction, document_id: str, reviewer_id: str, now: int) -> None:
    """That a reviewer looked; the last time counts."""
    await tx.execute(
        "INSERT INTO document_views (document_id, reviewer_id, at) VALUES (?, ?, ?)"
        " ON CONFLICT (document_id, reviewer_id) DO UPDATE SET at = excluded.at",
        (document_id, reviewer_id, now),
    )


async def viewed(reader: Reader, reviewer_id: str, document_ids: Collection[str]) -> set[str]:
    """Those of the documents that a reviewer has looked at."""
    where, params = among("document_id", document_ids)
    rows = await reader.fetch_all(
        f"SELECT document_id FROM document_views WHERE reviewer_id = ? AND {where}",
        (reviewer_id, *params),
    )
    return {row["document_id"] for row in rows}
