"""How every command reads its two common options, prints, and fails.

`--config FILE` and `--json` may stand before or after the subcommand. With `--json` a command
prints one JSON object per line on standard output. A refusal is one sentence on standard error
(and `{"error": …}` on standard output with `--json`) and exit code 1; a usage error is exit code 2.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
import orjson
import uvloop

from fedidoc import config as configuration
from fedidoc.errors import FedidocError

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CONFIG = Path("config.toml")


class Refused(FedidocError):
    """A command cannot do what was asked; `text` says why and what to do."""

    status = 400


@dataclass
class Console:
    """What the common options said, and where a command prints. One per run."""

    path: Path = DEFAULT_CONFIG
    json: bool = False

    def config(self) -> configuration.Config:
        """The configuration; ConfigError if it is missing or wrong."""
        return configuration.load(self.path)

    def record(self, record: dict[str, Any], words: str | None = None) -> None:
        """Print one result: the record as a line of JSON, or `words` for a person."""
        if self.json or words is None:
            json_line(record)
        else:
            click.echo(words)

    def rows(
        self, records: Iterable[dict[str, Any]], columns: Sequence[str], *, empty: str
    ) -> None:
        """Print a list: a line of JSON each, or a table of `columns`; `empty` if there are none."""
        records = list(records)
        if self.json:
            for record in records:
                json_line(record)
        elif not records:
            click.echo(empty)
        else:
            click.echo(
                table(columns, [[record.get(name) for name in columns] for record in records])
            )

    def say(self, words: str) -> None:
        """A remark for a person on standard error; silent with `--json`."""
        if not self.json:
            click.echo(words, err=True)


def json_line(record: dict[str, Any]) -> None:
    """One JSON object and a newline on standard output, flushed so that a reader can follow."""
    sys.stdout.buffer.write(orjson.dumps(record) + b"\n")
    sys.stdout.buffer.flush()


def printable(value: object) -> str:
    """A value for a terminal: no control characters, whoever chose it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows in aligned columns under their names."""
    head = [name.replace("_", " ").upper() for name in columns]
    cells = [head, *([printable(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _set_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Console).path = value


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Console).json = True


def common(function: F) -> F:
    """Add `--config FILE` and `--json` to a command or a group of commands."""
    function = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_set_json,
        help="Print one JSON object per line.",
    )(function)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        expose_value=False,
        callback=_set_config,
        help="The configuration (default: ./config.toml).",
    )(function)


def run_async(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Let a command be a coroutine."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return asyncio.run(function(*args, **kwargs))

    return run


def run_serving(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """The same for commands that stay up: on uvloop, which spends less on each socket and task,
    and with what was loaded at the start left out of garbage collection."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        gc.freeze()
        gc.set_threshold(10_000)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(function(*args, **kwargs))

    return run


pass_console = click.make_pass_decorator(Console, ensure=True)


def refuse(text: str, *, code: int) -> NoReturn:
    """End the process with one sentence."""
    if "--json" in sys.argv[1:]:
        json_line({"error": text})
    click.echo(printable(text), err=True)
    sys.exit(code)


def run(group: click.Group) -> NoReturn:
    """Run the command line; never ends in a traceback. Files that it makes are its user's only."""
    os.umask(0o077)
    try:
        group.main(prog_name="fedidoc", standalone_mode=False)
        sys.stdout.flush()
    except FedidocError as error:
        refuse(error.text, code=1)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        hint = " Try --help." if isinstance(error, click.UsageError) else ""
        refuse(error.format_message() + hint, code=error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        refuse("Stopped.", code=130)
    except BrokenPipeError:
        # The reader of our output has gone (`fedidoc … | head`): nothing is left to say.
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        refuse(
            f"Something went wrong inside fedidoc ({type(error).__name__} at {_place(error)});"
            " please report it.",
            code=1,
        )
    sys.exit(0)


def _place(error: BaseException) -> str:
    """The last line of our own code that the error passed through, as `room/module.py:12`."""
    house = Path(__file__).resolve().parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(house)]
    if not ours:
        return "an unknown place"
    return f"{Path(ours[-1].filename).relative_to(house)}:{ours[-1].lineno}"
