"""Signatures: both ways, what peers do differently, tampering, dates, digests and keys."""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fedidoc.activitypub import signatures
from fedidoc.activitypub.digests import check_digest, digest_body
from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signatures import (
    Scheme,
    SigningKey,
    VerifyingKey,
    read_public_key,
    sign,
)
from tests.activitypub.signing import (
    ALICE,
    BODY,
    ED_KEY,
    ED_PRIVATE,
    HOUR,
    KEYS,
    NOW,
    RSA_KEY,
    RSA_PRIVATE,
    URL,
    changed,
    check,
    public_half,
    refusal,
    sign_cavage,
    sign_rfc9421,
    signed,
)

# Both ways


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("url", [URL, URL + "?page=1&x=%2F", "https://SOCIETY.example:443"])
def test_what_is_signed_verifies(scheme: Scheme, method: str, url: str) -> None:
    request = signed(scheme, method=method, url=url, body=BODY if method == "POST" else b"")
    key = public_half(KEYS[scheme])
    signature = check(request, key)
    assert signature.key_id == KEYS[scheme].key_id
    assert signatures.scheme_of(signature, key) is scheme
    assert request.header("host") == "society.example"


def test_the_headers_peers_were_seen_to_demand() -> None:
    cavage = dict(signed().headers)
    assert 'headers="(request-target) host date digest"' in cavage["signature"]
    assert 'algorithm="rsa-sha256"' in cavage["signature"]
    assert cavage["digest"].startswith("SHA-256=")
    message = dict(signed(Scheme.RFC9421).headers)
    assert message["signature-input"].startswith('sig1=("@method" "@target-uri" "content-digest")')
    assert f";created={NOW // 1000};" in message["signature-input"]
    assert message["content-digest"] == f"sha-256=:{digest_body(BODY)}:"


def test_one_digest_serves_many_hosts() -> None:
    prepared = digest_body(BODY)
    arguments = {"key": RSA_KEY, "scheme": Scheme.CAVAGE, "now_ms": NOW}
    assert sign("POST", URL, BODY, **arguments) == sign(
        "POST", URL, BODY, **arguments, prepared_digest=prepared
    )


def test_a_key_signs_only_its_own_scheme() -> None:
    for scheme, key in ((Scheme.CAVAGE, ED_KEY), (Scheme.RFC9421_ED25519, RSA_KEY)):
        with pytest.raises(ValueError, match="cannot sign"):
            sign("POST", URL, BODY, key=key, scheme=scheme, now_ms=NOW)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/x\r\nhost: b.example",
        "https://a.example/a b",
        "ftp://a.example/",
        "https://user@a.example/",
        "https:///x",
        "/inbox",
        "https://a.example/\u00e9",
    ],
)
def test_a_url_that_could_be_read_two_ways_is_not_signed(url: str) -> None:
    with pytest.raises(SignatureError) as caught:
        sign("GET", url, b"", key=RSA_KEY, scheme=Scheme.CAVAGE, now_ms=NOW)
    assert caught.value.reason == "target_malformed"


def test_a_key_id_cannot_break_out_of_its_quotes() -> None:
    with pytest.raises(ValueError, match="key id"):
        SigningKey('https://a.example/#k",headers="date', RSA_PRIVATE)


# What peers do differently


def test_the_query_may_be_left_out_of_the_target_as_fedify_does() -> None:
    request = signed(url=URL + "?page=2")
    without = sign_cavage(request, "(request-target) host date digest", path="/users/house/inbox")
    check(without, public_half(RSA_KEY))
    other = sign_cavage(request, "(request-target) host date digest", path="/users/house")
    assert refusal(other, public_half(RSA_KEY)) == "signature_wrong"


@pytest.mark.parametrize("algorithm", [None, "hs2019", "RSA-SHA256"])
def test_the_key_decides_where_the_algorithm_is_vague(algorithm: str | None) -> None:
    request = sign_cavage(signed(), "digest date host (request-target)", algorithm=algorithm)
    check(request, public_half(RSA_KEY))


def test_cavage_with_an_ed25519_key() -> None:
    for algorithm in (None, "hs2019", "ed25519"):
        request = sign_cavage(
            signed(), "(request-target) host date digest", algorithm=algorithm, key=ED_KEY
        )
        check(request, public_half(ED_KEY))


def test_created_may_stand_for_the_date() -> None:
    request = sign_cavage(
        signed(),
        "(request-target) host (created) digest",
        algorithm="hs2019",
        extra=f"created={NOW // 1000},",
    )
    assert check(request, public_half(RSA_KEY)).created == NOW
    stripped = changed(request, "signature", lambda v: v.replace("created=", "created=1"))
    assert refusal(stripped, public_half(RSA_KEY)) in ("signature_malformed", "date_outside_window")
    moved = changed(
        request, "signature", lambda v: v.replace(f"{NOW // 1000}", f"{NOW // 1000 + 60}")
    )
    assert refusal(moved, public_half(RSA_KEY)) == "signature_wrong"


def test_signature_under_authorization_as_the_draft_also_has_it() -> None:
    request = signed()
    lines = tuple(
        ("authorization", "Signature " + value) if name == "signature" else (name, value)
        for name, value in request.headers
    )
    check(dataclasses.replace(request, headers=lines), public_half(RSA_KEY))


def test_a_bearer_token_beside_a_signature_is_no_second_signature() -> None:
    request = signed()
    lines = (*request.headers, ("authorization", "Bearer abc"))
    check(dataclasses.replace(request, headers=lines), public_half(RSA_KEY))


def test_path_and_authority_may_stand_for_the_target_uri() -> None:
    digest = f"sha-256=:{digest_body(BODY)}:"
    request = Request("POST", URL + "?a=b", (("content-digest", digest),), BODY)
    lines = [
        ("@method", "POST"),
        ("@authority", "society.example"),
        ("@path", "/users/house/inbox"),
        ("@query", "?a=b"),
        ("@scheme", "https"),
        ("@request-target", "/users/house/inbox?a=b"),
        ("content-digest", digest),
    ]
    whole = sign_rfc9421(request, lines, f';created={NOW // 1000};keyid="{ED_KEY.key_id}"')
    check(whole, public_half(ED_KEY))
    for name in ("@authority", "@path", "@method", "content-digest"):
        rest = [line for line in lines if line[0] != name]
        partial = sign_rfc9421(request, rest, f';created={NOW // 1000};keyid="{ED_KEY.key_id}"')
        assert refusal(partial, public_half(ED_KEY)) == "signature_incomplete"


def test_rfc9421_without_created_is_refused() -> None:
    digest = f"sha-256=:{digest_body(BODY)}:"
    request = Request("POST", URL, (("content-digest", digest),), BODY)
    lines = [("@method", "POST"), ("@target-uri", URL), ("content-digest", digest)]
    undated = sign_rfc9421(request, lines, f';keyid="{ED_KEY.key_id}"')
    assert refusal(undated, public_half(ED_KEY)) == "signature_incomplete"


def test_parameters_in_any_order_and_spacing_are_signed_in_canonical_form() -> None:
    request = signed(Scheme.RFC9421_ED25519)
    spaced = changed(
        request, "signature-input", lambda v: v.replace("=(", "=(  ").replace(";", ";  ")
    )
    check(spaced, public_half(ED_KEY))


def test_what_was_signed_for_another_host_is_no_use_here() -> None:
    elsewhere = signed(url="https://other.example/users/house/inbox")
    replayed = dataclasses.replace(elsewhere, url=URL)
    assert refusal(replayed, public_half(RSA_KEY)) == "host_mismatch"
    renamed = changed(replayed, "host", lambda _: "society.example")
    assert refusal(renamed, public_half(RSA_KEY)) == "signature_wrong"
    for scheme in (Scheme.RFC9421, Scheme.RFC9421_ED25519):
        message = signed(scheme, url="https://other.example/users/house/inbox")
        moved = dataclasses.replace(message, url=URL)
        assert refusal(moved, public_half(KEYS[scheme])) == "signature_wrong"


def test_host_is_signed_as_it_was_written() -> None:
    written = changed(signed(), "host", lambda _: "Society.Example:443")
    check(sign_cavage(written, "(request-target) host date digest"), public_half(RSA_KEY))


# Tampering


@pytest.mark.parametrize("scheme", list(Scheme))
def test_every_covered_part_is_bound(scheme: Scheme) -> None:
    key = public_half(KEYS[scheme])
    request = signed(scheme)
    assert refusal(dataclasses.replace(request, method="PUT"), key) == "signature_wrong"
    for url in (
        "https://society.example/users/other/inbox",
        "https://elsewhere.example/users/house/inbox",
    ):
        reason = refusal(dataclasses.replace(request, url=url), key)
        assert reason in ("signature_wrong", "host_mismatch")
    forged = dataclasses.replace(request, body=b'{"type":"Delete"}')
    assert refusal(forged, key) == "digest_wrong"
    header = "digest" if scheme is Scheme.CAVAGE else "content-digest"
    fitting = changed(
        forged, header, lambda v: v.replace(digest_body(BODY), digest_body(forged.body))
    )
    assert refusal(fitting, key) == "signature_wrong"
    if scheme is Scheme.CAVAGE:
        dated = changed(request, "date", lambda v: v.replace("0 GMT", "1 GMT"))
    else:
        dated = changed(request, "signature-input", lambda v: v.replace("created=17", "created=18"))
        assert refusal(dated, key) == "date_outside_window"
        dated = changed(
            request,
            "signature-input",
            lambda v: v.replace(f"{NOW // 1000}", f"{NOW // 1000 + 1}"),
        )
    assert refusal(dated, key) == "signature_wrong"


@pytest.mark.parametrize("scheme", list(Scheme))
def test_another_actors_key(scheme: Scheme) -> None:
    request = signed(scheme)
    stranger = (
        ed25519.Ed25519PrivateKey.generate()
        if scheme is Scheme.RFC9421_ED25519
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    mallory = VerifyingKey(KEYS[scheme].key_id, ALICE, stranger.public_key())
    assert refusal(request, mallory) == "signature_wrong"
    renamed = VerifyingKey(f"{ALICE}#other", ALICE, KEYS[scheme].private.public_key())
    assert refusal(request, renamed) == "key_mismatch"


@pytest.mark.parametrize("scheme", list(Scheme))
def test_the_kind_of_key_must_fit_what_is_said(scheme: Scheme) -> None:
    other = ED_KEY if KEYS[scheme] is RSA_KEY else RSA_KEY
    key = VerifyingKey(KEYS[scheme].key_id, ALICE, other.private.public_key())
    assert refusal(signed(scheme), key) == "algorithm_refused"


# Dates


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize(
    ("age_ms", "fits"),
    [
        (0, True),
        (12 * HOUR - 1000, True),
        (12 * HOUR + 1000, False),
        (-HOUR + 1000, True),
        (-HOUR - 1000, False),
    ],
)
def test_the_date_window(scheme: Scheme, age_ms: int, fits: bool) -> None:
    request = signed(scheme)
    if fits:
        check(request, public_half(KEYS[scheme]), NOW + age_ms)
    else:
        reason = refusal(request, public_half(KEYS[scheme]), NOW + age_ms)
        assert reason == "date_outside_window"


def test_every_date_that_is_stated_must_fit() -> None:
    request = sign_cavage(
        signed(),
        "(request-target) host (created) date digest",
        algorithm="hs2019",
        extra=f"created={NOW // 1000 - 13 * 3600},",
    )
    assert refusal(request, public_half(RSA_KEY)) == "date_outside_window"


def test_what_has_expired_is_refused() -> None:
    second = NOW // 1000
    for expires, fits in ((second + 1, True), (second - 1, False)):
        request = sign_cavage(
            signed(),
            "(request-target) host (created) (expires) digest",
            algorithm="hs2019",
            extra=f"created={second - 60},expires={expires},",
        )
        if fits:
            check(request, public_half(RSA_KEY))
        else:
            assert refusal(request, public_half(RSA_KEY)) == "signature_expired"


@pytest.mark.parametrize(
    "date",
    [
        "yesterday",
        "",
        "Sun, 31 Feb 2026 00:00:00 GMT",
        "Fri, 20 Foo 2026 09:46:40 GMT",
        "Fri, 20 Mar 2026 25:46:40 GMT",
        "Fri, 20 Mar 2026 09:46:40 +0100",
        "Fri, 20 Mar 2026 09:46:40 GMT\n",
    ],
)
def test_a_date_that_is_none(date: str) -> None:
    request = changed(signed(), "date", lambda _: date)
    assert refusal(request, public_half(RSA_KEY)) in ("date_malformed", "signed_header_malformed")


# Digests


def test_sha512_digests_are_read_too() -> None:
    value = base64.b64encode(hashlib.sha512(BODY).digest()).decode()
    for name, text in (("digest", f"sha-512={value}"), ("content-digest", f"sha-512=:{value}:")):
        check_digest(Request("POST", URL, ((name, text),), BODY))


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), "digest_missing"),
        ((("digest", "MD5=abcd"),), "digest_unknown"),
        ((("digest", "SHA-256=" + "A" * 45),), "digest_malformed"),
        ((("digest", "SHA-256=" + "A" * 44),), "digest_wrong"),
        ((("digest", "SHA-256=" + "A" * 43 + "="),), "digest_wrong"),
        ((("digest", f"SHA-256={digest_body(BODY)},SHA-256={digest_body(b'x')}"),), "digest_wrong"),
        ((("digest", "SHA-256=" + "A" * 2000),), "digest_malformed"),
        ((("content-digest", "sha-256=1"),), "digest_malformed"),
        ((("content-digest", "sha-256=(:AA==:)"),), "digest_malformed"),
        ((("content-digest", "md5=:AA==:"),), "digest_unknown"),
        ((("content-digest", "!"),), "digest_malformed"),
        (
            (("content-digest", f"sha-256=:{digest_body(BODY)}:"), ("digest", "MD5=AA==")),
            "digest_unknown",
        ),
        (
            (
                ("digest", f"SHA-256={digest_body(BODY)}"),
                ("content-digest", f"sha-256=:{digest_body(b'x')}:"),
            ),
            "digest_wrong",
        ),
    ],
)
def test_digests_that_do_not_hold(headers: tuple[tuple[str, str], ...], reason: str) -> None:
    with pytest.raises(SignatureError) as caught:
        check_digest(Request("POST", URL, headers, BODY))
    assert caught.value.reason == reason


# Keys


def _pem(key: object) -> str:
    assert hasattr(key, "public_bytes")
    text: bytes = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return text.decode()


def test_keys_that_are_read() -> None:
    for private in (RSA_PRIVATE, ED_PRIVATE):
        assert read_public_key(_pem(private.public_key())) == private.public_key()
    pkcs1 = RSA_PRIVATE.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.PKCS1
    )
    assert read_public_key(pkcs1.decode()) == RSA_PRIVATE.public_key()


def test_keys_that_are_refused() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    numbers = RSA_PRIVATE.public_key().public_numbers()
    secret = RSA_PRIVATE.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    huge = rsa.RSAPublicNumbers((1 << 64) + 1, numbers.n).public_key()
    texts = ["", "x", "-----BEGIN PUBLIC KEY-----\n" + "A" * 5000, secret, _pem(weak), _pem(huge)]
    texts.append(_pem(ec.generate_private_key(ec.SECP256R1()).public_key()))
    texts.append(_pem(RSA_PRIVATE.public_key()) + "\u00e9")
    for text in texts:
        with pytest.raises(SignatureError) as caught:
            read_public_key(text)
        assert caught.value.reason == "key_unusable"
    with pytest.raises(SignatureError):
        VerifyingKey(f"{ALICE}#main-key", ALICE, weak)


def _stated_keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        pem = value.get("publicKeyPem")
        if isinstance(pem, str) and pem.startswith("-----BEGIN"):
            yield pem
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _stated_keys(part)


def test_keys_that_real_servers_publish(corpora: Path) -> None:
    """Read, but for a damaged one, an elided one and the 1024 bits of an old Bridgy."""
    unread: set[str] = set()
    read_keys: list[int] = []
    texts = [file.read_text(errors="replace") for file in sorted(corpora.rglob("*.json"))]
    head_and_body = [file.read_text() for file in (corpora / "mastodon-request-fixtures").iterdir()]
    texts += [text.partition("\n\n")[2] for text in head_and_body]
    for text in texts:
        if '"publicKeyPem"' not in text:
            continue
        for pem in _stated_keys(json.loads(text)):
            try:
                public = read_public_key(pem)
            except SignatureError as error:
                assert error.reason == "key_unusable"
                unread.add(pem)
            else:
                read_keys.append(public.key_size if isinstance(public, rsa.RSAPublicKey) else 0)
    assert len(read_keys) > 50
    assert {2048, 4096} <= set(read_keys)
    assert len(unread) <= 3


# A foreign signer


def test_a_foreign_signer_and_verifier() -> None:
    httpsig = pytest.importorskip(
        "httpsig",
        reason="httpsig is not installed or does not import on this Python",
        exc_type=ImportError,
    )
    pem = RSA_PRIVATE.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    names = ["(request-target)", "host", "date", "digest"]
    signer = httpsig.HeaderSigner(
        RSA_KEY.key_id, pem, algorithm="rsa-sha256", headers=names, sign_header="signature"
    )
    ours = signed()
    plain = {name: value for name, value in ours.headers if name != "signature"}
    theirs = signer.sign(plain, method="POST", path="/users/house/inbox")
    lines = tuple((name.lower(), value) for name, value in theirs.items())
    check(Request("POST", URL, lines, BODY), public_half(RSA_KEY))
    verifier = httpsig.HeaderVerifier(
        dict(ours.headers),
        _pem(RSA_PRIVATE.public_key()),
        required_headers=names,
        method="POST",
        path="/users/house/inbox",
        sign_header="signature",
    )
    assert verifier.verify()
