"""Lists by pages: `limit`, `max_id`, `since_id` in, a Link header (RFC 8288) out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import urlencode

from quart import request

from fedidoc.model import Page
from fedidoc.web import gate
from fedidoc.web.api import fields
from fedidoc.web.gate import Response

USUAL = 20
MOST = 40
# A filter may leave little of each page that the room gives; then the answer is shorter.
_READS = 6
_CURSORS = frozenset({"max_id", "since_id", "min_id"})


class Named(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True, slots=True)
class Wish:
    """What part of a list is asked for: at most `limit`, older than one id, newer than another."""

    limit: int
    before: str | None
    since: str | None


def wish() -> Wish:
    """What this call asks for. A limit that cannot be had is the nearest that can.

    `min_id` is taken as `since_id`: the newest of what is newer, not the oldest of it.
    """
    form = fields.asked()
    given = form.get("limit")
    limit = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else USUAL
    since = form.get("since_id") or form.get("min_id")
    return Wish(max(1, min(limit, MOST)), form.get("max_id") or None, since or None)


async def collect(
    read: Callable[[str | None], Awaitable[Page[T]]],
    wanted: Wish,
    keep: Callable[[T], bool] = lambda item: True,
) -> Page[T]:
    """As many items as are wanted, from as many pages of a room as that takes, within a bound."""
    items: list[T] = []
    cursor = wanted.before
    for _ in range(_READS):
        page = await read(cursor)
        for item in page.items:
            if wanted.since is not None and item.id <= wanted.since:
                return Page(tuple(items), None)
            if not keep(item):
                continue
            if len(items) == wanted.limit:
                return Page(tuple(items), items[-1].id)
            items.append(item)
        cursor = page.older
        if cursor is None or len(items) == wanted.limit:
            break
    return Page(tuple(items), cursor)


def link(response: Response, page: Page[T]) -> Response:
    """Say where the list goes on: `next` is older, `prev` is newer."""
    ways = []
    if page.older is not None:
        ways.append(f'<{_address("max_id", page.older)}>; rel="next"')
    if page.items:
        ways.append(f'<{_address("min_id", page.items[0].id)}>; rel="prev"')
    if ways:
        response.headers["Link"] = ", ".join(ways)
    return response


def _address(name: str, item_id: str) -> str:
    kept = [(n, v) for n, v in request.args.items(multi=True) if n not in _CURSORS]
    base = gate.services().config.base_url
    return f"{base}{request.path}?{urlencode([*kept, (name, item_id)])}"
