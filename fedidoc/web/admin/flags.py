"""Verified members who need another look: what registers and exclusion lists say of them now."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.errors import BadInput, Conflict, FedidocError, Forbidden
from fedidoc.model import Account
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("flags", __name__, url_prefix="/admin/reviews/flags")


@blueprint.get("")
async def overview() -> Response:
    return await _overview(gate.steward(), forms.Form())


@blueprint.post("/<flag_id>")
async def settle(flag_id: str) -> Response:
    account = gate.steward()
    form = await forms.sent()
    try:
        await gate.services().recheck.settle(flag_id, account, form.get("note"))
    except (BadInput, Conflict, Forbidden) as error:
        return await _refused(account, form, error)
    return gate.go("/admin/reviews/flags", "settled")


async def _refused(account: Account, form: forms.Form, error: FedidocError) -> Response:
    form.refuse("", error.text)
    return await _overview(account, form, error.status)


async def _overview(account: Account, form: forms.Form, status: int = 200) -> Response:
    services = gate.services()
    return await page(
        "admin/flags.html",
        status=status,
        form=form,
        flags=await services.recheck.open_flags(account),
        days=services.config.verification.recheck_days,
    )
