"""The house's identity provider, spoken with by OpenID Connect: the code flow, PKCE, and logout.

Only the authorization code flow (OpenID Connect Core 1.0 section 3.1) with PKCE S256 (RFC 7636) and
a nonce. The discovery document must name exactly the issuer of the configuration; an answer that
names another one (RFC 9207) is refused. Keys are kept for an hour and fetched anew when a token
names one that is not known, at most once a minute: a storm of made-up key ids costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.discovery import get_well_known_url

from fedidoc.accounts.id_tokens import (
    ALGORITHMS,
    LogoutNotice,
    NotBelieved,
    PublicKey,
    UnknownKey,
    check_id_token,
    check_logout_token,
    read_keys,
)
from fedidoc.accounts.mapping import find_claim
from fedidoc.accounts.provider_http import Away, ProviderHttp
from fedidoc.clock import HOUR, MINUTE, SECOND, Clock
from fedidoc.config import IdentityProvider

T = TypeVar("T")

_KEPT: Final = HOUR
_KEYS_AGAIN: Final = MINUTE
_TRY_AGAIN: Final = 10 * SECOND


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the discovery document says, as far as it is used."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    algorithms: tuple[str, ...]
    client_auth: str
    names_issuer: bool
    query_mode: bool


@dataclass(frozen=True, slots=True)
class Secrets:
    """What one sign-in is made with; all but the state stay between us and the provider."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Attested:
    """What the provider says of a person, after every check."""

    subject: str
    claims: Mapping[str, Any]
    sid: str | None
    id_token: str


class Provider:
    """One provider as `rules` describe it. Raises Away and NotBelieved, which say why."""

    def __init__(self, rules: IdentityProvider, http: ProviderHttp, clock: Clock) -> None:
        self._rules = rules
        self._http = http
        self._clock = clock
        self._metadata = _Kept[Metadata](clock, self._discover)
        self._keys = _Kept[tuple[PublicKey, ...]](clock, self._fetch_keys)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def metadata(self) -> Metadata:
        """The discovery document, read and checked; kept for an hour."""
        return await self._metadata.get()

    async def keys(self) -> tuple[PublicKey, ...]:
        """The provider's keys that can check signatures; kept for an hour."""
        return await self._keys.get()

    async def authorization_url(
        self, secrets: Secrets, redirect_uri: str, *, login_hint: str | None = None
    ) -> str:
        """Where the browser goes to sign in (Core section 3.1.2.1)."""
        found = await self.metadata()
        url: str = prepare_grant_uri(
            found.authorization_endpoint,
            self._rules.client_id,
            "code",
            redirect_uri,
            scope=list(self._rules.scopes),
            state=secrets.state,
            nonce=secrets.nonce,
            code_challenge=create_s256_code_challenge(secrets.verifier),
            code_challenge_method="S256",
            response_mode="query" if found.query_mode else None,
            acr_values=" ".join(self._rules.acr_values) or None,
            login_hint=login_hint,
        )
        return url

    async def check_issuer(self, named: str | None) -> None:
        """NotBelieved if an answer is not this provider's (RFC 9207 section 2.4)."""
        found = await self.metadata()
        if named is None and not found.names_issuer:
            return
        if named != self._rules.issuer:
            raise NotBelieved("other_issuer")

    async def redeem(self, code: str, secrets: Secrets, redirect_uri: str) -> Attested:
        """The person behind a code: token request, ID token, and user info where it is needed."""
        found = await self.metadata()
        body = prepare_token_request(
            "authorization_code", "", redirect_uri, code=code, code_verifier=secrets.verifier
        )
        client = self._client(found.client_auth)
        url, headers, body = client.prepare("POST", found.token_endpoint, {}, body)
        answer = await self._http.post(url, headers, body)
        if answer.status != 200:
            # Said by the provider of our own request: of these words one may stand in a log.
            refused = answer.body.get("error") in ("invalid_client", "unauthorized_client")
            raise NotBelieved("client_refused" if refused else "code_refused")
        id_token, access_token = answer.body.get("id_token"), answer.body.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str | None):
            raise NotBelieved("no_id_token")
        claims = await self._with_keys(
            lambda keys: check_id_token(
                id_token, keys, found.algorithms, issuer=self._rules.issuer,
                client_id=self._rules.client_id, nonce=secrets.nonce, access_token=access_token,
                acr_values=self._rules.acr_values, now=self._clock.now() // 1000,
            )
        )  # fmt: skip
        sid = claims.get("sid")
        claims = await self._with_user_info(claims, access_token)
        subject: str = claims["sub"]
        return Attested(subject, claims, sid if isinstance(sid, str) and sid else None, id_token)

    async def logout_notice(self, token: str) -> LogoutNotice:
        """What a back-channel logout token says."""
        found = await self.metadata()
        return await self._with_keys(
            lambda keys: check_logout_token(
                token, keys, found.algorithms, issuer=self._rules.issuer,
                client_id=self._rules.client_id, now=self._clock.now() // 1000,
            )
        )  # fmt: skip

    async def farewell_url(self, id_token: str, return_to: str, state: str) -> str | None:
        """Where the browser goes to be logged out there too (RP-Initiated Logout 1.0 section 2);
        None if the provider has no such place."""
        endpoint = (await self.metadata()).end_session_endpoint
        if endpoint is None:
            return None
        query = urlencode(
            {
                "id_token_hint": id_token,
                "client_id": self._rules.client_id,
                "post_logout_redirect_uri": return_to,
                "state": state,
            }
        )
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    # Inside -----------------------------------------------------------------------------------

    def _client(self, method: str) -> ClientAuth:
        id, secret = self._rules.client_id, self._rules.client_secret
        if method == "client_secret_basic":
            # RFC 6749 section 2.3.1: both are form-encoded before they are put together.
            id, secret = quote_plus(id), quote_plus(secret)
        return ClientAuth(id, secret, method)

    async def _with_user_info(
        self, claims: dict[str, Any], access_token: str | None
    ) -> dict[str, Any]:
        """The claims with those added that only the user-info endpoint tells (Core section 5.3)."""
        endpoint = (await self.metadata()).userinfo_endpoint
        wanted = [getattr(self._rules, name) for name in _CLAIM_KEYS]
        missing = [name for name in wanted if name and find_claim(claims, name) is None]
        if endpoint is None or not access_token or not missing:
            return claims
        told = await self._http.get(endpoint, bearer=access_token)
        if told.get("sub") != claims["sub"]:
            raise NotBelieved("other_subject")
        return {**told, **{name: said for name, said in claims.items() if said is not None}}

    async def _with_keys(self, check: Callable[[tuple[PublicKey, ...]], T]) -> T:
        try:
            return check(await self._keys.get())
        except UnknownKey:
            return check(await self._keys.get(newer_than=self._clock.now() - _KEYS_AGAIN))

    async def _discover(self) -> Metadata:
        url = get_well_known_url(self._rules.issuer, external=True)
        told = await self._http.get(url)
        if told.get("issuer") != self._rules.issuer:
            raise NotBelieved("other_issuer")
        return self._read(told)

    def _read(self, told: Mapping[str, Any]) -> Metadata:
        def address(name: str) -> str | None:
            found = told.get(name)
            if found is None:
                return None
            if not isinstance(found, str) or not self._http.allows(found):
                raise NotBelieved("bad_endpoint")
            return found

        def names(name: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
            found = told.get(name, otherwise)
            if not isinstance(found, list | tuple) or len(found) > 200:
                raise NotBelieved("bad_discovery")
            return tuple(entry for entry in found if isinstance(entry, str))

        authorization, token = address("authorization_endpoint"), address("token_endpoint")
        keys = address("jwks_uri")
        if authorization is None or token is None or keys is None:
            raise NotBelieved("bad_discovery")
        if "code" not in names("response_types_supported", ("code",)):
            raise NotBelieved("no_code_flow")
        offered = names("id_token_signing_alg_values_supported", ("RS256",))
        algorithms = tuple(name for name in ALGORITHMS if name in offered)
        if not algorithms:
            raise NotBelieved("no_algorithm")
        methods = names("token_endpoint_auth_methods_supported", ("client_secret_basic",))
        if not self._rules.client_secret:
            method = "none"
        else:
            # What every server knows (RFC 6749 section 2.3.1), unless it says otherwise.
            method = "client_secret_basic"
            if method not in methods and "client_secret_post" in methods:
                method = "client_secret_post"
        return Metadata(
            authorization_endpoint=authorization,
            token_endpoint=token,
            jwks_uri=keys,
            userinfo_endpoint=address("userinfo_endpoint"),
            end_session_endpoint=address("end_session_endpoint"),
            algorithms=algorithms,
            client_auth=method,
            names_issuer=told.get("authorization_response_iss_parameter_supported") is True,
            query_mode="query" in names("response_modes_supported", ("query",)),
        )

    async def _fetch_keys(self) -> tuple[PublicKey, ...]:
        return read_keys(await self._http.get((await self.metadata()).jwks_uri))


_CLAIM_KEYS: Final = (
    "claim_username", "claim_name", "claim_email", "claim_groups", "claim_profession",
    "claim_specialty", "claim_jurisdiction", "claim_licence", "claim_npi", "claim_staff_id",
)  # fmt: skip


class _Kept(Generic[T]):
    """Something of the provider's, fetched by one caller for all, and a failure for a moment."""

    def __init__(self, clock: Clock, fetch: Callable[[], Awaitable[T]]) -> None:
        self._clock = clock
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._at = 0
        self._failure: tuple[int, Away | NotBelieved] | None = None

    async def get(self, *, newer_than: int = 0) -> T:
        """The value; fetched again if it is an hour old or not newer than `newer_than` (ms)."""
        async with self._lock:
            now = self._clock.now()
            if self._value is not None and 0 <= now - self._at < _KEPT and self._at > newer_than:
                return self._value
            if self._failure is not None and 0 <= now - self._failure[0] < _TRY_AGAIN:
                failure = self._failure[1]
                raise type(failure)(failure.reason)
            try:
                self._value = await self._fetch()
            except (Away, NotBelieved) as error:
                self._failure = (now, error)
                raise
            self._at, self._failure = now, None
            return self._value
