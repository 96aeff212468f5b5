"""Actors, collections, WebFinger's and NodeInfo's subjects as documents. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedidoc.clock import DAY, iso
from fedidoc.federation.urls import Urls
from fedidoc.model import Actor, ActorKind

_TYPES = {
    ActorKind.PERSON: "Person",
    ActorKind.INSTANCE: "Application",
    ActorKind.GROUP: "Group",
    ActorKind.OTHER: "Service",
}


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """An actor's public keys: RSA in PEM, Ed25519 ones as (key id, Multikey text)."""

    rsa_id: str
    rsa_pem: str
    multikeys: tuple[tuple[str, str], ...]


def actor(
    urls: Urls,
    person: Actor,
    keys: PublicKeys,
    *,
    credential: str | None,
    aliases: Sequence[str] = (),
    moved_to: str | None = None,
) -> dict[str, Any]:
    """A local person as allowed peers see it.

    Every property that one of the peers in wire.md demands is there: a plain `type`, one
    `publicKey` object with its `owner`, `preferredUsername`, `published`.
    """
    document = _full(urls, person, keys) | {
        "name": person.name or person.username,
        "summary": person.summary_html,
        "url": person.url or person.uri,
        "published": iso(person.created - person.created % DAY),
        "discoverable": person.discoverable,
    }
    if person.icon_url:
        document["icon"] = {"type": "Image", "url": person.icon_url}
    if person.pseudonymous:
        document |= {
            "pseudonymous": True,
            "icon": {"type": "Image", "mediaType": "image/png", "url": person.icon_url},
        }
    if credential:
        document["credential"] = credential
    if aliases:
        document["alsoKnownAs"] = list(aliases)
    if moved_to:
        document["movedTo"] = moved_to
    return document


def stub(person: Actor, keys: PublicKeys) -> dict[str, Any]:
    """As much of an actor as an unsigned request gets: enough to check a signature, no more.

    Peers that fetch keys unsigned would otherwise never get past the first request.
    """
    return {
        "id": person.uri,
        "type": _TYPES[person.kind],
        "preferredUsername": person.username,
        "inbox": person.inbox,
        "publicKey": {"id": keys.rsa_id, "owner": person.uri, "publicKeyPem": keys.rsa_pem},
    }


def instance(
    urls: Urls, actor: Actor, keys: PublicKeys, *, name: str, description: str
) -> dict[str, Any]:
    """The instance's own actor, the one document open to everybody; says nothing of members."""
    return _full(urls, actor, keys) | {
        "name": name,
        "summary": description,
        "url": urls.base + "/",
        "published": iso(actor.created - actor.created % DAY),
    }


def _full(urls: Urls, actor: Actor, keys: PublicKeys) -> dict[str, Any]:
    document = stub(actor, keys) | {
        "outbox": actor.outbox,
        "endpoints": {"sharedInbox": urls.shared_inbox},
        "manuallyApprovesFollowers": actor.approves_follows,
        "assertionMethod": [
            {
                "id": key_id,
                "type": "Multikey",
                "controller": actor.uri,
                "publicKeyMultibase": multibase,
            }
            for key_id, multibase in keys.multikeys
        ],
    }
    if actor.followers and actor.following:
        document |= {"followers": actor.followers, "following": actor.following}
    return document


def gone(uri: str, deleted: int) -> dict[str, Any]:
    """What is left of an actor or object that was deleted."""
    return {"id": uri, "type": "Tombstone", "deleted": iso(deleted)}


def collection(uri: str, *, total: int, first: str | None) -> dict[str, Any]:
    """An ordered collection; its items are on pages, from `first` on."""
    document: dict[str, Any] = {"id": uri, "type": "OrderedCollection", "totalItems": total}
    if first is not None:
        document["first"] = first
    return document


def page(
    uri: str, *, part_of: str, items: Sequence[str | dict[str, Any]], following: str | None
) -> dict[str, Any]:
    """One page of a collection; `following` is the URL of the next one."""
    document: dict[str, Any] = {
        "id": uri,
        "type": "OrderedCollectionPage",
        "partOf": part_of,
        "orderedItems": list(items),
    }
    if following is not None:
        document["next"] = following
    return document
