"""Whole instances in one process, on real databases, talking over real loopback sockets.

    hospital = await network.instance("hospital")
    society = await network.instance("society")
    await network.befriend(hospital, society)
    ada = await hospital.member("ada")
    await network.settle()          # everything that is due has been done, everywhere

Nothing is patched: requests are signed, sent, verified and stored as in production.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from argon2 import PasswordHasher

from fedidoc.accounts import Accounts
from fedidoc.accounts.passwords import Passwords
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard
from fedidoc.activitypub.signatures import Scheme, SigningKey, sign
from fedidoc.clinical.blocks import Blocks
from fedidoc.clinical.cases import Cases
from fedidoc.clinical.follows import Follows
from fedidoc.clinical.media import Pictures
from fedidoc.clinical.moves import Moves
from fedidoc.clinical.reports import Reports
from fedidoc.clock import FrozenClock
from fedidoc.config import (
    Config,
    EvidenceRules,
    Federation,
    Instance,
    Secrets,
    Server,
    TrustListRules,
)
from fedidoc.federation.badges import Badges
from fedidoc.federation.copying import Copying
from fedidoc.federation.expansion import Expansion
from fedidoc.federation.handlers import Clinic
from fedidoc.federation.inbox import Inbox
from fedidoc.federation.keyring import Keyring
from fedidoc.federation.outbox import Outbox
from fedidoc.federation.peering import Peering
from fedidoc.federation.publications import Publications
from fedidoc.federation.reading import Reading
from fedidoc.federation.remote import Remote
from fedidoc.federation.rounds import Rounds
from fedidoc.federation.signing import InstanceSigner, SigningKeys
from fedidoc.federation.subscribing import KIND as SUBSCRIBING
from fedidoc.federation.subscribing import Subscribing
from fedidoc.federation.tasks import Acquaintance, Tasks
from fedidoc.federation.urls import Urls
from fedidoc.federation.vouching import Asking
from fedidoc.jobs import Lane, Runner
from fedidoc.log import Log
from fedidoc.model import Account, Actor, NotificationKind, Role, Specialty
from fedidoc.storage import actors, keys
from fedidoc.storage.engine import Database, Transaction
from fedidoc.vault import Vault, fresh_key
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.far_vouches import FarVouches
from fedidoc.verification.lifetimes import Lifetimes
from fedidoc.verification.listings import Registers
from fedidoc.verification.policy import Policy
from fedidoc.verification.publishing import Publishing
from fedidoc.verification.review import Review
from fedidoc.verification.subscriptions import Subscriptions
from fedidoc.verification.trust import Trust
from fedidoc.verification.vouches import Belongings, Vouches
from fedidoc.web import server
from fedidoc.web.protocol import Protocol, Receive, Scope, Send
from tests.instance import free_port

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
CARDIOLOGY = Specialty("207RC0000X", "Cardiovascular Disease")


@functools.cache
def _key_pool(number: int) -> keys.FreshKeys:
    return keys.generate_keys()


_next_key = itertools.count()


def fresh_keys() -> keys.FreshKeys:
    """Keys of a pool of a dozen, since RSA keys take long to make; never twice in a row."""
    return _key_pool(next(_next_key) % 12)


async def _nothing_else(scope: Any, receive: Any, send: Any) -> None:
    """Stands where the pages are: what the protocol does not answer is 599."""
    await send({"type": "http.response.start", "status": 599, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@dataclass
class Node:
    """One instance: its rooms, and a server on `domain`."""

    name: str
    port: int
    db: Database
    clock: FrozenClock
    folder: Path
    told: list[tuple[NotificationKind, str]] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Task[None] | None = None

    async def open(self) -> Node:
        """Build every room, as the wiring of the application does."""
        self.config = Config(
            instance=Instance(self.domain, name=self.name.title()),
            server=Server(port=self.port),
            secrets=Secrets(fresh_key()),
            federation=Federation(allow_plain_http=True),
            evidence=EvidenceRules(vouches_needed=1, vouch_cooling_days=0),
            folder=self.folder,
        )
        self.config.media_folder.mkdir(parents=True, exist_ok=True)
        self.urls = Urls(self.config.base_url)
        self.vault = Vault.from_text(self.config.secrets.key)
        async with self.db.transaction() as tx:
            self.actor = await actors.create_instance(
                tx, self.urls, self.vault, self.clock,
                name=self.name, host=self.domain, keys=fresh_keys(),
            )  # fmt: skip
        self.trust = Trust(self.db, self.clock, own_host=self.domain)
        await self.trust.refresh()
        self.credentials = Credentials(self.db, self.clock, self.vault, self.urls)
        self.accounts = Accounts(
            self.db, self.clock, self.vault, self.config, self.urls, self.credentials,
            passwords=Passwords(QUICK),
        )  # fmt: skip
        self.review = Review(
            self.db, self.clock, self.vault, Registers(self.db, self.clock, self.vault),
            self.credentials,
            roles=self.config.membership.roles, notify=self._tell, policy=Policy.of({}),
        )  # fmt: skip
        self.lifetimes = Lifetimes(
            self.db, self.clock, self.vault, self.credentials, self.review.standings,
            Policy.of({}), notify=self._tell, write=self._write,
        )  # fmt: skip
        self.guard = Guard(allow_plain_http=True)
        self.fetcher = Fetcher(
            guard=self.guard,
            user_agent="fedidoc-test",
            sign=await InstanceSigner.load(self.db, self.vault, self.urls, self.clock),
            connect_timeout=2,
            total_timeout=5,
        )
        self.open_rooms()
        return self

    def open_rooms(self) -> None:
        """The rooms that keep something in memory; called again, it is as after a restart."""
        self.keyring = Keyring(self.db, self.fetcher, self.clock)
        self.peering = Peering(self.db, self.fetcher, self.guard, self.clock, self.trust)
        badges = Badges(self.fetcher, self.peering, self.trust, self.credentials, self.clock)
        self.remote = Remote(
            self.db, self.fetcher, self.guard, self.urls, self.clock, self.trust, self.keyring,
            badges,
        )  # fmt: skip
        self.pictures = Pictures(self.db, self.clock, self.config.media_folder)
        self.cases = Cases(db=self.db, clock=self.clock, urls=self.urls, media=self.pictures)

        self.follows = Follows(self.db, self.clock, self.urls)
        self.blocks = Blocks(self.db, self.clock, self.urls)
        self.reports = Reports(self.db, self.clock, self.vault, self.urls)
        self.moves = Moves(self.db, self.clock, self.follows)
        self.vouches = Vouches(
            self.db, self.clock, self.vault, self.config.evidence, self.review.records,
            settle=self._settle, notify=self._tell_about, domain=self.domain, urls=self.urls,
            trusts=self.trust.takes_word_of,
        )  # fmt: skip
        self.far_vouches = FarVouches(self.db, self.clock, self.vault, self.trust, self.vouches)
        self.accounts._credentials = Belongings(self.credentials, self.vouches)
        self.publications = Publications(self.urls, name=self.name, description="")
        self.inbox = Inbox(
            self.db, self.clock, self.urls, self.trust, self.keyring, self.remote,
            Clinic(self.cases, self.follows, self.blocks, self.reports, self.far_vouches),
        )  # fmt: skip
        self.outbox = Outbox(
            self.db, self.clock, self.trust, self.fetcher,
            Expansion(self.urls, self.trust, self.publications, self.vault),
            SigningKeys(self.db, self.vault),
        )  # fmt: skip
        self.tasks = Tasks(self.db, self.clock)
        self.publishing = Publishing(self.db, self.clock, self.urls, name=self.name)
        self._subscribe({})
        self.tasks.add(SUBSCRIBING, lambda name, detail: self.subscribing.visit(name, detail))
        Acquaintance(self.db, self.clock, self.peering, self.remote).register(self.tasks)
        self.rounds = Rounds(self.db, self.clock, self.trust, badges, self.remote)
        self.rounds.register(self.tasks)
        Asking(self.clock, self.remote, self.far_vouches).register(self.tasks)
        Copying(self.pictures, self.fetcher, self.trust).register(self.tasks)
        self.reading = Reading(
            self.db, self.clock, self.urls, self.trust, self.keyring, self.publications,
            self.credentials, self.publishing, media_folder=self.config.media_folder,
        )  # fmt: skip
        self.app = Protocol(self.inbox, self.reading, self.urls, self.clock, _nothing_else)
        self.runner = Runner(
            self.db,
            self.clock,
            Log("jobs"),
            [
                Lane("tasks", self.tasks.work),
                Lane("inbox", self.inbox.process),
                Lane("events", self.outbox.expand),
                Lane("delivery", self.outbox.send, slots=8),
            ],
        )

    async def configure(self, rules: dict[str, TrustListRules]) -> None:
        """Start again with these trust lists in the configuration."""
        self._subscribe(rules)
        await self.subscriptions.begin()
        await self.subscribing.seed()

    def _subscribe(self, rules: dict[str, TrustListRules]) -> None:
        self.subscriptions = Subscriptions(
            self.db, self.clock, self.trust, rules, own_host=self.domain
        )
        self.subscribing = Subscribing(self.db, self.clock, self.fetcher, self.subscriptions)

    @property
    def domain(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self) -> None:
        """Answer on the socket until `close`."""
        listener = socket.create_server(("127.0.0.1", self.port))

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, send)  # a test may put another in its place

        self._server = asyncio.create_task(server.serve(app, listener, self._stop))

    async def stop_serving(self) -> None:
        self._stop.set()
        if self._server is not None:
            await self._server
        self._server, self._stop = None, asyncio.Event()

    async def close(self) -> None:
        await self.stop_serving()
        await self.fetcher.close()
        self.accounts.close()
        await self.db.close()

    async def _write(self, tx: Transaction, account_id: str, subject: str, text: str) -> None:
        """This instance has no mail server."""

    async def _tell(self, tx: Transaction, kind: NotificationKind, actor_id: str) -> None:
        self.told.append((kind, actor_id))

    async def _tell_about(
        self, tx: Transaction, kind: NotificationKind, actor_id: str, other_id: str
    ) -> None:
        self.told.append((kind, actor_id))

    async def _settle(self, tx: Transaction, account_id: str, by: str) -> bool:
        return await self.review.settle(tx, account_id, by)

    # People -----------------------------------------------------------------------------------

    async def member(self, username: str, *, verified: bool = True) -> Account:
        """A physician of this instance."""
        account, _ = await self.accounts.add_member(
            username, f"{username}@example.org", username.title(), Role.PHYSICIAN, CARDIOLOGY,
            by="test",
        )  # fmt: skip
        if verified:
            await self.review.verify_directly(account.id, "known to the test", by="test")
        return await self.accounts.show(username)

    async def actor_of(self, account: Account) -> Actor:
        found = await actors.get(self.db, account.actor_id)
        assert found is not None
        return found

    # As a peer would ask ----------------------------------------------------------------------

    async def key_of(self, actor: Actor, use: keys.KeyUse = keys.KeyUse.RSA) -> SigningKey:
        pair = await keys.private_key(self.db, self.vault, actor.id, use)
        assert pair is not None
        return SigningKey(*pair)

    async def post_as(
        self,
        actor: Actor,
        to: Node,
        document: dict[str, Any],
        *,
        path: str = "/inbox",
        key: SigningKey | None = None,
    ) -> int:
        """POST a document to another instance, signed by an actor of ours (or with `key`, whatever
        that is); the status answered."""
        body = orjson.dumps(document)
        url = to.urls.base + path
        headers = sign(
            "POST", url, body, key=key or await self.key_of(actor), scheme=Scheme.CAVAGE,
            now_ms=self.clock.now(), content_type="application/activity+json",
        )  # fmt: skip
        answer = await self.fetcher.post(url, headers, body)
        return answer.status

    async def effect_of(self, activity_id: str) -> str | None:
        """What came of a received activity."""
        found = await self.db.fetch_value(
            "SELECT effect FROM inbox WHERE activity_id = ?", (activity_id,)
        )
        return None if found is None else str(found)

    async def ask(
        self, to: Node, path: str, *, signed: bool = True, accept: str = "application/activity+json"
    ) -> tuple[int, dict[str, str], bytes]:
        """GET a path of another instance by hand, signed by our instance actor."""
        url = to.urls.base + path
        headers = {"Accept": accept}
        if signed:
            key = await self.key_of(self.actor)
            headers |= sign("GET", url, b"", key=key, scheme=Scheme.CAVAGE, now_ms=self.clock.now())
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            return response.status, dict(response.headers), await response.read()


@dataclass
class Network:
    """Instances that share a clock and nothing else."""

    folder: Path
    database_url: Callable[[str], str]
    clock: FrozenClock = field(default_factory=FrozenClock)
    nodes: list[Node] = field(default_factory=list)

    async def instance(self, name: str, *, serve: bool = True) -> Node:
        db = await Database.open(self.database_url(name))
        node = Node(name, free_port(), db, self.clock, self.folder / name)
        self.nodes.append(node)
        await node.open()
        if serve:
            await node.serve()
        return node

    async def befriend(self, *nodes: Node, require_credential: bool = True) -> None:
        """Every instance allows every other, and they meet."""
        for one, other in itertools.permutations(nodes, 2):
            await one.trust.allow(other.domain, require_credential=require_credential, by="test")
        await self.settle()

    async def settle(self) -> None:
        """Run what is due on every instance until nothing is."""
        while True:
            ran = [await node.runner.drain() for node in self.nodes]
            if not any(ran):
                return

    async def close(self) -> None:
        for node in self.nodes:
            await node.close()
