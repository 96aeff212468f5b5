"""The pages on trust lists in a browser: every width, light and dark, on axe-core's rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from fedidoc.app import Rooms
from fedidoc.clock import Clock
from fedidoc.verification.publishing import Edits
from fedidoc.verification.trust_signatures import sign
from tests.browser.looking import Looking
from tests.browser.test_walk import visit
from tests.processes.site import Site
from tests.verification.lists import Society, dump, fresh_key, issuer, public

pytestmark = pytest.mark.browser


@dataclass
class Office:
    """A society that publishes a list and follows two, and its steward's password."""

    site: Site
    password: str


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    site = Site(folder / "society", "127.0.0.4", name="Cardiology Society").init()
    other = Society(
        url="https://other.example/trust-list",
        actor="https://other.example/actor",
        issuers=[
            issuer("mercy.example", fresh_key(), name="The Hospital of Our Lady of Mercy"),
            issuer("clinic.example", fresh_key(), status="suspended", country="ZZ"),
        ],
    )
    keys = ", ".join(f'"{key}"' for key in other.keys)
    config = folder / "society" / "config.toml"
    config.write_text(
        config.read_text()
        + f'\n[trust_lists.other]\nurl = "{other.url}"\nkeys = [{keys}]\nthreshold = 2\n'
        + '\n[trust_lists.silent]\nurl = "https://silent.example/list"\n'
        + f"keys = [{keys}]\nthreshold = 1\n"
    )
    password = site.command(
        "member", "add", "ruth", "--email", "ruth@example.org", "--name", "Ruth",
        "--role", "staff", "--admin",
    )[0]["password"]  # fmt: skip

    async def fill(rooms: Rooms) -> None:
        now = Clock().now()
        for issuers in (other.issuers, [*other.issuers, issuer("gone.example", fresh_key())],
                        other.issuers):  # fmt: skip
            verdict = await rooms.services.subscriptions.take(
                "other", [other.issue(now, issuers=issuers)]
            )
            assert verdict.accepted
        key = fresh_key()
        publishing = rooms.services.publishing
        document, _ = await publishing.draft(Edits(signers=(public(key),)))
        await publishing.publish(dump(sign(document, key, now)), by="operator")

    site.with_rooms(fill)
    with site:
        site.start("--no-worker")
        yield Office(site, password)


def test_the_pages_on_trust_lists(
    office: Office, chromium: Browser, axe_script: str, shots: Path | None
) -> None:
    looking = Looking(axe_script, shots)
    with visit(chromium, office.site, looking) as ruth:
        ruth.log_in("ruth", office.password)
        ruth.go("/admin/trust")
        expect(ruth.main).to_contain_text("Allowed by the list other.")
        expect(ruth.main).to_contain_text("Not a peer here: the list has suspended it.")
        expect(ruth.main).to_contain_text("No list was had yet")
        expect(ruth.main).to_contain_text("gone.example")
        looking.look(ruth.page, "trust")
        ruth.follow_link("gone.example")
        expect(ruth.main).to_contain_text("no trust list names it any more")
        looking.look(ruth.page, "peer-fallen")
        ruth.go("/admin/peers")
        looking.look(ruth.page, "peers-listed")
        ruth.go("/trust")
        expect(ruth.main).to_contain_text("Issuers accredited by Cardiology Society")
        looking.look(ruth.page, "accreditation")
        # A browser that asks for the list itself is led to its page.
        ruth.go("/trust-list")
        assert ruth.page.url.endswith("/trust")
    assert looking.wrong == []
