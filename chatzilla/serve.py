"""Serve until told to stop, and stop well: answered, said goodbye, closed, within five seconds."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

from chatzilla.app import CLOSING_SECONDS, HOUSE, create_app
from chatzilla.errors import StartError
from chatzilla.tls import OWN_FILE, Certificates
from chatzilla.web.patience import Threshold, Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.config import Config
    from chatzilla.web.patience import Patience

logger = logging.getLogger(__name__)

OTHER_FILES: Final = 1_000
"""Open files for everything but sessions: the database, requests, whoever is turned away."""


async def serve(config: Config) -> None:
    """Run the server until SIGTERM or SIGINT.

    Raises:
        StartError: it cannot start: the settings, the data folder, the static files or the address.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    config.check()
    _open_files(config.connections)
    app = create_app(config)
    # What is there now stays, and a server makes little cyclic garbage. It is looked for in small portions, since
    # everybody waits meanwhile, and hardly ever in everything that lives.
    gc.freeze()
    gc.set_threshold(1_000, 10, 1_000)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING_SECONDS)
    await runner.setup()
    watching = [loop.create_task(app[HOUSE].patience.watch())]
    try:
        certificates = _certificates(config)  # not before the folder is ours: another server's may lie there
        if certificates is not None:
            watching.append(loop.create_task(certificates.watch()))
        site = _Site(runner, config, certificates, app[HOUSE].patience)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            known = isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno
            cause = os.strerror(known) if known else str(error)
            raise StartError(f"Cannot listen on {config.host}:{config.port}: {cause}.") from error
        house = app[HOUSE]
        listens = _listens(runner, "http" if certificates is None else "https")
        address = listens[0].replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//127.0.0.1:")
        house.operators.listens = listens
        house.operators.base = config.url or address
        if config.any_name and not config.proxies:  # a proxy in front goes by names, as a rule
            logger.warning(
                "pages of every name that leads here may connect, a stranger's too (DNS rebinding): set CHATZILLA_URL "
                "to the address by which people reach this server"
            )
        sys.stdout.write(f"Chatzilla is at {address}\n")
        if house.sign_ins.mode.closed and house.sign_ins.owner() is None:
            sys.stdout.write("\n".join(await house.operators.owner_link({})) + "\n")
        sys.stdout.flush()
        await stop.wait()
        # aiohttp's own shutdown would first stop reading; whoever is in flight is answered before that.
        await house.farewell()
        await site.stop()
    finally:
        for task in watching:
            task.cancel()
        await runner.cleanup()


def _certificates(config: Config) -> Certificates | None:
    """What the server shows of itself, where it speaks HTTPS.

    Raises:
        StartError: it cannot.
    """
    if config.tls == "self-signed":
        names = [config.host, *filter(None, [urlsplit(config.url).hostname])]
        own = config.data / OWN_FILE
        return Certificates(own, own, made_for=names)
    if config.tls_cert is None or config.tls_key is None:
        return None
    return Certificates(config.tls_cert, config.tls_key)


def _open_files(connections: int) -> None:
    """Ask the system for as many open files as the connections take that the settings allow: each is one.

    Systems begin with a thousand or so, for programs that are older than this; when they are used up, nobody gets in.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, 2 * connections + OTHER_FILES) if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems have a bound of their own besides, and do not say which
        wanted = soft
    if wanted < connections + OTHER_FILES:
        logger.warning(
            "the system lets this process open %d files, too few for %d connections: see LimitNOFILE, or ulimit -n",
            wanted,
            connections,
        )


class _Site(web.TCPSite):
    """Listens, and gives nobody longer than it should take to shake hands, to ask for something, or to end TLS."""

    def __init__(
        self, runner: web.AppRunner, config: Config, certificates: Certificates | None, patience: Patience
    ) -> None:
        self._patience = patience
        self._handshake_seconds = config.header_seconds
        context = None if certificates is None else certificates.context
        super().__init__(runner, config.host, config.port, ssl_context=context)

    async def start(self) -> None:
        if self._runner.server is None:
            raise RuntimeError("a runner that is set up has a server")
        await web.BaseSite.start(self)
        loop = asyncio.get_running_loop()
        visit = partial(Visit, self._runner.server, self._patience, loop)
        arrive: Callable[[], asyncio.BaseProtocol] = visit
        if self._ssl_context is not None:
            secure = partial(
                loop.start_tls,
                sslcontext=self._ssl_context,
                server_side=True,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=CLOSING_SECONDS,
            )
            arrive = partial(Threshold, visit, secure)
        self._server = await loop.create_server(arrive, self._host, self._port, backlog=self._backlog)


def _listens(runner: web.AppRunner, scheme: str) -> list[str]:
    hosts = [(str(address[0]), address[1]) for address in runner.addresses]
    return [f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}" for host, port in hosts]
