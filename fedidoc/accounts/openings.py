"""Sanctions on pseudonyms, and the cases in which one's sealed record is opened.

A moderator asks with a reason, another one approves, the officers open their shares on their own
machines, and somebody puts the shares together here. What is learnt is the answer of one call and
is stored nowhere; that it was learnt stands in the audit log, and the pseudonym is told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple, Protocol

from fedidoc.accounts import escrow
from fedidoc.accounts.escrow import EscrowError, Record
from fedidoc.accounts.officers import configured
from fedidoc.accounts.pseudonyms import year_of
from fedidoc.clock import Clock, DayClock, iso
from fedidoc.config import Config
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import Account, Event, EventKind
from fedidoc.storage import actors, moderation, people, queues
from fedidoc.storage import openings as cases
from fedidoc.storage import pseudonyms as stored
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.storage.openings import OpeningRequest, RequestState
from fedidoc.storage.pseudonyms import Pseudonym, PseudonymStanding

_LEAST: Final = 10
_MOST: Final = 1_000


class Revoking(Protocol):
    """Who takes a suspended pseudonym's credential back; False if it had none."""

    async def revoke(self, tx: Transaction, actor_id: str) -> bool: ...


class Transparency(NamedTuple):
    """What anybody may know: who the officers are, and how often what was done."""

    threshold: int
    organisations: tuple[tuple[str, int], ...]
    pseudonyms: int
    openings: tuple[tuple[int, str, int, int], ...]


class Openings:
    """What moderators do about pseudonyms."""

    def __init__(self, db: Database, clock: Clock, config: Config, credentials: Revoking) -> None:
        self._db = db
        self._clock = clock
        self._config = config
        self._credentials = credentials
        self._officers = configured(config.officers)

    # Sanctions --------------------------------------------------------------------------------

    async def every(self) -> list[Pseudonym]:
        """Every pseudonym, by handle."""
        return await stored.every(self._db)

    async def warn(self, handle: str, words: str, *, by: str) -> Pseudonym:
        """Tell the pseudonym's owner something, on their own page."""
        return await self._sanction(handle, "warned", words, by, None)

    async def mute(self, handle: str, reason: str, *, by: str) -> Pseudonym:
        """It reads and writes nothing, until `unmute`."""
        return await self._sanction(handle, "muted", reason, by, PseudonymStanding.MUTED)

    async def unmute(self, handle: str, reason: str, *, by: str) -> Pseudonym:
        return await self._sanction(handle, "unmuted", reason, by, PseudonymStanding.STANDING)

    async def suspend(self, handle: str, reason: str, *, by: str) -> Pseudonym:
        """For the rest of the enrolment year: its sessions end, its credential is revoked, peers
        are told. Its owner's code of the year is used, so that no other takes its place."""
        return await self._sanction(handle, "suspended", reason, by, PseudonymStanding.SUSPENDED)

    async def _sanction(
        self, handle: str, action: str, reason: str, by: str, standing: PseudonymStanding | None
    ) -> Pseudonym:
        reason = _reason(reason)
        async with self._db.transaction() as tx:
            pseudonym = await self._find(tx, handle)
            if pseudonym.standing is PseudonymStanding.SUSPENDED:
                raise Conflict("This pseudonym is suspended for its enrolment year already.")
            if standing is pseudonym.standing:
                raise Conflict(f"This pseudonym is {standing.value} already.")
            if standing is not None:
                await stored.set_standing(tx, pseudonym.id, standing)
            if standing is PseudonymStanding.SUSPENDED:
                await self._end(tx, pseudonym)
            today = DayClock(self._clock).now()
            await stored.put_notice(
                tx, self._clock.random_id(), pseudonym.id, action, reason, today
            )
            await self._record(tx, by, f"pseudonym_{action}", pseudonym.id, {"reason": reason})
            return await self._find(tx, handle)

    async def _end(self, tx: Transaction, pseudonym: Pseudonym) -> None:
        now = self._clock.now()
        await stored.delete_sessions(tx, pseudonym.id)
        await actors.set_suspended(tx, pseudonym.actor_id, now)
        if not await self._credentials.revoke(tx, pseudonym.actor_id):
            event = Event(
                self._clock.sortable_id(), EventKind.ACTOR_UPDATED, pseudonym.actor_id,
                pseudonym.actor_id, now, {},
            )  # fmt: skip
            await queues.put_event(tx, event)

    # Opening a record -------------------------------------------------------------------------

    async def requests(self) -> list[OpeningRequest]:
        """Every case, the open ones first."""
        return await cases.requests(self._db)

    async def ask(self, handle: str, reason: str, *, by: Account) -> OpeningRequest:
        """The first moderator's half: a case with its reason."""
        _must_moderate(by)
        reason = _reason(reason)
        async with self._db.transaction() as tx:
            pseudonym = await self._find(tx, handle)
            made = OpeningRequest(
                self._clock.random_id(), pseudonym.id, pseudonym.handle, reason,
                RequestState.ASKED, by.id, None, year_of(self._clock.now()), False,
            )  # fmt: skip
            await cases.put_request(tx, made)
            detail = {"pseudonym": pseudonym.id, "reason": reason}
            await self._record(tx, by.id, "escrow_asked", made.id, detail)
        return made

    async def approve(self, request_id: str, *, by: Account) -> OpeningRequest:
        """The second moderator's half. Forbidden to the one who asked."""
        return await self._decide(request_id, RequestState.APPROVED, by)

    async def refuse(self, request_id: str, *, by: Account) -> OpeningRequest:
        """The second moderator says no; the case is over."""
        return await self._decide(request_id, RequestState.REFUSED, by)

    async def _decide(self, request_id: str, to: RequestState, by: Account) -> OpeningRequest:
        _must_moderate(by)
        async with self._db.transaction() as tx:
            request = await self._request(tx, request_id)
            if request.asked_by == by.id:
                raise Forbidden("Two moderators are needed: another one has to decide this.")
            if not await cases.move_request(
                tx, request_id, [RequestState.ASKED], to, approved_by=by.id
            ):
                raise Conflict("This was decided already.")
            await self._record(tx, by.id, f"escrow_{to.value}", request_id, {})
            return await self._request(tx, request_id)

    async def file_for_officers(self, request_id: str) -> dict[str, Any]:
        """What each officer gets to open their share of: the case in words, and its records."""
        request = await self._approved(self._db, request_id)
        found = await stored.records(self._db, request.pseudonym_id)
        return {
            "kind": "fedidoc escrow case",
            "instance": self._config.domain,
            "case": request.id,
            "pseudonym": f"@{request.handle}@{self._config.domain}",
            "reason": request.reason,
            "at": iso(self._clock.now()),
            "records": [json.loads(body) for _, _, body in found[:1]],
        }

    async def open(
        self, request_id: str, shares: Sequence[str], *, withhold: str = ""
    ) -> tuple[Account, OpeningRequest]:
        """Whose pseudonym it is, from the officers' opened shares. The pseudonym is told, unless
        `withhold` gives the reason that the law has against it. EscrowError as in `escrow`."""
        if withhold:
            withhold = _reason(withhold)
        opened = [escrow.read_share(text) for text in shares]
        request = await self._approved(self._db, request_id)
        record = await self._record_of(request, {share.record for share in opened})
        account_id = escrow.open_record(record, opened)
        account = await people.account(self._db, account_id)
        numbers = {share.number for share in opened}
        names = sorted(s.officer for s in record.shares if s.number in numbers)
        async with self._db.transaction() as tx:
            if not await cases.move_request(
                tx, request_id, [RequestState.APPROVED], RequestState.OPENED,
                withheld=bool(withhold),
            ):  # fmt: skip
                raise Conflict("This case was opened already.")
            if not withhold:
                await stored.put_notice(
                    tx, self._clock.random_id(), request.pseudonym_id, "opened", request.reason,
                    DayClock(self._clock).now(),
                )  # fmt: skip
            detail = {"officers": names, "told": not withhold, "withheld_because": withhold}
            await self._record(tx, "command line", "escrow_opened", request_id, detail)
        if account is None:
            raise NotFound("The record is open; its account is not here any more.")
        return account, await self._request(self._db, request_id)

    async def _record_of(self, request: OpeningRequest, wanted: Collection[str]) -> Record:
        found = await stored.records(self._db, request.pseudonym_id)
        for id, _, body in found:
            if id in wanted:
                return escrow.read(body)
        raise EscrowError("These shares belong to another record than this case's.")

    async def _approved(self, reader: Reader, request_id: str) -> OpeningRequest:
        request = await self._request(reader, request_id)
        if request.state is not RequestState.APPROVED:
            raise Conflict(f"This case is {request.state.value}; it has to be approved first.")
        return request

    # Officers come and go ---------------------------------------------------------------------

    async def records_of(self, officer: str) -> list[Record]:
        """Every record that an officer holds a share of, for handing their shares over."""
        found = [escrow.read(body) for _, _, body in await stored.records(self._db)]
        return [r for r in found if any(share.officer == officer for share in r.shares)]

    async def take_over(self, records: Sequence[Record], *, by: str) -> int:
        """Put in shares that an officer sealed to their successor; how many records changed.

        Only the sealed share and its holder's name may differ, and the successor must stand in the
        configuration. EscrowError says which record does not fit; then nothing was changed.
        """
        known = {officer.name for officer in self._officers}
        changed = 0
        async with self._db.transaction() as tx:
            now = {id: body for id, _, body in await stored.records(tx)}
            for record in records:
                before = now.get(record.id)
                if before is None or not _is_handed_over(escrow.read(before), record, known):
                    raise EscrowError(
                        f"The record {record.id} does not fit what is stored; export them anew."
                    )
                after = escrow.write(record)
                if after != before:
                    changed += await stored.replace_record(tx, record.id, before, after)
            await self._record(tx, by, "escrow_handed_over", "", {"records": changed})
        return changed

    # What anybody may know --------------------------------------------------------------------

    async def transparency(self) -> Transparency:
        organisations: dict[str, int] = {}
        for officer in self._officers:
            name = officer.organisation or self._config.instance.name
            organisations[name] = organisations.get(name, 0) + 1
        return Transparency(
            self._config.pseudonyms.threshold,
            tuple(sorted(organisations.items())),
            await stored.count(self._db),
            tuple(await cases.request_counts(self._db)),
        )

    # Shared -----------------------------------------------------------------------------------

    async def _find(self, reader: Reader, handle: str) -> Pseudonym:
        found = await stored.by_handle(reader, handle.strip().removeprefix("@").lower())
        if found is None:
            raise NotFound("There is no pseudonym of that handle; `fedidoc pseudonym list`.")
        return found

    async def _request(self, reader: Reader, request_id: str) -> OpeningRequest:
        found = await cases.request(reader, request_id)
        if found is None:
            raise NotFound("There is no such case; `fedidoc escrow list` shows them.")
        return found

    async def _record(
        self, tx: Transaction, by: str, action: str, subject: str, detail: dict[str, Any]
    ) -> None:
        await moderation.append(tx, self._clock.now(), by, action, subject, detail)


def _is_handed_over(before: Record, after: Record, known: Collection[str]) -> bool:
    """Whether two records differ in who holds which share at most."""
    same = (before.id, before.pseudonym, before.threshold, before.sealed) == (
        after.id, after.pseudonym, after.threshold, after.sealed
    )  # fmt: skip
    if not same or len(before.shares) != len(after.shares):
        return False
    names = {share.officer for share in after.shares}
    for old, new in zip(before.shares, after.shares, strict=True):
        if (old.number, old.proof) != (new.number, new.proof):
            return False
        if old.officer != new.officer and new.officer not in known:
            return False
    return len(names) == len(after.shares)


def _must_moderate(account: Account) -> None:
    if not account.admin:
        raise Forbidden("This is for the instance's moderators.")


def _reason(text: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not _LEAST <= len(words) <= _MOST:
        raise BadInput(
            f"Say why, in {_LEAST} to {_MOST:,} letters and without anybody's name.",
            field="reason",
        )
    return words
