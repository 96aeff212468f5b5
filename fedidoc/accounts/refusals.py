"""Why somebody was not signed in by the identity provider, in words that say what to do. Pure."""

from __future__ import annotations

from typing import Final

from fedidoc.errors import FedidocError

_AGAIN: Final = "Go back to the log-in page and begin again."
_ASK: Final = "Ask your IT department"
_TEXTS: Final = {
    "away": "The provider does not answer. Try again in a minute; if it lasts, tell your IT"
    " department.",
    "cancelled": "Signing in was cancelled. Begin again whenever you like.",
    "provider_error": "The provider could not sign you in. Try again; if it lasts, tell your IT"
    " department.",
    "not_begun": f"This answer belongs to no sign-in that this browser began. {_AGAIN}",
    "too_late": f"Signing in took more than ten minutes. {_AGAIN}",
    "used_up": f"This sign-in was used already. {_AGAIN}",
    "again": f"Something changed meanwhile. {_AGAIN}",
    "not_yours": "Somebody else is logged in here now. Log in as yourself, and link the login"
    " under Settings once more.",
    "expired": "The provider's clock and this server's are apart, or signing in took too long. Try"
    " again; if it lasts, tell your IT department that the clocks differ.",
    "client_refused": f"The provider does not accept this server. {_ASK} to check the client's id"
    " and secret.",
    "bad_acr": f"You were signed in without the second factor that is needed here. {_ASK} how to"
    " sign in with it.",
    "group": f"Your login is not in the group that may come in here. {_ASK} to add you to it.",
    "groups_elsewhere": f"You are in more groups than the provider tells us. {_ASK} to send only"
    " the groups of this application.",
    "profession": f"The provider does not tell a profession that is taken here. {_ASK} to add"
    " yours to your login.",
    "unknown": "No account here is linked to this login. If you have one, log in with its password"
    " and link the login under Settings; else ask those who run this instance.",
    "email_taken": "An account here has your e-mail address already. If it is yours, log in with"
    " its password and link the login under Settings, or ask those who run this instance for a"
    " link that does it.",
    "taken": "This login belongs to another member. Sign in with your own, or ask those who run"
    " this instance.",
    "suspended": "This account is suspended; write to the instance's contact.",
    "no_username": f"The provider tells no username that can be used here. {_ASK} to send one.",
    "no_email": f"The provider tells no e-mail address of yours. {_ASK} to send it.",
    "no_name": f"The provider tells no name of yours. {_ASK} to send it.",
}
_TEXTS["not_yet"] = _TEXTS["expired"]
_OTHERWISE: Final = (
    "The provider's answer could not be trusted, so you were not signed in. Try again; if it lasts,"
    " tell your IT department."
)
_STATUS: Final = {"away": 502, "client_refused": 502, "provider_error": 502, "cancelled": 400}


class SignInRefused(FedidocError):
    """`reason` is one of our own words; a reason without a text of its own is a token or an answer
    that was not believed."""

    def __init__(self, reason: str) -> None:
        super().__init__(_TEXTS.get(reason, _OTHERWISE))
        self.reason = reason
        self.status = _STATUS.get(reason, 403)
