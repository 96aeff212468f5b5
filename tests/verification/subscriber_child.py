"""Takes one list after another until it is killed: `subscriber_child.py URL SEED_FILE`.

The file holds lists that follow each other, one a line, as hex; each line on standard output says
that one was taken.
"""

import asyncio
import json
import sys
from pathlib import Path

from fedidoc.clock import FrozenClock
from fedidoc.config import TrustListRules
from fedidoc.storage.engine import Database
from fedidoc.verification.subscriptions import Subscriptions
from fedidoc.verification.trust import Trust


async def main(url: str, file: str) -> None:
    content = json.loads(Path(file).read_text())
    db = await Database.open(url)
    clock = FrozenClock(at=content["now"])
    trust = Trust(db, clock, own_host="own.example")
    rules = TrustListRules(content["url"], tuple(content["keys"]), content["threshold"])
    subscriptions = Subscriptions(db, clock, trust, {"society": rules}, own_host="own.example")
    await subscriptions.begin()
    stand = await subscriptions.held("society")
    print("ready", flush=True)
    for text in content["lists"][stand.row.sequence or 0 :]:
        verdict = await subscriptions.take("society", [text.encode()])
        assert verdict.accepted, verdict
        print(verdict.text, flush=True)
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
