"""The token bucket."""

from __future__ import annotations

import pytest

from chatzilla.core import limits
from chatzilla.core.limits import Allowance, Rate, Shared
from chatzilla.errors import TooFast
from tests.helpers.clock import ManualClock


def test_a_burst_passes_and_the_next_one_does_not() -> None:
    allowance = Allowance(Rate(per_second=1, burst=3), ManualClock())
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]


def test_time_brings_back_as_many_as_the_rate_says() -> None:
    clock = ManualClock()
    allowance = Allowance(Rate(per_second=2, burst=10), clock)
    while allowance.take():
        pass
    clock.advance(1.5)
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]


def test_fractions_of_a_token_add_up() -> None:
    clock = ManualClock()
    allowance = Allowance(Rate(per_second=1, burst=1), clock)
    assert allowance.take()
    for _ in range(3):
        clock.advance(0.25)
        assert not allowance.take()
    clock.advance(0.25)
    assert allowance.take()


def test_a_long_rest_saves_no_more_than_a_burst() -> None:
    clock = ManualClock()
    allowance = Allowance(Rate(per_second=100, burst=2), clock)
    clock.advance(3600)
    assert [allowance.take() for _ in range(3)] == [True, True, False]


def test_a_rate_of_zero_is_no_limit() -> None:
    allowance = Allowance(Rate(per_second=0, burst=1), ManualClock())
    assert all(allowance.take() for _ in range(1000))


def test_spending_what_is_not_there_is_refused_in_a_sentence() -> None:
    allowance = Allowance(Rate(per_second=1, burst=1), ManualClock())
    allowance.spend()
    with pytest.raises(TooFast, match=r"\.$"):
        allowance.spend()


def test_a_refused_attempt_costs_nothing() -> None:
    clock = ManualClock()
    allowance = Allowance(Rate(per_second=1, burst=1), clock)
    allowance.spend()
    for _ in range(50):
        assert not allowance.take()
    clock.advance(1)
    assert allowance.take()


def test_what_is_shared_is_taken_from_as_well() -> None:
    clock = ManualClock()
    by_address = Shared(Rate(per_second=1, burst=3), clock)
    first, second = (Allowance(Rate(per_second=1, burst=2), clock, by_address.of("192.0.2.1")) for _ in range(2))
    elsewhere = Allowance(Rate(per_second=1, burst=2), clock, by_address.of("192.0.2.2"))
    assert [first.take(), first.take(), first.take()] == [True, True, False]
    assert [second.take(), second.take()] == [True, False]
    assert elsewhere.take()
    clock.advance(1)
    assert [second.take(), first.take()] == [True, False]


def test_whoever_comes_back_finds_what_they_left() -> None:
    by_address = Shared(Rate(per_second=1, burst=1), ManualClock())
    assert by_address.of("192.0.2.1").take()
    assert not by_address.of("192.0.2.1").take()


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_AT_MOST", 2)
    shared = Shared(Rate(per_second=1, burst=1), ManualClock())
    for key in ("a", "b", "a", "c"):
        shared.of(key).take()
    assert not shared.of("a").take()
    assert shared.of("b").take(), "asked for longest ago, so it was forgotten"
