"""Making an account, logging in and out; what was typed stays, except passwords."""

from tests.house import PASSWORD
from tests.web.conftest import Site

PERSON = {
    "name": "Anna Berg",
    "username": "anna",
    "email": "anna@mail.example",
    "password": "slow rivers at noon",
    "role": "physician",
    "specialty": "Cardiovascular Disease",
}


async def test_signing_up_leads_to_the_verification(site: Site) -> None:
    browser = site.browser()
    page = await browser.submit(await browser.get("/sign-up"), "/sign-up", PERSON)
    assert page.status == 200
    assert page.path.startswith("/application")
    assert page.main.one("a", href="/apply").text == "Send your licence"
    # Signed in, but nothing clinical is open: neither its pages nor whether a case exists.
    assert (await browser.get("/")).path.startswith("/application")
    for path in ("/cases/new", "/cases/unknown", "/find", "/notifications", "/@anna"):
        assert (await browser.get(path)).status == 403
    for path in ("/admin/reviews", "/admin/peers", "/admin/reviews/unknown"):
        assert (await browser.get(path)).status == 404


async def test_a_refused_form_keeps_what_was_typed_but_no_password(site: Site) -> None:
    browser = site.browser()
    wrong = {**PERSON, "username": "x!", "specialty": "Alchemy", "password": "uncommon secret 9"}
    page = await browser.submit(await browser.get("/sign-up"), "/sign-up", wrong)
    assert page.status == 400
    assert page.title.startswith("Error: ")
    assert "specialty" in page.errors()
    form = page.form("/sign-up")
    assert form.one("input", name="name").attrs["value"] == "Anna Berg"
    assert form.one("input", name="username").attrs["value"] == "x!"
    assert form.one("option", value="physician").attrs.get("selected") is not None
    assert "uncommon secret 9" not in page.html


async def test_an_error_stands_beside_its_field_and_is_read_with_it(site: Site) -> None:
    browser = site.browser()
    page = await browser.submit(
        await browser.get("/sign-up"), "/sign-up", {**PERSON, "username": "x!"}
    )
    assert page.errors().keys() == {"username"}
    field = page.form("/sign-up").one("input", name="username")
    assert field.attrs["aria-invalid"] == "true"
    described = field.attrs["aria-describedby"].split()
    assert "username-wrong" in described
    assert "2 to 30 letters" in page.root.one(id="username-wrong").text


async def test_a_role_that_is_not_offered_is_refused(site: Site) -> None:
    browser = site.browser()
    for role in ("staff", "student", "king", ""):
        page = await browser.submit(
            await browser.get("/sign-up"), "/sign-up", {**PERSON, "role": role}
        )
        assert page.status == 400
        assert "role" in page.errors()


async def test_a_closed_instance_takes_nobody(site: Site) -> None:
    closed = site.rebuilt(open_membership=False)
    browser = closed.browser()
    assert "Make an account" not in (await browser.get("/")).html
    assert (await browser.get("/sign-up")).status == 403
    await browser.get("/log-in")
    token = browser.cookies["__Host-visit"]
    assert (await browser.post("/sign-up", {**PERSON, "csrf": token})).status == 403


async def test_a_wrong_password_and_a_wrong_name_look_alike(site: Site) -> None:
    await site.house.verified("anna")
    answers = []
    for username in ("anna", "nobody"):
        browser = site.browser()
        page = await browser.submit(
            await browser.get("/log-in"), "/log-in", {"username": username, "password": "wrong one"}
        )
        assert page.status == 401
        assert "__Host-session" not in browser.cookies
        answers.append(page.errors())
    assert answers[0] == answers[1] != {}


async def test_too_many_tries_are_told_to_wait(site: Site) -> None:
    browser = site.browser()
    page = await browser.get("/log-in")
    for _ in range(11):
        page = await browser.submit(page, "/log-in", {"username": "anna", "password": "wrong one"})
    assert page.status == 429
    assert "try again in" in " ".join(page.errors().values())


async def test_logging_out_ends_the_session_itself(site: Site) -> None:
    anna = await site.signed_in("anna")
    kept = anna.cookies["__Host-session"]
    page = await anna.submit(await anna.get("/settings"), "/log-out", follow=False)
    assert page.status == 303
    assert '"cookies"' in page.headers["clear-site-data"]
    assert "__Host-session" not in anna.cookies
    anna.cookies["__Host-session"] = kept
    assert (await anna.get("/settings")).path.startswith("/log-in")


async def test_a_new_password_ends_the_other_sessions(site: Site) -> None:
    anna, elsewhere = await site.signed_in("anna"), await site.signed_in("anna")
    wrong = {"old_password": "not it", "new_password": "slow rivers at noon"}
    page = await anna.submit(await anna.get("/settings"), "/settings/password", wrong)
    assert page.errors().keys() == {"old_password"}
    page = await anna.submit(page, "/settings/password", {**wrong, "old_password": PASSWORD})
    assert "password is changed" in page.main.text
    assert (await elsewhere.get("/settings")).path.startswith("/log-in")
    assert (await anna.get("/settings")).status == 200


async def test_a_suspended_member_is_out_at_once(site: Site) -> None:
    anna = await site.signed_in("anna")
    await site.house.accounts.suspend("anna", reason="for a test", by="operator")
    assert (await anna.get("/")).root.all("a", href="/log-in")
    assert (await anna.get("/settings")).path.startswith("/log-in")


async def test_settings_list_where_one_is_logged_in_and_end_the_rest(site: Site) -> None:
    anna = await site.signed_in("anna")
    elsewhere = await site.log_in("anna")
    page = await anna.get("/settings")
    assert page.main.text.count("(this one)") == 1
    page = await anna.submit(page, "/settings/sessions")
    assert "logged out everywhere else" in page.main.text
    assert (await elsewhere.get("/settings")).path.startswith("/log-in")
    page = await anna.get("/settings")
    assert page.status == 200
    assert not page.root.all("form", action="/settings/sessions")


async def test_nobody_ends_the_sessions_of_another(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    await site.log_in("bela")
    await bela.submit(await bela.get("/settings"), "/settings/sessions")
    assert (await anna.get("/settings")).path == "/settings"
