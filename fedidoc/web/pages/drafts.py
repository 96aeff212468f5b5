"""Drafts: what somebody is writing, kept until it is sent."""

from __future__ import annotations

from collections.abc import Mapping

from quart import Blueprint, Response
from werkzeug.wrappers import Response as AnyResponse

from fedidoc.errors import BadInput
from fedidoc.model import Account
from fedidoc.web import forms, gate

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
async def save() -> AnyResponse:
    """For the script that saves while somebody writes."""
    account = gate.member()
    form = await forms.sent()
    place = form.get("place")
    if forms.place_path(place) is None:
        raise BadInput("There is no such form.")
    await gate.services().drafts.save(account, place, form.draft())
    return Response(status=204)


@blueprint.post("/drafts/discard")
async def discard() -> AnyResponse:
    account = gate.member()
    form = await forms.sent()
    await gate.services().drafts.delete(account, form.get("discard"))
    return gate.go("/", "discarded")
