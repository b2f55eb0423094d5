"""One connection costs the server a bounded amount, whatever it asks for; and what fails changes nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import socket
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from chatzilla.core import rooms
from chatzilla.core.rooms import LOBBY
from chatzilla.errors import TooFast, Unavailable
from chatzilla.realtime.engine import Limits
from chatzilla.web.patience import Patience, Visit
from tests.helpers.clients import PATIENCE_SECONDS, Client
from tests.helpers.clock import ManualClock
from tests.helpers.house import open_house
from tests.helpers.raw import raw_connection
from tests.helpers.servers import Process, serving
from tests.helpers.sockets import RawSocket, hang_up_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    stayed = sum(joined and not left for (joined, _), (left, _) in zip(answers[::2], answers[1::2], strict=True))
    assert len(server.house.delivery._halls) <= 21 + stayed, "whoever could not leave a room is still in it"


async def test_a_rate_of_zero_is_no_limit(tmp_path: Path) -> None:

    async with serving(tmp_path / "data", call_rate=0, message_rate=0, call_burst=1, message_burst=1) as free:
        client = await Client(free.url).connect(auth={"dialect": "full"})
        for number in range(30):
            await client.joins(name="alice")
            await client.says("lobby", str(number))
        await client.close()


async def test_all_behind_one_address_share_a_rate_and_others_have_their_own(tmp_path: Path) -> None:
    clock = ManualClock()
    settings: dict[str, Any] = {"message_burst": 10, "address_burst": 15, "proxies": 1}
    async with serving(tmp_path / "data", clock=clock, **settings) as server:

        async def said(address: str, name: str) -> list[bool]:
            client = await Client(server.url).connect(headers={"X-Forwarded-For": address})
            await client.call("join", name)
            answers = [await client.call("message", str(number)) for number in range(12)]
            await client.close()
            return [accepted for accepted, _ in answers]

        assert await said("192.0.2.1", "alice") == [True] * 10 + [False] * 2
        assert await said("192.0.2.1", "bob") == [True] * 5 + [False] * 7, "ten of fifteen were alice's"
        assert await said("192.0.2.2", "carol") == [True] * 10 + [False] * 2


async def test_a_burst_of_200_from_one_person_passes(connect: Connect) -> None:
    """As the settings come."""
    alice = await connect()
    await alice.call("join", "alice")
    answers = [await alice.call("message", str(number)) for number in range(200)]
    assert all(accepted for accepted, _ in answers)


async def test_whoever_leaves_every_namespace_has_to_join_one_again(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", join_seconds=0.2) as server, raw_connection(server.url, {}) as client:
        assert server.house.server.eio.sockets
        await client.send("41/chat,")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while server.house.server.eio.sockets:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["silent", "half a head"])
async def test_whoever_connects_and_asks_for_nothing_is_let_go(tmp_path: Path, head: bytes) -> None:
    """And whoever asked stays: the pages are served meanwhile, and a connection is kept."""
    process = await Process(tmp_path / "data", environ={"CHATZILLA_HEADER_SECONDS": "0.4"}).start()
    try:
        client = await Client(process.url).connect()
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        writer.write(head)
        assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
        writer.close()
        assert (await client.call("join", "alice"))[0] is True
        await client.close()
    finally:
        await process.stop()


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Process]:
    """A server that waits for nobody, and was started by a system that gives few files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] // 2, before[1]))
    try:
        process = await Process(tmp_path / "data", environ={"CHATZILLA_IDLE_SECONDS": "0.4"}).start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    yield process
    await process.stop()


async def test_whoever_comes_when_no_file_is_left_is_turned_away_in_one_line_of_the_log(tmp_path: Path) -> None:
    """Not left hanging, and at nobody's cost: whoever is there goes on, and newcomers get in as soon as they can."""
    process = await Process(tmp_path / "data").start()
    try:
        client = await Client(process.url).connect()
        assert (await client.call("join", "alice"))[0] is True
        files, limits = len(list(Path(f"/proc/{process.pid}/fd").iterdir())), resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files + 6, limits[1]))
        crowd = [await asyncio.open_connection("127.0.0.1", process.port) for _ in range(40)]
        ends = [asyncio.create_task(reader.read()) for reader, _ in crowd]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(end.done() for end in ends) < 34:
                await asyncio.sleep(0.01)
        assert (await client.call("message", "still here"))[0] is True
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
        async with aiohttp.ClientSession() as http, http.get(f"{process.url}/healthz") as answer:
            assert answer.status == 200
        for _, writer in crowd:
            writer.close()
        await asyncio.gather(*ends)
        await client.close()
        log = process.log.read_text()
        assert log.count("no more files can be opened") == 1
        assert "Traceback" not in log
    finally:
        await process.stop()


def open_sockets(process: Process) -> int:
    files = Path(f"/proc/{process.pid}/fd").iterdir()
    return sum(str(each.readlink()).startswith("socket:") for each in files)


async def test_what_http_is_spoken_on_is_kept_by_nobody_who_does_not_use_it(hasty: Process) -> None:
    """One story, since a process takes a second to start: an idle connection, and an unread answer."""
    quiet = open_sockets(hasty)
    kept = await RawSocket.connect(hasty.port)
    await kept.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await kept.answer())[0] == 200
    await kept.is_over()

    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", hasty.port))
    deaf.sendall(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 60)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while open_sockets(hasty) <= quiet:
            await asyncio.sleep(0.01)
        while open_sockets(hasty) > quiet:
            await asyncio.sleep(0.01)
    deaf.close()


async def test_an_address_has_so_many_connections_and_websockets_are_none_of_them(server: Server) -> None:
    assert server.runner.server is not None
    loop = asyncio.get_running_loop()
    visit = partial(Visit, server.runner.server, Patience(head=60, idle=60, per_address=4), loop)
    async with await loop.create_server(visit, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]

        async def is_served(connection: RawSocket) -> bool:
            await connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                return (await connection.answer())[0] == 200
            except (ConnectionError, asyncio.IncompleteReadError):
                return False

        sockets = [await RawSocket.open(port, "/socket.io/?EIO=4&transport=websocket") for _ in range(6)]
        talking = [await RawSocket.connect(port) for _ in range(4)]
        assert [await is_served(each) for each in talking] == [True] * 4
        assert not await is_served(await RawSocket.connect(port))
        await talking.pop().hang_up()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await is_served(await RawSocket.connect(port)):
                await asyncio.sleep(0.01)
        assert [(await each.text())[:2] for each in sockets] == ["0{"] * 6
        await hang_up_all()


async def test_all_the_files_are_opened_that_the_system_gives(hasty: Process) -> None:
    [line] = [each for each in Path(f"/proc/{hasty.pid}/limits").read_text().splitlines() if "open files" in each]
    _, _, _, soft, hard, _ = line.split()
    assert soft == hard


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


async def test_refusals_leave_nothing_behind(tmp_path: Path) -> None:
    """Not even garbage in cycles, which is looked for so rarely that a flood would be kept for minutes."""
    async with (
        serving(tmp_path / "data", message_rate=0.001, message_burst=1) as server,
        raw_connection(server.url, {"dialect": "full"}) as client,
    ):
        await client.call("join", {"name": "alice"}, ack=1)
        gc.collect()
        gc.disable()
        try:
            for number in range(50):
                draft = {"room": "lobby", "client_id": f"{number}", "content": "again"}
                accepted, _ = await client.call("message", draft, ack=number + 2)
                assert accepted is (number == 0)
            assert [each for each in gc.get_objects() if isinstance(each, TooFast)] == []
        finally:
            gc.enable()


async def test_who_speaks_in_a_room_that_falls_behind_waits_and_keeps_their_order(tmp_path: Path) -> None:
    """What is stored and not told yet is bounded, and elsewhere one can speak meanwhile."""
    async with open_house(tmp_path / "data") as house:
        alice, bob, carol = await house.enter("alice"), await house.enter("bob"), await house.enter("carol", "garden")
        delivery = house.server.house.delivery
        hall = delivery._halls[LOBBY]
        hall._busy = True  # as if the telling took long
        said = [await alice.says("lobby", f"{number} {'x' * 9_900}") for number in range(7)]
        waiting = asyncio.gather(*(alice.says("lobby", str(number)) for number in (7, 8)))
        [line] = [each.line for each in delivery._connections.values() if each.person == hall._untold[0].message.sender]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line.waiting < 2:
                await asyncio.sleep(0)
        await carol.says("garden", "meanwhile")
        assert not waiting.done()
        assert len(hall._waiting) == 1, "what comes next on the same connection waits behind it"
        hall._busy = False
        hall.attend()
        assert [each["seq"] for each in (*said, *await waiting)] == list(range(1, 10))
        assert [(await bob.hears())["content"].split()[0] for _ in range(9)] == [str(number) for number in range(9)]


async def test_what_waited_for_its_room_is_not_begun_any_more_at_the_stop(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data") as house:
        alice = await house.enter("alice")
        await house.enter("bob")
        delivery, chat = house.server.house.delivery, house.server.house.chat
        hall = delivery._halls[LOBBY]
        hall._busy = True
        await house.fill(["x" * 9_900] * 7)
        draft = {"room": "lobby", "client_id": "late", "content": "too late"}
        waiting = asyncio.ensure_future(alice.call("message", draft))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not hall._waiting:
                await asyncio.sleep(0)
        finishing = asyncio.create_task(chat.finish(PATIENCE_SECONDS))
        await asyncio.sleep(0)
        hall._busy = False
        hall.attend()
        accepted, refusal = await waiting
        assert (accepted, refusal["code"]) == (False, "unavailable")
        await finishing


async def test_nobody_waits_for_a_room_that_everybody_has_left(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data") as house:
        alice = await house.enter("alice")
        delivery = house.server.house.delivery
        hall = delivery._halls[LOBBY]
        hall._busy = True
        await house.fill(["x" * 9_900] * 7)
        [connection] = delivery._connections.values()
        waiting = asyncio.ensure_future(alice.says("lobby", "somebody there?"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not connection.line.waiting:
                await asyncio.sleep(0)
        delivery.unsubscribe(connection.session.connection, LOBBY, watching=False)
        assert (await waiting)["seq"] == 8


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


async def test_a_long_path_makes_no_long_line(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/{'x' * 7_000}") as got:
        assert got.status == 404
    [line] = [record.getMessage() for record in caplog.records if "GET /xxx" in record.getMessage()]
    assert len(line) < 300


@pytest.mark.parametrize(("host", "status"), [("evil.example", 403), ("127.0.0.1", 200)])
async def test_a_page_whose_name_was_turned_to_this_machine_gets_no_connection(
    server: Server, host: str, status: int
) -> None:
    """DNS rebinding: to the browser, page and server are one origin."""
    port = server.url.rpartition(":")[2]
    headers = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{port}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/socket.io/?EIO=4&transport=polling", headers=headers) as got,
    ):
        assert got.status == status


async def test_the_bounds_of_a_session_are_those_of_the_settings(tmp_path: Path) -> None:
    bounds: dict[str, Any] = {"payload": 123_456, "backlog": 7, "signal_backlog": 3}
    async with serving(tmp_path / "data", **bounds, namespace_attempts=2) as server:
        limits = server.house.server.eio.limits
        assert {name: getattr(limits, name) for name in bounds} == bounds
        assert limits.attempts == 2
        client = await Client(server.url).connect(auth={"dialect": "full"})
        [connection] = server.house.delivery._connections.values()
        assert connection.line.at_most == bounds["backlog"]
        await client.close()


async def test_an_engine_by_itself_has_the_bounds_of_the_settings(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as server:
        assert server.house.server.eio.limits == Limits()


async def test_one_address_fills_no_log(tmp_path: Path) -> None:
    process = await Process(
        tmp_path / "data", environ={"CHATZILLA_LOG_RATE": "0.01", "CHATZILLA_LOG_BURST": "5"}
    ).start()
    try:
        async with aiohttp.ClientSession() as http:
            for _ in range(50):
                async with http.get(f"{process.url}/healthz") as answer:
                    assert answer.status == 200
    finally:
        await process.stop()
    lines = [line for line in process.log.read_text().splitlines() if "127.0.0.1" in line]
    assert len(lines) == 6
    assert lines[-1].endswith("(more lines about 127.0.0.1 are left out for now)")
