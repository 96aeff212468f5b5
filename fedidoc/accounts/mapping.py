"""From an identity provider's claims to a person, as the configuration maps them. Pure.

Claims are text from elsewhere: everything is cut, cleaned and judged here, and what does not fit is
left out rather than guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from fedidoc.config import Config, IdentityProvider, is_loopback
from fedidoc.errors import ConfigError
from fedidoc.model import Role

_LONGEST: Final = 200
_MOST_GROUPS: Final = 2000
ADMIN: Final = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in. An empty text is a claim that was not there. `role` is None without one."""

    username: str
    name: str
    email: str
    role: Role | None
    admin: bool
    admitted: bool
    groups_elsewhere: bool
    """The provider has more groups than it put into the token, and named none (Entra ID)."""
    specialty: str
    jurisdiction: str
    licence: str
    npi: str
    staff_id: str


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by the way into nested ones (`realm_access.roles`); None if it is
    not there. A claim whose own name has dots is found first."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def read(rules: IdentityProvider, claims: Mapping[str, Any]) -> Person:
    """The person behind the claims."""
    groups = set(_texts(find_claim(claims, rules.claim_groups))) if rules.claim_groups else set()
    elsewhere = claims.get("_claim_names")
    return Person(
        username=_username(_text(claims, rules.claim_username)),
        name=_text(claims, rules.claim_name),
        email=_text(claims, rules.claim_email),
        role=_role(rules, claims, groups),
        admin=any(rules.groups.get(group) == ADMIN for group in groups),
        admitted=not rules.required_group or rules.required_group in groups,
        groups_elsewhere=bool(rules.claim_groups)
        and isinstance(elsewhere, Mapping)
        and rules.claim_groups in elsewhere,
        specialty=_text(claims, rules.claim_specialty),
        jurisdiction=_text(claims, rules.claim_jurisdiction),
        licence=_text(claims, rules.claim_licence),
        npi=_text(claims, rules.claim_npi),
        staff_id=_text(claims, rules.claim_staff_id),
    )


def _role(rules: IdentityProvider, claims: Mapping[str, Any], groups: set[str]) -> Role | None:
    """By the profession claim where there is one, else by the first group of the table."""
    told = _texts(find_claim(claims, rules.claim_profession)) if rules.claim_profession else ()
    if told:
        meant = [rules.professions.get(text) if rules.professions else text for text in told]
        return next((Role(text) for text in meant if text in _CLINICAL), None)
    given = (role for group, role in rules.groups.items() if group in groups and role != ADMIN)
    found = next(given, None)
    return Role(found) if found else None


_CLINICAL: Final = frozenset(role.value for role in Role if role is not Role.STAFF)


def _texts(value: Any) -> tuple[str, ...]:
    """A claim that may be one text or a list of them."""
    values = value if isinstance(value, list) else [value]
    return tuple(v.strip() for v in values[:_MOST_GROUPS] if isinstance(v, str) and v.strip())


def _text(claims: Mapping[str, Any], name: str) -> str:
    """One line of a claim; the first of a list."""
    value = find_claim(claims, name) if name else None
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    text = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return text if len(text) <= _LONGEST else ""


def _username(text: str) -> str:
    """What stands before an @, in the letters that a username may have; "" if too few are left."""
    plain = unicodedata.normalize("NFKD", text.partition("@")[0].lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = re.sub(r"[^a-z0-9_]+", "_", plain).strip("_")[:28]
    return plain if len(plain) >= 2 else ""


def check_rules(config: Config) -> None:
    """ConfigError if `[identity_provider]` asks for what cannot be."""
    given = config.identity_provider
    parts = urlsplit(given.issuer)
    plain = (
        parts.scheme == "http" and config.federation.allow_plain_http and is_loopback(parts.netloc)
    )
    whole = parts.netloc and "@" not in parts.netloc and not (parts.query or parts.fragment)
    rules = [
        ((parts.scheme == "https" or plain) and bool(whole), "issuer must be the provider's https"
         " address as its discovery document has it, without a query."),
        (bool(given.client_id), "client_id must be the one that the provider gave this instance."),
        ("openid" in given.scopes, 'scopes must have "openid" among them.'),
        (1 <= given.valid_days <= 395, "valid_days must be between 1 and 395."),
        (bool(given.claim_username and given.claim_name and given.claim_email), "claim_username,"
         " claim_name and claim_email must each name a claim."),
        (set(given.professions.values()) <= _CLINICAL, "professions must map to roles: physician,"
         " resident, nurse_practitioner, physician_assistant or student."),
        (set(given.groups.values()) <= _CLINICAL | {ADMIN}, "groups must map to roles or to"
         " admin."),
        (bool(given.claim_groups) or not (given.groups or given.required_group), "claim_groups must"
         " name the claim that groups and required_group are looked for in."),
    ]  # fmt: skip
    for holds, text in rules:
        if not holds:
            raise ConfigError(f"[identity_provider] {text}")
