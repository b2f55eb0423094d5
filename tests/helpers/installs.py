"""Chatzilla, installed the ways in which operators install it: from a clone, and from a wheel."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest

from tests.helpers.servers import ROOT, START_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

INSTALL_SECONDS: Final = 300.0
STOP_SECONDS: Final = 5.0
"""What a stop may take, from the signal to the end (platforms allow ten, and then kill)."""

_OURS: Final = {
    "PORT",
    "DATABASE_URL",
    "REDIS_URL",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "MAKEFLAGS",
    "MAKELEVEL",
}


def clean_environ(**further: str) -> dict[str, str]:
    """The environment without what is meant for a Chatzilla or a Python of ours."""
    kept = {n: v for n, v in os.environ.items() if n not in _OURS and not n.startswith(("CHATZILLA_", "npm_"))}
    return kept | {"PYTHONUNBUFFERED": "1"} | further


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Run a command to its end, which has to be a good one; returns what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environ(**environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def clone(target: Path) -> Path:
    """What a clean clone would hold if everything were committed: nothing that is ignored."""
    if not (ROOT / ".git").exists():
        pytest.fail("only a git checkout knows what a clone of it would hold: run the tests in one")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # else it is deleted, and that is not committed yet
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    assert not (target / "static/vendor").exists()
    return target


def prepared_clone(factory: pytest.TempPathFactory) -> Path:
    """A clone after `npm ci`, made once for the whole run."""
    target = factory.getbasetemp() / "clone"
    if not (target / "static/vendor").exists():
        run("npm", "ci", "--omit=dev", "--loglevel=error", cwd=clone(target))
    return target


def dependencies(factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the pinned dependencies and nothing else, made once for the whole run."""
    venv = factory.getbasetemp() / "dependencies"
    if not venv.exists():
        run(sys.executable, "-m", "venv", venv, cwd=factory.getbasetemp())
        install = (venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*install, "--require-hashes", "-r", ROOT / "requirements.txt", cwd=factory.getbasetemp())
    return venv


class Command:
    """A command that runs until it is stopped, and whose every line is kept."""

    def __init__(self, command: Sequence[str | Path], *, cwd: Path, environ: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=clean_environ(**environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def says(self, pattern: str) -> re.Match[str]:
        """Wait for a line, from where the last wait ended; returns the match."""
        while True:
            try:
                line = self._fresh.get(timeout=START_SECONDS)
            except queue.Empty:
                line = None
            assert line is not None, f"no line matches {pattern!r} in:\n{''.join(self.lines)}"
            if match := re.search(pattern, line):
                return match

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Ask it to end, and give it this long; returns the exit status. What does not end is killed, and fails."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._process.wait()
            self._reader.join()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self.lines.append(line)
                self._fresh.put(line)
        self._fresh.put(None)
