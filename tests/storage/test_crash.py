"""kill -9 at any moment: what was answered for is stored, and takes effect once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedidoc.clock import Clock
from fedidoc.jobs import Runner
from fedidoc.log import Log
from fedidoc.storage import queues
from fedidoc.storage.engine import Busy, Database
from fedidoc.storage.migrate import migrate
from tests.postgres import PostgresServer, find_binaries, run_apart
from tests.storage.crash_child import LEASE, Entry, lane

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("crash_child.py")


class Child:
    """The process that is killed, and what it said before."""

    def __init__(self, url: str, round_: int) -> None:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), url, str(round_)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()
        assert self.first.endswith(b"\n"), "the child did not start"

    def kill(self) -> list[str]:
        """Kill it; the ids of whole lines it wrote."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGKILL)
        said = self.first + self.process.stdout.read()
        self.process.wait(20)
        self.process.stdout.close()
        return [line.decode() for line in said.split(b"\n")[:-1]]


async def check(url: str, reported: set[str], kills: int) -> None:
    """All reported rows are there, once; the interrupted ones run again; effects happen once."""
    clock = Clock()
    db = await Database.open(url)
    try:
        rows = await db.fetch_all("SELECT activity_id, state, lease_by FROM inbox")
        stored = [row["activity_id"] for row in rows]
        assert len(stored) == len(set(stored))
        assert reported <= set(stored)
        async with db.transaction() as tx:
            again = [Entry(name, clock.now()) for name in sorted(reported)]
            assert await queues.put_inbox(tx, again) == set(), "a replay was taken as new"
        runner = Runner(db, clock, Log("crash"), [lane(db, clock)])
        deadline = time.monotonic() + 30
        while (await queues.counts(db))["inbox"]["waiting"]:
            assert time.monotonic() < deadline, "rows were never run again"
            await runner.drain()
            await asyncio.sleep(0.1)
        effects = await db.fetch_all("SELECT name, value FROM settings")
        assert {row["name"] for row in effects} == set(stored)
        assert {row["value"] for row in effects} == {"1"}
        repeated = await db.fetch_value("SELECT COUNT(*) FROM inbox WHERE attempts > 1")
        # Every kill may catch a batch at work, and on some it does.
        assert repeated <= kills * 16
    finally:
        await db.close()


async def hammer(url: str, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    reported: set[str] = set()
    for round_ in range(rounds):
        child = await asyncio.to_thread(Child, url, round_)
        await asyncio.sleep(chance.uniform(0.0, 0.35))
        said = await asyncio.to_thread(child.kill)
        assert said
        reported |= set(said)
    assert len(reported) > rounds
    await check(url, reported, rounds)


async def test_a_killed_process_loses_nothing(any_database_url: str) -> None:
    await hammer(any_database_url, rounds=8, seed=1)


async def test_an_interrupted_claim_runs_again_after_its_lease(any_database_url: str) -> None:
    """The claim is committed, then the process is gone before the work is."""
    db = await Database.open(any_database_url)
    clock = Clock()
    now = clock.now()
    async with db.transaction() as tx:
        await queues.put_inbox(tx, [Entry("a", now), Entry("b", now)])
    async with db.transaction() as tx:
        claimed = await queues.claim(
            tx, "inbox", now=now, worker="killed", lease_ms=LEASE, limit=10
        )
    assert len(claimed) == 2
    await db.close()

    db = await Database.open(any_database_url)
    runner = Runner(db, clock, Log("crash"), [lane(db, clock)])
    assert await runner.drain() == 0
    await asyncio.sleep(LEASE / 1000 + 0.05)
    assert await runner.drain() == 2
    rows = await db.fetch_all("SELECT state, attempts FROM inbox")
    assert [tuple(row) for row in rows] == [("done", 2)] * 2
    await db.close()


@pytest.fixture(scope="module")
def durable_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of its own that waits for the disk, to be killed."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's server programs (initdb, postgres) are not installed")
    server = PostgresServer(binaries, fsync=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def _migrate_at(url: str) -> None:
    db = await Database.open(url)
    await migrate(db)
    await db.close()


@pytest.mark.parametrize("kill", ["server", "backend"])
async def test_a_killed_postgresql_loses_nothing(durable_server: PostgresServer, kill: str) -> None:
    """The server dies under a process that goes on, comes back, and is found again."""
    server = durable_server
    name = f"crash_{kill}"
    server.sql(f"CREATE DATABASE {name}")
    url = server.url(name)
    run_apart(_migrate_at(url))
    mine = await Database.open(url)
    async with mine.transaction() as tx:
        await queues.put_task(tx, "before", "crash", {}, 0)

    def crash() -> list[str]:
        child = Child(url, 0)
        try:
            time.sleep(0.3)
            if kill == "server":
                server.kill()
                with pytest.raises(Busy):
                    run_apart(_migrate_at(url))
                server.start()
            else:
                server.kill_backend(name)
                server.wait_until_ready()
            time.sleep(1.0)
        finally:
            said = child.kill()
        return said

    said = crash()
    assert len(said) > 6
    # A database that was open all the while works again, at the latest at the second try.
    await _patiently(lambda: mine.fetch_value("SELECT kind FROM tasks"), "before")
    await mine.close()
    await check(url, set(said), kills=2)


async def _patiently(ask: Callable[[], object], wanted: object) -> None:
    for attempt in range(20):
        try:
            assert await ask() == wanted  # type: ignore[misc]
            return
        except Busy:
            assert attempt < 19
            await asyncio.sleep(0.1)
