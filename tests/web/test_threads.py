"""Reading a thread and answering; who may."""

from tests.web.conftest import Site

QUIET = {"action": "publish"}


async def test_an_answer_stands_under_what_it_answers(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    post = await site.case("anna")
    path, action = f"/cases/{post.id}", f"/cases/{post.id}/answer"
    page = await bela.submit(
        await bela.get(path), action, {**QUIET, "text": "Tracer first, **always**."}
    )
    assert "answer is sent" in page.main.text
    first = page.main.one("article", aria_label="Answer by Bela")
    assert first.one("strong").text == "always"
    reply = first.attrs["id"].removeprefix("p-")
    page = await anna.get(f"{path}?answer={reply}")
    assert page.root.one(id="answer-title").text == "Answer Bela"
    page = await anna.submit(page, action, {**QUIET, "text": "Even with kappa raised?"})
    second = page.main.one("article", aria_label="Answer by Anna")
    holder = page.main.one("article", aria_label="Answer by Bela").parent
    assert holder is not None
    assert second in holder.all("article")
    assert (await bela.get("/notifications")).main.text.count("answered:") == 1
    assert (await anna.get(f"/cases/{reply}")).root.one("h1").text == post.title


async def test_an_empty_and_a_telling_answer_stay_in_the_form(site: Site) -> None:
    bela = await site.signed_in("bela")
    post = await site.case("anna")
    action = f"/cases/{post.id}/answer"
    page = await bela.submit(await bela.get(f"/cases/{post.id}"), action, {**QUIET, "text": " "})
    assert page.errors().keys() == {"text"}
    telling = "I knew him: MRN 12345678, write to a.b@mail.example."
    page = await bela.submit(page, action, {**QUIET, "text": telling})
    assert page.status == 400
    assert page.form(action).one("textarea").text == telling
    assert page.root.one(id="text-guard").all("mark")
    assert len(await site.posts()) == 1


async def test_sending_twice_answers_once(site: Site) -> None:
    bela = await site.signed_in("bela")
    post = await site.case("anna")
    page = await bela.get(f"/cases/{post.id}")
    for _ in range(2):
        await bela.submit(page, f"/cases/{post.id}/answer", {**QUIET, "text": "Tracer first."})
    assert len(await site.posts()) == 2


async def test_an_answer_is_drafted_where_it_belongs(site: Site) -> None:
    bela = await site.signed_in("bela")
    post, other = await site.case("anna"), await site.case("anna", title="Another")
    action = f"/cases/{post.id}/answer"
    await bela.submit(
        await bela.get(f"/cases/{post.id}"), action, {"action": "draft", "text": "Perhaps"}
    )
    assert "Perhaps" in (await bela.get(f"/cases/{post.id}")).form(action).text
    assert "Perhaps" not in (await bela.get(f"/cases/{other.id}")).html
    assert "Perhaps" in (await bela.get("/")).root.one("aside").text


async def test_thanks_are_given_and_taken_back(site: Site) -> None:
    bela = await site.signed_in("bela")
    post = await site.case("anna")
    action = f"/cases/{post.id}/like"
    page = await bela.submit(await bela.get(f"/cases/{post.id}"), action)
    assert page.form(action).one("button").attrs["aria-pressed"] == "true"
    page = await bela.submit(page, action)
    assert page.form(action).one("button").attrs["aria-pressed"] == "false"


async def test_only_a_public_case_can_be_passed_on(site: Site) -> None:
    bela = await site.signed_in("bela")
    public = await site.case("anna", audience="public")
    action = f"/cases/{public.id}/announce"
    page = await bela.submit(await bela.get(f"/cases/{public.id}"), action)
    assert page.form(action).one("button").attrs["aria-pressed"] == "true"
    page = await bela.submit(page, action)
    assert page.form(action).one("button").attrs["aria-pressed"] == "false"
    closed = await site.case("anna")
    page = await bela.get(f"/cases/{closed.id}")
    path = f"/cases/{closed.id}/announce"
    assert not page.root.all("form", action=path)
    token = page.root.one("input", name="csrf").attrs["value"]
    assert (await bela.post(path, {"csrf": token, "announced": "yes"})).status == 403


async def test_an_answer_is_changed_and_deleted_by_its_author_alone(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    post = await site.case("anna")
    reply = await site.answer("bela", post, "Tracer first.")
    for path in (f"/cases/{reply.id}/edit", f"/cases/{reply.id}/delete"):
        assert (await anna.get(path)).status == 404
    path = f"/cases/{reply.id}/edit"
    page = await bela.get(path)
    assert page.form(path).one("textarea").text == "Tracer first."
    held = await bela.submit(page, path, {**QUIET, "text": "Call 555-123-4567."})
    assert held.root.one(id="text-guard")
    page = await bela.submit(held, path, {**QUIET, "text": "Tracer, then genotype."})
    assert "Tracer, then genotype." in page.main.text
    path = f"/cases/{reply.id}/delete"
    page = await bela.submit(await bela.get(path), path)
    assert page.path.startswith(f"/cases/{post.id}")
    assert "Tracer, then" not in page.html


async def test_a_case_for_followers_does_not_exist_for_others(site: Site) -> None:
    """The same words and the same status as for a case that never was."""
    bela, cora = await site.signed_in("bela"), await site.signed_in("cora")
    await site.follow("bela", "anna")
    post = await site.case("anna", audience="followers")
    assert (await bela.get(f"/cases/{post.id}")).status == 200
    hidden = await cora.get(f"/cases/{post.id}")
    nothing = await cora.get("/cases/00000000000000000000000000")
    assert (hidden.status, hidden.main.text) == (404, nothing.main.text)
    assert post.title not in (await cora.get("/?show=all")).html
    assert post.title not in (await cora.get("/@anna")).html
    token = (await cora.get("/settings")).root.one("input", name="csrf").attrs["value"]
    for what in ("answer", "like", "edit", "delete", "close", "reopen"):
        fields = {"csrf": token, "text": "x", "liked": "yes", "outcome": "x", **QUIET}
        assert (await cora.post(f"/cases/{post.id}/{what}", fields)).status == 404
    assert len(await site.posts()) == 1


async def test_clinical_pages_are_closed_to_the_unverified_and_to_staff(site: Site) -> None:
    await site.house.sign_up("anna")
    await site.house.admin("rita")
    post = await site.case("bela")
    for browser in (await site.log_in("anna"), await site.log_in("rita")):
        real = await browser.get(f"/cases/{post.id}")
        unreal = await browser.get("/cases/unknown")
        assert real.status == unreal.status == 403
        assert real.main.text == unreal.main.text
        for path in ("/cases/new", "/find", "/requests", "/@bela", "/notifications"):
            assert (await browser.get(path)).status == 403
    staff = await (await site.log_in("rita")).get("/cases/new")
    assert "Cases are for clinicians" in staff.main.text
    out = site.browser()
    assert (await out.get(f"/cases/{post.id}")).path.startswith("/log-in")


async def test_a_long_chain_of_answers_is_a_page_like_any_other(site: Site) -> None:
    bela = await site.signed_in("bela")
    post = last = await site.case("anna")
    for number in range(40):
        last = await site.answer("bela" if number % 2 else "anna", last, f"Answer {number}.")
    page = await bela.get(f"/cases/{post.id}")
    assert page.status == 200
    assert len(page.main.all("article")) == 41
    assert [f"Answer {n}." in page.main.text for n in (0, 39)] == [True, True]
