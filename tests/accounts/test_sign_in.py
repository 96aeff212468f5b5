"""Signing in by a provider on a real socket: who gets in, as whom, and who is turned away."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from fedidoc import app
from fedidoc.accounts.id_tokens import NotBelieved
from fedidoc.accounts.mapping import check_rules
from fedidoc.accounts.passes import Passes, Purpose
from fedidoc.accounts.provider_http import MOST_BYTES, Away
from fedidoc.accounts.refusals import SignInRefused
from fedidoc.accounts.sign_in import Begun, Finished, SignIn
from fedidoc.activitypub.guard import Guard
from fedidoc.clock import DAY, HOUR, MINUTE, SECOND
from fedidoc.config import Config, Federation, IdentityProvider, Instance
from fedidoc.errors import BadInput, ConfigError, Conflict, Forbidden, NotFound
from fedidoc.model import Account, Role, Standing
from fedidoc.storage import people
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.expiry import Expiry
from fedidoc.verification.identity import Identity
from fedidoc.verification.policy import Policy
from fedidoc.verification.specialties import Specialties
from tests.accounts.issuer import Issuer, rsa_key, sealed_with, sign, unsigned
from tests.house import ADDRESS, PASSWORD, House, claim

RULES = IdentityProvider(
    client_id="fedidoc",
    client_secret="s3cret/+ &ö",
    name="St. Olaf Login",
    verifies=True,
    required_group="",
    claim_profession="job.title",
    claim_specialty="taxonomy",
    claim_jurisdiction="licensed_in",
    claim_licence="licence",
    claim_npi="npi",
    claim_staff_id="staff_number",
    professions={"Consultant": "physician", "Registrar": "resident", "Student": "student"},
    groups={"fedidoc-admins": "admin", "nps": "nurse_practitioner"},
)
ANNA: dict[str, Any] = {
    "preferred_username": "Anna.Berg@st-olaf.example",
    "name": "Anna Berg",
    "email": "anna.berg@st-olaf.example",
    "job": {"title": ["Consultant"]},
    "taxonomy": "207rc0000x",
    "licensed_in": "US-NY",
    "licence": "MD-778899",
    "npi": "1234567893",
    "staff_number": 40417,
    "groups": ["staff"],
}


class Door:
    """One instance with the provider's door, and how a browser goes through it."""

    def __init__(self, house: House, issuer: Issuer, **changes: Any) -> None:
        self.house = house
        self.issuer = issuer
        self.rules = replace(RULES, issuer=issuer.url, **changes)
        self.config = replace(
            house.config,
            identity_provider=self.rules,
            federation=Federation(allow_plain_http=True),
        )
        self.guard = Guard(allow_plain_http=True)
        self.provider = app.build_provider(self.config, house.clock, self.guard)
        self.accounts = house.make_accounts(house.accounts._passwords._hasher, self.config)
        self.passes = Passes(house.db, house.clock, house.vault, self.accounts)
        roles = self.config.membership.roles
        house.use_policy(Policy.of({}, roles, self.config.review.automatic))
        self.review = house.review
        identity = Identity(
            house.clock, self.review, house.credentials, Specialties(house.db),
            valid_days=self.rules.valid_days,
        )  # fmt: skip
        self.sign_in = SignIn(
            house.db, house.clock, house.vault, self.config, self.accounts, self.passes,
            self.provider, identity,
        )  # fmt: skip

    async def close(self) -> None:
        self.accounts.close()
        await self.provider.close()

    def with_(self, **changes: Any) -> Door:
        return Door(self.house, self.issuer, **changes)

    async def finish(
        self, begun: Begun, answer: dict[str, str], present: Account | None = None
    ) -> Finished:
        return await self.sign_in.finish(
            begun.cookie, answer, present=present, previous=None, address=ADDRESS
        )

    async def come(self, subject: str = "sub-1", **claims: Any) -> Finished:
        """Sign in once, from the button to the session."""
        begun = await self.sign_in.begin("/notifications")
        return await self.finish(
            begun, self.issuer.authorize(begun.url, subject, **{**ANNA, **claims})
        )

    async def refused(self, subject: str = "sub-1", **claims: Any) -> str:
        with pytest.raises(SignInRefused) as refusal:
            await self.come(subject, **claims)
        return refusal.value.reason


@pytest.fixture
async def door(house: House) -> AsyncIterator[Door]:
    async with Issuer(house.clock) as issuer:
        made = Door(house, issuer)
        yield made
        await made.close()


@pytest.fixture
async def any_door(any_house: House) -> AsyncIterator[Door]:
    async with Issuer(any_house.clock) as issuer:
        made = Door(any_house, issuer)
        yield made
        await made.close()


# Who comes in ----------------------------------------------------------------------------------


async def test_a_physician_signs_in_and_is_verified_in_one_step(any_door: Door) -> None:
    door, house = any_door, any_door.house
    done = await door.come()
    assert (done.created, done.linked, done.onward) == (True, False, "/notifications")
    account = done.session.account
    assert (account.username, account.role, account.standing) == (
        "anna_berg", Role.PHYSICIAN, Standing.VERIFIED,
    )  # fmt: skip
    actor = await house.actor(account)
    assert (actor.name, actor.badge.assurance, actor.badge.jurisdiction) == (
        "Anna Berg", "employer", "US-NY",
    )  # fmt: skip
    assert actor.badge.specialty and actor.badge.specialty.code == "207RC0000X"
    session = await door.accounts.session(done.session.token)
    assert session is not None and session.account == account
    evidence = await door.review.records.held(house.db, account.id)
    assert [e.kind for e in evidence] == [EvidenceKind.IDENTITY_PROVIDER]
    assert evidence[0].valid_until == house.clock.now() + 180 * DAY
    for said in ("MD-778899", "1234567893", "40417"):
        assert said in evidence[0].detail
    again = await door.come()
    assert again.session.account.id == account.id
    assert not again.created
    assert len(await door.review.records.held(house.db, account.id)) == 1
    assert (await house.actor(account)).badge.credential == actor.badge.credential


async def test_nothing_that_the_provider_says_is_stored_readably(door: Door) -> None:
    await door.come("the-subject-of-anna", sid="the-session-of-anna")
    stored = await door.house.everything_stored()
    for table in ("logins", "spent", "passes"):
        for row in await door.house.db.fetch_all(f"SELECT * FROM {table}"):
            stored += str([str(value) for value in tuple(row)])
    assert "anna_berg" in stored
    for secret in (
        "the-subject-of-anna", "the-session-of-anna", "MD-778899", "1234567893", "40417",
        "anna.berg@st-olaf.example", "access-code", "eyJ",
    ):  # fmt: skip
        assert secret not in stored, secret


async def test_a_username_that_is_taken_gets_a_number(door: Door) -> None:
    await door.house.sign_up("anna_berg", email="other@mail.example")
    assert (await door.come()).session.account.username == "anna_berg2"
    admin = await door.come("sub-2", preferred_username="admin", email="b@mail.example")
    assert admin.session.account.username == "admin2"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"preferred_username": None}, "no_username"),
        ({"preferred_username": "@"}, "no_username"),
        ({"preferred_username": "\u4e2d\u6587"}, "no_username"),
        ({"email": None}, "no_email"),
        ({"email": "nobody"}, "no_email"),
        ({"name": None}, "no_name"),
        ({"name": "x" * 100}, "no_name"),
        ({"job": {"title": "Porter"}}, "profession"),
        ({"job": {"title": "physician"}}, "profession"),
        ({"job": "Consultant"}, "profession"),
        ({"job": {"title": "Student"}}, "profession"),
    ],
    ids=str,
)  # fmt: skip
async def test_who_is_not_told_well_gets_no_account(
    door: Door, changes: dict[str, Any], reason: str
) -> None:
    assert await door.refused(**changes) == reason
    assert await door.accounts.count() == 0


async def test_who_is_unknown_gets_no_account_where_that_is_so_configured(door: Door) -> None:
    closed = door.with_(sign_up=False)
    assert await closed.refused() == "unknown"
    await closed.close()


async def test_an_e_mail_address_links_nothing(door: Door) -> None:
    anna = await door.house.sign_up("anna", email="anna.berg@st-olaf.example")
    assert await door.refused() == "email_taken"
    assert await door.sign_in.login(anna) is None
    # The same person at the provider, who has another subject there now.
    await door.come("sub-1", email="new@st-olaf.example")
    assert await door.refused("sub-2", email="new@st-olaf.example") == "email_taken"


async def test_a_group_may_be_required_and_who_leaves_it_loses_everything(door: Door) -> None:
    strict = door.with_(required_group="physicians")
    assert await strict.refused() == "group"
    came = await strict.come(groups=["physicians", "fedidoc-admins"])
    account = came.session.account
    assert account.admin and account.verified
    assert await strict.refused(groups=["fedidoc-admins"]) == "group"
    after = await door.accounts.show(account.username)
    assert (after.admin, after.standing) == (False, Standing.NEW)
    assert not (await door.house.actor(account)).badge.verified
    assert await door.accounts.session(came.session.token) is None
    await strict.close()


async def test_groups_that_did_not_fit_into_the_token_are_not_taken_for_none(door: Door) -> None:
    came = await door.come(groups=["fedidoc-admins"])
    told = {"groups": None, "_claim_names": {"groups": "src1"}}
    assert await door.refused(**told) == "groups_elsewhere"
    assert (await door.accounts.show(came.session.account.username)).admin


# What the provider says changes ------------------------------------------------------------------


async def test_admins_come_and_go_with_their_group(any_door: Door) -> None:
    door = any_door
    account = (await door.come(groups=["fedidoc-admins"])).session.account
    assert account.admin
    assert not (await door.come(groups=[])).session.account.admin
    assert (await door.come(groups="fedidoc-admins")).session.account.admin
    actions = [action for _, action, _ in await door.house.audit()]
    assert [a for a in actions if a.startswith("admin_")] == [
        "admin_given", "admin_taken", "admin_given",
    ]  # fmt: skip


async def test_who_was_made_an_admin_here_stays_one(door: Door) -> None:
    account = (await door.come()).session.account
    async with door.house.db.transaction() as tx:
        await people.set_admin(tx, account.id, True)
    assert (await door.come(groups=[])).session.account.admin
    assert (await door.come(groups=["fedidoc-admins"])).session.account.admin
    assert (await door.come(groups=[])).session.account.admin


async def test_an_admin_without_a_profession_is_staff(door: Door) -> None:
    told = {"groups": ["fedidoc-admins"], "job": None}
    account = (await door.come(**told)).session.account
    assert (account.role, account.admin, account.verified) == (Role.STAFF, True, False)
    account = (await door.come(groups=["fedidoc-admins"])).session.account
    assert (account.role, account.verified) == (Role.PHYSICIAN, True)


async def test_the_credential_follows_the_provider(any_door: Door) -> None:
    door, house = any_door, any_door.house
    account = (await door.come(job={"title": "Registrar"}, taxonomy="207R00000X")).session.account
    first = (await house.actor(account)).badge
    assert (first.profession, first.specialty and first.specialty.code) == (
        "resident", "207R00000X",
    )  # fmt: skip
    await door.come()
    second = (await house.actor(account)).badge
    assert (second.profession, second.specialty and second.specialty.code) == (
        "physician", "207RC0000X",
    )  # fmt: skip
    assert second.credential != first.credential
    assert (await door.accounts.show(account.username)).role is Role.PHYSICIAN
    held = await door.review.records.held(house.db, account.id)
    assert len(held) == 1 and "physician" in held[0].detail
    # Nothing is said of a profession any more: the member stays, the verification does not.
    after = (await door.come(job=None)).session.account
    assert after.standing is Standing.NEW
    assert not (await house.actor(account)).badge.verified
    assert await door.review.records.held(house.db, account.id) == ()
    house.clock.advance(SECOND)
    assert (await door.come()).session.account.verified


async def test_the_word_is_as_fresh_as_the_last_sign_in(door: Door) -> None:
    house = door.house
    account = (await door.come()).session.account
    house.clock.advance(100 * DAY)
    await door.come()
    house.clock.advance(100 * DAY)
    assert await Expiry(house.db, house.clock, door.review).run_out() == 0
    assert (await door.accounts.show(account.username)).verified
    house.clock.advance(81 * DAY)
    assert await Expiry(house.db, house.clock, door.review).run_out() == 1
    assert await Expiry(house.db, house.clock, door.review).run_out() == 0
    assert (await door.accounts.show(account.username)).standing is Standing.NEW
    assert not (await house.actor(account)).badge.verified


async def test_a_provider_that_does_not_verify_only_signs_in(door: Door) -> None:
    plain = door.with_(verifies=False)
    account = (await plain.come()).session.account
    assert (account.role, account.standing) == (Role.PHYSICIAN, Standing.NEW)
    assert await door.review.records.held(door.house.db, account.id) == ()
    await plain.close()


async def test_an_application_as_somebody_else_is_rewritten_by_what_the_provider_says(
    door: Door,
) -> None:
    """Who claims to be a physician, and is a resident by the provider, is verified as resident."""
    house = door.house
    anna = await house.sign_up("anna")
    await door.review.apply(anna, claim(profession=Role.PHYSICIAN, npi="1679576722"))
    begun = await door.sign_in.begin_to_link(anna, PASSWORD, "/settings", address=ADDRESS)
    answer = door.issuer.authorize(begun.url, **{**ANNA, "job": {"title": "Registrar"}})
    done = await door.finish(begun, answer, present=anna)
    assert (done.session.account.role, done.session.account.verified) == (Role.RESIDENT, True)
    assert (await house.actor(anna)).badge.profession == "resident"
    found = await door.review.current(anna)
    assert found is not None and found.claim.profession is Role.RESIDENT


async def test_the_npi_of_somebody_who_is_verified_is_left_to_a_reviewer(door: Door) -> None:
    await door.come("sub-1")
    second = await door.come("sub-2", email="b@mail.example")
    assert second.session.account.standing is Standing.APPLIED


async def test_a_suspended_member_stays_outside(door: Door) -> None:
    came = await door.come()
    await door.accounts.suspend(came.session.account.username, reason="r", by="operator")
    assert await door.refused() == "suspended"
    assert await door.refused(groups=["fedidoc-admins"]) == "suspended"
    assert not (await door.accounts.show(came.session.account.username)).admin


# Linking ------------------------------------------------------------------------------------------


async def test_a_member_links_and_unlinks_a_login(any_door: Door) -> None:
    door = any_door
    anna = await door.house.sign_up("anna")
    with pytest.raises(BadInput):
        await door.sign_in.begin_to_link(anna, "not the password", "/", address=ADDRESS)
    begun = await door.sign_in.begin_to_link(anna, PASSWORD, "/settings", address=ADDRESS)
    done = await door.finish(begun, door.issuer.authorize(begun.url, **ANNA), present=anna)
    assert (done.linked, done.onward, done.session.account.id) == (True, "/settings", anna.id)
    assert done.session.account.verified
    assert (await door.come()).session.account.id == anna.id
    with pytest.raises(BadInput):
        await door.sign_in.unlink(anna, "not the password", address=ADDRESS)
    await door.sign_in.unlink(anna, PASSWORD, address=ADDRESS)
    assert await door.sign_in.login(anna) is None
    assert await door.accounts.session(done.session.token) is None
    assert (await door.accounts.show("anna")).standing is Standing.NEW
    with pytest.raises(Conflict):
        await door.sign_in.unlink(anna, PASSWORD, address=ADDRESS)


async def test_a_login_is_linked_only_to_who_confirmed_it(door: Door) -> None:
    anna, mallory = await door.house.sign_up("anna"), await door.house.sign_up("mallory")
    for present in (None, mallory):
        begun = await door.sign_in.begin_to_link(anna, PASSWORD, "/", address=ADDRESS)
        answer = door.issuer.authorize(begun.url, **ANNA)
        with pytest.raises(SignInRefused, match="logged in") as refusal:
            await door.finish(begun, answer, present=present)
        assert refusal.value.reason == "not_yours"
    assert await door.sign_in.login(anna) is None


async def test_a_login_has_one_member_and_a_member_one_login(door: Door) -> None:
    await door.come("sub-1")
    anna = await door.house.sign_up("anna")
    for subject, reason in (("sub-1", "taken"), ("sub-2", None), ("sub-3", None)):
        begun = await door.sign_in.begin_to_link(anna, PASSWORD, "/", address=ADDRESS)
        answer = door.issuer.authorize(begun.url, subject, **{**ANNA, "npi": None})
        if reason:
            with pytest.raises(SignInRefused) as refusal:
                await door.finish(begun, answer, present=anna)
            assert refusal.value.reason == reason
        else:
            await door.finish(begun, answer, present=anna)
    # The provider had given her another subject: the old one opens her account no longer.
    assert (await door.come("sub-3")).session.account.id == anna.id
    assert await door.refused("sub-2", email=f"{anna.username}@mail.example") == "email_taken"


async def test_the_operators_link_ties_a_login_to_a_member(door: Door) -> None:
    anna = await door.house.sign_up("anna")
    void = await door.passes.make("anna", Purpose.LINK, by="operator")
    token = await door.passes.make("anna", Purpose.LINK, by="operator")
    for wrong in (void, "x", "\u00e4"):
        with pytest.raises(NotFound):
            await door.sign_in.begin("/", pass_=wrong)
    first, second = [await door.sign_in.begin("/", pass_=token) for _ in range(2)]
    done = await door.finish(first, door.issuer.authorize(first.url, **ANNA))
    assert (done.linked, done.session.account.id) == (True, anna.id)
    with pytest.raises(NotFound):
        await door.finish(second, door.issuer.authorize(second.url, "sub-2", **ANNA))
    old = await door.passes.make("anna", Purpose.LINK, by="operator")
    door.house.clock.advance(7 * DAY)
    with pytest.raises(NotFound):
        await door.passes.see(old)


async def test_the_operator_lets_somebody_in_once(any_door: Door) -> None:
    door = any_door.with_(only=True)
    rita = await door.house.admin()
    with pytest.raises(Forbidden, match=re.escape("St. Olaf Login")):
        await door.accounts.log_in("rita", PASSWORD, address=ADDRESS)
    with pytest.raises(Forbidden):
        await door.accounts.sign_up(
            "x", "x@y.example", PASSWORD, "X", Role.PHYSICIAN, None, address=ADDRESS
        )
    token = await door.passes.make("rita", Purpose.ENTER, by="operator")
    with pytest.raises(NotFound):
        await door.sign_in.begin("/", pass_=token)
    results = await asyncio.gather(
        *(door.passes.enter(token) for _ in range(3)), return_exceptions=True
    )
    entered = [r for r in results if not isinstance(r, BaseException)]
    assert len(entered) == 1
    assert entered[0].account.id == rita.id
    late = await door.passes.make("rita", Purpose.ENTER, by="operator")
    door.house.clock.advance(15 * MINUTE)
    with pytest.raises(NotFound):
        await door.passes.enter(late)
    await door.accounts.suspend("rita", reason="r", by="operator")
    with pytest.raises(Conflict):
        await door.passes.make("rita", Purpose.ENTER, by="operator")
    await door.close()


async def test_a_password_of_the_operators(door: Door) -> None:
    came = await door.come()
    assert not await door.accounts.has_password(came.session.account)
    password = await door.accounts.set_password("anna_berg", by="operator")
    assert await door.accounts.session(came.session.token) is None
    assert (await door.accounts.log_in("anna_berg", password, address=ADDRESS)).account
    assert await door.accounts.has_password(came.session.account)


# What is brought back -----------------------------------------------------------------------------


async def test_an_answer_is_good_once_in_the_browser_that_asked(any_door: Door) -> None:
    door = any_door
    begun = await door.sign_in.begin("/")
    answer = door.issuer.authorize(begun.url, **ANNA)
    other = await door.sign_in.begin("/")
    cases: list[tuple[str, dict[str, str]]] = [
        (other.cookie, answer),  # the answer of another browser's sign-in (login CSRF)
        ("", answer),
        ("AAAA", answer),
        (begun.cookie[:-4] + "AAAA", answer),
        (begun.cookie, {**answer, "state": ""}),
        (begun.cookie, {**answer, "state": "\u00e4"}),
        (begun.cookie, {"code": answer["code"]}),
    ]
    for cookie, given in cases:
        with pytest.raises(SignInRefused) as refusal:
            await door.sign_in.finish(cookie, given, present=None, previous=None, address=ADDRESS)
        assert refusal.value.reason == "not_begun"
    assert "token" not in door.issuer.asked
    tries = await asyncio.gather(
        *(door.finish(begun, answer) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(t, Finished) for t in tries) == 1
    assert {t.reason for t in tries if isinstance(t, SignInRefused)} == {"used_up"}
    assert door.issuer.asked["token"] == 1


async def test_an_answer_survives_a_restart_but_not_ten_minutes(door: Door) -> None:
    begun = await door.sign_in.begin("/")
    answer = door.issuer.authorize(begun.url, **ANNA)
    restarted = door.with_()
    assert (await restarted.finish(begun, answer)).created
    begun = await door.sign_in.begin("/")
    answer = door.issuer.authorize(begun.url, **ANNA)
    door.house.clock.advance(10 * MINUTE)
    with pytest.raises(SignInRefused) as refusal:
        await restarted.finish(begun, answer)
    assert refusal.value.reason == "too_late"
    await restarted.close()


async def test_a_code_that_was_stolen_opens_nothing_elsewhere(door: Door) -> None:
    """Code injection: the thief's own sign-in with the victim's code (RFC 9700 section 4.5)."""
    victim = await door.sign_in.begin("/")
    stolen = door.issuer.authorize(victim.url, "victim", **ANNA)
    thief = await door.sign_in.begin("/")
    own = door.issuer.authorize(thief.url, "thief", **ANNA)
    with pytest.raises(SignInRefused) as refusal:
        await door.finish(thief, {**own, "code": stolen["code"]})
    assert refusal.value.reason == "code_refused"


async def test_a_token_of_another_sign_in_is_not_taken(door: Door) -> None:
    """Nonce swap: the provider is made to answer with what another sign-in was given."""
    kept: list[str] = []
    door.issuer.change = lambda claims: (kept.append(claims["nonce"]), claims)[1]
    await door.come()
    door.issuer.change = lambda claims: {**claims, "nonce": kept[0]}
    assert await door.refused() == "bad_nonce"


@pytest.mark.parametrize(
    "named", [None, "", "https://evil.example", "http://127.0.0.1/realms/olaf"]
)
async def test_an_answer_of_another_provider_is_not_taken(door: Door, named: str | None) -> None:
    """Mix-up (RFC 9207): the code is not even sent anywhere."""
    begun = await door.sign_in.begin("/")
    answer = door.issuer.authorize(begun.url, **ANNA)
    del answer["iss"]
    with pytest.raises(SignInRefused) as refusal:
        await door.finish(begun, answer if named is None else {**answer, "iss": named})
    assert refusal.value.reason == "other_issuer"
    assert "token" not in door.issuer.asked


async def test_a_provider_that_names_no_issuer_need_not(door: Door) -> None:
    door.issuer.discovery = {"authorization_response_iss_parameter_supported": None}
    begun = await door.sign_in.begin("/")
    answer = door.issuer.authorize(begun.url, **ANNA)
    assert await door.finish(begun, {"code": answer["code"], "state": answer["state"]})


@pytest.mark.parametrize(
    ("error", "reason"),
    [("access_denied", "cancelled"), ("server_error", "provider_error"), ("", "provider_error")],
)
async def test_the_provider_says_no(door: Door, error: str, reason: str) -> None:
    begun = await door.sign_in.begin("/")
    answer = door.issuer.authorize(begun.url, **ANNA)
    with pytest.raises(SignInRefused) as refusal:
        await door.finish(begun, {**answer, "error": error})
    assert refusal.value.reason == reason
    assert "token" not in door.issuer.asked


FORGERIES: dict[str, tuple[Callable[[Issuer], Callable[[dict[str, Any]], str]], str]] = {
    "none": (lambda i: unsigned, "bad_algorithm"),
    "another key of the same id": (
        lambda i: lambda c: sign(c, rsa_key("one")), "bad_signature",
    ),
    "expired": (lambda i: lambda c: sign({**c, "exp": c["iat"] - 200}, i.key), "expired"),
    "of tomorrow": (lambda i: lambda c: sign({**c, "iat": c["iat"] + 999}, i.key), "not_yet"),
    "another audience": (lambda i: lambda c: sign({**c, "aud": "x"}, i.key), "bad_aud"),
    "another issuer": (lambda i: lambda c: sign({**c, "iss": "https://x"}, i.key), "bad_iss"),
    "another access token": (lambda i: lambda c: sign({**c, "at_hash": "x"}, i.key), "bad_at_hash"),
    "no token at all": (lambda i: lambda c: "", "bad_token"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_token_that_is_not_right_lets_nobody_in(door: Door, name: str) -> None:
    make, reason = FORGERIES[name]
    door.issuer.sign_with = make(door.issuer)
    assert await door.refused() == reason
    assert await door.accounts.count() == 0


# The provider ---------------------------------------------------------------------------------


async def test_the_client_says_who_it_is_as_the_provider_wants_it(door: Door) -> None:
    await door.come()
    basic = [h for h in door.issuer.headers if "Authorization" in h]
    sent = base64.b64decode(basic[0]["Authorization"].removeprefix("Basic ")).decode()
    assert sent == "fedidoc:s3cret%2F%2B+%26%C3%B6"
    door.issuer.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    door.issuer.headers.clear()
    posting = door.with_()
    await posting.come()
    assert not [h for h in door.issuer.headers if h.get("Authorization", "").startswith("Basic")]
    await posting.close()


async def test_what_the_token_lacks_is_asked_for(door: Door) -> None:
    door.issuer.user_info = {"sub": "sub-1", "email": "later@mail.example", "name": "Not this"}
    account = (await door.come(email=None)).session.account
    assert await door.accounts.email(account.id) == "later@mail.example"
    assert (await door.house.actor(account)).name == "Anna Berg"


async def test_user_info_of_somebody_else_is_not_taken(door: Door) -> None:
    door.issuer.user_info = {"sub": "sub-2", "npi": "1679576722"}
    begun = await door.sign_in.begin("/")
    told = {name: value for name, value in ANNA.items() if name != "npi"}
    with pytest.raises(SignInRefused) as refusal:
        await door.finish(begun, door.issuer.authorize(begun.url, **told))
    assert refusal.value.reason == "other_subject"


async def test_new_keys_are_found_and_made_up_ones_cost_nothing(door: Door) -> None:
    stranger = rsa_key("stranger")
    await door.come()
    assert door.issuer.asked["jwks"] == 1
    door.house.clock.advance(2 * MINUTE)
    door.issuer.key = rsa_key("two")
    await door.come()
    assert door.issuer.asked["jwks"] == 2
    for number in range(50):
        with pytest.raises(SignInRefused):
            await door.sign_in.end_from_afar(sign({}, stranger, kid=f"made up {number}"))
    assert door.issuer.asked["jwks"] == 2
    door.house.clock.advance(2 * MINUTE)
    for number in range(50):
        with pytest.raises(SignInRefused):
            await door.sign_in.end_from_afar(sign({}, stranger, kid=f"made up {number}"))
    assert door.issuer.asked["jwks"] == 3
    assert (await door.come()).session.account


async def test_keys_and_discovery_are_asked_for_again_after_an_hour(door: Door) -> None:
    for _ in range(3):
        await door.come()
    assert (door.issuer.asked["jwks"], door.issuer.asked["openid-configuration"]) == (1, 1)
    door.house.clock.advance(HOUR)
    await door.come()
    assert (door.issuer.asked["jwks"], door.issuer.asked["openid-configuration"]) == (2, 2)


BAD_DISCOVERY: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "almost the issuer": {"issuer": "SLASH"},
    "no issuer": {"issuer": None},
    "no code flow": {"response_types_supported": ["id_token"]},
    "only shared secrets": {"id_token_signing_alg_values_supported": ["HS256", "none"]},
    "no keys": {"jwks_uri": None},
    "plain http elsewhere": {"token_endpoint": "http://198.51.100.7/token"},
    "keys on a private address": {"jwks_uri": "https://10.0.0.7/jwks"},
    "keys at the cloud's metadata": {"jwks_uri": "https://169.254.169.254/latest"},
    "a file": {"jwks_uri": "file:///etc/passwd"},
    "a script": {"authorization_endpoint": "javascript:alert(1)"},
    "with a name and password": {"token_endpoint": "https://a:b@evil.example/"},
    "not a text": {"token_endpoint": 7},
    "algorithms are no list": {"id_token_signing_alg_values_supported": "RS256"},
}


@pytest.mark.parametrize("name", BAD_DISCOVERY)
async def test_a_discovery_document_that_deceives(door: Door, name: str) -> None:
    told = dict(BAD_DISCOVERY[name])
    if told.get("issuer") == "SLASH":
        told["issuer"] = door.issuer.url + "/"
    door.issuer.discovery = told
    with pytest.raises(SignInRefused):
        await door.sign_in.begin("/")
    assert "jwks" not in door.issuer.asked


async def test_a_name_that_leads_to_a_private_address_is_not_asked(door: Door) -> None:
    """What the provider names elsewhere is vetted where it resolves to, too."""
    door.issuer.discovery = {"jwks_uri": "https://localhost:9/jwks"}
    strict = door.with_()
    strict.provider = app.build_provider(strict.config, door.house.clock, Guard())
    with pytest.raises(NotBelieved, match="bad_endpoint"):
        await strict.provider.metadata()
    await strict.close()


def _redirect(to: str) -> web.Response:
    return web.Response(status=302, headers={"Location": to})


BAD_ANSWERS: dict[str, Callable[[Issuer], web.Response]] = {
    "redirect to the metadata service": lambda i: _redirect("http://169.254.169.254/"),
    "redirect to itself": lambda i: _redirect(i.url + "/.well-known/openid-configuration"),
    "HTML": lambda i: web.Response(text="<p>Maintenance</p>", content_type="text/html"),
    "no JSON": lambda i: web.Response(text="{", content_type="application/json"),
    "too deep": lambda i: web.Response(text="[" * 100_000, content_type="application/json"),
    "a list": lambda i: web.Response(text="[]", content_type="application/json"),
    "compressed": lambda i: web.Response(body=b"{}", content_type="application/json",
                                         headers={"Content-Encoding": "gzip"}),
    "error": lambda i: web.Response(status=503),
    "gone": lambda i: web.json_response({}, status=404),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ANSWERS)
@pytest.mark.parametrize("where", ["openid-configuration", "jwks"])
async def test_a_provider_that_answers_strangely(door: Door, where: str, name: str) -> None:
    door.issuer.raw[where] = BAD_ANSWERS[name](door.issuer)
    with pytest.raises((Away, NotBelieved)):
        await door.provider.keys()
    asked = dict(door.issuer.asked)
    with pytest.raises((Away, NotBelieved)):
        await door.provider.keys()
    assert door.issuer.asked == asked, "a failure is remembered for a moment"
    door.issuer.raw.clear()
    door.house.clock.advance(11 * SECOND)
    assert len(await door.provider.keys()) == 1


async def test_a_document_that_is_right_and_giant_is_not_read(door: Door) -> None:
    door.issuer.discovery = {"padding": "x" * MOST_BYTES}
    with pytest.raises(Away, match="too_large"):
        await door.provider.metadata()


async def test_no_redirect_is_followed(door: Door) -> None:
    target = door.issuer.url + "/.well-known/openid-configuration"
    door.issuer.raw["jwks"] = _redirect(target)
    with pytest.raises(Away, match="redirected"):
        await door.provider.keys()
    assert door.issuer.asked["openid-configuration"] == 1


async def test_a_provider_that_is_away_is_said_to_be(door: Door) -> None:
    begun = await door.sign_in.begin("/")
    answer = door.issuer.authorize(begun.url, **ANNA)
    await door.issuer.__aexit__()
    with pytest.raises(SignInRefused) as refusal:
        await door.finish(begun, answer)
    assert (refusal.value.reason, refusal.value.status) == ("away", 502)


# Leaving --------------------------------------------------------------------------------------


async def test_logging_out_goes_on_to_the_provider(door: Door) -> None:
    came = await door.come()
    url = await door.sign_in.log_out(came.session.token)
    assert url is not None and url.startswith(door.issuer.url + "/logout?")
    sent = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert sent["client_id"] == "fedidoc"
    assert sent["id_token_hint"].count(".") == 2
    assert sent["post_logout_redirect_uri"] == "https://st-olaf.example/log-in/provider/left"
    assert door.sign_in.has_left(sent["state"])
    for wrong in ("", "x", "AAAA", came.session.token):
        assert not door.sign_in.has_left(wrong)
    assert await door.accounts.session(came.session.token) is None
    assert await door.sign_in.log_out(came.session.token) is None
    await door.house.sign_up("osler")
    local = await door.accounts.log_in("osler", PASSWORD, address=ADDRESS)
    assert await door.sign_in.log_out(local.token) is None
    assert await door.accounts.session(local.token) is None


async def test_a_session_ends_from_afar(any_door: Door) -> None:
    door = any_door
    one, two = await door.come(sid="one"), await door.come(sid="two")
    other = await door.come("sub-2", sid="other", email="b@mail.example", npi=None)
    token = door.issuer.logout_token(sid="one", jti="a")
    assert await door.sign_in.end_from_afar(token) == 1
    assert await door.accounts.session(one.session.token) is None
    assert await door.accounts.session(two.session.token) is not None
    with pytest.raises(SignInRefused) as refusal:
        await door.sign_in.end_from_afar(token)
    assert refusal.value.reason == "used_up"
    await door.come(sid="three")
    assert await door.sign_in.end_from_afar(door.issuer.logout_token(sub="sub-1", jti="b")) == 2
    assert await door.accounts.session(two.session.token) is None
    assert await door.accounts.session(other.session.token) is not None
    for unknown in ({"sub": "nobody", "jti": "c"}, {"sid": "nothing", "jti": "d"}):
        assert await door.sign_in.end_from_afar(door.issuer.logout_token(**unknown)) == 0


async def test_a_password_session_is_the_members_own(door: Door) -> None:
    """The provider ends what began there, and nothing else."""
    anna = await door.house.sign_up("anna")
    begun = await door.sign_in.begin_to_link(anna, PASSWORD, "/", address=ADDRESS)
    await door.finish(begun, door.issuer.authorize(begun.url, **ANNA), present=anna)
    local = await door.accounts.log_in("anna", PASSWORD, address=ADDRESS)
    assert await door.sign_in.end_from_afar(door.issuer.logout_token(sub="sub-1")) == 1
    assert await door.accounts.session(local.token) is not None


@pytest.mark.parametrize(
    "changes",
    [{"aud": "x"}, {"iss": "https://x"}, {"events": {}}, {"nonce": "n"}, {"exp": 1}, {"jti": None}],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_logout_that_is_not_the_providers(door: Door, changes: dict[str, Any]) -> None:
    came = await door.come(sid="one")
    with pytest.raises(SignInRefused):
        await door.sign_in.end_from_afar(door.issuer.logout_token(**{"sid": "one", **changes}))
    forged = sealed_with(lambda data: b"", {"sid": "one"}, alg="none")
    with pytest.raises(SignInRefused):
        await door.sign_in.end_from_afar(forged)
    assert await door.accounts.session(came.session.token) is not None


# Settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer": "http://login.st-olaf.example"}, "https"),
        ({"issuer": "https://login.st-olaf.example/?a=1"}, "query"),
        ({"issuer": "https://me@login.st-olaf.example"}, "issuer"),
        ({"issuer": "login.st-olaf.example"}, "https"),
        ({"client_id": ""}, "client_id"),
        ({"scopes": ("profile",)}, "openid"),
        ({"valid_days": 0}, "valid_days"),
        ({"professions": {"Consultant": "surgeon"}}, "professions"),
        ({"professions": {"Consultant": "staff"}}, "professions"),
        ({"groups": {"x": "root"}}, "groups"),
        ({"claim_groups": "", "required_group": "x"}, "claim_groups"),
        ({"claim_email": ""}, "claim_email"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_settings_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    given = {"issuer": "https://login.st-olaf.example/realms/olaf", **changes}
    with pytest.raises(ConfigError, match=words):
        check_rules(_config(given))


def _config(changes: dict[str, Any]) -> Config:
    return Config(Instance("st-olaf.example"), identity_provider=replace(RULES, **changes))


def test_the_settings_of_these_tests_can_be() -> None:
    check_rules(_config({"issuer": "https://login.st-olaf.example/realms/olaf"}))
