"""What reviewers see of registers: every register's row, and members who need another look."""

from __future__ import annotations

from pathlib import Path

from fedidoc.clock import DAY
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.fhir import import_fhir
from fedidoc.verification.leie import import_leie
from tests.house import claim
from tests.verification.test_exclusions import record, write
from tests.verification.test_fhir import bundle, practitioner, role
from tests.verification.test_review import put_register_row
from tests.web.conftest import Site
from tests.web.test_membership import CLAIM


async def test_the_desk_shows_a_table_for_each_register(site: Site, tmp_path: Path) -> None:
    house = site.house
    await put_register_row(house)
    staff = bundle(tmp_path / "staff.json", practitioner(), role())
    await import_fhir(house.db, house.clock, staff, vault=house.vault)
    anna = await house.sign_up("anna")
    await house.admin("rita")
    id = await house.review.apply(anna, claim())
    desk = await (await site.log_in("rita")).get(f"/admin/reviews/{id}")
    captions = [caption.text for caption in desk.main.all("caption")]
    assert captions[:2] == [
        "What the member claims, beside what NPPES has",
        "What the member claims, beside what the credentialing office lists",
    ]
    assert not desk.faults


async def test_where_nothing_was_found_the_desk_says_where_it_was_looked(
    site: Site, tmp_path: Path
) -> None:
    house = site.house
    anna = await house.sign_up("anna")
    await house.admin("rita")
    id = await house.review.apply(anna, claim())
    rita = await site.log_in("rita")
    desk = await rita.get(f"/admin/reviews/{id}")
    assert "No register is loaded here" in desk.main.text
    await put_register_row(house, npi="1679576722")
    desk = await rita.get(f"/admin/reviews/{id}")
    assert "Found in no register" in desk.main.text and "NPPES" in desk.main.text


async def test_a_flag_is_read_and_settled(site: Site) -> None:
    house = site.house
    await put_register_row(house)
    anna = await house.sign_up("anna")
    rita = await site.log_in((await house.admin("rita")).username)
    id = await house.review.apply(anna, claim())
    assert "Nobody needs another look" in (await rita.get("/admin/reviews/flags")).main.text
    kinds = [EvidenceKind.REGISTER, EvidenceKind.DOCUMENT]
    await house.review.approve(id, await house.accounts.show("rita"), "seen", kinds)
    await put_register_row(house, updated="2026-01-01", deactivated="2026-02-03")
    house.clock.advance(DAY)
    await house.recheck.look_again()
    rita = await site.log_in("rita")
    queue = await rita.get("/admin/reviews")
    link = next(a for a in queue.main.all("a") if a.attrs["href"] == "/admin/reviews/flags")
    assert link.text == "Needs another look 1"
    page = await rita.get("/admin/reviews/flags")
    assert "NPI deactivated" in page.main.text and not page.faults
    action = page.main.one("form").attrs["action"]
    refused = await rita.submit(page, action)
    assert refused.status == 400 and "a few words" in refused.main.text
    done = await rita.submit(refused, action, {"note": "Zqxj: CMS has mended it."})
    assert "Nobody needs another look" in done.main.text
    rows = await house.db.fetch_all("SELECT detail FROM audit WHERE action = 'flag_settled'")
    assert len(rows) == 1 and "Zqxj" not in rows[0]["detail"]


async def test_flags_exist_for_reviewers_only(site: Site) -> None:
    anna = await site.signed_in("anna")
    assert (await anna.get("/admin/reviews/flags")).status == 404


async def test_a_birth_date_is_asked_for_only_with_an_exclusions_list(
    site: Site, tmp_path: Path
) -> None:
    house = site.house
    await house.sign_up("anna")
    anna = await site.log_in("anna")
    assert 'name="birth_date"' not in (await anna.get("/apply")).html
    await import_leie(house.db, house.clock, write(tmp_path / "UPDATED.csv", record()))
    form = await anna.get("/apply")
    assert form.form("/apply").one("input", name="birth_date")
    refused = await anna.submit(form, "/apply", {**CLAIM, "birth_date": "30.3.75"})
    assert refused.errors().keys() == {"birth_date"}
    await anna.submit(refused, "/apply", {**CLAIM, "birth_date": "1975-03-30"})
    account = await house.accounts.show("anna")
    application = await house.review.current(account)
    assert application is not None and application.claim.birth_date == "1975-03-30"
    stored = await house.db.fetch_all("SELECT * FROM applications")
    assert "1975-03-30" not in repr([tuple(row) for row in stored])
