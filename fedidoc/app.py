"""The only wiring: from a configuration to the rooms of one instance, and to its application.

async with build_rooms(config) as rooms:      # commands and workers
    await rooms.services.accounts.show("osler")

async with open_app(config) as application:    # ASGI, without lifespan, for any server
    await server.serve(application, listener, stop)
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiohttp.abc import ResolveResult

from fedidoc import __version__
from fedidoc.accounts import Accounts
from fedidoc.accounts.activation import Activation
from fedidoc.accounts.mapping import check_rules
from fedidoc.accounts.passes import Passes
from fedidoc.accounts.provider import Provider
from fedidoc.accounts.provider_http import Elsewhere, ProviderHttp
from fedidoc.accounts.sign_in import SignIn
from fedidoc.activitypub.documents import Limits
from fedidoc.activitypub.errors import FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard, PinnedResolver, Reach
from fedidoc.clinical.blocks import Blocks
from fedidoc.clinical.cases import Cases
from fedidoc.clinical.drafts import Drafts
from fedidoc.clinical.follows import Follows
from fedidoc.clinical.media import Pictures, clean
from fedidoc.clinical.moves import Moves
from fedidoc.clinical.notifications import Notifications
from fedidoc.clinical.profiles import Profiles
from fedidoc.clinical.reports import Reports
from fedidoc.clock import Clock
from fedidoc.config import Config
from fedidoc.errors import ConfigError
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
from fedidoc.federation.subscribing import Subscribing
from fedidoc.federation.tasks import Acquaintance, Tasks
from fedidoc.federation.urls import Urls
from fedidoc.federation.vouching import Asking
from fedidoc.housekeeping import Housekeeping
from fedidoc.jobs import Lane, Runner
from fedidoc.log import Log
from fedidoc.mail import MailRoom, Postbox
from fedidoc.model import NotificationKind
from fedidoc.pseudonymity import daily_batch, open_pseudonyms
from fedidoc.storage import actors, keys
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.migrate import migrate, pending
from fedidoc.storage.queues import Queue
from fedidoc.vault import Vault
from fedidoc.verification.audit import Audit
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.desk import Desks
from fedidoc.verification.documents import Documents
from fedidoc.verification.dossiers import Dossiers
from fedidoc.verification.exclusions import Exclusions
from fedidoc.verification.far_vouches import FarVouches
from fedidoc.verification.identity import Identity
from fedidoc.verification.lifetimes import Lifetimes
from fedidoc.verification.listings import Registers
from fedidoc.verification.mailbox import Mailboxes
from fedidoc.verification.national import read_rules
from fedidoc.verification.nppes_service import Ask, NppesService
from fedidoc.verification.policy import Policy
from fedidoc.verification.publishing import Publishing
from fedidoc.verification.recheck import Recheck
from fedidoc.verification.review import Review
from fedidoc.verification.specialties import Specialties
from fedidoc.verification.subscriptions import Subscriptions
from fedidoc.verification.trust import Trust
from fedidoc.verification.vouches import Belongings, Vouches
from fedidoc.web import api
from fedidoc.web.pages import create_pages
from fedidoc.web.protocol import App, Protocol
from fedidoc.web.services import Services


@dataclass(frozen=True, slots=True)
class Rooms:
    """One instance's rooms, bound to its database."""

    config: Config
    db: Database
    services: Services
    inbox: Inbox
    reading: Reading
    subscribing: Subscribing
    tasks: Tasks
    runner: Runner
    urls: Urls
    activation: Activation


class _Bell:
    """Wakes the workers once there are any: rooms are made before the runner that they wake."""

    def __init__(self) -> None:
        self.runner: Runner | None = None

    def __call__(self, queue: str) -> None:
        if self.runner is not None:
            self.runner.wake(cast(Queue, queue))


async def migrate_database(config: Config) -> list[str]:
    """Bring the database up to date; the names of the migrations that were applied."""
    db = await Database.open(config.database_url, readers=1)
    try:
        return await migrate(db)
    finally:
        await db.close()


@asynccontextmanager
async def look_at_database(config: Config) -> AsyncIterator[Database]:
    """The database as it stands: nothing is brought up to date, and no room writes to it.

    ConfigError if it is not of this version.
    """
    db = await Database.open(config.database_url, readers=1)
    try:
        if await pending(db):
            raise ConfigError("The database is of an older version; run `fedidoc migrate` first.")
        yield db
    finally:
        await db.close()


@asynccontextmanager
async def build_rooms(config: Config, *, clock: Clock | None = None) -> AsyncIterator[Rooms]:
    """Open the database, bring it up to date, and build every room; closes it all at the end.

    Nothing works in the background yet: `rooms.runner.run()` does that. Raises ConfigError.
    """
    clock = clock or Clock()
    vault = Vault.from_text(config.secrets.key)
    urls = Urls(config.base_url)
    async with AsyncExitStack() as stack:
        db = await Database.open(config.database_url)
        stack.push_async_callback(db.close)
        await migrate(db)
        await _ensure_instance(db, vault, clock, urls, config)
        guard = guard_of(config)
        fetcher = Fetcher(
            guard=guard,
            user_agent=f"fedidoc/{__version__} (+{config.base_url}/)",
            sign=await InstanceSigner.load(db, vault, urls, clock),
        )
        stack.push_async_callback(fetcher.close)
        rooms = await _furnish(config, db, clock, vault, urls, guard, fetcher, stack)
        yield rooms


def guard_of(config: Config) -> Guard:
    """Where requests of this instance may go, as its operator says."""
    return Guard(
        allow_plain_http=config.federation.allow_plain_http,
        private_networks=tuple(ipaddress.ip_network(n) for n in config.federation.private_networks),
        ca_file=str(config.folder / config.federation.ca_file)
        if config.federation.ca_file
        else None,
    )


async def _ensure_instance(
    db: Database, vault: Vault, clock: Clock, urls: Urls, config: Config
) -> None:
    """The instance's own actor, whose keys sign what the instance itself asks and attests."""
    if await actors.by_uri(db, urls.instance_actor) is not None:
        return
    fresh = await asyncio.to_thread(keys.generate_keys)
    async with db.transaction() as tx:
        await actors.create_instance(
            tx, urls, vault, clock, name=config.instance.name, host=urls.authority, keys=fresh
        )


async def _furnish(
    config: Config,
    db: Database,
    clock: Clock,
    vault: Vault,
    urls: Urls,
    guard: Guard,
    fetcher: Fetcher,
    stack: AsyncExitStack,
) -> Rooms:
    wake = _Bell()
    # Verification
    trust = Trust(db, clock, own_host=urls.authority)
    await trust.refresh()
    credentials = Credentials(db, clock, vault, urls, valid_days=config.credentials.valid_days)
    notifications = Notifications(db, clock)

    async def notify(tx: Transaction, kind: NotificationKind, actor_id: str) -> None:
        await notifications.put(tx, kind, actor_id)

    mail = MailRoom(db, clock, vault, Postbox(config.mail, config.folder, config.instance.name))
    policy = Policy.of(config.levels, config.membership.roles, config.review.automatic)
    registers = Registers(
        db, clock, vault, national=read_rules(config.registers),
        service=NppesService(db, clock, vault, config.nppes_api.url, _asking(fetcher)),
    )  # fmt: skip
    review = Review(
        db, clock, vault, registers, credentials, roles=config.membership.roles, notify=notify,
        policy=policy, four_eyes=config.review.four_eyes,
    )  # fmt: skip

    async def write(tx: Transaction, account_id: str, subject: str, text: str) -> None:
        if mail.open:
            await mail.put(tx, await accounts.email(account_id), subject, text)

    exclusions = Exclusions(db)
    recheck = Recheck(
        db, clock, vault, registers, Desks(vault, registers, exclusions, review.records, policy),
        review.standings, days=config.verification.recheck_days,
        revoke_on=config.verification.revoke_on,
    )  # fmt: skip
    lifetimes = Lifetimes(
        db, clock, vault, credentials, review.standings, policy, notify=notify, write=write,
        page=f"{config.base_url}/renewal", limit=recheck.limit,
    )  # fmt: skip
    subscriptions = Subscriptions(db, clock, trust, config.trust_lists, own_host=urls.authority)
    publishing = Publishing(db, clock, urls, name=config.instance.name)
    mailboxes = Mailboxes(
        db, clock, vault, config.evidence, review.records, settle=review.settle, send=mail.put,
        base_url=config.base_url, name=config.instance.name,
    )  # fmt: skip
    documents = Documents(
        db, clock, vault, config.document_folder, config.evidence, review.records,
        settle=review.settle, clean=clean,
    )  # fmt: skip

    async def notify_about(
        tx: Transaction, kind: NotificationKind, actor_id: str, other_id: str
    ) -> None:
        await notifications.put(tx, kind, actor_id, actor_id=other_id)

    vouches = Vouches(
        db, clock, vault, config.evidence, review.records, settle=review.settle,
        notify=notify_about, domain=config.domain, urls=urls, trusts=trust.takes_word_of, wake=wake,
    )  # fmt: skip
    accounts = Accounts(db, clock, vault, config, urls, Belongings(credentials, vouches))
    stack.callback(accounts.close)
    passes = Passes(db, clock, vault, accounts)
    sign_in = None
    if config.identity_provider.issuer:
        provider = build_provider(config, clock, guard)
        stack.push_async_callback(provider.close)
        identity = Identity(
            clock, review, credentials, Specialties(db),
            valid_days=config.identity_provider.valid_days,
        )  # fmt: skip
        sign_in = SignIn(db, clock, vault, config, accounts, passes, provider, identity)
    # Medicine
    pictures = Pictures(db, clock, config.media_folder, config.media.max_bytes)
    cases = Cases(db=db, clock=clock, urls=urls, media=pictures, wake=wake)
    follows = Follows(db, clock, urls, wake)
    blocks = Blocks(db, clock, urls, wake)
    reports = Reports(db, clock, vault, urls, wake)
    moves = Moves(db, clock, follows, wake)
    far_vouches = FarVouches(db, clock, vault, trust, vouches)
    clinic = Clinic(cases, follows, blocks, reports, far_vouches)
    # Federation
    keyring = Keyring(db, fetcher, clock)
    peering = Peering(db, fetcher, guard, clock, trust)
    badges = Badges(fetcher, peering, trust, credentials, clock)
    remote = Remote(db, fetcher, guard, urls, clock, trust, keyring, badges)
    publications = Publications(
        urls, name=config.instance.name, description=config.instance.description
    )
    inbox = Inbox(db, clock, urls, trust, keyring, remote, clinic, wake=wake)
    outbox = Outbox(
        db, clock, trust, fetcher, Expansion(urls, trust, publications, vault),
        SigningKeys(db, vault), wake=wake,
    )  # fmt: skip
    reading = Reading(
        db, clock, urls, trust, keyring, publications, credentials, publishing,
        media_folder=config.media_folder, open_registrations=config.membership.open,
    )  # fmt: skip
    tasks = Tasks(db, clock)
    Acquaintance(db, clock, peering, remote).register(tasks)
    rounds = Rounds(db, clock, trust, badges, remote)
    rounds.register(tasks)
    Asking(clock, remote, far_vouches).register(tasks)
    Copying(pictures, fetcher, trust).register(tasks)
    subscribing = Subscribing(db, clock, fetcher, subscriptions)
    subscribing.register(tasks)
    activation = daily_batch(config, db, clock, vault, urls, pictures)
    housekeeping = Housekeeping(
        db,
        clock,
        review,
        lifetimes,
        pictures,
        mailboxes,
        documents,
        recheck,
        activation,
        far_vouches,
    )
    housekeeping.register(tasks)
    runner = Runner(
        db,
        clock,
        Log("jobs"),
        [
            # While activities pour in, one transaction for many: a tenth of a second's wait.
            Lane("inbox", inbox.process, linger_ms=100, limit=256),
            Lane("events", outbox.expand),
            Lane("delivery", outbox.send, slots=config.federation.concurrency),
            Lane("tasks", tasks.work),
            Lane("mail", mail.work),
        ],
    )
    wake.runner = runner
    services = Services(
        config=config,
        clock=clock,
        accounts=accounts,
        passes=passes,
        sign_in=sign_in,
        review=review,
        recheck=recheck,
        exclusions=exclusions,
        audit=Audit(db),
        policy=policy,
        mailboxes=mailboxes,
        documents=documents,
        vouches=vouches,
        trust=trust,
        subscriptions=subscriptions,
        publishing=publishing,
        cases=cases,
        drafts=Drafts(db, clock, vault),
        media=pictures,
        follows=follows,
        blocks=blocks,
        reports=reports,
        moves=moves,
        notifications=notifications,
        profiles=Profiles(db, clock),
        specialties=Specialties(db),
        remote=remote,
        dossiers=Dossiers(db, clock, credentials, trust),
        lifetimes=lifetimes,
        nyms=open_pseudonyms(config, db, clock, vault, urls, credentials, wake, stack),
    )
    await rounds.seed()
    await subscriptions.begin()
    await subscribing.seed()
    await housekeeping.seed()
    await review.standings.follow_policy()
    await review.remember_licences()
    return Rooms(config, db, services, inbox, reading, subscribing, tasks, runner, urls, activation)


class _VettedNames(PinnedResolver):
    """Refuses as a name server would: all that the HTTP client and its callers know of."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            return await super().resolve(host, port, family)
        except FetchError as error:
            raise OSError(error.reason) from error


def build_provider(config: Config, clock: Clock, guard: Guard) -> Provider:
    """The identity provider of the configuration, which has one. ConfigError if it cannot be."""
    check_rules(config)

    def allows(url: str) -> bool:
        try:
            guard.vet(url)
        except FetchError:
            return False
        return True

    rules = config.identity_provider
    http = ProviderHttp(
        rules.issuer,
        Elsewhere(allows, lambda: _VettedNames(guard, Reach.PEERS, 5)),
        user_agent=f"fedidoc/{__version__}",
        ca_file=str(config.folder / rules.ca_file) if rules.ca_file else None,
    )
    return Provider(rules, http, clock)


def _asking(fetcher: Fetcher) -> Ask:
    """What a register's service is asked with: unsigned, within the guard, a short answer."""

    async def ask(url: str) -> Mapping[str, Any] | None:
        try:
            return await fetcher.get_json(url, limits=Limits(max_bytes=1 << 18))
        except FetchError:
            return None

    return ask


@asynccontextmanager
async def open_app(config: Config, *, workers: bool = True) -> AsyncIterator[App]:
    """The instance as an ASGI application, open as long as the block lasts.

    With `workers` the queues are worked off in this process, else by `fedidoc worker`. Raises
    FedidocError with a sentence for the operator.
    """
    async with AsyncExitStack() as stack:
        rooms = await stack.enter_async_context(build_rooms(config))
        pages = create_pages(rooms.services)
        api.register(pages, rooms.services)
        await pages.startup()
        stack.push_async_callback(pages.shutdown)
        front = Protocol(
            rooms.inbox,
            rooms.reading,
            rooms.urls,
            rooms.services.clock,
            cast(App, pages),
            trusted_proxies=tuple(ipaddress.ip_network(n) for n in config.server.trusted_proxies),
        )
        await stack.enter_async_context(_in_background(rooms.services.trust.keep_fresh()))
        if workers:
            await stack.enter_async_context(_working(rooms.runner))
        yield front


@asynccontextmanager
async def _working(runner: Runner) -> AsyncIterator[None]:
    running = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        await runner.stop()
        await running


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
