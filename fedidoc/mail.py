"""The mail room: letters to members, queued in the transaction of their cause, sent by jobs.

    room = MailRoom(db, clock, vault, Postbox(config.mail, config.folder, "St. Olaf Hospital"))
    await room.put(tx, "g.okafor@st-olaf.example", "Subject", "Words.", expires=…)

A letter is plain text (RFC 5322), holds no clinical text, and is sealed until it is sent; then it
is gone. A server that is away or asks to come again (4xx, greylisting) is tried for a day, less and
less often. A process that dies between the server's "taken" and our note of it sends the letter
again, under the same Message-ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from pathlib import Path
from typing import Final

import aiosmtplib

from fedidoc.clock import DAY, MINUTE, Clock
from fedidoc.config import Mail
from fedidoc.errors import BadInput, ConfigError, FedidocError
from fedidoc.log import Log
from fedidoc.storage import mails, queues
from fedidoc.storage.engine import Database, Row, Transaction
from fedidoc.vault import Vault

QUEUE: Final = "mail"

_PAUSES: Final = tuple(minutes * MINUTE for minutes in (1, 5, 15, 30, 60, 120, 240))
_STEP_SECONDS: Final = 30  # for each answer of the server (RFC 5321 4.5.3.2 would wait longer)
_WHOLE_SECONDS: Final = 120
_AT_ONCE: Final = 4
_MOST_TEXT: Final = 20_000


class MailTrouble(FedidocError):
    """A letter was not taken. `reason` is safe for logs and rows; `lasting`: never try again."""

    status = 503

    def __init__(self, text: str, reason: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent to one address. `id` makes the Message-ID; `written` is UTC milliseconds."""

    id: str
    to: str
    subject: str
    text: str
    written: int


def compose(letter: Letter, *, sender: str, name: str) -> bytes:
    """A letter as RFC 5322 bytes, 7-bit, with CRLF; BadInput if an address or the subject could
    make more headers than one, or is no address."""
    for line in (letter.to, sender, letter.subject, name):
        if not line.isprintable():
            raise BadInput("An address and a subject are one line each.")
    if not letter.to.isascii() or not sender.isascii() or len(letter.text) > _MOST_TEXT:
        raise BadInput("This cannot be sent as mail.")
    message = EmailMessage(policy=WIRE)
    try:
        message["From"] = Address(name, addr_spec=sender)
        message["To"] = Address(addr_spec=letter.to)
        message["Subject"] = letter.subject
    except (ValueError, IndexError, MessageError):
        # What the parser raises for what is no address is not one family.
        raise BadInput("This is not an e-mail address; check it.") from None
    message["Date"] = datetime.fromtimestamp(letter.written // 1000, UTC)
    message["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2]}>"
    # RFC 3834: so that no out-of-office note answers.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text, charset="utf-8", cte="quoted-printable")
    return message.as_bytes()


class Postbox:
    """The one mail server of the configuration. Opens a connection for each letter."""

    def __init__(self, settings: Mail, folder: Path, name: str) -> None:
        self._settings = settings
        self._folder = folder
        self._name = "".join(c for c in name if c.isprintable())

    @property
    def exists(self) -> bool:
        """Whether mail can be sent at all."""
        return bool(self._settings.host)

    @property
    def server(self) -> str:
        return f"{self._settings.host} port {self._settings.port}"

    async def send(self, letter: Letter) -> None:
        """Hand one letter over; MailTrouble if the server did not take it, BadInput if it is no
        letter. Returning means that the server answers for it from now on."""
        sender = self._settings.sender
        message = compose(letter, sender=sender, name=self._name)
        async with self._connected() as client:
            await client.sendmail(sender, [letter.to], message)

    async def greet(self) -> None:
        """Connect, encrypt and log in as for a letter, and leave; MailTrouble says what failed."""
        async with self._connected():
            pass

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username or None,
            password=settings.password or None,
            # The name after EHLO: the sender's domain, and not what this machine is called.
            local_hostname=settings.sender.rpartition("@")[2],
            timeout=_STEP_SECONDS,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=self._tls() if settings.security != "none" else None,
        )
        try:
            async with asyncio.timeout(_WHOLE_SECONDS):
                await client.connect()
                yield client
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError, ValueError) as error:
            raise _trouble(error) from error
        finally:
            # What was taken is taken: how the connection ends is of no interest.
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                if client.is_connected:
                    await client.quit(timeout=5)
            client.close()

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._settings.ca_file:
            try:
                context.load_verify_locations(cafile=self._folder / self._settings.ca_file)
            except (OSError, ssl.SSLError):
                raise ConfigError("[mail] ca_file cannot be read; it must be PEM.") from None
        return context


def _trouble(error: Exception) -> MailTrouble:
    """A library's error in our own words. Its text may quote what was sent, so none of it is kept.

    Lasting is what another try cannot mend: this recipient or this letter refused for good. All
    else may be the configuration or the weather.
    """
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[refused, *_]):
            return _refused("recipient", refused.code)
        case aiosmtplib.SMTPAuthenticationError(code=code):
            return MailTrouble(
                f"The mail server refused the log-in ({code}); check [mail] username and password.",
                "login_refused",
            )
        case aiosmtplib.SMTPSenderRefused(code=code):
            return MailTrouble(
                f"The mail server takes nothing from [mail] sender ({code}).", f"sender_{code}"
            )
        case aiosmtplib.SMTPDataError(code=code):
            return _refused("letter", code)
        case aiosmtplib.SMTPResponseException(code=code):
            return MailTrouble(
                f"The mail server is not ready ({code}); try again later.", f"server_{code}"
            )
        case aiosmtplib.SMTPException() if not isinstance(error, OSError):
            return MailTrouble(
                "The mail server offers no STARTTLS or no log-in; check [mail] security.",
                "not_offered",
            )
        case ssl.SSLError():
            return _no_tls()
        case aiosmtplib.SMTPConnectError() if isinstance(error.__cause__, ssl.SSLError):
            return _no_tls()
        case TimeoutError():
            return MailTrouble("The mail server took too long to answer.", "timeout")
        case ValueError():
            return MailTrouble("This is no address that mail can go to.", "address", lasting=True)
    return MailTrouble(
        "The mail server cannot be reached; check [mail] host and port.", "unreachable"
    )


def _no_tls() -> MailTrouble:
    return MailTrouble(
        "The mail server's certificate does not hold; check [mail] host and ca_file.", "tls"
    )


def _refused(what: str, code: int) -> MailTrouble:
    lasting = code >= 500
    words = "for good" if lasting else "for now"
    return MailTrouble(
        f"The mail server refused this {what} {words} ({code}).", f"{what}_{code}", lasting=lasting
    )


class MailRoom:
    """Letters between the transaction that wants them and the server that takes them."""

    def __init__(self, db: Database, clock: Clock, vault: Vault, postbox: Postbox) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._postbox = postbox
        self._log = Log("mail")
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def open(self) -> bool:
        """Whether mail can be sent at all: without a server nothing is queued."""
        return self._postbox.exists

    async def put(
        self, tx: Transaction, to: str, subject: str, text: str, *, expires: int | None = None
    ) -> None:
        """Queue a letter in the transaction of its cause; for a day, or until `expires` (ms)."""
        now = self._clock.now()
        id = self._clock.random_id()
        sealed = json.dumps({"to": to, "subject": subject, "text": text}).encode()
        await mails.put(
            tx, id, self._vault.seal(sealed, _purpose(id)), now=now,
            expires=min(expires or now + DAY, now + DAY),
        )  # fmt: skip

    async def work(self, rows: Sequence[Row]) -> None:
        """Send claimed rows, and settle each: sent, put off, or given up."""
        done = await asyncio.gather(*(self._post(row) for row in rows), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result

    async def _post(self, row: Row) -> None:
        id, sealed = str(row["id"]), bytes(row["sealed"])
        trouble: MailTrouble | None = None
        if sealed:  # an emptied row was given up, and somebody had it tried again
            async with self._turns:
                trouble = await self._try(id, sealed, int(row["created"]))
        now = self._clock.now()
        again = now + _pause(int(row["attempts"]))
        async with self._db.transaction() as tx:
            if trouble is None:
                await mails.empty(tx, id)
                await queues.finish(tx, QUEUE, [id], now)
            elif trouble.lasting or again >= int(row["expires"]):
                await mails.empty(tx, id)
                await queues.bury(tx, QUEUE, id, trouble.reason)
            else:
                await queues.retry(tx, QUEUE, id, again, trouble.reason)
        if trouble is not None:
            self._log.info("mail_put_off", job=id, reason=trouble.reason, attempts=row["attempts"])

    async def _try(self, id: str, sealed: bytes, written: int) -> MailTrouble | None:
        if not self._postbox.exists:
            return MailTrouble("No mail server is set.", "no_server")
        fields = json.loads(self._vault.open(sealed, _purpose(id)))
        try:
            await self._postbox.send(Letter(id, written=written, **fields))
        except MailTrouble as trouble:
            return trouble
        except BadInput:
            return MailTrouble("This is no letter.", "address", lasting=True)
        return None


def _pause(attempts: int) -> int:
    """How long a letter rests after its `attempts`th try (ms)."""
    return _PAUSES[min(max(attempts, 1), len(_PAUSES)) - 1]


def _purpose(id: str) -> str:
    return f"mail {id}"
