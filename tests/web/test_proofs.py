"""Ways to show who one is, as pages: by form, by link, by file, and from the wrong side."""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fedidoc.clock import DAY
from fedidoc.model import ActorKind
from fedidoc.storage import actors
from fedidoc.storage.actors import RemoteProfile
from fedidoc.verification.far_vouches import FarVouches
from fedidoc.verification.trust import Trust
from tests.house import claim
from tests.web.browsing import Browser, Shown
from tests.web.conftest import Site

PDF = b"%PDF-1.7\nSECRET-OF-ANNA\n%%EOF\n"
WORDS = "We have shared night duty since 2021."


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(out, "PNG")
    return out.getvalue()


async def applicant(site: Site, username: str = "anna") -> Browser:
    await site.house.sign_up(username)
    return await site.log_in(username)


async def reviewer(site: Site) -> Browser:
    await site.house.admin()
    return await site.log_in("rita")


async def applied(site: Site, username: str = "anna", **changes: Any) -> str:
    account = await site.house.accounts.show(username)
    return await site.house.review.apply(account, claim(**changes))


def link_in(site: Site) -> str:
    found = re.search(r"https://st-olaf.example(/application/email/\S+)", site.house.letters[-1][2])
    assert found is not None
    return found[1]


async def upload(browser: Browser, data: bytes, name: str = "licence.pdf") -> Shown:
    page = await browser.get("/application")
    return await browser.submit(page, "/application/documents", files={"document": (name, data)})


# The page -----------------------------------------------------------------------------------------


async def test_the_page_gathers_all_ways_and_what_is_enough(site: Site) -> None:
    anna = await applicant(site)
    page = await anna.get("/application")
    assert page.faults == []
    text = page.main.text
    for words in ("An address of your institution", "Documents", "Colleagues who vouch", "0 of 2"):
        assert words in text
    ways = page.main.one("ul", class_="ways").all("li")
    assert [w.text for w in ways if "register" in w.text] == [
        "your licence matches the register, and a reviewer sees a document of yours"
    ]
    assert not any("operator" in w.text for w in ways)


async def test_what_is_done_shows(site: Site) -> None:
    anna = await applicant(site)
    await anna.submit(
        await anna.get("/application"), "/application/email", {"address": "anna@stolaf.example"}
    )
    await anna.submit(await anna.get(link_in(site)), link_in(site))
    page = await anna.get("/application")
    assert "(done)" in page.main.one("ul", class_="ways").text
    assert "anna@stolaf.example answered" in page.main.text


async def test_the_verified_and_staff_are_not_offered_what_is_not_for_them(site: Site) -> None:
    dora = await site.signed_in("dora")
    page = await dora.get("/application")
    assert "Documents" not in page.main.text and "address of your institution" in page.main.text
    rita = await reviewer(site)
    page = await rita.get("/application")
    assert page.status == 200 and "Ways to show" not in page.main.text


# An institution's address -------------------------------------------------------------------------


async def test_a_link_confirms_by_its_button_only(site: Site) -> None:
    anna = await applicant(site)
    page = await anna.get("/application")
    page = await anna.submit(page, "/application/email", {"address": "anna@stolaf.example"})
    assert "on its way" in page.main.text
    path = link_in(site)
    # A scanner of mail, without a session: it is asked to log in, whatever it does.
    scanner = site.browser()
    shown = await scanner.get(path)
    assert shown.title.startswith("Log in")
    assert (await scanner.send(path, b"", "")).status in (401, 403)
    page = await anna.get(path)
    assert "anna@stolaf.example" in page.main.text
    assert not await site.house.review.standings.held(await site.house.accounts.show("anna"))
    page = await anna.submit(page, path)
    assert "confirmed" in page.main.text
    again = await anna.get(path)
    assert again.status == 409 and "used already" in again.main.text


async def test_the_log_in_leads_on_to_the_link(site: Site) -> None:
    anna = await applicant(site)
    await anna.submit(
        await anna.get("/application"), "/application/email", {"address": "anna@stolaf.example"}
    )
    fresh = site.browser()
    page = await fresh.get(link_in(site))
    page = await fresh.submit(page, "/log-in", site.credentials("anna"))
    assert page.path == link_in(site)


async def test_another_members_link_is_not_there(site: Site) -> None:
    anna, eve = await applicant(site), await applicant(site, "eve")
    await anna.submit(
        await anna.get("/application"), "/application/email", {"address": "anna@stolaf.example"}
    )
    path = link_in(site)
    nothing = await eve.get("/application/email/nope")
    shown = await eve.get(path)
    assert (shown.status, shown.main.text) == (404, nothing.main.text)
    token = (await eve.get("/application")).form("/application/email").one("input", name="csrf")
    answer = await eve.post(path, {"csrf": token.attrs["value"]})
    assert answer.status == 404


@pytest.mark.parametrize(
    "address", ["anna@mail.example", "x\r\nBcc: y@stolaf.example", '"a"@stolaf.example', ""],
    ids=range(4),
)  # fmt: skip
async def test_a_refused_address_stays_in_the_form(site: Site, address: str) -> None:
    anna = await applicant(site)
    page = await anna.get("/application")
    page = await anna.submit(page, "/application/email", {"address": address})
    assert page.status == 400
    assert "address" in page.errors()
    assert site.house.letters == []


async def test_asking_looks_alike_whoever_has_the_address(site: Site) -> None:
    anna, eve, tom = [await applicant(site, name) for name in ("anna", "eve", "tom")]
    field = {"address": "anna@stolaf.example"}
    await anna.submit(await anna.get("/application"), "/application/email", field)
    await anna.submit(await anna.get(link_in(site)), link_in(site))
    taken = await eve.submit(await eve.get("/application"), "/application/email", field)
    field = {"address": "tomm@stolaf.example"}
    free = await tom.submit(await tom.get("/application"), "/application/email", field)
    assert taken.status == free.status
    assert taken.main.text.replace("anna@", "tomm@") == free.main.text


# Documents ----------------------------------------------------------------------------------------


async def test_a_document_goes_to_the_reviewer_and_becomes_evidence(site: Site) -> None:
    anna, rita = await applicant(site), await reviewer(site)
    page = await upload(anna, PDF)
    assert "kept for the reviewers" in page.main.text and "licence.pdf" in page.main.text
    application = await applied(site)
    desk = await rita.get(f"/admin/reviews/{application}")
    assert desk.faults == []
    link = next(a for a in desk.main.all("a") if "/documents/" in a.attrs["href"])
    got = await rita.get(link.attrs["href"])
    assert got.html == PDF.decode()
    assert got.headers["content-type"] == "application/pdf"
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["cache-control"] == "no-store"
    desk = await rita.get(f"/admin/reviews/{application}")
    action = f"{link.attrs['href']}/seen"
    field = desk.form(action).one("input", type="text").attrs["name"]
    refused = await rita.submit(desk, action, {field: ""})
    assert refused.status == 400 and field in refused.errors()
    done = await rita.submit(desk, action, {field: "Licence of New York"})
    assert "recorded as evidence" in done.main.text and "Licence of New York" in done.main.text


async def test_a_picture_is_shown_without_powers(site: Site) -> None:
    anna, rita = await applicant(site), await reviewer(site)
    await upload(anna, png(), "badge.png")
    desk = await rita.get(f"/admin/reviews/{await applied(site)}")
    link = next(a for a in desk.main.all("a") if "/documents/" in a.attrs["href"])
    got = await rita.get(link.attrs["href"])
    assert got.headers["content-type"] == "image/png"
    assert got.headers["content-disposition"].startswith("inline;")
    assert "sandbox" in got.headers["content-security-policy"]
    assert not desk.main.all("img"), "a picture that is shown by itself is a look nobody took"


async def test_for_everybody_else_a_document_is_not_there(site: Site) -> None:
    anna, eve, rita = await applicant(site), await applicant(site, "eve"), await reviewer(site)
    dora = await site.signed_in("dora")
    await upload(anna, PDF)
    application = await applied(site)
    desk = await rita.get(f"/admin/reviews/{application}")
    path = next(a.attrs["href"] for a in desk.main.all("a") if "/documents/" in a.attrs["href"])
    id = path.rpartition("/")[2]
    for browser in (anna, eve, dora):
        there = await browser.get(path)
        nowhere = await browser.get(f"/admin/reviews/nope/documents/{id}")
        assert (there.status, there.main.text) == (nowhere.status, nowhere.main.text)
        assert there.status == 404
        csrf = (await browser.get("/application")).root.one("input", name="csrf").attrs["value"]
        for action in (f"{path}/seen", f"/application/documents/{id}/delete"):
            if browser is anna and action.endswith("delete"):
                continue
            assert (await browser.post(action, {"csrf": csrf, f"seen-{id}": "x" * 9})).status == 404
    anonymous = await site.browser().get(path)
    assert anonymous.title.startswith("Log in")
    for path in ("/documents/x", "/application/documents", "/media/" + id, "/static/../documents"):
        assert (await dora.get(path)).status in (404, 405)
    assert "document_viewed" not in {action for _, action, _ in await site.house.audit()}


async def test_a_member_deletes_their_own(site: Site) -> None:
    anna = await applicant(site)
    page = await upload(anna, PDF)
    form = next(f for f in page.main.all("form") if f.attrs["action"].endswith("/delete"))
    page = await anna.submit(page, form.attrs["action"])
    assert "destroyed" in page.main.text and "licence.pdf" not in page.main.text


async def test_wrong_files_are_refused_beside_their_field(site: Site) -> None:
    anna = await applicant(site)
    for data in (b"", b"<script>", b"PK\x03\x04"):
        page = await upload(anna, data)
        assert page.status == 400 and "document" in page.errors()
    page = await upload(anna, PDF[:-6] + b" " * 10 * 1024 * 1024 + b"%%EOF\n")
    assert page.status == 400 and "at most" in page.errors()["document"]
    page = await upload(anna, b"%PDF-1.7" + b" " * 21 * 1024 * 1024)
    assert page.status == 413


async def test_nothing_decrypted_touches_the_disk(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Form parsers put larger files into the folder for temporary files: not these."""

    def none(*args: Any, **named: Any) -> Any:
        raise AssertionError("a document went into a temporary file")

    monkeypatch.setattr(tempfile, "_mkstemp_inner", none)
    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", none)
    anna = await applicant(site)
    with pytest.raises(AssertionError):
        tempfile.mkstemp()
    monkeypatch.setattr("fedidoc.verification.documents.Documents._write", lambda *a: None)
    page = await upload(anna, PDF[:-6] + b" " * 5_000_000 + b"%%EOF\n")
    assert page.status == 200 and "licence.pdf" in page.main.text


async def test_large_bodies_are_taken_at_their_own_place_and_with_a_session_only(
    site: Site,
) -> None:
    anna = await applicant(site)
    large = b"x" * (gate_small() + 1)
    kind = "multipart/form-data; boundary=frontier"
    assert (await site.browser().send("/application/documents", large, kind)).status == 413
    for path in (
        "/application/documents/",
        "/application/documents/x/delete",
        "/application/email",
    ):
        assert (await anna.send(path, large, kind)).status in (404, 413)


def gate_small() -> int:
    from fedidoc.web import gate

    return gate.SMALL_BODY


# Colleagues ---------------------------------------------------------------------------------------


async def test_a_colleague_is_asked_and_vouches(site: Site) -> None:
    bea = await site.signed_in("bea")
    site.house.clock.advance(13 * DAY)
    bea = await site.log_in("bea")
    site.house.clock.advance(13 * DAY)
    anna = await applicant(site)
    page = await anna.submit(
        await anna.get("/application"), "/application/vouches", {"colleague": "@bea"}
    )
    assert "If there is such a colleague" in page.main.text
    notices = await bea.get("/notifications")
    assert "Anna asks you to vouch" in notices.main.text
    page = await bea.get("/vouches")
    link = next(a for a in page.main.all("a") if a.attrs["href"].startswith("/vouches/"))
    path = link.attrs["href"]
    page = await bea.get(path)
    assert page.faults == [] and "verified not long ago" in page.main.text
    assert not page.main.all("textarea")
    site.house.clock.advance(5 * DAY)
    bea = await site.log_in("bea")
    page = await bea.get(path)
    refused = await bea.submit(page, path, {"statement": "yes"})
    assert refused.status == 400 and "statement" in refused.errors()
    done = await bea.submit(page, path, {"statement": WORDS})
    assert "You vouch for them" in done.main.text and WORDS in done.main.text
    assert "1 of 2" in (await anna.get("/application")).main.text
    rita = await reviewer(site)
    desk = await rita.get(f"/admin/reviews/{await applied(site)}")
    assert WORDS in desk.main.text and "Bea" in desk.main.text
    form = next(f for f in done.main.all("form") if f.attrs["action"].endswith("/withdraw"))
    await bea.submit(done, form.attrs["action"])
    assert "0 of 2" in (await anna.get("/application")).main.text


async def test_a_request_is_nobody_elses(site: Site) -> None:
    bea, carl = await site.signed_in("bea"), await site.signed_in("carl")
    anna = await applicant(site)
    await anna.submit(await anna.get("/application"), "/application/vouches", {"colleague": "bea"})
    page = await bea.get("/vouches")
    path = next(
        a.attrs["href"] for a in page.main.all("a") if a.attrs["href"].startswith("/vouches/")
    )
    nothing = await carl.get("/vouches/nope")
    shown = await carl.get(path)
    assert (shown.status, shown.main.text) == (404, nothing.main.text)
    csrf = (await carl.get("/vouches")).root.one("input", name="csrf").attrs["value"]
    for action in (path, f"{path}/decline", f"{path}/withdraw"):
        assert (await carl.post(action, {"csrf": csrf, "statement": WORDS})).status == 404
    # The applicant is not verified: these pages are not theirs.
    assert (await anna.get("/vouches")).status == 403


async def test_saying_no_is_silent(site: Site) -> None:
    bea = await site.signed_in("bea")
    anna = await applicant(site)
    await anna.submit(await anna.get("/application"), "/application/vouches", {"colleague": "bea"})
    before = (await anna.get("/application")).main.text
    page = await bea.get("/vouches")
    path = next(
        a.attrs["href"] for a in page.main.all("a") if a.attrs["href"].startswith("/vouches/")
    )
    page = await bea.submit(await bea.get(path), f"{path}/decline")
    assert "They are not told" in page.main.text and "Nobody asks you now" in page.main.text
    assert (await anna.get("/application")).main.text == before


async def test_a_colleague_elsewhere_is_named_by_handle(site: Site) -> None:
    anna = await applicant(site)
    page = await anna.get("/application")
    assert "on a server that this one trusts" in page.main.text
    refused = await anna.submit(
        page, "/application/vouches", {"colleague": "@ines@unknown.example"}
    )
    assert refused.status == 400 and "a server that it trusts" in refused.errors()["colleague"]
    site.services.vouches._trusts = lambda host: host == "society.example"
    asked = await anna.submit(page, "/application/vouches", {"colleague": "@ines@society.example"})
    assert "If there is such a colleague" in asked.main.text
    assert asked.faults == [] and "@ines@society.example" in asked.main.text
    rows = await site.house.db.fetch_all("SELECT subject FROM tasks WHERE kind = 'vouch'")
    assert len(rows) == 1


async def test_who_asks_may_be_of_another_server(site: Site) -> None:
    bea = await site.signed_in("bea")
    site.house.clock.advance(13 * DAY)
    profile = RemoteProfile(
        uri="https://society.example/users/ines", kind=ActorKind.PERSON, username="ines",
        host="society.example", handle_confirmed=True, name="Ines Okoro", summary_html="",
        inbox="https://society.example/users/ines/inbox", shared_inbox=None, outbox=None,
        followers=None, following=None, url=None, icon_url=None, approves_follows=False,
        discoverable=False, credential_url=None,
    )  # fmt: skip
    house, rooms = site.house, site.services.vouches
    far = FarVouches(house.db, house.clock, house.vault, Trust(house.db, house.clock), rooms)
    account = await house.accounts.show("bea")
    async with house.db.transaction() as tx:
        ines = await actors.upsert_remote(tx, house.clock, profile)
        colleague = await actors.get(tx, account.actor_id)
        assert colleague is not None
        effect = await far.receive_request(
            tx, ines, colleague, "https://society.example/offers/1", "physician", None
        )
    assert effect == "vouch_asked"
    bea = await site.log_in("bea")
    page = await bea.get("/vouches")
    assert page.faults == [] and "@ines@society.example" in page.main.text
    path = next(
        a.attrs["href"] for a in page.main.all("a") if a.attrs["href"].startswith("/vouches/")
    )
    shown = await bea.get(path)
    assert shown.faults == [] and "Ines Okoro" in shown.main.text
    done = await bea.submit(shown, f"{path}/decline")
    assert "They are not told" in done.main.text
    assert await house.db.fetch_value("SELECT COUNT(*) FROM events WHERE kind LIKE 'vouch%'") == 0
