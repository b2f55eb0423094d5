"""A server with its visitors: what most integration tests begin with."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatzilla.core.messages import ClientId, Draft
from chatzilla.core.people import account_named
from chatzilla.core.rooms import RoomId
from tests.helpers.clients import Client
from tests.helpers.servers import Server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from chatzilla.ports import Clock


@dataclass
class OpenHouse:
    """A running server; every connection that is opened here is closed at the end."""

    server: Server
    stack: AsyncExitStack

    async def connect(self, **options: Any) -> Client:
        """Open a connection that has said nothing yet; options go to `Client.connect`."""
        client = await Client(self.server.url).connect(**options)
        self.stack.push_async_callback(client.close)
        return client

    async def enter(self, name: str, room: str = "lobby", **fields: Any) -> Client:
        """Open a connection of the full dialect that has joined a room."""
        client = await self.connect(auth={"dialect": "full"})
        await client.joins(room, name=name, **fields)
        return client

    async def enter_simply(self, name: str) -> Client:
        """Open a connection that joined as in the tutorial."""
        client = await self.connect()
        assert await client.call("join", name) == (True, name)
        return client

    async def fill(self, contents: Iterable[str], room: str = "lobby", author: str = "chronicler") -> None:
        """Let somebody have said all this, without a connection."""
        log, account = self.server.house.log, account_named(author)
        drafts = [Draft(RoomId(room), ClientId(str(uuid.uuid4())), content) for content in contents]
        await asyncio.gather(*(log.append(account, draft, origin=None) for draft in drafts))


@asynccontextmanager
async def open_house(data: Path, *, clock: Clock | None = None, **settings: Any) -> AsyncIterator[OpenHouse]:
    """Serve until the block ends; without a limit on messages unless the test sets one."""
    settings.setdefault("message_rate", 0.0)
    settings.setdefault("packet_rate", 0.0)
    async with serving(data, clock=clock, **settings) as server, AsyncExitStack() as stack:
        yield OpenHouse(server, stack)


@asynccontextmanager
async def visiting(url: str) -> AsyncIterator[OpenHouse]:
    """Visit a server that runs elsewhere, such as in a process of its own."""
    async with AsyncExitStack() as stack:
        yield OpenHouse(Server(url, None, None, None), stack)  # type: ignore[arg-type]  # only its address is known
