"""Logins of an identity provider, the sessions that began there, and what is good once.

`_mac` columns are keyed digests: neither the provider's name for somebody nor a session's id is
stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedidoc.storage.statements import Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class Login:
    """An account's login at the provider. `gave_admin`: the provider made it an admin."""

    id: str
    account_id: str
    linked: int
    used: int
    gave_admin: bool


_LOGIN = "id, account_id, linked, used, gave_admin"


def _login_of(row: Row | None) -> Login | None:
    if row is None:
        return None
    return Login(row["id"], row["account_id"], row["linked"], row["used"], bool(row["gave_admin"]))


async def by_subject(reader: Reader, subject_mac: str) -> Login | None:
    return _login_of(
        await reader.fetch_one(f"SELECT {_LOGIN} FROM logins WHERE subject_mac = ?", (subject_mac,))
    )


async def by_account(reader: Reader, account_id: str) -> Login | None:
    return _login_of(
        await reader.fetch_one(f"SELECT {_LOGIN} FROM logins WHERE account_id = ?", (account_id,))
    )


async def insert(tx: Transaction, id: str, account_id: str, subject_mac: str, now: int) -> bool:
    """False if the account has a login or the login has an account already."""
    rows = await tx.insert_many(
        "logins",
        ("id", "account_id", "subject_mac", "linked", "used"),
        [(id, account_id, subject_mac, now, now)],
        conflict="ON CONFLICT DO NOTHING",
        returning="id",
    )
    return bool(rows)


async def delete(tx: Transaction, login_id: str) -> None:
    """Take a login away, and end the sessions that began with it."""
    await end_sessions(tx, login_id=login_id)
    await tx.execute("DELETE FROM logins WHERE id = ?", (login_id,))


async def use(tx: Transaction, login_id: str, now: int, *, gave_admin: bool) -> None:
    await tx.execute(
        "UPDATE logins SET used = ?, gave_admin = ? WHERE id = ?", (now, int(gave_admin), login_id)
    )


async def count_admins(reader: Reader) -> int:
    """How many accounts may decide on others and are not suspended."""
    found: int = await reader.fetch_value(
        "SELECT COUNT(*) FROM accounts WHERE admin = 1 AND standing <> 'suspended'"
    )
    return found


# Sessions ---------------------------------------------------------------------------------------


async def mark_session(
    tx: Transaction, token_mac: str, login_id: str, sid_mac: str | None, hint_sealed: bytes
) -> None:
    """Remember of a session that it began at the provider."""
    await tx.execute(
        "UPDATE sessions SET login_id = ?, sid_mac = ?, hint_sealed = ? WHERE token_mac = ?",
        (login_id, sid_mac, hint_sealed, token_mac),
    )


async def hint(reader: Reader, token_mac: str) -> bytes | None:
    """What the provider wants to see again when this session ends; None if it began elsewhere."""
    found = await reader.fetch_value(
        "SELECT hint_sealed FROM sessions WHERE token_mac = ?", (token_mac,)
    )
    return None if found is None else bytes(found)


async def end_sessions(tx: Transaction, *, login_id: str = "", sid_mac: str = "") -> int:
    """End the sessions of a login, or those of one session at the provider; how many."""
    if sid_mac:
        return await tx.execute("DELETE FROM sessions WHERE sid_mac = ?", (sid_mac,))
    return await tx.execute("DELETE FROM sessions WHERE login_id = ?", (login_id,))


# Good once --------------------------------------------------------------------------------------


async def spend(tx: Transaction, mac: str, expires: int) -> bool:
    """Use something up; False if somebody did before."""
    rows = await tx.insert_many(
        "spent", ("mac", "expires"), [(mac, expires)],
        conflict="ON CONFLICT DO NOTHING", returning="mac",
    )  # fmt: skip
    return bool(rows)


async def put_pass(
    tx: Transaction, token_mac: str, account_id: str, purpose: str, expires: int
) -> None:
    """A new pass; an account has one of each purpose, so an earlier one is void."""
    await tx.execute(
        "DELETE FROM passes WHERE account_id = ? AND purpose = ?", (account_id, purpose)
    )
    await tx.insert_many(
        "passes",
        ("token_mac", "account_id", "purpose", "expires"),
        [(token_mac, account_id, purpose, expires)],
    )


async def see_pass(reader: Reader, token_mac: str, now: int) -> tuple[str, str] | None:
    """(account id, purpose) of a pass that is good."""
    row = await reader.fetch_one(
        "SELECT account_id, purpose FROM passes WHERE token_mac = ? AND expires > ?",
        (token_mac, now),
    )
    return (row["account_id"], row["purpose"]) if row else None


async def take_pass(tx: Transaction, token_mac: str, now: int) -> tuple[str, str] | None:
    """The same, and it is good no longer."""
    rows = await tx.fetch_all(
        "DELETE FROM passes WHERE token_mac = ? AND expires > ? RETURNING account_id, purpose",
        (token_mac, now),
    )
    return (rows[0]["account_id"], rows[0]["purpose"]) if rows else None


async def forget_expired(tx: Transaction, now: int) -> None:
    """Forget what has run out by itself."""
    await tx.execute("DELETE FROM spent WHERE expires <= ?", (now,))
    await tx.execute("DELETE FROM passes WHERE expires <= ?", (now,))
