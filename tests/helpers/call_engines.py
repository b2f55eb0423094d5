"""The two engines of calls, for what has to hold whichever of them carries a call."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from tests.helpers.janus_server import SECRET, JanusServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ENGINES: Final = ("mesh", "janus")


@asynccontextmanager
async def engine(name: str, folder: Path) -> AsyncIterator[dict[str, Any]]:
    """The settings of a server whose calls go by this engine; Janus runs for as long as the block does."""
    if name == "mesh":
        yield {"calls": "mesh"}
        return
    janus = await JanusServer(folder).start()
    try:
        yield {"calls": "janus", "janus_url": janus.url, "janus_secret": SECRET}
    finally:
        await janus.kill()
