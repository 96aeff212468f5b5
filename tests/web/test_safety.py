"""Blocking, reporting and moving, on pages."""

from __future__ import annotations

from fedidoc.storage import people
from fedidoc.web.words import REPORTS
from tests.web.browsing import Browser, values_of
from tests.web.conftest import Site


async def steward(site: Site) -> Browser:
    account = await site.account("sam")
    async with site.house.db.transaction() as tx:
        await people.set_admin(tx, account.id, True)
    return await site.log_in("sam")


async def test_blocking_hides_their_words_and_is_taken_back(site: Site) -> None:
    bela = await site.signed_in("bela")
    post = await site.case("anna")
    assert (await bela.get(f"/cases/{post.id}")).status == 200
    page = await bela.submit(await bela.get("/@anna"), "/block", {"do": "block"})
    assert "You block Anna" in page.main.text
    assert (await bela.get(f"/cases/{post.id}")).status == 404
    assert post.title not in (await bela.get("/")).main.text
    page = await bela.get("/settings/blocked")
    assert "@anna@" in page.main.text
    page = await bela.submit(page, "/block", {"do": "unblock"})
    assert "Nobody" in page.main.text
    assert (await bela.get(f"/cases/{post.id}")).status == 200


async def test_a_blocked_colleague_keeps_the_text_they_could_not_send(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    post = await site.case("anna")
    page = await bela.get(f"/cases/{post.id}")
    await anna.submit(await anna.get("/@bela"), "/block", {"do": "block"})
    answered = await bela.submit(
        page, f"/cases/{post.id}/answer", {"text": "Bone tracer first.", "action": "publish"}
    )
    assert answered.status == 400
    assert "one of you two blocked the other" in answered.root.text
    assert "Bone tracer first." in answered.main.one("textarea", id="text").text
    assert len(await site.posts()) == 1


async def test_a_report_reaches_the_stewards_alone(site: Site) -> None:
    bela = await site.signed_in("bela")
    post = await site.case("anna")
    page = await bela.get(f"/report/post/{post.id}")
    refused = await bela.submit(page, f"/report/post/{post.id}", {"words": "See the picture."})
    assert refused.status == 400 and "reason" in refused.errors()
    assert "See the picture." in refused.root.text
    sent = await bela.submit(
        refused, f"/report/post/{post.id}", {"reason": "patient", "words": "See the picture."}
    )
    assert "The stewards have your report" in sent.main.text
    assert (await bela.get("/admin/reports")).status == 404
    sam = await steward(site)
    page = await sam.get("/admin/reports")
    assert REPORTS_PATIENT in page.main.text and "@bela@" in page.main.text
    link = next(a.attrs["href"] for a in page.main.all("a") if "/admin/reports/" in a.attrs["href"])
    page = await sam.get(link)
    assert "See the picture." in page.main.text and post.title in page.main.text
    assert (await bela.get(link)).status == 404
    done = await sam.submit(page, link, {"do": "remove"})
    assert "settled" in done.main.text
    assert await site.posts() == []
    assert REPORTS_PATIENT in (await sam.get("/admin/reports?state=acted")).main.text
    again = await sam.submit(page, link, {"do": "dismiss"})
    assert again.status == 409 and "decided on this report meanwhile" in again.root.text


REPORTS_PATIENT = next(words for reason, (words, _) in REPORTS.items() if reason.value == "patient")


async def test_what_one_may_not_read_one_cannot_report(site: Site) -> None:
    bela = await site.signed_in("bela")
    post = await site.case("anna", audience="followers")
    assert (await bela.get(f"/report/post/{post.id}")).status == 404
    anna = await site.profile("anna")
    bela_actor = await site.profile("bela")
    assert (await bela.get(f"/report/person/{anna.id}")).status == 200
    page = await bela.get(f"/report/person/{anna.id}")
    sent = dict(values_of(page.form(f"/report/person/{anna.id}"))) | {"reason": "other"}
    mine = await bela.post(f"/report/person/{bela_actor.id}", sent)
    assert mine.status == 404


async def test_moving_asks_for_the_password_and_a_reachable_account(site: Site) -> None:
    anna = await site.signed_in("anna")
    page = await anna.get("/settings/moving")
    refused = await anna.submit(page, "/settings/moving/aliases", {"old": ""})
    assert refused.errors().keys() == {"old"}
    refused = await anna.submit(
        page, "/settings/moving/aliases", {"old": "@anna@elsewhere.example"}
    )
    assert "not a server this one federates with" in refused.errors()["old"]
    refused = await anna.submit(
        page, "/settings/moving/away", {"target": "@anna@elsewhere.example", "password": "x"}
    )
    assert refused.errors().keys() == {"password"}
    right = site.credentials("anna")["password"]
    refused = await anna.submit(
        page, "/settings/moving/away", {"target": "not a handle", "password": right}
    )
    assert refused.status == 400 and refused.errors().keys() == {"target"}


async def test_who_has_no_password_says_that_they_are_sure(site: Site) -> None:
    """Those whom an identity provider brought."""
    anna = await site.signed_in("anna")
    async with site.house.db.transaction() as tx:
        await tx.execute("UPDATE accounts SET password_hash = '' WHERE username = 'anna'")
    page = await anna.get("/settings/moving")
    action = "/settings/moving/away"
    refused = await anna.submit(page, action, {"target": "@anna@elsewhere.example"})
    assert refused.errors().keys() == {"sure"}
    refused = await anna.submit(page, action, {"target": "@anna@elsewhere.example", "sure": "yes"})
    assert refused.errors().keys() == {"target"}
