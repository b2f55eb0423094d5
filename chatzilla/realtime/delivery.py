"""Who hears what: rooms on one side, connections on the other.

An event is encoded once for each dialect that is present and written to every connection that hears the room,
within one call and so in one order for all. A connection that cannot take more is let go with `goodbye`; it comes
back by its cursor, and nobody else notices.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from chatzilla import wire, wire_calls
from chatzilla.core.catchup import ROW_OVERHEAD
from chatzilla.core.pace import Pacer
from chatzilla.core.rooms import ROOMS_PER_CONNECTION, RoomHead
from chatzilla.realtime import packets
from chatzilla.realtime.connection import CHAT, Dialect
from chatzilla.realtime.telling import PIECE, Circle, Telling, piece_for
from chatzilla.realtime.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from chatzilla.core.call import Summary
    from chatzilla.core.messages import Posted
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import PresenceChange
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.core.session import Session
    from chatzilla.core.tokens import SignInId
    from chatzilla.ports import Clock, Timer
    from chatzilla.realtime.channel import Channel, Frame
    from chatzilla.realtime.connection import Connection

logger = logging.getLogger(__name__)

HEADS_EVERY_SECONDS: Final = 1.0

ECHO_AFTER_SECONDS: Final = 10.0
"""How long after something was told those who hear a room are told where it stands: an event that got lost shows by the
next one, and the very last one by this."""

ROUND_BYTES: Final = 32 * 1024
"""About as much as one round tells: a burst of more is given in several turns, so that whoever reads can keep up."""

UNTOLD_BYTES: Final = 2 * ROUND_BYTES
"""About as much as may wait to be told in one room before those who say more there have to wait themselves."""

HALLS_AT_MOST: Final = 2 * ROOMS_PER_CONNECTION
"""Rooms that one connection hears or watches."""

FEW: Final = 16
"""Listeners that are told at once, without the ado that lets others have their turn in between."""

BREATH: Final = 0.5
"""How long a room with many listeners rests between two rounds, as a part of how long the last one took. What arrives
meanwhile is told together with what waits already, and a write costs about the same whatever it carries. A room that
falls behind does not rest."""

NOTICES_AT_MOST: Final = 50
"""Notices of one room that may wait before those that somebody types are dropped."""


class _Notice(NamedTuple):
    """What connections are told that is not stored: of who is here, who types, where a room stands."""

    connections: Circle
    words: Callable[[Connection], Frame | None]


@dataclass(slots=True)
class _Hall:
    """One room's listeners, and those who only watch that it moves."""

    heads: Pacer
    about: RoomHead
    """What is told of the room but for where it stands; nothing in it is one person's."""
    head: int = 0
    """The number of the room's newest change, as far as it is known here."""
    last: int = 0
    """The place of its newest message, likewise."""
    untold: list[Posted] = field(default_factory=list)
    """What was stored and waits for its round."""
    untold_bytes: int = 0
    """About how much that is."""
    when_told: list[Callable[[], None]] = field(default_factory=list)
    """Who waits until there is less of it."""
    notices: deque[_Notice] = field(default_factory=deque)
    """What else is to be told, in order."""
    busy: bool = False
    """Whether it is being told something, or about to be."""
    rounds: int = 0
    echo: Timer | None = None
    """Will tell where the room stands."""
    listeners: Circle = field(default_factory=Circle)
    watchers: Circle = field(default_factory=Circle)

    def next_round(self) -> tuple[list[Posted], int]:
        """Take what is told next, as much as a socket takes at once; and about how many bytes that is."""
        size = count = 0
        for posted in self.untold:
            size += ROW_OVERHEAD + len(posted.message.content)
            count += 1
            if size >= ROUND_BYTES:
                break
        posts, self.untold = self.untold[:count], self.untold[count:]
        self.untold_bytes -= size
        return posts, size


class Delivery:
    """Implements `ports.Audience` over the connections of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: dict[ConnectionId, Connection] = {}
        self._people: dict[AccountId, set[ConnectionId]] = {}
        self._halls: dict[RoomId, _Hall] = {}
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
        if known is None or known.dialect is not Dialect.FULL or len(known.halls) >= HALLS_AT_MOST:
            return
        if not known.session.may_know(head.room):
            return
        hall = self._hall(head.room)
        hall.about = replace(head, read=None, muted=None)
        if head.head >= hall.head:
            hall.head, hall.last = head.head, head.last
        if connection not in hall.listeners:
            hall.watchers.add(connection, known)
            known.halls.add(head.room)
            self.write(known, self._room_event(hall, read=head.read, muted=head.muted))

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
        touched: dict[RoomId, _Hall] = {}
        for posted in batch:
            message = posted.message
            hall = self._halls.get(message.room)
            if hall is not None:
                if hall.untold or len(hall.listeners) > 1 or posted.origin not in hall.listeners:
                    hall.untold.append(posted)
                    hall.untold_bytes += ROW_OVERHEAD + len(message.content)
                hall.head = message.changed
                if message.seq == message.changed:  # else it is an edit, of one that was there
                    hall.last = message.seq
                touched[message.room] = hall
        for room, hall in touched.items():
            if hall.watchers:
                hall.heads.touch()
            if hall.echo is None:
                self._echo_later(room, hall)
            if hall.untold:  # else whoever said it is alone there
                self._attend(room, hall)

    def is_behind(self, room: RoomId) -> bool:
        """Whether so much waits to be told in a room that whoever says more there has to wait."""
        hall = self._halls.get(room)
        return hall is not None and hall.busy and hall.untold_bytes > UNTOLD_BYTES

    def when_told(self, room: RoomId, action: Callable[[], None]) -> None:
        """Do something, in the order of asking, as soon as a room is not behind any more."""
        self._halls[room].when_told.append(action)

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

        hall.notices.append(_Notice(hall.listeners, words))
        self._attend(room, hall)

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
                self.write(self._connections[ident], frame)

    def tell_room(self, head: RoomHead) -> None:
        hall = self._halls.get(head.room)
        if hall is None:
            return
        hall.about = head
        frame = self._room_event(hall)

        def words(connection: Connection) -> Frame | None:
            return frame if connection.dialect is Dialect.FULL else None

        hall.notices += (_Notice(hall.listeners, words), _Notice(hall.watchers, words))
        self._attend(head.room, hall)

    def tell_call(self, room: RoomId, call: Summary | None) -> None:
        if call is None:
            self._calls.pop(room, None)
        else:
            self._calls[room] = call
        hall = self._halls.get(room)
        if hall is None:
            return
        frame = self._room_event(hall)

        def words(connection: Connection) -> Frame | None:
            return frame if connection.dialect is Dialect.FULL else None

        hall.notices.extend((_Notice(hall.listeners, words), _Notice(hall.watchers, words)))
        self._attend(room, hall)

    def call_of(self, room: RoomId) -> wire.Json:
        """What a room as clients are given it says of its call, while there is one."""
        call = self._calls.get(room)
        return {} if call is None else {"call": wire_calls.encode_summary(call)}

    def tell_typing(self, room: RoomId, account: Account) -> None:
        hall = self._halls.get(room)
        if hall is None or len(hall.notices) >= NOTICES_AT_MOST:
            return
        frame = packets.event(CHAT, "typing", wire.encode_typing(room, account))
        own = frozenset(self._people.get(account.id, ()))

        def words(connection: Connection) -> Frame | None:
            others = connection.session.connection not in own and connection.dialect is Dialect.FULL
            return frame if others else None

        hall.notices.append(_Notice(hall.listeners, words))
        self._attend(room, hall)

    def tell_you(self, account: Account) -> None:
        frame = packets.event(CHAT, "you", wire.encode_you(account))
        for ident in tuple(self._people.get(account.id, ())):
            connection = self._connections[ident]
            if connection.dialect is Dialect.FULL:
                self.write(connection, frame)

    def sessions(self) -> Sequence[Session]:
        return [connection.session for connection in self._connections.values()]

    def tell_out(self, connection: ConnectionId, room: RoomId, message: str) -> None:
        known = self._connections.get(connection)
        if known is not None and known.dialect is Dialect.FULL:
            self.write(known, packets.event(CHAT, "room", wire.encode_gone(room, message)))

    def turn_out(self, connection: ConnectionId, message: str) -> None:
        known = self._connections.get(connection)
        if known is not None:
            self.dismiss(known, "forbidden", message, reconnect=False)

    def dismiss(self, connection: Connection, code: str, message: str, *, reconnect: bool = True) -> None:
        """Close a connection of our own accord: it is told why, and whether it may come back. Harmless twice."""
        _dismiss(connection.channel, code, message, reconnect=reconnect)

    def end_sign_ins(self, ended: Iterable[SignInId]) -> None:
        """Close every connection that stands on a sign-in which is over."""
        gone = set(ended)
        for connection in tuple(self._connections.values()):
            if connection.session.sign_in in gone:
                self.dismiss(connection, "sign-in", "You have been signed out.", reconnect=False)

    def close(self, message: str) -> None:
        """Dismiss everybody."""
        for connection in tuple(self._connections.values()):
            self.dismiss(connection, "unavailable", message)

    def write(self, connection: Connection, frame: Frame) -> None:
        """Give one connection one frame, or let it go when it cannot take more."""
        if connection.channel.open and not connection.channel.write(frame):
            self._let_go(connection.channel)

    def _tell_own(self, account: AccountId, frame: Frame, room: RoomId, *, but: ConnectionId | None) -> None:
        """Tell the connections of a person that know of a room something about it."""
        for ident in tuple(self._people.get(account, ())):
            connection = self._connections[ident]
            if ident != but and connection.dialect is Dialect.FULL and room in connection.halls:
                self.write(connection, frame)

    def _attend(self, room: RoomId, hall: _Hall) -> None:
        """See that a hall is told what waits: at once where few hear it and time is left, else piece by piece."""
        if hall.busy:
            return
        few = len(hall.listeners) <= FEW and not hall.notices and hall.untold_bytes < ROUND_BYTES
        if not (few and self._turns.at_once(lambda: self._tell_few(hall))):
            hall.busy = True
            self._turns.add(self._tell_all(room, hall))

    def _tell_few(self, hall: _Hall) -> None:
        """Tell a small hall what was stored, all of it."""
        posts, _ = hall.next_round()
        for slow in Telling(posts, hall.listeners).pieces(FEW):
            for channel in slow:
                self._let_go(channel)

    def _tell_all(self, room: RoomId, hall: _Hall) -> Iterator[bool]:
        """Tell a hall everything that waits, one thing after the other, so that none overtakes another."""
        breath = 0.0
        try:
            while self._halls.get(room) is hall:
                if hall.notices:
                    yield from self._give(hall.notices.popleft())
                elif hall.untold and not breath:
                    breath = yield from self._tell_round(room, hall)
                else:
                    break
        finally:
            hall.busy = False
        if breath and hall.untold:
            hall.busy = True
            asyncio.get_running_loop().call_later(breath, self._go_on, room, hall)

    def _go_on(self, room: RoomId, hall: _Hall) -> None:
        """Tell a hall what has come together while it rested."""
        hall.busy = False
        self._attend(room, hall)

    def _tell_round(self, room: RoomId, hall: _Hall) -> Generator[bool, None, float]:
        """Tell what was stored, as much of it at once as a socket takes, to everybody who hears it now.

        Returns:
            Seconds to rest until the next round.
        """
        posts, size = hall.next_round()
        piece = piece_for(size)
        hall.rounds += piece
        began = time.perf_counter()
        for slow in Telling(posts, hall.listeners, hall.rounds).pieces(piece):
            for channel in slow:
                self._let_go(channel)
            yield True
            if self._halls.get(room) is not hall:
                break
        _go_on_saying(hall)
        if len(hall.listeners) > PIECE and len(hall.untold) <= len(posts):
            return BREATH * (time.perf_counter() - began)
        if hall.untold:
            yield False  # one round in a turn, so that whoever reads can keep up
        return 0.0

    def _give(self, notice: _Notice) -> Iterator[bool]:
        """Tell each of some connections something of its own, unless it is gone when its turn comes."""
        size = 0
        for ident, connection in tuple(notice.connections.items()):
            frame = notice.words(connection) if ident in notice.connections else None
            if frame is None:
                continue
            self.write(connection, frame)
            size += ROW_OVERHEAD + frame.size
            if size >= PIECE * 2 * ROW_OVERHEAD:
                size = 0
                yield True

    def _let_go(self, channel: Channel) -> None:
        logger.info("session %s reads too slowly and is closed", channel.sid)
        _dismiss(channel, "too-fast", "You fell behind. You will be reconnected.")

    def _hall(self, room: RoomId) -> _Hall:
        hall = self._halls.get(room)
        if hall is None:
            pacer = Pacer(self._clock, lambda: HEADS_EVERY_SECONDS, lambda: self._tell_head(room))
            hall = self._halls[room] = _Hall(pacer, RoomHead(room, room, 0, 0))
        return hall

    def _room_event(
        self, hall: _Hall, *, read: int | None = None, muted: bool | None = None, may: tuple[str, ...] | None = None
    ) -> Frame:
        head = replace(hall.about, head=hall.head, last=hall.last, read=read, muted=muted)
        return packets.event(CHAT, "room", wire.encode_room(head, may) | self.call_of(head.room))

    def _tell_head(self, room: RoomId) -> None:
        hall = self._halls.get(room)
        if hall is not None:
            frame = self._room_event(hall)
            hall.notices.append(_Notice(hall.watchers, lambda _: frame))
            self._attend(room, hall)

    def _echo_later(self, room: RoomId, hall: _Hall) -> None:
        hall.echo = self._clock.call_later(ECHO_AFTER_SECONDS, lambda: self._echo(room, hall))

    def _echo(self, room: RoomId, hall: _Hall) -> None:
        """Tell where a room stands, once nothing of it is still to be told."""
        hall.echo = None
        if hall.untold:
            self._echo_later(room, hall)
            return
        frame = self._room_event(hall)
        hall.notices.append(_Notice(hall.listeners, lambda each: frame if each.dialect is Dialect.FULL else None))
        self._attend(room, hall)

    def _sweep(self, room: RoomId) -> None:
        """Drop the hall of a room that nobody hears or watches."""
        hall = self._halls[room]
        if not hall.listeners and not hall.watchers:
            hall.heads.stop()
            if hall.echo is not None:
                hall.echo.cancel()
            del self._halls[room]
            hall.untold_bytes = 0  # nobody is left to be told
            asyncio.get_running_loop().call_soon(_go_on_saying, hall)

    def _unname(self, connection: Connection) -> None:
        if connection.person is not None:
            connections = self._people[connection.person]
            connections.discard(connection.session.connection)
            if not connections:
                del self._people[connection.person]
            connection.person = None


def _go_on_saying(hall: _Hall) -> None:
    """Let go on who waited until most of what was said is told."""
    if hall.when_told and hall.untold_bytes <= UNTOLD_BYTES:
        waiting, hall.when_told = hall.when_told, []
        for action in waiting:
            action()


def _dismiss(channel: Channel, code: str, message: str, *, reconnect: bool = True) -> None:
    goodbye = packets.event(CHAT, "goodbye", wire.encode_goodbye(code, message, reconnect=reconnect))
    channel.close(f"dismissed: {code}", goodbye)
