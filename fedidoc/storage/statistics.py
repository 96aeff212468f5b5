"""How much there is: numbers for the operator, never names."""

from __future__ import annotations

from fedidoc.storage.statements import Reader


async def tally(reader: Reader) -> dict[str, int]:
    """Members' accounts here; actors, posts and peers known here, without what was deleted."""
    row = await reader.fetch_one(
        "SELECT (SELECT COUNT(*) FROM accounts) AS members,"
        " (SELECT COUNT(*) FROM actors WHERE deleted IS NULL) AS actors,"
        " (SELECT COUNT(*) FROM posts WHERE deleted IS NULL) AS posts,"
        " (SELECT COUNT(*) FROM peers) AS peers"
    )
    assert row is not None  # an aggregate always has a row
    return {name: int(row[name]) for name in ("members", "actors", "posts", "peers")}
