"""`inspect` and `phi scan`: look at documents and at text without an instance."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import orjson

from fedidoc.cli.console import Console, Refused, common, json_line, pass_console
from fedidoc.clinical import phi as guard
from fedidoc.federation.inspection import inspect_file

MAX_LINE = 4 * 1024 * 1024


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@common
def inspect(files: tuple[Path, ...]) -> None:
    """Tell what an inbox would do with each ActivityPub document: a line of JSON each.

    Needs no configuration and no database.
    """
    for path in files:
        json_line(inspect_file(path))


@click.group()
@common
def phi() -> None:
    """The guard that finds patient identifiers."""


@phi.command()
@click.option("--jsonl", is_flag=True, help='Lines of {"id", "text"} in, findings out.')
@common
@pass_console
def scan(console: Console, jsonl: bool) -> None:
    """Find patient identifiers in what stands on standard input.

    With --jsonl each line is {"id", "text"}, and a line {"id", "findings": [{"start", "end",
    "kind", "severity"}]} comes out for it; offsets count Unicode code points, severity is `block`
    or `warn`. Without it the whole input is one text.
    """
    if not jsonl:
        text = sys.stdin.buffer.read(MAX_LINE + 1)
        if len(text) > MAX_LINE:
            raise Refused("The text is too long; use --jsonl with one text a line.")
        found = _findings(_decoded(text))
        for finding in found:
            words = "{severity:<6} {kind:<16} {start}-{end}".format_map(finding)
            console.record(finding, words)
        if not found:
            console.say("Nothing was found.")
        return
    if not scan_lines():
        raise Refused('Some lines were not {"id": …, "text": …} and were left out.')


def scan_lines() -> bool:
    """Answer every line of standard input; one that cannot be read gets {"line", "error"}.

    Whether all could be read. Lines are answered as they come, so a pipe may stay open.
    """
    source, number, whole = sys.stdin.buffer, 0, True
    while line := source.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            while (rest := source.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            line = b""
        elif not line.strip():
            continue
        try:
            identity, text = _item(line)
        except ValueError:
            whole = False
            json_line({"line": number, "error": 'This line is not {"id": …, "text": …}.'})
        else:
            json_line({"id": identity, "findings": _findings(text)})
    return whole


def _item(line: bytes) -> tuple[object, str]:
    try:
        item = orjson.loads(line)
        identity, text = item["id"], item["text"]
    except (KeyError, TypeError):
        raise ValueError from None
    if not isinstance(text, str) or not isinstance(identity, str | int):
        raise ValueError
    return identity, text


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused("The text is not UTF-8.") from None


def _findings(text: str) -> list[dict[str, object]]:
    return [
        {"start": f.start, "end": f.end, "kind": str(f.kind), "severity": str(f.severity)}
        for f in guard.scan(text)
    ]
