"""Drafts: sealed, one a form, nobody else's."""

from __future__ import annotations

import pytest

from fedidoc.clock import MINUTE
from fedidoc.errors import BadInput, ConfigError
from fedidoc.model import Standing
from tests.clinical.clinic import Clinic


async def test_a_draft_is_saved_loaded_and_thrown_away(clinic: Clinic) -> None:
    ada = await clinic.member("ada", standing=Standing.NEW)
    assert await clinic.drafts.load(ada, "case") is None
    await clinic.drafts.save(ada, "case", {"title": "One"})
    clinic.clock.advance(MINUTE)
    await clinic.drafts.save(ada, "case", {"title": "Two", "findings": "ü"})
    found = await clinic.drafts.load(ada, "case")
    assert found is not None
    assert (found.place, found.fields, found.saved) == (
        "case", {"title": "Two", "findings": "ü"}, clinic.clock.now(),
    )  # fmt: skip
    clinic.clock.advance(MINUTE)
    await clinic.drafts.save(ada, "answer:1", {"text": "x"})
    assert [d.place for d in await clinic.drafts.list(ada)] == ["answer:1", "case"]
    await clinic.drafts.delete(ada, "case")
    await clinic.drafts.delete(ada, "case")
    assert [d.place for d in await clinic.drafts.list(ada)] == ["answer:1"]


async def test_a_draft_is_no_text_in_the_database_and_nobody_elses(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    await clinic.drafts.save(ada, "case", {"presentation": "MRN 123456 Zebra"})
    row = await clinic.db.fetch_one("SELECT * FROM drafts")
    assert row is not None
    assert b"Zebra" not in bytes(row["fields_sealed"])
    assert await clinic.drafts.load(bob, "case") is None
    assert await clinic.drafts.list(bob) == []
    async with clinic.db.transaction() as tx:
        await tx.execute("UPDATE drafts SET account_id = ?", (bob.id,))
    with pytest.raises(ConfigError):
        await clinic.drafts.load(bob, "case")


async def test_drafts_have_bounds(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    for place, fields in (("", {}), ("x" * 81, {}), ("case", {"t": "x" * 600_000})):
        with pytest.raises(BadInput):
            await clinic.drafts.save(ada, place, fields)
    for number in range(50):
        await clinic.drafts.save(ada, f"answer:{number}", {})
    with pytest.raises(BadInput):
        await clinic.drafts.save(ada, "answer:50", {})
    await clinic.drafts.save(ada, "answer:7", {"text": "still"})
