"""The importer on the real header of layout V.2, with fictional rows."""

import csv
import zipfile
from pathlib import Path

import pytest

from fedidoc.clock import FrozenClock
from fedidoc.errors import BadInput
from fedidoc.storage.engine import Database
from fedidoc.verification import nppes
from fedidoc.verification.nppes import import_nppes
from fedidoc.verification.nucc import import_nucc
from fedidoc.verification.registries import Licence, Nppes
from fedidoc.verification.specialties import Specialties


def with_check_digit(nine: str) -> str:
    total = 24
    for place, digit in enumerate(nine):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return nine + str(-total % 10)


class File:
    """Builds a dissemination file; `row()` answers the line's NPI."""

    def __init__(self, corpora: Path) -> None:
        text = (corpora / "nppes" / "npidata_pfile_FileHeader.csv").read_text(encoding="utf-8")
        self.header = next(csv.reader([text.splitlines()[0]]))
        assert len(self.header) == 330
        self.lines: list[str] = []

    def row(self, number: int, **values: str) -> str:
        npi = with_check_digit(str(100_000_000 + number))
        known = {
            "NPI": npi,
            "Entity Type Code": "1",
            "Provider Last Name (Legal Name)": f"PERSON{number}",
            "Provider First Name": "ANNA",
            "Provider Business Practice Location Address State Name": "NY",
            "Provider Enumeration Date": "05/23/2006",
            "Last Update Date": "07/08/2020",
            **values,
        }
        assert not known.keys() - set(self.header)
        self.lines.append(self._line([known.get(name, "") for name in self.header]))
        return npi

    def _line(self, values: list[str]) -> str:
        return ",".join('"' + value.replace('"', '""') + '"' for value in values)

    def write(self, path: Path, *, newline: str = "\n", encoding: str = "utf-8") -> Path:
        lines = [self._line(self.header), *self.lines]
        path.write_bytes((newline.join(lines) + newline).encode(encoding))
        return path


@pytest.fixture
def file(corpora: Path) -> File:
    return File(corpora)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


async def test_a_person_is_found_with_everything_a_reviewer_compares(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    npi = file.row(
        1,
        **{
            "Provider Last Name (Legal Name)": 'O\'SHEA, JR "BIG"',
            "Provider Middle Name": "M",
            "Provider Credential Text": "M.D.",
            "Provider Business Practice Location Address City Name": "ALBANY",
            "Healthcare Provider Taxonomy Code_1": "207R00000X",
            "Provider License Number_1": "011111",
            "Provider License Number State Code_1": "NJ",
            "Healthcare Provider Primary Taxonomy Switch_1": "N",
            "Healthcare Provider Taxonomy Code_2": "207RC0000X",
            "Provider License Number_2": "022222",
            "Provider License Number State Code_2": "NY",
            "Healthcare Provider Primary Taxonomy Switch_2": "Y",
            "Healthcare Provider Taxonomy Code_15": "IGNORED",
            "NPI Deactivation Date": "01/02/2019",
            "NPI Reactivation Date": "03/04/2019",
        },
    )
    report = await import_nppes(database, clock, file.write(tmp_path / "x.csv"))
    assert (report.rows, report.malformed) == (1, 0)
    row = await Nppes(database).find(npi)
    assert row is not None
    assert row.last_name == 'O\'SHEA, JR "BIG"'
    assert row.name == 'ANNA M O\'SHEA, JR "BIG"'
    assert row.taxonomies == ("207RC0000X", "207R00000X")
    assert row.licences == (
        Licence("011111", "NJ", "207R00000X"),
        Licence("022222", "NY", "207RC0000X"),
    )
    assert (row.city, row.state, row.credential) == ("ALBANY", "NY", "M.D.")
    assert (row.enumerated, row.updated) == ("2006-05-23", "2020-07-08")
    assert (row.deactivated, row.reactivated) == ("2019-01-02", "2019-03-04")
    assert row.active and not row.organisation
    assert await Nppes(database).find("1234567893") is None


async def test_an_organisation_and_a_deactivated_number(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    organisation = file.row(
        1,
        **{
            "Entity Type Code": "2",
            "Provider Organization Name (Legal Business Name)": "GENERAL, INC",
            "Provider Last Name (Legal Name)": "",
        },
    )
    blank = dict.fromkeys(file.header, "")
    del blank["NPI"]
    gone = file.row(2, **{**blank, "NPI Deactivation Date": "12/31/2021"})
    await import_nppes(database, clock, file.write(tmp_path / "x.csv", newline="\r\n"))
    row = await Nppes(database).find(organisation)
    assert row is not None and row.organisation and row.last_name == "GENERAL, INC"
    row = await Nppes(database).find(gone)
    assert row is not None and not row.active and row.deactivated == "2021-12-31"


async def test_malformed_records_are_counted_and_the_good_ones_around_them_kept(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    good = [file.row(1)]
    file.lines.append('"1","too","short"')
    good.append(file.row(2, **{"Provider First Name": "TWO\nLINES"}))
    file.row(3, NPI="1234567890")
    good.append(file.row(4))
    file.row(5, **{"Last Update Date": "2020-07-08"})
    file.lines.append(file.lines[0].replace('"ANNA"', '"AN"NA"'))
    good.append(file.row(6))
    file.lines.append("")
    file.lines.append("x" * 200_000)
    good.append(file.row(7))
    file.lines.append('"unfinished')
    path = file.write(tmp_path / "x.csv")
    report = await import_nppes(database, clock, path)
    assert report.rows == len(good)
    assert report.malformed >= 6
    assert any("NPI is not valid" in sample for sample in report.samples)
    for npi in good:
        assert await Nppes(database).find(npi) is not None
    two = await Nppes(database).find(good[1])
    assert two is not None and two.first_name == "TWO\nLINES"


async def test_a_quote_too_many_does_not_swallow_the_next_person(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    file.row(1)
    file.lines.append(file.lines[0].replace('"ANNA"', '"ANNA'))
    good = file.row(2)
    report = await import_nppes(database, clock, file.write(tmp_path / "x.csv"))
    assert (report.rows, report.malformed) == (2, 1)
    assert await Nppes(database).find(good) is not None


async def test_single_bytes_of_older_files_are_read(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    npi = file.row(1, **{"Provider Last Name (Legal Name)": "PEÑA"})
    await import_nppes(database, clock, file.write(tmp_path / "x.csv", encoding="cp1252"))
    row = await Nppes(database).find(npi)
    assert row is not None and row.last_name == "PEÑA"


async def test_a_missing_column_is_named(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    file.header[file.header.index("NPI Deactivation Date")] = "Something else"
    with pytest.raises(BadInput, match="no column “NPI Deactivation Date”"):
        await import_nppes(database, clock, file.write(tmp_path / "x.csv"))
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    with pytest.raises(BadInput, match="no column “NPI”"):
        await import_nppes(database, clock, empty)
    with pytest.raises(BadInput, match="cannot be read"):
        await import_nppes(database, clock, tmp_path / "nowhere.csv")


async def test_columns_are_found_by_name_in_any_order(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    file.header.reverse()
    # Files before 2025 call one column otherwise, which is not needed.
    file.header[file.header.index("Provider Sex Code")] = "Provider Gender Code"
    npi = file.row(1)
    report = await import_nppes(database, clock, file.write(tmp_path / "x.csv"))
    assert report.rows == 1
    assert await Nppes(database).find(npi) is not None


async def test_it_reads_the_zip_that_cms_ships(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    npi = file.row(1)
    data = file.write(tmp_path / "data.csv")
    path = tmp_path / "NPPES_Data_Dissemination_February_2025_V2.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("npidata_pfile_20050523-20250209_fileheader.csv", '"NPI"\n')
        archive.writestr("othername_pfile_20050523-20250209.csv", '"NPI"\n')
        archive.write(data, "npidata_pfile_20050523-20250209.csv")
    assert (await import_nppes(database, clock, path)).rows == 1
    assert await Nppes(database).find(npi) is not None
    broken = tmp_path / "broken.zip"
    broken.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadInput):
        await import_nppes(database, clock, broken)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(BadInput, match="holds no npidata_pfile_"):
        await import_nppes(database, clock, other)


async def test_an_interrupted_import_goes_on_where_it_stopped(
    file: File,
    database: Database,
    clock: FrozenClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nppes, "BATCH", 10)
    numbers = [file.row(n) for n in range(35)]
    path = file.write(tmp_path / "x.csv")
    seen: list[tuple[int, int, int]] = []

    def stop(done: int, total: int, records: int) -> None:
        seen.append((done, total, records))
        if records == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await import_nppes(database, clock, path, stop)
    assert await Nppes(database).find(numbers[19]) is not None
    assert await Nppes(database).find(numbers[20]) is None
    seen.clear()
    report = await import_nppes(database, clock, path, lambda *step: seen.append(step))
    assert (report.resumed_at, report.rows) == (20, 15)
    assert await Nppes(database).find(numbers[34]) is not None
    assert seen[-1] == (path.stat().st_size, path.stat().st_size, 35)
    assert (await import_nppes(database, clock, path)).already


async def test_a_newer_file_replaces_what_is_known(
    file: File, database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    npi = file.row(1)
    file.row(1, **{"Provider Last Name (Legal Name)": "TWICE IN ONE FILE"})
    await import_nppes(database, clock, file.write(tmp_path / "x.csv"))
    row = await Nppes(database).find(npi)
    assert row is not None and row.last_name == "TWICE IN ONE FILE"
    newer = File.__new__(File)
    newer.header, newer.lines = file.header, []
    newer.row(1, **{"Provider Last Name (Legal Name)": "MARRIED"})
    await import_nppes(database, clock, newer.write(tmp_path / "y.csv"))
    row = await Nppes(database).find(npi)
    assert row is not None and row.last_name == "MARRIED"


async def test_nucc_labels_win_over_the_built_in_ones(
    database: Database, clock: FrozenClock, tmp_path: Path
) -> None:
    specialties = Specialties(database)
    found = await specialties.find(" 207rc0000x ")
    assert found is not None and found.label == "Cardiovascular Disease"
    assert await specialties.find("207RC0000Y") is None
    assert await specialties.find("999ZZ0000X") is None
    path = tmp_path / "nucc_taxonomy_251.csv"
    path.write_bytes(
        b"\xef\xbb\xbfCode,Grouping,Classification,Specialization,Definition,Notes,"
        b"Display Name,Section\r\n"
        b'207RC0000X,G,Internal Medicine,Cardiology,"an, old",,Heart Physician,Individual\r\n'
        b"999ZZ0000X,G,New,,,,,Individual\r\n"
        b"short,row\r\n\r\n"
    )
    report = await import_nucc(database, clock, path)
    assert (report.rows, report.malformed) == (2, 1)
    found = await specialties.find("207RC0000X")
    assert found is not None and found.label == "Heart"
    found = await specialties.find("999ZZ0000X")
    assert found is not None and found.label == "New"
    common = await specialties.common()
    assert len(common) > 50
    assert [s.label.casefold() for s in common] == sorted(s.label.casefold() for s in common)
    assert "Heart" in [s.label for s in common]
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="no column “Code”"):
        await import_nucc(database, clock, wrong)
