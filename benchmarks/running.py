"""One run: a server on one core, the generator on another, and what came of it.

Everything is on the loopback and bounded in time; a server is ended by the handle that started it.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.entrants import ENTRANTS
from benchmarks.loads import LOADS
from benchmarks.machine import on_core, sync_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.entrants import Entrant
    from benchmarks.goals import Figures
    from benchmarks.scratch import Scratch

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
RUN_SECONDS: Final = 300.0

HAVE_TO_BE_ZERO: Final = (
    *("failed", "lost_conns", "refused", "unacked", "lost", "dup"),
    *("out_of_order", "ack_disorder", "holes", "bad", "self_echo"),
)
"""What the generator counts that a chat server must never do."""


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one server."""

    round: int
    load: str
    entrant: str
    figures: Figures
    failure: str = ""
    """Why it is no result: what the server did wrong; empty for a good run."""

    def line(self) -> str:
        """For the file of results."""
        return json.dumps(asdict(self))

    def summary(self) -> str:
        """For whoever watches."""
        begin = f"{self.round + 1:2} {self.load:9} {ENTRANTS[self.entrant].title:30}"
        if self.failure:
            return f"{begin} INVALID: {self.failure}"
        run = self.figures
        return (
            f"{begin} {run['server_us_per_del']:8.2f} µs/delivery {run['server_us_per_msg']:9.1f} µs/message  "
            f"heard {run['del_p50_ms']:8.2f} / {run['del_p99_ms']:8.2f} ms  acked {run['ack_p50_ms']:8.2f} ms  "
            f"{run['rss_per_conn_kb']:6.1f} kB/connection  {run['joins_per_s']:6.0f} joins/s"
        )


def run_once(scratch: Scratch, cores: tuple[int, int], number: int, load: str, entrant: str, *, quick: bool) -> Run:
    """Start the server, put the load on it, stop it."""
    server_core, generator_core = cores
    median, slowest = sync_ms(scratch.folder)  # of this moment; while it runs, a probe would be in its way
    try:
        with _serving(scratch, ENTRANTS[entrant], entrant, server_core) as (port, pid):
            command = [str(scratch.chatload), "--port", str(port), "--pid", str(pid)]
            command += [*ENTRANTS[entrant].dialect(LOADS[load]), *LOADS[load].arguments(quick=quick)]
            with on_core(generator_core):
                done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)  # noqa: S603
        if done.returncode != 0:
            raise RuntimeError(f"the generator gave up: {done.stderr.strip()[-300:]}")
        figures: Figures = json.loads(done.stdout) | {"sync_p50_ms": median, "sync_p99_ms": slowest}
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return Run(number, load, entrant, {}, failure=str(error))
    wrong = [f"{name} {figures[name]}" for name in HAVE_TO_BE_ZERO if figures[name]]
    if figures["joined"] != figures["conns"]:
        wrong.append(f"{figures['joined']} of {figures['conns']} joined")
    detail = f" ({done.stderr.strip().splitlines()[0][:200]})" if wrong and done.stderr.strip() else ""
    return Run(number, load, entrant, figures, failure=", ".join(wrong) + detail)


@contextmanager
def _serving(scratch: Scratch, entrant: Entrant, name: str, core: int) -> Iterator[tuple[int, int]]:
    """A server with a data folder of its own, on a free port; yields the port and its process id."""
    port = _free_port()
    with (
        tempfile.TemporaryDirectory(dir=scratch.folder, prefix="data-") as folder,
        (scratch.folder / "logs" / f"{name}.log").open("wb") as log,
    ):
        command = entrant.command(scratch, port, Path(folder) / "data")
        with on_core(core):
            server = subprocess.Popen(command, cwd=folder, env=entrant.environment(), stdout=log, stderr=log)  # noqa: S603
        try:
            _wait_for(port, server)
            yield port, server.pid
        finally:
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}; its log is in the scratch folder")
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server did not listen")
