"""Nothing holds the event loop: not a disk, however slow, and not a crowd, whatever it does at once.

A turn of the loop is what everybody else waits for. Its CPU time is the server's own doing, and the same on a busy
machine; the time that it lasted shows when it waited for something: a disk here takes a whole second.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chatzilla.store.database import Database
from tests.helpers.clients import CHAT, Client
from tests.helpers.sockets import PING, PONG, RawSocket, frame
from tests.torture.durability_crowd import HALL
from tests.torture.durability_lag import LAUNCHER, Found, Stopwatch, crowd, watched
from tests.torture.durability_trace import SYNCS, traced

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="strace slows Linux's disks down"),
]

CPU_MS = 20.0
"""What one turn of the loop may cost, and one collection of garbage, in whatever thread: all others stand still."""

HELD_MS = 100.0
"""What one turn may last with a crowd, threads that hold the interpreter and a machine that is busy included."""

DISK_SECONDS = 1.0
FAST_SYNCS = 15
"""Syncs of each thread before its disk becomes slow: a start, and a few messages."""

PILED_UP = 1_500
PEOPLE = 3_000
ATTEMPTS = 3
"""A machine may disturb a measurement; what the server does itself comes back each time."""

UNLIMITED = {
    "CHATZILLA_CONNECTIONS_PER_ADDRESS": "0",
    "CHATZILLA_MESSAGE_RATE": "0",
    "CHATZILLA_PACKET_RATE": "0",
    "CHATZILLA_CALL_RATE": "0",
    "CHATZILLA_QUEUE_KB": "100000",
    "CHATZILLA_HEARTBEAT": "60",
}


@asynccontextmanager
async def person(url: str, name: str, room: str) -> AsyncIterator[Client]:
    client = await Client(url).connect(auth={"dialect": "full"})
    await client.joins(room, name=name)
    try:
        yield client
    finally:
        await client.close()


async def speaker(url: str, rooms: Sequence[str]) -> RawSocket:
    """Somebody who is in all of these rooms, and writes frames by hand."""
    raw = await RawSocket.open(int(url.rpartition(":")[2]), "/socket.io/?EIO=4&transport=websocket")
    await raw.say(f"40{CHAT},")
    for number, room in enumerate(rooms):
        await raw.say(f'42{CHAT},{number}["join",{{"name":"speaker","room":"{room}"}}]')
    while not (await raw.text()).startswith(f"43{CHAT},{len(rooms) - 1}[true,"):
        pass
    return raw


async def slow_down(alice: Client) -> None:
    """Talk until the disk is slow."""
    clock = asyncio.get_running_loop().time
    took = 0.0
    while took < DISK_SECONDS / 2:
        began = clock()
        await alice.says("lobby", "is it slow yet?")
        took = clock() - began


async def test_a_slow_disk_holds_nobody_but_those_who_wait_for_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    Database(data).open().close(cleanly=True)
    slow = f"inject={','.join(SYNCS)}:delay_enter={int(DISK_SECONDS * 1e6)}:when={FAST_SYNCS}+"
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            traced(data, LAUNCHER, calls=frozenset(SYNCS), strace=("-e", slow), environ=UNLIMITED)
        )
        stopwatch = Stopwatch(server.tracer)
        alice = await stack.enter_async_context(person(server.url, "alice", "lobby"))
        await slow_down(alice)
        await stopwatch.since_reset()

        letter = asyncio.create_task(alice.says("lobby", "a slow letter"))
        async with aiohttp.ClientSession(server.url) as http:
            for page in ("/healthz", "/"):
                async with http.get(page) as answer:
                    assert answer.status == 200
        bob = await stack.enter_async_context(person(server.url, "bob", "lobby"))
        await bob.call("typing", {"room": "lobby"})
        assert (await alice.hears("typing"))["name"] == "bob"
        assert (await bob.call("history", {"room": "lobby", "before": 5}))[0] is True
        async with await RawSocket.open(server.port, "/socket.io/?EIO=4&transport=websocket") as raw:
            await raw.frame()
            await raw.say("are you there?", PING)
            assert await raw.frame() == (PONG, b"are you there?")
            await raw.say(f"40{CHAT},")
            assert (await raw.text()).startswith(f"40{CHAT},")
        assert not letter.done(), "all of this was while the disk was busy"
        assert (await bob.hears())["seq"] == (await letter)["seq"]

        answers: list[asyncio.Future[tuple[Any, ...]]] = [asyncio.Future() for _ in range(PILED_UP)]
        async with aiohttp.ClientSession(server.url) as http:
            for number, piled in enumerate(answers):
                draft = {"room": "lobby", "client_id": str(number), "content": "one of many"}
                await (alice, bob)[number % 2].emit("message", draft, answer=piled)
                if number % 100 == 0:  # they come as from many people, not all in one read
                    async with http.get("/healthz") as answer:
                        assert answer.status == 200
        assert all(accepted for accepted, _ in await asyncio.gather(*answers))

        found = await stopwatch.since_reset()
    assert max(held for held, _, _ in found["turns"]) < DISK_SECONDS / 2 * 1000, found
    assert dearest(found) < CPU_MS, found


def dearest(found: Found) -> float:
    """The CPU time of the dearest turn or collection, in ms."""
    return max((cpu for _, cpu, _ in (*found["turns"], *found["pauses"])), default=0.0)


def share(found: Found) -> float:
    """How much was taken of what may be: 1 is too much."""
    return max(dearest(found) / CPU_MS, max(held for held, _, _ in found["turns"]) / HELD_MS)


async def test_a_crowd_holds_nobody_up(tmp_path: Path) -> None:
    """Everybody connects, joins, is told, dies: at once, and in turns that are short."""
    best: dict[str, Found] = {}
    for attempt in range(ATTEMPTS):
        for part, found in (await measure_a_crowd(tmp_path / str(attempt))).items():
            best[part] = min(best.get(part, found), found, key=share)
        if all(share(found) < 1 for found in best.values()):
            break
    report = (f"{share(found):6.0%} {part}: {[spans[:2] for spans in found.values()]}" for part, found in best.items())
    assert all(share(found) < 1 for found in best.values()), "\n".join(report)


async def measure_a_crowd(folder: Path) -> dict[str, Found]:
    """Let a crowd do what a crowd does; returns what held the loop longest in each part."""
    folder.mkdir()
    measured: dict[str, Found] = {}
    async with AsyncExitStack() as stack:
        url, stopwatch = await stack.enter_async_context(watched(folder / "data", **UNLIMITED))
        people = await stack.enter_async_context(crowd(url, PEOPLE, folder / "crowd.log"))
        alice = await stack.enter_async_context(person(url, "alice", "lobby"))
        bob = await stack.enter_async_context(person(url, "bob", "small"))
        carol = await stack.enter_async_context(person(url, "carol", "small"))

        async def part(what: str, act: Callable[[], Awaitable[object]]) -> None:
            await stopwatch.since_reset()
            await act()
            await bob.fence()
            measured[what] = await stopwatch.since_reset()

        async def message() -> None:
            await alice.says("lobby", "to-everybody")
            await people.do("hear", "to-everybody")

        async def long_messages() -> None:
            """The small room's message comes through long before the crowd has heard everything."""
            talk = asyncio.gather(*(alice.says("lobby", f"long-{number}-{'x' * 9_900}") for number in range(20)))
            heard = asyncio.create_task(people.do("hear", "long-19-"))
            await alice.fence()
            await bob.says("small", "in between")
            assert (await carol.hears())["content"] == "in between"
            assert not heard.done()
            await asyncio.gather(talk, heard)

        async def presence() -> None:
            async with person(url, "dave", "lobby"):
                await people.do("hear", '"presence"')

        async def typing() -> None:
            await alice.call("typing", {"room": "lobby"})
            await people.do("hear", '"typing"')

        async def halls() -> None:
            """All in one read of the server, and so in one batch."""
            drafts = [{"room": hall, "client_id": hall, "content": "to-this-hall"} for hall in all_halls]
            await raw.send(b"".join(frame(f"42{CHAT},{json.dumps(['message', draft])}") for draft in drafts))
            await people.do("hear", "to-this-hall")

        async def death() -> None:
            await people.kill()
            while (await alice.hears("presence"))["count"] > 1:
                pass

        await part("connecting", lambda: people.do("connect"))
        await part("joining in the tutorial's dialect", lambda: people.do("join"))
        await part("a message to one room", message)
        await part("long messages to one room", long_messages)
        await part("joining in the full dialect", lambda: people.do("enter"))
        await part("presence in one room", presence)
        await part("typing in one room", typing)
        all_halls = [f"hall-{number}" for number in range(PEOPLE // HALL)]
        raw = await stack.enter_async_context(await speaker(url, all_halls))
        await part("messages to many rooms", halls)
        await part("dying", death)
    return measured
