"""Colleagues: profiles, badges, finding, following, notices."""

from fedidoc.clinical.text import sanitise
from fedidoc.model import Media
from tests.web.browsing import values_of
from tests.web.conftest import Site


async def test_a_profile_shows_who_verified_whom(site: Site) -> None:
    bela = await site.signed_in("bela")
    await site.house.verified("anna")
    page = await bela.get("/@anna")
    assert page.root.one("h1").text == "Anna"
    aside = page.root.one("aside").text
    assert "Verified physician · Cardiovascular Disease" in aside
    assert site.house.domain in aside
    assert (await bela.get("/@nobody")).status == 404
    assert (await bela.get("/@anna@elsewhere.example")).status == 404


async def test_somebody_unverified_never_wears_a_seal(site: Site) -> None:
    bela = await site.signed_in("bela")
    anna = await site.house.sign_up("anna")
    page = await bela.get(f"/badge/{anna.actor_id}")
    assert page.root.one("h1").text == "Not verified"
    assert "i-seal" not in page.main.one("svg").one("use").attrs["href"]


async def test_following_and_stopping(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    page = await bela.submit(await bela.get("/@anna"), "/follow", {"do": "follow"})
    assert "You follow them now" in page.main.text
    assert "Bela" in (await anna.get("/@anna/followers")).main.text
    assert "Anna" in (await bela.get("/@bela/following")).main.text
    assert "follows you now" in (await anna.get("/notifications")).main.text
    page = await bela.submit(page, "/follow", {"do": "unfollow"})
    assert "Bela" not in (await anna.get("/@anna/followers")).main.text


async def test_a_careful_member_is_asked_before_somebody_follows(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    await anna.submit(await anna.get("/settings"), "/settings", {"approves_follows": "yes"})
    post = await site.case("anna", audience="followers")
    page = await bela.submit(await bela.get("/@anna"), "/follow", {"do": "follow"})
    assert "they decide" in page.main.text
    assert (await bela.get(f"/cases/{post.id}")).status == 404
    page = await anna.get("/requests")
    assert "Bela" in page.main.text
    page = await anna.submit(page, "/requests", {"do": "approve"})
    assert "No request is waiting" in page.main.text
    assert (await bela.get(f"/cases/{post.id}")).status == 200


async def test_a_declined_request_opens_nothing(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    await anna.submit(await anna.get("/settings"), "/settings", {"approves_follows": "yes"})
    post = await site.case("anna", audience="followers")
    await bela.submit(await bela.get("/@anna"), "/follow", {"do": "follow"})
    await anna.submit(await anna.get("/requests"), "/requests", {"do": "decline"})
    assert (await bela.get(f"/cases/{post.id}")).status == 404
    assert not (await anna.get("/@anna/followers")).main.all("li")


async def test_finding_is_for_those_who_let_themselves_be_found(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    page = await bela.get("/settings")
    hide = [(n, v) for n, v in values_of(page.form("/settings")) if n != "discoverable"]
    await bela.post("/settings", hide)
    found = await bela.get("/find?q=ann&specialty=Cardiovascular+Disease")
    assert "@anna@" in found.main.text
    hidden = await anna.get("/find?q=bela")
    assert "@bela@" not in hidden.main.text
    assert "Nobody found" in hidden.main.text
    wrong = await bela.get("/find?q=ann&specialty=Alchemy")
    assert wrong.errors().keys() == {"specialty"}


async def test_a_handle_on_a_server_that_is_not_allowed_says_so(site: Site) -> None:
    bela = await site.signed_in("bela")
    page = await bela.get("/find?q=@ines@society.example")
    assert page.status == 502
    assert "society.example" in page.errors()["q"]
    assert page.main.all("input", value="@ines@society.example")
    page = await bela.get("/find?q=@nobody@st-olaf.example")
    assert page.status == 404
    assert "q" in page.errors()


async def test_what_somebody_says_of_themselves_passes_the_guard_too(site: Site) -> None:
    anna = await site.signed_in("anna")
    page = await anna.submit(
        await anna.get("/settings"), "/settings", {"summary": "Call me: 555-123-4567."}
    )
    assert page.status == 400
    assert page.root.one(id="summary-guard").all("mark")
    assert page.form("/settings").one("textarea").text == "Call me: 555-123-4567."
    page = await anna.submit(page, "/settings", {"summary": "**Hearts**<script>alert(1)</script>"})
    shown = await anna.get("/@anna")
    assert shown.main.one("strong").text == "Hearts"
    assert not shown.main.all("script")


async def test_notices_are_counted_until_they_are_read(site: Site) -> None:
    anna = await site.signed_in("anna")
    await site.signed_in("bela")
    post = await site.case("anna")
    await anna.get("/notifications")
    await site.answer("bela", post, "Tracer first.")
    counted = (await anna.get("/")).root.one("nav").all("span", class_="count")
    assert counted[0].text.startswith("1")
    page = await anna.get("/notifications")
    assert "Tracer first." in page.main.text
    assert page.main.all("li", class_="fresh")
    assert not (await anna.get("/")).root.one("nav").all("span", class_="count")


async def test_a_notice_does_not_show_what_may_no_longer_be_read(site: Site) -> None:
    anna = await site.signed_in("anna")
    await site.trust.allow("society.example", by="operator")
    ines = await site.colleague("ines", "society.example")
    post = await site.case("anna")
    await site.receive(ines, "Cardiac magnet first", in_reply_to=post.uri)
    assert "Cardiac magnet first" in (await anna.get("/notifications")).main.text
    await site.trust.block("society.example", by="operator")
    page = await anna.get("/notifications")
    assert page.status == 200
    assert "Cardiac magnet first" not in page.html
    assert "Cardiac magnet first" not in (await anna.get(f"/cases/{post.id}")).html


async def test_somebody_from_another_server_is_shown_as_such(site: Site) -> None:
    anna = await site.signed_in("anna")
    await site.trust.allow("society.example", by="operator")
    summary = "<p onclick=alert(1)>Joints<script>alert(1)</script><img src=//evil.example/x></p>"
    ines = await site.colleague("ines", "society.example", summary_html=sanitise(summary))
    page = await anna.get("/@ines@society.example")
    assert page.root.one("h1").text == "Ines"
    assert "Not verified" in page.main.text
    assert page.main.one("a", href="https://society.example/@ines").attrs["rel"]
    assert not page.main.all("script", "img")
    assert (await anna.get("/@ines")).status == 404
    badge = await anna.get(f"/badge/{ines.id}")
    assert "No credential was presented." in badge.main.text


async def test_what_another_server_sent_is_only_shown_harmless(site: Site) -> None:
    anna = await site.signed_in("anna")
    await site.trust.allow("society.example", by="operator")
    ines = await site.colleague("ines", "society.example", url="javascript:alert(1)")
    picture = Media("m1", "A <hand>", "image/png", 10, 10, None, "https://society.example/x.png")
    html = (
        "<p>Look <a href='javascript:alert(1)'>here</a> <a href='https://a.example/'>there</a>"
        "</p><script>alert(1)</script><iframe src='//evil.example'></iframe>"
        "<form action='//evil.example'><input name=password></form></article></main>"
    )
    post = await site.receive(ines, "note", html=html, media=(picture,), url="javascript:alert(1)")
    page = await anna.get(f"/cases/{post.id}")
    assert page.status == 200
    assert not page.faults
    assert not page.main.all("script", "iframe")
    # Thanking, passing on and answering are ours; the form that was sent is not there.
    actions = [node.attrs["action"].removeprefix("/cases/") for node in page.main.all("form")]
    assert actions == [f"{post.id}/like", f"{post.id}/announce", f"{post.id}/answer"]
    links = [node.attrs.get("href", "") for node in page.main.all("a")]
    assert "https://a.example/" in links
    assert not [link for link in links if link.startswith("javascript")]
    # A picture that is elsewhere is not fetched by the reader's browser.
    assert not page.main.all("img")
    assert "A <hand>" in page.main.text
    profile = await anna.get("/@ines@society.example")
    assert not [n for n in profile.main.all("a") if n.attrs["href"].startswith("javascript")]
