"""Calls through Janus: how many a machine carries, and what each stream and each participant costs.

`python -m benchmarks.calls` lets more and more participants into one call. Each sends sound and a camera's picture, and
receives all the others; they are real ones without a browser (`tests/helpers/extras.py`), all in this process, which
has a core of its own. Janus and Chatzilla share the other one. A row counts when next to no packet gets lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.entrants import SETTINGS
from benchmarks.machine import allow_many_sockets, on_core, processor, two_cores
from benchmarks.report import table_head, table_row
from tests.helpers import films
from tests.helpers.callers import Party
from tests.helpers.extras import Extra
from tests.helpers.janus_server import SECRET, JanusServer
from tests.helpers.servers import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

PEOPLE: Final = (3, 6, 9, 12, 16, 20, 25)
SIZE: Final = (640, 480)
RATE: Final = 20
KBITS: Final = 400
"""What a browser sends where up to nine are seen; see `chatzilla.media.janus`."""

LOST_AT_MOST: Final = 0.01
SENT_AT_LEAST: Final = 0.95
"""Of what they should send: below, it is the generator that is measured."""

START_SECONDS: Final = 60.0

COLUMNS: Final = (
    *("participants", "streams", "packets/s", "lost", "Janus, % of a core", "Janus, % per stream", "Janus, MB"),
    *("Chatzilla, % of a core", "% per participant", "to join, ms", "Chatzilla, MB", "generator's core, %"),
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used until now."""

    cpu: float
    """Seconds of processor time."""
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Carried:
    """One row: a call of so many, for a while. Seconds of processor time are per second."""

    people: int
    streams: int
    packets: float
    lost: float
    """How much of what was sent did not arrive at each of the others."""
    janus: float
    janus_mb: float
    ours: float
    ours_mb: float
    joining: float
    """Our processor time for one participant to enter and to receive everybody, in seconds."""
    generator: float
    sent: float
    """How much of what should have been sent was."""

    @property
    def carried(self) -> bool:
        """Whether everybody received everybody."""
        whole = self.streams == 2 * self.people * (self.people - 1)
        return whole and self.lost <= LOST_AT_MOST and self.sent >= SENT_AT_LEAST

    def row(self) -> str:
        cells = (
            *(f"{self.people}", f"{self.streams}", f"{self.packets:,.0f}", f"{self.lost:.2%}"),
            *(f"{self.janus:.1%}", f"{self.janus / max(self.streams, 1):.3%}", f"{self.janus_mb:.0f}"),
            *(f"{self.ours:.2%}", f"{self.ours / self.people:.3%}", f"{self.joining * 1000:.0f}"),
            *(f"{self.ours_mb:.0f}", f"{self.generator:.0%}"),
        )
        return table_row(cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 when not even the smallest call was carried."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description="Calls through Janus, under load.")
    default = ",".join(map(str, PEOPLE))
    parser.add_argument("--people", default=default, help=f"how many participants, one call after another ({default})")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each call is measured (10)")
    chosen = parser.parse_args(arguments)
    carriers, own = two_cores()
    allow_many_sockets()
    os.sched_setaffinity(0, {own})
    film = films.busy((32, 96, 160), 440, size=SIZE, rate=RATE, kbits=KBITS)
    load = os.getloadavg()[0]
    sys.stdout.write(f"- processor: {processor()}; {os.cpu_count()} cores, load average {load:.1f} at the start\n")
    sends = f"{SIZE[0]}×{SIZE[1]}, {RATE} a second, about {KBITS} kbit/s, and 32 kbit/s of sound"
    sys.stdout.write(f"- each sends {sends}; measured for {chosen.seconds:g} s\n\n")
    sys.stdout.write(table_head(COLUMNS))
    carried = 0
    for people in map(int, chosen.people.split(",")):
        row = asyncio.run(_measure(people, film, chosen.seconds, carriers))
        if not row.carried:
            found = f"{row.streams} streams, {row.lost:.1%} lost, {row.sent:.0%} sent"
            sys.stdout.write(f"\nToo many: {people} ({found}).\n")
            break
        sys.stdout.write(row.row() + "\n")
        sys.stdout.flush()
        carried = people
    return 0 if carried else 1


async def _measure(people: int, film: films.Film, seconds: float, core: int) -> Carried:
    """One call, from the start of both processes to their end."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="calls-")))
        with on_core(core):
            janus = await JanusServer(folder).start()
            stack.push_async_callback(janus.kill)
            settings = {"CALLS": "janus", "JANUS_URL": janus.url, "JANUS_SECRET": SECRET}
            settings |= {"JANUS_PEOPLE": "200", "JANUS_PUBLISHERS": "50"}
            environ = SETTINGS | {f"CHATZILLA_{name}": value for name, value in settings.items()}
            server: Any = await Process(folder / "data", environ=environ).start()
            stack.push_async_callback(server.kill)
        gathered = Party(server, stack)
        before = usage(server.pid)
        extras = []
        for number in range(people):
            extra = await Extra(gathered, f"extra-{number}", film, sealed=True).enters("load")
            stack.push_async_callback(extra.vanishes)
            extras.append(extra)
        await _all_receive_all(extras)
        joined = usage(server.pid)
        for extra in extras:
            extra.watch()
        begun, own, was = time.monotonic(), _own_cpu(), usage(janus.pid)
        sent = sum(extra.sent for extra in extras)
        calm = usage(server.pid)
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        sent = sum(extra.sent for extra in extras) - sent
        now, ours = usage(janus.pid), usage(server.pid)
        lines = [line for extra in extras for line in extra.lines]
        packets = sum(line.packets for line in lines)
        return Carried(
            people,
            sum(line.packets > 0 for line in lines),
            packets / took,
            max(0.0, 1 - packets / max(sent * (people - 1), 1)),
            (now.cpu - was.cpu) / took,
            now.rss_mb,
            (ours.cpu - calm.cpu) / took,
            ours.rss_mb,
            (joined.cpu - before.cpu) / people,
            (_own_cpu() - own) / took,
            sent / (people * film.packets_a_second * took),
        )


async def _all_receive_all(extras: Sequence[Extra]) -> None:
    """Wait until something comes on every line, or until it has had time enough."""
    wanted = 2 * (len(extras) - 1)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if all(sum(line.packets > 0 for line in extra.lines) == wanted for extra in extras):
            return
        await asyncio.sleep(0.1)


def usage(pid: int) -> Usage:
    """What a process has used, by what the kernel says (proc(5)): its threads' time in nanoseconds, and its pages."""
    folder = Path(f"/proc/{pid}")
    nanoseconds = sum(int(file.read_text().split()[0]) for file in folder.glob("task/*/schedstat"))
    pages = int((folder / "statm").read_text().split()[1])
    return Usage(nanoseconds / 1e9, pages * resource.getpagesize() / 1e6)


def _own_cpu() -> float:
    """What this process has used."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


if __name__ == "__main__":
    sys.exit(main())
