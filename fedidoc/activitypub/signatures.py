"""Sign and verify one HTTP request: draft-cavage-http-signatures-12 and RFC 9421. Pure.

What a signature must cover is decided here, never by its sender: the target, the host, the time
and, when there is a body, its digest. The key decides the algorithm; what the request says of it
may only agree. RSA is PKCS #1 v1.5 with SHA-256, Ed25519 is RFC 8032; everything else (HMAC, ECDSA,
RSA-PSS, SHA-1) is refused.

A receiver calls, in this order, ``parse`` (grammar and coverage), ``check_dates``,
``check_digest`` and, once it has the key, ``verify``.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fedidoc.activitypub.digests import (
    BodyDigest,
    as_content_digest,
    as_digest,
    check_digest,
    digest_body,
)
from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signature_bases import (
    Target,
    field_value,
    read_date,
    signature_bases,
    split_url,
)
from fedidoc.activitypub.signature_fields import Family, Signature, read

__all__ = [
    "MAX_AGE_MS",
    "MAX_SKEW_MS",
    "BodyDigest",
    "Family",
    "Scheme",
    "Signature",
    "SigningKey",
    "VerifyingKey",
    "check_dates",
    "check_digest",
    "digest_body",
    "parse",
    "read",
    "read_public_key",
    "scheme_of",
    "sign",
    "signature_bases",
    "verify",
]

MAX_SKEW_MS: Final = 3_600_000
MAX_AGE_MS: Final = 12 * 3_600_000
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
MAX_PEM_LENGTH: Final = 4096

_PADDING: Final = PKCS1v15()
_SHA256: Final = SHA256()

# By key, the algorithm names that may stand beside a signature (None: not said).
_RSA_NAMES: Final = {
    Family.CAVAGE: frozenset({None, "hs2019", "rsa-sha256"}),
    Family.RFC9421: frozenset({None, "rsa-v1_5-sha256"}),
}
_ED25519_NAMES: Final = {
    Family.CAVAGE: frozenset({None, "hs2019", "ed25519"}),
    Family.RFC9421: frozenset({None, "ed25519"}),
}
_VISIBLE = re.compile(r"[!-~]++")


class Scheme(StrEnum):
    """A way to sign; what is remembered of a host once it has accepted one."""

    CAVAGE = "cavage"
    RFC9421 = "rfc9421-rsa"
    RFC9421_ED25519 = "rfc9421-ed25519"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key of this server and the URL under which others find its public half."""

    key_id: str
    private: RSAPrivateKey | Ed25519PrivateKey

    def __post_init__(self) -> None:
        if _VISIBLE.fullmatch(self.key_id) is None or '"' in self.key_id or "\\" in self.key_id:
            raise ValueError("a key id is a URL without quotes or spaces")


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key and who owns it; ``owner`` is the id of the actor.

    RSA keys have 2048 to 8192 bits; anything else raises ``SignatureError`` (``key_unusable``).
    """

    key_id: str
    owner: str
    public: RSAPublicKey | Ed25519PublicKey

    def __post_init__(self) -> None:
        _check_public_key(self.public)


def read_public_key(pem: str) -> RSAPublicKey | Ed25519PublicKey:
    """An actor's ``publicKeyPem``: SubjectPublicKeyInfo or PKCS #1, RSA or Ed25519.

    Raises ``SignatureError`` (``key_unusable``).
    """
    if len(pem) > MAX_PEM_LENGTH or not pem.isascii():
        raise _key_unusable()
    try:
        public = load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _key_unusable() from error
    if not isinstance(public, RSAPublicKey | Ed25519PublicKey):
        raise _key_unusable()
    _check_public_key(public)
    return public


def _check_public_key(public: RSAPublicKey | Ed25519PublicKey) -> None:
    if isinstance(public, RSAPublicKey):
        exponent = public.public_numbers().e
        if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
            raise _key_unusable()
        # An exponent of 1 makes every message its own signature; a long one costs time.
        if exponent < 3 or exponent.bit_length() > 33:
            raise _key_unusable()


def _key_unusable() -> SignatureError:
    return SignatureError(
        "key_unusable", "The key must be Ed25519 or RSA of 2048 to 8192 bits, in PEM."
    )


def parse(request: Request) -> Signature:
    """The signature of a request, if it covers what this server demands. No cryptography.

    draft-cavage: ``(request-target)``, ``host`` and ``date`` or ``(created)``. RFC 9421:
    ``@method`` and ``@target-uri`` (or ``@path`` and ``@authority``), with ``created``. A request
    that is not GET or HEAD, or has a body, must have ``digest`` or ``content-digest`` covered as
    well. Raises ``SignatureError``.
    """
    signature = read(request)
    covered = set(signature.components)
    has_body = bool(request.body) or request.method not in ("GET", "HEAD")
    if signature.family is Family.CAVAGE:
        needed = {"(request-target)", "host"} | ({"digest"} if has_body else set())
        complete = needed <= covered and not covered.isdisjoint({"date", "(created)"})
    else:
        needed = {"@method"} | ({"content-digest"} if has_body else set())
        target = "@target-uri" in covered or {"@path", "@authority"} <= covered
        complete = needed <= covered and target and signature.created is not None
    if not complete:
        raise SignatureError(
            "signature_incomplete",
            "The signature must cover the target, the host, the date and the digest of the body.",
        )
    return signature


def check_dates(signature: Signature, request: Request, now_ms: int) -> None:
    """Refuse what was signed more than 12 h ago, more than 1 h ahead, or has expired.

    Every time that is stated must fit: ``created``, and ``Date`` where it is covered. Raises
    ``SignatureError``.
    """
    times = [] if signature.created is None else [signature.created]
    if "date" in signature.components:
        times.append(read_date(field_value(request, "date")))
    if not times:
        raise SignatureError("date_missing", "The signature must say when it was made.")
    if not all(now_ms - MAX_AGE_MS <= time <= now_ms + MAX_SKEW_MS for time in times):
        raise SignatureError(
            "date_outside_window", "The signature is too old or from the future; sign again."
        )
    if signature.expires is not None and signature.expires < now_ms:
        raise SignatureError("signature_expired", "The signature has expired; sign again.")


def verify(signature: Signature, request: Request, key: VerifyingKey) -> None:
    """Check the signature with a key that the caller has found for ``signature.key_id``.

    Says nothing of coverage, dates or the body: see the module. Raises ``SignatureError``
    (``key_mismatch``, ``algorithm_refused``, ``signature_wrong``).
    """
    if key.key_id != signature.key_id:
        raise SignatureError("key_mismatch", "The signature names another key.")
    names = _RSA_NAMES if isinstance(key.public, RSAPublicKey) else _ED25519_NAMES
    if signature.algorithm not in names[signature.family]:
        raise SignatureError("algorithm_refused", "The algorithm does not fit the key.")
    for base in signature_bases(signature, request):
        try:
            if isinstance(key.public, RSAPublicKey):
                key.public.verify(signature.value, base, _PADDING, _SHA256)
            else:
                key.public.verify(signature.value, base)
        except InvalidSignature:
            continue
        return
    raise SignatureError("signature_wrong", "The signature does not fit the request and the key.")


def scheme_of(signature: Signature, key: VerifyingKey) -> Scheme:
    """The scheme that a verified signature used."""
    if signature.family is Family.CAVAGE:
        return Scheme.CAVAGE
    return Scheme.RFC9421 if isinstance(key.public, RSAPublicKey) else Scheme.RFC9421_ED25519


def sign(
    method: str,
    url: str,
    body: bytes,
    *,
    key: SigningKey,
    scheme: Scheme,
    now_ms: int,
    content_type: str | None = None,
    prepared_digest: BodyDigest | None = None,
) -> dict[str, str]:
    """The headers to send with a request: ``Host``, ``Date``, ``Signature``, for RFC 9421
    ``Signature-Input``, unless it is a GET or HEAD ``Digest`` or ``Content-Digest``, and
    ``Content-Type`` if one is given.

    ``method`` is upper case; the request must go out with the path and query exactly as ``url``
    has them. ``prepared_digest`` is ``digest_body(body)``, made once for many hosts. What is
    covered is what every peer was seen to accept. Raises ``SignatureError`` for a URL that cannot
    be signed, ``ValueError`` for a key that does not fit the scheme.
    """
    if isinstance(key.private, RSAPrivateKey) == (scheme is Scheme.RFC9421_ED25519):
        raise ValueError(f"this key cannot sign {scheme.value}")
    target = split_url(url)
    seconds = now_ms // 1000
    headers = {"Host": target.authority, "Date": _date_of(seconds)}
    if content_type is not None:
        headers["Content-Type"] = content_type
    digest = None
    if method not in ("GET", "HEAD"):
        digest = prepared_digest if prepared_digest is not None else digest_body(body)
    if scheme is Scheme.CAVAGE:
        _sign_cavage(headers, method, target, key, digest)
    else:
        _sign_rfc9421(headers, method, target, key, digest, seconds)
    return headers


@lru_cache(maxsize=4)
def _date_of(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _sign_cavage(
    headers: dict[str, str],
    method: str,
    target: Target,
    key: SigningKey,
    digest: BodyDigest | None,
) -> None:
    covered = "(request-target) host date"
    base = (
        f"(request-target): {method.lower()} {target.path}{target.query}\n"
        f"host: {headers['Host']}\ndate: {headers['Date']}"
    )
    if digest is not None:
        headers["Digest"] = as_digest(digest)
        covered += " digest"
        base += f"\ndigest: {headers['Digest']}"
    headers["Signature"] = (
        f'keyId="{key.key_id}",algorithm="rsa-sha256",headers="{covered}",'
        f'signature="{_sign_base(key, base)}"'
    )


def _sign_rfc9421(
    headers: dict[str, str],
    method: str,
    target: Target,
    key: SigningKey,
    digest: BodyDigest | None,
    seconds: int,
) -> None:
    covered = '"@method" "@target-uri"'
    base = f'"@method": {method}\n"@target-uri": {target.uri}\n'
    if digest is not None:
        headers["Content-Digest"] = as_content_digest(digest)
        covered += ' "content-digest"'
        base += f'"content-digest": {headers["Content-Digest"]}\n'
    algorithm = "rsa-v1_5-sha256" if isinstance(key.private, RSAPrivateKey) else "ed25519"
    parameters = f'({covered});created={seconds};keyid="{key.key_id}";alg="{algorithm}"'
    headers["Signature-Input"] = f"sig1={parameters}"
    base += f'"@signature-params": {parameters}'
    headers["Signature"] = f"sig1=:{_sign_base(key, base)}:"


def _sign_base(key: SigningKey, base: str) -> str:
    octets = base.encode("ascii")
    if isinstance(key.private, RSAPrivateKey):
        value = key.private.sign(octets, _PADDING, _SHA256)
    else:
        value = key.private.sign(octets)
    return b64encode(value).decode("ascii")
