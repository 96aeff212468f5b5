"""For moderators: pseudonyms, what is done about them, and cases in which a record is opened."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.errors import BadInput, Conflict, FedidocError, Forbidden, NotFound
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("moderation", __name__, url_prefix="/admin/pseudonyms")


@blueprint.get("")
async def overview() -> Response:
    gate.steward()
    return await _overview(forms.Form())


@blueprint.post("")
async def sanction() -> Response:
    """Warn, mute, unmute, suspend, or ask that a record be opened."""
    account = gate.steward()
    room = gate.pseudonym_rooms().openings
    form = await forms.sent()
    handle, reason, do = form.line("handle"), form.line("reason"), form.get("do")
    try:
        if do == "ask":
            await room.ask(handle, reason, by=account)
            return gate.go("/admin/pseudonyms#cases", "escrow_asked")
        act = {
            "warn": room.warn, "mute": room.mute, "unmute": room.unmute, "suspend": room.suspend,
        }.get(do)  # fmt: skip
        if act is None:
            raise BadInput("Choose what to do.", field="do")
        await act(handle, reason, by=account.id)
    except (BadInput, Conflict, NotFound) as error:
        form.refuse(getattr(error, "field", None) or "handle", error.text)
        return await _overview(form, error.status)
    return gate.go("/admin/pseudonyms", "sanctioned")


@blueprint.post("/cases/<request_id>")
async def decide(request_id: str) -> Response:
    """The second moderator's yes or no."""
    account = gate.steward()
    room = gate.pseudonym_rooms().openings
    form = await forms.sent()
    try:
        if form.get("do") == "approve":
            await room.approve(request_id, by=account)
            return gate.go("/admin/pseudonyms#cases", "escrow_approved")
        await room.refuse(request_id, by=account)
        return gate.go("/admin/pseudonyms#cases", "escrow_refused")
    except (Conflict, Forbidden) as error:
        return await _refused(error)


async def _refused(error: FedidocError) -> Response:
    form = forms.Form()
    form.refuse("", error.text)
    return await _overview(form, error.status)


async def _overview(form: forms.Form, status: int = 200) -> Response:
    account = gate.steward()
    room = gate.pseudonym_rooms().openings
    return await page(
        "admin/pseudonyms.html",
        status=status,
        form=form,
        pseudonyms=await room.every(),
        cases=await room.requests(),
        me=account.id,
    )
