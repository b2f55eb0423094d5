"""A right, at every door: it lets one person into the chat of one room, and does nothing elsewhere."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
import socketio.exceptions

from chatzilla.core.people import account_named, app_named
from chatzilla.core.policy import Role
from chatzilla.core.rights import LASTS_SECONDS, CallRole, Right
from chatzilla.core.rooms import RoomId
from tests.helpers.clients import Client
from tests.helpers.clock import ManualClock
from tests.helpers.people import Town, town
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from chatzilla.core.people import Account

GARDEN: Final = RoomId("garden")
FULL: Final = {"dialect": "full"}


@asynccontextmanager
async def place(data: Path, **settings: Any) -> AsyncIterator[Town]:
    async with serving(data, api_secret="s" * 40, **settings) as server, town(server) as found:
        yield found


def right_of(where: Town, account: Account, role: CallRole = CallRole.PUBLISHER, **options: Any) -> Right:
    rights = where.server.house.sign_ins.rights
    assert rights is not None
    return rights.make(account, GARDEN, role, **options)


def app_right(where: Town, name: str = "Ann", role: CallRole = CallRole.PUBLISHER) -> Right:
    return right_of(where, app_named(name, GARDEN), role)


async def refused(where: Town, token: object) -> str:
    """Connect, and be refused; returns the code."""
    client = Client(where.server.url)
    told: list[Any] = []
    client.sio.on("connect_error", told.append, namespace="/chat")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(auth=FULL | {"token": token})
    await client.close()
    return str(told[0]["data"]["code"])


@pytest.fixture(params=["open", "links"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    """A server of either kind: an application's people come into both."""
    async with place(tmp_path / "data", sign_in=request.param) as found:
        yield found


async def test_it_opens_the_chat_of_its_room_and_of_no_other(house: Town) -> None:
    right = app_right(house)
    async with AsyncExitStack() as stack:
        ann, bob = [await Client(house.server.url).connect(auth=FULL | {"token": right.token}) for _ in range(2)]
        stack.push_async_callback(ann.close)
        stack.push_async_callback(bob.close)
        answer = await ann.joins("garden")
        ann_is = {"id": right.account.id, "name": "Ann", "verified": False, "role": "speaker"}
        assert answer["you"] == ann_is | {"token": right.token}
        await bob.joins("garden")
        await ann.says("garden", "hello")
        assert (await bob.hears())["content"] == "hello"
        for room in ("lobby", "attic"):
            assert (await ann.call("join", {"room": room}))[1]["code"] == "forbidden"
            draft = {"room": room, "content": "x", "client_id": "1"}
            assert (await ann.call("message", draft))[1]["code"] == "not-joined"
        assert (await ann.call("join", {"room": "garden", "name": "Olga"}))[1]["code"] == "forbidden"


async def test_a_tutorial_connection_with_a_right_hears_nothing_but_its_room(house: Town) -> None:
    client = await Client(house.server.url).connect(auth={"token": app_right(house).token})
    assert (await client.call("join", "Ann"))[0] is False, "the lobby is not its room"
    speaker = await Client(house.server.url).connect(auth=FULL | {"token": app_right(house, "Bob").token})
    await speaker.joins("garden")
    await speaker.says("garden", "not for you")
    await client.hears_nothing()
    await speaker.close()
    await client.close()


async def test_a_subscriber_reads_and_says_nothing(house: Town) -> None:
    writer, reader = [
        await Client(house.server.url).connect(auth=FULL | {"token": app_right(house, name, role).token})
        for name, role in (("Ann", CallRole.MODERATOR), ("Rea", CallRole.SUBSCRIBER))
    ]
    await writer.joins("garden")
    await reader.joins("garden")
    said = await writer.says("garden", "hello")
    assert (await reader.hears())["content"] == "hello"
    for event, fields in (
        ("message", {"content": "x", "client_id": "1"}),
        ("typing", {}),
        ("edit", {"id": said["id"], "content": "x"}),
        ("delete", {"id": said["id"]}),
    ):
        assert (await reader.call(event, {"room": "garden", **fields}))[1]["code"] == "forbidden"
    await writer.close()
    await reader.close()


async def test_over_http_it_is_nobody(house: Town) -> None:
    right = app_right(house, role=CallRole.MODERATOR)
    for headers in ({"Authorization": f"Bearer {right.token}"}, {"Cookie": f"{cookie_name(house)}={right.token}"}):
        for path in ("me", "links", "sign-ins"):
            async with house.http.get(f"{house.server.url}/api/v1/{path}", headers=headers) as answer:
                assert answer.status == 401


async def test_a_cookie_with_a_right_connects_nobody(tmp_path: Path) -> None:
    async with place(tmp_path / "data", sign_in="links") as where:
        client = Client(where.server.url)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(
                auth=FULL,
                headers={"Origin": where.server.url, "Cookie": f"{cookie_name(where)}={app_right(where).token}"},
            )
        await client.close()


def cookie_name(where: Town) -> str:
    return f"chatzilla-session-{where.server.url.rpartition(':')[2]}"


async def test_a_typed_name_counts_on_an_open_server_alone(tmp_path: Path) -> None:
    async with place(tmp_path / "open") as where:
        key, token = where.server.house.database.key, right_of(where, account_named("Bob")).token
        client = await Client(where.server.url).connect(auth=FULL | {"token": token})
        await client.joins("garden")
        await client.close()
    async with place(tmp_path / "closed", sign_in="links", secret=key) as where:
        assert await refused(where, token) == "sign-in"


async def test_a_name_that_looks_like_a_members_is_refused(tmp_path: Path) -> None:
    async with place(tmp_path / "data", sign_in="links") as where:
        await where.enters("Alice")
        client = await Client(where.server.url).connect(auth=FULL | {"token": app_right(where, "Аlice").token})
        accepted, answer = await client.call("join", {"room": "garden"})
        assert (accepted, answer["code"]) == (False, "forbidden")
        await client.close()


async def test_an_application_may_call_several_people_the_same(house: Town) -> None:
    """In one room they are one, in two rooms two, and neither keeps the other out."""
    rights = house.server.house.rights
    ann = [rights.make(app_named("Ann", room), room, CallRole.PUBLISHER) for room in (GARDEN, RoomId("attic"))]
    assert ann[0].account.id != ann[1].account.id
    clients = []
    for right in (ann[0], ann[0], ann[1]):
        client = await Client(house.server.url).connect(auth=FULL | {"token": right.token})
        here = (await client.joins(right.room))["here"]
        assert [person["id"] for person in here["people"]] == [right.account.id]
        clients.append(client)
    for client in clients:
        await client.close()


async def test_it_ends_with_the_sign_in_of_whoever_made_it(tmp_path: Path) -> None:
    async with place(tmp_path / "data", sign_in="links") as where:
        alice = await where.enters("Alice", Role.OWNER)
        ident = await alice.sign_in_id()
        sign_in = where.server.house.sign_ins.visible_to(where.server.house.sign_ins.people()[0])[0]
        right = right_of(where, sign_in.account, sign_in=sign_in.id)
        client = await Client(where.server.url).connect(auth=FULL | {"token": right.token})
        answer = await client.joins("garden")
        assert (answer["you"]["id"], answer["you"]["verified"]) == (alice.id, True)
        assert (await client.call("join", {"room": "lobby"}))[1]["code"] == "forbidden"
        await alice.ask("DELETE", f"sign-ins/{ident}")
        assert (await client.hears("goodbye"))["code"] == "sign-in"
        await client.gone.wait()
        await client.close()
        assert await refused(where, right.token) == "sign-in"


async def test_the_persons_other_rooms_are_not_told_to_a_right(tmp_path: Path) -> None:
    """It may be in another application's hands: it hears of no other room, not even that it moves."""
    async with place(tmp_path / "data", sign_in="links") as where:
        alice = await where.enters("Alice")
        own = await alice.connect()
        for room in ("attic", "garden"):
            await own.joins(room)
            await own.says(room, "before")
        account = where.server.house.sign_ins.person(alice.id)
        assert account is not None
        (sign_in,) = where.server.house.sign_ins.visible_to(account)
        right = right_of(where, account, sign_in=sign_in.id)
        limited = await Client(where.server.url).connect(auth=FULL | {"token": right.token})
        await limited.joins("garden")
        await own.joins("cellar")
        await own.says("cellar", "first")
        await own.call("read", {"room": "attic", "seq": 1})
        await own.says("garden", "fence")
        assert (await limited.hears())["content"] == "fence"
        await limited.fence()
        assert {event["room"] for event in limited.heard("room")} <= {"garden"}
        await own.close()
        await limited.close()


async def test_one_may_enter_until_its_end_and_stay_beyond(tmp_path: Path) -> None:
    clock = ManualClock()
    async with place(tmp_path / "data", sign_in="links", clock=clock) as where:
        right = app_right(where)
        client = await Client(where.server.url).connect(auth=FULL | {"token": right.token})
        await client.joins("garden")
        clock.advance(LASTS_SECONDS)
        assert await refused(where, right.token) == "sign-in"
        await client.says("garden", "still here")
        await client.close()


async def test_vain_tries_count_against_their_address(tmp_path: Path) -> None:
    async with place(tmp_path / "data") as where:
        codes = [await refused(where, f"T1=={n}") for n in range(21)]
        assert codes == ["sign-in"] * 20 + ["too-fast"]
        client = await Client(where.server.url).connect(auth=FULL | {"token": app_right(where).token})
        await client.joins("garden")
        await client.close()
