"""Trust lists: those that were accepted from others, whom they give trust, and those published."""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.storage.engine import Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class Subscription:
    """How a subscription stands. `pins` is the digest of what the operator configured.

    `sequence` is that of the newest accepted list; `asked` and `answered` are when the publisher
    was last asked, and last answered with a list that counts. `trouble` is a word for what is
    wrong, with a sentence; both None when nothing is.
    """

    name: str
    pins: str
    sequence: int | None
    etag: str | None
    asked: int | None
    answered: int | None
    failures: int
    trouble: str | None
    trouble_text: str | None
    trouble_since: int | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted list; `signed` is how many of the believed signers had signed it."""

    sequence: int
    digest: str
    document: str
    signed: int
    flag: str | None
    accepted: int


@dataclass(frozen=True, slots=True)
class Published:
    """One list of this instance's own, byte for byte as it is served."""

    sequence: int
    digest: str
    document: str
    published: int


def _subscription_of(row: Row) -> Subscription:
    return Subscription(
        row["name"], row["pins"], row["sequence"], row["etag"], row["asked"], row["answered"],
        row["failures"], row["trouble"], row["trouble_text"], row["trouble_since"],
    )  # fmt: skip


# Subscribed to ------------------------------------------------------------------------------------


async def subscriptions(reader: Reader) -> dict[str, Subscription]:
    """Every subscription that is known here, by name, also one that is not configured any more."""
    rows = await reader.fetch_all("SELECT * FROM trust_subscriptions ORDER BY name")
    return {row["name"]: _subscription_of(row) for row in rows}


async def begin(tx: Transaction, name: str, pins: str) -> None:
    """Know a subscription, or let it begin anew under other pins: the next list that is accepted
    follows no other. What was accepted before holds until then."""
    await tx.insert_many(
        "trust_subscriptions",
        ("name", "pins"),
        [(name, pins)],
        conflict=(
            "ON CONFLICT (name) DO UPDATE SET pins = excluded.pins, sequence = NULL, etag = NULL,"
            " asked = NULL, answered = NULL, failures = 0, trouble = NULL, trouble_text = NULL,"
            " trouble_since = NULL"
        ),
    )


async def end(tx: Transaction, name: str) -> None:
    """Forget a subscription with all it accepted and gave."""
    for table in ("trust_accepted", "trust_grants"):
        await tx.execute(f"DELETE FROM {table} WHERE subscription = ?", (name,))
    await tx.execute("DELETE FROM trust_subscriptions WHERE name = ?", (name,))


async def accept(tx: Transaction, name: str, entry: Accepted) -> None:
    """Keep an accepted list; it is the newest now, and all there is where a subscription began
    anew."""
    await tx.execute(
        "DELETE FROM trust_accepted WHERE subscription = ? AND EXISTS (SELECT 1"
        " FROM trust_subscriptions s WHERE s.name = ? AND s.sequence IS NULL)",
        (name, name),
    )
    await tx.insert_many(
        "trust_accepted",
        ("subscription", "sequence", "digest", "document", "signed", "flag", "accepted"),
        [
            (name, entry.sequence, entry.digest, entry.document, entry.signed, entry.flag,
             entry.accepted)
        ],
    )  # fmt: skip
    await tx.execute(
        "UPDATE trust_subscriptions SET sequence = ? WHERE name = ?", (entry.sequence, name)
    )


async def accepted(reader: Reader, name: str) -> Accepted | None:
    """The newest list that was accepted."""
    row = await reader.fetch_one(
        "SELECT sequence, digest, document, signed, flag, accepted FROM trust_accepted"
        " WHERE subscription = ? ORDER BY sequence DESC LIMIT 1",
        (name,),
    )
    return Accepted(*row) if row else None


async def answered(tx: Transaction, name: str, etag: str | None, now: int) -> None:
    """The publisher served a list that counts; nothing is wrong."""
    await tx.execute(
        "UPDATE trust_subscriptions SET etag = ?, asked = ?, answered = ?, failures = 0,"
        " trouble = NULL, trouble_text = NULL, trouble_since = NULL WHERE name = ?",
        (etag, now, now, name),
    )


async def troubled(tx: Transaction, name: str, reason: str, text: str, now: int) -> bool:
    """Note what is wrong; whether it is something else than before."""
    row = await tx.fetch_one(
        "SELECT trouble, trouble_text FROM trust_subscriptions WHERE name = ?", (name,)
    )
    new = row is not None and (row["trouble"], row["trouble_text"]) != (reason, text)
    await tx.execute(
        "UPDATE trust_subscriptions SET etag = NULL, asked = ?, failures = failures + 1,"
        " trouble = ?, trouble_text = ?, trouble_since = COALESCE("
        " CASE WHEN trouble = ? THEN trouble_since END, ?) WHERE name = ?",
        (now, reason, text, reason, now, name),
    )
    return new


# What lists give ----------------------------------------------------------------------------------


async def grants(reader: Reader) -> dict[str, tuple[str, ...]]:
    """host -> the subscriptions that trust in it comes from, by name."""
    found: dict[str, tuple[str, ...]] = {}
    for row in await reader.fetch_all(
        "SELECT host, subscription FROM trust_grants ORDER BY host, subscription"
    ):
        found[row["host"]] = (*found.get(row["host"], ()), row["subscription"])
    return found


async def set_grants(tx: Transaction, host: str, names: tuple[str, ...], now: int) -> None:
    """These lists, and no others, give trust in a host."""
    known = await tx.fetch_all("SELECT subscription FROM trust_grants WHERE host = ?", (host,))
    for (name,) in known:
        if name not in names:
            await tx.execute(
                "DELETE FROM trust_grants WHERE host = ? AND subscription = ?", (host, name)
            )
    await tx.insert_many(
        "trust_grants",
        ("subscription", "host", "since"),
        [(name, host, now) for name in names],
        conflict="ON CONFLICT (subscription, host) DO NOTHING",
    )


# Published ----------------------------------------------------------------------------------------


async def publish(tx: Transaction, entry: Published) -> None:
    """Keep a list of this instance's own; a number that is taken is a Duplicate."""
    await tx.insert_many(
        "trust_published",
        ("sequence", "digest", "document", "published"),
        [(entry.sequence, entry.digest, entry.document, entry.published)],
    )


async def published(reader: Reader, sequence: int | None = None) -> Published | None:
    """A list of this instance's own by its number; the newest by default."""
    where, params = ("WHERE sequence = ?", (sequence,)) if sequence is not None else ("", ())
    row = await reader.fetch_one(
        "SELECT sequence, digest, document, published FROM trust_published"
        f" {where} ORDER BY sequence DESC LIMIT 1",
        params,
    )
    return Published(*row) if row else None
