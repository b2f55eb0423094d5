"""The roster of calls, without sockets and without an engine: time is moved, and what is told is listened to."""

# ruff: noqa: ARG002  # fakes have the signatures of what they stand for
from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from chatzilla.core.call import CallLimits, CallRecord, Flags, Order, Pass, Reason, Seat, Ticket, Wish
from chatzilla.core.call_entry import CallEntry
from chatzilla.core.call_events import CallEnded, IceServers, ParticipantChanged
from chatzilla.core.call_notice import duration, notice
from chatzilla.core.call_roster import CALLS_AT_MOST, Roster
from chatzilla.core.calls import Calls
from chatzilla.core.directory import Directory
from chatzilla.core.limits import Allowance, Rate
from chatzilla.core.messages import NOTICE, Message
from chatzilla.core.people import Account, AccountId, account_named
from chatzilla.core.rooms import ConnectionId, RoomId
from chatzilla.core.tokens import SignInId, Tokens
from chatzilla.core.tries import Tries
from chatzilla.errors import Conflict, Forbidden, Full, NotFound, NotJoined, Unavailable
from tests.helpers.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.call import Call, CallId, Participant, Source, Summary
    from chatzilla.core.call_events import CallEvent, MediaRequest
    from chatzilla.core.messages import Draft

LOBBY = RoomId("lobby")
FREE = Rate(0, 1)


@dataclass
class Engine:
    """Carries nothing, and remembers what it was asked for; it can be broken, or slow."""

    name: str = "mesh"
    healthy: bool = True
    limits: CallLimits = field(default_factory=lambda: CallLimits(3, 2, (), 3))
    asked: list[tuple[str, str]] = field(default_factory=list)
    fails_to_open: bool = False
    meanwhile: Callable[[], None] = lambda: None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def open(self, call: Call) -> None:
        self.asked.append(("open", call.room))
        if self.fails_to_open:
            raise Unavailable("The engine is down.")

    def end(self, call: Call) -> None:
        self.asked.append(("end", call.room))

    async def join(self, call: Call, participant: Participant) -> None:
        self.asked.append(("join", participant.account.name))
        self.meanwhile()

    async def resume(self, call: Call, participant: Participant) -> None:
        self.asked.append(("resume", participant.account.name))

    def leave(self, call: Call, participant: Participant) -> None:
        self.asked.append(("leave", participant.account.name))

    async def handle(
        self, call: Call, participant: Participant, request: MediaRequest, take_place: Callable[[], None]
    ) -> dict[str, Any]:
        take_place()
        return {}

    async def moderate(self, call: Call, target: Participant, order: Order, source: Source | None) -> None:
        self.asked.append((order.value, target.account.name))

    def allow(self, call: Call, participant: Participant, source: Source) -> None:
        self.asked.append((f"allow {source.value}", participant.account.name))


@dataclass
class Stage:
    """Hears what each connection is told, and each room."""

    told: defaultdict[str, list[CallEvent]] = field(default_factory=lambda: defaultdict(list))
    rooms: list[tuple[RoomId, Summary | None]] = field(default_factory=list)

    def tell(self, connections: Iterable[ConnectionId], event: CallEvent) -> None:
        for connection in connections:
            self.told[connection].append(event)

    def tell_call(self, room: RoomId, call: Summary | None) -> None:
        self.rooms.append((room, call))

    def changes(self, connection: str) -> list[tuple[str, str, Reason | None]]:
        """What a connection was told of others."""
        return [
            (event.change, event.participant.account.name, event.reason)
            for event in self.told[connection]
            if isinstance(event, ParticipantChanged)
        ]


@dataclass
class Log:
    """Stores what it is given, unless it is broken."""

    broken: bool = False
    outcome: Exception | None = None
    drafts: list[Draft] = field(default_factory=list)

    def append(self, author: Account, draft: Draft, *, origin: ConnectionId | None) -> Log:
        if self.broken:
            raise Unavailable("The log is full.")
        self.drafts.append(draft)
        return self

    def then(self, settle: Callable[[Message | Exception], None]) -> None:
        draft = self.drafts[-1]
        message = Message(draft.room, 1, 1, draft.kind, draft.client_id, AccountId("x"), "x", draft.content, 0)
        settle(self.outcome or message)


@dataclass
class Book:
    kept: dict[CallId, CallRecord] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)

    def recall(self) -> Sequence[CallRecord]:
        return list(self.kept.values())

    def keep(self, record: CallRecord) -> None:
        self.kept[record.id] = record

    def forget(self, call: CallId) -> None:
        self.kept.pop(call, None)

    def note(self, deed: Deed) -> None:
        self.deeds.append(deed)


class NoRelay:
    def servers(self, who: str, *, seconds: int | None = None) -> IceServers:
        return IceServers((), None)


class SignedIn:
    """Everybody but whose sign-in is named here."""

    def __init__(self, *over: str) -> None:
        self.over = over

    def lasts(self, ident: SignInId) -> bool:
        return ident not in self.over


class Scene:
    """One server's calls."""

    def __init__(self, book: Book | None = None, *engines: Engine, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.stage, self.log, self.book = Stage(), Log(), book or Book()
        self.engine = engines[0] if engines else Engine()
        self.tokens = Tokens("a key of at least thirty-two bytes!", self.clock)
        self.roster = Roster(
            self.clock,
            self.log,  # type: ignore[arg-type]  # as much as calls need
            self.stage,
            self.stage,  # type: ignore[arg-type]  # likewise
            self.book,
            engines or (self.engine,),
            {},
        )
        directory = Directory(None, Tries(self.clock), self.clock)  # type: ignore[arg-type]  # there is nothing to store
        self.entry = CallEntry(self.roster, self.tokens, NoRelay(), directory, self.clock)
        self.calls = Calls(self.roster, self.book, NoRelay(), directory)

    def seat(self, name: str, ticket: str = "", sign_in: str | None = None, connection: str = "") -> Seat:
        holder = Pass(account_named(name), Ticket(ticket or name), None if sign_in is None else SignInId(sign_in))
        allowance = Allowance(FREE, self.clock)
        return Seat(ConnectionId(connection or name), "192.0.2.1", holder, asking=allowance, signals=allowance)

    async def joins(self, name: str, room: str = LOBBY, *, video: bool = False, **options: Any) -> Seat:
        seat = self.seat(name, **options)
        await self.entry.join(seat, RoomId(room), Wish(video=video))
        return seat

    def names(self, room: str = LOBBY) -> list[str]:
        call = self.roster._calls.get(RoomId(room))
        return [] if call is None else [each.account.name for each in call.participants.values()]


async def test_a_call_is_there_as_long_as_somebody_is_in_it() -> None:
    scene = Scene()
    alice, bob = await scene.joins("alice"), await scene.joins("bob")
    scene.clock.advance(0)
    assert scene.names() == ["alice", "bob"]
    scene.roster.leave(alice)
    scene.roster.leave(bob)
    assert scene.names() == []
    assert scene.engine.asked == [
        *(("open", "lobby"), ("join", "alice"), ("open", "lobby"), ("join", "bob")),
        *(("leave", "alice"), ("leave", "bob"), ("end", "lobby")),
    ]
    assert [summary and summary.count for _, summary in scene.stage.rooms] == [2, None]
    assert not scene.book.kept, "nothing of it is left"
    ((kind, content),) = [(draft.kind, draft.content) for draft in scene.log.drafts]
    assert (kind, content) == (NOTICE, "alice began a call, and bob joined. It lasted less than a minute.")


async def test_an_engine_that_fails_leaves_no_call_behind() -> None:
    scene = Scene()
    scene.engine.fails_to_open = True
    with pytest.raises(Unavailable):
        await scene.joins("alice")
    assert scene.names() == []
    assert scene.engine.asked[-1] == ("end", "lobby")
    assert not scene.log.drafts
    scene.engine.fails_to_open = False
    await scene.joins("alice")


async def test_the_first_engine_that_is_well_carries_a_call_to_its_end() -> None:
    sfu, mesh = Engine("sfu", healthy=False), Engine("mesh")
    scene = Scene(None, sfu, mesh)
    await scene.joins("alice")
    sfu.healthy = True
    await scene.joins("bob")
    await scene.joins("carol", "garden")
    assert [what for what, _ in mesh.asked] == ["open", "join"] * 2
    assert [what for what, _ in sfu.asked] == ["open", "join"]
    sfu.healthy = mesh.healthy = False
    with pytest.raises(Unavailable):
        await scene.joins("dave", "attic")
    await scene.joins("dave", "garden")


async def test_what_happens_while_an_engine_makes_ready_counts() -> None:
    """A connection that is lost, a call that is locked, a place that is taken."""
    scene = Scene()
    await scene.joins("alice")
    bob = scene.seat("bob")
    scene.engine.meanwhile = lambda: scene.roster.lost(bob, silent=False)
    with pytest.raises(NotJoined):
        await scene.entry.join(bob, LOBBY, Wish())
    scene.engine.meanwhile = lambda: setattr(scene.roster._calls[LOBBY], "locked", True)
    with pytest.raises(Forbidden, match="locked"):
        await scene.joins("carol")
    assert scene.names() == ["alice"]
    assert [who for what, who in scene.engine.asked if what == "leave"] == ["bob", "carol"], "nothing is left there"


async def test_places_are_counted() -> None:
    scene = Scene()
    alice, bob = await scene.joins("alice", video=True), await scene.joins("bob")
    scene.calls.change(bob, Flags(audio=True))
    with pytest.raises(Full, match="2 people can be seen and heard"):
        await scene.joins("carol", video=True)
    carol = await scene.joins("carol")
    with pytest.raises(Full):
        scene.calls.change(carol, Flags(screen=True))
    with pytest.raises(Full):
        await scene.calls.handle(carol, None)  # type: ignore[arg-type]  # the engine asks for a place whatever it is
    with pytest.raises(Full, match="3 people"):
        await scene.joins("dave")
    scene.calls.change(alice, Flags(video=False))
    with pytest.raises(Full):
        scene.calls.change(carol, Flags(audio=True)), "whoever has a place keeps it"
    twin = await scene.joins("alice", video=True, connection="alice2")
    assert scene.names() == ["bob", "carol", "alice"], "the same ticket takes its own place"
    scene.roster.leave(twin)
    scene.calls.change(carol, Flags(audio=True))


async def test_grace_ends_and_does_not_end_who_came_back() -> None:
    scene = Scene()
    alice, bob = await scene.joins("alice"), await scene.joins("bob")
    key = (await scene.entry.join(bob, LOBBY, Wish())).resume
    scene.roster.lost(bob, silent=False)
    scene.roster.lost(bob, silent=False)
    scene.clock.advance(19)
    again = scene.seat("bob", connection="bob2")
    await scene.entry.resume(again, LOBBY, key, Flags())
    scene.clock.advance(60)
    assert scene.names() == ["alice", "bob"]
    assert scene.stage.changes("alice") == [
        ("joined", "bob", None),
        ("reconnecting", "bob", None),
        ("changed", "bob", None),
    ]
    scene.roster.lost(again, silent=True)
    scene.clock.advance(14.9)
    assert scene.names() == ["alice", "bob"]
    scene.clock.advance(0.2)
    assert scene.names() == ["alice"]
    assert scene.stage.changes("alice")[-1] == ("left", "bob", Reason.LOST)
    with pytest.raises(NotFound):
        await scene.entry.resume(scene.seat("bob"), LOBBY, key, Flags())
    scene.roster.leave(alice)


async def test_a_seat_has_one_place() -> None:
    scene = Scene()
    await scene.joins("alice")
    bob, other = await scene.joins("bob"), await scene.joins("bob", ticket="another", connection="bob2")
    key = (await scene.entry.join(other, LOBBY, Wish())).resume
    with pytest.raises(Conflict):
        await scene.entry.resume(bob, LOBBY, key, Flags())
    with pytest.raises(Conflict):
        await scene.entry.join(bob, RoomId("garden"), Wish())


async def test_who_is_put_out_stays_out_of_this_call_alone() -> None:
    scene = Scene()
    alice, bob = await scene.joins("alice"), await scene.joins("bob")
    scene.roster.put_out(account_named("bob").id, RoomId("garden"))
    assert scene.names() == ["alice", "bob"]
    scene.roster.put_out(account_named("bob").id)
    assert scene.names() == ["alice"]
    (ended,) = [event for event in scene.stage.told["bob"] if isinstance(event, CallEnded)]
    assert (ended.reason, ended.by) == (Reason.KICKED, None)
    with pytest.raises(Forbidden, match="removed"):
        await scene.joins("bob", ticket="another")
    assert bob.participant is None
    scene.roster.leave(alice)
    await scene.joins("bob")


async def test_a_person_is_removed_with_all_their_devices_and_may_remove_one_of_their_own() -> None:
    scene = Scene()
    alice, phone = await scene.joins("alice"), await scene.joins("alice", ticket="phone", connection="phone")
    assert phone.participant is not None
    await scene.calls.moderate(alice, phone.participant.id, Order.KICK, None)
    assert scene.names() == ["alice"]
    bob = await scene.joins("bob")
    await scene.joins("bob", ticket="phone of bob", connection="bob's phone")
    assert bob.participant is not None
    await scene.calls.moderate(alice, bob.participant.id, Order.KICK, None)
    assert scene.names() == ["alice"]
    await scene.joins("alice", ticket="phone", connection="phone")
    with pytest.raises(Forbidden):
        await scene.joins("bob", ticket="a third one")


async def test_whoever_comes_back_without_a_place_watches() -> None:
    scene = Scene()
    for name in ("alice", "bob"):
        await scene.joins(name, video=True)
    carol = await scene.joins("carol")
    key = (await scene.entry.join(carol, LOBBY, Wish())).resume
    scene.roster.lost(carol, silent=False)
    again = scene.seat("carol", connection="carol2")
    entered = await scene.entry.resume(again, LOBBY, key, Flags(audio=True, video=True))
    assert (entered.participant.audio, entered.participant.publishes, entered.participant.here) == (False, False, True)


async def test_a_call_that_is_only_beginning_is_not_seen_and_not_kept() -> None:
    scene = Scene()
    seen: list[Call | None] = []
    bob = scene.seat("bob")

    def look() -> None:
        seen.append(scene.entry.call_in(bob, LOBBY))
        scene.roster.stop()

    scene.engine.meanwhile = look
    await scene.joins("alice")
    assert seen == [None]
    assert not any(not record.people for record in scene.book.kept.values())


async def test_sign_ins_that_end_take_their_participants() -> None:
    scene = Scene()
    await scene.joins("alice")
    await scene.joins("bob", sign_in="one")
    await scene.joins("carol", "garden", sign_in="two")
    scene.roster.end_sign_ins([SignInId("one"), SignInId("three")])
    assert (scene.names(), scene.names("garden")) == (["alice"], ["carol"])


async def test_a_restart_finds_everybody_who_may_still_come_back() -> None:
    before = Scene()
    alice, bob = await before.joins("alice", video=True), await before.joins("bob", sign_in="over")
    await before.joins("carol")
    key = (await before.entry.join(alice, LOBBY, Wish())).resume
    before.calls.lock(alice, locked=True)
    before.roster.stop()
    before.roster.lost(bob, silent=False)
    before.clock.advance(3600)
    assert before.names() == ["alice", "bob", "carol"], "nobody is gone because the server goes"

    after = Scene(before.book, clock=before.clock)
    after.roster.start(SignedIn("over"))  # type: ignore[arg-type]  # as much as calls need
    assert after.names() == ["alice", "carol"]
    again = after.seat("alice")
    entered = await after.entry.resume(again, LOBBY, key, Flags(video=True))
    assert (entered.call.locked, entered.participant.may_moderate, entered.participant.publishes) == (True, True, True)
    assert [other.here for other in entered.others] == [False]
    after.clock.advance(20)
    assert after.names() == ["alice"]
    assert after.stage.changes("alice") == [("left", "carol", Reason.LOST)]


async def test_a_call_of_an_engine_that_is_gone_is_over() -> None:
    before = Scene(None, Engine("sfu"))
    await before.joins("alice")
    before.clock.advance(300)
    before.roster.stop()
    after = Scene(before.book, Engine("mesh"), clock=before.clock)
    after.roster.start(SignedIn())  # type: ignore[arg-type]
    assert after.names() == []
    assert [draft.content for draft in after.log.drafts] == [
        "alice began a call, and nobody joined. It lasted 5 minutes."
    ]
    assert not after.book.kept


async def test_a_notice_is_tried_again_until_it_is_stored() -> None:
    scene = Scene()
    scene.log.broken = True
    scene.roster.leave(await scene.joins("alice"))
    scene.clock.advance(10)
    assert len(scene.book.kept) == 1
    scene.log.broken, scene.log.outcome = False, Unavailable("The disk is full.")
    scene.clock.advance(10)
    scene.log.outcome = None
    scene.clock.advance(10)
    scene.clock.advance(100)
    assert [draft.client_id for draft in scene.log.drafts] == [scene.log.drafts[0].client_id] * 2, "once refused"
    assert not scene.book.kept


async def test_a_notice_that_was_not_stored_waits_for_the_next_start() -> None:
    before = Scene()
    before.log.broken = True
    before.roster.leave(await before.joins("alice"))
    before.roster.stop()
    before.clock.advance(100)
    after = Scene(before.book)
    after.roster.start(SignedIn())  # type: ignore[arg-type]
    assert len(after.log.drafts) == 1
    assert not after.book.kept


async def test_there_is_an_end_to_the_number_of_calls() -> None:
    scene = Scene()
    scene.roster._beginning = type("Anything", (), {"of": lambda *_: Allowance(FREE, scene.clock)})()
    for number in range(CALLS_AT_MOST):
        await scene.joins("alice", f"room-{number}", ticket=str(number))
    with pytest.raises(Full):
        await scene.joins("alice", "one-more")


def record(*others: str, unnamed: int = 0) -> CallRecord:
    alice = account_named("alice")
    names = [(account_named(name).id, name) for name in ("alice", *others)]
    return CallRecord("x", LOBBY, "mesh", alice, 0, 90_000, False, (), tuple(names), unnamed, ())  # type: ignore[arg-type]


def test_the_notice_is_a_sentence() -> None:
    many = [f"guest {number}" for number in range(12)]
    assert notice(record()) == "alice began a call, and nobody joined. It lasted 1 minute."
    assert notice(record("bob")) == "alice began a call, and bob joined. It lasted 1 minute."
    assert notice(record("bob", "carol")) == "alice began a call. bob and carol joined. It lasted 1 minute."
    assert "guest 9, guest 10 and guest 11 joined" not in notice(record(*many))
    assert "guest 9 and 2 others joined" in notice(record(*many))
    assert "guest 9 and guest 10 joined" in notice(record(*many[:11])), "one other is named"
    assert "guest 9 and 102 others joined" in notice(record(*many, unnamed=100))


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "less than a minute"),
        (60_000, "1 minute"),
        (59 * 60_000, "59 minutes"),
        (3_600_000, "1 hour"),
        (7_260_000, "2 hours and 1 minute"),
    ],
)
def test_a_duration_in_words(ms: int, words: str) -> None:
    assert duration(ms) == words
