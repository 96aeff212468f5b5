"""Institutional addresses: the links that were sent to them, and those that answered.

Addresses are sealed; a keyed digest tells whether two are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.storage.statements import Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One link; `used` is when it was confirmed (ms)."""

    id: str
    account_id: str
    address_sealed: bytes
    address_mac: str
    created: int
    expires: int
    used: int | None = None


def _link_of(row: Row) -> LinkRow:
    return LinkRow(
        row["id"],
        row["account_id"],
        bytes(row["address_sealed"]),
        row["address_mac"],
        row["created"],
        row["expires"],
        row["used"],
    )


async def put_link(tx: Transaction, link: LinkRow) -> None:
    await tx.insert_many(
        "mailbox_links",
        ("id", "account_id", "address_sealed", "address_mac", "created", "expires"),
        [(link.id, link.account_id, link.address_sealed, link.address_mac, link.created,
          link.expires)],
    )  # fmt: skip


async def link(reader: Reader, id: str) -> LinkRow | None:
    row = await reader.fetch_one("SELECT * FROM mailbox_links WHERE id = ?", (id,))
    return _link_of(row) if row else None


async def open_links(reader: Reader, account_id: str, now: int) -> list[LinkRow]:
    """An account's links that can still be confirmed, newest first."""
    rows = await reader.fetch_all(
        "SELECT * FROM mailbox_links WHERE account_id = ? AND used IS NULL AND expires > ?"
        " ORDER BY created DESC, id",
        (account_id, now),
    )
    return [_link_of(row) for row in rows]


async def count_links(
    reader: Reader, since: int, *, account_id: str = "", address_mac: str = ""
) -> int:
    """How many were sent since a time (ms): by an account, to an address, or both."""
    return int(
        await reader.fetch_value(
            "SELECT COUNT(*) FROM mailbox_links WHERE created > ?"
            " AND (? = '' OR account_id = ?) AND (? = '' OR address_mac = ?)",
            (since, account_id, account_id, address_mac, address_mac),
        )
    )


async def use_link(tx: Transaction, id: str, now: int) -> bool:
    """False if it was used before."""
    changed = await tx.execute(
        "UPDATE mailbox_links SET used = ? WHERE id = ? AND used IS NULL", (now, id)
    )
    return changed == 1


async def forget_links(tx: Transaction, before: int) -> None:
    """Those that ran out before a time (ms)."""
    await tx.execute("DELETE FROM mailbox_links WHERE expires < ?", (before,))


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """An address that answered; evidence until `valid_until` (ms)."""

    id: str
    account_id: str
    address_sealed: bytes
    address_mac: str
    evidence_id: str
    confirmed: int
    valid_until: int


async def put(tx: Transaction, box: MailboxRow) -> None:
    """Duplicate if another row has the address and has not ended."""
    await tx.insert_many(
        "mailboxes",
        ("id", "account_id", "address_sealed", "address_mac", "evidence_id", "confirmed",
         "valid_until"),
        [(box.id, box.account_id, box.address_sealed, box.address_mac, box.evidence_id,
          box.confirmed, box.valid_until)],
    )  # fmt: skip


async def of_account(reader: Reader, account_id: str, now: int) -> list[MailboxRow]:
    """Those that count, newest first."""
    rows = await reader.fetch_all(
        "SELECT * FROM mailboxes WHERE account_id = ? AND ended IS NULL AND valid_until > ?"
        " ORDER BY confirmed DESC, id",
        (account_id, now),
    )
    return [
        MailboxRow(
            row["id"],
            row["account_id"],
            bytes(row["address_sealed"]),
            row["address_mac"],
            row["evidence_id"],
            row["confirmed"],
            row["valid_until"],
        )
        for row in rows
    ]


async def holder(reader: Reader, address_mac: str, now: int) -> str | None:
    """The account whose address this is now."""
    found: str | None = await reader.fetch_value(
        "SELECT account_id FROM mailboxes WHERE address_mac = ? AND ended IS NULL"
        " AND valid_until > ?",
        (address_mac, now),
    )
    return found


async def end(tx: Transaction, address_mac: str, now: int) -> None:
    """Free an address for a new row."""
    await tx.execute(
        "UPDATE mailboxes SET ended = ? WHERE address_mac = ? AND ended IS NULL",
        (now, address_mac),
    )
