"""This instance's own actors and posts as documents, put together from its database."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fedidoc import integrity
from fedidoc.federation import builders
from fedidoc.federation.builders import actors as actor_builders
from fedidoc.federation.builders import posts as post_builders
from fedidoc.federation.builders.actors import PublicKeys
from fedidoc.federation.builders.posts import Addressed
from fedidoc.federation.urls import Urls
from fedidoc.model import Actor, ActorKind, Post
from fedidoc.storage import actors, cases, keys, moves
from fedidoc.storage.engine import Reader
from fedidoc.storage.keys import KeyUse

__all__ = ["Publications", "builders"]


class Publications:
    """Documents without `@context`, as `builders` makes them. Says nothing of who may read them."""

    def __init__(self, urls: Urls, *, name: str, description: str) -> None:
        self._urls = urls
        self._name = name
        self._description = description

    async def keys(self, reader: Reader, actor: Actor) -> PublicKeys:
        """The public keys that a local actor shows."""
        stored = await keys.keys_of(reader, actor.id)
        rsa = stored[KeyUse.RSA]
        multikeys = []
        for use in (KeyUse.CREDENTIAL, KeyUse.ED25519):
            if use in stored:
                public = load_pem_public_key(stored[use].public.encode())
                if isinstance(public, Ed25519PublicKey):
                    multikeys.append((stored[use].key_id, integrity.encode_multikey(public)))
        return PublicKeys(rsa.key_id, rsa.public, tuple(multikeys))

    async def actor(self, reader: Reader, actor: Actor) -> dict[str, Any]:
        """A local person, or the instance itself."""
        public = await self.keys(reader, actor)
        if actor.kind is ActorKind.INSTANCE:
            return actor_builders.instance(
                self._urls, actor, public, name=self._name, description=self._description
            )
        return actor_builders.actor(
            self._urls, actor, public, credential=await actors.credential_url(reader, actor.id),
            aliases=await moves.aliases(reader, actor.id),
            moved_to=await moves.moved_to(reader, actor.id),
        )  # fmt: skip

    async def stub(self, reader: Reader, actor: Actor) -> dict[str, Any]:
        """What anybody may see of a local person: enough to check a signature."""
        return actor_builders.stub(actor, await self.keys(reader, actor))

    async def note(self, reader: Reader, post: Post) -> dict[str, Any]:
        """A local post that still stands."""
        named = await self.named(reader, post)
        return post_builders.note(
            self._urls,
            post,
            named,
            case_author=await self.case_author(reader, post),
            context=await self._context(reader, post),
        )

    async def tombstone(self, reader: Reader, post: Post) -> dict[str, Any]:
        """A local post that was deleted."""
        return post_builders.tombstone(post, await self.addressed(reader, post))

    async def addressed(self, reader: Reader, post: Post) -> Addressed:
        """Whom everything about a local post is addressed to."""
        named, author = await self.named(reader, post), await self.case_author(reader, post)
        return post_builders.address(self._urls, post, named, author)

    async def case_author(self, reader: Reader, post: Post) -> Actor:
        """Who opened the case that a post belongs to, as far as it is known here."""
        if post.case_id in (None, post.id):
            return post.author
        case = await cases.get(reader, post.case_id or "")
        return case.author if case is not None else post.author

    async def named(self, reader: Reader, post: Post) -> list[Actor]:
        """The actors whom a post answers or mentions, in order."""
        found = await actors.get_many(reader, post.recipients)
        return [found[id] for id in post.recipients if id in found]

    async def _context(self, reader: Reader, post: Post) -> str | None:
        """The thread's collection: its case's own; for a plain server's post there is none."""
        if post.case_id is None:
            return None
        case = post if post.case_id == post.id else await cases.get(reader, post.case_id)
        if case is None:
            return None
        if case.local:
            return self._urls.context(case.id)
        # Another fedidoc's case: its context has the same layout as ours.
        return f"{case.uri}/context" if case.fields is not None else None
