"""The operator's commands: `python -m chatzilla …`.

serve       run the server (also `python run_server.py`)
config      show every setting, what it is now and what it does
backup      copy the database into a file, also while the server runs
restore     put such a copy in the place of the database
new-epoch   start the numbering over for every client, after the database was changed by hand
owner-link  make a link that signs the owner in
invite-link make a link that lets somebody in
rotate-key  sign with a new key from now on
bot         make a bot, and print its token
bots        list the bots
end-bot     end a bot
hook        make a hook, and print its address
hooks       list the hooks
end-hook    end a hook
janus-config  write a configuration for Janus
doctor      see whether everything is there that the settings speak of

people, roles, set-role, remove-person, kick, ban, unban, bans, purge, lock, unlock, audit: keep order; see `--help`
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chatzilla import __version__, control, doctor
from chatzilla.app import House
from chatzilla.clock import SystemClock
from chatzilla.config import read_config, settings
from chatzilla.core.limits import Rate
from chatzilla.errors import ChatError, StartError
from chatzilla.logs import PerPeer
from chatzilla.loop import make_loop
from chatzilla.media import janus_config
from chatzilla.serve import serve
from chatzilla.store.database import Database, copy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.config import Config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 2 when it was refused in one line."""
    parsed = vars(_parser().parse_args(arguments))
    command = parsed.pop("run")
    known = {field.name for _, field in settings()}
    overrides = {name: value for name, value in parsed.items() if name in known and value is not None}
    arguments_left = {name: value for name, value in parsed.items() if name not in known}
    try:
        command(read_config(os.environ, overrides=overrides, dotenv=Path(".env")), **arguments_left)
        sys.stdout.flush()
    except (StartError, ChatError) as error:
        sys.stderr.write(f"chatzilla: {error}\n")
        return 2
    except PermissionError as error:
        sys.stderr.write(f"chatzilla: {error.filename} is not for you: run this as the user whose server it is.\n")
        return 2
    except BrokenPipeError:  # whoever read has read enough; what is left has nowhere to go (docs.python.org, "SIGPIPE")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
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
    run.add_argument("--tls", help="self-signed: HTTPS with a certificate that the server makes itself")
    run.add_argument("--tls-cert", help="HTTPS with the certificate in this file")
    run.add_argument("--tls-key", help="the file of its key")
    run.set_defaults(run=_serve)
    show = commands.add_parser("config", help="show every setting")
    show.set_defaults(run=_config)
    epoch = commands.add_parser("new-epoch", help="start the numbering over for every client")
    epoch.add_argument("--data", help="the folder of the database and the signing key")
    epoch.set_defaults(run=_new_epoch)
    for name, about, of_file, does in (
        ("backup", "copy the database into a file, also while the server runs", "a new file", _backup),
        ("restore", "put a copy in the place of the database; the server is stopped", "the copy", _restore),
    ):
        keeping = commands.add_parser(name, help=about)
        keeping.add_argument("file", help=of_file)
        keeping.add_argument("--data", help="the folder of the database and the signing key")
        keeping.set_defaults(run=does)
    owner = commands.add_parser("owner-link", help="make a link that signs the owner in")
    invite = commands.add_parser("invite-link", help="make a link that lets somebody in")
    invite.add_argument("--role", default="member", help="owner, admin, member, guest or bot")
    invite.add_argument("--room", help="the room that it leads to; a guest stays in it")
    invite.add_argument("--email", help="an address that may come in by mail, instead of a link")
    invite.add_argument("--uses", default="1", help="how many people may use it")
    invite.add_argument("--hours", default="168", help="for how long it can be used")
    rotate = commands.add_parser("rotate-key", help="sign with a new key from now on")
    rotate.add_argument("--forget", action="store_true", help="end all tokens of the old ones now")
    janus = commands.add_parser("janus-config", help="write a configuration for Janus")
    janus.add_argument("folder", help="the folder to write it to; start Janus with `janus -F FOLDER`")
    janus.add_argument("--ports", default="20000-20400", help="the range of UDP ports for media")
    janus.add_argument(
        "--public", default="", help="the address by which browsers reach this machine, if it has another"
    )
    janus.set_defaults(run=_janus_config)
    doctor_ = commands.add_parser("doctor", help="see whether everything is there that the settings speak of")
    doctor_.add_argument("--data", help="the folder of the database and the signing key")
    doctor_.set_defaults(run=_doctor)
    bot = commands.add_parser("bot", help="make a bot, and print its token")
    bot.add_argument("name", help="under which it speaks")
    bot.add_argument("--days", default="365", help="for how long its token lasts")
    bots = commands.add_parser("bots", help="list the bots")
    end_bot = commands.add_parser("end-bot", help="end a bot with all of its tokens")
    end_bot.add_argument("name", help="its name or id")
    hook = commands.add_parser("hook", help="make a hook, and print its address")
    hook.add_argument("name", help="under which it speaks")
    hook.add_argument("--room", default="lobby", help="the room in which it speaks")
    hooks = commands.add_parser("hooks", help="list the hooks")
    end_hook = commands.add_parser("end-hook", help="end a hook")
    end_hook.add_argument("id", help="its id, which `hooks` shows")
    for command, name in (
        (owner, "owner-link"),
        (invite, "invite-link"),
        (rotate, "rotate-key"),
        (bot, "bot"),
        (bots, "bots"),
        (end_bot, "end-bot"),
        (hook, "hook"),
        (hooks, "hooks"),
        (end_hook, "end-hook"),
    ):
        command.add_argument("--data", help="the folder of the database and the signing key")
        command.set_defaults(run=_operate, operation=name)
    for name, about, places in _KEEPING_ORDER:
        command = commands.add_parser(name, help=about)
        for place in places:
            command.add_argument(place, help=_PLACES[place], nargs="?" if (name, place) == ("ban", "person") else None)
        for option in _OPTIONS.get(name, ()):
            command.add_argument(option, help=_PLACES[option])
        command.add_argument("--data", help="the folder of the database and the signing key")
        command.set_defaults(run=_operate, operation=name)
    return parser


_KEEPING_ORDER: Final = (
    ("people", "who is here now, and from where", ()),
    ("roles", "everybody whose name is their own, with their roles", ()),
    ("set-role", "give somebody another role", ("person", "role")),
    ("remove-person", "end somebody's membership: their sign-ins and links", ("person",)),
    ("kick", "turn somebody out of a room", ("room", "person")),
    ("ban", "keep a person or an address out", ("person",)),
    ("unban", "lift a ban", ("ban",)),
    ("bans", "the bans that hold", ()),
    ("purge", "delete what somebody said", ("person",)),
    ("lock", "let nobody but its moderators speak in a room", ("room",)),
    ("unlock", "let everybody speak in a room again", ("room",)),
    ("audit", "what was done, the newest first", ()),
)
_OPTIONS: Final = {"ban": ("--address", "--room", "--hours"), "purge": ("--room",), "audit": ("--before",)}
_PLACES: Final = {
    "person": "a name, or the id of an account",
    "role": "owner, admin, member or bot",
    "room": "the id of a room",
    "ban": "the id of a ban",
    "--address": "an address, instead of a person: everybody unverified behind it",
    "--room": "of this room alone; else everywhere",
    "--hours": "for so long; else for good",
    "--before": "the entries before this number",
}


def _serve(config: Config) -> None:
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(PerPeer(Rate(config.log_rate, config.log_burst), SystemClock()))
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
        shown = "(set)" if value and not field.repr else value
        sys.stdout.write(f"{name}={shown}\n    {field.metadata['help']}\n")


def _doctor(config: Config) -> None:
    if not doctor.run(config, sys.stdout.write):
        raise StartError("What is marked as bad needs you.")


def _janus_config(config: Config, folder: str, ports: str, public: str) -> None:
    """Write it, and say what is to be set; with CHATZILLA_JANUS_SECRET, or a secret made now."""
    where = Path(folder).expanduser().absolute()
    secret = config.janus_secret or secrets.token_urlsafe(32)
    try:
        janus_config.write(where, secret, ports, public=public)
    except (OSError, ValueError) as error:
        raise StartError(f"{where} cannot be used: {error}.") from error
    sys.stdout.write(
        f"janus -F {where}\nCHATZILLA_CALLS=auto\nCHATZILLA_JANUS_URL=unix:{where / janus_config.SOCKET}\n"
        + ("" if config.janus_secret else f"CHATZILLA_JANUS_SECRET={secret}\n")
    )


_FIRST: Final = ("owner-link", "invite-link")
"""What may be done before the first start: a closed server begins with it."""


def _operate(config: Config, operation: str, **arguments: Any) -> None:
    """Have it done by the server that runs on the folder, or else on the folder itself."""
    try:
        lines = control.ask(config.data, operation, **arguments)
    except ConnectionError:
        if operation not in _FIRST:
            _find_database(config)
        lines = asyncio.run(_operate_alone(config, operation, arguments))
    sys.stdout.write("\n".join(lines) + "\n")


async def _operate_alone(config: Config, operation: str, arguments: dict[str, Any]) -> list[str]:
    """Do it with a house that nobody can enter."""
    house = House(config, SystemClock())
    house.begin()
    try:
        return await house.commands[operation](arguments)
    finally:
        await house.end()


def _find_database(config: Config) -> None:
    """See that there is one: a name that was mistyped makes none.

    Raises:
        StartError: there is none.
    """
    if not config.database_path.is_file():
        raise StartError(
            f"There is no database at {config.database_path}; --data names the folder that the server uses."
        )


def _backup(config: Config, file: str) -> None:
    _find_database(config)
    copy(config.database_path, Path(file))
    sys.stdout.write(f"{file} is a copy of {config.database_path}. Keep {config.data / 'secret'} with it.\n")


def _restore(config: Config, file: str) -> None:
    database = Database(config.data, config.database_path, synchronous=config.synchronous)
    epoch, before = database.restore(Path(file))
    sys.stdout.write(f"{database.path} is as {file} was, under a new epoch, {epoch}; every client starts over.\n")
    if before is not None:
        sys.stdout.write(f"What was there before is {before}; the next restore replaces it.\n")


def _new_epoch(config: Config) -> None:
    _find_database(config)
    database = Database(config.data, config.database_path, synchronous=config.synchronous).open()
    try:
        sys.stdout.write(f"{database.path} has a new epoch, {database.renew_epoch()}; every client starts over.\n")
    finally:
        database.close(cleanly=True)
