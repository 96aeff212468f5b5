"""From sign-up to the answer that came home, by hand: two instances, three people, one browser.

A physician signs up at a society, is verified by its steward against the register, finds a
colleague at a hospital, follows, reads a case, answers; the colleague reads the answer with the
society's badge and tells how it ended. Once with scripts and once without any.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import LICENCES, Two
from tests.browser.looking import Looking
from tests.processes.site import Site, watch

pytestmark = pytest.mark.browser

_PHONE = "212-555-0142"
_STORY = "A man in his sixties has had chest pressure for three hours, worse on walking."
_PASSWORD = "four quiet night shifts"
_ALT = "ECG strip: ST elevation in V2 to V4"


class Person:
    """Somebody at one instance, with a browser of their own."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self.site = site

    def go(self, path: str) -> None:
        self.page.goto(self.site.url + path)

    def fill(self, **fields: str) -> None:
        """Fill the form's fields, by the names that they are sent under."""
        for name, value in fields.items():
            field = self.page.locator(f"main [name={name}]")
            if field.evaluate("(each) => each.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)

    def press(self, name: str) -> None:
        self.page.get_by_role("main").get_by_role("button", name=name, exact=True).click()

    def press_first(self, name: str) -> None:
        self.page.get_by_role("main").get_by_role("button", name=name, exact=True).first.click()

    def follow_link(self, name: str) -> None:
        self.page.get_by_role("main").get_by_role("link", name=name).first.click()

    def log_in(self, username: str, password: str) -> None:
        self.go("/log-in")
        self.fill(username=username, password=password)
        self.press("Log in")
        expect(self.page.get_by_role("button", name=f"Log out {username}")).to_be_visible()

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    def wait_for(self, path: str, words: str | re.Pattern[str]) -> None:
        """Load a page until it says so: another server has to send it first."""

        def says() -> bool:
            self.go(path)
            text = self.main.inner_text()
            return words in text if isinstance(words, str) else bool(words.search(text))

        watch(says)


@contextmanager
def visit(
    browser: Browser, site: Site, looking: Looking, *, scripts: bool = True
) -> Iterator[Person]:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900},
        java_script_enabled=scripts,
        reduced_motion="reduce",  # what is still moving in has not its colours yet
    )
    context.set_default_timeout(15_000)
    looking.watch(context)
    try:
        yield Person(context.new_page(), site)
    finally:
        context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_from_sign_up_to_the_answer_that_came_home(
    chromium: Browser, two: Two, axe_script: str, shots: Path | None, scripts: bool
) -> None:
    surname = "Hopper" if scripts else "Lovelace"
    # Each page is looked at once, while there are scripts; without them only its width is.
    looking = Looking(axe_script if scripts else "", shots if scripts else None)
    with (
        visit(chromium, two.society, looking, scripts=scripts) as grace,
        visit(chromium, two.society, looking, scripts=scripts) as ruth,
        visit(chromium, two.hospital, looking, scripts=scripts) as osler,
    ):
        _sign_up(grace, looking, surname)
        _apply(grace, looking, surname, two.npis[surname.upper()])
        _review(ruth, looking, surname, two)
        title = f"Chest pressure, {'with' if scripts else 'without'} scripts"
        _open_case(osler, looking, title, two)
        _find_and_follow(grace, looking, two)
        _answer(grace, looking, title)
        _read_the_answer(osler, looking, title, surname, two)
        _close(osler, looking, title)
        _see_the_outcome(grace, looking, title)
        _look_at_the_rest(grace, osler, ruth, looking)
    assert not looking.wrong, "\n".join(looking.wrong)
    assert len(looking.seen) >= 35


def _picture() -> bytes:
    """A small strip chart, made here."""
    image = Image.new("RGB", (320, 120), "#fdeeee")
    line = [(x, 60 + (40 if x % 64 == 8 else -30 if x % 64 == 0 else 0)) for x in range(0, 320, 8)]
    ImageDraw.Draw(image).line(line, fill="black", width=2)
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def _sign_up(grace: Person, looking: Looking, surname: str) -> None:
    grace.go("/")
    looking.look(grace.page, "welcome")
    grace.follow_link("Make an account")
    looking.look(grace.page, "sign-up")
    # What is wrong stands beside its field, and what was typed is still there.
    grace.fill(name=f"Grace {surname}", username="Grace Hopper!", password=_PASSWORD)
    grace.press("Make the account")
    expect(grace.main).to_contain_text("There is a problem")
    expect(grace.page.locator("[name=name]")).to_have_value(f"Grace {surname}")
    looking.look(grace.page, "sign-up-refused")
    grace.fill(
        username=f"grace_{surname.lower()}", email=f"{surname.lower()}@example.org",
        password=_PASSWORD, role="physician", specialty="Cardiovascular Disease",
    )  # fmt: skip
    grace.press("Make the account")
    expect(grace.page).to_have_url(re.compile(r"/application(\?|$)"))
    looking.look(grace.page, "application-new")
    # Nothing clinical yet, by any way.
    for path in ("/?show=all", "/cases/new", "/find", "/notifications"):
        grace.go(path)
        expect(grace.main).not_to_contain_text("Chest")
        assert grace.page.locator("article").count() == 0


def _apply(grace: Person, looking: Looking, surname: str, npi: str) -> None:
    grace.go("/application")
    grace.follow_link("Send your licence")
    looking.look(grace.page, "apply")
    slip = npi[:-1] + str((int(npi[-1]) + 1) % 10)
    grace.fill(
        legal_name=f"Grace {surname}", profession="physician", jurisdiction="US-NY",
        licence_number=LICENCES[surname.upper()], npi=slip,
    )  # fmt: skip
    grace.press("Send to the reviewers")
    expect(grace.main).to_contain_text("check digit")
    expect(grace.page.locator("[name=licence_number]")).to_have_value(LICENCES[surname.upper()])
    grace.fill(npi=npi)
    grace.press("Send to the reviewers")
    expect(grace.main).to_contain_text("A person checks it")
    looking.look(grace.page, "application-sent")


def _review(ruth: Person, looking: Looking, surname: str, two: Two) -> None:
    ruth.go("/log-in")
    looking.look(ruth.page, "log-in")
    ruth.log_in("ruth", two.passwords["ruth"])
    # Staff read no cases: what waits for them is their first page.
    looking.look(ruth.page, "reviews")
    ruth.follow_link(f"Grace {surname}")
    rows = ruth.main.locator("table tbody tr")
    name = rows.filter(has_text="Name").first
    expect(name).to_contain_text(f"Grace {surname}")
    expect(name).to_contain_text(re.compile(f"GRACE {surname.upper()}", re.IGNORECASE))
    licence = rows.filter(has_text="Licence").first
    assert licence.inner_text().count(LICENCES[surname.upper()]) == 2
    looking.look(ruth.page, "review")
    ruth.page.get_by_label("Matches the register").check()
    ruth.page.get_by_label("A document was seen").check()
    ruth.fill(approval="Saw the licence on paper.")
    ruth.press("Approve and issue the credential")
    expect(ruth.page).to_have_url(re.compile(r"/admin/reviews(\?|$)"))
    looking.look(ruth.page, "reviews-empty")


def _open_case(osler: Person, looking: Looking, title: str, two: Two) -> None:
    osler.log_in("osler", two.passwords["osler"])
    looking.look(osler.page, "home-empty")
    osler.go("/cases/new")
    looking.look(osler.page, "write")
    osler.fill(
        title=title, age_band="60-69", sex="male", question="What would you do first?",
        presentation=f"{_STORY} His daughter answers at {_PHONE}.",
    )  # fmt: skip
    osler.page.locator("[name=audience][value=verified]").check()
    osler.page.locator("[name=picture-1]").set_input_files(
        {"name": "ecg.png", "mimeType": "image/png", "buffer": _picture()}
    )
    osler.fill(**{"describe-1": _ALT})
    osler.press("Publish")
    # The guard holds it back, marks the words, and keeps the text.
    expect(osler.main).to_contain_text("Not sent yet")
    expect(osler.main.locator("mark")).to_have_text(re.compile(re.escape(_PHONE)))
    expect(osler.page.locator("[name=presentation]")).to_have_value(re.compile(_PHONE))
    expect(osler.page.locator("[name=title]")).to_have_value(title)
    assert two.hospital.value("SELECT COUNT(*) FROM posts WHERE title = ?", title) == 0
    # So is the picture, which need not be chosen again.
    expect(osler.main.locator("form img")).to_have_attribute("alt", _ALT)
    looking.look(osler.page, "write-held-back")
    osler.fill(presentation=_STORY)
    osler.press("Publish")
    expect(osler.page.get_by_role("heading", name=title)).to_be_visible()
    picture = osler.main.get_by_role("img", name=_ALT)
    expect(picture).to_be_visible()
    assert picture.evaluate("(each) => each.naturalWidth") == 320
    looking.look(osler.page, "case-own")


def _find_and_follow(grace: Person, looking: Looking, two: Two) -> None:
    grace.wait_for("/application", "lets you read cases")
    looking.look(grace.page, "application-verified")
    grace.go("/find")
    looking.look(grace.page, "find-empty")
    grace.fill(q=f"@osler@{two.hospital.domain}")
    grace.press("Find")
    expect(grace.main).to_contain_text(f"On {two.hospital.domain}")
    looking.look(grace.page, "find")
    grace.press("Follow Osler")
    grace.wait_for(f"/@osler@{two.hospital.domain}", "Following")
    expect(grace.main).to_contain_text(f"by {two.hospital.domain}")
    looking.look(grace.page, "profile-elsewhere")
    context = grace.page.get_by_role("complementary")
    context.get_by_role("link", name="What this instance checked").click()
    expect(grace.main).to_contain_text(f"It is by {two.hospital.domain}, which is trusted here")
    expect(grace.main.locator(".verdict.same")).to_have_count(9)
    looking.look(grace.page, "badge")


def _answer(grace: Person, looking: Looking, title: str) -> None:
    grace.wait_for("/", title)
    looking.look(grace.page, "home")
    grace.follow_link(title)
    expect(grace.main).to_contain_text(_STORY)
    expect(grace.main).to_contain_text(re.compile(r"verified physician", re.IGNORECASE))
    # The picture was fetched by this server, and is shown with its words.
    case = grace.page.url.removeprefix(grace.site.url)

    def shows_the_picture() -> bool:
        grace.go(case)
        width: int = grace.main.get_by_role("img", name=_ALT).evaluate(
            "(each) => each.naturalWidth || 0"
        )
        return width == 320

    watch(shows_the_picture)
    looking.look(grace.page, "case-elsewhere")
    grace.fill(text=f"ECG first. Call me at {_PHONE}.")
    grace.press("Send the answer")
    expect(grace.main.locator("mark")).to_have_text(re.compile(re.escape(_PHONE)))
    looking.look(grace.page, "answer-held-back")
    grace.fill(text="ECG first, within **ten minutes**; then troponin.")
    grace.press("Send the answer")
    expect(grace.main.locator("article.answer")).to_contain_text("ten minutes")
    looking.look(grace.page, "case-answered")


def _read_the_answer(osler: Person, looking: Looking, title: str, surname: str, two: Two) -> None:
    osler.wait_for("/notifications", "answered")
    looking.look(osler.page, "notices")
    osler.go("/?show=all")
    looking.look(osler.page, "home-all")
    osler.follow_link(title)
    answer = osler.main.locator("article.answer")
    expect(answer).to_contain_text("ECG first, within ten minutes; then troponin.")
    expect(answer).to_contain_text(f"Grace {surname}")
    badge = answer.locator("button.badge")
    expect(badge).to_contain_text(re.compile("^verified physician", re.IGNORECASE))
    expect(badge).to_contain_text(f"by {two.society.domain}")
    # Touched, it says how and until when; without any script.
    panel = answer.locator(".panel")
    expect(panel).to_be_hidden()
    badge.click()
    expect(panel).to_be_visible()
    expect(panel).to_contain_text("Until")
    expect(panel).to_contain_text("register")
    looking.look(osler.page, "badge-panel", shrink=False)
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()
    looking.look(osler.page, "case-own-answered")


def _close(osler: Person, looking: Looking, title: str) -> None:
    osler.follow_link("Tell how it ended")
    looking.look(osler.page, "close")
    osler.fill(
        outcome="An occluded LAD, opened within the hour; well at six weeks.",
        teaching_points="Walking pain that stays at rest is an emergency.",
    )
    osler.press("Close the case")
    expect(osler.main).to_contain_text("opened within the hour")
    looking.look(osler.page, "case-closed")


def _see_the_outcome(grace: Person, looking: Looking, title: str) -> None:
    grace.go("/?show=all")
    grace.follow_link(title)
    case = grace.page.url.removeprefix(grace.site.url)
    grace.wait_for(case, "opened within the hour")
    expect(grace.main).to_contain_text("Closed")
    expect(grace.main).to_contain_text("Walking pain that stays at rest")
    looking.look(grace.page, "case-elsewhere-closed")


def _look_at_the_rest(grace: Person, osler: Person, ruth: Person, looking: Looking) -> None:
    for person, path, name in [
        (grace, "/settings", "settings"),
        (grace, "/help", "help"),
        (grace, "/?show=following", "home-following"),
        (osler, "/@osler", "profile"),
        (osler, "/@osler/followers", "followers"),
        (osler, "/requests", "requests"),
        (ruth, "/admin/peers", "peers"),
        (ruth, "/admin/reviews?state=approved", "reviews-approved"),
        (ruth, "/admin/audit", "audit-walk"),
        (ruth, "/admin/calendar", "calendar"),
        (osler, "/renewal", "renewal"),
        (osler, "/cases/nothing-here", "not-found"),
    ]:
        person.go(path)
        looking.look(person.page, name)
    osler.go("/@osler")
    osler.page.locator("aside").get_by_role("link", name="What this instance checked").click()
    looking.look(osler.page, "badge-local")
    # One after another through a member's own case: the pages that change it.
    osler.go("/?show=all")
    osler.main.locator(".card h2 a").first.click()
    own = osler.page.url
    for part in ("edit", "delete"):
        osler.page.goto(f"{own}/{part}")
        looking.look(osler.page, part)
