"""Whoever connects and does not ask for anything is let go.

aiohttp waits for the head of a first request for ever. What comes after it has deadlines of its own: the body, the
keep-alive, the session.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from aiohttp import web

LOOKS: Final = 4
"""How often it is looked, within the time that one has."""


class Patience:
    """Knows which transports have brought a request, and since when the others are here."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asked: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._silent_since: WeakKeyDictionary[asyncio.BaseTransport, float] = WeakKeyDictionary()

    def has_asked(self, request: web.Request) -> None:
        """A whole head has come."""
        if request.transport is not None:
            self._asked.add(request.transport)

    async def watch(self, server: web.Server) -> None:
        """Let go of those whose time is over, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._seconds / LOOKS)
            now = loop.time()
            for connection in server.connections:
                transport = connection.transport
                if transport is None or transport in self._asked:
                    continue
                if now - self._silent_since.setdefault(transport, now) >= self._seconds:
                    connection.force_close()
