"""The life of a member's credential: reminded of its end, renewed, taken back, given back.

    issued --> reminded 60, 30 and 7 days before --> asked for --> renewed | declined
       |                                                             |
       +--> taken back --> given back (to the same day)              +--> the one before is retired

A renewal issues the new credential before the old one ends and announces it; only then is the old
one revoked. What a renewal rests on is the evidence that is still held, weighed by the policy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fedidoc.clock import DAY, Clock
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import Account, NotificationKind, Page, Role, Specialty, Standing
from fedidoc.storage import actors, moderation, people, renewals
from fedidoc.storage import credentials as issued
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.storage.renewals import Ending, RenewalRow
from fedidoc.vault import Vault
from fedidoc.verification import claims
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.evidence import EvidenceKind, assurance_of
from fedidoc.verification.examination import day
from fedidoc.verification.policy import Policy
from fedidoc.verification.specialties import Specialties
from fedidoc.verification.standings import Notify, Standings

REMINDED_BEFORE: Final = (60, 30, 7)
"""Days before the end at which a member is reminded."""

RENEWABLE: Final = 90 * DAY
"""How long before the end a renewal may be asked for."""

_AT_ONCE: Final = 200
_MOST_NOTE: Final = 1000
_MOST_REASON: Final = 500

Write = Callable[[Transaction, str, str, str], Awaitable[None]]
"""Queues a letter to the member with an account id: subject, text. Does nothing without mail."""

Limit = Callable[[Reader, str], Awaitable[int | None]]
"""When the licence of the member with an account id ends (UTC milliseconds), None if no register
says. Conflict where one says that it is not in force."""


@dataclass(frozen=True, slots=True)
class Life:
    """How a member's verification stands: `opens` is from when a renewal may be asked for."""

    valid_until: int
    opens: int
    asked: RenewalRow | None
    note: str


class Lifetimes:
    """Watches over credentials that this instance issued."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        credentials: Credentials,
        standings: Standings,
        policy: Policy,
        *,
        notify: Notify,
        write: Write,
        page: str = "",
        limit: Limit | None = None,
    ) -> None:
        """`page` is the address where a member renews, for letters; `limit` says when a licence
        ends, which no renewal goes beyond."""
        self._db = db
        self._clock = clock
        self._vault = vault
        self._credentials = credentials
        self._standings = standings
        self._policy = policy
        self._specialties = Specialties(db)
        self._notify = notify
        self._write = write
        self._page = page
        self._limit = limit

    # The member's side ------------------------------------------------------------------------

    async def of(self, account: Account) -> Life | None:
        """Until when the member is verified, and what they asked for last; None if they are not
        verified."""
        ending = await renewals.ending_of(self._db, account.id, self._clock.now())
        if ending is None:
            return None
        asked = await renewals.latest(self._db, account.id)
        if asked is not None and asked.created < ending.issued:
            asked = None  # about an earlier credential
        note = self._vault.open(asked.note_sealed, _purpose(asked.id)).decode() if asked else ""
        return Life(ending.valid_until, ending.valid_until - RENEWABLE, asked, note)

    async def ask(
        self,
        account: Account,
        *,
        holds: bool,
        specialty: Specialty | None,
        jurisdiction: str,
        note: str,
    ) -> str:
        """Ask for a renewal; its id. `holds`: the member confirms that the licence still does.

        BadInput names the field. Conflict if one waits already, or it is too early.
        """
        if not holds:
            raise BadInput("Confirm that your licence is still valid.", field="holds")
        jurisdiction = claims.tidy_jurisdiction(jurisdiction, "") if jurisdiction.strip() else ""
        note = claims.tidy_lines(note)
        if len(note) > _MOST_NOTE:
            raise BadInput("Keep the note under 1,000 characters.", field="note")
        if specialty is not None:
            specialty = await self._specialties.find(specialty.code)
        now, id = self._clock.now(), self._clock.random_id()
        async with self._db.transaction() as tx:
            ending = await renewals.ending_of(tx, account.id, now)
            actor = await actors.get(tx, account.actor_id)
            if ending is None or actor is None:
                raise Conflict("There is nothing to renew: apply for verification.")
            if now < ending.valid_until - RENEWABLE:
                opens = day(ending.valid_until - RENEWABLE)
                raise Conflict(f"Your verification can be renewed from {opens} on.")
            before = (ending.account.specialty, actor.badge.jurisdiction or "")
            row = RenewalRow(
                id, account.id, "waiting", specialty, jurisdiction,
                (specialty, jurisdiction) != before or bool(note),
                self._vault.seal(note.encode(), _purpose(id)), now, None, None, None,
            )  # fmt: skip
            if not await renewals.put(tx, row):
                raise Conflict("Your renewal is with the reviewers already.")
        return id

    async def withdraw(self, account: Account) -> None:
        """Take back what was asked for."""
        async with self._db.transaction() as tx:
            now = self._clock.now()
            done = await renewals.settle(
                tx, account.id, "withdrawn", at=now, by=account.id, reason=None
            )
            if not done:
                raise Conflict("There is no renewal to take back.")

    # The steward's side -----------------------------------------------------------------------

    async def calendar(
        self, by: Account, *, within: int = 400 * DAY, page: str | None = None, limit: int = 100
    ) -> Page[Ending]:
        """Verified members whose credential ends within a time (ms), soonest first."""
        await self._reviewer(self._db, by)
        now = self._clock.now()
        found = await renewals.endings(
            self._db, now, before=now + within, after=_read_cursor(page), limit=limit + 1
        )
        shown = found[:limit]
        older = f"{shown[-1].valid_until}.{shown[-1].credential_id}" if len(found) > limit else None
        return Page(tuple(shown), older)

    async def asked(self, by: Account) -> tuple[tuple[Ending, RenewalRow, str], ...]:
        """Who waits for a renewal, with what they said changed (unsealed)."""
        await self._reviewer(self._db, by)
        found = []
        for ending in await renewals.asked(self._db, self._clock.now(), _AT_ONCE):
            row = await renewals.waiting(self._db, ending.account.id)
            if row is not None:
                note = self._vault.open(row.note_sealed, _purpose(row.id)).decode()
                found.append((ending, row, note))
        return tuple(found)

    async def renew(
        self,
        username: str,
        by: Account | str,
        *,
        reason: str = "",
        credential_id: str | None = None,
    ) -> Account:
        """Renew a verified member's credential without a gap, with what they said changed.

        `by` is a reviewer, or the name of a command. `credential_id` is the one that was looked
        at: a second click finds that it was renewed meanwhile. Conflict if the evidence that is
        still held gives no level.
        """
        reason = _tidy_reason(reason)
        async with self._db.transaction() as tx:
            account, who = await self._decider(tx, username, by)
            now = self._clock.now()
            ending = await renewals.ending_of(tx, account.id, now)
            actor = await actors.get(tx, account.actor_id)
            if account.standing is not Standing.VERIFIED or ending is None or actor is None:
                raise Conflict(f"{account.username} is not verified, so there is nothing to renew.")
            if credential_id is not None and ending.credential_id != credential_id:
                raise Conflict(f"{account.username} was renewed meanwhile; look again.")
            asked = await renewals.waiting(tx, account.id)
            specialty = asked.specialty if asked else account.specialty
            jurisdiction = asked.jurisdiction if asked else actor.badge.jurisdiction or ""
            kinds = await self._standings.kinds(tx, account.id)
            level, assurance = self._policy.level_for(account.role, kinds), assurance_of(kinds)
            if level is None or assurance is None:
                raise Conflict(
                    f"What was seen of {account.username} has run out or was withdrawn, so that"
                    " nothing is left to renew on; ask them for evidence again."
                )
            await people.set_role(tx, account.id, account.role, specialty)
            await people.set_level(tx, account.id, level.name, level.may)
            await self._credentials.issue(
                tx, actor, account.role, specialty, jurisdiction, assurance, supersede=True,
                until=await self._limit(tx, account.id) if self._limit else None,
            )  # fmt: skip
            await renewals.settle(tx, account.id, "renewed", at=now, by=who, reason=None)
            await self._notify(tx, NotificationKind.RENEWED, account.actor_id)
            detail = {"reason": reason, "asked": asked is not None, "level": level.name}
            await moderation.append(tx, now, who, "verification_renewed", account.id, detail)
            return await self._member(tx, account.username)

    async def decline(self, username: str, by: Account, reason: str) -> None:
        """Do not renew, with a reason that the member reads. The credential holds to its end."""
        reason = _tidy_reason(reason)
        if not reason:
            raise BadInput("Tell the member why; they read this.", field="reason")
        async with self._db.transaction() as tx:
            account, who = await self._decider(tx, username, by)
            now = self._clock.now()
            done = await renewals.settle(tx, account.id, "declined", at=now, by=who, reason=reason)
            if not done:
                raise Conflict("Somebody decided on this renewal meanwhile, or it was taken back.")
            await self._notify(tx, NotificationKind.RENEWAL_DECLINED, account.actor_id)
            await moderation.append(tx, now, who, "renewal_declined", account.id, {})

    # Taken back, and given back ---------------------------------------------------------------

    async def revoke(self, username: str, *, reason: str, by: str) -> Account:
        """Take a verified member's credential back and tell peers; they may apply anew.

        Unlike a suspension they may log in, and what they wrote stays readable. Conflict if they
        hold none.
        """
        reason = _tidy_reason(reason)
        if not reason:
            raise BadInput("Give a reason.", field="reason")
        async with self._db.transaction() as tx:
            account, who = await self._decider(tx, username, by)
            if not await self._credentials.revoke(tx, account.actor_id):
                raise Conflict(f"{account.username} holds no credential.")
            await people.set_level(tx, account.id, None, ())
            await people.move_standing(tx, account.id, [Standing.VERIFIED], Standing.REFUSED)
            now = self._clock.now()
            await renewals.settle(tx, account.id, "declined", at=now, by=who, reason=None)
            detail = {"reason": reason}
            await moderation.append(tx, now, who, "credential_revoked", account.id, detail)
            return await self._member(tx, username)

    async def give_back(self, username: str, *, by: str) -> Account:
        """Undo `revoke`: a credential to the same day, on the evidence that is still held."""
        async with self._db.transaction() as tx:
            account, who = await self._decider(tx, username, by)
            last = await issued.latest_of(tx, account.actor_id)
            kinds: frozenset[EvidenceKind] = await self._standings.kinds(tx, account.id)
            level = self._policy.level_for(account.role, kinds)
            if account.standing is not Standing.REFUSED or last is None or level is None:
                raise Conflict(f"Nothing was taken from {account.username} that could be restored.")
            if not await self._credentials.renew(tx, account.actor_id):
                raise Conflict(
                    f"The credential of {account.username} has run out meanwhile; they apply anew."
                )
            await people.move_standing(tx, account.id, [Standing.REFUSED], Standing.VERIFIED)
            await people.set_level(tx, account.id, level.name, level.may)
            await self._notify(tx, NotificationKind.VERIFIED, account.actor_id)
            await moderation.append(
                tx, self._clock.now(), who, "credential_restored", account.id, {}
            )
            return await self._member(tx, username)

    # By itself --------------------------------------------------------------------------------

    async def watch(self) -> None:
        """What is due by the hour: reminders, and the end of credentials that were renewed."""
        for days in REMINDED_BEFORE:
            await self._remind(days)
        async with self._db.transaction() as tx:
            await self._credentials.retire(tx)

    async def _remind(self, days: int) -> None:
        now = self._clock.now()
        due = await renewals.unreminded(self._db, now, days=days, span=days * DAY, limit=_AT_ONCE)
        nearer = [near * DAY for near in REMINDED_BEFORE if near < days]
        for ending in due:
            async with self._db.transaction() as tx:
                if not await renewals.remind(tx, ending.credential_id, days, now):
                    continue  # another process was quicker
                left = ending.valid_until - now
                if ending.renewal_id is not None or any(left <= near for near in nearer):
                    continue  # they have asked, or a nearer reminder says it
                await self._notify(tx, NotificationKind.RENEWAL_DUE, ending.account.actor_id)
                until = day(ending.valid_until)
                await self._write(
                    tx,
                    ending.account.id,
                    f"Your verification ends on {until}",
                    f"Your verification ends on {until}. Have it renewed; it takes a minute:\n\n"
                    f"{self._page}\n\nUntil a reviewer has renewed it, the one you have holds to"
                    " its end. After that cases close to you, and you apply anew.\n",
                )

    # Inside -----------------------------------------------------------------------------------

    async def _decider(
        self, tx: Transaction, username: str, by: Account | str
    ) -> tuple[Account, str]:
        """The member that is decided on, and who decides: another reviewer, or a command."""
        account = await self._member(tx, username)
        await tx.lock(f"account {account.id}")
        account = await self._member(tx, username)
        if isinstance(by, str):
            return account, by
        reviewer = await self._reviewer(tx, by)
        if reviewer.id == account.id:
            raise Forbidden("Nobody decides on their own verification; ask another reviewer.")
        return account, reviewer.id

    async def _member(self, reader: Reader, username: str) -> Account:
        found = await people.account_by_username(reader, username.removeprefix("@").lower())
        if found is None or found.role is Role.STAFF:
            raise NotFound("There is no clinician of that name; `fedidoc member list` shows them.")
        return found

    async def _reviewer(self, reader: Reader, by: Account) -> Account:
        reviewer = await people.account(reader, by.id)
        if reviewer is None or not reviewer.admin or reviewer.standing is Standing.SUSPENDED:
            raise Forbidden("Only reviewers see whose verification ends when.")
        return reviewer


def _tidy_reason(text: str) -> str:
    reason = claims.tidy_lines(text)
    if len(reason) > _MOST_REASON:
        raise BadInput(f"Keep the reason under {_MOST_REASON} characters.", field="reason")
    return reason


def _purpose(renewal_id: str) -> str:
    return f"note of renewal {renewal_id}"


def _read_cursor(text: str | None) -> tuple[int, str]:
    at, _, id = (text or "").partition(".")
    return (int(at), id) if at.isascii() and at.isdigit() and len(at) < 16 and id else (0, "")
