"""What follows from evidence: a level and its credential, and their end.

`review` decides; here is done what every decision leads to, in the transaction of the decision.
Whatever is held, nobody is given more than the configuration's levels say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from fedidoc.clock import Clock
from fedidoc.errors import Conflict, NotFound
from fedidoc.model import Account, NotificationKind, Role, Specialty, Standing
from fedidoc.storage import actors, moderation, people
from fedidoc.storage import credentials as issued
from fedidoc.storage import evidence as stored
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.statements import Reader
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.evidence import EvidenceKind, assurance_of
from fedidoc.verification.policy import Level, Policy

Notify = Callable[[Transaction, NotificationKind, str], Awaitable[None]]
"""Leaves a note of a kind for the person behind an actor id, in the transaction of the cause."""

_PAGE = 200


class Standings:
    """Gives levels and takes them away."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        credentials: Credentials,
        policy: Policy,
        notify: Notify,
    ) -> None:
        self._db = db
        self._clock = clock
        self._credentials = credentials
        self._policy = policy
        self._notify = notify

    async def kinds(self, reader: Reader, account_id: str) -> frozenset[EvidenceKind]:
        """The kinds of evidence that count for an account now."""
        found = await stored.kinds_of(reader, [account_id], self._clock.now())
        return frozenset(EvidenceKind(kind) for kind in found.get(account_id, ()))

    async def held(self, account: Account) -> frozenset[EvidenceKind]:
        """The same, of what is committed."""
        return await self.kinds(self._db, account.id)

    async def give(
        self,
        tx: Transaction,
        account: Account,
        role: Role,
        specialty: Specialty | None,
        jurisdiction: str,
        *,
        until: int | None = None,
    ) -> Level:
        """Verify an applicant on the evidence that is held now; the level that was given. The
        credential lasts no longer than `until`, when the licence ends (UTC milliseconds).

        Conflict if the evidence gives none, or the account is suspended or decided already.
        """
        kinds = await self.kinds(tx, account.id)
        level, assurance = self._policy.level_for(role, kinds), assurance_of(kinds)
        if level is None or assurance is None:
            raise Conflict("By this instance's policy this evidence gives no level; see the desk.")
        if not await people.move_standing(tx, account.id, [Standing.APPLIED], Standing.VERIFIED):
            raise Conflict("The account is suspended, or decided already; look again.")
        await people.set_role(tx, account.id, role, specialty)
        await people.set_level(tx, account.id, level.name, level.may)
        actor = await actors.get(tx, account.actor_id)
        if actor is None:
            raise NotFound
        await self._credentials.issue(
            tx, actor, role, specialty, jurisdiction, assurance, until=until
        )
        await self._notify(tx, NotificationKind.VERIFIED, account.actor_id)
        return level

    async def end(self, tx: Transaction, account: Account, action: str, by: str) -> None:
        """End a verification: no level, the credential revoked. The member may apply anew."""
        await self._credentials.revoke(tx, account.actor_id)
        await people.set_level(tx, account.id, None, ())
        if await people.move_standing(tx, account.id, [Standing.VERIFIED], Standing.NEW):
            await moderation.append(tx, self._clock.now(), by, action, account.id, {})

    async def weigh(self, tx: Transaction, account: Account, by: str) -> Level | None:
        """Judge a verified member's evidence again after it changed.

        The verification ends if nothing that is left gives a level; a credential with another
        assurance, to the same day, is issued if that changed.
        """
        kinds = await self.kinds(tx, account.id)
        level, assurance = self._policy.level_for(account.role, kinds), assurance_of(kinds)
        if level is None or assurance is None:
            await self.end(tx, account, "verification_ended", by)
            return None
        await self._set(tx, account, level)
        actor = await actors.get(tx, account.actor_id)
        if actor is not None and actor.badge.assurance != assurance.value:
            await self._credentials.issue(
                tx, actor, account.role, account.specialty, actor.badge.jurisdiction or "",
                assurance, until=actor.badge.valid_until,
            )  # fmt: skip
        return level

    async def lapse(self, limit: int = 200) -> int:
        """End verifications whose credential has run out; how many. Those members apply anew."""
        async with self._db.transaction() as tx:
            lapsed = await issued.lapsed(tx, self._clock.now(), limit)
            for actor_id in lapsed:
                account = await people.account_by_actor(tx, actor_id)
                if account is not None:
                    await self.end(tx, account, "verification_lapsed", "fedidoc")
                else:
                    await self._credentials.revoke(tx, actor_id)
        return len(lapsed)

    async def follow_policy(self) -> int:
        """Give every verified member the level that the configuration says today; how many moved.

        A member whom no level fits any more keeps the credential, which says what was seen, and
        loses every right here until an operator changes the one or the other.
        """
        moved, after = 0, ""
        while accounts := await people.verified_accounts(self._db, after=after, limit=_PAGE):
            after = accounts[-1].id
            moved += await self._follow(accounts)
        return moved

    async def _follow(self, accounts: Collection[Account]) -> int:
        moved = 0
        async with self._db.transaction() as tx:
            ids = [account.id for account in accounts]
            held = await stored.kinds_of(tx, ids, self._clock.now())
            for account in accounts:
                kinds = frozenset(EvidenceKind(kind) for kind in held.get(account.id, ()))
                moved += await self._set(tx, account, self._policy.level_for(account.role, kinds))
        return moved

    async def _set(self, tx: Transaction, account: Account, level: Level | None) -> bool:
        name, may = (level.name, level.may) if level else (None, frozenset())
        if (account.level, account.rights) == (name, may):
            return False
        await people.set_level(tx, account.id, name, may)
        detail = {"before": account.level, "after": name}
        await moderation.append(
            tx, self._clock.now(), "fedidoc", "level_changed", account.id, detail
        )
        return True
