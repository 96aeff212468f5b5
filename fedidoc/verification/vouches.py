"""Vouches: verified colleagues say in their own words how they know an applicant.

An applicant names colleagues. Who is named sees who asks and what they claim in public, and nothing
else; they vouch, or say no, or do nothing: the applicant sees no difference between the last two,
nor whether somebody of that name is here. Enough vouches are evidence. A member vouches for a few
colleagues a year, not before having been verified for a while, and never in a circle; the word of
somebody who is suspended falls, and with it what rested on it.

Either may be of another server that is trusted here: `far_vouches` says what the two
tell each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from fedidoc.clock import DAY, Clock
from fedidoc.config import EvidenceRules, host_name
from fedidoc.errors import BadInput, Conflict, NotFound, TooMany
from fedidoc.model import (
    Account,
    Actor,
    Event,
    EventKind,
    NotificationKind,
    Right,
    Specialty,
)
from fedidoc.storage import actors, people, queues, vouches
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.storage.vouches import VouchRow
from fedidoc.vault import Vault
from fedidoc.verification.claims import tidy_lines
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.evidence import EvidenceKind, Records
from fedidoc.verification.hindrances import Hindrances, may_ask
from fedidoc.verification.mailbox import Settle

BY: Final = "vouches"
"""Who recorded it, in evidence and in the audit log."""

ASKED_LASTS: Final = 30 * DAY
"""How long a request waits for an answer."""

FIND: Final = "vouch"
"""The task of finding a colleague elsewhere, and asking them. Its subject is the request's id."""

COUNT: Final = "vouches"
"""The task of counting the vouches for an applicant here. Its subject is the applicant's actor."""

MOST_ASKED: Final = 10  # by one applicant within ASKED_LASTS
MOST_WAITING: Final = 20  # of one colleague; what is more is not told
SHORTEST: Final = 10
LONGEST: Final = 1000

Notify = Callable[[Transaction, NotificationKind, str, str], Awaitable[None]]
"""Leaves a note of a kind for the person behind an actor id, about another actor."""


class VouchUrls(Protocol):
    """What our requests are called elsewhere, and the actor that sends them."""

    def vouch_request(self, vouch_id: str) -> str: ...
    def vouch(self, vouch_id: str) -> str: ...
    @property
    def instance_actor(self) -> str: ...


class State(StrEnum):
    """What became of a request."""

    ASKED = "asked"
    GIVEN = "given"
    DECLINED = "declined"  # never told to the applicant
    CANCELLED = "cancelled"  # by the applicant
    WITHDRAWN = "withdrawn"  # by the colleague, after it was given
    FALLEN = "fallen"  # the colleague was suspended


@dataclass(frozen=True, slots=True)
class Wish:
    """A request as its applicant sees it: `given`, or it waits. `words` are those typed."""

    id: str
    words: str
    given: bool
    asked: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the colleague who is asked sees it. `statement` once it is given; `hindrance`
    says why they cannot vouch now, empty if they can."""

    id: str
    applicant: Actor
    profession: str
    specialty: Specialty | None
    asked: int
    given: bool
    statement: str
    hindrance: str


@dataclass(frozen=True, slots=True)
class Word:
    """A vouch as reviewers see it."""

    voucher: Actor
    statement: str
    given: int
    valid_until: int


class Vouches:
    """Asking, vouching, and what falls away."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        rules: EvidenceRules,
        records: Records,
        *,
        settle: Settle,
        notify: Notify,
        domain: str,
        urls: VouchUrls,
        trusts: Callable[[str], bool] = lambda host: False,
        wake: Callable[[str], None] = lambda queue: None,
    ) -> None:
        """`domain` is the instance's, as it stands in handles. `trusts` says whether members of
        another server may be asked, and may ask. `wake` is told which queue has something to do."""
        self._db = db
        self._clock = clock
        self._vault = vault
        self._rules = rules
        self._records = records
        self._settle = settle
        self._notify = notify
        self._domain = domain
        self.urls = urls
        self._trusts = trusts
        self.hindrances = Hindrances(clock, rules, trusts)
        self._wake = wake

    @property
    def needed(self) -> int:
        """How many vouches are evidence; 0: nobody is asked here."""
        return self._rules.vouches_needed

    # The applicant's side ---------------------------------------------------------------------

    async def ask(self, account: Account, handle: str) -> None:
        """Ask a colleague by username or handle. BadInput names the field `colleague`; TooMany
        after ten in a month. Says nothing of who is here, nor of who is elsewhere: that is found
        out later."""
        username = self._named(handle)
        far = "@" in username
        now = self._clock.now()
        async with self._db.transaction() as tx:
            await tx.lock(f"vouches for {account.actor_id}")
            fresh = await people.account(tx, account.id)
            if not self.needed or fresh is None or not may_ask(fresh):
                raise Conflict("Colleagues are asked before a decision only.")
            if username == fresh.username:
                raise BadInput("Nobody vouches for themselves.", field="colleague")
            asked = await vouches.of_applicant(tx, fresh.actor_id, since=now - ASKED_LASTS)
            if len(asked) >= MOST_ASKED:
                raise TooMany(
                    f"You asked {MOST_ASKED} colleagues this month; wait for their answers.",
                    retry_after=DAY // 1000,
                )
            # Also after it was taken back: nobody is asked again and again.
            if username in (self.words(row) for row in asked):
                raise BadInput("You asked this colleague already.", field="colleague")
            colleague = None if far else await people.account_by_username(tx, username)
            told = colleague is not None and colleague.may(Right.VOUCH)
            id = self._clock.random_id()
            row = VouchRow(
                id=id,
                applicant_id=fresh.actor_id,
                voucher_id=colleague.actor_id if colleague is not None and told else None,
                asked_sealed=self._vault.seal(username.encode(), f"words of vouch {id}"),
                profession=fresh.role.value,
                specialty=fresh.specialty,
                state=State.ASKED.value,
                asked=now,
                uri=self.urls.vouch_request(id) if far else None,
            )
            await vouches.put(tx, row)
            if far:
                await queues.put_task(tx, FIND, id, {}, now)
            if row.voucher_id is not None:
                await self.tell(tx, row.voucher_id, fresh.actor_id)
        if far:
            self._wake("tasks")

    def _named(self, handle: str) -> str:
        """The username of a member, `username@host` of somebody elsewhere."""
        username, at, host = handle.strip().removeprefix("@").lower().partition("@")
        if not username or len(handle) > 200 or not handle.isprintable():
            raise BadInput("Write a colleague's username, such as @gokafor.", field="colleague")
        if not at or host in (self._domain, host_name(self._domain)):
            return username
        if not self._trusts(host):
            raise BadInput(
                "Name a member of this instance, or of a server that it trusts.", field="colleague"
            )
        return f"{username}@{host}"

    async def cancel(self, account: Account, id: str) -> None:
        """Take a request back that nobody answered. NotFound if it is not the member's."""
        async with self._db.transaction() as tx:
            row = await vouches.get(tx, id)
            if row is None or row.applicant_id != account.actor_id:
                raise NotFound
            # Declined looks to the applicant as if it waited, so it is taken back alike.
            for before in (State.ASKED, State.DECLINED):
                if await vouches.end(tx, id, before, State.CANCELLED):
                    break
            else:
                raise Conflict("This colleague has vouched already.")
            if row.uri is not None and row.voucher_id is not None:
                await self.put_event(tx, EventKind.VOUCH_ASK_UNDONE, row)
        self._wake("events")

    async def of_applicant(self, account: Account) -> tuple[Wish, ...]:
        """The member's requests that stand: given, or not answered within a month."""
        now = self._clock.now()
        rows = await vouches.of_applicant(self._db, account.actor_id)
        return tuple(
            Wish(row.id, self.words(row), row.state == State.GIVEN, row.asked)
            for row in rows
            if self._counts(row, now)
            or (row.state in (State.ASKED, State.DECLINED) and row.asked > now - ASKED_LASTS)
        )

    # The colleague's side ---------------------------------------------------------------------

    async def requests(self, account: Account) -> tuple[Request, ...]:
        """What the member was asked for and has not answered, and whom they vouched for."""
        now = self._clock.now()
        rows = await vouches.of_voucher(self._db, account.actor_id, [State.ASKED, State.GIVEN])
        shown = []
        for row in rows:
            if self._counts(row, now) or self.waits(row, now):
                found = await self._request(self._db, row, account)
                if found is not None:
                    shown.append(found)
        return tuple(shown)

    async def look(self, account: Account, id: str) -> Request:
        """One request to the member; NotFound if it is not theirs, or over."""
        now = self._clock.now()
        row = await vouches.get(self._db, id)
        if row is None or row.voucher_id != account.actor_id:
            raise NotFound
        if not (self._counts(row, now) or self.waits(row, now)):
            raise NotFound
        found = await self._request(self._db, row, account)
        if found is None:
            raise NotFound
        return found

    async def give(self, account: Account, id: str, statement: str) -> None:
        """Vouch, with a statement of how the member knows the applicant.

        BadInput (field `statement`); Conflict says what stands against it. The second click of two
        changes nothing.
        """
        statement = tidy_lines(statement)
        if not SHORTEST <= len(statement) <= LONGEST:
            raise BadInput(
                "Say in a sentence how you know them, so that a reviewer can judge it.",
                field="statement",
            )
        now = self._clock.now()
        async with self._db.transaction() as tx:
            # One vouch at a time of one member: the limit holds whatever is sent at once.
            await tx.lock(f"vouches by {account.actor_id}")
            row = await vouches.get(tx, id)
            if row is None or row.voucher_id != account.actor_id:
                raise NotFound
            await tx.lock(f"vouches for {row.applicant_id}")
            row = await vouches.get(tx, id)
            if row is not None and self._counts(row, now):
                return
            if row is None or not self.waits(row, now):
                raise NotFound
            hindrance = await self.hindrances.of_member(tx, row, account)
            if hindrance:
                raise Conflict(hindrance)
            await self.keep(tx, row, statement)
            if row.uri is not None:
                await self.put_event(tx, EventKind.VOUCH_GIVEN, row)
            else:
                await self.count(tx, row.applicant_id)
        self._wake("events")

    async def decline(self, account: Account, id: str) -> None:
        """Say no. Nobody is told."""
        async with self._db.transaction() as tx:
            row = await vouches.get(tx, id)
            if row is None or row.voucher_id != account.actor_id:
                raise NotFound
            if not await vouches.answer(tx, id, State.DECLINED, at=self._clock.now()):
                raise NotFound

    async def withdraw(self, account: Account, id: str) -> None:
        """Take a vouch back; what rested on it falls."""
        async with self._db.transaction() as tx:
            row = await vouches.get(tx, id)
            if row is None or row.voucher_id != account.actor_id:
                raise NotFound
            await tx.lock(f"vouches for {row.applicant_id}")
            if not await vouches.end(tx, id, State.GIVEN, State.WITHDRAWN):
                raise NotFound
            await self.count(tx, row.applicant_id)
            if row.uri is not None:
                await self.put_event(tx, EventKind.VOUCH_WITHDRAWN, row)
        self._wake("events")

    # Reviewers, and by itself -----------------------------------------------------------------

    async def of_account(self, account_id: str) -> tuple[Word, ...]:
        """What colleagues said of an account's person and counts now. For reviewers: the caller
        has asked who reads."""
        account = await people.account(self._db, account_id)
        if account is None:
            return ()
        now = self._clock.now()
        rows = [
            row
            for row in await vouches.of_applicant(self._db, account.actor_id)
            if self._counts(row, now)
        ]
        found = await actors.get_many(self._db, {row.voucher_id or "" for row in rows})
        return tuple(
            Word(found[row.voucher_id], self._statement(row), row.answered, row.valid_until)
            for row in rows
            if row.voucher_id in found and row.answered is not None and row.valid_until is not None
        )

    async def lose(self, tx: Transaction, voucher_actor_id: str) -> None:
        """Somebody was suspended: let all fall that they vouched for, in the same transaction."""
        rows = await vouches.of_voucher(tx, voucher_actor_id, [State.GIVEN], limit=10_000)
        for row in rows:
            await vouches.end(tx, row.id, State.GIVEN, State.FALLEN)
        for applicant_id in sorted({row.applicant_id for row in rows}):
            await self.count(tx, applicant_id)

    # Also for those elsewhere -----------------------------------------------------------------

    async def tell(self, tx: Transaction, voucher_id: str, applicant_id: str) -> None:
        """Leave the colleague a note of a request, unless a pile of them waits."""
        waiting = await vouches.of_voucher(tx, voucher_id, [State.ASKED])
        if len(waiting) <= MOST_WAITING:
            await self._notify(tx, NotificationKind.VOUCH_ASKED, voucher_id, applicant_id)

    async def keep(self, tx: Transaction, row: VouchRow, statement: str) -> None:
        """Let a vouch stand from now on, its statement sealed. Does not count it."""
        now = self._clock.now()
        await vouches.answer(
            tx, row.id, State.GIVEN, at=now,
            statement_sealed=self._vault.seal(statement.encode(), f"statement of vouch {row.id}"),
            valid_until=now + self._rules.vouch_valid_days * DAY,
        )  # fmt: skip

    async def put_event(self, tx: Transaction, kind: EventKind, row: VouchRow) -> None:
        """Have the other server told. The instance speaks for an applicant, who is not verified."""
        asks = kind in (EventKind.VOUCH_ASKED, EventKind.VOUCH_ASK_UNDONE)
        instance = await actors.by_uri(tx, self.urls.instance_actor) if asks else None
        speaker = instance.id if instance is not None else row.voucher_id
        assert speaker is not None  # only a colleague who was found vouches
        await queues.put_event(
            tx, Event(self._clock.sortable_id(), kind, speaker, row.id, self._clock.now(), {})
        )

    async def count(self, tx: Transaction, applicant_id: str) -> None:
        """Record or withdraw the evidence, as the vouches that stand give it."""
        account = await people.account_by_actor(tx, applicant_id)
        if account is None or not self.needed:
            return
        now = self._clock.now()
        lasting = sorted(
            (
                row.valid_until or 0
                for row in await vouches.of_applicant(tx, applicant_id)
                if self._counts(row, now)
            ),
            reverse=True,
        )
        held = [
            evidence
            for evidence in await self._records.held(tx, account.id)
            if evidence.kind is EvidenceKind.VOUCHES and evidence.recorded_by == BY
        ]
        until = lasting[self.needed - 1] if len(lasting) >= self.needed else 0
        fallen = [evidence for evidence in held if (evidence.valid_until or 0) > until]
        for evidence in fallen:
            await self._records.withdraw(
                tx, evidence.id, by=BY, reason="Vouches were taken back or fell."
            )
        if until and len(fallen) == len(held):
            await self._records.record(
                tx, account.id, EvidenceKind.VOUCHES,
                detail=f"{len(lasting)} verified colleagues vouch for them.", by=BY,
                valid_until=until,
            )  # fmt: skip
        elif not fallen:
            return
        await self._settle(tx, account.id, BY)

    # Inside -----------------------------------------------------------------------------------

    async def _request(self, reader: Reader, row: VouchRow, account: Account) -> Request | None:
        applicant = await actors.get(reader, row.applicant_id)
        if applicant is None or applicant.deleted or applicant.suspended:
            return None
        given = row.state == State.GIVEN
        return Request(
            id=row.id,
            applicant=applicant,
            profession=row.profession,
            specialty=row.specialty,
            asked=row.asked,
            given=given,
            statement=self._statement(row),
            hindrance="" if given else await self.hindrances.of_member(reader, row, account),
        )

    def _counts(self, row: VouchRow, now: int) -> bool:
        return row.state == State.GIVEN and (row.valid_until or 0) > now

    def waits(self, row: VouchRow, now: int) -> bool:
        """Whether it may still be answered."""
        return row.state == State.ASKED and row.asked > now - ASKED_LASTS

    def words(self, row: VouchRow) -> str:
        """Whom the applicant named: a username, or `username@host`."""
        return self._vault.open(row.asked_sealed, f"words of vouch {row.id}").decode()

    def _statement(self, row: VouchRow) -> str:
        return open_statement(self._vault, row)


def open_statement(vault: Vault, row: VouchRow) -> str:
    """What the colleague said; empty before they said it."""
    if row.statement_sealed is None:
        return ""
    return vault.open(row.statement_sealed, f"statement of vouch {row.id}").decode()


class Belongings:
    """What a suspension takes from a member: the credential, and the weight of their word."""

    def __init__(self, credentials: Credentials, vouches: Vouches) -> None:
        self._credentials = credentials
        self._vouches = vouches

    async def revoke(self, tx: Transaction, actor_id: str) -> bool:
        """True if there was a credential."""
        await self._vouches.lose(tx, actor_id)
        return await self._credentials.revoke(tx, actor_id)

    async def renew(self, tx: Transaction, actor_id: str) -> bool:
        """The credential again, to the same day; vouches that fell stay fallen."""
        return await self._credentials.renew(tx, actor_id)
