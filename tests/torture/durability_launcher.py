"""The server as it is, with a stopwatch in its event loop: `python -m tests.torture.durability_launcher --data …`.

A turn of the loop is everything between two waits for the network: whatever arrives meanwhile waits that long. A step
is one callback in it, a pause one collection of garbage. The stopwatch is asked over standard input, line by line, and
answers on standard output in JSON: each line is answered with the worst so far, and `reset` begins anew then.

What the machine took away is not the server's doing: the time in which the thread could run and was not let is known
to the kernel (`schedstat`) and is taken off.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import resource
import signal
import sys
import threading
import time
from asyncio import base_events, events
from typing import Any, Final, NamedTuple

from chatzilla.cli import main

KEPT: Final = 5
"""How many of the worst are told."""


class Span(NamedTuple):
    """How long something held the loop, in ms. `held` is what everybody else had to wait for it."""

    held: float
    cpu: float
    what: str


class Stopwatch:
    """Measures every turn and every step of the loop of this process."""

    def __init__(self) -> None:
        self._turns: list[Span] = []
        self._steps: list[Span] = []
        self._pauses: list[Span] = []
        self._collecting = 0
        self._woke: tuple[int, int, int] | None = None
        self._count = 0
        self._delays = -1

    def install(self) -> None:
        """Begin to measure, in whatever loop runs next."""
        # Both are private to asyncio and have been there, under these names, for all versions that we run on.
        run_step: Any = events.Handle._run
        run_turn: Any = base_events.BaseEventLoop._run_once  # type: ignore[attr-defined]

        def step(handle: events.Handle) -> None:
            began, cpu, what = time.perf_counter_ns(), time.thread_time_ns(), handle._callback  # type: ignore[attr-defined]
            run_step(handle)
            cpu = time.thread_time_ns() - cpu
            self._count += 1
            self._keep(self._steps, (time.perf_counter_ns() - began) / 1e6, cpu / 1e6, what)

        def turn(loop: Any) -> None:
            if self._delays < 0:
                self._delays = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
                select = loop._selector.select
                loop._selector.select = lambda timeout=None: self._waited(select(timeout))
            run_turn(loop)
            if self._woke is not None:
                began, cpu, stolen = self._woke
                cpu = time.thread_time_ns() - cpu
                held = time.perf_counter_ns() - began - (self._stolen() - stolen)
                self._keep(self._turns, max(held, cpu) / 1e6, cpu / 1e6, f"{self._count} steps")

        def collecting(phase: str, info: dict[str, int]) -> None:
            now = time.thread_time_ns()
            if phase == "start":
                self._collecting = now
            else:
                cpu = (now - self._collecting) / 1e6
                self._keep(self._pauses, cpu, cpu, f"generation {info['generation']}")

        gc.callbacks.append(collecting)
        events.Handle._run = step  # type: ignore[method-assign, assignment]
        base_events.BaseEventLoop._run_once = turn  # type: ignore[attr-defined]

    def reset(self) -> None:
        self._turns, self._steps, self._pauses = [], [], []

    def report(self) -> str:
        worst = {"turns": self._turns, "steps": self._steps, "pauses": self._pauses}
        return json.dumps({what: sorted(spans, reverse=True) for what, spans in worst.items()})

    def _waited(self, found: Any) -> Any:
        """The loop has waited for the network, and a turn begins."""
        self._count = 0
        self._woke = time.perf_counter_ns(), time.thread_time_ns(), self._stolen()
        return found

    def _stolen(self) -> int:
        return int(os.pread(self._delays, 100, 0).split()[1])

    def _keep(self, worst: list[Span], held: float, cpu: float, what: object) -> None:
        if len(worst) < KEPT or held > worst[0].held:
            span = Span(round(held, 3), round(cpu, 3), str(what)[:300])
            (heapq.heappush if len(worst) < KEPT else heapq.heapreplace)(worst, span)


def answer(stopwatch: Stopwatch) -> None:
    """Answer the test, in a thread of its own, until it has no more questions; a test that is gone has none."""
    for line in sys.stdin:
        print(stopwatch.report(), flush=True)
        if line.strip() == "reset":
            stopwatch.reset()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    watch = Stopwatch()
    watch.install()
    threading.Thread(target=answer, args=(watch,), daemon=True).start()
    sys.exit(main(["serve", *sys.argv[1:]]))
