"""Pseudonyms: accounts of their own, with no way to an account of a person.

No function here takes or gives an account's id, and no table that it writes has a column for one.
Times are days (UTC milliseconds at midnight) or years. The link is in `pseudonym_records`, sealed
to the officers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fedidoc.model import Role, Specialty
from fedidoc.storage.people import read_specialty, specialty_text
from fedidoc.storage.statements import Reader, Row, Transaction


class PseudonymStanding(StrEnum):
    STANDING = "standing"
    MUTED = "muted"  # reads, and does not write
    SUSPENDED = "suspended"  # for the enrolment year


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """A pseudonym as it logs in. `year` is the last enrolment year that it was paid for."""

    id: str
    actor_id: str
    handle: str
    profession: Role
    specialty: Specialty | None
    year: int
    standing: PseudonymStanding
    jitter: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """What was enrolled and is not open yet. `body` is what the daily batch needs, as JSON."""

    id: str
    handle: str
    code_digest: str
    passphrase_hash: str
    body: str


_COLUMNS = (
    "pseudonyms.id, pseudonyms.actor_id, pseudonyms.handle, pseudonyms.profession,"
    " pseudonyms.specialty, pseudonyms.year, pseudonyms.standing, pseudonyms.jitter"
)


def _pseudonym_of(row: Row) -> Pseudonym:
    return Pseudonym(
        row["id"],
        row["actor_id"],
        row["handle"],
        Role(row["profession"]),
        read_specialty(row["specialty"]),
        row["year"],
        PseudonymStanding(row["standing"]),
        bool(row["jitter"]),
    )


# Enrolling --------------------------------------------------------------------------------------


async def put_waiting(tx: Transaction, entry: Waiting) -> None:
    await tx.insert_many(
        "pseudonyms_waiting",
        ("id", "handle", "code_digest", "passphrase_hash", "body"),
        [(entry.id, entry.handle, entry.code_digest, entry.passphrase_hash, entry.body)],
    )


async def waiting(reader: Reader) -> list[Waiting]:
    """Everything that waits for the batch, in the order of its random ids."""
    rows = await reader.fetch_all("SELECT * FROM pseudonyms_waiting ORDER BY id")
    return [
        Waiting(r["id"], r["handle"], r["code_digest"], r["passphrase_hash"], r["body"])
        for r in rows
    ]


async def waiting_by_handle(reader: Reader, handle: str) -> Waiting | None:
    row = await reader.fetch_one("SELECT * FROM pseudonyms_waiting WHERE handle = ?", (handle,))
    if row is None:
        return None
    return Waiting(
        row["id"], row["handle"], row["code_digest"], row["passphrase_hash"], row["body"]
    )


async def remove_waiting(tx: Transaction, ids: Sequence[str]) -> None:
    await tx.execute_many("DELETE FROM pseudonyms_waiting WHERE id = ?", [(id,) for id in ids])


async def code_is_spent(reader: Reader, digest: str) -> bool:
    """Whether a code was used, opened already or not."""
    found = await reader.fetch_value(
        "SELECT 1 FROM pseudonym_codes_spent WHERE code_digest = ?"
        " UNION ALL SELECT 1 FROM pseudonyms_waiting WHERE code_digest = ?",
        (digest, digest),
    )
    return found is not None


async def spend_codes(tx: Transaction, digests: Sequence[str], year: int) -> None:
    await tx.insert_many(
        "pseudonym_codes_spent", ("code_digest", "year"), [(digest, year) for digest in digests]
    )


async def handles(reader: Reader) -> list[str]:
    """Those of every pseudonym, open or waiting."""
    rows = await reader.fetch_all(
        "SELECT handle FROM pseudonyms UNION SELECT handle FROM pseudonyms_waiting ORDER BY 1"
    )
    return [row[0] for row in rows]


async def put(tx: Transaction, pseudonym: Pseudonym, passphrase_hash: str) -> None:
    await tx.insert_many(
        "pseudonyms",
        (
            "id", "actor_id", "handle", "passphrase_hash", "profession", "specialty", "year",
            "standing", "jitter",
        ),
        [
            (
                pseudonym.id, pseudonym.actor_id, pseudonym.handle, passphrase_hash,
                pseudonym.profession.value, specialty_text(pseudonym.specialty), pseudonym.year,
                pseudonym.standing.value, int(pseudonym.jitter),
            )
        ],
    )  # fmt: skip


async def mark_actor(tx: Transaction, actor_id: str, icon_url: str) -> None:
    """Say of a local actor that it is a pseudonym: in no directory, with a picture of its key."""
    await tx.execute(
        "UPDATE actors SET pseudonymous = 1, discoverable = 0, icon_url = ?"
        " WHERE id = ? AND local = 1",
        (icon_url, actor_id),
    )


# The account of its own -------------------------------------------------------------------------


async def get(reader: Reader, pseudonym_id: str) -> Pseudonym | None:
    return await _where(reader, "id", pseudonym_id)


async def by_handle(reader: Reader, handle: str) -> Pseudonym | None:
    return await _where(reader, "handle", handle)


async def _where(reader: Reader, column: str, value: str) -> Pseudonym | None:
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM pseudonyms WHERE {column} = ?", (value,))
    return _pseudonym_of(row) if row else None


async def every(reader: Reader) -> list[Pseudonym]:
    """By handle."""
    rows = await reader.fetch_all(f"SELECT {_COLUMNS} FROM pseudonyms ORDER BY handle")
    return [_pseudonym_of(row) for row in rows]


async def passphrase_hash(reader: Reader, pseudonym_id: str) -> str | None:
    found = await reader.fetch_value(
        "SELECT passphrase_hash FROM pseudonyms WHERE id = ?", (pseudonym_id,)
    )
    return None if found is None else str(found)


async def set_passphrase(tx: Transaction, pseudonym_id: str, hash: str) -> None:
    await tx.execute("UPDATE pseudonyms SET passphrase_hash = ? WHERE id = ?", (hash, pseudonym_id))


async def set_standing(tx: Transaction, pseudonym_id: str, standing: PseudonymStanding) -> None:
    await tx.execute(
        "UPDATE pseudonyms SET standing = ? WHERE id = ?", (standing.value, pseudonym_id)
    )


async def set_jitter(tx: Transaction, pseudonym_id: str, jitter: bool) -> None:
    await tx.execute("UPDATE pseudonyms SET jitter = ? WHERE id = ?", (int(jitter), pseudonym_id))


async def set_year(
    tx: Transaction, pseudonym_id: str, year: int, profession: Role, specialty: Specialty | None
) -> None:
    """Paid for another year; what it may show is asked anew."""
    await tx.execute(
        "UPDATE pseudonyms SET year = ?, profession = ?, specialty = ? WHERE id = ?",
        (year, profession.value, specialty_text(specialty), pseudonym_id),
    )


async def put_session(
    tx: Transaction, token_mac: str, pseudonym_id: str, csrf: str, expires: int
) -> None:
    """`expires` is a day: when the session began cannot be told from it."""
    await tx.insert_many(
        "pseudonym_sessions",
        ("token_mac", "pseudonym_id", "csrf", "expires"),
        [(token_mac, pseudonym_id, csrf, expires)],
    )


async def session(reader: Reader, token_mac: str, now: int) -> tuple[Pseudonym, str] | None:
    """The pseudonym and the CSRF token of a session that has not expired."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS}, pseudonym_sessions.csrf FROM pseudonym_sessions"
        " JOIN pseudonyms ON pseudonyms.id = pseudonym_sessions.pseudonym_id"
        " WHERE pseudonym_sessions.token_mac = ? AND pseudonym_sessions.expires > ?",
        (token_mac, now),
    )
    return (_pseudonym_of(row), row["csrf"]) if row else None


async def delete_session(tx: Transaction, token_mac: str) -> None:
    await tx.execute("DELETE FROM pseudonym_sessions WHERE token_mac = ?", (token_mac,))


async def delete_sessions(tx: Transaction, pseudonym_id: str) -> None:
    await tx.execute("DELETE FROM pseudonym_sessions WHERE pseudonym_id = ?", (pseudonym_id,))


async def delete_expired_sessions(tx: Transaction, now: int) -> None:
    await tx.execute("DELETE FROM pseudonym_sessions WHERE expires <= ?", (now,))


async def replace_recovery(tx: Transaction, pseudonym_id: str, macs: Sequence[str]) -> None:
    """New recovery codes in place of all before."""
    await tx.execute("DELETE FROM pseudonym_recovery WHERE pseudonym_id = ?", (pseudonym_id,))
    await tx.insert_many(
        "pseudonym_recovery", ("code_mac", "pseudonym_id"), [(mac, pseudonym_id) for mac in macs]
    )


async def use_recovery(tx: Transaction, pseudonym_id: str, mac: str) -> bool:
    """Use a code up; False if the pseudonym has no such code."""
    used = await tx.execute(
        "DELETE FROM pseudonym_recovery WHERE pseudonym_id = ? AND code_mac = ?",
        (pseudonym_id, mac),
    )
    return used == 1


async def count_recovery(reader: Reader, pseudonym_id: str) -> int:
    return int(
        await reader.fetch_value(
            "SELECT COUNT(*) FROM pseudonym_recovery WHERE pseudonym_id = ?", (pseudonym_id,)
        )
    )


@dataclass(frozen=True, slots=True)
class Passkey:
    """A WebAuthn credential: its id (base64url), COSE public key and signature counter."""

    credential_id: str
    pseudonym_id: str
    public_key: bytes
    sign_count: int


async def put_passkey(tx: Transaction, passkey: Passkey) -> None:
    await tx.insert_many(
        "pseudonym_passkeys",
        ("credential_id", "pseudonym_id", "public_key", "sign_count"),
        [(passkey.credential_id, passkey.pseudonym_id, passkey.public_key, passkey.sign_count)],
    )


async def passkey(reader: Reader, credential_id: str) -> Passkey | None:
    row = await reader.fetch_one(
        "SELECT * FROM pseudonym_passkeys WHERE credential_id = ?", (credential_id,)
    )
    return _passkey_of(row) if row else None


async def passkeys_of(reader: Reader, pseudonym_id: str) -> list[Passkey]:
    rows = await reader.fetch_all(
        "SELECT * FROM pseudonym_passkeys WHERE pseudonym_id = ? ORDER BY credential_id",
        (pseudonym_id,),
    )
    return [_passkey_of(row) for row in rows]


def _passkey_of(row: Row) -> Passkey:
    return Passkey(
        row["credential_id"], row["pseudonym_id"], bytes(row["public_key"]), row["sign_count"]
    )


async def set_sign_count(tx: Transaction, credential_id: str, before: int, after: int) -> bool:
    """False if another log-in with the same passkey was quicker."""
    changed = await tx.execute(
        "UPDATE pseudonym_passkeys SET sign_count = ? WHERE credential_id = ? AND sign_count = ?",
        (after, credential_id, before),
    )
    return changed == 1


async def delete_passkey(tx: Transaction, pseudonym_id: str, credential_id: str) -> None:
    await tx.execute(
        "DELETE FROM pseudonym_passkeys WHERE pseudonym_id = ? AND credential_id = ?",
        (pseudonym_id, credential_id),
    )


async def put_notice(
    tx: Transaction, id: str, pseudonym_id: str, kind: str, words: str, day: int
) -> None:
    await tx.insert_many(
        "pseudonym_notices",
        ("id", "pseudonym_id", "kind", "words", "day"),
        [(id, pseudonym_id, kind, words, day)],
    )


async def notices(reader: Reader, pseudonym_id: str) -> list[tuple[str, str, int]]:
    """(kind, words, day) of what the moderators told it, the newest first."""
    rows = await reader.fetch_all(
        "SELECT kind, words, day FROM pseudonym_notices WHERE pseudonym_id = ?"
        " ORDER BY day DESC, id",
        (pseudonym_id,),
    )
    return [(row["kind"], row["words"], row["day"]) for row in rows]


# The sealed link --------------------------------------------------------------------------------


async def put_record(
    tx: Transaction, record_id: str, pseudonym_id: str, year: int, body: str
) -> None:
    await tx.insert_many(
        "pseudonym_records",
        ("id", "pseudonym_id", "year", "body"),
        [(record_id, pseudonym_id, year, body)],
    )


async def records(reader: Reader, pseudonym_id: str | None = None) -> list[tuple[str, int, str]]:
    """(record id, enrolment year, body) of one pseudonym or of all, the latest year first."""
    where, params = ("WHERE pseudonym_id = ?", (pseudonym_id,)) if pseudonym_id else ("", ())
    rows = await reader.fetch_all(
        f"SELECT id, year, body FROM pseudonym_records {where} ORDER BY year DESC, id", params
    )
    return [(row["id"], row["year"], row["body"]) for row in rows]


async def replace_record(tx: Transaction, record_id: str, before: str, after: str) -> bool:
    """False if the record is not there, or was changed meanwhile."""
    changed = await tx.execute(
        "UPDATE pseudonym_records SET body = ? WHERE id = ? AND body = ?",
        (after, record_id, before),
    )
    return changed == 1


# How many ---------------------------------------------------------------------------------------


async def count(reader: Reader) -> int:
    return int(await reader.fetch_value("SELECT COUNT(*) FROM pseudonyms"))
