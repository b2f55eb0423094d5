"""Clients as in the tutorial: python-socketio, no ids, no retries, no cursor.

They are promised less: what is acknowledged is stored once, and what they hear is stored, in order, and heard once.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import socketio

from tests.helpers.clients import CHAT

if TYPE_CHECKING:
    from tests.torture.proxy import Proxy

ANSWER_SECONDS: Final = 15.0


class Tutorial:
    """One such client, which comes back by itself."""

    def __init__(self, name: str, proxy: Proxy) -> None:
        self.name = name
        self.proxy = proxy
        self.said = 0
        self.acknowledged: list[str] = []
        self.heard: list[list[str]] = []
        """What was heard, connection by connection."""
        self._asking: set[asyncio.Task[None]] = set()
        self._http = aiohttp.ClientSession()
        self._sio = socketio.AsyncClient(reconnection_delay=0.4, reconnection_delay_max=5, http_session=self._http)
        self._sio.on("connect", self._connected, namespace=CHAT)
        self._sio.on("message", self._heard, namespace=CHAT)

    async def open(self) -> None:
        await self._sio.connect(self.proxy.url, namespaces=[CHAT], transports=["websocket"], retry=True)

    def say(self) -> bool:
        """Say the next thing, if there is a connection; nobody waits for the answer."""
        if CHAT not in self._sio.namespaces:
            return False
        self.said += 1
        self._ask("message", f"{self.name} #{self.said}", self.acknowledged)
        return True

    @property
    def online(self) -> bool:
        return CHAT in self._sio.namespaces

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self._sio.shutdown()
        await self._http.close()
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _connected(self) -> None:
        self.heard.append([])
        self._ask("join", self.name, [])

    def _heard(self, message: dict[str, Any]) -> None:
        self.heard[-1].append(str(message["content"]))

    def _ask(self, event: str, text: str, accepted: list[str]) -> None:
        task = asyncio.get_running_loop().create_task(self._call(event, text, accepted))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _call(self, event: str, text: str, accepted: list[str]) -> None:
        with contextlib.suppress(socketio.exceptions.SocketIOError):
            answer = await self._sio.call(event, text, namespace=CHAT, timeout=ANSWER_SECONDS)
            if answer and answer[0] is True:
                accepted.append(text)
