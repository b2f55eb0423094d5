"""One connection's events: begun in the order in which they came, answered in the same order.

An event that only needs memory is done at once. One that has its place in the log is under way: the next event may
begin while the store is still writing. One that reads the store is alone: it begins when everything before it is
answered, so that it sees what was written, and nothing begins before it is done, so that a message sent right after a
join carries the name. No answer overtakes an earlier one, and all answers that are due are given at once: what is told
right after a batch is told after its acks.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Event:
    """One event in a line; what it does, its subclasses say."""

    __slots__ = ("alone", "done", "line")

    def __init__(self, line: Line, *, alone: bool) -> None:
        self.line = line
        self.alone = alone
        """It begins after every earlier event is answered, and nothing begins before it is done."""
        self.done = False

    def begin(self) -> None:
        """Start it. When it is done, now or later, it says so to its line by `finished`; it must not raise."""
        raise NotImplementedError

    def answer(self) -> None:
        """Tell whoever asked what it came to, once every earlier event is answered."""
        raise NotImplementedError


class Line:
    """The waiting line of one connection. It costs nothing while nobody waits.

    Always 0 <= `_begun` <= `waiting`: the first `_begun` of its events have begun, in order. `_held` is how many of
    these are alone and not done, and how many holds were not let go; while it is not 0, nothing more begins.
    """

    __slots__ = ("_begun", "_events", "_held", "_stepping", "at_most", "waiting")

    def __init__(self, at_most: int) -> None:
        self.at_most = at_most
        """Events that may wait in it; whoever brings them sees to that."""
        self.waiting = 0
        """Events that have come and are not answered yet."""
        self._events: deque[Event] | None = None
        self._begun = 0
        self._held = 0
        """How many reasons there are to begin nothing."""
        self._stepping = False

    def take(self, event: Event) -> None:
        """Let an event stand in line."""
        events = self._events
        if events is None:
            events = self._events = deque()
        events.append(event)
        self.waiting += 1
        if self._stepping:
            return
        if self._held or event.alone or self._begun != self.waiting - 1:
            self._step()
            return
        self._begun += 1  # nothing is in its way, as nearly always
        self._stepping = True
        try:
            event.begin()
        finally:
            self._stepping = False
        if events[0].done or self._begun != self.waiting:
            self._step()

    @property
    def events(self) -> Iterable[Event]:
        """What has come and is not answered yet, in order."""
        return self._events or ()

    def hold(self) -> None:
        """Let the event that is beginning wait for something, and begin none after it before `go_on`."""
        self._held += 1

    def go_on(self) -> None:
        """It has begun after all; once for each `hold`."""
        self._held -= 1
        if not self._stepping:
            self._step()

    def finished(self, event: Event) -> None:
        """One of its events is done; called once for each."""
        event.done = True
        if event.alone:
            self._held -= 1
        if not self._stepping:
            self._step()

    def _step(self) -> None:
        """Begin and answer whatever can be, in order."""
        events = self._events
        if events is None:
            return
        self._stepping = True
        try:
            while True:
                while self.waiting and events[0].done:
                    self._begun -= 1
                    self.waiting -= 1
                    events.popleft().answer()
                if self._begun == self.waiting or self._held:
                    break
                event = events[self._begun]
                if event.alone:
                    if self._begun:
                        break
                    self._held += 1
                self._begun += 1
                event.begin()
        finally:
            self._stepping = False
        if not self.waiting:
            self._events = None
