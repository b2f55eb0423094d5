"""Who is here: derived from connections, told at a pace."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from chatzilla.core.people import Account, account_named
from chatzilla.core.presence import NAMED_AT_MOST, Presence, PresenceChange
from chatzilla.core.rooms import LOBBY, ConnectionId, RoomId
from tests.helpers.clock import ManualClock

ALICE, BOB = account_named("alice"), account_named("bob")
CROWD = [account_named(f"guest {number:03}") for number in range(NAMED_AT_MOST + 1)]


@dataclass
class Audience:
    """Listens to what is told of a room."""

    crowd: int = 1
    told: list[tuple[RoomId, PresenceChange]] = field(default_factory=list)

    def listeners(self, _room: RoomId) -> int:
        return self.crowd

    def tell_presence(self, room: RoomId, change: PresenceChange) -> None:
        self.told.append((room, change))

    def last(self) -> PresenceChange:
        return self.told[-1][1]


class Scene:
    """One presence, its audience, and the time."""

    def __init__(self, listeners: int = 1) -> None:
        self.clock = ManualClock()
        self.audience = Audience(listeners)
        self.presence = Presence(self.audience, self.clock)  # type: ignore[arg-type]  # as much as presence needs

    def arrives(self, account: Account, connection: str, room: RoomId = LOBBY) -> None:
        self.presence.arrive(room, account, ConnectionId(connection))

    def departs(self, account: Account, connection: str, room: RoomId = LOBBY) -> None:
        self.presence.depart(room, account, ConnectionId(connection))

    def gathers(self, people: list[Account]) -> None:
        for account in people:
            self.arrives(account, f"connection of {account.name}")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_whoever_comes_is_told_once_and_at_once(scene: Scene) -> None:
    scene.arrives(ALICE, "a1")
    scene.clock.advance(0)
    ((room, change),) = scene.audience.told
    assert room == LOBBY
    assert (change.came, change.went, change.here.count) == ((ALICE,), (), 1)


def test_a_person_is_here_once_however_many_connections(scene: Scene) -> None:
    scene.arrives(ALICE, "a1")
    scene.arrives(ALICE, "a2")
    assert scene.presence.here(LOBBY).people == (ALICE,)
    scene.departs(ALICE, "a1")
    assert scene.presence.here(LOBBY).count == 1
    scene.departs(ALICE, "a2")
    assert scene.presence.here(LOBBY).count == 0


def test_the_same_connection_twice_counts_once(scene: Scene) -> None:
    scene.arrives(ALICE, "a1")
    scene.arrives(ALICE, "a1")
    scene.departs(ALICE, "a1")
    assert scene.presence.here(LOBBY).count == 0


def test_departing_twice_or_without_arriving_is_harmless(scene: Scene) -> None:
    scene.departs(BOB, "b1")
    scene.arrives(ALICE, "a1")
    scene.departs(BOB, "b1")
    scene.departs(ALICE, "somebody else's connection")
    assert scene.presence.here(LOBBY).people == (ALICE,)
    scene.departs(ALICE, "a1")
    scene.departs(ALICE, "a1")
    assert scene.presence.here(LOBBY).count == 0


def test_changes_are_collected_until_the_pace_allows_the_next_telling(scene: Scene) -> None:
    scene.arrives(ALICE, "a1")
    scene.clock.advance(0)
    scene.arrives(BOB, "b1")
    scene.gathers(CROWD[:3])
    scene.clock.advance(0.99)
    assert len(scene.audience.told) == 1
    scene.clock.advance(0.01)
    assert len(scene.audience.told) == 2
    assert scene.audience.last().came == (BOB, *CROWD[:3])
    assert scene.audience.last().here.count == 5


def test_a_large_room_is_told_less_often() -> None:
    scene = Scene(listeners=3_000)
    scene.arrives(ALICE, "a1")
    scene.clock.advance(0)
    scene.arrives(BOB, "b1")
    scene.clock.advance(2.99)
    assert len(scene.audience.told) == 1
    scene.clock.advance(0.01)
    assert len(scene.audience.told) == 2


def test_whoever_came_and_left_between_two_tellings_is_named_as_gone(scene: Scene) -> None:
    """A client that took its snapshot in between would keep a ghost otherwise."""
    scene.arrives(ALICE, "a1")
    scene.clock.advance(0)
    scene.arrives(BOB, "b1")
    scene.departs(BOB, "b1")
    scene.clock.advance(1)
    assert scene.audience.last() == PresenceChange((), (BOB,), scene.presence.here(LOBBY), counts_alone=False)


def test_whoever_left_and_came_back_between_two_tellings_is_named_as_here(scene: Scene) -> None:
    scene.arrives(ALICE, "a1")
    scene.clock.advance(0)
    scene.departs(ALICE, "a1")
    scene.arrives(ALICE, "a2")
    scene.clock.advance(1)
    assert ALICE not in scene.audience.last().went
    assert scene.audience.last().here.people == (ALICE,)


def test_a_hundred_people_are_named_and_one_more_are_counted(scene: Scene) -> None:
    scene.gathers(CROWD[:-1])
    scene.clock.advance(0)
    assert len(scene.audience.last().came) == NAMED_AT_MOST
    scene.gathers(CROWD[-1:])
    scene.clock.advance(1)
    change = scene.audience.last()
    assert (change.came, change.went, change.here.count) == ((), (), NAMED_AT_MOST + 1)
    assert len(change.here.people) == NAMED_AT_MOST


def test_everybody_is_named_again_when_the_crowd_is_gone(scene: Scene) -> None:
    scene.gathers(CROWD)
    scene.clock.advance(0)
    scene.departs(CROWD[0], f"connection of {CROWD[0].name}")
    scene.clock.advance(1)
    change = scene.audience.last()
    assert set(change.came) == set(CROWD[1:])
    scene.arrives(BOB, "b1")
    scene.departs(CROWD[1], f"connection of {CROWD[1].name}")
    scene.clock.advance(1)
    assert scene.audience.last().came == (BOB,)
    assert scene.audience.last().went == (CROWD[1],)


def test_the_same_people_are_named_to_a_crowd_until_one_of_them_goes(scene: Scene) -> None:
    """The very same, so that they are put into words once; more people come, and nobody is named that was not."""
    scene.gathers(CROWD[:99])
    assert scene.presence.here(LOBBY).people == tuple(CROWD[:99])
    scene.gathers(CROWD[99:100])
    named = scene.presence.here(LOBBY).people
    assert named == tuple(CROWD[:100])
    scene.gathers(CROWD[100:])
    scene.gathers([ALICE])
    assert scene.presence.here(LOBBY).people is named
    assert scene.presence.here(LOBBY).count == len(CROWD) + 1
    scene.departs(CROWD[3], f"connection of {CROWD[3].name}")
    assert scene.presence.here(LOBBY).people == (*CROWD[:3], *CROWD[4:101])
    assert scene.presence.here(LOBBY).count == len(CROWD)


def test_rooms_are_apart(scene: Scene) -> None:
    scene.arrives(ALICE, "a1", LOBBY)
    scene.arrives(BOB, "b1", RoomId("garden"))
    scene.clock.advance(0)
    assert scene.presence.here(LOBBY).people == (ALICE,)
    assert scene.presence.here(RoomId("garden")).people == (BOB,)
    assert {room: change.came for room, change in scene.audience.told} == {LOBBY: (ALICE,), "garden": (BOB,)}


def test_nobody_is_in_a_room_that_nobody_entered(scene: Scene) -> None:
    assert scene.presence.here(RoomId("attic")).count == 0


def test_a_room_that_stays_empty_costs_nothing(scene: Scene) -> None:
    for number in range(50):
        room = RoomId(f"room{number}")
        scene.arrives(ALICE, "a1", room)
        scene.departs(ALICE, "a1", room)
    scene.clock.advance(10)
    assert not scene.presence._rosters


def test_a_room_that_was_visited_again_in_time_is_kept(scene: Scene) -> None:
    scene.arrives(ALICE, "a1")
    scene.clock.advance(0)
    scene.departs(ALICE, "a1")
    scene.clock.advance(1)
    scene.arrives(BOB, "b1")
    scene.clock.advance(10)
    assert scene.presence.here(LOBBY).people == (BOB,)
    assert scene.audience.last().came == (BOB,)


def test_a_stopped_presence_tells_nothing(scene: Scene) -> None:
    scene.arrives(ALICE, "a1")
    scene.presence.stop()
    scene.clock.advance(10)
    assert scene.audience.told == []


def test_after_a_mass_departure_everybody_who_is_left_is_named(scene: Scene) -> None:
    """Too many went to name them all; counts alone are told, and the rest is named as soon as the pace allows."""
    people = [account_named(f"visitor {number}") for number in range(NAMED_AT_MOST + 41)]
    scene.gathers(people)
    scene.clock.advance(1)
    for account in people[21:]:
        scene.departs(account, f"connection of {account.name}")
    scene.clock.advance(0.5)
    assert (scene.audience.last().counts_alone, scene.audience.last().here.count) == (True, 21)
    assert scene.audience.last().somebody_moved
    scene.clock.advance(1)
    assert (scene.audience.last().counts_alone, len(scene.audience.last().came)) == (False, 21)
