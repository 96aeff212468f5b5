"""What leaves an instance, written down byte by byte, and a search for what must not be in it."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection

# Between the parts of a number that was grouped for reading.
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s.,/()_-]{1,3}(?=\d)")


@dataclass
class Recorder:
    """A TCP proxy: everything that passes, each way of each connection as one text of bytes."""

    port: int
    target: int
    flows: list[bytearray] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def start(self) -> Recorder:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", self.port)
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, onward[1]), self._pass(onward[0], writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flow = bytearray()
        self.flows.append(flow)
        try:
            while data := await reader.read(65_536):
                flow += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


def forms(value: str) -> set[str]:
    """How a value may be written: as it is, backwards, escaped for JSON, HTML and addresses, in
    hexadecimal, in base64 at each of its three places; in lower case where case says nothing."""
    found = {value, value[::-1]}
    for each in tuple(found):
        found |= {
            urllib.parse.quote(each, safe=""),
            urllib.parse.quote_plus(each),
            urllib.parse.quote(urllib.parse.quote(each, safe=""), safe=""),
            json.dumps(each)[1:-1],
            "".join(f"\\u{ord(c):04x}" for c in each),
            "".join(f"&#{ord(c)};" for c in each),
            html.escape(each),
            each.encode().hex(),
        }
    plain = {each.lower() for each in found}
    for place in range(3):
        # What of the base64 depends on this value alone, whatever stands before and behind it.
        packed = base64.b64encode(b"\0" * place + value.encode()).decode()
        core = packed[(place * 8 + 5) // 6 : (place + len(value.encode())) * 8 // 6]
        plain |= {core, core.translate(str.maketrans("+/", "-_"))}
    return plain


def search(haystack: Mapping[str, bytes], secrets: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(where, which secret, in which form) of everything that is found."""
    wanted = {name: forms(value) for name, value in secrets.items()}
    found = []
    for where, data in haystack.items():
        exact = data.decode("utf-8", "replace")
        lower = exact.lower()
        texts = (exact, lower, _BETWEEN_DIGITS.sub("", lower), urllib.parse.unquote_plus(lower))
        for name, spellings in wanted.items():
            found += [
                (where, name, spelling)
                for spelling in spellings
                if any(spelling in text for text in texts)
            ]
    return found


@dataclass
class Visitor:
    """A browser of a person whose own pages are theirs to see: it goes past the recorder."""

    port: int
    host: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> tuple[int, str]:
        return self._ask("GET", path, b"", {})

    def post(self, path: str, fields: Mapping[str, str] | list[tuple[str, str]]) -> tuple[int, str]:
        kind = "application/x-www-form-urlencoded"
        return self._ask("POST", path, urllib.parse.urlencode(fields).encode(), self._from(kind))

    def upload(self, path: str, csrf: str, name: str, data: bytes) -> tuple[int, str]:
        """One file in a form."""
        parts = (
            b'--xx\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n' + csrf.encode()
            + b'\r\n--xx\r\nContent-Disposition: form-data; name="document"; filename="'
            + name.encode() + b'"\r\nContent-Type: image/png\r\n\r\n' + data + b"\r\n--xx--\r\n"
        )  # fmt: skip
        return self._ask("POST", path, parts, self._from("multipart/form-data; boundary=xx"))

    def token(self, page: str) -> str:
        """The token of the forms on a page."""
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        assert found, "the page has no form"
        return html.unescape(found[1])

    def submit(self, page: str, path: str, **fields: str) -> tuple[int, str]:
        return self.post(path, {"csrf": self.token(self.get(page)[1]), **fields})

    def _from(self, kind: str) -> dict[str, str]:
        return {"Content-Type": kind, "Origin": f"http://{self.host}"}

    def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(
                method, path, body, {"Host": self.host, "Cookie": cookies, **headers}
            )
            answer = connection.getresponse()
            for cookie in self._set(answer.getheaders()):
                self.cookies.update(cookie)
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def _set(self, headers: list[tuple[str, str]]) -> Iterator[dict[str, str]]:
        for name, value in headers:
            if name.lower() == "set-cookie":
                pair, _, _ = value.partition(";")
                key, _, content = pair.partition("=")
                yield {key: content}
