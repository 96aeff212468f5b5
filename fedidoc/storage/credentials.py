"""The credentials this instance issued, and the status lists of other issuers.

Documents are public statements about public actors; nothing here leads to an account.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.storage.statements import Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class Issued:
    """One credential. `document` is the signed JSON text as it is served."""

    id: str
    actor_id: str
    document: str
    status_index: int
    issued: int
    valid_until: int
    revoked: int | None


_COLUMNS = "id, actor_id, document, status_index, issued, valid_until, revoked"


def _issued_of(row: Row) -> Issued:
    return Issued(
        row["id"],
        row["actor_id"],
        row["document"],
        row["status_index"],
        row["issued"],
        row["valid_until"],
        row["revoked"],
    )


async def index_taken(reader: Reader, status_index: int) -> bool:
    """Whether a place in the status list was ever given to a credential."""
    found = await reader.fetch_value(
        "SELECT 1 FROM credentials WHERE status_index = ?", (status_index,)
    )
    return found is not None


async def insert(tx: Transaction, issued: Issued) -> None:
    """Raises `Duplicate` if the place in the status list is taken."""
    await tx.insert_many(
        "credentials",
        ("id", "actor_id", "document", "status_index", "issued", "valid_until"),
        [(issued.id, issued.actor_id, issued.document, issued.status_index, issued.issued,
          issued.valid_until)],
    )  # fmt: skip


async def get(reader: Reader, id: str) -> Issued | None:
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM credentials WHERE id = ?", (id,))
    return _issued_of(row) if row else None


async def latest_of(reader: Reader, actor_id: str) -> Issued | None:
    """The one that was issued last for an actor, revoked or not."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM credentials WHERE actor_id = ?"
        " ORDER BY issued DESC, id DESC LIMIT 1",
        (actor_id,),
    )
    return _issued_of(row) if row else None


async def revoke_of(tx: Transaction, actor_id: str, now: int) -> int:
    """Revoke every credential of an actor that is not revoked yet; how many there were."""
    return await tx.execute(
        "UPDATE credentials SET revoked = ? WHERE actor_id = ? AND revoked IS NULL",
        (now, actor_id),
    )


async def supersede_of(tx: Transaction, actor_id: str, now: int) -> int:
    """Mark what an actor holds as renewed: still in force, to be revoked by `retire`."""
    return await tx.execute(
        "UPDATE credentials SET superseded = ?"
        " WHERE actor_id = ? AND revoked IS NULL AND superseded IS NULL",
        (now, actor_id),
    )


async def retire(tx: Transaction, now: int, *, grace: int, patience: int) -> int:
    """Revoke credentials that were renewed `grace` (ms) ago and whose successor was announced: its
    Update was made and no delivery of it waits, or `patience` has passed."""
    return await tx.execute(
        "UPDATE credentials SET revoked = ? WHERE superseded IS NOT NULL AND revoked IS NULL"
        " AND superseded <= ? AND (superseded <= ? OR (EXISTS (SELECT 1 FROM activities u"
        " WHERE u.actor_id = credentials.actor_id AND u.type = 'Update' AND u.post_id IS NULL"
        " AND u.created >= credentials.superseded) AND NOT EXISTS (SELECT 1 FROM activities u"
        " JOIN deliveries d ON d.activity_id = u.id WHERE u.actor_id = credentials.actor_id"
        " AND u.type = 'Update' AND u.post_id IS NULL AND u.created >= credentials.superseded"
        " AND d.state = 'waiting')))",
        (now, now - grace, now - patience),
    )


async def revoked_indexes(reader: Reader) -> list[int]:
    """Places in the status list whose bit is set."""
    rows = await reader.fetch_all(
        "SELECT status_index FROM credentials WHERE revoked IS NOT NULL ORDER BY status_index"
    )
    return [row["status_index"] for row in rows]


async def lapsed(reader: Reader, now: int, limit: int) -> list[str]:
    """Actors whose every credential has run out by now, though nobody revoked the last one."""
    rows = await reader.fetch_all(
        "SELECT actor_id FROM credentials WHERE revoked IS NULL"
        " GROUP BY actor_id HAVING MAX(valid_until) <= ? ORDER BY actor_id LIMIT ?",
        (now, limit),
    )
    return [row["actor_id"] for row in rows]


@dataclass(frozen=True, slots=True)
class StatusList:
    """Another issuer's list as it was fetched: `document` is its signed JSON text."""

    uri: str
    issuer: str
    document: str
    fetched: int


async def put_status_list(tx: Transaction, status: StatusList) -> None:
    await tx.insert_many(
        "status_lists",
        ("uri", "issuer", "bits", "fetched"),
        [(status.uri, status.issuer, status.document, status.fetched)],
        conflict=(
            "ON CONFLICT (uri) DO UPDATE SET issuer = excluded.issuer, bits = excluded.bits,"
            " fetched = excluded.fetched WHERE excluded.fetched >= status_lists.fetched"
        ),
    )


async def status_list(reader: Reader, uri: str) -> StatusList | None:
    row = await reader.fetch_one(
        "SELECT uri, issuer, bits, fetched FROM status_lists WHERE uri = ?", (uri,)
    )
    return StatusList(row["uri"], row["issuer"], row["bits"], row["fetched"]) if row else None
