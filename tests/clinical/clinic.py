"""A small instance: members, colleagues on another server, and the clinical rooms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from fedidoc.clinical.cases import CaseDraft, Cases, RemotePost
from fedidoc.clinical.drafts import Drafts
from fedidoc.clinical.follows import Follows
from fedidoc.clinical.media import Pictures
from fedidoc.clinical.notifications import Notifications
from fedidoc.clock import FrozenClock
from fedidoc.federation.urls import Urls
from fedidoc.model import (
    Account,
    Actor,
    ActorKind,
    Audience,
    EventKind,
    FollowState,
    Right,
    Role,
    Specialty,
    Standing,
)
from fedidoc.storage import actors, follows
from fedidoc.storage.actors import RemoteProfile
from fedidoc.storage.engine import Database
from fedidoc.storage.follows import Follow
from fedidoc.storage.keys import FreshKeys
from fedidoc.vault import Vault

HOST = "st-olaf.example"
AWAY = "society.example"
CARDIOLOGY = Specialty("207RC0000X", "Cardiovascular Disease")
NEUROLOGY = Specialty("2084N0400X", "Neurology")


def draft(**changes: object) -> CaseDraft:
    fields: dict[str, object] = {
        "title": "Syncope on the treadmill",
        "presentation": "A 60-year-old man collapsed.",
        "question": "Would you study him?",
        "specialty": CARDIOLOGY,
        "age_band": "60-69",
        "sex": "male",
        "audience": Audience.VERIFIED,
        **changes,
    }
    return CaseDraft(**fields)  # type: ignore[arg-type]


@dataclass
class Clinic:
    db: Database
    folder: Path
    fresh: FreshKeys
    clock: FrozenClock = field(default_factory=FrozenClock)
    urls: Urls = field(default_factory=lambda: Urls(f"https://{HOST}"))
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vault = Vault(bytes(32))
        self.media = Pictures(self.db, self.clock, self.folder, 1024 * 1024)
        self.cases = Cases(self.db, self.clock, self.urls, self.media, self.woken.append)
        self.follows = Follows(self.db, self.clock, self.urls, self.woken.append)
        self.notifications = Notifications(self.db, self.clock)
        self.drafts = Drafts(self.db, self.clock, self.vault)

    async def member(
        self,
        name: str,
        *,
        specialty: Specialty | None = CARDIOLOGY,
        standing: Standing = Standing.VERIFIED,
        role: Role = Role.PHYSICIAN,
        rights: frozenset[Right] = frozenset(Right),
    ) -> Account:
        async with self.db.transaction() as tx:
            actor = await actors.create_local(
                tx, self.urls, self.vault, self.clock, username=name, name=name.title(),
                kind=ActorKind.PERSON, host=HOST, keys=self.fresh,
            )  # fmt: skip
        return Account(
            f"account-{name}", actor.id, name, role, specialty, standing, False, 1, rights=rights
        )

    async def actor(self, account: Account) -> Actor:
        found = await actors.get(self.db, account.actor_id)
        assert found is not None
        return found

    async def colleague(self, name: str, host: str = AWAY) -> Actor:
        uri = f"https://{host}/users/{name}"
        profile = RemoteProfile(
            uri=uri, kind=ActorKind.PERSON, username=name, host=host, handle_confirmed=True,
            name=name.title(), summary_html="", inbox=f"{uri}/inbox",
            shared_inbox=f"https://{host}/inbox", outbox=None, followers=f"{uri}/followers",
            following=None, url=None, icon_url=None, approves_follows=False, discoverable=True,
            credential_url=None,
        )  # fmt: skip
        async with self.db.transaction() as tx:
            return await actors.upsert_remote(tx, self.clock, profile)

    async def let_follow(self, follower_id: str, followed_id: str) -> None:
        made = Follow(
            self.clock.random_id(), f"urn:{follower_id}:{followed_id}", follower_id, followed_id,
            FollowState.ACCEPTED, self.clock.now(),
        )  # fmt: skip
        async with self.db.transaction() as tx:
            assert await follows.put(tx, made)

    async def receive(self, *posts: RemotePost) -> list[str]:
        async with self.db.transaction() as tx:
            return await self.cases.receive_posts(tx, posts)

    async def inside(self, work: Callable[..., Awaitable[str]], *arguments: object) -> str:
        """One of the inbound functions, in a transaction of its own."""
        async with self.db.transaction() as tx:
            return await work(tx, *arguments)

    async def events(self) -> list[tuple[EventKind, str]]:
        rows = await self.db.fetch_all("SELECT kind, subject FROM events ORDER BY id")
        return [(EventKind(row["kind"]), row["subject"]) for row in rows]


def remote(author: Actor, name: str, **changes: object) -> RemotePost:
    fields: dict[str, object] = {
        "uri": f"https://{author.host}/notes/{name}",
        "author": author,
        "audience": Audience.PUBLIC,
        "title": "",
        "html": f"<p>{name}</p>",
        **changes,
    }
    return RemotePost(**fields)  # type: ignore[arg-type]
