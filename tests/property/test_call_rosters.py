"""Calls under anything that people and strangers do: every call is answered and foreseen, and all rosters agree."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.callers import BOTH, WATCHING, Caller, Party, description
from tests.helpers.clock import ManualClock
from tests.helpers.servers import serving

NAMES = ("alice", "bob", "carol")

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**60) | st.text(max_size=8) | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from(["alice", "bob", "carol", "nobody"])
DESCRIPTIONS = st.sampled_from(
    [BOTH, WATCHING, BOTH | {"type": "answer"}, description("video sendonly"), {"type": "offer"}]
)
ROOMS = st.sampled_from(["lobby", "lobby", "lobby", "garden", "No Room"])

CALLS = st.one_of(
    st.tuples(st.just("join"), st.fixed_dictionaries({"room": ROOMS, "media": st.just({"audio": True}) | JUNK})),
    st.tuples(st.just("resume"), st.fixed_dictionaries({"room": ROOMS})),
    st.tuples(st.just("signal"), st.fixed_dictionaries({"to": IDS, "description": DESCRIPTIONS})),
    st.tuples(st.just("signal"), st.fixed_dictionaries({"to": IDS, "candidate": st.none() | JUNK})),
    st.tuples(
        st.just("state"),
        st.fixed_dictionaries({}, optional={name: st.booleans() for name in ("audio", "video", "screen", "hand")}),
    ),
    st.tuples(
        st.just("moderate"),
        st.fixed_dictionaries({"participant": IDS, "action": st.sampled_from(["mute", "unpublish", "kick", "hug"])}),
    ),
    st.tuples(st.just("lock"), st.fixed_dictionaries({"locked": st.booleans() | JUNK})),
    st.tuples(st.sampled_from(["leave", "end", "ice"]), st.just({})),
    st.tuples(st.just("peek"), st.fixed_dictionaries({"room": ROOMS})),
    st.tuples(
        st.sampled_from(
            ["join", "leave", "state", "signal", "moderate", "lock", "peek", "ready", "publish", "quality"]
        ),
        JUNK,
    ),
)
COMING_BACK = st.sampled_from(
    [("resume", {"room": "lobby"}), ("join", {"room": "lobby"}), ("join", {"room": "lobby", "media": {"video": True}})]
)
STEPS = st.one_of(
    st.tuples(st.sampled_from(NAMES), CALLS),
    st.tuples(st.sampled_from(NAMES), CALLS),
    st.tuples(st.sampled_from(NAMES), COMING_BACK),
    st.tuples(st.sampled_from(NAMES), COMING_BACK),
    st.tuples(st.sampled_from(NAMES), st.just(("vanish", {}))),
    st.tuples(st.just("time"), st.sampled_from([0.5, 5.0, 16.0, 21.0])),
)
CODES = {
    *("bad-request", "too-long", "not-joined", "forbidden", "not-found", "conflict", "too-fast", "full", "unavailable"),
}


class Person:
    """Somebody who keeps a roster by what they are told, as a page does."""

    def __init__(self, people: Party, name: str, token: str) -> None:
        self.people, self.name, self.token = people, name, token
        self.caller: Caller | None = None
        self.id = self.resume = "none"
        self.roster: dict[str, str] = {}
        self.inside = False

    async def connected(self) -> Caller:
        if self.caller is None:
            self.caller = await self.people.connect(token=self.token)
            self.inside = False
        return self.caller

    async def does(self, event: str, payload: Any, ids: dict[str, str]) -> None:
        caller = await self.connected()
        if isinstance(payload, dict):
            payload = {
                key: ids.get(value, value) if key in ("to", "participant") and isinstance(value, str) else value
                for key, value in payload.items()
            }
        if event == "resume":
            event, payload = "join", payload | {"resume": self.resume}
        accepted, answer = await caller.call(event, payload)
        assert accepted or answer["code"] in CODES, (event, payload, answer)
        self.hear()
        if accepted and event == "join":
            self.inside = True
            self.id, self.resume = answer["participant"]["id"], answer["resume"]
            self.roster = {each["id"]: each["state"] for each in answer["participants"]}
        elif accepted and event in ("leave", "end"):
            self.inside = False

    def hear(self) -> None:
        """Take in what was told until now; an answer follows all that was told before it."""
        assert self.caller is not None
        heard = self.caller._heard
        for event in ("ended", "superseded"):
            while not heard[event].empty():
                heard[event].get_nowait()
                self.inside = False
        while not heard["participant"].empty():
            told = heard["participant"].get_nowait()
            ident = told["participant"]["id"]
            if told["change"] == "left":
                self.roster.pop(ident, None)
            else:
                self.roster[ident] = told["participant"]["state"]

    async def vanishes(self) -> None:
        if self.caller is not None:
            caller, self.caller = self.caller, None
            await caller.vanish()


async def live(steps: list[Any]) -> None:
    clock = ManualClock()
    crashes: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info or record.name == "asyncio":
                crashes.append(record.getMessage())

    lines = Lines()
    logging.getLogger().addHandler(lines)
    try:
        with tempfile.TemporaryDirectory() as folder:
            settings_: dict[str, Any] = {"call_people": 3, "call_publishers": 2, "call_rate": 0.0}
            async with serving(Path(folder) / "data", clock=clock, **settings_) as server, AsyncExitStack() as stack:
                party = Party(server, stack)
                people = {name: Person(party, name, await party.token(name)) for name in NAMES}
                seats = server.house.seats
                for person in people.values():
                    await person.does("join", {"room": "lobby"}, {})
                for who, what in steps:
                    if who == "time":
                        clock.advance(what)
                        continue
                    event, payload = what
                    ids = {name: person.id for name, person in people.items()}
                    if event == "vanish":
                        here = sum(person.caller is not None for person in people.values())
                        gone = people[who].caller is not None
                        await people[who].vanishes()
                        async with asyncio.timeout(10):
                            while len(seats.all()) > here - gone:
                                await asyncio.sleep(0)
                    else:
                        await people[who].does(event, payload, ids)
                for person in people.values():
                    if person.caller is None:
                        continue
                    await person.caller.fails("no such event")
                    person.hear()
                    mine = seats_of(server, person.id)
                    if person.inside:
                        assert mine is not None
                        call, _ = mine
                        real = {
                            ident: "here" if each.here else "reconnecting"
                            for ident, each in call.participants.items()
                            if ident != person.id
                        }
                        assert person.roster == real
                calls = server.house.call_roster._calls
                for call in calls.values():
                    assert 0 < len(call.participants) <= 3
                    assert call.publishers <= 2
                    assert len({each.ticket for each in call.participants.values()}) == len(call.participants)
                    for each in call.participants.values():
                        assert (each.seat is None) == (each.timer is not None)
                        assert each.seat is None or each.seat.participant is each
                clock.advance(60)
                for person in people.values():
                    if person.caller is not None:
                        await person.caller.does("leave")
                clock.advance(60)
                assert not calls
                (mesh,) = server.house.engines
                assert not mesh._candidates  # type: ignore[attr-defined]  # of this engine
    finally:
        logging.getLogger().removeHandler(lines)
    assert not crashes, crashes


def seats_of(server: Any, ident: str) -> Any:
    """The call that a participant is in, and the participant."""
    for call in server.house.call_roster._calls.values():
        if ident in call.participants:
            return call, call.participants[ident]
    return None


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(STEPS, min_size=8, max_size=40))
def test_every_roster_is_the_servers(steps: list[Any]) -> None:
    asyncio.run(live(steps))
