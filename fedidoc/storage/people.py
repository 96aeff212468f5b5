"""People: who may log in, what they claimed to be, and what was seen of them.

Columns whose names end in `_sealed` open only with the instance's key; `_mac` columns are keyed
digests to look a value up by. Nothing here is ever joined to a pseudonym.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fedidoc.model import Account, Right, Role, Specialty, Standing
from fedidoc.storage.statements import Reader, Row, Transaction, among

# Accounts -------------------------------------------------------------------------------------

ACCOUNT = (
    "accounts.id, accounts.actor_id, accounts.username, accounts.role, accounts.specialty,"
    " accounts.standing, accounts.admin, accounts.created, accounts.level, accounts.rights"
)


def account_of(row: Row) -> Account:
    """An account from a row that has the columns of `ACCOUNT`."""
    return Account(
        id=row["id"],
        actor_id=row["actor_id"],
        username=row["username"],
        role=Role(row["role"]),
        specialty=read_specialty(row["specialty"]),
        standing=Standing(row["standing"]),
        admin=bool(row["admin"]),
        created=row["created"],
        level=row["level"],
        rights=frozenset(Right(right) for right in row["rights"].split()),
    )


def read_specialty(text: str | None) -> Specialty | None:
    """A specialty as it is stored: its code, a blank, its label."""
    if text is None:
        return None
    code, _, label = text.partition(" ")
    return Specialty(code, label)


def specialty_text(specialty: Specialty | None) -> str | None:
    return f"{specialty.code} {specialty.label}" if specialty else None


async def insert_account(
    tx: Transaction, account: Account, *, email_sealed: bytes, email_mac: str, password_hash: str
) -> bool:
    """False if the username or the e-mail address has an account already."""
    rows = await tx.insert_many(
        "accounts",
        ("id", "actor_id", "username", "email_sealed", "email_mac", "password_hash", "role",
         "specialty", "standing", "admin", "created"),
        [(account.id, account.actor_id, account.username, email_sealed, email_mac, password_hash,
          account.role.value, specialty_text(account.specialty), account.standing.value,
          int(account.admin), account.created)],
        conflict="ON CONFLICT DO NOTHING",
        returning="id",
    )  # fmt: skip
    return bool(rows)


async def taken(reader: Reader, username: str, email_mac: str) -> bool:
    """Whether an account has the username or the e-mail address."""
    return (
        await reader.fetch_value(
            "SELECT 1 FROM accounts WHERE username = ? OR email_mac = ?", (username, email_mac)
        )
        is not None
    )


async def account(reader: Reader, account_id: str) -> Account | None:
    return await _account_where(reader, "id", account_id)


async def account_by_username(reader: Reader, username: str) -> Account | None:
    """`username` in lower case."""
    return await _account_where(reader, "username", username)


async def account_by_actor(reader: Reader, actor_id: str) -> Account | None:
    return await _account_where(reader, "actor_id", actor_id)


async def _account_where(reader: Reader, column: str, value: str) -> Account | None:
    row = await reader.fetch_one(f"SELECT {ACCOUNT} FROM accounts WHERE {column} = ?", (value,))
    return account_of(row) if row else None


@dataclass(frozen=True, slots=True)
class Login:
    """An account with the hash that its password must fit."""

    account: Account
    password_hash: str


async def login(reader: Reader, *, username: str = "", email_mac: str = "") -> Login | None:
    """By username, or by e-mail address if that is given."""
    column, value = ("email_mac", email_mac) if email_mac else ("username", username)
    row = await reader.fetch_one(
        f"SELECT {ACCOUNT}, accounts.password_hash FROM accounts WHERE {column} = ?", (value,)
    )
    return Login(account_of(row), row["password_hash"]) if row else None


async def email_sealed(reader: Reader, account_id: str) -> bytes | None:
    found = await reader.fetch_value(
        "SELECT email_sealed FROM accounts WHERE id = ?", (account_id,)
    )
    return None if found is None else bytes(found)


async def replace_password(tx: Transaction, account_id: str, old: str, new: str) -> bool:
    """Set a new hash if the old one still stands; False if somebody was quicker."""
    changed = await tx.execute(
        "UPDATE accounts SET password_hash = ? WHERE id = ? AND password_hash = ?",
        (new, account_id, old),
    )
    return changed == 1


async def move_standing(
    tx: Transaction, account_id: str, before: Collection[Standing], after: Standing
) -> bool:
    """From one of `before` to `after`; False if the account stood elsewhere. Never to or from
    suspension: see `suspend` and `restore`."""
    where, params = among("standing", [s.value for s in before])
    changed = await tx.execute(
        f"UPDATE accounts SET standing = ? WHERE id = ? AND {where}",
        (after.value, account_id, *params),
    )
    return changed == 1


async def suspend(tx: Transaction, account_id: str) -> bool:
    """False if it was suspended already."""
    changed = await tx.execute(
        "UPDATE accounts SET suspended_from = standing, standing = ? WHERE id = ?"
        " AND standing <> ?",
        (Standing.SUSPENDED.value, account_id, Standing.SUSPENDED.value),
    )
    return changed == 1


async def restore(tx: Transaction, account_id: str) -> Standing | None:
    """Back to where it stood before it was suspended; None if it was not suspended."""
    rows = await tx.fetch_all(
        "UPDATE accounts SET standing = suspended_from, suspended_from = NULL WHERE id = ?"
        " AND standing = ? RETURNING standing",
        (account_id, Standing.SUSPENDED.value),
    )
    return Standing(rows[0]["standing"]) if rows else None


async def set_role(
    tx: Transaction, account_id: str, role: Role, specialty: Specialty | None
) -> None:
    await tx.execute(
        "UPDATE accounts SET role = ?, specialty = ? WHERE id = ?",
        (role.value, specialty_text(specialty), account_id),
    )


async def set_level(
    tx: Transaction, account_id: str, level: str | None, rights: Collection[Right]
) -> None:
    """The level that was given, by its name in the configuration, and what it allows."""
    await tx.execute(
        "UPDATE accounts SET level = ?, rights = ? WHERE id = ?",
        (level, " ".join(sorted(rights)), account_id),
    )


async def verified_accounts(reader: Reader, *, after: str, limit: int) -> list[Account]:
    """Verified accounts by id, those behind `after`."""
    rows = await reader.fetch_all(
        f"SELECT {ACCOUNT} FROM accounts WHERE standing = ? AND id > ? ORDER BY id LIMIT ?",
        (Standing.VERIFIED.value, after, limit),
    )
    return [account_of(row) for row in rows]


async def set_admin(tx: Transaction, account_id: str, admin: bool) -> None:
    await tx.execute("UPDATE accounts SET admin = ? WHERE id = ?", (int(admin), account_id))


async def list_accounts(reader: Reader, *, after: str, limit: int) -> list[Account]:
    """By username, those behind `after`."""
    rows = await reader.fetch_all(
        f"SELECT {ACCOUNT} FROM accounts WHERE username > ? ORDER BY username LIMIT ?",
        (after, limit),
    )
    return [account_of(row) for row in rows]


async def usernames(reader: Reader, account_ids: Collection[str]) -> dict[str, str]:
    """Usernames by account id; those that are no accounts are left out."""
    where, params = among("id", account_ids)
    rows = await reader.fetch_all(f"SELECT id, username FROM accounts WHERE {where}", params)
    return {row["id"]: row["username"] for row in rows}


async def count_accounts(reader: Reader) -> int:
    return int(await reader.fetch_value("SELECT COUNT(*) FROM accounts"))


# Sessions and tokens: only a keyed digest of either is stored ------------------------------------


async def put_session(
    tx: Transaction, token_mac: str, account_id: str, csrf: str, created: int, expires: int
) -> None:
    await tx.insert_many(
        "sessions",
        ("token_mac", "account_id", "csrf", "created", "expires"),
        [(token_mac, account_id, csrf, created, expires)],
    )


async def session(reader: Reader, token_mac: str, now: int) -> tuple[Account, str] | None:
    """The account and the CSRF token of a session that has not expired."""
    row = await reader.fetch_one(
        f"SELECT {ACCOUNT}, sessions.csrf FROM sessions"
        " JOIN accounts ON accounts.id = sessions.account_id"
        " WHERE sessions.token_mac = ? AND sessions.expires > ?",
        (token_mac, now),
    )
    return (account_of(row), row["csrf"]) if row else None


async def delete_session(tx: Transaction, token_mac: str) -> None:
    await tx.execute("DELETE FROM sessions WHERE token_mac = ?", (token_mac,))


async def delete_sessions(tx: Transaction, account_id: str) -> int:
    """End every session of an account; how many there were."""
    return await tx.execute("DELETE FROM sessions WHERE account_id = ?", (account_id,))


async def sessions(reader: Reader, account_id: str, now: int) -> list[Row]:
    """token_mac, created and expires of an account's sessions that hold, newest first."""
    return await reader.fetch_all(
        "SELECT token_mac, created, expires FROM sessions WHERE account_id = ? AND expires > ?"
        " ORDER BY created DESC, token_mac",
        (account_id, now),
    )


async def delete_other_sessions(tx: Transaction, account_id: str, token_mac: str) -> int:
    """End every session of an account but one; how many there were."""
    return await tx.execute(
        "DELETE FROM sessions WHERE account_id = ? AND token_mac <> ?", (account_id, token_mac)
    )


async def delete_expired_sessions(tx: Transaction, now: int) -> int:
    return await tx.execute("DELETE FROM sessions WHERE expires <= ?", (now,))


async def put_token(tx: Transaction, token_mac: str, account_id: str, name: str, now: int) -> None:
    await tx.insert_many(
        "tokens",
        ("token_mac", "account_id", "name", "created"),
        [(token_mac, account_id, name, now)],
    )


async def account_by_token(reader: Reader, token_mac: str) -> Account | None:
    row = await reader.fetch_one(
        f"SELECT {ACCOUNT} FROM tokens JOIN accounts ON accounts.id = tokens.account_id"
        " WHERE tokens.token_mac = ? AND tokens.revoked IS NULL",
        (token_mac,),
    )
    return account_of(row) if row else None


async def revoke_tokens(tx: Transaction, account_id: str, now: int) -> int:
    """Revoke every token of an account; how many there were."""
    return await tx.execute(
        "UPDATE tokens SET revoked = ? WHERE account_id = ? AND revoked IS NULL", (now, account_id)
    )
