"""Somebody's own application, such as one of a tutorial, as a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.servers import START_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

_ADDRESS: Final = re.compile(rb"Running on (http://127\.0\.0\.1:\d+)")


@asynccontextmanager
async def running(
    folder: Path, files: Mapping[str, str], *command: str, environ: Mapping[str, str]
) -> AsyncIterator[str]:
    """Write an application into a folder, run `python COMMAND` there until the block ends, and give its address."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Flask's reloader is a process and its child
    )
    assert process.stderr is not None
    said = b""
    draining: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(START_SECONDS):
            while (found := _ADDRESS.search(said)) is None:
                line = await process.stderr.readline()
                assert line, said.decode()
                said += line
        draining = asyncio.create_task(process.stderr.read())
        yield found[1].decode()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
        if draining is not None:
            await draining
