"""`officer`: what an officer does on their own machine, with no instance at hand."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from fedidoc.accounts import escrow, officers
from fedidoc.accounts.escrow import EscrowError, Officer, Record
from fedidoc.accounts.officers import OfficerFile
from fedidoc.cli.console import Console, Refused, common, pass_console, printable

_PASSPHRASE = click.option(
    "--passphrase-stdin", is_flag=True, help="Read the passphrase from standard input."
)


@click.group()
@common
def officer() -> None:
    """For those who hold a share of every pseudonym's sealed link."""


@officer.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", required=True, help="As it will stand in [officers.NAME].")
@_PASSPHRASE
@common
@pass_console
def keygen(console: Console, file: Path, name: str, passphrase_stdin: bool) -> None:
    """Make a key, keep it in FILE under a passphrase, and print its public half."""
    if file.exists():
        raise Refused(f"{file} exists already; name another file.")
    made, text = officers.make(name, _passphrase(passphrase_stdin, confirm=True))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
    console.record(
        {"name": name, "public": made.public, "file": str(file)},
        f"Wrote {file}; keep it and its passphrase, apart from each other. For the instance's"
        f' configuration:\n\n[officers.{name}]\nkey = "{made.public}"\norganisation = ""',
    )


@officer.command(name="open-share")
@click.argument("record", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True)
@click.option("--yes", is_flag=True, help="Do not ask again.")
@_PASSPHRASE
@common
@pass_console
def open_share(
    console: Console, record: Path, key_file: Path, yes: bool, passphrase_stdin: bool
) -> None:
    """Open your own share of the record in a case's file, and print it."""
    document = _document(record)
    records = _records(document)
    if len(records) != 1:
        raise Refused("Open one record at a time, from the file of its case.")
    if not yes:
        console.say(
            f"Case {printable(document.get('case'))}, {printable(document.get('pseudonym'))}\n"
            f"Reason: {printable(document.get('reason'))}"
        )
        click.confirm("Open your share?", abort=True, err=True)
    mine = _key(key_file, passphrase_stdin)
    text = escrow.write_share(escrow.open_share(records[0], mine.name, mine.key))
    console.record({"case": document.get("case"), "officer": mine.name, "share": text}, text)


@officer.command(name="hand-over")
@click.argument("records", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True)
@click.option("--to", "successor", required=True, help="The successor's name.")
@click.option("--to-key", required=True, help="The successor's public key.")
@_PASSPHRASE
@common
@pass_console
def hand_over(
    console: Console,
    records: Path,
    out: Path,
    key_file: Path,
    successor: str,
    to_key: str,
    passphrase_stdin: bool,
) -> None:
    """Seal your share of every record to your successor; no record is opened by it."""
    if out.exists():
        raise Refused(f"{out} exists already; name another file.")
    document = _document(records)
    mine = _key(key_file, passphrase_stdin)
    to = Officer(successor, officers.read_public(to_key))
    after = [escrow.hand_over(each, mine.name, mine.key, to) for each in _records(document)]
    document["records"] = [json.loads(escrow.write(each)) for each in after]
    out.write_text(json.dumps(document), encoding="utf-8")
    console.record(
        {"records": len(after), "file": str(out)},
        f"Wrote {out}: {len(after)} shares are {successor}'s now. On the server:"
        f" fedidoc escrow import {out}",
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refused(f"There is no file {path}.") from None
    except (OSError, ValueError, RecursionError):
        raise Refused(f"{path} is no file that `fedidoc escrow` wrote.") from None
    if not isinstance(document, dict) or not isinstance(document.get("records"), list):
        raise Refused(f"{path} is no file that `fedidoc escrow` wrote.")
    return document


def _records(document: dict[str, Any]) -> list[Record]:
    return [escrow.read(json.dumps(each)) for each in document["records"]]


def _key(path: Path, passphrase_stdin: bool) -> OfficerFile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise EscrowError(f"{path} cannot be read.") from None
    return officers.open_file(text, _passphrase(passphrase_stdin, confirm=False))


def _passphrase(from_stdin: bool, *, confirm: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    words: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return words
