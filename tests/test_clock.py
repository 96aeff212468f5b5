from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from fedidoc.clock import DAY, HOUR, MINUTE, SECOND, Clock, FrozenClock, from_iso, iso


def test_now_is_utc_milliseconds() -> None:
    assert abs(Clock().now() - datetime.now(UTC).timestamp() * 1000) < 5_000
    assert (SECOND, MINUTE, HOUR, DAY) == (1_000, 60_000, 3_600_000, 86_400_000)


def test_sortable_ids_sort_in_the_order_they_were_made_even_within_a_millisecond() -> None:
    clock = FrozenClock()
    ids = [clock.sortable_id() for _ in range(5_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_sortable_ids_keep_their_order_when_the_clock_steps_back() -> None:
    clock = FrozenClock()
    before = clock.sortable_id()
    clock.advance(-HOUR)
    assert clock.sortable_id() > before


def test_a_later_millisecond_sorts_after_an_earlier_one() -> None:
    clock = FrozenClock()
    earlier = clock.sortable_id()
    clock.advance(1)
    assert clock.sortable_id() > earlier


def test_ids_can_be_read_over_a_phone_and_stand_in_a_url() -> None:
    clock = Clock()
    for made in (clock.sortable_id(), clock.random_id()):
        assert re.fullmatch(r"[0-9abcdefghjkmnpqrstvwxyz]{26}", made)


def test_random_ids_have_no_order() -> None:
    clock = FrozenClock()
    ids = [clock.random_id() for _ in range(200)]
    assert ids != sorted(ids)
    assert len(set(ids)) == 200


def test_a_frozen_clock_moves_only_when_told() -> None:
    clock = FrozenClock()
    at = clock.now()
    assert clock.now() == at
    clock.advance(DAY)
    assert clock.now() == at + DAY


@given(st.integers(min_value=0, max_value=253_402_300_799))
def test_times_go_there_and_back(seconds: int) -> None:
    assert from_iso(iso(seconds * 1000)) == seconds * 1000


def test_times_of_peers_are_read() -> None:
    at = from_iso("2026-11-23T16:59:00Z")
    assert at == 1_795_453_140_000
    assert from_iso("2026-11-23T17:59:00+01:00") == at
    assert from_iso("2026-11-23T16:59:00") == at  # without an offset: UTC
    assert from_iso("2026-11-23T16:59:00.250Z") == at + 250


def test_what_is_no_time_is_none() -> None:
    for text in ("", "yesterday", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", "\ud800"):
        assert from_iso(text) is None
    assert from_iso(None) is None  # type: ignore[arg-type]
    assert from_iso("0001-01-01T00:00:00+23:59") in (None, -62_135_683_140_000)
