"""What changed between two lists, in words for those who sign and those who follow."""

from typing import Any

import pytest

from fedidoc.verification.consequences import differences
from fedidoc.verification.trust_lists import read
from tests.verification.lists import Society, dump, fresh_key, issuer

A, B, C = fresh_key(), fresh_key(), fresh_key()


def changes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(kind, host) of what a second list changes in its issuers."""
    society = Society(issuers=before)
    first = read(dump(society.draft()))
    society.issuers = after
    second = read(dump(society.draft()))
    return [(change.kind, change.subject) for change in differences(first, second)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([issuer("a.example", A)], []),
        ([], [("removed", "a.example")]),
        ([issuer("a.example", A), issuer("b.example", B)], [("added", "b.example")]),
        ([issuer("b.example", A)], [("removed", "a.example"), ("added", "b.example")]),
        ([issuer("a.example", A, status="suspended")], [("suspended", "a.example")]),
        ([issuer("a.example", B)], [("key_changed", "a.example")]),
        ([issuer("a.example", A, requireCredential=False)], [("credential", "a.example")]),
        ([issuer("a.example", A, name="Another", country="NO")], [("details", "a.example")]),
    ],
    ids=["same", "removed", "added", "moved", "suspended", "key", "credential", "details"],
)
def test_what_changed(after: list[dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    assert changes([issuer("a.example", A)], after) == expected


def test_a_return_is_no_addition() -> None:
    before = [issuer("a.example", A, status="suspended")]
    assert changes(before, [issuer("a.example", A)]) == [("reinstated", "a.example")]


def test_changes_of_the_signers_come_first() -> None:
    society = Society(issuers=[issuer("a.example", A)])
    first = read(dump(society.draft()))
    gone = society.keys[0]
    society.signers = [*society.signers[1:], C]
    society.threshold, society.issuers = 3, []
    second = read(dump(society.draft()))
    found = differences(first, second)
    assert [change.kind for change in found] == [
        "signer_removed", "signer_added", "threshold", "removed",
    ]  # fmt: skip
    assert (found[0].subject, found[2].subject) == (gone, "3")
    assert "3 of 3" in found[2].text


def test_everything_about_a_first_list_is_new() -> None:
    first = read(dump(Society(issuers=[issuer("a.example", A, status="suspended")]).draft()))
    kinds = [change.kind for change in differences(None, first)]
    assert kinds == ["signer_added"] * 3 + ["threshold", "added"]
    assert "suspended" in differences(None, first)[-1].text
