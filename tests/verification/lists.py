"""Trust lists for tests: signers with real keys, and lists that they really sign."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import DAY, iso
from fedidoc.integrity import encode_multikey
from fedidoc.verification.trust_lists import CONTEXT, TYPE, digest_of
from fedidoc.verification.trust_signatures import sign

NOW = 1_790_000_000_000
URL = "https://society.example/trust-list"
ACTOR = "https://society.example/actor"


def fresh_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def public(key: Ed25519PrivateKey) -> str:
    return encode_multikey(key.public_key())


def issuer(host: str, key: Ed25519PrivateKey, **changes: Any) -> dict[str, Any]:
    """One issuer as it stands on a list."""
    scheme = "http" if host.startswith("127.") else "https"
    actor = f"{scheme}://{host}/actor"
    return {
        "host": host,
        "actor": actor,
        "credentialKey": {"id": f"{actor}#credential-key", "publicKeyMultibase": public(key)},
        "name": f"The {host.partition('.')[0].title()}",
        "country": "US",
        "since": "2026-11-01",
        "status": "active",
        "requireCredential": True,
        **changes,
    }


@dataclass
class Society:
    """Who signs, and what was published last. `issue` makes the next list, signed by `signers`."""

    signers: list[Ed25519PrivateKey] = field(
        default_factory=lambda: [fresh_key() for _ in range(3)]
    )
    threshold: int = 2
    url: str = URL
    actor: str = ACTOR
    issuers: list[dict[str, Any]] = field(default_factory=list)
    last: dict[str, Any] | None = None
    served: dict[int, bytes] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(map(public, self.signers))

    def draft(self, now: int = NOW, **changes: Any) -> dict[str, Any]:
        """The next list, not signed."""
        return {
            "@context": CONTEXT,
            "type": TYPE,
            "id": self.url,
            "name": "Accredited issuers",
            "publisher": self.actor,
            "sequence": self.last["sequence"] + 1 if self.last else 1,
            "issued": iso(now),
            "expires": iso(now + 90 * DAY),
            "previous": digest_of(self.last) if self.last else None,
            "signers": {"keys": list(self.keys), "threshold": self.threshold},
            "issuers": self.issuers,
            **changes,
        }

    def issue(
        self, now: int = NOW, *, by: list[Ed25519PrivateKey] | None = None, **changes: Any
    ) -> bytes:
        """Sign the next list, by the first `threshold` signers unless somebody else is named, and
        remember it as the last."""
        document = signed(
            self.draft(now, **changes), self.signers[: self.threshold] if by is None else by, now
        )
        self.last = document
        body = dump(document)
        self.served[document["sequence"]] = body
        return body


def signed(
    document: dict[str, Any], keys: list[Ed25519PrivateKey], now: int = NOW
) -> dict[str, Any]:
    for key in keys:
        document = sign(document, key, now)
    return document


def dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
