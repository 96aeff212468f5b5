"""The outside world in a thread of its own, so that tests without a loop can meet it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from benchmarks.peer import SimulatedPeer
from tests.instance import free_port

T = TypeVar("T")


class Loop:
    """An event loop that runs in a thread until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        return self.begin(work).result(seconds)

    def close(self) -> None:
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def simulated_peer(*hosts: str) -> Iterator[SimulatedPeer]:
    """A made-up server that answers on `hosts`, each with the same port."""
    peer = SimulatedPeer(list(hosts), free_port(hosts[0]))
    loop = Loop()
    try:
        loop.run(peer.start())
        yield peer
        loop.run(peer.stop())
    finally:
        loop.close()
