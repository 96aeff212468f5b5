"""What it costs the server to take 1,000 signed Creates from a peer to storage and notification.

    python -m benchmarks.inbox [--count 1000] [--connections 8]

A real `fedidoc serve` on one core, a simulated peer on the other. Each Create is a reply of about
2 KB that mentions a member. Measured is the server's CPU time from the first request until every
activity is processed and every notification written; it is printed in seconds and as a multiple of
the CPU time of 1,000 RSA-2048 signatures on the same machine in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from pathlib import Path

from benchmarks.measure import calibrate, cpu_of, pin
from benchmarks.peer import SimulatedPeer
from tests.instance import Instance, free_port, until

_WORDS = "The troponin was flat over six hours and the echo shows a normal ventricle. "


def _create(peer: SimulatedPeer, host: str, member: str, number: int) -> bytes:
    actor = peer.actor(host)
    note = f"http://{host}:{peer.port}/notes/{uuid.uuid4()}"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    to = [member, "https://www.w3.org/ns/activitystreams#Public"]
    return json.dumps(
        {
            "@context": ["https://www.w3.org/ns/activitystreams", {"sensitive": "as:sensitive"}],
            "id": f"{note}/activity",
            "type": "Create",
            "actor": actor,
            "published": now,
            "to": to,
            "cc": [f"{actor}/followers"],
            "object": {
                "id": note,
                "type": "Note",
                "attributedTo": actor,
                "content": f"<p>Answer {number}. {_WORDS * 12}</p>",
                "published": now,
                "to": to,
                "cc": [f"{actor}/followers"],
                "tag": [{"type": "Mention", "href": member, "name": "@member"}],
            },
        }
    ).encode()


async def _post_all(
    peer: SimulatedPeer, target: str, requests: list[bytes], connections: int
) -> list[int]:
    """Send every request over keep-alive connections; the statuses that came back."""
    waiting = list(reversed(requests))
    host, port = target.removeprefix("http://").split("/")[0].split(":")
    statuses: list[int] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while waiting:
            writer.write(waiting.pop())
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            statuses.append(int(head[9:12]))
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line[15:])
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return statuses


def _request(peer: SimulatedPeer, host: str, url: str, body: bytes) -> bytes:
    path = "/" + url.removeprefix("http://").partition("/")[2]
    headers = peer.headers(host, url, body)
    headers.setdefault("Content-Type", "application/activity+json")
    headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def measure(count: int, connections: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        instance = Instance(Path(folder) / "bench").init()
        peer = SimulatedPeer(["127.0.0.1"], free_port())
        await peer.start()
        loop = asyncio.get_running_loop()
        member = (await loop.run_in_executor(None, instance.member, "bench"))["actor"]
        instance_peer = f"127.0.0.1:{peer.port}"
        await loop.run_in_executor(
            None, instance.command, "peer", "allow", instance_peer, "--no-require-credential"
        )
        await loop.run_in_executor(None, instance.start)
        assert instance.process is not None
        pid = instance.process.pid
        pin(pid, 0)
        url = f"{member}/inbox"
        try:
            warm = [
                _request(peer, "127.0.0.1", url, _create(peer, "127.0.0.1", member, -n))
                for n in range(20)
            ]
            statuses = await _post_all(peer, url, warm, 2)
            assert set(statuses) == {202}, statuses
            await loop.run_in_executor(
                None, until, lambda: instance.queue()["inbox"]["done"] >= 20, 30
            )
            requests = [
                _request(peer, "127.0.0.1", url, _create(peer, "127.0.0.1", member, n))
                for n in range(count)
            ]
            reference = calibrate(500)
            before, started = cpu_of(pid), time.monotonic()
            statuses = await _post_all(peer, url, requests, connections)
            answered, cpu_answered = time.monotonic() - started, cpu_of(pid) - before
            assert set(statuses) == {202}, set(statuses)
            await loop.run_in_executor(
                None, until, lambda: instance.queue()["inbox"]["done"] >= count + 20, 60
            )
            cpu = cpu_of(pid) - before
            reference += calibrate(500)
            assert instance.queue()["inbox"]["dead"] == 0
            posts = instance.stats()["posts"]
            assert posts == count + 20, posts
        finally:
            instance.stop()
            await peer.stop()
    scale = 1000 / count
    return {
        "activities": count,
        "connections": connections,
        "server_cpu_seconds_per_1000": round(cpu * scale, 3),
        "of_which_before_202": round(cpu_answered * scale, 3),
        "seconds_until_answered": round(answered, 2),
        "rsa_2048_signatures_1000_seconds": round(reference, 3),
        "multiple_of_rsa": round(cpu * scale / reference, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.count, options.connections)), indent=2))


if __name__ == "__main__":
    main()
