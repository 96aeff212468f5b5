"""What an allowed peer may learn or do with its own keys and its own software."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fedidoc.activitypub.errors import DocumentError, FetchError
from fedidoc.clinical.audience import Viewer
from fedidoc.clinical.notifications import Notifications
from fedidoc.clock import iso
from fedidoc.model import Actor, Audience, PostKind
from fedidoc.storage import actors, cases
from tests.federation.network import Node
from tests.federation.pair import Pair

AS = "https://www.w3.org/ns/activitystreams"
PUBLIC = AS + "#Public"


class Software:
    """A member of the society whose own software signs and sends whatever it likes."""

    def __init__(self, node: Node, actor: Actor, to: Node) -> None:
        self.node, self.actor, self.to = node, actor, to
        self.count = 0

    async def send(self, kind: str, thing: Any, **more: Any) -> str | None:
        self.count += 1
        activity = {
            "@context": AS,
            "id": self.node.urls.activity(f"{self.actor.username}-{self.count}"),
            "type": kind,
            "actor": self.actor.uri,
            "object": thing,
            **more,
        }
        assert await self.node.post_as(self.actor, self.to, activity) == 202
        await self.to.runner.drain()
        return await self.to.effect_of(activity["id"])

    def note(self, nick: str, **more: Any) -> dict[str, Any]:
        return {
            "id": self.node.urls.object(f"{self.actor.username}-{nick}"),
            "type": "Note",
            "attributedTo": self.actor.uri,
            "content": "<p>Words</p>",
            "published": iso(self.node.clock.now()),
            "to": [PUBLIC],
            **more,
        }


async def mallory(pair: Pair) -> Software:
    account = await pair.society.member("mallory")
    return Software(pair.society, await pair.society.actor_of(account), pair.hospital)


async def here(pair: Pair) -> Actor:
    return await pair.hospital.actor_of(pair.ada)


# Reading ----------------------------------------------------------------------------------------


async def test_every_document_of_a_case_for_followers_is_nowhere_for_a_peer_without_one(
    pair: Pair,
) -> None:
    case, _ = await pair.open_case(Audience.FOLLOWERS)
    chris = await pair.hospital.member("chris")
    await pair.hospital.follows.follow(chris, await here(pair))
    answer = await pair.hospital.cases.reply(chris, case.id, "Seen once before.")
    await pair.network.settle()
    rows = await pair.hospital.db.fetch_all("SELECT uri FROM activities WHERE post_id IS NOT NULL")
    activities = [row["uri"].removeprefix(pair.hospital.urls.base) for row in rows]
    assert len(activities) >= 2
    paths = [f"/objects/{p}{tail}" for p in (case.id, answer.id) for tail in ("", "/context")]
    for path in (*paths, *activities):
        nowhere = path.replace(case.id, "0" * 26).replace(answer.id, "0" * 26)
        nowhere = nowhere if nowhere != path else "/activities/" + "0" * 26
        for signed in (True, False):
            one = await pair.society.ask(pair.hospital, path, signed=signed)
            other = await pair.society.ask(pair.hospital, nowhere, signed=signed)
            for _, headers, _ in (one, other):
                headers.pop("date", None)
            assert one == other, path
            assert one[0] == (404 if signed else 401)
    for collection in ("/users/ada/outbox", "/users/ada/outbox?before=", "/users/chris/outbox"):
        _, _, body = await pair.society.ask(pair.hospital, collection)
        assert json.loads(body).get("totalItems", 0) == 0
        assert b"yncope" not in body


async def test_a_thread_collection_names_only_what_the_peer_may_read(pair: Pair) -> None:
    """Friendica #12535 in ids: a private answer, and what a suspended member wrote."""
    case, _ = await pair.open_case(Audience.VERIFIED)
    clinic = await pair.network.instance("clinic")
    await pair.network.befriend(pair.hospital, clinic)
    eve = await clinic.actor_of(await clinic.member("eve"))
    aside = Software(clinic, eve, pair.hospital)
    ada = await here(pair)
    note = aside.note("aside", to=[ada.uri], inReplyTo=case.uri)
    assert await aside.send("Create", note) == "stored"
    chris = await pair.hospital.member("chris")
    answer = await pair.hospital.cases.reply(chris, case.id, "Seen once before.")
    await pair.network.settle()
    path = f"/objects/{case.id}/context"
    status, _, body = await pair.society.ask(pair.hospital, path)
    assert (status, answer.uri.encode() in body) == (200, True)
    assert note["id"].encode() not in body
    assert json.loads(body)["totalItems"] == 2
    await pair.hospital.accounts.suspend("chris", reason="test", by="test")
    _, _, body = await pair.society.ask(pair.hospital, path)
    assert answer.uri.encode() not in body


async def test_what_a_suspended_member_wrote_is_answered_to_nobody(pair: Pair) -> None:
    case, _ = await pair.open_case(Audience.PUBLIC)
    path = f"/objects/{case.id}"
    assert (await pair.society.ask(pair.hospital, path))[0] == 200
    rows = await pair.hospital.db.fetch_all(
        "SELECT uri FROM activities WHERE post_id = ?", (case.id,)
    )
    (created,) = [row["uri"].removeprefix(pair.hospital.urls.base) for row in rows]
    await pair.hospital.accounts.suspend("ada", reason="test", by="test")
    for each in (path, path + "/context", created):
        assert (await pair.society.ask(pair.hospital, each))[0] == 404, each


async def test_a_blocked_peer_reads_nothing_that_was_open_a_moment_ago(pair: Pair) -> None:
    await pair.follow()
    case, there = await pair.open_case(Audience.FOLLOWERS)
    assert there is not None
    paths = [f"/objects/{case.id}", f"/objects/{case.id}/context", "/users/ada/outbox",
             "/users/ada/followers", "/credentials/status/1"]  # fmt: skip
    assert {(await pair.society.ask(pair.hospital, path))[0] for path in paths} == {200}
    await pair.hospital.trust.block(pair.society.domain, by="test")
    assert {(await pair.society.ask(pair.hospital, path))[0] for path in paths} <= {401, 403}
    # The key cannot be used for as much as a stranger's: the actor is a stub again.
    _, _, body = await pair.society.ask(pair.hospital, "/users/ada", signed=False)
    assert b'"name"' not in body


async def test_a_follower_who_was_suspended_at_home_gets_nothing_more(pair: Pair) -> None:
    await pair.follow()
    before, there = await pair.open_case(Audience.FOLLOWERS)
    assert there is not None
    pair.network.clock.advance(120_000)  # profiles are looked at once a minute
    await pair.society.accounts.suspend("bob", reason="test", by="test")
    await pair.network.settle()
    bob = await actors.by_uri(pair.hospital.db, pair.society.urls.actor("bob"))
    assert bob is not None
    assert not bob.badge.verified
    after, there = await pair.open_case(Audience.FOLLOWERS)
    assert there is None
    status, _, _ = await pair.society.ask(pair.hospital, f"/objects/{after.id}")
    assert status == 404
    status, _, _ = await pair.society.ask(pair.hospital, f"/objects/{before.id}")
    assert status == 200, "its server has that one already"


# Writing ----------------------------------------------------------------------------------------


async def test_a_private_answer_by_a_stranger_is_shown_to_the_author_alone(pair: Pair) -> None:
    case, _ = await pair.open_case(Audience.FOLLOWERS)
    chris = await pair.hospital.member("chris")
    await pair.hospital.follows.follow(chris, await here(pair))
    eve = await mallory(pair)
    note = eve.note("aside", to=[(await here(pair)).uri], inReplyTo=case.uri)
    assert await eve.send("Create", note) == "stored"
    thread = await pair.hospital.cases.thread(chris, case.id)
    assert (thread.replies, thread.root.replies) == ((), 0)
    own = await pair.hospital.cases.thread(pair.ada, case.id)
    assert [reply.uri for reply in own.replies] == [note["id"]]
    told = await Notifications(pair.hospital.db, pair.hospital.clock).list(chris)
    assert not told.items


async def test_a_case_hidden_in_an_answer_is_on_nobodys_first_page(pair: Pair) -> None:
    """A reply with fedidoc's case fields is still a reply, read by who reads the case above it."""
    case, _ = await pair.open_case(Audience.FOLLOWERS)
    chris = await pair.hospital.member("chris")
    eve = await mallory(pair)
    note = eve.note(
        "sly", inReplyTo=case.uri, name="Look here", case={"type": "fedidoc:Case", "question": "Q?"}
    )
    assert await eve.send("Create", note) == "stored"
    found = await cases.by_uri(pair.hospital.db, note["id"])
    assert found is not None
    assert found.kind is PostKind.REPLY
    pair.network.clock.advance(60_000)
    later = note | {"updated": iso(pair.network.clock.now()), "content": "<p>Edited</p>"}
    assert await eve.send("Update", later) == "edited"
    for show in ("for_you", "all", "following", "207RC0000X"):
        page = await pair.hospital.cases.timeline(chris, None, show)
        assert found.id not in {post.id for post in page.items}, show


@pytest.mark.parametrize(
    "scope", ["verified", "everybody", ["verified"], {"a": 1}, "followers", None, 7]
)
async def test_a_lie_about_the_scope_opens_nothing_more(pair: Pair, scope: object) -> None:
    """Whatever `audienceScope` says, a post to Ada alone is never shown to Chris, unless its author
    says that verified physicians may read it."""
    chris = await pair.hospital.member("chris")
    eve = await mallory(pair)
    note = eve.note("lie", to=[(await here(pair)).uri], audienceScope=scope)
    await eve.send("Create", note)
    found = await cases.by_uri(pair.hospital.db, note["id"])
    assert found is not None
    assert Viewer.of(chris).verified
    page = await pair.hospital.cases.by_author(chris, found.author.id)
    assert bool(page.items) is (scope == "verified")


async def test_an_actor_cannot_take_the_handle_of_another_or_look_like_one_here(
    pair: Pair,
) -> None:
    """The same preferredUsername on another actor, invisible letters, endless words."""
    eve = await mallory(pair)
    await pair.hospital.remote.actor(eve.actor.uri)
    bob = await pair.hospital.remote.find(f"@bob@{pair.society.domain}")
    real = await pair.society.publications.actor(pair.society.db, eve.actor)

    async def lie(**changes: Any) -> Actor | None:
        document: dict[str, Any] = {"@context": AS} | real | changes

        async def get_document(url: str, **_: Any) -> dict[str, Any]:
            return document

        pair.network.clock.advance(120_000)
        original = pair.hospital.fetcher.get_document
        pair.hospital.fetcher.get_document = get_document  # type: ignore[method-assign]
        try:
            return await pair.hospital.remote.actor(eve.actor.uri, refresh=True)
        except (DocumentError, FetchError):
            return None
        finally:
            pair.hospital.fetcher.get_document = original  # type: ignore[method-assign]

    stolen = await lie(preferredUsername="bob")
    assert stolen is not None
    assert stolen.username != "bob"
    still = await actors.by_handle(pair.hospital.db, "bob", pair.society.domain)
    assert still is not None
    assert still.id == bob.id
    odd = await lie(name="Ada\u202e\u200b\u2066 Ada\x00\n" + "y" * 50_000, summary="<b>" * 30_000)
    assert odd is not None
    assert len(odd.name) <= 200
    assert odd.name.isprintable()
    assert "\u200b" not in odd.name
    for name in ("ada@" + pair.hospital.domain, "a b", "<b>", "../x", "ada\u202e", "", "x" * 500):
        assert (await lie(preferredUsername=name)) is None, name
    for inbox in ("javascript:alert(1)", "http://127.0.0.1:1/inbox", "data:,x", "", None, ["x"]):
        assert (await lie(inbox=inbox)) is None, inbox
    for url in ("javascript:alert(1)", "data:text/html,x", "https://evil.example/", "\u202e"):
        shown = await lie(url=url, icon={"type": "Image", "url": url})
        assert shown is None or shown.url is None, url
        assert shown is None or not (shown.icon_url or "").startswith(("javascript", "data")), url


async def test_nothing_of_a_peer_that_was_blocked_is_left_in_sight(pair: Pair) -> None:
    """Queued rows, deliveries, timelines, threads, and notices of follows and thanks."""
    ada = await here(pair)
    case, _ = await pair.open_case(Audience.PUBLIC)
    eve = await mallory(pair)
    assert await eve.send("Follow", ada.uri) == "accepted"
    assert await eve.send("Like", case.uri) == "stored"
    assert await eve.send("Create", eve.note("n", inReplyTo=case.uri)) == "stored"
    room = Notifications(pair.hospital.db, pair.hospital.clock)
    assert len((await room.list(pair.ada)).items) == 3
    await pair.hospital.cases.reply(pair.ada, case.id, "More of it.")
    await pair.hospital.trust.block(pair.society.domain, by="test")
    await pair.network.settle()
    waiting = await pair.hospital.db.fetch_value(
        "SELECT COUNT(*) FROM deliveries WHERE state = 'waiting'"
    )
    assert waiting == 0
    assert not (await room.list(pair.ada)).items
    thread = await pair.hospital.cases.thread(pair.ada, case.id)
    assert {reply.author.id for reply in thread.replies} == {ada.id}
    society = await pair.society.db.fetch_all("SELECT html FROM posts WHERE html LIKE '%More of%'")
    assert not society
