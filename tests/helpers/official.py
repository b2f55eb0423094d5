"""The official JavaScript client, in a process of its own."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCRIPT: Final = ROOT / "tests" / "helpers" / "socketio_client.mjs"


class Official:
    """What one client says, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._passed_over: list[list[Any]] = []

    async def do(self, method: str, *values: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([method, *values]).encode() + b"\n")
        await self._process.stdin.drain()

    async def tells(self, *kinds: str) -> list[Any]:
        """The next line of one of these kinds; others stay for later."""
        for line in self._passed_over:
            if line[0] in kinds:
                self._passed_over.remove(line)
                return line
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while read := await self._process.stdout.readline():
                    line = json.loads(read)
                    if line[0] in kinds:
                        return list(line)
                    self._passed_over.append(line)
        except TimeoutError:
            pass
        raise AssertionError(f"{kinds} never came, but {self._passed_over[:6]}")

    async def call(self, *values: Any, by: str = "call") -> list[Any]:
        await self.do(by, *values)
        return (await self.tells("answer"))[1:]


@asynccontextmanager
async def official(url: str, **options: Any) -> AsyncIterator[Official]:
    """Run one client; options are those of `io()`."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        url,
        json.dumps(options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=8_000_000,
    )
    assert process.stdin is not None
    try:
        yield Official(process)
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 3)
        except TimeoutError:
            process.kill()
            await process.wait()
