"""The review queue: a claim beside the register's row, for a person to decide."""

from __future__ import annotations

from quart import Blueprint, request

from fedidoc.errors import BadInput, Conflict, FedidocError, Forbidden
from fedidoc.model import Account
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.review import OPEN, State
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("reviews", __name__, url_prefix="/admin/reviews")

_STATES = (
    ("waiting", "Waiting"),
    (State.APPROVED.value, "Approved"),
    (State.REFUSED.value, "Refused"),
)


@blueprint.get("")
async def queue() -> Response:
    account = gate.steward()
    state = request.args.get("state", "waiting")
    if state not in dict(_STATES):
        state = "waiting"
    return await page(
        "admin/reviews.html",
        state=state,
        states=_STATES,
        applications=await gate.services().review.queue(
            None if state == "waiting" else State(state), request.args.get("before"), by=account
        ),
    )


@blueprint.get("/<application_id>")
async def look(application_id: str) -> Response:
    return await _desk(gate.steward(), application_id, forms.Form())


@blueprint.post("/<application_id>/approve")
async def approve(application_id: str) -> Response:
    account = gate.steward()
    form = await forms.sent()
    reason = form.get("approval").strip()
    kinds = [kind for kind in EvidenceKind if kind.value in form.chosen("kinds")]
    if not kinds:
        form.refuse("kinds", "Choose what you saw.")
    if not reason:
        form.refuse("approval", "Write what it was, in a few words.")
    if not form.wrong:
        try:
            await gate.services().review.approve(application_id, account, reason, kinds)
        except (BadInput, Conflict, Forbidden) as error:
            return await _refused(account, application_id, form, error, "approval")
        return gate.go("/admin/reviews", "verified")
    return await _desk(account, application_id, form, 400)


@blueprint.post("/<application_id>/<any(refuse, ask):answer>")
async def turn_away(application_id: str, answer: str) -> Response:
    """Refuse with a reason, or ask the member something; both read by the member."""
    account = gate.steward()
    review = gate.services().review
    form = await forms.sent()
    field = "refusal" if answer == "refuse" else "asking"
    reason = form.get(field).strip()
    if not reason:
        form.refuse(field, "Tell the member what is missing; they read this.")
        return await _desk(account, application_id, form, 400)
    try:
        if answer == "refuse":
            await review.refuse(application_id, account, reason)
        else:
            await review.ask(application_id, account, reason)
    except (BadInput, Conflict, Forbidden) as error:
        return await _refused(account, application_id, form, error, field)
    return gate.go("/admin/reviews", "refused" if answer == "refuse" else "question")


async def _refused(
    account: Account, application_id: str, form: forms.Form, error: FedidocError, field: str
) -> Response:
    named = error.field if isinstance(error, BadInput) else None
    form.refuse(named if named == "kinds" else field, error.text)
    return await _desk(account, application_id, form, error.status)


async def _desk(
    account: Account, application_id: str, form: forms.Form, status: int = 200
) -> Response:
    desk = await gate.services().review.look(application_id, by=account)
    return await page(
        "admin/review.html",
        status=status,
        form=form,
        desk=desk,
        application=desk.application,
        open=desk.application.state in OPEN,
        kinds=[(kind.value, kind.label) for kind in desk.kinds],
    )
