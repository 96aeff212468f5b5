"""What reviewers write on an application: sealed, with a line in the audit log that has no words.

Who may write, and when, is `review`'s to know.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from fedidoc.clock import Clock
from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Account
from fedidoc.storage import moderation, reviewing
from fedidoc.storage.applications import Application
from fedidoc.storage.statements import Transaction
from fedidoc.vault import Vault
from fedidoc.verification import claims
from fedidoc.verification.desk import (
    Desks,
    claim_digest,
    judgement_purpose,
    note_purpose,
    proposal_purpose,
)
from fedidoc.verification.evidence import EvidenceKind

_LONGEST: Final = 1000


class Remarks:
    """Writes remarks in the caller's transaction."""

    def __init__(self, clock: Clock, vault: Vault, desks: Desks) -> None:
        self._clock = clock
        self._vault = vault
        self._desks = desks

    async def propose(
        self,
        tx: Transaction,
        found: Application,
        by: Account,
        reason: str,
        kinds: Collection[EvidenceKind],
    ) -> None:
        """Note an approval that waits for a second reviewer, in place of one that was there."""
        sealed = self._vault.seal(reason.encode(), proposal_purpose(found.id))
        names = tuple(kind.value for kind in EvidenceKind if kind in kinds)
        proposal = reviewing.Proposal(
            found.id, by.id, self._clock.now(), names, claim_digest(found), sealed
        )
        await reviewing.put_proposal(tx, proposal)
        await self._record(tx, by, "application_proposed", found, {"evidence": list(names)})

    async def note(self, tx: Transaction, found: Application, by: Account, text: str) -> None:
        """Words for the other reviewers. BadInput for none."""
        text = tidy(text, "Write the note.", "note")
        id = self._clock.random_id()
        sealed = self._vault.seal(text.encode(), note_purpose(id))
        remark = reviewing.Remark(found.id, by.id, self._clock.now(), id, sealed)
        await reviewing.put_note(tx, id, remark)
        await self._record(tx, by, "application_noted", found, {"note": id})

    async def judge(
        self, tx: Transaction, found: Application, by: Account, key: str, words: str
    ) -> None:
        """What an exclusion list's entry is. NotFound for one that the claim does not hit."""
        words = tidy(words, "Write what you found.", "judgement")
        if key not in {hit.key for hit in (await self._desks.hits(tx, [found]))[found.id]}:
            raise NotFound
        sealed = self._vault.seal(words.encode(), judgement_purpose(found.id, key))
        remark = reviewing.Remark(found.id, by.id, self._clock.now(), key, sealed)
        await reviewing.put_judgement(tx, remark)
        await self._record(tx, by, "exclusion_judged", found, {"entry": key})

    async def _record(
        self, tx: Transaction, by: Account, action: str, found: Application, detail: dict[str, Any]
    ) -> None:
        await moderation.append(tx, self._clock.now(), by.id, action, found.id, detail)


def tidy(text: str, missing: str = "Give a reason.", field: str = "reason") -> str:
    """A reviewer's words as they are kept. BadInput if there are none, or too many."""
    text = claims.tidy_lines(text)
    if not text:
        raise BadInput(missing, field=field)
    if len(text) > _LONGEST:
        raise BadInput(f"Keep it under {_LONGEST} characters.", field=field)
    return text
