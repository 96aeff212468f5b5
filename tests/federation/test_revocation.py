"""A revocation counts on peers within a day, also when nobody tells them of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from fedidoc.clinical.profiles import Profiles
from fedidoc.clock import DAY, HOUR
from fedidoc.model import Actor
from fedidoc.storage import actors
from fedidoc.verification.status import STALE
from tests.federation.network import Network, Node
from tests.federation.pair import Pair

NAMES = [f"doc{number}" for number in range(12)]


class Counted:
    """Counts what a node is asked, by the kind of thing."""

    def __init__(self, node: Node) -> None:
        self.asked: Counter[str] = Counter()
        inner = node.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                path = scope["path"]
                kinds = {
                    "list": path.startswith("/credentials/status/"),
                    "credential": path.startswith("/credentials/"),
                    "actor": path.startswith("/users/"),
                    "webfinger": path.endswith("webfinger"),
                }
                self.asked[next((kind for kind, fits in kinds.items() if fits), "other")] += 1
            await inner(scope, receive, send)

        node.app = app  # type: ignore[assignment]


async def forget_to_tell(node: Node) -> None:
    """Whatever the node was about to tell its peers is lost."""
    async with node.db.transaction() as tx:
        await tx.execute("DELETE FROM events")
        await tx.execute("DELETE FROM deliveries")


async def hours_until(pair: Pair, actor_id: str, verified: bool, most: int = 100) -> int:
    """How many hours pass until the society thinks so of an actor; its hourly task runs."""
    for hour in range(most + 1):
        if (await seen(pair.society, actor_id)).badge.verified is verified:
            return hour
        pair.network.clock.advance(HOUR)
        await pair.society.runner.drain()
    raise AssertionError(f"not within {most} hours")


async def seen(node: Node, actor_id: str) -> Actor:
    found = await actors.get(node.db, actor_id)
    assert found is not None
    return found


@pytest.fixture
async def ada(pair: Pair) -> Actor:
    """Ada as the society knows her, verified, with the society's rounds under way."""
    await pair.society.rounds.seed()
    found = await pair.follow()
    assert found.badge.verified
    return found


@pytest.mark.parametrize("passed", [0, 1, 5, 7, 13])
async def test_a_revocation_of_which_nobody_tells(pair: Pair, ada: Actor, passed: int) -> None:
    """At whatever hour of the society's rounds it happens: seven hours at the most."""
    for _ in range(passed):
        pair.network.clock.advance(HOUR)
        await pair.society.runner.drain()
    async with pair.hospital.db.transaction() as tx:
        assert await pair.hospital.credentials.revoke(tx, pair.ada.actor_id)
    await forget_to_tell(pair.hospital)
    assert await hours_until(pair, ada.id, False) <= 7
    badge = (await seen(pair.society, ada.id)).badge
    assert badge.reason in (
        "The issuer has revoked the credential.",
        "No credential was presented.",  # what her own server says when it is asked then
    )


async def test_a_suspension_of_which_nobody_tells_and_its_end(pair: Pair, ada: Actor) -> None:
    await pair.hospital.accounts.suspend("ada", reason="inquiry", by="test")
    await forget_to_tell(pair.hospital)
    assert await hours_until(pair, ada.id, False) <= 7
    await pair.hospital.accounts.restore("ada", by="test")
    await forget_to_tell(pair.hospital)
    assert await hours_until(pair, ada.id, True) <= 25


async def test_one_request_settles_everybody_who_stands_in_a_list(network: Network) -> None:
    """A week of rounds for twelve members of one hospital: four lists a day, not twelve actors."""
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await network.befriend(hospital, society)
    await society.rounds.seed()
    known = []
    for name in NAMES:
        await hospital.member(name)
        known.append(await society.remote.find(f"@{name}@{hospital.domain}"))
    await network.settle()
    counted = Counted(hospital)
    for _ in range(6 * 24):
        network.clock.advance(HOUR)
        await society.runner.drain()
    assert all([(await seen(society, each.id)).badge.verified for each in known])
    assert counted.asked["list"] <= 6 * 4 + 1
    assert counted.asked.total() - counted.asked["list"] == 0
    # Half of them at once: still one list, and each of the fallen is asked for something newer.
    async with hospital.db.transaction() as tx:
        for name in NAMES[:6]:
            member = await hospital.accounts.show(name)
            await hospital.credentials.revoke(tx, member.actor_id)
    await forget_to_tell(hospital)
    counted.asked.clear()
    for _ in range(7):
        network.clock.advance(HOUR)
        await society.runner.drain()
    now = [(await seen(society, each.id)).badge.verified for each in known]
    assert now == [False] * 6 + [True] * 6
    assert counted.asked["list"] <= 2
    assert counted.asked["actor"] == 6


async def test_a_whole_look_every_week_finds_a_new_name(pair: Pair, ada: Actor) -> None:
    async with pair.hospital.db.transaction() as tx:
        await tx.execute("UPDATE actors SET name = 'Ada L.' WHERE id = ?", (pair.ada.actor_id,))
    for _ in range(7 * 24 + 1):
        pair.network.clock.advance(HOUR)
        await pair.society.runner.drain()
    assert (await seen(pair.society, ada.id)).name == "Ada L."


async def test_an_issuer_that_is_away_is_believed_for_three_days(pair: Pair, ada: Actor) -> None:
    await pair.hospital.stop_serving()
    hours = await hours_until(pair, ada.id, False)
    assert STALE // HOUR <= hours <= STALE // HOUR + 2
    reason = (await seen(pair.society, ada.id)).badge.reason
    assert "list of revoked credentials" in reason
    await pair.hospital.serve()
    assert await hours_until(pair, ada.id, True) <= 25


async def test_a_credential_that_ran_out_counts_no_longer(pair: Pair, ada: Actor) -> None:
    until = ada.badge.valid_until
    assert until is not None
    pair.network.clock.advance(until - pair.network.clock.now() - HOUR // 2)
    await pair.society.runner.drain()
    await hours_until(pair, ada.id, True, most=1)
    assert await hours_until(pair, ada.id, False) <= 2


@pytest.mark.parametrize("how", ["blocked", "unpinned"])
async def test_a_server_that_is_trusted_no_longer(pair: Pair, ada: Actor, how: str) -> None:
    host = pair.hospital.domain
    if how == "blocked":
        await pair.society.trust.block(host, by="test")
    else:
        async with pair.society.db.transaction() as tx:
            await tx.execute("UPDATE peers SET issuer_key = NULL WHERE host = ?", (host,))
            await tx.execute("DELETE FROM tasks WHERE kind = 'peer'")
        await pair.society.trust.refresh()
        await pair.hospital.stop_serving()
    assert await hours_until(pair, ada.id, False) == 1
    assert "not trusted" in (await seen(pair.society, ada.id)).badge.reason or how == "unpinned"


async def test_a_key_that_is_not_the_pinned_one_any_more(pair: Pair, ada: Actor) -> None:
    """The operator pinned another key: what the old one signed counts no longer."""
    async with pair.society.db.transaction() as tx:
        await tx.execute(
            "UPDATE peers SET issuer_key = 'z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp'"
            " WHERE host = ?",
            (pair.hospital.domain,),
        )
    await pair.society.trust.refresh()
    assert await hours_until(pair, ada.id, False) == 1


async def test_the_old_list_serves_while_the_new_one_does_not_come(pair: Pair, ada: Actor) -> None:
    pair.network.clock.advance(7 * HOUR)
    await pair.hospital.stop_serving()
    await pair.society.runner.drain()
    assert (await seen(pair.society, ada.id)).badge.verified
    await pair.hospital.serve()
    pair.network.clock.advance(DAY)
    await pair.society.runner.drain()
    assert (await seen(pair.society, ada.id)).badge.verified


async def test_what_a_revoked_author_wrote_stays_readable_and_says_so_on_peers(
    pair: Pair, ada: Actor
) -> None:
    _, there = await pair.open_case()
    assert there is not None
    profiles = Profiles(pair.society.db, pair.network.clock)
    assert await profiles.lapsed_since([there]) == {}
    pair.network.clock.advance(DAY)
    now = pair.network.clock.now()
    async with pair.hospital.db.transaction() as tx:
        await pair.hospital.credentials.revoke(tx, pair.ada.actor_id)
    await pair.network.settle()
    after = await pair.society.cases.get(pair.bob, there.id)
    assert not after.author.badge.verified
    assert await profiles.lapsed_since([after]) == {there.id: now}
    # What she sends from now on is refused, so there is nothing to mark.
    with pytest.raises(AssertionError):
        await hours_until(pair, ada.id, True, most=30)


async def test_a_renewal_passes_without_a_gap_on_peers(pair: Pair, ada: Actor) -> None:
    """At no hour between the announcement and the old one's end is the member unverified."""
    old = ada.badge.credential
    await pair.hospital.lifetimes.renew("ada", "operator")
    async with pair.hospital.db.transaction() as tx:
        # The society's copy of the Update is lost; the hospital believes it was taken.
        await tx.execute("DELETE FROM events")
    seen_badges = set()
    for _ in range(60):
        await pair.hospital.lifetimes.watch()
        await pair.hospital.runner.drain()
        await pair.society.runner.drain()
        badge = (await seen(pair.society, ada.id)).badge
        assert badge.verified
        seen_badges.add(badge.credential)
        pair.network.clock.advance(HOUR)
    assert old in seen_badges and len(seen_badges) == 2


async def test_suspended_and_restored_within_a_minute(pair: Pair, ada: Actor) -> None:
    """The server that said "gone" a moment ago is asked again when it says that she is back."""
    await pair.hospital.accounts.suspend("ada", reason="a mistake", by="test")
    await pair.network.settle()
    assert not (await seen(pair.society, ada.id)).badge.verified
    pair.network.clock.advance(20_000)
    await pair.hospital.accounts.restore("ada", by="test")
    await pair.network.settle()
    assert (await seen(pair.society, ada.id)).badge.verified


async def test_an_issuer_with_a_list_for_each_member_is_not_asked_for_all(
    pair: Pair, ada: Actor
) -> None:
    """A hostile peer cannot have this instance fetch thousands of lists every round."""
    uri = pair.hospital.urls.status_list
    async with pair.society.db.transaction() as tx:
        for number in range(200):
            await tx.execute(
                "INSERT INTO actors (id, uri, kind, username, host, local, name, summary_html,"
                " inbox, badge, credential_url, created, refreshed) SELECT ?, ?, kind, ?, host, 0,"
                " '', '', inbox, badge, credential_url, created, ? FROM actors WHERE id = ?",
                (f"many{number}", f"{ada.uri}{number}", f"many{number}",
                 pair.network.clock.now() + DAY, ada.id),
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO presented (actor_id, url, document, fetched, status_list,"
                " status_index, issuer_key, valid_until) SELECT ?, url, document, fetched, ?,"
                " status_index, issuer_key, valid_until FROM presented WHERE actor_id = ?",
                (f"many{number}", f"{uri}{number}", ada.id),
            )
    counted = Counted(pair.hospital)
    pair.network.clock.advance(HOUR)
    await pair.society.rounds.look_again("all", {})
    assert counted.asked["list"] <= 16


async def test_what_an_actor_presented_is_forgotten_with_it(pair: Pair, ada: Actor) -> None:
    async with pair.society.db.transaction() as tx:
        await actors.set_deleted(tx, ada.id, pair.network.clock.now())
    for table in ("presented", "verified_spans"):
        left = await pair.society.db.fetch_value(
            f"SELECT COUNT(*) FROM {table} WHERE actor_id = ?", (ada.id,)
        )
        assert left == 0, table
