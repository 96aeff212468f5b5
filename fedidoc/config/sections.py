"""The configuration as a value: its sections, and what follows from them. `config.example.toml`
explains every key."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instance:
    domain: str
    name: str = "fedidoc"
    description: str = ""
    contact: str = ""
    kind: str = "hospital"
    accent: str = "#0b5f66"


@dataclass(frozen=True)
class Server:
    host: str = "127.0.0.1"
    port: int = 8400
    tls_certificate: str = ""
    tls_key: str = ""
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatabaseAt:
    url: str = "sqlite:///fedidoc.db"


@dataclass(frozen=True)
class Secrets:
    key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Federation:
    allow_plain_http: bool = False
    private_networks: tuple[str, ...] = ()
    ca_file: str = ""
    concurrency: int = 128


@dataclass(frozen=True)
class MediaFolder:
    directory: str = "media"
    max_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True)
class Membership:
    open: bool = True
    roles: tuple[str, ...] = (
        "physician",
        "resident",
        "nurse_practitioner",
        "physician_assistant",
    )
    session_days: int = 14


@dataclass(frozen=True)
class CredentialRules:
    valid_days: int = 365


@dataclass(frozen=True)
class Mail:
    host: str = ""
    port: int = 587
    security: str = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    ca_file: str = ""


@dataclass(frozen=True)
class EvidenceRules:
    email_domains: tuple[str, ...] = ()
    email_link_hours: int = 24
    email_valid_months: int = 12
    document_directory: str = "documents"
    document_max_bytes: int = 10 * 1024 * 1024
    document_days: int = 30
    vouches_needed: int = 3
    vouches_a_year: int = 5
    vouch_cooling_days: int = 30
    vouch_valid_days: int = 365


@dataclass(frozen=True)
class ReviewRules:
    four_eyes: bool = False
    automatic: tuple[str, ...] = ("identity_provider",)


@dataclass(frozen=True)
class LevelRules:
    """One `[levels.NAME]`; `verification.policy` reads what it means."""

    roles: tuple[str, ...]
    evidence: tuple[str, ...]
    may: tuple[str, ...]
    mark: str = ""


@dataclass(frozen=True)
class ReviewTemplate:
    """One `[review_templates.NAME]`: words that a reviewer may begin with."""

    kind: str
    text: str


@dataclass(frozen=True)
class IdentityProvider:
    """The house's OpenID Connect provider; none while `issuer` is empty."""

    issuer: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    name: str = "the hospital's login"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    acr_values: tuple[str, ...] = ()
    ca_file: str = ""
    only: bool = False
    sign_up: bool = True
    verifies: bool = False
    valid_days: int = 180
    required_group: str = ""
    claim_username: str = "preferred_username"
    claim_name: str = "name"
    claim_email: str = "email"
    claim_groups: str = "groups"
    claim_profession: str = ""
    claim_specialty: str = ""
    claim_jurisdiction: str = ""
    claim_licence: str = ""
    claim_npi: str = ""
    claim_staff_id: str = ""
    professions: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    @property
    def exclusive(self) -> bool:
        """Whether there is one, and nobody signs in by a password."""
        return bool(self.issuer) and self.only


@dataclass(frozen=True)
class VerificationRules:
    recheck_days: int = 30
    revoke_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegisterService:
    url: str = ""


@dataclass(frozen=True)
class RegisterFile:
    """One `[registers.NAME]`; `verification.national` reads what it means."""

    jurisdiction: str
    columns: dict[str, str]
    title: str = ""
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    dates: str = "%Y-%m-%d"
    numbers: str = "letters"
    active: tuple[str, ...] = ()
    professions: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    fresh_days: int = 45


@dataclass(frozen=True)
class TrustListRules:
    """One `[trust_lists.NAME]`: a list that is followed, and who has to have signed it;
    `verification.subscriptions` reads what it means."""

    url: str
    keys: tuple[str, ...]
    threshold: int
    mode: str = "allow"


@dataclass(frozen=True)
class PseudonymRules:
    threshold: int = 0
    crowd: int = 20
    hour: int = 3
    origin: str = ""


@dataclass(frozen=True)
class OfficerKey:
    key: str
    organisation: str = ""


@dataclass(frozen=True)
class Logging:
    level: str = "info"


@dataclass(frozen=True)
class Config:
    """One instance's settings. Relative paths are relative to the configuration file."""

    instance: Instance
    server: Server = Server()
    database: DatabaseAt = DatabaseAt()
    secrets: Secrets = Secrets()
    federation: Federation = Federation()
    media: MediaFolder = MediaFolder()
    membership: Membership = Membership()
    credentials: CredentialRules = CredentialRules()
    mail: Mail = Mail()
    evidence: EvidenceRules = EvidenceRules()
    review: ReviewRules = ReviewRules()
    identity_provider: IdentityProvider = IdentityProvider()
    verification: VerificationRules = VerificationRules()
    nppes_api: RegisterService = RegisterService()
    pseudonyms: PseudonymRules = PseudonymRules()
    log: Logging = Logging()
    registers: dict[str, RegisterFile] = field(default_factory=dict)
    levels: dict[str, LevelRules] = field(default_factory=dict)
    officers: dict[str, OfficerKey] = field(default_factory=dict)
    review_templates: dict[str, ReviewTemplate] = field(default_factory=dict)
    trust_lists: dict[str, TrustListRules] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def domain(self) -> str:
        """Host, and port unless it is the scheme's own, as it stands in URLs and handles."""
        return self.instance.domain

    @property
    def base_url(self) -> str:
        """`https://domain`; `http://` only for a loopback domain with `allow_plain_http`."""
        plain = (
            self.federation.allow_plain_http
            and not self.server.tls_certificate
            and is_loopback(self.domain)
        )
        return f"{'http' if plain else 'https'}://{self.domain}"

    @property
    def media_folder(self) -> Path:
        return self.folder / self.media.directory

    @property
    def document_folder(self) -> Path:
        return self.folder / self.evidence.document_directory

    @property
    def database_url(self) -> str:
        """The database's URL with a relative SQLite path made absolute."""
        url = self.database.url
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return prefix + str((self.folder / url[len(prefix) :]).resolve())
        return url


def host_name(authority: str) -> str:
    """`host[:port]` without the port and without IPv6 brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def is_loopback(authority: str) -> bool:
    """Whether `host[:port]` is this machine by name (`localhost`, RFC 6761) or address."""
    host = host_name(authority)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
