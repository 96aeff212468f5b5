"""One case from the first follow to its deletion, over real sockets and databases."""

from __future__ import annotations

import pytest

from fedidoc.clock import MINUTE
from fedidoc.errors import NotFound
from fedidoc.model import Audience, FollowState
from fedidoc.storage import activities, actors, cases, follows, queues
from tests.federation.network import CARDIOLOGY, Network
from tests.federation.pair import Pair


async def test_peers_that_met_know_each_others_key_software_and_inbox(pair: Pair) -> None:
    peer = next(iter(await pair.hospital.trust.peers()))
    assert (peer.software, peer.shared_inbox) == ("fedidoc", pair.society.urls.shared_inbox)
    assert peer.issuer_key_id == pair.society.urls.credential_key
    assert pair.hospital.trust.issuer(pair.society.domain) is not None


async def test_a_follow_is_accepted_and_seen_on_both_sides(pair: Pair) -> None:
    await pair.follow()
    there = await actors.by_uri(pair.society.db, pair.hospital.urls.actor("ada"))
    assert there is not None
    asked = await follows.between(pair.society.db, pair.bob.actor_id, there.id)
    assert asked is not None
    assert asked.state is FollowState.ACCEPTED
    followers = await follows.followers_of(pair.hospital.db, pair.ada.actor_id)
    assert [actor.handle for actor in followers] == [f"@bob@{pair.society.domain}"]


async def test_each_sees_that_the_other_is_verified_and_by_whom(pair: Pair) -> None:
    ada = await pair.follow()
    assert ada.badge.verified
    assert (ada.badge.issuer, ada.badge.profession) == (pair.hospital.domain, "physician")
    assert ada.badge.specialty == CARDIOLOGY
    bob = await actors.by_uri(pair.hospital.db, pair.society.urls.actor("bob"))
    assert bob is not None
    assert bob.badge.verified
    assert bob.badge.issuer == pair.society.domain


@pytest.mark.parametrize("audience", [Audience.FOLLOWERS, Audience.VERIFIED, Audience.PUBLIC])
async def test_a_case_arrives_whole_and_its_answer_comes_home(
    pair: Pair, audience: Audience
) -> None:
    await pair.follow()
    here, there = await pair.open_case(audience)
    assert there is not None
    assert (there.title, there.audience, there.fields) == (here.title, audience, here.fields)
    assert there.author.handle == f"@ada@{pair.hospital.domain}"
    answer = await pair.society.cases.reply(pair.bob, there.id, "Catheter, I would say.")
    await pair.network.settle()
    home = await cases.by_uri(pair.hospital.db, answer.uri)
    assert home is not None
    assert (home.parent_id, home.case_id, home.audience) == (here.id, here.id, audience)
    assert "Catheter" in home.html
    assert home.author.badge.verified
    counts = await queues.counts(pair.hospital.db)
    assert (counts["inbox"]["dead"], counts["delivery"]["dead"]) == (0, 0)


async def test_a_case_for_verified_colleagues_comes_without_a_follow(pair: Pair) -> None:
    _, there = await pair.open_case(Audience.VERIFIED)
    assert there is not None
    assert there.audience is Audience.VERIFIED


async def test_a_case_for_followers_goes_nowhere_without_one(pair: Pair) -> None:
    here, there = await pair.open_case(Audience.FOLLOWERS)
    assert there is None
    assert await activities.inboxes_of_post(pair.hospital.db, here.id) == []
    status, _, _ = await pair.society.ask(pair.hospital, f"/objects/{here.id}")
    assert status == 404


async def test_an_edit_and_a_deletion_reach_those_who_have_it(pair: Pair) -> None:
    await pair.follow()
    _, there = await pair.open_case()
    assert there is not None
    answer = await pair.society.cases.reply(pair.bob, there.id, "Catheter, I would say.")
    await pair.network.settle()
    pair.network.clock.advance(MINUTE)
    await pair.society.cases.edit_reply(pair.bob, answer.id, "Surgery, after all.")
    await pair.network.settle()
    home = await cases.by_uri(pair.hospital.db, answer.uri)
    assert home is not None
    assert "Surgery" in home.html
    assert "Catheter" not in home.html
    await pair.society.cases.delete(pair.bob, answer.id)
    await pair.network.settle()
    home = await cases.by_uri(pair.hospital.db, answer.uri)
    assert home is not None
    assert (home.deleted is not None, home.html) == (True, "")


async def test_a_deletion_still_reaches_who_has_unfollowed(pair: Pair) -> None:
    ada = await pair.follow()
    here, there = await pair.open_case()
    assert there is not None
    await pair.society.follows.unfollow(pair.bob, ada)
    await pair.network.settle()
    assert await follows.followers_of(pair.hospital.db, pair.ada.actor_id) == []
    await pair.hospital.cases.delete(pair.ada, here.id)
    await pair.network.settle()
    there = await cases.by_uri(pair.society.db, here.uri)
    assert there is not None
    assert there.deleted is not None


async def test_a_peer_reads_what_it_may_and_nothing_else(pair: Pair) -> None:
    await pair.follow()
    here, _ = await pair.open_case(Audience.FOLLOWERS)
    stranger = await pair.network.instance("stranger")
    await pair.hospital.trust.allow(stranger.domain, require_credential=False, by="test")
    for path in (f"/objects/{here.id}", f"/objects/{here.id}/context"):
        assert (await pair.society.ask(pair.hospital, path))[0] == 200
        assert (await stranger.ask(pair.hospital, path))[0] == 404
    listed = (await pair.society.ask(pair.hospital, "/users/ada/outbox?before="))[2]
    assert here.uri.encode() in listed
    hidden = (await stranger.ask(pair.hospital, "/users/ada/outbox?before="))[2]
    assert here.uri.encode() not in hidden
    assert b'"totalItems":0' in (await stranger.ask(pair.hospital, "/users/ada/outbox"))[2]


async def test_an_activity_is_shown_to_whom_it_was_sent(pair: Pair) -> None:
    await pair.follow()
    await pair.open_case(Audience.FOLLOWERS)
    stranger = await pair.network.instance("stranger")
    await pair.hospital.trust.allow(stranger.domain, require_credential=False, by="test")
    await pair.society.trust.allow(stranger.domain, require_credential=False, by="test")
    rows = await pair.hospital.db.fetch_all(
        "SELECT uri FROM activities WHERE type IN ('Create', 'Accept')"
    )
    for path in (row["uri"].removeprefix(pair.hospital.urls.base) for row in rows):
        assert (await pair.society.ask(pair.hospital, path))[0] == 200
        assert (await stranger.ask(pair.hospital, path))[0] == 404
    (follow,) = await pair.society.db.fetch_all("SELECT uri FROM activities WHERE type = 'Follow'")
    path = follow["uri"].removeprefix(pair.society.urls.base)
    assert path.startswith("/follows/")
    assert (await pair.hospital.ask(pair.society, path))[0] == 200
    assert (await stranger.ask(pair.society, path))[0] == 404


async def test_verified_cases_never_go_to_peers_without_credentials(network: Network) -> None:
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await hospital.trust.allow(society.domain, require_credential=False, by="test")
    await society.trust.allow(hospital.domain, require_credential=True, by="test")
    await network.settle()
    members = await hospital.member("ada"), await society.member("bob")
    pair = Pair(network, hospital, society, *members)
    await pair.follow()
    here, there = await pair.open_case(Audience.VERIFIED)
    assert there is None
    assert (await society.ask(hospital, f"/objects/{here.id}"))[0] == 404
    _, there = await pair.open_case(Audience.FOLLOWERS)
    assert there is not None


async def test_what_is_passed_on_is_told_to_its_author_and_taken_back(pair: Pair) -> None:
    await pair.follow()
    here, there = await pair.open_case(Audience.PUBLIC)
    assert there is not None
    await pair.society.cases.announce(pair.bob, there.id)
    await pair.network.settle()
    count = "SELECT COUNT(*) FROM announces WHERE post_id = ?"
    assert await pair.hospital.db.fetch_value(count, (here.id,)) == 1
    told = await pair.hospital.db.fetch_all("SELECT kind FROM notifications ORDER BY id")
    assert "announced" in [row["kind"] for row in told]
    await pair.society.cases.unannounce(pair.bob, there.id)
    await pair.network.settle()
    assert await pair.hospital.db.fetch_value(count, (here.id,)) == 0


async def test_between_fedidoc_instances_ed25519_signs(pair: Pair) -> None:
    await pair.follow()
    assert await queues.schemes(pair.society.db, [pair.hospital.domain]) == {
        pair.hospital.domain: "rfc9421-ed25519"
    }


async def test_an_answer_is_for_the_readers_of_its_case_not_for_the_answerers_followers(
    pair: Pair,
) -> None:
    """Chris follows Ada and answers her followers-only case; Bob follows Chris alone."""
    chris = await pair.hospital.member("chris")
    await pair.hospital.follows.follow(chris, await pair.hospital.actor_of(pair.ada))
    found = await pair.society.remote.find(f"@chris@{pair.hospital.domain}")
    await pair.society.follows.follow(pair.bob, found)
    await pair.network.settle()
    here, _ = await pair.open_case(Audience.FOLLOWERS)
    answer = await pair.hospital.cases.reply(chris, here.id, "Read by hers, not by mine.")
    await pair.network.settle()
    assert await cases.by_uri(pair.society.db, answer.uri) is None
    assert (await pair.society.ask(pair.hospital, f"/objects/{answer.id}"))[0] == 404
    listed = (await pair.society.ask(pair.hospital, "/users/chris/outbox?before="))[2]
    assert answer.uri.encode() not in listed


async def test_an_answer_from_elsewhere_is_read_by_the_followers_of_the_case(pair: Pair) -> None:
    await pair.follow()
    cleo, dora = await pair.hospital.member("cleo"), await pair.hospital.member("dora")
    await pair.hospital.follows.follow(cleo, await pair.hospital.actor_of(pair.ada))
    here, there = await pair.open_case(Audience.FOLLOWERS)
    assert there is not None
    answer = await pair.society.cases.reply(pair.bob, there.id, "For all who read it.")
    await pair.network.settle()
    home = await cases.by_uri(pair.hospital.db, answer.uri)
    assert home is not None and home.audience is Audience.FOLLOWERS
    thread = await pair.hospital.cases.thread(cleo, here.id)
    assert [post.uri for post in thread.replies] == [answer.uri]
    with pytest.raises(NotFound):
        await pair.hospital.cases.thread(dora, here.id)
    with pytest.raises(NotFound):
        await pair.hospital.cases.get(dora, home.id)
