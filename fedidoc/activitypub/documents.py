"""ActivityStreams documents: tolerant reading of what others send, strict refusal of what deceives.

``parse`` is the only way from bytes to a document. ``read_actor``, ``read_activity`` and
``read_object`` turn a document into typed values and accept every shape that real servers send: a
string or an object, one value or a list, three spellings of Public, plain or language-mapped text.
They check no origins and believe nothing; that is for ``inspect``, ``fetch`` and ``receive``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from fedidoc.activitypub.contexts import AS, CONTEXT, EXTENSION_CONTEXT, NAMESPACE, check_shape
from fedidoc.activitypub.errors import DocumentError
from fedidoc.activitypub.strict import Limits, decode

__all__ = [
    "CONTEXT",
    "EXTENSION_CONTEXT",
    "PUBLIC",
    "ActivityDocument",
    "ActorDocument",
    "Attachment",
    "Limits",
    "ObjectDocument",
    "dump",
    "id_of",
    "ids",
    "is_public",
    "parse",
    "read_activity",
    "read_actor",
    "read_object",
    "types",
]

PUBLIC: Final = AS + "Public"
_PUBLIC: Final = frozenset({PUBLIC, "as:Public", "Public"})

# As we write it, as our published context has it, and in full.
VOUCH_TYPES: Final = ("fedidoc:Vouch", "Vouch", NAMESPACE + "Vouch")
"""The types of a vouch, as its `Offer` may spell them."""

_CASE_TYPES: Final = frozenset({"fedidoc:Case", "Case", NAMESPACE + "Case"})
_MAX_IRI: Final = 2048


def parse(body: bytes | str, limits: Limits | None = None) -> dict[str, Any]:
    """The JSON object in ``body``, safe to be read as ActivityStreams.

    Raises DocumentError for what ``strict.decode`` and ``contexts.check_shape`` refuse.
    """
    limits = limits or Limits()
    document = decode(body, limits)
    if not isinstance(document, dict):
        raise DocumentError("not_an_object", "The document is not a JSON object.")
    check_shape(document, limits.max_items)
    return document


def dump(document: dict[str, Any]) -> bytes:
    """Compact UTF-8 JSON, keys in the order they were given."""
    return orjson.dumps(document)


def id_of(value: Any) -> str | None:
    """The id that a string, an object or the first of a list stands for."""
    return next(_ids(value), None)


def ids(value: Any) -> tuple[str, ...]:
    """Every id in a string, an object or a list of them, in order, each once."""
    return tuple(dict.fromkeys(_ids(value)))


def _ids(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, dict):
            item = item.get("id") or item.get("@id") or _link_target(item)
        if isinstance(item, str) and 0 < len(item) <= _MAX_IRI:
            yield item


def _link_target(item: dict[str, Any]) -> Any:
    # A Link has no identity of its own: it stands for what it points to.
    return item.get("href") if item.get("type") in ("Link", "Mention") else None


def is_public(iri: str) -> bool:
    """Whether ``iri`` is the Public collection, in any of its three spellings (AP section 5.6)."""
    return iri in _PUBLIC


def types(document: dict[str, Any]) -> tuple[str, ...]:
    """The document's types, ActivityStreams' own without their namespace."""
    value = document.get("type", document.get("@type"))
    names = value if isinstance(value, list) else [value]
    return tuple(
        name.removeprefix("as:").removeprefix(AS)
        for name in names
        if isinstance(name, str) and name
    )


@dataclass(frozen=True, slots=True)
class ActorDocument:
    """An actor as its server describes it.

    ``public_keys`` are (id, owner, PEM) and ``multikeys`` (id, controller, multibase), FEP-521a.
    ``credential`` is where fedidoc's physician credential lies.
    """

    id: str
    type: str
    types: tuple[str, ...]
    preferred_username: str | None
    name: str | None
    summary: str | None
    inbox: str | None
    outbox: str | None
    followers: str | None
    following: str | None
    shared_inbox: str | None
    url: str | None
    icon_url: str | None
    public_keys: tuple[tuple[str, str, str], ...]
    multikeys: tuple[tuple[str, str, str], ...]
    manually_approves: bool
    discoverable: bool
    credential: str | None
    moved_to: str | None
    also_known_as: tuple[str, ...]
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ActivityDocument:
    """An activity; ``object`` is the embedded object, None when only its id was given."""

    id: str | None
    type: str
    actor: str | None
    object_id: str | None
    object: dict[str, Any] | None
    to: tuple[str, ...]
    cc: tuple[str, ...]
    published: int | None
    target_id: str | None
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file beside a post; ``name`` is its alternative text, sizes are pixels."""

    url: str
    media_type: str | None
    name: str | None
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class ObjectDocument:
    """A post, reply, question or case.

    ``content`` is untrusted and, when ``content_is_html``, must be sanitised before it is shown.
    ``source`` is the author's own text. ``mentions`` are (href, name); ``hashtags`` have no ``#``.
    ``case`` is fedidoc's structured part and ``audience_scope`` whom the author meant it for.
    """

    id: str | None
    type: str
    attributed_to: tuple[str, ...]
    name: str | None
    summary: str | None
    content: str | None
    content_is_html: bool
    source: str | None
    in_reply_to: str | None
    context: str | None
    to: tuple[str, ...]
    cc: tuple[str, ...]
    published: int | None
    updated: int | None
    url: str | None
    attachments: tuple[Attachment, ...]
    mentions: tuple[tuple[str, str], ...]
    hashtags: tuple[str, ...]
    sensitive: bool
    case: dict[str, Any] | None
    audience_scope: str | None
    raw: dict[str, Any]


def read_actor(document: dict[str, Any]) -> ActorDocument:
    """An actor; DocumentError when it has no id or type."""
    kinds = types(document)
    actor_id = id_of(document)
    if actor_id is None or not kinds:
        raise DocumentError("actor_malformed", "The actor has no id or no type.")
    endpoints = document.get("endpoints")
    shared = endpoints if isinstance(endpoints, dict) else document
    return ActorDocument(
        id=actor_id,
        type=_actor_type(kinds),
        types=kinds,
        preferred_username=_text(document, "preferredUsername"),
        name=_text(document, "name"),
        summary=_text(document, "summary"),
        inbox=id_of(document.get("inbox")),
        outbox=id_of(document.get("outbox")),
        followers=id_of(document.get("followers")),
        following=id_of(document.get("following")),
        shared_inbox=id_of(shared.get("sharedInbox")),
        url=_url(document.get("url")),
        icon_url=_url(document.get("icon")),
        public_keys=tuple(_public_keys(document, actor_id)),
        multikeys=tuple(_multikeys(document)),
        manually_approves=document.get("manuallyApprovesFollowers") is True,
        discoverable=document.get("discoverable") is True,
        credential=id_of(document.get("credential")),
        moved_to=id_of(document.get("movedTo")),
        also_known_as=ids(document.get("alsoKnownAs")),
        raw=document,
    )


def read_activity(document: dict[str, Any]) -> ActivityDocument:
    """An activity; DocumentError when it has no type."""
    value = document.get("object")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return ActivityDocument(
        id=id_of(document),
        type=_first_type(document),
        actor=id_of(document.get("actor")),
        object_id=id_of(value),
        object=value if isinstance(value, dict) else None,
        to=ids(document.get("to")),
        cc=ids(document.get("cc")),
        published=_time(document.get("published")),
        target_id=id_of(document.get("target")),
        raw=document,
    )


def read_object(document: dict[str, Any]) -> ObjectDocument:
    """A post or case; DocumentError when it has no type."""
    tags = list(_objects(document.get("tag")))
    source = document.get("source")
    case = document.get("case")
    scope = document.get("audienceScope")
    return ObjectDocument(
        id=id_of(document),
        type=_first_type(document),
        attributed_to=ids(document.get("attributedTo")),
        name=_text(document, "name"),
        summary=_text(document, "summary"),
        content=_text(document, "content"),
        content_is_html=document.get("mediaType", "text/html") in (None, "text/html"),
        source=_text(source, "content") if isinstance(source, dict) else _plain(source),
        in_reply_to=id_of(document.get("inReplyTo")),
        context=id_of(document.get("context")) or id_of(document.get("conversation")),
        to=ids(document.get("to")),
        cc=ids(document.get("cc")),
        published=_time(document.get("published")),
        updated=_time(document.get("updated")),
        url=_url(document.get("url")),
        attachments=tuple(_attachments(document)),
        mentions=tuple(
            (tag["href"], _plain(tag.get("name")) or "")
            for tag in tags
            if "Mention" in types(tag) and isinstance(tag.get("href"), str)
        ),
        hashtags=tuple(
            name.removeprefix("#")
            for tag in tags
            if "Hashtag" in types(tag) and (name := _plain(tag.get("name")))
        ),
        sensitive=document.get("sensitive") is True,
        case=case if isinstance(case, dict) and _CASE_TYPES.intersection(types(case)) else None,
        audience_scope=_plain(scope),
        raw=document,
    )


_ACTOR_TYPES: Final = frozenset({"Person", "Service", "Application", "Group", "Organization"})


def _actor_type(kinds: tuple[str, ...]) -> str:
    return next((kind for kind in kinds if kind in _ACTOR_TYPES), kinds[0])


def _first_type(document: dict[str, Any]) -> str:
    kinds = types(document)
    if not kinds:
        raise DocumentError("type_missing", "The document has no type.")
    return kinds[0]


def _plain(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _text(document: dict[str, Any], name: str) -> str | None:
    """A property's text, as a string, a language map or the first of a list."""
    for value in (document.get(name), document.get(name + "Map")):
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, dict):
            # A JSON-LD value object, or a language map: English where there is one.
            texts = [value.get("@value"), value.get("en"), *value.values()]
            value = next((text for text in texts if isinstance(text, str)), None)
        if isinstance(value, str):
            return value
    return None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, dict):
            yield item


def _url(value: Any) -> str | None:
    """The address in a string, a Link or an Image; of several Links, an HTML page comes first."""
    links = list(_objects(value))
    page = next((link for link in links if link.get("mediaType") == "text/html"), None)
    for item in (page, *(value if isinstance(value, list) else [value])):
        if isinstance(item, dict):
            item = item.get("href") or _url(item.get("url"))
        if isinstance(item, str) and 0 < len(item) <= _MAX_IRI:
            return item
    return None


def _public_keys(document: dict[str, Any], actor_id: str) -> Iterator[tuple[str, str, str]]:
    for key in _objects(document.get("publicKey")):
        key_id, pem = id_of(key), key.get("publicKeyPem")
        if key_id is not None and isinstance(pem, str):
            yield key_id, id_of(key.get("owner")) or actor_id, pem


def _multikeys(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in _objects(document.get("assertionMethod")):
        key_id, controller = id_of(key), id_of(key.get("controller"))
        multibase = key.get("publicKeyMultibase")
        if key_id and controller and isinstance(multibase, str):
            yield key_id, controller, multibase


def _attachments(document: dict[str, Any]) -> Iterator[Attachment]:
    for item in _objects(document.get("attachment")):
        url = item.get("href") or _url(item.get("url"))
        if not isinstance(url, str):
            continue
        link = next(_objects(item.get("url")), {})
        yield Attachment(
            url=url,
            media_type=_plain(item.get("mediaType") or link.get("mediaType")),
            name=_text(item, "name") or _text(item, "summary"),
            width=_pixels(item.get("width") or link.get("width")),
            height=_pixels(item.get("height") or link.get("height")),
        )


def _pixels(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= 100_000 else None


def _time(value: Any) -> int | None:
    """Milliseconds since 1970 of an ISO 8601 time; UTC when it names no zone."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
