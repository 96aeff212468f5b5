"""Ways to show who one is: an institution's address, documents, colleagues who vouch."""

from __future__ import annotations

from dataclasses import dataclass

from quart import Blueprint, request

from fedidoc.errors import BadInput, Conflict, TooMany, Unavailable
from fedidoc.model import Account, Role, Standing
from fedidoc.verification.documents import MOST, Document
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.mailbox import Asked, Mailbox
from fedidoc.verification.vouches import Wish
from fedidoc.web import forms, gate, words
from fedidoc.web.gate import Response
from fedidoc.web.render import page

blueprint = Blueprint("proofs", __name__, url_prefix="/application")

_BEFORE = (Standing.NEW, Standing.APPLIED, Standing.REFUSED)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that an alternative needs, in words, and whether it is done."""

    words: str
    done: bool


@dataclass(frozen=True, slots=True)
class Way:
    """One alternative of the house's rules: all of its steps. `at_once`: without a reviewer."""

    steps: tuple[Step, ...]
    at_once: bool

    @property
    def missing(self) -> bool:
        """Whether anything of it is still to be done."""
        return not all(step.done for step in self.steps)


@dataclass(frozen=True, slots=True)
class Ways:
    """What the page shows of all ways. A way that is closed here has nothing to show."""

    enough: tuple[Way, ...]
    provider: str
    domains: tuple[str, ...]
    mailboxes: tuple[Mailbox, ...]
    links: tuple[Asked, ...]
    takes_documents: bool
    documents: tuple[Document, ...]
    room: int
    most_bytes: int
    days: int
    wishes: tuple[Wish, ...]
    vouches_needed: int
    vouches_given: int


async def ways(account: Account) -> Ways:
    """All ways of a member, as they stand."""
    rooms = gate.services()
    before = account.standing in _BEFORE
    held = await rooms.review.standings.held(account)
    mailboxes, links = await rooms.mailboxes.state(account)
    documents = await rooms.documents.of_member(account) if before else ()
    wishes = await rooms.vouches.of_applicant(account) if before else ()
    return Ways(
        enough=_enough(account, held) if before else (),
        provider=_provider(),
        domains=rooms.mailboxes.domains.listed,
        mailboxes=mailboxes,
        links=links,
        takes_documents=before,
        documents=documents,
        room=MOST - len(documents),
        most_bytes=rooms.config.evidence.document_max_bytes,
        days=rooms.config.evidence.document_days,
        wishes=wishes,
        vouches_needed=rooms.vouches.needed if before else 0,
        vouches_given=sum(wish.given for wish in wishes),
    )


def _provider() -> str:
    """What the identity provider is called whose word is evidence; empty if there is none."""
    rules = gate.services().config.identity_provider
    return rules.name if rules.issuer and rules.verifies else ""


def _enough(account: Account, held: frozenset[EvidenceKind]) -> tuple[Way, ...]:
    """The alternatives that are the member's to bring about, each once."""
    rooms = gate.services()
    closed = {EvidenceKind.OPERATOR}
    if not _provider():
        closed.add(EvidenceKind.IDENTITY_PROVIDER)
    if not rooms.mailboxes.open:
        closed.add(EvidenceKind.INSTITUTIONAL_EMAIL)
    if not rooms.vouches.needed:
        closed.add(EvidenceKind.VOUCHES)
    found: dict[frozenset[EvidenceKind], Way] = {}
    for _, needed in rooms.policy.alternatives(account.role):
        if not needed & closed:
            steps = tuple(
                Step(words.evidence(kind.value), kind in held)
                for kind in EvidenceKind
                if kind in needed
            )
            found.setdefault(needed, Way(steps, rooms.policy.is_automatic(account.role, needed)))
    return tuple(found.values())


async def application_page(account: Account, form: forms.Form, status: int = 200) -> Response:
    """How the member's application stands, with every way to show who they are."""
    return await page(
        "account/application.html",
        status=status,
        form=form,
        application=await gate.services().review.current(account),
        ways=await ways(account) if account.role is not Role.STAFF else None,
    )


# An institution's address -------------------------------------------------------------------------


@blueprint.post("/email")
async def ask_address() -> Response:
    account = gate.member()
    form = await forms.sent()
    try:
        await gate.services().mailboxes.ask(account, form.line("address"))
    except (BadInput, Conflict, TooMany, Unavailable) as error:
        form.refuse("address", error.text)
        return await application_page(account, form, error.status)
    return gate.go("/application", "link")


@blueprint.get("/email/<token>")
async def look_at_link(token: str) -> Response:
    """What the link would confirm. Opening it confirms nothing: scanners of mail open links."""
    asked = await gate.services().mailboxes.look(gate.member(), token)
    return await page("account/address.html", asked=asked, token=token)


@blueprint.post("/email/<token>")
async def confirm_address(token: str) -> Response:
    await gate.services().mailboxes.confirm(gate.member(), token)
    return gate.go("/application", "address")


# Documents ----------------------------------------------------------------------------------------


@blueprint.post("/documents")
async def upload() -> Response:
    account = gate.member()
    form = await forms.sent()
    files = (await request.files).getlist("document")
    chosen = [file for file in files if file.filename] or files[:1]
    try:
        for file in chosen:
            await gate.services().documents.put(account, file.filename or "", file.read())
        if not chosen:
            raise BadInput("Choose a file first.", field="document")
    except (BadInput, Conflict) as error:
        form.refuse("document", error.text)
        return await application_page(account, form, error.status)
    return gate.go("/application", "uploaded")


@blueprint.post("/documents/<document_id>/delete")
async def delete_document(document_id: str) -> Response:
    await gate.services().documents.delete(gate.member(), document_id)
    return gate.go("/application", "destroyed")


# Colleagues ---------------------------------------------------------------------------------------


@blueprint.post("/vouches")
async def ask_colleague() -> Response:
    account = gate.member()
    form = await forms.sent()
    try:
        await gate.services().vouches.ask(account, form.line("colleague"))
    except (BadInput, Conflict, TooMany) as error:
        form.refuse("colleague", error.text)
        return await application_page(account, form, error.status)
    return gate.go("/application", "colleague")


@blueprint.post("/vouches/<vouch_id>/cancel")
async def cancel_request(vouch_id: str) -> Response:
    await gate.services().vouches.cancel(gate.member(), vouch_id)
    return gate.go("/application", "cancelled")
