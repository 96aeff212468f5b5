"""A real SMTP server on a loopback port (aiosmtpd), which can be told to misbehave."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class MailServer:
    """`letters` are those it took. `answers` are given to RCPT first, one each; "" is a yes.

    `after_data` is called between the letter's last byte and the answer: raise to drop the line.
    """

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    data_answers: list[str] = field(default_factory=list)
    login: tuple[str, str] | None = None
    drop: bool = False
    stall: asyncio.Event | None = None
    reached_data: asyncio.Event = field(default_factory=asyncio.Event)
    smtps: list[SMTP] = field(default_factory=list)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers.pop(0) if self.answers else ""
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.reached_data.set()
        if self.drop:
            assert server.transport is not None
            server.transport.abort()
            return "250 never heard"
        if self.stall is not None:
            await self.stall.wait()
        answer = self.data_answers.pop(0) if self.data_answers else ""
        if answer:
            return answer
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.envelopes.append(envelope)
        self.sessions.append(session)
        return "250 taken"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword) and self.login is not None
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.login, handled=False)


@asynccontextmanager
async def serving(
    server: MailServer | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    login: tuple[str, str] | None = None,
) -> AsyncIterator[MailServer]:
    """A server until the block ends; with `tls` it wants STARTTLS, or TLS from the first byte."""
    server = server or MailServer()
    server.login = login

    def connection() -> SMTP:
        made = SMTP(
            server,
            tls_context=tls if not implicit else None,
            require_starttls=tls is not None and not implicit,
            auth_require_tls=tls is not None and not implicit,
            auth_required=login is not None,
            authenticator=server.authenticate if login else None,
            hostname="mail.test",
            enable_SMTPUTF8=False,
        )
        server.smtps.append(made)
        return made

    listening = await asyncio.get_running_loop().create_server(
        connection, "127.0.0.1", server.port, ssl=tls if implicit else None
    )
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for made in server.smtps:
            if made.transport is not None:
                made.transport.abort()
        await listening.wait_closed()


def certificate(name: str = "localhost") -> tuple[trustme.CA, ssl.SSLContext]:
    """A private authority, and a server's context with a certificate of it for `name`."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return authority, context


@contextmanager
def serving_apart() -> Iterator[MailServer]:
    """A server without TLS in a thread of its own, for tests that are not asynchronous."""
    server, started = MailServer(), threading.Event()
    done: list[Any] = []

    async def serve() -> None:
        end = asyncio.Event()
        done.extend([asyncio.get_running_loop(), end])
        async with serving(server):
            started.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop, end = done
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
