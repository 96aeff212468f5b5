"""The physician credential: issued, served, revoked here; those of other instances examined.

A credential names the actor and the actor names the credential. It says profession, specialty,
jurisdiction and how the person was verified; never a legal name, a licence number, an NPI or a
birth date. `checks` has the rules that a receiver follows.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import DAY, HOUR, Clock, iso
from fedidoc.errors import Unavailable
from fedidoc.integrity import create_proof
from fedidoc.model import NO_BADGE, Actor, Badge, Event, EventKind, Role, Specialty
from fedidoc.storage import actors, keys, queues
from fedidoc.storage import credentials as table
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.vault import Vault
from fedidoc.verification import status
from fedidoc.verification.checks import (
    CONTEXT,
    PURPOSE,
    SEALED,
    STATUS_TYPE,
    TYPE,
    Issuer,
    check,
    examine,
    status_list_uri,
)
from fedidoc.verification.evidence import Assurance
from fedidoc.verification.examination import Examination
from fedidoc.verification.status import StatusBits
from fedidoc.verification.status_lists import KEPT, Fetch, StatusLists

__all__ = ["Credentials", "Issuer", "StatusBits", "check"]

NAMESPACE: Final = "https://w3id.org/fedidoc/v1#"
# What our terms mean, served by every instance at its `credential_context`. It is named by its
# address and not written inline: the reference implementation of eddsa-jcs-2022 for JavaScript
# compares contexts by identity and refuses every inline one. Nobody has to fetch it to check.
CONTEXT_DOCUMENT: Final[dict[str, Any]] = {
    "@context": {
        "@protected": True,
        **{
            term: NAMESPACE + term
            for term in (
                TYPE, "profession", "specialty", "code", "label", "jurisdiction", "assurance",
                "identity",
            )
        },
    }
}  # fmt: skip
_LIST_SIGNED_ANEW: Final = HOUR
_ANNOUNCED_BY: Final = 2 * DAY


class IssuerUrls(Protocol):
    """Where this instance's credentials live."""

    @property
    def authority(self) -> str: ...
    @property
    def instance_actor(self) -> str: ...
    @property
    def credential_key(self) -> str: ...
    @property
    def status_list(self) -> str: ...
    @property
    def credential_context(self) -> str: ...
    def credential(self, credential_id: str, /) -> str: ...


class Credentials:
    """This instance as an issuer, and as a reader of what others issued."""

    def __init__(
        self, db: Database, clock: Clock, vault: Vault, urls: IssuerUrls, *, valid_days: int = 365
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._urls = urls
        self._valid = valid_days * DAY
        self._key: Ed25519PrivateKey | None = None
        self._signed_list: tuple[list[int], int, dict[str, Any]] | None = None
        self.lists = StatusLists(db, clock)

    # Issuing ----------------------------------------------------------------------------------

    async def issue(
        self,
        tx: Transaction,
        actor: Actor,
        profession: Role,
        specialty: Specialty | None,
        jurisdiction: str,
        assurance: Assurance,
        *,
        until: int | None = None,
        supersede: bool = False,
        sealed: bool = False,
    ) -> dict[str, Any]:
        """Sign a credential for a local actor, put its badge on, and tell peers.

        An earlier credential of the actor is revoked: there is one at a time. With `supersede` (a
        renewal) that waits until the new one has been announced (`retire`), so that nobody who
        checks in between finds the member unverified. `until` (UTC milliseconds) shortens the
        configured validity, never lengthens it. An empty `jurisdiction` is left out.
        `sealed` says that it is a pseudonym's.
        """
        now = self._clock.now()
        # The document says whole seconds; the row says the same.
        end = (min(until or now + self._valid, now + self._valid)) // 1000 * 1000
        subject: dict[str, Any] = {"id": actor.uri, "profession": profession.value}
        if specialty is not None:
            subject["specialty"] = {"code": specialty.code, "label": specialty.label}
        if jurisdiction:
            subject["jurisdiction"] = jurisdiction
        subject["assurance"] = assurance.value
        if sealed:
            subject["identity"] = SEALED
        id, index = self._clock.random_id(), await self._free_index(tx)
        document = await self._sign(
            tx,
            {
                "@context": [CONTEXT, self._urls.credential_context],
                "id": self._urls.credential(id),
                "type": ["VerifiableCredential", TYPE],
                "issuer": self._urls.instance_actor,
                "validFrom": iso(now),
                "validUntil": iso(end),
                "credentialSubject": subject,
                "credentialStatus": {
                    "id": f"{self._urls.status_list}#{index}",
                    "type": "BitstringStatusListEntry",
                    "statusPurpose": "revocation",
                    "statusListIndex": str(index),
                    "statusListCredential": self._urls.status_list,
                },
            },
            now,
        )
        if supersede:
            await table.supersede_of(tx, actor.id, now)
        else:
            await table.revoke_of(tx, actor.id, now)
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        await table.insert(tx, table.Issued(id, actor.id, text, index, now, end, None))
        badge = Badge(
            verified=True,
            reason=f"Verified by {self._urls.authority}.",
            profession=profession.value,
            specialty=specialty,
            assurance=assurance.value,
            jurisdiction=jurisdiction or None,
            issuer=self._urls.authority,
            valid_until=end,
            checked=now,
            credential=self._urls.credential(id),
            valid_from=now // 1000 * 1000,
            sealed=sealed,
        )
        await actors.set_badge(tx, actor.id, badge, badge.credential, at=now)
        await self._tell(tx, actor.id, now)
        return document

    async def issue_sealed(
        self,
        tx: Transaction,
        actor: Actor,
        profession: Role,
        specialty: Specialty | None,
        *,
        until: int,
    ) -> dict[str, Any]:
        """A pseudonym's credential: no jurisdiction, and of how the person was verified only what
        holds for everybody, so that neither makes the crowd smaller."""
        return await self.issue(
            tx, actor, profession, specialty, "", Assurance.VOUCHED, until=until, sealed=True
        )

    async def revoke(self, tx: Transaction, actor_id: str) -> bool:
        """Revoke what an actor holds, take its badge off, and tell peers; False if it held none."""
        now = self._clock.now()
        if not await table.revoke_of(tx, actor_id, now):
            return False
        await actors.set_badge(tx, actor_id, NO_BADGE, None, at=now)
        await self._tell(tx, actor_id, now)
        return True

    async def renew(self, tx: Transaction, actor_id: str) -> bool:
        """Issue again what the actor held last, to the same day, after it was revoked.

        False if that has run out meanwhile (or there was none): the person must be verified anew.
        """
        last = await table.latest_of(tx, actor_id)
        actor = await actors.get(tx, actor_id)
        if last is None or actor is None or last.valid_until <= self._clock.now():
            return False
        subject = json.loads(last.document)["credentialSubject"]
        specialty = subject.get("specialty")
        await self.issue(
            tx,
            actor,
            Role(subject["profession"]),
            Specialty(**specialty) if specialty else None,
            subject.get("jurisdiction", ""),
            Assurance(subject["assurance"]),
            until=last.valid_until,
        )
        return True

    async def retire(self, tx: Transaction) -> int:
        """Revoke credentials that were renewed, once the new ones are announced; how many.

        Announced is: no delivery of the Update that told of it still waits, and an hour has passed
        in which servers read what they took; or two days have, for servers that are away longer
        look for themselves when they are back.
        """
        now = self._clock.now()
        return await table.retire(tx, now, grace=HOUR, patience=_ANNOUNCED_BY)

    async def _free_index(self, tx: Transaction) -> int:
        """A place at random, so that its number says nothing of when or to whom it was given."""
        await tx.lock("credential status list")
        for _ in range(64):
            index = secrets.randbelow(status.SIZE)
            if not await table.index_taken(tx, index):
                return index
        raise Unavailable("The status list is full; no more credentials can be issued.")

    async def _sign(self, reader: Reader, document: dict[str, Any], now: int) -> dict[str, Any]:
        proof = create_proof(
            document,
            await self._signing_key(reader),
            self._urls.credential_key,
            PURPOSE,
            datetime.fromtimestamp(now // 1000, UTC),
        )
        return {**document, "proof": proof}

    async def _signing_key(self, reader: Reader) -> Ed25519PrivateKey:
        if self._key is None:
            instance = await actors.by_uri(reader, self._urls.instance_actor)
            found = instance and await keys.private_key(
                reader, self._vault, instance.id, keys.KeyUse.CREDENTIAL
            )
            if not found or not isinstance(found[1], Ed25519PrivateKey):
                raise Unavailable("This instance has no credential key yet; start it once.")
            self._key = found[1]
        return self._key

    async def _tell(self, tx: Transaction, actor_id: str, now: int) -> None:
        event = Event(
            self._clock.sortable_id(), EventKind.ACTOR_UPDATED, actor_id, actor_id, now, {}
        )
        await queues.put_event(tx, event)

    # Serving ----------------------------------------------------------------------------------

    async def document(self, credential_id: str) -> dict[str, Any] | None:
        """A credential as it was signed, also a revoked one: the status list says so."""
        issued = await table.get(self._db, credential_id)
        if issued is None:
            return None
        document: dict[str, Any] = json.loads(issued.document)
        return document

    async def status_list(self) -> dict[str, Any]:
        """This instance's signed status list; signed anew every hour and at every revocation."""
        now = self._clock.now()
        revoked = await table.revoked_indexes(self._db)
        if self._signed_list is not None:
            indexes, signed, document = self._signed_list
            if indexes == revoked and 0 <= now - signed < _LIST_SIGNED_ANEW:
                return document
        uri = self._urls.status_list
        document = await self._sign(
            self._db,
            {
                "@context": [CONTEXT],
                "id": uri,
                "type": ["VerifiableCredential", STATUS_TYPE],
                "issuer": self._urls.instance_actor,
                "validFrom": iso(now),
                "validUntil": iso(now + status.STALE),
                "credentialSubject": {
                    "id": f"{uri}#list",
                    "type": "BitstringStatusList",
                    "statusPurpose": "revocation",
                    "ttl": KEPT,
                    "encodedList": status.encode(revoked),
                },
            },
            now,
        )
        self._signed_list = (revoked, now, document)
        return document

    # Examining --------------------------------------------------------------------------------

    async def own_issuer(self) -> Issuer:
        """This instance as other instances know it, to check its own credentials by their rules."""
        key = await self._signing_key(self._db)
        urls = self._urls
        return Issuer(urls.authority, urls.instance_actor, urls.credential_key, key.public_key())

    async def examine(
        self,
        document: bytes,
        *,
        actor_uri: str,
        issuer: Issuer,
        fetch: Fetch,
        fresh: bool = False,
        named: str | None = None,
    ) -> Examination:
        """The badge that a remote actor's credential earns here, check by check (`checks`).

        The issuer's status list is fetched by `fetch` when it is due (`StatusLists.current`), or
        always with `fresh`. `named` is the address under which the actor presents it. Not to be
        called inside a transaction.
        """
        self._db.forbid_nesting()
        uri = status_list_uri(document, issuer)
        bits = await self.lists.current(uri, issuer, fetch, fresh=fresh) if uri else None
        return examine(
            document,
            actor_uri=actor_uri,
            trusted=issuer,
            status=bits,
            now=self._clock.now(),
            named=named,
        )
