"""An hour of talk in a second, on a server whose every call to the system is noted, and what can be told from that."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import sqlalchemy as sa

from chatzilla.store.tables import facts, messages, rooms
from tests.helpers.clients import Client
from tests.torture.durability_trace import SENDING, SYNCS, THE_SERVER, Call, Moment, Trace, traced

ONE_BY_ONE: Final = 100
AT_ONCE: Final = 10
BURSTS: Final = 5
ROOMS: Final = ("lobby", "garden", "attic")
EVERYBODY: Final = ("alice", "bob", "carol", "dave")

WAL_HEAD: Final = 32
FRAME_HEAD: Final = 24
PAGE: Final = 4096
"""What SQLite calls a page, and the heads before each and before all of them, in its write-ahead log."""

_LETTER: Final = re.compile(rb"letter-\d{4}")
_ACK: Final = re.compile(rb'43/chat,\d+\[true,\{[^}]*"client_id":"(letter-\d{4})"')


class Letter(NamedTuple):
    room: str
    seq: int
    content: str


@dataclass
class Story:
    """What was said and acknowledged, and every call of the server that heard it."""

    data: Path
    epoch: str = ""
    letters: dict[str, Letter] = field(default_factory=dict, repr=False)
    trace: Trace = field(default_factory=lambda: Trace(""), repr=False)

    @property
    def wal(self) -> str:
        return str(self.data / "chatzilla.db-wal")

    def leaving(self, call: Call) -> bytes:
        """What a call sends to somebody; nothing when it writes a file."""
        return call.data if call.name in SENDING or call.target.startswith("socket:") else b""

    def in_service(self) -> Iterator[Moment]:
        """From the moment when the server said where it is until it sent the last answer to a letter."""
        moments = self.trace.moments
        begin = next(place for place, moment in enumerate(moments) if is_ready(moment))
        end = max(place for place, moment in enumerate(moments) if self.acknowledged(moment))
        return iter(moments[begin : end + 1])

    def acknowledged(self, moment: Moment) -> list[str]:
        """The letters whose acks leave in this moment."""
        if moment.ends:
            return []
        return [found.decode() for found in _ACK.findall(self.leaving(moment.call))]

    def told_too_early(self) -> tuple[list[str], list[str]]:
        """The letters that were answered or told at all, and those of them before a sync held their commit.

        A commit is whole when its last frame is written, which is marked by the size of the database in it.
        """
        waiting: set[str] = set()
        committed: set[str] = set()
        synced: set[str] = set()
        held: dict[int, set[str]] = {}
        is_last = False
        told: list[str] = []
        too_early: list[str] = []
        for moment in self.trace.moments:
            call = moment.call
            if call.name == "pwrite64" and moment.ends and call.target == self.wal:
                assert call.result == len(call.data), "a write was short"
                if call.result == FRAME_HEAD and (call.numbers[-1] - WAL_HEAD) % (FRAME_HEAD + PAGE) == 0:
                    is_last = call.data[4:8] != bytes(4)
                else:
                    waiting |= {found.decode() for found in _LETTER.findall(call.data)} - committed
                    if is_last:
                        committed |= waiting
                        waiting = set()
            elif call.name in SYNCS and call.target == self.wal:
                if not moment.ends:
                    held[call.entered] = set(committed)
                elif call.succeeded:
                    synced |= held.pop(call.entered)
            elif not moment.ends:
                letters = {found.decode() for found in _LETTER.findall(self.leaving(call))}
                told += letters
                too_early += letters - synced
        return told, too_early


def is_ready(moment: Moment) -> bool:
    """The server says where it is."""
    return not moment.ends and moment.call.name == "write" and moment.call.data.startswith(b"Chatzilla is at")


async def record(data: Path, command: Sequence[str] = THE_SERVER, **environ: str) -> Story:
    """Let four people talk, one by one and all at once, one of them on long-polling; then end the server at once."""
    chance = random.Random(20_240)
    story = Story(data)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(traced(data, command, environ=environ))
        people = []
        for name in EVERYBODY:
            transport = "polling" if name == "dave" else "websocket"
            person = await Client(server.url).connect(auth={"dialect": "full"}, transports=(transport,))
            stack.push_async_callback(person.close)
            people.append(person)
            for room in ROOMS:
                story.epoch = (await person.joins(room, name=name))["epoch"]

        async def say(number: int) -> None:
            ident, room = f"letter-{number:04}", chance.choice(ROOMS)
            content = chance.choice("aäあ") * chance.choice((1, 20, 300, 1_500, 9_000))
            answer = await people[number % len(people)].says(room, content, ident)
            story.letters[ident] = Letter(room, answer["seq"], content)

        for number in range(ONE_BY_ONE):
            await say(number)
        for _ in range(BURSTS):
            await asyncio.gather(*(say(len(story.letters) + number) for number in range(AT_ONCE)))
        await people[0].call("history", {"room": "lobby", "before": 10})
        async with aiohttp.ClientSession(server.url) as http:
            for page in ("/", "/healthz"):
                async with http.get(page) as answer:
                    assert answer.status == 200, (page, await answer.text())
        await say(len(story.letters))
        for person in people:
            await person.close()
        story.trace = await server.stop()
    return story


@dataclass(frozen=True)
class Remains:
    """What a database holds."""

    integrity: str
    letters: dict[str, Letter]
    heads: dict[str, int]
    epoch: str
    starts: str


def remains(folder: Path) -> Remains:
    """Open the database in a data folder as the next start would, and read it."""
    with closing(sqlite3.connect(folder / "chatzilla.db", isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")  # nobody cuts this one
        (integrity,) = database.execute("PRAGMA integrity_check").fetchone()
        known = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
        if messages.name not in known:
            return Remains(integrity, {}, {}, "", "")
        state = dict(database.execute(_FACTS))
        letters = {ident: Letter(room, seq, content) for ident, room, seq, content in database.execute(_LETTERS)}
        heads = dict(database.execute(_HEADS))
    return Remains(integrity, letters, heads, state.get("epoch", ""), state.get("starts", ""))


_FACTS: Final = str(sa.select(facts.c.name, facts.c.value))
_HEADS: Final = str(sa.select(rooms.c.id, rooms.c.head))
_LETTERS: Final = str(
    sa.select(messages.c.client_id, rooms.c.id, messages.c.seq, messages.c.content).join_from(messages, rooms)
)
