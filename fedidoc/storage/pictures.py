"""Pictures: what is known of each file in the media folder, and of those that are elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedidoc.model import Media
from fedidoc.storage.statements import Reader, Row, Transaction, among

_COLUMNS = (
    "id", "post_id", "owner_id", "position", "alt", "media_type", "width", "height", "file",
    "remote_url", "created",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM media"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with whose it is; `post_id` is None until a post takes it in."""

    media: Media
    owner_id: str
    post_id: str | None


def _media_of(row: Row) -> Media:
    return Media(
        row["id"],
        row["alt"],
        row["media_type"],
        row["width"],
        row["height"],
        row["file"],
        row["remote_url"],
    )


async def put(
    tx: Transaction, items: Sequence[tuple[Media, str, str | None, int]], now: int
) -> None:
    """Store pictures: (media, owner's actor id, post id or None, position in the post)."""
    await tx.insert_many(
        "media",
        _COLUMNS,
        [
            (
                m.id, post_id, owner_id, position, m.alt, m.media_type, m.width, m.height, m.file,
                m.remote_url, now,
            )
            for m, owner_id, post_id, position in items
        ],
    )  # fmt: skip


async def attach(
    tx: Transaction, media_id: str, owner_id: str, post_id: str, position: int, alt: str
) -> bool:
    """Give a picture to a post of its owner, or put it elsewhere in it; False if it is not theirs
    or belongs to another post."""
    changed = await tx.execute(
        "UPDATE media SET post_id = ?, position = ?, alt = ?"
        " WHERE id = ? AND owner_id = ? AND (post_id IS NULL OR post_id = ?)",
        (post_id, position, alt, media_id, owner_id, post_id),
    )
    return changed > 0


async def remove_of_post(tx: Transaction, post_id: str, *, but: Iterable[str] = ()) -> None:
    """Forget a post's pictures, except some."""
    kept = set(but)
    rows = await tx.fetch_all("SELECT id FROM media WHERE post_id = ?", (post_id,))
    where, params = among("id", [row["id"] for row in rows if row["id"] not in kept])
    await tx.execute(f"DELETE FROM media WHERE {where}", params)


async def of_posts(reader: Reader, post_ids: Iterable[str]) -> dict[str, list[Media]]:
    """The pictures of posts, in order; posts without any are left out."""
    where, params = among("post_id", post_ids)
    rows = await reader.fetch_all(f"{_SELECT} WHERE {where} ORDER BY post_id, position, id", params)
    found: dict[str, list[Media]] = defaultdict(list)
    for row in rows:
        found[row["post_id"]].append(_media_of(row))
    return found


async def of_owner(reader: Reader, owner_id: str, ids: Iterable[str]) -> dict[str, Picture]:
    """Those of the pictures that are an actor's own, by id."""
    where, params = among("id", ids)
    rows = await reader.fetch_all(f"{_SELECT} WHERE owner_id = ? AND {where}", (owner_id, *params))
    return {row["id"]: Picture(_media_of(row), row["owner_id"], row["post_id"]) for row in rows}


async def missing(reader: Reader, media_id: str) -> str | None:
    """Where to fetch a remote picture of a post that stands; None if it is here, or gone."""
    url = await reader.fetch_value(
        "SELECT m.remote_url FROM media m JOIN posts p ON p.id = m.post_id"
        " WHERE m.id = ? AND m.file IS NULL AND p.deleted IS NULL",
        (media_id,),
    )
    return None if url is None else str(url)


async def set_file(
    tx: Transaction, media_id: str, file: str, media_type: str, width: int, height: int
) -> bool:
    """Note that a remote picture is in the media folder now; False if it is gone, or was there."""
    changed = await tx.execute(
        "UPDATE media SET file = ?, media_type = ?, width = ?, height = ?"
        " WHERE id = ? AND file IS NULL",
        (file, media_type, width, height, media_id),
    )
    return changed > 0


async def by_file(reader: Reader, file: str) -> Picture | None:
    row = await reader.fetch_one(f"{_SELECT} WHERE file = ?", (file,))
    return Picture(_media_of(row), row["owner_id"], row["post_id"]) if row else None


async def files(reader: Reader, names: Iterable[str]) -> set[str]:
    """Which of these files a picture still stands for."""
    where, params = among("file", names)
    rows = await reader.fetch_all(f"SELECT file FROM media WHERE {where}", params)
    return {row["file"] for row in rows}


async def drop_loose(tx: Transaction, before: int) -> int:
    """Forget pictures that no post took in since `before`; how many."""
    return await tx.execute("DELETE FROM media WHERE post_id IS NULL AND created < ?", (before,))
