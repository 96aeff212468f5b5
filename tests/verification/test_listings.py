"""Every register asked with one claim; and NPPES' own service, a stand-in on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fedidoc.activitypub.errors import FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard
from fedidoc.clock import DAY, MINUTE, FrozenClock
from fedidoc.config import RegisterFile
from fedidoc.model import Role, Specialty
from fedidoc.storage import registers as table
from fedidoc.storage.engine import Database
from fedidoc.storage.registers import NPPES_COLUMNS, NuccRow
from fedidoc.vault import Vault
from fedidoc.verification.claims import Claim
from fedidoc.verification.comparison import Mark
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.fhir import import_fhir
from fedidoc.verification.listings import Listing, Registers
from fedidoc.verification.national import NationalRegister, import_national
from fedidoc.verification.nppes_service import NppesService
from tests.house import KEY
from tests.verification.test_fhir import bundle, practitioner, role

VAULT = Vault.from_text(KEY)
NPI, ORGANISATION = "1234567893", "1679576722"
CLAIM = Claim(
    "Amina Okafor", Role.PHYSICIAN, "012345", "US-NY", NPI,
    Specialty("207RC0000X", "Cardiovascular Disease"),
)  # fmt: skip

# An answer of the service, version 2.1, as it is documented; the person is fictional.
FOUND: dict[str, Any] = {
    "result_count": 1,
    "results": [
        {
            "created_epoch": "1183680000000",
            "enumeration_type": "NPI-1",
            "last_updated_epoch": "1269302400000",
            "number": NPI,
            "addresses": [
                {"country_code": "US", "country_name": "United States", "address_purpose":
                 "MAILING", "address_type": "DOM", "address_1": "1 ELM ST", "city": "TROY",
                 "state": "NJ", "postal_code": "121800000", "telephone_number": "555-0100"},
                {"country_code": "US", "country_name": "United States", "address_purpose":
                 "LOCATION", "address_type": "DOM", "address_1": "2 OAK ST", "city": "ALBANY",
                 "state": "NY", "postal_code": "122010000", "telephone_number": "555-0100"},
            ],
            "practiceLocations": [],
            "basic": {
                "first_name": "AMINA", "last_name": "OKAFOR", "middle_name": "R",
                "credential": "M.D.", "sole_proprietor": "NO", "sex": "F",
                "enumeration_date": "2007-07-06", "last_updated": "2020-03-23",
                "certification_date": "2020-03-23", "status": "A", "name_prefix": "Dr.",
            },
            "taxonomies": [
                {"code": "207R00000X", "taxonomy_group": "", "desc": "Internal Medicine",
                 "state": "NJ", "license": "99", "primary": False},
                {"code": "207RC0000X", "taxonomy_group": "", "desc": "Internal Medicine, "
                 "Cardiovascular Disease", "state": "NY", "license": "012345", "primary": True},
            ],
            "identifiers": [],
            "endpoints": [],
            "other_names": [],
        }
    ],
}  # fmt: skip
NONE = {"result_count": 0, "results": []}
ERRORS = {"Errors": [{"description": "CMS deactivated NPI", "field": "number", "number": "15"}]}


@dataclass
class Service:
    """Answers GET as the registry does, and remembers what it was asked, word for word."""

    answer: Mapping[str, Any] = field(default_factory=lambda: FOUND)
    status: str = "200 OK"
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(request.decode())
        await asyncio.sleep(self.delay)
        body = json.dumps(self.answer).encode()
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def standing_in() -> AsyncIterator[Service]:
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    async with server:
        yield service


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with standing_in() as service:
        yield service


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(guard=Guard(allow_plain_http=True), user_agent="fedidoc/test")
    yield fetcher
    await fetcher.close()


@dataclass
class Asking:
    """`Registers` on a database, with the service behind it."""

    db: Database
    fetcher: Fetcher
    url: str
    clock: FrozenClock = field(default_factory=FrozenClock)
    national: tuple[NationalRegister, ...] = ()

    def __post_init__(self) -> None:
        async def ask(url: str) -> Mapping[str, Any] | None:
            try:
                return await self.fetcher.get_json(url)
            except FetchError:
                return None

        service = NppesService(self.db, self.clock, VAULT, self.url, ask)
        self.registers = Registers(
            self.db, self.clock, VAULT, national=self.national, service=service
        )

    async def find(self, claim: Claim = CLAIM) -> tuple[Listing, ...]:
        await self.registers.refresh(claim)
        return await self.registers.find(claim)


async def put(db: Database, npi: str = NPI, **values: str) -> None:
    row = {
        "entity_type": "1", "last_name": "OKAFOR", "first_name": "AMINA", "taxonomies":
        '["207RC0000X"]', "licences": '[["012345", "NY", "207RC0000X"]]', **values, "npi": npi,
    }  # fmt: skip
    async with db.transaction() as tx:
        await table.put_nppes(tx, [tuple(row.get(name, "") for name in NPPES_COLUMNS)])


def marks(listing: Listing) -> dict[str, Mark]:
    return {d.field: d.mark for d in listing.differences}


async def test_the_service_is_asked_once_a_day_for_what_is_not_imported(
    database: Database, service: Service, fetcher: Fetcher
) -> None:
    asking = Asking(database, fetcher, service.url)
    assert await asking.registers.asked(CLAIM) == ()
    (listing,) = await asking.find()
    assert listing.matches and listing.kind is EvidenceKind.REGISTER
    assert listing.register == "NPPES (its service)"
    row = listing.row
    assert row.name == "AMINA R OKAFOR" and (row.city, row.state) == ("ALBANY", "NY")
    assert row.taxonomies == ("207RC0000X", "207R00000X")
    assert (row.enumerated, row.updated) == ("2007-07-06", "2020-03-23")
    assert set(marks(listing).values()) == {Mark.SAME}
    await asking.find()
    assert len(service.asked) == 1
    asking.clock.advance(DAY + 1)
    await asking.find()
    assert len(service.asked) == 2
    # Once it is imported, nobody outside is asked.
    await put(database, first_name="AMINA")
    asking.clock.advance(DAY + 1)
    (listing,) = await asking.find()
    assert listing.register == "NPPES" and len(service.asked) == 2


async def test_only_the_number_leaves(
    database: Database, service: Service, fetcher: Fetcher
) -> None:
    claim = replace(CLAIM, note="my note", birth_date="1971-02-03")
    await Asking(database, fetcher, service.url).find(claim)
    (request,) = service.asked
    address = urlsplit(request.split()[1])
    assert parse_qs(address.query) == {"version": ["2.1"], "number": [NPI]}
    for private in ("Amina", "Okafor", "012345", "note", "1971", "NY", "Cookie", "Signature"):
        assert private not in request
    stored = await database.fetch_all("SELECT * FROM register_answers")
    assert NPI not in repr([tuple(row) for row in stored])


async def test_a_number_that_nobody_has_is_an_answer(
    database: Database, service: Service, fetcher: Fetcher
) -> None:
    service.answer = NONE
    asking = Asking(database, fetcher, service.url)
    assert await asking.find() == ()
    assert await asking.registers.asked(CLAIM) == ("NPPES (its service)",)
    await asking.find()
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (ERRORS, "200 OK"),
        ({"results": "many"}, "200 OK"),
        (FOUND, "500 Internal Server Error"),
        ({"result_count": 1, "results": [{"number": NPI, "x": "y" * 3_000_000}]}, "200 OK"),
    ],
    ids=["errors", "shape", "status", "too large"],
)
async def test_no_answer_is_no_row_and_is_asked_again_soon(
    database: Database, service: Service, fetcher: Fetcher, answer: Any, status: str
) -> None:
    service.answer, service.status = answer, status
    asking = Asking(database, fetcher, service.url)
    assert await asking.find() == ()
    assert await asking.registers.asked(CLAIM) == ()
    await asking.find()
    assert len(service.asked) == 1
    service.answer, service.status = FOUND, "200 OK"
    asking.clock.advance(MINUTE + 1)
    assert len(await asking.find()) == 1
    # A failure later does not lose what is known.
    service.status = "503 Service Unavailable"
    asking.clock.advance(DAY + 1)
    assert len(await asking.find()) == 1


@pytest.mark.parametrize(
    "results",
    [
        [{"number": "1679576722", "basic": {"status": "A"}}],
        [{"number": int(NPI)}],
        [{"number": NPI, "basic": [], "taxonomies": {"a": 1}, "addresses": "x"}],
        [{"number": NPI, "basic": {"last_name": ["x"], "first_name": {"a": 1}, "status": 7},
          "taxonomies": [{"code": 1}, None, {"code": "207R00000X", "license": 5}] * 100}],
        [None, 5, "x"],
    ],
    ids=["another", "a number", "empty", "types", "nothing"],
)  # fmt: skip
async def test_hostile_answers_are_no_match(
    database: Database, service: Service, fetcher: Fetcher, results: Any
) -> None:
    service.answer = {"result_count": 1, "results": results}
    listings = await Asking(database, fetcher, service.url).find()
    assert all(not listing.matches for listing in listings)


async def test_a_service_that_is_slow_is_given_up(
    database: Database, service: Service, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedidoc.verification import nppes_service

    monkeypatch.setattr(nppes_service, "_SECONDS", 0.1)
    service.delay = 5
    asking = Asking(database, fetcher, service.url)
    assert await asyncio.wait_for(asking.find(), 3) == ()


async def test_nothing_is_asked_unless_it_is_configured(
    database: Database, service: Service, fetcher: Fetcher
) -> None:
    assert await Asking(database, fetcher, "").find() == ()
    asking = Asking(database, fetcher, service.url)
    assert await asking.find(replace(CLAIM, npi="")) == ()
    assert await asking.find(replace(CLAIM, npi="1234567890")) == ()
    assert service.asked == []


async def test_a_claim_is_looked_up_in_every_register_that_would_have_it(
    database: Database, fetcher: Fetcher, tmp_path: Path
) -> None:
    clock = FrozenClock()
    rules = RegisterFile("US-NY", {"number": "No", "name": "Name", "expires": "Until"}, "Board")
    board = NationalRegister.of("board", rules)
    path = tmp_path / "board.csv"
    path.write_text("No,Name,Until\n012345,Amina Okafor,2027-03-31\n7,Bo Ek,2027-01-01\n")
    await import_national(database, clock, path, register=board)
    await put(database, deactivated="2026-01-01")
    staff = bundle(tmp_path / "staff.json", practitioner(), role())
    await import_fhir(database, clock, staff, vault=VAULT)
    asking = Asking(database, fetcher, "", clock, (board,))
    found = await asking.find()
    assert [(x.register, x.kind, x.matches) for x in found] == [
        ("Board", EvidenceKind.REGISTER, True),
        ("the credentialing office", EvidenceKind.EMPLOYER, True),
        ("NPPES", EvidenceKind.REGISTER, False),
    ]
    assert [x.expires for x in found] == ["2027-03-31", "2027-06-30", ""]
    # The whole of the last day counts.
    assert found[0].until == 1_806_537_600_000
    assert marks(found[2])["status"] is Mark.DIFFERENT
    assert await asking.registers.asked(CLAIM) == ("NPPES", "Board", "the credentialing office")
    abroad = replace(CLAIM, jurisdiction="DE", npi="")
    assert await asking.registers.asked(abroad) == ("the credentialing office",)


async def test_a_licence_that_has_run_out_is_no_match(
    database: Database, fetcher: Fetcher, tmp_path: Path
) -> None:
    rules = RegisterFile("DE", {"number": "No", "name": "Name", "expires": "Until"})
    register = NationalRegister.of("arzt", rules)
    path = tmp_path / "x.csv"
    asking = Asking(database, fetcher, "", national=(register,))
    today = "2026-01-01"
    path.write_text(f"No,Name,Until\n7,Amina Okafor,{today}\n")
    await import_national(database, asking.clock, path, register=register)
    claim = replace(CLAIM, jurisdiction="DE", npi="", licence_number="7")
    (listing,) = await asking.find(claim)
    asking.clock.advance(listing.until - asking.clock.now() - 1)  # type: ignore[operator]
    (listing,) = await asking.find(claim)
    assert listing.matches and marks(listing)["expires"] is Mark.SAME
    asking.clock.advance(1)
    (listing,) = await asking.find(claim)
    assert not listing.matches and marks(listing)["expires"] is Mark.DIFFERENT


@pytest.mark.parametrize(
    ("code", "group", "role", "mark"),
    [
        ("207RC0000X", None, Role.PHYSICIAN, Mark.SAME),
        ("207RC0000X", None, Role.STUDENT, Mark.DIFFERENT),
        ("390200000X", None, Role.STUDENT, Mark.SAME),
        ("390200000X", None, Role.RESIDENT, Mark.SAME),
        ("390200000X", None, Role.PHYSICIAN, Mark.DIFFERENT),
        ("363LF0000X", None, Role.NURSE_PRACTITIONER, Mark.SAME),
        ("175F00000X", None, Role.PHYSICIAN, Mark.DIFFERENT),
        ("999A00000X", ("Allopathic & Osteopathic Physicians", "New"), Role.PHYSICIAN, Mark.SAME),
        ("364S00000X", ("Physician Assistants & Advanced Practice Nursing Providers",
                        "Clinical Nurse Specialist"), Role.NURSE_PRACTITIONER, Mark.DIFFERENT),
        ("363A00000X", ("Physician Assistants & Advanced Practice Nursing Providers",
                        "Physician Assistant"), Role.PHYSICIAN_ASSISTANT, Mark.SAME),
        ("207RC0000X", ("Dental Providers", "Dentist"), Role.PHYSICIAN, Mark.DIFFERENT),
    ],
    ids=lambda value: str(value),
)  # fmt: skip
async def test_a_code_stands_for_professions_by_its_group(
    database: Database, fetcher: Fetcher, code: str, group: Any, role: Role, mark: Mark
) -> None:
    if group:
        async with database.transaction() as tx:
            await table.put_nucc(tx, [NuccRow(code, *group, "", "Words")])
    await put(database, taxonomies=json.dumps([code]))
    (listing,) = await Asking(database, fetcher, "").find(replace(CLAIM, profession=role))
    assert marks(listing)["profession"] is mark
