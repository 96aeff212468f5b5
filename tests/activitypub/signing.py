"""Requests signed rightly and wrongly, and all the checks of a receiver in one call."""

import base64
import dataclasses
import re
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from fedidoc.activitypub.digests import check_digest
from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signatures import (
    Scheme,
    Signature,
    SigningKey,
    VerifyingKey,
    check_dates,
    parse,
    sign,
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
