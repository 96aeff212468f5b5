"""What other servers really send, sent to us by a peer: every one comes to an end, none to harm."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from fedidoc.storage import queues
from tests.federation.pair import Pair


def payloads(corpora: Path) -> list[dict[str, Any]]:
    with (corpora / "PAYLOADS.csv").open(newline="") as listing:
        sources = sorted({row["source"] for row in csv.DictReader(listing)})
    found = []
    for path in (p for source in sources for p in sorted((corpora / source).rglob("*.json"))):
        try:
            document = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(document, dict) and document.get("type"):
            found.append(document)
    return found


def rehost(value: Any, old: str, new: str) -> Any:
    """The document with every mention of one id replaced by another."""
    return json.loads(json.dumps(value).replace(json.dumps(old)[1:-1], new)) if old else value


async def test_every_payload_comes_to_an_end(pair: Pair, corpora: Path) -> None:
    bob = await pair.society.actor_of(pair.bob)
    base = pair.society.urls.base
    documents = payloads(corpora)
    assert len(documents) > 200
    answers = []
    for number, document in enumerate(documents):
        actor = document.get("actor")
        own = rehost(document, actor, bob.uri) if isinstance(actor, str) else document
        own |= {"id": f"{base}/activities/{number}", "actor": bob.uri}
        if isinstance(own.get("object"), dict) and isinstance(own["object"].get("id"), str):
            # Half of them as posts of Bob's own server, so that they get further.
            if number % 2:
                own["object"]["id"] = f"{base}/objects/{number}"
            own["object"]["attributedTo"] = bob.uri
        if own.get("type") == "Delete" or (own.get("type") == "Undo" and number % 2):
            own["object"] = f"{base}/objects/{number - 1}"
        answers.append(await pair.society.post_as(bob, pair.hospital, own))
    assert set(answers) <= {202, 400}
    assert answers.count(202) > 150
    await pair.hospital.runner.drain()  # raises what a handler raised
    counts = (await queues.counts(pair.hospital.db))["inbox"]
    assert (counts["waiting"], counts["dead"]) == (0, 0)
    rows = await pair.hospital.db.fetch_all("SELECT DISTINCT effect FROM inbox")
    words = {row["effect"].partition(":")[0] for row in rows}
    assert words <= {"stored", "known", "ignore", "refused", "deleted", "refreshed", "edited",
                     "accepted", "undone"}  # fmt: skip
    assert {"stored", "ignore", "refused", "deleted"} <= words
