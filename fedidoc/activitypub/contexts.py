"""JSON-LD contexts: the one we send, and what a context from outside may say.

fedidoc reads documents as plain JSON, as nearly every server does. A context that gives our words
another meaning, or our meanings another word, makes a JSON-LD reader see another document than we
do; Mastodon (CVE-2026-46349) and Fedify (CVE-2026-42462) were deceived that way. Such contexts are
refused instead of processed.
"""

from collections.abc import Iterator
from typing import Any, Final

from fedidoc.activitypub.errors import DocumentError

ACTIVITYSTREAMS: Final = "https://www.w3.org/ns/activitystreams"
AS: Final = ACTIVITYSTREAMS + "#"
SEC: Final = "https://w3id.org/security#"
NAMESPACE: Final = "https://w3id.org/fedidoc/v1#"

_CASE_TERMS: Final[dict[str, Any]] = {
    "credential": {"@id": "fedidoc:credential", "@type": "@id"},
    "pseudonymous": "fedidoc:pseudonymous",
    "case": "fedidoc:case",
    "profession": "fedidoc:profession",
    "specialty": "fedidoc:specialty",
    "code": "fedidoc:code",
    "label": "fedidoc:label",
    "ageBand": "fedidoc:ageBand",
    "sex": "fedidoc:sex",
    "presentation": "fedidoc:presentation",
    "findings": "fedidoc:findings",
    "question": "fedidoc:question",
    "state": "fedidoc:caseState",
    "outcome": "fedidoc:outcome",
    "teachingPoints": "fedidoc:teachingPoints",
    "audienceScope": "fedidoc:audienceScope",
}

# Everything we send carries this context. The extension stands inline because several peers answer
# 500 when they cannot fetch a context.
CONTEXT: Final[list[Any]] = [
    ACTIVITYSTREAMS,
    "https://w3id.org/security/v1",
    {
        "toot": "http://joinmastodon.org/ns#",
        "fedidoc": NAMESPACE,
        "manuallyApprovesFollowers": "as:manuallyApprovesFollowers",
        "sensitive": "as:sensitive",
        "Hashtag": "as:Hashtag",
        "alsoKnownAs": {"@id": "as:alsoKnownAs", "@type": "@id"},
        "movedTo": {"@id": "as:movedTo", "@type": "@id"},
        "discoverable": "toot:discoverable",
        "Multikey": "https://w3id.org/security#Multikey",
        "assertionMethod": {
            "@id": "https://w3id.org/security#assertionMethod",
            "@type": "@id",
            "@container": "@set",
        },
        "controller": {"@id": "https://w3id.org/security#controller", "@type": "@id"},
        "publicKeyMultibase": {
            "@id": "https://w3id.org/security#publicKeyMultibase",
            "@type": "https://w3id.org/security#multibase",
        },
        **_CASE_TERMS,
    },
]

# The document an instance serves at /ns/v1: the extension by itself.
EXTENSION_CONTEXT: Final[dict[str, Any]] = {
    "@context": {
        "fedidoc": NAMESPACE,
        "Case": "fedidoc:Case",
        "Vouch": "fedidoc:Vouch",
        **_CASE_TERMS,
    }
}

# Contexts that may be repeated inside a document: FEP-8b32 proofs carry theirs, Hubzilla and
# Funkwhale embed whole actors.
KNOWN_CONTEXTS: Final = frozenset(
    {
        ACTIVITYSTREAMS,
        "https://w3id.org/security/v1",
        "https://w3id.org/security/v2",
        "https://w3id.org/security/data-integrity/v1",
        "https://w3id.org/security/data-integrity/v2",
        "https://w3id.org/security/multikey/v1",
        "https://www.w3.org/ns/did/v1",
        "https://www.w3.org/ns/credentials/v2",
    }
)

# JSON-LD keywords that move parts of a document to another place in the graph.
RESHAPING: Final = frozenset({"@graph", "@included", "@reverse", "@nest"})

_ACTIVITY_TYPES = (
    "Accept",
    "Add",
    "Announce",
    "Block",
    "Create",
    "Delete",
    "Dislike",
    "Flag",
    "Follow",
    "Ignore",
    "Like",
    "Move",
    "Reject",
    "Remove",
    "TentativeAccept",
    "TentativeReject",
    "Undo",
    "Update",
)
_AS_TERMS = (
    "actor",
    "object",
    "target",
    "to",
    "cc",
    "bto",
    "bcc",
    "audience",
    "attributedTo",
    "inReplyTo",
    "content",
    "published",
    "outbox",
    "followers",
    "following",
    "endpoints",
    "sharedInbox",
    "preferredUsername",
    "Public",
)
_SEC_TERMS = (
    "publicKey",
    "owner",
    "publicKeyPem",
    "publicKeyMultibase",
    "assertionMethod",
    "controller",
    "proof",
    "proofValue",
)
_PREFIXES: Final = {"as": AS, "sec": SEC, "ldp": "http://www.w3.org/ns/ldp#"}

# The words that decide who does what to what, and the one meaning each may have.
_MEANING: Final[dict[str, str]] = {
    "id": "@id",
    "type": "@type",
    "inbox": "http://www.w3.org/ns/ldp#inbox",
    "items": AS + "items",
    "orderedItems": AS + "items",
    "contentMap": AS + "content",
    **_PREFIXES,
    **{term: AS + term for term in _ACTIVITY_TYPES + _AS_TERMS},
    **{term: SEC + term for term in _SEC_TERMS},
}
_PROTECTED: Final = frozenset(_MEANING.values())
_HARMLESS_KEYWORDS: Final = frozenset(
    {"@vocab", "@language", "@direction", "@version", "@protected", "@propagate"}
)

# The same words spelled as an IRI are not what we read, so a document may not carry them.
_FORBIDDEN_KEYS: Final = RESHAPING | frozenset(
    spelling
    for term, meaning in _MEANING.items()
    if term not in _PREFIXES
    for spelling in (
        meaning,
        *(f"{prefix}:{term}" for prefix, iri in _PREFIXES.items() if meaning == iri + term),
    )
    if not spelling.startswith("@")
)

_MAX_CONTEXTS = 32


def check_shape(document: dict[str, Any], max_items: int) -> None:
    """Refuse a document that JSON-LD would see in another shape than plain JSON shows.

    That is ``@graph``, ``@included``, ``@reverse`` and ``@nest`` anywhere, words of ActivityPub
    spelled as IRIs, contexts that redefine or alias them, and contexts inside the document that
    change anything; also arrays of more than ``max_items``. Raises DocumentError. The nesting must
    already be bounded.
    """
    context = document.get("@context")
    if context is not None:
        check_context(context)
    _check_members(document, context, max_items)


def _check_members(members: dict[str, Any], context: Any, max_items: int) -> None:
    if not _FORBIDDEN_KEYS.isdisjoint(members):
        raise DocumentError("reshaped", "The document uses JSON-LD forms that are refused.")
    if "@id" in members and "id" in members:
        raise DocumentError("two_ids", "The document names one object twice.")
    for key, value in members.items():
        if isinstance(value, dict):
            if key == "@context":
                continue
            if "@context" in value:
                check_nested(value["@context"], context)
            _check_members(value, context, max_items)
        elif isinstance(value, list) and key != "@context":
            _check_items(value, context, max_items)


def _check_items(items: list[Any], context: Any, max_items: int) -> None:
    if len(items) > max_items:
        raise DocumentError("too_many_items", f"An array has more than {max_items} members.")
    for value in items:
        if isinstance(value, dict):
            if "@context" in value:
                check_nested(value["@context"], context)
            _check_members(value, context, max_items)
        elif isinstance(value, list):
            _check_items(value, context, max_items)


def check_context(context: Any) -> None:
    """Refuse a document's own context if it redefines, aliases or reshapes what we read.

    Raises DocumentError. Unknown context URLs are accepted and never fetched.
    """
    _check_within(context, {})


def _check_within(context: Any, outer: dict[str, Any]) -> None:
    inline = [part for part in _parts(context) if isinstance(part, dict)]
    terms = dict(outer)
    for part in inline:
        terms.update(part)
    for part in inline:
        _check_terms(part, terms)


def check_nested(context: Any, outer: Any) -> None:
    """Refuse a context inside a document unless it only repeats what already holds there.

    ``outer`` is the document's own context. Raises DocumentError.
    """
    around = list(_parts(outer)) if outer is not None else []
    urls = {part for part in around if isinstance(part, str)} | KNOWN_CONTEXTS
    terms = {
        term: meaning for part in around if isinstance(part, dict) for term, meaning in part.items()
    }
    for part in _parts(context):
        if isinstance(part, str):
            repeats = part in urls
        else:
            repeats = all(
                term == "@language" or terms.get(term) == meaning or meaning == "as:" + term
                for term, meaning in part.items()
            )
        if not repeats:
            raise DocumentError(
                "nested_context", "The document changes its JSON-LD context on the inside."
            )


def _parts(context: Any) -> Iterator[str | dict[str, Any]]:
    parts = context if isinstance(context, list) else [context]
    if len(parts) > _MAX_CONTEXTS:
        raise DocumentError("bad_context", "The document has too many JSON-LD contexts.")
    for part in parts:
        if not isinstance(part, str | dict):
            raise _malformed()
        yield part


def _check_terms(part: dict[str, Any], terms: dict[str, Any]) -> None:
    """Check the definitions of ``part``; ``terms`` are all in force, for their prefixes."""
    for term, definition in part.items():
        if term.startswith("@"):
            if term not in _HARMLESS_KEYWORDS:
                raise DocumentError(
                    "context_keyword", "The document's context uses a keyword that is refused."
                )
            continue
        iri = definition
        if isinstance(definition, dict):
            if not RESHAPING.isdisjoint(definition):
                raise DocumentError(
                    "context_reshapes", "The document's context moves parts of the document."
                )
            if "@context" in definition:
                _check_within(definition["@context"], terms)
            iri = definition.get("@id")
        if iri is not None and not isinstance(iri, str):
            raise _malformed()
        meaning = _expand(iri, terms)
        if term in _MEANING:
            if meaning != _MEANING[term]:
                raise DocumentError(
                    "context_redefines", "The document's context redefines a word of ActivityPub."
                )
        elif meaning is not None and (meaning in _PROTECTED or meaning.startswith("@")):
            raise DocumentError(
                "context_alias", "The document's context gives a word of ActivityPub another name."
            )


def _expand(iri: str | None, terms: dict[str, Any]) -> str | None:
    """The full IRI of a term's definition; prefixes may be built on one another, a few deep."""
    for _ in range(4):
        prefix, colon, rest = (iri or "").partition(":")
        if not colon or rest.startswith("//"):
            return iri
        base = _PREFIXES.get(prefix, terms.get(prefix))
        if isinstance(base, dict):
            base = base.get("@id")
        if not isinstance(base, str):
            return iri
        iri = base + rest
    raise _malformed()


def _malformed() -> DocumentError:
    return DocumentError("bad_context", "The document has a malformed JSON-LD context.")
