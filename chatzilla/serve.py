"""Serve until told to stop, and stop well: answered, said goodbye, closed, within five seconds."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from chatzilla.app import CLOSING_SECONDS, HOUSE, create_app
from chatzilla.errors import StartError

if TYPE_CHECKING:
    from chatzilla.config import Config


async def serve(config: Config) -> None:
    """Run the server until SIGTERM or SIGINT.

    Raises:
        StartError: it cannot start: the data folder, the static files or the address.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    if config.sign_in != "open" and not config.loopback and not (config.secret or config.names_its_data):
        raise StartError(
            "A closed server on a public address has to keep who may come in: name a folder that outlives this "
            "machine's restarts with CHATZILLA_DATA (or --data), or set CHATZILLA_SECRET."
        )
    if config.turn_urls and not config.turn_secret:
        raise StartError("CHATZILLA_TURN_URLS needs CHATZILLA_TURN_SECRET, which the TURN servers know too.")
    app = create_app(config)
    # What is there now stays, and a server makes little cyclic garbage. It is looked for in small portions, since
    # everybody waits meanwhile, and hardly ever in everything that lives.
    gc.freeze()
    gc.set_threshold(1_000, 10, 1_000)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING_SECONDS)
    await runner.setup()
    if runner.server is None:
        raise RuntimeError("a runner that is set up has a server")
    watching = loop.create_task(app[HOUSE].patience.watch(runner.server))
    try:
        site = web.TCPSite(runner, config.host, config.port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            known = isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno
            cause = os.strerror(known) if known else str(error)
            raise StartError(f"Cannot listen on {config.host}:{config.port}: {cause}.") from error
        house = app[HOUSE]
        house.operators.base = config.url or _address(runner)
        sys.stdout.write(f"Chatzilla is at {_address(runner)}\n")
        if house.sign_ins.mode.closed and house.sign_ins.owner() is None:
            sys.stdout.write("\n".join(await house.operators.owner_link({})) + "\n")
        sys.stdout.flush()
        await stop.wait()
        # aiohttp's own shutdown would first stop reading; whoever is in flight is answered before that.
        await house.farewell()
        await site.stop()
    finally:
        watching.cancel()
        await runner.cleanup()


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # read, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
