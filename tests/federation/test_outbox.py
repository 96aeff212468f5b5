"""Deliveries: in order, retried with a fresh signature, given up when it is no use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from fedidoc.clock import DAY, HOUR, MINUTE
from fedidoc.model import Account, Audience, PeerPolicy
from fedidoc.storage import peers, queues
from tests.federation.network import Network, Node
from tests.federation.pair import DRAFT
from tests.federation.sink import Sink


class Outgoing(NamedTuple):
    node: Node
    ada: Account
    sink: Sink

    async def write(self, title: str = "Syncope") -> None:
        draft = replace(DRAFT, title=title, audience=Audience.FOLLOWERS)
        await self.node.cases.open_case(self.ada, draft)
        await self.node.runner.drain()

    async def wait(self, milliseconds: int) -> None:
        self.node.clock.advance(milliseconds)
        await self.node.runner.drain()

    @property
    def titles(self) -> list[str]:
        return [each.document["object"]["name"] for each in self.sink.got]

    async def counts(self) -> dict[str, int]:
        return (await queues.counts(self.node.db))["delivery"]


async def allow(node: Node, host: str) -> None:
    """Allow a peer without looking it up."""
    async with node.db.transaction() as tx:
        await peers.put(tx, host, PeerPolicy.ALLOWED, require_credential=False, reason=None, now=1)
    await node.trust.refresh()


@pytest.fixture
async def outgoing(network: Network) -> AsyncIterator[Outgoing]:
    node = await network.instance("hospital", serve=False)
    ada = await node.member("ada")
    await node.runner.drain()
    sink = Sink()
    await sink.open()
    await allow(node, sink.domain)
    await sink.add_follower(node, ada.actor_id)
    yield Outgoing(node, ada, sink)
    await sink.close()


async def test_a_delivery_is_signed_and_dated(outgoing: Outgoing) -> None:
    await outgoing.write()
    (got,) = outgoing.sink.got
    assert got.path == "/users/eve/inbox"
    assert got.headers["content-type"] == "application/activity+json"
    assert 'headers="(request-target) host date digest"' in got.headers["signature"]
    assert got.headers["digest"].startswith("SHA-256=")
    assert await outgoing.counts() == {"waiting": 0, "done": 1, "dead": 0}


async def test_a_host_that_is_down_gets_all_of_it_later_in_order(outgoing: Outgoing) -> None:
    await outgoing.sink.close()
    for title in ("one", "two", "three"):
        await outgoing.write(title)
    assert (await outgoing.counts())["waiting"] == 3
    await outgoing.sink.open()
    await outgoing.wait(MINUTE // 2)
    assert outgoing.titles == []  # the circuit breaker holds
    await outgoing.wait(HOUR)
    assert outgoing.titles == ["one", "two", "three"]
    assert await outgoing.counts() == {"waiting": 0, "done": 3, "dead": 0}


async def test_nothing_overtakes_what_has_to_wait(outgoing: Outgoing) -> None:
    outgoing.sink.answers = [(503, "")]
    await outgoing.write("one")
    await outgoing.write("two")
    assert outgoing.titles == ["one"]
    await outgoing.wait(5 * MINUTE)
    assert outgoing.titles == ["one", "one", "two"]


async def test_each_try_is_signed_anew(outgoing: Outgoing) -> None:
    outgoing.sink.answers = [(503, "")]
    await outgoing.write()
    await outgoing.wait(3 * HOUR)
    first, second = outgoing.sink.got
    assert first.body == second.body
    assert first.headers["date"] != second.headers["date"]
    assert first.headers["signature"] != second.headers["signature"]


async def test_retry_after_is_honoured(outgoing: Outgoing) -> None:
    outgoing.sink.answers = [(429, "Retry-After: 7200\r\n")]
    await outgoing.write()
    await outgoing.wait(HOUR)
    assert len(outgoing.sink.got) == 1
    await outgoing.wait(HOUR + MINUTE)
    assert len(outgoing.sink.got) == 2


@pytest.mark.parametrize("status", [404, 410, 422])
async def test_what_is_refused_for_good_is_given_up(outgoing: Outgoing, status: int) -> None:
    outgoing.sink.answers = [(status, "")]
    await outgoing.write("one")
    assert await outgoing.counts() == {"waiting": 0, "done": 0, "dead": 1}
    await outgoing.write("two")
    assert outgoing.titles == ["one", "two"]


async def test_a_host_is_given_up_after_days(outgoing: Outgoing) -> None:
    await outgoing.sink.close()
    await outgoing.write()
    for _ in range(15):
        await outgoing.wait(DAY)
    assert (await outgoing.counts())["dead"] == 1


async def test_a_peer_that_allows_us_an_hour_later_misses_nothing(outgoing: Outgoing) -> None:
    outgoing.sink.answers = [(403, "")] * 3
    await outgoing.write("one")
    for _ in range(3):
        await outgoing.wait(HOUR)
    assert outgoing.titles == ["one"] * 4
    assert await outgoing.counts() == {"waiting": 0, "done": 1, "dead": 0}


@pytest.mark.parametrize("status", [403, 500])
async def test_one_activity_that_a_host_will_not_have_does_not_block_it(
    outgoing: Outgoing, status: int
) -> None:
    outgoing.sink.answers = [(status, "")] * 6
    await outgoing.write("poison")
    await outgoing.write("next")
    for _ in range(6):
        await outgoing.wait(13 * HOUR)
    assert outgoing.titles == ["poison"] * 6 + ["next"]
    assert await outgoing.counts() == {"waiting": 0, "done": 1, "dead": 1}


async def test_the_scheme_that_worked_is_remembered(outgoing: Outgoing) -> None:
    outgoing.sink.answers = [(401, "")]
    await outgoing.write("one")
    outgoing.node.open_rooms()  # remembered on disk
    await outgoing.write("two")
    families = ["signature-input" in each.headers for each in outgoing.sink.got]
    assert (outgoing.titles, families) == (["one", "one", "two"], [False, True, True])


async def test_nothing_goes_to_a_host_that_was_blocked_meanwhile(outgoing: Outgoing) -> None:
    await outgoing.sink.close()
    await outgoing.write()
    await outgoing.node.trust.block(outgoing.sink.domain, by="test")
    await outgoing.sink.open()
    await outgoing.wait(HOUR)
    assert outgoing.sink.got == []
    assert (await outgoing.counts())["dead"] == 1


async def test_many_on_one_server_share_one_delivery(outgoing: Outgoing) -> None:
    for name in ("a", "b", "c"):
        actor_id = await outgoing.sink.add_follower(outgoing.node, outgoing.ada.actor_id, name)
        async with outgoing.node.db.transaction() as tx:
            await tx.execute(
                "UPDATE actors SET shared_inbox = ? WHERE id = ?",
                (f"{outgoing.sink.url}/inbox", actor_id),
            )
    await outgoing.write()
    assert sorted(each.path for each in outgoing.sink.got) == ["/inbox", "/users/eve/inbox"]


async def test_events_run_twice_make_one_activity(outgoing: Outgoing) -> None:
    await outgoing.write()
    async with outgoing.node.db.transaction() as tx:
        await tx.execute(
            "UPDATE events SET state = 'waiting', next_at = 0 WHERE kind = 'post_published'"
        )
    await outgoing.node.runner.drain()
    assert outgoing.sink.types == ["Create"]


async def test_a_post_that_was_deleted_before_it_left_is_never_told(outgoing: Outgoing) -> None:
    post = await outgoing.node.cases.open_case(
        outgoing.ada, replace(DRAFT, audience=Audience.FOLLOWERS)
    )
    await outgoing.node.cases.delete(outgoing.ada, post.id)
    await outgoing.node.runner.drain()
    assert "Syncope" not in "".join(each.body.decode() for each in outgoing.sink.got)
    assert outgoing.sink.types == ["Delete"]
