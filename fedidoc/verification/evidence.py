"""What was seen of a person, and the assurance that it gives.

The order of the levels is a promise to other instances: an identity provider or employer says more
than a register match with a document, that more than an e-mail from an institution, and that more
than colleagues' or the operator's word. A licence number or an NPI alone is no evidence of who
typed it (both are public), and neither is a document that no register knows of: a register match
and a document give their assurance together only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedidoc.clock import Clock
from fedidoc.errors import NotFound
from fedidoc.storage import evidence as stored
from fedidoc.storage import moderation
from fedidoc.storage.evidence import EvidenceRow
from fedidoc.storage.statements import Reader, Transaction
from fedidoc.vault import Vault


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
    REGISTER = "register"
    DOCUMENT = "document"
    INSTITUTIONAL_EMAIL = "institutional_email"
    VOUCHES = "vouches"
    OPERATOR = "operator"  # the operator's own word, given with a reason

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
# Any of the sets that is held whole gives the assurance.
_GIVEN_BY: Final = (
    (Assurance.EMPLOYER, frozenset({EvidenceKind.IDENTITY_PROVIDER})),
    (Assurance.EMPLOYER, frozenset({EvidenceKind.EMPLOYER})),
    (Assurance.REGISTER, frozenset({EvidenceKind.REGISTER, EvidenceKind.DOCUMENT})),
    (Assurance.INSTITUTIONAL_EMAIL, frozenset({EvidenceKind.INSTITUTIONAL_EMAIL})),
    (Assurance.VOUCHED, frozenset({EvidenceKind.VOUCHES})),
    (Assurance.VOUCHED, frozenset({EvidenceKind.OPERATOR})),
)
_LABELS: Final = {
    EvidenceKind.IDENTITY_PROVIDER: "Signed in through the employer's identity provider",
    EvidenceKind.EMPLOYER: "Confirmed with the employer",
    EvidenceKind.REGISTER: "Matches the register",
    EvidenceKind.DOCUMENT: "A document was seen",
    EvidenceKind.INSTITUTIONAL_EMAIL: "Answered from an institutional e-mail address",
    EvidenceKind.VOUCHES: "Known to colleagues who vouch",
    EvidenceKind.OPERATOR: "Attested by the operator",
}


def assurance_of(kinds: Collection[EvidenceKind]) -> Assurance | None:
    """The strongest assurance that the kinds give together; None if they give none."""
    given = (assurance for assurance, needed in _GIVEN_BY if needed <= set(kinds))
    return max(given, key=lambda assurance: assurance.rank, default=None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen of an account's person. `detail` is in the words of who recorded it
    (an account's id, or the name of a command or service); it is stored sealed."""

    id: str
    account_id: str
    application_id: str | None
    kind: EvidenceKind
    detail: str
    recorded: int
    recorded_by: str
    valid_until: int | None


class Records:
    """Writes evidence down and reads it. What follows from it is decided by `review`."""

    def __init__(self, clock: Clock, vault: Vault) -> None:
        self._clock = clock
        self._vault = vault

    async def record(
        self,
        tx: Transaction,
        account_id: str,
        kind: EvidenceKind,
        *,
        detail: str,
        by: str,
        valid_until: int | None = None,
        application_id: str | None = None,
    ) -> str:
        """Write down what was seen, with its line in the audit log; its id.

        In the caller's transaction. `by` is an account's id or the name of what saw it. `detail`
        is read by reviewers only and may say what is not to be known elsewhere. `valid_until` (UTC
        milliseconds) is when it stops counting.
        """
        id, now = self._clock.random_id(), self._clock.now()
        sealed = self._vault.seal(detail.encode(), _purpose(account_id, application_id))
        row = EvidenceRow(id, account_id, application_id, kind.value, sealed, now, by, valid_until)
        await stored.put(tx, row)
        detail_of = {"evidence": id, "kind": kind.value}
        await moderation.append(tx, now, by, "evidence_recorded", account_id, detail_of)
        return id

    async def held(self, reader: Reader, account_id: str) -> tuple[Evidence, ...]:
        """What counts now: neither withdrawn nor run out. Oldest first."""
        rows = await stored.held(reader, account_id, self._clock.now())
        return tuple(self._open(row) for row in rows)

    async def withdraw(self, tx: Transaction, evidence_id: str, *, by: str, reason: str) -> None:
        """Let it count no longer; NotFound if there is none such or it was withdrawn before."""
        found = await stored.get(tx, evidence_id)
        if found is None:
            raise NotFound
        now = self._clock.now()
        sealed = self._vault.seal(reason.encode(), f"withdrawal of evidence {found.id}")
        if not await stored.withdraw(tx, found.id, at=now, by=by, why_sealed=sealed):
            raise NotFound
        detail = {"evidence": found.id, "kind": found.kind}
        await moderation.append(tx, now, by, "evidence_withdrawn", found.account_id, detail)

    def _open(self, row: EvidenceRow) -> Evidence:
        purpose = _purpose(row.account_id, row.application_id)
        return Evidence(
            id=row.id,
            account_id=row.account_id,
            application_id=row.application_id,
            kind=EvidenceKind(row.kind),
            detail=self._vault.open(row.detail_sealed, purpose).decode(),
            recorded=row.recorded,
            recorded_by=row.recorded_by,
            valid_until=row.valid_until,
        )


def _purpose(account_id: str, application_id: str | None) -> str:
    if application_id is not None:
        return f"evidence of application {application_id}"
    return f"evidence of account {account_id}"
