"""People excluded from health programmes, found by their NPI or by how their surname is spelt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from fedidoc.storage.statements import Reader, Transaction, among


class ExclusionRow(NamedTuple):
    """One record of a list. Dates are ISO or empty; `surname` is folded, for finding.

    `id` is the same for the same exclusion in every file that has it.
    """

    id: str
    npi: str
    surname: str
    last_name: str
    first_name: str
    middle_name: str
    business: str
    general: str
    specialty: str
    born: str
    city: str
    state: str
    kind: str
    excluded: str
    reinstated: str
    waived: str
    waiver_state: str
    import_id: str


_COLUMNS = ", ".join(ExclusionRow._fields)


async def put(tx: Transaction, rows: Sequence[ExclusionRow]) -> None:
    """Insert or replace; no id twice in one call."""
    await tx.insert_many(
        "exclusions",
        ExclusionRow._fields,
        rows,
        conflict="ON CONFLICT (id) DO UPDATE SET "
        + ", ".join(f"{column} = excluded.{column}" for column in ExclusionRow._fields[1:]),
    )
    words = [(word, row.id) for row in rows if " " in row.surname for word in row.surname.split()]
    await tx.insert_many(
        "exclusion_surnames",
        ("word", "exclusion_id"),
        list(dict.fromkeys(words)),
        conflict="ON CONFLICT (word, exclusion_id) DO NOTHING",
    )


async def remove_others(tx: Transaction, import_id: str) -> int:
    """Remove what another import left; how many rows."""
    removed = await tx.execute("DELETE FROM exclusions WHERE import_id <> ?", (import_id,))
    await tx.execute(
        "DELETE FROM exclusion_surnames WHERE exclusion_id NOT IN (SELECT id FROM exclusions)"
    )
    return removed


async def count(reader: Reader) -> int:
    return int(await reader.fetch_value("SELECT COUNT(*) FROM exclusions"))


async def loaded(reader: Reader) -> bool:
    """Whether there is any row."""
    return await reader.fetch_value("SELECT 1 FROM exclusions LIMIT 1") is not None


async def with_npi(reader: Reader, npi: str) -> list[ExclusionRow]:
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM exclusions WHERE npi = ? AND npi <> '' ORDER BY id LIMIT 20",
        (npi,),
    )
    return [ExclusionRow(*row) for row in rows]


async def with_surnames(
    reader: Reader, surnames: Collection[str], *, state: str, born: str
) -> list[ExclusionRow]:
    """Those of a state, or born on a day, whose folded surname is one of a few or has one of them
    as a part of a double name; at most 2,000, more than there are of any surname in one state."""
    where, params = among("surname", surnames)
    part, parts = among("word", surnames)
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM exclusions"
        f" WHERE ({where} OR id IN (SELECT exclusion_id FROM exclusion_surnames WHERE {part}))"
        " AND ((state = ? AND state <> '') OR (born = ? AND born <> '')) ORDER BY id LIMIT 2000",
        (*params, *parts, state, born),
    )
    return [ExclusionRow(*row) for row in rows]
