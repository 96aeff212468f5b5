"""Colleagues: profiles, badges, finding, following."""

from __future__ import annotations

from quart import Blueprint, make_response, redirect, request

from fedidoc.errors import BadInput, FedidocError, NotFound
from fedidoc.model import Account, Actor, FollowState, Page
from fedidoc.verification.examination import Result
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.pages.specialties import chosen_specialty
from fedidoc.web.render import page

blueprint = Blueprint("people", __name__)

_LIST = 50


@blueprint.get("/@<handle>")
async def profile(handle: str) -> Response:
    account = gate.clinician()
    rooms = gate.services()
    actor = await _actor(handle)
    followers, following = await rooms.follows.counts(actor.id)
    mine = actor.id == account.actor_id
    posts = await rooms.cases.by_author(account, actor.id, request.args.get("before"))
    return await page(
        "people/profile.html",
        actor=actor,
        mine=mine,
        follow=await rooms.follows.state(account, actor.id),
        followers=followers,
        following=following,
        blocks=not mine and await rooms.blocks.has(account, actor.id),
        moved_to=await rooms.moves.destination(actor),
        requests=len(await rooms.follows.requests(account)) if mine else 0,
        posts=posts,
        lapsed=await rooms.profiles.lapsed_since(posts.items),
    )


@blueprint.get("/users/<username>")
async def profile_by_uri(username: str) -> Response:
    """A person who opens an actor's URL in a browser."""
    return redirect(f"/@{username}", 303)


@blueprint.get("/@<handle>/<any(followers, following):which>")
async def follow_list(handle: str, which: str) -> Response:
    account = gate.clinician()
    follows = gate.services().follows
    actor = await _actor(handle)
    if actor.badge.sealed and actor.id != account.actor_id:
        raise NotFound  # nobody is shown who follows a pseudonym
    name = actor.name or actor.username
    after = request.args.get("after", "")
    if which == "followers":
        found, heading = await follows.followers(actor.id, after), f"Who follows {name}"
    else:
        found, heading = await follows.following(actor.id, after), f"Whom {name} follows"
    people = Page(tuple(found[:_LIST]), found[_LIST - 1].id if len(found) > _LIST else None)
    return await page("people/list.html", actor=actor, people=people, heading=heading, which=which)


@blueprint.get("/badge/<actor_id>")
async def badge(actor_id: str) -> Response:
    actor, mine = await _badge_of(actor_id)
    dossier = await gate.services().dossiers.of(actor)
    found = dossier.examination
    shown, failed = actor.badge, None
    if found is not None:
        failed = next((c.step for c in found.checks if c.result is Result.FAILED), None)
        if shown.verified and failed is not None:
            # It was concluded earlier, and does not hold any more.
            shown = found.badge
    return await page(
        "people/badge.html",
        actor=actor,
        mine=mine,
        b=shown,
        dossier=dossier,
        checks=found.checks if found else (),
        failed=failed,
        file=_file_name(actor, "credential"),
        list_file=_file_name(actor, "status-list"),
    )


@blueprint.get("/badge/<actor_id>/<any('credential', 'status-list'):which>")
async def badge_document(actor_id: str, which: str) -> Response:
    """The credential, or its issuer's status list, byte for byte as it was checked."""
    actor, _ = await _badge_of(actor_id)
    dossier = await gate.services().dossiers.of(actor)
    document = dossier.document if which == "credential" else dossier.status_list
    if document is None:
        raise NotFound
    response = await make_response(document)
    response.headers["Content-Type"] = "application/vc+ld+json"
    response.headers["Content-Disposition"] = f'attachment; filename="{_file_name(actor, which)}"'
    return response


async def _badge_of(actor_id: str) -> tuple[Actor, bool]:
    """The actor, and whether it is the visitor's own: theirs to see before they are verified.
    Stewards see all, since they decide on them."""
    account = gate.member()
    if account.actor_id != actor_id and not account.admin:
        gate.clinician()
    return await gate.services().profiles.get(actor_id), account.actor_id == actor_id


def _file_name(actor: Actor, what: str) -> str:
    """A name for a download that means nothing to a shell or a header."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "_" for c in actor.handle)
    return f"{name.strip('._')[:80]}.{what}.json"


@blueprint.get("/find")
async def find() -> Response:
    account = gate.clinician()
    rooms = gate.services()
    form = forms.read(request.args)
    typed = form.line("q")
    specialty = await chosen_specialty(form)
    found: Actor | None = None
    status = 200
    if _elsewhere(typed):
        try:
            found = await rooms.remote.find(typed)
        except FedidocError as error:
            status = 404 if isinstance(error, NotFound) else error.status
            text = "Nobody has this handle." if isinstance(error, NotFound) else error.text
            form.refuse("q", text)
    members: Page[Actor] = Page((), None)
    if found is None and not form.wrong:
        members = await rooms.profiles.directory(
            typed, specialty.code if specialty else "", request.args.get("after")
        )
    shown = [*members.items, *([found] if found else [])]
    return await page(
        "people/find.html",
        status=status,
        form=form,
        found=found,
        members=members,
        searched=bool(typed or specialty),
        follows=await _follow_states(account, shown),
        specialties=await rooms.specialties.common(),
    )


@blueprint.post("/follow")
async def follow() -> Response:
    account = gate.clinician()
    rooms = gate.services()
    form = await forms.sent()
    actor = await rooms.profiles.get(form.get("actor"))
    onward = gate.own_path(form.get("next"))
    if form.get("do") == "unfollow":
        await rooms.follows.unfollow(account, actor)
        return gate.go(onward, "unfollowed")
    made = await rooms.follows.follow(account, actor)
    return gate.go(onward, "followed" if made.state is FollowState.ACCEPTED else "asked")


@blueprint.get("/requests")
async def follow_requests() -> Response:
    account = gate.clinician()
    return await page(
        "people/requests.html", people=await gate.services().follows.requests(account)
    )


@blueprint.post("/requests")
async def decide_request() -> Response:
    account = gate.clinician()
    form = await forms.sent()
    follows = gate.services().follows
    if form.get("do") == "approve":
        await follows.approve(account, form.get("actor"))
        return gate.go("/requests", "approved")
    if form.get("do") == "decline":
        await follows.refuse(account, form.get("actor"))
        return gate.go("/requests", "declined")
    if form.get("do") == "remove":
        await follows.refuse(account, form.get("actor"))
        return gate.go(f"/@{account.username}/followers", "removed")
    raise BadInput("Choose whether to accept or to decline.")


@blueprint.get("/notifications")
async def notifications() -> Response:
    account = gate.clinician()
    room = gate.services().notifications
    notices = await room.list(account, request.args.get("before"))
    response = await page("people/notifications.html", notices=notices)
    await room.mark_read(account)
    return response


async def _actor(handle: str) -> Actor:
    username, _, host = handle.partition("@")
    actor = await gate.services().profiles.by_handle(
        username, host or gate.services().config.domain
    )
    if actor is None:
        raise NotFound
    return actor


async def _follow_states(account: Account, actors: list[Actor]) -> dict[str, FollowState | None]:
    follows = gate.services().follows
    return {actor.id: await follows.state(account, actor.id) for actor in actors}


def _elsewhere(typed: str) -> bool:
    """Whether it is a handle or an address rather than a name."""
    return "://" in typed or typed.removeprefix("acct:").lstrip("@").count("@") == 1
