"""Signatures: published vectors, a foreign signer, and every way others were deceived."""

import base64
import dataclasses
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512

from fedidoc.activitypub import signatures
from fedidoc.activitypub.digests import check_digest, digest_body
from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signatures import (
    Family,
    Scheme,
    Signature,
    SigningKey,
    VerifyingKey,
    check_dates,
    parse,
    read,
    read_public_key,
    sign,
    signature_bases,
    verify,
)

NOW = 1_774_000_000_000
HOUR = 3_600_000
URL = "https://society.example/users/house/inbox"
ALICE = "https://hospital.example/users/alice"
BODY = b'{"type":"Create"}'

RSA_PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED_PRIVATE = ed25519.Ed25519PrivateKey.generate()
RSA_KEY = SigningKey(f"{ALICE}#main-key", RSA_PRIVATE)
ED_KEY = SigningKey(f"{ALICE}#ed25519-key", ED_PRIVATE)
KEYS = {Scheme.CAVAGE: RSA_KEY, Scheme.RFC9421: RSA_KEY, Scheme.RFC9421_ED25519: ED_KEY}


def public_half(key: SigningKey) -> VerifyingKey:
    return VerifyingKey(key.key_id, ALICE, key.private.public_key())


def signed(
    scheme: Scheme = Scheme.CAVAGE,
    *,
    method: str = "POST",
    url: str = URL,
    body: bytes = BODY,
    now_ms: int = NOW,
) -> Request:
    headers = sign(method, url, body, key=KEYS[scheme], scheme=scheme, now_ms=now_ms)
    lines = tuple((name.lower(), value) for name, value in headers.items())
    return Request(method, url, lines, body)


def changed(request: Request, name: str, change: Callable[[str], str | None]) -> Request:
    """The request with each line of one header changed, or left out for None."""
    lines = []
    for field, value in request.headers:
        new = change(value) if field == name else value
        if new is not None:
            lines.append((field, new))
    assert tuple(lines) != request.headers, "nothing was changed"
    return dataclasses.replace(request, headers=tuple(lines))


def check(request: Request, key: VerifyingKey, now_ms: int = NOW) -> Signature:
    """All that a receiver checks."""
    signature = parse(request)
    check_dates(signature, request, now_ms)
    if request.method == "POST":
        check_digest(request)
    verify(signature, request, key)
    return signature


def refusal(request: Request, key: VerifyingKey, now_ms: int = NOW) -> str:
    with pytest.raises(SignatureError) as caught:
        check(request, key, now_ms)
    return caught.value.reason


def sign_cavage(
    request: Request,
    covered: str,
    *,
    algorithm: str | None = "rsa-sha256",
    key: SigningKey = RSA_KEY,
    extra: str = "",
    path: str | None = None,
) -> Request:
    """A cavage signature over whatever is asked, as a peer with other habits would make it."""
    target = path if path is not None else "/" + request.url.split("/", 3)[3]
    stated = dict(re.findall(r"(created|expires)=([0-9]+)", extra))
    lines = []
    for name in covered.split():
        if name == "(request-target)":
            lines.append(f"{name}: {request.method.lower()} {target}")
        elif name in ("(created)", "(expires)"):
            lines.append(f"{name}: {stated[name[1:-1]]}")
        else:
            lines.append(f"{name}: {request.header(name)}")
    base = "\n".join(lines).encode()
    if isinstance(key.private, rsa.RSAPrivateKey):
        value = key.private.sign(base, padding.PKCS1v15(), SHA256())
    else:
        value = key.private.sign(base)
    said = f'algorithm="{algorithm}",' if algorithm is not None else ""
    header = (
        f'keyId="{key.key_id}",{said}{extra}headers="{covered}",'
        f'signature="{base64.b64encode(value).decode()}"'
    )
    kept = tuple(line for line in request.headers if line[0] not in ("signature", "authorization"))
    return dataclasses.replace(request, headers=(*kept, ("signature", header)))


def sign_rfc9421(
    request: Request, lines: list[tuple[str, str]], parameters: str, key: SigningKey = ED_KEY
) -> Request:
    """An RFC 9421 signature over the given lines and parameters, true or not."""
    names = " ".join(f'"{name}"' for name, _ in lines)
    base = "".join(f'"{name}": {value}\n' for name, value in lines)
    base += f'"@signature-params": ({names}){parameters}'
    if isinstance(key.private, rsa.RSAPrivateKey):
        value = key.private.sign(base.encode(), padding.PKCS1v15(), SHA256())
    else:
        value = key.private.sign(base.encode())
    kept = [line for line in request.headers if line[0] not in ("signature", "signature-input")]
    kept.append(("signature-input", f"s=({names}){parameters}"))
    kept.append(("signature", f"s=:{base64.b64encode(value).decode()}:"))
    return dataclasses.replace(request, headers=tuple(kept))


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


# Misskey CVE-2026-28432


@pytest.mark.parametrize("name", ["keyId", "headers", "signature"])
def test_misskey_cve_2026_28432_stripped_parameters(name: str) -> None:
    request = changed(signed(), "signature", lambda v: re.sub(f'{name}="[^"]*",?', "", v))
    assert refusal(request, public_half(RSA_KEY)) in (
        "key_id_malformed",
        "signature_malformed",
        "signature_incomplete",
    )


@pytest.mark.parametrize("name", ["keyid", "created"])
def test_misskey_cve_2026_28432_stripped_rfc9421_parameters(name: str) -> None:
    request = changed(
        signed(Scheme.RFC9421), "signature-input", lambda v: re.sub(f";{name}=[^;]*", "", v)
    )
    assert refusal(request, public_half(RSA_KEY)) in ("key_id_malformed", "signature_incomplete")


@pytest.mark.parametrize("covered", ["(request-target)", "host", "date", "digest"])
def test_misskey_cve_2026_28432_uncovered_parts(covered: str) -> None:
    """Signed by the right key, but the sender chose to leave something out."""
    names = "(request-target) host date digest".replace(covered, "").split()
    request = sign_cavage(signed(), " ".join(names))
    assert refusal(request, public_half(RSA_KEY)) == "signature_incomplete"


@pytest.mark.parametrize("scheme", list(Scheme))
def test_misskey_cve_2026_28432_digest_present_but_not_signed(scheme: Scheme) -> None:
    get = signed(scheme, method="GET", body=b"")
    digests = (
        ("digest", f"SHA-256={digest_body(BODY)}"),
        ("content-digest", f"sha-256=:{digest_body(BODY)}:"),
    )
    as_post = Request("POST", URL, (*get.headers, *digests), BODY)
    assert refusal(as_post, public_half(KEYS[scheme])) == "signature_incomplete"
    with_body = Request("GET", URL, (*get.headers, *digests), BODY)
    assert refusal(with_body, public_half(KEYS[scheme])) == "signature_incomplete"


@pytest.mark.parametrize("name", ["keyId", "KEYID", "headers", "signature", "algorithm"])
def test_misskey_cve_2026_28432_duplicate_parameters(name: str) -> None:
    found = re.search(f'{name}="[^"]*"', signed().header("signature") or "", re.IGNORECASE)
    assert found is not None
    again = re.sub("^[A-Za-z]+", name, found.group())
    for place in (lambda v: f"{v},{again}", lambda v: f"{again},{v}"):
        request = changed(signed(), "signature", place)
        assert refusal(request, public_half(RSA_KEY)) == "signature_ambiguous"


def test_misskey_cve_2026_28432_duplicate_components_and_labels() -> None:
    twice = sign_cavage(signed(), "(request-target) host date digest date")
    assert refusal(twice, public_half(RSA_KEY)) == "signature_ambiguous"
    request = signed(Scheme.RFC9421)
    names = changed(
        request, "signature-input", lambda v: v.replace('"@method"', '"@method" "@method"')
    )
    assert refusal(names, public_half(RSA_KEY)) == "signature_ambiguous"
    keyids = changed(request, "signature-input", lambda v: v + ';keyid="https://x.example/#k"')
    assert refusal(keyids, public_half(RSA_KEY)) == "signature_malformed"
    second = tuple(
        (name, value.replace("sig1", "sig2"))
        for name, value in request.headers
        if name.startswith("signature")
    )
    two = dataclasses.replace(request, headers=(*request.headers, *second))
    assert refusal(two, public_half(RSA_KEY)) == "signature_ambiguous"
    same = dataclasses.replace(
        request, headers=(*request.headers, *(h for h in request.headers if "signature" in h[0]))
    )
    assert refusal(same, public_half(RSA_KEY)) == "signature_malformed"
    lines = (*signed().headers, ("signature", signed().header("signature") or ""))
    repeated = dataclasses.replace(signed(), headers=lines)
    assert refusal(repeated, public_half(RSA_KEY)) == "signature_ambiguous"


@pytest.mark.parametrize("name", ["host", "date", "digest"])
def test_a_signed_header_sent_twice_is_refused(name: str) -> None:
    request = signed()
    again = dataclasses.replace(
        request, headers=(*request.headers, (name, request.header(name) or ""))
    )
    assert refusal(again, public_half(RSA_KEY)) == "signed_header_missing"


def test_misskey_cve_2026_28432_reordered_parameters() -> None:
    """The order of parameters means nothing in cavage; the order of covered names is signed."""
    request = changed(signed(), "signature", lambda v: ",".join(reversed(v.split(","))))
    check(request, public_half(RSA_KEY))
    names = changed(signed(), "signature", lambda v: v.replace("host date", "date host"))
    assert refusal(names, public_half(RSA_KEY)) == "signature_wrong"
    message = signed(Scheme.RFC9421)
    swapped = changed(
        message,
        "signature-input",
        lambda v: v.replace('"@method" "@target-uri"', '"@target-uri" "@method"'),
    )
    assert refusal(swapped, public_half(RSA_KEY)) == "signature_wrong"
    parameters = changed(
        message, "signature-input", lambda v: re.sub("(;created=[0-9]+)(;.*)", r"\2\1", v)
    )
    assert refusal(parameters, public_half(RSA_KEY)) == "signature_wrong"


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha512", "HMAC-SHA256"])
def test_misskey_cve_2026_28432_hmac_with_the_public_key_as_secret(algorithm: str) -> None:
    pem = RSA_PRIVATE.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    request = sign_cavage(signed(), "(request-target) host date digest", algorithm=algorithm)
    base = next(
        signature_bases(
            read(changed(request, "signature", lambda v: v.replace(algorithm, "hs2019"))), request
        )
    )
    value = base64.b64encode(hmac.digest(pem, base, "sha256")).decode()
    for name in (algorithm, "hs2019", "rsa-sha256"):
        forged = changed(
            request,
            "signature",
            lambda v, name=name: re.sub(
                'signature="[^"]*"', f'signature="{value}"', v.replace(algorithm, name)
            ),
        )
        expected = "algorithm_refused" if name == algorithm else "signature_wrong"
        assert refusal(forged, public_half(RSA_KEY)) == expected


@pytest.mark.parametrize(
    "algorithm",
    ["hmac-sha256", "rsa-pss-sha512", "ecdsa-p256-sha256", "rsa-sha256", "none", "", "RSA-V1_5"],
)
def test_rfc9421_algorithms_that_are_refused(algorithm: str) -> None:
    request = changed(
        signed(Scheme.RFC9421),
        "signature-input",
        lambda v: re.sub('alg="[^"]*"', f'alg="{algorithm}"', v),
    )
    # Already by grammar, so that no key is looked for.
    with pytest.raises(SignatureError) as caught:
        read(request)
    assert caught.value.reason == "algorithm_refused"


@pytest.mark.parametrize("algorithm", ["rsa-sha1", "ecdsa-sha256", "dsa-sha1", "none", "x"])
def test_cavage_algorithms_that_are_refused(algorithm: str) -> None:
    request = sign_cavage(signed(), "(request-target) host date digest", algorithm=algorithm)
    assert refusal(request, public_half(RSA_KEY)) == "algorithm_refused"


def test_misskey_cve_2026_28432_both_families_present_and_disagreeing() -> None:
    cavage, message = signed(), signed(Scheme.RFC9421)
    lines = dict(cavage.headers)
    only_input = Request(
        "POST",
        URL,
        (*cavage.headers, ("signature-input", message.header("signature-input") or "")),
        BODY,
    )
    assert refusal(only_input, public_half(RSA_KEY)) == "signature_malformed"
    both = Request("POST", URL, (*message.headers, ("signature", lines["signature"])), BODY)
    assert refusal(both, public_half(RSA_KEY)) == "signature_malformed"
    under = Request(
        "POST",
        URL,
        (*message.headers, ("authorization", "Signature " + lines["signature"])),
        BODY,
    )
    assert refusal(under, public_half(RSA_KEY)) == "signature_ambiguous"
    twice = Request(
        "POST", URL, (*cavage.headers, ("authorization", "signature " + lines["signature"])), BODY
    )
    assert refusal(twice, public_half(RSA_KEY)) == "signature_ambiguous"


def test_component_parameters_that_change_what_is_covered_are_refused() -> None:
    for parameter in (";sf", ";bs", ';key="sha-256"', ";req", ";tr"):
        request = changed(
            signed(Scheme.RFC9421),
            "signature-input",
            lambda v, parameter=parameter: v.replace(
                '"content-digest"', f'"content-digest"{parameter}'
            ),
        )
        assert refusal(request, public_half(RSA_KEY)) == "signature_malformed"


def test_a_header_value_cannot_forge_a_line() -> None:
    request = signed()
    lines = (*request.headers, ("x-note", "a\ndate: Fri, 20 Mar 2026 09:46:40 GMT"))
    forged = sign_cavage(
        dataclasses.replace(request, headers=lines), "(request-target) host date digest x-note"
    )
    assert refusal(forged, public_half(RSA_KEY)) == "signed_header_malformed"


# Malformed and hostile headers


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "keyId",
        'keyId="a',
        'keyId="a" headers="b"',
        'keyId="a\\"b",signature="YQ=="',
        'keyId="",headers="date",signature="YQ=="',
        'keyId="a",headers="date",signature="%%%"',
        'keyId="a",headers="date",signature=""',
        'keyId="a",headers="da te\u0130",signature="YQ=="',
        'keyId="a b",headers="date",signature="YQ=="',
        'keyId="a",created=1e9,headers="(created)",signature="YQ=="',
        'keyId="a",created=-1,headers="(created)",signature="YQ=="',
        'keyId="a",created=0123,headers="(created)",signature="YQ=="',
        'keyId="a",headers="(expires)",signature="YQ=="',
        'keyId="a",headers="' + "a " * 40 + '",signature="YQ=="',
        ",".join(f'{chr(97 + i)}x="1"' for i in range(20)),
        'keyId="a",headers="date",signature="YQ==",',
        "sig1=:YQ==:",
    ],
)
def test_malformed_cavage_headers(text: str) -> None:
    with pytest.raises(SignatureError):
        parse(Request("POST", URL, (("signature", text), ("date", "x")), BODY))


@pytest.mark.parametrize(
    ("input_text", "signature_text"),
    [
        ("", ""),
        ("a=()", ""),
        ("a=()", "b=:YQ==:"),
        ("a=()", "a=1"),
        ("a=1", "a=:YQ==:"),
        ("a=()", "a=(:YQ==:)"),
        ('a=("@status");keyid="k"', "a=:YQ==:"),
        ('a=("@query-param";name="x");keyid="k"', "a=:YQ==:"),
        ('a=("Date");keyid="k"', "a=:YQ==:"),
        ('a=(date);keyid="k"', "a=:YQ==:"),
        ('a=("date");keyid=k', "a=:YQ==:"),
        ('a=("date");keyid="k";created="1"', "a=:YQ==:"),
        ('a=("date");keyid="k";created=-1', "a=:YQ==:"),
        ('a=("date");keyid="k";created=1.5', "a=:YQ==:"),
        ('a=("date");keyid="k";created=?1', "a=:YQ==:"),
        ('a=("date");keyid="k";created=@1', "a=:YQ==:"),
        ('a=("date");keyid="k"', "a=::"),
        ('a=("date");keyid="k\u00e9"', "a=:YQ==:"),
    ],
)
def test_malformed_rfc9421_headers(input_text: str, signature_text: str) -> None:
    headers = (("signature-input", input_text), ("signature", signature_text))
    with pytest.raises(SignatureError):
        read(Request("POST", URL, headers, BODY))


def test_more_parts_than_anybody_needs_are_refused() -> None:
    request = signed()
    lines = tuple((f"x-{number}", "y") for number in range(40))
    padded = dataclasses.replace(request, headers=(*request.headers, *lines))
    needed = "(request-target) host date digest"
    for count, fits in ((28, True), (29, False)):
        many = sign_cavage(padded, " ".join([needed, *(f"x-{n}" for n in range(count))]))
        if fits:
            check(many, public_half(RSA_KEY))
        else:
            assert refusal(many, public_half(RSA_KEY)) == "signature_malformed"
    for count, fits in ((12, True), (13, False)):
        extra = "".join(f'{chr(97 + n)}x="1",' for n in range(count))
        many = changed(request, "signature", lambda v, extra=extra: extra + v)
        if fits:
            check(many, public_half(RSA_KEY))
        else:
            assert refusal(many, public_half(RSA_KEY)) == "signature_malformed"


def test_long_headers_are_refused_before_they_are_read() -> None:
    for text in ('keyId="' + "a" * 9000, " " * 9000, "a=" * 5000, 'x="' * 4000, '"' * 9000):
        for headers in (
            (("signature", text),),
            (("authorization", "Signature " + text),),
            (("signature-input", text), ("signature", "a=:YQ==:")),
            tuple(("signature", part) for part in (text[:4500], text[4500:])),
        ):
            with pytest.raises(SignatureError) as caught:
                read(Request("POST", URL, headers, BODY))
            assert caught.value.reason == "signature_too_long"


@pytest.mark.parametrize(
    "text", [" " * 8000, 'a="' * 2600, "a" * 8000, 'a="1",' * 1300, '"' * 8000, "a=" + "\t" * 8000]
)
def test_hostile_headers_cost_little(text: str) -> None:
    started = process_time()
    for _ in range(50):
        with pytest.raises(SignatureError):
            read(Request("POST", URL, (("signature", text),), BODY))
    assert process_time() - started < 1


def test_an_unsigned_request_is_told_so() -> None:
    with pytest.raises(SignatureError) as caught:
        parse(Request("GET", URL, (("date", "x"), ("authorization", "Bearer x"))))
    assert caught.value.reason == "signature_missing"


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


# Published vectors


def _message(text: str) -> Request:
    """An HTTP message as the vectors print it."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.splitlines()
    method, path, _ = first.split(" ")
    headers = tuple(
        (name.strip().lower(), value.strip())
        for name, _, value in (line.partition(":") for line in lines)
    )
    host = dict(headers).get("host", "example.com")
    return Request(method, f"https://{host}{path}", headers, body.encode())


def _with(request: Request, text: str) -> Request:
    lines = tuple(
        (name.lower(), value)
        for name, _, value in (line.partition(": ") for line in text.splitlines())
    )
    return dataclasses.replace(request, headers=(*request.headers, *lines))


def _appendix_b(corpora: Path) -> dict[str, list[str]]:
    blocks = json.loads((corpora / "rfc9421-appendix-b" / "appendix-b.blocks.json").read_text())
    return {block["section"].partition(" {#")[0]: block["text_blocks"] for block in blocks}


def _appendix_b_key(corpora: Path) -> VerifyingKey:
    pem = _appendix_b(corpora)["Example Ed25519 Test Key"][0].partition("\n\n")[0]
    return VerifyingKey("test-key-ed25519", "https://example.org/", read_public_key(pem))


def test_rfc9421_b_2_6_ed25519(corpora: Path) -> None:
    blocks = _appendix_b(corpora)
    request = _with(_message(blocks["Test Cases"][0]), blocks["Signing a Request using ed25519"][1])
    base = blocks["Signing a Request using ed25519"][0]
    signature = read(request)
    assert signature.family is Family.RFC9421
    assert list(signature_bases(signature, request)) == [base.encode()]
    verify(signature, request, _appendix_b_key(corpora))
    check_digest(request)
    # It covers no digest of the body: a valid signature is not yet one that this server takes.
    with pytest.raises(SignatureError) as caught:
        parse(request)
    assert caught.value.reason == "signature_incomplete"
    # Ed25519 is deterministic, so that signing can be held to the same bytes.
    secret = blocks["Example Ed25519 Test Key"][0].partition("\n\n")[2]
    private = serialization.load_pem_private_key(secret.encode(), None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    assert private.sign(base.encode()) == signature.value


def test_rfc9421_b_4_transformations(corpora: Path) -> None:
    blocks = _appendix_b(corpora)["HTTP Message Transformations"]
    messages = [block for block in blocks if re.match("(GET|POST) ", block)]
    key = _appendix_b_key(corpora)
    verdicts = []
    for block in messages:
        request = _message(block)
        signature = parse(request) if request.method == "GET" else read(request)
        try:
            verify(signature, request, key)
        except SignatureError as error:
            verdicts.append(error.reason)
        else:
            verdicts.append("valid")
    # The first four are the same message to RFC 9421; then another method and another order.
    assert verdicts == ["valid"] * 4 + ["signature_wrong"] * 2


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("Minimal Signature Using rsa-pss-sha512", "signature_incomplete"),
        ("Full Coverage using rsa-pss-sha512", "signature_wrong"),
        ("Selective Covered Components using rsa-pss-sha512", "signature_malformed"),
        ("Signing a Request using hmac-sha256", "signature_incomplete"),
    ],
)
def test_rfc9421_appendix_b_with_algorithms_that_are_refused(
    corpora: Path, section: str, reason: str
) -> None:
    blocks = _appendix_b(corpora)
    request = _with(_message(blocks["Test Cases"][0]), blocks[section][1])
    pem = blocks["Example RSA PSS Key"][0].partition("\n\n")[0]
    with pytest.raises(SignatureError) as caught:
        signature = parse(request)
        public = read_public_key(pem)
        verify(signature, request, VerifyingKey(signature.key_id, "https://e.example/", public))
    assert caught.value.reason == reason
    if "Full" in section:
        base = next(signature_bases(signature, request))
        assert base == blocks[section][0].encode()
        assert isinstance(public, rsa.RSAPublicKey)
        public.verify(signature.value, base, padding.PSS(padding.MGF1(SHA512()), 64), SHA512())


def test_rfc9421_b_3_ecdsa_behind_a_proxy_is_refused(corpora: Path) -> None:
    blocks = _appendix_b(corpora)
    request = _message(blocks["TLS-Terminating Proxies"][4])
    assert (
        next(signature_bases(read(request), request))
        == blocks["TLS-Terminating Proxies"][2].encode()
    )
    pem = blocks["Example ECC P-256 Test Key"][0].partition("\n\n")[0]
    with pytest.raises(SignatureError) as caught:
        read_public_key(pem)
    assert caught.value.reason == "key_unusable"


def _appendix_c(corpora: Path) -> tuple[str, rsa.RSAPublicKey]:
    text = (corpora / "cavage-appendix-c" / "appendix-c.txt").read_text()
    found = re.search("-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", text, re.DOTALL)
    assert found is not None
    pem = re.sub("(?m)^ +", "", found.group())
    public = serialization.load_pem_public_key(pem.encode())
    assert isinstance(public, rsa.RSAPublicKey)
    return text, public


_APPENDIX_C_REQUEST = Request(
    "POST",
    "https://example.com/foo?param=value&pet=dog",
    (
        ("host", "example.com"),
        ("date", "Sun, 05 Jan 2014 21:31:40 GMT"),
        ("content-type", "application/json"),
        ("digest", "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="),
        ("content-length", "18"),
    ),
    b'{"hello": "world"}',
)


def _appendix_c_header(text: str, section: str) -> str:
    """The value of ``Authorization`` as printed, its lines joined again."""
    part = text[text.index(section) :]
    found = re.search('Authorization: Signature (.*?signature="[^"]*")', part, re.DOTALL)
    assert found is not None
    return re.sub(r"\n\s+", "", re.sub(r"(\(expires\))\n\s+", r"\1 ", found.group(1)))


@pytest.mark.parametrize(("section", "reason"), [("C.1.", "incomplete"), ("C.2.", "incomplete")])
def test_cavage_appendix_c(corpora: Path, section: str, reason: str) -> None:
    text, public = _appendix_c(corpora)
    header = _appendix_c_header(text, section)
    if "headers=" not in header:
        header += ',headers="date"'
    request = dataclasses.replace(
        _APPENDIX_C_REQUEST, headers=(*_APPENDIX_C_REQUEST.headers, ("signature", header))
    )
    signature = read(request)
    base = next(signature_bases(signature, request))
    public.verify(signature.value, base, padding.PKCS1v15(), SHA256())
    # Valid, and yet refused: C.1 and C.2 cover no digest, and the key has 1024 bits.
    with pytest.raises(SignatureError) as caught:
        parse(request)
    assert caught.value.reason == f"signature_{reason}"
    with pytest.raises(SignatureError):
        VerifyingKey("Test", "https://example.com/", public)


def test_cavage_appendix_c_3_all_headers(corpora: Path) -> None:
    """As printed it breaks the draft's own rule that ``(created)`` does not go with RSA names;
    the value printed is that of the string to sign that is printed, without the two."""
    text, public = _appendix_c(corpora)
    header = _appendix_c_header(text, "C.3.")
    request = dataclasses.replace(
        _APPENDIX_C_REQUEST, headers=(*_APPENDIX_C_REQUEST.headers, ("signature", header))
    )
    with pytest.raises(SignatureError) as caught:
        parse(request)
    assert caught.value.reason == "signature_malformed"
    plain = changed(request, "signature", lambda v: v.replace("(created) (expires) ", ""))
    signature = parse(plain)
    base = next(signature_bases(signature, plain))
    public.verify(signature.value, base, padding.PKCS1v15(), SHA256())
    check_digest(plain)
    with pytest.raises(InvalidSignature):
        public.verify(signature.value, base + b" ", padding.PKCS1v15(), SHA256())


@pytest.mark.parametrize("name", ["rsa", "ed25519", "ecdsa", "p256"])
def test_cavage_ccg_messages_signed(corpora: Path, name: str) -> None:
    """The suite prints values that do not fit its own keys, so its string to sign is what is held
    to, and that a signature by its key over that string is read back."""
    folder = corpora / "cavage-ccg-messages"
    request = _message((folder / f"{name}-signed.httpMessage").read_text())
    signature = read(request)
    base = next(signature_bases(signature, request))
    assert base == (
        b"host: example.com\ndigest: SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
    )
    with pytest.raises(SignatureError) as caught:
        parse(request)
    assert caught.value.reason == "signature_incomplete"
    public = read_public_key((folder / "keys" / "ed25519.pub").read_text())
    key = VerifyingKey(signature.key_id, "https://e.example/", public)
    with pytest.raises(SignatureError) as caught:
        verify(signature, request, key)
    assert caught.value.reason == "signature_wrong"
    private = serialization.load_pem_private_key(
        (folder / "keys" / "ed25519.private").read_bytes(), None
    )
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    verify(dataclasses.replace(signature, value=private.sign(base)), request, key)


def test_cavage_ccg_messages_malformed(corpora: Path) -> None:
    """None of them covers what this server demands; what each is refused for differs."""
    expected = {
        "basic-request": "signature_missing",
        "default-test": "signature_missing",
        "ignore-case": "signature_missing",
        "zero-length": "signature_missing",
        "created": "signature_incomplete",
        "created-ecdsa": "algorithm_refused",
        "created-hmac": "algorithm_refused",
        "created-rsa": "algorithm_refused",
        "duplicate-headers-request": "algorithm_refused",
        "duplicate-parameters": "signature_ambiguous",
        "expires": "signature_malformed",
        "nokeyid-request": "key_id_malformed",
        "nosignature-request": "algorithm_refused",
    }
    found = {}
    for name in expected:
        file = corpora / "cavage-ccg-messages" / f"{name}.httpMessage"
        with pytest.raises(SignatureError) as caught:
            parse(_message(file.read_text()))
        found[name] = caught.value.reason
    assert found == expected


# A foreign signer


def test_a_foreign_signer_and_verifier() -> None:
    httpsig = pytest.importorskip(
        "httpsig", reason="httpsig is not installed or does not import on this Python"
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
