"""The servers this instance speaks with, for those who run it."""

from fedidoc.model import PeerPolicy
from tests.web.conftest import Site


async def test_a_server_is_allowed_limited_and_blocked(site: Site) -> None:
    await site.house.admin("rita")
    rita = await site.log_in("rita")
    page = await rita.get("/admin/peers")
    assert "No server yet" in page.main.text
    page = await rita.submit(page, "/admin/peers", {"host": "https://society.example/"})
    assert page.errors().keys() == {"host"}
    page = await rita.submit(page, "/admin/peers", {"host": "society.example"})
    assert "society.example" in page.main.one("table").text
    assert site.trust.allows("society.example")
    path = "/admin/peers/society.example"
    page = await rita.submit(await rita.get(path), path, {"policy": "limited"})
    assert site.trust.policy("society.example") is PeerPolicy.LIMITED
    page = await rita.submit(
        await rita.get(path), path, {"policy": "blocked", "reason": "Leaks <i>everything</i>"}
    )
    assert not site.trust.allows("society.example")
    assert "Leaks <i>everything</i>" in page.main.text
    assert (await rita.get("/admin/peers/other.example")).status == 404


async def test_members_do_not_know_these_pages(site: Site) -> None:
    anna = await site.signed_in("anna")
    token = (await anna.get("/settings")).root.one("input", name="csrf").attrs["value"]
    assert (await anna.get("/admin/peers")).status == 404
    fields = {"csrf": token, "host": "society.example", "believed": "yes"}
    assert (await anna.post("/admin/peers", fields)).status == 404
    assert not site.trust.allows("society.example")
