"""The provider's door on pages: the button, linking, the operator's links, leaving, refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from fedidoc.accounts.passes import Purpose
from fedidoc.web.pages import create_pages
from tests.accounts.issuer import Issuer
from tests.accounts.test_sign_in import ANNA, Door
from tests.house import PASSWORD
from tests.web.browsing import Browser, Shown
from tests.web.conftest import Site


@dataclass
class Front:
    """A site with a provider; `come` takes a browser through it."""

    site: Site
    door: Door

    def browser(self) -> Browser:
        return self.site.browser()

    async def leave(self, browser: Browser, path: str = "/log-in/provider") -> str:
        """Begin to sign in; where the browser is sent."""
        shown = await browser.get(path, follow=False)
        assert shown.status == 303
        return shown.headers["location"]

    async def back(self, browser: Browser, url: str, subject: str = "sub-1", **said: Any) -> Shown:
        answer = self.door.issuer.authorize(url, subject, **{**ANNA, **said})
        return await self.answer(browser, answer)

    async def answer(self, browser: Browser, answer: dict[str, str]) -> Shown:
        return await browser.get(f"/log-in/provider/return?{urlencode(answer)}")

    async def come(self, browser: Browser, subject: str = "sub-1", **said: Any) -> Shown:
        return await self.back(browser, await self.leave(browser), subject, **said)


async def _front(site: Site, **rules: Any) -> AsyncIterator[Front]:
    async with Issuer(site.house.clock) as issuer:
        door = Door(site.house, issuer, **rules)
        services = replace(
            site.services,
            config=replace(site.services.config, identity_provider=door.rules),
            accounts=door.accounts,
            passes=door.passes,
            sign_in=door.sign_in,
            review=door.review,
        )
        yield Front(Site(site.house, services, create_pages(services)), door)
        await door.close()


@pytest.fixture
async def front(site: Site) -> AsyncIterator[Front]:
    async for made in _front(site):
        yield made


@pytest.fixture
async def only(site: Site) -> AsyncIterator[Front]:
    """Nobody signs in in another way."""
    async for made in _front(site, only=True):
        yield made


async def test_the_button_leads_to_the_provider_and_back_as_a_verified_member(
    front: Front,
) -> None:
    browser = front.browser()
    page = await browser.get("/log-in?next=/notifications")
    button = page.main.one("a", href="/log-in/provider?next=/notifications")
    assert button.text == "Log in with St. Olaf Login"
    url = await front.leave(browser, button.attrs["href"])
    assert url.startswith(front.door.issuer.url + "/authorize?")
    cookie = next(c for c in browser.set_cookies if "sign-in" in c)
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"):
        assert part in cookie
    shown = await front.back(browser, url)
    assert (shown.status, shown.path) == (200, "/?said=enrolled")
    assert not any("sign-in" in name for name in browser.cookies)
    again = front.browser()
    url = await front.leave(again, "/log-in/provider?next=/notifications")
    assert (await front.back(again, url)).path == "/notifications"


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
async def test_a_sign_in_ends_on_this_site(front: Front, onward: str) -> None:
    await front.come(front.browser())
    browser = front.browser()
    url = await front.leave(browser, f"/log-in/provider?{urlencode({'next': onward})}")
    assert (await front.back(browser, url)).path == "/"


async def test_an_answer_in_another_browser_signs_nobody_in(front: Front) -> None:
    victim, thief = front.browser(), front.browser()
    url = await front.leave(thief)
    answer = front.door.issuer.authorize(url, **ANNA)
    for browser in (victim, front.browser()):
        await front.leave(browser)
        shown = await front.answer(browser, answer)
        assert shown.status == 403
        assert "belongs to no sign-in that this browser began" in shown.main.text
        assert (await browser.get("/settings")).path.startswith("/log-in")
    assert (await front.answer(thief, answer)).status == 200
    replayed = await front.answer(thief, answer)
    assert replayed.status == 403


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ({"error": "access_denied"}, 400, "cancelled"),
        ({"error": "server_error"}, 502, "could not sign you in"),
        ({"error": "<script>alert(1)</script>", "error_description": "<b>x</b>"}, 502, "provider"),
        ({"iss": "https://evil.example", "code": "c"}, 403, "could not be trusted"),
        ({}, 502, "could not sign you in"),
    ],
    ids=["cancelled", "error", "script", "mix-up", "nothing"],
)
async def test_a_refusal_is_a_page_that_says_what_to_do(
    front: Front, answer: dict[str, str], status: int, words: str
) -> None:
    browser = front.browser()
    given = front.door.issuer.authorize(await front.leave(browser), **ANNA)
    sent = {"state": given["state"], "iss": given["iss"], **answer}
    shown = await front.answer(browser, sent)
    assert (shown.status, shown.faults) == (status, [])
    assert words in shown.main.text
    assert "script" not in shown.main.text and "<b>x" not in shown.html
    assert shown.main.one("a", href="/log-in")


async def test_a_parameter_that_comes_twice_or_too_long_is_not_taken(front: Front) -> None:
    browser = front.browser()
    given = front.door.issuer.authorize(await front.leave(browser), **ANNA)
    for query in (f"{urlencode(given)}&state=x", f"{urlencode(given)}&x={'y' * 9000}"):
        assert (await browser.get(f"/log-in/provider/return?{query}")).status == 403
        assert "token" not in front.door.issuer.asked
        await front.leave(browser)


async def test_without_a_provider_there_is_no_door(site: Site) -> None:
    browser = site.browser()
    for path in ("/log-in/provider", "/log-in/provider/return?state=x", "/log-in/provider/left"):
        assert (await browser.get(path)).status == 404
    assert (
        await browser.post("/log-in/provider/back-channel", {"logout_token": "x"})
    ).status == 404
    assert "provider" not in (await browser.get("/log-in")).main.text


async def test_a_provider_that_is_away_is_told(front: Front) -> None:
    await front.door.issuer.__aexit__()
    shown = await front.browser().get("/log-in/provider")
    assert (shown.status, shown.title.startswith("Not signed in")) == (502, True)
    assert "does not answer" in shown.main.text


# Linking ----------------------------------------------------------------------------------------


async def test_a_member_links_and_unlinks_in_the_settings(front: Front) -> None:
    await front.site.house.sign_up("anna")
    browser = await front.site.log_in("anna")
    settings = await browser.get("/settings")
    wrong = await browser.submit(settings, "/settings/login", {"login_password": "not it at all"})
    assert (wrong.status, list(wrong.errors())) == (400, ["login_password"])
    on = await browser.submit(settings, "/settings/login", {"login_password": PASSWORD})
    url = on.main.one("a", class_="button main").attrs["href"]
    done = await front.back(browser, url)
    assert done.path == "/settings?said=linked#signing-in"
    assert "last signed in with it" in done.main.text
    out = await browser.submit(done, "/settings/login/unlink", {"login_password": PASSWORD})
    assert out.path.startswith("/log-in")
    again = await front.site.log_in("anna")
    assert (await again.get("/settings")).main.all("form", action="/settings/login")


async def test_a_login_is_not_linked_to_who_is_logged_in_meanwhile(front: Front) -> None:
    for name in ("anna", "bert"):
        await front.site.house.sign_up(name)
    browser, other = await front.site.log_in("anna"), await front.site.log_in("bert")
    settings = await browser.get("/settings")
    on = await browser.submit(settings, "/settings/login", {"login_password": PASSWORD})
    url = on.main.one("a", class_="button main").attrs["href"]
    browser.cookies["__Host-session"] = other.cookies["__Host-session"]
    shown = await front.back(browser, url)
    assert (shown.status, "Somebody else is logged in" in shown.main.text) == (403, True)


async def test_who_has_no_password_is_offered_neither_to_change_nor_to_unlink(
    front: Front,
) -> None:
    browser = front.browser()
    await front.come(browser)
    settings = await browser.get("/settings")
    assert not settings.main.all("form", action="/settings/login/unlink")
    assert not settings.main.all("form", action="/settings/password")
    assert "You have no password here" in settings.main.text


async def test_forged_requests_link_nothing(front: Front) -> None:
    await front.site.house.sign_up("anna")
    browser = await front.site.log_in("anna")
    for path in ("/settings/login", "/settings/login/unlink"):
        assert (await browser.post(path, {"login_password": PASSWORD})).status == 403
        shown = await browser.post(path, {"login_password": PASSWORD}, Sec_Fetch_Site="cross-site")
        assert shown.status == 403
        assert (await front.browser().post(path, {"login_password": PASSWORD})).status == 401


# Nobody in another way ---------------------------------------------------------------------------


async def test_where_the_provider_is_the_only_way_passwords_are_not_asked_for(only: Front) -> None:
    await only.site.house.sign_up("anna")
    browser = only.browser()
    page = await browser.get("/log-in")
    assert not page.main.all("form")
    assert page.main.one("a", href="/log-in/provider?next=/")
    assert (await browser.get("/sign-up")).status == 403
    assert not (await browser.get("/")).main.all("a", href="/sign-up")
    token = (await browser.get("/help")).headers.get("x") or browser.cookies.get("__Host-visit")
    shown = await browser.post(
        "/log-in", {"csrf": token or "", "username": "anna", "password": PASSWORD}
    )
    assert shown.status in (401, 403)
    assert "__Host-session" not in browser.cookies
    await only.come(browser)
    settings = await browser.get("/settings")
    assert "Everybody here signs in with" in settings.main.text


async def test_what_somebody_was_writing_is_shown_to_be_copied(only: Front) -> None:
    shown = await only.browser().post("/cases/new", {"place": "case", "title": "A long night"})
    assert shown.status == 401
    assert shown.main.one("textarea").text == "A long night"


async def test_the_operators_link_lets_in_once_by_a_button(only: Front) -> None:
    await only.site.house.admin()
    token = await only.door.passes.make("rita", Purpose.ENTER, by="operator")
    browser = only.browser()
    for _ in range(2):  # looking at it uses nothing up
        page = await browser.get(f"/log-in/pass/{token}")
    done = await browser.submit(page, f"/log-in/pass/{token}")
    assert done.path == "/admin/reviews"
    late = only.browser()
    assert (await late.get(f"/log-in/pass/{token}")).status == 404
    assert (await late.get("/log-in/pass/x")).status == 404


async def test_the_operators_link_ties_a_login_to_a_member(only: Front) -> None:
    anna = await only.site.house.sign_up("anna")
    token = await only.door.passes.make("anna", Purpose.LINK, by="operator")
    browser = only.browser()
    page = await browser.get(f"/log-in/pass/{token}")
    on = await browser.submit(page, f"/log-in/pass/{token}")
    url = on.main.one("a", class_="button main").attrs["href"]
    done = await only.back(browser, url)
    assert done.status == 200
    assert (await only.door.sign_in.login(anna)) is not None


# Leaving ----------------------------------------------------------------------------------------


async def test_logging_out_goes_on_to_the_provider_and_comes_back(front: Front) -> None:
    browser = front.browser()
    home = await front.come(browser)
    out = await browser.submit(home, "/log-out")
    assert "__Host-session" not in browser.cookies
    link = out.main.one("a", class_="button main").attrs["href"]
    assert link.startswith(front.door.issuer.url + "/logout?")
    assert link in out.root.one("meta", http_equiv="refresh").attrs["content"]
    state = parse_qs(urlsplit(link).query)["state"][0]
    left = await browser.get(f"/log-in/provider/left?{urlencode({'state': state})}")
    assert "logged out of St. Olaf Login too" in left.main.text
    assert (await browser.get("/log-in/provider/left?state=x")).path == "/"


async def test_a_session_ends_when_the_provider_says_so(front: Front) -> None:
    browser = front.browser()
    await front.come(browser, sid="s-1")
    provider = front.browser()
    path = "/log-in/provider/back-channel"
    for wrong in ({}, {"logout_token": "x"}, {"logout_token": front.door.issuer.logout_token()}):
        assert (await provider.post(path, wrong)).status == 400
    assert (await browser.get("/settings")).path == "/settings"
    token = front.door.issuer.logout_token(sid="s-1")
    twice = urlencode([("logout_token", token), ("logout_token", token)]).encode()
    kind = "application/x-www-form-urlencoded"
    assert (await provider.send(path, twice, kind)).status == 400
    done = await provider.send(path, urlencode({"logout_token": token}).encode(), kind)
    assert (done.status, done.headers["cache-control"]) == (200, "no-store")
    assert (await browser.get("/settings")).path.startswith("/log-in")
    assert (
        await provider.send(path, urlencode({"logout_token": token}).encode(), kind)
    ).status == 400
