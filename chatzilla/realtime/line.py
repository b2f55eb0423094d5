"""One connection's events: begun in the order in which they came, answered in the same order.

An event that reads the store keeps the floor until it is done, so that a message sent right after a join carries
the name. One that has its place in the log passes the floor on: the next event may begin while the store is still
writing, and yet no answer overtakes an earlier one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class Turn:
    """The right of one event to be the only one that runs."""

    __slots__ = ("_floor", "_held")

    def __init__(self, floor: asyncio.Lock) -> None:
        self._floor = floor
        self._held = True

    def pass_on(self) -> None:
        """Let the next event begin; harmless twice."""
        if self._held:
            self._held = False
            self._floor.release()


class Line:
    """The waiting line of one connection."""

    __slots__ = ("_floor", "_last", "waiting")

    def __init__(self) -> None:
        self._floor = asyncio.Lock()  # wakes whoever waits in the order in which they came
        self._last: asyncio.Future[None] | None = None
        self.waiting = 0
        """Events that have come and are not answered yet."""

    async def run(self, handle: Callable[[Turn], Awaitable[T]]) -> T:
        """Run an event when its turn comes; return its answer when all earlier ones have been given."""
        self.waiting += 1
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before, self._last = self._last, answered
        try:
            await self._floor.acquire()
            turn = Turn(self._floor)
            try:
                answer = await handle(turn)
            finally:
                turn.pass_on()
            if before is not None and not before.done():
                await before
            return answer
        finally:
            self.waiting -= 1
            answered.set_result(None)
