"""Documents of applicants, for reviewers: each look is in the audit log."""

from __future__ import annotations

from quart import Blueprint
from quart import Response as Made

from fedidoc.errors import BadInput, Conflict
from fedidoc.web import forms, gate
from fedidoc.web.admin.reviews import desk_page
from fedidoc.web.gate import Response

blueprint = Blueprint("documents", __name__, url_prefix="/admin/reviews/<application_id>/documents")


@blueprint.get("/<document_id>")
async def look(application_id: str, document_id: str) -> Response:
    """The file itself. A picture is shown; a PDF is only ever saved, never shown by this site."""
    account = gate.steward()
    opened = await gate.services().documents.open(application_id, document_id, by=account)
    response = Made(opened.data, content_type=opened.media_type)
    how = "inline" if opened.media_type.startswith("image/") else "attachment"
    response.headers["Content-Disposition"] = f'{how}; filename="{opened.file_name}"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@blueprint.post("/<document_id>/seen")
async def attest(application_id: str, document_id: str) -> Response:
    account = gate.steward()
    form = await forms.sent()
    field = f"seen-{document_id}"
    try:
        await gate.services().documents.attest(
            application_id, document_id, form.get(field), by=account
        )
    except (BadInput, Conflict) as error:
        form.refuse(field, error.text)
        return await desk_page(account, application_id, form, error.status)
    return gate.go(f"/admin/reviews/{application_id}", "seen")
