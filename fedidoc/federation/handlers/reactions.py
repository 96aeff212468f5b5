"""Like and Announce, and taking them back."""

from __future__ import annotations

from fedidoc.activitypub.documents import id_of, read_object
from fedidoc.activitypub.errors import DocumentError
from fedidoc.federation import copying
from fedidoc.federation.handlers.table import Batch, Received, Table
from fedidoc.federation.posts import read_post
from fedidoc.federation.remote import Missing
from fedidoc.storage import cases, follows, reactions


def register(table: Table) -> None:
    table.add_single("Like", like)
    # Pleroma, Akkoma and Misskey: a Like with a face. Which face is not kept.
    table.add_single("EmojiReact", like)
    table.add_single("Undo", undo_like, "EmojiReact")
    table.add_single("Announce", announce)
    table.add_single("Undo", undo_like, "Like")
    table.add_single("Undo", undo_announce, "Announce")
    table.add_single("Undo", undo)


async def like(batch: Batch, received: Received) -> str:
    uri = received.activity.object_id
    if uri is None:
        return "refused: the activity names no object"
    return await batch.cases.receive_like(batch.tx, received.actor, uri, received.activity_id)


async def announce(batch: Batch, received: Received) -> str:
    """A post that is not known here was fetched from its own server beforehand."""
    uri = received.activity.object_id
    if uri is None:
        return "refused: the activity names no object"
    if await cases.by_uri(batch.tx, uri) is None:
        stored = await _store_announced(batch, uri)
        if stored is not None:
            return stored
    return await batch.cases.receive_announce(batch.tx, received.actor, uri, received.activity_id)


async def _store_announced(batch: Batch, uri: str) -> str | None:
    """Store the announced post; the effect if that cannot be."""
    found = batch.documents.get(uri)
    if found is None or isinstance(found, Missing):
        return f"ignore: the post could not be had ({found.reason if found else 'unknown'})"
    try:
        document = read_object(found)
        author = batch.actors.get(next(iter(document.attributed_to), ""))
        if author is None or len(document.attributed_to) != 1:
            return "ignore: the post's author could not be had"
        refusal = batch.refuses(author)
        if refusal:
            return refusal
        post = read_post(document, None, author, batch.actors, batch.clock)
    except DocumentError as error:
        return f"ignore: {error.text}"
    await batch.cases.receive_posts(batch.tx, [post])
    await copying.ask_for(batch.tx, post.media, batch.clock.now())
    return None


async def undo_like(batch: Batch, received: Received) -> str:
    return await _undo(batch, received, "like")


async def undo_announce(batch: Batch, received: Received) -> str:
    return await _undo(batch, received, "announce")


async def _undo(batch: Batch, received: Received, what: str) -> str:
    undone = received.activity.object or {}
    actor, uri = id_of(undone.get("actor")), id_of(undone.get("object"))
    if actor not in (None, received.actor.uri):
        return f"refused: the {what} is somebody else's"
    if uri is None:
        return await undo(batch, received)
    if what == "like":
        return await batch.cases.receive_unlike(batch.tx, received.actor, uri)
    return await batch.cases.receive_unannounce(batch.tx, received.actor, uri)


async def undo(batch: Batch, received: Received) -> str:
    """An Undo that names only the id of what it takes back: a follow or a reaction of the actor's
    own."""
    uri = received.activity.object_id
    if uri is None:
        return "refused: the activity does not say what is taken back"
    found = await follows.by_uri(batch.tx, uri)
    if found is not None:
        if found.follower_id != received.actor.id:
            return "refused: the follow is somebody else's"
        return await batch.follows.receive_undo(batch.tx, found)
    liked = await reactions.post_of(batch.tx, "likes", uri, received.actor.id)
    if liked is not None:
        return await batch.cases.receive_unlike(batch.tx, received.actor, liked)
    passed_on = await reactions.post_of(batch.tx, "announces", uri, received.actor.id)
    if passed_on is not None:
        return await batch.cases.receive_unannounce(batch.tx, received.actor, passed_on)
    return "ignore: what is taken back is not known here"
