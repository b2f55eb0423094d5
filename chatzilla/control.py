"""The operator's door: a UNIX socket in the data folder, which its owner alone can open.

Commands reach a running server through it, so that nobody else writes to its database, and so that what they end, ends
at once. One line of JSON is asked, `{"command", …}`, and one is answered, `{"ok": true, "answer"}` or `{"ok": false,
"message"}`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chatzilla.errors import ChatError, StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

logger = logging.getLogger(__name__)

NAME: Final = "control"
LINE_LIMIT: Final = 64 * 1024
ANSWER_LIMIT: Final = 4 * 1024 * 1024
SECONDS: Final = 10.0
LONGEST_PATH: Final = 100
"""Bytes that every system takes as the address of a UNIX socket."""


class Control:
    """Takes commands while the server runs."""

    def __init__(self, folder: Path, commands: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Any]]]) -> None:
        self._path = folder / NAME
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._elsewhere: Path | None = None
        self._asked: set[asyncio.Task[Any]] = set()
        """What is under way."""

    async def start(self) -> None:
        """Listen. Whatever lies there is a former server's: the folder is ours.

        A server without this door serves nonetheless; commands then wait until it is stopped.
        """
        try:
            self._server = await asyncio.start_unix_server(self._serve, sock=self._bind(), limit=LINE_LIMIT)
        except OSError as error:
            logger.warning("commands cannot reach this server: %s", error)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in self._asked:
                task.cancel()
            await asyncio.gather(*self._asked, return_exceptions=True)
        with suppress(OSError):
            self._path.unlink()
        if self._elsewhere is not None:
            shutil.rmtree(self._elsewhere, ignore_errors=True)

    def _bind(self) -> socket.socket:
        """A socket that is its owner's alone from its first moment."""
        self._path.unlink(missing_ok=True)
        path = self._path
        if len(os.fsencode(path)) > LONGEST_PATH:
            self._elsewhere = Path(tempfile.mkdtemp(prefix="chatzilla-"))
            path = self._elsewhere / NAME
            self._path.symlink_to(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        except OSError:
            listening.close()
            raise
        finally:
            os.umask(before)
        return listening

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._answer(await reader.readline())
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError) as error:
            logger.warning("a command was not answered: %s", error)
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands[request["command"]]
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "message": "This server knows no such command. Is it of the same version?"}
        try:
            return {"ok": True, "answer": await command(request)}
        except (ChatError, StartError) as refusal:
            return {"ok": False, "message": str(refusal)}
        except Exception:
            logger.exception("a command failed")
            return {"ok": False, "message": "It failed; the server's log says why."}


def ask(folder: Path, command: str, **arguments: Any) -> Any:
    """Let the server that runs on this folder do something.

    Raises:
        ConnectionError: no server runs there.
        PermissionError: it is another user's.
        StartError: it was refused.
    """
    path = os.path.realpath(folder / NAME)
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConnectionError("there is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(SECONDS)
        try:
            asking.connect(path)
        except FileNotFoundError as error:
            raise ConnectionError("there is no socket") from error
        except PermissionError as error:
            raise PermissionError(error.errno, error.strerror, path) from error
        try:
            asking.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            with asking.makefile("rb") as answers:
                answer = json.loads(answers.readline(ANSWER_LIMIT))
        except (OSError, ValueError) as error:
            raise StartError(f"The server on {folder} does not answer: {error}") from error
    if not answer["ok"]:
        raise StartError(str(answer["message"]))
    return answer["answer"]
