"""From a domain event to one activity and the inboxes it goes to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fedidoc.activitypub.addressing import fold_inboxes, host_of
from fedidoc.activitypub.errors import DocumentError
from fedidoc.federation import builders
from fedidoc.federation.builders import activities as build
from fedidoc.federation.builders.activities import Head
from fedidoc.federation.builders.posts import Addressed
from fedidoc.federation.publications import Publications
from fedidoc.federation.urls import Urls
from fedidoc.model import Actor, Audience, EventKind, Post
from fedidoc.storage import activities, actors, cases, follows, vouches
from fedidoc.storage.activities import Activity
from fedidoc.storage.engine import Reader, Row
from fedidoc.vault import Vault
from fedidoc.verification.trust import Trust
from fedidoc.verification.vouches import State, open_statement

Place = tuple[str, str | None]
"""An inbox, and the shared inbox of its server."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """One activity and where it goes: (inbox, host), each once."""

    activity: Activity
    inboxes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Event:
    id: str
    kind: EventKind
    actor: Actor
    subject: str
    detail: dict[str, Any]
    at: int


class Expansion:
    """Builds what an event has to tell others. Reads only; the outbox writes."""

    def __init__(self, urls: Urls, trust: Trust, publications: Publications, vault: Vault) -> None:
        """`vault` opens what members say of applicants elsewhere."""
        self._urls = urls
        self._trust = trust
        self._publications = publications
        self._vault = vault

    async def expand(self, reader: Reader, row: Row) -> Expanded | None:
        """The activity for one event row; None when there is nothing (more) to tell."""
        actor = await actors.get(reader, row["actor_id"])
        if actor is None or not actor.local:
            return None
        event = _Event(
            row["id"],
            EventKind(row["kind"]),
            actor,
            row["subject"],
            json.loads(row["detail"]),
            row["created"],
        )
        match event.kind:
            case EventKind.POST_PUBLISHED | EventKind.POST_EDITED | EventKind.POST_DELETED:
                return await self._about_post(reader, event)
            case EventKind.FOLLOW_REQUESTED | EventKind.FOLLOW_UNDONE:
                return await self._ask(reader, event)
            case EventKind.FOLLOW_ACCEPTED | EventKind.FOLLOW_REJECTED:
                return await self._answer(reader, event)
            case EventKind.LIKED | EventKind.LIKE_UNDONE:
                return await self._like(reader, event)
            case EventKind.ANNOUNCED | EventKind.ANNOUNCE_UNDONE:
                return await self._announce(reader, event)
            case EventKind.BLOCKED | EventKind.BLOCK_UNDONE:
                return await self._block(reader, event)
            case EventKind.REPORTED:
                return await self._report(reader, event)
            case EventKind.VOUCH_ASKED | EventKind.VOUCH_ASK_UNDONE:
                return await self._ask_to_vouch(reader, event)
            case EventKind.VOUCH_GIVEN | EventKind.VOUCH_WITHDRAWN:
                return await self._vouch(reader, event)
            case EventKind.ACTOR_MOVED:
                return await self._move(reader, event)
            case EventKind.ACTOR_UPDATED | EventKind.ACTOR_DELETED:
                return await self._about_actor(reader, event)

    # Posts ------------------------------------------------------------------------------------

    async def _about_post(self, reader: Reader, event: _Event) -> Expanded | None:
        post = await cases.get(reader, event.subject)
        if post is None or not post.local:
            return None
        head = self._head(event)
        if event.kind is EventKind.POST_DELETED:
            addressed = await self._publications.addressed(reader, post)
            tombstone = await self._publications.tombstone(reader, post)
            document = build.delete(head, tombstone, addressed)
        elif post.deleted is not None:
            # Deleted before it went out: its Delete follows and is all there is to say.
            return None
        else:
            note = await self._publications.note(reader, post)
            is_new = event.kind is EventKind.POST_PUBLISHED
            document = build.create(head, note) if is_new else build.update(head, note)
        inboxes = await self._readers_of(reader, post)
        if event.kind is not EventKind.POST_PUBLISHED:
            # Whoever has got the post is told, whether or not it would get it today.
            sent = await activities.inboxes_of_post(reader, post.id)
            inboxes = list(dict.fromkeys((*inboxes, *(inbox for inbox, _ in sent))))
        audience = post.audience
        if audience is Audience.FOLLOWERS and post.case_id not in (None, post.id):
            audience = Audience.DIRECT  # no outbox lists it: it is for the readers of its case
        return self._made(event, document, post.uri, inboxes, post=post, audience=audience)

    async def _readers_of(self, reader: Reader, post: Post) -> list[str]:
        """The inboxes that a post goes to, folded by shared inbox."""
        case_author = await self._publications.case_author(reader, post)
        named = [*await self._publications.named(reader, post), case_author]
        places: list[Place] = []
        # Who follows the answerer alone may not read what is for the followers of the case.
        circle = case_author if post.audience is Audience.FOLLOWERS else post.author
        if post.audience is not Audience.DIRECT and circle.local:
            places += [
                (inbox, shared)
                for inbox, shared, _ in await follows.follower_inboxes(reader, circle.id)
            ]
        places += [(actor.inbox, actor.shared_inbox) for actor in named if not actor.local]
        if post.audience is Audience.VERIFIED:
            places += await self._shared_inboxes(reader, trusted=True)
            places = [place for place in places if self._trust.trusts(_host(place[0]))]
        elif post.audience is Audience.PUBLIC:
            places += await self._shared_inboxes(reader, trusted=False)
        return fold_inboxes(places)

    async def _shared_inboxes(self, reader: Reader, *, trusted: bool) -> list[Place]:
        """Every known shared inbox of the peers that are heard, or of those that are trusted."""
        fits = self._trust.trusts if trusted else self._trust.allows
        found = await actors.shared_inboxes(reader)
        return [(shared, shared) for host, shared in found if fits(host)]

    # Follows ----------------------------------------------------------------------------------

    async def _ask(self, reader: Reader, event: _Event) -> Expanded | None:
        found = await follows.get(reader, event.subject)
        followed_id = found.followed_id if found else event.detail.get("followed_id", "")
        uri = found.uri if found else event.detail.get("uri", "")
        followed = await actors.get(reader, followed_id)
        if followed is None or followed.local or not uri:
            return None
        if event.kind is EventKind.FOLLOW_REQUESTED:
            if found is None:
                return None
            document = build.follow(Head(uri, event.actor.uri, event.at), followed.uri)
        else:
            document = build.undo_follow(self._head(event), uri, followed.uri)
        return self._made(event, document, followed.uri, [followed.inbox])

    async def _answer(self, reader: Reader, event: _Event) -> Expanded | None:
        found = await follows.get(reader, event.subject)
        follower_id = found.follower_id if found else event.detail.get("follower_id", "")
        uri = found.uri if found else event.detail.get("uri", "")
        follower = await actors.get(reader, follower_id)
        if follower is None or follower.local or not uri:
            return None
        answer = build.accept if event.kind is EventKind.FOLLOW_ACCEPTED else build.reject
        document = answer(self._head(event), uri, follower.uri)
        return self._made(event, document, uri, [follower.inbox])

    # Reactions --------------------------------------------------------------------------------

    async def _like(self, reader: Reader, event: _Event) -> Expanded | None:
        post = await cases.get(reader, event.subject)
        uri = event.detail.get("uri", "")
        if post is None or post.author.local or not uri:
            return None
        if event.kind is EventKind.LIKED:
            head = Head(uri, event.actor.uri, event.at)
            document = build.like(head, post.uri, post.author.uri)
        else:
            document = build.undo_like(self._head(event), uri, post.uri, post.author.uri)
        return self._made(event, document, post.uri, [post.author.inbox], audience=Audience.DIRECT)

    async def _announce(self, reader: Reader, event: _Event) -> Expanded | None:
        post = await cases.get(reader, event.subject)
        uri = event.detail.get("uri", "")
        if post is None or not uri or event.actor.followers is None:
            return None
        addressed = Addressed((event.actor.followers,), (post.author.uri,))
        if event.kind is EventKind.ANNOUNCED:
            document = build.announce(Head(uri, event.actor.uri, event.at), post.uri, addressed)
        else:
            document = build.undo_announce(self._head(event), uri, post.uri, addressed)
        places: list[Place] = [
            (inbox, shared)
            for inbox, shared, _ in await follows.follower_inboxes(reader, event.actor.id)
        ]
        if not post.author.local:
            places.append((post.author.inbox, post.author.shared_inbox))
        inboxes = fold_inboxes(places)
        return self._made(event, document, post.uri, inboxes, audience=Audience.FOLLOWERS)

    # Blocks and reports -----------------------------------------------------------------------

    async def _block(self, reader: Reader, event: _Event) -> Expanded | None:
        blocked = await actors.get(reader, event.detail.get("blocked_id", ""))
        uri = event.detail.get("uri", "")
        if blocked is None or blocked.local or not uri:
            return None
        if event.kind is EventKind.BLOCKED:
            document = build.block(Head(uri, event.actor.uri, event.at), blocked.uri)
        else:
            document = build.undo_block(self._head(event), uri, blocked.uri)
        return self._made(event, document, blocked.uri, [blocked.inbox])

    async def _report(self, reader: Reader, event: _Event) -> Expanded | None:
        """To the shared inbox, where stewards' servers look: the member is not told."""
        subject = await actors.get(reader, event.subject)
        if subject is None or subject.local:
            return None
        document = build.flag(
            self._head(event), event.detail["objects"], event.detail.get("note", "")
        )
        inbox = subject.shared_inbox or subject.inbox
        return self._made(event, document, subject.uri, [inbox])

    # Vouches ----------------------------------------------------------------------------------

    async def _ask_to_vouch(self, reader: Reader, event: _Event) -> Expanded | None:
        row = await vouches.get(reader, event.subject)
        if row is None or row.uri is None:
            return None
        found = await actors.get_many(reader, [row.applicant_id, row.voucher_id or ""])
        applicant, colleague = found.get(row.applicant_id), found.get(row.voucher_id or "")
        if applicant is None or colleague is None:
            return None
        if event.kind is EventKind.VOUCH_ASK_UNDONE:
            document = build.undo_offer(self._head(event), row.uri, colleague.uri)
        elif row.state != State.ASKED or not self._trust.takes_word_of(colleague.host):
            return None  # taken back before it went out
        else:
            head = Head(row.uri, event.actor.uri, event.at)
            document = build.offer_vouch(
                head, applicant.uri, colleague.uri, row.profession, row.specialty
            )
        return self._made(event, document, row.uri, [colleague.inbox])

    async def _vouch(self, reader: Reader, event: _Event) -> Expanded | None:
        """To the server that asked and nobody else; its own actor is that of its credentials."""
        row = await vouches.get(reader, event.subject)
        applicant = await actors.get(reader, row.applicant_id) if row is not None else None
        issuer = self._trust.issuer(applicant.host) if applicant is not None else None
        asker = await actors.by_uri(reader, issuer.uri) if issuer is not None else None
        if row is None or row.uri is None or asker is None:
            return None
        uri = self._urls.vouch(row.id)
        if event.kind is EventKind.VOUCH_WITHDRAWN:
            document = build.undo_vouch(self._head(event), uri, row.uri, asker.uri)
        elif row.state != State.GIVEN or not self._trust.takes_word_of(asker.host):
            return None  # taken back, or the member suspended, before it went out
        else:
            statement = open_statement(self._vault, row)
            document = build.vouch(
                Head(uri, event.actor.uri, event.at), row.uri, asker.uri, statement
            )
        return self._made(event, document, row.uri, [asker.inbox])

    # Actors -----------------------------------------------------------------------------------

    async def _move(self, reader: Reader, event: _Event) -> Expanded | None:
        actor = event.actor
        addressed = Addressed((actor.followers,) if actor.followers else ())
        document = build.move(self._head(event), event.detail["target"], addressed)
        places: list[Place] = [
            (inbox, shared) for inbox, shared, _ in await follows.follower_inboxes(reader, actor.id)
        ]
        return self._made(event, document, actor.uri, fold_inboxes(places))

    async def _about_actor(self, reader: Reader, event: _Event) -> Expanded | None:
        """Every peer is told, since any may have kept the actor, its badge above all."""
        actor = event.actor
        addressed = Addressed((actor.followers,) if actor.followers else ())
        if event.kind is EventKind.ACTOR_UPDATED:
            if actor.deleted is not None:
                return None
            document = build.update(
                self._head(event), await self._publications.actor(reader, actor), addressed
            )
        else:
            document = build.delete(self._head(event), actor.uri, addressed)
        places: list[Place] = [
            (inbox, shared) for inbox, shared, _ in await follows.follower_inboxes(reader, actor.id)
        ]
        places += await self._shared_inboxes(reader, trusted=False)
        places += [(inbox, None) for inbox, _ in event.detail.get("inboxes", [])]
        return self._made(event, document, actor.uri, fold_inboxes(places))

    # All --------------------------------------------------------------------------------------

    def _head(self, event: _Event) -> Head:
        return Head(self._urls.activity(event.id), event.actor.uri, event.at)

    def _made(
        self,
        event: _Event,
        document: dict[str, Any],
        object_uri: str,
        inboxes: Iterable[str],
        *,
        post: Post | None = None,
        audience: Audience = Audience.DIRECT,
    ) -> Expanded:
        """The activity's row; `inboxes` without our own and without those that are not peers."""
        body = builders.write(document)
        activity = Activity(
            id=event.id,
            uri=document["id"],
            actor_id=event.actor.id,
            type=document["type"],
            object_uri=object_uri,
            post_id=post.id if post else None,
            audience=audience,
            body=body.decode(),
            created=event.at,
        )
        places = ((inbox, _host(inbox)) for inbox in inboxes if not self._urls.is_ours(inbox))
        # What a pseudonym does stays in the verified network, whatever it answers or likes.
        fits = self._trust.trusts if event.actor.pseudonymous else self._trust.allows
        return Expanded(activity, tuple((inbox, host) for inbox, host in places if fits(host)))


def _host(url: str) -> str:
    try:
        return host_of(url)
    except DocumentError:
        return ""
