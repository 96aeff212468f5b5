"""Hosts, origins and recipients."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedidoc.activitypub.addressing import (
    audience_of,
    fold_inboxes,
    host_of,
    origin_of,
    request_url,
    same_origin,
    split_url,
)
from fedidoc.activitypub.documents import PUBLIC
from fedidoc.activitypub.errors import DocumentError


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.Example/users/x", "a.example"),
        ("HTTPS://a.example:443/", "a.example"),
        ("http://a.example:80", "a.example"),
        ("https://a.example:80/", "a.example:80"),
        ("http://127.0.0.1:8000/x#y", "127.0.0.1:8000"),
        ("https://[2001:DB8:0:0::1]:8443/", "[2001:db8::1]:8443"),
        ("https://bücher.example?q", "xn--bcher-kva.example"),
        ("https://BÜCHER.example", "xn--bcher-kva.example"),
        ("https://faß.example/", "xn--fa-hia.example"),
        ("https://under_score.example/", "under_score.example"),
    ],
)
def test_host_of(url: str, host: str) -> None:
    assert host_of(url) == host
    assert origin_of(url) == url[: url.index(":")].lower() + "://" + host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "//a.example/",
        "ftp://a.example/",
        "javascript:alert(1)",
        "https:a.example",
        "https:///a.example",
        "https://",
        "https://user@a.example/",
        "https://user:password@a.example/",
        "https://a.example@b.example/",
        "https://a.example\\@b.example/",
        "https://a.example\\.b.example/",
        "https://a.example /",
        "https://a.example/ x",
        "https://a.example/\r\nHost: b.example",
        "https://a.example\t/",
        "https://a..example/",
        "https://.a.example/",
        "https://a.example./",
        "https://-a.example/",
        "https://%61.example/",
        "https://a.example:/x:y",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://a.example:8o/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://0x7f.0.0.1/",
        "https://127.0.0.1./",
        "https://１２７.0.0.1/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[::127.0.0.1/",
        "https://xn--/",
        "https://xn--a.example/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 130 + "example/",
        "https://a.example/" + "x" * 2048,
    ],
)
def test_what_is_no_plain_url(url: str) -> None:
    with pytest.raises(DocumentError) as caught:
        # A colon without a port is not repaired either.
        split_url(url)
    assert caught.value.reason == "bad_url"
    assert not same_origin(url, url)


def test_web_platform_url_vectors(corpora: Path) -> None:
    """Never another host than a browser sees; what a browser refuses is refused."""
    cases = json.loads((corpora / "wpt-url" / "urltestdata.json").read_text())
    agreed = 0
    for case in cases:
        if not isinstance(case, dict) or case.get("base") is not None:
            continue
        try:
            address = split_url(case["input"])
        except DocumentError:
            continue
        assert not case.get("failure"), case["input"]
        assert case["hostname"].strip("[]") == address.host, case["input"]
        assert case["port"] == ("" if address.port is None else str(address.port))
        assert case["username"] == case["password"] == ""
        agreed += 1
    assert agreed > 20


def test_idna_vectors(corpora: Path) -> None:
    """Where a name is accepted, it is the name that the URL Standard computes."""
    agreed = 0
    for name in ("toascii.json", "verifydnslength_tests.json"):
        for case in json.loads((corpora / "wpt-url" / name).read_text()):
            if not isinstance(case, dict):
                continue
            try:
                host = split_url(f"https://{case['input']}/").host
            except DocumentError:
                continue
            assert host == case["output"], case["input"]
            agreed += 1
    assert agreed > 10


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_document_error(text: str) -> None:
    for url in (text, "https://" + text, "https://[" + text + "]/"):
        try:
            address = split_url(url)
        except DocumentError:
            continue
        assert split_url(address.origin + "/").origin == address.origin


def test_same_origin() -> None:
    assert same_origin("https://a.example/1", "https://A.example:443/2#x")
    assert not same_origin("https://a.example/", "http://a.example/")
    assert not same_origin("https://a.example/", "https://a.example:8443/")
    assert not same_origin("https://a.example/", "https://b.a.example/")


def test_request_url() -> None:
    assert request_url("https://A.example") == "https://a.example/"
    assert request_url("https://a.example?x=1#main-key") == "https://a.example/?x=1"
    assert request_url("https://a.example/é%41/../b") == "https://a.example/%C3%A9%41/../b"


FOLLOWERS = "https://a.example/users/x/followers"


@pytest.mark.parametrize(
    ("to", "cc", "audience"),
    [
        ([PUBLIC], [FOLLOWERS], "public"),
        (["as:Public"], [], "public"),
        ([FOLLOWERS], ["Public"], "unlisted"),
        ([FOLLOWERS], ["https://b.example/users/y"], "followers"),
        ([], [FOLLOWERS], "followers"),
        (["https://b.example/users/y"], [], "direct"),
        (["https://b.example/users/y/followers"], [], "direct"),
        ([], [], "none"),
    ],
)
def test_audience_of(to: list[str], cc: list[str], audience: str) -> None:
    assert audience_of(to, cc, FOLLOWERS) == audience


def test_audience_of_an_unknown_author() -> None:
    assert audience_of(["https://b.example/followers/y"], []) == "followers"


def test_fold_inboxes() -> None:
    recipients: list[tuple[str, Any]] = [
        ("https://a.example/users/1/inbox", "https://a.example/inbox"),
        ("https://b.example/users/1/inbox", None),
        ("https://a.example/users/2/inbox", "https://a.example/inbox"),
        ("https://b.example/users/1/inbox", None),
    ]
    assert fold_inboxes(recipients) == [
        "https://a.example/inbox",
        "https://b.example/users/1/inbox",
    ]


def test_a_foreign_shared_inbox_is_not_believed() -> None:
    claims = [("https://a.example/users/1/inbox", "https://victim.example/inbox")]
    assert fold_inboxes(claims) == ["https://a.example/users/1/inbox"]
