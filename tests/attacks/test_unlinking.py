"""The unlinking test: with everything that lies around, an attacker guesses no better than blindly.

Fifty members, twenty pseudonyms, two weeks. The attacker proves itself first: each of five planted
leaks (an id in a column, a time of creation, a line in the log, exact times of posts, the order of
rows) must let it find far more than chance does; then it gets what the instance really left.
`pytest -s` prints the figures.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fedidoc.storage.settling import MIXED
from tests.attacks.unlinking import Attack, Verdict, gather, judge
from tests.attacks.weeks import Life, live
from tests.postgres import run_apart

MEMBERS, PSEUDONYMS = 50, 20
# A blind attacker passes this with the luckiest of all its methods once in a hundred times.
SURE = 0.01


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    found: list[Life] = []

    async def lived() -> None:
        folder = tmp_path_factory.mktemp("weeks") / "instance"
        found.append(
            await live(folder, seed=20261123, members=MEMBERS, pseudonyms=PSEUDONYMS, weeks=2)
        )

    run_apart(lived())
    return found[0]


def attack(folder: Path, truth: dict[str, str]) -> Verdict:
    evidence = gather(folder)
    assert len(evidence.members) == MEMBERS and len(evidence.pseudonyms) == PSEUDONYMS
    assert {party.name for party in evidence.pseudonyms} == truth.keys()
    return judge(Attack(evidence).run(), truth, MEMBERS)


def test_there_is_something_to_attack(life: Life) -> None:
    evidence = gather(life.evidence)
    assert len(evidence.snapshots) >= 10 and len(evidence.documents) > 300
    assert evidence.key and len(evidence.files) > 20
    posts = {row[0] for s in evidence.snapshots for t in s.tables if t.name == "posts"
             for _, row in t.rows}  # fmt: skip
    assert life.posted.keys() <= posts and len(life.posted) > 60


def test_every_table_with_rows_of_both_is_settled(life: Life) -> None:
    """Or has no hidden row numbers at all."""
    evidence = gather(life.evidence)
    attacker = Attack(evidence)
    mixed = {table for table, _, _ in MIXED}
    with closing(_database(life.evidence)) as db:
        keyed = {name for name, sql in db.execute("SELECT name, sql FROM sqlite_master")
                 if "WITHOUT ROWID" in (sql or "")}  # fmt: skip
    for table in evidence.snapshots[-1].tables:
        owners = [attacker._owner(table, row) for _, row in table.rows]
        both = any(member for member, _ in owners) and any(nym for _, nym in owners)
        assert not both or table.name in mixed | keyed, table.name


def test_its_best_guess_does_not_beat_chance(life: Life) -> None:
    verdict = attack(life.evidence, life.truth)
    print(f"\nunlinking: {verdict}")
    assert verdict.methods > 100
    assert verdict.chance > SURE, str(verdict)


# What the attacker can do -------------------------------------------------------------------------


def _database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "live" / "fedidoc.db", isolation_level=None)


def an_id_column(folder: Path, life: Life) -> None:
    with closing(_database(folder)) as db:
        db.execute("ALTER TABLE pseudonyms ADD COLUMN note TEXT")
        for handle, owner in life.truth.items():
            db.execute(
                "UPDATE pseudonyms SET note = (SELECT id FROM accounts WHERE username = ?)"
                " WHERE handle = ?",
                (owner, handle),
            )


def a_shared_value(folder: Path, life: Life) -> None:
    """No id: a device's mark that stands in both."""
    with closing(_database(folder)) as db:
        db.execute("ALTER TABLE pseudonyms ADD COLUMN agent TEXT")
        db.execute("ALTER TABLE accounts ADD COLUMN device TEXT")
        for number, (handle, owner) in enumerate(life.truth.items()):
            agent = f"Mozilla/5.0 ({number * 7919 % 997})"
            db.execute("UPDATE pseudonyms SET agent = ? WHERE handle = ?", (agent, handle))
            db.execute("UPDATE accounts SET device = ? WHERE username = ?", (agent, owner))


def a_creation_time(folder: Path, life: Life) -> None:
    with closing(_database(folder)) as db:
        db.execute("ALTER TABLE pseudonyms ADD COLUMN created INTEGER")
        for handle, at in life.enrolled.items():
            db.execute("UPDATE pseudonyms SET created = ? WHERE handle = ?", (at, handle))


def a_log_line(folder: Path, life: Life) -> None:
    with (folder / "log.jsonl").open("a") as lines:
        for handle, owner in life.truth.items():
            lines.write(f'{{"event": "logged_out", "member": "{owner}"}}\n')
            lines.write(f'{{"event": "enrolled", "object": "{handle}"}}\n')


def exact_times_of_posts(folder: Path, life: Life) -> None:
    with closing(_database(folder)) as db:
        for post_id, at in life.posted.items():
            db.execute("UPDATE posts SET received = ? WHERE id = ?", (at, post_id))


def the_order_of_rows(folder: Path, life: Life) -> None:
    """Row numbers as they would be had nothing been settled; every time stays a day."""
    with closing(_database(folder)) as db:
        rows = db.execute("SELECT rowid, id, received FROM posts").fetchall()
        rows.sort(key=lambda row: life.posted.get(row[1], row[2]))
        db.executemany(
            "UPDATE posts SET rowid = ? WHERE id = ?",
            [(-place, id) for place, (_, id, _) in enumerate(rows, 1)],
        )
        db.execute("UPDATE posts SET rowid = -rowid")


def an_old_page(folder: Path, life: Life) -> None:
    """Bytes that no table shows any more, as a free page keeps them without secure_delete."""
    with closing(_database(folder)) as db, (folder / "live" / "fedidoc.db").open("ab") as file:
        for handle, owner in life.truth.items():
            id = db.execute("SELECT id FROM accounts WHERE username = ?", (owner,)).fetchone()[0]
            file.write(id.encode() + b"\x00\x17" + handle.encode() + bytes(900))


@pytest.mark.parametrize(
    "plant",
    [an_id_column, a_shared_value, a_creation_time, a_log_line, exact_times_of_posts,
     the_order_of_rows, an_old_page],
)  # fmt: skip
def test_it_finds_a_planted_leak(
    life: Life, tmp_path: Path, plant: Callable[[Path, Life], None]
) -> None:
    """In less than it gets above: the live files, the log and the documents."""
    folder = tmp_path / "evidence"
    shutil.copytree(life.evidence, folder, ignore=shutil.ignore_patterns("*.tar.gz"))
    shutil.rmtree(folder / "crashes")
    (folder / "crashes").mkdir()
    plant(folder, life)
    verdict = attack(folder, life.truth)
    print(f"\nplanted {plant.__name__}: {verdict}")
    assert verdict.chance < SURE, str(verdict)


def test_a_blind_attacker_is_judged_blind() -> None:
    """The judge itself: random scores are chance, right ones are not."""
    chance = random.Random(3)
    members = [f"m{n}" for n in range(MEMBERS)]
    truth = dict(zip((f"p{n}" for n in range(PSEUDONYMS)), members, strict=False))
    blind = {
        f"method {n}": {p: {m: chance.random() for m in members} for p in truth}
        for n in range(500)
    }  # fmt: skip
    assert judge(blind, truth, MEMBERS).chance > SURE
    seven = {p: {owner if n < 8 else "m49": 1.0} for n, (p, owner) in enumerate(truth.items())}
    assert judge({**blind, "found": seven}, truth, MEMBERS).chance < SURE
