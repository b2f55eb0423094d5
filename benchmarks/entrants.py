"""Who is measured: Chatzilla as it is shipped, and the servers that it is compared with.

All do the same chat in one namespace: `join` stores who it is and the room, `message` is acknowledged and sent to
everybody else in the room. Only Chatzilla stores what was said, and it does so before it acknowledges; `floor-stores`
does so, too, and checks nothing.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.scratch import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.loads import Load
    from benchmarks.scratch import Scratch

SETTINGS: Final = {
    "CHATZILLA_MESSAGE_RATE": "0",
    "CHATZILLA_PACKET_RATE": "0",
    "CHATZILLA_CONNECTIONS": "0",
    "CHATZILLA_CONNECTIONS_PER_ADDRESS": "0",
}
"""How Chatzilla is set up: as it comes, but with the limits that stop a load generator out of reach."""

OTHERS_SETTINGS: Final = ("CHATZILLA_", "DATABASE_URL", "PORT")
"""Beginnings of variables that the caller's shell may hold for another Chatzilla."""

ROOMS: Final = ("--join", '["join","user%i@example.com","room%r"]')
TUTORIAL: Final = ("--join", '["join","user%i@example.com"]')
FULL: Final = (
    *("--numbered", "--auth", '{"dialect":"full"}'),
    *("--join", '["join",{"name":"user%i@example.com","room":"room%r"}]'),
    *("--msg", '["message",{"room":"room%r","client_id":"%u","content":"%p"}]'),
)
"""How the generator speaks: to the peers, and to Chatzilla in each of its dialects."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """One server."""

    title: str
    command: Callable[[Scratch, int, Path], list[str]]
    settings: Mapping[str, str] = field(default_factory=dict)
    dialects: tuple[tuple[str, ...], tuple[str, ...]] = (ROOMS, ROOMS)
    """How to speak to it: on most loads, and on those that belong to the full dialect."""

    def dialect(self, load: Load) -> tuple[str, ...]:
        return self.dialects[load.full]

    def environment(self) -> dict[str, str]:
        """The environment of its process."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS_SETTINGS)}
        return {**kept, "NODE_ENV": "production", **self.settings}


def _chatzilla(_scratch: Scratch, port: int, data: Path) -> list[str]:
    return [sys.executable, str(ROOT / "run_server.py"), "--port", str(port), "--data", str(data)]


def _stock(scratch: Scratch, port: int, _data: Path) -> list[str]:
    return [str(scratch.python), str(scratch.stock), str(port)]


def _node(scratch: Scratch, port: int, _data: Path) -> list[str]:
    return ["node", str(scratch.node), str(port)]


def _floor(scratch: Scratch, port: int, _data: Path) -> list[str]:
    return [sys.executable, str(scratch.floor), str(port)]


def _floor_that_stores(scratch: Scratch, port: int, data: Path) -> list[str]:
    return [sys.executable, str(scratch.floor), str(port), str(data)]


def _limit(scratch: Scratch, port: int, _data: Path) -> list[str]:
    return [str(scratch.chatlimit), str(port)]


ENTRANTS: Final = {
    "chatzilla": Entrant("Chatzilla", _chatzilla, SETTINGS, (TUTORIAL, FULL)),
    "chatzilla-full": Entrant("Chatzilla, full dialect", _chatzilla, SETTINGS, (FULL, FULL)),
    "chatzilla-normal": Entrant(
        "Chatzilla, synchronous=normal", _chatzilla, SETTINGS | {"CHATZILLA_SYNCHRONOUS": "normal"}, (TUTORIAL, FULL)
    ),
    "stock": Entrant("python-socketio", _stock),
    "node": Entrant("Socket.IO on Node.js", _node),
    "c": Entrant("C, one send each", _limit),
    "floor": Entrant("bare Python", _floor),
    "floor-stores": Entrant("bare Python that stores", _floor_that_stores),
}
