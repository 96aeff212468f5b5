"""`member` and `token`: who belongs to this instance, from the operator's side."""

from __future__ import annotations

import sys
from typing import Any

import click

from fedidoc import app
from fedidoc.accounts.passes import Purpose
from fedidoc.cli.console import Console, Refused, common, pass_console, printable, run_async
from fedidoc.clock import iso
from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Account, Right, Role, Specialty, Standing
from fedidoc.storage import actors

BY = "command line"
COLUMNS = ("username", "role", "specialty", "standing", "admin", "created")


@click.group()
@common
def member() -> None:
    """The members of this instance."""


@member.command()
@click.argument("username")
@click.option("--email", required=True)
@click.option("--name", required=True, help="As colleagues know them.")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--specialty", help="NUCC taxonomy code, such as 207RC0000X.")
@click.option(
    "--verified-by",
    metavar="REASON",
    help="Verify them at once, on your word: how you know. Issues the credential.",
)
@click.option("--admin", is_flag=True, help="May decide on applications and peers.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@common
@pass_console
@run_async
async def add(
    console: Console,
    username: str,
    email: str,
    name: str,
    role: str,
    specialty: str | None,
    verified_by: str | None,
    admin: bool,
    password_stdin: bool,
) -> None:
    """Add a member, and print the password made for them unless one is given."""
    if verified_by is not None and role == Role.STAFF:
        raise BadInput("Staff are no clinicians and are not verified; leave --verified-by out.")
    if verified_by is not None and len(verified_by.strip()) < 3:
        raise BadInput("--verified-by takes the reason: say how you know.")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    async with app.build_rooms(console.config()) as rooms:
        account, password = await rooms.services.accounts.add_member(
            username,
            email,
            name,
            Role(role),
            await specialty_of(rooms, specialty) if specialty is not None else None,
            admin=admin,
            password=password,
            by=BY,
        )
        if verified_by is not None:
            await rooms.services.review.verify_directly(account.id, verified_by, by=BY)
        actor = await actors.get(rooms.db, account.actor_id)
        assert actor is not None  # it was made with the account
        state = "a verified member" if verified_by is not None else "a member, not verified yet"
        console.record(
            {"username": account.username, "actor": actor.uri, "password": password},
            f"{actor.handle} is {state}.\nPassword: {password}",
        )


@member.command(name="list")
@common
@pass_console
@run_async
async def list_members(console: Console) -> None:
    """All members."""
    async with app.build_rooms(console.config()) as rooms:
        records: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            page = await rooms.services.accounts.list(after=after)
            records.extend(_record(account) for account in page.items)
            after = page.older
        console.rows(records, COLUMNS, empty="There are no members yet: fedidoc member add.")


@member.command()
@click.argument("username")
@common
@pass_console
@run_async
async def show(console: Console, username: str) -> None:
    """One member, with the credential that other instances see."""
    async with app.build_rooms(console.config()) as rooms:
        account = await rooms.services.accounts.show(username)
        actor = await actors.get(rooms.db, account.actor_id)
        if actor is None:
            raise NotFound
        record = _record(account) | {
            "name": actor.name,
            "actor": actor.uri,
            "verified": actor.badge.verified,
            "assurance": actor.badge.assurance,
            "level": account.level,
            "may": sorted(right.value for right in Right if account.may(right)),
            "valid_until": iso(actor.badge.valid_until) if actor.badge.valid_until else None,
            "credential": actor.badge.credential,
        }
        words = "\n".join(
            f"{name.replace('_', ' '):<12} {printable(record[name])}" for name in record
        )
        console.record(record, words)


@member.command()
@click.argument("username")
@click.option("--reason", required=True, help="For the audit log.")
@common
@pass_console
@run_async
async def suspend(console: Console, username: str, reason: str) -> None:
    """Log a member out, revoke the credential and tell peers."""
    async with app.build_rooms(console.config()) as rooms:
        account = await rooms.services.accounts.suspend(username, reason=reason, by=BY)
        console.record(_record(account), f"{account.username} is suspended.")


@member.command()
@click.argument("username")
@click.option("--reason", required=True, help="For the audit log.")
@common
@pass_console
@run_async
async def renew(console: Console, username: str, reason: str) -> None:
    """Renew a member's credential without a gap, on the evidence that is still held."""
    async with app.build_rooms(console.config()) as rooms:
        account = await rooms.services.lifetimes.renew(username, BY, reason=reason)
        actor = await actors.get(rooms.db, account.actor_id)
        until = actor.badge.valid_until if actor else None
        record = _record(account) | {"valid_until": iso(until) if until else None}
        console.record(record, f"{account.username} is verified until {record['valid_until']}.")


@member.command()
@click.argument("username")
@click.option("--reason", required=True, help="For the audit log.")
@common
@pass_console
@run_async
async def revoke(console: Console, username: str, reason: str) -> None:
    """Take a member's credential back and tell peers. They may log in and apply anew."""
    async with app.build_rooms(console.config()) as rooms:
        account = await rooms.services.lifetimes.revoke(username, reason=reason, by=BY)
        console.record(
            _record(account), f"{account.username} is not verified any more; peers are told."
        )


@member.command()
@click.argument("username")
@common
@pass_console
@run_async
async def restore(console: Console, username: str) -> None:
    """Undo a suspension, or the taking back of a credential."""
    async with app.build_rooms(console.config()) as rooms:
        account = await rooms.services.accounts.show(username)
        if account.standing is Standing.REFUSED:
            account = await rooms.services.lifetimes.give_back(username, by=BY)
        else:
            account = await rooms.services.accounts.restore(username, by=BY)
        console.record(
            _record(account), f"{account.username} is back; standing: {account.standing.value}."
        )


@member.command()
@click.argument("username")
@common
@pass_console
@run_async
async def password(console: Console, username: str) -> None:
    """Give USERNAME a fresh password, and print it. All their sessions end."""
    async with app.build_rooms(console.config()) as rooms:
        made = await rooms.services.accounts.set_password(username, by=BY)
        console.record({"username": username, "password": made}, f"Password: {made}")


@member.command()
@click.argument("username")
@common
@pass_console
@run_async
async def enter(console: Console, username: str) -> None:
    """Print a link that lets USERNAME in once, within 15 minutes.

    For who is locked out, also when the identity provider is away.
    """
    await _hand_out(console, username, Purpose.ENTER)


@member.command()
@click.argument("username")
@common
@pass_console
@run_async
async def link(console: Console, username: str) -> None:
    """Print a link that ties a login of the identity provider to USERNAME, within 7 days.

    Whoever opens it and signs in by the provider signs in as USERNAME from then on.
    """
    if not console.config().identity_provider.issuer:
        raise Refused("There is no [identity_provider] in the configuration to link a login of.")
    await _hand_out(console, username, Purpose.LINK)


async def _hand_out(console: Console, username: str, purpose: Purpose) -> None:
    async with app.build_rooms(console.config()) as rooms:
        made = await rooms.services.passes.make(username, purpose, by=BY)
        url = f"{rooms.config.base_url}/log-in/pass/{made}"
        console.record({"username": username, "url": url}, url)


@click.group()
@common
def token() -> None:
    """Tokens that programs act for a member with."""


@token.command()
@click.argument("username")
@click.option("--name", default="command", help="What the token is for.")
@common
@pass_console
@run_async
async def create(console: Console, username: str, name: str) -> None:
    """Make a token for USERNAME. It is shown this once."""
    async with app.build_rooms(console.config()) as rooms:
        made = await rooms.services.accounts.create_token(username, name=name, by=BY)
        console.record({"username": username, "token": made}, made)


async def specialty_of(rooms: app.Rooms, code: str) -> Specialty:
    """The specialty with a NUCC code; Refused says what to do about one that is not known."""
    found = await rooms.services.specialties.find(code)
    if found is None:
        raise Refused(
            f"The specialty {code!r} is not known; give a NUCC code such as 207RC0000X, or import"
            " the list with `fedidoc register import nucc FILE`."
        )
    return found


def _record(account: Account) -> dict[str, Any]:
    return {
        "username": account.username,
        "role": account.role.value,
        "specialty": account.specialty.code if account.specialty else None,
        "standing": account.standing.value,
        "admin": account.admin,
        "created": iso(account.created),
    }
