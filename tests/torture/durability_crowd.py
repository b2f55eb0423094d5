"""A crowd in one process: `python -m tests.torture.durability_crowd PORT PEOPLE`.

It does the least that a client can do, so that the server is what a test measures. It is told what to do line by line
on standard input, and answers each line when it is done:

    connect         everybody opens a WebSocket and enters the namespace, in the tutorial's dialect: they hear the lobby
    join            everybody says who they are, at once
    enter           everybody enters a hall besides, a hundred each, at once; from here on in the full dialect
    hear WORD       until everybody heard WORD

It is ended by a signal, and then all its connections die at once.
"""

from __future__ import annotations

import resource
import selectors
import socket
import sys
from typing import Final

from tests.helpers.sockets import frame, handshake

HANDSHAKES_AT_ONCE: Final = 100
"""As many as wait to be accepted, at most: a server's backlog is 100 and more."""


HALL: Final = 100
"""People in a hall."""


class Crowd:
    """All connections, and what they have not heard yet."""

    def __init__(self, port: int, people: int) -> None:
        self._port = port
        self._people = people
        self._sockets: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()

    def connect(self) -> None:
        opening = handshake("/socket.io/?EIO=4&transport=websocket")
        while len(self._sockets) < self._people:
            fresh = []
            for _ in range(min(HANDSHAKES_AT_ONCE, self._people - len(self._sockets))):
                one = socket.create_connection(("127.0.0.1", self._port))
                one.sendall(opening)
                self._selector.register(one, selectors.EVENT_READ)
                fresh.append(one)
            self._sockets += fresh
            self._until(b'"sid"', fresh)
            self._say([frame("40/chat,")] * len(fresh), fresh)
            self._until(b'40/chat,{"sid"', fresh)

    def join(self) -> None:
        self._say([frame(f'42/chat,1["join","person {number}"]') for number in range(self._people)])
        self._until(b"43/chat,1[true,")

    def enter(self) -> None:
        halls = [number // HALL for number in range(self._people)]
        self._say([frame(f'42/chat,2["join",{{"room":"hall-{hall}"}}]') for hall in halls])
        self._until(b"43/chat,2[true,")

    def hear(self, word: str) -> None:
        self._until(word.encode())

    def _say(self, frames: list[bytes], sockets: list[socket.socket] | None = None) -> None:
        for one, words in zip(sockets or self._sockets, frames, strict=True):
            one.sendall(words)

    def _until(self, words: bytes, sockets: list[socket.socket] | None = None) -> None:
        """Read until each has heard these words. What it read before them is dropped, but for a piece of them."""
        tails = dict.fromkeys(sockets or self._sockets, b"")
        while tails:
            for key, _ in self._selector.select():
                one = key.fileobj
                assert isinstance(one, socket.socket)
                data = one.recv(262_144)
                if not data:
                    raise ConnectionResetError("the server closed a connection of the crowd")
                if one in tails:
                    heard = tails[one] + data
                    if words in heard:
                        del tails[one]
                    else:
                        tails[one] = heard[-len(words) :]


if __name__ == "__main__":
    port, people = map(int, sys.argv[1:])
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    crowd = Crowd(port, people)
    for line in sys.stdin:
        what, *arguments = line.split()
        getattr(crowd, what)(*arguments)
        print(what, flush=True)
