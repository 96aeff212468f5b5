"""The servers this instance federates with, and what it pinned of them. `host` has the port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedidoc.model import PeerPolicy
from fedidoc.storage.engine import Reader, Row, Transaction
from fedidoc.storage.trust_lists import grants

REMOVED: Final = "removed"
SUSPENDED: Final = "suspended"
STALE: Final = "stale"


@dataclass(frozen=True, slots=True)
class Peer:
    """One server. `issuer_key` (Multikey text, `z6Mk…`) is pinned at first contact and kept.

    `reason` is the operator's, or what is wrong and needs the operator ("issuer key changed").
    `own` says that the operator allowed it; else only the trust lists in `lists` do, and `withheld`
    says why they do not just now (`removed`, `suspended`, `stale`).
    """

    host: str
    policy: PeerPolicy
    require_credential: bool
    issuer_uri: str | None
    issuer_key_id: str | None
    issuer_key: str | None
    shared_inbox: str | None
    software: str | None
    reason: str | None
    created: int
    contacted: int | None
    issuer_pinned: int | None  # since when the key is, where that was noted
    own: bool
    withheld: str | None
    lists: tuple[str, ...]

    @property
    def heard(self) -> bool:
        """Whether it is spoken with at all."""
        return self.policy is not PeerPolicy.BLOCKED and self.withheld != REMOVED

    @property
    def trusted(self) -> bool:
        """Whether its members' credentials count, and case texts for verified readers go there.

        Only once its credential key is pinned: a server that issues none keeps nobody out.
        """
        return (
            self.heard
            and self.withheld is None
            and self.require_credential
            and self.issuer_key is not None
        )


def _peer_of(row: Row, lists: tuple[str, ...]) -> Peer:
    return Peer(
        row["host"],
        PeerPolicy(row["policy"]),
        bool(row["require_credential"]),
        row["issuer_uri"],
        row["issuer_key_id"],
        row["issuer_key"],
        row["shared_inbox"],
        row["software"],
        row["reason"],
        row["created"],
        row["contacted"],
        row["issuer_pinned"],
        bool(row["own"]),
        row["withheld"],
        lists,
    )


async def put(
    tx: Transaction,
    host: str,
    policy: PeerPolicy,
    *,
    require_credential: bool,
    reason: str | None,
    now: int,
    own: bool = True,
) -> None:
    """Set the operator's policy for a host; what was learnt of it (key, inbox, software) is kept.

    With `own` the operator allows it, whatever lists say; without, a server that only lists allow
    stays one.
    """
    await tx.insert_many(
        "peers",
        ("host", "policy", "require_credential", "reason", "created"),
        [(host, policy.value, int(require_credential), reason, now)],
        conflict=(
            "ON CONFLICT (host) DO UPDATE SET policy = excluded.policy,"
            " require_credential = excluded.require_credential, reason = excluded.reason"
            + (", own = 1, withheld = NULL" if own else "")
        ),
    )


async def put_listed(tx: Transaction, host: str, *, require_credential: bool, now: int) -> None:
    """A server that a trust list allows. One that is there keeps its policy: the operator's."""
    await tx.insert_many(
        "peers",
        ("host", "policy", "require_credential", "created", "own"),
        [(host, PeerPolicy.ALLOWED.value, int(require_credential), now, 0)],
        conflict=(
            "ON CONFLICT (host) DO UPDATE SET require_credential = excluded.require_credential"
            " WHERE peers.own = 0"
        ),
    )


async def disown(tx: Transaction, host: str, reason: str | None) -> None:
    """Forget the operator's own policy for a server: only lists allow it."""
    await tx.execute(
        "UPDATE peers SET own = 0, policy = ?, reason = ? WHERE host = ?",
        (PeerPolicy.ALLOWED.value, reason, host),
    )


async def withhold(tx: Transaction, host: str, why: str | None) -> None:
    """Withhold trust from a server that only lists allow, or (None) give it again."""
    await tx.execute("UPDATE peers SET withheld = ? WHERE host = ? AND own = 0", (why, host))


async def get(reader: Reader, host: str) -> Peer | None:
    row = await reader.fetch_one("SELECT * FROM peers WHERE host = ?", (host,))
    return _peer_of(row, (await grants(reader)).get(host, ())) if row else None


async def every(reader: Reader) -> list[Peer]:
    """All peers, blocked ones too, by host."""
    rows = await reader.fetch_all("SELECT * FROM peers ORDER BY host")
    given = await grants(reader) if rows else {}
    return [_peer_of(row, given.get(row["host"], ())) for row in rows]


async def learn(
    tx: Transaction, host: str, *, shared_inbox: str | None, software: str | None, now: int
) -> None:
    """Note what a peer said of itself when it was reached."""
    await tx.execute(
        "UPDATE peers SET shared_inbox = ?, software = ?, contacted = ? WHERE host = ?",
        (shared_inbox, software, now, host),
    )


async def pin_issuer(
    tx: Transaction, host: str, uri: str, key_id: str, key: str, *, now: int | None = None
) -> bool:
    """Pin the key (Multikey text) that signs a peer's credentials, at first use: `now`.

    False if another one is pinned already: it stays, and the peer is flagged in `reason`.
    """
    changed = await tx.execute(
        "UPDATE peers SET"
        " issuer_pinned = CASE WHEN issuer_key IS NULL THEN ? ELSE issuer_pinned END,"
        " issuer_uri = ?, issuer_key_id = ?, issuer_key = ?"
        " WHERE host = ? AND (issuer_key IS NULL OR"
        " (issuer_uri = ? AND issuer_key_id = ? AND issuer_key = ?))",
        (now, uri, key_id, key, host, uri, key_id, key),
    )
    if changed:
        return True
    await flag(tx, host, "Its credential key changed; compare it by telephone and pin it anew.")
    return False


async def repin_issuer(
    tx: Transaction, host: str, uri: str, key_id: str, key: str, *, reason: str, now: int
) -> None:
    """Put another key in place of the pinned one, as a trust list has it, and flag it."""
    await tx.execute(
        "UPDATE peers SET issuer_uri = ?, issuer_key_id = ?, issuer_key = ?, issuer_pinned = ?,"
        " reason = ? WHERE host = ?",
        (uri, key_id, key, now, reason, host),
    )


async def unpin_issuer(tx: Transaction, host: str) -> None:
    """Forget the pinned key, so that the next contact pins the one that is shown then."""
    await tx.execute(
        "UPDATE peers SET issuer_uri = NULL, issuer_key_id = NULL, issuer_key = NULL,"
        " issuer_pinned = NULL, reason = NULL WHERE host = ?",
        (host,),
    )


async def flag(tx: Transaction, host: str, reason: str) -> None:
    """Leave a note for the operator."""
    await tx.execute("UPDATE peers SET reason = ? WHERE host = ?", (reason, host))
