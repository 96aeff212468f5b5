"""What an author writes: checked field by field, cleared by the guard, rendered. Pure.

BadInput and IdentifiersFound name the field as the form does: `title`, `presentation`, …, and
`alt-{id}` for the description of a picture.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from fedidoc.clinical import phi, text
from fedidoc.errors import BadInput
from fedidoc.model import Audience, CaseFields, CaseState, ClearedText, Specialty

AGE_BANDS = ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80-89", "90+")
"""Ages in decades; nobody is older than "90+" (45 CFR 164.514(b)(2)(i)(C))."""
SEXES = ("female", "male", "other", "unknown")
AUDIENCES = (Audience.FOLLOWERS, Audience.VERIFIED, Audience.PUBLIC)
TITLE_LIMIT = 200
TEXT_LIMIT = text.SOURCE_LIMIT
ALT_LIMIT = 1_500
PICTURES = 8

_MENTION = re.compile(r"(?<![\w@/.])@([A-Za-z0-9_][\w.-]{0,63})(?:@([A-Za-z0-9.:\[\]-]{1,255}))?")
_MENTIONS = 20


@dataclass(frozen=True, slots=True)
class CaseDraft:
    """A case as its form sends it. Texts are Markdown; `media` are (id, description).

    `confirmed` are the kinds of warning the author confirmed; `once` is the form's nonce: the same
    form sent twice opens one case.
    """

    title: str
    presentation: str
    question: str
    specialty: Specialty | None = None
    age_band: str | None = None
    sex: str | None = None
    findings: str = ""
    audience: Audience = Audience.VERIFIED
    media: tuple[tuple[str, str], ...] = ()
    confirmed: Collection[str] = ()
    once: str = ""


@dataclass(frozen=True, slots=True)
class ClearedCase:
    """A draft whose every text has passed the guard."""

    title: str
    fields: CaseFields
    html: str
    source: ClearedText
    """All its words, one section after the other."""
    media: tuple[tuple[str, str], ...]


def clear_case(draft: CaseDraft) -> ClearedCase:
    """Check and clear a new case. Raises BadInput or IdentifiersFound."""
    title = " ".join(draft.title.split())
    if not title:
        raise BadInput("Write a title.", field="title")
    if len(title) > TITLE_LIMIT:
        raise BadInput(f"A title has at most {TITLE_LIMIT} characters.", field="title")
    _check_text(draft.presentation, "presentation", required="Write what brought the patient.")
    _check_text(draft.findings, "findings")
    _check_text(draft.question, "question", required="Write what you would like to know.")
    if draft.age_band is not None and draft.age_band not in AGE_BANDS:
        raise BadInput("Choose an age from the list.", field="age_band")
    if draft.sex is not None and draft.sex not in SEXES:
        raise BadInput("Choose a sex from the list.", field="sex")
    if draft.audience not in AUDIENCES:
        raise BadInput("Choose who may read it.", field="audience")
    if len(draft.media) > PICTURES:
        raise BadInput(f"A case has at most {PICTURES} pictures.", field="media")
    media = tuple((media_id, " ".join(alt.split())) for media_id, alt in draft.media)
    for media_id, alt in media:
        if not alt:
            raise BadInput("Say what the picture shows.", field=f"alt-{media_id}")
        if len(alt) > ALT_LIMIT:
            raise BadInput(
                f"A description has at most {ALT_LIMIT} characters.", field=f"alt-{media_id}"
            )
    fields = CaseFields(
        specialty=draft.specialty,
        age_band=draft.age_band,
        sex=draft.sex,
        presentation=draft.presentation.strip(),
        findings=draft.findings.strip(),
        question=draft.question.strip(),
    )
    texts = {
        "title": title,
        "presentation": fields.presentation,
        "findings": fields.findings,
        "question": fields.question,
        **{f"alt-{media_id}": alt for media_id, alt in media},
    }
    cleared = phi.clear_fields(texts, confirmed=draft.confirmed)
    return ClearedCase(title, fields, case_html(fields), phi.join(cleared.values()), media)


def clear_reply(words: str, confirmed: Collection[str]) -> tuple[str, ClearedText]:
    """(HTML, source) of an answer. Raises BadInput or IdentifiersFound for the field `text`."""
    _check_text(words, "text", required="Write your answer.")
    cleared = phi.clear_fields({"text": words.strip()}, confirmed=confirmed)["text"]
    return text.render(cleared.text), cleared


def clear_outcome(
    fields: CaseFields, outcome: str, teaching: str, confirmed: Collection[str]
) -> tuple[CaseFields, ClearedText]:
    """(fields of the closed case, what was cleared). Raises BadInput or IdentifiersFound."""
    _check_text(outcome, "outcome", required="Write how it ended.")
    _check_text(teaching, "teaching_points")
    texts = {"outcome": outcome.strip(), "teaching_points": teaching.strip()}
    cleared = phi.clear_fields(texts, confirmed=confirmed)
    closed = replace(
        fields,
        state=CaseState.CLOSED,
        outcome=texts["outcome"],
        teaching_points=texts["teaching_points"],
    )
    return closed, phi.join(cleared.values())


def _check_text(words: str, field: str, *, required: str = "") -> None:
    if required and not words.strip():
        raise BadInput(required, field=field)
    if len(words) > TEXT_LIMIT:
        raise BadInput(f"This text has more than {TEXT_LIMIT:,} characters.", field=field)


def case_html(fields: CaseFields) -> str:
    """A case's sections as HTML, for previews and for readers that know no cases."""
    sections = (
        ("Presentation", fields.presentation),
        ("Findings", fields.findings),
        ("Question", fields.question),
        ("Outcome", fields.outcome),
        ("Teaching points", fields.teaching_points),
    )
    return "".join(
        f"<p><strong>{heading}</strong></p>{text.render(words)}"
        for heading, words in sections
        if words
    )


def mentions(words: str) -> list[tuple[str, str]]:
    """(username, host or "") of the handles in a text, each once, at most twenty."""
    found = (
        (m[1].rstrip(".-"), (m[2] or "").rstrip(".:").lower()) for m in _MENTION.finditer(words)
    )
    return list(dict.fromkeys(found))[:_MENTIONS]
