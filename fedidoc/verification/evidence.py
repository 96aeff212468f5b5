"""What was seen of a person, and the assurance that it gives.

The order of the levels is a promise to other instances: an identity provider or employer says more
than a register match with a document, that more than an e-mail from an institution, and that more
than colleagues' or the operator's word. A licence number or an NPI alone is no evidence of who
typed it (both are public), so there is no kind for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Assurance(StrEnum):
    """How well a person was verified, strongest first. The values stand in credentials."""

    EMPLOYER = "employer"  # an identity provider or employer says so
    REGISTER = "register"  # a register matches, and a document was seen
    INSTITUTIONAL_EMAIL = "institutional_email"
    VOUCHED = "vouched"

    @property
    def rank(self) -> int:
        """Higher is stronger."""
        return _RANKS[self]

    @property
    def words(self) -> str:
        """For people, to follow "verified"."""
        return _WORDS[self]


class EvidenceKind(StrEnum):
    IDENTITY_PROVIDER = "identity_provider"
    EMPLOYER = "employer"
    REGISTER_AND_DOCUMENT = "register_and_document"
    INSTITUTIONAL_EMAIL = "institutional_email"
    VOUCHES = "vouches"
    OPERATOR = "operator"  # the operator's own word, given with a reason

    @property
    def assurance(self) -> Assurance:
        return _ASSURANCES[self]

    @property
    def label(self) -> str:
        """For a reviewer to choose by."""
        return _LABELS[self]


_RANKS: Final = {level: len(Assurance) - place for place, level in enumerate(Assurance)}
_WORDS: Final = {
    Assurance.EMPLOYER: "by their employer or its identity provider",
    Assurance.REGISTER: "by a register match and a document",
    Assurance.INSTITUTIONAL_EMAIL: "by an institutional e-mail address",
    Assurance.VOUCHED: "by people who vouch for them",
}
_ASSURANCES: Final = {
    EvidenceKind.IDENTITY_PROVIDER: Assurance.EMPLOYER,
    EvidenceKind.EMPLOYER: Assurance.EMPLOYER,
    EvidenceKind.REGISTER_AND_DOCUMENT: Assurance.REGISTER,
    EvidenceKind.INSTITUTIONAL_EMAIL: Assurance.INSTITUTIONAL_EMAIL,
    EvidenceKind.VOUCHES: Assurance.VOUCHED,
    EvidenceKind.OPERATOR: Assurance.VOUCHED,
}
_LABELS: Final = {
    EvidenceKind.IDENTITY_PROVIDER: "Signed in through the employer's identity provider",
    EvidenceKind.EMPLOYER: "Confirmed with the employer",
    EvidenceKind.REGISTER_AND_DOCUMENT: "Matches the register, and I saw a document",
    EvidenceKind.INSTITUTIONAL_EMAIL: "Answered from an institutional e-mail address",
    EvidenceKind.VOUCHES: "Known to me or to colleagues who vouch",
    EvidenceKind.OPERATOR: "Attested by the operator",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen. `detail` is the reviewer's own note; it is stored sealed."""

    kind: EvidenceKind
    detail: str
    recorded: int
    recorded_by: str


def strongest(assurances: Iterable[Assurance]) -> Assurance | None:
    """The best of several; None of none."""
    return max(assurances, key=lambda level: level.rank, default=None)
