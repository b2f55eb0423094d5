"""Scrolling back: parts of a room by place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.clients import Client
from tests.helpers.house import open_house


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Client]:
    """Somebody in a lobby that holds 250 messages."""
    async with open_house(tmp_path / "data") as house:
        await house.fill(str(number) for number in range(1, 251))
        yield await house.enter("reader")


async def places(client: Client, **span: Any) -> tuple[list[int], bool]:
    accepted, page = await client.call("history", {"room": "lobby", **span})
    assert accepted, page
    assert set(page) == {"messages", "more"}
    assert all(row["content"] == str(row["seq"]) for row in page["messages"])
    return [row["seq"] for row in page["messages"]], page["more"]


@pytest.mark.parametrize(
    ("span", "expected", "more"),
    [
        ({}, range(201, 251), True),
        ({"limit": 3}, range(248, 251), True),
        ({"limit": 100}, range(151, 251), True),
        ({"limit": 1_000_000}, range(151, 251), True),
        ({"before": 4}, range(1, 4), False),
        ({"before": 1}, [], False),
        ({"before": 0}, [], False),
        ({"before": 101, "limit": 100}, range(1, 101), False),
        ({"before": 102, "limit": 100}, range(2, 102), True),
        ({"before": 251, "limit": 2}, [249, 250], True),
        ({"before": 2**53 - 1, "limit": 2}, [249, 250], True),
        ({"after": 0, "limit": 3}, [1, 2, 3], True),
        ({"after": 247}, [248, 249, 250], False),
        ({"after": 247, "limit": 3}, [248, 249, 250], False),
        ({"after": 247, "limit": 2}, [248, 249], True),
        ({"after": 250}, [], False),
        ({"after": 2**53 - 1}, [], False),
        ({"around": 100, "limit": 4}, range(98, 102), True),
        ({"around": 100, "limit": 5}, range(98, 103), True),
        ({"around": 1, "limit": 4}, [1, 2], True),
        ({"around": 250, "limit": 4}, [248, 249, 250], True),
    ],
    ids=str,
)
async def test_a_span_is_answered_ascending(
    reader: Client, span: dict[str, int], expected: range | list[int], more: bool
) -> None:
    assert await places(reader, **span) == (list(expected), more)


@pytest.mark.parametrize("limit", [1, 2, 3, 99, 100])
@pytest.mark.parametrize("place", [{}, {"before": 120}, {"after": 120}, {"around": 120}], ids=str)
async def test_a_limit_is_never_exceeded(reader: Client, place: dict[str, int], limit: int) -> None:
    rows, _ = await places(reader, **place, limit=limit)
    assert len(rows) == limit
    assert rows == sorted(set(rows))


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_what_is_asked_for_is_among_what_is_around_it(reader: Client, limit: int) -> None:
    rows, _ = await places(reader, around=77, limit=limit)
    assert 77 in rows


@pytest.mark.parametrize("limit", [7, 50, 100])
async def test_scrolling_in_either_direction_passes_every_message_once(reader: Client, limit: int) -> None:
    upwards: list[int] = []
    rows, more = await places(reader, limit=limit)
    upwards = rows
    while more:
        rows, more = await places(reader, before=upwards[0], limit=limit)
        upwards = rows + upwards
    assert upwards == list(range(1, 251))
    downwards, more = await places(reader, after=0, limit=limit)
    while more:
        rows, more = await places(reader, after=downwards[-1], limit=limit)
        downwards += rows
    assert downwards == list(range(1, 251))


async def test_an_empty_room_has_an_empty_page(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data") as house:
        reader = await house.enter("reader")
        for span in ({}, {"before": 5}, {"after": 0}, {"around": 1}):
            assert await places(reader, **span) == ([], False)


async def test_a_page_of_long_messages_ends_early_and_loses_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data") as house:
        await house.fill(f"{number:02}" + "x" * 9_998 for number in range(1, 41))
        reader = await house.enter("reader")
        seen: list[int] = []
        more, span = True, dict[str, int]()
        while more:
            _, page = await reader.call("history", {"room": "lobby", "limit": 100, **span})
            assert 1 <= len(page["messages"]) <= 13
            seen = [row["seq"] for row in page["messages"]] + seen
            more, span = page["more"], {"before": seen[0]}
        assert seen == list(range(1, 41))
