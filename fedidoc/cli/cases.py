"""`follow` and `case open`: what a member does on a page, from the command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from fedidoc import app
from fedidoc.cli import members
from fedidoc.cli.console import Console, Refused, common, pass_console, run_async
from fedidoc.clinical.drafting import AGE_BANDS, AUDIENCES, SEXES, CaseDraft
from fedidoc.clinical.phi import Finding, IdentifiersFound
from fedidoc.model import Audience, EventKind
from fedidoc.storage import events

MAX_TEXT = 256 * 1024


@click.command()
@click.argument("username")
@click.argument("handle_or_url")
@common
@pass_console
@run_async
async def follow(console: Console, username: str, handle_or_url: str) -> None:
    """Follow HANDLE_OR_URL in USERNAME's name; prints the actor and the Follow's address."""
    async with app.build_rooms(console.config()) as rooms:
        account = await rooms.services.accounts.show(username)
        actor = await rooms.services.remote.find(handle_or_url)
        made = await rooms.services.follows.follow(account, actor)
        console.record(
            {"object": actor.uri, "activity": made.uri, "state": made.state.value},
            f"{username} follows {actor.handle} ({made.state.value}).",
        )


@click.group()
@common
def case() -> None:
    """Cases."""


@case.command(name="open")
@click.argument("username")
@click.option("--title", required=True)
@click.option(
    "--text",
    "file",
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="A file with the case, or - for standard input. Markdown.",
)
@click.option("--audience", required=True, type=click.Choice([a.value for a in AUDIENCES]))
@click.option("--specialty", help="NUCC code (default: the member's own).")
@click.option("--age-band", type=click.Choice(AGE_BANDS))
@click.option("--sex", type=click.Choice(SEXES))
@click.option("--findings", default="", help="The findings, if they stand apart.")
@click.option("--question", help="What the author would like to know (default: the title).")
@click.option(
    "--confirm",
    multiple=True,
    metavar="KIND",
    help="A kind of warning that you checked to be no patient's (such as url).",
)
@common
@pass_console
@run_async
async def open_case(
    console: Console,
    username: str,
    title: str,
    file: Path,
    audience: str,
    specialty: str | None,
    age_band: str | None,
    sex: str | None,
    findings: str,
    question: str | None,
    confirm: tuple[str, ...],
) -> None:
    """Open a case in USERNAME's name: the same path and the same guard as the page."""
    text = _read(file)
    async with app.build_rooms(console.config()) as rooms:
        account = await rooms.services.accounts.show(username)
        field = account.specialty
        if specialty is not None:
            field = await members.specialty_of(rooms, specialty)
        draft = CaseDraft(
            title=title,
            specialty=field,
            age_band=age_band,
            sex=sex,
            presentation=text,
            findings=findings,
            question=question or title,
            audience=Audience(audience),
            confirmed=confirm,
            once=rooms.services.clock.random_id(),
        )
        try:
            post = await rooms.services.cases.open_case(account, draft)
        except IdentifiersFound as error:
            raise Refused(f"{error.text} {_words(error.findings)}") from error
        event = await events.about(rooms.db, EventKind.POST_PUBLISHED, post.id)
        activity = rooms.urls.activity(event) if event else None
        console.record({"object": post.uri, "activity": activity}, f"Opened: {post.url}")


def _read(file: Path) -> str:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_TEXT + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_TEXT + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file} cannot be read as text ({type(error).__name__}).") from None
    if len(data) > MAX_TEXT:
        raise Refused(f"A case has at most {MAX_TEXT} bytes.")
    return text


def _words(findings: Mapping[str, list[Finding]]) -> str:
    """Where the guard found what; never the words themselves."""
    return "; ".join(
        f"{field} {found.start}-{found.end}: {found.kind.value} ({found.severity.value})"
        for field, listed in findings.items()
        for found in listed
    )
