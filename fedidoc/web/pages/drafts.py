"""Drafts: what somebody is writing, kept until it is sent."""

from __future__ import annotations

from collections.abc import Mapping

from quart import Blueprint
from quart import Response as Made

from fedidoc.errors import BadInput
from fedidoc.model import Account
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response

blueprint = Blueprint("drafts", __name__)


async def begun(
    account: Account, place: str, otherwise: Mapping[str, str]
) -> tuple[forms.Form, int | None]:
    """The form of a place: its draft and when that was saved, or what it begins with."""
    draft = await gate.services().drafts.load(account, place)
    if draft is None:
        return forms.filled(otherwise), None
    return forms.filled({**otherwise, **draft.fields}), draft.saved


@blueprint.post("/drafts/save")
async def save() -> Response:
    """For the script that saves while somebody writes."""
    account = gate.member()
    form = await forms.sent()
    place = form.get("place")
    if forms.place_path(place) is None:
        raise BadInput("There is no such form.")
    await gate.services().drafts.save(account, place, form.draft())
    return Made(status=204)


@blueprint.post("/drafts/discard")
async def discard() -> Response:
    account = gate.member()
    form = await forms.sent()
    await gate.services().drafts.delete(account, form.get("discard"))
    return gate.go("/", "discarded")
