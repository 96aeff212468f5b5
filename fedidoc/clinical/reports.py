"""Reports: a member shows the stewards what should not be here; other servers do so too (Flag).

Only stewards read a report. Passed on to the author's own server, it carries the words and the
posts, and is signed by the instance: who reported is known here alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from fedidoc.clinical.reading import readable, viewer_of
from fedidoc.clinical.text import plain
from fedidoc.clock import Clock
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound, TooMany
from fedidoc.model import Account, Actor, Event, EventKind, Page, Post, Standing
from fedidoc.storage import actors, cases, moderation, queues
from fedidoc.storage import reports as stored
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.storage.reports import Report
from fedidoc.vault import Vault

EVENTS = "events"
_MOST_WORDS: Final = 2_000
_MOST_OPEN: Final = 20
_MOST_POSTS: Final = 20
_PAGE: Final = 30


class Reason(StrEnum):
    """Why something is reported; the first is what cannot wait."""

    PATIENT = "patient"  # a patient can be recognised
    HARM = "harm"  # advice that would harm
    CONDUCT = "conduct"  # harassment, discrimination
    IDENTITY = "identity"  # not who they say they are
    SPAM = "spam"
    OTHER = "other"


class State(StrEnum):
    OPEN = "open"
    DISMISSED = "dismissed"
    ACTED = "acted"  # something was done about it


class ReportUrls(Protocol):
    """What this instance and its activities are called."""

    @property
    def instance_actor(self) -> str: ...
    def activity(self, activity_id: str) -> str: ...


@dataclass(frozen=True, slots=True)
class ReportView:
    """A report with its words opened, for stewards. `posts` as they stand now, deleted ones too."""

    id: str
    reporter: Actor | None
    subject: Actor
    posts: tuple[Post, ...]
    words: str
    reason: Reason
    state: State
    forwarded: bool
    created: int
    decided: int | None


@dataclass(frozen=True, slots=True)
class Reports:
    """The room of reports. `wake` is told the name of the queue that has got something to do."""

    db: Database
    clock: Clock
    vault: Vault
    urls: ReportUrls
    wake: Callable[[str], None] = lambda queue: None

    # Of members -----------------------------------------------------------------------------

    async def report_post(self, account: Account, post_id: str, reason: Reason, words: str) -> None:
        """Show the stewards a post that the member may read."""
        viewer = viewer_of(account)
        words = _tidy(words)
        async with self.db.transaction() as tx:
            post = await readable(tx, viewer, post_id)
            await self._put(tx, viewer.actor_id, post.author, reason, words, [post.id])

    async def report_actor(
        self, account: Account, actor: Actor, reason: Reason, words: str
    ) -> None:
        """Show the stewards somebody, apart from any post."""
        viewer = viewer_of(account)
        words = _tidy(words)
        if actor.id == viewer.actor_id:
            raise BadInput("This is you.")
        async with self.db.transaction() as tx:
            await self._put(tx, viewer.actor_id, actor, reason, words, [])

    async def _put(
        self,
        tx: Transaction,
        reporter_id: str,
        subject: Actor,
        reason: Reason,
        words: str,
        post_ids: Sequence[str],
        uri: str | None = None,
    ) -> bool:
        if await stored.open_by(tx, reporter_id, State.OPEN) >= _MOST_OPEN:
            raise TooMany(
                "The stewards have many reports of yours to read; wait for them first.",
                retry_after=3600,
            )
        id = self.clock.sortable_id()
        report = Report(
            id=id,
            uri=uri,
            reporter_id=reporter_id,
            subject_id=subject.id,
            words_sealed=self.vault.seal(json.dumps(words).encode(), _purpose(id)),
            reason=reason.value,
            state=State.OPEN.value,
            forwarded=False,
            created=self.clock.now(),
            post_ids=tuple(post_ids),
        )
        return await stored.put(tx, report)

    # Of stewards ----------------------------------------------------------------------------

    async def list(
        self, account: Account, state: State = State.OPEN, before: str | None = None
    ) -> Page[ReportView]:
        """Reports in a state, newest first."""
        _steward(account)
        found = await stored.page(self.db, state.value, before or "", _PAGE + 1)
        views = [await self._view(self.db, report) for report in found[:_PAGE]]
        shown = tuple(view for view in views if view is not None)
        return Page(shown, found[_PAGE - 1].id if len(found) > _PAGE else None)

    async def waiting(self) -> int:
        """How many wait for a steward."""
        return await stored.count(self.db, State.OPEN)

    async def get(self, account: Account, report_id: str) -> ReportView:
        _steward(account)
        report = await stored.get(self.db, report_id)
        view = await self._view(self.db, report) if report else None
        if view is None:
            raise NotFound
        return view

    async def dismiss(self, account: Account, report_id: str) -> None:
        """Nothing is done about it."""
        await self._decide(account, report_id, State.DISMISSED, "report_dismissed", ())

    async def remove_posts(self, account: Account, report_id: str) -> None:
        """Take the posts away: everywhere if they were written here, else from this server."""
        _steward(account)
        async with self.db.transaction() as tx:
            report = await self._open(tx, report_id)
            posts = await cases.get_many(tx, report.post_ids)
            now = self.clock.now()
            for post in posts.values():
                if post.deleted is not None:
                    continue
                await cases.bury(tx, [post.id], now)
                if post.local:
                    event = Event(
                        self.clock.sortable_id(), EventKind.POST_DELETED, post.author.id, post.id,
                        now, {},
                    )  # fmt: skip
                    await queues.put_event(tx, event)
            await self._close(tx, account, report, State.ACTED, "posts_removed", report.post_ids)
        self.wake(EVENTS)

    async def settle(self, account: Account, report_id: str) -> None:
        """Something else was done about it, such as a suspension."""
        await self._decide(account, report_id, State.ACTED, "report_settled", ())

    async def forward(self, account: Account, report_id: str, note: str) -> None:
        """Pass a report on to the server of the one whom it is about, in the instance's name.

        The steward's `note` goes with it; the reporter's own words stay here. Conflict if it is
        about somebody here, or was passed on already.
        """
        _steward(account)
        note = _tidy(note)
        async with self.db.transaction() as tx:
            await tx.lock(f"report {report_id}")
            report = await stored.get(tx, report_id)
            subject = await actors.get(tx, report.subject_id) if report else None
            instance = await actors.by_uri(tx, self.urls.instance_actor)
            if report is None or subject is None or instance is None:
                raise NotFound
            if subject.local:
                raise Conflict("This is about a member of this instance; there is nobody to tell.")
            if report.forwarded:
                raise Conflict("Their server has got this report already.")
            posts = await cases.get_many(tx, report.post_ids)
            now = self.clock.now()
            event_id = self.clock.sortable_id()
            detail = {
                "note": note,
                "objects": [subject.uri, *(p.uri for p in posts.values() if not p.local)],
            }
            await queues.put_event(
                tx, Event(event_id, EventKind.REPORTED, instance.id, subject.id, now, detail)
            )
            await stored.set_forwarded(tx, report.id, self.urls.activity(event_id))
            await moderation.append(
                tx, now, account.id, "report_forwarded", report.id, {"host": subject.host}
            )
        self.wake(EVENTS)

    async def _decide(
        self,
        account: Account,
        report_id: str,
        state: State,
        action: str,
        post_ids: Collection[str],
    ) -> None:
        _steward(account)
        async with self.db.transaction() as tx:
            report = await self._open(tx, report_id)
            await self._close(tx, account, report, state, action, post_ids)

    async def _open(self, tx: Transaction, report_id: str) -> Report:
        report = await stored.get(tx, report_id)
        if report is None:
            raise NotFound
        return report

    async def _close(
        self,
        tx: Transaction,
        account: Account,
        report: Report,
        state: State,
        action: str,
        post_ids: Collection[str],
    ) -> None:
        now = self.clock.now()
        done = await stored.decide(
            tx, report.id, State.OPEN.value, state.value, at=now, by=account.id
        )
        if not done:
            raise Conflict("Somebody else decided on this report meanwhile; look again.")
        await moderation.append(tx, now, account.id, action, report.id, {"posts": sorted(post_ids)})

    # From other servers, inside their handlers' transaction -----------------------------------

    async def receive(
        self,
        tx: Transaction,
        reporter: Actor,
        objects: Sequence[str],
        words: str,
        uri: str,
        found: Collection[Actor],
    ) -> str:
        """A server's Flag about members of this instance and their posts.

        `found` are the actors known here among what it names. Posts are taken from the author that
        the report is about; one report for each author.
        """
        places = await cases.places(tx, objects)
        known = await cases.get_many(tx, [place.id for place in places.values()])
        posts = [post for post in known.values() if post.local]
        about = {a.id: a for a in found if a.local and a.uri in objects}
        about |= {p.author.id: p.author for p in posts}
        if not about:
            return "ignore: it is about nobody here"
        text = plain(words)[:_MOST_WORDS]
        stored_any = False
        for number, subject in enumerate(about.values()):
            own = [p.id for p in posts if p.author.id == subject.id][:_MOST_POSTS]
            name = uri if number == 0 else f"{uri}#{number}"
            try:
                stored_any |= await self._put(
                    tx, reporter.id, subject, Reason.OTHER, text, own, name
                )
            except TooMany:
                return "refused: this server has too many reports waiting"
        return "reported" if stored_any else "known"

    # Shared ---------------------------------------------------------------------------------

    async def _view(self, reader: Reader, report: Report) -> ReportView | None:
        people = await actors.get_many(reader, {report.reporter_id, report.subject_id})
        subject = people.get(report.subject_id)
        if subject is None:
            return None
        posts = await cases.get_many(reader, report.post_ids) if report.post_ids else {}
        return ReportView(
            id=report.id,
            reporter=people.get(report.reporter_id),
            subject=subject,
            posts=tuple(posts.values()),
            words=self._words(report),
            reason=Reason(report.reason),
            state=State(report.state),
            forwarded=report.forwarded,
            created=report.created,
            decided=report.decided,
        )

    def _words(self, report: Report) -> str:
        words: str = json.loads(self.vault.open(report.words_sealed, _purpose(report.id)))
        return words


def _steward(account: Account) -> None:
    if not account.admin or account.standing is Standing.SUSPENDED:
        raise Forbidden("Only those who run this instance read reports.")


def _tidy(words: str) -> str:
    lines = words.replace("\r\n", "\n").split("\n")
    tidy = "\n".join("".join(filter(str.isprintable, line)).rstrip() for line in lines).strip()
    if len(tidy) > _MOST_WORDS:
        raise BadInput(f"Keep it under {_MOST_WORDS:,} characters.", field="words")
    return tidy


def _purpose(report_id: str) -> str:
    return f"words of report {report_id}"
