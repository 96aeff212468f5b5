"""A society publishes a trust list, a hospital follows it, and so a clinic is trusted there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import DAY, HOUR, MINUTE
from fedidoc.config import TrustListRules
from fedidoc.errors import BadInput
from fedidoc.integrity import encode_multikey
from fedidoc.model import Actor, PeerPolicy
from fedidoc.storage import actors, moderation, peers
from fedidoc.storage.peers import REMOVED, STALE, SUSPENDED, Peer
from fedidoc.verification.publishing import Edits
from fedidoc.verification.trust_signatures import Outcome, sign
from tests.federation.network import Network, Node
from tests.verification.lists import Society, dump, issuer


def fresh() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@dataclass
class Federation:
    """The society names the hospital and the clinic; these two never said a word about each
    other."""

    network: Network
    society: Node
    hospital: Node
    clinic: Node
    signers: list[Ed25519PrivateKey]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(encode_multikey(key.public_key()) for key in self.signers)

    @property
    def rules(self) -> dict[str, TrustListRules]:
        return {"society": TrustListRules(self.society.urls.trust_list, self.keys, 2)}

    async def publish(
        self, *, by: list[Ed25519PrivateKey] | None = None, **edits: Any
    ) -> dict[str, Any]:
        """Draft, sign and publish the next list; what is served."""
        edits.setdefault("signers", self.keys)
        document, _ = await self.society.publishing.draft(Edits(threshold=2, **edits))
        for key in by or self.signers[:2]:
            document = sign(document, key, self.network.clock.now())
        await self.society.publishing.publish(dump(document), by="steward")
        return document

    async def pass_time(self, milliseconds: int = HOUR + MINUTE) -> None:
        self.network.clock.advance(milliseconds)
        await self.network.settle()

    async def peer(self) -> Peer | None:
        """The clinic, as the hospital has it."""
        return await peers.get(self.hospital.db, self.clinic.domain)

    async def clara(self) -> Actor:
        """A member of the clinic, as the hospital has her."""
        found = await actors.by_uri(self.hospital.db, self.clinic.urls.actor("clara"))
        assert found is not None
        return found

    async def audit(self) -> list[tuple[str, str]]:
        """What the hospital's audit log says of lists."""
        rows = [row async for row in moderation.export(self.hospital.db)]
        return [(row.action, row.subject) for row in rows if row.who == "trust lists"]

    async def trouble(self) -> str | None:
        return (await self.hospital.subscriptions.held("society")).row.trouble


@pytest.fixture
async def federation(network: Network) -> Federation:
    society = await network.instance("society")
    hospital = await network.instance("hospital")
    clinic = await network.instance("clinic")
    await network.befriend(society, hospital)
    await network.befriend(society, clinic)
    made = Federation(network, society, hospital, clinic, [fresh() for _ in range(3)])
    await made.publish()
    for node in (hospital, clinic):
        await node.configure(made.rules)
    await network.settle()
    await clinic.member("clara")
    await hospital.remote.find(f"@clara@{clinic.domain}")
    return made


# Published ----------------------------------------------------------------------------------------


async def test_the_list_is_open_to_everybody_and_has_a_tag(federation: Federation) -> None:
    ask = federation.hospital.ask
    status, headers, body = await ask(federation.society, "/trust-list", signed=False)
    assert (status, headers["Content-Type"]) == (200, "application/ld+json")
    document = json.loads(body)
    assert [each["host"] for each in document["issuers"]] == sorted(
        node.domain for node in federation.network.nodes
    )
    assert (await ask(federation.society, "/trust-list/1", signed=False))[2] == body
    assert (await ask(federation.society, "/trust-list/2", signed=False))[0] == 404
    assert (await ask(federation.hospital, "/trust-list", signed=False))[0] == 404
    fetcher = federation.hospital.fetcher
    again = await fetcher.get_changed(
        federation.society.urls.trust_list, max_bytes=1 << 20, accept=("application/ld+json",),
        etag={name.lower(): text for name, text in headers.items()}["etag"],
    )  # fmt: skip
    assert again is None


async def test_a_browser_is_shown_the_page(federation: Federation) -> None:
    status, headers, _ = await federation.hospital.ask(
        federation.society, "/trust-list", signed=False, accept="text/html"
    )
    assert (status, {name.lower(): text for name, text in headers.items()}["location"]) == (
        303,
        "/trust",
    )


async def test_what_subscribers_would_refuse_is_not_published(federation: Federation) -> None:
    publishing, now = federation.society.publishing, federation.network.clock.now()
    document, changes = await publishing.draft(Edits(remove=(federation.clinic.domain,)))
    assert [(change.kind, change.subject) for change in changes] == [
        ("removed", federation.clinic.domain)
    ]
    one = sign(document, federation.signers[0], now)
    two = sign(one, federation.signers[1], now)
    for refused in (
        document,
        one,
        sign(one, fresh(), now),
        sign(two, fresh(), now),
        two | {"name": "Changed"},
        two | {"sequence": 3},
        two | {"id": "https://other.example/trust-list"},
    ):
        with pytest.raises(BadInput):
            await publishing.publish(dump(refused), by="steward")
    await publishing.publish(dump(two), by="steward")
    with pytest.raises(BadInput):
        await publishing.publish(dump(two), by="steward")


# Followed -----------------------------------------------------------------------------------------


async def test_a_third_issuer_is_trusted_through_the_list(federation: Federation) -> None:
    peer = await federation.peer()
    assert peer is not None
    assert (peer.own, peer.lists, peer.withheld) == (False, ("society",), None)
    assert peer.issuer_key_id == federation.clinic.urls.credential_key
    assert federation.hospital.trust.trusts(federation.clinic.domain)
    clara = await federation.clara()
    assert (clara.badge.verified, clara.badge.issuer) == (True, federation.clinic.domain)
    assert ("trust_list_accepted", "society") in await federation.audit()
    assert ("peer_by_list", federation.clinic.domain) in await federation.audit()
    assert await moderation.verify(federation.hospital.db) is None
    # The society was allowed by hand before, and stays so.
    society = await peers.get(federation.hospital.db, federation.society.domain)
    assert society is not None and society.own and society.lists == ("society",)


async def test_a_removed_issuers_members_lose_their_badges_at_once(federation: Federation) -> None:
    await federation.publish(remove=(federation.clinic.domain,))
    await federation.pass_time()
    peer = await federation.peer()
    assert peer is not None
    assert (peer.withheld, peer.heard, peer.lists) == (REMOVED, False, ())
    assert not federation.hospital.trust.allows(federation.clinic.domain)
    clara = await federation.clara()
    assert not clara.badge.verified
    assert "no trust list names it any more" in clara.badge.reason
    # Nothing brings the badge back while nobody vouches for the clinic.
    await federation.hospital.remote.recheck(clara)
    assert not (await federation.clara()).badge.verified
    # Named again, it is trusted again, and so are its members.
    await federation.publish(add=(federation.clinic.domain,))
    await federation.pass_time()
    assert federation.hospital.trust.trusts(federation.clinic.domain)
    assert (await federation.clara()).badge.verified


async def test_a_suspended_issuer_is_not_believed_until_it_is_reinstated(
    federation: Federation,
) -> None:
    await federation.publish(suspend=(federation.clinic.domain,))
    await federation.pass_time()
    trust = federation.hospital.trust
    assert trust.withholds(federation.clinic.domain) == SUSPENDED
    assert trust.policy(federation.clinic.domain) is PeerPolicy.LIMITED
    assert not trust.trusts(federation.clinic.domain)
    assert not (await federation.clara()).badge.verified
    await federation.publish(reinstate=(federation.clinic.domain,))
    await federation.pass_time()
    assert trust.trusts(federation.clinic.domain)
    assert (await federation.clara()).badge.verified


async def test_the_operators_own_word_comes_first(federation: Federation) -> None:
    trust, domain = federation.hospital.trust, federation.clinic.domain
    await trust.block(domain, by="operator")
    await federation.publish()
    await federation.pass_time()
    assert not trust.allows(domain)
    await trust.limit(domain, by="operator")
    await federation.pass_time()
    assert trust.policy(domain) is PeerPolicy.LIMITED
    # Limiting is no leave of one's own: what the list takes away is gone.
    await federation.publish(remove=(domain,))
    await federation.pass_time()
    assert not trust.allows(domain)
    # Allowing is.
    await trust.allow(domain, by="operator")
    await federation.pass_time()
    assert trust.trusts(domain)
    peer = await federation.peer()
    assert peer is not None and (peer.own, peer.withheld) == (True, None)
    # Until it is taken back.
    deferred = await federation.hospital.subscriptions.defer(domain, by="operator")
    assert (deferred.own, deferred.withheld) == (False, REMOVED)
    assert not trust.allows(domain)


async def test_a_list_takes_away_only_what_a_list_gave(federation: Federation) -> None:
    domain = federation.clinic.domain
    await federation.hospital.trust.allow(domain, by="operator")
    await federation.publish(remove=(domain,))
    await federation.pass_time()
    assert federation.hospital.trust.trusts(domain)
    assert (await federation.clara()).badge.verified


async def test_a_subscription_that_ends_takes_what_it_gave(federation: Federation) -> None:
    await federation.hospital.configure({})
    assert not federation.hospital.trust.allows(federation.clinic.domain)
    assert federation.hospital.trust.trusts(federation.society.domain)
    assert not (await federation.clara()).badge.verified
    await federation.network.settle()


async def test_advice_pins_keys_and_allows_nobody(network: Network) -> None:
    society = await network.instance("society")
    hospital, clinic = await network.instance("hospital"), await network.instance("clinic")
    await network.befriend(society, clinic)
    made = Federation(network, society, hospital, clinic, [fresh() for _ in range(3)])
    await made.publish()
    [rules] = made.rules.values()
    await hospital.configure({"society": TrustListRules(rules.url, rules.keys, 2, "advise")})
    await network.settle()
    assert await made.peer() is None
    # Allowed by hand while it is away, the clinic's key is the list's.
    await clinic.stop_serving()
    await hospital.trust.allow(clinic.domain, by="operator")
    await hospital.subscriptions.follow()
    peer = await made.peer()
    assert peer is not None
    assert (peer.own, peer.issuer_key_id) == (True, clinic.urls.credential_key)


# Wrong lists --------------------------------------------------------------------------------------


async def serve_instead(node: Node, document: bytes) -> None:
    """A server that lies: it serves these bytes as its newest list."""
    async with node.db.transaction() as tx:
        await tx.execute("UPDATE trust_published SET sequence = sequence + 1000000")
        sequence = json.loads(document)["sequence"]
        await tx.insert_many(
            "trust_published",
            ("sequence", "digest", "document", "published"),
            [(sequence, "", document.decode(), 0)],
        )
        await tx.execute("DELETE FROM trust_published WHERE sequence > 1000000")


async def test_rollback_by_a_lying_server_is_refused(federation: Federation) -> None:
    first = dump(await federation.publish())
    await federation.publish(remove=(federation.clinic.domain,))
    await federation.pass_time()
    assert not federation.hospital.trust.allows(federation.clinic.domain)
    await serve_instead(federation.society, first)
    await federation.pass_time()
    assert await federation.trouble() == "rollback"
    assert not federation.hospital.trust.allows(federation.clinic.domain)
    before = len(await federation.audit())
    await federation.pass_time()
    assert len(await federation.audit()) == before, "the same trouble is written down once"
    assert ("trust_list_trouble", "society") in await federation.audit()


async def test_two_lists_of_one_number_are_flagged(federation: Federation) -> None:
    document, _ = await federation.society.publishing.draft(Edits())
    other = {**document, "sequence": 1, "previous": None, "name": "For the others"}
    for key in federation.signers[:2]:
        other = sign(other, key, federation.network.clock.now())
    await serve_instead(federation.society, dump(other))
    await federation.pass_time()
    assert await federation.trouble() == "fork"


async def test_a_list_by_strangers_changes_nothing(federation: Federation) -> None:
    document, _ = await federation.society.publishing.draft(
        Edits(remove=(federation.clinic.domain,))
    )
    for key in (fresh(), fresh()):
        document = sign(document, key, federation.network.clock.now())
    await serve_instead(federation.society, dump(document))
    await federation.pass_time()
    assert await federation.trouble() == "signatures"
    assert federation.hospital.trust.trusts(federation.clinic.domain)
    assert (await federation.clara()).badge.verified


async def test_lists_between_are_fetched_and_judged_one_by_one(federation: Federation) -> None:
    """The signers change twice while the hospital is away."""
    for _ in range(2):
        old = federation.signers
        federation.signers = [fresh() for _ in range(3)]
        await federation.publish(by=[*old[:2], *federation.signers[:2]])
    await federation.pass_time()
    stand = await federation.hospital.subscriptions.held("society")
    assert stand.found is not None
    assert (stand.found.sequence, stand.found.signers.keys) == (3, federation.keys)
    assert stand.row.trouble is None
    assert stand.accepted is not None and stand.accepted.flag is None
    # And the next one is believed with the newest keys only.
    await federation.publish(remove=(federation.clinic.domain,))
    await federation.pass_time()
    assert not federation.hospital.trust.allows(federation.clinic.domain)


async def test_a_gap_is_accepted_from_the_same_signers_and_flagged(federation: Federation) -> None:
    await federation.publish()
    await federation.publish(remove=(federation.clinic.domain,))
    async with federation.society.db.transaction() as tx:
        await tx.execute("DELETE FROM trust_published WHERE sequence = 2")
    await federation.pass_time()
    stand = await federation.hospital.subscriptions.held("society")
    assert stand.row.sequence == 3
    assert stand.accepted is not None and stand.accepted.flag is not None
    assert not federation.hospital.trust.allows(federation.clinic.domain)


async def test_a_gap_over_which_the_signers_changed_is_refused(federation: Federation) -> None:
    old = federation.signers
    federation.signers = [fresh() for _ in range(3)]
    await federation.publish(by=[*old[:2], *federation.signers[:2]])
    await federation.publish()
    async with federation.society.db.transaction() as tx:
        await tx.execute("DELETE FROM trust_published WHERE sequence = 2")
    await federation.pass_time()
    assert await federation.trouble() == "signatures"
    # The operator asks the society, and configures the keys it has now: the chain begins anew.
    await federation.hospital.configure(federation.rules)
    await federation.network.settle()
    stand = await federation.hospital.subscriptions.held("society")
    assert (stand.row.sequence, stand.row.trouble) == (3, None)
    assert federation.hospital.trust.trusts(federation.clinic.domain)


async def test_a_stale_list_is_frozen_and_then_no_longer_holds(federation: Federation) -> None:
    trust, domain = federation.hospital.trust, federation.clinic.domain
    await federation.society.stop_serving()
    await federation.pass_time(91 * DAY)
    assert trust.trusts(domain), "what it gave is kept for the grace"
    stand = await federation.hospital.subscriptions.held("society")
    assert stand.freshness == "stale"
    assert stand.row.failures > 0
    await federation.pass_time(14 * DAY)
    assert trust.withholds(domain) == STALE
    assert not trust.trusts(domain)
    assert not (await federation.clara()).badge.verified
    # A new list gives all of it back.
    await federation.society.serve()
    await federation.publish()
    await federation.pass_time()
    assert trust.trusts(domain)


async def test_a_publisher_that_is_away_is_asked_less_often(federation: Federation) -> None:
    await federation.society.stop_serving()
    await federation.pass_time()
    stand = await federation.hospital.subscriptions.held("society")
    assert stand.row.failures == 1
    for _ in range(60):
        await federation.pass_time(MINUTE)
    again = await federation.hospital.subscriptions.held("society")
    assert 4 <= again.row.failures <= 6
    assert federation.hospital.trust.trusts(federation.clinic.domain)


# Keys of issuers ----------------------------------------------------------------------------------


async def change_key_on_list(federation: Federation, key: Ed25519PrivateKey) -> None:
    document, _ = await federation.society.publishing.draft(Edits())
    for entry in document["issuers"]:
        if entry["host"] == federation.clinic.domain:
            entry["credentialKey"]["publicKeyMultibase"] = encode_multikey(key.public_key())
    for signer in federation.signers[:2]:
        document = sign(document, signer, federation.network.clock.now())
    await federation.society.publishing.publish(dump(document), by="steward")
    await federation.pass_time()


async def test_a_changed_key_on_the_list_is_believed_and_flagged(federation: Federation) -> None:
    await change_key_on_list(federation, fresh())
    peer = await federation.peer()
    assert peer is not None and peer.reason is not None
    assert "key" in peer.reason
    # What was signed with the old key no longer counts.
    assert not (await federation.clara()).badge.verified
    rows = [row async for row in moderation.export(federation.hospital.db)]
    [row] = [row for row in rows if "repinned" in row.detail]
    assert (row.subject, row.detail["repinned"]) == (federation.clinic.domain, peer.issuer_key)


async def test_a_key_that_the_server_changes_by_itself_is_not_believed(
    federation: Federation,
) -> None:
    """Only the list may change it; the server's word is flagged."""
    async with federation.hospital.db.transaction() as tx:
        pinned = await peers.pin_issuer(
            tx, federation.clinic.domain, federation.clinic.urls.instance_actor,
            federation.clinic.urls.credential_key, encode_multikey(fresh().public_key()),
        )  # fmt: skip
    assert not pinned
    peer = await federation.peer()
    assert peer is not None and "changed" in (peer.reason or "")
    assert (await federation.clara()).badge.verified


async def test_a_key_that_was_unpinned_is_the_lists_again_and_not_the_servers(
    federation: Federation,
) -> None:
    """The first contact pins nothing where lists decide."""
    await change_key_on_list(federation, key := fresh())
    await federation.hospital.trust.unpin(federation.clinic.domain, by="operator")
    await federation.network.settle()
    peer = await federation.peer()
    assert peer is not None and peer.issuer_key is None
    await federation.pass_time()
    peer = await federation.peer()
    assert peer is not None and peer.issuer_key == encode_multikey(key.public_key())


@pytest.mark.parametrize("tag", ["no quotes", '"' + "x" * 300 + '"', '"\udce9"'])
async def test_a_strange_entity_tag_is_not_kept(federation: Federation, tag: str) -> None:
    """The list counts all the same, and nothing strange is stored or sent back."""
    await federation.publish()
    fetcher, get = federation.hospital.fetcher, federation.hospital.fetcher.get_changed

    async def tagged(url: str, **rest: Any) -> tuple[bytes, str | None] | None:
        found = await get(url, **rest)
        return (found[0], tag) if found else None

    fetcher.get_changed = tagged  # type: ignore[method-assign, assignment]
    await federation.pass_time()
    stand = await federation.hospital.subscriptions.held("society")
    assert (stand.row.sequence, stand.row.etag, stand.row.trouble) == (2, None, None)


async def test_lists_that_name_different_keys_are_not_decided_between(
    federation: Federation,
) -> None:
    other = Society(
        url=f"{federation.society.urls.base}/other-list",
        actor=federation.society.urls.instance_actor,
        issuers=[issuer(federation.clinic.domain, fresh())],
    )
    hospital = federation.hospital
    rules = federation.rules | {"other": TrustListRules(other.url, other.keys, 2)}
    await hospital.configure(rules)
    now = federation.network.clock.now()
    verdict = await hospital.subscriptions.take("other", [other.issue(now)])
    assert verdict.outcome is Outcome.ACCEPTED
    peer = await federation.peer()
    assert peer is not None
    assert peer.issuer_key == (await peers.get(federation.society.db, peer.host)).issuer_key  # type: ignore[union-attr]
    assert peer.lists == ("other", "society")
    [notes] = [c.notes for c, _ in await hospital.subscriptions.consequences() if c.notes]
    assert "different keys" in notes[0]
