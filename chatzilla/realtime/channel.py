"""One Engine.IO v4 session: on long-polling, on a WebSocket, or moving from one to the other.

    polling ──probe──▶ upgrading ──"5"──▶ websocket        opened on either side
       │                   │                  │
       └───────────────────┴──────────────────┴──▶ closed

Every state has a deadline: a session that does not answer pings, an upgrade that is not completed, a session that joins
no namespace. What waits for a session is bounded in bytes, and so is what it may send. What cannot be parsed closes the
session that sent it, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from chatzilla.errors import BadRequest
from chatzilla.realtime import websocket

if TYPE_CHECKING:
    from aiohttp import web

    from chatzilla.realtime.engine import Engine
    from chatzilla.realtime.websocket import WebSocket

_OPEN: Final = b"0"
_CLOSE: Final = b"1"
_PING: Final = b"2"
_PONG: Final = b"3"
_MESSAGE: Final = b"4"
_UPGRADE: Final = b"5"
_NOOP: Final = b"6"
_SEPARATOR: Final = b"\x1e"
_BASE64: Final = b"b"
_PING_FRAME: Final = websocket.frame(_PING)

ATTEMPT_FORGOTTEN_SECONDS: Final = 10.0
"""After how long one of its attempts to enter a namespace counts no more."""

PACKETS_IN_A_BODY: Final = 1_000
PACKETS_IN_A_POLL: Final = 16
"""Packets that one poll is answered with: clients on python-engineio take no more, and fall silent."""


Receiver = Callable[[bytes | list[Any], int | None, int], None]
"""Takes an event: a list of its name, which may be no string, and its arguments, as its JSON or read already; the
number under which an answer is asked for, if one is; and of how many bytes it came. Raises ValueError or RecursionError
for JSON that is none."""


_random: Final = deque[bytes]()


def new_id() -> str:
    """Make an id that nobody can guess: 15 bytes from the system, which is asked for many at a time."""
    if not _random:
        block = os.urandom(15 * 64)
        _random.extend(block[start : start + 15] for start in range(0, len(block), 15))
    return urlsafe_b64encode(_random.popleft()).decode()


class Frame:
    """One Engine.IO message, encoded once for every session that is sent it."""

    __slots__ = ("_body", "_framed")

    def __init__(self, body: bytes) -> None:
        self._body = b"4" + body
        self._framed: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes of it, without a transport's own."""
        return len(self._body)

    @property
    def packet(self) -> bytes:
        """As a poll carries it."""
        return self._body

    @property
    def framed(self) -> bytes:
        """As a WebSocket carries it."""
        if self._framed is None:
            self._framed = websocket.frame(self._body)
        return self._framed


class Channel:
    """One Engine.IO session: an id, and whatever transport it has now."""

    __slots__ = (
        "_attempted_at",
        "_attempts",
        "_deadline",
        "_due",
        "_engine",
        "_knocking",
        "_may_say_more",
        "_ping_told",
        "_poll",
        "_posting",
        "_queue",
        "_queued",
        "_spare",
        "_spare_at",
        "_timer",
        "_upgrade",
        "_waits_for_pong",
        "_when_read",
        "address",
        "asked",
        "behind",
        "full",
        "open",
        "receivers",
        "sid",
        "socket",
        "ticket",
    )

    def __init__(self, engine: Engine, address: str, ticket: str | None = None) -> None:
        self._engine = engine
        self.sid = new_id()
        self.address = address
        self.ticket = ticket
        """The token in the session cookie that the first request carried."""
        self.open = True
        self.behind = False
        """Whether more waits for it than may: nothing that it asks is begun before it has read."""
        self._when_read: list[Callable[[], None]] | None = None
        self.asked = 0
        """Bytes, as they came, of what it has asked for and has no answer to yet."""
        self.full = False
        """Whether that is more than may be: nothing more is read from it then."""
        self._spare = engine.limits.packets.burst
        """Packets that it may send before it is looked how many the time since `_spare_at` has brought."""
        self._attempts = 0.0
        self._attempted_at = 0.0
        self.receivers: dict[bytes, Receiver] = {}
        """The direct namespaces that it has entered, and who takes its events there."""
        self.socket: WebSocket | None = None
        """The transport, unless it is long-polling."""
        self._knocking: _Upgrade | None = None
        """The one WebSocket that may ask to become the transport."""
        self._upgrade: _Upgrade | None = None
        """The same, from its probe on."""
        self._queue: list[bytes] | None = None
        self._queued = 0
        self._poll: asyncio.Future[None] | None = None
        self._posting = False
        """Whether a POST is under way."""
        self._may_say_more: asyncio.Future[None] | None = None
        """What that waits for."""
        self._waits_for_pong = False
        self._ping_told = False
        """Whether the ping was fetched: before that, nobody can be answering it."""
        self._spare_at = engine.loop.time()
        self._due = self._spare_at + engine.limits.heartbeat
        """When the next ping is to be sent, or the answer to the last one is late."""
        self._timer = engine.loop.call_at(self._due, self._ping)
        self._deadline: asyncio.TimerHandle | None = engine.later(engine.limits.join_within, self._give_up_waiting)

    @property
    def transport(self) -> str:
        """The name of the transport, as the protocol has it."""
        return "polling" if self.socket is None else "websocket"

    @property
    def queue_limit(self) -> int:
        """Bytes that may wait for it; beyond, it reads too slowly."""
        return self._engine.limits.queue

    def attempts(self) -> bool:
        """It asks to enter a namespace; returns whether it does so too often. An attempt is forgotten after a while."""
        now = self._engine.loop.time()
        forgotten = (now - self._attempted_at) / ATTEMPT_FORGOTTEN_SECONDS
        self._attempts = max(0.0, self._attempts - forgotten) + 1
        self._attempted_at = now
        return self._attempts > self._engine.limits.attempts

    def joined(self) -> None:
        """It has entered a namespace, so it may stay."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def left(self) -> None:
        """It is in no namespace any more: it may join one again, in time."""
        if self.open and self._deadline is None:
            self._deadline = self._engine.later(self._engine.limits.join_within, self._give_up_waiting)

    def when_read(self, action: Callable[[], None]) -> None:
        """Do something as soon as it is not behind any more, or over."""
        if self._when_read is None:
            self._when_read = []
        self._when_read.append(action)

    def stalled(self) -> None:
        """It does not read what it is told."""
        self.behind = True

    def flowing(self) -> None:
        """It has read most of it."""
        self.behind = False
        actions, self._when_read = self._when_read, None
        for action in actions or ():
            action()
        self._read_on()

    def asks(self, size: int) -> None:
        """Something was asked in so many bytes; when more waits than may, nothing is read before most is answered."""
        self.asked += size
        if self.asked > self._engine.limits.payload:
            self.full = True
            if self.socket is not None:
                self.socket.stop_reading()

    def answered(self, size: int) -> None:
        """What was asked in so many bytes has its answer, or needs none any more."""
        self.asked -= size
        if self.full and self.asked <= self._engine.limits.payload // 2:
            self._has_room()

    def _has_room(self) -> None:
        self.full = False
        if self.socket is not None:
            self.socket.read_on()
        self._read_on()

    def _read_on(self) -> None:
        """Read the POST that waits, if it need not wait any more."""
        if self._may_say_more is not None and not self._may_say_more.done() and not (self.behind or self.full):
            self._may_say_more.set_result(None)

    # Out.

    def write(self, *frames: Frame) -> bool:
        """Send messages, in one write.

        Returns:
            False when too much waits already: whoever is there does not read.
        """
        if self.socket is not None:
            framed = frames[0].framed if len(frames) == 1 else b"".join([frame.framed for frame in frames])
            return self.socket.write(framed) <= self._engine.limits.queue
        for frame in frames:
            self._enqueue(frame.packet)
        return self._queued <= self._engine.limits.queue

    def write_soon(self, body: bytes) -> None:
        """Send a message at the end of this turn of the event loop, in one write with others that do the same.

        It is for this session alone, so it is no `Frame`, only what stands in one, after its type.
        """
        if self.socket is not None:
            self.socket.write_soon(websocket.frame(b"4" + body))
        else:
            self._enqueue(_MESSAGE + body)

    def write_binary(self, data: bytes) -> None:
        """Send a binary message, which belongs to a Socket.IO packet that was sent just before."""
        if self.socket is not None:
            self.socket.write(websocket.binary_frame(data))
        else:
            self._enqueue(_BASE64 + b64encode(data))

    def close(self, reason: str, last_words: Frame | None = None) -> None:
        """Close from our side, in a way after which clients come back by themselves. Harmless twice.

        Without a packet CLOSE: clients on python-engineio take it for the end, and stay away. A WebSocket that is
        closed, and a poll of a session that is not there any more, bring every client back.

        Args:
            reason: for the listener and the log.
            last_words: the last thing that the client hears, if it listens.
        """
        if not self.open:
            return
        if last_words is not None:
            self.write(last_words)
        if self.socket is not None:
            self.socket.close()
        else:
            if not self._queue:
                self._enqueue(_NOOP)
            self._engine.keep_for_a_poll(self)
        self._end(reason)

    # In, by whichever transport.

    def _count(self) -> None:
        """One more packet.

        Raises:
            ValueError: it is one too many.
        """
        self._spare -= 1
        if self._spare < 0:
            self._look_for_spare()

    def _look_for_spare(self) -> None:
        """What it might send at once is used up: see what it may send by now.

        Raises:
            ValueError: nothing.
        """
        rate, now = self._engine.limits.packets, self._engine.loop.time()
        if rate.per_second:
            self._spare = int(min(rate.burst, (now - self._spare_at) * rate.per_second)) - 1
        else:
            self._spare = rate.burst
        self._spare_at = now
        if self._spare < 0:
            raise ValueError("too much, for too long")

    def _take_own(self, packet: bytes) -> None:
        """Handle a packet that is for the session itself.

        Raises:
            UnicodeDecodeError: it is no text.
            ValueError: it is none.
        """
        if packet == _PONG:
            if self._ping_told:
                self._waits_for_pong = False
        elif packet == _CLOSE:
            self._answer_poll(_NOOP)
            if self.socket is not None:
                self.socket.close()
            self._end("client disconnect")
        else:
            packet.decode()  # what is no text is told so
            raise ValueError("not an Engine.IO packet")

    def posts(self) -> None:
        """It says something by a POST; `posted` has to follow.

        Raises:
            BadRequest: another one is under way. The session ends, since nobody knows which of them comes first.
        """
        if self._posting:
            self._end("transport error")
            raise BadRequest("Another POST of this session was under way.")
        self._posting = True

    async def may_be_read(self) -> None:
        """Wait until more may be read from it, or it is over. It is over soon if it reads nothing itself."""
        if self.behind or self.full:
            self._may_say_more = self._engine.loop.create_future()
            await self._may_say_more

    def posted(self) -> None:
        """The POST is over, whatever became of it."""
        self._posting = False
        self._may_say_more = None

    def take_body(self, body: bytes) -> None:
        """Handle the packets of a POST.

        Raises:
            ValueError: one of them is none; the session is closed.
        """
        try:
            body.decode()  # none of it is heard if it is no text
            packets = body.split(_SEPARATOR)
            if len(packets) > PACKETS_IN_A_BODY:
                raise ValueError("too many packets in a body")
            for packet in packets:
                if not self.open:
                    break
                self._count()
                if packet.startswith(_MESSAGE):
                    self._engine.listener.received(self, packet[1:])
                elif packet.startswith(_BASE64):
                    self._engine.listener.attached(self, b64decode(packet[1:], validate=True))
                else:
                    self._take_own(packet)
        except (ValueError, RecursionError) as error:
            self._misunderstood(error)
            raise

    # What its WebSocket calls: this is a `websocket.Owner`.

    def text(self, text: bytes) -> None:
        try:
            self._count()
            if text[:1] == _MESSAGE:
                self._engine.listener.received(self, text[1:])
            else:
                self._take_own(text)
        except UnicodeDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            self._misunderstood(error)

    def binary(self, data: bytes) -> None:
        try:
            self._count()
            self._engine.listener.attached(self, data)
        except (ValueError, RecursionError) as error:
            self._misunderstood(error)

    def lost(self, reason: str) -> None:
        self._end(reason)

    def begin_on(self, socket: WebSocket) -> None:
        """Begin on a WebSocket, without a poll before."""
        self.socket = socket
        socket.write(websocket.frame(self._handshake(upgrades="")))

    # Long-polling.

    def begin_polling(self) -> bytes:
        """Begin, and return what the first request is answered."""
        return self._handshake(upgrades='"websocket"')

    async def poll(self, request: web.Request) -> bytes:
        """Wait until there is something to tell, and return it.

        Raises:
            BadRequest: a poll is under way already, this one was given up, or it comes when a pong is overdue. Each
                way something may have been told to nobody, so the session ends, and its client comes back and asks
                for what it missed.
        """
        if self._poll is not None:
            self._answer_poll(_CLOSE)
            self._end("transport error")
            raise BadRequest("Another poll of this session was under way.")
        if self._upgrade is not None:
            return _NOOP
        if self._waits_for_pong and self._engine.loop.time() >= self._due:
            self._timer.cancel()
            self._expect_pong()  # the timer would find it in a moment, but this poll came first
            raise BadRequest("This session did not answer in time.")
        if not self._queue:
            self._poll = self._engine.loop.create_future()
            try:
                await self._poll
            except asyncio.CancelledError:
                self._end("transport error")
                raise
            finally:
                self._poll = None
        if request.transport is None or request.transport.is_closing():
            self._end("transport error")
            raise BadRequest("This poll was given up.")
        return self.take_queue()

    def take_queue(self) -> bytes:
        """What waits, in one body; what does not fit waits for the next poll."""
        packets = self._queue or [_NOOP]
        size = taken = 0
        for packet in packets:
            size += len(packet) + 1
            if taken == PACKETS_IN_A_POLL or (taken and size > self._engine.limits.payload):
                break
            if taken and packet == _CLOSE:
                break  # alone in its body: the JavaScript client forgets the messages that stand before a close
            taken += 1
        if _PING in packets[:taken]:
            self._ping_told = True
        self._queue = packets[taken:]
        self._queued = sum(map(len, self._queue))
        if not self.open and not self._queue:
            self._engine.said_farewell(self)
        if self.behind and self._queued <= self._engine.limits.queue:
            self.flowing()
        return _SEPARATOR.join(packets[:taken])

    # Moving to a WebSocket.

    def knocked(self, socket: WebSocket) -> websocket.Owner:
        """A WebSocket asks to become the transport; it belongs to the upgrade until it is."""
        upgrade = _Upgrade(self._engine, self, socket)
        if self.socket is not None or self._knocking is not None or not self.open:
            upgrade.refuse()
        else:
            self._knocking = upgrade
        return upgrade

    def probed(self, upgrade: _Upgrade) -> None:
        """The probe was answered: end the waiting poll, and hold everything else for the new transport."""
        self._upgrade = upgrade
        self._answer_poll(_NOOP)

    def not_upgraded(self, upgrade: _Upgrade) -> None:
        """It came to nothing; the polls go on."""
        if self._upgrade is upgrade:
            self._upgrade = None
        if self._knocking is upgrade:
            self._knocking = None

    def upgraded_to(self, socket: WebSocket) -> None:
        """From here on, the WebSocket is the transport."""
        self._upgrade = self._knocking = None
        self.socket = socket
        socket.owner = self
        self.behind = False
        for packet in self._queue or ():
            if packet.startswith(_BASE64):
                socket.write(websocket.binary_frame(b64decode(packet[1:])))
            elif packet != _NOOP:
                socket.write(websocket.frame(packet))
        self._queue = None
        self._queued = 0
        self._ping_told = True
        if self.full:
            socket.stop_reading()
        if not self.behind:
            self.flowing()

    def _handshake(self, *, upgrades: str) -> bytes:
        limits = self._engine.limits
        return (
            _OPEN
            + (
                f'{{"sid":"{self.sid}","upgrades":[{upgrades}],"pingInterval":{int(limits.heartbeat * 1000)},'
                f'"pingTimeout":{int(limits.pong_within * 1000)},"maxPayload":{limits.payload}}}'
            ).encode()
        )

    def _enqueue(self, packet: bytes) -> None:
        if self._queue is None:
            self._queue = []
        self._queue.append(packet)
        self._queued += len(packet)
        if self._queued > self._engine.limits.queue:
            self.stalled()
        if self._poll is not None and not self._poll.done() and self._upgrade is None:
            self._poll.set_result(None)

    def _answer_poll(self, packet: bytes) -> None:
        """End the waiting poll with a packet of its own."""
        if self._poll is not None and not self._poll.done():
            self._queue = [packet, *(self._queue or [])]
            self._poll.set_result(None)

    def _ping(self) -> None:
        """Ask for a sign of life."""
        self._waits_for_pong = True
        self._ping_told = self.socket is not None
        if self.socket is not None:
            self.socket.write(_PING_FRAME)
        else:
            self._enqueue(_PING)
        self._at(self._due + self._engine.limits.pong_within, self._expect_pong)

    def _expect_pong(self) -> None:
        """The time for an answer is over: was there one?"""
        limits = self._engine.limits
        if not self._waits_for_pong:
            self._at(self._due + max(0.0, limits.heartbeat - limits.pong_within), self._ping)
            return
        if self.socket is not None:
            self.socket.transport.abort()
        self._end("ping timeout")

    def _at(self, due: float, action: Callable[[], None]) -> None:
        self._due = due
        self._timer = self._engine.loop.call_at(due, action)

    def _give_up_waiting(self) -> None:
        """It was let in, and does not say what for."""
        self._deadline = None
        self.close("no namespace was joined")

    def _misunderstood(self, error: Exception) -> None:
        """The client sent what cannot be understood: it is closed, with one line in the log."""
        self._engine.complain(f"connection {self.sid} from {self.address} is closed: {error}")
        if self.socket is not None:
            self.socket.close(websocket.PROTOCOL_ERROR)
            self.socket.transport.close()
        self._end("parse error")

    def _end(self, reason: str) -> None:
        """The session is over; everybody who has to know is told, once."""
        if not self.open:
            return
        self.open = False
        self._timer.cancel()
        self.joined()
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
        if self._knocking is not None:
            self._knocking.refuse()
        self._engine.ended(self, reason)
        self._has_room()
        self.flowing()


class _Upgrade:
    """A WebSocket that asks to become a session's transport: a `websocket.Owner` until it is, or until it fails."""

    def __init__(self, engine: Engine, channel: Channel, socket: WebSocket) -> None:
        self._channel = channel
        self._socket = socket
        self._deadline = engine.later(engine.limits.upgrade_within, self.refuse)
        self._probed = False

    def text(self, text: bytes) -> None:
        if text == _PING + b"probe" and not self._probed and self._channel.open:
            self._probed = True
            self._socket.write(websocket.frame(_PONG + b"probe"))
            self._channel.probed(self)
        elif text == _UPGRADE and self._probed:
            self._deadline.cancel()
            self._channel.upgraded_to(self._socket)
        else:
            text.decode()  # what is no text is told so
            self.refuse()

    def binary(self, _data: bytes) -> None:
        self.refuse()

    def stalled(self) -> None:
        """Only pongs may wait here, and while they do it is not read."""

    def flowing(self) -> None:
        """See `stalled`."""

    def lost(self, _reason: str) -> None:
        self._deadline.cancel()
        self._channel.not_upgraded(self)

    def refuse(self) -> None:
        """Close the WebSocket; the session stays what it was."""
        self._deadline.cancel()
        self._channel.not_upgraded(self)
        self._socket.close()
