"""Pages in node processes: the page's own modules with the official client (see `page_host.mjs`)."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.helpers.servers import ROOT

if TYPE_CHECKING:
    from tests.torture.proxy import Proxy

SCRIPT: Final = Path(__file__).with_name("page_host.mjs")
LONG_EVERY: Final = 11
LONG: Final = ("Ünïcödé 🦕 " * 200).strip()
"""What no single read of a socket brings."""
ANSWER_SECONDS: Final = 60.0
"""Longer than any stop of a host."""


class Host:
    """One node process and the pages in it."""

    def __init__(self, log: Path, mutant: str = "") -> None:
        self._log = log
        self._mutant = mutant
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.busy = asyncio.Lock()

    async def start(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "node",
                "--no-warnings",
                str(SCRIPT),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=os.environ | {"TORTURE_MUTANT": self._mutant},
                limit=64_000_000,
            )
        self._reading = asyncio.create_task(self._read())
        return self

    async def ask(self, page: str, verb: str, *arguments: object) -> Any:
        """Give an order to one page, and wait for its answer."""
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps([number, page, verb, *arguments]).encode() + b"\n")
        return await asyncio.wait_for(answer, ANSWER_SECONDS)

    def signal(self, signum: int) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signum)

    async def close(self) -> None:
        """Kill it, and everybody in it: connections end as the kernel ends them."""
        self.signal(signal.SIGKILL)
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            number, result, error = json.loads(line)
            answer = self._answers.pop(number)
            if answer.done():
                continue
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(RuntimeError(error))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the host is gone"))


class Page:
    """One tab of one person, in a host, behind a proxy."""

    def __init__(self, name: str, person: str, host: Host, proxy: Proxy) -> None:
        self.name = name
        self.person = person
        self.proxy = proxy
        self._host = host
        self._said = 0
        self.busy = asyncio.Lock()

    async def open(self, room: str, transports: list[str] | None) -> None:
        settings = {"person": self.person, "url": self.proxy.url, "room": room, "transports": transports}
        await self._host.ask(self.name, "new", settings)
        await self._host.ask(self.name, "open")

    async def say(self) -> bool:
        """Write the next text; returns whether there was a page to write it in."""
        return bool(await self._host.ask(self.name, "write", self._next_text()))

    async def reload(self) -> None:
        await self._host.ask(self.name, "reload")

    async def crash(self, after_ms: float) -> None:
        """Write, and be gone in mid-send; then a new page opens on what the browser kept."""
        await self._host.ask(self.name, "crash", self._next_text(), after_ms)
        self.proxy.reset()
        await self._host.ask(self.name, "open")

    async def vanish(self) -> None:
        """The machine loses its power: nobody is told."""
        await self._host.ask(self.name, "vanish")

    async def come_back(self) -> None:
        await self._host.ask(self.name, "open")

    async def network(self, state: str) -> None:
        await self._host.ask(self.name, "network", state)

    async def set_clock(self, ahead_ms: int) -> None:
        await self._host.ask(self.name, "clock", ahead_ms)

    async def move(self, room: str) -> None:
        await self._host.ask(self.name, "move", room)

    async def load_all(self) -> bool:
        return bool(await self._host.ask(self.name, "loadAll"))

    async def state(self) -> dict[str, Any] | None:
        """What it shows now; None when there is no page."""
        found: dict[str, Any] | None = await self._host.ask(self.name, "state")
        return found

    async def history(self) -> dict[str, Any]:
        """What its person wrote, what was acknowledged, and everything it ever showed."""
        found: dict[str, Any] = await self._host.ask(self.name, "history")
        return found

    def _next_text(self) -> str:
        self._said += 1
        text = f"{self.name} #{self._said}"
        return text if self._said % LONG_EVERY else f"{text} {LONG}"
