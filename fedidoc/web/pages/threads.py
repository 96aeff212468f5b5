"""A case and its answers: reading, answering, thanking, closing, deleting."""

from __future__ import annotations

from dataclasses import dataclass

from quart import Blueprint, redirect, request

from fedidoc.clinical.cases import Thread
from fedidoc.errors import BadInput, Conflict, Forbidden, NotFound
from fedidoc.model import Account, CaseState, Post, Right
from fedidoc.web import forms, gate
from fedidoc.web.gate import Response
from fedidoc.web.pages.drafts import begun
from fedidoc.web.pages.writing import LABELS, own_post
from fedidoc.web.render import once, page

blueprint = Blueprint("threads", __name__)

_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply in its place in the tree, and what this reader may do with it."""

    post: Post
    answers: list[Answer]
    mine: bool
    may_answer: bool
    liked: bool


@blueprint.get("/cases/<post_id>")
async def read(post_id: str) -> Response:
    account = gate.clinician()
    thread = await gate.services().cases.thread(account, post_id)
    if thread.root.id != post_id:
        wanted = request.args.get("answer")
        if wanted:
            return redirect(f"/cases/{thread.root.id}?answer={post_id}#answer-form", 303)
        return redirect(f"/cases/{thread.root.id}#p-{post_id}", 303)
    to = _addressed(thread, request.args.get("answer", ""))
    form, saved_at = await begun(account, f"answer:{to.id}", {})
    return await _thread_page(account, thread, to, form, saved_at=saved_at)


@blueprint.get("/objects/<post_id>")
async def read_by_uri(post_id: str) -> Response:
    """A person who opens an object's URL in a browser."""
    return redirect(f"/cases/{post_id}", 303)


@blueprint.post("/cases/<post_id>/answer")
async def answer(post_id: str) -> Response:
    account = gate.clinician(Right.ANSWER)
    rooms = gate.services()
    form = await forms.sent()
    form.labels = LABELS
    form.tidy("text")
    thread = await rooms.cases.thread(account, post_id)
    to = _addressed(thread, form.get("to"))
    place = f"answer:{to.id}"
    if form.get("action") == "draft":
        await rooms.drafts.save(account, place, form.draft())
        return gate.go(f"/cases/{thread.root.id}?answer={to.id}#answer-form", "draft")
    if not form.get("text"):
        form.refuse("text", "Write your answer.")
    if not form.wrong:
        try:
            post = await rooms.cases.reply(
                account,
                to.id,
                form.get("text"),
                confirmed=form.chosen("confirmed"),
                once=form.get("once"),
            )
        except (BadInput, Conflict, Forbidden) as error:
            if isinstance(error, BadInput):
                form.refuse_for(error, otherwise="text")
            else:
                form.refuse("text", error.text)
        else:
            await rooms.drafts.delete(account, place)
            return gate.go(f"/cases/{thread.root.id}#p-{post.id}", "answered")
    return await _thread_page(account, thread, to, form, status=400)


@blueprint.post("/cases/<post_id>/like")
async def thank(post_id: str) -> Response:
    account = gate.clinician()
    cases = gate.services().cases
    form = await forms.sent()
    if form.get("liked") == "yes":
        await cases.like(account, post_id)
    else:
        await cases.unlike(account, post_id)
    return redirect(f"/cases/{post_id}", 303)


@blueprint.get("/cases/<post_id>/close")
async def close_form(post_id: str) -> Response:
    account = gate.clinician()
    post = await _own_case(account, post_id)
    place = f"close:{post_id}"
    form, _ = await begun(account, place, {})
    return await page("cases/close.html", form=form, post=post, place=place)


@blueprint.post("/cases/<post_id>/close")
async def close(post_id: str) -> Response:
    account = gate.clinician()
    rooms = gate.services()
    post = await _own_case(account, post_id)
    form = await forms.sent()
    form.labels = LABELS
    form.tidy("outcome", "teaching_points")
    if not form.get("outcome"):
        form.refuse("outcome", "Write how it ended.")
    place = f"close:{post_id}"
    if not form.wrong:
        try:
            await rooms.cases.close(
                account,
                post_id,
                outcome=form.get("outcome"),
                teaching=form.get("teaching_points"),
                confirmed=form.chosen("confirmed"),
            )
        except BadInput as error:
            form.refuse_for(error, otherwise="outcome")
        else:
            await rooms.drafts.delete(account, place)
            return gate.go(f"/cases/{post_id}", "closed")
    return await page("cases/close.html", status=400, form=form, post=post, place=place)


@blueprint.post("/cases/<post_id>/reopen")
async def reopen(post_id: str) -> Response:
    account = gate.clinician()
    await gate.services().cases.reopen(account, post_id)
    return gate.go(f"/cases/{post_id}", "reopened")


@blueprint.get("/cases/<post_id>/delete")
async def delete_form(post_id: str) -> Response:
    post = await own_post(gate.clinician(), post_id)
    return await page("cases/delete.html", post=post)


@blueprint.post("/cases/<post_id>/delete")
async def delete(post_id: str) -> Response:
    account = gate.clinician()
    post = await own_post(account, post_id)
    await gate.services().cases.delete(account, post_id)
    onward = f"/cases/{post.case_id}" if post.case_id and post.case_id != post_id else "/"
    return gate.go(onward, "deleted")


async def _own_case(account: Account, post_id: str) -> Post:
    post = await own_post(account, post_id)
    if post.fields is None or post.fields.state is CaseState.CLOSED:
        raise NotFound
    return post


def _addressed(thread: Thread, post_id: str) -> Post:
    """The post of the thread that an answer goes to: the case itself unless another is named."""
    for post in thread.replies:
        if post.id == post_id and post.deleted is None:
            return post
    return thread.root


@blueprint.post("/cases/<post_id>/announce")
async def pass_on(post_id: str) -> Response:
    account = gate.clinician()
    cases = gate.services().cases
    form = await forms.sent()
    if form.get("announced") == "yes":
        await cases.announce(account, post_id)
    else:
        await cases.unannounce(account, post_id)
    return redirect(f"/cases/{post_id}", 303)


async def _thread_page(
    account: Account,
    thread: Thread,
    to: Post,
    form: forms.Form,
    *,
    saved_at: int | None = None,
    status: int = 200,
) -> Response:
    rooms = gate.services()
    root = thread.root
    mine = root.author.id == account.actor_id
    liked = await rooms.cases.liked(account, [root.id, *(post.id for post in thread.replies)])
    may_answer = thread.may_answer and root.deleted is None
    return await page(
        "cases/thread.html",
        status=status,
        form=form,
        post=root,
        mine=mine,
        liked=root.id in liked,
        announced=root.id in await rooms.cases.announced(account, [root.id]),
        answers=_tree(account, thread, liked, may_answer),
        may_answer=may_answer,
        to=to,
        place=f"answer:{to.id}",
        once=form.get("once") or once(),
        saved_at=saved_at,
        ledger=await rooms.cases.ledger(account, root.id) if mine else (),
        lapsed=await rooms.profiles.lapsed_since([root, *thread.replies]),
    )


def _tree(account: Account, thread: Thread, liked: set[str], may_answer: bool) -> list[Answer]:
    """The replies under what they answer; one whose parent is not known here stands at the top.

    Deeper than `_DEPTH` they stand beside each other: neither a page nor a phone is wide enough.
    """
    under: dict[str, list[Post]] = {}
    known = {post.id for post in thread.replies}
    waiting: list[tuple[Post, list[Answer], int]] = []
    top: list[Answer] = []
    for post in thread.replies:
        if post.parent_id in known:
            under.setdefault(str(post.parent_id), []).append(post)
        else:
            waiting.append((post, top, 0))
    waiting.reverse()
    while waiting:
        post, beside, depth = waiting.pop()
        mine = post.author.id == account.actor_id
        node = Answer(post, [], mine, may_answer and post.deleted is None, post.id in liked)
        beside.append(node)
        below = node.answers if depth < _DEPTH else beside
        for child in reversed(under.pop(post.id, [])):
            waiting.append((child, below, min(depth + 1, _DEPTH)))
    return top
