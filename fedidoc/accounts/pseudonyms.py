"""Pseudonyms as accounts of their own: logging in, and what their owners change.

Nothing here knows of an account of a person. How one comes to a pseudonym is in `enrolment`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from fedidoc.accounts.passkeys import Passkeys
from fedidoc.accounts.passwords import Passwords, check_rules
from fedidoc.accounts.throttle import Throttle, network_of
from fedidoc.clock import DAY, MINUTE, SECOND, Clock
from fedidoc.config import Config, host_name
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound, NotSignedIn
from fedidoc.model import Account, Right, Standing
from fedidoc.storage import crowds
from fedidoc.storage import pseudonyms as stored
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.storage.pseudonyms import Passkey, Pseudonym, PseudonymStanding
from fedidoc.vault import Vault

RECOVERY_CODES: Final = 8
_PASSKEYS: Final = 10
_RIGHTS: Final = frozenset({Right.READ, Right.ANSWER, Right.OPEN})
_WRONG: Final = "The handle or the passphrase is not right; check both and try again."


@dataclass(frozen=True, slots=True)
class PseudonymSession:
    """Who is asking, as an account of its own. `csrf` must come with every form."""

    account: Account
    csrf: str
    jitter: bool
    muted: bool


class LoggedIn(NamedTuple):
    account: Account
    token: str
    csrf: str


class Overview(NamedTuple):
    """What a pseudonym's own page shows. `until` is UTC milliseconds."""

    passkeys: tuple[str, ...]
    recovery_codes: int
    notices: tuple[tuple[str, str, int], ...]
    until: int
    jitter: bool
    muted: bool


class Pseudonyms:
    """The pseudonyms of this instance, seen from their owners' side."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        config: Config,
        passwords: Passwords,
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._config = config
        self._passwords = passwords
        origin = config.pseudonyms.origin or config.base_url
        self._passkeys = Passkeys(
            clock, vault, host_name(origin.partition("://")[2]), origin, config.instance.name
        )
        self._tries_by_handle = Throttle(clock, burst=10, every=MINUTE)
        self._tries_by_caller = Throttle(clock, burst=30, every=10 * SECOND)

    # Logging in -------------------------------------------------------------------------------

    async def log_in(
        self, handle: str, passphrase: str, *, address: str, previous: str | None = None
    ) -> LoggedIn:
        """A fresh session. NotSignedIn for an unknown handle as for a wrong passphrase."""
        handle = self._take_a_try(handle, address)
        found = await stored.by_handle(self._db, handle)
        hashed = await stored.passphrase_hash(self._db, found.id) if found else None
        waiting = None if found else await stored.waiting_by_handle(self._db, handle)
        if waiting is not None and waiting.passphrase_hash:
            hashed = waiting.passphrase_hash
        if not await self._passwords.check(hashed, passphrase):
            raise NotSignedIn(_WRONG)
        if found is None:
            raise Forbidden("This pseudonym opens with the next daily batch; come back tomorrow.")
        self._give_back(handle, address)
        return await self._begin(found, previous)

    async def log_in_by_passkey(
        self, answer: str, *, address: str, previous: str | None = None
    ) -> LoggedIn:
        """A fresh session by a passkey's answer (WebAuthn's AuthenticationResponseJSON)."""
        self._tries_by_caller.take(network_of(address))
        passkey = await stored.passkey(self._db, Passkeys.credential_id(answer))
        if passkey is None:
            raise BadInput("No pseudonym here has this passkey.", field="passkey")
        counted = self._passkeys.check(answer, passkey.public_key, passkey.sign_count)
        pseudonym = await stored.get(self._db, passkey.pseudonym_id)
        if pseudonym is None:
            raise BadInput("No pseudonym here has this passkey.", field="passkey")
        async with self._db.transaction() as tx:
            if not await stored.set_sign_count(
                tx, passkey.credential_id, passkey.sign_count, counted
            ):
                raise Conflict("This passkey was just used; try again.")
        self._tries_by_caller.give_back(network_of(address))
        return await self._begin(pseudonym, previous)

    async def recover(self, handle: str, code: str, passphrase: str, *, address: str) -> LoggedIn:
        """Use a recovery code up for a new passphrase; every other session ends."""
        handle = self._take_a_try(handle, address)
        found = await stored.by_handle(self._db, handle)
        check_passphrase(self._config, passphrase, handle)
        hashed = await self._passwords.hash(passphrase)
        async with self._db.transaction() as tx:
            mac = recovery_mac(self._vault, found.id if found else "", code)
            if found is None or not await stored.use_recovery(tx, found.id, mac):
                raise NotSignedIn("The handle or the recovery code is not right.")
            await stored.set_passphrase(tx, found.id, hashed)
            await stored.delete_sessions(tx, found.id)
        self._give_back(handle, address)
        return await self._begin(found, None)

    def _take_a_try(self, handle: str, address: str) -> str:
        handle = handle.strip().removeprefix("@").lower()[:64]
        handle = handle if handle.isascii() and handle.isprintable() else "-"
        self._tries_by_caller.take(network_of(address))
        self._tries_by_handle.take(self._vault.fingerprint(handle, "pseudonym throttle"))
        return handle

    def _give_back(self, handle: str, address: str) -> None:
        self._tries_by_caller.give_back(network_of(address))
        self._tries_by_handle.give_back(self._vault.fingerprint(handle, "pseudonym throttle"))

    async def _begin(self, pseudonym: Pseudonym, previous: str | None) -> LoggedIn:
        if pseudonym.standing is PseudonymStanding.SUSPENDED:
            raise Forbidden(await self._why_suspended(pseudonym))
        token, csrf = self._vault.mint("session"), secrets.token_urlsafe(32)
        now = self._clock.now()
        expires = now // DAY * DAY + (1 + self._config.membership.session_days) * DAY
        async with self._db.transaction() as tx:
            if previous:
                await stored.delete_session(tx, self._session_mac(previous))
            await stored.delete_expired_sessions(tx, now)
            await stored.put_session(tx, self._session_mac(token), pseudonym.id, csrf, expires)
        return LoggedIn(await self._account(pseudonym), token, csrf)

    async def _why_suspended(self, pseudonym: Pseudonym) -> str:
        """The owner knows the passphrase: they are told what the moderators said."""
        told = await stored.notices(self._db, pseudonym.id)
        words = " ".join(words for _, words, _ in told[:3])
        return f"This pseudonym is suspended for its enrolment year. {words}".strip()

    async def session(self, token: str) -> PseudonymSession | None:
        """Whose session a cookie names; None for an unknown, ended or expired one."""
        found = await stored.session(self._db, self._session_mac(token), self._clock.now())
        if found is None or found[0].standing is PseudonymStanding.SUSPENDED:
            return None
        pseudonym, csrf = found
        muted = pseudonym.standing is PseudonymStanding.MUTED
        return PseudonymSession(await self._account(pseudonym), csrf, pseudonym.jitter, muted)

    async def log_out(self, token: str) -> None:
        """End a session; ending one that is not there is fine."""
        async with self._db.transaction() as tx:
            await stored.delete_session(tx, self._session_mac(token))

    # What its owner changes -------------------------------------------------------------------

    async def overview(self, account: Account) -> Overview:
        pseudonym = await self._own(self._db, account)
        return Overview(
            tuple(p.credential_id for p in await stored.passkeys_of(self._db, pseudonym.id)),
            await stored.count_recovery(self._db, pseudonym.id),
            tuple(await stored.notices(self._db, pseudonym.id)),
            ends(pseudonym.year),
            pseudonym.jitter,
            pseudonym.standing is PseudonymStanding.MUTED,
        )

    async def change_passphrase(
        self, account: Account, old: str, new: str, *, address: str
    ) -> LoggedIn:
        """Set a new passphrase and end every session; a fresh one."""
        handle = self._take_a_try(account.username, address)
        hashed = await stored.passphrase_hash(self._db, account.id)
        if not await self._passwords.check(hashed, old):
            raise BadInput("This is not your present passphrase.", field="old_passphrase")
        check_passphrase(self._config, new, handle)
        fresh = await self._passwords.hash(new)
        self._give_back(handle, address)
        async with self._db.transaction() as tx:
            pseudonym = await self._own(tx, account)
            await stored.set_passphrase(tx, pseudonym.id, fresh)
            await stored.delete_sessions(tx, pseudonym.id)
        return await self._begin(pseudonym, None)

    async def set_jitter(self, account: Account, jitter: bool) -> None:
        """Whether posts leave for other servers up to half an hour later, by chance."""
        async with self._db.transaction() as tx:
            await stored.set_jitter(tx, account.id, jitter)

    async def replace_recovery_codes(self, account: Account) -> tuple[str, ...]:
        """New recovery codes; those from before are void."""
        fresh = fresh_recovery_codes()
        macs = [recovery_mac(self._vault, account.id, each) for each in fresh]
        async with self._db.transaction() as tx:
            await stored.replace_recovery(tx, account.id, macs)
        return fresh

    async def passkey_options(self, account: Account) -> str:
        """What the browser is to ask for a new passkey, as JSON."""
        known = await stored.passkeys_of(self._db, account.id)
        return self._passkeys.registration(account.username, [p.credential_id for p in known])

    def log_in_options(self) -> str:
        """What the browser is to ask for a log-in by any passkey, as JSON."""
        return self._passkeys.log_in([])

    async def add_passkey(self, account: Account, answer: str) -> None:
        """Keep a new passkey. BadInput (field `passkey`)."""
        made = self._passkeys.register(answer)
        async with self._db.transaction() as tx:
            if len(await stored.passkeys_of(tx, account.id)) >= _PASSKEYS:
                raise BadInput("Remove a passkey before you add another.", field="passkey")
            if await stored.passkey(tx, made.credential_id):
                raise BadInput("This passkey is known already.", field="passkey")
            await stored.put_passkey(
                tx, Passkey(made.credential_id, account.id, made.public_key, made.sign_count)
            )

    async def remove_passkey(self, account: Account, credential_id: str) -> None:
        async with self._db.transaction() as tx:
            await stored.delete_passkey(tx, account.id, credential_id)

    # Shared -----------------------------------------------------------------------------------

    async def _account(self, pseudonym: Pseudonym) -> Account:
        """The pseudonym as an account that the clinical rooms know. Past its year it reads
        nothing, and waits to be renewed. It never vouches, and founds nothing."""
        holds = ends(pseudonym.year) > self._clock.now()
        rights = _RIGHTS & await crowds.common_rights(self._db, pseudonym.profession)
        if pseudonym.standing is PseudonymStanding.MUTED:
            rights &= {Right.READ}
        return Account(
            id=pseudonym.id,
            actor_id=pseudonym.actor_id,
            username=pseudonym.handle,
            role=pseudonym.profession,
            specialty=pseudonym.specialty,
            standing=Standing.VERIFIED if holds else Standing.NEW,
            admin=False,
            created=begins(pseudonym.year),
            rights=rights,
            pseudonymous=True,
        )

    async def _own(self, reader: Reader | Transaction, account: Account) -> Pseudonym:
        found = await stored.get(reader, account.id)
        if found is None:
            raise NotFound
        return found

    def _session_mac(self, token: str) -> str:
        return self._vault.fingerprint(token if token.isascii() else "", "pseudonym session")


def check_passphrase(config: Config, passphrase: str, handle: str) -> None:
    """BadInput (field `passphrase`) unless it may be used."""
    personal = (handle, config.domain, host_name(config.domain), config.instance.name)
    check_rules(passphrase, personal=personal, field="passphrase")


def recovery_mac(vault: Vault, pseudonym_id: str, code: str) -> str:
    """What is stored of a recovery code."""
    bare = "".join(c for c in code.lower() if c.isalnum())
    return vault.fingerprint(f"{pseudonym_id} {bare}", "recovery code")


def fresh_recovery_codes() -> tuple[str, ...]:
    """Codes of 60 random bits in three groups."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return tuple(
        "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(3))
        for _ in range(RECOVERY_CODES)
    )


def year_of(now: int) -> int:
    return datetime.fromtimestamp(now // 1000, UTC).year


def begins(year: int) -> int:
    """The first moment of an enrolment year, UTC milliseconds."""
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)


def ends(year: int) -> int:
    """When a pseudonym of an enrolment year is over unless it is renewed: a month into the next,
    so that there is time for the new code."""
    return int(datetime(year + 1, 2, 1, tzinfo=UTC).timestamp() * 1000)
