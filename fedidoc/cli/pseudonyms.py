"""`pseudonym` and `escrow`: what an operator and moderators do about pseudonyms."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from fedidoc import app
from fedidoc.accounts import escrow as crypto
from fedidoc.accounts.openings import Openings
from fedidoc.cli.console import Console, Refused, common, pass_console, printable, run_async
from fedidoc.model import Account
from fedidoc.storage.openings import OpeningRequest
from fedidoc.storage.pseudonyms import Pseudonym

BY = "command line"
_REASON = click.option("--reason", required=True, help="Its owner sees it; no names.")
_MODERATOR = click.option("--by", "moderator", required=True, help="A moderator's username.")
_PASSWORD = click.option(
    "--password-stdin", is_flag=True, help="Read the moderator's password from standard input."
)


@click.group()
@common
def pseudonym() -> None:
    """Pseudonyms: opening those that wait, and sanctions."""


@pseudonym.command()
@click.option("--now", is_flag=True, required=True, help="Do not wait for the daily batch.")
@common
@pass_console
@run_async
async def activate(console: Console, now: bool) -> None:
    """Open what waits for the daily batch, and settle the database. For tests and demos."""
    async with app.build_rooms(console.config()) as rooms:
        _room(rooms)
        done = await rooms.activation.run()
        console.record(
            {"opened": done.opened, "renewed": done.renewed, "waiting": done.waiting},
            f"Opened {done.opened}, renewed {done.renewed}; {done.waiting} wait until more members"
            " were handed their code.",
        )


@pseudonym.command(name="list")
@common
@pass_console
@run_async
async def list_pseudonyms(console: Console) -> None:
    """All pseudonyms."""
    async with app.build_rooms(console.config()) as rooms:
        records = [_line(each) for each in await _room(rooms).every()]
        console.rows(records, ("handle", "standing", "year"), empty="There are none yet.")


def _sanction(name: str, help: str) -> None:
    @pseudonym.command(name=name, help=help)
    @click.argument("handle")
    @_REASON
    @common
    @pass_console
    @run_async
    async def act(console: Console, handle: str, reason: str) -> None:
        async with app.build_rooms(console.config()) as rooms:
            done: Pseudonym = await getattr(_room(rooms), name)(handle, reason, by=BY)
            console.record(_line(done), f"@{done.handle} is {done.standing.value}.")


_sanction("warn", "Tell a pseudonym's owner something, on their own page.")
_sanction("mute", "Let it read and not write.")
_sanction("unmute", "Let it write again.")
_sanction("suspend", "End it for the enrolment year, and tell peers.")


@click.group()
@common
def escrow() -> None:
    """Cases in which a pseudonym's sealed record is opened."""


@escrow.command()
@click.argument("handle")
@click.option("--case", "reason", required=True, help="Why, in a sentence; no names.")
@_MODERATOR
@_PASSWORD
@common
@pass_console
@run_async
async def request(
    console: Console, handle: str, reason: str, moderator: str, password_stdin: bool
) -> None:
    """The first moderator asks that HANDLE's record be opened."""
    async with app.build_rooms(console.config()) as rooms:
        room, account = _room(rooms), await _moderator(rooms, moderator, password_stdin)
        made = await room.ask(handle, reason, by=account)
        console.record(_case(made), f"Case {made.id}; another moderator has to approve it.")


@escrow.command()
@click.argument("case")
@_MODERATOR
@_PASSWORD
@click.option("--refuse", is_flag=True, help="Say no instead; the case is over.")
@common
@pass_console
@run_async
async def approve(
    console: Console, case: str, moderator: str, password_stdin: bool, refuse: bool
) -> None:
    """The second moderator approves CASE."""
    async with app.build_rooms(console.config()) as rooms:
        room, account = _room(rooms), await _moderator(rooms, moderator, password_stdin)
        decided = await (room.refuse if refuse else room.approve)(case, by=account)
        console.record(_case(decided), f"Case {decided.id} is {decided.state.value}.")


@escrow.command(name="list")
@common
@pass_console
@run_async
async def list_cases(console: Console) -> None:
    """All cases, the open ones first."""
    async with app.build_rooms(console.config()) as rooms:
        records = [_case(each) for each in await _room(rooms).requests()]
        console.rows(records, ("case", "handle", "state", "year", "reason"), empty="None.")


@escrow.command()
@click.argument("case")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--officer", help="Instead of a case: every record of this officer's ('-' as CASE).")
@common
@pass_console
@run_async
async def export(console: Console, case: str, file: Path, officer: str | None) -> None:
    """Write what the officers need for CASE (or to hand their shares over) to FILE."""
    async with app.build_rooms(console.config()) as rooms:
        room = _room(rooms)
        document = await (_records_of(room, officer) if officer else room.file_for_officers(case))
        _write(file, document)
        count = len(document["records"])
        console.record({"file": str(file), "records": count}, f"Wrote {file}: {count} records.")


@escrow.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
@pass_console
@run_async
async def take_over(console: Console, file: Path) -> None:
    """Put in the shares that `officer hand-over` sealed to a successor."""
    records = _handed_over(file)
    async with app.build_rooms(console.config()) as rooms:
        changed = await _room(rooms).take_over(records, by=BY)
        console.record({"records": changed}, f"{changed} records changed hands; none was opened.")


@escrow.command(name="open")
@click.argument("case")
@click.argument("shares", nargs=-1, required=True)
@click.option("--withhold-notice", metavar="LAW", help="Do not tell the member: which law forbids.")
@common
@pass_console
@run_async
async def open_case(
    console: Console, case: str, shares: tuple[str, ...], withhold_notice: str | None
) -> None:
    """Put the officers' SHARES of CASE together, and print whose pseudonym it is."""
    async with app.build_rooms(console.config()) as rooms:
        account, done = await _room(rooms).open(case, shares, withhold=withhold_notice or "")
        told = "is not told" if done.withheld else "is told on their pseudonym's page"
        console.record(
            {"case": done.id, "handle": done.handle, "username": account.username},
            f"@{done.handle} is {account.username}. This is stored nowhere; the member {told}.",
        )


def _room(rooms: app.Rooms) -> Openings:
    if rooms.services.nyms is None:
        raise Refused("There are no pseudonyms here: see [pseudonyms] threshold.")
    return rooms.services.nyms.openings


def _handed_over(file: Path) -> list[crypto.Record]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return [crypto.read(json.dumps(each)) for each in document["records"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused(f"{file} is no file that `fedidoc officer hand-over` wrote.") from None


async def _records_of(room: Openings, officer: str) -> dict[str, Any]:
    records = await room.records_of(officer)
    return {
        "kind": "fedidoc escrow records",
        "officer": officer,
        "records": [json.loads(crypto.write(each)) for each in records],
    }


async def _moderator(rooms: app.Rooms, username: str, from_stdin: bool) -> Account:
    """The moderator, by their own password: the operator alone cannot be two people."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt(f"Password of {printable(username)}", hide_input=True, err=True)
    done = await rooms.services.accounts.log_in(username, password, address="127.0.0.1")
    await rooms.services.accounts.log_out(done.token)
    return done.account


def _write(file: Path, document: dict[str, Any]) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(f"{file} exists already; name another file.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(document, out)


def _line(each: Pseudonym) -> dict[str, Any]:
    return {"handle": each.handle, "standing": each.standing.value, "year": each.year}


def _case(each: OpeningRequest) -> dict[str, Any]:
    return {
        "case": each.id,
        "handle": each.handle,
        "state": each.state.value,
        "year": each.year,
        "reason": each.reason,
    }
