"""The least that Python can do: it reads a message, parses it, answers, and tells whoever else is in the room.

python python_floor.py PORT [FOLDER]

With a folder it keeps what was said, in SQLite and synced, before it answers: one transaction at the end of each turn
of the event loop, which waits for the disk. One asyncio protocol does it all, and one loop over the sockets' numbers
writes to a room: no chat server in Python that reads and writes by asyncio takes less of the processor, or of time.
Nothing is checked. It knows WebSockets alone, frames below 64 kB, and clients that do nothing wrong and read what they
are told.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import sqlite3
import sys
from pathlib import Path

import orjson
from aiohttp._websocket.helpers import websocket_mask

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = re.compile(rb"(?i)\r\nsec-websocket-key: *([^\r ]+)")
EVENT = re.compile(rb"42(/[^,]+),([0-9]+)(?=\[)")
BUFFER = memoryview(bytearray(16 * 1024))


SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 4000;
CREATE TABLE messages (
    no INTEGER PRIMARY KEY, room INTEGER, seq INTEGER, author INTEGER, client_id TEXT, content TEXT, sent_at INTEGER
);
CREATE UNIQUE INDEX places ON messages (room, seq);
CREATE UNIQUE INDEX ids ON messages (client_id, author);
"""
"""What keeping asks for at least: a row, its place in the room, and the id by which a retry is known."""


class Store:
    """What was said in a turn of the event loop, and who waits for it to be kept."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.database = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self.database.executescript(SCHEMA)
        self.said = 0
        self.rows: list[tuple[int, int, int, str, str, int]] = []
        self.answers: list[tuple[Connection, bytes]] = []

    def add(self, room: Room, content: str) -> None:
        self.said += 1
        room.head += 1
        ident = f"a-client-of-the-tutorial-{self.said:08}"
        self.rows.append((room.number, room.head, 1, ident, content, 1_700_000_000_000))

    def answer(self, connection: Connection, answer: bytes) -> None:
        """Answer once everything that was said is kept."""
        if not self.answers:
            asyncio.get_running_loop().call_soon(self.commit)
        self.answers.append((connection, answer))

    def commit(self) -> None:
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany(
            "INSERT INTO messages (room, seq, author, client_id, content, sent_at) VALUES (?, ?, ?, ?, ?, ?)", self.rows
        )
        self.database.execute("COMMIT")
        for connection, answer in self.answers:
            connection.transport.write(answer)
        for connection, _ in self.answers:
            connection.tell()
        self.rows, self.answers = [], []


class Room:
    """Who hears it, and how much was said."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.head = 0
        self.sockets: list[int] = []


ROOMS: dict[str, Room] = {}

STORE = Store(Path(sys.argv[2])) if len(sys.argv) > 2 else None


def frame(payload: bytes) -> bytes:
    size = len(payload)
    return (bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")) + payload


class Connection(asyncio.BufferedProtocol):
    """One client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as streams have it
        self.transport = transport
        self.held = b""
        self.open = False
        self.socket = transport.get_extra_info("socket").fileno()
        self.room = Room(0)
        self.said: list[bytes] = []

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.socket in self.room.sockets:
            self.room.sockets.remove(self.socket)

    def tell(self) -> None:
        """Write what was said here to everybody else in the room."""
        said, self.said = b"".join(self.said), []
        if said:
            write, own = os.write, self.socket
            for socket in self.room.sockets:
                if socket != own:
                    write(socket, said)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        data = self.held + bytes(BUFFER[:nbytes])
        answers: list[bytes] = []
        if not self.open:
            head, end, data = data.partition(b"\r\n\r\n")
            key = KEY.search(head)
            if not end or key is None:
                self.held = head
                return
            self.open = True
            accept = base64.b64encode(hashlib.sha1(key[1] + GUID, usedforsecurity=False).digest())
            hello = b'0{"sid":"x","upgrades":[],"pingInterval":600000,"pingTimeout":600000,"maxPayload":1000000}'
            answers += (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n",
                frame(hello),
            )
        at, size = 0, len(data)
        while size - at >= 6:
            length, body = data[at + 1] & 0x7F, at + 6
            if length == 126:
                length, body = int.from_bytes(data[at + 2 : at + 4], "big"), at + 8
            if body + length > size:
                break
            payload = bytearray(data[body : body + length])
            websocket_mask(data[body - 4 : body], payload)
            at = body + length
            answers += self.answer(bytes(payload))
        self.held = data[at:]
        if STORE is not None and self.said:
            STORE.answer(self, b"".join(answers))
        elif answers:
            self.transport.write(b"".join(answers))
            self.tell()

    def answer(self, packet: bytes) -> tuple[bytes, ...]:
        event = EVENT.match(packet)
        if event is not None:
            words = orjson.loads(packet[event.end() :])
            if words[0] == "message":
                self.said.append(frame(b'42%b,["message",%b]' % (event[1], orjson.dumps(words[1]))))
                if STORE is not None:
                    STORE.add(self.room, words[1])
            else:
                self.room = ROOMS.setdefault(words[2], Room(len(ROOMS) + 1))
                self.room.sockets.append(self.socket)
            return (frame(b"43%b,%b%b" % (event[1], event[2], orjson.dumps((True, words[1])))),)
        if packet[:2] == b"40":
            return (frame(packet.partition(b",")[0] + b',{"sid":"x"}'),)
        return ()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
