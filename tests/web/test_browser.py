"""The pages in a real Chromium: on a phone without JavaScript, by keyboard, and with the script."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest

from fedidoc.config import Federation, Instance
from fedidoc.web import server
from fedidoc.web.pages import create_pages
from fedidoc.web.protocol import App
from tests.web.conftest import Site

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("FEDIDOC_TEST_CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: set FEDIDOC_TEST_CHROMIUM"),
]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}


@pytest.fixture
async def address(site: Site) -> AsyncIterator[str]:
    """The site's pages on a real socket of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    domain = f"127.0.0.1:{listener.getsockname()[1]}"
    config = replace(
        site.services.config,
        instance=Instance(domain, name="St. Olaf Hospital"),
        federation=Federation(allow_plain_http=True),
    )
    app = create_pages(replace(site.services, config=config))
    stop = asyncio.Event()
    serving = asyncio.create_task(server.serve(cast(App, app), listener, stop))
    yield f"http://{domain}"
    stop.set()
    await serving


@pytest.fixture
async def chromium() -> AsyncIterator[playwright.Browser]:
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        await browser.close()


class Visit:
    """A window of one member; notes what the browser complains of."""

    def __init__(self, page: playwright.Page, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: playwright.ConsoleMessage) -> None:
        # A form that is refused answers 400: Chromium tells that to its console too.
        if message.type == "error" and "status of 400" not in message.text:
            self.complaints.append(message.text)

    async def go(self, path: str) -> None:
        await self.page.goto(self.address + path)

    async def log_in(self, site: Site, username: str) -> None:
        await site.account(username)
        await self.go("/log-in")
        for name, value in site.credentials(username).items():
            await self.page.fill(f"#{name}", value)
        await self.page.keyboard.press("Enter")
        await self.page.wait_for_url(self.address + "/")

    async def sideways(self) -> int:
        """How many pixels the page is wider than the window."""
        width: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    async def focused(self) -> str:
        name: str = await self.page.evaluate(
            "(document.activeElement.innerText || document.activeElement.id).trim()"
        )
        return name


async def visit(
    chromium: playwright.Browser, address: str, *, script: bool, size: dict[str, int], **more: str
) -> Visit:
    context = await chromium.new_context(viewport=size, java_script_enabled=script, **more)
    return Visit(await context.new_page(), address)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_case_and_its_answer_on_a_phone_without_script(
    site: Site, address: str, chromium: playwright.Browser, scheme: str
) -> None:
    anna = await visit(chromium, address, script=False, size=PHONE, color_scheme=scheme)
    await anna.log_in(site, "anna")
    await anna.page.click("text=New case")
    await anna.page.fill("#title", "Breathless with a low-voltage ECG")
    await anna.page.fill("#presentation", "Mrs Miller, seen on 03/14/2024, breathless for months.")
    await anna.page.fill("#question", "Bone tracer first, or biopsy?")
    await anna.page.click("button.main[value=publish]")
    marks = await anna.page.locator("#presentation-guard mark").all_inner_texts()
    assert marks[0].rstrip("12") == "Mrs Miller"
    assert await anna.page.locator("#problems").evaluate("e => e === document.activeElement")
    assert await anna.sideways() == 0
    await anna.page.fill("#presentation", "Breathless for months, two pillows.")
    await anna.page.click("button.main[value=publish]")
    assert await anna.page.locator("h1").inner_text() == "Breathless with a low-voltage ECG"
    path = anna.page.url.removeprefix(address).partition("?")[0]

    bela = await visit(chromium, address, script=False, size=PHONE, color_scheme=scheme)
    await bela.log_in(site, "bela")
    await bela.go(path)
    await bela.page.fill("#text", "Tracer first; genotype next.")
    await bela.page.click("text=Send the answer")
    assert "Tracer first; genotype next." in await bela.page.locator(".answer").inner_text()
    assert await bela.sideways() == 0
    await anna.page.click("nav >> text=Notices")
    assert "Bela answered" in await anna.page.locator("main").inner_text()
    assert anna.complaints == bela.complaints == []


async def test_no_page_is_wider_than_a_phone_or_has_a_target_too_small(
    site: Site, address: str, chromium: playwright.Browser
) -> None:
    post = await site.case("bela", title="Breathless: " + "anticardiolipin" * 8)
    answer = await site.answer("anna", post, "pneumono" + "ultramicroscopic" * 9)
    anna = await visit(chromium, address, script=True, size=PHONE)
    await anna.log_in(site, "anna")
    for path in (
        "/", "/?show=all", f"/cases/{post.id}", "/cases/new", f"/cases/{answer.id}/edit", "/find",
        "/@bela@st-olaf.example", f"/badge/{post.author.id}", "/notifications", "/settings",
    ):  # fmt: skip
        for width in (320, 360, 720, 768, 1024, 1440):
            await anna.page.set_viewport_size({"width": width, "height": 800})
            if width == 320:
                await anna.go(path)
            assert await anna.sideways() == 0, (path, width)
        # WCAG 2.2, 2.5.8: 24 by 24, but for links in running text.
        small = await anna.page.evaluate(
            """() => [...document.querySelectorAll("a, button, input, select, textarea, summary")]
            .filter(e => {
              const box = e.getBoundingClientRect();
              const running = e.tagName === "A" && getComputedStyle(e).display === "inline";
              const hidden = !box.width || e.classList.contains("unseen") || e.type === "hidden";
              return !hidden && !running && (box.width < 23.9 || box.height < 23.9);
            }).map(e => e.outerHTML.slice(0, 120))"""
        )
        assert small == [], path
    assert anna.complaints == []


async def test_everything_is_reached_by_keyboard(
    site: Site, address: str, chromium: playwright.Browser
) -> None:
    post = await site.case("bela")
    anna = await visit(chromium, address, script=True, size=DESK)
    await anna.log_in(site, "anna")
    await anna.go(f"/cases/{post.id}")
    keys = anna.page.keyboard
    await keys.press("Tab")
    assert await anna.focused() == "Skip to the content"
    await keys.press("Enter")
    await keys.press("Tab")
    assert await anna.focused() == "Bela"
    await keys.press("Tab")
    outline = await anna.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await keys.press("Enter")
    panel = anna.page.locator(".panel:popover-open")
    assert "vouched" in await panel.inner_text()
    await keys.press("Escape")
    assert await panel.count() == 0
    assert (await anna.focused()).startswith("Verified physician")
    for _ in range(20):
        if await anna.focused() == "text":
            break
        await keys.press("Tab")
    await keys.type("Tracer first.")
    await keys.press("Tab")
    assert await anna.focused() == "Send the answer"
    await keys.press("Enter")
    await anna.page.wait_for_selector(".answer")
    assert len(await site.posts()) == 2
    assert anna.complaints == []


async def test_what_is_being_written_is_saved_by_itself(
    site: Site, address: str, chromium: playwright.Browser
) -> None:
    anna = await visit(chromium, address, script=True, size=DESK)
    await anna.log_in(site, "anna")
    await anna.go("/cases/new")
    await anna.page.fill("#title", "Half a thought")
    await anna.page.locator("#draft-state", has_text="Draft saved").wait_for(timeout=15_000)
    again = await anna.page.context.new_page()
    await again.goto(f"{address}/cases/new")
    assert await again.input_value("#title") == "Half a thought"
    assert anna.complaints == []


async def test_an_impatient_double_click_opens_one_case(
    site: Site, address: str, chromium: playwright.Browser
) -> None:
    anna = await visit(chromium, address, script=False, size=DESK)
    await anna.log_in(site, "anna")
    await anna.go("/cases/new")
    await anna.page.fill("#title", "Breathless with a low-voltage ECG")
    await anna.page.fill("#presentation", "Breathless for months.")
    await anna.page.fill("#question", "Biopsy?")
    await anna.page.dblclick("button.main[value=publish]", no_wait_after=True)
    await anna.page.wait_for_url("**/cases/0*")
    assert len(await site.posts()) == 1
