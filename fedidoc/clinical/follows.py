"""Who follows whom: asked for, accepted, refused, ended; here and with other servers.

Between two local actors it happens at once. Towards a remote one an event asks, and the follow is
only *requested* until their server accepts: nothing for followers is given out before that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fedidoc.clinical.pseudonyms import may_follow
from fedidoc.clinical.reading import viewer_of
from fedidoc.clock import Clock
from fedidoc.errors import BadInput, Forbidden, NotFound
from fedidoc.model import (
    Account,
    Actor,
    ActorKind,
    Event,
    EventKind,
    FollowState,
    NotificationKind,
)
from fedidoc.storage import actors, blocks, followings, notifications, queues
from fedidoc.storage import follows as stored
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.follows import Follow
from fedidoc.storage.notifications import Notice

__all__ = ["Follow", "Follows"]

EVENTS = "events"
_LIST = 1_000


class FollowUrls(Protocol):
    """What our follows are called."""

    def follow(self, follow_id: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Follows:
    """The room of follows. `wake` is told the name of the queue that has got something to do."""

    db: Database
    clock: Clock
    urls: FollowUrls
    wake: Callable[[str], None] = lambda queue: None

    # Of members -----------------------------------------------------------------------------

    async def follow(self, account: Account, actor: Actor) -> Follow:
        """Follow somebody, or ask to; the follow that is there already, if one is."""
        me = viewer_of(account).actor_id
        may_follow(account)
        if actor.id == me:
            raise BadInput("This is you.")
        if actor.kind is ActorKind.INSTANCE or actor.deleted or actor.suspended:
            raise NotFound
        follow_id, now = self.clock.random_id(), self.clock.now()
        if await blocks.either(self.db, me, actor.id):
            raise Forbidden("You cannot follow each other: one of you two blocked the other.")
        at_once = actor.local and not actor.approves_follows
        state = FollowState.ACCEPTED if at_once else FollowState.REQUESTED
        follow = Follow(follow_id, self.urls.follow(follow_id), me, actor.id, state, now)
        async with self.db.transaction() as tx:
            if not await stored.put(tx, follow):
                known = await stored.between(tx, me, actor.id)
                if known is None:
                    raise NotFound
                return known
            if actor.local:
                await self._tell(tx, _kind(state), actor.id, me)
            else:
                await self._put_event(tx, EventKind.FOLLOW_REQUESTED, me, follow)
        self.wake(EVENTS)
        return follow

    async def unfollow(self, account: Account, actor: Actor) -> None:
        """Stop following, or take the request back."""
        me = viewer_of(account).actor_id
        async with self.db.transaction() as tx:
            follow = await stored.between(tx, me, actor.id)
            if follow is None:
                return
            await stored.delete(tx, follow.id)
            if actor.local:
                await self._untell(tx, actor.id, me)
            else:
                await self._put_event(tx, EventKind.FOLLOW_UNDONE, me, follow)
        self.wake(EVENTS)

    async def approve(self, account: Account, follower_id: str) -> None:
        """Accept somebody's request to follow the member."""
        me = viewer_of(account).actor_id
        async with self.db.transaction() as tx:
            follow, follower = await self._request(tx, follower_id, me)
            if not await stored.set_state(tx, follow.id, FollowState.ACCEPTED):
                return
            await self._untell(tx, me, follower_id)
            if follower.local:
                await self._tell(tx, NotificationKind.FOLLOW_ACCEPTED, follower_id, me)
            else:
                await self._put_event(tx, EventKind.FOLLOW_ACCEPTED, me, follow)
        self.wake(EVENTS)

    async def refuse(self, account: Account, follower_id: str) -> None:
        """Refuse a request, or take away a follow that was accepted. They are not told why."""
        me = viewer_of(account).actor_id
        async with self.db.transaction() as tx:
            follow, follower = await self._request(tx, follower_id, me)
            await stored.delete(tx, follow.id)
            await self._untell(tx, me, follower_id)
            if not follower.local:
                await self._put_event(tx, EventKind.FOLLOW_REJECTED, me, follow)
        self.wake(EVENTS)

    async def _request(self, tx: Transaction, follower_id: str, me: str) -> tuple[Follow, Actor]:
        follow = await stored.between(tx, follower_id, me)
        follower = await actors.get(tx, follower_id)
        if follow is None or follower is None:
            raise NotFound
        return follow, follower

    async def state(self, account: Account, actor_id: str) -> FollowState | None:
        """Whether the member follows an actor, or has asked to."""
        follow = await stored.between(self.db, account.actor_id, actor_id)
        return follow.state if follow else None

    async def followed_by(self, account: Account, actor_ids: Collection[str]) -> set[str]:
        """Which of these actors follow the member, accepted."""
        return await followings.followers_among(self.db, account.actor_id, actor_ids)

    async def requests(self, account: Account) -> list[Actor]:
        """Who waits for the member's answer."""
        return await stored.followers_of(
            self.db, account.actor_id, state=FollowState.REQUESTED, limit=_LIST
        )

    async def followers(self, actor_id: str, after: str = "") -> list[Actor]:
        """Who follows an actor, as far as is known here; up to 1,000 from `after` (an id) on."""
        return await stored.followers_of(self.db, actor_id, after=after, limit=_LIST)

    async def following(self, actor_id: str, after: str = "") -> list[Actor]:
        """Whom an actor follows, as far as is known here."""
        return await stored.following_of(self.db, actor_id, after=after, limit=_LIST)

    async def counts(self, actor_id: str) -> tuple[int, int]:
        """(followers, following), accepted ones."""
        return await stored.counts(self.db, actor_id)

    # From other servers, inside their handlers' transaction -----------------------------------

    async def receive_follow(
        self, tx: Transaction, follower: Actor, followed: Actor, uri: str
    ) -> str:
        """A remote actor asks to follow a local one; `uri` is the Follow's id."""
        state = FollowState.REQUESTED if followed.approves_follows else FollowState.ACCEPTED
        now = self.clock.now()
        follow = Follow(self.clock.random_id(), uri, follower.id, followed.id, state, now)
        if not await stored.put(tx, follow):
            known = await stored.between(tx, follower.id, followed.id)
            if known is None:
                return "refused: the follow's id is another's"
            # A peer that lost our answer asks again, often under a new id: answer again.
            follow = replace(known, uri=uri)
            if known.uri != uri:
                await stored.set_uri(tx, known.id, uri)
            if not known.accepted:
                return "asked: waiting for an answer"
        else:
            await self._tell(tx, _kind(state), followed.id, follower.id)
            if state is FollowState.REQUESTED:
                return "asked: waiting for an answer"
        await self._put_event(tx, EventKind.FOLLOW_ACCEPTED, followed.id, follow)
        return "accepted"

    async def receive_accept(self, tx: Transaction, follow: Follow) -> str:
        """The followed remote actor accepted; the caller checked that it is theirs to answer."""
        if not await stored.set_state(tx, follow.id, FollowState.ACCEPTED):
            return "known"
        await self._tell(
            tx, NotificationKind.FOLLOW_ACCEPTED, follow.follower_id, follow.followed_id
        )
        return "accepted"

    async def receive_reject(self, tx: Transaction, follow: Follow) -> str:
        """The followed remote actor refused, or ended a follow it had accepted."""
        await stored.delete(tx, follow.id)
        return "rejected"

    async def receive_undo(self, tx: Transaction, follow: Follow) -> str:
        """The remote follower takes its follow back; the caller checked that it is theirs."""
        await stored.delete(tx, follow.id)
        await self._untell(tx, follow.followed_id, follow.follower_id)
        return "undone"

    async def receive_move(self, tx: Transaction, old: Actor, new: Actor) -> str:
        """Members who follow `old` follow `new` instead, or ask to; they are told. The caller
        checked that both say that they are one."""
        followers = await stored.local_followers(tx, old.id)
        now = self.clock.now()
        at_once = new.local and not new.approves_follows
        state = FollowState.ACCEPTED if at_once else FollowState.REQUESTED
        for known in followers:
            me = known.follower_id
            await stored.delete(tx, known.id)
            if me == new.id:
                continue
            if not old.local:
                await self._put_event(tx, EventKind.FOLLOW_UNDONE, me, known)
            follow_id = self.clock.random_id()
            follow = Follow(follow_id, self.urls.follow(follow_id), me, new.id, state, now)
            if await stored.put(tx, follow):
                if new.local:
                    await self._tell(tx, _kind(state), new.id, me)
                else:
                    await self._put_event(tx, EventKind.FOLLOW_REQUESTED, me, follow)
            await self._tell(tx, NotificationKind.MOVED, me, new.id)
        return f"moved: {len(followers)} follow the new actor"

    # Shared ---------------------------------------------------------------------------------

    async def _tell(
        self, tx: Transaction, kind: NotificationKind, for_id: str, actor_id: str
    ) -> None:
        notice = Notice(self.clock.sortable_id(), for_id, kind, actor_id, None, self.clock.now())
        await notifications.put(tx, [notice])

    async def _untell(self, tx: Transaction, for_id: str, actor_id: str) -> None:
        for kind in (NotificationKind.FOLLOWED, NotificationKind.FOLLOW_REQUESTED):
            await notifications.take_back(tx, for_id, kind, actor_id, None)

    async def _put_event(
        self, tx: Transaction, kind: EventKind, actor_id: str, follow: Follow
    ) -> None:
        detail: dict[str, Any] = {}
        if kind in (EventKind.FOLLOW_REJECTED, EventKind.FOLLOW_UNDONE):
            # The row is gone when the outbox reads it.
            detail = {
                "uri": follow.uri,
                "follower_id": follow.follower_id,
                "followed_id": follow.followed_id,
            }
        event = Event(self.clock.sortable_id(), kind, actor_id, follow.id, self.clock.now(), detail)
        await queues.put_event(tx, event)


def _kind(state: FollowState) -> NotificationKind:
    if state is FollowState.ACCEPTED:
        return NotificationKind.FOLLOWED
    return NotificationKind.FOLLOW_REQUESTED
