"""From an application to a decision.

    applied --> asked --> applied        a reviewer asks, the member answers
       |          |
       +----------+--> approved | refused | withdrawn

A reviewer is an admin who is not the applicant. Approval records evidence, issues the credential
and tells the member and the peers in one transaction. Whatever two reviewers do at once, or one
reviewer's double click, an application is decided once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import Account, NotificationKind, Page, Role, Standing
from fedidoc.storage import applications, moderation, people
from fedidoc.storage.applications import Application
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.vault import Vault
from fedidoc.verification import claims
from fedidoc.verification.claims import Claim
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.desk import (
    GRAPH,
    OPEN,
    ApplicationView,
    Desk,
    Desks,
    State,
)
from fedidoc.verification.evidence import EvidenceKind, Records
from fedidoc.verification.policy import Policy
from fedidoc.verification.registries import Register
from fedidoc.verification.specialties import Specialties
from fedidoc.verification.standings import Notify, Standings

__all__ = ["GRAPH", "OPEN", "ApplicationView", "Claim", "Desk", "Review", "State"]

_MAY_APPLY: Final = (Standing.NEW, Standing.REFUSED)
_MOST_REASON: Final = 1000


class Review:
    """Verification of this instance's members."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        register: Register,
        credentials: Credentials,
        *,
        roles: Collection[str],
        notify: Notify,
        policy: Policy,
    ) -> None:
        """`roles` may apply."""
        self._db = db
        self._clock = clock
        self.records = Records(clock, vault)
        self.standings = Standings(db, clock, credentials, policy, notify)
        self._policy = policy
        self._specialties = Specialties(db)
        self._desks = Desks(vault, register, self._specialties, self.records)
        self._roles = frozenset(roles)
        self._notify = notify

    # The member's side ------------------------------------------------------------------------

    async def apply(self, account: Account, claim: Claim) -> str:
        """File an application, or answer a reviewer's question with a new claim; its id.

        BadInput names the field. Conflict if one waits already or the member is verified.
        """
        claim = claims.tidy(claim, self._roles)
        if claim.specialty is not None:
            # The words are ours, never the form's: they will stand in a credential.
            known = await self._specialties.find(claim.specialty.code)
            if known is None:
                raise BadInput("Choose a specialty from the list.", field="specialty")
            claim = replace(claim, specialty=known)
        now = self._clock.now()
        async with self._db.transaction() as tx:
            latest = await applications.current(tx, account.id)
            if latest is not None and latest.state == State.ASKED:
                await self._move(tx, latest.id, State.APPLIED, by=None, reason=None)
                await applications.rewrite(tx, latest.id, **self._desks.columns(latest.id, claim))
                return latest.id
            moved = await people.move_standing(tx, account.id, _MAY_APPLY, Standing.APPLIED)
            if not moved:
                raise Conflict("Your application is with the reviewers, or decided already.")
            id = self._clock.random_id()
            await applications.insert(
                tx, id=id, account_id=account.id, state=State.APPLIED.value, now=now,
                **self._desks.columns(id, claim),
            )  # fmt: skip
            return id

    async def withdraw(self, account: Account) -> None:
        """Take an open application back; the member may apply again."""
        async with self._db.transaction() as tx:
            latest = await applications.current(tx, account.id)
            if latest is None or State(latest.state) not in OPEN:
                raise Conflict("There is no open application to withdraw.")
            await self._move(tx, latest.id, State.WITHDRAWN, by=account.id, reason=None)
            await people.move_standing(tx, account.id, [Standing.APPLIED], Standing.NEW)

    async def current(self, account: Account) -> ApplicationView | None:
        """The member's own latest application."""
        found = await applications.current(self._db, account.id)
        return self._desks.view(found) if found else None

    # The reviewer's side ----------------------------------------------------------------------

    async def queue(
        self, state: State | None = None, page: str | None = None, *, by: Account, limit: int = 50
    ) -> Page[ApplicationView]:
        """Applications, the longest waiting first; the open ones unless a state is named."""
        await self._reviewer(self._db, by)
        states = [state.value] if state else [s.value for s in OPEN]
        found = await applications.queue(
            self._db, states, after=_read_cursor(page), limit=limit + 1
        )
        shown = found[:limit]
        older = f"{shown[-1].created}.{shown[-1].id}" if len(found) > limit else None
        return Page(tuple(self._desks.view(a) for a in shown), older)

    async def waiting(self) -> int:
        """How many wait for a reviewer."""
        return await applications.count(self._db, [State.APPLIED.value])

    async def look(self, application_id: str, *, by: Account) -> Desk:
        """Claim and register side by side. NotFound for an unknown id."""
        await self._reviewer(self._db, by)
        found = await applications.get(self._db, application_id)
        if found is None:
            raise NotFound
        return await self._desks.desk(self._db, found, by)

    async def ask(self, application_id: str, by: Account, question: str) -> ApplicationView:
        """Ask the member something; the application waits for their answer."""
        return await self._turn_away(application_id, by, question, State.ASKED)

    async def refuse(self, application_id: str, by: Account, reason: str) -> ApplicationView:
        """Refuse with a reason that the member reads; they may apply again."""
        return await self._turn_away(application_id, by, reason, State.REFUSED)

    async def _turn_away(
        self, application_id: str, by: Account, reason: str, state: State
    ) -> ApplicationView:
        reason = _tidy_reason(reason)
        async with self._db.transaction() as tx:
            await self._lock(tx, application_id)
            reviewer = await self._reviewer(tx, by)
            found = await self._undecided(tx, application_id, reviewer, state)
            if found.state == state:
                return self._desks.view(found)  # the second click of two
            await self._move(tx, found.id, state, by=reviewer.id, reason=reason)
            if state is State.REFUSED:
                await people.move_standing(
                    tx, found.account.id, [Standing.APPLIED], Standing.REFUSED
                )
                await self._notify(tx, NotificationKind.REFUSED, found.account.actor_id)
            await self._record(tx, reviewer.id, f"application_{state.value}", found.id, {})
            return await self._again(tx, found.id)

    async def approve(
        self,
        application_id: str,
        by: Account,
        reason: str,
        kinds: Collection[EvidenceKind] = (EvidenceKind.VOUCHES,),
    ) -> ApplicationView:
        """Verify the applicant: each of `kinds`, with `reason`, is evidence that is recorded
        (sealed), beside what is held already.

        Conflict if policy gives no level for it, somebody else decided or the applicant changed the
        claim meanwhile, or the desk has a blocker. The second click of two answers the same as the
        first.
        """
        reason = _tidy_reason(reason)
        before = await applications.get(self._db, application_id)
        if before is None:
            raise NotFound
        async with self._db.transaction() as tx:
            await self._lock(tx, application_id)
            if before.npi_mac:
                await tx.lock(f"npi {before.npi_mac}")
            reviewer = await self._reviewer(tx, by)
            found = await self._undecided(tx, application_id, reviewer, State.APPROVED)
            if found.state == State.APPROVED:
                return self._desks.view(found)
            if found.claim_sealed != before.claim_sealed:
                raise Conflict("The applicant changed the application meanwhile; look again.")
            desk = await self._desks.desk(tx, found, reviewer)
            if desk.blockers:
                raise Conflict(desk.blockers[0])
            if not set(kinds) <= set(desk.kinds):
                raise BadInput("This evidence cannot be given here; choose another.", field="kinds")
            await self._move(tx, found.id, State.APPROVED, by=reviewer.id, reason=None)
            await self._verify(tx, found, kinds, reason, reviewer.id)
            return await self._again(tx, found.id)

    async def verify_directly(self, account_id: str, reason: str, by: str) -> ApplicationView:
        """Verify a member on the operator's own word, with a reason (`member add --verified-by`).

        An open application of the member is approved by it. Conflict if the member is verified or
        suspended; BadInput for staff, who are no clinicians.
        """
        reason = _tidy_reason(reason)
        async with self._db.transaction() as tx:
            account = await self._clinician(tx, account_id)
            found = await self._approved(tx, account, by)
            await self._verify(tx, found, [EvidenceKind.OPERATOR], reason, by)
            return await self._again(tx, found.id)

    async def settle(self, tx: Transaction, account_id: str, by: str) -> bool:
        """After a member's evidence changed, in the same transaction: let follow what needs nobody
        to decide; whether the member is verified then.

        A verified member keeps, changes or loses the level (`Standings.weigh`). Another one is
        verified if what is held includes evidence that the configuration calls automatic and it
        gives a level; an open application is approved by it, unless something stands against that.
        """
        await tx.lock(f"account {account_id}")
        account = await people.account(tx, account_id)
        if account is None:
            raise NotFound
        if account.standing is Standing.VERIFIED:
            return await self.standings.weigh(tx, account, by) is not None
        kinds = await self.standings.kinds(tx, account.id)
        suspended = account.standing is Standing.SUSPENDED
        if suspended or not self._policy.is_automatic(account.role, kinds):
            return False
        latest = await applications.current(tx, account.id)
        if latest is not None and State(latest.state) in OPEN:
            await self._lock(tx, latest.id)
            if (await self._desks.desk(tx, latest, account, own=True)).blockers:
                return False
        await self._verify(tx, await self._approved(tx, account, by), (), "", by)
        return True

    async def lapse(self, limit: int = 200) -> int:
        """End verifications whose credential has run out; how many. Those members apply anew."""
        return await self.standings.lapse(limit)

    # Inside -----------------------------------------------------------------------------------

    async def _clinician(self, tx: Transaction, account_id: str) -> Account:
        account = await people.account(tx, account_id)
        if account is None:
            raise NotFound
        if account.role is Role.STAFF:
            raise BadInput("Staff are not clinicians and cannot be verified.", field="role")
        return account

    async def _approved(self, tx: Transaction, account: Account, by: str) -> Application:
        """The member's open application, moved to approved; an empty one if there is none."""
        latest = await applications.current(tx, account.id)
        if latest is not None and State(latest.state) in OPEN:
            id = latest.id
        else:
            moved = await people.move_standing(tx, account.id, _MAY_APPLY, Standing.APPLIED)
            if not moved:
                raise Conflict(f"{account.username} is {account.standing.value} already.")
            id = self._clock.random_id()
            claim = Claim("", account.role, "", "", "", account.specialty)
            await applications.insert(
                tx, id=id, account_id=account.id, state=State.APPLIED.value,
                now=self._clock.now(), **self._desks.columns(id, claim),
            )  # fmt: skip
        await self._move(tx, id, State.APPROVED, by=by, reason=None)
        found = await applications.get(tx, id)
        assert found is not None  # it was just written
        return found

    async def _verify(
        self,
        tx: Transaction,
        found: Application,
        kinds: Collection[EvidenceKind],
        reason: str,
        by: str,
    ) -> None:
        """What follows from an approval; the application has moved already."""
        for kind in dict.fromkeys(kinds):
            await self.records.record(
                tx, found.account.id, kind, detail=reason, by=by, application_id=found.id
            )
        level = await self.standings.give(
            tx, found.account, found.profession, found.specialty, found.jurisdiction
        )
        await self._record(tx, by, "application_approved", found.id, {"level": level.name})

    async def _lock(self, tx: Transaction, application_id: str) -> None:
        """One decision at a time, so that the second of two clicks sees what the first did."""
        await tx.lock(f"application {application_id}")

    async def _undecided(
        self, tx: Transaction, application_id: str, reviewer: Account, after: State
    ) -> Application:
        """The application if the reviewer may move it to `after`, or has done so just now."""
        found = await applications.get(tx, application_id)
        if found is None:
            raise NotFound
        if found.account.id == reviewer.id:
            raise Forbidden("Nobody decides on their own application; ask another reviewer.")
        state = State(found.state)
        if after not in GRAPH[state] and not (state is after and found.decided_by == reviewer.id):
            who = found.decider or found.decided_by or "somebody"
            raise Conflict(f"This application is {state.value} already, by {who}.")
        return found

    async def _move(
        self,
        tx: Transaction,
        id: str,
        after: State,
        *,
        by: str | None,
        reason: str | None,
    ) -> None:
        before = [state.value for state in State if after in GRAPH[state]]
        at = None if after is State.APPLIED else self._clock.now()
        if not await applications.move(tx, id, before, after.value, at=at, by=by, reason=reason):
            raise Conflict("Somebody else decided on this application meanwhile; look again.")

    async def _reviewer(self, reader: Reader, by: Account) -> Account:
        """The reviewer as the database has them now: a session may be older than a demotion."""
        reviewer = await people.account(reader, by.id)
        if reviewer is None or not reviewer.admin or reviewer.standing is Standing.SUSPENDED:
            raise Forbidden("Only reviewers see applications.")
        return reviewer

    async def _again(self, tx: Transaction, id: str) -> ApplicationView:
        found = await applications.get(tx, id)
        assert found is not None  # the caller has just moved it
        return self._desks.view(found)

    async def _record(
        self, tx: Transaction, by: str, action: str, subject: str, detail: dict[str, str]
    ) -> None:
        await moderation.append(tx, self._clock.now(), by, action, subject, detail)


def _tidy_reason(reason: str) -> str:
    reason = claims.tidy_lines(reason)
    if not reason:
        raise BadInput("Give a reason.", field="reason")
    if len(reason) > _MOST_REASON:
        raise BadInput(f"Keep the reason under {_MOST_REASON} characters.", field="reason")
    return reason


def _read_cursor(text: str | None) -> tuple[int, str] | None:
    at, _, id = (text or "").partition(".")
    return (int(at), id) if at.isascii() and at.isdigit() and len(at) < 16 and id else None
