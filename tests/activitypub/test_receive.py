"""The ordered checks of an inbox, attacked; signatures are real, keys come from a small ring."""

import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from fedidoc.activitypub.documents import Limits
from fedidoc.activitypub.errors import FetchError, Refused, SignatureError
from fedidoc.activitypub.messages import Request, is_activity_type
from fedidoc.activitypub.receive import VerifiedActivity, VerifiedReader, authenticate, receive
from fedidoc.activitypub.signatures import Scheme, SigningKey, VerifyingKey, sign

NOW = 1_774_000_000_000
HOUR = 3_600_000
URL = "https://society.example/inbox"
TYPE = "application/activity+json"
ALICE = "https://hospital.example/users/alice"
MALLORY = "https://hospital.example/users/mallory"
EVE = "https://evil.example/users/eve"

ALICE_RSA = SigningKey(f"{ALICE}#main-key", rsa.generate_private_key(65537, 2048))
ALICE_ED = SigningKey(f"{ALICE}#ed25519-key", ed25519.Ed25519PrivateKey.generate())
MALLORY_RSA = SigningKey(f"{MALLORY}#main-key", rsa.generate_private_key(65537, 2048))
EVE_RSA = SigningKey(f"{EVE}#main-key", rsa.generate_private_key(65537, 2048))


class Allowed:
    """Peers by host, and what was asked."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = set(hosts)
        self.asked: list[str] = []

    def allows(self, host: str) -> bool:
        self.asked.append(host)
        return host in self.hosts


class Ring:
    """Keys as other servers would serve them, and what was asked for."""

    def __init__(self, *keys: VerifyingKey) -> None:
        self.keys = {key.key_id: key for key in keys}
        self.renewed: dict[str, VerifyingKey] = {}
        self.failure: FetchError | None = None
        self.asked: list[tuple[str, bool]] = []

    async def find(self, key_id: str, *, refresh: bool = False) -> VerifyingKey:
        self.asked.append((key_id, refresh))
        if self.failure is not None:
            raise self.failure
        if refresh and key_id in self.renewed:
            return self.renewed[key_id]
        if key_id not in self.keys:
            raise SignatureError("key_not_found", "There is no such key.")
        return self.keys[key_id]


def public_half(key: SigningKey, owner: str) -> VerifyingKey:
    return VerifyingKey(key.key_id, owner, key.private.public_key())


def ring() -> Ring:
    return Ring(
        public_half(ALICE_RSA, ALICE),
        public_half(ALICE_ED, ALICE),
        public_half(MALLORY_RSA, MALLORY),
        public_half(EVE_RSA, EVE),
    )


def activity(**changes: Any) -> dict[str, Any]:
    document = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": f"{ALICE}/activities/1",
        "type": "Create",
        "actor": ALICE,
        "object": {"id": f"{ALICE}/notes/1", "type": "Note", "content": "<p>Hello</p>"},
    }
    return {name: value for name, value in (document | changes).items() if value is not None}


def post(
    document: dict[str, Any] | bytes,
    *,
    key: SigningKey = ALICE_RSA,
    scheme: Scheme = Scheme.CAVAGE,
    content_type: str = TYPE,
    url: str = URL,
    now_ms: int = NOW,
) -> Request:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = sign(
        "POST", url, body, key=key, scheme=scheme, now_ms=now_ms, content_type=content_type
    )
    return Request("POST", url, tuple((name.lower(), v) for name, v in headers.items()), body)


def get(key: SigningKey = ALICE_RSA, scheme: Scheme = Scheme.CAVAGE, url: str = URL) -> Request:
    headers = sign("GET", url, b"", key=key, scheme=scheme, now_ms=NOW)
    return Request("GET", url, tuple((name.lower(), v) for name, v in headers.items()))


async def accept(
    request: Request, keys: Ring | None = None, peers: Allowed | None = None, **arguments: Any
) -> VerifiedActivity:
    return await receive(
        request,
        peers=peers or Allowed("hospital.example"),
        keys=keys or ring(),
        **{"now_ms": NOW, **arguments},
    )


async def refusal(
    request: Request, keys: Ring | None = None, peers: Allowed | None = None, **arguments: Any
) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await accept(request, keys, peers, **arguments)
    return caught.value.status, caught.value.reason


# What comes through


@pytest.mark.parametrize(
    ("scheme", "key"),
    [
        (Scheme.CAVAGE, ALICE_RSA),
        (Scheme.RFC9421, ALICE_RSA),
        (Scheme.RFC9421_ED25519, ALICE_ED),
    ],
)
async def test_a_signed_activity_becomes_a_value(scheme: Scheme, key: SigningKey) -> None:
    request = post(activity(), key=key, scheme=scheme)
    verified = await accept(request)
    assert verified.signer == verified.actor == ALICE
    assert verified.activity_id == f"{ALICE}/activities/1"
    assert verified.type == "Create"
    assert verified.body == request.body
    assert verified.document == activity()
    assert verified.host == "hospital.example"
    assert verified.scheme is scheme
    assert verified.received == NOW


async def test_shapes_that_peers_send() -> None:
    embedded = activity(actor={"id": ALICE, "type": "Person"}, id=f"{ALICE}#follows/1")
    assert (await accept(post(embedded))).actor == ALICE
    profile = 'application/ld+json; profile="https://www.w3.org/ns/activitystreams"'
    assert (await accept(post(activity(), content_type=profile))).type == "Create"
    assert (await accept(post(activity(type=["Create", "x:Case"])))).type == "Create"


async def test_hosts_are_asked_about_in_one_spelling() -> None:
    actor = "https://HOSPITAL.example:8443/users/alice"
    key = SigningKey("https://Hospital.Example:8443/users/alice#k", ALICE_RSA.private)
    keys = Ring(VerifyingKey(key.key_id, actor, key.private.public_key()))
    peers = Allowed("hospital.example:8443")
    request = post(activity(actor=actor, id=f"{actor}/1"), key=key)
    assert (await accept(request, keys, peers)).host == "hospital.example:8443"
    assert set(peers.asked) == {"hospital.example:8443"}


# A value that only receive can make


async def test_nothing_else_makes_a_verified_value() -> None:
    verified = await accept(post(activity()))
    fields = {
        field.name: getattr(verified, field.name) for field in dataclasses.fields(VerifiedActivity)
    }
    for token in (None, object(), True):
        with pytest.raises(TypeError):
            VerifiedActivity(**fields, token=token)
        with pytest.raises(TypeError):
            VerifiedReader(actor=ALICE, host="hospital.example", token=token)
    with pytest.raises(TypeError):
        VerifiedActivity(**fields)  # type: ignore[call-arg]
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(verified, actor=EVE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        verified.actor = EVE  # type: ignore[misc]
    assert copy.copy(verified) == verified


# Order: nothing is fetched for whom it is not allowed


async def test_owncast_5121_no_fetch_before_the_peer_is_allowed() -> None:
    keys = ring()
    as_eve = activity(actor=EVE, id=f"{EVE}/1")
    assert await refusal(post(as_eve, key=EVE_RSA), keys) == (403, "peer_not_allowed")
    # The key's host is allowed, the actor's is not, and the other way round.
    assert await refusal(post(as_eve), keys) == (403, "peer_not_allowed")
    assert await refusal(post(activity(), key=EVE_RSA), keys) == (403, "peer_not_allowed")
    unsigned = Request("POST", URL, (("content-type", TYPE),), json.dumps(activity()).encode())
    assert await refusal(unsigned, keys) == (401, "signature_missing")
    assert keys.asked == []


async def test_everything_that_needs_no_key_is_checked_before_one_is_fetched() -> None:
    keys = ring()
    limits = Limits(max_bytes=1000)
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]
    cases: list[tuple[Request, tuple[int, str]]] = [
        (dataclasses.replace(post(activity()), method="PUT"), (405, "method_not_allowed")),
        (get(), (405, "method_not_allowed")),
        (post(activity(content="x" * 2000)), (413, "too_large")),
        (post(activity(), content_type="text/html"), (415, "media_type")),
        (post(activity(), content_type="application/json"), (415, "media_type")),
        (post(activity(), now_ms=NOW - 13 * HOUR), (401, "date_outside_window")),
        (dataclasses.replace(post(activity()), body=b"{}"), (401, "digest_wrong")),
        (post(b""), (400, "bad_json")),
        (post(b"[]"), (400, "not_an_object")),
        (post(b"\xff"), (400, "bad_encoding")),
        (post(activity(object=deep)), (400, "too_deep")),
        (post(activity(id=None)), (400, "id_missing")),
        (post(activity(id="")), (400, "id_missing")),
        (post(activity(id=["x"])), (400, "id_missing")),
        (post(activity(id=None, href=f"{ALICE}/1")), (400, "id_missing")),
        (post(activity(type=None)), (400, "type_missing")),
        (post(activity(actor=None)), (400, "actor_missing")),
        (post(activity(actor=[ALICE, MALLORY])), (400, "actor_missing")),
        (post(activity(actor="acct:alice@hospital.example")), (400, "bad_url")),
        (post(activity(id="urn:uuid:1")), (400, "id_origin")),
        (post(activity(id="https://evil.example/1")), (400, "id_origin")),
        (post(activity(id=f"http{ALICE[5:]}/1")), (400, "id_origin")),
        (post(activity(id=f"https://hospital.example@evil.example/{1}")), (400, "id_origin")),
    ]
    for request, expected in cases:
        assert await refusal(request, keys, limits=limits) == expected
    assert keys.asked == []


async def test_the_size_is_looked_at_before_the_body_is_hashed() -> None:
    """A body that is both too large and not the one that was signed is told its size."""
    request = dataclasses.replace(post(activity()), body=b"x" * 2000)
    assert await refusal(request, limits=Limits(max_bytes=1000)) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"%s/1","type":"Create","actor":"%s","actor":"%s"}',
        b'{"id":"%s/1","actor":"%s","type":"Create","\\u0061ctor":"%s"}',
        b'{"id":"%s/1","actor":"%s","type":"Create","object":{"a":1,"a":"%s"}}',
    ],
)
async def test_duplicate_json_keys_under_a_good_signature(body: bytes) -> None:
    keys = ring()
    filled = body % (ALICE.encode(), ALICE.encode(), MALLORY.encode())
    status, reason = await refusal(post(filled), keys)
    assert status == 400
    assert "duplicate" in reason
    assert keys.asked == []


# Key, owner and actor


async def test_misskey_cve_2026_28432_another_actors_key() -> None:
    """A real signature of a real neighbour on the same server."""
    assert await refusal(post(activity(), key=MALLORY_RSA)) == (401, "not_the_owner")
    stolen = SigningKey(ALICE_RSA.key_id, MALLORY_RSA.private)
    assert await refusal(post(activity(), key=stolen)) == (401, "signature_wrong")


async def test_mastodon_cve_2024_23832_key_owner_and_actor_point_to_each_other() -> None:
    peers = Allowed("hospital.example", "evil.example")
    # A key on another origin that claims to be Alice's, and one of Alice's origin owned elsewhere.
    claims = Ring(public_half(EVE_RSA, ALICE))
    assert await refusal(post(activity(), key=EVE_RSA), claims, peers) == (401, "key_origin")
    assert claims.asked == []
    foreign = Ring(public_half(ALICE_RSA, EVE))
    assert await refusal(post(activity()), foreign, peers) == (401, "key_origin")
    neighbour = Ring(public_half(ALICE_RSA, MALLORY))
    assert await refusal(post(activity()), neighbour, peers) == (401, "not_the_owner")
    # A ring that answers with some other key than was asked for.
    other = Ring()
    other.keys[ALICE_RSA.key_id] = public_half(MALLORY_RSA, ALICE)
    assert await refusal(post(activity()), other, peers) == (401, "key_mismatch")


async def test_the_scheme_and_port_are_part_of_the_origin() -> None:
    peers = Allowed("hospital.example", "hospital.example:8443")
    for key_id in (
        "http://hospital.example/users/alice#main-key",
        "https://hospital.example:8443/users/alice#main-key",
    ):
        key = SigningKey(key_id, ALICE_RSA.private)
        keys = Ring(public_half(key, ALICE))
        assert await refusal(post(activity(), key=key), keys, peers) == (401, "key_origin")
        assert keys.asked == []


@pytest.mark.parametrize(
    "key_id", ["main-key", "acct:a@b.example", "did:key:z6Mk", "//x/y", "ftp:x"]
)
async def test_a_key_id_must_be_a_url(key_id: str) -> None:
    request = post(activity(), key=SigningKey(key_id, ALICE_RSA.private))
    assert await refusal(request) == (401, "key_id_malformed")


async def test_forwarded_activities_without_a_proof_are_refused() -> None:
    forwarded = activity(actor=MALLORY, id=f"{MALLORY}/1")
    assert await refusal(post(forwarded)) == (401, "not_the_owner")


async def test_what_was_sent_to_another_server_is_no_use_here() -> None:
    elsewhere = post(activity(), url="https://elsewhere.example/inbox")
    replayed = dataclasses.replace(elsewhere, url=URL)
    assert await refusal(replayed) == (401, "host_mismatch")


async def test_a_signed_get_is_no_permission_to_post() -> None:
    request = dataclasses.replace(
        get(),
        method="POST",
        body=json.dumps(activity()).encode(),
        headers=(*get().headers, ("content-type", TYPE)),
    )
    assert await refusal(request) == (401, "signature_incomplete")


# Finding keys


async def test_a_rotated_key_is_fetched_again_once() -> None:
    keys = ring()
    old = SigningKey(ALICE_RSA.key_id, MALLORY_RSA.private)
    keys.keys[ALICE_RSA.key_id] = public_half(old, ALICE)
    keys.renewed[ALICE_RSA.key_id] = public_half(ALICE_RSA, ALICE)
    assert (await accept(post(activity()), keys)).actor == ALICE
    assert keys.asked == [(ALICE_RSA.key_id, False), (ALICE_RSA.key_id, True)]
    keys.asked.clear()
    forged = post(activity(), key=SigningKey(ALICE_RSA.key_id, EVE_RSA.private))
    assert await refusal(forged, keys) == (401, "signature_wrong")
    assert keys.asked == [(ALICE_RSA.key_id, False), (ALICE_RSA.key_id, True)]


async def test_a_good_signature_asks_for_the_key_once() -> None:
    keys = ring()
    await accept(post(activity()), keys)
    assert keys.asked == [(ALICE_RSA.key_id, False)]


async def test_a_key_that_cannot_be_had() -> None:
    keys = ring()
    keys.failure = FetchError("timeout", "Too slow.", transient=True)
    assert await refusal(post(activity()), keys) == (503, "key_unavailable")
    keys.failure = FetchError("gone", "Gone.", status=410, gone=True)
    assert await refusal(post(activity()), keys) == (401, "key_not_found")
    assert await refusal(post(activity()), Ring()) == (401, "key_not_found")


# Reading


@pytest.mark.parametrize(
    ("scheme", "key"), [(Scheme.CAVAGE, ALICE_RSA), (Scheme.RFC9421_ED25519, ALICE_ED)]
)
async def test_a_signed_get_names_its_reader(scheme: Scheme, key: SigningKey) -> None:
    peers = Allowed("hospital.example")
    request = get(key, scheme, URL + "?page=1")
    reader = await authenticate(request, peers=peers, keys=ring(), now_ms=NOW)
    assert (reader.actor, reader.host) == (ALICE, "hospital.example")


async def test_readers_that_are_refused() -> None:
    keys = ring()
    peers = Allowed("hospital.example")
    stolen = SigningKey(ALICE_RSA.key_id, EVE_RSA.private)
    before: list[tuple[Request, int, tuple[int, str]]] = [
        (Request("GET", URL, ()), NOW, (401, "signature_missing")),
        (post(activity()), NOW, (405, "method_not_allowed")),
        (get(EVE_RSA), NOW, (403, "peer_not_allowed")),
        (get(), NOW + 13 * HOUR, (401, "date_outside_window")),
        (get(SigningKey("urn:x", ALICE_RSA.private)), NOW, (401, "key_id_malformed")),
    ]
    after: list[tuple[Request, int, tuple[int, str]]] = [
        (get(stolen), NOW, (401, "signature_wrong")),
        (dataclasses.replace(get(), url=URL + "/other"), NOW, (401, "signature_wrong")),
        (dataclasses.replace(get(), method="HEAD"), NOW, (401, "signature_wrong")),
    ]
    for cases in (before, after):
        for request, now_ms, expected in cases:
            with pytest.raises(Refused) as caught:
                await authenticate(request, peers=peers, keys=keys, now_ms=now_ms)
            assert (caught.value.status, caught.value.reason) == expected
        if cases is before:
            assert keys.asked == []
    foreign = Ring(public_half(ALICE_RSA, EVE))
    with pytest.raises(Refused) as caught:
        await authenticate(get(), peers=peers, keys=foreign, now_ms=NOW)
    assert (caught.value.status, caught.value.reason) == (401, "key_origin")


# Any bytes at all


def _mangle(request: Request) -> list[Request]:
    """The request with each header cut, doubled, dropped and set to hostile text."""
    made = []
    changes: list[Callable[[str], list[str]]] = [
        lambda v: [v[: len(v) // 2]],
        lambda v: [v, v],
        lambda v: [],
        lambda v: ["\x00\x7f\u00ff" + v],
        lambda v: ["\U0001f600"],
        lambda v: [v + "\r\nx: y"],
        lambda v: ['"' * 4000],
        lambda v: ["(" * 4000],
    ]
    for index, (name, value) in enumerate(request.headers):
        for change in changes:
            lines = [(name, new) for new in change(value)]
            rest = (*request.headers[:index], *lines, *request.headers[index + 1 :])
            made.append(dataclasses.replace(request, headers=rest))
    return made


@pytest.mark.parametrize(
    ("scheme", "key"), [(Scheme.CAVAGE, ALICE_RSA), (Scheme.RFC9421_ED25519, ALICE_ED)]
)
async def test_mangled_requests_get_a_clear_answer(scheme: Scheme, key: SigningKey) -> None:
    request = post(activity(), key=key, scheme=scheme)
    # What is not covered may be mangled without harm.
    free = {"host", "date"} if scheme is Scheme.RFC9421_ED25519 else set()
    request = dataclasses.replace(
        request, headers=tuple(line for line in request.headers if line[0] not in free)
    )
    mangled = _mangle(request)
    assert len(mangled) >= 32
    for variant in mangled:
        status, reason = await refusal(variant)
        assert status in (400, 401, 403, 413, 415), reason


@pytest.mark.parametrize(
    ("text", "is_activity"),
    [
        (None, False),
        ("", False),
        ("application/activity+json", True),
        ("Application/Activity+JSON; charset=utf-8", True),
        ("application/activity+json, text/html", False),
        ("application/activity+json; charset=utf-8, text/html", False),
        ("application/ld+json", False),
        ("application/ld+json; profile=https://www.w3.org/ns/activitystreams", True),
        (
            'application/ld+json ;charset=utf-8; Profile="https://www.w3.org/ns/activitystreams"',
            True,
        ),
        (
            'application/ld+json; profile="https://x.example https://www.w3.org/ns/activitystreams"',
            True,
        ),
        ('application/ld+json; profile="https://www.w3.org/ns/activitystreams2"', False),
        ("application/json", False),
        ("text/html; application/activity+json", False),
    ],
)
def test_media_types(text: str | None, is_activity: bool) -> None:
    assert is_activity_type(text) is is_activity
