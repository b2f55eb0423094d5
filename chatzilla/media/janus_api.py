"""Janus' API over a WebSocket: one session for this server, a handle for each peer connection.

Requests carry a transaction, and the answer that has it too settles them; whatever comes by itself goes to whoever
listens to its handle. When the socket is gone, everything in Janus is, and nothing here outlives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from chatzilla.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_NO_SUCH_SESSION: Final = 458

PLUGIN: Final = "janus.plugin.videoroom"

ANSWER_SECONDS: Final = 10.0
KEEP_ALIVE_SECONDS: Final = 25.0
"""Janus forgets a session that says nothing for a minute."""

HEARTBEAT_SECONDS: Final = 10.0
LARGEST: Final = 1024 * 1024

Jsep = dict[str, str]


class JanusError(Exception):
    """Janus refuses something."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{words} ({code})")
        self.code = code


class JanusSession:
    """One connection to Janus, from its beginning to its end."""

    def __init__(self, secret: str, listen: Callable[[int, dict[str, Any]], None]) -> None:
        self._secret = secret
        self._listen = listen
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._session = 0
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._needs_no_more: set[str] = set()
        """Transactions that an `ack` settles; to the others it says that an event will follow."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.handles: set[int] = set()
        """Those that are attached."""
        self.gone = asyncio.Event()

    @property
    def open(self) -> bool:
        return self._session != 0 and not self.gone.is_set()

    async def connect(self, url: str) -> None:
        """Connect and begin a session.

        Args:
            url: `ws://127.0.0.1:8188`, or `unix:` and a path.

        Raises:
            Unavailable: Janus is not there.
            JanusError: it does not take us.
        """
        path = url.removeprefix("unix:") if url.startswith("unix:") else None
        connector = None if path is None else aiohttp.UnixConnector(path)
        self._http = aiohttp.ClientSession(connector=connector)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._socket = await self._http.ws_connect(
                    "ws://janus/" if path is not None else url,
                    protocols=("janus-protocol",),
                    heartbeat=HEARTBEAT_SECONDS,
                    max_msg_size=LARGEST,
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self.close()
            raise Unavailable(f"Janus is not there: {str(error) or 'it does not answer'}") from error
        except BaseException:
            await self.close()
            raise
        loop = asyncio.get_running_loop()
        self._tasks = {loop.create_task(self._read()), loop.create_task(self._keep_alive())}
        try:
            self._session = (await self._ask({"janus": "create"}))["data"]["id"]
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End it; harmless twice."""
        self._end()
        for task in tuple(self._tasks):
            task.cancel()
        if self._socket is not None:
            with contextlib.suppress(Exception):
                await self._socket.close()
        if self._http is not None:
            await self._http.close()

    async def attach(self) -> int:
        """A new handle of the VideoRoom; whoever is cancelled meanwhile leaves none behind."""
        asking = asyncio.get_running_loop().create_task(self._ask({"janus": "attach", "plugin": PLUGIN}))
        try:
            handle: int = (await asyncio.shield(asking))["data"]["id"]
        except asyncio.CancelledError:
            abandoning = asyncio.get_running_loop().create_task(self._abandon(asking))
            self._tasks.add(abandoning)
            abandoning.add_done_callback(self._tasks.discard)
            raise
        self.handles.add(handle)
        return handle

    async def _abandon(self, asking: asyncio.Task[dict[str, Any]]) -> None:
        """Give back what nobody waits for any more."""
        with contextlib.suppress(JanusError, Unavailable):
            handle = (await asking)["data"]["id"]
            await self._ask({"janus": "detach", "handle_id": handle})

    async def detach(self, handle: int) -> None:
        """Give a handle back, and its peer connection with it; harmless for one that is gone."""
        if handle in self.handles:
            self.handles.discard(handle)
            with contextlib.suppress(JanusError, Unavailable):
                await self._ask({"janus": "detach", "handle_id": handle})

    async def message(
        self, handle: int, body: dict[str, Any], jsep: Jsep | None = None
    ) -> tuple[dict[str, Any], Jsep | None]:
        """Ask the VideoRoom something; returns what it answers, with a description if there is one.

        Raises:
            JanusError: it refuses.
            Unavailable: it is gone, or does not answer.
        """
        request: dict[str, Any] = {"janus": "message", "handle_id": handle, "body": body}
        if jsep is not None:
            request["jsep"] = jsep
        answer = await self._ask(request)
        data: dict[str, Any] = answer.get("plugindata", {}).get("data", {})
        if "error_code" in data:
            raise JanusError(data["error_code"], data.get("error", ""))
        described = answer.get("jsep")
        return data, None if described is None else {"type": described["type"], "sdp": described["sdp"]}

    async def trickle(self, handle: int, candidate: dict[str, Any]) -> None:
        """Pass a candidate on, and wait for no answer.

        A browser tells of many at once. If each waited for a turn of Janus, what the browser says next would wait for
        all of these turns together; and that is the answer by which it receives.

        Raises:
            Unavailable: it is gone, or reads nothing.
        """
        await self._say({"janus": "trickle", "handle_id": handle, "candidate": candidate}, secrets.token_hex(8))

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        transaction = secrets.token_hex(8)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[transaction] = future
        if request["janus"] == "keepalive":
            self._needs_no_more.add(transaction)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._say(request, transaction)
                return await future
        except TimeoutError:
            raise Unavailable("Janus does not answer.") from None
        finally:
            self._waiting.pop(transaction, None)
            self._needs_no_more.discard(transaction)

    async def _say(self, request: dict[str, Any], transaction: str) -> None:
        socket = self._socket
        if socket is None or self.gone.is_set():
            raise Unavailable("Janus is gone.")
        request |= {"transaction": transaction, "apisecret": self._secret}
        if self._session:
            request["session_id"] = self._session
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await socket.send_json(request)
        except TimeoutError:
            raise Unavailable("Janus does not answer.") from None
        except ConnectionError as error:
            raise Unavailable("Janus is gone.") from error

    async def _read(self) -> None:
        socket = self._socket
        try:
            while socket is not None:
                packet = await socket.receive()
                if packet.type is not aiohttp.WSMsgType.TEXT:
                    break
                self._take(packet.json())
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("Janus says what nobody understands: %r", error)
        finally:
            self._end()

    def _take(self, message: dict[str, Any]) -> None:
        kind = message.get("janus")
        if kind == "timeout":  # Janus has heard nothing for too long, and has forgotten us, though the socket stands
            self._end()
            return
        future = self._waiting.get(message.get("transaction", ""))
        waits = future is not None and not future.done()
        if kind == "error":
            error = message.get("error", {})
            refusal = JanusError(error.get("code", 0), error.get("reason", ""))
            if future is not None and waits:
                future.set_exception(refusal)
            else:
                logger.info("Janus refuses what nobody waits for: %s", refusal)
            if refusal.code == _NO_SUCH_SESSION:
                self._end()
        elif future is None or not waits:
            if kind != "ack" and "sender" in message:
                self._listen(message["sender"], message)
        elif kind != "ack" or message["transaction"] in self._needs_no_more:
            future.set_result(message)

    async def _keep_alive(self) -> None:
        while not self.gone.is_set():
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            with contextlib.suppress(Unavailable, JanusError):
                await self._ask({"janus": "keepalive"})

    def _end(self) -> None:
        """The socket or the session is gone, and with it everything that was asked."""
        if self.gone.is_set():
            return
        self.gone.set()
        self.handles.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable("Janus is gone."))
