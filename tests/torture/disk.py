"""Orders to the failing disk (`disk.c`), through memory that the server's process shares."""

from __future__ import annotations

import errno
import mmap
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE: Final = Path(__file__).with_name("disk.c")
_SIZE: Final = 16
_REFUSE, _DELAY, _DIE_AT, _BEFORE = 0, 4, 8, 12


def compiler() -> str | None:
    """A C compiler, where the shim can be built and preloaded at all."""
    return shutil.which("cc") or shutil.which("gcc") if sys.platform == "linux" else None


class Disk:
    """What the server believes to be its disk. Without a compiler it is the real one, and never fails."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.real = compiler() is None
        self._orders = folder / "disk.orders"
        self._library = folder / "disk.so"
        self._data = data
        self._orders.write_bytes(bytes(_SIZE))
        with self._orders.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)
        cc = compiler()
        if cc is not None:
            command = [cc, "-shared", "-fPIC", "-O2", "-o", str(self._library), str(SOURCE), "-ldl"]
            subprocess.run(command, check=True, capture_output=True)

    @property
    def environ(self) -> Mapping[str, str]:
        """What the server's process needs to be told."""
        if self.real:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "TORTURE_DISK": str(self._orders),
            "TORTURE_DATA": str(self._data),
        }

    def full(self) -> None:
        """Nothing can be written: no space."""
        self._order(_REFUSE, errno.ENOSPC)

    def readonly(self) -> None:
        """Nothing can be written: the file system has gone read-only."""
        self._order(_REFUSE, errno.EROFS)

    def slow(self, seconds: float) -> None:
        """Every sync takes this long."""
        self._order(_DELAY, int(seconds * 1_000_000))

    def die_at_sync(self, number: int, *, before: bool) -> None:
        """The server is killed at its `number`th sync from now: just before it, or between it and the ack."""
        self._order(_BEFORE, int(before))
        self._order(_DIE_AT, number)

    def heal(self) -> None:
        """It works again. Somebody who was to die at a sync still is."""
        self._order(_REFUSE, 0)
        self._order(_DELAY, 0)

    def spare(self) -> None:
        """Nobody is to die any more."""
        self._order(_DIE_AT, 0)

    def close(self) -> None:
        self._memory.close()

    def _order(self, at: int, value: int) -> None:
        struct.pack_into("=i", self._memory, at, value)
