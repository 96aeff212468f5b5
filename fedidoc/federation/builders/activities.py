"""Activities as documents. Pure.

`type` and `actor` are plain strings, `published` and an `id` are always there, and the object of an
Accept, Reject or Undo is embedded with its actor: peers were seen to demand each of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fedidoc.clock import iso
from fedidoc.federation.builders.posts import Addressed
from fedidoc.model import Specialty

_VOUCH: Final = "fedidoc:Vouch"


@dataclass(frozen=True, slots=True)
class Head:
    """What every activity has: its id, its actor's id, and when (UTC milliseconds)."""

    id: str
    actor: str
    at: int


def _activity(
    kind: str, head: Head, subject: str | dict[str, Any], addressed: Addressed
) -> dict[str, Any]:
    return {
        "id": head.id,
        "type": kind,
        "actor": head.actor,
        "published": iso(head.at),
        **addressed.fields(),
        "object": subject,
    }


def create(head: Head, note: dict[str, Any]) -> dict[str, Any]:
    """A new post; addressed as the post is."""
    return _activity("Create", head, note, _addressed(note))


def update(
    head: Head, document: dict[str, Any], addressed: Addressed | None = None
) -> dict[str, Any]:
    """A changed post, or (with `addressed`) a changed actor."""
    return _activity("Update", head, document, addressed or _addressed(document))


def delete(head: Head, tombstone: str | dict[str, Any], addressed: Addressed) -> dict[str, Any]:
    """A deleted post (its Tombstone) or a deleted actor (its id)."""
    return _activity("Delete", head, tombstone, addressed)


def follow(head: Head, followed: str) -> dict[str, Any]:
    return _activity("Follow", head, followed, Addressed((followed,)))


def accept(head: Head, follow_uri: str, follower: str) -> dict[str, Any]:
    """The followed actor (`head.actor`) lets `follower` follow."""
    return _answer("Accept", head, follow_uri, follower)


def reject(head: Head, follow_uri: str, follower: str) -> dict[str, Any]:
    """The followed actor refuses, or ends what it had accepted."""
    return _answer("Reject", head, follow_uri, follower)


def _answer(kind: str, head: Head, follow_uri: str, follower: str) -> dict[str, Any]:
    asked = {"id": follow_uri, "type": "Follow", "actor": follower, "object": head.actor}
    return _activity(kind, head, asked, Addressed((follower,)))


def undo_follow(head: Head, follow_uri: str, followed: str) -> dict[str, Any]:
    undone = {"id": follow_uri, "type": "Follow", "actor": head.actor, "object": followed}
    return _activity("Undo", head, undone, Addressed((followed,)))


def like(head: Head, post_uri: str, author: str) -> dict[str, Any]:
    """`head.id` is the Like's own URL, which its Undo will name."""
    return _activity("Like", head, post_uri, Addressed((author,)))


def undo_like(head: Head, like_uri: str, post_uri: str, author: str) -> dict[str, Any]:
    undone = {"id": like_uri, "type": "Like", "actor": head.actor, "object": post_uri}
    return _activity("Undo", head, undone, Addressed((author,)))


def announce(head: Head, post_uri: str, addressed: Addressed) -> dict[str, Any]:
    return _activity("Announce", head, post_uri, addressed)


def undo_announce(
    head: Head, announce_uri: str, post_uri: str, addressed: Addressed
) -> dict[str, Any]:
    undone = {"id": announce_uri, "type": "Announce", "actor": head.actor, "object": post_uri}
    return _activity("Undo", head, undone, addressed)


def block(head: Head, blocked: str) -> dict[str, Any]:
    """`head.actor` wants nothing to do with `blocked`; `head.id` is what its Undo will name."""
    return _activity("Block", head, blocked, Addressed((blocked,)))


def undo_block(head: Head, block_uri: str, blocked: str) -> dict[str, Any]:
    undone = {"id": block_uri, "type": "Block", "actor": head.actor, "object": blocked}
    return _activity("Undo", head, undone, Addressed((blocked,)))


def flag(head: Head, objects: list[str], note: str) -> dict[str, Any]:
    """A report by the instance: the actor whom it is about, and posts of theirs, as Mastodon does.

    No `published` finer than what the id says, and nothing of who reported.
    """
    document = _activity("Flag", head, objects[0], Addressed((objects[0],)))
    return document | {"object": objects, "content": note}


def move(head: Head, target: str, addressed: Addressed) -> dict[str, Any]:
    """`head.actor` goes on as `target` (Mastodon's Move: object is the actor itself)."""
    return _activity("Move", head, head.actor, addressed) | {"target": target}


def offer_vouch(
    head: Head, applicant: str, colleague: str, profession: str, specialty: Specialty | None
) -> dict[str, Any]:
    """The instance (`head.actor`) asks `colleague` to vouch for one of its applicants."""
    asked: dict[str, Any] = {"type": _VOUCH, "profession": profession}
    if specialty is not None:
        asked["specialty"] = {"code": specialty.code, "label": specialty.label}
    document = _activity("Offer", head, asked, Addressed((colleague,)))
    return document | {"attributedTo": applicant}


def undo_offer(head: Head, offer: str, colleague: str) -> dict[str, Any]:
    undone = _offer(offer, head.actor)
    return _activity("Undo", head, undone, Addressed((colleague,)))


def vouch(head: Head, offer: str, instance: str, statement: str) -> dict[str, Any]:
    """`head.actor` vouches in answer to an Offer of another `instance`."""
    document = _activity("Accept", head, _offer(offer, instance), Addressed((instance,)))
    return document | {"content": statement}


def undo_vouch(head: Head, vouch_uri: str, offer: str, instance: str) -> dict[str, Any]:
    undone = {"id": vouch_uri, "type": "Accept", "actor": head.actor,
              "object": _offer(offer, instance)}  # fmt: skip
    return _activity("Undo", head, undone, Addressed((instance,)))


def _offer(uri: str, instance: str) -> dict[str, Any]:
    return {"id": uri, "type": "Offer", "actor": instance, "object": {"type": _VOUCH}}


def _addressed(document: dict[str, Any]) -> Addressed:
    return Addressed(tuple(document["to"]), tuple(document["cc"]))
