"""How much a request may send before anybody knows who sends it."""

from __future__ import annotations

import pytest

from fedidoc.web.gate import DOCUMENTS, SMALL_BODY
from tests.web.conftest import Site

LARGE = b"--x\r\nContent-Disposition: form-data; name=text\r\n\r\n" + b"a" * SMALL_BODY
MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize("path", ["/cases/new", DOCUMENTS])
async def test_an_invented_cookie_sends_nothing_large(site: Site, path: str) -> None:
    stranger = site.browser()
    for value in ("", "x" * 43, "x" * 43 + "." + "0" * 32):
        stranger.cookies = {"__Host-session": value, "__Host-pseudonym": value}
        assert (await stranger.send(path, LARGE, MULTIPART)).status == 413


async def test_who_was_logged_in_here_sends_pictures_and_keeps_the_words(site: Site) -> None:
    anna = await site.signed_in("anna")
    # Read, and refused for what it is: it has no token of a form.
    assert (await anna.send("/cases/new", LARGE, MULTIPART)).status == 403
    # Elsewhere nobody sends that much.
    assert (await anna.send("/settings", LARGE, MULTIPART)).status == 413
    async with site.house.db.transaction() as tx:
        await tx.execute("DELETE FROM sessions")
    assert (await anna.send("/cases/new", LARGE, MULTIPART)).status == 401
