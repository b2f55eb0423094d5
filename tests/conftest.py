"""Fixtures that every test may use. Ports are free ones, folders are temporary, warnings are errors."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.helpers import made_once
from tests.helpers.clients import Client
from tests.helpers.servers import Server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class Lobby(Protocol):
    """Opens connections of people who have joined a room."""

    async def __call__(self, name: str, room: str = "lobby") -> Client: ...


def pytest_collection_finish() -> None:
    """What was imported and collected stays: whoever looks for garbage while tests run need not go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def shared() -> Iterator[None]:
    """What every server makes of nothing but the checkout is made once."""
    with pytest.MonkeyPatch.context() as patch:
        made_once.share(patch)
        yield


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with default settings, in this loop."""
    async with serving(tmp_path / "data") as running:
        yield running


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Connect]:
    """Opens connections to `server`; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_connection(**options: object) -> Client:
            client = await Client(server.url).connect(**options)  # type: ignore[arg-type]  # passed through
            stack.push_async_callback(client.close)
            return client

        yield open_connection


class Connect(Protocol):
    """Opens one connection; options go to `Client.connect`."""

    async def __call__(self, **options: object) -> Client: ...


@pytest.fixture
def lobby(connect: Connect) -> Lobby:
    """`await lobby("alice")` is a client of the full dialect that has joined the lobby as Alice."""

    async def enter(name: str, room: str = "lobby") -> Client:
        client = await connect(auth={"dialect": "full"})
        await client.joins(room, name=name)
        return client

    return enter


@pytest.fixture(autouse=True)
async def no_leaked_tasks() -> AsyncIterator[None]:
    """A test that leaves a task of ours behind fails."""
    yield
    await asyncio.sleep(0)
    ours = [
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and "chatzilla" in repr(task.get_coro())
    ]
    assert not ours, ours
