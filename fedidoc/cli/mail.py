"""`mail`: whether this instance can send mail."""

from __future__ import annotations

import click

from fedidoc.cli.console import Console, Refused, common, pass_console, run_async
from fedidoc.clock import Clock
from fedidoc.mail import Letter, Postbox


@click.group()
@common
def mail() -> None:
    """Mail to members."""


@mail.command()
@click.argument("address")
@common
@pass_console
@run_async
async def test(console: Console, address: str) -> None:
    """Send a letter to ADDRESS now, and say what the mail server answered."""
    config = console.config()
    postbox = Postbox(config.mail, config.folder, config.instance.name)
    if not postbox.exists:
        raise Refused("No mail server is set; fill in [mail] in the configuration.")
    clock = Clock()
    text = (
        f"This is a test from {config.instance.name} ({config.domain}).\n\n"
        "If you read it, mail from this instance arrives. There is nothing to do.\n"
    )
    subject = f"A test from {config.instance.name}"
    await postbox.send(Letter(clock.random_id(), address, subject, text, clock.now()))
    console.record(
        {"sent": True, "server": postbox.server},
        f"{postbox.server} took the letter. Whether it arrives shows in the mailbox.",
    )
