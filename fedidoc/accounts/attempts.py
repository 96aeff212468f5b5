"""Sign-ins that were begun and have not come back from the identity provider yet.

What one is made with (state, nonce, code verifier, where to go on to) is sealed into a cookie of
the browser that began it, lasts ten minutes, and is good once: the database remembers states that
came back. So nothing is stored for who only knocks, a restart or another worker does not matter,
and an answer that is brought to another browser opens nothing.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import dataclass, fields
from typing import Final

from fedidoc.accounts.provider import Secrets
from fedidoc.accounts.refusals import SignInRefused
from fedidoc.clock import MINUTE, SECOND, Clock
from fedidoc.errors import ConfigError
from fedidoc.storage import logins
from fedidoc.storage.engine import Database
from fedidoc.vault import Vault

LASTS: Final = 10 * MINUTE
_SEAL: Final = "sign-in"


@dataclass(frozen=True, slots=True)
class Attempt:
    """`account_id` is whose account the login is linked to, "" if none's; `pass_` the operator's
    link that it began with."""

    state: str
    nonce: str
    verifier: str
    onward: str
    began: int
    account_id: str
    pass_: str

    @property
    def secrets(self) -> Secrets:
        return Secrets(self.state, self.nonce, self.verifier)


class Attempts:
    """Makes attempts, seals them for a cookie, and takes each back once."""

    def __init__(self, db: Database, clock: Clock, vault: Vault) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault

    def fresh(self, onward: str, account_id: str, pass_: str) -> Attempt:
        return Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            onward=onward,
            began=self._clock.now(),
            account_id=account_id,
            pass_=pass_,
        )

    def seal(self, attempt: Attempt) -> str:
        """The cookie's value."""
        text = json.dumps([getattr(attempt, field.name) for field in fields(Attempt)])
        return base64.urlsafe_b64encode(self._vault.seal(text.encode(), _SEAL)).decode()

    async def take(self, cookie: str, state: str) -> Attempt:
        """The attempt that a browser began, used up. SignInRefused if it is not this browser's
        (`not_begun`), too old (`too_late`) or was used before (`used_up`)."""
        try:
            sealed = base64.b64decode(cookie.encode(), altchars=b"-_", validate=True)
            attempt = Attempt(*json.loads(self._vault.open(sealed, _SEAL)))
        except (ConfigError, ValueError, TypeError):
            raise SignInRefused("not_begun") from None
        if not hmac.compare_digest(attempt.state.encode(), state.encode(errors="replace")):
            raise SignInRefused("not_begun")
        now = self._clock.now()
        if not attempt.began - SECOND <= now < attempt.began + LASTS:
            raise SignInRefused("too_late")
        mac = self._vault.fingerprint(attempt.state, "sign-in state")
        async with self._db.transaction() as tx:
            if not await logins.spend(tx, mac, attempt.began + LASTS):
                raise SignInRefused("used_up")
        return attempt
