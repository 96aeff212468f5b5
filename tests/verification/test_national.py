"""National registers by configuration, in the layouts that are given as examples."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fedidoc.clock import FrozenClock
from fedidoc.config import RegisterFile
from fedidoc.errors import BadInput, ConfigError
from fedidoc.model import Role
from fedidoc.storage import registers
from fedidoc.storage.engine import Database
from fedidoc.verification.claims import Claim
from fedidoc.verification.comparison import Mark, compare_names_field, compare_professions
from fedidoc.verification.imports import Report
from fedidoc.verification.national import NationalRegister, import_national

GMC = RegisterFile(
    jurisdiction="GB",
    columns={
        "number": "GMC Ref No",
        "last_name": "Surname",
        "first_name": "Given Name",
        "status": "Registration Status",
    },
    numbers="digits",
    active=("Registered with Licence",),
)
RPPS = RegisterFile(
    jurisdiction="FR",
    title="RPPS",
    delimiter="|",
    quote="",
    columns={
        "number": "Identifiant PP",
        "last_name": "Nom d'exercice",
        "first_name": "Prénom d'exercice",
        "profession": "Libellé profession",
        "specialty": "Libellé savoir-faire",
    },
    professions={"Médecin": "physician, resident", "Sage-Femme": ""},
)
AHPRA = RegisterFile(
    jurisdiction="AU",
    columns={"number": "Registration", "name": "Name", "expires": "Expiry"},
    dates="%d/%m/%Y",
)


def register(rules: RegisterFile, name: str = "test", **changes: Any) -> NationalRegister:
    fields = {**rules.__dict__, **changes}
    return NationalRegister.of(name, RegisterFile(**fields))


def claim(number: str, jurisdiction: str, name: str = "Amina Okafor") -> Claim:
    return Claim(name, Role.PHYSICIAN, number, jurisdiction, "", None)


async def read(
    db: Database, path: Path, register: NationalRegister, clock: FrozenClock | None = None
) -> Report:
    return await import_national(db, clock or FrozenClock(), path, register=register)


async def test_a_status_that_is_not_among_the_active_ones_is_not_in_force(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "lrmp.csv"
    path.write_text(
        "\ufeffGMC Ref No,Surname,Given Name,Registration Status\r\n"
        '7654321,"OKAFOR, JR",Amina,Registered with Licence\r\n'
        "1000001,Doe,John,Not Registered - Having Relinquished Registration\r\n",
        "utf-8",
    )
    gmc = register(GMC, "gmc")
    assert gmc.title == "GMC"
    report = await read(database, path, gmc)
    assert (report.rows, report.malformed) == (2, 0)
    (row,) = await gmc.find(database, claim("GMC 765 4321", "GB"))
    assert row.active and row.status == "Registered with Licence"
    assert row.name == "Amina OKAFOR, JR" and row.licences[0].state == "GB"
    (row,) = await gmc.find(database, claim("1000001", "GB-ENG"))
    assert not row.active
    assert await gmc.find(database, claim("7654321", "FR")) == []
    assert await gmc.find(database, claim("", "GB")) == []
    # What the words mean is the configuration's of today, without a new import.
    loose = register(GMC, "gmc", active=())
    (row,) = await loose.find(database, claim("1000001", "GB"))
    assert row.active


async def test_accents_pipes_and_several_activities_of_one_person(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "PS_LibreAcces_Personne_activite.csv"
    head = "Identifiant PP|Nom d'exercice|Prénom d'exercice|Libellé profession|Libellé savoir-faire"
    path.write_text(
        f"{head}|Adresse\n"
        '10003461033|SAUCIER "LE GRAND|ARTHUR|Médecin|Cardiologie|1 rue\n'
        '10003461033|SAUCIER "LE GRAND|ARTHUR|Médecin|Cardiologie|2 rue\n'
        '10003461033|SAUCIER "LE GRAND|ARTHUR|Médecin|Médecine générale|2 rue\n'
        "10003461034|ROY|ANNE|Pharmacien||3 rue\n",
        "utf-8",
    )
    rpps = register(RPPS, "rpps", professions={"Médecin": "physician, resident"})
    assert (await read(database, path, rpps)).rows == 4
    rows = await rpps.find(database, claim("100 0346 1033", "FR"))
    assert {row.specialties for row in rows} == {("Cardiologie",), ("Médecine générale",)}
    assert compare_professions(Role.PHYSICIAN, rows[0]).mark is Mark.SAME
    difference = compare_professions(Role.NURSE_PRACTITIONER, rows[0])
    assert difference.mark is Mark.DIFFERENT and "physician, resident" in difference.note
    (row,) = await rpps.find(database, claim("10003461034", "FR"))
    assert compare_professions(Role.PHYSICIAN, row).mark is Mark.DIFFERENT


@pytest.mark.parametrize(
    ("written", "mark"),
    [
        ("Dr Amina Rose Okafor", Mark.SAME),
        ("OKAFOR, Amina", Mark.SAME),
        ("Okafor Amina", Mark.SAME),
        ("Okaffor, Amina", Mark.SIMILAR),
        ("Amina Smith", Mark.DIFFERENT),
        ("Okafor", Mark.MISSING),
    ],
)
async def test_one_column_for_the_whole_name(
    database: Database, tmp_path: Path, written: str, mark: Mark
) -> None:
    path = tmp_path / "ahpra.csv"
    path.write_text(f'Registration,Name,Expiry\nMED0001234567,"{written}",30/09/2027\n')
    ahpra = register(AHPRA)
    await read(database, path, ahpra)
    (row,) = await ahpra.find(database, claim("med 0001234567", "AU-NSW"))
    assert row.expires == "2027-09-30" == row.licences[0].expires
    assert compare_names_field("Amina Okafor", row).mark is mark


async def test_who_is_gone_from_a_whole_register_is_removed_at_its_end(
    database: Database, tmp_path: Path
) -> None:
    clock, ahpra = FrozenClock(), register(AHPRA)
    head = "Registration,Name,Expiry\n"
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(head + "MED1,Ann Bee,01/01/2027\nMED2,Cy Dee,01/01/2027\n")
    two.write_text(head + "MED2,Cy Dee,01/01/2028\nMED3,Eve Eff,01/01/2028\n")
    await read(database, one, ahpra, clock)
    clock.advance(1000)
    report = await read(database, two, ahpra, clock)
    assert (report.rows, report.removed) == (2, 1)
    found = [await ahpra.find(database, claim(f"MED{n}", "AU")) for n in (1, 2, 3)]
    assert [[row.expires for row in rows] for rows in found] == [[], ["2028-01-01"], ["2028-01-01"]]
    # A file that only adds removes nobody, and still replaces what it has.
    clock.advance(1000)
    adding = register(AHPRA, complete=False)
    one.write_text(head + "MED1,Ann Bee,01/01/2029\n")
    assert (await read(database, one, adding, clock)).removed == 0
    found = [await ahpra.find(database, claim(f"MED{n}", "AU")) for n in (1, 2, 3)]
    assert [len(rows) for rows in found] == [1, 1, 1]
    assert (await read(database, one, adding, clock)).already


async def test_malformed_records_and_wrong_files(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    long = "9" * 70_000
    path.write_text(
        "Registration,Name,Expiry\nMED1,Ann Bee,1.1.27\n,Nobody,01/01/2027\nshort\n"
        f'"{long}",x,01/01/2027\nMED2,Cy\0 Dee,01/01/2027\n'
    )
    ahpra = register(AHPRA)
    report = await read(database, path, ahpra)
    assert (report.rows, report.malformed) == (1, 4)
    (row,) = await ahpra.find(database, claim("MED2", "AU"))
    assert row.full_name == "Cy Dee"
    path.write_text("Registration;Name;Expiry\n")
    with pytest.raises(BadInput, match="“Registration”"):
        await read(database, path, ahpra)
    path.write_bytes(b"Registration,Name,Expiry\n" + b"\x00\xd8" * 9)
    with pytest.raises(BadInput, match=r"\[registers.test\]|encoded"):
        await read(database, path, register(AHPRA, encoding="utf-16"))


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("nppes", {}, "built in"),
        ("x", {"jurisdiction": "England"}, "jurisdiction"),
        ("x", {"columns": {"number": "a", "nmae": "b"}}, "nmae"),
        ("x", {"columns": {"number": "a"}}, "last_name or name"),
        ("x", {"delimiter": ""}, "delimiter"),
        ("x", {"delimiter": '"'}, "delimiter"),
        ("x", {"encoding": "utf-99"}, "encoding"),
        ("x", {"dates": "%Q"}, "dates"),
        ("x", {"numbers": "all"}, "numbers"),
        ("x", {"professions": {"Arzt": "doctor"}}, "doctor"),
        ("x", {"professions": {"Büro": "staff"}}, "staff"),
    ],
)
def test_wrong_rules_are_named(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        register(AHPRA, name, **changes)


KILLED = """
import asyncio, sys
from pathlib import Path
from fedidoc.clock import Clock
from fedidoc.config import RegisterFile
from fedidoc.storage.engine import Database
from fedidoc.verification.national import NationalRegister, import_national
from fedidoc.verification.nppes import import_nppes

async def main(url, path, kind):
    db = await Database.open(url, readers=1)
    def show(done, total, records):
        print(records, flush=True)
    if kind == "nppes":
        report = await import_nppes(db, Clock(), Path(path), show)
    else:
        rules = RegisterFile("AU", {"number": "Registration", "name": "Name"})
        register = NationalRegister.of("au", rules)
        report = await import_national(db, Clock(), Path(path), show, register=register)
    print("done", report.resumed_at, report.rows, report.removed, flush=True)
    await db.close()

asyncio.run(main(*sys.argv[1:]))
"""


def run_import(url: str, path: Path, kind: str, *, kill_at: int | None) -> str:
    """The last line that a process of its own printed; killed once it told so many records."""
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, url, str(path), kind],
        stdout=subprocess.PIPE, text=True, env=os.environ,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    line = ""
    assert child.stdout is not None
    for line in child.stdout:
        if kill_at is not None and line.strip().isdigit() and int(line) >= kill_at:
            # Somewhere in the batch that follows.
            time.sleep(0.005)
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.close()
    child.wait(30)
    return line.strip()


@pytest.mark.parametrize("kind", ["nppes", "au"])
async def test_a_killed_import_goes_on_and_loses_nothing(
    any_database_url: str, tmp_path: Path, corpora: Path, kind: str
) -> None:
    total = 40_000
    path = tmp_path / "file.csv"
    if kind == "nppes":
        from benchmarks.registers import write

        write(path, total, "07/08/2020")
    else:
        lines = [f"MED{n},Person Number{n}" for n in range(total)]
        path.write_text("\n".join(["Registration,Name", *lines]) + "\n")
    reached = 0
    for kill_at in (5_000, 20_000):
        killed = run_import(any_database_url, path, kind, kill_at=kill_at)
        assert killed.isdigit() and int(killed) >= kill_at
        reached = int(killed)
    last = run_import(any_database_url, path, kind, kill_at=None)
    word, resumed_at, rows, removed = last.split()
    assert word == "done" and int(resumed_at) >= reached and removed == "0"
    assert int(rows) == total - int(resumed_at)
    db = await Database.open(any_database_url, readers=1)
    try:
        assert await registers.count_rows(db, kind) == total
        # Registers of another country's are no part of this one's.
        assert await registers.count_rows(db, "gmc") == 0
    finally:
        await db.close()
