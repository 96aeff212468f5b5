"""What a member changes about themselves: profile, password, sessions."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.errors import BadInput, Conflict, TooMany
from fedidoc.model import Account
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.pages.drafts import begun
from fedidoc.web.render import page

blueprint = Blueprint("settings", __name__)


@blueprint.get("/settings")
async def show() -> Response:
    account = gate.member()
    form, _ = await begun(account, "settings", (await _profile_form(account)).values)
    return await _settings(account, form)


@blueprint.post("/settings")
async def save() -> Response:
    account = gate.member()
    form = await forms.sent()
    try:
        await gate.services().profiles.update(
            account,
            name=form.line("name"),
            summary=form.get("summary"),
            approves_follows=form.ticked("approves_follows"),
            discoverable=form.ticked("discoverable"),
        )
    except BadInput as error:
        form.refuse_for(error, otherwise="name")
        return await _settings(account, form, error.status)
    await gate.services().drafts.delete(account, "settings")
    return gate.go("/settings", "saved")


@blueprint.post("/settings/password")
async def change_password() -> Response:
    account = gate.member()
    sent = await forms.sent()
    form = await _profile_form(account)
    try:
        _, token, _ = await gate.services().accounts.change_password(
            account,
            sent.get("old_password"),
            sent.get("new_password"),
            address=gate.address(),
        )
    except (BadInput, Conflict, TooMany) as error:
        form.refuse(getattr(error, "field", None) or "old_password", error.text)
        return await _settings(account, form, error.status)
    response = gate.go("/settings", "password")
    gate.begin_session(response, token)
    return response


@blueprint.post("/settings/sessions")
async def end_sessions() -> Response:
    account = gate.member()
    await gate.services().accounts.end_other_sessions(account, gate.session_token())
    return gate.go("/settings", "sessions")


async def _profile_form(account: Account) -> forms.Form:
    profiles = gate.services().profiles
    actor = await profiles.get(account.actor_id)
    return forms.filled(
        {
            "name": actor.name,
            "summary": await profiles.summary(account),
            "approves_follows": "yes" if actor.approves_follows else "",
            "discoverable": "yes" if actor.discoverable else "",
        }
    )


async def settings_page(account: Account, wrong: forms.Form, status: int) -> Response:
    """The settings with what is wrong with a form that stands among them."""
    form = await _profile_form(account)
    form.errors.update(wrong.errors)
    return await _settings(account, form, status)


async def _settings(account: Account, form: forms.Form, status: int = 200) -> Response:
    rooms = gate.services()
    return await page(
        "account/settings.html",
        status=status,
        form=form,
        sessions=await rooms.accounts.sessions(account, gate.session_token()),
        provider=rooms.config.identity_provider if rooms.sign_in else None,
        login=await rooms.sign_in.login(account) if rooms.sign_in else None,
        has_password=await rooms.accounts.has_password(account),
    )
