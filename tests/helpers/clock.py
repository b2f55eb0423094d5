"""A clock that tests move."""

from __future__ import annotations

import heapq
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(order=True, slots=True)
class _Timer:
    due: float
    number: int
    action: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """Implements `ports.Clock`; time stands still until `advance`."""

    def __init__(self) -> None:
        self._now = 1_000.0
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        return self._now

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(self._now * 1000)

    def call_later(self, delay: float, action: Callable[[], None]) -> _Timer:
        timer = _Timer(self._now + delay, next(self._numbers), action)
        heapq.heappush(self._timers, timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything that falls due in it happen in order."""
        end = self._now + seconds
        while self._timers and self._timers[0].due <= end:
            timer = heapq.heappop(self._timers)
            self._now = max(self._now, timer.due)
            if not timer.cancelled:
                timer.action()
        self._now = end


class TodaysClock(ManualClock):
    """Begins now, so that what others date by their own clocks is in time; then it stands still likewise."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead_ms = int(time.time() * 1000) - super().wall_ms()

    def wall_ms(self) -> int:
        return super().wall_ms() + self._ahead_ms

    @property
    def seconds(self) -> int:
        """Seconds since 1970."""
        return self.wall_ms() // 1000
