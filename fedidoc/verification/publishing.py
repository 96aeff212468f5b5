"""Publishing a trust list: drafted from the peers or from the last one, signed elsewhere, checked.

This server never holds a signer's key: it writes a draft, takes the signed list back, and refuses
what a subscriber would refuse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fedidoc.clock import DAY, Clock, iso
from fedidoc.errors import BadInput
from fedidoc.integrity import encode_multikey
from fedidoc.storage import actors, keys, moderation, peers
from fedidoc.storage import trust_lists as table
from fedidoc.storage.engine import Database, Reader
from fedidoc.storage.trust_lists import Published
from fedidoc.verification.consequences import Difference, differences
from fedidoc.verification.trust import normalise_host
from fedidoc.verification.trust_lists import (
    CONTEXT,
    TYPE,
    Accreditation,
    Accredited,
    ListRefused,
    TrustList,
    read,
)
from fedidoc.verification.trust_signatures import Outcome, judge, signed_by

DAYS: Final = 90
UNKNOWN_COUNTRY: Final = "ZZ"  # ISO 3166-1 leaves it to users; "unknown" in CLDR


class ListUrls(Protocol):
    """Where this instance and its list live."""

    @property
    def authority(self) -> str: ...
    @property
    def instance_actor(self) -> str: ...
    @property
    def credential_key(self) -> str: ...
    @property
    def trust_list(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Edits:
    """What a draft changes against the last list. Hosts that are added or given another key come
    from the servers that this one knows; `countries` and `names` are by host."""

    name: str | None = None
    days: int = DAYS
    signers: tuple[str, ...] = ()
    threshold: int | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    suspend: tuple[str, ...] = ()
    reinstate: tuple[str, ...] = ()
    rekey: tuple[str, ...] = ()
    countries: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


class Publishing:
    """This instance as the publisher of one list."""

    def __init__(self, db: Database, clock: Clock, urls: ListUrls, *, name: str) -> None:
        self._db = db
        self._clock = clock
        self._urls = urls
        self._name = name

    async def newest(self) -> Published | None:
        """The list that is served; None if this instance publishes none."""
        return await table.published(self._db)

    async def at(self, sequence: int) -> Published | None:
        """An earlier list, by its number."""
        return await table.published(self._db, sequence)

    async def current(self) -> TrustList | None:
        """The newest list, read."""
        newest = await self.newest()
        return read(newest.document.encode()) if newest else None

    # Drafting ---------------------------------------------------------------------------------

    async def draft(self, edits: Edits) -> tuple[dict[str, Any], list[Difference]]:
        """An unsigned list that follows the last one, and what it changes.

        The first list names the servers whose credentials are believed here, and this one. Raises
        BadInput.
        """
        last = await self.current()
        signers = edits.signers or (last.signers.keys if last else ())
        if not signers:
            raise BadInput("Name the signers with --signer; `fedidoc trust keygen` makes a key.")
        threshold = edits.threshold or (last.signers.threshold if last else len(signers) // 2 + 1)
        known = await self._believed(self._db)
        issuers = {i.host: i for i in last.issuers} if last else dict(known)
        for host in map(normalise_host, (*edits.add, *edits.rekey)):
            if host not in known:
                raise BadInput(f"The credential key of {host} is not known here; allow it first.")
            before, fresh = issuers.get(host), known[host]
            issuers[host] = (
                replace(before, actor=fresh.actor, key_id=fresh.key_id, key=fresh.key)
                if before
                else fresh
            )
        for host in map(normalise_host, edits.remove):
            if issuers.pop(host, None) is None:
                raise BadInput(f"{host} is not on the list.")
        now = self._clock.now() // 1000 * 1000
        entries = [_entry(issuer) for _, issuer in sorted(issuers.items())]
        _edit(entries, edits)
        document = {
            "@context": CONTEXT,
            "type": TYPE,
            "id": self._urls.trust_list,
            "name": edits.name or (last.name if last else f"Issuers accredited by {self._name}"),
            "publisher": self._urls.instance_actor,
            "sequence": last.sequence + 1 if last else 1,
            "issued": iso(now),
            "expires": iso(now + edits.days * DAY),
            "previous": last.digest if last else None,
            "signers": {"keys": list(signers), "threshold": threshold},
            "issuers": entries,
        }
        found = _read(json.dumps(document).encode())
        return document, differences(last, found)

    async def _believed(self, reader: Reader) -> dict[str, Accredited]:
        """The issuers that this instance believes, itself among them."""
        today = iso(self._clock.now())[:10]
        found = {
            peer.host: _fresh(
                peer.host, peer.issuer_uri, peer.issuer_key_id, peer.issuer_key, today
            )
            for peer in await peers.every(reader)
            if peer.trusted and peer.issuer_uri and peer.issuer_key_id and peer.issuer_key
        }
        own = await actors.by_uri(reader, self._urls.instance_actor)
        listed = await keys.keys_of(reader, own.id) if own else {}
        key = listed.get(keys.KeyUse.CREDENTIAL)
        if key is not None:
            public: Any = load_pem_public_key(key.public.encode())
            host = self._urls.authority
            found[host] = _fresh(
                host, self._urls.instance_actor, self._urls.credential_key,
                encode_multikey(public), today, name=self._name,
            )  # fmt: skip
        return found

    # Publishing -------------------------------------------------------------------------------

    async def check(self, document: bytes) -> tuple[TrustList, list[Difference]]:
        """A signed list that may be published, and what it changes. Raises BadInput for what a
        subscriber would refuse or flag, with the reason."""
        last = await self.current()
        found = _read(document)
        if found.publisher != self._urls.instance_actor:
            raise BadInput("The list names another publisher than this instance.")
        if last is None and found.sequence != 1:
            raise BadInput("The first list that is published here must have the number 1.")
        verdict = judge(
            document,
            url=self._urls.trust_list,
            pinned=last.signers if last else found.signers,
            held=last,
            now=self._clock.now(),
        )
        if verdict.outcome is not Outcome.ACCEPTED:
            raise BadInput(f"Subscribers would refuse this list. {verdict.text}")
        if found.expires <= self._clock.now():
            raise BadInput("The list has expired; draft and sign a new one.")
        self._check_proofs(found, last)
        return found, differences(last, found)

    def _check_proofs(self, found: TrustList, last: TrustList | None) -> None:
        """Every proof is by a signer of this list or of the next, and holds."""
        expected = (*found.signers.keys, *(last.signers.keys if last else ()))
        holding = signed_by(found, dict.fromkeys(expected), self._clock.now())
        if len(holding) != len(found.document["proof"]):
            raise BadInput("A signature on the list does not hold, or is by nobody who signs it.")

    async def publish(self, document: bytes, *, by: str) -> tuple[TrustList, list[Difference]]:
        """Check a list and serve it from now on, byte for byte. Raises BadInput."""
        found, changes = await self.check(document)
        now = self._clock.now()
        async with self._db.transaction() as tx:
            await tx.lock("published trust list")
            newest = await table.published(tx)
            if (newest.digest if newest else None) != found.previous:
                raise BadInput("Another list was published meanwhile; draft again.")
            entry = Published(found.sequence, found.digest, document.decode(), now)
            await table.publish(tx, entry)
            detail = {
                "digest": found.digest,
                "changes": [[change.kind, change.subject] for change in changes],
            }
            await moderation.append(
                tx, now, by, "trust_list_published", str(found.sequence), detail
            )
        return found, changes


def _read(document: bytes) -> TrustList:
    try:
        return read(document)
    except ListRefused as refusal:
        raise BadInput(refusal.text) from None


def _fresh(
    host: str, actor: str, key_id: str, key: str, since: str, *, name: str = ""
) -> Accredited:
    return Accredited(
        host=host,
        actor=actor,
        key_id=key_id,
        key=key,
        name=name or host,
        country=UNKNOWN_COUNTRY,
        since=since,
        status=Accreditation.ACTIVE,
        require_credential=True,
    )


def _entry(issuer: Accredited) -> dict[str, Any]:
    return {
        "host": issuer.host,
        "actor": issuer.actor,
        "credentialKey": {"id": issuer.key_id, "publicKeyMultibase": issuer.key},
        "name": issuer.name,
        "country": issuer.country,
        "since": issuer.since,
        "status": issuer.status.value,
        "requireCredential": issuer.require_credential,
    }


def _edit(entries: list[dict[str, Any]], edits: Edits) -> None:
    by_host = {entry["host"]: entry for entry in entries}
    changes: list[tuple[str, str, str]] = [
        *((host, "status", Accreditation.SUSPENDED.value) for host in edits.suspend),
        *((host, "status", Accreditation.ACTIVE.value) for host in edits.reinstate),
        *((host, "country", country) for host, country in edits.countries.items()),
        *((host, "name", name) for host, name in edits.names.items()),
    ]
    for given, member, value in changes:
        host = normalise_host(given)
        if host not in by_host:
            raise BadInput(f"{host} is not on the list.")
        by_host[host][member] = value
