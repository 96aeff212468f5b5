"""What a reviewer sees: an application opened, beside what the registers and colleagues say.

`Desks` reads; nothing here decides. `review` moves applications along `GRAPH`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fedidoc.model import Account, Standing
from fedidoc.storage import applications, moderation, people, reviewing
from fedidoc.storage.applications import Application, ClaimColumns
from fedidoc.storage.engine import Database
from fedidoc.storage.moderation import AuditRow
from fedidoc.storage.statements import Reader
from fedidoc.vault import Vault
from fedidoc.verification import claims
from fedidoc.verification.claims import Claim
from fedidoc.verification.evidence import EvidenceKind, Records
from fedidoc.verification.exclusions import Hit
from fedidoc.verification.listings import Listing, Registers, standing_against
from fedidoc.verification.policy import Policy
from fedidoc.verification.views import (
    GRAPH,
    OPEN,
    ApplicationView,
    Desk,
    JudgedHit,
    ProposalView,
    Saying,
    State,
    Step,
    Way,
)

__all__ = ["GRAPH", "OPEN", "ApplicationView", "Desk", "Desks", "State"]


_BATCH: Final = 200


class ExclusionLists(Protocol):
    """Where a claim is looked up among people excluded from health programmes."""

    async def find(self, claim: Claim) -> tuple[Hit, ...]: ...

    async def loaded(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Findings:
    """What stands for and against an application, whoever decides it."""

    listings: tuple[Listing, ...]
    same_npi: tuple[Application, ...]
    same_licence: tuple[Application, ...]
    hits: tuple[JudgedHit, ...]
    kinds: tuple[EvidenceKind, ...]
    blockers: tuple[str, ...]

    @property
    def until(self) -> int | None:
        """When the first licence runs out that a register has for the claim (UTC milliseconds)."""
        ends = [each.until for each in self.listings if each.matches and each.until is not None]
        return min(ends, default=None)


class Desks:
    """Opens what is sealed, and lays out desks."""

    def __init__(
        self,
        vault: Vault,
        registers: Registers,
        lists: ExclusionLists,
        records: Records,
        policy: Policy,
    ) -> None:
        self._vault = vault
        self._registers = registers
        self._lists = lists
        self._records = records
        self._policy = policy

    def columns(self, id: str, claim: Claim) -> ClaimColumns:
        """A claim as it is stored for the application `id`."""
        return {
            "profession": claim.profession,
            "specialty": claim.specialty,
            "jurisdiction": claim.jurisdiction,
            "claim_sealed": self._vault.seal(claims.to_bytes(claim), _claim_purpose(id)),
            "npi_mac": self._vault.fingerprint(claim.npi, "npi") if claim.npi else None,
            "licence_mac": self.licence_mac(claim),
        }

    def licence_mac(self, claim: Claim) -> str | None:
        """What the same licence is found by; None for a claim without a number."""
        key = claims.licence_key(claim)
        return self._vault.fingerprint(key, "licence") if key else None

    async def remember_licences(self, db: Database) -> None:
        """Store what licences are found by, for applications filed before that was done."""
        after = ""
        while batch := await applications.without_licence_mac(db, after, _BATCH):
            after = batch[-1].id
            macs = {each.id: self.licence_mac(self.view(each).claim) for each in batch}
            async with db.transaction() as tx:
                for id, mac in macs.items():
                    if mac is not None:
                        await applications.set_licence_mac(tx, id, mac)

    # One application --------------------------------------------------------------------------

    async def desk(self, reader: Reader, found: Application, by: Account) -> Desk:
        """The desk for the reviewer `by`."""
        view = self.view(found)
        findings = await self.findings(reader, found)
        held = await self._records.held(reader, found.account.id)
        history = await moderation.about(reader, [found.id])
        notes = await reviewing.notes(reader, found.id)
        names = await people.usernames(
            reader,
            {e.recorded_by for e in held}
            | {step.who for step in history}
            | {note.account_id for note in notes},
        )
        blockers = findings.blockers
        if found.account.id == by.id:
            own = "Nobody decides on their own application; ask another reviewer."
            blockers = (own, *blockers)
        return Desk(
            application=view,
            listings=findings.listings,
            asked=await self._registers.asked(view.claim),
            same_npi=tuple(self.view(other) for other in findings.same_npi),
            same_licence=tuple(self.view(other) for other in findings.same_licence),
            hits=findings.hits,
            lists_loaded=await self._lists.loaded(),
            evidence=held,
            kinds=findings.kinds,
            ways=self._ways(found, {e.kind for e in held}),
            blockers=blockers,
            proposal=(await self.proposals(reader, [found])).get(found.id),
            notes=tuple(
                Saying(
                    names.get(note.account_id, ""),
                    note.at,
                    self._vault.open(note.words_sealed, note_purpose(note.subject)).decode(),
                )
                for note in notes
            ),
            history=tuple(_step(row, names) for row in history),
            names=names,
        )

    async def findings(self, reader: Reader, found: Application) -> Findings:
        """What registers, lists and other applications say to a claim."""
        claim = self.view(found).claim
        listings = await self._registers.find(claim)
        mine = found.account.id
        same_npi = (
            await applications.with_npi(reader, found.npi_mac, besides=mine)
            if found.npi_mac
            else []
        )
        same_licence = (
            await applications.with_licence(reader, found.licence_mac, besides=mine)
            if found.licence_mac
            else []
        )
        hits = (await self.hits(reader, [found]))[found.id]
        return Findings(
            listings=listings,
            same_npi=tuple(same_npi),
            same_licence=tuple(same_licence),
            hits=hits,
            kinds=_kinds(listings),
            blockers=_blockers(found, listings, same_npi, same_licence, hits),
        )

    async def refresh(self, found: Application) -> None:
        """Have registers' own services asked, where that is configured. Not in a transaction."""
        await self._registers.refresh(self.view(found).claim)

    def _ways(self, found: Application, held: Collection[EvidenceKind]) -> tuple[Way, ...]:
        return tuple(
            Way(
                level,
                tuple(kind for kind in EvidenceKind if kind in needed),
                tuple(kind for kind in EvidenceKind if kind in needed and kind not in held),
            )
            for level, needed in self._policy.alternatives(found.profession)
        )

    # Many applications ------------------------------------------------------------------------

    async def hits(
        self, reader: Reader, found: Sequence[Application]
    ) -> dict[str, tuple[JudgedHit, ...]]:
        """Entries of exclusion lists for each application, with the reviewers' judgements."""
        said = {
            (remark.application_id, remark.subject): remark
            for remark in await reviewing.judgements(reader, [each.id for each in found])
        }
        names = await people.usernames(reader, {remark.account_id for remark in said.values()})
        judged: dict[str, tuple[JudgedHit, ...]] = {}
        for each in found:
            hits = []
            for hit in await self._lists.find(self.view(each).claim):
                key = self._hit_key(hit)
                remark = said.get((each.id, key))
                judgement = (
                    None
                    if remark is None
                    else Saying(
                        names.get(remark.account_id, ""),
                        remark.at,
                        self._vault.open(
                            remark.words_sealed, judgement_purpose(each.id, key)
                        ).decode(),
                    )
                )
                hits.append(JudgedHit(key, hit, judgement))
            judged[each.id] = tuple(hits)
        return judged

    def _hit_key(self, hit: Hit) -> str:
        """An entry's name in forms and in the audit log. Another ground or date is another one."""
        said = f"{hit.register} {hit.reference} {hit.kind} {hit.date} {hit.certain}"
        return self._vault.fingerprint(said, "exclusion hit")[:32]

    async def proposals(
        self, reader: Reader, found: Iterable[Application]
    ) -> dict[str, ProposalView]:
        """Approvals that wait for a second reviewer, by application.

        One counts only while the claim is the one that it was for, and its reviewer may still
        review.
        """
        by_id = {each.id: each for each in found}
        valid = {}
        for id, proposal in (await reviewing.proposals(reader, by_id)).items():
            first = await people.account(reader, proposal.account_id)
            if first is None or not may_review(first) or first.id == by_id[id].account.id:
                continue
            if proposal.claim_digest != claim_digest(by_id[id]):
                continue
            words = self._vault.open(proposal.reason_sealed, proposal_purpose(id)).decode()
            kinds = tuple(EvidenceKind(kind) for kind in proposal.kinds)
            valid[id] = ProposalView(first.username, first.id, proposal.at, kinds, words)
        return valid

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
            digest=claim_digest(found),
        )


def may_review(account: Account) -> bool:
    """Whether an account, as the database has it now, may decide on others' applications."""
    return account.admin and account.standing is not Standing.SUSPENDED


def claim_digest(found: Application) -> str:
    """Of the sealed claim, which is another one after every change; says nothing of its words."""
    return hashlib.sha256(found.claim_sealed).hexdigest()


# What a reviewer may attest. The others are recorded by what saw them itself: a sign-in, the
# operator's command.
_BY_HAND: Final = (
    EvidenceKind.EMPLOYER,
    EvidenceKind.REGISTER,
    EvidenceKind.DOCUMENT,
    EvidenceKind.INSTITUTIONAL_EMAIL,
    EvidenceKind.VOUCHES,
)


def _kinds(listings: Collection[Listing]) -> tuple[EvidenceKind, ...]:
    """A register match needs a row whose name and licence are the claimed ones, or nearly."""
    matched = any(each.matches and each.kind is EvidenceKind.REGISTER for each in listings)
    return tuple(kind for kind in _BY_HAND if matched or kind is not EvidenceKind.REGISTER)


def _blockers(
    found: Application,
    listings: Collection[Listing],
    same_npi: Collection[Application],
    same_licence: Collection[Application],
    hits: Collection[JudgedHit],
) -> tuple[str, ...]:
    reasons: list[str] = []
    if found.account.standing is Standing.SUSPENDED:
        reasons.append("The account is suspended; restore it first.")
    reasons += standing_against(listings)
    for others, number in ((same_npi, "NPI"), (same_licence, "licence")):
        for other in others:
            if other.state == State.APPROVED and other.account.standing is Standing.VERIFIED:
                reasons.append(f"{other.account.username} is verified with the same {number}.")
    if any(hit.open for hit in hits):
        reasons.append("Say first what each entry of the exclusion list is.")
    return tuple(dict.fromkeys(reasons))


def _step(row: AuditRow, names: Mapping[str, str]) -> Step:
    return Step(row.at, names.get(row.who, row.who), row.action, row.detail)


def _claim_purpose(application_id: str) -> str:
    return f"claim of application {application_id}"


def note_purpose(note_id: str) -> str:
    return f"note {note_id} on an application"


def judgement_purpose(application_id: str, hit: str) -> str:
    return f"judgement of hit {hit} on application {application_id}"


def proposal_purpose(application_id: str) -> str:
    return f"proposal on application {application_id}"
