"""Asking for one's verification to be renewed before it ends."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.errors import BadInput, Conflict
from fedidoc.model import Account
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.pages.specialties import chosen_specialty
from fedidoc.web.render import page

blueprint = Blueprint("renewal", __name__)


@blueprint.get("/renewal")
async def show() -> Response:
    account = gate.member()
    actor = await gate.services().profiles.get(account.actor_id)
    return await _page(
        account,
        forms.filled(
            {
                "specialty": account.specialty.label if account.specialty else "",
                "jurisdiction": actor.badge.jurisdiction or "",
            }
        ),
    )


@blueprint.post("/renewal")
async def ask() -> Response:
    account = gate.member()
    form = await forms.sent()
    specialty = await chosen_specialty(form)
    if form.wrong:
        return await _page(account, form, 400)
    try:
        await gate.services().lifetimes.ask(
            account,
            holds=form.ticked("holds"),
            specialty=specialty,
            jurisdiction=form.line("jurisdiction"),
            note=form.get("note"),
        )
    except (BadInput, Conflict) as error:
        form.refuse(getattr(error, "field", None) or "", error.text)
        return await _page(account, form, error.status)
    return gate.go("/renewal", "renewal")


@blueprint.post("/renewal/withdraw")
async def withdraw() -> Response:
    await gate.services().lifetimes.withdraw(gate.member())
    return gate.go("/renewal", "kept")


async def _page(account: Account, form: forms.Form, status: int = 200) -> Response:
    rooms = gate.services()
    return await page(
        "account/renewal.html",
        status=status,
        form=form,
        life=await rooms.lifetimes.of(account),
        specialties=await rooms.specialties.common(),
    )
