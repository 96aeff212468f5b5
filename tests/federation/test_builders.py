"""What leaves looks as every peer demands: wire.md, "What real servers were seen to demand"."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fedidoc.activitypub.documents import parse, read_actor, read_object
from fedidoc.activitypub.inspect import inspect
from fedidoc.federation import builders
from fedidoc.federation.builders import activities as build
from fedidoc.federation.builders import actors as actor_builders
from fedidoc.federation.builders import posts
from fedidoc.federation.builders.activities import Head
from fedidoc.federation.builders.actors import PublicKeys
from fedidoc.federation.builders.posts import Addressed
from fedidoc.model import Audience, Post
from tests.federation.values import AWAY, FIELDS, URLS, actor, case, reply

PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
BOB = actor("bob", AWAY)
HEAD = Head(URLS.activity("a1"), URLS.actor("ada"), 1_790_000_000_000)
KEYS = PublicKeys(
    URLS.rsa_key(URLS.actor("ada")),
    "-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----\n",
    ((URLS.ed25519_key(URLS.actor("ada")), "z6MkTest"),),
)


def note(post: Post | None = None) -> dict[str, Any]:
    return posts.note(URLS, post or case(), [], context=URLS.context("c1"))


def all_activities() -> list[dict[str, Any]]:
    tombstone = posts.tombstone(case(deleted=1_790_000_001_000), Addressed(("x",)))
    return [
        build.create(HEAD, note()),
        build.update(HEAD, note()),
        build.delete(HEAD, tombstone, Addressed(("x",))),
        build.follow(HEAD, BOB.uri),
        build.accept(HEAD, AWAY.follow("f"), BOB.uri),
        build.reject(HEAD, AWAY.follow("f"), BOB.uri),
        build.undo_follow(HEAD, URLS.follow("f"), BOB.uri),
        build.like(HEAD, AWAY.object("p"), BOB.uri),
        build.undo_like(HEAD, URLS.like("l"), AWAY.object("p"), BOB.uri),
        build.announce(HEAD, AWAY.object("p"), Addressed(("x",))),
        build.undo_announce(HEAD, URLS.announce("n"), AWAY.object("p"), Addressed(("x",))),
    ]


def contexts_in(value: Any) -> int:
    if isinstance(value, dict):
        return ("@context" in value) + sum(contexts_in(part) for part in value.values())
    if isinstance(value, list):
        return sum(contexts_in(part) for part in value)
    return 0


@pytest.mark.parametrize("document", all_activities(), ids=lambda d: d["type"])
def test_activities_are_what_every_peer_takes(document: dict[str, Any]) -> None:
    assert isinstance(document["type"], str)
    assert document["actor"] == URLS.actor("ada")
    assert document["id"].startswith(URLS.base)
    assert document["published"] == "2026-09-21T14:13:20Z"
    assert all(isinstance(document[name], list) for name in ("to", "cc"))
    sent = parse(builders.write(document))
    assert contexts_in(sent["object"] if isinstance(sent["object"], dict) else {}) == 0
    assert "https://w3id.org/security/v1" in sent["@context"]
    assert inspect(sent).effect not in ("refuse", "ignore")


def test_the_embedded_follow_of_an_answer_names_its_actor() -> None:
    accepted = build.accept(HEAD, AWAY.follow("f"), BOB.uri)
    assert accepted["object"] == {
        "id": AWAY.follow("f"),
        "type": "Follow",
        "actor": BOB.uri,
        "object": URLS.actor("ada"),
    }


def test_a_case_is_a_note_that_a_plain_server_can_show() -> None:
    document = note()
    assert (document["type"], document["attributedTo"]) == ("Note", URLS.actor("ada"))
    assert document["name"] == "Syncope & murmur"
    assert "<p><strong>Syncope &amp; murmur</strong></p>" in document["content"]
    assert "Cardiovascular Disease · age 60-69 · female" in document["content"]
    assert "<strong>exertion</strong>" in document["content"]
    assert document["attachment"][0]["name"] == "Parasternal view"
    assert document["attachment"][0]["url"] == URLS.media("m1.png")


def test_a_case_comes_back_with_its_structure() -> None:
    read = read_object(parse(builders.write(note())))
    assert read.case is not None
    assert read.case["specialty"] == {"code": "207RC0000X", "label": "Cardiovascular Disease"}
    assert (read.case["ageBand"], read.case["state"]) == ("60-69", "open")
    assert read.case["presentation"] == FIELDS.presentation
    assert read.context == URLS.context("c1")


@pytest.mark.parametrize(
    ("audience", "to", "cc", "scope"),
    [
        (Audience.FOLLOWERS, [URLS.followers("ada")], [], None),
        (Audience.VERIFIED, [URLS.verified], [URLS.followers("ada")], "verified"),
        (Audience.PUBLIC, [PUBLIC], [URLS.followers("ada")], None),
        (Audience.DIRECT, [], [], None),
    ],
)
def test_addressing(audience: Audience, to: list[str], cc: list[str], scope: str | None) -> None:
    document = posts.note(URLS, case(audience=audience), [])
    assert (document["to"], document["cc"]) == (to, cc)
    assert document.get("audienceScope") == scope
    created = build.create(HEAD, document)
    assert (created["to"], created["cc"]) == (to, cc)


def test_a_reply_names_and_mentions_whom_it_answers() -> None:
    document = posts.note(URLS, reply(audience=Audience.VERIFIED), [BOB])
    assert document["to"] == [URLS.verified, BOB.uri]
    assert document["tag"] == [{"type": "Mention", "href": BOB.uri, "name": "@bob@society.example"}]
    assert document["inReplyTo"] == AWAY.object("c0")
    assert document["content"] == "<p>Valve first.</p>"
    assert "case" not in document


@pytest.mark.parametrize("post", [case(source=None), reply(source=None), case(local=False)])
def test_nothing_leaves_that_has_not_passed_the_guard(post: Post) -> None:
    with pytest.raises(TypeError):
        posts.note(URLS, post, [])


def test_a_person_has_what_peers_demand() -> None:
    document = actor_builders.actor(URLS, actor("ada"), KEYS, credential=URLS.credential("k"))
    assert document["type"] == "Person"
    assert document["publicKey"]["owner"] == document["id"]
    read = read_actor(parse(builders.write(document)))
    assert read.preferred_username == "ada"
    assert read.shared_inbox == URLS.shared_inbox
    assert read.public_keys == ((KEYS.rsa_id, document["id"], KEYS.rsa_pem),)
    assert read.multikeys == ((KEYS.multikeys[0][0], document["id"], "z6MkTest"),)
    assert read.credential == URLS.credential("k")


def test_a_stub_says_nothing_of_the_person() -> None:
    document = actor_builders.stub(actor("ada", summary_html="<p>x</p>"), KEYS)
    assert set(document) == {"id", "type", "preferredUsername", "inbox", "publicKey"}


def test_a_tombstone_has_no_words() -> None:
    document = posts.tombstone(case(deleted=1_790_000_001_000), Addressed(("x",)))
    assert "Syncope" not in json.dumps(document)
    assert document["type"] == "Tombstone"
