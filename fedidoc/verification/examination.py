"""What the examination of a credential found, check by check, as values. Pure.

`checks.examine` makes one; pages, the API and `fedidoc credential check` show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from fedidoc.model import Badge


class Step(StrEnum):
    """What is looked at, in this order."""

    DOCUMENT = "document"  # strict JSON, and a credential of the known kind
    ISSUER = "issuer"  # who says so, and whether that is somebody trusted
    PURPOSE = "purpose"  # one proof, by the pinned key, made for this purpose
    PROOF = "proof"  # the signature over every word of it
    DATES = "dates"
    STATUS = "status"  # the issuer's list of what it took back
    SUBJECT = "subject"  # whom it is about
    CONTENT = "content"  # profession, specialty, assurance
    NAMED = "named"  # the actor names the credential


class Result(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_MADE = "not_made"  # an earlier check failed, or it was left out on purpose


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `detail` is a sentence that may be shown, `at` when its evidence was seen (UTC
    milliseconds): the moment of the examination, of a status list the moment it was fetched."""

    step: Step
    result: Result
    detail: str
    at: int


@dataclass(frozen=True, slots=True)
class Examination:
    """The badge that a credential earns, and every check that led to it, in order."""

    badge: Badge
    checks: tuple[Check, ...]

    def result(self, step: Step) -> Result:
        return next(check.result for check in self.checks if check.step is step)


class Record:
    """Checks as they are made; `whole()` says of the rest that it was not come to."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._made: list[Check] = []
        self._steps = iter(Step)
        self._step = next(self._steps)

    def passed(self, detail: str, *, at: int | None = None) -> None:
        """The check that is at hand holds; on to the next."""
        self._note(Result.PASSED, detail, at)

    def left_out(self, detail: str) -> None:
        self._note(Result.NOT_MADE, detail, None)

    def failed(self, detail: str) -> None:
        self._note(Result.FAILED, detail, None)

    def whole(self) -> tuple[Check, ...]:
        made = {check.step for check in self._made}
        rest = (
            Check(step, Result.NOT_MADE, "Not looked at, since an earlier check failed.", self._now)
            for step in Step
            if step not in made
        )
        return (*self._made, *rest)

    def _note(self, result: Result, detail: str, at: int | None) -> None:
        self._made.append(Check(self._step, result, detail, self._now if at is None else at))
        self._step = next(self._steps, self._step)


def day(moment: int) -> str:
    """`12 Nov 2026` (UTC)."""
    date = datetime.fromtimestamp(moment // 1000, UTC)
    return f"{date.day} {date:%b %Y}"


def minute(moment: int) -> str:
    """`12 Nov 2026, 14:03 UTC`."""
    return f"{day(moment)}, {datetime.fromtimestamp(moment // 1000, UTC):%H:%M} UTC"
