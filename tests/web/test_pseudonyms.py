"""Pages of pseudonyms: the code, enrolling, a log-in of its own, nothing of one's other self."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from fedidoc.clinical.blocks import Blocks
from fedidoc.clinical.cases import CaseDraft, Cases
from fedidoc.clinical.drafts import Drafts
from fedidoc.clinical.follows import Follows
from fedidoc.clinical.media import Pictures
from fedidoc.clinical.reports import Reports
from fedidoc.clock import DAY, DayClock
from fedidoc.errors import BadInput, Forbidden
from fedidoc.model import Account, Audience
from fedidoc.storage import cases as stored_cases
from fedidoc.web.pages import create_pages
from fedidoc.web.services import PseudonymRooms
from tests.house import PASSWORD
from tests.nyms import PASSPHRASE, Nyms
from tests.web.browsing import Browser, Shown
from tests.web.conftest import Site

HANDLE = "quiet_heron"


@dataclass
class Masked:
    """A site where physicians have pseudonyms; `anna` is behind `quiet_heron`."""

    site: Site
    nyms: Nyms

    async def log_in(self, handle: str = HANDLE) -> Browser:
        browser = self.site.browser()
        page = await browser.get("/pseudonym/log-in")
        await browser.submit(
            page, "/pseudonym/log-in", {"handle": handle, "passphrase": PASSPHRASE}
        )
        assert "__Host-pseudonym" in browser.cookies
        return browser

    async def account(self, handle: str = HANDLE) -> Account:
        done = await self.nyms.accounts.log_in(handle, PASSPHRASE, address="192.0.2.9")
        return done.account


def rebuilt(site: Site, nyms: Nyms, **rules: str) -> Site:
    config = replace(
        site.services.config,
        officers=nyms.config.officers,
        pseudonyms=replace(nyms.config.pseudonyms, **rules),
    )
    house, days = site.house, DayClock(site.house.clock)
    nyms.accounts._config = nyms.enrolment._config = config
    media = Pictures(house.db, days, site.services.media.folder)
    cases = Cases(house.db, days, house.urls, media)
    rooms = PseudonymRooms(
        enrolment=nyms.enrolment, accounts=nyms.accounts, openings=nyms.openings, cases=cases,
        delayed=cases, drafts=Drafts(house.db, days, house.vault), media=media,
        follows=Follows(house.db, days, house.urls),
        blocks=Blocks(house.db, days, house.urls),
        reports=Reports(house.db, days, house.vault, house.urls),
    )  # fmt: skip
    services = replace(site.services, config=config, nyms=rooms)
    return Site(house, services, create_pages(services))


@pytest.fixture
async def empty(site: Site) -> Masked:
    nyms = Nyms(site.house)
    return Masked(rebuilt(site, nyms), nyms)


@pytest.fixture
async def masked(empty: Masked) -> AsyncIterator[Masked]:
    await empty.nyms.made("anna", HANDLE)
    yield empty


async def test_every_member_is_handed_a_code_on_the_first_visit(empty: Masked) -> None:
    await empty.site.account("bert")
    browser = empty.site.browser()
    page = await browser.get("/log-in")
    page = await browser.submit(page, "/log-in", empty.site.credentials("bert"))
    assert page.path == "/your-code"
    code = page.main.one(id="code").text
    assert len(code.replace("-", "")) == 72
    assert page.headers["cache-control"] == "no-store"
    assert (await browser.get("/")).path == "/"
    assert (await browser.get("/your-code")).main.one(id="code").text == code
    empty.site.house.clock.advance(DAY)
    assert not (await browser.get("/your-code")).main.all(id="code")


async def test_somebody_enrols_and_logs_in_without_a_script(empty: Masked) -> None:
    for name in ("bert", "carla", "dirk", "emil"):
        await empty.site.signed_in(name)
    anna = await empty.site.signed_in("anna")
    code = (await anna.get("/your-code")).main.one(id="code").text
    browser = empty.site.browser()  # another window, logged in as nobody
    page = await browser.get("/pseudonym/enrol")
    assert "What it does not protect you from" in page.main.text
    given = {"code": code, "handle": HANDLE, "passphrase": PASSPHRASE}
    page = await browser.submit(page, "/pseudonym/enrol", given)
    assert page.errors().keys() == {"understood"}
    assert page.form("/pseudonym/enrol").one("input", name="handle").attrs["value"] == HANDLE
    assert PASSPHRASE not in page.html
    page = await browser.submit(page, "/pseudonym/enrol",
                                {"passphrase": PASSPHRASE, "understood": "yes"})  # fmt: skip
    assert page.title.startswith("Enrolled"), page.errors()
    assert len(page.main.all("code")) == 8
    page = await browser.submit(
        await browser.get("/pseudonym/log-in"), "/pseudonym/log-in",
        {"handle": HANDLE, "passphrase": PASSPHRASE},
    )  # fmt: skip
    assert "tomorrow" in page.errors()["handle"]
    await empty.nyms.open()
    page = await browser.submit(
        await browser.get("/pseudonym/log-in"), "/pseudonym/log-in",
        {"handle": HANDLE, "passphrase": PASSPHRASE},
    )  # fmt: skip
    assert page.path == "/" and f"You are @{HANDLE}" in page.main.text


@pytest.mark.parametrize("handle", ["anna", "ann4", "d1rk", "admin", "x", "carla_md", "b_e_r_t"])
async def test_a_handle_like_a_members_is_refused(empty: Masked, handle: str) -> None:
    for account in await empty.nyms.crowd():
        await empty.nyms.code(account.username)
    browser = empty.site.browser()
    page = await browser.submit(
        await browser.get("/pseudonym/enrol"), "/pseudonym/enrol",
        {"code": await empty.nyms.code("anna"), "handle": handle, "passphrase": PASSPHRASE,
         "understood": "yes"},
    )  # fmt: skip
    assert page.errors().keys() == {"handle"}


async def test_the_two_are_never_logged_in_side_by_side(masked: Masked) -> None:
    anna = await masked.site.signed_in("anna")
    for path in ("/pseudonym/log-in", "/pseudonym/enrol", "/pseudonym/recover"):
        page = await anna.get(path)
        assert page.status == 409 and "Log out first" in page.title
    sent = {"csrf": "", "handle": HANDLE, "passphrase": PASSPHRASE}
    page = await anna.get("/settings")
    sent["csrf"] = page.root.one("input", name="csrf").attrs["value"]
    refused = await anna.post("/pseudonym/log-in", sent)
    assert refused.status == 409
    assert "__Host-pseudonym" not in anna.cookies
    page = await anna.submit(await anna.get("/pseudonym/log-in"), "/log-out")
    assert "__Host-session" not in anna.cookies


async def test_the_cookie_is_its_own_and_goes_with_the_window(masked: Masked) -> None:
    browser = await masked.log_in()
    line = next(each for each in browser.set_cookies if each.startswith("__Host-pseudonym="))
    assert all(word in line for word in ("Secure", "HttpOnly", "Path=/", "SameSite=Strict"))
    assert "Max-Age" not in line and "Expires" not in line
    token = browser.cookies["__Host-pseudonym"]
    other = masked.site.browser()
    other.cookies["__Host-session"] = token
    assert (await other.get("/notifications")).path.startswith("/log-in")


async def test_a_form_of_the_one_is_none_of_the_other(masked: Masked) -> None:
    browser, anna = await masked.log_in(), await masked.site.log_in("anna")
    foreign = (await anna.get("/settings")).root.one("input", name="csrf").attrs["value"]
    page = await browser.post("/pseudonym/own", {"csrf": foreign, "do": "jitter"})
    assert page.status == 403


PRIVATE = ("/settings", "/application", "/apply", "/your-code", "/admin/reviews", "/admin/peers",
           "/admin/pseudonyms", "/sign-up", "/log-in")  # fmt: skip


@pytest.mark.parametrize("path", PRIVATE)
async def test_a_persons_pages_do_not_exist_for_a_pseudonym(masked: Masked, path: str) -> None:
    browser = await masked.log_in()
    assert (await browser.get(path)).status == 404


async def test_a_pseudonym_answers_opens_and_thanks(masked: Masked) -> None:
    case = await masked.site.case("bert")
    browser = await masked.log_in()
    page = await browser.get(f"/cases/{case.id}")
    page = await browser.submit(page, f"/cases/{case.id}/answer", {"text": "Biopsy first."})
    assert page.status == 200, page.errors()
    account = await masked.account()
    answer = next(p for p in await masked.site.posts() if p.author.id == account.actor_id)
    assert answer.audience is Audience.VERIFIED and answer.author.pseudonymous
    assert answer.published == case.published + 1000  # the case's own second, not the answer's
    await masked.site.services.for_pseudonym(jitter=False).cases.like(account, case.id)
    reader = await masked.site.log_in("bert")
    page = await reader.get(f"/cases/{case.id}")
    assert "Verified physician · identity sealed" in page.main.text
    assert "by st-olaf.example" in page.main.text
    assert page.main.all("img", src=f"/avatars/{HANDLE}.png")
    picture = await reader.get(f"/avatars/{HANDLE}.png")
    assert picture.status == 200 and picture.headers["content-type"] == "image/png"
    assert (await reader.get("/avatars/bert.png")).status == 404


async def test_a_pseudonym_writes_for_the_verified_only(masked: Masked) -> None:
    browser = await masked.log_in()
    page = await browser.get("/cases/new")
    choices = page.form("/cases/new").all("input", name="audience")
    assert [each.attrs["value"] for each in choices] == ["verified"]
    account = await masked.account()
    rooms = masked.site.services.for_pseudonym(jitter=False)
    draft = CaseDraft(title="A case", presentation="Breathless.", question="Why?")
    for audience in (Audience.PUBLIC, Audience.FOLLOWERS):
        with pytest.raises(BadInput):
            await rooms.cases.open_case(account, replace(draft, audience=audience))
    public = await masked.site.case("bert", audience="public")
    answer = await rooms.cases.reply(account, public.id, "Look at the ECG again.")
    assert answer.audience is Audience.VERIFIED
    with pytest.raises(Forbidden):
        await rooms.cases.announce(account, public.id)
    with pytest.raises(Forbidden):
        await rooms.follows.follow(account, await masked.site.profile("bert"))


async def test_nothing_shows_one_the_other_self(masked: Masked) -> None:
    """Drafts, notices, search, directory, profile, first page: on neither side."""
    anna, browser = await masked.site.log_in("anna"), await masked.log_in()
    person = await masked.site.account("anna")
    await masked.site.services.drafts.save(person, "case", {"title": "Annas draft"})
    account = await masked.account()
    rooms = masked.site.services.for_pseudonym(jitter=False)
    await rooms.drafts.save(account, "case", {"title": "Herons draft"})
    case = await masked.site.case("bert")
    await rooms.cases.reply(account, case.id, "Biopsy first.")
    theirs = [await anna.get(p) for p in ("/", "/notifications", "/find", "/@anna", "/settings")]
    assert not [p.path for p in theirs if "heron" in p.main.text.lower()
                and p.path not in ("/",)]  # fmt: skip
    assert "Herons draft" not in theirs[0].html
    pages = [await browser.get(p) for p in ("/", "/notifications", "/pseudonym/own", f"/@{HANDLE}")]
    assert not [p.path for p in pages if "anna" in p.html.lower()]
    found = await browser.get("/find?q=heron")
    assert not found.main.all("a", href=f"/@{HANDLE}")  # in no directory
    for who in (anna, browser):
        for path in (f"/@{HANDLE}/followers", f"/@{HANDLE}/following"):
            shown = await who.get(path)
            assert shown.status == (200 if who is browser else 404)


async def test_a_muted_pseudonym_reads_and_does_not_write(masked: Masked) -> None:
    case = await masked.site.case("bert")
    browser = await masked.log_in()
    page = await browser.get(f"/cases/{case.id}")
    await masked.nyms.openings.mute(HANDLE, "Personal remarks about colleagues", by="operator")
    assert (await browser.get(f"/cases/{case.id}")).status == 200
    refused = await browser.submit(page, f"/cases/{case.id}/answer", {"text": "Still here."})
    assert refused.status == 403 and "muted" in refused.main.text
    own = await browser.get("/pseudonym/own")
    assert "Personal remarks about colleagues" in own.main.text
    assert (await browser.submit(own, "/log-out")).status == 200
    assert "__Host-pseudonym" not in browser.cookies


async def test_its_owner_changes_what_is_theirs(masked: Masked) -> None:
    browser = await masked.log_in()
    page = await browser.get("/pseudonym/own")
    form = next(f for f in page.main.all("form") if f.all("input", name="old_passphrase"))
    csrf = form.one("input", name="csrf").attrs["value"]
    fresh = "yet another long sentence"
    done = await browser.post("/pseudonym/own", {
        "csrf": csrf, "do": "passphrase", "old_passphrase": "wrong", "passphrase": fresh,
    })  # fmt: skip
    assert done.errors().keys() == {"old_passphrase"}
    done = await browser.post("/pseudonym/own", {
        "csrf": csrf, "do": "passphrase", "old_passphrase": PASSPHRASE, "passphrase": fresh,
    })  # fmt: skip
    assert "Your passphrase is changed" in done.main.text
    csrf = done.root.one("input", name="csrf").attrs["value"]
    codes = await browser.post("/pseudonym/own", {"csrf": csrf, "do": "recovery"})
    recovery = [each.text for each in codes.main.all("code")]
    assert len(recovery) == 8
    other = masked.site.browser()
    page = await other.submit(
        await other.get("/pseudonym/recover"), "/pseudonym/recover",
        {"handle": HANDLE, "recovery_code": recovery[0], "passphrase": PASSPHRASE},
    )  # fmt: skip
    assert page.path == "/" and "__Host-pseudonym" in other.cookies
    assert (await browser.get("/pseudonym/own")).path.startswith("/log-in")  # ended by it


async def test_an_origin_of_its_own_keeps_the_two_apart(site: Site) -> None:
    nyms = Nyms(site.house)
    apart = rebuilt(site, nyms, origin="https://nym.st-olaf.example")
    await nyms.made("anna", HANDLE)
    anna = await apart.signed_in("anna")
    page = await anna.get("/pseudonym/log-in", follow=False)
    assert page.status == 303
    assert page.headers["location"] == "https://nym.st-olaf.example/pseudonym/log-in"
    there = Browser(apart.app, "https://nym.st-olaf.example")
    page = await there.submit(
        await there.get("/pseudonym/log-in"), "/pseudonym/log-in",
        {"handle": HANDLE, "passphrase": PASSPHRASE},
    )  # fmt: skip
    assert page.path == "/" and f"You are @{HANDLE}" in page.main.text
    # Each cookie counts on its own side only, and a person's pages are not there.
    there.cookies["__Host-session"] = anna.cookies["__Host-session"]
    assert f"You are @{HANDLE}" in (await there.get("/")).main.text
    del there.cookies["__Host-pseudonym"]
    assert (await there.get("/settings")).status == 404
    assert (await there.get("/")).path == "/pseudonym/log-in"
    anna.cookies["__Host-pseudonym"] = (await nyms.accounts.log_in(
        HANDLE, PASSPHRASE, address="192.0.2.7")).token  # fmt: skip
    del anna.cookies["__Host-session"]
    assert (await anna.get("/notifications")).path.startswith("/log-in")
    # A form of the one site is none of the other's.
    page = await there.get("/pseudonym/log-in")
    csrf = page.root.one("input", name="csrf").attrs["value"]
    refused = await there.post("/pseudonym/log-in", {"csrf": csrf, "handle": HANDLE},
                               Origin="https://st-olaf.example")  # fmt: skip
    assert refused.status == 403


async def test_moderators_warn_and_open_cases_together(masked: Masked) -> None:
    await masked.site.house.admin("rita")
    await masked.site.house.admin("sam")
    rita, sam = await masked.site.log_in("rita"), await masked.site.log_in("sam")

    async def do(browser: Browser, what: str, reason: str) -> Shown:
        page = await browser.get("/admin/pseudonyms")
        return await browser.submit(page, "/admin/pseudonyms",
                                    {"handle": HANDLE, "do": what, "reason": reason})  # fmt: skip

    page = await do(rita, "warn", "short")
    assert page.errors().keys() == {"reason"}
    page = await do(rita, "warn", "Please stay with the case.")
    assert "written into the audit log" in page.main.text
    page = await do(rita, "ask", "Threats against a colleague in case 9")
    case = (await masked.nyms.openings.requests())[0]
    path = f"/admin/pseudonyms/cases/{case.id}"
    assert not page.main.all("form", action=path)  # not by the one who asked
    csrf = page.root.one("input", name="csrf").attrs["value"]
    forced = await rita.post(path, {"csrf": csrf, "do": "approve"})
    assert forced.status == 403 and "Two moderators" in forced.main.text
    page = await sam.get("/admin/pseudonyms")
    csrf = page.main.one("form", action=path).one("input", name="csrf").attrs["value"]
    page = await sam.post(path, {"csrf": csrf, "do": "approve"})
    assert "approved" in page.main.text
    assert "anna" not in page.html
    member = await masked.site.log_in("anna")
    assert (await member.get("/admin/pseudonyms")).status == 404


async def test_anybody_may_read_how_often_records_were_opened(masked: Masked) -> None:
    page = await masked.site.browser().get("/transparency")
    assert page.status == 200
    assert "Fewer than 5" in page.main.text and "Society ada: 1 officer" in page.main.text
    assert "No moderator has ever asked" in page.main.text


async def test_there_are_no_such_pages_where_there_are_no_officers(site: Site) -> None:
    browser = await site.signed_in("anna")
    assert (await browser.get("/")).path == "/"
    for path in ("/pseudonym", "/pseudonym/enrol", "/pseudonym/log-in", "/transparency",
                 "/your-code", "/pseudonym/own"):  # fmt: skip
        assert (await browser.get(path)).status == 404


async def test_a_pseudonyms_password_opens_no_members_door(masked: Masked) -> None:
    browser = masked.site.browser()
    for name, password in ((HANDLE, PASSPHRASE), ("anna", PASSPHRASE), (HANDLE, PASSWORD)):
        page = await browser.submit(
            await browser.get("/log-in"), "/log-in", {"username": name, "password": password}
        )
        assert page.status == 401


async def test_rows_of_a_pseudonym_say_the_day(masked: Masked) -> None:
    """What the pages write as a pseudonym, table by table."""
    masked.site.house.clock.advance(7 * 3_600_000 + 54_321)
    case = await masked.site.case("bert")
    account = await masked.account()
    rooms = masked.site.services.for_pseudonym(jitter=False)
    await rooms.cases.reply(account, case.id, "Biopsy first.")
    own = await rooms.cases.open_case(
        account, CaseDraft(title="A case", presentation="Breathless.", question="Why?")
    )
    await rooms.cases.close(account, own.id, outcome="It was the valve.")
    await rooms.cases.like(account, case.id)
    await rooms.drafts.save(account, "case", {"title": "More"})
    db = masked.site.house.db
    for sql in (
        "SELECT created FROM events WHERE actor_id = ?", "SELECT created FROM likes"
        " WHERE actor_id = ?", "SELECT at FROM notifications WHERE actor_id = ?",
        "SELECT published FROM posts WHERE kind = 'case' AND author_id = ?",
    ):  # fmt: skip
        rows = await db.fetch_all(sql, (account.actor_id,))
        assert rows and all(row[0] % DAY == 0 for row in rows), sql
    saved = await db.fetch_all("SELECT saved FROM drafts WHERE account_id = ?", (account.id,))
    assert [row[0] % DAY for row in saved] == [0]
    again = await stored_cases.get(db, own.id)
    assert again is not None and again.edited is not None
    assert again.edited == again.published + 1000


async def test_a_pseudonym_blocks_and_reports_on_a_day(masked: Masked) -> None:
    """Its blocks and reports are its own: the person behind it has none of them, and nothing says
    when within a day."""
    browser, bela = await masked.log_in(), await masked.site.profile("bela")
    post = await masked.site.case("bela")
    page = await browser.get(f"/report/post/{post.id}")
    sent = {"reason": "conduct", "words": "Rude."}
    assert (
        "The stewards have"
        in (await browser.submit(page, f"/report/post/{post.id}", sent)).main.text
    )
    await browser.submit(await browser.get("/@bela"), "/block", {"do": "block"})
    assert (await browser.get(f"/cases/{post.id}")).status == 404
    person = await masked.site.signed_in("anna")
    assert (await person.get(f"/cases/{post.id}")).status == 200
    assert "Nobody" in (await person.get("/settings/blocked")).main.text
    nym = await masked.account()
    for table, column in (("blocks", "blocker_id"), ("reports", "reporter_id")):
        row = await masked.site.house.db.fetch_one(f"SELECT * FROM {table}")
        assert row is not None and row[column] == nym.actor_id
        assert row["created"] % DAY == 0
    assert bela.id != nym.actor_id
    assert (await browser.get("/settings/moving")).status == 404
