"""A small identity provider on a socket that signs real tokens, and wrong ones when told to."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from fedidoc.clock import Clock
from tests.instance import free_port

Key = RSAKey | ECKey | OKPKey


def rsa_key(kid: str = "one", bits: int = 2048) -> RSAKey:
    return RSAKey.import_key(rsa.generate_private_key(65537, bits), {"kid": kid})


def ec_key(kid: str) -> ECKey:
    return ECKey.import_key(ec.generate_private_key(ec.SECP256R1()), {"kid": kid})


def ed_key(kid: str) -> OKPKey:
    return OKPKey.import_key(ed25519.Ed25519PrivateKey.generate(), {"kid": kid})


def public(key: Key, **more: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), **more}


def sign(claims: dict[str, Any], key: Key, alg: str = "RS256", **header: Any) -> str:
    """A compact token, with any header: also those that nobody should believe."""
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    whole = {"alg": alg, "kid": key.kid, **header}
    head = {name: value for name, value in whole.items() if value is not None}
    return jws.serialize_compact(head, json.dumps(claims).encode(), key, registry=registry)


def unsigned(claims: dict[str, Any], **header: Any) -> str:
    """A token of the algorithm `none`, or of any other, with no signature."""
    parts = ({"alg": "none", **header}, claims)
    return ".".join(_b64(json.dumps(part).encode()) for part in parts) + "."


def sealed_with(seal: Callable[[bytes], bytes], claims: dict[str, Any], **header: Any) -> str:
    """A token with any header, signed in any way: what no library would make."""
    signed = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{_b64(seal(signed.encode()))}"


def half_hash(text: str, size: int = 256) -> str:
    digest = hashlib.new(f"sha{size}", text.encode()).digest()
    return _b64(digest[: len(digest) // 2])


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Grant:
    challenge: str
    redirect_uri: str
    nonce: str
    claims: dict[str, Any]


@dataclass
class Issuer:
    """`async with Issuer(clock) as issuer`; `issuer.authorize(url, "sub", …)` is the browser there.

    `change` may replace the claims of the next ID tokens, `sign_with` the way of signing them,
    `discovery` and `jwks` what stands in these documents; `asked` counts requests by path.
    """

    clock: Clock
    client_id: str = "fedidoc"
    client_secret: str = "s3cret/+ &ö"
    key: Key = field(default_factory=rsa_key)
    port: int = field(default_factory=free_port)
    discovery: dict[str, Any] = field(default_factory=dict)
    jwks: list[dict[str, Any]] | None = None
    user_info: dict[str, Any] = field(default_factory=dict)
    change: Callable[[dict[str, Any]], dict[str, Any]] = dict
    sign_with: Callable[[dict[str, Any]], str] | None = None
    raw: dict[str, web.Response] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)
    grants: dict[str, Grant] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/realms/olaf"

    async def __aenter__(self) -> Issuer:
        app = web.Application()
        for path, handler in (
            ("/.well-known/openid-configuration", self._discovery),
            ("/jwks", self._jwks),
            ("/userinfo", self._user_info),
        ):
            app.router.add_get("/realms/olaf" + path, handler)
        app.router.add_post("/realms/olaf/token", self._token)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()

    def authorize(self, url: str, subject: str = "sub-1", **claims: Any) -> dict[str, str]:
        """Sign in as `subject`; the parameters of the answer."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == self.client_id
        code = f"code-{len(self.subjects)}"
        self.subjects[code] = subject
        self.grants[code] = Grant(
            asked["code_challenge"], asked["redirect_uri"], asked["nonce"],
            {"sub": subject, **claims},
        )  # fmt: skip
        return {"code": code, "state": asked["state"], "iss": self.url}

    def id_token(self, grant: Grant, access_token: str) -> str:
        now = self.clock.now() // 1000
        claims = self.change(
            {
                "iss": self.url,
                "aud": self.client_id,
                "iat": now,
                "exp": now + 300,
                "nonce": grant.nonce,
                "at_hash": half_hash(access_token),
                **grant.claims,
            }
        )
        return self.sign_with(claims) if self.sign_with else sign(claims, self.key)

    def logout_token(self, **changes: Any) -> str:
        now = self.clock.now() // 1000
        claims = {
            "iss": self.url,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 120,
            "jti": f"jti-{len(self.asked)}-{now}",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            **changes,
        }
        return sign(
            {name: value for name, value in claims.items() if value is not None},
            self.key, typ="logout+jwt",
        )  # fmt: skip

    def _count(self, request: web.Request) -> web.Response | None:
        name = request.path.rpartition("/")[2]
        self.asked[name] = self.asked.get(name, 0) + 1
        self.headers.append(dict(request.headers))
        return self.raw.get(name)

    async def _discovery(self, request: web.Request) -> web.Response:
        document = {
            "issuer": self.url,
            "authorization_endpoint": self.url + "/authorize",
            "token_endpoint": self.url + "/token",
            "jwks_uri": self.url + "/jwks",
            "userinfo_endpoint": self.url + "/userinfo",
            "end_session_endpoint": self.url + "/logout",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "HS256", "none"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
            **self.discovery,
        }
        return self._count(request) or web.json_response(document)

    async def _jwks(self, request: web.Request) -> web.Response:
        keys = [public(self.key)] if self.jwks is None else self.jwks
        return self._count(request) or web.json_response({"keys": keys})

    async def _user_info(self, request: web.Request) -> web.Response:
        code = request.headers["Authorization"].removeprefix("Bearer access-")
        told = {"sub": self.subjects[code], **self.user_info}
        return self._count(request) or web.json_response(told)

    async def _token(self, request: web.Request) -> web.Response:
        if (raw := self._count(request)) is not None:
            return raw
        form = await request.post()
        grant = self.grants.pop(str(form.get("code", "")), None)
        challenge = _b64(hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest())
        if (
            grant is None
            or form["grant_type"] != "authorization_code"
            or challenge != grant.challenge
            or form["redirect_uri"] != grant.redirect_uri
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        access_token = "access-" + str(form["code"])
        return web.json_response(
            {
                "access_token": access_token,
                "token_type": "Bearer",
                "id_token": self.id_token(grant, access_token),
            }
        )
