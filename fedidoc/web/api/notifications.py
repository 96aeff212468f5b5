"""What happened that the member should know of."""

from __future__ import annotations

from dataclasses import replace

from quart import Blueprint

from fedidoc.errors import NotFound
from fedidoc.model import Account, Notification, Page
from fedidoc.web import gate
from fedidoc.web.api import entities, fields, paging
from fedidoc.web.api.callers import answer
from fedidoc.web.api.surroundings import gather
from fedidoc.web.gate import Response

blueprint = Blueprint("notifications", __name__)


@blueprint.get("/api/v1/notifications")
async def notices() -> Response:
    """Newest first, filtered by `types[]` and `exclude_types[]`. Reading marks nothing as read."""
    member = gate.clinician()
    form = fields.asked()
    types, left_out = set(form.chosen("types")), set(form.chosen("exclude_types"))
    from_whom = form.get("account_id")

    async def read(before: str | None) -> Page[Notification]:
        return await gate.services().notifications.list(member, before)

    def keep(notice: Notification) -> bool:
        kind = entities.NOTICES.get(notice.kind)
        if kind is None or notice.actor is None or kind in left_out:
            return False
        if from_whom and notice.actor.id != from_whom:
            return False
        return not types or kind in types

    page = await paging.collect(read, paging.wish(), keep)
    shown = [notice for item in page.items if (notice := await _readable(member, item))]
    around = await gather(member, [notice.post for notice in shown if notice.post])
    said = [entities.notification(n, n.actor, around) for n in shown if n.actor is not None]
    return paging.link(answer(said), page)


@blueprint.post("/api/v1/notifications/clear")
async def clear() -> Response:
    """Mark all as read; the pages show them still."""
    await gate.services().notifications.mark_read(gate.clinician())
    return answer({})


async def _readable(member: Account, notice: Notification) -> Notification | None:
    """The notice, unless its post is not for the member any more: then not even its existence."""
    if notice.post is None:
        return notice
    try:
        post = await gate.services().cases.get(member, notice.post.id)
    except NotFound:
        return None
    return replace(notice, post=post) if post.deleted is None else None
