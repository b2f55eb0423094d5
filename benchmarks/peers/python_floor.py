"""The least that Python can do on the ack path: it reads a message, parses it and answers. Nothing is checked.

python python_floor.py PORT [FOLDER]

With a folder it keeps what was said, in SQLite and synced, before it answers: one transaction at the end of each turn
of the event loop, which waits for the disk. One asyncio protocol does it all: no chat server in Python that reads and
writes by asyncio takes less of the processor. It knows WebSockets alone, frames below 64 kB, and clients that do
nothing wrong.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
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
    no INTEGER PRIMARY KEY, seq INTEGER, author INTEGER, client_id TEXT, content TEXT, sent_at INTEGER
);
CREATE UNIQUE INDEX places ON messages (seq);
CREATE UNIQUE INDEX ids ON messages (client_id, author);
"""
"""What keeping asks for at least: a row, its place in the room, and the id by which a retry is known."""


class Store:
    """What was said in a turn of the event loop, and who waits for it to be kept."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.database = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self.database.executescript(SCHEMA)
        self.kept = 0
        self.rows: list[tuple[int, int, str, str, int]] = []
        self.answers: list[tuple[asyncio.Transport, bytes]] = []

    def add(self, content: str) -> None:
        seq = self.kept + len(self.rows) + 1
        self.rows.append((seq, 1, f"a-client-of-the-tutorial-{seq:08}", content, 1_700_000_000_000))

    def answer(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Answer once everything that was said is kept."""
        if not self.answers:
            asyncio.get_running_loop().call_soon(self.commit)
        self.answers.append((transport, answer))

    def commit(self) -> None:
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany(
            "INSERT INTO messages (seq, author, client_id, content, sent_at) VALUES (?, ?, ?, ?, ?)", self.rows
        )
        self.database.execute("COMMIT")
        self.kept += len(self.rows)
        for transport, answer in self.answers:
            transport.write(answer)
        self.rows, self.answers = [], []


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
        if STORE is not None and STORE.rows:
            STORE.answer(self.transport, b"".join(answers))
        elif answers:
            self.transport.write(b"".join(answers))

    def answer(self, packet: bytes) -> tuple[bytes, ...]:
        event = EVENT.match(packet)
        if event is not None:
            words = orjson.loads(packet[event.end() :])
            if STORE is not None and words[0] == "message":
                STORE.add(words[1])
            return (frame(b"43%b,%b%b" % (event[1], event[2], orjson.dumps((True, words[1])))),)
        if packet[:2] == b"40":
            return (frame(packet.partition(b",")[0] + b',{"sid":"x"}'),)
        return ()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
