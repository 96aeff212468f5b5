"""A whole instance on a real database, and browsers for its members."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from fedidoc.accounts.passes import Passes
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard
from fedidoc.clinical.blocks import Blocks
from fedidoc.clinical.cases import CaseDraft, Cases, RemotePost
from fedidoc.clinical.drafts import Drafts
from fedidoc.clinical.follows import Follows
from fedidoc.clinical.media import Pictures, clean
from fedidoc.clinical.moves import Moves
from fedidoc.clinical.notifications import Notifications
from fedidoc.clinical.profiles import Profiles
from fedidoc.clinical.reports import Reports
from fedidoc.config import Config, EvidenceRules, Server
from fedidoc.federation.badges import Badges
from fedidoc.federation.keyring import Keyring
from fedidoc.federation.peering import Peering
from fedidoc.federation.remote import Remote
from fedidoc.model import Account, Actor, ActorKind, Audience, NotificationKind, Post
from fedidoc.storage import actors, people
from fedidoc.storage import cases as stored
from fedidoc.storage.actors import RemoteProfile
from fedidoc.storage.engine import Transaction
from fedidoc.verification.audit import Audit
from fedidoc.verification.dossiers import Dossiers
from fedidoc.verification.publishing import Publishing
from fedidoc.verification.specialties import Specialties
from fedidoc.verification.subscriptions import Subscriptions
from fedidoc.verification.trust import Trust
from fedidoc.web.pages import create_pages
from fedidoc.web.services import Services
from tests.house import CARDIOLOGY, PASSWORD, House, house
from tests.web.browsing import Browser

__all__ = ["house"]


@dataclass
class Site:
    """One instance with its pages; its members are made as they are named."""

    house: House
    services: Services
    app: Quart
    made: set[str] = field(default_factory=set)

    @property
    def origin(self) -> str:
        return self.services.config.base_url

    @property
    def trust(self) -> Trust:
        return self.services.trust

    def browser(self) -> Browser:
        return Browser(self.app, self.origin)

    def rebuilt(self, *, open_membership: bool) -> Site:
        """The same instance with another setting."""
        config = self.services.config
        membership = replace(config.membership, open=open_membership)
        services = replace(self.services, config=replace(config, membership=membership))
        return Site(self.house, services, create_pages(services))

    def credentials(self, username: str) -> dict[str, str]:
        return {"username": username, "password": PASSWORD}

    async def account(self, username: str) -> Account:
        """A verified physician, made at first use."""
        if await people.account_by_username(self.house.db, username) is None:
            return await self.house.verified(username)
        return await self.house.accounts.show(username)

    async def log_in(self, username: str) -> Browser:
        browser = self.browser()
        account = await self.house.accounts.show(username)
        if account.admin:
            # The operator handed a password out that nobody here has seen: open a session.
            async with self.house.db.transaction() as tx:
                signed_in = await self.house.accounts.open_session(tx, account)
            browser.cookies["__Host-session"] = signed_in.token
            return browser
        page = await browser.get("/log-in")
        page = await browser.submit(page, "/log-in", self.credentials(username))
        assert "__Host-session" in browser.cookies, page.errors()
        return browser

    async def signed_in(self, username: str) -> Browser:
        """A browser in which a verified physician is signed in."""
        await self.account(username)
        return await self.log_in(username)

    async def profile(self, username: str) -> Actor:
        return await self.services.profiles.get((await self.account(username)).actor_id)

    async def posts(self) -> list[Post]:
        """Every post that is stored and not deleted."""
        rows = await self.house.db.fetch_all("SELECT id FROM posts WHERE deleted IS NULL")
        found = await stored.get_many(self.house.db, {row["id"] for row in rows})
        return [found[id] for id in sorted(found)]

    async def case(self, username: str, *, audience: str = "verified", **changes: Any) -> Post:
        given: dict[str, Any] = {
            "title": "Breathless with a low-voltage ECG",
            "presentation": "Six months of worsening breathlessness, two pillows.",
            "findings": "NT-proBNP 6,200 ng/L.",
            "question": "Bone tracer first, or biopsy?",
            "specialty": CARDIOLOGY,
            "audience": Audience(audience),
            **changes,
        }
        account = await self.account(username)
        return await self.services.cases.open_case(account, CaseDraft(**given))

    async def answer(self, username: str, post: Post, text: str) -> Post:
        return await self.services.cases.reply(await self.account(username), post.id, text)

    async def follow(self, username: str, followed: str) -> None:
        account = await self.account(username)
        await self.services.follows.follow(account, await self.profile(followed))

    async def colleague(self, name: str, host: str, **changes: Any) -> Actor:
        """Somebody on another server, as their profile came from there."""
        uri = f"https://{host}/users/{name}"
        given: dict[str, Any] = {
            "uri": uri, "kind": ActorKind.PERSON, "username": name, "host": host,
            "handle_confirmed": True, "name": name.title(), "summary_html": "",
            "inbox": f"{uri}/inbox", "shared_inbox": None, "outbox": None, "followers": None,
            "following": None, "url": f"https://{host}/@{name}", "icon_url": None,
            "approves_follows": False, "discoverable": True, "credential_url": None, **changes,
        }  # fmt: skip
        async with self.house.db.transaction() as tx:
            return await actors.upsert_remote(tx, self.house.clock, RemoteProfile(**given))

    async def receive(self, author: Actor, name: str, **changes: Any) -> Post:
        """A post as it comes from another server after all checks."""
        uri = f"https://{author.host}/notes/{name}"
        given: dict[str, Any] = {
            "uri": uri, "author": author, "audience": Audience.PUBLIC, "title": "",
            "html": f"<p>{name}</p>", **changes,
        }  # fmt: skip
        async with self.house.db.transaction() as tx:
            assert await self.services.cases.receive_posts(tx, [RemotePost(**given)]) == ["stored"]
        found = await stored.by_uri(self.house.db, uri)
        assert found is not None
        return found


@pytest.fixture
async def site(house: House, tmp_path: Path) -> AsyncIterator[Site]:
    config: Config = replace(
        house.config,
        server=Server(trusted_proxies=("10.0.0.0/8",)),
        evidence=EvidenceRules(email_domains=("stolaf.example",), vouches_needed=2),
        folder=tmp_path,
    )
    db, clock, urls = house.db, house.clock, house.urls
    trust = Trust(db, clock, own_host=urls.authority)
    await trust.refresh()
    notifications = Notifications(db, clock)

    async def notify(tx: Transaction, kind: NotificationKind, actor_id: str) -> None:
        await notifications.put(tx, kind, actor_id)

    async def notify_about(
        tx: Transaction, kind: NotificationKind, actor_id: str, other_id: str
    ) -> None:
        await notifications.put(tx, kind, actor_id, actor_id=other_id)

    house.notify = notify
    guard = Guard(allow_plain_http=False, private_networks=(), ca_file=None)
    fetcher = Fetcher(guard=guard, user_agent="fedidoc tests", sign=None)
    keyring = Keyring(db, fetcher, clock)
    peering = Peering(db, fetcher, guard, clock, trust)
    badges = Badges(fetcher, peering, trust, house.credentials, clock)
    pictures = Pictures(db, clock, tmp_path / "media", config.media.max_bytes)
    follows = Follows(db, clock, urls)
    services = Services(
        config=config,
        clock=clock,
        accounts=house.accounts,
        passes=Passes(db, clock, house.vault, house.accounts),
        sign_in=None,
        review=house.review,
        recheck=house.recheck,
        exclusions=house.exclusions,
        policy=house.policy,
        audit=Audit(db),
        mailboxes=house.mailboxes(config),
        documents=house.documents(config, clean),
        vouches=house.vouches(config, notify_about),
        trust=trust,
        subscriptions=Subscriptions(db, clock, trust, {}, own_host=urls.authority),
        publishing=Publishing(db, clock, urls, name=config.instance.name),
        cases=Cases(db, clock, urls, pictures),
        drafts=Drafts(db, clock, house.vault),
        media=pictures,
        follows=follows,
        blocks=Blocks(db, clock, urls),
        reports=Reports(db, clock, house.vault, urls),
        moves=Moves(db, clock, follows),
        notifications=notifications,
        profiles=Profiles(db, clock),
        specialties=Specialties(db),
        remote=Remote(db, fetcher, guard, urls, clock, trust, keyring, badges),
        dossiers=Dossiers(db, clock, house.credentials, trust),
        lifetimes=house.lifetimes,
    )
    yield Site(house, services, create_pages(services))
    await fetcher.close()
