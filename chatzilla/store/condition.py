"""Whether the database does what it is asked to: one memory of that for everybody who asks it.

Whoever is refused by the database itself says so here: the writer, the clerks, the readers, the book of calls. The log
is told at once, whoever met it, and once a minute while it lasts; `/healthz` asks here. What fails because somebody
else holds the file, or because the disk is full, passes; damage does not, and is remembered until the next start.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import Final

import sqlalchemy as sa

logger = logging.getLogger(__name__)

DAMAGED: Final = "the database is damaged, and has to be put back from a copy: %s"
"""What the log says then."""

SAID_AGAIN_AFTER_SECONDS: Final = 60.0
"""When the log is told again of what lasts, or works and fails in turns."""

_ASKED_WRONGLY: Final = sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.NotSupportedError

_PRIMARY_CODE: Final = 0xFF
"""The part of a result code that says what is wrong (sqlite.org/rescode.html); the rest says more."""


def is_failing(error: BaseException) -> bool:
    """Whether the database itself cannot (locked, full, read-only, damaged), and not what was asked of it is wrong."""
    cause = _cause(error)
    return isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, _ASKED_WRONGLY)


def is_damaged(error: BaseException) -> bool:
    """Whether the file is damaged, or no database any more: that does not pass by itself."""
    code = getattr(_cause(error), "sqlite_errorcode", 0) & _PRIMARY_CODE
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _cause(error: BaseException) -> BaseException | None:
    """What the driver raised."""
    return error.orig if isinstance(error, sa.exc.DBAPIError) else error


class Condition:
    """How the database is, as far as anybody has seen. Whoever meets it may be on any thread, and only sets a flag."""

    def __init__(self) -> None:
        self.damaged = False
        """Whether a part of it was found that cannot be read, and will not be by itself."""
        self.unwritable = False
        """Whether something could not be written since the writer of messages last wrote something."""
        self.unreadable = False
        """Whether the last question could not be answered."""
        self._said: dict[str, float] = {}
        """From when on the log may be told again that it cannot be written, or read."""

    def refused(self, error: BaseException, *, reading: bool = False) -> None:
        """Take in that the database itself could not (see `is_failing`), and say so."""
        if is_damaged(error):
            known, self.damaged = self.damaged, True
            if not known:
                logger.error(DAMAGED, _cause(error))
        elif reading:
            self.unreadable = True
            self._say("read", error)
        else:
            self.unwritable = True
            self._say("written", error)

    def _say(self, what: str, error: BaseException) -> None:
        now = time.monotonic()
        if now >= self._said.get(what, now):
            self._said[what] = now + SAID_AGAIN_AFTER_SECONDS
            logger.error("the database cannot be %s: %s", what, _cause(error))
