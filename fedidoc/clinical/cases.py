"""Cases: open, answer, edit, close with the outcome, delete; and all that is read of them.

`Cases` is the whole room: what members write is here, what they read in `reading`, what other
servers send in `incoming`. Every change is one transaction with the domain event that tells others
of it; nothing is stored that has not passed the guard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from fedidoc.clinical import blocks, drafting, phi
from fedidoc.clinical.audience import Viewer, may_change, may_close
from fedidoc.clinical.drafting import AGE_BANDS, SEXES, CaseDraft, ClearedCase
from fedidoc.clinical.incoming import Incoming, RemotePost
from fedidoc.clinical.media import Pictures
from fedidoc.clinical.moves import check_here
from fedidoc.clinical.pseudonyms import audience_of, may_open
from fedidoc.clinical.reading import Copy, Reading, Thread, readable, viewer_of
from fedidoc.clinical.writing import Places, Writing
from fedidoc.clock import DAY, SECOND, Clock
from fedidoc.errors import BadInput, Conflict, NotFound
from fedidoc.model import (
    Account,
    Actor,
    Audience,
    CaseFields,
    CaseState,
    ClearedText,
    EventKind,
    Post,
    PostKind,
    Right,
)
from fedidoc.storage import actors, cases, pictures
from fedidoc.storage.cases import NewPost
from fedidoc.storage.engine import Database, Transaction

__all__ = [
    "AGE_BANDS", "SEXES", "CaseDraft", "Cases", "Copy", "RemotePost", "Thread",
]  # fmt: skip


@dataclass(frozen=True)
class Cases(Reading, Incoming, Writing):
    """The room of cases. `wake` is told the name of the queue that has got something to do."""

    db: Database
    clock: Clock
    urls: Places
    media: Pictures
    wake: Callable[[str], None] = lambda queue: None
    due: Callable[[], int | None] = lambda: None
    """When (ms) the next event leaves for other servers; None for at once."""

    # Writing --------------------------------------------------------------------------------

    async def open_case(self, account: Account, draft: CaseDraft) -> Post:
        """Publish a case. Raises BadInput or IdentifiersFound, which name the fields.

        The same `once` again answers the case that was opened by it.
        """
        viewer = viewer_of(account, Right.OPEN)
        if draft.once and (before := await cases.by_once(self.db, viewer.actor_id, draft.once)):
            return before
        may_open(account, draft.audience)
        cleared = drafting.clear_case(draft)
        now, post_id = self.clock.now(), self.clock.sortable_id()
        words = "\n".join((cleared.fields.presentation, cleared.fields.findings,
                           cleared.fields.question))  # fmt: skip
        named = await self._named(words)
        row = self._row(
            post_id,
            PostKind.CASE,
            viewer,
            draft.audience,
            now,
            html=cleared.html,
            source=cleared.source,
            title=cleared.title,
            sensitive=bool(cleared.media),
            fields=cleared.fields,
            recipients=[actor.id for actor in named if actor.id != viewer.actor_id],
            once=draft.once,
        )

        async def write(tx: Transaction) -> None:
            await check_here(tx, viewer.actor_id)
            await cases.put(tx, [row])
            await self._attach(tx, viewer, post_id, cleared)
            await self._tell_people(tx, viewer, post_id, [], named)
            await self._put_event(tx, EventKind.POST_PUBLISHED, viewer, post_id)

        return await self._publish(viewer, row, write)

    async def reply(
        self,
        account: Account,
        post_id: str,
        text: str,
        *,
        confirmed: Collection[str] = (),
        once: str = "",
    ) -> Post:
        """Answer a post that the member may read, for the readers of its case."""
        viewer = viewer_of(account, Right.ANSWER)
        if once and (before := await cases.by_once(self.db, viewer.actor_id, once)):
            return before
        parent = await readable(self.db, viewer, post_id)
        if parent.deleted is not None:
            raise Conflict("What you answer was deleted meanwhile; your text is still here.")
        root = await self._root_of(parent)
        html, source = drafting.clear_reply(text, confirmed)
        # An answer to something narrower than its case is for those named alone.
        direct = Audience.DIRECT in (parent.audience, root.audience) or (
            parent.audience is Audience.FOLLOWERS and root.audience is not Audience.FOLLOWERS
        )
        named = [parent.author, *(await self._named(source.text))]
        reply_id, now = self.clock.sortable_id(), self.clock.now()
        row = self._row(
            reply_id,
            PostKind.REPLY,
            viewer,
            audience_of(account, Audience.DIRECT if direct else root.audience),
            # Not before what it answers: clocks differ, and a pseudonym's says only the day.
            max(now, min(parent.published + SECOND, now + DAY)),
            html=html,
            source=source,
            parent=parent,
            recipients=[a.id for a in dict.fromkeys(named) if a.id != viewer.actor_id],
            once=once,
        )

        async def write(tx: Transaction) -> None:
            # Looked at again inside: a deletion may have come in between.
            current = await readable(tx, viewer, post_id)
            if current.deleted is not None:
                raise Conflict("What you answer was deleted meanwhile; your text is still here.")
            await blocks.check(tx, viewer.actor_id, {parent.author.id, root.author.id})
            await check_here(tx, viewer.actor_id)
            await cases.put(tx, [replace(row, case_id=current.case_id or current.id)])
            if root.author.id != viewer.actor_id and not direct:
                await cases.answered(tx, [root.id])
            answered = [parent.author] if direct else [parent.author, root.author]
            await self._tell_people(tx, viewer, reply_id, answered, named)
            await self._put_event(tx, EventKind.POST_PUBLISHED, viewer, reply_id)

        return await self._publish(viewer, row, write)

    async def edit_case(self, account: Account, post_id: str, draft: CaseDraft) -> Post:
        """Change one's own case; its audience, state and outcome stay as they are."""
        viewer = viewer_of(account)
        post = await self._own(viewer, post_id)
        if post.fields is None or post.source is None:
            raise NotFound
        cleared = drafting.clear_case(replace(draft, audience=post.audience))
        outcome = phi.clear_fields(
            {"outcome": post.fields.outcome, "teaching_points": post.fields.teaching_points},
            confirmed=post.source.confirmed,
        )
        fields = replace(
            cleared.fields,
            state=post.fields.state,
            outcome=post.fields.outcome,
            teaching_points=post.fields.teaching_points,
        )
        source = phi.join((cleared.source, *outcome.values()))

        async def write(tx: Transaction, current: Post) -> None:
            state = current.fields.state if current.fields else fields.state
            await self._edit(
                tx,
                current,
                cleared.title,
                replace(fields, state=state),
                source,
                bool(cleared.media),
            )
            await pictures.remove_of_post(tx, post_id, but=[m for m, _ in cleared.media])
            await self._attach(tx, viewer, post_id, cleared)

        edited = await self._change(viewer, post_id, EventKind.POST_EDITED, write)
        kept = {media.file for media in edited.media}
        await self.media.discard([m.file for m in post.media if m.file and m.file not in kept])
        return edited

    async def edit_reply(
        self, account: Account, post_id: str, text: str, *, confirmed: Collection[str] = ()
    ) -> Post:
        """Change one's own answer."""
        viewer = viewer_of(account)
        await self._own(viewer, post_id)
        html, source = drafting.clear_reply(text, confirmed)

        async def write(tx: Transaction, current: Post) -> None:
            if current.kind is PostKind.CASE:
                raise NotFound
            await cases.edit(
                tx,
                post_id,
                title="",
                html=html,
                source=source,
                fields=None,
                sensitive=False,
                edited=self._after(current),
            )

        return await self._change(viewer, post_id, EventKind.POST_EDITED, write)

    async def delete(self, account: Account, post_id: str) -> None:
        """Delete one's own post here, and tell everybody who has it. Its files go as well."""
        viewer = viewer_of(account)
        post = await self._own(viewer, post_id)

        async def write(tx: Transaction, current: Post) -> None:
            await cases.bury(tx, [post_id], self.clock.now())

        await self._change(viewer, post_id, EventKind.POST_DELETED, write)
        # After the commit: a file that a crash leaves behind is swept away later.
        await self.media.discard([m.file for m in post.media if m.file])

    async def close(
        self,
        account: Account,
        post_id: str,
        *,
        outcome: str,
        teaching: str = "",
        confirmed: Collection[str] = (),
    ) -> Post:
        """Tell how one's own case ended. A closed case can still be discussed."""
        viewer = viewer_of(account)
        post = await self._own(viewer, post_id)
        if post.fields is None or not may_close(viewer, post):
            raise NotFound
        fields, said = drafting.clear_outcome(post.fields, outcome, teaching, confirmed)

        async def write(tx: Transaction, current: Post) -> None:
            if current.fields is None or current.source is None:
                raise NotFound
            if current.fields.state is CaseState.CLOSED:
                raise Conflict("The case is closed already; open it again to change the outcome.")
            closed = replace(
                current.fields,
                state=CaseState.CLOSED,
                outcome=fields.outcome,
                teaching_points=fields.teaching_points,
            )
            source = phi.join((current.source, said))
            await self._edit(tx, current, current.title, closed, source, current.sensitive)

        return await self._change(viewer, post_id, EventKind.POST_EDITED, write)

    async def reopen(self, account: Account, post_id: str) -> Post:
        """Open one's own closed case again; the outcome told so far stays to be read."""
        viewer = viewer_of(account)

        async def write(tx: Transaction, current: Post) -> None:
            if current.fields is None or current.source is None:
                raise NotFound
            if current.fields.state is not CaseState.CLOSED:
                raise Conflict("The case is open already.")
            other = await cases.has_answer(tx, post_id, viewer.actor_id)
            state = CaseState.ANSWERED if other else CaseState.OPEN
            fields = replace(current.fields, state=state)
            await self._edit(tx, current, current.title, fields, current.source, current.sensitive)

        return await self._change(viewer, post_id, EventKind.POST_EDITED, write)

    # Shared ---------------------------------------------------------------------------------

    async def _own(self, viewer: Viewer, post_id: str) -> Post:
        post = await cases.get(self.db, post_id)
        if post is None or not may_change(viewer, post):
            raise NotFound
        return post

    async def _root_of(self, post: Post) -> Post:
        if post.case_id is None or post.case_id == post.id:
            return post
        return await cases.get(self.db, post.case_id) or post

    async def _named(self, words: str) -> list[Actor]:
        """The actors whose handles stand in a text, as far as they are known here."""
        found = []
        for username, host in drafting.mentions(words):
            actor = await actors.by_handle(self.db, username, host or self.urls.authority)
            if actor is not None and actor.deleted is None and actor.suspended is None:
                found.append(actor)
        return found

    def _row(
        self,
        post_id: str,
        kind: PostKind,
        viewer: Viewer,
        audience: Audience,
        now: int,
        *,
        html: str,
        source: ClearedText,
        title: str = "",
        sensitive: bool = False,
        fields: CaseFields | None = None,
        parent: Post | None = None,
        recipients: Sequence[str],
        once: str,
    ) -> NewPost:
        return NewPost(
            id=post_id,
            uri=self.urls.object(post_id),
            kind=kind,
            author_id=viewer.actor_id,
            local=True,
            audience=audience,
            title=title,
            html=html,
            source=source,
            parent_id=parent.id if parent else None,
            case_id=(parent.case_id or parent.id) if parent else post_id,
            in_reply_to=parent.uri if parent else None,
            url=self.urls.case_page(post_id),
            sensitive=sensitive,
            published=now,
            edited=None,
            received=now,
            fields=fields,
            recipients=tuple(recipients),
            once=once or None,
        )

    async def _edit(
        self,
        tx: Transaction,
        current: Post,
        title: str,
        fields: CaseFields,
        source: ClearedText,
        sensitive: bool,
    ) -> None:
        await cases.edit(
            tx,
            current.id,
            title=title,
            html=drafting.case_html(fields),
            source=source,
            fields=fields,
            sensitive=sensitive,
            edited=self._after(current),
        )

    def _after(self, current: Post) -> int:
        """A time of edit that is later than the last one also in whole seconds: that is how it is
        sent, and a peer takes only what is newer."""
        last = current.edited or current.published
        return max(self.clock.now(), (last // SECOND + 1) * SECOND)

    async def _attach(
        self, tx: Transaction, viewer: Viewer, post_id: str, cleared: ClearedCase
    ) -> None:
        for position, (media_id, alt) in enumerate(cleared.media):
            if not await pictures.attach(tx, media_id, viewer.actor_id, post_id, position, alt):
                raise BadInput("This picture is gone; add it again.", field=f"alt-{media_id}")
