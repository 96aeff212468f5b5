"""Pictures: taken in, cleaned, kept in the media folder, given out to readers of their post.

A picture is decoded and written anew, so that no metadata, no trailing data and nothing but pixels
of one frame is left. It is stored before its case is published, so that a form which is held back
keeps its pictures; what no case takes in within two days is swept away.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from fedidoc.clinical import phi
from fedidoc.clinical.reading import readable, viewer_of
from fedidoc.clock import DAY, HOUR, Clock
from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Account, ClearedText, Media, Right
from fedidoc.storage import pictures
from fedidoc.storage.engine import Database

MAX_PIXELS = 40_000_000
"""Most pixels of a picture as it comes; larger ones are refused before they are decoded."""
MAX_SIDE = 4_096
"""Longest side of what is kept; larger pictures are scaled down."""
_LOOSE = 2 * DAY
_AT_ONCE = 2
_FORMATS = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "WEBP": ("image/webp", "webp"),
}
_TYPES = {ending: media_type for media_type, ending in _FORMATS.values()}


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A picture written anew."""

    data: bytes
    media_type: str
    ending: str
    width: int
    height: int


def clean(data: bytes) -> Cleaned:
    """Decode a PNG, JPEG or WebP and write it anew: pixels only, upright, of one frame.

    Raises BadInput that says what to do. Takes up to a second for a large picture: run it in a
    thread.
    """
    _refuse_by_name(data)
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=tuple(_FORMATS))
        if picture.width * picture.height > MAX_PIXELS:
            raise BadInput("The picture has too many pixels; make it smaller and add it again.")
        kind = str(picture.format)
        picture.load()
        picture = ImageOps.exif_transpose(picture)
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput("This is no PNG, JPEG or WebP picture that can be read.") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError):
        # What Pillow's decoders raise on damaged files is not one family.
        raise BadInput("The picture is damaged; save it again and add it anew.") from None
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    has_alpha = kind != "JPEG" and picture.has_transparency_data
    bare = picture.convert("RGBA" if has_alpha else "RGB")
    bare.info.clear()
    out = io.BytesIO()
    match kind:
        case "JPEG":
            bare.save(out, "JPEG", quality=88, optimize=True, exif=b"", icc_profile=None)
        case "WEBP":
            bare.save(out, "WEBP", quality=88, exif=b"", icc_profile=None, xmp=b"")
        case _:
            bare.save(out, "PNG", optimize=False, icc_profile=None)
    media_type, ending = _FORMATS[kind]
    return Cleaned(out.getvalue(), media_type, ending, bare.width, bare.height)


def _refuse_by_name(data: bytes) -> None:
    if data[128:132] == b"DICM" or data[:4] == b"DICM":
        raise BadInput(
            "DICOM files carry the patient's name; export the one image as PNG or JPEG instead."
        )
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<?xml", b"<svg", b"<!doctype svg", b"<!--")):
        raise BadInput("SVG is not taken, since it can hold text and scripts; export it as PNG.")


@dataclass(frozen=True, slots=True)
class Pictures:
    """The media folder and its rows. `max_bytes` is the most that one upload may have."""

    db: Database
    clock: Clock
    folder: Path
    max_bytes: int = 8 * 1024 * 1024
    _decoding: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_AT_ONCE), init=False, repr=False, compare=False
    )

    async def put(self, owner: Account, data: bytes, alt: str = "") -> Media:
        """Clean and keep a picture that no post has yet. Raises BadInput (field `picture`).

        The description is asked for, and passes the guard, when a case takes the picture in; here
        it is kept only if the guard has nothing against it.
        """
        viewer = viewer_of(owner, Right.OPEN)
        if len(data) > self.max_bytes:
            size = self.max_bytes // (1024 * 1024)
            raise BadInput(f"A picture has at most {size} MB; make it smaller.", field="picture")
        alt = " ".join(alt.split())[:1_500]
        if not isinstance(phi.clear(alt), ClearedText):
            alt = ""
        try:
            async with self._decoding:
                cleaned = await asyncio.to_thread(clean, data)
        except BadInput as error:
            raise BadInput(error.text, field="picture") from None
        file = f"{self.clock.random_id()}.{cleaned.ending}"
        media = Media(
            self.clock.random_id(), alt, cleaned.media_type, cleaned.width, cleaned.height, file
        )
        await asyncio.to_thread(self._write, file, cleaned.data)
        async with self.db.transaction() as tx:
            await pictures.put(tx, [(media, viewer.actor_id, None, 0)], self.clock.now())
        return media

    async def unpublished(self, owner: Account, ids: Sequence[str]) -> list[Media]:
        """Those of the pictures that are the member's own, in the order asked for."""
        found = await pictures.of_owner(self.db, owner.actor_id, ids[:100])
        return [found[id].media for id in dict.fromkeys(ids) if id in found]

    async def open(self, account: Account, file: str) -> tuple[bytes, str]:
        """(data, media type) for a reader of the picture's post, or for its owner before it is
        published; NotFound otherwise."""
        viewer = viewer_of(account)
        found = await pictures.by_file(self.db, file)
        if found is None:
            raise NotFound
        if found.post_id is not None:
            post = await readable(self.db, viewer, found.post_id)
            if post.deleted is not None:
                raise NotFound
        elif found.owner_id != viewer.actor_id:
            raise NotFound
        return await self.read(file)

    async def missing(self, media_id: str) -> str | None:
        """Where to fetch a remote picture; None if it is here already, or gone with its post."""
        return await pictures.missing(self.db, media_id)

    async def keep(self, media_id: str, data: bytes) -> None:
        """Keep what was fetched of a remote picture, cleaned like any other. BadInput if it is
        none."""
        async with self._decoding:
            cleaned = await asyncio.to_thread(clean, data)
        file = f"{self.clock.random_id()}.{cleaned.ending}"
        await asyncio.to_thread(self._write, file, cleaned.data)
        async with self.db.transaction() as tx:
            kept = await pictures.set_file(
                tx, media_id, file, cleaned.media_type, cleaned.width, cleaned.height
            )
        if not kept:
            # Deleted meanwhile, or another worker was quicker.
            await self.discard([file])

    async def read(self, file: str) -> tuple[bytes, str]:
        """(data, media type) of a file, without asking who reads: the caller has. NotFound."""
        name, _, ending = file.partition(".")
        if not name.isalnum() or not name.isascii() or ending not in _TYPES:
            raise NotFound
        try:
            return await asyncio.to_thread((self.folder / file).read_bytes), _TYPES[ending]
        except FileNotFoundError:
            raise NotFound from None

    async def discard(self, files: Iterable[str]) -> None:
        """Remove files whose rows are gone."""
        names = list(files)
        if names:
            await asyncio.to_thread(self._remove, names)

    async def sweep(self) -> int:
        """Remove pictures that no case took in, and files that no row speaks of; how many files.

        Run it about once an hour. A file is left alone for its first hour: its row may be on
        its way.
        """
        before = self.clock.now() - _LOOSE
        async with self.db.transaction() as tx:
            await pictures.drop_loose(tx, before)
        doomed: list[str] = []
        names = await asyncio.to_thread(self._old_files)
        for start in range(0, len(names), 1_000):
            some = names[start : start + 1_000]
            known = await pictures.files(self.db, some)
            doomed += [name for name in some if name not in known]
        await self.discard(doomed)
        return len(doomed)

    def _write(self, file: str, data: bytes) -> None:
        """Whole or not at all, and on disk before the row that names it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            Path(temporary).replace(self.folder / file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    async def settle(self) -> None:
        """Round the times of files that are more than two hours old down to the day: whose they
        are is told by no clock."""
        await asyncio.to_thread(self._round_times)

    def _round_times(self) -> None:
        if not self.folder.is_dir():
            return
        before = self.clock.now() - 2 * HOUR
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # discarded meanwhile
                written = int(entry.stat(follow_symlinks=False).st_mtime * 1000)
                if entry.is_file(follow_symlinks=False) and written < before and written % DAY:
                    day = written // DAY * DAY // 1000
                    os.utime(entry.path, (day, day))

    def _remove(self, files: Sequence[str]) -> None:
        for file in files:
            with contextlib.suppress(OSError):
                (self.folder / file).unlink(missing_ok=True)

    def _old_files(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        before = self.clock.now() - HOUR
        return [
            entry.name
            for entry in os.scandir(self.folder)
            if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime * 1000 < before
        ]
