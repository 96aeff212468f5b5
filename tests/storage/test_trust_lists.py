"""Trust lists in the database: what is newest, what begins anew, by whose word a peer is there."""

import pytest

from fedidoc.model import PeerPolicy
from fedidoc.storage import peers
from fedidoc.storage import trust_lists as table
from fedidoc.storage.engine import Database, Duplicate
from fedidoc.storage.trust_lists import Accepted, Published

NOW = 1_790_000_000_000


def entry(sequence: int, text: str = "{}") -> Accepted:
    return Accepted(sequence, f"{sequence:064x}", text, 2, None, NOW + sequence)


async def begin(db: Database, name: str = "society", pins: str = "p1") -> None:
    async with db.transaction() as tx:
        await table.begin(tx, name, pins)


async def test_the_newest_accepted_list_is_found(any_database: Database) -> None:
    await begin(any_database)
    assert await table.accepted(any_database, "society") is None
    for sequence in (1, 2, 10):
        async with any_database.transaction() as tx:
            await table.accept(tx, "society", entry(sequence))
    assert await table.accepted(any_database, "society") == entry(10)
    assert (await table.subscriptions(any_database))["society"].sequence == 10
    with pytest.raises(Duplicate):
        async with any_database.transaction() as tx:
            await table.accept(tx, "society", entry(10, "another"))


async def test_what_began_anew_holds_the_old_list_until_there_is_a_new_one(
    any_database: Database,
) -> None:
    await begin(any_database)
    async with any_database.transaction() as tx:
        await table.accept(tx, "society", entry(1_000))
        await table.answered(tx, "society", '"tag"', NOW)
    await begin(any_database, pins="p2")
    row = (await table.subscriptions(any_database))["society"]
    assert (row.pins, row.sequence, row.etag, row.asked) == ("p2", None, None, None)
    assert await table.accepted(any_database, "society") == entry(1_000)
    async with any_database.transaction() as tx:
        await table.accept(tx, "society", entry(7))
    assert await table.accepted(any_database, "society") == entry(7)


async def test_trouble_is_new_once_and_ends_with_an_answer(any_database: Database) -> None:
    await begin(any_database)
    async with any_database.transaction() as tx:
        assert await table.troubled(tx, "society", "rollback", "Old.", NOW)
        assert not await table.troubled(tx, "society", "rollback", "Old.", NOW + 1)
        assert await table.troubled(tx, "society", "fork", "Two.", NOW + 2)
        assert not await table.troubled(tx, "unknown", "fork", "Two.", NOW + 2)
    row = (await table.subscriptions(any_database))["society"]
    assert (row.trouble, row.trouble_since, row.failures, row.answered) == (
        "fork",
        NOW + 2,
        3,
        None,
    )
    async with any_database.transaction() as tx:
        await table.answered(tx, "society", None, NOW + 3)
    row = (await table.subscriptions(any_database))["society"]
    assert (row.trouble, row.trouble_text, row.failures, row.answered) == (None, None, 0, NOW + 3)


async def test_grants_are_those_that_were_set_last(any_database: Database) -> None:
    async with any_database.transaction() as tx:
        await table.set_grants(tx, "a.example", ("one", "two"), NOW)
        await table.set_grants(tx, "b.example", ("one",), NOW)
        await table.set_grants(tx, "a.example", ("two", "three"), NOW + 1)
    assert await table.grants(any_database) == {
        "a.example": ("three", "two"),
        "b.example": ("one",),
    }
    since = await any_database.fetch_value(
        "SELECT since FROM trust_grants WHERE host = 'a.example' AND subscription = 'two'"
    )
    assert since == NOW
    await begin(any_database, "one")
    async with any_database.transaction() as tx:
        await table.end(tx, "one")
    assert "b.example" not in await table.grants(any_database)
    assert await table.subscriptions(any_database) == {}


async def test_published_lists_stay_as_they_are(any_database: Database) -> None:
    assert await table.published(any_database) is None
    first, second = Published(1, "a", '{"n": 1}', NOW), Published(2, "b", '{"n": 2}', NOW)
    async with any_database.transaction() as tx:
        await table.publish(tx, first)
        await table.publish(tx, second)
    assert await table.published(any_database) == second
    assert await table.published(any_database, 1) == first
    assert await table.published(any_database, 3) is None
    with pytest.raises(Duplicate):
        async with any_database.transaction() as tx:
            await table.publish(tx, Published(2, "c", "{}", NOW))


async def test_a_list_changes_nothing_that_the_operator_said(any_database: Database) -> None:
    async def stands(host: str) -> tuple[str, bool, bool, str | None]:
        peer = await peers.get(any_database, host)
        assert peer is not None
        return peer.policy.value, peer.require_credential, peer.own, peer.withheld

    async with any_database.transaction() as tx:
        await peers.put(
            tx, "own.example", PeerPolicy.BLOCKED, require_credential=True, reason=None, now=NOW
        )
        for host in ("own.example", "listed.example"):
            await peers.put_listed(tx, host, require_credential=False, now=NOW)
            await peers.withhold(tx, host, peers.SUSPENDED)
    assert await stands("own.example") == ("blocked", True, True, None)
    assert await stands("listed.example") == ("allowed", False, False, "suspended")
    async with any_database.transaction() as tx:
        await peers.put(
            tx, "listed.example", PeerPolicy.LIMITED, require_credential=True, reason=None,
            now=NOW, own=False,
        )  # fmt: skip
    assert await stands("listed.example") == ("limited", True, False, "suspended")
    async with any_database.transaction() as tx:
        await peers.put(
            tx, "listed.example", PeerPolicy.ALLOWED, require_credential=True, reason=None, now=NOW
        )
    assert await stands("listed.example") == ("allowed", True, True, None)
    async with any_database.transaction() as tx:
        await peers.disown(tx, "listed.example", "Spoke with them")
    assert await stands("listed.example") == ("allowed", True, False, None)
