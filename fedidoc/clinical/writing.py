"""How a member's change is made: one transaction, its event, its notifications; and reactions.

The half of `Cases` that knows no forms.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fedidoc.clinical import blocks
from fedidoc.clinical.audience import Viewer, may_announce, may_change
from fedidoc.clinical.pseudonyms import may_pass_on
from fedidoc.clinical.reading import readable, viewer_of
from fedidoc.clock import Clock
from fedidoc.errors import Forbidden, NotFound
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
    def announce(self, announce_id: str) -> str: ...


@dataclass(frozen=True, slots=True)
class _Reaction:
    table: reactions.Table
    notice: NotificationKind
    done: EventKind
    undone: EventKind


_THANKS = _Reaction("likes", NotificationKind.LIKED, EventKind.LIKED, EventKind.LIKE_UNDONE)
_PASSING_ON = _Reaction(
    "announces", NotificationKind.ANNOUNCED, EventKind.ANNOUNCED, EventKind.ANNOUNCE_UNDONE
)


class Writing:
    """The writing half of `Cases`. `wake` is told the queue that has got something to do."""

    db: Database
    clock: Clock
    urls: Places
    wake: Callable[[str], None]
    due: Callable[[], int | None]

    # Thanking and passing on ------------------------------------------------------------------

    async def like(self, account: Account, post_id: str) -> None:
        """Thank for somebody's post; again changes nothing."""
        await self._give(account, post_id, _THANKS)

    async def unlike(self, account: Account, post_id: str) -> None:
        """Take one's thanks back."""
        await self._withdraw(account, post_id, _THANKS)

    async def announce(self, account: Account, post_id: str) -> None:
        """Pass somebody's public post on to one's own followers; again changes nothing.

        Forbidden for a post that is not public: it would leave its audience.
        """
        await self._give(account, post_id, _PASSING_ON)

    async def unannounce(self, account: Account, post_id: str) -> None:
        """No longer pass it on."""
        await self._withdraw(account, post_id, _PASSING_ON)

    async def _give(self, account: Account, post_id: str, what: _Reaction) -> None:
        viewer = viewer_of(account)
        if what is _PASSING_ON:
            may_pass_on(account)
        async with self.db.transaction() as tx:
            post = await readable(tx, viewer, post_id)
            if post.author.id == viewer.actor_id or post.deleted is not None:
                return
            await blocks.check(tx, viewer.actor_id, {post.author.id})
            passes_on = what is _PASSING_ON
            if passes_on and not may_announce(post.audience):
                raise Forbidden("Only a public post can be passed on.")
            id, now = self.clock.random_id(), self.clock.now()
            uri = self.urls.announce(id) if passes_on else self.urls.like(id)
            if not await reactions.put(tx, what.table, id, uri, viewer.actor_id, post.id, now):
                return
            if post.author.local:
                await self._notify(tx, what.notice, viewer, post.id, [post.author.id])
            if passes_on or not post.author.local:
                await self._put_event(tx, what.done, viewer, post.id, {"uri": uri, "id": id})
        self.wake(EVENTS)

    async def _withdraw(self, account: Account, post_id: str, what: _Reaction) -> None:
        viewer = viewer_of(account)
        async with self.db.transaction() as tx:
            post = await readable(tx, viewer, post_id)
            gone = await reactions.take_back(tx, what.table, viewer.actor_id, post.id)
            if gone is None:
                return
            if post.author.local:
                await notifications.take_back(
                    tx, post.author.id, what.notice, viewer.actor_id, post.id
                )
            if what is _PASSING_ON or not post.author.local:
                detail = {"uri": gone[1], "id": gone[0]}
                await self._put_event(tx, what.undone, viewer, post.id, detail)
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
        await queues.put_event(tx, event, due=self.due())
