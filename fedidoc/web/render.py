"""Templates: the environment they are made in, and the few functions they may call.

Escaping is on everywhere. The one way past it is `html_of`, which takes a Post or an Actor and
nothing else: their HTML is sanitised when they are stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jinja2 import StrictUndefined
from markupsafe import Markup, escape
from quart import Quart, g, make_response, render_template, request

from fedidoc.clinical import text
from fedidoc.clinical.phi import Finding
from fedidoc.clock import iso
from fedidoc.model import Account, Actor, Post, Right, Role, Standing
from fedidoc.web import gate, terms, theme, words
from fedidoc.web.forms import Form
from fedidoc.web.gate import Response

STATIC: Final = Path(__file__).parent / "static"

# What a page may say after a change, by the word in its address. Nothing else can be said.
SAID: Final = {
    "published": "Your case is published.",
    "answered": "Your answer is sent.",
    "edited": "Your changes are saved and sent to everybody who has a copy.",
    "deleted": "It is deleted here, and the servers that have a copy are told to delete it.",
    "closed": "The case is closed with its outcome. Thank you for telling how it ended.",
    "reopened": "The case is open again.",
    "draft": "Your draft is saved. Only you can see it.",
    "discarded": "The draft is gone.",
    "followed": "You follow them now.",
    "asked": "Your request to follow is sent; they decide whether to accept it.",
    "unfollowed": "You no longer follow them.",
    "blocked": "You see nothing of theirs any more, and neither of you follows the other.",
    "unblocked": "They are blocked no longer. Follow them again if you wish.",
    "reported": "The stewards have your report. They alone know that it is yours.",
    "decided": "The report is settled, and your decision is written down.",
    "forwarded": "Their server gets your note, in this instance's name.",
    "moved": "Your followers are on their way to the other account.",
    "back": "You write here again.",
    "approved": "They follow you now.",
    "declined": "The request is declined.",
    "withdrawn": "Your application is taken back; you may apply again at any time.",
    "question": "Your question is sent; the application waits for the answer.",
    "removed": "They follow you no longer.",
    "applied": "Your application is with the reviewers.",
    "saved": "Your changes are saved.",
    "password": "Your password is changed, and all other sessions are ended.",
    "sessions": "You are logged out everywhere else.",
    "verified": "Approved: they are told, and their credential is issued.",
    "proposed": "Your approval is noted; a second reviewer has to confirm it.",
    "noted": "Your note is kept with the application.",
    "judged": "What you found is kept with the application.",
    "refused": "Refused: they see your reason and may apply again.",
    "settled": "What you found is kept; it is not raised again.",
    "renewal": "Your renewal is with the reviewers.",
    "kept": "Your renewal is taken back; you may ask again.",
    "renewed": "Renewed: they are told, and the new credential is on its way to every server.",
    "not_renewed": "Not renewed: they see your reason. Their credential holds to its end.",
    "peer": "The server's policy is changed.",
    "link": "A letter is on its way to that address. Open the link in it while you are logged in.",
    "address": "The address is confirmed.",
    "uploaded": "It is encrypted and kept for the reviewers.",
    "destroyed": "The document is destroyed.",
    "colleague": "If there is such a colleague and they may vouch, they see your request.",
    "cancelled": "Your request is taken back.",
    "vouched": "You vouch for them. Thank you.",
    "answered-no": "You did not vouch. They are not told.",
    "unvouched": "You no longer vouch for them.",
    "seen": "What you saw is recorded as evidence.",
    "passphrase": "Your passphrase is changed, and all other sessions are ended.",
    "passkey": "Your passkey is added; log in with it next time.",
    "tonight": "It is renewed with tonight's batch, together with those of others.",
    "sanctioned": "Done, and written into the audit log; the pseudonym sees your reason.",
    "escrow_asked": "The case is opened; another moderator has to approve it.",
    "escrow_approved": "Approved: the officers can be asked for their shares now.",
    "escrow_refused": "Refused: the case is over.",
    "resumed": "You are logged in again, and your text is here.",
    "enrolled": "Your account is made, and you are verified. Cases are open to you.",
    "linked": "Your login is linked: sign in with it from now on.",
    "unlinked": "Your login is no longer linked.",
    "welcome": "Your account is made. Next: have your licence verified.",
}


def html_of(value: Post | Actor) -> Markup:
    """The sanitised HTML of a post, or of what an actor says about themselves."""
    if isinstance(value, Post):
        return Markup(value.html)  # noqa: S704 sanitised when it was stored
    if isinstance(value, Actor):
        return Markup(value.summary_html)  # noqa: S704 likewise
    raise TypeError("Only a Post's or an Actor's HTML is sanitised")


def elsewhere(thing: Post | Actor) -> str:
    """The page of something on its own server; empty for ours, and for what is no web address."""
    url = thing.url or ""
    return url if not thing.local and url.startswith(("https://", "http://")) else ""


def narrative(source: str) -> Markup:
    """A section that somebody wrote, as sanitised HTML."""
    return Markup(text.render(source))  # noqa: S704 `render` sanitises


def gist(post: Post, length: int = 260) -> str:
    """The first words of a post, for a list: of a case what brought the patient."""
    if post.fields is not None and post.fields.presentation:
        return text.excerpt(text.render(post.fields.presentation[:1_000]), length)
    return text.excerpt(post.html, length)


def marked(source: str, findings: tuple[Finding, ...]) -> Markup:
    """A text with the guard's findings marked and numbered, for reading beside its field."""
    parts: list[str] = []
    last = 0
    for number, finding in enumerate(findings, 1):
        if finding.start < last:
            continue
        parts.append(str(escape(source[last : finding.start])))
        words_found = escape(source[finding.start : finding.end])
        parts.append(
            f'<mark class="{finding.severity.value}">{words_found}<sup>{number}</sup></mark>'
        )
        last = finding.end
    parts.append(str(escape(source[last:])))
    return Markup("".join(parts))  # noqa: S704 each part is escaped above


def prepare(app: Quart, accent: str) -> None:
    """Set the template environment of the app up."""
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.autoescape = True
    versions = {path.name: theme.version(path.read_bytes()) for path in STATIC.iterdir()}
    colours = theme.version(theme.stylesheet(accent))
    environment.globals.update(
        words=words,
        terms=terms,
        elsewhere=elsewhere,
        html_of=html_of,
        narrative=narrative,
        gist=gist,
        marked=marked,
        iso=iso,
        mark=lambda actor: gate.services().policy.mark_for(actor.badge),
        csrf=gate.csrf,
        static=lambda name: f"/static/{name}?v={versions[name]}",
        theme_url=f"/theme.css?v={colours}",
        Role=Role,
        Standing=Standing,
    )


async def page(
    template: str, *, status: int = 200, form: Form | None = None, **values: Any
) -> Response:
    """Make a page. `form` is there in every template, empty if the page has none."""
    rooms = gate.services()
    account = gate.visitor()
    now = rooms.clock.now()
    unread = 0
    if account is not None and account.may(Right.READ):
        unread = await rooms.notifications.unread(account)
    body = await render_template(
        template,
        form=form if form is not None else Form(),
        instance=rooms.config.instance,
        account=account,
        reads=_reads(account),
        opens=_reads(account) and account is not None and account.may(Right.OPEN),
        unread=unread,
        now=now,
        path=request.path,
        has_pseudonyms=rooms.nyms is not None,
        said=SAID.get(request.args.get("said", ""), ""),
        ago=lambda then: words.ago(then, now),
        **values,
    )
    return await make_response(body, status)


def _reads(account: Account | None) -> bool:
    """Whether clinical pages are open to this visitor; for what the frame offers."""
    return account is not None and account.may(Right.READ)


def once() -> str:
    """A fresh number for a form, so that sending it twice does its work once."""
    number: str = g.get("once") or gate.services().clock.random_id()
    return number
