"""The private keys of local actors, unsealed once and kept in a bounded cache."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from fedidoc.activitypub.signatures import Scheme, SigningKey, sign
from fedidoc.clock import Clock
from fedidoc.errors import ConfigError
from fedidoc.federation.bounded import Recent
from fedidoc.federation.urls import Urls
from fedidoc.storage import actors, keys
from fedidoc.storage.engine import Database
from fedidoc.storage.keys import KeyUse
from fedidoc.vault import Vault

Signers = Mapping[Scheme, SigningKey]

_CACHED_ACTORS = 2_000


class SigningKeys:
    """Hands out the keys that a local actor signs HTTP requests with."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._cache: Recent[str, Signers] = Recent(_CACHED_ACTORS)

    async def of(self, actor_id: str) -> Signers:
        """The actor's keys by scheme; empty if it has none (it is gone, or not local)."""
        cached = self._cache.get(actor_id)
        if cached is not None:
            return cached
        found: dict[Scheme, SigningKey] = {}
        for use in (KeyUse.RSA, KeyUse.ED25519):
            pair = await keys.private_key(self._db, self._vault, actor_id, use)
            if pair is None:
                continue
            key = SigningKey(*pair)
            if isinstance(key.private, RSAPrivateKey):
                found[Scheme.CAVAGE] = found[Scheme.RFC9421] = key
            else:
                found[Scheme.RFC9421_ED25519] = key
        if found:
            self._cache.put(actor_id, found)
        return found

    def forget(self, actor_id: str) -> None:
        """The actor's keys changed."""
        self._cache.drop(actor_id)


class InstanceSigner:
    """Signs this instance's own GETs, with its actor's RSA key and draft-cavage, which every peer
    understands. Call it with a method and a URL; the headers come back."""

    def __init__(self, key: SigningKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    @classmethod
    async def load(cls, db: Database, vault: Vault, urls: Urls, clock: Clock) -> InstanceSigner:
        """The signer of the instance actor, which must have been created."""
        actor = await actors.by_uri(db, urls.instance_actor)
        pair = actor and await keys.private_key(db, vault, actor.id, KeyUse.RSA)
        if not pair:
            raise ConfigError("The instance has no keys yet; run `fedidoc migrate`.")
        return cls(SigningKey(*pair), clock)

    def __call__(self, method: str, url: str) -> dict[str, str]:
        return sign(method, url, b"", key=self._key, scheme=Scheme.CAVAGE, now_ms=self._clock.now())
