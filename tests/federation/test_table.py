"""The accept table, and who may speak at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from fedidoc.activitypub.documents import read_activity
from fedidoc.clock import FrozenClock
from fedidoc.federation.handlers import Batch, Table, accept_table
from fedidoc.federation.handlers.table import Handler
from fedidoc.model import Badge
from fedidoc.verification.trust import Trust
from tests.federation.values import AWAY, actor


async def nothing(batch: Any, received: Any) -> list[str]:
    return []


def find(table: Table, kind: str, thing: Any) -> Handler | None:
    return table.find(read_activity({"type": kind, "id": "x", "object": thing}))


def test_registering_twice_is_an_error() -> None:
    table = Table()
    table.add("Create", nothing, "Note")
    table.add("Create", nothing, "Article")
    table.add("Create", nothing)
    with pytest.raises(ValueError, match="Create of Note"):
        table.add("Create", nothing, "Note", "Page")


def test_the_objects_type_decides_before_the_general_handler() -> None:
    async def other(batch: Any, received: Any) -> list[str]:
        return []

    table = Table()
    table.add("Undo", nothing, "Follow")
    table.add("Undo", other)
    assert find(table, "Undo", {"type": "Follow"}) is nothing
    assert find(table, "Undo", {"type": ["x:Odd", "Follow"]}) is nothing
    assert find(table, "Undo", {"type": "Block"}) is other
    assert find(table, "Undo", "https://x.example/1") is other
    assert find(table, "Flag", "https://x.example/1") is None


def test_everything_that_has_an_effect_is_registered_once() -> None:
    table = accept_table()
    known = {"Follow": "x", "Create": {"type": "Note"}, "Undo": "x", "Delete": "x", "Move": "x",
             "Update": {"type": "Person"}}  # fmt: skip
    for kind, thing in known.items():
        assert find(table, kind, thing) is not None
    assert find(table, "Create", {"type": "Person"}) is None


class OnlyVerified:
    def requires_credential(self, host: str) -> bool:
        return host == AWAY.authority


def refusal(badge: Badge, host: str = AWAY.authority) -> str | None:
    nobody: Any = None
    clock = FrozenClock(at=1_000)
    trust = cast(Trust, OnlyVerified())
    batch = Batch(nobody, nobody, clock, nobody, {}, {}, trust)
    return batch.refuses(replace(actor("bob", AWAY, badge=badge), host=host))


def test_only_a_badge_that_holds_now_lets_somebody_speak() -> None:
    assert refusal(Badge(True, "Verified.", valid_until=1_001)) is None
    assert refusal(Badge(True, "Verified.", valid_until=1_000)) == (
        "refused: the actor's credential has expired"
    )
    assert refusal(Badge(False, "Why.")) == "refused: the actor is not verified. Why."
    assert refusal(Badge(False, "Why."), host="other.example") is None
