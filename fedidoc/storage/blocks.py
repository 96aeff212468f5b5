"""Who blocks whom: members here, and people elsewhere who told this server so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fedidoc.model import Actor
from fedidoc.storage.actors import actor_of
from fedidoc.storage.statements import Reader, Transaction, among


@dataclass(frozen=True, slots=True)
class Block:
    """`blocker_id` wants nothing to do with `blocked_id`; `uri` is the Block's own id."""

    blocker_id: str
    blocked_id: str
    uri: str
    created: int


async def put(tx: Transaction, block: Block) -> bool:
    """False if these two have one already."""
    rows = await tx.insert_many(
        "blocks",
        ("blocker_id", "blocked_id", "uri", "created"),
        [(block.blocker_id, block.blocked_id, block.uri, block.created)],
        conflict="ON CONFLICT DO NOTHING",
        returning="blocker_id",
    )
    return bool(rows)


async def get(reader: Reader, blocker_id: str, blocked_id: str) -> Block | None:
    row = await reader.fetch_one(
        "SELECT blocker_id, blocked_id, uri, created FROM blocks"
        " WHERE blocker_id = ? AND blocked_id = ?",
        (blocker_id, blocked_id),
    )
    return Block(row["blocker_id"], row["blocked_id"], row["uri"], row["created"]) if row else None


async def delete(tx: Transaction, blocker_id: str, blocked_id: str) -> bool:
    """False if there was none."""
    changed = await tx.execute(
        "DELETE FROM blocks WHERE blocker_id = ? AND blocked_id = ?", (blocker_id, blocked_id)
    )
    return changed > 0


async def delete_all_of(tx: Transaction, actor_id: str) -> None:
    """Forget every block by and of an actor that is gone."""
    await tx.execute(
        "DELETE FROM blocks WHERE blocker_id = ? OR blocked_id = ?", (actor_id, actor_id)
    )


async def either(reader: Reader, one: str, other: str) -> bool:
    """Whether one of two blocks the other."""
    found = await reader.fetch_value(
        "SELECT 1 FROM blocks WHERE (blocker_id = ? AND blocked_id = ?)"
        " OR (blocker_id = ? AND blocked_id = ?)",
        (one, other, other, one),
    )
    return found is not None


async def blocked_among(reader: Reader, blocker_id: str, actor_ids: Collection[str]) -> set[str]:
    """Those of the actors whom one blocks."""
    where, params = among("blocked_id", actor_ids)
    rows = await reader.fetch_all(
        f"SELECT blocked_id FROM blocks WHERE blocker_id = ? AND {where}", (blocker_id, *params)
    )
    return {row["blocked_id"] for row in rows}


async def blocked_by(reader: Reader, blocker_id: str, *, limit: int) -> list[Actor]:
    """Whom an actor blocks, latest first."""
    rows = await reader.fetch_all(
        "SELECT a.* FROM blocks b JOIN actors a ON a.id = b.blocked_id"
        " WHERE b.blocker_id = ? AND a.deleted IS NULL ORDER BY b.created DESC, a.id LIMIT ?",
        (blocker_id, limit),
    )
    return [actor_of(row) for row in rows]
