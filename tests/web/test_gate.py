"""Nothing gets past the gate that did not come from one of our own pages."""

import random

import pytest

from fedidoc.web import gate
from tests.house import PASSWORD
from tests.web.conftest import Site

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("path", ["/", "/log-in", "/help", "/nothing", "/cases/1", "/theme.css"])
async def test_every_answer_carries_the_headers(site: Site, path: str) -> None:
    page = await site.browser().get(path, follow=False)
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in page.headers["permissions-policy"]
    assert page.headers["strict-transport-security"].startswith("max-age=")
    if path != "/theme.css":
        assert page.headers["cache-control"] == "no-store"


async def test_pages_have_no_script_or_style_of_their_own(site: Site) -> None:
    anna = await site.signed_in("anna")
    for path in ("/", "/cases/new", "/settings"):
        page = await anna.get(path)
        for script in page.root.all("script"):
            assert script.attrs["src"].startswith("/static/")
            assert not script.text
        assert not page.root.all("style")
        for node in page.root.walk():
            assert "style" not in node.attrs
            assert not [name for name in node.attrs if name.startswith("on")]


async def test_the_session_cookie_is_bound_to_this_host(site: Site) -> None:
    anna = await site.signed_in("anna")
    line = next(c for c in anna.set_cookies if c.startswith("__Host-session="))
    parts = {part.strip().lower() for part in line.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= parts
    assert not any(part.startswith("domain") for part in parts)


async def test_a_log_in_makes_a_fresh_session(site: Site) -> None:
    """A session planted before the log-in (fixation) is not the one that is signed in after."""
    browser = site.browser()
    await site.house.verified("anna")
    browser.cookies["__Host-session"] = "planted" * 6
    page = await browser.get("/log-in")
    await browser.submit(page, "/log-in", {"username": "anna", "password": PASSWORD})
    assert browser.cookies["__Host-session"] != "planted" * 6
    assert (await browser.get("/settings")).status == 200


async def test_a_form_without_its_token_does_nothing(site: Site) -> None:
    anna = await site.signed_in("anna")
    for fields in ({"name": "Changed"}, {"name": "Changed", "csrf": "wrong"}):
        page = await anna.post("/settings", fields)
        assert page.status == 403
    assert (await site.profile("anna")).name == "Anna"


async def test_a_form_from_another_site_does_nothing(site: Site) -> None:
    anna = await site.signed_in("anna")
    page = await anna.get("/settings")
    token = page.form("/settings").one("input", name="csrf").attrs["value"]
    fields = {"csrf": token, "name": "Changed"}
    for headers in (
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"},
        {"Origin": "null", "Sec_Fetch_Site": "same-origin"},
        {"Origin": "https://st-olaf.example.evil.example", "Sec_Fetch_Site": "same-origin"},
        {"Origin": site.origin, "Sec_Fetch_Site": "cross-site"},
        {"Origin": site.origin, "Sec_Fetch_Site": "same-site"},
    ):
        assert (await anna.post("/settings", fields, **headers)).status == 403
    assert (await site.profile("anna")).name == "Anna"
    assert (await anna.post("/settings", fields, Origin=site.origin)).status == 200
    assert (await site.profile("anna")).name == "Changed"


async def test_another_members_token_does_not_fit(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    stolen = (await bela.get("/settings")).form("/settings").one("input", name="csrf")
    page = await anna.post("/settings", {"csrf": stolen.attrs["value"], "name": "Changed"})
    assert page.status == 403
    assert (await site.profile("anna")).name == "Anna"


async def test_a_log_in_cannot_be_forged(site: Site) -> None:
    """Log-in CSRF: signing somebody in as the attacker, from a page of the attacker's."""
    await site.house.verified("anna")
    fields = {"username": "anna", "password": PASSWORD}
    victim = site.browser()
    assert (await victim.post("/log-in", fields)).status == 403
    assert (await victim.post("/log-in", {**fields, "csrf": ""})).status == 403
    await victim.get("/log-in")
    assert (await victim.post("/log-in", {**fields, "csrf": "guess"})).status == 403
    assert "__Host-session" not in victim.cookies


async def test_reading_never_changes_anything(site: Site) -> None:
    """Forms are posted; an address that somebody is made to open does nothing."""
    anna = await site.signed_in("anna")
    for path in ("/log-out", "/follow", "/drafts/save", "/drafts/discard"):
        page = await anna.get(path)
        assert page.status == 405
        assert page.headers["allow"]
    assert (await anna.get("/settings")).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
        "https://evil.example", "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example",
        " //evil.example", "evil.example", "/a\\..\\evil", "/x\x00y", "http:evil.example", "",
    ],
)  # fmt: skip
def test_no_open_redirect(target: str) -> None:
    assert gate.own_path(target) == "/"


@pytest.mark.parametrize("target", ["/", "/cases/1?answer=2#p-3", "/@ines@society.example"])
def test_own_paths_are_followed(target: str) -> None:
    assert gate.own_path(target) == target


async def test_log_in_goes_on_to_our_own_pages_only(site: Site) -> None:
    await site.house.verified("anna")
    for onward, expected in (
        ("//evil.example", "/"), ("https://evil.example/x", "/"), ("/settings", "/settings"),
    ):  # fmt: skip
        browser = site.browser()
        page = await browser.get("/log-in")
        changes = {"username": "anna", "password": PASSWORD, "next": onward}
        after = await browser.submit(page, "/log-in", changes, follow=False)
        assert (after.status, after.headers["location"]) == (303, expected)


async def test_a_page_that_needs_a_log_in_comes_back_to_itself(site: Site) -> None:
    await site.house.verified("anna")
    browser = site.browser()
    page = await browser.get("/find?q=bela")
    assert page.path.startswith("/log-in")
    after = await browser.submit(page, "/log-in", {"username": "anna", "password": PASSWORD})
    assert after.path == "/find?q=bela"


async def test_bodies_are_small_unless_pictures_are_sent(site: Site) -> None:
    large = {"name": "x" * (gate.SMALL_BODY + 1)}
    assert (await site.browser().post("/log-in", large)).status == 413
    anna = await site.signed_in("anna")
    assert (await anna.post("/settings", large)).status == 413
    assert (await site.browser().post("/cases/new", large)).status == 413


async def test_a_path_that_no_database_takes_is_not_found(site: Site) -> None:
    anna = await site.signed_in("anna")
    for path in ("/cases/%00", "/@a%00b", "/find?q=%00", "/media/%00"):
        assert (await anna.get(path)).status == 404


async def test_the_callers_address_is_a_proxys_word_only_if_the_proxy_is_trusted(
    site: Site,
) -> None:
    async def seen(client: str, forwarded: str) -> str:
        context = site.app.test_request_context(
            "/", headers={"X-Forwarded-For": forwarded}, scope_base={"client": (client, 1)}
        )
        async with context:
            return gate.address()

    assert await seen("203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert await seen("10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert await seen("10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2") == "198.51.100.1"
    assert await seen("10.0.0.1", "") == "10.0.0.1"


@pytest.mark.parametrize("path", ["/log-in", "/cases/new", "/drafts/save", "/admin/peers"])
async def test_any_bytes_get_a_clear_refusal(site: Site, path: str) -> None:
    chance = random.Random(path)
    browsers = [site.browser(), await site.signed_in("anna")]
    pieces = [
        b"csrf=", b"&", b"=", b"%", b"%ff", b"\x00", b"--b\r\n", b"\r\n\r\n", b"--b--",
        b'Content-Disposition: form-data; name="csrf"', b"\xff\xfe", b"{", b"\xf0\x9f",
    ]  # fmt: skip
    kinds = [
        "", "application/x-www-form-urlencoded", "multipart/form-data", "application/json",
        "multipart/form-data; boundary=b", "multipart/form-data; boundary=\xe9", "text/;=,",
    ]  # fmt: skip
    for number in range(80):
        body = b"".join(chance.choices([*pieces, chance.randbytes(3)], k=chance.randrange(20)))
        page = await browsers[number % 2].send(path, body, chance.choice(kinds))
        assert 400 <= page.status < 500, body
        assert page.root.all("h1")
