"""WebFinger and NodeInfo: what we answer, and how little we believe."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fedidoc.activitypub.discovery import (
    APPLICATION_REL,
    Handle,
    find_actor_url,
    find_software,
    instance_webfinger_document,
    nodeinfo_document,
    nodeinfo_links,
    parse_handle,
    read_nodeinfo_links,
    read_webfinger,
    webfinger_document,
    webfinger_url,
)
from fedidoc.activitypub.errors import DocumentError, FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard

from .conftest import Peer, StartPeer, answer

GUARD = Guard(allow_plain_http=True)
ANN = Handle("ann", "a.example")
ACTOR = "https://a.example/u/ann"


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(guard=GUARD, user_agent="x", total_timeout=2)
    yield fetcher
    await fetcher.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@ann@a.example", ANN),
        ("ann@a.example", ANN),
        ("acct:ann@A.Example", ANN),
        (" @ann@a.example:443 ", ANN),
        ("@Dr.Ann_1@localhost:8000", Handle("Dr.Ann_1", "localhost:8000")),
        ("@ann@bücher.example", Handle("ann", "xn--bcher-kva.example")),
        ("https://a.example/@ann", "https://a.example/@ann"),
    ],
)
def test_parse_handle(text: str, expected: Handle | str) -> None:
    assert parse_handle(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@ann",
        "@ann@",
        "@@a.example",
        "@ann@a.example/x",
        "@ann@a.example?x",
        "@ann@a.example#x",
        "@ann@b.example@a.example",
        "@an n@a.example",
        "@ann@127.1",
        "@.ann@a.example",
        "@" + "a" * 200 + "@a.example",
        "https://",
        "https://user@a.example/",
        "file:///etc/passwd",
        "@ann\n@a.example",
    ],
)
def test_what_is_no_handle(text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_handle(text)
    assert caught.value.reason == "bad_handle"


def test_a_handle_is_written_in_two_ways() -> None:
    assert str(ANN) == "@ann@a.example"
    assert webfinger_url(ANN.account, ANN.host) == (
        "https://a.example/.well-known/webfinger?resource=acct:ann@a.example"
    )
    assert webfinger_url("https://a.example/", "b.example:1").endswith(
        "resource=https:%2F%2Fa.example%2F"
    )


def test_what_we_answer_says_nothing_but_the_actor() -> None:
    document = webfinger_document(ANN, ACTOR)
    assert read_webfinger(document, ANN) == ACTOR
    assert document.keys() == {"subject", "aliases", "links"}
    assert len(document["links"]) == 1
    instance = instance_webfinger_document("https://a.example/", "https://a.example/actor")
    assert instance["links"][0]["href"] == "https://a.example/actor"


@pytest.mark.parametrize(
    "name",
    [
        "mobilizon/webfinger/mastodon-webfinger.json",
        "mobilizon/webfinger/pleroma-webfinger.json",
        "mobilizon/webfinger/peertube-webfinger.json",
        "mobilizon/webfinger/friendica-webfinger.json",
        "bonfire-activity_pub/mastodon/mastodon_webfinger.json",
    ],
)
def test_answers_of_real_servers(corpora: Path, name: str) -> None:
    document = json.loads((corpora / name).read_bytes())
    subject = parse_handle(document["subject"])
    assert isinstance(subject, Handle)
    assert read_webfinger(document, subject).startswith(("https://", "http://"))
    with pytest.raises(DocumentError) as caught:
        read_webfinger(document, Handle("somebody", subject.host))
    assert caught.value.reason == "webfinger_subject"


def link(**more: Any) -> dict[str, Any]:
    found = {"rel": "self", "type": "application/activity+json", "href": ACTOR, **more}
    return {"subject": ANN.account, "links": [found]}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"subject": 7, "links": []},
        {"subject": ANN.account},
        {"subject": ANN.account, "links": "x"},
        {"subject": ANN.account, "links": [7, None, [], {}]},
        link(rel="alternate"),
        link(type="text/html"),
        link(type=None),
        link(href=7),
        link(href="javascript:alert(1)"),
        link(href="file:///etc/passwd"),
        {**link(), "subject": "acct:ann@b.example"},
        {**link(), "subject": "acct:bo@a.example"},
        {**link(), "subject": "https://a.example/u/ann"},
    ],
)
def test_webfinger_answers_that_name_no_actor(document: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        read_webfinger(document, ANN)


def say(peer: Peer, asked: Handle, subject: Handle, actor_url: str) -> None:
    """Have ``peer`` answer for ``asked`` that it is ``subject`` with that actor."""
    document = webfinger_document(subject, actor_url)
    peer.answers[f"/.well-known/webfinger?resource={asked.account}"] = answer(
        json.dumps(document).encode(), "application/jrd+json"
    )


async def test_find_actor_url(peer: Peer, fetcher: Fetcher) -> None:
    ann = Handle("ann", peer.host)
    say(peer, ann, ann, peer.url("/u/ann"))
    assert await find_actor_url(ann, fetcher, GUARD) == peer.url("/u/ann")
    assert "signature" not in peer.asked[0].headers
    with pytest.raises(FetchError) as caught:
        await find_actor_url(Handle("bo", peer.host), fetcher, GUARD)
    assert caught.value.gone


async def test_split_domains_must_agree(
    peer: Peer, fetcher: Fetcher, start_peer: StartPeer
) -> None:
    short = await start_peer()
    there, here = Handle("ann", peer.host), Handle("ann", short.host)
    say(peer, there, here, peer.url("/u/ann"))
    say(short, here, here, peer.url("/u/ann"))
    assert await find_actor_url(there, fetcher, GUARD) == peer.url("/u/ann")
    assert await find_actor_url(here, fetcher, GUARD) == peer.url("/u/ann")
    # An impostor claims a handle of another host, which knows nothing of it.
    say(short, here, here, short.url("/u/ann"))
    with pytest.raises(DocumentError) as caught:
        await find_actor_url(there, fetcher, GUARD)
    assert caught.value.reason == "webfinger_subject"


async def test_webfinger_redirected_inside(peer: Peer, fetcher: Fetcher) -> None:
    """Fedify CVE-2026-62857: WebFinger as SSRF."""
    ann = Handle("ann", peer.host)
    peer.redirect(f"/.well-known/webfinger?resource={ann.account}", "https://10.0.0.1/")
    with pytest.raises(FetchError):
        await find_actor_url(ann, fetcher, GUARD)


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::1]:8443", "localhost"])
async def test_handles_at_inside_hosts(fetcher: Fetcher, host: str) -> None:
    closed = Fetcher(guard=Guard(), user_agent="x", total_timeout=2)
    try:
        with pytest.raises(FetchError) as caught:
            await find_actor_url(Handle("ann", host), closed, Guard())
        assert caught.value.reason == "address_refused"
    finally:
        await closed.close()


def test_nodeinfo_links() -> None:
    links = nodeinfo_links("https://a.example", "https://a.example/actor")
    assert read_nodeinfo_links(links, "a.example") == "https://a.example/nodeinfo/2.1"
    assert links["links"][-1] == {"rel": APPLICATION_REL, "href": "https://a.example/actor"}


@pytest.mark.parametrize(
    "href", ["https://b.example/nodeinfo/2.1", "http://127.0.0.1:6379/", "file:///etc/passwd", 7]
)
def test_nodeinfo_links_to_another_host(href: Any) -> None:
    """Fedify CVE-2026-62857: NodeInfo links as SSRF."""
    rel = "http://nodeinfo.diaspora.software/ns/schema/2.1"
    with pytest.raises(DocumentError):
        read_nodeinfo_links({"links": [{"rel": rel, "href": href}]}, "a.example")


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_nodeinfo_document_follows_the_schema(corpora: Path, version: str) -> None:
    schema = json.loads((corpora / "nodeinfo-schemas" / version / "schema.json").read_bytes())
    document = nodeinfo_document(
        software_version="0.1.0", repository="https://x.example/r", version=version, users=3
    )
    assert set(schema["required"]) <= document.keys() <= schema["properties"].keys()
    software = schema["properties"]["software"]
    assert set(software["required"]) <= document["software"].keys()
    assert document["software"].keys() <= software["properties"].keys()
    assert document["version"] in schema["properties"]["version"]["enum"]
    protocols = schema["properties"]["protocols"]["items"].get("enum", ["activitypub"])
    assert set(document["protocols"]) <= set(protocols)
    assert document["usage"] == {"users": {"total": 3}}
    assert nodeinfo_document(software_version="0.1.0")["usage"] == {"users": {}}


async def test_find_software(peer: Peer, fetcher: Fetcher) -> None:
    links = nodeinfo_links(peer.url(""), peer.url("/actor"))
    peer.answers["/.well-known/nodeinfo"] = answer(json.dumps(links).encode(), "application/json")
    document = nodeinfo_document(software_version="0.1.0")
    peer.answers["/nodeinfo/2.1"] = answer(json.dumps(document).encode(), "application/json")
    assert await find_software(peer.host, fetcher, GUARD) == ("fedidoc", "0.1.0")
    peer.answers["/nodeinfo/2.1"] = answer(b'{"software":{"name":7}}', "application/json")
    with pytest.raises(DocumentError):
        await find_software(peer.host, fetcher, GUARD)
