"""The official JavaScript client does with Chatzilla whatever it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chatzilla.realtime.channel import Channel
from tests.helpers.house import open_house
from tests.helpers.official import official
from tests.helpers.servers import Process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Connect
    from tests.helpers.servers import Server

TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"], ["websocket", "polling"]]


@pytest.mark.parametrize("transports", TRANSPORTS, ids="-".join)
async def test_it_speaks_and_hears_by_every_transport(server: Server, connect: Connect, transports: list[str]) -> None:
    eve = await connect()
    async with official(server.url, transports=transports) as bob:
        assert (await bob.tells("connect"))[1] in transports
        if transports == ["polling", "websocket"]:
            assert await bob.tells("upgrade") == ["upgrade", "websocket"]
        assert await bob.call("join", "bob") == [True, "bob"]
        for text in ("hello", "€👍", "x" * 9_000):
            assert await bob.call("message", text) == [True, text]
            assert await eve.hears() == {"sender": "bob", "content": text}
        await eve.call("join", "eve")
        await eve.call("message", "and back")
        assert await bob.tells("message") == ["message", {"sender": "eve", "content": "and back"}]


@pytest.mark.parametrize("transports", TRANSPORTS[:3], ids="-".join)
async def test_a_burst_is_answered_whole(server: Server, connect: Connect, transports: list[str]) -> None:
    eve = await connect()
    async with official(server.url, transports=transports) as bob:
        await bob.tells("connect")
        assert await bob.call("join", "bob") == [True, "bob"]
        await bob.do("burst", 150)
        assert [(await bob.tells("answer"))[1:] for _ in range(150)] == [[True, str(number)] for number in range(150)]
        assert [(await eve.hears())["content"] for _ in range(150)] == [str(number) for number in range(150)]


async def test_what_is_said_before_the_connection_is_up_is_kept(server: Server) -> None:
    async with official(server.url) as bob:
        await bob.do("emit", "join", "bob")
        assert await bob.call("message", "early") == [True, "early"]


async def test_ways_of_waiting_for_an_answer(server: Server) -> None:
    async with official(server.url, transports=["websocket"]) as bob:
        assert await bob.call("join", "bob", by="first") is not None
        assert await bob.call(5_000, "message", "in time", by="patient") == [None, True, "in time"]
        assert (await bob.call("message", ""))[0] is False


async def test_an_answer_that_does_not_come_in_time_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.house.chat, "_receive", lambda *_: None)
    async with official(server.url, transports=["websocket"]) as bob:
        await bob.tells("connect")
        [error] = await bob.call(100, "message", "nobody takes it", by="patient")
        assert error == "operation has timed out"


async def test_with_retries_a_message_is_stored_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt is stored and its answer lost; the second finds what the first has done."""
    async with official(server.url, transports=["websocket"], retries=3, ackTimeout=300) as bob:
        joined = await bob.call("join", {"name": "bob"}, by="retried")
        assert joined[:2] == [None, True]
        kept = Channel.write_soon
        lost: list[Any] = []

        def lose(channel: Channel, frame: Any) -> None:
            if lost:
                kept(channel, frame)
            else:
                lost.append(frame)

        monkeypatch.setattr(Channel, "write_soon", lose)
        draft = {"room": "lobby", "client_id": "once", "content": "hello"}
        error, accepted, answer = await bob.call("message", draft, by="retried")
        assert (error, accepted, answer["seq"]) == (None, True, 1)
        assert len(lost) == 1
        again = await bob.call("join", {"name": "bob", "cursor": 0}, by="retried")
        assert [row["content"] for row in again[2]["messages"]] == ["hello"]


async def test_what_it_brings_at_the_door_is_read(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data") as house:
        alice = await house.enter("alice")
        auth = {"dialect": "full", "token": alice.you["token"]}
        async with official(house.server.url, auth=auth) as client:
            await client.tells("connect")
            accepted, answer = await client.call("join", {})
            assert (accepted, answer["you"]["name"]) == (True, "alice")


async def test_a_token_that_is_not_valid_is_refused_with_a_reason(server: Server) -> None:
    async with official(server.url, auth={"token": "forged"}) as client:
        _, message, data = await client.tells("connect_error")
        assert message
        assert data["code"] == "sign-in"


@pytest.mark.parametrize("transports", TRANSPORTS[:2], ids="-".join)
async def test_binary_is_refused_in_words(server: Server, transports: list[str]) -> None:
    async with official(server.url, transports=transports) as bob:
        assert await bob.call("join", "bob") == [True, "bob"]
        accepted, sentence = await bob.call("message", {"bytes": [1, 2, 3]})
        assert accepted is False
        assert sentence.endswith(".")
        assert await bob.call("message", "still here") == [True, "still here"]


@pytest.mark.parametrize("transports", TRANSPORTS[:2], ids="-".join)
async def test_it_comes_back_by_itself_after_a_restart(tmp_path: Path, transports: list[str]) -> None:
    process = await Process(tmp_path / "data").start()
    try:
        async with official(process.url, transports=transports) as bob:
            await bob.tells("connect")
            assert await bob.call("join", "bob") == [True, "bob"]
            assert await bob.call("message", "before") == [True, "before"]
            assert await process.stop() == 0
            _, goodbye = await bob.tells("goodbye")
            assert (goodbye["code"], goodbye["reconnect"]) == ("unavailable", True)
            _, reason = await bob.tells("disconnect")
            assert reason in ("transport close", "transport error")
            await process.start()
            assert await bob.tells("connect") == ["connect", transports[0]]
            accepted, _ = await bob.call("message", "too early")
            assert accepted is False
            assert await bob.call("join", "bob") == [True, "bob"]
            assert await bob.call("message", "after") == [True, "after"]
    finally:
        await process.stop()
