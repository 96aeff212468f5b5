"""Accounts, statuses and the like as Mastodon's clients know them (docs.joinmastodon.org/entities).

Pure. Every field that Mastodon.py and megalodon rely on is there, empty where fedidoc has no such
thing; what only fedidoc has stands under the key `fedidoc`. HTML is what was sanitised on storing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from fedidoc.clock import iso
from fedidoc.federation.builders.posts import case_html
from fedidoc.model import (
    Actor,
    ActorKind,
    Audience,
    Badge,
    FollowState,
    Media,
    Notification,
    NotificationKind,
    Post,
    Specialty,
)
from fedidoc.web import words

Entity = dict[str, Any]

VISIBILITIES: Final = {
    Audience.PUBLIC: "public",
    # Clients offer to pass on what is public or unlisted; neither of these may be.
    Audience.VERIFIED: "private",
    Audience.FOLLOWERS: "private",
    Audience.DIRECT: "direct",
}
# Mastodon has no word for the others: a follow that was accepted, a reviewer's decision.
NOTICES: Final = {
    NotificationKind.FOLLOWED: "follow",
    NotificationKind.FOLLOW_REQUESTED: "follow_request",
    NotificationKind.REPLIED: "mention",
    NotificationKind.MENTIONED: "mention",
    NotificationKind.LIKED: "favourite",
    NotificationKind.ANNOUNCED: "reblog",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known around some posts: whose they answer, whom they name, what the reader likes.

    `parents` gives the author's id of a post's id, `people` actors by id. What is missing in
    either is shown as unknown.
    """

    base: str
    liked: Collection[str] = ()
    announced: Collection[str] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, Actor] = field(default_factory=dict)
    lapsed: Mapping[str, int] = field(default_factory=dict)


def stamp(milliseconds: int) -> str:
    """A time as Mastodon writes it, with milliseconds: strict clients read no other."""
    return f"{iso(milliseconds)[:-1]}.{milliseconds % 1000:03d}Z"


def account(actor: Actor, base: str, counts: tuple[int, int] = (0, 0)) -> Entity:
    """An actor; `counts` are (followers, following). How much one wrote is not counted: 0."""
    picture = f"{base}/static/mark.svg"
    return {
        "id": actor.id,
        "username": actor.username,
        "acct": _acct(actor),
        "uri": actor.uri,
        "url": _page(actor, base),
        "display_name": actor.name or actor.username,
        "note": actor.summary_html,
        # Pictures on other servers would tell them who reads what here.
        "avatar": picture,
        "avatar_static": picture,
        "header": picture,
        "header_static": picture,
        "locked": actor.approves_follows,
        "bot": actor.kind is ActorKind.INSTANCE,
        "group": actor.kind is ActorKind.GROUP,
        "discoverable": actor.discoverable,
        "noindex": True,
        "suspended": actor.suspended is not None,
        "limited": False,
        "moved": None,
        "created_at": stamp(actor.created),
        "last_status_at": None,
        "followers_count": counts[0],
        "following_count": counts[1],
        "statuses_count": 0,
        "emojis": [],
        "roles": [],
        "fields": [_badge_line(actor.badge)],
        "fedidoc": {"host": actor.host, "badge": _badge(actor.badge)},
    }


def _acct(actor: Actor) -> str:
    return actor.username if actor.local else f"{actor.username}@{actor.host}"


def _page(actor: Actor, base: str) -> str:
    return f"{base}/@{actor.username}" if actor.local else actor.url or actor.uri


def _badge_line(badge: Badge) -> Entity:
    """The badge as a line of the profile, which every client shows."""
    said = words.badge(badge) if badge.verified else f"Not verified: {badge.reason}"
    if badge.verified and badge.issuer:
        said += f" · by {badge.issuer}"
    if badge.verified and badge.valid_until:
        said += f" · until {words.day(badge.valid_until)}"
    checked = stamp(badge.checked) if badge.verified and badge.checked else None
    return {"name": "Verification", "value": escape(said), "verified_at": checked}


def _badge(badge: Badge) -> Entity:
    return {
        "verified": badge.verified,
        "reason": badge.reason,
        "profession": badge.profession,
        "specialty": _specialty(badge.specialty),
        "assurance": badge.assurance,
        "jurisdiction": badge.jurisdiction,
        "issuer": badge.issuer,
        "valid_until": stamp(badge.valid_until) if badge.valid_until else None,
        "checked": stamp(badge.checked) if badge.checked else None,
        "credential": badge.credential,
    }


def _specialty(specialty: Specialty | None) -> Entity | None:
    return {"code": specialty.code, "label": specialty.label} if specialty else None


def status(post: Post, around: Surroundings) -> Entity:
    """A case, answer or note that stands."""
    return {
        "id": post.id,
        "uri": post.uri,
        "url": post.url,
        "account": account(post.author, around.base),
        "in_reply_to_id": post.parent_id,
        "in_reply_to_account_id": around.parents.get(post.parent_id or ""),
        "reblog": None,
        "content": _content(post),
        "created_at": stamp(post.published),
        "edited_at": stamp(post.edited) if post.edited is not None else None,
        "visibility": VISIBILITIES[post.audience],
        "sensitive": post.sensitive,
        "spoiler_text": "",
        "language": None,
        "replies_count": post.replies,
        "reblogs_count": 0,
        "favourites_count": post.likes,
        "favourited": post.id in around.liked,
        "reblogged": post.id in around.announced,
        "muted": False,
        "bookmarked": False,
        "pinned": False,
        "media_attachments": [attachment(media, around.base) for media in post.media],
        "mentions": [
            mention(around.people[who], around.base)
            for who in post.recipients
            if who in around.people
        ],
        "tags": [],
        "emojis": [],
        "filtered": [],
        "card": None,
        "poll": None,
        "quote": None,
        "application": None,
        "fedidoc": _case(post, around.base) | _lapse(around.lapsed.get(post.id)),
    }


def _lapse(since: int | None) -> Entity:
    """Of a post whose author was verified when it was written and is no longer: since when."""
    return {"author_not_verified_since": stamp(since)} if since is not None else {}


def _content(post: Post) -> str:
    if post.fields is not None:
        return case_html(post.title, post.fields)
    return f"<p><strong>{escape(post.title)}</strong></p>{post.html}" if post.title else post.html


def _case(post: Post, base: str) -> Entity:
    said: Entity = {
        "kind": post.kind.value,
        "audience": post.audience.value,
        "case_id": post.case_id,
        "page": f"{base}/cases/{post.id}",
    }
    fields = post.fields
    if fields is not None:
        said |= {
            "title": post.title,
            "state": fields.state.value,
            "specialty": _specialty(fields.specialty),
            "age_band": fields.age_band,
            "sex": fields.sex,
            "presentation": fields.presentation,
            "findings": fields.findings,
            "question": fields.question,
            "outcome": fields.outcome,
            "teaching_points": fields.teaching_points,
        }
    return said


def source(post: Post) -> Entity:
    """What the author of a local post wrote, to be changed and sent again."""
    if post.fields is not None:
        text, title = post.fields.presentation, post.title
    else:
        text, title = post.source.text if post.source else "", ""
    return {"id": post.id, "text": text, "spoiler_text": title}


def mention(actor: Actor, base: str) -> Entity:
    """Somebody who is addressed by name."""
    return {
        "id": actor.id,
        "username": actor.username,
        "acct": _acct(actor),
        "url": _page(actor, base),
    }


def attachment(media: Media, base: str) -> Entity:
    """A picture. Its `url` opens with the same token; None while it is on its own server only."""
    url = f"{base}/media/{media.file}" if media.file else None
    size: Entity = {"width": media.width, "height": media.height}
    if media.width and media.height:
        size["size"] = f"{media.width}x{media.height}"
        size["aspect"] = media.width / media.height
    return {
        "id": media.id,
        "type": "image" if url else "unknown",
        "url": url,
        "preview_url": url,
        "remote_url": media.remote_url,
        "preview_remote_url": None,
        "text_url": None,
        "meta": {"original": size} if "size" in size else {},
        "description": media.alt or None,
        "blurhash": None,
    }


def relationship(actor_id: str, state: FollowState | None, followed_by: bool) -> Entity:
    """What is between the reader and an actor."""
    following = state is FollowState.ACCEPTED
    return {
        "id": actor_id,
        "following": following,
        "requested": state is FollowState.REQUESTED,
        "followed_by": followed_by,
        "requested_by": False,
        "showing_reblogs": following,
        "notifying": False,
        "languages": None,
        "blocking": False,
        "blocked_by": False,
        "muting": False,
        "muting_notifications": False,
        "domain_blocking": False,
        "endorsed": False,
        "note": "",
    }


def notification(notice: Notification, actor: Actor, around: Surroundings) -> Entity:
    """A notice of one of `NOTICES`."""
    said: Entity = {
        "id": notice.id,
        "type": NOTICES[notice.kind],
        "created_at": stamp(notice.at),
        "group_key": f"ungrouped-{notice.id}",
        "account": account(actor, around.base),
        "fedidoc": {"kind": notice.kind.value, "read": notice.read},
    }
    if notice.post is not None:
        said["status"] = status(notice.post, around)
    return said
