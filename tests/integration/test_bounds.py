"""One connection costs the server a bounded amount, whatever it asks for; and what fails changes nothing."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from chatzilla.core import rooms
from chatzilla.errors import Unavailable
from tests.helpers.clients import Client
from tests.helpers.raw import raw_connection
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Connect, Lobby
    from tests.helpers.servers import Server


async def test_walking_through_ever_new_rooms_is_slowed_down_and_leaves_little(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joining and leaving has a rate, and only so many rooms are remembered."""
    monkeypatch.setattr(rooms, "ROOMS_REMEMBERED", 20)
    walker = await connect(auth={"dialect": "full"})
    answers = []
    for number in range(120):
        answers.append(await walker.call("join", {"name": "walker", "room": f"room-{number}"}))
        answers.append(await walker.call("leave", {"room": f"room-{number}"}))
    refused = [answer["code"] for accepted, answer in answers if not accepted]
    assert set(refused) == {"too-fast"}
    assert len(server.house.delivery._halls) <= 21


async def test_a_rate_of_zero_is_no_limit(tmp_path: Path) -> None:

    async with serving(tmp_path / "data", call_rate=0, message_rate=0, call_burst=1, message_burst=1) as free:
        client = await Client(free.url).connect(auth={"dialect": "full"})
        for number in range(30):
            await client.joins(name="alice")
            await client.says("lobby", str(number))
        await client.close()


async def test_what_waits_for_its_turn_is_kept_small(server: Server) -> None:
    """A call is read when it comes, so a large key that nobody asked for is gone while the call waits."""
    async with raw_connection(server.url, {"dialect": "full"}) as client:
        await client.call("join", {"name": "alice"}, ack=1)
        [connection] = server.house.delivery._connections.values()
        with closing(sqlite3.connect(server.house.database.path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            ballast = "x" * 500_000
            draft = f'{{"room":"lobby","client_id":"1","content":"small","ballast":"{ballast}"}}'
            await client.send(f'42/chat,2["message",{draft}]')
            while not connection.line.waiting:
                await asyncio.sleep(0)
            held = [found for found in gc.get_objects() if isinstance(found, dict) and "ballast" in found]
            stranger.execute("ROLLBACK")
        assert held == []
        assert (await client.answer(2))[0] is True


async def test_a_join_that_fails_changes_nothing(
    server: Server, lobby: Lobby, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store cannot be read: who one is, and what one hears of other rooms, is as before."""
    alice, bob = await lobby("alice"), await lobby("bob")
    await alice.joins("garden")
    await bob.joins("garden")
    await alice.call("leave", {"room": "garden"})
    stranger = await connect(auth={"dialect": "full"})
    with monkeypatch.context() as patch:

        async def broken(*_: object, **__: object) -> None:
            raise Unavailable("The server cannot read the room right now.")

        patch.setattr(server.house.store, "backlog", broken)
        for client, name in ((alice, "alice"), (stranger, "somebody")):
            accepted, refusal = await client.call("join", {"name": name, "room": "garden"})
            assert (accepted, refusal["code"]) == (False, "unavailable")
    await bob.says("garden", "are you there?")
    while (await alice.hears("room"))["head"] != 1:
        pass
    assert (await stranger.joins(name="somebody-else"))["you"]["name"] == "somebody-else"
