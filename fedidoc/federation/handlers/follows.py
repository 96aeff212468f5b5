"""Follow, and what answers or ends it."""

from __future__ import annotations

from fedidoc.activitypub.documents import id_of
from fedidoc.federation.handlers.table import Batch, Received, Table
from fedidoc.model import Actor, ActorKind, Event, EventKind
from fedidoc.storage import blocks, follows, queues
from fedidoc.storage.follows import Follow


def register(table: Table) -> None:
    table.add_single("Follow", follow)
    table.add_single("Accept", accept)
    table.add_single("Reject", reject)
    table.add_single("Undo", undo, "Follow")


async def follow(batch: Batch, received: Received) -> str:
    followed = batch.actors.get(received.activity.object_id or "")
    if followed is None or not followed.local or followed.kind is ActorKind.INSTANCE:
        return "ignore: there is nobody of that name"
    if followed.suspended or followed.deleted:
        return "ignore: there is nobody of that name"
    refusal = batch.refuses(received.actor)
    if refusal is None and await blocks.either(batch.tx, received.actor.id, followed.id):
        refusal = "refused: one of the two blocked the other"
    if refusal:
        await _refuse(batch, received, followed)
        return refusal
    return await batch.follows.receive_follow(
        batch.tx, received.actor, followed, received.activity_id
    )


async def _refuse(batch: Batch, received: Received, followed: Actor) -> None:
    """Tell the follower's server, so that it does not wait for an answer."""
    detail = {
        "uri": received.activity_id,
        "follower_id": received.actor.id,
        "followed_id": followed.id,
    }
    event = Event(
        batch.clock.sortable_id(),
        EventKind.FOLLOW_REJECTED,
        followed.id,
        "",
        batch.clock.now(),
        detail,
    )
    await queues.put_event(batch.tx, event)


async def accept(batch: Batch, received: Received) -> str:
    asked = await _asked(batch, received)
    if asked is None:
        return "ignore: no such follow was asked for"
    return await batch.follows.receive_accept(batch.tx, asked)


async def reject(batch: Batch, received: Received) -> str:
    asked = await _asked(batch, received)
    if asked is None:
        return "ignore: no such follow was asked for"
    return await batch.follows.receive_reject(batch.tx, asked)


async def undo(batch: Batch, received: Received) -> str:
    """Only who asked to follow can take it back."""
    uri, undone = received.activity.object_id, received.activity.object
    found = await follows.by_uri(batch.tx, uri) if uri else None
    if found is None and undone is not None:
        # A peer that lost count of its ids still says who was followed.
        followed = batch.actors.get(id_of(undone.get("object")) or "")
        if followed is not None:
            found = await follows.between(batch.tx, received.actor.id, followed.id)
    if found is None:
        return "ignore: there is no such follow"
    if found.follower_id != received.actor.id:
        return "refused: the follow is somebody else's"
    return await batch.follows.receive_undo(batch.tx, found)


async def _asked(batch: Batch, received: Received) -> Follow | None:
    """The follow that a local actor asked the signer for: nobody else can answer it.

    Some servers answer with the whole Follow and an id of their own making, others with its id.
    """
    uri, answered = received.activity.object_id, received.activity.object
    found = await follows.by_uri(batch.tx, uri) if uri else None
    if found is None and answered is not None:
        follower = batch.actors.get(id_of(answered.get("actor")) or "")
        if follower is not None and follower.local:
            found = await follows.between(batch.tx, follower.id, received.actor.id)
    if found is None or found.followed_id != received.actor.id:
        return None
    return found if batch.urls.is_ours(found.uri) else None
