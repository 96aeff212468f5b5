"""Reports: what members and other servers ask the stewards to look at. The words are sealed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fedidoc.storage.statements import Reader, Row, Transaction, among


@dataclass(frozen=True, slots=True)
class Report:
    """`reporter_id` and `subject_id` are actors; `post_ids` what of the subject it is about."""

    id: str
    uri: str | None
    reporter_id: str
    subject_id: str
    words_sealed: bytes
    reason: str
    state: str
    forwarded: bool
    created: int
    decided: int | None = None
    decided_by: str | None = None
    post_ids: tuple[str, ...] = ()


_COLUMNS = (
    "id, uri, reporter_id, subject_id, words_sealed, reason, state, forwarded, created, decided,"
    " decided_by"
)


async def put(tx: Transaction, report: Report) -> bool:
    """False if a report of that URI is here already."""
    rows = await tx.insert_many(
        "reports",
        ("id", "uri", "reporter_id", "subject_id", "words_sealed", "reason", "state", "forwarded",
         "created"),
        [(report.id, report.uri, report.reporter_id, report.subject_id, report.words_sealed,
          report.reason, report.state, int(report.forwarded), report.created)],
        conflict="ON CONFLICT DO NOTHING",
        returning="id",
    )  # fmt: skip
    if rows and report.post_ids:
        await tx.insert_many(
            "report_posts",
            ("report_id", "post_id"),
            [(report.id, post_id) for post_id in dict.fromkeys(report.post_ids)],
        )
    return bool(rows)


async def get(reader: Reader, id: str) -> Report | None:
    found = await _whole(
        reader,
        await reader.fetch_all(f"SELECT {_COLUMNS} FROM reports WHERE id = ?", (id,)),
    )
    return found[0] if found else None


async def page(reader: Reader, state: str, before: str, limit: int) -> list[Report]:
    """Those in a state, newest first; `before` is a report's id, or "" for the newest."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM reports WHERE state = ? AND (? = '' OR id < ?)"
        " ORDER BY id DESC LIMIT ?",
        (state, before, before, limit),
    )
    return await _whole(reader, rows)


async def count(reader: Reader, state: str) -> int:
    return int(await reader.fetch_value("SELECT COUNT(*) FROM reports WHERE state = ?", (state,)))


async def open_by(reader: Reader, reporter_id: str, state: str) -> int:
    """How many reports of one reporter wait."""
    return int(
        await reader.fetch_value(
            "SELECT COUNT(*) FROM reports WHERE reporter_id = ? AND state = ?",
            (reporter_id, state),
        )
    )


async def decide(tx: Transaction, id: str, before: str, after: str, *, at: int, by: str) -> bool:
    """False if somebody else decided meanwhile."""
    changed = await tx.execute(
        "UPDATE reports SET state = ?, decided = ?, decided_by = ? WHERE id = ? AND state = ?",
        (after, at, by, id, before),
    )
    return changed == 1


async def set_forwarded(tx: Transaction, id: str, uri: str) -> None:
    await tx.execute("UPDATE reports SET forwarded = 1, uri = ? WHERE id = ?", (uri, id))


async def _whole(reader: Reader, rows: Sequence[Row]) -> list[Report]:
    posts = await _posts_of(reader, [row["id"] for row in rows]) if rows else {}
    return [
        Report(
            id=row["id"],
            uri=row["uri"],
            reporter_id=row["reporter_id"],
            subject_id=row["subject_id"],
            words_sealed=bytes(row["words_sealed"]),
            reason=row["reason"],
            state=row["state"],
            forwarded=bool(row["forwarded"]),
            created=row["created"],
            decided=row["decided"],
            decided_by=row["decided_by"],
            post_ids=tuple(posts.get(row["id"], ())),
        )
        for row in rows
    ]


async def _posts_of(reader: Reader, report_ids: Collection[str]) -> dict[str, list[str]]:
    where, params = among("report_id", report_ids)
    found: dict[str, list[str]] = {}
    for row in await reader.fetch_all(
        f"SELECT report_id, post_id FROM report_posts WHERE {where} ORDER BY post_id", params
    ):
        found.setdefault(row["report_id"], []).append(row["post_id"])
    return found
