"""What every page is held to, whoever looks at it: size, width, contrast, names, no errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

from tests.browser.axe import RULES

WEIGHT = 100 * 1024
WIDTHS = {360: 740, 768: 1024, 1440: 900}
_WIDER = """() => {
  const wide = document.documentElement.clientWidth;
  return document.documentElement.scrollWidth <= wide ? [] :
    [...document.querySelectorAll("body *")]
      .filter((each) => each.getBoundingClientRect().right > wide + 1)
      .slice(0, 5).map((each) => each.outerHTML.slice(0, 120));
}"""
_BAR = """() => new Set([...document.querySelectorAll("nav.places a")]
  .map((each) => each.getBoundingClientRect()).filter((box) => box.width)
  .map((box) => box.top)).size"""
_WEIGHT = """() => performance.getEntriesByType("navigation")
  .concat(performance.getEntriesByType("resource"))
  .filter((each) => !new URL(each.name).pathname.startsWith("/media/"))
  .reduce((sum, each) => sum + each.decodedBodySize, 0)"""
_AXE = """(only) => axe.run(document, {runOnly: only, resultTypes: ["violations"]})
  .then((found) => found.violations.map((each) => ({
    rule: each.id, help: each.help, nodes: each.nodes.map((node) => node.html.slice(0, 200))
  })))"""


@dataclass
class Looking:
    """`look(page, name)` at each page; what was wrong on the way is in `wrong`."""

    axe: str
    shots: Path | None
    wrong: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def watch(self, context: BrowserContext) -> None:
        """Note every error of a page's own, and every request that leaves its server."""
        context.on("console", self._said)
        context.on("weberror", lambda error: self._note(f"script failed: {error.error}"))
        context.on("request", self._asked)

    def look(self, page: Page, name: str, *, shrink: bool = True) -> None:
        """Try the page at three widths, in light and dark. Leaves it as it was."""
        self.seen.add(name)
        before = page.viewport_size
        for width, height in WIDTHS.items() if shrink else ():
            page.set_viewport_size({"width": width, "height": height})
            if wide := page.evaluate(_WIDER):
                self._note(f"{name}: wider than {width} px: {wide}")
            if width == 360 and page.evaluate(_BAR) > 1:
                self._note(f"{name}: the tabs of the bar are not on one line")
            if self.shots:
                path = self.shots / f"{name}-{width}.png"
                page.screenshot(path=path, full_page=True)
        weight = page.evaluate(_WEIGHT)
        if not 0 < weight < WEIGHT:
            self._note(f"{name}: {weight} bytes")
        self._try_rules(page, name, {"type": "tag", "values": RULES})
        with self._in_the_dark(page):
            self._try_rules(page, f"{name}, dark", {"type": "rule", "values": ["color-contrast"]})
            if self.shots:
                page.screenshot(path=self.shots / f"{name}-dark.png", full_page=True)
        if before:
            page.set_viewport_size(before)

    def _try_rules(self, page: Page, name: str, only: dict[str, Any]) -> None:
        if not self.axe:
            return
        page.evaluate(self.axe)
        for found in page.evaluate(_AXE, only):
            self._note(f"{name}: {found['rule']}, {found['help']}: {json.dumps(found['nodes'])}")

    @contextmanager
    def _in_the_dark(self, page: Page) -> Iterator[None]:
        page.emulate_media(color_scheme="dark")
        ground = "() => getComputedStyle(document.body).backgroundColor"
        if _brightness(page.evaluate(ground)) > 0.3:
            self._note(f"{page.url} is not dark: {page.evaluate(ground)}")
        yield
        page.emulate_media(color_scheme="light")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        # A form that is refused is a page with the status 400, which Chromium calls an error too.
        here = message.page.url.partition("#")[0] if message.page else ""
        refused = re.search(r"responded with a status of (400|403|404|409|422)", message.text)
        if refused and message.location["url"].partition("#")[0] == here:
            return
        self._note(f"console at {here}: {message.text}")

    def _asked(self, request: Request) -> None:
        if request.url.startswith("data:") or request.is_navigation_request():
            return
        if urlsplit(request.url).netloc != urlsplit(request.frame.url).netloc:
            self._note(f"{request.frame.url} asked for {request.url}")

    def _note(self, words: str) -> None:
        self.wrong.append(words)


def _brightness(colour: str) -> float:
    """0 to 1, of `rgb(…)`."""
    parts = [float(part) for part in re.findall(r"[0-9.]+", colour)[:3]]
    return sum(parts) / (3 * 255)
