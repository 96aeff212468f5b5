"""Signing in by the house's identity provider: what leaves, what comes back, and whom it is.

A login is the pair of issuer and subject, kept as a keyed digest. E-mail addresses never link
anything: whoever could have one written into the provider could take an account over. A member
links a login with their password, or with a pass of the operator's.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from fedidoc.accounts import mapping
from fedidoc.accounts.attempts import Attempt, Attempts
from fedidoc.accounts.id_tokens import NotBelieved
from fedidoc.accounts.mapping import Person
from fedidoc.accounts.members import Accounts, SignedIn
from fedidoc.accounts.passes import Passes, Purpose
from fedidoc.accounts.provider import Attested, Provider
from fedidoc.accounts.provider_http import Away
from fedidoc.accounts.refusals import SignInRefused
from fedidoc.accounts.throttle import Throttle, network_of
from fedidoc.clock import SECOND, Clock
from fedidoc.config import Config
from fedidoc.errors import BadInput, ConfigError, Conflict, NotFound
from fedidoc.log import Log
from fedidoc.model import Account, Role, Standing
from fedidoc.storage import actors, keys, logins, moderation, people
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.logins import Login
from fedidoc.vault import Vault

RETURN_PATH: Final = "/log-in/provider/return"
LEFT_PATH: Final = "/log-in/provider/left"
BY: Final = "identity provider"
_NAMES_TRIED: Final = 50

_log = Log("sign_in")


class Verifier(Protocol):
    """What the provider's word on a profession leads to."""

    async def attest(
        self,
        tx: Transaction,
        account_id: str,
        *,
        role: Role,
        specialty: str,
        jurisdiction: str,
        licence: str,
        npi: str,
        staff_id: str,
        name: str,
    ) -> None: ...
    async def retract(self, tx: Transaction, account_id: str) -> None: ...


class Begun(NamedTuple):
    """Where the browser goes, and the cookie that it takes along."""

    url: str
    cookie: str


class Finished(NamedTuple):
    """A fresh session, and the path to go on to. `created`, `linked`: what came of it."""

    session: SignedIn
    onward: str
    created: bool
    linked: bool


class SignIn:
    """The identity provider's door. All methods raise SignInRefused with what to do."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        config: Config,
        accounts: Accounts,
        passes: Passes,
        provider: Provider,
        verifier: Verifier,
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._rules = config.identity_provider
        self._roles = frozenset(config.membership.roles)
        self._base = config.base_url
        self._accounts = accounts
        self._passes = passes
        self._provider = provider
        self._verifier = verifier
        self._attempts = Attempts(db, clock, vault)
        self._tries = Throttle(clock, burst=100, every=SECOND)

    @property
    def name(self) -> str:
        """How people here call the provider."""
        return self._rules.name

    # Leaving ----------------------------------------------------------------------------------

    async def begin(self, onward: str, *, pass_: str = "") -> Begun:
        """Begin to sign in; with a pass of the operator's, to link the login to its account."""
        account_id = ""
        if pass_:
            account, purpose = await self._passes.see(pass_)
            if purpose is not Purpose.LINK:
                raise NotFound
            account_id = account.id
        return await self._begin(onward, account_id, pass_)

    async def begin_to_link(
        self, account: Account, password: str, onward: str, *, address: str
    ) -> Begun:
        """Begin to link a login to a member's account; BadInput if the password is not theirs."""
        await self._accounts.confirm_password(account, password, address=address)
        return await self._begin(onward, account.id, "")

    async def _begin(self, onward: str, account_id: str, pass_: str) -> Begun:
        attempt = self._attempts.fresh(onward, account_id, pass_)
        try:
            url = await self._provider.authorization_url(attempt.secrets, self._base + RETURN_PATH)
        except (Away, NotBelieved) as error:
            _log.warning("not_begun", reason=error.reason)
            raise _refused(error) from error
        return Begun(url, self._attempts.seal(attempt))

    # Coming back ------------------------------------------------------------------------------

    async def finish(
        self,
        cookie: str,
        answer: Mapping[str, str],
        *,
        present: Account | None,
        previous: str | None,
        address: str,
    ) -> Finished:
        """What the provider's answer leads to: a session of the member who signed in.

        `answer` are the parameters that came, `present` is who is logged in here meanwhile,
        `previous` the token of that session, which ends.
        """
        try:
            return await self._finish(cookie, answer, present, previous, address)
        except SignInRefused as error:
            _log.info("refused", reason=error.reason)
            raise

    async def _finish(
        self,
        cookie: str,
        answer: Mapping[str, str],
        present: Account | None,
        previous: str | None,
        address: str,
    ) -> Finished:
        attempt = await self._attempts.take(cookie, answer.get("state", ""))
        if (
            attempt.account_id
            and not attempt.pass_
            and (present is None or present.id != attempt.account_id)
        ):
            raise SignInRefused("not_yours")
        self._tries.take(network_of(address))
        try:
            await self._provider.check_issuer(answer.get("iss"))
            if "error" in answer:
                cancelled = answer["error"] in ("access_denied", "interaction_required")
                raise NotBelieved("cancelled" if cancelled else "provider_error")
            if not answer.get("code"):
                raise NotBelieved("provider_error")
            attested = await self._provider.redeem(
                answer["code"], attempt.secrets, self._base + RETURN_PATH
            )
        except (Away, NotBelieved) as error:
            raise _refused(error) from error
        person = mapping.read(self._rules, attested.claims)
        return await self._let_in(attempt, attested, person, previous)

    async def _let_in(
        self, attempt: Attempt, attested: Attested, person: Person, previous: str | None
    ) -> Finished:
        subject_mac = self._subject_mac(attested.subject)
        await self._turn_away(subject_mac, person)
        known = await logins.by_subject(self._db, subject_mac)
        fresh = None
        if known is None and not attempt.account_id:
            fresh = await asyncio.to_thread(keys.generate_keys)
        async with self._db.transaction() as tx:
            await tx.lock("accounts")
            login = await logins.by_subject(tx, subject_mac)
            created = linked = False
            if attempt.account_id:
                login = await self._link(tx, attempt, login, subject_mac)
                linked = True
            elif login is None:
                if fresh is None:
                    raise SignInRefused("again")  # unlinked while the keys were not yet made
                login = await self._enrol(tx, person, subject_mac, fresh)
                created = True
            account = await people.account(tx, login.account_id)
            if account is None or account.standing is Standing.SUSPENDED:
                raise SignInRefused("suspended")
            await self._apply(tx, account, login, person)
            if previous:
                await people.delete_session(tx, self._accounts.session_mac(previous))
            await people.delete_expired_sessions(tx, self._clock.now())
            account = await people.account(tx, account.id) or account
            session = await self._accounts.open_session(tx, account)
            await self._mark(tx, session, login, attested)
        return Finished(session, attempt.onward, created, linked)

    async def _turn_away(self, subject_mac: str, person: Person) -> None:
        """Refuse who may not sign in (any more), and take from them what the provider gave."""
        if person.groups_elsewhere and (self._rules.groups or self._rules.required_group):
            raise SignInRefused("groups_elsewhere")
        if person.admitted:
            return
        async with self._db.transaction() as tx:
            await tx.lock("accounts")
            login = await logins.by_subject(tx, subject_mac)
            account = await people.account(tx, login.account_id) if login else None
            if login is not None and account is not None:
                await self._verifier.retract(tx, account.id)
                await self._set_admin(tx, account, login, False)
                await logins.end_sessions(tx, login_id=login.id)
        raise SignInRefused("group")

    async def _link(
        self, tx: Transaction, attempt: Attempt, login: Login | None, subject_mac: str
    ) -> Login:
        if attempt.pass_:
            await self._passes.take(tx, attempt.pass_, Purpose.LINK)
        if login is not None and login.account_id != attempt.account_id:
            raise SignInRefused("taken")
        if login is None:
            before = await logins.by_account(tx, attempt.account_id)
            if before is not None:
                # The provider has another login for them now; there is one at a time.
                await self._set_admin(tx, await self._account(tx, before), before, False)
                await logins.delete(tx, before.id)
            login = await self._insert(tx, attempt.account_id, subject_mac)
            by = BY if attempt.pass_ else attempt.account_id
            await self._record(tx, by, "login_linked", attempt.account_id)
        return login

    async def _enrol(
        self, tx: Transaction, person: Person, subject_mac: str, fresh: keys.FreshKeys
    ) -> Login:
        """An account for somebody who was never here."""
        if not self._rules.sign_up:
            raise SignInRefused("unknown")
        role = person.role if person.role and person.role.value in self._roles else None
        if role is None and person.admin:
            role = Role.STAFF
        if role is None:
            raise SignInRefused("profession")
        username, email, name = await self._name(tx, person)
        if (await people.login(tx, email_mac=self._accounts.email_mac(email))) is not None:
            raise SignInRefused("email_taken")
        account = await self._accounts.insert_member(
            tx, username, email, name, role, None, keys=fresh, password_hash=""
        )
        await self._record(tx, BY, "member_enrolled", account.id, role=role.value)
        return await self._insert(tx, account.id, subject_mac)

    async def _name(self, tx: Transaction, person: Person) -> tuple[str, str, str]:
        """What the account is called. A username that is taken gets a number."""
        fault = "username"
        for number in range(1, _NAMES_TRIED + 1):
            wanted = person.username if number == 1 else f"{person.username}{number}"
            try:
                checked = self._accounts.check_person(wanted, person.email, person.name)
            except BadInput as error:
                fault = error.field or fault
                if fault != "username" or not person.username:
                    break
                continue
            if (
                await people.account_by_username(tx, checked[0]) is None
                and await actors.local_by_username(tx, checked[0]) is None
            ):
                return checked
        raise SignInRefused(f"no_{fault}")

    async def _apply(self, tx: Transaction, account: Account, login: Login, person: Person) -> None:
        """What the provider says of a member today."""
        if self._rules.verifies:
            if person.role is not None and person.role.value in self._roles:
                await self._verifier.attest(
                    tx, account.id, role=person.role, specialty=person.specialty,
                    jurisdiction=person.jurisdiction, licence=person.licence, npi=person.npi,
                    staff_id=person.staff_id, name=person.name,
                )  # fmt: skip
            else:
                await self._verifier.retract(tx, account.id)
        gave = await self._set_admin(tx, account, login, person.admin)
        await logins.use(tx, login.id, self._clock.now(), gave_admin=gave)

    async def _set_admin(
        self, tx: Transaction, account: Account, login: Login, admin: bool
    ) -> bool:
        """Follow the provider's group of admins; whether the account is an admin by it.

        Who was made an admin here stays one whatever the groups say.
        """
        if admin and not account.admin:
            await people.set_admin(tx, account.id, True)
            await self._record(tx, BY, "admin_given", account.id)
            return True
        if not admin and login.gave_admin:
            await people.set_admin(tx, account.id, False)
            await self._record(tx, BY, "admin_taken", account.id)
            if not await logins.count_admins(tx):
                _log.warning("no_admin_left")
            return False
        return login.gave_admin

    async def _insert(self, tx: Transaction, account_id: str, subject_mac: str) -> Login:
        id, now = self._clock.random_id(), self._clock.now()
        if not await logins.insert(tx, id, account_id, subject_mac, now):
            raise SignInRefused("taken")
        return Login(id, account_id, now, now, False)

    async def _mark(
        self, tx: Transaction, session: SignedIn, login: Login, attested: Attested
    ) -> None:
        mac = self._accounts.session_mac(session.token)
        hint = self._vault.seal(attested.id_token.encode(), _hint_purpose(mac))
        sid_mac = self._sid_mac(attested.sid) if attested.sid else None
        await logins.mark_session(tx, mac, login.id, sid_mac, hint)

    # A member's login -------------------------------------------------------------------------

    async def login(self, account: Account) -> Login | None:
        """The login that is linked to an account."""
        return await logins.by_account(self._db, account.id)

    async def unlink(self, account: Account, password: str, *, address: str) -> None:
        """Take a member's login away; their sessions that began with it end.

        BadInput if the password is not theirs; who has none would lock themselves out.
        """
        if self._rules.only:
            raise Conflict(f"Everybody signs in with {self.name} here; it cannot be unlinked.")
        await self._accounts.confirm_password(account, password, address=address)
        async with self._db.transaction() as tx:
            await tx.lock("accounts")
            found = await logins.by_account(tx, account.id)
            if found is None:
                raise Conflict("No login is linked to your account.")
            fresh = await self._account(tx, found)
            await self._verifier.retract(tx, account.id)
            await self._set_admin(tx, fresh, found, False)
            await logins.delete(tx, found.id)
            await self._record(tx, account.id, "login_unlinked", account.id)

    # Leaving for good -------------------------------------------------------------------------

    async def log_out(self, token: str) -> str | None:
        """End a session; the provider's address at which it ends there too, if it began there."""
        mac = self._accounts.session_mac(token)
        hint = await logins.hint(self._db, mac)
        await self._accounts.log_out(token)
        if hint is None:
            return None
        state = base64.urlsafe_b64encode(self._vault.seal(b"", "log-out")).decode()
        try:
            return await self._provider.farewell_url(
                self._vault.open(hint, _hint_purpose(mac)).decode(), self._base + LEFT_PATH, state
            )
        except (Away, NotBelieved) as error:
            _log.warning("no_farewell", reason=error.reason)
            return None

    def has_left(self, state: str) -> bool:
        """Whether somebody comes back from a log-out that began here."""
        try:
            sealed = base64.b64decode(state.encode(), altchars=b"-_", validate=True)
            return self._vault.open(sealed, "log-out") == b""
        except (ConfigError, ValueError, binascii.Error):
            return False

    async def end_from_afar(self, token: str) -> int:
        """A back-channel logout: end the sessions that it names; how many. SignInRefused if it is
        not to be believed, or was seen before."""
        try:
            notice = await self._provider.logout_notice(token)
        except (Away, NotBelieved) as error:
            _log.info("logout_refused", reason=error.reason)
            raise _refused(error) from error
        async with self._db.transaction() as tx:
            jti_mac = self._vault.fingerprint(notice.jti, "logout token")
            if not await logins.spend(tx, jti_mac, notice.expires * 1000):
                raise SignInRefused("used_up")
            if notice.sid is not None:
                ended = await logins.end_sessions(tx, sid_mac=self._sid_mac(notice.sid))
            else:
                login = await logins.by_subject(tx, self._subject_mac(notice.subject or ""))
                ended = await logins.end_sessions(tx, login_id=login.id) if login else 0
        _log.info("logged_out_from_afar", count=ended)
        return ended

    async def _account(self, tx: Transaction, login: Login) -> Account:
        account = await people.account(tx, login.account_id)
        if account is None:
            raise NotFound
        return account

    async def _record(
        self, tx: Transaction, by: str, action: str, subject: str, **detail: Any
    ) -> None:
        await moderation.append(tx, self._clock.now(), by, action, subject, detail)

    def _subject_mac(self, subject: str) -> str:
        return self._vault.fingerprint(f"{self._rules.issuer}\0{subject}", "login")

    def _sid_mac(self, sid: str) -> str:
        return self._vault.fingerprint(f"{self._rules.issuer}\0{sid}", "login session")


def _hint_purpose(session_mac: str) -> str:
    return f"login hint of session {session_mac}"


def _refused(error: Away | NotBelieved) -> SignInRefused:
    """What a member is told; the log has what exactly was wrong with the provider."""
    if isinstance(error, Away):
        _log.warning("provider_away", reason=error.reason)
        return SignInRefused("away")
    return SignInRefused(error.reason)
