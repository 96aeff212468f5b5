"""Keys of other servers: fetched once, remembered, renewed; failures remembered too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc import integrity
from fedidoc.activitypub.documents import ActorDocument, read_actor
from fedidoc.activitypub.errors import FetchError, SignatureError
from fedidoc.clock import DAY, MINUTE
from fedidoc.federation.keyring import Keyring, keys_in
from fedidoc.model import Actor
from fedidoc.storage import keys
from fedidoc.storage.keys import KeyUse, public_pem
from tests.federation.network import Network, Node, fresh_keys

URI = "https://away.example/users/bob"


class Asked(NamedTuple):
    """A hospital that looks for keys of the society, and how often the society was asked."""

    hospital: Node
    society: Node
    bob: Actor
    requests: list[str]

    @property
    def key_id(self) -> str:
        return self.society.urls.rsa_key(self.bob.uri)


@pytest.fixture
async def asked(network: Network) -> AsyncIterator[Asked]:
    hospital = await network.instance("hospital")
    society = await network.instance("society")
    await network.befriend(hospital, society)
    bob = await society.actor_of(await society.member("bob"))
    requests: list[str] = []
    inner: Any = society.app

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        requests.append(scope["path"])
        await inner(scope, receive, send)

    society.app = counted  # type: ignore[assignment]
    yield Asked(hospital, society, bob, requests)


async def test_a_key_is_fetched_once_and_outlives_the_process(asked: Asked) -> None:
    key = await asked.hospital.keyring.find(asked.key_id)
    assert (key.key_id, key.owner) == (asked.key_id, asked.bob.uri)
    assert await asked.hospital.keyring.find(asked.key_id) == key
    assert asked.requests.count("/users/bob") == 1
    await asked.society.stop_serving()
    again = Keyring(asked.hospital.db, asked.hospital.fetcher, asked.hospital.clock)
    assert await again.find(asked.key_id) == key


async def test_requests_that_wait_for_one_key_share_its_fetch(asked: Asked) -> None:
    found = await asyncio.gather(*(asked.hospital.keyring.find(asked.key_id) for _ in range(20)))
    assert all(key == found[0] for key in found)
    assert asked.requests.count("/users/bob") == 1


async def test_a_key_that_cannot_be_had_is_not_asked_for_again_and_again(asked: Asked) -> None:
    wrong = asked.society.urls.rsa_key(asked.society.urls.actor("nobody"))
    for _ in range(3):
        with pytest.raises(FetchError):
            await asked.hospital.keyring.find(wrong)
    assert asked.requests.count("/users/nobody") == 1
    asked.hospital.clock.advance(6 * MINUTE)
    with pytest.raises(FetchError):
        await asked.hospital.keyring.find(wrong)
    assert asked.requests.count("/users/nobody") == 2


async def test_unknown_keys_of_one_host_are_fetched_only_so_often(asked: Asked) -> None:
    keyring = asked.hospital.keyring
    reasons = set()
    for number in range(605):
        with pytest.raises(FetchError) as error:
            await keyring.find(f"{asked.society.urls.base}/users/n{number}#main-key")
        reasons.add(error.value.reason)
    assert reasons == {"status_404", "too_many_keys"}
    assert len(asked.requests) <= 601


async def test_a_refresh_is_granted_once_in_minutes(asked: Asked) -> None:
    keyring = asked.hospital.keyring
    await keyring.find(asked.key_id)
    for _ in range(3):
        await keyring.find(asked.key_id, refresh=True)
    assert asked.requests.count("/users/bob") == 2
    asked.hospital.clock.advance(6 * MINUTE)
    await keyring.find(asked.key_id, refresh=True)
    assert asked.requests.count("/users/bob") == 3


async def test_a_known_key_stays_good_while_its_server_is_away(asked: Asked) -> None:
    keyring = asked.hospital.keyring
    key = await keyring.find(asked.key_id)
    await asked.society.stop_serving()
    with pytest.raises(FetchError):
        await keyring.find(asked.key_id, refresh=True)
    assert await keyring.find(asked.key_id) == key
    asked.hospital.clock.advance(30 * DAY)
    later = Keyring(asked.hospital.db, asked.hospital.fetcher, asked.hospital.clock)
    assert await later.find(asked.key_id) == key


async def test_an_old_key_is_looked_at_again(asked: Asked) -> None:
    await asked.hospital.keyring.find(asked.key_id)
    fresh = fresh_keys().rsa
    async with asked.society.db.transaction() as tx:
        await tx.execute("DELETE FROM actor_keys WHERE key_id = ?", (asked.key_id,))
        await keys.put_private(
            tx, asked.society.vault, asked.bob.id, asked.bob.uri, 1,
            [(asked.key_id, KeyUse.RSA, fresh)],
        )  # fmt: skip
    asked.hospital.clock.advance(8 * DAY)
    later = Keyring(asked.hospital.db, asked.hospital.fetcher, asked.hospital.clock)
    found = await later.find(asked.key_id)
    assert found.public == fresh.public_key()


async def test_a_key_for_credentials_is_none_for_requests(asked: Asked) -> None:
    with pytest.raises(SignatureError) as error:
        await asked.hospital.keyring.find(asked.society.urls.credential_key)
    assert error.value.reason == "key_purpose"


async def test_a_key_that_its_owner_does_not_list_is_refused(asked: Asked) -> None:
    with pytest.raises(SignatureError) as error:
        await asked.hospital.keyring.find(asked.bob.uri + "#another-key")
    assert error.value.reason == "key_not_listed"


# What an actor lists ----------------------------------------------------------------------------


def listing(*listed: tuple[str, str], multikeys: Any = ()) -> ActorDocument:
    pem = public_pem(fresh_keys().rsa)
    return read_actor(
        {
            "id": URI,
            "type": "Person",
            "publicKey": [{"id": k, "owner": o, "publicKeyPem": pem} for k, o in listed],
            "assertionMethod": list(multikeys),
        }
    )


@pytest.mark.parametrize(
    ("key_id", "owner"),
    [
        (URI + "#main-key", "https://away.example/users/ada"),
        ("https://away.example/users/ada#main-key", URI),
        ("https://away.example/users/bobby#main-key", URI),
        ("https://elsewhere.example/users/bob#main-key", URI),
    ],
)
def test_nobody_can_list_a_key_of_another(key_id: str, owner: str) -> None:
    assert keys_in(listing((key_id, owner)), 1) == []


def test_a_key_with_an_address_of_its_own_counts_when_that_named_the_actor() -> None:
    elsewhere = "https://away.example/keys/7"
    actor = listing((elsewhere, URI))
    assert keys_in(actor, 1) == []
    assert [key.key_id for key in keys_in(actor, 1, beside=elsewhere)] == [elsewhere]


def test_keys_are_sorted_by_their_use() -> None:
    multibase = integrity.encode_multikey(Ed25519PrivateKey.generate().public_key())
    multikeys = [
        {"id": URI + part, "type": "Multikey", "controller": URI, "publicKeyMultibase": multibase}
        for part in ("#ed25519-key", "#credential-key")
    ]
    broken = {**multikeys[0], "id": URI + "#broken", "publicKeyMultibase": "zzz"}
    found = keys_in(listing((URI + "#main-key", URI), multikeys=[*multikeys, broken]), 1)
    assert {key.key_id.partition("#")[2]: key.use for key in found} == {
        "main-key": KeyUse.RSA,
        "ed25519-key": KeyUse.ED25519,
        "credential-key": KeyUse.CREDENTIAL,
    }
