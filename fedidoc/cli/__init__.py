"""The `fedidoc` command. Each command reads its arguments, calls one room, prints the answer.

Commands are imported when they are asked for, so that `fedidoc init` need not load a web server.
"""

from __future__ import annotations

import importlib
from typing import Any, NoReturn

import click

from fedidoc import __version__
from fedidoc.cli.console import Console, common, run

_COMMANDS = {
    "audit": ("audit", "audit"),
    "actor": ("peers", "actor"),
    "backup": ("archive", "backup"),
    "case": ("cases", "case"),
    "credential": ("credentials", "credential"),
    "demo": ("demo", "demo"),
    "doctor": ("doctor", "doctor"),
    "escrow": ("pseudonyms", "escrow"),
    "follow": ("cases", "follow"),
    "init": ("installation", "init"),
    "inspect": ("inspection", "inspect"),
    "mail": ("mail", "mail"),
    "member": ("members", "member"),
    "migrate": ("serving", "migrate"),
    "officer": ("officers", "officer"),
    "peer": ("peers", "peer"),
    "phi": ("inspection", "phi"),
    "pseudonym": ("pseudonyms", "pseudonym"),
    "queue": ("queues", "queue"),
    "register": ("registers", "register"),
    "restore": ("archive", "restore"),
    "serve": ("serving", "serve"),
    "stats": ("queues", "stats"),
    "token": ("members", "token"),
    "trust": ("trust", "trust"),
    "worker": ("serving", "worker"),
}


class Commands(click.Group):
    """A group that knows its commands' names and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        found: Any = getattr(importlib.import_module(f"fedidoc.cli.{module}"), name)
        assert isinstance(found, click.Command)
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fedidoc")
@common
@click.pass_context
def fedidoc(context: click.Context) -> None:
    """A federated server for verified physicians.

    Every command takes --config FILE (default ./config.toml) and --json.
    """
    context.ensure_object(Console)


def main() -> NoReturn:
    """Run the command line and end the process: 0, 1 refused with a reason, 2 usage."""
    run(fedidoc)
