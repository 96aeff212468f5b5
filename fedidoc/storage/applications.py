"""Applications for verification, as they were filed and decided.

The claim itself (legal name, licence, NPI) is sealed; what stands open is what a queue is sorted
and searched by. State changes compare and set, so that two reviewers cannot both decide.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypedDict, Unpack

from fedidoc.model import Account, Role, Specialty
from fedidoc.storage.people import account_of, read_specialty, specialty_text
from fedidoc.storage.statements import Reader, Row, Transaction, among


@dataclass(frozen=True, slots=True)
class Application:
    """One row, with the account it is for. `decided_by` is an account id or an operator's word;
    `decider` the username behind it where it is an account's."""

    id: str
    account: Account
    profession: Role
    specialty: Specialty | None
    jurisdiction: str
    claim_sealed: bytes
    npi_mac: str | None
    licence_mac: str | None
    state: str
    created: int
    decided: int | None
    decided_by: str | None
    decider: str | None
    reason: str | None


_SELECT = (
    "SELECT accounts.id, accounts.actor_id, accounts.username, accounts.role, accounts.specialty,"
    " accounts.standing, accounts.admin, accounts.created, accounts.level, accounts.rights,"
    " a.id AS application_id, a.profession, a.specialty AS claimed_specialty, a.jurisdiction,"
    " a.claim_sealed, a.npi_mac, a.licence_mac, a.state, a.created AS applied, a.decided,"
    " a.decided_by, a.reason,"
    " deciders.username AS decider"
    " FROM applications a JOIN accounts ON accounts.id = a.account_id"
    " LEFT JOIN accounts deciders ON deciders.id = a.decided_by"
)


def _application_of(row: Row) -> Application:
    return Application(
        id=row["application_id"],
        account=account_of(row),
        profession=Role(row["profession"]),
        specialty=read_specialty(row["claimed_specialty"]),
        jurisdiction=row["jurisdiction"],
        claim_sealed=bytes(row["claim_sealed"]),
        npi_mac=row["npi_mac"],
        licence_mac=row["licence_mac"],
        state=row["state"],
        created=row["applied"],
        decided=row["decided"],
        decided_by=row["decided_by"],
        decider=row["decider"],
        reason=row["reason"],
    )


class ClaimColumns(TypedDict):
    """What is claimed, as it is stored."""

    profession: Role
    specialty: Specialty | None
    jurisdiction: str
    claim_sealed: bytes
    npi_mac: str | None
    licence_mac: str | None


async def insert(
    tx: Transaction,
    *,
    id: str,
    account_id: str,
    state: str,
    now: int,
    **claim: Unpack[ClaimColumns],
) -> None:
    await tx.insert_many(
        "applications",
        ("id", "account_id", "state", "created", "profession", "specialty", "jurisdiction",
         "claim_sealed", "npi_mac", "licence_mac"),
        [(id, account_id, state, now, *_claim_values(claim))],
    )  # fmt: skip


async def rewrite(tx: Transaction, id: str, **claim: Unpack[ClaimColumns]) -> None:
    """Replace what is claimed; the state moves by itself (`move`)."""
    await tx.execute(
        "UPDATE applications SET profession = ?, specialty = ?, jurisdiction = ?,"
        " claim_sealed = ?, npi_mac = ?, licence_mac = ? WHERE id = ?",
        (*_claim_values(claim), id),
    )


def _claim_values(claim: ClaimColumns) -> tuple[object, ...]:
    return (
        claim["profession"].value,
        specialty_text(claim["specialty"]),
        claim["jurisdiction"],
        claim["claim_sealed"],
        claim["npi_mac"],
        claim["licence_mac"],
    )


async def get(reader: Reader, id: str) -> Application | None:
    row = await reader.fetch_one(f"{_SELECT} WHERE a.id = ?", (id,))
    return _application_of(row) if row else None


async def current(reader: Reader, account_id: str) -> Application | None:
    """The latest one of an account."""
    row = await reader.fetch_one(
        f"{_SELECT} WHERE a.account_id = ? ORDER BY a.created DESC, a.id DESC LIMIT 1",
        (account_id,),
    )
    return _application_of(row) if row else None


async def queue(
    reader: Reader, states: Collection[str], *, after: tuple[int, str] | None, limit: int
) -> list[Application]:
    """Those in one of the states, the longest waiting first, behind (created, id)."""
    where, params = among("a.state", states)
    at, id = after or (-1, "")
    rows = await reader.fetch_all(
        f"{_SELECT} WHERE {where} AND (a.created > ? OR (a.created = ? AND a.id > ?))"
        " ORDER BY a.created, a.id LIMIT ?",
        (*params, at, at, id, limit),
    )
    return [_application_of(row) for row in rows]


async def count(reader: Reader, states: Collection[str]) -> int:
    where, params = among("state", states)
    return int(await reader.fetch_value(f"SELECT COUNT(*) FROM applications WHERE {where}", params))


async def counts(reader: Reader) -> dict[str, int]:
    """How many there are in each state that has any."""
    rows = await reader.fetch_all("SELECT state, COUNT(*) AS many FROM applications GROUP BY state")
    return {row["state"]: int(row["many"]) for row in rows}


async def with_npi(reader: Reader, npi_mac: str, *, besides: str) -> list[Application]:
    """The applications of other accounts than `besides` with the same NPI, latest first."""
    return await _with(reader, "npi_mac", npi_mac, besides)


async def with_licence(reader: Reader, licence_mac: str, *, besides: str) -> list[Application]:
    """The same for a licence number of one jurisdiction."""
    return await _with(reader, "licence_mac", licence_mac, besides)


async def _with(reader: Reader, column: str, mac: str, besides: str) -> list[Application]:
    rows = await reader.fetch_all(
        f"{_SELECT} WHERE a.{column} = ? AND a.account_id <> ?"
        " ORDER BY a.created DESC, a.id LIMIT 20",
        (mac, besides),
    )
    return [_application_of(row) for row in rows]


async def shared(reader: Reader, ids: Collection[str]) -> dict[str, int]:
    """Of the applications, those whose NPI or licence other accounts have claimed too, with how
    many those are."""
    where, params = among("mine.id", ids)
    rows = await reader.fetch_all(
        "SELECT mine.id, COUNT(DISTINCT theirs.account_id) AS many"
        " FROM applications mine JOIN applications theirs"
        " ON (theirs.npi_mac = mine.npi_mac OR theirs.licence_mac = mine.licence_mac)"
        f" AND theirs.account_id <> mine.account_id WHERE {where} GROUP BY mine.id",
        params,
    )
    return {row["id"]: int(row["many"]) for row in rows}


async def without_licence_mac(reader: Reader, after: str, limit: int) -> list[Application]:
    """Those behind the id `after` that were filed without a licence number, or before licences
    were looked up by a digest."""
    rows = await reader.fetch_all(
        f"{_SELECT} WHERE a.licence_mac IS NULL AND a.id > ? ORDER BY a.id LIMIT ?", (after, limit)
    )
    return [_application_of(row) for row in rows]


async def set_licence_mac(tx: Transaction, id: str, licence_mac: str) -> None:
    await tx.execute("UPDATE applications SET licence_mac = ? WHERE id = ?", (licence_mac, id))


async def move(
    tx: Transaction,
    id: str,
    before: Collection[str],
    after: str,
    *,
    at: int | None,
    by: str | None,
    reason: str | None,
) -> bool:
    """From one of the states `before` to `after`; False if it stood elsewhere meanwhile."""
    where, params = among("state", before)
    changed = await tx.execute(
        "UPDATE applications SET state = ?, decided = ?, decided_by = ?, reason = ?"
        f" WHERE id = ? AND {where}",
        (after, at, by, reason, id, *params),
    )
    return changed == 1
