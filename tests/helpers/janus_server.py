"""A real Janus, started for a test with our own configuration; it can be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from chatzilla.errors import Unavailable
from chatzilla.media import janus_config
from chatzilla.media.janus_api import JanusError, JanusSession
from tests.helpers.clients import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

SECRET: Final = "a-secret-that-janus-and-chatzilla-share"

JANUS: Final = shutil.which("janus")

ADDRESS: Final = "127.0.0.9"
"""Of the interface that a machine is given which has none."""


def provide_network() -> None:
    """See that there is an interface besides the loopback, which Janus leaves out.

    Where there is none, a pair of virtual ones is added, and stays: others may use it by then. In a network of one's
    own (`unshare --net`) it ends with that.

    Raises:
        AssertionError: there is none, and this process may not add one.
    """

    def ip(*arguments: str) -> str:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (
            "Janus leaves out the loopback, and this machine has nothing else. Connect it to a network, or run the "
            f"tests as root, or by `unshare --user --map-root-user --net`: {done.stderr.strip()}"
        )
        return done.stdout

    found = json.loads(ip("-json", "address", "show", "up"))
    if any(each.get("addr_info") and "LOOPBACK" not in each["flags"] for each in found):
        return
    ip("link", "set", "lo", "up")
    ip("link", "add", "calls0", "type", "veth", "peer", "name", "calls1")
    ip("address", "add", f"{ADDRESS}/32", "dev", "calls0")
    ip("link", "set", "calls0", "up")
    ip("link", "set", "calls1", "up")


def through(janus: JanusServer, calls: str = "janus") -> dict[str, Any]:
    """The settings of a server whose calls go by it."""
    return {"calls": calls, "janus_url": janus.url, "janus_secret": SECRET}


class JanusServer:
    """Janus in a process of its own."""

    def __init__(self, folder: Path) -> None:
        assert JANUS is not None, "`make system` installs janus"
        self.folder = folder / "janus"
        self.socket = self.folder / janus_config.SOCKET
        self.log = self.folder / "janus.log"
        janus_config.write(self.folder, SECRET, "20000-20400")
        self._admin = self.folder / "admin.sock"
        self._open_admin_socket()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"unix:{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _open_admin_socket(self) -> None:
        """Let a test count what there is in it, whosever it is; our own configuration has no such door."""
        file = self.folder / "janus.transport.websockets.jcfg"
        text = file.read_text()
        assert "admin_ws = false" in text
        file.write_text(text.replace("admin_ws = false", f'admin_ws = true\n    admin_ws_unix = "{self._admin}"'))

    async def start(self) -> JanusServer:
        """Start, and wait until it answers."""
        assert JANUS is not None
        provide_network()
        for socket in (self.socket, self._admin):
            socket.unlink(missing_ok=True)
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
        return [room["room"] for room in await self.described_rooms()]

    async def described_rooms(self) -> list[dict[str, Any]]:
        """The same, with what it says of them."""
        session = JanusSession(SECRET, lambda *_: None)
        await session.connect(self.url)
        try:
            data, _ = await session.message(await session.attach(), {"request": "list", "admin_key": SECRET})
            return list(data["list"])
        finally:
            await session.close()

    async def handles(self) -> int:
        """How many handles there are in it, whosever, as it counts them itself."""
        found = 0
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._admin))) as http:
            protocols = ("janus-admin-protocol",)
            async with http.ws_connect("ws://janus/", protocols=protocols) as socket:

                async def ask(request: str, **more: Any) -> dict[str, Any]:
                    head = {"janus": request, "transaction": os.urandom(8).hex(), "admin_secret": f"{SECRET}-admin"}
                    await socket.send_json(head | more)
                    answer: dict[str, Any] = await socket.receive_json(timeout=PATIENCE_SECONDS)
                    return answer

                for session in (await ask("list_sessions"))["sessions"]:
                    listed = await ask("list_handles", session_id=session)
                    found += len(listed.get("handles", ()))
        return found

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
