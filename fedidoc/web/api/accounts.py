"""Members and colleagues: who they are, what they wrote, following, finding them."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Account, Actor, Page, Post
from fedidoc.web import gate
from fedidoc.web.api import entities, fields, paging
from fedidoc.web.api.callers import answer, brakes
from fedidoc.web.api.entities import Entity
from fedidoc.web.api.surroundings import statuses
from fedidoc.web.gate import Response

blueprint = Blueprint("accounts", __name__)


@blueprint.get("/api/v1/accounts/verify_credentials")
async def own() -> Response:
    """The member whose token it is; also for one who is not verified yet."""
    member = gate.member()
    rooms = gate.services()
    actor = await rooms.profiles.get(member.actor_id)
    said = await _whole(actor)
    said["source"] = {
        "note": await rooms.profiles.summary(member),
        "fields": [],
        # Where a client takes its default from: the narrowest.
        "privacy": "private",
        "sensitive": False,
        "language": None,
        "follow_requests_count": len(await rooms.follows.requests(member)),
    }
    said["fedidoc"] |= {"standing": member.standing.value, "role": member.role.value}
    return answer(said)


@blueprint.get("/api/v1/accounts/lookup")
async def lookup() -> Response:
    """An actor that is known here, by `acct`: `anna`, or `anna@clinic.example`."""
    gate.clinician()
    actor = await _by_handle(fields.asked().line("acct"))
    if actor is None:
        raise NotFound
    return answer(await _whole(actor))


@blueprint.get("/api/v1/accounts/relationships")
async def relationships() -> Response:
    """What is between the member and each `id[]`, at most 40."""
    member = gate.clinician()
    ids = [*dict.fromkeys(fields.asked().chosen("id"))][: paging.MOST]
    followers = await _followers(member) if ids else set()
    found = []
    for actor_id in ids:
        try:
            actor = await gate.services().profiles.get(actor_id)
        except NotFound:
            continue
        found.append(await _relationship(member, actor.id, followers))
    return answer(found)


@blueprint.get("/api/v1/accounts/<actor_id>")
async def one(actor_id: str) -> Response:
    gate.clinician()
    return answer(await _whole(await gate.services().profiles.get(actor_id)))


@blueprint.get("/api/v1/accounts/<actor_id>/statuses")
async def written(actor_id: str) -> Response:
    """An actor's cases and notes, newest first. Answers stand in their threads."""
    member = gate.clinician()
    actor = await gate.services().profiles.get(actor_id)
    form = fields.asked()
    if fields.is_on(form, "pinned"):
        return answer([])
    pictures_only = fields.is_on(form, "only_media")

    async def read(before: str | None) -> Page[Post]:
        return await gate.services().cases.by_author(member, actor.id, before)

    page = await paging.collect(
        read, paging.wish(), lambda post: bool(post.media) or not pictures_only
    )
    return paging.link(answer(await statuses(member, page.items)), page)


@blueprint.post("/api/v1/accounts/<actor_id>/follow")
async def follow(actor_id: str) -> Response:
    member = gate.clinician()
    rooms = gate.services()
    actor = await rooms.profiles.get(actor_id)
    await rooms.follows.follow(member, actor)
    return answer(await _relationship(member, actor.id, await _followers(member)))


@blueprint.post("/api/v1/accounts/<actor_id>/unfollow")
async def unfollow(actor_id: str) -> Response:
    member = gate.clinician()
    rooms = gate.services()
    actor = await rooms.profiles.get(actor_id)
    await rooms.follows.unfollow(member, actor)
    return answer(await _relationship(member, actor.id, await _followers(member)))


@blueprint.get("/api/v2/search")
async def search() -> Response:
    """Colleagues: members by a part of their name, anybody known by handle.

    With `resolve` a handle or an address is asked for at its own server, if it is an allowed peer.
    """
    member = gate.clinician()
    form = fields.asked()
    found: list[Actor] = []
    if form.get("type") in {"", "accounts"} and form.get("offset") in {"", "0"}:
        found = await _find(member, form.line("q"), resolve=fields.is_on(form, "resolve"))
    shown = [await _whole(actor) for actor in found[: paging.wish().limit]]
    return answer({"accounts": shown, "statuses": [], "hashtags": []})


async def _find(member: Account, typed: str, *, resolve: bool) -> list[Actor]:
    if not typed:
        raise BadInput("Say in `q` whom you look for.", field="q")
    elsewhere = "://" in typed or typed.removeprefix("acct:").lstrip("@").count("@") == 1
    if not elsewhere:
        page = await gate.services().profiles.directory(typed.removeprefix("@"))
        return [*page.items]
    if resolve:
        brakes().lookups.take(member.id)
        try:
            return [await gate.services().remote.find(typed)]
        except (BadInput, NotFound):
            return []
    known = await _by_handle(typed.removeprefix("acct:"))
    return [known] if known is not None else []


async def _by_handle(acct: str) -> Actor | None:
    username, _, host = acct.removeprefix("@").partition("@")
    rooms = gate.services()
    return await rooms.profiles.by_handle(username, host.lower() or rooms.config.domain)


async def _whole(actor: Actor) -> Entity:
    """An actor with its followers counted, as far as they are known here."""
    rooms = gate.services()
    counts = await rooms.follows.counts(actor.id)
    return entities.account(actor, rooms.config.base_url, counts)


async def _followers(member: Account) -> set[str]:
    return {actor.id for actor in await gate.services().follows.followers(member.actor_id)}


async def _relationship(member: Account, actor_id: str, followers: set[str]) -> Entity:
    state = await gate.services().follows.state(member, actor_id)
    return entities.relationship(actor_id, state, actor_id in followers)
