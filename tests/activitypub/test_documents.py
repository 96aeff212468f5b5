"""Documents: every shape that real servers send, read into one typed form."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedidoc.activitypub.documents import (
    CONTEXT,
    PUBLIC,
    Attachment,
    Limits,
    dump,
    id_of,
    ids,
    is_public,
    parse,
    read_activity,
    read_actor,
    read_object,
    types,
)
from fedidoc.activitypub.errors import DocumentError

NOTE: dict[str, Any] = {"id": "https://a.example/n/1", "type": "Note", "content": "<p>x</p>"}


@pytest.mark.parametrize("body", ["[]", "7", '"x"', "null", "true"])
def test_a_document_is_an_object(body: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(body)
    assert caught.value.reason == "not_an_object"


def test_parse_looks_at_shape_and_limits() -> None:
    assert parse(b'{"to":["x"]}') == {"to": ["x"]}
    for body, limits, reason in (
        ('{"object":{"@graph":[]}}', Limits(), "reshaped"),
        ('{"@context":{"id":"x"}}', Limits(), "context_redefines"),
        ('{"a":[1,2,3]}', Limits(max_items=2), "too_many_items"),
        ('{"a":[[[1]]]}', Limits(max_depth=3), "too_deep"),
        ('{"a":1}', Limits(max_bytes=6), "too_large"),
    ):
        with pytest.raises(DocumentError) as caught:
            parse(body, limits)
        assert caught.value.reason == reason


def test_dump_is_compact_and_read_back() -> None:
    document = {"@context": CONTEXT, "name": "Ø", "to": [PUBLIC]}
    assert dump({"name": "Ø", "n": [1, True]}) == '{"name":"Ø","n":[1,true]}'.encode()
    assert parse(dump(document)) == document


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("https://a.example/1", ("https://a.example/1",)),
        ({"id": "https://a.example/1"}, ("https://a.example/1",)),
        ({"@id": "https://a.example/1"}, ("https://a.example/1",)),
        ({"type": "Link", "href": "https://a.example/1"}, ("https://a.example/1",)),
        ({"type": "Note", "href": "https://a.example/1"}, ()),
        (["x", {"id": "y"}, "x", 7, None, "", {}, ["z"]], ("x", "y")),
        ("x" * 2049, ()),
    ],
)
def test_ids(value: Any, expected: tuple[str, ...]) -> None:
    assert ids(value) == expected
    assert id_of(value) == (expected[0] if expected else None)


@pytest.mark.parametrize("iri", [PUBLIC, "as:Public", "Public"])
def test_public_has_three_spellings(iri: str) -> None:
    assert is_public(iri)
    assert not is_public(iri + "/")


def test_types() -> None:
    assert types({"type": "as:Note"}) == types({"type": [PUBLIC[:-6] + "Note", 7]}) == ("Note",)
    assert types({"@type": ["Person", "x:Physician"]}) == ("Person", "x:Physician")
    assert types({}) == ()


ACTOR: dict[str, Any] = {
    "id": "https://a.example/u/1",
    "type": ["x:Physician", "Person"],
    "preferredUsername": "ann",
    "nameMap": {"de": "Änn", "en": "Ann"},
    "inbox": "https://a.example/u/1/inbox",
    "outbox": {"id": "https://a.example/u/1/outbox", "type": "OrderedCollection"},
    "endpoints": {"sharedInbox": "https://a.example/inbox"},
    "icon": [{"type": "Image", "url": {"type": "Link", "href": "https://a.example/i.png"}}],
    "url": [
        {"type": "Link", "mediaType": "application/json", "href": "https://a.example/u/1.json"},
        {"type": "Link", "mediaType": "text/html", "href": "https://a.example/@ann"},
    ],
    "publicKey": [
        {"id": "https://a.example/u/1#k", "owner": "https://a.example/u/1", "publicKeyPem": "PEM"},
        {"id": "https://a.example/u/1#bad", "publicKeyPem": 7},
        "https://a.example/u/1#elsewhere",
    ],
    "assertionMethod": {
        "id": "https://a.example/u/1#ed",
        "type": "Multikey",
        "controller": "https://a.example/u/1",
        "publicKeyMultibase": "z6Mk",
    },
    "manuallyApprovesFollowers": True,
    "discoverable": "yes",
    "credential": "https://a.example/c/1",
    "alsoKnownAs": "https://b.example/u/1",
}


def test_read_actor() -> None:
    actor = read_actor(ACTOR)
    assert (actor.id, actor.type) == ("https://a.example/u/1", "Person")
    assert actor.types == ("x:Physician", "Person")
    assert (actor.preferred_username, actor.name, actor.summary) == ("ann", "Ann", None)
    assert actor.outbox == "https://a.example/u/1/outbox"
    assert actor.shared_inbox == "https://a.example/inbox"
    assert actor.url == "https://a.example/@ann"
    assert actor.icon_url == "https://a.example/i.png"
    assert actor.public_keys == (("https://a.example/u/1#k", "https://a.example/u/1", "PEM"),)
    assert actor.multikeys == (("https://a.example/u/1#ed", "https://a.example/u/1", "z6Mk"),)
    assert (actor.manually_approves, actor.discoverable) == (True, False)
    assert actor.credential == "https://a.example/c/1"
    assert actor.also_known_as == ("https://b.example/u/1",)


@pytest.mark.parametrize("missing", ["id", "type"])
def test_an_actor_needs_id_and_type(missing: str) -> None:
    with pytest.raises(DocumentError):
        read_actor({key: value for key, value in ACTOR.items() if key != missing})


def test_read_activity_with_a_whole_follow_inside() -> None:
    activity = read_activity(
        {
            "id": "https://a.example/u/1#accepts/1",
            "type": "Accept",
            "actor": {"id": "https://a.example/u/1", "type": "Person"},
            "to": "https://b.example/u/2",
            "object": [{"type": "Follow", "id": "https://b.example/f/1", "actor": {"id": "x"}}],
            "published": "2026-01-02T03:04:05.678Z",
        }
    )
    assert activity.id == "https://a.example/u/1#accepts/1"
    assert activity.actor == "https://a.example/u/1"
    assert activity.to == ("https://b.example/u/2",)
    assert activity.object_id == "https://b.example/f/1"
    assert activity.object is not None
    assert activity.object["type"] == "Follow"
    assert activity.published == 1767323045678


def test_read_object() -> None:
    case = {"type": "fedidoc:Case", "ageBand": "60-69", "sex": "female", "state": "open"}
    post = read_object(
        {
            **NOTE,
            "attributedTo": [{"id": "https://a.example/u/1"}],
            "contentMap": {"en": "<p>other</p>"},
            "source": {"content": "x", "mediaType": "text/markdown"},
            "inReplyTo": {"id": "https://a.example/n/0"},
            "context": "https://a.example/threads/1",
            "cc": ["as:Public"],
            "published": "2026-01-02T03:04:05+01:00",
            "updated": "yesterday",
            "sensitive": True,
            "attachment": [
                {
                    "type": "Document",
                    "mediaType": "image/png",
                    "url": "https://a.example/i.png",
                    "name": "chest film",
                    "width": 640,
                    "height": -1,
                },
                {"type": "Link", "href": "https://a.example/page"},
                {"type": "Image"},
                "https://a.example/bare",
            ],
            "tag": [
                {"type": "Mention", "href": "https://b.example/u/2", "name": "@bo@b.example"},
                {"type": "Hashtag", "name": "#ECG"},
                {"type": "Mention", "name": "@nobody"},
                "x",
            ],
            "case": case,
            "audienceScope": "verified",
        }
    )
    assert post.attributed_to == ("https://a.example/u/1",)
    assert (post.content, post.content_is_html, post.source) == ("<p>x</p>", True, "x")
    assert post.in_reply_to == "https://a.example/n/0"
    assert post.context == "https://a.example/threads/1"
    assert (post.published, post.updated) == (1767319445000, None)
    assert post.attachments == (
        Attachment("https://a.example/i.png", "image/png", "chest film", 640, None),
        Attachment("https://a.example/page", None, None, None, None),
    )
    assert post.mentions == (("https://b.example/u/2", "@bo@b.example"),)
    assert post.hashtags == ("ECG",)
    assert post.sensitive
    assert post.case == case
    assert post.audience_scope == "verified"


@pytest.mark.parametrize("kind", ["fedidoc:Case", "Case", "https://w3id.org/fedidoc/v1#Case"])
def test_a_case_is_typed_in_three_spellings(kind: str) -> None:
    case = {"type": kind, "state": "open"}
    assert read_object({**NOTE, "case": case}).case == case


def test_a_case_is_only_what_is_typed_as_one() -> None:
    """PeerTube and others may have a ``case`` of their own."""
    assert read_object({**NOTE, "case": {"type": "x:Case"}}).case is None
    assert read_object({**NOTE, "case": "open"}).case is None


def test_plain_text_is_told_from_html() -> None:
    assert not read_object({**NOTE, "mediaType": "text/markdown"}).content_is_html
    assert read_object({**NOTE, "mediaType": None}).content_is_html


@pytest.mark.parametrize(
    "value", ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "x" * 99, 7, None, "0001-01-01"]
)
def test_times_at_the_edges_do_not_fail(value: Any) -> None:
    published = read_object({**NOTE, "published": value}).published
    assert published is None or abs(published) < 1 << 53


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "id",
        "type",
        "actor",
        "object",
        "target",
        "to",
        "cc",
        "name",
        "content",
        "contentMap",
        "source",
        "url",
        "icon",
        "tag",
        "attachment",
        "publicKey",
        "assertionMethod",
        "endpoints",
        "attributedTo",
        "inReplyTo",
        "published",
        "mediaType",
        "case",
        "audienceScope",
        "credential",
        "alsoKnownAs",
        "context",
    ]
)


@given(st.dictionaries(FIELDS, JSON_VALUES, max_size=8))
def test_any_values_are_read_or_refused(document: dict[str, Any]) -> None:
    for read in (read_actor, read_activity, read_object):
        try:
            assert read({"type": "Note", "id": "https://a.example/", **document}).raw
        except DocumentError as error:
            assert error.reason in {"actor_malformed", "type_missing"}
