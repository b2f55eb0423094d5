"""What `docs/seeds.md` tells those to type who point their application here, so that tests can do as it says."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Final

from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.doors import KEY, SECRET
from tests.helpers.servers import ROOT

_PAGE: Final = (ROOT / "docs/seeds.md").read_text()
_HERE: Final = "http://127.0.0.1:5000"


def blocks(heading: str, language: str = "sh") -> list[str]:
    """The blocks of code of a section."""
    _, found, rest = _PAGE.partition(f"\n## {heading}\n")
    assert found, heading
    return re.findall(rf"```{language}\n(.*?)```", rest.partition("\n## ")[0], re.DOTALL)


def environ(heading: str, url: str) -> dict[str, str]:
    """The environment that a section exports, for a server at this address."""
    lines = [line for block in blocks(heading) for line in block.splitlines()]
    exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    assert exported
    known = {"$CHATZILLA_API_KEY": KEY, "$CHATZILLA_API_SECRET": SECRET}
    return {name: known.get(value, value.replace(_HERE, url)) for name, value in exported.items()}


def commands(heading: str, url: str) -> list[str]:
    """The commands of a section, likewise."""
    lines = [line for block in blocks(heading) for line in block.splitlines()]
    return [line.replace(_HERE, url) for line in lines if line.startswith("curl ")]


async def run(command: str, **variables: str) -> str:
    """Run a command as somebody types it; returns what it prints."""
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        command,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0, command
    return out.decode()
