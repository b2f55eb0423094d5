"""One room: who hears it, who watches that it moves, and what waits to be told to them.

All of it is told by one iterator, one thing after the other, however many turns of the event loop that takes: so
everybody hears the same in the same order, and whoever comes meanwhile hears what is begun after that.

    idle ────attend────▶ telling ────nothing waits────▶ idle
                          │   ▲
       something was told │   │ half as long as that took
        to a large room   ▼   │
                         resting
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from chatzilla.core.catchup import ROW_OVERHEAD, bytes_of
from chatzilla.realtime.connection import let_go
from chatzilla.realtime.telling import PIECE, PIECE_BYTES, Circle, Telling, piece_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from chatzilla.core.messages import Posted
    from chatzilla.core.pace import Pacer
    from chatzilla.core.rooms import RoomHead
    from chatzilla.ports import Timer
    from chatzilla.realtime.channel import Frame
    from chatzilla.realtime.connection import Connection
    from chatzilla.realtime.turns import Turns

ROUND_BYTES: Final = 32 * 1024
"""About as much as one round tells: a burst of more is given in several turns, so that whoever reads can keep up."""

UNTOLD_BYTES: Final = 2 * ROUND_BYTES
"""About as much as may wait to be told in one room before those who say more there have to wait themselves."""

FEW: Final = 16
"""Listeners that are told at once, without the ado that lets others have their turn in between."""

BREATH: Final = 0.5
"""How long a room with many listeners rests between two rounds, as a part of how long the last one took. What arrives
meanwhile is told together with what waits already, and a write costs about the same whatever it carries. A room that
falls behind does not rest."""


class _Notice(NamedTuple):
    """What connections are told that is not stored: of who is here, who types, where a room stands."""

    connections: Circle
    words: Callable[[Connection], Frame | None]


class Hall:
    """One room, as those who are told of it know it."""

    __slots__ = (
        "_busy",
        "_first",
        "_notices",
        "_turns",
        "_untold",
        "_untold_bytes",
        "_waiting",
        "about",
        "closed",
        "echo",
        "head",
        "heads",
        "last",
        "listeners",
        "watchers",
    )

    def __init__(self, about: RoomHead, heads: Pacer, turns: Turns) -> None:
        self.about = about
        """What is told of the room but for where it stands; nothing in it is one person's."""
        self.heads = heads
        """Tells the watchers, at its pace, where the room stands."""
        self.echo: Timer | None = None
        """Will tell the listeners the same."""
        self.head = 0
        """The number of the room's newest change, as far as it is known here."""
        self.last = 0
        """The place of its newest message, likewise."""
        self.listeners = Circle()
        self.watchers = Circle()
        self.closed = False
        self._turns = turns
        self._untold: list[Posted] = []
        self._untold_bytes = 0
        self._notices: deque[_Notice] = deque()
        self._waiting: list[Callable[[], None]] = []
        self._busy = False
        """Whether it is being told something, is about to be, or rests."""
        self._first = 0
        """With whom of many the next round begins, so that not always the same ones are last."""

    @property
    def untold(self) -> int:
        """How many messages wait to be told."""
        return len(self._untold)

    @property
    def notices(self) -> int:
        """How many notices wait to be told."""
        return len(self._notices)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be told that whoever says more has to wait."""
        return self._busy and self._untold_bytes > UNTOLD_BYTES

    def learn(self, head: RoomHead) -> None:
        """Take in what was read of the room; where it stands may have become older meanwhile."""
        self.about = replace(head, read=None, muted=None)
        if head.head >= self.head:
            self.head, self.last = head.head, head.last

    def take(self, posted: Posted) -> None:
        """Something was stored. It is told with `attend`, unless whoever said it is alone here."""
        message = posted.message
        if self._untold or len(self.listeners) > 1 or posted.origin not in self.listeners:
            self._untold.append(posted)
            self._untold_bytes += _size(posted)
        self.head = message.changed
        if message.seq == message.changed:  # else it is an edit, of one that was there
            self.last = message.seq

    def notify(self, connections: Circle, words: Callable[[Connection], Frame | None]) -> None:
        """Have each of some connections told something of its own, or nothing, with `attend`."""
        self._notices.append(_Notice(connections, words))

    def when_told(self, action: Callable[[], None]) -> None:
        """Do something, in the order of asking, as soon as the room is not behind any more."""
        self._waiting.append(action)

    def attend(self) -> None:
        """See that what waits is told: at once where few hear it and time is left, else piece by piece."""
        if self._busy:
            return
        few = len(self.listeners) <= FEW and not self._notices and self._untold_bytes < ROUND_BYTES
        if not (few and self._turns.at_once(self._tell_few)):
            self._busy = True
            self._turns.add(self._tell_all())

    def close(self) -> None:
        """Nobody is left to be told anything."""
        self.closed = True
        self.heads.stop()
        if self.echo is not None:
            self.echo.cancel()
        self._untold_bytes = 0
        asyncio.get_running_loop().call_soon(self._go_on_saying)

    def _tell_few(self) -> None:
        """Tell a small room what was stored, all of it: it is less than a round."""
        posts, self._untold, self._untold_bytes = self._untold, [], 0
        for slow in Telling(posts, self.listeners).pieces(FEW):
            for channel in slow:
                let_go(channel)

    def _tell_all(self) -> Iterator[bool]:
        """Tell everything that waits: a notice and a round in turn, so that neither holds up the other."""
        breath = 0.0
        try:
            while not self.closed:
                if self._notices:
                    yield from self._give(self._notices.popleft())
                if self._untold:
                    breath = yield from self._tell_round()
                    if breath:
                        break
                elif not self._notices:
                    break
        finally:
            self._busy = False
        if breath and (self._untold or self._notices):
            self._busy = True
            asyncio.get_running_loop().call_later(breath, self._go_on)
        self._go_on_saying()

    def _go_on(self) -> None:
        """Tell what has come together while it rested."""
        self._busy = False
        self.attend()

    def _tell_round(self) -> Generator[bool, None, float]:
        """Tell what was stored, as much of it at once as a socket takes, to everybody who hears it now.

        Returns:
            Seconds to rest until the next round.
        """
        posts, size = self._next_round()
        piece = piece_for(size)
        self._first += piece
        began = time.perf_counter()
        for slow in Telling(posts, self.listeners, self._first).pieces(piece):
            for channel in slow:
                let_go(channel)
            yield True
            if self.closed:
                break
        self._go_on_saying()
        if len(self.listeners) > PIECE and len(self._untold) <= len(posts):
            return BREATH * (time.perf_counter() - began)
        if self._untold:
            yield False  # one round in a turn, so that whoever reads can keep up
        return 0.0

    def _next_round(self) -> tuple[list[Posted], int]:
        """Take what is told next, as much as a socket takes at once; and about how many bytes that is."""
        size = count = 0
        for posted in self._untold:
            size += _size(posted)
            count += 1
            if size >= ROUND_BYTES:
                break
        posts, self._untold = self._untold[:count], self._untold[count:]
        self._untold_bytes -= size
        return posts, size

    def _give(self, notice: _Notice) -> Iterator[bool]:
        """Tell each of some connections something of its own, unless it is gone when its turn comes."""
        done = 0
        for ident, connection in tuple(notice.connections.items()):
            done += 1
            frame = notice.words(connection) if ident in notice.connections else None
            if frame is not None:
                connection.write(frame)
                done += frame.size * PIECE // PIECE_BYTES
            if done >= PIECE:
                done = 0
                yield True

    def _go_on_saying(self) -> None:
        """Let go on who waited until most of what was said is told."""
        if self._waiting and not self.is_behind:
            waiting, self._waiting = self._waiting, []
            for action in waiting:
                action()


def _size(posted: Posted) -> int:
    """About how many bytes a message takes on its way to one connection."""
    return ROW_OVERHEAD + bytes_of(posted.message.content)
