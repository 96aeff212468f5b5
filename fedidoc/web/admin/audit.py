"""The audit log as pages: who decided what, newest first, and the whole of it to take away."""

from __future__ import annotations

from quart import Blueprint, make_response, request

from fedidoc.web import gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("audit", __name__, url_prefix="/admin/audit")


@blueprint.get("")
async def pages() -> Response:
    gate.steward()
    audit = gate.services().audit
    actions = await audit.actions()
    action = request.args.get("action", "")
    if action not in actions:
        action = ""
    return await page(
        "admin/audit.html",
        entries=await audit.page(request.args.get("before"), action),
        actions=actions,
        action=action,
        head=await audit.head(),
    )


@blueprint.get("/fedidoc-audit.jsonl")
async def download() -> Response:
    """Every row with its digest, as `fedidoc audit export` writes it."""
    gate.steward()
    response = await make_response(
        gate.services().audit.export(), {"Content-Type": "application/jsonl; charset=utf-8"}
    )
    response.headers["Content-Disposition"] = 'attachment; filename="fedidoc-audit.jsonl"'
    return response
