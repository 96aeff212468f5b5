"""Members: signing up and in, sessions and API tokens, suspension.

Answers do not tell whether an account exists: an unknown name costs as much time as a wrong
password and gets the same words. Session and API tokens are 256 random bits, stored as keyed
digests only. Every password check is paid for from a bucket per account and one per caller.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from fedidoc.accounts.naming import check_person
from fedidoc.accounts.passwords import Passwords, check_rules, fresh_password
from fedidoc.accounts.throttle import Throttle, network_of
from fedidoc.clock import DAY, MINUTE, SECOND, Clock
from fedidoc.config import Config, host_name
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound, NotSignedIn
from fedidoc.model import (
    Account,
    ActorKind,
    Event,
    EventKind,
    Page,
    Role,
    Specialty,
    Standing,
)
from fedidoc.storage import actors, keys, moderation, people, queues
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.storage.people import Login
from fedidoc.vault import Vault

_WRONG: Final = "The name or the password is not right; check both and try again."
_TAKEN: Final = (
    "This username or e-mail address cannot be used; choose another username, or log in if you"
    " have an account."
)


class CredentialOffice(Protocol):
    """What suspension does to a member's credential."""

    async def revoke(self, tx: Transaction, actor_id: str) -> bool: ...
    async def renew(self, tx: Transaction, actor_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Session:
    """Who is asking. `csrf` must come with every form that changes something."""

    account: Account
    csrf: str


class SessionLine(NamedTuple):
    """One place where a member is logged in; times are UTC milliseconds."""

    created: int
    expires: int
    current: bool


class SignedIn(NamedTuple):
    """A fresh session: the cookie's value, and the token for its forms."""

    account: Account
    token: str
    csrf: str


class Accounts:
    """The members of this instance."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        config: Config,
        urls: actors.ActorUrls,
        credentials: CredentialOffice,
        *,
        passwords: Passwords | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._config = config
        self._urls = urls
        self._credentials = credentials
        self._passwords = passwords or Passwords()
        self._tries_by_account = Throttle(clock, burst=10, every=MINUTE)
        self._tries_by_caller = Throttle(clock, burst=30, every=10 * SECOND)
        self._sign_ups = Throttle(clock, burst=5, every=10 * MINUTE)

    def close(self) -> None:
        """End the threads that hash passwords."""
        self._passwords.close()

    # Becoming a member ------------------------------------------------------------------------

    async def sign_up(
        self,
        username: str,
        email: str,
        password: str,
        name: str,
        role: Role,
        specialty: Specialty | None,
        *,
        address: str,
    ) -> Account:
        """A new account that has not applied yet, with its public actor.

        BadInput names the field; a taken username and a taken e-mail address get the same answer.
        `address` is the caller's IP address.
        """
        rules = self._config.membership
        if not rules.open or self._config.identity_provider.exclusive:
            raise Forbidden("Sign-up is closed here; ask the instance's contact for an account.")
        if role is Role.STAFF or role.value not in rules.roles:
            raise BadInput("This instance does not take this profession.", field="role")
        username, email, name = self.check_person(username, email, name)
        self._check_password(password, username, email)
        self._sign_ups.take(network_of(address))
        return await self._create(username, email, password, name, role, specialty)

    async def add_member(
        self,
        username: str,
        email: str,
        name: str,
        role: Role,
        specialty: Specialty | None,
        *,
        admin: bool = False,
        password: str | None = None,
        by: str,
    ) -> tuple[Account, str]:
        """An account made by the operator, and its password (a fresh one unless given)."""
        username, email, name = self.check_person(username, email, name)
        if password is None:
            password = fresh_password()
        self._check_password(password, username, email)
        account = await self._create(
            username, email, password, name, role, specialty, admin=admin, by=by
        )
        return account, password

    async def _create(
        self,
        username: str,
        email: str,
        password: str,
        name: str,
        role: Role,
        specialty: Specialty | None,
        *,
        admin: bool = False,
        by: str | None = None,
    ) -> Account:
        # The slow parts come first, also for a name that turns out to be taken.
        password_hash = await self._passwords.hash(password)
        fresh = await asyncio.to_thread(keys.generate_keys)
        async with self._db.transaction() as tx:
            await tx.lock("accounts")
            mac = self.email_mac(email)
            if await people.taken(tx, username, mac) or await actors.local_by_username(
                tx, username
            ):
                raise BadInput(_TAKEN, field="username")
            account = await self.insert_member(
                tx, username, email, name, role, specialty, keys=fresh,
                password_hash=password_hash, admin=admin,
            )  # fmt: skip
            if by is not None:
                detail = {"role": role.value, "admin": admin}
                await self._record(tx, by, "member_added", account.id, detail)
        return account

    async def insert_member(
        self,
        tx: Transaction,
        username: str,
        email: str,
        name: str,
        role: Role,
        specialty: Specialty | None,
        *,
        keys: keys.FreshKeys,
        password_hash: str,
        admin: bool = False,
    ) -> Account:
        """An account and its public actor, of fields that were checked, for a name that is free
        under the lock `accounts`. With an empty hash no password fits."""
        id = self._clock.random_id()
        actor = await actors.create_local(
            tx,
            self._urls,
            self._vault,
            self._clock,
            username=username,
            name=name,
            kind=ActorKind.PERSON,
            host=self._config.domain,
            keys=keys,
        )
        account = Account(
            id, actor.id, username, role, specialty, Standing.NEW, admin, self._clock.now()
        )
        await people.insert_account(
            tx,
            account,
            email_sealed=self._vault.seal(email.encode(), _email_purpose(id)),
            email_mac=self.email_mac(email),
            password_hash=password_hash,
        )
        return account

    def check_person(self, username: str, email: str, name: str) -> tuple[str, str, str]:
        """The three in the form in which they are stored; BadInput names the field."""
        return check_person(username, email, name, own=host_name(self._config.domain))

    def _check_password(self, password: str, username: str, email: str, field: str = "") -> None:
        local, _, domain = email.partition("@")
        own = self._config.domain
        personal = (username, email, local, domain, own, host_name(own), self._config.instance.name)
        check_rules(password, personal=personal, field=field or "password")

    # Signing in and out -----------------------------------------------------------------------

    async def log_in(
        self, name_or_email: str, password: str, *, address: str, previous: str | None = None
    ) -> SignedIn:
        """A fresh session, always with a token of its own making; `previous` is ended.

        NotSignedIn for an unknown name as for a wrong password; Forbidden for a suspended account
        (only to who knows its password); TooMany after too many tries.
        """
        if self._config.identity_provider.exclusive:
            raise Forbidden(f"Sign in with {self._config.identity_provider.name}.")
        name = name_or_email.strip().removeprefix("@").lower()[:320]
        # No account has a name that holds anything else; the database would not take it either.
        name = name if name.isprintable() else "-"
        account_key = self._vault.fingerprint(name, "login throttle")
        caller = network_of(address)
        self._tries_by_caller.take(caller)
        self._tries_by_account.take(account_key)
        if "@" in name:
            found = await people.login(self._db, email_mac=self.email_mac(name))
        else:
            found = await people.login(self._db, username=name)
        fits = await self._passwords.check(found.password_hash if found else None, password)
        if found is None or not fits:
            raise NotSignedIn(_WRONG)
        if found.account.standing is Standing.SUSPENDED:
            raise Forbidden(self._suspended())
        self._tries_by_caller.give_back(caller)
        self._tries_by_account.give_back(account_key)
        newer = None
        if self._passwords.outdated(found.password_hash):
            newer = await self._passwords.hash(password)
        async with self._db.transaction() as tx:
            now_stored = await people.login(tx, username=found.account.username)
            if now_stored is None or now_stored.password_hash != found.password_hash:
                raise NotSignedIn(_WRONG)  # the password was changed meanwhile
            if now_stored.account.standing is Standing.SUSPENDED:
                raise Forbidden(self._suspended())
            if newer is not None:
                await people.replace_password(tx, found.account.id, found.password_hash, newer)
            if previous:
                await people.delete_session(tx, self.session_mac(previous))
            await people.delete_expired_sessions(tx, self._clock.now())
            return await self.open_session(tx, now_stored.account)

    def _suspended(self) -> str:
        instance = self._config.instance
        who = instance.contact or f"the people who run {instance.name}"
        return f"This account is suspended until it is restored; write to {who} to learn why."

    async def session(self, token: str) -> Session | None:
        """Whose session a cookie names; None for an unknown, ended or expired one."""
        found = await people.session(self._db, self.session_mac(token), self._clock.now())
        stands = found is not None and found[0].standing is not Standing.SUSPENDED
        return Session(*found) if found is not None and stands else None

    def minted(self, token: str) -> bool:
        """Whether a cookie's session began here, ended or not; asks no database."""
        return self._vault.minted(token, "session")

    async def log_out(self, token: str) -> None:
        """End a session; ending one that is not there is fine."""
        async with self._db.transaction() as tx:
            await people.delete_session(tx, self.session_mac(token))

    async def sessions(self, account: Account, token: str) -> tuple[SessionLine, ...]:
        """Where the member is logged in, newest first; `token` is the asking session's."""
        mac = self.session_mac(token)
        rows = await people.sessions(self._db, account.id, self._clock.now())
        return tuple(
            SessionLine(row["created"], row["expires"], row["token_mac"] == mac) for row in rows
        )

    async def end_other_sessions(self, account: Account, token: str) -> None:
        """End every session of the member but the asking one."""
        async with self._db.transaction() as tx:
            await people.delete_other_sessions(tx, account.id, self.session_mac(token))

    async def change_password(
        self, account: Account, old: str, new: str, *, address: str
    ) -> SignedIn:
        """Set a new password, end every session and revoke every token; a fresh session."""
        found = await self.confirm_password(account, old, address=address)
        email = await self.email(account.id)
        self._check_password(new, account.username, email, field="new_password")
        password_hash = await self._passwords.hash(new)
        async with self._db.transaction() as tx:
            changed = await people.replace_password(
                tx, account.id, found.password_hash, password_hash
            )
            if not changed:
                raise Conflict("The password was changed meanwhile; log in again.")
            await people.delete_sessions(tx, account.id)
            await people.revoke_tokens(tx, account.id, self._clock.now())
            return await self.open_session(tx, found.account)

    async def confirm_password(self, account: Account, password: str, *, address: str) -> Login:
        """Whether it is really the member who is asking; BadInput if not, TooMany after many
        tries."""
        caller = network_of(address)
        account_key = self._vault.fingerprint(account.username, "login throttle")
        self._tries_by_caller.take(caller)
        self._tries_by_account.take(account_key)
        found = await people.login(self._db, username=account.username)
        fits = await self._passwords.check(found.password_hash if found else None, password)
        if found is None or not fits:
            raise BadInput("This is not your present password.", field="old_password")
        self._tries_by_caller.give_back(caller)
        self._tries_by_account.give_back(account_key)
        return found

    async def has_password(self, account: Account) -> bool:
        """Whether the member may log in by a password; who came by a provider has none at first."""
        found = await people.login(self._db, username=account.username)
        return found is not None and found.password_hash != ""

    async def set_password(self, username: str, *, by: str) -> str:
        """Give a member a fresh password and end every session; the password."""
        password = fresh_password()
        password_hash = await self._passwords.hash(password)
        async with self._db.transaction() as tx:
            account = await self._member(tx, username)
            found = await people.login(tx, username=account.username)
            if found is None or not await people.replace_password(
                tx, account.id, found.password_hash, password_hash
            ):
                raise Conflict("The password was changed meanwhile; try again.")
            await people.delete_sessions(tx, account.id)
            await self._record(tx, by, "password_set", account.id, {})
        return password

    async def open_session(self, tx: Transaction, account: Account) -> SignedIn:
        """A fresh session of a member who was let in."""
        token, csrf, now = self._vault.mint("session"), secrets.token_urlsafe(32), self._clock.now()
        expires = now + self._config.membership.session_days * DAY
        await people.put_session(tx, self.session_mac(token), account.id, csrf, now, expires)
        return SignedIn(account, token, csrf)

    # API tokens -------------------------------------------------------------------------------

    async def create_token(self, username: str, *, name: str = "command", by: str) -> str:
        """A token that acts for a member; shown once, stored as a digest."""
        token = "fedidoc_" + secrets.token_urlsafe(32)
        async with self._db.transaction() as tx:
            account = await self._member(tx, username)
            if account.standing is Standing.SUSPENDED:
                raise Conflict(f"{account.username} is suspended; restore the account first.")
            mac = self._vault.fingerprint(token, "api token")
            await people.put_token(tx, mac, account.id, name, self._clock.now())
            await self._record(tx, by, "token_created", account.id, {"name": name})
        return token

    async def token(self, text: str) -> Account | None:
        """Who a token acts for; None for an unknown or revoked one."""
        mac = self._vault.fingerprint(text if text.isascii() else "", "api token")
        account = await people.account_by_token(self._db, mac)
        if account is None or account.standing is Standing.SUSPENDED:
            return None
        return account

    # What an operator does --------------------------------------------------------------------

    async def list(self, *, after: str = "", limit: int = 100) -> Page[Account]:
        """Members by username."""
        found = await people.list_accounts(self._db, after=after, limit=limit + 1)
        page = tuple(found[:limit])
        return Page(page, page[-1].username if len(found) > limit else None)

    async def count(self) -> int:
        return await people.count_accounts(self._db)

    async def show(self, username: str) -> Account:
        """The account; NotFound names the way on."""
        return await self._member(self._db, username)

    async def email(self, account_id: str) -> str:
        """The e-mail address, unsealed."""
        sealed = await people.email_sealed(self._db, account_id)
        if sealed is None:
            raise NotFound()
        return self._vault.open(sealed, _email_purpose(account_id)).decode()

    async def suspend(self, username: str, *, reason: str, by: str) -> Account:
        """End a member's sessions, tokens and credential, and tell peers. Conflict if it is so."""
        reason = "".join(filter(str.isprintable, reason))[:1000]
        async with self._db.transaction() as tx:
            account = await self._member(tx, username)
            if not await people.suspend(tx, account.id):
                raise Conflict(f"{account.username} is suspended already.")
            now = self._clock.now()
            await people.delete_sessions(tx, account.id)
            await people.revoke_tokens(tx, account.id, now)
            await actors.set_suspended(tx, account.actor_id, now)
            if not await self._credentials.revoke(tx, account.actor_id):
                await self._tell(tx, account, now)
            await self._record(tx, by, "member_suspended", account.id, {"reason": reason})
            return await self._member(tx, username)

    async def restore(self, username: str, *, by: str) -> Account:
        """Undo a suspension; the credential is issued again to the same day. A member whose
        credential ran out meanwhile has to apply anew."""
        async with self._db.transaction() as tx:
            account = await self._member(tx, username)
            standing = await people.restore(tx, account.id)
            if standing is None:
                raise Conflict(f"{account.username} is not suspended.")
            await actors.set_suspended(tx, account.actor_id, None)
            renewed = False
            if standing is Standing.VERIFIED:
                renewed = await self._credentials.renew(tx, account.actor_id)
                if not renewed:
                    await people.move_standing(tx, account.id, [Standing.VERIFIED], Standing.NEW)
            if not renewed:
                await self._tell(tx, account, self._clock.now())
            await self._record(tx, by, "member_restored", account.id, {})
            return await self._member(tx, username)

    async def _member(self, reader: Reader, username: str) -> Account:
        account = await people.account_by_username(reader, username.removeprefix("@").lower())
        if account is None:
            raise NotFound("There is no member of that name; `fedidoc member list` shows them.")
        return account

    async def _tell(self, tx: Transaction, account: Account, now: int) -> None:
        event = Event(
            self._clock.sortable_id(), EventKind.ACTOR_UPDATED, account.actor_id,
            account.actor_id, now, {},
        )  # fmt: skip
        await queues.put_event(tx, event)

    async def _record(
        self, tx: Transaction, by: str, action: str, subject: str, detail: dict[str, Any]
    ) -> None:
        await moderation.append(tx, self._clock.now(), by, action, subject, detail)

    def session_mac(self, token: str) -> str:
        """What a session is stored under."""
        # A cookie may hold anything; ours are ASCII.
        return self._vault.fingerprint(token if token.isascii() else "", "session")

    def email_mac(self, email: str) -> str:
        """What an e-mail address is looked up by."""
        return self._vault.fingerprint(email.strip().lower(), "e-mail")


def _email_purpose(account_id: str) -> str:
    return f"e-mail of account {account_id}"
