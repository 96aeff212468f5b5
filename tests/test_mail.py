"""Letters, against a real SMTP server that refuses, puts off, drops the line, or is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from fedidoc.clock import DAY, HOUR, MINUTE, FrozenClock
from fedidoc.config import Mail
from fedidoc.errors import BadInput
from fedidoc.jobs import Lane, Runner
from fedidoc.log import Log
from fedidoc.mail import Letter, MailRoom, MailTrouble, Postbox, compose
from fedidoc.storage import queues
from fedidoc.storage.engine import Database
from fedidoc.vault import Vault
from tests.house import KEY
from tests.instance import Instance, free_port
from tests.mailserver import MailServer, certificate, serving

SENDER = "fedidoc@st-olaf.example"
TO = "g.okafor@st-olaf.example"
LETTER = Letter("abc123", TO, "Confirm your address", "Grüße,\nopen the link.\n", 1_790_000_000_000)


def settings(server: MailServer, **changes: object) -> Mail:
    made = Mail(host="localhost", port=server.port, security="none", sender=SENDER)
    return replace(made, **changes)  # type: ignore[arg-type]


def postbox(server: MailServer, folder: Path = Path(), **changes: object) -> Postbox:
    return Postbox(settings(server, **changes), folder, "St. Olaf Hospital")


def body(letter: EmailMessage) -> str:
    return str(letter.get_content()).replace("\r\n", "\n")


# A letter -----------------------------------------------------------------------------------------


def test_a_letter_is_plain_text_of_seven_bits() -> None:
    made = compose(LETTER, sender=SENDER, name="St. Olaf – Hospital")
    head, _, text = made.partition(b"\r\n\r\n")
    assert made.isascii()
    assert b"\n" not in made.replace(b"\r\n", b"")
    assert max(map(len, made.split(b"\r\n"))) <= 998
    assert b"To: g.okafor@st-olaf.example\r\n" in head + b"\r\n"
    assert b"Message-ID: <abc123@st-olaf.example>" in head
    assert b"Auto-Submitted: auto-generated" in head
    assert b'Content-Type: text/plain; charset="utf-8"' in head
    assert b"Gr=C3=BC=C3=9Fe" in text


INJECTIONS = {
    "subject-crlf": {"subject": "Hello\r\nBcc: all@st-olaf.example"},
    "subject-lf": {"subject": "Hello\nBcc: all@st-olaf.example"},
    "subject-separator": {"subject": "Hello\u2028Bcc: x"},
    "to-crlf": {"to": "a@b.example\r\nBcc: c@d.example"},
    "to-nul": {"to": "a\0@b.example"},
    "to-two": {"to": "a@b.example, c@d.example"},
    "to-name": {"to": "Anna <a@b.example>"},
    "to-none": {"to": ""},
    "to-no-domain": {"to": "anna"},
    "to-unicode": {"to": "änna@b.example"},
    "to-group": {"to": "all:a@b.example;"},
    "text-huge": {"text": "x" * 20_001},
}


@pytest.mark.parametrize("changes", INJECTIONS.values(), ids=INJECTIONS.keys())
def test_nothing_makes_a_second_header_or_recipient(changes: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        compose(replace(LETTER, **changes), sender=SENDER, name="St. Olaf")


def test_the_text_cannot_end_the_letter_or_begin_a_header() -> None:
    letter = replace(LETTER, text="one\r\n.\r\nMAIL FROM:<x@y>\nBcc: z@z.example\n")
    made = compose(letter, sender=SENDER, name="St. Olaf")
    head, _, _ = made.partition(b"\r\n\r\n")
    assert b"Bcc" not in head


# The server ---------------------------------------------------------------------------------------


async def test_a_letter_arrives_as_it_was_written() -> None:
    async with serving() as server:
        await postbox(server).send(replace(LETTER, text="one\n.\n..two\n"))
    [letter] = server.letters
    assert body(letter) == "one\n.\n..two\n"
    assert letter["Subject"] == "Confirm your address"
    assert letter["From"] == '"St. Olaf Hospital" <fedidoc@st-olaf.example>'
    assert server.envelopes[0].rcpt_tos == [TO]
    assert server.envelopes[0].mail_from == SENDER
    assert server.sessions[0].host_name == "st-olaf.example"


async def test_starttls_under_a_private_authority(tmp_path: Path) -> None:
    authority, context = certificate()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(tls=context, login=("fedidoc", "s3cret")) as server:
        right = {"security": "starttls", "username": "fedidoc", "password": "s3cret"}
        await postbox(server, tmp_path, **right, ca_file="ca.pem").send(LETTER)
        assert len(server.letters) == 1
        assert server.sessions[0].ssl is not None
        # Without the authority the certificate does not hold, and nothing is said to the server.
        with pytest.raises(MailTrouble, match="certificate") as found:
            await postbox(server, tmp_path, **right).send(LETTER)
        assert found.value.reason == "tls"
        with pytest.raises(MailTrouble, match="log-in") as found:
            await postbox(
                server, tmp_path, **{**right, "password": "wrong"}, ca_file="ca.pem"
            ).send(LETTER)
        assert not found.value.lasting
    assert len(server.letters) == 1


async def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    authority, context = certificate()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(tls=context, implicit=True) as server:
        await postbox(server, tmp_path, security="tls", ca_file="ca.pem").send(LETTER)
        with pytest.raises(MailTrouble, match="certificate"):
            await postbox(server, tmp_path, security="tls").send(LETTER)
    assert len(server.letters) == 1


async def test_a_certificate_of_another_name_does_not_hold(tmp_path: Path) -> None:
    authority, context = certificate("mail.elsewhere.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(tls=context) as server:
        with pytest.raises(MailTrouble, match="certificate"):
            await postbox(server, tmp_path, security="starttls", ca_file="ca.pem").send(LETTER)
    assert server.letters == []


async def test_starttls_is_not_given_up_when_the_server_does_not_offer_it() -> None:
    """Somebody on the way may take the offer out of the server's answer."""
    async with serving() as server:
        with pytest.raises(MailTrouble) as found:
            await postbox(server, security="starttls").send(LETTER)
    assert found.value.reason == "not_offered"
    assert server.letters == []


ANSWERS = {
    "unknown": ("550 5.1.1 no such user", "recipient_550", True),
    "greylisted": ("451 4.7.1 come again", "recipient_451", False),
    "full": ("452 4.2.2 mailbox full", "recipient_452", False),
}


@pytest.mark.parametrize(("answer", "reason", "lasting"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_what_the_server_says_of_a_recipient(answer: str, reason: str, lasting: bool) -> None:
    async with serving(MailServer(answers=[answer])) as server:
        with pytest.raises(MailTrouble) as found:
            await postbox(server).send(LETTER)
    assert (found.value.reason, found.value.lasting) == (reason, lasting)
    assert "user" not in found.value.text


async def test_a_server_that_is_away_or_hangs_up() -> None:
    away = MailServer(port=free_port())
    with pytest.raises(MailTrouble, match="reached"):
        await postbox(away).send(LETTER)
    async with serving(MailServer(drop=True)) as server:
        with pytest.raises(MailTrouble) as found:
            await postbox(server).send(LETTER)
    assert not found.value.lasting


async def test_a_server_that_speaks_another_language() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n" * 50_000)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(MailTrouble) as found:
        await postbox(MailServer(port=port)).send(LETTER)
    assert not found.value.lasting
    listening.close()


# The queue ----------------------------------------------------------------------------------------


class Room:
    """A mail room on a real database, its clock in our hand."""

    def __init__(self, db: Database, server: MailServer) -> None:
        self.db = db
        self.clock = FrozenClock()
        self.vault = Vault.from_text(KEY)
        self.room = MailRoom(db, self.clock, self.vault, postbox(server))
        self.runner = Runner(db, self.clock, Log("jobs"), [Lane("mail", self.room.work)])

    async def put(self, text: str = "Words.", **changes: int) -> None:
        async with self.db.transaction() as tx:
            await self.room.put(tx, TO, "Subject", text, **changes)

    async def rows(self) -> list[tuple[str, int, int, str | None]]:
        rows = await self.db.fetch_all("SELECT * FROM mails ORDER BY created, id")
        return [(r["state"], r["attempts"], len(bytes(r["sealed"])), r["last_error"]) for r in rows]


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with serving() as made:
        yield made


async def test_a_letter_is_sealed_until_it_is_sent_and_then_gone(
    any_database: Database, server: MailServer
) -> None:
    room = Room(any_database, server)
    await room.put("Open the link.")
    [row] = await any_database.fetch_all("SELECT * FROM mails")
    for secret in (b"Open", TO.encode(), b"Subject"):
        assert secret not in bytes(row["sealed"])
    await room.runner.drain()
    assert [body(letter) for letter in server.letters] == ["Open the link.\n"]
    assert await room.rows() == [("done", 1, 0, None)]
    room.clock.advance(8 * DAY)
    async with any_database.transaction() as tx:
        await queues.prune(tx, room.clock.now() - 7 * DAY)
    assert await room.rows() == []


async def test_a_letter_of_a_transaction_that_failed_is_not_sent(
    database: Database, server: MailServer
) -> None:
    room = Room(database, server)
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            await room.room.put(tx, TO, "Subject", "Words.")
            raise RuntimeError
    await room.runner.drain()
    assert server.letters == []


async def test_greylisting_is_waited_out(any_database: Database, server: MailServer) -> None:
    room = Room(any_database, server)
    server.answers = ["451 4.7.1 greylisted", "451 4.7.1 greylisted"]
    await room.put()
    await room.runner.drain()
    assert [row[0] for row in await room.rows()] == ["waiting"]
    room.clock.advance(MINUTE - 1)
    await room.runner.drain()
    assert len(server.answers) == 1, "it came again before its time"
    room.clock.advance(1)
    await room.runner.drain()
    room.clock.advance(5 * MINUTE)
    await room.runner.drain()
    assert len(server.letters) == 1
    assert await room.rows() == [("done", 3, 0, None)]


async def test_a_server_that_is_away_is_tried_for_a_day(database: Database) -> None:
    room = Room(database, MailServer(port=free_port()))
    await room.put()
    for _ in range(30):
        await room.runner.drain()
        [(state, attempts, size, reason)] = await room.rows()
        if state == "dead":
            break
        room.clock.advance(4 * HOUR)
    assert (state, size, reason) == ("dead", 0, "unreachable")
    assert attempts >= 5
    # Somebody has it tried again: there is nothing left to send, and that is no error.
    async with database.transaction() as tx:
        await queues.revive(tx, "mail")
    await room.runner.drain()
    assert (await room.rows())[0][0] == "done"


async def test_what_is_refused_for_good_is_not_tried_again(
    database: Database, server: MailServer
) -> None:
    room = Room(database, server)
    server.answers = ["550 5.1.1 no such user"]
    await room.put()
    await room.put()
    await room.runner.drain()
    assert sorted((state, size) for state, _, size, _ in await room.rows()) == [
        ("dead", 0),
        ("done", 0),
    ]
    assert len(server.letters) == 1


async def test_a_letter_is_not_sent_when_it_is_no_use_any_more(
    database: Database, server: MailServer
) -> None:
    room = Room(database, server)
    server.answers = ["451 4.7.1 greylisted"]
    await room.put(expires=room.clock.now() + 30_000)
    await room.runner.drain()
    assert await room.rows() == [("dead", 1, 0, "recipient_451")]


async def test_the_line_dropped_after_the_letter_sends_it_again_under_the_same_id(
    database: Database, server: MailServer
) -> None:
    room = Room(database, server)
    server.drop = True
    await room.put()
    await room.runner.drain()
    server.drop = False
    room.clock.advance(MINUTE)
    await room.runner.drain()
    [row] = await database.fetch_all("SELECT id FROM mails")
    assert [letter["Message-ID"] for letter in server.letters] == [f"<{row['id']}@st-olaf.example>"]


async def test_one_bad_address_does_not_hold_the_others_up(
    database: Database, server: MailServer
) -> None:
    room = Room(database, server)
    async with database.transaction() as tx:
        await room.room.put(tx, "x@y.example\nBcc: z@z.example", "Subject", "Words.")
    await room.put()
    await room.runner.drain()
    assert len(server.letters) == 1
    assert sorted(state for state, *_ in await room.rows()) == ["dead", "done"]


# A whole instance ---------------------------------------------------------------------------------


def configure(instance: Instance, port: int, security: str = "none") -> None:
    path = instance.folder / "config.toml"
    path.write_text(
        path.read_text() + f'\n[mail]\nhost = "localhost"\nport = {port}\nsecurity = "{security}"\n'
        f'sender = "{SENDER}"\n'
    )


def lines(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_kill_in_the_middle_of_a_letter(tmp_path: Path) -> None:
    """A worker is killed while the server thinks; the next one sends the letter."""
    server = MailServer(stall=asyncio.Event())
    async with serving(server):
        instance = Instance(tmp_path / "i").init()
        configure(instance, server.port)
        await asyncio.to_thread(instance.command, "migrate")
        from fedidoc import config as configuration

        config = configuration.load(instance.folder / "config.toml", {})
        db = await Database.open(config.database_url)
        vault = Vault.from_text(config.secrets.key)
        room = MailRoom(db, FrozenClock(), vault, Postbox(config.mail, config.folder, "x"))
        async with db.transaction() as tx:
            await room.put(tx, TO, "Subject", "Words.", expires=2**60)
        # The frozen clock is long past; let it be worth sending now.
        async with db.transaction() as tx:
            await tx.execute("UPDATE mails SET expires = ?", (2**60,))
        instance.start()
        await asyncio.wait_for(server.reached_data.wait(), 20)
        instance.kill()
        assert server.letters == []
        assert server.stall is not None
        server.stall.set()
        server.letters.clear()
        instance.start()

        async def sent() -> bool:
            return await db.fetch_value("SELECT state FROM mails") == "done"

        for _ in range(400):
            if await sent():
                break
            await asyncio.sleep(0.1)
        assert await sent()
        assert len({letter["Message-ID"] for letter in server.letters}) == 1
        assert instance.stop() == 0
        log = instance.log.read_text()
        assert TO not in log and "Words" not in log
        await db.close()


async def test_the_command_and_the_doctor(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "i").init()
    command = ("--config", str(instance.folder / "config.toml"))
    refused = await asyncio.to_thread(instance.run, *command, "mail", "test", TO)
    assert refused.returncode == 1
    assert "[mail]" in refused.stderr
    async with serving() as server:
        configure(instance, server.port)
        [line] = await asyncio.to_thread(instance.command, "mail", "test", TO)
        assert line == {"sent": True, "server": f"localhost port {server.port}"}
        assert server.letters[0]["To"] == TO
        refused = await asyncio.to_thread(instance.run, *command, "mail", "test", "not an address")
        assert refused.returncode == 1
        done = await asyncio.to_thread(instance.run, *command, "doctor", "--json")
        findings = {
            f["check"]: f for f in map(json.loads, done.stdout.splitlines()) if "check" in f
        }
        assert findings["mail"]["state"] == "ok"
        assert "documents" not in findings
    (instance.folder / "documents").mkdir()
    (instance.folder / "documents").chmod(0o755)  # whatever the mask is
    done = await asyncio.to_thread(instance.run, *command, "doctor", "--json")
    findings = {f["check"]: f for f in lines(done.stdout) if "check" in f}
    assert findings["documents"]["state"] == "warn"
    assert findings["mail"]["state"] == "fail"
    assert "reached" in findings["mail"]["text"]
