"""Long work in short pieces, so that no turn of the event loop is long.

Whoever tells a thousand connections something gives the work here, as an iterator that stops after each piece.
Everything that was given shares one stretch of each turn, in rotation, so a small room never waits for a large one.
What it yields says whether it may go on within this turn; else it waits for the next.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STRETCH_SECONDS: Final = 0.0005
"""What all of it together may take of one turn; the last piece may go a little beyond. A turn costs much less, and in
between is read, stored and answered what can be told with the next round: short stretches make rounds larger."""

BESIDES_SECONDS: Final = 0.0001
"""What all of it together may take of a turn in which other things were done as well: those come first, and while they
last, what they bring is told together. Other things were done if at least this long went by between two stretches."""


class Turns:
    """Work that waits for its next piece."""

    def __init__(self) -> None:
        self._work: deque[Iterator[bool]] = deque()
        self._resting: list[Iterator[bool]] = []
        self._left = 0.0
        self._spent_at = 0.0
        self._scheduled = False

    def add(self, work: Iterator[bool]) -> None:
        """Begin at once, as far as there is something left of this turn's stretch, and go on in the next ones."""
        self._work.append(work)
        if not self._scheduled and time.perf_counter() > self._spent_at + STRETCH_SECONDS:
            self._left = STRETCH_SECONDS  # another turn, or as good as one
        self._spend()
        if not self._scheduled and (self._work or self._resting):
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def at_once(self, piece: Callable[[], object]) -> bool:
        """Do one short piece now, if nothing waits and something is left of this turn's stretch; else do nothing."""
        if self._scheduled:
            return False
        began = time.perf_counter()
        if began > self._spent_at + STRETCH_SECONDS:
            self._left = STRETCH_SECONDS
        if self._left <= 0:
            return False
        piece()
        self._spent_at = time.perf_counter()
        self._left -= self._spent_at - began
        return True

    def _go_on(self) -> None:
        others = time.perf_counter() - self._spent_at
        self._left = STRETCH_SECONDS if others < BESIDES_SECONDS else BESIDES_SECONDS
        self._work.extend(self._resting)
        self._resting.clear()
        try:
            self._spend()
        finally:  # a piece that fails ends its own work alone
            self._scheduled = bool(self._work or self._resting)
            if self._scheduled:
                asyncio.get_running_loop().call_soon(self._go_on)

    def _spend(self) -> None:
        while self._work and self._left > 0:
            began = time.perf_counter()
            work = self._work.popleft()
            goes_on = next(work, None)
            if goes_on is not None:
                (self._work if goes_on else self._resting).append(work)
            self._spent_at = time.perf_counter()
            self._left -= self._spent_at - began
