"""Hosts, origins and recipients: who a document is from, whom it is for, which inboxes take it.

Pure. Two texts that look like one host to a person, or to another URL parser, must not be two hosts
here, so URLs are read narrowly: what the URL Standard would repair is refused instead.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal, NamedTuple
from urllib.parse import quote

import idna

from fedidoc.activitypub.documents import is_public
from fedidoc.activitypub.errors import DocumentError

Audience = Literal["public", "unlisted", "followers", "direct", "none"]

_MAX_URL = 2048
# No white space, control characters or backslash anywhere, no userinfo, no escapes in the host.
_URL = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[^\x00-\x20\x7f/?#@:\\%\[\]]+)(?::([0-9]{1,5}))?"
    r"((?:[/?#][^\x00-\x20\x7f\\]*)?)",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_RESERVED = "/?:@!$&'()*+,;=%[]~-._"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """The parts of an absolute http(s) URL.

    ``host`` is lower case and ASCII, without brackets; ``port`` is None when it is the scheme's
    own; ``rest`` is path, query and fragment as they stood.
    """

    scheme: str
    host: str
    port: int | None
    rest: str

    @property
    def authority(self) -> str:
        """Host and non-default port as they stand in a URL: ``a.example``, ``[::1]:8000``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority (RFC 6454), ``https://a.example``."""
        return f"{self.scheme}://{self.authority}"


@lru_cache(maxsize=2048)
def split_url(url: str) -> Address:
    """Take an absolute http(s) URL apart. Raises DocumentError (``bad_url``) for anything else."""
    match = _URL.fullmatch(url) if len(url) <= _MAX_URL else None
    if match is None:
        raise _bad_url()
    scheme, host, digits, rest = match.groups()
    scheme = scheme.lower()
    port = int(digits) if digits else _DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise _bad_url()
    return Address(
        scheme, _canonical_host(host), None if port == _DEFAULT_PORTS[scheme] else port, rest
    )


@lru_cache(maxsize=4096)
def _canonical_host(host: str) -> str:
    if host.startswith("["):
        try:
            return IPv6Address(host[1:-1]).compressed
        except AddressValueError as error:
            raise _bad_url() from error
    name = host.lower()
    if not name.isascii() or "xn--" in name:
        if len(name) > 253:
            raise _bad_url()
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise _bad_url() from error
    if _NUMERIC_END.fullmatch(name):
        # 127.1, 0x7f.0.0.1, 2130706433 are addresses to some resolvers; only one form is ours.
        try:
            if not host.isascii():
                raise _bad_url()
            return str(IPv4Address(name))
        except AddressValueError as error:
            raise _bad_url() from error
    if not _NAME.fullmatch(name):
        raise _bad_url()
    return name


def _bad_url() -> DocumentError:
    return DocumentError("bad_url", "An address is not a plain http or https URL.")


@lru_cache(maxsize=2048)
def host_of(url: str) -> str:
    """The authority: host, lower case, IDNA, with the port unless it is the scheme's own.

    Raises DocumentError (``bad_url``).
    """
    return split_url(url).authority


@lru_cache(maxsize=2048)
def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, in one spelling. Raises DocumentError (``bad_url``)."""
    return split_url(url).origin


def same_origin(a: str, b: str) -> bool:
    """Whether both are http(s) URLs of one origin (FEP-fe34); False when either is malformed."""
    try:
        return origin_of(a) == origin_of(b)
    except DocumentError:
        return False


@lru_cache(maxsize=2048)
def request_url(url: str) -> str:
    """``url`` as it is sent and signed: one spelling of the host, a path, no fragment, ASCII.

    Raises DocumentError (``bad_url``).
    """
    address = split_url(url)
    rest = address.rest.partition("#")[0]
    if not rest.startswith("/"):
        rest = "/" + rest
    return address.origin + (rest if rest.isascii() else quote(rest, safe=_RESERVED))


def audience_of(to: Iterable[str], cc: Iterable[str], followers: str | None = None) -> Audience:
    """Whom a post is for, as Mastodon names it: by where Public and the followers stand.

    ``followers`` is the author's collection; when it is not known, any recipient that looks like a
    followers collection counts.
    """
    to, cc = tuple(to), tuple(cc)
    if any(is_public(iri) for iri in to):
        return "public"
    if any(is_public(iri) for iri in cc):
        return "unlisted"
    if any(_is_followers(iri, followers) for iri in (*to, *cc)):
        return "followers"
    return "direct" if to or cc else "none"


def _is_followers(iri: str, followers: str | None) -> bool:
    # Most servers end the path in it; Friendica and Hubzilla have /followers/NAME.
    return iri == followers if followers is not None else "/followers" in iri


def fold_inboxes(recipients: Iterable[tuple[str, str | None]]) -> list[str]:
    """The inboxes to post to, each once, in order: the shared inbox where there is one.

    A shared inbox is believed only on its actor's own origin: otherwise an actor could turn the
    posts of many at a third server.
    """
    return list(
        dict.fromkeys(
            shared if shared is not None and same_origin(inbox, shared) else inbox
            for inbox, shared in recipients
        )
    )
