"""The real clock: asyncio's timers, the system's time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.ports import Timer


class SystemClock:
    """Implements `ports.Clock`."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, action)
