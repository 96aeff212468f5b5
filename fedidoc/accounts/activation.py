"""The daily batch: what was enrolled since the last one opens, all together and in no order.

Each pseudonym gets its actor, keys, credential and record in one transaction with all others of the
day. Before that many members must have been handed the year's code (the crowd): the first pseudonym
of a year would else belong to one of few.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fedidoc.accounts.pseudonyms import ends, year_of
from fedidoc.clock import DAY, HOUR, Clock, DayClock
from fedidoc.config import Config
from fedidoc.model import Actor, ActorKind, Role, Specialty
from fedidoc.storage import actors, crowds, keys, moderation, settling
from fedidoc.storage import pseudonyms as stored
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.keys import FreshKeys
from fedidoc.storage.people import read_specialty
from fedidoc.storage.pseudonyms import Pseudonym, PseudonymStanding, Waiting
from fedidoc.vault import Vault

KIND: Final = "pseudonyms"
"""The task that the batch runs as."""
BY: Final = "daily batch"


class SealedCredentials(Protocol):
    """Who issues a pseudonym's credential, with no time finer than a month."""

    async def issue_sealed(
        self,
        tx: Transaction,
        actor: Actor,
        profession: Role,
        specialty: Specialty | None,
        *,
        until: int,
    ) -> dict[str, Any]: ...


class PseudonymUrls(actors.ActorUrls, Protocol):
    """Where a pseudonym lives, and its picture."""

    def avatar(self, username: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Activated:
    """What a batch did: how many opened, how many were renewed, how many wait for the crowd."""

    opened: int
    renewed: int
    waiting: int


class Activation:
    """Opens what waits, and settles the database afterwards."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        config: Config,
        urls: PseudonymUrls,
        credentials: SealedCredentials,
        *,
        settle_files: Callable[[], Awaitable[None]],
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._config = config
        self._urls = urls
        self._credentials = credentials
        self._settle_files = settle_files

    @property
    def enabled(self) -> bool:
        """Whether there are pseudonyms here, and so something to settle."""
        return self._config.pseudonyms.threshold > 0

    def next_batch(self) -> int:
        """When the next daily batch is due, UTC milliseconds."""
        now = self._clock.now()
        today = now - now % DAY + self._config.pseudonyms.hour * HOUR
        return today if today > now else today + DAY

    async def run(self) -> Activated:
        """Open everything that waits, if the crowd is there; then settle."""
        done = await self._open_all() if self.enabled else Activated(0, 0, 0)
        await self.settle()
        return done

    async def settle(self, *, whole: bool = True) -> None:
        """Take order and hours out of what pseudonyms did. `whole` also writes the database's file
        anew: once a day and before a backup; without it, it is cheap enough for every hour."""
        async with self._db.transaction() as tx:
            await settling.round_times(tx, self._clock)
            await settling.mix(tx, self._clock, whole=whole)
        await self._settle_files()
        await self._db.compact(rewrite=whole)

    async def _open_all(self) -> Activated:
        entries = await stored.waiting(self._db)
        if not entries:
            return Activated(0, 0, 0)
        handed_out = await crowds.count_codes(self._db, year_of(self._clock.now()))
        if handed_out < self._config.pseudonyms.crowd:
            return Activated(0, 0, len(entries))
        secrets.SystemRandom().shuffle(entries)
        bodies = [json.loads(entry.body) for entry in entries]
        # Keys take a tenth of a second each: made before the transaction, away from the loop.
        fresh = [
            None if "renews" in body else await asyncio.to_thread(keys.generate_keys)
            for body in bodies
        ]
        months = DayClock(self._clock, months=True)
        opened = 0
        async with self._db.transaction() as tx:
            await tx.lock("accounts")
            for entry, body, pair in zip(entries, bodies, fresh, strict=True):
                if pair is None:
                    await self._renew(tx, body)
                else:
                    await self._open(tx, entry, body, pair, months)
                    opened += 1
                await stored.spend_codes(tx, [entry.code_digest], body["year"])
            await stored.remove_waiting(tx, [entry.id for entry in entries])
            today = DayClock(self._clock).now()
            counts = {"opened": opened, "renewed": len(entries) - opened}
            await moderation.append(tx, today, BY, "pseudonyms_opened", "", counts)
        return Activated(opened, len(entries) - opened, 0)

    async def _open(
        self,
        tx: Transaction,
        entry: Waiting,
        body: dict[str, Any],
        pair: FreshKeys,
        months: Clock,
    ) -> None:
        handle = await self._free(tx, entry.handle)
        actor = await actors.create_local(
            tx,
            self._urls,
            self._vault,
            months,
            username=handle,
            name=handle,
            kind=ActorKind.PERSON,
            host=self._config.domain,
            keys=pair,
        )
        await stored.mark_actor(tx, actor.id, self._urls.avatar(handle))
        pseudonym = Pseudonym(
            entry.id,
            actor.id,
            handle,
            Role(body["profession"]),
            read_specialty(body["specialty"]),
            body["year"],
            PseudonymStanding.STANDING,
            bool(body["jitter"]),
        )
        await stored.put(tx, pseudonym, entry.passphrase_hash)
        await stored.replace_recovery(tx, entry.id, body["recovery"])
        await self._attest(tx, pseudonym, body)

    async def _renew(self, tx: Transaction, body: dict[str, Any]) -> None:
        pseudonym = await stored.get(tx, body["renews"])
        if pseudonym is None or pseudonym.standing is PseudonymStanding.SUSPENDED:
            return
        profession, specialty = Role(body["profession"]), read_specialty(body["specialty"])
        await stored.set_year(tx, pseudonym.id, body["year"], profession, specialty)
        renewed = await stored.get(tx, pseudonym.id)
        if renewed is not None:
            await self._attest(tx, renewed, body)

    async def _attest(self, tx: Transaction, pseudonym: Pseudonym, body: dict[str, Any]) -> None:
        record = json.loads(body["record"])
        await stored.put_record(tx, record["id"], pseudonym.id, body["year"], body["record"])
        actor = await actors.get(tx, pseudonym.actor_id)
        if actor is not None:
            await self._credentials.issue_sealed(
                tx, actor, pseudonym.profession, pseudonym.specialty, until=ends(body["year"])
            )

    async def _free(self, tx: Transaction, handle: str) -> str:
        """The handle, or with a number if a member took it in the hours since it was chosen."""
        found, number = handle, 2
        while await actors.local_by_username(tx, found):
            found, number = f"{handle[:27]}_{number}", number + 1
        return found
