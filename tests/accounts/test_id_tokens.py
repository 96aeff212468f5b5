"""Which tokens are believed: all but the first few here are forgeries or mistakes."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws

from fedidoc.accounts.id_tokens import (
    ALGORITHMS,
    NotBelieved,
    PublicKey,
    UnknownKey,
    check_id_token,
    check_logout_token,
    read_keys,
    read_object,
)
from tests.accounts.issuer import (
    ec_key,
    ed_key,
    half_hash,
    public,
    rsa_key,
    sealed_with,
    sign,
    unsigned,
)

NOW = 1_790_000_000
ISSUER = "https://login.st-olaf.example/realms/olaf"
RSA, OTHER, EC, ED = rsa_key("rsa"), rsa_key("rsa"), ec_key("ec"), ed_key("ed")
KEYS = read_keys({"keys": [public(RSA), public(EC), public(ED)]})


def claims(**changes: Any) -> dict[str, Any]:
    made = {
        "iss": ISSUER, "aud": "fedidoc", "sub": "anna", "iat": NOW, "exp": NOW + 300,
        "nonce": "n-1", "at_hash": half_hash("token"), **changes,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not ...}


def check(
    token: str,
    keys: tuple[PublicKey, ...] = KEYS,
    allowed: tuple[str, ...] = ALGORITHMS,
    **changes: Any,
) -> dict[str, Any]:
    given = {
        "issuer": ISSUER, "client_id": "fedidoc", "nonce": "n-1", "access_token": "token",
        "acr_values": (), "now": NOW, **changes,
    }  # fmt: skip
    return check_id_token(token, keys, allowed, **given)


@pytest.mark.parametrize(
    ("token", "size"),
    [
        (lambda c: sign(c, RSA), 256),
        (lambda c: sign(c, RSA, "PS256"), 256),
        (lambda c: sign(c, EC, "ES256"), 256),
        (lambda c: sign(c, ED, "EdDSA"), 512),
        (lambda c: sign(c, RSA, typ="JWT", x5t="abc", unknown={"a": 1}), 256),
        (lambda c: sign({**c, "aud": ["fedidoc"]}, RSA), 256),
        (lambda c: sign({**c, "aud": ["fedidoc", "x"], "azp": "fedidoc"}, RSA), 256),
        (lambda c: sign({**c, "exp": NOW - 100, "iat": NOW - 400}, RSA), 256),
        (lambda c: sign({**c, "iat": NOW + 100}, RSA), 256),
    ],
    ids=["RS256", "PS256", "ES256", "EdDSA", "headers", "list", "azp", "late", "early"],
)
def test_a_right_token_is_believed(token: Callable[[dict[str, Any]], str], size: int) -> None:
    given = claims(at_hash=half_hash("token", size))
    assert check(token(given))["sub"] == "anna"


def test_without_an_at_hash_and_without_a_key_id() -> None:
    assert check(sign(claims(at_hash=...), RSA, kid=None))["sub"] == "anna"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": ISSUER + "/"}, "bad_iss"),
        ({"iss": "https://evil.example"}, "bad_iss"),
        ({"iss": [ISSUER]}, "bad_iss"),
        ({"iss": ...}, "bad_claims"),
        ({"aud": "other"}, "bad_aud"),
        ({"aud": ["other"]}, "bad_aud"),
        ({"aud": []}, "bad_aud"),
        ({"aud": {"fedidoc": 1}}, "bad_aud"),
        ({"aud": ["fedidoc", "x"]}, "bad_claims"),
        ({"aud": ["fedidoc", "x"], "azp": "x"}, "bad_azp"),
        ({"azp": "x"}, "bad_azp"),
        ({"nonce": "n-2"}, "bad_nonce"),
        ({"nonce": ...}, "bad_nonce"),
        ({"nonce": ["n-1"]}, "bad_nonce"),
        ({"exp": NOW - 121}, "expired"),
        ({"exp": ...}, "bad_claims"),
        ({"exp": str(NOW + 300)}, "bad_exp"),
        ({"exp": True}, "bad_exp"),
        ({"exp": 1 << 60}, "bad_exp"),
        ({"iat": NOW + 121}, "not_yet"),
        ({"iat": NOW - 721}, "expired"),
        ({"iat": ...}, "bad_claims"),
        ({"iat": None}, "bad_iat"),
        ({"nbf": NOW + 200}, "not_yet"),
        ({"at_hash": half_hash("another")}, "bad_at_hash"),
        ({"at_hash": half_hash("token", 512)}, "bad_at_hash"),
        ({"at_hash": 7}, "bad_at_hash"),
        ({"sub": ...}, "bad_subject"),
        ({"sub": ""}, "bad_subject"),
        ({"sub": 7}, "bad_subject"),
        ({"sub": "x" * 256}, "bad_subject"),
        ({"sub": "ann\u00e4"}, "bad_subject"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_claim_that_is_wrong(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotBelieved) as refusal:
        check(sign(claims(**changes), RSA))
    assert refusal.value.reason == reason


def keyed_by_the_public_key(key: Any = RSA) -> str:
    """HS256 with the text of the public key as the secret."""

    def seal(data: bytes) -> bytes:
        return hmac.digest(key.as_pem(private=False), data, "sha256")

    return sealed_with(seal, claims(), alg="HS256", kid=key.kid)


def rsa(data: bytes) -> bytes:
    return RSA.private_key.sign(data, PKCS1v15(), SHA256())


FORGED = {
    "none": lambda: unsigned(claims()),
    "None": lambda: unsigned(claims(), alg="None", kid="rsa"),
    "signature cut off": lambda: unsigned(claims(), alg="RS256", kid="rsa"),
    "public key as secret": keyed_by_the_public_key,
    "another key": lambda: sign(claims(), OTHER),
    "own key brought along": lambda: sign(claims(), OTHER, jwk=public(OTHER)),
    "own address brought along": lambda: sign(claims(), OTHER, jku="https://evil.example/jwks"),
    "another kind of key": lambda: sign(claims(), ED, "EdDSA", kid="rsa"),
    "key named by nobody": lambda: sign(claims(), OTHER, kid="other"),
    "algorithm not offered": lambda: sign(claims(), rsa_key("rsa"), "RS512"),
    "critical header": lambda: sealed_with(
        rsa, claims(), alg="RS256", kid="rsa", crit=["exp"], exp=1
    ),
    "logout token": lambda: sign(claims(), RSA, typ="logout+jwt"),
    "access token": lambda: sign(claims(), RSA, typ="at+jwt"),
    "five parts": lambda: "a.b.c.d.e",
    "nothing": lambda: "",
    "not ASCII": lambda: "\u00e4.\u00e4.\u00e4",
    "header is a list": lambda: _b64("[1]") + ".e30.AA",
    "header too deep": lambda: _b64('{"alg":' + "[" * 300 + "]" * 300 + "}") + ".e30.AA",
    "header without end": lambda: _b64("[" * 100_000) + ".e30.AA",
    "algorithm is a list": lambda: _b64('{"alg":["RS256"]}') + ".e30.AA",
    "longer than anybody's": lambda: sign(claims(x="y" * 200_000), RSA),
}  # fmt: skip


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_not_believed(name: str) -> None:
    with pytest.raises(NotBelieved):
        check(FORGED[name]())


def test_one_changed_byte_anywhere_breaks_it() -> None:
    token = sign(claims(), EC, "ES256")
    for place in range(0, len(token), 7):
        # Two apart, so that the bits that are not used at a part's end do not hide the change.
        other = chr(ord(token[place]) ^ 4) if token[place] != "." else "x"
        with pytest.raises(NotBelieved):
            check(token[:place] + other + token[place + 1 :])


def test_a_token_that_is_sealed_by_hand_is_believed_without_the_tricks() -> None:
    assert check(sealed_with(rsa, claims(), alg="RS256", kid="rsa"))["sub"] == "anna"


def test_a_key_is_found_by_its_name_only() -> None:
    second = rsa_key("second")
    keys = read_keys({"keys": [public(RSA), public(second)]})
    assert check(sign(claims(), second), keys)
    with pytest.raises(UnknownKey):
        check(sign(claims(), RSA, kid="other"), KEYS)
    with pytest.raises(NotBelieved, match="bad_signature"):
        check(sign(claims(), RSA, kid="second"), keys)


@pytest.mark.parametrize("header", [{"crit": ["kid"]}, {"crit": ["b64"], "b64": True}], ids=str)
def test_a_header_that_must_be_understood_is_not_taken(header: dict[str, Any]) -> None:
    with pytest.raises(NotBelieved, match="bad_header"):
        check(sealed_with(rsa, claims(), alg="RS256", kid="rsa", **header))


def test_only_what_the_provider_offers_and_we_take() -> None:
    assert check(sign(claims(), RSA), allowed=("RS256",))
    for allowed in (("ES256",), ("HS256", "none"), ()):
        for token in (sign(claims(), RSA), unsigned(claims()), keyed_by_the_public_key()):
            with pytest.raises(NotBelieved):
                check(token, allowed=allowed)


def test_a_claim_that_is_there_twice_is_refused() -> None:
    body = json.dumps(claims()).replace('"sub": "anna"', '"sub": "anna", "sub": "mallory"')
    token = jws.serialize_compact({"alg": "RS256", "kid": "rsa"}, body, RSA)
    with pytest.raises(NotBelieved, match="bad_json"):
        check(token)


def test_the_context_that_was_asked_for() -> None:
    assert check(sign(claims(acr="mfa"), RSA), acr_values=("mfa", "gold"))
    for wrong in ({}, {"acr": "password"}, {"acr": ["mfa"]}):
        with pytest.raises(NotBelieved, match="bad_acr"):
            check(sign(claims(**wrong), RSA), acr_values=("mfa",))


def test_which_keys_of_a_set_are_used() -> None:
    weak, private = rsa_key("weak", 1024), {**RSA.as_dict(private=True), "kid": "private"}
    found = read_keys(
        {
            "keys": [
                public(weak), {**public(RSA), "use": "enc"}, {"kty": "oct", "k": "AAAA"},
                {"kty": "RSA", "n": "!", "e": "AQAB"}, {"kty": "EC", "crv": "P-521"}, "x", None,
                {**public(ED), "crv": "X25519"}, {**public(RSA), "kid": 7},
                {**public(RSA), "key_ops": ["encrypt"]}, private, public(EC),
            ]
        }
    )  # fmt: skip
    assert [key.kid for key in found] == ["private", "ec"]
    assert not found[0].key.is_private
    for wrong in ({}, {"keys": {}}, {"keys": [public(RSA)] * 101}):
        with pytest.raises(NotBelieved):
            read_keys(wrong)


def test_a_key_with_an_algorithm_serves_no_other() -> None:
    keys = read_keys({"keys": [public(RSA, alg="PS256")]})
    assert check(sign(claims(), RSA, "PS256"), keys)
    with pytest.raises(UnknownKey):
        check(sign(claims(), RSA, "RS256"), keys)
    both = read_keys({"keys": [public(RSA, alg="PS256"), public(RSA, alg="RS256")]})
    assert check(sign(claims(), RSA, "RS256"), both)
    with pytest.raises(NotBelieved, match="ambiguous"):
        check(sign(claims(), RSA, kid=None), read_keys({"keys": [public(RSA), public(OTHER)]}))


@pytest.mark.parametrize("text", ["[]", "7", "{", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000])
def test_json_is_read_strictly(text: str) -> None:
    with pytest.raises(NotBelieved):
        read_object(text.encode())


EVENTS = {"http://schemas.openid.net/event/backchannel-logout": {}}


def notice(**changes: Any) -> dict[str, Any]:
    made = {
        "iss": ISSUER, "aud": "fedidoc", "iat": NOW, "exp": NOW + 120, "jti": "j", "sid": "s",
        "sub": "anna", "events": EVENTS, **changes,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not ...}


def check_notice(token: str) -> Any:
    return check_logout_token(token, KEYS, ALGORITHMS, issuer=ISSUER, client_id="fedidoc", now=NOW)


@pytest.mark.parametrize("changes", [{}, {"sub": ...}, {"sid": ...}], ids=["both", "sid", "sub"])
def test_a_logout_token_is_believed(changes: dict[str, Any]) -> None:
    given = notice(**changes)
    for kind in ("logout+jwt", "JWT", None):
        said = check_notice(sign(given, RSA, typ=kind))
        assert (said.subject, said.sid) == (given.get("sub"), given.get("sid"))


@pytest.mark.parametrize(
    "changes",
    [
        {"events": ...}, {"events": []}, {"events": {"other": {}}},
        {"events": dict.fromkeys(EVENTS, 1)},
        {"nonce": "n-1"}, {"sub": ..., "sid": ...}, {"jti": ...}, {"jti": 7}, {"sid": 7},
        {"aud": "other"}, {"iss": "https://evil.example"}, {"exp": NOW - 200}, {"iat": NOW - 800},
        {"exp": ...}, {"iat": ...}, {"sub": 7},
    ],
    ids=lambda changes: "-".join(f"{name}-{type(v).__name__}" for name, v in changes.items()),
)  # fmt: skip
def test_a_logout_token_that_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(NotBelieved):
        check_notice(sign(notice(**changes), RSA))


def test_an_id_token_logs_nobody_out() -> None:
    with pytest.raises(NotBelieved):
        check_notice(sign(claims(sid="s", jti="j"), RSA))
