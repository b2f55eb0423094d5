"""Who hears what: rooms on one side, connections on the other.

An event is encoded once for each dialect that is present and written to every connection that hears the room,
within one call and so in one order for all. A connection that cannot take more is let go with `goodbye`; it comes
back by its cursor, and nobody else notices.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from chatzilla import wire
from chatzilla.core.pace import Pacer
from chatzilla.core.presence import NAMED_AT_MOST
from chatzilla.core.rooms import RoomHead
from chatzilla.realtime.transport import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chatzilla.core.messages import Message, Posted
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import PresenceChange
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.core.session import Session
    from chatzilla.ports import Clock
    from chatzilla.realtime.line import Line
    from chatzilla.realtime.transport import Wire

logger = logging.getLogger(__name__)

HEADS_EVERY_SECONDS: Final = 1.0


class Dialect(enum.Enum):
    """How a connection speaks; see `docs/protocol.md` 1."""

    TUTORIAL = "tutorial"
    FULL = "full"


@dataclass(slots=True, eq=False)
class Connection:
    """One connection as this door knows it."""

    session: Session
    dialect: Dialect
    line: Line[tuple[bool, object]]
    wire: Wire
    address: str
    person: AccountId | None = None
    halls: set[RoomId] = field(default_factory=set)
    """The rooms that it hears or watches."""


@dataclass(slots=True)
class _Hall:
    """One room's listeners, and those who only watch that it moves."""

    heads: Pacer
    head: RoomHead
    listeners: dict[ConnectionId, Connection] = field(default_factory=dict)
    watchers: dict[ConnectionId, Connection] = field(default_factory=dict)


class Delivery:
    """Implements `ports.Audience` over the connections of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: dict[ConnectionId, Connection] = {}
        self._people: dict[AccountId, set[ConnectionId]] = {}
        self._halls: dict[RoomId, _Hall] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def admit(self, connection: Connection) -> None:
        """A connection has come."""
        self._connections[connection.session.connection] = connection

    def connection(self, ident: ConnectionId) -> Connection | None:
        return self._connections.get(ident)

    def forget(self, connection: Connection) -> None:
        """A connection is gone, for whatever reason; harmless twice."""
        ident = connection.session.connection
        if self._connections.pop(ident, None) is None:
            return
        self._unname(connection)
        for room in connection.halls:
            hall = self._halls[room]
            hall.listeners.pop(ident, None)
            hall.watchers.pop(ident, None)
            self._sweep(room)
        connection.halls.clear()

    def identify(self, connection: ConnectionId, account: Account) -> None:
        known = self._connections.get(connection)
        if known is not None and known.person != account.id:
            self._unname(known)
            known.person = account.id
            self._people.setdefault(account.id, set()).add(connection)

    def subscribe(self, connection: ConnectionId, room: RoomId) -> None:
        known = self._connections.get(connection)
        if known is not None:
            hall = self._hall(room)
            hall.listeners[connection] = known
            hall.watchers.pop(connection, None)
            known.halls.add(room)

    def watch(self, connection: ConnectionId, head: RoomHead) -> None:
        known = self._connections.get(connection)
        if known is None or known.dialect is not Dialect.FULL:
            return
        hall = self._hall(head.room)
        if head.head >= hall.head.head:
            hall.head = head
        if connection not in hall.listeners:
            hall.watchers[connection] = known
            known.halls.add(head.room)
            self.write(known, Frame.event("room", wire.encode_room(hall.head)))

    def unsubscribe(self, connection: ConnectionId, room: RoomId, *, watching: bool) -> None:
        hall = self._halls.get(room)
        if hall is None:
            return
        known = hall.listeners.pop(connection, None)
        if known is None:
            return
        if watching and known.dialect is Dialect.FULL:
            hall.watchers[connection] = known
        else:
            known.halls.discard(room)
        self._sweep(room)

    def listeners(self, room: RoomId) -> int:
        hall = self._halls.get(room)
        return 0 if hall is None else len(hall.listeners)

    def others_of(self, connection: ConnectionId) -> Sequence[ConnectionId]:
        known = self._connections.get(connection)
        if known is None or known.person is None:
            return ()
        return [other for other in self._people[known.person] if other != connection]

    def tell(self, batch: Sequence[Posted]) -> None:
        for posted in batch:
            hall = self._halls.get(posted.message.room)
            if hall is None:
                continue
            self._tell_message(hall, posted.message, posted.origin)
            hall.head = RoomHead(hall.head.room, hall.head.name, posted.message.changed)
            if hall.watchers:
                hall.heads.touch()

    def tell_presence(self, room: RoomId, change: PresenceChange) -> None:
        hall = self._halls.get(room)
        if hall is None:
            return
        full = Frame.event("presence", wire.encode_presence(room, change))
        stats = Frame.event("stats", wire.encode_stats(change.here))
        nobody_moved = not change.came and not change.went and change.here.count <= NAMED_AT_MOST
        for connection in tuple(hall.listeners.values()):
            if connection.dialect is Dialect.TUTORIAL:
                self.write(connection, stats)
            elif not nobody_moved:
                self.write(connection, full)

    def tell_typing(self, room: RoomId, account: Account) -> None:
        hall = self._halls.get(room)
        if hall is None:
            return
        frame = Frame.event("typing", wire.encode_typing(room, account))
        own = self._people.get(account.id, ())
        self._write_all(
            (
                listener
                for ident, listener in hall.listeners.items()
                if ident not in own and listener.dialect is Dialect.FULL
            ),
            frame,
        )

    def dismiss(self, connection: Connection, code: str, message: str, *, discard: bool = False) -> None:
        """Close a connection of our own accord: it is told why, and may come back. Harmless twice."""
        if not connection.wire.open:
            return
        connection.wire.open = False
        goodbye = Frame.event("goodbye", wire.encode_goodbye(code, message, reconnect=True))
        task = asyncio.get_running_loop().create_task(connection.wire.close(goodbye, discard=discard))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self, message: str) -> None:
        """Dismiss everybody; done when every connection has been told."""
        for connection in tuple(self._connections.values()):
            self.dismiss(connection, "unavailable", message)
        for hall in self._halls.values():
            hall.heads.stop()
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _tell_message(self, hall: _Hall, message: Message, origin: ConnectionId | None) -> None:
        frames: dict[Dialect, Frame] = {}
        for ident, connection in tuple(hall.listeners.items()):
            if ident == origin:
                continue
            frame = frames.get(connection.dialect)
            if frame is None:
                frame = frames[connection.dialect] = _message_frame(message, connection.dialect)
            self.write(connection, frame)

    def _write_all(self, connections: Iterable[Connection], frame: Frame) -> None:
        for connection in tuple(connections):
            self.write(connection, frame)

    def write(self, connection: Connection, frame: Frame) -> None:
        """Give one connection one frame, or let it go when it cannot take more."""
        if connection.wire.open and not connection.wire.write(frame):
            logger.info("connection %s reads too slowly and is closed", connection.session.connection)
            self.dismiss(connection, "too-fast", "You fell behind. You will be reconnected.", discard=True)

    def _hall(self, room: RoomId) -> _Hall:
        hall = self._halls.get(room)
        if hall is None:
            pacer = Pacer(self._clock, lambda: HEADS_EVERY_SECONDS, lambda: self._tell_head(room))
            hall = self._halls[room] = _Hall(pacer, RoomHead(room, room, 0))
        return hall

    def _tell_head(self, room: RoomId) -> None:
        hall = self._halls.get(room)
        if hall is not None:
            self._write_all(hall.watchers.values(), Frame.event("room", wire.encode_room(hall.head)))

    def _sweep(self, room: RoomId) -> None:
        """Drop the hall of a room that nobody hears or watches."""
        hall = self._halls[room]
        if not hall.listeners and not hall.watchers:
            hall.heads.stop()
            del self._halls[room]

    def _unname(self, connection: Connection) -> None:
        if connection.person is not None:
            connections = self._people[connection.person]
            connections.discard(connection.session.connection)
            if not connections:
                del self._people[connection.person]
            connection.person = None


def _message_frame(message: Message, dialect: Dialect) -> Frame:
    if dialect is Dialect.FULL:
        return Frame.event("message", wire.encode_message(message))
    return Frame.event("message", wire.encode_tutorial_message(message))
