"""What the review desk and the audit log call things. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from fedidoc.model import Right
from fedidoc.verification.recheck import Cause as Flagged
from fedidoc.verification.review import State
from fedidoc.verification.urgency import Cause

_STATES: Final = {
    State.APPLIED: "Waiting",
    State.ASKED: "Asked",
    State.APPROVED: "Approved",
    State.REFUSED: "Refused",
    State.WITHDRAWN: "Taken back",
}
_CAUSES: Final = {
    Cause.HIT: ("Exclusion list", "block"),
    Cause.DUPLICATE: ("Same licence or NPI", "warn"),
    Cause.PROPOSED: ("Waits for a second reviewer", "mark"),
    Cause.CONFIRMED: ("Confirmed by the employer", "mark"),
    Cause.EXPIRING: ("Runs out soon", "warn"),
    Cause.WAITING: ("Waiting long", "warn"),
}
_FLAGS: Final = {
    Flagged.DEACTIVATED: ("NPI deactivated", "block"),
    Flagged.NOT_ACTIVE: ("Licence not in force", "block"),
    Flagged.EXPIRED: ("Licence run out", "block"),
    Flagged.EXCLUDED: ("Excluded", "block"),
    Flagged.POSSIBLY_EXCLUDED: ("Exclusion list?", "warn"),
    Flagged.LEFT: ("No longer employed", "warn"),
    Flagged.MISSING: ("In no register", "warn"),
}
_RIGHTS: Final = {
    Right.READ: "read cases",
    Right.ANSWER: "answer",
    Right.OPEN: "open cases",
    Right.VOUCH: "vouch for colleagues",
    Right.FOUND: "found groups",
}
# To follow the name of who did it.
_DEEDS: Final = {
    "application_filed": "applied",
    "application_answered": "answered, with a new application",
    "application_withdrawn": "took the application back",
    "application_asked": "asked the member something",
    "application_refused": "refused",
    "application_proposed": "approved, for a second reviewer to confirm",
    "application_approved": "approved, and the credential was issued",
    "application_noted": "left a note for colleagues",
    "exclusion_judged": "said what an entry of an exclusion list is",
    "evidence_recorded": "recorded evidence",
    "evidence_withdrawn": "withdrew evidence",
    "level_changed": "gave another level, as the configuration now says",
    "verification_lapsed": "ended a verification that had run out",
    "verification_ended": "ended a verification: nothing on file gives a level any more",
    "verification_stopped": "ended a verification for what a register or list says",
    "member_flagged": "found that a member needs another look",
    "flag_gone": "found that the cause of a flag is gone",
    "flag_settled": "looked again at a member, and settled a flag",
    "admin_given": "made somebody an administrator",
    "admin_taken": "made somebody an administrator no longer",
    "credential_revoked": "took a credential back",
    "credential_restored": "gave a credential back",
    "login_linked": "linked a sign-in of the identity provider",
    "login_unlinked": "unlinked a sign-in of the identity provider",
    "member_added": "added a member",
    "member_enrolled": "took a member in from the identity provider",
    "no_admin_left": "left the last administrator in place",
    "password_set": "set a member's password",
    "pass_used_enter": "let a member in by a pass",
    "peer_set": "set a server's policy",
    "peer_unpinned": "let go of a server's key",
    "renewal_declined": "did not renew a credential",
    "token_created": "made a token for programs",
    "verification_renewed": "renewed a verification",
    "member_suspended": "suspended a member",
    "member_restored": "restored a member",
}


def application_state(state: State) -> str:
    return _STATES[state]


def cause(value: Cause) -> str:
    """A cause as a filter calls it."""
    return _CAUSES[value][0]


def cause_class(value: Cause) -> str:
    """How it is set: red for what could harm, amber for what will not keep."""
    return _CAUSES[value][1]


def rights(values: Collection[Right]) -> str:
    """To follow "lets you", in the order in which they grow."""
    found = [_RIGHTS[each] for each in Right if each in values]
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def told(value: object) -> str:
    """A value of a row's detail."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def deed(action: str) -> str:
    """An action of the audit log, to follow the name of who did it."""
    return _DEEDS.get(action, action.replace("_", " "))


def flag(value: Flagged) -> str:
    """Why a verified member needs another look."""
    return _FLAGS[value][0]


def flag_class(value: Flagged) -> str:
    """The class of the tag that says so."""
    return _FLAGS[value][1]
