"""A round of telling, piece by piece, while people come, go and learn to speak."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.messages import TEXT, ClientId, Message, Posted
from chatzilla.core.people import account_named
from chatzilla.core.rooms import LOBBY, ConnectionId
from chatzilla.core.session import Session
from chatzilla.realtime import telling
from chatzilla.realtime.connection import Connection, Dialect
from chatzilla.realtime.line import Line
from chatzilla.realtime.telling import Circle, Telling
from tests.helpers.clock import ManualClock

if TYPE_CHECKING:
    import pytest

ALICE = account_named("alice")


@dataclass(eq=False)
class Socket:
    """A WebSocket that takes notes."""

    straight: int = -1
    owner: Any = None
    heard: list[Any] = field(default_factory=list)

    def write(self, data: bytes) -> int:
        self.heard += [json.loads(payload)[1] for payload in re.findall(rb"42/chat,(\[[^]]*\])", data)]
        return 0

    @property
    def texts(self) -> list[str]:
        return [said if isinstance(said, str) else said["content"] for said in self.heard]


@dataclass
class Wire:
    """A channel on such a socket, or on none."""

    socket: Socket | None
    open: bool = True
    queue_limit: int = 1_000

    def write(self, *frames: Any) -> bool:
        assert self.socket is not None
        for frame in frames:
            self.socket.write(frame.framed)
        return True


def comes(circle: Circle, name: str, dialect: Dialect = Dialect.FULL) -> Socket:
    allowance = Allowance(Rate(0, 1), ManualClock())
    socket = Socket()
    session = Session(ConnectionId(name), allowance, allowance, allowance)
    circle.add(ConnectionId(name), Connection(session, Line(1_000), Wire(socket), dialect))  # type: ignore[arg-type]  # fakes
    return socket


def posts(*origins: str) -> list[Posted]:
    return [
        Posted(Message(LOBBY, seq, seq, TEXT, ClientId(str(seq)), ALICE.id, "alice", str(seq), 0), ConnectionId(origin))
        for seq, origin in enumerate(origins, 1)
    ]


def test_everybody_is_told_once_and_nobody_what_they_said_themselves() -> None:
    circle = Circle()
    sockets = {name: comes(circle, name) for name in "abc"} | {"t": comes(circle, "t", Dialect.TUTORIAL)}
    assert [list(slow) for slow in Telling(posts("a", "b", "a"), circle).pieces(16)] == [[], [], []]
    assert {name: socket.texts for name, socket in sockets.items()} == {
        "a": ["2"],
        "b": ["1", "3"],
        "c": ["1", "2", "3"],
        "t": ["1", "2", "3"],
    }


def test_many_are_told_from_another_one_on_each_time_and_all_of_them() -> None:
    circle = Circle()
    sockets = [comes(circle, str(number)) for number in range(150)]
    pieces = Telling(posts("nobody"), circle, start=149 + 150).pieces(64)
    next(pieces)
    assert [bool(socket.texts) for socket in sockets] == [False] * 149 + [True], (
        "up to the end, then from the beginning"
    )
    assert len(list(pieces)) == 3
    assert [socket.texts for socket in sockets] == [["1"]] * 150


def test_whoever_left_during_a_round_is_told_no_more_and_whoever_came_has_read_it() -> None:
    circle = Circle()
    first, second, third = (comes(circle, name) for name in "abc")
    pieces = Telling(posts("nobody"), circle).pieces(1)
    next(pieces)
    circle.pop(ConnectionId("b"))
    late = comes(circle, "d")
    list(pieces)
    assert [socket.texts for socket in (first, second, third, late)] == [["1"], [], ["1"], []]


def test_whoever_speaks_otherwise_during_a_round_is_told_in_their_own_words() -> None:
    circle = Circle()
    first, second = (comes(circle, name, Dialect.TUTORIAL) for name in "ab")
    pieces = Telling(posts("nobody"), circle).pieces(1)
    next(pieces)
    connection = circle.get(ConnectionId("b"))
    assert connection is not None
    connection.dialect = Dialect.FULL
    circle.changed()
    list(pieces)
    assert first.heard == [{"sender": "alice", "content": "1"}]
    assert second.heard[0]["id"] == "lobby:1"


def test_who_hears_a_room_is_laid_out_once() -> None:
    circle = Circle()
    comes(circle, "a")
    before = circle.roll
    assert circle.roll is before
    comes(circle, "b")
    assert circle.roll is not before


def test_a_crowd_that_comes_during_a_round_is_laid_out_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again for each piece: that would cost the square of their number."""
    laid_out: list[telling.Roll] = []

    class Counted(telling.Roll):
        def __init__(self, listeners: Any) -> None:
            super().__init__(listeners)
            laid_out.append(self)

    monkeypatch.setattr(telling, "Roll", Counted)
    circle = Circle()
    sockets = [comes(circle, str(number)) for number in range(20)]
    for number, _ in enumerate(Telling(posts("nobody"), circle).pieces(1)):
        comes(circle, f"late {number}")
    assert [socket.texts for socket in sockets] == [["1"]] * 20
    assert len(laid_out) == 1
