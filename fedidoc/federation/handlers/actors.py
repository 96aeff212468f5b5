"""Actors that change, move or go away."""

from __future__ import annotations

from fedidoc.activitypub.inspect import ACTOR_TYPES
from fedidoc.federation.handlers.table import Batch, Received, Table
from fedidoc.storage import actors, blocks, follows, moves
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
    """Members who follow the old actor follow the new one, which has to name the old one too.

    Its badge is looked at like that of anybody whom members would follow: a physician who changes
    hospital is verified by the new one.
    """
    if received.activity.object_id != received.actor.uri:
        return "refused: an actor may move only itself"
    target = batch.actors.get(received.activity.target_id or "")
    if target is None or target.deleted or target.suspended or target.id == received.actor.id:
        return "ignore: the new actor could not be had"
    if received.actor.uri not in await moves.aliases(batch.tx, target.id):
        return "refused: the new actor does not say that it was the old one"
    refusal = None if target.local else batch.refuses(target)
    if refusal:
        return refusal
    if not await moves.set_moved_to(batch.tx, received.actor.id, target.uri):
        return "known"
    return await batch.follows.receive_move(batch.tx, received.actor, target)


async def delete(batch: Batch, received: Received) -> str:
    """The actor is gone: words, follows and keys are forgotten, its row stays as a tombstone."""
    actor = received.actor
    await batch.cases.receive_actor_gone(batch.tx, actor)
    await follows.delete_all_of(batch.tx, actor.id)
    await blocks.delete_all_of(batch.tx, actor.id)
    await actors.set_deleted(batch.tx, actor.id, batch.clock.now())
    await stored_keys.replace_keys(batch.tx, actor.uri, actor.id, [])
    return "deleted"
