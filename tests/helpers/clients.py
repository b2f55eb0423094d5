"""Real Socket.IO clients, driven the way a test tells its story."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

import socketio

PATIENCE_SECONDS: Final = 10.0
"""How long an answer or an event may take before the test fails."""

CHAT: Final = "/chat"
EVENTS: Final = ("message", "presence", "stats", "room", "typing", "you", "goodbye")


class Client:
    """One connection to `/chat` that remembers what it heard."""

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url
        self.sio = socketio.AsyncClient(reconnection=False, **options)
        self._heard: dict[str, asyncio.Queue[Any]] = {event: asyncio.Queue() for event in EVENTS}
        for event in EVENTS:
            self.sio.on(event, self._heard[event].put_nowait, namespace=CHAT)
        self.gone = asyncio.Event()
        self.sio.on("disconnect", lambda *_: self.gone.set(), namespace=CHAT)
        self.you: dict[str, Any] = {}

    async def connect(self, *, transports: tuple[str, ...] = ("websocket",), **options: Any) -> Client:
        await self.sio.connect(self.url, namespaces=[CHAT], transports=list(transports), **options)
        return self

    async def call(self, event: str, *arguments: Any) -> tuple[Any, ...]:
        """Emit, and return the values of the ack."""
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        await self.emit(event, *arguments, answer=answer)
        return await asyncio.wait_for(answer, PATIENCE_SECONDS)

    async def emit(self, event: str, *arguments: Any, answer: asyncio.Future[tuple[Any, ...]] | None = None) -> None:
        """Emit without waiting; the ack's values settle `answer`."""

        def settle(*values: Any) -> None:
            if answer is not None and not answer.done():
                answer.set_result(values)

        await self.sio.emit(event, *(arguments or (None,)), namespace=CHAT, callback=settle if answer else None)

    async def joins(self, room: str = "lobby", **fields: Any) -> dict[str, Any]:
        """Join a room in the full dialect; returns the answer."""
        accepted, answer = await self.call("join", {"room": room, **fields})
        assert accepted, answer
        self.you = answer["you"]
        return dict(answer)

    async def says(self, room: str, content: str, client_id: str | None = None) -> dict[str, Any]:
        """Say something in the full dialect; returns the answer."""
        draft = {"room": room, "content": content, "client_id": client_id or str(uuid.uuid4())}
        accepted, answer = await self.call("message", draft)
        assert accepted, answer
        return dict(answer)

    async def hears(self, event: str = "message") -> Any:
        """The next event of this name."""
        return await asyncio.wait_for(self._heard[event].get(), PATIENCE_SECONDS)

    async def fence(self) -> None:
        """Return when everything that was sent to this connection before has arrived."""
        await self.call("no such event")

    async def hears_nothing(self, event: str = "message") -> None:
        """Prove silence: nothing of this name was sent before now."""
        await self.fence()
        assert self._heard[event].empty(), self._heard[event].get_nowait()

    def heard(self, event: str = "message") -> list[Any]:
        """Everything of this name that arrived and was not taken yet."""
        queue = self._heard[event]
        return [queue.get_nowait() for _ in range(queue.qsize())]

    async def close(self) -> None:
        await self.sio.disconnect()
        if self.sio.eio.http is not None:
            await self.sio.eio.http.close()
