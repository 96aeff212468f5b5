"""What reviewers leave on an application: a proposal, notes, and what they found hits to be.

All of it is sealed by the caller. A proposal is one for each application, and is taken away with
whatever decides it; notes and judgements stay.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fedidoc.storage.statements import Reader, Row, Transaction, among


@dataclass(frozen=True, slots=True)
class Proposal:
    """An approval that waits for a second reviewer. `claim_digest` is of the claim it was for."""

    application_id: str
    account_id: str
    at: int
    kinds: tuple[str, ...]
    claim_digest: str
    reason_sealed: bytes


@dataclass(frozen=True, slots=True)
class Remark:
    """A reviewer's words: a note, or a judgement on the hit `subject`."""

    application_id: str
    account_id: str
    at: int
    subject: str
    words_sealed: bytes


def _proposal_of(row: Row) -> Proposal:
    return Proposal(
        application_id=row["application_id"],
        account_id=row["account_id"],
        at=row["at"],
        kinds=tuple(row["kinds"].split()),
        claim_digest=row["claim_digest"],
        reason_sealed=bytes(row["reason_sealed"]),
    )


async def put_proposal(tx: Transaction, proposal: Proposal) -> None:
    """In place of the one before."""
    await drop_proposal(tx, proposal.application_id)
    await tx.insert_many(
        "proposals",
        ("application_id", "account_id", "at", "kinds", "claim_digest", "reason_sealed"),
        [(proposal.application_id, proposal.account_id, proposal.at, " ".join(proposal.kinds),
          proposal.claim_digest, proposal.reason_sealed)],
    )  # fmt: skip


async def proposals(reader: Reader, application_ids: Collection[str]) -> dict[str, Proposal]:
    """By application."""
    where, params = among("application_id", application_ids)
    rows = await reader.fetch_all(f"SELECT * FROM proposals WHERE {where}", params)
    return {row["application_id"]: _proposal_of(row) for row in rows}


async def drop_proposal(tx: Transaction, application_id: str) -> None:
    await tx.execute("DELETE FROM proposals WHERE application_id = ?", (application_id,))


async def put_note(tx: Transaction, id: str, remark: Remark) -> None:
    await tx.insert_many(
        "application_notes",
        ("id", "application_id", "account_id", "at", "note_sealed"),
        [(id, remark.application_id, remark.account_id, remark.at, remark.words_sealed)],
    )


async def notes(reader: Reader, application_id: str) -> list[Remark]:
    """Oldest first; `subject` is the note's id."""
    rows = await reader.fetch_all(
        "SELECT * FROM application_notes WHERE application_id = ? ORDER BY at, id",
        (application_id,),
    )
    return [
        Remark(r["application_id"], r["account_id"], r["at"], r["id"], bytes(r["note_sealed"]))
        for r in rows
    ]


async def put_judgement(tx: Transaction, remark: Remark) -> None:
    """What a hit was found to be, in place of what was said of it before."""
    await tx.execute(
        "DELETE FROM disposed_hits WHERE application_id = ? AND hit = ?",
        (remark.application_id, remark.subject),
    )
    await tx.insert_many(
        "disposed_hits",
        ("application_id", "hit", "account_id", "at", "words_sealed"),
        [(remark.application_id, remark.subject, remark.account_id, remark.at,
          remark.words_sealed)],
    )  # fmt: skip


async def judgements(reader: Reader, application_ids: Collection[str]) -> list[Remark]:
    """Of several applications, by `application_id` and the hit in `subject`."""
    where, params = among("application_id", application_ids)
    rows = await reader.fetch_all(f"SELECT * FROM disposed_hits WHERE {where}", params)
    return [
        Remark(r["application_id"], r["account_id"], r["at"], r["hit"], bytes(r["words_sealed"]))
        for r in rows
    ]


async def forget_judgements(tx: Transaction, application_id: str) -> None:
    """They were about another claim."""
    await tx.execute("DELETE FROM disposed_hits WHERE application_id = ?", (application_id,))
