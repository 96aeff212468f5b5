"""What makes an application urgent, in words, and how much. Pure.

The queue is sorted by the sum of the weights, then by age: what could harm stands first, then what
can be settled quickly, and nobody is overtaken for ever, since waiting itself weighs more each day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedidoc.clock import DAY


class Cause(StrEnum):
    """Why an application should be looked at soon; the values stand in the queue's address."""

    HIT = "exclusion"
    DUPLICATE = "duplicate"
    PROPOSED = "proposed"
    CONFIRMED = "confirmed"
    EXPIRING = "expiring"
    WAITING = "waiting-long"


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause with its words and its weight."""

    cause: Cause
    words: str
    weight: int


LONG: Final = 3 * DAY
SOON: Final = 30 * DAY
_WEIGHTS: Final = {
    Cause.HIT: 60,
    Cause.DUPLICATE: 40,
    Cause.PROPOSED: 30,
    Cause.CONFIRMED: 25,
    Cause.EXPIRING: 20,
}
_MOST_FOR_WAITING: Final = 100


def reasons(
    now: int,
    created: int,
    *,
    hits: int = 0,
    duplicates: int = 0,
    proposed: bool = False,
    confirmed: bool = False,
    ends: Iterable[int] = (),
) -> tuple[Reason, ...]:
    """Why an application filed at `created` is urgent at `now` (ms), the weightiest first.

    `hits` are exclusions that nobody has judged, `duplicates` other members with the same licence
    or NPI, `proposed` one reviewer's approval that waits for a second, `confirmed` that the
    employer or its identity provider said who it is, `ends` when evidence that is held or the
    licence runs out.
    """
    found: list[Reason] = []

    def add(cause: Cause, words: str, weight: int | None = None) -> None:
        found.append(Reason(cause, words, _WEIGHTS[cause] if weight is None else weight))

    if hits:
        add(Cause.HIT, "On an exclusion list?")
    if duplicates:
        add(Cause.DUPLICATE, "Same licence or NPI as another member")
    if proposed:
        add(Cause.PROPOSED, "Waits for a second reviewer")
    if confirmed:
        add(Cause.CONFIRMED, "Confirmed by the employer")
    soon = min((end for end in ends if now < end <= now + SOON), default=None)
    if soon is not None:
        add(Cause.EXPIRING, f"Evidence runs out in {_days(soon - now)}")
    waited = now - created
    if waited > LONG:
        add(Cause.WAITING, f"Waiting {_days(waited)}", min(_MOST_FOR_WAITING, 5 * (waited // DAY)))
    return tuple(sorted(found, key=lambda reason: -reason.weight))


def score(found: Iterable[Reason]) -> int:
    """How urgent the reasons make it together; 0 for none."""
    return sum(reason.weight for reason in found)


def _days(milliseconds: int) -> str:
    days = max(1, milliseconds // DAY)
    return "1 day" if days == 1 else f"{days} days"
