"""What a member is told: answers, mentions, thanks, followers, and the reviewers' decision."""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.clinical.audience import Viewer
from fedidoc.clinical.reading import Hidden, readable_many
from fedidoc.clock import Clock
from fedidoc.model import Account, Notification, NotificationKind, Page
from fedidoc.storage import actors
from fedidoc.storage import notifications as stored
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.notifications import Notice

_PAGE = 30


@dataclass(frozen=True, slots=True)
class Notifications:
    """Reads and writes notifications of local members."""

    db: Database
    clock: Clock

    async def put(
        self,
        tx: Transaction,
        kind: NotificationKind,
        for_actor_id: str,
        *,
        actor_id: str | None = None,
        post_id: str | None = None,
    ) -> None:
        """Tell the member with this actor id, in the transaction of what happened."""
        notice = Notice(
            self.clock.sortable_id(), for_actor_id, kind, actor_id, post_id, self.clock.now()
        )
        await stored.put(tx, [notice])

    async def list(self, account: Account, before: str | None = None) -> Page[Notification]:
        """Newest first. What is about a post that is gone or that the member may not read (any
        more), or by an actor who is gone or blocked, or whose server is, is left out."""
        found = await stored.page(self.db, account.actor_id, before or "", _PAGE + 1)
        shown = found[:_PAGE]
        people = await actors.get_many(self.db, {n.actor_id for n in shown if n.actor_id})
        about = {n.post_id for n in shown if n.post_id}
        posts = await readable_many(self.db, Viewer.of(account), about)
        hidden = await Hidden.by(self.db, Viewer.of(account), people.keys())
        items = []
        for notice in shown:
            actor = people.get(notice.actor_id or "")
            post = posts.get(notice.post_id or "")
            if notice.actor_id and (actor is None or actor.deleted or actor.suspended):
                continue
            if actor is not None and hidden.has(actor):
                continue
            if notice.post_id and (post is None or post.deleted):
                continue
            items.append(Notification(notice.id, notice.kind, actor, post, notice.at, notice.read))
        return Page(tuple(items), shown[-1].id if len(found) > _PAGE else None)

    async def unread(self, account: Account) -> int:
        """How many the member has not seen."""
        return await stored.unread(self.db, account.actor_id)

    async def mark_read(self, account: Account) -> None:
        """All that have come so far."""
        newest = self.clock.sortable_id()
        async with self.db.transaction() as tx:
            await stored.mark_read(tx, account.actor_id, newest)
