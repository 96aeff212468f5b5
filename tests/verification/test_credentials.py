import asyncio
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fedidoc.clock import DAY, HOUR, FrozenClock, from_iso
from fedidoc.errors import Unavailable
from fedidoc.model import NO_BADGE, Account, Badge, Role
from fedidoc.storage import actors, keys
from fedidoc.storage import credentials as table
from fedidoc.verification import status
from fedidoc.verification.checks import Issuer, check, check_status_list
from fedidoc.verification.credentials import Credentials
from fedidoc.verification.evidence import Assurance
from fedidoc.verification.evidence import EvidenceKind as Kind
from tests.house import CARDIOLOGY, House, claim

ACTOR = "https://st-olaf.example/users/anna"


async def issuer_of(house: House) -> Issuer:
    """What a peer pins: the instance actor's key as it is published."""
    key = await keys.key_by_id(house.db, house.urls.credential_key)
    assert key is not None
    public = load_pem_public_key(key.public.encode())
    assert isinstance(public, Ed25519PublicKey)
    return Issuer(house.domain, house.urls.instance_actor, key.key_id, public)


async def issued(house: House, account: Account) -> bytes:
    badge = (await house.actor(account)).badge
    assert badge.credential is not None
    document = await house.credentials.document(badge.credential.rpartition("/")[2])
    return json.dumps(document).encode()


class Wire:
    """Fetches another instance's status list, unless the line is cut."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.up = True
        self.asked = 0

    async def fetch(self, url: str) -> bytes | None:
        self.asked += 1
        if not self.up:
            return None
        assert url == self.house.urls.status_list
        return json.dumps(await self.house.credentials.status_list()).encode()


async def examine(house: House, document: bytes, wire: Wire, *, fresh: bool = False) -> Badge:
    found = await house.credentials.examine(
        document, actor_uri=ACTOR, issuer=await issuer_of(house), fetch=wire.fetch, fresh=fresh
    )
    return found.badge


async def test_what_is_issued_here_is_believed_elsewhere(any_house: House) -> None:
    house = any_house
    account = await house.verified("anna")
    own = (await house.actor(account)).badge
    badge = await examine(house, await issued(house, account), Wire(house))
    assert badge.verified, badge.reason
    assert badge == own
    assert badge.valid_until == (house.clock.now() + 365 * DAY) // 1000 * 1000
    assert (badge.profession, badge.specialty) == ("physician", CARDIOLOGY)
    assert await house.events() == [("actor_updated", account.actor_id)]
    assert await actors.credential_url(house.db, account.actor_id) == own.credential


async def test_the_document_has_the_shape_of_the_standards(house: House) -> None:
    document = json.loads(await issued(house, await house.verified("anna")))
    assert document["@context"][0] == "https://www.w3.org/ns/credentials/v2"
    assert document["type"] == ["VerifiableCredential", "PhysicianCredential"]
    assert document["issuer"] == "https://st-olaf.example/actor"
    assert document["id"].startswith("https://st-olaf.example/credentials/")
    assert document["credentialSubject"] == {
        "id": ACTOR,
        "profession": "physician",
        "specialty": {"code": "207RC0000X", "label": "Cardiovascular Disease"},
        "assurance": "vouched",
    }
    entry = document["credentialStatus"]
    assert entry["type"] == "BitstringStatusListEntry"
    assert entry["statusListCredential"] == "https://st-olaf.example/credentials/status/1"
    assert 0 <= int(entry["statusListIndex"]) < 131_072
    proof = document["proof"]
    assert proof["cryptosuite"] == "eddsa-jcs-2022"
    assert proof["verificationMethod"] == "https://st-olaf.example/actor#credential-key"
    assert proof["proofPurpose"] == "assertionMethod"
    assert from_iso(document["validUntil"]) - from_iso(document["validFrom"]) == 365 * DAY


async def test_no_credential_says_who_the_person_is(house: House) -> None:
    """No licence number, NPI, legal name, e-mail address or internal id leaves with it."""
    account = await house.sign_up("anna", email="anna.secret@mail.example", name="Heart Doc")
    application = await house.review.apply(
        account,
        claim(legal_name="Annabella Zuckerfeld", licence_number="LIC-445566", note="born 03/04/70"),
    )
    reviewer = await house.admin()
    await house.review.approve(application, reviewer, "saw her passport", [Kind.EMPLOYER])
    document = (await issued(house, account)).decode()
    signed_list = json.dumps(await house.credentials.status_list())
    assert json.loads(document)["credentialSubject"] == {
        "id": ACTOR,
        "profession": "physician",
        "specialty": {"code": "207RC0000X", "label": "Cardiovascular Disease"},
        "jurisdiction": "US-NY",
        "assurance": "employer",
    }
    for secret in (
        "Annabella", "Zuckerfeld", "LIC", "445566", "1234567893", "1970", "03/04", "secret",
        "passport", "Heart Doc", account.id, account.actor_id, application, reviewer.id,
    ):  # fmt: skip
        assert secret.lower() not in document.lower(), secret
        assert secret.lower() not in signed_list.lower(), secret


async def test_the_credential_key_signs_nothing_else(house: House) -> None:
    instance = await actors.by_uri(house.db, house.urls.instance_actor)
    assert instance is not None
    stored = await keys.keys_of(house.db, instance.id)
    assert stored[keys.KeyUse.CREDENTIAL].public != stored[keys.KeyUse.ED25519].public


async def test_revoking(house: House) -> None:
    account = await house.verified("anna")
    document = await issued(house, account)
    wire = Wire(house)
    assert (await examine(house, document, wire)).verified
    async with house.db.transaction() as tx:
        assert await house.credentials.revoke(tx, account.actor_id)
        assert not await house.credentials.revoke(tx, account.actor_id)
    assert (await house.actor(account)).badge == NO_BADGE
    assert len(await house.events()) == 2
    # For six hours the list at hand serves; who is told that something changed asks at once.
    assert (await examine(house, document, wire)).verified
    badge = await examine(house, document, wire, fresh=True)
    assert not badge.verified and "revoked" in badge.reason
    assert not (await examine(house, document, wire)).verified


async def test_a_new_credential_revokes_the_one_before(house: House) -> None:
    account = await house.verified("anna")
    first = await issued(house, account)
    house.clock.advance(DAY)
    async with house.db.transaction() as tx:
        await house.credentials.issue(
            tx, await house.actor(account), Role.PHYSICIAN, None, "US-NY", Assurance.EMPLOYER
        )
    second = await issued(house, account)
    wire = Wire(house)
    assert "revoked" in (await examine(house, first, wire)).reason
    badge = await examine(house, second, wire)
    assert badge.verified and badge.assurance == "employer" and badge.specialty is None


async def test_a_rolled_back_transaction_issues_nothing(house: House) -> None:
    account = await house.sign_up("anna")
    with pytest.raises(ZeroDivisionError):
        async with house.db.transaction() as tx:
            await house.credentials.issue(
                tx, await house.actor(account), Role.PHYSICIAN, None, "", Assurance.EMPLOYER
            )
            raise ZeroDivisionError
    assert await house.db.fetch_value("SELECT COUNT(*) FROM credentials") == 0
    assert await house.events() == []


async def test_until_shortens_and_never_lengthens(house: House) -> None:
    account = await house.sign_up("anna")
    for until, days in ((30, 30), (9_999, 365)):
        async with house.db.transaction() as tx:
            await house.credentials.issue(
                tx, await house.actor(account), Role.PHYSICIAN, None, "", Assurance.EMPLOYER,
                until=house.clock.now() + until * DAY,
            )  # fmt: skip
        badge = (await house.actor(account)).badge
        assert badge.valid_until == (house.clock.now() + days * DAY) // 1000 * 1000


async def test_places_in_the_list_are_random_and_never_given_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await house.sign_up("anna")
    monkeypatch.setattr(status, "SIZE", 6)
    places = []
    for _ in range(6):
        async with house.db.transaction() as tx:
            document = await house.credentials.issue(
                tx, await house.actor(account), Role.PHYSICIAN, None, "", Assurance.EMPLOYER
            )
        places.append(int(document["credentialStatus"]["statusListIndex"]))
    assert sorted(places) == list(range(6))
    with pytest.raises(Unavailable, match="full"):
        async with house.db.transaction() as tx:
            await house.credentials.issue(
                tx, await house.actor(account), Role.PHYSICIAN, None, "", Assurance.EMPLOYER
            )


async def test_an_instance_that_never_started_has_no_key(house: House) -> None:
    other = Credentials(house.db, house.clock, house.vault, type(house.urls)("https://x.example"))
    with pytest.raises(Unavailable, match="start it once"):
        await other.status_list()


async def test_the_status_list_is_signed_anew_every_hour_and_at_every_revocation(
    house: House,
) -> None:
    account = await house.verified("anna")
    first = await house.credentials.status_list()
    house.clock.advance(HOUR - 1)
    assert await house.credentials.status_list() == first
    house.clock.advance(1)
    second = await house.credentials.status_list()
    assert second["validFrom"] != first["validFrom"]
    # Another process revokes: the list in this one's memory is out of date at once.
    other = Credentials(house.db, house.clock, house.vault, house.urls)
    async with house.db.transaction() as tx:
        await other.revoke(tx, account.actor_id)
    third = await house.credentials.status_list()
    bits = check_status_list(
        json.dumps(third).encode(), uri=house.urls.status_list,
        trusted=await issuer_of(house), now=house.clock.now(),
    )  # fmt: skip
    stored = await table.latest_of(house.db, account.actor_id)
    assert stored is not None
    assert [n for n in range(len(bits)) if bits.is_set(n)] == [stored.status_index]


async def test_a_list_at_hand_is_used_for_six_hours_and_in_need_for_72(house: House) -> None:
    document = await issued(house, await house.verified("anna"))
    wire = Wire(house)
    assert (await examine(house, document, wire)).verified
    house.clock.advance(6 * HOUR - 1)
    assert (await examine(house, document, wire)).verified
    assert wire.asked == 1
    wire.up = False
    house.clock.advance(1)
    assert (await examine(house, document, wire)).verified
    assert wire.asked == 2
    house.clock.advance(66 * HOUR - 2000)
    assert (await examine(house, document, wire)).verified
    house.clock.advance(4000)
    badge = await examine(house, document, wire)
    assert not badge.verified and "could not be had" in badge.reason
    wire.up = True
    assert (await examine(house, document, wire)).verified


async def test_a_list_is_fetched_once_for_many_who_wait_for_it(house: House) -> None:
    document = await issued(house, await house.verified("anna"))
    wire = Wire(house)
    badges = await asyncio.gather(*(examine(house, document, wire) for _ in range(20)))
    assert all(badge.verified for badge in badges)
    assert wire.asked == 1


async def test_an_older_list_does_not_take_the_place_of_a_newer_one(house: House) -> None:
    """Whoever answers for the issuer cannot undo a revocation with the list of yesterday."""
    account = await house.verified("anna")
    document = await issued(house, account)
    wire = Wire(house)
    before = json.dumps(await house.credentials.status_list()).encode()
    house.clock.advance(DAY)
    async with house.db.transaction() as tx:
        await house.credentials.revoke(tx, account.actor_id)
    assert "revoked" in (await examine(house, document, wire)).reason

    async def replayed(url: str) -> bytes | None:
        return before

    found = await house.credentials.examine(
        document, actor_uri=ACTOR, issuer=await issuer_of(house), fetch=replayed, fresh=True
    )
    assert "revoked" in found.badge.reason


async def test_a_list_that_somebody_else_slipped_in_is_not_kept(house: House) -> None:
    account = await house.verified("anna")
    document = await issued(house, account)
    wire = Wire(house)
    async with house.db.transaction() as tx:
        await house.credentials.revoke(tx, account.actor_id)
    empty = json.loads(json.dumps(await house.credentials.status_list()))
    empty["credentialSubject"]["encodedList"] = status.encode([])

    async def forged(url: str) -> bytes | None:
        return json.dumps(empty).encode()

    found = await house.credentials.examine(
        document, actor_uri=ACTOR, issuer=await issuer_of(house), fetch=forged
    )
    badge = found.badge
    assert not badge.verified and "could not be had" in badge.reason
    assert await table.status_list(house.db, house.urls.status_list) is None
    assert "revoked" in (await examine(house, document, wire)).reason


async def test_no_status_list_is_asked_for_what_is_no_credential(house: House) -> None:
    wire = Wire(house)
    badge = await examine(house, b"{}", wire)
    assert not badge.verified
    assert wire.asked == 0


async def test_examining_inside_a_transaction_is_refused(house: House) -> None:
    with pytest.raises(RuntimeError):
        async with house.db.transaction():
            await examine(house, b"{}", Wire(house))


async def test_an_expired_credential(house: House) -> None:
    account = await house.verified("anna")
    document = await issued(house, account)
    later = FrozenClock(house.clock.now() + 365 * DAY)
    there = Credentials(house.db, later, house.vault, house.urls)
    badge = check(
        document,
        actor_uri=ACTOR,
        trusted=await issuer_of(house),
        status=check_status_list(
            json.dumps(await there.status_list()).encode(), uri=house.urls.status_list,
            trusted=await issuer_of(house), now=later.now(),
        ),
        now=later.now(),
    )  # fmt: skip
    assert badge.reason == "The credential has expired."


async def test_renewing_keeps_the_day(house: House) -> None:
    account = await house.verified("anna")
    until = (await house.actor(account)).badge.valid_until
    house.clock.advance(100 * DAY)
    async with house.db.transaction() as tx:
        await house.credentials.revoke(tx, account.actor_id)
        assert await house.credentials.renew(tx, account.actor_id)
        assert not await house.credentials.renew(tx, "nobody")
    badge = (await house.actor(account)).badge
    assert badge.verified and badge.valid_until == until
    house.clock.advance(265 * DAY)
    async with house.db.transaction() as tx:
        assert not await house.credentials.renew(tx, account.actor_id)


async def test_an_unknown_credential(house: House) -> None:
    assert await house.credentials.document("nothing") is None
