"""Activities this instance has sent, as they were sent. What a delivery row posts is here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedidoc.model import Audience
from fedidoc.storage.engine import Reader, Row, Transaction, among


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity of a local actor; `body` is the JSON, byte for byte as every inbox gets it."""

    id: str
    uri: str
    actor_id: str
    type: str
    object_uri: str
    post_id: str | None
    audience: Audience
    body: str
    created: int


_COLUMNS = ("id", "uri", "actor_id", "type", "object_uri", "post_id", "audience", "body", "created")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM activities"


def _activity_of(row: Row) -> Activity:
    return Activity(
        row["id"],
        row["uri"],
        row["actor_id"],
        row["type"],
        row["object_uri"],
        row["post_id"],
        Audience(row["audience"]),
        row["body"],
        row["created"],
    )


async def put(tx: Transaction, activities: Sequence[Activity]) -> None:
    """Store activities; one that is stored already stays as it was sent."""
    rows = [
        (a.id, a.uri, a.actor_id, a.type, a.object_uri, a.post_id, a.audience.value, a.body,
         a.created)
        for a in activities
    ]  # fmt: skip
    await tx.insert_many("activities", _COLUMNS, rows, conflict="ON CONFLICT (id) DO NOTHING")


async def get(reader: Reader, activity_id: str) -> Activity | None:
    row = await reader.fetch_one(f"{_SELECT} WHERE id = ?", (activity_id,))
    return _activity_of(row) if row else None


async def get_many(reader: Reader, activity_ids: Iterable[str]) -> dict[str, Activity]:
    """Those of the ids that exist, by id."""
    where, params = among("id", activity_ids)
    rows = await reader.fetch_all(f"{_SELECT} WHERE {where}", params)
    return {row["id"]: _activity_of(row) for row in rows}


async def by_uri(reader: Reader, uri: str) -> Activity | None:
    row = await reader.fetch_one(f"{_SELECT} WHERE uri = ?", (uri,))
    return _activity_of(row) if row else None


_PUBLISHED = (
    " FROM activities x JOIN posts p ON p.id = x.post_id"
    " WHERE x.actor_id = ? AND x.type = 'Create' AND p.deleted IS NULL AND"
)


async def published_by(
    reader: Reader, actor_id: str, audiences: Iterable[Audience], *, before: str, limit: int
) -> list[Activity]:
    """An actor's Create activities for some audiences whose post still stands, newest first.

    `before` is an activity's id, "" for the newest.
    """
    where, params = among("x.audience", [audience.value for audience in audiences])
    rows = await reader.fetch_all(
        f"SELECT {', '.join('x.' + c for c in _COLUMNS)}{_PUBLISHED} {where}"
        " AND x.id < ? ORDER BY x.id DESC LIMIT ?",
        # No id is greater than "~".
        (actor_id, *params, before or "~", limit),
    )
    return [_activity_of(row) for row in rows]


async def count_published(reader: Reader, actor_id: str, audiences: Iterable[Audience]) -> int:
    """How many there are on all pages of `published_by`."""
    where, params = among("x.audience", [audience.value for audience in audiences])
    return int(
        await reader.fetch_value(f"SELECT COUNT(*){_PUBLISHED} {where}", (actor_id, *params))
    )


async def forget_sent(tx: Transaction, uris: Iterable[str]) -> int:
    """Forget activities that every inbox has got; how many. For those with words in them that are
    kept sealed elsewhere."""
    where, params = among("uri", uris)
    return await tx.execute(
        f"DELETE FROM activities WHERE {where} AND NOT EXISTS (SELECT 1 FROM deliveries d"
        " WHERE d.activity_id = activities.id AND d.state <> 'done')",
        params,
    )


async def was_sent_to(reader: Reader, activity_id: str, host: str) -> bool:
    """Whether an activity was sent, or waits to be sent, to a host."""
    found = await reader.fetch_value(
        "SELECT 1 FROM deliveries WHERE activity_id = ? AND host = ? LIMIT 1", (activity_id, host)
    )
    return found is not None


async def post_was_sent_to(reader: Reader, post_id: str, host: str) -> bool:
    """Whether anything about a post was sent, or waits to be sent, to a host."""
    found = await reader.fetch_value(
        "SELECT 1 FROM deliveries d JOIN activities x ON x.id = d.activity_id"
        " WHERE x.post_id = ? AND d.host = ? LIMIT 1",
        (post_id, host),
    )
    return found is not None


async def inboxes_of_post(reader: Reader, post_id: str) -> list[tuple[str, str]]:
    """(inbox, host) of everywhere that anything about a post was sent or is waiting to go."""
    rows = await reader.fetch_all(
        "SELECT DISTINCT d.inbox, d.host FROM deliveries d"
        " JOIN activities x ON x.id = d.activity_id WHERE x.post_id = ?",
        (post_id,),
    )
    return [(row["inbox"], row["host"]) for row in rows]
