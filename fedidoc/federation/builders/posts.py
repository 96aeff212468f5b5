"""Cases and replies as documents, and whom they are addressed to. Pure.

A case is a `Note` with a name and readable HTML, which every server shows; the structured part
stands beside it in fedidoc's own terms (`case`, `audienceScope`), which others ignore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from fedidoc.activitypub.documents import PUBLIC
from fedidoc.clinical import drafting
from fedidoc.clock import iso
from fedidoc.federation.urls import Urls
from fedidoc.model import Actor, Audience, CaseFields, ClearedText, Media, Post


@dataclass(frozen=True, slots=True)
class Addressed:
    """The recipients of an object and of every activity about it."""

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()

    def fields(self) -> dict[str, list[str]]:
        return {"to": list(self.to), "cc": list(self.cc)}


def address(urls: Urls, post: Post, named: Sequence[Actor], case_author: Actor) -> Addressed:
    """Whom a local post is for.

    `named` are the actors it answers or mentions. `case_author` opened the case that it belongs to:
    an answer to a followers-only case is for that author's followers, not for the answerer's.
    """
    people = tuple(dict.fromkeys(actor.uri for actor in named))
    followers = (post.author.followers,) if post.author.followers else ()
    match post.audience:
        case Audience.FOLLOWERS if case_author.id != post.author.id:
            circle = (case_author.followers,) if case_author.followers else ()
            return Addressed(tuple(dict.fromkeys((*people, case_author.uri))), circle)
        case Audience.FOLLOWERS:
            return Addressed(followers + people)
        case Audience.VERIFIED:
            return Addressed((urls.verified, *people), followers)
        case Audience.PUBLIC:
            return Addressed((PUBLIC, *people), followers)
        case Audience.DIRECT:
            return Addressed(people)


def note(
    urls: Urls,
    post: Post,
    named: Sequence[Actor],
    *,
    case_author: Actor | None = None,
    context: str | None = None,
) -> dict[str, Any]:
    """A local case or reply. Its text must have passed the guard: TypeError if it has not.

    `case_author` as in `address`; a case's own author when it is left out.

    `context` is the URL of the thread's collection (FEP-7888).
    """
    if not post.local or not isinstance(post.source, ClearedText):
        raise TypeError("only text that has passed the guard may leave")
    document: dict[str, Any] = {
        "id": post.uri,
        "type": "Note",
        "attributedTo": post.author.uri,
        **address(urls, post, named, case_author or post.author).fields(),
        "published": iso(post.published),
        "url": post.url,
        "content": case_html(post.title, post.fields) if post.fields else post.html,
        "sensitive": post.sensitive,
        "attachment": [_image(urls, picture) for picture in post.media],
        "tag": [{"type": "Mention", "href": a.uri, "name": a.handle} for a in named],
    }
    if post.edited is not None:
        document["updated"] = iso(post.edited)
    if post.title:
        document["name"] = post.title
    if post.in_reply_to is not None:
        document["inReplyTo"] = post.in_reply_to
    if context is not None:
        document["context"] = context
    if post.audience is Audience.VERIFIED:
        document["audienceScope"] = "verified"
    if post.fields is not None:
        document["case"] = _case(post.fields)
    return document


def tombstone(post: Post, addressed: Addressed) -> dict[str, Any]:
    """What is left of a deleted post."""
    return {
        "id": post.uri,
        "type": "Tombstone",
        "formerType": "Note",
        "deleted": iso(post.deleted or post.published),
        **addressed.fields(),
    }


_SEXES = {"female": "female", "male": "male", "other": "other sex", "unknown": "sex not stated"}


def case_html(title: str, fields: CaseFields) -> str:
    """A case as a plain server shows it: the title in bold, then its sections."""
    age = f"age {fields.age_band}" if fields.age_band else None
    sex = _SEXES.get(fields.sex or "unknown")
    specialty = fields.specialty.label if fields.specialty else None
    line = " · ".join(part for part in (specialty, age, sex) if part)
    heading = f"<p><strong>{escape(title)}</strong></p>"
    return heading + (f"<p>{escape(line)}</p>" if line else "") + drafting.case_html(fields)


def _case(fields: CaseFields) -> dict[str, Any]:
    specialty = fields.specialty
    said: dict[str, Any] = {
        "type": "fedidoc:Case",
        "state": fields.state.value,
        "specialty": {"code": specialty.code, "label": specialty.label} if specialty else None,
        "ageBand": fields.age_band,
        "sex": fields.sex,
        "presentation": fields.presentation,
        "findings": fields.findings,
        "question": fields.question,
        "outcome": fields.outcome,
        "teachingPoints": fields.teaching_points,
    }
    return {term: value for term, value in said.items() if value}


def _image(urls: Urls, picture: Media) -> dict[str, Any]:
    return {
        "type": "Image",
        "mediaType": picture.media_type,
        "url": urls.media(picture.file) if picture.file else picture.remote_url,
        "name": picture.alt,
        "width": picture.width,
        "height": picture.height,
    }
