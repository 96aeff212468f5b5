"""The audit log shows when it was tampered with."""

import asyncio
import hashlib
import json

import pytest

from fedidoc.storage import moderation
from fedidoc.storage.engine import Database

NOW = 1_790_000_000_000


async def fill(db: Database, count: int = 5) -> None:
    async with db.transaction() as tx:
        for n in range(1, count + 1):
            detail = {"reason": f"gr\u00fcnde {n}", "n": n}
            assert await moderation.append(tx, NOW + n, "ada", "approve", f"s{n}", detail) == n


async def test_an_untouched_log_verifies(any_database: Database) -> None:
    assert await moderation.verify(any_database) is None
    await fill(any_database)
    assert await moderation.verify(any_database) is None
    rows = [row async for row in moderation.export(any_database, after=3)]
    assert [row.number for row in rows] == [4, 5]
    assert rows[0].detail == {"reason": "gr\u00fcnde 4", "n": 4}
    assert rows[1].previous == rows[0].digest


async def test_the_digest_is_reproducible_from_the_documentation(any_database: Database) -> None:
    """SHA-256 over RFC 8785 canonical JSON, written out by hand."""
    await fill(any_database, 1)
    [row] = [row async for row in moderation.export(any_database)]
    text = (
        f'{{"action":"approve","at":{NOW + 1},"detail":{{"n":1,"reason":"gr\u00fcnde 1"}},'
        f'"number":1,"previous":"{"0" * 64}","subject":"s1","who":"ada"}}'
    )
    assert row.digest == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("tamper", "broken"),
    [
        ("UPDATE audit SET who = 'eve' WHERE number = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE number = 1", 1),
        ("UPDATE audit SET detail = '{}' WHERE number = 5", 5),
        ("UPDATE audit SET detail = 'no JSON' WHERE number = 2", 2),
        ("UPDATE audit SET digest = previous WHERE number = 4", 4),
        ("DELETE FROM audit WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("UPDATE audit SET number = 6 WHERE number = 4", 4),
        ("UPDATE audit SET number = 0 WHERE number = 1", 1),
        (
            "INSERT INTO audit (number, at, who, action, subject, detail, previous, digest)"
            " SELECT 6, at, who, action, subject, detail, digest, digest FROM audit"
            " WHERE number = 5",
            6,
        ),
    ],
)
async def test_tampering_is_found(any_database: Database, tamper: str, broken: int) -> None:
    await fill(any_database)
    async with any_database.transaction() as tx:
        assert await tx.execute(tamper) == 1
    assert await moderation.verify(any_database) == broken


async def test_a_row_made_to_fit_breaks_the_next(any_database: Database) -> None:
    """Changing a row and its own digest does not help while there is a row after it."""
    await fill(any_database)
    rows = [row async for row in moderation.export(any_database)]
    third = rows[2]
    forged = {
        "number": 3, "at": third.at, "who": "eve", "action": third.action,
        "subject": third.subject, "detail": third.detail, "previous": third.previous,
    }  # fmt: skip
    text = json.dumps(forged, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    async with any_database.transaction() as tx:
        await tx.execute("UPDATE audit SET who = 'eve', digest = ? WHERE number = 3", (digest,))
    assert await moderation.verify(any_database) == 4


async def test_verify_reads_more_than_one_page(any_database: Database) -> None:
    await fill(any_database, 1100)
    assert await moderation.verify(any_database) is None
    async with any_database.transaction() as tx:
        await tx.execute("DELETE FROM audit WHERE number = 501")
    assert await moderation.verify(any_database) == 501


async def test_decisions_side_by_side_make_one_chain(
    any_database: Database, any_database_url: str
) -> None:
    other = await Database.open(any_database_url)

    async def decide(db: Database, n: int) -> None:
        async with db.transaction() as tx:
            await moderation.append(tx, NOW, "ada", "approve", f"s{n}", {})

    try:
        async with asyncio.TaskGroup() as group:
            for n in range(40):
                group.create_task(decide(any_database if n % 2 else other, n))
    finally:
        await other.close()
    assert await moderation.verify(any_database) is None
    assert await any_database.fetch_value("SELECT MAX(number) FROM audit") == 40


async def test_a_decision_that_is_undone_leaves_no_gap(any_database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with any_database.transaction() as tx:
            await moderation.append(tx, NOW, "ada", "approve", "s", {})
            raise ZeroDivisionError
    await fill(any_database, 2)
    assert await moderation.verify(any_database) is None
