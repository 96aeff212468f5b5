"""Every page, for the reader it is for: whole, light, labelled, and usable without sight or script.

What a parser can hold true of WCAG 2.2 is held here; colours are in `test_theme`.
"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from fedidoc.web.pages import create_pages
from tests.web.browsing import Browser, Node, Shown
from tests.web.conftest import Site
from tests.web.test_membership import CLAIM

BLOCKS = {
    "div",
    "form",
    "ul",
    "ol",
    "dl",
    "p",
    "section",
    "article",
    "fieldset",
    "table",
    "h1",
    "h2",
}
# What a browser fills in for people (WCAG 2.2, 1.3.5 and 3.3.8).
PURPOSES = {
    "email": {"email"},
    "username": {"username"},
    "password": {"current-password", "new-password"},
    "old_password": {"current-password"},
    "new_password": {"new-password"},
    "legal_name": {"name"},
}


async def every_page(site: Site) -> dict[str, Shown]:
    """A page of each kind, with something on it."""
    anna, out = await site.signed_in("anna"), site.browser()
    await site.house.admin("rita")
    rita = await site.log_in("rita")
    await site.house.sign_up("cora")
    cora = await site.log_in("cora")
    pages: dict[str, Shown] = {}

    async def look(name: str, browser: Browser, path: str, status: int = 200) -> Shown:
        pages[name] = await browser.get(path)
        assert pages[name].status == status, (name, pages[name].status)
        return pages[name]

    await look("welcome", out, "/")
    await look("log in", out, "/log-in")
    await look("sign up", out, "/sign-up")
    await look("help, signed out", out, "/help")
    await look("not found, signed out", out, "/nothing", 404)
    await look("new member", cora, "/application")
    form = await look("apply", cora, "/apply")
    pages["apply, refused"] = await cora.submit(form, "/apply", {"npi": "1", "specialty": "x"})
    await cora.submit(form, "/apply", CLAIM)
    await look("waiting member", cora, "/application")
    await look("closed to the unverified", cora, "/cases/new", 403)
    await look("home, empty", anna, "/")
    await look("following, empty", anna, "/?show=following")
    await look("notices, empty", anna, "/notifications")
    await look("requests, empty", anna, "/requests")
    post = await site.case("bela")
    answer = await site.answer("anna", post, "Tracer *first*.")
    await site.answer("bela", answer, "Even so?")
    own = await site.case("anna", title="My own")
    await site.answer("bela", own, "Genotype first.")
    await site.follow("anna", "bela")
    await site.follow("bela", "anna")
    for name, path in {
        "home": "/?show=all", "following": "/?show=following", "thread": f"/cases/{post.id}",
        "own thread": f"/cases/{own.id}", "answering": f"/cases/{post.id}?answer={answer.id}",
        "new case": "/cases/new", "edit": f"/cases/{own.id}/edit",
        "edit answer": f"/cases/{answer.id}/edit", "delete": f"/cases/{own.id}/delete",
        "close": f"/cases/{own.id}/close", "profile": "/@bela", "own profile": "/@anna",
        "followers": "/@anna/followers", "following list": "/@anna/following",
        "badge": f"/badge/{post.author.id}", "find": "/find", "found nobody": "/find?q=zz",
        "notices": "/notifications", "settings": "/settings", "help": "/help",
    }.items():  # fmt: skip
        await look(name, anna, path)
    await look("not found", anna, "/cases/nothing", 404)
    pages["held back"] = await anna.submit(
        pages["new case"],
        "/cases/new",
        {"action": "publish", "title": "Mrs Miller", "presentation": "Call 555-123-4567."},
    )
    queue = await look("review queue", rita, "/admin/reviews")
    path = queue.main.one("th", scope="row").one("a").attrs["href"]
    desk = await look("review", rita, path)
    pages["review, refused"] = await rita.submit(desk, f"{path}/refuse")
    await look("approved, empty", rita, "/admin/reviews?state=approved")
    servers = await look("servers, empty", rita, "/admin/peers")
    pages["servers"] = await rita.submit(servers, "/admin/peers", {"host": "society.example"})
    await look("server", rita, "/admin/peers/society.example")
    return pages


@pytest.fixture
async def pages(site: Site) -> dict[str, Shown]:
    return await every_page(site)


def name_of(node: Node) -> str:
    """What a screen reader calls it, roughly."""
    return node.attrs.get("aria-label") or node.text or node.attrs.get("alt", "")


def level(node: Node) -> int:
    return int(node.tag[1])


async def test_every_page_is_sound(pages: dict[str, Shown]) -> None:
    for name, page in pages.items():
        for check in (
            well_formed, light, titled, headings_in_order, landmarks, everything_labelled,
            references_exist, forms_are_ours, nothing_only_by_script,
        ):  # fmt: skip
            try:
                check(page)
            except AssertionError as fault:
                raise AssertionError(f"{name} ({page.path}): {check.__name__}: {fault}") from None


def well_formed(page: Shown) -> None:
    assert page.html.startswith("<!doctype html>")
    assert not page.faults
    ids = [node.attrs["id"] for node in page.root.walk() if "id" in node.attrs]
    assert len(ids) == len(set(ids)), {i for i in ids if ids.count(i) > 1}
    for node in page.root.walk():
        assert not (node.tag in BLOCKS and node.within("p")), f"<{node.tag}> in <p>"
        assert not (node.tag in {"a", "button"} and node.within("a", "button"))
        assert not (node.tag == "form" and node.within("form"))
    assert "{{" not in page.html
    assert "<Macro" not in page.html
    assert "None" not in page.main.text


def light(page: Shown) -> None:
    assert len(page.html.encode()) < 60_000  # with the style sheet and the script: below 100 KB


def titled(page: Shown) -> None:
    assert page.root.one("html").attrs["lang"] == "en"
    assert len(page.title.partition("·")[0].strip()) > 2
    assert page.title.startswith("Error: ") == bool(page.root.all(id="problems"))
    assert "user-scalable" not in page.root.one("meta", name="viewport").attrs["content"]


def headings_in_order(page: Shown) -> None:
    found = [n for n in page.root.walk() if re.fullmatch("h[1-6]", n.tag) and n.text]
    found = [n for n in found if not _in_popover(n)]
    assert [level(n) for n in found].count(1) == 1
    assert level(found[0]) == 1
    for before, after in pairwise(found):
        assert level(after) <= level(before) + 1, (before.text, after.text)


def _in_popover(node: Node) -> bool:
    at: Node | None = node
    while at is not None:
        if "popover" in at.attrs:
            return True
        at = at.parent
    return False


def landmarks(page: Shown) -> None:
    assert len(page.root.all("main")) == 1
    assert len(page.root.all("header", class_="masthead")) == 1
    assert len(page.root.all("footer")) == 1
    for kind in ("nav", "aside"):
        names = [n.attrs.get("aria-label", "") for n in page.root.all(kind)]
        assert all(names), kind
        assert len(names) == len(set(names)), names
    assert len(page.root.all(role="search")) <= 1
    first = page.root.one("body").one("a")
    assert first.attrs["href"] == "#main"
    current = [n for n in page.root.all("a") if n.attrs.get("aria-current") == "page"]
    assert len({n.parent.parent.tag for n in current if n.parent and n.parent.parent}) <= len(
        current
    )


def everything_labelled(page: Shown) -> None:
    labelled = {n.attrs.get("for") for n in page.root.all("label")}
    for node in page.root.all("input", "select", "textarea"):
        kind = node.attrs.get("type")
        if kind == "hidden" or node.attrs.get("aria-hidden") == "true":
            continue
        assert node.attrs.get("id") in labelled or node.within("label"), node.attrs.get("name")
        if kind in {"radio", "checkbox"} and kind == "radio":
            assert node.within("fieldset")
        wanted = PURPOSES.get(node.attrs.get("name", ""))
        assert wanted is None or node.attrs.get("autocomplete") in wanted, node.attrs["name"]
    for label in page.root.all("label"):
        assert label.text
    for node in page.root.all("a", "button"):
        assert name_of(node), node.attrs
    for picture in page.root.all("img"):
        assert picture.attrs["alt"]
        assert picture.attrs["width"]
    for svg in page.root.all("svg"):
        assert svg.attrs.get("aria-hidden") == "true"
    for table in page.root.all("table"):
        assert table.one("caption").text
        assert all(th.attrs.get("scope") in {"row", "col"} for th in table.all("th"))
    for fieldset in page.root.all("fieldset"):
        assert fieldset.one("legend").text
    for time in page.root.all("time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time.attrs["datetime"])


def references_exist(page: Shown) -> None:
    ids = {node.attrs["id"] for node in page.root.walk() if "id" in node.attrs}
    for node in page.root.walk():
        for name in ("aria-describedby", "aria-labelledby", "for", "popovertarget", "list"):
            for target in node.attrs.get(name, "").split():
                assert target in ids, f"{name}={target}"
        if node.tag == "use":
            assert node.attrs["href"].removeprefix("#") in ids, node.attrs["href"]
        if node.tag == "a" and node.attrs.get("href", "").startswith("#"):
            assert node.attrs["href"][1:] in ids, node.attrs["href"]
    for field, text in page.errors().items():
        wrong = page.root.one(id=f"{field}-wrong").text
        assert wrong.removeprefix("Error: ") in text
        described = page.root.one(id=field).attrs["aria-describedby"].split()
        assert f"{field}-wrong" in described


def forms_are_ours(page: Shown) -> None:
    for form in page.root.all("form"):
        assert form.attrs["action"].startswith("/")
        if form.attrs["method"] == "post":
            assert form.one("input", name="csrf").attrs["value"]
            assert form.all("button"), form.attrs["action"]
        else:
            assert not form.all("input", name="csrf")


def nothing_only_by_script(page: Shown) -> None:
    """Every script is a file of ours, is put off until the page is there, and there is only one."""
    scripts = page.root.all("script")
    assert len(scripts) <= 1
    for script in scripts:
        assert "defer" in script.attrs
    for node in page.root.all("a"):
        assert not node.attrs["href"].startswith("javascript:")
        if node.attrs["href"].startswith("http"):
            assert "noreferrer" in node.attrs["rel"]
    for node in page.root.all("img", "link", "script"):
        source = node.attrs.get("src") or node.attrs.get("href", "")
        assert source.startswith("/"), source


async def test_static_files_are_there_and_kept_by_browsers(site: Site) -> None:
    page = await site.browser().get("/")
    links = [node.attrs["href"] for node in page.root.all("link")]
    assert len(links) == 3
    for path in [*links, "/static/draft.js"]:
        answer = await site.browser().get(path)
        assert answer.status == 200
        if "?v=" in path:
            assert "31536000" in answer.headers["cache-control"]
    for path in ("/static/../gate.py", "/static/%2e%2e/gate.py", "/static/", "/static/none.css"):
        assert (await site.browser().get(path)).status == 404


async def test_an_error_in_the_code_says_nothing_of_what_was_sent(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    broken = create_pages(site.services)

    @broken.get("/broken")
    async def fail() -> str:
        raise RuntimeError("patient Miller")

    browser = Browser(broken, site.origin)
    page = await browser.get("/broken?q=Miller")
    assert page.status == 500
    assert page.root.one("h1").text == "Something went wrong here"
    assert "Miller" not in page.html
    assert [record.message for record in caplog.records] == ["page_failed"]
    for record in caplog.records:
        assert "Miller" not in str(record.__dict__)
        assert record.__dict__["fields"]["route"] == "/broken"


async def test_what_is_typed_is_never_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    anna = await site.signed_in("anna")
    page = await anna.get("/cases/new")
    for text in ("Xylophonova has a rash.", "Xylophonova, call 555-123-4567."):
        await anna.submit(page, "/cases/new", {"presentation": text, "action": "publish"})
    await anna.get("/find?q=Xylophonova")
    await anna.post("/cases/new", {"title": "Xylophonova"})
    assert "Xylophonova" not in caplog.text
    assert not any("Xylophonova" in str(record.__dict__) for record in caplog.records)


async def test_no_template_goes_past_the_escaping() -> None:
    from fedidoc.web import render

    templates = render.STATIC.parent / "templates"
    for path in templates.rglob("*.html"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", source), path.name


async def test_markup_in_names_is_shown_as_it_was_typed(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    name = "<img src=x onerror=alert(1)>"
    await anna.submit(await anna.get("/settings"), "/settings", {"name": name})
    post = await site.case("anna", title="<script>alert(1)</script>", question='"><b>x</b>')
    for path in (f"/cases/{post.id}", "/?show=all", "/@anna", "/find?q=img"):
        page = await bela.get(path)
        assert not page.main.all("script", "img")
        assert name in page.main.text
