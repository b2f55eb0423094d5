"""The machine under the figures: its cores, its disk, and how to say what it is."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SYNCS: Final = 200

LONE_SYNCS: Final = 60
LONE_EVERY_SECONDS: Final = 0.05
"""As rare as the messages of the load W2: a disk that has had nothing to do takes longer than one that is at it."""


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let every process that is started in the block run on this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def two_cores() -> tuple[int, int]:
    """The server's core and the generator's.

    Raises:
        SystemExit: there are no two.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise SystemExit("The benchmarks need Linux and two cores: one for the server, one for the generator.")
    return cores[0], cores[1]


def allow_many_sockets() -> None:
    """Raise the limit of open files, for this process and those it starts, as far as it may be raised."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def sync_ms(folder: Path, count: int = SYNCS, *, every: float = 0.0) -> tuple[float, float]:
    """How long this disk takes to keep a page: the median and the 99th percentile of many fdatasync calls.

    No answer that waits for a sync is quicker: what is missed by `synchronous=full` alone is missed by the disk.

    Args:
        folder: where the page is kept.
        count: how many calls.
        every: seconds of nothing before each.
    """
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(count):
            time.sleep(every)
            file.write(b"x" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1000, statistics.quantiles(times, n=100)[-1] * 1000


def describe(folder: Path) -> dict[str, str]:
    """What a reader has to know about where the figures come from."""
    python = f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})"
    median, slowest = sync_ms(folder)
    lone, slowest_lone = sync_ms(folder, LONE_SYNCS, every=LONE_EVERY_SECONDS)
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
    return {
        "processor": processor(),
        "cores": f"{os.cpu_count()}, load average {os.getloadavg()[0]:.1f} at the start",
        "kernel": f"{platform.system()} {platform.release()}",
        "interpreters": f"{python}, Node.js {node}",
        "fdatasync of 4 kB": f"p50 {median:.2f} ms, p99 {slowest:.2f} ms",
        f"the same, {LONE_EVERY_SECONDS * 1000:.0f} ms apart": f"p50 {lone:.2f} ms, p99 {slowest_lone:.2f} ms",
    }


def processor() -> str:
    """Its name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
