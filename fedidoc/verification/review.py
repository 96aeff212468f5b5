"""From an application to a decision.

    applied --> asked --> applied        a reviewer asks, the member answers
       |          |
       +----------+--> approved | refused | withdrawn

A reviewer is an admin who is not the applicant. Approval records evidence, issues the credential
and tells the member and the peers in one transaction. Whatever two reviewers do at once, or one
reviewer's double click, an application is decided once. With four eyes the first approval is a
proposal, and that of a second reviewer, for the same evidence and the same claim, decides.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import Account, NotificationKind, Page, Role, Standing
from fedidoc.storage import applications, moderation, people, reviewing
from fedidoc.storage.applications import Application
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.vault import Vault
from fedidoc.verification import claims, remarks
from fedidoc.verification.claims import Claim
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.desk import (
    GRAPH,
    OPEN,
    ApplicationView,
    Desk,
    Desks,
    ExclusionLists,
    State,
    claim_digest,
    may_review,
)
from fedidoc.verification.evidence import EvidenceKind, Records
from fedidoc.verification.exclusions import Exclusions
from fedidoc.verification.listings import Registers
from fedidoc.verification.policy import Policy
from fedidoc.verification.remarks import Remarks
from fedidoc.verification.specialties import Specialties
from fedidoc.verification.standings import Notify, Standings
from fedidoc.verification.urgency import Cause
from fedidoc.verification.worklist import Worklist, Worklists

__all__ = ["GRAPH", "OPEN", "ApplicationView", "Claim", "Desk", "Review", "State"]

_MAY_APPLY: Final = (Standing.NEW, Standing.REFUSED)


class Review:
    """Verification of this instance's members."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        registers: Registers,
        credentials: Credentials,
        *,
        roles: Collection[str],
        notify: Notify,
        policy: Policy,
        four_eyes: bool = False,
        lists: ExclusionLists | None = None,
    ) -> None:
        """`roles` may apply. `lists` are the exclusion lists in the database unless others are
        given."""
        self._db = db
        self._clock = clock
        self.records = Records(clock, vault)
        self.standings = Standings(db, clock, credentials, policy, notify)
        self._policy = policy
        self._specialties = Specialties(db)
        self._four_eyes = four_eyes
        self._desks = Desks(vault, registers, lists or Exclusions(db), self.records, policy)
        self._remarks = Remarks(clock, vault, self._desks)
        self._worklists = Worklists(clock, self._desks)
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
        async with self._db.transaction() as tx:
            latest = await applications.current(tx, account.id)
            if latest is not None and latest.state == State.ASKED:
                await self._move(tx, latest.id, State.APPLIED, by=None, reason=None)
                await self._rewrite(tx, latest.id, claim)
                await self._record(tx, account.id, "application_answered", latest.id, {})
                return latest.id
            moved = await people.move_standing(tx, account.id, _MAY_APPLY, Standing.APPLIED)
            if not moved:
                raise Conflict("Your application is with the reviewers, or decided already.")
            id = await self._file(tx, account, claim)
            await self._record(tx, account.id, "application_filed", id, {})
            return id

    async def withdraw(self, account: Account) -> None:
        """Take an open application back; the member may apply again."""
        async with self._db.transaction() as tx:
            latest = await applications.current(tx, account.id)
            if latest is None or State(latest.state) not in OPEN:
                raise Conflict("There is no open application to withdraw.")
            await self._move(tx, latest.id, State.WITHDRAWN, by=account.id, reason=None)
            await people.move_standing(tx, account.id, [Standing.APPLIED], Standing.NEW)
            await reviewing.drop_proposal(tx, latest.id)
            await self._record(tx, account.id, "application_withdrawn", latest.id, {})

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
        states = [state] if state else OPEN
        return await self._worklists.by_age(self._db, states, page, limit)

    async def worklist(
        self,
        state: State = State.APPLIED,
        page: str | None = None,
        *,
        by: Account,
        cause: Cause | None = None,
        role: Role | None = None,
    ) -> Worklist:
        """What waits in an open state, the most urgent first, with counts for the reviewer."""
        await self._reviewer(self._db, by)
        return await self._worklists.page(self._db, state, cause=cause, role=role, page=page)

    async def waiting(self) -> int:
        """How many wait for a reviewer."""
        return await applications.count(self._db, [State.APPLIED.value])

    async def look(self, application_id: str, *, by: Account) -> Desk:
        """Claim and registers side by side. NotFound for an unknown id."""
        await self._reviewer(self._db, by)
        found = await applications.get(self._db, application_id)
        if found is None:
            raise NotFound
        if State(found.state) in OPEN:
            await self._desks.refresh(found)
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
        reason = remarks.tidy(reason)
        async with self._db.transaction() as tx:
            await self._lock(tx, application_id)
            reviewer = await self._reviewer(tx, by)
            found = await self._undecided(tx, application_id, reviewer, state)
            if found.state == state:
                return self._desks.view(found)  # the second click of two
            await self._move(tx, found.id, state, by=reviewer.id, reason=reason)
            await reviewing.drop_proposal(tx, found.id)
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
        *,
        seen: str = "",
    ) -> ApplicationView:
        """Verify the applicant: each of `kinds`, with `reason`, is evidence that is recorded
        (sealed), beside what is held already. Where four eyes are asked for, the first reviewer's
        approval is only noted, and the application stays as it is.

        `seen` is the digest of the claim that the reviewer saw. Conflict if the claim is another
        one, somebody else decided meanwhile, or the desk has a blocker; BadInput (field `kinds`) if
        policy gives no level for the evidence. The second click of two answers the same as the
        first.
        """
        reason = remarks.tidy(reason)
        before = await applications.get(self._db, application_id)
        if before is None:
            raise NotFound
        async with self._db.transaction() as tx:
            await self._lock(tx, application_id)
            await self._lock_numbers(tx, before)
            reviewer = await self._reviewer(tx, by)
            found = await self._undecided(tx, application_id, reviewer, State.APPROVED)
            if found.state == State.APPROVED:
                return self._desks.view(found)
            if claim_digest(found) != (seen or claim_digest(before)):
                raise Conflict("The applicant changed the application meanwhile; look again.")
            findings = await self._desks.findings(tx, found)
            if findings.blockers:
                raise Conflict(findings.blockers[0])
            if not set(kinds) <= set(findings.kinds):
                raise BadInput("This evidence cannot be given here; choose another.", field="kinds")
            held = await self.standings.kinds(tx, found.account.id)
            if self._policy.level_for(found.profession, held | set(kinds)) is None:
                raise BadInput(
                    "By this instance's policy this evidence gives no level; the desk says what"
                    " does.",
                    field="kinds",
                )
            first = None
            if self._four_eyes:
                first = (await self._desks.proposals(tx, [found])).get(found.id)
                if first is None or {*first.kinds} != {*kinds}:
                    await self._remarks.propose(tx, found, reviewer, reason, kinds)
                    return self._desks.view(found)
                if first.by_id == reviewer.id:
                    return self._desks.view(found)  # nobody confirms their own
            await self._move(tx, found.id, State.APPROVED, by=reviewer.id, reason=None)
            if first is not None:
                # What is on file is what the first one saw; both have said so in words.
                reason = f"{first.words}\nConfirmed by {reviewer.username}: {reason}"
            witness = first.by_id if first is not None else reviewer.id
            await self._verify(
                tx, found, kinds, reason, reviewer.id, witness=witness, until=findings.until
            )
            return await self._again(tx, found.id)

    async def note(self, application_id: str, by: Account, text: str) -> None:
        """Leave words for the other reviewers; they stay, sealed, with the application."""
        async with self._db.transaction() as tx:
            reviewer, found = await self._both(tx, application_id, by)
            await self._remarks.note(tx, found, reviewer, text)

    async def judge(self, application_id: str, by: Account, key: str, words: str) -> None:
        """Say what an exclusion list's entry is: another person, waived, … NotFound for an entry
        that the claim does not hit (any more)."""
        async with self._db.transaction() as tx:
            await self._lock(tx, application_id)
            reviewer, found = await self._both(tx, application_id, by)
            if State(found.state) not in OPEN:
                raise Conflict(f"This application is {found.state} already.")
            await self._remarks.judge(tx, found, reviewer, key, words)

    async def _both(
        self, tx: Transaction, application_id: str, by: Account
    ) -> tuple[Account, Application]:
        """The reviewer, and the application of somebody else."""
        reviewer = await self._reviewer(tx, by)
        found = await applications.get(tx, application_id)
        if found is None:
            raise NotFound
        if found.account.id == reviewer.id:
            raise Forbidden("Nobody decides on their own application; ask another reviewer.")
        return reviewer, found

    async def verify_directly(self, account_id: str, reason: str, by: str) -> ApplicationView:
        """Verify a member on the operator's own word, with a reason (`member add --verified-by`).

        An open application of the member is approved by it. Conflict if the member is verified or
        suspended; BadInput for staff, who are no clinicians.
        """
        reason = remarks.tidy(reason)
        async with self._db.transaction() as tx:
            account = await self._clinician(tx, account_id)
            found = await self._approved(tx, account, by)
            await self._verify(tx, found, [EvidenceKind.OPERATOR], reason, by)
            return await self._again(tx, found.id)

    async def settle(
        self, tx: Transaction, account_id: str, by: str, claim: Claim | None = None
    ) -> bool:
        """After a member's evidence changed, in the same transaction: let follow what needs nobody
        to decide; whether the member is verified then.

        A verified member keeps, changes or loses the level (`Standings.weigh`). Another one is
        verified if what is held includes evidence that the configuration calls automatic and it
        gives a level. `claim` is what that evidence itself says of the person: it takes the place
        of what the member claimed; without it nobody is verified as something else than the
        account's role. If something stands against it, the application waits for a reviewer.
        """
        await tx.lock(f"account {account_id}")
        account = await people.account(tx, account_id)
        if account is None:
            raise NotFound
        if account.standing is Standing.VERIFIED:
            return await self.standings.weigh(tx, account, by) is not None
        kinds = await self.standings.kinds(tx, account.id)
        # A person's decision stands until a person changes it: who was refused, or had a credential
        # taken back, applies anew.
        if account.standing is Standing.REFUSED:
            return False
        role = claim.profession if claim is not None else account.role
        if not self._policy.is_automatic(role, kinds):
            return False
        latest = await applications.current(tx, account.id)
        if latest is None or State(latest.state) not in OPEN:
            if not await people.move_standing(tx, account.id, _MAY_APPLY, Standing.APPLIED):
                return False
            id = await self._file(tx, account, claim or _bare_claim(account))
        else:
            id = latest.id
            await self._lock(tx, id)
            if claim is not None:
                note = self._desks.view(latest).claim.note
                await self._rewrite(tx, id, replace(claim, note=note))
            elif latest.profession is not role:
                return False
        found = await applications.get(tx, id)
        assert found is not None  # it was read or written just now
        await self._lock_numbers(tx, found)
        findings = await self._desks.findings(tx, found)
        if findings.blockers:
            return False
        await self._move(tx, id, State.APPROVED, by=by, reason=None)
        await self._verify(tx, found, (), "", by, until=findings.until)
        return True

    async def remember_licences(self) -> None:
        """Make licences findable that were claimed before they were; for the start."""
        await self._desks.remember_licences(self._db)

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
        """The member's open application, moved to approved; a bare one if there is none."""
        latest = await applications.current(tx, account.id)
        if latest is not None and State(latest.state) in OPEN:
            id = latest.id
        else:
            moved = await people.move_standing(tx, account.id, _MAY_APPLY, Standing.APPLIED)
            if not moved:
                raise Conflict(f"{account.username} is {account.standing.value} already.")
            id = await self._file(tx, account, _bare_claim(account))
        await self._move(tx, id, State.APPROVED, by=by, reason=None)
        found = await applications.get(tx, id)
        assert found is not None  # it was just written
        return found

    async def _file(self, tx: Transaction, account: Account, claim: Claim) -> str:
        id = self._clock.random_id()
        await applications.insert(
            tx, id=id, account_id=account.id, state=State.APPLIED.value, now=self._clock.now(),
            **self._desks.columns(id, claim),
        )  # fmt: skip
        return id

    async def _rewrite(self, tx: Transaction, id: str, claim: Claim) -> None:
        """Another claim: what reviewers said was about the one before."""
        await applications.rewrite(tx, id, **self._desks.columns(id, claim))
        await reviewing.drop_proposal(tx, id)
        await reviewing.forget_judgements(tx, id)

    async def _verify(
        self,
        tx: Transaction,
        found: Application,
        kinds: Collection[EvidenceKind],
        reason: str,
        by: str,
        *,
        witness: str = "",
        until: int | None = None,
    ) -> None:
        """What follows from an approval; the application has moved already. `witness` saw the
        evidence, if that is somebody else; a register's match holds `until` the licence ends."""
        await reviewing.drop_proposal(tx, found.id)
        for kind in dict.fromkeys(kinds):
            await self.records.record(
                tx, found.account.id, kind, detail=reason, by=witness or by,
                application_id=found.id,
                valid_until=until if kind is EvidenceKind.REGISTER else None,
            )  # fmt: skip
        level = await self.standings.give(
            tx, found.account, found.profession, found.specialty, found.jurisdiction, until=until
        )
        await self._record(tx, by, "application_approved", found.id, {"level": level.name})

    async def _lock(self, tx: Transaction, application_id: str) -> None:
        """One decision at a time, so that the second of two clicks sees what the first did."""
        await tx.lock(f"application {application_id}")

    async def _lock_numbers(self, tx: Transaction, found: Application) -> None:
        """One number, one member: of two that are approved at once the second sees the first."""
        for name, mac in (("licence", found.licence_mac), ("npi", found.npi_mac)):
            if mac is not None:
                await tx.lock(f"{name} {mac}")

    async def _undecided(
        self, tx: Transaction, application_id: str, reviewer: Account, after: State
    ) -> Application:
        """The application if the reviewer may move it to `after`, or has done so just now."""
        _, found = await self._both(tx, application_id, reviewer)
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
        if reviewer is None or not may_review(reviewer):
            raise Forbidden("Only reviewers see applications.")
        return reviewer

    async def _again(self, tx: Transaction, id: str) -> ApplicationView:
        found = await applications.get(tx, id)
        assert found is not None  # the caller has just moved it
        return self._desks.view(found)

    async def _record(
        self, tx: Transaction, by: str, action: str, subject: str, detail: dict[str, Any]
    ) -> None:
        await moderation.append(tx, self._clock.now(), by, action, subject, detail)


def _bare_claim(account: Account) -> Claim:
    return Claim("", account.role, "", "", "", account.specialty)
