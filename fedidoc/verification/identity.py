"""The word of the house's identity provider: evidence that is as fresh as the last sign-in by it.

A provider that knows somebody's profession says who they are better than any paper: the house
employs them. Its word counts for the configured days since it was given last, follows what it says
(another profession, another specialty), and is taken back once it says nothing any more.
"""

from __future__ import annotations

import json
from typing import Final

from fedidoc.clock import DAY, Clock
from fedidoc.errors import BadInput
from fedidoc.model import Role, Specialty
from fedidoc.storage import actors, people
from fedidoc.storage.statements import Reader, Transaction
from fedidoc.verification import claims
from fedidoc.verification import npi as npi_rules
from fedidoc.verification.claims import Claim
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.evidence import Evidence, EvidenceKind, assurance_of
from fedidoc.verification.review import Review
from fedidoc.verification.specialties import Specialties

BY: Final = "identity provider"
_REWRITTEN_AFTER: Final = DAY
"""The same word is written down again a day later at the earliest: not at every sign-in."""

_RENEWED_BEFORE: Final = 30 * DAY
"""What is left of a credential when the provider's word renews it."""


class Identity:
    """Evidence of the kind IDENTITY_PROVIDER, and what follows from it."""

    def __init__(
        self,
        clock: Clock,
        review: Review,
        credentials: Credentials,
        specialties: Specialties,
        *,
        valid_days: int,
    ) -> None:
        self._clock = clock
        self._review = review
        self._credentials = credentials
        self._specialties = specialties
        self._valid = valid_days * DAY

    async def attest(
        self,
        tx: Transaction,
        account_id: str,
        *,
        role: Role,
        specialty: str,
        jurisdiction: str,
        licence: str,
        npi: str,
        staff_id: str,
        name: str,
    ) -> None:
        """Write down what the provider says of a member now, and let follow what follows.

        `specialty` is a NUCC code; what is not one, like a jurisdiction that is none, is left out.
        """
        claim = await self._claim(role, specialty, jurisdiction, licence, npi, name)
        detail = _detail(claim, staff_id)
        now = self._clock.now()
        held = await self._held(tx, account_id)
        if not any(e.detail == detail and now - e.recorded < _REWRITTEN_AFTER for e in held):
            await self._review.records.record(
                tx, account_id, EvidenceKind.IDENTITY_PROVIDER, detail=detail, by=BY,
                valid_until=now + self._valid,
            )  # fmt: skip
            for before in held:
                await self._review.records.withdraw(
                    tx, before.id, by=BY, reason="Said again by the provider."
                )
        await people.set_role(tx, account_id, claim.profession, claim.specialty)
        if await self._review.settle(tx, account_id, BY, claim=claim):
            await self._follow(tx, account_id, claim)

    async def retract(self, tx: Transaction, account_id: str) -> None:
        """The provider says nothing of the member any more."""
        held = await self._held(tx, account_id)
        for each in held:
            await self._review.records.withdraw(
                tx, each.id, by=BY, reason="The provider does not say it any more."
            )
        if held:
            await self._review.settle(tx, account_id, BY)

    async def _held(self, reader: Reader, account_id: str) -> list[Evidence]:
        held = await self._review.records.held(reader, account_id)
        return [e for e in held if e.kind is EvidenceKind.IDENTITY_PROVIDER and e.recorded_by == BY]

    async def _claim(
        self, role: Role, specialty: str, jurisdiction: str, licence: str, number: str, name: str
    ) -> Claim:
        found: Specialty | None = None
        if specialty:
            found = await self._specialties.find(specialty.upper())
        number = npi_rules.normalise(number)
        if not npi_rules.valid(number):
            number = ""
        try:
            where = claims.tidy_jurisdiction(jurisdiction, number) if jurisdiction else ""
        except BadInput:
            where = ""
        return Claim(name, role, licence.upper()[:40], where, number, found)

    async def _follow(self, tx: Transaction, account_id: str, claim: Claim) -> None:
        """A credential that says what the provider says now."""
        account = await people.account(tx, account_id)
        actor = await actors.get(tx, account.actor_id) if account else None
        if account is None or actor is None or not actor.badge.verified:
            return
        badge = actor.badge
        where = claim.jurisdiction or badge.jurisdiction or ""
        said = (badge.profession, badge.specialty, badge.jurisdiction or "")
        near = (badge.valid_until or 0) - self._clock.now() < _RENEWED_BEFORE
        if said == (claim.profession.value, claim.specialty, where) and not near:
            return
        assurance = assurance_of(await self._review.standings.kinds(tx, account_id))
        if assurance is not None:
            await self._credentials.issue(
                tx, actor, claim.profession, claim.specialty, where, assurance
            )


def _detail(claim: Claim, staff_id: str) -> str:
    """What a reviewer reads of it, the same for the same word."""
    said = {
        "profession": claim.profession.value,
        "specialty": claim.specialty.code if claim.specialty else "",
        "jurisdiction": claim.jurisdiction,
        "licence": claim.licence_number,
        "npi": claim.npi,
        "staff number": staff_id,
        "name": claim.legal_name,
    }
    return json.dumps({name: text for name, text in said.items() if text}, ensure_ascii=False)
