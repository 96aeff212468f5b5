"""Tables of people: accounts, sessions, tokens, applications."""

from dataclasses import replace

from fedidoc.model import Account, Role, Specialty, Standing
from fedidoc.storage import applications, people
from fedidoc.storage.engine import Database

ANNA = Account(
    id="account1",
    actor_id="actor1",
    username="anna",
    role=Role.PHYSICIAN,
    specialty=Specialty("207RC0000X", "Cardiovascular Disease"),
    standing=Standing.NEW,
    admin=False,
    created=5,
)


async def put(database: Database, account: Account = ANNA, *, email: str = "mac1") -> bool:
    async with database.transaction() as tx:
        return await people.insert_account(
            tx, account, email_sealed=b"\x00sealed\xff", email_mac=email, password_hash="hash1"
        )


async def test_an_account_comes_back_as_it_was_stored(any_database: Database) -> None:
    assert await put(any_database)
    assert await people.account(any_database, "account1") == ANNA
    assert await people.account_by_username(any_database, "anna") == ANNA
    assert await people.account_by_actor(any_database, "actor1") == ANNA
    assert await people.email_sealed(any_database, "account1") == b"\x00sealed\xff"
    for login in (
        await people.login(any_database, username="anna"),
        await people.login(any_database, email_mac="mac1"),
    ):
        assert login == people.Login(ANNA, "hash1")
    for nobody in ("", "Anna", "account1"):
        assert await people.account_by_username(any_database, nobody) is None
        assert await people.login(any_database, username=nobody) is None


async def test_username_and_address_are_given_once(any_database: Database) -> None:
    assert await put(any_database)
    other = replace(ANNA, id="account2", actor_id="actor2")
    assert not await put(any_database, other, email="mac2")
    assert not await put(any_database, replace(other, username="bert"))
    assert await put(any_database, replace(other, username="bert"), email="mac2")
    assert await people.taken(any_database, "anna", "x")
    assert await people.taken(any_database, "x", "mac2")
    assert not await people.taken(any_database, "x", "x")


async def test_standing_moves_only_from_where_it_was_seen(any_database: Database) -> None:
    await put(any_database)
    async with any_database.transaction() as tx:
        seen = [Standing.NEW, Standing.REFUSED]
        assert await people.move_standing(tx, "account1", seen, Standing.APPLIED)
        assert not await people.move_standing(tx, "account1", seen, Standing.APPLIED)
        assert not await people.move_standing(tx, "account1", [], Standing.NEW)
        assert await people.suspend(tx, "account1")
        assert not await people.suspend(tx, "account1")
        # Suspended twice would forget where the account stood.
        assert await people.restore(tx, "account1") is Standing.APPLIED
        assert await people.restore(tx, "account1") is None


async def test_a_password_is_replaced_only_if_it_is_the_one_that_was_checked(
    any_database: Database,
) -> None:
    await put(any_database)
    async with any_database.transaction() as tx:
        assert not await people.replace_password(tx, "account1", "older", "hash2")
        assert await people.replace_password(tx, "account1", "hash1", "hash2")
        assert not await people.replace_password(tx, "account1", "hash1", "hash3")


async def test_sessions_and_tokens(any_database: Database) -> None:
    await put(any_database)
    async with any_database.transaction() as tx:
        await people.put_session(tx, "mac-a", "account1", "csrf-a", 10, 20)
        await people.put_session(tx, "mac-b", "account1", "csrf-b", 10, 30)
        await people.put_token(tx, "mac-t", "account1", "script", 10)
    assert await people.session(any_database, "mac-a", 19) == (ANNA, "csrf-a")
    assert await people.session(any_database, "mac-a", 20) is None
    assert await people.session(any_database, "mac-t", 10) is None
    assert await people.account_by_token(any_database, "mac-t") == ANNA
    assert await people.account_by_token(any_database, "mac-a") is None
    async with any_database.transaction() as tx:
        assert await people.delete_expired_sessions(tx, 20) == 1
        assert await people.delete_sessions(tx, "account1") == 1
        assert await people.revoke_tokens(tx, "account1", 40) == 1
        assert await people.revoke_tokens(tx, "account1", 41) == 0
    assert await people.account_by_token(any_database, "mac-t") is None


async def test_applications_compare_and_set(any_database: Database) -> None:
    await put(any_database)
    claim: applications.ClaimColumns = {
        "profession": Role.RESIDENT,
        "specialty": None,
        "jurisdiction": "US-NY",
        "claim_sealed": b"\x00\xff",
        "npi_mac": "npi",
        "licence_mac": None,
    }
    async with any_database.transaction() as tx:
        await applications.insert(
            tx, id="one", account_id="account1", state="applied", now=7, **claim
        )
    found = await applications.get(any_database, "one")
    assert found is not None
    assert (found.account, found.claim_sealed, found.specialty) == (ANNA, b"\x00\xff", None)
    assert (found.profession, found.decided, found.decider) == (Role.RESIDENT, None, None)
    async with any_database.transaction() as tx:
        move = applications.move
        assert await move(tx, "one", ["applied"], "refused", at=9, by="account1", reason="no")
        assert not await move(tx, "one", ["applied"], "approved", at=9, by="x", reason=None)
    found = await applications.current(any_database, "account1")
    assert found is not None
    assert (found.state, found.reason, found.decided) == ("refused", "no", 9)
    assert (found.decided_by, found.decider) == ("account1", "anna")
    assert await applications.with_npi(any_database, "npi", besides="account1") == []
    assert [a.id for a in await applications.with_npi(any_database, "npi", besides="x")] == ["one"]
    assert await applications.count(any_database, ["refused"]) == 1
    assert await applications.count(any_database, []) == 0
