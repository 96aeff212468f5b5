"""`demo`: two fictional instances that federate on this machine, with people, cases and answers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tomllib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import click

from fedidoc import config as configuration
from fedidoc import log
from fedidoc.cli import installation, seeding, serving
from fedidoc.cli.console import Console, Refused, common, pass_console, run_async, table
from fedidoc.config import Config
from fedidoc.verification.specialties import COMMON

# The folder holds this file once everything is in place; without it a start begins anew.
READY = "ready"
HOUSES = ("hospital", "society")


@dataclass(frozen=True, slots=True)
class House:
    """One of the two instances."""

    key: str
    config: Config
    members: Sequence[dict[str, Any]]


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    help="Where its data lie (default: ./.demo).",
)
@click.option("--ports", nargs=2, type=click.IntRange(1, 65535), help="Two ports of your choice.")
@common
@pass_console
@run_async
async def demo(console: Console, folder: Path, ports: tuple[int, int] | None) -> None:
    """Start a federation of two fictional instances on this machine, until Ctrl-C."""
    plan = load()
    new = not (folder / READY).exists()
    if new:
        _clear(folder)
    houses = [
        _house(folder, plan, key, (ports or (0, 0))[number]) for number, key in enumerate(HOUSES)
    ]
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(serving.listen(house.config)) for house in houses]
        log.configure("error")
        stop = serving.stop_on_signals()
        async with _running(houses, listeners, stop) as servers:
            if new:
                console.say("Making two instances, their members and cases (half a minute) …")
                filling = asyncio.create_task(
                    seeding.fill(plan, [house.config for house in houses])
                )
                await _finish(filling, stop, servers)
                (folder / READY).touch()
            console.record(_record(plan, houses), _words(plan, houses, folder))
            await asyncio.wait(servers, return_when=asyncio.FIRST_COMPLETED)
            console.say("\nStopping. The data are kept; the next start is quick.")


def load() -> dict[str, Any]:
    """The people, houses and cases of the demo."""
    return tomllib.loads((resources.files("fedidoc.cli") / "data" / "demo.toml").read_text("utf-8"))


def _clear(folder: Path) -> None:
    """Take away what a start that was interrupted left; nothing that is not the demo's."""
    for key in HOUSES:
        if (folder / key / "config.toml").exists():
            shutil.rmtree(folder / key)


def _house(folder: Path, plan: dict[str, Any], key: str, port: int) -> House:
    of = plan[key]
    path = folder / key / "config.toml"
    if path.exists():
        config = configuration.load(path, {})
        if port and port != config.server.port:
            raise Refused(
                f"The demo in {folder} lives on port {config.server.port}, which is part of its"
                f" members' addresses; remove {folder} to begin anew on another."
            )
        return House(key, config, of["members"])
    port = port or of["port"]
    text = installation.render(
        domain=f"{of['domain']}:{port}",
        name=of["name"],
        kind=of["kind"],
        contact="steward@example.org",
        description=of["description"],
        accent=of["accent"],
        host="127.0.0.1",
        port=port,
        database="sqlite:///fedidoc.db",
        plain=True,
    )
    # Nothing is written before the port is known to be free.
    try:
        serving.listen(configuration.parse(tomllib.loads(text), {}, folder / key)).close()
    except Refused:
        raise Refused(
            f"Port {port} is taken; stop what listens there, or choose two others:"
            " fedidoc demo --ports 8501 8502."
        ) from None
    installation.write(path, text)
    return House(key, configuration.load(path, {}), of["members"])


@contextlib.asynccontextmanager
async def _running(
    houses: Sequence[House], listeners: Sequence[socket.socket], stop: asyncio.Event
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Both servers, until the block ends; what one of them dies of is raised."""
    servers = [
        asyncio.create_task(serving.run_server(house.config, listener, stop, workers=True))
        for house, listener in zip(houses, listeners, strict=True)
    ]
    try:
        yield servers
    finally:
        stop.set()
        await asyncio.gather(*servers)


async def _finish(
    filling: asyncio.Task[None], stop: asyncio.Event, servers: Sequence[asyncio.Task[None]]
) -> None:
    """Wait until all is in place; Ctrl-C or a server that ends meanwhile ends it."""
    await asyncio.wait({filling, *servers}, return_when=asyncio.FIRST_COMPLETED)
    if filling.done():
        await filling
        return
    filling.cancel()
    await asyncio.wait({filling})
    if stop.is_set():
        raise Refused("Stopped before the demo was ready; the next start begins anew.")
    raise Refused("One of the two servers ended before the demo was ready.")


def _record(plan: dict[str, Any], houses: Sequence[House]) -> dict[str, Any]:
    return {
        "password": plan["password"],
        "instances": [
            {
                "name": house.config.instance.name,
                "url": house.config.base_url,
                "members": [member["username"] for member in house.members],
            }
            for house in houses
        ],
    }


def _words(plan: dict[str, Any], houses: Sequence[House], folder: Path) -> str:
    rows = []
    for house in houses:
        for member in house.members:
            does = COMMON[member["specialty"]]
            if member["role"] != "physician":
                does += f", {member['role']}"
            if member.get("admin"):
                does += "; decides on applications and peers"
            rows.append((house.key, member["username"], member["name"], does))
    applicant = plan["applicant"]
    rows.append(
        ("hospital", applicant["username"], applicant["name"], "has applied, and reads nothing yet")
    )
    addresses = [(house.config.instance.name, house.config.base_url) for house in houses]
    return (
        f"\nTwo fictional instances federate on this machine.\n\n"
        f"{table(('instance', 'address'), addresses)}\n\n"
        f"{table(('at', 'username', 'name', 'who'), rows)}\n\n"
        f"Everybody's password: {plan['password']}\n\n"
        "Chrome, Firefox and Edge find these addresses by themselves; for another browser add the\n"
        "line “127.0.0.1 hospital.localhost society.localhost” to /etc/hosts.\n"
        f"Data are kept in {folder}; remove it to begin anew. Ctrl-C stops.\n"
    )
