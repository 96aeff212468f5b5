"""Cases, replies and plain notes: rows of `posts`, and of `cases` for what a case has more.

`case_id` is the topmost post of the thread that is known here: a case's own id, a reply's case, and
a reply's own id as long as nobody has sent what it answers. Readers get whole `Post` values, with
authors, pictures and counts fetched for all of them together. Who may read them is not decided
here.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedidoc.model import (
    Actor,
    Audience,
    CaseFields,
    CaseState,
    ClearedText,
    Media,
    Post,
    PostKind,
    Specialty,
)
from fedidoc.storage import actors, pictures, reactions
from fedidoc.storage.statements import Reader, Row, Transaction, among

POST_COLUMNS = (
    "id", "uri", "kind", "author_id", "local", "audience", "title", "html", "source", "guard",
    "confirmed", "parent_id", "case_id", "in_reply_to", "url", "sensitive", "published", "edited",
    "deleted", "received",
)  # fmt: skip
_CASE_COLUMNS = (
    "specialty", "specialty_label", "age_band", "sex", "presentation", "findings", "question",
    "state", "outcome", "teaching_points",
)  # fmt: skip
COLUMNS = (
    f"{', '.join('p.' + c for c in POST_COLUMNS)}, c.post_id AS has_case,"
    f" {', '.join('c.' + c for c in _CASE_COLUMNS)}"
)
SELECT = f"SELECT {COLUMNS} FROM posts p LEFT JOIN cases c ON c.post_id = p.id"
THREAD_LIMIT = 1_000


# Reading ------------------------------------------------------------------------------------


async def get(reader: Reader, post_id: str) -> Post | None:
    """The post with an internal id, also a deleted one (its words are gone)."""
    return await _one(reader, "p.id = ?", post_id)


async def by_uri(reader: Reader, uri: str) -> Post | None:
    """The post with an ActivityPub id; None also where only a Delete has come so far."""
    return await _one(reader, "p.uri = ?", uri)


async def by_once(reader: Reader, author_id: str, once: str) -> Post | None:
    """What an author made of the form with this nonce."""
    return await _one(reader, "p.author_id = ? AND p.once = ?", author_id, once)


async def _one(reader: Reader, where: str, *params: str) -> Post | None:
    rows = await reader.fetch_all(f"{SELECT} WHERE {where} AND p.published > 0", params)
    found = await assemble(reader, rows)
    return found[0] if found else None


async def get_many(reader: Reader, post_ids: Iterable[str]) -> dict[str, Post]:
    """Those of the internal ids that exist, by id."""
    where, params = among("p.id", post_ids)
    rows = await reader.fetch_all(f"{SELECT} WHERE {where} AND p.published > 0", params)
    return {post.id: post for post in await assemble(reader, rows)}


async def thread_of(reader: Reader, case_id: str, *, limit: int = THREAD_LIMIT) -> list[Post]:
    """All posts of a thread, its root among them, in the order in which they were published."""
    rows = await reader.fetch_all(
        f"{SELECT} WHERE p.case_id = ? AND p.published > 0 ORDER BY p.published, p.id LIMIT ?",
        (case_id, limit),
    )
    return await assemble(reader, rows)


async def assemble(reader: Reader, rows: Sequence[Row]) -> list[Post]:
    """Posts from rows of `SELECT`, in their order; five statements for any number of rows."""
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    authors = await actors.get_many(reader, {row["author_id"] for row in rows})
    media = await pictures.of_posts(reader, ids)
    likes = await reactions.counts(reader, ids)
    replies = await _reply_counts(reader, ids)
    recipients = await _recipients(reader, ids)
    return [
        _post_of(
            row,
            authors[row["author_id"]],
            tuple(media.get(row["id"], ())),
            likes.get(row["id"], 0),
            replies.get(row["id"], 0),
            tuple(recipients.get(row["id"], ())),
        )
        for row in rows
        if row["author_id"] in authors
    ]


async def _reply_counts(reader: Reader, ids: Sequence[str]) -> dict[str, int]:
    """Without private answers: that there is one is for whom it names."""
    where, params = among("case_id", ids)
    rows = await reader.fetch_all(
        "SELECT case_id, COUNT(*) AS n FROM posts"
        f" WHERE {where} AND id <> case_id AND deleted IS NULL AND audience <> ?"
        " GROUP BY case_id",
        (*params, Audience.DIRECT.value),
    )
    return {row["case_id"]: row["n"] for row in rows}


async def _recipients(reader: Reader, ids: Sequence[str]) -> dict[str, list[str]]:
    where, params = among("post_id", ids)
    rows = await reader.fetch_all(
        f"SELECT post_id, actor_id FROM post_recipients WHERE {where} ORDER BY post_id, actor_id",
        params,
    )
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row["post_id"]].append(row["actor_id"])
    return found


def _post_of(
    row: Row,
    author: Actor,
    media: tuple[Media, ...],
    likes: int,
    replies: int,
    recipients: tuple[str, ...],
) -> Post:
    source = None
    if row["local"] and row["source"] is not None and row["guard"]:
        source = ClearedText(
            row["source"], row["guard"], tuple(json.loads(row["confirmed"] or "[]"))
        )
    return Post(
        id=row["id"],
        uri=row["uri"],
        kind=PostKind(row["kind"]),
        author=author,
        local=bool(row["local"]),
        audience=Audience(row["audience"]),
        title=row["title"],
        html=row["html"],
        source=source,
        parent_id=row["parent_id"],
        case_id=row["case_id"],
        in_reply_to=row["in_reply_to"],
        fields=_fields_of(row) if row["has_case"] is not None else None,
        media=media,
        url=row["url"],
        sensitive=bool(row["sensitive"]),
        published=row["published"],
        edited=row["edited"],
        deleted=row["deleted"],
        replies=replies,
        likes=likes,
        recipients=recipients,
    )


def _fields_of(row: Row) -> CaseFields:
    code = row["specialty"]
    return CaseFields(
        specialty=Specialty(code, row["specialty_label"] or code) if code else None,
        age_band=row["age_band"],
        sex=row["sex"],
        presentation=row["presentation"],
        findings=row["findings"],
        question=row["question"],
        state=CaseState(row["state"]),
        outcome=row["outcome"],
        teaching_points=row["teaching_points"],
    )


# Writing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewPost:
    """A row to be: `html` is sanitised, `source` is given for local posts only."""

    id: str
    uri: str
    kind: PostKind
    author_id: str
    local: bool
    audience: Audience
    title: str
    html: str
    source: ClearedText | None
    parent_id: str | None
    case_id: str
    in_reply_to: str | None
    url: str
    sensitive: bool
    published: int
    edited: int | None
    received: int
    fields: CaseFields | None = None
    recipients: tuple[str, ...] = ()
    once: str | None = None


async def put(tx: Transaction, posts: Sequence[NewPost]) -> set[str]:
    """Store posts with their cases and recipients; the ids of those that were not there yet.

    At most three statements. A URI that is taken keeps its row.
    """
    rows = [
        (
            p.id, p.uri, p.kind.value, p.author_id, int(p.local), p.audience.value, p.title,
            p.html, p.source.text if p.source else None, p.source.guard if p.source else None,
            json.dumps(p.source.confirmed) if p.source else None, p.parent_id, p.case_id,
            p.in_reply_to, p.url, int(p.sensitive), p.published, p.edited, None, p.received,
            p.once,
        )
        for p in posts
    ]  # fmt: skip
    stored = await tx.insert_many(
        "posts",
        (*POST_COLUMNS, "once"),
        rows,
        conflict="ON CONFLICT (uri) DO NOTHING",
        returning="id",
    )
    new = {row[0] for row in stored}
    await tx.insert_many(
        "cases",
        ("post_id", *_CASE_COLUMNS),
        [(p.id, *_case_values(p.fields)) for p in posts if p.fields is not None and p.id in new],
    )
    await put_recipients(
        tx, [(p.id, actor) for p in posts if p.id in new for actor in p.recipients]
    )
    return new


async def put_recipients(tx: Transaction, pairs: Sequence[tuple[str, str]]) -> None:
    """(post id, actor id) of those whom posts name; known pairs are left out."""
    await tx.insert_many(
        "post_recipients", ("post_id", "actor_id"), pairs, conflict="ON CONFLICT DO NOTHING"
    )


def _case_values(fields: CaseFields) -> tuple[object, ...]:
    specialty = fields.specialty
    return (
        specialty.code if specialty else None, specialty.label if specialty else None,
        fields.age_band, fields.sex, fields.presentation, fields.findings, fields.question,
        fields.state.value, fields.outcome, fields.teaching_points,
    )  # fmt: skip


async def edit(
    tx: Transaction,
    post_id: str,
    *,
    title: str,
    html: str,
    source: ClearedText | None,
    fields: CaseFields | None,
    sensitive: bool,
    edited: int,
) -> None:
    """Replace a post's words. A remote case that comes without its fields is a case no more."""
    await tx.execute(
        "UPDATE posts SET title = ?, html = ?, source = ?, guard = ?, confirmed = ?,"
        " sensitive = ?, edited = ? WHERE id = ?",
        (
            title, html, source.text if source else None, source.guard if source else None,
            json.dumps(source.confirmed) if source else None, int(sensitive), edited, post_id,
        ),
    )  # fmt: skip
    if fields is None:
        await tx.execute("DELETE FROM cases WHERE post_id = ?", (post_id,))
        return
    await tx.insert_many(
        "cases",
        ("post_id", *_CASE_COLUMNS),
        [(post_id, *_case_values(fields))],
        conflict="ON CONFLICT (post_id) DO UPDATE SET "
        + ", ".join(f"{c} = excluded.{c}" for c in _CASE_COLUMNS),
    )


async def answered(tx: Transaction, case_ids: Iterable[str]) -> None:
    """Note that somebody else answered these cases; those that are not open stay as they are."""
    where, params = among("post_id", case_ids)
    await tx.execute(
        f"UPDATE cases SET state = ? WHERE state = ? AND {where}",
        (CaseState.ANSWERED.value, CaseState.OPEN.value, *params),
    )


async def has_answer(reader: Reader, case_id: str, author_id: str) -> bool:
    """Whether anybody but the case's author has answered it, not in private, and it stands."""
    found = await reader.fetch_value(
        "SELECT 1 FROM posts WHERE case_id = ? AND id <> case_id AND author_id <> ?"
        " AND deleted IS NULL AND audience <> ? LIMIT 1",
        (case_id, author_id, Audience.DIRECT.value),
    )
    return found is not None


async def bury(tx: Transaction, post_ids: Sequence[str], now: int) -> None:
    """Make posts tombstones: ids, times, author and place in the thread stay, no words."""
    where, params = among("id", post_ids)
    await tx.execute(
        "UPDATE posts SET deleted = ?, title = '', html = '', source = NULL, guard = NULL,"
        f" confirmed = NULL, sensitive = 0 WHERE {where}",
        (now, *params),
    )
    where, params = among("post_id", post_ids)
    for table in ("cases", "media", "likes", "announces", "notifications"):
        await tx.execute(f"DELETE FROM {table} WHERE {where}", params)


async def put_tombstone(tx: Transaction, post_id: str, uri: str, author: Actor, now: int) -> None:
    """Remember a Delete whose post never came, so that it is not stored when it comes late."""
    await tx.insert_many(
        "posts",
        POST_COLUMNS,
        [
            (
                post_id, uri, PostKind.NOTE.value, author.id, 0, Audience.DIRECT.value, "", "",
                None, None, None, None, post_id, None, uri, 0, 0, None, now, now,
            )
        ],
        conflict="ON CONFLICT (uri) DO NOTHING",
    )  # fmt: skip


async def remove(tx: Transaction, post_ids: Sequence[str]) -> None:
    """Forget bare tombstones, left by somebody who was not the author."""
    where, params = among("id", post_ids)
    await tx.execute(f"DELETE FROM posts WHERE published = 0 AND {where}", params)


# Threads ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A stored post as far as a new reply or a repetition needs it."""

    id: str
    uri: str
    author_id: str
    author_local: bool
    audience: Audience
    deleted: int | None
    bare: bool
    """Only a Delete of it has ever come."""
    case_id: str
    case_author_id: str
    case_author_local: bool


async def places(reader: Reader, uris: Iterable[str]) -> dict[str, Place]:
    """Those of the ActivityPub ids that are known, with whose thread they stand in."""
    where, params = among("p.uri", uris)
    rows = await reader.fetch_all(
        "SELECT p.id, p.uri, p.author_id, a.local AS author_local, p.audience, p.deleted,"
        " p.published, p.case_id, r.author_id AS case_author_id, ra.local AS case_author_local"
        " FROM posts p JOIN actors a ON a.id = p.author_id"
        " JOIN posts r ON r.id = p.case_id JOIN actors ra ON ra.id = r.author_id"
        f" WHERE {where}",
        params,
    )
    return {
        row["uri"]: Place(
            row["id"],
            row["uri"],
            row["author_id"],
            bool(row["author_local"]),
            Audience(row["audience"]),
            row["deleted"],
            row["published"] == 0,
            row["case_id"],
            row["case_author_id"],
            bool(row["case_author_local"]),
        )
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class Orphan:
    """A stored reply whose parent has not come yet; its `case_id` is its own id."""

    id: str
    in_reply_to: str
    author_id: str
    audience: Audience


async def orphans(reader: Reader, uris: Iterable[str]) -> list[Orphan]:
    """Replies that wait for a post with one of these URIs."""
    where, params = among("in_reply_to", uris)
    rows = await reader.fetch_all(
        f"SELECT id, in_reply_to, author_id, audience FROM posts WHERE {where}"
        " AND parent_id IS NULL",
        params,
    )
    return [
        Orphan(row["id"], row["in_reply_to"], row["author_id"], Audience(row["audience"]))
        for row in rows
    ]


async def adopt(tx: Transaction, orphan_id: str, parent_id: str, case_id: str) -> None:
    """Put an orphan, and the thread that grew below it, under its parent."""
    await tx.execute(
        "UPDATE posts SET parent_id = ? WHERE id = ? AND parent_id IS NULL", (parent_id, orphan_id)
    )
    await tx.execute("UPDATE posts SET case_id = ? WHERE case_id = ?", (case_id, orphan_id))


async def of_author(reader: Reader, actor_id: str) -> list[str]:
    """Ids of everything an actor wrote that still stands."""
    rows = await reader.fetch_all(
        "SELECT id FROM posts WHERE author_id = ? AND deleted IS NULL", (actor_id,)
    )
    return [row["id"] for row in rows]
