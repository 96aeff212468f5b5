"""The inbox: accept a request onto disk, and do what stored activities ask for.

`accept` answers 202 only when the row is written. `process` takes claimed rows in batches: what is
not known here is fetched first, then one transaction does the work of all of them and settles
their rows, so that an effect happens once or not at all, whenever the process dies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fedidoc.activitypub.addressing import host_of, same_origin
from fedidoc.activitypub.deliver import back_off
from fedidoc.activitypub.documents import (
    VOUCH_TYPES,
    ActivityDocument,
    id_of,
    ids,
    read_activity,
    types,
)
from fedidoc.activitypub.errors import DocumentError, Refused, SignatureError
from fedidoc.activitypub.inspect import ACTOR_TYPES
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.receive import VerifiedActivity, receive
from fedidoc.activitypub.signatures import parse as parse_signature
from fedidoc.clock import MINUTE, Clock
from fedidoc.federation.bounded import Recent
from fedidoc.federation.handlers import Batch, Clinic, Received, accept_table
from fedidoc.federation.handlers.table import Handler
from fedidoc.federation.keyring import Keyring
from fedidoc.federation.remote import Missing, Remote, author_of
from fedidoc.federation.urls import Urls
from fedidoc.log import Log
from fedidoc.storage import actors, queues
from fedidoc.storage.engine import Database, Row, Transaction
from fedidoc.storage.queues import Queue
from fedidoc.verification.trust import Trust

QUEUE: Final = "inbox"
_KNOWN_INBOX_LASTS = MINUTE
_MOST_NAMED = 32
_SPEAKING = frozenset({"Create", "Update", "Follow", "Announce"})


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer a request with: `text` is one safe sentence, `reason` a machine word."""

    status: int
    reason: str
    text: str


ACCEPTED = Reply(202, "accepted", "Accepted.")


class Inbox:
    """Every inbox of this instance, the shared one and those of its members."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        urls: Urls,
        trust: Trust,
        keyring: Keyring,
        remote: Remote,
        clinic: Clinic,
        *,
        wake: Callable[[Queue], None] = lambda queue: None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._urls = urls
        self._trust = trust
        self._keyring = keyring
        self._remote = remote
        self._clinic = clinic
        self._wake = wake
        self._table = accept_table()
        self._log = Log("inbox")
        self._writer = db.gathering(self._write, linger_ms=2)
        self._owners: Recent[str, int] = Recent(4_000)

    # Onto disk --------------------------------------------------------------------------------

    async def accept(
        self,
        method: str,
        target: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
        *,
        username: str | None = None,
    ) -> Reply:
        """Check one POST and store it. `target` is the path and query as they stood in the request,
        `username` whose inbox it is (None: the shared one). Returns when the row is on disk."""
        request = Request(method, self._urls.base + target, headers, body)
        try:
            activity = await receive(
                request, peers=self._trust, keys=self._keyring, now_ms=self._clock.now()
            )
        except Refused as refusal:
            self._log.info("refused", reason=refusal.reason, status=refusal.status)
            return Reply(refusal.status, refusal.reason, refusal.text)
        # Only after authentication: a stranger learns nothing of who is a member.
        if username is not None and not await self._has_inbox(username):
            return Reply(404, "no_such_inbox", "There is no such inbox.")
        await self._writer.put(activity)
        self._wake(QUEUE)
        return ACCEPTED

    def names_a_peer(self, method: str, target: str, headers: tuple[tuple[str, str], ...]) -> bool:
        """Whether a request says that it was signed on an allowed server. Believes nothing, and
        costs little: what comes from peers is heard also while strangers at the same address (that
        of a proxy) are braked."""
        try:
            signature = parse_signature(Request(method, self._urls.base + target, headers))
            return self._trust.allows(host_of(signature.key_id))
        except (SignatureError, DocumentError):
            return False

    async def _has_inbox(self, username: str) -> bool:
        now = self._clock.now()
        until = self._owners.get(username)
        if until is not None and now < until:
            return True
        owner = await actors.local_by_username(self._db, username)
        if owner is None or owner.suspended or owner.deleted:
            return False
        self._owners.put(username, now + _KNOWN_INBOX_LASTS)
        return True

    async def _write(
        self, tx: Transaction, activities: Sequence[VerifiedActivity]
    ) -> Sequence[None]:
        await queues.put_inbox(tx, activities)
        return [None] * len(activities)

    # Off disk ---------------------------------------------------------------------------------

    async def process(self, rows: Sequence[Row]) -> None:
        """Do and settle a batch of claimed rows, in the order in which they came.

        If it raises, nothing was done and the rows are as they were: `jobs` then hands them over
        one by one, so that one that cannot be done is put off or buried alone.
        """
        work = [Work(row) for row in rows]
        for each in work:
            self._read(each)
        await self._run(work, await self._prepare(work))

    def _read(self, work: Work) -> None:
        """What the row holds; its body passed the strict parser before it was stored."""
        if not self._trust.allows(work.row["host"]):
            work.effect = "refused: the server is not a peer any more"
            return
        try:
            work.activity = read_activity(orjson.loads(work.row["body"]))
        except (ValueError, DocumentError):
            work.effect = "refused: the activity cannot be read"
            return
        work.handler = self._table.find(work.activity)
        if work.handler is None:
            work.effect = f"ignore: {work.row['type'][:40]} has no effect here"

    async def _prepare(self, work: Sequence[Work]) -> dict[str, dict[str, Any] | Missing]:
        """Fetch every actor and object that the batch needs and this database does not have."""
        wanted, refresh, announced = set[str](), set[str](), set[str]()
        vouching = set[str]()
        for each in work:
            if each.activity is None or each.effect:
                continue
            wanted.add(each.signer)
            if each.changes_its_actor:
                refresh.add(each.signer)
            if each.destination:
                # The new actor says now whether it is the old one: what was kept of it may be old.
                refresh.add(each.destination)
                wanted.add(each.destination)
            if each.activity.type == "Announce" and each.activity.object_id:
                announced.add(each.activity.object_id)
            if each.applicant:
                wanted.add(each.applicant)
            if each.vouches(self._urls):
                # What a colleague's badge says now is what counts, its status list asked for anew.
                refresh.add(each.signer)
                vouching.add(each.signer)
        missing = await self._remote.prefetch(wanted, refresh=refresh)
        for each in work:
            failure = (
                missing.get(each.signer)
                or missing.get(each.destination)
                or missing.get(each.applicant)
            )
            if failure is not None and not each.effect:
                if failure.transient:
                    each.again = failure.reason
                else:
                    each.effect = f"ignore: the actor could not be had ({failure.reason})"
        unsure = await self._remote.unsure(vouching)
        for each in work:
            if each.signer in unsure and not each.effect and each.vouches(self._urls):
                each.again = each.again or "credential_unavailable"
        speakers = {
            each.signer
            for each in work
            if each.speaks and self._trust.requires_credential(each.row["host"])
        }
        unproven = await self._remote.prove(speakers)
        for each in work:
            if each.speaks and each.signer in unproven and not each.effect and not each.again:
                each.again = "credential_unavailable"
        documents = await self._remote.objects(announced)
        authors = {author_of(d) for d in documents.values() if not isinstance(d, Missing)}
        await self._remote.prefetch({a for a in authors if a}, refresh=set())
        for each in work:
            found = documents.get((each.activity and each.activity.object_id) or "")
            if isinstance(found, Missing) and found.transient and not each.effect:
                each.again = found.reason
        return documents

    async def _run(
        self, work: Sequence[Work], documents: dict[str, dict[str, Any] | Missing]
    ) -> None:
        """Everything that the rows ask for, and their settling, in one transaction."""
        now = self._clock.now()
        names = {name for each in work for name in each.names(self._urls)}
        names |= {author_of(d) or "" for d in documents.values() if isinstance(d, dict)}

        async def run(tx: Transaction) -> dict[str, str]:
            known = await actors.by_uris(tx, names)
            batch = Batch(
                tx, self._urls, self._clock, self._clinic, known, documents, self._trust,
            )  # fmt: skip
            effects = await self._dispatch(batch, work)
            done = [each.row["id"] for each in work if not each.again]
            await queues.finish(tx, QUEUE, done, now, effects)
            for each in work:
                if each.again:
                    await self._put_off(tx, each, each.again, now)
            return effects

        effects = await self._db.group(run)
        for effect, count in Counter(e.partition(":")[0] for e in effects.values()).items():
            self._log.debug("done", effect=effect, count=count)

    async def _dispatch(self, batch: Batch, work: Sequence[Work]) -> dict[str, str]:
        """Hand runs of one kind to their handler, in order; effects by row."""
        effects: dict[str, str] = {}
        run: list[Received] = []
        handler: Handler | None = None

        async def flush() -> None:
            if run and handler is not None:
                done = await handler(batch, run)
                effects.update({r.id: e for r, e in zip(run, done, strict=True)})
            run.clear()

        for each in work:
            if each.effect:
                effects[each.row["id"]] = each.effect
            if each.effect or each.again or each.activity is None:
                continue
            actor = batch.actors.get(each.signer)
            if actor is None or actor.deleted or actor.suspended:
                effects[each.row["id"]] = "refused: the actor is gone or suspended"
                continue
            if each.handler is not handler:
                await flush()
                handler = each.handler
            run.append(Received(each.row["id"], each.activity, actor, each.row["host"]))
        await flush()
        return effects

    async def _put_off(self, tx: Transaction, work: Work, reason: str, now: int) -> None:
        at = back_off(work.row["attempts"], now, jitter=0)
        if at is None:
            await queues.bury(tx, QUEUE, work.row["id"], reason)
        else:
            await queues.retry(tx, QUEUE, work.row["id"], at, reason)


class Work:
    """One claimed row on its way: `effect` or `again` is set as soon as its fate is known."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.signer: str = row["signer"]
        self.activity: ActivityDocument | None = None
        self.handler: Handler | None = None
        self.effect = ""
        self.again = ""

    @property
    def changes_its_actor(self) -> bool:
        activity = self.activity
        return (
            activity is not None
            and activity.type == "Update"
            and activity.object_id == self.signer
            and (activity.object is None or not ACTOR_TYPES.isdisjoint(types(activity.object)))
        )

    @property
    def speaks(self) -> bool:
        """Whether it is refused where its actor must be verified and is not."""
        return self.activity is not None and self.activity.type in _SPEAKING

    @property
    def destination(self) -> str:
        """The actor that the signer becomes by it; "" for all but moves."""
        activity = self.activity
        if activity is None or activity.type != "Move":
            return ""
        return activity.target_id or ""

    @property
    def applicant(self) -> str:
        """For whom another server asks a member here to vouch, if they are of that server; "" for
        all but such requests."""
        activity = self.activity
        if activity is None or activity.type != "Offer":
            return ""
        if not set(VOUCH_TYPES).intersection(types(activity.object or {})):
            return ""
        applicant = id_of(activity.raw.get("attributedTo"))
        return applicant if applicant and same_origin(applicant, self.signer) else ""

    def vouches(self, urls: Urls) -> bool:
        """Whether it answers a request of this instance to vouch."""
        activity = self.activity
        return (
            activity is not None
            and activity.type == "Accept"
            and "Offer" in types(activity.object or {})
            and urls.is_ours(activity.object_id or "")
        )

    def names(self, urls: Urls) -> set[str]:
        """Ids of the actors that handling it may need: the signer, and everybody it names here."""
        names = {self.signer, self.destination, self.applicant}
        if self.activity is None:
            return names
        embedded = self.activity.object or {}
        mentioned = embedded.get("tag")
        candidates = {
            *self.activity.to,
            *self.activity.cc,
            *ids(embedded.get("to")),
            *ids(embedded.get("cc")),
            *ids(embedded.get("actor")),
            *ids(embedded.get("object")),
            *ids(self.activity.raw.get("object"))[:_MOST_NAMED],
            *ids(mentioned if isinstance(mentioned, list) else [mentioned]),
            self.activity.object_id or "",
        }
        return names | {uri for uri in candidates if urls.is_ours(uri)}
