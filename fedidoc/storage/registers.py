"""Rows of public registers, and how far an import of one came.

Imports write in batches with the count of rows done in the same transaction, so that one that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fedidoc.storage.statements import Reader, Row, Transaction, among


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
# What an entry says of its own age: the later of its two dates. An entry that was deactivated has
# nothing but that date.
_AGE = "CASE WHEN {0}.updated > {0}.deactivated THEN {0}.updated ELSE {0}.deactivated END"
_NPPES_UPSERT = (
    "ON CONFLICT (npi) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in NPPES_COLUMNS[1:])
    + f" WHERE {_AGE.format('excluded')} >= {_AGE.format('nppes')}"
)


async def put_nppes(tx: Transaction, rows: Sequence[Sequence[str]]) -> None:
    """Insert rows, or replace those that are not newer, in the order of `NPPES_COLUMNS`; taxonomies
    and licences as JSON text.

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
    """Whether any NPPES row was imported; the list of deactivated numbers alone is none."""
    found = await reader.fetch_value("SELECT 1 FROM nppes WHERE entity_type <> '' LIMIT 1")
    return found is not None


class NuccRow(NamedTuple):
    """One code of NUCC's taxonomy, with its words."""

    code: str
    grouping: str
    classification: str
    specialization: str
    display: str


async def put_nucc(tx: Transaction, rows: Sequence[NuccRow]) -> None:
    """Insert or replace."""
    await tx.insert_many(
        "nucc",
        NuccRow._fields,
        rows,
        conflict=(
            "ON CONFLICT (code) DO UPDATE SET grouping = excluded.grouping,"
            " classification = excluded.classification,"
            " specialization = excluded.specialization, display = excluded.display"
        ),
    )


async def nucc_rows(reader: Reader, codes: Collection[str]) -> dict[str, NuccRow]:
    """Those of the codes (a few) that the imported taxonomy has."""
    where, params = among("code", codes)
    rows = await reader.fetch_all(
        f"SELECT {', '.join(NuccRow._fields)} FROM nucc WHERE {where}", params
    )
    return {row["code"]: NuccRow(*row) for row in rows}


async def nucc_displays(reader: Reader, codes: Sequence[str]) -> dict[str, str]:
    """Those of the codes (at most 500) that the imported taxonomy has, with its words for them."""
    marks = ",".join("?" * len(codes))
    rows = await reader.fetch_all(f"SELECT code, display FROM nucc WHERE code IN ({marks})", codes)
    return {row["code"]: row["display"] for row in rows}


async def deactivate_nppes(tx: Transaction, rows: Sequence[tuple[str, str]]) -> None:
    """Note for each (NPI, ISO date) that it was deactivated then; unknown numbers are added.

    A reactivation that is known and not earlier stands.
    """
    blank = ("",) * (len(NPPES_COLUMNS) - 1)
    at = NPPES_COLUMNS.index("deactivated")
    await tx.insert_many(
        "nppes",
        NPPES_COLUMNS,
        [_deactivated((npi, *blank), at, date) for npi, date in dict(rows).items()],
        conflict=(
            "ON CONFLICT (npi) DO UPDATE SET deactivated = excluded.deactivated"
            " WHERE excluded.deactivated > nppes.deactivated"
        ),
    )


def _deactivated(values: tuple[str, ...], at: int, date: str) -> tuple[str, ...]:
    row = list(values)
    row[at] = date
    for column in ("taxonomies", "licences"):
        row[NPPES_COLUMNS.index(column)] = "[]"
    return tuple(row)


@dataclass(frozen=True, slots=True)
class ImportRun:
    """One file's import. `rows_done` are records taken from it; `finished` is None until the last
    is stored."""

    id: str
    register: str
    file_name: str
    file_digest: str
    rows_done: int
    started: int
    finished: int | None


_IMPORT = "SELECT id, register, file_name, file_digest, rows_done, started, finished"


def _import_of(row: Row) -> ImportRun:
    return ImportRun(
        row["id"], row["register"], row["file_name"], row["file_digest"], row["rows_done"],
        row["started"], row["finished"],
    )  # fmt: skip


async def latest_import(reader: Reader, register: str) -> ImportRun | None:
    """The import of this register that was begun last, finished or not."""
    row = await reader.fetch_one(
        f"{_IMPORT} FROM register_imports WHERE register = ?"
        " ORDER BY started DESC, id DESC LIMIT 1",
        (register,),
    )
    return _import_of(row) if row else None


async def last_imports(reader: Reader) -> list[ImportRun]:
    """Of each register the import that was finished last, by the register's name."""
    rows = await reader.fetch_all(
        f"{_IMPORT} FROM register_imports WHERE finished IS NOT NULL"
        " ORDER BY register, finished DESC, id DESC"
    )
    found: dict[str, ImportRun] = {}
    for row in rows:
        found.setdefault(row["register"], _import_of(row))
    return list(found.values())


async def begin_import(
    tx: Transaction, id: str, register: str, file_name: str, file_digest: str, now: int
) -> None:
    await tx.insert_many(
        "register_imports",
        ("id", "register", "file_name", "file_digest", "rows_done", "started"),
        [(id, register, file_name, file_digest, 0, now)],
    )


async def advance_import(
    tx: Transaction, id: str, register: str, rows_done: int, *, finished: int | None = None
) -> bool:
    """Note how many records of the file are done; `finished` when it was the last.

    False if another import of the register was begun later.
    """
    changed = await tx.execute(
        "UPDATE register_imports SET rows_done = ?, finished = ? WHERE id = ? AND id ="
        " (SELECT id FROM register_imports WHERE register = ?"
        " ORDER BY started DESC, id DESC LIMIT 1)",
        (rows_done, finished, id, register),
    )
    return changed == 1


_COUNTS = {
    "nppes": "SELECT COUNT(*) FROM nppes",
    "deactivated": "SELECT COUNT(*) FROM nppes WHERE deactivated > reactivated",
    "nucc": "SELECT COUNT(*) FROM nucc",
    "leie": "SELECT COUNT(*) FROM exclusions",
}


async def count_rows(reader: Reader, register: str) -> int:
    """How many entries a register has here."""
    if register in _COUNTS:
        return int(await reader.fetch_value(_COUNTS[register]))
    return int(
        await reader.fetch_value(
            "SELECT COUNT(*) FROM register_rows WHERE register = ?", (register,)
        )
    )


class EntryRow(NamedTuple):
    """One entry of a register that the configuration maps, or of a credentialing office's list."""

    number: str
    variant: str
    entry: bytes


async def put_entries(
    tx: Transaction, register: str, import_id: str, rows: Sequence[EntryRow]
) -> None:
    """Insert rows, in place of what earlier imports had under the same numbers."""
    numbers = list({row.number for row in rows})
    if not numbers:
        return
    where, params = among("number", numbers)
    await tx.execute(
        f"DELETE FROM register_rows WHERE register = ? AND import_id <> ? AND {where}",
        (register, import_id, *params),
    )
    await tx.insert_many(
        "register_rows",
        ("register", "import_id", *EntryRow._fields),
        [(register, import_id, *row) for row in rows],
        conflict="ON CONFLICT (register, number, variant) DO NOTHING",
    )


async def remove_other_entries(tx: Transaction, register: str, import_id: str) -> int:
    """Remove what only earlier imports had; how many rows."""
    return await tx.execute(
        "DELETE FROM register_rows WHERE register = ? AND import_id <> ?", (register, import_id)
    )


async def find_entries(reader: Reader, register: str, number: str, limit: int = 10) -> list[bytes]:
    """The entries under a number, at most `limit`."""
    rows = await reader.fetch_all(
        "SELECT entry FROM register_rows WHERE register = ? AND number = ?"
        " ORDER BY variant LIMIT ?",
        (register, number, limit),
    )
    return [bytes(row["entry"]) for row in rows]


async def has_entries(reader: Reader, register: str) -> bool:
    """Whether anything was imported into the register."""
    found = await reader.fetch_value(
        "SELECT 1 FROM register_rows WHERE register = ? LIMIT 1", (register,)
    )
    return found is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a register's own service answered, sealed by the caller."""

    answered: int
    sealed: bytes


async def put_answer(tx: Transaction, register: str, number_mac: str, answer: Answer) -> None:
    await tx.insert_many(
        "register_answers",
        ("register", "number_mac", "answered", "answer_sealed"),
        [(register, number_mac, answer.answered, answer.sealed)],
        conflict=(
            "ON CONFLICT (register, number_mac) DO UPDATE SET answered = excluded.answered,"
            " answer_sealed = excluded.answer_sealed"
        ),
    )


async def answer(reader: Reader, register: str, number_mac: str) -> Answer | None:
    row = await reader.fetch_one(
        "SELECT answered, answer_sealed FROM register_answers"
        " WHERE register = ? AND number_mac = ?",
        (register, number_mac),
    )
    return Answer(row["answered"], bytes(row["answer_sealed"])) if row else None


async def forget_answers(tx: Transaction, before: int) -> None:
    """Drop the answers given before a time."""
    await tx.execute("DELETE FROM register_answers WHERE answered < ?", (before,))


async def newest_import(reader: Reader) -> int:
    """When any register's file was imported last (UTC milliseconds); 0 for never."""
    return int(await reader.fetch_value("SELECT MAX(finished) FROM register_imports") or 0)
