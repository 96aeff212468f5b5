"""Renewing a verification, the stewards' calendar, and what a former member's posts show."""

from __future__ import annotations

from fedidoc.clock import DAY
from tests.web.browsing import Browser
from tests.web.conftest import Site


async def steward(site: Site) -> Browser:
    await site.house.admin("rita")
    return await site.log_in("rita")


async def test_a_member_asks_and_a_steward_renews_with_one_click(site: Site) -> None:
    await site.account("anna")
    anna = await site.log_in("anna")
    page = await anna.get("/renewal")
    assert "Not yet" in page.main.text and not page.faults
    site.house.clock.advance(340 * DAY)
    anna, rita = await site.log_in("anna"), await steward(site)
    page = await anna.get("/renewal")
    assert "in 25 days" in page.main.text
    assert page.form("/renewal").one("input", name="specialty").attrs["value"] == (
        "Cardiovascular Disease"
    )
    page = await anna.submit(page, "/renewal", {"note": "Zqxj moved house"})
    assert page.status == 400 and "holds" in page.errors()
    assert page.form("/renewal").one("textarea").text == "Zqxj moved house"
    page = await anna.submit(page, "/renewal", {"holds": "yes", "jurisdiction": "US-MN"})
    assert "A person looks at it" in page.main.text and not page.faults
    calendar = await rita.get("/admin/calendar")
    assert "Zqxj moved house" in calendar.main.text and "US-MN" in calendar.main.text
    assert not calendar.faults
    calendar = await rita.submit(calendar, "/admin/calendar/anna/renew")
    assert "Renewed" in calendar.main.text and "Nobody waits" in calendar.main.text
    assert "Your verification is renewed" in (await anna.get("/notifications")).main.text
    badge = (await site.profile("anna")).badge
    assert badge.verified and badge.jurisdiction == "US-MN"
    assert "Not yet" in (await anna.get("/renewal")).main.text


async def test_a_steward_declines_with_a_reason_that_the_member_reads(site: Site) -> None:
    await site.account("anna")
    site.house.clock.advance(340 * DAY)
    anna, rita = await site.log_in("anna"), await steward(site)
    await anna.submit(await anna.get("/renewal"), "/renewal", {"holds": "yes"})
    calendar = await rita.get("/admin/calendar")
    refused = await rita.submit(calendar, "/admin/calendar/anna/decline")
    assert refused.status == 400 and "they read this" in refused.main.text
    await rita.submit(refused, "/admin/calendar/anna/decline", {"reason": "Not in the register."})
    page = await anna.get("/renewal")
    assert "Not in the register." in page.main.text
    assert page.form("/renewal")


async def test_the_calendar_exists_for_stewards_only(site: Site) -> None:
    anna = await site.signed_in("anna")
    assert (await anna.get("/admin/calendar")).status == 404
    csrf = (await anna.get("/settings")).root.one("input", name="csrf").attrs["value"]
    answer = await anna.post("/admin/calendar/anna/renew", {"csrf": csrf, "credential": "x"})
    assert answer.status == 404
    rita = await steward(site)
    page = await rita.get("/admin/calendar")
    assert "anna" in page.main.text and "not due" in page.main.text
    assert not page.main.all("form", action="/admin/calendar/anna/renew")
    # She is staff and reads no cases, but sees what she decides on.
    href = page.main.one("tbody").one("a").attrs["href"]
    assert (await rita.get(href)).root.one("h1").text.startswith("Verified physician")


async def test_who_is_not_verified_has_nothing_to_renew(site: Site) -> None:
    await site.house.sign_up("nora")
    nora = await site.log_in("nora")
    assert "nothing to renew" in (await nora.get("/renewal")).main.text
    answer = await nora.submit(await nora.get("/settings"), "/settings")
    csrf = answer.root.one("input", name="csrf").attrs["value"]
    page = await nora.post("/renewal", {"csrf": csrf, "holds": "yes"})
    assert page.status == 409


MARK = "Was verified when this was written; not verified since"


async def test_what_somebody_wrote_while_verified_says_so_afterwards(site: Site) -> None:
    case = await site.case("anna")
    bela = await site.signed_in("bela")
    assert MARK not in (await bela.get(f"/cases/{case.id}")).main.text
    site.house.clock.advance(40 * DAY)
    await site.house.lifetimes.revoke("anna", reason="licence lapsed", by="operator")
    bela = await site.log_in("bela")
    page = await bela.get(f"/cases/{case.id}")
    assert page.status == 200
    assert f"{MARK} October 2026." in page.main.text
    for path in ("/?show=all", "/@anna"):
        assert MARK in (await bela.get(path)).main.text, path
    # Given back: nothing is said of it any more, and what was written in between stays unmarked.
    site.house.clock.advance(DAY)
    await site.house.lifetimes.give_back("anna", by="operator")
    assert MARK not in (await bela.get(f"/cases/{case.id}")).main.text


async def test_what_a_suspended_member_wrote_is_hidden_until_they_are_back(site: Site) -> None:
    case = await site.case("anna")
    bela = await site.signed_in("bela")
    await site.house.accounts.suspend("anna", reason="inquiry", by="operator")
    assert (await bela.get(f"/cases/{case.id}")).status == 404
    await site.house.accounts.restore("anna", by="operator")
    page = await bela.get(f"/cases/{case.id}")
    assert page.status == 200 and MARK not in page.main.text


async def test_a_post_of_somebody_never_verified_says_nothing_of_the_kind(site: Site) -> None:
    await site.trust.allow("plain.example", require_credential=False, by="operator")
    otto = await site.colleague("otto", "plain.example")
    post = await site.receive(otto, "Hello")
    bela = await site.signed_in("bela")
    assert MARK not in (await bela.get(f"/cases/{post.id}")).main.text
