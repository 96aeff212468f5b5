"""The review desk by hand, under four eyes: a queue with its reasons, a hit that is judged, words
that are chosen and changed, a proposal that a colleague confirms, and the log of all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from fedidoc.app import Rooms
from fedidoc.model import Role
from fedidoc.verification.claims import Claim
from tests.browser.conftest import _npi, _register
from tests.browser.looking import Looking
from tests.browser.test_walk import Person, visit
from tests.processes.site import Site
from tests.verification.test_exclusions import record, write

pytestmark = pytest.mark.browser

NPIS = {"HOPPER": _npi(31), "QUILL": _npi(32)}


@dataclass
class Office:
    """A society with two credentialing officers and some who wait."""

    site: Site
    passwords: dict[str, str]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    site = Site(folder / "society", "127.0.0.3", name="Cardiology Society").init()
    config = folder / "society" / "config.toml"
    config.write_text(config.read_text() + "\n[review]\nfour_eyes = true\n")
    (folder / "npidata_pfile.csv").write_text(_register(NPIS), "utf-8")
    site.command("register", "import", "nppes", str(folder / "npidata_pfile.csv"))
    leie = write(folder / "UPDATED.csv", record(NPI=NPIS["QUILL"], LASTNAME="QUILL"))
    site.command("register", "import", "leie", str(leie))
    passwords = {
        name: site.command(
            "member", "add", name, "--email", f"{name}@example.org", "--name", name.title(),
            "--role", "staff", "--admin",
        )[0]["password"]
        for name in ("ruth", "otto")
    }  # fmt: skip
    site.with_rooms(_apply)
    with site:
        site.start()
        yield Office(site, passwords)


async def _apply(rooms: Rooms) -> None:
    """Grace Hopper, of whom all is well; Robert Quill, who is on a list; Rosa, his double."""
    for username, name, npi, licence in (
        ("grace", "Grace Hopper", NPIS["HOPPER"], "234567"),
        ("quill", "Grace Quill", NPIS["QUILL"], "MD-778"),
        ("rosa", "Rosa Quill", _npi(33), "md 00778"),
    ):
        account, _ = await rooms.services.accounts.add_member(
            username, f"{username}@example.org", name, Role.PHYSICIAN, None, by="operator"
        )
        claim = Claim(name, Role.PHYSICIAN, licence, "US-NY", npi, None, "Ward 3, mornings.")
        await rooms.services.review.apply(account, claim)


def _pile(person: Person) -> list[str]:
    return person.main.locator("table tbody th").all_inner_texts()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_two_reviewers_at_the_desk(
    chromium: Browser, office: Office, axe_script: str, shots: Path | None, scripts: bool
) -> None:
    looking = Looking(axe_script if scripts else "", shots if scripts else None)
    # Each run decides on somebody else.
    name, hit = ("Grace Quill", True) if scripts else ("Grace Hopper", False)
    with (
        visit(chromium, office.site, looking, scripts=scripts) as ruth,
        visit(chromium, office.site, looking, scripts=scripts) as otto,
    ):
        ruth.log_in("ruth", office.passwords["ruth"])
        expect(ruth.main).to_contain_text("Same licence or NPI as another member")
        assert not hit or _pile(ruth)[0] == "Grace Quill"
        looking.look(ruth.page, "desk-queue")
        if hit:
            ruth.page.get_by_label("Why now").select_option("exclusion")
            ruth.press("Show")
            assert _pile(ruth) == ["Grace Quill"]
        ruth.follow_link(name)
        looking.look(ruth.page, "desk" if hit else "desk-plain")
        if hit:
            expect(ruth.main).to_contain_text("Say first what each entry")
            expect(ruth.main).to_contain_text("licence revoked, suspended or surrendered")
            ruth.page.get_by_label("What this is").fill("Called the board: revoked by mistake.")
            ruth.press("Write it down")
            expect(ruth.main).to_contain_text("“Called the board: revoked by mistake.”")
        ruth.page.get_by_label("Begin with").first.select_option("Called the employer")
        ruth.press_first("Use these words")
        expect(ruth.page.locator("[name=approval]")).to_have_value(re.compile("published"))
        ruth.page.get_by_label("A document was seen").check()
        ruth.press("See what this gives")
        expect(ruth.main).to_contain_text("This gives no level")
        looking.look(ruth.page, "desk-too-little")
        ruth.page.get_by_label("Confirmed with the employer").check()
        ruth.press("See what this gives")
        expect(ruth.main).to_contain_text("This gives the level verified")
        expect(ruth.page.locator("[name=approval]")).to_have_value(re.compile("published"))
        ruth.press("Propose to approve")
        expect(ruth.main).to_contain_text("a second reviewer has to confirm it")
        ruth.follow_link(name)
        expect(ruth.main).to_contain_text("Your approval waits for a second reviewer")
        ruth.fill(note="I spoke with Dr. Weiss there.")
        ruth.press("Add the note")
        expect(ruth.main).to_contain_text("I spoke with Dr. Weiss there.")

        otto.log_in("otto", office.passwords["otto"])
        otto.follow_link(name)
        looking.look(otto.page, "desk-second" if hit else "desk-second-plain")
        expect(otto.page.get_by_label("Confirmed with the employer")).to_be_checked()
        otto.fill(approval="I called them too.")
        otto.press("Confirm and issue the credential")
        expect(otto.page).to_have_url(re.compile(r"/admin/reviews\?said=verified"))
        otto.go("/admin/reviews?state=approved")
        otto.follow_link(name)
        expect(otto.main).to_contain_text("Confirmed by otto: I called them too.")
        looking.look(otto.page, "desk-decided" if hit else "desk-decided-plain")
        otto.go("/admin/audit")
        expect(otto.main).to_contain_text("approved, and the credential was issued")
        looking.look(otto.page, "audit" if hit else "audit-plain")
        with otto.page.expect_download() as download:
            otto.page.get_by_role("link", name=re.compile("Download all")).click()
        report = office.site.command("audit", "verify", str(download.value.path()))[0]
        assert report["whole"] and report["rows"] >= 6
        otto.go("/admin/reviews?state=withdrawn")
        looking.look(otto.page, "reviews-withdrawn")
    assert not looking.wrong, "\n".join(looking.wrong)
