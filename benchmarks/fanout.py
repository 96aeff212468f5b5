"""What it costs the server to bring one post to followers on 200 hosts.

    python -m benchmarks.fanout [--hosts 200] [--posts 5] [--software simulated|fedidoc]

A real `fedidoc serve` on one core; a simulated peer listens on 200 loopback addresses, each a host
of its own with one follower. With `--software fedidoc` the hosts say they are fedidoc instances, so
that deliveries are signed with Ed25519 (RFC 9421) instead of RSA. Printed is the server's CPU time
per 1,000 deliveries, also as a multiple of 1,000 RSA-2048 signatures in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import uuid
from pathlib import Path

from benchmarks.inbox import _post_all, _request
from benchmarks.measure import calibrate, cpu_of, pin
from benchmarks.peer import SimulatedPeer
from tests.instance import Instance, free_port, until

_CASE = (
    "A man in his sixties with three hours of chest pressure after shovelling snow. "
    "The pain eased at rest and came back on the stairs. "
) * 6


async def measure(hosts: int, posts: int, software: str) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        instance = Instance(Path(folder) / "bench").init()
        names = [f"127.0.{1 + n // 250}.{1 + n % 250}" for n in range(hosts)]
        peer = SimulatedPeer(names, free_port(), software)
        await peer.start()

        def command(*words: str) -> list[dict[str, object]]:
            return instance.command(*words)

        member = (await loop.run_in_executor(None, instance.member, "bench"))["actor"]
        await loop.run_in_executor(
            None,
            lambda: command(
                "peer",
                "allow",
                *[f"{name}:{peer.port}" for name in names],
                "--no-require-credential",
            ),
        )
        await loop.run_in_executor(None, instance.start)
        assert instance.process is not None
        pid = instance.process.pid
        pin(pid, 0)
        url = f"{member}/inbox"
        try:
            follows = []
            for name in names:
                body = json.dumps(
                    {
                        "@context": "https://www.w3.org/ns/activitystreams",
                        "id": f"http://{name}:{peer.port}/follows/{uuid.uuid4()}",
                        "type": "Follow",
                        "actor": peer.actor(name),
                        "object": member,
                    }
                ).encode()
                follows.append(_request(peer, name, url, body))
            statuses = await _post_all(peer, url, follows, 8)
            assert set(statuses) == {202}, set(statuses)

            def settled(total: int) -> bool:
                return instance.queue()["delivery"]["done"] >= total

            await loop.run_in_executor(None, until, lambda: settled(hosts), 120)
            text = Path(folder) / "case.txt"
            text.write_text(_CASE)
            reference = calibrate(500)
            before = cpu_of(pid)
            for number in range(posts):
                await loop.run_in_executor(
                    None,
                    lambda n=number: command(
                        "case", "open", "bench", "--title", f"Chest pressure {n}",
                        "--text", str(text), "--audience", "followers",
                    ),
                )  # fmt: skip
                wanted = hosts * (number + 2)
                await loop.run_in_executor(None, until, lambda w=wanted: settled(w), 120)
            cpu = cpu_of(pid) - before
            reference += calibrate(500)
            assert sum(peer.posted.values()) == hosts * (posts + 1), peer.posted.total()
        finally:
            instance.stop()
            await peer.stop()
    per_thousand = cpu * 1000 / (hosts * posts)
    return {
        "hosts": hosts,
        "posts": posts,
        "schemes": dict(peer.schemes),
        "server_cpu_seconds_per_1000_deliveries": round(per_thousand, 3),
        "rsa_2048_signatures_1000_seconds": round(reference, 3),
        "multiple_of_rsa": round(per_thousand / reference, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--posts", type=int, default=5)
    parser.add_argument("--software", default="simulated", choices=["simulated", "fedidoc"])
    options = parser.parse_args()
    print(
        json.dumps(asyncio.run(measure(options.hosts, options.posts, options.software)), indent=2)
    )


if __name__ == "__main__":
    main()
