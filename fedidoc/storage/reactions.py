"""Likes and announces: who thanked for a post, who passed it on. Each pair once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from fedidoc.storage.statements import Reader, Transaction, among

Table = Literal["likes", "announces"]


async def put(
    tx: Transaction, table: Table, reaction_id: str, uri: str, actor_id: str, post_id: str, now: int
) -> bool:
    """Whether it is new: an actor reacts to a post once, and a URI is used once."""
    rows = await tx.insert_many(
        table,
        ("id", "uri", "actor_id", "post_id", "created"),
        [(reaction_id, uri, actor_id, post_id, now)],
        conflict="ON CONFLICT DO NOTHING",
        returning="id",
    )
    return bool(rows)


async def take_back(
    tx: Transaction, table: Table, actor_id: str, post_id: str
) -> tuple[str, str] | None:
    """(id, URI) of the reaction that was there and is gone now."""
    row = await tx.fetch_one(
        f"DELETE FROM {table} WHERE actor_id = ? AND post_id = ? RETURNING id, uri",
        (actor_id, post_id),
    )
    return (row["id"], row["uri"]) if row else None


async def post_of(reader: Reader, table: Table, uri: str, actor_id: str) -> str | None:
    """The URI of the post that an actor's reaction with this URI is about."""
    found: str | None = await reader.fetch_value(
        f"SELECT p.uri FROM {table} r JOIN posts p ON p.id = r.post_id"
        " WHERE r.uri = ? AND r.actor_id = ?",
        (uri, actor_id),
    )
    return found


async def forget_actor(tx: Transaction, actor_id: str) -> None:
    """All reactions of an actor that is gone."""
    for table in ("likes", "announces"):
        await tx.execute(f"DELETE FROM {table} WHERE actor_id = ?", (actor_id,))


async def counts(reader: Reader, post_ids: Iterable[str]) -> dict[str, int]:
    """How many likes each post has; posts without any are left out."""
    where, params = among("post_id", post_ids)
    rows = await reader.fetch_all(
        f"SELECT post_id, COUNT(*) AS n FROM likes WHERE {where} GROUP BY post_id", params
    )
    return {row["post_id"]: row["n"] for row in rows}


async def made(reader: Reader, table: Table, actor_id: str, post_ids: Iterable[str]) -> set[str]:
    """To which of the posts an actor reacted so."""
    where, params = among("post_id", post_ids)
    rows = await reader.fetch_all(
        f"SELECT post_id FROM {table} WHERE actor_id = ? AND {where}", (actor_id, *params)
    )
    return {row["post_id"] for row in rows}
