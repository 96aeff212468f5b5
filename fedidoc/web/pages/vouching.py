"""Vouching for colleagues: who asks, saying how one knows them, saying no, taking it back."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.errors import BadInput, Conflict
from fedidoc.model import Account
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("vouching", __name__, url_prefix="/vouches")


@blueprint.get("")
async def requests() -> Response:
    account = gate.clinician()
    found = await gate.services().vouches.requests(account)
    return await page(
        "people/vouches.html",
        waiting=[request for request in found if not request.given],
        given=[request for request in found if request.given],
    )


@blueprint.get("/<vouch_id>")
async def look(vouch_id: str) -> Response:
    return await _request_page(gate.clinician(), vouch_id, forms.Form())


@blueprint.post("/<vouch_id>")
async def give(vouch_id: str) -> Response:
    account = gate.clinician()
    form = await forms.sent()
    try:
        await gate.services().vouches.give(account, vouch_id, form.get("statement"))
    except (BadInput, Conflict) as error:
        form.refuse("statement", error.text)
        return await _request_page(account, vouch_id, form, error.status)
    return gate.go("/vouches", "vouched")


@blueprint.post("/<vouch_id>/decline")
async def decline(vouch_id: str) -> Response:
    await gate.services().vouches.decline(gate.clinician(), vouch_id)
    return gate.go("/vouches", "answered-no")


@blueprint.post("/<vouch_id>/withdraw")
async def withdraw(vouch_id: str) -> Response:
    await gate.services().vouches.withdraw(gate.clinician(), vouch_id)
    return gate.go("/vouches", "unvouched")


async def _request_page(
    account: Account, vouch_id: str, form: forms.Form, status: int = 200
) -> Response:
    request = await gate.services().vouches.look(account, vouch_id)
    return await page("people/vouch.html", status=status, form=form, request=request)
