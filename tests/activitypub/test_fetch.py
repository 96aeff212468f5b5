"""The only way out, against a peer that misbehaves over a real socket."""

import asyncio
import gzip
import json
import ssl
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from fedidoc.activitypub.errors import FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signatures import Scheme, SigningKey, VerifyingKey, parse, sign, verify

from .conftest import ACTIVITY_JSON, Peer, StartPeer, answer

NOW = 1_774_000_000_000
KEY = SigningKey("https://society.example/actor#main-key", generate_private_key(65537, 2048))
PUBLIC_KEY = VerifyingKey(KEY.key_id, "https://society.example/actor", KEY.private.public_key())


def sign_get(method: str, url: str) -> dict[str, str]:
    return sign(method, url, b"", key=KEY, scheme=Scheme.CAVAGE, now_ms=NOW)


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(
        guard=Guard(allow_plain_http=True),
        user_agent="fedidoc/test",
        sign=sign_get,
        connect_timeout=2,
        total_timeout=2,
    )
    yield fetcher
    await fetcher.close()


async def reason_of(fetcher: Fetcher, url: str, *, require_id: bool = True) -> str:
    with pytest.raises(FetchError) as caught:
        await fetcher.get_document(url, require_id=require_id)
    return caught.value.reason


async def test_a_signed_get(peer: Peer, fetcher: Fetcher) -> None:
    url = peer.serve("/note?x=1", {"type": "Note"})
    assert await fetcher.get_document(url + "#part") == {"id": url, "type": "Note"}
    asked = peer.asked[0]
    assert (asked.method, asked.target) == ("GET", "/note?x=1")
    assert asked.headers["host"] == peer.host
    assert asked.headers["user-agent"] == "fedidoc/test"
    assert "application/activity+json" in asked.headers["accept"]
    request = Request("GET", url, tuple(asked.headers.items()))
    verify(parse(request), request, PUBLIC_KEY)


async def test_no_cookies_and_no_proxies(
    start_peer: StartPeer, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await start_peer(name="localhost")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    body = json.dumps({"id": peer.url("/a"), "type": "Note"}).encode()
    peer.answers["/a"] = answer(body, ACTIVITY_JSON, Set_Cookie="a=b; Path=/")
    await fetcher.get_document(peer.url("/a"))
    await fetcher.get_document(peer.url("/a"))
    assert len(peer.asked) == 2
    assert "cookie" not in peer.asked[1].headers
    assert peer.connections == 1


@pytest.mark.parametrize(
    "media_type",
    [
        "application/activity+json",
        "Application/Activity+JSON; charset=utf-8",
        'application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
    ],
)
async def test_media_types_of_activitystreams(
    peer: Peer, fetcher: Fetcher, media_type: str
) -> None:
    assert await fetcher.get_document(peer.serve("/a", {"type": "Note"}, media_type))


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/ld+json",
        'application/ld+json; profile="https://evil.example/"',
        "text/html",
        "text/plain",
        "image/png",
        "application/octet-stream",
        "application/activity+jsonx",
        "text/plain; x=application/activity+json",
        "",
    ],
)
async def test_activitystreams_of_another_media_type(
    peer: Peer, fetcher: Fetcher, media_type: str
) -> None:
    """Mastodon CVE-2024-25623: ActivityPub JSON served with a wrong media type."""
    url = peer.serve("/a", {"type": "Note"}, media_type)
    assert await reason_of(fetcher, url) == "wrong_media_type"


async def test_activitystreams_served_as_an_upload(peer: Peer, fetcher: Fetcher) -> None:
    """Mastodon CVE-2024-25623, Akkoma 3.12: a member's upload pretends to be another's actor."""
    body = json.dumps({"id": peer.url("/u/ann"), "type": "Person"}).encode()
    peer.answers["/dl"] = answer(body, ACTIVITY_JSON, Content_Disposition="attachment; filename=a")
    assert await reason_of(fetcher, peer.url("/dl")) == "wrong_media_type"
    # Without that header, what counts is what the server has at the address it names.
    peer.answers["/media/1"] = answer(body, ACTIVITY_JSON)
    genuine = peer.serve("/u/ann", {"type": "Person", "name": "genuine"})
    found = await fetcher.get_document(peer.url("/media/1"))
    assert (found["id"], found["name"]) == (genuine, "genuine")
    del peer.answers["/u/ann"]
    assert await reason_of(fetcher, peer.url("/media/1")) == "status_404"
    # Nor may the document there name a third address.
    peer.answers["/u/ann"] = answer(
        json.dumps({"id": peer.url("/u/bo"), "type": "Person"}).encode(), ACTIVITY_JSON
    )
    assert await reason_of(fetcher, peer.url("/media/1")) == "id_mismatch"


async def test_id_host_is_not_the_fetched_host(peer: Peer, fetcher: Fetcher) -> None:
    """Mastodon CVE-2024-23832."""
    url = peer.serve("/a", {"id": "https://victim.example/u/1", "type": "Person"})
    assert await reason_of(fetcher, url) == "id_foreign"
    assert await reason_of(fetcher, url, require_id=False) == "id_foreign"
    url = peer.serve("/b", {"id": None, "type": "Collection"})
    assert await reason_of(fetcher, url) == "id_missing"
    assert (await fetcher.get_document(url, require_id=False))["type"] == "Collection"


async def test_final_redirect_origin_is_not_the_id(
    peer: Peer, fetcher: Fetcher, start_peer: StartPeer
) -> None:
    """Mastodon CVE-2024-23832: the last hop decides who may speak."""
    other = await start_peer()
    peer.redirect("/u/1", other.url("/copy"))
    other.serve("/copy", {"id": peer.url("/u/1"), "type": "Person"})
    assert await reason_of(fetcher, peer.url("/u/1")) == "id_foreign"
    own = other.serve("/copy", {"type": "Person"})
    assert (await fetcher.get_document(peer.url("/u/1")))["id"] == own


async def test_every_hop_is_signed_anew(
    peer: Peer, fetcher: Fetcher, start_peer: StartPeer
) -> None:
    other = await start_peer()
    peer.redirect("/1", "/2", 308)
    peer.redirect("/2", other.url("/3"), 301)
    url = other.serve("/3", {"type": "Note"})
    await fetcher.get_document(peer.url("/1"))
    for asked, target in ((peer.asked[1], peer.url("/2")), (other.asked[0], url)):
        request = Request("GET", target, tuple(asked.headers.items()))
        verify(parse(request), request, PUBLIC_KEY)


async def test_redirect_cap_and_loop(peer: Peer, fetcher: Fetcher) -> None:
    """Fedify CVE-2026-34148: redirect loop and cap."""
    for number in range(9):
        peer.redirect(f"/{number}", f"/{number + 1}")
    peer.serve("/9", {"type": "Note"})
    assert (await fetcher.get_document(peer.url("/6")))["type"] == "Note"
    peer.asked.clear()
    assert await reason_of(fetcher, peer.url("/5")) == "too_many_redirects"
    assert len(peer.asked) == 4
    peer.redirect("/a", "/b")
    peer.redirect("/b", "/a")
    assert await reason_of(fetcher, peer.url("/a")) == "redirect_loop"
    peer.redirect("/self", "#again")
    assert await reason_of(fetcher, peer.url("/self")) == "redirect_loop"


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:127.0.0.1]/",
        "https://127.0.0.1:8443/",
        "https://localhost:8443/",
        "//0.0.0.0/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "https://user@a.example/",
        "http://127.0.0.1:8000\\@a.example/",
    ],
)
async def test_a_signed_fetch_redirected_to_a_private_host(
    peer: Peer, fetcher: Fetcher, location: str
) -> None:
    """Fedify CVE-2026-77632, Lemmy GHSA-c482."""
    peer.redirect("/a", location)
    assert await reason_of(fetcher, peer.url("/a")) in {"address_refused", "bad_url", "plain_http"}


async def test_redirects_without_a_place(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/none"] = answer(b"", status=302)
    peer.answers["/two"] = b"HTTP/1.1 302 X\r\nLocation: /a\r\nLocation: /b\r\n\r\n"
    for path in ("/none", "/two"):
        assert await reason_of(fetcher, peer.url(path)) == "bad_redirect"


@pytest.mark.parametrize(
    ("status", "transient", "gone"),
    [
        (404, False, True),
        (410, False, True),
        (401, False, False),
        (403, False, False),
        (429, True, False),
        (500, True, False),
        (501, False, False),
        (503, True, False),
        (206, False, False),
    ],
)
async def test_statuses(
    peer: Peer, fetcher: Fetcher, status: int, transient: bool, gone: bool
) -> None:
    peer.answers["/a"] = answer(b"{}", ACTIVITY_JSON, status=status)
    with pytest.raises(FetchError) as caught:
        await fetcher.get_document(peer.url("/a"))
    error = caught.value
    assert (error.status, error.transient, error.gone) == (status, transient, gone)


async def test_a_tombstone_is_gone(peer: Peer, fetcher: Fetcher) -> None:
    with pytest.raises(FetchError) as caught:
        await fetcher.get_document(peer.serve("/a", {"type": "Tombstone"}))
    assert caught.value.gone


async def test_a_document_is_parsed_strictly(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/a"] = answer(b'{"id":"x","id":"y"}', ACTIVITY_JSON)
    assert await reason_of(fetcher, peer.url("/a")) == "duplicate_key"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_answers(peer: Peer, fetcher: Fetcher, encoding: str) -> None:
    body = json.dumps({"id": peer.url("/a"), "type": "Note", "content": "x" * 50_000}).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    peer.answers["/a"] = answer(packed, ACTIVITY_JSON, Content_Encoding=encoding)
    assert len((await fetcher.get_document(peer.url("/a")))["content"]) == 50_000
    peer.answers["/a"] = answer(packed[:-9], ACTIVITY_JSON, Content_Encoding=encoding)
    assert await reason_of(fetcher, peer.url("/a")) == "bad_encoding"
    peer.answers["/a"] = answer(body, ACTIVITY_JSON, Content_Encoding=encoding)
    assert await reason_of(fetcher, peer.url("/a")) == "bad_encoding"


async def test_a_decompression_bomb(peer: Peer, fetcher: Fetcher) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    assert len(bomb) < 1 << 20
    peer.answers["/a"] = answer(bomb, ACTIVITY_JSON, Content_Encoding="gzip")
    tracemalloc.start()
    try:
        assert await reason_of(fetcher, peer.url("/a")) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    peer.answers["/b"] = answer(gzip.compress(bomb), ACTIVITY_JSON, Content_Encoding="gzip, gzip")
    assert await reason_of(fetcher, peer.url("/b")) == "bad_encoding"


async def test_large_answers(peer: Peer, fetcher: Fetcher) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: application/activity+json\r\n\r\n")
        while True:
            writer.write(b" " * 65_536)
            await writer.drain()

    async def endless_after_the_end(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}"))
        while True:
            writer.write(b" " * 65_536)
            await writer.drain()

    peer.answers["/after"] = endless_after_the_end
    peer.answers["/said"] = answer(b"", ACTIVITY_JSON).replace(
        b"Content-Length: 0", b"Content-Length: 99999999"
    )
    peer.answers["/endless"] = endless
    for path in ("/said", "/endless", "/after"):
        assert await reason_of(fetcher, peer.url(path)) == "too_large"


async def test_slow_bodies_are_bounded(peer: Peer) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: application/activity+json\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    fetcher = Fetcher(guard=Guard(allow_plain_http=True), user_agent="x", total_timeout=0.3)
    try:
        for path, slow in (("/drip", drip), ("/silent", silent)):
            peer.answers[path] = slow
            started = time.monotonic()
            with pytest.raises(FetchError) as caught:
                await fetcher.get_document(peer.url(path))
            assert (caught.value.reason, caught.value.transient) == ("timeout", True)
            assert time.monotonic() - started < 1.5
    finally:
        await fetcher.close()


async def test_connections_to_one_host_are_bounded(peer: Peer, fetcher: Fetcher) -> None:
    body = json.dumps({"id": peer.url("/a"), "type": "Note"}).encode()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(answer(body, ACTIVITY_JSON, Connection="close"))
        await writer.drain()

    peer.answers["/a"] = slow
    await asyncio.gather(*(fetcher.get_document(peer.url("/a")) for _ in range(40)))
    assert len(peer.asked) == 40
    assert 1 < peer.most_at_once <= 8


@pytest.mark.parametrize(
    "garbage",
    [
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 X\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 X\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 X\r\nX-A: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 X\r\nContent-Length: 9\r\nContent-Type: application/activity+json\r\n\r\n{",
        b"",
    ],
)
async def test_garbage_is_a_fetch_error(peer: Peer, fetcher: Fetcher, garbage: bytes) -> None:
    async def answer_garbage(writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        await writer.drain()

    peer.answers["/a"] = answer_garbage
    with pytest.raises(FetchError) as caught:
        await fetcher.get_document(peer.url("/a"))
    assert caught.value.transient


async def test_nobody_there(fetcher: Fetcher) -> None:
    assert await reason_of(fetcher, "http://127.0.0.1:9/") == "unreachable"


async def test_get_json(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/a"] = answer(b'{"links":[]}', "application/jrd+json; charset=utf-8")
    assert await fetcher.get_json(peer.url("/a")) == {"links": []}
    assert "signature" not in peer.asked[0].headers
    peer.answers["/a"] = answer(b'{"links":[]}', "text/html")
    with pytest.raises(FetchError) as caught:
        await fetcher.get_json(peer.url("/a"))
    assert caught.value.reason == "wrong_media_type"


async def test_get_bytes(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/a"] = answer(b"\x89PNG", "image/png")
    got = await fetcher.get_bytes(peer.url("/a"), max_bytes=4, accept=("image/png",))
    assert got == (b"\x89PNG", "image/png")
    for limit, accept, reason in (
        (3, ("image/png",), "too_large"),
        (9, ("image/jpeg",), "wrong_media_type"),
    ):
        with pytest.raises(FetchError) as caught:
            await fetcher.get_bytes(peer.url("/a"), max_bytes=limit, accept=accept)
        assert caught.value.reason == reason


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, str]:
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return authority, str(path)


def tls_for(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_the_vetted_address_is_what_is_connected_to(
    authority: tuple[trustme.CA, str], start_peer: StartPeer
) -> None:
    """DNS rebinding: the second answer is vetted like the first, and nobody else is asked."""
    ca, ca_file = authority
    peer = await start_peer(tls_for(ca, "peer.example"), "peer.example")
    url = peer.serve("/a", {"type": "Note"})
    answers = ["127.0.0.1"]

    async def lookup(host: str, port: int) -> list[str]:
        assert (host, port) == ("peer.example", peer.port)
        return answers

    private = Guard(private_networks=(ip_network("127.0.0.0/8"),), ca_file=ca_file)
    for guard, reached in ((private, True), (Guard(ca_file=ca_file), False)):
        fetcher = Fetcher(guard=guard, user_agent="x", lookup=lookup)
        try:
            if reached:
                assert (await fetcher.get_document(url))["id"] == url
            else:
                assert await reason_of(fetcher, url) == "address_refused"
        finally:
            await fetcher.close()
    assert len(peer.asked) == 1


async def test_rebinding_between_two_requests(
    authority: tuple[trustme.CA, str], start_peer: StartPeer
) -> None:
    """A name that was public when it was first asked leads to loopback the next time."""
    ca, ca_file = authority
    peer = await start_peer(tls_for(ca, "peer.example"), "peer.example")
    url = peer.serve("/a", {"type": "Note"})
    found: list[list[str]] = [["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]]

    async def lookup(host: str, port: int) -> list[str]:
        return found.pop(0)

    fetcher = Fetcher(guard=Guard(ca_file=ca_file), user_agent="x", lookup=lookup)
    try:
        for _ in range(2):
            assert await reason_of(fetcher, url) == "address_refused"
    finally:
        await fetcher.close()
    assert found == []
    assert peer.connections == 0


async def test_a_cross_origin_redirect_to_a_private_network(
    authority: tuple[trustme.CA, str], start_peer: StartPeer
) -> None:
    """What the operator opened for peers is not open to whoever redirects there."""
    ca, ca_file = authority
    first = await start_peer(tls_for(ca, "first.example"), "first.example")
    second = await start_peer(tls_for(ca, "second.example"), "second.example")
    target = second.serve("/a", {"type": "Note"})
    first.redirect("/away", target)
    first.redirect("/here", first.serve("/b", {"type": "Note"}))

    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    guard = Guard(private_networks=(ip_network("127.0.0.0/8"),), ca_file=ca_file)
    fetcher = Fetcher(guard=guard, user_agent="x", lookup=lookup)
    try:
        assert (await fetcher.get_document(target))["id"] == target
        assert (await fetcher.get_document(first.url("/here")))["type"] == "Note"
        assert await reason_of(fetcher, first.url("/away")) == "address_refused"
    finally:
        await fetcher.close()


async def test_an_untrusted_certificate(
    authority: tuple[trustme.CA, str], start_peer: StartPeer
) -> None:
    ca, ca_file = authority
    wrong_name = await start_peer(tls_for(ca, "other.example"), "localhost")
    unknown = await start_peer(tls_for(trustme.CA(), "localhost"), "localhost")
    fetcher = Fetcher(guard=Guard(allow_plain_http=True, ca_file=ca_file), user_agent="x")
    try:
        for peer in (wrong_name, unknown):
            assert await reason_of(fetcher, peer.serve("/a", {"type": "Note"})) == "tls"
            assert peer.asked == []
    finally:
        await fetcher.close()


async def test_a_downgrade_is_refused(
    authority: tuple[trustme.CA, str], peer: Peer, start_peer: StartPeer
) -> None:
    ca, ca_file = authority
    secure = await start_peer(tls_for(ca, "localhost"), "localhost")
    secure.redirect("/a", peer.serve("/b", {"type": "Note"}))
    fetcher = Fetcher(guard=Guard(allow_plain_http=True, ca_file=ca_file), user_agent="x")
    try:
        assert await reason_of(fetcher, secure.url("/a")) == "redirect_downgrade"
        assert peer.asked == []
    finally:
        await fetcher.close()


async def test_post(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/inbox"] = answer(b"x" * 5_000, status=202, Retry_After="7")
    got = await fetcher.post(peer.url("/inbox#x"), {"Content-Type": "a/b"}, b"body")
    assert (got.status, got.retry_after) == (202, 7)
    asked = peer.asked[0]
    assert (asked.method, asked.target, asked.body) == ("POST", "/inbox", b"body")
    assert set(asked.headers) == {"host", "user-agent", "content-type", "content-length"}


async def test_a_post_follows_nothing(peer: Peer, fetcher: Fetcher) -> None:
    peer.redirect("/inbox", "/elsewhere", 307)
    assert (await fetcher.post(peer.url("/inbox"), {}, b"x")).status == 307
    assert len(peer.asked) == 1


async def test_posts_share_connections(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/inbox"] = answer(b'{"error":"no"}', status=202)
    for _ in range(5):
        await fetcher.post(peer.url("/inbox"), {}, b"x")
    assert peer.connections == 1


async def test_a_kept_connection_that_was_closed_meanwhile(peer: Peer, fetcher: Fetcher) -> None:
    async def answer_and_close(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", status=202))
        await writer.drain()

    peer.answers["/inbox"] = answer_and_close
    for _ in range(3):
        assert (await fetcher.post(peer.url("/inbox"), {}, b"x")).status == 202


async def test_a_post_goes_through_the_guard(fetcher: Fetcher) -> None:
    for url in ("http://10.0.0.1/inbox", "https://169.254.169.254/", "https://a.example:22/"):
        with pytest.raises(FetchError) as caught:
            await fetcher.post(url, {}, b"x")
        assert not caught.value.transient


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("120", 120, 120),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9, 1e12),
    ],
)
async def test_retry_after(
    peer: Peer, fetcher: Fetcher, value: str, low: float, high: float
) -> None:
    peer.answers["/inbox"] = answer(b"", status=503, Retry_After=value)
    got = await fetcher.post(peer.url("/inbox"), {}, b"x")
    assert got.retry_after is not None
    assert low <= got.retry_after <= high


@pytest.mark.parametrize("value", ["soon", "-1", "9" * 40, "1.5", "Mon, 99 Foo 2026 00:00:00 GMT"])
async def test_a_retry_after_that_says_nothing(peer: Peer, fetcher: Fetcher, value: str) -> None:
    peer.answers["/inbox"] = answer(b"", status=503, Retry_After=value)
    assert (await fetcher.post(peer.url("/inbox"), {}, b"x")).retry_after is None


# What is known already ------------------------------------------------------------------------


async def test_a_conditional_get(peer: Peer, fetcher: Fetcher) -> None:
    accept = ("application/json",)
    peer.answers["/list"] = answer(b"{}", "application/json", ETag='"one"')
    url = peer.url("/list")
    found = await fetcher.get_changed(url, max_bytes=100, accept=accept, etag=None)
    assert found == (b"{}", '"one"')
    assert "if-none-match" not in peer.asked[-1].headers
    assert "signature" not in peer.asked[-1].headers
    peer.answers["/list"] = answer(b"", status=304)
    assert await fetcher.get_changed(url, max_bytes=100, accept=accept, etag='"one"') is None
    assert peer.asked[-1].headers["if-none-match"] == '"one"'


async def test_a_304_that_nobody_asked_for_is_no_answer(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/list"] = answer(b"", status=304)
    with pytest.raises(FetchError) as refused:
        await fetcher.get_changed(peer.url("/list"), max_bytes=100, accept=("a/b",), etag=None)
    assert refused.value.reason == "status_304"


async def test_a_conditional_get_of_another_media_type(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/list"] = answer(b"<html>", "text/html")
    with pytest.raises(FetchError) as refused:
        await fetcher.get_changed(
            peer.url("/list"), max_bytes=100, accept=("application/json",), etag='"x"'
        )
    assert refused.value.reason == "wrong_media_type"
