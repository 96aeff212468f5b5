"""Passkeys in a real Chromium with a virtual authenticator (DevTools' WebAuthn domain)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest

from fedidoc.accounts.passkeys import Passkeys
from fedidoc.clock import MINUTE
from fedidoc.config import Federation, Instance
from fedidoc.errors import BadInput
from fedidoc.web import server
from fedidoc.web.pages import create_pages
from fedidoc.web.protocol import App
from tests.nyms import PASSPHRASE, Nyms
from tests.web.conftest import Site
from tests.web.test_pseudonyms import HANDLE, rebuilt

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("FEDIDOC_TEST_CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: set FEDIDOC_TEST_CHROMIUM"),
]


@pytest.fixture
async def served(site: Site) -> AsyncIterator[tuple[str, Nyms]]:
    """The pages on a socket; `localhost`, since passkeys need a name."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    nyms = Nyms(site.house)
    await nyms.made("anna", HANDLE)
    made = rebuilt(site, nyms)
    domain = f"localhost:{port}"
    config = replace(
        made.services.config,
        instance=Instance(domain, name="St. Olaf"),
        federation=Federation(allow_plain_http=True),
    )
    nyms.accounts._passkeys = Passkeys(
        site.house.clock, site.house.vault, "localhost", f"http://{domain}", "St. Olaf"
    )
    app = create_pages(replace(made.services, config=config))
    stop = asyncio.Event()
    serving = asyncio.create_task(server.serve(cast(App, app), listener, stop))
    yield f"http://{domain}", nyms
    stop.set()
    await serving


async def test_a_passkey_is_added_and_logs_in(served: tuple[str, Nyms]) -> None:
    address, nyms = served
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        context = await browser.new_context(viewport={"width": 360, "height": 740})
        page = await context.new_page()
        devtools = await context.new_cdp_session(page)
        await devtools.send("WebAuthn.enable")
        await devtools.send(
            "WebAuthn.addVirtualAuthenticator",
            {"options": {
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                "hasUserVerification": True, "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }},
        )  # fmt: skip
        await page.goto(f"{address}/pseudonym/log-in")
        await page.fill("#handle", HANDLE)
        await page.fill("#passphrase", PASSPHRASE)
        await page.press("#passphrase", "Enter")
        await page.wait_for_url(f"{address}/")
        await page.goto(f"{address}/pseudonym/own")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await page.click("text=Add a passkey")
        await page.wait_for_url("**said=passkey")
        assert await page.is_visible("text=Passkey 1")
        await page.click("main >> text=Log out")
        await page.wait_for_url(f"{address}/")
        await page.goto(f"{address}/pseudonym/log-in")
        await page.click("text=Log in with a passkey")
        await page.wait_for_url(f"{address}/")
        assert await page.is_visible(f"text=You are @{HANDLE}")
        await browser.close()
    rows = await nyms.house.db.fetch_all("SELECT * FROM pseudonym_passkeys")
    assert len(rows) == 1 and rows[0]["sign_count"] > 0


async def test_an_answer_is_good_once_and_not_for_long(site: Site) -> None:
    nyms = Nyms(site.house)
    room = nyms.accounts._passkeys
    for answer in ("", "[]", "{}", '{"id": 7}', "[" * 50_000, '{"id": "x", "response": {}}'):
        with pytest.raises(BadInput):
            room.register(answer)
        with pytest.raises(BadInput):
            room.check(answer, b"", 0)
    challenge = room._challenge("log-in")
    given = {"response": {"clientDataJSON": _client(challenge)}}
    assert room._taken(given, "log-in") == challenge
    with pytest.raises(BadInput, match="too long"):
        room._taken(given, "log-in")  # replayed
    for wrong in (room._challenge("registration"), b"x" * 64, b"", challenge[:-1] + b"?"):
        with pytest.raises(BadInput):
            room._taken({"response": {"clientDataJSON": _client(wrong)}}, "log-in")
    late = room._challenge("log-in")
    site.house.clock.advance(11 * MINUTE)
    with pytest.raises(BadInput, match="too long"):
        room._taken({"response": {"clientDataJSON": _client(late)}}, "log-in")


def _client(challenge: bytes) -> str:
    inner = base64.urlsafe_b64encode(challenge).decode().rstrip("=")
    raw = json.dumps({"type": "webauthn.get", "challenge": inner}).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
