"""What a member reads: a thread, first pages, an author's posts, where copies went.

Every answer is for one reader; what they may not read answers as what does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fedidoc.clinical.audience import Viewer, may_answer, may_read, refusal
from fedidoc.errors import Forbidden, NotFound
from fedidoc.model import Account, Actor, CaseState, Page, PeerPolicy, Post, Right
from fedidoc.storage import blocks, cases, followings, ledger, reactions, timelines
from fedidoc.storage import peers as stored_peers
from fedidoc.storage.engine import Database
from fedidoc.storage.statements import Reader, Row

_PAGE = 20
# The first page, in this order: (of the reader's specialty or of somebody they follow, state).
_NEEDS = (
    (True, CaseState.OPEN),
    (True, CaseState.ANSWERED),
    (False, CaseState.OPEN),
    (False, CaseState.ANSWERED),
)


@dataclass(frozen=True, slots=True)
class Thread:
    """A case, or whatever began a thread, and its replies in the order of their publication.

    A reply says by `parent_id` what it answers; a deleted one is there only to hold its answers.
    """

    root: Post
    replies: tuple[Post, ...]
    may_answer: bool


class Copy(NamedTuple):
    """A server that a post went to: `waiting`, `done` or `dead`, and when (ms)."""

    host: str
    state: str
    at: int | None


def viewer_of(account: Account, right: Right = Right.READ) -> Viewer:
    """The account as a reader; Forbidden for all but verified clinicians whose level has the right,
    and the right to read."""
    for needed in (Right.READ, right):
        if not account.may(needed):
            raise Forbidden(refusal(account, needed))
    return Viewer.of(account)


class Reading:
    """The reading half of `Cases`."""

    db: Database

    async def get(self, account: Account, post_id: str) -> Post:
        """A post that the member may read; NotFound otherwise. A deleted one has no words."""
        return await readable(self.db, viewer_of(account), post_id)

    async def get_many(self, account: Account, post_ids: Collection[str]) -> dict[str, Post]:
        """Those of the posts that the member may read, by id."""
        return await readable_many(self.db, viewer_of(account), post_ids)

    async def thread(self, account: Account, post_id: str) -> Thread:
        """The thread that a post stands in, as far as the member may read it."""
        viewer = viewer_of(account)
        post = await readable(self.db, viewer, post_id)
        everything = await cases.thread_of(self.db, post.case_id or post.id)
        root = next((p for p in everything if p.id == post.case_id), None)
        if root is None:
            root = await cases.get(self.db, post.case_id or post.id) or post
        authors = {p.author.id for p in (*everything, root)}
        followed = await followings.followed_among(self.db, viewer.actor_id, authors)
        hidden = await Hidden.by(self.db, viewer, authors)
        visible = [
            p for p in everything
            if p.id != root.id
            and hidden.shows(p)
            and may_read(viewer, p, follows=followed, root=root)
        ]  # fmt: skip
        if not (hidden.shows(root) and may_read(viewer, root, follows=followed, root=None)):
            # A reply that names the member, in a thread whose beginning is not for them.
            return Thread(post, (), viewer.answers and post.deleted is None)
        replies = _count_answers(_without_dead_ends(visible))
        # Counted for this reader: private answers to others are not among them.
        root = replace(root, replies=sum(post.deleted is None for post in replies))
        return Thread(root, replies, may_answer(viewer, root, follows=followed, root=None))

    async def timeline(
        self, account: Account, before: str | None = None, show: str = "for_you"
    ) -> Page[Post]:
        """A page of cases, newest first.

        `show`: `for_you` (also `needs`: cases that are not closed, of others; first those of the
        reader's specialty and of people they follow, those without an answer before the answered),
        `following` (cases and notes), `all`, or a specialty's NUCC code. `before` is the cursor
        that the page before gave.
        """
        viewer = viewer_of(account)
        specialty = account.specialty.code if account.specialty else ""
        if show in {"for_you", "needs"}:
            return await self._needs(viewer, specialty, before)
        me, cursor, limit = viewer.actor_id, before or timelines.NEWEST, _PAGE + 1
        if show == "following":
            rows = await timelines.of_followed(self.db, me, cursor, limit)
        elif show == "all":
            rows = await timelines.every(self.db, me, cursor, limit)
        else:
            rows = await timelines.of_specialty(self.db, me, show, cursor, limit)
        return await self._page(rows)

    async def _needs(self, viewer: Viewer, specialty: str, before: str | None) -> Page[Post]:
        first, cursor = _read_cursor(before)
        rows: list[tuple[int, Row]] = []
        for group in range(first, len(_NEEDS)):
            mine, state = _NEEDS[group]
            found = await timelines.waiting(
                self.db,
                viewer.actor_id,
                state,
                specialty,
                mine=mine,
                before=cursor,
                limit=_PAGE + 1 - len(rows),
            )
            rows += [(group, row) for row in found]
            if len(rows) > _PAGE:
                break
            cursor = timelines.NEWEST
        shown = rows[:_PAGE]
        posts = await cases.assemble(self.db, [row for _, row in shown])
        group, last = shown[-1] if shown else (0, None)
        more = last is not None and len(rows) > _PAGE
        return Page(tuple(posts), f"{group}.{last['id']}" if last is not None and more else None)

    async def by_author(
        self, account: Account, actor_id: str, before: str | None = None
    ) -> Page[Post]:
        """An author's cases and notes that the member may read, newest first."""
        viewer = viewer_of(account)
        rows = await timelines.of_author(
            self.db, viewer.actor_id, actor_id, before or timelines.NEWEST, _PAGE + 1
        )
        return await self._page(rows)

    async def _page(self, rows: Sequence[Row]) -> Page[Post]:
        shown = rows[:_PAGE]
        posts = await cases.assemble(self.db, shown)
        return Page(tuple(posts), shown[-1]["id"] if len(rows) > _PAGE else None)

    async def liked(self, account: Account, post_ids: Collection[str]) -> set[str]:
        """Which of the posts the member has thanked for."""
        return await reactions.made(self.db, "likes", account.actor_id, post_ids)

    async def announced(self, account: Account, post_ids: Collection[str]) -> set[str]:
        """Which of the posts the member has passed on."""
        return await reactions.made(self.db, "announces", account.actor_id, post_ids)

    async def ledger(self, account: Account, post_id: str) -> list[Copy]:
        """Where copies of the member's own post went; NotFound for anybody else's."""
        post = await readable(self.db, viewer_of(account), post_id)
        if post.author.id != account.actor_id:
            raise NotFound
        return [Copy(*line) for line in await ledger.of_post(self.db, post.id)]


async def readable(reader: Reader, viewer: Viewer, post_id: str) -> Post:
    """A post that the viewer may read; NotFound otherwise."""
    found = await readable_many(reader, viewer, [post_id])
    if post_id not in found:
        raise NotFound
    return found[post_id]


async def readable_many(
    reader: Reader, viewer: Viewer, post_ids: Collection[str]
) -> dict[str, Post]:
    """Those of the posts that the viewer may read, by id."""
    posts = await cases.get_many(reader, post_ids)
    if not posts or not viewer.verified:
        return {}
    tops = {p.case_id for p in posts.values() if p.case_id is not None} - posts.keys()
    roots = posts | (await cases.get_many(reader, tops) if tops else {})
    authors = {p.author.id for p in roots.values()}
    followed = await followings.followed_among(reader, viewer.actor_id, authors)
    everybody = authors | {p.author.id for p in posts.values()}
    hidden = await Hidden.by(reader, viewer, everybody)
    return {
        post.id: post
        for post in posts.values()
        if hidden.shows(post)
        and may_read(viewer, post, follows=followed, root=roots.get(post.case_id or ""))
    }


@dataclass(frozen=True, slots=True)
class Hidden:
    """Of whom a reader sees nothing, whatever the audience: blocked servers, and those whom the
    reader blocks (of the actors that were asked about)."""

    hosts: frozenset[str]
    people: frozenset[str]

    @classmethod
    async def by(cls, reader: Reader, viewer: Viewer, actor_ids: Collection[str]) -> Hidden:
        every = await stored_peers.every(reader)
        hosts = frozenset(peer.host for peer in every if peer.policy is PeerPolicy.BLOCKED)
        people = await blocks.blocked_among(reader, viewer.actor_id, actor_ids)
        return cls(hosts, frozenset(people))

    def has(self, actor: Actor) -> bool:
        return actor.id in self.people or (not actor.local and actor.host in self.hosts)

    def shows(self, post: Post) -> bool:
        """Nothing of suspended actors either."""
        return post.author.suspended is None and not self.has(post.author)


def _without_dead_ends(posts: Sequence[Post]) -> list[Post]:
    """Without deleted posts that nothing stands under."""
    holds: set[str | None] = set()
    kept = []
    # Answers come after what they answer, except where clocks differ between servers.
    for post in sorted(posts, key=lambda p: p.id, reverse=True):
        if post.deleted is None or post.id in holds:
            holds.add(post.parent_id)
            kept.append(post.id)
    ids = set(kept)
    return [post for post in posts if post.id in ids]


def _count_answers(posts: Sequence[Post]) -> tuple[Post, ...]:
    """Replies with how many answers stand directly under each."""
    count: dict[str | None, int] = {}
    for post in posts:
        if post.deleted is None:
            count[post.parent_id] = count.get(post.parent_id, 0) + 1
    return tuple(replace(post, replies=count.get(post.id, 0)) for post in posts)


def _read_cursor(before: str | None) -> tuple[int, str]:
    group, dot, post_id = (before or "").partition(".")
    if dot and group in {"0", "1", "2", "3"}:
        return int(group), post_id or timelines.NEWEST
    return 0, timelines.NEWEST
