"""People in calls: real Socket.IO clients on `/calls`, and descriptions as browsers write them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import socketio
import socketio.exceptions

from tests.helpers.clients import PATIENCE_SECONDS, Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.servers import Server

CALLS: Final = "/calls"
EVENTS: Final = ("participant", "signal", "moderated", "superseded", "ended", "call", "offer", "media", "goodbye")

_HEAD: Final = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mids}\r\n"
_MEDIA: Final = (
    "m={kind} 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
    "a=ice-ufrag:Oyef\r\na=ice-pwd:peYXvSLSe2Ovs6aHnNOj+Yml\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n"
    "a=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\n"
)


def description(*lines: str, kind: str = "offer") -> dict[str, str]:
    """A description; each line is its kind and direction, such as "audio sendrecv". Their mids count from 0."""
    parts = [line.split() for line in lines]
    sdp = _HEAD.format(mids=" ".join(map(str, range(len(lines)))))
    sdp += "".join(
        _MEDIA.format(kind=medium, mid=mid, direction=direction) for mid, (medium, direction) in enumerate(parts)
    )
    return {"type": kind, "sdp": sdp}


BOTH: Final = description("audio sendrecv", "video sendrecv")
WATCHING: Final = description("audio recvonly", "video recvonly")


class Caller:
    """One connection to `/calls` that remembers what it heard."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sio = socketio.AsyncClient(reconnection=False, ssl_verify=False)
        self._heard: dict[str, asyncio.Queue[Any]] = {event: asyncio.Queue() for event in EVENTS}
        for event in EVENTS:
            self.sio.on(event, self._heard[event].put_nowait, namespace=CALLS)
        self.gone = asyncio.Event()
        self.sio.on("disconnect", lambda *_: self.gone.set(), namespace=CALLS)
        self.refusal: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sio.on("connect_error", self._refused, namespace=CALLS)
        self.id = ""
        self.resume = ""
        self.answer: dict[str, Any] = {}

    def _refused(self, data: Any) -> None:
        if not self.refusal.done():
            self.refusal.set_result(data)

    async def connect(self, **auth: Any) -> Caller:
        await self.sio.connect(self.url, auth=auth, namespaces=[CALLS], transports=["websocket"])
        return self

    async def refused(self, **auth: Any) -> str:
        """Try to connect in vain; returns the code of the refusal."""
        with_auth = self.sio.connect(self.url, auth=auth, namespaces=[CALLS], transports=["websocket"])
        try:
            await with_auth
        except socketio.exceptions.ConnectionError:
            return str((await self.refusal)["data"]["code"])
        raise AssertionError("it was let in")

    async def call(self, event: str, payload: Any = None) -> tuple[bool, Any]:
        """Emit, and return the values of the ack."""
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()

        def answered(*values: Any) -> None:
            if not answer.done():  # nobody waits any more
                answer.set_result(values)

        await self.sio.emit(event, {} if payload is None else payload, namespace=CALLS, callback=answered)
        accepted, value = await asyncio.wait_for(answer, PATIENCE_SECONDS)
        return accepted, value

    async def does(self, event: str, payload: Any = None) -> Any:
        """Call what is accepted; returns the answer."""
        accepted, answer = await self.call(event, payload)
        assert accepted, answer
        return answer

    async def fails(self, event: str, payload: Any = None) -> str:
        """Call what is refused; returns the code."""
        accepted, answer = await self.call(event, payload)
        assert not accepted, answer
        assert answer["message"], "a refusal is a sentence"
        return str(answer["code"])

    async def joins(self, room: str = "lobby", *, audio: bool = True, video: bool = True, **more: Any) -> Any:
        """Enter a call; returns the answer."""
        accepted, answer = await self.enters(room, audio=audio, video=video, **more)
        assert accepted, answer
        return answer

    async def enters(self, room: str, *, audio: bool = True, video: bool = True, **more: Any) -> tuple[bool, Any]:
        """Enter a call if that is accepted; returns the values of the ack."""
        accepted, answer = await self.call("join", {"room": room, "media": {"audio": audio, "video": video}, **more})
        if accepted:
            self.id, self.resume, self.answer = answer["participant"]["id"], answer["resume"], answer
        return accepted, answer

    async def signals(self, to: Caller, offer: dict[str, str] | None = None, **more: Any) -> Any:
        return await self.does("signal", {"to": to.id, "description": offer or BOTH, **more})

    async def refused_to_send(self, to: Caller, offer: dict[str, str]) -> str:
        """Try to send to somebody, by whatever carries the call; returns the code of the refusal."""
        if self.answer["engine"] == "mesh":
            return await self.fails("signal", {"to": to.id, "description": offer})
        return await self.fails("publish", {"offer": offer, "tracks": []})

    async def hears(self, event: str) -> Any:
        """The next event of this name."""
        return await asyncio.wait_for(self._heard[event].get(), PATIENCE_SECONDS)

    async def hears_of(self, change: str) -> dict[str, Any]:
        """The next event `participant`, which is of this change; returns the participant, with the reason."""
        event = await self.hears("participant")
        assert event["change"] == change, event
        return dict(event["participant"]) | {"reason": event.get("reason")}

    async def hears_nothing(self, *events: str) -> None:
        """Prove silence: nothing of these names was sent to this connection before now."""
        assert await self.fails("no such event") == "unknown-event"
        for event in events or EVENTS:
            assert self._heard[event].empty(), (event, self._heard[event].get_nowait())

    async def vanish(self) -> None:
        """The connection is cut, as a network is that goes away."""
        websocket = self.sio.eio.ws
        websocket._response.connection.transport.abort()
        await self.close()

    async def close(self) -> None:
        await self.sio.disconnect()
        if self.sio.eio.http is not None:
            await self.sio.eio.http.close()


@dataclass
class Party:
    """A server with people who call each other."""

    server: Server
    stack: AsyncExitStack

    async def token(self, name: str) -> str:
        """The token of a typed name, as `/chat` hands it out on an open server."""
        client = await Client(self.server.url, ssl_verify=False).connect(auth={"dialect": "full"})
        you = (await client.joins("lobby", name=name))["you"]
        await client.close()
        return str(you["token"])

    async def connect(self, name: str | None = None, **auth: Any) -> Caller:
        """Open a connection, by a typed name or by what else lets in."""
        if name is not None:
            auth["token"] = await self.token(name)
        caller = Caller(self.server.url)
        self.stack.push_async_callback(caller.close)
        return await caller.connect(**auth)

    async def enters(self, name: str, room: str = "lobby", **options: Any) -> Caller:
        """Somebody with a typed name is in a call."""
        caller = await self.connect(name)
        await caller.joins(room, **options)
        return caller


@asynccontextmanager
async def party(server: Server) -> AsyncIterator[Party]:
    async with AsyncExitStack() as stack:
        yield Party(server, stack)
