"""`peer`: which servers this instance speaks with. Closed by default: only those on this list."""

from __future__ import annotations

import click

from fedidoc import app
from fedidoc.cli.console import Console, common, pass_console, run_async
from fedidoc.clock import iso
from fedidoc.errors import NotFound
from fedidoc.storage import actors, moderation
from fedidoc.storage.peers import Peer
from fedidoc.verification.trust_status import effect_on

BY = "command line"
COLUMNS = (
    "host", "policy", "require_credential", "issuer", "software", "contacted", "effect", "reason",
)  # fmt: skip


@click.group()
@common
def peer() -> None:
    """The servers that this instance speaks with."""


@peer.command()
@click.argument("domains", nargs=-1, required=True, metavar="DOMAIN…")
@click.option(
    "--no-require-credential",
    is_flag=True,
    help="Hear its authors without a physician credential (a plain ActivityPub server). What is"
    " for verified physicians is never sent there.",
)
@click.option("--reason", help="Why, for the list and the audit log.")
@common
@pass_console
@run_async
async def allow(
    console: Console, domains: tuple[str, ...], no_require_credential: bool, reason: str | None
) -> None:
    """Speak with DOMAIN (host, or host:port) from now on; it must allow this instance too."""
    async with app.build_rooms(console.config()) as rooms:
        for domain in domains:
            known = await rooms.services.trust.allow(
                domain, require_credential=not no_require_credential, reason=reason, by=BY
            )
            needs = "members need" if known.require_credential else "nobody there needs"
            console.record(_record(known), f"{known.host} is allowed; {needs} a credential.")


@peer.command()
@click.argument("domain")
@click.option("--reason", help="Why, for the list and the audit log.")
@common
@pass_console
@run_async
async def limit(console: Console, domain: str, reason: str | None) -> None:
    """Speak with DOMAIN, but keep it out of everybody's first page."""
    async with app.build_rooms(console.config()) as rooms:
        known = await rooms.services.trust.limit(domain, reason=reason, by=BY)
        console.record(_record(known), f"{known.host} is limited.")


@peer.command()
@click.argument("domain")
@click.option("--reason", help="Why, for the list and the audit log.")
@common
@pass_console
@run_async
async def block(console: Console, domain: str, reason: str | None) -> None:
    """Neither hear DOMAIN nor tell it anything."""
    async with app.build_rooms(console.config()) as rooms:
        known = await rooms.services.trust.block(domain, reason=reason, by=BY)
        console.record(_record(known), f"{known.host} is blocked.")


@peer.command()
@click.argument("domain")
@common
@pass_console
@run_async
async def unpin(console: Console, domain: str) -> None:
    """Forget DOMAIN's credential key, after you compared the new one with its operator."""
    async with app.build_rooms(console.config()) as rooms:
        await rooms.services.trust.unpin(domain, by=BY)
        console.record(
            {"host": domain}, f"The key of {domain} is forgotten; the next one seen is pinned."
        )


@peer.command()
@click.argument("domain")
@common
@pass_console
@run_async
async def defer(console: Console, domain: str) -> None:
    """Take back what you said of DOMAIN: only trust lists decide on it from now on."""
    async with app.build_rooms(console.config()) as rooms:
        known = await rooms.services.subscriptions.defer(domain, by=BY)
        console.record(_record(known), f"{known.host}: {effect_on(known)}")


@peer.command(name="list")
@common
@pass_console
@run_async
async def list_peers(console: Console) -> None:
    """All servers on the list, and what is known of them."""
    async with app.build_rooms(console.config()) as rooms:
        console.rows(
            [_record(known) for known in await rooms.services.trust.peers()],
            COLUMNS,
            empty="No server is allowed yet: fedidoc peer allow DOMAIN.",
        )


@click.group()
@common
def actor() -> None:
    """People of other servers, one by one."""


@actor.command(name="block")
@click.argument("handle", metavar="@NAME@DOMAIN")
@click.option("--reason", required=True, help="For the audit log.")
@common
@pass_console
@run_async
async def block_actor(console: Console, handle: str, reason: str) -> None:
    """Neither hear nor show one person or pseudonym of another server."""
    await _set_blocked(console, handle, reason, blocked=True)


@actor.command(name="unblock")
@click.argument("handle", metavar="@NAME@DOMAIN")
@click.option("--reason", required=True, help="For the audit log.")
@common
@pass_console
@run_async
async def unblock_actor(console: Console, handle: str, reason: str) -> None:
    """Hear and show them again."""
    await _set_blocked(console, handle, reason, blocked=False)


async def _set_blocked(console: Console, handle: str, reason: str, *, blocked: bool) -> None:
    name, _, host = handle.removeprefix("@").partition("@")
    async with app.build_rooms(console.config()) as rooms:
        now = rooms.services.clock.now()
        async with rooms.db.transaction() as tx:
            found = await actors.by_handle(tx, name, host.lower())
            if found is None or found.local:
                raise NotFound("Nobody of that handle is known here from another server.")
            await actors.set_suspended(tx, found.id, now if blocked else None)
            action = "actor_blocked" if blocked else "actor_unblocked"
            await moderation.append(tx, now, BY, action, found.uri, {"reason": reason[:1000]})
        state = "blocked" if blocked else "heard again"
        console.record({"handle": found.handle, "blocked": blocked}, f"{found.handle} is {state}.")


def _record(known: Peer) -> dict[str, object]:
    return {
        "host": known.host,
        "policy": known.policy.value,
        "require_credential": known.require_credential,
        "issuer": known.issuer_uri,
        "software": known.software,
        "contacted": iso(known.contacted) if known.contacted is not None else None,
        "reason": known.reason,
        "lists": list(known.lists),
        "effect": effect_on(known),
    }
