"""One connection's events: begun in the order in which they came, answered in the same order.

An event keeps the floor while it runs, so that a message sent right after a join carries the name. One that has its
place in the log passes the floor on: the next event may begin while the store is still writing. Yet no answer
overtakes an earlier one, and an event that reads the store waits for the writes before it.

Answers are given synchronously, all that are due at once: what is told right after a batch is told after its acks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class _Event(Generic[T]):
    """One event in the line, from its coming to its answer."""

    __slots__ = ("answer", "given", "past", "ready", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.ready = False
        self.past = False
        self.answer: Callable[[], None] | None = None
        self.given: asyncio.Future[None] | None = None
        """Settles when this event and all before it are answered; made when somebody waits for that."""


class Turn(Generic[T]):
    """The right of one event to be the only one that runs."""

    __slots__ = ("_before", "_floor", "_held")

    def __init__(self, floor: asyncio.Lock, before: _Event[T] | None) -> None:
        self._floor = floor
        self._before = before
        self._held = True

    def pass_on(self) -> None:
        """Let the next event begin; harmless twice."""
        if self._held:
            self._held = False
            self._floor.release()

    async def after_the_earlier(self) -> None:
        """Wait until every earlier event of this connection is answered."""
        if self._before is None or self._before.past:
            return
        if self._before.given is None:
            self._before.given = asyncio.get_running_loop().create_future()
        await self._before.given


class Line(Generic[T]):
    """The waiting line of one connection; `T` is what its events are answered with."""

    __slots__ = ("_events", "_floor")

    def __init__(self) -> None:
        self._floor = asyncio.Lock()  # wakes whoever waits in the order in which they came
        self._events: deque[_Event[T]] = deque()

    @property
    def waiting(self) -> int:
        """Events that have come and are not answered yet."""
        return len(self._events)

    def take(self, handle: Callable[[Turn[T]], Awaitable[T]], answer: Callable[[T], None]) -> None:
        """Let an event stand in line.

        Args:
            handle: runs when the event's turn comes; what it raises is nobody's answer.
            answer: gets what `handle` returned, once every earlier event is answered.
        """
        event: _Event[T] = _Event()
        before = self._events[-1] if self._events else None
        self._events.append(event)
        event.task = asyncio.get_running_loop().create_task(self._run(event, before, handle, answer))

    async def _run(
        self,
        event: _Event[T],
        before: _Event[T] | None,
        handle: Callable[[Turn[T]], Awaitable[T]],
        answer: Callable[[T], None],
    ) -> None:
        try:
            await self._floor.acquire()
            turn = Turn(self._floor, before)
            try:
                result = await handle(turn)
                event.answer = lambda: answer(result)
            finally:
                turn.pass_on()
        finally:  # an event that was given up is not answered, and holds up nobody
            event.ready = True
            self._give()

    def _give(self) -> None:
        """Give every answer whose turn it is."""
        while self._events and self._events[0].ready:
            event = self._events.popleft()
            event.past = True
            if event.answer is not None:
                event.answer()
            if event.given is not None:
                event.given.set_result(None)
