"""Trust lists for those who run the instance: which are followed, and what follows from them."""

from __future__ import annotations

from quart import Blueprint

from fedidoc.verification import trust_status
from fedidoc.web import gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("trust", __name__, url_prefix="/admin/trust")


@blueprint.get("")
async def overview() -> Response:
    gate.steward()
    rooms = gate.services()
    now = rooms.clock.now()
    consequences = await rooms.subscriptions.consequences()
    return await page(
        "admin/trust.html",
        lists=[
            trust_status.describe(stand, consequences, own_host=rooms.config.domain, now=now)
            for stand in await rooms.subscriptions.stands()
        ],
        fallen=trust_status.fallen(consequences),
        published=await rooms.publishing.current(),
    )
