"""What this instance can show of an actor's verification, for whoever touches the badge.

The checks are made again from what is kept here (the credential's own bytes, the issuer's status
list, the pinned key): nothing is fetched, and what the page says is what holds at that moment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from fedidoc.clock import Clock
from fedidoc.integrity import encode_multikey
from fedidoc.model import Actor
from fedidoc.storage import actors, presented, spans
from fedidoc.storage import credentials as table
from fedidoc.storage.engine import Database
from fedidoc.storage.spans import Span
from fedidoc.verification.checks import (
    Issuer,
    NotBelieved,
    check_status_list,
    examine,
    status_list_uri,
)
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.examination import Examination
from fedidoc.verification.status import StatusBits
from fedidoc.verification.trust import Trust


@dataclass(frozen=True, slots=True)
class Dossier:
    """`examination` is None when there is no credential to look at, or nobody to believe.

    `document` and `status_list` are the bytes as they were fetched (as they were issued, for a
    member), `fetched` when the credential came; `spans` are the times in which the actor counted
    as verified here.
    """

    examination: Examination | None
    issuer: Issuer | None
    document: bytes | None
    status_list: bytes | None
    fetched: int | None
    spans: tuple[Span, ...]

    @property
    def issuer_key(self) -> str | None:
        """The pinned key as Multikey text, to compare and to check with."""
        return encode_multikey(self.issuer.key) if self.issuer else None

    @property
    def ended(self) -> int | None:
        """When the actor last stopped being verified; None if they never were, or still are."""
        return self.spans[-1].ended if self.spans else None


class Dossiers:
    """`await dossiers.of(actor)`."""

    def __init__(self, db: Database, clock: Clock, credentials: Credentials, trust: Trust) -> None:
        self._db = db
        self._clock = clock
        self._credentials = credentials
        self._trust = trust

    async def of(self, actor: Actor) -> Dossier:
        """Everything there is about one actor, local or remote."""
        issuer = await self._issuer(actor)
        held = (await spans.of(self._db, [actor.id])).get(actor.id, [])
        document, fetched = await self._document(actor)
        if document is None or issuer is None:
            return Dossier(None, issuer, document, None, fetched, tuple(held))
        text, bits = await self._status(actor, document, issuer)
        examination = examine(
            document,
            actor_uri=actor.uri,
            trusted=issuer,
            status=bits,
            now=self._clock.now(),
            # An actor that names none any more names another than this one.
            named=await actors.credential_url(self._db, actor.id) or "",
        )
        return Dossier(examination, issuer, document, text, fetched, tuple(held))

    async def _issuer(self, actor: Actor) -> Issuer | None:
        if actor.local:
            return await self._credentials.own_issuer()
        return self._trust.issuer(actor.host)

    async def _document(self, actor: Actor) -> tuple[bytes | None, int | None]:
        if actor.local:
            issued = await table.latest_of(self._db, actor.id)
            return (issued.document.encode(), issued.issued) if issued else (None, None)
        kept = await presented.get(self._db, actor.id)
        return (kept.document, kept.fetched) if kept else (None, None)

    async def _status(
        self, actor: Actor, document: bytes, issuer: Issuer
    ) -> tuple[bytes | None, StatusBits | None]:
        uri = status_list_uri(document, issuer)
        if uri is None:
            return None, None
        if not actor.local:
            lists = self._credentials.lists
            return await lists.text(uri), await lists.kept(uri, issuer)
        listed = await self._credentials.status_list()
        text = json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            return text, check_status_list(text, uri=uri, trusted=issuer, now=self._clock.now())
        except NotBelieved:
            return text, None
