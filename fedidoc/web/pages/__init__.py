"""Pages for people: the Quart application that `app` mounts above the protocol's door."""

from __future__ import annotations

from quart import Quart, Response, request

from fedidoc.web import bodies, gate, render, theme
from fedidoc.web.admin import audit, calendar, documents, flags, peers, reports, reviews, trust
from fedidoc.web.admin import pseudonyms as moderation
from fedidoc.web.pages import (
    accreditation,
    drafts,
    entrance,
    failures,
    home,
    media,
    membership,
    moving,
    people,
    proofs,
    pseudonyms,
    renewal,
    safety,
    settings,
    sso,
    threads,
    vouching,
    writing,
)
from fedidoc.web.services import Services


def create_pages(services: Services) -> Quart:
    """All pages, bound to the rooms of one instance."""
    config = services.config
    app = Quart(
        "fedidoc.web",
        static_folder="static",
        static_url_path="/static",
        template_folder="templates",
    )
    app.extensions[gate.SERVICES] = services
    # Twice what pictures may have: one that is too large is refused beside its field, and the
    # text that came with it is kept.
    app.request_class = bodies.sized_request(
        2 * config.media.max_bytes * gate.PICTURES,
        2 * config.evidence.document_max_bytes,
        minted=services.accounts.minted,
    )
    app.config.update(
        MAX_CONTENT_LENGTH=gate.SMALL_BODY,
        MAX_FORM_MEMORY_SIZE=gate.SMALL_BODY,
        MAX_FORM_PARTS=100,
        SEND_FILE_MAX_AGE_DEFAULT=31_536_000,
        TEMPLATES_AUTO_RELOAD=False,
    )
    render.prepare(app, config.instance.accent)
    app.before_request(gate.admit)
    app.after_request(gate.seal)
    failures.register(app)
    for room in (
        accreditation, drafts, entrance, home, media, membership, moving, people, proofs, renewal,
        safety, settings, sso, threads, vouching, writing, audit, calendar, documents, flags, peers,
        reports, reviews, trust, pseudonyms, moderation,
    ):  # fmt: skip
        app.register_blueprint(room.blueprint)
    colours = theme.stylesheet(config.instance.accent)

    @app.get("/theme.css")
    async def theme_css() -> Response:
        """The instance's accent; its address changes when the colour does."""
        response = Response(colours, content_type="text/css; charset=utf-8")
        fresh = request.args.get("v") == theme.version(colours)
        response.headers["Cache-Control"] = f"public, max-age={31_536_000 if fresh else 60}"
        return response

    return app
