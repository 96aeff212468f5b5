"""One signed POST and what it means; the peer verifies what it receives."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from fedidoc.activitypub.deliver import Delivered, GiveUp, Outcome, RetryAt, back_off, deliver
from fedidoc.activitypub.fetch import Fetcher
from fedidoc.activitypub.guard import Guard
from fedidoc.activitypub.messages import Request
from fedidoc.activitypub.signatures import (
    Scheme,
    SigningKey,
    VerifyingKey,
    check_dates,
    check_digest,
    digest_body,
    parse,
    scheme_of,
    verify,
)

from .conftest import Asked, Peer, answer

NOW = 1_774_000_000_000
MINUTE = 60_000
BODY = b'{"type":"Create"}'
OWNER = "https://society.example/u/ann"
RSA = SigningKey(f"{OWNER}#main-key", generate_private_key(65537, 2048))
ED25519 = SigningKey(f"{OWNER}#ed25519-key", Ed25519PrivateKey.generate())
KEYS = {Scheme.CAVAGE: RSA, Scheme.RFC9421: RSA, Scheme.RFC9421_ED25519: ED25519}
VERIFYING = {
    key.key_id: VerifyingKey(key.key_id, OWNER, key.private.public_key()) for key in (RSA, ED25519)
}


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(guard=Guard(allow_plain_http=True), user_agent="x", total_timeout=2)
    yield fetcher
    await fetcher.close()


async def send(
    fetcher: Fetcher,
    inbox: str,
    *,
    scheme: Scheme | None = None,
    attempts: int = 0,
    keys: dict[Scheme, SigningKey] = KEYS,
) -> Outcome:
    return await deliver(
        inbox,
        BODY,
        keys=keys,
        scheme=scheme,
        fetcher=fetcher,
        now_ms=NOW,
        attempts=attempts,
        digest=digest_body(BODY),
        jitter=0,
    )


def scheme_sent(peer: Peer, asked: Asked) -> Scheme:
    """The scheme of a request that arrived, after verifying it in full."""
    request = Request("POST", peer.url(asked.target), tuple(asked.headers.items()), asked.body)
    signature = parse(request)
    check_dates(signature, request, NOW)
    check_digest(request)
    key = VERIFYING[signature.key_id]
    verify(signature, request, key)
    return scheme_of(signature, key)


def picky(peer: Peer, *wanted: Scheme, status: int = 401) -> str:
    """An inbox that takes ``wanted`` only, as GoToSocial and microblog.pub do."""

    async def judge(writer: asyncio.StreamWriter) -> None:
        taken = scheme_sent(peer, peer.asked[-1]) in wanted
        writer.write(answer(b"", status=202 if taken else status, Connection="close"))
        await writer.drain()

    peer.answers["/inbox?a=1"] = judge
    return peer.url("/inbox?a=1")


async def test_cavage_is_sent_first(peer: Peer, fetcher: Fetcher) -> None:
    inbox = picky(peer, *Scheme)
    assert await send(fetcher, inbox) == Delivered(Scheme.CAVAGE)
    assert len(peer.asked) == 1
    assert peer.asked[0].headers["content-type"] == "application/activity+json"


@pytest.mark.parametrize("status", [400, 401])
async def test_double_knocking(peer: Peer, fetcher: Fetcher, status: int) -> None:
    inbox = picky(peer, Scheme.RFC9421, status=status)
    assert await send(fetcher, inbox) == Delivered(Scheme.RFC9421)
    assert len(peer.asked) == 2
    assert await send(fetcher, inbox, scheme=Scheme.RFC9421) == Delivered(Scheme.RFC9421)
    assert len(peer.asked) == 3


async def test_a_remembered_scheme_that_is_no_longer_taken(peer: Peer, fetcher: Fetcher) -> None:
    inbox = picky(peer, Scheme.CAVAGE)
    assert await send(fetcher, inbox, scheme=Scheme.RFC9421) == Delivered(Scheme.CAVAGE)
    inbox = picky(peer, Scheme.RFC9421)
    found = await send(fetcher, inbox, scheme=Scheme.RFC9421_ED25519)
    assert found == Delivered(Scheme.RFC9421)
    assert [scheme_sent(peer, asked) for asked in peer.asked[-3:]] == [
        Scheme.RFC9421_ED25519,
        Scheme.CAVAGE,
        Scheme.RFC9421,
    ]


async def test_ed25519_between_fedidoc_instances(peer: Peer, fetcher: Fetcher) -> None:
    inbox = picky(peer, Scheme.RFC9421_ED25519)
    found = await send(fetcher, inbox, scheme=Scheme.RFC9421_ED25519)
    assert found == Delivered(Scheme.RFC9421_ED25519)
    # Not tried where nothing says that the peer reads it.
    assert isinstance(await send(fetcher, inbox), RetryAt)
    assert len(peer.asked) == 3


@pytest.mark.parametrize(
    ("status", "outcome", "knocks"),
    [
        (200, Delivered(Scheme.CAVAGE), 1),
        (204, Delivered(Scheme.CAVAGE), 1),
        (301, RetryAt(NOW + MINUTE, "status_301"), 1),
        (400, GiveUp("status_400"), 2),
        (401, RetryAt(NOW + MINUTE, "status_401"), 2),
        (403, RetryAt(NOW + MINUTE, "status_403"), 1),
        (404, GiveUp("status_404"), 1),
        (406, GiveUp("status_406"), 1),
        (408, RetryAt(NOW + MINUTE, "status_408"), 1),
        (410, GiveUp("status_410"), 1),
        (429, RetryAt(NOW + MINUTE, "status_429"), 1),
        (500, RetryAt(NOW + MINUTE, "status_500"), 1),
        (501, GiveUp("status_501"), 1),
        (503, RetryAt(NOW + MINUTE, "status_503"), 1),
    ],
)
async def test_outcomes(
    peer: Peer, fetcher: Fetcher, status: int, outcome: Outcome, knocks: int
) -> None:
    body = b"" if status == 204 else b"secret"
    peer.answers["/inbox"] = answer(body, status=status)
    assert await send(fetcher, peer.url("/inbox")) == outcome
    assert len(peer.asked) == knocks


async def test_retry_after_is_heeded_within_a_day(peer: Peer, fetcher: Fetcher) -> None:
    for seconds, expected in ((5, MINUTE), (3600, 3_600_000), (10**8, 86_400_000)):
        peer.answers["/inbox"] = answer(b"", status=429, Retry_After=str(seconds))
        found = await send(fetcher, peer.url("/inbox"))
        assert found == RetryAt(NOW + expected, "status_429")


async def test_the_last_attempt_gives_up(peer: Peer, fetcher: Fetcher) -> None:
    peer.answers["/inbox"] = answer(b"", status=503)
    assert isinstance(await send(fetcher, peer.url("/inbox"), attempts=10), RetryAt)
    assert await send(fetcher, peer.url("/inbox"), attempts=11) == GiveUp("status_503")


async def test_what_cannot_be_reached(fetcher: Fetcher) -> None:
    nobody = await send(fetcher, "http://127.0.0.1:9/inbox")
    assert nobody == RetryAt(NOW + MINUTE, "unreachable")
    assert await send(fetcher, "https://10.0.0.1/inbox") == GiveUp("address_refused")
    assert await send(fetcher, "javascript:alert(1)") == GiveUp("bad_url")
    assert await send(fetcher, "http://127.0.0.1:9/inbox", keys={}) == GiveUp("no_key")


def test_back_off() -> None:
    times = [back_off(attempts, NOW, jitter=0) for attempts in range(1, 12)]
    delays = [time - NOW for time in times if time is not None]
    assert len(delays) == 11
    assert delays == sorted(delays)
    assert delays[0] == MINUTE
    assert 4.5 < sum(delays) / 86_400_000 < 5.5
    assert back_off(12, NOW, jitter=0) is None
    assert back_off(0, NOW, jitter=0) is None
    assert back_off(1, NOW, jitter=1) == NOW + int(MINUTE * 1.25)
