"""`queue` and `stats`: what waits, what is done, what was given up, and how much there is."""

from __future__ import annotations

from typing import Any

import click

from fedidoc import app
from fedidoc.cli.console import Console, common, pass_console, run_async, table
from fedidoc.storage import queues as storage
from fedidoc.storage import statistics

# What `queue status --json` has promised: what came from other servers and what goes to them.
SHOWN_TO_SCRIPTS: tuple[storage.Queue, ...] = ("inbox", "delivery")
STATES = ("waiting", "done", "dead")


@click.group()
@common
def queue() -> None:
    """The queues: everything that waits lives in the database."""


@queue.command()
@common
@pass_console
@run_async
async def status(console: Console) -> None:
    """How many rows wait, are done, or were given up, in each queue."""
    async with app.build_rooms(console.config()) as rooms:
        counts = await storage.counts(rooms.db)
    rows = {name: [int(counts[name].get(state, 0)) for state in STATES] for name in storage.QUEUES}
    record: dict[str, Any] = {
        name: dict(zip(STATES, rows[name], strict=True)) for name in SHOWN_TO_SCRIPTS
    }
    console.record(
        record, table(("queue", *STATES), [[name, *rows[name]] for name in storage.QUEUES])
    )


@queue.command()
@click.option("--host", help="Only deliveries to this server.")
@common
@pass_console
@run_async
async def retry(console: Console, host: str | None) -> None:
    """Try again now what was given up or is waiting for its next try."""
    async with app.build_rooms(console.config()) as rooms:
        names: tuple[storage.Queue, ...] = ("delivery",) if host is not None else storage.QUEUES
        revived: dict[str, int] = {}
        for name in names:
            async with rooms.db.transaction() as tx:
                revived[name] = await storage.revive(tx, name, host)
    total = sum(revived.values())
    console.record({"revived": total, **revived}, f"{total} rows are tried again.")


@click.command()
@common
@pass_console
@run_async
async def stats(console: Console) -> None:
    """How many members, actors, posts and peers there are."""
    async with app.build_rooms(console.config()) as rooms:
        record = await statistics.tally(rooms.db)
    console.record(record, table(tuple(record), [list(record.values())]))
