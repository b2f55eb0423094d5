"""Who hears what: rooms on one side, connections on the other.

An event is encoded once for each dialect that is present, and the room's hall tells it, in one order, to every
connection that hears the room. A connection that cannot take more is let go with `goodbye`; it comes back by its
cursor, and nobody else notices.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from chatzilla import wire, wire_calls
from chatzilla.core.pace import Pacer
from chatzilla.core.rooms import ROOMS_PER_CONNECTION
from chatzilla.realtime import packets
from chatzilla.realtime.connection import CHAT, Dialect
from chatzilla.realtime.hall import Hall
from chatzilla.realtime.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chatzilla.core.call import Summary
    from chatzilla.core.messages import Posted
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import PresenceChange
    from chatzilla.core.rooms import ConnectionId, RoomHead, RoomId
    from chatzilla.core.session import Session
    from chatzilla.core.tokens import SignInId
    from chatzilla.ports import Clock
    from chatzilla.realtime.channel import Frame
    from chatzilla.realtime.connection import Connection
    from chatzilla.realtime.telling import Circle

logger = logging.getLogger(__name__)

HEADS_EVERY_SECONDS: Final = 1.0

ECHO_AFTER_SECONDS: Final = 10.0
"""How long after something was told those who hear a room are told where it stands: an event that got lost shows by the
next one, and the very last one by this."""

HALLS_AT_MOST: Final = 2 * ROOMS_PER_CONNECTION
"""Rooms that one connection hears or watches."""

NOTICES_AT_MOST: Final = 50
"""Notices of one room that may wait before those that somebody types are dropped."""


class Delivery:
    """Implements `ports.Audience` over the connections of this process."""

    def __init__(self, clock: Clock, about: Callable[[RoomId], RoomHead]) -> None:
        """Begin with nobody.

        Args:
            clock: paces what is told of where rooms stand.
            about: what is known of a room, but for where it stands.
        """
        self._clock = clock
        self._about = about
        self._connections: dict[ConnectionId, Connection] = {}
        self._people: dict[AccountId, set[ConnectionId]] = {}
        self._halls: dict[RoomId, Hall] = {}
        self._calls: dict[RoomId, Summary] = {}
        """The calls that there are."""
        self._turns = Turns()

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
            hall.listeners.pop(ident)
            hall.watchers.pop(ident)
            self._sweep(room)
        connection.halls.clear()

    def identify(self, connection: ConnectionId, account: Account | None) -> None:
        known = self._connections.get(connection)
        if known is None:
            return
        self._unname(known)
        if account is not None:
            known.person = account.id
            self._people.setdefault(account.id, set()).add(connection)

    def speak_full(self, connection: Connection) -> None:
        """From here on, a connection is told everything in the full dialect."""
        connection.dialect = Dialect.FULL
        for room in connection.halls:
            self._halls[room].listeners.changed()

    def subscribe(self, connection: ConnectionId, room: RoomId) -> None:
        known = self._connections.get(connection)
        if known is not None:
            hall = self._hall(room)
            hall.listeners.add(connection, known)
            hall.watchers.pop(connection)
            known.halls.add(room)

    def watch(self, connection: ConnectionId, head: RoomHead) -> None:
        known = self._connections.get(connection)
        if known is None or not known.session.may_know(head.room):
            return
        hall = self._halls.get(head.room)
        if hall is not None:
            hall.learn(head)
        if known.dialect is not Dialect.FULL or len(known.halls) >= HALLS_AT_MOST:
            return
        if hall is None:
            hall = self._hall(head.room)
            hall.learn(head)
        if connection not in hall.listeners:
            hall.watchers.add(connection, known)
            known.halls.add(head.room)
            known.write(self._room_event(hall, read=head.read, muted=head.muted))

    def unsubscribe(self, connection: ConnectionId, room: RoomId, *, watching: bool) -> None:
        hall = self._halls.get(room)
        if hall is None:
            return
        known = hall.listeners.pop(connection)
        if known is None and not watching:
            known = hall.watchers.pop(connection)
        if known is None:
            return
        if watching and known.dialect is Dialect.FULL:
            hall.watchers.add(connection, known)
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

    def sessions_of(self, account: AccountId) -> Sequence[Session]:
        return [self._connections[ident].session for ident in self._people.get(account, ())]

    def tell(self, batch: Sequence[Posted]) -> None:
        touched: dict[RoomId, Hall] = {}
        for posted in batch:
            room = posted.message.room
            hall = self._halls.get(room)
            if hall is not None:
                hall.take(posted)
                touched[room] = hall
        for room, hall in touched.items():
            try:
                if hall.watchers:
                    hall.heads.touch()
                if hall.echo is None:
                    self._echo_later(room, hall)
                if hall.untold:  # else whoever said it is alone there
                    hall.attend()
            except (
                Exception
            ):  # the other rooms are told all the same; who misses something here asks for it by its cursor
                logger.exception("telling %s failed", room)

    def is_behind(self, room: RoomId) -> bool:
        """Whether so much waits to be told in a room that whoever says more there has to wait."""
        hall = self._halls.get(room)
        return hall is not None and hall.is_behind

    def when_told(self, room: RoomId, action: Callable[[], None]) -> None:
        """Do something, in the order of asking, as soon as a room is not behind any more."""
        self._halls[room].when_told(action)

    def tell_presence(self, room: RoomId, change: PresenceChange) -> None:
        hall = self._halls.get(room)
        if hall is None:
            return
        full = packets.event(CHAT, "presence", wire.encode_presence(room, change))
        stats = packets.event(CHAT, "stats", wire.encode_stats(change.here))

        def words(connection: Connection) -> Frame | None:
            if connection.dialect is Dialect.TUTORIAL:
                return stats
            return full if change.somebody_moved else None

        hall.notify(hall.listeners, words)
        hall.attend()

    def tell_read(self, room: RoomId, account: Account, seq: int, *, origin: ConnectionId | None) -> None:
        hall = self._halls.get(room)
        if hall is None or seq > hall.head:
            return
        self._tell_own(account.id, self._room_event(hall, read=seq), room, but=origin)

    def tell_standing(
        self,
        room: RoomId,
        account: AccountId,
        *,
        muted: bool | None = None,
        may: tuple[str, ...] | None = None,
        origin: ConnectionId | None = None,
    ) -> None:
        hall = self._halls.get(room)
        if hall is not None:
            self._tell_own(account, self._room_event(hall, muted=muted, may=may), room, but=origin)

    def tell_gone(self, room: RoomId, account: AccountId) -> None:
        frame = packets.event(CHAT, "room", wire.encode_gone(room))
        for ident in tuple(self._people.get(account, ())):
            if self._connections[ident].dialect is Dialect.FULL:
                self._connections[ident].write(frame)

    def tell_room(self, head: RoomHead) -> None:
        hall = self._halls.get(head.room)
        if hall is not None:
            hall.about = head
            self._say_where_it_stands(hall, hall.listeners, hall.watchers)

    def tell_call(self, room: RoomId, call: Summary | None) -> None:
        if call is None:
            self._calls.pop(room, None)
        else:
            self._calls[room] = call
        hall = self._halls.get(room)
        if hall is not None:
            self._say_where_it_stands(hall, hall.listeners, hall.watchers)

    def call_of(self, room: RoomId) -> wire.Json:
        """What a room as clients are given it says of its call, while there is one."""
        call = self._calls.get(room)
        return {} if call is None else {"call": wire_calls.encode_summary(call)}

    def tell_typing(self, room: RoomId, account: Account) -> None:
        hall = self._halls.get(room)
        if hall is None or hall.notices >= NOTICES_AT_MOST:
            return
        frame = packets.event(CHAT, "typing", wire.encode_typing(room, account))
        own = frozenset(self._people.get(account.id, ()))

        def words(connection: Connection) -> Frame | None:
            others = connection.session.connection not in own and connection.dialect is Dialect.FULL
            return frame if others else None

        hall.notify(hall.listeners, words)
        hall.attend()

    def tell_you(self, account: Account) -> None:
        frame = packets.event(CHAT, "you", wire.encode_you(account))
        for ident in tuple(self._people.get(account.id, ())):
            connection = self._connections[ident]
            if connection.dialect is Dialect.FULL:
                connection.write(frame)

    def sessions(self) -> Sequence[Session]:
        return [connection.session for connection in self._connections.values()]

    def tell_out(self, connection: ConnectionId, room: RoomId, message: str) -> None:
        known = self._connections.get(connection)
        if known is not None and known.dialect is Dialect.FULL:
            known.write(packets.event(CHAT, "room", wire.encode_gone(room, message)))

    def turn_out(self, connection: ConnectionId, message: str) -> None:
        known = self._connections.get(connection)
        if known is not None:
            known.dismiss("forbidden", message, reconnect=False)

    def end_sign_ins(self, ended: Iterable[SignInId]) -> None:
        """Close every connection that stands on a sign-in which is over."""
        gone = set(ended)
        for connection in tuple(self._connections.values()):
            if connection.session.sign_in in gone:
                connection.dismiss("sign-in", "You have been signed out.", reconnect=False)

    def close(self, message: str) -> None:
        """Dismiss everybody."""
        for connection in tuple(self._connections.values()):
            connection.dismiss("unavailable", message)

    def _tell_own(self, account: AccountId, frame: Frame, room: RoomId, *, but: ConnectionId | None) -> None:
        """Tell the connections of a person that know of a room something about it."""
        for ident in tuple(self._people.get(account, ())):
            connection = self._connections[ident]
            if ident != but and connection.dialect is Dialect.FULL and room in connection.halls:
                connection.write(frame)

    def _hall(self, room: RoomId) -> Hall:
        hall = self._halls.get(room)
        if hall is None:
            pacer = Pacer(self._clock, lambda: HEADS_EVERY_SECONDS, lambda: self._tell_head(room))
            hall = self._halls[room] = Hall(self._about(room), pacer, self._turns)
        return hall

    def _room_event(
        self, hall: Hall, *, read: int | None = None, muted: bool | None = None, may: tuple[str, ...] | None = None
    ) -> Frame:
        head = replace(hall.about, head=hall.head, last=hall.last, read=read, muted=muted)
        return packets.event(CHAT, "room", wire.encode_room(head, may) | self.call_of(head.room))

    def _tell_head(self, room: RoomId) -> None:
        hall = self._halls.get(room)
        if hall is not None:
            self._say_where_it_stands(hall, hall.watchers)

    def _say_where_it_stands(self, hall: Hall, *circles: Circle) -> None:
        frame = self._room_event(hall)

        def words(connection: Connection) -> Frame | None:
            return frame if connection.dialect is Dialect.FULL else None

        for circle in circles:
            hall.notify(circle, words)
        hall.attend()

    def _echo_later(self, room: RoomId, hall: Hall) -> None:
        hall.echo = self._clock.call_later(ECHO_AFTER_SECONDS, lambda: self._echo(room, hall))

    def _echo(self, room: RoomId, hall: Hall) -> None:
        """Tell where a room stands, once nothing of it is still to be told."""
        hall.echo = None
        if hall.untold:
            self._echo_later(room, hall)
            hall.attend()
        else:
            self._say_where_it_stands(hall, hall.listeners)

    def _sweep(self, room: RoomId) -> None:
        """Drop the hall of a room that nobody hears or watches."""
        hall = self._halls[room]
        if not hall.listeners and not hall.watchers:
            del self._halls[room]
            hall.close()

    def _unname(self, connection: Connection) -> None:
        if connection.person is not None:
            connections = self._people[connection.person]
            connections.discard(connection.session.connection)
            if not connections:
                del self._people[connection.person]
            connection.person = None
