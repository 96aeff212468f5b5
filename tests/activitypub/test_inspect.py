"""What an inbox would do with a document, told from the document alone."""

import csv
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from fedidoc.activitypub.addressing import Audience
from fedidoc.activitypub.inspect import Inspection, inspect, inspect_bytes

ANN = "https://a.example/u/ann"
BO = "https://b.example/u/bo"
PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
NOTE = {"id": "https://a.example/n/1", "type": "Note", "attributedTo": ANN, "content": "x"}
VOUCH = {"type": "fedidoc:Vouch", "profession": "physician"}
FOLLOW = {"id": "https://b.example/f/1", "type": "Follow", "actor": BO, "object": ANN}

EFFECTS = {
    "store_post",
    "edit_post",
    "follow",
    "accept_follow",
    "reject_follow",
    "undo_follow",
    "delete",
    "like",
    "undo_like",
    "announce",
    "undo_announce",
    "vote",
    "block",
    "undo",
    "undo_block",
    "flag",
    "move",
    "add",
    "remove",
    "actor_update",
    "actor",
    "object",
    "collection",
    "ignore",
    "refuse",
}


def activity(kind: Any, thing: Any, **more: Any) -> Inspection:
    return inspect(
        {"id": "https://a.example/act/1", "type": kind, "actor": ANN, "object": thing, **more}
    )


def payloads(corpora: Path) -> list[Path]:
    """The files that PAYLOADS.csv lists."""
    with (corpora / "PAYLOADS.csv").open(newline="") as listing:
        rows = list(csv.DictReader(listing))
    sources = {row["source"] for row in rows}
    found = [
        path
        for source in sorted(sources)
        for path in sorted((corpora / source).rglob("*"))
        if path.is_file() and path.name != "SOURCES.txt"
    ]
    assert len(found) == len(rows)
    return found


def test_every_payload_has_an_effect_or_a_reason(corpora: Path) -> None:
    refused = 0
    for path in payloads(corpora):
        found = inspect_bytes(path.read_bytes())
        assert found.effect in EFFECTS, path
        assert found.audience in get_args(Audience), path
        if found.effect in ("ignore", "refuse"):
            assert found.reason.replace("_", "").isalnum(), path
            refused += found.effect == "refuse"
    assert refused < 200


@pytest.mark.parametrize(
    ("path", "effect", "audience"),
    [
        ("pleroma-rebased/mastodon-post-activity.json", "store_post", "public"),
        ("lemmy-assets/mastodon/activities/create_note.json", "store_post", "unlisted"),
        ("pleroma-rebased/mastodon-vote.json", "vote", "direct"),
        ("pleroma-rebased/mastodon-update.json", "actor_update", "none"),
        ("lemmy-assets/friendica/activities/update_note.json", "edit_post", "unlisted"),
        ("pleroma-rebased/hubzilla-follow-activity.json", "follow", "none"),
        ("pleroma-rebased/mastodon-undo-like.json", "undo_like", "none"),
        ("pleroma-rebased/mastodon-undo-announce.json", "undo_announce", "followers"),
        ("mobilizon/mastodon-unfollow-activity.json", "undo_follow", "none"),
        ("lemmy-assets/mastodon/activities/delete.json", "delete", "public"),
        ("lemmy-assets/mastodon/activities/flag.json", "flag", "direct"),
        ("pleroma-rebased/mastodon-block-activity.json", "block", "none"),
        ("lemmy-assets/lemmy/activities/community/add_mod.json", "add", "public"),
        ("lemmy-assets/lemmy/activities/community/announce_create_page.json", "announce", "public"),
        ("fep-examples/fep-7628-00.json", "move", "public"),
        ("mobilizon/mobilizon-post-activity-group.json", "store_post", "direct"),
        ("pleroma-rebased/relay/accept-follow.json", "accept_follow", "direct"),
        ("pleroma-rebased/emoji-reaction.json", "like", "none"),
        ("pleroma-rebased/hubzilla-actor.json", "actor", "none"),
        ("akkoma/collections/ordered_array.json", "collection", "none"),
        ("bonfire-activity_pub/spoofed_pleroma_note.json", "refuse", "public"),
        ("bonfire-activity_pub/poll_attachment.json", "refuse", "none"),
        ("fedify-fixtures/example.com/cross-origin-actor.json", "refuse", "none"),
    ],
)
def test_known_payloads(corpora: Path, path: str, effect: str, audience: str) -> None:
    found = inspect_bytes((corpora / path).read_bytes())
    assert (found.effect, found.audience) == (effect, audience)


@pytest.mark.parametrize(
    ("kind", "thing", "more", "effect"),
    [
        ("Create", NOTE, {}, "store_post"),
        ("Create", NOTE["id"], {}, "store_post"),
        ("Create", {**NOTE, "type": ["Note", "x:Case"]}, {}, "store_post"),
        ("Create", {**NOTE, "type": "Question"}, {}, "store_post"),
        (
            "Create",
            {"id": "https://a.example/v/1", "type": "Note", "name": "yes", "inReplyTo": BO},
            {},
            "vote",
        ),
        ("Create", {**NOTE, "name": "yes", "inReplyTo": BO}, {}, "store_post"),
        ("Update", NOTE, {}, "edit_post"),
        ("Update", {"id": ANN, "type": "Person"}, {}, "actor_update"),
        ("Update", ANN, {}, "actor_update"),
        ("Delete", NOTE["id"], {}, "delete"),
        ("Delete", {"id": NOTE["id"], "type": "Tombstone"}, {}, "delete"),
        ("Delete", ANN, {}, "delete"),
        ("Follow", BO, {}, "follow"),
        ("Accept", FOLLOW, {}, "accept_follow"),
        ("Accept", FOLLOW["id"], {}, "accept_follow"),
        ("Reject", FOLLOW, {}, "reject_follow"),
        ("Undo", {**FOLLOW, "actor": ANN, "object": BO}, {}, "undo_follow"),
        ("Undo", {"type": "Block", "actor": ANN, "object": BO}, {}, "undo_block"),
        ("Like", BO, {}, "like"),
        ("Announce", BO, {}, "announce"),
        ("Block", BO, {}, "block"),
        ("Flag", [BO, "https://b.example/n/1"], {}, "flag"),
        ("Move", ANN, {"target": BO}, "move"),
        ("Add", NOTE, {"target": "https://a.example/u/ann/featured"}, "add"),
        ("Remove", NOTE["id"], {"target": "https://a.example/u/ann/featured"}, "remove"),
        ("as:Like", BO, {}, "like"),
        ("EmojiReact", BO, {"content": "☕"}, "like"),
        ("Undo", "https://a.example/f/1", {}, "undo"),
    ],
)
def test_effects(kind: str, thing: Any, more: dict[str, Any], effect: str) -> None:
    found = activity(kind, thing, **more)
    assert found.effect == effect
    assert found.actor == ANN


@pytest.mark.parametrize(
    ("kind", "thing", "more", "effect", "reason"),
    [
        ("Create", {**NOTE, "id": "https://b.example/n/1"}, {}, "refuse", "object_foreign"),
        ("Create", {**NOTE, "attributedTo": BO}, {}, "refuse", "author_mismatch"),
        (
            "Create",
            {**NOTE, "attributedTo": "https://a.example/u/other"},
            {},
            "refuse",
            "author_mismatch",
        ),
        ("Create", {"type": "Note"}, {}, "refuse", "object_missing"),
        ("Create", {"id": NOTE["id"]}, {}, "refuse", "object_type_missing"),
        ("Create", {**NOTE, "type": "ChatMessage"}, {}, "ignore", "object_type_unknown"),
        ("Create", None, {}, "refuse", "object_missing"),
        ("Update", {**NOTE, "attributedTo": BO}, {}, "refuse", "author_mismatch"),
        ("Update", {"id": BO, "type": "Person"}, {}, "refuse", "object_foreign"),
        (
            "Update",
            {"id": "https://a.example/u/other", "type": "Person"},
            {},
            "ignore",
            "not_the_owner",
        ),
        ("Delete", BO, {}, "refuse", "object_foreign"),
        ("Follow", "javascript:alert(1)", {}, "refuse", "object_malformed"),
        ("Accept", {**FOLLOW, "object": BO}, {}, "refuse", "follow_of_another"),
        ("Accept", {**FOLLOW, "object": PUBLIC}, {}, "ignore", "relay_follow"),
        ("Accept", {**FOLLOW, "type": "Invite"}, {}, "ignore", "answers_no_follow"),
        ("Undo", FOLLOW, {}, "refuse", "undo_of_another"),
        ("Undo", {"type": "Follow", "actor": ANN}, {}, "refuse", "object_missing"),
        ("Undo", "https://b.example/f/1", {}, "refuse", "object_foreign"),
        ("Move", BO, {"target": ANN}, "refuse", "move_of_another"),
        ("Move", ANN, {}, "refuse", "target_missing"),
        ("Add", NOTE, {}, "refuse", "target_missing"),
        ("Offer", NOTE, {}, "ignore", "activity_without_effect"),
        ("Offer", VOUCH, {}, "refuse", "applicant_foreign"),
        ("Offer", VOUCH, {"attributedTo": BO}, "refuse", "applicant_foreign"),
        ("Accept", {"type": "Offer", "id": BO, "object": NOTE}, {}, "ignore", "answers_no_follow"),
        ("Undo", {"type": "Offer", "id": BO, "object": NOTE}, {}, "ignore", "object_type_unknown"),
        ("Undo", {"type": "Accept", "id": BO, "object": BO}, {}, "ignore", "object_type_unknown"),
        ("x:Prescribe", NOTE, {}, "ignore", "type_unknown"),
        (7, NOTE, {}, "refuse", "type_missing"),
        ("Like", BO, {"id": "https://b.example/1"}, "refuse", "id_foreign"),
        ("Like", BO, {"id": "urn:uuid:1"}, "refuse", "id_malformed"),
        ("Like", BO, {"id": None}, "refuse", "id_missing"),
        ("Like", BO, {"actor": None}, "refuse", "actor_missing"),
        ("Like", BO, {"actor": [ANN, BO]}, "refuse", "several_actors"),
        ("Like", BO, {"actor": "ann"}, "refuse", "actor_malformed"),
    ],
)
def test_refused_and_ignored(
    kind: Any, thing: Any, more: dict[str, Any], effect: str, reason: str
) -> None:
    found = activity(kind, thing, **more)
    assert (found.effect, found.reason) == (effect, reason)


def test_vouches_are_asked_for_given_and_taken_back() -> None:
    offer = {"type": "Offer", "id": "https://b.example/offers/1", "object": VOUCH}
    accept = {"type": "Accept", "id": "https://a.example/accepts/1", "object": offer}
    effects = [
        activity("Offer", VOUCH, attributedTo=ANN).effect,
        activity("Accept", offer).effect,
        activity("Undo", {**offer, "id": "https://a.example/offers/1"}).effect,
        activity("Undo", accept).effect,
    ]
    assert effects == ["vouch_request", "vouch", "undo_vouch_request", "undo_vouch"]


def test_audience_comes_from_the_activity_then_from_its_object() -> None:
    assert activity("Create", {**NOTE, "to": [PUBLIC]}).audience == "public"
    assert activity("Create", {**NOTE, "to": [PUBLIC]}, to=[BO]).audience == "direct"


def test_bare_objects() -> None:
    assert inspect(NOTE).effect == "object"
    assert inspect({**NOTE, "attributedTo": BO}).reason == "author_foreign"
    person = {"id": ANN, "type": ["Person", "x:PseudonymousPhysician"], "inbox": ANN + "/inbox"}
    assert (inspect(person).effect, inspect(person).type) == ("actor", "Person")
    assert inspect({**person, "inbox": BO}).reason == "inbox_foreign"
    assert inspect({**person, "id": None}).reason == "id_missing"


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"{}", b"null", b'{"type":{}}', b"[" * 99_999, b'{"object":[{}]}']
)
def test_bytes_never_raise(body: bytes) -> None:
    found = inspect_bytes(body)
    assert (found.effect, bool(found.reason)) == ("refuse", True)


def test_hostile_payloads_are_refused() -> None:
    hostile = {"@graph": [{"type": "Undo"}], **NOTE}
    assert inspect_bytes(json.dumps(hostile)).reason == "reshaped"
