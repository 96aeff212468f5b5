"""Pictures, for readers of the post that they belong to."""

from __future__ import annotations

from quart import Blueprint
from quart import Response as Made

from fedidoc.web import gate
from fedidoc.web.gate import Response

blueprint = Blueprint("media", __name__)


@blueprint.get("/media/<file>")
async def picture(file: str) -> Response:
    account = gate.clinician()
    data, media_type = await gate.services().media.open(account, file)
    response = Made(data, content_type=media_type)
    # For this reader alone: who may read the case may change, so it is asked again each hour.
    response.headers["Cache-Control"] = "private, max-age=3600"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Content-Disposition"] = "inline"
    return response
