"""The event loop: asyncio's own, in short turns.

A turn handles everything that is ready, and whatever becomes ready meanwhile waits for the end of it: when thousands of
connections come, speak or die at once, timers and answers would wait for all of them. So one turn takes a few, and asks
again; the kernel gives them in turn.
"""

from __future__ import annotations

import asyncio
import math
import select
import selectors
from typing import Any, Final

READY_AT_ONCE: Final = 64
"""Connections that one turn handles."""


def make_loop() -> asyncio.AbstractEventLoop:
    """An event loop with short turns, where the system has epoll; else an ordinary one."""
    if not hasattr(selectors, "EpollSelector"):
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(_ShortTurns())


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
