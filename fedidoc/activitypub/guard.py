"""Where outgoing requests may go (server-side request forgery, OWASP A10).

Every URL comes from a stranger. ``Guard`` says which URLs and which addresses are allowed;
``PinnedResolver`` makes the HTTP client connect to exactly the addresses that were vetted, so that
a name cannot resolve to one address for the check and to another for the connection.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from fedidoc.activitypub.addressing import Address, split_url
from fedidoc.activitypub.errors import DocumentError, FetchError

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Lookup = Callable[[str, int], Awaitable[list[str]]]

# The IANA special-purpose registries, and what operators put on top. ``ipaddress.is_global`` alone
# lets several of these through, and differs between Python versions.
_SPECIAL: Final = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # "this host"; Linux connects 0.0.0.0 to loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba Cloud's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent, a public address reachable from inside only
        "169.254.0.0/16",  # link-local; most clouds' metadata service
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments; Oracle Cloud's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        # Of IPv6 only 2000::/3 is global unicast at all (see _GLOBAL_IPV6); these lie within it.
        "2001::/23",  # Teredo, ORCHID, benchmarking and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries an IPv4 address: 2002:7f00:1:: is loopback
        "3fff::/20",  # documentation
    )
)
# Leaves out ::, ::1, ::ffff:0:0/96, ::a.b.c.d, NAT64 64:ff9b::/96, fc00::/7, fe80::/10, ff00::/8.
_GLOBAL_IPV6: Final = ip_network("2000::/3")
_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_MAX_ADDRESSES: Final = 8


class Reach(Enum):
    """How far a request may go."""

    PUBLIC = "public"  # the internet and nothing else: after a redirect to another origin
    PEERS = "peers"  # the internet and the networks the operator named
    LOOPBACK = "loopback"  # this machine: the only place for plain HTTP


def is_public_address(address: IPAddress) -> bool:
    """Whether an address is on the public internet, whichever way it is written."""
    if address.version == 6 and address not in _GLOBAL_IPV6:
        return False
    return not _within(address, _SPECIAL)


@dataclass(frozen=True, slots=True)
class Guard:
    """The operator's word on outgoing requests.

    ``allow_plain_http`` allows ``http://`` and loopback addresses, for tests and demonstrations.
    ``private_networks`` are networks whose addresses count as peers' (a hospital's own).
    ``ca_file`` holds certificate authorities believed beside the system's.
    """

    allow_plain_http: bool = False
    private_networks: tuple[IPNetwork, ...] = ()
    ca_file: str | None = None

    def vet(self, url: str, *, redirected: bool = False) -> tuple[Address, Reach]:
        """Take ``url`` apart and say how far it may reach.

        ``redirected`` means that another origin sent us here: then only public addresses are
        allowed, or, coming from plain HTTP, loopback ones. Raises FetchError when the scheme, port
        or host is refused; names are vetted again when they are resolved.
        """
        try:
            address = split_url(url)
        except DocumentError as error:
            raise FetchError("bad_url", "The address is not a plain https URL.") from error
        if address.scheme == "http":
            if not self.allow_plain_http:
                raise FetchError("plain_http", "The address does not use https.")
            reach = Reach.LOOPBACK
        else:
            reach = Reach.PUBLIC if redirected else Reach.PEERS
            if address.port is not None and address.port < 1024:
                raise FetchError("port_refused", "The address uses a port that is refused.")
        literal = _literal(address.host)
        if literal is not None:
            # The HTTP client does not resolve these, so this is the only check they meet.
            self.vet_address(literal, reach)
        return address, reach

    def vet_address(self, address: str | IPAddress, reach: Reach = Reach.PEERS) -> None:
        """Raise FetchError (``address_refused``) unless ``reach`` includes ``address``."""
        if isinstance(address, str):
            literal = _literal(address)
            if literal is None:
                raise _refused()
            address = literal
        if reach is Reach.LOOPBACK:
            allowed = self.allow_plain_http and _within(address, _LOOPBACK)
        else:
            allowed = is_public_address(address)
            if reach is Reach.PEERS and not allowed:
                allowed = self._is_private_peer(address)
        if not allowed:
            raise _refused()

    def _is_private_peer(self, address: IPAddress) -> bool:
        if self.allow_plain_http and _within(address, _LOOPBACK):
            return True
        if address.is_multicast or address.is_unspecified:
            return False
        return _within(address, self.private_networks)

    def tls(self) -> ssl.SSLContext:
        """The TLS settings of outgoing connections."""
        context = ssl.create_default_context()
        if self.ca_file is not None:
            context.load_verify_locations(cafile=self.ca_file)
        return context


class PinnedResolver(AbstractResolver):
    """Resolves names for the HTTP client and hands on only what the guard allows.

    One refused address refuses the name: a name with a public and a private address is an attempt
    to have the client choose the private one.
    """

    def __init__(
        self, guard: Guard, reach: Reach, timeout: float, lookup: Lookup | None = None
    ) -> None:
        self._guard = guard
        self._reach = reach
        self._timeout = timeout
        self._lookup = lookup or _look_up

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if is_localhost(host):
            found = ["127.0.0.1", "::1"]  # RFC 6761 section 6.3: never asked of a name server
        else:
            async with asyncio.timeout(self._timeout):
                found = await self._lookup(host, port)
        addresses = [ip_address(text) for text in dict.fromkeys(found)]
        for address in addresses:
            self._guard.vet_address(address, self._reach)
        if len({is_public_address(address) for address in addresses}) > 1:
            raise _refused()
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=_family(address),
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses[:_MAX_ADDRESSES]
            if family in (socket.AF_UNSPEC, _family(address))
        ]

    async def close(self) -> None:
        """Nothing is held open."""


def is_localhost(host: str) -> bool:
    """Whether the name means this machine whatever a name server says (RFC 6761)."""
    return host == "localhost" or host.endswith(".localhost")


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in a URL, is this machine without asking a name server."""
    literal = _literal(host)
    return is_localhost(host) if literal is None else _within(literal, _LOOPBACK)


async def _look_up(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]


def _within(address: IPAddress, blocks: tuple[IPNetwork, ...]) -> bool:
    return any(block.version == address.version and address in block for block in blocks)


@lru_cache(maxsize=2048)
def _literal(host: str) -> IPAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _family(address: IPAddress) -> socket.AddressFamily:
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def _refused() -> FetchError:
    return FetchError("address_refused", "The address leads to a network that is refused.")
