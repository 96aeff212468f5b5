"""Cases and answers as statuses: reading, opening, answering, changing, deleting, thanking."""

from __future__ import annotations

from quart import Blueprint, request

from fedidoc.clinical.cases import CaseDraft
from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Account, Audience, Post, PostKind, Right, Specialty
from fedidoc.web import gate
from fedidoc.web.api import entities, fields
from fedidoc.web.api.callers import answer
from fedidoc.web.api.surroundings import statuses
from fedidoc.web.forms import Form
from fedidoc.web.gate import Response

blueprint = Blueprint("statuses", __name__)

_VISIBILITIES = {
    "public": Audience.PUBLIC,
    "unlisted": Audience.PUBLIC,
    "private": Audience.FOLLOWERS,
}
# Silently leaving one of these out would publish something else than was meant.
_ABSENT = ("poll", "scheduled_at", "quoted_status_id", "quote_id")
_KEY_LIMIT = 200


@blueprint.get("/api/v1/statuses/<post_id>")
async def read(post_id: str) -> Response:
    return await _status(gate.clinician(), post_id)


@blueprint.get("/api/v1/statuses/<post_id>/source")
async def source(post_id: str) -> Response:
    """The words of one's own post as they were written."""
    return answer(entities.source(await _own(gate.clinician(), post_id)))


@blueprint.get("/api/v1/statuses/<post_id>/context")
async def context(post_id: str) -> Response:
    """What a post answers, the case first, and what answers it, each answer under its own."""
    member = gate.clinician()
    thread = await gate.services().cases.thread(member, post_id)
    everything = {post.id: post for post in (thread.root, *thread.replies)}
    post = everything.get(post_id)
    if post is None or post.deleted is not None:
        raise NotFound
    above = _above(post, thread.root, everything)
    below = _below(post, thread.root, everything)
    shown = await statuses(member, [*above, *below], everything.values())
    return answer({"ancestors": shown[: len(above)], "descendants": shown[len(above) :]})


def _above(post: Post, root: Post, everything: dict[str, Post]) -> list[Post]:
    chain: list[Post] = []
    seen = {post.id}
    parent = everything.get(post.parent_id or "")
    while parent is not None and parent.id not in seen:
        seen.add(parent.id)
        chain.append(parent)
        parent = everything.get(parent.parent_id or "")
    if root.id not in seen:
        # A post between is not known here; the case is.
        chain.append(root)
    return [found for found in reversed(chain) if found.deleted is None]


def _below(post: Post, root: Post, everything: dict[str, Post]) -> list[Post]:
    under: dict[str, list[Post]] = {}
    for other in everything.values():
        if other.id != root.id:
            parent = other.parent_id if other.parent_id in everything else root.id
            under.setdefault(str(parent), []).append(other)
    found: list[Post] = []
    waiting = [*reversed(under.pop(post.id, []))]
    while waiting:
        other = waiting.pop()
        found.append(other)
        waiting += reversed(under.pop(other.id, []))
    return [other for other in found if other.deleted is None]


# Writing ----------------------------------------------------------------------------------------


@blueprint.post("/api/v1/statuses")
async def publish() -> Response:
    """An answer with `in_reply_to_id`, else a case."""
    member = gate.clinician()
    form = await _form()
    once = _once()
    answers = bool(form.line("in_reply_to_id"))
    gate.clinician(Right.ANSWER if answers else Right.OPEN)
    if answers:
        post = await _answer(member, form, once)
    else:
        with _named(form):
            post = await gate.services().cases.open_case(member, await _draft(member, form, once))
    return await _status(member, post.id)


@blueprint.put("/api/v1/statuses/<post_id>")
async def edit(post_id: str) -> Response:
    """Change one's own post; what is not sent stays, and who may read it stays."""
    member = gate.clinician()
    cases = gate.services().cases
    post = await _own(member, post_id)
    form = await _form()
    with _named(form):
        if post.kind is PostKind.CASE and post.fields is not None:
            await cases.edit_case(member, post_id, await _draft(member, form, "", post))
        else:
            _refuse_case_parts(form)
            words = form.get("status").strip()
            await cases.edit_reply(member, post_id, words, confirmed=form.chosen("confirmed"))
    return await _status(member, post_id)


@blueprint.delete("/api/v1/statuses/<post_id>")
async def delete(post_id: str) -> Response:
    """Delete one's own post; it comes back once more, with its words, to be written anew."""
    member = gate.clinician()
    post = await _own(member, post_id)
    (said,) = await statuses(member, [post])
    written = entities.source(post)
    await gate.services().cases.delete(member, post_id)
    return answer({**said, "text": written["text"], "spoiler_text": written["spoiler_text"]})


@blueprint.post("/api/v1/statuses/<post_id>/favourite")
async def thank(post_id: str) -> Response:
    member = gate.clinician()
    await gate.services().cases.like(member, post_id)
    return await _status(member, post_id)


@blueprint.post("/api/v1/statuses/<post_id>/unfavourite")
async def take_thanks_back(post_id: str) -> Response:
    member = gate.clinician()
    await gate.services().cases.unlike(member, post_id)
    return await _status(member, post_id)


@blueprint.post("/api/v1/statuses/<post_id>/reblog")
async def pass_on(post_id: str) -> Response:
    member = gate.clinician()
    await gate.services().cases.announce(member, post_id)
    return await _status(member, post_id)


@blueprint.post("/api/v1/statuses/<post_id>/unreblog")
async def no_longer_pass_on(post_id: str) -> Response:
    member = gate.clinician()
    await gate.services().cases.unannounce(member, post_id)
    return await _status(member, post_id)


async def _answer(member: Account, form: Form, once: str) -> Post:
    _refuse_case_parts(form)
    cases = gate.services().cases
    parent_id = form.line("in_reply_to_id")
    visibility = form.get("visibility")
    if visibility:
        _check_readers(await _readers(member, parent_id), visibility)
    with _named(form):
        return await cases.reply(
            member,
            parent_id,
            form.get("status").strip(),
            confirmed=form.chosen("confirmed"),
            once=once,
        )


async def _readers(member: Account, post_id: str) -> Audience:
    """Who will read an answer to a post: the readers of its case."""
    post = await gate.services().cases.get(member, post_id)
    if post.audience is Audience.DIRECT or post.case_id in {None, post.id}:
        return post.audience
    try:
        return (await gate.services().cases.get(member, str(post.case_id))).audience
    except NotFound:
        return post.audience


def _check_readers(audience: Audience, visibility: str) -> None:
    """An answer must not reach more people than its author asked for."""
    order = ["direct", "private", "unlisted", "public"]
    if visibility not in order:
        raise BadInput("This visibility is not known.", field="visibility")
    if order.index(visibility) < min(order.index(entities.VISIBILITIES[audience]), 2):
        raise BadInput(
            "Everybody who may read the case will read an answer to it; send no visibility, or"
            f" {entities.VISIBILITIES[audience]}.",
            field="visibility",
        )


def _refuse_case_parts(form: Form) -> None:
    if form.line("spoiler_text") or form.line("title"):
        raise BadInput("An answer has no title; write it into the text.", field="spoiler_text")
    if form.line("media_ids"):
        raise BadInput("An answer takes no pictures.", field="media_ids")


async def _draft(member: Account, form: Form, once: str, post: Post | None = None) -> CaseDraft:
    """A case from what was sent, over what `post` says already."""
    before = post.fields if post is not None else None
    title = form.line("title") or form.line("spoiler_text") or (post.title if post else "")
    if not title:
        raise BadInput(
            "A new post is a case: give it a `title`, or answer one with `in_reply_to_id`.",
            field="title",
        )

    def part(name: str, otherwise: str | None) -> str:
        return form.get(name).strip() if name in form.values else otherwise or ""

    return CaseDraft(
        title=title,
        presentation=part("status", before.presentation if before else None),
        findings=part("findings", before.findings if before else None),
        question=part("question", before.question if before else None) or title,
        specialty=await _specialty(form, before.specialty if before else member.specialty),
        age_band=part("age_band", before.age_band if before else None) or None,
        sex=part("sex", before.sex if before else None) or None,
        audience=post.audience if post is not None else _audience(form),
        media=await _pictures(member, form, post),
        confirmed=form.chosen("confirmed"),
        once=once,
    )


def _audience(form: Form) -> Audience:
    wanted = form.get("audience")
    if wanted:
        if wanted not in {audience.value for audience in Audience}:
            raise BadInput("Choose who may read it.", field="audience")
        return Audience(wanted)
    visibility = form.get("visibility")
    if not visibility:
        return Audience.VERIFIED
    if visibility not in _VISIBILITIES:
        raise BadInput(
            "A case is for followers (private) or public; `audience` says it more closely.",
            field="visibility",
        )
    return _VISIBILITIES[visibility]


async def _specialty(form: Form, otherwise: Specialty | None) -> Specialty | None:
    if "specialty" not in form.values:
        return otherwise
    code = form.line("specialty")
    found = await gate.services().specialties.find(code) if code else None
    if code and found is None:
        raise BadInput("This is no NUCC code of a specialty.", field="specialty")
    return found


async def _pictures(member: Account, form: Form, post: Post | None) -> tuple[tuple[str, str], ...]:
    ids = [media_id for media_id in form.chosen("media_ids") if media_id]
    if not ids:
        return tuple((media.id, media.alt) for media in post.media) if post else ()
    found = await gate.services().media.unpublished(member, ids)
    if len(found) != len(set(ids)):
        raise BadInput("One of the pictures is gone; upload it again.", field="media_ids")
    return tuple((media.id, media.alt) for media in found)


# Shared -----------------------------------------------------------------------------------------


async def _form() -> Form:
    form = await fields.sent()
    for name in form.values:
        if name.partition("[")[0] in _ABSENT:
            raise BadInput(
                "Polls, quotes and posts for later are not there; send the words alone.", field=name
            )
    return form


def _named(form: Form) -> fields.Renaming:
    """The rooms' names of fields as this call sent them."""
    plain = form.line("spoiler_text") and not form.line("title")
    title = "spoiler_text" if plain else "title"
    question = "question" if form.get("question").strip() else title
    names = {"text": "status", "presentation": "status", "title": title, "question": question}
    return fields.renamed(names)


def _once() -> str:
    """What makes a call that is sent twice do its work once."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > _KEY_LIMIT or not key.isprintable():
        raise BadInput(f"An Idempotency-Key has at most {_KEY_LIMIT} letters.")
    return f"api:{key}" if key else ""


async def _own(member: Account, post_id: str) -> Post:
    post = await gate.services().cases.get(member, post_id)
    if post.author.id != member.actor_id or post.deleted is not None:
        raise NotFound
    return post


async def _status(member: Account, post_id: str) -> Response:
    post = await gate.services().cases.get(member, post_id)
    if post.deleted is not None:
        raise NotFound
    (said,) = await statuses(member, [post])
    return answer(said)
