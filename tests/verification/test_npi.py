import pytest

from fedidoc.verification import npi


@pytest.mark.parametrize("number", ["1234567893", "1245319599", "2123456784"])
def test_valid_numbers(number: str) -> None:
    assert npi.valid(number)


@pytest.mark.parametrize(
    "number",
    ["1234567890", "123456789", "12345678933", "3234567893", "", "123456789X",
     "１２３４５６７８９３", "¹234567893", " 1234567893", "1234567893\n", "0000000000"],
)  # fmt: skip
def test_numbers_that_are_none(number: str) -> None:
    assert not npi.valid(number)


def test_every_changed_digit_and_most_swapped_neighbours_are_noticed() -> None:
    good = "1234567893"
    for place in range(10):
        for digit in "0123456789":
            changed = good[:place] + digit + good[place + 1 :]
            assert npi.valid(changed) == (changed == good)
    for place in range(1, 9):
        swapped = good[:place] + good[place + 1] + good[place] + good[place + 2 :]
        # Luhn cannot see 09 and 90 change places; there is none here.
        assert not npi.valid(swapped)


def test_normalise_takes_blanks_and_hyphens_out() -> None:
    assert npi.normalise(" 1234 567-893\u2013") == "1234567893"
