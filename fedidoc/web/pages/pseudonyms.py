"""Pseudonyms: the yearly code, enrolling, their own log-in, and what their owners change."""

from __future__ import annotations

from quart import Blueprint, redirect, request
from quart import Response as Made

from fedidoc.errors import (
    BadInput,
    Conflict,
    FedidocError,
    Forbidden,
    NotFound,
    NotSignedIn,
    TooMany,
)
from fedidoc.model import Account
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("pseudonyms", __name__)

_REFUSALS = (BadInput, Conflict, Forbidden, NotSignedIn, TooMany)


@blueprint.get("/your-code")
async def code() -> Response:
    """The yearly code of a member: everybody comes by here once a year."""
    account = gate.clinician()
    if account.pseudonymous:
        raise NotFound
    enrolment = gate.pseudonym_rooms().enrolment
    return await page(
        "pseudonyms/code.html", code=await enrolment.hand_out(account), year=enrolment.year
    )


@blueprint.get("/pseudonym")
async def explain() -> Response:
    rooms = gate.pseudonym_rooms()
    return await page("pseudonyms/explain.html", facts=await rooms.openings.transparency())


@blueprint.get("/transparency")
async def transparency() -> Response:
    """Open to all: who holds the shares, and how often which were opened."""
    rooms = gate.pseudonym_rooms()
    return await page(
        "pseudonyms/transparency.html",
        facts=await rooms.openings.transparency(),
        crowd=gate.services().config.pseudonyms.crowd,
    )


@blueprint.get("/avatars/<name>.png")
async def avatar(name: str) -> Response:
    """A pseudonym's picture. Its key, which it is made of, is open to everybody too."""
    response = Made(await gate.services().profiles.avatar(name), content_type="image/png")
    response.headers["Cache-Control"] = "public, max-age=86400"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


# Enrolling and logging in: pages for nobody ------------------------------------------------------


def _elsewhere() -> Response | None:
    """To the pseudonyms' own origin, if they have one and this is not it."""
    if gate.services().config.pseudonyms.origin and not gate.at_own_origin():
        return redirect(gate.own_origin() + request.path, 303)
    return None


async def _log_out_first() -> Response | None:
    """Somebody is logged in: the two are never used side by side."""
    account = gate.visitor()
    if account is None:
        return None
    if account.pseudonymous:
        return redirect("/pseudonym/own", 303)
    return await page("pseudonyms/leave.html", status=409)


@blueprint.get("/pseudonym/enrol")
async def enrol_form() -> Response:
    rooms = gate.pseudonym_rooms()
    other = _elsewhere() or await _log_out_first()
    if other is not None:
        return other
    return await page(
        "pseudonyms/enrol.html", form=forms.Form(), facts=await rooms.openings.transparency()
    )


@blueprint.post("/pseudonym/enrol")
async def enrol() -> Response:
    rooms = gate.pseudonym_rooms()
    other = _elsewhere() or await _log_out_first()
    if other is not None:
        return other
    form = await forms.sent()
    for name, text in (
        ("code", "Paste your yearly code."),
        ("handle", "Choose a handle."),
        ("passphrase", "Choose a passphrase."),
    ):
        if not form.get(name).strip():
            form.refuse(name, text)
    if not form.ticked("understood"):
        form.refuse("understood", "Read what is protected and what is not, and tick this.")
    status = 400
    if not form.wrong:
        try:
            recovery = await rooms.enrolment.enrol(
                form.get("code"),
                form.line("handle"),
                form.get("passphrase"),
                show_specialty=form.ticked("show_specialty"),
                jitter=form.ticked("jitter"),
                address=gate.address(),
            )
        except _REFUSALS as error:
            status = error.status
            form.refuse(getattr(error, "field", None) or "code", error.text)
        else:
            handle = form.line("handle").lstrip("@").lower()
            return await page("pseudonyms/enrolled.html", codes=recovery, handle=handle)
    return await page(
        "pseudonyms/enrol.html",
        status=status,
        form=form,
        facts=await rooms.openings.transparency(),
    )


@blueprint.get("/pseudonym/log-in")
async def log_in_form() -> Response:
    gate.pseudonym_rooms()
    other = _elsewhere() or await _log_out_first()
    return other if other is not None else await _log_in_page(forms.Form())


@blueprint.post("/pseudonym/log-in")
async def log_in() -> Response:
    rooms = gate.pseudonym_rooms()
    other = _elsewhere() or await _log_out_first()
    if other is not None:
        return other
    form = await forms.sent()
    try:
        done = await rooms.accounts.log_in(
            form.line("handle"),
            form.get("passphrase"),
            address=gate.address(),
            previous=gate.pseudonym_token() or None,
        )
    except _REFUSALS as error:
        form.refuse(getattr(error, "field", None) or "handle", error.text)
        return await _log_in_page(form, error.status)
    return _entered(done.token)


@blueprint.post("/pseudonym/log-in/passkey")
async def log_in_by_passkey() -> Response:
    rooms = gate.pseudonym_rooms()
    other = _elsewhere() or await _log_out_first()
    if other is not None:
        return other
    form = await forms.sent()
    try:
        done = await rooms.accounts.log_in_by_passkey(
            form.get("passkey"),
            address=gate.address(),
            previous=gate.pseudonym_token() or None,
        )
    except _REFUSALS as error:
        form.refuse("passkey", error.text)
        return await _log_in_page(form, error.status)
    return _entered(done.token)


@blueprint.get("/pseudonym/recover")
async def recover_form() -> Response:
    gate.pseudonym_rooms()
    other = _elsewhere() or await _log_out_first()
    return other if other is not None else await page("pseudonyms/recover.html", form=forms.Form())


@blueprint.post("/pseudonym/recover")
async def recover() -> Response:
    rooms = gate.pseudonym_rooms()
    other = _elsewhere() or await _log_out_first()
    if other is not None:
        return other
    form = await forms.sent()
    try:
        done = await rooms.accounts.recover(
            form.line("handle"),
            form.get("recovery_code"),
            form.get("passphrase"),
            address=gate.address(),
        )
    except _REFUSALS as error:
        form.refuse(getattr(error, "field", None) or "handle", error.text)
        return await page("pseudonyms/recover.html", status=error.status, form=form)
    return _entered(done.token)


def _entered(token: str) -> Response:
    response = redirect("/", 303)
    gate.begin_pseudonym_session(response, token)
    return response


async def _log_in_page(form: forms.Form, status: int = 200) -> Response:
    options = gate.pseudonym_rooms().accounts.log_in_options()
    return await page("pseudonyms/log_in.html", status=status, form=form, options=options)


# Its owner's page ---------------------------------------------------------------------------------


@blueprint.get("/pseudonym/own")
async def own() -> Response:
    return await _own(gate.pseudonym(), forms.Form())


@blueprint.post("/pseudonym/own")
async def change() -> Response:
    """One form for each thing; `do` says which was sent."""
    account = gate.pseudonym()
    rooms = gate.pseudonym_rooms()
    form = await forms.sent()
    do = form.get("do")
    try:
        if do == "passphrase":
            done = await rooms.accounts.change_passphrase(
                account,
                form.get("old_passphrase"),
                form.get("passphrase"),
                address=gate.address(),
            )
            response = gate.go("/pseudonym/own", "passphrase")
            gate.begin_pseudonym_session(response, done.token)
            return response
        if do == "jitter":
            await rooms.accounts.set_jitter(account, form.ticked("jitter"))
            return gate.go("/pseudonym/own", "saved")
        if do == "recovery":
            codes = await rooms.accounts.replace_recovery_codes(account)
            return await page("pseudonyms/recovery.html", codes=codes)
        if do == "renew":
            await rooms.enrolment.renew(account, form.get("code"))
            return gate.go("/pseudonym/own", "tonight")
        if do == "passkey":
            await rooms.accounts.add_passkey(account, form.get("passkey"))
            return gate.go("/pseudonym/own", "passkey")
        if do == "forget":
            await rooms.accounts.remove_passkey(account, form.get("passkey"))
            return gate.go("/pseudonym/own", "saved")
        raise BadInput("Choose what to change.")
    except FedidocError as error:
        form.refuse(getattr(error, "field", None) or "", error.text)
        return await _own(account, form, error.status)


async def _own(account: Account, form: forms.Form, status: int = 200) -> Response:
    rooms = gate.pseudonym_rooms()
    overview = await rooms.accounts.overview(account)
    if not form.wrong:
        form.values["jitter"] = "yes" if overview.jitter else ""
    return await page(
        "pseudonyms/own.html",
        status=status,
        form=form,
        mine=overview,
        options=await rooms.accounts.passkey_options(account),
        due=overview.until - gate.services().clock.now() < 60 * 86_400_000,
    )
