"""The calendar of credentials: whose ends when, and which renewals wait."""

from __future__ import annotations

from quart import Blueprint, request

from fedidoc.errors import BadInput, Conflict, FedidocError, Forbidden
from fedidoc.model import Account
from fedidoc.verification.lifetimes import RENEWABLE
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("calendar", __name__, url_prefix="/admin/calendar")


@blueprint.get("")
async def overview() -> Response:
    return await _overview(gate.steward(), forms.Form())


@blueprint.post("/<username>/renew")
async def renew(username: str) -> Response:
    account = gate.steward()
    form = await forms.sent()
    try:
        await gate.services().lifetimes.renew(
            username, account, credential_id=form.get("credential")
        )
    except (BadInput, Conflict, Forbidden) as error:
        return await _refused(account, form, error)
    return gate.go("/admin/calendar", "renewed")


@blueprint.post("/<username>/decline")
async def decline(username: str) -> Response:
    account = gate.steward()
    form = await forms.sent()
    try:
        await gate.services().lifetimes.decline(username, account, form.get("reason"))
    except (BadInput, Conflict, Forbidden) as error:
        return await _refused(account, form, error)
    return gate.go("/admin/calendar", "not_renewed")


async def _refused(account: Account, form: forms.Form, error: FedidocError) -> Response:
    form.refuse("", error.text)
    return await _overview(account, form, error.status)


async def _overview(account: Account, form: forms.Form, status: int = 200) -> Response:
    lifetimes = gate.services().lifetimes
    return await page(
        "admin/calendar.html",
        status=status,
        form=form,
        asked=await lifetimes.asked(account),
        endings=await lifetimes.calendar(account, page=request.args.get("before")),
        soon=RENEWABLE,
    )
