"""What docs/bots.md says is done as it stands there: its bots run, its commands speak."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Final

import pytest

from chatzilla.core import hooks, programs
from chatzilla.core.catchup import Span
from chatzilla.core.rooms import RoomId
from tests.helpers.servers import ROOT, Process, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Lobby
    from tests.helpers.clients import Client
    from tests.helpers.servers import Server

DOCUMENT: Final = (ROOT / "docs/bots.md").read_text()
ADDRESS: Final = "http://127.0.0.1:5000"
ATTEMPTS: Final = 20
TEN: Final = 10
"""Lines, as the document says."""


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


@contextlib.asynccontextmanager
async def running(server: Server, script: str, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a bot with a token of its own, until the block ends."""
    assert ADDRESS in script
    _, token = await programs.make_bot(server.house.sign_ins, None, "Robot")
    process = await asyncio.create_subprocess_exec(
        *command, script.replace(ADDRESS, server.url), env=os.environ | {"TOKEN": token}, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the shell, and what it has started
        await process.wait()


async def answers(listener: Client) -> None:
    """The bot answers; what was said before it had come, it may not have heard."""
    for _ in range(ATTEMPTS):
        await listener.says("lobby", "ping")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                heard = await listener.hears()
                assert (heard["name"], heard["content"]) == ("Robot", "pong")
                return
    pytest.fail("nobody answered")


async def test_the_first_steps_are_as_they_are_told(tmp_path: Path) -> None:
    """In a fresh shell, beside a server that runs: an address and a token are kept, and both are good."""
    steps = re.findall(r"^(?:HOOK|export TOKEN)=.*$", DOCUMENT, re.MULTILINE)
    assert len(steps) == 2
    commands = [line for block in examples("sh") for line in block.splitlines()]
    me = next(line for line in commands if "/v1/me" in line)
    first = next(line for line in commands if '"$HOOK"' in line)
    server = await Process(tmp_path / "data").start()
    try:
        script = "\n".join(["set -e", *steps, me, f"echo; {first}"])
        script = script.replace("python -m chatzilla", f"{sys.executable} -m chatzilla").replace(ADDRESS, server.url)
        script = script.replace(" | tail", f" --data {server.data} | tail")
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", script), cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        printed, _ = await asyncio.wait_for(process.communicate(), 60)
        who, ok = printed.decode().split("\n")
        assert (json.loads(who)["you"]["name"], json.loads(who)["you"]["role"], ok) == ("Robot", "bot", "ok")
    finally:
        assert await server.stop() == 0


async def test_the_bot_in_python_answers(server: Server, lobby: Lobby) -> None:
    (script,) = examples("python")
    assert len([line for line in script.splitlines() if line]) == TEN
    alice = await lobby("alice")
    async with running(server, script, sys.executable, "-c"):
        while not any(person["name"] == "Robot" for person in (await alice.hears("presence"))["came"]):
            pass
        await answers(alice)


async def test_the_bot_in_shell_answers(server: Server, lobby: Lobby) -> None:
    (script,) = (each for each in examples("sh") if "while" in each)
    assert len([line for line in script.splitlines() if line]) == TEN
    alice = await lobby("alice")
    async with running(server, script, "sh", "-c"):
        await answers(alice)


async def test_the_commands_of_a_hook_speak(tmp_path: Path) -> None:
    commands = "".join(each for each in examples("sh") if "$HOOK" in each).splitlines()
    async with serving(tmp_path / "data") as server:
        house = server.house
        _, secret = await hooks.make_as_operator(house.hooks, house.sign_ins, "CI", RoomId("lobby"))
        for command in commands:
            process = await asyncio.create_subprocess_exec(
                *("sh", "-c", command.replace("make 2>&1", "echo built")),
                env=os.environ | {"HOOK": f"{server.url}/hooks/{secret}"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            printed, _ = await asyncio.wait_for(process.communicate(), 30)
            assert printed == b"ok", command
        said = await house.store.history(RoomId("lobby"), Span(limit=10))
    assert [(message.name, message.content) for message in said.messages] == [
        ("CI", "hello"),
        ("CI", "The build is green."),
        ("CI", "100 % + more"),
        ("CI", "built"),
        ("CI", "The build is green."),
    ]
