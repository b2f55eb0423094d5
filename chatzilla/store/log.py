"""The log, on the event loop: a place for everything that is said, at once; batches for the writer; its answers.

`append` gives a draft its place at once. What a few turns of the event loop bring goes to the writer's thread together,
as long as each brings more; the thread takes what is there, up to 500 entries, and stores it in one transaction (see
`writer`). While one batch commits the next one collects, so a busy server syncs once for a thousand messages and an
idle one at once.

The whole batch comes back to the event loop in one callback: first every place is settled, in order, then, a turn
later, the audience is told. `loop.call_soon` is first in, first out, so an ack is written before the events of its
batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from typing import TYPE_CHECKING, Final

from chatzilla.core.messages import Change, Posted
from chatzilla.errors import Unavailable
from chatzilla.store.entries import Awaited, Enrolment, Mark, Note, Posting, Probe, Revision
from chatzilla.store.writer import CANNOT_STORE, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

    from chatzilla.core.audit import Deed
    from chatzilla.core.messages import Draft, Target
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.ports import Clock
    from chatzilla.store.condition import Condition
    from chatzilla.store.entries import Entry
    from chatzilla.store.writer import Stored

logger = logging.getLogger(__name__)

WAITING_AT_MOST: Final = 10_000
"""Entries that may wait for the writer; beyond, senders are told `unavailable` at once."""

WAITING_BYTES: Final = 32 * 1024 * 1024
"""Bytes of text that may wait for it, likewise. Few senders of long texts could else fill the memory, however few
entries that are."""

BATCH_AT_MOST: Final = 500
"""Entries in one transaction; their answers are given within one turn of the event loop."""

TURNS_AT_MOST: Final = 4
"""Turns of the event loop that may bring more to what is handed over together. A burst comes in pieces, and a commit
costs about the same whatever it holds."""

PURGE_AFTER_SECONDS: Final = 1.0
"""How long nothing may come before replaced texts are cleared from the write-ahead log."""

PURGE_AFTER_AT_MOST_SECONDS: Final = 30.0
"""The same while a disk refuses again and again: each time twice as long, up to this."""


class RoomLog:
    """Implements `ports.Log` over one database."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        on_stored: Callable[[Sequence[Posted]], None],
        condition: Condition | None = None,
    ) -> None:
        self._clock = clock
        self._on_stored = on_stored
        self._writer = Writer(engine, condition)
        self._collected: list[Entry] = []
        self._under_way = 0
        """Entries that were handed to the writer and have not come back."""
        self._bytes = 0
        """Of all texts that were taken and have not come back."""
        self._batches: queue.SimpleQueue[list[Entry] | None] = queue.SimpleQueue()
        self._closing = False
        self._ended = False
        """Whether the thread is no more, though nobody asked it to end."""
        self._thread = threading.Thread(target=self._run, name="room-log", daemon=True)

    def start(self) -> None:
        """Begin to write, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the last batch could be stored, and nothing is known to be in the way of the next one, or of what
        others write."""
        return self._writer.healthy and not self._ended

    def append(self, author: Account, draft: Draft, *, origin: ConnectionId | None) -> Posting:
        place = Posting(author, draft, origin, self._clock.wall_ms())
        self._put(place, place.size)
        return place

    def change(self, author: Account, change: Change, *, origin: ConnectionId | None) -> Revision:
        revision = Revision(author.id, change, origin, self._clock.wall_ms())
        self._put(revision, revision.size)
        return revision

    def remove(self, target: Target, *, deed: Deed, noted: bool, origin: ConnectionId | None) -> Revision:
        revision = Revision(deed.actor, Change(target, None), origin, self._clock.wall_ms(), deed, noted=noted)
        self._put(revision, revision.size)
        return revision

    def enrol(self, account: Account, room: RoomId) -> None:
        try:
            self._put(Enrolment(account, room))
        except Unavailable:
            logger.warning("membership of room %s was not noted: the log is full", room)

    def mark(self, account: Account, room: RoomId, seq: int) -> None:
        with contextlib.suppress(Unavailable):
            self._put(Mark(account, room, seq))

    def note_left(self) -> None:
        """Memberships end in a transaction that is under way, on whatever thread: they may begin anew."""
        self._writer.members_left = True

    def probe(self) -> None:
        """While the last batch could not be stored, write something that changes nothing, to see whether one can."""
        if not self.healthy:
            with contextlib.suppress(Unavailable):
                self._put(Probe())

    async def close(self) -> None:
        """Store what is waiting, take nothing more, and end the thread."""
        self._hand_over()
        self._closing = True
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join)

    def _put(self, entry: Entry, size: int = 0) -> None:
        if self._closing:
            raise Unavailable("The server is restarting. Your message will be sent again.")
        if self._ended:
            raise Unavailable(CANNOT_STORE)
        held = self._bytes + size
        if held > WAITING_BYTES or self._under_way + len(self._collected) >= WAITING_AT_MOST:
            raise Unavailable("The server is very busy. Your message will be sent again.")
        if not self._collected:
            self._loop.call_soon(self._gather, 0, TURNS_AT_MOST)
        self._collected.append(entry)
        self._bytes = held

    def _gather(self, known: int, turns: int) -> None:
        """End of a turn of the event loop: as long as each brings more, there is more to come, up to a few turns."""
        if len(self._collected) > known and turns:
            self._loop.call_soon(self._gather, len(self._collected), turns - 1)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the writer what came together; its thread makes batches of all that waits."""
        if self._collected:
            self._under_way += len(self._collected)
            self._batches.put(self._collected)
            self._collected = []

    def _run(self) -> None:
        """The writer's thread. Whatever ends it, everybody who waits is answered."""
        waiting: list[Entry] = []
        try:
            self._store_all(waiting)
        except BaseException:
            self._ended = True
            logger.critical("the log has ended: nothing is stored before the next start", exc_info=True)
            with contextlib.suppress(RuntimeError):  # the loop is closed, too
                self._loop.call_soon_threadsafe(self._refuse_all, waiting)
        finally:
            self._writer.close()

    def _store_all(self, waiting: list[Entry]) -> None:
        """Store whatever is there, until the end; what waits stays in the list until it is handed back."""
        more = True
        quiet = PURGE_AFTER_SECONDS
        while more or waiting:
            while more and len(waiting) < BATCH_AT_MOST:
                try:
                    idle = quiet if self._writer.purging and not self._closing else None
                    handed = self._batches.get(block=not waiting, timeout=idle)
                except queue.Empty:
                    if not waiting:
                        tried = self._writer.purge()
                        quiet = PURGE_AFTER_SECONDS if tried else min(2 * quiet, PURGE_AFTER_AT_MOST_SECONDS)
                        continue
                    break
                more = handed is not None
                waiting += handed or ()
            batch = waiting[:BATCH_AT_MOST]
            places = [entry for entry in batch if isinstance(entry, Awaited)]
            notes = [entry for entry in batch if isinstance(entry, Note)] if len(places) < len(batch) else ()
            if self._closing and self._writer.hopeless:  # it would be tried for as long as the database stays locked
                stored = self._writer.refuse(places)
            else:
                stored = self._writer.store(places, notes)
            try:
                self._loop.call_soon_threadsafe(self._hand_back, len(batch), places, stored)
            except RuntimeError:
                break  # the loop is closed: nobody is left to be told
            del waiting[:BATCH_AT_MOST]

    def _refuse_all(self, waiting: list[Entry]) -> None:
        """On the event loop, after the thread has ended: refuse what it had, and what would have come to it."""
        self._hand_over()
        while not self._batches.empty():
            waiting += self._batches.get() or ()
        places = [entry for entry in waiting if isinstance(entry, Awaited)]
        self._hand_back(len(waiting), places, self._writer.refuse(places))

    def _hand_back(self, entries: int, places: Sequence[Awaited], stored: Stored) -> None:
        """On the event loop: settle every place in order, whatever becomes of the others, then tell the audience."""
        self._under_way -= entries
        given_back = 0
        for again in stored.repeats:
            again.repeated = True
        for place, outcome in zip(places, stored.outcomes, strict=True):
            place.outcome = outcome
            given_back += place.size
            if place.settle is not None:
                try:
                    place.settle(outcome)
                except Exception:
                    logger.exception("what was stored could not be answered")
        self._bytes -= given_back
        if stored.fresh:  # after the answers, which are written at the end of this turn
            self._loop.call_soon(self._on_stored, stored.fresh)
