"""Every page can be used with a keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Two

pytestmark = pytest.mark.browser

_FOCUS = """() => {
  const each = document.activeElement, style = getComputedStyle(each);
  const box = each.getBoundingClientRect();
  return {
    tag: each.tagName, name: each.name || "", id: each.id,
    words: (each.innerText || each.getAttribute("aria-label") || "").trim().slice(0, 60),
    ringed: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 1 && box.height > 1 && box.bottom > 0 && box.top < innerHeight,
    hidden: Boolean(each.closest("[aria-hidden=true]")),
    // What stays in its place, such as the bar of tabs, must not lie over it (WCAG 2.2, 2.4.11).
    covered: [0.2, 0.5, 0.8].every((part) => {
      const y = box.top + box.height * part;
      const over = document.elementFromPoint(box.left + box.width / 2, y);
      return !over || !(each.contains(over) || over.contains(each) ||
        (each.labels && [...each.labels].some((label) => label.contains(over))));
    }),
  };
}"""


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    # What only moves for the eye would still be on its way when it is looked at.
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def _stops(page: Page) -> list[dict[str, object]]:
    """What gets the focus, by Tab, from the top of the page to its end."""
    found: list[dict[str, object]] = []
    for _ in range(120):
        page.keyboard.press("Tab")
        stop: dict[str, object] = page.evaluate(_FOCUS)
        if stop["tag"] == "BODY" or (found and stop == found[0]):
            return found
        found.append(stop)
    raise AssertionError("the focus does not get out of the page")


def _log_in(page: Page, two: Two) -> None:
    """With the keyboard alone: Tab to the fields, Enter sends the form."""
    page.goto(f"{two.hospital.url}/log-in")
    names = []
    while "username" not in names:
        page.keyboard.press("Tab")
        names.append(page.evaluate(_FOCUS)["name"])
        assert len(names) < 10, names
    page.keyboard.type("osler")
    page.keyboard.press("Tab")
    assert page.evaluate(_FOCUS)["name"] == "password"
    page.keyboard.type(two.passwords["osler"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out osler")).to_be_visible()


def test_the_skip_link_is_the_first_stop_and_skips(page: Page, two: Two) -> None:
    page.goto(f"{two.hospital.url}/log-in")
    page.keyboard.press("Tab")
    first = page.evaluate(_FOCUS)
    assert first["words"] == "Skip to the content"
    assert first["seen"], "the skip link must be seen while it has the focus"
    page.keyboard.press("Enter")
    assert page.evaluate(_FOCUS)["id"] == "main"
    page.keyboard.press("Tab")
    assert page.evaluate(_FOCUS)["name"] == "username"


def test_a_case_is_written_answered_and_its_badge_opened(page: Page, two: Two) -> None:
    _log_in(page, two)
    page.goto(f"{two.hospital.url}/cases/new")
    typed = {
        "title": "Typed without a mouse",
        "presentation": "A woman in her forties with palpitations on climbing stairs.",
        "question": "Holter or event recorder?",
    }
    for name, words in typed.items():
        _tab_to(page, "name", name)
        page.keyboard.type(words)
    _tab_to(page, "name", "audience")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    _tab_to(page, "words", "Publish")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=typed["title"])).to_be_visible()
    _tab_to(page, "name", "text")
    page.keyboard.type("An event recorder: it is not every day.")
    _tab_to(page, "words", "Send the answer")
    page.keyboard.press("Enter")
    expect(page.locator("article.answer")).to_contain_text("An event recorder")
    badge = page.locator("article.answer button.badge")
    badge.focus()
    page.keyboard.press("Enter")
    expect(page.locator("article.answer .panel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("article.answer .panel")).to_be_hidden()
    expect(badge).to_be_focused()


def test_a_refused_form_takes_the_focus_to_what_is_wrong(page: Page, two: Two) -> None:
    page.goto(f"{two.hospital.url}/log-in")
    page.locator("[name=username]").focus()
    page.keyboard.press("Enter")
    summary = page.locator("#problems")
    expect(summary).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(_FOCUS)["name"] == "username"


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("path", ["/", "/cases/new", "/find", "/settings", "/?show=all"])
def test_every_stop_is_seen_and_has_a_ring(page: Page, two: Two, path: str, width: int) -> None:
    _log_in(page, two)
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(two.hospital.url + path)
    stops = _stops(page)
    assert stops[0]["words"] == "Skip to the content"
    for stop in stops:
        assert stop["seen"], stop
        assert stop["ringed"], stop
        assert not stop["hidden"], stop
        assert not stop["covered"], stop
    # Nothing that can be used is left out.
    fields = page.locator(
        "a[href]:visible, button:visible, select:visible, textarea:visible, summary:visible,"
        " input:not([type=hidden]):visible"
    ).evaluate_all(
        "(all) => all.filter((each) => each.tabIndex >= 0)"
        ".map((each) => each.type === 'radio' ? each.name : null)"
    )
    # Of the choices that exclude one another one is a stop; the arrows go on from there.
    one_each = {name for name in fields if name is not None}
    assert len(stops) >= fields.count(None) + len(one_each)


def _tab_to(page: Page, key: str, value: str) -> None:
    seen = []
    while True:
        page.keyboard.press("Tab")
        stop = page.evaluate(_FOCUS)
        if stop[key] == value:
            return
        seen.append(stop[key])
        assert len(seen) < 100, f"{value} is not reached: {seen}"
