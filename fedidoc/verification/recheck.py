"""The monthly look again: every verified member compared with the registers and exclusion lists.

Done for each member after `[verification] recheck_days`, and as soon as a newer file of a register
was imported. What is found is a flag for the reviewers, raised once for the same finding however
often the work is repeated. Nobody loses a verification by it, except for the causes that the
configuration names in `revoke_on`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fedidoc.clock import DAY, HOUR, MINUTE, Clock
from fedidoc.errors import BadInput, ConfigError, Conflict, Forbidden, NotFound
from fedidoc.model import Account, Standing
from fedidoc.storage import applications, flags, moderation, people, registers
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.statements import Reader
from fedidoc.vault import Vault
from fedidoc.verification import claims
from fedidoc.verification.comparison import Mark
from fedidoc.verification.desk import Desks, may_review
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.listings import Listing, Registers, standing_against
from fedidoc.verification.standings import Standings
from fedidoc.verification.views import JudgedHit

TASK: Final = "recheck"
_AT_ONCE: Final = 50
_MOST_NOTE: Final = 1000


class Cause(StrEnum):
    """Why a verified member needs another look. The values stand in `revoke_on`."""

    DEACTIVATED = "deactivated"
    NOT_ACTIVE = "not_active"
    EXPIRED = "expired"
    EXCLUDED = "excluded"
    POSSIBLY_EXCLUDED = "possibly_excluded"
    LEFT = "left"
    MISSING = "missing"


MAY_REVOKE: Final = (Cause.DEACTIVATED, Cause.NOT_ACTIVE, Cause.EXPIRED, Cause.EXCLUDED)


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that speaks against a member. `key` is the same as long as it is the same thing."""

    cause: Cause
    key: str
    words: str


@dataclass(frozen=True, slots=True)
class Flag:
    """What a reviewer sees of it. `application_id` is the one that the member was verified on."""

    id: str
    account: Account
    cause: Cause
    words: str
    raised: int
    application_id: str | None


def weigh(
    listings: Collection[Listing], hits: Collection[JudgedHit], *, asked: bool, matched: bool
) -> list[Found]:
    """What registers and lists say against somebody. `asked`: there are registers that would have
    the licence; `matched`: a register match is part of what the member was verified on. Pure."""
    found = [_against(listings, source) for source in dict.fromkeys(x.source for x in listings)]
    for judged in hits:
        if judged.open:
            cause = Cause.EXCLUDED if judged.hit.certain else Cause.POSSIBLY_EXCLUDED
            words = f"{judged.hit.register}: {judged.hit.name}, {judged.hit.reason}"
            found.append(Found(cause, judged.key, f"{words} (same {judged.hit.matched})."))
    public = [x for x in listings if x.kind is EvidenceKind.REGISTER]
    if matched and asked and not public:
        found.append(Found(Cause.MISSING, "", "No register has this licence any more."))
    return [each for each in found if each is not None]


def _against(listings: Collection[Listing], source: str) -> Found | None:
    """What one register says against the licence: only if each of its entries does."""
    own = [each for each in listings if each.source == source]
    first = own[0]
    if first.kind is EvidenceKind.EMPLOYER:
        if any(each.row.active for each in own):
            return None
        words = f"{first.register[0].upper()}{first.register[1:]} lists no active role any more."
        return Found(Cause.LEFT, source, words)
    if not standing_against(own):
        return None
    words = standing_against(own)[0]
    row, marks = first.row, {d.field: d.mark for d in first.differences}
    if row.deactivated and not row.active:
        return Found(Cause.DEACTIVATED, f"{source} {row.deactivated}", words)
    if marks["status"] is Mark.DIFFERENT:
        return Found(Cause.NOT_ACTIVE, f"{source} {row.status}", words)
    return Found(Cause.EXPIRED, f"{source} {first.expires}", words)


class Recheck:
    """Compares verified members again, and keeps what was found until somebody has looked."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        registers: Registers,
        desks: Desks,
        standings: Standings,
        *,
        days: int = 30,
        revoke_on: Collection[str] = (),
    ) -> None:
        """ConfigError if `revoke_on` names what nobody may be revoked for by itself."""
        unknown = set(revoke_on) - {cause.value for cause in MAY_REVOKE}
        if unknown:
            raise ConfigError(
                f"[verification] revoke_on has {min(unknown)!r}; it takes"
                f" {', '.join(cause.value for cause in MAY_REVOKE)}."
            )
        self._db = db
        self._clock = clock
        self._vault = vault
        self._registers = registers
        self._desks = desks
        self._standings = standings
        self._period = days * DAY
        self._revoke_on = frozenset(Cause(cause) for cause in revoke_on)

    # By itself --------------------------------------------------------------------------------

    async def work(self, subject: str, detail: Mapping[str, Any]) -> int:
        """The task: some of the members whose turn it is; when to go on."""
        looked_at = await self.look_again()
        return self._clock.now() + (MINUTE if looked_at == _AT_ONCE else HOUR)

    async def look_again(self, limit: int = _AT_ONCE) -> int:
        """Compare members whose last comparison is too long ago, or older than the newest file of
        any register; how many. Each is one transaction: killed anywhere, nothing is done twice."""
        now = self._clock.now()
        until = max(now - self._period, min(now, await registers.newest_import(self._db)))
        found = await flags.due(self._db, until=until, limit=limit)
        for account in found:
            await self._compare(account)
        return len(found)

    async def _compare(self, account: Account) -> None:
        started = self._clock.now()
        application = await applications.current(self._db, account.id)
        if application is not None:
            await self._desks.refresh(application)
        async with self._db.transaction() as tx:
            await tx.lock(f"account {account.id}")
            current = await people.account(tx, account.id)
            if current is None or current.standing is not Standing.VERIFIED:
                return
            if application is not None:
                claim = self._desks.view(application).claim
                kinds = await self._standings.kinds(tx, account.id)
                findings = await self._desks.findings(tx, application)
                found = weigh(
                    findings.listings,
                    findings.hits,
                    asked=bool(await self._registers.asked(claim)),
                    matched=EvidenceKind.REGISTER in kinds,
                )
                await self._note(tx, current, found)
            await flags.set_checked(tx, account.id, started)

    async def _note(self, tx: Transaction, account: Account, found: Collection[Found]) -> None:
        now = self._clock.now()
        known = {(row.kind, row.finding): row.id for row in await flags.opened(
            tx, account_id=account.id
        )}  # fmt: skip
        standing = [known[key] for each in found if (key := (each.cause, each.key)) in known]
        for id in await flags.settle_others(tx, account.id, standing, now):
            await moderation.append(tx, now, flags.BY_ITSELF, "flag_gone", account.id, {"flag": id})
        for each in found:
            if (each.cause, each.key) in known:
                continue
            id = self._clock.random_id()
            sealed = self._vault.seal(each.words.encode(), _purpose(account.id))
            if await flags.put(tx, id, account.id, each.cause.value, each.key, sealed, now):
                detail = {"flag": id, "cause": each.cause.value}
                await moderation.append(
                    tx, now, flags.BY_ITSELF, "member_flagged", account.id, detail
                )
        if any(each.cause in self._revoke_on for each in found):
            await self._standings.end(tx, account, "verification_stopped", flags.BY_ITSELF)

    # The reviewers' side ----------------------------------------------------------------------

    async def open_flags(self, by: Account) -> tuple[Flag, ...]:
        """What nobody has settled yet, the oldest first."""
        await self._reviewer(self._db, by)
        found = []
        for row in await flags.opened(self._db):
            latest = await applications.current(self._db, row.account.id)
            words = self._vault.open(row.detail_sealed, _purpose(row.account.id)).decode()
            found.append(
                Flag(row.id, row.account, Cause(row.kind), words, row.raised,
                     latest.id if latest else None)
            )  # fmt: skip
        return tuple(found)

    async def waiting(self) -> int:
        """How many flags are open."""
        return await flags.count(self._db)

    async def settle(self, flag_id: str, by: Account, note: str) -> None:
        """Close a flag with words that say why nothing more is to be done; they are kept sealed.

        The same finding is not raised again. NotFound for an unknown one, Conflict if somebody was
        quicker, Forbidden for one's own.
        """
        note = claims.tidy_lines(note)
        if not note:
            raise BadInput("Write what you found, in a few words.", field="note")
        if len(note) > _MOST_NOTE:
            raise BadInput(f"Keep the note under {_MOST_NOTE} characters.", field="note")
        async with self._db.transaction() as tx:
            reviewer = await self._reviewer(tx, by)
            found = await flags.get(tx, flag_id)
            if found is None:
                raise NotFound
            account_id, _ = found
            if account_id == reviewer.id:
                raise Forbidden("Nobody settles what was found of themselves.")
            sealed = self._vault.seal(note.encode(), _purpose(account_id))
            now = self._clock.now()
            if not await flags.settle(tx, flag_id, reviewer.id, sealed, now):
                raise Conflict("Somebody has settled this meanwhile.")
            await moderation.append(
                tx, now, reviewer.id, "flag_settled", account_id, {"flag": flag_id}
            )

    async def limit(self, reader: Reader, account_id: str) -> int | None:
        """Before a renewal: when the member's licence ends by the registers (UTC milliseconds),
        None where they do not say. Conflict if a register says that it is not in force."""
        application = await applications.current(reader, account_id)
        if application is None:
            return None
        findings = await self._desks.findings(reader, application)
        against = standing_against(findings.listings)
        if against:
            raise Conflict(f"{against[0]} Nothing can be renewed on it.")
        return findings.until

    async def _reviewer(self, reader: Reader, by: Account) -> Account:
        reviewer = await people.account(reader, by.id)
        if reviewer is None or not may_review(reviewer):
            raise Forbidden("Only reviewers see what the registers say of members.")
        return reviewer


def _purpose(account_id: str) -> str:
    return f"flag of account {account_id}"
