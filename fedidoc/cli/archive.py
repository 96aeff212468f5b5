"""`backup` and `restore`: the whole instance in one file."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import click

from fedidoc import app, config
from fedidoc.cli import installation
from fedidoc.cli.console import Console, Refused, common, pass_console
from fedidoc.clock import Clock
from fedidoc.storage import backup as storage


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--include-config",
    is_flag=True,
    help="Also the configuration, and with it the secret key: guard such a file like the key.",
)
@common
@pass_console
def backup(console: Console, file: Path, include_config: bool) -> None:
    """Save database and pictures to FILE (.tar.gz), while the server runs."""
    settings = console.config()
    if settings.pseudonyms.threshold:
        asyncio.run(_settle(settings))
    place = _place(settings, console.path if include_config else None)
    contents = storage.save(place, file.absolute(), now_ms=Clock().now())
    console.record(
        _summary(file, contents),
        f"Saved {settings.domain} to {file}: {contents.files} files, {contents.bytes:,} bytes.",
    )
    if not include_config:
        console.say("[secrets] key is not inside; without it the backup cannot be used.")


async def _settle(settings: config.Config) -> None:
    """What pseudonyms did today still has its order in the database: not in a backup."""
    async with app.build_rooms(settings) as rooms:
        await rooms.activation.settle()


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace what is there; SQLite and pictures are kept.")
@click.option("--check", "only_check", is_flag=True, help="Only check FILE; change nothing.")
@common
@pass_console
def restore(console: Console, file: Path, force: bool, only_check: bool) -> None:
    """Put a backup in place, after checking every digest in it. Stop the server first."""
    if only_check:
        contents = storage.check(file)
        console.record(_summary(file, contents), f"{file} is whole: made {contents.made}.")
        return
    if not console.path.exists():
        _restore_configuration(console.path, file)
    settings = console.config()
    if answers(settings):
        raise Refused("The server is running; stop it before restoring.")
    contents = storage.restore(file, _place(settings, None), force=force, now_ms=Clock().now())
    console.record(
        _summary(file, contents),
        f"Restored {contents.domain} as of {contents.made}: {contents.files} files.",
    )


def _restore_configuration(path: Path, file: Path) -> None:
    text = storage.configuration(file)
    if text is None:
        raise Refused(
            f"There is no configuration at {path} and none in {file}: put back the one whose"
            " [secrets] key the backup was made with, then restore."
        )
    installation.write(path, text.decode())


def answers(settings: config.Config) -> bool:
    """Whether something listens where this configuration's server would."""
    host = settings.server.host
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        host = "127.0.0.1"
    try:
        with socket.create_connection((host, settings.server.port), timeout=2):
            return True
    except OSError:
        return False


def _place(settings: config.Config, path: Path | None) -> storage.Place:
    return storage.Place(
        domain=settings.domain,
        database_url=settings.database_url,
        media=settings.media_folder.absolute(),
        config=path.absolute() if path is not None else None,
    )


def _summary(file: Path, contents: storage.Contents) -> dict[str, object]:
    return {
        "file": str(file),
        "domain": contents.domain,
        "database": contents.database,
        "made": contents.made,
        "files": contents.files,
        "bytes": contents.bytes,
        "config": contents.has_config,
    }
