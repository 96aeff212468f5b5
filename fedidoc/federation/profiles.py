"""Remote actors' documents as profiles to store. Pure.

An actor is believed about itself only: its inbox and collections must be on its own origin, and
its words are sanitised before they are stored.
"""

from __future__ import annotations

import re

from fedidoc.activitypub.addressing import host_of, same_origin, split_url
from fedidoc.activitypub.documents import ActorDocument
from fedidoc.activitypub.errors import DocumentError
from fedidoc.clinical.text import sanitise
from fedidoc.model import ActorKind
from fedidoc.storage.actors import RemoteProfile

_KINDS = {
    "Person": ActorKind.PERSON,
    "Application": ActorKind.INSTANCE,
    "Group": ActorKind.GROUP,
    "Service": ActorKind.OTHER,
    "Organization": ActorKind.OTHER,
}
_USERNAME = re.compile(r"[\w.-]{1,128}")
_NAME_LENGTH = 200
_SUMMARY_LENGTH = 20_000
_SPACES = re.compile(r"\s+")


def read_profile(actor: ActorDocument, *, handle_confirmed: bool) -> RemoteProfile:
    """What is kept of an actor. Raises DocumentError (`actor_*`) if it cannot be spoken with."""
    if actor.type not in _KINDS:
        raise DocumentError("actor_type", "This is not an actor.")
    username = actor.preferred_username or ""
    if not _USERNAME.fullmatch(username):
        raise DocumentError("actor_username", "The actor has no usable preferredUsername.")
    inbox = own(actor, actor.inbox)
    if inbox is None:
        raise DocumentError("actor_inbox", "The actor has no inbox on its own server.")
    return RemoteProfile(
        uri=actor.id,
        kind=_KINDS[actor.type],
        username=username,
        host=host_of(actor.id),
        handle_confirmed=handle_confirmed,
        name=line(actor.name or username, _NAME_LENGTH),
        summary_html=sanitise((actor.summary or "")[:_SUMMARY_LENGTH]),
        inbox=inbox,
        shared_inbox=own(actor, actor.shared_inbox),
        outbox=own(actor, actor.outbox),
        followers=own(actor, actor.followers),
        following=own(actor, actor.following),
        url=own(actor, actor.url),
        icon_url=web_url(actor.icon_url),
        approves_follows=actor.manually_approves,
        discoverable=actor.discoverable,
        credential_url=own(actor, actor.credential),
    )


def own(actor: ActorDocument, url: str | None) -> str | None:
    """The URL if it is on the actor's own origin."""
    return url if url is not None and same_origin(url, actor.id) else None


def web_url(url: str | None) -> str | None:
    """The URL if it is a plain http(s) one."""
    if url is None:
        return None
    try:
        split_url(url)
    except DocumentError:
        return None
    return url


def line(text: str, length: int) -> str:
    """Text from outside on one line: no control characters, no direction overrides, bounded."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    return _SPACES.sub(" ", shown).strip()[:length]
