"""What other servers say about posts, as the federation's handlers pass it on.

Everything here runs inside the handlers' transaction, takes actors that are known already, and
answers an effect: a short text for `inbox.effect` (`stored`, `known`, `ignore: …`). Running the
same thing again changes nothing. A batch of new posts costs a fixed number of statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedidoc.clinical.audience import may_announce
from fedidoc.clinical.text import sanitise
from fedidoc.clock import DAY, Clock, FrozenClock
from fedidoc.errors import Conflict
from fedidoc.model import (
    Actor,
    Audience,
    CaseFields,
    CaseState,
    Media,
    NotificationKind,
    Post,
    PostKind,
)
from fedidoc.storage import actors, cases, notifications, pictures, reactions
from fedidoc.storage.cases import NewPost, Place
from fedidoc.storage.engine import Transaction
from fedidoc.storage.notifications import Notice
from fedidoc.storage.reactions import Table

STORED = "stored"
KNOWN = "known"
_GONE = "ignore: it was deleted before"
_UNKNOWN = "ignore: the post is not known here"
# Nobody published anything with ActivityPub before there was one (2016); a day of grace.
_EARLIEST = 1_451_606_400_000 - DAY


@dataclass(frozen=True, slots=True)
class RemotePost:
    """A post of another server whose author, origin and audience were checked.

    `html` is as it came and is sanitised here. `published` and `edited` are what the peer says.
    `recipients` are ids of known actors that it names.
    """

    uri: str
    author: Actor
    audience: Audience
    title: str
    html: str
    in_reply_to: str | None = None
    fields: CaseFields | None = None
    media: tuple[Media, ...] = ()
    url: str | None = None
    sensitive: bool = False
    published: int | None = None
    edited: int | None = None
    recipients: tuple[str, ...] = ()

    @property
    def kind(self) -> PostKind:
        if self.in_reply_to is not None:
            return PostKind.REPLY
        return PostKind.CASE if self.fields is not None else PostKind.NOTE


class Incoming:
    """The inbound half of `Cases`."""

    clock: Clock

    async def receive_post(self, tx: Transaction, post: RemotePost) -> str:
        """Store one post; see `receive_posts`."""
        return (await self.receive_posts(tx, [post]))[0]

    async def receive_posts(self, tx: Transaction, posts: Sequence[RemotePost]) -> list[str]:
        """Store posts in the order given; one effect each.

        Replies are put under their parents, also under those that come later in this batch or in
        a later one; local authors and those named are told; an open case that somebody else
        answered is answered.
        """
        if not posts:
            return []
        wanted = {p.uri for p in posts} | {p.in_reply_to for p in posts if p.in_reply_to}
        known = await cases.places(tx, wanted)
        bare = [
            place
            for post in posts
            if (place := known.get(post.uri)) and place.bare and place.author_id != post.author.id
        ]
        if bare:
            # Somebody else of that server had deleted what was never theirs.
            await cases.remove(tx, [place.id for place in bare])
            for place in bare:
                known.pop(place.uri, None)
        effects, new = self._sort(posts, known)
        if not new:
            return effects
        self._place(new, known)
        now = self.clock.now()
        rows = [_row(post, known, now) for post in new]
        stored = await cases.put(tx, rows)
        if len(stored) < len(rows):
            # Another worker has just stored one of them: parents would be missing below.
            raise Conflict("A post came twice at the same moment; it is done again.")
        images = [
            (media, post.author.id, row.id, position)
            for post, row in zip(new, rows, strict=True)
            for position, media in enumerate(post.media)
        ]
        if images:
            await pictures.put(tx, images, now)
        answered = await self._adopt(tx, new, known)
        for post, row in zip(new, rows, strict=True):
            place = known[post.uri]
            is_open = post.audience is not Audience.DIRECT  # its state is for all who read the case
            if row.parent_id is not None and is_open and place.case_author_id != post.author.id:
                answered.add(place.case_id)
        if answered:
            await cases.answered(tx, answered)
        await self._tell(tx, list(zip(new, rows, strict=True)), known)
        return effects

    def _sort(
        self, posts: Sequence[RemotePost], known: dict[str, Place]
    ) -> tuple[list[str], list[RemotePost]]:
        """An effect for each post, and those that are new, once each."""
        effects = []
        new: dict[str, RemotePost] = {}
        for post in posts:
            place = known.get(post.uri)
            if place is not None:
                effects.append(_GONE if place.deleted is not None else KNOWN)
            elif post.uri in new:
                effects.append(KNOWN)
            else:
                new[post.uri] = post
                effects.append(STORED)
        return effects, list(new.values())

    def _place(self, new: Sequence[RemotePost], known: dict[str, Place]) -> None:
        """Give each new post its id and its thread, and add it to `known`."""
        now = self.clock.now()
        waiting = {}
        for post in new:
            published = _clamp(post.published, now)
            # The id decides the order of timelines: by when it was published, never ahead of now.
            waiting[post.uri] = (post, FrozenClock(at=published).sortable_id())
        while waiting:
            # A parent in the same batch goes first; in a ring, whoever is reached first is the top.
            uri = next(iter(waiting))
            path = {uri}
            while (above := waiting[uri][0].in_reply_to) in waiting and above not in path:
                path.add(above)
                uri = above
            post, post_id = waiting.pop(uri)
            parent, author = _parent(post, known), post.author
            known[uri] = Place(
                post_id,
                uri,
                author.id,
                author.local,
                post.audience,
                None,
                False,
                parent.case_id if parent else post_id,
                parent.case_author_id if parent else author.id,
                parent.case_author_local if parent else author.local,
            )

    async def _adopt(
        self, tx: Transaction, new: Sequence[RemotePost], known: dict[str, Place]
    ) -> set[str]:
        """Put replies that came before these posts under them; ids of cases answered by that."""
        answered = set()
        for orphan in await cases.orphans(tx, [post.uri for post in new]):
            parent = known[orphan.in_reply_to]
            if parent.case_id == orphan.id or parent.id == orphan.id:
                continue  # a ring
            await cases.adopt(tx, orphan.id, parent.id, parent.case_id)
            for uri, place in known.items():
                if place.case_id == orphan.id:
                    known[uri] = replace(
                        place,
                        case_id=parent.case_id,
                        case_author_id=parent.case_author_id,
                        case_author_local=parent.case_author_local,
                    )
            is_open = orphan.audience is not Audience.DIRECT
            if is_open and orphan.author_id != parent.case_author_id:
                answered.add(parent.case_id)
        return answered

    async def _tell(
        self,
        tx: Transaction,
        fresh: Sequence[tuple[RemotePost, NewPost]],
        known: dict[str, Place],
    ) -> None:
        """Notify local authors of what was answered, and those who are named."""
        named = {actor for post, _ in fresh for actor in post.recipients}
        here = await actors.local_ids(tx, named) if named else set()
        notices = []
        now = self.clock.now()
        for post, row in fresh:
            told = {post.author.id}
            if row.parent_id is not None:
                parent, place = known[post.in_reply_to or ""], known[post.uri]
                candidates = [
                    (parent.author_id, parent.author_local),
                    (place.case_author_id, place.case_author_local),
                ]
                for actor_id, local in candidates:
                    reads = post.audience is not Audience.DIRECT or actor_id in post.recipients
                    if local and reads and actor_id not in told:
                        told.add(actor_id)
                        notices.append((NotificationKind.REPLIED, actor_id, post, row))
            for actor_id in post.recipients:
                if actor_id in here and actor_id not in told:
                    told.add(actor_id)
                    notices.append((NotificationKind.MENTIONED, actor_id, post, row))
        if notices:
            await notifications.put(
                tx,
                [
                    Notice(self.clock.sortable_id(), actor_id, kind, post.author.id, row.id, now)
                    for kind, actor_id, post, row in notices
                ],
            )

    # Changes --------------------------------------------------------------------------------

    async def receive_edit(self, tx: Transaction, post: RemotePost) -> str:
        """Replace a post by its author's newer version; one that is not known is stored."""
        place = (await cases.places(tx, [post.uri])).get(post.uri)
        if place is None:
            return await self.receive_post(tx, post)
        if place.author_id != post.author.id:
            return "refused: the post is somebody else's"
        if place.deleted is not None:
            return _GONE
        old = await cases.get(tx, place.id)
        if old is None or old.local:
            return "refused: the post is this server's own"
        now = self.clock.now()
        edited = min(post.edited or now, now)
        if edited <= (old.edited or old.published):
            return "ignore: the version here is as new"
        fields = post.fields if old.kind is not PostKind.REPLY else None
        if fields is not None and fields.state is CaseState.OPEN:
            # The case's own server may not have heard of the answer that is here.
            other = await cases.has_answer(tx, old.id, old.author.id)
            fields = replace(fields, state=CaseState.ANSWERED if other else CaseState.OPEN)
        await cases.edit(
            tx,
            old.id,
            title=post.title,
            html=sanitise(post.html),
            source=None,
            fields=fields,
            sensitive=post.sensitive,
            edited=edited,
        )
        await self._replace_pictures(tx, old, post, now)
        await self._name_more(tx, old, post, now)
        return "edited"

    async def _replace_pictures(
        self, tx: Transaction, old: Post, post: RemotePost, now: int
    ) -> None:
        def shown(media: Sequence[Media]) -> list[tuple[str | None, str]]:
            return [(m.remote_url, m.alt) for m in media]

        if shown(old.media) != shown(post.media):
            await pictures.remove_of_post(tx, old.id)
            await pictures.put(
                tx, [(m, old.author.id, old.id, n) for n, m in enumerate(post.media)], now
            )

    async def _name_more(self, tx: Transaction, old: Post, post: RemotePost, now: int) -> None:
        more = [actor for actor in post.recipients if actor not in old.recipients]
        if not more:
            return
        await cases.put_recipients(tx, [(old.id, actor) for actor in more])
        kind = NotificationKind.MENTIONED
        here = await actors.local_ids(tx, more)
        await notifications.put(
            tx,
            [
                Notice(self.clock.sortable_id(), actor, kind, old.author.id, old.id, now)
                for actor in more
                if actor in here
            ],
        )

    async def receive_delete(self, tx: Transaction, uri: str, author: Actor) -> str:
        """Bury a post of this author. One that is not known is remembered as deleted, so that it
        is not stored when its Create comes late."""
        place = (await cases.places(tx, [uri])).get(uri)
        if place is None:
            now = self.clock.now()
            await cases.put_tombstone(tx, self.clock.sortable_id(), uri, author, now)
            return "deleted: it had not come yet"
        if place.author_id != author.id or place.author_local:
            return "refused: the post is somebody else's"
        if place.deleted is not None:
            return KNOWN
        await cases.bury(tx, [place.id], self.clock.now())
        return "deleted"

    async def receive_actor_gone(self, tx: Transaction, actor: Actor) -> str:
        """A remote actor deleted itself: so does everything it wrote and did here."""
        if actor.local:
            return "refused: the actor is this server's own"
        await cases.bury(tx, await cases.of_author(tx, actor.id), self.clock.now())
        await reactions.forget_actor(tx, actor.id)
        await notifications.forget_actor(tx, actor.id)
        return "deleted"

    # Reactions ------------------------------------------------------------------------------

    async def receive_like(self, tx: Transaction, actor: Actor, post_uri: str, uri: str) -> str:
        """`uri` is the Like's id."""
        return await self._react(tx, "likes", NotificationKind.LIKED, actor, post_uri, uri)

    async def receive_unlike(self, tx: Transaction, actor: Actor, post_uri: str) -> str:
        return await self._take_back(tx, "likes", NotificationKind.LIKED, actor, post_uri)

    async def receive_announce(self, tx: Transaction, actor: Actor, post_uri: str, uri: str) -> str:
        """Only a public post is passed on; `uri` is the Announce's id."""
        return await self._react(tx, "announces", NotificationKind.ANNOUNCED, actor, post_uri, uri)

    async def receive_unannounce(self, tx: Transaction, actor: Actor, post_uri: str) -> str:
        return await self._take_back(tx, "announces", NotificationKind.ANNOUNCED, actor, post_uri)

    async def _react(
        self,
        tx: Transaction,
        table: Table,
        kind: NotificationKind,
        actor: Actor,
        post_uri: str,
        uri: str,
    ) -> str:
        place = (await cases.places(tx, [post_uri])).get(post_uri)
        if place is None or place.bare:
            return _UNKNOWN
        if place.deleted is not None:
            return _GONE
        if table == "announces" and not may_announce(place.audience):
            return "refused: the post is not public and may not be passed on"
        now = self.clock.now()
        reaction_id = self.clock.random_id()
        if not await reactions.put(tx, table, reaction_id, uri, actor.id, place.id, now):
            return KNOWN
        if place.author_local and place.author_id != actor.id:
            notice = Notice(
                self.clock.sortable_id(), place.author_id, kind, actor.id, place.id, now
            )
            await notifications.put(tx, [notice])
        return STORED

    async def _take_back(
        self, tx: Transaction, table: Table, kind: NotificationKind, actor: Actor, post_uri: str
    ) -> str:
        place = (await cases.places(tx, [post_uri])).get(post_uri)
        if place is None:
            return _UNKNOWN
        if await reactions.take_back(tx, table, actor.id, place.id) is None:
            return "ignore: there was none"
        if place.author_local:
            await notifications.take_back(tx, place.author_id, kind, actor.id, place.id)
        return "undone"


def _parent(post: RemotePost, known: dict[str, Place]) -> Place | None:
    """What a post answers, as far as it is here; of a bare tombstone nothing can be said."""
    parent = known.get(post.in_reply_to or "")
    return parent if parent is not None and not parent.bare else None


def _row(post: RemotePost, known: dict[str, Place], now: int) -> NewPost:
    place = known[post.uri]
    parent = _parent(post, known)
    if place.case_id == place.id:
        parent = None  # a thread's top, or that of a ring
    published = _clamp(post.published, now)
    return NewPost(
        id=place.id,
        uri=post.uri,
        kind=post.kind,
        author_id=post.author.id,
        local=False,
        audience=post.audience,
        title=post.title,
        html=sanitise(post.html),
        source=None,
        parent_id=parent.id if parent else None,
        case_id=place.case_id,
        in_reply_to=post.in_reply_to,
        url=post.url or post.uri,
        sensitive=post.sensitive,
        published=published,
        edited=_edited(post, published, now),
        received=now,
        # An answer is no case, whatever it carries: it is read by who reads the case above it.
        fields=post.fields if post.in_reply_to is None else None,
        recipients=post.recipients,
    )


def _clamp(published: int | None, now: int) -> int:
    """A peer's time of publication: never ahead of now, never before there were such posts."""
    if published is None or published < _EARLIEST:
        return now
    return min(published, now)


def _edited(post: RemotePost, published: int, now: int) -> int | None:
    """Some peers send `updated` with every Create; only a later one says anything."""
    if post.edited is None or post.edited <= published:
        return None
    return min(post.edited, now)
