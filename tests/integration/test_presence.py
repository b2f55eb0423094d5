"""What one notices of others: who comes and goes, who writes, and which rooms move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from chatzilla.core.presence import NAMED_AT_MOST
from tests.helpers.clock import ManualClock
from tests.helpers.house import OpenHouse, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

    from tests.conftest import Connect, Lobby
    from tests.helpers.clients import Client


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def house(tmp_path: Path, clock: ManualClock) -> AsyncIterator[OpenHouse]:
    async with open_house(tmp_path / "data", clock=clock) as opened:
        yield opened


def names(people: list[dict[str, Any]]) -> list[str]:
    return [person["name"] for person in people]


async def settled(client: Client, clock: ManualClock) -> None:
    """Let every paced telling be told, and forget what was heard of it."""
    for _ in range(2):
        await client.fence()
        clock.advance(1)
    await client.fence()
    for event in ("presence", "room", "stats"):
        client.heard(event)


GARDEN: Final = {"room": "garden", "name": "garden", "kind": "public", "topic": ""}


class TestPresence:
    """`presence`, and `here` in the answer of `join`."""

    async def test_it_has_these_keys_and_no_others(self, house: OpenHouse, clock: ManualClock) -> None:
        alice = await house.enter("alice")
        await settled(alice, clock)
        bob = await house.enter("bob")
        clock.advance(1)
        assert await alice.hears("presence") == {
            "room": "lobby",
            "came": [{"id": bob.you["id"], "name": "bob"}],
            "went": [],
            "count": 2,
        }

    async def test_who_leaves_and_who_vanishes_is_gone(self, house: OpenHouse, clock: ManualClock) -> None:
        alice, bob, carol = [await house.enter(name) for name in ("alice", "bob", "carol")]
        await settled(alice, clock)
        await bob.call("leave", {"room": "lobby"})
        await carol.close()
        await alice.fence()
        clock.advance(1)
        told = await alice.hears("presence")
        assert (sorted(names(told["went"])), told["came"], told["count"]) == (["bob", "carol"], [], 1)
        assert names((await alice.joins())["here"]["people"]) == ["alice"]

    async def test_a_person_is_there_once_over_all_tabs(self, house: OpenHouse, clock: ManualClock) -> None:
        alice = await house.enter("alice")
        tabs = [await house.enter("bob") for _ in range(3)]
        assert (await alice.joins())["here"]["count"] == 2
        await settled(alice, clock)
        for tab in tabs[:2]:
            await tab.close()
        await settled(alice, clock)
        here = (await alice.joins())["here"]
        assert (here["count"], names(here["people"])) == (2, ["alice", "bob"])
        await tabs[2].close()
        await settled(alice, clock)
        assert (await alice.joins())["here"]["count"] == 1

    async def test_a_closing_tab_of_many_is_not_told(self, house: OpenHouse, clock: ManualClock) -> None:
        alice, _tab, other = await house.enter("alice"), await house.enter("bob"), await house.enter("bob")
        await settled(alice, clock)
        await other.close()
        await alice.fence()
        clock.advance(5)
        await alice.hears_nothing("presence")

    async def test_it_is_told_once_a_second_at_most(self, house: OpenHouse, clock: ManualClock) -> None:
        alice = await house.enter("alice")
        await settled(alice, clock)
        clock.advance(5)
        await house.enter("bob")
        clock.advance(0)
        assert names((await alice.hears("presence"))["came"]) == ["bob"]
        for name in ("carol", "dave", "erin"):
            await house.enter(name)
        clock.advance(0.75)
        await alice.hears_nothing("presence")
        clock.advance(0.25)
        told = await alice.hears("presence")
        assert (sorted(names(told["came"])), told["count"]) == (["carol", "dave", "erin"], 5)

    async def test_it_is_told_to_the_room_alone(self, house: OpenHouse, clock: ManualClock) -> None:
        alice = await house.enter("alice", "garden")
        await settled(alice, clock)
        await house.enter("bob")
        clock.advance(1)
        await alice.hears_nothing("presence")

    async def test_a_crowd_is_counted_and_named_again_when_it_is_gone(
        self, house: OpenHouse, clock: ManualClock
    ) -> None:
        alice = await house.enter("alice")
        crowd = [await house.enter(f"guest {number}") for number in range(NAMED_AT_MOST)]
        await settled(alice, clock)
        here = (await alice.joins())["here"]
        assert (here["count"], len(here["people"])) == (NAMED_AT_MOST + 1, NAMED_AT_MOST)
        one_more = await house.enter("one more")
        clock.advance(1)
        told = await alice.hears("presence")
        assert (told["came"], told["went"], told["count"]) == ([], [], NAMED_AT_MOST + 2)
        for guest in (one_more, crowd[0]):
            await guest.call("leave", {"room": "lobby"})
        clock.advance(1)
        told = await alice.hears("presence")
        assert (len(told["came"]), told["count"]) == (NAMED_AT_MOST, NAMED_AT_MOST)


class TestTyping:
    """Ephemeral, and for others only."""

    async def test_the_others_hear_room_and_name(self, lobby: Lobby) -> None:
        alice, bob = await lobby("Alice"), await lobby("bob")
        assert await alice.call("typing", {"room": "LOBBY"}) == (True, {})
        assert await bob.hears("typing") == {"room": "lobby", "name": "Alice"}

    async def test_ones_own_tabs_other_rooms_and_the_tutorial_do_not(self, connect: Connect, lobby: Lobby) -> None:
        alice, tab, elsewhere = await lobby("alice"), await lobby("alice"), await lobby("carol", "garden")
        simple = await connect()
        await simple.call("join", "bob")
        await alice.call("typing", {"room": "lobby"})
        for client in (alice, tab, elsewhere, simple):
            await client.hears_nothing("typing")

    async def test_too_much_of_it_is_dropped_and_still_answered(self, house: OpenHouse, clock: ManualClock) -> None:
        alice, bob = await house.enter("alice"), await house.enter("bob")
        for _ in range(20):
            assert await alice.call("typing", {"room": "lobby"}) == (True, {})
        await bob.fence()
        assert len(bob.heard("typing")) == 3
        clock.advance(1)
        await alice.call("typing", {"room": "lobby"})
        await bob.fence()
        assert len(bob.heard("typing")) == 1

    async def test_it_costs_no_messages(self, tmp_path: Path, clock: ManualClock) -> None:
        async with open_house(tmp_path / "slow", clock=clock, message_rate=1.0, message_burst=1) as house:
            alice = await house.enter("alice")
            for _ in range(20):
                await alice.call("typing", {"room": "lobby"})
            assert (await alice.says("lobby", "hello"))["seq"] == 1


class TestRoomList:
    """`room`: what a member hears of rooms in which this connection is not."""

    async def test_a_member_who_left_hears_that_the_room_moves_and_not_what_is_said(
        self, house: OpenHouse, clock: ManualClock
    ) -> None:
        alice, bob = await house.enter("alice", "garden"), await house.enter("bob", "garden")
        await alice.says("garden", "first")
        await alice.call("leave", {"room": "garden"})
        await settled(alice, clock)
        await bob.says("garden", "second")
        clock.advance(1)
        assert await alice.hears("room") == GARDEN | {"head": 2, "last": 2}
        await alice.hears_nothing()

    async def test_it_is_told_once_a_second_with_the_newest_head(self, house: OpenHouse, clock: ManualClock) -> None:
        alice, bob = await house.enter("alice", "garden"), await house.enter("bob", "garden")
        await alice.call("leave", {"room": "garden"})
        await settled(alice, clock)
        clock.advance(5)
        for number in range(10):
            await bob.says("garden", str(number))
        clock.advance(0)
        await alice.fence()
        assert [room["head"] for room in alice.heard("room")] == [10]
        for number in range(10):
            await bob.says("garden", str(number))
        clock.advance(0.9)
        await alice.hears_nothing("room")
        clock.advance(0.1)
        assert (await alice.hears("room"))["head"] == 20

    async def test_who_comes_back_is_shown_the_rooms_they_belong_to(self, house: OpenHouse, clock: ManualClock) -> None:
        first, bob = await house.enter("alice", "garden"), await house.enter("bob", "garden")
        await first.says("garden", "one")
        await first.close()
        await bob.says("garden", "two")
        again = await house.enter("alice")
        assert await again.hears("room") == GARDEN | {"head": 2, "last": 2, "read": 1, "muted": False}
        await bob.says("garden", "three")
        clock.advance(1)
        assert (await again.hears("room"))["head"] == 3

    async def test_it_is_shown_after_a_restart_too(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "kept") as house:
            await (await house.enter("alice", "garden")).says("garden", "one")
        async with open_house(tmp_path / "kept") as house:
            assert (await (await house.enter("alice")).hears("room"))["head"] == 1

    async def test_a_member_by_presence_alone_is_shown_the_room_too(self, tmp_path: Path) -> None:
        """Whoever is known and enters a known room belongs to it, without a word."""
        async with open_house(tmp_path / "kept") as house:
            await house.fill(["hello"], room="garden")
            alice = await house.enter("alice")
            await alice.says("lobby", "known from now on")
            await alice.joins("garden")
            await alice.says("lobby", "the note of it is stored before this")
        async with open_house(tmp_path / "kept") as house:
            alice = await house.enter("alice")
            assert (await alice.hears("room"))["room"] == "garden"

    async def test_another_tab_hears_of_a_room_that_this_one_enters(self, house: OpenHouse, clock: ManualClock) -> None:
        tab, other, bob = await house.enter("alice"), await house.enter("alice"), await house.enter("bob", "garden")
        await tab.joins("garden")
        assert await other.hears("room") == GARDEN | {"head": 0, "last": 0}
        await bob.says("garden", "hello")
        clock.advance(1)
        assert (await other.hears("room"))["head"] == 1
        await other.hears_nothing()

    async def test_who_hears_the_room_is_not_told_that_it_moves(self, house: OpenHouse, clock: ManualClock) -> None:
        alice, bob = await house.enter("alice", "garden"), await house.enter("bob", "garden")
        await settled(alice, clock)
        await bob.says("garden", "hello")
        clock.advance(5)
        await alice.hears_nothing("room")

    async def test_strangers_are_not_told(self, house: OpenHouse, clock: ManualClock) -> None:
        eve, bob = await house.enter("eve"), await house.enter("bob", "garden")
        await bob.says("garden", "hello")
        clock.advance(5)
        await eve.hears_nothing("room")

    async def test_the_tutorial_dialect_is_not_told(self, house: OpenHouse, clock: ManualClock) -> None:
        simple = await house.enter_simply("bob")
        await (await house.enter("bob", "garden")).says("garden", "hello")
        clock.advance(5)
        await simple.hears_nothing("room")
