"""The event loop: asyncio's own, in short turns, that does not stumble when there are no more open files.

A turn handles everything that is ready, and whatever becomes ready meanwhile waits for the end of it: when thousands of
connections come, speak or die at once, timers and answers would wait for all of them. So one turn takes a few, and asks
again; the kernel gives them in turn.

When the system gives no more open files, asyncio logs a traceback for each of a hundred tries, and schedules a hundred
more for each of them. Here one file is kept in reserve: whoever comes then is let in by it and turned away at once, and
the log says so now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import os
import select
import selectors
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

logger = logging.getLogger(__name__)

READY_AT_ONCE: Final = 64
"""Connections that one turn handles."""

NO_FILES: Final = (errno.EMFILE, errno.ENFILE)
"""The process, or the system, has as many open files as it may."""

SAY_AGAIN_SECONDS: Final = 10.0
"""How often the log says that nobody gets in."""


def make_loop() -> asyncio.AbstractEventLoop:
    """An event loop with short turns, where the system has epoll; else one with ordinary turns."""
    return _Loop(_ShortTurns() if hasattr(selectors, "EpollSelector") else None)


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's own, with a door that turns away whom it has no file for."""

    def __init__(self, selector: selectors.BaseSelector | None) -> None:
        super().__init__(selector)
        self._reserve = _Reserve()

    def close(self) -> None:
        super().close()
        self._reserve.release()

    def _start_serving(self, protocol_factory: Any, sock: Any, *rest: Any) -> None:
        """asyncio is about to listen, for the first time or again."""
        door = sock if isinstance(sock, _Door) else _Door(sock, self._reserve)
        super()._start_serving(protocol_factory, door, *rest)  # type: ignore[misc]  # its stubs do not know it


class _Door:
    """A listening socket, as far as asyncio uses it to let somebody in."""

    def __init__(self, listening: socket.socket, reserve: _Reserve) -> None:
        self._listening = listening
        self._reserve = reserve
        self._said_at = -math.inf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def accept(self) -> tuple[socket.socket, Any]:
        """Let somebody in.

        Raises:
            BlockingIOError: nobody waits, or there was no file for them, and they were turned away.
        """
        try:
            return self._listening.accept()
        except OSError as error:
            if error.errno not in NO_FILES:
                raise
            self._turn_away()
            raise BlockingIOError from error

    def _turn_away(self) -> None:
        now = time.monotonic()
        if now >= self._said_at + SAY_AGAIN_SECONDS:
            self._said_at = now
            logger.error("no more files can be opened, and whoever comes is turned away: see LimitNOFILE, or ulimit -n")
        self._reserve.release()
        with contextlib.suppress(OSError):  # they have gone, or a thread was quicker to open a file: asked again soon
            self._listening.accept()[0].close()
        self._reserve.take()


class _Reserve:
    """An open file that is good for nothing but being closed when one is needed."""

    def __init__(self) -> None:
        self._descriptor = -1
        self.take()

    def take(self) -> None:
        with contextlib.suppress(OSError):  # there is none left; the next time, perhaps
            self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _ShortTurns(selectors.EpollSelector):
    """Asks epoll for a few at a time; otherwise what the standard library does."""

    _selector: Any
    _fd_to_key: dict[int, selectors.SelectorKey]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        wait = -1.0 if timeout is None else max(0.0, math.ceil(timeout * 1e3) * 1e-3)
        ready = []
        for descriptor, event in self._selector.poll(wait, READY_AT_ONCE):
            key = self._fd_to_key.get(descriptor)
            if key is not None:
                writes = selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0
                reads = selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
                ready.append((key, (writes | reads) & key.events))
        return ready
