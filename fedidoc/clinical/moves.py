"""Moving: a physician who changes hospital keeps followers, and the badge changes its issuer.

Both sides have to say so: the new actor names the old one among its aliases (`alsoKnownAs`), and
the old one sends a Move to its followers. Nothing else is carried over; the new instance verifies
its member by itself, and followers look at that badge before they follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fedidoc.clinical.follows import Follows
from fedidoc.clinical.reading import viewer_of
from fedidoc.clock import Clock
from fedidoc.errors import BadInput, Conflict, NotFound
from fedidoc.model import Account, Actor, ActorKind, Event, EventKind
from fedidoc.storage import actors, queues
from fedidoc.storage import moves as stored
from fedidoc.storage.engine import Database, Reader, Transaction

EVENTS = "events"
_MOST_ALIASES = 8


@dataclass(frozen=True, slots=True)
class Moving:
    """How a member's actor stands: the URIs it also goes by, and where it went."""

    aliases: tuple[str, ...]
    moved_to: str | None


@dataclass(frozen=True, slots=True)
class Moves:
    """The room of moves. `wake` is told the name of the queue that has got something to do."""

    db: Database
    clock: Clock
    follows: Follows
    wake: Callable[[str], None] = lambda queue: None

    async def state(self, account: Account) -> Moving:
        return Moving(
            await stored.aliases(self.db, account.actor_id),
            await stored.moved_to(self.db, account.actor_id),
        )

    async def destination(self, actor: Actor) -> str | None:
        """Where an actor went, as far as is known here."""
        return await stored.moved_to(self.db, actor.id)

    async def add_alias(self, account: Account, old: Actor) -> None:
        """Say that the member is also `old`, an actor elsewhere, which may then move here."""
        me = viewer_of(account).actor_id
        if old.local:
            raise BadInput("This is an account of this instance.", field="old")
        if old.kind is not ActorKind.PERSON:
            raise BadInput("This is not a person's account.", field="old")
        async with self.db.transaction() as tx:
            await tx.lock(f"moving {me}")
            aliases = await stored.aliases(tx, me)
            if old.uri in aliases:
                return
            if len(aliases) >= _MOST_ALIASES:
                raise BadInput("These are many accounts already; remove one first.", field="old")
            await stored.set_aliases(tx, me, (*aliases, old.uri))
            await self._put_event(tx, EventKind.ACTOR_UPDATED, me)
        self.wake(EVENTS)

    async def remove_alias(self, account: Account, uri: str) -> None:
        """No longer say so."""
        me = viewer_of(account).actor_id
        async with self.db.transaction() as tx:
            await tx.lock(f"moving {me}")
            aliases = await stored.aliases(tx, me)
            if uri not in aliases:
                return
            await stored.set_aliases(tx, me, [a for a in aliases if a != uri])
            await self._put_event(tx, EventKind.ACTOR_UPDATED, me)
        self.wake(EVENTS)

    async def move(self, account: Account, target: Actor) -> None:
        """Send the member's followers to `target`, which was fetched just now.

        BadInput if the target does not name this account as an alias. What the member wrote stays;
        new words are written there.
        """
        me = viewer_of(account).actor_id
        if target.id == me or target.local:
            raise BadInput("Move to an account on another server.", field="target")
        if target.kind is not ActorKind.PERSON or target.deleted or target.suspended:
            raise BadInput("This is not a person's account.", field="target")
        async with self.db.transaction() as tx:
            await tx.lock(f"moving {me}")
            own = await actors.get(tx, me)
            if own is None:
                raise NotFound
            if own.uri not in await stored.aliases(tx, target.id):
                raise BadInput(
                    "The other account does not name this one yet: log in there first, and add"
                    f" {own.handle} to the accounts that are yours.",
                    field="target",
                )
            if not await stored.set_moved_to(tx, me, target.uri):
                return
            await self.follows.receive_move(tx, own, target)
            await self._put_event(tx, EventKind.ACTOR_MOVED, me, {"target": target.uri})
            await self._put_event(tx, EventKind.ACTOR_UPDATED, me)
        self.wake(EVENTS)

    async def come_back(self, account: Account) -> None:
        """Write here again. Followers who moved on do not come back by themselves."""
        me = viewer_of(account).actor_id
        async with self.db.transaction() as tx:
            if not await stored.set_moved_to(tx, me, None):
                return
            await self._put_event(tx, EventKind.ACTOR_UPDATED, me)
        self.wake(EVENTS)

    async def _put_event(
        self, tx: Transaction, kind: EventKind, me: str, detail: dict[str, str] | None = None
    ) -> None:
        now = self.clock.now()
        event = Event(self.clock.sortable_id(), kind, me, me, now, dict(detail or {}))
        await queues.put_event(tx, event)


async def check_here(reader: Reader, actor_id: str) -> None:
    """Conflict for a member who moved away: new words are written there."""
    if await stored.moved_to(reader, actor_id) is not None:
        raise Conflict(
            "You moved to another account, so write there; or come back, in your settings under"
            " Moving."
        )
