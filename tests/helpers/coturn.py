"""A real TURN server on the loopback, started for a test with a configuration of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chatzilla.media import stun
from tests.helpers.clients import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET: Final = "a secret that coturn and Chatzilla share".replace(" ", "-")

COTURN: Final = shutil.which("turnserver")


@dataclass(frozen=True)
class Coturn:
    """A running server."""

    port: int
    log: Path

    @property
    def udp(self) -> str:
        return f"turn:127.0.0.1:{self.port}?transport=udp"

    @property
    def tcp(self) -> str:
        return f"turn:127.0.0.1:{self.port}?transport=tcp"

    @property
    def stun(self) -> str:
        return f"stun:127.0.0.1:{self.port}"


@asynccontextmanager
async def coturn(folder: Path, *recipe: str) -> AsyncIterator[Coturn]:
    """Run coturn until the block ends.

    Args:
        folder: for its files.
        recipe: lines of a configuration to try; without, it relays to the loopback, which no server for strangers may.
    """
    assert COTURN is not None, "`make system` installs coturn"
    server = Coturn(_free_port(), folder / "coturn.log")
    config = folder / "turnserver.conf"
    config.write_text(
        "\n".join(
            (
                f"listening-port={server.port}",
                "listening-ip=127.0.0.1",
                "relay-ip=127.0.0.1",
                *(recipe or ("realm=chatzilla.test", "use-auth-secret", "allow-loopback-peers", "fingerprint")),
                f"static-auth-secret={SECRET}",
                *("no-cli", "no-tls", "no-dtls", "no-rfc5780", "no-software-attribute"),
                *(f"userdb={folder / 'turndb'}", f"pidfile={folder / 'turn.pid'}", "log-file=stdout"),
            )
        )
        + "\n"
    )
    with server.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(COTURN, "-c", str(config), stdout=log, stderr=log, cwd=folder)
    try:
        await _is_up(server, process)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _is_up(server: Coturn, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            assert process.returncode is None, server.log.read_text()
            try:
                await stun.ask(server.stun, seconds=1)
            except stun.StunError:
                await asyncio.sleep(0.02)
            else:
                return


def _free_port() -> int:
    """A port that is free for TCP and UDP alike."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
