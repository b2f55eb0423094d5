"""Coming back: everything missed, or a plain word that one starts over. Never a silent hole."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.house import OpenHouse, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.clients import Client


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[OpenHouse]:
    async with open_house(tmp_path / "data") as opened:
        yield opened


async def follow(client: Client, cursor: int, epoch: str | None = None) -> tuple[list[dict[str, Any]], int]:
    """Ask until the client is up to date, as the contract says; returns the rows and how many pages they took."""
    rows: list[dict[str, Any]] = []
    for pages in range(1, 100):
        answer = await client.joins(cursor=cursor, epoch=epoch)
        assert "reset" not in answer
        assert [row["changed"] for row in answer["messages"]] == list(
            range(cursor + 1, cursor + 1 + len(answer["messages"]))
        )
        rows += answer["messages"]
        cursor = answer["cursor"]
        if not answer["more"]:
            assert cursor == answer["room"]["head"]
            return rows, pages
        assert cursor == rows[-1]["changed"]
    raise AssertionError("a hundred pages and no end")


class TestWithoutACursor:
    """The newest page."""

    @pytest.mark.parametrize(("said", "shown", "more"), [(0, 0, False), (99, 99, False), (100, 100, False)])
    async def test_a_room_that_fits_is_shown_whole(self, house: OpenHouse, said: int, shown: int, more: bool) -> None:
        await house.fill(map(str, range(said)))
        answer = await (await house.enter("alice")).joins()
        assert [row["seq"] for row in answer["messages"]] == list(range(1, shown + 1))
        assert (answer["cursor"], answer["more"]) == (said, more)
        assert "reset" not in answer

    async def test_a_longer_one_ends_with_its_newest_and_says_that_there_is_more(self, house: OpenHouse) -> None:
        await house.fill(map(str, range(101)))
        answer = await (await house.enter("alice")).joins()
        assert [row["seq"] for row in answer["messages"]] == list(range(2, 102))
        assert (answer["cursor"], answer["more"], answer["room"]["head"]) == (101, True, 101)

    async def test_a_page_holds_128_kilobytes(self, house: OpenHouse) -> None:
        await house.fill("x" * 10_000 for _ in range(30))
        answer = await (await house.enter("alice")).joins()
        seqs = [row["seq"] for row in answer["messages"]]
        assert seqs == list(range(31 - len(seqs), 31))
        assert answer["more"]
        assert 100 * 1024 < len(json.dumps(answer["messages"])) <= 128 * 1024

    async def test_an_epoch_alone_is_no_cursor(self, house: OpenHouse) -> None:
        await house.fill(["one"])
        answer = await (await house.enter("alice")).joins(epoch="another")
        assert "reset" not in answer
        assert len(answer["messages"]) == 1


class TestWithACursor:
    """The changes after it, page by page."""

    async def test_who_missed_nothing_is_given_nothing(self, house: OpenHouse) -> None:
        await house.fill(["one", "two"])
        alice = await house.enter("alice")
        answer = await alice.joins(cursor=2)
        assert (answer["messages"], answer["cursor"], answer["more"]) == ([], 2, False)
        assert "reset" not in answer

    @pytest.mark.parametrize(("missed", "pages"), [(1, 1), (100, 1), (101, 2), (250, 3), (1_000, 10)])
    async def test_pages_lead_to_the_head(self, house: OpenHouse, missed: int, pages: int) -> None:
        await house.fill(map(str, range(missed + 5)))
        alice = await house.enter("alice")
        epoch = (await alice.joins())["epoch"]
        rows, asked = await follow(alice, 5, epoch)
        assert [row["changed"] for row in rows] == list(range(6, missed + 6))
        assert asked == pages

    async def test_long_messages_make_short_pages(self, house: OpenHouse) -> None:
        await house.fill("x" * 10_000 for _ in range(40))
        rows, asked = await follow(await house.enter("alice"), 0)
        assert len(rows) == 40
        assert asked >= 4

    async def test_wide_characters_make_shorter_ones(self, house: OpenHouse) -> None:
        await house.fill("€" * 10_000 for _ in range(12))
        rows, asked = await follow(await house.enter("alice"), 0)
        assert len(rows) == 12
        assert asked >= 3

    async def test_a_thousand_behind_is_caught_up_and_one_more_starts_over(self, house: OpenHouse) -> None:
        await house.fill(map(str, range(1_001)))
        alice = await house.enter("alice")
        assert "reset" not in await alice.joins(cursor=1)
        answer = await alice.joins(cursor=0)
        assert answer["reset"] is True
        assert [row["seq"] for row in answer["messages"]] == list(range(902, 1_002))
        assert (answer["cursor"], answer["more"]) == (1_001, True)

    async def test_a_cursor_beyond_the_head_starts_over(self, house: OpenHouse) -> None:
        await house.fill(["one"])
        alice = await house.enter("alice")
        answer = await alice.joins(cursor=2)
        assert (answer["reset"], answer["cursor"], len(answer["messages"])) == (True, 1, 1)
        answer = await alice.joins("never-written", cursor=1)
        assert (answer["reset"], answer["cursor"], answer["messages"]) == (True, 0, [])

    async def test_another_epoch_starts_over(self, house: OpenHouse) -> None:
        await house.fill(["one", "two"])
        alice = await house.enter("alice")
        epoch = (await alice.joins())["epoch"]
        assert "reset" not in await alice.joins(cursor=1, epoch=epoch)
        for other in ("", "another", epoch + " ", epoch.swapcase()):
            answer = await alice.joins(cursor=1, epoch=other)
            assert (answer["reset"], answer["cursor"], len(answer["messages"])) == (True, 2, 2)
            assert answer["epoch"] == epoch

    async def test_a_cursor_without_an_epoch_is_believed(self, house: OpenHouse) -> None:
        await house.fill(["one", "two"])
        assert len((await (await house.enter("alice")).joins(cursor=1))["messages"]) == 1

    async def test_a_restart_keeps_the_numbering(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "kept") as before:
            await before.fill(["one", "two"])
            epoch = (await (await before.enter("alice")).joins())["epoch"]
        async with open_house(tmp_path / "kept") as after:
            answer = await (await after.enter("alice")).joins(cursor=1, epoch=epoch)
            assert [row["content"] for row in answer["messages"]] == ["two"]
            assert "reset" not in answer


async def test_nothing_said_while_one_joins_is_missed(house: OpenHouse) -> None:
    """Subscribe, then read: the answer and the events after it cover everything, whenever it was stored."""
    posters = [await house.enter(f"poster {number}") for number in range(8)]
    said = 25

    async def talk(poster: Client) -> None:
        for number in range(said):
            await poster.says("lobby", str(number))

    async def arrive(name: str) -> tuple[Client, dict[str, Any]]:
        client = await house.connect(auth={"dialect": "full"})
        return client, await client.joins(name=name, cursor=0)

    talking = [asyncio.create_task(talk(poster)) for poster in posters]
    listeners = [await arrive(f"listener {number}") for number in range(12)]
    listeners += await asyncio.gather(*(arrive(f"one of a crowd {number}") for number in range(24)))
    await asyncio.gather(*talking)
    total = said * len(posters)
    for client, answer in listeners:
        await client.fence()
        heard = [event["changed"] for event in client.heard()]
        assert heard == sorted(heard)
        cursor = answer["cursor"]
        if answer["more"]:
            rows, _ = await follow(client, cursor)
            known = {row["changed"] for row in rows} | set(range(1, cursor + 1))
        else:
            known = set(range(1, cursor + 1))
        assert known | set(heard) == set(range(1, total + 1))
        # What the answer does not hold follows as events without a hole.
        assert not heard or heard == list(range(heard[0], total + 1))
        assert not heard or heard[0] <= answer["room"]["head"] + 1


async def test_a_join_that_waits_for_the_store_hears_what_is_said_meanwhile(house: OpenHouse) -> None:
    """The subscription begins before the reading, not with the answer."""
    bob = await house.enter("bob")
    store = house.server.house.store
    reading, may_answer = asyncio.Event(), asyncio.Event()
    read_really = store.backlog

    async def read_slowly(*arguments: Any, **options: Any) -> Any:
        backlog = await read_really(*arguments, **options)
        reading.set()
        await may_answer.wait()
        return backlog

    store.backlog = read_slowly  # type: ignore[method-assign]  # a barrier between reading and answering
    alice = await house.connect(auth={"dialect": "full"})
    joining = asyncio.create_task(alice.joins(name="alice", cursor=0))
    await reading.wait()
    await bob.says("lobby", "meanwhile")
    may_answer.set()
    answer = await joining
    assert answer["messages"] == []
    assert (await alice.hears())["content"] == "meanwhile"
