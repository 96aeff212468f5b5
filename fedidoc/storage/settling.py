"""Settling: what pseudonyms did loses its hour, its order, and its place in the file.

The rooms write a pseudonym's rows with days for times and ids that begin with the day. What is left
is what the machinery under them writes: when a delivery ended, and, on SQLite, in which order rows
were added to a table that members' rows with exact times are in too. Both are taken out here, every
hour and before every backup. Once a day `Database.compact` writes the file anew besides, so that no
free page and no page's inner order keeps it.
"""

from __future__ import annotations

from typing import Final

from fedidoc.clock import DAY, Clock, DayClock, FrozenClock
from fedidoc.storage.statements import Transaction

# Tables that hold rows of pseudonyms among those of members: the order that their rows shall have,
# and whether it begins with the time. A test looks for tables that are missing here.
MIXED: Final = (
    ("activities", "id", True),
    ("actor_keys", "key_id", False),
    ("actors", "id", False),
    ("announces", "id", False),
    ("blocks", "blocker_id, blocked_id", False),
    ("cases", "post_id", True),
    ("credentials", "id", False),
    ("deliveries", "id", True),
    ("drafts", "id", False),
    ("events", "id", True),
    ("follows", "id", False),
    ("likes", "id", False),
    ("media", "id", False),
    ("notifications", "id", True),
    ("post_recipients", "post_id, actor_id", True),
    ("posts", "id", True),
    ("report_posts", "report_id, post_id", True),
    ("reports", "id", True),
    ("verified_spans", "actor_id, began", False),
)
_THEIRS: Final = "(SELECT id FROM actors WHERE pseudonymous = 1)"


async def round_times(tx: Transaction, clock: Clock) -> None:
    """What the queues noted about a pseudonym's doings, to the day."""
    coarse = DayClock(clock)
    await tx.execute(
        "UPDATE events SET next_at = next_at - next_at % ? WHERE state <> 'waiting'"
        f" AND next_at % ? <> 0 AND actor_id IN {_THEIRS}",
        (DAY, DAY),
    )
    rows = await tx.fetch_all(
        "SELECT id, created, finished, next_at FROM deliveries WHERE state <> 'waiting'"
        f" AND created % ? <> 0 AND actor_id IN {_THEIRS}",
        (DAY,),
    )
    await tx.execute_many(
        "UPDATE deliveries SET id = ?, created = ?, finished = ?, next_at = ? WHERE id = ?",
        [
            (
                coarse.sortable_id(),
                row["created"] - row["created"] % DAY,
                None if row["finished"] is None else row["finished"] - row["finished"] % DAY,
                row["next_at"] - row["next_at"] % DAY,
                row["id"],
            )
            for row in rows
        ],
    )


async def mix(tx: Transaction, clock: Clock, *, whole: bool) -> None:
    """Put the rows that were added since yesterday into the order of their ids (SQLite).

    A table's hidden row numbers count its rows as they came, so that they would say between which
    two members' rows a pseudonym's was added, also by a number that is missing. `whole` does it for
    every row of those tables whose ids say no time; once a day. PostgreSQL keeps no such number;
    see docs/decisions/0006-pseudonyms.md for what it does keep.
    """
    if tx.dialect != "sqlite":
        return
    today = DayClock(clock).now()
    since = DayClock(FrozenClock(max(0, today - DAY))).sortable_id()[:9]
    for table, order, by_time in MIXED:
        name = f"settled {table}"
        new = f"{order.partition(',')[0]} >= ?"
        params: tuple[str | int] = (since,)
        if not by_time:
            last = await tx.fetch_value("SELECT value FROM settings WHERE name = ?", (name,))
            new, params = "rowid > ?", (0 if whole or last is None else int(last),)
        below = await tx.fetch_value(
            f"SELECT COALESCE(MAX(rowid), 0) FROM {table} WHERE NOT ({new})", params
        )
        rows = await tx.fetch_all(
            f"SELECT rowid AS number FROM {table} WHERE {new} ORDER BY {order}", params
        )
        # By way of negative numbers, so that no two rows ever share one.
        await tx.execute_many(
            f"UPDATE {table} SET rowid = ? WHERE rowid = ?",
            [(-place, row["number"]) for place, row in enumerate(rows, 1)],
        )
        await tx.execute(f"UPDATE {table} SET rowid = ? - rowid WHERE rowid < 0", (below,))
        if whole and not by_time:
            await tx.execute(
                "INSERT INTO settings (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, str(below + len(rows))),
            )
