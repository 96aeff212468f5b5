"""Rows of public registers, and how far an import of one came.

Imports write in batches with the count of rows done in the same transaction, so that one that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fedidoc.storage.statements import Reader, Transaction


@dataclass(frozen=True, slots=True)
class NppesRow:
    """One NPI. `entity_type` is "1" (a person), "2" (an organisation) or "" (deactivated).

    `taxonomies` are codes, the primary first; `licences` are (number, state, taxonomy code).
    """

    npi: str
    entity_type: str
    last_name: str
    first_name: str
    middle_name: str
    credential: str
    city: str
    state: str
    taxonomies: tuple[str, ...]
    licences: tuple[tuple[str, str, str], ...]
    enumerated: str
    updated: str
    deactivated: str
    reactivated: str


NPPES_COLUMNS = (
    "npi", "entity_type", "last_name", "first_name", "middle_name", "credential", "city", "state",
    "taxonomies", "licences", "enumerated", "updated", "deactivated", "reactivated",
)  # fmt: skip
_NPPES_UPSERT = "ON CONFLICT (npi) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}" for column in NPPES_COLUMNS[1:]
)


async def put_nppes(tx: Transaction, rows: Sequence[Sequence[str]]) -> None:
    """Insert or replace rows in the order of `NPPES_COLUMNS`; taxonomies and licences as JSON text.

    No NPI twice in one call: PostgreSQL refuses to update a row twice in one statement.
    """
    await tx.insert_many("nppes", NPPES_COLUMNS, rows, conflict=_NPPES_UPSERT)


async def find_nppes(reader: Reader, npi: str) -> NppesRow | None:
    row = await reader.fetch_one(
        f"SELECT {', '.join(NPPES_COLUMNS)} FROM nppes WHERE npi = ?", (npi,)
    )
    if row is None:
        return None
    values = {column: row[column] for column in NPPES_COLUMNS}
    values["taxonomies"] = tuple(json.loads(row["taxonomies"]))
    values["licences"] = tuple(tuple(licence) for licence in json.loads(row["licences"]))
    return NppesRow(**values)


async def has_nppes(reader: Reader) -> bool:
    """Whether any NPPES row was imported."""
    return await reader.fetch_value("SELECT 1 FROM nppes LIMIT 1") is not None


async def put_nucc(tx: Transaction, rows: Sequence[tuple[str, str, str, str, str]]) -> None:
    """Insert or replace (code, grouping, classification, specialization, display)."""
    await tx.insert_many(
        "nucc",
        ("code", "grouping", "classification", "specialization", "display"),
        rows,
        conflict=(
            "ON CONFLICT (code) DO UPDATE SET grouping = excluded.grouping,"
            " classification = excluded.classification,"
            " specialization = excluded.specialization, display = excluded.display"
        ),
    )


async def nucc_displays(reader: Reader, codes: Sequence[str]) -> dict[str, str]:
    """Those of the codes (at most 500) that the imported taxonomy has, with its words for them."""
    marks = ",".join("?" * len(codes))
    rows = await reader.fetch_all(f"SELECT code, display FROM nucc WHERE code IN ({marks})", codes)
    return {row["code"]: row["display"] for row in rows}


@dataclass(frozen=True, slots=True)
class ImportRun:
    """One file's import. `finished` is None until its last row is stored."""

    id: str
    rows_done: int
    finished: int | None


async def import_of(reader: Reader, register: str, file_digest: str) -> ImportRun | None:
    """The latest import of the very same file, finished or not."""
    row = await reader.fetch_one(
        "SELECT id, rows_done, finished FROM register_imports"
        " WHERE register = ? AND file_digest = ? ORDER BY started DESC, id DESC LIMIT 1",
        (register, file_digest),
    )
    return ImportRun(row["id"], row["rows_done"], row["finished"]) if row else None


async def begin_import(
    tx: Transaction, id: str, register: str, file_name: str, file_digest: str, now: int
) -> None:
    await tx.insert_many(
        "register_imports",
        ("id", "register", "file_name", "file_digest", "rows_done", "started"),
        [(id, register, file_name, file_digest, 0, now)],
    )


async def advance_import(
    tx: Transaction, id: str, rows_done: int, *, finished: int | None = None
) -> None:
    """Note how many records of the file are done; `finished` when it was the last."""
    await tx.execute(
        "UPDATE register_imports SET rows_done = ?, finished = ? WHERE id = ?",
        (rows_done, finished, id),
    )
