"""Actors, keys, follows and peers, on a real database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from fedidoc.clock import FrozenClock
from fedidoc.errors import ConfigError
from fedidoc.federation.urls import Urls
from fedidoc.model import NO_BADGE, Actor, ActorKind, Badge, FollowState, PeerPolicy, Specialty
from fedidoc.storage import actors, follows, keys, peers
from fedidoc.storage.actors import RemoteProfile
from fedidoc.storage.engine import Database
from fedidoc.storage.follows import Follow
from fedidoc.storage.keys import FreshKeys, Key, KeyUse
from fedidoc.vault import Vault

URLS = Urls("https://st-olaf.example")
VAULT = Vault(bytes(32))
CLOCK = FrozenClock()


@pytest.fixture(scope="session")
def fresh_keys() -> FreshKeys:
    return keys.generate_keys()


async def local(db: Database, fresh: FreshKeys, username: str = "ada") -> Actor:
    async with db.transaction() as tx:
        return await actors.create_local(
            tx, URLS, VAULT, CLOCK, username=username, name="Ada", kind=ActorKind.PERSON,
            host="st-olaf.example", keys=fresh,
        )  # fmt: skip


def profile(name: str, /, **changes: object) -> RemoteProfile:
    uri = f"https://away.example/users/{name}"
    made = RemoteProfile(
        uri=uri, kind=ActorKind.PERSON, username=name, host="away.example", handle_confirmed=True,
        name=name.title(), summary_html="", inbox=f"{uri}/inbox",
        shared_inbox="https://away.example/inbox", outbox=None, followers=f"{uri}/followers",
        following=None, url=None, icon_url=None, approves_follows=False, discoverable=True,
        credential_url=None,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


async def remote(db: Database, name: str, /, **changes: object) -> Actor:
    async with db.transaction() as tx:
        return await actors.upsert_remote(tx, CLOCK, profile(name, **changes))


async def follow(db: Database, follower: Actor, followed: Actor, state: FollowState) -> Follow:
    made = Follow(
        CLOCK.sortable_id(), f"{follower.uri}#f-{followed.id}", follower.id, followed.id, state, 1
    )
    async with db.transaction() as tx:
        assert await follows.put(tx, made)
    return made


async def test_a_local_actor_comes_back_as_it_was_made(
    any_database: Database, fresh_keys: FreshKeys
) -> None:
    made = await local(any_database, fresh_keys)
    assert await actors.get(any_database, made.id) == made
    assert await actors.by_uri(any_database, made.uri) == made
    assert await actors.by_handle(any_database, "ada", "st-olaf.example") == made
    assert await actors.local_by_username(any_database, "ADA") == made
    assert made.handle == "@ada@st-olaf.example"


async def test_private_keys_open_only_with_the_vault_that_sealed_them(
    any_database: Database, fresh_keys: FreshKeys
) -> None:
    made = await local(any_database, fresh_keys)
    pair = await keys.private_key(any_database, VAULT, made.id, KeyUse.RSA)
    assert pair is not None
    assert pair[0] == made.uri + "#main-key"
    assert isinstance(pair[1], RSAPrivateKey)
    assert pair[1].private_numbers() == fresh_keys.rsa.private_numbers()
    with pytest.raises(ConfigError):
        await keys.private_key(any_database, Vault(bytes([1]) * 32), made.id, KeyUse.RSA)
    assert await keys.private_key(any_database, VAULT, made.id, KeyUse.CREDENTIAL) is None


async def test_the_instance_is_made_once_and_has_a_key_for_credentials(
    any_database: Database, fresh_keys: FreshKeys
) -> None:
    for _ in range(2):
        async with any_database.transaction() as tx:
            made = await actors.create_instance(
                tx, URLS, VAULT, CLOCK, name="St Olaf", host="st-olaf.example", keys=fresh_keys
            )
    assert set(await keys.keys_of(any_database, made.id)) == set(KeyUse)
    assert await actors.local_by_username(any_database, made.username) is None


async def test_a_refresh_keeps_id_and_badge(any_database: Database) -> None:
    first = await remote(any_database, "bob")
    badge = Badge(True, "ok", specialty=Specialty("207RC0000X", "Cardiology"), issuer="a.example")
    async with any_database.transaction() as tx:
        await actors.set_badge(tx, first.id, badge, "https://away.example/c/1", at=1)
    again = await remote(any_database, "bob", name="Robert")
    assert (again.id, again.name, again.badge) == (first.id, "Robert", badge)


async def test_a_remote_document_never_overwrites_a_local_actor(
    any_database: Database, fresh_keys: FreshKeys
) -> None:
    made = await local(any_database, fresh_keys)
    await remote(any_database, "mallory", uri=made.uri, inbox="https://away.example/steal")
    assert await actors.by_uri(any_database, made.uri) == made


async def test_a_handle_goes_to_who_can_confirm_it(any_database: Database) -> None:
    first = await remote(any_database, "bob", handle_confirmed=False)
    squatter = await remote(
        any_database, "bob", uri="https://away.example/users/2", handle_confirmed=False
    )
    assert first.username == "bob"
    assert squatter.username.startswith("bob~")
    owner = await remote(any_database, "bob", uri="https://away.example/users/3")
    assert owner.username == "bob"
    renamed = await actors.get(any_database, first.id)
    assert renamed is not None
    assert renamed.username.startswith("bob~")


async def test_a_deleted_actor_keeps_no_words(any_database: Database) -> None:
    bob = await remote(any_database, "bob", summary_html="<p>words</p>")
    async with any_database.transaction() as tx:
        await actors.set_deleted(tx, bob.id, 5)
    gone = await actors.get(any_database, bob.id)
    assert gone is not None
    assert (gone.deleted, gone.name, gone.summary_html, gone.badge) == (5, "", "", NO_BADGE)


async def test_keys_that_are_no_longer_listed_are_forgotten(
    any_database: Database, fresh_keys: FreshKeys
) -> None:
    bob = await remote(any_database, "bob")
    ada = await local(any_database, fresh_keys)
    pem = keys.public_pem(fresh_keys.rsa)
    old = Key(bob.uri + "#1", bob.id, bob.uri, KeyUse.RSA, pem, 1)
    new = Key(bob.uri + "#2", bob.id, bob.uri, KeyUse.RSA, pem, 2)
    forged = Key(ada.uri + "#main-key", bob.id, bob.uri, KeyUse.RSA, "forged", 2)
    async with any_database.transaction() as tx:
        await keys.replace_keys(tx, bob.uri, bob.id, [old])
        await keys.replace_keys(tx, bob.uri, bob.id, [new, forged])
    assert await keys.key_by_id(any_database, old.key_id) is None
    assert await keys.key_by_id(any_database, new.key_id) == new
    kept = await keys.key_by_id(any_database, forged.key_id)
    assert kept is not None
    assert kept.owner_uri == ada.uri


async def test_only_accepted_followers_get_anything(
    any_database: Database, fresh_keys: FreshKeys
) -> None:
    ada = await local(any_database, fresh_keys)
    bob, carl = await remote(any_database, "bob"), await remote(any_database, "carl")
    await follow(any_database, bob, ada, FollowState.ACCEPTED)
    asked = await follow(any_database, carl, ada, FollowState.REQUESTED)
    assert [a.username for a in await follows.followers_of(any_database, ada.id)] == ["bob"]
    assert len(await follows.follower_inboxes(any_database, ada.id)) == 1
    async with any_database.transaction() as tx:
        assert await follows.set_state(tx, asked.id, FollowState.ACCEPTED)
        assert not await follows.set_state(tx, asked.id, FollowState.ACCEPTED)
        await actors.set_suspended(tx, bob.id, 1)
    assert [a.username for a in await follows.followers_of(any_database, ada.id)] == ["carl"]
    assert await follows.has_follower_at(any_database, ada.id, "away.example")
    async with any_database.transaction() as tx:
        await follows.delete_all_of(tx, carl.id)
    assert not await follows.has_follower_at(any_database, ada.id, "away.example")


async def test_a_second_follow_of_the_same_two_is_not_stored(
    any_database: Database, fresh_keys: FreshKeys
) -> None:
    ada, bob = await local(any_database, fresh_keys), await remote(any_database, "bob")
    first = await follow(any_database, bob, ada, FollowState.REQUESTED)
    async with any_database.transaction() as tx:
        assert not await follows.put(tx, replace(first, id="other", uri="https://x.example/2"))
        assert not await follows.put(tx, replace(first, id="third", follower_id=ada.id))
    assert await follows.between(any_database, bob.id, ada.id) == first


async def test_another_issuer_key_is_flagged_and_not_believed(any_database: Database) -> None:
    async with any_database.transaction() as tx:
        await peers.put(
            tx, "away.example", PeerPolicy.ALLOWED, require_credential=True, reason=None, now=1
        )
        uri = "https://away.example/actor"
        assert await peers.pin_issuer(tx, "away.example", uri, uri + "#k", "z6MkOne")
        assert await peers.pin_issuer(tx, "away.example", uri, uri + "#k", "z6MkOne")
        assert not await peers.pin_issuer(tx, "away.example", uri, uri + "#k", "z6MkTwo")
    peer = await peers.get(any_database, "away.example")
    assert peer is not None
    assert peer.issuer_key == "z6MkOne"
    assert "changed" in (peer.reason or "")
