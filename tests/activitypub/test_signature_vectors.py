"""Signatures against published vectors: RFC 9421 appendix B, draft-cavage appendix C and its suite.

Where a vector is for something that is refused on purpose, that it is refused is what is tested.
"""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512

from fedidoc.activitypub.digests import check_digest
from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signatures import (
    Family,
    VerifyingKey,
    parse,
    read,
    read_public_key,
    signature_bases,
    verify,
)


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
    lines = (
        *_APPENDIX_C_REQUEST.headers,
        ("signature", header.replace("(created) (expires) ", "")),
    )
    plain = dataclasses.replace(request, headers=lines)
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
