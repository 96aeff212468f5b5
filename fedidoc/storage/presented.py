"""Credentials that members of other servers presented, byte for byte as they were last fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fedidoc.storage.statements import Reader, Row, Transaction

# How `actors` stores the badge of somebody who is verified.
_VERIFIED = "a.badge LIKE '{\"verified\":true%' AND a.deleted IS NULL AND a.local = 0"


@dataclass(frozen=True, slots=True)
class Presented:
    """`document` is what `url` answered at `fetched`, checked with `issuer_key` (Multikey text);
    the rest is what it says of itself."""

    actor_id: str
    url: str
    document: bytes
    fetched: int
    status_list: str | None
    status_index: int | None
    issuer_key: str
    valid_until: int | None


class Holder(NamedTuple):
    """Somebody verified, by their place in a status list and the key that attested it."""

    actor_id: str
    place: int
    issuer_key: str


async def put(tx: Transaction, presented: Presented) -> None:
    """The credential an actor presents now, in place of the one before."""
    p = presented
    await tx.insert_many(
        "presented",
        ("actor_id", "url", "document", "fetched", "status_list", "status_index", "issuer_key",
         "valid_until"),
        [(p.actor_id, p.url, p.document, p.fetched, p.status_list, p.status_index, p.issuer_key,
          p.valid_until)],
        conflict=(
            "ON CONFLICT (actor_id) DO UPDATE SET url = excluded.url, document = excluded.document,"
            " fetched = excluded.fetched, status_list = excluded.status_list,"
            " status_index = excluded.status_index, issuer_key = excluded.issuer_key,"
            " valid_until = excluded.valid_until"
        ),
    )  # fmt: skip


async def get(reader: Reader, actor_id: str) -> Presented | None:
    """What an actor presented last."""
    row = await reader.fetch_one("SELECT * FROM presented WHERE actor_id = ?", (actor_id,))
    return _presented_of(row) if row else None


def _presented_of(row: Row) -> Presented:
    return Presented(
        row["actor_id"],
        row["url"],
        bytes(row["document"]),
        row["fetched"],
        row["status_list"],
        row["status_index"],
        row["issuer_key"],
        row["valid_until"],
    )


async def lists(reader: Reader) -> list[tuple[str, str]]:
    """(status list, host of the actors) of every list that somebody verified stands in."""
    rows = await reader.fetch_all(
        "SELECT DISTINCT p.status_list, a.host FROM presented p JOIN actors a ON a.id = p.actor_id"
        f" WHERE p.status_list IS NOT NULL AND {_VERIFIED} ORDER BY 1, 2"
    )
    return [(row[0], row[1]) for row in rows]


async def holders(reader: Reader, status_list: str, host: str) -> list[Holder]:
    """Everybody verified on a host who stands in a list."""
    rows = await reader.fetch_all(
        "SELECT p.actor_id, p.status_index, p.issuer_key"
        " FROM presented p JOIN actors a ON a.id = p.actor_id"
        f" WHERE p.status_list = ? AND a.host = ? AND {_VERIFIED}",
        (status_list, host),
    )
    return [Holder(row[0], int(row[1]), row[2]) for row in rows]


async def ended(reader: Reader, now: int, limit: int) -> list[str]:
    """Actors that count as verified though what they presented has run out."""
    rows = await reader.fetch_all(
        "SELECT p.actor_id FROM presented p JOIN actors a ON a.id = p.actor_id"
        f" WHERE p.valid_until <= ? AND {_VERIFIED} ORDER BY p.valid_until LIMIT ?",
        (now, limit),
    )
    return [row[0] for row in rows]


async def due(
    reader: Reader, *, unverified_before: int, verified_before: int, ending: int, limit: int
) -> list[str]:
    """Remote actors to be looked at whole again, the longest waiting first.

    Those whose badge does not count and who were last looked at before `unverified_before`; the
    verified ones before `verified_before`, or as often as the others once their credential ends
    before `ending`, since there may be a renewed one.
    """
    rows = await reader.fetch_all(
        "SELECT a.id FROM actors a LEFT JOIN presented p ON p.actor_id = a.id"
        " WHERE a.local = 0 AND a.deleted IS NULL AND a.credential_url IS NOT NULL"
        " AND a.refreshed < ? AND (a.refreshed < ? OR a.badge NOT LIKE '{\"verified\":true%'"
        " OR p.valid_until IS NULL OR p.valid_until < ?) ORDER BY a.refreshed, a.id LIMIT ?",
        (unverified_before, verified_before, ending, limit),
    )
    return [row[0] for row in rows]
