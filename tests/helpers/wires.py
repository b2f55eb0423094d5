"""A hand on the WebSockets of a page: what comes from the server can be held back, and the connection be cut."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.async_api import Page, WebSocketRoute

PATIENCE_SECONDS: Final = 30.0


class Wire:
    """The newest connection of a page, from its next load on."""

    def __init__(self) -> None:
        self.connections = 0
        """How many there were."""
        self._ours: WebSocketRoute | None = None
        self._heads: tuple[str, ...] = ()
        self._held: list[str | bytes] = []
        self._waiting: list[tuple[str, asyncio.Event]] = []

    @classmethod
    async def of(cls, page: Page) -> Wire:
        """Take a page's connections in hand, and load it anew."""
        wire = cls()
        await page.route_web_socket(re.compile("/socket.io/"), wire._carry)
        await page.reload()
        return wire

    def hold(self, *heads: str) -> None:
        """Keep back from now on what begins so."""
        self._heads = heads

    def let_go(self) -> None:
        """Pass on what was kept back, and all that comes."""
        self._heads = ()
        for frame in self._held:
            assert self._ours is not None
            self._ours.send(frame)
        self._held.clear()

    async def cut(self) -> None:
        """Close the connection; what was kept back is lost."""
        self._held.clear()
        assert self._ours is not None
        await self._ours.close()

    async def comes(self, head: str) -> None:
        """Wait until the server sends something that begins so, kept back or not."""
        came = asyncio.Event()
        self._waiting.append((head, came))
        await asyncio.wait_for(came.wait(), PATIENCE_SECONDS)

    def _carry(self, ours: WebSocketRoute) -> None:
        theirs = ours.connect_to_server()
        self._ours = ours
        self.connections += 1
        self._held.clear()
        ours.on_message(theirs.send)
        theirs.on_message(partial(self._pass_on, ours))

    def _pass_on(self, ours: WebSocketRoute, frame: str | bytes) -> None:
        text = str(frame)
        if text.startswith(self._heads):
            self._held.append(frame)
        else:
            ours.send(frame)
        for head, came in self._waiting:
            if text.startswith(head):
                came.set()
        self._waiting = [each for each in self._waiting if not each[1].is_set()]
