"""Badges of other servers' members, looked at again without being asked.

An `Update` may be lost, so that nobody tells this instance of a revocation. Every hour: what has
run out loses its badge; each issuer's status list that is due is fetched once, and settles
everybody who stands in it; actors are fetched whole only when there is something to find out. A
list is due after six hours, so a revocation counts here seven hours after it at the latest, as long
as the issuer's server can be reached, and after 72 hours in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fedidoc.clock import DAY, HOUR, MINUTE, Clock
from fedidoc.federation.badges import Badges
from fedidoc.federation.remote import Remote
from fedidoc.federation.tasks import BADGES, Tasks
from fedidoc.integrity import encode_multikey
from fedidoc.log import Log
from fedidoc.model import Badge
from fedidoc.storage import actors, presented, queues
from fedidoc.storage.engine import Database
from fedidoc.verification.trust import Trust

WHOLE_LOOK: Final = 7 * DAY
"""How often an actor with a badge that holds is fetched whole: its profile, and what it names."""

_ENDING: Final = 7 * DAY
_LOOKS: Final = 100
_LOOKS_AT_ONCE: Final = 8
_TAKEN_AT_ONCE: Final = 200
_HOSTS_AT_ONCE: Final = 8
_LISTS_OF_A_HOST: Final = 16

_EXPIRED: Final = "The credential has expired."
_REVOKED: Final = "The issuer has revoked the credential."
_UNTRUSTED: Final = "Its server is not trusted here any more."
_OTHER_KEY: Final = "The credential was signed with a key that is not the pinned one any more."
_NO_LIST: Final = "The issuer's list of revoked credentials was not seen for 72 hours."


class Rounds:
    """The hourly task `badges`."""

    def __init__(
        self, db: Database, clock: Clock, trust: Trust, badges: Badges, remote: Remote
    ) -> None:
        self._db = db
        self._clock = clock
        self._trust = trust
        self._badges = badges
        self._remote = remote
        self._log = Log("rounds")

    def register(self, tasks: Tasks) -> None:
        tasks.add(BADGES, self.look_again)

    async def seed(self) -> None:
        """Queue the task for ever; harmless when it is queued already."""
        async with self._db.transaction() as tx:
            await queues.put_task(tx, BADGES, "all", {}, self._clock.now() + HOUR)

    async def look_again(self, subject: str, detail: Mapping[str, Any]) -> int:
        """One round; when the next one is."""
        now = self._clock.now()
        fallen = dict.fromkeys(await presented.ended(self._db, now, _TAKEN_AT_ONCE), _EXPIRED)
        for found in await self._settle_all():
            fallen |= found
        await self._take_off(fallen)
        # There may be a newer credential of which nobody told: those who lost theirs come first.
        due = await presented.due(
            self._db,
            unverified_before=now - DAY,
            verified_before=now - WHOLE_LOOK,
            ending=now + _ENDING,
            limit=_LOOKS,
        )
        suspects = [actor_id for actor_id, why in fallen.items() if why != _UNTRUSTED]
        looked = list(dict.fromkeys([*suspects, *due]))[:_LOOKS]
        await self._look(looked)
        return now + (MINUTE if len(looked) == _LOOKS else HOUR)

    async def _settle_all(self) -> list[dict[str, str]]:
        """Every status list: hosts side by side, the lists of one after each other."""
        lists: dict[str, list[str]] = {}
        for uri, host in await presented.lists(self._db):
            lists.setdefault(host, []).append(uri)
        slots = asyncio.Semaphore(_HOSTS_AT_ONCE)

        async def settle(host: str, uris: list[str]) -> list[dict[str, str]]:
            async with slots:
                return [
                    # An honest issuer has one list. One that has a list for each member would have
                    # this instance ask for all of them every round.
                    await self._settle(uri, host, ask=place < _LISTS_OF_A_HOST)
                    for place, uri in enumerate(uris)
                ]

        settled = await asyncio.gather(*(settle(host, uris) for host, uris in lists.items()))
        return [found for of_host in settled for found in of_host]

    async def _settle(self, uri: str, host: str, *, ask: bool) -> dict[str, str]:
        """Who of the verified holders in one status list is verified no more, and why not."""
        issuer = self._trust.issuer(host)
        holders = await presented.holders(self._db, uri, host)
        if issuer is None:
            return {holder.actor_id: _UNTRUSTED for holder in holders}
        bits = await self._badges.status_list(uri, issuer, ask=ask)
        if bits is None:
            return {holder.actor_id: _NO_LIST for holder in holders}
        key = encode_multikey(issuer.key)
        fallen = {}
        for holder in holders:
            if holder.issuer_key != key:
                fallen[holder.actor_id] = _OTHER_KEY
            elif holder.place >= len(bits) or bits.is_set(holder.place):
                fallen[holder.actor_id] = _REVOKED
        return fallen

    async def _take_off(self, fallen: Mapping[str, str]) -> None:
        now = self._clock.now()
        every = list(fallen)
        for start in range(0, len(every), _TAKEN_AT_ONCE):
            some = every[start : start + _TAKEN_AT_ONCE]
            async with self._db.transaction() as tx:
                for actor in (await actors.get_many(tx, some)).values():
                    badge = Badge(False, fallen[actor.id], issuer=actor.host, checked=now)
                    url = await actors.credential_url(tx, actor.id)
                    await actors.set_badge(tx, actor.id, badge, url, at=now)
        if every:
            self._log.info("badges_taken_off", count=len(every))

    async def _look(self, actor_ids: Iterable[str]) -> None:
        slots = asyncio.Semaphore(_LOOKS_AT_ONCE)
        found = await actors.get_many(self._db, actor_ids)

        async def look(actor_id: str) -> None:
            actor = found.get(actor_id)
            if actor is not None:
                async with slots:
                    await self._remote.recheck(actor)

        await asyncio.gather(*(look(actor_id) for actor_id in found))
