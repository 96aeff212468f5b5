"""Finding colleagues elsewhere, and what is said when it does not work."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fedidoc.activitypub.errors import DocumentError, FetchError
from fedidoc.clock import DAY, HOUR
from fedidoc.errors import BadInput, NotFound, PeerTrouble
from fedidoc.storage import actors, queues
from tests.federation.network import Network, Node
from tests.federation.pair import Pair


async def test_a_colleague_is_found_by_handle_and_by_address(pair: Pair) -> None:
    here, there = pair.society, pair.hospital
    by_handle = await here.remote.find(f"@ada@{there.domain}")
    assert (by_handle.uri, by_handle.handle) == (there.urls.actor("ada"), f"@ada@{there.domain}")
    for text in (f"ada@{there.domain}", f"acct:ada@{there.domain}", there.urls.actor("ada")):
        assert (await here.remote.find(f"  {text} ")).id == by_handle.id


async def test_colleagues_here_are_found_too(pair: Pair) -> None:
    urls = pair.hospital.urls
    for text in (f"@ada@{pair.hospital.domain}", urls.actor("ada"), urls.profile_page("ada")):
        assert (await pair.hospital.remote.find(text)).id == pair.ada.actor_id
    with pytest.raises(NotFound):
        await pair.hospital.remote.find(f"@nobody@{pair.hospital.domain}")


@pytest.mark.parametrize("text", ["", "@", "ada", "@ada@", "http://", "javascript:x", "@a b@c.d"])
async def test_nonsense_is_said_to_be_nonsense(pair: Pair, text: str) -> None:
    with pytest.raises(BadInput, match="Write a handle"):
        await pair.society.remote.find(text)


async def test_nobody_is_looked_for_on_servers_that_are_no_peers(pair: Pair) -> None:
    for text in ("@ada@elsewhere.example", "https://elsewhere.example/users/ada",
                 "http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1/x"):  # fmt: skip
        with pytest.raises(PeerTrouble, match="not a server this one federates with"):
            await pair.society.remote.find(text)


async def test_a_peer_says_that_there_is_nobody(pair: Pair) -> None:
    with pytest.raises(NotFound, match="does not know anybody"):
        await pair.society.remote.find(f"@nobody@{pair.hospital.domain}")


async def test_a_peer_that_is_down_is_said_to_be_down(pair: Pair) -> None:
    await pair.hospital.stop_serving()
    with pytest.raises(PeerTrouble, match="could not be reached"):
        await pair.society.remote.find(f"@ada@{pair.hospital.domain}")


async def test_a_peer_that_has_not_allowed_us_shows_only_a_stub(network: Network) -> None:
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await society.trust.allow(hospital.domain, by="test")
    await hospital.member("ada")
    with pytest.raises(PeerTrouble, match="has it allowed it as a peer"):
        await society.remote.find(f"@ada@{hospital.domain}")


async def test_an_actor_that_another_server_shows_is_not_believed(pair: Pair) -> None:
    """Mastodon CVE-2024-23832: the id's host is not the host that was asked."""
    forged = await _serve(pair.society, "/objects/x", {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": "https://victim.example/users/root", "type": "Person",
        "preferredUsername": "root", "inbox": "https://victim.example/inbox",
    })  # fmt: skip
    with pytest.raises(FetchError):
        await pair.hospital.remote.actor(forged)
    assert await actors.by_uri(pair.hospital.db, "https://victim.example/users/root") is None


@pytest.mark.parametrize("elsewhere", ["stranger", "ourselves"])
async def test_a_peer_cannot_send_us_on_to_others(pair: Pair, elsewhere: str) -> None:
    stranger = await pair.network.instance("stranger")
    target = (stranger if elsewhere == "stranger" else pair.hospital).urls.instance_actor
    inner: Any = pair.society.app

    async def redirecting(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/users/moved":
            await inner(scope, receive, send)
            return
        headers = [(b"location", target.encode())]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    pair.society.app = redirecting  # type: ignore[assignment]
    with pytest.raises(FetchError) as error:
        await pair.hospital.remote.actor(pair.society.urls.actor("moved"))
    assert error.value.reason == "peer_not_allowed"
    assert await actors.by_uri(pair.hospital.db, stranger.urls.instance_actor) is None


async def test_a_handle_that_its_server_does_not_confirm_is_not_given(pair: Pair) -> None:
    bob = await pair.hospital.remote.find(f"@bob@{pair.society.domain}")
    imposter = await _serve(pair.society, "/users/imposter", {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": pair.society.urls.actor("imposter"), "type": "Person",
        "preferredUsername": "bob", "inbox": pair.society.urls.inbox("imposter"),
    })  # fmt: skip
    found = await pair.hospital.remote.actor(imposter)
    assert found.username.startswith("bob~")
    again = await actors.by_handle(pair.hospital.db, "bob", pair.society.domain)
    assert again is not None
    assert again.id == bob.id


async def test_what_is_missing_is_not_asked_for_again_and_again(pair: Pair) -> None:
    asked: list[str] = []
    inner: Any = pair.society.app

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await inner(scope, receive, send)

    pair.society.app = counted  # type: ignore[assignment]
    nobody = pair.society.urls.actor("nobody")
    for _ in range(3):
        missing = await pair.hospital.remote.prefetch({nobody}, refresh=set())
        assert missing[nobody].gone
    assert asked.count("/users/nobody") == 1


async def test_badges_are_looked_at_again_every_day(pair: Pair) -> None:
    ada = await pair.society.remote.find(f"@ada@{pair.hospital.domain}")
    async with pair.hospital.db.transaction() as tx:
        await pair.hospital.credentials.revoke(tx, pair.ada.actor_id)
        # Nobody tells: the news of it is lost.
        await tx.execute("DELETE FROM events")
    async with pair.society.db.transaction() as tx:
        await queues.put_task(tx, "badges", "all", {}, pair.network.clock.now() + HOUR)
    pair.network.clock.advance(2 * HOUR)
    await pair.society.runner.drain()
    before = await actors.get(pair.society.db, ada.id)
    assert before is not None
    assert before.badge.verified
    pair.network.clock.advance(DAY)
    await pair.society.runner.drain()
    after = await actors.get(pair.society.db, ada.id)
    assert after is not None
    assert not after.badge.verified


async def test_a_badge_holds_for_three_days_while_its_server_is_away(pair: Pair) -> None:
    ada = await pair.society.remote.find(f"@ada@{pair.hospital.domain}")
    await pair.hospital.stop_serving()
    pair.network.clock.advance(2 * DAY)
    await pair.society.remote.recheck(ada)
    held = await actors.get(pair.society.db, ada.id)
    assert held is not None
    assert held.badge.verified
    pair.network.clock.advance(2 * DAY)
    await pair.society.remote.recheck(held)
    gone = await actors.get(pair.society.db, ada.id)
    assert gone is not None
    assert (gone.badge.verified, gone.badge.reason) == (
        False,
        "The issuer's list of revoked credentials could not be had.",
    )


async def test_a_member_is_verified_once_the_peer_is_up(network: Network) -> None:
    """The key of credentials is pinned when the peer is first reached, whenever that is."""
    hospital = await network.instance("hospital")
    society = await network.instance("society", serve=False)
    await hospital.trust.allow(society.domain, by="test")
    await society.trust.allow(hospital.domain, by="test")
    await hospital.runner.drain()
    assert hospital.trust.issuer(society.domain) is None
    await society.serve()
    network.clock.advance(HOUR)
    await network.settle()
    assert hospital.trust.issuer(society.domain) is not None


async def _serve(node: Node, path: str, document: dict[str, Any]) -> str:
    """Have an instance serve a document of our making; its URL."""
    inner: Any = node.app

    async def forging(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != path:
            await inner(scope, receive, send)
            return
        headers = [(b"content-type", b"application/activity+json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    node.app = forging  # type: ignore[assignment]
    return node.urls.base + path


async def test_a_peer_cannot_pass_another_instance_off_as_itself(pair: Pair) -> None:
    stranger = await pair.network.instance("stranger")
    inner: Any = pair.society.app

    async def redirecting(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/actor":
            await inner(scope, receive, send)
            return
        headers = [(b"location", stranger.urls.instance_actor.encode())]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    pair.society.app = redirecting  # type: ignore[assignment]
    await pair.hospital.trust.unpin(pair.society.domain, by="test")
    with pytest.raises(DocumentError) as error:
        await pair.hospital.peering.meet(pair.society.domain)
    assert error.value.reason == "actor_foreign"
    assert pair.hospital.trust.issuer(pair.society.domain) is None
