"""Engine.IO v4 as clients meet it: sessions on polls, on WebSockets, and moving from one to the other."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from chatzilla.core.limits import Rate
from chatzilla.core.rooms import ConnectionId
from chatzilla.realtime import engine as engine_module
from chatzilla.realtime.channel import PACKETS_IN_A_BODY, PACKETS_IN_A_POLL, Channel, Frame
from chatzilla.realtime.engine import Limits
from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.engines import SEPARATOR, EngineHouse, Polling, engine_house
from tests.helpers.house import OpenHouse, open_house
from tests.helpers.namespaces import Sockets, Wire, stock_server
from tests.helpers.servers import serving
from tests.helpers.sockets import BINARY, CLOSE, PING, PONG, RawSocket, frame, handshake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SOON = 0.15
"""Seconds; for deadlines that a test waits for."""

LATER = 60.0
"""Seconds; for deadlines that must not be what ends a test."""

PATIENT: dict[str, Any] = {"heartbeat": LATER, "pong_within": LATER, "join_within": LATER}


@pytest.fixture
async def house() -> AsyncIterator[EngineHouse]:
    """An engine that nothing but a test's own doing ends sessions of; nothing may be left in it."""
    async with engine_house(**PATIENT, upgrade_within=LATER, body_within=LATER, payload=10_000) as opened:
        yield opened
        for channel in tuple(opened.engine.sockets.values()):
            channel.close("the test is over")
        await opened.engine.drain(0.1)
        await opened.is_empty()


class TestHandshake:
    """How a session begins, and what begins none."""

    async def test_polling_says_all_that_a_client_has_to_know(self, house: EngineHouse) -> None:
        status, text = await house.ask("GET", "polling")
        opened = json.loads(text.removeprefix("0"))
        assert status == 200
        assert set(opened) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
        assert opened["upgrades"] == ["websocket"]
        assert (opened["pingInterval"], opened["pingTimeout"], opened["maxPayload"]) == (60_000, 60_000, 10_000)
        assert list(house.engine.sockets) == [opened["sid"]]

    async def test_a_websocket_says_the_same_without_upgrades(self, house: EngineHouse) -> None:
        async with await house.websocket() as socket:
            opened = json.loads((await socket.text()).removeprefix("0"))
            assert set(opened) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
            assert opened["upgrades"] == []

    async def test_ids_are_long_and_never_the_same(self, house: EngineHouse) -> None:
        ids = {(await house.polling()).sid for _ in range(50)}
        assert len(ids) == 50
        assert min(map(len, ids)) >= 20

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "transport=polling",
            "EIO=3&transport=polling",
            "EIO=5&transport=polling",
            "EIO=abc&transport=polling",
            "EIO=&transport=websocket",
            "EIO=3&transport=websocket",
            "EIO=4",
            "EIO=4&transport=",
            "EIO=4&transport=carrier-pigeon",
            "EIO=4&transport=POLLING",
            "EIO=4&transport=polling&j=0",
            "EIO=4&transport=websocket",
            "EIO=4&transport=polling&sid=",
            "EIO=4&transport=polling&sid=unknown",
            "EIO=4&transport=websocket&sid=unknown",
        ],
    )
    async def test_what_is_no_handshake_is_refused(self, house: EngineHouse, query: str) -> None:
        async with house.http.get(f"http://127.0.0.1:{house.port}/engine/?{query}") as got:
            assert got.status == 400
        assert not house.left()

    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
    async def test_other_methods_are_refused(self, house: EngineHouse, method: str, transport: str) -> None:
        assert (await house.ask(method, transport))[0] == 400
        assert not house.left()

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
    async def test_other_methods_leave_a_session_as_it_is(self, house: EngineHouse, method: str) -> None:
        async with await house.polling() as session:
            assert (await house.ask(method, f"polling&sid={session.sid}", data="4x"))[0] == 400
            await session.post("4still here")
            assert await session.hears() == ["4still here"]

    async def test_a_page_of_a_stranger_is_refused(self, house: EngineHouse) -> None:
        for rest in ("polling", "websocket"):
            assert (await house.ask("GET", rest, headers={"Origin": "https://evil.example"}))[0] == 403
        socket = await RawSocket.connect(house.port)
        path = "/engine/?EIO=4&transport=websocket"
        await socket.send(handshake(path, Origin="https://evil.example"))
        assert (await socket.answer())[0] == 403
        await socket.hang_up()
        assert not house.left()

    async def test_a_page_that_may_connect_is_told_so(self, house: EngineHouse) -> None:
        origin = "https://chat.example"
        async with house.http.get(house.address + "polling", headers={"Origin": origin}) as got:
            assert got.headers["Access-Control-Allow-Origin"] == origin
            assert got.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Credentials" not in got.headers
        assert (await house.ask("OPTIONS", "polling", headers={"Origin": origin}))[0] == 204


class TestPolling:
    """Messages by requests: whole, in order, and never into a request that nobody reads."""

    @pytest.mark.parametrize(
        ("body", "echoed"),
        [
            ("4hello", ["4hello"]),
            ("4", ["4"]),
            ("4a\x1e4b\x1e4c", ["4a", "4b", "4c"]),
            ("4€\x1e4👍", ["4€", "4👍"]),
            ("bAQIDBA==", ["bAQIDBA=="]),
            ("b", ["b"]),
            ("4a\x1ebAQIDBA==\x1e4b", ["4a", "bAQIDBA==", "4b"]),
            ("3\x1e4a", ["4a"]),
        ],
    )
    async def test_a_body_is_any_number_of_packets(self, house: EngineHouse, body: str, echoed: list[str]) -> None:
        async with await house.polling() as session:
            assert await session.post(body) == (200, "ok")
            assert await session.hears() == echoed

    async def test_a_waiting_poll_is_answered_when_something_comes(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            waiting = await session.waits()
            await session.post("4hello")
            assert await waiting == (200, "4hello")

    async def test_one_poll_brings_sixteen_packets_at_most_and_the_next_the_rest(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            sent = [f"4{number}" for number in range(200)]
            assert await session.post(SEPARATOR.join(sent)) == (200, "ok")
            heard: list[str] = []
            while len(heard) < 200:
                packets = await session.hears()
                assert len(packets) <= PACKETS_IN_A_POLL == 16
                heard += packets
            assert heard == sent

    async def test_an_answer_stays_under_what_a_client_may_send(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            for _ in range(3):
                await session.post("4" + "x" * 6_000)
            assert [len(await session.hears()) for _ in range(3)] == [1, 1, 1]

    @pytest.mark.parametrize(
        "body",
        [
            *("", "abc", "x", "5", "6", "0", "2", "2probe", "3x", "31", "1x", "7", "bnot base64", "b=", "bAQI"),
            *("4a\x1e", "\x1e4a", "4a\x1eabc\x1e4b", "4a\x1e\x1e4b"),
        ],
    )
    async def test_a_body_that_means_nothing_closes_the_session(self, house: EngineHouse, body: str) -> None:
        session = await house.polling()
        assert (await session.post(body))[0] == 400
        assert await session.is_gone() == "parse error"
        assert (await session.poll())[0] == 400
        assert not house.left()

    @pytest.mark.parametrize("body", [b"\xff", b"4\xc3", b"4a\x1e4\xed\xa0\x80"])
    async def test_a_body_that_is_no_text_closes_the_session(self, house: EngineHouse, body: bytes) -> None:
        session = await house.polling()
        assert (await session.post(body))[0] == 400
        assert house.echo.heard == []
        assert await asyncio.wait_for(session.is_gone(), 1) == "parse error"

    async def test_nothing_behind_what_means_nothing_is_heard(self, house: EngineHouse) -> None:
        session = await house.polling()
        assert (await session.post("4a\x1eabc\x1e4b"))[0] == 400
        assert house.echo.heard == ["a"]

    async def test_a_body_of_too_many_packets_closes_the_session(self, house: EngineHouse) -> None:
        session = await house.polling()
        assert (await session.post(SEPARATOR.join(["4"] * (PACKETS_IN_A_BODY + 1))))[0] == 400
        assert await session.is_gone() == "parse error"
        assert house.echo.heard == []

    @pytest.mark.parametrize("packet", ["4x", "3", "bAQ=="], ids=["a message", "a pong", "an attachment"])
    async def test_more_than_may_be_sent_at_once_closes_the_session(self, packet: str) -> None:
        async with engine_house(packets=Rate(0.01, 5)) as house:
            session = await house.polling()
            assert (await session.post(SEPARATOR.join([packet] * 5)))[0] == 200
            assert (await session.post(packet))[0] == 400
            assert await session.is_gone() == "parse error"

    async def test_a_second_poll_at_the_same_time_ends_the_session(self, house: EngineHouse) -> None:
        session = await house.polling()
        first = await session.waits()
        assert (await session.poll())[0] == 400
        assert await first == (200, "1")
        assert await session.is_gone() == "transport error"
        assert not house.left()

    async def test_a_second_body_at_the_same_time_ends_the_session(self, house: EngineHouse) -> None:
        """Nobody could say which of them comes first."""
        session = await house.polling()
        first = await RawSocket.connect(house.port)
        head = (
            f"POST /engine/?EIO=4&transport=polling&sid={session.sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
        )
        await first.send(head.encode() + b"4on")
        channel = house.engine.sockets[session.sid]
        while not channel._posting:
            await asyncio.sleep(0)
        assert (await session.post("4two"))[0] == 400
        assert await house.echo.loses(session.sid) == "transport error"
        await first.send(b"e.")
        assert (await first.answer())[0] == 400
        assert house.echo.heard == []

    async def test_a_poll_that_was_given_up_ends_the_session(self, house: EngineHouse) -> None:
        """What would be told to it would be told to nobody."""
        session = await house.polling()
        reader = await RawSocket.connect(house.port)
        await reader.send(
            f"GET /engine/?EIO=4&transport=polling&sid={session.sid} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        channel = house.engine.sockets[session.sid]
        while channel._poll is None:
            await asyncio.sleep(0)
        await reader.reset()
        await house.has_noticed()
        assert (await session.poll())[0] == 400
        assert await session.is_gone() == "transport error"
        assert not house.left()

    async def test_what_came_for_a_poll_that_was_given_up_is_not_told_as_done(self, house: EngineHouse) -> None:
        """The session ends at the first message, so its client comes back and asks for what it missed."""
        session = await house.polling()
        reader = await RawSocket.connect(house.port)
        await reader.send(
            f"GET /engine/?EIO=4&transport=polling&sid={session.sid} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        channel = house.engine.sockets[session.sid]
        while channel._poll is None:
            await asyncio.sleep(0)
        await reader.reset()
        await house.has_noticed()
        channel.write(Frame(b"lost?"))
        assert await session.is_gone() == "transport error"

    async def test_a_client_that_closes_has_its_poll_answered(self, house: EngineHouse) -> None:
        session = await house.polling()
        waiting = await session.waits()
        assert await session.post("1") == (200, "ok")
        assert await waiting == (200, "6")
        assert await session.is_gone() == "client disconnect"
        assert (await session.poll())[0] == 400
        assert not house.left()

    async def test_nothing_behind_a_close_is_heard(self, house: EngineHouse) -> None:
        session = await house.polling()
        await session.post("4a\x1e1\x1e4b")
        assert house.echo.heard == ["a"]

    async def test_a_close_of_ours_reaches_the_waiting_poll(self, house: EngineHouse) -> None:
        session = await house.polling()
        waiting = await session.waits()
        house.engine.sockets[session.sid].close("enough", Frame(b"goodbye"))
        assert await waiting == (200, "4goodbye")
        assert (await session.poll())[0] == 400
        assert await session.is_gone() == "enough"
        assert not house.left()

    async def test_a_close_of_ours_waits_for_the_next_poll(self, house: EngineHouse) -> None:
        """And there is no packet CLOSE: clients on python-engineio would take it for the end, and stay away."""
        session = await house.polling()
        house.engine.sockets[session.sid].close("enough", Frame(b"goodbye"))
        assert await session.poll() == (200, "4goodbye")
        assert (await session.poll())[0] == 400

    @pytest.mark.parametrize("waiting", [0, 15, 16, 17, 40])
    async def test_the_last_words_follow_all_that_waits(self, house: EngineHouse, waiting: int) -> None:
        """However many polls it takes."""
        session = await house.polling()
        channel = house.engine.sockets[session.sid]
        for number in range(waiting):
            channel.write(Frame(str(number).encode()))
        channel.close("enough", Frame(b"goodbye"))
        heard: list[str] = []
        while "4goodbye" not in heard:
            heard += await session.hears()
        assert heard == [*(f"4{number}" for number in range(waiting)), "4goodbye"]
        assert (await session.poll())[0] == 400

    async def test_last_words_that_nobody_fetches_are_forgotten(self) -> None:
        async with engine_house(pong_within=SOON) as house:
            polling = await house.polling()
            house.engine.sockets[polling.sid].close("enough", Frame(b"bye"))
            assert set(house.engine._farewells) == {polling.sid}
            async with asyncio.timeout(PATIENCE_SECONDS):
                while house.engine._farewells:
                    await asyncio.sleep(SOON / 10)
            assert (await polling.poll())[0] == 400

    async def test_closing_is_harmless_twice(self, house: EngineHouse) -> None:
        session = await house.polling()
        channel = house.engine.sockets[session.sid]
        channel.close("enough")
        channel.close("really")
        assert house.echo.reasons == {session.sid: "enough"}

    async def test_sessions_do_not_hear_each_other(self, house: EngineHouse) -> None:
        async with await house.polling() as one, await house.polling() as other:
            waiting = await other.waits()
            await one.post("4mine")
            assert await one.hears() == ["4mine"]
            await other.post("4theirs")
            assert await waiting == (200, "4theirs")


class TestBodies:
    """A request's body comes as networks bring it; its size and its time are bounded."""

    async def post_by_hand(self, session: Polling, head: str, body: bytes = b"") -> RawSocket:
        raw = await RawSocket.connect(session.house.port)
        path = f"/engine/?EIO=4&transport=polling&sid={session.sid}"
        await raw.send(f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + body)
        return raw

    async def test_a_body_in_many_pieces_is_one(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            body = SEPARATOR.join(f"4{number} €" for number in range(20)).encode()
            async with await self.post_by_hand(session, f"Content-Length: {len(body)}") as raw:
                for position in range(len(body)):
                    await raw.send(body[position : position + 1])
                    if position % 20 == 0:
                        await house.ask("GET", "none")  # a round trip, so that the pieces are pieces
                assert (await raw.answer())[0] == 200
            assert house.echo.heard == [f"{number} €" for number in range(20)]

    async def test_one_body_is_heard_in_a_turn_of_the_event_loop(
        self, house: EngineHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many come at once: others have their turn in between."""
        turns, heard = 0, list[int]()

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        def received(_channel: Channel, _text: bytes) -> None:
            heard.append(turns)

        monkeypatch.setattr(house.echo, "received", received)
        sessions = [await house.polling() for _ in range(12)]
        bodies = [await self.post_by_hand(session, "Content-Length: 2") for session in sessions]
        counting = asyncio.create_task(count())
        for body in bodies:
            body.writer.write(b"4x")
        assert [(await body.answer())[0] for body in bodies] == [200] * len(bodies)
        counting.cancel()
        assert len(set(heard)) == len(heard) == len(bodies)

    async def test_a_body_in_chunks_is_one(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            head = "Transfer-Encoding: chunked"
            async with await self.post_by_hand(session, head, b"2\r\n4h\r\n") as raw:
                await house.ask("GET", "none")
                await raw.send(b"4\r\nello\r\n0\r\n\r\n")
                assert (await raw.answer())[0] == 200
            assert house.echo.heard == ["hello"]

    async def test_a_body_that_just_fits_passes(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            assert (await session.post("4" + "x" * 9_999))[0] == 200
            assert house.echo.heard == ["x" * 9_999]

    async def test_a_larger_one_is_refused_and_the_session_goes_on(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            assert (await session.post("4" + "x" * 10_000))[0] == 413
            assert house.echo.heard == []
            await session.post("4still here")
            assert await session.hears() == ["4still here"]

    async def test_a_larger_one_that_does_not_say_so_is_refused_too(self, house: EngineHouse) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(11):
                yield b"4" * 1_000

        async with await house.polling() as session:
            assert (await house.ask("POST", f"polling&sid={session.sid}", data=endless()))[0] == 413
            assert house.echo.heard == []
            await session.post("4still here")
            assert await session.hears() == ["4still here"]

    @pytest.mark.parametrize("cut", [0, 12], ids=["whole", "half"])
    async def test_a_packed_one_is_refused_and_the_session_goes_on(self, house: EngineHouse, cut: int) -> None:
        """Half of one would be unpacked as if it were whole, and answered as if it had been heard."""
        packed = gzip.compress(b"4hello\x1e4" + b"x" * 500)
        async with await house.polling() as session:
            head = {"Content-Encoding": "gzip"}
            assert (await session.post(packed[: len(packed) - cut], headers=head))[0] == 415
            assert house.echo.heard == []
            await session.post("4still here")
            assert await session.hears() == ["4still here"]

    async def test_a_size_that_was_only_announced_costs_nothing(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            async with await self.post_by_hand(session, "Content-Length: 99999999999") as raw:
                assert (await raw.answer())[0] == 413
            await session.post("4still here")
            assert await session.hears() == ["4still here"]

    @pytest.mark.parametrize("head", ["Content-Length: 100", "Transfer-Encoding: chunked"])
    async def test_a_body_that_does_not_come_is_not_waited_for(self, head: str) -> None:
        async with engine_house(**PATIENT, body_within=SOON) as house, await house.polling() as session:
            async with await self.post_by_hand(session, head, b"3\r\n4ab\r\n") as raw:
                assert (await raw.answer())[0] == 400
            assert house.echo.heard == []
            await session.post("4still here")
            assert await session.hears() == ["4still here"]

    async def test_a_client_that_vanishes_within_a_body_harms_nobody(self, house: EngineHouse) -> None:
        async with await house.polling() as session:
            raw = await self.post_by_hand(session, "Content-Length: 100", b"4half")
            await house.ask("GET", "none")
            await raw.reset()
            await session.post("4whole")
            assert house.echo.heard == ["whole"]

    async def test_a_session_that_ends_within_a_body_does_not_say_ok(self, house: EngineHouse) -> None:
        """`ok` means that it was taken."""
        session = await house.polling()
        async with await self.post_by_hand(session, "Content-Length: 6", b"4ab") as raw:
            await house.ask("GET", "none")
            house.engine.sockets[session.sid].close("enough")
            await raw.send(b"cde")
            status, _, _ = await raw.answer()
        assert house.echo.heard == []
        assert status == 400


class TestHeartbeat:
    """Pings at their time, and an end for whoever does not answer."""

    async def test_a_poll_is_pinged_and_a_pong_keeps_the_session(self) -> None:
        async with engine_house(heartbeat=SOON, pong_within=SOON, join_within=LATER) as house:
            session = await house.polling()
            for _ in range(3):
                assert await session.hears() == ["2"]
                assert await session.post("3") == (200, "ok")
            await session.post("4still here")
            assert await session.hears() == ["4still here"]

    async def test_a_websocket_is_pinged_and_a_pong_keeps_the_session(self) -> None:
        async with engine_house(heartbeat=SOON, pong_within=SOON, join_within=LATER) as house:
            socket, _ = await house.websocket_session()
            for _ in range(3):
                assert await socket.frame() == (1, b"2")
                await socket.say("3")
            await socket.say("4still here")
            assert await socket.text() == "4still here"
            await socket.hang_up()

    async def test_a_polling_session_that_does_not_answer_ends(self) -> None:
        async with engine_house(heartbeat=SOON, pong_within=1.0, join_within=LATER) as house:
            session = await house.polling()
            assert await session.hears() == ["2"]
            waiting = await session.waits()
            assert await session.is_gone() == "ping timeout"
            assert (await waiting)[0] in (200, 400)
            assert (await session.poll())[0] == 400
            assert not house.left()

    async def test_one_that_never_polls_ends_too(self) -> None:
        async with engine_house(heartbeat=SOON, pong_within=SOON, join_within=LATER) as house:
            session = await house.polling()
            assert await session.is_gone() == "ping timeout"
            assert not house.left()

    async def test_one_that_answers_pings_which_it_never_fetched_ends_too(self) -> None:
        async with engine_house(heartbeat=0.1, pong_within=0.2, join_within=LATER) as house:
            session = await house.polling()
            status = 200
            while status == 200:
                status, _ = await session.post("3")
                await asyncio.sleep(0.01)
            assert await session.is_gone() == "ping timeout"

    async def test_a_poll_that_comes_too_late_finds_no_session(self) -> None:
        """Even when the timer has not looked yet."""
        async with engine_house(heartbeat=SOON, pong_within=SOON, join_within=LATER) as house:
            session = await house.polling()
            channel = house.engine.sockets[session.sid]
            assert await session.hears() == ["2"]
            channel._timer.cancel()
            while asyncio.get_running_loop().time() < channel._due:
                await asyncio.sleep(0.01)
            assert (await session.poll())[0] == 400
            assert await session.is_gone() == "ping timeout"

    async def test_a_websocket_that_does_not_answer_ends(self) -> None:
        async with engine_house(heartbeat=SOON, pong_within=SOON, join_within=LATER) as house:
            socket, sid = await house.websocket_session()
            began = asyncio.get_running_loop().time()
            assert await house.echo.loses(sid) == "ping timeout"
            assert asyncio.get_running_loop().time() - began < 10 * SOON
            assert await socket.frame() == (1, b"2")
            await socket.is_over()
            await house.is_empty()

    async def test_messages_are_no_answer_to_a_ping(self) -> None:
        """A pong is."""
        async with engine_house(heartbeat=SOON, pong_within=SOON, join_within=LATER) as house:
            socket, sid = await house.websocket_session()
            while sid not in house.echo.reasons:
                await socket.send(frame("4x"))
                await asyncio.sleep(SOON / 10)
            assert house.echo.reasons[sid] == "ping timeout"
            await socket.hang_up()

    async def test_whoever_joins_nothing_may_not_stay(self) -> None:
        async with engine_house(heartbeat=LATER, pong_within=LATER, join_within=SOON) as house:
            socket, sid = await house.websocket_session()
            session = await house.polling()
            waiting = await session.waits()
            assert await waiting == (200, "6")
            assert await session.is_gone() == "no namespace was joined"
            assert await socket.closed_with() == 1000
            assert await house.echo.loses(sid) == "no namespace was joined"
            await house.is_empty()

    async def test_whoever_has_joined_may(self) -> None:
        async with engine_house(heartbeat=LATER, pong_within=LATER, join_within=SOON) as house:
            session, other = await house.polling(), await house.polling()
            house.engine.sockets[session.sid].joined()
            await other.is_gone()
            await session.post("4still here")
            assert await session.hears() == ["4still here"]


class TestUpgrade:
    """From polls to a WebSocket, without losing a word."""

    async def test_the_probe_is_answered_and_ends_the_waiting_poll(self, house: EngineHouse) -> None:
        session = await house.polling()
        waiting = await session.waits()
        socket = await house.websocket(session.sid)
        await socket.say("2probe")
        assert await socket.text() == "3probe"
        assert await waiting == (200, "6")
        assert await session.poll() == (200, "6")
        await socket.say("5")
        await socket.say("4hello")
        assert await socket.text() == "4hello"
        await socket.hang_up()
        assert await house.echo.loses(session.sid) == "transport close"

    async def test_what_waits_moves_in_order_and_in_its_kind(self, house: EngineHouse) -> None:
        session = await house.polling()
        channel = house.engine.sockets[session.sid]
        socket = await house.websocket(session.sid)
        await socket.say("2probe")
        assert await socket.text() == "3probe"
        channel.write(Frame(b"one"))
        channel.write_binary(b"two")
        channel.write(Frame(b"three"))
        await socket.say("5")
        assert await socket.text() == "4one"
        assert await socket.binary() == b"two"
        assert await socket.text() == "4three"
        channel.write(Frame(b"four"))
        assert await socket.text() == "4four"
        await socket.hang_up()

    async def test_nothing_is_lost_with_traffic_both_ways(self, house: EngineHouse) -> None:
        house.echo.silent = True
        for _ in range(10):
            session = await house.polling()
            channel = house.engine.sockets[session.sid]
            house.echo.heard.clear()
            heard: list[str] = []
            told = said = 0
            stop = asyncio.Event()

            async def tell(channel: Any = channel, stop: asyncio.Event = stop) -> None:
                nonlocal told
                while not stop.is_set():
                    channel.write(Frame(str(told).encode()))
                    told += 1
                    await asyncio.sleep(0.001)

            telling = asyncio.create_task(tell())
            socket = await house.websocket(session.sid)
            await socket.say("2probe")
            probed = asyncio.create_task(socket.text())
            while not probed.done():
                heard += [packet for packet in await session.hears() if packet != "6"]
                await session.post(f"4{said}")
                said += 1
            assert await probed == "3probe"
            await socket.say("5")
            for _ in range(20):
                await socket.say(f"4{said}")
                said += 1
            stop.set()
            await telling
            while len(heard) < told:
                heard.append(await socket.text())
            await house.echo.hears(said)
            assert heard == [f"4{number}" for number in range(told)]
            assert house.echo.heard == [str(number) for number in range(said)]
            await socket.hang_up()
            await house.echo.loses(session.sid)

    async def test_a_body_on_its_way_while_upgrading_is_heard_first(self, house: EngineHouse) -> None:
        session = await house.polling()
        socket = await house.websocket(session.sid)
        await socket.say("2probe")
        assert await socket.text() == "3probe"
        assert await session.post("4by post") == (200, "ok")
        await socket.say("5")
        await socket.say("4by socket")
        assert [await socket.text() for _ in range(2)] == ["4by post", "4by socket"]
        await socket.hang_up()

    async def test_after_it_requests_are_refused_and_the_session_goes_on(self, house: EngineHouse) -> None:
        session = await house.polling()
        socket = await session.upgrade()
        await socket.say("4first")
        assert await socket.text() == "4first"
        assert (await session.poll())[0] == 400
        assert (await session.post("4x"))[0] == 400
        await socket.say("4second")
        assert await socket.text() == "4second"
        await socket.hang_up()

    async def test_a_second_websocket_for_an_upgraded_session_is_closed(self, house: EngineHouse) -> None:
        session = await house.polling()
        socket = await session.upgrade()
        second = await house.websocket(session.sid)
        assert await second.closed_with() == 1000
        await socket.say("4still here")
        assert await socket.text() == "4still here"
        await socket.hang_up()

    async def test_a_second_websocket_for_a_session_that_began_on_one_is_closed(self, house: EngineHouse) -> None:
        socket, sid = await house.websocket_session()
        second = await house.websocket(sid)
        assert await second.closed_with() == 1000
        await socket.say("4still here")
        assert await socket.text() == "4still here"
        await socket.hang_up()

    async def test_only_one_of_two_websockets_gets_the_session(self, house: EngineHouse) -> None:
        """Both came before either was probed."""
        session = await house.polling()
        one, other = await house.websocket(session.sid), await house.websocket(session.sid)
        answers: list[tuple[int, bytes]] = []
        for socket in (one, other):
            await socket.say("2probe")
        for socket in (one, other):
            for packet in ("5", f"4{len(answers)}"):
                await socket.say(packet)
            opcode, payload = await socket.frame()
            if (opcode, payload) == (1, b"3probe"):
                opcode, payload = await socket.frame()
            answers.append((opcode, payload))
        assert sorted(opcode for opcode, _ in answers) == [1, CLOSE], answers
        assert len(house.echo.heard) == 1
        for socket in (one, other):
            await socket.hang_up()
        await house.echo.loses(session.sid)

    async def test_knocking_again_and_again_is_not_a_way_around_the_limits(self) -> None:
        """All but the first are refused; until they are gone, they count."""
        async with engine_house(**PATIENT, connections_per_address=3) as house:
            session = await house.polling()

            async def knock() -> tuple[RawSocket, int]:
                raw = await RawSocket.connect(house.port)
                await raw.send(handshake(f"/engine/?EIO=4&transport=websocket&sid={session.sid}"))
                return raw, (await raw.answer())[0]

            knocks = [await knock() for _ in range(5)]
            assert [status for _, status in knocks] == [101, 101, 101, 429, 429]
            await knocks[1][0].hang_up()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (again := await knock())[1] != 101:
                    pass
            for raw in (knocks[0][0], knocks[2][0], again[0]):
                await raw.hang_up()
            await session.leave()
            await house.is_empty()

    @pytest.mark.parametrize("said", [[], ["2probe"]])
    async def test_one_that_is_never_completed_is_closed_and_the_polls_go_on(self, said: list[str]) -> None:
        async with engine_house(**PATIENT, upgrade_within=SOON) as house:
            session = await house.polling()
            socket = await house.websocket(session.sid)
            for packet in said:
                await socket.say(packet)
                assert await socket.text() == "3probe"
                house.engine.sockets[session.sid].write(Frame(b"meanwhile"))
            assert await socket.closed_with() == 1000
            if said:
                assert await session.hears() == ["4meanwhile"]
            await session.post("4still here")
            assert await session.hears() == ["4still here"]
            socket = await session.upgrade()
            await socket.say("4and it can try again")
            assert await socket.text() == "4and it can try again"
            await socket.hang_up()
            await house.is_empty()

    @pytest.mark.parametrize(
        "data",
        [
            *(frame(text) for text in ("x", "4hello", "2", "5", "2probex", "")),
            *(frame(b"2probe", 2), frame(b"\xff\xff"), frame("2probe", mask=None), frame("2probe") * 2),
        ],
    )
    async def test_what_is_no_probe_closes_the_socket_and_the_polls_go_on(
        self, house: EngineHouse, data: bytes
    ) -> None:
        session = await house.polling()
        socket = await house.websocket(session.sid)
        await socket.send(data)
        assert await socket.closed_with() in (1000, 1002, 1007)
        assert house.echo.heard == []
        await session.post("4still here")
        assert await session.hears() == ["4still here"]

    async def test_a_client_that_goes_in_the_middle_leaves_the_polls(self, house: EngineHouse) -> None:
        session = await house.polling()
        socket = await house.websocket(session.sid)
        await socket.say("2probe")
        assert await socket.text() == "3probe"
        house.engine.sockets[session.sid].write(Frame(b"meanwhile"))
        await socket.reset()
        while house.engine._transports:
            await asyncio.sleep(0)
        assert await session.hears() == ["4meanwhile"]

    @pytest.mark.parametrize("probed", [False, True])
    async def test_a_session_that_ends_in_the_middle_takes_the_socket_with_it(self, probed: bool) -> None:
        async with engine_house(**PATIENT, upgrade_within=SOON) as house:
            session = await house.polling()
            socket = await house.websocket(session.sid)
            if probed:
                await socket.say("2probe")
                assert await socket.text() == "3probe"
            await session.post("1")
            await socket.say("5")
            assert await socket.closed_with() == 1000
            await house.is_empty()

    async def test_a_close_of_ours_in_the_middle_is_told(self, house: EngineHouse) -> None:
        session = await house.polling()
        socket = await house.websocket(session.sid)
        await socket.say("2probe")
        assert await socket.text() == "3probe"
        house.engine.sockets[session.sid].close("enough", Frame(b"goodbye"))
        assert await socket.closed_with() == 1000
        assert await session.hears() == ["4goodbye"]

    async def test_a_ping_that_fell_into_it_is_answered_on_the_new_transport(self) -> None:
        async with engine_house(heartbeat=SOON, pong_within=LATER, join_within=LATER) as house:
            session = await house.polling()
            socket = await house.websocket(session.sid)
            await socket.say("2probe")
            assert await socket.text() == "3probe"
            channel = house.engine.sockets[session.sid]
            while not channel._waits_for_pong:
                await asyncio.sleep(0.01)
            await socket.say("5")
            assert await socket.frame() == (1, b"2")
            await socket.say("3")
            await socket.say("4x")
            assert await socket.text() == "4x"
            assert house.engine.sockets[session.sid]._waits_for_pong is False
            await socket.hang_up()


class TestWebSocketSessions:
    """Sessions that begin on a WebSocket."""

    @pytest.mark.parametrize("packet", ["x", "", "0", "2", "2probe", "3x", "5", "6", "1x", "b", "bAQI="])
    async def test_what_means_nothing_closes_it(self, house: EngineHouse, packet: str) -> None:
        socket, sid = await house.websocket_session()
        await socket.say(packet)
        assert await socket.closed_with() == 1002
        assert await house.echo.loses(sid) == "parse error"
        await house.is_empty()

    async def test_text_and_binary_are_echoed(self, house: EngineHouse) -> None:
        socket, _ = await house.websocket_session()
        await socket.say("4€👍")
        assert await socket.text() == "4€👍"
        await socket.say(bytes(range(256)), 2)
        assert await socket.binary() == bytes(range(256))
        await socket.hang_up()

    async def test_a_client_that_closes_is_closed(self, house: EngineHouse) -> None:
        socket, sid = await house.websocket_session()
        await socket.say("1")
        assert await socket.closed_with() == 1000
        assert await house.echo.loses(sid) == "client disconnect"
        await house.is_empty()

    async def test_the_last_words_come_before_a_close_of_ours(self, house: EngineHouse) -> None:
        socket, sid = await house.websocket_session()
        house.engine.sockets[sid].close("enough", Frame(b"goodbye"))
        assert await socket.text() == "4goodbye"
        assert await socket.closed_with() == 1000
        assert house.echo.reasons[sid] == "enough"

    async def test_mistakes_are_logged_in_lines_of_bounded_length(self, caplog: pytest.LogCaptureFixture) -> None:
        async with engine_house(proxied=True) as house:
            headers = {"X-Address": "9" * 5_000}
            _, opened = await house.ask("GET", "polling", headers=headers)
            await Polling(house, json.loads(opened[1:])["sid"]).post("x")
            [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
            assert len(line) <= 200

    async def test_mistakes_are_logged_in_a_bounded_number_of_lines(
        self, house: EngineHouse, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(engine_module.LINES_A_SECOND * 3):
            socket, _ = await house.websocket_session()
            await socket.say("secret" * 100)
            await socket.closed_with()
        lines = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
        assert 0 < len(lines) <= 2 * engine_module.LINES_A_SECOND + 2
        assert not [line for line in lines if "secret" in line]


class TestLimits:
    """As many as there is room for, and room again when one goes."""

    async def test_the_server_is_full_at_its_limit(self) -> None:
        async with engine_house(**PATIENT, connections=3) as house:
            session = await house.polling()
            socket, sid = await house.websocket_session()
            other = await house.polling()
            assert (await house.ask("GET", "polling"))[0] == 503
            raw = await RawSocket.connect(house.port)
            await raw.send(handshake("/engine/?EIO=4&transport=websocket"))
            assert (await raw.answer())[0] == 503
            await raw.hang_up()
            await session.post("4hello")
            assert await session.hears() == ["4hello"]
            await socket.hang_up()
            await house.echo.loses(sid)
            session = await house.polling()
            assert (await house.ask("GET", "polling"))[0] == 503
            await other.leave()
            await house.polling()

    async def test_a_full_server_still_lets_sessions_upgrade(self) -> None:
        async with engine_house(**PATIENT, connections=1, connections_per_address=1) as house:
            socket = await (await house.polling()).upgrade()
            await socket.say("4hello")
            assert await socket.text() == "4hello"
            await socket.hang_up()

    async def test_each_address_has_a_limit_of_its_own(self) -> None:
        async with engine_house(**PATIENT, proxied=True, connections_per_address=2) as house:

            async def knock(address: str) -> int:
                return (await house.ask("GET", "polling", headers={"X-Address": address}))[0]

            assert [await knock("one") for _ in range(3)] == [200, 200, 429]
            assert [await knock("two") for _ in range(3)] == [200, 200, 429]
            gone = next(each for each in house.engine.sockets.values() if each.address == "one")
            gone.close("enough")
            assert await knock("one") == 429, "its last words are kept, so it counts"
            assert (await Polling(house, gone.sid).poll())[0] == 200
            assert [await knock("one") for _ in range(2)] == [200, 429]
            assert await knock("two") == 429

    async def test_many_at_once_do_not_slip_through(self) -> None:
        async with engine_house(**PATIENT, connections=5) as house:
            raws = [await RawSocket.connect(house.port) for _ in range(20)]
            for raw in raws:
                raw.writer.write(handshake("/engine/?EIO=4&transport=websocket"))
            statuses = [(await raw.answer())[0] for raw in raws]
            assert sorted(statuses) == [101] * 5 + [503] * 15
            for raw in raws:
                await raw.hang_up()
            await house.is_empty()

    async def test_an_upgrade_does_not_count_twice(self) -> None:
        async with engine_house(**PATIENT, connections=2) as house:
            socket = await (await house.polling()).upgrade()
            await house.polling()
            assert (await house.ask("GET", "polling"))[0] == 503
            await socket.hang_up()

    async def test_zero_is_no_limit(self) -> None:
        async with engine_house(**PATIENT, connections=0, connections_per_address=0) as house:
            for _ in range(600):
                await house.polling()
            assert len(house.engine.sockets) == 600


@pytest.fixture
async def sockets() -> AsyncIterator[Sockets]:
    """A Socket.IO server with namespaces of python-socketio's own kind; at the end, nobody may be left."""
    async with stock_server(**PATIENT) as running:
        yield running


class TestNamespaces:
    """What is above the sessions: entering and leaving, always answered and without ghosts."""

    async def test_a_handler_gets_what_the_client_brought(self, sockets: Sockets) -> None:
        await sockets.enter(auth={"token": "x"})
        await sockets.enter("/custom")
        assert sockets.root.story == [("connect", {"token": "x"})]
        assert sockets.custom.story == [("connect", None)]

    async def test_a_refusal_carries_its_words_and_data(self, sockets: Sockets) -> None:
        wire = await sockets.open()
        await wire.connect("/custom", {"wish": "refuse"})
        assert await wire.packet() == '44/custom,{"message":"Not you.","data":{"code":"sign-in"}}'
        assert not sockets.server.manager.rooms
        await wire.connect("/custom")
        assert (await wire.packet()).startswith('40/custom,{"sid":')

    async def test_a_handler_that_raises_is_answered_and_leaves_no_ghost(
        self, sockets: Sockets, caplog: pytest.LogCaptureFixture
    ) -> None:
        wire = await sockets.open()
        await wire.connect("/", {"wish": "raise"})
        answer = json.loads((await wire.packet()).removeprefix("44"))
        assert answer["message"] == "internal"
        assert answer["data"]["message"] in caplog.text
        assert "store" not in json.dumps(answer)
        assert not sockets.server.manager.rooms
        await wire.connect()
        assert (await wire.packet()).startswith("40")

    async def test_an_unknown_namespace_is_refused_in_words(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        await wire.connect("/unknown")
        assert await wire.packet() == '44/unknown,{"message":"Invalid namespace"}'
        assert await wire.call(1, "echo", "x") == ["x"]

    async def test_a_query_behind_a_namespace_is_no_part_of_it(self, sockets: Sockets) -> None:
        wire = await sockets.open()
        await wire.connect("/custom?token=x")
        assert (await wire.packet()).startswith("40/custom,")

    async def test_attempts_are_counted_and_bounded(self, sockets: Sockets) -> None:
        wire = await sockets.open()
        for _ in range(Limits().attempts):
            await wire.connect("/unknown")
            assert (await wire.packet()).startswith("44/unknown,")
        await wire.connect("/unknown")
        assert await wire.raw.closed_with() == 1002

    async def test_entering_twice_is_refused_and_the_first_stays(self, sockets: Sockets) -> None:
        wire = await sockets.enter(auth={"who": "first"})
        await wire.connect("/", {"who": "second"})
        assert (await wire.packet()).startswith('44{"message":')
        assert await wire.call(1, "session") == [{"auth": {"who": "first"}}]

    async def test_leaving_and_entering_again_is_a_new_beginning(self, sockets: Sockets) -> None:
        wire = await sockets.enter(auth={"who": "first"})
        await wire.call(1, "enter", "room")
        await wire.send("1")
        await wire.connect()
        assert (await wire.packet()).startswith("40")
        assert await wire.call(2, "session") == [{}]
        other = await sockets.enter()
        await other.call(1, "say", "room", "are you there?")
        assert await wire.call(3, "echo") == []
        assert sockets.root.story[1] == ("disconnect", "client disconnect")

    async def test_one_namespace_is_left_and_the_other_stays(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        await wire.connect("/custom")
        assert (await wire.packet()).startswith("40/custom,")
        await wire.send("1/custom,")
        assert await wire.call(1, "echo", "x") == ["x"]
        assert sockets.custom.story[-1] == ("disconnect", "client disconnect")

    async def test_what_follows_a_slow_entrance_waits_for_it_in_order(self, sockets: Sockets) -> None:
        wire = await sockets.open()
        await wire.connect("/", {"wish": "slow"})
        for number in range(50):
            await wire.send(f'2{number}["echo",{number}]')
        await sockets.root.entered.wait()
        sockets.root.gate.set()
        assert (await wire.packet()).startswith("40")
        assert [await wire.packet() for _ in range(50)] == [f"43{number}[{number}]" for number in range(50)]
        assert sockets.root.story[1:] == [("echo", number) for number in range(50)]

    async def test_events_of_one_connection_run_one_after_the_other(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        await wire.send('21["pause",1]')
        await wire.send('22["echo",2]')
        other = await sockets.enter()
        assert await other.call(1, "echo", "others do not wait") == ["others do not wait"]
        sockets.root.gate.set()
        assert [await wire.packet() for _ in range(2)] == ["431[1]", "432[2]"]

    async def test_a_client_that_goes_during_a_slow_entrance_leaves_no_ghost(self, sockets: Sockets) -> None:
        wire = await sockets.open()
        await wire.connect("/", {"wish": "slow"})
        await sockets.root.entered.wait()
        await wire.raw.reset()
        while sockets.server.eio.sockets:
            await asyncio.sleep(0)
        sockets.root.gate.set()
        await sockets.is_empty()
        assert [name for name, _ in sockets.root.story] == ["connect", "disconnect"]

    @pytest.mark.parametrize("end", [frame("1"), frame(b"\x03\xe8", CLOSE), frame("41"), frame("41") + frame("1")])
    async def test_one_that_goes_in_the_same_breath_leaves_no_ghost(self, sockets: Sockets, end: bytes) -> None:
        """Before its entrance has even begun."""
        wire = await sockets.open()
        await wire.raw.send(frame("40") + end)
        await asyncio.sleep(0)
        await wire.leave()
        await sockets.is_empty()

    async def test_one_that_goes_before_its_second_entrance_leaves_no_ghost(self, sockets: Sockets) -> None:
        wire = await sockets.open()
        await wire.connect("/", {"wish": "slow"})
        await wire.connect("/custom")
        await sockets.root.entered.wait()
        await wire.raw.reset()
        while sockets.server.eio.sockets:
            await asyncio.sleep(0)
        sockets.root.gate.set()
        await sockets.is_empty()

    async def test_a_polling_client_that_closes_with_its_entrance_leaves_no_ghost(self, sockets: Sockets) -> None:
        address = f"http://127.0.0.1:{sockets.port}/socket.io/?EIO=4&transport=polling"
        async with aiohttp.ClientSession() as http:
            async with http.get(address) as got:
                sid = json.loads((await got.text())[1:])["sid"]
            async with http.post(f"{address}&sid={sid}", data="40\x1e40/custom,\x1e1") as got:
                assert got.status == 200
        await sockets.is_empty()

    async def test_a_handler_that_raises_at_the_end_keeps_nobody(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        sockets.root.fails_at_the_end = True
        await wire.leave()
        await sockets.is_empty()
        assert [name for name, _ in sockets.root.story] == ["connect", "disconnect"]

    async def test_the_server_can_show_somebody_out(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        await sockets.root.disconnect(sockets.root.here[0])
        assert await wire.packet() == "41"
        assert sockets.root.story[-1] == ("disconnect", "server disconnect")
        assert sockets.root.here == []

    @pytest.mark.parametrize("by", ["41", "1", "the server"], ids=["namespace", "session", "server"])
    async def test_a_handler_is_told_of_an_end_with_the_session_still_there(self, sockets: Sockets, by: str) -> None:
        wire = await sockets.enter(auth={"who": "me"})
        if by == "the server":
            await sockets.root.disconnect(sockets.root.here[0])
        else:
            await wire.raw.say(by)
        assert await asyncio.wait_for(_last(sockets, "disconnect"), PATIENCE_SECONDS)
        assert sockets.root.session_at_the_end == {"auth": {"who": "me"}}


class TestDirectNamespaces:
    """What users of python-socketio call holds for `/chat` as well, which is driven in our way."""

    @pytest.fixture
    async def house(self, tmp_path: Path) -> AsyncIterator[OpenHouse]:
        async with open_house(tmp_path / "data") as opened:
            yield opened

    @staticmethod
    async def opened(house: OpenHouse) -> tuple[Wire, str]:
        """A connection in `/chat`, and its id there."""
        raw = await RawSocket.open(int(house.server.url.rpartition(":")[2]), "/socket.io/?EIO=4&transport=websocket")
        wire = Wire(raw, "")
        await wire.packet()
        await wire.connect("/chat")
        return wire, json.loads((await wire.packet()).removeprefix("40/chat,"))["sid"]

    async def test_the_session_of_a_connection_is_who_has_entered(self, house: OpenHouse) -> None:
        wire, sid = await self.opened(house)
        server = house.server.house.server
        connection = await server.get_session(sid, "/chat")
        assert connection is house.server.house.delivery.connection(ConnectionId(sid))
        assert await wire.call(1, "join", "bob", namespace="/chat") == [True, "bob"]
        async with house.server.house.chat.session(sid) as session:
            assert session.session.account.name == "bob"
        await wire.raw.hang_up()
        while server.eio.sockets:
            await asyncio.sleep(0)
        assert not server._sessions
        with pytest.raises(KeyError):
            await server.get_session(sid, "/chat")

    async def test_one_connection_can_be_told_alone_and_asked(self, house: OpenHouse) -> None:
        one, sid = await self.opened(house)
        other, _ = await self.opened(house)
        await house.server.house.server.emit("hello", {"to": "you"}, to=sid, namespace="/chat")
        assert await one.packet() == '42/chat,["hello",{"to":"you"}]'
        asking = asyncio.create_task(house.server.house.chat.call("question", "?", sid=sid, timeout=5))
        question = await one.packet()
        assert question.startswith("42/chat,")
        await one.send("3" + question[2:].partition("[")[0] + '["answer"]')
        assert await asking == "answer"
        assert (await other.call(1, "unheard of", namespace="/chat"))[0] is False, "and was told nothing"
        for wire in (one, other):
            await wire.raw.hang_up()

    async def test_the_server_can_show_somebody_out_who_is_heard_no_more(self, house: OpenHouse) -> None:
        wire, sid = await self.opened(house)
        assert await wire.call(1, "join", "bob", namespace="/chat") == [True, "bob"]
        await house.server.house.server.disconnect(sid, "/chat")
        while (last := await wire.packet()).startswith("42/chat,"):
            pass
        assert last == "41/chat,"
        assert house.server.house.delivery.connection(ConnectionId(sid)) is None
        await wire.send('2/chat,2["message","still here"]')
        assert await wire.raw.closed_with() == 1002


class TestEvents:
    """Events of namespaces of python-socketio's own kind."""

    async def test_rooms_reach_who_is_in_them_and_not_the_sender(self, sockets: Sockets) -> None:
        one, two, three = [await sockets.enter() for _ in range(3)]
        for number, wire in enumerate((one, two)):
            await wire.call(number, "enter", "room")
        await one.call(5, "say", "room", {"a": [1]})
        assert await two.packet() == '42["said",{"a":[1]}]'
        assert await one.call(6, "echo") == []
        assert await three.call(7, "echo") == []
        await two.call(8, "leave", "room")
        await one.call(9, "say", "room", "again")
        assert await two.call(10, "echo") == []

    async def test_one_connection_can_be_told_alone_and_asked(self, sockets: Sockets) -> None:
        one, other = await sockets.enter(), await sockets.enter()
        await sockets.root.emit("hello", {"to": "you"}, to=sockets.root.here[0])
        assert await one.packet() == '42["hello",{"to":"you"}]'
        assert await other.call(1, "echo") == []
        asking = asyncio.create_task(sockets.root.call("question", "?", sid=sockets.root.here[0], timeout=5))
        question = await one.packet()
        assert question.startswith("42")
        assert question.endswith('["question","?"]')
        await one.send("3" + question[2:].partition("[")[0] + '["answer"]')
        assert await asking == "answer"

    async def test_binary_goes_both_ways(self, sockets: Sockets) -> None:
        wire = await sockets.enter("/custom")
        places = '{"_placeholder":true,"num":1},{"a":{"_placeholder":true,"num":0}}'
        await wire.send(f'52-/custom,7["echo",{places}]', b"\1", b"\2\3")
        assert (await wire.packet()).startswith("462-/custom,7[")
        assert [await wire.raw.binary() for _ in range(2)] == [b"\2\3", b"\1"]
        assert sockets.custom.story[-1] == ("echo", b"\2\3", {"a": b"\1"})

    async def test_a_failing_event_is_logged_and_the_next_one_runs(
        self, sockets: Sockets, caplog: pytest.LogCaptureFixture
    ) -> None:
        wire = await sockets.enter()
        await wire.send('21["fail"]')
        assert await wire.call(2, "echo", "x") == ["x"]
        assert "an event failed" in caplog.text

    @pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error"])
    async def test_reserved_names_run_nothing(self, sockets: Sockets, name: str) -> None:
        wire = await sockets.enter(auth={"who": "me"})
        await wire.send(f'2["{name}",{{"REMOTE_ADDR":"x"}},{{"who":"admin"}}]')
        assert await wire.call(1, "session") == [{"auth": {"who": "me"}}]
        assert sockets.root.story == [("connect", {"who": "me"})]

    @pytest.mark.parametrize("packet", ['2["echo"]', '2/custom,["echo"]', "31[]", '2/unknown,["x"]'])
    async def test_an_event_where_one_is_not_closes_the_connection(self, sockets: Sockets, packet: str) -> None:
        wire = await sockets.open()
        await wire.send(packet)
        assert await wire.raw.closed_with() == 1002

    @pytest.mark.parametrize("packet", ["x", "", "7", "2{}", "2[]", '4{"message":"x"}', "0[]", "21-[]", "2[NaN]"])
    async def test_what_is_no_packet_closes_the_connection(self, sockets: Sockets, packet: str) -> None:
        wire = await sockets.enter()
        await wire.send(packet)
        assert await wire.raw.closed_with() == 1002
        assert (await asyncio.wait_for(_last(sockets, "disconnect"), 3))[1] == "parse error"

    async def test_answers_that_nobody_waits_for_are_harmless_and_silent(
        self, sockets: Sockets, caplog: pytest.LogCaptureFixture
    ) -> None:
        sockets.server.logger.setLevel("WARNING")
        wire = await sockets.enter()
        for number in range(200):
            await wire.send(f"3{number}[]")
        assert await wire.call(1, "echo", "x") == ["x"]
        assert len(caplog.records) <= 2 * engine_module.LINES_A_SECOND

    @pytest.mark.parametrize(
        "flood",
        [frame("4x"), frame("3"), frame(b"x", BINARY)],
        ids=["messages", "pongs", "attachments"],
    )
    async def test_whoever_sends_too_much_for_too_long_is_let_go(self, flood: bytes) -> None:
        async with engine_house(packets=Rate(0.01, 5)) as house:
            flooder, _ = await house.websocket_session()
            other, _ = await house.websocket_session()
            await flooder.send(flood * 5)
            await flooder.say(b"", PING)
            while (await flooder.frame())[0] != PONG:
                pass
            await flooder.send(flood)
            assert await flooder.closed_with() == 1002
            await other.say("4hello")
            assert await other.text() == "4hello"

    @pytest.mark.parametrize("rate", [Rate(1_000_000.0, 3), Rate(0.0, 3)], ids=["as time goes on", "without a limit"])
    async def test_more_may_be_sent(self, rate: Rate) -> None:
        async with engine_house(packets=rate) as house:
            socket, _ = await house.websocket_session()
            for number in range(50):
                await socket.say(f"4{number}")
                assert await socket.text() == f"4{number}"

    async def test_what_waits_behind_a_slow_event_is_bounded(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        await wire.send('2["pause",1]')
        await wire.raw.send(frame('42["echo"]') * (Limits().backlog + 10))
        assert await wire.raw.closed_with() == 1002

    async def test_leaving_again_and_again_behind_a_slow_event_is_bounded(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        await wire.send('2["pause",1]')
        await wire.raw.send(frame("41/x,") * (2 * Limits().backlog))
        await wire.raw.say(b"", 9)
        opcode, _ = await wire.raw.frame()
        waiting = max(sockets.server._queues._waiting.values(), default=0)
        assert opcode == CLOSE or waiting <= Limits().backlog + 1, f"{waiting} wait"


async def _last(sockets: Sockets, name: str) -> Any:
    while not (found := [each for each in sockets.root.story if each[0] == name]):
        await asyncio.sleep(0)
    return found[-1]


class TestAttachments:
    """Binary packets: what was announced, no more, each once."""

    @pytest.mark.parametrize("packet", ['5999999999-["x"]', '59999-["x"]', '517-["x"]', "617-1[]"])
    async def test_too_many_are_refused_before_the_first(self, sockets: Sockets, packet: str) -> None:
        wire = await sockets.enter()
        await wire.send(packet)
        assert await wire.raw.closed_with() == 1002

    @pytest.mark.parametrize("instead", ['2["echo"]', "1", "0/custom,", '51-["echo"]'])
    async def test_what_comes_instead_of_one_closes_the_connection(self, sockets: Sockets, instead: str) -> None:
        wire = await sockets.enter()
        await wire.send('51-["echo",{"_placeholder":true,"num":0}]')
        await wire.send(instead)
        assert await wire.raw.closed_with() == 1002
        assert sockets.root.story[1:] == [("disconnect", "parse error")] or len(sockets.root.story) == 1

    async def test_one_that_nobody_announced_closes_the_connection(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        await wire.send('51-1["echo",{"_placeholder":true,"num":0}]', b"one", b"two")
        assert await wire.raw.closed_with() == 1002

    async def test_one_that_never_comes_leaves_nothing_behind(self, sockets: Sockets) -> None:
        wire = await sockets.enter()
        await wire.send('52-["echo"]', b"x" * 100_000)
        await wire.leave()
        await sockets.is_empty()

    @pytest.mark.parametrize(
        "places",
        [
            '{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}',
            '[{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":0}}]',
            '{"_placeholder":true,"num":1}',
            '{"_placeholder":true,"num":-1}',
            '{"_placeholder":true,"num":"0"}',
            '{"_placeholder":true,"num":null}',
            '{"_placeholder":true}',
            '{"_placeholder":true,"num":0.0}',
            '{"_placeholder":true,"num":false}',
        ],
    )
    async def test_a_place_names_an_attachment_of_its_own(self, sockets: Sockets, places: str) -> None:
        """One attachment in a thousand places would be sent back a thousand times."""
        wire = await sockets.enter()
        await wire.send(f'51-1["echo",{places}]', b"x" * 1_000)
        assert await wire.raw.closed_with() == 1002
        assert not [each for each in sockets.root.story if each[0] == "echo"]

    @pytest.mark.parametrize("depth", [200, 500, 900, 1_500, 30_000])
    async def test_deep_places_are_read_or_refused_without_a_crash(
        self, sockets: Sockets, depth: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        wire = await sockets.enter()
        await wire.send(f'51-1["nobody",{"[" * depth}{"]" * depth}]', b"x")
        await wire.raw.say(b"", 9)
        opcode, _ = await asyncio.wait_for(wire.raw.frame(), 3)
        assert opcode in (10, CLOSE)
        assert not [record for record in caplog.records if record.name == "asyncio" or record.exc_info]

    async def test_chat_keeps_nothing_of_what_it_will_refuse(self, tmp_path: Path) -> None:
        """While the last attachment is still to come, the others cost as little as that they were."""
        async with serving(tmp_path / "data") as server:
            raw = await RawSocket.open(int(server.url.rpartition(":")[2]), "/socket.io/?EIO=4&transport=websocket")
            wire = Wire(raw, "")
            await wire.packet()
            await raw.say("40/chat,")
            await wire.packet()
            await raw.say('4516-/chat,["message"]')
            for _ in range(15):
                await raw.say(b"x" * 100_000, BINARY)
            await raw.say(b"", PING)
            assert await raw.frame() == (PONG, b"")
            [waiting] = server.house.server._attachments.values()
            assert waiting._parts == [b""] * 15
            await raw.hang_up()

    async def test_chat_refuses_binary_in_words_and_the_connection_stays(self, tmp_path: Path) -> None:
        async with serving(tmp_path / "data") as server:
            port = int(server.url.rpartition(":")[2])
            raw = await RawSocket.open(port, "/socket.io/?EIO=4&transport=websocket")
            wire = Wire(raw, "")
            assert (await wire.packet())[0] == "0"
            await wire.connect("/chat")
            assert (await wire.packet()).startswith("40/chat,")
            assert await wire.call(1, "join", "bob", namespace="/chat") == [True, "bob"]
            await wire.send('51-/chat,2["message",{"_placeholder":true,"num":0}]', b"x" * 1_000)
            while not (answer := await wire.packet()).startswith("43/chat,2"):
                pass
            accepted, why = json.loads(answer.removeprefix("43/chat,2"))
            assert accepted is False
            assert isinstance(why, str)
            assert await wire.call(3, "message", "still here", namespace="/chat") == [True, "still here"]
            await raw.hang_up()

    @pytest.mark.parametrize("depth", [300, 480, 900, 1_500])
    async def test_chat_survives_deep_places_too(
        self, tmp_path: Path, depth: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serving(tmp_path / "data") as server:
            port = int(server.url.rpartition(":")[2])
            raw = await RawSocket.open(port, "/socket.io/?EIO=4&transport=websocket")
            await raw.text()
            await raw.say("40/chat,")
            await raw.text()
            await raw.say(f'451-/chat,1["message",{"[" * depth}{"]" * depth}]')
            await raw.say(b"x", 2)
            await raw.say(b"", 9)
            while (await raw.frame())[0] not in (10, CLOSE):
                pass
            await raw.hang_up()
            while server.house.server.eio.sockets:
                await asyncio.sleep(0)
        assert not [record for record in caplog.records if record.name == "asyncio" or record.exc_info]
