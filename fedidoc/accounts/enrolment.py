"""Enrolling: the yearly code that every verified member is handed, and what it buys.

A person meets pseudonyms twice: when they are handed their code, logged in as themselves, and when
they enrol with it, logged in as nobody. The second time the code tells the account for a moment, in
memory: whether it is verified is looked at, the link is sealed to the officers, and what is stored
holds nothing of it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Final

from fedidoc.accounts import codes, escrow
from fedidoc.accounts.handles import check_handle
from fedidoc.accounts.naming import RESERVED
from fedidoc.accounts.officers import configured
from fedidoc.accounts.passwords import Passwords
from fedidoc.accounts.pseudonyms import (
    check_passphrase,
    fresh_recovery_codes,
    recovery_mac,
    year_of,
)
from fedidoc.accounts.throttle import Throttle, network_of
from fedidoc.clock import MINUTE, SECOND, Clock
from fedidoc.config import Config
from fedidoc.errors import BadInput, Forbidden, NotFound
from fedidoc.model import Account, Role, Specialty
from fedidoc.storage import actors, crowds, people
from fedidoc.storage import pseudonyms as stored
from fedidoc.storage.engine import Database
from fedidoc.storage.pseudonyms import PseudonymStanding, Waiting
from fedidoc.vault import Vault

_SHOWN_AGAIN: Final = 60 * MINUTE
_USED: Final = "This code was used before; each buys one pseudonym, once a year."


class Enrolment:
    """How a verified member comes to a pseudonym, and keeps it for another year."""

    def __init__(
        self, db: Database, clock: Clock, vault: Vault, config: Config, passwords: Passwords
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._config = config
        self._passwords = passwords
        self._officers = configured(config.officers)
        self._tries_by_caller = Throttle(clock, burst=30, every=10 * SECOND)
        # Codes that were just handed out, so that a page which did not arrive can be asked for
        # again. In memory only: that they are forgotten is what they are for.
        self._shown: OrderedDict[str, tuple[str, int]] = OrderedDict()

    @property
    def enabled(self) -> bool:
        return self._config.pseudonyms.threshold > 0

    @property
    def officers(self) -> tuple[escrow.Officer, ...]:
        """Who holds the shares of what is sealed from now on."""
        return self._officers

    @property
    def year(self) -> int:
        """The enrolment year: the calendar's, in UTC."""
        return year_of(self._clock.now())

    def _must_be_enabled(self) -> None:
        if not self.enabled:
            raise NotFound

    # The yearly code --------------------------------------------------------------------------

    async def code_is_due(self, account: Account) -> bool:
        """Whether a member is still to be handed this year's code."""
        if not self.enabled or not _may_enrol(account):
            return False
        return not await crowds.code_taken(self._db, account.id, self.year)

    async def hand_out(self, account: Account) -> str | None:
        """This year's code for a member: once, and for an hour again the same one. None later.

        Every verified member is handed one at their first visit of the year, whether they want it
        or not, so that having been handed one says nothing.
        """
        self._must_be_enabled()
        if not _may_enrol(account):
            raise Forbidden("The yearly code is for verified clinicians.")
        now = self._clock.now()
        async with self._db.transaction() as tx:
            first = await crowds.take_code(tx, account.id, self.year)
        if first:
            self._shown[account.id] = codes.make(self._vault, self.year, account.id), now
        while self._shown and next(iter(self._shown.values()))[1] < now - _SHOWN_AGAIN:
            self._shown.popitem(last=False)
        found = self._shown.get(account.id)
        return found[0] if found else None

    # Enrolling --------------------------------------------------------------------------------

    async def enrol(
        self,
        code: str,
        handle: str,
        passphrase: str,
        *,
        show_specialty: bool = False,
        jitter: bool = False,
        address: str,
    ) -> tuple[str, ...]:
        """Take a code for a new pseudonym, which opens with the next daily batch; its recovery
        codes. BadInput names the field (`code`, `handle`, `passphrase`)."""
        self._must_be_enabled()
        caller = network_of(address)
        self._tries_by_caller.take(caller)
        year, digest = self.year, codes.digest(self._vault, self.year, code)
        account = await self._buyer(code, year, digest)
        members, taken = await crowds.names(self._db), await stored.handles(self._db)
        handle = check_handle(handle, members, taken)
        if handle in RESERVED or await actors.local_by_username(self._db, handle):
            raise BadInput("This handle is taken; choose another.", field="handle")
        check_passphrase(self._config, passphrase, handle)
        await self._check_unlike_the_password(passphrase, account)
        profession, specialty = await self._may_show(account, show_specialty)
        hashed = await self._passwords.hash(passphrase)
        recovery = fresh_recovery_codes()
        id = self._clock.random_id()
        record = escrow.seal(id, account.id, self._officers, self._config.pseudonyms.threshold)
        body = {
            "profession": profession.value,
            "specialty": people.specialty_text(specialty),
            "year": year,
            "jitter": jitter,
            "record": escrow.write(record),
            "recovery": [recovery_mac(self._vault, id, each) for each in recovery],
        }
        entry = Waiting(id, handle, digest, hashed, json.dumps(body))
        async with self._db.transaction() as tx:
            await tx.lock("pseudonyms")
            if await stored.code_is_spent(tx, digest):
                raise BadInput(_USED, field="code")
            if handle in await stored.handles(tx):
                raise BadInput("This handle is taken; choose another.", field="handle")
            await stored.put_waiting(tx, entry)
        self._tries_by_caller.give_back(caller)
        return recovery

    async def renew(self, account: Account, code: str) -> None:
        """Keep a pseudonym for this year, with this year's code; from the next daily batch on."""
        self._must_be_enabled()
        pseudonym = await stored.get(self._db, account.id)
        if pseudonym is None:
            raise NotFound
        year, digest = self.year, codes.digest(self._vault, self.year, code)
        if pseudonym.year >= year:
            raise BadInput(
                f"This pseudonym is good for {year}; keep the code to yourself.", field="code"
            )
        if pseudonym.standing is PseudonymStanding.SUSPENDED:
            raise Forbidden("This pseudonym is suspended and is not renewed.")
        buyer = await self._buyer(code, year, digest)
        profession, specialty = await self._may_show(buyer, pseudonym.specialty is not None)
        record = escrow.seal(
            pseudonym.id, buyer.id, self._officers, self._config.pseudonyms.threshold
        )
        body = {
            "renews": pseudonym.id,
            "profession": profession.value,
            "specialty": people.specialty_text(specialty),
            "year": year,
            "record": escrow.write(record),
        }
        entry = Waiting(self._clock.random_id(), pseudonym.handle, digest, "", json.dumps(body))
        async with self._db.transaction() as tx:
            await tx.lock("pseudonyms")
            if await stored.code_is_spent(tx, digest):
                raise BadInput(_USED, field="code")
            if await stored.waiting_by_handle(tx, pseudonym.handle):
                raise BadInput("This pseudonym is being renewed already.", field="code")
            await stored.put_waiting(tx, entry)

    async def _buyer(self, code: str, year: int, digest: str) -> Account:
        """Whose code it is, for as long as the caller holds it in memory."""
        account_id = codes.open_code(self._vault, year, code)
        if await stored.code_is_spent(self._db, digest):
            raise BadInput(_USED, field="code")
        account = await people.account(self._db, account_id)
        if account is None or not _may_enrol(account):
            raise BadInput("This code belongs to nobody who is verified here now.", field="code")
        return account

    async def _check_unlike_the_password(self, passphrase: str, account: Account) -> None:
        """Whoever cracks one of the two from a stolen database would try it on the other."""
        login = await people.login(self._db, username=account.username)
        if login and await self._passwords.check(login.password_hash, passphrase):
            raise BadInput(
                "Choose a passphrase that you use nowhere else, least of all here.",
                field="passphrase",
            )

    async def _may_show(
        self, account: Account, show_specialty: bool
    ) -> tuple[Role, Specialty | None]:
        """Profession and specialty as far as enough members share them (the crowd)."""
        crowd = self._config.pseudonyms.crowd
        if await crowds.count_verified(self._db, account.role) < crowd:
            raise BadInput(
                f"Fewer than {crowd} verified members here share your profession, so that a"
                " pseudonym would not hide you; it cannot be had here.",
                field="code",
            )
        specialty = account.specialty if show_specialty else None
        if specialty and await crowds.count_verified(self._db, account.role, specialty) < crowd:
            specialty = None
        return account.role, specialty


def _may_enrol(account: Account) -> bool:
    return account.verified and account.role is not Role.STAFF and not account.pseudonymous
