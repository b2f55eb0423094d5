"""A thread that keeps a register: one transaction after the other, on a connection of its own.

What registers hold changes seldom. Only one transaction at a time writes to the database: clerks wait until the log's
is committed, and the log waits for theirs.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from chatzilla.errors import Unavailable
from chatzilla.store.condition import is_failing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from chatzilla.store.database import Database

T = TypeVar("T")


class Clerk:
    """Does the writing of a register."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def close(self) -> None:
        self._thread.shutdown()

    async def _do(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, work)

    def _ask(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._database.writing.begin() as connection:
                return work(connection)
        except Exception as error:
            if not is_failing(error):
                raise
            self._database.condition.refused(error)
            raise Unavailable("The server cannot do that right now. Try again in a moment.") from error
