"""What a level lets a member do, on pages and through the API; and the mark beside a name."""

from __future__ import annotations

import pytest

from fedidoc.config import LevelRules
from fedidoc.model import Role
from fedidoc.verification.policy import Policy
from fedidoc.web import api
from tests.house import PASSWORD
from tests.web.browsing import Browser
from tests.web.conftest import Site
from tests.web.test_api import Caller

EVERYTHING = ("read", "answer", "open", "vouch", "found")
CASE = {
    "title": "Breathless", "presentation": "Two pillows.", "question": "Biopsy?",
    "specialty": "Cardiovascular Disease", "age_band": "60-69", "sex": "male",
    "audience": "verified",
}  # fmt: skip


async def limited(site: Site, *may: str) -> Browser:
    """Bert, signed in, on an instance whose level allows no more than this."""
    await site.account("bert")
    site.house.use_policy(Policy.of({"mine": LevelRules(("physician",), ("operator",), may)}))
    await site.house.review.standings.follow_policy()
    return await site.log_in("bert")


async def caller(site: Site) -> Caller:
    api.register(site.app, site.services)
    token = await site.house.accounts.create_token("bert", by="operator")
    return Caller(site.app, site.origin, token)


async def test_who_only_reads_is_told_so(site: Site) -> None:
    post = await site.case("anna")
    bert = await limited(site, "read")
    shown = await bert.get(f"/cases/{post.id}")
    assert shown.status == 200
    assert not shown.root.all(id="answer-form")
    assert not (await bert.get("/?show=all")).root.all("a", href="/cases/new")
    token = shown.root.one("input", name="csrf").attrs["value"]
    sent = await bert.post(f"/cases/{post.id}/answer", {"csrf": token, "text": "Biopsy."})
    assert (sent.status, "not answer them" in sent.main.text) == (403, True)
    for page in (
        await bert.get("/cases/new"),
        await bert.post("/cases/new", {"csrf": token, **CASE}),
    ):
        assert (page.status, "open cases of your own" in page.main.text) == (403, True)
    assert [p.id for p in await site.posts()] == [post.id]

    program = await caller(site)
    assert (await program.get(f"/api/v1/statuses/{post.id}")).status == 200
    for fields, words in (
        ({"status": "Biopsy.", "in_reply_to_id": post.id}, "not answer them"),
        ({"status": "Two pillows.", "title": "Breathless"}, "open cases"),
    ):
        refused = await program.post("/api/v1/statuses", fields)
        assert refused.status == 403 and words in refused.json["error"]
    assert [p.id for p in await site.posts()] == [post.id]


async def test_who_may_not_read_sees_nothing(site: Site) -> None:
    post = await site.case("anna")
    bert = await limited(site)
    for path in (f"/cases/{post.id}", "/?show=all", "/cases/new", "/find", "/notifications"):
        page = await bert.get(path)
        assert page.status == 403, path
        assert "does not include reading cases" in page.main.text
        assert "Breathless" not in page.html
    program = await caller(site)
    for path in (f"/api/v1/statuses/{post.id}", "/api/v1/timelines/public"):
        assert (await program.get(path)).status == 403


async def test_rights_that_are_given_work(site: Site) -> None:
    post = await site.case("anna")
    bert = await limited(site, *EVERYTHING)
    page = await bert.get(f"/cases/{post.id}")
    done = await bert.submit(page, f"/cases/{post.id}/answer", {"text": "Biopsy first."})
    assert done.status == 200 and len(await site.posts()) == 2


@pytest.mark.parametrize(
    ("role", "mark"),
    [(Role.RESIDENT, True), (Role.STUDENT, True), (Role.PHYSICIAN, False)],
)
async def test_trainees_have_their_mark_beside_their_name(
    site: Site, role: Role, mark: bool
) -> None:
    house = site.house
    rena, _ = await house.accounts.add_member(
        "rena", "rena@mail.example", "Rena", role, None, password=PASSWORD, by="operator"
    )
    await house.review.verify_directly(rena.id, "known", "operator")
    post = await site.case("rena")
    anna = await site.signed_in("anna")
    for path in ("/?show=all", f"/cases/{post.id}", "/@rena", f"/badge/{rena.actor_id}"):
        page = await anna.get(path)
        marks = [tag.text for tag in page.main.all("span", class_="tag mark")]
        assert bool(marks) is mark, path
        assert set(marks) <= {"in training"}
