"""An attacker who has everything that lies around, and wants to know whose each pseudonym is.

It gets a folder: the database's files (free pages and write-ahead log with them), those that
crashes left, backups with the secret key inside, the log, the media folder, and every document that
ever left. It knows the software. Each *method* gives every pair of pseudonym and member a score;
its guess for a pseudonym is the member with the highest one. Nothing here knows the truth: `judge`
is told it afterwards, counts the right guesses of each method, and says how likely so many are by
chance.

What is not tried is what no storage can hide: the style of texts, and who answers whom.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
import tarfile
import tempfile
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedidoc.clock import DAY, HOUR, MINUTE, from_iso
from fedidoc.vault import Vault

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Ids, names and digests, alone or inside a URL.
_TOKEN = re.compile(r"[0-9a-z_]{5,}")
_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_EARLIEST, _LATEST = 1_700_000_000_000, 1_900_000_000_000
_NEAR = 300  # bytes
_BESIDE = 64
# How long before a pseudonym's act its person may have been at work.
_WINDOWS = (5 * MINUTE, 20 * MINUTE, HOUR, 6 * HOUR)

Scores = dict[str, dict[str, float]]
"""By pseudonym, by member."""


@dataclass
class Party:
    """A member or a pseudonym: a name, and every text that stands for it."""

    name: str
    marks: set[str] = field(default_factory=set)


@dataclass
class Table:
    """One table of one database file, with its rows in their hidden order."""

    name: str
    columns: list[str]
    rows: list[tuple[int, tuple[Any, ...]]]


@dataclass
class Snapshot:
    """One database file as found, at the time its name or its newest row says."""

    label: str
    at: int
    raw: bytes
    tables: list[Table]


@dataclass
class Evidence:
    """Everything, read."""

    folder: Path
    snapshots: list[Snapshot] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)  # name: (mtime ms, bytes)
    key: str = ""
    members: list[Party] = field(default_factory=list)
    pseudonyms: list[Party] = field(default_factory=list)
    accounts: dict[str, str] = field(default_factory=dict)
    """Members by their account's id, which stands beside a pseudonym in no row there is."""


# Reading ------------------------------------------------------------------------------------------


def gather(folder: Path) -> Evidence:
    """Open everything in the folder."""
    found = Evidence(folder)
    for place in [folder / "live", *sorted((folder / "crashes").iterdir())]:
        found.snapshots.append(_read_database(place / "fedidoc.db", place.name))
    for archive in sorted((folder / "backups").iterdir()):
        with tarfile.open(archive) as entries, tempfile.TemporaryDirectory() as scratch:
            for entry in entries:
                data = entries.extractfile(entry)
                assert data is not None
                if entry.name == "database.sqlite":
                    path = Path(scratch) / "fedidoc.db"
                    path.write_bytes(data.read())
                    found.snapshots.append(_read_database(path, archive.name))
                elif entry.name == "config.toml":
                    found.key = data.read().decode().split('"')[1]
    found.snapshots.sort(key=lambda each: each.at)
    for path in sorted((folder / "documents").iterdir()):
        found.documents.append(path.read_text())
    found.lines = (folder / "log.jsonl").read_text().splitlines()
    for path in sorted((folder / "media").iterdir()):
        stat = path.stat()
        found.files[path.name] = (int(stat.st_mtime * 1000), stat.st_size)
    _name_parties(found)
    return found


def _read_database(path: Path, label: str) -> Snapshot:
    raw = b"".join(part.read_bytes() for part in (path, Path(f"{path}-wal")) if part.exists())
    with tempfile.TemporaryDirectory() as scratch:
        for ending in ("", "-wal"):
            part = Path(f"{path}{ending}")
            if part.exists():
                (Path(scratch) / f"copy{ending}").write_bytes(part.read_bytes())
        with closing(sqlite3.connect(Path(scratch) / "copy")) as connection:
            tables = [
                _read_table(connection, name, sql)
                for name, sql in connection.execute(
                    "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
                ).fetchall()
                if not name.startswith("sqlite_")
            ]
    # A backup says when it was made; of a file, its newest post does, and the live one is last.
    written = [row for table in tables if table.name == "posts" for row in _records(table)]
    at = max((int(row["published"]) for row in written), default=0)
    if label.endswith(".tar.gz"):
        at = int(label.split(".")[0])
    elif label == "live":
        at = _LATEST
    return Snapshot(label, at, raw, tables)


def _read_table(connection: sqlite3.Connection, name: str, sql: str) -> Table:
    hidden = "0" if "WITHOUT ROWID" in sql else "rowid"
    cursor = connection.execute(f"SELECT {hidden}, * FROM {name}")
    columns = [each[0] for each in cursor.description][1:]
    rows = [(row[0] or place, row[1:]) for place, row in enumerate(cursor.fetchall(), 1)]
    return Table(name, columns, rows if hidden == "0" else sorted(rows, key=lambda row: row[0]))


def _name_parties(found: Evidence) -> None:
    """Who is who in public: the members by their accounts, the pseudonyms by theirs."""
    last = found.snapshots[-1]
    tables = {table.name: table for table in last.tables}
    for row in _records(tables["accounts"]):
        party = Party(row["username"], {row["id"], row["actor_id"], row["email_mac"]})
        found.members.append(party)
        found.accounts[row["id"]] = row["username"]
    for row in _records(tables["pseudonyms"]):
        found.pseudonyms.append(Party(row["handle"], {row["id"], row["actor_id"]}))
    for party in (*found.members, *found.pseudonyms):
        party.marks |= {party.name}
    owned = {mark: party for p in (found.members, found.pseudonyms) for party in p
             for mark in party.marks}  # fmt: skip
    # What is a party's stands for it too: posts, pictures, keys, credentials, sessions, records.
    for table, own, whose in (
        ("posts", ("id", "uri", "once"), "author_id"), ("media", ("id", "file"), "owner_id"),
        ("credentials", ("id",), "actor_id"),
        ("activities", ("id", "uri"), "actor_id"), ("pseudonym_records", ("id",), "pseudonym_id"),
        ("likes", ("id", "uri"), "actor_id"), ("events", ("id",), "actor_id"),
    ):  # fmt: skip
        for snapshot in found.snapshots:
            for each in snapshot.tables:
                if each.name == table:
                    for row in _records(each):
                        party_of = owned.get(row[whose])
                        if party_of is not None:
                            party_of.marks |= {
                                part for c in own if row[c] for part in _TOKEN.findall(str(row[c]))
                                if _ID.fullmatch(part)
                            }  # fmt: skip


def _records(table: Table) -> Iterator[dict[str, Any]]:
    for _, row in table.rows:
        yield dict(zip(table.columns, row, strict=True))


def times_in(values: Iterable[Any]) -> list[int]:
    """Every time in some values: milliseconds, ISO 8601, and those that sortable ids begin with."""
    found = []
    for value in values:
        if isinstance(value, int) and _EARLIEST < value < _LATEST:
            found.append(value)
        elif isinstance(value, str):
            for id in _ID.findall(value):
                moment = 0
                for letter in id[:10]:
                    moment = moment * 32 + _ALPHABET.index(letter)
                if _EARLIEST < moment >> 2 < _LATEST or _EARLIEST < moment < _LATEST:
                    found.append(moment if _EARLIEST < moment < _LATEST else moment >> 2)
            for text in re.findall(r"20\d\d-\d\d-\d\dT[\d:.]+Z", value):
                iso = from_iso(text)
                if iso is not None:
                    found.append(iso)
    return found


# Scoring ------------------------------------------------------------------------------------------


class Attack:
    """All methods over one folder of evidence."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.methods: dict[str, Scores] = {}
        self._member_of = {m: p.name for p in evidence.members for m in p.marks}
        self._nym_of = {m: p.name for p in evidence.pseudonyms for m in p.marks}

    def run(self) -> dict[str, Scores]:
        self._same_place()
        self._raw_bytes()
        self._keyed_digests()
        self._same_values()
        self._times()
        self._row_order()
        self._between_backups()
        self._log_neighbours()
        return self.methods

    def _add(self, method: str, nym: str, member: str, weight: float = 1.0) -> None:
        scores = self.methods.setdefault(method, {})
        of = scores.setdefault(nym, {})
        of[member] = of.get(member, 0.0) + weight

    def _parties(self, values: Iterable[Any]) -> tuple[set[str], set[str]]:
        """(members, pseudonyms) that some values speak of."""
        members: set[str] = set()
        nyms: set[str] = set()
        for value in values:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if not isinstance(text, str):
                continue
            for mark in {text, *_TOKEN.findall(text)}:
                if mark in self._member_of:
                    members.add(self._member_of[mark])
                if mark in self._nym_of:
                    nyms.add(self._nym_of[mark])
        return members, nyms

    def _same_place(self) -> None:
        """Both in one row, one line, one document."""
        for snapshot in self.evidence.snapshots:
            for table in snapshot.tables:
                for _, row in table.rows:
                    self._pair_all(f"row of {table.name}", *self._parties(row))
        for line in self.evidence.lines:
            self._pair_all("log line", *self._parties([line]))
        for document in self.evidence.documents:
            self._pair_all("document", *self._parties([document]))

    def _pair_all(self, method: str, members: set[str], nyms: set[str]) -> None:
        for nym in nyms:
            for member in members:
                self._add(method, nym, member, 1 / len(members))

    def _raw_bytes(self) -> None:
        """Near each other in a file, free pages and the write-ahead log included; and what stands
        next before a pseudonym's bytes, since pages are filled in the order of time."""
        marks = re.compile(_TOKEN.pattern.encode())
        for snapshot in self.evidence.snapshots:
            kind = "backup" if snapshot.label.endswith(".gz") else "file"
            last: list[tuple[int, str]] = []
            secret = False  # whether the last mark of a member is an account's id
            for hit in marks.finditer(snapshot.raw):
                mark = hit.group().decode()
                member, nym = self._member_of.get(mark), self._nym_of.get(mark)
                if member:
                    last = [*last[-4:], (hit.start(), member)]
                    secret = mark in self.evidence.accounts
                if nym:
                    for place, (at, before) in enumerate(reversed(last)):
                        if hit.start() - at < _NEAR:
                            self._add(f"bytes of a {kind}", nym, before)
                            if secret and hit.start() - at < _BESIDE:
                                self._add(f"an account's id in bytes of a {kind}", nym, before)
                        self._add(f"order in a {kind}", nym, before, 1 / (1 + place))

    def _keyed_digests(self) -> None:
        """Digests of members' ids, plain and under the instance's key, anywhere at all."""
        vault = Vault.from_text(self.evidence.key) if self.evidence.key else None
        purposes = ["session", "pseudonym session", "recovery code", "login throttle", "e-mail",
                    "pseudonym throttle", "pseudonym", "api token",
                    *(f"pseudonym code {year}" for year in range(2025, 2029))]  # fmt: skip
        haystack = self.evidence.snapshots[-1]
        values = {
            value: row for table in haystack.tables for _, row in table.rows for value in row
            if isinstance(value, str) and 16 <= len(value) <= 64
        }  # fmt: skip
        for party in self.evidence.members:
            for mark in party.marks:
                digests = {hashlib.sha256(mark.encode()).hexdigest()}
                if vault:
                    digests |= {vault.fingerprint(mark, purpose) for purpose in purposes}
                for digest in digests & values.keys():
                    for nym in self._parties(values[digest])[1]:
                        self._add("digest of an id", nym, party.name)

    def _same_values(self) -> None:
        """Joins: a value in a pseudonym's row that is also in a member's, for every two columns."""
        skip = {*self._member_of, *self._nym_of}
        of_members: dict[tuple[str, str], dict[Any, set[str]]] = defaultdict(dict)
        of_nyms: dict[tuple[str, str], dict[Any, set[str]]] = defaultdict(dict)
        for snapshot in self.evidence.snapshots[-3:]:
            for table in snapshot.tables:
                for _, row in table.rows:
                    members, nyms = self._parties(row)
                    if bool(members) == bool(nyms):
                        continue  # speaks of nobody, or of both: see `_same_place`
                    for column, value in zip(table.columns, row, strict=True):
                        for kind, one in self._shapes(value):
                            if one in skip:
                                continue
                            where = of_members if members else of_nyms
                            index = where[(table.name, f"{column}{kind}")]
                            index.setdefault(one, set()).update(members or nyms)
        for (table, column), index in of_nyms.items():
            for (other, also), theirs in of_members.items():
                for value in index.keys() & theirs.keys():
                    owners = theirs[value]
                    if len(owners) > 10:
                        continue  # says nothing
                    for nym in index[value]:
                        for member in owners:
                            self._add(
                                f"{table}.{column} = {other}.{also}", nym, member, 1 / len(owners)
                            )

    def _shapes(self, value: Any) -> Iterator[tuple[str, Any]]:
        if value is None or value in ("", 0, 1):
            return
        if isinstance(value, bytes):
            yield " length", len(value)
            yield "", value
            return
        yield "", value
        if isinstance(value, int) and _EARLIEST < value < _LATEST:
            for name, step in (("second", 1000), ("minute", MINUTE), ("hour", HOUR)):
                if value % DAY:
                    yield f" {name}", value // step
        elif isinstance(value, str):
            yield " length", len(value)
            if value in self.evidence.files:
                yield " bytes", self.evidence.files[value][1]

    # Times ----------------------------------------------------------------------------------------

    def _moments(self) -> tuple[dict[str, dict[str, list[int]]], dict[str, dict[str, list[int]]]]:
        """By column, by party: every time that stands in a row of theirs alone."""
        members: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        nyms: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for snapshot in self.evidence.snapshots:
            for table in snapshot.tables:
                for _, row in table.rows:
                    owner, author = self._owner(table, row)
                    where = members if owner else nyms
                    who = owner or author
                    if who is None:
                        continue
                    for column, value in zip(table.columns, row, strict=True):
                        for moment in times_in([value]):
                            where[f"{table.name}.{column}"][who].add(moment)
        for document in self.evidence.documents:
            parsed = json.loads(document)
            actor = str(parsed.get("actor") or parsed.get("id", "")).rpartition("/")[2]
            for where, names in ((members, self._member_of), (nyms, self._nym_of)):
                if actor in names:
                    where["document"][names[actor]].update(times_in([document]))
        for file, (mtime, _) in self.evidence.files.items():
            for where, names in ((members, self._member_of), (nyms, self._nym_of)):
                stem = file.partition(".")[0]
                if stem in names:
                    where["file's time"][names[stem]].add(mtime)
        return (
            {c: {w: sorted(t) for w, t in by.items()} for c, by in members.items()},
            {c: {w: sorted(t) for w, t in by.items()} for c, by in nyms.items()},
        )

    def _owner(self, table: Table, row: tuple[Any, ...]) -> tuple[str | None, str | None]:
        """(member, pseudonym) whose doing a row is: the first of either that its columns name."""
        for column, value in zip(table.columns, row, strict=True):
            if not isinstance(value, str) or column in {"account_actor_id", "followed_id"}:
                continue
            if value in self._member_of:
                return self._member_of[value], None
            if value in self._nym_of:
                return None, self._nym_of[value]
        return None, None

    def _times(self) -> None:
        """A member at work shortly before a pseudonym was: all times, and column by column."""
        members, nyms = self._moments()
        every: dict[str, list[int]] = defaultdict(list)
        for by in members.values():
            for who, times in by.items():
                every[who] = sorted({*every[who], *times})
        whole: dict[str, list[int]] = defaultdict(list)
        for column, by in nyms.items():
            for who, times in by.items():
                whole[who] = sorted({*whole[who], *times})
            self._closest(f"times: {column}", by, every)
            for other, theirs in members.items():
                self._closest(f"times: {column} after {other}", by, theirs)
        self._closest("times: all", whole, every)

    def _closest(
        self, method: str, nyms: dict[str, list[int]], members: dict[str, list[int]]
    ) -> None:
        for window in _WINDOWS:
            expected = {who: len(times) + 1 for who, times in members.items()}
            for nym, moments in nyms.items():
                for moment in moments:
                    near = [
                        who for who, times in members.items()
                        if bisect_right(times, moment) > bisect_left(times, moment - window)
                    ]  # fmt: skip
                    for who in near:
                        weight = 1 / len(near) / math.sqrt(expected[who])
                        self._add(f"{method} ({window // MINUTE} min)", nym, who, weight)

    # Order ----------------------------------------------------------------------------------------

    def _row_order(self) -> None:
        """Hidden row numbers: who came next before, and what time the neighbours' rows give."""
        members, _ = self._moments()
        every: dict[str, list[int]] = defaultdict(list)
        for by in members.values():
            for who, times in by.items():
                every[who] = sorted({*every[who], *times})
        seen: set[tuple[str, str]] = set()
        for snapshot in self.evidence.snapshots:
            for table in snapshot.tables:
                dated: dict[str, list[int]] = defaultdict(list)
                last: list[str] = []
                clock = 0
                for _, row in table.rows:
                    member, nym = self._owner(table, row)
                    if member:
                        last = [*last[-2:], member]
                        exact = [t for t in times_in(row) if t % DAY]
                        clock = max(exact, default=clock)
                    elif nym:
                        for place, before in enumerate(reversed(last)):
                            self._add(f"row order of {table.name}", nym, before, 1 / (1 + place))
                        mark = (table.name, str(row[0]))
                        if clock and mark not in seen:
                            seen.add(mark)
                            dated[nym].append(clock)
                self._closest(f"dated by rows of {table.name}", dated, every)

    def _between_backups(self) -> None:
        """What is new of a pseudonym, and of whom something changed, from one copy to the next."""
        before: dict[str, set[Any]] = {}
        for snapshot in self.evidence.snapshots:
            changed: set[str] = set()
            appeared: set[str] = set()
            handed: set[str] = set()
            first = not before
            for table in snapshot.tables:
                now = {row for _, row in table.rows}
                new = now - before.get(table.name, set())
                before[table.name] = before.get(table.name, set()) | now
                for row in new:
                    member, nym = self._owner(table, row)
                    if member:
                        changed.add(member)
                        if table.name == "accounts":
                            handed.add(member)
                    if nym and table.name in {"pseudonyms", "actors"}:
                        appeared.add(nym)
            if first:
                continue
            for nym in appeared:
                for kind, who in (("changes", changed), ("accounts changed", handed)):
                    for member in who:
                        self._add(f"{kind} between copies", nym, member, 1 / len(who))

    def _log_neighbours(self) -> None:
        """Lines of the log close to each other."""
        last: list[str] = []
        for line in self.evidence.lines:
            members, nyms = self._parties([line])
            for nym in nyms:
                for place, member in enumerate(reversed(last)):
                    self._add("order of log lines", nym, member, 1 / (1 + place))
            if members:
                last = [*last[-2:], *sorted(members)]


# Judging ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How well the best method did. `right` of `pseudonyms` guesses; `chance` is how likely so
    many right ones are for the luckiest of all methods that guess blindly."""

    method: str
    right: float
    pseudonyms: int
    members: int
    methods: int
    chance: float

    def __str__(self) -> str:
        blind = self.pseudonyms / self.members
        return (
            f"best of {self.methods} methods: {self.right:.1f} of {self.pseudonyms} pseudonyms"
            f" right (one blind method: {blind:.1f}), by {self.method};"
            f" p = {self.chance:.2g} for the luckiest of {self.methods} blind ones"
        )


def judge(methods: dict[str, Scores], truth: dict[str, str], members: int) -> Verdict:
    """Count each method's right guesses and take the best, with the odds of the luckiest one.

    Methods that give the same guesses count as one. A tie among several members counts as the
    fraction of a right guess that it is.
    """
    results: dict[tuple[Any, ...], tuple[str, float]] = {}
    for method, scores in methods.items():
        right, guesses = 0.0, []
        for nym, owner in sorted(truth.items()):
            of = scores.get(nym, {})
            top = max(of.values(), default=0.0)
            best = sorted(who for who, score in of.items() if score >= top - 1e-12)
            guesses.append((nym, tuple(best)))
            if owner in best:
                right += 1 / len(best)
        results.setdefault(tuple(guesses), (method, right))
    count = max(1, len(results))
    method, right = max(results.values(), key=lambda each: each[1], default=("none", 0.0))
    alone = _at_least(math.floor(right + 1e-9), len(truth), 1 / members)
    return Verdict(
        method, right, len(truth), members, count, min(1.0, -math.expm1(count * math.log1p(-alone)))
        if alone < 1 else 1.0,
    )  # fmt: skip


def _at_least(hits: int, tries: int, odds: float) -> float:
    """The chance of at least so many hits in independent tries (binomial)."""
    return sum(
        math.comb(tries, n) * odds**n * (1 - odds) ** (tries - n) for n in range(hits, tries + 1)
    )
