"""What a server makes of nothing but the checkout when it starts, made once for all servers inside a test process.

Each of them reads the static files, compiles the templates and runs every migration on an empty database, and what
comes out is the same each time; that is most of what a start takes, and the tests start more than a thousand. Servers
that are processes of their own share nothing, and neither do the tests of the database itself.
"""

from __future__ import annotations

import tempfile
from functools import cache, partialmethod
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import pytest

from chatzilla import app
from chatzilla.store import database
from chatzilla.web.assets import Assets

if TYPE_CHECKING:
    from types import CodeType


class _Compiled(jinja2.BytecodeCache):
    """Templates by their names and their text, for as long as the process lives."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        assert bucket.code is not None
        self._codes[bucket.key, bucket.checksum] = bucket.code


def share(patch: pytest.MonkeyPatch) -> None:
    """Let the servers of this process share the static files, which none of them changes, and compiled templates."""
    patch.setattr(app, "Assets", cache(Assets))
    patch.setattr(
        jinja2.Environment, "__init__", partialmethod(jinja2.Environment.__init__, bytecode_cache=_Compiled())
    )


def empty_database(folder: Path) -> Path:
    """See that a data folder has a database: where there is none, one as the migrations leave it, without a row."""
    path = folder / "chatzilla.db"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(_migrated())
    return folder


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = database.Database(Path(folder))
        database._migrate(made.writing)
        made.close()
        return made.path.read_bytes()
