"""The page behind a badge: what was checked, by whom, and how anybody checks it again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fedidoc.clock import DAY, HOUR, Clock
from fedidoc.integrity import encode_multikey
from fedidoc.storage import actors, peers, presented
from fedidoc.verification.checks import presented as says
from fedidoc.verification.examination import Result, Step
from tests.house import House
from tests.web.browsing import Shown
from tests.web.conftest import Site

ALL = [
    "It can be read in one way only", "Its issuer is trusted", "It was signed to attest",
    "Nobody changed it", "It is in force", "It was not taken back", "It is about this account",
    "It says what was verified", "This account names it",
]  # fmt: skip


def results(page: Shown) -> list[tuple[str, str]]:
    rows = page.main.one("table").one("tbody").all("tr")
    return [(row.one("th").text, row.all("td")[0].text) for row in rows]


async def test_a_members_badge_says_what_how_by_whom_and_until_when(site: Site) -> None:
    anna = await site.account("anna")
    bela = await site.signed_in("bela")
    page = await bela.get(f"/badge/{anna.actor_id}")
    text = page.main.text
    assert page.root.one("h1").text == "Verified physician · Cardiovascular Disease"
    for words in ("st-olaf.example", "vouched for them", "What it does not mean", "Until", "Since"):
        assert words in text, words
    assert results(page) == [(name, "Holds") for name in ALL]
    assert "is the issuer itself" in text
    assert not page.faults


async def test_the_recipe_on_the_page_works_as_it_stands(site: Site, tmp_path: Path) -> None:
    """The downloads, and the command that the page shows, in a shell without this instance."""
    site.house.clock.at = Clock().now() - HOUR
    anna = await site.account("anna")
    bela = await site.signed_in("bela")
    page = await bela.get(f"/badge/{anna.actor_id}")
    command = page.main.one("pre").text.split()
    assert command[:3] == ["fedidoc", "credential", "check"]
    for which, name in (("credential", command[3]), ("status-list", command[-1])):
        answer = await bela.get(f"/badge/{anna.actor_id}/{which}")
        assert answer.headers["content-type"] == "application/vc+ld+json"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        (tmp_path / name).write_text(answer.html)
    stored = await site.house.db.fetch_value("SELECT document FROM credentials")
    assert (tmp_path / command[3]).read_text() == stored
    run = subprocess.run(
        [sys.executable, "-m", *command, "--json"], capture_output=True, text=True, cwd=tmp_path
    )
    found = json.loads(run.stdout)
    assert (run.returncode, found["valid"], found["profession"]) == (0, True, "physician")
    made = [check["result"] for check in found["checks"]]
    assert made == ["passed"] * 8 + ["not_made"], "no actor was asked what it names"
    (tmp_path / command[3]).write_text(stored.replace("physician", "resident", 1))
    run = subprocess.run(
        [sys.executable, "-m", *command, "--json"], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 1
    assert not json.loads(run.stdout)["valid"]


async def test_a_revoked_member_and_the_page_says_since_when(site: Site) -> None:
    anna = await site.account("anna")
    bela = await site.signed_in("bela")
    site.house.clock.advance(40 * DAY)
    bela = await site.log_in("bela")
    async with site.house.db.transaction() as tx:
        await site.house.credentials.revoke(tx, anna.actor_id)
    page = await bela.get(f"/badge/{anna.actor_id}")
    assert page.root.one("h1").text == "Not verified"
    assert "not since" in page.main.text and "can do" in page.main.text
    assert ("It was not taken back", "Does not hold") in results(page)
    assert ("It is about this account", "Not looked at") in results(page)
    own = await (await site.log_in("anna")).get(f"/badge/{anna.actor_id}")
    assert "What you can do" in own.main.text


async def test_nobody_else_downloads_it(site: Site) -> None:
    anna = await site.account("anna")
    await site.house.sign_up("nora")
    nora, nobody = await site.log_in("nora"), site.browser()
    for which in ("", "/credential", "/status-list"):
        assert (await nora.get(f"/badge/{anna.actor_id}{which}")).status == 403
        assert "/log-in" in (await nobody.get(f"/badge/{anna.actor_id}{which}")).path
    bela = await site.signed_in("bela")
    assert (await bela.get("/badge/nobody/credential")).status == 404
    assert (await bela.get(f"/badge/{anna.actor_id}/key")).status == 404


async def remote(site: Site, there: House, document: bytes) -> str:
    """Ines of society.example, whose credential came here; her actor's id."""
    key = (await there.credentials.own_issuer()).key
    await site.trust.allow("society.example", by="operator")
    async with site.house.db.transaction() as tx:
        await peers.pin_issuer(
            tx, "society.example", there.urls.instance_actor, there.urls.credential_key,
            encode_multikey(key), now=site.house.clock.now(),
        )  # fmt: skip
    await site.trust.refresh()
    issuer = site.trust.issuer("society.example")
    assert issuer is not None
    url = json.loads(document)["id"]
    ines = await site.colleague("ines", "society.example", credential_url=url)

    async def fetch(uri: str) -> bytes | None:
        return json.dumps(await there.credentials.status_list()).encode()

    found = await site.house.credentials.examine(
        document, actor_uri=ines.uri, issuer=issuer, fetch=fetch, named=url
    )
    place = says(document, issuer)
    assert place is not None
    async with site.house.db.transaction() as tx:
        now = site.house.clock.now()
        await actors.set_badge(tx, ines.id, found.badge, url, at=now)
        await presented.put(
            tx,
            presented.Presented(
                ines.id, url, document, now, place.status_list, place.index,
                encode_multikey(key), place.valid_until,
            ),
        )  # fmt: skip
    return ines.id


async def elsewhere(site: Site) -> House:
    """The issuer society.example. It shares the database of this test and nothing else."""
    there = House(site.house.db, domain="society.example", clock=site.house.clock)
    return await there.start()


async def test_the_badge_of_somebody_on_another_server(site: Site) -> None:
    there = await elsewhere(site)
    ines = await there.sign_up("ines", email="ines@society.example")
    await there.review.verify_directly(ines.id, "known there", "operator")
    document = (await site.house.db.fetch_value(
        "SELECT document FROM credentials WHERE actor_id = ?", (ines.actor_id,)
    )).encode()  # fmt: skip
    # Here she is a remote actor under the same address.
    async with site.house.db.transaction() as tx:
        await tx.execute("UPDATE actors SET uri = 'gone', username = 'gone' WHERE id = ?",
                         (ines.actor_id,))  # fmt: skip
    actor_id = await remote(site, there, document)
    bela = await site.signed_in("bela")
    page = await bela.get(f"/badge/{actor_id}")
    assert results(page) == [(name, "Holds") for name in ALL]
    assert "trusted here" in page.main.text and "kept here since" in page.main.text
    assert "did not see the licence itself" in page.main.text
    raw = await bela.get(f"/badge/{actor_id}/credential")
    assert raw.html.encode() == document
    # Trusted on the word of a trust list, and not of the operator: the page says so.
    async with site.house.db.transaction() as tx:
        await tx.execute("UPDATE peers SET own = 0")
        await tx.execute(
            "INSERT INTO trust_grants (subscription, host, since) VALUES (?, ?, 1)",
            ("cardiology", "society.example"),
        )
    await site.trust.refresh()
    listed = await bela.get(f"/badge/{actor_id}")
    assert "on the word of the trust list cardiology" in listed.main.text
    # It is shown as it is now, whatever was concluded when it was last looked at.
    site.house.clock.advance(4 * DAY)
    bela = await site.log_in("bela")
    page = await bela.get(f"/badge/{actor_id}")
    assert page.root.one("h1").text == "Not verified"
    assert ("It was not taken back", "Does not hold") in results(page)
    await site.trust.block("society.example", by="operator")
    page = await bela.get(f"/badge/{actor_id}")
    assert "nothing to check" in page.main.text


async def test_somebody_without_a_credential(site: Site) -> None:
    plain = await site.colleague("otto", "plain.example")
    bela = await site.signed_in("bela")
    page = await bela.get(f"/badge/{plain.id}")
    assert "nothing to check" in page.main.text and "No credential was presented" in page.main.text
    assert "What they can do" in page.main.text
    assert (await bela.get(f"/badge/{plain.id}/credential")).status == 404


async def test_the_dossier_is_the_whole_order_of_steps(site: Site) -> None:
    anna = await site.profile("anna")
    found = (await site.services.dossiers.of(anna)).examination
    assert found is not None
    assert [check.step for check in found.checks] == list(Step)
    assert {check.result for check in found.checks} == {Result.PASSED}
