"""Calls from browser to browser: what the page costs a browser, by how many are in the call.

`python -m benchmarks.mesh` opens more and more pages of one room in one Chromium, whose test camera each of them sends
at the size that the page chooses for so many people. Everything runs on this machine: the share of one page is what a
participant's own machine would have to give.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.async_api import async_playwright

from benchmarks.machine import processor
from benchmarks.report import table_head, table_row
from tests.browser.conftest import QUIET, chromium_path
from tests.helpers.call_tabs import CALL_FLAGS, COLOURS, TONES, CallTab, until
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.async_api import Browser

PEOPLE: Final = (2, 3, 4, 6)
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")

RECEIVED: Final = """async () => {
    const found = [];
    for (const connection of __connections) {
        if (connection.connectionState === "closed") continue;
        for (const stat of (await connection.getStats()).values()) {
            if (stat.type === "inbound-rtp" && stat.kind === "video") {
                found.push([stat.framesDecoded ?? 0, stat.frameWidth ?? 0, stat.frameHeight ?? 0, stat.bytesReceived]);
            }
        }
    }
    return found;
}"""

COLUMNS: Final = (
    *("people", "picture", "pictures/s", "kbit/s each", "all pages, % of a core", "each page", "first pictures, s"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mesh", description="Calls from browser to browser.")
    default = ",".join(map(str, PEOPLE))
    parser.add_argument("--people", default=default, help=f"how many, one call after another ({default})")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each call is measured (10)")
    chosen = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    sys.stdout.write(f"- processor: {processor()}; {os.cpu_count()} cores, load average {load:.1f} at the start\n\n")
    sys.stdout.write(table_head(COLUMNS))
    for people in map(int, chosen.people.split(",")):
        sys.stdout.write(asyncio.run(_measure(people, chosen.seconds)) + "\n")
        sys.stdout.flush()
    return 0


async def _measure(people: int, seconds: float) -> str:
    """One call of so many; returns its row."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(serving(folder / "data"))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=[*QUIET, *CALL_FLAGS])
        stack.push_async_callback(browser.close)
        tabs = [await _person(browser, server.url, number) for number in range(people)]
        began = time.monotonic()
        await asyncio.gather(*(tab.joins_call() for tab in tabs))

        async def complete() -> bool:
            flows = [await tab.evaluate(RECEIVED) for tab in tabs]
            return all(len(flow) == people - 1 and all(frames for frames, *_ in flow) for flow in flows)

        await until(complete, lambda: "everybody wants to see everybody", lambda: asyncio.sleep(0))
        first = time.monotonic() - began
        await asyncio.sleep(5)  # for the bit rate to find its level
        before, used, began = [await tab.evaluate(RECEIVED) for tab in tabs], _used(), time.monotonic()
        await asyncio.sleep(seconds)
        after, spent, took = [await tab.evaluate(RECEIVED) for tab in tabs], _used() - used, time.monotonic() - began
        return _row(people, [*zip(chain(*before), chain(*after), strict=True)], spent / took, took, first)


def _row(people: int, streams: Sequence[tuple[Any, Any]], cpu: float, took: float, first: float) -> str:
    pictures = sum(new[0] - old[0] for old, new in streams) / took / len(streams)
    kbits = sum(new[3] - old[3] for old, new in streams) * 8 / 1000 / took / len(streams)
    _, width, height, _ = max((new for _, new in streams), key=lambda new: new[1])
    cells = (
        *(f"{people}", f"{width}×{height}", f"{pictures:.1f}", f"{kbits:.0f}"),
        *(f"{cpu:.0%}", f"{cpu / people:.0%}", f"{first:.1f}"),
    )
    return table_row(cells)


async def _person(browser: Browser, url: str, number: int) -> CallTab:
    """Somebody before the mirror of the call, with the browser's test camera."""
    name = f"Person {number}"
    COLOURS.setdefault(name, (0, 0, 0))
    TONES.setdefault(name, 440)
    context = await browser.new_context(viewport={"width": 900, "height": 600})
    tab = await CallTab.of(context, url, "/r/garden", name, canvas=False)
    await tab.joins(name)
    await tab.looks()
    return tab


def _used() -> float:
    """Processor time of every process below this one, in seconds: Chromium's, and the little of what drives it."""
    children: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        times[int(entry.name)] = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    below, total = [os.getpid()], 0.0
    while below:
        for child in children.get(below.pop(), []):
            below.append(child)
            total += times[child]
    return total


if __name__ == "__main__":
    sys.exit(main())
