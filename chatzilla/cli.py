"""The operator's commands: `python -m chatzilla …`.

serve       run the server (also `python run_server.py`)
config      show every setting, what it is now and what it does
new-epoch   start the numbering over for every client, after the database was changed by hand
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chatzilla import __version__
from chatzilla.config import read_config, settings
from chatzilla.errors import StartError
from chatzilla.loop import make_loop
from chatzilla.serve import serve
from chatzilla.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.config import Config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 2 when it was refused in one line."""
    parsed = vars(_parser().parse_args(arguments))
    command = parsed.pop("run")
    overrides = {name: value for name, value in parsed.items() if value is not None}
    try:
        command(read_config(os.environ, overrides=overrides, dotenv=Path(".env")))
    except StartError as error:
        sys.stderr.write(f"chatzilla: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chatzilla", description="A self-hosted place to talk.")
    parser.add_argument("--version", action="version", version=f"Chatzilla {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    run = commands.add_parser("serve", help="run the server")
    run.add_argument("--host", help="the address to listen on")
    run.add_argument("--port", help="the port to listen on")
    run.add_argument("--data", help="the folder of the database and the signing key")
    run.add_argument("--proxies", help="reverse proxies in front whose headers are believed")
    run.set_defaults(run=_serve)
    show = commands.add_parser("config", help="show every setting")
    show.set_defaults(run=_config)
    epoch = commands.add_parser("new-epoch", help="start the numbering over for every client")
    epoch.add_argument("--data", help="the folder of the database and the signing key")
    epoch.set_defaults(run=_new_epoch)
    return parser


def _serve(config: Config) -> None:
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging._srcfile = None  # noqa: SLF001  # as the logging HOWTO says, who does not ask where a line came from
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nobody asks for them
    for library in ("alembic", "engineio", "socketio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # Whoever sends what is no HTTP is answered 400; a traceback for each would only fill the disk.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(serve(config))


def _config(config: Config) -> None:
    for name, field in settings():
        value = getattr(config, field.name)
        shown = "(set)" if field.name == "secret" and value else value
        sys.stdout.write(f"{name}={shown}\n    {field.metadata['help']}\n")


def _new_epoch(config: Config) -> None:
    if not config.database_path.is_file():
        raise StartError(
            f"There is no database at {config.database_path}; --data names the folder that the server uses."
        )
    database = Database(config.data, config.database_path, synchronous=config.synchronous).open()
    try:
        sys.stdout.write(f"{database.path} has a new epoch, {database.renew_epoch()}; every client starts over.\n")
    finally:
        database.close(cleanly=True)
