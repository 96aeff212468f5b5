"""How a member's change is made: one transaction, its domain event, its notifications, and thanks.

The half of `Cases` that knows no forms.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from fedidoc.clinical.audience import Viewer, may_change
from fedidoc.clinical.reading import readable, viewer_of
from fedidoc.clock import Clock
from fedidoc.errors import NotFound
from fedidoc.model import Account, Actor, Event, EventKind, NotificationKind, Post
from fedidoc.storage import cases, notifications, queues, reactions
from fedidoc.storage.cases import NewPost
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.notifications import Notice
from fedidoc.storage.statements import Duplicate

EVENTS = "events"
"""The queue that domain events wait in."""


class Places(Protocol):
    """Where a post lives, and what ours are called."""

    @property
    def authority(self) -> str: ...
    def object(self, post_id: str) -> str: ...
    def case_page(self, post_id: str) -> str: ...
    def like(self, like_id: str) -> str: ...


class Writing:
    """The writing half of `Cases`. `wake` is told the queue that has got something to do."""

    db: Database
    clock: Clock
    urls: Places
    wake: Callable[[str], None]

    # Thanks ---------------------------------------------------------------------------------

    async def like(self, account: Account, post_id: str) -> None:
        """Thank for somebody's post; again changes nothing."""
        viewer = viewer_of(account)
        async with self.db.transaction() as tx:
            post = await readable(tx, viewer, post_id)
            if post.author.id == viewer.actor_id or post.deleted is not None:
                return
            like_id, now = self.clock.random_id(), self.clock.now()
            uri = self.urls.like(like_id)
            if not await reactions.put(tx, "likes", like_id, uri, viewer.actor_id, post.id, now):
                return
            if post.author.local:
                await self._notify(tx, NotificationKind.LIKED, viewer, post.id, [post.author.id])
            else:
                detail = {"uri": uri, "id": like_id}
                await self._put_event(tx, EventKind.LIKED, viewer, post.id, detail)
        self.wake(EVENTS)

    async def unlike(self, account: Account, post_id: str) -> None:
        """Take one's thanks back."""
        viewer = viewer_of(account)
        async with self.db.transaction() as tx:
            post = await readable(tx, viewer, post_id)
            gone = await reactions.take_back(tx, "likes", viewer.actor_id, post.id)
            if gone is None:
                return
            if post.author.local:
                await notifications.take_back(
                    tx, post.author.id, NotificationKind.LIKED, viewer.actor_id, post.id
                )
            else:
                detail = {"uri": gone[1], "id": gone[0]}
                await self._put_event(tx, EventKind.LIKE_UNDONE, viewer, post.id, detail)
        self.wake(EVENTS)

    # Shared ---------------------------------------------------------------------------------

    async def _publish(
        self, viewer: Viewer, row: NewPost, write: Callable[[Transaction], Awaitable[None]]
    ) -> Post:
        try:
            async with self.db.transaction() as tx:
                await write(tx)
        except Duplicate:
            # The same form, sent twice at the same moment.
            before = await cases.by_once(self.db, viewer.actor_id, row.once or "")
            if before is None:
                raise
            return before
        self.wake(EVENTS)
        return await self._again(row.id)

    async def _change(
        self,
        viewer: Viewer,
        post_id: str,
        kind: EventKind,
        write: Callable[[Transaction, Post], Awaitable[None]],
    ) -> Post:
        """Change one's own post, as it stands at that moment, and tell others."""
        async with self.db.transaction() as tx:
            current = await cases.get(tx, post_id)
            if current is None or not may_change(viewer, current):
                raise NotFound
            await write(tx, current)
            await self._put_event(tx, kind, viewer, post_id)
        self.wake(EVENTS)
        return await self._again(post_id)

    async def _again(self, post_id: str) -> Post:
        post = await cases.get(self.db, post_id)
        if post is None:
            raise NotFound
        return post

    async def _tell_people(
        self,
        tx: Transaction,
        viewer: Viewer,
        post_id: str,
        answered: Sequence[Actor],
        named: Sequence[Actor],
    ) -> None:
        """Notify local actors whose post was answered, and those who are named besides."""
        told = {viewer.actor_id}
        for kind, people in (
            (NotificationKind.REPLIED, answered),
            (NotificationKind.MENTIONED, named),
        ):
            for_ids = [a.id for a in dict.fromkeys(people) if a.local and a.id not in told]
            told.update(for_ids)
            await self._notify(tx, kind, viewer, post_id, for_ids)

    async def _notify(
        self,
        tx: Transaction,
        kind: NotificationKind,
        viewer: Viewer,
        post_id: str,
        for_ids: Sequence[str],
    ) -> None:
        now = self.clock.now()
        await notifications.put(
            tx,
            [
                Notice(self.clock.sortable_id(), for_id, kind, viewer.actor_id, post_id, now)
                for for_id in for_ids
            ],
        )

    async def _put_event(
        self,
        tx: Transaction,
        kind: EventKind,
        viewer: Viewer,
        subject: str,
        detail: dict[str, Any] | None = None,
    ) -> None:
        event = Event(
            self.clock.sortable_id(), kind, viewer.actor_id, subject, self.clock.now(), detail or {}
        )
        await queues.put_event(tx, event)
