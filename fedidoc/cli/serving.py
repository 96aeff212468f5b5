"""`serve`, `worker` and `migrate`: run an instance until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fedidoc import __version__, app
from fedidoc import log as logging_house
from fedidoc.cli.console import Console, Refused, common, pass_console, run_async, run_serving
from fedidoc.config import Config
from fedidoc.web import server

# Requests that are being answered when the server is told to stop may still end.
GRACE_SECONDS = 15


@click.command()
@click.option("--no-worker", is_flag=True, help="Only answer; `fedidoc worker` does the rest.")
@common
@pass_console
@run_serving
async def serve(console: Console, no_worker: bool) -> None:
    """Run the instance: pages, federation and its workers in one process."""
    config = console.config()
    listener = listen(config)
    logging_house.configure(config.log.level)
    # Here, where what is wrong with the database can still be said in a sentence.
    await app.migrate_database(config)
    stop = stop_on_signals()
    console.record(
        {"url": config.base_url, "host": config.server.host, "port": config.server.port},
        f"fedidoc {__version__}: {config.instance.name} at {config.base_url},"
        f" listening on {config.server.host} port {config.server.port}. Ctrl-C stops it.",
    )
    await run_server(config, listener, stop, workers=not no_worker)


@click.command()
@common
@pass_console
@run_serving
async def worker(console: Console) -> None:
    """Run only the workers: the inbox, events, deliveries and tasks that wait in the database."""
    config = console.config()
    logging_house.configure(config.log.level)
    stop = stop_on_signals()
    async with app.build_rooms(config) as rooms:
        console.record({"worker": config.domain}, f"Working for {config.domain}. Ctrl-C stops it.")
        # Peers that are allowed or blocked meanwhile are known here a few seconds later.
        fresh = asyncio.create_task(rooms.services.trust.keep_fresh())
        running = asyncio.create_task(rooms.runner.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        fresh.cancel()
        await rooms.runner.stop()
        await running


@click.command()
@common
@pass_console
@run_async
async def migrate(console: Console) -> None:
    """Bring the database up to date; `serve` does this by itself when it starts."""
    applied = await app.migrate_database(console.config())
    console.record(
        {"applied": applied},
        f"Applied {', '.join(applied)}." if applied else "The database is up to date.",
    )


def listen(config: Config) -> socket.socket:
    """A socket that is bound to the configured address; Refused says why there is none."""
    host, port = config.server.host, config.server.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
    except socket.gaierror:
        raise Refused(f"[server] host {host} is no address of this machine.") from None
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"Port {port} on {host} is taken; stop what listens there, or change"
            " [server] port.",
            errno.EACCES: f"Port {port} needs more rights than this user has; use one above 1023"
            " behind a reverse proxy.",
            errno.EADDRNOTAVAIL: f"[server] host {host} is no address of this machine.",
        }
        words = f"{host} port {port} cannot be listened on ({error.strerror})."
        raise Refused(reasons.get(error.errno or 0, words)) from None
    return listener


async def run_server(
    config: Config, listener: socket.socket, stop: asyncio.Event, *, workers: bool
) -> None:
    """Answer on the socket until `stop` is set; what is being answered then may still end."""
    serving = asyncio.create_task(_open_and_serve(config, listener, stop, workers))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await asyncio.wait_for(serving, GRACE_SECONDS)
    except TimeoutError:
        return
    except asyncio.CancelledError:
        serving.cancel()
        raise


async def _open_and_serve(
    config: Config, listener: socket.socket, stop: asyncio.Event, workers: bool
) -> None:
    tls = _tls(config)
    try:
        async with app.open_app(config, workers=workers) as application:
            await server.serve(application, listener, stop, tls=tls)
    finally:
        listener.close()


def _tls(config: Config) -> ssl.SSLContext | None:
    names = (config.server.tls_certificate, config.server.tls_key)
    if not any(names):
        return None
    certificate, key = (str(_file(config, name)) for name in names)
    try:
        return server.tls_context(certificate, key)
    except (OSError, ValueError):
        raise Refused(
            "[server] tls_certificate and tls_key cannot be used: they must be PEM files of a"
            " certificate chain and its key, which has no password."
        ) from None


def _file(config: Config, name: str) -> Path:
    path: Path = config.folder / name
    if not path.is_file():
        raise Refused(f"There is no file {path}, which [server] tls_certificate or tls_key names.")
    return path


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets; a second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handler(number: int) -> Callable[..., Any]:
        def handle() -> None:
            loop.remove_signal_handler(number)
            stop.set()

        return handle

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handler(number))
    return stop
