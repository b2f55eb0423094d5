"""A network in small: each client has one of its own, and faults happen in it.

A hole forgets nothing by itself: bytes wait, as they do in a kernel that sends them again, and come through when the
hole ends, unless whoever waited has given up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self
from weakref import WeakSet

from tests.torture.frames import Reader, Unit

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

_CHUNK: Final = 64 * 1024
_ABORTING: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class Rule:
    """What happens once to the next packet of a kind."""

    packet: re.Pattern[str]
    act: str
    """drop, twice, cut (ends the connection inside the packet) or reset (the same, with RST)."""
    part: float = 0.0
    """Where to cut, from 0, before the packet, to 1, after it; or how many seconds later it comes again."""
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Way:
    """One direction of everything that goes through a proxy."""

    clear: asyncio.Event = field(default_factory=asyncio.Event)
    holes: int = 0
    delay: float = 0.0
    trickle: bool = False
    left: int | None = None
    """Bytes that still pass before the connection is cut."""
    rules: list[Rule] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clear.set()

    def shut(self) -> None:
        """Begin a hole; as many as there are have to end."""
        self.holes += 1
        self.clear.clear()

    def reopen(self) -> None:
        """End a hole."""
        self.holes -= 1
        if not self.holes:
            self.clear.set()


class Proxy:
    """Listens on a port of its own for one client, and carries what comes to the server."""

    def __init__(self, upstream: Callable[[], int]) -> None:
        self.up = Way()
        self.down = Way()
        self.port = 0
        self.happened = 0
        """How many rules found their packet."""
        self._upstream = upstream
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: WeakSet[asyncio.StreamWriter] = WeakSet()

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_CHUNK)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """End everything."""
        self._server.close()
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in tuple(self._ends):  # a task that never began has closed nothing
            _abort(end)
        await asyncio.sleep(0)

    def reset(self) -> None:
        """Cut every connection with RST, both ends."""
        for link in tuple(self._links):
            link.reset()

    def close(self) -> None:
        """Close every connection in good order of TCP, both ends, in the middle of whatever it carries."""
        for link in tuple(self._links):
            link.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._upstream(), limit=_CHUNK)
        except OSError:
            _abort(writer)
            return
        self._ends.add(back)
        link = _Link(self, writer, back)
        self._links.add(link)
        ways = [
            asyncio.create_task(link.pump(self.up, reader, back)),
            asyncio.create_task(link.pump(self.down, there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            link.close()


class _Link:
    """One connection and its other half."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._ends = (client, server)
        self._swallow: list[bool] = []
        """For each answer that is due to a request sent twice: whether the client must not see it."""

    def reset(self) -> None:
        for end in self._ends:
            _abort(end)

    def close(self) -> None:
        for end in self._ends:
            with suppress(OSError, RuntimeError):
                end.close()

    async def pump(self, way: Way, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        reader = Reader()
        with suppress(OSError):
            while chunk := await source.read(_CHUNK):
                await way.clear.wait()
                if way.delay:
                    await asyncio.sleep(way.delay)
                for unit in reader.feed(chunk):
                    if not await self._pass(way, unit, target):
                        return
                    await way.clear.wait()
        await way.clear.wait()  # the end does not come through a hole either

    async def _pass(self, way: Way, unit: Unit, target: asyncio.StreamWriter) -> bool:
        """Let one unit through as the rules will have it; returns whether the connection goes on."""
        if way is self._proxy.down and unit.http and self._swallow and self._swallow.pop(0):
            return True
        rule, packet = _first(way.rules, unit)
        if rule is not None:
            way.rules.remove(rule)
            rule.done.set()
            self._proxy.happened += 1
        if rule is None:
            return await self._write(way, unit.raw, target)
        if rule.act == "drop":
            left = unit.without(packet)
            return left is None or await self._write(way, left.raw, target)
        if rule.act == "twice":
            if unit.http and way is self._proxy.down:
                return await self._write(way, unit.raw, target)
            if unit.http:
                self._swallow += [False, True]
            return await self._write(way, unit.raw, target) and await self._again(way, unit.raw, target, rule.part)
        target.write(unit.raw[: int(rule.part * len(unit.raw))])
        if rule.act == "reset":
            self.reset()
        else:
            self.close()
        return False

    async def _again(self, way: Way, data: bytes, target: asyncio.StreamWriter, later: float) -> bool:
        await asyncio.sleep(later)
        return await self._write(way, data, target)

    async def _write(self, way: Way, data: bytes, target: asyncio.StreamWriter) -> bool:
        if way.left is not None and len(data) >= way.left:
            target.write(data[: way.left])
            way.left = None
            self._proxy.happened += 1
            self.close()
            return False
        if way.left is not None:
            way.left -= len(data)
        if way.trickle:
            await _byte_by_byte(way, data, target)
        else:
            target.write(data)
        await target.drain()
        return True


async def _byte_by_byte(way: Way, data: bytes, target: asyncio.StreamWriter) -> None:
    for at in range(len(data)):
        if not way.trickle:
            target.write(data[at:])
            return
        target.write(data[at : at + 1])
        await asyncio.sleep(0)


def _first(rules: list[Rule], unit: Unit) -> tuple[Rule | None, str]:
    for rule in rules:
        for packet in unit.packets:
            if rule.packet.match(packet):
                return rule, packet
    return None, ""


def _abort(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    with suppress(OSError, RuntimeError):
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTING)
        writer.transport.abort()
