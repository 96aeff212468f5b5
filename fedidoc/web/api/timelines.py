"""Timelines: those whom the member follows, and all that the member may read."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.model import Account, Page, Post
from fedidoc.web import gate
from fedidoc.web.api import fields, paging
from fedidoc.web.api.callers import answer
from fedidoc.web.api.surroundings import statuses
from fedidoc.web.gate import Response

blueprint = Blueprint("timelines", __name__)


@blueprint.get("/api/v1/timelines/home")
async def home() -> Response:
    """Cases and notes of those whom the member follows, newest first."""
    return await _timeline(gate.clinician(), "following")


@blueprint.get("/api/v1/timelines/public")
async def every() -> Response:
    """All cases that the member may read, newest first."""
    return await _timeline(gate.clinician(), "all")


async def _timeline(member: Account, show: str) -> Response:
    form = fields.asked()
    local, remote = fields.is_on(form, "local"), fields.is_on(form, "remote")
    pictures_only = fields.is_on(form, "only_media")

    async def read(before: str | None) -> Page[Post]:
        return await gate.services().cases.timeline(member, before, show)

    def keep(post: Post) -> bool:
        if (local and not post.local) or (remote and post.local):
            return False
        return bool(post.media) or not pictures_only

    page = await paging.collect(read, paging.wish(), keep)
    return paging.link(answer(await statuses(member, page.items)), page)
