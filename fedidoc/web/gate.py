"""Who is asking, and whether they may: sessions, forged requests, headers, and errors as pages.

Every request passes here before a page sees it. A request that changes something must come from
this site (Origin and Sec-Fetch-Site), and carry the token of its session; before there is a
session, that of a random cookie. Everything is refused unless it is known to be right.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import quote, urlsplit

from quart import Response as MadeResponse
from quart import current_app, g, redirect, request
from werkzeug.wrappers import Response as PlainResponse

from fedidoc.accounts.attempts import LASTS
from fedidoc.clinical.audience import refusal
from fedidoc.errors import Forbidden, NotFound, NotSignedIn
from fedidoc.model import Account, Right, Role
from fedidoc.web.services import PseudonymRooms, Services

Response: TypeAlias = MadeResponse | PlainResponse

SERVICES: Final = "fedidoc.services"
# Enough for every form without pictures, and for what comes before a log-in.
SMALL_BODY: Final = 256 * 1024
PICTURES: Final = 4
DOCUMENTS: Final = "/application/documents"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = frozenset(
    {
        "entrance.log_in", "entrance.sign_up", "sso.use_pass", "pseudonyms.enrol",
        "pseudonyms.log_in", "pseudonyms.log_in_by_passkey", "pseudonyms.recover",
    }
)  # fmt: skip
# Posted to by the identity provider and not by a browser; a signature is what it is judged by.
_SIGNED: Final = frozenset({"sso.back_channel"})
# The pages that a pseudonym has; of a person's own there is none.
_OF_PSEUDONYMS: Final = frozenset(
    {"drafts", "home", "media", "people", "pseudonyms", "safety", "threads", "writing"}
)
_ALSO: Final = frozenset({"entrance.log_out"})
# What a muted pseudonym may still send.
_MUTED: Final = frozenset({"drafts", "pseudonyms", "safety"})
_PAINT: Final = frozenset({"static", "theme"})

_LONGEST_NAME: Final = 200

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Nothing goes to other sites. "no-referrer" would make browsers send `Origin: null` with our
    # own forms (Fetch, "append a request Origin header"), and there would be nothing to check.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(),"
        " magnetometer=(), microphone=(), payment=(), usb=()"
    ),
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}


class StaleForm(Forbidden):
    """The form's token is not the session's: opened before another log-in, or not ours."""

    def __init__(self) -> None:
        super().__init__("This form was opened too long ago; open it again and send it once more.")


@dataclass(frozen=True, slots=True)
class Cookies:
    """Names and lifetimes; the `__Host-` prefix (RFC 6265bis 4.1.3.2) binds them to this host."""

    secure: bool

    @property
    def session(self) -> str:
        return "__Host-session" if self.secure else "session"

    @property
    def pseudonym(self) -> str:
        """A pseudonym's session: never the same cookie, store or token as a person's."""
        return "__Host-pseudonym" if self.secure else "pseudonym"

    @property
    def visit(self) -> str:
        """A random token for the forms before there is a session."""
        return "__Host-visit" if self.secure else "visit"

    @property
    def sign_in(self) -> str:
        """What a sign-in by the identity provider was begun with, sealed."""
        return "__Host-sign-in" if self.secure else "sign-in"


def services() -> Services:
    """The rooms, from whatever page is being made; a pseudonym has rooms of its own."""
    mine: Services | None = g.get("rooms")
    if mine is not None:
        return mine
    found: Services = current_app.extensions[SERVICES]
    return found


def pseudonym_rooms() -> PseudonymRooms:
    """The rooms of pseudonyms; where there are none, their pages do not exist."""
    found = services().nyms
    if found is None:
        raise NotFound
    return found


def pseudonym() -> Account:
    """The pseudonym that is logged in; NotFound for a person, NotSignedIn for nobody."""
    pseudonym_rooms()
    account = visitor()
    if account is None:
        raise NotSignedIn("Log in first.")
    if not account.pseudonymous:
        raise NotFound
    return account


def _cookies() -> Cookies:
    return Cookies(services().config.base_url.startswith("https://"))


# Who is asking ---------------------------------------------------------------------------------


def visitor() -> Account | None:
    """The account of this session, whatever its standing; None when nobody is signed in."""
    account: Account | None = g.get("account")
    return account


def member() -> Account:
    """The signed-in account; NotSignedIn otherwise."""
    account = visitor()
    if account is None:
        raise NotSignedIn("Log in first.")
    return account


def clinician(right: Right = Right.READ) -> Account:
    """A verified member of a clinical role whose level has the right, and the right to read: the
    only one who reads or writes clinical things.

    Forbidden says the same whatever was asked for, so that nothing is learnt from it.
    """
    account = member()
    if account.role is Role.STAFF:
        raise Forbidden("Cases are for clinicians; your account is for running this instance.")
    for needed in (Right.READ, right):
        if not account.may(needed):
            raise Forbidden(refusal(account, needed))
    return account


def steward() -> Account:
    """Somebody who runs this instance; to all others these pages do not exist."""
    account = visitor()
    if account is None:
        raise NotSignedIn("Log in first.")
    if not account.admin:
        raise NotFound
    return account


def csrf() -> str:
    """The token for a form of this page."""
    token: str | None = g.get("csrf")
    if token is not None:
        return token
    visit: str | None = request.cookies.get(_cookies().visit)
    if visit is None or not 20 <= len(visit) <= 64:
        visit = secrets.token_urlsafe(24)
        g.new_visit = visit
    g.csrf = visit
    return visit


def session_token() -> str:
    """The value of the cookie of a person's session."""
    return request.cookies.get(_cookies().session, "")


def pseudonym_token() -> str:
    """The value of the cookie of a pseudonym's session."""
    return request.cookies.get(_cookies().pseudonym, "")


def own_origin() -> str:
    """Where pseudonyms log in: their own origin, or the instance's."""
    config = services().config
    return config.pseudonyms.origin or config.base_url


def at_own_origin() -> bool:
    """Whether this request came to the pseudonyms' own origin (never where they have none)."""
    origin = services().config.pseudonyms.origin
    return bool(origin) and request.headers.get("Host", "") == urlsplit(origin).netloc


def address() -> str:
    """The caller's IP address; what a proxy says of it counts only from a proxy that is trusted."""
    client = request.scope.get("client")
    found = str(client[0]) if client else "unknown"
    trusted = [ip_network(n) for n in services().config.server.trusted_proxies]
    # From right to left: each trusted proxy names the one that it was asked by.
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not _within(found, trusted) or not hop.strip():
            break
        found = hop.strip()
    return found


def _within(address: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def begin_session(response: Response, token: str) -> None:
    """Set the session's cookie; the visit's token is done."""
    cookies = _cookies()
    response.set_cookie(
        cookies.session,
        token,
        max_age=services().config.membership.session_days * 86_400,
        secure=cookies.secure,
        httponly=True,
        samesite="Lax",
        path="/",
    )
    response.delete_cookie(cookies.visit, path="/", secure=cookies.secure, httponly=True)


def leave() -> None:
    """The session has ended: what this request still shows, it shows to nobody in particular."""
    g.account, g.csrf = None, None


def begin_pseudonym_session(response: Response, token: str) -> None:
    """Set the pseudonym's cookie. It goes with the browser's window: a device keeps no trace."""
    cookies = _cookies()
    response.set_cookie(
        cookies.pseudonym,
        token,
        secure=cookies.secure,
        httponly=True,
        samesite="Strict",
        path="/",
    )
    response.delete_cookie(cookies.visit, path="/", secure=cookies.secure, httponly=True)


def end_session(response: Response) -> None:
    """Forget whoever was logged in here, and the forms from before."""
    cookies = _cookies()
    for name, same in (
        (cookies.session, "Lax"),
        (cookies.pseudonym, "Strict"),
        (cookies.visit, "Lax"),
    ):
        response.delete_cookie(name, path="/", secure=cookies.secure, httponly=True, samesite=same)


def sign_in_cookie() -> str:
    return request.cookies.get(_cookies().sign_in, "")


def remember_sign_in(response: Response, sealed: str) -> None:
    """Let this browser, and no other, finish the sign-in that it begins. The provider sends the
    browser back by a link, with which a cookie that is `Lax` comes along."""
    cookies = _cookies()
    response.set_cookie(
        cookies.sign_in,
        sealed,
        max_age=LASTS // 1000,
        secure=cookies.secure,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def forget_sign_in(response: Response) -> None:
    cookies = _cookies()
    response.delete_cookie(
        cookies.sign_in, path="/", secure=cookies.secure, httponly=True, samesite="Lax"
    )


def own_path(target: str | None, otherwise: str = "/") -> str:
    """A path of this site to go on to; anything that could lead elsewhere is not followed."""
    if (
        not target
        or len(target) > 500
        or not target.startswith("/")
        or target.startswith(("//", "/\\"))
        or any(ord(c) < 33 or c == "\\" or ord(c) == 127 for c in target)
    ):
        return otherwise
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return otherwise
    return target


def to_log_in(onward: str) -> Response:
    """To the log-in, and from there to `onward`."""
    return redirect(f"/log-in?next={quote(onward, safe='/')}" if onward != "/" else "/log-in", 303)


def go(path: str, said: str = "") -> Response:
    """After a change: on to a page (303), which may say a fixed sentence (`words.SAID`)."""
    if said:
        base, mark, fragment = path.partition("#")
        path = f"{base}{'&' if '?' in base else '?'}said={said}{mark}{fragment}"
    return redirect(path, 303)


# Every request ---------------------------------------------------------------------------------


async def admit() -> None:
    """Before every page: find the session; refuse what did not come from our own forms."""
    if request.endpoint in _PAINT:
        if len(request.path.encode()) > _LONGEST_NAME:
            raise NotFound  # a file system would call it an error
        return
    if "\0" in request.path or b"%00" in request.query_string:
        raise NotFound
    if at_own_origin() and not _is_of_pseudonyms():
        raise NotFound  # a person's pages are at the instance's own address
    await _find_session()
    if request.method in _SAFE or request.routing_exception is not None:
        return  # nothing is changed by it, or there is nothing there to change
    if request.endpoint in _SIGNED:
        return
    if not _from_here():
        raise Forbidden("This was sent from another site, so it was not done.")
    given = (await request.form).get("csrf", "")
    if visitor() is not None:
        if not _same(given, g.csrf):
            raise StaleForm
        return
    visit = request.cookies.get(_cookies().visit, "")
    if not visit or not _same(given, visit):
        if request.endpoint in _OPEN:
            raise StaleForm
        raise NotSignedIn("You were logged out meanwhile.")


async def _find_session() -> None:
    """Whose session this is: a person's or a pseudonym's, never both. Where pseudonyms have an
    origin of their own, each cookie counts on its own side only."""
    rooms = services()
    apart = bool(rooms.config.pseudonyms.origin)
    theirs = at_own_origin()
    token = "" if apart and theirs else session_token()
    if token:
        session = await rooms.accounts.session(token)
        if session is not None:
            g.account, g.csrf = session.account, session.csrf
            return
    token = "" if apart and not theirs else pseudonym_token()
    if token and rooms.nyms is not None:
        found = await rooms.nyms.accounts.session(token)
        if found is not None:
            if not _is_of_pseudonyms():
                raise NotFound
            g.rooms = rooms.for_pseudonym(jitter=found.jitter)
            g.account, g.csrf = found.account, found.csrf
            if found.muted and request.method not in _SAFE:
                _refuse_muted()


def _is_of_pseudonyms() -> bool:
    return request.blueprint in _OF_PSEUDONYMS or request.endpoint in _ALSO


def _refuse_muted() -> None:
    if request.blueprint not in _MUTED and request.endpoint not in _ALSO:
        raise Forbidden("The moderators muted this pseudonym: it reads, and does not write.")


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())


def _from_here() -> bool:
    """Whether the browser says that one of our pages sent this (Fetch Metadata, RFC 6454)."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    if origin in (services().config.base_url, services().config.pseudonyms.origin):
        # Of the two, that of the site which was asked: a form of the one is none of the other.
        return (origin == services().config.pseudonyms.origin) == at_own_origin()
    try:
        return urlsplit(origin).netloc == request.headers.get("Host") != ""
    except ValueError:
        return False  # a bracket too many: no browser wrote that


async def seal(response: Response) -> Response:
    """After every page: the headers that keep it here, and the visit's cookie if it is new."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    cookies = _cookies()
    if cookies.secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint not in _PAINT:
        response.headers.setdefault("Cache-Control", "no-store")
    visit = g.get("new_visit")
    if visit and visitor() is None:
        response.set_cookie(
            cookies.visit, visit, secure=cookies.secure, httponly=True, samesite="Lax", path="/"
        )
    return response
