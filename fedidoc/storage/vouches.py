"""Vouches: who asked whom, and what came of it. Both are named by their actors.

One that goes between two servers has a row on each, with the same `uri`.

What was typed and what a colleague says are sealed by the caller.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fedidoc.model import Specialty
from fedidoc.storage.people import read_specialty, specialty_text
from fedidoc.storage.statements import Reader, Row, Transaction, among


@dataclass(frozen=True, slots=True)
class VouchRow:
    """One request. `voucher_id` is None if nobody of that name was found. `uri` is the Offer's
    between servers, None where both are members here."""

    id: str
    applicant_id: str  # an actor's id
    voucher_id: str | None  # an actor's id
    asked_sealed: bytes
    profession: str
    specialty: Specialty | None
    state: str
    asked: int
    answered: int | None = None
    statement_sealed: bytes | None = None
    valid_until: int | None = None
    uri: str | None = None


def _row_of(row: Row) -> VouchRow:
    return VouchRow(
        id=row["id"],
        applicant_id=row["applicant_actor_id"],
        voucher_id=row["voucher_actor_id"],
        asked_sealed=bytes(row["asked_sealed"]),
        profession=row["profession"],
        specialty=read_specialty(row["specialty"]),
        state=row["state"],
        asked=row["asked"],
        answered=row["answered"],
        statement_sealed=None
        if row["statement_sealed"] is None
        else bytes(row["statement_sealed"]),
        valid_until=row["valid_until"],
        uri=row["uri"],
    )


async def put(tx: Transaction, row: VouchRow) -> bool:
    """False if there is one of that `uri`."""
    new = await tx.insert_many(
        "vouches",
        ("id", "applicant_actor_id", "voucher_actor_id", "asked_sealed", "profession", "specialty",
         "state", "asked", "uri"),
        [(row.id, row.applicant_id, row.voucher_id, row.asked_sealed, row.profession,
          specialty_text(row.specialty), row.state, row.asked, row.uri)],
        conflict="ON CONFLICT (uri) DO NOTHING", returning="id",
    )  # fmt: skip
    return bool(new)


async def get(reader: Reader, id: str) -> VouchRow | None:
    row = await reader.fetch_one("SELECT * FROM vouches WHERE id = ?", (id,))
    return _row_of(row) if row else None


async def by_uri(reader: Reader, uri: str) -> VouchRow | None:
    row = await reader.fetch_one("SELECT * FROM vouches WHERE uri = ?", (uri,))
    return _row_of(row) if row else None


async def name_voucher(tx: Transaction, id: str, voucher_id: str) -> bool:
    """Write down whom the typed words mean; False if that is known, or the request over."""
    changed = await tx.execute(
        "UPDATE vouches SET voucher_actor_id = ?"
        " WHERE id = ? AND state = 'asked' AND voucher_actor_id IS NULL",
        (voucher_id, id),
    )
    return changed == 1


async def open_of_host(reader: Reader, host: str, since: int) -> int:
    """How many requests of applicants of a server wait since a time (ms)."""
    return int(
        await reader.fetch_value(
            "SELECT COUNT(*) FROM vouches v JOIN actors a ON a.id = v.applicant_actor_id"
            " WHERE a.host = ? AND v.state = 'asked' AND v.asked > ?",
            (host, since),
        )
    )


async def given_elsewhere(reader: Reader, *, after: str, limit: int) -> list[VouchRow]:
    """Vouches that stand for members here by colleagues of other servers, by id."""
    rows = await reader.fetch_all(
        "SELECT v.* FROM vouches v JOIN actors g ON g.id = v.voucher_actor_id"
        " JOIN actors a ON a.id = v.applicant_actor_id"
        " WHERE v.state = 'given' AND v.uri IS NOT NULL AND g.local = 0 AND a.local = 1"
        " AND v.id > ? ORDER BY v.id LIMIT ?",
        (after, limit),
    )
    return [_row_of(row) for row in rows]


async def told_elsewhere(reader: Reader, since: int) -> list[str]:
    """Ids of requests from other servers that members here said yes to since a time (ms)."""
    rows = await reader.fetch_all(
        "SELECT v.id FROM vouches v JOIN actors g ON g.id = v.voucher_actor_id"
        " WHERE v.uri IS NOT NULL AND g.local = 1 AND v.answered > ?"
        " AND v.statement_sealed IS NOT NULL",
        (since,),
    )
    return [row[0] for row in rows]


async def of_applicant(reader: Reader, actor_id: str, *, since: int = 0) -> list[VouchRow]:
    """What somebody asked for, oldest first."""
    rows = await reader.fetch_all(
        "SELECT * FROM vouches WHERE applicant_actor_id = ? AND asked > ? ORDER BY asked, id",
        (actor_id, since),
    )
    return [_row_of(row) for row in rows]


async def of_voucher(
    reader: Reader, actor_id: str, states: Collection[str], *, limit: int = 100
) -> list[VouchRow]:
    """What somebody was asked for, or gave, newest first."""
    where, params = among("state", states)
    rows = await reader.fetch_all(
        f"SELECT * FROM vouches WHERE voucher_actor_id = ? AND {where}"
        " ORDER BY asked DESC, id LIMIT ?",
        (actor_id, *params, limit),
    )
    return [_row_of(row) for row in rows]


async def answered_since(reader: Reader, voucher_id: str, since: int) -> int:
    """For how many somebody has vouched since a time (ms), those taken back included."""
    return int(
        await reader.fetch_value(
            "SELECT COUNT(*) FROM vouches WHERE voucher_actor_id = ? AND answered > ?"
            " AND statement_sealed IS NOT NULL",
            (voucher_id, since),
        )
    )


async def vouchers_of(reader: Reader, applicant_ids: Collection[str], since: int) -> set[str]:
    """Who vouched for any of these actors since a time (ms), whatever became of it."""
    where, params = among("applicant_actor_id", applicant_ids)
    rows = await reader.fetch_all(
        f"SELECT DISTINCT voucher_actor_id FROM vouches WHERE {where} AND answered > ?"
        " AND statement_sealed IS NOT NULL AND voucher_actor_id IS NOT NULL",
        (*params, since),
    )
    return {row[0] for row in rows}


async def answer(
    tx: Transaction,
    id: str,
    state: str,
    *,
    at: int,
    statement_sealed: bytes | None = None,
    valid_until: int | None = None,
) -> bool:
    """From `asked` to `state`; False if it was answered before."""
    changed = await tx.execute(
        "UPDATE vouches SET state = ?, answered = ?, statement_sealed = ?, valid_until = ?"
        " WHERE id = ? AND state = 'asked'",
        (state, at, statement_sealed, valid_until, id),
    )
    return changed == 1


async def end(tx: Transaction, id: str, before: str, after: str) -> bool:
    """Let one stand no longer; False if it stood elsewhere."""
    changed = await tx.execute(
        "UPDATE vouches SET state = ? WHERE id = ? AND state = ?", (after, id, before)
    )
    return changed == 1


async def verified_since(reader: Reader, account_id: str) -> int | None:
    """When an account was last approved (ms)."""
    found: int | None = await reader.fetch_value(
        "SELECT MAX(decided) FROM applications WHERE account_id = ? AND state = 'approved'",
        (account_id,),
    )
    return found
