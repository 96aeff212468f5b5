import asyncio
import dataclasses
from dataclasses import replace

import pytest
from argon2 import PasswordHasher

from fedidoc.clock import DAY, HOUR, MINUTE
from fedidoc.config import Config, Instance, Membership
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound, NotSignedIn, TooMany
from fedidoc.model import Role, Standing
from fedidoc.storage import actors, keys
from tests.house import ADDRESS, CARDIOLOGY, PASSWORD, QUICK, House, instance_keys


async def test_signing_up_makes_an_account_and_its_actor(any_house: House) -> None:
    house = any_house
    account = await house.sign_up(" @Anna_B ", email="Anna@Mail.Example", name="  Anna\tBerg ")
    assert (account.username, account.standing, account.admin) == ("anna_b", Standing.NEW, False)
    assert account.specialty == CARDIOLOGY
    assert await house.accounts.show("ANNA_B") == account
    assert await house.accounts.email(account.id) == "Anna@Mail.Example"
    actor = await house.actor(account)
    assert (actor.uri, actor.name, actor.local) == (
        "https://st-olaf.example/users/anna_b", "Anna Berg", True,
    )  # fmt: skip
    assert not actor.badge.verified
    assert set(await keys.keys_of(house.db, actor.id)) == {keys.KeyUse.RSA, keys.KeyUse.ED25519}


async def test_nothing_personal_or_secret_is_stored_readably(house: House) -> None:
    account = await house.sign_up("anna", email="anna.secret@mail.example")
    signed_in = await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    token = await house.accounts.create_token("anna", by="operator")
    stored = await house.everything_stored()
    assert account.username in stored
    for secret in ("anna.secret", PASSWORD, signed_in.token, token, token.removeprefix("fedidoc_")):
        assert secret not in stored


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": "a"}, "username"),
        ({"username": "a" * 31}, "username"),
        ({"username": "anna-b"}, "username"),
        ({"username": "ann\u00e4"}, "username"),
        ({"username": "anna\nb"}, "username"),
        ({"username": "\u0391nna"}, "username"),
        ({"username": "Admin"}, "username"),
        ({"username": "inbox"}, "username"),
        ({"username": "support"}, "username"),
        ({"email": "anna"}, "email"),
        ({"email": "anna@@mail.example"}, "email"),
        ({"email": "anna@mail.example\nbcc: x@y.example"}, "email"),
        ({"email": "a" * 65 + "@mail.example"}, "email"),
        ({"email": "anna@" + "m" * 260}, "email"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "Anna \u202e gnuoY"}, "name"),
        ({"password": "short"}, "password"),
        ({"password": "anna@mail.example"}, "password"),
        ({"password": "st-olaf.example"}, "password"),
        ({"role": Role.STAFF}, "role"),
        ({"role": Role.STUDENT}, "role"),
    ],
)
async def test_the_field_that_is_wrong_is_named(
    house: House, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        await house.sign_up(**{"username": "anna", **changes})  # type: ignore[arg-type]
    assert refusal.value.field == field
    assert await house.accounts.count() == 0


async def test_a_one_word_host_is_reserved_for_the_instance(house: House) -> None:
    accounts = house.make_accounts(QUICK, Config(Instance("localhost:8400")))
    with pytest.raises(BadInput, match="reserved"):
        await accounts.sign_up(
            "localhost", "a@b.example", PASSWORD, "A", Role.PHYSICIAN, None, address=ADDRESS
        )
    accounts.close()


async def test_a_taken_name_and_a_taken_address_get_the_same_answer(any_house: House) -> None:
    house = any_house
    await house.sign_up("anna", email="anna@mail.example")
    answers = []
    for username, email in (("ANNA", "new@mail.example"), ("new", "ANNA@mail.example")):
        with pytest.raises(BadInput) as refusal:
            await house.sign_up(username, email=email)
        answers.append((refusal.value.text, refusal.value.field))
    assert answers[0] == answers[1]
    assert await house.accounts.count() == 1
    assert await actors.local_by_username(house.db, "new") is None


async def test_of_two_who_want_a_name_at_once_one_gets_it(
    any_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = any_house
    # Keys are made in unequal times; here all arrive together.
    monkeypatch.setattr(keys, "generate_keys", instance_keys)
    results = await asyncio.gather(
        *(
            house.accounts.sign_up(
                "anna", f"{n}@mail.example", PASSWORD, "Anna", Role.PHYSICIAN, None,
                address=f"192.0.2.{n}",
            )
            for n in range(4)
        ),
        return_exceptions=True,
    )  # fmt: skip
    assert sum(isinstance(result, BadInput) for result in results) == 3
    assert await house.accounts.count() == 1


async def test_sign_up_may_be_closed_and_is_slowed_down_per_caller(house: House) -> None:
    closed = house.make_accounts(QUICK, replace(house.config, membership=Membership(open=False)))
    with pytest.raises(Forbidden, match="closed"):
        await closed.sign_up(
            "anna", "a@b.example", PASSWORD, "A", Role.PHYSICIAN, None, address=ADDRESS
        )
    closed.close()
    refused = 0
    for n in range(8):
        try:
            await house.accounts.sign_up(
                f"anna{n}", f"{n}@b.example", PASSWORD, "A", Role.PHYSICIAN, None,
                address=f"2001:db8::{n}",
            )  # fmt: skip
        except TooMany:
            refused += 1
    assert refused == 3


async def test_logging_in_by_name_and_by_address(house: House) -> None:
    account = await house.sign_up("anna")
    for name in ("anna", " ANNA ", "@anna", "anna@mail.example", "Anna@MAIL.example"):
        signed_in = await house.accounts.log_in(name, PASSWORD, address=ADDRESS)
        assert signed_in.account == account
        session = await house.accounts.session(signed_in.token)
        assert session is not None
        assert (session.account, session.csrf) == (account, signed_in.csrf)
        bits, _, mark = signed_in.token.rpartition(".")
        assert len(bits) == len(signed_in.csrf) == 43 and len(mark) == 32


async def test_every_login_has_a_token_of_its_own_and_ends_the_one_before(house: House) -> None:
    await house.sign_up("anna")
    first = await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    chosen_by_an_attacker = "A" * 43
    second = await house.accounts.log_in(
        "anna", PASSWORD, address=ADDRESS, previous=chosen_by_an_attacker
    )
    assert second.token not in (first.token, chosen_by_an_attacker)
    assert await house.accounts.session(chosen_by_an_attacker) is None
    assert await house.accounts.session(first.token) is not None
    third = await house.accounts.log_in("anna", PASSWORD, address=ADDRESS, previous=second.token)
    assert await house.accounts.session(second.token) is None
    assert third.csrf != second.csrf


async def test_sessions_end(house: House) -> None:
    await house.sign_up("anna")
    signed_in = await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    await house.accounts.log_out(signed_in.token)
    await house.accounts.log_out(signed_in.token)
    assert await house.accounts.session(signed_in.token) is None
    signed_in = await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    house.clock.advance(14 * DAY - 1)
    assert await house.accounts.session(signed_in.token) is not None
    house.clock.advance(1)
    assert await house.accounts.session(signed_in.token) is None
    await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    assert await house.db.fetch_value("SELECT COUNT(*) FROM sessions") == 1


@pytest.mark.parametrize(
    "name", ["nobody", "anna", "nobody@mail.example", "", "\ud800", "an\0na", "a" * 9000]
)
async def test_an_unknown_name_and_a_wrong_password_look_the_same(house: House, name: str) -> None:
    await house.sign_up("anna")
    with pytest.raises(NotSignedIn) as refusal:
        await house.accounts.log_in(name, "a wrong password", address=ADDRESS)
    assert refusal.value.text == "The name or the password is not right; check both and try again."


async def test_an_unknown_name_costs_a_hash_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.sign_up("anna")
    checked: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            checked.append(str(hash).rpartition("$")[0].rpartition("$")[0])
            return super().verify(hash, password)

    accounts = house.make_accounts(Counting(time_cost=1, memory_cost=64, parallelism=1))
    for name in ("anna", "nobody"):
        with pytest.raises(NotSignedIn):
            await accounts.log_in(name, "a wrong password", address=ADDRESS)
    assert len(checked) == 2
    assert checked[0] == checked[1], "made with other parameters"
    accounts.close()


async def test_guessing_is_slowed_down_per_account_and_the_member_gets_in_again(
    house: House,
) -> None:
    await house.sign_up("anna")
    for n in range(10):
        with pytest.raises(NotSignedIn):
            await house.accounts.log_in("anna", f"wrong guess {n}", address=f"192.0.2.{n}")
    # Unknown names have the same limit, so that it does not tell either.
    for n in range(10):
        with pytest.raises(NotSignedIn):
            await house.accounts.log_in("nobody", "wrong guess", address=f"192.0.2.{n}")
    for name in ("anna", "nobody"):
        with pytest.raises(TooMany) as refusal:
            await house.accounts.log_in(name, PASSWORD, address="192.0.2.77")
        assert 0 < refusal.value.retry_after <= 61
    house.clock.advance(MINUTE)
    await house.accounts.log_in("anna", PASSWORD, address="192.0.2.77")


async def test_guessing_is_slowed_down_per_caller(house: House) -> None:
    await house.sign_up("anna")
    for n in range(30):
        with pytest.raises(NotSignedIn):
            await house.accounts.log_in(f"name{n}", "wrong guess", address="2001:db8::1")
    with pytest.raises(TooMany):
        await house.accounts.log_in("anna", PASSWORD, address="2001:db8::2")
    await house.accounts.log_in("anna", PASSWORD, address="192.0.2.1")


async def test_guesses_sent_at_once_are_counted_too(house: House) -> None:
    await house.sign_up("anna")
    results = await asyncio.gather(
        *(house.accounts.log_in("anna", "wrong guess", address=f"192.0.2.{n}") for n in range(40)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, NotSignedIn) for result in results) == 10
    assert sum(isinstance(result, TooMany) for result in results) == 30


async def test_right_passwords_are_not_counted(house: House) -> None:
    await house.sign_up("anna")
    for _ in range(40):
        await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)


async def test_a_hash_of_older_parameters_is_made_anew(house: House) -> None:
    await house.sign_up("anna")
    before = await house.db.fetch_value("SELECT password_hash FROM accounts")
    stronger = house.make_accounts(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    with pytest.raises(NotSignedIn):
        await stronger.log_in("anna", "wrong guess", address=ADDRESS)
    assert await house.db.fetch_value("SELECT password_hash FROM accounts") == before
    await stronger.log_in("anna", PASSWORD, address=ADDRESS)
    after = await house.db.fetch_value("SELECT password_hash FROM accounts")
    assert "t=1" in before and "t=2" in after
    await stronger.log_in("anna", PASSWORD, address=ADDRESS)
    stronger.close()


async def test_changing_the_password_ends_every_session_and_token(house: House) -> None:
    account = await house.sign_up("anna")
    old = await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    token = await house.accounts.create_token("anna", by="operator")
    change = house.accounts.change_password
    with pytest.raises(BadInput) as refusal:
        await change(account, "not the password", "a newer sentence", address=ADDRESS)
    assert refusal.value.field == "old_password"
    with pytest.raises(BadInput) as refusal:
        await change(account, PASSWORD, "short", address=ADDRESS)
    assert refusal.value.field == "new_password"
    assert await house.accounts.session(old.token) is not None
    fresh = await change(account, PASSWORD, "a newer sentence", address=ADDRESS)
    assert await house.accounts.session(old.token) is None
    assert await house.accounts.token(token) is None
    assert await house.accounts.session(fresh.token) is not None
    with pytest.raises(NotSignedIn):
        await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    await house.accounts.log_in("anna", "a newer sentence", address=ADDRESS)


async def test_api_tokens(house: House) -> None:
    account = await house.sign_up("anna")
    token = await house.accounts.create_token("Anna", name="script", by="operator")
    assert await house.accounts.token(token) == account
    assert await house.accounts.token(token[:-1]) is None
    for nobodys in ("", "\ud800", "\0", "\u00e9" * 50):
        assert await house.accounts.token(nobodys) is None
        assert await house.accounts.session(nobodys) is None
    # A token opens no session and a session's cookie is no token.
    assert await house.accounts.session(token) is None
    signed_in = await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    assert await house.accounts.token(signed_in.token) is None
    assert ("operator", "token_created", account.id) in await house.audit()
    with pytest.raises(NotFound):
        await house.accounts.create_token("nobody", by="operator")


async def test_a_member_that_the_operator_adds(house: House) -> None:
    closed = house.make_accounts(QUICK, replace(house.config, membership=Membership(open=False)))
    account, password = await closed.add_member(
        "rita", "rita@mail.example", "Rita", Role.STAFF, None, admin=True, by="operator"
    )
    assert account.admin and account.role is Role.STAFF
    signed_in = await closed.log_in("rita", password, address=ADDRESS)
    assert signed_in.account == account
    assert ("operator", "member_added", account.id) in await house.audit()
    _, chosen = await closed.add_member(
        "otto", "otto@mail.example", "Otto", Role.STAFF, None, password=PASSWORD, by="operator"
    )
    assert chosen == PASSWORD
    with pytest.raises(BadInput):
        await closed.add_member("rita", "x@mail.example", "R", Role.STAFF, None, by="operator")
    closed.close()


async def test_members_are_listed_in_pages(house: House) -> None:
    for username in ("cora", "anna", "bert"):
        await house.sign_up(username)
    page = await house.accounts.list(limit=2)
    assert [a.username for a in page.items] == ["anna", "bert"] and page.older == "bert"
    page = await house.accounts.list(after="bert", limit=2)
    assert [a.username for a in page.items] == ["cora"] and page.older is None


async def test_suspension_ends_everything_and_restoring_brings_the_standing_back(
    any_house: House,
) -> None:
    house = any_house
    account = await house.verified("anna")
    signed_in = await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    token = await house.accounts.create_token("anna", by="operator")
    until = (await house.actor(account)).badge.valid_until
    suspended = await house.accounts.suspend("anna", reason="lost \0licence\ud800", by="operator")
    assert suspended.standing is Standing.SUSPENDED
    assert await house.accounts.session(signed_in.token) is None
    assert await house.accounts.token(token) is None
    actor = await house.actor(account)
    assert actor.suspended == house.clock.now() and not actor.badge.verified
    with pytest.raises(Forbidden, match="suspended"):
        await house.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    with pytest.raises(NotSignedIn):
        await house.accounts.log_in("anna", "a wrong password", address=ADDRESS)
    with pytest.raises(Conflict):
        await house.accounts.create_token("anna", by="operator")
    with pytest.raises(Conflict, match="already"):
        await house.accounts.suspend("anna", reason="again", by="operator")
    assert ("operator", "member_suspended", account.id) in await house.audit()
    told = len(await house.events())

    house.clock.advance(HOUR)
    restored = await house.accounts.restore("anna", by="operator")
    assert restored.standing is Standing.VERIFIED
    actor = await house.actor(account)
    assert actor.suspended is None and actor.badge.verified
    assert actor.badge.valid_until == until, "a suspension does not lengthen a credential"
    assert len(await house.events()) == told + 1
    assert await house.accounts.token(token) is None, "tokens stay revoked"
    with pytest.raises(Conflict, match="not suspended"):
        await house.accounts.restore("anna", by="operator")


async def test_restoring_after_the_credential_ran_out_asks_for_a_new_application(
    house: House,
) -> None:
    account = await house.verified("anna")
    await house.accounts.suspend("anna", reason="away", by="operator")
    house.clock.advance(366 * DAY)
    restored = await house.accounts.restore("anna", by="operator")
    assert restored.standing is Standing.NEW
    assert not (await house.actor(account)).badge.verified


async def test_suspending_somebody_who_was_never_verified_tells_peers_all_the_same(
    house: House,
) -> None:
    account = await house.sign_up("anna")
    await house.accounts.suspend("anna", reason="spam", by="operator")
    assert await house.events() == [("actor_updated", account.actor_id)]
    restored = await house.accounts.restore("anna", by="operator")
    assert restored == dataclasses.replace(account, standing=Standing.NEW)
