"""Applying for verification, and how the application stands."""

from __future__ import annotations

from quart import Blueprint, redirect

from fedidoc.errors import BadInput, Conflict, TooMany
from fedidoc.model import Role, Standing
from fedidoc.verification.claims import Claim
from fedidoc.verification.review import State
from fedidoc.web import forms, gate, words
from fedidoc.web.gate import Response
from fedidoc.web.pages.drafts import begun
from fedidoc.web.pages.entrance import roles_offered
from fedidoc.web.pages.proofs import application_page
from fedidoc.web.pages.specialties import chosen_specialty
from fedidoc.web.render import page

blueprint = Blueprint("membership", __name__)


@blueprint.get("/application")
async def application() -> Response:
    return await application_page(gate.member(), forms.Form())


@blueprint.get("/apply")
async def apply_form() -> Response:
    account = gate.member()
    asked = await gate.services().review.current(account)
    is_asked = asked is not None and asked.state is State.ASKED
    if account.standing not in {Standing.NEW, Standing.REFUSED} and not is_asked:
        return redirect("/application", 303)
    claim = asked.claim if asked is not None and is_asked else None
    actor = await gate.services().profiles.get(account.actor_id)
    form, _ = await begun(
        account,
        "apply",
        {
            "legal_name": actor.name,
            "profession": account.role.value,
            "specialty": account.specialty.label if account.specialty else "",
        }
        if claim is None
        else {
            "legal_name": claim.legal_name,
            "profession": claim.profession.value,
            "specialty": claim.specialty.label if claim.specialty else "",
            "jurisdiction": claim.jurisdiction,
            "licence_number": claim.licence_number,
            "npi": claim.npi,
            "note": claim.note,
            "birth_date": claim.birth_date,
        },
    )
    return await _apply_page(form)


@blueprint.post("/apply")
async def apply() -> Response:
    account = gate.member()
    form = await forms.sent()
    specialty = await chosen_specialty(form)
    if form.get("profession") not in {role.value for role in roles_offered()}:
        form.refuse("profession", "Choose your profession.")
    status = 400
    if not form.wrong:
        try:
            await gate.services().review.apply(
                account,
                Claim(
                    legal_name=form.line("legal_name"),
                    profession=Role(form.get("profession")),
                    licence_number=form.line("licence_number"),
                    jurisdiction=form.line("jurisdiction"),
                    npi=form.line("npi"),
                    specialty=specialty,
                    note=form.get("note"),
                    birth_date=form.line("birth_date"),
                ),
            )
        except (BadInput, Conflict, TooMany) as error:
            status = error.status
            form.refuse(getattr(error, "field", None) or "", error.text)
        else:
            await gate.services().drafts.delete(account, "apply")
            return gate.go("/application", "applied")
    return await _apply_page(form, status)


@blueprint.post("/application/withdraw")
async def withdraw() -> Response:
    await gate.services().review.withdraw(gate.member())
    return gate.go("/application", "withdrawn")


async def _apply_page(form: forms.Form, status: int = 200) -> Response:
    return await page(
        "account/apply.html",
        status=status,
        form=form,
        roles=[(role.value, words.role(role)) for role in roles_offered()],
        specialties=await gate.services().specialties.common(),
        asks_birth_date=await gate.services().exclusions.loaded(),
    )
