"""What peers may read: every answer depends on who asks.

A peer signs its GET; an unsigned one gets a stub of an actor and nothing else. What a peer may not
read answers like what does not exist.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedidoc import __version__
from fedidoc.activitypub.contexts import EXTENSION_CONTEXT
from fedidoc.activitypub.discovery import (
    Handle,
    instance_webfinger_document,
    nodeinfo_document,
    nodeinfo_links,
    parse_handle,
    webfinger_document,
)
from fedidoc.activitypub.documents import dump
from fedidoc.activitypub.errors import DocumentError, Refused
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.receive import VerifiedReader, authenticate
from fedidoc.clock import Clock
from fedidoc.federation import builders
from fedidoc.federation.builders import actors as build
from fedidoc.federation.keyring import Keyring
from fedidoc.federation.publications import Publications
from fedidoc.federation.urls import Urls
from fedidoc.log import Log
from fedidoc.model import Actor, Audience, Post
from fedidoc.storage import activities, actors, cases, follows, pictures
from fedidoc.storage.engine import Database
from fedidoc.verification.credentials import CONTEXT_DOCUMENT, Credentials
from fedidoc.verification.publishing import Publishing
from fedidoc.verification.trust import Trust

ACTIVITY = "application/activity+json"
CREDENTIAL = "application/vc+ld+json"
JRD = "application/jrd+json"
JSON = "application/json"
JSON_LD = "application/ld+json"
NODEINFO = 'application/json; profile="http://nodeinfo.diaspora.software/ns/schema/{}#"'

_PAGE = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A document to send: status, media type and bytes. `open` ones may be cached by anybody.

    `etag` is its entity tag with the quotation marks; one without is never answered 304.
    """

    status: int
    media_type: str
    body: bytes
    open: bool = False
    etag: str = ""


NOWHERE = Answer(404, JSON, b'{"error":"There is nothing here, or it is not yours to see."}')


class Reading:
    """Answers for GETs of actors, posts, collections, credentials and discovery documents."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        urls: Urls,
        trust: Trust,
        keyring: Keyring,
        publications: Publications,
        credentials: Credentials,
        publishing: Publishing,
        *,
        media_folder: Path,
        open_registrations: bool = False,
    ) -> None:
        self._db = db
        self._clock = clock
        self._urls = urls
        self._trust = trust
        self._keyring = keyring
        self._publications = publications
        self._credentials = credentials
        self._publishing = publishing
        self._media_folder = media_folder
        self._open_registrations = open_registrations
        self._log = Log("reading")

    async def authenticate(
        self, method: str, target: str, headers: tuple[tuple[str, str], ...]
    ) -> VerifiedReader | Answer:
        """Who signed a GET of `target` (path and query as they stood); else the refusal."""
        request = Request(method, self._urls.base + target, headers)
        try:
            return await authenticate(
                request, peers=self._trust, keys=self._keyring, now_ms=self._clock.now()
            )
        except Refused as refusal:
            self._log.info("refused", reason=refusal.reason, status=refusal.status)
            return Answer(refusal.status, JSON, dump({"error": refusal.text}))

    # Actors -----------------------------------------------------------------------------------

    async def instance(self) -> Answer:
        """The instance actor, open to all: peers that demand signatures must get our key first."""
        actor = await actors.by_uri(self._db, self._urls.instance_actor)
        if actor is None:
            return NOWHERE
        return _activity(await self._publications.actor(self._db, actor), open=True)

    async def instance_outbox(self) -> Answer:
        """Always empty: the instance says nothing by itself."""
        uri = self._urls.instance_actor + "/outbox"
        return _activity(build.collection(uri, total=0, first=None), open=True)

    async def actor(self, username: str, reader: VerifiedReader | None) -> Answer:
        """A member: all of it for a peer, a stub for an unsigned request."""
        actor = await actors.local_by_username(self._db, username)
        if actor is None or actor.suspended is not None or actor.username != username:
            return NOWHERE
        if reader is not None and not self._is_open_to(actor, reader):
            return NOWHERE
        if actor.deleted is not None:
            return _activity(build.gone(actor.uri, actor.deleted), status=410)
        if reader is None:
            return _activity(await self._publications.stub(self._db, actor))
        return _activity(await self._publications.actor(self._db, actor))

    async def follow_list(
        self, username: str, which: str, reader: VerifiedReader, after: str | None
    ) -> Answer:
        """`followers` or `following` of a member; `after` is None for the collection itself."""
        actor = await self._standing(username)
        # Nobody is told who follows a pseudonym, not even how many.
        if actor is None or actor.pseudonymous:
            return NOWHERE
        is_followers = which == "followers"
        uri = self._urls.followers(username) if is_followers else self._urls.following(username)
        if after is None:
            total = (await follows.counts(self._db, actor.id))[0 if is_followers else 1]
            return _activity(build.collection(uri, total=total, first=f"{uri}?after="))
        find = follows.followers_of if is_followers else follows.following_of
        found = await find(self._db, actor.id, after=after, limit=_PAGE)
        more = f"{uri}?after={found[-1].id}" if len(found) == _PAGE else None
        return _activity(
            build.page(
                f"{uri}?after={after}",
                part_of=uri,
                items=[each.uri for each in found],
                following=more,
            )
        )

    async def outbox(self, username: str, reader: VerifiedReader, before: str | None) -> Answer:
        """A member's posts that the peer may read; `before` is None for the collection itself."""
        actor = await self._standing(username)
        if actor is None or not self._is_open_to(actor, reader):
            return NOWHERE
        uri = self._urls.outbox(username)
        audiences = await self._audiences(actor, reader)
        if before is None:
            total = await activities.count_published(self._db, actor.id, audiences)
            return _activity(build.collection(uri, total=total, first=f"{uri}?before="))
        found = await activities.published_by(
            self._db, actor.id, audiences, before=before, limit=_PAGE
        )
        items = [item for each in found if (item := await self._as_it_is(each)) is not None]
        more = f"{uri}?before={found[-1].id}" if len(found) == _PAGE else None
        return _activity(
            build.page(f"{uri}?before={before}", part_of=uri, items=items, following=more)
        )

    async def _as_it_is(self, created: activities.Activity) -> dict[str, Any] | None:
        """A Create with its post as it is now, edits included."""
        post = await cases.get(self._db, created.post_id or "")
        if post is None or post.deleted is not None:
            return None
        document: dict[str, Any] = json.loads(created.body)
        document.pop("@context", None)
        return document | {"object": await self._publications.note(self._db, post)}

    async def _standing(self, username: str) -> Actor | None:
        actor = await actors.local_by_username(self._db, username)
        if actor is None or actor.suspended or actor.deleted or actor.username != username:
            return None
        return actor

    # Posts ------------------------------------------------------------------------------------

    async def post(self, post_id: str, reader: VerifiedReader) -> Answer:
        """A local post, or its Tombstone for who could read it."""
        post = await cases.get(self._db, post_id)
        if post is None or not post.local or not await self._may_read(post, reader):
            return NOWHERE
        if post.deleted is not None:
            return _activity(build.gone(post.uri, post.deleted), status=410)
        return _activity(await self._publications.note(self._db, post))

    async def context(self, post_id: str, reader: VerifiedReader) -> Answer:
        """The ids of everything in a local case's thread (FEP-7888, FEP-f228)."""
        case = await cases.get(self._db, post_id)
        if case is None or not case.local or case.deleted or case.case_id != case.id:
            return NOWHERE
        if not await self._may_read(case, reader):
            return NOWHERE
        thread = await cases.thread_of(self._db, case.id)
        uris = [post.uri for post in thread if self._is_listed(post, case, reader)]
        uri = self._urls.context(case.id)
        document = build.collection(uri, total=len(uris), first=None)
        return _activity(document | {"attributedTo": case.author.uri, "orderedItems": uris})

    def _is_listed(self, post: Post, case: Post, reader: VerifiedReader) -> bool:
        """Whether a peer that may read a case may know of a post in its thread: not of one for
        fewer readers, unless it is its own, nor of what this instance shows nobody."""
        author = post.author
        if post.deleted is not None or author.suspended is not None:
            return False
        if not self._is_open_to(author, reader):
            return False
        if not author.local and not self._trust.allows(author.host):
            return False
        return post.audience in (case.audience, Audience.PUBLIC) or author.host == reader.host

    async def activity(self, uri: str, reader: VerifiedReader) -> Answer:
        """An activity of ours, for the hosts it was sent to and those that may read its post."""
        found = await activities.by_uri(self._db, uri)
        if found is None:
            return NOWHERE
        actor = await actors.get(self._db, found.actor_id)
        if actor is None or actor.suspended is not None or not self._is_open_to(actor, reader):
            return NOWHERE
        if not await activities.was_sent_to(self._db, found.id, reader.host):
            post = await cases.get(self._db, found.post_id) if found.post_id else None
            if post is None or not await self._may_read(post, reader):
                return NOWHERE
        return Answer(200, ACTIVITY, found.body.encode())

    async def media(self, file: str, reader: VerifiedReader) -> Answer:
        """A picture of a local post that the peer may read."""
        found = await pictures.by_file(self._db, file)
        post = await cases.get(self._db, found.post_id) if found and found.post_id else None
        if found is None or post is None or not post.local or post.deleted is not None:
            return NOWHERE
        if not await self._may_read(post, reader):
            return NOWHERE
        try:
            data = await asyncio.to_thread((self._media_folder / file).read_bytes)
        except FileNotFoundError:
            return NOWHERE
        return Answer(200, found.media.media_type, data)

    async def _may_read(self, post: Post, reader: VerifiedReader) -> bool:
        """Whether a peer's members may read a local post: its own audience, or its case's.

        Nobody reads what a suspended member wrote, as if it never was.
        """
        if post.author.suspended is not None or not self._is_open_to(post.author, reader):
            return False
        is_reply = post.case_id is not None and post.case_id != post.id
        # What is for the followers of a case is not for those of who answers it.
        is_of_circle = is_reply and post.audience is Audience.FOLLOWERS
        if not is_of_circle and await self._is_for(post, reader):
            return True
        if is_reply and post.audience is not Audience.DIRECT:
            case = await cases.get(self._db, post.case_id or "")
            if case is not None and case.local and await self._is_for(case, reader):
                return True
        return await activities.post_was_sent_to(self._db, post.id, reader.host)

    def _is_open_to(self, actor: Actor, reader: VerifiedReader) -> bool:
        """A pseudonym and its words are for peers that check credentials, and for no others."""
        return not actor.pseudonymous or self._trust.trusts(reader.host)

    async def _is_for(self, post: Post, reader: VerifiedReader) -> bool:
        if post.audience is Audience.DIRECT:
            named = await actors.get_many(self._db, post.recipients)
            return any(actor.host == reader.host for actor in named.values())
        return post.audience in await self._audiences(post.author, reader)

    async def _audiences(self, author: Actor, reader: VerifiedReader) -> set[Audience]:
        """The audiences of an author to which a peer belongs."""
        found = {Audience.PUBLIC}
        if self._trust.trusts(reader.host):
            found.add(Audience.VERIFIED)
        if await follows.has_follower_at(self._db, author.id, reader.host):
            found.add(Audience.FOLLOWERS)
        return found

    # Credentials ------------------------------------------------------------------------------

    async def credential(self, credential_id: str) -> Answer:
        document = await self._credentials.document(credential_id)
        return Answer(200, CREDENTIAL, dump(document)) if document else NOWHERE

    async def status_list(self) -> Answer:
        return Answer(200, CREDENTIAL, dump(await self._credentials.status_list()))

    # The trust list ---------------------------------------------------------------------------

    async def trust_list(self, sequence: int | None) -> Answer:
        """The trust list that this instance publishes, or an earlier one by its number: open to
        all, since whoever considers to rely on it has to read it first."""
        found = (
            await self._publishing.newest()
            if sequence is None
            else await self._publishing.at(sequence)
        )
        if found is None:
            return NOWHERE
        body = found.document.encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return Answer(200, JSON_LD, body, open=True, etag=etag)

    # Discovery --------------------------------------------------------------------------------

    async def webfinger(self, resource: str) -> Answer:
        """The actor's URL of a member who lets others find them, or of the instance."""
        if resource.rstrip("/") == self._urls.base:
            return _jrd(instance_webfinger_document(self._urls.base, self._urls.instance_actor))
        try:
            wanted = parse_handle(resource)
        except DocumentError:
            return Answer(400, JSON, b'{"error":"Ask for acct:name@domain."}')
        if isinstance(wanted, Handle):
            if wanted.host != self._urls.authority:
                return NOWHERE
            actor = await actors.by_handle(self._db, wanted.username.lower(), wanted.host)
        else:
            actor = await actors.by_uri(self._db, wanted)
        if actor is None or not actor.local or actor.suspended or actor.deleted:
            return NOWHERE
        if not actor.discoverable and actor.uri != self._urls.instance_actor:
            return NOWHERE
        return _jrd(webfinger_document(Handle(actor.username, actor.host), actor.uri))

    def nodeinfo_links(self) -> Answer:
        links = nodeinfo_links(self._urls.base, self._urls.instance_actor)
        return Answer(200, JSON, dump(links), open=True)

    def nodeinfo(self, version: str) -> Answer:
        """Which software runs here, and nothing that comes from a register."""
        document = nodeinfo_document(
            software_version=__version__,
            open_registrations=self._open_registrations,
            version=version,
        )
        return Answer(200, NODEINFO.format(version), dump(document), open=True)

    def host_meta(self) -> Answer:
        """RFC 6415, for servers that still look up WebFinger's address there."""
        template = f"{self._urls.base}/.well-known/webfinger?resource={{uri}}"
        document = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">'
            f'<Link rel="lrdd" template="{template}"/></XRD>'
        )
        return Answer(200, "application/xrd+xml", document.encode(), open=True)

    def credential_context(self) -> Answer:
        """The JSON-LD context of this instance's credentials."""
        return Answer(200, JSON_LD, dump(CONTEXT_DOCUMENT), open=True)

    def namespace(self) -> Answer:
        """fedidoc's own JSON-LD context."""
        return Answer(200, JSON_LD, dump(EXTENSION_CONTEXT), open=True)


def _activity(document: dict[str, Any], *, status: int = 200, open: bool = False) -> Answer:
    return Answer(status, ACTIVITY, builders.write(document), open)


def _jrd(document: dict[str, Any]) -> Answer:
    return Answer(200, JRD, dump(document), open=True)
