"""Verified members who need another look, and when each was last compared with the registers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fedidoc.model import Account, Standing
from fedidoc.storage.people import ACCOUNT, account_of
from fedidoc.storage.statements import Reader, Transaction, among

# By whom a flag is settled whose cause has gone away by itself. It may be raised again.
BY_ITSELF = "fedidoc"


@dataclass(frozen=True, slots=True)
class FlagRow:
    """One thing that was found. `finding` names it, the same at every comparison."""

    id: str
    account: Account
    kind: str
    finding: str
    detail_sealed: bytes
    raised: int


async def due(reader: Reader, *, until: int, limit: int, after: str = "") -> list[Account]:
    """Verified accounts that were last compared up to a time, or never; by id, behind `after`."""
    rows = await reader.fetch_all(
        f"SELECT {ACCOUNT} FROM accounts LEFT JOIN rechecks ON rechecks.account_id = accounts.id"
        " WHERE accounts.standing = ? AND accounts.role <> 'staff' AND accounts.id > ?"
        " AND (rechecks.checked IS NULL OR rechecks.checked <= ?)"
        " ORDER BY accounts.id LIMIT ?",
        (Standing.VERIFIED.value, after, until, limit),
    )
    return [account_of(row) for row in rows]


async def set_checked(tx: Transaction, account_id: str, at: int) -> None:
    """Note when an account was compared; never an earlier time than is known."""
    await tx.insert_many(
        "rechecks",
        ("account_id", "checked"),
        [(account_id, at)],
        conflict="ON CONFLICT (account_id) DO UPDATE SET checked = excluded.checked"
        " WHERE excluded.checked > rechecks.checked",
    )


async def put(
    tx: Transaction, id: str, account_id: str, kind: str, finding: str, sealed: bytes, at: int
) -> bool:
    """Raise a flag; False if the same finding was raised before, unless it went away by itself."""
    rows = await tx.insert_many(
        "flags",
        ("id", "account_id", "kind", "finding", "detail_sealed", "raised"),
        [(id, account_id, kind, finding, sealed, at)],
        conflict="ON CONFLICT (account_id, kind, finding) DO UPDATE SET id = excluded.id,"
        " detail_sealed = excluded.detail_sealed, raised = excluded.raised, settled = NULL,"
        f" settled_by = NULL, note_sealed = NULL WHERE flags.settled_by = '{BY_ITSELF}'",
        returning="id",
    )
    return bool(rows)


async def opened(
    reader: Reader, *, account_id: str | None = None, limit: int = 200
) -> list[FlagRow]:
    """Flags that nobody has settled, the oldest first; of one account if it is named."""
    where, params = ("", ()) if account_id is None else (" AND flags.account_id = ?", (account_id,))
    rows = await reader.fetch_all(
        f"SELECT {ACCOUNT}, flags.id AS flag_id, flags.kind, flags.finding, flags.detail_sealed,"
        " flags.raised FROM flags JOIN accounts ON accounts.id = flags.account_id"
        f" WHERE flags.settled IS NULL{where} ORDER BY flags.raised, flags.id LIMIT ?",
        (*params, limit),
    )
    return [
        FlagRow(
            row["flag_id"], account_of(row), row["kind"], row["finding"],
            bytes(row["detail_sealed"]), row["raised"],
        )
        for row in rows
    ]  # fmt: skip


async def get(reader: Reader, id: str) -> tuple[str, bool] | None:
    """Whose flag it is, and whether it is open."""
    row = await reader.fetch_one("SELECT account_id, settled FROM flags WHERE id = ?", (id,))
    return (row["account_id"], row["settled"] is None) if row else None


async def count(reader: Reader) -> int:
    """How many are open."""
    return int(await reader.fetch_value("SELECT COUNT(*) FROM flags WHERE settled IS NULL"))


async def settle(tx: Transaction, id: str, by: str, note_sealed: bytes | None, at: int) -> bool:
    """Close a flag; False if it was closed already."""
    changed = await tx.execute(
        "UPDATE flags SET settled = ?, settled_by = ?, note_sealed = ?"
        " WHERE id = ? AND settled IS NULL",
        (at, by, note_sealed, id),
    )
    return changed == 1


async def settle_others(
    tx: Transaction, account_id: str, standing: Collection[str], at: int
) -> list[str]:
    """Close the account's open flags that are not among the ids still `standing`; which."""
    where, params = among("id", standing)
    rows = await tx.fetch_all(
        f"UPDATE flags SET settled = ?, settled_by = '{BY_ITSELF}'"
        f" WHERE account_id = ? AND settled IS NULL AND NOT ({where}) RETURNING id",
        (at, account_id, *params),
    )
    return [row["id"] for row in rows]
