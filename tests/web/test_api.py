"""The client API, called as scripts and Mastodon's clients call it."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from PIL import Image
from quart import Quart

from fedidoc.accounts.throttle import Throttle
from fedidoc.clinical.phi import scan
from fedidoc.model import Audience, Media
from fedidoc.storage import follows
from fedidoc.web import api, server
from fedidoc.web.api.callers import BRAKES, Brakes
from fedidoc.web.protocol import App
from tests.clinical.clinic import Clinic, remote
from tests.house import instance_keys
from tests.web.conftest import Site

CASE = {
    "title": "Breathless with a low-voltage ECG",
    "status": "Six months of worsening breathlessness, two pillows.",
    "findings": "NT-proBNP 6,200 ng/L.",
    "question": "Bone tracer first, or biopsy?",
    "age_band": "60-69",
    "sex": "male",
}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"].startswith("application/json"), self.body
        return json.loads(self.body)

    @property
    def ids(self) -> list[str]:
        return [item["id"] for item in self.json]


@dataclass
class Caller:
    """A program with a token, or without one."""

    app: Quart
    origin: str
    token: str | None = None

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.call("GET", path, query_string=query or None)

    async def post(self, path: str, document: Any = None, **headers: str) -> Answer:
        return await self.send("POST", path, document, **headers)

    async def put(self, path: str, document: Any) -> Answer:
        return await self.send("PUT", path, document)

    async def send(self, method: str, path: str, document: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Content-Type"] = "application/json"
        return await self.call(method, path, data=json.dumps(document or {}), headers=named)

    async def upload(self, data: bytes, description: str | None = None) -> Answer:
        parts = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        parts += data + b"\r\n"
        if description is not None:
            parts += b'--x\r\nContent-Disposition: form-data; name="description"\r\n\r\n'
            parts += description.encode() + b"\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        return await self.call("POST", "/api/v2/media", data=parts + b"--x--\r\n", headers=headers)

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        headers = {"Host": urlsplit(self.origin).netloc, **options.pop("headers", {})}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        client = self.app.test_client(use_cookies=False)
        response = await client.open(
            path, method=method, headers=headers, scheme=urlsplit(self.origin).scheme, **options
        )
        body: bytes = await response.get_data(as_text=False)
        lowered = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, lowered, body)


@dataclass
class Desk:
    """The site with its API, and callers for its members."""

    site: Site

    async def caller(self, username: str) -> Caller:
        """A program of a verified physician."""
        await self.site.account(username)
        return await self.of(username)

    async def of(self, username: str) -> Caller:
        token = await self.site.house.accounts.create_token(username, by="operator")
        return Caller(self.site.app, self.site.origin, token)

    def nobody(self) -> Caller:
        return Caller(self.site.app, self.site.origin)

    async def texts(self) -> str:
        """All that is stored of posts and pictures."""
        db = self.site.house.db
        rows = [
            *await db.fetch_all("SELECT title, html, source FROM posts"),
            *await db.fetch_all("SELECT presentation, findings, question FROM cases"),
            *await db.fetch_all("SELECT alt FROM media"),
        ]
        return "\n".join(str(tuple(row)) for row in rows)


@pytest.fixture
def desk(site: Site) -> Desk:
    api.register(site.app, site.services)
    return Desk(site)


def png(width: int = 8, height: int = 6) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (20, 120, 60)).save(out, "PNG")
    return out.getvalue()


def closed_routes(site: Site) -> list[tuple[str, str]]:
    """(method, path) of every route but those that are open, with some id in it."""
    rules = api.create_api(site.services).url_map.iter_rules()
    return [
        (method, re.sub(r"<[^>]+>", "01abc", rule.rule))
        for rule in rules
        if not rule.endpoint.startswith("instance.")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


# Who may call -----------------------------------------------------------------------------------


async def test_without_a_token_nothing_is_open(desk: Desk) -> None:
    routes = closed_routes(desk.site)
    assert len(routes) > 15
    for method, path in routes:
        if path.startswith("/media/"):
            continue  # without a token that is a page, and asks for a session
        answer = await desk.nobody().call(method, path)
        assert answer.status == 401, path
        assert "token" in answer.json["error"]
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_session_does_not_open_the_api_and_a_token_opens_no_page(desk: Desk) -> None:
    browser = await desk.site.signed_in("anna")
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    path = "/api/v1/accounts/verify_credentials"
    answer = await desk.nobody().call("GET", path, headers={"Cookie": cookies})
    assert answer.status == 401
    caller = await desk.of("anna")
    assert (await caller.get(path)).status == 200
    assert (await caller.get("/settings")).status == 303
    assert (await caller.get("/settings")).headers["location"].startswith("/log-in")
    post = await desk.site.case("anna")
    assert (await caller.post(f"/cases/{post.id}/like")).status in {401, 403}


async def test_only_the_header_is_looked_at(desk: Desk) -> None:
    caller = await desk.caller("anna")
    path = "/api/v1/timelines/home"
    assert (await caller.get(path)).status == 200
    assert (await desk.nobody().get(path, access_token=caller.token)).status == 401
    basic = {"Authorization": f"Basic {caller.token}"}
    assert (await desk.nobody().call("GET", path, headers=basic)).status == 401
    wrong = Caller(desk.site.app, desk.site.origin, str(caller.token)[:-1] + "~")
    assert (await wrong.get(path)).status == 401
    odd = Caller(desk.site.app, desk.site.origin, "fedidoc_ü")
    assert (await odd.get(path)).status == 401


@pytest.mark.parametrize("who", ["unverified", "staff"])
async def test_only_verified_clinicians_read_and_write(desk: Desk, who: str) -> None:
    if who == "staff":
        await desk.site.house.admin("rita")
        caller = await desk.of("rita")
    else:
        await desk.site.house.sign_up("newcomer")
        caller = await desk.of("newcomer")
    for method, path in closed_routes(desk.site):
        answer = await caller.call(method, path)
        if path.endswith("/verify_credentials"):
            assert answer.json["fedidoc"]["standing"] in {"new", "verified"}
            continue
        assert answer.status == 403, (method, path)
        assert answer.json["error"].startswith("Cases ")


async def test_a_suspended_members_token_is_worth_nothing(desk: Desk) -> None:
    caller = await desk.caller("anna")
    await desk.site.house.accounts.suspend("anna", reason="test", by="operator")
    assert (await caller.get("/api/v1/timelines/home")).status == 401


async def test_answers_are_closed_to_other_sites_and_kept_nowhere(desk: Desk) -> None:
    caller = await desk.caller("anna")
    origin = {"Origin": "https://elsewhere.example"}
    answer = await caller.call("GET", "/api/v1/timelines/public", headers=origin)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "set-cookie" not in answer.headers


async def test_a_program_that_asks_without_end_is_slowed_down(desk: Desk) -> None:
    calling = await desk.caller("anna")
    app = api.create_api(desk.site.services)
    clock = desk.site.house.clock
    app.extensions[BRAKES] = Brakes(Throttle(clock, 3, 1000), Throttle(clock, 1, 1000))
    caller = Caller(app, desk.site.origin, calling.token)
    found = [(await caller.get("/api/v1/timelines/home")).status for _ in range(4)]
    assert found == [200, 200, 200, 429]
    answer = await caller.get("/api/v1/timelines/home")
    assert answer.headers["retry-after"] == "2"
    clock.advance(2_000)
    search = {"q": "@bob@clinic.example", "resolve": "true"}
    assert (await caller.get("/api/v2/search", **search)).status == 502
    assert (await caller.get("/api/v2/search", **search)).status == 429


# The instance -----------------------------------------------------------------------------------


async def test_the_instance_says_public_facts_only(desk: Desk) -> None:
    await desk.caller("anna")
    for path in ("/api/v1/instance", "/api/v1/instance/"):
        answer = await desk.nobody().get(path)
        assert answer.json["uri"] == "st-olaf.example"
        assert answer.json["title"] == "St. Olaf Hospital"
        assert answer.json["version"].startswith("4.2.0 (compatible; fedidoc ")
        assert b"anna" not in answer.body.lower()
    second = (await desk.nobody().get("/api/v2/instance")).json
    assert second["domain"] == "st-olaf.example"
    assert second["configuration"]["statuses"]["max_characters"] == 20_000
    assert second["fedidoc"]["audiences"] == ["followers", "verified", "public"]


# Writing ----------------------------------------------------------------------------------------


async def test_a_case_is_opened_with_all_that_it_says(desk: Desk) -> None:
    anna, bob = await desk.caller("anna"), await desk.caller("bob")
    sent = await anna.post("/api/v1/statuses", {**CASE, "specialty": "207RN0300X"})
    assert sent.status == 200, sent.json
    read = (await bob.get(f"/api/v1/statuses/{sent.json['id']}")).json
    case = read["fedidoc"]
    assert (case["title"], case["state"], case["age_band"]) == (CASE["title"], "open", "60-69")
    assert (case["presentation"], case["findings"]) == (CASE["status"], CASE["findings"])
    assert (case["question"], case["sex"]) == (CASE["question"], "male")
    assert case["specialty"] == {"code": "207RN0300X", "label": "Nephrology"}
    assert (case["audience"], read["visibility"]) == ("verified", "private")
    assert CASE["title"] in read["content"] and "two pillows" in read["content"]
    assert datetime.fromisoformat(read["created_at"]).utcoffset() is not None
    assert read["account"]["acct"] == "anna"
    assert read["account"]["fedidoc"]["badge"]["verified"] is True
    assert "Verified physician" in read["account"]["fields"][0]["value"]
    (post,) = await desk.site.posts()
    assert post.fields is not None and post.fields.question == CASE["question"]
    events = [kind for kind, _ in await desk.site.house.events()]
    assert events.count("post_published") == 1


@pytest.mark.parametrize(
    ("said", "audience"),
    [
        ({}, "verified"),
        ({"visibility": "public"}, "public"),
        ({"visibility": "unlisted"}, "public"),
        ({"visibility": "private"}, "followers"),
        ({"visibility": "public", "audience": "followers"}, "followers"),
        ({"visibility": "private", "audience": "verified"}, "verified"),
    ],
)
async def test_who_may_read_a_case(desk: Desk, said: dict[str, str], audience: str) -> None:
    anna = await desk.caller("anna")
    sent = await anna.post("/api/v1/statuses", {**CASE, **said})
    assert sent.json["fedidoc"]["audience"] == audience
    (post,) = await desk.site.posts()
    assert post.audience is Audience(audience)


async def test_a_plain_client_opens_a_case_with_its_content_warning(desk: Desk) -> None:
    anna = await desk.caller("anna")
    form = {"status": "Two pillows.", "spoiler_text": "Breathless", "sensitive": "0"}
    answer = await anna.call("POST", "/api/v1/statuses", form=form)
    case = answer.json["fedidoc"]
    assert (case["title"], case["question"]) == ("Breathless", "Breathless")
    assert case["presentation"] == "Two pillows."
    assert case["specialty"]["code"] == "207RC0000X"  # the author's own


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"title": ""}, "title"),
        ({"status": "  "}, "status"),
        ({"visibility": "direct"}, "visibility"),
        ({"visibility": "nobody"}, "visibility"),
        ({"audience": "direct"}, "audience"),
        ({"audience": "world"}, "audience"),
        ({"age_band": "91-99"}, "age_band"),
        ({"sex": "x"}, "sex"),
        ({"specialty": "cardiology"}, "specialty"),
        ({"media_ids": ["01abc"]}, "media_ids"),
        ({"poll": {"options": ["a", "b"]}}, "poll"),
        ({"scheduled_at": "2027-01-01"}, "scheduled_at"),
        ({"title": "a" * 201}, "title"),
        ({"status": "a" * 20_001}, "status"),
    ],
)
async def test_what_is_wrong_is_named(desk: Desk, said: dict[str, Any], field: str) -> None:
    anna = await desk.caller("anna")
    answer = await anna.post("/api/v1/statuses", {**CASE, **said})
    assert answer.status == 422, answer.json
    assert answer.json["field"] == field
    assert await desk.site.posts() == []


async def test_the_guard_holds_a_case_back_and_nothing_is_stored(desk: Desk) -> None:
    anna = await desk.caller("anna")
    secret = "Call 555-867-5309, MRN 00482913."
    answer = await anna.post("/api/v1/statuses", {**CASE, "status": secret, "findings": secret})
    assert answer.status == 422
    found = answer.json["findings"]
    assert {item["field"] for item in found} == {"status", "findings"}
    words = {secret[item["start"] : item["end"]] for item in found}
    assert any("867-5309" in word for word in words)
    assert {item["severity"] for item in found} == {"block"}
    assert all(item["words"] for item in found)
    assert secret not in answer.body.decode()
    assert await desk.texts() == ""
    events = [kind for kind, _ in await desk.site.house.events()]
    assert "post_published" not in events
    again = await anna.post("/api/v1/statuses", {**CASE, "status": secret, "confirmed": ["phone"]})
    assert again.status == 422  # what blocks cannot be confirmed


async def test_what_the_guard_asks_about_can_be_confirmed(desk: Desk) -> None:
    anna = await desk.caller("anna")
    link = "See https://doi.org/10.1000/182 for the trial."
    assert {finding.kind.value for finding in scan(link)} == {"url"}
    held = await anna.post("/api/v1/statuses", {**CASE, "status": link})
    assert [(f["field"], f["kind"]) for f in held.json["findings"]] == [("status", "url")]
    assert await desk.site.posts() == []
    form = {**CASE, "status": link, "confirmed[]": "url"}
    assert (await anna.call("POST", "/api/v1/statuses", form=form)).status == 200
    (post,) = await desk.site.posts()
    assert post.source is not None and post.source.confirmed == ("url",)


async def test_the_guard_names_the_title_as_it_was_sent(desk: Desk) -> None:
    anna = await desk.caller("anna")
    held = await anna.post(
        "/api/v1/statuses", {"spoiler_text": "Call 555-867-5309", "status": "Two pillows."}
    )
    assert [f["field"] for f in held.json["findings"]] == ["spoiler_text"]


async def test_an_answer_comes_home_and_is_told_of(desk: Desk) -> None:
    anna, bob = await desk.caller("anna"), await desk.caller("bob")
    post = await desk.site.case("anna")
    sent = await bob.post(
        "/api/v1/statuses", {"status": "Bone tracer *first*.", "in_reply_to_id": post.id}
    )
    assert sent.json["in_reply_to_id"] == post.id
    assert sent.json["in_reply_to_account_id"] == post.author.id
    assert sent.json["fedidoc"] == {
        "kind": "reply",
        "audience": "verified",
        "case_id": post.id,
        "page": f"https://st-olaf.example/cases/{sent.json['id']}",
    }
    assert [person["acct"] for person in sent.json["mentions"]] == ["anna"]
    assert "<em>first</em>" in sent.json["content"]
    again = await anna.post(
        "/api/v1/statuses", {"status": "Thank you.", "in_reply_to_id": sent.json["id"]}
    )
    context = (await anna.get(f"/api/v1/statuses/{post.id}/context")).json
    assert context["ancestors"] == []
    assert [s["id"] for s in context["descendants"]] == [sent.json["id"], again.json["id"]]
    context = (await bob.get(f"/api/v1/statuses/{again.json['id']}/context")).json
    assert [s["id"] for s in context["ancestors"]] == [post.id, sent.json["id"]]
    notices = (await anna.get("/api/v1/notifications")).json
    assert [(n["type"], n["account"]["acct"]) for n in notices] == [("mention", "bob")]
    assert notices[0]["status"]["id"] == sent.json["id"]
    assert notices[0]["fedidoc"] == {"kind": "replied", "read": False}
    case = (await anna.get(f"/api/v1/statuses/{post.id}")).json
    assert (case["fedidoc"]["state"], case["replies_count"]) == ("answered", 2)


async def test_branches_stand_below_what_they_answer(desk: Desk) -> None:
    anna = await desk.caller("anna")
    case = await desk.site.case("anna")
    first = await desk.site.answer("bob", case, "First.")
    second = await desk.site.answer("carl", case, "Second.")
    below_first = await desk.site.answer("anna", first, "To the first.")
    context = (await anna.get(f"/api/v1/statuses/{case.id}/context")).json
    assert [s["id"] for s in context["descendants"]] == [first.id, below_first.id, second.id]
    context = (await anna.get(f"/api/v1/statuses/{first.id}/context")).json
    assert [s["id"] for s in context["descendants"]] == [below_first.id]
    await desk.site.services.cases.delete(await desk.site.account("bob"), first.id)
    context = (await anna.get(f"/api/v1/statuses/{case.id}/context")).json
    assert [s["id"] for s in context["descendants"]] == [below_first.id, second.id]
    assert (await anna.get(f"/api/v1/statuses/{first.id}/context")).status == 404


async def test_the_guard_holds_an_answer_back(desk: Desk) -> None:
    bob = await desk.caller("bob")
    post = await desk.site.case("anna")
    document = {"status": "Ask 555-867-5309.", "in_reply_to_id": post.id}
    answer = await bob.post("/api/v1/statuses", document)
    assert [item["field"] for item in answer.json["findings"]] == ["status"]
    assert "867-5309" not in await desk.texts()


@pytest.mark.parametrize(
    ("audience", "visibility", "status"),
    [
        ("verified", "private", 200),
        ("verified", "public", 200),
        ("verified", "direct", 422),
        ("public", "unlisted", 200),
        ("public", "private", 422),
        ("public", "direct", 422),
        ("followers", "private", 200),
    ],
)
async def test_an_answer_reaches_nobody_it_was_not_meant_for(
    desk: Desk, audience: str, visibility: str, status: int
) -> None:
    bob = await desk.caller("bob")
    post = await desk.site.case("anna", audience=audience)
    await desk.site.follow("bob", "anna")
    document = {"status": "Yes.", "in_reply_to_id": post.id, "visibility": visibility}
    answer = await bob.post("/api/v1/statuses", document)
    assert answer.status == status
    assert len(await desk.site.posts()) == (2 if status == 200 else 1)


async def test_words_that_have_no_place_in_an_answer_are_not_dropped(desk: Desk) -> None:
    bob = await desk.caller("bob")
    post = await desk.site.case("anna")
    picture = (await bob.upload(png(), "A green field.")).json["id"]
    for extra in ({"spoiler_text": "Mind this"}, {"media_ids": [picture]}):
        document = {"status": "Yes.", "in_reply_to_id": post.id, **extra}
        assert (await bob.post("/api/v1/statuses", document)).status == 422
    assert len(await desk.site.posts()) == 1


async def test_a_call_that_is_sent_twice_works_once(desk: Desk) -> None:
    anna, bob = await desk.caller("anna"), await desk.caller("bob")
    key = {"Idempotency_Key": "3f2a"}
    sent = await asyncio.gather(*(anna.post("/api/v1/statuses", CASE, **key) for _ in range(3)))
    assert len({answer.json["id"] for answer in sent}) == 1
    assert len(await desk.site.posts()) == 1
    other = await bob.post("/api/v1/statuses", CASE, **key)
    assert other.json["id"] != sent[0].json["id"]
    await anna.post("/api/v1/statuses", CASE)
    assert len(await desk.site.posts()) == 3
    long = await anna.post("/api/v1/statuses", CASE, Idempotency_Key="a" * 201)
    assert long.status == 422


# Changing ---------------------------------------------------------------------------------------


async def test_a_case_is_changed_where_something_new_is_sent(desk: Desk) -> None:
    anna = await desk.caller("anna")
    post_id = (await anna.post("/api/v1/statuses", CASE)).json["id"]
    source = (await anna.get(f"/api/v1/statuses/{post_id}/source")).json
    assert source == {"id": post_id, "text": CASE["status"], "spoiler_text": CASE["title"]}
    desk.site.house.clock.advance(60_000)
    changed = {"status": "Seven months.", "spoiler_text": source["spoiler_text"]}
    answer = await anna.put(f"/api/v1/statuses/{post_id}", changed)
    case = answer.json["fedidoc"]
    assert (case["presentation"], case["findings"]) == ("Seven months.", CASE["findings"])
    assert (case["title"], case["question"]) == (CASE["title"], CASE["question"])
    assert (case["age_band"], case["sex"]) == ("60-69", "male")
    assert answer.json["edited_at"] is not None
    cleared = await anna.put(f"/api/v1/statuses/{post_id}", {"age_band": "", "audience": "public"})
    assert cleared.json["fedidoc"]["age_band"] is None
    assert cleared.json["fedidoc"]["audience"] == "verified"
    held = await anna.put(f"/api/v1/statuses/{post_id}", {"findings": "SSN 536-22-1234"})
    assert [item["field"] for item in held.json["findings"]] == ["findings"]
    assert "536-22" not in await desk.texts()


async def test_an_answer_is_changed_and_deleted(desk: Desk) -> None:
    bob = await desk.caller("bob")
    post = await desk.site.case("anna")
    reply = await desk.site.answer("bob", post, "Biopsy.")
    answer = await bob.put(f"/api/v1/statuses/{reply.id}", {"status": "Tracer, then biopsy."})
    assert "Tracer, then biopsy." in answer.json["content"]
    gone = await bob.call("DELETE", f"/api/v1/statuses/{reply.id}")
    assert gone.json["text"] == "Tracer, then biopsy."
    assert (await bob.get(f"/api/v1/statuses/{reply.id}")).status == 404
    assert (await bob.call("DELETE", f"/api/v1/statuses/{reply.id}")).status == 404
    assert "Tracer" not in await desk.texts()


async def test_nobody_changes_what_is_somebody_elses(desk: Desk) -> None:
    bob = await desk.caller("bob")
    post = await desk.site.case("anna")
    path = f"/api/v1/statuses/{post.id}"
    assert (await bob.put(path, {"status": "Mine now."})).status == 404
    assert (await bob.call("DELETE", path)).status == 404
    assert (await bob.get(f"{path}/source")).status == 404
    (kept,) = await desk.site.posts()
    assert kept == post


async def test_thanks_are_given_and_taken_back(desk: Desk) -> None:
    anna, bob = await desk.caller("anna"), await desk.caller("bob")
    post = await desk.site.case("anna")
    path = f"/api/v1/statuses/{post.id}"
    liked = (await bob.post(f"{path}/favourite")).json
    assert (liked["favourited"], liked["favourites_count"]) == (True, 1)
    assert (await anna.get(path)).json["favourited"] is False
    assert [n["type"] for n in (await anna.get("/api/v1/notifications")).json] == ["favourite"]
    liked = (await bob.post(f"{path}/unfavourite")).json
    assert (liked["favourited"], liked["favourites_count"]) == (False, 0)
    assert (await anna.get("/api/v1/notifications")).json == []


# What is not for the reader ---------------------------------------------------------------------


async def test_what_is_for_followers_does_not_exist_for_others(desk: Desk) -> None:
    anna, carl = await desk.caller("anna"), await desk.caller("carl")
    picture = (await anna.upload(png(), "A green field.")).json
    document = {**CASE, "audience": "followers", "media_ids": [picture["id"]]}
    sent = (await anna.post("/api/v1/statuses", document)).json
    file = urlsplit(sent["media_attachments"][0]["url"]).path
    path = f"/api/v1/statuses/{sent['id']}"
    nowhere = (await carl.get("/api/v1/statuses/01abc")).body
    for address in (path, f"{path}/context", f"{path}/source", file):
        answer = await carl.get(address)
        assert (answer.status, answer.body) == (404, nowhere), address
    for deed in ("favourite", "unfavourite"):
        assert (await carl.post(f"{path}/{deed}")).body == nowhere
    document = {"status": "Hm.", "in_reply_to_id": sent["id"], "visibility": "public"}
    assert (await carl.post("/api/v1/statuses", document)).body == nowhere
    assert (await carl.get("/api/v1/timelines/public")).json == []
    written = f"/api/v1/accounts/{sent['account']['id']}/statuses"
    assert (await carl.get(written)).json == []
    assert (await anna.get(written)).ids == [sent["id"]]
    await carl.post(f"/api/v1/accounts/{sent['account']['id']}/follow")
    assert (await carl.get(path)).status == 200
    assert (await carl.get(file)).status == 200
    assert (await carl.get("/api/v1/timelines/home")).ids == [sent["id"]]


async def test_what_a_server_sent_is_gone_from_everywhere_once_it_is_blocked(desk: Desk) -> None:
    anna, house = await desk.caller("anna"), desk.site.house
    away = Clinic(house.db, desk.site.services.config.folder, instance_keys(), house.clock)
    trust = desk.site.services.trust
    await trust.allow("society.example", by="operator")
    dora = await away.colleague("dora")
    case = await desk.site.case("anna")
    picture = Media("m1", "An ECG", "image/png", 0, 0, None, "https://society.example/1.png")
    answered = remote(
        dora, "two-pillows", in_reply_to=case.uri, media=(picture,), recipients=(case.author.id,)
    )
    noted = remote(dora, "a-note", title="On tracers")
    assert await away.receive(answered, noted) == ["stored", "stored"]
    await anna.post(f"/api/v1/accounts/{dora.id}/follow")
    async with house.db.transaction() as tx:
        follow = await follows.between(tx, case.author.id, dora.id)
        assert follow is not None
        await away.follows.receive_accept(tx, follow)

    (note,) = (await anna.get("/api/v1/timelines/home")).json
    assert note["content"] == "<p><strong>On tracers</strong></p><p>a-note</p>"
    assert note["account"]["acct"] == "dora@society.example"
    assert note["account"]["url"] == "https://society.example/users/dora"
    assert note["account"]["fedidoc"]["badge"]["verified"] is False
    assert "Not verified" in note["account"]["fields"][0]["value"]
    known = await anna.get("/api/v2/search", q="@dora@society.example")
    assert [account["id"] for account in known.json["accounts"]] == [dora.id]
    notices = (await anna.get("/api/v1/notifications")).json
    (mention,) = [notice for notice in notices if notice["type"] == "mention"]
    (attached,) = mention["status"]["media_attachments"]
    assert (attached["type"], attached["url"]) == ("unknown", None)
    assert attached["remote_url"] == "https://society.example/1.png"

    await trust.block("society.example", by="operator")
    status_id = mention["status"]["id"]
    assert (await anna.get(f"/api/v1/statuses/{status_id}")).status == 404
    for path in (
        "/api/v1/notifications",
        "/api/v1/timelines/home",
        f"/api/v1/accounts/{dora.id}/statuses",
        f"/api/v1/statuses/{case.id}/context",
    ):
        answer = await anna.get(path)
        assert answer.status == 200
        assert b"two-pillows" not in answer.body and b"a-note" not in answer.body, path


# Lists ------------------------------------------------------------------------------------------


def next_of(answer: Answer) -> str | None:
    found = re.search(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
    if found is None:
        return None
    parts = urlsplit(found[1])
    assert (parts.scheme, parts.netloc) == ("https", "st-olaf.example")
    return f"{parts.path}?{parts.query}"


async def test_a_timeline_is_read_to_its_end_page_by_page(desk: Desk) -> None:
    anna, bob = await desk.caller("anna"), await desk.caller("bob")
    made = [(await desk.site.case("anna", title=f"Case {n}")).id for n in range(47)]
    newest_first = made[::-1]
    for path, limit in (
        ("/api/v1/timelines/public?limit=7", 7),
        ("/api/v1/timelines/public?limit=30", 30),
        (f"/api/v1/accounts/{(await desk.site.profile('anna')).id}/statuses?limit=20", 20),
    ):
        seen: list[str] = []
        address: str | None = path
        while address is not None:
            answer = await bob.get(address)
            assert 0 < len(answer.json) <= limit
            seen += answer.ids
            address = next_of(answer)
        assert seen == newest_first
    assert len((await bob.get("/api/v1/timelines/public?limit=4000")).json) == 40
    assert len((await bob.get("/api/v1/timelines/public")).json) == 20
    assert len((await bob.get("/api/v1/timelines/public?limit=-1")).json) == 20
    assert len((await bob.get("/api/v1/timelines/public?limit=0")).json) == 1
    since = await bob.get("/api/v1/timelines/public", since_id=newest_first[3], limit=10)
    assert since.ids == newest_first[:3]
    assert next_of(since) is None
    assert (await bob.get("/api/v1/timelines/public?remote=true")).json == []
    assert (await bob.get("/api/v1/timelines/home")).json == []
    assert (await anna.get("/api/v1/timelines/public?only_media=1")).json == []


async def test_notifications_are_filtered_and_marked_as_read(desk: Desk) -> None:
    anna, bob = await desk.caller("anna"), await desk.caller("bob")
    post = await desk.site.case("anna")
    await bob.post(f"/api/v1/statuses/{post.id}/favourite")
    await desk.site.answer("bob", post, "Tracer.")
    await desk.site.follow("bob", "anna")

    async def types(**query: Any) -> list[str]:
        answer = await anna.get("/api/v1/notifications", **query)
        return [notice["type"] for notice in answer.json]

    assert await types() == ["follow", "mention", "favourite"]
    assert await types(**{"types[]": "mention"}) == ["mention"]
    assert await types(**{"exclude_types[]": ["follow", "mention"]}) == ["favourite"]
    first = await anna.get("/api/v1/notifications", limit=1)
    second = await anna.get(str(next_of(first)))
    assert [n["type"] for n in second.json] == ["mention"]
    assert {n["fedidoc"]["read"] for n in (await anna.get("/api/v1/notifications")).json} == {False}
    assert (await anna.post("/api/v1/notifications/clear")).json == {}
    assert {n["fedidoc"]["read"] for n in (await anna.get("/api/v1/notifications")).json} == {True}


# People -----------------------------------------------------------------------------------------


async def test_following_and_what_is_between_two(desk: Desk) -> None:
    anna, bob = await desk.caller("anna"), await desk.caller("bob")
    one, other = await desk.site.profile("anna"), await desk.site.profile("bob")
    made = (await bob.post(f"/api/v1/accounts/{one.id}/follow", {"reblogs": True})).json
    assert (made["following"], made["requested"], made["followed_by"]) == (True, False, False)
    asked = await anna.get("/api/v1/accounts/relationships", **{"id[]": [other.id, "01abc"]})
    (between,) = asked.json
    assert (between["id"], between["following"], between["followed_by"]) == (other.id, False, True)
    whole = (await bob.get(f"/api/v1/accounts/{one.id}")).json
    assert (whole["followers_count"], whole["following_count"]) == (1, 0)
    ended = (await bob.post(f"/api/v1/accounts/{one.id}/unfollow")).json
    assert ended["following"] is False
    assert (await bob.post(f"/api/v1/accounts/{other.id}/follow")).status == 422
    assert (await bob.post("/api/v1/accounts/01abc/follow")).status == 404
    await desk.site.services.profiles.update(
        await desk.site.account("anna"), name="Anna", summary="", approves_follows=True,
        discoverable=True,
    )  # fmt: skip
    asked_for = (await bob.post(f"/api/v1/accounts/{one.id}/follow")).json
    assert (asked_for["following"], asked_for["requested"]) == (False, True)
    own = (await anna.get("/api/v1/accounts/verify_credentials")).json
    assert own["locked"] is True and own["source"]["follow_requests_count"] == 1


async def test_colleagues_are_found(desk: Desk) -> None:
    anna = await desk.caller("anna")
    bob = await desk.site.profile("bob")
    for acct in ("bob", "@bob", "bob@st-olaf.example", "@bob@ST-OLAF.example"):
        found = await anna.get("/api/v1/accounts/lookup", acct=acct)
        assert found.json["id"] == bob.id, acct
    assert (await anna.get("/api/v1/accounts/lookup", acct="bob@clinic.example")).status == 404
    assert (await anna.get("/api/v1/accounts/lookup")).status == 404

    async def search(**query: str) -> list[str]:
        answer = await anna.get("/api/v2/search", **query)
        assert answer.json["statuses"] == answer.json["hashtags"] == []
        return [account["acct"] for account in answer.json["accounts"]]

    assert await search(q="bo", type="accounts") == ["bob"]
    assert await search(q="@bob@st-olaf.example", resolve="true") == ["bob"]
    assert await search(q="@nobody@st-olaf.example", resolve="true") == []
    assert await search(q="@bob@clinic.example") == []
    assert await search(q="bo", type="statuses") == []
    assert await search(q="bo", type="accounts", offset="20") == []
    assert (await anna.get("/api/v2/search")).status == 422
    closed = await anna.get("/api/v2/search", q="https://127.0.0.1:8400/users/x", resolve="true")
    assert closed.status == 502
    assert "federates" in closed.json["error"]


# Pictures ---------------------------------------------------------------------------------------


async def test_a_picture_goes_with_its_description_into_a_case(desk: Desk) -> None:
    anna, bob = await desk.caller("anna"), await desk.caller("bob")
    picture = (await anna.upload(png(80, 60), "A low-voltage ECG.")).json
    assert picture["meta"]["original"] == {
        "width": 80, "height": 60, "size": "80x60", "aspect": 80 / 60,
    }  # fmt: skip
    file = urlsplit(picture["url"]).path
    assert (await bob.get(file)).status == 404  # not published yet
    assert (await anna.get(f"/api/v1/media/{picture['id']}")).json == picture
    assert (await bob.get(f"/api/v1/media/{picture['id']}")).status == 404
    stolen = await bob.post("/api/v1/statuses", {**CASE, "media_ids": [picture["id"]]})
    assert stolen.status == 422
    sent = await anna.post("/api/v1/statuses", {**CASE, "media_ids": [picture["id"]]})
    assert sent.json["media_attachments"] == [picture]
    assert sent.json["sensitive"] is True
    shown = await bob.get(file)
    assert shown.headers["content-type"] == "image/png"
    assert shown.body.startswith(b"\x89PNG")
    edited = await anna.put(f"/api/v1/statuses/{sent.json['id']}", {"status": "Seven months."})
    assert edited.json["media_attachments"] == [picture]
    assert (await anna.get("/api/v1/timelines/public?only_media=1")).ids == [sent.json["id"]]


async def test_pictures_that_are_not_taken(desk: Desk) -> None:
    anna = await desk.caller("anna")
    assert (await anna.upload(png())).json["field"] == "description"
    assert (await anna.upload(b"no picture", "An ECG.")).json["field"] == "file"
    held = await anna.upload(png(), "ECG of MRN 00482913")
    assert [item["field"] for item in held.json["findings"]] == ["description"]
    assert (await anna.post("/api/v2/media", {})).json["field"] == "file"
    limit = desk.site.services.config.media.max_bytes
    assert (await anna.upload(b"\0" * (limit + 70_000), "An ECG.")).status == 413
    assert await desk.texts() == ""


# Bad input --------------------------------------------------------------------------------------


async def test_any_bytes_get_a_clear_refusal(desk: Desk) -> None:
    anna = await desk.caller("anna")
    bodies = [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"status": "\\ud800"}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff=%ff", "application/x-www-form-urlencoded"),
        (b"--x", "multipart/form-data; boundary=x"),
        (b"x", "multipart/form-data"),
        (b"status=hello", "text/plain"),
        (b'{"title": {"a": 1}, "status": [[["x"]]]}', "application/json"),
        (b"a" * 300_000, "application/x-www-form-urlencoded"),
        (b'{"status": "' + b"a" * 300_000 + b'"}', "application/json"),
    ]
    for body, kind in bodies:
        for method, path in (("POST", "/api/v1/statuses"), ("POST", "/api/v2/media")):
            answer = await anna.call(method, path, data=body, headers={"Content-Type": kind})
            assert 400 <= answer.status < 500, (body[:20], kind, answer.status)
            assert answer.json["error"].endswith((".", "`."))
            if len(body) > 200_000 and path == "/api/v1/statuses":
                assert answer.status == 413
    assert await desk.site.posts() == []


async def test_addresses_that_lead_nowhere(desk: Desk) -> None:
    anna = await desk.caller("anna")
    for path in ("/api", "/api/", "/api/v1/nothing", "/api/v1/statuses/%00", "/api/v9/../x"):
        answer = await anna.get(path)
        assert answer.status == 404, path
        assert answer.json["error"]
    assert (await anna.get("/api/v1/timelines/home?max_id=%00")).status == 404
    odd = await anna.get("/api/v1/timelines/public", max_id="'; --", limit="9" * 30)
    assert odd.status == 200
    wrong = await anna.call("DELETE", "/api/v1/timelines/home")
    assert wrong.status == 405 and "GET" in wrong.headers["allow"]


# A real client ----------------------------------------------------------------------------------


@pytest.fixture
async def address(desk: Desk) -> AsyncIterator[str]:
    """The site on a socket."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    stop = asyncio.Event()
    running = asyncio.create_task(server.serve(cast(App, desk.site.app), listening, stop))
    yield f"http://127.0.0.1:{port}"
    stop.set()
    await running


async def test_mastodon_py_reads_and_answers(desk: Desk, address: str) -> None:
    library = pytest.importorskip("mastodon", reason="Mastodon.py is not installed")
    bob, anna = await desk.caller("bob"), await desk.caller("anna")
    made = [await desk.site.case("anna", title=f"Case {n}") for n in range(3)]
    await desk.site.follow("bob", "anna")
    said = await asyncio.to_thread(_use, library.Mastodon, address, str(bob.token), made[0].id)
    assert said == {
        "me": "bob",
        "home": ["Case 2", "Case 1", "Case 0"],
        "paged": ["Case 1", "Case 0"],
        "context": ["<p>Bone tracer first.</p>"],
        "liked": 1,
        "edited": "<p>Biopsy first.</p>",
        "found": "anna",
        "case": "An ECG of a field",
    }
    assert [n["type"] for n in (await anna.get("/api/v1/notifications")).json] == [
        "follow", "favourite", "mention",
    ]  # fmt: skip
    client = library.Mastodon(api_base_url=address, access_token=str(anna.token))
    notices = await asyncio.to_thread(client.notifications)
    assert [notice.type for notice in notices] == ["follow", "favourite", "mention"]
    assert await asyncio.to_thread(client.notifications_clear) is None
    with pytest.raises(library.MastodonNotFoundError):
        await asyncio.to_thread(client.status, "01abc")
    stranger = library.Mastodon(api_base_url=address, access_token="wrong")
    with pytest.raises(library.MastodonUnauthorizedError):
        await asyncio.to_thread(stranger.timeline_home)


def _use(mastodon: Any, address: str, token: str, case_id: str) -> dict[str, Any]:
    """What a small script does."""
    client = mastodon(api_base_url=address, access_token=token, request_timeout=20)
    said: dict[str, Any] = {"me": client.account_verify_credentials().acct}
    said["home"] = [status.fedidoc.title for status in client.timeline_home()]
    first = client.timeline_home(limit=1)
    said["paged"] = [status.fedidoc.title for status in client.fetch_remaining(first)][1:]
    assert client.status(case_id).created_at.year > 2000
    reply = client.status_post("Bone tracer first.", in_reply_to_id=case_id, idempotency_key="1")
    again = client.status_post("Bone tracer first.", in_reply_to_id=case_id, idempotency_key="1")
    assert reply.id == again.id
    said["context"] = [status.content for status in client.status_context(case_id).descendants]
    said["liked"] = client.status_favourite(case_id).favourites_count
    said["edited"] = client.status_update(reply.id, "Biopsy first.").content
    author = client.account_lookup("anna")
    assert client.account_relationships(author.id)[0].following
    assert client.account(author.id).fedidoc.badge.verified
    assert len(client.account_statuses(author.id)) == 3
    assert client.instance().title == "St. Olaf Hospital"
    said["found"] = (
        client.search_v2("@anna@st-olaf.example", result_type="accounts").accounts[0].acct
    )
    picture = client.media_post(png(), "image/png", description="A field.", synchronous=True)
    opened = client.status_post(
        "A field.", spoiler_text="An ECG of a field", media_ids=[picture], visibility="private"
    )
    said["case"] = client.status(opened.id).fedidoc.title
    client.status_delete(opened.id)
    client.account_unfollow(author.id)
    client.account_follow(author.id)
    return said
