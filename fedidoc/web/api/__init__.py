"""The client API: what scripts and Mastodon's clients read and write in a member's name.

An application of its own, so that nothing of the pages reaches it: no cookie is looked at here and
none is set, hence there is no forged form to fear. Only a token opens it. It asks the same rooms
as the pages do, behind the same gates.
"""

from __future__ import annotations

from typing import Any

from quart import Quart

from fedidoc.web import gate
from fedidoc.web.api import (
    accounts,
    callers,
    instance,
    notifications,
    pictures,
    statuses,
    timelines,
)
from fedidoc.web.services import Services


def create_api(services: Services) -> Quart:
    """The API, bound to the rooms of one instance. Paths may end with a slash."""
    app = Quart("fedidoc.web.api", static_folder=None)
    app.extensions[gate.SERVICES] = services
    app.extensions[callers.BRAKES] = callers.Brakes.of(services.clock)
    app.request_class = callers.sized_request(services.config.media.max_bytes)
    app.config.update(
        MAX_CONTENT_LENGTH=gate.SMALL_BODY,
        MAX_FORM_MEMORY_SIZE=gate.SMALL_BODY,
        MAX_FORM_PARTS=100,
    )
    # Mastodon.py asks for /api/v1/instance/. No address is answered by pointing at another.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    callers.watch(app)
    for room in (accounts, instance, notifications, pictures, statuses, timelines):
        app.register_blueprint(room.blueprint)
    return app


def register(app: Quart, services: Services) -> None:
    """Answer /api/… in front of the pages' own gate, and pictures asked for with a token."""
    api, pages = create_api(services), app.asgi_app

    async def apart(scope: Any, receive: Any, send: Any) -> None:
        await (api if _is_ours(scope) else pages)(scope, receive, send)

    app.asgi_app = apart  # type: ignore[method-assign]


def _is_ours(scope: Any) -> bool:
    if scope["type"] != "http":
        return False
    path: str = scope["path"]
    if path.startswith("/media/"):
        return any(
            name == b"authorization" and value[:7].lower() == b"bearer "
            for name, value in scope["headers"]
        )
    return path == "/api" or path.startswith("/api/")
