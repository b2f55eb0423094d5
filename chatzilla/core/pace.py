"""Say a thing soon, but never oftener than a pace allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.ports import Clock, Timer


class Pacer:
    """Runs `act` at the end of the current turn when it last ran long ago, else as soon as it may again.

    However often `touch` is called in between, `act` runs once: what it says, it reads when it runs.
    """

    __slots__ = ("_act", "_clock", "_interval", "_ran_at", "_timer")

    def __init__(self, clock: Clock, interval: Callable[[], float], act: Callable[[], None]) -> None:
        self._clock = clock
        self._interval = interval
        self._act = act
        self._ran_at = float("-inf")
        self._timer: Timer | None = None

    def touch(self) -> None:
        if self._timer is None:
            self._timer = self._clock.call_later(max(0.0, self._wait()), self._run)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> float:
        """Seconds until it may run again."""
        return self._ran_at + self._interval() - self._clock.monotonic()

    def _run(self) -> None:
        self._timer = None
        if self._wait() > 0:  # the pace has become slower meanwhile
            self.touch()
            return
        self._ran_at = self._clock.monotonic()
        self._act()
