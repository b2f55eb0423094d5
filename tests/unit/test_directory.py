"""What the rooms are, in memory: how each stands to somebody, and the bounds of it all."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from chatzilla.core import membership, policy, succession
from chatzilla.core.directory import Directory, Room, direct_between, is_hidden, mint_private
from chatzilla.core.membership import Plan, Wish
from chatzilla.core.people import LINK, Account, account_named, guest_named
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.rooms import LOBBY, Grade, Kind, RoomHead, RoomId
from chatzilla.core.tries import Tries
from chatzilla.errors import Conflict, Forbidden, Full, NotFound, TooFast
from tests.helpers.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.messages import Draft
    from chatzilla.core.people import AccountId
    from chatzilla.core.presence import Presence
    from chatzilla.ports import Ports

GARDEN = RoomId("garden")
VISITOR = account_named("visitor")


def member(name: str, role: Role = Role.MEMBER) -> Account:
    return replace(account_named(name, LINK), role=role)


class Register:
    """Stores everything, and remembers what."""

    def __init__(self) -> None:
        self.rooms: dict[RoomId, Room] = {}
        self.dismissed: list[tuple[AccountId, AccountId | None]] = []
        self.graded: list[tuple[AccountId, Grade | None]] = []
        self.deeds: list[Deed] = []

    def recall_rooms(self) -> list[Room]:
        return list(self.rooms.values())

    async def create_room(self, room: Room, *_: object, **__: object) -> bool:
        return self.rooms.setdefault(room.id, room) is room

    async def change_room(self, room: Room, **_: object) -> bool:
        self.rooms[room.id] = room
        return True

    async def grade(
        self, _: RoomId, account: Account, grade: Grade | None, *__: object, deeds: Sequence[Deed] = ()
    ) -> bool:
        self.graded.append((account.id, grade))
        self.deeds.extend(deeds)
        return True

    async def dismiss(
        self, room: Room, account: AccountId, *, heir: AccountId | None, now: int, deeds: Sequence[Deed] = ()
    ) -> None:
        assert now
        self.rooms[room.id] = room
        self.dismissed.append((account, heir))
        self.deeds.extend(deeds)


class Audience:
    """Nobody is connected."""

    def sessions_of(self, _: object) -> list[Any]:
        return []

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


class World:
    """A house without a database, a network or anybody in it."""

    def __init__(self, *people: Account) -> None:
        self.clock = ManualClock()
        self.register = Register()
        self.people = {person.id: person for person in people}
        self.banned: set[AccountId] = set()
        register: Any = self.register  # as much of one as is asked for here
        self.directory = Directory(register, Tries(self.clock), self.clock, self.people.get, self.ban)
        self.said: list[str] = []
        self.ports = cast(
            "Ports",
            SimpleNamespace(
                directory=self.directory,
                clock=self.clock,
                audience=Audience(),
                store=self,
                log=self,
                put_out_of_calls=lambda _account, _room: None,
            ),
        )
        self.presence = cast("Presence", None)

    def ban(self, account: Account, *_: object) -> Any:
        return account if account.id in self.banned else None

    async def head(self, room: RoomId, _: Account) -> RoomHead:
        return RoomHead(room, room, 0, 0)

    async def append(self, _: Account, draft: Draft, **__: object) -> None:
        self.said.append(draft.content)


ALICE, BOB = member("Alice"), member("Bob")


class TestHowARoomStands:
    def test_nothing_is_kept_of_an_ordinary_one(self) -> None:
        directory = World().directory
        assert directory.stands(VISITOR, GARDEN) is Thing.COMMON_ROOM
        assert directory.stands(VISITOR, LOBBY) is Thing.ROOM
        directory.keep(Room(GARDEN, "Garden"))
        assert len(directory) == 1
        directory.keep(Room(GARDEN, GARDEN))
        assert len(directory) == 0

    def test_a_hidden_form_is_never_public(self) -> None:
        """Not even where an earlier version stored such a room for everybody."""
        directory = World().directory
        for ident in (mint_private(), direct_between([ALICE.id, BOB.id])):
            assert is_hidden(ident)
            assert directory.stands(ALICE, ident) is Thing.OTHER_ROOM
            directory.keep(Room(ident, ident))
            assert directory.get(ident) is not None
        for name in ("p-", "p-plans", "d-day", f"x{mint_private()[1:]}", f"{mint_private()}a", "p-" + "1" * 24):
            assert not is_hidden(RoomId(name))

    def test_a_guest_knows_of_one_room(self) -> None:
        directory = World().directory
        guest = guest_named("Guest", GARDEN, 1)
        assert directory.stands(guest, GARDEN) is Thing.COMMON_ROOM
        assert directory.stands(guest, LOBBY) is Thing.OTHER_ROOM
        directory.keep(Room(GARDEN, "Garden", Kind.PRIVATE, grades={ALICE.id: Grade.MODERATE}))
        assert directory.stands(guest, GARDEN) is Thing.OTHER_ROOM

    def test_grades_kinds_and_states(self) -> None:
        directory = World().directory
        private = Room(GARDEN, "Garden", Kind.PRIVATE, grades={ALICE.id: Grade.MODERATE, BOB.id: Grade.READ})
        directory.keep(private)
        assert directory.stands(ALICE, GARDEN) is Thing.OWN_ROOM
        assert directory.stands(BOB, GARDEN) is Thing.QUIET_ROOM
        assert directory.stands(member("Carol"), GARDEN) is Thing.OTHER_ROOM
        everything = "post", "rename", "archive", "invite", "grade", "remove", "delete", "lock", "kick", "ban", "purge"
        assert directory.rights(ALICE, GARDEN) == everything
        assert directory.rights(BOB, GARDEN) == ()
        directory.keep(replace(private, kind=Kind.PUBLIC, locked_at=1))
        assert directory.may(ALICE, Act.POST, GARDEN), "who moderates a locked room speaks there"
        assert not directory.may(member("Carol"), Act.POST, GARDEN)
        assert directory.may(member("Carol"), Act.READ, GARDEN)
        assert directory.may(member("Olga", Role.OWNER), Act.POST, GARDEN)
        directory.keep(replace(private, archived_at=1))
        assert not directory.may(ALICE, Act.POST, GARDEN)
        assert directory.may(ALICE, Act.ARCHIVE, GARDEN), "or nobody could open it again"

    def test_direct_rooms_are_found_in_whatever_order(self) -> None:
        assert direct_between([ALICE.id, BOB.id]) == direct_between([BOB.id, ALICE.id, BOB.id])
        assert direct_between([ALICE.id, BOB.id]) != direct_between([ALICE.id, VISITOR.id])

    def test_a_grade_is_given_and_taken(self) -> None:
        room = Room(GARDEN, GARDEN).graded(ALICE.id, Grade.READ).graded(BOB.id, Grade.POST)
        assert list(room.grades) == [ALICE.id, BOB.id]
        assert list(room.graded(ALICE.id, Grade.MODERATE).grades) == [ALICE.id, BOB.id], "one keeps one's place"
        assert room.graded(ALICE.id, None).grades == {BOB.id: Grade.POST}
        assert room.graded(VISITOR.id, None).grades == room.grades


class TestTries:
    def test_they_count_by_address_and_for_strangers_alone(self) -> None:
        world = World()
        world.directory.keep(Room(GARDEN, "Garden", Kind.PRIVATE, grades={ALICE.id: Grade.MODERATE}))
        for _ in range(20):
            with pytest.raises(NotFound):
                world.directory.check(BOB, Act.ENTER, GARDEN, address="10.0.0.1")
        with pytest.raises(TooFast):
            world.directory.check(BOB, Act.ENTER, GARDEN, address="10.0.0.1")
        with pytest.raises(NotFound):
            world.directory.check(BOB, Act.ENTER, GARDEN, address="10.0.0.2")
        world.directory.check(ALICE, Act.ENTER, GARDEN, address="10.0.0.1")
        world.clock.advance(15 * 60)
        with pytest.raises(NotFound):
            world.directory.check(BOB, Act.ENTER, GARDEN, address="10.0.0.1")


class TestBounds:
    async def test_rooms_of_one_person(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(membership, "ROOMS_PER_PERSON", 2)
        carol = member("Carol")
        world = World(ALICE, BOB, carol)
        for name in ("one", "two"):
            await membership.create(world.ports, ALICE, Plan(name))
        with pytest.raises(Full, match="as many as one person may"):
            await membership.create(world.ports, ALICE, Plan("three"))
        await membership.change(world.ports, ALICE, RoomId("one"), Wish(archived=True))
        with pytest.raises(Full):
            await membership.create(world.ports, ALICE, Plan("three"))
        await membership.direct(world.ports, ALICE, [BOB.id])
        await membership.direct(world.ports, ALICE, [carol.id])
        with pytest.raises(Full):
            await membership.direct(world.ports, ALICE, [BOB.id, carol.id])
        await membership.direct(world.ports, ALICE, [BOB.id])
        await membership.create(world.ports, BOB, Plan("three"))

    async def test_rooms_altogether(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(membership, "ROOMS_AT_MOST", 1)
        world = World(ALICE, BOB)
        await membership.create(world.ports, ALICE, Plan("one"))
        with pytest.raises(Full, match="this server"):
            await membership.create(world.ports, BOB, Plan("two"))
        with pytest.raises(Full):
            await membership.direct(world.ports, BOB, [ALICE.id])

    async def test_members_of_a_private_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(membership, "MEMBERS_AT_MOST", 3)
        crowd = [member(f"P{number}") for number in range(4)]
        world = World(ALICE, *crowd)
        with pytest.raises(Full, match="3 members"):
            await membership.create(world.ports, ALICE, Plan("Plans", Kind.PRIVATE, people=tuple(p.id for p in crowd)))
        head, _ = await membership.create(world.ports, ALICE, Plan("Plans", Kind.PRIVATE, people=(crowd[0].id,)))
        await membership.invite(world.ports, ALICE, head.room, crowd[1].id)
        with pytest.raises(Full, match="3 members"):
            await membership.invite(world.ports, ALICE, head.room, crowd[2].id)
        await membership.invite(world.ports, ALICE, head.room, crowd[1].id, Grade.READ)
        del world.people[crowd[0].id]  # a guest's time is over
        await membership.invite(world.ports, ALICE, head.room, crowd[2].id)

    async def test_rooms_that_are_made_quickly(self) -> None:
        world = World(ALICE, BOB)
        for number in range(50):
            await membership.create(world.ports, ALICE, Plan(f"Room {number}"), address="10.0.0.1")
        with pytest.raises(TooFast):
            await membership.create(world.ports, ALICE, Plan("One more"), address="10.0.0.2")
        await membership.create(world.ports, BOB, Plan("One more"), address="10.0.0.1")
        world.clock.advance(10)
        await membership.create(world.ports, ALICE, Plan("One more"))

    async def test_addresses_of_one_name_run_out_into_random_ones(self) -> None:
        world = World(ALICE)
        found = [(await membership.create(world.ports, ALICE, Plan("Plans")))[0].room for _ in range(21)]
        assert found[:3] == ["plans", "plans-2", "plans-3"]
        assert found[-1].startswith("room-")
        assert len(set(found)) == len(found)
        long, _ = await membership.create(world.ports, ALICE, Plan("x" * 80))
        assert long.room == "x" * 48


class TestWhoModerates:
    async def test_somebody_always_does_who_can(self) -> None:
        guest = member("Guest", Role.GUEST)
        world = World(ALICE, BOB, guest)
        head, _ = await membership.create(world.ports, ALICE, Plan("Plans", Kind.PRIVATE, people=(guest.id, BOB.id)))
        with pytest.raises(Forbidden, match="cannot moderate"):
            await membership.invite(world.ports, ALICE, head.room, guest.id, Grade.MODERATE)
        with pytest.raises(Conflict):
            await membership.invite(world.ports, ALICE, head.room, ALICE.id, Grade.READ)
        await membership.remove(world.ports, world.presence, ALICE, head.room, ALICE.id)
        assert world.register.dismissed == [(ALICE.id, BOB.id)], "the guest was there longer, and cannot"
        room = world.directory.find(head.room)
        assert room.grades == {guest.id: Grade.POST, BOB.id: Grade.MODERATE}
        await membership.remove(world.ports, world.presence, BOB, head.room, BOB.id)
        await membership.remove(world.ports, world.presence, guest, head.room, guest.id)
        assert world.directory.find(head.room).archived_at is not None
        assert world.said == ["Alice made this room.", "Alice left. Bob moderates this room now.", "Bob left."]

    async def test_whoever_is_kept_out_follows_nobody_and_does_not_count_as_a_moderator(self) -> None:
        """A ban or the end of a membership takes somebody out of the count, whatever they were given before."""
        carol, dan = member("Carol"), member("Dan")
        world = World(ALICE, BOB, carol, dan)
        people = (BOB.id, carol.id, dan.id)
        head, _ = await membership.create(world.ports, ALICE, Plan("Plans", Kind.PRIVATE, people=people))
        world.banned.add(BOB.id)
        await succession.pass_on(world.ports, world.presence, ALICE, by=None, gone=False)
        assert not world.register.graded, "there is a moderator"
        world.banned.add(ALICE.id)
        await succession.pass_on(world.ports, world.presence, ALICE, by=dan, gone=False, only=GARDEN)
        assert not world.register.graded, "that was about another room"
        await succession.pass_on(world.ports, world.presence, ALICE, by=dan, gone=False)
        assert world.register.graded == [(carol.id, Grade.MODERATE)], "Bob was there longer, and is banned too"
        entry = world.register.deeds[-1]
        assert (entry.act, entry.actor_name, entry.person_name, entry.room) == ("inherit", "Dan", "Carol", head.room)
        world.people[carol.id] = replace(carol, role=Role.REMOVED)
        await succession.pass_on(world.ports, world.presence, world.people[carol.id], by=None, gone=True)
        assert world.register.dismissed == [(carol.id, dan.id)]
        assert world.said[1:] == [
            "Carol moderates this room now.",
            "Carol is not on this server any more. Dan moderates this room now.",
        ]
        grades = world.directory.find(head.room).grades
        assert grades == {ALICE.id: Grade.MODERATE, BOB.id: Grade.POST, dan.id: Grade.MODERATE}
        await succession.find_heirs(world.ports)
        assert world.directory.find(head.room).grades == grades, "once is enough"

    async def test_a_server_that_starts_finds_heirs_for_rooms_that_have_nobody(self) -> None:
        world = World(ALICE, BOB)
        head, _ = await membership.create(world.ports, ALICE, Plan("Plans", Kind.PRIVATE, people=(BOB.id,)))
        open_room, _ = await membership.create(world.ports, ALICE, Plan("Open"))
        del world.people[ALICE.id]  # as an earlier version left it
        await succession.find_heirs(world.ports)
        assert world.register.graded == [(BOB.id, Grade.MODERATE)]
        assert world.directory.find(head.room).grades[BOB.id] is Grade.MODERATE
        assert world.directory.find(open_room.room).grades == {ALICE.id: Grade.MODERATE}, "a public one has heads"

    async def test_a_visitor_who_makes_a_room_moderates_nothing(self) -> None:
        world = World()
        head, _ = await membership.create(world.ports, VISITOR, Plan("Plans"))
        assert world.directory.find(head.room).creator == VISITOR.id
        assert world.directory.stands(VISITOR, head.room) is Thing.COMMON_ROOM
        assert membership.kinds_for(VISITOR) == [Kind.PUBLIC]
        assert membership.kinds_for(member("Guest", Role.GUEST)) == []
        assert not policy.may(Role.VISITOR, Act.ARCHIVE, Thing.COMMON_ROOM)
