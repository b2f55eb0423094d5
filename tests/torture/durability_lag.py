"""A server with a stopwatch in its loop, and a crowd that visits it, as a test drives them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.helpers.servers import ROOT, START_SECONDS

LAUNCHER: Final = ("-m", "tests.torture.durability_launcher")
ANSWER_SECONDS: Final = 60.0


Found = dict[str, list[tuple[float, float, str]]]
"""The worst turns, steps and pauses: how long each held the loop, its CPU time, both in ms, and what it was."""


class Puppet:
    """A process that is told what to do line by line, and answers each line when it is done."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._turn = asyncio.Lock()

    async def do(self, *words: object) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        async with self._turn, asyncio.timeout(ANSWER_SECONDS):
            self.process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
            answer = await self.process.stdout.readline()
        assert answer, f"{words} was not answered"
        return answer.decode()

    async def kill(self) -> None:
        """End it without a word: the kernel closes whatever it has open, at once."""
        self.process.kill()
        await self.process.wait()


class Stopwatch(Puppet):
    """What the loop of a server was held by."""

    async def since_reset(self) -> Found:
        """The worst since the last time."""
        found: Found = json.loads(await self.do("reset"))
        return found


@asynccontextmanager
async def puppet(arguments: Sequence[object], log: Path, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Python, and end it with the block."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATZILLA_")}
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *map(str, arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=clean | {"PYTHONUNBUFFERED": "1"} | environ,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        pipe: Any = process.stdin
        pipe.close()


@asynccontextmanager
async def watched(data: Path, **environ: str) -> AsyncIterator[tuple[str, Stopwatch]]:
    """Run a server with a stopwatch; gives its address and the stopwatch."""
    arguments = (*LAUNCHER, "--data", data, "--port", 0)
    async with puppet(arguments, data.with_suffix(".log"), **environ) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        assert line.startswith(b"Chatzilla is at"), line
        yield line.decode().split()[-1], Stopwatch(process)


@asynccontextmanager
async def crowd(url: str, people: int, log: Path) -> AsyncIterator[Puppet]:
    """Gather a crowd before a server."""
    arguments = ("-m", "tests.torture.durability_crowd", url.rpartition(":")[2], people)
    async with puppet(arguments, log) as process:
        yield Puppet(process)
