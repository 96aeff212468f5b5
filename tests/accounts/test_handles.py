"""A pseudonym's handle reads like no member's name, however it is spelt."""

from __future__ import annotations

import pytest

from fedidoc.accounts.handles import check_handle, distance, is_similar
from fedidoc.errors import BadInput

MEMBERS = [
    ("amueller", "Dr. Anna Müller-Lindqvist"),
    ("ben_okafor", "Ben Okafor MD"),
    ("li", "Wei Li"),
    ("s.petrov", "Сергей Петров"),
]


@pytest.mark.parametrize(
    "handle",
    [
        "amueller", "arnueller", "amu3ller", "a_mueller", "amuellre", "anna_muller", "muller_anna",
        "lindqvist", "dr_lindqv1st", "l1ndqvlst99", "benokafor", "b3n0kafor", "okaforben", "0kafor",
        "bokafor", "ben_okaf0r", "weili", "w3i_li", "petrovs",
    ],
)  # fmt: skip
def test_what_reads_like_a_member_is_refused(handle: str) -> None:
    with pytest.raises(BadInput) as refused:
        check_handle(handle, MEMBERS, [])
    assert refused.value.field == "handle"


@pytest.mark.parametrize(
    "handle", ["quiet_heron", "late_train", "grey_falcon7", "night_shift", "third_floor", "abacus"]
)
def test_what_reads_like_nobody_is_taken(handle: str) -> None:
    assert check_handle(f" @{handle.upper()} ", MEMBERS, ["other"]) == handle


@pytest.mark.parametrize("handle", ["", "ab", "a" * 31, "ab-cd", "hé_ron", "12345", "a_1_2", "a b"])
def test_what_is_no_handle_is_refused(handle: str) -> None:
    with pytest.raises(BadInput):
        check_handle(handle, [], [])


def test_a_taken_one_is_refused() -> None:
    with pytest.raises(BadInput, match="taken"):
        check_handle("quiet_heron", [], ["quiet_heron"])


def test_distances() -> None:
    assert distance("heron", "heron") == 0
    assert distance("heron", "hreon") == 1  # neighbours swapped
    assert distance("heron", "herons") == 1
    assert distance("", "abc") == 3
    assert not is_similar("heron", "member07", "Carla Diaz")


def test_many_members_are_compared_in_little_time() -> None:
    members = [(f"person{n:05}", f"Given{n} Family{n}") for n in range(3_000)]
    assert check_handle("quiet_heron", members, []) == "quiet_heron"
