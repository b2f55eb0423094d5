"""The pacer: soon, but never oftener than the pace."""

from __future__ import annotations

from chatzilla.core.pace import Pacer
from tests.helpers.clock import ManualClock


def paced(clock: ManualClock, seconds: float = 1.0) -> tuple[Pacer, list[float]]:
    said: list[float] = []
    return Pacer(clock, lambda: seconds, lambda: said.append(clock.monotonic())), said


def test_the_first_touch_acts_at_the_end_of_the_turn_and_not_inside_it() -> None:
    clock = ManualClock()
    pacer, said = paced(clock)
    pacer.touch()
    assert said == []
    clock.advance(0)
    assert said == [1000.0]


def test_however_often_it_is_touched_it_acts_once_for_each_interval() -> None:
    clock = ManualClock()
    pacer, said = paced(clock)
    for _ in range(40):
        pacer.touch()
        clock.advance(0.125)
    assert said == [1000.0, 1001.0, 1002.0, 1003.0, 1004.0, 1005.0]


def test_after_a_long_silence_it_acts_at_once_again() -> None:
    clock = ManualClock()
    pacer, said = paced(clock)
    pacer.touch()
    clock.advance(60)
    pacer.touch()
    clock.advance(0)
    assert said == [1000.0, 1060.0]


def test_the_interval_is_what_holds_when_it_acts() -> None:
    """A room that fills while its telling waits is told at the pace of the full one."""
    clock, said, seconds = ManualClock(), list[float](), [1.0]
    pacer = Pacer(clock, lambda: seconds[0], lambda: said.append(clock.monotonic()))
    pacer.touch()
    clock.advance(0)
    pacer.touch()
    seconds[0] = 5.0
    clock.advance(4.75)
    assert said == [1000.0]
    clock.advance(0.25)
    assert said == [1000.0, 1005.0]
    pacer.touch()
    seconds[0] = 1.0
    clock.advance(5)
    assert said == [1000.0, 1005.0, 1010.0]


def test_a_stopped_pacer_says_nothing_more_of_what_waited() -> None:
    clock = ManualClock()
    pacer, said = paced(clock)
    pacer.touch()
    pacer.stop()
    clock.advance(10)
    assert said == []


def test_stopping_an_idle_pacer_is_harmless() -> None:
    pacer, said = paced(ManualClock())
    pacer.stop()
    pacer.stop()
    assert said == []
