"""Domain events, looked up by what they are about."""

from __future__ import annotations

from fedidoc.model import EventKind
from fedidoc.storage.statements import Reader


async def about(reader: Reader, kind: EventKind, subject: str) -> str | None:
    """The id of the newest event of that kind about a subject; None if there is none.

    The activity that tells other servers of it has the same id.
    """
    found: str | None = await reader.fetch_value(
        "SELECT id FROM events WHERE kind = ? AND subject = ? ORDER BY id DESC LIMIT 1",
        (kind.value, subject),
    )
    return found
