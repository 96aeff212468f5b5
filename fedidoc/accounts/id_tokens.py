"""What an identity provider signed, believed or not: ID tokens and logout tokens. Pure.

The provider's discovery document names the algorithms and this module those that may be (RS256,
PS256, ES256, EdDSA); the token only chooses among both. The key is found by its id in the
provider's key set and must be of the algorithm's own kind, so that no public key ever serves as a
shared secret. Keys that a token brings along (`jwk`, `jku`, `x5c`) are not looked at.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

# Said of keys and algorithms that are judged here anyway; the log takes no lines but its own.
warnings.filterwarnings("ignore", category=SecurityWarning)

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
SKEW: Final = 120
"""Seconds that the provider's clock may be away from ours."""
_OLDEST: Final = 600
_KINDS: Final = {
    "RS256": ("RSA", ""),
    "PS256": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
}
_MOST_KEYS: Final = 100
_RSA_BITS: Final = range(2048, 8193)
_LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_ID_TYPES: Final = frozenset({"", "jwt"})
_LOGOUT_TYPES: Final = frozenset({"", "jwt", "logout+jwt"})


class NotBelieved(Exception):
    """The token is not to be believed; `reason` is one of our own words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownKey(NotBelieved):
    """No key of the set has the token's key id: the provider may have new ones."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key of the provider's set that may check signatures."""

    kid: str | None
    kind: tuple[str, str]
    algorithm: str | None
    key: RSAKey | ECKey | OKPKey


def read_keys(document: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """The usable keys of a JWK Set (RFC 7517 section 5); others are passed over.

    Only the public half is ever read. NotBelieved if it is no key set.
    """
    entries = document.get("keys")
    if not isinstance(entries, list) or len(entries) > _MOST_KEYS:
        raise NotBelieved("bad_keys")
    found = (_read_key(entry) for entry in entries if isinstance(entry, dict))
    return tuple(key for key in found if key is not None)


def _read_key(entry: Mapping[str, Any]) -> PublicKey | None:
    kty, crv, kid = entry.get("kty"), entry.get("crv"), entry.get("kid")
    kind = (str(kty), str(crv) if kty in ("EC", "OKP") else "")
    operations = entry.get("key_ops")
    if (
        kind not in _KINDS.values()
        or entry.get("use", "sig") != "sig"
        or (operations is not None and operations != ["verify"])
        or not isinstance(kid, str | None)
    ):
        return None
    key: RSAKey | ECKey | OKPKey
    try:
        if kty == "RSA":
            key = RSAKey.import_key({name: entry[name] for name in ("kty", "n", "e")})
            if key.public_key.key_size not in _RSA_BITS:
                return None
        elif kty == "EC":
            key = ECKey.import_key({name: entry[name] for name in ("kty", "crv", "x", "y")})
        else:
            key = OKPKey.import_key({name: entry[name] for name in ("kty", "crv", "x")})
    except (JoseError, KeyError, TypeError, ValueError):
        return None
    algorithm = entry.get("alg")
    return PublicKey(kid, kind, algorithm if isinstance(algorithm, str) else None, key)


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object. NotBelieved for anything else, and for a member that is there twice."""
    try:
        found = json.loads(data, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise NotBelieved("bad_json") from None
    if not isinstance(found, dict):
        raise NotBelieved("bad_json")
    return found


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member twice")
    return made


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _signed(
    token: str, keys: Sequence[PublicKey], allowed: Collection[str], types: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token whose signature holds."""
    algorithms = [name for name in ALGORITHMS if name in allowed]
    registry = jws.JWSRegistry(algorithms=algorithms or ["none at all"], strict_check_header=False)
    try:
        unchecked = jws.extract_compact(token.encode(), registry=registry)
        header = unchecked.headers()
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        raise NotBelieved("bad_token") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in algorithms:
        raise NotBelieved("bad_algorithm")
    if "crit" in header or "b64" in header or not isinstance(kid, str | None):
        raise NotBelieved("bad_header")
    kind = header.get("typ", "")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        raise NotBelieved("bad_type")
    fitting = [
        key for key in keys if key.kind == _KINDS[algorithm] and key.algorithm in (None, algorithm)
    ]
    if kid is not None:
        fitting = [key for key in fitting if key.kid == kid]
    if not fitting:
        raise UnknownKey("unknown_key")
    if len(fitting) > 1:
        raise NotBelieved("ambiguous_key")
    try:
        checked = jws.deserialize_compact(token, fitting[0].key, registry=registry)
    except (JoseError, ValueError, TypeError):
        raise NotBelieved("bad_signature") from None
    return header, read_object(checked.payload or b"")


def check_id_token(
    token: str,
    keys: Sequence[PublicKey],
    allowed: Collection[str],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
    acr_values: Collection[str],
    now: int,
) -> dict[str, Any]:
    """The claims of an ID token (OpenID Connect Core 1.0 section 3.1.3.7). `now` in seconds.

    NotBelieved with `expired` or `not_yet` where only the clocks may be apart.
    """
    header, payload = _signed(token, keys, allowed, _ID_TYPES)
    if not nonce or not isinstance(payload.get("nonce"), str):
        raise NotBelieved("bad_nonce")
    _check_subject(payload.get("sub"))
    claims = CodeIDToken(
        payload,
        header,
        options={
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": client_id},
        },
        params={"nonce": nonce, "client_id": client_id, "access_token": access_token},
    )
    _validate(claims, now)
    if payload["iat"] < now - _OLDEST - SKEW:
        raise NotBelieved("expired")
    if acr_values and payload.get("acr") not in acr_values:
        raise NotBelieved("bad_acr")
    return payload


@dataclass(frozen=True, slots=True)
class LogoutNotice:
    """What a logout token says: whose sessions end. `jti` is good once, `expires` in seconds."""

    subject: str | None
    sid: str | None
    jti: str
    expires: int


def check_logout_token(
    token: str,
    keys: Sequence[PublicKey],
    allowed: Collection[str],
    *,
    issuer: str,
    client_id: str,
    now: int,
) -> LogoutNotice:
    """A logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6). `now` in seconds."""
    header, payload = _signed(token, keys, allowed, _LOGOUT_TYPES)
    events = payload.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict):
        raise NotBelieved("bad_event")
    if "nonce" in payload:
        raise NotBelieved("bad_nonce")
    subject, sid, jti = (payload.get(name) for name in ("sub", "sid", "jti"))
    if not isinstance(jti, str) or not jti:
        raise NotBelieved("bad_jti")
    if not isinstance(sid, str | None) or sid == "" or (subject is None and sid is None):
        raise NotBelieved("bad_subject")
    if subject is not None:
        _check_subject(subject)
    claims = CodeIDToken(
        # What an ID token must have and a logout token need not is filled in for the check.
        {**payload, "sub": subject or "-"},
        header,
        options={
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": client_id},
        },
        params={"client_id": client_id},
    )
    _validate(claims, now)
    if payload["iat"] < now - _OLDEST - SKEW:
        raise NotBelieved("expired")
    return LogoutNotice(subject, sid, jti, int(payload["exp"]) + SKEW)


def _check_subject(subject: object) -> None:
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isascii():
        raise NotBelieved("bad_subject")


def _validate(claims: CodeIDToken, now: int) -> None:
    try:
        claims.validate(now=now, leeway=SKEW)
    except (JoseError, ValueError, TypeError, AttributeError) as error:
        raise NotBelieved(_reason(error, claims)) from None
    if not 0 < claims["exp"] < 1 << 53:
        raise NotBelieved("bad_exp")


def _reason(error: Exception, claims: Mapping[str, Any]) -> str:
    """What was wrong, in our words: a library's message may quote the token."""
    kind = getattr(error, "error", "")
    if kind == "expired_token":
        return "expired"
    if kind == "missing_claim":
        return "bad_claims"
    claim = getattr(error, "claim", None)
    known = ("iss", "aud", "azp", "nonce", "exp", "iat", "nbf", "at_hash", "sub", "auth_time")
    if claim in ("iat", "nbf") and isinstance(claims[claim], int | float):
        return "not_yet"
    return f"bad_{claim}" if claim in known else "bad_claims"
