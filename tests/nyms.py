"""A house where physicians may have pseudonyms, with officers whose keys are at hand."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedidoc.accounts.activation import Activated, Activation
from fedidoc.accounts.enrolment import Enrolment
from fedidoc.accounts.openings import Openings
from fedidoc.accounts.passwords import Passwords
from fedidoc.accounts.pseudonyms import Pseudonyms
from fedidoc.clock import DAY, DayClock
from fedidoc.config import Config, OfficerKey, PseudonymRules
from fedidoc.model import Account
from fedidoc.storage import people
from fedidoc.storage import pseudonyms as stored
from fedidoc.verification.credentials import Credentials
from tests.house import ADDRESS, QUICK, House

PASSPHRASE = "a sentence of another kind"
CROWD = 5


def officer_keys(*names: str) -> dict[str, X25519PrivateKey]:
    return {name: X25519PrivateKey.generate() for name in names or ("ada", "ben", "cleo")}


def with_pseudonyms(
    config: Config, keys: dict[str, X25519PrivateKey], *, threshold: int = 2, **rules: Any
) -> Config:
    """The configuration with these officers."""
    officers = {
        name: OfficerKey(
            base64.b64encode(key.public_key().public_bytes_raw()).decode(), f"Society {name}"
        )
        for name, key in keys.items()
    }
    given: dict[str, Any] = {"threshold": threshold, "crowd": CROWD, **rules}
    return replace(config, officers=officers, pseudonyms=PseudonymRules(**given))


@dataclass
class Nyms:
    """The rooms of pseudonyms over a house; `await nyms.crowd()` first."""

    house: House
    keys: dict[str, X25519PrivateKey] = field(default_factory=officer_keys)
    threshold: int = 2
    kept: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        house = self.house
        db, clock, vault = house.db, house.clock, house.vault
        self.config = with_pseudonyms(house.config, self.keys, threshold=self.threshold)
        passwords = Passwords(QUICK)
        self.enrolment = Enrolment(db, clock, vault, self.config, passwords)
        self.accounts = Pseudonyms(db, clock, vault, self.config, passwords=passwords)
        self.openings = Openings(db, clock, self.config, house.credentials)
        months = DayClock(clock, months=True)
        self.activation = Activation(
            db, clock, vault, self.config, house.urls,
            Credentials(db, months, vault, house.urls, valid_days=397),
            settle_files=self._no_files,
        )  # fmt: skip

    async def _no_files(self) -> None:
        """There is no media folder here."""

    async def crowd(self, number: int = CROWD) -> list[Account]:
        """So many verified physicians, each of whom was handed this year's code."""
        members = []
        for name in ("anna", "bert", "carla", "dirk", "emil", "fritz", "gina", "hanna")[:number]:
            if await people.account_by_username(self.house.db, name) is None:
                await self.house.verified(name)
            members.append(await self.house.accounts.show(name))
        return members

    async def code(self, username: str) -> str:
        """This year's code of a member, who keeps it."""
        account = await self.house.accounts.show(username)
        kept = (username, self.enrolment.year)
        if kept not in self.kept:
            code = await self.enrolment.hand_out(account)
            assert code is not None
            self.kept[kept] = code
        return self.kept[kept]

    async def enrol(self, username: str, handle: str, **more: Any) -> tuple[str, ...]:
        """Everybody of the crowd is handed a code; `username` uses theirs."""
        for account in await self.crowd():
            await self.code(account.username)
        return await self.enrolment.enrol(
            await self.code(username), handle, PASSPHRASE, address=ADDRESS, **more
        )

    async def open(self) -> Activated:
        self.house.clock.advance(DAY)
        return await self.activation.run()

    async def made(self, username: str, handle: str, **more: Any) -> stored.Pseudonym:
        await self.enrol(username, handle, **more)
        await self.open()
        found = await stored.by_handle(self.house.db, handle)
        assert found is not None
        return found
