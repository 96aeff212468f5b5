"""Signing in by the house's identity provider, linking a login, and being logged out everywhere.

A form may not lead to another site (`form-action 'self'`, which Chromium also holds redirects to):
so the way to the provider is always a link, or the page that a form answers with goes on by itself.
"""

from __future__ import annotations

from quart import Blueprint, redirect, request
from quart import Response as Made

from fedidoc.accounts.passes import Passes, Purpose
from fedidoc.accounts.refusals import SignInRefused
from fedidoc.accounts.sign_in import SignIn
from fedidoc.errors import BadInput, FedidocError, NotFound, TooMany
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.pages.settings import settings_page
from fedidoc.web.render import page

blueprint = Blueprint("sso", __name__)

_LONGEST_ANSWER = 8192
_ANSWER = ("state", "code", "iss", "error")


def _door() -> SignIn:
    """The provider's door; where there is none, its pages do not exist."""
    found = gate.services().sign_in
    if found is None:
        raise NotFound
    return found


@blueprint.get("/log-in/provider")
async def leave() -> Response:
    """To the provider, and from there back to `finish`."""
    door = _door()
    onward = gate.own_path(request.args.get("next"))
    if gate.visitor() is not None:
        return redirect(onward, 303)
    try:
        begun = await door.begin(onward)
    except SignInRefused as error:
        return await _refusal(error)
    response = redirect(begun.url, 303)
    gate.remember_sign_in(response, begun.cookie)
    return response


@blueprint.get("/log-in/provider/return")
async def finish() -> Response:
    """Where the provider sends the browser back to."""
    door = _door()
    try:
        if len(request.query_string) > _LONGEST_ANSWER:
            raise SignInRefused("bad_answer")
        given = {name: request.args.getlist(name) for name in _ANSWER}
        if any(len(values) > 1 for values in given.values()):
            raise SignInRefused("bad_answer")
        done = await door.finish(
            gate.sign_in_cookie(),
            {name: values[0] for name, values in given.items() if values},
            present=gate.visitor(),
            previous=gate.session_token() or None,
            address=gate.address(),
        )
    except (SignInRefused, NotFound, TooMany) as error:
        response = await _refusal(error)
        gate.forget_sign_in(response)
        return response
    account, token, _ = done.session
    if done.created:
        said = "enrolled" if account.verified else "welcome"
        response = gate.go("/" if account.verified else "/application", said)
    else:
        response = gate.go(done.onward, "linked") if done.linked else redirect(done.onward, 303)
    gate.begin_session(response, token)
    gate.forget_sign_in(response)
    return response


@blueprint.post("/log-in/provider/back-channel")
async def back_channel() -> Response:
    """The provider tells that somebody was logged out there (Back-Channel Logout 1.0 section 2.5).

    Its signature says who sends it: no session, no cookie and no form of ours is asked for.
    """
    door = _door()
    headers = {"Cache-Control": "no-store"}
    tokens = (await request.form).getlist("logout_token")
    if len(tokens) != 1:
        return Made("", 400, headers)
    try:
        await door.end_from_afar(tokens[0])
    except SignInRefused as error:
        return Made("", 503 if error.reason == "away" else 400, headers)
    return Made("", 200, headers)


@blueprint.get("/log-in/provider/left")
async def left() -> Response:
    """Back from the provider after a log-out."""
    if gate.visitor() is not None or not _door().has_left(request.args.get("state", "")):
        return redirect("/", 303)
    return await page("account/logged_out.html", onward=None, provider=_door().name)


# Linking ----------------------------------------------------------------------------------------


@blueprint.post("/settings/login")
async def link() -> Response:
    """Who confirms with the password goes on to the provider, by a link."""
    door, account = _door(), gate.member()
    form = await forms.sent()
    try:
        begun = await door.begin_to_link(
            account, form.get("login_password"), "/settings#signing-in", address=gate.address()
        )
    except (BadInput, TooMany, SignInRefused) as error:
        return await settings_page(account, _wrong(error), error.status)
    response = await page("account/go_on.html", onward=begun.url, provider=door.name)
    gate.remember_sign_in(response, begun.cookie)
    return response


@blueprint.post("/settings/login/unlink")
async def unlink() -> Response:
    door, account = _door(), gate.member()
    form = await forms.sent()
    try:
        await door.unlink(account, form.get("login_password"), address=gate.address())
    except FedidocError as error:
        return await settings_page(account, _wrong(error), error.status)
    if await gate.services().accounts.session(gate.session_token()) is None:
        # This session had begun with the login that is gone.
        response = gate.to_log_in("/settings")
        gate.end_session(response)
        return response
    return gate.go("/settings#signing-in", "unlinked")


def _wrong(error: FedidocError) -> forms.Form:
    form = forms.Form()
    form.refuse("login_password", error.text)
    return form


# What the operator hands out --------------------------------------------------------------------


@blueprint.get("/log-in/pass/<token>")
async def see_pass(token: str) -> Response:
    """A pass is only used by a button: programs that look at links in messages use up nothing."""
    account, purpose = await _passes().see(token)
    if purpose is Purpose.LINK:
        _door()
    return await page(
        "account/pass.html",
        token=token,
        owner=account.username,
        links=purpose is Purpose.LINK,
        provider=gate.services().config.identity_provider.name,
    )


@blueprint.post("/log-in/pass/<token>")
async def use_pass(token: str) -> Response:
    _, purpose = await _passes().see(token)
    if purpose is Purpose.ENTER:
        signed_in = await _passes().enter(token, previous=gate.session_token() or None)
        response = gate.go("/")
        gate.begin_session(response, signed_in.token)
        return response
    door = _door()
    try:
        begun = await door.begin("/", pass_=token)
    except SignInRefused as error:
        return await _refusal(error)
    response = await page("account/go_on.html", onward=begun.url, provider=door.name)
    gate.remember_sign_in(response, begun.cookie)
    return response


def _passes() -> Passes:
    return gate.services().passes


async def _refusal(error: FedidocError) -> Response:
    """A page that says what to do; the status tells programs."""
    away = isinstance(error, SignInRefused) and error.reason in ("away", "provider_error")
    response = await page(
        "account/refused.html",
        status=error.status,
        text=error.text,
        sign="peers" if away else "lock",
        exclusive=gate.services().config.identity_provider.exclusive,
        provider=gate.services().config.identity_provider.name,
    )
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response
