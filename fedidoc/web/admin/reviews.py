"""The review desk: who waits and why it is urgent; a claim beside what is known, to decide on."""

from __future__ import annotations

from typing import Final

from quart import Blueprint, request

from fedidoc.errors import BadInput, Conflict, FedidocError, Forbidden
from fedidoc.model import Account, Role
from fedidoc.verification.evidence import EvidenceKind, assurance_of
from fedidoc.verification.review import OPEN, Desk, State
from fedidoc.verification.urgency import Cause
from fedidoc.verification.wordings import wordings
from fedidoc.web import forms, gate, terms, words
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("reviews", __name__, url_prefix="/admin/reviews")

_STATES: Final = {
    "waiting": State.APPLIED,
    "asked": State.ASKED,
    "approved": State.APPROVED,
    "refused": State.REFUSED,
    "withdrawn": State.WITHDRAWN,
}
# The field that holds the words of each decision.
_FIELDS: Final = {"approve": "approval", "ask": "asking", "refuse": "refusal"}


@blueprint.get("")
async def queue() -> Response:
    account = gate.steward()
    review = gate.services().review
    named = request.args.get("state", "waiting")
    state = _STATES.get(named, State.APPLIED)
    cause = next((c for c in Cause if c.value == request.args.get("cause")), None)
    role = next((r for r in Role if r.value == request.args.get("role")), None)
    before = request.args.get("before")
    worklist = await review.worklist(
        state if state in OPEN else State.APPLIED, before, by=account, cause=cause, role=role
    )
    decided = None if state in OPEN else await review.queue(state, before, by=account)
    return await page(
        "admin/reviews.html",
        state=named if named in _STATES else "waiting",
        states=[
            (name, terms.application_state(each), worklist.states[each])
            for name, each in _STATES.items()
        ],
        worklist=worklist,
        decided=decided,
        flagged=await gate.services().recheck.waiting(),
        cause=cause,
        role=role,
        causes=[(each.value, terms.cause(each), count) for each, count in worklist.causes.items()],
        roles=[(each.value, words.role(each), count) for each, count in worklist.roles.items()],
    )


@blueprint.get("/<application_id>")
async def look(application_id: str) -> Response:
    return await desk_page(gate.steward(), application_id, forms.Form())


@blueprint.post("/<application_id>/approve")
async def approve(application_id: str) -> Response:
    account = gate.steward()
    form = await forms.sent()
    if form.get("do") in {"words", "see"}:
        return await _begun(account, application_id, form, "approve")
    kinds = _kinds(form)
    reason = form.get("approval").strip()
    if not reason:
        form.refuse("approval", "Write what it was, in a few words.")
    if form.wrong:
        return await desk_page(account, application_id, form, 400)
    try:
        done = await gate.services().review.approve(
            application_id, account, reason, kinds, seen=form.get("seen")
        )
    except (BadInput, Conflict, Forbidden) as error:
        return await _refused(account, application_id, form, error, "approval")
    return gate.go("/admin/reviews", "verified" if done.state is State.APPROVED else "proposed")


@blueprint.post("/<application_id>/<any(refuse, ask):answer>")
async def turn_away(application_id: str, answer: str) -> Response:
    """Refuse with a reason, or ask the member something; both read by the member."""
    account = gate.steward()
    review = gate.services().review
    form = await forms.sent()
    if form.get("do") == "words":
        return await _begun(account, application_id, form, answer)
    field = _FIELDS[answer]
    reason = form.get(field).strip()
    if not reason:
        form.refuse(field, "Tell the member what is missing; they read this.")
        return await desk_page(account, application_id, form, 400)
    try:
        if answer == "refuse":
            await review.refuse(application_id, account, reason)
        else:
            await review.ask(application_id, account, reason)
    except (BadInput, Conflict, Forbidden) as error:
        return await _refused(account, application_id, form, error, field)
    return gate.go("/admin/reviews", "refused" if answer == "refuse" else "question")


@blueprint.post("/<application_id>/note")
async def note(application_id: str) -> Response:
    """Words for colleagues on the desk; the member never sees them."""
    account = gate.steward()
    form = await forms.sent()
    try:
        await gate.services().review.note(application_id, account, form.get("note"))
    except BadInput as error:
        return await _refused(account, application_id, form, error, "note")
    return gate.go(f"/admin/reviews/{application_id}#notes", "noted")


@blueprint.post("/<application_id>/judge")
async def judge(application_id: str) -> Response:
    """What an entry of an exclusion list was found to be."""
    account = gate.steward()
    form = await forms.sent()
    key = form.get("key")
    field = f"judgement-{key}"
    try:
        await gate.services().review.judge(application_id, account, key, form.get(field))
    except (BadInput, Conflict, Forbidden) as error:
        form.refuse(field, error.text)
        return await desk_page(account, application_id, form, error.status)
    return gate.go(f"/admin/reviews/{application_id}", "judged")


async def _begun(
    account: Account, application_id: str, form: forms.Form, decision: str
) -> Response:
    """The same form with chosen words in it, or with what the chosen evidence would give."""
    field = _FIELDS[decision]
    if form.get("do") == "words":
        chosen = form.get(f"{field}-words")
        for wording in wordings(gate.services().config.review_templates):
            if (wording.kind, wording.name) == (decision, chosen):
                typed = form.get(field).strip()
                form.values[field] = f"{typed}\n{wording.text}" if typed else wording.text
    return await desk_page(account, application_id, form)


async def _refused(
    account: Account, application_id: str, form: forms.Form, error: FedidocError, field: str
) -> Response:
    named = error.field if isinstance(error, BadInput) else None
    form.refuse(named if named == "kinds" else field, error.text)
    return await desk_page(account, application_id, form, error.status)


def _kinds(form: forms.Form) -> list[EvidenceKind]:
    return [kind for kind in EvidenceKind if kind.value in form.chosen("kinds")]


async def desk_page(
    account: Account, application_id: str, form: forms.Form, status: int = 200
) -> Response:
    """The desk of one application, for its reviewer."""
    rooms = gate.services()
    desk = await rooms.review.look(application_id, by=account)
    applicant = desk.application.account
    proposal = desk.proposal
    confirms = proposal is not None and proposal.by_id != account.id
    if confirms and proposal is not None and "kinds" not in form.lists and not form.values:
        form.lists["kinds"] = tuple(kind.value for kind in proposal.kinds)
    chosen = wordings(rooms.config.review_templates)
    return await page(
        "admin/review.html",
        status=status,
        form=form,
        desk=desk,
        application=desk.application,
        open=desk.application.state in OPEN,
        kinds=[(kind.value, kind.label) for kind in desk.kinds],
        confirms=confirms,
        four_eyes=rooms.config.review.four_eyes,
        wordings={
            kind: [(each.name, each.name) for each in chosen if each.kind == kind]
            for kind in _FIELDS
        },
        gives=_gives(desk, form),
        # Nobody reviews themselves, so their own documents are not theirs to open here.
        documents=await rooms.documents.of_application(application_id, by=account)
        if applicant.id != account.id
        else (),
        vouches=await rooms.vouches.of_account(applicant.id),
    )


def _gives(desk: Desk, form: forms.Form) -> tuple[str, str] | None:
    """The level and the assurance that what is held gives with what is ticked; None for none."""
    together = {item.kind for item in desk.evidence} | set(_kinds(form))
    profession = desk.application.claim.profession
    level = gate.services().policy.level_for(profession, together)
    assurance = assurance_of(together)
    if level is None or assurance is None:
        return None
    may = terms.rights(level.may) or "nothing"
    mark = f", marked “{level.mark}”" if level.mark else ""
    return f"{level.name}: may {may}{mark}", words.assurance(assurance.value)
