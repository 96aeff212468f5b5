"""Passes: links that the operator hands out, each good once, for one account and one purpose.

`ENTER` opens a session: for somebody who is locked out, also when the identity provider is away
and nobody can sign in by a password. `LINK` ties the login that somebody signs in with next to the
account: for members who were there before the provider, and for a login that was replaced.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Final

from fedidoc.accounts.members import Accounts, SignedIn
from fedidoc.clock import DAY, MINUTE, Clock
from fedidoc.errors import Conflict, Forbidden, NotFound
from fedidoc.model import Account, Standing
from fedidoc.storage import logins, moderation, people
from fedidoc.storage.engine import Database, Transaction
from fedidoc.vault import Vault

_OVER: Final = "This link is used up or too old; ask those who run this instance for a new one."


class Purpose(StrEnum):
    ENTER = "enter"
    LINK = "link"


_LASTS: Final = {Purpose.ENTER: 15 * MINUTE, Purpose.LINK: 7 * DAY}


class Passes:
    """Makes passes and takes them. A pass is 256 random bits, stored as a keyed digest."""

    def __init__(self, db: Database, clock: Clock, vault: Vault, accounts: Accounts) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._accounts = accounts

    async def make(self, username: str, purpose: Purpose, *, by: str) -> str:
        """A pass; an earlier one of the account for the same purpose is void."""
        token = secrets.token_urlsafe(32)
        account = await self._accounts.show(username)
        if account.standing is Standing.SUSPENDED:
            raise Conflict(f"{account.username} is suspended; restore the account first.")
        now = self._clock.now()
        async with self._db.transaction() as tx:
            await logins.put_pass(tx, self._mac(token), account.id, purpose, now + _LASTS[purpose])
            await moderation.append(tx, now, by, f"pass_made_{purpose}", account.id, {})
        return token

    async def see(self, token: str) -> tuple[Account, Purpose]:
        """Whose pass it is and for what, without using it. NotFound if it is not good."""
        found = await logins.see_pass(self._db, self._mac(token), self._clock.now())
        account = await people.account(self._db, found[0]) if found else None
        if found is None or account is None or account.standing is Standing.SUSPENDED:
            raise NotFound(_OVER)
        return account, Purpose(found[1])

    async def enter(self, token: str, *, previous: str | None = None) -> SignedIn:
        """Use a pass to get in: a fresh session."""
        async with self._db.transaction() as tx:
            account = await self.take(tx, token, Purpose.ENTER)
            if previous:
                await people.delete_session(tx, self._accounts.session_mac(previous))
            await moderation.append(
                tx, self._clock.now(), account.id, "pass_used_enter", account.id, {}
            )
            return await self._accounts.open_session(tx, account)

    async def take(self, tx: Transaction, token: str, purpose: Purpose) -> Account:
        """Use a pass up; whose it was. NotFound if it is not good for this."""
        found = await logins.take_pass(tx, self._mac(token), self._clock.now())
        account = await people.account(tx, found[0]) if found else None
        if found is None or account is None or found[1] != purpose:
            raise NotFound(_OVER)
        if account.standing is Standing.SUSPENDED:
            raise Forbidden("This account is suspended; write to the instance's contact.")
        return account

    def _mac(self, token: str) -> str:
        return self._vault.fingerprint(token if token.isascii() else "", "pass")
