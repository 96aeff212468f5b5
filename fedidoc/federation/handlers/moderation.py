"""Block and Flag: who wants nothing to do with whom, and what another server's stewards report."""

from __future__ import annotations

from fedidoc.activitypub.documents import id_of, ids
from fedidoc.federation.handlers.table import Batch, Received, Table
from fedidoc.model import Actor

_MOST_OBJECTS = 32


def register(table: Table) -> None:
    table.add_single("Block", block)
    table.add_single("Undo", undo_block, "Block")
    table.add_single("Flag", flag)


async def block(batch: Batch, received: Received) -> str:
    blocked = _member(batch, received.activity.object_id)
    if blocked is None:
        return "ignore: there is nobody of that name"
    return await batch.clinic.blocks.receive_block(
        batch.tx, received.actor, blocked, received.activity_id
    )


async def undo_block(batch: Batch, received: Received) -> str:
    undone = received.activity.object or {}
    if id_of(undone.get("actor")) not in (None, received.actor.uri):
        return "refused: the block is somebody else's"
    blocked = _member(batch, id_of(undone.get("object")))
    if blocked is None:
        return "ignore: there is nobody of that name"
    return await batch.clinic.blocks.receive_unblock(batch.tx, received.actor, blocked)


async def flag(batch: Batch, received: Received) -> str:
    """The objects are actors and posts, in any order; the words say why, as far as they do."""
    document = received.activity.raw
    # Mastodon writes `content`, Lemmy `summary`.
    words = document.get("content") or document.get("summary")
    objects = ids(document.get("object"))[:_MOST_OBJECTS]
    named = [actor for uri in objects if (actor := _member(batch, uri)) is not None]
    return await batch.clinic.reports.receive(
        batch.tx,
        received.actor,
        objects,
        words if isinstance(words, str) else "",
        received.activity_id,
        named,
    )


def _member(batch: Batch, uri: str | None) -> Actor | None:
    actor = batch.actors.get(uri or "")
    return actor if actor is not None and actor.local else None
