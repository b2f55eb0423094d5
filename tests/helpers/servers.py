"""Chatzilla, started for a test: inside the test's own loop, or as the process that an operator starts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web, web_app

from chatzilla.app import HOUSE, House, create_app
from chatzilla.config import Config
from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.made_once import empty_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from chatzilla.ports import Clock

ROOT: Final = Path(__file__).resolve().parent.parent.parent
START_SECONDS: Final = 60.0


@dataclass
class Server:
    """A server inside this process."""

    url: str
    house: House
    runner: web.AppRunner
    data: Path


@asynccontextmanager
async def serving(
    data: Path, *, clock: Clock | None = None, presents: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[Server]:
    """Serve on a free port of the loopback until the block ends, then stop as an operator would.

    With `presents`, by HTTPS.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    if settings.get("sign_in") == "email":
        settings.setdefault("url", f"http://127.0.0.1:{listening.getsockname()[1]}")
    try:
        app = create_app(Config(data=empty_database(data), port=0, **settings), clock)
    except BaseException:
        listening.close()
        raise
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.SockSite(runner, listening, ssl_context=presents)
    await site.start()
    host, port = runner.addresses[0][:2]
    url = f"{'https' if presents else 'http'}://{host}:{port}"
    app[HOUSE].operators.base = settings.get("url", url)
    app[HOUSE].operators.listens = [url]
    try:
        yield Server(url, app[HOUSE], runner, data)
    finally:
        await site.stop()
        await app[HOUSE].farewell()
        await runner.cleanup()
        # aiohttp keeps the last thousand handlers, each with its application, and so with a whole server: every
        # collection of garbage would go through all of them.
        web_app._cached_build_middleware.cache_clear()


class Process:
    """`python run_server.py` as an operator runs it; it can be killed and started again on the same port."""

    def __init__(self, data: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.arguments = arguments
        self.environ = dict(environ or {})
        self.port = 0
        self.url = ""
        self.log = data.parent / f"{data.name}.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Process:
        """Start, and wait until it prints its address."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATZILLA_")}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(ROOT / "run_server.py"),
                *("--data", str(self.data), "--port", str(self.port)),
                *self.arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self.data.parent,
                env=clean | {"PYTHONUNBUFFERED": "1"} | self.environ,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        assert line.startswith((b"Chatzilla is at http://", b"Chatzilla is at https://")), line + self.log.read_bytes()
        self.url = line.decode().split()[-1]
        self.port = int(self.url.rpartition(":")[2])
        return self

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process is not None
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)).decode().rstrip("\n")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                # `send_signal` would look whether it has ended, and take its status away from whoever waits for it.
                os.kill(self._process.pid, signum)
        return await asyncio.wait_for(self._process.wait(), PATIENCE_SECONDS)

    async def kill(self) -> None:
        """kill -9: no goodbye, no flush."""
        await self.stop(signal.SIGKILL)
