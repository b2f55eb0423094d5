"""Whoever has gone is not there any more, even if they go in the very moment in which they come."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from chatzilla.core import rooms
from chatzilla.core.rooms import RoomId
from chatzilla.errors import NotJoined
from tests.helpers.clients import CHAT, PATIENCE_SECONDS
from tests.helpers.engines import SEPARATOR
from tests.helpers.house import OpenHouse, open_house
from tests.helpers.sockets import CLOSE, RawSocket, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.servers import Server

ENTER: Final = f'40{CHAT},{{"dialect":"full"}}'
JOIN: Final = f'42{CHAT},0["join",{{"name":"Ann","room":"garden"}}]'
SIMPLY: Final = f'42{CHAT},0["join","Ann"]'
CREATE: Final = f'42{CHAT},1["create",{{"name":"Rockery"}}]'
LEAVE: Final = f"41{CHAT},"
END: Final = "1"

ENDS: Final = {
    "of the namespace": frame(LEAVE),
    "of the session": frame(END),
    "of the socket": frame(b"\x03\xe8", CLOSE),
    "of both": frame(LEAVE) + frame(END),
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[OpenHouse]:
    async with open_house(tmp_path / "data") as opened:
        yield opened


def left_of_them(server: Server) -> dict[str, Any]:
    """What is known of people and connections."""
    house = server.house
    left = {
        "connections": list(house.delivery._connections),
        "people": list(house.delivery._people),
        "rooms that are heard": list(house.delivery._halls),
        "names in use": list(house.presence.names._used),
        "here": [room for room, roster in house.presence._rosters.items() if roster.people],
        "under way": house.chat.running,
    }
    return {what: some for what, some in left.items() if some}


async def nobody_is_left(server: Server) -> None:
    """Wait until nothing is, which is soon; a ghost would stay."""
    try:
        async with asyncio.timeout(2):
            while left_of_them(server):
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(left_of_them(server)) from None


async def opened(server: Server) -> RawSocket:
    """A WebSocket that has entered `/chat`."""
    raw = await RawSocket.open(int(server.url.rpartition(":")[2]), "/socket.io/?EIO=4&transport=websocket")
    assert (await raw.text()).startswith("0{")
    await raw.say(ENTER)
    assert (await raw.text()).startswith(f"40{CHAT},")
    return raw


@pytest.mark.parametrize("join", [JOIN, SIMPLY], ids=["by an object", "by a name"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_who_joins_and_goes_in_one_breath_leaves_no_ghost(house: OpenHouse, join: str, end: bytes) -> None:
    for _ in range(3):
        raw = await opened(house.server)
        await raw.send(frame(join) + end)
        await raw.hang_up()
    await nobody_is_left(house.server)
    bob = await house.enter("Ann", "garden")
    assert bob.you["name"] == "Ann", "the name is free"
    assert (await bob.joins("garden"))["here"]["count"] == 1


@pytest.mark.parametrize(
    "end", [LEAVE, END, f"{LEAVE}{SEPARATOR}{END}"], ids=["of the namespace", "of the session", "of both"]
)
async def test_by_long_polling_neither(house: OpenHouse, end: str) -> None:
    address = f"{house.server.url}/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as http:
        async with http.get(address) as got:
            sid = json.loads((await got.text())[1:])["sid"]
        async with http.post(f"{address}&sid={sid}", data=SEPARATOR.join((ENTER, JOIN, end))) as posted:
            assert posted.status == 200
        await nobody_is_left(house.server)


async def test_who_comes_back_on_the_same_session_is_there_once(house: OpenHouse) -> None:
    """What they asked for before they left `/chat` puts nobody anywhere, whoever they are now."""
    raw = await opened(house.server)
    await raw.send(frame(JOIN) + frame(LEAVE) + frame(ENTER))
    while not (await raw.text()).startswith(f"40{CHAT},"):
        pass
    await raw.say(f'42{CHAT},7["join",{{"name":"Eve","room":"garden"}}]')
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (heard := await raw.text()).startswith(f"43{CHAT},7[true"):
            pass
    here = json.loads(heard.partition(",7")[2])[1]["here"]
    assert [person["name"] for person in here["people"]] == ["Eve"]
    await raw.hang_up()
    await nobody_is_left(house.server)


async def test_who_goes_while_the_store_is_asked_leaves_no_ghost(
    house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = house.server.house.store
    asked, answer = asyncio.Event(), asyncio.Event()
    backlog = store.backlog

    async def slowly(*arguments: Any, **more: Any) -> Any:
        asked.set()
        await answer.wait()
        return await backlog(*arguments, **more)

    monkeypatch.setattr(store, "backlog", slowly)
    raw = await opened(house.server)
    await raw.say(JOIN)
    await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
    assert left_of_them(house.server)["names in use"], "they are on their way in"
    await raw.reset()
    while house.server.house.delivery._connections:
        await asyncio.sleep(0.005)
    answer.set()
    await nobody_is_left(house.server)


async def test_what_they_asked_for_in_that_breath_is_not_done(house: OpenHouse) -> None:
    """Nobody is there to be told what became of it."""
    raw = await opened(house.server)
    await raw.say(JOIN)
    while not (await raw.text()).startswith(f"43{CHAT},0[true"):
        pass
    await raw.send(frame(CREATE) + frame(LEAVE))
    await raw.hang_up()
    await nobody_is_left(house.server)
    bob = await house.enter("Bob")
    listed = (await bob.call("rooms", {}))[1]["rooms"]
    assert "Rockery" not in [room["name"] for room in listed]


async def test_the_core_puts_nobody_anywhere_who_has_gone(house: OpenHouse) -> None:
    """Whatever door they come by, and however long they waited there."""
    ann = await house.enter("Ann", "garden")
    [connection] = house.server.house.delivery._connections.values()
    session, account = connection.session, connection.session.account
    assert account is not None
    await ann.close()
    await nobody_is_left(house.server)
    ports, presence, garden = house.server.house.ports, house.server.house.presence, RoomId("garden")
    with pytest.raises(NotJoined):
        rooms.join(ports, presence, session, account, garden)
    with pytest.raises(NotJoined):
        await rooms.enter(ports, presence, session, account, garden, cursor=None, epoch=None)
    assert left_of_them(house.server) == {}
