"""Who hears what, over wires that only take notes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.messages import TEXT, ClientId, Message, Posted
from chatzilla.core.people import Account, account_named
from chatzilla.core.presence import Here, PresenceChange
from chatzilla.core.rooms import LOBBY, ConnectionId, Kind, RoomHead, RoomId
from chatzilla.core.session import Session
from chatzilla.realtime.connection import Connection, Dialect
from chatzilla.realtime.delivery import ECHO_AFTER_SECONDS, HALLS_AT_MOST, Delivery
from chatzilla.realtime.hall import ROUND_BYTES
from chatzilla.realtime.line import Line
from chatzilla.realtime.telling import PIECE
from tests.helpers.clock import ManualClock

GARDEN = RoomId("garden")
ALICE, BOB = account_named("alice"), account_named("bob")


@dataclass
class Wire:
    """A channel that takes notes of what is written, until it takes no more."""

    room_for: int = 1_000
    heard: list[list[Any]] = field(default_factory=list)
    open: bool = True
    sid: str = "session"
    address: str = "192.0.2.1"
    transport: str = "polling"
    socket: Any = None
    closed_with: Any = None

    def write(self, *frames: Any) -> bool:
        for frame in frames:
            if len(self.heard) >= self.room_for:
                return False
            self.heard.append(json.loads(frame.packet.decode().partition(",")[2]))
        return True

    def close(self, _reason: str, last_words: Any) -> None:
        if self.open:
            self.open = False
            self.closed_with = json.loads(last_words.packet.decode().partition(",")[2])

    def events(self, name: str) -> list[Any]:
        return [payload for event, payload in self.heard if event == name]


def posted(number: int, room: RoomId, origin: str | None = None, text: str | None = None) -> Posted:
    said = Message(room, number, number, TEXT, ClientId(str(number)), ALICE.id, "alice", text or str(number), 0)
    return Posted(said, None if origin is None else ConnectionId(origin))


class Scene:
    """A delivery with its connections."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.known: dict[RoomId, RoomHead] = {}
        self.delivery = Delivery(self.clock, lambda room: self.known.get(room, RoomHead(room, room, 0, 0)))
        self.connections: dict[str, Connection] = {}

    def comes(self, name: str, dialect: Dialect = Dialect.FULL, *, room_for: int = 1_000) -> Wire:
        allowance = Allowance(Rate(0, 1), self.clock)
        wire = Wire(room_for)
        session = Session(ConnectionId(name), allowance, allowance, allowance)
        self.connections[name] = Connection(session, Line(1_000), wire, dialect)  # type: ignore[arg-type]  # a fake
        self.delivery.admit(self.connections[name])
        return wire

    def joins(self, name: str, room: RoomId, account: Account | None = None, **options: Any) -> Wire:
        wire = self.comes(name, **options)
        self.delivery.identify(ConnectionId(name), account or account_named(name))
        self.delivery.subscribe(ConnectionId(name), room)
        return wire

    def said(self, number: int, room: RoomId = LOBBY, origin: str | None = None) -> None:
        self.said_together({number: origin}, room)

    def said_together(self, origins: dict[int, str | None], room: RoomId = LOBBY) -> None:
        """What one commit brings: numbers, and who said them."""
        self.delivery.tell([posted(number, room, origin) for number, origin in origins.items()])


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """No time passes while something is told, so that it is told within the turn in which it is said."""
    monkeypatch.setattr("chatzilla.realtime.turns.time", SimpleNamespace(perf_counter=lambda: 1_000.0))
    return Scene()


async def test_a_message_goes_to_its_room_but_for_its_origin(scene: Scene) -> None:
    a, b, c = scene.joins("a", LOBBY), scene.joins("b", LOBBY), scene.joins("c", GARDEN)
    scene.said(1, origin="a")
    assert [len(wire.events("message")) for wire in (a, b, c)] == [0, 1, 0]


async def test_whoever_is_alone_hears_what_others_say_there_in_order(scene: Scene) -> None:
    a = scene.joins("a", LOBBY)
    scene.said(1, origin="a")
    scene.said(2)
    scene.said(3, origin="a")
    b = scene.joins("b", LOBBY)
    scene.said(4, origin="a")
    scene.said(5, origin="b")
    assert [[message["seq"] for message in wire.events("message")] for wire in (a, b)] == [[2, 5], [4]]
    scene.clock.advance(ECHO_AFTER_SECONDS)
    assert [wire.events("room")[-1]["head"] for wire in (a, b)] == [5, 5]


async def test_a_message_is_encoded_once_for_each_dialect(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[Any] = []

    def write(*more: Any) -> bool:
        frames.extend(more)
        return True

    for number in range(4):
        wire = scene.joins(f"c{number}", LOBBY, dialect=(Dialect.FULL, Dialect.TUTORIAL)[number % 2])
        monkeypatch.setattr(wire, "write", write)
    scene.said(1)
    assert len(frames) == 4
    assert len(set(map(id, frames))) == 2


async def test_whoever_said_some_of_it_is_told_the_rest_in_one_write(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a busy room nearly everybody said something of each round."""
    writes: dict[str, list[int]] = {}
    for name in ("a", "b", "c"):
        wire = scene.joins(name, LOBBY)

        def write(*frames: Any, name: str = name) -> bool:
            writes.setdefault(name, []).append(len(frames))
            return True

        monkeypatch.setattr(wire, "write", write)
    scene.said_together({1: "a", 2: "b", 3: "a", 4: None})
    assert writes == {"a": [2], "b": [3], "c": [4]}


async def test_one_that_takes_no_more_is_dismissed_once_and_the_others_go_on(scene: Scene) -> None:
    slow, quick = scene.joins("slow", LOBBY, room_for=2), scene.joins("quick", LOBBY)
    for number in range(1, 6):
        scene.said(number)
    scene.delivery.close("The end.")
    assert len(slow.events("message")) == 2
    assert len(quick.events("message")) == 5
    event, goodbye = slow.closed_with
    assert (event, goodbye["code"], goodbye["reconnect"]) == ("goodbye", "too-fast", True)
    assert quick.closed_with[1]["message"] == "The end."


async def test_what_is_stored_while_a_round_is_under_way_is_told_after_it_to_everybody(scene: Scene) -> None:
    """A round to many is told in pieces; whatever comes between them, and right after it, waits for the next round."""
    wires = [scene.joins(f"listener {number}", LOBBY) for number in range(20 * PIECE + 1)]
    for number in range(1, 21):
        scene.said(number)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while any(len(wire.events("message")) < 20 for wire in wires):
            await asyncio.sleep(0)
    assert all([message["seq"] for message in wire.events("message")] == list(range(1, 21)) for wire in wires)


async def test_a_room_that_was_told_something_is_told_once_where_it_stands(scene: Scene) -> None:
    """So that whoever lost the very last event finds out, without a next one."""
    full, tutorial = scene.joins("full", LOBBY), scene.joins("tutorial", LOBBY, dialect=Dialect.TUTORIAL)
    scene.said(1)
    scene.clock.advance(ECHO_AFTER_SECONDS / 2)
    scene.said(2, origin="full")
    assert not full.events("room")
    scene.clock.advance(ECHO_AFTER_SECONDS / 2)
    assert [(room["head"], room["last"]) for room in full.events("room")] == [(2, 2)]
    assert full.heard[-1][0] == "room"
    scene.clock.advance(10 * ECHO_AFTER_SECONDS)
    assert len(full.events("room")) == 1
    assert not tutorial.events("room")


async def test_where_a_room_stands_is_not_told_before_what_was_said_there(scene: Scene) -> None:
    wires = [scene.joins(f"listener {number}", LOBBY) for number in range(20 * PIECE + 1)]
    scene.said(1)
    scene.said(2)
    scene.clock.advance(ECHO_AFTER_SECONDS)
    scene.said(3)
    scene.clock.advance(ECHO_AFTER_SECONDS)
    async with asyncio.timeout(5):
        while not all(wire.events("room") for wire in wires):
            await asyncio.sleep(0)
            scene.clock.advance(1)
    for wire in wires:
        order = [(event, payload.get("seq", payload.get("head"))) for event, payload in wire.heard]
        for place, (event, head) in enumerate(order):
            assert event != "room" or ("message", head) in order[:place]


async def test_what_a_room_is_told_keeps_its_order_whatever_its_size(scene: Scene) -> None:
    """A small notice does not overtake a large one on its way through many listeners, nor a message either."""
    wires = [scene.joins(f"listener {number}", LOBBY) for number in range(10 * PIECE)]
    crowd = tuple(account_named(f"somebody with a long name, number {number}") for number in range(100))
    scene.delivery.tell_presence(LOBBY, PresenceChange(crowd, (), Here(100, crowd), counts_alone=False))
    scene.said(1)
    scene.delivery.tell_presence(LOBBY, PresenceChange((), crowd, Here(0, ()), counts_alone=False))
    async with asyncio.timeout(5):
        while any(len(wire.heard) < 3 for wire in wires):
            await asyncio.sleep(0)
    told = [[(event, payload.get("count")) for event, payload in wire.heard if event != "message"] for wire in wires]
    assert told == [[("presence", 100), ("presence", 0)]] * len(wires)


async def test_who_is_forgotten_hears_nothing_and_leaves_nothing_behind(scene: Scene) -> None:
    wire = scene.joins("a", LOBBY)
    scene.delivery.watch(ConnectionId("a"), RoomHead(GARDEN, "garden", 1, 1))
    for _ in range(2):
        scene.delivery.forget(scene.connections["a"])
    scene.said(1)
    assert wire.events("message") == []
    assert not scene.delivery._halls
    assert not scene.delivery._people
    assert not scene.delivery._connections


async def test_who_is_unknown_is_ignored(scene: Scene) -> None:
    stranger = ConnectionId("stranger")
    scene.delivery.subscribe(stranger, LOBBY)
    scene.delivery.identify(stranger, ALICE)
    scene.delivery.watch(stranger, RoomHead(GARDEN, "garden", 1, 1))
    scene.delivery.unsubscribe(stranger, LOBBY, watching=True)
    scene.said(1)
    assert scene.delivery.listeners(LOBBY) == 0
    assert not scene.delivery._halls


async def test_others_of_a_person_are_their_other_connections(scene: Scene) -> None:
    for name in ("a1", "a2", "a3"):
        scene.joins(name, LOBBY, ALICE)
    scene.joins("b", LOBBY, BOB)
    assert set(scene.delivery.others_of(ConnectionId("a1"))) == {"a2", "a3"}
    scene.delivery.identify(ConnectionId("a2"), BOB)
    assert set(scene.delivery.others_of(ConnectionId("a1"))) == {"a3"}
    assert set(scene.delivery.others_of(ConnectionId("b"))) == {"a2"}


async def test_a_watcher_is_told_the_newest_head_at_a_pace(scene: Scene) -> None:
    watcher = scene.joins("w", LOBBY)
    scene.delivery.watch(ConnectionId("w"), RoomHead(GARDEN, "garden", 3, 3))
    scene.clock.advance(5)
    for number in (4, 5, 6):
        scene.said(number, GARDEN)
    scene.clock.advance(0)
    scene.said(7, GARDEN)
    scene.clock.advance(0.5)
    assert [room["head"] for room in watcher.events("room")] == [3, 6]
    scene.clock.advance(0.5)
    assert [room["head"] for room in watcher.events("room")] == [3, 6, 7]


async def test_a_head_that_was_read_before_the_room_moved_is_not_told_any_more(scene: Scene) -> None:
    """A reading takes time: what was told to the room meanwhile is newer than what it brings."""
    scene.joins("b", GARDEN, BOB)
    scene.said(5, GARDEN)
    watcher = scene.joins("w", LOBBY)
    scene.delivery.watch(ConnectionId("w"), RoomHead(GARDEN, "The garden", 4, 4, kind=Kind.PRIVATE))
    scene.clock.advance(5)
    newest = watcher.events("room")[-1]
    assert (newest["head"], newest["name"], newest["kind"]) == (5, "The garden", "private")


async def test_what_a_room_is_called_now_is_told_to_whoever_hears_or_watches_it(scene: Scene) -> None:
    listener, watcher, simple = scene.joins("a", GARDEN), scene.joins("w", LOBBY), scene.joins("s", LOBBY)
    stranger = scene.joins("t", GARDEN, dialect=Dialect.TUTORIAL)
    for name in ("a", "w"):
        scene.delivery.watch(ConnectionId(name), RoomHead(GARDEN, "garden", 7, 6))
    scene.delivery.tell_room(RoomHead(GARDEN, "The garden", 0, 0, topic="Plants", archived=True))
    told = {"room": "garden", "name": "The garden", "kind": "public", "topic": "Plants", "head": 7, "last": 6}
    assert listener.events("room") == [told | {"archived": True}]
    assert watcher.events("room")[1:] == [told | {"archived": True}]
    assert simple.heard == stranger.heard == []


async def test_how_somebody_stands_is_told_to_their_connections_that_know_of_the_room(scene: Scene) -> None:
    inside, beside = scene.joins("a1", GARDEN, ALICE), scene.joins("a2", LOBBY, ALICE)
    elsewhere, bob = scene.joins("a3", LOBBY, ALICE), scene.joins("b", GARDEN, BOB)
    scene.delivery.watch(ConnectionId("a2"), RoomHead(GARDEN, "garden", 1, 1))
    scene.delivery.tell_standing(GARDEN, ALICE.id, muted=True, origin=ConnectionId("a1"))
    scene.delivery.tell_standing(GARDEN, ALICE.id, may=("post",))
    assert [event.get("muted") for event in inside.events("room")] == [None]
    assert [event.get("muted") for event in beside.events("room")] == [None, True, None]
    assert beside.events("room")[-1]["may"] == ["post"]
    assert elsewhere.heard == bob.heard == []


async def test_whoever_is_out_of_a_room_neither_hears_nor_watches_it(scene: Scene) -> None:
    """And is told so, on all connections, whatever of it was under way to be told."""
    inside, beside = scene.joins("a1", GARDEN, ALICE), scene.joins("a2", LOBBY, ALICE)
    scene.delivery.watch(ConnectionId("a2"), RoomHead(GARDEN, "garden", 1, 1))
    scene.said(2, GARDEN)
    assert {session.connection for session in scene.delivery.sessions_of(ALICE.id)} == {"a1", "a2"}
    for name in ("a1", "a2"):
        scene.delivery.unsubscribe(ConnectionId(name), GARDEN, watching=False)
    scene.delivery.tell_gone(GARDEN, ALICE.id)
    scene.said(3, GARDEN)
    scene.delivery.tell_read(GARDEN, ALICE, 2, origin=None)
    scene.clock.advance(5)
    for wire in (inside, beside):
        assert wire.events("room")[-1] == {"room": "garden", "gone": True}
    assert [message["seq"] for message in inside.events("message")] == [2]
    assert GARDEN not in scene.delivery._halls


async def test_a_listener_does_not_watch_and_one_who_left_does(scene: Scene) -> None:
    wire = scene.joins("a", GARDEN)
    scene.delivery.watch(ConnectionId("a"), RoomHead(GARDEN, "garden", 1, 1))
    scene.said(2, GARDEN)
    scene.clock.advance(5)
    assert wire.events("room") == []
    scene.delivery.unsubscribe(ConnectionId("a"), GARDEN, watching=True)
    scene.said(3, GARDEN)
    scene.clock.advance(5)
    assert [room["head"] for room in wire.events("room")] == [3]
    assert [message["seq"] for message in wire.events("message")] == [2]


async def test_the_tutorial_dialect_neither_watches_nor_sees_who_is_typing(scene: Scene) -> None:
    wire = scene.joins("t", LOBBY, dialect=Dialect.TUTORIAL)
    scene.delivery.watch(ConnectionId("t"), RoomHead(GARDEN, "garden", 1, 1))
    scene.delivery.tell_typing(LOBBY, ALICE)
    scene.said(1, GARDEN)
    scene.clock.advance(5)
    assert wire.heard == []


async def test_many_who_type_do_not_hold_up_what_was_said(scene: Scene) -> None:
    wire = scene.joins("a", LOBBY)
    hall = scene.delivery._halls[LOBBY]
    hall._busy = True  # as if the telling took long
    for number in range(30):
        scene.delivery.tell_typing(LOBBY, account_named(f"typist {number}"))
    for number in range(1, 4):
        scene.said(number)
    hall._busy = False
    hall.attend()
    assert [event for event, _ in wire.heard[:3]] == ["typing", "message", "message"]
    assert len(wire.events("typing")) == 30


@pytest.mark.parametrize(
    "text", ["x" * 4_000, "😀" * 1_000, "\x01" * 700, '"' * 2_000], ids=["x", "emoji", "control", "quotes"]
)
async def test_a_round_is_as_much_as_a_socket_takes_whatever_it_is_made_of(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    rounds: list[int] = []

    def write(*frames: Any) -> bool:
        rounds.append(sum(frame.size for frame in frames))
        return True

    monkeypatch.setattr(scene.joins("a", LOBBY), "write", write)
    scene.delivery.tell([posted(number, LOBBY, text=text) for number in range(1, 41)])
    async with asyncio.timeout(5):
        while scene.delivery._halls[LOBBY].untold:
            await asyncio.sleep(0)
    assert len(rounds) == 5
    assert ROUND_BYTES / 2 < max(rounds) < ROUND_BYTES + 5_000


async def test_a_room_is_told_of_as_what_it_is_from_the_first_word(scene: Scene) -> None:
    """Also before it was read for whoever came in first, and for whoever hears of as many rooms as one may."""
    scene.known[GARDEN] = RoomHead(GARDEN, "The garden", 0, 0, kind=Kind.PRIVATE)
    wire = scene.comes("a")
    for number in range(HALLS_AT_MOST):
        scene.delivery.watch(ConnectionId("a"), RoomHead(RoomId(f"r{number}"), f"r{number}", 1, 1))
    scene.delivery.subscribe(ConnectionId("a"), GARDEN)
    scene.delivery.tell_call(GARDEN, None)
    scene.delivery.watch(ConnectionId("a"), RoomHead(GARDEN, "Our garden", 7, 7, kind=Kind.PRIVATE))
    scene.delivery.tell_call(GARDEN, None)
    told = [(room["name"], room["kind"], room["head"]) for room in wire.events("room")[HALLS_AT_MOST:]]
    assert told == [("The garden", "private", 0), ("Our garden", "private", 7)]


async def test_what_only_few_of_many_are_told_is_told_in_pieces_too(scene: Scene) -> None:
    """Looking whom it concerns takes time as well."""
    for number in range(3 * PIECE):
        scene.joins(f"listener {number}", LOBBY, dialect=Dialect.TUTORIAL)
    hall = scene.delivery._halls[LOBBY]
    hall._busy = True
    scene.delivery.tell_typing(LOBBY, ALICE)
    assert len(list(hall._give(hall._notices.popleft()))) == 3


async def test_a_room_that_cannot_be_told_keeps_no_other_from_being_told_and_recovers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lobby, garden = scene.joins("a", LOBBY), scene.joins("b", GARDEN)
    go_on: list[str] = []
    with monkeypatch.context() as patch:

        def broken(*_: Any) -> bool:
            raise RuntimeError("nobody foresaw this")

        patch.setattr(lobby, "write", broken)
        scene.delivery.when_told(LOBBY, lambda: go_on.append("on"))
        scene.delivery.tell([posted(1, LOBBY), posted(1, GARDEN)])
    assert [message["seq"] for message in garden.events("message")] == [1]
    assert "nobody foresaw this" in caplog.text
    scene.clock.advance(ECHO_AFTER_SECONDS)
    assert [room["head"] for room in lobby.events("room")] == [1], "so whoever missed it asks for it"
    assert go_on == ["on"]
    scene.said(2)
    assert [message["seq"] for message in lobby.events("message")] == [2]
