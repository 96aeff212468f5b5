"""`audit`: what was decided here, as a list, as a file, and whether the log is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fedidoc import app
from fedidoc.cli.console import Console, Refused, common, pass_console, printable, run_async
from fedidoc.clock import iso
from fedidoc.verification import audit as log
from fedidoc.verification.audit import Audit, Verdict

COLUMNS = ("number", "at", "who", "action", "about")


@click.group()
@common
def audit() -> None:
    """The log of every decision: append-only, each row carrying the digest of the one before."""


@audit.command(name="list")
@click.option("--action", default="", help="Only these, such as application_approved.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@common
@pass_console
@run_async
async def list_rows(console: Console, action: str, limit: int) -> None:
    """The newest decisions, the latest first."""
    records: list[dict[str, Any]] = []
    async with app.look_at_database(console.config()) as db:
        before: str | None = ""
        while before is not None and len(records) < limit:
            page = await Audit(db).page(before, action)
            records += [
                {
                    "number": entry.row.number,
                    "at": iso(entry.row.at),
                    "who": entry.who,
                    "action": entry.row.action,
                    "subject": entry.row.subject,
                    "about": entry.about,
                    "detail": dict(entry.row.detail),
                    "digest": entry.row.digest,
                }
                for entry in page.items
            ]
            before = page.older
    console.rows(records[:limit], COLUMNS, empty="Nothing was decided yet.")


@audit.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
@pass_console
@run_async
async def export(console: Console, file: Path) -> None:
    """Write the whole log to FILE, a line of JSON for each row, and print its head.

    FILE must not exist; it is readable by its owner only.
    """
    async with app.look_at_database(console.config()) as db:
        rows = 0
        try:
            with file.open("xb") as out:
                async for line in log.export(db):
                    out.write(line)
                    rows += 1
        except FileExistsError:
            raise Refused(f"{file} is there already; give another name.") from None
        except OSError as error:
            raise Refused(f"{file} cannot be written ({type(error).__name__}).") from None
    with file.open("rb") as lines:
        verdict = log.verify_lines(lines)
    record = {"file": str(file), "rows": rows, "whole": verdict.whole, "head": verdict.head.digest}
    console.record(record, f"{rows} rows in {printable(file)}.\nHead: {_head(verdict)}")


@audit.command()
@common
@pass_console
@run_async
async def head(console: Console) -> None:
    """Number and digest of the newest row, to be kept where this machine cannot reach it."""
    async with app.look_at_database(console.config()) as db:
        newest = await Audit(db).head()
    console.record(
        {"number": newest.number, "digest": newest.digest}, f"{newest.number} {newest.digest}"
    )


@audit.command()
@click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=False
)
@click.option("--head", "kept", help="What `audit head` printed earlier: its digest, or all of it.")
@common
@pass_console
@run_async
async def verify(console: Console, file: Path | None, kept: str | None) -> None:
    """Check the database's log, or an export in FILE: nothing changed, nothing left out.

    Rows that were cut off at the end show only against a head that was kept: --head.
    """
    known = log.read_head(kept) if kept is not None else None
    if kept is not None and known is None:
        raise click.BadParameter("it takes the digest that `fedidoc audit head` prints.",
                                 param_hint="--head")  # fmt: skip
    if file is not None:
        with file.open("rb") as lines:
            verdict = log.verify_lines(lines, known)
    else:
        async with app.look_at_database(console.config()) as db:
            verdict = await log.verify(db, known)
    if verdict.broken is not None:
        raise Refused(
            f"The log is not whole: row {verdict.broken} is missing, changed or out of place."
            " Compare it with the last export."
        )
    if verdict.missing_head:
        raise Refused(
            f"The log ends at row {verdict.head.number} and does not contain the head that was"
            " kept: rows were cut off, or the log was rewritten."
        )
    record = {
        "whole": True, "rows": verdict.head.number, "head": verdict.head.digest,
        "compared": known is not None,
    }  # fmt: skip
    end = (
        "" if known is not None else "\nNo head was compared: --head shows whether the end is cut."
    )
    console.record(
        record, f"The log is whole: {verdict.head.number} rows.\nHead: {_head(verdict)}{end}"
    )


def _head(verdict: Verdict) -> str:
    return f"{verdict.head.number} {verdict.head.digest}"
