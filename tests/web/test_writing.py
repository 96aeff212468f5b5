"""Opening, changing, closing and deleting a case; the guard beside the words; drafts; pictures."""

import io

from PIL import Image

from fedidoc.model import CaseState
from tests.web.browsing import values_of
from tests.web.conftest import Site

CASE = {
    "title": "Breathless with a low-voltage ECG",
    "specialty": "Cardiovascular Disease",
    "age_band": "70-79",
    "sex": "male",
    "presentation": "Six months of worsening breathlessness, two pillows.",
    "findings": "NT-proBNP 6,200 ng/L.",
    "question": "Bone tracer first, or biopsy?",
    "audience": "verified",
    "action": "publish",
}


def png(colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(data, "PNG")
    return data.getvalue()


async def test_a_case_is_opened_and_read_by_a_colleague(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    page = await anna.submit(await anna.get("/cases/new"), "/cases/new", CASE)
    assert page.status == 200
    assert "published" in page.main.text
    shown = await bela.get(page.path.partition("?")[0])
    assert shown.root.one("h1").text == CASE["title"]
    for words in ("Six months of worsening", "NT-proBNP", "Bone tracer first", "70–79", "male"):
        assert words in shown.main.text
    assert CASE["title"] in (await bela.get("/")).main.text


async def test_the_guard_marks_the_words_and_nothing_is_lost(site: Site) -> None:
    anna = await site.signed_in("anna")
    text = "  Mrs Miller was seen on 03/14/2024 <b>; call 555-123-4567."
    page = await anna.submit(
        await anna.get("/cases/new"), "/cases/new", {**CASE, "presentation": text}
    )
    assert page.status == 400
    assert page.errors().keys() == {"presentation"}
    box = page.root.one(id="presentation-guard")
    marks = [mark.children[0] for mark in box.all("mark")]
    assert marks == ["Mrs Miller", "03/14/2024", "555-123-4567"]
    assert [mark.attrs["class"] for mark in box.all("mark")] == ["warn", "block", "block"]
    assert "<b>" in box.one("p").text  # shown as typed, not as markup
    assert [box.attrs["value"] for box in box.all("input")] == ["name"]
    form = page.form("/cases/new")
    assert form.one("input", name="title").attrs["value"] == CASE["title"]
    assert form.one("textarea", name="presentation").text == text.strip()
    assert (
        "presentation-guard" in form.one("textarea", name="presentation").attrs["aria-describedby"]
    )
    assert not (await site.posts())


async def test_a_warning_is_confirmed_by_kind_but_a_block_never(site: Site) -> None:
    anna = await site.signed_in("anna")
    asked = {**CASE, "presentation": "Described at https://pubmed.ncbi.nlm.nih.gov/123456/ before."}
    page = await anna.submit(await anna.get("/cases/new"), "/cases/new", asked)
    assert page.root.one(id="presentation-guard").one("input").attrs["value"] == "url"
    page = await anna.submit(page, "/cases/new", {"action": "publish", "confirmed": "url"})
    assert page.status == 200
    blocked = {**CASE, "presentation": "Call 555-123-4567."}
    page = await anna.submit(
        await anna.get("/cases/new"), "/cases/new", blocked, also=[("confirmed", "phone")]
    )
    assert page.status == 400
    assert not page.root.one(id="presentation-guard").all("input")
    assert len(await site.posts()) == 1


async def test_missing_words_are_asked_for_all_at_once(site: Site) -> None:
    anna = await site.signed_in("anna")
    empty = {**CASE, "title": " ", "presentation": "", "question": "", "specialty": "Alchemy"}
    page = await anna.submit(await anna.get("/cases/new"), "/cases/new", empty)
    assert page.errors().keys() == {"title", "presentation", "question", "specialty"}
    for name in page.errors():
        assert page.root.one(id=name).attrs["aria-invalid"] == "true"


async def test_sending_twice_opens_one_case(site: Site) -> None:
    anna = await site.signed_in("anna")
    page = await anna.get("/cases/new")
    first = await anna.submit(page, "/cases/new", CASE)
    second = await anna.submit(page, "/cases/new", CASE)
    assert first.path == second.path
    assert len(await site.posts()) == 1
    again = await anna.submit(await anna.get("/cases/new"), "/cases/new", CASE)
    assert again.path != first.path


async def test_a_draft_is_kept_for_its_author_alone(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    page = await anna.submit(
        await anna.get("/cases/new"), "/cases/new", {**CASE, "action": "draft", "question": ""}
    )
    assert "draft is saved" in page.main.text
    assert page.form("/cases/new").one("input", name="title").attrs["value"] == CASE["title"]
    assert CASE["title"] in (await anna.get("/")).root.one("aside").text
    assert CASE["title"] not in (await bela.get("/")).html
    assert CASE["title"] not in (await bela.get("/cases/new")).html
    assert CASE["title"] not in await site.house.everything_stored()
    gone = await anna.submit(page, "/drafts/discard")
    assert CASE["title"] not in gone.html


async def test_the_script_saves_drafts_through_the_same_gate(site: Site) -> None:
    anna = await site.signed_in("anna")
    token = (await anna.get("/cases/new")).root.one("input", name="csrf").attrs["value"]
    fields = {"csrf": token, "place": "case", "title": "Half a thought", "password": "no"}
    assert (await anna.post("/drafts/save", fields)).status == 204
    assert "Half a thought" in (await anna.get("/cases/new")).html
    assert (await anna.post("/drafts/save", {**fields, "csrf": "x"})).status == 403
    assert (await anna.post("/drafts/save", {**fields, "place": "../x"})).status == 400


async def test_publishing_throws_the_draft_away(site: Site) -> None:
    anna = await site.signed_in("anna")
    await anna.submit(await anna.get("/cases/new"), "/cases/new", {**CASE, "action": "draft"})
    await anna.submit(await anna.get("/cases/new"), "/cases/new", CASE)
    form = (await anna.get("/cases/new")).form("/cases/new")
    assert form.one("input", name="title").attrs["value"] == ""


async def test_an_expired_session_keeps_the_case(site: Site) -> None:
    anna = await site.signed_in("anna")
    page = await anna.get("/cases/new")
    await site.house.accounts.log_out(anna.cookies["__Host-session"])
    page = await anna.submit(page, "/cases/new", CASE)
    assert page.status == 401
    page = await anna.submit(page, "/log-in", site.credentials("anna"))
    assert page.path.startswith("/cases/new")
    form = page.form("/cases/new")
    assert form.one("textarea", name="presentation").text == CASE["presentation"]
    assert form.one("option", value="70-79").attrs.get("selected") is not None
    assert not (await site.posts())


async def test_an_old_form_after_a_new_log_in_keeps_the_case(site: Site) -> None:
    anna = await site.signed_in("anna")
    page = await anna.get("/cases/new")
    anna.cookies = (await site.log_in("anna")).cookies
    page = await anna.submit(page, "/cases/new", CASE)
    assert page.status == 403
    assert "Nothing is lost" in page.main.text
    again = await anna.get(page.main.one("a").attrs["href"])
    assert again.form("/cases/new").one("input", name="title").attrs["value"] == CASE["title"]
    assert not (await site.posts())


async def test_a_picture_needs_words_and_survives_a_refusal(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    page = await anna.submit(
        await anna.get("/cases/new"), "/cases/new", CASE, files={"picture-1": ("a.png", png())}
    )
    assert page.status == 400
    form = page.form("/cases/new")
    media = form.one("input", name="media").attrs["value"]
    assert page.errors().keys() == {f"alt-{media}"}
    picture = form.one("img")
    assert (await anna.get(picture.attrs["src"])).status == 200
    assert (await bela.get(picture.attrs["src"])).status == 404
    page = await anna.submit(
        page, "/cases/new", {"action": "publish", f"alt-{media}": "A red square."}
    )
    assert page.status == 200
    shown = await bela.get(page.path.partition("?")[0])
    picture = shown.main.one("img")
    assert picture.attrs["alt"] == "A red square."
    assert (await bela.get(picture.attrs["src"])).status == 200
    assert (await site.browser().get(picture.attrs["src"])).path.startswith("/log-in")


async def test_a_draft_keeps_its_pictures_and_one_is_taken_out(site: Site) -> None:
    anna = await site.signed_in("anna")
    page = await anna.submit(
        await anna.get("/cases/new"), "/cases/new", {**CASE, "action": "draft"},
        files={"picture-1": ("a.png", png()), "picture-2": ("b.png", png("blue"))},
    )  # fmt: skip
    form = page.form("/cases/new")
    assert len(form.all("img")) == 2
    # The script saves the same form, without its files.
    assert (await anna.post("/drafts/save", values_of(form))).status == 204
    page = await anna.get("/cases/new")
    first, second = page.form("/cases/new").one("input", name="media").attrs["value"].split()
    changes = {"action": "publish", f"alt-{second}": "A blue square.", f"drop-{first}": "yes"}
    page = await anna.submit(page, "/cases/new", changes)
    assert page.status == 200
    assert [node.attrs["alt"] for node in page.main.all("img")] == ["A blue square."]


async def test_a_picture_that_is_too_large_costs_no_words(site: Site) -> None:
    anna = await site.signed_in("anna")
    large = {"picture-1": ("a.png", png() + bytes(site.services.config.media.max_bytes))}
    page = await anna.submit(await anna.get("/cases/new"), "/cases/new", CASE, files=large)
    assert page.status == 400
    assert "MB" in page.errors()["picture-1"]
    assert page.form("/cases/new").one("input", name="title").attrs["value"] == CASE["title"]


async def test_words_beyond_the_limit_are_not_cut_off(site: Site) -> None:
    anna = await site.signed_in("anna")
    text = "word " * 30_000 + "the end."
    page = await anna.submit(
        await anna.get("/cases/new"), "/cases/new", {**CASE, "presentation": text}
    )
    assert page.errors().keys() == {"presentation"}
    assert page.form("/cases/new").one("textarea", name="presentation").text.endswith("the end.")


async def test_what_is_no_picture_is_refused_beside_it(site: Site) -> None:
    anna = await site.signed_in("anna")
    for data in (b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", png()[:60]):
        page = await anna.submit(
            await anna.get("/cases/new"), "/cases/new", CASE, files={"picture-1": ("a.png", data)}
        )
        assert page.status == 400
        assert page.errors().keys() == {"picture-1"}
    assert not (await site.posts())


async def test_an_author_changes_a_case(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    post = await site.case("anna")
    path = f"/cases/{post.id}/edit"
    page = await anna.get(path)
    assert page.form(path).one("textarea", name="question").text == post.fields.question
    page = await anna.submit(page, path, {"question": "Biopsy of what?", "action": "publish"})
    assert page.path.startswith(f"/cases/{post.id}")
    assert "Biopsy of what?" in (await bela.get(f"/cases/{post.id}")).main.text
    assert (await bela.get(path)).status == 404


async def test_a_case_is_closed_with_its_outcome_and_opened_again(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    post = await site.case("anna")
    path = f"/cases/{post.id}/close"
    assert (await bela.get(path)).status == 404
    page = await anna.get(path)
    assert (await anna.submit(page, path, {"outcome": " "})).errors().keys() == {"outcome"}
    held = await anna.submit(page, path, {"outcome": "Home on 03/14/2024."})
    assert held.root.one(id="outcome-guard")
    page = await anna.submit(
        held, path, {"outcome": "ATTR, on treatment.", "teaching_points": "Look at the wrists."}
    )
    assert "ATTR, on treatment." in page.main.text
    shown = await bela.get(f"/cases/{post.id}")
    assert "Closed" in shown.main.text
    assert "Look at the wrists." in shown.main.text
    assert (await anna.get(path)).status == 404
    await anna.submit(page, f"/cases/{post.id}/reopen")
    reopened = (await site.posts())[0]
    assert reopened.fields is not None
    assert reopened.fields.state is CaseState.OPEN


async def test_deleting_asks_first(site: Site) -> None:
    anna, bela = await site.signed_in("anna"), await site.signed_in("bela")
    post = await site.case("anna")
    path = f"/cases/{post.id}/delete"
    page = await anna.get(path)
    assert "cannot be undone" in page.main.text
    assert (await bela.get(path)).status == 404
    assert (await bela.get(f"/cases/{post.id}")).status == 200
    await anna.submit(page, path)
    shown = await bela.get(f"/cases/{post.id}")
    assert shown.status == 404 or "deleted" in shown.main.text
    assert post.title not in shown.html
