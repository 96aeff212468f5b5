"""Which addresses an outgoing request may reach; every form of address by name."""

from ipaddress import ip_address, ip_network

import pytest

from fedidoc.activitypub.errors import FetchError
from fedidoc.activitypub.guard import Guard, PinnedResolver, Reach, is_public_address

# Mastodon CVE-2026-22245, -46348, -47389, GHSA-vwhj; Lemmy CVE-2026-33693; Fedify CVE-2026-50131.
INSIDE = {
    "unspecified": "0.0.0.0",
    "this network": "0.1.2.3",
    "loopback": "127.0.0.1",
    "loopback, other": "127.255.255.254",
    "private 10": "10.0.0.1",
    "private 172": "172.31.255.255",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "link-local": "169.254.1.1",
    "metadata of most clouds": "169.254.169.254",
    "metadata of Alibaba": "100.100.100.200",
    "metadata of Oracle": "192.0.0.192",
    "host agent of Azure": "168.63.129.16",
    "protocol assignments": "192.0.0.8",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "benchmarking": "198.19.0.1",
    "6to4 relay": "192.88.99.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 unspecified": "::",
    "IPv6 loopback": "::1",
    "IPv4-mapped loopback": "::ffff:127.0.0.1",
    "IPv4-mapped private": "::ffff:10.0.0.1",
    "IPv4-mapped public": "::ffff:93.184.216.34",
    "IPv4-translated": "::ffff:0:127.0.0.1",
    "IPv4-compatible loopback": "::127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "NAT64, local": "64:ff9b:1::a00:1",
    "Teredo": "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "6to4 loopback": "2002:7f00:1::",
    "6to4 private": "2002:a00:1::1",
    "IPv6 benchmarking": "2001:2::1",
    "ORCHID": "2001:20::1",
    "IPv6 documentation": "2001:db8::1",
    "IPv6 documentation, new": "3fff::1",
    "discard only": "100::1",
    "unique-local": "fd00::1",
    "metadata of AWS over IPv6": "fd00:ec2::254",
    "IPv6 link-local": "fe80::1",
    "IPv6 link-local with zone": "fe80::1%eth0",
    "site-local": "fec0::1",
    "IPv6 multicast": "ff02::1",
    "segment routing": "5f00::1",
}
PUBLIC = ["93.184.216.34", "1.1.1.1", "9.255.255.255", "172.32.0.1", "100.128.0.1", "2606:4700::1"]


@pytest.mark.parametrize("address", INSIDE.values(), ids=INSIDE.keys())
def test_addresses_inside_are_refused(address: str) -> None:
    assert not is_public_address(ip_address(address))
    for guard in (Guard(), Guard(allow_plain_http=True)):
        with pytest.raises(FetchError) as caught:
            guard.vet_address(address, Reach.PUBLIC)
        assert caught.value.reason == "address_refused"
        assert not caught.value.transient
    with pytest.raises(FetchError):
        Guard().vet_address(address)
    with pytest.raises(FetchError):
        Guard().vet_address(address, Reach.LOOPBACK)


@pytest.mark.parametrize("address", INSIDE.values(), ids=INSIDE.keys())
def test_literal_addresses_meet_the_same_guard(address: str) -> None:
    """The HTTP client asks no resolver for these."""
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(FetchError) as caught:
        Guard().vet(f"https://{host}/inbox")
    assert caught.value.reason in {"address_refused", "bad_url"}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    Guard().vet_address(address)
    Guard().vet_address(address, Reach.PUBLIC)
    with pytest.raises(FetchError):
        Guard(allow_plain_http=True).vet_address(address, Reach.LOOPBACK)


def test_private_networks_are_for_peers_only() -> None:
    guard = Guard(private_networks=(ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")))
    for address in ("10.1.2.3", "fd00:1::5"):
        guard.vet_address(address)
        with pytest.raises(FetchError):
            guard.vet_address(address, Reach.PUBLIC)
    for address in ("10.2.0.1", "::ffff:10.1.2.3", "fd00:2::5", "127.0.0.1"):
        with pytest.raises(FetchError):
            guard.vet_address(address)


def test_a_private_network_never_includes_everything() -> None:
    guard = Guard(private_networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    for address in ("0.0.0.0", "224.0.0.1", "::", "ff02::1"):
        with pytest.raises(FetchError):
            guard.vet_address(address)


def test_plain_http_is_for_loopback_and_only_if_allowed() -> None:
    with pytest.raises(FetchError) as caught:
        Guard().vet("http://127.0.0.1:8000/")
    assert caught.value.reason == "plain_http"
    guard = Guard(allow_plain_http=True)
    assert guard.vet("http://127.0.0.1:8000/")[1] is Reach.LOOPBACK
    assert guard.vet("http://a.localhost:8000/")[1] is Reach.LOOPBACK
    guard.vet_address("127.0.0.1")
    for url in ("http://93.184.216.34/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/"):
        with pytest.raises(FetchError):
            guard.vet(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://a.example:22/", "port_refused"),
        ("https://a.example:80/", "port_refused"),
        ("https://user@a.example/", "bad_url"),
        ("ftp://a.example/", "bad_url"),
        ("file:///etc/passwd", "bad_url"),
        ("https://127.1/", "bad_url"),
        ("https://0x7f000001/", "bad_url"),
        ("https://2130706433/", "bad_url"),
    ],
)
def test_urls_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(FetchError) as caught:
        Guard(allow_plain_http=True).vet(url)
    assert caught.value.reason == reason


def test_ports() -> None:
    assert Guard().vet("https://a.example/")[1] is Reach.PEERS
    assert Guard().vet("https://a.example:8443/", redirected=True)[1] is Reach.PUBLIC


async def resolve(
    guard: Guard, reach: Reach, *addresses: str, host: str = "a.example"
) -> list[str]:
    async def lookup(name: str, port: int) -> list[str]:
        assert name == host
        return list(addresses)

    found = await PinnedResolver(guard, reach, 5, lookup).resolve(host, 443)
    return [result["host"] for result in found]


async def test_the_resolver_hands_on_what_was_vetted() -> None:
    assert await resolve(Guard(), Reach.PEERS, *PUBLIC[:2], PUBLIC[0]) == PUBLIC[:2]


@pytest.mark.parametrize("address", INSIDE.values(), ids=INSIDE.keys())
async def test_one_refused_answer_refuses_the_name(address: str) -> None:
    for answers in ((address,), ("93.184.216.34", address), (address, "93.184.216.34")):
        with pytest.raises(FetchError):
            await resolve(Guard(), Reach.PEERS, *answers)


async def test_mixed_answers_are_refused_even_where_both_are_allowed() -> None:
    guard = Guard(private_networks=(ip_network("10.0.0.0/8"),))
    assert await resolve(guard, Reach.PEERS, "10.0.0.1", "10.0.0.2") == ["10.0.0.1", "10.0.0.2"]
    with pytest.raises(FetchError):
        await resolve(guard, Reach.PEERS, "10.0.0.1", "93.184.216.34")


@pytest.mark.parametrize("host", ["localhost", "society.localhost"])
async def test_localhost_is_loopback_without_asking(host: str) -> None:
    """RFC 6761 section 6.3; a name server's answer would not count."""
    guard = Guard(allow_plain_http=True)
    found = await resolve(guard, Reach.LOOPBACK, "93.184.216.34", host=host)
    assert found == ["127.0.0.1", "::1"]
    with pytest.raises(FetchError):
        await resolve(Guard(), Reach.PEERS, "93.184.216.34", host=host)


async def test_a_name_for_plain_http_must_be_loopback() -> None:
    guard = Guard(allow_plain_http=True)
    assert await resolve(guard, Reach.LOOPBACK, "127.0.0.1") == ["127.0.0.1"]
    with pytest.raises(FetchError):
        await resolve(guard, Reach.LOOPBACK, "93.184.216.34")


async def test_many_answers_are_cut() -> None:
    answers = [f"93.184.216.{number}" for number in range(100)]
    assert len(await resolve(Guard(), Reach.PEERS, *answers)) == 8
