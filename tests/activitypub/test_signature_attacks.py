"""Every way others were deceived by the headers of a signature, and hostile headers."""

import base64
import contextlib
import dataclasses
import hmac
import re
from time import process_time

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from fedidoc.activitypub.digests import check_digest, digest_body
from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signatures import (
    Scheme,
    parse,
    read,
    signature_bases,
)
from tests.activitypub.signing import (
    BODY,
    ED_KEY,
    KEYS,
    RSA_KEY,
    RSA_PRIVATE,
    URL,
    changed,
    check,
    public_half,
    refusal,
    sign_cavage,
    signed,
)

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


_HEADER_TEXT = st.one_of(
    st.text(max_size=200),
    st.text(alphabet='ab=",;:()\\ \t@?%-1z', max_size=200),
    st.lists(
        st.sampled_from(
            [
                *('keyId="a"', "headers=", '"(created)"', "created=1", 'signature="YQ=="'),
                *("sig1=", ","),
                '("@method"',
                ' "date")',
                ";created=1",
                ';keyid="k"',
                ":YQ==:",
                "sha-256=",
                "SHA-256=",
            ]
        ),
        max_size=12,
    ).map("".join),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "signature",
                    "signature-input",
                    "authorization",
                    "digest",
                    "content-digest",
                    "date",
                ]
            ),
            _HEADER_TEXT,
        ),
        max_size=6,
    )
)
@settings(max_examples=400, deadline=None)
def test_no_header_causes_anything_but_a_refusal(headers: list[tuple[str, str]]) -> None:
    request = Request("POST", URL, tuple(headers), BODY)
    for step in (lambda: check(request, public_half(ED_KEY)), lambda: check_digest(request)):
        with contextlib.suppress(SignatureError):
            step()
            fitting = {f"SHA-256={digest_body(BODY)}", f"sha-256=:{digest_body(BODY)}:"}
            assert fitting & {value for _, value in headers}


def test_an_unsigned_request_is_told_so() -> None:
    with pytest.raises(SignatureError) as caught:
        parse(Request("GET", URL, (("date", "x"), ("authorization", "Bearer x"))))
    assert caught.value.reason == "signature_missing"
