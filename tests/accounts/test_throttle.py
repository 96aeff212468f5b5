import pytest

from fedidoc.accounts.throttle import Throttle, network_of
from fedidoc.clock import FrozenClock
from fedidoc.errors import TooMany


def test_a_burst_and_then_one_at_a_time() -> None:
    clock = FrozenClock()
    throttle = Throttle(clock, burst=3, every=10_000)
    for _ in range(3):
        throttle.take("a")
    with pytest.raises(TooMany) as refusal:
        throttle.take("a")
    assert 1 <= refusal.value.retry_after <= 11
    throttle.take("b")
    clock.advance(10_000)
    throttle.take("a")
    with pytest.raises(TooMany):
        throttle.take("a")


def test_waiting_longer_than_told_is_never_needed() -> None:
    clock = FrozenClock()
    throttle = Throttle(clock, burst=1, every=60_000)
    throttle.take("a")
    clock.advance(12_345)
    with pytest.raises(TooMany) as refusal:
        throttle.take("a")
    clock.advance(refusal.value.retry_after * 1000)
    throttle.take("a")


def test_being_refused_costs_nothing_and_a_clock_set_back_gives_nothing() -> None:
    clock = FrozenClock()
    throttle = Throttle(clock, burst=1, every=10_000)
    throttle.take("a")
    for _ in range(50):
        with pytest.raises(TooMany):
            throttle.take("a")
    clock.advance(-100_000)
    with pytest.raises(TooMany):
        throttle.take("a")
    clock.advance(10_000)
    throttle.take("a")


def test_memory_is_bounded_and_the_least_used_is_forgotten() -> None:
    throttle = Throttle(FrozenClock(), burst=1, every=10_000, size=100)
    throttle.take("victim")
    for n in range(5_000):
        throttle.take(str(n))
        with pytest.raises(TooMany):
            throttle.take("victim")
    assert len(throttle) == 100


def test_giving_back() -> None:
    throttle = Throttle(FrozenClock(), burst=1, every=10_000)
    for _ in range(5):
        throttle.take("a")
        throttle.give_back("a")
    throttle.give_back("a")
    throttle.give_back("nobody")
    throttle.take("a")
    with pytest.raises(TooMany):
        throttle.take("a")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("no address", "unknown"),
    ],
)
def test_what_counts_as_one_caller(address: str, network: str) -> None:
    assert network_of(address) == network
