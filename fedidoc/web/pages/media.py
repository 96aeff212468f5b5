"""Pictures, for readers of the post that they belong to."""

from __future__ import annotations

from quart import Blueprint, Response
from werkzeug.wrappers import Response as AnyResponse

from fedidoc.web import gate

blueprint = Blueprint("media", __name__)


@blueprint.get("/media/<file>")
async def picture(file: str) -> AnyResponse:
    account = gate.clinician()
    data, media_type = await gate.services().media.open(account, file)
    response = Response(data, content_type=media_type)
    # For this reader alone: who may read the case may change, so it is asked again each hour.
    response.headers["Cache-Control"] = "private, max-age=3600"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Content-Disposition"] = "inline"
    return response
