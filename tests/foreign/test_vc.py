"""Credentials of ours before another implementation, and theirs before us.

The other one is Digital Bazaar's (npm `@digitalbazaar/vc` with the `eddsa-jcs-2022` cryptosuite and
Bitstring Status Lists). It fetches nothing: contexts and keys are handed to it.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedidoc.clock import DAY, HOUR, Clock, iso
from fedidoc.integrity import decode_multikey, encode_multikey
from fedidoc.verification.checks import CONTEXT, Issuer, check, check_status_list
from fedidoc.verification.credentials import CONTEXT_DOCUMENT
from fedidoc.verification.status import StatusBits
from tests.house import House, house

__all__ = ["house"]

Document = dict[str, Any]
Run = Callable[[Document], Document]


@pytest.fixture
def theirs(credentials_js: tuple[Path, Path]) -> Run:
    """Asks the other implementation."""
    node, home = credentials_js

    def run(asked: Document) -> Document:
        done = subprocess.run(
            [node, "credentials.mjs"], cwd=home, input=json.dumps(asked).encode(),
            capture_output=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        answer: Document = json.loads(done.stdout)
        return answer

    return run


class Ours:
    """A credential and a status list that fedidoc issued, and how they are judged over there."""

    def __init__(self, house: House, run: Run) -> None:
        self.house, self.run = house, run

    async def start(self) -> Ours:
        self.house.clock.at = Clock().now() - HOUR
        self.anna = await self.house.verified("anna")
        self.house.clock.at = Clock().now()
        text = await self.house.db.fetch_value("SELECT document FROM credentials")
        self.credential = json.loads(text)
        self.listed = json.loads(json.dumps(await self.house.credentials.status_list()))
        self.issuer = await self.house.credentials.own_issuer()
        return self

    def there(self, credential: Document | None = None, **changes: Any) -> Document:
        return self.run(
            {
                "do": "check",
                "credential": credential or self.credential,
                "status_list": self.listed,
                "issuer": self.issuer.uri,
                "key_id": self.issuer.key_id,
                "key": encode_multikey(self.issuer.key),
                "documents": {self.house.urls.credential_context: CONTEXT_DOCUMENT},
                **changes,
            }
        )

    def here(self, credential: Document | None = None) -> bool:
        bits = check_status_list(
            json.dumps(self.listed).encode(), uri=self.house.urls.status_list, trusted=self.issuer,
            now=self.house.clock.now(),
        )  # fmt: skip
        return check(
            json.dumps(credential or self.credential).encode(),
            actor_uri=self.house.urls.actor("anna"), trusted=self.issuer, status=bits,
            now=self.house.clock.now(),
        ).verified  # fmt: skip


@pytest.fixture
async def ours(house: House, theirs: Run) -> Ours:
    return await Ours(house, theirs).start()


async def test_what_fedidoc_issued_holds_there(ours: Ours) -> None:
    assert ours.there() == {"verified": True, "reason": "", "revoked": False}
    assert ours.here()


async def test_what_fedidoc_revoked_is_revoked_there(ours: Ours) -> None:
    async with ours.house.db.transaction() as tx:
        await ours.house.credentials.revoke(tx, ours.anna.actor_id)
    ours.listed = json.loads(json.dumps(await ours.house.credentials.status_list()))
    assert ours.there()["revoked"] is True
    assert not ours.here()


async def test_a_renewed_one_holds_there_beside_the_one_before(ours: Ours) -> None:
    await ours.house.lifetimes.renew("anna", "operator")
    text = await ours.house.db.fetch_value("SELECT document FROM credentials ORDER BY issued DESC")
    assert ours.there(json.loads(text))["revoked"] is False
    assert ours.there()["revoked"] is False


def put(*path_and_value: Any) -> Callable[[Document], None]:
    *path, last, value = path_and_value

    def edit(document: Document) -> None:
        for name in path:
            document = document[name]
        document[last] = value

    return edit


WRONG = {
    "other_subject": put("credentialSubject", "id", "https://st-olaf.example/users/bert"),
    "other_issuer": put("issuer", "https://evil.example/actor"),
    "other_profession": put("credentialSubject", "profession", "resident"),
    "longer": put("validUntil", "2029-01-01T00:00:00Z"),
    "other_place": put("credentialStatus", "statusListIndex", "1"),
    "other_purpose": put("proof", "proofPurpose", "authentication"),
    "other_suite": put("proof", "cryptosuite", "eddsa-rdfc-2022"),
    "other_created": put("proof", "created", "2026-01-01T00:00:00Z"),
    "wrong_order": put(
        "@context", ["https://st-olaf.example/ns/credentials/v1", CONTEXT]
    ),
    "no_proof": put("proof", []),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_is_refused_by_both(ours: Ours, wrong: str) -> None:
    changed = copy.deepcopy(ours.credential)
    WRONG[wrong](changed)
    assert changed != ours.credential
    assert not ours.there(changed)["verified"]
    assert not ours.here(changed)


async def test_another_key_or_another_list_is_refused_there(ours: Ours) -> None:
    other = "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
    assert not ours.there(key=other)["verified"]
    listed = copy.deepcopy(ours.listed)
    listed["credentialSubject"]["encodedList"] = listed["credentialSubject"]["encodedList"][:-4]
    assert not ours.there(status_list=listed)["verified"]
    assert not ours.there(status_list=None)["verified"]


# Theirs

BASE = "https://other.example"
ACTOR, ISSUER, LIST = f"{BASE}/users/ines", f"{BASE}/actor", f"{BASE}/credentials/status/1"
KEY_ID = f"{ISSUER}#credential-key"
OWN_CONTEXT = f"{BASE}/ns/credentials/v1"


def unsigned(index: int = 77, **changes: Any) -> Document:
    now = Clock().now()
    return {
        "@context": [CONTEXT, OWN_CONTEXT],
        "id": f"{BASE}/credentials/abc",
        "type": ["VerifiableCredential", "PhysicianCredential"],
        "issuer": ISSUER,
        "validFrom": iso(now - HOUR),
        "validUntil": iso(now + 300 * DAY),
        "credentialSubject": {"id": ACTOR, "profession": "physician", "assurance": "employer"},
        "credentialStatus": {
            "id": f"{LIST}#{index}",
            "type": "BitstringStatusListEntry",
            "statusPurpose": "revocation",
            "statusListIndex": str(index),
            "statusListCredential": LIST,
        },
        **changes,
    }


class Theirs:
    """Credentials and a status list that the other implementation signed, judged here."""

    def __init__(self, answer: Document) -> None:
        assert "key" in answer, answer
        self.issuer = Issuer("other.example", ISSUER, KEY_ID, decode_multikey(answer["key"]))
        self.credentials: list[Document] = answer["credentials"]
        self.listed: Document = answer["status_list"]
        self.now = Clock().now()

    def bits(self) -> StatusBits:
        return check_status_list(
            json.dumps(self.listed).encode(), uri=LIST, trusted=self.issuer, now=self.now
        )

    def judge(self, credential: Document) -> str:
        return check(
            json.dumps(credential).encode(), actor_uri=ACTOR, trusted=self.issuer,
            status=self.bits(), now=self.now,
        ).reason  # fmt: skip


def sign(run: Run, *credentials: Document) -> Theirs:
    now = Clock().now()
    return Theirs(
        run(
            {
                "do": "issue",
                "issuer": ISSUER,
                "key_id": KEY_ID,
                "credentials": list(credentials),
                "revoked": [78],
                "list_id": LIST,
                "valid": {"validFrom": iso(now - HOUR), "validUntil": iso(now + 70 * HOUR)},
                "documents": {OWN_CONTEXT: CONTEXT_DOCUMENT},
            }
        )
    )


def test_what_they_issued_holds_here(theirs: Run) -> None:
    made = sign(
        theirs,
        unsigned(),
        unsigned(78),
        unsigned(credentialSubject={"id": ACTOR, "profession": "wizard", "assurance": "employer"}),
        unsigned(
            credentialSubject={
                "id": f"{BASE}/users/otto", "profession": "physician", "assurance": "employer",
            }
        ),
        unsigned(validUntil=iso(Clock().now() + 500 * DAY)),
    )  # fmt: skip
    good, revoked, wizard, somebody_else, too_long = map(made.judge, made.credentials)
    assert good == "Verified by other.example."
    assert "has revoked" in revoked
    assert "profession" in wizard
    assert "somebody else" in somebody_else
    assert "too long" in too_long


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_changed_in_theirs_is_refused_here(theirs: Run, wrong: str) -> None:
    made = sign(theirs, unsigned())
    changed = copy.deepcopy(made.credentials[0])
    WRONG[wrong](changed)
    assert made.judge(made.credentials[0]).startswith("Verified")
    assert not made.judge(changed).startswith("Verified")
