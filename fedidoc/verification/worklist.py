"""The reviewers' queue: who waits, why that is urgent, and how many there are of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from fedidoc.clock import Clock
from fedidoc.model import Page, Role
from fedidoc.storage import applications
from fedidoc.storage import evidence as stored
from fedidoc.storage.statements import Reader
from fedidoc.verification import urgency
from fedidoc.verification.desk import ApplicationView, Desks, State
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.urgency import Cause, Reason

# More than this wait nowhere; beyond it the longest waiting are weighed, and the rest follows.
MOST: Final = 500
PAGE: Final = 25
_CONFIRMING: Final = {EvidenceKind.IDENTITY_PROVIDER.value, EvidenceKind.EMPLOYER.value}


@dataclass(frozen=True, slots=True)
class Item:
    """An application that waits, with why it is urgent, the weightiest reason first."""

    application: ApplicationView
    reasons: tuple[Reason, ...]

    @property
    def score(self) -> int:
        return urgency.score(self.reasons)


@dataclass(frozen=True, slots=True)
class Worklist:
    """One page of what waits, the most urgent first. `causes` and `roles` count all that wait, not
    only what is shown; `states` all applications; `older` is the number of the next page."""

    items: tuple[Item, ...]
    states: Mapping[State, int]
    causes: Mapping[Cause, int]
    roles: Mapping[Role, int]
    older: str | None


class Worklists:
    """Weighs the open applications."""

    def __init__(self, clock: Clock, desks: Desks) -> None:
        self._clock = clock
        self._desks = desks

    async def page(
        self,
        reader: Reader,
        state: State,
        *,
        cause: Cause | None = None,
        role: Role | None = None,
        page: str | None = None,
    ) -> Worklist:
        """Those in an open state; of one cause or role if that is given."""
        states = await applications.counts(reader)
        items = await self._weigh(reader, state)
        chosen = [
            item
            for item in items
            if (cause is None or cause in {reason.cause for reason in item.reasons})
            and (role is None or item.application.claim.profession is role)
        ]
        text = page or ""
        first = int(text) * PAGE if text.isascii() and text.isdigit() and len(text) < 6 else 0
        rest = chosen[first:]
        return Worklist(
            items=tuple(rest[:PAGE]),
            states={each: states.get(each.value, 0) for each in State},
            causes=Counter(reason.cause for item in items for reason in item.reasons),
            roles=Counter(item.application.claim.profession for item in items),
            older=str(first // PAGE + 1) if len(rest) > PAGE else None,
        )

    async def by_age(
        self, reader: Reader, states: Collection[State], page: str | None, limit: int
    ) -> Page[ApplicationView]:
        """Those in one of the states, the longest waiting first."""
        found = await applications.queue(
            reader, [s.value for s in states], after=_read_cursor(page), limit=limit + 1
        )
        shown = found[:limit]
        older = f"{shown[-1].created}.{shown[-1].id}" if len(found) > limit else None
        return Page(tuple(self._desks.view(a) for a in shown), older)

    async def _weigh(self, reader: Reader, state: State) -> list[Item]:
        now = self._clock.now()
        found = await applications.queue(reader, [state.value], after=None, limit=MOST)
        if not found:
            return []
        hits = await self._desks.hits(reader, found)
        shared = await applications.shared(reader, [each.id for each in found])
        proposals = await self._desks.proposals(reader, found)
        accounts = {each.account.id for each in found}
        kinds = await stored.kinds_of(reader, accounts, now)
        ends = await stored.ends_of(reader, accounts, now)
        items = [
            Item(
                self._desks.view(each),
                urgency.reasons(
                    now,
                    each.created,
                    hits=sum(hit.open for hit in hits[each.id]),
                    duplicates=shared.get(each.id, 0),
                    proposed=each.id in proposals,
                    confirmed=bool(kinds.get(each.account.id, frozenset()) & _CONFIRMING),
                    ends=ends.get(each.account.id, ()),
                ),
            )
            for each in found
        ]
        return sorted(items, key=lambda i: (-i.score, i.application.created, i.application.id))


def _read_cursor(text: str | None) -> tuple[int, str] | None:
    at, _, id = (text or "").partition(".")
    return (int(at), id) if at.isascii() and at.isdigit() and len(at) < 16 and id else None
