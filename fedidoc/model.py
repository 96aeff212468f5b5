"""What fedidoc talks about: frozen values, enums, and the events that one room tells another.

Times are UTC milliseconds. `id` is an opaque internal id; `uri` is the public ActivityPub id.
Pure data: nothing here reads a database, a clock or the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar


class Role(StrEnum):
    """What a member is in the professional world; STAFF run the instance and are not clinicians."""

    PHYSICIAN = "physician"
    RESIDENT = "resident"
    NURSE_PRACTITIONER = "nurse_practitioner"
    PHYSICIAN_ASSISTANT = "physician_assistant"
    STUDENT = "student"
    STAFF = "staff"


class Standing(StrEnum):
    """Where a member's account is between signing up and speaking."""

    NEW = "new"  # signed up, has not applied
    APPLIED = "applied"
    REFUSED = "refused"  # may apply again
    VERIFIED = "verified"
    SUSPENDED = "suspended"


class Right(StrEnum):
    """What a member's level may allow."""

    READ = "read"
    ANSWER = "answer"
    OPEN = "open"  # cases
    VOUCH = "vouch"
    FOUND = "found"  # groups


class Audience(StrEnum):
    """Who may read a post; each also needs a verified reader or an allowed peer."""

    FOLLOWERS = "followers"
    VERIFIED = "verified"  # verified physicians of trusted peers
    PUBLIC = "public"  # everybody on the servers this instance federates with
    DIRECT = "direct"  # only those named


class PostKind(StrEnum):
    CASE = "case"
    REPLY = "reply"
    NOTE = "note"  # a post of a plain server that is neither


class CaseState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    CLOSED = "closed"


class ActorKind(StrEnum):
    PERSON = "person"
    INSTANCE = "application"
    GROUP = "group"
    OTHER = "other"


class FollowState(StrEnum):
    REQUESTED = "requested"
    ACCEPTED = "accepted"


class PeerPolicy(StrEnum):
    ALLOWED = "allowed"
    LIMITED = "limited"  # delivered to and heard, but kept out of everybody's first page
    BLOCKED = "blocked"


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClearedText:
    """Text that the patient-identifier guard let through.

    Only `clinical.phi.clear` makes one from what somebody wrote, and only `storage.cases` makes
    one again from a row that was stored cleared. A test reads the tree to hold this true.
    """

    text: str
    guard: str
    """The guard's version that cleared it, such as `1`."""
    confirmed: tuple[str, ...] = ()
    """Kinds of warning that the author confirmed to be no identifier."""

    def __post_init__(self) -> None:
        if not self.guard:
            raise TypeError("ClearedText comes from the guard only")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Specialty:
    """A NUCC taxonomy code (such as 207RC0000X) and the words for it."""

    code: str
    label: str


@dataclass(frozen=True, slots=True)
class Badge:
    """What is known of an actor's verification, in words that may be shown.

    `verified` is this instance's own conclusion after its own checks; `reason` says why not.
    """

    verified: bool
    reason: str
    profession: str | None = None
    specialty: Specialty | None = None
    assurance: str | None = None
    jurisdiction: str | None = None
    issuer: str | None = None  # host of the issuing instance
    valid_until: int | None = None
    checked: int | None = None
    credential: str | None = None  # its URL
    valid_from: int | None = None
    sealed: bool = False
    """A pseudonym: the issuer verified who it is, and holds that sealed."""


NO_BADGE: Final = Badge(False, "No credential was presented.")


@dataclass(frozen=True, slots=True)
class Actor:
    """A public actor, local or remote. Says nothing of who a local account belongs to."""

    id: str
    uri: str
    kind: ActorKind
    username: str
    host: str
    local: bool
    name: str
    summary_html: str
    inbox: str
    shared_inbox: str | None
    outbox: str | None
    followers: str | None
    following: str | None
    url: str | None
    icon_url: str | None
    approves_follows: bool
    discoverable: bool
    badge: Badge
    created: int
    refreshed: int
    suspended: int | None = None
    deleted: int | None = None
    pseudonymous: bool = False
    """A verified pseudonym of this instance. Of one elsewhere `badge.sealed` says so."""

    @property
    def handle(self) -> str:
        """`@username@host`."""
        return f"@{self.username}@{self.host}"


@dataclass(frozen=True, slots=True)
class Account:
    """A login. E-mail and legal name are sealed elsewhere; this much the pages need.

    `level` is the name of the configuration's level that role and evidence gave, `rights` what it
    allows; none before verification.
    """

    id: str
    actor_id: str
    username: str
    role: Role
    specialty: Specialty | None
    standing: Standing
    admin: bool
    created: int
    level: str | None = None
    rights: frozenset[Right] = frozenset()
    pseudonymous: bool = False
    """A pseudonym's own account; no account of a person has its id."""

    @property
    def verified(self) -> bool:
        return self.standing is Standing.VERIFIED

    def may(self, right: Right) -> bool:
        """Whether a right is the member's now: staff and whoever is not verified have none."""
        return self.verified and self.role is not Role.STAFF and right in self.rights


@dataclass(frozen=True, slots=True)
class CaseFields:
    """The structured part of a case. For a local case every text has passed the guard."""

    specialty: Specialty | None
    age_band: str | None  # "60-69", never above "90+"
    sex: str | None  # "female" | "male" | "other" | "unknown"
    presentation: str
    findings: str
    question: str
    state: CaseState = CaseState.OPEN
    outcome: str = ""
    teaching_points: str = ""


@dataclass(frozen=True, slots=True)
class Media:
    """A picture that belongs to a post; `file` is a name in the media folder, random."""

    id: str
    alt: str
    media_type: str
    width: int
    height: int
    file: str | None  # None: remote and not fetched
    remote_url: str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A case, a reply, or a plain server's note.

    `html` is always sanitised. `source` is what a local author wrote (cleared), None for remote.
    """

    id: str
    uri: str
    kind: PostKind
    author: Actor
    local: bool
    audience: Audience
    title: str
    html: str
    source: ClearedText | None
    parent_id: str | None
    case_id: str | None  # the id of the thread's root, its own for a case
    in_reply_to: str | None  # URI, kept also when the parent is not known here
    fields: CaseFields | None
    media: tuple[Media, ...]
    url: str
    sensitive: bool
    published: int
    edited: int | None
    deleted: int | None
    replies: int = 0
    likes: int = 0
    recipients: tuple[str, ...] = ()  # actor ids that are addressed by name


class EventKind(StrEnum):
    """What happened here that other servers may have to be told."""

    POST_PUBLISHED = "post_published"
    POST_EDITED = "post_edited"
    POST_DELETED = "post_deleted"
    FOLLOW_REQUESTED = "follow_requested"
    FOLLOW_ACCEPTED = "follow_accepted"
    FOLLOW_REJECTED = "follow_rejected"
    FOLLOW_UNDONE = "follow_undone"
    LIKED = "liked"
    LIKE_UNDONE = "like_undone"
    ANNOUNCED = "announced"
    ANNOUNCE_UNDONE = "announce_undone"
    ACTOR_UPDATED = "actor_updated"
    ACTOR_DELETED = "actor_deleted"
    ACTOR_MOVED = "actor_moved"
    BLOCKED = "blocked"
    BLOCK_UNDONE = "block_undone"
    REPORTED = "reported"
    VOUCH_ASKED = "vouch_asked"
    VOUCH_ASK_UNDONE = "vouch_ask_undone"
    VOUCH_GIVEN = "vouch_given"
    VOUCH_WITHDRAWN = "vouch_withdrawn"


@dataclass(frozen=True, slots=True)
class Event:
    """One domain event, written in the transaction of the change that it tells of.

    `actor_id` acts, `subject` is the id that the kind implies (a post's, a follow's, an actor's);
    `detail` holds what cannot be read again later (the inboxes a deleted post had gone to, …).
    """

    id: str
    kind: EventKind
    actor_id: str
    subject: str
    at: int
    detail: dict[str, Any]


class NotificationKind(StrEnum):
    FOLLOWED = "followed"
    FOLLOW_REQUESTED = "follow_requested"
    FOLLOW_ACCEPTED = "follow_accepted"
    REPLIED = "replied"
    MENTIONED = "mentioned"
    LIKED = "liked"
    ANNOUNCED = "announced"
    VERIFIED = "verified"
    REFUSED = "refused"
    RENEWAL_DUE = "renewal_due"
    RENEWED = "renewed"
    RENEWAL_DECLINED = "renewal_declined"
    VOUCH_ASKED = "vouch_asked"
    MOVED = "moved"  # somebody whom the member follows, to the account that is named


@dataclass(frozen=True, slots=True)
class Notification:
    id: str
    kind: NotificationKind
    actor: Actor | None
    post: Post | None
    at: int
    read: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `older` is the cursor of the next one, None at the end."""

    items: tuple[T, ...]
    older: str | None
