"""Trust lists: what is one, who has to have signed it, and every way in which it can be wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedidoc.clock import DAY, HOUR, iso
from fedidoc.integrity import encode_base58btc, verify_proof
from fedidoc.verification.trust_lists import (
    MAX_BYTES,
    MAX_ISSUERS,
    ListRefused,
    Signers,
    TrustList,
    digest_of,
    read,
)
from fedidoc.verification.trust_signatures import Outcome, Verdict, judge, method_of, sign
from tests.verification.lists import NOW, URL, Society, dump, fresh_key, issuer, public, signed

OLAF, STRANGER = fresh_key(), fresh_key()


@pytest.fixture
def society() -> Society:
    return Society(issuers=[issuer("st-olaf.example", OLAF)])


def verdict_on(
    body: bytes,
    society: Society,
    *,
    held: bytes | None = None,
    pinned: Signers | None = None,
    now: int = NOW,
    leap: bool = False,
) -> Verdict:
    before = read(held) if held else None
    pinned = pinned or (before.signers if before else Signers(society.keys, society.threshold))
    return judge(body, url=URL, pinned=pinned, held=before, now=now, leap=leap)


def refusal(body: bytes) -> str:
    with pytest.raises(ListRefused) as refused:
        read(body)
    return refused.value.reason


# What a list is -----------------------------------------------------------------------------------


def test_a_list_is_read_as_it_was_written(society: Society) -> None:
    found = read(society.issue())
    assert (found.url, found.sequence, found.previous) == (URL, 1, None)
    assert (found.issued, found.expires) == (NOW, NOW + 90 * DAY)
    assert found.signers == Signers(society.keys, 2)
    [entry] = found.issuers
    assert (entry.host, entry.key, entry.active) == ("st-olaf.example", public(OLAF), True)
    assert found.issuer("st-olaf.example") == entry
    assert found.issuer("other.example") is None


def test_the_digest_is_the_same_with_and_without_signatures(society: Society) -> None:
    draft = society.draft()
    assert digest_of(draft) == digest_of(signed(draft, society.signers)) == read(dump(draft)).digest


CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "another context": ("format", lambda d: d["@context"].append("https://example.com/ctx")),
    "another type": ("format", lambda d: d.update(type=["TrustList"])),
    "a member too many": ("unknown_member", lambda d: d.update(only="cardiology")),
    "a member too few": ("missing_member", lambda d: d.pop("previous")),
    "an issuer's member too many": (
        "unknown_member", lambda d: d["issuers"][0].update(maximumAssurance="vouches")
    ),
    "an issuer's member too few": ("missing_member", lambda d: d["issuers"][0].pop("status")),
    "an id that is no address": ("id", lambda d: d.update(id="urn:list")),
    "a publisher elsewhere": ("publisher", lambda d: d.update(publisher="https://other.example/a")),
    "number zero": ("sequence", lambda d: d.update(sequence=0)),
    "a number that is a float": ("sequence", lambda d: d.update(sequence=1.0)),
    "a number that is a truth": ("sequence", lambda d: d.update(sequence=True)),
    "a first list with a predecessor": ("previous", lambda d: d.update(previous="0" * 64)),
    "a later list without one": ("previous", lambda d: d.update(sequence=2)),
    "a digest that is none": ("previous", lambda d: d.update(sequence=2, previous="0" * 63)),
    "expired before it was issued": ("dates", lambda d: d.update(expires=iso(NOW))),
    "valid for ever": ("dates", lambda d: d.update(expires=iso(NOW + 398 * DAY))),
    "a time in another spelling": ("dates", lambda d: d.update(issued="2026-09-21T14:13:20+00:00")),
    "a time that is a number": ("dates", lambda d: d.update(issued=NOW)),
    "nobody signs the next": ("signers", lambda d: d["signers"].update(keys=[])),
    "threshold zero": ("threshold", lambda d: d["signers"].update(threshold=0)),
    "a threshold that is negative": ("threshold", lambda d: d["signers"].update(threshold=-1)),
    "a threshold nobody can reach": ("threshold", lambda d: d["signers"].update(threshold=4)),
    "a threshold that is a text": ("threshold", lambda d: d["signers"].update(threshold="2")),
    "a threshold that is true": ("threshold", lambda d: d["signers"].update(threshold=True)),
    "a signer twice": ("signers", lambda d: d["signers"]["keys"].append(d["signers"]["keys"][0])),
    "a signer's key that is none": ("signers", lambda d: d["signers"]["keys"].append("z6Mkq")),
    "an RSA Multikey": (
        "signers", lambda d: d["signers"]["keys"].append(encode_base58btc(b"\x85\x24" + bytes(32)))
    ),
    "too many signers": (
        "signers", lambda d: d["signers"]["keys"].extend(public(fresh_key()) for _ in range(6))
    ),
    "a host twice": (
        "issuer_twice", lambda d: d["issuers"].append(issuer("st-olaf.example", fresh_key()))
    ),
    "a key of two issuers": (
        "key_reused", lambda d: d["issuers"].append(issuer("other.example", OLAF))
    ),
    "an issuer with a signer's key": (
        "key_reused",
        lambda d: d["issuers"][0]["credentialKey"].update(
            publicKeyMultibase=d["signers"]["keys"][0]
        ),
    ),
    "an actor elsewhere": (
        "issuer_origin", lambda d: d["issuers"][0].update(actor="https://evil.example/actor")
    ),
    "an actor on another port": (
        "issuer_origin",
        lambda d: d["issuers"][0].update(actor="https://st-olaf.example:8443/actor"),
    ),
    "an actor without https": (
        "issuer_origin", lambda d: d["issuers"][0].update(actor="http://st-olaf.example/actor")
    ),
    "a key elsewhere": (
        "key_origin",
        lambda d: d["issuers"][0]["credentialKey"].update(id="https://evil.example/actor#key"),
    ),
    "a key of another actor there": (
        "key_origin",
        lambda d: d["issuers"][0]["credentialKey"].update(
            id="https://st-olaf.example/actor/users/eve#key"
        ),
    ),
    "a key that is none": (
        "issuers", lambda d: d["issuers"][0]["credentialKey"].update(publicKeyMultibase="z1")
    ),
    "a host in capitals": ("host", lambda d: d["issuers"][0].update(host="St-Olaf.example")),
    "a host with its scheme": (
        "host", lambda d: d["issuers"][0].update(host="https://st-olaf.example")
    ),
    "a host with the usual port": (
        "host", lambda d: d["issuers"][0].update(host="st-olaf.example:443")
    ),
    "a country in words": ("country", lambda d: d["issuers"][0].update(country="Norway")),
    "a date that is none": ("dates", lambda d: d["issuers"][0].update(since="2026-02-30")),
    "another standing": ("status", lambda d: d["issuers"][0].update(status="probation")),
    "a standing that is a list": ("status", lambda d: d["issuers"][0].update(status=["active"])),
    "a requirement that is a text": (
        "issuers", lambda d: d["issuers"][0].update(requireCredential="true")
    ),
    "a name that turns the line round": (
        "text", lambda d: d["issuers"][0].update(name="St. Olaf\u202e")
    ),
    "a name with a control character": ("text", lambda d: d.update(name="List\x1b[2J")),
    "too long a name": ("text", lambda d: d.update(name="x" * 121)),
    "too many issuers": (
        "issuers", lambda d: d.update(issuers=d["issuers"] * (MAX_ISSUERS + 1))
    ),
    "issuers that are no list": ("issuers", lambda d: d.update(issuers={})),
    "an issuer that is none": ("issuers", lambda d: d["issuers"].append("st-olaf.example")),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_list(society: Society, name: str) -> None:
    reason, change = CHANGES[name]
    draft = copy.deepcopy(society.draft())
    change(draft)
    assert refusal(dump(draft)) == reason
    # Signed by everybody, it is refused all the same.
    body = dump(signed(draft, society.signers))
    assert verdict_on(body, society).reason == reason


def test_a_json_key_twice(society: Society) -> None:
    body = society.issue().replace(b'"sequence": 1', b'"sequence": 1, "sequence": 1', 1)
    assert refusal(body) == "json_duplicate_key"
    body = society.issue().replace(b'"status": "active"', b'"status": "x", "status": "active"', 1)
    assert refusal(body) == "json_duplicate_key"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "json_malformed"),
        (b"[]", "format"),
        (b"null", "format"),
        (b"\xff", "json_malformed"),
        (b'{"sequence": NaN}', "json_number"),
        (b'{"sequence": 9007199254740993}', "json_number"),
        (b'{"name": "\\ud800"}', "json_malformed"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "json_too_deep"),
        (b"[" * 100_000, "json_malformed"),
        (b" " * (MAX_BYTES + 1), "json_too_large"),
    ],
    ids=["empty", "array", "null", "bytes", "nan", "integer", "surrogate", "depth", "deeper",
         "size"],
)  # fmt: skip
def test_json_that_readers_could_understand_differently(body: bytes, reason: str) -> None:
    assert refusal(body) == reason


# Signatures ---------------------------------------------------------------------------------------


def test_the_first_list_is_believed_with_k_of_the_pinned_keys(society: Society) -> None:
    verdict = verdict_on(society.issue(), society)
    assert (verdict.outcome, verdict.reason) == (Outcome.ACCEPTED, "accepted")
    assert set(verdict.signed) == set(society.keys[:2])


@pytest.mark.parametrize("signers", [[], [0], [1]], ids=["nobody", "one", "another"])
def test_fewer_than_k_are_not_enough(society: Society, signers: list[int]) -> None:
    draft = society.draft()
    body = dump(signed(draft, [society.signers[n] for n in signers]))
    assert verdict_on(body, society).reason == "signatures"


def test_an_unknown_signer_counts_for_nobody(society: Society) -> None:
    body = society.issue(by=[society.signers[0], STRANGER])
    assert verdict_on(body, society).reason == "signatures"
    # Beside enough known ones it does no harm.
    society = Society()
    body = society.issue(by=[*society.signers[:2], STRANGER])
    verdict = verdict_on(body, society)
    assert verdict.accepted
    assert public(STRANGER) not in verdict.signed


def test_one_signer_signing_twice_counts_once_and_is_refused(society: Society) -> None:
    document = signed(society.draft(), society.signers[:1])
    with pytest.raises(ListRefused) as refused:
        sign(document, society.signers[0], NOW)
    assert refused.value.reason == "signed_twice"
    document["proof"].append(signed(society.draft(), society.signers[:1], NOW - 1000)["proof"][0])
    assert verdict_on(dump(document), society).reason == "signed_twice"


def test_one_signer_under_two_names_counts_once(society: Society) -> None:
    """A second proof by the same key that calls it by another name is by nobody."""
    document = signed(society.draft(), society.signers[:1])
    again = copy.deepcopy(document["proof"][0])
    again["verificationMethod"] = "https://society.example/actor#signer"
    document["proof"].append(again)
    assert verdict_on(dump(document), society).reason == "signatures"


def test_a_proof_that_names_another_key_does_not_hold(society: Society) -> None:
    document = signed(society.draft(), [society.signers[0], STRANGER])
    document["proof"][1]["verificationMethod"] = method_of(society.keys[1])
    assert verdict_on(dump(document), society).reason == "signatures"


def test_a_proof_for_another_purpose_does_not_count(society: Society) -> None:
    document = signed(society.draft(), society.signers[:2])
    document["proof"][1]["proofPurpose"] = "authentication"
    assert verdict_on(dump(document), society).reason == "signatures"


PROOFS: dict[str, Callable[[dict[str, Any]], object]] = {
    "one proof and no list": lambda d: d.update(proof=d["proof"][0]),
    "no proof": lambda d: d.update(proof=[]),
    "nine proofs": lambda d: d.update(
        proof=[{**d["proof"][0], "verificationMethod": f"did:key:{n}"} for n in range(9)]
    ),
    "a proof that is none": lambda d: d["proof"].append("z3"),
    "another suite": lambda d: d["proof"][0].update(cryptosuite="eddsa-rdfc-2022"),
    "another kind of proof": lambda d: d["proof"][0].update(type="Ed25519Signature2020"),
    "another context": lambda d: d["proof"][0].update({"@context": d["@context"][:1]}),
}


@pytest.mark.parametrize("name", PROOFS)
def test_proofs_of_another_shape(society: Society, name: str) -> None:
    document = signed(society.draft(), society.signers[:2])
    PROOFS[name](document)
    assert verdict_on(dump(document), society).reason == "proof_malformed"


def test_a_member_in_a_proof_that_is_not_known(society: Society) -> None:
    document = signed(society.draft(), society.signers[:2])
    document["proof"][0]["domain"] = "society.example"
    assert verdict_on(dump(document), society).reason == "unknown_member"


def test_changed_by_one_byte(society: Society) -> None:
    """Whatever byte of what is said is changed, no signature holds any more."""
    document = signed(society.draft(), society.signers[:2])
    body = json.dumps(document, separators=(",", ":")).encode()
    words = (b"Accredited", b"st-olaf", b"z6Mk", b"2026", b'US"', b"threshold", b"true")
    places = [body.index(word) for word in words]
    for place in places:
        changed = bytearray(body)
        changed[place] ^= 1
        assert verdict_on(bytes(changed), society).outcome is Outcome.REFUSED
    assert verdict_on(body, society).accepted


def test_any_changed_byte_is_refused_or_changes_nothing(society: Society) -> None:
    document = signed(society.draft(), society.signers[:2])
    body = json.dumps(document, separators=(",", ":")).encode()
    end = body.index(b'"proof":')
    digest = digest_of(document)
    for place in range(0, end, 7):
        changed = body[:place] + bytes([body[place] ^ 0x01]) + body[place + 1 :]
        verdict = verdict_on(changed, society)
        assert not verdict.accepted or (verdict.found and verdict.found.digest == digest), place


def test_signatures_are_ordinary_data_integrity_proofs(society: Society) -> None:
    """Any implementation of the suite that resolves did:key can check them."""
    document = json.loads(society.issue())
    for proof, key in zip(document["proof"], society.signers, strict=False):
        assert proof["verificationMethod"] == f"did:key:{public(key)}#{public(key)}"
        found = verify_proof(
            document, key.public_key(), verification_method=proof["verificationMethod"],
            purpose="assertionMethod", now_ms=NOW,
        )  # fmt: skip
        assert found.created == NOW


# One list after another ---------------------------------------------------------------------------


def test_lists_follow_each_other(society: Society) -> None:
    first = society.issue()
    society.issuers = []
    second = society.issue(NOW + DAY)
    assert verdict_on(second, society, held=first, now=NOW + DAY).accepted
    assert verdict_on(first, society, held=first).outcome is Outcome.UNCHANGED


def test_a_later_signature_makes_no_other_list(society: Society) -> None:
    first = society.issue()
    assert society.last is not None
    more = dump(sign(society.last, society.signers[2], NOW))
    assert verdict_on(more, society, held=first).outcome is Outcome.UNCHANGED


def test_rollback(society: Society) -> None:
    first, second = society.issue(), society.issue()
    verdict = verdict_on(first, society, held=second)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, "rollback")


def test_fork_of_the_same_number(society: Society) -> None:
    other = copy.deepcopy(society)
    first = society.issue()
    other.issuers = []
    verdict = verdict_on(other.issue(), society, held=first)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, "fork")


def test_fork_before_the_next_number(society: Society) -> None:
    other = copy.deepcopy(society)
    first = society.issue()
    other.issue(name="Another first list")
    verdict = verdict_on(other.issue(), society, held=first)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, "fork")


def test_gap(society: Society) -> None:
    first, _, third = society.issue(), society.issue(), society.issue()
    verdict = verdict_on(third, society, held=first)
    assert (verdict.outcome, verdict.reason) == (Outcome.GAP, "gap")
    leap = verdict_on(third, society, held=first, leap=True)
    assert (leap.outcome, leap.reason) == (Outcome.ACCEPTED, "gap")


def test_a_gap_needs_the_pinned_signers_all_the_same(society: Society) -> None:
    first = society.issue()
    old = society.signers
    society.signers = [fresh_key() for _ in range(3)]
    society.issue(by=[*old[:2], *society.signers[:2]])
    third = society.issue()
    assert verdict_on(third, society, held=first, leap=True).reason == "signatures"


def test_future_dated(society: Society) -> None:
    body = society.issue(NOW + HOUR)
    assert verdict_on(body, society).reason == "future"
    assert verdict_on(body, society, now=NOW + HOUR).accepted


def test_expired_as_the_first(society: Society) -> None:
    body = society.issue()
    assert verdict_on(body, society, now=NOW + 90 * DAY).reason == "expired"
    assert verdict_on(body, society, now=NOW + 90 * DAY - 1).accepted


def test_expired_but_newer_than_what_is_held(society: Society) -> None:
    """It may have taken an issuer off: newer, if old, is better evidence than older."""
    first, second = society.issue(), society.issue()
    assert verdict_on(second, society, held=first, now=NOW + 100 * DAY).accepted


def test_another_list_by_the_same_signers(society: Society) -> None:
    body = society.issue(id="https://society.example/other", publisher="https://society.example/a")
    assert verdict_on(body, society).reason == "other_list"


# Keys that change ---------------------------------------------------------------------------------


def rotate(society: Society, by_old: int, by_new: int) -> bytes:
    old = society.signers
    society.signers = [fresh_key() for _ in range(3)]
    return society.issue(by=[*old[:by_old], *society.signers[:by_new]])


def test_signers_change_with_k_of_the_old_and_k_of_the_new(society: Society) -> None:
    first = society.issue()
    second = rotate(society, by_old=2, by_new=2)
    assert verdict_on(second, society, held=first).accepted
    third = society.issue()
    verdict = verdict_on(third, society, held=second)
    assert verdict.accepted
    assert set(verdict.signed) == set(society.keys[:2])


@pytest.mark.parametrize(
    ("by_old", "by_new", "reason"),
    [(1, 3, "signatures"), (0, 3, "signatures"), (2, 1, "new_signers"), (2, 0, "new_signers")],
)
def test_signers_do_not_change_with_fewer(
    society: Society, by_old: int, by_new: int, reason: str
) -> None:
    first = society.issue()
    assert verdict_on(rotate(society, by_old, by_new), society, held=first).reason == reason


def test_a_signer_who_was_taken_off_signs_no_more(society: Society) -> None:
    lost = society.signers[2]
    first = society.issue()
    society.signers = [*society.signers[:2], fresh_key()]
    second = society.issue()
    third = society.issue(by=[society.signers[0], lost])
    assert verdict_on(second, society, held=first).accepted
    assert verdict_on(third, society, held=second).reason == "signatures"


def test_a_lower_threshold_needs_the_higher_one_once(society: Society) -> None:
    first = society.issue()
    society.threshold = 1
    assert verdict_on(society.issue(), society, held=first).reason == "signatures"
    assert society.last is not None
    enough = dump(sign(society.last, society.signers[1], NOW))
    assert verdict_on(enough, society, held=first).accepted


@pytest.mark.parametrize(
    ("keys", "threshold"),
    [((), 1), ((public(OLAF),), 0), ((public(OLAF),), 2), ((public(OLAF),) * 2, 1), (("x",), 1)],
    ids=["none", "zero", "unreachable", "twice", "unusable"],
)
def test_signers_that_cannot_be_pinned(keys: tuple[str, ...], threshold: int) -> None:
    with pytest.raises(ListRefused):
        Signers.of(keys, threshold)


# Anything at all ----------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda parts: (
        st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=10), parts, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip
_BASE = signed(
    Society(issuers=[issuer("st-olaf.example", OLAF)], signers=[STRANGER], threshold=1).draft(),
    [STRANGER],
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in parts:
            found.extend(_places(part, (*path, name)))
    return found


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(_places(_BASE)), _JSON)
def test_a_list_with_anything_in_any_place_is_judged_without_a_fall(
    place: tuple[Any, ...], value: Any
) -> None:
    document = copy.deepcopy(_BASE)
    inner: Any = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    pinned = Signers((public(STRANGER),), 1)
    body = json.dumps(document).encode("utf-8", "surrogatepass")
    verdict = judge(body, url=URL, pinned=pinned, held=None, now=NOW)
    assert verdict.outcome in (Outcome.REFUSED, Outcome.ACCEPTED)
    if verdict.accepted:
        assert isinstance(verdict.found, TrustList)
        assert digest_of(document) == digest_of(_BASE)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_judged_without_a_fall(body: bytes) -> None:
    pinned = Signers((public(STRANGER),), 1)
    assert judge(body, url=URL, pinned=pinned, held=None, now=NOW).outcome is Outcome.REFUSED
