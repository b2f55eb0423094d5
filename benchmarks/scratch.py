"""The folder in which peers are installed and programs built: `.bench/` at the top, ignored by git.

Everything is pinned: python-socketio by Chatzilla's own `requirements.txt`, Socket.IO for Node.js by the lock file in
`peers/`. What is there and was made from the same files is not made again.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
PEERS: Final = HERE / "peers"


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where what is."""

    folder: Path

    @property
    def chatload(self) -> Path:
        return self.folder / "chatload"

    @property
    def chatlimit(self) -> Path:
        return self.folder / "chatlimit"

    @property
    def python(self) -> Path:
        """The interpreter that has stock python-socketio."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def stock(self) -> Path:
        return PEERS / "stock_socketio.py"

    @property
    def floor(self) -> Path:
        return PEERS / "python_floor.py"

    @property
    def node(self) -> Path:
        """Beside its `node_modules`, where Node.js looks for them."""
        return self.folder / "node" / "node_socketio.js"

    @property
    def results(self) -> Path:
        return self.folder / "results.jsonl"

    @property
    def plot(self) -> Path:
        return self.folder / "benchmarks.svg"

    def prepare(self) -> None:
        """Build and install what is missing or was made from other files."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / ".gitignore").write_text("*\n")
        (self.folder / "logs").mkdir(exist_ok=True)
        self._once("chatload", [HERE / "chatload.c"], lambda: _compile(HERE / "chatload.c", self.chatload, "-lz"))
        self._once("chatlimit", [PEERS / "chatlimit.c"], lambda: _compile(PEERS / "chatlimit.c", self.chatlimit))
        self._once("stock", [ROOT / "requirements.txt"], self._install_stock)
        files = [PEERS / name for name in ("package.json", "package-lock.json", "node_socketio.js")]
        self._once("node", files, lambda: self._install_node(files))

    def _once(self, name: str, sources: list[Path], make: Callable[[], None]) -> None:
        stamp = self.folder / f"{name}.made"
        digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
        if stamp.is_file() and stamp.read_text() == digest:
            return
        sys.stderr.write(f"setting up {name}\n")
        make()
        stamp.write_text(digest)

    def _install_stock(self) -> None:
        _call(sys.executable, "-m", "venv", "--clear", str(self.folder / "venv"))
        pip = [str(self.python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _call(*pip, "install", "--require-hashes", "-r", str(ROOT / "requirements.txt"))

    def _install_node(self, files: list[Path]) -> None:
        folder = self.folder / "node"
        folder.mkdir(exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        _call("npm", "ci", "--loglevel=error", cwd=folder)


def _compile(source: Path, target: Path, *libraries: str) -> None:
    _call("gcc", "-O2", "-Wall", "-Wextra", "-o", str(target), str(source), *libraries)


def _call(*command: str, cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True, stdout=sys.stderr)  # noqa: S603  # every word of it stands above
