"""Opening a case and changing one: the form, its pictures, its draft."""

from __future__ import annotations

from quart import Blueprint, redirect, request

from fedidoc.clinical.drafting import AGE_BANDS, CaseDraft
from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Account, Audience, Media, Post, PostKind, Right
from fedidoc.web import forms, gate, words
from fedidoc.web.gate import Response
from fedidoc.web.pages.drafts import begun
from fedidoc.web.pages.specialties import chosen_specialty
from fedidoc.web.render import once, page

blueprint = Blueprint("writing", __name__)

LABELS = {
    "title": "Title",
    "specialty": "Specialty",
    "age_band": "Age",
    "sex": "Sex",
    "presentation": "Presentation",
    "findings": "Findings",
    "question": "Your question",
    "audience": "Who may read it",
    "text": "Your answer",
    "outcome": "Outcome",
    "teaching_points": "What it teaches",
}


@blueprint.get("/cases/new")
async def open_form() -> Response:
    account = gate.clinician(Right.OPEN)
    form, saved_at = await begun(
        account,
        "case",
        {
            "audience": Audience.VERIFIED.value,
            "specialty": account.specialty.label if account.specialty else "",
        },
    )
    return await _case_page(account, form, saved_at=saved_at)


@blueprint.post("/cases/new")
async def open_case() -> Response:
    account = gate.clinician(Right.OPEN)
    rooms = gate.services()
    form = await forms.sent()
    media = await _pictures(account, form)
    if form.get("action") == "draft":
        await rooms.drafts.save(account, "case", form.draft())
        return gate.go("/cases/new", "draft")
    draft = await _draft(form, media)
    if form.get("audience") not in {choice.value for choice in words.AUDIENCES}:
        form.refuse("audience", "Choose who may read it.")
    if not form.wrong:
        try:
            post = await rooms.cases.open_case(account, draft)
        except BadInput as error:
            form.refuse_for(error)
        else:
            await rooms.drafts.delete(account, "case")
            return gate.go(f"/cases/{post.id}", "published")
    return await _case_page(account, form, media=media, status=400)


@blueprint.get("/cases/<post_id>/edit")
async def edit_form(post_id: str) -> Response:
    account = gate.clinician()
    post = await own_post(account, post_id)
    place = f"edit:{post_id}"
    if post.kind is not PostKind.CASE or post.fields is None:
        form, _ = await begun(account, place, {"text": post.source.text if post.source else ""})
        return await page("cases/edit_answer.html", form=form, post=post, place=place)
    fields = post.fields
    began = {
        "title": post.title,
        "specialty": fields.specialty.label if fields.specialty else "",
        "age_band": fields.age_band or "",
        "sex": fields.sex or "",
        "presentation": fields.presentation,
        "findings": fields.findings,
        "question": fields.question,
        "audience": post.audience.value,
        "media": " ".join(item.id for item in post.media),
        **{f"alt-{item.id}": item.alt for item in post.media},
    }
    form, saved_at = await begun(account, place, began)
    return await _case_page(account, form, post=post, saved_at=saved_at)


@blueprint.post("/cases/<post_id>/edit")
async def edit(post_id: str) -> Response:
    account = gate.clinician()
    rooms = gate.services()
    post = await own_post(account, post_id)
    place = f"edit:{post_id}"
    form = await forms.sent()
    form.labels = dict(LABELS)
    form.tidy("text")
    is_case = post.kind is PostKind.CASE and post.fields is not None
    media = await _pictures(account, form) if is_case else []
    if form.get("action") == "draft":
        await rooms.drafts.save(account, place, form.draft())
        return gate.go(f"/cases/{post_id}/edit", "draft")
    try:
        if is_case:
            form.values["audience"] = post.audience.value
            draft = await _draft(form, media)
            if not form.wrong:
                await rooms.cases.edit_case(account, post_id, draft)
        else:
            await rooms.cases.edit_reply(
                account, post_id, form.get("text"), confirmed=form.chosen("confirmed")
            )
    except BadInput as error:
        form.refuse_for(error, otherwise="" if is_case else "text")
    if form.wrong:
        if is_case:
            return await _case_page(account, form, post=post, media=media, status=400)
        return await page("cases/edit_answer.html", status=400, form=form, post=post, place=place)
    await rooms.drafts.delete(account, place)
    return gate.go(f"/cases/{post_id}", "edited")


async def own_post(account: Account, post_id: str) -> Post:
    """The member's own post; NotFound for anybody else's, readable or not."""
    post = await gate.services().cases.get(account, post_id)
    if post.author.id != account.actor_id or post.deleted is not None:
        raise NotFound
    return post


async def _pictures(account: Account, form: forms.Form) -> list[Media]:
    """The pictures of the form: those kept from before, and new ones, stored at once.

    They are stored before anything else is looked at, so that a form which is refused for its
    words comes back with its pictures. The form's fields name them from then on.
    """
    room = gate.services().media
    form.labels = dict(LABELS)
    kept = [id for id in form.get("media").split() if not form.ticked(f"drop-{id}")]
    files = await request.files
    for number in range(1, gate.PICTURES + 1):
        name = f"picture-{number}"
        file = files.get(name)
        if file is None or not file.filename:
            continue
        if len(kept) >= gate.PICTURES:
            form.refuse(name, f"A case has at most {gate.PICTURES} pictures.")
            break
        alt = form.values.pop(f"describe-{number}", "").strip()
        try:
            media = await room.put(account, file.read(), alt)
        except BadInput as error:
            form.values[f"describe-{number}"] = alt
            form.refuse(name, error.text)
        else:
            kept.append(media.id)
            form.values[f"alt-{media.id}"] = alt
    form.values["media"] = " ".join(kept)
    return await room.unpublished(account, kept)


async def _draft(form: forms.Form, media: list[Media]) -> CaseDraft:
    form.tidy("presentation", "findings", "question")
    form.values["title"] = form.line("title")
    for number, item in enumerate(media, 1):
        form.labels[f"alt-{item.id}"] = f"Picture {number}"
        form.values[f"alt-{item.id}"] = form.line(f"alt-{item.id}")
        if not form.get(f"alt-{item.id}"):
            form.refuse(f"alt-{item.id}", "Say what it shows.")
    for name, text in (
        ("title", "Write a title."),
        ("presentation", "Write what brought the patient."),
        ("question", "Write what you would like to know."),
    ):
        if not form.get(name):
            form.refuse(name, text)
    specialty = await chosen_specialty(form)
    audience = form.get("audience")
    return CaseDraft(
        title=form.get("title"),
        specialty=specialty,
        age_band=form.get("age_band") or None,
        sex=form.get("sex") or None,
        presentation=form.get("presentation"),
        findings=form.get("findings"),
        question=form.get("question"),
        audience=Audience(audience) if audience in set(Audience) else Audience.FOLLOWERS,
        media=tuple((item.id, form.get(f"alt-{item.id}")) for item in media),
        confirmed=form.chosen("confirmed"),
        once=form.get("once"),
    )


async def _case_page(
    account: Account,
    form: forms.Form,
    *,
    post: Post | None = None,
    media: list[Media] | None = None,
    saved_at: int | None = None,
    status: int = 200,
) -> Response:
    rooms = gate.services()
    if media is None:
        media = await rooms.media.unpublished(account, form.get("media").split())
    place = f"edit:{post.id}" if post else "case"
    return await page(
        "cases/write.html",
        status=status,
        form=form,
        post=post,
        place=place,
        action=f"/cases/{post.id}/edit" if post else "/cases/new",
        once=form.get("once") or once(),
        saved_at=saved_at,
        has_draft=saved_at is not None or await rooms.drafts.load(account, place) is not None,
        media=media,
        pictures=gate.PICTURES,
        age_bands=[(band, words.age(band)) for band in AGE_BANDS],
        sexes=[(choice.value, choice.label) for choice in words.SEXES if choice.value != "unknown"],
        audiences=[
            choice
            for choice in words.AUDIENCES
            if not account.pseudonymous or choice.value == Audience.VERIFIED
        ],
        specialties=await rooms.specialties.common(),
    )


@blueprint.get("/cases")
async def cases() -> Response:
    return redirect("/", 303)
