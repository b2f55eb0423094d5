"""A database file that is spoilt under a running server, as by a disk that fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def damage(path: Path, table: str | None = None) -> None:
    """Overwrite the first page of a table, or that of the whole file, and see that everybody reads it anew."""
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("UPDATE facts SET value = value")  # what others keep in memory is out of date now
        (page_size,) = stranger.execute("PRAGMA page_size").fetchone()
        (page,) = stranger.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone() or (1,)
        assert stranger.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    with path.open("r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(b"\xff" * page_size)
