"""The one writer, on a real database: group commit, numbers without holes, and recovery from trouble."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chatzilla.clock import SystemClock
from chatzilla.core.messages import Change, ClientId, Draft, Message, Posted, Target
from chatzilla.core.people import account_named
from chatzilla.core.rooms import LOBBY, ConnectionId, RoomId
from chatzilla.errors import Conflict, Forbidden, NotFound, Unavailable
from chatzilla.store import condition as condition_module
from chatzilla.store import database as database_module
from chatzilla.store import log as log_module
from chatzilla.store.database import Database
from chatzilla.store.log import RoomLog
from chatzilla.store.tables import accounts, members, messages, rooms
from tests.helpers.damage import damage
from tests.helpers.made_once import empty_database
from tests.helpers.servers import ROOT

ALICE, BOB = account_named("alice"), account_named("bob")


class Desk:
    """A log on its database, and what it told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.told: list[Posted] = []
        self.log = RoomLog(database.writing, SystemClock(), self.told.extend)

    def append(
        self, client_id: str, content: str = "x", room: str = LOBBY, author: Any = ALICE, origin: str | None = None
    ) -> asyncio.Future[Message]:
        draft = Draft(RoomId(room), ClientId(client_id), content)
        place = self.log.append(author, draft, origin=None if origin is None else ConnectionId(origin))
        return asyncio.ensure_future(place)

    def change(
        self, seq: int, content: str | None, room: str = LOBBY, author: Any = ALICE, origin: str | None = None
    ) -> asyncio.Future[Message]:
        """Edit a message or, with no text, delete it."""
        place = self.log.change(
            author, Change(Target(RoomId(room), seq), content), origin=None if origin is None else ConnectionId(origin)
        )
        return asyncio.ensure_future(place)

    def stored(self, room: str = LOBBY) -> list[tuple[int, str]]:
        ask = (
            sa.select(messages.c.seq, messages.c.content)
            .join(rooms, rooms.c.no == messages.c.room)
            .where(rooms.c.id == room)
            .order_by(messages.c.seq)
        )
        with self.database.reading.begin() as connection:
            return [(seq, content) for seq, content in connection.execute(ask)]

    def read(self, author: Any = ALICE, room: str = LOBBY) -> int | None:
        belongs = sa.select(members.c.read).select_from(members.join(accounts).join(rooms))
        with self.database.reading.begin() as connection:
            return connection.execute(
                belongs.where(accounts.c.id == author.id, rooms.c.id == room)
            ).scalar_one_or_none()

    def head(self, room: str = LOBBY) -> int | None:
        with self.database.reading.begin() as connection:
            return connection.execute(sa.select(rooms.c.head).where(rooms.c.id == room)).scalar_one_or_none()


@asynccontextmanager
async def open_desk(folder: Path, **options: Any) -> AsyncIterator[Desk]:
    database = Database(empty_database(folder), **options).open()
    desk = Desk(database)
    desk.log.start()
    try:
        yield desk
    finally:
        await desk.log.close()
        database.close(cleanly=True)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's lock is waited for only briefly."""
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 200)


def commits(desk: Desk) -> list[None]:
    """Grows with every commit of the writer."""
    counted: list[None] = []

    def traced(statement: str) -> None:
        if statement == "COMMIT":
            counted.append(None)

    on_checkout(desk, lambda driver: driver.set_trace_callback(traced))
    return counted


def on_checkout(desk: Desk, action: Callable[[sqlite3.Connection], object]) -> None:
    """Do something with the connection that the writer is about to take."""
    sa.event.listen(desk.database.writing, "checkout", lambda driver, _record, _proxy: action(driver))


def run_apart(script: str, folder: Path) -> None:
    """Run a test in a process of its own, which is told where to keep its data."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]


async def outcomes(futures: Sequence[asyncio.Future[Message]]) -> list[Message | BaseException]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*futures, return_exceptions=True)


class TestGroupCommit:
    """What waits together is stored together."""

    async def test_many_appends_share_few_transactions(self, desk: Desk) -> None:
        counted = commits(desk)
        stored = await asyncio.gather(*(desk.append(str(number)) for number in range(2_000)))
        assert [message.seq for message in stored] == list(range(1, 2_001))
        assert len(counted) <= 20

    async def test_one_append_does_not_wait_for_others(self, desk: Desk) -> None:
        counted = commits(desk)
        await desk.append("one")
        await desk.append("two")
        assert len(counted) == 2

    async def test_what_is_answered_is_on_disk(self, desk: Desk) -> None:
        answer = desk.append("one", "hello")
        answer.add_done_callback(lambda _: seen.append(desk.stored()))
        seen: list[list[tuple[int, str]]] = []
        await answer
        await asyncio.sleep(0)
        assert seen == [[(1, "hello")]]

    async def test_answers_settle_before_anything_is_told(self, desk: Desk) -> None:
        told_when_answered: list[int] = []
        for number in range(50):
            place = desk.log.append(ALICE, Draft(LOBBY, ClientId(str(number)), "x"), origin=None)
            place.then(lambda _: told_when_answered.append(len(desk.told)))
        await desk.append("last")
        await asyncio.sleep(0)
        assert told_when_answered == [0] * 50
        assert [posted.message.seq for posted in desk.told] == list(range(1, 52))

    async def test_an_answer_that_cannot_be_given_harms_nobody_else(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_outcome: object) -> None:
            raise RuntimeError("nobody foresaw that")

        answered: list[object] = []
        for number in range(5):
            place = desk.log.append(ALICE, Draft(LOBBY, ClientId(str(number)), "x"), origin=None)
            place.then(fail if number == 1 else answered.append)
        async with asyncio.timeout(10):
            await desk.append("last")
        await asyncio.sleep(0)
        assert len(answered) == 4
        assert [posted.message.seq for posted in desk.told] == [1, 2, 3, 4, 5, 6]
        assert "nobody foresaw that" in caplog.text

    async def test_rooms_are_numbered_apart_and_told_with_their_origin(self, desk: Desk) -> None:
        await asyncio.gather(
            *(desk.append(f"{room} {number}", room=room, origin=room) for number in range(10) for room in ("a", "b"))
        )
        await asyncio.sleep(0)
        for room in ("a", "b"):
            of_room = [posted for posted in desk.told if posted.message.room == room]
            assert [posted.message.seq for posted in of_room] == list(range(1, 11))
            assert {posted.origin for posted in of_room} == {room}

    async def test_whoever_writes_belongs_to_the_room_once(self, desk: Desk) -> None:
        await asyncio.gather(*(desk.append(str(number)) for number in range(3)))
        desk.log.enrol(ALICE, LOBBY)
        desk.log.enrol(BOB, LOBBY)
        await desk.append("last")
        with desk.database.reading.begin() as connection:
            belongs = sa.select(accounts.c.id, rooms.c.id).select_from(members.join(accounts).join(rooms))
            assert connection.execute(belongs).all() == [(ALICE.id, LOBBY)]


class TestRetries:
    """The same author and client_id are one message."""

    async def test_within_one_batch_and_across_batches(self, desk: Desk) -> None:
        answers = await asyncio.gather(*(desk.append("same") for _ in range(10)))
        answers.append(await desk.append("same"))
        assert len(set(answers)) == 1
        assert desk.stored() == [(1, "x")]
        assert len(desk.told) == 1

    async def test_a_conflict_takes_no_number(self, desk: Desk) -> None:
        first, other, elsewhere, after = await outcomes(
            [desk.append("same"), desk.append("same", "y"), desk.append("same", room="b"), desk.append("next")]
        )
        assert isinstance(other, Conflict)
        assert isinstance(elsewhere, Conflict)
        assert [getattr(message, "seq", None) for message in (first, after)] == [1, 2]
        assert desk.head("b") is None

    async def test_what_is_new_is_not_called_repeated_because_the_first_of_its_id_was_refused(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL)
        bad, new, again = (
            desk.log.append(ALICE, Draft(LOBBY, ClientId("same"), content), origin=None)
            for content in ("\ud800", "fine", "fine")
        )
        refused, stored, repeated = await asyncio.gather(bad, new, again, return_exceptions=True)
        assert isinstance(refused, UnicodeEncodeError)
        assert stored == repeated
        assert [new.repeated, again.repeated] == [False, True]
        assert [posted.message for posted in desk.told] == [stored]

    async def test_more_retries_than_one_question_can_hold(self, desk: Desk) -> None:
        first = await asyncio.gather(*(desk.append(str(number)) for number in range(700)))
        again = await asyncio.gather(*(desk.append(str(number)) for number in range(700)))
        assert again == first
        assert len(desk.stored()) == 700

    async def test_after_a_restart(self, tmp_path: Path) -> None:
        async with open_desk(tmp_path / "kept") as before:
            first = await before.append("same")
        async with open_desk(tmp_path / "kept") as after:
            assert await after.append("same") == first
            assert (await after.append("next")).seq == 2


class TestChanges:
    """Edits and deletions take the room's numbers, in one line with what is said."""

    async def test_they_are_numbered_among_the_messages_and_told_in_that_order(self, desk: Desk) -> None:
        counted = commits(desk)
        stored = await asyncio.gather(
            desk.append("1", "one"),
            desk.append("2", "two"),
            desk.change(1, "one, better", origin="tab"),
            desk.append("3", "three"),
            desk.change(2, None),
            desk.change(1, "one, best"),
            desk.append("4", "four"),
        )
        assert [(each.seq, each.changed, each.content, each.deleted) for each in stored] == [
            (1, 1, "one", False),
            (2, 2, "two", False),
            (1, 3, "one, better", False),
            (4, 4, "three", False),
            (2, 5, "", True),
            (1, 6, "one, best", False),
            (7, 7, "four", False),
        ]
        assert len(counted) == 1
        assert desk.stored() == [(1, "one, best"), (2, ""), (4, "three"), (7, "four")]
        assert desk.head() == 7
        await asyncio.sleep(0)
        assert [posted.message for posted in desk.told] == stored
        assert [posted.origin for posted in desk.told] == [None, None, "tab", None, None, None, None]

    async def test_what_would_change_nothing_takes_no_number(self, desk: Desk) -> None:
        first = await desk.append("1", "one")
        assert await desk.change(1, "one") == first
        edited = await desk.change(1, "better")
        assert edited.edited_at is not None
        assert await desk.change(1, "better") == edited
        deleted = await desk.change(1, None)
        assert (deleted.changed, deleted.content, deleted.edited_at, deleted.deleted) == (3, "", None, True)
        assert await asyncio.gather(*(desk.change(1, None) for _ in range(5))) == [deleted] * 5
        assert (await desk.append("2")).seq == 4
        await asyncio.sleep(0)
        assert [posted.message.changed for posted in desk.told] == [1, 2, 3, 4]

    async def test_refusals_take_no_number(self, desk: Desk) -> None:
        await asyncio.gather(desk.append("1", "one"), desk.append("2", "two"), desk.append("g", "hi", room="garden"))
        await desk.change(2, None)
        refused = await outcomes(
            [
                desk.change(1, "mine now", author=BOB),
                desk.change(1, None, author=BOB),
                desk.change(3, "no message has this place"),
                desk.change(9, None),
                desk.change(1, "no such room", room="attic"),
                desk.change(2, "again"),
            ]
        )
        assert [type(each) for each in refused] == [Forbidden, Forbidden, NotFound, NotFound, NotFound, Conflict]
        assert (desk.head(), desk.head("garden"), desk.head("attic")) == (3, 1, None)
        assert (await desk.append("3")).seq == 4

    async def test_a_retry_of_what_was_changed_is_answered_as_the_first_time(self, desk: Desk) -> None:
        first = await desk.append("1", "one")
        await desk.change(1, "better")
        assert await desk.append("1", "one") == first
        await desk.change(1, None)
        again = await asyncio.gather(desk.append("1", "one"), desk.change(1, None), desk.append("1", "one"))
        assert (again[0], again[2]) == (first, first)
        assert desk.stored() == [(1, "")]
        assert desk.head() == 3

    async def test_another_text_under_the_id_of_what_was_changed_is_a_conflict(self, desk: Desk) -> None:
        first = await desk.append("1", "one")
        for change in ("better", "best", None):
            await desk.change(1, change)
            again = await outcomes([desk.append("1", text) for text in ("one", "two", "better", "")])
            assert again[0] == first
            assert [type(each) for each in again[1:]] == [Conflict] * 3
        mine, _, other, retry = await outcomes(
            [desk.append("2", "x"), desk.change(5, "y"), desk.append("2", "y"), desk.append("2", "x")]
        )
        assert isinstance(mine, Message)
        assert mine.seq == 5
        assert isinstance(other, Conflict)
        assert retry == mine

    async def test_a_place_that_was_given_in_vain_is_not_taken_for_the_next_message_there(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL)
        _, _, bad = await outcomes([desk.append("1", "one"), desk.change(1, "uno"), desk.append("bad", "\ud800")])
        assert isinstance(bad, UnicodeEncodeError)
        assert isinstance((await outcomes([desk.append("1", "two")]))[0], Conflict)
        assert (await desk.append("1", "one")).seq == 1

    async def test_one_bad_change_harms_nobody_else(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL)
        good, bad, after, other = await outcomes(
            [desk.append("1", "one"), desk.change(1, "\ud800"), desk.append("2", "two"), desk.change(1, "better")]
        )
        assert isinstance(bad, UnicodeEncodeError)
        assert [getattr(each, "changed", None) for each in (good, after, other)] == [1, 2, 3]
        assert desk.stored() == [(1, "better"), (2, "two")]

    async def test_after_a_restart(self, tmp_path: Path) -> None:
        async with open_desk(tmp_path / "kept") as before:
            await before.append("1", "one")
            edited = await before.change(1, "better")
        async with open_desk(tmp_path / "kept") as after:
            assert await after.change(1, "better") == edited
            assert (await after.change(1, None)).changed == 3

    async def test_a_replaced_text_leaves_the_files_while_the_server_runs(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both texts, long and short, soon after nothing comes any more, though nothing is closed."""
        monkeypatch.setattr(log_module, "PURGE_AFTER_SECONDS", 0.05)
        await asyncio.gather(*(desk.append(str(number), f"kept {number}") for number in range(50)))
        said = await desk.append("short", "regretted")
        long = await desk.append("long", "regretted " * 1_000)
        await asyncio.gather(desk.change(said.seq, "harmless"), desk.change(long.seq, None))
        async with asyncio.timeout(10):
            while desk.log._writer.purging:
                await asyncio.sleep(0.02)
        files = [path.read_bytes() for path in desk.database.folder.iterdir()]
        assert not any(b"regretted" in file for file in files)
        assert any(b"kept 49" in file for file in files)
        assert (await desk.append("next")).seq == 55

    async def test_somebody_who_reads_puts_that_off_and_blocks_nobody(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_module, "PURGE_AFTER_SECONDS", 0.01)
        writer, tries = desk.log._writer, queue.SimpleQueue[bool]()
        purge = writer.purge

        def noted() -> bool:
            tried = purge()
            tries.put(writer.purging)
            return tried

        monkeypatch.setattr(writer, "purge", noted)
        said = await desk.append("1", "regretted")
        with desk.database.reading.begin() as reader:
            reader.execute(sa.select(messages)).all()
            await desk.change(said.seq, None)
            assert [await asyncio.to_thread(tries.get, timeout=10) for _ in range(3)] == [True] * 3
            await desk.append("2", "nobody waits for that")
        while await asyncio.to_thread(tries.get, timeout=10):
            pass
        assert not any(b"regretted" in path.read_bytes() for path in desk.database.folder.iterdir())

    def test_a_disk_that_refuses_puts_that_off_and_takes_nothing_else_away(self, tmp_path: Path) -> None:
        """The texts leave the files once it can be written, and whoever holds the lock meanwhile is waited for."""
        script = """
import asyncio, resource, sqlite3, sys
from pathlib import Path
from chatzilla.store import log as log_module
from chatzilla.store import writer as writer_module
from tests.unit.test_log import open_desk

def anywhere(desk, text):
    return any(text in path.read_bytes() for path in desk.database.folder.iterdir())

async def main() -> None:
    log_module.PURGE_AFTER_SECONDS = 0.05
    async with open_desk(Path(sys.argv[1])) as desk:
        writer, tries = desk.log._writer, []
        purge = writer.purge

        def noted():
            tried = purge()
            tries.append((tried, writer.purging))
            return tried

        writer.purge = noted
        said = [await desk.append(str(n), "regretted " * 900) for n in range(20)]
        size = desk.database.path.stat().st_size  # what was said is in the write-ahead log alone, so far
        await asyncio.gather(*(desk.change(each.seq, "harmless") for each in said))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        async with asyncio.timeout(10):
            while len(tries) < 2:
                await asyncio.sleep(0.01)
        assert set(tries) == {(False, True)}, tries
        assert anywhere(desk, b"regretted")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        stranger = sqlite3.connect(desk.database.path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        patient = desk.append("patient")
        await asyncio.sleep(4 * writer_module.PURGE_WITHIN_MS / 1000)
        stranger.close()
        assert (await patient).seq == 41
        async with asyncio.timeout(10):
            while writer.purging:
                await asyncio.sleep(0.01)
        assert not anywhere(desk, b"regretted")

asyncio.run(main())
"""
        run_apart(script, tmp_path / "data")


class TestMarks:
    """How far a member has read: it never goes back, nor beyond what there is, and takes no number."""

    async def test_whoever_writes_first_has_read_so_far(self, desk: Desk) -> None:
        await asyncio.gather(desk.append("1", author=BOB), desk.append("2"), desk.append("3", author=BOB))
        assert (desk.read(), desk.read(BOB)) == (2, 3)
        await desk.append("4")
        assert desk.read() == 2

    async def test_it_moves_forward_only(self, desk: Desk) -> None:
        await desk.append("own")
        await asyncio.gather(*(desk.append(str(number), author=BOB) for number in range(19)))
        held = []
        for seq in (15, 12, 21, 2**53 - 1, 20):
            desk.log.mark(ALICE, LOBBY, seq)
            await desk.append("0", author=BOB)  # a fence that is a retry
            held.append(desk.read())
        assert held == [15, 15, 15, 15, 20]
        assert desk.head() == 20

    async def test_whoever_enters_a_room_has_read_its_past(self, desk: Desk) -> None:
        await desk.append("known")
        await asyncio.gather(*(desk.append(str(number), author=BOB, room="garden") for number in range(5)))
        desk.log.enrol(ALICE, RoomId("garden"))
        desk.log.mark(ALICE, RoomId("garden"), 3)
        await desk.append("fence")
        assert desk.read(room="garden") == 5

    async def test_strangers_and_rooms_that_are_none_leave_no_trace(self, desk: Desk) -> None:
        desk.log.mark(ALICE, LOBBY, 1)
        await desk.append("1", author=BOB)
        desk.log.mark(ALICE, LOBBY, 1)
        desk.log.mark(BOB, RoomId("attic"), 1)
        await desk.append("2", author=BOB)
        assert (desk.read(), desk.read(BOB, "attic")) == (None, None)

    async def test_one_that_cannot_be_noted_harms_neither_messages_nor_other_notes(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Doors let no such number in; it stands for whatever a note may be found to be."""
        caplog.set_level(logging.CRITICAL)
        await asyncio.gather(desk.append("1"), desk.append("2", author=BOB), desk.append("3"), desk.append("4"))
        for last, contents in ((3, ["fine"]), (4, ["fine", "\ud800"])):
            desk.log.mark(ALICE, LOBBY, 2**70)
            desk.log.mark(BOB, LOBBY, last)
            told = await outcomes([desk.append(f"{last} {number}", said) for number, said in enumerate(contents)])
            assert isinstance(told[0], Message)
            assert (desk.read(), desk.read(BOB)) == (4, last)


class TestTrouble:
    """Refused in time, nothing half done, and well again by itself."""

    async def test_one_bad_row_harms_nobody_else(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL)
        bad = desk.append("bad", "\ud800")
        good = [desk.append(str(number), author=BOB) for number in range(20)]
        worse = desk.append("worse", "\udfff")
        last = desk.append("last")
        refused = await outcomes([bad, worse])
        assert all(isinstance(outcome, Exception) for outcome in refused)
        stored = [message.seq for message in await asyncio.gather(*good, last)]
        assert stored == list(range(1, 22))
        assert [seq for seq, _ in desk.stored()] == stored
        assert desk.head() == 21
        await asyncio.sleep(0)
        assert [posted.message.seq for posted in desk.told] == stored

    @pytest.mark.usefixtures("quick")
    async def test_a_locked_database_refuses_soon_and_recovers_by_itself(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with open_desk(tmp_path / "data") as desk:
            await desk.append("before")
            health = [desk.log.healthy]
            stranger = sqlite3.connect(desk.database.path, isolation_level=None)
            stranger.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            refused = await outcomes([desk.append(str(number)) for number in range(5)])
            assert all(isinstance(outcome, Unavailable) for outcome in refused)
            assert time.monotonic() - began < 3
            health.append(desk.log.healthy)
            stranger.execute("ROLLBACK")
            stranger.close()
            after = await asyncio.gather(*(desk.append(str(number)) for number in range(5)))
            assert [message.seq for message in after] == [2, 3, 4, 5, 6]
            assert [*health, desk.log.healthy] == [True, False, True]
            assert [record.levelname for record in caplog.records if record.name == condition_module.__name__] == [
                "ERROR"
            ]

    @pytest.mark.usefixtures("quick")
    async def test_the_loop_turns_while_the_database_is_locked(self, tmp_path: Path) -> None:
        async with open_desk(tmp_path / "data") as desk:
            stranger = sqlite3.connect(desk.database.path, isolation_level=None)
            stranger.execute("BEGIN IMMEDIATE")
            waiting = desk.append("one")
            turns = 0
            while not waiting.done():
                await asyncio.sleep(0.005)
                turns += 1
            assert isinstance(waiting.exception(), Unavailable)
            assert turns >= 10
            stranger.close()

    @pytest.mark.usefixtures("quick")
    async def test_reading_goes_on_while_the_database_is_locked(self, tmp_path: Path) -> None:
        async with open_desk(tmp_path / "data") as desk:
            await desk.append("one")
            stranger = sqlite3.connect(desk.database.path, isolation_level=None)
            stranger.execute("BEGIN IMMEDIATE")
            assert await asyncio.to_thread(desk.stored) == [(1, "x")]
            stranger.close()

    async def test_a_full_disk_refuses_whole_and_recovers(self, desk: Desk) -> None:
        taken: list[sqlite3.Connection] = []
        on_checkout(desk, taken.append)
        await desk.append("before")
        taken[-1].execute("PRAGMA max_page_count = 1")
        big = "x" * 10_000
        refused = await outcomes([desk.append(f"big {number}", big) for number in range(50)])
        assert all(isinstance(outcome, Unavailable) for outcome in refused), refused[0]
        assert not desk.log.healthy
        assert desk.stored() == [(1, "x")]
        assert desk.head() == 1
        taken[-1].execute("PRAGMA max_page_count = 1000000")
        after = await asyncio.gather(*(desk.append(f"big {number}", big) for number in range(50)))
        assert [message.seq for message in after] == list(range(2, 52))
        assert desk.log.healthy

    async def test_a_database_that_became_read_only_refuses_and_recovers(self, desk: Desk) -> None:
        taken: list[sqlite3.Connection] = []
        on_checkout(desk, taken.append)
        await desk.append("before")
        taken[-1].execute("PRAGMA query_only = ON")
        (refused,) = await outcomes([desk.append("one")])
        assert isinstance(refused, Unavailable)
        taken[-1].execute("PRAGMA query_only = OFF")
        assert (await desk.append("one")).seq == 2

    def test_a_file_that_may_not_grow_refuses_and_recovers(self, tmp_path: Path) -> None:
        """The operating system's own refusal, in a process of its own: the limit would bind the whole test run."""
        script = """
import asyncio, resource, sys
from pathlib import Path
from chatzilla.errors import Unavailable
from tests.unit.test_log import open_desk, outcomes

async def main() -> None:
    async with open_desk(Path(sys.argv[1])) as desk:
        await desk.append("before")
        size = 64 * 1024
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        refused = await outcomes([desk.append(str(n), "x" * 10_000) for n in range(100)])
        assert all(isinstance(each, Unavailable) for each in refused), refused[0]
        assert desk.stored() == [(1, "x")]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        after = await outcomes([desk.append(str(n), "x" * 10_000) for n in range(100)])
        assert [each.seq for each in after] == list(range(2, 102)), after[0]

asyncio.run(main())
"""
        run_apart(script, tmp_path / "data")

    @pytest.mark.parametrize("table", [None, "messages"])
    async def test_a_damaged_database_refuses_and_is_not_taken_for_a_sound_one(
        self, desk: Desk, table: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody is told that it is their message, and what writes elsewhere in the file proves nothing."""
        await asyncio.gather(*(desk.append(str(number)) for number in range(20)))
        damage(desk.database.path, table)
        refused = await outcomes([desk.append(f"more {number}") for number in range(20)])
        assert [type(each) for each in refused] == [Unavailable] * 20
        for _ in range(3):
            assert not desk.log.healthy
            desk.log.probe()
            desk.log.enrol(ALICE, LOBBY)
            await outcomes([desk.change(99, "no such message")])
        said = [record.getMessage() for record in caplog.records if record.name == condition_module.__name__]
        assert [line.startswith("the database is damaged") for line in said] == [True], said

    async def test_notes_that_spoil_a_batch_are_in_the_log_and_harm_nobody(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def spoilt(*_: object) -> None:
            raise ValueError("nobody foresaw that")

        monkeypatch.setattr(desk.log._writer, "_note_all", spoilt)
        desk.log.enrol(BOB, LOBBY)
        assert (await desk.append("after")).seq == 1
        (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
        assert "who is in which room" in record.getMessage()
        assert "nobody foresaw that" in caplog.text

    async def test_a_damaged_page_refuses_who_needs_it_and_nobody_else(self, desk: Desk) -> None:
        await desk.append("1", author=BOB)
        damage(desk.database.path, "ix_messages_changed")
        assert isinstance((await outcomes([desk.change(1, "edited", author=BOB)]))[0], Unavailable)
        assert (await desk.append("2", author=BOB)).seq == 2
        assert not desk.log.healthy

    @pytest.mark.usefixtures("quick")
    async def test_once_the_database_is_locked_the_rest_of_a_batch_is_refused_together(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A row that spoils a batch has it stored one by one; each of them would wait for the lock."""
        caplog.set_level(logging.CRITICAL)
        async with open_desk(tmp_path / "data") as desk:
            await desk.append("first")
            begun: list[None] = []
            stranger = sqlite3.connect(desk.database.path, isolation_level=None, check_same_thread=False)

            def traced(statement: str) -> None:
                if statement == "BEGIN IMMEDIATE":
                    begun.append(None)
                    if len(begun) == 6:  # the batch, the batch and what it repeats, and three of its entries
                        stranger.execute("BEGIN IMMEDIATE")

            taken = desk.log._writer._connection
            assert taken is not None
            taken.driver_connection.set_trace_callback(traced)  # type: ignore[union-attr]  # it is connected
            bad = desk.append("bad", "\ud800")
            told = await outcomes([bad, *(desk.append(str(number)) for number in range(50))])
            stranger.close()
            assert [type(each) for each in told] == [UnicodeEncodeError, *[Message] * 2, *[Unavailable] * 48]
            assert len(begun) == 6
            assert len(desk.stored()) == 3
            assert (await desk.append("0")).seq == 2, "what was answered is stored"
            assert (await desk.append("49")).seq == 4

    async def test_if_the_thread_ends_everybody_who_waits_and_comes_is_told(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        await desk.append("before")
        reached, go_on = threading.Event(), threading.Event()

        def fail(_places: object, _notes: object) -> None:
            reached.set()
            go_on.wait()
            raise SystemError("nobody foresaw that")

        monkeypatch.setattr(desk.log._writer, "store", fail)
        waiting = [desk.append("under way")]
        await asyncio.to_thread(reached.wait)
        waiting += [desk.append(str(number)) for number in range(3)]
        await asyncio.sleep(0.05)  # they are handed over
        waiting.append(desk.append("collected"))
        go_on.set()
        assert [type(each) for each in await outcomes(waiting)] == [Unavailable] * 5
        assert not desk.log.healthy
        with pytest.raises(Unavailable):
            desk.append("after")
        assert [record.levelname for record in caplog.records if record.name == log_module.__name__] == ["CRITICAL"]
        assert desk.log._under_way == 0
        assert desk.stored() == [(1, "x")]

    async def test_what_comes_in_pieces_is_stored_together_but_nobody_waits_for_long(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A burst comes in several reads; a commit for each of them would cost as much as one for all."""
        sizes: list[int] = []
        hand_over = RoomLog._hand_over

        def counted(log: RoomLog) -> None:
            sizes.append(len(log._collected))
            hand_over(log)

        monkeypatch.setattr(RoomLog, "_hand_over", counted)
        for pieces, first in ((1, 1), (3, 3), (50, log_module.TURNS_AT_MOST + 1)):
            sizes.clear()
            taken = []
            for number in range(pieces):
                taken.append(desk.append(f"{pieces} {number}"))
                await asyncio.sleep(0)
            await asyncio.gather(*taken)
            assert sizes[0] == first
            assert sum(sizes) == pieces

    async def test_a_log_that_is_full_refuses_at_once_and_drains(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_module, "WAITING_AT_MOST", 10)
        taken = [desk.append(str(number)) for number in range(10)]
        with pytest.raises(Unavailable):
            taken.extend(desk.append(str(number)) for number in range(10, 10_000))
        stored = await asyncio.gather(*taken)
        assert [message.seq for message in stored] == list(range(1, len(taken) + 1))
        assert (await desk.append("after")).seq == len(taken) + 1

    async def test_it_is_full_of_long_texts_sooner(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What waits is bounded in bytes, four for some letters, and all of it is given back, whatever it came to."""
        caplog.set_level(logging.CRITICAL)
        monkeypatch.setattr(log_module, "WAITING_BYTES", 1_000_000)
        long = "\N{GRINNING FACE}" * 10_000
        for texts, fit in ((["short"] * 1_000, 1_000), ([long] * 100, 24), ([f"{long[1:]}\ud800"] * 30, 24)):
            taken: list[asyncio.Future[Message]] = []
            for text in texts:
                try:
                    taken.append(desk.append(f"{len(desk.told)} {len(taken)}", text))
                except Unavailable:
                    break
            assert len(taken) == fit
            await outcomes(taken)
        await desk.append("first", "short")
        edits = [desk.change(1, f"{long[1:]}{number % 10}") for number in range(24)]
        with pytest.raises(Unavailable):
            desk.change(1, f"{long[1:]}!")
        await asyncio.gather(*edits)
        assert desk.log._bytes == 0

    async def test_a_cancelled_sender_harms_nobody_else(self, desk: Desk) -> None:
        futures = [desk.append(str(number)) for number in range(10)]
        futures[3].cancel()
        stored = [outcome for outcome in await outcomes(futures) if isinstance(outcome, Message)]
        assert len(stored) == 9
        await asyncio.sleep(0)
        assert [posted.message.seq for posted in desk.told] == list(range(1, 11))


class TestClosing:
    """Closing stores what waits, and takes nothing more."""

    async def test_what_waits_is_stored_first(self, tmp_path: Path) -> None:
        async with open_desk(tmp_path / "data") as desk:
            futures = [desk.append(str(number)) for number in range(3_000)]
            await desk.log.close()
            assert len(desk.stored()) == 3_000
            await asyncio.gather(*futures)
            with pytest.raises(Unavailable):
                desk.append("too late")

    async def test_it_is_harmless_twice(self, desk: Desk) -> None:
        await desk.log.close()
        await desk.log.close()


async def test_closing_does_not_wait_for_a_database_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits was not acknowledged: it is refused at once, instead of being tried batch by batch."""
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 300)
    monkeypatch.setattr(log_module, "BATCH_AT_MOST", 1)
    async with open_desk(tmp_path / "data") as desk:
        await desk.append("first")
        stranger = sqlite3.connect(desk.database.path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        waiting = [desk.append(f"waits {number}") for number in range(100)]
        with pytest.raises(Unavailable):
            await waiting[0]
        begun = time.monotonic()
        await desk.log.close()
        took = time.monotonic() - begun
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        stranger.execute("ROLLBACK")
        stranger.close()
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert took < 100 * 0.3 / 4, "each batch was tried in vain"
