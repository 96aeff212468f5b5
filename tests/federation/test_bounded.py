"""Memory that strangers can fill stays small."""

from fedidoc.clock import MINUTE
from fedidoc.federation.bounded import Allowance, Recent


def test_the_least_recently_used_entry_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)
    assert len(recent) == 2


def test_an_allowance_runs_out_and_fills_again() -> None:
    allowance: Allowance[str] = Allowance(2, MINUTE)
    assert [allowance.take("a", 0) for _ in range(3)] == [True, True, False]
    assert allowance.take("b", 0)
    assert not allowance.has("a", MINUTE // 2 - 1)
    assert allowance.take("a", MINUTE // 2)
    assert not allowance.take("a", MINUTE // 2)
    assert allowance.wait_ms == MINUTE // 2


def test_asking_does_not_use_up() -> None:
    allowance: Allowance[str] = Allowance(1, MINUTE)
    assert allowance.has("a", 0)
    assert allowance.take("a", 0)


def test_a_refused_use_does_not_lengthen_the_wait() -> None:
    allowance: Allowance[str] = Allowance(1, MINUTE)
    assert allowance.take("a", 0)
    assert not any(allowance.take("a", at) for at in range(0, MINUTE, 1000))
    assert allowance.take("a", MINUTE)
