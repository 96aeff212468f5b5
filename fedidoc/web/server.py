"""The HTTP server under the application: uvicorn on httptools, with bounds of our own.

uvicorn bounds neither the size of a request's head nor the time that it takes, and counts the
fields that follow a chunked body among the headers. Strangers would have memory, connections and
headers that no proxy saw; so each connection here ends that first. Bodies are bounded where they
are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fedidoc.web.protocol import App

MAX_HEAD: Final = 32_768
"""Most bytes of a request's address and headers."""
HEAD_SECONDS: Final = 20.0
"""How long a head may take, from its first byte or the beginning of the connection."""
_KEEP_ALIVE_SECONDS: Final = 75
_GRACE_SECONDS: Final = 5
_BACKLOG: Final = 512


async def serve(
    application: App,
    listener: socket.socket,
    stop: asyncio.Event,
    *,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Answer on a bound socket until `stop` is set, then let what is being answered end, for five
    seconds at the most. Sends the application no lifespan. Closes the socket."""
    config = uvicorn.Config(
        application,
        http=_Connection,
        ws="none",
        lifespan="off",
        # Through the root logger, whose formatter keeps only where a message came from.
        log_config=None,
        access_log=False,
        # Whom a proxy speaks for is decided by `protocol`, from the operator's list.
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    config.load()
    config.ssl = tls
    await _Server(config, stop).serve(sockets=[listener])


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS 1.2 and later with the certificate chain and key of two PEM files. Raises OSError
    (`ssl.SSLError` among it) if they are not that."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key, password="")
    return context


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def main_loop(self) -> None:
        while not self._stop.is_set():
            await self.on_tick(0)  # sets the Date header
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's: it sets `stop`."""
        yield


class _HeadTooLong(Exception):
    """Ends the parsing of a request."""


class _Connection(HttpToolsProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = False
        self._head_size = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._drop_deadline()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self.send_400_response("")
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            # What comes is no request yet, or the rest of a body that nobody waits for.
            self._set_deadline()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_size = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # after it, they are trailers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_size = len(self.url) + sum(len(n) + len(v) for n, v in self.headers)
        if self._head_size > MAX_HEAD:
            raise _HeadTooLong
        if self._deadline is not None:
            self._drop_deadline()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, once."""
        if self.transport.is_closing():
            return
        line, text = b"400 Bad Request", b"This is not an HTTP request."
        if self._head_size > MAX_HEAD:
            line = b"431 Request Header Fields Too Large"
            text = b"The address and the headers are too long."
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (line, len(text), text)
        )
        self.transport.close()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
