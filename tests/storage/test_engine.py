"""The engine behaves alike on both databases."""

from fedidoc.storage.engine import Database


async def test_a_fresh_database_is_migrated(any_database: Database) -> None:
    assert await any_database.fetch_value("SELECT COUNT(*) FROM accounts") == 0
    async with any_database.transaction() as tx:
        rows = await tx.insert_many(
            "settings",
            ("name", "value"),
            [("a", "1"), ("b", "2")],
            conflict="ON CONFLICT DO NOTHING",
            returning="name",
        )
    assert {row["name"] for row in rows} == {"a", "b"}
