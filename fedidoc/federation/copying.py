"""Pictures of other servers, copied here: pages show nothing from elsewhere.

Each is fetched from an allowed peer only, signed, decoded and written anew, and given out to those
who may read its post.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedidoc.activitypub.addressing import host_of
from fedidoc.activitypub.errors import FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.clinical.media import Pictures
from fedidoc.errors import BadInput
from fedidoc.federation.tasks import Tasks
from fedidoc.model import Media
from fedidoc.storage import queues
from fedidoc.storage.engine import Transaction
from fedidoc.verification.trust import Trust

PICTURE: Final = "picture"
MEDIA_TYPES: Final = ("image/png", "image/jpeg", "image/webp")
_TRIES = 12
_AT_ONCE = 2


async def ask_for(tx: Transaction, pictures: Sequence[Media], now: int) -> None:
    """Have remote pictures copied, in the transaction that stores their post."""
    for picture in pictures:
        if picture.file is None and picture.media_type in MEDIA_TYPES:
            await queues.put_task(tx, PICTURE, picture.id, {}, now)


class Copying:
    """Fetches remote pictures for the media folder."""

    def __init__(self, pictures: Pictures, fetcher: Fetcher, trust: Trust) -> None:
        self._pictures = pictures
        self._fetcher = fetcher
        self._trust = trust
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def register(self, tasks: Tasks) -> None:
        tasks.add(PICTURE, self.copy, tries=_TRIES)

    async def copy(self, media_id: str, detail: Mapping[str, Any]) -> None:
        """Fetch and keep one picture. Raises FetchError; a picture that is none is left out."""
        url = await self._pictures.missing(media_id)
        if url is None:
            return
        if not self._trust.allows(host_of(url)):
            raise FetchError("peer_not_allowed", "The picture is on a server that is not a peer.")
        async with self._slots:
            data, _ = await self._fetcher.get_bytes(
                url, max_bytes=self._pictures.max_bytes, accept=MEDIA_TYPES, signed=True
            )
            try:
                await self._pictures.keep(media_id, data)
            except BadInput:
                raise FetchError("not_a_picture", "The picture cannot be read.") from None
