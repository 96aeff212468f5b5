"""The only way to the identity provider: JSON by GET and by a posted form, bounded, no redirects.

The provider's own host is the operator's word, so it may live on the house's network. What its
discovery document names elsewhere may only be where peers may be. No redirect is followed, nothing
compressed is taken, and no answer is larger than 256 KiB.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from fedidoc.accounts.id_tokens import NotBelieved, read_object

MOST_BYTES: Final = 256 * 1024
_SECONDS: Final = 10
_CONNECT_SECONDS: Final = 5


class Away(Exception):
    """The provider did not answer, or not with what was asked for; `reason` is our own word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What may be asked besides the provider's own host: `allows` says it of an address as it is
    written, `resolver` hands out only the addresses of names that may be connected to."""

    allows: Callable[[str], bool]
    resolver: Callable[[], AbstractResolver]


class ProviderHttp:
    """Requests to one provider. Close it when the process ends."""

    def __init__(
        self, issuer: str, elsewhere: Elsewhere, *, user_agent: str, ca_file: str | None = None
    ) -> None:
        self._home = urlsplit(issuer)
        self._elsewhere = elsewhere
        self._user_agent = user_agent
        self._ca_file = ca_file
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def allows(self, url: str) -> bool:
        """Whether an address may be asked at all: https, or http where the issuer is so."""
        try:
            parts = urlsplit(url)
            usable = bool(parts.hostname) and parts.username is None and not parts.fragment
            if parts.port == 0 or not usable or not url.isprintable() or " " in url:
                return False
        except ValueError:
            return False
        if self._is_home(url):
            return True
        return parts.scheme == "https" and self._elsewhere.allows(url)

    def _is_home(self, url: str) -> bool:
        parts = urlsplit(url)
        return (parts.scheme, parts.netloc) == (self._home.scheme, self._home.netloc)

    async def get(self, url: str, *, bearer: str | None = None) -> dict[str, Any]:
        """The JSON object at `url`. Raises Away, also for any status but 200."""
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        answer = await self._ask("GET", url, headers, None)
        if answer.status != 200:
            raise Away(f"status_{answer.status}")
        return answer.body

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        """Status and JSON object for a posted form. Raises Away."""
        sent = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", url, sent, body.encode())

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        if not self.allows(url):
            raise Away("address_refused")
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self._session(self._is_home(url)).request(
                    method,
                    URL(url, encoded=True),
                    headers={"Accept": "application/json", **headers},
                    data=body,
                    allow_redirects=False,
                ) as response,
            ):
                if 300 <= response.status < 400:
                    raise Away("redirected")
                if response.status >= 500:
                    raise Away(f"status_{response.status}")
                return Answer(response.status, await _read(response))
        except NotBelieved as error:
            raise Away(error.reason) from None
        except TimeoutError:
            raise Away("timeout") from None
        except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError):
            raise Away("tls") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise Away("unreachable") from None

    def _session(self, home: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(home)
        if session is None:
            tls = ssl.create_default_context()
            if self._ca_file is not None:
                tls.load_verify_locations(cafile=self._ca_file)
            resolver = None if home else self._elsewhere.resolver()
            session = self._sessions[home] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=tls, limit=32, limit_per_host=16, resolver=resolver
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=_SECONDS, sock_connect=_CONNECT_SECONDS),
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        return session

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()


async def _read(response: aiohttp.ClientResponse) -> dict[str, Any]:
    kind = response.content_type
    if kind != "application/json" and not kind.endswith("+json"):
        raise Away("wrong_media_type")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Away("compressed")
    body = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        body += chunk
        if len(body) > MOST_BYTES:
            raise Away("too_large")
    return read_object(bytes(body))
