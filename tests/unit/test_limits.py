"""The token bucket."""

from __future__ import annotations

import pytest

from chatzilla.core.limits import Allowance, Rate
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
