"""The trust list that this instance publishes, as a page that anybody may read."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.errors import NotFound
from fedidoc.web import gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("accreditation", __name__)


@blueprint.get("/trust")
async def overview() -> Response:
    found = await gate.services().publishing.current()
    if found is None:
        raise NotFound
    return await page("accreditation.html", found=found)
