"""What each kind of fault does, and to whom."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.torture.plan import ROOMS
from tests.torture.proxy import Rule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.torture.browsers import BrowserTab
    from tests.torture.pages import Host, Page
    from tests.torture.plan import Fault
    from tests.torture.proxy import Proxy, Way
    from tests.torture.server import Server

ACK: Final = re.compile(r'43/chat,\d+\[true,(\{"id"|")')
EVENT: Final = re.compile(r'42/chat,\["message"')
REQUEST: Final = re.compile(r'42/chat,\d+\["message"')

RULE_SECONDS: Final = 20.0
"""How long a fault waits for its packet; where none comes, nothing happens."""
AT_SYNC_SECONDS: Final = 10.0
CLOCK_JUMP_MS: Final = 2 * 3_600_000
CRASH_WITHIN_MS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Absence:
    """Since when somebody is away: by the clock, and by the sum of the server's stops until then."""

    since: float
    stopped_seconds: float


class Stage:
    """Everybody whom a fault can befall."""

    def __init__(
        self,
        server: Server,
        proxies: Mapping[str, Proxy],
        pages: Mapping[str, Page],
        tabs: Mapping[str, BrowserTab],
        hosts: Mapping[str, Host],
    ) -> None:
        self.server = server
        self.proxies = proxies
        self.pages = pages
        self.tabs = tabs
        self.hosts = hosts
        self.gone: dict[str, Absence] = {}
        """Who vanished and is not back."""

        self.over = asyncio.Event()
        """Set when no further fault begins."""

    async def soon(self, event: asyncio.Event) -> None:
        """Wait until something has happened, but not much longer, and not beyond the end of the storm."""
        waiting = [asyncio.create_task(event.wait()), asyncio.create_task(self.over.wait())]
        try:
            await asyncio.wait(waiting, timeout=RULE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def inject(self, fault: Fault) -> None:
        """Do what a fault says, and undo it when its time is over."""
        await KINDS[fault.kind](self, fault)


async def _reset(stage: Stage, fault: Fault) -> None:
    stage.proxies[fault.target].reset()


async def _close(stage: Stage, fault: Fault) -> None:
    stage.proxies[fault.target].close()


def _hole(*names: str) -> Callable[[Stage, Fault], Awaitable[None]]:
    """Nothing comes through; at the end, half of the time, the network has forgotten the connections too."""

    async def hole(stage: Stage, fault: Fault) -> None:
        proxy = stage.proxies[fault.target]
        ways: list[Way] = [getattr(proxy, name) for name in names]
        for way in ways:
            way.shut()
        await asyncio.sleep(fault.seconds)
        if fault.how < 0.5:
            proxy.reset()
        for way in ways:
            way.reopen()

    return hole


async def _delay(stage: Stage, fault: Fault) -> None:
    proxy = stage.proxies[fault.target]
    proxy.up.delay = proxy.down.delay = fault.how
    await asyncio.sleep(fault.seconds)
    proxy.up.delay = proxy.down.delay = 0.0


async def _trickle(stage: Stage, fault: Fault) -> None:
    proxy = stage.proxies[fault.target]
    proxy.up.trickle = proxy.down.trickle = True
    await asyncio.sleep(fault.seconds)
    proxy.up.trickle = proxy.down.trickle = False


def _rule(name: str, packet: re.Pattern[str], act: str) -> Callable[[Stage, Fault], Awaitable[None]]:
    """Wait for a packet, and do it to that one; all others pass."""

    async def rule(stage: Stage, fault: Fault) -> None:
        way: Way = getattr(stage.proxies[fault.target], name)
        reset = act == "cut" and fault.how < 0.5
        waiting = Rule(packet, "reset" if reset else act, fault.how * 2 % 1)
        way.rules.append(waiting)
        await stage.soon(waiting.done)
        with suppress(ValueError):
            way.rules.remove(waiting)

    return rule


async def _cut_bytes(stage: Stage, fault: Fault) -> None:
    proxy = stage.proxies[fault.target]
    way = proxy.up if fault.how < 0.5 else proxy.down
    way.left = 1 + int(fault.how * 2 % 1 * 2_000)
    await stage.soon(asyncio.Event())
    way.left = None


async def _reload(stage: Stage, fault: Fault) -> None:
    client = stage.pages.get(fault.target) or stage.tabs[fault.target]
    async with client.busy:
        if fault.target not in stage.gone:
            await client.reload()


async def _crash(stage: Stage, fault: Fault) -> None:
    client = stage.pages.get(fault.target) or stage.tabs[fault.target]
    async with client.busy:
        if fault.target not in stage.gone:
            await client.crash(fault.how * CRASH_WITHIN_MS)


async def _vanish(stage: Stage, fault: Fault) -> None:
    """The power goes: the network carries nothing, not even an end; later the person is back on the same disk."""
    page = stage.pages[fault.target]
    async with page.busy:
        page.proxy.up.shut()
        page.proxy.down.shut()
        await page.vanish()
        stage.gone[fault.target] = Absence(asyncio.get_running_loop().time(), stage.server.stopped_seconds)
        await asyncio.sleep(fault.seconds)
        page.proxy.reset()
        page.proxy.up.reopen()
        page.proxy.down.reopen()
        del stage.gone[fault.target]
        await page.come_back()


async def _offline(stage: Stage, fault: Fault) -> None:
    client = stage.pages.get(fault.target) or stage.tabs[fault.target]
    async with client.busy:
        if fault.target in stage.gone:
            return
        await client.network("offline")
        await asyncio.sleep(fault.seconds)
        await client.network("online")


async def _clock(stage: Stage, fault: Fault) -> None:
    await stage.pages[fault.target].set_clock(_jump(fault))


async def _move(stage: Stage, fault: Fault) -> None:
    page = stage.pages[fault.target]
    async with page.busy:
        if fault.target not in stage.gone:
            await page.move(ROOMS[int(fault.how * len(ROOMS)) % len(ROOMS)])


async def _host_stop(stage: Stage, fault: Fault) -> None:
    host = stage.hosts[fault.target]
    async with host.busy:
        host.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            host.signal(signal.SIGCONT)


def _server_ends(signum: int) -> Callable[[Stage, Fault], Awaitable[None]]:
    async def end(stage: Stage, fault: Fault) -> None:
        async with stage.server.busy:
            await stage.server.end(signum)
            await asyncio.sleep(fault.seconds)
            await stage.server.restart()

    return end


async def _server_kill_at_sync(stage: Stage, fault: Fault) -> None:
    """kill -9 between the sync of a commit and everything that follows from it, or just before that sync."""
    async with stage.server.busy:
        stage.server.disk.die_at_sync(1 + int(fault.how * 6), before=fault.how * 10 % 1 < 0.3)
        if not await stage.server.died(AT_SYNC_SECONDS):
            await stage.server.end(signal.SIGKILL)
        stage.server.disk.spare()
        await asyncio.sleep(fault.seconds)
        await stage.server.restart()


async def _server_stop(stage: Stage, fault: Fault) -> None:
    async with stage.server.busy:
        stage.server.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            stage.server.stopped_seconds += fault.seconds
            stage.server.signal(signal.SIGCONT)


async def _server_clock(stage: Stage, fault: Fault) -> None:
    await stage.server.set_clock(_jump(fault))


async def _disk_full(stage: Stage, fault: Fault) -> None:
    stage.server.disk.full()
    await asyncio.sleep(fault.seconds)
    stage.server.disk.heal()


async def _disk_readonly(stage: Stage, fault: Fault) -> None:
    stage.server.disk.readonly()
    await asyncio.sleep(fault.seconds)
    stage.server.disk.heal()


async def _disk_slow(stage: Stage, fault: Fault) -> None:
    stage.server.disk.slow(fault.how / 2)
    await asyncio.sleep(fault.seconds)
    stage.server.disk.heal()


async def _disk_locked(stage: Stage, fault: Fault) -> None:
    """Another process, this one, holds the write lock of the database."""
    path = stage.server.data / "chatzilla.db"
    stranger = sqlite3.connect(path, isolation_level=None, timeout=0)
    with closing(stranger), suppress(sqlite3.OperationalError):
        stranger.execute("BEGIN EXCLUSIVE")
        await asyncio.sleep(fault.seconds)
        stranger.execute("ROLLBACK")


def _jump(fault: Fault) -> int:
    return int((fault.how - 0.5) * 2 * CLOCK_JUMP_MS)


KINDS: Final[dict[str, Callable[[Stage, Fault], Awaitable[None]]]] = {
    "reset": _reset,
    "close": _close,
    "hole": _hole("up", "down"),
    "hole_up": _hole("up"),
    "hole_down": _hole("down"),
    "delay": _delay,
    "trickle": _trickle,
    "cut_ack": _rule("down", ACK, "cut"),
    "cut_event": _rule("down", EVENT, "cut"),
    "cut_request": _rule("up", REQUEST, "cut"),
    "cut_bytes": _cut_bytes,
    "drop_event": _rule("down", EVENT, "drop"),
    "drop_ack": _rule("down", ACK, "drop"),
    "drop_request": _rule("up", REQUEST, "drop"),
    "twice_request": _rule("up", REQUEST, "twice"),
    "twice_event": _rule("down", EVENT, "twice"),
    "reload": _reload,
    "crash": _crash,
    "vanish": _vanish,
    "offline": _offline,
    "clock": _clock,
    "move": _move,
    "host_stop": _host_stop,
    "server_kill": _server_ends(signal.SIGKILL),
    "server_term": _server_ends(signal.SIGTERM),
    "server_kill_at_sync": _server_kill_at_sync,
    "server_stop": _server_stop,
    "server_clock": _server_clock,
    "disk_full": _disk_full,
    "disk_readonly": _disk_readonly,
    "disk_slow": _disk_slow,
    "disk_locked": _disk_locked,
}
