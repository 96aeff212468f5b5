"""From the application to the decision, by two people at their browsers."""

from fedidoc.config import LevelRules
from fedidoc.model import Standing
from fedidoc.verification.policy import Policy
from tests.web.conftest import Site

CLAIM = {
    "legal_name": "Anna Berg",
    "profession": "physician",
    "specialty": "Cardiovascular Disease",
    "jurisdiction": "US-NY",
    "licence_number": "MD-778899",
    "npi": "1234567893",
}


async def test_an_npi_with_a_slip_is_noticed_beside_its_field(site: Site) -> None:
    await site.house.sign_up("anna")
    anna = await site.log_in("anna")
    page = await anna.submit(await anna.get("/apply"), "/apply", {**CLAIM, "npi": "1234567890"})
    assert page.status == 400
    assert page.errors().keys() == {"npi"}
    assert "check digit" in page.errors()["npi"]
    assert page.form("/apply").one("input", name="npi").attrs["value"] == "1234567890"
    assert page.form("/apply").one("input", name="licence_number").attrs["value"] == "MD-778899"


async def test_a_member_applies_and_a_reviewer_approves(site: Site) -> None:
    await site.house.sign_up("anna")
    await site.house.admin("rita")
    anna, rita = await site.log_in("anna"), await site.log_in("rita")
    page = await anna.submit(await anna.get("/apply"), "/apply", CLAIM)
    assert page.path.startswith("/application")
    assert "with the reviewers" in page.main.text

    queue = await rita.get("/")
    assert queue.path == "/admin/reviews"  # staff have no cases to read
    desk = await rita.get(queue.main.one("th", scope="row").one("a").attrs["href"])
    assert "MD-778899" in desk.main.text
    action = next(
        form.attrs["action"]
        for form in desk.root.all("form")
        if form.attrs["action"].endswith("/approve")
    )
    refused = await rita.submit(desk, action, {"approval": ""})
    assert refused.status == 400
    assert refused.errors().keys() == {"approval"}
    refused = await rita.submit(desk, action, {"approval": "Nothing in particular."})
    assert refused.errors().keys() == {"kinds"}
    done = await rita.submit(
        refused, action, {"kinds": "employer", "approval": "Called the medical office."}
    )
    assert "Approved" in done.main.text
    assert (await site.house.accounts.show("anna")).standing is Standing.VERIFIED
    assert (await anna.get("/")).status == 200
    badge = await anna.get(f"/badge/{(await site.house.accounts.show('anna')).actor_id}")
    assert "Verified physician · Cardiovascular Disease" in badge.root.one("h1").text
    assert "employer" in badge.main.text
    assert "MD-778899" not in badge.html
    assert "1234567893" not in badge.html


async def test_a_refusal_has_a_reason_and_another_try(site: Site) -> None:
    await site.house.sign_up("anna")
    await site.house.admin("rita")
    anna, rita = await site.log_in("anna"), await site.log_in("rita")
    await anna.submit(await anna.get("/apply"), "/apply", CLAIM)
    queue = await rita.get("/admin/reviews")
    path = queue.main.one("th", scope="row").one("a").attrs["href"]
    desk = await rita.get(path)
    assert (await rita.submit(desk, f"{path}/refuse")).errors().keys() == {"refusal"}
    await rita.submit(desk, f"{path}/refuse", {"refusal": "The number is <b>somebody else's</b>."})
    told = await anna.get("/application")
    assert "The number is <b>somebody else's</b>." in told.main.text
    assert told.main.one("a", href="/apply").text == "Apply again"
    assert (await anna.get("/cases/new")).status == 403


async def test_the_page_says_what_a_level_allows_and_when_it_has_ended(site: Site) -> None:
    house = site.house
    anna = await site.signed_in("anna")
    page = await anna.get("/application")
    assert "Your level here, “verified”, lets you read cases, answer, open cases" in page.main.text
    house.use_policy(Policy.of({"x": LevelRules(("physician",), ("employer",), ("read",))}))
    await house.review.standings.follow_policy()
    page = await anna.get("/application")
    assert "give your evidence no level" in page.main.text
    assert not page.main.all("a", href="/")
    account = await house.accounts.show("anna")
    async with house.db.transaction() as tx:
        assert not await house.review.settle(tx, account.id, "test")
    page = await anna.get("/application")
    assert "Your verification has ended" in page.main.text
    assert page.main.one("a", href="/apply")


async def test_who_is_suspended_is_told_whom_to_ask(site: Site) -> None:
    await site.account("anna")
    await site.house.accounts.suspend("anna", reason="a secret reason", by="operator")
    browser = site.browser()
    page = await browser.get("/log-in")
    page = await browser.submit(page, "/log-in", site.credentials("anna"))
    assert "suspended until it is restored" in page.main.text
    assert "the people who run St. Olaf Hospital" in page.main.text
    assert "a secret reason" not in page.html


async def test_a_question_is_answered_with_the_form_as_it_was(site: Site) -> None:
    await site.house.sign_up("anna")
    await site.house.admin("rita")
    anna, rita = await site.log_in("anna"), await site.log_in("rita")
    await anna.submit(await anna.get("/apply"), "/apply", CLAIM)
    path = (await rita.get("/admin/reviews")).main.one("th", scope="row").one("a").attrs["href"]
    await rita.submit(await rita.get(path), f"{path}/ask", {"asking": "Which hospital?"})
    assert "Which hospital?" in (await anna.get("/application")).main.text
    form = await anna.get("/apply")
    assert form.form("/apply").one("input", name="licence_number").attrs["value"] == "MD-778899"
    await anna.submit(form, "/apply", {"note": "St. Olaf, ward 3"})
    assert "St. Olaf, ward 3" in (await rita.get(path)).main.text


async def test_only_those_who_run_the_instance_review(site: Site) -> None:
    await site.house.sign_up("anna")
    anna = await site.log_in("anna")
    await anna.submit(await anna.get("/apply"), "/apply", CLAIM)
    own = await site.house.review.current(await site.house.accounts.show("anna"))
    assert own is not None
    page = await anna.get("/application")
    token = page.root.one("input", name="csrf").attrs["value"]
    for what in ("approve", "refuse", "ask"):
        fields = {
            "csrf": token,
            "kinds": "employer",
            "approval": "x",
            "refusal": "x",
            "asking": "x",
        }
        assert (await anna.post(f"/admin/reviews/{own.id}/{what}", fields)).status == 404
    assert (await site.house.accounts.show("anna")).standing is Standing.APPLIED


async def test_an_expired_session_keeps_what_was_typed(site: Site) -> None:
    """The text comes back as a draft after the log-in, and nothing is done before."""
    await site.house.sign_up("anna")
    anna = await site.log_in("anna")
    page = await anna.get("/apply")
    await site.house.accounts.log_out(anna.cookies["__Host-session"])
    page = await anna.submit(page, "/apply", CLAIM)
    assert page.status == 401
    assert "Nothing is lost" in page.main.text
    page = await anna.submit(page, "/log-in", site.credentials("anna"))
    assert page.path.startswith("/apply")
    assert page.form("/apply").one("input", name="licence_number").attrs["value"] == "MD-778899"
    assert (await site.house.accounts.show("anna")).standing is Standing.NEW
