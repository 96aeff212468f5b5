"""What pages are held to would be noticed if it were not kept."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Two
from tests.browser.looking import WEIGHT, Looking

pytestmark = pytest.mark.browser

_BAD = """<!doctype html><html lang="en"><head><title>Bad</title></head>
<body style="background: #fff"><h1>Bad</h1><img src="data:,">
<p style="color: #999; width: 500px; background: #fff">hard to read</p>
<script>console.error("an error"); fetch("http://127.0.0.9:9/away").catch(() => 0)</script>
<!-- %s --></body></html>"""


@pytest.fixture(autouse=True)
def axe_is_there(axe_script: str) -> None:
    if not axe_script:
        pytest.skip("axe-core could not be installed from the registry: no page was tried on it")


def test_a_bad_page_is_told_of_each_of_its_faults(
    chromium: Browser, axe_script: str, two: Two
) -> None:
    looking = Looking(axe_script, None)
    context = chromium.new_context()
    looking.watch(context)
    page = context.new_page()
    page.route("**/bad", lambda route: route.fulfill(
        body=_BAD % ("x" * WEIGHT), content_type="text/html"
    ))  # fmt: skip
    page.goto(f"{two.hospital.url}/bad")
    looking.look(page, "bad")
    context.close()
    said = "\n".join(looking.wrong)
    for fault in (
        "bad: wider than 360 px", "image-alt", "color-contrast", "is not dark", "an error",
        "asked for http://127.0.0.9:9/away",
    ):  # fmt: skip
        assert fault in said
    assert any(words.startswith("bad: 1") and words.endswith("bytes") for words in looking.wrong)


def test_a_good_page_is_not_complained_of(chromium: Browser, axe_script: str, two: Two) -> None:
    looking = Looking(axe_script, None)
    context = chromium.new_context()
    looking.watch(context)
    page = context.new_page()
    page.goto(two.hospital.url)
    looking.look(page, "welcome")
    context.close()
    assert looking.wrong == []
