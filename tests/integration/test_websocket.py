"""RFC 6455 to the byte, on real sockets."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from chatzilla.core.limits import Rate
from chatzilla.realtime import websocket
from tests.helpers.engines import EngineHouse, engine_house
from tests.helpers.sockets import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame, handshake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/engine/?EIO=4&transport=websocket"
LIMIT = 1_000_000
PATIENT: dict[str, Any] = {"heartbeat": 60.0, "pong_within": 60.0, "join_within": 60.0}


@pytest.fixture
async def house() -> AsyncIterator[EngineHouse]:
    async with engine_house(**PATIENT, payload=LIMIT, packets=Rate(0.0, 1)) as opened:
        yield opened


@pytest.fixture
async def socket(house: EngineHouse) -> AsyncIterator[RawSocket]:
    """A WebSocket whose session is open; at the end, nothing of it may be left anywhere."""
    opened, _ = await house.websocket_session()
    yield opened
    await opened.hang_up()
    await house.is_empty()
    assert len(house.echo.reasons) == len(house.echo.channels)
    await house.http.close()
    assert house.runner.server is not None
    async with asyncio.timeout(3):
        while house.runner.server.connections:
            await asyncio.sleep(0.01)


async def still_works(socket: RawSocket) -> None:
    await socket.say("4still here")
    assert await socket.text() == "4still here"


async def test_one_that_is_gone_is_gone_from_memory_at_once(house: EngineHouse) -> None:
    """A server looks for circles in what has lived long about once in ten million things that it makes."""
    gc.collect()
    gc.disable()
    try:
        opened, _ = await house.websocket_session()
        await opened.hang_up()
        await house.is_empty()
        house.echo.channels.clear()
        assert not [it for it in gc.get_objects() if isinstance(it, websocket.WebSocket)]
    finally:
        gc.enable()


class Flooded(websocket.WebSocket):
    """One on which there is always more to read, of whatever kind."""

    def feed(self, data: bytes) -> None:
        self.read = len(data)

    def turn(self) -> int:
        """What asyncio does when there is something; returns how much of it was read."""
        self.buffer_updated(len(self.get_buffer(-1)))
        return self.read


async def test_those_who_say_as_much_as_they_can_share_a_turn() -> None:
    """However many they are; and whoever comes after them reads as much as ever."""
    hub = websocket.Hub(asyncio.get_running_loop())
    crowd = [Flooded(asyncio.Transport(), hub, LIMIT) for _ in range(64)]
    assert {socket.turn() for socket in crowd} == {websocket.READ_BUFFER}, "nobody knows yet"
    for _ in range(3):
        await asyncio.sleep(0)
        portions = [socket.turn() for socket in crowd]
        assert min(portions) == websocket.LEAST_READ
        assert sum(portions) <= 2 * websocket.READ_BUFFER
    await asyncio.sleep(0)
    assert crowd[0].turn() == websocket.LEAST_READ
    await asyncio.sleep(0)
    assert crowd[0].turn() == websocket.READ_BUFFER, "alone again"
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(crowd[0].get_buffer(-1)) == websocket.READ_BUFFER


class TestFrames:
    """What a message may be cut into, and what breaks the rules."""

    @pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 200_000, LIMIT - 1])
    async def test_every_length_is_carried(self, socket: RawSocket, size: int) -> None:
        await socket.say("4" + "x" * size)
        assert await socket.text() == "4" + "x" * size

    @pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\2\3\4"])
    @pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 1_000])
    async def test_every_mask_is_undone(self, socket: RawSocket, mask: bytes, size: int) -> None:
        data = bytes(number % 256 for number in range(size))
        await socket.send(frame(data, BINARY, mask=mask))
        assert await socket.binary() == data

    async def test_a_text_in_pieces_is_one(self, socket: RawSocket) -> None:
        pieces = ["4", "one ", "", "two"]
        data = frame(pieces[0], TEXT, final=False)
        data += b"".join(frame(piece, CONTINUATION, final=False) for piece in pieces[1:])
        await socket.send(data + frame("", CONTINUATION))
        assert await socket.text() == "4one two"
        await still_works(socket)

    async def test_a_character_may_be_cut_in_two(self, socket: RawSocket) -> None:
        data = "4€".encode()
        for cut in range(1, len(data)):
            await socket.send(frame(data[:cut], TEXT, final=False) + frame(data[cut:], CONTINUATION))
            assert await socket.text() == "4€"

    async def test_control_frames_may_stand_between_the_pieces(self, socket: RawSocket) -> None:
        await socket.send(frame(b"\1\2", BINARY, final=False))
        await socket.send(frame(b"are you there?", PING))
        assert await socket.frame() == (PONG, b"are you there?")
        await socket.send(frame(b"unasked", PONG) + frame(b"\3", CONTINUATION))
        assert await socket.binary() == b"\1\2\3"

    async def test_a_frame_cut_at_every_byte_is_one(self, house: EngineHouse, socket: RawSocket) -> None:
        for size in (3, 130, 70_000):
            data = frame("4" + "x" * size)
            cuts = range(1, len(data)) if size < 200 else (1, 2, 5, 9, 10, 13, 14, 15, 40_000, len(data) - 1)
            [server] = house.engine._transports
            for cut in cuts:
                server.feed(data[:cut])
                server.feed(data[cut:])
                assert await socket.text() == "4" + "x" * size

    async def test_one_byte_at_a_time_over_the_network(self, house: EngineHouse, socket: RawSocket) -> None:
        for byte in frame("4slowly"):
            await socket.send(bytes((byte,)))
            await house.ask("GET", "none")
        assert await socket.text() == "4slowly"

    async def test_many_frames_at_once_are_many(self, socket: RawSocket) -> None:
        await socket.send(b"".join(frame(f"4{number}") for number in range(500)))
        assert [await socket.text() for _ in range(500)] == [f"4{number}" for number in range(500)]

    async def test_a_length_may_be_written_longer_than_needed(self, socket: RawSocket) -> None:
        """Not as RFC 6455, 5.2 asks of clients; either way it is clear where the frame ends."""
        await socket.send(b"\x81\xfe\x00\x01\0\0\0\0" + b"1")
        assert await socket.closed_with() in (1000, 1002)

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (frame("4x", mask=None), 1002),
            (frame("4x", reserved=0x40), 1002),
            (frame("4x", reserved=0x20), 1002),
            (frame("4x", reserved=0x10), 1002),
            *((frame("4x", opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
            (frame("4x", CONTINUATION), 1002),
            (frame("4x", TEXT, final=False) + frame("4y", TEXT), 1002),
            (frame("4x", BINARY, final=False) + frame("4y", BINARY, final=False), 1002),
            (frame(b"x" * 126, PING), 1002),
            (frame(b"x" * 126, PONG), 1002),
            (frame(b"x" * 70_000, PING), 1002),
            (frame(b"\x03\xe8" + b"x" * 124, CLOSE), 1002),
            (frame(b"x", PING, final=False), 1002),
            (frame(b"x", PONG, final=False), 1002),
            (frame(b"", CLOSE, final=False), 1002),
            (frame(b"4\xff"), 1007),
            (frame(b"4\xc0\xaf"), 1007),
            (frame(b"4\xed\xa0\x80"), 1007),
            (frame(b"4\xf4\x90\x80\x80"), 1007),
            (frame(b"4\xe2\x82"), 1007),
            (frame(b"4\xe2", TEXT, final=False) + frame(b"\x28", CONTINUATION), 1007),
            (frame("4" + "x" * LIMIT), 1009),
            (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
            (b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 1009),
            (frame("4" + "x" * 600_000, final=False) + frame("x" * 400_000, CONTINUATION), 1009),
            (frame("4", final=False) + frame("x" * 1_000, CONTINUATION, final=False) * 1_001, 1009),
        ],
        ids=lambda value: value[:6].hex() + f"-{len(value)}" if isinstance(value, bytes) else str(value),
    )
    async def test_what_breaks_the_rules_ends_the_connection_with_its_code(
        self, house: EngineHouse, socket: RawSocket, data: bytes, code: int
    ) -> None:
        await socket.send(data + frame("4never heard"))
        assert await socket.closed_with() == code
        assert house.echo.heard == []

    @pytest.mark.parametrize("size", [b"\x80\x80", b"\x81\x81"])
    async def test_empty_pieces_without_end_are_refused_soon(self, socket: RawSocket, size: bytes) -> None:
        """However small the pieces are, they cost a bounded amount of time and memory."""
        piece = frame("" if size == b"\x80\x80" else "x", CONTINUATION, final=False)
        began = time.process_time()
        await socket.send(frame("4", final=False) + piece * 60_000)
        assert await socket.closed_with() == 1009
        assert time.process_time() - began < 1.0, "the cost of a piece grows with those before it"

    async def test_the_cost_of_pieces_is_their_own(self, socket: RawSocket) -> None:
        """Fifteen thousand of one byte stop the others for no longer than as many messages do."""

        async def cost(data: bytes, ends: int) -> float:
            began = time.process_time()
            await socket.send(data)
            for _ in range(ends):
                await socket.text()
            return time.process_time() - began

        pieces = frame("4", final=False) + frame("x", CONTINUATION, final=False) * 15_000 + frame("", CONTINUATION)
        messages = frame("4x") * 15_000
        assert await cost(pieces, 1) < await cost(messages, 15_000)


class TestControl:
    """Pings, pongs and closing."""

    @pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))])
    async def test_a_ping_is_answered_with_what_it_carries(self, socket: RawSocket, payload: bytes) -> None:
        await socket.say(payload, PING)
        assert await socket.frame() == (PONG, payload)

    async def test_many_pings_at_once_cost_few_writes(self, socket: RawSocket, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else a client that sends nothing but pings keeps everybody else waiting, a system call for each."""
        written: list[int] = []
        write = os.write

        def counted(descriptor: int, data: bytes) -> int:
            written.append(len(data))
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", counted)
        await socket.send(b"".join(frame(b"%d" % number, PING) for number in range(500)))
        assert [await socket.frame() for _ in range(500)] == [(PONG, b"%d" % number) for number in range(500)]
        assert len(written) < 20

    async def test_a_pong_that_nobody_asked_for_is_harmless(self, socket: RawSocket) -> None:
        await socket.say(b"unasked", PONG)
        await still_works(socket)

    @pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe9", b"\x03\xe8bye", b"\x0f\xa0", b"\x03"])
    async def test_a_close_is_answered_and_the_stream_ends(
        self, house: EngineHouse, socket: RawSocket, payload: bytes
    ) -> None:
        await socket.say(payload, CLOSE)
        opcode, answer = await socket.frame()
        assert opcode == CLOSE
        assert int.from_bytes(answer[:2], "big") in (1000, 1001, 1002)
        await socket.is_over()
        assert list(house.echo.reasons.values()) == ["transport close"]

    async def test_nothing_behind_a_close_is_heard(self, house: EngineHouse, socket: RawSocket) -> None:
        await socket.send(frame("4before") + frame(b"\x03\xe8", CLOSE) + frame("4after") + frame("ping", PING))
        assert await socket.closed_with() == 1000
        assert house.echo.heard == ["before"]

    async def test_what_was_said_before_our_close_comes_before_it(self, house: EngineHouse, socket: RawSocket) -> None:
        [server] = house.engine._transports
        for number in range(100):
            server.write_soon(websocket.frame(str(number).encode()))
        server.close()
        assert [(await socket.frame())[1] for _ in range(100)] == [str(number).encode() for number in range(100)]
        assert await socket.closed_with() == 1000

    async def test_whoever_does_not_answer_our_close_is_cut(
        self, house: EngineHouse, socket: RawSocket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(websocket, "CLOSING_SECONDS", 0.1)
        [server] = house.engine._transports
        server.close()
        assert (await socket.frame())[0] == CLOSE
        await socket.send(frame("4talks on") * 10)
        await socket.is_over()
        assert house.echo.heard == []

    async def test_an_end_without_a_close_is_an_end(self, house: EngineHouse, socket: RawSocket) -> None:
        socket.writer.write_eof()
        await socket.is_over()
        await house.is_empty()
        assert list(house.echo.reasons.values()) == ["transport close"]

    async def test_an_end_within_a_frame_is_an_end(self, house: EngineHouse, socket: RawSocket) -> None:
        await socket.send(frame("4" + "x" * 1_000)[:500])
        socket.writer.write_eof()
        await socket.is_over()
        await house.is_empty()
        assert house.echo.heard == []

    async def test_a_cut_line_is_told_once(self, house: EngineHouse, socket: RawSocket) -> None:
        await socket.reset()
        await house.is_empty()
        assert len(house.echo.reasons) == 1
        assert house.runner.server is not None
        assert not house.runner.server.connections

    async def test_writing_to_whoever_is_gone_is_harmless(self, house: EngineHouse, socket: RawSocket) -> None:
        [server] = house.engine._transports
        await socket.reset()
        for _ in range(100):
            server.write(websocket.frame(b"x" * 10_000))
            server.write_soon(websocket.frame(b"x"))
        await house.is_empty()
        server.write(b"x")
        server.write_soon(b"x")
        server.close()
        await asyncio.sleep(0)


class TestWriting:
    """What is written arrives whole and in order, also when the reader is slower."""

    async def test_a_megabyte_that_the_kernel_does_not_take_at_once(
        self, house: EngineHouse, socket: RawSocket
    ) -> None:
        [server] = house.engine._transports
        socket.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of sockets can
        sent = [bytes((number,)) * size for number, size in enumerate((10, 1_000_000, 10, 70_000, 1, 300_000, 5))]
        waiting = 0
        for each in sent:
            waiting = server.write(websocket.binary_frame(each))
        assert waiting > 100_000, "the kernel took everything, so this shows nothing"
        for number in range(5):
            server.write_soon(websocket.binary_frame(b"soon %d" % number))
        socket.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert [await socket.binary() for _ in sent] == sent
        assert [await socket.binary() for _ in range(5)] == [b"soon %d" % number for number in range(5)]
        assert server.write(websocket.binary_frame(b"directly again")) == 0
        assert await socket.binary() == b"directly again"

    async def test_soon_and_at_once_keep_their_order(self, house: EngineHouse, socket: RawSocket) -> None:
        [server] = house.engine._transports
        for number in range(0, 30, 3):
            server.write_soon(websocket.frame(b"%d" % number))
            server.write_soon(websocket.frame(b"%d" % (number + 1)))
            server.write(websocket.frame(b"%d" % (number + 2)))
        heard = [(await socket.frame())[1] for _ in range(30)]
        assert heard == [b"%d" % number for number in range(30)]


class TestHandshake:
    """From HTTP to frames, without losing a byte in between."""

    @pytest.mark.parametrize(
        "changed",
        [
            {"Sec_WebSocket_Version": "8"},
            {"Sec_WebSocket_Version": "14"},
            {"Sec_WebSocket_Version": "13, 8"},
            {"Sec_WebSocket_Version": None},
            {"Sec_WebSocket_Key": None},
            {"Sec_WebSocket_Key": ""},
            {"Sec_WebSocket_Key": "short"},
            {"Sec_WebSocket_Key": "!!!!!!!!!!!!!!!!!!!!!!=="},
            {"Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAAAA"},
            {"Connection": "keep-alive"},
            {"Connection": "close"},
            {"Connection": None},
            {"Upgrade": None},
            {"Upgrade": "h2c"},
        ],
        ids=str,
    )
    async def test_what_is_no_handshake_is_refused_at_once(
        self, house: EngineHouse, changed: dict[str, str | None]
    ) -> None:
        async with await RawSocket.connect(house.port) as raw:
            await raw.send(handshake(PATH, **changed))
            assert (await raw.answer())[0] == 400
        assert not house.left()

    async def test_the_answer_is_that_of_the_standard(self, house: EngineHouse) -> None:
        async with await RawSocket.connect(house.port) as raw:
            await raw.send(handshake(PATH, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
            status, headers, _ = await raw.answer()
            assert status == 101
            assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            assert headers["upgrade"].lower() == "websocket"
            assert headers["connection"].lower() == "upgrade"
            assert "content-length" not in headers
            assert "transfer-encoding" not in headers

    async def test_names_are_read_in_any_case_and_company(self, house: EngineHouse) -> None:
        changed = {"Upgrade": "WebSocket", "Connection": "keep-alive, UPGRADE"}
        async with await RawSocket.open(house.port, PATH, **changed) as raw:
            assert (await raw.text())[0] == "0"

    async def test_extensions_and_protocols_are_offered_in_vain(self, house: EngineHouse) -> None:
        raw = await RawSocket.connect(house.port)
        extra = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: a, b"
        await raw.send(handshake(PATH).removesuffix(b"\r\n") + extra + b"\r\n\r\n")
        status, headers, _ = await raw.answer()
        assert status == 101
        assert "sec-websocket-extensions" not in headers
        assert "sec-websocket-protocol" not in headers
        assert (await raw.text())[0] == "0"
        await raw.send(frame("4x", reserved=0x40))
        assert await raw.closed_with() == 1002

    @pytest.mark.parametrize("early", [b"4early", b"4" + b"x" * 900_000], ids=len)
    async def test_what_comes_with_the_handshake_is_not_lost(self, house: EngineHouse, early: bytes) -> None:
        raw = await RawSocket.connect(house.port)
        await raw.send(handshake(PATH) + frame(early) + frame("4second"))
        assert (await raw.answer())[0] == 101
        assert (await raw.text())[0] == "0"
        assert await raw.text() == early.decode()
        assert await raw.text() == "4second"
        await still_works(raw)
        await raw.hang_up()
        await house.is_empty()

    async def test_half_a_frame_may_come_with_the_handshake(self, house: EngineHouse) -> None:
        data = frame("4in two halves")
        for cut in range(len(data)):
            raw = await RawSocket.connect(house.port)
            await raw.send(handshake(PATH) + data[:cut])
            assert (await raw.answer())[0] == 101
            await raw.send(data[cut:])
            assert (await raw.text())[0] == "0"
            assert await raw.text() == "4in two halves"
            await raw.hang_up()

    async def test_it_may_come_byte_by_byte(self, house: EngineHouse) -> None:
        raw = await RawSocket.connect(house.port)
        for byte in handshake(PATH):
            await raw.send(bytes((byte,)))
        assert (await raw.answer())[0] == 101
        assert (await raw.text())[0] == "0"
        await still_works(raw)
        await raw.hang_up()

    async def test_requests_may_come_before_it_on_the_same_connection(self, house: EngineHouse) -> None:
        async with await RawSocket.connect(house.port) as raw:
            await raw.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await raw.answer())[2] == b"hello"
            await raw.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + handshake(PATH) + frame("4early"))
            assert [(await raw.answer())[2] for _ in range(2)] == [b"hello"] * 2
            assert (await raw.answer())[0] == 101
            assert (await raw.text())[0] == "0"
            assert await raw.text() == "4early"
        await house.is_empty()

    async def test_requests_behind_it_are_no_requests(self, house: EngineHouse) -> None:
        async with await RawSocket.connect(house.port) as raw:
            await raw.send(handshake(PATH) + b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await raw.answer())[0] == 101
            assert await raw.closed_with() == 1002

    async def test_after_a_refused_one_the_connection_is_http_or_over(self, house: EngineHouse) -> None:
        """But it does not stay open with nobody who answers."""
        async with await RawSocket.connect(house.port) as raw:
            await raw.send(handshake(PATH, Sec_WebSocket_Version="8"))
            assert (await raw.answer())[0] == 400
            await raw.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                assert (await asyncio.wait_for(raw.answer(), 2))[2] == b"hello"

    @pytest.mark.parametrize("cut", [0, 10, 100, -1, None])
    async def test_a_client_that_goes_in_the_middle_leaves_nothing(self, house: EngineHouse, cut: int | None) -> None:
        for _ in range(20):
            raw = await RawSocket.connect(house.port)
            raw.writer.write(handshake(PATH)[:cut])
            await raw.reset()
        assert (await house.ask("GET", "none"))[0] == 400
        await house.http.close()
        await house.is_empty()
        assert house.runner.server is not None
        async with asyncio.timeout(3):
            while house.runner.server.connections:
                await asyncio.sleep(0.01)
        assert len(house.echo.reasons) == len(house.echo.channels)

    async def test_http_forgets_a_connection_that_became_a_websocket(self, house: EngineHouse) -> None:
        sockets = [(await house.websocket_session())[0] for _ in range(20)]
        assert house.runner.server is not None
        assert not house.runner.server.connections
        tasks = [task for task in asyncio.all_tasks() if "RequestHandler.start" in repr(task.get_coro())]
        assert not tasks, "a connection costs no task"
        for socket in sockets:
            await still_works(socket)
            await socket.hang_up()
        await house.is_empty()
