"""The only way out: GET of documents, and the POST that ``deliver`` signs.

One ``Fetcher`` lives as long as the process. Every URL, and every redirect, passes the guard; every
answer is bounded in time and in size after decompression; a document is believed only from the
origin its id names (FEP-fe34). No cookies, no proxies from the environment, no redirects followed
by the HTTP client itself.
"""

import asyncio
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from fedidoc.activitypub.addressing import request_url, same_origin
from fedidoc.activitypub.contexts import ACTIVITYSTREAMS
from fedidoc.activitypub.documents import Limits, id_of, parse, types
from fedidoc.activitypub.errors import DocumentError, FetchError
from fedidoc.activitypub.guard import Guard, Lookup, PinnedResolver, Reach
from fedidoc.activitypub.messages import is_activity_type

ACTIVITY_ACCEPT: Final = (
    f'application/activity+json, application/ld+json; profile="{ACTIVITYSTREAMS}"'
)
JSON_ACCEPT: Final = ("application/json", "application/jrd+json")

MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_CONNECTIONS: Final = 256
_MAX_CONNECTIONS_PER_HOST: Final = 8
_MAX_ANSWER_BYTES: Final = 512
_CHUNK: Final = 16_384
_WBITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}

Signer = Callable[[str, str], dict[str, str]]


class Answer(NamedTuple):
    """What a peer said to a POST; its body is not kept."""

    status: int
    headers: Mapping[str, str]
    retry_after: int | None


class _Page(NamedTuple):
    url: str
    content_type: str
    body: bytes
    etag: str | None = None

    @property
    def media_type(self) -> str:
        """The type without its parameters."""
        return self.content_type.partition(";")[0].strip().lower()


class Fetcher:
    """GETs and POSTs within the guard. Close it when the process ends.

    ``sign`` makes the headers of a signed GET from method and URL, with the instance's key; without
    it nothing is signed. Times are seconds. ``lookup`` resolves names in place of the system.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        user_agent: str,
        sign: Signer | None = None,
        connect_timeout: float = 5,
        total_timeout: float = 30,
        lookup: Lookup | None = None,
    ) -> None:
        self._guard = guard
        self._user_agent = user_agent
        self._sign = sign
        self._connect_timeout = connect_timeout
        self._total_timeout = total_timeout
        self._lookup = lookup
        self._sessions: dict[Reach, aiohttp.ClientSession] = {}
        self._tls: ssl.SSLContext | None = None

    async def get_document(
        self,
        url: str,
        *,
        accept: str = ACTIVITY_ACCEPT,
        require_id: bool = True,
        signed: bool = True,
        limits: Limits | None = None,
    ) -> dict[str, Any]:
        """The ActivityStreams document at ``url``.

        Its id is of the origin that served it. With ``require_id`` it is also where the document
        was found: a document that names another address of its origin is fetched from there, since
        anybody may be able to upload a file beside it. Raises FetchError.
        """
        limits = limits or Limits()
        try:
            async with asyncio.timeout(self._total_timeout):
                document = await self._find_document(url, accept, require_id, signed, limits)
        except TimeoutError as error:
            raise _unreachable(error) from error
        if "Tombstone" in types(document):
            raise FetchError("gone", "The document was deleted at its origin.", gone=True)
        return document

    async def _find_document(
        self, url: str, accept: str, require_id: bool, signed: bool, limits: Limits
    ) -> dict[str, Any]:
        page = await self._get(url, accept=accept, signed=signed, max_bytes=limits.max_bytes)
        document = _read_document(page, limits)
        document_id = id_of(document)
        if document_id is None:
            if require_id:
                raise FetchError("id_missing", "The document has no id.")
        elif not same_origin(document_id, page.url):
            raise FetchError("id_foreign", "The document's id is of another server.")
        elif require_id and not _is_at(document_id, url, page.url):
            page = await self._get(
                document_id, accept=accept, signed=signed, max_bytes=limits.max_bytes
            )
            document = _read_document(page, limits)
            if id_of(document) != document_id or not same_origin(document_id, page.url):
                raise FetchError("id_mismatch", "The document is not at the address it names.")
        return document

    async def get_json(
        self,
        url: str,
        accept: tuple[str, ...] = JSON_ACCEPT,
        signed: bool = False,
        limits: Limits | None = None,
    ) -> dict[str, Any]:
        """The JSON object at ``url``, served as one of ``accept``. Raises FetchError."""
        limits = limits or Limits()
        page = await self._get(
            url, accept=", ".join(accept), signed=signed, max_bytes=limits.max_bytes
        )
        if page.media_type not in accept:
            raise _wrong_media_type()
        return _parse(page, limits)

    async def get_bytes(
        self, url: str, *, max_bytes: int, accept: tuple[str, ...], signed: bool = False
    ) -> tuple[bytes, str]:
        """The bytes at ``url`` and their media type, one of ``accept``. Raises FetchError."""
        page = await self._get(url, accept=", ".join(accept), signed=signed, max_bytes=max_bytes)
        if page.media_type not in accept:
            raise _wrong_media_type()
        return page.body, page.media_type

    async def get_changed(
        self, url: str, *, max_bytes: int, accept: tuple[str, ...], etag: str | None
    ) -> tuple[bytes, str | None] | None:
        """The bytes at ``url`` and their entity tag, unsigned; None if they are what ``etag`` names
        (RFC 9110 section 13.1.2). Raises FetchError."""
        conditions = {"If-None-Match": etag} if etag else {}
        try:
            page = await self._get(
                url, accept=", ".join(accept), signed=False, max_bytes=max_bytes, more=conditions
            )
        except FetchError as error:
            if error.status == 304 and etag:
                return None
            raise
        if page.media_type not in accept:
            raise _wrong_media_type()
        return page.body, page.etag

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST ``body`` as it is, following nothing. ``headers`` carry signature and media type.

        ``url`` is sent as ``addressing.request_url`` has it, so sign that. Raises FetchError when
        there is no answer.
        """
        url = _request_url(url)
        _, reach = self._guard.vet(url)
        session = self._session(reach)
        try:
            return await self._post_once(session, url, headers, body)
        except FetchError as error:
            # A peer may close a kept connection just as it is used again; receivers do an activity
            # once, so asking a second time is safe.
            if error.reason != "disconnected":
                raise
            return await self._post_once(session, url, headers, body)

    async def _post_once(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        try:
            async with session.post(
                _encoded(url), headers=headers, data=body, allow_redirects=False
            ) as response:
                if response.content_length != 0:
                    # A short answer is read to its end so that the connection can be kept; a long
                    # one closes it.
                    await response.content.read(_MAX_ANSWER_BYTES)
                return Answer(
                    response.status,
                    response.headers,
                    _retry_after(response.headers.get("Retry-After")),
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _unreachable(error) from error

    async def _get(
        self,
        url: str,
        *,
        accept: str,
        signed: bool,
        max_bytes: int,
        more: Mapping[str, str] | None = None,
    ) -> _Page:
        """Follow at most three redirects, each vetted and signed anew. ``more`` are
        further headers."""
        seen: set[str] = set()
        redirected = False
        try:
            async with asyncio.timeout(self._total_timeout):
                for _ in range(MAX_REDIRECTS + 1):
                    url = _request_url(url)
                    if url in seen:
                        raise FetchError("redirect_loop", "The address redirects in a circle.")
                    seen.add(url)
                    _, reach = self._guard.vet(url, redirected=redirected)
                    found = await self._get_once(url, reach, accept, signed, max_bytes, more or {})
                    if isinstance(found, _Page):
                        return found
                    target = _request_url(urljoin(url, found))
                    if url.startswith("https:") and target.startswith("http:"):
                        raise FetchError("redirect_downgrade", "The address redirects to http.")
                    redirected = redirected or not same_origin(url, target)
                    url = target
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _unreachable(error) from error
        raise FetchError("too_many_redirects", "The address redirects too often.")

    async def _get_once(
        self,
        url: str,
        reach: Reach,
        accept: str,
        signed: bool,
        max_bytes: int,
        more: Mapping[str, str],
    ) -> _Page | str:
        """One GET: the page, or where it redirects to."""
        headers = {"Accept": accept, "Accept-Encoding": "gzip", **more}
        if signed and self._sign is not None:
            headers.update(self._sign("GET", url))
        async with self._session(reach).get(
            _encoded(url), headers=headers, allow_redirects=False
        ) as response:
            if response.status in _REDIRECTS:
                locations = response.headers.getall("Location", [])
                if len(locations) != 1:
                    raise FetchError("bad_redirect", "The address redirects to nowhere.")
                return locations[0]
            if response.status != 200:
                raise _refused_by(response.status)
            body = await _read_body(response, max_bytes)
            return _Page(url, _content_type(response), body, response.headers.get("ETag"))

    def _session(self, reach: Reach) -> aiohttp.ClientSession:
        if reach is Reach.PEERS and not (
            self._guard.private_networks or self._guard.allow_plain_http
        ):
            reach = Reach.PUBLIC  # the same addresses, so the same connections
        session = self._sessions.get(reach)
        if session is None:
            self._tls = self._tls or self._guard.tls()
            connector = aiohttp.TCPConnector(
                resolver=PinnedResolver(self._guard, reach, self._connect_timeout, self._lookup),
                ssl=self._tls,
                limit=_MAX_CONNECTIONS,
                limit_per_host=_MAX_CONNECTIONS_PER_HOST,
                ttl_dns_cache=30,
            )
            session = self._sessions[reach] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=self._total_timeout, sock_connect=self._connect_timeout
                ),
                headers={"User-Agent": self._user_agent},
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type"),
                auto_decompress=False,
                trust_env=False,
            )
        return session

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()


@lru_cache(maxsize=2048)
def _encoded(url: str) -> URL:
    return URL(url, encoded=True)


def _request_url(url: str) -> str:
    try:
        return request_url(url)
    except DocumentError as error:
        raise FetchError("bad_url", "The address is not a plain https URL.") from error


def _is_at(document_id: str, *urls: str) -> bool:
    wanted = _request_url(document_id)
    return any(_request_url(url) == wanted for url in urls)


def _read_document(page: _Page, limits: Limits) -> dict[str, Any]:
    if not is_activity_type(page.content_type):
        raise _wrong_media_type()
    return _parse(page, limits)


def _parse(page: _Page, limits: Limits) -> dict[str, Any]:
    try:
        return parse(page.body, limits)
    except DocumentError as error:
        raise FetchError(error.reason, error.text) from error


def _content_type(response: aiohttp.ClientResponse) -> str:
    """The media type as it was sent; empty for a download, which somebody uploaded."""
    values = response.headers.getall("Content-Type", [])
    disposition = response.headers.get("Content-Disposition", "inline")
    if len(values) != 1 or disposition.partition(";")[0].strip().lower() == "attachment":
        return ""
    return values[0]


async def _read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body, decompressed, never more than ``max_bytes`` at any moment."""
    if (response.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    encoding = ", ".join(response.headers.getall("Content-Encoding", [])).strip().lower()
    if encoding in ("", "identity"):
        inflate = None
    elif encoding in _WBITS:
        inflate = zlib.decompressobj(_WBITS[encoding])
    else:
        raise FetchError("bad_encoding", "The answer is compressed in a way that is not accepted.")
    body = bytearray()
    received = 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        received += len(chunk)
        try:
            body += inflate.decompress(chunk, max_bytes + 1 - len(body)) if inflate else chunk
        except zlib.error as error:
            raise FetchError("bad_encoding", "The answer is not compressed as it says.") from error
        if len(body) > max_bytes or received > max_bytes:
            raise _too_large(max_bytes)
    if inflate is not None and not inflate.eof:
        raise FetchError("bad_encoding", "The answer is cut short.", transient=True)
    return bytes(body)


def _retry_after(value: str | None) -> int | None:
    """Seconds to wait (RFC 9110 section 10.2.3), from a number or a date."""
    if value is None:
        return None
    if value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    try:
        return max(0, int(parsedate_to_datetime(value).timestamp() - time.time()))
    except (ValueError, OverflowError):
        return None


def _refused_by(status: int) -> FetchError:
    transient = status in (408, 425, 429) or 500 <= status != 501
    return FetchError(
        f"status_{status}",
        "The other server did not give the document.",
        transient=transient,
        status=status,
        gone=status in (404, 410),
    )


def _too_large(max_bytes: int) -> FetchError:
    return FetchError("too_large", f"The answer is larger than {max_bytes} bytes.")


def _wrong_media_type() -> FetchError:
    return FetchError(
        "wrong_media_type", "The answer is not of a media type that is accepted here."
    )


def _unreachable(error: Exception) -> FetchError:
    """The error of the HTTP client in our words; trying later may help with nearly all of them."""
    match error:
        case aiohttp.InvalidURL():
            return FetchError("bad_url", "The address is not a plain https URL.")
        case TimeoutError():
            reason, text = "timeout", "The other server took too long."
        case aiohttp.ClientConnectorDNSError():
            reason, text = "name_unknown", "The other server's name could not be resolved."
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            reason, text = "tls", "No trustworthy connection to the other server."
        case aiohttp.ClientConnectorError():
            reason, text = "unreachable", "The other server could not be reached."
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            reason, text = "disconnected", "The other server closed the connection."
        case _:
            reason, text = "bad_answer", "The other server's answer could not be read."
    return FetchError(reason, text, transient=True)
