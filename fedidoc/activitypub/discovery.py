"""Finding actors and servers: WebFinger (RFC 7033), NodeInfo 2.1, FEP-d556, FEP-2677.

What a WebFinger or NodeInfo answer links to is a stranger's word: it is fetched through the guard,
and an actor is believed only after its own server confirms the handle.
"""

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from fedidoc.activitypub.addressing import host_of, origin_of, split_url
from fedidoc.activitypub.contexts import AS
from fedidoc.activitypub.errors import DocumentError, FetchError
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard, is_loopback
from fedidoc.activitypub.messages import is_activity_type

WEBFINGER_PATH: Final = "/.well-known/webfinger"
NODEINFO_PATH: Final = "/.well-known/nodeinfo"
APPLICATION_REL: Final = AS + "Application"
SERVICE_REL: Final = AS + "Service"

_ACTIVITY_TYPE: Final = "application/activity+json"
_NODEINFO_REL: Final = "http://nodeinfo.diaspora.software/ns/schema/"
_USERNAME: Final = re.compile(r"[\w](?:[\w.-]{0,126}[\w])?", re.ASCII)
_MAX_LINKS: Final = 64


@dataclass(frozen=True, slots=True)
class Handle:
    """``username`` at ``host``; the host may carry a port (``localhost:8000``)."""

    username: str
    host: str

    def __str__(self) -> str:
        return f"@{self.username}@{self.host}"

    @property
    def account(self) -> str:
        """The ``acct:`` URI that WebFinger asks for (RFC 7565)."""
        return f"acct:{self.username}@{self.host}"


def parse_handle(text: str) -> Handle | str:
    """``@a@b``, ``a@b`` or ``acct:a@b`` as a Handle; an http(s) URL as it is.

    Raises DocumentError (``bad_handle``).
    """
    text = text.strip()
    try:
        if text.lower().startswith(("http://", "https://")):
            split_url(text)
            return text
        bare = text[5:] if text.lower().startswith("acct:") else text.removeprefix("@")
        username, at, host = bare.partition("@")
        if at and _USERNAME.fullmatch(username):
            address = split_url(f"https://{host}")
            if not address.rest:
                return Handle(username, address.authority)
    except DocumentError as error:
        raise _bad_handle() from error
    raise _bad_handle()


def webfinger_url(resource: str, host: str, *, scheme: str = "https") -> str:
    """Where ``host`` answers for ``resource`` (RFC 7033 section 4)."""
    return f"{scheme}://{host}{WEBFINGER_PATH}?resource={quote(resource, safe=':@')}"


def read_webfinger(document: dict[str, Any], handle: Handle) -> str:
    """The actor's URL in a WebFinger answer that speaks for ``handle``.

    Raises DocumentError: ``webfinger_subject`` when it speaks for another, ``webfinger_no_actor``
    when it names none.
    """
    subject = subject_of(document)
    if subject is None or not _same_account(subject, handle):
        raise DocumentError("webfinger_subject", "The answer is about another account.")
    links = document.get("links")
    for link in links[:_MAX_LINKS] if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self":
            kind, href = link.get("type"), link.get("href")
            if isinstance(href, str) and isinstance(kind, str) and is_activity_type(kind):
                origin_of(href)
                return href
    raise DocumentError("webfinger_no_actor", "The account has no ActivityPub actor.")


def subject_of(document: dict[str, Any]) -> Handle | None:
    """The handle a WebFinger answer is about."""
    subject = document.get("subject")
    if not isinstance(subject, str) or not subject.lower().startswith("acct:"):
        return None
    try:
        handle = parse_handle(subject)
    except DocumentError:
        return None
    return handle if isinstance(handle, Handle) else None


async def find_actor_url(handle: Handle, fetcher: Fetcher, guard: Guard) -> str:
    """The actor's URL that the host of ``handle`` names for it.

    Where a server's handles carry a shorter host than its actors (split domains), that host is
    asked too and must name the same actor. Raises FetchError or DocumentError.
    """
    document = await _ask(handle, fetcher, guard)
    subject = subject_of(document)
    if subject is None or _same_account(subject, handle):
        return read_webfinger(document, handle)
    actor_url = read_webfinger(document, subject)
    confirmed = read_webfinger(await _ask(subject, fetcher, guard), subject)
    if confirmed != actor_url:
        raise DocumentError("webfinger_subject", "The two servers name different actors.")
    return actor_url


async def find_software(host: str, fetcher: Fetcher, guard: Guard) -> tuple[str, str]:
    """The name and version of the software at ``host``, as its NodeInfo says.

    Raises FetchError or DocumentError.
    """
    links = await _get_from(host, NODEINFO_PATH, fetcher, guard)
    document = await fetcher.get_json(read_nodeinfo_links(links, host))
    software = document.get("software")
    if isinstance(software, dict):
        name, version = software.get("name"), software.get("version")
        if isinstance(name, str) and isinstance(version, str):
            return name[:64], version[:64]
    raise DocumentError("nodeinfo_malformed", "The server does not say which software it runs.")


def read_nodeinfo_links(document: dict[str, Any], host: str) -> str:
    """The newest NodeInfo 2.x document that the answer links to, on ``host`` itself.

    Raises DocumentError (``nodeinfo_malformed``).
    """
    links = document.get("links")
    found: dict[str, str] = {
        link["rel"]: link["href"]
        for link in (links[:_MAX_LINKS] if isinstance(links, list) else ())
        if isinstance(link, dict)
        and isinstance(link.get("rel"), str)
        and isinstance(link.get("href"), str)
        and _is_on(link["href"], host)
    }
    for version in ("2.1", "2.0"):
        if _NODEINFO_REL + version in found:
            return found[_NODEINFO_REL + version]
    raise DocumentError("nodeinfo_malformed", "The server has no NodeInfo of its own.")


def webfinger_document(handle: Handle, actor_url: str) -> dict[str, Any]:
    """The answer for a member: the actor's URL and nothing else."""
    return {
        "subject": handle.account,
        "aliases": [actor_url],
        "links": [{"rel": "self", "type": _ACTIVITY_TYPE, "href": actor_url}],
    }


def instance_webfinger_document(base_url: str, actor_url: str) -> dict[str, Any]:
    """The answer for the instance itself, asked for by its base URL (FEP-d556)."""
    return {
        "subject": base_url,
        "links": [{"rel": SERVICE_REL, "type": _ACTIVITY_TYPE, "href": actor_url}],
    }


def nodeinfo_links(base_url: str, instance_actor: str) -> dict[str, Any]:
    """``/.well-known/nodeinfo``: where NodeInfo and the instance actor are (FEP-2677).

    ``base_url`` has no slash at its end.
    """
    return {
        "links": [
            {"rel": _NODEINFO_REL + version, "href": f"{base_url}/nodeinfo/{version}"}
            for version in ("2.1", "2.0")
        ]
        + [{"rel": APPLICATION_REL, "href": instance_actor}]
    }


def nodeinfo_document(
    *,
    software_version: str,
    repository: str | None = None,
    users: int | None = None,
    open_registrations: bool = False,
    metadata: dict[str, Any] | None = None,
    version: str = "2.1",
) -> dict[str, Any]:
    """NodeInfo ``version`` (2.0 or 2.1); counts are left out unless given."""
    software: dict[str, str] = {"name": "fedidoc", "version": software_version}
    if repository is not None and version == "2.1":
        software["repository"] = repository
    return {
        "version": version,
        "software": software,
        "protocols": ["activitypub"],
        "services": {"inbound": [], "outbound": []},
        "openRegistrations": open_registrations,
        "usage": {"users": {} if users is None else {"total": users}},
        "metadata": metadata or {},
    }


async def _ask(handle: Handle, fetcher: Fetcher, guard: Guard) -> dict[str, Any]:
    query = webfinger_url(handle.account, handle.host).partition(handle.host)[2]
    return await _get_from(handle.host, query, fetcher, guard)


async def _get_from(host: str, path: str, fetcher: Fetcher, guard: Guard) -> dict[str, Any]:
    """GET from a host known without its scheme: https, or plain HTTP where that is allowed."""
    if guard.allow_plain_http:
        try:
            return await fetcher.get_json(f"http://{host}{path}")
        except FetchError as error:
            # A name may still lead elsewhere over https; this machine has been asked.
            if error.status is not None or is_loopback(split_url(f"http://{host}").host):
                raise
    return await fetcher.get_json(f"https://{host}{path}")


def _same_account(subject: Handle, handle: Handle) -> bool:
    return subject.username.lower() == handle.username.lower() and subject.host == handle.host


def _is_on(url: str, host: str) -> bool:
    try:
        return host_of(url) == host
    except DocumentError:
        return False


def _bad_handle() -> DocumentError:
    return DocumentError("bad_handle", "Write a handle as @name@server.example, or a web address.")
