"""Showing who one is, by hand: a link by mail, a document for the reviewer, a colleague's word.

One instance as a process of its own, a real mail server, one browser with and one without scripts.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.looking import Looking
from tests.browser.test_walk import Person, _picture, visit
from tests.mailserver import MailServer, serving_apart
from tests.processes.site import Site, watch

pytestmark = pytest.mark.browser

_PASSWORD = "four quiet night shifts"
_PDF = b"%PDF-1.7\nLICENCE-OF-THE-APPLICANT\n%%EOF\n"
_SETTINGS = """
[mail]
host = "localhost"
port = {port}
security = "none"
sender = "fedidoc@st-olaf.example"

[evidence]
email_domains = ["stolaf.example", ".nhs.example"]
vouches_needed = 1
vouch_cooling_days = 0
"""


@pytest.fixture(scope="module")
def mailbox() -> Iterator[MailServer]:
    with serving_apart() as server:
        yield server


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, mailbox: MailServer
) -> Iterator[tuple[Site, dict[str, str]]]:
    site = Site(tmp_path_factory.mktemp("house") / "i", "127.0.0.1", name="St. Olaf").init()
    config = site.folder / "config.toml"
    config.write_text(config.read_text() + _SETTINGS.format(port=mailbox.port))
    passwords = {"bea": site.member("bea")["password"]}
    passwords["ruth"] = site.command(
        "member", "add", "ruth", "--email", "ruth@example.org", "--name", "Ruth Steward",
        "--role", "staff", "--admin",
    )[0]["password"]  # fmt: skip
    with site:
        site.start()
        yield site, passwords


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_from_nothing_shown_to_verified(
    chromium: Browser,
    house: tuple[Site, dict[str, str]],
    mailbox: MailServer,
    axe_script: str,
    shots: Path | None,
    scripts: bool,
    tmp_path: Path,
) -> None:
    site, passwords = house
    name = "anna" if scripts else "nora"
    looking = Looking(axe_script if scripts else "", shots if scripts else None)
    with (
        visit(chromium, site, looking, scripts=scripts) as anna,
        visit(chromium, site, looking, scripts=scripts) as bea,
        visit(chromium, site, looking, scripts=scripts) as ruth,
    ):
        bea.log_in("bea", passwords["bea"])
        ruth.log_in("ruth", passwords["ruth"])
        _sign_up(anna, name, looking)
        _answer_a_link(anna, name, mailbox, looking)
        _upload(anna, looking)
        _ask_a_colleague(anna, bea, name, looking)
        _apply(anna, name)
        _review(ruth, name, looking)
        anna.go("/")
        expect(anna.main).to_contain_text("cases", ignore_case=True)
        anna.go("/application")
        expect(anna.main).to_contain_text(f"{name}@stolaf.example answered")
        looking.look(anna.page, "proofs-verified")
    assert not looking.wrong, "\n".join(looking.wrong)
    _nothing_readable_is_left(site, tmp_path)


def _sign_up(anna: Person, name: str, looking: Looking) -> None:
    anna.go("/sign-up")
    anna.fill(
        name=name.title(), username=name, password=_PASSWORD, email=f"{name}@example.org",
        role="physician", specialty="Cardiovascular Disease",
    )  # fmt: skip
    anna.press("Make the account")
    expect(anna.main).to_contain_text("Ways to show who you are")
    looking.look(anna.page, "proofs-empty")


def _answer_a_link(anna: Person, name: str, mailbox: MailServer, looking: Looking) -> None:
    anna.fill(address=f"{name}@mail.example")
    anna.press("Send me a link")
    expect(anna.page.locator("#address-wrong")).to_contain_text("does not know this institution")
    looking.look(anna.page, "proofs-refused")
    anna.fill(address=f"{name}@stolaf.example")
    anna.press("Send me a link")
    expect(anna.main).to_contain_text("A letter went to")
    looking.look(anna.page, "proofs-link-waits")
    watch(lambda: any(letter["To"] == f"{name}@stolaf.example" for letter in mailbox.letters))
    letter = next(m for m in mailbox.letters if m["To"] == f"{name}@stolaf.example")
    link = re.search(r"^http\S+", letter.get_content(), re.MULTILINE)
    assert link is not None
    anna.page.goto(link[0])
    expect(anna.main).to_contain_text(f"{name}@stolaf.example")
    looking.look(anna.page, "proofs-address")
    anna.press("Yes, this is my address")
    expect(anna.main).to_contain_text("The address is confirmed")


def _upload(anna: Person, looking: Looking) -> None:
    anna.page.set_input_files("#document", [
        {"name": "approbation.pdf", "mimeType": "application/pdf", "buffer": _PDF},
        {"name": "badge with a name that is quite long and says nothing of use at all.png",
         "mimeType": "image/png", "buffer": _picture()},
    ])  # fmt: skip
    anna.press("Upload")
    expect(anna.main).to_contain_text("approbation.pdf")
    expect(anna.main).to_contain_text("says nothing of use at all.png")
    looking.look(anna.page, "proofs-documents")


def _ask_a_colleague(anna: Person, bea: Person, name: str, looking: Looking) -> None:
    anna.fill(colleague="@bea")
    anna.press("Ask them")
    expect(anna.main).to_contain_text("If there is such a colleague")
    bea.go("/notifications")
    expect(bea.main).to_contain_text(f"{name.title()} asks you to vouch for them")
    looking.look(bea.page, "vouches-notice")
    bea.go("/vouches")
    looking.look(bea.page, "vouches")
    bea.follow_link("Decide")
    looking.look(bea.page, "vouch")
    bea.fill(statement="yes")
    bea.press(f"Vouch for {name.title()}")
    expect(bea.main).to_contain_text("There is a problem")
    looking.look(bea.page, "vouch-refused")
    bea.fill(statement="We have shared night duty since 2021.")
    bea.press(f"Vouch for {name.title()}")
    expect(bea.main).to_contain_text("Nobody asks you now")
    looking.look(bea.page, "vouches-given")
    anna.go("/application")
    expect(anna.main).to_contain_text("vouches for you")


def _apply(anna: Person, name: str) -> None:
    anna.go("/apply")
    anna.fill(legal_name=f"{name} Lind", jurisdiction="DE", licence_number=f"DE-{name}")
    anna.press("Send to the reviewers")
    expect(anna.main).to_contain_text("What you sent")


def _review(ruth: Person, name: str, looking: Looking) -> None:
    ruth.go("/admin/reviews")
    ruth.follow_link(f"{name} Lind")
    expect(ruth.main).to_contain_text("We have shared night duty")
    expect(ruth.main).to_contain_text(f"{name}@stolaf.example")
    looking.look(ruth.page, "review-papers")
    with ruth.page.expect_download() as saving:
        ruth.main.get_by_role("link", name="Save approbation.pdf").click()
    assert Path(saving.value.path()).read_bytes() == _PDF
    assert saving.value.suggested_filename.startswith("document-")
    badge = ruth.main.get_by_role("link", name=re.compile("^Open badge")).get_attribute("href")
    shown = ruth.page.request.get(f"{ruth.site.url}{badge}")
    assert (shown.status, shown.headers["content-type"]) == (200, "image/png")
    ruth.page.reload()
    ruth.main.get_by_label("What it is, and what it shows").first.fill("Licence, name as claimed")
    ruth.main.get_by_role("button", name="Record that I saw it").first.click()
    expect(ruth.main).to_contain_text("What you saw is recorded")
    looking.look(ruth.page, "review-papers-seen")
    ruth.page.locator("[name=kinds][value=institutional_email]").check()
    ruth.fill(approval="All of it")
    ruth.press("Approve and issue the credential")
    expect(ruth.main).to_contain_text("Approved")


def _nothing_readable_is_left(site: Site, folder: Path) -> None:
    site.command("backup", str(folder / "backup.tar.gz"))
    with tarfile.open(folder / "backup.tar.gz") as archive:
        names = archive.getnames()
    kept = {file.name for file in (site.folder / "documents").iterdir()}
    assert kept and not any(name.rpartition("/")[2] in kept for name in names)
    for file in [*site.folder.rglob("*"), folder / "backup.tar.gz"]:
        if file.is_file():
            data = file.read_bytes()
            for secret in (b"LICENCE-OF-THE-APPLICANT", b"@stolaf.example", b"night duty"):
                assert secret not in data, (file.name, secret)
