"""Weeks in the life of an instance whose physicians have pseudonyms, and all that is left of them.

`live` builds the instance as `serve` does (queues, tasks, daily batch, backups, crashes) on a clock
that is moved, and has members use it: each comes by on most days at an hour of their own choice,
and those who have a pseudonym do what must not betray them: they log out, and log in as it within
minutes. What an attacker may have is gathered in a folder; who is who is kept apart from it.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from fedidoc import log
from fedidoc.accounts.passwords import Passwords
from fedidoc.app import Rooms, build_rooms
from fedidoc.clinical.cases import CaseDraft
from fedidoc.clock import DAY, HOUR, MINUTE, SECOND, FrozenClock
from fedidoc.config import Config, DatabaseAt, Federation, Instance, MediaFolder, Secrets
from fedidoc.errors import FedidocError
from fedidoc.integrity import encode_multikey
from fedidoc.model import Account, Audience, PeerPolicy, Role, Specialty
from fedidoc.storage import actors, backup, peers
from fedidoc.web.services import Services
from tests.federation.sink import Sink
from tests.house import ADDRESS, KEY, PASSWORD, QUICK
from tests.nyms import PASSPHRASE, officer_keys, with_pseudonyms

SPECIALTIES = (
    Specialty("207RC0000X", "Cardiovascular Disease"),
    Specialty("207Q00000X", "Family Medicine"),
)
WORDS = [
    "tracer", "biopsy", "effusion", "diuretic", "murmur", "fibrosis", "troponin", "conduction",
    "amyloid", "valve", "rhythm", "gradient", "oedema", "perfusion", "ischaemia", "septum",
    "outflow", "pressure", "volume", "strain",
]  # fmt: skip


@dataclass
class Life:
    """What happened. `truth` is who is who: pseudonym's handle to member's username."""

    evidence: Path
    truth: dict[str, str] = field(default_factory=dict)
    enrolled: dict[str, int] = field(default_factory=dict)
    """When each handle was enrolled, to the millisecond; kept by nobody but this test."""
    posted: dict[str, int] = field(default_factory=dict)
    """When each post of a pseudonym was written, to the millisecond; kept by this test alone."""
    acts: int = 0


@dataclass
class _Weeks:
    life: Life
    folder: Path
    clock: FrozenClock
    chance: random.Random
    config: Config
    sink: Sink
    weeks: int
    members: list[str] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    rooms: Rooms | None = None

    @property
    def services(self) -> Services:
        assert self.rooms is not None
        return self.rooms.services

    def wait(self, least: int, most: int) -> None:
        self.clock.advance(self.chance.randrange(least, most))

    def words(self, count: int) -> str:
        return " ".join(self.chance.choice(WORDS) for _ in range(count)).capitalize() + "."


@asynccontextmanager
async def _running(weeks: _Weeks) -> AsyncIterator[None]:
    async with build_rooms(weeks.config, clock=weeks.clock) as rooms:
        weeks.rooms = rooms
        services = rooms.services
        assert services.nyms is not None
        # Quick hashes: how slow they are is not what is looked at.
        for room in (services.accounts, services.nyms.accounts, services.nyms.enrolment):
            room._passwords = Passwords(QUICK)
        try:
            yield
        finally:
            weeks.rooms = None
            for room in (services.accounts, services.nyms.accounts, services.nyms.enrolment):
                room._passwords.close()


async def live(
    folder: Path, *, seed: int, members: int = 50, pseudonyms: int = 20, weeks: int = 2
) -> Life:
    """Live through it; what is left lies in `folder/evidence`."""
    folder.mkdir(parents=True)
    evidence = folder / "evidence"
    for name in ("backups", "crashes", "live", "documents"):
        (evidence / name).mkdir(parents=True)
    sink = Sink()
    await sink.open()
    config = replace(
        Config(instance=Instance(f"127.0.0.1:{sink.port + 1}", name="St. Olaf")),
        secrets=Secrets(KEY),
        database=DatabaseAt(f"sqlite:///{folder / 'fedidoc.db'}"),
        federation=Federation(allow_plain_http=True),
        media=MediaFolder(str(folder / "media")),
        folder=folder,
    )
    config = with_pseudonyms(config, officer_keys(), crowd=20)
    made = _Weeks(Life(evidence), folder, FrozenClock(), random.Random(seed), config, sink, weeks)
    lines = logging.FileHandler(evidence / "log.jsonl")
    lines.setFormatter(log._Formatter())
    logger = logging.getLogger("fedidoc")
    logger.addHandler(lines)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        await _pass(made, members, pseudonyms)
    finally:
        logger.setLevel(level)
        logger.removeHandler(lines)
        lines.close()
        await sink.close()
    return made.life


async def _pass(weeks: _Weeks, members: int, pseudonyms: int) -> None:
    async with _running(weeks):
        await _begin(weeks, members)
    chosen = weeks.chance.sample(weeks.members, pseudonyms)
    enrols = {name: weeks.chance.randrange(2, 9) for name in chosen}
    start = weeks.clock.now() // DAY * DAY + DAY
    for day in range(7 * weeks.weeks):
        plan = [
            (start + day * DAY + weeks.chance.randrange(6 * HOUR, 22 * HOUR), name)
            for name in weeks.members
            if weeks.chance.random() < 0.8
        ]
        extra = {weeks.chance.randrange(len(plan)): "backup"}
        if day % 6 == 4:
            extra[weeks.chance.randrange(len(plan))] = "crash"
        async with _running(weeks):
            for place, (at, name) in enumerate(sorted(plan)):
                if extra.get(place) == "crash":
                    break
                await _until(weeks, at)
                await _sit(weeks, name, enrols.get(name, 999) <= day)
                if extra.get(place) == "backup":
                    await _save(weeks)
            else:
                plan = []
            if plan:
                _copy_database(weeks, weeks.life.evidence / "crashes" / f"{day}")
        if plan:
            # What the dead process had on disk is what the next one finds.
            crash = weeks.life.evidence / "crashes" / f"{day}"
            for file in crash.iterdir():
                shutil.copy(file, weeks.folder / file.name)
            async with _running(weeks):
                for at, name in sorted(plan)[place:]:
                    await _until(weeks, at)
                    await _sit(weeks, name, enrols.get(name, 999) <= day)
    async with _running(weeks):
        await _until(weeks, start + 7 * weeks.weeks * DAY + 5 * HOUR)
        await _last_documents(weeks)
        _copy_database(weeks, weeks.life.evidence / "live")
        shutil.copytree(weeks.config.media_folder, weeks.life.evidence / "media")
    for number, got in enumerate(weeks.sink.got):
        (weeks.life.evidence / "documents" / f"{number:05}.json").write_bytes(got.body)


async def _begin(weeks: _Weeks, members: int) -> None:
    key = encode_multikey(Ed25519PrivateKey.generate().public_key())
    host, now = weeks.sink.domain, weeks.clock.now()
    assert weeks.rooms is not None
    async with weeks.rooms.db.transaction() as tx:
        await peers.put(tx, host, PeerPolicy.ALLOWED, require_credential=True, reason=None, now=now)
        await peers.learn(tx, host, shared_inbox=f"{weeks.sink.url}/inbox", software=None, now=now)
        await peers.pin_issuer(
            tx, host, f"{weeks.sink.url}/actor", f"{weeks.sink.url}/actor#k", key
        )
    await weeks.services.trust.refresh()
    for number in range(members):
        name = f"member{number:02}"
        weeks.clock.advance(weeks.chance.randrange(MINUTE, 20 * MINUTE))
        account, _ = await weeks.services.accounts.add_member(
            name, f"{name}@mail.example", f"Doctor Number{number:02}", Role.PHYSICIAN,
            SPECIALTIES[number % 2], password=PASSWORD, by="operator",
        )  # fmt: skip
        await weeks.services.review.verify_directly(account.id, "known at the bedside", "operator")
        weeks.members.append(name)


async def _until(weeks: _Weeks, moment: int) -> None:
    """Let the hours pass, with what an instance does by itself in them."""
    assert weeks.rooms is not None
    while weeks.clock.now() < moment:
        to = min(moment, weeks.clock.now() // HOUR * HOUR + HOUR)
        weeks.clock.at = max(weeks.clock.now(), to)
        # At night nothing happens but the batch: those hours are spared.
        if weeks.clock.now() % HOUR == 0 and weeks.clock.now() % DAY // HOUR in {3, *range(6, 24)}:
            await weeks.rooms.runner.drain(strict=False)


async def _sit(weeks: _Weeks, name: str, may_enrol: bool) -> None:
    """One visit: as oneself, and perhaps right afterwards as one's pseudonym."""
    services, chance = weeks.services, weeks.chance
    signed = await services.accounts.log_in(name, PASSWORD, address=ADDRESS)
    assert services.nyms is not None
    enrolment = services.nyms.enrolment
    if await enrolment.code_is_due(signed.account):
        code = await enrolment.hand_out(signed.account)
        assert code is not None
        weeks.codes[name] = code
    await _act(weeks, services, signed.account, most=3)
    if chance.random() < 0.3 and name not in weeks.handles:
        return  # stays logged in
    await services.accounts.log_out(signed.token)
    weeks.wait(20 * SECOND, 3 * MINUTE)
    if name in weeks.handles:
        if chance.random() < 0.6:
            await _sit_as_pseudonym(weeks, weeks.handles[name])
    elif may_enrol:
        handle = "".join(chance.choice("bcdfghjkmpqrstvwxz") + chance.choice("aeou")
                         for _ in range(5))  # fmt: skip
        await enrolment.enrol(
            weeks.codes[name], handle, PASSPHRASE + handle, address=ADDRESS,
            show_specialty=chance.random() < 0.5, jitter=chance.random() < 0.3,
        )  # fmt: skip
        weeks.handles[name] = handle
        weeks.life.truth[handle] = name
        weeks.life.enrolled[handle] = weeks.clock.now()
    await weeks.rooms.runner.drain(strict=False) if weeks.rooms else None


async def _sit_as_pseudonym(weeks: _Weeks, handle: str) -> None:
    services = weeks.services
    assert services.nyms is not None
    try:
        signed = await services.nyms.accounts.log_in(handle, PASSPHRASE + handle, address=ADDRESS)
    except FedidocError:
        return  # not open yet
    session = await services.nyms.accounts.session(signed.token)
    assert session is not None
    mine = services.for_pseudonym(jitter=session.jitter)
    await _act(weeks, mine, session.account, most=2)
    if weeks.chance.random() < 0.7:
        await services.nyms.accounts.log_out(signed.token)


async def _act(weeks: _Weeks, services: Services, account: Account, *, most: int) -> None:
    chance = weeks.chance
    await services.cases.timeline(account)
    for _ in range(chance.randrange(1, most + 1)):
        weeks.wait(10 * SECOND, 2 * MINUTE)
        weeks.life.acts += 1
        what = chance.random()
        if what < 0.25 or not weeks.asked:
            media = ()
            if chance.random() < 0.4:
                media = ((await _upload(weeks, services, account), "An ECG"),)
            post = await services.cases.open_case(
                account,
                CaseDraft(
                    title=weeks.words(4), presentation=weeks.words(30), question=weeks.words(8),
                    specialty=chance.choice(SPECIALTIES), audience=Audience.VERIFIED, media=media,
                ),
            )  # fmt: skip
            weeks.asked.append(post.id)
            _note(weeks, account, post.id)
        elif what < 0.65:
            case = chance.choice(weeks.asked[-40:])
            answer = await services.cases.reply(account, case, weeks.words(20))
            _note(weeks, account, answer.id)
        elif what < 0.85:
            await services.cases.like(account, chance.choice(weeks.asked[-40:]))
        elif what < 0.95:
            await services.drafts.save(account, "case", {"title": weeks.words(3)})
        else:
            await services.notifications.list(account)
            await services.notifications.mark_read(account)


def _note(weeks: _Weeks, account: Account, post_id: str) -> None:
    if account.pseudonymous:
        weeks.life.posted[post_id] = weeks.clock.now()


async def _upload(weeks: _Weeks, services: Services, account: Account) -> str:
    side = weeks.chance.randrange(40, 120)
    picture, out = Image.new("RGB", (side, side), (weeks.chance.randrange(256), 9, 9)), io.BytesIO()
    await asyncio.to_thread(picture.save, out, "PNG")
    media = await services.media.put(account, out.getvalue())
    # The disk's clock is this life's clock.
    seconds = weeks.clock.now() / 1000
    os.utime(weeks.config.media_folder / str(media.file), (seconds, seconds))
    return media.id


async def _save(weeks: _Weeks) -> None:
    """A backup at any moment of the day, as the command makes one, with the secret key inside."""
    assert weeks.rooms is not None
    await weeks.rooms.activation.settle()
    config = weeks.folder / "config.toml"
    config.write_text(f'[secrets]\nkey = "{KEY}"\n')
    url = weeks.config.database_url
    place = backup.Place(weeks.config.domain, url, weeks.config.media_folder, config)
    at = weeks.clock.now()
    target = weeks.life.evidence / "backups" / f"{at}.tar.gz"
    await asyncio.to_thread(backup.save, place, target, now_ms=at)


def _copy_database(weeks: _Weeks, target: Path) -> None:
    """The files as they lie on the disk, the write-ahead log among them."""
    target.mkdir(exist_ok=True)
    for name in ("fedidoc.db", "fedidoc.db-wal", "fedidoc.db-shm"):
        if (weeks.folder / name).exists():
            shutil.copy(weeks.folder / name, target / name)


async def _last_documents(weeks: _Weeks) -> None:
    """Actors and credentials as a peer may fetch them at the end."""
    assert weeks.rooms is not None
    for handle in (*weeks.life.truth, *weeks.members):
        actor = await actors.local_by_username(weeks.rooms.db, handle)
        if actor is None:
            continue
        answer = await weeks.rooms.reading.actor(handle, None)
        _keep(weeks, f"actor-{handle}", answer.body)
        document = await weeks.rooms.reading._publications.actor(weeks.rooms.db, actor)
        _keep(weeks, f"full-{handle}", json.dumps(document).encode())
        if actor.badge.credential:
            id = actor.badge.credential.rpartition("/")[2]
            answer = await weeks.rooms.reading.credential(id)
            _keep(weeks, f"credential-{handle}", answer.body)


def _keep(weeks: _Weeks, name: str, body: bytes) -> None:
    (weeks.life.evidence / "documents" / f"{name}.json").write_bytes(body)
