"""Reports of members and of other servers, for the stewards to decide on."""

from __future__ import annotations

from quart import Blueprint, request

from fedidoc.clinical.reports import State
from fedidoc.errors import BadInput, Conflict
from fedidoc.model import Account
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("reports", __name__, url_prefix="/admin/reports")

_STATES = (
    (State.OPEN, "Waiting"),
    (State.ACTED, "Acted on"),
    (State.DISMISSED, "Dismissed"),
)


@blueprint.get("")
async def overview() -> Response:
    account = gate.steward()
    wanted = request.args.get("state", State.OPEN.value)
    state = next((state for state, _ in _STATES if state.value == wanted), State.OPEN)
    return await page(
        "admin/reports.html",
        state=state,
        states=_STATES,
        reports=await gate.services().reports.list(account, state, request.args.get("before")),
    )


@blueprint.get("/<report_id>")
async def look(report_id: str) -> Response:
    return await _report(gate.steward(), report_id, forms.Form())


@blueprint.post("/<report_id>")
async def decide(report_id: str) -> Response:
    account = gate.steward()
    reports = gate.services().reports
    form = await forms.sent()
    try:
        match form.get("do"):
            case "dismiss":
                await reports.dismiss(account, report_id)
            case "remove":
                await reports.remove_posts(account, report_id)
            case "settle":
                await reports.settle(account, report_id)
            case _:
                raise BadInput("Choose what to do.")
    except (BadInput, Conflict) as error:
        form.refuse("", error.text)
        return await _report(account, report_id, form, error.status)
    return gate.go("/admin/reports", "decided")


@blueprint.post("/<report_id>/forward")
async def forward(report_id: str) -> Response:
    """Pass it on to the other server's stewards."""
    account = gate.steward()
    form = await forms.sent()
    try:
        await gate.services().reports.forward(account, report_id, form.get("note"))
    except (BadInput, Conflict) as error:
        form.refuse("note", error.text)
        return await _report(account, report_id, form, error.status)
    return gate.go(f"/admin/reports/{report_id}", "forwarded")


async def _report(
    account: Account, report_id: str, form: forms.Form, status: int = 200
) -> Response:
    return await page(
        "admin/report.html",
        status=status,
        form=form,
        report=await gate.services().reports.get(account, report_id),
    )
