"""Reads a connection as a proxy sees it: requests and answers of HTTP, then frames of a WebSocket.

Just enough to find the one packet that a fault is about; what is not understood passes as it came.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SEPARATOR: Final = "\x1e"
NOOP: Final = "6"
_HEAD_END: Final = b"\r\n\r\n"
_TEXT: Final = 0x1


@dataclass(frozen=True, slots=True)
class Unit:
    """What passes or not as a whole: one request, one answer, one frame, or bytes that mean nothing here."""

    raw: bytes
    packets: tuple[str, ...] = ()
    """The Engine.IO packets in it."""
    http: bool = False

    def without(self, packet: str) -> Unit | None:
        """The same without one packet; nothing is left of a frame."""
        if not self.http:
            return None
        left = tuple(each for each in self.packets if each is not packet) or (NOOP,)
        head, _, _ = self.raw.partition(_HEAD_END)
        body = SEPARATOR.join(left).encode()
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
        head = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)])
        return Unit(head + _HEAD_END + body, left, http=True)


class Reader:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._read = self._http

    def feed(self, chunk: bytes) -> list[Unit]:
        """Take in what came; returns what is whole now."""
        self._buffer += chunk
        return list(self._units())

    def _units(self) -> Iterator[Unit]:
        while self._buffer and (unit := self._read()):
            self._buffer = self._buffer[len(unit.raw) :]
            yield unit

    def _http(self) -> Unit | None:
        head, end, _ = self._buffer.partition(_HEAD_END)
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("upgrade", "").lower() == "websocket":
            self._read = self._frame
            return Unit(head + end)
        bodiless = first.startswith("HTTP/") and first.split()[1] in ("204", "304")
        if first.startswith("HTTP/") and not bodiless and "content-length" not in headers:
            self._read = self._anything
            return self._anything()
        size = len(head) + len(end) + (0 if bodiless else int(headers.get("content-length", "0")))
        if len(self._buffer) < size:
            return None
        raw = self._buffer[:size]
        body = raw[len(head) + len(end) :]
        text = "text/plain" in headers.get("content-type", "") and "content-encoding" not in headers
        return Unit(raw, tuple(body.decode(errors="replace").split(SEPARATOR)) if text else (), http=True)

    def _frame(self) -> Unit | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size == 126:
            size, at = (struct.unpack_from("!H", buffer, 2)[0], 4) if len(buffer) >= 4 else (0, len(buffer) + 1)
        elif size == 127:
            size, at = (struct.unpack_from("!Q", buffer, 2)[0], 10) if len(buffer) >= 10 else (0, len(buffer) + 1)
        masked = bool(buffer[1] & 0x80)
        end = at + 4 * masked + size
        if len(buffer) < end:
            return None
        payload = buffer[end - size : end]
        if masked:
            payload = _unmask(payload, buffer[at : at + 4])
        text = buffer[0] & 0x0F == _TEXT
        return Unit(buffer[:end], (payload.decode(errors="replace"),) if text else ())

    def _anything(self) -> Unit | None:
        return Unit(self._buffer)


def _unmask(payload: bytes, mask: bytes) -> bytes:
    key = mask * (len(payload) // 4 + 1)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key[: len(payload)], "big")
    return mixed.to_bytes(len(payload), "big")
