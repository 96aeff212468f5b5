"""What the pages call things: enumerations and times in the words that people read. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from fedidoc.clinical.phi import Kind
from fedidoc.clinical.reports import Reason
from fedidoc.clock import DAY, HOUR, MINUTE
from fedidoc.model import Actor, Audience, Badge, CaseState, NotificationKind, PeerPolicy, Role
from fedidoc.verification.examination import Result, Step


class Choice(NamedTuple):
    """One answer to a question of a form: what is sent, its name, and what it means."""

    value: str
    label: str
    meaning: str = ""


ROLES: Final = {
    Role.PHYSICIAN: "Physician",
    Role.RESIDENT: "Resident physician",
    Role.NURSE_PRACTITIONER: "Nurse practitioner",
    Role.PHYSICIAN_ASSISTANT: "Physician assistant",
    Role.STUDENT: "Student",
    Role.STAFF: "Staff",
}

SEXES: Final = (
    Choice("female", "Female"),
    Choice("male", "Male"),
    Choice("other", "Other"),
    Choice("unknown", "Not told"),
)

AUDIENCES: Final = (
    Choice(
        Audience.VERIFIED,
        "Verified physicians",
        "Every physician verified here or by a server this instance trusts. Right for most cases.",
    ),
    Choice(
        Audience.FOLLOWERS,
        "My followers",
        "Only colleagues whose follow you have, here and on other servers.",
    ),
    Choice(
        Audience.PUBLIC,
        "All connected servers",
        "Everybody on every server this instance federates with, whether they check licences or"
        " not. Nothing is ever shown to the open web.",
    ),
)

STATES: Final = {
    CaseState.OPEN: "Open",
    CaseState.ANSWERED: "Answered",
    CaseState.CLOSED: "Closed",
}

_READERS: Final = {
    Audience.VERIFIED: "For verified physicians",
    Audience.FOLLOWERS: "For followers of the author",
    Audience.PUBLIC: "For all connected servers",
    Audience.DIRECT: "Only for those named",
}
_READERS_AT_LENGTH: Final = {
    Audience.VERIFIED: "Every physician verified here or by a server this instance trusts may"
    " read it.",
    Audience.FOLLOWERS: "Only colleagues who follow the author may read it.",
    Audience.PUBLIC: "Everybody on the servers this instance federates with may read it.",
    Audience.DIRECT: "Only those who are named in it may read it.",
}
_ASSURANCES: Final = {
    "employer": "Their employer or its identity provider confirmed who they are",
    "register": "The licence matched the register and a document was seen",
    "institutional_email": "They answered from an institution's e-mail address",
    "vouched": "Colleagues or the operator vouched for them",
}
_POLICIES: Final = {
    PeerPolicy.ALLOWED: "Allowed",
    PeerPolicy.LIMITED: "Limited",
    PeerPolicy.BLOCKED: "Blocked",
}


def role(value: str) -> str:
    """A role, or a profession from another server's credential, with a capital."""
    try:
        return ROLES[Role(value)]
    except ValueError:
        text = value.replace("_", " ").strip()
        return text[:1].upper() + text[1:]


def readers(audience: Audience) -> str:
    return _READERS[audience]


def readers_at_length(audience: Audience) -> str:
    return _READERS_AT_LENGTH[audience]


def sex(value: str | None) -> str:
    if value in (None, "unknown"):
        return ""
    return str(value).replace("_", " ")


def age(band: str | None) -> str:
    """`60-69` as `60–69 y`."""
    return f"{band.replace('-', '–')} y" if band else ""


def state(value: CaseState) -> str:
    return STATES[value]


def policy(value: PeerPolicy) -> str:
    return _POLICIES[value]


def assurance(value: str | None) -> str:
    """How a person was verified, as a sentence without its full stop."""
    return _ASSURANCES.get(value or "", "The issuer did not say how")


class Meaning(NamedTuple):
    """What a way of verifying says of a person, and what it leaves open; sentences."""

    does: str
    does_not: str


_MEANINGS: Final = {
    "employer": Meaning(
        "The hospital or society that employs or enrols them said who they are, on its own word or"
        " through its sign-in, and vouches for their profession. It is the strongest of the ways.",
        "It does not mean that anybody here saw the licence again today.",
    ),
    "register": Meaning(
        "Somebody compared what they said with the public register of licences, and saw a document"
        " of theirs that fits it.",
        "It does not mean that the register is free of errors, or that they work where they say.",
    ),
    "institutional_email": Meaning(
        "They can read mail at an address of an institution that gives such addresses to its"
        " clinicians.",
        "It does not mean that anybody saw a licence or a document, or that nobody else reads that"
        " address.",
    ),
    "vouched": Meaning(
        "Colleagues who are verified, or the operator of the instance, said that they know them and"
        " that they are what they say. It is the weakest of the ways.",
        "It does not mean that a register, a document or an employer was asked.",
    ),
}
_UNKNOWN_MEANING: Final = Meaning(
    "The issuer did not say how they were verified.",
    "It does not mean that a register, a document or an employer was asked.",
)
_CHECKS: Final = {
    Step.DOCUMENT: "It can be read in one way only",
    Step.ISSUER: "Its issuer is trusted",
    Step.PURPOSE: "It was signed to attest",
    Step.PROOF: "Nobody changed it",
    Step.DATES: "It is in force",
    Step.STATUS: "It was not taken back",
    Step.SUBJECT: "It is about this account",
    Step.CONTENT: "It says what was verified",
    Step.NAMED: "This account names it",
}
_RESULTS: Final = {
    Result.PASSED: "Holds",
    Result.FAILED: "Does not hold",
    Result.NOT_MADE: "Not looked at",
}
_WAYS_ON: Final = {
    Step.ISSUER: "The people who run this instance can compare the key with the other server's"
    " operator, and trust it. Nothing is wrong with the person for that.",
    Step.DATES: "It ran out. They can have it renewed by the server that issued it; it counts here"
    " again within a day.",
    Step.STATUS: "Only the server that issued it can say why, and verify them anew. If the list"
    " could not be had, it is asked for again every hour.",
    Step.NAMED: "Their server does not present this credential any more. They can ask its"
    " operator.",
}


def assurance_meaning(value: str | None) -> Meaning:
    return _MEANINGS.get(value or "", _UNKNOWN_MEANING)


def check(step: Step) -> str:
    """What a check is about, as a statement that holds or does not."""
    return _CHECKS[step]


def check_result(result: Result) -> str:
    return _RESULTS[result]


def way_on(actor: Actor, failed: Step | None, mine: bool) -> str:
    """What somebody without a badge that holds can do about it."""
    if mine:
        return "Apply, or have your verification renewed: a reviewer here decides."
    if actor.local:
        return "They can apply for verification here; a reviewer decides."
    if failed is not None:
        return _WAYS_ON.get(
            failed, "They can ask the people who run their server to issue the credential anew."
        )
    return (
        "If their server verifies its members, they can ask its operator; if it does not, they can"
        " join one that does."
    )


def badge(value: Badge) -> str:
    """A badge in one line: `Physician · Cardiology`, or `Not verified`."""
    if not value.verified:
        return "Not verified"
    if value.sealed:
        who = role(value.profession or "physician").lower()
        field = f" · {value.specialty.label}" if value.specialty else ""
        return f"Verified {who}{field} · identity sealed"
    parts = [role(value.profession or "physician")]
    if value.specialty:
        parts.append(value.specialty.label)
    return "Verified " + parts[0].lower() + "".join(f" · {part}" for part in parts[1:])


def lapsed(since: int) -> str:
    """Of the author of a post: what they were when it was written, and are no longer."""
    return f"Was verified when this was written; not verified since {month(since)}."


def initials(actor: Actor) -> str:
    """One or two letters for the tile beside a name."""
    titles = {"dr", "dr.", "prof", "prof.", "md", "do"}
    words = [
        w for w in (actor.name or actor.username).split() if w.lower().strip(",") not in titles
    ]
    letters = [word[0] for word in words if word[0].isalnum()]
    if not letters:
        return actor.username[:1].upper()
    return (letters[0] + (letters[-1] if len(letters) > 1 else "")).upper()


def ago(then: int, now: int) -> str:
    """How long ago, short: `just now`, `35 min ago`, `5 h ago`, `3 days ago`, `12 Nov 2026`."""
    passed = now - then
    if passed < MINUTE:
        return "just now"
    if passed < HOUR:
        return f"{passed // MINUTE} min ago"
    if passed < DAY:
        return f"{passed // HOUR} h ago"
    if passed < 7 * DAY:
        days = passed // DAY
        return "yesterday" if days == 1 else f"{days} days ago"
    return day(then)


def age_of(then: int, now: int) -> str:
    """How long something has waited: `35 min`, `5 h`, `3 days`."""
    passed = max(0, now - then)
    if passed < HOUR:
        return f"{passed // MINUTE} min"
    if passed < 2 * DAY:
        return f"{passed // HOUR} h"
    return f"{passed // DAY} days"


def day(moment: int) -> str:
    """`12 Nov 2026` (UTC)."""
    date = datetime.fromtimestamp(moment // 1000, UTC)
    return f"{date.day} {date:%b %Y}"


def minute(moment: int) -> str:
    """`12 Nov 2026, 14:03 UTC`."""
    date = datetime.fromtimestamp(moment // 1000, UTC)
    return f"{date.day} {date:%b %Y, %H:%M} UTC"


def month(moment: int) -> str:
    """`November 2026` (UTC)."""
    return f"{datetime.fromtimestamp(moment // 1000, UTC):%B %Y}"


def count(number: int, one: str, many: str = "") -> str:
    """`1 answer`, `2 answers`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


_NOTICES: Final = {
    NotificationKind.FOLLOWED: ("people", "follows you now."),
    NotificationKind.FOLLOW_REQUESTED: ("people", "asks to follow you."),
    NotificationKind.FOLLOW_ACCEPTED: ("people", "accepted your request to follow them."),
    NotificationKind.REPLIED: ("answer", "answered:"),
    NotificationKind.MENTIONED: ("answer", "named you in"),
    NotificationKind.LIKED: ("thanks", "thanks you for"),
    NotificationKind.ANNOUNCED: ("peers", "passed on"),
    NotificationKind.VERIFIED: ("seal", "You are verified. Cases are open to you."),
    NotificationKind.VOUCH_ASKED: ("seal", "asks you to vouch for them."),
    NotificationKind.REFUSED: ("heed", "The reviewers could not verify you yet."),
    NotificationKind.RENEWAL_DUE: ("clock", "Your verification ends soon; have it renewed."),
    NotificationKind.RENEWED: ("seal", "Your verification is renewed."),
    NotificationKind.RENEWAL_DECLINED: ("heed", "Your verification was not renewed."),
    NotificationKind.MOVED: ("people", "is the new account of a colleague whom you followed."),
}


def notice(kind: NotificationKind) -> str:
    """What somebody did, to follow their name."""
    return _NOTICES[kind][1]


def notice_icon(kind: NotificationKind) -> str:
    return _NOTICES[kind][0]


# What is wrong with something that is reported: a name, and what it means.
REPORTS: Final = {
    Reason.PATIENT: ("A patient can be recognised", "Read first, whatever else waits."),
    Reason.HARM: ("Advice that would harm", "Wrong beyond a difference of opinion."),
    Reason.CONDUCT: ("How people are treated", "Harassment, discrimination, threats."),
    Reason.IDENTITY: ("Not who they say they are", "Not a physician, or somebody else."),
    Reason.SPAM: ("Advertising", "Or anything that is no medicine at all."),
    Reason.OTHER: ("Something else", "Tell it in your words."),
}


def report_reason(reason: Reason) -> str:
    return REPORTS[reason][0]


_CONFIRMATIONS: Final = {
    Kind.URL: "Every link leads to literature or to something public, not to a patient.",
    Kind.NAME: "No name in this form is a patient's or a relative's.",
    Kind.NUMBER: "No long number in this form is a patient's.",
    Kind.MONTH_YEAR: "No month in this form tells when something happened to a patient.",
    Kind.IP: "No internet address in this form is a patient's.",
}


def confirmation(kind: str) -> str:
    """What an author confirms by keeping what the guard asked about."""
    return _CONFIRMATIONS.get(Kind(kind), "None of these identifies a patient.")


_EVIDENCE: Final = {
    "identity_provider": "you log in through your hospital",
    "employer": "your employer confirms it to a reviewer",
    "register": "your licence matches the register",
    "document": "a reviewer sees a document of yours",
    "institutional_email": "you answer from an institution's e-mail address",
    "vouches": "colleagues vouch for you",
}
_MEDIA_TYPES: Final = {"application/pdf": "PDF", "image/jpeg": "JPEG", "image/png": "PNG"}


def evidence(kind: str) -> str:
    """What an applicant does to be verified by a kind of evidence."""
    return _EVIDENCE[kind]


def media_type(value: str) -> str:
    return _MEDIA_TYPES.get(value, "file")


def size(number: int) -> str:
    """Bytes as `12 KB`, `3.4 MB` or `10 MB`, in units of 1,024."""
    if number < 1 << 20:
        return f"{max(1, round(number / 1024))} KB"
    return f"{number / (1 << 20):.1f}".removesuffix(".0") + " MB"


_CLAIM_FIELDS: Final = {
    "name": "Name",
    "profession": "Profession",
    "specialty": "Specialty",
    "licence": "Licence",
    "npi": "NPI",
    "status": "Register's entry",
    "expires": "Licence ends",
    "birth_date": "Date of birth",
    "jurisdiction": "Licensed in",
}
_MARKS: Final = {
    "same": "Agrees",
    "similar": "Nearly",
    "different": "Differs",
    "missing": "Not comparable",
}


def claim_field(name: str) -> str:
    return _CLAIM_FIELDS.get(name, name.capitalize())


def mark(value: str) -> str:
    """How a claimed field and the register's compare."""
    return _MARKS[value]


_DELIVERIES: Final = {
    "waiting": "on its way",
    "done": "received",
    "dead": "gave up",
}


def delivery(state: str) -> str:
    return _DELIVERIES.get(state, state)
