"""Wrong credentials on the whole way: a real issuer's server shows them, another one looks.

The hospital's own key signs what is wrong, where the wrong thing is not the key: nothing here can
be refused by a signature alone unless the test says so. What the society concludes is read from its
database, after it asked over a socket.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import DAY, HOUR, MINUTE, iso
from fedidoc.integrity import canonicalize, create_proof, encode_base58btc
from fedidoc.model import Audience, Badge
from fedidoc.storage import actors, cases, keys
from fedidoc.verification import status
from tests.federation.pair import Pair

Document = dict[str, Any]
Edit = Callable[[Document], object]


class Forge:
    """The hospital's server, which shows what the test says instead of what it issued."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.shown: dict[str, bytes] = {}
        inner = pair.hospital.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            body = self.shown.get(scope.get("path", ""))
            if body is None:
                await inner(scope, receive, send)
                return
            kind = b"application/vc+ld+json"
            head = {"type": "http.response.start", "status": 200}
            await send({**head, "headers": [(b"content-type", kind)]})
            await send({"type": "http.response.body", "body": body})

        pair.hospital.app = app  # type: ignore[assignment]

    async def start(self) -> Forge:
        hospital = self.pair.hospital
        instance = await actors.by_uri(hospital.db, hospital.urls.instance_actor)
        assert instance is not None
        found = await keys.private_key(
            hospital.db, hospital.vault, instance.id, keys.KeyUse.CREDENTIAL
        )
        assert found is not None
        private = found[1]
        assert isinstance(private, Ed25519PrivateKey)
        self.key = private
        self.ada = await self.pair.follow()
        self.url = self.ada.badge.credential or ""
        issued = await hospital.credentials.document(self.url.rpartition("/")[2])
        assert issued is not None
        self.issued = issued
        return self

    @property
    def now(self) -> int:
        return self.pair.network.clock.now()

    def signed(
        self, document: Document, *, key: Ed25519PrivateKey | None = None, **how: Any
    ) -> bytes:
        bare = {name: value for name, value in document.items() if name != "proof"}
        method = how.get("method", self.pair.hospital.urls.credential_key)
        proof = create_proof(
            bare, key or self.key, method, how.get("purpose", "assertionMethod"),
            datetime.fromtimestamp(self.now // 1000, UTC),
        )  # fmt: skip
        return json.dumps({**bare, "proof": proof}).encode()

    def show(self, body: bytes) -> None:
        self.shown["/credentials/" + self.url.rpartition("/")[2]] = body

    def show_edited(self, edit: Edit, **how: Any) -> None:
        """The credential as it was issued but for one edit, signed anew."""
        document = json.loads(json.dumps(self.issued))
        edit(document)
        self.show(self.signed(document, **how))

    def show_list(
        self, *, at: int, edit: Edit | None = None, revoked: tuple[int, ...] = ()
    ) -> None:
        uri = self.pair.hospital.urls.status_list
        document: Document = {
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "id": uri,
            "type": ["VerifiableCredential", "BitstringStatusListCredential"],
            "issuer": self.pair.hospital.urls.instance_actor,
            "validFrom": iso(at),
            "validUntil": iso(at + 72 * HOUR),
            "credentialSubject": {
                "id": f"{uri}#list",
                "type": "BitstringStatusList",
                "statusPurpose": "revocation",
                "encodedList": status.encode(revoked),
            },
        }
        if edit is not None:
            edit(document)
        self.shown["/credentials/status/1"] = self.signed(document)

    async def forget_lists(self) -> None:
        async with self.pair.society.db.transaction() as tx:
            await tx.execute("DELETE FROM status_lists")

    async def seen(self) -> Badge:
        """What the society concludes when it looks at Ada again, and acts on."""
        society = self.pair.society
        await society.remote.recheck(self.ada)
        found = await actors.get(society.db, self.ada.id)
        assert found is not None
        return found.badge

    async def refused(self, reason: str) -> None:
        badge = await self.seen()
        assert not badge.verified
        assert reason in badge.reason, badge.reason
        assert (badge.profession, badge.specialty, badge.assurance) == (None, None, None)


@pytest.fixture
async def forge(pair: Pair) -> AsyncIterator[Forge]:
    yield await Forge(pair).start()


def put(*path_and_value: Any) -> Edit:
    *path, last, value = path_and_value

    def edit(document: Document) -> None:
        for name in path:
            document = document[name]
        document[last] = value

    return edit


def nothing(document: Document) -> None:
    """No edit."""


async def test_what_is_signed_anew_and_not_changed_holds(forge: Forge) -> None:
    """The forge itself works: without this the tests below would prove nothing."""
    forge.show_edited(nothing)
    assert (await forge.seen()).verified
    forge.show_list(at=forge.now)
    await forge.forget_lists()
    assert (await forge.seen()).verified


async def test_another_subject(forge: Forge) -> None:
    await forge.pair.hospital.member("bert")
    forge.show_edited(put("credentialSubject", "id", forge.pair.hospital.urls.actor("bert")))
    await forge.refused("belongs to somebody else")


async def test_the_credential_of_a_colleague_shown_as_ones_own(forge: Forge) -> None:
    bert = await forge.pair.hospital.actor_of(await forge.pair.hospital.member("bert"))
    document = await forge.pair.hospital.credentials.document(
        (bert.badge.credential or "").rpartition("/")[2]
    )
    forge.show(json.dumps(document).encode())
    await forge.refused("belongs to somebody else")


async def test_another_issuer(forge: Forge) -> None:
    forge.show_edited(put("issuer", forge.pair.society.urls.instance_actor))
    await forge.refused("issued by somebody else")


async def test_another_key(forge: Forge) -> None:
    forge.show_edited(nothing, key=Ed25519PrivateKey.generate())
    await forge.refused("does not hold")
    forge.show_edited(nothing, method=forge.pair.hospital.urls.instance_actor + "#ed25519-key")
    await forge.refused("not pinned")


async def test_an_expired_one(forge: Forge) -> None:
    forge.show_edited(put("validUntil", iso(forge.now - 1000)))
    await forge.refused("expired")


async def test_one_that_is_not_valid_yet(forge: Forge) -> None:
    forge.show_edited(put("validFrom", iso(forge.now + 11 * MINUTE)))
    await forge.refused("not valid yet")


async def test_one_for_more_than_thirteen_months(forge: Forge) -> None:
    forge.show_edited(put("validUntil", iso(forge.now + 398 * DAY)))
    await forge.refused("too long")


async def test_a_revoked_one(forge: Forge) -> None:
    index = int(forge.issued["credentialStatus"]["statusListIndex"])
    await forge.forget_lists()
    forge.show_list(at=forge.now, revoked=(index,))
    await forge.refused("revoked")


async def test_a_status_list_older_than_72_hours(forge: Forge) -> None:
    await forge.forget_lists()
    forge.show_list(at=forge.now - 73 * HOUR)
    await forge.refused("could not be had")
    # Nor does it help to say that it is valid for longer.
    forge.show_list(at=forge.now - 73 * HOUR, edit=put("validUntil", iso(forge.now + HOUR)))
    await forge.refused("could not be had")


async def test_an_older_status_list_replayed(forge: Forge) -> None:
    index = int(forge.issued["credentialStatus"]["statusListIndex"])
    before = forge.now
    forge.pair.network.clock.advance(7 * HOUR)
    forge.show_list(at=forge.now, revoked=(index,))
    await forge.refused("revoked")
    forge.pair.network.clock.advance(7 * HOUR)
    forge.show_list(at=before)
    await forge.refused("revoked")


async def test_a_status_list_of_another_issuer_or_place(forge: Forge) -> None:
    await forge.forget_lists()
    for edit in (
        put("issuer", forge.pair.society.urls.instance_actor),
        put("id", forge.pair.society.urls.status_list),
        put("id", forge.pair.hospital.urls.status_list + "0"),
        put("credentialSubject", "statusPurpose", "suspension"),
        put("credentialSubject", "ttl", "long"),
    ):
        forge.show_list(at=forge.now, edit=edit)
        await forge.refused("could not be had")


async def test_a_status_list_on_another_origin(forge: Forge) -> None:
    forge.show_edited(
        put("credentialStatus", "statusListCredential", forge.pair.society.urls.status_list)
    )
    await forge.refused("on another server")


async def test_a_place_outside_the_list_and_one_beyond_numbers(forge: Forge) -> None:
    for place, reason in (
        ("131072", "not in the issuer's"), ("9" * 9, "not in the issuer's"),
        ("9" * 30, "cannot be read"), ("-1", "cannot be read"), ("1e3", "cannot be read"),
    ):  # fmt: skip
        forge.show_edited(put("credentialStatus", "statusListIndex", place))
        await forge.refused(reason)


async def test_an_actor_of_another_origin(forge: Forge) -> None:
    """The hospital attests a member of the society: it issues for its own members only."""
    hospital, society = forge.pair.hospital, forge.pair.society
    bob = society.urls.actor("bob")
    body = forge.signed({**forge.issued, "credentialSubject": {
        **forge.issued["credentialSubject"], "id": bob}})  # fmt: skip
    issuer = society.trust.issuer(hospital.domain)
    assert issuer is not None

    async def fetch(uri: str) -> bytes | None:
        return json.dumps(await hospital.credentials.status_list()).encode()

    found = await society.credentials.examine(body, actor_uri=bob, issuer=issuer, fetch=fetch)
    assert "another server" in found.badge.reason
    # On the wire: an actor that names a credential on another server names none.
    async with hospital.db.transaction() as tx:
        await tx.execute(
            "UPDATE actors SET credential_url = ? WHERE id = ?",
            (society.urls.credential("x"), forge.pair.ada.actor_id),
        )
    assert not (await forge.seen()).verified


async def test_a_repeated_key(forge: Forge) -> None:
    good = json.dumps(forge.issued)
    for twice in (
        good.replace('"profession": "physician"',
                     '"profession": "physician", "profession": "student"'),
        good.replace('"issuer":', '"issuer": "https://evil.example/actor", "issuer":', 1),
    ):  # fmt: skip
        assert twice != good
        forge.show(twice.encode())
        await forge.refused("twice")


async def test_a_byte_changed_on_the_way(forge: Forge) -> None:
    good = json.dumps(forge.issued).encode()
    for place in range(3, len(good), len(good) // 40):
        changed = bytearray(good)
        changed[place] ^= 2
        forge.show(bytes(changed))
        badge = await forge.seen()
        assert not badge.verified, changed[max(0, place - 20) : place + 20]


async def test_a_proof_made_for_another_purpose(forge: Forge) -> None:
    forge.show_edited(nothing, purpose="authentication")
    await forge.refused("another purpose")


async def test_a_proof_that_does_not_say_when(forge: Forge) -> None:
    document = json.loads(forge.signed(forge.issued))
    # Signed without it: the signature itself holds.
    options = {k: v for k, v in document["proof"].items() if k not in ("created", "proofValue")}
    bare = {k: v for k, v in document.items() if k != "proof"}
    data = sha256(canonicalize(options)).digest() + sha256(canonicalize(bare)).digest()
    document["proof"] = {**options, "proofValue": encode_base58btc(forge.key.sign(data))}
    forge.show(json.dumps(document).encode())
    await forge.refused("when it was made")


async def test_a_second_proof(forge: Forge) -> None:
    document = json.loads(forge.signed(forge.issued))
    for proofs in (
        [document["proof"], document["proof"]],
        [document["proof"], {**document["proof"], "proofPurpose": "authentication"}],
        [document["proof"]],
    ):
        forge.show(json.dumps({**document, "proof": proofs}).encode())
        await forge.refused("no single proof")


async def test_contexts_in_another_order(forge: Forge) -> None:
    forge.show_edited(lambda document: document["@context"].reverse())
    await forge.refused("not a Verifiable Credential 2.0")


async def test_a_context_that_was_added_afterwards(forge: Forge) -> None:
    document = json.loads(forge.signed(forge.issued))
    document["@context"].append({"profession": "https://evil.example/hobby"})
    forge.show(json.dumps(document).encode())
    await forge.refused("another context")


async def test_bytes_behind_the_document(forge: Forge) -> None:
    good = json.dumps(forge.issued).encode()
    for behind in (b"x", b"{}", b"\0", good):
        forge.show(good + behind)
        await forge.refused("cannot be read")


async def test_numbers_too_large_and_nesting_too_deep(forge: Forge) -> None:
    good = json.dumps(forge.issued)
    for junk in ("9" * 20, "1e400", "-" + "9" * 4000, "NaN", "[" * 40 + "]" * 40, "[" * 20_000):
        forge.show(good.replace("{", '{"x": ' + junk + ", ", 1).encode())
        await forge.refused("cannot be read")


async def test_a_document_that_is_too_large(forge: Forge) -> None:
    forge.show_edited(put("x", "y" * 70_000))
    await forge.refused("cannot be read")
    forge.show(b"{" + b" " * 400_000)
    assert not (await forge.seen()).verified


async def test_another_address_than_the_actor_names(forge: Forge) -> None:
    forge.show_edited(put("id", forge.pair.hospital.urls.credential("other")))
    await forge.refused("another address")


async def test_whoever_shows_a_wrong_one_is_not_heard(forge: Forge) -> None:
    """What follows from it: a case for verified readers by that author does not come in."""
    forge.show_edited(put("validUntil", iso(forge.now - 1000)))
    await forge.seen()
    here, there = await forge.pair.open_case(Audience.VERIFIED)
    assert there is None
    assert await cases.by_uri(forge.pair.society.db, here.uri) is None
    forge.shown.clear()
    forge.pair.network.clock.advance(HOUR)
    assert (await forge.seen()).verified
