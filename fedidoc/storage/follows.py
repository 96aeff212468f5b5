"""Who follows whom, asked for or accepted."""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.model import Actor, FollowState
from fedidoc.storage.actors import actor_of
from fedidoc.storage.engine import Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class Follow:
    """`follower_id` asked (at `created`) to follow `followed_id`; `uri` is the Follow's id."""

    id: str
    uri: str
    follower_id: str
    followed_id: str
    state: FollowState
    created: int

    @property
    def accepted(self) -> bool:
        return self.state is FollowState.ACCEPTED


def _follow_of(row: Row) -> Follow:
    return Follow(
        row["id"],
        row["uri"],
        row["follower_id"],
        row["followed_id"],
        FollowState(row["state"]),
        row["created"],
    )


_COLUMNS = "id, uri, follower_id, followed_id, state, created"
# A follower or followed who is gone or suspended counts no more.
_STANDING = "a.suspended IS NULL AND a.deleted IS NULL"
# Nor does one who is not verified (any more), where their server's members have to be: what is for
# followers goes to them no longer. `verified` is the first field of a badge's JSON.
_HEARS = (
    "(a.badge LIKE '{\"verified\":true%' OR NOT EXISTS (SELECT 1 FROM peers b"
    " WHERE b.host = a.host AND b.require_credential = 1))"
)


async def put(tx: Transaction, follow: Follow) -> bool:
    """Store a follow; False if these two have one already or the URI is taken."""
    rows = await tx.insert_many(
        "follows",
        ("id", "uri", "follower_id", "followed_id", "state", "created"),
        [
            (
                follow.id,
                follow.uri,
                follow.follower_id,
                follow.followed_id,
                follow.state.value,
                follow.created,
            )
        ],
        conflict="ON CONFLICT DO NOTHING",
        returning="id",
    )
    return bool(rows)


async def set_state(tx: Transaction, follow_id: str, state: FollowState) -> bool:
    """Whether there was such a follow in another state."""
    changed = await tx.execute(
        "UPDATE follows SET state = ? WHERE id = ? AND state <> ?",
        (state.value, follow_id, state.value),
    )
    return changed > 0


async def set_uri(tx: Transaction, follow_id: str, uri: str) -> None:
    """A peer that lost our answer asks again under a new id; later Undos will name that one."""
    await tx.execute("UPDATE follows SET uri = ? WHERE id = ?", (uri, follow_id))


async def delete(tx: Transaction, follow_id: str) -> bool:
    return await tx.execute("DELETE FROM follows WHERE id = ?", (follow_id,)) > 0


async def delete_all_of(tx: Transaction, actor_id: str) -> None:
    """Forget every follow from and to an actor that is gone."""
    await tx.execute(
        "DELETE FROM follows WHERE follower_id = ? OR followed_id = ?", (actor_id, actor_id)
    )


async def get(reader: Reader, follow_id: str) -> Follow | None:
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM follows WHERE id = ?", (follow_id,))
    return _follow_of(row) if row else None


async def between(reader: Reader, follower_id: str, followed_id: str) -> Follow | None:
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM follows WHERE follower_id = ? AND followed_id = ?",
        (follower_id, followed_id),
    )
    return _follow_of(row) if row else None


async def by_uri(reader: Reader, uri: str) -> Follow | None:
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM follows WHERE uri = ?", (uri,))
    return _follow_of(row) if row else None


async def followers_of(
    reader: Reader,
    actor_id: str,
    *,
    state: FollowState = FollowState.ACCEPTED,
    after: str = "",
    limit: int = 1000,
) -> list[Actor]:
    """Actors that follow one (or ask to), by internal id from `after` on."""
    rows = await reader.fetch_all(
        "SELECT a.* FROM follows f JOIN actors a ON a.id = f.follower_id"
        f" WHERE f.followed_id = ? AND f.state = ? AND {_STANDING} AND a.id > ?"
        " ORDER BY a.id LIMIT ?",
        (actor_id, state.value, after, limit),
    )
    return [actor_of(row) for row in rows]


async def following_of(
    reader: Reader,
    actor_id: str,
    *,
    state: FollowState = FollowState.ACCEPTED,
    after: str = "",
    limit: int = 1000,
) -> list[Actor]:
    """Actors whom one follows (or asks to), by internal id from `after` on."""
    rows = await reader.fetch_all(
        "SELECT a.* FROM follows f JOIN actors a ON a.id = f.followed_id"
        f" WHERE f.follower_id = ? AND f.state = ? AND {_STANDING} AND a.id > ?"
        " ORDER BY a.id LIMIT ?",
        (actor_id, state.value, after, limit),
    )
    return [actor_of(row) for row in rows]


async def local_followers(reader: Reader, actor_id: str) -> list[Follow]:
    """The follows of this instance's members to an actor, accepted or asked for."""
    rows = await reader.fetch_all(
        "SELECT f.id, f.uri, f.follower_id, f.followed_id, f.state, f.created FROM follows f"
        " JOIN actors a ON a.id = f.follower_id WHERE f.followed_id = ? AND a.local = 1"
        " ORDER BY f.id",
        (actor_id,),
    )
    return [_follow_of(row) for row in rows]


async def followed_ids(reader: Reader, actor_id: str) -> set[str]:
    """Internal ids of those whom an actor follows, accepted."""
    rows = await reader.fetch_all(
        "SELECT followed_id FROM follows WHERE follower_id = ? AND state = ?",
        (actor_id, FollowState.ACCEPTED.value),
    )
    return {row["followed_id"] for row in rows}


async def follower_inboxes(reader: Reader, actor_id: str) -> list[tuple[str, str | None, str]]:
    """(inbox, shared inbox, host) of every accepted remote follower who may read."""
    rows = await reader.fetch_all(
        "SELECT a.inbox, a.shared_inbox, a.host FROM follows f"
        " JOIN actors a ON a.id = f.follower_id"
        f" WHERE f.followed_id = ? AND f.state = ? AND a.local = 0 AND {_STANDING} AND {_HEARS}",
        (actor_id, FollowState.ACCEPTED.value),
    )
    return [(row["inbox"], row["shared_inbox"], row["host"]) for row in rows]


async def has_follower_at(reader: Reader, actor_id: str, host: str) -> bool:
    """Whether anybody on a host follows the actor, accepted, and may read."""
    found = await reader.fetch_value(
        "SELECT 1 FROM follows f JOIN actors a ON a.id = f.follower_id"
        f" WHERE f.followed_id = ? AND f.state = ? AND a.host = ? AND {_STANDING} AND {_HEARS}"
        " LIMIT 1",
        (actor_id, FollowState.ACCEPTED.value, host),
    )
    return found is not None


async def counts(reader: Reader, actor_id: str) -> tuple[int, int]:
    """(followers, following), accepted ones."""
    state = FollowState.ACCEPTED.value
    followers = await reader.fetch_value(
        "SELECT COUNT(*) FROM follows WHERE followed_id = ? AND state = ?", (actor_id, state)
    )
    following = await reader.fetch_value(
        "SELECT COUNT(*) FROM follows WHERE follower_id = ? AND state = ?", (actor_id, state)
    )
    return int(followers), int(following)
