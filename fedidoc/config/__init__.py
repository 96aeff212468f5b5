"""The configuration: a frozen value read from one TOML file and the environment.

`FEDIDOC_SECTION_KEY` in the environment wins over the file (`FEDIDOC_DATABASE_URL`,
`FEDIDOC_SECRETS_KEY`, …), so that secrets can come from where the operator keeps them; lists are
comma-separated there. A section that there may be several of has a name, `[section.name]`, and is
in the file only. Every key is explained in `config.example.toml`. An unknown key is an error: a
misspelt setting of a closed server must not be ignored.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_type_hints

from fedidoc.config.sections import (
    Config,
    CredentialRules,
    DatabaseAt,
    EvidenceRules,
    Federation,
    IdentityProvider,
    Instance,
    LevelRules,
    Logging,
    Mail,
    MediaFolder,
    Membership,
    OfficerKey,
    PseudonymRules,
    RegisterFile,
    RegisterService,
    ReviewRules,
    ReviewTemplate,
    Secrets,
    Server,
    TrustListRules,
    VerificationRules,
    host_name,
    is_loopback,
)
from fedidoc.errors import ConfigError

__all__ = [
    "NAMED",
    "Config",
    "CredentialRules",
    "DatabaseAt",
    "EvidenceRules",
    "Federation",
    "IdentityProvider",
    "Instance",
    "LevelRules",
    "Logging",
    "Mail",
    "MediaFolder",
    "Membership",
    "OfficerKey",
    "PseudonymRules",
    "RegisterFile",
    "RegisterService",
    "ReviewRules",
    "ReviewTemplate",
    "Secrets",
    "Server",
    "TrustListRules",
    "VerificationRules",
    "host_name",
    "is_loopback",
    "keys",
    "load",
    "parse",
]

_DOMAIN = re.compile(
    r"(?:\[[0-9a-f:]+\]|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)"
    r"(?::[0-9]{1,5})?"
)
_SECTION_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_MAIL_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:]{2,45}")
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
)
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


# Sections that there may be any number of, each under a name of its own: [section.name].
NAMED: dict[str, type[Any]] = {
    "registers": RegisterFile,
    "levels": LevelRules,
    "officers": OfficerKey,
    "review_templates": ReviewTemplate,
    "trust_lists": TrustListRules,
}

_SECTIONS: dict[str, type[Any]] = {
    "instance": Instance,
    "server": Server,
    "database": DatabaseAt,
    "secrets": Secrets,
    "federation": Federation,
    "media": MediaFolder,
    "membership": Membership,
    "credentials": CredentialRules,
    "mail": Mail,
    "evidence": EvidenceRules,
    "review": ReviewRules,
    "identity_provider": IdentityProvider,
    "verification": VerificationRules,
    "nppes_api": RegisterService,
    "pseudonyms": PseudonymRules,
    "log": Logging,
}


def keys() -> list[tuple[str, str, object]]:
    """Every (section, key, default); for the documentation's test. A required key has None.

    Of a named section every key is there once, whatever the sections are called.
    """
    return [
        (section, f.name, _default(f))
        for section, kind in {**_SECTIONS, **NAMED}.items()
        for f in fields(kind)
    ]


def _default(f: Field[Any]) -> object:
    """A key's default; None for one that must be given."""
    if f.default_factory is not MISSING:
        return f.default_factory()
    return None if f.default is MISSING else f.default


def load(path: str | Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read the file at `path`; ConfigError names what is wrong and where."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration at {path}; `fedidoc init DIR --domain D` writes one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}).") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
    return parse(raw, os.environ if environment is None else environment, path.resolve().parent)


def parse(raw: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Config:
    """Build a Config from parsed TOML and the environment."""
    unknown = raw.keys() - _SECTIONS.keys() - NAMED.keys()
    if unknown:
        raise ConfigError(f"Unknown section [{min(unknown)}] in the configuration.")
    parts: dict[str, Any] = {}
    for section, kind in _SECTIONS.items():
        given = raw.get(section, {})
        if not isinstance(given, dict):
            raise ConfigError(f"[{section}] must be a section.")
        parts[section] = _section(section, kind, given, environment)
    for section, kind in NAMED.items():
        named = raw.get(section, {})
        if not isinstance(named, dict) or not all(isinstance(v, dict) for v in named.values()):
            raise ConfigError(f"[{section}] takes a section for each name: [{section}.name].")
        for name in named:
            if _SECTION_NAME.fullmatch(name) is None:
                raise ConfigError(
                    f"The name in [{section}.{name}] must be small letters, digits, - and _."
                )
        parts[section] = {
            name: _section(f"{section}.{name}", kind, given, {}) for name, given in named.items()
        }
    config = Config(**parts, folder=folder)
    _check(config)
    return config


def _section(
    section: str, kind: type[Any], given: Mapping[str, Any], environment: Mapping[str, str]
) -> Any:
    hints = get_type_hints(kind)
    names = {f.name for f in fields(kind)}
    unknown = given.keys() - names
    if unknown:
        raise ConfigError(f"Unknown key [{section}] {min(unknown)} in the configuration.")
    values: dict[str, Any] = {}
    for f in fields(kind):
        variable = f"FEDIDOC_{section}_{f.name}".upper()
        if variable in environment:
            values[f.name] = _from_text(section, f.name, hints[f.name], environment[variable])
        elif f.name in given:
            values[f.name] = _typed(section, f.name, hints[f.name], given[f.name])
        elif f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"[{section}] {f.name} is missing from the configuration.")
    return kind(**values)


def _typed(section: str, name: str, hint: Any, value: Any) -> Any:
    if hint == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ConfigError(f"[{section}] {name} must be a list of texts.")
    if hint == dict[str, str]:
        if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
            return dict(value)
        raise ConfigError(f"[{section}] {name} must be a table of texts.")
    if type(value) is not hint:
        words = {str: "a text", int: "a whole number", bool: "true or false"}
        raise ConfigError(f"[{section}] {name} must be {words[hint]}.")
    return value


def _from_text(section: str, name: str, hint: Any, text: str) -> Any:
    if hint == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if hint == dict[str, str]:
        raise ConfigError(f"[{section}] {name} is a table; write it into the file.")
    if hint is int and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if hint is bool and text.lower() in {"true", "false", "1", "0"}:
        return text.lower() in {"true", "1"}
    return _typed(section, name, hint, text)


def _mail_rules(mail: Mail) -> list[tuple[bool, str]]:
    sent = bool(mail.host)
    return [
        (bool(_MAIL_HOST.fullmatch(mail.host)) or not sent, "[mail] host must be a host name or an"
         " address, without a port."),
        (1 <= mail.port <= 65535, "[mail] port must be between 1 and 65535."),
        (mail.security in {"starttls", "tls", "none"}, "[mail] security must be starttls, tls or"
         " none."),
        (mail.security != "none" or not sent or is_loopback(mail.host), "[mail] security may be"
         " none only to this machine: passwords and links would be readable on the way."),
        (sent == bool(mail.sender), "[mail] host and sender go together."),
        (not mail.sender or bool(_ADDRESS.fullmatch(mail.sender)), "[mail] sender must be a bare"
         " address, such as fedidoc@st-olaf.example."),
        (bool(mail.username) == bool(mail.password), "[mail] username and password go together."),
    ]  # fmt: skip


def _evidence_rules(rules: EvidenceRules, mail: Mail) -> list[tuple[bool, str]]:
    bounds = {
        "email_link_hours": (1, 72),
        "email_valid_months": (1, 36),
        "document_max_bytes": (1, 1 << 26),
        "document_days": (0, 3650),
        "vouches_needed": (0, 20),
        "vouches_a_year": (1, 1000),
        "vouch_cooling_days": (0, 3650),
        "vouch_valid_days": (1, 3650),
    }
    return [
        (not rules.email_domains or bool(mail.host), "[evidence] email_domains needs a mail server:"
         " fill in [mail]."),
        *((low <= getattr(rules, name) <= high, f"[evidence] {name} must be between {low} and"
           f" {high}.") for name, (low, high) in bounds.items()),
    ]  # fmt: skip


def _check(config: Config) -> None:
    rules = [
        (bool(_DOMAIN.fullmatch(config.domain)), "[instance] domain must be a lower-case host"
         " name, with its port if that is not the usual one (such as st-olaf.example)."),
        (bool(_COLOUR.fullmatch(config.instance.accent)), "[instance] accent must be a colour"
         " such as #0b5f66."),
        (config.instance.kind in {"hospital", "society"}, "[instance] kind must be hospital or"
         " society."),
        (1 <= config.server.port <= 65535, "[server] port must be between 1 and 65535."),
        (bool(config.server.tls_certificate) == bool(config.server.tls_key), "[server]"
         " tls_certificate and tls_key go together."),
        (config.database.url.startswith(("sqlite:", "postgresql:", "postgres:")), "[database] url"
         " must start with sqlite: or postgresql:."),
        (1 <= config.federation.concurrency <= 1000, "[federation] concurrency must be between 1"
         " and 1000."),
        (1 <= config.credentials.valid_days <= 395, "[credentials] valid_days must be between 1"
         " and 395: a credential lasts at most 13 months."),
        (1 <= config.membership.session_days <= 90, "[membership] session_days must be between 1"
         " and 90."),
        *_mail_rules(config.mail),
        *_evidence_rules(config.evidence, config.mail),
        (all(t.kind in {"approve", "ask", "refuse"} and t.text.strip()
             for t in config.review_templates.values()), "[review_templates.NAME] kind must be"
         " approve, ask or refuse, and text must say something."),
        (1 <= config.verification.recheck_days <= 365, "[verification] recheck_days must be between"
         " 1 and 365."),
        (config.nppes_api.url == "" or (config.nppes_api.url.startswith(("https://", "http://"))
         and not set("?# ") & set(config.nppes_api.url)), "[nppes_api] url must be an address such"
         " as https://npiregistry.cms.hhs.gov/api/, or empty."),
        (config.log.level in {"debug", "info", "warning", "error"}, "[log] level must be debug,"
         " info, warning or error."),
        (config.document_folder.resolve() not in [config.media_folder.resolve(),
            *config.media_folder.resolve().parents, config.folder.resolve()]
         and config.media_folder.resolve() not in config.document_folder.resolve().parents,
         "[evidence] document_directory must be a folder of its own, apart from the pictures."),
        (1 <= config.media.max_bytes <= 1 << 30, "[media] max_bytes must be between 1 and 1 GiB."),
    ]  # fmt: skip
    for holds, text in rules:
        if not holds:
            raise ConfigError(text)
    for network in config.federation.private_networks + config.server.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ConfigError(
                "[federation] private_networks and [server] trusted_proxies take networks such as"
                " 10.20.0.0/16."
            ) from None
