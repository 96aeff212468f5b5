"""Making an account, logging in, logging out."""

from __future__ import annotations

from quart import Blueprint, redirect, request

from fedidoc.errors import BadInput, Conflict, Forbidden, NotSignedIn, TooMany
from fedidoc.model import Role
from fedidoc.web import forms, gate, words
from fedidoc.web.gate import Response
from fedidoc.web.pages.failures import log_in_page
from fedidoc.web.pages.specialties import chosen_specialty
from fedidoc.web.render import page

blueprint = Blueprint("entrance", __name__)


@blueprint.get("/log-in")
async def log_in_form() -> Response:
    onward = gate.own_path(request.args.get("next"))
    if gate.visitor() is not None:
        return redirect(onward, 303)
    return await log_in_page(forms.Form(), onward=onward)


@blueprint.post("/log-in")
async def log_in() -> Response:
    form = await forms.sent()
    kept = {
        name.removeprefix("kept-"): value
        for name, value in form.values.items()
        if name.startswith("kept-") and name != "kept-place"
    }
    place = form.get("kept-place")
    onward = gate.own_path(form.get("next"))
    for name, label in (("username", "username or e-mail"), ("password", "password")):
        if not form.get(name).strip():
            form.refuse(name, f"Write your {label}.")
    status = 400
    if not form.wrong:
        try:
            account, token, _ = await gate.services().accounts.log_in(
                form.line("username"),
                form.get("password"),
                address=gate.address(),
                previous=gate.session_token() or None,
            )
        except (BadInput, NotSignedIn, Forbidden, TooMany) as error:
            status = error.status
            form.refuse(getattr(error, "field", None) or "username", error.text)
        else:
            path = forms.place_path(place)
            if path and kept:
                await gate.services().drafts.save(account, place, kept)
                response = gate.go(path, "resumed")
            else:
                response = redirect(onward, 303)
            gate.begin_session(response, token)
            return response
    return await log_in_page(form, onward=onward, place=place, kept=kept, status=status)


@blueprint.post("/log-out")
async def log_out() -> Response:
    account, rooms = gate.visitor(), gate.services()
    onward = None
    if account is not None and account.pseudonymous and rooms.nyms is not None:
        await rooms.nyms.accounts.log_out(gate.pseudonym_token())
    elif rooms.sign_in is None:
        await rooms.accounts.log_out(gate.session_token())
    else:
        onward = await rooms.sign_in.log_out(gate.session_token())
    if onward is None:
        response = gate.go("/")
    else:
        gate.leave()
        response = await page(
            "account/logged_out.html",
            onward=onward,
            provider=rooms.config.identity_provider.name,
        )
    gate.end_session(response)
    response.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'
    return response


@blueprint.get("/sign-up")
async def sign_up_form() -> Response:
    if gate.visitor() is not None:
        return redirect("/", 303)
    _must_be_open()
    return await _sign_up_page(forms.Form())


@blueprint.post("/sign-up")
async def sign_up() -> Response:
    _must_be_open()
    form = await forms.sent()
    specialty = await chosen_specialty(form)
    offered = {role.value for role in roles_offered()}
    if form.get("role") not in offered:
        form.refuse("role", "Choose what you are.")
    status = 400
    if not form.wrong:
        accounts = gate.services().accounts
        try:
            await accounts.sign_up(
                username=form.line("username"),
                email=form.line("email"),
                password=form.get("password"),
                name=form.line("name"),
                role=Role(form.get("role")),
                specialty=specialty,
                address=gate.address(),
            )
            _, token, _ = await accounts.log_in(
                form.line("username"), form.get("password"), address=gate.address()
            )
        except (BadInput, Conflict, TooMany) as error:
            status = error.status
            form.refuse(getattr(error, "field", None) or "username", error.text)
        else:
            response = gate.go("/application", "welcome")
            gate.begin_session(response, token)
            return response
    return await _sign_up_page(form, status)


def roles_offered() -> list[Role]:
    """The roles that this instance lets in, in the order of the configuration."""
    return [Role(role) for role in gate.services().config.membership.roles]


def _must_be_open() -> None:
    config = gate.services().config
    if not config.membership.open or config.identity_provider.exclusive:
        raise Forbidden("This instance takes no new accounts by itself; ask those who run it.")


async def _sign_up_page(form: forms.Form, status: int = 200) -> Response:
    return await page(
        "account/sign_up.html",
        status=status,
        form=form,
        roles=[(role.value, words.role(role)) for role in roles_offered()],
        specialties=await gate.services().specialties.common(),
    )
