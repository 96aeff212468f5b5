"""Who may read, answer and change a post. Pure; every page, answer to a peer and count asks here.

The caller looks up what these functions are told: whether the reader follows the author, and the
root of the thread. Whether a reader is a verified clinician is their standing, role and level, so
that a member who was suspended a moment ago reads nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from fedidoc.model import Account, Audience, Post, PostKind, Right


@dataclass(frozen=True, slots=True)
class Viewer:
    """A local reader, as far as audiences care."""

    actor_id: str
    verified: bool
    """A verified member whose level lets them read; everybody else reads nothing clinical."""
    answers: bool = True
    """Whether the level lets them answer, too."""

    @classmethod
    def of(cls, account: Account) -> Viewer:
        return cls(account.actor_id, account.may(Right.READ), account.may(Right.ANSWER))


def refusal(account: Account, right: Right) -> str:
    """What to tell a member who has not got a right, in one sentence."""
    if not account.verified:
        return "Cases open to you once your licence is verified."
    return _REFUSALS[right]


_REFUSALS: Final = {
    Right.READ: "Your level here does not include reading cases; ask those who run this instance.",
    Right.ANSWER: "Your level here lets you read cases, but not answer them.",
    Right.OPEN: "Your level here does not let you open cases of your own.",
    Right.VOUCH: "Your level here does not let you vouch for colleagues.",
    Right.FOUND: "Your level here does not let you found groups.",
}


def may_read(viewer: Viewer, post: Post, *, follows: Collection[str], root: Post | None) -> bool:
    """Whether a local viewer may read a post.

    `follows`: ids of actors whom the viewer follows, accepted (those of the two authors are
    enough). `root`: the case that a reply belongs to, if it is known here; who may read the case
    may read its replies, except those that are for fewer than the case.
    """
    if not viewer.verified:
        return False
    if viewer.actor_id == post.author.id or viewer.actor_id in post.recipients:
        return True
    if post.audience is Audience.DIRECT:
        return False
    if root is not None and root.id != post.id:
        if post.audience is Audience.FOLLOWERS and root.audience is not Audience.FOLLOWERS:
            # A plain server's reply to its author's followers alone, under a wider case.
            return post.author.id in follows
        return may_read(viewer, root, follows=follows, root=None)
    if post.audience is Audience.FOLLOWERS:
        return post.author.id in follows
    return True


def may_answer(viewer: Viewer, post: Post, *, follows: Collection[str], root: Post | None) -> bool:
    """Whoever may read a post that stands may answer it, if their level lets them answer at all; a
    closed case is still discussed."""
    return (
        viewer.answers
        and post.deleted is None
        and may_read(viewer, post, follows=follows, root=root)
    )


def may_change(viewer: Viewer, post: Post) -> bool:
    """Edit, delete, close, reopen: its author only, and only here where it was written."""
    return (
        viewer.verified
        and post.local
        and post.deleted is None
        and viewer.actor_id == post.author.id
    )


def may_close(viewer: Viewer, post: Post) -> bool:
    return may_change(viewer, post) and post.kind is PostKind.CASE


def may_announce(audience: Audience) -> bool:
    """Only what is public may be passed on; anything else would leave its audience."""
    return audience is Audience.PUBLIC
