"""Actors that change, move or go away."""

from __future__ import annotations

from fedidoc.activitypub.inspect import ACTOR_TYPES
from fedidoc.federation.handlers.table import Batch, Received, Table
from fedidoc.storage import actors, follows
from fedidoc.storage import keys as stored_keys


def register(table: Table) -> None:
    table.add_single("Update", update, *ACTOR_TYPES)
    table.add_single("Move", move)


async def update(batch: Batch, received: Received) -> str:
    """The actor was fetched anew before this batch: what its own server says now is what counts."""
    if received.activity.object_id != received.actor.uri:
        return "refused: an actor may change only itself"
    return "refreshed"


async def move(batch: Batch, received: Received) -> str:
    return "ignore: moves to another server are not followed yet"


async def delete(batch: Batch, received: Received) -> str:
    """The actor is gone: words, follows and keys are forgotten, its row stays as a tombstone."""
    actor = received.actor
    await batch.cases.receive_actor_gone(batch.tx, actor)
    await follows.delete_all_of(batch.tx, actor.id)
    await actors.set_deleted(batch.tx, actor.id, batch.clock.now())
    await stored_keys.replace_keys(batch.tx, actor.uri, actor.id, [])
    return "deleted"
