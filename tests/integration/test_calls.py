"""Calls at their door: real connections, no media; on both engines, but for what is a mesh's own."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from chatzilla import wire_calls
from chatzilla.core.call import Reason
from chatzilla.core.call_entry import CallEntry
from chatzilla.core.people import app_named
from chatzilla.core.policy import Role
from chatzilla.core.rights import CallRole
from chatzilla.core.rooms import RoomId
from chatzilla.core.tokens import LIFETIME_SECONDS
from tests.helpers.call_engines import ENGINES, engine
from tests.helpers.callers import BOTH, WATCHING, Caller, Party, description, party
from tests.helpers.clients import PATIENCE_SECONDS, Client
from tests.helpers.clock import ManualClock
from tests.helpers.people import town
from tests.helpers.servers import Process, Server, serving
from tests.helpers.sockets import RawSocket, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Settings = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ENGINES)
async def carrier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """The settings of a server whose calls go by one engine."""
    async with engine(request.param, tmp_path_factory.mktemp("carrier")) as settings:
        yield settings


in_a_mesh = pytest.mark.parametrize("carrier", ENGINES[:1], indirect=True)
"""For what passes between browsers there, and what keeps it in bounds; what Janus gets is in `test_janus`."""


@pytest.fixture
async def people(tmp_path: Path, carrier: Settings) -> AsyncIterator[Party]:
    async with serving(tmp_path / "data", **carrier) as server, party(server) as gathered:
        yield gathered


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed(tmp_path: Path, clock: ManualClock, carrier: Settings) -> AsyncIterator[Party]:
    """People on a server whose time the test moves."""
    async with serving(tmp_path / "data", clock=clock, **carrier) as server, party(server) as gathered:
        yield gathered


class TestEntering:
    async def test_whoever_enters_is_told_who_is_there_and_the_others_of_them(self, people: Party) -> None:
        alice = await people.enters("alice")
        assert alice.answer["participants"] == []
        bob = await people.enters("bob", video=False)
        assert bob.answer["participants"] == [alice.answer["participant"]]
        joined = await alice.hears_of("joined")
        assert joined == bob.answer["participant"] | {"reason": None}
        assert (joined["name"], joined["verified"], joined["audio"], joined["video"]) == ("bob", False, True, False)
        assert (joined["state"], joined["hand"], joined["screen"]) == ("here", False, False)
        assert bob.answer["call"] == alice.answer["call"]

    @in_a_mesh
    async def test_the_answer_has_what_a_page_needs(self, people: Party) -> None:
        alice = await people.enters("alice")
        assert alice.answer.keys() == {
            *("participant", "participants", "call", "engine", "ice", "limits", "grants", "resume")
        }
        assert alice.answer["engine"] == "mesh"
        assert alice.answer["ice"] == {"servers": [], "ends_at": None}
        assert alice.answer["grants"] == {"publish": True, "screen": True, "moderate": True}
        assert (alice.answer["limits"]["people"], alice.answer["limits"]["publishers"]) == (8, 6)
        ladder = alice.answer["limits"]["video"]
        assert [each["people"] for each in ladder] == sorted(each["people"] for each in ladder)
        assert ladder[-1]["people"] >= alice.answer["limits"]["people"], "there is a picture for every number of people"

    async def test_joining_again_changes_nothing(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        await alice.hears_of("joined")
        again = await bob.does("join", {"room": "lobby"})
        assert (again["participant"], again["call"]) == (bob.answer["participant"], bob.answer["call"])
        await alice.hears_nothing("participant")
        assert await bob.fails("join", {"room": "garden"}) == "conflict"

    async def test_each_room_has_a_call_of_its_own(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob", "Garden")
        assert bob.answer["participants"] == []
        assert alice.answer["call"]["id"] != bob.answer["call"]["id"]
        await alice.hears_nothing("participant")
        assert await alice.fails("moderate", {"participant": bob.id, "action": "kick"}) == "not-found"

    async def test_whoever_leaves_is_gone_at_once(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        await alice.hears_of("joined")
        assert await bob.does("leave") == {}
        left = await alice.hears_of("left")
        assert (left["id"], left["reason"]) == (bob.id, "left")
        assert await bob.does("leave") == {}, "leaving twice is harmless"
        assert await bob.fails("signal", {"to": alice.id, "description": BOTH}) == "not-joined"
        assert await bob.fails("join", {"room": "lobby", "resume": bob.resume}) == "not-found"
        await bob.joins()
        assert (await alice.hears_of("joined"))["id"] == bob.id

    @in_a_mesh
    async def test_what_nobody_foresaw_is_answered_with_where_to_find_it_and_nothing_else(
        self, people: Party, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails(*_: object) -> None:
            raise RuntimeError("something private")

        bob = await people.connect("bob")
        monkeypatch.setattr(CallEntry, "call_in", fails)
        assert await bob.fails("peek", {"room": "lobby"}) == "internal"
        assert [record.getMessage()[:24] for record in caplog.records if record.exc_info] == [
            "an event of /calls faile"
        ]
        monkeypatch.undo()
        assert await bob.does("peek", {"room": "lobby"}) == {"call": None}

    async def test_one_can_look_before_one_enters(self, people: Party) -> None:
        bob = await people.connect("bob")
        assert await bob.does("peek", {"room": "lobby"}) == {"call": None}
        alice = await people.enters("alice", video=False)
        call = (await bob.does("peek", {"room": "lobby"}))["call"]
        assert call == alice.answer["call"] | {
            "people": [{"id": alice.answer["participant"]["account"], "name": "alice", "state": "here"}],
            "publishers": 1,
            "limits": {name: alice.answer["limits"][name] for name in ("people", "publishers")},
        }

    async def test_state_is_told_to_the_others_when_it_changes(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        told = await bob.does("state", {"hand": True, "audio": False})
        assert (told["hand"], told["audio"], told["video"]) == (True, False, True)
        await alice.hears_of("joined")
        assert await alice.hears_of("changed") == told | {"reason": None}
        await bob.does("state", {"hand": True})
        await alice.hears_nothing("participant")


@in_a_mesh
class TestSignals:
    async def test_a_signal_reaches_the_one_it_is_for(self, people: Party) -> None:
        alice, bob, carol = [await people.enters(name) for name in ("alice", "bob", "carol")]
        tracks = [{"mid": "0", "source": "microphone"}, {"mid": "1", "source": "camera"}]
        await carol.signals(alice, tracks=tracks)
        assert await alice.hears("signal") == {"from": carol.id, "description": BOTH, "tracks": tracks}
        candidate = {"candidate": "candidate:1 1 udp 2 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
        await carol.does("signal", {"to": alice.id, "candidate": candidate})
        assert await alice.hears("signal") == {"from": carol.id, "candidate": candidate | {"usernameFragment": None}}
        await carol.does("signal", {"to": alice.id, "candidate": None})
        assert await alice.hears("signal") == {"from": carol.id, "candidate": None}
        await bob.hears_nothing("signal")

    async def test_signals_arrive_in_the_order_in_which_they_were_sent(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        candidates = [{"candidate": f"candidate:{number} 1 udp 2 192.0.2.1 9 typ host"} for number in range(30)]
        await asyncio.gather(*(bob.call("signal", {"to": alice.id, "candidate": each}) for each in candidates))
        heard = [await alice.hears("signal") for _ in candidates]
        assert [each["candidate"]["candidate"] for each in heard] == [each["candidate"] for each in candidates]

    @pytest.mark.parametrize(
        "signal",
        [
            {"description": {"type": "rollback", "sdp": ""}},
            {"description": {"type": "offer", "sdp": 7}},
            {"description": {"type": "offer", "sdp": "hello"}},
            {"description": BOTH, "candidate": None},
            {},
            {"candidate": "candidate:1"},
            {"candidate": {"candidate": "x" * 2000}},
            {"candidate": {"candidate": "a\nb"}},
            {"candidate": {"candidate": "a", "sdpMLineIndex": True}},
            {"description": BOTH, "tracks": [{"mid": "7", "source": "camera"}]},
            {"description": BOTH, "tracks": [{"mid": "0", "source": "camera"}]},
            {"description": BOTH, "tracks": [{"mid": "0", "source": "telepathy"}]},
            {"description": BOTH, "tracks": {"0": "camera"}},
            {"description": BOTH, "to": ["nobody"]},
        ],
    )
    async def test_what_makes_no_sense_is_refused(self, people: Party, signal: dict[str, Any]) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        assert await bob.fails("signal", {"to": alice.id} | signal) == "bad-request"
        await alice.hears_nothing("signal")

    async def test_an_unknown_participant_is_not_found(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob", "garden")
        for to in ("nobody", alice.id, bob.id, "x" * 1000):
            assert await alice.fails("signal", {"to": to, "description": BOTH}) == "not-found"

    async def test_whoever_is_away_gets_none_until_they_are_back(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        await alice.hears_of("joined")
        await bob.vanish()
        await alice.hears_of("reconnecting")
        assert await alice.fails("signal", {"to": bob.id, "description": BOTH}) == "unavailable"
        back = await people.connect(resume=bob.resume, token="over")
        await back.joins(resume=bob.resume)
        await alice.signals(back)
        assert (await back.hears("signal"))["from"] == alice.id

    async def test_too_long_a_description_is_refused(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        long = BOTH["sdp"] + "a=x-padding:" + "x" * 66_000 + "\r\n"
        assert await bob.fails("signal", {"to": alice.id, "description": {"type": "offer", "sdp": long}}) == "too-long"

    async def test_a_negotiation_has_only_so_many_candidates(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        candidate = {"to": alice.id, "candidate": {"candidate": "candidate:1 1 udp 2 192.0.2.1 9 typ host"}}
        for _ in range(50):
            await bob.does("signal", candidate)
        assert await bob.fails("signal", candidate) == "too-fast"
        await bob.signals(alice)
        await bob.does("signal", candidate)

    async def test_signals_have_a_rate(self, timed: Party, clock: ManualClock) -> None:
        alice, bob = await timed.enters("alice"), await timed.enters("bob")
        last = {"to": alice.id, "candidate": None}
        for _ in range(8):
            await asyncio.gather(*(bob.does("signal", last) for _ in range(50)))
        assert await bob.fails("signal", last) == "too-fast"
        clock.advance(1)
        for _ in range(20):
            await bob.does("signal", last)
        assert await bob.fails("signal", last) == "too-fast"


class TestLosingAConnection:
    async def test_a_lost_connection_is_seen_at_once_and_can_come_back(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        await alice.hears_of("joined")
        await bob.does("state", {"hand": True})
        await alice.hears_of("changed")
        await bob.vanish()
        lost = await alice.hears_of("reconnecting")
        assert (lost["id"], lost["state"]) == (bob.id, "reconnecting")
        back = await people.connect(resume=bob.resume, token="over")
        answer = await back.joins(resume=bob.resume)
        assert answer["participant"]["id"] == bob.id, "the same participant"
        assert answer["participant"]["hand"], "what they showed is kept"
        assert [each["id"] for each in answer["participants"]] == [alice.id]
        changed = await alice.hears_of("changed")
        assert (changed["id"], changed["state"]) == (bob.id, "here")

    async def test_whoever_does_not_come_back_is_gone(self, timed: Party, clock: ManualClock) -> None:
        alice, bob = await timed.enters("alice"), await timed.enters("bob")
        await alice.hears_of("joined")
        await bob.vanish()
        await alice.hears_of("reconnecting")
        clock.advance(19.9)
        await alice.hears_nothing("participant")
        clock.advance(0.2)
        gone = await alice.hears_of("left")
        assert (gone["id"], gone["reason"]) == (bob.id, "lost")
        back = await timed.connect("bob")
        assert await back.fails("join", {"room": "lobby", "resume": bob.resume}) == "not-found"

    async def test_a_silent_connection_had_its_time(self, timed: Party, clock: ManualClock) -> None:
        """Two heartbeats of ten seconds, and fifteen: 35 s after a silent death nobody waits any more."""
        alice, bob = await timed.enters("alice"), await timed.enters("bob")
        await alice.hears_of("joined")
        (channel,) = [
            visitor.channel
            for visitor in timed.server.house.seats.all()
            if visitor.session.participant is not None and visitor.session.participant.id == bob.id
        ]
        channel._ping()
        channel._expect_pong()  # the time for an answer is over at once
        assert (await alice.hears_of("reconnecting"))["id"] == bob.id
        clock.advance(14.9)
        await alice.hears_nothing("participant")
        clock.advance(0.2)
        assert (await alice.hears_of("left"))["reason"] == "lost"

    async def test_a_forged_key_brings_nobody_back(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        mallory = await people.connect("mallory")
        head, body, signature = bob.resume.split(".")
        for forged in ("", "nonsense", f"{head}.{body}.{signature[::-1]}", alice.answer["participant"]["id"]):
            assert await mallory.fails("join", {"room": "lobby", "resume": forged}) == "not-found"
        assert await mallory.fails("join", {"room": "lobby", "resume": bob.resume}) == "forbidden", "bound to a person"
        assert await mallory.fails("join", {"room": "garden", "resume": bob.resume}) == "not-found", "and to a room"
        you = await people.token("bob")
        assert await mallory.fails("join", {"room": "lobby", "resume": you}) == "not-found", "a token is no key"
        assert await Caller(people.server.url).refused(token=bob.resume) == "sign-in", "and a key is no token"
        assert await mallory.fails("join", {"room": "lobby", "resume": 7}) == "bad-request"

    async def test_a_key_ends(self, timed: Party, clock: ManualClock) -> None:
        alice = await timed.enters("alice")
        clock.advance(LIFETIME_SECONDS + 1)
        assert await Caller(timed.server.url).refused(resume=alice.resume) == "sign-in"

    async def test_the_key_of_a_place_lets_in_when_the_token_is_over(self, timed: Party, clock: ManualClock) -> None:
        alice = await timed.enters("alice")
        clock.advance(LIFETIME_SECONDS - 60)
        fresh = (await alice.does("join", {"room": "lobby"}))["resume"]
        clock.advance(120)
        await alice.vanish()
        back = await timed.connect(resume=fresh)
        assert (await back.joins(resume=fresh))["participant"]["id"] == alice.id
        assert await back.fails("peek", {"room": "garden"}) == "forbidden", "it opens one call and nothing else"

    async def test_a_second_connection_takes_over(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        twin = await people.connect(resume=bob.resume)
        await twin.joins(resume=bob.resume)
        assert await bob.hears("superseded") == {}
        assert await bob.fails("signal", {"to": alice.id, "description": BOTH}) == "not-joined"
        await bob.close()
        await alice.hears_of("joined")
        await alice.hears_of("changed")
        await alice.hears_nothing("participant")

    async def test_the_same_token_twice_the_newer_wins(self, people: Party) -> None:
        token = await people.token("bob")
        alice, bob = await people.enters("alice"), await people.connect(token=token)
        await bob.joins()
        twin = await people.connect(token=token)
        await twin.joins()
        assert await bob.hears("superseded") == {}
        await alice.hears_of("joined")
        gone = await alice.hears_of("left")
        assert (gone["id"], gone["reason"]) == (bob.id, "superseded")
        assert (await alice.hears_of("joined"))["id"] == twin.id
        assert await bob.fails("join", {"room": "lobby", "resume": bob.resume}) == "not-found"


class TestModerating:
    async def test_whoever_begins_a_call_moderates_it(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        assert (alice.answer["participant"]["role"], bob.answer["participant"]["role"]) == ("moderator", "publisher")
        for event, payload in (
            ("moderate", {"participant": alice.id, "action": "kick"}),
            ("lock", {"locked": True}),
            ("end", {}),
        ):
            assert await bob.fails(event, payload) == "forbidden"
        await alice.hears_of("joined")
        await alice.hears_nothing()

    async def test_a_typed_name_proves_nothing(self, people: Party) -> None:
        await people.enters("alice")
        impostor = await people.enters("alice")
        assert impostor.answer["participant"]["role"] == "publisher"

    async def test_mute_and_unpublish_are_told_to_everybody(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        await alice.hears_of("joined")
        await bob.does("state", {"screen": True})
        await alice.hears_of("changed")
        by = {"id": alice.answer["participant"]["account"], "name": "alice"}
        for order, source, flag in (
            ("mute", None, "audio"),
            ("unpublish", "screen", "screen"),
            ("unpublish", None, "video"),
        ):
            asked = {"participant": bob.id, "action": order} | ({} if source is None else {"source": source})
            await alice.does("moderate", asked)
            told = await bob.hears("moderated")
            assert (told["action"], told["by"]) == (order, by)
            assert told.get("source") == (source or ("microphone" if order == "mute" else None))
            assert (await bob.does("state", {}))[flag] is False
        assert (await bob.does("state", {"audio": True}))["audio"], "they may speak again"
        assert await alice.fails("moderate", {"participant": alice.id, "action": "mute"}) == "bad-request"
        assert await alice.fails("moderate", {"participant": bob.id, "action": "banish"}) == "bad-request"

    async def test_kicked_means_out(self, people: Party) -> None:
        alice = await people.enters("alice")
        token = await people.token("bob")
        bob = await people.connect(token=token)
        await bob.joins()
        await alice.hears_of("joined")
        await alice.does("moderate", {"participant": bob.id, "action": "kick"})
        ended = await bob.hears("ended")
        assert (ended["reason"], ended["by"]["name"]) == ("kicked", "alice")
        assert (await alice.hears_of("left"))["reason"] == "kicked"
        assert await bob.fails("signal", {"to": alice.id, "description": BOTH}) == "not-joined"
        assert await bob.fails("join", {"room": "lobby", "resume": bob.resume}) == "not-found"
        assert await bob.fails("join", {"room": "lobby"}) == "forbidden"
        again = await people.connect("bob")
        assert await again.fails("join", {"room": "lobby"}) == "forbidden", "another token is the same person"
        assert await Caller(people.server.url).refused(resume=bob.resume) == "sign-in"

    async def test_a_locked_call_lets_nobody_in_but_those_who_come_back(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        await alice.does("lock", {"locked": True})
        assert (await bob.hears("call"))["locked"]
        carol = await people.connect("carol")
        assert await carol.fails("join", {"room": "lobby"}) == "forbidden"
        assert (await carol.does("peek", {"room": "lobby"}))["call"]["locked"]
        await bob.vanish()
        back = await people.connect(resume=bob.resume)
        await back.joins(resume=bob.resume)
        await alice.does("lock", {"locked": False})
        await carol.joins()
        assert await alice.fails("lock", {"locked": "yes"}) == "bad-request"
        assert await alice.fails("lock", {}) == "bad-request"

    async def test_ending_ends_it_for_everybody(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        await alice.does("end")
        for each in (alice, bob):
            told = await each.hears("ended")
            assert (told["reason"], told["by"]["name"]) == ("ended", "alice")
            assert await each.fails("state", {"hand": True}) == "not-joined"
        assert await bob.does("peek", {"room": "lobby"}) == {"call": None}
        assert await bob.fails("join", {"room": "lobby", "resume": bob.resume}) == "not-found"

    async def test_admins_moderate_and_are_not_moderated_by_those_below(self, tmp_path: Path) -> None:
        async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place, party(server) as all_:
            member, admin, owner = [
                await all_.connect(token=(await place.enters(role.value, role)).token)
                for role in (Role.MEMBER, Role.ADMIN, Role.OWNER)
            ]
            for each in (member, admin, owner):
                await each.joins()
            assert [each.answer["participant"]["role"] for each in (member, admin, owner)] == ["moderator"] * 3
            kick = {"participant": admin.id, "action": "kick"}
            assert await member.fails("moderate", kick) == "forbidden"
            await owner.does("moderate", kick)
            assert (await admin.hears("ended"))["reason"] == "kicked"


SPEAKING = BOTH | {"sdp": BOTH["sdp"].replace("a=mid:0\r\n", "a=mid:0\r\na=rtpmap:111 opus/48000/2\r\n")}


class TestLimits:
    async def test_a_call_takes_so_many_people(self, tmp_path: Path) -> None:
        async with serving(tmp_path / "data", call_people=3, call_publishers=2) as server, party(server) as people:
            await people.enters("alice", video=False)
            bob, carol = await people.enters("bob"), await people.connect("carol")
            assert await carol.fails("join", {"room": "lobby", "media": {"video": True}}) == "full"
            await carol.joins(audio=False, video=False)
            assert await carol.fails("state", {"audio": True}) == "full"
            assert await carol.fails("signal", {"to": bob.id, "description": BOTH}) == "full"
            await carol.signals(bob, WATCHING)
            dave = await people.connect("dave")
            assert await dave.fails("join", {"room": "lobby"}) == "full"
            await bob.does("leave")
            assert (await carol.does("state", {"audio": True}))["audio"]
            await dave.joins(audio=False, video=False)

    async def test_a_room_has_limits_of_its_own(self, tmp_path: Path) -> None:
        """Never more than a mesh carries; what is sent in answer to a description is bounded by its lines."""
        words = "lobby people=2 audio=24 video=100, all-hands people=200 publishers=50"
        async with serving(tmp_path / "data", call_limits=words) as server, party(server) as people:
            alice, bob = await people.enters("alice"), await people.enters("bob")
            assert await (await people.connect("carol")).fails("join", {"room": "lobby"}) == "full"
            assert {picture["bitrate"] for picture in bob.answer["limits"]["video"]} == {100_000}
            await alice.signals(bob, SPEAKING)
            said = (await bob.hears("signal"))["description"]["sdp"]
            assert re.findall(r"(?:b=|a=fmtp).*\r\n", said) == [
                "a=fmtp:111 maxaveragebitrate=24000\r\n",
                "b=TIAS:200000\r\n",
            ]
            dave, eve = await people.enters("dave", "all-hands"), await people.enters("eve", "garden")
            assert [(one.answer["limits"]["people"], one.answer["limits"]["publishers"]) for one in (dave, eve)] == [
                (12, 12),
                (8, 6),
            ]
            frank = await people.enters("frank", "garden")
            await eve.signals(frank)
            assert (await frank.hears("signal"))["description"] == BOTH, "as it was sent"

    async def test_calls_begin_at_a_rate(self, timed: Party, clock: ManualClock) -> None:
        alice = await timed.connect("alice")
        for number in range(20):
            await alice.joins(f"room-{number}")
            await alice.does("leave")
        assert await alice.fails("join", {"room": "one-more"}) == "too-fast"
        clock.advance(5)
        await alice.joins("one-more")

    @in_a_mesh
    async def test_nobody_sends_more_than_a_person_does(self, people: Party) -> None:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        three = description("video sendonly", "video sendonly", "video sendrecv")
        assert await bob.fails("signal", {"to": alice.id, "description": three}) == "forbidden"
        channel = {
            "type": "offer",
            "sdp": BOTH["sdp"] + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n",
        }
        assert await bob.fails("signal", {"to": alice.id, "description": channel}) == "bad-request"
        await alice.hears_nothing("signal")

    async def test_calls_can_be_switched_off(self, tmp_path: Path) -> None:
        async with serving(tmp_path / "data", calls="off") as server, party(server) as people:
            alice = await people.connect("alice")
            assert await alice.fails("join", {"room": "lobby"}) == "unavailable"
            assert await alice.fails("ice") == "unavailable"
            assert await alice.does("peek", {"room": "lobby"}) == {"call": None}


class TestWhoComesIn:
    async def test_a_call_needs_somebody(self, server: Server) -> None:
        for auth in ({}, {"token": None}, {"token": "nonsense"}, {"token": 7}, {"resume": "nonsense"}):
            assert await Caller(server.url).refused(**auth) == "sign-in"

    async def test_a_token_that_is_over_is_refused(self, timed: Party, clock: ManualClock) -> None:
        token = await timed.token("alice")
        clock.advance(LIFETIME_SECONDS + 1)
        assert await Caller(timed.server.url).refused(token=token) == "sign-in"

    async def test_a_closed_server_knows_no_typed_names(self, tmp_path: Path) -> None:
        async with serving(tmp_path / "data") as server, party(server) as people:
            token = await people.token("alice")
        async with serving(tmp_path / "data", sign_in="links") as server:
            assert await Caller(server.url).refused(token=token) == "sign-in"
            assert await Caller(server.url).refused() == "sign-in"

    async def test_a_guest_enters_the_call_of_one_room(self, tmp_path: Path) -> None:
        async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place, party(server) as all_:
            guest = await all_.connect(token=(await place.enters("guest", Role.GUEST, "garden")).token)
            assert await guest.fails("join", {"room": "attic"}) == "forbidden"
            assert await guest.fails("peek", {"room": "attic"}) == "forbidden"
            await guest.joins("garden")

    async def test_a_right_opens_one_call_in_one_role(self, timed: Party, clock: ManualClock) -> None:
        rights = timed.server.house.sign_ins.rights
        assert rights is not None
        garden = RoomId("garden")
        alice, bob, carol = [
            rights.make(app_named(name, garden), garden, role).token
            for name, role in (
                ("alice", CallRole.MODERATOR),
                ("bob", CallRole.PUBLISHER),
                ("carol", CallRole.SUBSCRIBER),
            )
        ]
        first, second, third = [await timed.connect(token=token) for token in (bob, carol, alice)]
        assert await first.fails("join", {"room": "attic"}) == "forbidden"
        await first.joins("garden")
        assert first.answer["grants"] == {"publish": True, "screen": True, "moderate": False}, "as it says, if first"
        assert first.answer["participant"]["verified"] is False
        await second.joins("garden")
        assert second.answer["grants"] == {"publish": False, "screen": False, "moderate": False}
        assert (second.answer["participant"]["audio"], second.answer["participant"]["role"]) == (False, "subscriber")
        await first.hears_of("joined")
        for offer in (BOTH, description("audio recvonly", "video sendonly"), description("audio x-none")):
            assert await second.refused_to_send(first, offer) == "forbidden"
        assert await second.fails("state", {"screen": True}) == "forbidden"
        await first.hears_nothing("signal", "participant")
        await third.joins("garden")
        await third.does("moderate", {"participant": first.id, "action": "kick"})
        assert (await first.hears("ended"))["reason"] == "kicked"
        clock.advance(24 * 3600)
        assert await Caller(timed.server.url).refused(token=bob) == "sign-in"
        assert (await third.does("state", {"hand": True}))["hand"], "whoever is in may stay"
        twin = await timed.connect(resume=third.resume)
        assert (await twin.joins("garden", resume=third.resume))["grants"]["moderate"], "and come back"

    async def test_a_sign_in_that_ends_takes_its_call_with_it(self, tmp_path: Path) -> None:
        async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place, party(server) as all_:
            alice, bob = await place.enters("alice"), await place.enters("bob")
            first, second = await all_.connect(token=alice.token), await all_.connect(token=bob.token)
            await first.joins()
            await second.joins()
            await first.hears_of("joined")
            await bob.ask("POST", "sign-out", {})
            assert (await first.hears_of("left"))["reason"] == "kicked"
            assert (await second.hears("goodbye"))["code"] == "sign-in"
            await asyncio.wait_for(second.gone.wait(), 10)
            assert await Caller(server.url).refused(token=bob.token, resume=second.resume) == "sign-in"


class TestBesideChat:
    """Two namespaces on one connection, packet by packet."""

    async def open(self, people: Party, *connects: str) -> RawSocket:
        """A connection that has entered these namespaces, each with what its CONNECT carries."""
        port = int(people.server.url.rpartition(":")[2])
        raw = await RawSocket.open(port, "/socket.io/?EIO=4&transport=websocket")
        assert (await raw.text()).startswith("0{")
        for connect in connects:
            await raw.say(f"40{connect}")
            assert (await raw.text()).startswith(f"40{connect.partition(',')[0]},{{")
        return raw

    async def answer(self, raw: RawSocket) -> str:
        """The next packet that is no event."""
        while (packet := await raw.text()).startswith("42"):
            pass
        return packet

    @pytest.mark.parametrize("before", ["", '42/calls,2["ice",{}]'], ids=["at once", "after something that takes time"])
    @pytest.mark.parametrize(
        "end", [frame("41/calls,"), frame("41"), frame("1"), b""], ids=["41/calls", "41", "1", "cut"]
    )
    async def test_who_leaves_and_goes_in_one_breath_has_left(self, people: Party, before: str, end: bytes) -> None:
        token = await people.token("bob")
        alice = await people.enters("alice")
        raw = await self.open(people, f'/calls,{{"token":"{token}"}}')
        await raw.say('42/calls,1["join",{"room":"lobby"}]')
        assert (await self.answer(raw)).startswith("43/calls,1[true,")
        await alice.hears_of("joined")
        await raw.send((frame(before) if before else b"") + frame('42/calls,3["leave",{}]') + end)
        await raw.hang_up()
        change = await alice.hears_of("left")
        assert (change["name"], change["reason"]) == ("bob", "left")

    async def test_one_connection_chats_and_calls(self, people: Party) -> None:
        token = await people.token("bob")
        alice = await people.enters("alice")
        raw = await self.open(people, '/chat,{"dialect":"full"}', f'/calls,{{"token":"{token}"}}')
        assert len(people.server.house.server.eio.sockets) == 2
        await raw.say('42/chat,1["join",{"name":"bob","room":"garden"}]')
        assert (await self.answer(raw)).startswith("43/chat,1[true,")
        await raw.say('42/calls,1["join",{"room":"lobby"}]')
        assert (await self.answer(raw)).startswith("43/calls,1[true,")
        await alice.hears_of("joined")
        await raw.say("41/calls,")
        assert (await alice.hears_of("reconnecting"))["name"] == "bob"
        await raw.say('42/chat,2["typing",{"room":"garden"}]')
        assert await self.answer(raw) == "43/chat,2[true,{}]", "leaving one namespace leaves the other alone"
        await raw.say(f'40/calls,{{"token":"{token}"}}')
        assert (await self.answer(raw)).startswith("40/calls,{"), "and one may come back"
        await raw.hang_up()

    async def test_a_refusal_at_calls_leaves_chat_alone(self, people: Party) -> None:
        raw = await self.open(people, "/chat,")
        await raw.say('40/calls,{"token":"nonsense"}')
        refusal = await raw.text()
        assert refusal.startswith("44/calls,{")
        assert json.loads(refusal.partition(",")[2])["data"]["code"] == "sign-in"
        await raw.say('42/chat,1["join","bob"]')
        assert await raw.text() == '43/chat,1[true,"bob"]'
        await raw.say('42/calls,1["join",{"room":"lobby"}]')
        assert await raw.closed_with() == 1002, "whoever was not let in says nothing there"

    async def test_whoever_is_in_neither_is_let_go(self, tmp_path: Path) -> None:
        async with serving(tmp_path / "data", join_seconds=0.3) as server, party(server) as people:
            refused = await self.open(people)
            await refused.say("40/calls,{}")
            assert (await refused.text()).startswith("44/calls,")
            staying = await people.enters("alice")
            await refused.closed_with()
            left = await self.open(people, f'/calls,{{"token":"{await people.token("bob")}"}}')
            await left.say("41/calls,")
            await left.closed_with()
            assert (await staying.does("state", {}))["name"] == "alice"

    @in_a_mesh
    async def test_nothing_is_left_of_whoever_is_gone(self, people: Party) -> None:
        """Neither seats nor counts, whichever way they went."""
        token = await people.token("bob")
        raw = await self.open(people, "/chat,", f'/calls,{{"token":"{token}"}}')
        await raw.say('42/calls,1["join",{"room":"lobby"}]')
        await raw.text()
        alice = await people.enters("alice")
        carol = await people.enters("carol")
        await carol.signals(alice)
        await raw.reset()
        await carol.vanish()
        await alice.close()
        house = people.server.house
        async with asyncio.timeout(PATIENCE_SECONDS):
            while house.server.eio.sockets or house.seats.all():
                await asyncio.sleep(0.01)
        (call,) = house.call_roster._calls.values()
        assert all(each.seat is None and each.timer is not None for each in call.participants.values())
        for each in tuple(call.participants.values()):
            house.call_roster._remove(call, each, Reason.LOST)
        (mesh,) = house.call_roster._engines
        assert not house.call_roster._calls
        assert not mesh._candidates  # type: ignore[attr-defined]  # of this engine
        assert not house.server.manager.rooms


class TestTheRoom:
    async def test_it_is_told_of_its_call(self, timed: Party, clock: ManualClock) -> None:
        watcher = await Client(timed.server.url).connect(auth={"dialect": "full"})
        assert "call" not in (await watcher.joins("lobby", name="eve"))["room"]
        alice = await timed.enters("alice")
        clock.advance(0)
        call = (await watcher.hears("room"))["call"]
        assert (call["count"], [each["name"] for each in call["people"]]) == (1, ["alice"])
        assert (call["since"], call["locked"]) == (alice.answer["call"]["since"], False)
        bob = await timed.enters("bob")
        clock.advance(1)
        assert (await watcher.hears("room"))["call"]["count"] == 2
        assert (await watcher.joins("lobby"))["room"]["call"]["count"] == 2
        await alice.does("leave")
        await bob.does("leave")
        while "call" in (heard := await watcher.hears("room")):
            pass
        assert heard["room"] == "lobby"
        assert "call" not in (await watcher.joins("lobby"))["room"]
        await watcher.close()

    async def test_a_call_that_is_over_leaves_a_notice(self, timed: Party, clock: ManualClock) -> None:
        watcher = await Client(timed.server.url).connect(auth={"dialect": "full"})
        await watcher.joins("lobby", name="eve")
        alice, bob = await timed.enters("alice"), await timed.enters("bob")
        carol = await timed.enters("carol")
        await bob.does("leave")
        clock.advance(65 * 60)
        await alice.does("leave")
        await watcher.hears_nothing("message")
        await carol.does("leave")
        told = await watcher.hears("message")
        assert (told["kind"], told["name"], told["seq"]) == ("notice", "alice", 1)
        assert told["content"] == "alice began a call. bob and carol joined. It lasted 1 hour and 5 minutes."
        author = await Client(timed.server.url).connect(auth={"dialect": "full"})
        (row,) = (await author.joins("lobby", name="alice"))["messages"]
        assert row == told
        for event, change in (("edit", {"content": "nothing happened"}), ("delete", {})):
            accepted, refusal = await author.call(event, {"id": told["id"], **change})
            assert (accepted, refusal["code"]) == (False, "forbidden"), "nobody changes a notice"
        await watcher.close()
        await author.close()


async def written(data: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until the one call that there is stands in the database as it is wanted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with closing(sqlite3.connect(data / "chatzilla.db")) as database:
                rows = database.execute("SELECT record FROM calls").fetchall()
            if rows and wanted(json.loads(rows[0][0])):
                return
            await asyncio.sleep(0.01)


class TestARestart:
    async def test_everybody_is_found_again(self, tmp_path: Path) -> None:
        """The server is killed and started again: the call goes on, with the people who come back."""
        process = await Process(tmp_path / "data").start()
        try:
            async with AsyncExitStack() as stack:
                server: Any = type("Address", (), {"url": process.url})
                people = Party(server, stack)
                alice, bob, carol = [await people.enters(name) for name in ("alice", "bob", "carol")]
                await alice.does("moderate", {"participant": carol.id, "action": "kick"})
                await alice.does("lock", {"locked": True})
                await written(tmp_path / "data", lambda call: call["locked"] and len(call["people"]) == 2)
                await process.kill()
                await process.start()
                loop = asyncio.get_running_loop()
                began = loop.time()
                first = await people.connect(resume=alice.resume)
                answer = await first.joins(resume=alice.resume)
                assert answer["call"] == alice.answer["call"] | {"locked": True}
                assert [(each["id"], each["state"]) for each in answer["participants"]] == [(bob.id, "reconnecting")]
                assert answer["grants"]["moderate"]
                second = await people.connect(resume=bob.resume)
                await second.joins(resume=bob.resume)
                assert (await first.hears_of("changed"))["state"] == "here"
                assert loop.time() - began < 3
                await second.signals(first)
                assert (await first.hears("signal"))["from"] == bob.id
                assert await Caller(process.url).refused(resume=carol.resume) == "sign-in", "out is out"
                out = await people.connect("carol")
                assert await out.fails("join", {"room": "lobby", "resume": carol.resume}) == "not-found"
                assert await out.fails("join", {"room": "lobby"}) == "forbidden"
        finally:
            await process.kill()

    async def test_a_call_that_nobody_comes_back_to_is_over(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with serving(tmp_path / "data", clock=clock) as server, party(server) as people:
            await people.enters("alice")
            clock.advance(120)
        clock.advance(3600)
        async with serving(tmp_path / "data", clock=clock) as server, party(server) as people:
            bob = await people.connect("bob")
            assert (await bob.does("peek", {"room": "lobby"}))["call"]["people"][0]["state"] == "reconnecting"
            watcher = await Client(server.url).connect(auth={"dialect": "full"})
            await watcher.joins("lobby", name="eve")
            clock.advance(20.1)
            assert await bob.does("peek", {"room": "lobby"}) == {"call": None}
            assert (await watcher.hears("message"))[
                "content"
            ] == "alice began a call, and nobody joined. It lasted 2 minutes."
            await watcher.close()


async def test_what_nobody_foresaw_while_reading_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("something private")

    async with serving(tmp_path / "data") as server, party(server) as people:
        ann = await people.connect("Ann")
        monkeypatch.setattr(wire_calls, "parse_room", fails)
        assert await ann.fails("peek", {"room": "lobby"}) == "internal"
        [line] = [record for record in caplog.records if record.exc_info]
        assert line.getMessage().startswith("an event of /calls failed")
        monkeypatch.undo()
        assert await ann.does("peek", {"room": "lobby"}) == {"call": None}
