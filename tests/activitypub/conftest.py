"""A peer on loopback that answers exactly the bytes a test wants, slowly or wrongly if need be."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

ACTIVITY_JSON = "application/activity+json"


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """``answers`` by path; every request is kept in ``asked``."""

    port: int = 0
    scheme: str = "http"
    name: str = "127.0.0.1"
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0

    @property
    def host(self) -> str:
        return f"{self.name}:{self.port}"

    def url(self, path: str) -> str:
        return f"{self.scheme}://{self.host}{path}"

    def serve(self, path: str, document: dict[str, Any], media_type: str = ACTIVITY_JSON) -> str:
        """Serve ``document`` at ``path``, its id filled in; the URL."""
        document = {"id": self.url(path), **document}
        self.answers[path] = answer(json.dumps(document).encode(), media_type)
        return self.url(path)

    def redirect(self, path: str, location: str, status: int = 302) -> str:
        self.answers[path] = answer(b"", status=status, Location=location)
        return self.url(path)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await _read_head(reader):
                first, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.asked.append(Asked(method, target, headers, body))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                found = self.answers.get(target, answer(b"", status=404))
                try:
                    if callable(found):
                        await found(writer)
                        return
                    writer.write(found)
                    await writer.drain()
                finally:
                    self.at_once -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def answer(body: bytes, media_type: str | None = None, status: int = 200, **headers: str) -> bytes:
    """The bytes of an HTTP answer; ``_`` in header names stands for ``-``."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    if media_type is not None:
        lines.append(f"Content-Type: {media_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


StartPeer = Callable[..., Awaitable[Peer]]


@pytest.fixture
async def start_peer() -> AsyncIterator[StartPeer]:
    """Start peers: ``await start_peer()``, or with ``tls`` and the ``name`` it is called by."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(tls: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Peer:
            peer = Peer(scheme="https" if tls else "http", name=name)
            server = await asyncio.start_server(peer.handle, "127.0.0.1", 0, ssl=tls)
            stack.callback(server.close)
            peer.port = server.sockets[0].getsockname()[1]
            return peer

        yield start


@pytest.fixture
async def peer(start_peer: StartPeer) -> Peer:
    """One peer over plain HTTP."""
    return await start_peer()
