"""Pseudonyms between servers: verified by peers, kept in the verified network."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from fedidoc.clinical.cases import Cases
from fedidoc.clock import DAY, MINUTE, DayClock, from_iso
from fedidoc.model import Account, Actor, Audience, Post
from fedidoc.storage import activities, actors, cases
from fedidoc.verification import checks
from tests.federation.pair import DRAFT, Pair
from tests.federation.sink import Sink
from tests.house import ADDRESS
from tests.nyms import PASSPHRASE, Nyms

HANDLE = "quiet_heron"


class Masks(NamedTuple):
    """The hospital's Ada and four others have codes; `nym` is one of theirs."""

    pair: Pair
    nyms: Nyms
    nym: Account
    cases: Cases

    async def actor(self) -> Actor:
        found = await actors.get(self.pair.hospital.db, self.nym.actor_id)
        assert found is not None
        return found

    async def open_case(self) -> Post:
        draft = replace(DRAFT, audience=Audience.VERIFIED)
        post = await self.cases.open_case(self.nym, draft)
        await self.pair.network.settle()
        return post

    async def seen(self, post: Post) -> Post | None:
        return await cases.by_uri(self.pair.society.db, post.uri)


@pytest.fixture
async def masks(pair: Pair) -> Masks:
    node = pair.hospital

    async def verified(name: str) -> Account:
        return await node.member(name)

    house: Any = SimpleNamespace(
        db=node.db, clock=node.clock, vault=node.vault, urls=node.urls, config=node.config,
        credentials=node.credentials, accounts=node.accounts, verified=verified,
    )  # fmt: skip
    nyms = Nyms(house)
    await nyms.made("anna", HANDLE)
    await pair.network.settle()
    done = await nyms.accounts.log_in(HANDLE, PASSPHRASE, address=ADDRESS)
    days = DayClock(node.clock)
    return Masks(pair, nyms, done.account, Cases(node.db, days, node.urls, node.pictures))


async def test_a_peer_sees_a_verified_physician_and_a_seal(masks: Masks) -> None:
    there = await masks.seen(await masks.open_case())
    assert there is not None
    badge = there.author.badge
    assert badge.verified and badge.sealed, badge.reason
    assert badge.profession == "physician" and badge.jurisdiction is None
    assert badge.specialty is None and badge.issuer == masks.pair.hospital.domain
    assert there.audience is Audience.VERIFIED


async def test_everything_that_leaves_says_a_day_or_a_month(masks: Masks) -> None:
    masks.pair.hospital.clock.advance(7 * 3_600_000 + 12_345)
    own = await masks.open_case()
    case, _ = await masks.pair.open_case(Audience.VERIFIED)
    answer = await masks.cases.reply(masks.nym, case.id, "Catheter first.")
    await masks.pair.network.settle()
    node, sent = masks.pair.hospital, []
    rows = await node.db.fetch_all(
        "SELECT id FROM activities WHERE actor_id = ?", (masks.nym.actor_id,)
    )
    for row in rows:
        found = await activities.get(node.db, row["id"])
        assert found is not None
        sent.append(json.loads(found.body))
    actor = await masks.actor()
    sent.append(await node.publications.actor(node.db, actor))
    _, _, body = await masks.pair.society.ask(node, actor.badge.credential.split(node.domain)[1])
    sent.append(json.loads(body))
    moments = [m for document in sent for m in times(document)]
    assert len(moments) > 6
    allowed = {case.published // 1000 * 1000 + 1000}  # the answer: the case's own second, plus one
    assert not [m for m in moments if m % DAY and m not in allowed]
    ids = [own.id, answer.id, *(row["id"] for row in rows)]
    day = DayClock(node.clock).sortable_id()[:9]
    month = DayClock(node.clock, months=True).sortable_id()[:9]
    assert all(id.startswith((day, month)) for id in ids)


def times(value: Any) -> list[int]:
    """Every time that stands in a document."""
    if isinstance(value, dict):
        return [m for each in value.values() for m in times(each)]
    if isinstance(value, list):
        return [m for each in value for m in times(each)]
    moment = from_iso(value) if isinstance(value, str) and value[:2] == "20" else None
    return [moment] if moment is not None else []


async def test_the_actor_is_a_person_with_its_extension(masks: Masks) -> None:
    node = masks.pair.hospital
    status, _, body = await masks.pair.society.ask(node, f"/users/{HANDLE}")
    document = json.loads(body)
    assert status == 200 and document["type"] == "Person" and document["pseudonymous"] is True
    assert document["name"] == HANDLE and document["summary"] == ""
    assert document["icon"]["url"] == f"{node.urls.base}/avatars/{HANDLE}.png"
    assert document["discoverable"] is False
    for path in (f"/users/{HANDLE}/followers", f"/users/{HANDLE}/following",
                 f"/.well-known/webfinger?resource=acct:{HANDLE}@{node.domain}"):  # fmt: skip
        assert (await masks.pair.society.ask(node, path))[0] == 404
    # Ada, who is no pseudonym, still has all of these.
    assert (await masks.pair.society.ask(node, "/users/ada/followers"))[0] == 200


async def test_nothing_of_it_goes_to_a_peer_that_checks_no_credentials(masks: Masks) -> None:
    node = masks.pair.hospital
    plain = await masks.pair.network.instance("plain")
    await node.trust.allow(plain.domain, require_credential=False, by="test")
    await plain.trust.allow(node.domain, by="test")
    await masks.pair.network.settle()
    sink = Sink()
    await sink.open()
    await node.trust.allow(sink.domain, require_credential=False, by="test")
    await sink.add_follower(node, masks.nym.actor_id)
    await sink.add_follower(node, masks.pair.ada.actor_id, "ivo")
    public, _ = await masks.pair.open_case(Audience.PUBLIC)
    assert sink.got  # Ada's goes there
    before = len(sink.got)
    own = await masks.open_case()
    answer = await masks.cases.reply(masks.nym, public.id, "Catheter first.")
    await masks.cases.like(masks.nym, public.id)
    await masks.nyms.openings.suspend(HANDLE, "Remarks about colleagues", by="test")
    await masks.pair.network.settle()
    assert not [got for got in sink.got[before:] if HANDLE in got.body.decode()]
    await sink.close()
    for path in (f"/users/{HANDLE}", f"/users/{HANDLE}/outbox", f"/objects/{own.id}",
                 f"/objects/{answer.id}"):  # fmt: skip
        assert (await plain.ask(node, path))[0] == 404
    assert (await plain.ask(node, f"/objects/{public.id}"))[0] == 200


async def test_a_suspended_pseudonym_loses_its_badge_at_peers(masks: Masks) -> None:
    post = await masks.open_case()
    await masks.nyms.openings.suspend(HANDLE, "Remarks about colleagues", by="test")
    await masks.pair.network.settle()
    there = await masks.seen(post)
    assert there is None or not there.author.badge.verified
    status, _, _ = await masks.pair.society.ask(masks.pair.hospital, f"/users/{HANDLE}")
    assert status == 404


async def test_a_peer_blocks_one_pseudonym_and_not_its_server(masks: Masks) -> None:
    post = await masks.open_case()
    there, society = await masks.seen(post), masks.pair.society
    assert there is not None
    async with society.db.transaction() as tx:
        await actors.set_suspended(tx, there.author.id, society.clock.now())
    shown = await society.cases.timeline(masks.pair.bob, show="all")
    assert post.uri not in [each.uri for each in shown.items]
    again = await masks.open_case()
    assert await masks.seen(again) is None
    _, ada = await masks.pair.open_case(Audience.VERIFIED)
    assert ada is not None


async def test_posts_leave_later_for_who_wants_that(masks: Masks) -> None:
    node = masks.pair.hospital
    due = node.clock.now() + 20 * MINUTE
    later = replace(masks.cases, due=lambda: due)
    post = await later.open_case(masks.nym, replace(DRAFT, audience=Audience.VERIFIED))
    await masks.pair.network.settle()
    assert await masks.seen(post) is None
    assert await cases.get(node.db, post.id) is not None  # here at once
    node.clock.advance(21 * MINUTE)
    await masks.pair.network.settle()
    assert await masks.seen(post) is not None


def test_a_credential_that_says_something_else_of_its_person_is_refused() -> None:
    assert checks._sealed({"identity": "sealed"}) is True
    assert checks._sealed({}) is False
    with pytest.raises(checks.NotBelieved):
        checks._sealed({"identity": "open"})
