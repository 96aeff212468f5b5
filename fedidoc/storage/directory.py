"""Finding local colleagues by name and specialty.

Reads the public side only: what stands in an actor's row and its badge, never the accounts.
"""

from __future__ import annotations

import json

from fedidoc.model import Actor, ActorKind
from fedidoc.storage.actors import actor_of
from fedidoc.storage.engine import Reader


async def search(
    reader: Reader, *, query: str, specialty: str, after: str | None, limit: int
) -> list[Actor]:
    """Verified local people who let themselves be found, by name.

    `query` is part of a name or username, `specialty` a NUCC code; either may be empty. `after` is
    the internal id of the last actor of the page before.
    """
    conditions = [
        "local = 1", "kind = ?", "discoverable = 1", "suspended IS NULL", "deleted IS NULL",
        "badge LIKE '%\"verified\":true%'",
    ]  # fmt: skip
    values: list[object] = [ActorKind.PERSON.value]
    if query:
        like = f"%{_escape(query.lower())}%"
        conditions.append("(lower(name) LIKE ? ESCAPE '\\' OR username LIKE ? ESCAPE '\\')")
        values += [like, like]
    if specialty:
        conditions.append("badge LIKE ? ESCAPE '\\'")
        values.append(f'%"code":{_escape(json.dumps(specialty))}%')
    if after is not None:
        # The database compares its own lower(): that of SQLite knows ASCII only.
        conditions.append("(lower(name), id) > (SELECT lower(name), id FROM actors WHERE id = ?)")
        values.append(after)
    rows = await reader.fetch_all(
        f"SELECT * FROM actors WHERE {' AND '.join(conditions)} ORDER BY lower(name), id LIMIT ?",
        (*values, limit),
    )
    return [actor_of(row) for row in rows]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
