"""Drafts: what a member is writing, kept sealed until it is sent or thrown away.

A draft has not passed the guard, so it is nobody's but its author's: it is sealed under the
instance's key for this member and this form, and is never rendered for others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fedidoc.clock import Clock
from fedidoc.errors import BadInput
from fedidoc.model import Account
from fedidoc.storage import drafts as stored
from fedidoc.storage.engine import Database
from fedidoc.vault import Vault

_PLACE_LENGTH = 80
_SIZE = 512 * 1024
_MOST = 50


@dataclass(frozen=True, slots=True)
class Draft:
    """The fields of the form at `place` (`case`, `answer:{post id}`, …), saved at a time (ms)."""

    place: str
    fields: dict[str, str]
    saved: int


@dataclass(frozen=True, slots=True)
class Drafts:
    """One draft for each member and form; members that are not verified yet have some too."""

    db: Database
    clock: Clock
    vault: Vault

    async def save(self, account: Account, place: str, fields: Mapping[str, str]) -> None:
        """Keep a form's fields in place of those before. Raises BadInput if it is too much."""
        data = json.dumps(dict(fields)).encode()
        if not place or len(place) > _PLACE_LENGTH or len(data) > _SIZE:
            raise BadInput("This is too much for a draft; shorten it.")
        sealed = self.vault.seal(data, _purpose(account.id, place))
        async with self.db.transaction() as tx:
            known = await stored.get(tx, account.id, place)
            if known is None and await stored.count(tx, account.id) >= _MOST:
                raise BadInput(f"You have {_MOST} drafts; throw one away first.")
            await stored.put(
                tx, self.clock.random_id(), account.id, place, sealed, self.clock.now()
            )

    async def load(self, account: Account, place: str) -> Draft | None:
        """The draft of one form."""
        found = await stored.get(self.db, account.id, place)
        return self._open(account.id, place, *found) if found else None

    async def list(self, account: Account) -> list[Draft]:
        """All drafts, the latest first."""
        found = await stored.every(self.db, account.id, _MOST)
        return [self._open(account.id, *each) for each in found]

    async def delete(self, account: Account, place: str) -> None:
        """Throw a draft away; nothing happens if there is none."""
        async with self.db.transaction() as tx:
            await stored.remove(tx, account.id, place)

    def _open(self, account_id: str, place: str, sealed: bytes, saved: int) -> Draft:
        fields = json.loads(self.vault.open(sealed, _purpose(account_id, place)))
        return Draft(place, fields, saved)


def _purpose(account_id: str, place: str) -> str:
    return f"draft {account_id} {place}"
