"""What a thief of the database file, of a backup or of the log can read."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedidoc.log import _Formatter
from fedidoc.model import Audience
from fedidoc.storage import backup
from fedidoc.storage.engine import Database
from tests.federation.pair import DRAFT as CASE
from tests.federation.pair import Pair
from tests.house import PASSWORD, claim
from tests.web.conftest import Site

NAME, LICENCE, NPI = "Zqxjkname Personal", "ZQ-778899", "1245319599"
EMAIL, DRAFT, REASON = "zqxjkmail@mail.example", "Zqxjkdraft words", "Zqxjkreason seen"


class _Lines(logging.Handler):
    """Every line as the running server would write it, at its most talkative."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(_Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The log at level debug."""
    handler, house = _Lines(), logging.getLogger("fedidoc")
    before = house.level
    house.addHandler(handler)
    house.setLevel(logging.DEBUG)
    yield handler.lines
    house.removeHandler(handler)
    house.setLevel(before)


async def test_a_thief_of_the_file_or_a_backup_reads_no_secret(
    site: Site, tmp_path: Path, database: Database
) -> None:
    if database.dialect != "sqlite":
        pytest.skip("the file of this thief is SQLite's")
    secrets = await _live(site)
    place = backup.Place("st-olaf.example", f"sqlite:///{tmp_path}/fedidoc.db", tmp_path / "media")
    backup.save(place, tmp_path / "copy.gz", now_ms=site.house.clock.now())
    files = [path for path in tmp_path.glob("fedidoc.db*") if path.is_file()]
    live = b"".join(path.read_bytes() for path in files)
    for stolen in (live, gzip.decompress((tmp_path / "copy.gz").read_bytes())):
        assert b"Breathless with a low-voltage ECG" in stolen, "this search must be able to find"
        for secret in (*secrets, NAME, LICENCE, NPI, EMAIL, DRAFT, REASON, PASSWORD, "PRIVATE KEY"):
            assert secret.encode() not in stolen, secret


async def test_the_log_says_nothing_of_people_and_patients(pair: Pair, lines: list[str]) -> None:
    """A case goes round, at level debug: no handle, e-mail, title or word of it is logged."""
    ada = await pair.follow()
    case, there = await pair.open_case(Audience.FOLLOWERS)
    assert there is not None
    await pair.society.cases.reply(pair.bob, there.id, "Zqxjkdraft words")
    await pair.network.settle()
    await pair.society.ask(pair.hospital, f"/objects/{case.id}")
    await pair.hospital.accounts.suspend("ada", reason="Zqxjkreason", by="test")
    await pair.network.settle()
    log = "\n".join(lines)
    assert "done" in log
    words = (CASE.title, CASE.presentation, CASE.question, "Zqxjk", "example.org", "/users/ada")
    for word in (*words, "/users/bob", "@ada", "@bob", '"ada', '"bob', ada.name):
        assert word not in log, word


async def _live(site: Site) -> list[str]:
    """A member signs up, applies, is verified, writes a draft and a case; the secrets of it."""
    anna = await site.house.sign_up("anna", email=EMAIL)
    admin = await site.house.admin("rita")
    claimed = claim(legal_name=NAME, licence_number=LICENCE, npi=NPI, note=DRAFT)
    await site.services.review.apply(anna, claimed)
    await site.services.review.verify_directly(anna.id, REASON, by=admin.id)
    browser = await site.log_in("anna")
    csrf = (await browser.get("/cases/new")).root.one("input", name="csrf").attrs["value"]
    saved = await browser.post("/drafts/save", {"csrf": csrf, "place": "case", "title": DRAFT})
    assert saved.status == 204
    await site.case("anna")
    token = await site.house.accounts.create_token("anna", by="operator")
    return [token, *browser.cookies.values()]
