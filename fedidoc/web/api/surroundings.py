"""Posts as statuses for one reader: what stands around them is asked for, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fedidoc.errors import NotFound
from fedidoc.model import Account, Actor, Post
from fedidoc.web import gate
from fedidoc.web.api import entities
from fedidoc.web.api.entities import Entity, Surroundings

# Beyond what the posts themselves tell: parents and people that are looked up for one answer.
_PARENTS = 40
_PEOPLE = 60


async def statuses(
    account: Account, posts: Sequence[Post], known: Iterable[Post] = ()
) -> list[Entity]:
    """The posts as the reader sees them. `known` are others that were read already."""
    around = await gather(account, posts, known)
    return [entities.status(post, around) for post in posts]


async def gather(
    account: Account, posts: Sequence[Post], known: Iterable[Post] = ()
) -> Surroundings:
    """What the entities of some posts need."""
    rooms = gate.services()
    read = {post.id: post for post in (*known, *posts)}
    parents = {post.id: post.author.id for post in read.values()}
    wanted = dict.fromkeys(p.parent_id for p in posts if p.parent_id and p.parent_id not in parents)
    for parent_id in [*wanted][:_PARENTS]:
        try:
            parents[parent_id] = (await rooms.cases.get(account, parent_id)).author.id
        except NotFound:
            continue
    people = {post.author.id: post.author for post in read.values()}
    named = dict.fromkeys(who for post in posts for who in post.recipients if who not in people)
    for actor_id in [*named][:_PEOPLE]:
        actor = await _person(actor_id)
        if actor is not None:
            people[actor_id] = actor
    ids = [post.id for post in posts]
    liked = await rooms.cases.liked(account, ids)
    announced = await rooms.cases.announced(account, ids)
    lapsed = await rooms.profiles.lapsed_since(posts)
    return Surroundings(rooms.config.base_url, liked, announced, parents, people, lapsed)


async def _person(actor_id: str) -> Actor | None:
    try:
        return await gate.services().profiles.get(actor_id)
    except NotFound:
        return None
