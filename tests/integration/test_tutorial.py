"""The tutorial's contract to the letter, by today's python-socketio clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import socketio

from tests.helpers.clients import CHAT

if TYPE_CHECKING:
    from tests.conftest import Connect
    from tests.helpers.servers import Server


async def test_join_and_message_are_answered_with_two_values(connect: Connect) -> None:
    bob = await connect()
    assert await bob.call("join", "bob@example.com") == (True, "bob@example.com")
    assert await bob.call("message", "hello") == (True, "hello")


async def test_the_others_hear_sender_and_content_and_nothing_else(connect: Connect) -> None:
    bob, eve = await connect(), await connect()
    await bob.call("join", "bob@example.com")
    await bob.call("message", "hello")
    assert await eve.hears() == {"sender": "bob@example.com", "content": "hello"}
    await bob.hears_nothing()


async def test_a_simple_client_written_after_the_tutorial_works(server: Server) -> None:
    async with socketio.AsyncSimpleClient() as bob, socketio.AsyncSimpleClient() as alice:
        await bob.connect(server.url, namespace=CHAT)
        await alice.connect(server.url, namespace=CHAT)
        assert await bob.call("join", "bob@example.com") == (True, "bob@example.com")
        assert await alice.call("join", "alice@example.com") == (True, "alice@example.com")
        assert await bob.call("message", "hello") == (True, "hello")
        while (event := await alice.receive(timeout=5))[0] != "message":
            assert event[0] == "stats"
        assert event == ["message", {"sender": "bob@example.com", "content": "hello"}]


@pytest.mark.parametrize("call", [("message", "too early"), ("nonsense", "x"), ("join", "  "), ("join", 5), ("join",)])
async def test_what_is_refused_is_refused_in_a_sentence(connect: Connect, call: tuple[object, ...]) -> None:
    bob = await connect()
    accepted, sentence = await bob.call(*call)  # type: ignore[arg-type]  # wrong on purpose
    assert accepted is False
    assert isinstance(sentence, str)
    assert sentence.endswith(".")
