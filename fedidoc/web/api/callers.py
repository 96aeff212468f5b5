"""Who calls the API, how often they may, and what they are told when something is wrong.

A call carries `Authorization: Bearer TOKEN` (RFC 6750 2.1); a token in the address or in a form is
not looked at, for those are written into logs. Whatever happens, the answer is JSON, and nothing
that was sent is in it or in the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson
from quart import Quart, current_app, g, request
from quart import Response as Made
from quart.wrappers import Request
from werkzeug.exceptions import HTTPException

from fedidoc.accounts.throttle import Throttle
from fedidoc.clinical.phi import IdentifiersFound
from fedidoc.clock import SECOND, Clock
from fedidoc.errors import BadInput, FedidocError, NotFound, NotSignedIn, TooMany
from fedidoc.log import Log, cause_of
from fedidoc.web import gate
from fedidoc.web.gate import Response

BRAKES: Final = "fedidoc.api.brakes"
# Besides a picture, its form holds a description and the lines between the parts.
_BESIDES: Final = 64 * 1024
_UPLOADS: Final = re.compile(r"/api/v[12]/media/?")
_OPEN: Final = frozenset({"instance.first", "instance.second"})
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}
_TEXTS: Final = {
    400: "The request cannot be read.",
    404: "There is nothing here, or it is not yours to see.",
    405: "This address does not take that kind of request.",
    408: "The request did not arrive in time.",
    413: "That is too large; send less at once.",
}

_log = Log("api")


@dataclass(frozen=True, slots=True)
class Brakes:
    """How much one member's programs may ask: of this server, and of others through it."""

    calls: Throttle
    lookups: Throttle

    @classmethod
    def of(cls, clock: Clock) -> Brakes:
        return cls(Throttle(clock, 300, SECOND), Throttle(clock, 20, 3 * SECOND))


def brakes() -> Brakes:
    found: Brakes = current_app.extensions[BRAKES]
    return found


def sized_request(picture: int) -> type[Request]:
    """A request class whose body may hold a picture of `picture` bytes where one is sent."""

    class SizedRequest(Request):
        def __init__(self, method: str, scheme: str, path: str, *rest: Any, **named: Any) -> None:
            if _UPLOADS.fullmatch(path):
                named["max_content_length"] = picture + _BESIDES
            super().__init__(method, scheme, path, *rest, **named)
            self.max_content_length = named["max_content_length"]

    return SizedRequest


def watch(app: Quart) -> None:
    """Stand before and after every call of the application."""
    app.before_request(_admit)
    app.after_request(_seal)
    app.register_error_handler(FedidocError, _expected)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


async def _admit() -> None:
    if "\0" in request.path or b"%00" in request.query_string:
        raise NotFound
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        g.account = await gate.services().accounts.token(token.strip())
    account = gate.visitor()
    if account is not None:
        brakes().calls.take(account.id)
    elif request.endpoint not in _OPEN:
        raise NotSignedIn("Send a token that is valid: `Authorization: Bearer TOKEN`.")


async def _seal(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def answer(document: Any, status: int = 200) -> Response:
    """A document as JSON."""
    return Made(orjson.dumps(document), status, content_type="application/json; charset=utf-8")


async def _expected(error: Exception) -> Response:
    assert isinstance(error, FedidocError)
    said: dict[str, Any] = {"error": error.text}
    status = error.status
    if isinstance(error, BadInput):
        status = 422
        if error.field:
            said["field"] = error.field
    if isinstance(error, IdentifiersFound):
        said["findings"] = [
            {
                "field": field,
                "start": finding.start,
                "end": finding.end,
                "kind": finding.kind.value,
                "severity": finding.severity.value,
                "words": finding.words,
            }
            for field, found in error.findings.items()
            for finding in found
        ]
    response = answer(said, status)
    if isinstance(error, NotSignedIn):
        response.headers["WWW-Authenticate"] = 'Bearer realm="fedidoc"'
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def _http(error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = error.code or 500
    response = answer({"error": _TEXTS.get(code, error.name)}, code)
    for name, value in error.get_headers(None):
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


async def _unexpected(error: Exception) -> Response:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
    rule = request.url_rule.rule if request.url_rule else "none"
    _log.error("call_failed", route=rule, method=request.method, cause=cause_of(error) + place)
    return answer({"error": "It is not your doing. It is noted; try again in a minute."}, 500)
