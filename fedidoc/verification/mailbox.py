"""Institutional e-mail: a member shows that a mailbox of a hospital or university is theirs.

A link goes to the address. Whoever opens it sees a page with a button, and only pressing that,
while logged in as the member who asked, is evidence: scanners of mail open links, and press
nothing. A link is bound to account, address and time by the instance's key, which is not in the
database.

Nobody learns whether an address belongs to a member: asking has the same answer whatever comes of
it, and only the mailbox itself is told.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import idna

from fedidoc.clock import DAY, HOUR, Clock
from fedidoc.config import EvidenceRules
from fedidoc.errors import BadInput, ConfigError, Conflict, NotFound, TooMany, Unavailable
from fedidoc.model import Account, Role
from fedidoc.storage import mailboxes
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.storage.mailboxes import LinkRow, MailboxRow
from fedidoc.vault import Vault
from fedidoc.verification.evidence import EvidenceKind, Records

BY: Final = "institutional e-mail"
"""Who recorded it, in evidence and in the audit log."""

# The dot-atom of RFC 5322 without "+": what stands behind it is another spelling of one mailbox.
_LOCAL: Final = re.compile(r"[A-Za-z0-9_'-]+(?:\.[A-Za-z0-9_'-]+)*")
# Mailboxes that several people read (RFC 2142 and what is usual).
_SHARED: Final = frozenset(
    (
        "abuse", "admin", "administrator", "all", "contact", "enquiries", "everyone", "ftp",
        "help", "helpdesk", "hostmaster", "hr", "info", "it", "list", "mail", "mailer-daemon",
        "marketing", "news", "no-reply", "nobody", "noc", "noreply", "office", "postmaster",
        "press", "reception", "root", "sales", "secretary", "security", "service", "staff",
        "support", "team", "usenet", "webmaster", "www",
    )
)  # fmt: skip
_TOKEN: Final = re.compile(r"([0-9a-z]{26})\.([0-9a-f]{64})")
_LINKS_OF_MEMBER: Final = 5  # a day
_LINKS_TO_ADDRESS: Final = 3  # a day
_KEEP_LINKS: Final = 7 * DAY

Settle = Callable[[Transaction, str, str], Awaitable[bool]]
"""What follows from an account's evidence, in the transaction that changed it (`Review.settle`)."""


class Send(Protocol):
    """Queues a letter in a transaction (`MailRoom.put`)."""

    async def __call__(
        self, tx: Transaction, to: str, subject: str, text: str, *, expires: int | None = None
    ) -> None: ...


class Domains:
    """The configuration's list: `stolaf.example` is that domain, `.nhs.example` any below it."""

    def __init__(self, listed: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._above: list[str] = []
        self.listed = tuple(listed)
        for text in self.listed:
            below = text.startswith(".")
            domain = _domain(text.removeprefix("."))
            if domain is None or "." not in domain:
                raise ConfigError(
                    f"[evidence] email_domains has {text!r}, which is no domain; write"
                    " stolaf.example, or .nhs.example for every domain below it."
                )
            if below:
                self._above.append(f".{domain}")
            else:
                self._exact.add(domain)

    def take(self, address: str) -> str:
        """The address in its one spelling; BadInput (field `address`) says why it is not taken.

        Two spellings of one mailbox come out alike, but for the case of the local part, which mail
        keeps: compare in lower case.
        """
        local, at, written = address.strip().rpartition("@")
        if not at or len(address) > 254 or len(local) > 64:
            raise BadInput("This is not an e-mail address; check it.", field="address")
        if "+" in local:
            raise BadInput(
                "Write the address without the part from “+” on; mail arrives all the same.",
                field="address",
            )
        if _LOCAL.fullmatch(local) is None:
            raise BadInput(
                "Before the @ only letters a to z, digits, dots, hyphens, underscores and"
                " apostrophes are taken.",
                field="address",
            )
        domain = _domain(written)
        if domain is None or not (
            domain in self._exact or any(domain.endswith(above) for above in self._above)
        ):
            raise BadInput(
                "This instance does not know this institution; use an address of one it knows.",
                field="address",
            )
        if local.lower() in _SHARED:
            raise BadInput(
                "Several people read such a mailbox; give one that is yours alone.",
                field="address",
            )
        return f"{local}@{domain}"


def _domain(text: str) -> str | None:
    """A domain as it stands in the DNS (UTS 46, RFC 5891); None if it is none.

    Letters that only look alike make another domain; wide or capital ones make the same.
    """
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        return None


@dataclass(frozen=True, slots=True)
class Asked:
    """A link that waits; for the member who asked for it only."""

    address: str
    expires: int


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address that answered; evidence until `valid_until`. For its member and reviewers only."""

    address: str
    confirmed: int
    valid_until: int


class Mailboxes:
    """Asks for, sends and confirms links."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        rules: EvidenceRules,
        records: Records,
        *,
        settle: Settle,
        send: Send,
        base_url: str,
        name: str,
    ) -> None:
        """`base_url` and `name` are the instance's. ConfigError for a domain that is none."""
        self._db = db
        self._clock = clock
        self._vault = vault
        self._records = records
        self._settle = settle
        self._send = send
        self._base = base_url
        self._name = name
        self._lasts = rules.email_link_hours * HOUR
        self._valid = rules.email_valid_months * 365 * DAY // 12
        self.domains = Domains(rules.email_domains)

    @property
    def open(self) -> bool:
        """Whether there is an institution whose addresses are taken."""
        return bool(self.domains.listed)

    # The member's side ------------------------------------------------------------------------

    async def ask(self, account: Account, address: str) -> None:
        """Send a link to an institutional address. BadInput (field `address`) if it is not one of
        those taken, TooMany after five in a day. Says nothing of whose the address is."""
        if not self.open or account.role is Role.STAFF:
            raise Unavailable("This instance takes no institutional addresses.")
        address = self.domains.take(address)
        mac = self._mac(address)
        now = self._clock.now()
        async with self._db.transaction() as tx:
            await tx.lock(f"mailbox links {account.id}")
            await tx.lock(f"mailbox {mac}")
            since = now - DAY
            own = await mailboxes.count_links(tx, since, account_id=account.id, address_mac=mac)
            if (
                own >= _LINKS_TO_ADDRESS
                or await mailboxes.count_links(tx, since, account_id=account.id) >= _LINKS_OF_MEMBER
            ):
                raise TooMany(
                    "You asked for several links today; look for them among the junk, or ask again"
                    " tomorrow.",
                    retry_after=DAY // 1000,
                )
            # Others may have had letters sent to this address: it gets no more of them, and the
            # asking member hears the same as ever.
            flooded = await mailboxes.count_links(tx, since, address_mac=mac) >= _LINKS_TO_ADDRESS
            id = self._clock.random_id()
            link = LinkRow(
                id, account.id, self._vault.seal(address.encode(), _purpose(id)), mac, now,
                now + self._lasts,
            )  # fmt: skip
            await mailboxes.put_link(tx, link)
            if flooded:
                return
            holder = await mailboxes.holder(tx, mac, now)
            if holder is not None and holder != account.id:
                await self._send(
                    tx,
                    address,
                    f"Your address at {self._name}",
                    self._taken(),
                    expires=link.expires,
                )
            else:
                await self._send(
                    tx,
                    address,
                    f"Is this your address? {self._name} asks",
                    self._words(account, self._token(link)),
                    expires=link.expires,
                )

    async def look(self, account: Account, token: str) -> Asked:
        """What a link would confirm, without confirming it. NotFound if it is not the member's;
        Conflict if it was used or ran out."""
        link = await self._link(self._db, account, token)
        if link.used is not None:
            raise Conflict("This link was used already; there is nothing left to do.")
        if link.expires <= self._clock.now():
            raise Conflict("This link has run out; ask for a new one.")
        return Asked(self._address(link.id, link.address_sealed), link.expires)

    async def confirm(self, account: Account, token: str) -> None:
        """Record that the mailbox is the member's. Errors as of `look`; Conflict also if the
        address counts for another member. The second click of two changes nothing."""
        now = self._clock.now()
        async with self._db.transaction() as tx:
            link = await self._link(tx, account, token)
            await tx.lock(f"mailbox {link.address_mac}")
            if not await mailboxes.use_link(tx, link.id, now):
                if await mailboxes.holder(tx, link.address_mac, now) == account.id:
                    return
                raise Conflict("This link was used already; ask for a new one.")
            if link.expires <= now:
                raise Conflict("This link has run out; ask for a new one.")
            address = self.domains.take(self._address(link.id, link.address_sealed))
            if await mailboxes.holder(tx, link.address_mac, now) not in (None, account.id):
                raise Conflict(
                    "This address counts for another account; write to the instance's contact if"
                    " it is yours."
                )
            await mailboxes.end(tx, link.address_mac, now)
            until = now + self._valid
            evidence = await self._records.record(
                tx, account.id, EvidenceKind.INSTITUTIONAL_EMAIL,
                detail=f"The member answered from {address}.", by=BY, valid_until=until,
            )  # fmt: skip
            id = self._clock.random_id()
            box = MailboxRow(
                id, account.id, self._vault.seal(address.encode(), _purpose(id)), link.address_mac,
                evidence, now, until,
            )  # fmt: skip
            await mailboxes.put(tx, box)
            await self._settle(tx, account.id, BY)

    async def state(self, account: Account) -> tuple[tuple[Mailbox, ...], tuple[Asked, ...]]:
        """The member's addresses that count, and those whose link waits."""
        now = self._clock.now()
        boxes = await mailboxes.of_account(self._db, account.id, now)
        links = await mailboxes.open_links(self._db, account.id, now)
        waiting = {
            link.address_mac: Asked(self._address(link.id, link.address_sealed), link.expires)
            for link in reversed(links)
        }
        return (
            tuple(
                Mailbox(self._address(b.id, b.address_sealed), b.confirmed, b.valid_until)
                for b in boxes
            ),
            tuple(waiting.values()),
        )

    async def forget(self) -> None:
        """Delete links that ran out a week ago; call it now and then."""
        before = self._clock.now() - _KEEP_LINKS
        async with self._db.transaction() as tx:
            await mailboxes.forget_links(tx, before)

    # Inside -----------------------------------------------------------------------------------

    async def _link(self, reader: Reader, account: Account, token: str) -> LinkRow:
        found = _TOKEN.fullmatch(token)
        link = await mailboxes.link(reader, found[1]) if found else None
        if link is None or link.account_id != account.id:
            raise NotFound
        if not hmac.compare_digest(self._token(link).encode(), token.encode()):
            raise NotFound
        return link

    def _token(self, link: LinkRow) -> str:
        bound = f"{link.id}\0{link.account_id}\0{link.address_mac}\0{link.expires}"
        return f"{link.id}.{self._vault.fingerprint(bound, 'institutional e-mail link')}"

    def _mac(self, address: str) -> str:
        return self._vault.fingerprint(address.lower(), "institutional e-mail")

    def _address(self, id: str, sealed: bytes) -> str:
        return self._vault.open(sealed, _purpose(id)).decode()

    def _words(self, account: Account, token: str) -> str:
        return (
            f"Somebody who is logged in to {self._name} as @{account.username} says that this\n"
            "mailbox is theirs.\n\n"
            "If that is you, open this while you are logged in, and press the button there:\n\n"
            f"{self._base}/application/email/{token}\n\n"
            f"It works once, within {self._lasts // HOUR} hours, for @{account.username} only.\n\n"
            "If it is not you, do nothing. Nothing happens by itself.\n"
        )

    def _taken(self) -> str:
        return (
            f"Somebody who is logged in to {self._name} says that this mailbox is theirs.\n"
            "It counts for another account there already, so nothing was changed.\n\n"
            "If you have two accounts, write to the people who run the instance. If it was\n"
            "not you, there is nothing to do.\n"
        )


def _purpose(id: str) -> str:
    return f"institutional e-mail {id}"
