"""A made-up ActivityPub server for measurements: many hosts on loopback, one RSA key, one sink.

It answers what an instance asks of a peer (actor, WebFinger, NodeInfo), takes whatever is posted to
its inboxes with 202, counts it, and signs what a benchmark sends. It checks nothing: it stands for
the outside world, and its own CPU time is not measured.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fedidoc.activitypub import signatures


class SimulatedPeer:
    """`hosts` are loopback addresses to listen on, all with the same `port`."""

    def __init__(self, hosts: list[str], port: int, software: str = "simulated") -> None:
        self.hosts = hosts
        self.port = port
        self.software = software
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public_pem = (
            self.private.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )
        self.posted: Counter[str] = Counter()
        self.schemes: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        for host in self.hosts:
            self._servers.append(await asyncio.start_server(self._serve, host, self.port))

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    def actor(self, host: str) -> str:
        return f"http://{host}:{self.port}/users/ada"

    def headers(self, host: str, url: str, body: bytes) -> dict[str, str]:
        """Headers of a signed POST (draft-cavage) from the actor of `host`."""
        key = signatures.SigningKey(f"{self.actor(host)}#main-key", self.private)
        return signatures.sign(
            "POST",
            url,
            body,
            key=key,
            scheme=signatures.Scheme.CAVAGE,
            now_ms=int(time.time() * 1000),
            content_type="application/activity+json",
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *rest = head.split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (item.partition(":") for item in rest if item)
                }
                await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = line.split(" ", 2)
                host = headers.get("host", "")
                if method == "POST":
                    self.posted[host] += 1
                    self.schemes["rfc9421" if "signature-input" in headers else "cavage"] += 1
                    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                else:
                    kind, body = self._document(host, path)
                    status = "200 OK" if body else "404 Not Found"
                    writer.write(
                        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n".encode()
                        + body
                    )
                await writer.drain()
        except (
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            asyncio.CancelledError,
            ConnectionError,
        ):
            return
        finally:
            writer.close()

    def _document(self, host: str, path: str) -> tuple[str, bytes]:
        base = f"http://{host}"
        route = path.partition("?")[0]
        if route in ("/users/ada", "/actor"):
            person = route == "/users/ada"
            return "application/activity+json", json.dumps(
                {
                    "@context": [
                        "https://www.w3.org/ns/activitystreams",
                        "https://w3id.org/security/v1",
                    ],
                    "id": base + route,
                    "type": "Person" if person else "Application",
                    "preferredUsername": "ada" if person else host.partition(":")[0],
                    "name": "Ada",
                    "inbox": f"{base}{route}/inbox" if person else f"{base}/inbox",
                    "outbox": f"{base}{route}/outbox",
                    "followers": f"{base}{route}/followers",
                    "endpoints": {"sharedInbox": f"{base}/inbox"},
                    "publicKey": {
                        "id": f"{base}{route}#main-key",
                        "owner": base + route,
                        "publicKeyPem": self.public_pem,
                    },
                }
            ).encode()
        if route == "/.well-known/webfinger":
            user = "ada" if "ada" in path else ""
            return "application/jrd+json", json.dumps(
                {
                    "subject": f"acct:{user or host}@{host}",
                    "links": [
                        {
                            "rel": "self",
                            "type": "application/activity+json",
                            "href": f"{base}/users/ada" if user else f"{base}/actor",
                        }
                    ],
                }
            ).encode()
        if route == "/.well-known/nodeinfo":
            schema = "http://nodeinfo.diaspora.software/ns/schema/2.1"
            links = [{"rel": schema, "href": f"{base}/nodeinfo/2.1"}]
            return "application/json", json.dumps({"links": links}).encode()
        if route == "/nodeinfo/2.1":
            return "application/json", json.dumps(
                {
                    "version": "2.1",
                    "software": {"name": self.software, "version": "1.0.0"},
                    "protocols": ["activitypub"],
                    "services": {"inbound": [], "outbound": []},
                    "openRegistrations": False,
                    "usage": {"users": {}},
                    "metadata": {},
                }
            ).encode()
        return "application/json", b""
