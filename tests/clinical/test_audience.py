"""Who may read: the whole table, and that the database chooses alike."""

from __future__ import annotations

import itertools

import pytest

from fedidoc.clinical.audience import (
    Viewer,
    may_announce,
    may_answer,
    may_change,
    may_close,
    may_read,
)
from fedidoc.model import (
    NO_BADGE,
    Account,
    Actor,
    ActorKind,
    Audience,
    CaseFields,
    Post,
    PostKind,
    Right,
    Role,
    Standing,
)
from fedidoc.storage import cases, follows
from tests.clinical.clinic import Clinic, draft, remote

ME, AUTHOR, OTHER = "me", "author", "other"
READER = Viewer(ME, True)


def actor(name: str) -> Actor:
    uri = f"https://x.example/{name}"
    return Actor(
        name, uri, ActorKind.PERSON, name, "x.example", True, name, "", uri, None, None, None,
        None, None, None, False, True, NO_BADGE, 1, 1,
    )  # fmt: skip


def post(
    author: str = AUTHOR,
    audience: Audience = Audience.PUBLIC,
    *,
    id: str = "root",
    recipients: tuple[str, ...] = (),
    deleted: int | None = None,
    local: bool = True,
) -> Post:
    kind = PostKind.CASE if id == "root" else PostKind.REPLY
    return Post(
        id, id, kind, actor(author), local, audience, "", "", None, None, "root", None, None, (),
        "", False, 1, None, deleted, recipients=recipients,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("audience", "stranger", "follower", "named", "author"),
    [
        (Audience.PUBLIC, True, True, True, True),
        (Audience.VERIFIED, True, True, True, True),
        (Audience.FOLLOWERS, False, True, True, True),
        (Audience.DIRECT, False, False, True, True),
    ],
)
def test_a_case(
    audience: Audience, stranger: bool, follower: bool, named: bool, author: bool
) -> None:
    def reads(follows: set[str], who: str = AUTHOR, recipients: tuple[str, ...] = ()) -> bool:
        return may_read(
            READER, post(who, audience, recipients=recipients), follows=follows, root=None
        )

    assert reads(set()) is stranger
    assert reads({AUTHOR}) is follower
    assert reads({OTHER}) is stranger
    assert reads(set(), recipients=(ME,)) is named
    assert reads(set(), ME) is author


@pytest.mark.parametrize(
    ("case", "reply", "readers"),
    [
        # (follows the case's author, follows the reply's author) -> may read
        (Audience.PUBLIC, Audience.PUBLIC, "all"),
        (Audience.VERIFIED, Audience.VERIFIED, "all"),
        (Audience.FOLLOWERS, Audience.FOLLOWERS, "case"),
        (Audience.FOLLOWERS, Audience.PUBLIC, "case"),
        (Audience.PUBLIC, Audience.FOLLOWERS, "reply"),
        (Audience.VERIFIED, Audience.FOLLOWERS, "reply"),
        (Audience.PUBLIC, Audience.DIRECT, "none"),
        (Audience.DIRECT, Audience.PUBLIC, "none"),
    ],
)
def test_a_reply_is_for_the_readers_of_its_case(
    case: Audience, reply: Audience, readers: str
) -> None:
    root, answer = post(AUTHOR, case), post(OTHER, reply, id="r")
    for of_case, of_reply in itertools.product((False, True), repeat=2):
        follows = {name for name, on in ((AUTHOR, of_case), (OTHER, of_reply)) if on}
        expected = {"all": True, "case": of_case, "reply": of_reply, "none": False}[readers]
        assert may_read(READER, answer, follows=follows, root=root) is expected
    assert may_read(READER, post(OTHER, reply, id="r", recipients=(ME,)), follows=(), root=root)


def test_nobody_but_verified_clinicians_reads() -> None:
    given = [frozenset(Right), frozenset(Right) - {Right.READ}, frozenset[Right]()]
    for standing, role, rights in itertools.product(Standing, Role, given):
        account = Account("a", ME, "me", role, None, standing, True, 1, rights=rights)
        clinician = (
            standing is Standing.VERIFIED and role is not Role.STAFF and Right.READ in rights
        )
        viewer = Viewer.of(account)
        assert may_read(viewer, post(), follows=(), root=None) is clinician
        assert may_read(viewer, post(ME), follows=(), root=None) is clinician
        assert may_change(viewer, post(ME)) is clinician


def test_change_answer_close_announce() -> None:
    assert may_change(READER, post(ME))
    assert not may_change(READER, post(AUTHOR))
    assert not may_change(READER, post(ME, deleted=1))
    assert not may_change(READER, post(ME, local=False))
    assert may_close(READER, post(ME))
    assert not may_close(READER, post(ME, id="reply"))
    assert may_answer(READER, post(), follows=(), root=None)
    assert not may_answer(READER, post(deleted=1), follows=(), root=None)
    assert not may_answer(READER, post(audience=Audience.FOLLOWERS), follows=(), root=None)
    assert [a for a in Audience if may_announce(a)] == [Audience.PUBLIC]


async def test_the_database_chooses_what_may_read_allows(clinic: Clinic) -> None:
    ada, bob, cy = [await clinic.member(name) for name in ("ada", "bob", "cy")]
    ben = await clinic.colleague("ben")
    await clinic.let_follow(bob.actor_id, ada.actor_id)
    await clinic.let_follow(cy.actor_id, ben.id)
    fields = CaseFields(None, None, None, "p", "", "q")
    for audience in (Audience.FOLLOWERS, Audience.VERIFIED, Audience.PUBLIC):
        await clinic.cases.open_case(ada, draft(audience=audience))
        await clinic.cases.open_case(ada, draft(audience=audience, question="What says @cy?"))
    for audience, named in itertools.product(Audience, ((), (bob.actor_id,))):
        name = f"{audience.value}-{len(named)}"
        await clinic.receive(remote(ben, name, audience=audience, fields=fields, recipients=named))
    ids = [row["id"] for row in await clinic.db.fetch_all("SELECT id FROM posts")]
    everything = await cases.get_many(clinic.db, ids)
    assert len(everything) == 14
    seen = []
    for account in (ada, bob, cy):
        viewer = Viewer.of(account)
        followed = await follows.followed_ids(clinic.db, account.actor_id)
        allowed = {
            p.id for p in everything.values()
            if may_read(viewer, p, follows=followed, root=None)
        }  # fmt: skip
        page = await clinic.cases.timeline(account, None, "all")
        assert {p.id for p in page.items} == allowed
        mine = {p.id for p in everything.values() if p.author.id == account.actor_id}
        needs = await clinic.cases.timeline(account)
        assert {p.id for p in needs.items} == allowed - mine
        theirs = {p.id for p in everything.values() if p.author.id == ben.id}
        by = await clinic.cases.by_author(account, ben.id)
        assert {p.id for p in by.items} == allowed & theirs
        seen.append(len(allowed))
    assert seen == [10, 12, 11]
