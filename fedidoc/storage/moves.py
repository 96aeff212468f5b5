"""Where actors went, and which others they say they are. URIs throughout."""

from __future__ import annotations

import json
from collections.abc import Collection

from fedidoc.storage.statements import Reader, Transaction


async def aliases(reader: Reader, actor_id: str) -> tuple[str, ...]:
    """`alsoKnownAs` of an actor, local or remote, as it was set or fetched last."""
    text = await reader.fetch_value("SELECT also_known_as FROM actors WHERE id = ?", (actor_id,))
    return tuple(json.loads(text)) if text else ()


async def set_aliases(tx: Transaction, actor_id: str, uris: Collection[str]) -> None:
    text = json.dumps(list(dict.fromkeys(uris))) if uris else ""
    await tx.execute("UPDATE actors SET also_known_as = ? WHERE id = ?", (text, actor_id))


async def moved_to(reader: Reader, actor_id: str) -> str | None:
    """The URI of the actor that this one became."""
    found: str | None = await reader.fetch_value(
        "SELECT moved_to FROM actors WHERE id = ?", (actor_id,)
    )
    return found


async def set_moved_to(tx: Transaction, actor_id: str, uri: str | None) -> bool:
    """False if it stood so already."""
    changed = await tx.execute(
        "UPDATE actors SET moved_to = ? WHERE id = ? AND COALESCE(moved_to, '') <> ?",
        (uri, actor_id, uri or ""),
    )
    return changed == 1
