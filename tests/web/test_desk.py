"""The review desk and the audit log as pages, without scripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedidoc.config import ReviewRules, ReviewTemplate
from fedidoc.model import Standing
from fedidoc.verification.audit import verify_lines
from fedidoc.verification.leie import import_leie
from fedidoc.verification.policy import Policy
from fedidoc.web.pages import create_pages
from tests.house import claim
from tests.verification.test_exclusions import record, write
from tests.web.browsing import Browser, Shown
from tests.web.conftest import Site

NPI = "1234567893"


async def at_the_desk(site: Site, username: str = "rita") -> tuple[Browser, str]:
    """A reviewer's browser, and the path of Anna's application."""
    if not await site.house.db.fetch_value("SELECT 1 FROM applications"):
        anna = await site.house.sign_up("anna")
        await site.house.review.apply(anna, claim())
    await site.house.admin(username)
    browser = await site.log_in(username)
    id = await site.house.db.fetch_value("SELECT id FROM applications")
    return browser, f"/admin/reviews/{id}"


def ticked(page: Shown) -> list[str]:
    boxes = page.main.all("input", name="kinds")
    return [box.attrs["value"] for box in boxes if "checked" in box.attrs]


def written(page: Shown, name: str) -> str:
    return page.main.one("textarea", name=name).text


async def test_chosen_words_are_put_into_the_form_and_stay_editable(site: Site) -> None:
    own = {"badge": ReviewTemplate("ask", "Please show your badge.")}
    site.services = replace(
        site.services, config=replace(site.services.config, review_templates=own)
    )
    site.app = create_pages(site.services)
    rita, path = await at_the_desk(site)
    page = await rita.get(path)
    offered = page.main.one("select", name="asking-words").all("option")
    assert [o.text for o in offered][:3] == ["Choose …", "Badge", "Name differs"]
    page = await rita.submit(
        page, f"{path}/ask", {"do": "words", "asking": "Hello!", "asking-words": "Badge"}
    )
    assert page.status == 200 and written(page, "asking") == "Hello! Please show your badge."
    # Nothing is sent before the other button.
    assert (await site.house.accounts.show("anna")).standing is Standing.APPLIED
    own_view = await site.house.review.current(await site.house.accounts.show("anna"))
    assert own_view is not None and own_view.reason is None
    page = await rita.submit(
        page, f"{path}/ask", {"do": "words", "asking-words": "Licence not active"}
    )
    assert "not active" not in written(page, "asking")  # offered for refusals only


async def test_what_the_evidence_would_give_is_shown_before(site: Site) -> None:
    rita, path = await at_the_desk(site)
    page = await rita.get(path)
    assert not page.main.all("p", class_="note gives")
    page = await rita.submit(
        page, f"{path}/approve", {"do": "see", "kinds": "document", "approval": "so far"}
    )
    assert "gives no level" in page.main.text and ticked(page) == ["document"]
    assert written(page, "approval") == "so far"
    page = await rita.submit(page, f"{path}/approve", {"do": "see", "kinds": "employer"})
    assert "This gives the level verified: may read cases, answer" in page.main.text
    assert "employer or its identity provider" in page.main.text
    assert (await site.house.accounts.show("anna")).standing is Standing.APPLIED
    # What cannot be given by hand is not in the form, and is refused when it is sent all the same.
    for kind in ("operator", "identity_provider", "register"):
        refused = await rita.submit(
            page, f"{path}/approve", {"kinds": kind, "approval": "trust me"}
        )
        assert refused.errors().keys() == {"kinds"}, kind


async def test_a_hit_is_red_and_judged_before_approval(site: Site, tmp_path: Path) -> None:
    leie = write(tmp_path / "UPDATED.csv", record(NPI=NPI, LASTNAME="<b>QUILL</b>"))
    await import_leie(site.house.db, site.house.clock, leie)
    rita, path = await at_the_desk(site)
    queue = await rita.get("/admin/reviews")
    assert [tag.text for tag in queue.main.all("span", class_="tag block")] == [
        "On an exclusion list?"
    ]
    page = await rita.get(path)
    assert "<b>QUILL" in page.main.one("div", class_="note crimson hit").text
    refused = await rita.submit(page, f"{path}/approve", {"kinds": "employer", "approval": "x"})
    assert refused.status == 409 and "exclusion list" in refused.errors()["approval"]
    field = next(
        n.attrs["name"] for n in page.main.all("textarea")
        if n.attrs["name"].startswith("judgement-")
    )  # fmt: skip
    empty = await rita.submit(page, f"{path}/judge")
    assert empty.errors().keys() == {field}
    page = await rita.submit(page, f"{path}/judge", {field: "Another <i>Quill</i>."})
    assert "“Another <i>Quill</i>.”" in page.main.text
    done = await rita.submit(page, f"{path}/approve", {"kinds": "employer", "approval": "x"})
    assert "Approved: they are told" in done.main.text


async def test_four_eyes_on_the_page(site: Site) -> None:
    site.house.use_policy(Policy.of({}), four_eyes=True)
    config = replace(site.services.config, review=ReviewRules(four_eyes=True))
    site.services = replace(site.services, config=config, review=site.house.review)
    site.app = create_pages(site.services)
    rita, path = await at_the_desk(site)
    otto, _ = await at_the_desk(site, "otto")
    page = await rita.get(path)
    assert page.main.one("button", class_="main").text == "Propose to approve"
    sent = await rita.submit(
        page, f"{path}/approve", {"kinds": "employer", "approval": "Called them."}
    )
    assert "a second reviewer has to confirm it" in sent.main.text
    own = await rita.get(path)
    assert "nobody confirms their own" in own.main.text and ticked(own) == []
    page = await otto.get(path)
    assert "A colleague’s approval waits for you" in page.main.text
    assert "rita" in page.main.text and "“Called them.”" in page.main.text
    assert ticked(page) == ["employer"]
    done = await otto.submit(page, f"{path}/approve", {"approval": "I called as well."})
    assert "Approved: they are told" in done.main.text
    assert (await site.house.accounts.show("anna")).verified


async def test_an_old_page_approves_no_new_claim(site: Site) -> None:
    rita, path = await at_the_desk(site)
    old = await rita.get(path)
    await rita.submit(old, f"{path}/ask", {"asking": "Sure?"})
    anna = await site.house.accounts.show("anna")
    await site.house.review.apply(anna, claim(legal_name="Somebody Else"))
    refused = await rita.submit(old, f"{path}/approve", {"kinds": "employer", "approval": "x"})
    assert refused.status == 409 and "changed the application" in refused.errors()["approval"]
    assert "Somebody Else" in refused.main.text


async def test_notes_and_history_stay_on_the_desk(site: Site) -> None:
    rita, path = await at_the_desk(site)
    page = await rita.get(path)
    assert (await rita.submit(page, f"{path}/note")).errors().keys() == {"note"}
    page = await rita.submit(page, f"{path}/note", {"note": "Ask Dr. <b>Weiss</b>."})
    assert "Ask Dr. <b>Weiss</b>." in page.main.text
    assert "anna applied" in page.main.text and "rita left a note" in page.main.text
    anna = await site.log_in("anna")
    for where in ("/application", "/apply"):
        assert "Weiss" not in (await anna.get(where)).html


@pytest.mark.parametrize("part", ["", "/note", "/judge", "/approve"])
async def test_the_desk_is_for_reviewers(site: Site, part: str) -> None:
    _, path = await at_the_desk(site)
    anna = await site.log_in("anna")
    token = (await anna.get("/application")).root.one("input", name="csrf").attrs["value"]
    fields = {"csrf": token, "note": "x", "approval": "x", "kinds": "employer", "key": "0" * 32}
    done = await anna.post(path + part, fields) if part else await anna.get(path)
    assert done.status == 404
    assert (await anna.get("/admin/audit")).status == 404
    assert (await anna.get("/admin/audit/fedidoc-audit.jsonl")).status == 404
    assert (await site.browser().get("/admin/audit/fedidoc-audit.jsonl")).path.startswith("/log-in")


async def test_the_queue_is_filtered_and_counted(site: Site) -> None:
    rita, _ = await at_the_desk(site)
    bert = await site.house.sign_up("bert")
    await site.house.review.apply(bert, claim(legal_name="Bert Long", npi="1245319599"))
    page = await rita.get("/admin/reviews")
    assert page.main.one("nav").one("a").text == "Waiting 2"
    assert "Same licence or NPI (2)" in page.main.text
    assert len((await rita.get("/admin/reviews?cause=duplicate")).main.all("th", scope="row")) == 2
    none = await rita.get("/admin/reviews?cause=exclusion")
    assert "None of these" in none.main.text
    for nonsense in ("cause=x&role=y", "state=x", "before=x", "state=asked&before=-1"):
        assert (await rita.get(f"/admin/reviews?{nonsense}")).status == 200
    for state in ("asked", "approved", "refused", "withdrawn"):
        assert (await rita.get(f"/admin/reviews?state={state}")).status == 200


async def test_the_audit_log_is_shown_and_taken_away(site: Site) -> None:
    rita, path = await at_the_desk(site)
    await rita.submit(await rita.get(path), f"{path}/refuse", {"refusal": "No."})
    page = await rita.get("/admin/audit")
    assert "rita refused" in page.main.text and "anna applied" in page.main.text
    only = await rita.get("/admin/audit?action=application_refused")
    assert len(only.main.all("th", scope="row")) == 1
    for nonsense in ("action=x", "before=x"):
        assert (await rita.get(f"/admin/audit?{nonsense}")).status == 200
    log = await rita.get("/admin/audit/fedidoc-audit.jsonl")
    assert log.headers["content-disposition"].startswith("attachment")
    verdict = verify_lines(log.html.encode().splitlines())
    assert verdict.whole
    assert f"{verdict.head.number} {verdict.head.digest}" in page.main.text
