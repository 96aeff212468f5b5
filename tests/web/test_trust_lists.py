"""The pages on trust lists: what is published for everybody, what is followed for stewards."""

from __future__ import annotations

from dataclasses import replace

from fedidoc.clock import DAY
from fedidoc.config import TrustListRules
from fedidoc.storage import peers
from fedidoc.verification.publishing import Edits
from fedidoc.verification.subscriptions import Subscriptions
from fedidoc.verification.trust_signatures import sign
from fedidoc.web.pages import create_pages
from tests.verification.lists import Society, dump, fresh_key, issuer, public
from tests.web.conftest import Site


async def publish(site: Site) -> None:
    key = fresh_key()
    publishing = site.services.publishing
    document, _ = await publishing.draft(Edits(name="Accredited <b>", signers=(public(key),)))
    await publishing.publish(dump(sign(document, key, site.house.clock.now())), by="steward")


async def follow(site: Site, society: Society, mode: str = "allow") -> Site:
    """The same instance with a subscription."""
    house = site.house
    rules = {"cardiology": TrustListRules(society.url, society.keys, society.threshold, mode)}
    subscriptions = Subscriptions(
        house.db, house.clock, site.trust, rules, own_host=site.services.config.domain
    )
    await subscriptions.begin()
    services = replace(site.services, subscriptions=subscriptions)
    return Site(house, services, create_pages(services))


async def test_the_published_list_is_a_page_for_everybody(site: Site) -> None:
    assert (await site.browser().get("/trust")).status == 404
    await publish(site)
    page = await site.browser().get("/trust")
    assert page.status == 200
    assert "Accredited <b>" in page.main.text
    assert "Do not take their keys from this page" in page.main.text
    site.house.clock.advance(91 * DAY)
    assert "has run out" in (await site.browser().get("/trust")).main.text


async def test_stewards_see_what_follows_from_each_list(site: Site) -> None:
    await site.house.admin("rita")
    rita = await site.log_in("rita")
    assert "No list is followed" in (await rita.get("/admin/trust")).main.text
    society = Society(
        issuers=[
            issuer("mercy.example", fresh_key()),
            issuer("clinic.example", fresh_key(), status="suspended"),
        ]
    )
    site = await follow(site, society)
    rita = await site.log_in("rita")
    assert "No list was had yet" in (await rita.get("/admin/trust")).main.text
    now = site.house.clock.now()
    await site.services.subscriptions.take("cardiology", [society.issue(now)])
    text = (await rita.get("/admin/trust")).main.text
    assert "Allowed by the list cardiology." in text
    assert "Not a peer here: the list has suspended it." in text
    text = (await rita.get("/admin/peers")).main.text
    assert "Allowed by the list cardiology." in text
    society.issuers = []
    await site.services.subscriptions.take("cardiology", [society.issue(now)])
    text = (await rita.get("/admin/trust")).main.text
    assert "Taken off their list" in text
    assert "mercy.example" in text
    site.house.clock.advance(120 * DAY)
    rita = await site.log_in("rita")
    assert "grace is over" in (await rita.get("/admin/trust")).main.text


async def test_a_listed_server_is_left_to_its_list_or_decided_on(site: Site) -> None:
    await site.house.admin("rita")
    society = Society(issuers=[issuer("mercy.example", fresh_key())])
    site = await follow(site, society)
    await site.services.subscriptions.take("cardiology", [society.issue(site.house.clock.now())])
    rita = await site.log_in("rita")
    path = "/admin/peers/mercy.example"

    async def stands() -> tuple[str, bool]:
        peer = await peers.get(site.house.db, "mercy.example")
        assert peer is not None
        return peer.policy.value, peer.own

    # Saving the form as it is makes it nobody's own decision.
    page = await rita.get(path)
    await rita.submit(page, path, {"reason": "Spoke with them"})
    assert await stands() == ("allowed", False)
    assert "Spoke with them" in (await rita.get("/admin/peers")).main.text
    await rita.submit(await rita.get(path), path, {"policy": "limited"})
    assert await stands() == ("limited", False)
    await rita.submit(await rita.get(path), path, {"policy": "deferred"})
    assert await stands() == ("allowed", False)
    await rita.submit(await rita.get(path), path, {"policy": "allowed"})
    assert await stands() == ("allowed", True)
    await rita.submit(await rita.get(path), path, {"policy": "deferred"})
    assert await stands() == ("allowed", False)


async def test_members_do_not_know_the_stewards_page(site: Site) -> None:
    anna = await site.signed_in("anna")
    assert (await anna.get("/admin/trust")).status == 404
