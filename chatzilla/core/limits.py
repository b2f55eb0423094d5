"""How fast one may go: a token bucket, and nothing that waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatzilla.errors import TooFast

if TYPE_CHECKING:
    from chatzilla.ports import Clock


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second for long, and `burst` at once. A rate of 0 is no limit."""

    per_second: float
    burst: int


class Allowance:
    """A token bucket, filled by the clock."""

    __slots__ = ("_clock", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._tokens = float(rate.burst)
        self._filled_at = clock.monotonic()

    def take(self) -> bool:
        """Take one token, if there is one."""
        if self._rate.per_second == 0:
            return True
        now = self._clock.monotonic()
        gained = (now - self._filled_at) * self._rate.per_second
        self._tokens = min(float(self._rate.burst), self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def spend(self) -> None:
        """Take one token.

        Raises:
            TooFast: there is none left; the rate brings it back.
        """
        if not self.take():
            raise TooFast("That was too fast. Wait a moment, then say it again.")
