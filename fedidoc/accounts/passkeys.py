"""Passkeys (W3C Web Authentication) for pseudonyms: challenges, registration, log-in.

A challenge says by itself when it was made and that this instance made it (a keyed digest), so that
none is stored; used ones are remembered until they are too old anyway. No attestation is asked for
and no make of authenticator is kept: both would tell one device from another.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from fedidoc.clock import MINUTE, Clock
from fedidoc.errors import BadInput
from fedidoc.vault import Vault

_LASTS: Final = 10 * MINUTE
_REMEMBERED: Final = 20_000
_MAX_ANSWER: Final = 32 * 1024
_WRONG: Final = "The passkey's answer does not hold; try again, or use your passphrase."


@dataclass(frozen=True, slots=True)
class NewPasskey:
    credential_id: str
    public_key: bytes
    sign_count: int


@dataclass
class Passkeys:
    """For one site: `host` without its port is the relying party, `origin` where pages are."""

    clock: Clock
    vault: Vault
    host: str
    origin: str
    name: str
    _used: OrderedDict[str, None] = field(default_factory=OrderedDict, init=False)

    def registration(self, handle: str, known: list[str]) -> str:
        """What the browser is to ask of an authenticator that makes a new passkey, as JSON."""
        options = generate_registration_options(
            rp_id=self.host,
            rp_name=self.name,
            user_name=handle,
            user_id=secrets.token_bytes(32),
            challenge=self._challenge("registration"),
            exclude_credentials=_described(known),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
        )
        return options_to_json(options)

    def log_in(self, known: list[str]) -> str:
        """What the browser is to ask for a log-in, as JSON; with no passkeys named, any of ours."""
        options = generate_authentication_options(
            rp_id=self.host,
            challenge=self._challenge("log-in"),
            allow_credentials=_described(known),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(options)

    def register(self, answer: str) -> NewPasskey:
        """Check what the authenticator answered. BadInput (field `passkey`)."""
        credential = _parse(answer)
        challenge = self._taken(credential, "registration")
        try:
            made = verify_registration_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError):
            raise BadInput(_WRONG, field="passkey") from None
        return NewPasskey(
            bytes_to_base64url(made.credential_id), made.credential_public_key, made.sign_count
        )

    @staticmethod
    def credential_id(answer: str) -> str:
        """Which passkey an answer is from; it is not checked here."""
        found = _parse(answer).get("id")
        if not isinstance(found, str) or len(found) > 2_000 or not found.isascii():
            raise BadInput(_WRONG, field="passkey")
        return found

    def check(self, answer: str, public_key: bytes, sign_count: int) -> int:
        """Check a log-in with a known passkey: its signature counter now. BadInput."""
        credential = _parse(answer)
        challenge = self._taken(credential, "log-in")
        try:
            checked = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                credential_public_key=public_key,
                credential_current_sign_count=sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError):
            raise BadInput(_WRONG, field="passkey") from None
        return checked.new_sign_count

    def _challenge(self, use: str) -> bytes:
        body = self.clock.now().to_bytes(8) + secrets.token_bytes(24)
        return body + bytes.fromhex(self._mac(body, use))

    def _mac(self, body: bytes, use: str) -> str:
        return self.vault.fingerprint(body.hex(), f"passkey {use}")

    def _taken(self, credential: dict[str, Any], use: str) -> bytes:
        """The challenge that was answered: ours, for this use, not too old, and not used yet."""
        try:
            client = json.loads(base64url_to_bytes(credential["response"]["clientDataJSON"]))
            challenge: bytes = base64url_to_bytes(client["challenge"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadInput(_WRONG, field="passkey") from None
        body, mac = challenge[:32], challenge[32:]
        ours = hmac.compare_digest(bytes.fromhex(self._mac(body, use)), mac)
        age = self.clock.now() - int.from_bytes(body[:8])
        if not ours or not 0 <= age <= _LASTS or body.hex() in self._used:
            raise BadInput("The page was open too long; try again.", field="passkey")
        self._used[body.hex()] = None
        if len(self._used) > _REMEMBERED:
            self._used.popitem(last=False)
        return challenge


def _described(ids: list[str]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(id)) for id in ids]


def _parse(answer: str) -> dict[str, Any]:
    try:
        if len(answer) > _MAX_ANSWER:
            raise ValueError
        parsed = json.loads(answer)
    except (ValueError, RecursionError):
        raise BadInput(_WRONG, field="passkey") from None
    if not isinstance(parsed, dict):
        raise BadInput(_WRONG, field="passkey")
    return parsed
