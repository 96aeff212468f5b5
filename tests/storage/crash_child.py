"""Stores activities and works on them until it is killed; says on standard output what is stored.

Each line is an activity id, written only after the COMMIT that it depends on. Started by
test_crash.py as a process of its own: `crash_child.py URL ROUND`.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fedidoc.clock import Clock
from fedidoc.errors import FedidocError
from fedidoc.jobs import Lane, Runner
from fedidoc.log import Log
from fedidoc.storage import queues
from fedidoc.storage.engine import Database, Row, Transaction

LEASE = 1500


@dataclass(frozen=True)
class Entry:
    activity_id: str
    received: int
    signer: str = "https://peer.example/users/ada"
    host: str = "peer.example"
    type: str = "Create"
    body: bytes = b'{"type":"Create"}' * 40
    verified_by_receive: Literal[True] = True


async def store(tx: Transaction, entries: Sequence[Entry]) -> list[bool]:
    new = await queues.put_inbox(tx, entries)
    return [bool(new)] * len(entries)


async def count_effects(tx: Transaction, rows: Sequence[Row], now: int) -> None:
    """The effect of an activity: its count goes up by one. It must be one for each at the end."""
    await tx.insert_many(
        "settings",
        ("name", "value"),
        [(row["activity_id"], "1") for row in rows],
        conflict="ON CONFLICT (name) DO UPDATE SET value = settings.value || '+1'",
    )
    await queues.finish(tx, "inbox", [row["id"] for row in rows], now)


def lane(db: Database, clock: Clock) -> Lane:
    async def work(rows: list[Row]) -> None:
        await db.group(lambda tx: count_effects(tx, rows, clock.now()))

    return Lane("inbox", work, limit=16, lease_ms=LEASE, idle_ms=50)


async def main(url: str, round_: str) -> None:
    clock = Clock()
    db = await Database.open(url)
    inbox = db.gathering(store)
    runner = Runner(db, clock, Log("crash"), [lane(db, clock)])
    running = asyncio.create_task(runner.run())

    async def client(number: int) -> None:
        n = 0
        while True:
            n += 1
            name = f"{round_}-{number}-{n}"
            try:
                entry = Entry(name, clock.now())
                if number % 2:
                    await inbox.put(entry)
                else:
                    await db.group(lambda tx, entry=entry: queues.put_inbox(tx, [entry]))
            except FedidocError:
                await asyncio.sleep(0.05)
                continue
            os.write(1, f"{name}\n".encode())
            runner.wake("inbox")

    await asyncio.gather(running, *(client(number) for number in range(6)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
