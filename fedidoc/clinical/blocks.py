"""Wanting nothing to do with somebody: no follow either way, no notice, none of their words.

A block hides the other's posts from who blocks, and nothing else: cases and answers stay where
they are for everybody else. The other's server is told (a Block activity), as it keeps the follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fedidoc.clinical.reading import viewer_of
from fedidoc.clock import Clock
from fedidoc.errors import BadInput, Forbidden, NotFound
from fedidoc.model import Account, Actor, ActorKind, Event, EventKind
from fedidoc.storage import blocks as stored
from fedidoc.storage import follows, notifications, queues
from fedidoc.storage.blocks import Block
from fedidoc.storage.engine import Database, Reader, Transaction

EVENTS = "events"
_LIST = 500


class BlockUrls(Protocol):
    """What our blocks are called."""

    def block(self, block_id: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Blocks:
    """The room of blocks. `wake` is told the name of the queue that has got something to do."""

    db: Database
    clock: Clock
    urls: BlockUrls
    wake: Callable[[str], None] = lambda queue: None

    # Of members -----------------------------------------------------------------------------

    async def block(self, account: Account, actor: Actor) -> None:
        """Block somebody; again changes nothing. Follows between the two end."""
        me = viewer_of(account).actor_id
        if actor.id == me:
            raise BadInput("This is you.")
        if actor.kind is ActorKind.INSTANCE or actor.deleted:
            raise NotFound
        now = self.clock.now()
        block = Block(me, actor.id, self.urls.block(self.clock.random_id()), now)
        async with self.db.transaction() as tx:
            if not await stored.put(tx, block):
                return
            await self._part(tx, me, actor)
            if not actor.local:
                detail = {"uri": block.uri, "blocked_id": actor.id}
                await self._put_event(tx, EventKind.BLOCKED, me, actor.id, detail)
        self.wake(EVENTS)

    async def unblock(self, account: Account, actor: Actor) -> None:
        """Take a block back. Follows do not come back by themselves."""
        me = viewer_of(account).actor_id
        async with self.db.transaction() as tx:
            block = await stored.get(tx, me, actor.id)
            if block is None or not await stored.delete(tx, me, actor.id):
                return
            if not actor.local:
                detail = {"uri": block.uri, "blocked_id": actor.id}
                await self._put_event(tx, EventKind.BLOCK_UNDONE, me, actor.id, detail)
        self.wake(EVENTS)

    async def has(self, account: Account, actor_id: str) -> bool:
        """Whether the member blocks an actor."""
        return await stored.get(self.db, account.actor_id, actor_id) is not None

    async def list(self, account: Account) -> list[Actor]:
        """Whom the member blocks, latest first."""
        return await stored.blocked_by(self.db, account.actor_id, limit=_LIST)

    # From other servers, inside their handlers' transaction -----------------------------------

    async def receive_block(self, tx: Transaction, blocker: Actor, blocked: Actor, uri: str) -> str:
        """A remote actor blocks a local one, who is not told."""
        if not await stored.put(tx, Block(blocker.id, blocked.id, uri, self.clock.now())):
            return "known"
        await self._part(tx, blocked.id, blocker)
        return "blocked"

    async def receive_unblock(self, tx: Transaction, blocker: Actor, blocked: Actor) -> str:
        """A remote actor takes its block back."""
        gone = await stored.delete(tx, blocker.id, blocked.id)
        return "undone" if gone else "ignore: there was none"

    # Shared ---------------------------------------------------------------------------------

    async def _part(self, tx: Transaction, me: str, other: Actor) -> None:
        """End what follows there are between a local actor and another; the other's server hears
        that its follow ended, and that ours did."""
        for follower_id, followed_id, kind in (
            (other.id, me, EventKind.FOLLOW_REJECTED),
            (me, other.id, EventKind.FOLLOW_UNDONE),
        ):
            follow = await follows.between(tx, follower_id, followed_id)
            if follow is None:
                continue
            await follows.delete(tx, follow.id)
            if not other.local:
                detail = {
                    "uri": follow.uri,
                    "follower_id": follower_id,
                    "followed_id": followed_id,
                }
                await self._put_event(tx, kind, me, follow.id, detail)
        await notifications.forget_between(tx, me, other.id)

    async def _put_event(
        self, tx: Transaction, kind: EventKind, actor_id: str, subject: str, detail: dict[str, str]
    ) -> None:
        event = Event(
            self.clock.sortable_id(), kind, actor_id, subject, self.clock.now(), dict(detail)
        )
        await queues.put_event(tx, event)


async def check(reader: Reader, me: str, others: set[str]) -> None:
    """Forbidden if one of the others blocks the actor `me`, or is blocked by it."""
    for other in others - {me}:
        if await stored.either(reader, me, other):
            raise Forbidden("You cannot answer here: one of you two blocked the other.")
