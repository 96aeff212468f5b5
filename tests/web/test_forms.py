"""A form as it came, and the pages of drafts."""

import pytest
from werkzeug.datastructures import MultiDict

from fedidoc.clinical.phi import IdentifiersFound, scan
from fedidoc.errors import BadInput
from fedidoc.web import forms


def test_what_no_database_takes_is_taken_out() -> None:
    form = forms.read(MultiDict([("text", "a\0b\r\nc\rd\ud800e")]))
    assert form.get("text") == "ab\nc\nd?e"


def test_a_field_ticked_more_than_once_keeps_all() -> None:
    form = forms.read(MultiDict([("confirmed", "url"), ("confirmed", "name"), ("title", "x")]))
    assert form.chosen("confirmed") == ("url", "name")
    assert form.get("title") == "x"
    assert form.chosen("nothing") == ()


def test_the_first_error_of_a_field_stays() -> None:
    form = forms.Form()
    form.refuse("title", "Write a title.")
    form.refuse_for(BadInput("Another.", field="title"))
    form.refuse_for(BadInput("Whole form."))
    assert form.errors == {"title": "Write a title.", "": "Whole form."}


def test_what_the_guard_found_stands_by_its_field() -> None:
    form = forms.filled({"presentation": "Call 555-123-4567.", "title": "A case"})
    found = scan("Call 555-123-4567.")
    form.refuse_for(IdentifiersFound({"presentation": found}))
    assert form.findings["presentation"] == tuple(found)
    assert "presentation" in form.errors
    assert "title" not in form.errors


def test_a_draft_has_no_secret_and_nothing_that_steers() -> None:
    form = forms.filled(
        {
            "csrf": "t", "once": "1", "action": "draft", "place": "case", "next": "/",
            "password": "p", "new_password": "q", "title": "A case", "findings": "  ",
        }
    )  # fmt: skip
    assert form.draft() == {"title": "A case"}


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("case", "/cases/new"),
        ("apply", "/apply"),
        ("settings", "/settings"),
        ("answer:01abc", "/cases/01abc?answer=01abc#answer-form"),
        ("edit:01abc", "/cases/01abc/edit"),
        ("close:01abc", "/cases/01abc/close"),
        ("review:01abc", "/admin/reviews/01abc"),
    ],
)
def test_a_draft_leads_back_to_its_form(place: str, path: str) -> None:
    assert forms.place_path(place) == path


@pytest.mark.parametrize(
    "place", ["", "cases", "answer:", "edit:../x", "edit:a/b", "case:1", "//evil.example", "edit:A"]
)
def test_nothing_else_is_a_place(place: str) -> None:
    assert forms.place_path(place) is None
