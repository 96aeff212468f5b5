"""Forms that ask for more than their page offers, and everything sent twice at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from fedidoc.errors import FedidocError
from fedidoc.model import CaseFields, Media, PeerPolicy, Role, Specialty, Standing
from fedidoc.storage import peers
from fedidoc.verification.evidence import EvidenceKind
from tests.house import PASSWORD, claim
from tests.web.browsing import Browser, Shown
from tests.web.conftest import Site

GREEDY = {
    "admin": "1", "is_admin": "yes", "standing": "verified", "suspended_from": "verified",
    "account_id": "1", "actor_id": "1", "id": "1", "local": "0", "badge": "{}", "verified": "1",
}  # fmt: skip


async def _fields(browser: Browser, page: str) -> dict[str, str]:
    shown = await browser.get(page)
    return {"csrf": shown.root.one("input", name="csrf").attrs["value"], **GREEDY}


async def test_nobody_signs_up_as_more_than_a_newcomer(site: Site) -> None:
    browser = site.browser()
    person = {"username": "mallory", "email": "m@mail.example", "password": PASSWORD,
              "name": "Mallory", "specialty": "207RC0000X"}  # fmt: skip
    for role in ("staff", "admin", "steward", "", "PHYSICIAN"):
        fields = await _fields(browser, "/sign-up") | person | {"role": role}
        assert (await browser.post("/sign-up", fields)).status == 400, role
    fields = await _fields(browser, "/sign-up") | person | {"role": "physician"}
    assert (await browser.post("/sign-up", fields)).status == 200
    account = await site.house.accounts.show("mallory")
    assert (account.role, account.admin) == (Role.PHYSICIAN, False)
    assert account.standing is Standing.NEW


async def test_settings_and_applications_change_only_what_they_ask_for(site: Site) -> None:
    await site.house.sign_up("mallory")
    browser = await site.log_in("mallory")
    before = await site.house.accounts.show("mallory")
    fields = await _fields(browser, "/settings")
    fields |= {"name": "Mallory", "summary": "", "username": "ada", "role": "staff"}
    await browser.post("/settings", fields)
    assert await site.house.accounts.show("mallory") == before
    fields = await _fields(browser, "/apply")
    fields |= {"legal_name": "M", "profession": "staff", "licence_number": "1", "state": "approved",
               "jurisdiction": "US-NY", "npi": "1234567893", "decided_by": "1"}  # fmt: skip
    await browser.post("/apply", fields)
    after = await site.house.accounts.show("mallory")
    assert (after.role, after.admin) == (before.role, False)
    assert after.standing is not Standing.VERIFIED


async def test_a_draft_is_read_by_nobody_who_names_its_place(site: Site) -> None:
    """The place of a draft is in the form; the account that owns it is in the session alone."""
    ada, mallory = await site.signed_in("ada"), await site.signed_in("mallory")
    case = await site.case("ada")
    for place in ("case", f"answer:{case.id}", f"edit:{case.id}", f"close:{case.id}", "settings"):
        fields = await _fields(ada, "/cases/new")
        words = {"title": "Zqxjk", "text": "Zqxjk", "outcome": "Zqxjk", "name": "Zqxjk"}
        assert (await ada.post("/drafts/save", fields | words | {"place": place})).status == 204
    thief = await _fields(mallory, "/cases/new")
    await mallory.post("/drafts/discard", thief | {"discard": "case"})
    for path in ("/", "/cases/new", f"/cases/{case.id}", f"/cases/{case.id}/edit", "/settings"):
        assert "Zqxjk" not in (await mallory.get(path)).html, path
    assert "Zqxjk" in (await ada.get("/cases/new")).html


async def test_two_reviewers_at_once_issue_one_credential(site: Site) -> None:
    anna = await site.house.sign_up("anna")
    review = site.services.review
    reviewers = [await site.house.admin(name) for name in ("rita", "rolf")]
    application = await review.apply(anna, claim())
    done = await asyncio.gather(
        *(review.approve(application, by, "diploma", [EvidenceKind.VOUCHES]) for by in reviewers),
        *(review.refuse(application, by, "no") for by in reviewers),
        return_exceptions=True,
    )
    failed = [each for each in done if isinstance(each, BaseException)]
    assert len(failed) == 3
    assert all(isinstance(each, FedidocError) for each in failed)
    count = await site.house.db.fetch_value(
        "SELECT COUNT(*) FROM credentials WHERE revoked IS NULL"
    )
    account = await site.house.accounts.show("anna")
    assert count == (account.standing is Standing.VERIFIED)


async def test_what_is_sent_twice_at_once_happens_once(site: Site) -> None:
    case = await site.case("ada")
    browser = await site.signed_in("bob")
    bob, ada = await site.account("bob"), await site.account("ada")
    token = (await _fields(browser, "/cases/new"))["csrf"]
    answer = {"csrf": token, "text": "Seen once before.", "once": "n" * 22}
    await asyncio.gather(
        *(browser.post(f"/cases/{case.id}/like", {"csrf": token, "liked": "yes"}) for _ in "abcd"),
        *(browser.post("/follow", {"csrf": token, "actor": ada.actor_id}) for _ in "abcd"),
        *(browser.post(f"/cases/{case.id}/answer", answer) for _ in "abcd"),
    )
    thread = await site.services.cases.thread(bob, case.id)
    assert (thread.root.likes, len(thread.replies)) == (1, 1)
    assert await site.services.follows.counts(ada.actor_id) == (1, 0)
    notices = (await site.services.notifications.list(ada)).items
    kinds = sorted(notice.kind.value for notice in notices if notice.actor is not None)
    assert kinds == ["followed", "liked", "replied"]


NASTY = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "javascript:alert(1)",
    "'\"--><svg/onload=alert(1)>", "{{ 7*7 }}{% raw %}", "</textarea></title><form action=//e>",
)  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY)
async def test_nothing_a_peer_says_becomes_part_of_a_page(site: Site, nasty: str) -> None:
    """Stored cross-site scripting through every text that a peer can send."""
    eve = await site.colleague("eve", "peer.example", url="https://peer.example/@eve")
    fields = CaseFields(
        specialty=Specialty(nasty[:20], nasty), age_band=nasty[:12], sex="female",
        presentation=nasty, findings=f"[a]({nasty})", question=nasty, outcome=nasty,
        teaching_points=f"<{nasty}>",
    )  # fmt: skip
    async with site.house.db.transaction() as tx:
        await tx.execute("UPDATE actors SET name = ? WHERE id = ?", (nasty, eve.id))
        await peers.put(tx, "peer.example", PeerPolicy.ALLOWED, require_credential=True,
                        reason=nasty, now=1)  # fmt: skip
        await tx.execute("UPDATE peers SET software = ?", (nasty,))
    media = Media(
        "m1", nasty, "image/png", 9, 9, file=None, remote_url="https://peer.example/x.png"
    )
    ada = await site.account("ada")
    html = f"<p>{nasty}</p><a href='{nasty}'>x</a>"
    case = await site.receive(
        eve, "n", title=nasty, html=html, fields=fields, media=(media,), recipients=(ada.actor_id,)
    )
    await site.receive(eve, "answer", title=nasty, html=nasty, in_reply_to=case.uri)
    browser = await site.signed_in("ada")
    paths = ["/", "/?show=all", f"/cases/{case.id}", "/@eve@peer.example", f"/badge/{eve.id}",
             "/notifications", "/find?q=eve"]  # fmt: skip
    for path in paths:
        shown = await browser.get(path)
        assert shown.status < 500, path
        _assert_harmless(shown)
    assert nasty[:6] in (await browser.get(f"/cases/{case.id}")).root.text
    await site.house.admin("rita")
    steward = await site.log_in("rita")
    for path in ("/admin/peers", "/admin/peers/peer.example"):
        _assert_harmless(await steward.get(path))


def _assert_harmless(shown: Shown) -> None:
    for node in shown.root.walk():
        assert not [name for name in node.attrs if name.startswith("on")], (shown.path, node)
        if node.tag in {"script", "iframe", "object", "embed", "base", "link", "img", "form"}:
            for name in ("src", "href", "action"):
                value = node.attrs.get(name, "/")
                assert value.startswith("/"), (shown.path, node.tag, value)
                assert not value.startswith("//"), (shown.path, node.tag, value)
        if node.tag == "script":
            assert node.attrs.get("src"), shown.path
        target = node.attrs.get("href", "/").lower()
        assert target.startswith(("/", "#", "?", "http://", "https://")), (shown.path, target)
