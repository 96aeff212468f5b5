"""What this instance does because of lists, in one transaction; on both kinds of database."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import DAY, FrozenClock
from fedidoc.config import TrustListRules
from fedidoc.errors import BadInput, ConfigError, NotFound
from fedidoc.model import Badge, PeerPolicy
from fedidoc.storage import actors, moderation, peers
from fedidoc.storage import trust_lists as table
from fedidoc.storage.engine import Database, Transaction
from fedidoc.storage.peers import REMOVED, STALE, SUSPENDED
from fedidoc.verification import trust_status
from fedidoc.verification.subscriptions import Pins, Subscriptions
from fedidoc.verification.trust import Trust
from fedidoc.verification.trust_signatures import Outcome
from tests.verification.lists import NOW, URL, Society, fresh_key, issuer, public

A, B = fresh_key(), fresh_key()
ROOT = Path(__file__).parents[2]


class Subscriber:
    """An instance that follows one society, or several."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = FrozenClock(at=NOW)
        self.trust = Trust(db, self.clock, own_host="own.example")
        self.society = Society(issuers=[issuer("a.example", A), issuer("b.example", B)])

    async def follow(self, **others: Society) -> Subscriptions:
        """As at a start, with these lists in the configuration."""
        rules = {
            name: TrustListRules(society.url, society.keys, society.threshold)
            for name, society in {"society": self.society, **others}.items()
        }
        self.subscriptions = Subscriptions(
            self.db, self.clock, self.trust, rules, own_host="own.example"
        )
        await self.subscriptions.begin()
        return self.subscriptions

    async def issue(self, *issuers: dict[str, Any], **changes: Any) -> Outcome:
        """The society issues its next list, which is taken."""
        if issuers:
            self.society.issuers = list(issuers)
        body = self.society.issue(self.clock.now(), **changes)
        return (await self.subscriptions.take("society", [body])).outcome

    async def stands(self) -> dict[str, str | None]:
        """Why trust in each server that only lists allow is withheld; None where it is not."""
        return {p.host: p.withheld for p in await peers.every(self.db) if not p.own}

    async def audit(self) -> list[moderation.AuditRow]:
        return [row async for row in moderation.export(self.db)]


@pytest.fixture
async def subscriber(any_database: Database) -> Subscriber:
    made = Subscriber(any_database)
    await made.follow()
    return made


async def test_issuers_become_peers_with_their_keys(subscriber: Subscriber) -> None:
    assert await subscriber.issue() is Outcome.ACCEPTED
    assert await subscriber.stands() == {"a.example": None, "b.example": None}
    issuer_a = subscriber.trust.issuer("a.example")
    assert issuer_a is not None
    assert issuer_a.key.public_bytes_raw() == A.public_key().public_bytes_raw()
    assert subscriber.trust.trusts("a.example")
    tasks = await subscriber.db.fetch_all("SELECT subject FROM tasks WHERE kind = 'peer'")
    assert sorted(row[0] for row in tasks) == ["a.example", "b.example"]
    rows = await subscriber.audit()
    assert [row.action for row in rows] == [
        "trust_list_begun", "trust_list_accepted", "peer_by_list", "peer_by_list"
    ]  # fmt: skip
    assert {row.who for row in rows} == {"trust lists"}
    assert await moderation.verify(subscriber.db) is None


async def test_what_is_done_already_is_done_once(subscriber: Subscriber) -> None:
    await subscriber.issue()
    before = len(await subscriber.audit())
    await subscriber.subscriptions.follow()
    await subscriber.follow()
    body = subscriber.society.served[1]
    verdict = await subscriber.subscriptions.take("society", [body])
    assert verdict.outcome is Outcome.UNCHANGED
    assert len(await subscriber.audit()) == before


async def test_removal_suspension_and_return(subscriber: Subscriber) -> None:
    await subscriber.issue()
    await subscriber.issue(issuer("a.example", A, status="suspended"))
    assert await subscriber.stands() == {"a.example": SUSPENDED, "b.example": REMOVED}
    assert subscriber.trust.allows("a.example")
    assert not subscriber.trust.allows("b.example")
    assert subscriber.trust.requires_credential("a.example")
    assert subscriber.trust.issuer("a.example") is None
    await subscriber.issue(issuer("a.example", A), issuer("b.example", B))
    assert await subscriber.stands() == {"a.example": None, "b.example": None}


async def test_an_issuer_that_was_suspended_from_the_beginning_is_no_peer(
    subscriber: Subscriber,
) -> None:
    await subscriber.issue(issuer("a.example", A, status="suspended"))
    assert await subscriber.stands() == {}


async def test_an_issuer_without_credentials_is_heard_without(subscriber: Subscriber) -> None:
    await subscriber.issue(issuer("a.example", A, requireCredential=False))
    assert not subscriber.trust.requires_credential("a.example")
    assert not subscriber.trust.trusts("a.example")
    await subscriber.issue(issuer("a.example", A))
    assert subscriber.trust.requires_credential("a.example")


async def test_ourselves_on_a_list_is_nothing(subscriber: Subscriber) -> None:
    await subscriber.issue(issuer("own.example", A))
    assert await subscriber.stands() == {}
    [stand] = await subscriber.subscriptions.stands()
    found = trust_status.describe(
        stand, await subscriber.subscriptions.consequences(), own_host="own.example", now=NOW
    )
    assert [each.effect for each in found.issuers] == ["This instance."]


async def test_the_last_of_several_lists_takes_a_server_away(subscriber: Subscriber) -> None:
    other = Society(
        url="https://other.example/trust-list",
        actor="https://other.example/actor",
        issuers=[issuer("a.example", A)],
    )
    await subscriber.follow(other=other)
    await subscriber.issue()
    await subscriber.subscriptions.take("other", [other.issue()])
    assert (await table.grants(subscriber.db))["a.example"] == ("other", "society")
    await subscriber.issue(issuer("b.example", B))
    assert (await subscriber.stands())["a.example"] is None
    await subscriber.follow()
    assert (await subscriber.stands())["a.example"] == REMOVED


async def test_time_alone_freezes_and_ends_what_a_list_gave(subscriber: Subscriber) -> None:
    await subscriber.issue()
    subscriber.clock.advance(90 * DAY)
    await subscriber.subscriptions.follow()
    assert await subscriber.stands() == {"a.example": None, "b.example": None}
    # A list that has run out is accepted as a later one: it takes away, and gives nothing.
    old = subscriber.society
    old.issuers = [issuer("a.example", A), issuer("c.example", fresh_key())]
    body = old.issue(NOW)
    assert (await subscriber.subscriptions.take("society", [body])).accepted
    assert await subscriber.stands() == {"a.example": None, "b.example": REMOVED}
    subscriber.clock.advance(14 * DAY)
    await subscriber.subscriptions.follow()
    assert await subscriber.stands() == {"a.example": STALE, "b.example": REMOVED}
    await subscriber.issue()
    assert await subscriber.stands() == {
        "a.example": None, "b.example": REMOVED, "c.example": None,
    }  # fmt: skip


async def verified_at(db: Database, host: str) -> None:
    """Somebody of a host, verified here."""
    async with db.transaction() as tx:
        await tx.execute(
            "INSERT INTO actors (id, uri, kind, username, host, local, name, summary_html, inbox,"
            " badge, credential_url, created, refreshed) VALUES (?, ?, 'person', 'clara', ?, 0, '',"
            " '', '', '{}', NULL, 0, 0)",
            (host, f"https://{host}/users/clara", host),
        )
        await tx.execute("UPDATE actors SET badge = ?", (actors._NO_BADGE_TEXT,))
        badge = Badge(True, "Verified.", profession="physician", checked=NOW)
        await actors.set_badge(tx, host, badge, f"https://{host}/credentials/1", at=NOW)


async def badge_at(db: Database, host: str) -> Badge:
    found = await actors.get(db, host)
    assert found is not None
    return found.badge


@pytest.mark.parametrize("how", ["removed", "suspended", "key"])
async def test_badges_fall_in_the_transaction_of_the_list(subscriber: Subscriber, how: str) -> None:
    await subscriber.issue()
    await verified_at(subscriber.db, "a.example")
    after = {
        "removed": [issuer("b.example", B)],
        "suspended": [issuer("a.example", A, status="suspended")],
        "key": [issuer("a.example", fresh_key())],
    }
    await subscriber.issue(*after[how])
    badge = await badge_at(subscriber.db, "a.example")
    assert not badge.verified
    # After another key it is open: the credential is looked at anew. Else it is concluded.
    assert (badge.checked is None) == (how == "key")
    ended = await subscriber.db.fetch_value("SELECT ended FROM verified_spans")
    assert ended == NOW


async def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscriber.issue()
    rows = len(await subscriber.audit())
    body = subscriber.society.issue(issuers=[issuer("c.example", fresh_key())])
    withhold = peers.withhold

    async def fail(tx: Any, host: str, why: str | None) -> None:
        await withhold(tx, host, why)
        raise OSError("the disk is full")

    monkeypatch.setattr(peers, "withhold", fail)
    with pytest.raises(OSError, match="disk"):
        await subscriber.subscriptions.take("society", [body])
    assert await subscriber.stands() == {"a.example": None, "b.example": None}
    assert len(await subscriber.audit()) == rows
    monkeypatch.setattr(peers, "withhold", withhold)
    assert (await subscriber.subscriptions.take("society", [body])).accepted


async def test_a_chain_is_taken_whole_or_not_at_all(subscriber: Subscriber) -> None:
    await subscriber.issue()
    society = subscriber.society
    second = society.issue(issuers=[])
    forged = Society(issuers=[issuer("evil.example", fresh_key())], last=society.last).issue()
    verdict = await subscriber.subscriptions.take("society", [second, forged])
    assert verdict.reason == "signatures"
    assert await subscriber.stands() == {"a.example": None, "b.example": None}
    third = society.issue(issuers=[issuer("b.example", B)])
    assert (await subscriber.subscriptions.take("society", [third])).outcome is Outcome.GAP
    assert (await subscriber.subscriptions.take("society", [second, third])).accepted
    assert await subscriber.stands() == {"a.example": REMOVED, "b.example": None}


async def test_lists_that_ran_out_long_ago_do_nothing_on_the_way(subscriber: Subscriber) -> None:
    """An instance that was off for half a year walks through old lists to the newest."""
    await subscriber.issue()
    await verified_at(subscriber.db, "a.example")
    bodies = [subscriber.society.issue(NOW + n * 60 * DAY) for n in range(1, 4)]
    subscriber.clock.advance(185 * DAY)
    assert (await subscriber.subscriptions.take("society", bodies)).accepted
    assert await subscriber.stands() == {"a.example": None, "b.example": None}
    assert (await badge_at(subscriber.db, "a.example")).verified


async def test_changed_keys_in_the_configuration_begin_anew(subscriber: Subscriber) -> None:
    """Also after a thief published a number that nobody reaches by counting."""
    await subscriber.issue()
    society = subscriber.society
    await subscriber.subscriptions.take(
        "society", [society.issue(sequence=2**52, previous="0" * 64)], leap=True
    )
    lost = society.signers
    subscriber.society = Society(issuers=[issuer("a.example", A)])
    assert await subscriber.issue() is Outcome.REFUSED
    society = subscriber.society = Society(issuers=[issuer("a.example", A)])
    await subscriber.follow()
    assert await subscriber.stands() == {"a.example": None, "b.example": None}, "frozen until then"
    assert await subscriber.issue() is Outcome.ACCEPTED
    assert await subscriber.stands() == {"a.example": None, "b.example": REMOVED}
    stolen = Society(signers=lost, last=society.last).issue()
    assert (await subscriber.subscriptions.take("society", [stolen])).reason == "signatures"


async def test_a_server_that_the_operator_allowed_gets_the_lists_key(
    subscriber: Subscriber,
) -> None:
    await subscriber.trust.allow("a.example", by="operator")
    async with subscriber.db.transaction() as tx:
        await peers.pin_issuer(
            tx, "a.example", "https://a.example/actor", "https://a.example/actor#credential-key",
            public(fresh_key()),
        )  # fmt: skip
    await subscriber.issue()
    peer = await peers.get(subscriber.db, "a.example")
    assert peer is not None
    assert (peer.own, peer.issuer_key) == (True, public(A))
    assert "credential key" in (peer.reason or "")


async def test_a_blocked_server_is_left_alone(subscriber: Subscriber) -> None:
    await subscriber.trust.block("a.example", by="operator")
    await subscriber.issue()
    peer = await peers.get(subscriber.db, "a.example")
    assert peer is not None
    assert (peer.policy, peer.issuer_key, peer.lists) == (PeerPolicy.BLOCKED, None, ("society",))
    assert subscriber.trust.issuer("a.example") is None


async def test_what_was_taken_off_while_it_was_blocked_is_not_heard_afterwards(
    subscriber: Subscriber,
) -> None:
    await subscriber.issue()
    await subscriber.trust.block("a.example", by="operator")
    await subscriber.db.run(_forget_tasks)
    await subscriber.issue(issuer("b.example", B))
    await subscriber.trust.limit("a.example", by="operator")
    assert not subscriber.trust.allows("a.example")
    # And nobody knocks at a server that is blocked, even when a list names it again.
    await subscriber.trust.block("a.example", by="operator")
    await subscriber.db.run(_forget_tasks)
    await subscriber.issue(issuer("a.example", A))
    assert await subscriber.db.fetch_all("SELECT 1 FROM tasks WHERE subject = 'a.example'") == []


async def _forget_tasks(tx: Transaction) -> None:
    await tx.execute("DELETE FROM tasks")


async def test_deferring_names_a_server_that_is_there(subscriber: Subscriber) -> None:
    with pytest.raises(NotFound):
        await subscriber.subscriptions.defer("a.example", by="operator")
    with pytest.raises(BadInput):
        await subscriber.subscriptions.defer("https://a.example", by="operator")
    with pytest.raises(NotFound):
        await subscriber.subscriptions.held("another")


@pytest.mark.parametrize(
    ("url", "keys", "threshold", "mode"),
    [
        ("society.example", (public(A),), 1, "allow"),
        (URL, (), 1, "allow"),
        (URL, ("z6Mk",), 1, "allow"),
        (URL, (public(A),), 0, "allow"),
        (URL, (public(A),), 2, "allow"),
        (URL, (public(A), public(A)), 2, "allow"),
        (URL, (public(A),), 1, "believe"),
    ],
    ids=["url", "no key", "key", "zero", "unreachable", "twice", "mode"],
)
def test_what_cannot_be_subscribed_to(
    url: str, keys: tuple[str, ...], threshold: int, mode: str
) -> None:
    with pytest.raises(ConfigError, match=r"\[trust_lists\.x\]"):
        Pins.of("x", TrustListRules(url, keys, threshold, mode))


# kill -9 ------------------------------------------------------------------------------------------


def lists_that_come_and_go(society: Society, count: int) -> list[str]:
    """Each list names other issuers than the one before, a dozen at a time."""
    pool: dict[str, Ed25519PrivateKey] = {f"h{n}.example": fresh_key() for n in range(24)}
    chance = random.Random(7)
    found = []
    for _ in range(count):
        society.issuers = [issuer(host, pool[host]) for host in chance.sample(sorted(pool), 12)]
        found.append(society.issue().decode())
    return found


async def consistent(url: str) -> int:
    """Whether peers, grants and audit log are exactly those of the newest accepted list."""
    db = await Database.open(url)
    try:
        accepted = await table.accepted(db, "society")
        row = (await table.subscriptions(db))["society"]
        assert row.sequence == (accepted.sequence if accepted else None)
        if accepted is None:
            return 0
        named = {each["host"] for each in json.loads(accepted.document)["issuers"]}
        known = await peers.every(db)
        assert {peer.host for peer in known if peer.withheld is None} == named
        assert {peer.host for peer in known if peer.lists} == named
        assert {peer.withheld for peer in known if peer.host not in named} <= {REMOVED}
        assert await moderation.verify(db) is None
        rows = [each async for each in moderation.export(db)]
        taken = [each for each in rows if each.action == "trust_list_accepted"]
        assert [each.detail["sequence"] for each in taken] == list(range(1, accepted.sequence + 1))
        return accepted.sequence
    finally:
        await db.close()


async def test_killed_at_any_moment_it_is_consistent(any_database_url: str, tmp_path: Path) -> None:
    society = Society()
    file = tmp_path / "lists.json"
    content = {
        "now": NOW, "url": society.url, "keys": society.keys, "threshold": society.threshold,
        "lists": lists_that_come_and_go(society, 150),
    }  # fmt: skip
    file.write_text(json.dumps(content))
    child = Path(__file__).with_name("subscriber_child.py")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    chance, reached = random.Random(3), 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, str(child), any_database_url, str(file)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"ready\n"
        for _ in range(chance.randint(1, 3)):
            assert await asyncio.to_thread(process.stdout.readline)
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait, 20)
        process.stdout.close()
        now_at = await consistent(any_database_url)
        assert now_at >= reached
        reached = now_at
    assert reached >= 5
