"""A WebSocket of our own (RFC 6455), on the transport that aiohttp shook hands on.

aiohttp routes the request, reads its headers and answers 101; from then on the bytes are ours, and a connection costs
no task, no queue and no compression state. What is written goes to the socket at once while nothing waits, and
into asyncio's buffer otherwise; how much may wait there, the owner decides. Extensions are never negotiated.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
from socket import SO_SNDBUF, SOL_SOCKET
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web
from aiohttp._websocket.helpers import websocket_mask  # the quick one; its minor version is pinned for `accept` anyway

from chatzilla.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)

_CONTINUATION: Final = 0x0
_TEXT: Final = 0x1
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA

_WHOLE_TEXT: Final = 0x80 | _TEXT
"""How a text begins that is not in parts."""

NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
NOT_TEXT: Final = 1007
TOO_BIG: Final = 1009

CLOSING_SECONDS: Final = 5.0
"""How long the other side may take to close, or to read the last of what was written."""

READ_BUFFER: Final = 16 * 1024
"""Bytes that are read from one connection in a turn: what they hold is handled at once. About as much is read in all
from those who have more to say than that."""

LEAST_READ: Final = 512
"""Bytes that are read from one of these however many they are."""

SEND_BUFFER: Final = 64 * 1024
"""Bytes that the kernel keeps for one connection. Its default grows to megabytes, which nobody here would see."""


_NOTHING: Final = bytearray()
"""What is held of a frame that is not whole yet, while there is none; never written to."""


class Owner(Protocol):
    """Whoever a WebSocket belongs to."""

    def text(self, text: bytes) -> None:
        """A text, as it came.

        Raises:
            UnicodeDecodeError: it is none; whoever reads it finds out.
        """
        ...

    def binary(self, data: bytes) -> None: ...

    def stalled(self) -> None:
        """More waits to be read on the other side than may. Nothing is heard from there until it has been."""
        ...

    def flowing(self) -> None:
        """Most of it was read."""
        ...

    def lost(self, reason: str) -> None:
        """The connection is gone, for whatever reason; called once."""
        ...


_SHORT_TEXT: Final = tuple(bytes((0x80 | _TEXT, size)) for size in range(126))


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """One whole message from a server: final, not masked (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return (_SHORT_TEXT[size] if opcode == _TEXT else bytes((0x80 | opcode, size))) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def binary_frame(payload: bytes) -> bytes:
    return frame(payload, _BINARY)


class Hub:
    """What all connections have in common: the buffer that they read into, and the end of a turn of the event loop.

    asyncio would make a buffer of 256 KiB for each read, which costs more than all that is done with a short message.

    Those who have much to say share what is read in a turn: a hundred who say as much as they can would else hold up
    everybody else's words for half a second.
    """

    __slots__ = ("_buffer", "_filled", "_sharing", "_sockets", "loop", "portion")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._buffer = memoryview(bytearray(READ_BUFFER))
        self.portion = self._buffer
        """What one connection may read in this turn."""
        self._filled = 0
        """How many have filled it in this turn."""
        self._sharing = False
        """Whether it will be portioned anew with the next turn."""
        self._sockets: list[WebSocket] = []

    def add(self, socket: WebSocket) -> None:
        """Have a connection flushed at the end of this turn: one callback for all of them."""
        if not self._sockets:
            self.loop.call_soon(self._flush)
        self._sockets.append(socket)

    def filled(self) -> None:
        """Somebody has more to say than they may in one turn."""
        self._filled += 1
        if not self._sharing:
            self._sharing = True
            self.loop.call_soon(self._share)

    def _share(self) -> None:
        """A turn begins: portion what is read in it by how many had more to say in the last one."""
        self.portion = self._buffer[: max(READ_BUFFER // max(self._filled, 1), LEAST_READ)]
        self._sharing = self._filled > 0
        if self._sharing:
            self.loop.call_soon(self._share)
        self._filled = 0

    def _flush(self) -> None:
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            socket.flush()


def accept(
    request: web.Request, make_owner: Callable[[WebSocket], Owner], hub: Hub, *, limit: int, queue: int
) -> web.StreamResponse:
    """Answer a handshake, take the transport over from aiohttp, and return what its handler has to return.

    Args:
        request: a GET with the headers of RFC 6455, 4.2.1.
        make_owner: gets the open WebSocket and says whose it is.
        hub: what the WebSocket has in common with all others.
        limit: bytes of the largest message that is accepted.
        queue: bytes that may wait to be read by the other side; while there are more, it is not read either.

    Raises:
        BadRequest: the handshake is none.
    """
    head = _SWITCHING + _accept_value(request) + b"\r\n\r\n"
    response = _Switched(status=101)
    response.force_close()
    # Here is no await: nobody else may touch the transport in between. None of this is promised by aiohttp, so its
    # minor version is pinned and each step has a test.
    http = request.protocol
    transport = http.transport
    if transport is None or transport.is_closing():
        return response
    socket = WebSocket(transport, hub, limit)
    socket.write_soon(head)  # in one write with the first words of its owner
    socket.owner = make_owner(socket)
    transport.set_protocol(socket)
    transport.set_write_buffer_limits(high=queue, low=queue // 2)
    bypass: Any = _Bypass(socket)
    http.set_parser(bypass)  # hands over what was read already, and ends aiohttp's pause
    http.transport = None
    http.connection_lost(None)
    return response


class _Switched(web.StreamResponse):
    """Stands for the answer that the WebSocket has written itself."""

    async def prepare(self, _request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, _data: bytes = b"") -> None:
        return None


class WebSocket(asyncio.BufferedProtocol):
    """One connection, from the server's side."""

    __slots__ = (
        "_closing",
        "_descriptor",
        "_hub",
        "_limit",
        "_parts",
        "_parts_opcode",
        "_parts_size",
        "_soon",
        "_stopped",
        "_tail",
        "_unread",
        "gone",
        "owner",
        "straight",
        "transport",
    )

    def __init__(self, transport: asyncio.Transport, hub: Hub, limit: int) -> None:
        self.transport = transport
        self.owner: Owner | None = None
        self.gone: Callable[[], None] | None = None
        """Called once, when the transport is."""
        self._hub = hub
        self._limit = limit
        self._tail = _NOTHING
        self._parts: list[bytes] | None = None
        self._parts_opcode = 0
        self._parts_size = 0
        self._closing = False
        self._unread = False
        """Whether more waits on the other side than may."""
        self._stopped = False
        """Whether its owner wants to hear nothing more for now."""
        self._soon: list[bytes] | None = None
        self._descriptor = -1
        """Where may be written past asyncio, unless the transport has its own ideas of bytes, as TLS does."""
        self.straight = -1
        """The same while nothing waits that was written earlier, so that one may write there at once; else -1."""
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
            if transport.get_extra_info("sslcontext") is None:
                self._descriptor = self.straight = raw.fileno()

    def write(self, data: bytes) -> int:
        """Write whole frames: past asyncio while nothing waits in it, which is most of the time and much cheaper.

        Returns:
            How many bytes wait, because the kernel takes no more.
        """
        if self.straight < 0:
            return self._write_behind(data)
        try:
            written = os.write(self.straight, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self.transport.abort()
            return 0
        return 0 if written == len(data) else self.leave(data[written:])

    def write_soon(self, data: bytes) -> None:
        """Write at the end of this turn of the event loop, together with what else comes until then."""
        if self._soon is not None:
            self._soon.append(data)
            return
        self._soon = [data]
        self.straight = -1
        self._hub.add(self)

    def flush(self) -> int:
        """Write what was to be written soon; returns as `write`."""
        soon, self._soon = self._soon, None
        return self._write_behind(soon[0] if len(soon) == 1 else b"".join(soon)) if soon else 0

    def _write_behind(self, data: bytes) -> int:
        """Write after what waits already, or straight again if nothing does any more."""
        if self._soon is not None:
            self._soon.append(data)
            return self.flush()
        if self._closing:
            return 0
        if self._descriptor >= 0 and not self.transport.get_write_buffer_size():
            self.straight = self._descriptor
            return self.write(data)
        self.transport.write(data)
        return self.transport.get_write_buffer_size()

    def leave(self, rest: bytes) -> int:
        """Leave to asyncio what the kernel does not take now; returns as `write`."""
        self.straight = -1
        self.transport.write(rest)
        return self.transport.get_write_buffer_size()

    def stop_reading(self) -> None:
        """Read nothing more for now; what was read already is still handed over."""
        self._stopped = True
        self.transport.pause_reading()

    def read_on(self) -> None:
        """Read again, unless the other side does not."""
        self._stopped = False
        if not self._unread:
            self.transport.resume_reading()

    def close(self, code: int = NORMAL) -> None:
        """Say why, and close when the other side has; by force if it takes too long."""
        if self._closing:
            return
        self.write(frame(code.to_bytes(2, "big"), _CLOSE))
        self._closing = True
        self.straight = -1
        self._hub.loop.call_later(CLOSING_SECONDS, self.transport.abort)

    # What asyncio calls.

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._hub.portion

    def buffer_updated(self, nbytes: int) -> None:
        portion = self._hub.portion
        if nbytes == len(portion):
            self._hub.filled()
        self.feed(bytes(portion[:nbytes]))

    def feed(self, data: bytes) -> None:
        """Handle what was read."""
        held = self._tail
        if held:  # grown in place: a large frame may come byte by byte
            held += data
            position = self._take_frames(held)
            del held[:position]
        else:
            position = self._take_frames(data)
            if position < len(data):
                self._tail = bytearray(data[position:])

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        """Whoever does not read what they are told is not read either: pongs and answers would wait without end."""
        self._unread = True
        self.transport.pause_reading()
        if self.owner is not None:
            self.owner.stalled()

    def resume_writing(self) -> None:
        self._unread = False
        if not self._stopped:
            self.transport.resume_reading()
        if self.owner is not None:
            self.owner.flowing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._descriptor = self.straight = -1  # the number may soon be another connection's
        self._closing = True
        self._tail = _NOTHING
        gone, self.gone = self.gone, None  # it leads back here, and whoever looks for such circles hardly ever does
        if gone is not None:
            gone()
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.lost("transport error" if exc else "transport close")

    # Frames, as RFC 6455, 5 has them.

    def _take_frames(self, data: bytes | bytearray) -> int:
        """Handle every whole frame; returns where the first one that is not whole begins."""
        position, end = 0, len(data)
        is_closing = self.transport.is_closing
        while end - position > 1 and not is_closing():
            first, second = data[position], data[position + 1]
            size = second & 0x7F
            body = position + 6
            if size > 125:
                body += 2 if size == 126 else 8
                if body > end:
                    break
                size = int.from_bytes(data[position + 2 : body - 4], "big")
            if first & 0x70 or not second & 0x80:
                self._fail(PROTOCOL_ERROR)  # an extension that nobody agreed on, or a client that does not mask
                break
            if size > self._limit:
                self._fail(TOO_BIG)
                break
            if body + size > end:
                break
            position = body + size
            payload = bytearray(data[body:position])
            websocket_mask(bytes(data[body - 4 : body]), payload)
            if first == _WHOLE_TEXT and self._parts is None:  # as nearly all of them are
                self._deliver_text(bytes(payload))
            else:
                self._take(first, bytes(payload))
        return position

    def _take(self, first: int, payload: bytes) -> None:
        opcode, final = first & 0x0F, bool(first & 0x80)
        if opcode >= _CLOSE:
            if not final or len(payload) > 125:
                self._fail(PROTOCOL_ERROR)
            else:
                self._take_control(opcode, payload)
        elif opcode == _CONTINUATION:
            if self._parts is None:
                self._fail(PROTOCOL_ERROR)
                return
            self._parts.append(payload)
            self._parts_size += len(payload) + 64  # an empty part costs something too
            if self._parts_size > self._limit:
                self._fail(TOO_BIG)
            elif final:
                whole, self._parts = b"".join(self._parts), None
                self._deliver(self._parts_opcode, whole)
        elif self._parts is not None or opcode not in (_TEXT, _BINARY):
            self._fail(PROTOCOL_ERROR)
        elif final:
            self._deliver(opcode, payload)
        else:
            self._parts, self._parts_opcode, self._parts_size = [payload], opcode, len(payload)

    def _take_control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self.write_soon(frame(payload, _PONG))  # many pings that came together cost one write
        elif opcode == _CLOSE:
            self.close(NORMAL)
            self.transport.close()
        elif opcode != _PONG:
            self._fail(PROTOCOL_ERROR)

    def _deliver(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            self._deliver_text(payload)
        elif self.owner is not None and not self._closing:
            self.owner.binary(payload)

    def _deliver_text(self, payload: bytes) -> None:
        if self.owner is not None and not self._closing:
            try:
                self.owner.text(payload)
            except UnicodeDecodeError:
                self._fail(NOT_TEXT)

    def _fail(self, code: int) -> None:
        """Fail the connection (RFC 6455, 7.1.7): nothing that follows can be understood."""
        self.close(code)
        self.transport.close()


def write_all(
    sockets: Iterable[WebSocket], data: bytes, limit: int, but: Container[WebSocket | None] = ()
) -> list[WebSocket]:
    """Write the same frames to many, but for some: what `WebSocket.write` does, without a call for each.

    Returns:
        Those for which more than `limit` bytes wait: whoever is there does not read.
    """
    write, size = os.write, len(data)
    slow = []
    for socket in sockets:
        if socket in but:
            continue
        if socket.straight < 0:
            waiting = socket.write(data)
        else:
            try:
                written = write(socket.straight, data)
            except BlockingIOError:
                written = 0
            except OSError:
                socket.transport.abort()
                continue
            if written == size:
                continue
            waiting = socket.leave(data[written:])
        if waiting > limit:
            slow.append(socket)
    return slow


class _Bypass:
    """Stands in aiohttp for its parser, and passes on to the WebSocket what still arrives there."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if data:
            self._socket.feed(data)
        return False, b""

    def feed_eof(self) -> None:
        """Nothing to do: the transport tells its end to the WebSocket itself."""


def is_handshake(request: web.Request) -> bool:
    """Whether the caller wants a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _accept_value(request: web.Request) -> bytes:
    """Check the handshake and compute its answer (RFC 6455, 4.2.2)."""
    headers = request.headers
    connection = {word.strip().lower() for word in headers.get("Connection", "").split(",")}
    if not is_handshake(request) or "upgrade" not in connection:
        raise BadRequest("This is no WebSocket handshake.")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise BadRequest("Only version 13 of the WebSocket protocol is spoken here.")
    key = headers.get("Sec-WebSocket-Key", "").strip()
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise BadRequest("This WebSocket handshake has no valid key.") from error
    if len(nonce) != 16:
        raise BadRequest("This WebSocket handshake has no valid key.")
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)
