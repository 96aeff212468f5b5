"""Where other servers knock: inboxes, actors, objects, discovery. Plain ASGI, below the pages.

What is not for servers goes on to the next application. Nothing here knows what a document says:
`federation` answers with bytes, and this module with HTTP.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import parse_qs

from fedidoc.clock import MINUTE, Clock
from fedidoc.errors import FedidocError
from fedidoc.federation.bounded import Allowance
from fedidoc.federation.inbox import Inbox
from fedidoc.federation.reading import JSON, NOWHERE, Answer, Reading
from fedidoc.federation.urls import Urls
from fedidoc.log import Log, cause_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]

MAX_BODY: Final = 1 << 20
BODY_SECONDS: Final = 20.0
_MAX_TARGET: Final = 4_096
_MAX_CURSOR: Final = 64

# A stranger's failed posts and lookups, a minute; peers whose signatures hold are not counted.
_FAILURES_A_MINUTE: Final = 600
_LOOKUPS_A_MINUTE: Final = 600

# A name or an address, as a Host header has it; empty as HTTP/1.0 may leave it.
_HOST: Final = re.compile(
    r"((?:[A-Za-z0-9_-]{1,63}\.){0,126}[A-Za-z0-9_-]{1,63}\.?|\[[0-9A-Fa-f:.]{2,45}\])?(:[0-9]{0,5})?"
)

_USERNAME: Final = r"(?P<username>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})"
_ID: Final = r"(?P<id>[0-9A-Za-z_-]{1,64})"
_INBOX: Final = re.compile(rf"/inbox|/users/{_USERNAME}/inbox")
_OPEN: Final = re.compile(
    r"/actor(?P<outbox>/outbox)?|/nodeinfo/(?P<nodeinfo>2\.[01])|/ns/(?P<credentials>credentials/)?v1"
    r"|(?P<trust>/trust-list)(?:/(?P<sequence>[1-9][0-9]{0,14}))?"
    r"|/\.well-known/(?:webfinger|nodeinfo|host-meta)"
)
_ACTOR: Final = re.compile(rf"/users/{_USERNAME}")
_SIGNED: Final = re.compile(
    rf"/users/{_USERNAME}/(?P<list>followers|following|outbox)"
    rf"|/objects/{_ID}(?P<context>/context)?"
    r"|/(?P<log>activities|follows|likes|announces|offers|accepts)/[0-9A-Za-z_-]{1,64}"
    r"|/credentials/status/(?P<status>1)|/credentials/(?P<credential>[0-9A-Za-z_-]{1,64})"
    r"|/media/(?P<file>[0-9A-Za-z_-]{1,80}\.[a-z0-9]{1,5})"
)
_OURS: Final = ("/inbox", "/users/", "/objects/", "/activities/", "/follows/", "/likes/",
                "/announces/", "/offers/", "/accepts/", "/credentials/", "/actor", "/nodeinfo/",
                "/ns/", "/.well-known/webfinger", "/.well-known/nodeinfo", "/.well-known/host-meta",
                "/collections/", "/trust-list")  # fmt: skip


# Every header costs the server time for every activity: the peer reads the status and no more.
_ACCEPTED: Final = {
    "type": "http.response.start",
    "status": 202,
    "headers": ((b"content-length", b"0"),),
}
_NO_BODY: Final = {"type": "http.response.body", "body": b""}


class _Disconnected(Exception):
    """The client went away before its request was whole."""


class _Refusal(Exception):
    def __init__(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class Protocol:
    """`Protocol(...)(scope, receive, send)`: an ASGI application in front of another."""

    def __init__(
        self,
        inbox: Inbox,
        reading: Reading,
        urls: Urls,
        clock: Clock,
        following: App,
        *,
        trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = (),
    ) -> None:
        self._inbox = inbox
        self._reading = reading
        self._urls = urls
        self._clock = clock
        self._next = following
        self._proxies = trusted_proxies
        self._failures: Allowance[str] = Allowance(_FAILURES_A_MINUTE, MINUTE)
        self._lookups: Allowance[str] = Allowance(_LOOKUPS_A_MINUTE, MINUTE)
        default = "443" if urls.base.startswith("https:") else "80"
        self._names = frozenset((urls.authority, f"{urls.authority}:{default}"))
        self._log = Log("protocol")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})  # nobody speaks it here
            return
        try:
            if self._is_ours(scope):
                await self._handle(scope, receive, send)
                return
            _check_page_head(scope)
        except _Disconnected:
            return
        except _Refusal as refusal:
            await _send(send, _error(refusal.status, str(refusal)), scope, refusal.headers)
        except FedidocError as error:
            self._log.warning("failed", cause=cause_of(error), status=error.status)
            await _send(send, _error(error.status, error.text), scope)
        else:
            await self._next(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path.startswith("/media/"):
            # The same pictures are shown to members, who have a session and no signature.
            return any(name == b"signature" for name, _ in scope["headers"])
        return path.startswith(_OURS)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, target, headers = self._read_head(scope)
        method: str = scope["method"]
        inbox = _INBOX.fullmatch(path)
        if inbox is not None:
            if method != "POST":
                raise _Refusal(405, "An inbox takes only POST.", (b"allow", b"POST"))
            await self._receive(scope, receive, send, target, headers, inbox["username"])
            return
        if method not in ("GET", "HEAD"):
            raise _Refusal(405, "This address takes only GET.", (b"allow", b"GET, HEAD"))
        if page := self._page_for(path, headers):
            await _redirect(send, scope, page)
            return
        answer = await self._answer(scope, path, target, headers)
        await _send(send, _unless_known(answer, headers), scope)

    def _read_head(self, scope: Scope) -> tuple[str, str, Headers]:
        """Path, path with query, and headers, as they stood in the request."""
        try:
            raw: bytes = scope.get("raw_path") or scope["path"].encode("ascii")
            path = raw.partition(b"?")[0].decode("ascii")
            query = scope["query_string"].decode("ascii")
        except UnicodeError:
            raise _Refusal(400, "The address is not plain ASCII.") from None
        target = f"{path}?{query}" if query else path
        if len(target) > _MAX_TARGET:
            raise _Refusal(414, "The address is too long.")
        headers = tuple(
            [
                (name.decode("latin-1").lower(), value.decode("latin-1").strip())
                for name, value in scope["headers"]
            ]
        )
        hosts = [value.lower() for name, value in headers if name == "host"]
        # What was signed for another name must not pass here because a proxy sends all to us.
        if len(hosts) != 1 or hosts[0] not in self._names:
            raise _Refusal(421, "This server does not answer for that host.")
        return path, target, headers

    # POST -------------------------------------------------------------------------------------

    async def _receive(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        target: str,
        headers: Headers,
        username: str | None,
    ) -> None:
        address = self._address(scope, headers)
        now = self._clock.now()
        braked = not self._failures.has(address, now)
        if braked and not self._inbox.names_a_peer("POST", target, headers):
            wait = str(-(-self._failures.wait_ms // 1000)).encode()
            raise _Refusal(
                429, "Too many requests were refused; wait a minute.", (b"retry-after", wait)
            )
        body = await _read_body(receive, headers)
        reply = await self._inbox.accept("POST", target, headers, body, username=username)
        if reply.status == 202:
            await send(_ACCEPTED)
            await send(_NO_BODY)
            return
        if reply.status < 500:
            self._failures.take(address, now)
        await _send(send, _error(reply.status, reply.text), scope)

    # GET --------------------------------------------------------------------------------------

    def _page_for(self, path: str, headers: Headers) -> str | None:
        """The page that a browser wants where a server would get a document."""
        if not _wants_page(headers):
            return None
        if actor := _ACTOR.fullmatch(path):
            return f"/@{actor['username']}"
        if path == "/trust-list":
            return "/trust"
        found = _SIGNED.fullmatch(path)
        if found and found["id"] and not found["context"]:
            return f"/cases/{found['id']}"
        return None

    async def _answer(self, scope: Scope, path: str, target: str, headers: Headers) -> Answer:
        if _OPEN.fullmatch(path):
            return await self._answer_open(scope, path, headers)
        actor, signed = _ACTOR.fullmatch(path), _SIGNED.fullmatch(path)
        if actor is None and signed is None:
            return NOWHERE
        method: str = scope["method"]
        if actor is not None and not any(name == "signature" for name, _ in headers):
            return await self._reading.actor(actor["username"], None)
        reader = await self._reading.authenticate(method, target, headers)
        if isinstance(reader, Answer):
            return reader
        if actor is not None:
            return await self._reading.actor(actor["username"], reader)
        assert signed is not None
        part = signed.groupdict()
        cursors = _cursors(scope)
        if part["list"] == "outbox":
            return await self._reading.outbox(part["username"], reader, cursors.get("before"))
        if part["list"]:
            after = cursors.get("after")
            return await self._reading.follow_list(part["username"], part["list"], reader, after)
        if part["context"]:
            return await self._reading.context(part["id"], reader)
        if part["id"]:
            return await self._reading.post(part["id"], reader)
        if part["log"]:
            return await self._reading.activity(self._urls.base + path, reader)
        if part["status"]:
            return await self._reading.status_list()
        if part["file"]:
            return await self._reading.media(part["file"], reader)
        return await self._reading.credential(part["credential"])

    async def _answer_open(self, scope: Scope, path: str, headers: Headers) -> Answer:
        part = _OPEN.fullmatch(path)
        assert part is not None
        if path == "/actor":
            return await self._reading.instance()
        if part["outbox"]:
            return await self._reading.instance_outbox()
        if part["nodeinfo"]:
            return self._reading.nodeinfo(part["nodeinfo"])
        if part["credentials"]:
            return self._reading.credential_context()
        if path == "/ns/v1":
            return self._reading.namespace()
        if part["trust"]:
            sequence = part["sequence"]
            return await self._reading.trust_list(int(sequence) if sequence else None)
        if path == "/.well-known/nodeinfo":
            return self._reading.nodeinfo_links()
        if path == "/.well-known/host-meta":
            return self._reading.host_meta()
        if not self._lookups.take(self._address(scope, headers), self._clock.now()):
            raise _Refusal(429, "Too many lookups; wait a minute.", (b"retry-after", b"60"))
        resources = _query(scope).get("resource", [])
        if len(resources) != 1:
            raise _Refusal(400, "Ask for one resource, such as acct:name@domain.")
        return await self._reading.webfinger(resources[0])

    # Who --------------------------------------------------------------------------------------

    def _address(self, scope: Scope, headers: Headers) -> str:
        """The client's network address, behind trusted proxies what they say; IPv6 by its /64."""
        client = scope.get("client")
        text: str = client[0] if client else ""
        if self._proxies:
            forwarded = [
                part.strip()
                for name, value in headers
                if name == "x-forwarded-for"
                for part in value.split(",")
            ]
            while forwarded and self._is_proxy(text):
                text = forwarded.pop()
        return _network_of(text[:64])

    def _is_proxy(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(
            network.version == address.version and address in network for network in self._proxies
        )


@lru_cache(maxsize=1024)
def _network_of(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return "unknown"
    return str(int(address) >> 64) if address.version == 6 else str(address)


def _check_page_head(scope: Scope) -> None:
    """Refuse what Quart fails on before any page is asked: it would end the connection."""
    if not scope["path"].startswith("/"):
        raise _Refusal(400, "The address must be a path.")
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1 or any(_HOST.fullmatch(host.decode("latin-1")) is None for host in hosts):
        raise _Refusal(400, "The Host header names no server.")


async def _read_body(receive: Receive, headers: Headers) -> bytes:
    """The whole body, bounded in size and in time."""
    length = next((value for name, value in headers if name == "content-length"), "0")
    if not length.isdigit() or len(length) > 12 or int(length) > MAX_BODY:
        raise _Refusal(413, f"A document may have {MAX_BODY} bytes.", (b"connection", b"close"))
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Disconnected
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > MAX_BODY:
                    raise _Refusal(
                        413, f"A document may have {MAX_BODY} bytes.", (b"connection", b"close")
                    )
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise _Refusal(408, "The body took too long.", (b"connection", b"close")) from None


def _unless_known(answer: Answer, headers: Headers) -> Answer:
    """304 for who has the very same already (RFC 9110 section 13.1.2)."""
    if answer.etag:
        known = ",".join(value for name, value in headers if name == "if-none-match")
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        if answer.etag in tags or "*" in tags:
            return replace(answer, status=304, body=b"")
    return answer


def _wants_page(headers: Headers) -> bool:
    accept = ",".join(value for name, value in headers if name == "accept").lower()
    return (
        "text/html" in accept
        and "application/activity+json" not in accept
        and "application/ld+json" not in accept
    )


def _query(scope: Scope) -> dict[str, list[str]]:
    try:
        return parse_qs(
            scope["query_string"].decode("ascii"), keep_blank_values=True, max_num_fields=16
        )
    except ValueError:
        raise _Refusal(400, "The query of the address cannot be read.") from None


def _cursors(scope: Scope) -> dict[str, str]:
    """Where a page of a collection begins."""
    return {
        name: values[0]
        for name, values in _query(scope).items()
        if len(values) == 1 and len(values[0]) <= _MAX_CURSOR and values[0].isascii()
    }


def _error(status: int, text: str) -> Answer:
    return Answer(status, JSON, json.dumps({"error": text}).encode())


async def _redirect(send: Send, scope: Scope, location: str) -> None:
    headers = ((b"location", location.encode()),)
    await _send(send, Answer(303, "text/plain", b""), scope, headers)


async def _send(
    send: Send, answer: Answer, scope: Scope, more: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """One answer. Only open documents may be kept by anybody on the way."""
    caching = b"public, max-age=300" if answer.open else b"private, no-store"
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", caching),
        (b"vary", b"Accept, Signature"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        *more,
    ]
    if answer.etag:
        headers.append((b"etag", answer.etag.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})
