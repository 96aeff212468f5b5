"""Copies of remote pictures: which are missing, and where one was put."""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.storage.engine import Reader, Transaction


@dataclass(frozen=True, slots=True)
class Missing:
    """A remote picture of a post that stands, not copied yet."""

    id: str
    remote_url: str
    media_type: str


async def missing(reader: Reader, media_id: str) -> Missing | None:
    """None if the picture is here already, or is gone with its post."""
    row = await reader.fetch_one(
        "SELECT m.id, m.remote_url, m.media_type FROM media m JOIN posts p ON p.id = m.post_id"
        " WHERE m.id = ? AND m.file IS NULL AND m.remote_url IS NOT NULL AND p.deleted IS NULL",
        (media_id,),
    )
    return Missing(row["id"], row["remote_url"], row["media_type"]) if row else None


async def found(
    tx: Transaction, media_id: str, *, file: str, media_type: str, width: int, height: int
) -> bool:
    """Note the file; False if the picture has gone meanwhile, and the file is not wanted."""
    changed = await tx.execute(
        "UPDATE media SET file = ?, media_type = ?, width = ?, height = ?"
        " WHERE id = ? AND file IS NULL",
        (file, media_type, width, height, media_id),
    )
    return changed > 0
