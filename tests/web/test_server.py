"""The HTTP server itself: what it refuses before any application is asked, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from fedidoc.web import server
from fedidoc.web.protocol import Receive, Scope, Send


@dataclass
class Served:
    """A small application on a socket: it answers with the length of the body."""

    scopes: list[Scope] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        size = 0
        while scope["path"] != "/unread":
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body", False):
                break
        if scope["path"] == "/slow":
            await self.hold.wait()
        answer = str(size).encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *parts: bytes, wait: float = 5.0) -> bytes:
        """Send bytes, in parts; everything that came until the server closed."""
        reader, writer = await self.open()
        heard = bytearray()

        async def listen() -> None:
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(65_536):
                    heard.extend(part)

        listening = asyncio.create_task(listen())
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.02)
        await asyncio.wait_for(listening, wait)
        writer.close()
        return bytes(heard)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    listener = socket.create_server(("127.0.0.1", 0))
    made.port = listener.getsockname()[1]
    made.running = asyncio.create_task(server.serve(made, listener, made.stop))
    yield made
    made.stop.set()
    made.hold.set()
    await made.running


def request(path: str, *headers: str, body: bytes = b"", close: bool = True) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a.example", *headers]
    if close:
        lines.append("Connection: close")
    if not any("ransfer" in header for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_one_connection_serves_many_requests(served: Served) -> None:
    one = request("/", body=b"abc", close=False)
    heard = await served.say(one, one + one, request("/", body=b"last"))
    assert heard.count(b"HTTP/1.1 200 OK") == 4
    assert heard.endswith(b"4")
    assert b"\r\ndate: " in heard and b"server:" not in heard.lower()


@pytest.mark.parametrize(
    "parts",
    [
        [request("/" + "a" * server.MAX_HEAD)],
        [request("/", "X: " + "a" * server.MAX_HEAD)],
        [request("/", *(f"X-{n}: {'a' * 20}" for n in range(2_000)))],
        [b"POST /", *[b"a" * 8_000] * 9],
        [b"POST / HTTP/1.1\r\nX: ", *[b"a" * 8_000] * 9],
        [b"POST / HTTP/1.1\r\n", *[b"X: a\r\n" * 1_000] * 9],
    ],
    ids=["address", "value", "many", "endless address", "endless value", "endless headers"],
)
async def test_a_long_head_is_refused(served: Served, parts: list[bytes]) -> None:
    heard = await served.say(*parts)
    assert heard.startswith(b"HTTP/1.1 431 ")
    assert heard.count(b"HTTP/1.1") == 1
    assert not served.scopes


async def test_a_head_within_bounds_is_heard(served: Served) -> None:
    heard = await served.say(request("/", "X: " + "a" * 30_000, body=b"b" * 200_000))
    assert heard.startswith(b"HTTP/1.1 200 ") and heard.endswith(b"200000")


async def test_what_is_no_request_is_refused_in_words(served: Served) -> None:
    heard = await served.say(b"\x16\x03\x01 tls?\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert heard.endswith(b"This is not an HTTP request.")
    heard = await served.say(b"POST / HTTP/1.1\r\nno header\r\n" + b"a" * 40_000)
    assert heard.startswith(b"HTTP/1.1 400 ") and heard.count(b"HTTP/1.1 ") == 1


async def test_fields_after_a_chunked_body_are_no_headers(served: Served) -> None:
    chunks = b"3\r\nabc\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\nHost: evil.example\r\n\r\n"
    head = request("/", "Transfer-Encoding: chunked")
    assert (await served.say(head + chunks)).endswith(b"3")
    assert (await served.say(head, chunks)).endswith(b"3")
    for scope in served.scopes:
        names = [name for name, _ in scope["headers"]]
        assert names == [b"host", b"transfer-encoding", b"connection"]


@pytest.mark.parametrize(
    ("first", "dripped"),
    [(b"", b""), (b"", b"\r\n"), (b"POST / HTTP/1.1\r\nX: ", b"a")],
    ids=["silent", "lines", "letters"],
)
async def test_a_head_that_does_not_end_ends_the_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch, first: bytes, dripped: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    reader, writer = await served.open()
    started = asyncio.get_running_loop().time()
    writer.write(first)
    await _drip(reader, writer, dripped)
    assert asyncio.get_running_loop().time() - started >= 0.25
    writer.close()


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dripped: bytes) -> None:
    """Send a little every twentieth of a second until the server closes; no answer may come."""
    async with asyncio.timeout(3):
        while True:
            try:
                writer.write(dripped)
                async with asyncio.timeout(0.05):
                    assert await reader.read(100) == b""
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return


async def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for_long(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    reader, writer = await served.open()
    head = request("/unread", close=False).replace(b"Length: 0", b"Length: 9000000")
    writer.write(head)
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n0")
    await _drip(reader, writer, b"drip")
    writer.close()


async def test_a_slow_answer_is_not_cut_off_by_the_time_for_heads(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.1)
    asking = asyncio.create_task(served.say(request("/slow", body=b"abc")))
    await asyncio.sleep(0.4)
    served.hold.set()
    assert (await asking).endswith(b"3")


async def test_stopping_lets_what_is_being_answered_end(served: Served) -> None:
    idle_reader, idle_writer = await served.open()
    asking = asyncio.create_task(served.say(request("/slow", body=b"abc", close=False)))
    while not served.scopes:
        await asyncio.sleep(0.01)
    served.stop.set()
    async with asyncio.timeout(2):
        assert await idle_reader.read() == b""
    with pytest.raises(ConnectionError):
        await served.open()
    await asyncio.sleep(0.4)
    assert not asking.done()
    served.hold.set()
    assert (await asking).endswith(b"3")
    assert served.running is not None
    async with asyncio.timeout(2):
        await served.running
    idle_writer.close()


def test_files_that_are_no_certificate_are_refused(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("a.example")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    context = server.tls_context(str(certificate), str(key))
    assert not {c["protocol"] for c in context.get_ciphers()} - {"TLSv1.2", "TLSv1.3"}
    locked = tmp_path / "locked.pem"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a password"),
        )
    )
    nowhere = tmp_path / "none"
    pairs = ((key, certificate), (certificate, certificate), (nowhere, key), (certificate, locked))
    for pair in pairs:
        with pytest.raises(OSError):
            server.tls_context(*map(str, pair))
