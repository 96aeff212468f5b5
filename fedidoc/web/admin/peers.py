"""The servers this instance speaks with: their policy, and how they are."""

from __future__ import annotations

from quart import Blueprint
from werkzeug.wrappers import Response

from fedidoc.web import gate
from fedidoc.web.render import page

blueprint = Blueprint("peers", __name__, url_prefix="/admin/peers")


@blueprint.get("")
async def overview() -> Response:
    gate.steward()
    return await page("admin/peers.html", peers=await gate.services().trust.peers())
