"""The servers this instance speaks with: their policy, and how they are."""

from __future__ import annotations

from typing import Final

from quart import Blueprint

from fedidoc.errors import BadInput, NotFound
from fedidoc.model import PeerPolicy
from fedidoc.verification.trust_status import effect_on
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page
from fedidoc.web.words import Choice

blueprint = Blueprint("peers", __name__, url_prefix="/admin/peers")

POLICIES: Final = (
    Choice(
        PeerPolicy.ALLOWED,
        "Allowed",
        "Heard, and told what its members may read.",
    ),
    Choice(
        PeerPolicy.LIMITED,
        "Limited",
        "As above, but kept out of everybody's first page unless they follow the author.",
    ),
    Choice(
        PeerPolicy.BLOCKED,
        "Blocked",
        "Neither heard nor told anything. What came from it before stays.",
    ),
)

# For a server that is on a list, or that only lists allowed.
DEFERRED: Final = "deferred"
BY_LIST: Final = Choice(
    DEFERRED,
    "As trust lists have it",
    "Allowed while a list that is followed here names it, and no longer.",
)


@blueprint.get("")
async def overview() -> Response:
    gate.steward()
    return await _overview(forms.filled({"believed": "yes"}))


@blueprint.post("")
async def allow() -> Response:
    account = gate.steward()
    form = await forms.sent()
    try:
        await gate.services().trust.allow(
            form.line("host"), require_credential=form.ticked("believed"), by=account.id
        )
    except BadInput as error:
        form.refuse_for(error, otherwise="host")
        return await _overview(form, error.status)
    return gate.go("/admin/peers", "peer")


@blueprint.get("/<host>")
async def look(host: str) -> Response:
    gate.steward()
    for peer in await gate.services().trust.peers():
        if peer.host == host:
            listed = bool(peer.lists) or not peer.own
            by_list = not peer.own and peer.policy is PeerPolicy.ALLOWED
            form = forms.filled(
                {
                    "policy": DEFERRED if by_list else peer.policy.value,
                    "believed": "yes" if peer.require_credential else "",
                    "reason": peer.reason or "",
                }
            )
            return await page(
                "admin/peer.html",
                form=form,
                peer=peer,
                effect=effect_on(peer),
                policies=(BY_LIST, *POLICIES) if listed else POLICIES,
            )
    raise NotFound


@blueprint.post("/<host>")
async def change(host: str) -> Response:
    account = gate.steward()
    trust = gate.services().trust
    form = await forms.sent()
    reason = form.line("reason")[:300] or None
    policy = form.get("policy")
    if host not in {peer.host for peer in await trust.peers()}:
        raise NotFound
    needs = form.ticked("believed")
    if policy == PeerPolicy.BLOCKED:
        await trust.block(host, reason=reason, by=account.id)
    elif policy == PeerPolicy.LIMITED:
        await trust.limit(host, require_credential=needs, reason=reason, by=account.id)
    elif policy == PeerPolicy.ALLOWED:
        await trust.allow(host, require_credential=needs, reason=reason, by=account.id)
    elif policy == DEFERRED:
        await gate.services().subscriptions.defer(host, reason=reason, by=account.id)
    else:
        raise BadInput("Choose a policy.")
    return gate.go("/admin/peers", "peer")


async def _overview(form: forms.Form, status: int = 200) -> Response:
    return await page(
        "admin/peers.html",
        status=status,
        form=form,
        peers=[(peer, effect_on(peer)) for peer in await gate.services().trust.peers()],
    )
