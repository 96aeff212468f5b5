"""Pictures: uploaded before the case that takes them in, and shown to readers of that case."""

from __future__ import annotations

from quart import Blueprint, request
from quart import Response as Made

from fedidoc.clinical import phi
from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Right
from fedidoc.web import gate
from fedidoc.web.api import entities, fields
from fedidoc.web.api.callers import answer
from fedidoc.web.gate import Response

blueprint = Blueprint("pictures", __name__)


@blueprint.post("/api/v2/media")
@blueprint.post("/api/v1/media")
async def upload() -> Response:
    """Take in `file`, a PNG, JPEG or WebP, with what it shows in `description`."""
    member = gate.clinician(Right.OPEN)
    file = (await request.files).get("file")
    form = await fields.sent()
    if file is None:
        raise BadInput("Send the picture in `file`.", field="file")
    description = form.line("description")
    if not description:
        raise BadInput("Say in `description` what the picture shows.", field="description")
    phi.clear_fields({"description": description})
    with fields.renamed({"picture": "file"}):
        media = await gate.services().media.put(member, file.read(), description)
    return answer(entities.attachment(media, gate.services().config.base_url))


@blueprint.get("/api/v1/media/<media_id>")
async def uploaded(media_id: str) -> Response:
    """A picture of the member's own."""
    member = gate.clinician()
    found = await gate.services().media.unpublished(member, [media_id])
    if not found:
        raise NotFound
    return answer(entities.attachment(found[0], gate.services().config.base_url))


@blueprint.get("/media/<file>")
async def show(file: str) -> Response:
    """The picture itself, to whom its post is open."""
    data, media_type = await gate.services().media.open(gate.clinician(), file)
    response = Made(data, content_type=media_type)
    response.headers["Content-Disposition"] = "inline"
    return response
