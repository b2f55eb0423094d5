"""The operator's door: its owner's alone, wherever the folder is, and never in the server's way."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chatzilla import control
from chatzilla.control import LONGEST_PATH, Control, ask
from chatzilla.errors import BadRequest, StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


async def echo(asked: Mapping[str, Any]) -> list[str]:
    return [str(asked["text"])]


async def refuse(_: Mapping[str, Any]) -> list[str]:
    raise BadRequest("Not like this.")


async def fail(_: Mapping[str, Any]) -> list[str]:
    raise ZeroDivisionError


async def wait_for_ever(_: Mapping[str, Any]) -> list[str]:
    await asyncio.Event().wait()
    return []


COMMANDS = {"echo": echo, "refuse": refuse, "fail": fail, "wait": wait_for_ever}


@pytest.fixture(params=["short", "long"])
async def folder(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Path]:
    """A folder with a door, also where its path is longer than a socket's may be."""
    folder = tmp_path / ("x" * LONGEST_PATH if request.param == "long" else "x")
    folder.mkdir()
    door = Control(folder, COMMANDS)
    await door.start()
    yield folder
    await door.close()
    assert not (folder / control.NAME).is_symlink()
    assert not list(folder.iterdir())


async def test_a_command_is_answered(folder: Path) -> None:
    assert await asyncio.to_thread(ask, folder, "echo", text="hello") == ["hello"]
    assert stat.S_IMODE((folder / control.NAME).stat().st_mode) == 0o600


async def test_what_goes_wrong_is_said(folder: Path) -> None:
    for command, words in (("refuse", "Not like this"), ("fail", "log says why"), ("unheard-of", "no such command")):
        with pytest.raises(StartError, match=words):
            await asyncio.to_thread(ask, folder, command)


async def test_what_is_no_command_is_said_too(folder: Path) -> None:
    for line in (b"\n", b"[]\n", b"5\n", b"{\n", b'{"command": ["echo"]}\n', b"\xff\n"):
        reader, writer = await asyncio.open_unix_connection(str((folder / control.NAME).resolve()))
        writer.write(line)
        assert b'"ok": false' in await reader.readline(), line
        writer.close()


async def test_a_command_that_takes_long_does_not_keep_the_server_from_stopping(tmp_path: Path) -> None:
    door = Control(tmp_path, COMMANDS)
    await door.start()
    _, writer = await asyncio.open_unix_connection(str((tmp_path / control.NAME).resolve()))
    writer.write(b'{"command": "wait"}\n')
    assert await asyncio.to_thread(ask, tmp_path, "echo", text="in between") == ["in between"]
    async with asyncio.timeout(1):
        await door.close()
    writer.close()


def test_where_no_server_runs_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        ask(tmp_path, "echo")
