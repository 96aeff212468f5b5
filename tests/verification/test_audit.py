"""Whether a log is whole: in the database, in an export, and against a head that was kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fedidoc.storage import moderation
from fedidoc.storage.engine import Database
from fedidoc.storage.moderation import Head
from fedidoc.verification import audit
from fedidoc.verification.audit import Audit, read_head, verify, verify_lines
from tests.house import House, claim

NOW = 1_790_000_000_000


async def fill(db: Database, count: int = 5) -> list[bytes]:
    async with db.transaction() as tx:
        for n in range(1, count + 1):
            detail = {"reason": f"gründe {n}", "n": n, "evidence": ["employer"]}
            await moderation.append(tx, NOW + n, "ada", f"deed_{n % 2}", f"s{n}", detail)
    return [line async for line in audit.export(db)]


async def test_an_export_is_whole(any_database: Database) -> None:
    lines = await fill(any_database)
    head = await Audit(any_database).head()
    assert (len(lines), head.number) == (5, 5)
    verdict = verify_lines(lines, head)
    assert verdict.whole and verdict.head == head
    assert (await verify(any_database, head)).whole
    assert verify_lines([]).whole and verify_lines([]).head == Head(0, "0" * 64)


def changed(**fields: Any) -> Callable[[bytes], bytes]:
    def change(line: bytes) -> bytes:
        return json.dumps({**json.loads(line), **fields}).encode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed(who="eve"),
        changed(at=NOW),
        changed(detail={}),
        changed(number=4),
        changed(number=3.0),
        changed(number=True),
        changed(previous="0" * 64),
        changed(digest="0" * 64),
        changed(extra=1),
        lambda line: b"",
        lambda line: b"not JSON",
        lambda line: b"[]",
        lambda line: b"[" * 100_000,
        lambda line: line[:-2],
        lambda line: line.replace(b'{"number"', b'{"who":"eve","number"', 1),
        lambda line: line.replace(b'"n":3', b'"n":1e400'),
        lambda line: line.replace(b'"n":3', b'"n":NaN'),
        lambda line: b" " * (2 << 20) + line,
    ],
)
async def test_a_changed_line_is_found(
    database: Database, change: Callable[[bytes], bytes]
) -> None:
    lines = await fill(database)
    verdict = verify_lines([*lines[:2], change(lines[2]), *lines[3:]])
    assert verdict.broken == 3 and not verdict.whole


async def test_a_line_left_out_moved_or_put_in_is_found(database: Database) -> None:
    lines = await fill(database)
    assert verify_lines(lines[1:]).broken == 1
    assert verify_lines([*lines[:2], *lines[3:]]).broken == 3
    assert verify_lines([*lines[:2], lines[3], lines[2], lines[4]]).broken == 3
    assert verify_lines([*lines, lines[4]]).broken == 6


async def test_a_cut_at_the_end_shows_against_a_head(any_database: Database) -> None:
    lines = await fill(any_database)
    head = await Audit(any_database).head()
    assert verify_lines(lines[:4]).whole  # by itself it cannot be seen
    assert verify_lines(lines[:4], head).missing_head
    async with any_database.transaction() as tx:
        await tx.execute("DELETE FROM audit WHERE number = 5")
    assert (await verify(any_database)).whole
    verdict = await verify(any_database, head)
    assert verdict.missing_head and not verdict.whole and verdict.head.number == 4


async def test_a_log_that_was_written_anew_shows_against_a_head(any_database: Database) -> None:
    await fill(any_database)
    head = await Audit(any_database).head()
    async with any_database.transaction() as tx:
        await tx.execute("DELETE FROM audit")
        for n in range(7):
            await moderation.append(tx, NOW, "eve", "deed", f"s{n}", {})
    assert (await verify(any_database)).whole
    assert (await verify(any_database, head)).missing_head


async def test_an_earlier_head_is_part_of_what_came_after(any_database: Database) -> None:
    lines = await fill(any_database, 2)
    head = await Audit(any_database).head()
    async with any_database.transaction() as tx:
        await moderation.append(tx, NOW, "ada", "deed", "s", {})
    lines = [line async for line in audit.export(any_database)]
    for kept in (head, Head(0, head.digest), Head(0, "0" * 64)):
        assert (await verify(any_database, kept)).whole and verify_lines(lines, kept).whole
    wrong = Head(3, head.digest)
    assert (await verify(any_database, wrong)).missing_head
    assert verify_lines(lines, wrong).missing_head


@pytest.mark.parametrize(
    ("text", "head"),
    [
        (f"12 {'a' * 64}", Head(12, "a" * 64)),
        (f" 12:{'a' * 64}\n", Head(12, "a" * 64)),
        ("a" * 64, Head(0, "a" * 64)),
        ("a" * 63, None),
        ("A" * 64, None),
        (f"x {'a' * 64}", None),
        (f"1 2 {'a' * 64}", None),
        ("", None),
    ],
)
def test_a_head_as_it_is_printed(text: str, head: Head | None) -> None:
    assert read_head(text) == head


async def test_pages_and_actions(any_database: Database) -> None:
    await fill(any_database, 120)
    log = Audit(any_database)
    assert await log.actions() == ["deed_0", "deed_1"]
    seen: list[int] = []
    before: str | None = None
    while True:
        page = await log.page(before)
        seen += [entry.row.number for entry in page.items]
        if page.older is None:
            break
        before = page.older
    assert seen == list(range(120, 0, -1))
    odd = (await log.page(None, "deed_1")).items
    assert len(odd) == 50 and all(entry.row.number % 2 for entry in odd)
    for nonsense in ("x", "-1", "²", "9" * 99):
        assert len((await log.page(nonsense)).items) == 50


async def test_decisions_of_the_house_are_in_it_and_name_nobody(any_house: House) -> None:
    house = any_house
    anna, rita = await house.sign_up("anna"), await house.admin("rita")
    id = await house.review.apply(anna, claim())
    await house.review.ask(id, rita, "Which hospital?")
    await house.review.apply(anna, claim(note="St. Olaf"))
    await house.review.note(id, rita, "known to me")
    await house.review.approve(id, rita, "Called Dr. Weiss.")
    lines = [line async for line in audit.export(house.db)]
    assert verify_lines(lines).whole
    text = b"".join(lines).decode()
    for secret in ("Müller", "778899", "1234567893", "Which hospital", "Weiss", "known to me",
                   "anna@mail"):  # fmt: skip
        assert secret not in text
    actions = [json.loads(line)["action"] for line in lines]
    assert actions[-6:] == [
        "application_filed", "application_asked", "application_answered", "application_noted",
        "evidence_recorded", "application_approved",
    ]  # fmt: skip
