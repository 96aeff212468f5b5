"""Moving to another hospital, blocking, reporting: between real instances."""

from __future__ import annotations

import pytest

from fedidoc.clinical.reports import Reason, State
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import Account, Actor, Audience, FollowState, NotificationKind
from fedidoc.storage import activities, follows, moderation, moves
from tests.federation.network import Network, Node
from tests.federation.pair import DRAFT, Pair, make_pair
from tests.federation.test_attacks import Writer


async def admin(node: Node, account: Account) -> Account:
    async with node.db.transaction() as tx:
        await tx.execute("UPDATE accounts SET admin = 1 WHERE id = ?", (account.id,))
    return await node.accounts.show(account.username)


async def notices(node: Node, account: Account) -> list[NotificationKind]:
    rows = await node.db.fetch_all(
        "SELECT kind FROM notifications WHERE account_actor_id = ?", (account.actor_id,)
    )
    return [NotificationKind(row["kind"]) for row in rows]


async def follows_now(node: Node, account: Account, actor: Actor) -> FollowState | None:
    return await node.follows.state(account, actor.id)


# Moving -----------------------------------------------------------------------------------------


@pytest.fixture
async def three(network: Network) -> tuple[Pair, Node, Account]:
    """Ada at the hospital, Bob who follows her from the society, and Ada's next hospital."""
    pair = await make_pair(network)
    clinic = await network.instance("clinic")
    await network.befriend(pair.hospital, pair.society, clinic)
    await pair.follow()
    return pair, clinic, await clinic.member("ada")


async def move(pair: Pair, clinic: Node, ada_there: Account) -> Actor:
    old = await clinic.remote.find(f"@ada@{pair.hospital.domain}")
    await clinic.moves.add_alias(ada_there, old)
    target = await pair.hospital.remote.find(f"@ada@{clinic.domain}")
    await pair.hospital.moves.move(pair.ada, target)
    await pair.network.settle()
    return await pair.society.remote.find(f"@ada@{clinic.domain}")


async def test_a_physician_who_changes_hospital_keeps_followers_and_changes_issuer(
    three: tuple[Pair, Node, Account],
) -> None:
    pair, clinic, ada_there = three
    eve = await pair.hospital.member("eve")
    await pair.hospital.follows.follow(eve, await pair.hospital.actor_of(pair.ada))
    new = await move(pair, clinic, ada_there)
    assert await follows_now(pair.society, pair.bob, new) is FollowState.ACCEPTED
    old = await pair.society.remote.find(f"@ada@{pair.hospital.domain}")
    assert await follows_now(pair.society, pair.bob, old) is None
    assert await pair.society.moves.destination(old) == new.uri
    assert new.badge.verified and new.badge.issuer == clinic.domain
    assert NotificationKind.MOVED in await notices(pair.society, pair.bob)
    # The colleague of the old house came along, too.
    elsewhere = await pair.hospital.remote.find(f"@ada@{clinic.domain}")
    assert await follows_now(pair.hospital, eve, elsewhere) is FollowState.ACCEPTED
    followers = {a.uri for a in await clinic.follows.followers(ada_there.actor_id)}
    assert followers == {
        (await pair.society.actor_of(pair.bob)).uri,
        (await pair.hospital.actor_of(eve)).uri,
    }


async def test_who_moved_writes_there_until_they_come_back(
    three: tuple[Pair, Node, Account],
) -> None:
    pair, clinic, ada_there = three
    await move(pair, clinic, ada_there)
    with pytest.raises(Conflict, match="moved"):
        await pair.hospital.cases.open_case(pair.ada, DRAFT)
    await pair.hospital.moves.come_back(pair.ada)
    assert await pair.hospital.cases.open_case(pair.ada, DRAFT)


async def test_the_actor_says_where_it_went_and_who_it_was(
    three: tuple[Pair, Node, Account],
) -> None:
    pair, clinic, ada_there = three
    await move(pair, clinic, ada_there)
    ada = await pair.hospital.actor_of(pair.ada)
    document = await pair.society.fetcher.get_document(ada.uri)
    there = await clinic.actor_of(ada_there)
    assert document["movedTo"] == there.uri
    assert (await pair.society.fetcher.get_document(there.uri))["alsoKnownAs"] == [ada.uri]


async def test_nobody_is_moved_to_who_does_not_say_so(
    three: tuple[Pair, Node, Account],
) -> None:
    pair, clinic, _ = three
    target = await pair.hospital.remote.find(f"@ada@{clinic.domain}")
    with pytest.raises(BadInput, match="does not name this one"):
        await pair.hospital.moves.move(pair.ada, target)
    # And a server that sends the Move all the same is not believed.
    ada = await pair.hospital.actor_of(pair.ada)
    sender = Writer(pair.hospital, ada, pair.society)
    effect = await sender.send("Move", ada.uri, target=target.uri)
    assert effect == "refused: the new actor does not say that it was the old one"
    known = await pair.society.remote.find(f"@ada@{pair.hospital.domain}")
    assert await follows_now(pair.society, pair.bob, known) is FollowState.ACCEPTED


async def test_followers_do_not_follow_to_somebody_unverified(
    three: tuple[Pair, Node, Account],
) -> None:
    pair, clinic, _ = three
    newcomer = await clinic.member("ada2", verified=False)
    ada = await pair.hospital.actor_of(pair.ada)
    async with clinic.db.transaction() as tx:
        await moves.set_aliases(tx, newcomer.actor_id, [ada.uri])
    there = await clinic.actor_of(newcomer)
    effect = await Writer(pair.hospital, ada, pair.society).send("Move", ada.uri, target=there.uri)
    assert effect is not None and effect.startswith("refused: the actor is not verified")


async def test_one_cannot_move_another(three: tuple[Pair, Node, Account]) -> None:
    pair, clinic, ada_there = three
    mallory = await pair.hospital.actor_of(await pair.hospital.member("mallory"))
    ada = await pair.hospital.actor_of(pair.ada)
    there = (await clinic.actor_of(ada_there)).uri
    sender = Writer(pair.hospital, mallory, pair.society)
    assert await sender.send("Move", ada.uri, target=there) == (
        "refused: an actor may move only itself"
    )
    for target in ("", "not a url", mallory.uri):
        effect = await sender.send("Move", mallory.uri, target=target)
        assert effect is None or effect.startswith(("ignore", "refused"))


async def test_moving_twice_does_nothing_twice(three: tuple[Pair, Node, Account]) -> None:
    pair, clinic, ada_there = three
    new = await move(pair, clinic, ada_there)
    ada = await pair.hospital.actor_of(pair.ada)
    effect = await Writer(pair.hospital, ada, pair.society).send("Move", ada.uri, target=new.uri)
    assert effect == "known"
    assert (await notices(pair.society, pair.bob)).count(NotificationKind.MOVED) == 1


async def test_a_member_who_moves_here_takes_local_followers_over(
    three: tuple[Pair, Node, Account],
) -> None:
    """The new account is of the followers' own instance."""
    pair, _, _ = three
    ada_here = await pair.society.member("ada_here")
    old = await pair.society.remote.find(f"@ada@{pair.hospital.domain}")
    await pair.society.moves.add_alias(ada_here, old)
    target = await pair.hospital.remote.find(f"@ada_here@{pair.society.domain}")
    await pair.hospital.moves.move(pair.ada, target)
    await pair.network.settle()
    here = await pair.society.actor_of(ada_here)
    assert await follows_now(pair.society, pair.bob, here) is FollowState.ACCEPTED


# Blocks -----------------------------------------------------------------------------------------


async def test_a_block_ends_what_there_was_and_hides_their_words(pair: Pair) -> None:
    ada = await pair.follow()
    here, there = await pair.open_case(Audience.VERIFIED)
    assert there is not None
    bob = await pair.hospital.remote.find(f"@bob@{pair.society.domain}")
    await pair.society.cases.reply(pair.bob, there.id, "Catheter.")
    await pair.network.settle()
    assert len((await pair.hospital.cases.thread(pair.ada, here.id)).replies) == 1
    await pair.hospital.blocks.block(pair.ada, bob)
    await pair.hospital.blocks.block(pair.ada, bob)
    await pair.network.settle()
    assert (await pair.hospital.cases.thread(pair.ada, here.id)).replies == ()
    assert await notices(pair.hospital, pair.ada) == []
    assert await follows.between(pair.hospital.db, bob.id, pair.ada.actor_id) is None
    assert await follows_now(pair.society, pair.bob, ada) is None
    # Others read on.
    eve = await pair.hospital.member("eve")
    assert len((await pair.hospital.cases.thread(eve, here.id)).replies) == 1
    # He cannot follow again, and the other side knows it as well.
    with pytest.raises(Forbidden, match="blocked"):
        await pair.society.follows.follow(pair.bob, ada)
    with pytest.raises(Forbidden, match="blocked"):
        await pair.society.cases.reply(pair.bob, there.id, "Once more.")
    with pytest.raises(Forbidden, match="blocked"):
        await pair.society.cases.like(pair.bob, there.id)


async def test_a_block_is_taken_back(pair: Pair) -> None:
    ada = await pair.follow()
    bob = await pair.hospital.remote.find(f"@bob@{pair.society.domain}")
    await pair.hospital.blocks.block(pair.ada, bob)
    await pair.network.settle()
    assert [a.id for a in await pair.hospital.blocks.list(pair.ada)] == [bob.id]
    await pair.hospital.blocks.unblock(pair.ada, bob)
    await pair.network.settle()
    assert await pair.hospital.blocks.list(pair.ada) == []
    await pair.society.follows.follow(pair.bob, ada)
    await pair.network.settle()
    assert await follows_now(pair.society, pair.bob, ada) is FollowState.ACCEPTED


async def test_a_server_that_ignores_the_block_is_refused(pair: Pair) -> None:
    ada = await pair.hospital.actor_of(pair.ada)
    bob_there = await pair.hospital.remote.find(f"@bob@{pair.society.domain}")
    await pair.hospital.blocks.block(pair.ada, bob_there)
    bob = Writer(pair.society, await pair.society.actor_of(pair.bob), pair.hospital)
    assert await bob.send("Follow", ada.uri) == "refused: one of the two blocked the other"


async def test_nobody_takes_back_anothers_block(pair: Pair) -> None:
    bob = Writer(pair.society, await pair.society.actor_of(pair.bob), pair.hospital)
    ada = await pair.hospital.actor_of(pair.ada)
    carol = await pair.society.actor_of(await pair.society.member("carol"))
    assert await bob.send("Block", ada.uri) == "blocked"
    undone = {"type": "Block", "actor": bob.actor.uri, "object": ada.uri}
    other = Writer(pair.society, carol, pair.hospital)
    assert await other.send("Undo", undone) == "refused: the block is somebody else's"
    bare = {"type": "Block", "object": ada.uri}
    assert await other.send("Undo", bare) == "ignore: there was none"
    assert await bob.send("Undo", undone) == "undone"
    assert await bob.send("Block", "https://elsewhere.example/x") == (
        "ignore: there is nobody of that name"
    )


async def test_who_is_blocked_here_reads_no_notice_and_no_page_of_theirs(pair: Pair) -> None:
    """Two members of one instance."""
    eve = await pair.hospital.member("eve")
    case = await pair.hospital.cases.open_case(eve, DRAFT)
    ada = await pair.hospital.actor_of(pair.ada)
    await pair.hospital.follows.follow(eve, ada)
    await pair.hospital.blocks.block(pair.ada, await pair.hospital.actor_of(eve))
    page = await pair.hospital.cases.timeline(pair.ada, show="all")
    assert page.items == ()
    assert (await pair.hospital.cases.by_author(pair.ada, eve.actor_id)).items == ()
    with pytest.raises(NotFound):
        await pair.hospital.cases.get(pair.ada, case.id)
    assert await pair.hospital.follows.state(eve, ada.id) is None


# Reports ----------------------------------------------------------------------------------------


async def test_a_report_is_read_by_stewards_alone(pair: Pair) -> None:
    here, _ = await pair.open_case(Audience.VERIFIED)
    eve = await pair.hospital.member("eve")
    await pair.hospital.reports.report_post(eve, here.id, Reason.PATIENT, "The name is legible.")
    steward = await admin(pair.hospital, await pair.hospital.member("sam"))
    for member in (pair.ada, eve):
        with pytest.raises(Forbidden):
            await pair.hospital.reports.list(member)
    (report,) = (await pair.hospital.reports.list(steward)).items
    assert (report.words, report.reason, report.subject.username) == (
        "The name is legible.", Reason.PATIENT, "ada",
    )  # fmt: skip
    assert [p.id for p in report.posts] == [here.id]
    # It is about somebody here, so there is nobody outside to tell.
    with pytest.raises(Conflict, match="nobody to tell"):
        await pair.hospital.reports.forward(steward, report.id, "")
    row = await pair.hospital.db.fetch_one("SELECT words_sealed FROM reports")
    assert row is not None and b"legible" not in bytes(row["words_sealed"])


async def test_what_may_not_be_read_cannot_be_reported(pair: Pair) -> None:
    here = await pair.hospital.cases.open_case(pair.ada, DRAFT)  # for followers
    eve = await pair.hospital.member("eve")
    with pytest.raises(NotFound):
        await pair.hospital.reports.report_post(eve, here.id, Reason.OTHER, "?")


async def test_a_removed_post_is_gone_everywhere_and_it_is_written_down(pair: Pair) -> None:
    here, there = await pair.open_case(Audience.VERIFIED)
    assert there is not None
    steward = await admin(pair.hospital, await pair.hospital.member("sam"))
    await pair.hospital.reports.report_post(steward, here.id, Reason.PATIENT, "")
    (report,) = (await pair.hospital.reports.list(steward)).items
    await pair.hospital.reports.remove_posts(steward, report.id)
    await pair.network.settle()
    gone = await pair.society.cases.get(pair.bob, there.id)
    assert gone.deleted is not None and gone.html == ""
    with pytest.raises(Conflict, match="meanwhile"):
        await pair.hospital.reports.dismiss(steward, report.id)
    actions = [row.action async for row in moderation.export(pair.hospital.db)]
    assert "posts_removed" in actions
    assert (await pair.hospital.reports.list(steward, State.ACTED)).items[0].id == report.id


async def test_a_forwarded_report_names_no_reporter(pair: Pair) -> None:
    """Bob's server passes on what Bob reported, in its own name and with the steward's words."""
    await pair.follow()
    _, there = await pair.open_case()
    assert there is not None
    steward = await admin(pair.society, await pair.society.member("sam"))
    await pair.society.reports.report_post(pair.bob, there.id, Reason.HARM, "Bob's own words")
    (report,) = (await pair.society.reports.list(steward)).items
    await pair.society.reports.forward(steward, report.id, "Please look at the dose.")
    await pair.network.settle()
    with pytest.raises(Conflict, match="already"):
        await pair.society.reports.forward(steward, report.id, "Again.")
    there_steward = await admin(pair.hospital, await pair.hospital.member("kim"))
    (arrived,) = (await pair.hospital.reports.list(there_steward)).items
    assert arrived.words == "Please look at the dose."
    assert arrived.subject.id == pair.ada.actor_id and len(arrived.posts) == 1
    assert arrived.reporter is not None and arrived.reporter.uri == pair.society.urls.instance_actor
    body = await pair.society.db.fetch_value("SELECT body FROM activities WHERE type = 'Flag'")
    assert "bob" not in body and "own words" not in body


async def test_flags_of_other_platforms(pair: Pair) -> None:
    here, _ = await pair.open_case(Audience.PUBLIC)
    ada = await pair.hospital.actor_of(pair.ada)
    bob = Writer(pair.society, await pair.society.actor_of(pair.bob), pair.hospital)
    # Mastodon: actor and posts in one list; the words with markup are words here.
    flagged = [ada.uri, here.uri]
    assert await bob.send("Flag", flagged, content="<b>rude</b>") == "reported"
    # Lemmy: one post, the words as `summary`.
    assert await bob.send("Flag", here.uri, summary="rude") == "reported"
    assert await bob.send("Flag", here.uri, again=True) == "reported"
    effect = await bob.send("Flag", "https://elsewhere.example/1")
    assert effect == "ignore: it is about nobody here"
    steward = await admin(pair.hospital, await pair.hospital.member("sam"))
    words = {r.words for r in (await pair.hospital.reports.list(steward)).items}
    assert words == {"rude"}


async def test_a_flood_of_reports_is_bounded(pair: Pair) -> None:
    ada = await pair.hospital.actor_of(pair.ada)
    bob = Writer(pair.society, await pair.society.actor_of(pair.bob), pair.hospital)
    effects = [await bob.send("Flag", ada.uri) for _ in range(22)]
    assert effects[:20] == ["reported"] * 20
    assert effects[20:] == ["refused: this server has too many reports waiting"] * 2


async def test_the_flag_is_on_no_outbox(pair: Pair) -> None:
    await pair.follow()
    _, there = await pair.open_case()
    assert there is not None
    steward = await admin(pair.society, await pair.society.member("sam"))
    await pair.society.reports.report_post(pair.bob, there.id, Reason.OTHER, "")
    (report,) = (await pair.society.reports.list(steward)).items
    await pair.society.reports.forward(steward, report.id, "")
    await pair.network.settle()
    instance = pair.society.actor
    assert await activities.count_published(pair.society.db, instance.id, Audience) == 0


# Reactions of other platforms ---------------------------------------------------------------------


async def test_an_emoji_is_a_thanks(pair: Pair) -> None:
    """Pleroma's EmojiReact, and its Undo."""
    here, _ = await pair.open_case(Audience.PUBLIC)
    bob = Writer(pair.society, await pair.society.actor_of(pair.bob), pair.hospital)
    assert await bob.send("EmojiReact", here.uri, content="☕") == "stored"
    assert (await pair.hospital.cases.get(pair.ada, here.id)).likes == 1
    undone = {"type": "EmojiReact", "actor": bob.actor.uri, "object": here.uri, "content": "☕"}
    assert await bob.send("Undo", undone) == "undone"
    assert (await pair.hospital.cases.get(pair.ada, here.id)).likes == 0


async def test_what_is_taken_back_may_be_named_by_its_id_alone(pair: Pair) -> None:
    here, _ = await pair.open_case(Audience.PUBLIC)
    bob = Writer(pair.society, await pair.society.actor_of(pair.bob), pair.hospital)
    carol = await pair.society.actor_of(await pair.society.member("carol"))
    assert await bob.send("Like", here.uri) == "stored"
    like = pair.society.urls.activity("bob-1")
    other = Writer(pair.society, carol, pair.hospital)
    assert await other.send("Undo", like) == "ignore: what is taken back is not known here"
    assert (await pair.hospital.cases.get(pair.ada, here.id)).likes == 1
    assert await bob.send("Undo", like) == "undone"
    assert (await pair.hospital.cases.get(pair.ada, here.id)).likes == 0
