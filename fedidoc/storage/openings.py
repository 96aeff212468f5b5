"""Cases in which a pseudonym's sealed record is to be opened: who asked, why, what came of it.

Never whose record it was: what is learnt is shown once and stored nowhere.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from fedidoc.storage.statements import Reader, Row, Transaction


class RequestState(StrEnum):
    ASKED = "asked"
    APPROVED = "approved"
    OPENED = "opened"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class OpeningRequest:
    """A case in which a pseudonym's record is to be opened. The two ids are moderators'."""

    id: str
    pseudonym_id: str
    handle: str
    reason: str
    state: RequestState
    asked_by: str
    approved_by: str | None
    year: int
    withheld: bool


def _request_of(row: Row) -> OpeningRequest:
    return OpeningRequest(
        row["id"],
        row["pseudonym_id"],
        row["handle"],
        row["reason"],
        RequestState(row["state"]),
        row["asked_by"],
        row["approved_by"],
        row["year"],
        bool(row["withheld"]),
    )


async def put_request(tx: Transaction, request: OpeningRequest) -> None:
    await tx.insert_many(
        "escrow_requests",
        ("id", "pseudonym_id", "handle", "reason", "state", "asked_by", "year"),
        [(request.id, request.pseudonym_id, request.handle, request.reason, request.state.value,
          request.asked_by, request.year)],
    )  # fmt: skip


async def request(reader: Reader, request_id: str) -> OpeningRequest | None:
    row = await reader.fetch_one("SELECT * FROM escrow_requests WHERE id = ?", (request_id,))
    return _request_of(row) if row else None


async def requests(reader: Reader) -> list[OpeningRequest]:
    """All, the open ones first."""
    rows = await reader.fetch_all(
        "SELECT * FROM escrow_requests ORDER BY CASE state WHEN 'asked' THEN 0"
        " WHEN 'approved' THEN 1 ELSE 2 END, year DESC, id"
    )
    return [_request_of(row) for row in rows]


async def move_request(
    tx: Transaction,
    request_id: str,
    before: Collection[RequestState],
    after: RequestState,
    *,
    approved_by: str | None = None,
    withheld: bool = False,
) -> bool:
    """False if it stood elsewhere."""
    marks = ", ".join("?" * len(before))
    changed = await tx.execute(
        "UPDATE escrow_requests SET state = ?, approved_by = COALESCE(?, approved_by),"
        f" withheld = ? WHERE id = ? AND state IN ({marks})",
        (after.value, approved_by, int(withheld), request_id, *(s.value for s in before)),
    )
    return changed == 1


async def request_counts(reader: Reader) -> list[tuple[int, str, int, int]]:
    """(year, state, how many, of how many the member was not told), the latest year first."""
    rows = await reader.fetch_all(
        "SELECT year, state, COUNT(*) AS n, SUM(withheld) AS silent FROM escrow_requests"
        " GROUP BY year, state ORDER BY year DESC, state"
    )
    return [(row["year"], row["state"], row["n"], int(row["silent"] or 0)) for row in rows]
