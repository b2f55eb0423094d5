"""Stored before told, shown by the system's own calls: a power cut at any moment takes nothing that was acknowledged.

The server runs under strace. What it wrote and synced is played into a disk that keeps what was synced and nothing
else, or, by seeded chance, some of the rest, whole and in pieces. The same with `normal`, which promises less, shows
that these tests can fail.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatzilla.store.database import Database
from tests.helpers.clients import Client
from tests.helpers.servers import Process
from tests.torture.durability_disk import Disk
from tests.torture.durability_story import Remains, Story, is_ready, record, remains
from tests.torture.durability_trace import SYNCS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace traces Linux; the promise is tested there")

CUTS = 100
SEEDS = [None, 1]
"""No chance at all, and one: what was not synced is gone, or some of it survives."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The default: every commit is synced."""
    return asyncio.run(record(tmp_path_factory.mktemp("full") / "data"))


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The default, with the write-ahead log moving to the database every few messages."""
    command = ("-m", "tests.torture.durability_checkpoints")
    return asyncio.run(record(tmp_path_factory.mktemp("moving") / "data", command))


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """What an operator may choose who can lose the newest messages with the power."""
    return asyncio.run(record(tmp_path_factory.mktemp("normal") / "data", CHATZILLA_SYNCHRONOUS="normal"))


@pytest.fixture(params=["full", "moving"])
def story(request: pytest.FixtureRequest) -> Story:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Story)
    return found


def acks(story: Story) -> Iterator[tuple[Disk, set[str]]]:
    """The disk under the data folder each time that acks leave, and what was acknowledged until then."""
    disk = Disk(story.data)
    acknowledged: set[str] = set()
    for moment in story.trace.moments:
        disk.follow(moment)
        if fresh := story.acknowledged(moment):
            acknowledged |= set(fresh)
            yield disk, acknowledged
    assert acknowledged == story.letters.keys()


def disk_at_last(story: Story) -> Disk:
    """The disk under the data folder when the last ack leaves."""
    return next(disk for disk, acknowledged in acks(story) if len(acknowledged) == len(story.letters))


def chance_of(seed: int | None, number: int) -> random.Random | None:
    """The same chance in each run, another one for each cut."""
    return None if seed is None else random.Random(f"{seed} {number}")


def check_whole(found: Remains, story: Story) -> None:
    """A database makes sense: no page is broken, no number is missing, nothing is there that nobody said."""
    assert found.integrity == "ok"
    assert found.letters.items() <= story.letters.items()
    for room, head in found.heads.items():
        numbers = sorted(letter.seq for letter in found.letters.values() if letter.room == room)
        assert numbers == list(range(1, head + 1)), room


def test_nothing_leaves_before_the_sync_of_its_commit(story: Story) -> None:
    """Neither an ack nor an event: the row's frames, then a sync of them, then the word."""
    told, too_early = story.told_too_early()
    assert set(told) == story.letters.keys()
    assert len(told) > 2 * len(story.letters), "others heard them too"
    assert too_early == []


def test_a_trace_tells_when_words_leave_too_early(normal: Story) -> None:
    """The control: without the syncs of `full`, nearly everything does."""
    told, too_early = normal.told_too_early()
    assert set(told) == normal.letters.keys()
    assert len(set(too_early)) >= CUTS


@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_takes_nothing_that_was_acknowledged(story: Story, tmp_path: Path, seed: int | None) -> None:
    cuts = 0
    for cuts, (disk, acknowledged) in enumerate(acks(story), start=1):
        cut = disk.cut(tmp_path / str(cuts), chance_of(seed, cuts))
        found = remains(cut)
        check_whole(found, story)
        missing = acknowledged - found.letters.keys()
        assert not missing, f"after {len(acknowledged)} acks: {sorted(missing)}"
        assert found.epoch == story.epoch, "nobody has to start over"
        assert found.starts == (cut / "starts").read_text()
        shutil.rmtree(cut)
    assert cuts >= CUTS


@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_can_take_something(normal: Story, tmp_path: Path, seed: int | None) -> None:
    """The control: with `normal`, what was acknowledged last is gone, but nothing is ever broken."""
    lossy = 0
    for cuts, (disk, acknowledged) in enumerate(acks(normal), start=1):
        cut = disk.cut(tmp_path / str(cuts), chance_of(seed, cuts))
        found = remains(cut)
        check_whole(found, normal)
        lossy += not acknowledged <= found.letters.keys()
        shutil.rmtree(cut)
    assert lossy >= CUTS * 0.9


def test_the_log_moved_while_people_talked(moving: Story) -> None:
    """The control of `moving`: cuts fell before, into and after moves of the write-ahead log to the database."""
    database = str(moving.data / "chatzilla.db")
    moved = [
        moment
        for moment in moving.in_service()
        if moment.ends and moment.call.name in SYNCS and moment.call.target == database
    ]
    assert len(moved) >= 5


async def test_after_a_power_cut_people_go_on_where_they_were(full: Story, tmp_path: Path) -> None:
    """The real server on what is left: the same numbering, and every letter after an old cursor."""
    disk_at_last(full).cut(tmp_path / "data")
    process = await Process(tmp_path / "data").start()
    client = await Client(process.url).connect(auth={"dialect": "full"})
    in_attic = sorted(letter.seq for letter in full.letters.values() if letter.room == "attic")
    answer = await client.joins("attic", name="alice", cursor=1, epoch=full.epoch)
    assert answer["epoch"] == full.epoch
    assert "reset" not in answer
    assert [message["seq"] for message in answer["messages"]] == in_attic[1 : len(answer["messages"]) + 1]
    assert (await client.says("attic", "on we go"))["seq"] == len(in_attic) + 1
    await client.close()
    assert await process.stop() == 0


async def test_after_a_cut_that_took_something_people_are_told_to_start_over(normal: Story, tmp_path: Path) -> None:
    """A number may now name another message, so the numbering gets another name: `epoch`."""
    assert remains(disk_at_last(normal).cut(tmp_path / "data")).letters.keys() < normal.letters.keys()
    process = await Process(tmp_path / "data", environ={"CHATZILLA_SYNCHRONOUS": "normal"}).start()
    client = await Client(process.url).connect(auth={"dialect": "full"})
    for cursor in (1, 20):
        answer = await client.joins("attic", name="alice", cursor=cursor, epoch=normal.epoch)
        assert answer["epoch"] != normal.epoch
        assert answer["reset"] is True
    await client.close()
    assert await process.stop() == 0


def test_a_start_knows_whether_something_may_be_lost(full: Story, normal: Story, tmp_path: Path) -> None:
    """With `full` the epoch stays, whatever else survived; with `normal` it never does, even if nothing was lost."""
    for story, stays in ((full, True), (normal, False)):
        disk = disk_at_last(story)
        for seed in (None, *range(8)):
            database = Database(disk.cut(tmp_path / f"{stays} {seed}", chance_of(seed, 0))).open()
            assert (database.epoch == story.epoch) is stays
            database.close()


def test_what_the_first_start_made_survives(full: Story, tmp_path: Path) -> None:
    """The folder and its files have their names on the disk before anybody is let in."""
    disk = Disk(full.data.parent)
    for moment in full.trace.moments:
        if is_ready(moment):
            break
        disk.follow(moment)
    data = disk.cut(tmp_path / "cut") / full.data.name
    assert data.is_dir(), "the name of the data folder itself was not synced"
    assert (data / "secret").read_text() == (full.data / "secret").read_text()
    assert remains(data) == Remains("ok", {}, {}, full.epoch, (data / "starts").read_text())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_first_start_can_be_cut_anywhere(full: Story, tmp_path: Path, seed: int | None) -> None:
    """After each of its syncs: the next start works, by itself, on whatever is there."""
    disk = Disk(full.data)
    for number, moment in enumerate(full.trace.moments):
        if is_ready(moment):
            break
        disk.follow(moment)
        if moment.ends and moment.call.name in SYNCS:
            Database(disk.cut(tmp_path / str(number), chance_of(seed, number))).open().close(cleanly=True)


def test_the_loop_leaves_the_data_folder_to_others(story: Story) -> None:
    """While people talk, join, read back and ask for pages, the loop's thread makes no call about a file in there."""
    touched = [
        f"{moment.call.name} {moment.call.target} {moment.call.opened}"
        for moment in story.in_service()
        if moment.call.thread == story.trace.loop_thread
        and (
            moment.call.name in SYNCS
            or any(
                path.startswith(str(story.data) + "/")
                for path in (moment.call.target, moment.call.opened, *moment.call.paths)
            )
        )
    ]
    assert touched == []
