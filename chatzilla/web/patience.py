"""Connections on which HTTP is spoken: nobody keeps one that they do not use, and nobody keeps too many.

aiohttp waits for ever for the head of a first request, and until an answer is read. What comes within a request has
deadlines of its own: the body, the session. A connection that has become a WebSocket is none of these any more. One
that has yet to shake hands for TLS is: asyncio would tell of it only when it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

LOOKS: Final = 4
"""How often it is looked, within the time that one has."""


class Patience:
    """Watches over all of them.

    Args:
        head: seconds in which one has to ask for something.
        idle: seconds that nothing may be asked after that, or an answer not be read.
        per_address: connections from one address; 0 is no limit.
    """

    def __init__(self, *, head: float, idle: float, per_address: int) -> None:
        self.idle = idle
        self._head = head
        self._per_address = per_address
        self._visits: set[Visit] = set()
        self._addresses: Counter[str] = Counter()

    def welcome(self, visit: Visit) -> None:
        """Somebody has connected, who is turned away where too many are here from their address. Harmless twice."""
        if visit in self._visits:
            return
        self._visits.add(visit)
        self._addresses[visit.address] += 1
        if self._per_address and self._addresses[visit.address] > self._per_address:
            visit.line.abort()

    def forget(self, visit: Visit) -> None:
        """They are gone, or have become a WebSocket; harmless twice."""
        if visit not in self._visits:
            return
        self._visits.remove(visit)
        self._addresses[visit.address] -= 1
        if not self._addresses[visit.address]:
            del self._addresses[visit.address]

    async def watch(self) -> None:
        """Let go of those whose time is over, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._head, self.idle) / LOOKS)
            now = loop.time()
            for visit in self._visits:
                unread = visit.line.get_write_buffer_size()
                if unread != visit.unread:
                    visit.unread, visit.since = unread, now
                silent = now - visit.since
                if (unread and silent >= self.idle) or (not visit.has_asked and silent >= self._head):
                    visit.line.abort()


class Visit(web.RequestHandler):
    """One connection on which HTTP is spoken."""

    __slots__ = ("_patience", "address", "has_asked", "line", "since", "unread")

    def __init__(self, server: web.Server, patience: Patience, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=patience.idle,
            tcp_keepalive=False,  # whoever is gone without a word is found sooner: see `Patience.watch`, and by pings
            access_log=None,  # type: ignore[arg-type]  # None is "no access log" to aiohttp, whose types do not say so
        )
        self._patience = patience
        self.line: asyncio.Transport
        """The transport, also while it is closing."""
        self.address = ""
        self.has_asked = False
        """Whether a whole head has come."""
        self.unread = 0
        """Bytes of answers that wait to be read."""
        self.since = loop.time()
        """How long that is so, and nothing was asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.arrives_on(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.has_gone()
        super().connection_lost(exc)

    def arrives_on(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there, though perhaps nothing can be said yet: they count, and their time runs."""
        self.line = cast("asyncio.Transport", transport)
        self.address = str((transport.get_extra_info("peername") or ("unknown",))[0])
        self._patience.welcome(self)

    def has_gone(self) -> None:
        """They are not there any more; harmless twice."""
        self._patience.forget(self)


class Secure(Protocol):
    """`asyncio.loop.start_tls`, as a server with its certificate calls it."""

    async def __call__(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> asyncio.Transport | None: ...


class Threshold(asyncio.Protocol):
    """Where one stands who has yet to shake hands for TLS: the visit has begun.

    Args:
        make_visit: whose connection it will be.
        secure: shakes hands.
    """

    def __init__(self, make_visit: Callable[[], Visit], secure: Secure) -> None:
        self._visit = make_visit()
        self._secure = secure
        self._early: list[bytes] = []
        """What came in one piece with the end of the handshake."""
        self._shaking: asyncio.Task[None]
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw = cast("asyncio.Transport", transport)
        raw.pause_reading()  # all that comes is for TLS
        self._visit.arrives_on(raw)
        if not raw.is_closing():
            self._shaking = asyncio.get_running_loop().create_task(self._shake_hands(raw))

    def data_received(self, data: bytes) -> None:
        self._early.append(data)

    def connection_lost(self, _exc: BaseException | None) -> None:
        self._lost = True
        self._visit.has_gone()

    async def _shake_hands(self, raw: asyncio.Transport) -> None:
        line = None
        try:
            with suppress(OSError):  # it took too long, was no TLS, or was cut: asyncio has closed it
                line = await self._secure(raw, self)
        finally:
            if line is None:  # it is gone, and TLS was told of it instead of us
                self._visit.has_gone()
        if line is not None and not self._lost:
            self._visit.connection_made(line)
            line.set_protocol(self._visit)
            for data in self._early:
                self._visit.data_received(data)


def has_asked(request: web.Request) -> None:
    """A whole head has come."""
    if isinstance(request.protocol, Visit):
        request.protocol.has_asked = True
