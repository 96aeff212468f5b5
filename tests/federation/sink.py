"""A peer that is only an inbox: it answers what it is told to and keeps what it got."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from fedidoc.clock import Clock
from fedidoc.model import ActorKind, FollowState
from fedidoc.storage import actors, follows
from fedidoc.storage.actors import RemoteProfile
from fedidoc.storage.follows import Follow
from tests.federation.network import Node
from tests.instance import free_port


@dataclass
class Got:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Sink:
    """`answers` are (status, extra header lines) for the next requests, 202 when there are none."""

    port: int = field(default_factory=free_port)
    got: list[Got] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    _server: asyncio.Server | None = None

    @property
    def domain(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.domain}"

    @property
    def types(self) -> list[str]:
        return [each.document["type"] for each in self.got]

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (ln.partition(":") for ln in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.got.append(Got(first.split(" ")[1], headers, body))
            status, more = self.answers.pop(0) if self.answers else (202, "")
            answer = f"HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
            writer.write(answer.encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def add_follower(self, node: Node, followed_id: str, name: str = "eve") -> str:
        """Make somebody here a follower of a member there, as if all had been asked and accepted;
        their actor's internal id."""
        uri = f"{self.url}/users/{name}"
        profile = RemoteProfile(
            uri=uri, kind=ActorKind.PERSON, username=name, host=self.domain,
            handle_confirmed=True, name=name, summary_html="", inbox=f"{uri}/inbox",
            shared_inbox=None, outbox=None, followers=None, following=None, url=None,
            icon_url=None, approves_follows=False, discoverable=True, credential_url=None,
        )  # fmt: skip
        async with node.db.transaction() as tx:
            actor = await actors.upsert_remote(tx, node.clock, profile)
            follow_id = Clock().random_id()
            await follows.put(
                tx,
                Follow(
                    follow_id, f"{uri}#{follow_id}", actor.id, followed_id, FollowState.ACCEPTED, 1
                ),
            )
        return actor.id
