"""JSON-LD contexts: ours says what it should; theirs may not change what we read."""

from typing import Any

import pytest

from fedidoc.activitypub.contexts import (
    CONTEXT,
    EXTENSION_CONTEXT,
    NAMESPACE,
    check_context,
    check_shape,
)
from fedidoc.activitypub.errors import DocumentError

AS = "https://www.w3.org/ns/activitystreams"


def refusal(document: dict[str, Any]) -> str | None:
    try:
        check_shape(document, 256)
    except DocumentError as error:
        return error.reason
    return None


def test_our_own_contexts_pass() -> None:
    check_context(CONTEXT)
    check_context(EXTENSION_CONTEXT["@context"])
    assert CONTEXT[:2] == [AS, "https://w3id.org/security/v1"]


def test_every_extension_term_has_a_published_meaning() -> None:
    published = EXTENSION_CONTEXT["@context"]
    ours = {
        term: meaning
        for term, meaning in CONTEXT[2].items()
        if "fedidoc:" in (meaning if isinstance(meaning, str) else meaning["@id"])
    }
    assert {"case", "ageBand", "teachingPoints", "credential", "audienceScope"} <= ours.keys()
    assert all(published[term] == meaning for term, meaning in ours.items())
    assert published["fedidoc"] == CONTEXT[2]["fedidoc"] == NAMESPACE


@pytest.mark.parametrize(
    "context",
    [
        AS,
        [AS, "https://purl.archive.org/miscellany", {"@language": "und"}],
        [AS, {"toot": "http://joinmastodon.org/ns#", "Emoji": "toot:Emoji"}],
        {"id": "@id", "type": "@type", "as": AS + "#", "actor": {"@id": "as:actor"}},
        {"nameMap": {"@id": "as:name", "@container": "@language"}},
        {"DataIntegrityProof": {"@id": "sec:DIP", "@context": {"id": "@id", "type": "@type"}}},
        {"state": {"@id": "pt:state"}, "location": {"@id": "sc:location", "@type": "sc:Place"}},
    ],
)
def test_honest_contexts(context: Any) -> None:
    assert refusal({"@context": context, "type": "Note"}) is None


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ({"as": "https://evil.example/ns#"}, "context_redefines"),
        ({"sec": "https://evil.example/sec#"}, "context_redefines"),
        ({"id": "https://evil.example/id"}, "context_redefines"),
        ({"type": None}, "context_redefines"),
        ({"actor": {"@type": "@id"}}, "context_redefines"),
        ({"actor": {"@id": "as:object", "@type": "@id"}}, "context_redefines"),
        ({"object": "as:target"}, "context_redefines"),
        ({"Undo": "as:Create"}, "context_redefines"),
        ({"content": "https://evil.example/content"}, "context_redefines"),
        ({"publicKey": "https://evil.example/key"}, "context_redefines"),
        ({"uuid": "@id"}, "context_alias"),
        ({"kind": "@type"}, "context_alias"),
        ({"bag": "@graph"}, "context_alias"),
        ({"author": {"@id": "as:actor"}}, "context_alias"),
        ({"author": AS + "#actor"}, "context_alias"),
        ({"activity": AS + "#"}, "context_alias"),
        ({"w": "https://www.w3.org/ns/", "x": "w:activitystreams#actor"}, "context_alias"),
        (
            [{"w": {"@id": "https://www.w3.org/"}}, {"x": "w:ns/activitystreams#to"}],
            "context_alias",
        ),
        (
            {"v": "https://www.w3.org/", "w": "v:ns/", "x": "w:activitystreams#actor"},
            "context_alias",
        ),
        ({"x": "x:y"}, "bad_context"),
        ({"v": "w:", "w": "v:", "x": "v:actor"}, "bad_context"),
        ({"parent": {"@reverse": "as:object"}}, "context_reshapes"),
        ({"x": {"@id": "ex:x", "@context": {"id": "ex:id"}}}, "context_redefines"),
        ({"x": {"@id": "ex:x", "@context": {"y": {"@reverse": "as:to"}}}}, "context_reshapes"),
        ({"@import": "https://evil.example/c"}, "context_keyword"),
        ({"@base": "https://evil.example/"}, "context_keyword"),
        ([None], "bad_context"),
        (7, "bad_context"),
        ({"x": 7}, "bad_context"),
        ([AS] * 33, "bad_context"),
    ],
)
def test_contexts_that_redefine_or_alias(context: Any, reason: str) -> None:
    """Mastodon CVE-2026-46349, Fedify CVE-2026-42462: redefined ``as:`` or ``id`` aliases."""
    assert refusal({"@context": context, "type": "Note"}) == reason


@pytest.mark.parametrize("keyword", ["@graph", "@included", "@reverse", "@nest"])
def test_reshaping_keywords_at_any_depth(keyword: str) -> None:
    """Mastodon CVE-2026-46349, Fedify CVE-2026-42462."""
    inner: Any = {keyword: {"type": "Undo"}}
    assert refusal(inner) == "reshaped"
    for depth in range(12):
        inner = {"object": [inner]} if depth % 2 else {"object": inner}
        assert refusal({"@context": AS, **inner}) == "reshaped"


@pytest.mark.parametrize("key", ["as:actor", AS + "#object", "sec:publicKey", "ldp:inbox"])
def test_words_spelled_as_iris(key: str) -> None:
    assert refusal({"type": "Create", "object": {key: "https://evil.example/"}}) == "reshaped"


def test_an_object_has_one_id() -> None:
    assert refusal({"id": "https://a.example/1", "@id": "https://b.example/1"}) == "two_ids"


@pytest.mark.parametrize(
    "nested",
    [
        AS,
        [AS, "https://w3id.org/security/data-integrity/v2"],
        "https://hub.example/context",
        [AS, {"manuallyApprovesFollowers": "as:manuallyApprovesFollowers"}],
        {"toot": "http://joinmastodon.org/ns#"},
    ],
)
def test_a_nested_context_may_repeat(nested: Any) -> None:
    outer = [AS, "https://hub.example/context", {"toot": "http://joinmastodon.org/ns#"}]
    assert refusal({"@context": outer, "object": {"@context": nested}}) is None


@pytest.mark.parametrize(
    "nested",
    [
        "https://evil.example/context",
        {"content": "https://evil.example/content"},
        {"toot": "https://evil.example/ns#"},
        {"x": "https://evil.example/x"},
        [AS, {"id": "https://evil.example/id"}],
    ],
)
def test_a_nested_context_may_not_change_anything(nested: Any) -> None:
    outer = [AS, {"toot": "http://joinmastodon.org/ns#"}]
    document = {"@context": outer, "object": {"tag": [{"@context": nested}]}}
    assert refusal(document) == "nested_context"


def test_a_nested_context_may_not_reset() -> None:
    assert refusal({"@context": AS, "object": {"@context": None}}) == "bad_context"


def test_array_lengths() -> None:
    assert refusal({"to": ["x"] * 256}) is None
    assert refusal({"to": ["x"] * 257}) == "too_many_items"
    assert refusal({"object": {"tag": [[["x"] * 257]]}}) == "too_many_items"
