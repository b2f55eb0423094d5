"""What some of these tests share: a real Janus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.janus_server import JanusServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def janus(tmp_path: Path) -> AsyncIterator[JanusServer]:
    """It has ended when the test has, whatever became of it."""
    server = await JanusServer(tmp_path).start()
    try:
        yield server
    finally:
        await server.kill()
