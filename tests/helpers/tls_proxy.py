"""A platform's router in small: it ends TLS and passes every request on to one port, over plain HTTP.

It does what such routers do, and no more: it appends the address that it sees to `X-Forwarded-For`, names the scheme,
keeps `Host`, and carries an upgraded connection as raw bytes. One request for each connection to the server.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CLOSING_SECONDS: Final = 1.0
"""How long a client may take to answer the end of TLS."""

_CHUNK: Final = 64 * 1024


@dataclass(frozen=True)
class Certificate:
    """A key and a certificate for `localhost`, signed by itself."""

    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        """Make one with the openssl command."""
        made = cls(folder / "certificate.pem", folder / "key.pem")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
                *("-keyout", str(made.key), "-out", str(made.certificate)),
            ],
            check=True,
            capture_output=True,
        )
        return made

    def trusted(self) -> ssl.SSLContext:
        """What a client uses that trusts this certificate and nothing else."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def presented(self) -> ssl.SSLContext:
        """What the router uses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@asynccontextmanager
async def tls_proxy(upstream_port: int, certificate: Certificate) -> AsyncIterator[str]:
    """Listen on a free port of the loopback; yields the address that people would type."""
    carried: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_carry(reader, writer, upstream_port))
        carried[task] = writer
        task.add_done_callback(carried.pop)

    server = await asyncio.start_server(
        accept, "127.0.0.1", 0, ssl=certificate.presented(), ssl_shutdown_timeout=CLOSING_SECONDS
    )
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        left = dict(carried)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for writer in left.values():  # a task that never began has closed nothing
            await _close(writer)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass one request on, and its answer back, until either side ends."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, asyncio.IncompleteReadError):
        await _close(writer)
        return
    ways: list[asyncio.Task[None]] = []
    try:
        upstream_writer.write(_rewritten(head, writer.get_extra_info("peername")[0]))
        ways = [
            asyncio.create_task(_pump(reader, upstream_writer)),
            asyncio.create_task(_pump(upstream_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Both ends are closed before anything is awaited: this task may be cancelled at any time.
        upstream_writer.close()
        writer.close()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        await _close(upstream_writer)
        await _close(writer)


def _rewritten(head: bytes, peer: str) -> bytes:
    request, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    upgrades = any(name.lower() == "upgrade" for name, _ in headers)
    seen = [value for name, value in headers if name.lower() == "x-forwarded-for"]
    ours = {"x-forwarded-for", "x-forwarded-proto"} | (set() if upgrades else {"connection"})
    passed = [(name, value) for name, value in headers if name.lower() not in ours]
    passed += [("X-Forwarded-For", ", ".join([*seen, peer])), ("X-Forwarded-Proto", "https")]
    if not upgrades:
        passed.append(("Connection", "close"))
    return "\r\n".join([request, *(f"{name}: {value}" for name, value in passed), "", ""]).encode("latin-1")


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
