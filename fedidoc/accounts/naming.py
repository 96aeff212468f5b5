"""What a member may be called: usernames, e-mail addresses, names. Pure."""

from __future__ import annotations

import re
from typing import Final

from fedidoc.errors import BadInput

_USERNAME: Final = re.compile(r"[a-z0-9_]{2,30}")
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f<>,;:\"()\[\]\\]{1,64}@[^@\s\x00-\x1f\x7f]{1,253}")
RESERVED: Final = frozenset(
    (
        "about", "abuse", "account", "accounts", "actor", "actors", "admin", "administrator",
        "api", "app", "apply", "auth", "badge", "cases", "contact", "credentials", "everyone",
        "federation", "fedidoc", "followers", "following", "health", "help", "home", "hostmaster",
        "inbox", "info", "instance", "login", "logout", "media", "moderation", "moderator",
        "moderators", "nodeinfo", "nobody", "notifications", "oauth", "official", "outbox",
        "owner", "peers", "postmaster", "privacy", "public", "relay", "review", "root",
        "security", "settings", "signup", "staff", "static", "support", "system", "terms",
        "users", "verification", "verified", "webfinger", "webmaster",
    )
)  # fmt: skip


def check_person(username: str, email: str, name: str, *, own: str) -> tuple[str, str, str]:
    """The three in the form in which they are stored; BadInput names the field.

    `own` is the instance's host name, which nobody else may bear.
    """
    username = username.strip().removeprefix("@").lower()
    if _USERNAME.fullmatch(username) is None:
        raise BadInput(
            "A username has 2 to 30 letters a to z, digits and underscores.", field="username"
        )
    if username in RESERVED or username in (own, own.partition(".")[0]):
        raise BadInput("This username is reserved; choose another.", field="username")
    email = email.strip()
    if len(email) > 254 or _EMAIL.fullmatch(email) is None or not email.isprintable():
        raise BadInput("This is not an e-mail address; check it.", field="email")
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise BadInput("Write your name as colleagues know it, at most 80 letters.", field="name")
    return username, email, name
