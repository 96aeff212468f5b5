"""`register`: public registers that a reviewer compares an application with."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
from rich.console import Console as Terminal
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from fedidoc import app
from fedidoc.cli.console import Console, Refused, common, pass_console, run_async
from fedidoc.clock import DAY, iso
from fedidoc.errors import ConfigError
from fedidoc.vault import Vault
from fedidoc.verification import deactivations, fhir, inventory, leie, national, nppes, nucc
from fedidoc.verification.imports import Progress, Report

Import = Callable[..., Awaitable[Report]]
BUILT_IN: dict[str, Import] = {
    nppes.REGISTER: nppes.import_nppes,
    deactivations.REGISTER: deactivations.import_deactivations,
    nucc.REGISTER: nucc.import_nucc,
    leie.REGISTER: leie.import_leie,
}


LATER = {"openpayments": "the Open Payments data"}


def _named(registers: Iterable[str]) -> str:
    return ", ".join(registers)


@click.group()
@common
def register() -> None:
    """Public registers, imported from their published files."""


@register.command(name="import")
@click.argument("name", metavar="REGISTER")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--supplement/--full",
    default=None,
    help="Of leie: FILE adds to the list, or is the whole list. Told by the file's name otherwise.",
)
@common
@pass_console
@run_async
async def import_register(console: Console, name: str, file: Path, supplement: bool | None) -> None:
    """Read FILE into REGISTER.

    REGISTER is nppes (.csv or .zip, layout V.2, full or weekly), deactivated (.xlsx, .zip or .csv),
    nucc (.csv), leie (.csv, full or supplement), fhir (a Bundle or NDJSON of a credentialing
    office), or the NAME of a [registers.NAME] of the configuration (.csv).

    An import that was interrupted goes on where it stopped when it is started again.
    """
    if supplement is not None and name != leie.REGISTER:
        raise click.UsageError("--supplement and --full are for leie.")
    if name in LATER:
        raise Refused(f"This version does not read {LATER[name]} yet; it reads {_named(BUILT_IN)}.")
    read = _reader(console, name, supplement)
    async with app.build_rooms(console.config()) as rooms:
        with _bar(console, name) as show:
            report = await read(rooms.db, rooms.services.clock, file, show)
    if report.already:
        words = f"{file} is what was imported last; nothing was changed."
    else:
        words = f"Read {report.rows:,} records into {name}; {report.malformed:,} were malformed."
        if report.removed:
            words += f" {report.removed:,} entries that it no longer has were removed."
    console.record(
        {
            "register": name,
            "rows": report.rows,
            "malformed": report.malformed,
            "removed": report.removed,
            "resumed_at": report.resumed_at,
            "already": report.already,
            "samples": report.samples,
        },
        "\n".join([words, *report.samples]),
    )


def _reader(console: Console, name: str, supplement: bool | None) -> Import:
    """What reads a file of the register; a usage error if there is no such register."""
    if name == leie.REGISTER:
        return partial(leie.import_leie, supplement=supplement)
    if name in BUILT_IN:
        return BUILT_IN[name]
    try:
        config = console.config()
    except ConfigError:
        if name == fhir.REGISTER:
            raise
        raise click.UsageError(f"There is no register {name} without a configuration.") from None
    if name == fhir.REGISTER:
        return partial(fhir.import_fhir, vault=Vault.from_text(config.secrets.key))
    if name not in config.registers:
        known = _named([*BUILT_IN, fhir.REGISTER, *config.registers])
        raise click.UsageError(f"There is no register {name}; there are {known}.")
    register = national.NationalRegister.of(name, config.registers[name])
    return partial(national.import_national, register=register)


@contextmanager
def _bar(console: Console, name: str) -> Iterator[Progress]:
    """A bar with records, their rate, and the time left; nothing on it with --json."""
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[records]:,} records"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
        console=Terminal(stderr=True),
        disable=console.json,
        transient=True,
    )
    with bars:
        task = bars.add_task(name, total=None, records=0, rate=0.0)
        first: list[tuple[float, int]] = []

        def show(done: int, total: int, records: int) -> None:
            now = time.monotonic()
            if not first:
                first.append((now, records))
            since, before = first[0]
            rate = (records - before) / (now - since) if now > since else 0.0
            bars.update(task, completed=done, total=total or None, records=records, rate=rate)

        yield show


@register.command(name="list")
@common
@pass_console
@run_async
async def list_registers(console: Console) -> None:
    """What is loaded, since when, how much, and whether it is time for a newer file."""
    config = console.config()
    async with app.build_rooms(config) as rooms:
        shelves = await inventory.take(rooms.db, rooms.services.clock.now(), config.registers)
    for shelf in shelves:
        days = None if shelf.loaded is None else (rooms.services.clock.now() - shelf.loaded) // DAY
        console.record(
            {
                "register": shelf.register,
                "rows": shelf.rows,
                "file": shelf.file_name,
                "loaded": iso(shelf.loaded) if shelf.loaded is not None else None,
                "days": days,
                "stale": shelf.stale,
                "unfinished": shelf.unfinished,
            },
            _line(shelf, days),
        )


def _line(shelf: inventory.Shelf, days: int | None) -> str:
    if days is None:
        words = "not loaded"
    else:
        words = f"{shelf.rows:>11,} rows  {shelf.file_name}, {days} days ago"
        words += "; a newer file is due" if shelf.stale else ""
    if shelf.unfinished:
        words += f"; {shelf.unfinished} was interrupted: start it again"
    return f"{shelf.register:<12} {words}"
