"""What an inbox would do with a document: the pure half, decided from the document alone.

No database and no network: whether the sender is allowed, followed or owns the object is decided
where those are known. What can be told from the document is told here: shape, type, and whether
ids and owners are of one origin (FEP-fe34).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fedidoc.activitypub.addressing import audience_of, same_origin, split_url
from fedidoc.activitypub.documents import (
    VOUCH_TYPES,
    ActivityDocument,
    Limits,
    id_of,
    ids,
    is_public,
    parse,
    read_activity,
    types,
)
from fedidoc.activitypub.errors import DocumentError

ACTOR_TYPES: Final = frozenset({"Person", "Service", "Application", "Group", "Organization"})
POST_TYPES: Final = frozenset(
    {"Note", "Article", "Question", "Page", "Video", "Audio", "Image", "Document", "Event"}
)
OBJECT_TYPES: Final = POST_TYPES | {"Object", "Place", "Profile", "Relationship", "Tombstone"}
COLLECTION_TYPES: Final = frozenset(
    {"Collection", "OrderedCollection", "CollectionPage", "OrderedCollectionPage"}
)
# Activities of ActivityStreams and of other servers that have no effect here.
OTHER_ACTIVITIES: Final = frozenset(
    {
        "Activity",
        "Arrive",
        "Dislike",
        "Ignore",
        "IntransitiveActivity",
        "Invite",
        "Join",
        "Leave",
        "Listen",
        "Lock",
        "QuoteRequest",
        "Read",
        "TentativeAccept",
        "TentativeReject",
        "Travel",
        "View",
        "Warn",
    }
)


@dataclass(frozen=True, slots=True)
class Inspection:
    """One document judged.

    ``audience`` is ``public``, ``unlisted``, ``followers``, ``direct`` or ``none``. ``effect`` is a
    word such as ``store_post``, ``follow``, ``ignore`` or ``refuse``; ``reason`` is a machine word
    that says why, empty when there is nothing to add.
    """

    type: str | None
    object_type: str | None
    actor: str | None
    audience: str
    effect: str
    reason: str


class _Verdict(Exception):
    """Ends the judgement early."""

    def __init__(self, effect: str, reason: str) -> None:
        super().__init__(reason)
        self.effect = effect
        self.reason = reason


def inspect_bytes(body: bytes | str, limits: Limits | None = None) -> Inspection:
    """``inspect`` for what has not been parsed; never raises."""
    try:
        document = parse(body, limits)
    except DocumentError as error:
        return Inspection(None, None, None, "none", "refuse", error.reason)
    return inspect(document)


def inspect(document: dict[str, Any]) -> Inspection:
    """Judge a document that came from ``parse``; never raises."""
    kinds = types(document)
    kind = _main_type(kinds)
    embedded = document.get("object")
    if isinstance(embedded, list) and len(embedded) == 1:
        embedded = embedded[0]
    inner = embedded if isinstance(embedded, dict) else {}
    try:
        effect, reason = _judge(document, kind)
    except _Verdict as verdict:
        effect, reason = verdict.effect, verdict.reason
    except DocumentError as error:
        effect, reason = "refuse", error.reason
    return Inspection(
        type=kind,
        object_type=_main_type(types(inner)),
        actor=id_of(document.get("actor")) or id_of(document.get("attributedTo")),
        audience=_audience(document, inner),
        effect=effect,
        reason=reason,
    )


def _main_type(kinds: tuple[str, ...]) -> str | None:
    """Of several types the one that is known: ``["Person", "x:Physician"]`` is a Person."""
    return next((kind for kind in kinds if kind in _KNOWN_TYPES), kinds[0] if kinds else None)


def _audience(document: dict[str, Any], inner: dict[str, Any]) -> str:
    source = document if "to" in document or "cc" in document else inner
    return audience_of(ids(source.get("to")), ids(source.get("cc")))


def _judge(document: dict[str, Any], kind: str | None) -> tuple[str, str]:
    if kind is None:
        raise _Verdict("refuse", "type_missing")
    if kind in _ACTIVITIES or kind in OTHER_ACTIVITIES:
        activity = read_activity(document)
        _check_activity(activity)
        if kind in OTHER_ACTIVITIES:
            raise _Verdict("ignore", "activity_without_effect")
        return _ACTIVITIES[kind](activity)
    if kind not in _KNOWN_TYPES:
        raise _Verdict("ignore", "type_unknown")
    return _judge_object(document, kind)


def _judge_object(document: dict[str, Any], kind: str) -> tuple[str, str]:
    """An actor, object or collection by itself: nothing an inbox takes, but something to fetch."""
    own_id = id_of(document)
    if own_id is not None:
        _check_url(own_id, "id_malformed")
    if kind in ACTOR_TYPES:
        if own_id is None:
            raise _Verdict("refuse", "id_missing")
        inbox = id_of(document.get("inbox"))
        if inbox is None:
            return "actor", "inbox_missing"
        if not same_origin(own_id, inbox):
            raise _Verdict("refuse", "inbox_foreign")
        return "actor", ""
    if kind in COLLECTION_TYPES:
        return "collection", ""
    authors = ids(document.get("attributedTo"))
    if own_id is not None and authors and not any(same_origin(own_id, each) for each in authors):
        raise _Verdict("refuse", "author_foreign")
    return "object", ""


def _check_activity(activity: ActivityDocument) -> None:
    """Every activity has an id and one actor, both of one origin."""
    if activity.actor is None:
        raise _Verdict("refuse", "actor_missing")
    if len(ids(activity.raw.get("actor"))) != 1:
        raise _Verdict("refuse", "several_actors")
    _check_url(activity.actor, "actor_malformed")
    if activity.id is None:
        raise _Verdict("refuse", "id_missing")
    _check_url(activity.id, "id_malformed")
    if not same_origin(activity.id, activity.actor):
        raise _Verdict("refuse", "id_foreign")


def _check_url(value: str, reason: str) -> None:
    try:
        split_url(value)
    except DocumentError as error:
        raise _Verdict("refuse", reason) from error


def _object_id(activity: ActivityDocument) -> str:
    """The id of what the activity is about; it must have one."""
    if activity.object_id is None:
        raise _Verdict("refuse", "object_missing")
    _check_url(activity.object_id, "object_malformed")
    return activity.object_id


def _own(activity: ActivityDocument) -> str:
    """The object's id, which must be of the actor's own origin."""
    object_id = _object_id(activity)
    if not same_origin(object_id, activity.actor or ""):
        raise _Verdict("refuse", "object_foreign")
    return object_id


def _post(activity: ActivityDocument, effect: str) -> tuple[str, str]:
    """A Create or Update of a post: by its author, of a type that is shown here."""
    _own(activity)
    post = activity.object
    if post is None:
        return effect, "object_by_reference"
    kind = _main_type(types(post))
    if kind is None:
        raise _Verdict("refuse", "object_type_missing")
    if kind not in POST_TYPES:
        raise _Verdict("ignore", "object_type_unknown")
    # Mobilizon attributes a post to the group and names the member as the object's actor.
    authors = ids(post.get("attributedTo")) + ids(post.get("actor"))
    if authors and activity.actor not in authors:
        raise _Verdict("refuse", "author_mismatch")
    return effect, ""


def _create(activity: ActivityDocument) -> tuple[str, str]:
    effect, reason = _post(activity, "store_post")
    post = activity.object or {}
    is_vote = (
        "Note" in types(post)
        and isinstance(post.get("name"), str)
        and post.get("inReplyTo")
        and not post.get("content")
    )
    return ("vote", "") if is_vote else (effect, reason)


def _update(activity: ActivityDocument) -> tuple[str, str]:
    inner = activity.object
    kind = _main_type(types(inner)) if inner is not None else None
    if kind in ACTOR_TYPES or _object_id(activity) == activity.actor:
        if _own(activity) != activity.actor:
            # Lemmy's moderators change a group in their own name; who they are is not known here.
            raise _Verdict("ignore", "not_the_owner")
        return "actor_update", "" if inner is not None else "object_by_reference"
    return _post(activity, "edit_post")


def _delete(activity: ActivityDocument) -> tuple[str, str]:
    _own(activity)
    return "delete", ""


def _about(effect: str) -> Callable[[ActivityDocument], tuple[str, str]]:
    """An activity about any object: Follow, Like, Announce, Block, Flag."""

    def judge(activity: ActivityDocument) -> tuple[str, str]:
        _object_id(activity)
        return effect, ""

    return judge


def _announce(activity: ActivityDocument) -> tuple[str, str]:
    _object_id(activity)
    kind = _main_type(types(activity.object or {}))
    # A group passes on its members' activities (FEP-1b12); they are fetched, never believed.
    return "announce", "group_activity" if kind in _ACTIVITIES or kind in OTHER_ACTIVITIES else ""


def _is_vouch(offer: dict[str, Any]) -> bool:
    """Whether an Offer is of a vouch, which asks a member for their word on an applicant."""
    asked = offer.get("object")
    return isinstance(asked, dict) and not set(VOUCH_TYPES).isdisjoint(types(asked))


def _offer(activity: ActivityDocument) -> tuple[str, str]:
    if not _is_vouch(activity.raw):
        raise _Verdict("ignore", "activity_without_effect")
    applicant = id_of(activity.raw.get("attributedTo"))
    if applicant is None or not same_origin(applicant, activity.actor or ""):
        raise _Verdict("refuse", "applicant_foreign")
    return "vouch_request", ""


def _accept(activity: ActivityDocument) -> tuple[str, str]:
    answered = activity.object
    if answered is not None and "Offer" in types(answered) and _is_vouch(answered):
        _object_id(activity)
        return "vouch", ""
    return _answer("accept_follow")(activity)


def _answer(effect: str) -> Callable[[ActivityDocument], tuple[str, str]]:
    """Accept or Reject of a Follow that was sent to this actor."""

    def judge(activity: ActivityDocument) -> tuple[str, str]:
        follow = activity.object
        if follow is None:
            _object_id(activity)
            return effect, "object_by_reference"
        if "Follow" not in types(follow):
            raise _Verdict("ignore", "answers_no_follow")
        # The embedded Follow may lack its id: who followed whom is enough to find it.
        followed = id_of(follow.get("object"))
        if followed is not None and is_public(followed):
            raise _Verdict("ignore", "relay_follow")
        if followed not in (None, activity.actor):
            raise _Verdict("refuse", "follow_of_another")
        return effect, ""

    return judge


_UNDOES: Final = {
    "Follow": "undo_follow",
    "Like": "undo_like",
    "EmojiReact": "undo_like",
    "Announce": "undo_announce",
    "Block": "undo_block",
}


def _undo(activity: ActivityDocument) -> tuple[str, str]:
    undone = activity.object
    if undone is None:
        _own(activity)
        # A follow or a reaction of the actor's own; which of them is in the database.
        return "undo", "object_by_reference"
    if id_of(undone) is None and id_of(undone.get("object")) is None:
        raise _Verdict("refuse", "object_missing")
    if ids(undone.get("actor")) not in ((), (activity.actor,)):
        raise _Verdict("refuse", "undo_of_another")
    kind = _main_type(types(undone)) or ""
    effect = _UNDOES.get(kind)
    if kind == "Offer" and _is_vouch(undone):
        effect = "undo_vouch_request"
    elif kind == "Accept" and isinstance(undone.get("object"), dict):
        effect = "undo_vouch" if _is_vouch(undone["object"]) else None
    if effect is None:
        raise _Verdict("ignore", "object_type_unknown")
    return effect, ""


def _move(activity: ActivityDocument) -> tuple[str, str]:
    if _object_id(activity) != activity.actor:
        raise _Verdict("refuse", "move_of_another")
    if activity.target_id is None:
        raise _Verdict("refuse", "target_missing")
    _check_url(activity.target_id, "target_malformed")
    return "move", ""


def _collect(effect: str) -> Callable[[ActivityDocument], tuple[str, str]]:
    """Add to or Remove from a collection of the actor's own, or of a group it moderates."""

    def judge(activity: ActivityDocument) -> tuple[str, str]:
        _object_id(activity)
        if activity.target_id is None:
            raise _Verdict("refuse", "target_missing")
        _check_url(activity.target_id, "target_malformed")
        return effect, ""

    return judge


_ACTIVITIES: Final[dict[str, Callable[[ActivityDocument], tuple[str, str]]]] = {
    "Accept": _accept,
    "Add": _collect("add"),
    "Announce": _announce,
    "Block": _about("block"),
    "Create": _create,
    "Delete": _delete,
    "EmojiReact": _about("like"),
    "Flag": _about("flag"),
    "Follow": _about("follow"),
    "Like": _about("like"),
    "Move": _move,
    "Offer": _offer,
    "Reject": _answer("reject_follow"),
    "Remove": _collect("remove"),
    "Undo": _undo,
    "Update": _update,
}
_KNOWN_TYPES: Final = (
    ACTOR_TYPES | OBJECT_TYPES | COLLECTION_TYPES | OTHER_ACTIVITIES | _ACTIVITIES.keys()
)
