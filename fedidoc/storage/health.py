"""What `fedidoc doctor` asks of the database. Reads only; makes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedidoc.errors import ConfigError
from fedidoc.storage import keys, migrate, peers, queues, registers, trust_lists
from fedidoc.storage.engine import Database
from fedidoc.storage.keys import KeyUse
from fedidoc.storage.peers import Peer
from fedidoc.storage.registers import ImportRun
from fedidoc.storage.statements import Reader, StorageError
from fedidoc.storage.trust_lists import Accepted, Subscription
from fedidoc.vault import Vault

_PREFIX = "sqlite:///"


class NoDatabase(StorageError):
    """There is no database at the configured place yet."""


@dataclass(frozen=True, slots=True)
class Health:
    """A database at one moment. Times are UTC milliseconds; None where nothing waits."""

    pending: tuple[str, ...]
    """Migrations that `serve` would apply."""
    key_fits: bool | None
    """Whether what is sealed opens with the configured key; None if nothing is sealed yet."""
    counts: dict[str, dict[str, int]]
    earliest: dict[str, int | None]
    """When the next row of each queue is due."""
    peers: tuple[Peer, ...]
    failing: dict[str, int]
    """Hosts that the last deliveries failed to, with the number of failures in a row."""
    admins: int
    imports: tuple[ImportRun, ...] = ()
    """Of each register the last import that was finished."""
    lists: tuple[tuple[Subscription, Accepted | None], ...] = ()
    """The trust lists that are followed, each with the newest that was accepted."""


async def examine(url: str, vault: Vault) -> Health:
    """Look at the database at `url`; NoDatabase if its file is not there."""
    if not _exists(url):
        raise NoDatabase("There is no database yet; `fedidoc serve` makes it at its first start.")
    db = await Database.open(url, readers=1)
    try:
        pending = await migrate.pending(db)
        if pending:
            return Health(tuple(pending), None, {}, {}, (), {}, 0)
        rows = await db.fetch_all("SELECT host, failures FROM hosts WHERE failures > 0")
        return Health(
            pending=(),
            key_fits=await _key_fits(db, vault),
            counts=await queues.counts(db),
            earliest={name: await queues.earliest(db, name) for name in queues.QUEUES},
            peers=tuple(await peers.every(db)),
            failing={row["host"]: row["failures"] for row in rows},
            admins=await db.fetch_value(
                "SELECT COUNT(*) FROM accounts WHERE admin = 1 AND standing <> 'suspended'"
            ),
            imports=tuple(await registers.last_imports(db)),
            lists=tuple(
                [
                    (each, await trust_lists.accepted(db, each.name))
                    for each in (await trust_lists.subscriptions(db)).values()
                ]
            ),
        )
    finally:
        await db.close()


def _exists(url: str) -> bool:
    """Opening a SQLite file that is not there would make it."""
    return not url.startswith(_PREFIX) or Path(url.removeprefix(_PREFIX)).is_file()


async def _key_fits(reader: Reader, vault: Vault) -> bool | None:
    actor_id = await reader.fetch_value(
        "SELECT actor_id FROM actor_keys"
        " WHERE private_sealed IS NOT NULL AND algorithm = ? LIMIT 1",
        (KeyUse.RSA.value,),
    )
    if actor_id is None:
        return None
    try:
        await keys.private_key(reader, vault, actor_id, KeyUse.RSA)
    except ConfigError:
        return False
    return True
