"""A bounded memory of who tried what how often: token buckets, the least used forgotten first."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field

from fedidoc.clock import Clock
from fedidoc.errors import TooMany


@dataclass
class Throttle:
    """Each key may do `burst` things at once, then one every `every` milliseconds.

    Holds at most `size` keys, so that no flood of names or addresses fills the memory.
    """

    clock: Clock
    burst: int
    every: int
    size: int = 10_000
    _buckets: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict, init=False)

    def take(self, key: str) -> None:
        """Use one; TooMany with the seconds to wait when there is none left."""
        now = self.clock.now()
        left, at = self._buckets.pop(key, (float(self.burst), now))
        left = min(float(self.burst), left + max(0, now - at) / self.every)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self.size:
            self._buckets.popitem(last=False)
        if not allowed:
            seconds = int((1 - left) * self.every / 1000) + 1
            raise TooMany(
                f"That was tried too often; try again in {_words(seconds)}.", retry_after=seconds
            )

    def give_back(self, key: str) -> None:
        """What was taken did not count after all."""
        if key in self._buckets:
            left, at = self._buckets[key]
            self._buckets[key] = (min(float(self.burst), left + 1), at)

    def __len__(self) -> int:
        return len(self._buckets)


def _words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} seconds"
    return f"{(seconds + 59) // 60} minutes"


def network_of(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
