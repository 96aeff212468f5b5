"""Memory that cannot grow: what a stranger can fill is a cache of fixed size."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """A mapping that keeps the `size` most recently used entries."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: Key) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()


class Allowance(Generic[Key]):
    """So many uses a key in so many milliseconds, for the `size` keys that were used last.

    A token bucket: it fills steadily, and holds `uses` at most.
    """

    def __init__(self, uses: int, per_ms: int, *, size: int = 10_000) -> None:
        self._uses = uses
        self._per_ms = per_ms
        self._left: Recent[Key, tuple[float, int]] = Recent(size)

    def has(self, key: Key, now: int) -> bool:
        """Whether one more use would be allowed."""
        return self._now_left(key, now) >= 1

    def take(self, key: Key, now: int) -> bool:
        """Whether one more use is allowed; it is counted if it is."""
        left = self._now_left(key, now)
        self._left.put(key, (left - 1 if left >= 1 else left, now))
        return left >= 1

    def _now_left(self, key: Key, now: int) -> float:
        left, then = self._left.get(key) or (float(self._uses), now)
        return min(self._uses, left + max(0, now - then) * self._uses / self._per_ms)

    @property
    def wait_ms(self) -> int:
        """How long one use takes to come back."""
        return -(-self._per_ms // self._uses)
