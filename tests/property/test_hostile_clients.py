"""Whatever one client sends, in whatever order, costs itself alone."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatzilla.realtime.engine import LINES_A_SECOND
from tests.helpers.clients import CHAT
from tests.helpers.engines import left_in
from tests.helpers.house import open_house
from tests.helpers.sockets import BINARY, CLOSE, CONTINUATION, PING, TEXT, RawSocket, frame, hang_up_all

pytestmark = pytest.mark.alone

PACKETS = [
    *(f"40{CHAT},", f'40{CHAT},{{"dialect":"full"}}', f'40{CHAT},{{"token":"x"}}', "40", "40/none,", f"41{CHAT},"),
    *(f'42{CHAT},1["join","mallory"]', f'42{CHAT},["join",{{"name":"m","room":"den"}}]', f'42{CHAT},2["leave"]'),
    *(f'42{CHAT},3["message","noise"]', f'42{CHAT},["connect",{{}}]', f'42{CHAT},["disconnect","x"]'),
    *(f'42{CHAT},4["history",{{"room":"den"}}]', f'42{CHAT},["typing",{{"room":"lobby"}}]', f"43{CHAT},1[]"),
    *(f'451-{CHAT},["message",{{"_placeholder":true,"num":0}}]', f'4599-{CHAT},["x"]', f'452-{CHAT},["x"]'),
    *("1", "2", "2probe", "3", "5", "6", "4", "x", "", "4x", "42[NaN]", "42" + "[" * 3_000, "bAQI=", "b!"),
    *("4" + "x" * 70_000, f'42{CHAT},["message","{"y" * 20_000}"]', "4\ud7ff\x00"),
]
TEXTS = st.sampled_from(PACKETS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FRAMES = (
    st.builds(frame, TEXTS, st.sampled_from([TEXT, TEXT, TEXT, TEXT, BINARY, CONTINUATION, PING, CLOSE, 5]))
    | st.builds(frame, TEXTS, st.just(TEXT), final=st.booleans(), reserved=st.sampled_from([0, 0, 0, 0x40]))
    | st.builds(lambda data, cut: frame(data)[:-cut], TEXTS, st.integers(1, 8))
    | st.binary(max_size=20)
    | st.just(b"\x81\xff" + b"\x00\x00\x00\x00\x7f\xff\xff\xff" + b"\0\0\0\0")
)
STEPS = st.one_of(
    st.tuples(st.just("frame"), FRAMES),
    st.tuples(st.just("twice"), FRAMES),
    st.tuples(st.just("good"), st.sampled_from(PACKETS[:15])),
    st.tuples(st.just("post"), st.lists(TEXTS, max_size=4).map("\x1e".join)),
    st.tuples(st.just("poll"), st.just("")),
    st.tuples(st.just("knock"), st.just("")),
    st.tuples(st.just("open"), st.sampled_from(["polling", "websocket"])),
    st.tuples(st.just("reset"), st.just("")),
)


class Mallory:
    """Does what she is told, with whatever transports she has now."""

    def __init__(self, url: str) -> None:
        self.address = f"{url}/socket.io/?EIO=4&transport="
        self.port = int(url.rpartition(":")[2])
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.05))
        self.sid = "none"
        self.socket: RawSocket | None = None

    async def do(self, what: str, value: Any) -> None:
        if what == "open" and value == "polling":
            self.sid = (await self.ask("GET", "polling")).partition('"sid":"')[2].partition('"')[0] or self.sid
        elif what in ("open", "knock"):
            path = "/socket.io/?EIO=4&transport=websocket" + (f"&sid={self.sid}" if what == "knock" else "")
            try:
                self.socket = await RawSocket.open(self.port, path)
            except AssertionError:
                assert what == "knock", "only an unknown session is refused"
        elif what == "post":
            await self.ask("POST", f"polling&sid={self.sid}", value)
        elif what == "poll":
            await self.ask("GET", f"polling&sid={self.sid}")
        elif self.socket is not None:
            if what == "reset":
                await self.socket.reset()
                self.socket = None
                return
            data = value if isinstance(value, bytes) else frame(value)
            try:
                await self.socket.send(data * 2 if what == "twice" else data)
            except ConnectionError:
                self.socket = None

    async def ask(self, method: str, rest: str, body: str | None = None) -> str:
        """One request; a poll may wait, and is then given up, but nothing else may."""
        data = None if body is None else body.encode()
        options: Any = {} if body is None else {"timeout": aiohttp.ClientTimeout(total=5)}
        try:
            async with self.http.request(method, self.address + rest, data=data, **options) as got:
                assert got.status in (200, 400, 413, 429, 503)
                return await got.text()
        except TimeoutError:
            assert method == "GET", "a request hangs"
            return ""


class Lines(logging.Handler):
    """Counts what is logged, and keeps what nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings = 0
        self.crashes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings += record.levelno >= logging.WARNING
        if record.exc_info or record.name == "asyncio":
            self.crashes.append(record.getMessage())


async def converse(attacks: list[list[tuple[str, Any]]]) -> None:
    lines = Lines()
    logging.getLogger().addHandler(lines)
    try:
        with tempfile.TemporaryDirectory() as folder:
            async with open_house(
                Path(folder) / "data", heartbeat=0.4, upgrade_seconds=1, join_seconds=1, body_seconds=1
            ) as house:
                alice, bob = await house.enter("alice", "parlour"), await house.enter("bob", "parlour")
                before = set(house.server.house.server.eio.sockets)
                said = 0
                began = asyncio.get_running_loop().time()
                for attack in attacks:
                    mallory = Mallory(house.server.url)
                    try:
                        for step in attack:
                            await mallory.do(*step)
                            await alice.says("parlour", str(said))
                            said += 1
                    finally:
                        await mallory.http.close()
                        await hang_up_all()
                assert [(await bob.hears())["content"] for _ in range(said)] == [str(number) for number in range(said)]
                inner = house.server.house
                async with asyncio.timeout(8):
                    while set(inner.server.eio.sockets) != before or len(inner.server.eio._transports) != 2:
                        await asyncio.sleep(0.02)
                assert set(inner.delivery._connections) == set(inner.server.manager.rooms[CHAT][None])
                assert len(inner.delivery._connections) == 2
                assert set(inner.delivery._halls) == {"parlour", *inner.delivery._halls} - {"den", "lobby"}
                assert not inner.server._attachments
                assert not inner.server._queues._tails
                assert set(inner.server._sessions) == set(inner.delivery._connections)
                assert not inner.server.manager.pending_connect
                assert set(inner.server.environ) == before
                assert (await bob.joins("parlour"))["here"]["count"] == 2
                seconds = asyncio.get_running_loop().time() - began
                assert lines.warnings <= (seconds + 2) * (LINES_A_SECOND + 1)
            assert not left_in(inner.server.eio)
    finally:
        logging.getLogger().removeHandler(lines)
    assert not lines.crashes, lines.crashes


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(st.lists(STEPS, min_size=3, max_size=15), min_size=2, max_size=4))
def test_nobody_else_notices_and_nothing_is_left(attacks: list[list[tuple[str, Any]]]) -> None:
    asyncio.run(converse(attacks))
