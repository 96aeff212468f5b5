"""Follows seen from one actor, for many others at once."""

from __future__ import annotations

from collections.abc import Iterable

from fedidoc.model import FollowState
from fedidoc.storage.statements import Reader, among


async def followed_among(reader: Reader, actor_id: str, others: Iterable[str]) -> set[str]:
    """Which of the others an actor follows, accepted."""
    where, params = among("followed_id", others)
    rows = await reader.fetch_all(
        f"SELECT followed_id FROM follows WHERE follower_id = ? AND state = ? AND {where}",
        (actor_id, FollowState.ACCEPTED.value, *params),
    )
    return {row["followed_id"] for row in rows}


async def followers_among(reader: Reader, actor_id: str, others: Iterable[str]) -> set[str]:
    """Which of the others follow an actor, accepted."""
    where, params = among("follower_id", others)
    rows = await reader.fetch_all(
        f"SELECT follower_id FROM follows WHERE followed_id = ? AND state = ? AND {where}",
        (actor_id, FollowState.ACCEPTED.value, *params),
    )
    return {row["follower_id"] for row in rows}
