"""Whatever mixture of posts, edits, deletions, drops, resumes, duplicates and losses: every timeline at rest equals the
room's.

The server's side is real (core verbs, log, store, delivery, SQLite), and so is the client's (`timeline.js`, in
node). Only the network between them is made up, so that it can lose, repeat and cut whatever it likes. Pages are
made small, so that short runs turn many of them.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chatzilla import wire
from chatzilla.core import catchup, messages, rooms
from chatzilla.core.catchup import Span
from chatzilla.core.directory import Directory
from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.messages import Change, ClientId, Draft, Target
from chatzilla.core.people import account_named
from chatzilla.core.presence import Presence
from chatzilla.core.rooms import LOBBY, ConnectionId, RoomHead
from chatzilla.core.session import Session
from chatzilla.core.tries import Tries
from chatzilla.errors import Conflict
from chatzilla.ports import Ports
from chatzilla.realtime.connection import Connection, Dialect
from chatzilla.realtime.delivery import Delivery
from chatzilla.realtime.line import Line
from chatzilla.store.database import Database
from chatzilla.store.log import RoomLog
from chatzilla.store.queries import RoomStore
from chatzilla.store.roombook import RoomRegister
from tests.helpers.clock import ManualClock
from tests.helpers.made_once import empty_database
from tests.helpers.timelines import TimelineHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatzilla.core.messages import Message
    from chatzilla.ports import Place
    from chatzilla.realtime.channel import Channel, Frame
    from tests.helpers.timelines import RemoteTimeline

PEOPLE = 3
UNLIMITED = Rate(per_second=0, burst=1)


async def told() -> None:
    """A batch is told a few turns of the event loop after it was answered."""
    for _ in range(5):
        await asyncio.sleep(0)


class Inbox:
    """A `Channel` whose other end is a deque of what is under way to one client."""

    socket = None

    def __init__(self, under_way: deque[tuple[str, Any]]) -> None:
        self.open = True
        self._under_way = under_way

    def write(self, frame: Frame) -> bool:
        event, payload = json.loads(frame.packet.decode().partition(",")[2])
        if event == "message":
            self._under_way.append(("heard", [payload]))
        return True


class Room:
    """The real server, without a socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.open()

    def open(self) -> None:
        self.database = Database(empty_database(self.folder), synchronous="normal").open()
        self.delivery = Delivery(self.clock, lambda room: RoomHead(room, room, 0, 0))
        self.log = RoomLog(self.database.writing, self.clock, self.delivery.tell)
        self.log.start()
        self.store = RoomStore(self.database)
        self.rooms = RoomRegister(self.database)
        directory = Directory(self.rooms, Tries(self.clock), self.clock)
        self.ports = Ports(self.log, self.store, self.delivery, self.clock, directory)
        self.presence = Presence(self.delivery, self.clock)

    async def close(self) -> None:
        await self.log.close()
        await told()
        self.rooms.close()
        self.store.close()
        self.database.close(cleanly=True)

    async def everything(self) -> list[dict[str, Any]]:
        rows: list[Message] = []
        more = True
        while more:
            page = await self.store.history(LOBBY, Span(limit=100, after=rows[-1].seq if rows else 0))
            rows += page.messages
            more = page.more
        return [wire.encode_message(row) for row in rows]


class Person:
    """One page: a timeline, an outbox, and a connection that comes and goes."""

    def __init__(self, room: Room, host: TimelineHost, name: str) -> None:
        self.room = room
        self.account = account_named(name)
        self.you = wire.encode_person(self.account)
        self.timeline: RemoteTimeline = host.timeline(LOBBY)
        self.host = host
        self.under_way: deque[tuple[str, list[Any]]] = deque()
        self.unanswered: dict[str, Draft] = {}
        self.wanted: list[Change] = []
        """Edits and deletions that are not answered yet, in their order."""
        self.deleted: set[int] = set()
        """The places of own messages that are to be deleted."""
        self.connection: Connection | None = None
        self.connections = 0
        self.said = 0
        self.said_otherwise = 0

    async def resume(self) -> None:
        """Connect, and join from the cursor."""
        if self.connection is None:
            if self.timeline.state["epoch"] is None:
                self.timeline = self.host.timeline(LOBBY)
            self.connections += 1
            session = Session(
                ConnectionId(f"{self.account.name}-{self.connections}"),
                posting=Allowance(UNLIMITED, self.room.clock),
                asking=Allowance(UNLIMITED, self.room.clock),
                typing=Allowance(UNLIMITED, self.room.clock),
            )
            way_out = cast("Channel", Inbox(self.under_way))
            self.connection = Connection(session, Line(1_000), way_out, Dialect.FULL)
            self.room.delivery.admit(self.connection)
        await self.join()

    async def join(self) -> None:
        assert self.connection is not None
        request = self.timeline.do("joinRequest")
        entrance = await rooms.enter(
            self.room.ports,
            self.room.presence,
            self.connection.session,
            self.account,
            LOBBY,
            cursor=request.get("cursor"),
            epoch=request.get("epoch"),
        )
        self.under_way.append(("joined", [wire.encode_entrance(entrance, "")]))

    def cut(self) -> None:
        """The network is gone, with everything that was under way."""
        if self.connection is not None:
            rooms.part(self.room.ports, self.room.presence, self.connection.session)
            self.room.delivery.forget(self.connection)
            self.connection = None
        self.under_way.clear()

    def write(self) -> None:
        """Type a message; the outbox keeps it until it is answered."""
        self.said += 1
        client_id = f"{self.account.name}-{self.said}"
        self.unanswered[client_id] = Draft(LOBBY, ClientId(client_id), f"{client_id} says something")

    async def send(self) -> None:
        """Send everything that is not answered yet, again where need be."""
        if self.connection is None or LOBBY not in self.connection.session.rooms:
            return
        connection = self.connection
        ports, session = self.room.ports, connection.session
        places = [(draft, messages.post(ports, session, draft)) for draft in self.unanswered.values()]
        revisions = [(change, messages.change(ports, session, change)) for change in self.wanted]
        await asyncio.gather(
            *(self._answer(connection, draft, place) for draft, place in places),
            *(self._confirm(connection, change, place) for change, place in revisions),
        )
        await told()

    def change(self, *, delete: bool) -> None:
        """Edit or delete the middle one of the own messages in sight; the outbox keeps that until it is answered."""
        own = [row for row in self.timeline.rows if row["sender"] == self.account.id and row["seq"] not in self.deleted]
        if not own:
            return
        target = Target(LOBBY, own[len(own) // 2]["seq"])
        self.said_otherwise += 1
        if delete:
            self.deleted.add(target.seq)
        words = None if delete else f"{self.account.name} puts it otherwise, {self.said_otherwise}"
        self.wanted.append(Change(target, words))

    async def _confirm(self, connection: Connection, change: Change, place: Place) -> None:
        try:
            message = await place
        except Conflict:  # it was stored before, and what came after it deleted the message
            self.wanted.remove(change)
            return
        if connection is self.connection:
            self.under_way.append(("answered", [wire.encode_message(message), change]))

    async def _answer(self, connection: Connection, draft: Draft, place: Place) -> None:
        message = await place
        if connection is self.connection:
            answer = wire.encode_posted(message)
            words = {"client_id": draft.client_id, "content": draft.content}
            self.under_way.append(("acked", [answer, words, self.you]))

    def receive(self, *, times: int = 1) -> None:
        """Let the next thing under way arrive, once or more often."""
        if not self.under_way:
            return
        verb, arguments = self.under_way.popleft()
        if verb == "answered":
            change = arguments.pop()
            if change in self.wanted:
                self.wanted.remove(change)
        for _ in range(times):
            self.timeline.do(verb, *arguments)
        if verb == "acked":
            self.unanswered.pop(arguments[1]["client_id"], None)
        if verb == "heard":
            self.unanswered.pop(arguments[0]["client_id"], None)

    def lose(self) -> None:
        """The next thing under way never arrives, and later ones do."""
        if self.under_way:
            self.under_way.popleft()

    async def scroll_up(self) -> None:
        """Load a page of history."""
        rows = self.timeline.rows
        if self.connection is None or not rows or not self.timeline.state["hasOlder"]:
            return
        page = await messages.history(
            self.room.ports, self.connection.session, LOBBY, Span(limit=4, before=rows[0]["seq"])
        )
        self.under_way.append(("older", [wire.encode_page(page)]))

    async def rest(self) -> None:
        """Receive what is under way, and ask for what is missing, until nothing is."""
        if self.connection is None:
            await self.resume()
        for _ in range(100):
            while self.under_way:
                self.receive()
            if self.timeline.incomplete:
                await self.join()
            elif self.unanswered or self.wanted:
                await self.send()
            else:
                return
        raise AssertionError("it never came to rest")


MOVES = ["say", "say", "write", "send", "receive", "receive", "repeat", "lose", "cut", "resume", "scroll_up", "all"]
MOVES += ["edit", "edit", "delete"]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from([*MOVES, *MOVES, "kill", "renumber"]), st.integers(0, PEOPLE - 1)),
    min_size=5,
    max_size=80,
)


@pytest.fixture(scope="module")
def host() -> Iterator[TimelineHost]:
    with TimelineHost() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catchup, "PAGE_ROWS", 4)
        patch.setattr(catchup, "BEHIND_AT_MOST", 12)
        yield


async def play(host: TimelineHost, operations: list[tuple[str, int]], folder: Path) -> None:
    room = Room(folder)
    people = [Person(room, host, name) for name in ("ann", "ben", "cat")]
    for person in people:
        await person.resume()
        person.receive()
    for operation, number in operations:
        person = people[number]
        match operation:
            case "write":
                person.write()
            case "say":
                person.write()
                await person.send()
            case "edit" | "delete":
                person.change(delete=operation == "delete")
            case "send":
                await person.send()
            case "receive":
                person.receive()
            case "repeat":
                person.receive(times=2)
            case "lose":
                person.lose()
            case "cut":
                person.cut()
            case "resume":
                await person.resume()
            case "scroll_up":
                await person.scroll_up()
            case "all":
                await asyncio.gather(*(each.send() for each in people))
            case "kill" | "renumber":
                if operation == "renumber":
                    room.database.renew_epoch()
                for each in people:
                    each.cut()
                await room.close()
                room.open()
    for person in people:
        await person.rest()
    people[0].write()  # a loss shows as a hole as soon as anything follows it
    for person in (*people, *people):
        await person.rest()
    truth = await room.everything()
    head = max(row["changed"] for row in truth)
    fresh = Person(room, host, "dan")
    await fresh.rest()
    for person in (*people, fresh):
        rows = person.timeline.rows
        state = person.timeline.state
        window = [row for row in truth if not state["hasOlder"] or row["seq"] >= rows[0]["seq"]]
        assert rows == window
        assert state["cursor"] == head
        assert state["hasOlder"] == (len(rows) < len(truth))
    said = {f"{person.account.name}-{number + 1}" for person in people for number in range(person.said)}
    assert {row["client_id"] for row in truth} == said
    assert [row["seq"] for row in truth] == sorted({row["seq"] for row in truth})
    assert len({row["changed"] for row in truth}) == len(truth)
    for person in people:
        gone = {row["seq"] for row in truth if row["sender"] == person.account.id and row.get("deleted")}
        assert gone == person.deleted
        own = [row["client_id"] for row in truth if row["sender"] == person.account.id]
        assert own == [f"{person.account.name}-{number + 1}" for number in range(person.said)]
    kept = {row["content"] for row in truth}
    for person in (*people, fresh):
        assert {row["content"] for row in person.timeline.rows} <= kept
        person.cut()
    await room.close()
    files = b"".join(path.read_bytes() for path in folder.iterdir())
    for row in truth:
        assert row.get("deleted") != (row["content"] != "")
        words = f"{row['client_id']} says something".encode()
        replaced = row["changed"] != row["seq"] and row["content"].encode() != words
        assert not (replaced and re.search(words + rb"(?!\w)", files)), f"{words!r} was taken back"


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=OPERATIONS)
@example(operations=[("say", 0)] * 30 + [("lose", 1), ("receive", 1), ("cut", 2)])
@example(operations=[("cut", 1), *[("say", 0)] * 10, ("resume", 1), ("receive", 1), ("kill", 0)])
@example(operations=[("say", 0), ("receive", 0), ("edit", 0), ("delete", 0), ("send", 0), ("cut", 0)])
@example(operations=[("say", 0)] * 20 + [("edit", 0), ("delete", 0), ("lose", 1), ("kill", 0), ("say", 1)])
@example(operations=[("say", 0), ("renumber", 0), ("write", 1), ("resume", 1), ("send", 1)])
def test_every_timeline_at_rest_equals_the_room(host: TimelineHost, operations: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(host, operations, Path(folder) / "data"))
