"""What anybody may know of this instance, in the two shapes that clients ask for."""

from __future__ import annotations

from typing import Any

from quart import Blueprint

from fedidoc import __version__
from fedidoc.clinical import drafting
from fedidoc.web import gate
from fedidoc.web.api.callers import answer
from fedidoc.web.gate import Response

blueprint = Blueprint("instance", __name__)

# Clients read from it which calls they may try.
VERSION = f"4.2.0 (compatible; fedidoc {__version__})"
_TYPES = ["image/png", "image/jpeg", "image/webp"]


@blueprint.get("/api/v1/instance")
async def first() -> Response:
    config = gate.services().config
    return answer(
        {
            "uri": config.domain,
            "title": config.instance.name,
            "short_description": config.instance.description,
            "description": config.instance.description,
            "email": config.instance.contact,
            "version": VERSION,
            "urls": {},
            # Counts are for members and the operator.
            "stats": {"user_count": 0, "status_count": 0, "domain_count": 0},
            "thumbnail": None,
            "languages": ["en"],
            "registrations": config.membership.open,
            "approval_required": True,
            "invites_enabled": False,
            "configuration": _limits(),
            "contact_account": None,
            "rules": [],
            "fedidoc": _own(),
        }
    )


@blueprint.get("/api/v2/instance")
async def second() -> Response:
    config = gate.services().config
    mark = f"{config.base_url}/static/mark.svg"
    return answer(
        {
            "domain": config.domain,
            "title": config.instance.name,
            "version": VERSION,
            "source_url": "",
            "description": config.instance.description,
            "usage": {"users": {"active_month": 0}},
            "thumbnail": {"url": mark, "blurhash": None, "versions": {}},
            "icon": [],
            "languages": ["en"],
            "configuration": {
                "urls": {},
                "vapid": {"public_key": ""},
                "translation": {"enabled": False},
                **_limits(),
            },
            "registrations": {
                "enabled": config.membership.open,
                "approval_required": True,
                "message": None,
                "url": f"{config.base_url}/sign-up",
            },
            "contact": {"email": config.instance.contact, "account": None},
            "rules": [],
            "fedidoc": _own(),
        }
    )


def _limits() -> dict[str, Any]:
    return {
        "accounts": {"max_featured_tags": 0, "max_pinned_statuses": 0},
        "statuses": {
            "max_characters": drafting.TEXT_LIMIT,
            "max_media_attachments": drafting.PICTURES,
            "characters_reserved_per_url": 0,
        },
        "media_attachments": {
            "supported_mime_types": _TYPES,
            "description_limit": drafting.ALT_LIMIT,
            "image_size_limit": gate.services().config.media.max_bytes,
            "image_matrix_limit": 40_000_000,
            "video_size_limit": 0,
            "video_frame_rate_limit": 0,
            "video_matrix_limit": 0,
        },
        "polls": {
            "max_options": 0,
            "max_characters_per_option": 0,
            "min_expiration": 0,
            "max_expiration": 0,
        },
    }


def _own() -> dict[str, Any]:
    """What a case may say, for clients that know cases."""
    return {
        "version": __version__,
        "kind": gate.services().config.instance.kind,
        "audiences": [audience.value for audience in drafting.AUDIENCES],
        "age_bands": [*drafting.AGE_BANDS],
        "sexes": [*drafting.SEXES],
        "title_limit": drafting.TITLE_LIMIT,
    }
