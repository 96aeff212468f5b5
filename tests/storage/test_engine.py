"""The engine behaves alike on both databases."""

import asyncio
import gc
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from fedidoc.errors import ConfigError
from fedidoc.storage.engine import (
    Busy,
    Database,
    Duplicate,
    StorageError,
    Transaction,
    among,
)
from fedidoc.storage.statements import numbered

PUT = "INSERT INTO settings (name, value) VALUES (?, ?)"


async def settings(db: Database) -> dict[str, str]:
    rows = await db.fetch_all("SELECT name, value FROM settings ORDER BY name")
    return {row["name"]: row[1] for row in rows}


async def test_reads_and_writes(any_database: Database) -> None:
    db = any_database
    async with db.transaction() as tx:
        assert await tx.execute(PUT, ("a", "1")) == 1
        assert await tx.fetch_value("SELECT value FROM settings WHERE name = ?", ("a",)) == "1"
        assert await tx.execute("UPDATE settings SET value = '2' WHERE name = 'none'") == 0
        await tx.execute_many(PUT, [("b", "what?"), ("c", "NULL")])
        assert await settings(db) == {}  # others see only what is committed
    assert await settings(db) == {"a": "1", "b": "what?", "c": "NULL"}
    row = await db.fetch_one("SELECT * FROM settings WHERE name = 'b' AND value = 'what?'")
    assert row is not None
    assert (dict(row), tuple(row), len(row)) == ({"name": "b", "value": "what?"}, ("b", "what?"), 2)
    assert await db.fetch_one("SELECT * FROM settings WHERE name = ?", ("z",)) is None
    assert await db.fetch_value("SELECT value FROM settings WHERE name = ?", ("z",)) is None


async def test_sealed_bytes_and_truth_come_back(any_database: Database) -> None:
    columns = ("id", "account_id", "place", "fields_sealed", "saved")
    async with any_database.transaction() as tx:
        await tx.insert_many("drafts", columns, [("1", "a", "case", b"\0\xff", True)])
    row = await any_database.fetch_one("SELECT fields_sealed, saved FROM drafts")
    assert row is not None
    assert (bytes(row[0]), row[1]) == (b"\0\xff", 1)


async def test_insert_many_takes_any_number_of_rows(any_database: Database) -> None:
    """More than one statement may carry: 40,000 rows of 2 parameters."""
    rows = [(f"{n:05}", str(n)) for n in range(40_000)]
    async with any_database.transaction() as tx:
        new = await tx.insert_many("settings", ("name", "value"), rows, returning="name, value")
        assert {tuple(row) for row in new} == set(rows)
        assert await tx.insert_many("settings", ("name", "value"), []) == []
    assert await any_database.fetch_value("SELECT COUNT(*) FROM settings") == 40_000


async def test_insert_many_on_conflict(any_database: Database) -> None:
    async with any_database.transaction() as tx:
        await tx.insert_many("settings", ("name", "value"), [("a", "1")])
        new = await tx.insert_many(
            "settings",
            ("name", "value"),
            [("a", "2"), ("b", "2")],
            conflict="ON CONFLICT (name) DO NOTHING",
            returning="name",
        )
        assert [row[0] for row in new] == ["b"]
        await tx.insert_many(
            "settings",
            ("name", "value"),
            [("a", "3")],
            conflict="ON CONFLICT (name) DO UPDATE SET value = excluded.value || settings.value",
        )
    assert await settings(any_database) == {"a": "31", "b": "2"}


async def test_an_error_undoes_the_transaction(any_database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with any_database.transaction() as tx:
            await tx.execute(PUT, ("a", "1"))
            raise ZeroDivisionError
    assert await settings(any_database) == {}
    async with any_database.transaction() as tx:
        await tx.execute(PUT, ("b", "1"))
    assert await settings(any_database) == {"b": "1"}


async def test_a_failed_statement_voids_the_transaction_even_if_caught(
    any_database: Database,
) -> None:
    with pytest.raises(StorageError, match="void"):
        async with any_database.transaction() as tx:
            await tx.execute(PUT, ("a", "1"))
            with pytest.raises(Duplicate):
                await tx.execute(PUT, ("a", "2"))
            with pytest.raises(StorageError, match="void"):
                await tx.fetch_all("SELECT 1")
    assert await settings(any_database) == {}
    async with any_database.transaction() as tx:
        await tx.execute(PUT, ("a", "3"))
    assert await settings(any_database) == {"a": "3"}


async def test_a_savepoint_confines_a_failure(any_database: Database) -> None:
    async with any_database.transaction() as tx:
        await tx.execute(PUT, ("a", "1"))
        with pytest.raises(Duplicate):
            async with tx.savepoint():
                await tx.execute(PUT, ("b", "1"))
                async with tx.savepoint():
                    await tx.execute(PUT, ("c", "1"))
                await tx.execute(PUT, ("a", "2"))
        async with tx.savepoint():
            await tx.execute(PUT, ("d", "1"))
    assert await settings(any_database) == {"a": "1", "d": "1"}


async def test_errors_are_the_storage_s_own(any_database: Database) -> None:
    for statement in ("SELECT nonsense", "SELECT FROM WHERE", "SELECT * FROM nowhere"):
        with pytest.raises(StorageError) as caught:
            await any_database.fetch_all(statement)
        assert statement not in str(caught.value)
    for values in (("\ud800", 0), ("h", 1 << 70)):
        with pytest.raises(StorageError):
            async with any_database.transaction() as tx:
                await tx.execute("INSERT INTO hosts (host, failures) VALUES (?, ?)", values)
    assert await any_database.fetch_value("SELECT COUNT(*) FROM hosts") == 0


async def test_a_missing_parent_is_no_duplicate(any_database: Database) -> None:
    with pytest.raises(StorageError) as caught:
        async with any_database.transaction() as tx:
            await tx.insert_many(
                "tokens", ("token_mac", "account_id", "name", "created"), [("m", "none", "n", 1)]
            )
    assert not isinstance(caught.value, Duplicate)


async def test_a_transaction_within_one_is_an_error_not_a_deadlock(any_database: Database) -> None:
    db = any_database

    async def nested(tx: Transaction) -> None:
        async with db.transaction():
            pass

    async with asyncio.timeout(5):
        async with db.transaction():
            with pytest.raises(RuntimeError, match="pass that one on"):
                async with db.transaction():
                    pass
            with pytest.raises(RuntimeError, match="pass that one on"):
                await db.group(nested)
        with pytest.raises(RuntimeError, match="pass that one on"):
            await db.group(nested)
    async with db.transaction() as tx:
        await tx.execute(PUT, ("a", "1"))


async def test_a_transaction_that_is_over_takes_nothing_more(any_database: Database) -> None:
    async with any_database.transaction() as kept:
        await kept.execute(PUT, ("a", "1"))
    with pytest.raises(StorageError, match="over"):
        await kept.execute(PUT, ("b", "1"))
    assert await settings(any_database) == {"a": "1"}


async def test_a_task_that_holds_a_transaction_can_read_beside_it(any_database: Database) -> None:
    """Also when as many hold one as there are connections to write with."""
    db = any_database
    count = 6 if db.dialect == "postgresql" else 1
    ready = asyncio.Barrier(count)

    async def hold() -> None:
        async with db.transaction() as tx:
            await tx.fetch_all("SELECT 1")
            await ready.wait()
            assert await settings(db) == {}

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(hold())


@pytest.mark.parametrize("moment", ["waiting", "statement", "between", "commit"])
async def test_a_cancelled_caller_leaves_nothing_open(any_database: Database, moment: str) -> None:
    db = any_database
    for round_ in range(5):
        reached = asyncio.Event()

        async def write(name: str, reached: asyncio.Event = reached) -> None:
            if moment == "waiting":
                reached.set()
            async with db.transaction() as tx:
                await tx.execute(PUT, (name, "1"))
                if moment == "statement":
                    reached.set()
                    await tx.execute(PUT, (name + "+", "1"))
                if moment == "between":
                    reached.set()
                    await asyncio.sleep(60)
                if moment == "commit":
                    asyncio.get_running_loop().call_soon(reached.set)

        async with asyncio.timeout(20):
            if moment == "waiting":
                async with db.transaction() as tx:
                    await tx.execute(PUT, (f"holder{round_}", "1"))
                    task = asyncio.create_task(write(f"lost{round_}"))
                    await reached.wait()
                    await asyncio.sleep(0.01)
                    if db.dialect == "sqlite":
                        task.cancel()
                        await asyncio.wait([task])
            else:
                task = asyncio.create_task(write(f"lost{round_}"))
                await reached.wait()
                task.cancel()
            await asyncio.wait([task])
            async with db.transaction() as tx:
                await tx.execute(PUT, (f"kept{round_}", "1"))
    found = await settings(db)
    assert {f"kept{n}" for n in range(5)} <= found.keys()
    if moment in ("statement", "between") or (moment, db.dialect) == ("waiting", "sqlite"):
        assert not any(name.startswith("lost") for name in found)
    if db.dialect == "postgresql":
        idle = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert await db.fetch_value(idle) == 0


async def test_a_group_shares_one_commit(sqlite_database: Database) -> None:
    """200 callers at once; SQLite's count of WAL commits tells how many transactions it took."""
    db = sqlite_database
    seen = 0

    async def work(tx: Transaction, n: int) -> int:
        nonlocal seen
        seen += 1
        await tx.execute(PUT, (f"{n:03}", "1"))
        return n

    before = await transactions(db)
    results = await asyncio.gather(*(db.group(lambda tx, n=n: work(tx, n)) for n in range(200)))
    assert results == list(range(200))
    assert seen == 200
    assert len(await settings(db)) == 200
    assert await transactions(db) - before == 1


async def transactions(db: Database) -> int:
    """A number that each committing write transaction of another connection changes by one."""
    path = (await db.fetch_all("PRAGMA database_list"))[0]["file"]
    # The WAL index header's change counter (file format document, section 4.1): offset 8.
    return int.from_bytes(Path(f"{path}-shm").read_bytes()[8:12], "little")


async def test_one_that_fails_in_a_group_fails_alone(any_database: Database) -> None:
    db = any_database

    async def work(tx: Transaction, n: int) -> int:
        await tx.execute(PUT, (f"{n:02}", "1"))
        if n == 3:
            raise ZeroDivisionError
        if n == 5:
            await tx.execute(PUT, ("00", "again"))
        return n

    results = await asyncio.gather(
        *(db.group(lambda tx, n=n: work(tx, n)) for n in range(10)), return_exceptions=True
    )
    assert isinstance(results[3], ZeroDivisionError)
    assert isinstance(results[5], Duplicate)
    others = [0, 1, 2, 4, 6, 7, 8, 9]
    assert [results[n] for n in others] == others
    assert list(await settings(db)) == [f"{n:02}" for n in others]


async def test_a_work_of_a_group_may_await_nothing_else(sqlite_database: Database) -> None:
    """On SQLite it runs in the writer's thread, where there is no event loop to wait on."""
    db = sqlite_database

    async def sleep(tx: Transaction) -> None:
        await tx.execute(PUT, ("a", "1"))
        await asyncio.sleep(0)

    async def read(tx: Transaction) -> None:
        await tx.execute(PUT, ("a", "1"))
        await db.fetch_all("SELECT 1")

    async def good(tx: Transaction) -> None:
        await tx.execute(PUT, ("good", "1"))

    async with asyncio.timeout(5):
        results = await asyncio.gather(
            db.group(sleep), db.group(good), db.group(read), return_exceptions=True
        )
    assert isinstance(results[0], RuntimeError)
    assert "nothing but its transaction" in str(results[0])
    assert results[1] is None
    assert isinstance(results[2], RuntimeError)
    assert await settings(db) == {"good": "1"}


async def test_a_lone_failing_work_gets_its_error(any_database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute(PUT, ("a", "1"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await any_database.group(work)
    assert await settings(any_database) == {}


async def test_group_returns_only_after_the_commit(any_database: Database) -> None:
    db = any_database

    async def put(n: int) -> None:
        await db.group(lambda tx: tx.execute(PUT, (f"{n}", "1")))
        assert await db.fetch_value("SELECT value FROM settings WHERE name = ?", (f"{n}",)) == "1"

    await asyncio.gather(*(put(n) for n in range(50)))


async def test_a_cancelled_caller_of_a_group_disturbs_nobody(any_database: Database) -> None:
    db = any_database
    tasks = [
        asyncio.create_task(db.group(lambda tx, n=n: tx.execute(PUT, (f"{n:02}", "1"))))
        for n in range(40)
    ]
    for n in range(0, 40, 2):
        if n % 4:
            await asyncio.sleep(0)
        tasks[n].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == [1] * 20
    assert {f"{n:02}" for n in range(1, 40, 2)} <= (await settings(db)).keys()
    assert await db.group(lambda tx: tx.execute(PUT, ("later", "1"))) == 1


async def test_a_gathering_hands_all_that_waits_to_one_call(any_database: Database) -> None:
    db = any_database
    calls: list[int] = []

    async def store(tx: Transaction, items: Sequence[tuple[str, str]]) -> list[str]:
        calls.append(len(items))
        await tx.insert_many("settings", ("name", "value"), items)
        return [name.upper() for name, _ in items]

    gathering = db.gathering(store, limit=30)
    results = await asyncio.gather(
        *(gathering.put((f"n{n:02}", "1")) for n in range(50)),
        gathering.put(("n03", "twice")),
        return_exceptions=True,
    )
    assert results[:50] == [f"N{n:02}" for n in range(50)]
    assert isinstance(results[50], Duplicate)
    assert calls[0] == 30
    assert len(await settings(db)) == 50


async def test_a_gathering_can_wait_for_companions(any_database: Database) -> None:
    calls: list[int] = []

    async def store(tx: Transaction, items: Sequence[str]) -> Sequence[str]:
        calls.append(len(items))
        return items

    async def later(name: str, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return await patient.put(name)

    patient = any_database.gathering(store, linger_ms=300)
    assert await asyncio.gather(*(later(f"{n}", n / 100) for n in range(8))) == list("01234567")
    assert calls == [8]


async def test_closing_ends_gatherings_too(any_database: Database, any_database_url: str) -> None:
    async def store(tx: Transaction, items: Sequence[tuple[str, str]]) -> Sequence[object]:
        await tx.insert_many("settings", ("name", "value"), items)
        return items

    db = await Database.open(any_database_url)
    gathering = db.gathering(store, limit=2)
    tasks = [asyncio.create_task(gathering.put((f"{n}", "1"))) for n in range(5)]
    await asyncio.sleep(0)
    await db.close()
    await asyncio.gather(*tasks)
    assert len(await settings(any_database)) == 5
    with pytest.raises(Busy):
        await gathering.put(("late", "1"))


async def test_postgresql_s_silent_rollback_is_an_error(postgresql_database: Database) -> None:
    """It answers the COMMIT of a transaction that had failed with ROLLBACK, and no error."""
    session = await postgresql_database._driver.begin()
    with pytest.raises(StorageError):
        await session.run("SELECT nonsense", ())
    with pytest.raises(StorageError, match="undid"):
        await session.commit()


async def test_a_gathering_that_answers_too_little_is_an_error(any_database: Database) -> None:
    async def store(tx: Transaction, items: Sequence[tuple[str, str]]) -> list[str]:
        await tx.insert_many("settings", ("name", "value"), items)
        return [name for name, _ in items if name != "b"]

    gathering = any_database.gathering(store)
    async with asyncio.timeout(10):
        results = await asyncio.gather(
            *(gathering.put((name, "1")) for name in "abc"), return_exceptions=True
        )
    assert results[0::2] == ["a", "c"]
    assert isinstance(results[1], RuntimeError)
    assert await settings(any_database) == {"a": "1", "c": "1"}


async def test_closing_writes_what_waits(any_database: Database, any_database_url: str) -> None:
    db = await Database.open(any_database_url)
    tasks = [
        asyncio.create_task(db.group(lambda tx, n=n: tx.execute(PUT, (f"{n:02}", "1"))))
        for n in range(20)
    ]
    await asyncio.sleep(0)
    await db.close()
    assert await asyncio.gather(*tasks) == [1] * 20
    assert len(await settings(any_database)) == 20
    with pytest.raises(Busy):
        await db.group(lambda tx: tx.execute(PUT, ("late", "1")))
    with pytest.raises(Busy):
        await db.fetch_all("SELECT 1")
    with pytest.raises(Busy):
        async with db.transaction():
            pass
    await db.close()


async def test_several_databases_write_to_one_file(sqlite_database: Database) -> None:
    """As several processes do: nobody gets an error, nothing is lost."""
    path = (await sqlite_database.fetch_all("PRAGMA database_list"))[0]["file"]
    others = [await Database.open(f"sqlite:///{path}") for _ in range(3)]

    async def count(db: Database) -> None:
        for _ in range(30):
            async with db.transaction() as tx:
                n = int(await tx.fetch_value("SELECT value FROM settings WHERE name = 'n'"))
                await tx.execute("UPDATE settings SET value = ? WHERE name = 'n'", (str(n + 1),))

    async with sqlite_database.transaction() as tx:
        await tx.execute(PUT, ("n", "0"))
    await asyncio.gather(*(count(db) for db in others))
    for db in others:
        await db.close()
    assert await settings(sqlite_database) == {"n": "90"}


async def test_sqlite_is_set_up_for_safety(sqlite_database: Database) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "temp_store": 2,
        "trusted_schema": 0,
        "busy_timeout": 15_000,
    }
    for name, value in wanted.items():
        assert await sqlite_database.fetch_value(f"PRAGMA {name}") == value
        async with sqlite_database.transaction() as tx:
            assert await tx.fetch_value(f"PRAGMA {name}") == value
    with pytest.raises(StorageError):
        await sqlite_database.fetch_all("DELETE FROM settings")  # a reader


async def test_postgresql_waits_for_the_disk(
    postgresql_database: Database, request: pytest.FixtureRequest
) -> None:
    """Even where the database's default says otherwise."""
    server = request.getfixturevalue("postgres_server")
    name = server.fresh_database()
    try:
        server.sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        db = await Database.open(server.url(name))
        async with db.transaction() as tx:
            assert await tx.fetch_value("SHOW synchronous_commit") == "on"
        await db.close()
    finally:
        server.drop_database(name)


async def test_a_database_in_memory_is_gone_when_closed() -> None:
    db = await Database.open("sqlite://:memory:")
    async with db.transaction() as tx:
        await tx.execute("CREATE TABLE t (a TEXT)")
        await tx.execute("INSERT INTO t VALUES ('x')")
    path = Path((await db.fetch_all("PRAGMA database_list"))[0]["file"])
    assert await db.fetch_value("SELECT a FROM t") == "x"
    assert path.exists()
    await db.close()
    assert not path.parent.exists()


async def test_a_url_of_neither_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="url"):
        await Database.open("mysql://localhost/x")


async def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        await Database.open(f"sqlite:///{tmp_path}/no/such/folder/x.db")
    with pytest.raises(Busy):
        await Database.open("postgresql://nobody@127.0.0.1:1/none")
    (tmp_path / "text.db").write_text("this is not a database, it is a text of some length" * 100)
    with pytest.raises(StorageError):
        await Database.open(f"sqlite:///{tmp_path}/text.db")
    gc.collect()


def test_placeholders_are_numbered_outside_of_quotes_and_comments() -> None:
    assert numbered("SELECT ?, '?', \"?\", 'it''s ?' -- ?\n, ? /* ? */ + ?") == (
        "SELECT $1, '?', \"?\", 'it''s ?' -- ?\n, $2 /* ? */ + $3"
    )
    assert numbered("SELECT 'open ?") == "SELECT 'open ?"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 200])
async def test_among_finds_each_of_its_values(any_database: Database, count: int) -> None:
    async with any_database.transaction() as tx:
        await tx.insert_many("settings", ("name", "value"), [(f"{n}", "1") for n in range(300)])
    wanted = [f"{n}" for n in range(count)]
    clause, params = among("name", [*wanted, *wanted[:3]])
    rows = await any_database.fetch_all(f"SELECT name FROM settings WHERE {clause}", params)
    assert sorted(row[0] for row in rows) == sorted(wanted)


def test_the_sqlite_here_is_new_enough() -> None:
    assert sqlite3.sqlite_version_info >= (3, 38)
