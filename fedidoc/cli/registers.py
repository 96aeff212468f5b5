"""`register import`: public registers that a reviewer compares an application with."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fedidoc import app
from fedidoc.cli.console import Console, Refused, common, pass_console, run_async
from fedidoc.verification import nppes

LATER = {
    "leie": "the List of Excluded Individuals/Entities",
    "openpayments": "the Open Payments data",
}


@click.group()
@common
def register() -> None:
    """Public registers, imported from their published files."""


@register.command(name="import")
@click.argument("name", type=click.Choice(["nppes", "nucc", *LATER]), metavar="REGISTER")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
@pass_console
@run_async
async def import_register(console: Console, name: str, file: Path) -> None:
    """Read FILE into REGISTER: nppes (.csv or .zip, layout V.2) or nucc (.csv).

    An import that was interrupted goes on where it stopped when it is started again.
    """
    if name in LATER:
        raise Refused(f"This version does not read {LATER[name]} yet; it reads nppes and nucc.")
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[records]:,} records"),
        TimeRemainingColumn(),
        console=Terminal(stderr=True),
        disable=console.json,
        transient=True,
    )
    async with app.build_rooms(console.config()) as rooms:
        with bars:
            task = bars.add_task(name.upper(), total=None, records=0)

            def show(done: int, total: int, records: int) -> None:
                bars.update(task, completed=done, total=total, records=records)

            read = nppes.import_nppes if name == "nppes" else nppes.import_nucc
            report = await read(rooms.db, rooms.services.clock, file, show)
    if report.already:
        words = f"{file} was imported before; nothing was changed."
    else:
        words = f"Read {report.rows:,} records into {name}; {report.malformed:,} were malformed."
    console.record(
        {
            "register": name,
            "rows": report.rows,
            "malformed": report.malformed,
            "resumed_at": report.resumed_at,
            "already": report.already,
            "samples": report.samples,
        },
        "\n".join([words, *report.samples]),
    )
