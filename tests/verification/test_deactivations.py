"""CMS's deactivation report, as a workbook built here cell by cell, and as CSV."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from fedidoc.clock import FrozenClock
from fedidoc.errors import BadInput
from fedidoc.storage import registers
from fedidoc.storage.engine import Database
from fedidoc.storage.registers import NPPES_COLUMNS
from fedidoc.verification.deactivations import import_deactivations
from fedidoc.verification.registries import Nppes
from fedidoc.verification.spreadsheets import read_sheet

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
TITLE = "NPPES Deactivated Records as of Oct 12 2026"
HEADER = ["NPI", "NPPES Deactivation Date"]
FIRST, SECOND, THIRD = "1234567893", "1679576722", "1003000126"


def cell(at: int, row: int, text: str, strings: list[str], kind: str) -> str:
    place = f'r="{chr(65 + at)}{row}"'
    if kind == "n":
        return f"<c {place}><v>{text}</v></c>"
    if kind == "inline":
        return f'<c {place} t="inlineStr"><is><t>{escape(text)}</t></is></c>'
    strings.append(text)
    return f'<c {place} t="s"><v>{len(strings) - 1}</v></c>'


def workbook(
    path: Path, rows: list[list[str]], *, kind: str = "s", head: str = "", strings_head: str = ""
) -> Path:
    """The parts of a real file that hold a table: shared strings, and one sheet."""
    strings: list[str] = []
    body = "".join(
        f'<row r="{number}">'
        + "".join(cell(at, number, text, strings, kind) for at, text in enumerate(row) if text)
        + "</row>"
        for number, row in enumerate(rows, start=1)
    )
    shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr("xl/sharedStrings.xml", f'{strings_head}<sst xmlns="{MAIN}">{shared}</sst>')
        book.writestr("xl/worksheets/sheet2.xml", f'<worksheet xmlns="{MAIN}"/>')
        book.writestr(
            "xl/worksheets/sheet1.xml",
            f'{head}<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>',
        )
    return path


async def known(database: Database, npi: str, **values: str) -> None:
    row = {
        "entity_type": "1",
        "last_name": "PERSON",
        "taxonomies": "[]",
        "licences": "[]",
        **values,
    }
    async with database.transaction() as tx:
        await registers.put_nppes(
            tx, [tuple({**row, "npi": npi}.get(name, "") for name in NPPES_COLUMNS)]
        )


@pytest.mark.parametrize("kind", ["s", "inline"])
async def test_the_workbook_of_cms_is_read_alone_and_in_its_zip(
    database: Database, tmp_path: Path, kind: str
) -> None:
    await known(database, FIRST, updated="2020-01-01")
    book = workbook(
        tmp_path / "report.xlsx",
        [[TITLE], HEADER, [FIRST, "03/04/2026"], [], [SECOND, "12/31/2021"], ["1234567890", "x"]],
        kind=kind,
    )
    packed = tmp_path / "NPPES_Deactivated_NPI_Report_101226_V2.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(book, "NPPES Deactivated NPI Report 20261012.xlsx")
    clock = FrozenClock()
    report = await import_deactivations(database, clock, packed)
    assert (report.rows, report.malformed) == (2, 1)
    row = await Nppes(database).find(FIRST)
    assert row is not None and not row.active
    assert (row.deactivated, row.last_name) == ("2026-03-04", "PERSON")
    row = await Nppes(database).find(SECOND)
    assert row is not None and row.deactivated == "2021-12-31" and not row.active
    # By itself it is another file, with the same content.
    clock.advance(1000)
    assert (await import_deactivations(database, clock, book)).rows == 2


async def test_csv_and_dates_as_numbers_of_days(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "deactivated.csv"
    path.write_text(f"\ufeffNPI, NPPES Deactivation Date\r\n{FIRST},03/04/2026\r\n", "utf-8")
    clock = FrozenClock()
    assert (await import_deactivations(database, clock, path)).rows == 1
    clock.advance(1000)
    book = workbook(tmp_path / "x.xlsx", [[TITLE], HEADER, [SECOND, "46085"]], kind="inline")
    await import_deactivations(database, clock, book)
    for npi in (FIRST, SECOND):
        row = await Nppes(database).find(npi)
        assert row is not None and row.deactivated == "2026-03-04"


async def test_a_reactivation_and_a_later_deactivation_stand(
    database: Database, tmp_path: Path
) -> None:
    await known(database, FIRST, deactivated="2025-01-01", reactivated="2025-06-01")
    await known(database, SECOND, deactivated="2026-05-05")
    await known(database, THIRD, deactivated="2025-01-01", reactivated="2025-06-01")
    path = tmp_path / "x.csv"
    path.write_text(
        "NPI,NPPES Deactivation Date\n"
        f"{FIRST},01/01/2025\n{SECOND},04/04/2026\n{THIRD},02/02/2026\n{THIRD},02/02/2026\n"
    )
    await import_deactivations(database, FrozenClock(), path)
    rows = [await Nppes(database).find(npi) for npi in (FIRST, SECOND, THIRD)]
    assert [row.active for row in rows if row] == [True, False, False]
    assert rows[1] is not None and rows[1].deactivated == "2026-05-05"


async def test_an_older_full_file_does_not_bring_a_deactivated_number_back(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"NPI,NPPES Deactivation Date\n{FIRST},03/04/2026\n")
    await import_deactivations(database, FrozenClock(), path)
    await known(database, FIRST, updated="2026-02-01")
    row = await Nppes(database).find(FIRST)
    assert row is not None and not row.active
    await known(database, FIRST, updated="2026-04-01", last_name="BACK", reactivated="2026-04-01",
                deactivated="2026-03-04")  # fmt: skip
    row = await Nppes(database).find(FIRST)
    assert row is not None and row.active and row.last_name == "BACK"


async def test_what_is_no_report_is_refused(database: Database, tmp_path: Path) -> None:
    clock = FrozenClock()
    book = workbook(tmp_path / "x.xlsx", [["a", "b"]])
    with pytest.raises(BadInput, match="“NPI”"):
        await import_deactivations(database, clock, book)
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(book.read_bytes()[:-40])
    with pytest.raises(BadInput):
        await import_deactivations(database, clock, broken)
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    with pytest.raises(BadInput, match="“NPI”"):
        await import_deactivations(database, clock, empty)
    with pytest.raises(BadInput, match="cannot be read"):
        await import_deactivations(database, clock, tmp_path / "absent.xlsx")


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("place", ["head", "strings_head"])
@pytest.mark.parametrize(
    "declared", [LAUGHS, '<!DOCTYPE x SYSTEM "file:///etc/passwd">'], ids=["entities", "bare"]
)
def test_a_workbook_with_a_document_type_is_refused(
    tmp_path: Path, place: str, declared: str
) -> None:
    book = workbook(tmp_path / "x.xlsx", [HEADER], **{place: declared})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="document type"):
        list(read_sheet(book))


def test_a_workbook_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedidoc.verification import spreadsheets

    book = workbook(tmp_path / "wide.xlsx", [HEADER])
    text = f'<worksheet xmlns="{MAIN}"><sheetData><row><c r="ZZZ1"><v>1</v></c></row>'
    with zipfile.ZipFile(tmp_path / "wide2.xlsx", "w") as wide:
        wide.writestr("xl/worksheets/sheet1.xml", text + "</sheetData></worksheet>")
    with pytest.raises(BadInput, match="columns"):
        list(read_sheet(tmp_path / "wide2.xlsx"))
    long = workbook(tmp_path / "long.xlsx", [["x" * 10_000]], kind="inline")
    with pytest.raises(BadInput, match="cell is too long"):
        list(read_sheet(long))
    monkeypatch.setattr(spreadsheets, "_MAX_SHEET", 10)
    with pytest.raises(BadInput, match="too large"):
        list(read_sheet(book))
    with zipfile.ZipFile(tmp_path / "lost.xlsx", "w") as lost:
        text = f'<worksheet xmlns="{MAIN}"><row><c t="s"><v>7</v></c></row></worksheet>'
        lost.writestr("xl/worksheets/sheet1.xml", text)
    monkeypatch.setattr(spreadsheets, "_MAX_SHEET", 10_000)
    with pytest.raises(BadInput, match="not there"):
        list(read_sheet(tmp_path / "lost.xlsx"))
