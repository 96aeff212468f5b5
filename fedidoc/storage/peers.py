"""The servers this instance federates with, and what it pinned of them. `host` has the port."""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.model import PeerPolicy
from fedidoc.storage.engine import Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class Peer:
    """One server. `issuer_key` (Multikey text, `z6Mk…`) is pinned at first contact and kept.

    `reason` is the operator's, or what is wrong and needs the operator ("issuer key changed").
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
    issuer_pinned: int | None = None  # since when the key is, where that was noted

    @property
    def heard(self) -> bool:
        """Whether it is spoken with at all."""
        return self.policy is not PeerPolicy.BLOCKED

    @property
    def trusted(self) -> bool:
        """Whether its members' credentials count, and case texts for verified readers go there.

        Only once its credential key is pinned: a server that issues none keeps nobody out.
        """
        return self.heard and self.require_credential and self.issuer_key is not None


def _peer_of(row: Row) -> Peer:
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
    )


async def put(
    tx: Transaction,
    host: str,
    policy: PeerPolicy,
    *,
    require_credential: bool,
    reason: str | None,
    now: int,
) -> None:
    """Set the policy for a host; what was learnt of it (key, inbox, software) is kept."""
    await tx.insert_many(
        "peers",
        ("host", "policy", "require_credential", "reason", "created"),
        [(host, policy.value, int(require_credential), reason, now)],
        conflict=(
            "ON CONFLICT (host) DO UPDATE SET policy = excluded.policy,"
            " require_credential = excluded.require_credential, reason = excluded.reason"
        ),
    )


async def get(reader: Reader, host: str) -> Peer | None:
    row = await reader.fetch_one("SELECT * FROM peers WHERE host = ?", (host,))
    return _peer_of(row) if row else None


async def every(reader: Reader) -> list[Peer]:
    """All peers, blocked ones too, by host."""
    return [_peer_of(row) for row in await reader.fetch_all("SELECT * FROM peers ORDER BY host")]


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
