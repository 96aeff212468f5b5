"""Notifications: what happened that a local member should know of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedidoc.model import NotificationKind, PeerPolicy
from fedidoc.storage.statements import Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class Notice:
    """For the member with `for_id` (an actor's id): `actor_id` did something about `post_id`."""

    id: str
    for_id: str
    kind: NotificationKind
    actor_id: str | None
    post_id: str | None
    at: int
    read: bool = False


def _notice_of(row: Row) -> Notice:
    return Notice(
        row["id"],
        row["account_actor_id"],
        NotificationKind(row["kind"]),
        row["actor_id"],
        row["post_id"],
        row["at"],
        bool(row["read"]),
    )


async def put(tx: Transaction, notices: Sequence[Notice]) -> None:
    """Store notices in one statement."""
    await tx.insert_many(
        "notifications",
        ("id", "account_actor_id", "kind", "actor_id", "post_id", "at"),
        [(n.id, n.for_id, n.kind.value, n.actor_id, n.post_id, n.at) for n in notices],
    )


async def page(reader: Reader, actor_id: str, before: str, limit: int) -> list[Notice]:
    """Newest first; `before` is a notice's id, or "" for the newest."""
    rows = await reader.fetch_all(
        "SELECT * FROM notifications WHERE account_actor_id = ? AND (? = '' OR id < ?)"
        " ORDER BY id DESC LIMIT ?",
        (actor_id, before, before, limit),
    )
    return [_notice_of(row) for row in rows]


async def unread(reader: Reader, actor_id: str) -> int:
    """How many were not read; not counting those by actors whom the member blocks, or whose server
    is blocked."""
    count: int = await reader.fetch_value(
        "SELECT COUNT(*) FROM notifications n WHERE n.account_actor_id = ? AND n.read = 0"
        " AND NOT EXISTS (SELECT 1 FROM blocks k"
        " WHERE k.blocker_id = n.account_actor_id AND k.blocked_id = n.actor_id)"
        " AND NOT EXISTS (SELECT 1 FROM actors a JOIN peers b ON b.host = a.host"
        f" WHERE a.id = n.actor_id AND b.policy = '{PeerPolicy.BLOCKED.value}')",
        (actor_id,),
    )
    return count


async def mark_read(tx: Transaction, actor_id: str, up_to: str) -> None:
    """All notices up to one, by id."""
    await tx.execute(
        "UPDATE notifications SET read = 1 WHERE account_actor_id = ? AND read = 0 AND id <= ?",
        (actor_id, up_to),
    )


async def forget_actor(tx: Transaction, actor_id: str) -> None:
    """What an actor that is gone did."""
    await tx.execute("DELETE FROM notifications WHERE actor_id = ?", (actor_id,))


async def forget_between(tx: Transaction, for_id: str, actor_id: str) -> None:
    """What one actor did that a member was told of."""
    await tx.execute(
        "DELETE FROM notifications WHERE account_actor_id = ? AND actor_id = ?", (for_id, actor_id)
    )


async def take_back(
    tx: Transaction, for_id: str, kind: NotificationKind, actor_id: str, post_id: str | None
) -> None:
    """Remove the notice of something that was undone."""
    post, params = ("post_id = ?", (post_id,)) if post_id is not None else ("post_id IS NULL", ())
    await tx.execute(
        "DELETE FROM notifications"
        f" WHERE account_actor_id = ? AND kind = ? AND actor_id = ? AND {post}",
        (for_id, kind.value, actor_id, *params),
    )
