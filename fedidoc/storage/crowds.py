"""How many members share something, so that what is shown of a pseudonym fits many of them.

Counts and names of members, never of pseudonyms: nothing here is asked for one account's sake
except whether it was handed this year's code, which everybody is.
"""

from __future__ import annotations

from fedidoc.model import ActorKind, Right, Role, Specialty, Standing
from fedidoc.storage.people import specialty_text
from fedidoc.storage.statements import Reader, Transaction


async def count_verified(
    reader: Reader, profession: Role, specialty: Specialty | None = None
) -> int:
    """Verified members of a profession, or of a profession and specialty together."""
    sql = "SELECT COUNT(*) FROM accounts WHERE standing = ? AND role = ?"
    params: tuple[str, ...] = (Standing.VERIFIED.value, profession.value)
    if specialty is not None:
        sql += " AND specialty = ?"
        params += (specialty_text(specialty) or "",)
    return int(await reader.fetch_value(sql, params))


async def common_rights(reader: Reader, profession: Role) -> frozenset[Right]:
    """What every verified member of a profession may do: a pseudonym that may do what only some of
    them may would belong to one of these."""
    rows = await reader.fetch_all(
        "SELECT DISTINCT rights FROM accounts WHERE standing = ? AND role = ?",
        (Standing.VERIFIED.value, profession.value),
    )
    found = [frozenset(Right(right) for right in row["rights"].split()) for row in rows]
    return frozenset.intersection(*found) if found else frozenset()


async def take_code(tx: Transaction, account_id: str, year: int) -> bool:
    """Note that a member was handed a year's code; False if they were before."""
    changed = await tx.execute(
        "UPDATE accounts SET code_year = ? WHERE id = ? AND code_year < ?", (year, account_id, year)
    )
    return changed == 1


async def code_taken(reader: Reader, account_id: str, year: int) -> bool:
    """Whether a member was handed a year's code."""
    found = await reader.fetch_value("SELECT code_year FROM accounts WHERE id = ?", (account_id,))
    return found is not None and int(found) >= year


async def count_codes(reader: Reader, year: int) -> int:
    """How many verified members were handed a year's code."""
    return int(
        await reader.fetch_value(
            "SELECT COUNT(*) FROM accounts WHERE standing = ? AND code_year >= ?",
            (Standing.VERIFIED.value, year),
        )
    )


async def names(reader: Reader) -> list[tuple[str, str]]:
    """(username, name) of every member who is no pseudonym."""
    rows = await reader.fetch_all(
        "SELECT username, name FROM actors WHERE local = 1 AND kind = ? AND pseudonymous = 0"
        " AND deleted IS NULL ORDER BY id",
        (ActorKind.PERSON.value,),
    )
    return [(row["username"], row["name"]) for row in rows]
