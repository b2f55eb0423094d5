"""Starts Chatzilla for the torture, in a process of its own: `python -m tests.torture.launcher --data … --port …`.

The product as it ships, with three things around it: a clock that can be set, a census of what lives in the process,
and, for the test of the test, a mutant. Orders come as lines of JSON on standard input, answers go to standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from chatzilla import cli
from chatzilla.clock import SystemClock
from chatzilla.serve import serve
from tests.torture.server_mutants import SERVER_MUTANTS, replace_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.config import Config


class _Launcher:
    """What is known of the server inside."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ahead_ms = 0

    def install(self) -> None:
        """Stand between the product and its world."""
        wall_ms = SystemClock.wall_ms

        def shifted(clock: SystemClock) -> int:
            return wall_ms(clock) + self._ahead_ms

        async def noticed(config: Config) -> None:
            self._loop = asyncio.get_running_loop()
            await serve(config)

        replace_in(SystemClock, "wall_ms", shifted)
        replace_in(cli, "serve", noticed)

    def obey(self) -> None:
        """Read orders until there are no more; in a thread."""
        orders: dict[str, Callable[[Any], object]] = {"clock": self._set_clock, "census": self._census}
        for line in sys.stdin:
            order, argument = json.loads(line)
            sys.stdout.write(json.dumps(orders[order](argument)) + "\n")
            sys.stdout.flush()

    def _set_clock(self, ahead_ms: int) -> bool:
        self._ahead_ms = ahead_ms
        return True

    def _census(self, _argument: None) -> dict[str, int]:
        assert self._loop is not None
        return {"tasks": len(asyncio.all_tasks(self._loop)), "threads": threading.active_count()}


def main() -> int:
    """Serve until told to stop."""
    mutant = os.environ.pop("TORTURE_MUTANT", "")
    if mutant:
        SERVER_MUTANTS[mutant]()
    launcher = _Launcher()
    launcher.install()
    threading.Thread(target=launcher.obey, daemon=True).start()
    return cli.main(["serve", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
