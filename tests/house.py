"""One instance's rooms on a real database, without a server: for tests of members and reviews."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from argon2 import PasswordHasher

from fedidoc.accounts import Accounts
from fedidoc.accounts.passwords import Passwords
from fedidoc.clock import Clock, FrozenClock
from fedidoc.config import Config, Instance
from fedidoc.federation.urls import Urls
from fedidoc.model import Account, Actor, NotificationKind, Role, Specialty
from fedidoc.storage import actors, keys
from fedidoc.storage.engine import Database, Transaction
from fedidoc.vault import Vault
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.desk import Desks
from fedidoc.verification.documents import Clean, Documents
from fedidoc.verification.exclusions import Exclusions
from fedidoc.verification.lifetimes import Lifetimes
from fedidoc.verification.listings import Registers
from fedidoc.verification.mailbox import Mailboxes
from fedidoc.verification.national import NationalRegister
from fedidoc.verification.policy import Policy
from fedidoc.verification.recheck import Recheck
from fedidoc.verification.review import Claim, Review
from fedidoc.verification.standings import Notify
from fedidoc.verification.vouches import Belongings, Vouches
from fedidoc.verification.vouches import Notify as NotifyAbout

PASSWORD = "an uncommon sentence"
ADDRESS = "192.0.2.1"
CARDIOLOGY = Specialty("207RC0000X", "Cardiovascular Disease")
KEY = base64.b64encode(bytes(range(32))).decode()

# Quick parameters: what is tested is what is done with the hashes, not how slow they are.
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@functools.cache
def instance_keys() -> keys.FreshKeys:
    return keys.generate_keys()


@dataclass
class House:
    """`house.member("anna")`; `house.told` are the notifications that were left."""

    db: Database
    domain: str = "st-olaf.example"
    clock: FrozenClock = field(default_factory=FrozenClock)
    told: list[tuple[NotificationKind, str]] = field(default_factory=list)
    notify: Notify | None = None
    letters: list[tuple[str, str, str]] = field(default_factory=list)
    national: tuple[NationalRegister, ...] = ()

    def __post_init__(self) -> None:
        self.config = Config(instance=Instance(self.domain, name="St. Olaf Hospital"))
        self.vault = Vault.from_text(KEY)
        self.urls = Urls(f"https://{self.domain}")
        self.credentials = Credentials(self.db, self.clock, self.vault, self.urls)
        self.accounts = self.make_accounts(QUICK)
        self.use_policy(Policy.of({}))

    def use_policy(self, policy: Policy, *, four_eyes: bool = False) -> None:
        """As after a restart with other `[levels]`; the levels that were given stand."""
        self.policy = policy
        self.registers = Registers(self.db, self.clock, self.vault, national=self.national)
        self.exclusions = Exclusions(self.db)
        self.review = Review(
            self.db,
            self.clock,
            self.vault,
            self.registers,
            self.credentials,
            roles=[*self.config.membership.roles, "student"],
            notify=self._notify,
            policy=policy,
            four_eyes=four_eyes,
        )
        self.recheck = self.make_recheck()
        self.lifetimes = Lifetimes(
            self.db,
            self.clock,
            self.vault,
            self.credentials,
            self.review.standings,
            policy,
            notify=self._notify,
            write=self._write,
            page=f"https://{self.domain}/renewal",
            limit=self.recheck.limit,
        )

    def make_recheck(self, *revoke_on: str) -> Recheck:
        desks = Desks(self.vault, self.registers, self.exclusions, self.review.records, self.policy)
        return Recheck(
            self.db, self.clock, self.vault, self.registers, desks, self.review.standings,
            revoke_on=revoke_on,
        )  # fmt: skip

    async def _write(self, tx: Transaction, account_id: str, subject: str, text: str) -> None:
        self.letters.append((account_id, subject, text))

    def make_accounts(self, hasher: PasswordHasher, config: Config | None = None) -> Accounts:
        return Accounts(
            self.db,
            self.clock,
            self.vault,
            config or self.config,
            self.urls,
            self.credentials,
            passwords=Passwords(hasher),
        )

    def mailboxes(self, config: Config) -> Mailboxes:
        """Institutional addresses; letters end in `letters`."""
        return Mailboxes(
            self.db, self.clock, self.vault, config.evidence, self.review.records,
            settle=self._settle, send=self._send, base_url=f"https://{self.domain}",
            name=self.config.instance.name,
        )  # fmt: skip

    def documents(self, config: Config, clean: Callable[[bytes], Clean]) -> Documents:
        return Documents(
            self.db, self.clock, self.vault, config.document_folder, config.evidence,
            self.review.records, settle=self._settle, clean=clean,
        )  # fmt: skip

    def vouches(self, config: Config, notify: NotifyAbout | None = None) -> Vouches:
        """Vouches; from now on a suspension lets them fall."""

        async def tell(tx: Transaction, kind: NotificationKind, actor_id: str, _: str) -> None:
            self.told.append((kind, actor_id))

        made = Vouches(
            self.db, self.clock, self.vault, config.evidence, self.review.records,
            settle=self._settle, notify=notify or tell, domain=self.domain, urls=self.urls,
        )  # fmt: skip
        self.accounts._credentials = Belongings(self.credentials, made)
        return made

    async def _settle(self, tx: Transaction, account_id: str, by: str) -> bool:
        return await self.review.settle(tx, account_id, by)

    async def _send(
        self, tx: Transaction, to: str, subject: str, text: str, *, expires: int | None = None
    ) -> None:
        self.letters.append((to, subject, text))

    async def _notify(self, tx: Transaction, kind: NotificationKind, actor_id: str) -> None:
        self.told.append((kind, actor_id))
        if self.notify is not None:
            await self.notify(tx, kind, actor_id)

    async def start(self) -> House:
        async with self.db.transaction() as tx:
            await actors.create_instance(
                tx, self.urls, self.vault, Clock(), name="St. Olaf", host=self.domain,
                keys=instance_keys(),
            )  # fmt: skip
        return self

    async def sign_up(self, username: str = "anna", **changes: Any) -> Account:
        given: dict[str, Any] = {
            "username": username,
            "email": f"{username}@mail.example",
            "password": PASSWORD,
            "name": username.title(),
            "role": Role.PHYSICIAN,
            "specialty": CARDIOLOGY,
            "address": ADDRESS,
            **changes,
        }
        self.clock.advance(600_000)  # past the brake on sign-ups
        return await self.accounts.sign_up(**given)

    async def admin(self, username: str = "rita") -> Account:
        account, _ = await self.accounts.add_member(
            username, f"{username}@mail.example", username.title(), Role.STAFF, None,
            admin=True, by="operator",
        )  # fmt: skip
        return account

    async def verified(self, username: str = "anna") -> Account:
        account = await self.sign_up(username)
        await self.review.verify_directly(account.id, "known at the bedside", "operator")
        return await self.accounts.show(username)

    async def actor(self, account: Account) -> Actor:
        found = await actors.get(self.db, account.actor_id)
        assert found is not None
        return found

    async def audit(self) -> list[tuple[str, str, str]]:
        rows = await self.db.fetch_all("SELECT who, action, subject FROM audit ORDER BY number")
        return [(row["who"], row["action"], row["subject"]) for row in rows]

    async def events(self) -> list[tuple[str, str]]:
        rows = await self.db.fetch_all("SELECT kind, actor_id FROM events ORDER BY id")
        return [(row["kind"], row["actor_id"]) for row in rows]

    async def everything_stored(self) -> str:
        """Every value of every table as text, to search for what must not be readable."""
        found: list[str] = []
        for table in (
            "accounts", "sessions", "tokens", "applications", "evidence", "actors", "credentials",
            "proposals", "application_notes", "disposed_hits",
            "events", "audit", "tasks", "notifications", "mails", "mailbox_links", "mailboxes",
            "documents", "vouches",
        ):  # fmt: skip
            for row in await self.db.fetch_all(f"SELECT * FROM {table}"):
                found.append(json.dumps([_text(value) for value in tuple(row)]))
        return "\n".join(found)


def _text(value: object) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


def claim(**changes: Any) -> Claim:
    given: dict[str, Any] = {
        "legal_name": "Anna Müller-Lindqvist",
        "profession": Role.PHYSICIAN,
        "licence_number": "MD-778899",
        "jurisdiction": "US-NY",
        "npi": "1234567893",
        "specialty": CARDIOLOGY,
        "note": "",
        **changes,
    }
    return Claim(**given)


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    made = await House(database).start()
    yield made
    made.accounts.close()


@pytest.fixture
async def any_house(any_database: Database) -> AsyncIterator[House]:
    """Once on SQLite and once on PostgreSQL."""
    made = await House(any_database).start()
    yield made
    made.accounts.close()
