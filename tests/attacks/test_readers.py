"""Every address of an instance, asked for by every kind of reader who may not read the case.

What may not be read answers, but for what a request says of itself, as what does not exist.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from PIL import Image

from fedidoc.errors import BadInput
from fedidoc.model import Audience, Post
from fedidoc.web import api
from tests.house import claim
from tests.web.browsing import Shown
from tests.web.conftest import Site
from tests.web.test_api import Answer, Caller

SECRET = "Zqxjk"
ABSENT = "0" * 26


@dataclass
class Ward:
    """Ada's case for her followers, Bob's answer in it; Carol is verified and follows nobody."""

    site: Site
    case: Post
    answer: Post

    async def caller(self, username: str) -> Caller:
        token = await self.site.house.accounts.create_token(username, by="operator")
        return Caller(self.site.app, self.site.origin, token)

    def pages(self) -> list[str]:
        """The GET addresses of pages and API with a place for an id or name."""
        apps = [self.site.app, api.create_api(self.site.services)]
        rules = [rule for app in apps for rule in app.url_map.iter_rules()]
        return sorted({r.rule for r in rules if r.arguments and "GET" in (r.methods or set())})

    def everything(self) -> list[str]:
        apps = [self.site.app, api.create_api(self.site.services)]
        found = set()
        for rule in (rule for app in apps for rule in app.url_map.iter_rules()):
            if "GET" in (rule.methods or set()):
                path = re.sub(r"<any\((\w+).*?>", r"\1", rule.rule)
                for name in ("ada", self.case.id, self.answer.id, self.case.author.id):
                    found.add(re.sub(r"<[^>]+>", name, path))
        found |= {
            f"/?show={show}" for show in ("all", "following", "for_you", "207RC0000X")
        } | {
            f"/find?q={SECRET}", f"/api/v2/search?q={SECRET}", f"/cases/{self.case.id}?answer=1",
            "/api/v1/timelines/home?limit=40", "/api/v1/timelines/public?limit=40",
            "/api/v1/notifications?limit=40",
        }  # fmt: skip
        return sorted(found)


@pytest.fixture
async def ward(site: Site) -> AsyncIterator[Ward]:
    api.register(site.app, site.services)
    for name in ("ada", "bob", "carol", "suspended"):
        await site.account(name)
    await site.house.sign_up("newcomer")
    refused = await site.house.sign_up("refused")
    admin = await site.house.admin("rita")
    application = await site.services.review.apply(refused, claim())
    await site.services.review.refuse(application, admin, "no")
    await site.follow("bob", "ada")
    case = await site.case(
        "ada",
        audience="followers",
        title=f"{SECRET} in the title",
        presentation=f"{SECRET} came in walking.",
        findings=f"{SECRET} was found.",
        question=f"What of {SECRET}?",
    )
    answer = await site.services.cases.reply(
        await site.account("bob"), case.id, f"I saw {SECRET} once, ask @carol about it."
    )
    await site.house.accounts.suspend("suspended", reason="test", by="operator")
    yield Ward(site, case, answer)


READERS = ("nobody", "newcomer", "refused", "rita", "carol")


@pytest.mark.parametrize("reader", READERS)
async def test_words_for_followers_are_nowhere_for_others(ward: Ward, reader: str) -> None:
    site = ward.site
    browser = site.browser() if reader == "nobody" else await site.log_in(reader)
    caller = Caller(site.app, site.origin) if reader == "nobody" else await ward.caller(reader)
    named = reader == "carol"  # Bob's answer names her: that answer is for her as well
    for path in ward.everything():
        if path == "/log-out":
            continue
        said: list[str] = []
        if path.startswith("/api"):
            answer = await caller.call("GET", path)
            said, status = [answer.body.decode(), *answer.headers.values()], answer.status
        else:
            shown = await browser.get(path, follow=False)
            said, status = [shown.html, *shown.headers.values()], shown.status
        assert status < 500, path
        words = "\n".join(said)
        if named:
            words = re.sub(rf"[^.]{{0,90}}I saw {SECRET} once[^.]{{0,90}}", "", words)
        words = re.sub(rf"q(=|%3D){SECRET}", "", words).replace(f'value="{SECRET}"', "")
        words = words.replace(f"“{SECRET}”", "")
        assert SECRET not in words, (path, words[max(0, words.find(SECRET) - 200) :][:400])


async def test_the_follower_does_read_it(ward: Ward) -> None:
    """The matrix above can fail: for Bob most of these addresses do say the words."""
    browser, caller = await ward.site.log_in("bob"), await ward.caller("bob")
    hits = 0
    for path in ward.everything():
        if path.startswith("/api"):
            hits += SECRET.encode() in (await caller.call("GET", path)).body
        else:
            hits += SECRET in (await browser.get(path, follow=False)).html
    assert hits > 8


def _bare(answer: Answer | Shown, asked: str) -> str:
    """An answer without what belongs to the request: the id asked for and one-time values."""
    headers = {k: v for k, v in answer.headers.items() if k not in {"set-cookie", "content-length"}}
    body = answer.body.decode() if isinstance(answer, Answer) else answer.html
    text = f"{answer.status} {headers} {body}".replace(asked, "ID")
    return re.sub(r'(name="(?:csrf|once)" value=")[^"]*', r"\1", text)


@pytest.mark.parametrize("reader", READERS)
async def test_what_is_not_yours_answers_as_what_does_not_exist(ward: Ward, reader: str) -> None:
    site = ward.site
    browser = site.browser() if reader == "nobody" else await site.log_in(reader)
    caller = Caller(site.app, site.origin) if reader == "nobody" else await ward.caller(reader)
    await browser.get("/log-in")
    target = ward.case.id
    checked = 0
    for rule in ward.pages():
        if "post_id" not in rule:
            continue
        checked += 1
        here, there = (re.sub(r"<[^>]+>", each, rule) for each in (target, ABSENT))
        if rule.startswith("/api"):
            one, other = await caller.call("GET", here), await caller.call("GET", there)
            assert _bare(one, target) == _bare(other, ABSENT), rule
        else:
            shown = await browser.get(here, follow=False)
            none = await browser.get(there, follow=False)
            assert _bare(shown, target) == _bare(none, ABSENT), rule
    assert checked >= 8


async def test_changing_what_is_not_yours_answers_as_what_does_not_exist(ward: Ward) -> None:
    """Carol cannot read it, Bob can: neither may change it."""
    site = ward.site
    before = await site.posts()
    carol, bob = await site.log_in("carol"), await site.log_in("bob")
    callers = {"carol": await ward.caller("carol"), "bob": await ward.caller("bob")}
    for name, browser in (("carol", carol), ("bob", bob)):
        csrf = (await browser.get("/cases/new")).root.one("input", name="csrf").attrs["value"]
        verbs = ["edit", "delete", "close", "reopen"]
        verbs += ["answer", "like"] if name == "carol" else []
        for verb in verbs:
            words = ("text", "outcome", "title", "question", "presentation", "liked")
            fields = dict.fromkeys(words, "Words") | {"csrf": csrf}
            one, other = [
                await browser.post(f"/cases/{post_id}/{verb}", fields, follow=False)
                for post_id in (ward.case.id, ABSENT)
            ]
            assert one.status == 404, (name, verb)
            assert _bare(one, ward.case.id) == _bare(other, ABSENT), (name, verb)
        calls = [("DELETE", ""), ("PUT", ""), ("GET", "/source")]
        calls += [("POST", "/favourite"), ("POST", "/unfavourite")] if name == "carol" else []
        for method, tail in calls:
            path = "/api/v1/statuses/{}" + tail
            data = None if method == "GET" else b"status=Words"
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if data else {}
            a, b = [
                await callers[name].call(method, path.format(each), data=data, headers=kind)
                for each in (ward.case.id, ABSENT)
            ]
            assert a.status == 404, (name, method, tail)
            assert _bare(a, ward.case.id) == _bare(b, ABSENT), (name, method, tail)
    assert await site.posts() == before


async def test_an_unlocked_answer_does_not_open_its_case(ward: Ward) -> None:
    """Carol is named in one answer: she reads that answer, and no word of the case."""
    carol = await ward.site.log_in("carol")
    page = await carol.get(f"/cases/{ward.answer.id}")
    assert page.status == 200
    assert f"I saw {SECRET} once" in page.html
    assert f"{SECRET} in the title" not in page.html
    assert "came in walking" not in page.html


@pytest.mark.parametrize("how", ["session", "token"])
async def test_a_suspended_member_is_out_at_once(ward: Ward, how: str) -> None:
    site = ward.site
    browser, caller = await site.log_in("bob"), await ward.caller("bob")
    assert (await browser.get(f"/cases/{ward.case.id}")).status == 200
    await site.house.accounts.suspend("bob", reason="test", by="operator")
    if how == "session":
        assert SECRET not in (await browser.get(f"/cases/{ward.case.id}")).html
    else:
        answer = await caller.call("GET", f"/api/v1/statuses/{ward.case.id}")
        assert answer.status == 401


async def test_a_private_answer_is_not_counted_for_others(ward: Ward) -> None:
    """Nor does it show in what state the case is."""
    site = ward.site
    case = await site.case("ada", audience="verified")
    peer = await site.colleague("eve", "peer.example")
    ada = await site.profile("ada")
    await site.receive(
        peer, "aside", audience=Audience.DIRECT, in_reply_to=case.uri, recipients=(ada.id,)
    )
    carol = await site.account("carol")
    page = await site.services.cases.timeline(carol, None, "all")
    (seen,) = [post for post in page.items if post.id == case.id]
    assert seen.replies == 0
    assert seen.fields is not None
    assert seen.fields.state.value == "open"
    thread = await site.services.cases.thread(carol, case.id)
    assert (thread.root.replies, len(thread.replies)) == (0, 0)


async def test_pictures_of_others_cannot_be_taken(ward: Ward) -> None:
    """A picture's id from somebody else's form or case attaches nothing."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    site = ward.site
    media = await site.services.media.put(await site.account("ada"), out.getvalue())
    with pytest.raises(BadInput):
        await site.case("carol", media=((media.id, "A picture"),))
    carol = await site.log_in("carol")
    assert (await carol.get(f"/media/{media.file}")).status == 404
    case = await site.case("ada", audience="followers", media=((media.id, "A picture"),))
    assert (await carol.get(f"/media/{media.file}")).status == 404
    assert (await (await site.log_in("bob")).get(f"/media/{media.file}")).status == 200
    assert _bare(await carol.get(f"/media/{media.file}"), str(media.file)) == _bare(
        await carol.get("/media/" + ABSENT + ".png"), ABSENT + ".png"
    )
    with pytest.raises(BadInput):
        await site.case("carol", media=((media.id, "A picture"),))
    assert (await site.services.cases.get(await site.account("ada"), case.id)).media
