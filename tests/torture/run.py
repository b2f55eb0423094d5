"""Carries out a plan: everybody comes, faults and messages happen, all is healed, and what is left is looked at."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from tests.helpers.clients import Client as Watcher
from tests.torture import checks
from tests.torture.browsers import BrowserTab, Chromium
from tests.torture.checks import Evidence, Shown, Violation
from tests.torture.faults import Stage
from tests.torture.pages import Host, Page
from tests.torture.plan import ROOMS, SERVER
from tests.torture.proxy import Proxy
from tests.torture.server import Census, Server
from tests.torture.tutorial import Tutorial

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from tests.torture.plan import Fault, Plan, Write

OPEN_SECONDS: Final = 60.0
REST_SECONDS: Final = 70.0
"""What retries may take at most (a connection attempt 20 s, a back-off 12.5 s twice, an answer 10 s), and reserve."""
WATCH_SECONDS: Final = 5.0
LOOK_EVERY_SECONDS: Final = 0.5
GONE_WITHIN_HEARTBEATS: Final = 3.5
"""35 s at the default heartbeat of 10 s: from a death to the moment in which nobody shows the dead any more."""
BOUNDS_SECONDS: Final = 30.0
HURRIED_SECONDS: Final = 4.0
TRANSPORTS: Final[tuple[list[str] | None, ...]] = (
    None,
    None,
    None,
    ["polling"],
    ["polling", "websocket"],
    ["websocket"],
)
"""None is the page's own choice."""
ME: Final = "Me"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Figures:
    """What happened in a run, in numbers."""

    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    packets_hit: int = 0
    kills: int = 0
    long_holes: int = 0
    starts: int = 0
    refused_starts: int = 0
    writes: int = 0
    stored: int = 0
    acknowledged: int = 0
    pages_opened: int = 0
    rest_seconds: float = 0.0
    gone_seconds: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    plan: Plan
    violations: list[Violation]
    troubles: list[str]
    """Where the harness itself failed; such a run proves nothing."""
    figures: Figures


class Run:
    """One plan, carried out once, in a folder of its own."""

    def __init__(self, plan: Plan, folder: Path, *, hurried: bool = False) -> None:
        """Prepare a run.

        Args:
            plan: what will happen.
            folder: for the server's data and everybody's logs.
            hurried: whether to wait a few seconds only for what ought to come, and to stop at the first violation:
                for mutants, from which nothing good is expected.
        """
        self.plan = plan
        self._hurried = hurried
        self.figures = Figures()
        self._folder = folder
        self._told: list[Violation] = []
        self._troubles: list[str] = []
        self._proxies: dict[str, Proxy] = {}
        self._hosts: dict[str, Host] = {}
        self._pages: dict[str, Page] = {}
        self._tabs: dict[str, BrowserTab] = {}
        self._tutorials: dict[str, Tutorial] = {}

    async def carry_out(self) -> Outcome:
        """From nothing to a verdict."""
        plan, figures = self.plan, self.figures
        self._folder.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            self._server = await self._start_server(stack)
            self._stage = Stage(self._server, self._proxies, self._pages, self._tabs, self._hosts)
            await self._here("lobby")
            idle = await self._server.census()
            await self._open_everybody(stack)
            await self._rest(OPEN_SECONDS)
            crowded = await self._server.census()
            await self._storm()
            await self._settle_presence()
            evidence = await self._gather(whole=True)
            evidence.idle, evidence.crowded = idle, crowded
            evidence.crowded_at_rest = await self._server.census()
            evidence.told = self._told
            if not self._hurried or not checks.violations(evidence):
                await self._everybody_goes()
                evidence.idle_again = await self._back_to(idle)
            if self._server.late_stops:
                self._tell("stops_in_time", SERVER, f"{self._server.late_stops} times it did not")
            figures.starts, figures.refused_starts = self._server.starts, self._server.refused_starts
            figures.stored = len(evidence.rows)
            figures.acknowledged = sum(len(client.acks) for client in evidence.clients)
            figures.pages_opened = sum(client.pages for client in evidence.clients)
            figures.packets_hit = sum(proxy.happened for proxy in self._proxies.values())
            figures.kills, figures.long_holes = plan.kills, plan.long_holes
            return Outcome(plan, checks.violations(evidence), self._troubles, figures)

    @property
    def progress(self) -> str:
        figures, plan = self.figures, self.plan
        return (
            f"{figures.seconds:.0f} s of {plan.seconds:.0f}, {sum(figures.faults.values())} of {len(plan.faults)} "
            f"faults, {figures.writes} messages written, {self._server.starts} starts"
        )

    async def _start_server(self, stack: AsyncExitStack) -> Server:
        server = Server(self._folder, heartbeat=self.plan.heartbeat, mutant=_of_server(self.plan.mutant))
        stack.push_async_callback(server.close)
        return await server.start()

    async def _open_everybody(self, stack: AsyncExitStack) -> None:
        cast = self.plan.cast
        for name in [*cast.page_names, *cast.tutorial_names, *cast.tab_names]:
            self._proxies[name] = await Proxy(lambda: self._server.port).start()
            stack.push_async_callback(self._proxies[name].stop)
        for name in cast.host_names:
            log = self._folder / f"{name}.log"
            self._hosts[name] = await Host(log, mutant=_of_pages(self.plan.mutant)).start()
            stack.push_async_callback(self._hosts[name].close)
        hosts = list(self._hosts.values())
        for number, name in enumerate(cast.page_names):
            # Tabs of one person share a browser, and so a process.
            host = hosts[number // 2 % len(hosts)]
            page = self._pages[name] = Page(name, cast.person_of(name), host, self._proxies[name])
            await page.open(ROOMS[number % cast.rooms], TRANSPORTS[number % len(TRANSPORTS)])
        for name in cast.tutorial_names:
            tutorial = self._tutorials[name] = Tutorial(name, self._proxies[name])
            stack.push_async_callback(tutorial.close)
            await tutorial.open()
        if cast.tabs:
            chromium = await Chromium().start()
            stack.push_async_callback(chromium.close)
            for name in cast.tab_names:
                self._tabs[name] = BrowserTab(name, await chromium.context(), self._proxies[name])
                await self._tabs[name].open()

    async def _storm(self) -> None:
        """Let everything happen at its time, and wait until the last fault is over."""
        start = time.monotonic()
        guard = asyncio.create_task(self._guard_presence())
        clock = asyncio.create_task(self._keep_time(start))
        try:
            async with asyncio.TaskGroup() as happening:
                for fault in self.plan.faults:
                    happening.create_task(self._at(start + fault.at, self._inject(fault), fault.kind))
                for write in self.plan.writes:
                    happening.create_task(self._at(start + write.at, self._write(write), "write"))
                happening.create_task(self._at(start + self.plan.seconds, self._end(), "end"))
        finally:
            for task in (guard, clock):
                task.cancel()
            await asyncio.gather(guard, clock, return_exceptions=True)

    async def _at(self, when: float, action: Awaitable[None], what: str) -> None:
        try:
            await asyncio.sleep(when - time.monotonic())
            await action
        except Exception as error:  # one broken fault must not end the others; it is reported
            logger.exception("%s failed", what)
            self._troubles.append(f"{what}: {error!r}")

    async def _end(self) -> None:
        self._stage.over.set()

    async def _keep_time(self, start: float) -> None:
        while True:
            self.figures.seconds = time.monotonic() - start
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _inject(self, fault: Fault) -> None:
        faults = self.figures.faults
        faults[fault.kind] = faults.get(fault.kind, 0) + 1
        await self._stage.inject(fault)

    async def _write(self, write: Write) -> None:
        name = write.who
        if name in self._tutorials:
            wrote = self._tutorials[name].say()
        elif name in self._tabs:
            wrote = await self._tabs[name].say()
        else:
            wrote = await self._pages[name].say()
        self.figures.writes += wrote

    async def _guard_presence(self) -> None:
        """Whoever vanished must be off the lists in time, while everything else goes on."""
        limit = GONE_WITHIN_HEARTBEATS * self.plan.heartbeat
        seen_off: set[tuple[str, float]] = set()
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            for name, absence in tuple(self._stage.gone.items()):
                away = time.monotonic() - absence.since
                stopped = self._server.stopped_seconds - absence.stopped_seconds
                if (name, absence.since) in seen_off or away < limit + stopped or self._server.busy.locked():
                    continue
                rooms = [await self._here(room) for room in ROOMS]
                if None in rooms or name not in self._stage.gone:
                    continue
                seen_off.add((name, absence.since))
                if any(name in (people or ()) for people in rooms):
                    self._tell("presence", name, f"still there {away:.0f} s after it vanished")

    async def _rest(self, seconds: float) -> None:
        """Wait until nobody has anything to wait for."""
        begin = time.monotonic()
        deadline = begin + seconds
        while time.monotonic() < deadline:
            evidence = await self._gather(whole=False)
            store = checks.Store(evidence.rows)
            if all(checks.at_rest(store, client) for client in evidence.clients) and all(
                tutorial.online for tutorial in self._tutorials.values()
            ):
                break
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        self.figures.rest_seconds = time.monotonic() - begin

    async def _settle_presence(self) -> None:
        """Wait for the end of what was under way, and then for the lists of people, which may be later."""
        await self._rest(self._patience(REST_SECONDS))
        deadline = time.monotonic() + GONE_WITHIN_HEARTBEATS * self.plan.heartbeat
        while time.monotonic() < deadline:
            evidence = await self._gather(whole=False)
            if not any(each.promise == "presence" for each in checks.violations(evidence)):
                return
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _gather(self, *, whole: bool) -> Evidence:
        """Ask everybody what they show. The store is read first: what is shown may be newer, never older, at rest."""
        rows = await asyncio.to_thread(self._server.rows)
        if whole:
            await asyncio.gather(*(page.load_all() for page in self._pages.values()))
        clients = await asyncio.gather(
            *(self._page_evidence(page, whole=whole) for page in self._pages.values()),
            *(self._tab_evidence(tab) for tab in self._tabs.values() if tab.is_open),
        )
        simple = [
            checks.Simple(each.name, each.acknowledged, each.heard, each.online) for each in self._tutorials.values()
        ]
        people = {room: {client.person for client in clients if client.room == room} for room in ROOMS}
        people["lobby"] |= {tutorial.name for tutorial in self._tutorials.values() if tutorial.online}
        return Evidence(rows, clients, simple, {room: frozenset(names) for room, names in people.items()})

    async def _page_evidence(self, page: Page, *, whole: bool) -> checks.Client:
        state = await page.state()
        if state is None:
            return checks.Client(page.name, page.person, "lobby", "gone", [], [])
        history = await page.history() if whole else {}
        return checks.Client(
            page.name,
            page.person,
            state["room"],
            state["status"],
            [Shown(*row) for row in state["entries"]],
            state["people"],
            whole=not state["has_older"],
            incomplete=state["incomplete"],
            letters=state["letters"],
            written=[(room, text) for room, text in history.get("written", [])],
            acks=[(room, text, ident, seq) for room, text, ident, seq in history.get("acks", [])],
            seen={_place(key): content for key, content in history.get("seen", [])},
            oddities=history.get("oddities", []),
            resets=history.get("resets", 0),
            refusals=history.get("refusals", []),
            pages=history.get("pages", 0),
        )

    async def _tab_evidence(self, tab: BrowserTab) -> checks.Client:
        state = await tab.state()
        if state is None:
            return checks.Client(tab.name, tab.name, "lobby", "gone", [], [])
        return checks.Client(
            tab.name,
            tab.name,
            "lobby",
            state["status"],
            [Shown(*row) for row in state["entries"]],
            state["people"],
            whole=False,
            written=[("lobby", text) for text in tab.written],
            oddities=sorted(tab.oddities),
            is_me=ME,
        )

    async def _here(self, room: str) -> set[str] | None:
        """Who the server says is in a room; None when it does not answer."""
        async with aiohttp.ClientSession() as http:
            watcher = Watcher(f"http://127.0.0.1:{self._server.port}", http_session=http)
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await watcher.connect(auth={"dialect": "full"})
                    answer = await watcher.joins(room, name="watcher")
            except Exception:  # noqa: BLE001  # the library raises what it likes; a server that is down says nothing
                return None
            finally:
                with contextlib.suppress(Exception):
                    await watcher.close()
        people: list[dict[str, Any]] = answer["here"]["people"]
        return {person["name"] for person in people} - {"watcher"}

    async def _everybody_goes(self) -> None:
        """All die at once, without a word; nobody may be left on a list."""
        for host in self._hosts.values():
            await host.close()
        for tab in self._tabs.values():
            await tab.close()
        for tutorial in self._tutorials.values():
            await tutorial.close()
        begin = time.monotonic()
        left = {self.plan.cast.person_of(name) for name in self._proxies}
        while left and time.monotonic() < begin + GONE_WITHIN_HEARTBEATS * self.plan.heartbeat:
            rooms = [await self._here(room) for room in ROOMS]
            left = set().union(*(people or () for people in rooms))
        self.figures.gone_seconds = time.monotonic() - begin
        for name in sorted(left):
            self._tell("presence", name, "a ghost: still there after everybody had gone")

    async def _back_to(self, idle: Census) -> Census:
        """Wait until the server holds no more than before anybody came, and say what it holds."""
        deadline = time.monotonic() + self._patience(BOUNDS_SECONDS)
        while True:
            census = await self._server.census()
            calm = census.tasks <= idle.tasks + checks.SPARE_TASKS and census.sockets <= idle.sockets
            if calm or time.monotonic() > deadline:
                return census
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def _patience(self, seconds: float) -> float:
        return min(seconds, HURRIED_SECONDS) if self._hurried else seconds

    def _tell(self, promise: str, who: str, what: str) -> None:
        self._told.append(Violation(promise, who, what))


def _place(key: str) -> tuple[str, int]:
    room, _, seq = key.rpartition(":")
    return room, int(seq)


def _of_server(mutant: str) -> str:
    from tests.torture.server_mutants import SERVER_MUTANTS

    return mutant if mutant in SERVER_MUTANTS else ""


def _of_pages(mutant: str) -> str:
    return "" if _of_server(mutant) else mutant
