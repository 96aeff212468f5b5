"""Create, Update and Delete of posts: only their own author may, from their own server."""

from __future__ import annotations

from collections.abc import Sequence

from fedidoc.activitypub.addressing import same_origin
from fedidoc.activitypub.errors import DocumentError
from fedidoc.activitypub.inspect import POST_TYPES
from fedidoc.clinical.incoming import STORED, RemotePost
from fedidoc.federation import copying
from fedidoc.federation.handlers import actors
from fedidoc.federation.handlers.table import Batch, Received, Table
from fedidoc.federation.posts import read_object_of, read_post


def register(table: Table) -> None:
    table.add("Create", create, *POST_TYPES)
    table.add_single("Update", update, *POST_TYPES)
    table.add_single("Delete", delete)


async def create(batch: Batch, received: Sequence[Received]) -> list[str]:
    """Many posts at once: one statement for all of them where the database allows it."""
    effects: list[str | None] = [None] * len(received)
    posts: list[RemotePost] = []
    places: list[int] = []
    for place, each in enumerate(received):
        post = _read(batch, each)
        if isinstance(post, str):
            effects[place] = post
        else:
            posts.append(post)
            places.append(place)
    stored = await batch.cases.receive_posts(batch.tx, posts) if posts else []
    for place, effect in zip(places, stored, strict=True):
        effects[place] = effect
    new = [p for p, effect in zip(posts, stored, strict=True) if effect == STORED]
    await copying.ask_for(batch.tx, [m for post in new for m in post.media], batch.clock.now())
    return [effect or "" for effect in effects]


async def update(batch: Batch, received: Received) -> str:
    post = _read(batch, received)
    if isinstance(post, str):
        return post
    effect = await batch.cases.receive_edit(batch.tx, post)
    await copying.ask_for(batch.tx, post.media, batch.clock.now())
    return effect


async def delete(batch: Batch, received: Received) -> str:
    uri = received.activity.object_id
    if uri is None:
        return "refused: the activity names no object"
    if uri == received.actor.uri:
        return await actors.delete(batch, received)
    if not same_origin(uri, received.actor.uri):
        return "refused: the object is of another server"
    return await batch.cases.receive_delete(batch.tx, uri, received.actor)


def _read(batch: Batch, received: Received) -> RemotePost | str:
    """The post, or the effect that says why it is none."""
    author = received.actor
    try:
        document = read_object_of(received.activity)
        # A list of authors, or another one, would have somebody speak for somebody else.
        if document.attributed_to != (author.uri,):
            return "refused: the signer is not the author"
        refusal = batch.refuses(author)
        if refusal:
            return refusal
        return read_post(document, received.activity, author, batch.actors, batch.clock)
    except DocumentError as error:
        word = "ignore" if error.reason == "post_audience" else "refused"
        return f"{word}: {error.text}"
