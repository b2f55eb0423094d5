"""One connection's events: begun in the order in which they came, answered in the same order.

An event that only needs memory is done at once. One that has its place in the log is under way: the next event may
begin while the store is still writing. One that reads the store is alone: it begins when everything before it is
answered, so that it sees what was written, and nothing begins before it is done, so that a message sent right after a
join carries the name. No answer overtakes an earlier one, and all answers that are due are given at once: what is told
right after a batch is told after its acks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Outcome = Any
"""What an event came to; or, while it is under way, the future of that."""


class _Event:
    """One event in the line."""

    __slots__ = ("alone", "answer", "begin", "done", "outcome")

    def __init__(self, begin: Callable[[], Outcome], answer: Callable[[Outcome], None], *, alone: bool) -> None:
        self.begin = begin
        self.answer = answer
        self.alone = alone
        self.outcome: Outcome = None
        self.done = False


class Line:
    """The waiting line of one connection. It costs nothing while nobody waits."""

    __slots__ = ("_begun", "_events", "_held", "_stepping")

    def __init__(self) -> None:
        self._events: deque[_Event] | None = None
        self._begun = 0
        self._held = False
        self._stepping = False

    @property
    def waiting(self) -> int:
        """Events that have come and are not answered yet."""
        return 0 if self._events is None else len(self._events)

    def take(self, begin: Callable[[], Outcome], answer: Callable[[Outcome], None], *, alone: bool = False) -> None:
        """Let an event stand in line.

        Args:
            begin: starts it; returns what it came to, or a future while it is under way. It must not raise.
            answer: gets what `begin` returned, its future done, once every earlier event is answered.
            alone: it begins after every earlier event is answered, and nothing begins before it is done.
        """
        if self._events is None:
            self._events = deque()
        self._events.append(_Event(begin, answer, alone=alone))
        self._step()

    def _step(self) -> None:
        """Begin and answer whatever can be, in order."""
        events = self._events
        if self._stepping or events is None:
            return
        self._stepping = True
        try:
            while True:
                while events and events[0].done:
                    event = events.popleft()
                    self._begun -= 1
                    event.answer(event.outcome)
                if not self._may_begin(events):
                    break
                self._begin(events[self._begun])
        finally:
            self._stepping = False
        if not events:
            self._events = None

    def _may_begin(self, events: deque[_Event]) -> bool:
        if self._held or self._begun == len(events):
            return False
        return self._begun == 0 or not events[self._begun].alone

    def _begin(self, event: _Event) -> None:
        self._begun += 1
        event.outcome = event.begin()
        if isinstance(event.outcome, asyncio.Future):
            self._held = event.alone
            event.outcome.add_done_callback(lambda _: self._finish(event))
        else:
            event.done = True

    def _finish(self, event: _Event) -> None:
        event.done = True
        if event.alone:
            self._held = False
        self._step()
