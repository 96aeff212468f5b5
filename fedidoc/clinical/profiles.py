"""A member's public face, and finding colleagues who are members of this instance."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from fedidoc.clinical import avatars, phi, text
from fedidoc.clock import Clock
from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Account, Actor, ClearedText, Event, EventKind, Page, Post
from fedidoc.storage import actors, directory, keys, queues, spans
from fedidoc.storage.engine import Database

NAME_LIMIT = 100
SUMMARY_LIMIT = 2_000
_PAGE = 30


@dataclass(frozen=True, slots=True)
class Profiles:
    """Reads and changes profiles; `jobs` hears of a change through its event."""

    db: Database
    clock: Clock

    async def get(self, actor_id: str) -> Actor:
        """The actor with this internal id; NotFound also for a deleted one."""
        actor = await actors.get(self.db, actor_id)
        if actor is None or actor.deleted is not None:
            raise NotFound
        return actor

    async def by_handle(self, username: str, host: str) -> Actor | None:
        """The actor `@username@host` as far as it is known here; local names in any case."""
        actor = await actors.by_handle(self.db, username, host)
        if actor is None:
            actor = await actors.by_handle(self.db, username.lower(), host)
            if actor is not None and not actor.local:
                return None
        return actor if actor is not None and actor.deleted is None else None

    async def lapsed_since(self, posts: Iterable[Post]) -> dict[str, int]:
        """Of posts whose author is not verified now but was when they were written: since when
        (ms) the author is not, by post id."""
        doubtful = [post for post in posts if not post.author.badge.verified]
        held = await spans.of(self.db, {post.author.id for post in doubtful})
        found = {}
        for post in doubtful:
            mine = held.get(post.author.id, [])
            last = mine[-1].ended if mine else None
            was = any(s.began <= post.published < (s.ended or post.published + 1) for s in mine)
            if was and last is not None:
                found[post.id] = last
        return found

    async def avatar(self, username: str) -> bytes:
        """The picture of a pseudonym here (PNG), made of its public key; NotFound for others."""
        actor = await actors.local_by_username(self.db, username)
        if actor is None or not actor.pseudonymous or actor.deleted is not None:
            raise NotFound
        public = (await keys.keys_of(self.db, actor.id))[keys.KeyUse.ED25519].public
        return await asyncio.to_thread(avatars.draw, public.encode())

    async def summary(self, account: Account) -> str:
        """What the member wrote about themselves, for the form."""
        return await actors.summary_source(self.db, account.actor_id)

    async def update(
        self,
        account: Account,
        *,
        name: str,
        summary: str,
        approves_follows: bool,
        discoverable: bool,
    ) -> Actor:
        """Change the member's own profile; followers are told.

        BadInput names the field; IdentifiersFound if the words hold a patient's identifier. A
        physician's own telephone number or address in a profile is refused alike: what is public
        there would be copied to every peer.
        """
        name = " ".join(name.split())
        if not name:
            raise BadInput("Write the name that colleagues know you by.", field="name")
        if len(name) > NAME_LIMIT or not name.isprintable():
            raise BadInput(f"A name has at most {NAME_LIMIT} letters.", field="name")
        if len(summary) > SUMMARY_LIMIT:
            raise BadInput(f"This text has at most {SUMMARY_LIMIT} letters.", field="summary")
        cleared = phi.clear(summary, confirmed=(phi.Kind.URL, phi.Kind.NAME))
        if not isinstance(cleared, ClearedText):
            raise phi.IdentifiersFound({"summary": cleared})
        now = self.clock.now()
        async with self.db.transaction() as tx:
            await actors.update_profile(
                tx,
                account.actor_id,
                name=name,
                summary_html=text.render(cleared.text),
                summary_source=cleared.text,
                approves_follows=approves_follows,
                discoverable=discoverable,
                icon_url=None,
                now=now,
            )
            await queues.put_event(
                tx,
                Event(
                    id=self.clock.sortable_id(),
                    kind=EventKind.ACTOR_UPDATED,
                    actor_id=account.actor_id,
                    subject=account.actor_id,
                    at=now,
                    detail={},
                ),
            )
        return await self.get(account.actor_id)

    async def directory(
        self, query: str = "", specialty: str = "", cursor: str | None = None
    ) -> Page[Actor]:
        """Verified members of this instance who let themselves be found, by name.

        `query` matches part of a name or username; `specialty` is a NUCC code. The cursor is the
        internal id of the last one.
        """
        found = await directory.search(
            self.db, query=query.strip()[:100], specialty=specialty, after=cursor, limit=_PAGE + 1
        )
        items = tuple(found[:_PAGE])
        older = items[-1].id if len(found) > _PAGE else None
        return Page(items, older)
