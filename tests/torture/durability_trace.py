"""What a server asked of the system, call by call: it runs under strace, and this reads what strace wrote.

A call has two moments: its entry, noted before the kernel acts, and its exit, noted after. Whatever is judged from
them leans to the strict side: what was written is there from its exit on, a sync holds what was written before its
entry and from its exit on, and what a client is sent leaves at its entry.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.servers import ROOT, START_SECONDS

CHANGING: Final = frozenset(
    (
        *("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"),
        *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
        *("write", "writev", "pwrite64", "pwritev", "pwritev2", "copy_file_range", "sendfile", "mmap"),
        *("truncate", "ftruncate", "fallocate", "sync", "syncfs", "sync_file_range", "msync", "fsync", "fdatasync"),
    )
)
"""Whatever can change a file, or make a change last."""

SENDING: Final = frozenset(("sendto", "sendmsg"))

ASKING: Final = frozenset(("pread64", "preadv", "fcntl", "flock"))
"""What else may wait for a disk, of what costs little to note. Nothing is read that was not opened."""

SYNCS: Final = ("fsync", "fdatasync")

THE_SERVER: Final = (str(ROOT / "run_server.py"),)
"""What an operator has Python run."""

_LINE: Final = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)", re.ASCII)
_RESULT: Final = re.compile(r"\) += (-?\w+)(?:<((?:\\x\w\w)+)>)?.*$", re.ASCII)
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_DESCRIPTOR: Final = re.compile(r"(AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})+|[^>]*)>(\(deleted\))?")


@dataclass(eq=False)
class Call:
    """One call: who asked for what, and what came of it. Moments are places in the order of all of them."""

    thread: int
    name: str
    arguments: str
    entered: int
    left: int = -1
    result: int = -1
    opened: str = ""
    """The path behind the descriptor that it returned."""

    @cached_property
    def target(self) -> str:
        """The path, or the socket, behind the descriptor that it is about; nothing once that file is removed."""
        found = _DESCRIPTOR.search(self.arguments)
        return "" if found is None or found[3] else _plain(found[2])

    @cached_property
    def paths(self) -> list[str]:
        """The paths that it names, whole."""
        base = Path(self.target if "<" in self.arguments.partition('"')[0] else "/")
        return [str(base / os.fsdecode(text)) for text in self.texts]

    @cached_property
    def texts(self) -> list[bytes]:
        """The bytes that it was given."""
        texts = []
        for text in _TEXT.finditer(self.arguments):
            assert not text[2], "strace cut a text short"
            texts.append(_bytes(text[1]))
        return texts

    @cached_property
    def data(self) -> bytes:
        """The bytes that it wrote, or meant to write."""
        return b"".join(self.texts)

    @property
    def numbers(self) -> list[int]:
        """Its last arguments, as far as they are numbers: size and offset of a write."""
        return [int(word) for word in self.arguments.rpartition('"')[2].split(",") if word.strip().isdigit()]

    @property
    def succeeded(self) -> bool:
        return self.left >= 0 and self.result >= 0


class Moment(NamedTuple):
    """One call begins, or ends."""

    call: Call
    ends: bool


class Trace:
    """All calls of one server, from its start."""

    def __init__(self, text: str) -> None:
        self.calls: list[Call] = []
        self._read(text)
        self.moments = self._in_order()
        """Everything in its order."""

    @property
    def loop_thread(self) -> int:
        """The thread that began, which runs the event loop."""
        return self.calls[0].thread

    def _in_order(self) -> list[Moment]:
        entries = [(call.entered, Moment(call, ends=False)) for call in self.calls]
        exits = [(call.left, Moment(call, ends=True)) for call in self.calls if call.left >= 0]
        return [moment for _, moment in sorted(entries + exits, key=lambda each: each[0])]

    def _read(self, text: str) -> None:
        unfinished: dict[int, Call] = {}
        for place, line in enumerate(text.splitlines()):
            found = _LINE.match(line)
            if found is None:
                continue  # a signal, or a thread's end
            thread, resumed, name, rest = int(found[1]), found[2], found[3], found[4]
            if resumed:
                call = unfinished.pop(thread)
            else:
                call = Call(thread, name, "", place)
                self.calls.append(call)
            if rest.endswith("<unfinished ...>"):
                call.arguments = rest.removesuffix("<unfinished ...>")
                unfinished[thread] = call
                continue
            result = _RESULT.search(rest)
            assert result is not None, line[:200]
            call.arguments += rest[: result.start()]
            if result[1] != "?":
                call.left, call.result = place, int(result[1], 0)
                call.opened = _plain(result[2] or "")


@dataclass
class Traced:
    """A server that runs under strace."""

    url: str
    data: Path
    tracer: asyncio.subprocess.Process
    output: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """The server itself, which notes it in its lock."""
        return int((self.data / "lock").read_text())

    async def stop(self, signum: signal.Signals = signal.SIGTERM) -> Trace:
        """End the server, and read what it asked for."""
        os.kill(self.pid, signum)
        await asyncio.wait_for(self.tracer.wait(), PATIENCE_SECONDS)
        return Trace(self.output.read_text())


@asynccontextmanager
async def traced(
    data: Path,
    command: Sequence[str] = THE_SERVER,
    *,
    calls: frozenset[str] = CHANGING | SENDING | ASKING,
    strace: Sequence[str] = (),
    environ: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Traced]:
    """Run a server on this folder and on a free port, and note what it asks for.

    Args:
        data: the folder.
        command: what Python runs.
        calls: what is noted; a name that this machine does not know is left out.
        strace: further options.
        environ: settings of the server.
    """
    output = data.parent / f"{data.name}.strace"
    log = data.parent / f"{data.name}.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATZILLA_")}
    with log.open("ab") as errors:
        tracer = await asyncio.create_subprocess_exec(
            *("strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "1000000", "-o", str(output)),
            *("-e", "trace=" + ",".join(f"?{name}" for name in sorted(calls)), *strace),
            *(sys.executable, *command, "--data", str(data), "--port", "0"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=data.parent,
            env=clean | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(environ),
            start_new_session=True,
        )
    try:
        assert tracer.stdout is not None
        line = await asyncio.wait_for(tracer.stdout.readline(), START_SECONDS)
        assert line.startswith(b"Chatzilla is at http://"), (
            "the server did not start under strace, which needs the right to trace (ptrace; in a container "
            f"CAP_SYS_PTRACE, or a profile that lets it): {line!r} {log.read_text()[-2000:]}"
        )
        yield Traced(line.decode().split()[-1], data, tracer, output)
    finally:
        if tracer.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(tracer.pid, signal.SIGKILL)
            await tracer.wait()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _plain(text: str) -> str:
    return os.fsdecode(_bytes(text)) if text.startswith("\\x") else text
