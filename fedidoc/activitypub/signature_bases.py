"""The bytes that a signature is made over, from a request: both families. Pure."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signature_fields import Family, Signature

# Fields that have one value: two lines of them could be read two ways.
_SINGLE: Final = frozenset({"host", "date", "digest", "content-type", "content-length"})

_URL = re.compile(r"(https?+)://([^/?#@\\]++)(/[^?#]*+)?+(\?[^#]*+)?+(?:#.*+)?+", re.IGNORECASE)
_VISIBLE = re.compile(r"[!-~]++")
_DATE = re.compile(
    r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


class Target(NamedTuple):
    """A URL in parts: lower-case scheme and authority, no default port; ``query`` with its ``?``,
    empty if there is none."""

    scheme: str
    authority: str
    path: str
    query: str

    @property
    def uri(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}{self.query}"


@lru_cache(maxsize=2048)
def split_url(url: str) -> Target:
    """An absolute http(s) URL in printable ASCII, without user name; a fragment is dropped."""
    match = _URL.fullmatch(url)
    if match is None or _VISIBLE.fullmatch(url) is None:
        raise SignatureError("target_malformed", "The address of the request cannot be signed.")
    scheme, authority, path, query = match.groups()
    scheme = scheme.lower()
    return Target(scheme, _normal_authority(authority, scheme), path or "/", query or "")


def _normal_authority(authority: str, scheme: str) -> str:
    return authority.lower().removesuffix(":443" if scheme == "https" else ":80")


def signature_bases(signature: Signature, request: Request) -> Iterator[bytes]:
    """The bytes that may have been signed (cavage section 2.3, RFC 9421 section 2.5), likeliest
    first.

    For cavage with a query there are two: Fedify and older Mastodon leave the query out of
    ``(request-target)``.
    """
    target = split_url(request.url)
    if signature.family is Family.RFC9421:
        yield _base_rfc9421(signature, request, target)
        return
    yield _base_cavage(signature, request, target, target.path + target.query)
    if target.query and "(request-target)" in signature.components:
        yield _base_cavage(signature, request, target, target.path)


def field_value(request: Request, name: str) -> str:
    """A header's value as it stands in a base; refuses a missing one and a doubled single one."""
    values = request.all(name)
    if not values or (len(values) > 1 and name in _SINGLE):
        raise SignatureError(
            "signed_header_missing", "Each signed header must be in the request, and once."
        )
    value = ", ".join(part.strip(" \t") for part in values)
    if "\n" in value or "\r" in value:
        raise SignatureError("signed_header_malformed", "A signed header has more than one line.")
    return value


def _host_value(request: Request, target: Target) -> str:
    """``Host`` as it was written; it must name this target.

    Otherwise what a peer signed for another server would pass here. A proxy in front must hand
    the header on as it came.
    """
    stated = field_value(request, "host")
    if _normal_authority(stated, target.scheme) != target.authority:
        raise SignatureError("host_mismatch", "The request was signed for another host.")
    return stated


def _base_cavage(signature: Signature, request: Request, target: Target, path: str) -> bytes:
    lines: list[str] = []
    for name in signature.components:
        if name == "(request-target)":
            value = f"{request.method.lower()} {path}"
        elif name == "(created)":
            value = str((signature.created or 0) // 1000)
        elif name == "(expires)":
            value = str((signature.expires or 0) // 1000)
        elif name == "host":
            value = _host_value(request, target)
        else:
            value = field_value(request, name)
        lines.append(f"{name}: {value}")
    return _encode("\n".join(lines))


def _base_rfc9421(signature: Signature, request: Request, target: Target) -> bytes:
    lines: list[str] = []
    for name in signature.components:
        if name == "@method":
            value = request.method
        elif name == "@target-uri":
            value = target.uri
        elif name == "@authority":
            value = target.authority
        elif name == "@scheme":
            value = target.scheme
        elif name == "@request-target":
            value = target.path + target.query
        elif name == "@path":
            value = target.path
        elif name == "@query":
            value = target.query or "?"
        elif name == "host":
            value = _host_value(request, target)
        else:
            value = field_value(request, name)
        lines.append(f'"{name}": {value}')
    lines.append(f'"@signature-params": {signature.parameters}')
    return _encode("\n".join(lines))


def _encode(base: str) -> bytes:
    """Header bytes reach us as Latin-1 (RFC 9110 section 5.5); the same bytes were signed."""
    try:
        return base.encode("latin-1")
    except UnicodeEncodeError as error:
        raise SignatureError(
            "signed_header_malformed", "A signed header holds characters that HTTP cannot carry."
        ) from error


@lru_cache(maxsize=64)
def read_date(text: str) -> int:
    """An IMF-fixdate (RFC 9110 section 5.6.7) as milliseconds since 1970."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise _date_malformed()
    day, month, year, hour, minute, second = match.groups()
    try:
        date = datetime(int(year), _MONTHS.index(month) + 1, int(day), tzinfo=UTC)
        moment = date.replace(hour=int(hour), minute=int(minute), second=int(second))
    except ValueError as error:
        raise _date_malformed() from error
    return int(moment.timestamp()) * 1000


def _date_malformed() -> SignatureError:
    return SignatureError("date_malformed", "The Date header cannot be read.")
