"""What a peer, or a member of one, may try: each is refused for its own reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from fedidoc.activitypub.signatures import Scheme, SigningKey, sign
from fedidoc.clock import DAY, HOUR, MINUTE, iso
from fedidoc.model import Account, Actor, Audience, FollowState, Post
from fedidoc.storage import actors, cases, follows, keys, queues
from fedidoc.storage.follows import Follow
from tests.federation.network import Network, Node, fresh_keys
from tests.federation.pair import DRAFT, Pair

AS = "https://www.w3.org/ns/activitystreams"
PUBLIC = AS + "#Public"


class Writer:
    """Bob's own software: it sends whatever Bob likes, signed with his key."""

    def __init__(self, node: Node, actor: Actor, to: Node) -> None:
        self.node, self.actor, self.to = node, actor, to
        self._count = 0

    async def send(self, kind: str, thing: Any, **more: Any) -> str | None:
        """POST an activity and have it handled: its effect, `status N` if it was refused at once.

        `again` keeps the id of the last one, `key` signs with another key.
        """
        self._count += not more.pop("again", False)
        key = more.pop("key", None)
        activity = {
            "@context": AS,
            "id": self.node.urls.activity(f"{self.actor.username}-{self._count}"),
            "type": kind,
            "actor": self.actor.uri,
            "object": thing,
            "to": [PUBLIC],
            **more,
        }
        status = await self.node.post_as(self.actor, self.to, activity, key=key)
        if status != 202:
            return f"status {status}"
        await self.to.runner.drain()
        return await self.to.effect_of(activity["id"])

    def note(self, name: str = "n", **more: Any) -> dict[str, Any]:
        note = {
            "id": self.node.urls.object(f"{self.actor.username}-{name}"),
            "type": "Note",
            "attributedTo": self.actor.uri,
            "content": "<p>Words</p>",
            "published": iso(self.node.clock.now()),
            "to": [PUBLIC],
        }
        return {k: v for k, v in (note | more).items() if v is not None}


async def writer(pair: Pair, account: Account | None = None) -> Writer:
    bob = await pair.society.actor_of(account or pair.bob)
    return Writer(pair.society, bob, pair.hospital)


async def arrived(pair: Pair, note: dict[str, Any]) -> Post | None:
    return await cases.by_uri(pair.hospital.db, note["id"])


# Whose words ------------------------------------------------------------------------------------


async def test_a_post_is_stored_once_however_often_it_is_sent(pair: Pair) -> None:
    bob = await writer(pair)
    assert await bob.send("Create", bob.note()) == "stored"
    assert await bob.send("Create", bob.note(content="<p>Other</p>"), again=True) == "stored"
    assert await bob.send("Create", bob.note(content="<p>Other</p>")) == "known"
    found = await arrived(pair, bob.note())
    assert found is not None
    assert "Words" in found.html
    rows = await pair.hospital.db.fetch_value("SELECT COUNT(*) FROM inbox WHERE type = 'Create'")
    assert rows == 2


@pytest.mark.parametrize("again", ["Update", "Delete"])
async def test_another_member_of_the_same_server_cannot_touch_it(pair: Pair, again: str) -> None:
    bob, mallory = await writer(pair), await writer(pair, await pair.society.member("mallory"))
    assert await bob.send("Create", bob.note()) == "stored"
    pair.network.clock.advance(MINUTE)
    stolen = bob.note(content="<p>Mine</p>", attributedTo=mallory.actor.uri)
    thing = stolen if again == "Update" else bob.note()["id"]
    effect = await mallory.send(again, thing)
    assert effect == "refused: the post is somebody else's"
    found = await arrived(pair, bob.note())
    assert found is not None
    assert (found.deleted, "Words" in found.html) == (None, True)


async def test_nobody_speaks_for_somebody_else(pair: Pair) -> None:
    bob = await writer(pair)
    ada = pair.hospital.urls.actor("ada")
    mallory = pair.society.urls.actor("mallory")
    for authors in (ada, mallory, [bob.actor.uri, mallory], [mallory, bob.actor.uri], None):
        effect = await bob.send("Create", bob.note(attributedTo=authors))
        assert effect == "refused: the signer is not the author"
    assert await arrived(pair, bob.note()) is None


async def test_a_post_lives_on_its_authors_server(pair: Pair) -> None:
    bob = await writer(pair)
    ours, _ = await pair.open_case(Audience.PUBLIC)
    for uri in (ours.uri, "https://elsewhere.example/1", "nonsense", None):
        effect = await bob.send("Create", bob.note(id=uri))
        assert effect == "refused: The post is not of its author's own server."
    assert await bob.send("Delete", ours.uri) == "refused: the object is of another server"
    assert await bob.send("Update", bob.note(id=ours.uri)) == (
        "refused: The post is not of its author's own server."
    )
    kept = await cases.get(pair.hospital.db, ours.id)
    assert kept is not None
    assert kept.deleted is None


async def test_an_activity_in_somebody_elses_name_is_refused_at_the_door(pair: Pair) -> None:
    bob = await writer(pair)
    for actor in (pair.hospital.urls.actor("ada"), pair.society.urls.actor("mallory")):
        assert await bob.send("Create", bob.note(), actor=actor) in ("status 401", "status 403")
    assert await bob.send("Create", bob.note(), id="https://elsewhere.example/1") == "status 400"
    assert (await queues.counts(pair.hospital.db))["inbox"]["waiting"] == 0


async def test_a_post_to_nobody_here_is_ignored(pair: Pair) -> None:
    bob = await writer(pair)
    strangers = ["https://elsewhere.example/users/x"]
    effect = await bob.send("Create", bob.note(to=strangers), to=strangers)
    assert effect == "ignore: The post is addressed to nobody here."
    direct = [pair.hospital.urls.actor("ada")]
    assert await bob.send("Create", bob.note("d", to=direct), to=direct) == "stored"
    found = await arrived(pair, bob.note("d"))
    assert found is not None
    assert (found.audience, found.recipients) == (Audience.DIRECT, (pair.ada.actor_id,))


async def test_a_private_answer_below_a_public_case_stays_private(pair: Pair) -> None:
    here, _ = await pair.open_case(Audience.PUBLIC)
    bob = await writer(pair)
    only = [pair.hospital.urls.actor("ada")]
    question = bob.note("aside", to=only, inReplyTo=here.uri)
    assert await bob.send("Create", question, to=only) == "stored"
    aside = await arrived(pair, question)
    assert aside is not None
    answer = await pair.hospital.cases.reply(pair.ada, aside.id, "Between us.")
    assert answer.audience is Audience.DIRECT
    stranger = await pair.network.instance("stranger")
    await pair.hospital.trust.allow(stranger.domain, by="test")
    for path, status in ((f"/objects/{answer.id}", 404), (f"/objects/{here.id}", 200)):
        assert (await stranger.ask(pair.hospital, path))[0] == status
    assert (await pair.society.ask(pair.hospital, f"/objects/{answer.id}"))[0] == 200


async def test_scripts_never_arrive(pair: Pair) -> None:
    bob = await writer(pair)
    await bob.send("Create", bob.note(content="<p onclick='x()'>Words<script>x()</script></p>"))
    found = await arrived(pair, bob.note())
    assert found is not None
    assert found.html == "<p>Words</p>"


async def test_an_unverified_author_is_not_heard(pair: Pair) -> None:
    carl = await writer(pair, await pair.society.member("carl", verified=False))
    effect = await carl.send("Create", carl.note())
    assert (effect or "").startswith("refused: the actor is not verified. No credential")
    assert await arrived(pair, carl.note()) is None
    await pair.hospital.trust.allow(pair.society.domain, require_credential=False, by="test")
    assert await carl.send("Create", carl.note()) == "stored"


async def test_an_expired_credential_does_not_count(pair: Pair) -> None:
    bob = await writer(pair)
    assert await bob.send("Create", bob.note()) == "stored"
    pair.network.clock.advance(366 * DAY)
    effect = await bob.send("Create", bob.note("later"))
    assert effect == "refused: the actor is not verified. The credential has expired."


# Order ------------------------------------------------------------------------------------------


async def test_a_create_that_comes_after_its_delete_stays_away(pair: Pair) -> None:
    bob = await writer(pair)
    assert (await bob.send("Delete", bob.note()["id"]) or "").startswith("deleted")
    assert await bob.send("Create", bob.note()) == "ignore: it was deleted before"


async def test_another_member_cannot_keep_a_post_away_by_deleting_it_first(pair: Pair) -> None:
    bob, mallory = await writer(pair), await writer(pair, await pair.society.member("mallory"))
    await mallory.send("Delete", bob.note()["id"])
    assert await bob.send("Create", bob.note()) == "stored"


async def test_a_parent_may_come_after_its_answer(pair: Pair) -> None:
    bob = await writer(pair)
    parent = bob.note("parent")
    await bob.send("Create", bob.note("child", inReplyTo=parent["id"]))
    await bob.send("Create", parent)
    child, top = await arrived(pair, bob.note("child")), await arrived(pair, parent)
    assert child is not None
    assert top is not None
    assert (child.parent_id, child.case_id) == (top.id, top.id)


# Follows ----------------------------------------------------------------------------------------


async def test_an_accept_that_nobody_asked_for_does_nothing(pair: Pair) -> None:
    bob = await writer(pair)
    ada, follow = pair.hospital.urls.actor("ada"), pair.hospital.urls.follow("x")
    whole = {"id": follow, "type": "Follow", "actor": ada, "object": bob.actor.uri}
    for asked in (follow, whole, {**whole, "id": None}):
        assert await bob.send("Accept", asked) == "ignore: no such follow was asked for"
    assert await follows.counts(pair.hospital.db, pair.ada.actor_id) == (0, 0)


async def test_only_who_is_followed_can_accept(pair: Pair) -> None:
    mallory = await writer(pair, await pair.society.member("mallory"))
    bob = await pair.hospital.remote.actor(pair.society.urls.actor("bob"))
    uri = pair.hospital.urls.follow("f")
    asked = Follow("f", uri, pair.ada.actor_id, bob.id, FollowState.REQUESTED, 1)
    async with pair.hospital.db.transaction() as tx:
        await follows.put(tx, asked)
    whole = {
        "id": uri,
        "type": "Follow",
        "actor": pair.hospital.urls.actor("ada"),
        "object": bob.uri,
    }
    for thing in (uri, whole):
        assert await mallory.send("Accept", thing) == "ignore: no such follow was asked for"
    found = await follows.get(pair.hospital.db, "f")
    assert found is not None
    assert found.state is FollowState.REQUESTED
    follower = await writer(pair)
    await follower.send("Accept", {**whole, "id": "https://x.example/of-its-own"})
    found = await follows.get(pair.hospital.db, "f")
    assert found is not None
    assert found.state is FollowState.ACCEPTED


async def test_only_who_follows_can_undo_it(pair: Pair) -> None:
    await pair.follow()
    mallory = await writer(pair, await pair.society.member("mallory"))
    row = await pair.hospital.db.fetch_one("SELECT uri FROM follows")
    assert row is not None
    whole = {
        "id": row["uri"],
        "type": "Follow",
        "actor": pair.society.urls.actor("bob"),
        "object": pair.hospital.urls.actor("ada"),
    }
    for thing in (row["uri"], whole):
        assert await mallory.send("Undo", thing) == "refused: the follow is somebody else's"
    assert await follows.counts(pair.hospital.db, pair.ada.actor_id) == (1, 0)
    bob = await writer(pair)
    # A server that lost count of its ids still says who was followed.
    await bob.send("Undo", {**whole, "id": "https://x.example/of-its-own"})
    assert await follows.counts(pair.hospital.db, pair.ada.actor_id) == (0, 0)


@pytest.mark.parametrize("whom", ["nobody", "instance", "suspended"])
async def test_some_cannot_be_followed(pair: Pair, whom: str) -> None:
    await pair.hospital.member("suspended")
    await pair.hospital.accounts.suspend("suspended", reason="test", by="test")
    urls = pair.hospital.urls
    followed = urls.instance_actor if whom == "instance" else urls.actor(whom)
    bob = await writer(pair)
    assert await bob.send("Follow", followed) == "ignore: there is nobody of that name"


async def test_an_unverified_actor_cannot_follow(pair: Pair) -> None:
    carl = await writer(pair, await pair.society.member("carl", verified=False))
    effect = await carl.send("Follow", pair.hospital.urls.actor("ada"))
    assert (effect or "").startswith("refused: the actor is not verified")
    assert await follows.counts(pair.hospital.db, pair.ada.actor_id) == (0, 0)
    await pair.network.settle()
    told = await pair.society.db.fetch_all("SELECT type FROM inbox WHERE type = 'Reject'")
    assert len(told) == 1


async def test_who_is_verified_meanwhile_is_heard(pair: Pair) -> None:
    account = await pair.society.member("carl", verified=False)
    carl = await writer(pair, account)
    assert (await carl.send("Create", carl.note("early")) or "").startswith("refused")
    await pair.society.review.verify_directly(account.id, "known to the test", by="test")
    # Even before the news of it has come: this server looks again before it refuses.
    pair.network.clock.advance(2 * MINUTE)
    assert await carl.send("Create", carl.note("late")) == "stored"


async def test_nothing_is_refused_while_a_credential_cannot_be_had(pair: Pair) -> None:
    bob = await writer(pair)
    inner: Any = pair.society.app

    async def without_credentials(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/credentials/"):
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await inner(scope, receive, send)

    pair.society.app = without_credentials  # type: ignore[assignment]
    assert await bob.send("Create", bob.note()) is None
    assert await arrived(pair, bob.note()) is None
    pair.society.app = inner
    pair.network.clock.advance(5 * MINUTE)
    await pair.hospital.runner.drain()
    assert await arrived(pair, bob.note()) is not None


# Reactions --------------------------------------------------------------------------------------


async def test_a_like_is_taken_back_only_by_who_gave_it(pair: Pair) -> None:
    here, _ = await pair.open_case(Audience.PUBLIC)
    bob, mallory = await writer(pair), await writer(pair, await pair.society.member("mallory"))
    assert await bob.send("Like", here.uri) == "stored"
    like = {"id": "x", "type": "Like", "actor": bob.actor.uri, "object": here.uri}
    assert await mallory.send("Undo", like) == "refused: the like is somebody else's"
    liked = await cases.get(pair.hospital.db, here.id)
    assert liked is not None
    assert liked.likes == 1
    assert await bob.send("Undo", like) == "undone"
    assert await bob.send("Undo", {"type": "Like"}) == (
        "refused: the activity does not say what is taken back"
    )


async def test_an_announced_post_is_fetched_from_its_own_server(network: Network) -> None:
    nodes = [await network.instance(name) for name in ("hospital", "society", "clinic")]
    hospital, society, clinic = nodes
    await network.befriend(*nodes)
    ada, bob = await hospital.member("ada"), await society.member("bob")
    carl = await clinic.member("carl")
    pair = Pair(network, hospital, society, ada, bob)
    his = Writer(clinic, await clinic.actor_of(carl), hospital)
    case = await clinic.cases.open_case(carl, replace(DRAFT, audience=Audience.PUBLIC))
    her = await writer(pair)
    assert await her.send("Announce", case.uri) == "stored"
    found = await cases.by_uri(hospital.db, case.uri)
    assert found is not None
    assert found.author.uri == his.actor.uri
    assert await her.send("Announce", "https://elsewhere.example/1") == (
        "ignore: the post could not be had (peer_not_allowed)"
    )
    assert (await her.send("Announce", clinic.urls.object("none")) or "").startswith(
        "ignore: the post could not be had"
    )


# Keys -------------------------------------------------------------------------------------------


async def test_a_renewed_key_is_fetched_once_it_is_used(pair: Pair) -> None:
    bob = await writer(pair)
    assert await bob.send("Create", bob.note()) == "stored"
    key_id = pair.society.urls.rsa_key(bob.actor.uri)
    async with pair.society.db.transaction() as tx:
        await tx.execute("DELETE FROM actor_keys WHERE key_id = ?", (key_id,))
        await keys.put_private(
            tx, pair.society.vault, bob.actor.id, bob.actor.uri, 1,
            [(key_id, keys.KeyUse.RSA, fresh_keys().rsa)],
        )  # fmt: skip
    assert await bob.send("Create", bob.note("second")) == "stored"


async def test_a_key_of_another_member_does_not_pass(pair: Pair) -> None:
    bob, mallory = await writer(pair), await writer(pair, await pair.society.member("mallory"))
    key = await pair.society.key_of(mallory.actor)
    assert await bob.send("Create", bob.note(), key=key) == "status 401"


async def test_the_credential_key_signs_no_requests(pair: Pair) -> None:
    society = pair.society
    note = {"id": society.urls.object("i"), "type": "Note", "attributedTo": society.actor.uri}
    pair_of_keys = await keys.private_key(
        society.db, society.vault, society.actor.id, keys.KeyUse.CREDENTIAL
    )
    assert pair_of_keys is not None
    url = pair.hospital.urls.shared_inbox
    body = orjson.dumps(
        {"@context": AS, "id": society.urls.activity("i"), "type": "Create",
         "actor": society.actor.uri, "object": note}
    )  # fmt: skip
    headers = sign(
        "POST", url, body, key=SigningKey(*pair_of_keys), scheme=Scheme.RFC9421_ED25519,
        now_ms=society.clock.now(), content_type="application/activity+json",
    )  # fmt: skip
    assert (await society.fetcher.post(url, headers, body)).status == 401


# Peers ------------------------------------------------------------------------------------------


async def test_a_peer_that_is_blocked_meanwhile_is_not_heard(pair: Pair) -> None:
    bob = await writer(pair)
    await bob.send("Create", bob.note("before"))
    activity = {
        "@context": AS, "id": pair.society.urls.activity("last"), "type": "Create",
        "actor": bob.actor.uri, "object": bob.note(), "to": [PUBLIC],
    }  # fmt: skip
    assert await pair.society.post_as(bob.actor, pair.hospital, activity) == 202
    await pair.hospital.trust.block(pair.society.domain, by="test")
    await pair.hospital.runner.drain()
    assert await pair.hospital.effect_of(activity["id"]) == (
        "refused: the server is not a peer any more"
    )
    assert await bob.send("Create", bob.note("later")) == "status 403"


async def test_a_deleted_actor_takes_its_words_along(pair: Pair) -> None:
    bob = await writer(pair)
    await bob.send("Create", bob.note())
    await pair.follow()
    assert await bob.send("Delete", bob.actor.uri) == "deleted"
    found = await arrived(pair, bob.note())
    assert found is not None
    assert (found.deleted is not None, found.html) == (True, "")
    assert await follows.counts(pair.hospital.db, pair.ada.actor_id) == (0, 0)
    assert await bob.send("Create", bob.note("later")) == (
        "refused: the actor is gone or suspended"
    )


async def test_a_revoked_credential_takes_the_badge_off_everywhere(pair: Pair) -> None:
    ada = await pair.follow()
    assert ada.badge.verified
    async with pair.hospital.db.transaction() as tx:
        await pair.hospital.credentials.revoke(tx, pair.ada.actor_id)
    pair.network.clock.advance(HOUR)
    await pair.network.settle()
    there = await actors.by_uri(pair.society.db, ada.uri)
    assert there is not None
    assert not there.badge.verified


async def test_a_revoked_credential_that_is_still_shown_does_not_count(pair: Pair) -> None:
    ada = await pair.follow()
    async with pair.hospital.db.transaction() as tx:
        await pair.hospital.credentials.revoke(tx, pair.ada.actor_id)
        await actors.set_badge(
            tx, pair.ada.actor_id, ada.badge, ada.badge.credential, at=pair.network.clock.now()
        )
    pair.network.clock.advance(DAY)
    await pair.society.remote.recheck(ada)
    there = await actors.by_uri(pair.society.db, ada.uri)
    assert there is not None
    assert (there.badge.verified, there.badge.reason) == (
        False,
        "The issuer has revoked the credential.",
    )


async def test_a_changed_issuer_key_is_flagged_and_nobody_is_verified_by_it(pair: Pair) -> None:
    ada = await pair.follow()
    hospital = pair.hospital
    async with hospital.db.transaction() as tx:
        await tx.execute("DELETE FROM actor_keys WHERE key_id = ?", (hospital.urls.credential_key,))
        await keys.put_private(
            tx, hospital.vault, hospital.actor.id, hospital.actor.uri, 1,
            [(hospital.urls.credential_key, keys.KeyUse.CREDENTIAL, fresh_keys().credential)],
        )  # fmt: skip
    await pair.society.peering.meet(hospital.domain)
    (peer,) = await pair.society.trust.peers()
    assert "credential key changed" in (peer.reason or "")
    assert ada.badge.verified


async def test_a_row_that_cannot_be_done_holds_up_nobody(pair: Pair) -> None:
    bob = await writer(pair)

    async def explode(batch: object, received: object) -> list[str]:
        raise RuntimeError

    pair.hospital.inbox._table.add("Explode", explode)
    for kind, name in (("Create", "a"), ("Explode", "b"), ("Create", "c")):
        activity = {
            "@context": AS, "id": pair.society.urls.activity(name), "type": kind,
            "actor": bob.actor.uri, "object": bob.note(name), "to": [PUBLIC],
        }  # fmt: skip
        assert await pair.society.post_as(bob.actor, pair.hospital, activity) == 202
    await pair.hospital.runner.drain(strict=False)
    assert await pair.hospital.effect_of(pair.society.urls.activity("c")) == "stored"
    counts = (await queues.counts(pair.hospital.db))["inbox"]
    assert (counts["waiting"], counts["dead"]) == (1, 0)
    for _ in range(12):
        pair.network.clock.advance(DAY)
        await pair.hospital.runner.drain(strict=False)
    counts = (await queues.counts(pair.hospital.db))["inbox"]
    assert (counts["waiting"], counts["dead"]) == (0, 1)


async def test_what_was_accepted_survives_a_restart(pair: Pair) -> None:
    bob = await writer(pair)
    activity = {
        "@context": AS, "id": pair.society.urls.activity("x"), "type": "Create",
        "actor": bob.actor.uri, "object": bob.note(), "to": [PUBLIC],
    }  # fmt: skip
    assert await pair.society.post_as(bob.actor, pair.hospital, activity) == 202
    pair.hospital.open_rooms()  # everything that was in memory is gone
    await pair.hospital.runner.drain()
    assert await arrived(pair, bob.note()) is not None
