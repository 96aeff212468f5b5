"""Keeping away from somebody, and showing the stewards what should not be here."""

from __future__ import annotations

from typing import Final

from quart import Blueprint

from fedidoc.clinical.reports import Reason
from fedidoc.errors import BadInput, NotFound, TooMany
from fedidoc.model import Actor, Post
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page
from fedidoc.web.words import REPORTS, Choice

blueprint = Blueprint("safety", __name__)

_REASONS: Final = tuple(Choice(reason.value, *REPORTS[reason]) for reason in Reason)


@blueprint.post("/block")
async def block() -> Response:
    account = gate.clinician()
    rooms = gate.services()
    form = await forms.sent()
    actor = await rooms.profiles.get(form.get("actor"))
    onward = gate.own_path(form.get("next"))
    if form.get("do") == "unblock":
        await rooms.blocks.unblock(account, actor)
        return gate.go(onward, "unblocked")
    await rooms.blocks.block(account, actor)
    return gate.go(onward, "blocked")


@blueprint.get("/settings/blocked")
async def blocked() -> Response:
    account = gate.clinician()
    people = await gate.services().blocks.list(account)
    return await page("account/blocked.html", people=people)


@blueprint.get("/report/post/<post_id>")
async def report_post(post_id: str) -> Response:
    post = await gate.services().cases.get(gate.clinician(), post_id)
    return await _form(forms.Form(), post=post, subject=post.author)


@blueprint.post("/report/post/<post_id>")
async def send_post(post_id: str) -> Response:
    account = gate.clinician()
    rooms = gate.services()
    post = await rooms.cases.get(account, post_id)
    form = await forms.sent()
    reason = _reason(form)
    if reason is not None:
        try:
            await rooms.reports.report_post(account, post_id, reason, form.get("words"))
        except (BadInput, TooMany) as error:
            form.refuse(getattr(error, "field", None) or "words", error.text)
            return await _form(form, error.status, post=post, subject=post.author)
        return gate.go(f"/cases/{post.case_id or post.id}", "reported")
    return await _form(form, 400, post=post, subject=post.author)


@blueprint.get("/report/person/<actor_id>")
async def report_person(actor_id: str) -> Response:
    gate.clinician()
    return await _form(forms.Form(), subject=await gate.services().profiles.get(actor_id))


@blueprint.post("/report/person/<actor_id>")
async def send_person(actor_id: str) -> Response:
    account = gate.clinician()
    rooms = gate.services()
    subject = await rooms.profiles.get(actor_id)
    if subject.id == account.actor_id:
        raise NotFound
    form = await forms.sent()
    reason = _reason(form)
    if reason is not None:
        try:
            await rooms.reports.report_actor(account, subject, reason, form.get("words"))
        except (BadInput, TooMany) as error:
            form.refuse(getattr(error, "field", None) or "words", error.text)
            return await _form(form, error.status, subject=subject)
        return gate.go("/", "reported")
    return await _form(form, 400, subject=subject)


def _reason(form: forms.Form) -> Reason | None:
    found = next((reason for reason in Reason if reason.value == form.get("reason")), None)
    if found is None:
        form.refuse("reason", "Choose what is wrong.")
    return found


async def _form(
    form: forms.Form, status: int = 200, *, subject: Actor, post: Post | None = None
) -> Response:
    return await page(
        "people/report.html", status=status, form=form, subject=subject, post=post, reasons=_REASONS
    )
