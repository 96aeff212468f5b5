"""What members do with cases, on a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fedidoc.clinical.cases import Cases
from fedidoc.clinical.phi import GUARD, IdentifiersFound
from fedidoc.clock import DAY, MINUTE
from fedidoc.errors import BadInput, Conflict, FedidocError, Forbidden, NotFound
from fedidoc.model import (
    Actor,
    Audience,
    CaseFields,
    CaseState,
    ClearedText,
    EventKind,
    NotificationKind,
    PostKind,
    Right,
    Role,
    Standing,
)
from tests.clinical.clinic import NEUROLOGY, Clinic, draft, remote


async def test_a_case_is_stored_cleared_with_its_event(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    post = await clinic.cases.open_case(ada, draft(findings="BP **120/80**"))
    assert (post.kind, post.audience, post.local) == (PostKind.CASE, Audience.VERIFIED, True)
    assert post.uri == f"https://st-olaf.example/objects/{post.id}"
    assert post.case_id == post.id
    assert isinstance(post.source, ClearedText)
    assert post.source.guard == GUARD
    assert post.fields is not None
    assert (post.fields.age_band, post.fields.sex, post.fields.state) == (
        "60-69", "male", CaseState.OPEN,
    )  # fmt: skip
    assert "<strong>120/80</strong>" in post.html
    assert await clinic.events() == [(EventKind.POST_PUBLISHED, post.id)]
    assert clinic.woken == ["events"]
    assert await clinic.cases.get(ada, post.id) == post


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": " "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"presentation": ""}, "presentation"),
        ({"findings": "x" * 20_001}, "findings"),
        ({"question": "\n"}, "question"),
        ({"age_band": "91"}, "age_band"),
        ({"age_band": "90-99"}, "age_band"),
        ({"sex": "m"}, "sex"),
        ({"audience": Audience.DIRECT}, "audience"),
        ({"media": (("m1", " "),)}, "alt-m1"),
        ({"media": (("m1", "Chest film"),)}, "alt-m1"),
        ({"media": tuple((f"m{n}", "x") for n in range(9))}, "media"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_stored(
    clinic: Clinic, changes: dict[str, object], field: str
) -> None:
    ada = await clinic.member("ada")
    with pytest.raises(BadInput) as caught:
        await clinic.cases.open_case(ada, draft(**changes))
    assert caught.value.field == field
    assert await clinic.events() == []
    assert await clinic.db.fetch_value("SELECT COUNT(*) FROM posts") == 0


async def test_every_text_of_a_case_passes_the_guard(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    held = draft(
        title="MRN 123456",
        presentation="Seen 5/6/2023",
        findings="a 93-year-old",
        question="call 555-123-4567?",
        media=(("m1", "Film of a.b@example.com"),),
    )
    with pytest.raises(IdentifiersFound) as caught:
        await clinic.cases.open_case(ada, held)
    assert set(caught.value.findings) == {
        "title", "presentation", "findings", "question", "alt-m1",
    }  # fmt: skip
    post = await clinic.cases.open_case(ada, draft())
    calls = [
        clinic.cases.reply(ada, post.id, "MRN 123456"),
        clinic.cases.close(ada, post.id, outcome="ok", teaching="SSN 123-45-6789"),
        clinic.cases.close(ada, post.id, outcome="died on March 5th"),
        clinic.cases.edit_case(ada, post.id, held),
    ]
    for call in calls:
        with pytest.raises(IdentifiersFound):
            await call
    assert (await clinic.cases.get(ada, post.id)) == post


async def test_a_confirmed_warning_is_recorded(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    asked = draft(findings="As in https://journal.example/a")
    with pytest.raises(IdentifiersFound):
        await clinic.cases.open_case(ada, asked)
    post = await clinic.cases.open_case(ada, replace(asked, confirmed=("url", "date")))
    assert post.source is not None
    assert post.source.confirmed == ("url",)


async def test_a_form_sent_twice_makes_one_post(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    opened = await asyncio.gather(
        *(clinic.cases.open_case(ada, draft(once="f1")) for _ in range(4))
    )
    assert len({post.id for post in opened}) == 1
    again = await clinic.cases.open_case(ada, draft(once="f1", title="Other"))
    assert again == opened[0]
    replies = await asyncio.gather(
        *(clinic.cases.reply(ada, again.id, "One more", once="f2") for _ in range(4))
    )
    assert len({post.id for post in replies}) == 1
    assert len(await clinic.events()) == 2


@pytest.mark.parametrize(
    ("standing", "role"),
    [
        (Standing.NEW, Role.PHYSICIAN),
        (Standing.APPLIED, Role.PHYSICIAN),
        (Standing.REFUSED, Role.PHYSICIAN),
        (Standing.SUSPENDED, Role.PHYSICIAN),
        (Standing.VERIFIED, Role.STAFF),
    ],
)
async def test_whoever_is_no_verified_clinician_reads_and_writes_nothing(
    clinic: Clinic, standing: Standing, role: Role
) -> None:
    ada = await clinic.member("ada")
    post = await clinic.cases.open_case(ada, draft(audience=Audience.PUBLIC))
    other = await clinic.member("eve", standing=standing, role=role)
    for call in (
        clinic.cases.open_case(other, draft()),
        clinic.cases.reply(other, post.id, "Yes"),
        clinic.cases.get(other, post.id),
        clinic.cases.thread(other, post.id),
        clinic.cases.timeline(other),
        clinic.cases.by_author(other, ada.actor_id),
        clinic.cases.like(other, post.id),
        clinic.media.open(other, "x.png"),
        clinic.follows.follow(other, await clinic.actor(ada)),
    ):
        with pytest.raises(Forbidden):
            await call


@pytest.mark.parametrize("right", [Right.READ, Right.ANSWER, Right.OPEN])
async def test_each_right_is_asked_for(clinic: Clinic, right: Right) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    post = await clinic.cases.open_case(ada, draft(audience=Audience.PUBLIC))
    await clinic.cases.reply(bob, post.id, "Yes")
    eve = await clinic.member("eve", rights=frozenset(Right) - {right})
    needs = {
        Right.READ: [
            lambda: clinic.cases.get(eve, post.id),
            lambda: clinic.cases.thread(eve, post.id),
            lambda: clinic.cases.timeline(eve),
            lambda: clinic.cases.like(eve, post.id),
            lambda: clinic.media.open(eve, "x.png"),
            lambda: clinic.follows.follow(eve, post.author),
        ],
        Right.ANSWER: [lambda: clinic.cases.reply(eve, post.id, "No")],
        Right.OPEN: [
            lambda: clinic.cases.open_case(eve, draft()),
            lambda: clinic.media.put(eve, b""),
        ],
    }
    for call in needs[right]:
        with pytest.raises(Forbidden, match="Your level here"):
            await call()
    if right is Right.READ:
        # Who may not read may not write either: every answer shows what it answers.
        for call in needs[Right.ANSWER] + needs[Right.OPEN]:
            with pytest.raises(Forbidden, match="reading cases"):
                await call()
        return
    thread = await clinic.cases.thread(eve, post.id)
    assert thread.may_answer is (right is Right.OPEN)
    if right is Right.OPEN:
        await clinic.cases.reply(eve, post.id, "No")
    else:
        await clinic.cases.open_case(eve, draft())


async def test_an_answer_changes_the_state_and_is_told(clinic: Clinic) -> None:
    ada, bob, cy = [await clinic.member(name) for name in ("ada", "bob", "cy")]
    post = await clinic.cases.open_case(ada, draft())
    await clinic.cases.reply(ada, post.id, "I forgot to say: no drugs.")
    assert _state(await clinic.cases.get(ada, post.id)) is CaseState.OPEN
    answer = await clinic.cases.reply(bob, post.id, "Stop the test, @cy. See @nobody@x.example")
    assert _state(await clinic.cases.get(ada, post.id)) is CaseState.ANSWERED
    assert answer.audience is Audience.VERIFIED
    assert set(answer.recipients) == {ada.actor_id, cy.actor_id}
    assert (answer.parent_id, answer.case_id, answer.in_reply_to) == (post.id, post.id, post.uri)
    below = await clinic.cases.reply(cy, answer.id, "I agree")
    assert (below.parent_id, below.case_id) == (answer.id, post.id)
    to_ada = (await clinic.notifications.list(ada)).items
    assert [(n.kind, n.actor and n.actor.username, n.read) for n in to_ada] == [
        (NotificationKind.REPLIED, "cy", False),
        (NotificationKind.REPLIED, "bob", False),
    ]
    to_cy = (await clinic.notifications.list(cy)).items
    assert [n.kind for n in to_cy] == [NotificationKind.MENTIONED]
    assert await clinic.notifications.unread(cy) == 1
    await clinic.notifications.mark_read(cy)
    assert await clinic.notifications.unread(cy) == 0


async def test_close_with_outcome_and_reopen(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    post = await clinic.cases.open_case(ada, draft())
    with pytest.raises(BadInput) as caught:
        await clinic.cases.close(ada, post.id, outcome=" ")
    assert caught.value.field == "outcome"
    closed = await clinic.cases.close(ada, post.id, outcome="He recovered.", teaching="Ask first.")
    assert closed.fields is not None
    assert (closed.fields.state, closed.fields.outcome) == (CaseState.CLOSED, "He recovered.")
    assert "Ask first." in closed.html
    assert closed.source is not None
    assert "He recovered." in closed.source.text
    with pytest.raises(Conflict):
        await clinic.cases.close(ada, post.id, outcome="Again")
    await clinic.cases.reply(bob, post.id, "Thank you")
    assert _state(await clinic.cases.get(bob, post.id)) is CaseState.CLOSED
    opened = await clinic.cases.reopen(ada, post.id)
    assert _state(opened) is CaseState.ANSWERED
    with pytest.raises(Conflict):
        await clinic.cases.reopen(ada, post.id)
    kinds = [kind for kind, _ in await clinic.events()]
    assert kinds.count(EventKind.POST_EDITED) == 2


async def test_an_edit_keeps_audience_state_and_outcome(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    post = await clinic.cases.open_case(ada, draft())
    await clinic.cases.close(ada, post.id, outcome="He recovered.")
    changed = draft(title="Better title", audience=Audience.PUBLIC, age_band=None)
    edited = await clinic.cases.edit_case(ada, post.id, changed)
    assert (edited.title, edited.audience) == ("Better title", Audience.VERIFIED)
    assert edited.fields is not None
    assert (edited.fields.outcome, edited.fields.state) == ("He recovered.", CaseState.CLOSED)
    assert edited.fields.age_band is None
    assert edited.source is not None
    assert "He recovered." in edited.source.text


async def test_edits_within_one_second_are_each_newer_in_whole_seconds(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    post = await clinic.cases.open_case(ada, draft())
    times = [post.published]
    for title in ("Two", "Three"):
        edited = await clinic.cases.edit_case(ada, post.id, draft(title=title))
        assert edited.edited is not None
        times.append(edited.edited)
    assert [t // 1000 for t in times] == sorted({t // 1000 for t in times})


async def test_only_the_author_changes_a_post(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    post = await clinic.cases.open_case(ada, draft())
    answer = await clinic.cases.reply(bob, post.id, "Yes")
    for call in (
        clinic.cases.edit_case(bob, post.id, draft()),
        clinic.cases.delete(bob, post.id),
        clinic.cases.close(bob, post.id, outcome="x"),
        clinic.cases.reopen(bob, post.id),
        clinic.cases.edit_reply(ada, answer.id, "No"),
        clinic.cases.delete(ada, answer.id),
        clinic.cases.ledger(bob, post.id),
        clinic.cases.delete(ada, "nothing"),
    ):
        with pytest.raises(NotFound):
            await call
    edited = await clinic.cases.edit_reply(bob, answer.id, "Yes, **twice**")
    assert "<strong>twice</strong>" in edited.html
    assert edited.edited is not None


async def test_a_deleted_case_leaves_no_words(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    post = await clinic.cases.open_case(ada, draft(title="Zebra", presentation="Okapi"))
    await clinic.cases.reply(bob, post.id, "Answer")
    await clinic.cases.like(bob, post.id)
    await clinic.cases.delete(ada, post.id)
    for table in ("posts", "cases", "events", "notifications"):
        rows = await clinic.db.fetch_all(f"SELECT * FROM {table}")
        assert not any("Zebra" in str(v) or "Okapi" in str(v) for row in rows for v in tuple(row))
    assert (await clinic.events())[-1] == (EventKind.POST_DELETED, post.id)
    thread = await clinic.cases.thread(bob, post.id)
    assert (thread.root.deleted is not None, thread.may_answer) == (True, False)
    assert [reply.html for reply in thread.replies] == ["<p>Answer</p>"]
    with pytest.raises(Conflict):
        await clinic.cases.reply(bob, post.id, "Another")
    with pytest.raises(NotFound):
        await clinic.cases.delete(ada, post.id)
    assert (await clinic.cases.timeline(bob, None, "all")).items == ()


async def test_what_is_deleted_while_somebody_writes_is_not_answered(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    post = await clinic.cases.open_case(ada, draft())
    look_up = Cases._named

    async def meanwhile(self: Cases, words: str) -> list[Actor]:
        await clinic.cases.delete(ada, post.id)
        return await look_up(self, words)

    monkeypatch.setattr(Cases, "_named", meanwhile)
    with pytest.raises(Conflict):
        await clinic.cases.reply(bob, post.id, "Yes")
    assert await clinic.db.fetch_value("SELECT COUNT(*) FROM posts") == 1


async def test_likes_are_once_and_told(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    post = await clinic.cases.open_case(ada, draft())
    for _ in range(2):
        await clinic.cases.like(bob, post.id)
    assert (await clinic.cases.get(bob, post.id)).likes == 1
    assert await clinic.cases.liked(bob, [post.id, "x"]) == {post.id}
    assert await clinic.cases.liked(ada, [post.id]) == set()
    assert [n.kind for n in (await clinic.notifications.list(ada)).items] == [
        NotificationKind.LIKED
    ]
    await clinic.cases.unlike(bob, post.id)
    assert (await clinic.cases.get(bob, post.id)).likes == 0
    assert (await clinic.notifications.list(ada)).items == ()
    assert [kind for kind, _ in await clinic.events()] == [EventKind.POST_PUBLISHED]


async def test_a_public_case_is_passed_on_once_and_only_that(clinic: Clinic) -> None:
    ada, bob, cleo = [await clinic.member(name) for name in ("ada", "bob", "cleo")]
    public = await clinic.cases.open_case(ada, draft(audience=Audience.PUBLIC))
    closed = await clinic.cases.open_case(ada, draft(audience=Audience.VERIFIED))
    await clinic.follows.follow(cleo, await clinic.actor(bob))
    for _ in range(2):
        await clinic.cases.announce(bob, public.id)
        await clinic.cases.announce(ada, public.id)
    with pytest.raises(Forbidden):
        await clinic.cases.announce(bob, closed.id)
    assert await clinic.cases.announced(bob, [public.id, closed.id]) == {public.id}
    assert await clinic.cases.announced(ada, [public.id]) == set()
    assert [n.kind for n in (await clinic.notifications.list(ada)).items] == [
        NotificationKind.ANNOUNCED
    ]
    assert [p.id for p in (await clinic.cases.timeline(cleo, None, "following")).items] == [
        public.id
    ]
    await clinic.cases.unannounce(bob, public.id)
    assert (await clinic.cases.timeline(cleo, None, "following")).items == ()
    assert (await clinic.notifications.list(ada)).items == ()
    assert [kind for kind, _ in await clinic.events()][-2:] == [
        EventKind.ANNOUNCED, EventKind.ANNOUNCE_UNDONE,
    ]  # fmt: skip


async def test_a_like_of_a_remote_post_is_told_to_its_server(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    await clinic.receive(remote(ben, "n1"))
    post = await clinic.db.fetch_value("SELECT id FROM posts")
    await clinic.cases.like(ada, post)
    await clinic.cases.unlike(ada, post)
    rows = await clinic.db.fetch_all("SELECT kind, detail FROM events ORDER BY id")
    assert [row["kind"] for row in rows] == ["liked", "like_undone"]
    assert rows[0]["detail"] == rows[1]["detail"]
    assert '"uri": "https://st-olaf.example/likes/' in rows[0]["detail"]


async def test_the_thread_shows_what_the_reader_may_read(clinic: Clinic) -> None:
    ada, bob, cy = [await clinic.member(name) for name in ("ada", "bob", "cy")]
    ben = await clinic.colleague("ben")
    post = await clinic.cases.open_case(ada, draft())
    first = await clinic.cases.reply(bob, post.id, "First")
    second = await clinic.cases.reply(cy, first.id, "Second")
    await clinic.receive(
        remote(ben, "secret", in_reply_to=post.uri, audience=Audience.DIRECT,
               recipients=(ada.actor_id,)),
        remote(ben, "narrow", in_reply_to=post.uri, audience=Audience.FOLLOWERS),
        remote(ben, "open", in_reply_to=first.uri, audience=Audience.PUBLIC),
    )  # fmt: skip
    seen = await clinic.cases.thread(bob, second.id)
    assert seen.root.id == post.id
    assert {r.html for r in seen.replies} == {"<p>First</p>", "<p>Second</p>", "<p>open</p>"}
    assert {r.id: r.replies for r in seen.replies}[first.id] == 2
    whole = await clinic.cases.thread(ada, post.id)
    assert "<p>secret</p>" in {r.html for r in whole.replies}
    assert "<p>narrow</p>" not in {r.html for r in whole.replies}
    secret = next(r for r in whole.replies if r.html == "<p>secret</p>")
    with pytest.raises(NotFound):
        await clinic.cases.get(bob, secret.id)
    answer = await clinic.cases.reply(ada, secret.id, "Between us")
    assert answer.audience is Audience.DIRECT
    assert answer.recipients == (ben.id,)
    assert "<p>Between us</p>" not in {
        r.html for r in (await clinic.cases.thread(bob, post.id)).replies
    }


async def test_followers_only(clinic: Clinic) -> None:
    ada, bob, cy = [await clinic.member(name) for name in ("ada", "bob", "cy")]
    post = await clinic.cases.open_case(ada, draft(audience=Audience.FOLLOWERS))
    await clinic.follows.follow(bob, await clinic.actor(ada))
    answer = await clinic.cases.reply(bob, post.id, "For her followers")
    for call in (
        clinic.cases.get(cy, post.id),
        clinic.cases.get(cy, answer.id),
        clinic.cases.thread(cy, answer.id),
        clinic.cases.reply(cy, post.id, "?"),
        clinic.cases.like(cy, post.id),
    ):
        with pytest.raises(NotFound):
            await call
    assert (await clinic.cases.by_author(cy, ada.actor_id)).items == ()
    assert [p.id for p in (await clinic.cases.by_author(bob, ada.actor_id)).items] == [post.id]


async def test_what_may_not_be_read_answers_like_what_is_not_there(clinic: Clinic) -> None:
    ada, cy = await clinic.member("ada"), await clinic.member("cy")
    post = await clinic.cases.open_case(ada, draft(audience=Audience.FOLLOWERS))
    answers = []
    for post_id in (post.id, "0" * 26):
        for call in (clinic.cases.get, clinic.cases.thread, clinic.cases.like):
            with pytest.raises(FedidocError) as caught:
                await call(cy, post_id)
            answers.append((type(caught.value), str(caught.value)))
    assert len(set(answers)) == 1


async def test_a_deleted_answer_stays_only_to_hold_others(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    post = await clinic.cases.open_case(ada, draft())
    first = await clinic.cases.reply(bob, post.id, "First")
    below = await clinic.cases.reply(ada, first.id, "Below")
    last = await clinic.cases.reply(bob, post.id, "Last")
    await clinic.cases.delete(bob, first.id)
    await clinic.cases.delete(bob, last.id)
    thread = await clinic.cases.thread(ada, post.id)
    assert [r.id for r in thread.replies] == [first.id, below.id]
    assert thread.replies[0].html == ""
    assert thread.root.replies == 1


async def test_blocked_servers_and_suspended_authors_vanish(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    post = await clinic.cases.open_case(ada, draft())
    fields = CaseFields(NEUROLOGY, None, None, "p", "", "q")
    await clinic.receive(
        remote(ben, "case", fields=fields, title="Theirs"),
        remote(ben, "reply", in_reply_to=post.uri),
    )
    assert len((await clinic.cases.timeline(ada, None, "all")).items) == 2
    async with clinic.db.transaction() as tx:
        await tx.execute(
            "INSERT INTO peers (host, policy, created) VALUES (?, 'limited', 1)", (ben.host,)
        )
    assert [p.id for p in (await clinic.cases.timeline(ada, None, "all")).items] == [post.id]
    assert len((await clinic.cases.by_author(ada, ben.id)).items) == 1
    async with clinic.db.transaction() as tx:
        await tx.execute("UPDATE peers SET policy = 'blocked'")
    assert (await clinic.cases.by_author(ada, ben.id)).items == ()
    assert (await clinic.cases.thread(ada, post.id)).replies == ()
    theirs = await clinic.db.fetch_value("SELECT id FROM posts WHERE title = 'Theirs'")
    with pytest.raises(NotFound):
        await clinic.cases.get(ada, theirs)
    async with clinic.db.transaction() as tx:
        await tx.execute("DELETE FROM peers")
        await tx.execute("UPDATE actors SET suspended = 1 WHERE id = ?", (ben.id,))
    assert (await clinic.cases.thread(ada, post.id)).replies == ()
    assert [p.id for p in (await clinic.cases.timeline(ada, None, "all")).items] == [post.id]


async def test_notices_show_only_what_may_still_be_read(clinic: Clinic) -> None:
    ada, ben = await clinic.member("ada"), await clinic.colleague("ben")
    post = await clinic.cases.open_case(ada, draft())
    await clinic.receive(remote(ben, "reply", in_reply_to=post.uri))
    assert len((await clinic.notifications.list(ada)).items) == 1
    suspended = replace(ada, standing=Standing.SUSPENDED)
    assert (await clinic.notifications.list(suspended)).items == ()
    async with clinic.db.transaction() as tx:
        await tx.execute(
            "INSERT INTO peers (host, policy, created) VALUES (?, 'blocked', 1)", (ben.host,)
        )
    assert (await clinic.notifications.list(ada)).items == ()
    assert set(await clinic.cases.get_many(ada, [post.id, "x"])) == {post.id}


async def test_the_first_page_puts_what_needs_the_reader_first(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob", specialty=NEUROLOGY)
    cy = await clinic.member("cy")
    await clinic.let_follow(bob.actor_id, cy.actor_id)

    async def opened(account: object, title: str, **changes: object) -> str:
        clinic.clock.advance(MINUTE)
        post = await clinic.cases.open_case(account, draft(title=title, **changes))  # type: ignore[arg-type]
        return post.id

    await opened(ada, "other, open")
    answered = await opened(ada, "other, answered")
    mine_answered = await opened(ada, "mine, answered", specialty=NEUROLOGY)
    await opened(ada, "mine, open", specialty=NEUROLOGY)
    await opened(cy, "followed, open")
    closed = await opened(ada, "closed", specialty=NEUROLOGY)
    await opened(bob, "my own", specialty=NEUROLOGY)
    for post_id in (answered, mine_answered):
        await clinic.cases.reply(cy, post_id, "Yes")
    await clinic.cases.close(ada, closed, outcome="Well")
    page = await clinic.cases.timeline(bob)
    assert [p.title for p in page.items] == [
        "followed, open", "mine, open", "mine, answered", "other, open", "other, answered",
    ]  # fmt: skip
    assert page.older is None
    followed = await clinic.cases.timeline(bob, None, "following")
    assert [p.title for p in followed.items] == ["followed, open"]
    special = await clinic.cases.timeline(bob, None, NEUROLOGY.code)
    assert [p.title for p in special.items] == ["my own", "closed", "mine, open", "mine, answered"]
    assert len((await clinic.cases.timeline(bob, None, "all")).items) == 7


@pytest.mark.parametrize("show", ["for_you", "all", "207RC0000X"])
async def test_pages_follow_on_one_another_without_gaps(clinic: Clinic, show: str) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    for number in range(45):
        clinic.clock.advance(MINUTE)
        specialty = NEUROLOGY if number % 2 and show == "for_you" else draft().specialty
        await clinic.cases.open_case(ada, draft(title=str(number), specialty=specialty))
    seen: list[str] = []
    before: str | None = None
    for _ in range(10):
        page = await clinic.cases.timeline(bob, before, show)
        seen += [p.title for p in page.items]
        before = page.older
        if before is None:
            break
    assert before is None
    assert sorted(seen, key=int) == [str(n) for n in range(45)]
    assert (await clinic.cases.timeline(bob, "7.nonsense", show)) is not None


async def test_the_ledger_says_where_copies_went(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    post = await clinic.cases.open_case(ada, draft())
    async with clinic.db.transaction() as tx:
        for number, kind in enumerate(("Create", "Update")):
            await tx.execute(
                "INSERT INTO activities (id, uri, actor_id, type, object_uri, post_id, audience,"
                " body, created) VALUES (?, ?, ?, ?, ?, ?, 'public', '{}', 1)",
                (f"a{number}", f"urn:{number}", ada.actor_id, kind, post.uri, post.id),
            )
        for row in (
            ("d1", "a0", "x.example", "i1", "done", DAY, 5),
            ("d2", "a1", "x.example", "i1", "waiting", DAY, None),
            ("d3", "a0", "y.example", "i2", "done", DAY, 6),
            ("d4", "a1", "y.example", "i2", "done", DAY, 7),
            ("d6", "a1", "x.example", "i9", "done", DAY, 9),
            ("d5", "a0", "z.example", "i3", "dead", DAY, 8),
        ):
            await tx.execute(
                "INSERT INTO deliveries (id, activity_id, actor_id, host, inbox, state, next_at,"
                " created, finished) VALUES (?, ?, 'x', ?, ?, ?, ?, 1, ?)",
                row,
            )
    assert [tuple(line) for line in await clinic.cases.ledger(ada, post.id)] == [
        ("x.example", "waiting", DAY), ("y.example", "done", 7), ("z.example", "dead", 8),
    ]  # fmt: skip


def _state(post: object) -> CaseState:
    fields = post.fields  # type: ignore[attr-defined]
    state: CaseState = fields.state
    return state
