"""What applicants and reviewers are shown: an application's states, and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedidoc.model import Account
from fedidoc.verification.claims import Claim
from fedidoc.verification.evidence import Evidence, EvidenceKind
from fedidoc.verification.exclusions import Hit
from fedidoc.verification.listings import Listing
from fedidoc.verification.policy import Level


class State(StrEnum):
    APPLIED = "applied"
    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


GRAPH: Final[Mapping[State, frozenset[State]]] = {
    State.APPLIED: frozenset({State.ASKED, State.APPROVED, State.REFUSED, State.WITHDRAWN}),
    State.ASKED: frozenset({State.APPLIED, State.APPROVED, State.REFUSED, State.WITHDRAWN}),
    State.APPROVED: frozenset(),
    State.REFUSED: frozenset(),
    State.WITHDRAWN: frozenset(),
}
OPEN: Final = tuple(state for state, after in GRAPH.items() if after)


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """An application with its claim opened: for the applicant and for reviewers only.

    `reason` is what the reviewer asked, or why it was refused; `decided_by` a username, or the
    operator's own word.
    """

    id: str
    account: Account
    claim: Claim
    state: State
    created: int
    decided: int | None
    decided_by: str | None
    reason: str | None
    digest: str = ""
    """Of the claim as it stands: what a reviewer decides on is what they saw."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What a reviewer wrote, when; `by` is a username."""

    by: str
    at: int
    words: str


@dataclass(frozen=True, slots=True)
class JudgedHit:
    """An entry of an exclusion list, with what a reviewer found it to be; `key` names it in a form.

    One that holds and that nobody judged stands in the way of an approval.
    """

    key: str
    hit: Hit
    judgement: Saying | None

    @property
    def open(self) -> bool:
        return self.hit.holds and self.judgement is None


@dataclass(frozen=True, slots=True)
class ProposalView:
    """One reviewer's approval that waits for another's. `by_id` is the first one's account."""

    by: str
    by_id: str
    at: int
    kinds: tuple[EvidenceKind, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Way:
    """Evidence that together gives a level, with what of it is not held yet."""

    level: Level
    needed: tuple[EvidenceKind, ...]
    missing: tuple[EvidenceKind, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A line of an application's history; `who` is a username, or a command's or service's name."""

    at: int
    who: str
    action: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything a reviewer sees side by side.

    `blockers` are reasons why this cannot be approved as it stands; `kinds` the evidence that the
    reviewer may give; `listings` what registers have, the best match first, and `asked` the names
    of those that were looked into; `same_npi` and `same_licence` other members' applications with
    the same number; `ways` what gives which level.
    """

    application: ApplicationView
    listings: tuple[Listing, ...]
    asked: tuple[str, ...]
    same_npi: tuple[ApplicationView, ...]
    same_licence: tuple[ApplicationView, ...]
    hits: tuple[JudgedHit, ...]
    lists_loaded: bool
    evidence: tuple[Evidence, ...]
    kinds: tuple[EvidenceKind, ...]
    ways: tuple[Way, ...]
    blockers: tuple[str, ...]
    proposal: ProposalView | None
    notes: tuple[Saying, ...]
    history: tuple[Step, ...]
    names: Mapping[str, str]
    """Usernames by account id, of everybody named in `evidence`."""
