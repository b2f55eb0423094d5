"""A real Janus, started for a test with our own configuration; it can be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING, Final

from chatzilla.errors import Unavailable
from chatzilla.media import janus_config
from chatzilla.media.janus_api import JanusError, JanusSession
from tests.helpers.clients import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

SECRET: Final = "a-secret-that-janus-and-chatzilla-share"

JANUS: Final = shutil.which("janus")


class JanusServer:
    """Janus in a process of its own."""

    def __init__(self, folder: Path) -> None:
        assert JANUS is not None, "`make system` installs janus"
        self.folder = folder / "janus"
        self.socket = self.folder / janus_config.SOCKET
        self.log = self.folder / "janus.log"
        janus_config.write(self.folder, SECRET, "20000-20400")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"unix:{self.socket}"

    async def start(self) -> JanusServer:
        """Start, and wait until it answers."""
        assert JANUS is not None
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                JANUS, "-F", str(self.folder), stdout=log, stderr=log, cwd=self.folder
            )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                assert self._process.returncode is None, self.log.read_text()[-3000:]
                session = JanusSession(SECRET, lambda *_: None)
                with contextlib.suppress(Unavailable, JanusError):
                    await session.connect(self.url)
                    await session.close()
                    return self
                await asyncio.sleep(0.02)

    async def rooms(self) -> list[str]:
        """The rooms that there are in it."""
        session = JanusSession(SECRET, lambda *_: None)
        await session.connect(self.url)
        try:
            data, _ = await session.message(await session.attach(), {"request": "list", "admin_key": SECRET})
            return [room["room"] for room in data["list"]]
        finally:
            await session.close()

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
