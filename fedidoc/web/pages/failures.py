"""What went wrong, as a page of the same design. Nothing that was sent is shown or logged."""

from __future__ import annotations

from typing import Final

from quart import Quart, request
from quart import Response as Made
from werkzeug.exceptions import HTTPException

from fedidoc.errors import FedidocError, NotSignedIn, TooMany
from fedidoc.log import Log, cause_of
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.render import page

_log = Log("pages")

_HEADINGS: Final = {
    400: ("heed", "That could not be read"),
    401: ("lock", "Log in first"),
    403: ("lock", "This is not open to you"),
    404: ("find", "There is nothing here"),
    405: ("heed", "That cannot be done here"),
    408: ("clock", "That took too long"),
    409: ("heed", "Somebody was quicker"),
    413: ("heed", "That is too large"),
    429: ("clock", "A little slower, please"),
    502: ("peers", "The other server did not answer"),
    503: ("clock", "Not just now"),
}
_TEXTS: Final = {
    400: "The request was not complete. Go back, and send it again.",
    404: "There is nothing here, or it is not yours to see.",
    405: "This address does not take that kind of request.",
    408: "Your text did not arrive in time. Go back, and send it again.",
    413: "Send less at once: fewer or smaller pictures, or a shorter text.",
    500: "It is not your doing. It is noted, without what you wrote; try again in a minute.",
    429: "Too many requests came at once. Wait a moment, and try again.",
}


def register(app: Quart) -> None:
    """Answer every error with a page."""
    app.register_error_handler(FedidocError, _expected)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


async def _expected(error: Exception) -> Response:
    assert isinstance(error, FedidocError)
    if isinstance(error, NotSignedIn):
        return await _log_in_first()
    if isinstance(error, gate.StaleForm):
        return await _stale(error)
    response = await failure(error.status, error.text)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def _http(error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.response is not None or (error.code or 500) < 400:
        response: Response = error.get_response()
        return response
    response = await failure(error.code or 500, _TEXTS.get(error.code or 500, ""))
    for name, value in error.get_headers(None):
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


async def _unexpected(error: Exception) -> Response:
    rule = request.url_rule.rule if request.url_rule else "none"
    _log.error("page_failed", route=rule, method=request.method, cause=_where(error))
    try:
        return await failure(500, "")
    except Exception as again:
        # The frame of every page reads the database too; without one, plain words must do.
        _log.error("error_page_failed", cause=cause_of(again))
        return Made(
            "This server cannot answer now. Try again in a minute.\n",
            500,
            {"Content-Type": "text/plain"},
        )


def _where(error: BaseException) -> str:
    """The error's class and the innermost line of code: never its message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
    return cause_of(error) + place


async def failure(status: int, text: str) -> Response:
    """An error page."""
    sign, heading = _HEADINGS.get(status, ("heed", "Something went wrong here"))
    text = text or _TEXTS[500]
    ways = [("/", "To the first page"), ("/help", "Help")]
    account = gate.visitor()
    if account is not None and not account.verified and status == 403:
        ways = [("/application", "Your verification"), ("/help", "Help")]
    return await page("error.html", status=status, heading=heading, text=text, sign=sign, ways=ways)


async def _log_in_first() -> Response:
    if request.method in {"GET", "HEAD"}:
        target = gate.own_path(request.full_path.rstrip("?"))
        return gate.to_log_in(target)
    form = await forms.sent()
    return await log_in_page(
        forms.Form(),
        onward="/",
        place=form.get("place"),
        kept=form.draft(),
        pictures=bool(await request.files),
        status=401,
    )


async def _stale(error: gate.StaleForm) -> Response:
    account = gate.visitor()
    form = await forms.sent()
    place, words = form.get("place"), form.draft()
    path = forms.place_path(place)
    if account is not None and path and words:
        # Only our own pages get here (the origin was checked), so keeping the words is safe.
        await gate.services().drafts.save(account, place, words)
        return await page(
            "error.html",
            status=403,
            heading="Send it once more",
            text="You logged in anew since this form was opened. Nothing is lost: your text is"
            " saved as a draft.",
            sign="clock",
            ways=[(path, "Open the draft"), ("/", "To the first page")],
        )
    return await failure(403, error.text)


async def log_in_page(
    form: forms.Form,
    *,
    onward: str,
    place: str = "",
    kept: dict[str, str] | None = None,
    pictures: bool = False,
    status: int = 200,
) -> Response:
    """The log-in form; `kept` is what somebody was writing when their session ended."""
    config = gate.services().config
    return await page(
        "account/log_in.html",
        status=status,
        form=form,
        provider=config.identity_provider if config.identity_provider.issuer else None,
        next=onward,
        place=place,
        kept=list((kept or {}).items()) if place else [],
        pictures=pictures,
        open=config.membership.open and not config.identity_provider.exclusive,
    )
