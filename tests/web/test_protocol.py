"""What other servers, and strangers, get at the door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fedidoc.clock import MINUTE
from fedidoc.federation.urls import Urls
from fedidoc.storage import queues
from fedidoc.web import protocol
from fedidoc.web.protocol import Protocol
from tests.federation.conftest import network
from tests.federation.network import Network, Node

__all__ = ["network"]


@pytest.fixture
async def hospital(network: Network) -> AsyncIterator[Node]:
    yield await network.instance("hospital")


async def raw(node: Node, request: bytes, *, wait: float = 3.0) -> bytes:
    """Send bytes as they are; everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(request)
    await writer.drain()
    try:
        async with asyncio.timeout(wait):
            return await reader.read(65536)
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def stored(node: Node) -> int:
    return (await queues.counts(node.db))["inbox"]["waiting"]


# Open to all ------------------------------------------------------------------------------------


async def test_webfinger_says_the_actors_url_and_nothing_else(hospital: Node) -> None:
    await hospital.member("ada")
    resource = f"acct:ada@{hospital.domain}"
    status, headers, body = await hospital.ask(
        hospital, f"/.well-known/webfinger?resource={resource}", signed=False
    )
    assert (status, headers["Content-Type"]) == (200, "application/jrd+json")
    document = json.loads(body)
    assert document["subject"] == resource
    assert [link["href"] for link in document["links"]] == [hospital.urls.actor("ada")]
    assert set(document) == {"subject", "aliases", "links"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("resource=a&resource=b", 400),
        ("resource=nonsense", 400),
        ("resource=acct:nobody@{domain}", 404),
        ("resource=acct:ada@elsewhere.example", 404),
        ("resource=%FF", 400),
        ("&".join("a=b" for _ in range(100)), 400),
    ],
)
async def test_webfinger_refuses_what_it_cannot_answer(
    hospital: Node, query: str, status: int
) -> None:
    await hospital.member("ada")
    path = "/.well-known/webfinger?" + query.format(domain=hospital.domain)
    assert (await hospital.ask(hospital, path, signed=False))[0] == status


async def test_webfinger_is_limited_per_address(hospital: Node) -> None:
    path = f"/.well-known/webfinger?resource=acct:nobody@{hospital.domain}"
    answers = [(await hospital.ask(hospital, path, signed=False))[0] for _ in range(603)]
    assert answers[599:601] == [404, 429]
    hospital.clock.advance(MINUTE)
    assert (await hospital.ask(hospital, path, signed=False))[0] == 404


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/actor", "application/activity+json"),
        ("/actor/outbox", "application/activity+json"),
        ("/.well-known/nodeinfo", "application/json"),
        ("/nodeinfo/2.1", "application/json; profile="),
        ("/nodeinfo/2.0", "application/json; profile="),
        ("/ns/v1", "application/ld+json"),
        ("/.well-known/host-meta", "application/xrd+xml"),
    ],
)
async def test_open_documents(hospital: Node, path: str, media_type: str) -> None:
    status, headers, body = await hospital.ask(hospital, path, signed=False)
    assert status == 200
    assert headers["Content-Type"].startswith(media_type)
    assert "public" in headers["Cache-Control"]
    assert len(body) > 20


async def test_head_has_the_length_and_no_body(hospital: Node) -> None:
    host = hospital.domain.encode()
    answer = await raw(
        hospital, b"HEAD /actor HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (status_of(answer), body) == (200, b"")
    assert int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) > 500


async def test_the_instance_actor_has_a_key_of_its_own_for_credentials(hospital: Node) -> None:
    _, _, body = await hospital.ask(hospital, "/actor", signed=False)
    document = json.loads(body)
    assert document["type"] == "Application"
    found = {key["id"]: key["publicKeyMultibase"] for key in document["assertionMethod"]}
    assert set(found) == {
        hospital.urls.credential_key,
        hospital.urls.ed25519_key(hospital.urls.instance_actor),
    }
    assert len(set(found.values())) == 2


# Members ----------------------------------------------------------------------------------------


async def test_a_stranger_gets_a_stub_and_a_peer_the_actor(network: Network) -> None:
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await network.befriend(hospital, society)
    await hospital.member("ada")
    status, headers, body = await society.ask(hospital, "/users/ada", signed=False)
    assert (status, headers["Cache-Control"]) == (200, "private, no-store")
    assert set(json.loads(body)) == {
        "@context", "id", "type", "preferredUsername", "inbox", "publicKey",
    }  # fmt: skip
    status, headers, body = await society.ask(hospital, "/users/ada")
    document = json.loads(body)
    assert (status, document["name"]) == (200, "Ada")
    assert document["credential"].startswith(hospital.urls.base + "/credentials/")
    assert "Signature" in headers["Vary"]


async def test_a_server_that_is_no_peer_gets_no_more_than_a_stranger(network: Network) -> None:
    hospital, stranger = await network.instance("hospital"), await network.instance("stranger")
    await hospital.member("ada")
    for path in ("/users/ada", "/users/ada/outbox", "/users/ada/followers", "/objects/x",
                 "/credentials/status/1", "/media/x.png"):  # fmt: skip
        assert (await stranger.ask(hospital, path))[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/users/ada/outbox", "/users/ada/followers", "/users/ada/following", "/objects/x",
     "/objects/x/context", "/activities/x", "/follows/x", "/credentials/x",
     "/credentials/status/1"],
)  # fmt: skip
async def test_everything_else_needs_a_signature(hospital: Node, path: str) -> None:
    await hospital.member("ada")
    assert (await hospital.ask(hospital, path, signed=False))[0] == 401


async def test_browsers_are_sent_to_the_pages(hospital: Node) -> None:
    for path, page in (("/users/ada", "/@ada"), ("/objects/abc", "/cases/abc")):
        status, headers, _ = await hospital.ask(
            hospital, path, signed=False, accept="text/html,application/xhtml+xml"
        )
        assert (status, headers["Location"]) == (303, page)


async def test_a_suspended_member_is_as_if_it_never_was(network: Network) -> None:
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await network.befriend(hospital, society)
    await hospital.member("ada")
    await hospital.accounts.suspend("ada", reason="test", by="test")
    for path in ("/users/ada", "/users/ada/outbox", "/users/nobody", "/users/nobody/outbox"):
        status, _, body = await society.ask(hospital, path)
        assert (status, json.loads(body)["error"][:13]) == (404, "There is noth")


# Posting ----------------------------------------------------------------------------------------


async def test_an_inbox_takes_only_post(hospital: Node) -> None:
    status, headers, _ = await hospital.ask(hospital, "/inbox", signed=False)
    allowed = {name.lower(): value for name, value in headers.items()}["allow"]
    assert (status, allowed) == (405, "POST")


@pytest.mark.parametrize("path", ["/actor", "/users/ada", "/.well-known/webfinger", "/objects/x"])
async def test_documents_take_no_post(hospital: Node, path: str) -> None:
    host = hospital.domain.encode()
    request = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: 0\r\n\r\n" % (path.encode(), host)
    assert status_of(await raw(hospital, request, wait=5)) == 405


async def test_who_is_a_member_is_not_told_before_authentication(network: Network) -> None:
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await network.befriend(hospital, society)
    bob = await society.actor_of(await society.member("bob"))
    follow = {
        "@context": "https://www.w3.org/ns/activitystreams", "id": society.urls.follow("x"),
        "type": "Follow", "actor": bob.uri, "object": hospital.urls.actor("nobody"),
    }  # fmt: skip
    for path in ("/users/nobody/inbox", "/users/ada/inbox"):
        request = f"POST {path} HTTP/1.1\r\nHost: {hospital.domain}\r\nContent-Length: 0\r\n\r\n"
        assert status_of(await raw(hospital, request.encode())) == 401
    assert await society.post_as(bob, hospital, follow, path="/users/nobody/inbox") == 404
    assert await society.post_as(bob, hospital, follow) == 202


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ("Content-Length: 2\r\n", b"{}", 401),
        ("Content-Length: 99999999\r\n", b"", 413),
    ],
)
async def test_bad_posts_leave_no_trace(
    hospital: Node, headers: str, body: bytes, status: int
) -> None:
    head = f"POST /inbox HTTP/1.1\r\nHost: {hospital.domain}\r\n{headers}\r\n"
    assert status_of(await raw(hospital, head.encode() + body)) == status
    assert await stored(hospital) == 0


async def test_a_body_without_a_length_is_cut_off(hospital: Node) -> None:
    head = f"POST /inbox HTTP/1.1\r\nHost: {hospital.domain}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", hospital.port)
    writer.write(head.encode())
    try:
        for _ in range(40):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    assert status_of(await reader.read(4096)) == 413
    writer.close()


async def test_a_slow_body_times_out(hospital: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.2)
    head = f"POST /inbox HTTP/1.1\r\nHost: {hospital.domain}\r\nContent-Length: 100\r\n\r\nab"
    assert status_of(await raw(hospital, head.encode())) == 408


async def test_a_client_that_goes_away_leaves_nothing(hospital: Node) -> None:
    head = f"POST /inbox HTTP/1.1\r\nHost: {hospital.domain}\r\nContent-Length: 100\r\n\r\nab"
    _, writer = await asyncio.open_connection("127.0.0.1", hospital.port)
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.1)
    assert (await hospital.ask(hospital, "/actor", signed=False))[0] == 200
    assert await stored(hospital) == 0


async def test_failed_posts_are_limited_per_address(hospital: Node) -> None:
    head = f"POST /inbox HTTP/1.1\r\nHost: {hospital.domain}\r\nContent-Length: 2\r\n\r\n" + "{}"
    answers = [status_of(await raw(hospital, head.encode())) for _ in range(602)]
    assert answers[599:] == [401, 429, 429]
    hospital.clock.advance(MINUTE)
    assert status_of(await raw(hospital, head.encode())) == 401


async def test_a_peer_is_heard_behind_an_address_that_is_braked(network: Network) -> None:
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await network.befriend(hospital, society)
    ada, bob = await hospital.member("ada"), await society.member("bob")
    head = f"POST /inbox HTTP/1.1\r\nHost: {hospital.domain}\r\nContent-Length: 2\r\n\r\n" + "{}"
    for _ in range(601):
        status = status_of(await raw(hospital, head.encode()))
    assert status == 429
    actor, followed = await society.actor_of(bob), await hospital.actor_of(ada)
    follow = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": f"{society.urls.base}/follows/1",
        "type": "Follow",
        "actor": actor.uri,
        "object": followed.uri,
    }
    assert await society.post_as(actor, hospital, follow) == 202
    assert status_of(await raw(hospital, head.encode())) == 429


# The door itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("/actor", "evil.example", 421),
        ("/actor", "127.0.0.1", 421),
        ("/actor", "{domain}, evil.example", 421),
        ("/users/%61da", "{domain}", 404),
        ("/users/../actor", "{domain}", 404),
        ("/users/", "{domain}", 404),
        ("/users/" + "a" * 200, "{domain}", 404),
        ("/objects/x/y/z", "{domain}", 404),
        ("/nodeinfo/9.9", "{domain}", 404),
        ("/collections/verified", "{domain}", 404),
        ("/inbox/", "{domain}", 404),
        ("/actor?" + "a" * 5000, "{domain}", 414),
        ("/somewhere", "{domain}", 599),
        ("/media/x.png", "{domain}", 599),
        ("/", "{domain}", 599),
    ],
)
async def test_paths_and_hosts(hospital: Node, target: str, host: str, status: int) -> None:
    host = host.format(domain=hospital.domain)
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert status_of(await raw(hospital, request.encode())) == status


async def answer_of(app: Protocol, scope: dict[str, Any]) -> int:
    """The status of an ASGI request that no HTTP server would make."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    whole = {"type": "http", "method": "GET", "query_string": b"", "client": None, "headers": []}
    await app(whole | scope, receive, send)
    status: int = sent[0]["status"]
    return status


async def test_no_bytes_in_a_head_break_it(hospital: Node) -> None:
    host = (b"host", hospital.domain.encode())
    app = hospital.app
    strange: list[dict[str, Any]] = [
        {"path": "/users/é", "raw_path": b"/users/\xff", "headers": [host]},
        {"path": "/actor", "raw_path": b"/actor", "query_string": b"\xff", "headers": [host]},
        {"path": "/actor", "headers": [host, host]},
        {"path": "/actor", "headers": []},
        {"path": "/users/ada", "headers": [host, (b"signature", b"\xff\x00")]},
        {"path": "/inbox", "method": "POST", "headers": [host, (b"content-length", b"-1")]},
        {"path": "/inbox", "method": "POST", "headers": [host, (b"digest", b"\xff" * 9999)]},
        {"path": "/.well-known/webfinger", "query_string": b"resource=%00", "headers": [host]},
    ]
    for scope in strange:
        assert 400 <= await answer_of(app, scope) < 500


@pytest.mark.parametrize(
    ("client", "forwarded", "expected"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "nonsense", "unknown"),
    ],
)
async def test_only_trusted_proxies_are_asked_for_the_client(
    hospital: Node, client: str, forwarded: str, expected: str
) -> None:
    import ipaddress

    app = Protocol(
        hospital.inbox, hospital.reading, Urls(hospital.urls.base), hospital.clock, hospital.app,
        trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),),
    )  # fmt: skip
    headers = (("x-forwarded-for", forwarded),) if forwarded else ()
    assert app._address({"client": (client, 1)}, headers) == expected


async def test_addresses_of_one_ipv6_network_count_as_one(hospital: Node) -> None:
    first = hospital.app._address({"client": ("2001:db8::1", 1)}, ())
    second = hospital.app._address({"client": ("2001:db8::ffff:2", 1)}, ())
    other = hospital.app._address({"client": ("2001:db8:0:1::1", 1)}, ())
    assert first == second != other
