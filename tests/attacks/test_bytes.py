"""Raw bytes at a whole instance that runs as a process: whatever comes, it is refused clearly.

Every answer is below 500 and quotes nothing that was sent; what holds MARKER is neither in the log,
which is at its most talkative, nor anywhere in the database.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.instance import Instance

MARKER = b"zqxjkmarker"
FORM = b"application/x-www-form-urlencoded"
BIG = b"9" * 70_000


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("bytes") / "hospital").init() as made:
        config = made.folder / "config.toml"
        config.write_text(config.read_text() + '\n[log]\nlevel = "debug"\n')
        made.member("ada")
        made.start()
        yield made


def say(instance: Instance, data: bytes, *, wait: float = 1.5) -> bytes:
    """Send bytes on a connection of its own, and everything that came back until it ended; what
    the server waits for more of is given up after `wait` seconds."""
    heard = b""
    with socket.create_connection((instance.host, instance.port), timeout=wait) as line:
        try:
            line.sendall(data)
        except OSError:
            pass  # refused before all of it was sent
        try:
            while part := line.recv(65_536):
                heard += part
        except OSError:
            pass
    return heard


def request(
    line: bytes, *headers: bytes, body: bytes = b"", host: bytes | None = None, length: bool = True
) -> bytes:
    """A request as bytes; `%HOST%` stands for the instance's own name."""
    head = [line, b"Host: " + (host if host is not None else b"%HOST%"), b"Connection: close"]
    if body and length:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, *headers, b"", body])


def post(path: bytes, body: bytes, kind: bytes, *headers: bytes) -> bytes:
    return request(b"POST " + path + b" HTTP/1.1", b"Content-Type: " + kind, *headers, body=body)


def get(path: bytes, *headers: bytes) -> bytes:
    return request(b"GET " + path + b" HTTP/1.1", *headers)


def _in_paths() -> Iterator[bytes]:
    pieces = (
        b"/%00",
        b"/\xff\xfe",
        b"/%ff%fe",
        b"/%ed%a0%80",
        b"/%",
        b"/%zz",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/../../etc/passwd",
        b"//evil.example/",
        b"/\\evil.example",
        b"/;a=b",
        b"/a" * 30_000,
        b"/%c0%af",
        b"/{{7*7}}",
        b"/'--",
        b"/<script>",
    )
    rooms = (
        b"",
        b"/cases",
        b"/static",
        b"/media",
        b"/@ada",
        b"/badge",
        b"/users",
        b"/objects",
        b"/api",
        b"/api/v1/statuses",
        b"/api/v1/accounts",
        b"/admin/peers",
        b"/.well-known",
        b"/credentials",
    )
    for room in rooms:
        for piece in pieces:
            yield get(room + piece + MARKER)
    for query in (
        b"q=%00",
        b"q=%ff",
        b"q=\xff",
        b"q=%ed%a0%80",
        b"q",
        b"&&&==",
        b"q=" + BIG[:20_000],
        b"a=" + b"&a=" * 3_000,
        b"before=%00",
        b"next=//evil.example",
        b"resource=acct:%00@x",
        b"resource=acct:" + MARKER + b"@" + MARKER,
        b"resource=http://[",
        b"resource=%ff",
    ):
        for path in (
            b"/",
            b"/find",
            b"/log-in",
            b"/notifications",
            b"/.well-known/webfinger",
            b"/api/v2/search",
            b"/api/v1/timelines/home",
            b"/users/ada/outbox",
        ):
            yield get(path + b"?" + query + b"&m=" + MARKER)


def _in_heads() -> Iterator[bytes]:
    cookie = b"session=" + MARKER + b"; visit=" + MARKER * 3
    for header in (
        b"Origin: http://[",
        b"Origin: null",
        b"Origin: \xff",
        b"Origin: http://a:b:c",
        b"Origin:",
        b"Cookie: visit=\xff\xfe; session=\xff",
        b"Cookie: =;;=;",
        b"Cookie: session=" + BIG[:8_000],
        b"Authorization: Bearer \xff\xfe",
        b"Authorization: Bearer",
        b"Authorization: Basic Og==",
        b"Signature: \xff",
        b'Signature: keyId="',
        b"Signature-Input: sig=((((",
        b"X-Forwarded-For: \xff, ::1%zone, 999.1.1.1",
        b"Accept: \xff/*;q=x",
        b"Accept: text/html;q=",
        b"Content-Type: multipart/form-data",
        b"Content-Type: multipart/form-data; boundary=",
        b'Content-Type: multipart/form-data; boundary="\xff',
        b"Content-Type: \xff",
        b"Content-Encoding: gzip",
        b"Expect: 100-continue",
        b"Expect: 200-ok",
        b"Range: bytes=9-1",
        b"Upgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13",
        b"Upgrade: h2c\r\nHTTP2-Settings: \xff",
        b"If-None-Match: \xff",
        b"If-Modified-Since: \xff",
        b"Idempotency-Key: \xff\x7f",
        b"Sec-Fetch-Site: \xff",
    ):
        for path, kind in (
            (b"/log-in", FORM),
            (b"/cases/new", FORM),
            (b"/inbox", b"application/json"),
            (b"/api/v1/statuses", FORM),
        ):
            yield post(
                path,
                b"csrf=" + MARKER * 3 + b"&title=" + MARKER,
                kind,
                header,
                b"Cookie: " + cookie,
            )
        for path in (
            b"/",
            b"/static/style.css",
            b"/users/ada",
            b"/media/x.png",
            b"/api/v1/instance",
        ):
            yield get(path, header)
    for n in (100, 5_000):
        yield get(b"/", *[b"X-%d: %s" % (i, MARKER) for i in range(n)])
    yield get(b"/", b"X: " + BIG + MARKER)


def _in_lines() -> Iterator[bytes]:
    for line in (
        b"GET / HTTP/0.9",
        b"GET /",
        b"GET",
        b"",
        b"\x00",
        b"\xff\xff",
        b"GET / HTTP/9.9",
        b"GET / HTTP/1.1 x",
        b"BREW /" + MARKER + b" HTTP/1.1",
        b"CONNECT " + MARKER + b":80 HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET * HTTP/1.1",
        b"DELETE /cases/x HTTP/1.1",
        b"PROPFIND / HTTP/1.1",
        b"get / HTTP/1.1",
        b"G\x00T / HTTP/1.1",
        b"PATCH /inbox HTTP/1.1",
        b"PUT /api/v1/statuses/x HTTP/1.1",
        b"A" * 5_000 + b" / HTTP/1.1",
        b"GET http://evil.example/" + MARKER + b" HTTP/1.1",
        b"GET http://[/ HTTP/1.1",
        b"GET http://evil.example/users/ada HTTP/1.1",
        b"POST http://evil.example/inbox HTTP/1.1",
        b"GET ///etc/passwd HTTP/1.1",
        b"GET ?x HTTP/1.1",
        b"GET # HTTP/1.1",
    ):
        yield request(line)
    for host in (
        b"evil.example",
        b"",
        b"\xff",
        b"[",
        b"a:b:c",
        b"%00",
        b"127.0.0.1:1",
        b"a" * 300,
        b"evil.example\r\nHost: %HOST%",
    ):
        for path in (b"/", b"/log-in", b"/users/ada", b"/actor", b"/api/v1/instance"):
            yield request(b"GET " + path + b" HTTP/1.1", host=host)
    yield b"GET / HTTP/1.1\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + MARKER * 20
    yield (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x08\x01\x05\x00\x00\x00\x01" + MARKER * 20
    )


def _part(disposition: bytes, body: bytes) -> bytes:
    head = b"--x\r\nContent-Disposition: form-data" + disposition
    return head + b"\r\n\r\n" + body + b"\r\n--x--\r\n"


def _in_bodies() -> Iterator[bytes]:
    bad = (
        b"",
        b"\x00",
        b"\xff\xfe" + MARKER,
        b"{",
        b"[[" * 50_000,
        b'{"a":' * 2_000,
        b"NaN",
        b"null",
        b"1e999",
        b'"\\ud800"',
        b'{"status":"\\ud800' + MARKER + b'"}',
        b'{"type":"Create","type":"Like"}',
        b"csrf=%00&username=%ed%a0%80&password=" + MARKER,
        b"&" * 5_000,
        b"a=" * 5_000,
        b"=" * 50,
        b"username[]=" + MARKER + b"&username=a",
        b"%" * 100,
        BIG * 4 + MARKER,
    )
    kinds = (
        FORM,
        b"application/json",
        b"application/activity+json",
        b"text/plain",
        b"",
        b"multipart/form-data; boundary=x",
        b"application/x-www-form-urlencoded; charset=utf-16",
        b"application/json; charset=" + MARKER,
    )
    paths = (
        b"/log-in",
        b"/sign-up",
        b"/inbox",
        b"/users/ada/inbox",
        b"/api/v1/statuses",
        b"/drafts/save",
        b"/admin/peers",
        b"/settings",
    )
    for path in paths:
        for kind in kinds:
            for body in bad:
                yield post(path, body, kind)
    parts = (
        b"--x\r\n\r\n" + MARKER + b"\r\n--x--\r\n",
        _part(b'; name="csrf"; filename="../../' + MARKER + b'"', b"a"),
        b'--x\r\nContent-Disposition: form-data; name="\xff\x00"\r\n\r\n\xff\xfe\r\n--x--\r\n',
        _part(b'; name="csrf"\r\nContent-Type: text/plain; charset=utf-7', b"+AD4-"),
        _part(b'; name="csrf"\r\nContent-Type: text/plain; charset=rot13', b"a"),
        _part(b"", b"a part without a name"),
        b"--x\r\n" + b"A: b\r\n" * 5_000 + b"\r\n\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 500 + b"--x--\r\n",
        b"--x",
        b"--x--",
        b"x",
        b"--x\r\nContent-Disposition\r\n\r\n\r\n--x--",
        b"--x\r\nContent-Disposition: form-data; name*=utf-8''%ff%00\r\n\r\na\r\n--x--\r\n",
    )
    for path in (b"/log-in", b"/cases/new", b"/api/v2/media", b"/api/v1/statuses"):
        for part in parts:
            yield post(path, part, b"multipart/form-data; boundary=x", b"Cookie: session=" + MARKER)


def _in_lengths() -> Iterator[bytes]:
    for path in (b"/inbox", b"/log-in", b"/api/v1/statuses"):
        for headers in (
            b"Content-Length: -1",
            b"Content-Length: 1e3",
            b"Content-Length: 0x10",
            b"Content-Length: \xb2",
            b"Content-Length: 9999999999999999999999",
            b"Content-Length: 5\r\nContent-Length: 6",
            b"Content-Length: 5, 5",
            b"Transfer-Encoding: chunked\r\nContent-Length: 4",
            b"Transfer-Encoding: identity",
            b"Transfer-Encoding: gzip, chunked",
            b"Transfer-Encoding: chunked, chunked",
            b"Transfer-Encoding: \x0bchunked",
            b"Content-Length : 5",
            b" Content-Length: 5",
            b"Content-Length: 100",
        ):
            line = b"POST " + path + b" HTTP/1.1"
            yield request(line, headers, b"Content-Type: " + FORM, body=MARKER, length=False)
        for chunks in (
            b"zz\r\n",
            b"-1\r\n\r\n",
            b"ffffffffffffffffff\r\n",
            b"5\r\nabc\r\n0\r\n\r\n",
            b"5;" + BIG + b"\r\n",
            b"0\r\nX: " + MARKER + b"\r\n\r\n",
            b"1\r\na\r\n" * 3_000 + b"0\r\n\r\n",
            b"5\nabcde\n0\n\n",
            b"b\r\n" + MARKER + b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        ):
            head = b"Transfer-Encoding: chunked"
            yield request(
                b"POST " + path + b" HTTP/1.1",
                head,
                b"Content-Type: " + FORM,
                body=chunks,
                length=False,
            )


CORPUS = {
    "paths": _in_paths,
    "heads": _in_heads,
    "lines": _in_lines,
    "bodies": _in_bodies,
    "lengths": _in_lengths,
}


@pytest.mark.parametrize("family", CORPUS)
def test_no_bytes_break_it_or_leave_a_trace(instance: Instance, family: str) -> None:
    host = instance.domain.encode()
    failed = []
    corpus = [data.replace(b"%HOST%", host) for data in CORPUS[family]()]
    with ThreadPoolExecutor(24) as senders:
        answers = list(senders.map(lambda data: say(instance, data), corpus))
    unheard = sum(not heard for heard in answers)
    assert unheard < len(corpus) // 4, "most of what is sent must be answered"
    for data, heard in zip(corpus, answers, strict=True):
        status = re.match(rb"HTTP/1\.[01] (\d{3})", heard)
        body = heard.partition(b"\r\n\r\n")[2]
        # 501: the HTTP library does not know that transfer coding (RFC 9112 6.1).
        if (
            (status and status[1] >= b"500" and status[1] != b"501")
            or b"Traceback" in heard
            or b"site-packages" in heard
        ):
            failed.append((data[:200], heard[:200]))
        elif MARKER in body and b"application/json" in heard:  # forms keep what was typed
            failed.append((data[:200], b"quoted: " + body[:200]))
    assert not failed, (len(failed), failed[:20])
    assert instance.process is not None and instance.process.poll() is None
    _assert_no_trace(instance)


def _assert_no_trace(instance: Instance) -> None:
    log = instance.log.read_bytes()
    assert MARKER not in log and b"Traceback" not in log
    assert b'"level": "error"' not in log, log[-2_000:]
    for file in instance.folder.rglob("*"):
        if file.is_file() and file != instance.log:
            assert MARKER not in file.read_bytes(), file
