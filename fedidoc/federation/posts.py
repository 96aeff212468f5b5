"""Posts from other servers as values for the clinical rooms. Pure.

Nothing of them is believed outside its author's origin, and their HTML is still raw here: it is
sanitised where it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from fedidoc.activitypub.addressing import same_origin
from fedidoc.activitypub.documents import ActivityDocument, ObjectDocument, is_public, read_object
from fedidoc.activitypub.errors import DocumentError
from fedidoc.clinical.drafting import AGE_BANDS, SEXES
from fedidoc.clinical.incoming import RemotePost
from fedidoc.clock import Clock
from fedidoc.federation.profiles import line, web_url
from fedidoc.model import Actor, Audience, CaseFields, CaseState, Media, Specialty

_TITLE_LENGTH = 300
_SECTION_LENGTH = 20_000
_CONTENT_LENGTH = 400_000
_ALT_LENGTH = 1_500
_PICTURES = 8
_PICTURE_TYPES = {"image/jpeg", "image/png", "image/webp", "image/gif", "image/avif"}
_WORD_LENGTH = 20


def names_in(document: ObjectDocument, activity: ActivityDocument | None = None) -> list[str]:
    """Ids of everybody a post is addressed to or mentions, collections among them."""
    to, cc = _recipients(document, activity)
    return list(dict.fromkeys((*to, *cc, *(href for href, _ in document.mentions))))


def read_post(
    document: ObjectDocument,
    activity: ActivityDocument | None,
    author: Actor,
    known: Mapping[str, Actor],
    clock: Clock,
) -> RemotePost:
    """A post by `author`, whom the caller has found to be its author.

    `known` are the actors of this database by id, at least those that the post names. `activity`
    fills in the recipients where the object has none. Raises DocumentError (`post_*`).
    """
    if document.id is None or not same_origin(document.id, author.uri):
        raise DocumentError("post_origin", "The post is not of its author's own server.")
    content = document.content or ""
    if len(content) > _CONTENT_LENGTH:
        raise DocumentError("post_too_long", "The post is too long.")
    if not document.content_is_html:
        content = f"<p>{escape(content)}</p>"
    fields = _read_case(document.case) if document.case is not None else None
    title = document.name or document.summary or ""
    named = (known.get(uri) for uri in names_in(document, activity))
    url = web_url(document.url)
    return RemotePost(
        uri=document.id,
        author=author,
        audience=audience_of(document, activity, author, known),
        title=line(title, _TITLE_LENGTH),
        html=content,
        in_reply_to=web_url(document.in_reply_to),
        fields=fields,
        media=tuple(_read_pictures(document, clock)),
        url=url if url and same_origin(url, author.uri) else document.id,
        sensitive=document.sensitive or bool(document.summary),
        published=document.published,
        edited=document.updated,
        recipients=tuple(dict.fromkeys(a.id for a in named if a is not None and a != author)),
    )


def audience_of(
    document: ObjectDocument,
    activity: ActivityDocument | None,
    author: Actor,
    known: Mapping[str, Actor],
) -> Audience:
    """Whom the author meant. Raises DocumentError (`post_audience`) if it is for nobody here."""
    to, cc = _recipients(document, activity)
    everybody = (*to, *cc)
    if document.audience_scope == "verified":
        return Audience.VERIFIED
    if any(is_public(iri) for iri in everybody):
        return Audience.PUBLIC
    if any(_is_followers_of(author, iri) for iri in everybody):
        return Audience.FOLLOWERS
    # An answer for the readers of a case: the followers of one whom it is addressed to.
    if any(iri == a.followers for iri in everybody for a in known.values() if a.uri in everybody):
        return Audience.FOLLOWERS
    named = {*everybody, *(href for href, _ in document.mentions)}
    if any((actor := known.get(uri)) is not None and actor.local for uri in named):
        return Audience.DIRECT
    raise DocumentError("post_audience", "The post is addressed to nobody here.")


def _is_followers_of(author: Actor, iri: str) -> bool:
    if author.followers is not None:
        return iri == author.followers
    return "/followers" in iri and same_origin(iri, author.uri)


def _recipients(
    document: ObjectDocument, activity: ActivityDocument | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if activity is None or document.to or document.cc:
        return document.to, document.cc
    return activity.to, activity.cc


def _read_case(case: dict[str, Any]) -> CaseFields | None:
    """fedidoc's structured part; None if it says nothing that can be shown."""
    texts = {name: _text(case.get(name), _SECTION_LENGTH) for name in _SECTIONS}
    if not any(texts.values()):
        return None
    state = _text(case.get("state"), _WORD_LENGTH)
    sex = _text(case.get("sex"), _WORD_LENGTH)
    age_band = _text(case.get("ageBand"), _WORD_LENGTH)
    return CaseFields(
        specialty=read_specialty(case.get("specialty")),
        # Only the known bands: none of them says an age over 89.
        age_band=age_band if age_band in AGE_BANDS else None,
        sex=sex if sex in SEXES else None,
        presentation=texts["presentation"],
        findings=texts["findings"],
        question=texts["question"],
        state=CaseState(state) if state in set(CaseState) else CaseState.OPEN,
        outcome=texts["outcome"],
        teaching_points=texts["teachingPoints"],
    )


_SECTIONS = ("presentation", "findings", "question", "outcome", "teachingPoints")


def _text(value: Any, length: int) -> str:
    return value[:length] if isinstance(value, str) else ""


def read_specialty(value: Any) -> Specialty | None:
    """The `specialty` of a document: its code and label; None if it is not whole."""
    if not isinstance(value, dict):
        return None
    code, label = line(_text(value.get("code"), 20), 20), line(_text(value.get("label"), 120), 120)
    return Specialty(code, label) if code and label else None


def _read_pictures(document: ObjectDocument, clock: Clock) -> list[Media]:
    pictures = []
    for item in document.attachments:
        url = web_url(item.url)
        if url is None or item.media_type not in _PICTURE_TYPES:
            continue
        alt = line(item.name or "", _ALT_LENGTH)
        pictures.append(
            Media(
                id=clock.random_id(),
                alt=alt,
                media_type=item.media_type,
                width=item.width or 0,
                height=item.height or 0,
                file=None,
                remote_url=url,
            )
        )
    return pictures[:_PICTURES]


def read_object_of(activity: ActivityDocument) -> ObjectDocument:
    """The post that an activity carries. Raises DocumentError when it carries none."""
    if activity.object is None:
        raise DocumentError("object_not_embedded", "The activity carries no object.")
    return read_object(activity.object)
