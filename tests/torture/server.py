"""The server under test: a process that is killed, stopped and started again on the same port and the same folder."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.helpers.servers import ROOT
from tests.torture.disk import Disk

START_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 10.0
STOP_SECONDS: Final = 8.0
"""A server that was told to stop has to be gone by then; it promises five."""


@dataclass(frozen=True, slots=True)
class Census:
    """What a server's process holds."""

    memory_mb: float
    tasks: int
    threads: int
    sockets: int
    files: int


class Server:
    """One server, however often it dies."""

    def __init__(self, folder: Path, *, heartbeat: float, mutant: str = "") -> None:
        self.data = folder / "data"
        self.disk = Disk(folder, self.data)
        self.port = 0
        self.starts = 0
        self.refused_starts = 0
        self.late_stops = 0
        self.stopped_seconds = 0.0
        self.busy = asyncio.Lock()
        """Held while something happens to the process, so that two faults do not fall over each other."""
        self._log = folder / "server.log"
        self._mutant = mutant
        self._environ = {"CHATZILLA_HEARTBEAT": f"{heartbeat:g}", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        self._process: asyncio.subprocess.Process | None = None
        self._up = False
        self._asking = asyncio.Lock()

    async def start(self) -> Self:
        """Start for the first time."""
        await self._start(self._mutant)
        if self._mutant == "no_unique_index":
            await self.end(signal.SIGTERM)
            _forget_unique(self.data / "chatzilla.db")
            await self._start(self._mutant)
        return self

    async def restart(self) -> None:
        """Start again, as a supervisor would: until it stays."""
        async with asyncio.timeout(START_SECONDS):
            while not await self._start(self._mutant):
                self.refused_starts += 1
                await asyncio.sleep(0.2)

    async def end(self, signum: int) -> None:
        """Send a signal and wait until the process is gone."""
        process = self._alive()
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signum)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.late_stops += 1
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def died(self, within: float) -> bool:
        """Whether it dies by itself."""
        process = self._alive()
        if process is None:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), within)
        return process.returncode is not None

    def signal(self, signum: int) -> None:
        process = self._alive()
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signum)

    async def set_clock(self, ahead_ms: int) -> None:
        """Let the server's wall clock jump."""
        await self._ask("clock", ahead_ms)

    async def census(self) -> Census:
        """Count what lives in the process, which is there and well."""
        inside = await self._ask("census", None)
        process = self._alive()
        if process is None or inside is None:
            raise RuntimeError("the server does not answer")
        held = Path(f"/proc/{process.pid}")
        links = []
        for each in (held / "fd").iterdir():
            with suppress(OSError):
                links.append(str(each.readlink()))
        memory = re.search(r"VmRSS:\s+(\d+)", (held / "status").read_text())
        sockets = sum(link.startswith("socket:") for link in links)
        return Census(
            memory_mb=int(memory[1]) / 1024 if memory else 0.0,
            tasks=inside["tasks"],
            threads=inside["threads"],
            sockets=sockets,
            files=len(links) - sockets,
        )

    def rows(self) -> list[dict[str, Any]]:
        """Everything that is stored, in order."""
        with closing(sqlite3.connect(f"file:{self.data / 'chatzilla.db'}?mode=ro", uri=True, timeout=10)) as database:
            database.row_factory = sqlite3.Row
            rooms = {row[row.keys()[0]]: row["id"] for row in database.execute("SELECT * FROM rooms")}
            rows = [dict(row) for row in database.execute("SELECT * FROM messages ORDER BY room, seq")]
        return [row | {"room": rooms[row["room"]]} for row in rows]

    async def close(self) -> None:
        await self.end(signal.SIGKILL)
        self.disk.close()

    async def _start(self, mutant: str) -> bool:
        """Start one process; returns whether it stayed."""
        self._up = False
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATZILLA_")}
        environ = clean | self._environ | dict(self.disk.environ) | {"TORTURE_MUTANT": mutant}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.torture.launcher", "--data", str(self.data), "--port", str(self.port)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self.data.parent,
                env=environ,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        if not line.startswith(b"Chatzilla is at http://"):
            await self._process.wait()
            return False
        self.port = int(line.decode().split()[-1].rpartition(":")[2])
        self.starts += 1
        self._up = True
        return True

    async def _ask(self, order: str, argument: object) -> Any:
        """Give an order to the launcher; None when the process is gone."""
        process = self._alive()
        if process is None or not self._up:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        async with self._asking:
            try:
                process.stdin.write(json.dumps([order, argument]).encode() + b"\n")
                await process.stdin.drain()
                line = await asyncio.wait_for(process.stdout.readline(), ANSWER_SECONDS)
            except (OSError, TimeoutError):
                return None
        return json.loads(line) if line else None

    def _alive(self) -> asyncio.subprocess.Process | None:
        process = self._process
        return None if process is None or process.returncode is not None else process


def _forget_unique(path: Path) -> None:
    """The mutant whose store takes a retry for another message."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (table,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'messages'").fetchone()
        without = re.sub(r",?\s*(CONSTRAINT \w+\s+)?UNIQUE \((author, client_id|client_id, author)\)", "", table)
        assert without != table, "the table has no unique key to forget"
        database.execute("PRAGMA foreign_keys = OFF")
        indexes = database.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'messages' AND type = 'index' AND sql NOT NULL"
        ).fetchall()
        database.execute("DROP TABLE messages")
        database.execute(without)
        for (index,) in indexes:
            database.execute(index)
