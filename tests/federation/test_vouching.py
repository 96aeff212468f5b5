"""Vouches between two servers: asked, given, taken back; forged, replayed, too late, too many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from fedidoc.clock import DAY, HOUR, iso
from fedidoc.errors import BadInput, Conflict, NotFound, TooMany
from fedidoc.model import Account, Actor, NotificationKind, Role
from fedidoc.storage import actors, blocks
from fedidoc.storage.blocks import Block
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.policy import Policy
from fedidoc.verification.vouches import Request
from tests.federation.network import CARDIOLOGY, Network, Node
from tests.federation.test_attacks import Writer

UNKNOWN = "refused: no such profession"
NOBODY = "ignore: there is nobody of that name who vouches"
WORDS = "We have shared night duty since 2021."


async def colleague(node: Node, name: str) -> Account:
    """A member whose employer says who they are."""
    account, _ = await node.accounts.add_member(
        name, f"{name}@example.org", name.title(), Role.PHYSICIAN, CARDIOLOGY, by="test"
    )
    async with node.db.transaction() as tx:
        await node.review.records.record(
            tx, account.id, EvidenceKind.EMPLOYER, detail="asked", by="test"
        )
    await node.review.verify_directly(account.id, "known to the test", by="test")
    return await node.accounts.show(name)


class Desk(NamedTuple):
    """Anna applies at the hospital; Ines of the society knows her."""

    network: Network
    hospital: Node
    society: Node
    anna: Account
    ines: Account

    async def ask(self) -> Request:
        """Anna asks; the request as Ines has it."""
        await self.hospital.vouches.ask(self.anna, f"@ines@{self.society.domain}")
        await self.network.settle()
        [request] = await self.society.vouches.requests(self.ines)
        return request

    async def vouch(self) -> Request:
        request = await self.ask()
        await self.society.vouches.give(self.ines, request.id, WORDS)
        await self.network.settle()
        return request

    async def held(self) -> list[EvidenceKind]:
        found = await self.hospital.review.records.held(self.hospital.db, self.anna.id)
        return [evidence.kind for evidence in found]

    async def given(self) -> list[bool]:
        return [wish.given for wish in await self.hospital.vouches.of_applicant(self.anna)]

    async def offer(self) -> str:
        """The id of Anna's request on the wire."""
        return str(await self.hospital.db.fetch_value("SELECT uri FROM vouches"))

    async def forge(self, account: Account | None = None) -> Writer:
        """Software of a member of the society, which sends what it likes."""
        actor = await self.society.actor_of(account or self.ines)
        return Writer(self.society, actor, self.hospital)

    async def answer(self, writer: Writer, uri: str | None = None, **more: Any) -> str | None:
        offer = {
            "id": uri or await self.offer(),
            "type": "Offer",
            "actor": self.hospital.urls.instance_actor,
            "object": {"type": "fedidoc:Vouch"},
        }
        return await writer.send("Accept", offer, **{"content": WORDS, **more})

    async def instance(self) -> Writer:
        """Software in the society's own name."""
        return Writer(self.society, self.society.actor, self.hospital)

    async def effects(self, node: Node, kind: str) -> list[str]:
        rows = await node.db.fetch_all(
            "SELECT effect FROM inbox WHERE type = ? ORDER BY id", (kind,)
        )
        return [row["effect"] for row in rows]


@pytest.fixture
async def desk(network: Network) -> Desk:
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await network.befriend(hospital, society)
    anna = await hospital.member("anna", verified=False)
    return Desk(network, hospital, society, anna, await colleague(society, "ines"))


# Asked, given, taken back -------------------------------------------------------------------------


async def test_a_colleague_of_a_trusted_server_vouches(desk: Desk) -> None:
    request = await desk.ask()
    assert (NotificationKind.VOUCH_ASKED, desk.ines.actor_id) in desk.society.told
    assert request.applicant.handle == f"@anna@{desk.hospital.domain}"
    assert (request.profession, request.specialty, request.hindrance) == (
        "physician", CARDIOLOGY, "",
    )  # fmt: skip
    assert await desk.given() == [False]
    await desk.society.vouches.give(desk.ines, request.id, WORDS)
    await desk.network.settle()
    assert await desk.held() == [EvidenceKind.VOUCHES]
    assert await desk.given() == [True]
    [word] = await desk.hospital.vouches.of_account(desk.anna.id)
    assert (word.statement, word.voucher.username, word.voucher.host) == (
        WORDS, "ines", desk.society.domain,
    )  # fmt: skip


async def test_enough_of_them_verify_where_the_house_says_so(desk: Desk) -> None:
    policy = Policy.of({}, automatic=["vouches"])
    desk.hospital.review.standings._policy = policy
    desk.hospital.review._policy = policy
    await desk.vouch()
    assert (await desk.hospital.accounts.show("anna")).verified


async def test_local_and_distant_words_count_together(desk: Desk) -> None:
    desk.hospital.config = replace(
        desk.hospital.config, evidence=replace(desk.hospital.config.evidence, vouches_needed=2)
    )
    desk.hospital.open_rooms()
    bea = await desk.hospital.member("bea")
    await desk.vouch()
    assert await desk.held() == []
    await desk.hospital.vouches.ask(desk.anna, "bea")
    [request] = await desk.hospital.vouches.requests(bea)
    await desk.hospital.vouches.give(bea, request.id, WORDS)
    assert await desk.held() == [EvidenceKind.VOUCHES]


async def test_a_word_taken_back_falls_there_too(desk: Desk) -> None:
    request = await desk.vouch()
    await desk.society.vouches.withdraw(desk.ines, request.id)
    await desk.network.settle()
    assert await desk.held() == []
    assert await desk.given() == []


async def test_no_is_silent_and_nothing_leaves(desk: Desk) -> None:
    request = await desk.ask()
    sent = await desk.society.db.fetch_value("SELECT COUNT(*) FROM activities")
    await desk.society.vouches.decline(desk.ines, request.id)
    await desk.network.settle()
    assert await desk.society.db.fetch_value("SELECT COUNT(*) FROM activities") == sent
    assert await desk.given() == [False]


async def test_a_request_taken_back_is_gone_there(desk: Desk) -> None:
    await desk.ask()
    [wish] = await desk.hospital.vouches.of_applicant(desk.anna)
    await desk.hospital.vouches.cancel(desk.anna, wish.id)
    await desk.network.settle()
    assert await desk.society.vouches.requests(desk.ines) == ()


async def test_only_what_is_public_leaves_and_to_one_inbox(desk: Desk) -> None:
    await desk.ask()
    [row] = await desk.hospital.db.fetch_all("SELECT * FROM activities WHERE type = 'Offer'")
    assert f'"to":["{desk.society.urls.actor("ines")}"],"cc":[]' in row["body"]
    for secret in ("anna@example.org", desk.anna.id):
        assert secret not in row["body"]
    places = await desk.hospital.db.fetch_all(
        "SELECT inbox FROM deliveries WHERE activity_id = ?", (row["id"],)
    )
    assert [place["inbox"] for place in places] == [desk.society.urls.inbox("ines")]


async def test_what_was_said_stays_sealed_on_both_sides(desk: Desk) -> None:
    await desk.vouch()
    await desk.society.far_vouches.watch()
    for node in (desk.hospital, desk.society):
        for table in ("vouches", "inbox", "activities", "events", "notifications"):
            for row in await node.db.fetch_all(f"SELECT * FROM {table}"):
                assert "night duty" not in repr([str(value) for value in tuple(row)]), table
    # It is kept until it has arrived.
    assert [r.statement for r in await desk.society.vouches.requests(desk.ines)] == [WORDS]


async def test_words_on_their_way_are_not_forgotten(desk: Desk) -> None:
    request = await desk.ask()
    await desk.hospital.stop_serving()
    await desk.society.vouches.give(desk.ines, request.id, WORDS)
    await desk.network.settle()
    await desk.society.far_vouches.watch()
    await desk.hospital.serve()
    desk.network.clock.advance(2 * HOUR)
    await desk.network.settle()
    assert await desk.held() == [EvidenceKind.VOUCHES]


# Who may be asked, and what the applicant learns --------------------------------------------------


async def test_the_applicant_learns_nothing_of_who_is_there(desk: Desk) -> None:
    await desk.society.member("uma", verified=False)
    for name in ("ines", "uma", "nobody_here"):
        await desk.hospital.vouches.ask(desk.anna, f"@{name}@{desk.society.domain}")
    await desk.network.settle()
    assert await desk.given() == [False, False, False]
    assert await desk.effects(desk.society, "Offer") == ["vouch_asked"]
    for name in ("ines", "uma", "nobody_here"):
        with pytest.raises(BadInput, match="already"):
            await desk.hospital.vouches.ask(desk.anna, f"@{name}@{desk.society.domain}")


async def test_only_servers_that_are_trusted_are_asked(desk: Desk) -> None:
    for host in ("elsewhere.example", f"{desk.society.domain}x"):
        with pytest.raises(BadInput, match="trusts"):
            await desk.hospital.vouches.ask(desk.anna, f"@ines@{host}")
    await desk.hospital.trust.limit(desk.society.domain, by="test")
    with pytest.raises(BadInput, match="trusts"):
        await desk.hospital.vouches.ask(desk.anna, f"@ines@{desk.society.domain}")


async def test_asking_elsewhere_has_the_same_limit(desk: Desk) -> None:
    for number in range(10):
        await desk.hospital.vouches.ask(desk.anna, f"@name{number}@{desk.society.domain}")
    with pytest.raises(TooMany):
        await desk.hospital.vouches.ask(desk.anna, f"@ines@{desk.society.domain}")
    with pytest.raises(TooMany):
        await desk.hospital.vouches.ask(desk.anna, "bea")


async def test_a_server_that_is_away_is_asked_later(desk: Desk) -> None:
    await desk.society.stop_serving()
    await desk.hospital.vouches.ask(desk.anna, f"@ines@{desk.society.domain}")
    await desk.network.settle()
    assert await desk.given() == [False]
    await desk.society.serve()
    desk.network.clock.advance(7 * HOUR)
    await desk.network.settle()
    assert len(await desk.society.vouches.requests(desk.ines)) == 1


async def test_who_rests_on_the_word_of_others_is_not_asked_elsewhere(desk: Desk) -> None:
    """Whose word that is cannot be seen from here: no circle goes through two servers."""
    await desk.society.member("vera")
    await desk.hospital.vouches.ask(desk.anna, f"@vera@{desk.society.domain}")
    await desk.network.settle()
    assert await desk.effects(desk.society, "Offer") == []
    # Nor does her word count if her server sends it all the same.
    vera = await desk.society.accounts.show("vera")
    there = await desk.hospital.remote.find(f"@vera@{desk.society.domain}")
    async with desk.hospital.db.transaction() as tx:
        await tx.execute("UPDATE vouches SET voucher_actor_id = ?", (there.id,))
    effect = await desk.answer(await desk.forge(vera))
    assert effect == "refused: the colleague was verified on the word of others alone"


async def test_the_year_is_one_for_here_and_elsewhere(desk: Desk) -> None:
    desk.society.config = replace(
        desk.society.config, evidence=replace(desk.society.config.evidence, vouches_a_year=1)
    )
    desk.society.open_rooms()
    await desk.vouch()
    carl = await desk.society.member("carl", verified=False)
    await desk.society.vouches.ask(carl, "ines")
    [request] = [r for r in await desk.society.vouches.requests(desk.ines) if not r.given]
    with pytest.raises(Conflict, match="within a year"):
        await desk.society.vouches.give(desk.ines, request.id, WORDS)


async def test_a_new_member_waits_before_vouching_elsewhere(desk: Desk) -> None:
    desk.society.config = replace(
        desk.society.config, evidence=replace(desk.society.config.evidence, vouch_cooling_days=30)
    )
    desk.society.open_rooms()
    request = await desk.ask()
    with pytest.raises(Conflict, match="not long ago"):
        await desk.society.vouches.give(desk.ines, request.id, WORDS)


async def test_no_circle_between_two_servers(desk: Desk) -> None:
    """Anna vouched for Ines; now Ines would vouch for Anna. Both servers refuse."""
    there = await desk.hospital.remote.find(f"@ines@{desk.society.domain}")
    anna_there = await desk.society.remote.find(f"@anna@{desk.hospital.domain}")
    for node, applicant, voucher in (
        (desk.hospital, there.id, desk.anna.actor_id),
        (desk.society, desk.ines.actor_id, anna_there.id),
    ):
        async with node.db.transaction() as tx:
            await tx.execute(
                "INSERT INTO vouches (id, applicant_actor_id, voucher_actor_id, asked_sealed,"
                " profession, state, asked, answered, statement_sealed, valid_until)"
                " VALUES ('before', ?, ?, ?, 'physician', 'fallen', ?, ?, ?, 0)",
                (applicant, voucher, b"-", node.clock.now(), node.clock.now(), b"-"),
            )
    request = await desk.ask()
    with pytest.raises(Conflict, match="circle"):
        await desk.society.vouches.give(desk.ines, request.id, WORDS)
    offer = await desk.hospital.db.fetch_value("SELECT uri FROM vouches WHERE uri IS NOT NULL")
    effect = await desk.answer(await desk.forge(), str(offer))
    assert effect == "refused: the applicant vouched for them"


# Forged, replayed, too late -----------------------------------------------------------------------


async def test_somebody_else_cannot_answer(desk: Desk) -> None:
    await desk.ask()
    mallory = await colleague(desk.society, "mallory")
    effect = await desk.answer(await desk.forge(mallory))
    assert effect == "refused: somebody else was asked"
    effect = await desk.answer(await desk.instance())
    assert effect == "refused: somebody else was asked"
    assert await desk.held() == []


async def test_what_was_not_asked_for_is_not_answered(desk: Desk) -> None:
    await desk.ask()
    ines = await desk.forge()
    for uri in (
        desk.hospital.urls.vouch_request("unknown"),
        desk.hospital.urls.actor("anna"),
        desk.society.urls.vouch_request("own"),
        "https://elsewhere.example/offers/1",
    ):
        assert await desk.answer(ines, uri) == "ignore: no such vouch was asked for"
    assert await ines.send("Accept", await desk.offer()) == "ignore: no such follow was asked for"
    assert await desk.held() == []


async def test_a_vouch_is_counted_once(desk: Desk) -> None:
    await desk.ask()
    ines = await desk.forge()
    assert await desk.answer(ines) == "vouched"
    assert await desk.answer(ines, content="Other words than before.") == "known"
    assert await desk.answer(ines, again=True) == "known"
    assert await desk.held() == [EvidenceKind.VOUCHES]
    [word] = await desk.hospital.vouches.of_account(desk.anna.id)
    assert word.statement == WORDS


async def test_an_answer_after_a_month_is_too_late(desk: Desk) -> None:
    await desk.ask()
    desk.network.clock.advance(31 * DAY)
    assert await desk.answer(await desk.forge()) == "refused: the request is over"


async def test_an_answer_to_what_was_taken_back_is_too_late(desk: Desk) -> None:
    await desk.ask()
    [wish] = await desk.hospital.vouches.of_applicant(desk.anna)
    await desk.hospital.vouches.cancel(desk.anna, wish.id)
    assert await desk.answer(await desk.forge()) == "refused: the request is over"


async def test_a_word_that_was_taken_back_is_not_given_again(desk: Desk) -> None:
    request = await desk.vouch()
    await desk.society.vouches.withdraw(desk.ines, request.id)
    await desk.network.settle()
    assert await desk.answer(await desk.forge()) == "refused: the request is over"
    assert await desk.held() == []


async def test_an_undo_that_overtakes_its_accept_wins(desk: Desk) -> None:
    await desk.ask()
    ines, uri = await desk.forge(), await desk.offer()
    undone = {"type": "Accept", "actor": ines.actor.uri, "object": uri}
    assert await ines.send("Undo", undone) == "undone"
    assert await desk.answer(ines) == "refused: the request is over"


async def test_nobody_takes_back_anothers_word(desk: Desk) -> None:
    await desk.vouch()
    uri = await desk.offer()
    mallory = await desk.forge(await colleague(desk.society, "mallory"))
    named = {"type": "Accept", "actor": desk.society.urls.actor("ines"), "object": uri}
    assert await mallory.send("Undo", named) == "refused: the vouch is somebody else's"
    bare = {"type": "Accept", "object": uri}
    assert await mallory.send("Undo", bare) == "refused: somebody else was asked"
    assert await desk.held() == [EvidenceKind.VOUCHES]


@pytest.mark.parametrize(
    "words", ["", "short", "x" * 1001, None, ["a list of words"]], ids=range(5)
)
async def test_a_word_from_elsewhere_says_something(desk: Desk, words: Any) -> None:
    await desk.ask()
    effect = await desk.answer(await desk.forge(), content=words)
    assert effect == "refused: the statement is too short or too long"


async def test_a_badge_that_was_revoked_meanwhile_does_not_count(desk: Desk) -> None:
    """The society's Update never came: the badge is looked at when the answer comes."""
    await desk.ask()
    there = await actors.by_uri(desk.hospital.db, desk.society.urls.actor("ines"))
    assert there is not None and there.badge.verified
    async with desk.society.db.transaction() as tx:
        await desk.society.credentials.revoke(tx, desk.ines.actor_id)
    assert await desk.answer(await desk.forge()) == "refused: the colleague is not verified"


async def test_an_answer_waits_while_the_badge_cannot_be_looked_at(desk: Desk) -> None:
    await desk.ask()
    ines = await desk.forge()
    desk.network.clock.advance(HOUR)
    await desk.society.stop_serving()
    assert await desk.answer(ines) in (None, "None")
    assert await desk.held() == []
    await desk.society.serve()
    desk.network.clock.advance(HOUR)
    await desk.network.settle()
    assert await desk.held() == [EvidenceKind.VOUCHES]


@pytest.mark.parametrize("change", ["limit", "block"])
async def test_a_server_that_left_the_trust_is_not_believed(desk: Desk, change: str) -> None:
    await desk.ask()
    ines, uri = await desk.forge(), await desk.offer()
    if change == "limit":
        await desk.hospital.trust.limit(desk.society.domain, by="test")
        effect = await desk.answer(ines, uri)
        assert effect == "refused: the colleague's server is not trusted"
    else:
        await desk.hospital.trust.block(desk.society.domain, by="test")
        assert await desk.answer(ines, uri) == "status 403"
    assert await desk.held() == []


# What falls ---------------------------------------------------------------------------------------


async def test_a_vouch_falls_with_the_badge_behind_it(desk: Desk) -> None:
    await desk.vouch()
    assert await desk.hospital.far_vouches.watch() == 0
    await desk.society.accounts.suspend("ines", reason="fraud", by="operator")
    await desk.network.settle()
    assert await desk.hospital.far_vouches.watch() == 1
    assert await desk.held() == []
    assert await desk.hospital.vouches.of_account(desk.anna.id) == ()


@pytest.mark.parametrize("change", ["limit", "block"])
async def test_a_vouch_falls_when_its_server_leaves_the_trust(desk: Desk, change: str) -> None:
    await desk.vouch()
    await getattr(desk.hospital.trust, change)(desk.society.domain, by="test")
    assert await desk.hospital.far_vouches.watch() == 1
    assert await desk.held() == []


# Requests that are not honest ---------------------------------------------------------------------


async def request_of(desk: Desk, sender: Writer, applicant: Actor, **more: Any) -> str | None:
    """Ask Bea of the hospital to vouch, in whatever way."""
    asked = {"type": "fedidoc:Vouch", "profession": "physician"}
    given = {
        "attributedTo": applicant.uri,
        "to": [desk.hospital.urls.actor("bea")],
        "published": iso(desk.network.clock.now()),
        **more,
    }
    return await sender.send("Offer", given.pop("asked", asked), **given)


async def test_a_request_comes_from_a_trusted_server_itself(desk: Desk) -> None:
    await desk.hospital.member("bea")
    ines = await desk.society.actor_of(desk.ines)
    effect = await request_of(desk, await desk.forge(), ines)
    assert effect == "refused: a vouch is asked for by a trusted server itself"
    await desk.hospital.trust.limit(desk.society.domain, by="test")
    effect = await request_of(desk, await desk.instance(), ines)
    assert effect == "refused: a vouch is asked for by a trusted server itself"


async def test_a_server_asks_for_its_own_applicants_alone(desk: Desk) -> None:
    bea = await desk.hospital.member("bea")
    instance = await desk.instance()
    anna = await desk.hospital.actor_of(desk.anna)
    assert await request_of(desk, instance, anna) == (
        "refused: the applicant is not of this server"
    )
    assert (
        await request_of(desk, instance, desk.society.actor) == "refused: the applicant is nobody"
    )
    ines = await desk.society.actor_of(desk.ines)
    for more, effect in (
        ({"to": [desk.hospital.urls.actor("nobody")]}, NOBODY),
        ({"to": [desk.hospital.urls.actor("anna")]}, NOBODY),
        ({"cc": [desk.hospital.urls.actor("anna")]}, NOBODY),
        ({"asked": {"type": "fedidoc:Vouch", "profession": "staff"}}, UNKNOWN),
        ({"asked": {"type": "fedidoc:Vouch"}}, UNKNOWN),
    ):  # fmt: skip
        assert await request_of(desk, instance, ines, **more) == effect
    assert await desk.hospital.vouches.requests(bea) == ()


async def test_requests_are_bounded_and_known_again(desk: Desk) -> None:
    bea = await desk.hospital.member("bea")
    instance = await desk.instance()
    first = await desk.society.actor_of(await desk.society.member("a0", verified=False))
    assert await request_of(desk, instance, first) == "vouch_asked"
    assert await request_of(desk, instance, first, again=True) == "vouch_asked"  # done once
    assert await request_of(desk, instance, first) == "refused: this colleague was asked already"
    assert len(await desk.hospital.vouches.requests(bea)) == 1
    for number in range(1, 20):
        account = await desk.society.member(f"a{number}", verified=False)
        applicant = await desk.society.actor_of(account)
        assert await request_of(desk, instance, applicant) == "vouch_asked"
    last = await desk.society.actor_of(await desk.society.member("last", verified=False))
    assert await request_of(desk, instance, last) == "refused: too many ask this colleague"


async def test_one_applicant_asks_a_few(desk: Desk) -> None:
    instance = await desk.instance()
    applicant = await desk.society.actor_of(await desk.society.member("a0", verified=False))
    effects = []
    for number in range(11):
        await desk.hospital.member(f"bea{number}")
        to = [desk.hospital.urls.actor(f"bea{number}")]
        effects.append(await request_of(desk, instance, applicant, to=to))
    assert effects == ["vouch_asked"] * 10 + ["refused: this applicant asked too many"]


async def test_who_blocked_the_applicant_is_not_bothered(desk: Desk) -> None:
    bea = await desk.hospital.member("bea")
    ines = await desk.hospital.remote.find(f"@ines@{desk.society.domain}")
    async with desk.hospital.db.transaction() as tx:
        await blocks.put(tx, Block(bea.actor_id, ines.id, "https://x.example/b", 0))
    there = await desk.society.actor_of(desk.ines)
    effect = await request_of(desk, await desk.instance(), there)
    assert effect == "ignore: one of the two blocked the other"


async def test_only_the_server_that_asked_takes_it_back(desk: Desk) -> None:
    await desk.ask()
    clinic = await desk.network.instance("clinic")
    await desk.network.befriend(desk.society, clinic)
    undone = {"id": await desk.offer(), "type": "Offer", "object": {"type": "fedidoc:Vouch"}}
    stranger = Writer(clinic, clinic.actor, desk.society)
    assert await stranger.send("Undo", undone) == "refused: the request is another server's"
    anna = Writer(desk.hospital, await desk.hospital.actor_of(desk.anna), desk.society)
    assert await anna.send("Undo", undone) == "refused: the request is another server's"
    assert len(await desk.society.vouches.requests(desk.ines)) == 1


async def test_a_colleague_cannot_answer_what_another_was_asked_there(desk: Desk) -> None:
    request = await desk.ask()
    mallory = await colleague(desk.society, "mallory")
    for act in (
        desk.society.vouches.look(mallory, request.id),
        desk.society.vouches.give(mallory, request.id, WORDS),
        desk.society.vouches.decline(mallory, request.id),
    ):
        with pytest.raises(NotFound):
            await act
