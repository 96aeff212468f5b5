"""Registers that the configuration maps, `[registers.NAME]`: a file of columns for each (CSV).

An entry is kept as the file has it. What its words mean (which status is in force, which profession
is which) is read from the configuration when it is looked up, so that a change needs no new import.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedidoc.clock import Clock
from fedidoc.config import RegisterFile
from fedidoc.errors import BadInput, ConfigError
from fedidoc.model import Role
from fedidoc.storage import registers
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.registers import EntryRow
from fedidoc.storage.statements import Reader
from fedidoc.verification import deactivations, leie, nppes, nucc
from fedidoc.verification.claims import Claim
from fedidoc.verification.comparison import fold
from fedidoc.verification.imports import (
    BATCH,
    Progress,
    Report,
    Run,
    columns_of,
    digest_of,
    opened,
)
from fedidoc.verification.registries import Licence, RegisterRow

_FIELDS: Final = (
    "number", "last_name", "first_name", "middle_name", "name", "status", "profession",
    "specialty", "expires", "city", "credential",
)  # fmt: skip
_TAKEN: Final = frozenset(
    {nppes.REGISTER, deactivations.REGISTER, nucc.REGISTER, leie.REGISTER, "fhir", "openpayments"}
)
_JURISDICTION: Final = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_LONGEST: Final = 300
_MAX_FIELD: Final = 1 << 16
_CLINICAL: Final = tuple(role.value for role in Role if role is not Role.STAFF)


@dataclass(frozen=True, slots=True)
class NationalRegister:
    """One `[registers.NAME]`, checked. `words` are those of its profession column, folded."""

    name: str
    title: str
    rules: RegisterFile
    active: frozenset[str]
    words: Mapping[str, frozenset[Role]]

    @classmethod
    def of(cls, name: str, rules: RegisterFile) -> NationalRegister:
        """ConfigError says which key is wrong, and how."""
        where = f"[registers.{name}]"
        if name in _TAKEN:
            raise ConfigError(f"{where} has the name of a register that is built in.")
        if _JURISDICTION.fullmatch(rules.jurisdiction) is None:
            raise ConfigError(f"{where} jurisdiction must be a code such as GB, FR or CA-ON.")
        unknown = rules.columns.keys() - set(_FIELDS)
        if unknown:
            raise ConfigError(f"{where} columns has {min(unknown)}; it takes {', '.join(_FIELDS)}.")
        if "number" not in rules.columns or not {"last_name", "name"} & rules.columns.keys():
            raise ConfigError(f"{where} columns needs number, and last_name or name.")
        if len(rules.delimiter) != 1 or len(rules.quote) > 1 or rules.delimiter == rules.quote:
            raise ConfigError(f"{where} delimiter is one character, quote another one or none.")
        if rules.numbers not in ("letters", "digits"):
            raise ConfigError(f"{where} numbers must be letters or digits.")
        try:
            codecs.lookup(rules.encoding)
            dt.datetime.strptime(dt.date(2026, 11, 23).strftime(rules.dates), rules.dates)  # noqa: DTZ007
        except (LookupError, ValueError):
            raise ConfigError(
                f"{where} encoding must be one such as utf-8, dates a form such as %d/%m/%Y."
            ) from None
        words: dict[str, frozenset[Role]] = {}
        for word, roles in rules.professions.items():
            named = [role.strip() for role in roles.split(",")]
            if not set(named) <= set(_CLINICAL):
                raise ConfigError(
                    f"{where} professions has {roles!r}; roles are {', '.join(_CLINICAL)}."
                )
            words[fold(word)] = frozenset(Role(role) for role in named)
        active = frozenset(fold(word) for word in rules.active)
        return cls(name, rules.title or name.upper(), rules, active, words)

    def serves(self, claim: Claim) -> bool:
        """Whether a licence of the claim's country or state would stand in this register."""
        here = self.rules.jurisdiction
        return claim.jurisdiction == here or claim.jurisdiction.startswith(f"{here}-")

    def normalise(self, number: str) -> str:
        """A licence number without what people and files write around it, and leading zeros."""
        kept = (c for c in number.upper() if c.isascii() and (c.isdigit() or self._letters(c)))
        return "".join(kept).lstrip("0")

    def _letters(self, character: str) -> bool:
        return self.rules.numbers == "letters" and character.isalpha()

    async def find(self, reader: Reader, claim: Claim) -> list[RegisterRow]:
        """The entries with the claim's licence number, at most ten."""
        number = self.normalise(claim.licence_number)
        if not number or not self.serves(claim):
            return []
        entries = await registers.find_entries(reader, self.name, number)
        return [self._row(json.loads(entry), claim.place) for entry in entries]

    def _row(self, entry: Mapping[str, str], place: str) -> RegisterRow:
        status, profession = entry.get("status", ""), entry.get("profession", "")
        roles = self.words.get(fold(profession), frozenset()) if self.words else None
        expires = entry.get("expires", "")
        return RegisterRow(
            last_name=entry.get("last_name", ""),
            first_name=entry.get("first_name", ""),
            middle_name=entry.get("middle_name", ""),
            full_name=entry.get("name", ""),
            credential=entry.get("credential", ""),
            city=entry.get("city", ""),
            licences=(Licence(entry["number"], place, "", expires),),
            status=status,
            in_force=not self.active or fold(status) in self.active,
            professions=(profession,) if profession else (),
            roles=roles,
            specialties=tuple(filter(None, (entry.get("specialty", ""),))),
            expires=expires,
        )


def read_rules(sections: Mapping[str, RegisterFile]) -> tuple[NationalRegister, ...]:
    """All `[registers.NAME]` of a configuration. ConfigError says what is wrong."""
    return tuple(NationalRegister.of(name, rules) for name, rules in sections.items())


async def import_national(
    db: Database,
    clock: Clock,
    path: Path,
    progress: Progress | None = None,
    *,
    register: NationalRegister,
) -> Report:
    """Read a register's file (or a .zip with one .csv or .txt). BadInput says what is wrong.

    Goes on where an interrupted import stopped. When the file is the whole register, who is no
    longer in it is removed at the end, and until then stays.
    """
    report = Report()
    rules = register.rules
    suffix = _suffix_in(path)
    with opened(path, suffix) as source:
        text = io.TextIOWrapper(
            source.stream, _reading(rules.encoding), errors="replace", newline=""
        )
        records = _records(text, rules)
        header = next(records, None)
        names = columns_of(header or [])
        missing = [name for name in rules.columns.values() if name not in names]
        if missing:
            raise BadInput(
                f"The file's first line has no column “{missing[0]}”; correct the columns of"
                f" [registers.{register.name}], or its delimiter and encoding."
            )
        at = {field: names[name] for field, name in rules.columns.items()}
        # The same file read by other rules is another import.
        how = json.dumps([rules.columns, rules.delimiter, rules.quote, rules.encoding, rules.dates])
        run = await Run.begin(
            db, clock, register.name, path, digest_of(path, how, str(rules.complete))
        )
        if run is None:
            return Report(already=True)
        report.resumed_at = run.done
        taken = 0
        batch: list[EntryRow] = []
        dates = _Dates(rules.dates)

        async def put(tx: Transaction) -> None:
            await registers.put_entries(tx, register.name, run.id, batch)

        for values in records:
            taken += 1
            if taken <= run.done:
                continue
            entry = _entry(register, values, at, dates)
            if isinstance(entry, str):
                report.refuse(taken, entry)
            else:
                batch.append(entry)
                report.rows += 1
            if taken % BATCH == 0:
                await run.store(put, taken)
                batch.clear()
                if progress:
                    progress(source.position(), source.total, taken)
        await run.store(put, taken)
        report.removed = await _finish(run, register, taken)
        text.detach()
        if progress:
            progress(source.total, source.total, taken)
    return report


async def _finish(run: Run, register: NationalRegister, taken: int) -> int:
    removed = 0

    async def remove(tx: Transaction) -> None:
        nonlocal removed
        if register.rules.complete:
            removed = await registers.remove_other_entries(tx, register.name, run.id)

    await run.store(remove, taken, finished=True)
    return removed


def _suffix_in(path: Path) -> str:
    return ".txt" if path.suffix.lower() == ".zip" and "txt" in path.stem.lower() else ".csv"


def _reading(encoding: str) -> str:
    """UTF-8 with or without its mark."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _records(text: io.TextIOWrapper, rules: RegisterFile) -> Iterator[list[str] | None]:
    """Each record's values; None for one that is malformed."""
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(
        text,
        delimiter=rules.delimiter,
        quotechar=rules.quote or None,
        quoting=csv.QUOTE_MINIMAL if rules.quote else csv.QUOTE_NONE,
    )
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        except UnicodeError:
            raise BadInput("The file is not encoded as the configuration says.") from None
        if values:
            yield values


def _entry(
    register: NationalRegister, values: list[str] | None, at: Mapping[str, int], dates: _Dates
) -> EntryRow | str:
    if values is None or len(values) <= max(at.values()):
        return "the record is malformed"
    entry = {
        field: value
        for field, place in at.items()
        if (value := " ".join(values[place].replace("\0", "").split())[:_LONGEST])
    }
    number = register.normalise(entry.get("number", ""))
    if not number:
        return "there is no licence number"
    if "expires" in entry:
        expires = dates.read(entry["expires"])
        if expires is None:
            return "the date of expiry is not written as the configuration says"
        entry["expires"] = expires
    data = json.dumps(entry, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
    return EntryRow(number, hashlib.sha256(data).hexdigest()[:16], data)


class _Dates:
    """Reads dates of one form, each of which comes up many times."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._known: dict[str, str | None] = {}

    def read(self, text: str) -> str | None:
        """ISO, or None."""
        if text not in self._known:
            if len(self._known) > 50_000:
                self._known.clear()
            try:
                found = dt.datetime.strptime(text, self._form).date()  # noqa: DTZ007 - a date only
                self._known[text] = found.isoformat()
            except ValueError:
                self._known[text] = None
        return self._known[text]
