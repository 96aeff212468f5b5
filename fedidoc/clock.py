"""Time and identifiers, both injectable so that tests can move the one and repeat the other."""

from __future__ import annotations

import os
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

# Crockford's base 32 in lower case: no i, l, o, u, so that an id can be read over a phone.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class _Steps:
    """Random numbers of 16 bits from the system, 2,048 at a time: each call of it costs more than
    all the rest of an id. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[int] = []

    def next(self) -> int:
        with self._lock:
            if not self._left:
                self._left = memoryview(os.urandom(4_096)).cast("H").tolist()
            return self._left.pop()


_steps = _Steps()


@dataclass
class Clock:
    """The time now, in UTC milliseconds since 1970, and fresh identifiers."""

    _last: int = field(default=0, init=False)
    _tail: int = field(default=0, init=False)

    def now(self) -> int:
        """UTC milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def sortable_id(self) -> str:
        """26 characters that sort by creation time: 48 bits of milliseconds, 80 random bits.

        Ids of one process sort in the order they were made even within a millisecond and when
        the system's clock steps back. Never for anything that a pseudonym could be linked by.
        """
        moment = max(self.now(), self._last)
        if moment == self._last:
            self._tail += 1 + _steps.next()
        else:
            self._last, self._tail = moment, secrets.randbits(79)
        return _encode((moment << 80) | (self._tail & ((1 << 80) - 1)))

    def random_id(self) -> str:
        """26 characters, 128 random bits, no order."""
        return _encode(secrets.randbits(128))


@dataclass
class DayClock(Clock):
    """Another clock, no finer than a day (UTC), or than a month: for what pseudonyms write.

    Its sortable ids begin with that day too, so that neither time nor id says when in it.
    """

    exact: Clock
    months: bool = False

    def now(self) -> int:
        moment = self.exact.now()
        if not self.months:
            return moment - moment % DAY
        first = datetime.fromtimestamp(moment // 1000, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        return int(first.timestamp() * 1000)


@dataclass
class FrozenClock(Clock):
    """A clock that moves only when told: `clock.advance(DAY)`."""

    at: int = 1_790_000_000_000

    def now(self) -> int:
        return self.at

    def advance(self, milliseconds: int) -> None:
        self.at += milliseconds


def _encode(number: int) -> str:
    """128 bits as 26 digits, two at a time: ids are made for every row that comes in."""
    digits = []
    for _ in range(13):
        number, low = divmod(number, 1024)
        digits.append(_PAIRS[low])
    digits.reverse()
    return "".join(digits)


def iso(milliseconds: int) -> str:
    """UTC milliseconds as `2026-11-23T16:59:00Z` (RFC 3339, whole seconds)."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_iso(text: str) -> int | None:
    """An ISO 8601 / RFC 3339 time as UTC milliseconds; None if it is not one or out of range.

    A time without an offset is taken as UTC, as most peers mean it.
    """
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return int(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None
