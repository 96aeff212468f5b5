"""Posts and actors of other servers, as they are read: tolerant of shapes, of nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedidoc.activitypub.documents import read_activity, read_actor, read_object
from fedidoc.activitypub.errors import DocumentError
from fedidoc.clinical.drafting import AGE_BANDS
from fedidoc.clinical.incoming import RemotePost
from fedidoc.clock import FrozenClock
from fedidoc.federation.handlers import accept_table
from fedidoc.federation.inbox import Work
from fedidoc.federation.keyring import keys_in
from fedidoc.federation.posts import read_post
from fedidoc.federation.profiles import line, read_profile
from fedidoc.model import ActorKind, Audience, CaseState
from tests.federation.values import AWAY, URLS, actor

BOB = actor("bob", AWAY)
ADA = actor("ada")
AS = "https://www.w3.org/ns/activitystreams"
PUBLIC = AS + "#Public"


def note(**more: Any) -> dict[str, Any]:
    made = {
        "id": AWAY.object("1"),
        "type": "Note",
        "attributedTo": BOB.uri,
        "content": "<p>Words</p>",
        "to": [PUBLIC],
    }
    return made | more


def read(**more: Any) -> RemotePost:
    known = {BOB.uri: BOB, ADA.uri: ADA}
    return read_post(read_object(note(**more)), None, BOB, known, FrozenClock())


@pytest.mark.parametrize(
    ("to", "cc", "audience"),
    [
        ([PUBLIC], [], Audience.PUBLIC),
        ("as:Public", [], Audience.PUBLIC),
        ([], ["Public"], Audience.PUBLIC),
        (BOB.followers, [], Audience.FOLLOWERS),
        ([], [BOB.followers, ADA.uri], Audience.FOLLOWERS),
        (ADA.uri, [], Audience.DIRECT),
    ],
)
def test_audiences(to: Any, cc: Any, audience: Audience) -> None:
    assert read(to=to, cc=cc).audience is audience


@pytest.mark.parametrize(
    "to", [[], ["https://elsewhere.example/users/x"], [ADA.followers], [AWAY.followers("carl")]]
)
def test_what_is_for_nobody_here_is_not_read(to: Any) -> None:
    with pytest.raises(DocumentError, match="nobody here"):
        read(to=to)


def test_a_mention_alone_makes_it_for_somebody() -> None:
    post = read(to=[], tag=[{"type": "Mention", "href": ADA.uri, "name": "@ada"}])
    assert (post.audience, post.recipients) == (Audience.DIRECT, (ADA.id,))


def test_verified_scope_wins_over_its_followers() -> None:
    post = read(to=[AWAY.verified], cc=[BOB.followers], audienceScope="verified")
    assert post.audience is Audience.VERIFIED


@pytest.mark.parametrize("uri", ["https://elsewhere.example/1", None, "x", ADA.uri])
def test_an_id_of_another_server_is_refused(uri: Any) -> None:
    with pytest.raises(DocumentError):
        read(id=uri)


def test_links_elsewhere_are_not_taken_over() -> None:
    assert read(url="https://phishing.example/").url == AWAY.object("1")
    assert read(url="javascript:alert(1)").url == AWAY.object("1")
    assert read(url=AWAY.case_page("1")).url == AWAY.case_page("1")
    assert read(inReplyTo="javascript:alert(1)").in_reply_to is None


def test_plain_text_is_escaped() -> None:
    assert read(content="a < b", mediaType="text/plain").html == "<p>a &lt; b</p>"


def test_an_endless_post_is_refused() -> None:
    with pytest.raises(DocumentError, match="too long"):
        read(content="x" * 400_001)


def case(**more: Any) -> RemotePost:
    said = {"type": "fedidoc:Case", "presentation": "Syncope", "question": "Why?"}
    return read(case=said | more)


def test_a_case_is_read_with_what_makes_sense() -> None:
    fields = case(
        specialty={"code": "207RC0000X", "label": "Cardiology"}, ageBand="60-69", sex="female",
        state="closed", outcome="Well.", teachingPoints="Listen.",
    ).fields  # fmt: skip
    assert fields is not None
    assert fields.specialty is not None
    assert (fields.specialty.code, fields.age_band, fields.sex) == (
        "207RC0000X", "60-69", "female",
    )  # fmt: skip
    assert (fields.state, fields.outcome) == (CaseState.CLOSED, "Well.")


@pytest.mark.parametrize(
    "odd",
    [
        {"specialty": "x", "ageBand": 7, "sex": "?", "state": ["open"], "findings": {"a": 1}},
        {"specialty": {"code": {}, "label": []}, "sex": [], "state": None},
        {"ageBand": "97", "specialty": {"code": "x" * 500, "label": "\n"}},
    ],
)
def test_an_odd_case_is_read_without_what_is_odd(odd: dict[str, Any]) -> None:
    fields = case(**odd).fields
    assert fields is not None
    assert (fields.state, fields.sex, fields.age_band) == (CaseState.OPEN, None, None)
    assert fields.specialty is None


def test_a_case_that_says_nothing_is_a_note() -> None:
    assert read(case={"type": "fedidoc:Case"}).fields is None


def test_pictures_are_bounded_and_only_pictures() -> None:
    picture = {"type": "Image", "mediaType": "image/png", "url": AWAY.media("a.png"), "name": "x"}
    odd = [
        {**picture, "mediaType": "image/svg+xml"},
        {**picture, "url": "file:///etc/passwd"},
        {**picture, "mediaType": None},
    ]
    post = read(attachment=odd + [picture] * 20)
    assert len(post.media) == 8
    assert {m.remote_url for m in post.media} == {AWAY.media("a.png")}
    assert len({m.id for m in post.media}) == 8


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
    | st.sampled_from([PUBLIC, ADA.uri, BOB.uri, "Note", "Person", "x:y", "2026-01-01T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "id", "href", "name", "url", "mediaType", "@value", "owner"]),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
CASE_KEYS = ("specialty", "ageBand", "sex", "findings", "state", "outcome", "teachingPoints")
POST_KEYS = ("type", "attributedTo", "content", "contentMap", "name", "summary", "to", "cc", "tag",
             "attachment", "published", "updated", "url", "inReplyTo", "context", "sensitive",
             "case", "audienceScope", "source", "mediaType")  # fmt: skip
ACTOR_KEYS = ("type", "preferredUsername", "name", "summary", "endpoints", "followers", "icon",
              "url", "publicKey", "assertionMethod", "credential", "discoverable")  # fmt: skip


@given(st.dictionaries(st.sampled_from(POST_KEYS), VALUES))
def test_no_shape_of_a_post_breaks_the_reader(more: dict[str, Any]) -> None:
    try:
        post = read(**more)
    except DocumentError:
        return
    assert post.uri == AWAY.object("1")


@given(st.dictionaries(st.sampled_from(("type", "presentation", "question", *CASE_KEYS)), VALUES))
def test_no_shape_of_a_case_breaks_the_reader(more: dict[str, Any]) -> None:
    fields = case(**more).fields
    assert fields is None or fields.age_band in (None, *AGE_BANDS)


@given(st.dictionaries(st.sampled_from(ACTOR_KEYS), VALUES))
def test_no_shape_of_an_actor_breaks_the_reader(more: dict[str, Any]) -> None:
    try:
        actor_read = read_actor(person(**more))
        keys_in(actor_read, 1)
        profile = read_profile(actor_read, handle_confirmed=False)
    except DocumentError:
        return
    assert (profile.uri, profile.inbox) == (BOB.uri, BOB.inbox)


@given(
    st.sampled_from(["Create", "Update", "Delete", "Undo", "Follow", "Accept", "Announce", "Like"]),
    st.dictionaries(st.sampled_from(["object", "to", "cc", "tag", "target", "published"]), VALUES),
)
def test_no_shape_of_an_activity_breaks_the_table(kind: str, more: dict[str, Any]) -> None:
    row = {"signer": BOB.uri, "host": "society.example", "type": kind}
    work = Work(row)  # type: ignore[arg-type]
    work.activity = read_activity({"id": AWAY.activity("1"), "type": kind, "actor": BOB.uri} | more)
    assert BOB.uri in work.names(URLS)
    assert work.changes_its_actor in (True, False)
    accept_table().find(work.activity)


# Actors -----------------------------------------------------------------------------------------


def person(**more: Any) -> dict[str, Any]:
    made = {
        "id": BOB.uri,
        "type": "Person",
        "preferredUsername": "bob",
        "name": "Bob",
        "summary": "<p>Words<script>x</script></p>",
        "inbox": BOB.inbox,
        "followers": BOB.followers,
        "endpoints": {"sharedInbox": AWAY.shared_inbox},
    }
    return made | more


def test_an_actor_is_read() -> None:
    profile = read_profile(read_actor(person()), handle_confirmed=True)
    assert (profile.kind, profile.host) == (ActorKind.PERSON, "society.example")
    assert profile.summary_html == "<p>Words</p>"
    assert profile.shared_inbox == AWAY.shared_inbox


def test_what_an_actor_says_of_other_servers_is_dropped() -> None:
    profile = read_profile(
        read_actor(
            person(
                endpoints={"sharedInbox": "https://victim.example/inbox"},
                followers="https://victim.example/f", credential="https://victim.example/c",
                url="https://victim.example/", icon={"type": "Image", "url": "javascript:x"},
            )
        ),
        handle_confirmed=True,
    )  # fmt: skip
    assert (profile.shared_inbox, profile.followers, profile.credential_url) == (None, None, None)
    assert (profile.url, profile.icon_url) == (None, None)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"inbox": "https://victim.example/inbox"}, "actor_inbox"),
        ({"inbox": None}, "actor_inbox"),
        ({"preferredUsername": None}, "actor_username"),
        ({"preferredUsername": "a@b"}, "actor_username"),
        ({"preferredUsername": "a b"}, "actor_username"),
        ({"preferredUsername": "a" * 200}, "actor_username"),
        ({"type": "Note"}, "actor_type"),
    ],
)
def test_an_actor_that_cannot_be_spoken_with_is_refused(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(DocumentError) as error:
        read_profile(read_actor(person(**more)), handle_confirmed=True)
    assert error.value.reason == reason


def test_types_may_be_a_list() -> None:
    more = {"type": ["Person", "x:PseudonymousPhysician"]}
    assert read_profile(read_actor(person(**more)), handle_confirmed=True).kind is ActorKind.PERSON


def test_a_line_is_a_line() -> None:
    assert line("a\n\tb\u202ec\x00  d", 10) == "a b c d"
    assert line("x" * 50, 10) == "x" * 10
