"""The first page: what it shows depends on who comes."""

from __future__ import annotations

from typing import NamedTuple

from quart import Blueprint, redirect, request

from fedidoc.model import Account, Role
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("home", __name__)

_SHOWS = ("for_you", "following", "all")


class DraftLine(NamedTuple):
    title: str
    href: str
    saved: int


@blueprint.get("/")
async def home() -> Response:
    account = gate.visitor()
    nyms = gate.services().nyms
    if account is None and gate.at_own_origin():
        return redirect("/pseudonym/log-in", 303)
    if account is None:
        config = gate.services().config
        return await page(
            "welcome.html",
            open=config.membership.open and not config.identity_provider.exclusive,
        )
    if account.admin and account.role is Role.STAFF:
        return redirect("/admin/reviews", 303)
    if not account.verified:
        return redirect("/pseudonym/own" if account.pseudonymous else "/application", 303)
    account = gate.clinician()
    if nyms is not None and await nyms.enrolment.code_is_due(account):
        # Everybody, once a year, wanted or not: so that having it says nothing.
        return redirect("/your-code", 303)
    show = request.args.get("show", "for_you")
    if show not in _SHOWS:
        show = "for_you"
    before = request.args.get("before")
    posts = await gate.services().cases.timeline(account, before, show)
    return await page(
        "cases/home.html",
        show=show,
        before=before,
        posts=posts,
        lapsed=await gate.services().profiles.lapsed_since(posts.items),
        drafts=await _drafts(account),
    )


@blueprint.get("/help")
async def explain() -> Response:
    return await page("help.html")


async def _drafts(account: Account) -> list[DraftLine]:
    lines = []
    for draft in await gate.services().drafts.list(account):
        href = forms.place_path(draft.place)
        if href is not None and draft.place.partition(":")[0] in {
            "case",
            "answer",
            "edit",
            "close",
        }:
            title = draft.fields.get("title") or draft.fields.get("text", "")[:60] or "Untitled"
            lines.append(DraftLine(title, href, draft.saved))
    return lines
