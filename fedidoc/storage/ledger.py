"""The delivery ledger: which servers were sent a post, and how that stands."""

from __future__ import annotations

from fedidoc.storage.statements import Reader


async def of_post(reader: Reader, post_id: str) -> list[tuple[str, str, int | None]]:
    """(host, state of the latest delivery to it, when that ended or is tried next), by host.

    A host with several inboxes is `waiting` while any of them is.
    """
    rows = await reader.fetch_all(
        "SELECT d.host, d.state, d.finished, d.next_at, d.activity_id FROM deliveries d"
        " JOIN activities x ON x.id = d.activity_id WHERE x.post_id = ?"
        " ORDER BY d.host, d.activity_id, d.id",
        (post_id,),
    )
    order = {"done": 0, "dead": 1, "waiting": 2}
    found: dict[str, tuple[str, str, int | None]] = {}
    latest: dict[str, str] = {}
    for row in rows:
        host, state = row["host"], row["state"]
        at = row["next_at"] if state == "waiting" else row["finished"]
        if latest.get(host) == row["activity_id"] and order[state] < order[found[host][1]]:
            continue
        latest[host] = row["activity_id"]
        found[host] = (host, state, at)
    return list(found.values())
