"""What those who join are given, on a real database: together with others, and never older than their asking."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chatzilla.clock import SystemClock
from chatzilla.core.catchup import Backlog
from chatzilla.core.messages import Change, ClientId, Draft, Message, Posted, Target
from chatzilla.core.people import account_named
from chatzilla.core.rooms import LOBBY, RoomId
from chatzilla.errors import Unavailable
from chatzilla.store import database as database_module
from chatzilla.store import ferry
from chatzilla.store import queries as queries_module
from chatzilla.store.database import Database
from chatzilla.store.log import RoomLog
from chatzilla.store.queries import RoomStore
from chatzilla.store.tables import messages
from tests.helpers.made_once import empty_database

ALICE, BOB = account_named("alice"), account_named("bob")
GARDEN = RoomId("garden")


class House:
    """A log and a store on one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.stored = 0
        """The number of the lobby's newest change that was told."""
        self.log = RoomLog(database.writing, SystemClock(), self._tell)
        self.store = RoomStore(database)
        self.said = 0

    def _tell(self, batch: Any) -> None:
        fresh: list[Posted] = list(batch)
        self.stored = max([self.stored, *(each.message.changed for each in fresh if each.message.room == LOBBY)])

    async def says(self, content: str, room: RoomId = LOBBY) -> Message:
        self.said += 1
        return await self.log.append(BOB, Draft(room, ClientId(f"{room} {self.said}"), content), origin=None)

    async def changes(self, seq: int, content: str | None) -> Message:
        return await self.log.change(BOB, Change(Target(LOBBY, seq), content), origin=None)

    async def gives(self, cursor: int | None = None, room: RoomId = LOBBY) -> Backlog:
        return await self.store.backlog(room, ALICE, cursor=cursor, epoch=None)

    async def shows(self, cursor: int | None = None, room: RoomId = LOBBY) -> list[str]:
        return [message.content for message in (await self.gives(cursor, room)).messages]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[House]:
    database = Database(empty_database(folder), synchronous="normal").open()
    house = House(database)
    house.log.start()
    try:
        yield house
    finally:
        await house.log.close()
        house.store.close()
        database.close(cleanly=True)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path / "data") as found:
        yield found


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The cursors of all pages that are read from the database from now on."""
    cursors: list[int | None] = []
    really = queries_module._read_page

    def read(reader: Any, room: RoomId, number: int, after: int | None) -> Any:
        cursors.append(after)
        return really(reader, room, number, after)

    monkeypatch.setattr(queries_module, "_read_page", read)
    return cursors


async def test_a_page_is_read_once_for_a_crowd(house: House, asked_for: list[int | None]) -> None:
    for content in ("one", "two", "three"):
        await house.says(content)
    crowd = await asyncio.gather(*(house.gives(cursor) for cursor in (None, 1, None, 1, None)))
    assert [[each.content for each in backlog.messages] for backlog in crowd[:2]] == [
        ["one", "two", "three"],
        ["two", "three"],
    ]
    assert crowd[0].messages is crowd[2].messages is crowd[4].messages, "so that it is put into words once as well"
    assert await house.shows() == ["one", "two", "three"], "whoever comes later, too"
    assert sorted(asked_for, key=str) == [1, None]


async def test_whatever_changes_a_message_makes_another_page(house: House) -> None:
    async def both() -> tuple[list[str], list[str]]:
        return await house.shows(), await house.shows(1)

    await house.says("one")
    await house.says("two")
    assert await both() == (["one", "two"], ["two"])
    await house.says("three")
    assert await both() == (["one", "two", "three"], ["two", "three"])
    await house.changes(1, "first")
    assert await both() == (["first", "two", "three"], ["two", "three", "first"])
    await house.changes(2, None)
    assert await both() == (["first", "", "three"], ["three", "first", ""])
    assert await house.shows(room=GARDEN) == []
    await house.says("elsewhere", GARDEN)
    assert await house.shows(room=GARDEN) == ["elsewhere"]
    assert await house.shows() == ["first", "", "three"]


async def test_few_pages_are_kept(house: House, asked_for: list[int | None]) -> None:
    rooms = [RoomId(f"room{number}") for number in range(queries_module.PAGES_KEPT + 1)]
    for room in rooms:
        await house.says(str(room), room)
        assert await house.shows(room=room) == [room]
    for room in reversed(rooms):
        assert await house.shows(room=room) == [room]
    assert len(asked_for) == len(rooms) + 1, "the one that was given longest ago is read again"


async def test_an_answer_holds_whatever_was_told_before_it_was_asked_for(house: House) -> None:
    """People come all the time while somebody talks and corrects: what an answer does not hold is told after asking."""
    await house.says("begin")
    answered = 0

    async def comes() -> None:
        nonlocal answered
        told = house.stored
        backlog = await house.gives(cursor=told)
        numbers = [told, *(message.changed for message in backlog.messages)]
        assert numbers == sorted(set(numbers)), "nothing that was told already"
        assert numbers[-1] == backlog.cursor == backlog.room.head
        answered += 1

    people = []
    for number in range(150):
        said = [asyncio.ensure_future(house.says(f"number {number}")) for _ in range(3)]
        people += [asyncio.create_task(comes()) for _ in range(5)]
        await said[0]
        people += [asyncio.create_task(comes()) for _ in range(5)]
        await house.changes(1, f"edit {number}")
        await asyncio.gather(*said)
    await asyncio.gather(*people)
    assert answered == 1_500
    assert (await house.gives()).cursor == house.stored == 1 + 150 * 4


async def test_a_row_that_cannot_be_read_is_refused_to_who_asks_for_it_and_to_nobody_else(house: House) -> None:
    await house.says("readable")
    await house.says("spoilt", GARDEN)
    with house.database.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE messages SET content = CAST(x'ff' AS TEXT) WHERE content = 'spoilt'")
    before, spoilt, after = await asyncio.gather(
        house.shows(), house.gives(room=GARDEN), house.shows(0), return_exceptions=True
    )
    assert before == after == ["readable"]
    assert isinstance(spoilt, Unavailable)


async def test_who_asks_what_makes_no_sense_harms_nobody(house: House) -> None:
    await house.says("hello")
    nonsense: Any = object()
    before, failing, after = await asyncio.gather(
        house.shows(), house.gives(nonsense), house.shows(), return_exceptions=True
    )
    assert before == after == ["hello"]
    assert isinstance(failing, TypeError)


async def test_a_locked_database_is_refused_to_a_crowd_at_once_and_answers_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience_ms = 200
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", patience_ms)
    async with opened(tmp_path / "data") as house:
        await house.says("hello")
        await house.log.close()
        house.database.reading.dispose()
        house.database.writing.dispose()
        with closing(sqlite3.connect(house.database.path, isolation_level=None)) as stranger:
            stranger.execute("PRAGMA locking_mode = EXCLUSIVE")
            stranger.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            crowd = await asyncio.gather(*(house.gives() for _ in range(30)), return_exceptions=True)
            assert {type(refusal) for refusal in crowd} == {Unavailable}
            assert time.monotonic() - began < 30 * patience_ms / 1000 / 2, "they wait together, not in turn"
        assert await house.shows() == ["hello"]


async def test_who_joins_does_not_wait_for_those_who_read_at_length(house: House) -> None:
    """Nor does whoever asks whether all is well; and a thread is not free because whoever asked is gone."""
    await house.says("hello")
    begun: list[None] = []
    go_on = threading.Event()

    def at_length(_connection: object) -> None:
        begun.append(None)
        go_on.wait()

    slow = [asyncio.ensure_future(house.store.read(at_length)) for _ in range(3 * queries_module.AT_ONCE)]
    try:
        async with asyncio.timeout(10):
            while len(begun) < queries_module.READERS:
                await asyncio.sleep(0.005)
            for asked in slow[: queries_module.AT_ONCE]:
                asked.cancel()
            assert await asyncio.gather(*(house.shows() for _ in range(100))) == [["hello"]] * 100
            assert await house.store.answers()
    finally:
        go_on.set()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_heads_and_rooms_are_as_a_person_sees_them(house: House) -> None:
    """What the driver answers is turned into what our types say: a mute is a truth and no number."""
    await house.says("hello")
    with house.database.writing.begin() as connection:
        connection.execute(sa.text("UPDATE members SET muted = 1"))
    bobs = await house.store.head(LOBBY, BOB)
    assert (bobs.head, bobs.last, bobs.read) == (1, 1, 1)
    assert bobs.muted is True
    (in_list,) = await house.store.memberships(BOB)
    assert in_list == bobs
    assert in_list.muted is True
    strangers = await house.store.head(LOBBY, ALICE)
    assert (strangers.head, strangers.read, strangers.muted) == (1, None, None)
    assert await house.store.memberships(ALICE) == []


async def test_who_has_many_rooms_is_given_those_where_something_was_said_last(house: House) -> None:
    """However much was said in the others."""
    shown = queries_module.ROOMS_SHOWN
    await asyncio.gather(*(house.says("often", RoomId(f"old-{at}")) for at in range(shown) for _ in range(2)))
    await house.says("once", GARDEN)
    rooms = [head.room for head in await house.store.memberships(BOB)]
    assert (len(rooms), rooms[0]) == (shown, GARDEN)
    await house.says("again", RoomId("old-0"))
    assert [head.room for head in await house.store.memberships(BOB)][:2] == ["old-0", GARDEN]


async def test_a_crowd_is_answered_in_few_trips(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.says("hello")
    sizes: list[int] = []
    really = house.store._ferry._cross

    def cross(questions: Any) -> Any:
        sizes.append(len(questions))
        return really(questions)

    monkeypatch.setattr(house.store._ferry, "_cross", cross)
    people = [account_named(f"person {number}") for number in range(200)]
    heads = await asyncio.gather(*(house.store.head(LOBBY, person) for person in people))
    assert [head.head for head in heads] == [1] * 200
    assert sum(sizes) == 200
    assert max(sizes) == ferry.ABOARD_AT_MOST
    assert len(sizes) <= 200 / ferry.ABOARD_AT_MOST + 2
    with house.database.reading.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar_one() == 1
