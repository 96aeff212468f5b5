"""What a reviewer sees: an application opened, beside what the register says.

`Desks` reads; nothing here decides. `review` moves applications along `GRAPH`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedidoc.model import Account, Standing
from fedidoc.storage import applications
from fedidoc.storage.applications import Application, ClaimColumns
from fedidoc.storage.statements import Reader
from fedidoc.vault import Vault
from fedidoc.verification import claims, comparison
from fedidoc.verification.claims import Claim
from fedidoc.verification.comparison import Difference, Mark
from fedidoc.verification.evidence import Evidence, EvidenceKind, Records
from fedidoc.verification.registries import Register, RegisterRow
from fedidoc.verification.specialties import Specialties


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


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything a reviewer sees side by side.

    `blockers` are reasons why this cannot be approved as it stands; `kinds` the evidence that may
    be given; `same_npi` other members' applications with the same number.
    """

    application: ApplicationView
    register: str
    register_loaded: bool
    row: RegisterRow | None
    differences: tuple[Difference, ...]
    same_npi: tuple[ApplicationView, ...]
    evidence: tuple[Evidence, ...]
    kinds: tuple[EvidenceKind, ...]
    blockers: tuple[str, ...]


class Desks:
    """Opens what is sealed, and lays out desks."""

    def __init__(
        self, vault: Vault, register: Register, specialties: Specialties, records: Records
    ) -> None:
        self._vault = vault
        self._register = register
        self._specialties = specialties
        self._records = records

    def columns(self, id: str, claim: Claim) -> ClaimColumns:
        """A claim as it is stored for the application `id`."""
        return {
            "profession": claim.profession,
            "specialty": claim.specialty,
            "jurisdiction": claim.jurisdiction,
            "claim_sealed": self._vault.seal(claims.to_bytes(claim), _claim_purpose(id)),
            "npi_mac": self._vault.fingerprint(claim.npi, "npi") if claim.npi else None,
            "licence_mac": self._licence_mac(claim),
        }

    def _licence_mac(self, claim: Claim) -> str | None:
        key = claims.licence_key(claim)
        return self._vault.fingerprint(key, "licence") if key else None

    async def desk(
        self, reader: Reader, found: Application, by: Account, *, own: bool = False
    ) -> Desk:
        """The desk for the reviewer `by`. `own`: what is asked is only whether something stands
        against the application itself, whoever decides."""
        view = self.view(found)
        claim = view.claim
        row = await self._register.find(claim.npi) if claim.npi else None
        others = (
            await applications.with_npi(reader, found.npi_mac, besides=found.account.id)
            if found.npi_mac
            else []
        )
        blockers = self._blockers(found, None if own else by, row, others)
        differences = await self._differences(claim, row) if row else ()
        return Desk(
            application=view,
            register=self._register.name,
            register_loaded=await self._register.loaded(),
            row=row,
            differences=differences,
            same_npi=tuple(self.view(other) for other in others),
            evidence=await self._records.held(reader, found.account.id),
            kinds=_kinds(differences),
            blockers=blockers,
        )

    async def _differences(self, claim: Claim, row: RegisterRow) -> tuple[Difference, ...]:
        labels: dict[str, str] = {}
        for code in row.taxonomies:
            specialty = await self._specialties.find(code)
            if specialty is not None:
                labels[code] = specialty.label
        return (
            comparison.compare_status(row),
            comparison.compare_names_field(claim.legal_name, row),
            comparison.compare_licences(claim.licence_number, claim.state, row),
            comparison.compare_professions(claim.profession, row),
            comparison.compare_specialties(claim.specialty, row, labels),
        )

    def _blockers(
        self,
        found: Application,
        by: Account | None,
        row: RegisterRow | None,
        others: Collection[Application],
    ) -> tuple[str, ...]:
        reasons: list[str] = []
        if by is not None and found.account.id == by.id:
            reasons.append("Nobody decides on their own application; ask another reviewer.")
        if found.account.standing is Standing.SUSPENDED:
            reasons.append("The account is suspended; restore it first.")
        if row is not None and comparison.compare_status(row).mark is Mark.DIFFERENT:
            reasons.append(comparison.compare_status(row).note)
        for other in others:
            if other.state == State.APPROVED and other.account.standing is Standing.VERIFIED:
                reasons.append(f"{other.account.username} is verified with the same NPI.")
        return tuple(dict.fromkeys(reasons))

    def view(self, found: Application) -> ApplicationView:
        """An application with its claim opened."""
        claim = claims.from_bytes(self._vault.open(found.claim_sealed, _claim_purpose(found.id)))
        return ApplicationView(
            id=found.id,
            account=found.account,
            claim=claim,
            state=State(found.state),
            created=found.created,
            decided=found.decided,
            decided_by=found.decider or found.decided_by,
            reason=found.reason,
        )


# What a reviewer may attest. The others are recorded by what saw them itself: a sign-in, the
# operator's command.
_BY_HAND: Final = (
    EvidenceKind.EMPLOYER,
    EvidenceKind.REGISTER,
    EvidenceKind.DOCUMENT,
    EvidenceKind.INSTITUTIONAL_EMAIL,
    EvidenceKind.VOUCHES,
)


def _kinds(differences: Collection[Difference]) -> tuple[EvidenceKind, ...]:
    """A register match needs a row whose name and licence are the claimed ones, or nearly."""
    marks = {d.field: d.mark for d in differences}
    near = (Mark.SAME, Mark.SIMILAR)
    matched = marks.get("name") in near and marks.get("licence") in near
    return tuple(kind for kind in _BY_HAND if matched or kind is not EvidenceKind.REGISTER)


def _claim_purpose(application_id: str) -> str:
    return f"claim of application {application_id}"
