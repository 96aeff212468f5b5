"""kill -9 of a whole server, at any moment: nothing that was answered for is lost or done twice."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from benchmarks.peer import SimulatedPeer
from tests.instance import free_port
from tests.processes.outside import Loop
from tests.processes.site import Caller, Site, ask, watch

SENDER = "127.0.0.4"
FOLLOWERS = [f"127.0.1.{number}" for number in range(1, 25)]
# Longer than the lease of what a killed worker held: until then nobody else may touch it.
LEASE_ENDS = 40.0


class World(SimulatedPeer):
    """The outside world, which notes the ids of what each of its hosts was sent, and is slow."""

    def __init__(self) -> None:
        super().__init__([SENDER, *FOLLOWERS], free_port(SENDER))
        self.got: list[tuple[str, str, str]] = []  # (host, type, activity id)
        self.pause = 0.0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await super()._serve(_Listening(self, reader), writer)  # type: ignore[arg-type]

    def creates(self) -> set[tuple[str, str]]:
        """(host, activity id) of every Create that came, however often."""
        return {(host, activity) for host, kind, activity in self.got if kind == "Create"}


class _Listening:
    """A stream of requests; a body is noted after a pause, if its sender is still there then."""

    def __init__(self, world: World, reader: asyncio.StreamReader) -> None:
        self._world = world
        self._reader = reader
        self._host = ""

    async def readuntil(self, end: bytes) -> bytes:
        head = await self._reader.readuntil(end)
        (line,) = [each for each in head.split(b"\r\n") if each.lower().startswith(b"host:")]
        self._host = line.split(b":")[1].strip().decode()
        return head

    async def readexactly(self, size: int) -> bytes:
        body = await self._reader.readexactly(size)
        if body:
            # Each at its own time, so that a kill finds some before, some in, some after it.
            await asyncio.sleep(random.uniform(0, self._world.pause))
            if self._reader.at_eof():
                raise ConnectionResetError
            document = json.loads(body)
            self._world.got.append((self._host, document["type"], document["id"]))
        return body


@dataclass
class Post:
    """Somebody's post that mentions osler, and what came of sending it."""

    number: int
    tries: int = 0
    accepted: bool = False

    def uri(self, world: World) -> str:
        return f"http://{SENDER}:{world.port}/notes/{self.number}"

    def body(self, world: World, to: str) -> bytes:
        actor, note = world.actor(SENDER), self.uri(world)
        return json.dumps(
            {
                "@context": "https://www.w3.org/ns/activitystreams",
                "id": f"{note}/activity",
                "type": "Create",
                "actor": actor,
                "to": [to],
                "object": {
                    "id": note,
                    "type": "Note",
                    "attributedTo": actor,
                    "content": f"<p>Answer {self.number}: an ECG first.</p>",
                    "published": "2026-01-01T00:00:00Z",
                    "to": [to],
                    "tag": [{"type": "Mention", "href": to, "name": "@osler"}],
                },
            }
        ).encode()


@dataclass
class Scene:
    site: Site
    world: World
    loop: Loop
    osler: Caller
    actor: str
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))
    restarts: int = 0

    def posts(self, count: int) -> list[Post]:
        return [Post(next(self.numbers)) for _ in range(count)]

    def kill(self, *options: str) -> None:
        """kill -9, and a new start."""
        self.site.kill()
        self.site.start(*options)
        self.restarts += 1

    async def send(self, post: Post, *, until: float = 60.0) -> None:
        """POST until it is answered with 202, signed anew at each try, as a real sender does."""
        end = time.monotonic() + until
        while not post.accepted:
            assert time.monotonic() < end, f"post {post.number} was never accepted"
            post.tries += 1
            try:
                async with asyncio.timeout(10):
                    post.accepted = await self._post(post.body(self.world, self.actor)) == 202
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                await asyncio.sleep(0.05)

    async def _post(self, body: bytes) -> int:
        url = f"{self.actor}/inbox"
        headers = {
            "Content-Type": "application/activity+json",
            **self.world.headers(SENDER, url, body),
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        path = url.removeprefix(self.site.url)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        reader, writer = await asyncio.open_connection(self.site.host, self.site.port)
        try:
            writer.write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            await writer.drain()
            return int((await reader.readexactly(12))[9:12])
        finally:
            writer.close()

    def check_once(self, posts: list[Post]) -> None:
        """Each is stored, and osler was told of each, once."""
        uris = {post.uri(self.world) for post in posts}
        assert all(post.accepted for post in posts)
        watch(lambda: self.waiting("inbox") == 0, LEASE_ENDS)
        stored = [row["uri"] for row in self.site.rows("SELECT uri FROM posts WHERE local = 0")]
        assert len(stored) == len(set(stored))
        assert uris <= set(stored)
        told = Counter(
            row["uri"]
            for row in self.site.rows(
                "SELECT p.uri FROM notifications n JOIN posts p ON p.id = n.post_id"
                " WHERE n.kind IN ('mentioned', 'replied')"
            )
        )
        assert {told[uri] for uri in uris} == {1}
        assert self.site.value("SELECT COUNT(*) FROM inbox WHERE state = 'dead'") == 0

    def waiting(self, table: str) -> int:
        count: int = self.site.value(f"SELECT COUNT(*) FROM {table} WHERE state = 'waiting'")
        return count


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server with one member, whom 24 servers follow."""
    site = Site(tmp_path_factory.mktemp("kill") / "hospital").init()
    actor: str = site.member("osler")["actor"]
    world, loop = World(), Loop()
    domains = [f"{host}:{world.port}" for host in world.hosts]
    site.command("peer", "allow", *domains, "--no-require-credential")
    try:
        loop.run(world.start())
        with site.start():
            made = Scene(site, world, loop, site.as_member("osler"), actor)
            loop.run(_follow_all(made))
            watch(
                lambda: (
                    site.value("SELECT COUNT(*) FROM follows WHERE state = 'accepted'")
                    == len(FOLLOWERS)
                )
            )
            watch(lambda: made.waiting("events") + made.waiting("deliveries") == 0)
            yield made
        loop.run(world.stop())
    finally:
        site.kill()
        loop.close()


async def _follow_all(scene: Scene) -> None:
    for host in FOLLOWERS:
        body = json.dumps(
            {
                "@context": "https://www.w3.org/ns/activitystreams",
                "id": f"http://{host}:{scene.world.port}/follows/1",
                "type": "Follow",
                "actor": scene.world.actor(host),
                "object": scene.actor,
            }
        ).encode()
        url = f"{scene.actor}/inbox"
        headers = scene.world.headers(host, url, body)
        status = await asyncio.to_thread(_ask, url, headers, body)
        assert status == 202, host


def _ask(url: str, headers: dict[str, str], body: bytes) -> int:
    media = {"Content-Type": "application/activity+json"}
    return ask("POST", url, {**media, **headers}, body).status


def test_what_was_accepted_is_done_by_the_next_start(scene: Scene) -> None:
    """Killed between 202 and processing."""
    posts = scene.posts(30)
    scene.kill("--no-worker")

    async def send() -> None:
        await asyncio.gather(*(scene.send(post) for post in posts))

    scene.loop.run(send())
    assert scene.waiting("inbox") == len(posts)
    scene.kill()
    scene.check_once(posts)


def test_a_killed_receiver_loses_and_doubles_nothing(scene: Scene) -> None:
    """A peer sends without pause, and tries again what fails, while the server is killed thrice."""
    dice = random.Random()
    sent: list[Post] = []
    stopping = False

    async def keep_sending() -> None:
        while not stopping:
            (post,) = scene.posts(1)
            sent.append(post)
            await scene.send(post)
            await asyncio.sleep(0.01)

    async def send() -> None:
        await asyncio.gather(*(keep_sending() for _ in range(4)))

    sending = scene.loop.begin(send())
    for goal in range(10, 40, 10):
        watch(partial(_has, sent, goal))
        time.sleep(dice.uniform(0, 0.5))
        scene.kill()
    time.sleep(dice.uniform(0.2, 0.5))
    stopping = True
    sending.result(60)
    # The kills were felt: some had to be sent again.
    assert sum(post.tries - 1 for post in sent) >= 3
    # What was sent again although it had been accepted changes nothing.
    for post in sent[::10]:
        post.accepted = False
        scene.loop.run(scene.send(post))
    scene.check_once(sent)


def test_a_killed_sender_reaches_every_follower(scene: Scene) -> None:
    """Killed when the events were written and nothing sent; then thrice in the middle of it."""
    site, world, dice = scene.site, scene.world, random.Random()
    titles = ["One", "Two", "Three"]
    scene.kill("--no-worker")
    for title in titles:
        _open(scene.osler, title)
    assert scene.waiting("events") == len(titles)
    world.pause = 0.4
    for _ in range(3):
        goal = len(world.got) + dice.randint(1, 12)
        scene.kill()
        # What a killed worker held rests until its lease ends; a kill soon after finds less to do.
        end = time.monotonic() + 1
        while len(world.got) < goal and time.monotonic() < end:
            time.sleep(0.01)
    site.kill()
    assert 0 < len(world.creates()) < len(titles) * len(FOLLOWERS)
    assert scene.waiting("deliveries") > 0
    site.start()
    world.pause = 0.0
    watch(lambda: scene.waiting("events") == 0, LEASE_ENDS)
    watch(lambda: scene.waiting("deliveries") == 0, LEASE_ENDS)

    assert site.value("SELECT COUNT(*) FROM deliveries WHERE state = 'dead'") == 0
    created = {
        row["title"]: row["uri"]
        for row in site.rows(
            "SELECT p.title, a.uri FROM activities a JOIN posts p ON p.id = a.post_id"
            " WHERE a.type = 'Create' AND p.local = 1"
        )
    }
    assert sorted(created) == sorted(titles)
    rows = site.value("SELECT COUNT(*) FROM activities WHERE type = 'Create'")
    assert rows == len(titles), "an event was turned into two activities"
    # Some may have come twice, under the same id; no host was left out.
    assert world.creates() == {(host, uri) for host in FOLLOWERS for uri in created.values()}
    assert site.value("SELECT COUNT(*) FROM deliveries WHERE state = 'done'") >= len(titles) * len(
        FOLLOWERS
    )


def _has(items: list[Post], count: int) -> bool:
    return len(items) >= count


def _open(member: Caller, title: str) -> None:
    """Open a case for followers."""
    fields = {
        "status": "Chest pressure for three hours in a man in his sixties.",
        "title": title,
        "audience": "followers",
    }
    answer = member.post("/v1/statuses", **fields)
    assert answer["fedidoc"]["title"] == title
