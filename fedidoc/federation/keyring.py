"""Public keys of remote actors: found by key id, kept in memory and in the database.

Failures are kept too, for minutes: a key id that cannot be had must not make this server ask again
for every request that names it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fedidoc import integrity
from fedidoc.activitypub.addressing import host_of, request_url, same_origin
from fedidoc.activitypub.documents import ActorDocument, id_of, read_actor
from fedidoc.activitypub.errors import DocumentError, FetchError, ProtocolError, SignatureError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.signatures import VerifyingKey, read_public_key
from fedidoc.clock import DAY, MINUTE, Clock
from fedidoc.federation.bounded import Allowance, Recent
from fedidoc.storage import actors
from fedidoc.storage import keys as stored_keys
from fedidoc.storage.engine import Database
from fedidoc.storage.keys import Key, KeyUse

_CACHED_KEYS = 8_000
_CACHED_FAILURES = 8_000
_FAILURE_LASTS = 5 * MINUTE
_TRANSIENT_FAILURE_LASTS = MINUTE
_REFRESH_EVERY = 5 * MINUTE
_STALE_AFTER = 7 * DAY
_FETCHES_A_MINUTE = 600  # of one host
_FETCHES_AT_ONCE = 16
_LISTED_KEYS = 8

CREDENTIAL_FRAGMENT = "credential-key"


@dataclass(frozen=True, slots=True)
class _Failure:
    until: int
    error: ProtocolError


class Keyring:
    """Implements `activitypub.receive.Keys`; callers have checked that the key's host is a peer."""

    def __init__(self, db: Database, fetcher: Fetcher, clock: Clock) -> None:
        self._db = db
        self._fetcher = fetcher
        self._clock = clock
        self._known: Recent[str, VerifyingKey] = Recent(_CACHED_KEYS)
        self._failed: Recent[str, _Failure] = Recent(_CACHED_FAILURES)
        self._refreshed: Allowance[str] = Allowance(1, _REFRESH_EVERY)
        self._hosts: Allowance[str] = Allowance(_FETCHES_A_MINUTE, MINUTE)
        self._underway: dict[str, asyncio.Task[VerifyingKey]] = {}
        self._slots = asyncio.Semaphore(_FETCHES_AT_ONCE)

    async def find(self, key_id: str, *, refresh: bool = False) -> VerifyingKey:
        """See `receive.Keys`. Raises SignatureError or FetchError."""
        known = self._known.get(key_id)
        if known is not None and not refresh:
            return known
        failure = self._failed.get(key_id)
        if failure is not None:
            if self._clock.now() < failure.until:
                raise failure.error
            self._failed.drop(key_id)
        if refresh:
            if known is not None and not self._refreshed.take(key_id, self._clock.now()):
                return known
            return await self._fetch_once(key_id)
        stored = await stored_keys.key_by_id(self._db, key_id)
        if stored is None:
            return await self._fetch_once(key_id)
        key = verifying_key(stored)
        if stored.fetched < self._clock.now() - _STALE_AFTER:
            try:
                return await self._fetch_once(key_id)
            except FetchError as error:
                if not error.transient:
                    raise
        self._known.put(key_id, key)
        return key

    def forget(self, key_ids: list[str]) -> None:
        """These keys changed or are gone; the next request looks anew."""
        for key_id in key_ids:
            self._known.drop(key_id)
            self._failed.drop(key_id)

    async def _fetch_once(self, key_id: str) -> VerifyingKey:
        """Requests that wait for one key share one fetch."""
        task = self._underway.get(key_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch(key_id))
            self._underway[key_id] = task
            task.add_done_callback(lambda done: self._settle(key_id, done))
        return await asyncio.shield(task)

    def _settle(self, key_id: str, task: asyncio.Task[VerifyingKey]) -> None:
        self._underway.pop(key_id, None)
        if not task.cancelled():
            # Marks the exception as seen, should every waiting request have gone away.
            task.exception()

    async def _fetch(self, key_id: str) -> VerifyingKey:
        now = self._clock.now()
        try:
            if not self._hosts.take(host_of(key_id), now):
                raise FetchError(
                    "too_many_keys", "Too many unknown keys from this host.", transient=True
                )
            async with self._slots:
                found = await self._fetch_actor(key_id)
            keys = keys_in(found, now, beside=key_id)
            chosen = next((key for key in keys if key.key_id == key_id), None)
            if chosen is None:
                raise SignatureError("key_not_listed", "The actor does not list this key.")
            key = verifying_key(chosen)
        except (DocumentError, FetchError, SignatureError) as problem:
            error = (
                SignatureError(problem.reason, problem.text)
                if isinstance(problem, DocumentError)
                else problem
            )
            transient = isinstance(error, FetchError) and error.transient
            lasts = _TRANSIENT_FAILURE_LASTS if transient else _FAILURE_LASTS
            # A key that is known stays good while its server is away.
            if not (transient and self._known.get(key_id)):
                self._failed.put(key_id, _Failure(now + lasts, error))
                self._known.drop(key_id)
            raise error from problem
        async with self._db.transaction() as tx:
            owner = await actors.by_uri(tx, found.id)
            await stored_keys.replace_keys(tx, found.id, owner.id if owner else "", keys)
        self._known.put(key_id, key)
        return key

    async def _fetch_actor(self, key_id: str) -> ActorDocument:
        """The actor that owns the key: what is at the key's address, or whom that names.

        GoToSocial's keys have addresses of their own (`/users/x/main-key`) whose document names
        the owner in `publicKey.owner`; others serve the key by itself with `owner`.
        """
        document = await self._fetcher.get_document(request_url(key_id))
        owner = _owner_named_in(document, key_id)
        if owner is not None and owner != id_of(document):
            if not same_origin(owner, key_id):
                raise SignatureError("key_origin", "The key is not of its owner's own server.")
            document = await self._fetcher.get_document(owner)
        return read_actor(document)


def _owner_named_in(document: dict[str, Any], key_id: str) -> str | None:
    if "publicKeyPem" in document or "publicKeyMultibase" in document:
        return id_of(document.get("owner")) or id_of(document.get("controller"))
    return next((o for k, o, _ in read_actor(document).public_keys if k == key_id), None)


def keys_in(actor: ActorDocument, now: int, *, beside: str | None = None) -> list[Key]:
    """The usable keys that an actor lists as its own.

    A key's address lies within its actor's, so that no actor can claim another's key; `beside` is
    one address elsewhere that was itself seen to name this actor. Ed25519 keys are Multikeys; the
    one whose fragment is `credential-key` signs credentials, and never requests.
    """
    found: dict[str, Key] = {}

    def is_own(key_id: str, owner: str) -> bool:
        within = key_id == beside or key_id.startswith((actor.id + "#", actor.id + "/"))
        return owner == actor.id and within and key_id not in found

    for key_id, owner, pem in actor.public_keys[:_LISTED_KEYS]:
        if not is_own(key_id, owner):
            continue
        try:
            public = read_public_key(pem)
        except SignatureError:
            continue
        use = KeyUse.RSA if isinstance(public, RSAPublicKey) else KeyUse.ED25519
        found[key_id] = Key(key_id, "", actor.id, use, pem, now)
    for key_id, controller, multibase in actor.multikeys[:_LISTED_KEYS]:
        if not is_own(key_id, controller):
            continue
        try:
            ed25519 = integrity.decode_multikey(multibase)
        except integrity.IntegrityError:
            continue
        pem = ed25519.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()
        is_credential = key_id.endswith(f"#{CREDENTIAL_FRAGMENT}")
        use = KeyUse.CREDENTIAL if is_credential else KeyUse.ED25519
        found[key_id] = Key(key_id, "", actor.id, use, pem, now)
    return list(found.values())


def verifying_key(key: Key) -> VerifyingKey:
    """A stored key, ready to check HTTP signatures. Raises SignatureError."""
    if key.use is KeyUse.CREDENTIAL:
        raise SignatureError("key_purpose", "This key signs credentials, not requests.")
    return VerifyingKey(key.key_id, key.owner_uri, read_public_key(key.public))
