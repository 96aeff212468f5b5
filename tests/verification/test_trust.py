import asyncio
import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import FrozenClock
from fedidoc.errors import BadInput, NotFound
from fedidoc.integrity import encode_multikey
from fedidoc.model import PeerPolicy
from fedidoc.storage import peers
from fedidoc.storage.engine import Database
from fedidoc.verification.trust import Trust, normalise_host

KEY = Ed25519PrivateKey.generate().public_key()


@pytest.fixture
async def trust(database: Database) -> Trust:
    trust = Trust(database, FrozenClock(), own_host="own.example")
    await trust.refresh()
    return trust


async def pin(database: Database, host: str, key: str) -> None:
    async with database.transaction() as tx:
        await peers.pin_issuer(
            tx, host, f"https://{host}/actor", f"https://{host}/actor#credential-key", key
        )


async def test_closed_by_default(trust: Trust) -> None:
    assert not trust.allows("stranger.example")
    assert not trust.trusts("stranger.example")
    assert trust.requires_credential("stranger.example")
    assert trust.policy("stranger.example") is None
    assert trust.issuer("stranger.example") is None


async def test_policies(database: Database, trust: Trust) -> None:
    await trust.allow("full.example", by="operator")
    await trust.allow("plain.example", require_credential=False, by="operator")
    limited = await trust.limit("noisy.example", reason="no\0ise\ud800", by="operator")
    assert limited.reason == "noise"
    await trust.block("bad.example", by="operator")
    hosts = ("full.example", "plain.example", "noisy.example", "bad.example")
    assert [trust.allows(host) for host in hosts] == [True, True, True, False]
    assert not any(trust.trusts(host) for host in hosts)
    for host in hosts:
        await pin(database, host, encode_multikey(KEY))
    await trust.refresh()
    assert [trust.trusts(host) for host in hosts] == [True, False, True, False]
    assert [trust.requires_credential(host) for host in hosts] == [True, False, True, True]
    assert trust.policy("noisy.example") is PeerPolicy.LIMITED
    assert [peer.host for peer in await trust.peers()] == sorted(hosts)
    tasks = await database.fetch_all("SELECT subject FROM tasks WHERE kind = 'peer'")
    assert sorted(row["subject"] for row in tasks) == sorted(set(hosts) - {"bad.example"})
    audit = await database.fetch_all("SELECT who, action, subject FROM audit ORDER BY number")
    assert tuple(audit[0]) == ("operator", "peer_set", "full.example")
    assert len(audit) == 4


async def test_limiting_and_blocking_keep_what_was_asked_of_authors(trust: Trust) -> None:
    await trust.allow("plain.example", require_credential=False, by="operator")
    assert not (await trust.limit("plain.example", by="operator")).require_credential
    assert not (await trust.block("plain.example", by="operator")).require_credential


async def test_names_must_be_equal_not_alike(trust: Trust) -> None:
    await trust.allow("good.example", by="operator")
    for host in ("evil.good.example", "good.example.evil", "good.example:8443", "GOOD.example",
                 "", "example", "good.example."):  # fmt: skip
        assert not trust.allows(host)


async def test_the_pinned_key_is_believed_while_the_peer_is_heard(
    database: Database, trust: Trust
) -> None:
    await trust.allow("peer.example", by="operator")
    assert trust.issuer("peer.example") is None
    await pin(database, "peer.example", encode_multikey(KEY))
    assert trust.issuer("peer.example") is None, "a snapshot changes when it is refreshed"
    await trust.refresh()
    issuer = trust.issuer("peer.example")
    assert issuer is not None
    assert issuer.key.public_bytes_raw() == KEY.public_bytes_raw()
    assert (issuer.host, issuer.uri) == ("peer.example", "https://peer.example/actor")
    # Another key later is not believed; the first one stays.
    await pin(database, "peer.example", encode_multikey(Ed25519PrivateKey.generate().public_key()))
    await trust.refresh()
    assert trust.issuer("peer.example") == issuer
    await trust.unpin("peer.example", by="operator")
    assert trust.issuer("peer.example") is None
    await pin(database, "peer.example", encode_multikey(KEY))
    await trust.block("peer.example", by="operator")
    assert trust.issuer("peer.example") is None


async def test_a_key_that_cannot_be_read_is_no_key(database: Database, trust: Trust) -> None:
    await trust.allow("peer.example", by="operator")
    await pin(database, "peer.example", "z6Mkbroken")
    await trust.refresh()
    assert trust.issuer("peer.example") is None
    assert trust.allows("peer.example")


async def test_a_server_issues_for_itself_only(database: Database, trust: Trust) -> None:
    await trust.allow("peer.example", by="operator")
    for uri, key_id in (
        ("https://other.example/actor", "https://other.example/actor#credential-key"),
        ("https://peer.example/actor", "https://other.example/actor#credential-key"),
        ("https://peer.example:8443/actor", "https://peer.example:8443/actor#credential-key"),
        ("no url", "no url"),
    ):
        async with database.transaction() as tx:
            await peers.unpin_issuer(tx, "peer.example")
            await peers.pin_issuer(tx, "peer.example", uri, key_id, encode_multikey(KEY))
        await trust.refresh()
        assert trust.issuer("peer.example") is None


async def test_a_change_by_another_process_is_heard_soon(database: Database, trust: Trust) -> None:
    other = Trust(database, FrozenClock())
    fresh = asyncio.create_task(trust.keep_fresh(0.01))
    await other.allow("new.example", by="operator")
    for _ in range(200):
        if trust.allows("new.example"):
            break
        await asyncio.sleep(0.01)
    assert trust.allows("new.example")
    fresh.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await fresh


async def test_ourselves_and_strangers(trust: Trust) -> None:
    with pytest.raises(BadInput, match="itself"):
        await trust.allow("OWN.example", by="operator")
    with pytest.raises(NotFound):
        await trust.unpin("stranger.example", by="operator")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (" St-Olaf.Example. ", "st-olaf.example"),
        ("127.0.0.1:8401", "127.0.0.1:8401"),
        ("localhost:8401", "localhost:8401"),
        ("[::1]:8401", "[::1]:8401"),
        ("st-olaf.example:443", "st-olaf.example"),
        ("spital-zürich.example", "xn--spital-zrich-klb.example"),
        ("spital-zürich.example:8443", "xn--spital-zrich-klb.example:8443"),
    ],
)
def test_hosts(text: str, host: str) -> None:
    assert normalise_host(text) == host


@pytest.mark.parametrize(
    "text",
    ["", "https://st-olaf.example", "st-olaf.example/", "a b.example", "-a.example", "a..example",
     "a@b.example", "a.example:0", "a.example:99999", "a.example:", "x" * 300, "\0", "\ud800",
     "a.example:8080:80", "*.example", "ü" * 80 + ".example"],
)  # fmt: skip
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(BadInput) as refusal:
        normalise_host(text)
    assert refusal.value.field == "host"
