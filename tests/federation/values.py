"""Actors and posts as values, for tests of what is pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fedidoc.federation.urls import Urls
from fedidoc.model import (
    NO_BADGE,
    Actor,
    ActorKind,
    Audience,
    CaseFields,
    ClearedText,
    Media,
    Post,
    PostKind,
    Specialty,
)

URLS = Urls("https://st-olaf.example")
AWAY = Urls("https://society.example")


def actor(username: str, urls: Urls = URLS, **changes: Any) -> Actor:
    uri = urls.actor(username)
    made = Actor(
        id=f"id-{username}", uri=uri, kind=ActorKind.PERSON, username=username,
        host=urls.authority, local=urls is URLS, name=username.title(), summary_html="",
        inbox=urls.inbox(username), shared_inbox=urls.shared_inbox, outbox=urls.outbox(username),
        followers=urls.followers(username), following=urls.following(username),
        url=urls.profile_page(username), icon_url=None, approves_follows=False, discoverable=True,
        badge=NO_BADGE, created=1_790_000_000_000, refreshed=1_790_000_000_000,
    )  # fmt: skip
    return replace(made, **changes)


FIELDS = CaseFields(
    specialty=Specialty("207RC0000X", "Cardiovascular Disease"),
    age_band="60-69",
    sex="female",
    presentation="Syncope on **exertion**.",
    findings="Systolic murmur.",
    question="Surgery now?",
)


def case(**changes: Any) -> Post:
    made = Post(
        id="c1", uri=URLS.object("c1"), kind=PostKind.CASE, author=actor("ada"), local=True,
        audience=Audience.FOLLOWERS, title="Syncope & murmur", html="<p>Syncope</p>",
        source=ClearedText("Syncope", "1"), parent_id=None, case_id="c1", in_reply_to=None,
        fields=FIELDS,
        media=(Media("m1", "Parasternal view", "image/png", 640, 480, "m1.png"),),
        url=URLS.case_page("c1"), sensitive=True, published=1_790_000_000_000, edited=None,
        deleted=None,
    )  # fmt: skip
    return replace(made, **changes)


def reply(**changes: Any) -> Post:
    return case(
        **{
            "id": "r1",
            "uri": URLS.object("r1"),
            "kind": PostKind.REPLY,
            "title": "",
            "html": "<p>Valve first.</p>",
            "fields": None,
            "media": (),
            "sensitive": False,
            "parent_id": "c0",
            "case_id": "c0",
            "in_reply_to": AWAY.object("c0"),
            "recipients": ("id-bob",),
            **changes,
        }
    )
