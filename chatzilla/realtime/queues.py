"""What may wait for something, in order: for namespaces of python-socketio's own kind, whose handlers are coroutines.

`line` is the same for those that are answered without a task for each event.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

logger = logging.getLogger(__name__)


class Queues:
    """What is to be done for connections: for each of them, one thing after the other."""

    def __init__(self) -> None:
        self._tails: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, int] = {}

    def waiting(self, sid: str) -> int:
        """How much of a connection is not done."""
        return self._waiting.get(sid, 0)

    def add(self, sid: str, work: Coroutine[Any, Any, None]) -> None:
        """Do something after all that came before it."""
        self._waiting[sid] = self.waiting(sid) + 1
        self._tails[sid] = asyncio.get_running_loop().create_task(self._after(sid, self._tails.get(sid), work))

    async def _after(self, sid: str, before: asyncio.Task[None] | None, work: Coroutine[Any, Any, None]) -> None:
        try:
            if before is not None:
                await before
            await work
        except Exception:
            logger.exception("an event failed")
        finally:
            self._waiting[sid] -= 1
            if not self._waiting[sid]:
                del self._waiting[sid], self._tails[sid]
