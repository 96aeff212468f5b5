"""Public actors, local and remote.

Nothing here says to whom a local actor belongs. Functions take a Transaction to write and a Reader
to read; the SQL stands beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from fedidoc.clock import Clock
from fedidoc.model import NO_BADGE, Actor, ActorKind, Badge, Specialty
from fedidoc.storage import spans
from fedidoc.storage.engine import Reader, Row, Transaction, among
from fedidoc.storage.keys import FreshKeys, KeyUse, put_private
from fedidoc.vault import Vault


class ActorUrls(Protocol):
    """Where a local actor lives."""

    @property
    def instance_actor(self) -> str: ...
    @property
    def shared_inbox(self) -> str: ...
    @property
    def credential_key(self) -> str: ...
    def actor(self, username: str) -> str: ...
    def inbox(self, username: str) -> str: ...
    def outbox(self, username: str) -> str: ...
    def followers(self, username: str) -> str: ...
    def following(self, username: str) -> str: ...
    def profile_page(self, username: str) -> str: ...
    def rsa_key(self, actor_uri: str) -> str: ...
    def ed25519_key(self, actor_uri: str) -> str: ...


_AT_ONCE = 4_096

# Actors ---------------------------------------------------------------------------------------

_COLUMNS = (
    "id, uri, kind, username, host, local, name, summary_html, inbox, shared_inbox, outbox,"
    " followers, following, url, icon_url, approves_follows, discoverable, badge, created,"
    " refreshed, suspended, deleted, pseudonymous"
)


def actor_of(row: Row) -> Actor:
    """An actor from a row that has all columns of `actors` (or those of `_COLUMNS`)."""
    return Actor(
        id=row["id"],
        uri=row["uri"],
        kind=ActorKind(row["kind"]),
        username=row["username"],
        host=row["host"],
        local=bool(row["local"]),
        name=row["name"],
        summary_html=row["summary_html"],
        inbox=row["inbox"],
        shared_inbox=row["shared_inbox"],
        outbox=row["outbox"],
        followers=row["followers"],
        following=row["following"],
        url=row["url"],
        icon_url=row["icon_url"],
        approves_follows=bool(row["approves_follows"]),
        discoverable=bool(row["discoverable"]),
        badge=_read_badge(row["badge"]),
        created=row["created"],
        refreshed=row["refreshed"],
        suspended=row["suspended"],
        deleted=row["deleted"],
        pseudonymous=bool(row["pseudonymous"]),
    )


def _read_badge(text: str) -> Badge:
    if text == _NO_BADGE_TEXT:
        return NO_BADGE
    fields: dict[str, Any] = json.loads(text)
    if fields.get("specialty") is not None:
        fields["specialty"] = Specialty(**fields["specialty"])
    return Badge(**fields)


def _badge_text(badge: Badge) -> str:
    return json.dumps(asdict(badge), separators=(",", ":"))


_NO_BADGE_TEXT = _badge_text(NO_BADGE)


async def get(reader: Reader, actor_id: str) -> Actor | None:
    """The actor with an internal id, also a suspended or deleted one."""
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM actors WHERE id = ?", (actor_id,))
    return actor_of(row) if row else None


async def get_many(reader: Reader, actor_ids: Iterable[str]) -> dict[str, Actor]:
    """Those of the internal ids that exist, by id."""
    return {a.id: a for a in await _where_in(reader, "id", actor_ids)}


async def by_uri(reader: Reader, uri: str) -> Actor | None:
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM actors WHERE uri = ?", (uri,))
    return actor_of(row) if row else None


async def by_uris(reader: Reader, uris: Iterable[str]) -> dict[str, Actor]:
    """Those of the ActivityPub ids that are known here, by URI."""
    return {a.uri: a for a in await _where_in(reader, "uri", uris)}


async def _where_in(reader: Reader, column: str, values: Iterable[str]) -> list[Actor]:
    wanted = list(dict.fromkeys(values))
    found: list[Actor] = []
    for start in range(0, len(wanted), _AT_ONCE):
        where, params = among(column, wanted[start : start + _AT_ONCE])
        rows = await reader.fetch_all(f"SELECT {_COLUMNS} FROM actors WHERE {where}", params)
        found.extend(actor_of(row) for row in rows)
    return found


async def local_ids(reader: Reader, actor_ids: Iterable[str]) -> set[str]:
    """Those of the internal ids that are actors of this instance."""
    where, params = among("id", actor_ids)
    rows = await reader.fetch_all(f"SELECT id FROM actors WHERE local = 1 AND {where}", params)
    return {row["id"] for row in rows}


async def by_handle(reader: Reader, username: str, host: str) -> Actor | None:
    """The actor called `@username@host`, as it writes itself; `host` in lower case."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM actors WHERE host = ? AND username = ?", (host, username)
    )
    return actor_of(row) if row else None


async def local_by_username(reader: Reader, username: str) -> Actor | None:
    """A local person (never the instance itself), whatever the case of the letters asked for."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM actors WHERE local = 1 AND username = ? AND kind <> ?",
        (username.lower(), ActorKind.INSTANCE.value),
    )
    return actor_of(row) if row else None


async def local_people(reader: Reader, *, after: str = "", limit: int = 50) -> list[Actor]:
    """Local actors that are neither suspended nor deleted, by id."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM actors WHERE local = 1 AND kind = ? AND id > ?"
        " AND suspended IS NULL AND deleted IS NULL ORDER BY id LIMIT ?",
        (ActorKind.PERSON.value, after, limit),
    )
    return [actor_of(row) for row in rows]


async def shared_inboxes(reader: Reader) -> list[tuple[str, str]]:
    """(host, shared inbox) of every server that told one: in its peer entry or by an actor."""
    rows = await reader.fetch_all(
        "SELECT host, shared_inbox FROM peers WHERE shared_inbox IS NOT NULL"
        " UNION SELECT host, shared_inbox FROM actors"
        " WHERE local = 0 AND shared_inbox IS NOT NULL AND deleted IS NULL ORDER BY 1, 2"
    )
    return [(row[0], row[1]) for row in rows]


async def counts(reader: Reader) -> dict[str, int]:
    """How many people are local and remote: `{"local", "remote"}`; deleted ones are not counted."""
    rows = await reader.fetch_all(
        "SELECT local, COUNT(*) AS n FROM actors WHERE deleted IS NULL AND kind = ? GROUP BY local",
        (ActorKind.PERSON.value,),
    )
    found = {bool(row["local"]): int(row["n"]) for row in rows}
    return {"local": found.get(True, 0), "remote": found.get(False, 0)}


_INSERT_COLUMNS = (
    "id", "uri", "kind", "username", "host", "local", "name", "summary_html", "summary_source",
    "inbox", "shared_inbox", "outbox", "followers", "following", "url", "icon_url",
    "approves_follows", "discoverable", "badge", "created", "refreshed",
)  # fmt: skip


async def _insert_local(tx: Transaction, actor: Actor) -> Actor:
    await tx.insert_many("actors", _INSERT_COLUMNS, [_values(actor)])
    return actor


def _values(actor: Actor) -> Sequence[object]:
    return (
        actor.id, actor.uri, actor.kind.value, actor.username, actor.host, int(actor.local),
        actor.name, actor.summary_html, None, actor.inbox, actor.shared_inbox, actor.outbox,
        actor.followers, actor.following, actor.url, actor.icon_url, int(actor.approves_follows),
        int(actor.discoverable), _badge_text(actor.badge), actor.created, actor.refreshed,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RemoteProfile:
    """What a remote actor says of itself, checked and sanitised.

    `handle_confirmed`: WebFinger on `host` names this very actor for `username`.
    """

    uri: str
    kind: ActorKind
    username: str
    host: str
    handle_confirmed: bool
    name: str
    summary_html: str
    inbox: str
    shared_inbox: str | None
    outbox: str | None
    followers: str | None
    following: str | None
    url: str | None
    icon_url: str | None
    approves_follows: bool
    discoverable: bool
    credential_url: str | None


async def upsert_remote(tx: Transaction, clock: Clock, profile: RemoteProfile) -> Actor:
    """Store or refresh a remote actor; its badge is kept. A local actor is never overwritten.

    A handle belongs to one actor: a confirmed claim takes it from an earlier holder, which then is
    called `username~…`; an unconfirmed claim to a taken handle gets the longer name itself.
    """
    now = clock.now()
    username = profile.username
    holder = await by_handle(tx, username, profile.host)
    if holder is not None and holder.uri != profile.uri:
        if profile.handle_confirmed and not holder.local:
            await tx.execute(
                "UPDATE actors SET username = ? WHERE id = ?",
                (f"{holder.username}~{holder.id[-8:].lower()}", holder.id),
            )
        else:
            known = await by_uri(tx, profile.uri)
            username = known.username if known else f"{username}~{clock.random_id()[-8:]}"
    actor = Actor(
        id=clock.sortable_id(),
        uri=profile.uri,
        kind=profile.kind,
        username=username,
        host=profile.host,
        local=False,
        name=profile.name,
        summary_html=profile.summary_html,
        inbox=profile.inbox,
        shared_inbox=profile.shared_inbox,
        outbox=profile.outbox,
        followers=profile.followers,
        following=profile.following,
        url=profile.url,
        icon_url=profile.icon_url,
        approves_follows=profile.approves_follows,
        discoverable=profile.discoverable,
        badge=NO_BADGE,
        created=now,
        refreshed=now,
    )
    kept = ("id", "uri", "local", "badge", "created", "summary_source")
    changes = ", ".join(f"{c} = excluded.{c}" for c in _INSERT_COLUMNS if c not in kept)
    await tx.insert_many(
        "actors",
        (*_INSERT_COLUMNS, "credential_url"),
        [(*_values(actor), profile.credential_url)],
        conflict=(
            f"ON CONFLICT (uri) DO UPDATE SET {changes}, credential_url = excluded.credential_url"
            " WHERE actors.local = 0"
        ),
    )
    stored = await by_uri(tx, profile.uri)
    if stored is None:  # pragma: no cover - the row was just written
        raise LookupError("the actor vanished from its own transaction")
    return stored


async def touch(tx: Transaction, actor_id: str, now: int) -> None:
    """Note that a refresh was tried now, so that the next one waits its turn."""
    await tx.execute("UPDATE actors SET refreshed = ? WHERE id = ?", (now, actor_id))


async def with_credential_at(reader: Reader, host: str, limit: int = 500) -> list[Actor]:
    """Remote actors of a host that present a credential."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM actors WHERE host = ? AND local = 0"
        " AND credential_url IS NOT NULL AND deleted IS NULL ORDER BY id LIMIT ?",
        (host, limit),
    )
    return [actor_of(row) for row in rows]


async def set_badge(
    tx: Transaction, actor_id: str, badge: Badge, credential_url: str | None, *, at: int
) -> None:
    """Store what this instance concluded of an actor's verification at a moment."""
    before = await tx.fetch_value("SELECT badge FROM actors WHERE id = ?", (actor_id,))
    await tx.execute(
        "UPDATE actors SET badge = ?, credential_url = ? WHERE id = ?",
        (_badge_text(badge), credential_url, actor_id),
    )
    was_verified = before is not None and _read_badge(before).verified
    if badge.verified and not was_verified:
        await spans.begin(tx, actor_id, at if badge.valid_from is None else badge.valid_from)
    elif was_verified and not badge.verified:
        await spans.end(tx, actor_id, at)


async def set_badges_at(tx: Transaction, host: str, badge: Badge, *, at: int) -> None:
    """Let everybody on a host who is verified have this badge instead."""
    rows = await tx.fetch_all(
        "SELECT id, credential_url FROM actors WHERE host = ? AND local = 0"
        " AND badge LIKE '{\"verified\":true%'",
        (host,),
    )
    for row in rows:
        await set_badge(tx, row["id"], badge, row["credential_url"], at=at)


async def credential_url(reader: Reader, actor_id: str) -> str | None:
    """Where the actor's credential is, as last said by the actor (or issued here)."""
    found = await reader.fetch_value("SELECT credential_url FROM actors WHERE id = ?", (actor_id,))
    return None if found is None else str(found)


async def update_profile(
    tx: Transaction,
    actor_id: str,
    *,
    name: str,
    summary_html: str,
    summary_source: str | None,
    approves_follows: bool,
    discoverable: bool,
    icon_url: str | None,
    now: int,
) -> None:
    """Change a local actor's own words; the caller has cleared and rendered them."""
    await tx.execute(
        "UPDATE actors SET name = ?, summary_html = ?, summary_source = ?, approves_follows = ?,"
        " discoverable = ?, icon_url = ?, refreshed = ? WHERE id = ? AND local = 1",
        (name, summary_html, summary_source, int(approves_follows), int(discoverable), icon_url,
         now, actor_id),
    )  # fmt: skip


async def summary_source(reader: Reader, actor_id: str) -> str:
    """What a local actor wrote of itself, before it was rendered."""
    found = await reader.fetch_value("SELECT summary_source FROM actors WHERE id = ?", (actor_id,))
    return "" if found is None else str(found)


async def set_suspended(tx: Transaction, actor_id: str, at: int | None) -> None:
    await tx.execute("UPDATE actors SET suspended = ? WHERE id = ?", (at, actor_id))


async def set_deleted(tx: Transaction, actor_id: str, at: int) -> None:
    """Keep the row as a tombstone: no name, no words, no picture, no badge, no credential."""
    await tx.execute(
        "UPDATE actors SET deleted = ?, name = '', summary_html = '', summary_source = NULL,"
        " icon_url = NULL, badge = ?, credential_url = NULL WHERE id = ?",
        (at, _NO_BADGE_TEXT, actor_id),
    )
    await tx.execute("DELETE FROM presented WHERE actor_id = ?", (actor_id,))
    await tx.execute("DELETE FROM verified_spans WHERE actor_id = ?", (actor_id,))


# This instance's own ------------------------------------------------------------------------


async def create_local(
    tx: Transaction,
    urls: ActorUrls,
    vault: Vault,
    clock: Clock,
    *,
    username: str,
    name: str,
    kind: ActorKind,
    host: str,
    keys: FreshKeys,
) -> Actor:
    """A new local actor (not the instance) with its sealed RSA and Ed25519 signing keys."""
    uri, now = urls.actor(username), clock.now()
    actor = Actor(
        id=clock.random_id(),
        uri=uri,
        kind=kind,
        username=username,
        host=host,
        local=True,
        name=name,
        summary_html="",
        inbox=urls.inbox(username),
        shared_inbox=urls.shared_inbox,
        outbox=urls.outbox(username),
        followers=urls.followers(username),
        following=urls.following(username),
        url=urls.profile_page(username),
        icon_url=None,
        approves_follows=False,
        discoverable=True,
        badge=NO_BADGE,
        created=now,
        refreshed=now,
    )
    await _insert_local(tx, actor)
    await put_private(
        tx,
        vault,
        actor.id,
        uri,
        now,
        [
            (urls.rsa_key(uri), KeyUse.RSA, keys.rsa),
            (urls.ed25519_key(uri), KeyUse.ED25519, keys.ed25519),
        ],
    )
    return actor


async def create_instance(
    tx: Transaction,
    urls: ActorUrls,
    vault: Vault,
    clock: Clock,
    *,
    name: str,
    host: str,
    keys: FreshKeys,
) -> Actor:
    """The instance's own actor with its three keys; the one that is there already, if it is."""
    uri, now = urls.instance_actor, clock.now()
    known = await by_uri(tx, uri)
    if known is not None:
        return known
    actor = Actor(
        id=clock.random_id(),
        uri=uri,
        kind=ActorKind.INSTANCE,
        username=host.replace(":", ".").strip("[]"),
        host=host,
        local=True,
        name=name,
        summary_html="",
        inbox=urls.shared_inbox,
        shared_inbox=urls.shared_inbox,
        outbox=f"{uri}/outbox",
        followers=None,
        following=None,
        url=None,
        icon_url=None,
        approves_follows=True,
        discoverable=False,
        badge=NO_BADGE,
        created=now,
        refreshed=now,
    )
    await _insert_local(tx, actor)
    await put_private(
        tx,
        vault,
        actor.id,
        uri,
        now,
        [
            (urls.rsa_key(uri), KeyUse.RSA, keys.rsa),
            (urls.ed25519_key(uri), KeyUse.ED25519, keys.ed25519),
            (urls.credential_key, KeyUse.CREDENTIAL, keys.credential),
        ],
    )
    return actor
