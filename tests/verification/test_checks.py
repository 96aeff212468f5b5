"""Every way in which a credential can fail to count, with real signatures."""

import base64
import copy
import gzip
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import DAY, HOUR, MINUTE, iso
from fedidoc.integrity import create_proof
from fedidoc.model import Badge, Specialty
from fedidoc.verification import status
from fedidoc.verification.checks import (
    CONTEXT,
    MAX_BYTES,
    Issuer,
    NotBelieved,
    check,
    check_status_list,
    status_list_uri,
)
from fedidoc.verification.status import StatusBits

NOW = 1_790_000_000_000
HOST = "st-olaf.example"
BASE = f"https://{HOST}"
ACTOR = f"{BASE}/users/anna"
LIST = f"{BASE}/credentials/status/1"
KEY_ID = f"{BASE}/actor#credential-key"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ISSUER = Issuer(HOST, f"{BASE}/actor", KEY_ID, KEY.public_key())
INDEX = 4711

Edit = Callable[[dict[str, Any]], object]


def signed(
    document: dict[str, Any],
    *,
    key: Ed25519PrivateKey = KEY,
    method: str = KEY_ID,
    purpose: str = "assertionMethod",
    at: int = NOW,
) -> bytes:
    proof = create_proof(document, key, method, purpose, datetime.fromtimestamp(at // 1000, UTC))
    return json.dumps({**document, "proof": proof}).encode()


def unsigned() -> dict[str, Any]:
    return {
        "@context": [CONTEXT],
        "id": f"{BASE}/credentials/abc",
        "type": ["VerifiableCredential", "PhysicianCredential"],
        "issuer": f"{BASE}/actor",
        "validFrom": iso(NOW - DAY),
        "validUntil": iso(NOW + 300 * DAY),
        "credentialSubject": {
            "id": ACTOR,
            "profession": "physician",
            "specialty": {"code": "207RC0000X", "label": "Cardiovascular Disease"},
            "jurisdiction": "US-MN",
            "assurance": "register",
        },
        "credentialStatus": {
            "id": f"{LIST}#{INDEX}",
            "type": "BitstringStatusListEntry",
            "statusPurpose": "revocation",
            "statusListIndex": str(INDEX),
            "statusListCredential": LIST,
        },
    }


def credential(edit: Edit | None = None, **how: Any) -> bytes:
    document = unsigned()
    if edit is not None:
        edit(document)
    return signed(document, **how)


def unsigned_list(revoked: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "@context": [CONTEXT],
        "id": LIST,
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": f"{BASE}/actor",
        "validFrom": iso(NOW - HOUR),
        "validUntil": iso(NOW + 71 * HOUR),
        "credentialSubject": {
            "id": f"{LIST}#list",
            "type": "BitstringStatusList",
            "statusPurpose": "revocation",
            "encodedList": status.encode(revoked),
        },
    }


def listed(*revoked: int) -> StatusBits:
    return check_status_list(signed(unsigned_list(revoked)), uri=LIST, trusted=ISSUER, now=NOW)


def judge(document: bytes, *, now: int = NOW, bits: StatusBits | None = None, **how: Any) -> Badge:
    given = {"actor_uri": ACTOR, "trusted": ISSUER, **how}
    return check(document, status=bits or listed(), now=now, **given)


def test_a_good_credential_makes_a_badge() -> None:
    assert judge(credential()) == Badge(
        verified=True,
        reason=f"Verified by {HOST}.",
        profession="physician",
        specialty=Specialty("207RC0000X", "Cardiovascular Disease"),
        assurance="register",
        jurisdiction="US-MN",
        issuer=HOST,
        valid_until=NOW + 300 * DAY,
        checked=NOW,
        credential=f"{BASE}/credentials/abc",
        valid_from=NOW - DAY,
    )


def test_specialty_and_jurisdiction_may_be_left_out() -> None:
    def edit(document: dict[str, Any]) -> None:
        del document["credentialSubject"]["specialty"]
        del document["credentialSubject"]["jurisdiction"]

    badge = judge(credential(edit))
    assert badge.verified and badge.specialty is None and badge.jurisdiction is None


def put(*path_and_value: Any) -> Edit:
    *path, last, value = path_and_value

    def edit(document: dict[str, Any]) -> None:
        place = document
        for name in path:
            place = place[name]
        place[last] = value

    return edit


def drop(*path: str) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        place = document
        for name in path[:-1]:
            place = place[name]
        del place[path[-1]]

    return edit


SUBJECT, STATUS = "credentialSubject", "credentialStatus"


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (put(SUBJECT, "id", f"{BASE}/users/bert"), "belongs to somebody else"),
        (put(SUBJECT, "id", ACTOR + "/"), "belongs to somebody else"),
        (put(SUBJECT, "id", ACTOR.upper()), "belongs to somebody else"),
        (put(SUBJECT, "id", [ACTOR]), "belongs to somebody else"),
        (put(SUBJECT, [{"id": ACTOR}]), "names no person"),
        (drop(SUBJECT), "names no person"),
        (put("issuer", "https://evil.example/actor"), "issued by somebody else"),
        (put("issuer", {"id": "https://evil.example/actor"}), "issued by somebody else"),
        (drop("issuer"), "issued by somebody else"),
        (put("id", "https://evil.example/credentials/abc"), "address on another server"),
        (drop("id"), "no id"),
        (put("validFrom", iso(NOW + 11 * MINUTE)), "not valid yet"),
        (put("validUntil", iso(NOW)), "has expired"),
        (put("validUntil", iso(NOW + 397 * DAY + HOUR)), "too long"),
        (put("validFrom", iso(NOW - 200 * DAY)), "too long"),
        (drop("validUntil"), "from when and until when"),
        (put("validFrom", 17), "from when and until when"),
        (put("validFrom", "yesterday"), "from when and until when"),
        (put("type", ["VerifiableCredential"]), "kind that is not known"),
        (put("type", "PhysicianCredential"), "kind that is not known"),
        (put("@context", ["https://www.w3.org/2018/credentials/v1"]), "not a Verifiable"),
        (put("@context", CONTEXT), "not a Verifiable"),
        (drop(STATUS), "cannot be revoked"),
        (put(STATUS, "statusListCredential", LIST + "0"), "another status list"),
        (put(STATUS, "statusListCredential", "https://evil.example/1"), "on another server"),
        (put(STATUS, "statusListIndex", "131072"), "not in the issuer's status list"),
        (put(STATUS, "statusListIndex", "-1"), "cannot be read"),
        (put(STATUS, "statusListIndex", 4711), "cannot be read"),
        (put(STATUS, "statusListIndex", "4" * 5000), "cannot be read"),
        (put(STATUS, "statusListIndex", "²"), "cannot be read"),
        (put(STATUS, "statusPurpose", "suspension"), "cannot be read"),
        (put(SUBJECT, "profession", "wizard"), "profession that is not known"),
        (put(SUBJECT, "profession", "staff"), "not a clinician"),
        (put(SUBJECT, "assurance", "very much"), "how the person was verified"),
        (put(SUBJECT, "specialty", "cardiology"), "specialty cannot be read"),
        (put(SUBJECT, "specialty", {"code": "x", "label": "a\u202eb"}), "cannot be shown"),
        (put(SUBJECT, "jurisdiction", "x" * 121), "cannot be shown"),
    ],
)
def test_a_signed_credential_that_does_not_count(edit: Edit, reason: str) -> None:
    badge = judge(credential(edit))
    assert not badge.verified
    assert reason in badge.reason
    assert badge.issuer == HOST and badge.checked == NOW
    assert (badge.profession, badge.specialty, badge.credential) == (None, None, None)


def test_a_little_clock_skew_is_forgiven() -> None:
    assert judge(credential(put("validFrom", iso(NOW + 9 * MINUTE)))).verified


def test_a_subject_on_another_origin_than_its_issuer() -> None:
    for actor in ("https://other.example/users/anna", "http://st-olaf.example/users/anna",
                  "https://st-olaf.example:8443/users/anna"):  # fmt: skip
        badge = judge(credential(put(SUBJECT, "id", actor)), actor_uri=actor)
        assert not badge.verified
        assert "member of another server" in badge.reason


def test_a_key_that_was_not_pinned() -> None:
    other = Ed25519PrivateKey.generate()
    badge = judge(credential(key=other))
    assert not badge.verified and "signature does not hold" in badge.reason
    badge = judge(credential(key=other, method=f"{BASE}/actor#ed25519-key"))
    assert not badge.verified and "not pinned" in badge.reason
    badge = judge(credential(method="https://evil.example/actor#credential-key"))
    assert not badge.verified and "not pinned" in badge.reason
    changed = Issuer(HOST, ISSUER.uri, KEY_ID, other.public_key())
    badge = check(credential(), actor_uri=ACTOR, trusted=changed, status=listed(), now=NOW)
    assert not badge.verified and "signature does not hold" in badge.reason


def test_a_proof_made_for_another_purpose() -> None:
    badge = judge(credential(purpose="authentication"))
    assert not badge.verified
    assert "another purpose" in badge.reason


def test_no_proof_several_proofs_and_a_proof_from_the_future() -> None:
    assert "no single proof" in judge(json.dumps(unsigned()).encode()).reason
    whole = json.loads(credential())
    whole["proof"] = [whole["proof"]]
    assert "no single proof" in judge(json.dumps(whole).encode()).reason
    assert "future" in judge(credential(at=NOW + 2 * HOUR)).reason


def test_a_context_that_the_proof_does_not_cover() -> None:
    whole = json.loads(credential())
    whole["@context"].append({"profession": "https://evil.example/#hobby"})
    badge = judge(json.dumps(whole).encode())
    assert not badge.verified and "another context" in badge.reason


def test_one_changed_byte_anywhere_is_noticed() -> None:
    """Every byte, each of three bits: nothing that is read another way passes."""
    good = credential()
    meaning, bits = json.loads(good), listed()
    for place in range(len(good)):
        for bit in (0x01, 0x20, 0x80):
            changed = bytearray(good)
            changed[place] ^= bit
            if judge(bytes(changed), bits=bits).verified:
                assert json.loads(bytes(changed)) == meaning, (place, bit)


def test_a_repeated_key_is_refused_whichever_of_the_two_is_signed() -> None:
    good = credential()
    for twice in (
        good.replace(b'"profession": "physician"', b'"profession": "student", "profession":'
                     b' "physician"'),
        good.replace(b'{"@context"', b'{"issuer": "https://evil.example/actor", "@context"', 1),
    ):  # fmt: skip
        assert twice != good
        badge = judge(twice)
        assert not badge.verified
        assert "twice" in badge.reason


@pytest.mark.parametrize(
    "document",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff", b'{"a": NaN}', b"[" * 5000, b"{}",
     b'{"a":' * 40 + b"1" + b"}" * 40, b" " * (MAX_BYTES + 1), b'{"@context": [null]}'],
)  # fmt: skip
def test_bytes_that_are_no_credential(document: bytes) -> None:
    badge = judge(document)
    assert not badge.verified and badge.reason
    assert status_list_uri(document, ISSUER) is None


def test_any_part_may_be_of_a_wrong_type() -> None:
    """Nothing that a signed document may hold makes the check raise."""
    may_be = [("specialty", None), ("jurisdiction", None), ("jurisdiction", "x")]
    for wrong in (None, True, 5, "x", [], {}, [None], {"id": 5}):
        for name in unsigned():
            assert not judge(credential(put(name, wrong))).verified
        for outer in (SUBJECT, STATUS):
            for name in unsigned()[outer].keys() - ({"id"} if outer == STATUS else set()):
                if (name, wrong) in may_be:
                    continue
                assert not judge(credential(put(outer, name, wrong))).verified, (name, wrong)
        whole = json.loads(credential())
        for name in whole["proof"]:
            changed = copy.deepcopy(whole)
            changed["proof"][name] = wrong
            assert not judge(json.dumps(changed).encode()).verified


# The status list


def test_a_revoked_credential() -> None:
    badge = judge(credential(), bits=listed(INDEX))
    assert not badge.verified and "has revoked" in badge.reason
    assert judge(credential(), bits=listed(INDEX - 1, INDEX + 1)).verified


def test_an_unknown_list() -> None:
    badge = check(credential(), actor_uri=ACTOR, trusted=ISSUER, status=None, now=NOW)
    assert not badge.verified and "could not be had" in badge.reason
    other = StatusBits(LIST, "https://evil.example/actor", listed().bits, NOW, NOW + DAY)
    assert "another status list" in judge(credential(), bits=other).reason


def test_a_list_is_believed_for_72_hours_from_its_signing() -> None:
    bits = listed()
    assert judge(credential(), bits=bits, now=NOW + 71 * HOUR - 1000).verified
    badge = judge(credential(), bits=bits, now=NOW + 71 * HOUR + 1000)
    assert not badge.verified and "older than 72 hours" in badge.reason


def test_the_list_is_found_on_the_issuers_origin_only() -> None:
    assert status_list_uri(credential(), ISSUER) == LIST
    elsewhere = put(STATUS, "statusListCredential", "http://169.254.169.254/latest")
    assert status_list_uri(credential(elsewhere), ISSUER) is None


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (put("id", LIST + "0"), "another address"),
        (put("issuer", "https://evil.example/actor"), "somebody else"),
        (put("validFrom", iso(NOW - 80 * HOUR)), "too long"),
        (put("validUntil", iso(NOW + 100 * HOUR)), "too long"),
        (put("validUntil", iso(NOW - 1000)), "out of date"),
        (put("validFrom", iso(NOW + HOUR)), "not valid yet"),
        (put(SUBJECT, "type", "Something"), "holds no list"),
        (put(SUBJECT, []), "holds no list"),
        (put(SUBJECT, "statusPurpose", "suspension"), "not one of revocations"),
        (put(SUBJECT, "encodedList", 5), "not one of revocations"),
        (put(SUBJECT, "encodedList", "uAAAA"), "cannot be read"),
        (put("type", ["VerifiableCredential", "PhysicianCredential"]), "kind that is not known"),
    ],
)
def test_a_signed_list_that_does_not_count(edit: Edit, reason: str) -> None:
    document = unsigned_list()
    edit(document)
    with pytest.raises(NotBelieved, match=reason):
        check_status_list(signed(document), uri=LIST, trusted=ISSUER, now=NOW)


def test_a_list_by_another_key_or_with_a_changed_bit() -> None:
    with pytest.raises(NotBelieved, match="does not hold"):
        check_status_list(
            signed(unsigned_list(), key=Ed25519PrivateKey.generate()),
            uri=LIST, trusted=ISSUER, now=NOW,
        )  # fmt: skip
    whole = json.loads(signed(unsigned_list((INDEX,))))
    whole[SUBJECT]["encodedList"] = status.encode([])
    with pytest.raises(NotBelieved, match="does not hold"):
        check_status_list(json.dumps(whole).encode(), uri=LIST, trusted=ISSUER, now=NOW)


def test_a_bomb_that_its_issuer_signed() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(40)) + packer.flush()
    assert len(gzip.decompress(bomb)) == 40 << 20
    document = unsigned_list()
    document[SUBJECT]["encodedList"] = "u" + base64.urlsafe_b64encode(bomb).decode().rstrip("=")
    with pytest.raises(NotBelieved, match="too long"):
        check_status_list(signed(document), uri=LIST, trusted=ISSUER, now=NOW)


def test_a_credential_is_no_status_list_and_the_other_way_round() -> None:
    with pytest.raises(NotBelieved):
        check_status_list(credential(), uri=LIST, trusted=ISSUER, now=NOW)
    assert not judge(signed(unsigned_list())).verified
