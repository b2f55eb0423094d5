"""Telling a room what was stored: the same words, in the same order, to everybody who hears it.

With a thousand listeners nearly all of a message's time is spent here, so this way is short: each message is encoded
once for each dialect that is present, all messages of a round are one write for a connection, and from a room to the
sockets of its listeners it is one step (`Roll`). Whoever said something of a round, and whoever is on long-polling, is
told apart from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chatzilla import wire
from chatzilla.core.messages import TEXT
from chatzilla.realtime import packets, websocket
from chatzilla.realtime.channel import Channel
from chatzilla.realtime.connection import CHAT, Dialect

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from chatzilla.core.messages import Message, Posted
    from chatzilla.core.rooms import ConnectionId
    from chatzilla.realtime.channel import Frame
    from chatzilla.realtime.connection import Connection
    from chatzilla.realtime.websocket import WebSocket

PIECE: Final = 64
"""Listeners of one room that are told before other work gets its turn, at most; see `turns`."""

PIECE_BYTES: Final = 256 * 1024
"""About as much as is written before other work gets its turn: the kernel copies every byte for every listener."""


def piece_for(size: int) -> int:
    """How many listeners are told so many bytes in one piece."""
    return max(4, min(PIECE, PIECE_BYTES // size))


class Circle:
    """Connections that are told the same things, by their ids, and the way to their sockets."""

    __slots__ = ("_by_id", "_roll")

    def __init__(self) -> None:
        self._by_id: dict[ConnectionId, Connection] = {}
        self._roll: Roll | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, ident: object) -> bool:
        return ident in self._by_id

    def get(self, ident: ConnectionId) -> Connection | None:
        return self._by_id.get(ident)

    def items(self) -> Iterable[tuple[ConnectionId, Connection]]:
        return self._by_id.items()

    def add(self, ident: ConnectionId, connection: Connection) -> None:
        self._by_id[ident] = connection
        self._roll = None

    def pop(self, ident: ConnectionId) -> Connection | None:
        """Take one away; returns it, if it was there."""
        self._roll = None
        return self._by_id.pop(ident, None)

    def changed(self) -> None:
        """One of them speaks in another way from here on."""
        self._roll = None

    @property
    def roll(self) -> Roll:
        """Everybody who hears the room now; the same object until one of them comes, goes or speaks otherwise."""
        if self._roll is None:
            self._roll = Roll(self._by_id)
        return self._roll

    def is_still(self, roll: Roll) -> bool:
        """Whether nobody has come, gone or changed since this was laid out."""
        return self._roll is roll


class Roll:
    """Who hears a room, laid out for telling them.

    A thousand listeners are looked up once and not with every message: the way by their ids, connections and channels
    took a fifth of the time that telling them takes.
    """

    __slots__ = ("apart", "full", "queue_limit", "tutorial")

    def __init__(self, listeners: Mapping[ConnectionId, Connection]) -> None:
        self.full = _Row()
        self.tutorial = _Row()
        self.apart: dict[ConnectionId, Connection] = {}
        """Who has no WebSocket, or had none when this was laid out."""
        self.queue_limit = 0
        """Bytes that may wait for one of them; the same for all."""
        for ident, connection in listeners.items():
            channel = connection.channel
            if channel.socket is None:
                self.apart[ident] = connection
                continue
            row = self.full if connection.dialect is Dialect.FULL else self.tutorial
            row.idents.append(ident)
            row.sockets.append(channel.socket)
            self.queue_limit = channel.queue_limit


class _Row:
    """Listeners who are told the same bytes: their sockets, and in the same places their ids."""

    __slots__ = ("idents", "sockets")

    def __init__(self) -> None:
        self.idents: list[ConnectionId] = []
        self.sockets: list[WebSocket] = []


class Telling:
    """A round of telling: some messages, in order, to everybody who heard a room when it began."""

    __slots__ = ("_full", "_listeners", "_origins", "_posts", "_start", "_tutorial")

    def __init__(self, posts: Sequence[Posted], listeners: Circle, start: int = 0) -> None:
        """Prepare it.

        Args:
            posts: what was stored.
            listeners: who hears the room, also while it is told.
            start: with whom of many to begin, so that not always the same ones are last.
        """
        self._posts = posts
        self._listeners = listeners
        self._start = start
        self._origins = {posted.origin for posted in posts}
        self._full: _Words | None = None
        self._tutorial: _Words | None = None

    def pieces(self, count: int) -> Iterator[Sequence[Channel]]:
        """Tell so many at a time, as far as they still hear the room; yields those that cannot take more."""
        roll = self._listeners.roll
        talkers = {ident: it for ident in self._origins if ident and (it := self._listeners.get(ident))}
        but = {connection.channel.socket for connection in talkers.values()}
        if roll.full.sockets:
            yield from self._tell_row(roll, Dialect.FULL, but, count)
        if roll.tutorial.sockets and self._words(Dialect.TUTORIAL).together:
            yield from self._tell_row(roll, Dialect.TUTORIAL, but, count)
        if len(self._origins) == 1:
            talkers = {}  # nobody else said anything
        apart = [*(roll.apart | talkers).items()]
        for begin in range(0, len(apart), count):
            yield [channel for pair in apart[begin : begin + count] if (channel := self._tell_apart(*pair))]

    def _tell_row(
        self, roll: Roll, dialect: Dialect, but: Container[WebSocket | None], count: int
    ) -> Iterator[Sequence[Channel]]:
        """Write everything at once to those who are told the same."""
        row = roll.full if dialect is Dialect.FULL else roll.tutorial
        together = self._words(dialect).together
        size = len(row.sockets)
        first = self._start % size if size > PIECE else 0
        for begin, end in (*_stretches(first, size, count), *_stretches(0, first, count)):
            sockets, slow = row.sockets[begin:end], list[Channel]()
            if not self._listeners.is_still(roll):
                still = [(ident, self._listeners.get(ident)) for ident in row.idents[begin:end]]
                sockets = [
                    socket for socket, (_, it) in zip(sockets, still, strict=True) if it and it.dialect is dialect
                ]
                moved = [(ident, it) for ident, it in still if it and it.dialect is not dialect]
                slow += [channel for pair in moved if (channel := self._tell_apart(*pair))]
            behind = websocket.write_all(sockets, together, roll.queue_limit, but)
            slow += [socket.owner for socket in behind if isinstance(socket.owner, Channel)]
            yield slow

    def _tell_apart(self, ident: ConnectionId, connection: Connection) -> Channel | None:
        """Tell one connection what it did not say itself; returns its channel if that cannot take more."""
        channel = connection.channel
        if not channel.open or ident not in self._listeners:
            return None
        frames = [frame for posted, frame in self._words(connection.dialect).each() if posted.origin != ident]
        return channel if frames and not channel.write(*frames) else None

    def _words(self, dialect: Dialect) -> _Words:
        if dialect is Dialect.FULL:
            self._full = self._full or _Words(self._posts, wire.encode_message)
            return self._full
        if self._tutorial is None:
            # Its messages have no id and no kind: that one was changed cannot be said, nor what a notice is.
            messages = ((posted, posted.message) for posted in self._posts)
            said = [posted for posted, it in messages if it.changed == it.seq and it.kind == TEXT]
            self._tutorial = _Words(said, wire.encode_tutorial_message)
        return self._tutorial


class _Words:
    """The messages of a round in one dialect: one by one, and all together as a WebSocket carries them."""

    __slots__ = ("_frames", "_posts", "together")

    def __init__(self, posts: Sequence[Posted], encode: Callable[[Message], wire.Json]) -> None:
        self._posts = posts
        self._frames = [packets.event(CHAT, "message", encode(posted.message)) for posted in posts]
        self.together = b"".join([frame.framed for frame in self._frames])

    def each(self) -> Iterable[tuple[Posted, Frame]]:
        return zip(self._posts, self._frames, strict=True)


def _stretches(begin: int, end: int, count: int) -> Iterator[tuple[int, int]]:
    """Cut a range into pieces of so many."""
    return ((place, min(place + count, end)) for place in range(begin, end, count))
