"""Headless Chromium, and two instances that trust each other; the society holds a register."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from tests.browser import axe
from tests.conftest import CORPORA
from tests.processes.site import Site, watch

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """FEDIDOC_TEST_CHROMIUM, or the chromium of the machine.

    Playwright keeps an event loop running in this thread, in which no asynchronous test can run
    its own: so it ends with the module.
    """
    program = os.environ.get("FEDIDOC_TEST_CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.skip("no Chromium: set FEDIDOC_TEST_CHROMIUM to one, or install the package")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        except Error as error:
            pytest.skip(f"{program} does not start: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe_script() -> str:
    """axe-core; "" where the registries are away: then pages are not tried on its rules, and
    test_looking.py is skipped and says so. With FEDIDOC_REQUIRE_FOREIGN=1 that is a failure."""
    try:
        return axe.load()
    except axe.Away as reason:
        if os.environ.get("FEDIDOC_REQUIRE_FOREIGN") == "1":
            pytest.fail(str(reason))
        return ""


@pytest.fixture(scope="session")
def shots() -> Path | None:
    """Where pictures of the pages go: FEDIDOC_SCREENSHOTS."""
    folder = os.environ.get("FEDIDOC_SCREENSHOTS")
    if not folder:
        return None
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


# In the register, by last name: no two people have the same licence.
LICENCES = {"HOPPER": "234567", "LOVELACE": "345678"}


@dataclass
class Two:
    """A hospital with the physician osler, a society with the steward ruth and a register."""

    hospital: Site
    society: Site
    passwords: dict[str, str]
    npis: dict[str, str]  # by last name


@pytest.fixture(scope="package")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    hospital = Site(folder / "hospital", "127.0.0.1", name="St. Olaf Hospital").init()
    society = Site(folder / "society", "127.0.0.2", name="Cardiology Society").init()
    passwords = {"osler": hospital.member("osler")["password"]}
    passwords["ruth"] = society.command(
        "member", "add", "ruth", "--email", "ruth@example.org", "--name", "Ruth Steward",
        "--role", "staff", "--admin",
    )[0]["password"]  # fmt: skip
    npis = {name: _npi(number) for number, name in enumerate(("HOPPER", "LOVELACE"), 424242)}
    register = folder / "npidata_pfile.csv"
    register.write_text(_register(npis), "utf-8")
    report = society.command("register", "import", "nppes", str(register))[0]
    assert (report["rows"], report["malformed"]) == (len(npis), 0)
    with hospital, society:
        hospital.start()
        society.start()
        hospital.command("peer", "allow", society.domain)
        society.command("peer", "allow", hospital.domain)
        for site in (hospital, society):
            watch(partial(site.value, "SELECT COUNT(*) FROM peers WHERE issuer_key IS NOT NULL"))
        yield Two(hospital, society, passwords, npis)


def _register(npis: dict[str, str]) -> str:
    """A dissemination file of layout V.2 with made-up people who are licensed in New York.

    With all 330 columns where the real header is at hand, else with those that are read.
    """
    real = CORPORA / "nppes" / "npidata_pfile_FileHeader.csv"
    sample = real if real.exists() else resources.files("fedidoc.cli") / "data" / "nppes.csv"
    header = next(csv.reader([sample.read_text("utf-8").splitlines()[0]]))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    for name, npi in npis.items():
        row = dict.fromkeys(header, "") | {
            "NPI": npi,
            "Entity Type Code": "1",
            "Provider Last Name (Legal Name)": name,
            "Provider First Name": "GRACE",
            "Provider Credential Text": "M.D.",
            "Provider Business Practice Location Address City Name": "ALBANY",
            "Provider Business Practice Location Address State Name": "NY",
            "Provider Enumeration Date": "05/23/2006",
            "Last Update Date": "07/08/2020",
            "Healthcare Provider Taxonomy Code_1": "207RC0000X",
            "Provider License Number_1": LICENCES.get(name, "234567"),
            "Provider License Number State Code_1": "NY",
            "Healthcare Provider Primary Taxonomy Switch_1": "Y",
        }
        writer.writerow(row)
    return text.getvalue()


def _npi(number: int) -> str:
    """An NPI with its check digit: Luhn over 80840 and nine digits."""
    nine = f"1{number:08}"
    total = 24
    for place, digit in enumerate(nine):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return nine + str(-total % 10)
