"""Vouches between two servers: what is asked of colleagues elsewhere, and what others ask here.

The applicant's server sends an Offer in its own name, since an applicant is nobody whom others
believe yet; the colleague answers with an Accept of their own, or with nothing. Each side keeps a
row under the Offer's id and applies its own rules to it.

Whose word somebody elsewhere rests on cannot be looked into from here. So who was verified on the
word of others alone does not count across servers: no chain of vouches leads from one to another.
"""

from __future__ import annotations

from typing import Final

from fedidoc.clock import DAY, Clock
from fedidoc.model import Actor, ActorKind, EventKind, Right, Role, Specialty
from fedidoc.storage import activities, actors, blocks, people, queues, vouches
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.vouches import VouchRow
from fedidoc.vault import Vault
from fedidoc.verification.claims import tidy_lines
from fedidoc.verification.evidence import Assurance
from fedidoc.verification.trust import Trust
from fedidoc.verification.vouches import (
    ASKED_LASTS,
    COUNT,
    LONGEST,
    MOST_ASKED,
    MOST_WAITING,
    SHORTEST,
    State,
    Vouches,
)

_MOST_OPEN: Final = 200  # of the applicants of one server
_LOOKED_AT: Final = 200
_SENT_WITHIN: Final = 30 * DAY  # deliveries are given up long before
_CLINICIANS: Final = frozenset(role.value for role in Role if role is not Role.STAFF)


def verified_elsewhere(actor: Actor, trust: Trust, now: int) -> str:
    """Why the word of a colleague elsewhere does not count now; empty if it does.

    Goes by the badge as it was last looked at: the caller sees to it that this was just now.
    """
    badge = actor.badge
    if actor.local or actor.kind is not ActorKind.PERSON or actor.deleted or actor.suspended:
        return "refused: no colleague of another server"
    if not trust.takes_word_of(actor.host):
        return "refused: the colleague's server is not trusted"
    if not badge.verified or badge.issuer != actor.host:
        return "refused: the colleague is not verified"
    if badge.valid_until is not None and badge.valid_until <= now:
        return "refused: the colleague's credential has expired"
    if badge.assurance not in {a.value for a in Assurance if a is not Assurance.VOUCHED}:
        return "refused: the colleague was verified on the word of others alone"
    return ""


class FarVouches:
    """What other servers ask, say and take back, and what they are asked."""

    def __init__(
        self, db: Database, clock: Clock, vault: Vault, trust: Trust, vouches: Vouches
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._trust = trust
        self._vouches = vouches

    # Asking -----------------------------------------------------------------------------------

    async def wanted(self, vouch_id: str) -> str | None:
        """Whom a request is for, as `username@host`; None if nobody is to be found any more."""
        row = await vouches.get(self._db, vouch_id)
        if row is None or row.uri is None or row.voucher_id is not None:
            return None
        return self._vouches.words(row) if self._vouches.waits(row, self._clock.now()) else None

    async def ask(self, vouch_id: str, colleague: Actor) -> bool:
        """Ask the colleague who was found and looked at just now; False if they are not asked,
        which the applicant is not told."""
        now = self._clock.now()
        if verified_elsewhere(colleague, self._trust, now):
            return False
        async with self._db.transaction() as tx:
            row = await vouches.get(tx, vouch_id)
            if row is None or not self._vouches.waits(row, now):
                return False
            await tx.lock(f"vouches for {row.applicant_id}")
            # Two handles may mean one person.
            since = now - ASKED_LASTS
            asked = await vouches.of_applicant(tx, row.applicant_id, since=since)
            if any(other.voucher_id == colleague.id for other in asked):
                return False
            if await blocks.either(tx, row.applicant_id, colleague.id):
                return False
            if not await vouches.name_voucher(tx, vouch_id, colleague.id):
                return False
            await self._vouches.put_event(tx, EventKind.VOUCH_ASKED, row)
        return True

    # From other servers, inside their handlers' transaction -----------------------------------

    async def receive_request(
        self,
        tx: Transaction,
        applicant: Actor,
        colleague: Actor,
        uri: str,
        profession: str,
        specialty: Specialty | None,
    ) -> str:
        """A trusted server asks for one of its applicants. Bounded for each server, applicant and
        colleague; a colleague who may not vouch is not told."""
        now = self._clock.now()
        account = await people.account_by_actor(tx, colleague.id)
        if account is None or not account.may(Right.VOUCH):
            return "ignore: there is nobody of that name who vouches"
        if profession not in _CLINICIANS:
            return "refused: no such profession"
        if await blocks.either(tx, applicant.id, colleague.id):
            return "ignore: one of the two blocked the other"
        await tx.lock(f"vouches asked by {applicant.host}")
        if await vouches.by_uri(tx, uri) is not None:
            return "known"
        since = now - ASKED_LASTS
        asked = await vouches.of_applicant(tx, applicant.id, since=since)
        if any(row.voucher_id == colleague.id for row in asked):
            return "refused: this colleague was asked already"
        if len(asked) >= MOST_ASKED:
            return "refused: this applicant asked too many"
        if await vouches.open_of_host(tx, applicant.host, since) >= _MOST_OPEN:
            return "refused: this server has too many requests waiting"
        waiting = await vouches.of_voucher(tx, colleague.id, [State.ASKED])
        if sum(self._vouches.waits(row, now) for row in waiting) >= MOST_WAITING:
            return "refused: too many ask this colleague"
        id = self._clock.random_id()
        row = VouchRow(
            id=id,
            applicant_id=applicant.id,
            voucher_id=colleague.id,
            asked_sealed=self._vault.seal(colleague.username.encode(), f"words of vouch {id}"),
            profession=profession,
            specialty=specialty,
            state=State.ASKED.value,
            asked=now,
            uri=uri,
        )
        if not await vouches.put(tx, row):
            return "known"
        await self._vouches.tell(tx, colleague.id, applicant.id)
        return "vouch_asked"

    async def receive_request_undone(self, tx: Transaction, host: str, uri: str) -> str:
        """The server that asked takes a request back that nobody answered yet."""
        row = await vouches.by_uri(tx, uri)
        applicant = await actors.get(tx, row.applicant_id) if row is not None else None
        if row is None or applicant is None or applicant.local:
            return "ignore: there was none"
        if applicant.host != host:
            return "refused: the request is another server's"
        for before in (State.ASKED, State.DECLINED):
            if await vouches.end(tx, row.id, before, State.CANCELLED):
                return "undone"
        return "ignore: it was answered already"

    async def receive_vouch(
        self, tx: Transaction, colleague: Actor, uri: str, statement: str
    ) -> str:
        """Somebody elsewhere vouches. Counts only in answer to a request of this instance that is
        open, by whom it was made to, and if their badge holds: it was looked at just before."""
        row, refusal = await self._own(tx, colleague, uri)
        if row is None:
            return refusal
        await tx.lock(f"vouches by {colleague.id}")
        await tx.lock(f"vouches for {row.applicant_id}")
        row = await vouches.get(tx, row.id)
        now = self._clock.now()
        if row is None or row.state == State.GIVEN:
            return "known"
        if not self._vouches.waits(row, now):
            return "refused: the request is over"
        statement = tidy_lines(statement)
        if not SHORTEST <= len(statement) <= LONGEST:
            return "refused: the statement is too short or too long"
        refusal = verified_elsewhere(colleague, self._trust, now)
        if refusal:
            return refusal
        hindrances = self._vouches.hindrances
        if await hindrances.needless(tx, row):
            return "refused: no vouch is needed any more"
        if await blocks.either(tx, row.applicant_id, colleague.id):
            return "refused: one of the two blocked the other"
        if await hindrances.vouched_much(tx, colleague.id):
            return "refused: they vouched for too many within a year"
        if await hindrances.in_circle(tx, colleague.id, row.applicant_id):
            return "refused: the applicant vouched for them"
        await self._vouches.keep(tx, row, statement)
        await self._count_later(tx, row.applicant_id)
        return "vouched"

    async def receive_vouch_undone(self, tx: Transaction, colleague: Actor, uri: str) -> str:
        """They take their word back; what rested on it falls. An Accept that comes later than its
        Undo counts no more."""
        row, refusal = await self._own(tx, colleague, uri)
        if row is None:
            return refusal
        await tx.lock(f"vouches for {row.applicant_id}")
        for before in (State.GIVEN, State.ASKED):
            if await vouches.end(tx, row.id, before, State.WITHDRAWN):
                await self._count_later(tx, row.applicant_id)
                return "undone"
        return "ignore: it does not stand"

    async def _own(
        self, tx: Transaction, colleague: Actor, uri: str
    ) -> tuple[VouchRow | None, str]:
        """The request of this instance that a colleague elsewhere was asked by, or why there is
        none."""
        row = await vouches.by_uri(tx, uri)
        applicant = await actors.get(tx, row.applicant_id) if row is not None else None
        if row is None or applicant is None or not applicant.local:
            return None, "ignore: no such vouch was asked for"
        if row.voucher_id != colleague.id:
            return None, "refused: somebody else was asked"
        return row, ""

    async def _count_later(self, tx: Transaction, applicant_id: str) -> None:
        """What follows from a vouch looks at registers and more, for which the transaction of many
        activities is not the place."""
        await queues.put_task(tx, COUNT, applicant_id, {}, self._clock.now())

    # By itself --------------------------------------------------------------------------------

    async def count(self, applicant_id: str) -> None:
        """Count the vouches for a member here, with what follows from it."""
        async with self._db.transaction() as tx:
            await tx.lock(f"vouches for {applicant_id}")
            await self._vouches.count(tx, applicant_id)

    async def watch(self) -> int:
        """Every hour, after the rounds of the badges: let fall what was said by colleagues whose
        badge holds no more, or whose server is not trusted any more; how many fell. And forget
        the words that were sent and have arrived."""
        fallen, after = 0, ""
        while rows := await vouches.given_elsewhere(self._db, after=after, limit=_LOOKED_AT):
            after = rows[-1].id
            for row in rows:
                fallen += await self._look(row)
        told = await vouches.told_elsewhere(self._db, self._clock.now() - _SENT_WITHIN)
        for start in range(0, len(told), _LOOKED_AT):
            uris = [self._vouches.urls.vouch(id) for id in told[start : start + _LOOKED_AT]]
            async with self._db.transaction() as tx:
                await activities.forget_sent(tx, uris)
        return fallen

    async def _look(self, row: VouchRow) -> bool:
        async with self._db.transaction() as tx:
            colleague = await actors.get(tx, row.voucher_id or "")
            if colleague is not None and not verified_elsewhere(
                colleague, self._trust, self._clock.now()
            ):
                return False
            await tx.lock(f"vouches for {row.applicant_id}")
            if not await vouches.end(tx, row.id, State.GIVEN, State.FALLEN):
                return False
            await self._vouches.count(tx, row.applicant_id)
        return True
