"""Every page of pseudonyms in Chromium: at 360 px, light and dark, on the rules of axe-core."""

from __future__ import annotations

import pytest

from fedidoc.clinical.cases import CaseDraft
from tests.browser import axe
from tests.nyms import PASSPHRASE, Nyms
from tests.web.conftest import Site
from tests.web.test_passkeys import CHROMIUM, playwright, pytestmark, served
from tests.web.test_pseudonyms import HANDLE

__all__ = ["pytestmark", "served"]

OPEN = ("/pseudonym", "/pseudonym/enrol", "/pseudonym/log-in", "/pseudonym/recover",
        "/transparency")  # fmt: skip
OWN = ("/", "/pseudonym/own", "/cases/new", f"/@{HANDLE}@st-olaf.example")


async def test_every_page_fits_a_phone_and_breaks_no_rule(
    site: Site, served: tuple[str, Nyms]
) -> None:
    address, nyms = served
    try:
        script = axe.load()
    except axe.Away as reason:
        pytest.skip(str(reason))
    await nyms.openings.warn(HANDLE, "Please stay with the case.", by="operator")
    done = await nyms.accounts.log_in(HANDLE, PASSPHRASE, address="192.0.2.7")
    draft = CaseDraft(title="A case", presentation="Breathless.", question="Why?")
    case = await site.services.cases.open_case(done.account, draft)
    found: list[str] = []
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        for scheme in ("light", "dark"):
            context = await browser.new_context(
                viewport={"width": 360, "height": 740}, color_scheme=scheme, bypass_csp=True
            )
            page = await context.new_page()
            for path in (*OPEN, None, *OWN, f"/cases/{case.id}", f"/badge/{done.account.actor_id}"):
                if path is None:
                    await page.goto(f"{address}/pseudonym/log-in")
                    await page.fill("#handle", HANDLE)
                    await page.fill("#passphrase", PASSPHRASE)
                    await page.press("#passphrase", "Enter")
                    await page.wait_for_url(f"{address}/")
                    continue
                answer = await page.goto(f"{address}{path}")
                assert answer is not None and answer.status == 200, path
                wide = await page.evaluate("document.documentElement.scrollWidth")
                if wide > 360:
                    found.append(f"{path} ({scheme}): {wide} px wide")
                await page.add_script_tag(content=script)
                broken = await page.evaluate(
                    "async () => (await axe.run()).violations.map(v => v.id + ' '"
                    " + v.nodes.map(n => n.target.join(' ')).join(', '))"
                )
                found += [f"{path} ({scheme}): {each}" for each in broken]
            await context.close()
        await browser.close()
    assert found == []
