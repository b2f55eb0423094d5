"""Whatever goes wrong in a call through a real Janus mends itself: in the end everybody receives everybody."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiortc.sdp import SessionDescription

import chatzilla.media.janus
import chatzilla.media.janus_down
from chatzilla.media import sdp
from chatzilla.media.janus_api import JanusError, JanusSession
from tests.helpers import extras, storm
from tests.helpers.call_tabs import CAST
from tests.helpers.callers import party
from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.janus_server import SECRET, through
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from tests.helpers.callers import Caller
    from tests.helpers.janus_server import JanusServer

    Body = dict[str, Any]
    Ask = Callable[[], Coroutine[Any, Any, tuple[Body, dict[str, str] | None]]]

SOON_SECONDS = 15.0
"""Less than Janus takes to find that a connection never comes."""


def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[Body, Ask], Coroutine[Any, Any, Any]]) -> None:
    """Stand between the server and Janus: whatever is asked goes by `act`, which may ask it, or not."""
    message = JanusSession.message

    async def asked(self: JanusSession, handle: int, body: Body, jsep: dict[str, str] | None = None) -> Any:
        return await act(body, lambda: message(self, handle, body, jsep))

    monkeypatch.setattr(JanusSession, "message", asked)


@asynccontextmanager
async def leg(*, offers: bool) -> AsyncIterator[extras.Leg]:
    """A peer connection by hand."""
    made = extras.Leg(offers=offers, heard=lambda _: None)
    try:
        yield made
    finally:
        await made.close()


async def publishes(caller: Caller, up: extras.Leg, camera: str = "sendonly") -> None:
    """Offer sound and a camera, of which only the latter may be off, and see the connection up stand."""
    lines = [("audio", "0", "sendonly", 1), ("video", "1", camera, 2)]
    tracks = [{"mid": "0", "source": "microphone"}, {"mid": "1", "source": "camera"}]
    offer = {"type": "offer", "sdp": await up.describe(lines)}
    sending = tracks if camera == "sendonly" else tracks[:1]
    answer = await caller.does("publish", {"offer": offer, "tracks": sending})
    up.connect(SessionDescription.parse(answer["answer"]["sdp"]))
    assert await up.connected()


async def answers(caller: Caller, down: extras.Leg, told: dict[str, Any]) -> None:
    """Take an offer."""
    offer = SessionDescription.parse(told["offer"]["sdp"])
    await caller.does("ready", {"seq": told["seq"], "answer": await extras.answer_by(down, offer)})
    down.connect(offer)


def shown(told: dict[str, Any], caller: Caller) -> bool:
    """Whether an offer has somebody's camera, and it is on."""
    lines = {
        track["mid"] for track in told["tracks"] if (track["participant"], track["source"]) == (caller.id, "camera")
    }
    return bool(lines - sdp.silent(told["offer"]["sdp"]))


@pytest.mark.parametrize("seed", [4, 19])
async def test_whatever_happens_at_once_the_call_is_whole_in_the_end(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """People come, go, begin anew and are cut off, at any moment, while Janus is slow and refuses now and then."""
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        with storm.moody(monkeypatch, seed):
            cast = await storm.rage(people, seed)
        await storm.becomes_whole(server, janus, cast)
        await storm.ends(janus, cast)


async def test_whoever_is_cut_off_while_they_begin_begins_again(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has heard that they can receive, and not what they send; so nobody but they can know."""
    cast: list[extras.Extra] = []
    whole, cut = asyncio.Event(), asyncio.Event()

    async def cuts_off(body: Body, ask: Ask) -> Any:
        if body["request"] == "publish" and whole.is_set() and not cut.is_set():
            cut.set()
            await cast[1].is_cut_off()
            raise JanusError(0, "by chance")
        return await ask()

    between(monkeypatch, cuts_off)
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        cast += await extras.enter(people, "garden", "Eve", "Finn")
        seen = {one.id: CAST[one.name] for one in cast}
        await extras.all_see(cast, seen)
        whole.set()
        cast[1].begins_anew()
        await asyncio.wait_for(cut.wait(), PATIENCE_SECONDS)
        await extras.all_see(cast, seen, SOON_SECONDS)
        await storm.ends(janus, cast)


@pytest.mark.parametrize("known", [True, False])
async def test_what_is_off_at_the_moment_of_an_offer_is_received_when_it_is_on(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Alice switches her camera off and on while Bob is offered something else.

    Janus has her camera off at that moment, and describes its line so, or leaves it out without a word; by the time
    Bob has answered, all is as it was before.
    """
    held, go_on = asyncio.Event(), asyncio.Event()

    async def holds(body: Body, ask: Ask) -> Any:
        found = await ask()
        if body["request"] == "configure" and "descriptions" in body and not held.is_set():
            held.set()
            await go_on.wait()
        return found

    between(monkeypatch, holds)
    async with (
        serving(tmp_path / "data", **through(janus)) as server,
        party(server) as people,
        leg(offers=True) as up,
        leg(offers=False) as down,
    ):
        alice = await people.enters("alice", "garden")
        bob = await people.enters("bob", "garden", audio=False, video=False)
        await alice.does("ready")
        if known:
            await publishes(alice, up)
        cast = [] if known else await extras.enter(people, "garden", "Eve")
        await bob.does("ready")
        told = await bob.hears("offer")
        if not known:
            await publishes(alice, up)  # while Bob is offered Eve
        assert shown(told, alice) is known
        switching = asyncio.create_task(publishes(alice, up, "inactive"))
        await held.wait()
        await answers(bob, down, told)
        if known:
            cast = await extras.enter(people, "garden", "Eve")
        told = await bob.hears("offer")
        assert {track["participant"] for track in told["tracks"]} == {alice.id, cast[0].id}
        assert not shown(told, alice), "it is off for Janus, and on for the server"
        go_on.set()
        await switching
        await publishes(alice, up)
        async with asyncio.timeout(SOON_SECONDS):
            while not shown(told, alice):
                await answers(bob, down, told)
                told = await bob.hears("offer")
        await answers(bob, down, told)
        await cast[0].leaves()


async def test_what_janus_leaves_out_is_asked_for_later_and_later(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chatzilla.media.janus_down, "LOOK_AGAIN_SECONDS", (0.02, 0.04))
    asked: list[float] = []

    async def leaves_out(body: Body, ask: Ask) -> Any:
        streams: list[Body] = body.get("streams") or body.get("subscribe") or []
        wished = [stream for stream in streams if stream.get("mid") == "1"]
        if body.get("ptype") == "subscriber" or (body["request"] == "update" and wished and len(asked) < 5):
            asked.append(asyncio.get_running_loop().time())
            for stream in wished:
                streams.remove(stream)
            if not streams:  # as Janus says it
                return {"videoroom": "updated"}, None
        return await ask()

    between(monkeypatch, leaves_out)
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        cast = await extras.enter(people, "garden", "Eve")
        bob = await people.enters("bob", "garden", audio=False, video=False)
        async with leg(offers=False) as down:
            await bob.does("ready")
            told = await bob.hears("offer")
            assert [track["source"] for track in told["tracks"]] == ["microphone"]
            await answers(bob, down, told)
            told = await bob.hears("offer")
            assert [track["source"] for track in told["tracks"]] == ["microphone", "camera"]
            await answers(bob, down, told)
            await bob.hears_nothing("media", "offer")
        assert len(asked) == 5
        waits = [later - earlier for earlier, later in itertools.pairwise(asked)]
        assert waits[-1] >= 0.04
        await cast[0].leaves()


async def test_whoever_throws_a_connection_away_and_begins_is_not_told_to(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Janus hears of it first; they would begin twice, and whoever begins slowly would never come to an end."""
    monkeypatch.setattr(chatzilla.media.janus, "BEGINS_WITHIN_SECONDS", 1.0)
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        (engine,) = server.house.engines
        tasks = engine._tasks  # type: ignore[attr-defined]  # of this one
        alice = await people.enters("alice", "garden")
        (room,) = engine._rooms.values()  # type: ignore[attr-defined]
        for begins in (True, False):
            await alice.does("ready")
            async with leg(offers=True) as up:
                await publishes(alice, up)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while room.peers[alice.id].up is not None:  # until Janus has told
                    await asyncio.sleep(0.02)
            if not begins:
                assert await alice.hears("media") == {"state": "reset"}
                return
            await alice.does("ready")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while tasks:
                    await asyncio.sleep(0.02)
            await alice.hears_nothing("media")


async def test_what_could_not_be_sent_can_be_sent_again(
    tmp_path: Path, janus: JanusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another beginning."""
    refused: list[Body] = []

    async def refuses(body: Body, ask: Ask) -> Any:
        if body.get("ptype") == "publisher" and not refused:
            refused.append(body)
            raise JanusError(0, "by chance")
        return await ask()

    between(monkeypatch, refuses)
    async with (
        serving(tmp_path / "data", **through(janus)) as server,
        party(server) as people,
        leg(offers=True) as up,
    ):
        alice = await people.enters("alice", "garden")
        await alice.does("ready")
        offer = {"type": "offer", "sdp": await up.describe([("audio", "0", "sendonly", 1)])}
        publish = {"offer": offer, "tracks": [{"mid": "0", "source": "microphone"}]}
        assert await alice.fails("publish", publish) == "conflict"
        await alice.does("publish", publish)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await janus.handles() != 2:  # hers, and the one by which rooms are made
                await asyncio.sleep(0.02)


async def test_a_room_that_janus_has_lost_is_made_again(tmp_path: Path, janus: JanusServer) -> None:
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        cast = await extras.enter(people, "garden", "Eve", "Finn")
        seen = {one.id: CAST[one.name] for one in cast}
        await extras.all_see(cast, seen)
        other = JanusSession(SECRET, lambda *_: None)
        await other.connect(janus.url)
        (room,) = await janus.rooms()
        await other.message(await other.attach(), {"request": "destroy", "room": room, "admin_key": SECRET})
        await other.close()
        await extras.all_see(cast, seen, SOON_SECONDS)
        assert await janus.rooms() == [room]
        await storm.ends(janus, cast)


async def test_a_session_that_janus_has_forgotten_is_begun_anew(tmp_path: Path, janus: JanusServer) -> None:
    """As after a long sleep of this machine or this process: the socket stands, and nothing of what was is there."""
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        cast = await extras.enter(people, "garden", "Eve", "Finn")
        seen = {one.id: CAST[one.name] for one in cast}
        await extras.all_see(cast, seen)
        (engine,) = server.house.engines
        session = engine._session  # type: ignore[attr-defined]  # of this one
        await session._ask({"janus": "destroy"})
        cast[0].begins_anew()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await session.gone.wait()
        await extras.all_see(cast, seen, SOON_SECONDS)
        await storm.ends(janus, cast)


async def test_janus_says_that_it_forgets(tmp_path: Path, janus: JanusServer) -> None:
    await janus.kill()
    file = janus.folder / "janus.jcfg"
    text = file.read_text()
    assert "session_timeout = 60" in text
    file.write_text(text.replace("session_timeout = 60", "session_timeout = 1"))
    await janus.start()
    session = JanusSession(SECRET, lambda *_: None)
    await session.connect(janus.url)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await session.gone.wait()
    finally:
        await session.close()
