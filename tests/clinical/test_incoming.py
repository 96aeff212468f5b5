"""What other servers send: repeated, out of order, forged, late."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from fedidoc.clock import DAY, HOUR, MINUTE
from fedidoc.errors import NotFound
from fedidoc.model import Audience, CaseFields, CaseState, Media, NotificationKind, PostKind
from fedidoc.storage import cases
from tests.clinical.clinic import CARDIOLOGY, Clinic, draft, remote

FIELDS = CaseFields(CARDIOLOGY, "60-69", "male", "p", "f", "q")


async def test_a_post_is_stored_once_whatever_comes(clinic: Clinic) -> None:
    ben = await clinic.colleague("ben")
    post = remote(ben, "n1")
    assert await clinic.receive(post, post) == ["stored", "known"]
    assert await clinic.receive(post) == ["known"]
    assert await clinic.receive() == []
    assert await clinic.db.fetch_value("SELECT COUNT(*) FROM posts") == 1


async def test_a_remote_case_is_whole(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    picture = Media("m1", "A film", "image/png", 3, 4, None, "https://society.example/m/1.png")
    await clinic.receive(
        remote(ben, "case", title="Theirs", fields=FIELDS, media=(picture,), sensitive=True,
               html="<p onclick=x>hello<script>x</script><img src=x></p>", url="https://s.example/1")
    )  # fmt: skip
    post = (await clinic.cases.timeline(ada)).items[0]
    assert (post.kind, post.local, post.source) == (PostKind.CASE, False, None)
    assert post.fields == FIELDS
    assert post.html == "<p>hello</p>"
    assert post.media == (picture,)
    assert (post.sensitive, post.url, post.author) == (True, "https://s.example/1", ben)


async def test_an_answer_comes_home(clinic: Clinic) -> None:
    ada, cy, ben = (
        await clinic.member("ada"),
        await clinic.member("cy"),
        await clinic.colleague("b"),
    )
    post = await clinic.cases.open_case(ada, draft())
    answer = remote(ben, "a", in_reply_to=post.uri, recipients=(ada.actor_id, cy.actor_id))
    assert await clinic.receive(answer) == ["stored"]
    thread = await clinic.cases.thread(ada, post.id)
    assert [(r.html, r.parent_id, r.case_id) for r in thread.replies] == [
        ("<p>a</p>", post.id, post.id)
    ]
    assert thread.root.fields is not None
    assert thread.root.fields.state is CaseState.ANSWERED
    told = {}
    for who in (ada, cy):
        told[who.username] = [n.kind for n in (await clinic.notifications.list(who)).items]
    assert told == {"ada": [NotificationKind.REPLIED], "cy": [NotificationKind.MENTIONED]}
    await clinic.receive(answer)
    assert await clinic.notifications.unread(ada) == 1


async def test_an_answer_to_an_answer_is_told_to_both_authors(clinic: Clinic) -> None:
    ada, cy, ben = (
        await clinic.member("ada"),
        await clinic.member("cy"),
        await clinic.colleague("b"),
    )
    post = await clinic.cases.open_case(ada, draft())
    first = await clinic.cases.reply(cy, post.id, "First")
    await clinic.receive(remote(ben, "below", in_reply_to=first.uri))
    assert await clinic.notifications.unread(cy) == 1
    assert await clinic.notifications.unread(ada) == 2


async def test_an_authors_own_addition_is_no_answer(clinic: Clinic) -> None:
    ben = await clinic.colleague("ben")
    case = remote(ben, "case", fields=FIELDS)
    await clinic.receive(case, remote(ben, "more", in_reply_to=case.uri))
    assert await clinic.db.fetch_value("SELECT state FROM cases") == "open"


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("together", [True, False])
async def test_a_thread_stands_whatever_order_it_comes_in(
    clinic: Clinic, order: tuple[int, ...], together: bool
) -> None:
    ben, eve = await clinic.colleague("ben"), await clinic.colleague("eve", "other.example")
    case = remote(ben, "case", fields=FIELDS)
    first = remote(eve, "first", in_reply_to=case.uri)
    second = remote(ben, "second", in_reply_to=first.uri)
    third = remote(eve, "third", in_reply_to=second.uri)
    posts = [case, first, second, third]
    batches = [[posts[n] for n in order]] if together else [[posts[n]] for n in order]
    for batch in batches:
        assert await clinic.receive(*batch) == ["stored"] * len(batch)
    rows = {r["uri"]: r for r in await clinic.db.fetch_all("SELECT * FROM posts")}
    root = rows[case.uri]["id"]
    assert {r["case_id"] for r in rows.values()} == {root}
    parents = [rows[p.uri]["parent_id"] for p in posts]
    assert parents == [None, *(rows[p.uri]["id"] for p in posts[:3])]
    assert await clinic.db.fetch_value("SELECT state FROM cases") == "answered"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("length", [1, 2, 3])
async def test_a_ring_of_replies_ends_nothing(clinic: Clinic, length: int, together: bool) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    names = [f"https://society.example/notes/{n}" for n in range(length)]
    ring = [remote(ben, str(n), in_reply_to=names[(n + 1) % length]) for n in range(length)]
    for batch in [ring] if together else [[post] for post in ring]:
        assert await clinic.receive(*batch) == ["stored"] * len(batch)
    rows = await clinic.db.fetch_all("SELECT id, parent_id, case_id FROM posts")
    tops = [r for r in rows if r["parent_id"] is None]
    assert len(tops) == 1
    assert {r["case_id"] for r in rows} == {tops[0]["id"]}
    thread = await clinic.cases.thread(ada, rows[0]["id"])
    assert len(thread.replies) == length - 1


async def test_times_that_cannot_be_are_clamped_and_order_the_page(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    now = clinic.clock.now()
    times = {"future": now + 400 * DAY, "past": -5, "old": now - 3 * HOUR, "odd": 1 << 62}
    for name, at in times.items():
        await clinic.receive(remote(ben, name, title=name, fields=FIELDS, published=at))
    clinic.clock.advance(MINUTE)
    await clinic.cases.open_case(ada, draft(title="mine"))
    page = await clinic.cases.timeline(ada, None, "all")
    assert page.items[0].title == "mine"
    assert page.items[-1].title == "old"
    assert {p.title: p.published for p in page.items if p.title != "old"} == {
        "mine": now + MINUTE, "future": now, "past": now, "odd": now,
    }  # fmt: skip


async def test_only_a_newer_version_replaces_a_post(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    now = clinic.clock.now()
    post = remote(ben, "case", fields=FIELDS, title="One", published=now - HOUR)
    await clinic.receive(post)
    receive = clinic.cases.receive_edit
    two = replace(post, title="Two", edited=now - MINUTE, html="<p>new<script>x</script></p>",
                  recipients=(ada.actor_id,))  # fmt: skip
    assert await clinic.inside(receive, two) == "edited"
    for stale in (now - MINUTE, now - 2 * MINUTE, now - HOUR):
        answer = await clinic.inside(receive, replace(post, title="Old", edited=stale))
        assert answer.startswith("ignore")
    seen = (await clinic.cases.timeline(ada)).items[0]
    assert (seen.title, seen.html, seen.edited) == ("Two", "<p>new</p>", now - MINUTE)
    assert [n.kind for n in (await clinic.notifications.list(ada)).items] == [
        NotificationKind.MENTIONED
    ]


async def test_an_edit_cannot_undo_an_answer_that_is_here(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    post = remote(ben, "case", fields=FIELDS)
    await clinic.receive(post)
    root = (await clinic.cases.timeline(ada)).items[0]
    await clinic.cases.reply(ada, root.id, "Yes")
    clinic.clock.advance(HOUR)
    later = replace(post, edited=clinic.clock.now())
    await clinic.inside(clinic.cases.receive_edit, later)
    assert await clinic.db.fetch_value("SELECT state FROM cases") == "answered"
    clinic.clock.advance(HOUR)
    closed = replace(FIELDS, state=CaseState.CLOSED, outcome="Well")
    await clinic.inside(
        clinic.cases.receive_edit, replace(post, fields=closed, edited=clinic.clock.now())
    )
    assert (await clinic.cases.get(ada, root.id)).fields == closed


async def test_pictures_follow_an_edit(clinic: Clinic) -> None:
    ben = await clinic.colleague("ben")
    pictures = [
        Media(f"m{n}", "alt", "image/png", 1, 1, None, f"https://society.example/{n}")
        for n in range(3)
    ]
    post = remote(ben, "case", fields=FIELDS, media=tuple(pictures[:2]))
    await clinic.receive(post)
    clinic.clock.advance(MINUTE)
    edited = replace(post, media=tuple(pictures[2:]), edited=clinic.clock.now())
    await clinic.inside(clinic.cases.receive_edit, edited)
    stored = await cases.by_uri(clinic.db, post.uri)
    assert stored is not None
    assert [m.remote_url for m in stored.media] == ["https://society.example/2"]


async def test_nobody_edits_or_deletes_what_is_not_theirs(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    ben, eve = await clinic.colleague("ben"), await clinic.colleague("eve")
    post = remote(ben, "case", fields=FIELDS)
    await clinic.receive(post)
    mine = await clinic.cases.open_case(ada, draft())
    later = clinic.clock.now() + HOUR
    for call in (
        clinic.inside(clinic.cases.receive_edit, replace(post, author=eve, edited=later)),
        clinic.inside(clinic.cases.receive_delete, post.uri, eve),
        clinic.inside(clinic.cases.receive_edit, remote(ben, "x", uri=mine.uri, edited=later)),
        clinic.inside(clinic.cases.receive_delete, mine.uri, ben),
    ):
        assert (await call).startswith("refused")
    forged = remote(await clinic.actor(ada), "x", uri=mine.uri, edited=later)
    assert (await clinic.inside(clinic.cases.receive_edit, forged)).startswith("refused")
    assert len((await clinic.cases.timeline(ada, None, "all")).items) == 2


async def test_a_deletion_takes_the_words_and_keeps_the_answers(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    post = remote(ben, "case", fields=replace(FIELDS, presentation="Zebra"), title="Zebra")
    await clinic.receive(post)
    root = (await clinic.cases.timeline(ada)).items[0]
    await clinic.cases.reply(ada, root.id, "Yes")
    assert await clinic.inside(clinic.cases.receive_delete, post.uri, ben) == "deleted"
    assert await clinic.inside(clinic.cases.receive_delete, post.uri, ben) == "known"
    assert (await clinic.receive(post))[0].startswith("ignore")
    clinic.clock.advance(HOUR)
    again = replace(post, edited=clinic.clock.now())
    assert (await clinic.inside(clinic.cases.receive_edit, again)).startswith("ignore")
    thread = await clinic.cases.thread(ada, root.id)
    assert (thread.root.title, thread.root.html, thread.root.fields) == ("", "", None)
    assert [r.html for r in thread.replies] == ["<p>Yes</p>"]


async def test_a_create_that_comes_after_its_delete_is_not_stored(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    post = remote(ben, "late", fields=FIELDS)
    assert (await clinic.inside(clinic.cases.receive_delete, post.uri, ben)).startswith("deleted")
    assert (await clinic.receive(post))[0].startswith("ignore")
    assert (await clinic.cases.timeline(ada, None, "all")).items == ()
    assert (await clinic.cases.by_author(ada, ben.id)).items == ()
    assert await cases.by_uri(clinic.db, post.uri) is None
    below = remote(ben, "below", in_reply_to=post.uri)
    assert await clinic.receive(below) == ["stored"]
    stored = await cases.by_uri(clinic.db, below.uri)
    assert stored is not None
    assert (stored.parent_id, stored.case_id) == (None, stored.id)


async def test_a_neighbours_delete_does_not_stop_a_post_that_is_to_come(clinic: Clinic) -> None:
    ben, eve = await clinic.colleague("ben"), await clinic.colleague("eve")
    post = remote(ben, "n1")
    await clinic.inside(clinic.cases.receive_delete, post.uri, eve)
    assert await clinic.receive(post) == ["stored"]
    stored = await cases.by_uri(clinic.db, post.uri)
    assert stored is not None
    assert stored.deleted is None


async def test_an_edit_of_what_never_came_is_stored(clinic: Clinic) -> None:
    ben = await clinic.colleague("ben")
    assert await clinic.inside(clinic.cases.receive_edit, remote(ben, "n1")) == "stored"


async def test_likes_and_announces(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    public = await clinic.cases.open_case(ada, draft(audience=Audience.PUBLIC))
    closed = await clinic.cases.open_case(ada, draft())
    room, ids = clinic.cases, iter(f"https://society.example/r/{n}" for n in range(20))
    effects = [
        await clinic.inside(room.receive_like, ben, public.uri, next(ids)),
        await clinic.inside(room.receive_like, ben, public.uri, next(ids)),
        await clinic.inside(room.receive_announce, ben, public.uri, next(ids)),
        await clinic.inside(room.receive_announce, ben, closed.uri, next(ids)),
        await clinic.inside(room.receive_like, ben, "https://st-olaf.example/x", next(ids)),
    ]
    assert [e.partition(":")[0] for e in effects] == [
        "stored", "known", "stored", "refused", "ignore",
    ]  # fmt: skip
    assert (await room.get(ada, public.id)).likes == 1
    assert [n.kind for n in (await clinic.notifications.list(ada)).items] == [
        NotificationKind.ANNOUNCED, NotificationKind.LIKED,
    ]  # fmt: skip
    assert await clinic.inside(room.receive_unlike, ben, public.uri) == "undone"
    assert (await clinic.inside(room.receive_unlike, ben, public.uri)).startswith("ignore")
    assert await clinic.inside(room.receive_unannounce, ben, public.uri) == "undone"
    assert (await clinic.notifications.list(ada)).items == ()


async def test_an_actor_that_is_gone_takes_its_words_along(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    mine = await clinic.cases.open_case(ada, draft(audience=Audience.PUBLIC))
    await clinic.receive(remote(ben, "a", in_reply_to=mine.uri), remote(ben, "c", fields=FIELDS))
    await clinic.inside(clinic.cases.receive_like, ben, mine.uri, "https://society.example/l/1")
    assert await clinic.notifications.unread(ada) == 2
    assert await clinic.inside(clinic.cases.receive_actor_gone, ben) == "deleted"
    thread = await clinic.cases.thread(ada, mine.id)
    assert (thread.replies, thread.root.likes) == ((), 0)
    assert await clinic.notifications.unread(ada) == 0
    texts = await clinic.db.fetch_all("SELECT html FROM posts WHERE author_id = ?", (ben.id,))
    assert [row["html"] for row in texts] == ["", ""]
    me = await clinic.actor(ada)
    assert (await clinic.inside(clinic.cases.receive_actor_gone, me)).startswith("refused")


async def test_a_direct_post_is_for_those_it_names(clinic: Clinic) -> None:
    ada, cy, ben = (
        await clinic.member("ada"),
        await clinic.member("cy"),
        await clinic.colleague("b"),
    )
    note = remote(ben, "dm", audience=Audience.DIRECT, recipients=(ada.actor_id,))
    await clinic.receive(note)
    stored = await cases.by_uri(clinic.db, note.uri)
    assert stored is not None
    assert (await clinic.cases.get(ada, stored.id)).html == "<p>dm</p>"
    assert (await clinic.cases.thread(ada, stored.id)).may_answer
    with pytest.raises(NotFound):
        await clinic.cases.get(cy, stored.id)


async def test_a_batch_costs_a_fixed_number_of_statements(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    post = await clinic.cases.open_case(ada, draft())

    async def statements(count: int, tag: str) -> int:
        batch = [
            remote(ben, f"{tag}{n}", in_reply_to=post.uri, recipients=(ada.actor_id,))
            for n in range(count)
        ]
        async with clinic.db.transaction() as tx:
            calls = 0
            session = tx._session
            real = {name: getattr(session, name) for name in ("fetch", "run", "insert")}

            def counted(name: str) -> object:
                async def call(*args: object, **kwargs: object) -> object:
                    nonlocal calls
                    calls += 1
                    return await real[name](*args, **kwargs)

                return call

            class Counting:
                def __getattr__(self, name: str) -> object:
                    return counted(name) if name in real else getattr(session, name)

            tx._session = Counting()  # type: ignore[assignment]
            effects = await clinic.cases.receive_posts(tx, batch)
            tx._session = session
        assert effects == ["stored"] * count
        return calls

    assert await statements(1, "a") == await statements(100, "b") <= 8
    assert await clinic.notifications.unread(ada) == 101
