"""Pictures of other servers, copied here: pages show nothing from elsewhere.

Each is fetched from an allowed peer only, signed, decoded and written anew, and given out to those
who may read its post.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedidoc.activitypub.addressing import host_of
from fedidoc.activitypub.errors import FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.clinical.media import clean
from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.federation.tasks import Tasks
from fedidoc.model import Media
from fedidoc.storage import copies, queues
from fedidoc.storage.engine import Database, Transaction
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
    """Copies remote pictures into the media folder."""

    def __init__(
        self,
        db: Database,
        fetcher: Fetcher,
        clock: Clock,
        trust: Trust,
        folder: Path,
        max_bytes: int,
    ) -> None:
        self._db = db
        self._fetcher = fetcher
        self._clock = clock
        self._trust = trust
        self._folder = folder
        self._max_bytes = max_bytes
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def register(self, tasks: Tasks) -> None:
        tasks.add(PICTURE, self.copy, tries=_TRIES)

    async def copy(self, media_id: str, detail: Mapping[str, Any]) -> None:
        """Fetch and keep one picture. Raises FetchError; a picture that is none is left out."""
        wanted = await copies.missing(self._db, media_id)
        if wanted is None:
            return
        if not self._trust.allows(host_of(wanted.remote_url)):
            raise FetchError("peer_not_allowed", "The picture is on a server that is not a peer.")
        async with self._slots:
            data, _ = await self._fetcher.get_bytes(
                wanted.remote_url, max_bytes=self._max_bytes, accept=MEDIA_TYPES, signed=True
            )
            try:
                cleaned = await asyncio.to_thread(clean, data)
            except BadInput:
                raise FetchError("not_a_picture", "The picture cannot be read.") from None
        file = f"{self._clock.random_id()}.{cleaned.ending}"
        await asyncio.to_thread(self._write, file, cleaned.data)
        async with self._db.transaction() as tx:
            kept = await copies.found(
                tx,
                media_id,
                file=file,
                media_type=cleaned.media_type,
                width=cleaned.width,
                height=cleaned.height,
            )
        if not kept:
            (self._folder / file).unlink(missing_ok=True)

    def _write(self, file: str, data: bytes) -> None:
        """Whole or not at all, and on disk before the row that names it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            Path(temporary).replace(self._folder / file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
