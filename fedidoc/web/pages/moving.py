"""Moving between hospitals: accounts that are also the member's, and going on as another."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.errors import BadInput, FedidocError, NotFound, TooMany
from fedidoc.model import Account, Actor
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("moving", __name__, url_prefix="/settings/moving")


@blueprint.get("")
async def show() -> Response:
    return await _moving(gate.clinician(), forms.Form())


@blueprint.post("/aliases")
async def change_aliases() -> Response:
    account = gate.clinician()
    moves = gate.services().moves
    form = await forms.sent()
    if form.get("remove"):
        await moves.remove_alias(account, form.get("remove"))
        return gate.go("/settings/moving", "saved")
    old = await _found(form, "old")
    if old is not None:
        try:
            await moves.add_alias(account, old)
        except BadInput as error:
            form.refuse_for(error, otherwise="old")
        else:
            return gate.go("/settings/moving", "saved")
    return await _moving(account, form, 400)


@blueprint.post("/away")
async def move() -> Response:
    """Followers are sent on at once and do not come back: so it asks for the password, and who has
    none to say that they are sure."""
    account = gate.clinician()
    form = await forms.sent()
    await _confirm(account, form)
    target = None if form.wrong else await _found(form, "target")
    if target is not None:
        try:
            await gate.services().moves.move(account, target)
        except BadInput as error:
            form.refuse_for(error, otherwise="target")
        else:
            return gate.go("/settings/moving", "moved")
    return await _moving(account, form, 400)


async def _confirm(account: Account, form: forms.Form) -> None:
    accounts = gate.services().accounts
    if not await accounts.has_password(account):
        if not form.ticked("sure"):
            form.refuse("sure", "Say that you are sure.")
        return
    try:
        await accounts.confirm_password(account, form.get("password"), address=gate.address())
    except (BadInput, TooMany) as error:
        form.refuse("password", error.text)


@blueprint.post("/back")
async def come_back() -> Response:
    await gate.services().moves.come_back(gate.clinician())
    return gate.go("/settings/moving", "back")


async def _found(form: forms.Form, name: str) -> Actor | None:
    """The account elsewhere that was typed, fetched from its own server just now."""
    typed = form.line(name)
    if not typed:
        form.refuse(name, "Write the account's handle, such as @ada@st-olaf.example.")
        return None
    try:
        return await gate.services().remote.find(typed)
    except NotFound:
        form.refuse(name, "Nobody has this handle.")
    except FedidocError as error:
        form.refuse(name, error.text)
    return None


async def _moving(account: Account, form: forms.Form, status: int = 200) -> Response:
    return await page(
        "account/moving.html",
        status=status,
        form=form,
        moving=await gate.services().moves.state(account),
        own=await gate.services().profiles.get(account.actor_id),
        has_password=await gate.services().accounts.has_password(account),
    )
