"""The accept table: which activity about which object goes to which handler.

A handler takes a run of activities of its kind, in the order in which they came, inside the
transaction of the whole batch, and answers one effect for each: a short text that is kept in
`inbox.effect`, such as `stored`, `ignore: …` or `refused: …`. Handlers do nothing but statements.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedidoc.activitypub.documents import ActivityDocument, types
from fedidoc.clinical.blocks import Blocks
from fedidoc.clinical.follows import Follows
from fedidoc.clinical.incoming import Incoming
from fedidoc.clinical.reports import Reports
from fedidoc.clock import Clock
from fedidoc.federation.badges import counts
from fedidoc.federation.remote import Missing
from fedidoc.federation.urls import Urls
from fedidoc.model import Actor
from fedidoc.storage.engine import Transaction
from fedidoc.verification.far_vouches import FarVouches
from fedidoc.verification.trust import Trust


@dataclass(frozen=True, slots=True)
class Received:
    """One activity out of the inbox, its signer checked long ago."""

    id: str
    activity: ActivityDocument
    actor: Actor
    host: str

    @property
    def activity_id(self) -> str:
        return self.activity.id or ""


@dataclass(frozen=True, slots=True)
class Clinic:
    """The rooms that hear from other servers."""

    cases: Incoming
    follows: Follows
    blocks: Blocks
    reports: Reports
    vouches: FarVouches


@dataclass(frozen=True, slots=True)
class Batch:
    """What handlers work with: one transaction, and everything that was fetched before it.

    `actors` are those known here that the batch names, by URI; `documents` are fetched objects by
    id, `Missing` where that failed.
    """

    tx: Transaction
    urls: Urls
    clock: Clock
    clinic: Clinic
    actors: Mapping[str, Actor]
    documents: Mapping[str, dict[str, Any] | Missing]
    trust: Trust

    @property
    def cases(self) -> Incoming:
        return self.clinic.cases

    @property
    def follows(self) -> Follows:
        return self.clinic.follows

    def refuses(self, author: Actor) -> str | None:
        """Why nothing by this actor is taken: its server's members must be verified, and it is
        not. None if it may speak."""
        if not self.trust.requires_credential(author.host):
            return None
        if counts(author.badge, self.clock.now()):
            return None
        if author.badge.verified:
            return "refused: the actor's credential has expired"
        return f"refused: the actor is not verified. {author.badge.reason}"


Handler = Callable[[Batch, Sequence[Received]], Awaitable[list[str]]]
One = Callable[[Batch, Received], Awaitable[str]]

ANY = "*"


class Table:
    """Handlers by (activity type, object type); `ANY` stands for every object, also a bare id."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], Handler] = {}

    def add(self, activity: str, handler: Handler, *objects: str) -> None:
        """Registering twice is an error in the code: ValueError."""
        for each in objects or (ANY,):
            if (activity, each) in self._handlers:
                raise ValueError(f"{activity} of {each} has a handler already")
            self._handlers[activity, each] = handler

    def add_single(self, activity: str, handler: One, *objects: str) -> None:
        """Register a handler that takes one activity at a time."""

        async def run(batch: Batch, received: Sequence[Received]) -> list[str]:
            return [await handler(batch, each) for each in received]

        self.add(activity, run, *objects)

    def find(self, activity: ActivityDocument) -> Handler | None:
        """The handler for an activity; that of its object's type before the general one."""
        kinds = types(activity.object) if activity.object is not None else ()
        for kind in (*kinds, ANY):
            handler = self._handlers.get((activity.type, kind))
            if handler is not None:
                return handler
        return None
