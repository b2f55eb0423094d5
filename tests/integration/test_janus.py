"""Calls through a real Janus, as far as they go without a browser: it is there, or not, and gets what it may."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import sys
import tempfile
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from aiortc.sdp import SessionDescription

import chatzilla.media.janus_down
from chatzilla.cli import main
from chatzilla.core.people import app_named
from chatzilla.core.rights import CallRole
from chatzilla.core.rooms import RoomId
from chatzilla.errors import Unavailable
from chatzilla.media import janus_config, janus_room
from chatzilla.media.janus_api import JanusError, JanusSession
from chatzilla.media.janus_down import OFFERS_IN_VAIN
from tests.helpers import extras
from tests.helpers.call_tabs import CAST
from tests.helpers.callers import BOTH, WATCHING, Party, description, party
from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.janus_server import SECRET, JanusServer, through
from tests.helpers.servers import ROOT, Process, serving

if TYPE_CHECKING:
    from pathlib import Path

CAMERA = [{"mid": "0", "source": "microphone"}, {"mid": "1", "source": "camera"}]
BACK_WITHIN_SECONDS = 5.0
SENDING = description("audio sendonly", "video sendonly")


async def healthy(people: Party) -> None:
    """Wait until the server has found Janus."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not people.server.house.engines[0].healthy:
            await asyncio.sleep(0.02)


async def test_without_janus_calls_are_unavailable_until_it_is_there(tmp_path: Path, janus: JanusServer) -> None:
    await janus.kill()
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        alice = await people.connect("alice")
        assert await alice.fails("join", {"room": "lobby"}) == "unavailable"
        assert await alice.does("peek", {"room": "lobby"}) == {"call": None}
        await janus.start()
        await healthy(people)
        await alice.joins()
        assert alice.answer["engine"] == "sfu"
        assert alice.answer["limits"]["people"] == 25
        assert await janus.rooms() == [alice.answer["call"]["id"]]


async def test_auto_takes_the_mesh_where_janus_is_not_and_a_call_keeps_its_engine(
    tmp_path: Path, janus: JanusServer
) -> None:
    await janus.kill()
    async with serving(tmp_path / "data", **through(janus, "auto")) as server, party(server) as people:
        alice = await people.enters("alice")
        assert alice.answer["engine"] == "mesh"
        await janus.start()
        await healthy(people)
        bob, carol = await people.enters("bob"), await people.enters("carol", "garden")
        assert (bob.answer["engine"], carol.answer["engine"]) == ("mesh", "sfu")
        await bob.signals(alice)
        publish = {"offer": SENDING, "tracks": CAMERA}
        assert await bob.fails("publish", publish) == "bad-request", "a mesh has no server to publish to"
        assert await carol.fails("signal", {"to": carol.id, "description": BOTH}) == "bad-request"
        await janus.kill()
        assert await carol.hears("media") == {"state": "lost"}
        assert await carol.fails("publish", publish) == "unavailable"
        assert (await carol.does("state", {"hand": True}))["hand"], "who is there is not Janus' matter"
        assert (await people.enters("dave", "attic")).answer["engine"] == "mesh"
        await janus.start()
        assert await carol.hears("media") == {"state": "reset"}


async def test_whoever_was_away_while_janus_was_begins_anew_too(tmp_path: Path, janus: JanusServer) -> None:
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        await bob.does("ready")
        await bob.vanish()
        await alice.hears_of("joined")
        await alice.hears_of("reconnecting")
        await janus.kill()
        assert await alice.hears("media") == {"state": "lost"}
        back = await people.connect(resume=bob.resume)
        await back.joins(resume=bob.resume)
        await back.hears_nothing("media")
        await back.vanish()
        await janus.start()
        assert await alice.hears("media") == {"state": "reset"}
        again = await people.connect(resume=bob.resume)
        await again.joins(resume=bob.resume)
        assert await again.hears("media") == {"state": "reset"}


async def test_people_come_and_go_on_the_connections_that_there_are(tmp_path: Path, janus: JanusServer) -> None:
    """Everybody sees everybody in their own colour; whoever comes later is another version of the same session."""
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        cast = await extras.enter(people, "garden", "Eve", "Finn", "Gina")
        await extras.all_see(cast, {one.id: CAST[one.name] for one in cast})
        assert await janus.handles() == 1 + 2 * len(cast)
        await cast.pop(0).leaves()
        cast += await extras.enter(people, "garden", "Hugo")
        await extras.all_see(cast, {one.id: CAST[one.name] for one in cast})
        assert [one.downs for one in cast] == [1, 1, 1]
        for one in cast:
            await one.leaves()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await janus.rooms() or await janus.handles() > 1:
                await asyncio.sleep(0.02)


async def test_a_call_outlives_the_end_of_either_process(tmp_path: Path, janus: JanusServer) -> None:
    """kill -9 of Janus, and of the server: everybody comes back by themselves as who they were, and leaves nothing."""
    environ = {"CHATZILLA_CALLS": "janus", "CHATZILLA_JANUS_URL": janus.url, "CHATZILLA_JANUS_SECRET": SECRET}
    server: Any = await Process(tmp_path / "data", environ=environ).start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.kill)
        cast = await extras.enter(Party(server, stack), "garden", "Eve", "Finn", "Gina", "Hugo", "Iris")
        for one in cast:
            stack.push_async_callback(one.vanishes)
        seen = {one.id: CAST[one.name] for one in cast}
        await extras.all_see(cast, seen)
        loop = asyncio.get_running_loop()
        for process in (janus, server):
            await process.kill()
            await process.start()
            began = loop.time()
            await extras.all_see(cast, seen)
            assert loop.time() - began < BACK_WITHIN_SECONDS
            assert {one.id for one in cast} == seen.keys()
            assert await janus.handles() == 1 + 2 * len(cast), "two of each, and one by which rooms are made"
            assert len(await janus.rooms()) == 1
        for one in cast:
            await one.leaves()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await janus.rooms() or await janus.handles() > 1:
                await asyncio.sleep(0.02)


async def test_an_offer_waits_for_the_answer_to_the_one_before(tmp_path: Path, janus: JanusServer) -> None:
    """However many come meanwhile; the next one has them all."""
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        alice = await people.enters("alice", "garden", audio=False, video=False)
        await alice.does("ready")
        cast = await extras.enter(people, "garden", "Eve")
        first = await alice.hears("offer")
        assert {track["participant"] for track in first["tracks"]} == {cast[0].id}
        cast += await extras.enter(people, "garden", "Finn", "Gina")
        await extras.all_see(cast, {one.id: CAST[one.name] for one in cast})
        await alice.hears_nothing("offer")
        leg = extras.Leg(offers=False, heard=lambda _: None)
        answer = await extras.answer_by(leg, SessionDescription.parse(first["offer"]["sdp"]))
        sending = answer | {"sdp": answer["sdp"].replace("a=recvonly", "a=sendrecv", 1)}
        assert await alice.fails("ready", {"seq": first["seq"], "answer": sending}) == "forbidden"
        more = answer | {"sdp": answer["sdp"] + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:more\r\na=inactive\r\n"}
        assert await alice.fails("ready", {"seq": first["seq"], "answer": more}) == "too-long"
        assert await alice.fails("ready", {"seq": first["seq"] + 1, "answer": answer}) == "conflict"
        words = f"a=x-words:{'x' * 500}\r\n" * 300  # browsers say as much of fifty people
        await alice.does("ready", {"seq": first["seq"], "answer": answer | {"sdp": answer["sdp"] + words}})
        second = await alice.hears("offer")
        assert second["seq"] == first["seq"] + 1
        assert {track["participant"] for track in second["tracks"]} == {one.id for one in cast}
        await alice.hears_nothing("offer")
        await leg.close()
        for one in cast:
            await one.leaves()


async def test_whoever_is_offered_nothing_that_lasts_is_told_to_begin_anew(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []
    message = JanusSession.message

    async def no_feeds(self: JanusSession, handle: int, body: Any, jsep: Any = None) -> Any:
        if body.get("ptype") == "subscriber" and len(refused) < OFFERS_IN_VAIN:
            refused.append(handle)
            raise JanusError(428, "No such feed")
        return await message(self, handle, body, jsep)

    monkeypatch.setattr(JanusSession, "message", no_feeds)
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        alice = await people.enters("alice", "garden", audio=False, video=False)
        (eve,) = await extras.enter(people, "garden", "Eve")
        await alice.does("ready")
        assert await alice.hears("media") == {"state": "reset"}
        assert len(set(refused)) == OFFERS_IN_VAIN, "each on a connection of its own"
        await alice.does("ready")
        assert {track["participant"] for track in (await alice.hears("offer"))["tracks"]} == {eve.id}
        await eve.leaves()


async def test_whoever_answers_nothing_is_left_alone(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may send, and not care what the others do; what they send goes on."""
    monkeypatch.setattr(chatzilla.media.janus_down, "ANSWER_WITHIN_SECONDS", 0.05)
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        alice = await people.enters("alice", "garden", audio=False, video=False)
        await alice.does("ready")
        (eve,) = await extras.enter(people, "garden", "Eve")
        for _ in range(OFFERS_IN_VAIN):
            await alice.hears("offer")
        (engine,) = server.house.engines
        (room,) = engine._rooms.values()  # type: ignore[attr-defined]  # of this one
        async with asyncio.timeout(PATIENCE_SECONDS):
            while room.peers[alice.id].ready:
                await asyncio.sleep(0.02)
        await alice.hears_nothing("offer", "media")
        await alice.does("ready")
        await alice.hears("offer")
        await eve.leaves()


async def test_a_call_takes_what_the_settings_say(tmp_path: Path, janus: JanusServer) -> None:
    limits: dict[str, Any] = {"janus_people": 3, "janus_publishers": 2, "janus_kbits": 300}
    async with serving(tmp_path / "data", **through(janus), **limits) as server, party(server) as people:
        alice, _ = await people.enters("alice"), await people.enters("bob", video=False)
        assert (alice.answer["limits"]["people"], alice.answer["limits"]["publishers"]) == (3, 2)
        carol = await people.connect("carol")
        assert await carol.fails("join", {"room": "lobby", "media": {"video": True}}) == "full"
        await carol.joins(audio=False, video=False)
        assert await carol.fails("publish", {"offer": SENDING, "tracks": CAMERA}) == "full"
        dave = await people.connect("dave")
        assert await dave.fails("join", {"room": "lobby"}) == "full"
        (room,) = await janus.described_rooms()
        assert (room["bitrate"], room["max_publishers"]) == (300_000, 4)


async def test_rooms_have_limits_of_their_own(tmp_path: Path, janus: JanusServer) -> None:
    """Of people, of those who are seen or heard, and of what these send; other rooms are as everywhere."""
    words = "lobby people=3 publishers=1 audio=24 video=300, all-hands people=200 publishers=50"
    async with serving(tmp_path / "data", **through(janus), call_limits=words) as server, party(server) as people:
        alice, bob = await people.enters("alice"), await people.connect("bob")
        assert {name: alice.answer["limits"][name] for name in ("people", "publishers")} == {
            "people": 3,
            "publishers": 1,
        }
        assert {picture["bitrate"] for picture in alice.answer["limits"]["video"]} == {300_000, 250_000}
        assert await bob.fails("join", {"room": "lobby", "media": {"audio": True}}) == "full"
        await bob.joins(audio=False, video=False)
        assert await bob.fails("publish", {"offer": SENDING, "tracks": CAMERA}) == "full"
        await people.enters("carol", audio=False, video=False)
        dave = await people.connect("dave")
        assert await dave.fails("join", {"room": "lobby"}) == "full"
        await dave.joins("all-hands")
        eve = await people.enters("eve", "garden")
        limits = {one.answer["call"]["id"]: one.answer["limits"] for one in (alice, dave, eve)}
        assert [(each["people"], each["publishers"]) for each in limits.values()] == [(3, 1), (200, 50), (25, 12)]
        described = {room["room"]: (room["bitrate"], room["max_publishers"]) for room in await janus.described_rooms()}
        assert [described[call] for call in limits] == [(300_000, 2), (1_500_000, 100), (1_500_000, 24)]
        for caller, bounds in ((alice, ["24000"]), (eve, [])):
            leg = extras.Leg(offers=True, heard=lambda _: None)
            lines = [("audio", "0", "sendonly", 1), ("video", "1", "sendonly", 2)]
            offer = {"type": "offer", "sdp": await leg.describe(lines)}
            answer = (await caller.does("publish", {"offer": offer, "tracks": CAMERA}))["answer"]
            assert re.findall(r"maxaveragebitrate=(\d+)\r\n", answer["sdp"]) == bounds
            await leg.close()


async def test_a_machine_that_has_nothing_but_its_loopback() -> None:
    """Janus leaves that out; the tests give such a machine another interface, and calls work."""
    alone = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--net")
    story = f"{__file__}::{test_people_come_and_go_on_the_connections_that_there_are.__name__}"
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket has to be short
        process = await asyncio.create_subprocess_exec(
            *(*alone, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/t", story),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 6 * PATIENCE_SECONDS)
    assert process.returncode == 0, said.decode()
    assert "1 passed" in said.decode()


async def test_janus_gets_no_more_than_somebody_may_send(tmp_path: Path, janus: JanusServer) -> None:
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        rights = server.house.sign_ins.rights
        assert rights is not None
        lobby = RoomId("lobby")
        alice = await people.enters("alice")
        bob = await people.connect(token=rights.make(app_named("bob", lobby), lobby, CallRole.SUBSCRIBER).token)
        await bob.joins()
        publish = {"offer": SENDING, "tracks": CAMERA}
        assert await bob.fails("publish", publish) == "forbidden"
        assert await bob.fails("ready", {"seq": 1, "answer": WATCHING | {"type": "answer"}}) == "conflict"
        assert await bob.fails("quality", {"mid": "0", "layer": 0}) == "not-found"
        assert await bob.fails("candidate", {"pc": "up", "candidate": None}) == "not-found"
        three = description("video sendonly", "video sendonly", "video sendonly")
        assert await alice.fails("publish", {"offer": three, "tracks": []}) == "forbidden"
        for wrong in (
            {"offer": SENDING},
            {"offer": SENDING, "tracks": CAMERA[:1]},
            {"offer": SENDING | {"type": "answer"}, "tracks": CAMERA},
            {"offer": {"type": "offer", "sdp": "nonsense"}, "tracks": []},
        ):
            assert await alice.fails("publish", wrong) == "bad-request"
        for event, wrong_payload in (
            ("candidate", {"pc": "sideways", "candidate": None}),
            ("candidate", {"pc": "up"}),
            ("ready", {"seq": 1}),
            ("ready", {"seq": True, "answer": WATCHING | {"type": "answer"}}),
            ("quality", {"mid": "0", "layer": 3}),
            ("quality", {"layer": 0}),
        ):
            assert await alice.fails(event, wrong_payload) == "bad-request"
        (engine,) = server.house.engines
        await bob.does("leave")
        await alice.does("leave")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await janus.rooms() or len(engine._session.handles) > 1:  # type: ignore[attr-defined]  # of this one
                await asyncio.sleep(0.02)


async def test_whoever_begins_anew_leaves_nothing_of_the_beginning_before(tmp_path: Path, janus: JanusServer) -> None:
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        alice = await people.enters("alice")
        (engine,) = server.house.engines
        for _ in range(3):
            await alice.does("ready")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(engine._session.handles) > 1:  # type: ignore[attr-defined]
                    await asyncio.sleep(0.02)
            await alice.call("publish", {"offer": SENDING, "tracks": CAMERA})
            assert len(engine._session.handles) == 2, "up, and what rooms are made by"  # type: ignore[attr-defined]
            await alice.does("candidate", {"pc": "up", "candidate": None})


async def test_nothing_that_is_said_waits_for_candidates(tmp_path: Path, janus: JanusServer) -> None:
    """Janus is busy, so that it answers nothing; whoever has told of their candidates is heard all the same."""
    candidate = {"candidate": "candidate:1 1 udp 2 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        alice = await people.enters("alice")
        await alice.does("ready")
        await alice.call("publish", {"offer": SENDING, "tracks": CAMERA})
        os.kill(janus.pid, signal.SIGSTOP)
        try:
            for _ in range(20):
                await alice.does("candidate", {"pc": "up", "candidate": candidate})
            assert (await alice.does("state", {"hand": True}))["hand"]
        finally:
            os.kill(janus.pid, signal.SIGCONT)
        (engine,) = server.house.engines
        assert await engine._session.attach(), "it has read all of it by now"  # type: ignore[attr-defined]  # of this one
        assert engine.healthy


async def test_what_an_earlier_server_left_behind_is_cleared(tmp_path: Path, janus: JanusServer) -> None:
    """Of the same house; what others have there stays."""
    async with serving(tmp_path / "data", **through(janus)) as server:
        ours = {"description": f"Chatzilla {server.house.database.mark}"}
    session = JanusSession(SECRET, lambda *_: None)
    await session.connect(janus.url)
    handle = await session.attach()
    await janus_room.create(session, handle, "ghost", SECRET, **ours)
    await janus_room.create(session, handle, "theirs", SECRET)
    await session.close()
    assert sorted(await janus.rooms()) == ["ghost", "theirs"]
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        await healthy(people)
        assert await janus.rooms() == ["theirs"]


async def test_nobody_uses_janus_without_the_secret(janus: JanusServer) -> None:
    stranger = JanusSession("a guess", lambda *_: None)
    with pytest.raises(JanusError) as refused:
        await stranger.connect(janus.url)
    assert refused.value.code == 403
    with pytest.raises(Unavailable):
        await JanusSession(SECRET, lambda *_: None).connect("unix:/nowhere/janus.sock")
    assert stat.S_IMODE((janus.folder / "janus.jcfg").stat().st_mode) == 0o600


async def test_whoever_gives_up_waiting_leaves_no_handle(janus: JanusServer) -> None:
    session = JanusSession(SECRET, lambda *_: None)
    await session.connect(janus.url)
    waiting = [asyncio.create_task(session.attach()) for _ in range(20)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(session._tasks) > 2:
            await asyncio.sleep(0.01)
    assert not session.handles
    await session.close()


class TestConfiguration:
    def test_it_says_what_to_set(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = tmp_path / "janus"
        assert main(["janus-config", str(folder), "--public", "192.0.2.7"]) == 0
        said = capsys.readouterr().out
        assert f"CHATZILLA_JANUS_URL=unix:{folder}/janus.sock" in said
        secret = said.partition("CHATZILLA_JANUS_SECRET=")[2].strip()
        assert len(secret) > 32
        assert f'api_secret = "{secret}"' in (folder / "janus.jcfg").read_text()
        assert 'nat_1_1_mapping = "192.0.2.7"' in (folder / "janus.jcfg").read_text()

    @pytest.mark.parametrize("wrong", [("--ports", "all"), ("--public", "here"), ("--ports", '1"-2')])
    def test_what_is_none_is_refused(self, tmp_path: Path, wrong: tuple[str, str]) -> None:
        assert main(["janus-config", str(tmp_path / "janus"), *wrong]) == 2
        assert not (tmp_path / "janus").exists()

    def test_a_socket_has_a_short_path(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="longer than"):
            janus_config.write(tmp_path / ("x" * 100), SECRET, "20000-20400")

    async def test_half_of_it_is_refused_at_the_start(self, tmp_path: Path) -> None:
        process = Process(tmp_path / "data", environ={"CHATZILLA_CALLS": "janus"})
        with pytest.raises(AssertionError):
            await process.start()
        assert await process.stop() == 2
        assert "CHATZILLA_JANUS_URL" in process.log.read_text()
