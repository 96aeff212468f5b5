"""Posts in the database: whole values back, and pages that indexes serve."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fedidoc.model import Audience, CaseFields, CaseState, ClearedText, PostKind, Specialty
from fedidoc.storage import actors, cases, timelines
from fedidoc.storage.cases import NewPost
from fedidoc.storage.engine import Database
from fedidoc.storage.keys import FreshKeys
from tests.storage.test_actors import local, remote

FIELDS = CaseFields(Specialty("207RC0000X", "Cardiology"), "60-69", "male", "p", "f", "q")


@pytest.fixture(scope="session")
def fresh_keys() -> FreshKeys:
    from fedidoc.storage import keys

    return keys.generate_keys()


def new(post_id: str, author_id: str, **changes: object) -> NewPost:
    values: dict[str, object] = {
        "id": post_id, "uri": f"https://x.example/{post_id}", "kind": PostKind.CASE,
        "author_id": author_id, "local": False, "audience": Audience.PUBLIC, "title": post_id,
        "html": "", "source": None, "parent_id": None, "case_id": post_id, "in_reply_to": None,
        "url": "", "sensitive": False, "published": 5, "edited": None, "received": 5, **changes,
    }  # fmt: skip
    return NewPost(**values)  # type: ignore[arg-type]


async def put(db: Database, *posts: NewPost) -> set[str]:
    async with db.transaction() as tx:
        return await cases.put(tx, posts)


async def test_a_local_post_comes_back_as_it_was_cleared(
    any_database: Database, fresh_keys: FreshKeys
) -> None:
    ada, ben = await local(any_database, fresh_keys), await remote(any_database, "ben")
    source = ClearedText("words", "1", ("url",))
    stored = new("p1", ada.id, local=True, source=source, fields=FIELDS, recipients=(ben.id,))
    assert await put(any_database, stored) == {"p1"}
    post = await cases.get(any_database, "p1")
    assert post is not None
    assert (post.source, post.fields, post.author) == (source, FIELDS, ada)
    assert post.recipients == (ben.id,)
    assert await cases.by_uri(any_database, post.uri) == post
    assert await cases.get(any_database, "p2") is None


async def test_text_of_a_remote_post_is_never_cleared(any_database: Database) -> None:
    ben = await remote(any_database, "ben")
    await put(any_database, new("p1", ben.id, source=ClearedText("x", "1")))
    post = await cases.get(any_database, "p1")
    assert post is not None
    assert post.source is None


async def test_a_uri_keeps_its_first_row(any_database: Database) -> None:
    ben, eve = await remote(any_database, "ben"), await remote(any_database, "eve")
    await put(any_database, new("p1", ben.id))
    again = new("p2", eve.id, uri="https://x.example/p1", fields=FIELDS, recipients=(ben.id,))
    assert await put(any_database, again, new("p3", eve.id)) == {"p3"}
    post = await cases.by_uri(any_database, "https://x.example/p1")
    assert post is not None
    assert (post.author, post.fields, post.recipients) == (ben, None, ())


async def test_a_buried_post_has_no_words_anywhere(any_database: Database) -> None:
    ben = await remote(any_database, "ben")
    await put(any_database, new("p1", ben.id, html="zebra", fields=FIELDS), new("p2", ben.id))
    async with any_database.transaction() as tx:
        await cases.bury(tx, ["p1"], 9)
        await cases.bury(tx, [], 9)
    post = await cases.get(any_database, "p1")
    assert post is not None
    assert (post.deleted, post.title, post.html, post.fields) == (9, "", "", None)
    assert await any_database.fetch_value("SELECT COUNT(*) FROM cases") == 0
    other = await cases.get(any_database, "p2")
    assert other is not None
    assert other.deleted is None


async def test_only_an_open_case_becomes_answered(any_database: Database) -> None:
    ben = await remote(any_database, "ben")
    await put(any_database, *(
        new(f"p{n}", ben.id, fields=CaseFields(None, None, None, "", "", "", state))
        for n, state in enumerate(CaseState)
    ))  # fmt: skip
    async with any_database.transaction() as tx:
        await cases.answered(tx, ["p0", "p1", "p2"])
    found = await cases.get_many(any_database, ["p0", "p1", "p2"])
    assert [found[f"p{n}"].fields.state.value for n in range(3)] == [  # type: ignore[union-attr]
        "answered", "answered", "closed",
    ]  # fmt: skip


async def test_a_thread_in_its_order_and_counted(any_database: Database) -> None:
    ben = await remote(any_database, "ben")
    await put(
        any_database,
        new("root", ben.id, fields=FIELDS),
        new("late", ben.id, kind=PostKind.REPLY, case_id="root", parent_id="root", published=9),
        new("early", ben.id, kind=PostKind.REPLY, case_id="root", parent_id="root", published=7),
    )
    thread = await cases.thread_of(any_database, "root")
    assert [post.id for post in thread] == ["root", "early", "late"]
    assert thread[0].replies == 2


async def test_a_page_costs_the_same_however_long(any_database: Database) -> None:
    ben = await remote(any_database, "ben")
    await put(any_database, *(new(f"p{n:03}", ben.id, fields=FIELDS) for n in range(60)))

    class Counting:
        """A reader that counts."""

        def __init__(self) -> None:
            self.calls = 0
            self.dialect = any_database.dialect

        async def fetch_all(self, sql: str, params: Sequence[object] = ()) -> list[object]:
            self.calls += 1
            return list(await any_database.fetch_all(sql, params))

    costs = []
    for limit in (1, 50):
        reader = Counting()
        rows = await timelines.every(reader, "me", timelines.NEWEST, limit)  # type: ignore[arg-type]
        assert len(await cases.assemble(reader, rows)) == limit  # type: ignore[arg-type]
        costs.append(reader.calls)
    assert costs == [6, 6]


ME = ("me",) * 4
PAGES = {
    "waiting, mine": (
        timelines.WAITING.format(mine=timelines._MINE),
        ("open", "~", "me", "x", "me", "~", *ME, 20),
        "cases_waiting",
    ),
    "waiting, others": (
        timelines.WAITING.format(mine=f"NOT {timelines._MINE}"),
        ("open", "~", "me", "x", "me", "~", *ME, 20),
        "cases_waiting",
    ),
    "specialty": (timelines.OF_SPECIALTY, ("x", "~", "~", *ME, 20), "cases_specialty"),
    "all": (timelines.EVERY, ("~", *ME, 20), "posts_kind"),
    "author": (timelines.OF_AUTHOR, ("a", "~", *ME, 20), "posts_author"),
}


@pytest.mark.parametrize("page", PAGES)
async def test_an_index_serves_the_page_in_its_order(tmp_path: object, page: str) -> None:
    """On SQLite: found by the index, read backwards, no table scanned, nothing sorted."""
    from fedidoc.storage.migrate import migrate

    db = await Database.open("sqlite://:memory:")
    try:
        await migrate(db)
        sql, params, index = PAGES[page]
        plan = [
            str(row["detail"]) for row in await db.fetch_all(f"EXPLAIN QUERY PLAN {sql}", params)
        ]
    finally:
        await db.close()
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN") for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


async def test_local_ids(any_database: Database, fresh_keys: FreshKeys) -> None:
    ada, ben = await local(any_database, fresh_keys), await remote(any_database, "ben")
    assert await actors.local_ids(any_database, [ada.id, ben.id, "x"]) == {ada.id}
