"""From when until when an actor was verified, as this instance saw it.

`actors.set_badge` keeps this true; pages ask it what an author was when a post was written.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from fedidoc.storage.statements import Reader, Transaction, among


class Span(NamedTuple):
    """A time in which an actor was verified (UTC milliseconds); `ended` is None while it lasts."""

    began: int
    ended: int | None


async def begin(tx: Transaction, actor_id: str, at: int) -> None:
    """The actor is verified from `at` on; the same span goes on if it began then before."""
    await tx.execute(
        "INSERT INTO verified_spans (actor_id, began) VALUES (?, ?)"
        " ON CONFLICT (actor_id, began) DO UPDATE SET ended = NULL",
        (actor_id, at),
    )


async def end(tx: Transaction, actor_id: str, at: int) -> None:
    """The actor is verified no longer."""
    await tx.execute(
        "UPDATE verified_spans SET ended = ? WHERE actor_id = ? AND ended IS NULL", (at, actor_id)
    )


async def of(reader: Reader, actor_ids: Collection[str]) -> dict[str, list[Span]]:
    """The spans of those actors that have any, oldest first, by actor id."""
    if not actor_ids:
        return {}
    where, params = among("actor_id", list(actor_ids))
    rows = await reader.fetch_all(
        f"SELECT actor_id, began, ended FROM verified_spans WHERE {where} ORDER BY actor_id, began",
        params,
    )
    found: dict[str, list[Span]] = {}
    for row in rows:
        found.setdefault(row["actor_id"], []).append(Span(row["began"], row["ended"]))
    return found
