"""First pages: which cases and notes a reader sees, newest first, chosen by the database.

The condition on readers says in SQL what `clinical.audience.may_read` says of posts that begin a
thread; a test holds the two together. Hidden besides: posts of suspended actors, of blocked
servers and of those whom the reader blocks; those of limited servers are left out of the pages that
nobody asked for by name.
"""

from __future__ import annotations

from fedidoc.model import CaseState, FollowState, PeerPolicy, PostKind
from fedidoc.storage.cases import COLUMNS, SELECT
from fedidoc.storage.statements import Reader, Row

NEWEST = "~"
"""A cursor before everything: no id is greater."""

_FOLLOWED = (
    "EXISTS (SELECT 1 FROM follows f WHERE f.follower_id = ? AND f.followed_id = p.author_id"
    f" AND f.state = '{FollowState.ACCEPTED.value}')"
)
_READABLE = (
    "(p.author_id = ? OR p.audience IN ('public', 'verified')"
    f" OR (p.audience = 'followers' AND {_FOLLOWED})"
    " OR EXISTS (SELECT 1 FROM post_recipients r WHERE r.post_id = p.id AND r.actor_id = ?))"
    " AND NOT EXISTS (SELECT 1 FROM blocks k WHERE k.blocker_id = ? AND k.blocked_id = p.author_id)"
)
_STANDING = (
    "p.deleted IS NULL AND p.id < ? AND EXISTS (SELECT 1 FROM actors a WHERE a.id = p.author_id"
    " AND a.suspended IS NULL AND NOT EXISTS (SELECT 1 FROM peers b WHERE b.host = a.host"
    " AND ({hidden})))"
)
_SHOWN = _STANDING.format(hidden=f"b.policy = '{PeerPolicy.BLOCKED.value}'")
# A server whose trust is withheld is kept out of everybody's first page like a limited one.
_HEARD = _STANDING.format(
    hidden=f"b.withheld IS NOT NULL OR"
    f" b.policy IN ('{PeerPolicy.BLOCKED.value}', '{PeerPolicy.LIMITED.value}')"
)
_MINE = f"(COALESCE(c.specialty, '') = ? OR {_FOLLOWED})"

# CROSS JOIN is a plain join that SQLite does not turn round: `cases` gives the order.
_CASES_FIRST = f"SELECT {COLUMNS} FROM cases c CROSS JOIN posts p "

WAITING = (
    _CASES_FIRST + "WHERE c.state = ? AND c.post_id < ? AND p.id = c.post_id AND p.author_id <> ?"
    f" AND {{mine}} AND {_HEARD} AND {_READABLE} ORDER BY c.post_id DESC LIMIT ?"
)
OF_SPECIALTY = (
    _CASES_FIRST + "WHERE c.specialty = ? AND c.post_id < ? AND p.id = c.post_id"
    f" AND {_SHOWN} AND {_READABLE} ORDER BY c.post_id DESC LIMIT ?"
)
EVERY = (
    f"{SELECT} WHERE p.kind = '{PostKind.CASE.value}' AND {_HEARD} AND {_READABLE}"
    " ORDER BY p.id DESC LIMIT ?"
)
_MY_FOLLOWED = (
    f"SELECT followed_id FROM follows WHERE follower_id = ? AND state = '{FollowState.ACCEPTED}'"
)
OF_FOLLOWED = (
    f"{SELECT} WHERE (p.author_id IN ({_MY_FOLLOWED}) OR p.id IN (SELECT n.post_id FROM announces n"
    f" WHERE n.actor_id IN ({_MY_FOLLOWED}))) AND p.kind <> '{PostKind.REPLY.value}'"
    f" AND {_SHOWN} AND {_READABLE} ORDER BY p.id DESC LIMIT ?"
)
OF_AUTHOR = (
    f"{SELECT} WHERE p.author_id = ? AND p.kind <> '{PostKind.REPLY.value}'"
    f" AND {_SHOWN} AND {_READABLE} ORDER BY p.id DESC LIMIT ?"
)


def _reader(actor_id: str) -> tuple[str, str, str, str]:
    return (actor_id, actor_id, actor_id, actor_id)


async def waiting(
    reader: Reader,
    actor_id: str,
    state: CaseState,
    specialty: str,
    *,
    mine: bool,
    before: str,
    limit: int,
) -> list[Row]:
    """Cases of others in a state; `mine`: of the reader's specialty or of somebody they follow."""
    sql = WAITING.format(mine=_MINE if mine else f"NOT {_MINE}")
    params = (state.value, before, actor_id, specialty or "-", actor_id, before)
    return await reader.fetch_all(sql, (*params, *_reader(actor_id), limit))


async def of_specialty(
    reader: Reader, actor_id: str, specialty: str, before: str, limit: int
) -> list[Row]:
    """All cases of a specialty."""
    params = (specialty, before, before, *_reader(actor_id), limit)
    return await reader.fetch_all(OF_SPECIALTY, params)


async def every(reader: Reader, actor_id: str, before: str, limit: int) -> list[Row]:
    """All cases."""
    return await reader.fetch_all(EVERY, (before, *_reader(actor_id), limit))


async def of_followed(reader: Reader, actor_id: str, before: str, limit: int) -> list[Row]:
    """Cases and notes that those whom the reader follows wrote or passed on."""
    params = (actor_id, actor_id, before, *_reader(actor_id), limit)
    return await reader.fetch_all(OF_FOLLOWED, params)


async def of_author(
    reader: Reader, actor_id: str, author_id: str, before: str, limit: int
) -> list[Row]:
    """Cases and notes of one author."""
    return await reader.fetch_all(OF_AUTHOR, (author_id, before, *_reader(actor_id), limit))
