"""Following, here and with other servers."""

from __future__ import annotations

import pytest

from fedidoc.errors import BadInput, NotFound
from fedidoc.model import EventKind, FollowState, NotificationKind
from fedidoc.storage import actors, follows
from tests.clinical.clinic import Clinic


async def approving(clinic: Clinic, actor_id: str) -> None:
    async with clinic.db.transaction() as tx:
        await tx.execute("UPDATE actors SET approves_follows = 1 WHERE id = ?", (actor_id,))


async def kinds(clinic: Clinic, account: object) -> list[NotificationKind]:
    return [n.kind for n in (await clinic.notifications.list(account)).items]  # type: ignore[arg-type]


async def test_a_local_follow_works_at_once(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    follow = await clinic.follows.follow(ada, await clinic.actor(bob))
    assert follow.state is FollowState.ACCEPTED
    assert follow.uri == f"https://st-olaf.example/follows/{follow.id}"
    assert await clinic.follows.follow(ada, await clinic.actor(bob)) == follow
    assert await clinic.follows.counts(bob.actor_id) == (1, 0)
    assert [a.username for a in await clinic.follows.followers(bob.actor_id)] == ["ada"]
    assert [a.username for a in await clinic.follows.following(ada.actor_id)] == ["bob"]
    assert await kinds(clinic, bob) == [NotificationKind.FOLLOWED]
    assert await clinic.follows.followed_by(bob, [ada.actor_id, bob.actor_id]) == {ada.actor_id}
    assert await clinic.follows.followed_by(ada, [bob.actor_id]) == set()
    assert await clinic.events() == []
    await clinic.follows.unfollow(ada, await clinic.actor(bob))
    assert await clinic.follows.state(ada, bob.actor_id) is None
    assert await kinds(clinic, bob) == []


async def test_approval(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    await approving(clinic, bob.actor_id)
    asked = await clinic.follows.follow(ada, await clinic.actor(bob))
    assert asked.state is FollowState.REQUESTED
    assert await clinic.follows.counts(bob.actor_id) == (0, 0)
    assert [a.username for a in await clinic.follows.requests(bob)] == ["ada"]
    assert await kinds(clinic, bob) == [NotificationKind.FOLLOW_REQUESTED]
    await clinic.follows.approve(bob, ada.actor_id)
    await clinic.follows.approve(bob, ada.actor_id)
    assert await clinic.follows.state(ada, bob.actor_id) is FollowState.ACCEPTED
    assert await kinds(clinic, ada) == [NotificationKind.FOLLOW_ACCEPTED]
    assert await kinds(clinic, bob) == []
    await clinic.follows.refuse(bob, ada.actor_id)
    assert await clinic.follows.state(ada, bob.actor_id) is None
    with pytest.raises(NotFound):
        await clinic.follows.approve(bob, ada.actor_id)


async def test_a_remote_follow_is_requested_until_it_is_accepted(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    asked = await clinic.follows.follow(ada, ben)
    assert asked.state is FollowState.REQUESTED
    assert await clinic.events() == [(EventKind.FOLLOW_REQUESTED, asked.id)]
    assert await follows.followed_ids(clinic.db, ada.actor_id) == set()
    assert await clinic.inside(clinic.follows.receive_accept, asked) == "accepted"
    assert await clinic.inside(clinic.follows.receive_accept, asked) == "known"
    assert await follows.followed_ids(clinic.db, ada.actor_id) == {ben.id}
    assert await kinds(clinic, ada) == [NotificationKind.FOLLOW_ACCEPTED]
    await clinic.follows.unfollow(ada, ben)
    assert (await clinic.events())[-1] == (EventKind.FOLLOW_UNDONE, asked.id)
    detail = await clinic.db.fetch_value("SELECT detail FROM events ORDER BY id DESC LIMIT 1")
    assert asked.uri in detail
    assert ben.id in detail
    await clinic.follows.unfollow(ada, ben)
    assert len(await clinic.events()) == 2


async def test_a_rejected_follow_is_gone(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    asked = await clinic.follows.follow(ada, ben)
    await clinic.inside(clinic.follows.receive_reject, asked)
    assert await clinic.follows.state(ada, ben.id) is None


async def test_a_remote_follower_is_accepted_and_answered_again(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    me = await clinic.actor(ada)
    receive = clinic.follows.receive_follow
    assert await clinic.inside(receive, ben, me, "https://society.example/f/1") == "accepted"
    assert await clinic.inside(receive, ben, me, "https://society.example/f/1") == "accepted"
    assert await clinic.inside(receive, ben, me, "https://society.example/f/2") == "accepted"
    assert [k for k, _ in await clinic.events()] == [EventKind.FOLLOW_ACCEPTED] * 3
    assert await kinds(clinic, ada) == [NotificationKind.FOLLOWED]
    follow = await follows.by_uri(clinic.db, "https://society.example/f/2")
    assert follow is not None
    assert await clinic.inside(clinic.follows.receive_undo, follow) == "undone"
    assert await clinic.follows.counts(ada.actor_id) == (0, 0)
    assert await kinds(clinic, ada) == []


async def test_a_remote_follower_waits_where_approval_is_asked(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    await approving(clinic, ada.actor_id)
    me = await clinic.actor(ada)
    for _ in range(2):
        answer = await clinic.inside(clinic.follows.receive_follow, ben, me, "https://f.example/1")
        assert answer.startswith("asked")
    assert await clinic.events() == []
    await clinic.follows.approve(ada, ben.id)
    assert [k for k, _ in await clinic.events()] == [EventKind.FOLLOW_ACCEPTED]
    await clinic.follows.refuse(ada, ben.id)
    assert [k for k, _ in await clinic.events()][-1] is EventKind.FOLLOW_REJECTED
    assert await clinic.follows.counts(ada.actor_id) == (0, 0)


async def test_a_follow_id_is_used_by_one_pair_only(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    ben, eve = await clinic.colleague("ben"), await clinic.colleague("eve", "other.example")
    receive = clinic.follows.receive_follow
    await clinic.inside(receive, ben, await clinic.actor(ada), "https://society.example/f/1")
    stolen = await clinic.inside(
        receive, eve, await clinic.actor(bob), "https://society.example/f/1"
    )
    assert stolen.startswith("refused")
    assert await clinic.follows.counts(bob.actor_id) == (0, 0)


async def test_nobody_follows_themselves_or_who_is_gone(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    with pytest.raises(BadInput):
        await clinic.follows.follow(ada, await clinic.actor(ada))
    async with clinic.db.transaction() as tx:
        await tx.execute("UPDATE actors SET deleted = 1 WHERE id = ?", (ben.id,))

    gone = await actors.get(clinic.db, ben.id)
    assert gone is not None
    with pytest.raises(NotFound):
        await clinic.follows.follow(ada, gone)
