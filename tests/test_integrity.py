"""Canonical JSON, Multikey and proofs: published vectors first, then forgery."""

import copy
import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fedidoc.integrity import (
    PUBLIC,
    IntegrityError,
    Proof,
    canonicalize,
    create_proof,
    decode_base58btc,
    decode_multikey,
    decode_secret_multikey,
    encode_base58btc,
    encode_multikey,
    encode_secret_multikey,
    list_proofs,
    normalize_public,
    parse_strict,
    verify_proof,
)

NOW = 1_774_000_000_000
CREATED = datetime(2026, 3, 20, 9, 0, tzinfo=UTC)
METHOD = "https://hospital.example/actor#credential-key"
KEY = Ed25519PrivateKey.generate()
PUBLIC_KEY = KEY.public_key()
DOCUMENT: dict[str, Any] = {
    "@context": ["https://www.w3.org/ns/credentials/v2"],
    "type": ["VerifiableCredential"],
    "issuer": "https://hospital.example/actor",
    "credentialSubject": {"id": "https://hospital.example/users/alice", "profession": "physician"},
}


def sealed(document: dict[str, Any] | None = None, purpose: str = "assertionMethod") -> Any:
    document = DOCUMENT if document is None else document
    return {**document, "proof": create_proof(document, KEY, METHOD, purpose, CREATED)}


def check(document: Any, **arguments: Any) -> Proof:
    settings = {"verification_method": METHOD, "purpose": "assertionMethod", "now_ms": NOW}
    return verify_proof(document, PUBLIC_KEY, **{**settings, **arguments})


def refusal(document: Any, **arguments: Any) -> str:
    with pytest.raises(IntegrityError) as caught:
        check(document, **arguments)
    return caught.value.reason


# Canonical JSON


def test_rfc8785_vectors(corpora: Path) -> None:
    folder = corpora / "jcs-rfc8785"
    names = sorted(file.stem for file in (folder / "input").glob("*.json"))
    assert len(names) >= 6
    for name in names:
        given = parse_strict((folder / "input" / f"{name}.json").read_bytes())
        canonical = canonicalize(given)
        assert canonical == (folder / "output" / f"{name}.json").read_bytes().rstrip(b"\n"), name
        octets = bytes.fromhex((folder / "outhex" / f"{name}.txt").read_text())
        assert canonical == octets, name


@pytest.mark.parametrize("value", [2**53, float("nan"), float("inf"), "\ud800", {1: 2}, b"x"])
def test_what_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(IntegrityError) as caught:
        canonicalize({"value": value})
    assert caught.value.reason == "not_canonical"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":1,"a":2}', "json_duplicate_key"),
        ('{"a":{"b":[{"c":1,"\\u0063":1}]}}', "json_duplicate_key"),
        ('{"a":9007199254740992}', "json_number"),
        ('{"a":-9007199254740992}', "json_number"),
        ('{"a":' + "9" * 5000 + "}", "json_number"),
        ('{"a":1e400}', "json_number"),
        ('{"a":NaN}', "json_number"),
        ('{"a":-Infinity}', "json_number"),
        ('{"a":"\\ud800"}', "json_malformed"),
        ('{"\\udc00\\ud800":1}', "json_malformed"),
        ('{"a":"\ud800"}', "json_malformed"),
        (b'{"a":"\xff"}', "json_malformed"),
        ("{", "json_malformed"),
        ("", "json_malformed"),
        ("{} {}", "json_malformed"),
        ("\ufeff{}", "json_malformed"),
        ("[" * 33 + "]" * 33, "json_too_deep"),
        ("[" * 100_000 + "]" * 100_000, "json_malformed"),
        ('"' + "x" * (1 << 20) + '"', "json_too_large"),
    ],
)
def test_json_that_two_readers_could_read_differently(text: str | bytes, reason: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_strict(text)
    assert caught.value.reason == reason


def test_json_at_the_bounds_is_read() -> None:
    assert parse_strict('{"a":9007199254740991,"b":-9007199254740991}') == {
        "a": 9007199254740991,
        "b": -9007199254740991,
    }
    assert parse_strict('"\\ud83d\\ude00"') == "\U0001f600"
    assert parse_strict("[" * 32 + "]" * 32)
    with pytest.raises(IntegrityError):
        parse_strict("[1, 2]", max_bytes=5)


def test_json_test_suite(corpora: Path) -> None:
    """All that must be refused is, and what must be accepted is, but for what I-JSON forbids."""
    strict = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
    files = sorted((corpora / "JSONTestSuite").rglob("[yn]_*.json"))
    assert len(files) > 100
    wrong = []
    for file in files:
        try:
            parse_strict(file.read_bytes())
        except IntegrityError as error:
            if file.name.startswith("y_") and file.name not in strict:
                wrong.append(f"{file.name} refused: {error.reason}")
        else:
            if file.name.startswith("n_"):
                wrong.append(f"{file.name} accepted")
    assert not wrong


# Multibase and Multikey


def test_multibase_vectors(corpora: Path) -> None:
    texts = {
        "basic.csv": b"yes mani !",
        "leading_zero.csv": b"\x00yes mani !",
        "two_leading_zeros.csv": b"\x00\x00yes mani !",
    }
    for name, data in texts.items():
        with (corpora / "multibase" / name).open(newline="", encoding="utf-8") as file:
            rows = {row[0]: row[1] for row in csv.reader(file, skipinitialspace=True)}
        assert encode_base58btc(data) == rows["base58btc"]
        assert decode_base58btc(rows["base58btc"]) == data
        for base, text in rows.items():
            if base not in ("base58btc", "encoding"):
                with pytest.raises(IntegrityError):
                    decode_base58btc(text)


@pytest.mark.parametrize(
    "text", ["", "6Mk", "z0", "zO", "zI", "zl", "z ", "z" + "1" * 200, "z\u00e9"]
)
def test_base58_that_is_none(text: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        decode_base58btc(text)
    assert caught.value.reason == "multibase_malformed"


def test_long_base58_is_refused_at_once() -> None:
    started = process_time()
    with pytest.raises(IntegrityError):
        decode_base58btc("z" + "2" * 1_000_000)
    assert process_time() - started < 0.5


def test_multikeys_there_and_back() -> None:
    assert encode_multikey(PUBLIC_KEY).startswith("z6Mk")
    assert decode_multikey(encode_multikey(PUBLIC_KEY)) == PUBLIC_KEY
    assert encode_secret_multikey(KEY).startswith("z3u2")
    assert decode_secret_multikey(encode_secret_multikey(KEY)).public_key() == PUBLIC_KEY
    assert decode_base58btc("z") == b""


def test_multikeys_that_are_refused() -> None:
    raw = PUBLIC_KEY.public_bytes_raw()
    wrong = [
        encode_secret_multikey(KEY),
        encode_base58btc(raw),
        encode_base58btc(b"\xed\x01" + raw[:-1]),
        encode_base58btc(b"\xed\x01" + raw + b"\0"),
        encode_base58btc(b"\xe7\x01" + raw),
    ]
    for text in wrong:
        with pytest.raises(IntegrityError) as caught:
            decode_multikey(text)
        assert caught.value.reason == "key_unusable"


# Published proofs


def _features(corpora: Path, name: str) -> list[tuple[str, list[Any]]]:
    """Scenarios of a FEP's feature file: the whole text, and the JSON documents in it."""
    text = (corpora / "fep-features" / name).read_text()
    return [
        (part, [json.loads(block) for block in re.findall(r'"""\s*(\{.*?)"""', part, re.DOTALL)])
        for part in text.split("Scenario:")[1:]
    ]


def test_w3c_eddsa_jcs_2022_vectors(corpora: Path) -> None:
    folder = corpora / "vc-di-eddsa"
    vectors = folder / "eddsa-jcs-2022"
    pair = json.loads((folder / "keyPair.json").read_text())
    secret = decode_secret_multikey(pair["privateKeyMultibase"])
    public = decode_multikey(pair["publicKeyMultibase"])
    assert encode_multikey(secret.public_key()) == pair["publicKeyMultibase"]
    unsigned = parse_strict((folder / "unsigned.json").read_bytes())
    options = parse_strict((vectors / "proofConfigJCS.json").read_bytes())
    signed = parse_strict((vectors / "signedJCS.json").read_bytes())

    assert canonicalize(unsigned).decode() == (vectors / "canonDocJCS.txt").read_text().strip()
    assert canonicalize(options).decode() == (vectors / "proofCanonJCS.txt").read_text().strip()
    hashes = sha256(canonicalize(options)).hexdigest() + sha256(canonicalize(unsigned)).hexdigest()
    assert hashes == (vectors / "combinedHashJCS.txt").read_text().strip()
    value = bytes.fromhex((vectors / "sigHexJCS.txt").read_text())
    assert encode_base58btc(value) == (vectors / "sigBTC58JCS.txt").read_text().strip()

    method = options["verificationMethod"]
    created = datetime.fromisoformat(options["created"])
    assert create_proof(unsigned, secret, method, "assertionMethod", created) == signed["proof"]
    proof = verify_proof(
        signed, public, verification_method=method, purpose="assertionMethod", now_ms=NOW
    )
    assert proof.created == int(created.timestamp() * 1000)


def test_fep_8b32_vectors(corpora: Path) -> None:
    (signing, (plain, signed)), (_, (again, actor)) = _features(corpora, "8b32/fep-8b32.feature")
    secret = decode_secret_multikey(re.findall('secret key "(.*?)"', signing)[0])
    method = re.findall('for key "(.*?)"', signing)[0]
    created = datetime.fromisoformat(re.findall('current time "(.*?)"', signing)[0])
    assert again == signed
    assert create_proof(plain, secret, method, "assertionMethod", created) == signed["proof"]
    (key,) = actor["assertionMethod"]
    verify_proof(
        signed,
        decode_multikey(key["publicKeyMultibase"]),
        verification_method=key["id"],
        purpose="assertionMethod",
        now_ms=NOW,
    )


def test_fep_c390_vectors(corpora: Path) -> None:
    """A document without a context, whose proof has none either."""
    (creating, (claim, signed)), (_, (actor,)) = _features(corpora, "c390/fep-c390.feature")
    secret = decode_secret_multikey(re.findall('private Key "(.*?)"', creating)[0])
    did = claim["subject"]
    created = datetime.fromisoformat(re.findall('current time "(.*?)"', creating)[0])
    assert create_proof(claim, secret, did, "assertionMethod", created) == signed["proof"]
    verify_proof(
        actor["attachment"][0],
        decode_multikey(did.removeprefix("did:key:")),
        verification_method=did,
        purpose="assertionMethod",
        now_ms=NOW,
    )


def test_fep_521a_vectors(corpora: Path) -> None:
    (ed25519, (multikey,)), (rsa, (rsa_multikey,)) = _features(corpora, "521a/fep-521a.feature")
    raw = bytes.fromhex(re.findall('hex string "(.*?)"', ed25519)[0])
    public = Ed25519PublicKey.from_public_bytes(raw)
    assert encode_multikey(public) == multikey["publicKeyMultibase"]
    assert decode_multikey(multikey["publicKeyMultibase"]) == public
    # RSA keys travel as PEM; a Multikey of one is no key for a proof.
    der = bytes.fromhex(re.findall('hex string "(.*?)"', rsa)[0])
    assert isinstance(serialization.load_der_public_key(der), RSAPublicKey)
    assert encode_base58btc(b"\x85\x24" + der) == rsa_multikey["publicKeyMultibase"]
    with pytest.raises(IntegrityError):
        decode_multikey(rsa_multikey["publicKeyMultibase"])


def test_fep_examples_are_read(corpora: Path) -> None:
    """The examples leave the value of the proof out: found, and refused for that alone."""
    files = sorted((corpora / "fep-examples").glob("fep-8b32-*.json"))
    assert files
    for file in files:
        document = parse_strict(file.read_bytes())
        (proof,) = list_proofs(document)
        assert proof.verification_method == "https://server.example/users/alice#ed25519-key"
        with pytest.raises(IntegrityError) as caught:
            verify_proof(
                document,
                PUBLIC_KEY,
                verification_method=proof.verification_method,
                purpose="assertionMethod",
                now_ms=NOW,
            )
        assert caught.value.reason == "multibase_malformed"


# Proofs there and back


def test_a_proof_verifies_and_says_what_it_is() -> None:
    document = sealed()
    expected = Proof(METHOD, "assertionMethod", int(CREATED.timestamp() * 1000), None)
    assert check(document) == expected
    assert list_proofs(document) == [expected]
    assert check(json.loads(json.dumps(document))) == expected


def test_apsig_deleted_the_proof_from_the_document_it_verified() -> None:
    document = sealed()
    before = copy.deepcopy(document)
    check(document, public_aliases=True)
    list_proofs(document)
    normalize_public(document)
    assert document == before
    plain = copy.deepcopy(DOCUMENT)
    create_proof(plain, KEY, METHOD, "assertionMethod", CREATED)
    assert plain == DOCUMENT


def test_created_is_said_in_utc_and_must_be_aware() -> None:
    east = CREATED.astimezone(timezone(timedelta(hours=5)))
    proof = create_proof(DOCUMENT, KEY, METHOD, "assertionMethod", east)
    assert proof["created"] == "2026-03-20T09:00:00Z"
    with pytest.raises(ValueError, match="aware"):
        create_proof(DOCUMENT, KEY, METHOD, "assertionMethod", CREATED.replace(tzinfo=None))


def test_a_document_is_not_sealed_twice() -> None:
    with pytest.raises(IntegrityError) as caught:
        create_proof(sealed(), KEY, METHOD, "assertionMethod", CREATED)
    assert caught.value.reason == "proof_present"


# Forgery


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in items:
        if isinstance(part, dict | list):
            yield from _paths(part, (*path, key))
        else:
            yield (*path, key)


def test_any_change_of_document_or_proof_is_noticed() -> None:
    document = sealed()
    paths = list(_paths(document))
    assert len(paths) > 10
    for path in paths:
        forged = copy.deepcopy(document)
        place = forged
        for key in path[:-1]:
            place = place[key]
        old = place[path[-1]]
        place[path[-1]] = old + "x" if path != ("proof", "created") else "2026-03-20T09:00:01Z"
        assert refusal(forged).startswith(("proof_", "multibase_")), path
        if isinstance(place, dict):
            del place[path[-1]]
            assert refusal(forged).startswith("proof_"), path
    for addition in ({"name": "x"}, {"@type": "x"}, {"proofs": []}):
        assert refusal({**document, **addition}) == "proof_wrong"
    with_nonce = {**document, "proof": {**document["proof"], "nonce": "x"}}
    assert refusal(with_nonce) == "proof_wrong"


def test_another_key_another_method_another_purpose() -> None:
    other = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(IntegrityError) as caught:
        verify_proof(
            sealed(),
            other,
            verification_method=METHOD,
            purpose="assertionMethod",
            now_ms=NOW,
        )
    assert caught.value.reason == "proof_wrong"
    assert refusal(sealed(), verification_method=METHOD + "2") == "proof_missing"
    assert refusal(sealed(), purpose="authentication") == "proof_purpose"
    assert refusal(sealed(purpose="authentication")) == "proof_purpose"


def test_the_proof_of_another_document_does_not_carry_over() -> None:
    other = {**DOCUMENT, "credentialSubject": {"id": "https://evil.example/eve"}}
    assert refusal({**other, "proof": sealed()["proof"]}) == "proof_wrong"


@pytest.mark.parametrize(
    "proof",
    [None, "x", [], {}, 1, [[]], {"type": "DataIntegrityProof"}, {"type": "RsaSignature2017"}],
)
def test_no_proof_at_all(proof: Any) -> None:
    assert refusal({**DOCUMENT, "proof": proof}) == "proof_missing"
    assert list_proofs({**DOCUMENT, "proof": proof}) == []
    assert refusal(DOCUMENT) == "proof_missing"


def test_other_cryptosuites_are_no_proof() -> None:
    document = sealed()
    for suite in ("eddsa-rdfc-2022", "ecdsa-jcs-2019", "", None):
        forged = {**document, "proof": {**document["proof"], "cryptosuite": suite}}
        assert refusal(forged) == "proof_missing"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"proofValue": None}, "proof_malformed"),
        ({"proofValue": ""}, "multibase_malformed"),
        ({"proofValue": "z"}, "proof_malformed"),
        ({"proofValue": "u" + "A" * 86}, "multibase_malformed"),
        ({"proofValue": encode_base58btc(b"\x01" * 63)}, "proof_malformed"),
        ({"proofValue": encode_base58btc(b"\x01" * 65)}, "proof_malformed"),
        ({"created": 1}, "proof_malformed"),
        ({"created": "2026-03-20"}, "proof_malformed"),
        ({"created": "2026-03-20T09:00:00"}, "proof_malformed"),
        ({"created": "2026-13-20T09:00:00Z"}, "proof_malformed"),
        ({"created": "0000-01-01T00:00:00Z"}, "proof_malformed"),
        ({"created": "0001-01-01T00:00:00+23:59"}, "proof_wrong"),
        ({"created": "9999-12-31T23:59:59-23:59"}, "proof_date"),
        ({"proofPurpose": ["assertionMethod"]}, "proof_malformed"),
        ({"expires": "soon"}, "proof_malformed"),
    ],
)
def test_malformed_proofs(change: dict[str, Any], reason: str) -> None:
    document = sealed()
    assert refusal({**document, "proof": {**document["proof"], **change}}) == reason


def _seal_with(options: dict[str, Any], document: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    """A proof with options of the forger's choice, rightly signed."""
    full = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-jcs-2022",
        "verificationMethod": METHOD,
        "proofPurpose": "assertionMethod",
        **options,
    }
    data = sha256(canonicalize(full)).digest() + sha256(canonicalize(document)).digest()
    return {**document, "proof": {**full, "proofValue": encode_base58btc(KEY.sign(data))}}


def test_dates_of_a_proof() -> None:
    hour = timedelta(hours=1)
    now = datetime.fromtimestamp(NOW / 1000, UTC)

    def say(moment: datetime) -> str:
        return moment.isoformat().replace("+00:00", "Z")

    assert check(_seal_with({})).created is None
    assert check(_seal_with({"created": say(now + hour / 2)}))
    assert refusal(_seal_with({"created": say(now + hour * 2)})) == "proof_date"
    assert check(_seal_with({"expires": say(now + hour)})).expires == NOW + 3_600_000
    assert refusal(_seal_with({"expires": say(now - hour)})) == "proof_expired"


def test_the_context_of_a_proof_must_begin_the_documents() -> None:
    document = sealed()
    longer = {**document, "@context": [*DOCUMENT["@context"], "https://x.example/"]}
    assert check(longer)
    for context in (["https://x.example/", *DOCUMENT["@context"]], [], "https://x.example/", None):
        assert refusal({**document, "@context": context}) == "proof_context"
    bare = {name: value for name, value in document.items() if name != "@context"}
    assert refusal(bare) == "proof_context"
    # A proof without a context of its own covers the document's as it stands.
    plain = _seal_with({})
    assert check(plain)
    assert refusal({**plain, "@context": [*DOCUMENT["@context"], "https://x.example/"]}) == (
        "proof_wrong"
    )
    single = {**DOCUMENT, "@context": "https://www.w3.org/ns/credentials/v2"}
    assert check({**sealed(single), "@context": ["https://www.w3.org/ns/credentials/v2"]})


def test_several_proofs() -> None:
    document = sealed()
    other = {**document["proof"], "verificationMethod": METHOD + "-rdfc", "proofValue": "z1"}
    assert check({**document, "proof": [other, document["proof"]]})
    twice = [document["proof"], document["proof"]]
    assert refusal({**document, "proof": twice}) == "proof_ambiguous"
    for count, fits in ((7, True), (8, False)):
        others = [{**other, "verificationMethod": f"{METHOD}-{n}"} for n in range(count)]
        many = {**document, "proof": [*others, document["proof"]]}
        if fits:
            assert check(many)
        else:
            assert refusal(many) == "proof_ambiguous"


# FEP-8b32 as Fedify prints it


def _activity(public: str) -> dict[str, Any]:
    return {
        "@context": "https://www.w3.org/ns/activitystreams",
        "type": "Create",
        "to": public,
        "cc": ["https://hospital.example/users/alice/followers", public],
        "object": {"type": "Note", "to": [public], "content": "as:Public", "tag": [{"to": public}]},
    }


@pytest.mark.parametrize("alias", ["as:Public", "Public"])
def test_fedify_signs_the_full_public_iri_and_prints_the_short(alias: str) -> None:
    proof = sealed(_activity(PUBLIC))["proof"]
    printed = {**_activity(alias), "proof": proof}
    assert refusal(printed) == "proof_wrong"
    assert check(printed, public_aliases=True)
    assert check({**_activity(PUBLIC), "proof": proof}, public_aliases=True)
    assert check(sealed(_activity(alias)), public_aliases=True)
    # Only where recipients are named: words in a text are not recipients.
    forged = copy.deepcopy(printed)
    forged["object"]["content"] = PUBLIC
    assert refusal(forged, public_aliases=True) == "proof_wrong"
    private = {**printed, "to": "https://hospital.example/users/bob"}
    assert refusal(private, public_aliases=True) == "proof_wrong"


def test_normalised_recipients() -> None:
    expected = _activity(PUBLIC)
    expected["object"]["content"] = "as:Public"
    assert normalize_public(_activity("as:Public")) == expected
