"""What a room's history says of a call that is over: written once, and tried again until it is."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from chatzilla.core.messages import NOTICE, ClientId, Draft, Message
from chatzilla.errors import Unavailable

if TYPE_CHECKING:
    from chatzilla.core.call import CallRecord
    from chatzilla.ports import CallBook, Clock, Log

logger = logging.getLogger(__name__)

NAMED_AT_MOST: Final = 10
"""People who are named in one notice."""

AGAIN_SECONDS: Final = 10.0
"""How long until a notice that could not be stored is tried again."""

WAITING_AT_MOST: Final = 1_000
"""Notices that are tried again; the rest waits in the book for the next start."""


class Notices:
    """Writes the notices of calls."""

    def __init__(self, clock: Clock, log: Log, book: CallBook) -> None:
        self._clock = clock
        self._log = log
        self._book = book
        self._waiting = 0
        self._stopping = False

    def stop(self) -> None:
        """Try nothing again: the next start finds in the book what is not written."""
        self._stopping = True

    def tell(self, record: CallRecord) -> None:
        """Write the notice; the book keeps the call until it is stored."""
        ended = replace(record, people=())
        self._book.keep(ended)
        self._write(ended)

    def _write(self, record: CallRecord) -> None:
        def settled(outcome: Message | Exception) -> None:
            if isinstance(outcome, Unavailable):
                self._try_again(record)
                return
            if not isinstance(outcome, Message):
                logger.warning("the notice of call %s cannot be stored: %s", record.id, outcome)
            self._book.forget(record.id)

        draft = Draft(record.room, ClientId(f"call-{record.id}"), notice(record), NOTICE)
        try:
            self._log.append(record.began_by, draft, origin=None).then(settled)
        except Unavailable:
            self._try_again(record)

    def _try_again(self, record: CallRecord) -> None:
        """Later; at the next start at the latest, which finds it in the book."""
        if self._waiting >= WAITING_AT_MOST or self._stopping:
            return
        self._waiting += 1

        def again() -> None:
            self._waiting -= 1
            if not self._stopping:
                self._write(record)

        self._clock.call_later(AGAIN_SECONDS, again)


def notice(record: CallRecord) -> str:
    """What a room's history says of a call that is over."""
    joined = [name for ident, name in record.names if ident != record.began_by.id]
    count = len(joined) + record.others
    lasted = f"It lasted {duration(record.heard_of - record.since)}."
    if not count:
        return f"{record.began_by.name} began a call, and nobody joined. {lasted}"
    if count == 1:
        return f"{record.began_by.name} began a call, and {joined[0]} joined. {lasted}"
    named = joined[:NAMED_AT_MOST] if count > NAMED_AT_MOST + 1 else joined
    rest = count - len(named)
    last = f"{rest} others" if rest else named.pop()
    return f"{record.began_by.name} began a call. {', '.join(named)} and {last} joined. {lasted}"


def duration(ms: int) -> str:
    """A span of time in words."""
    minutes = ms // 60_000
    if minutes < 1:
        return "less than a minute"
    hours, minutes = divmod(minutes, 60)
    words = [
        f"{count} {unit}" if count == 1 else f"{count} {unit}s"
        for count, unit in ((hours, "hour"), (minutes, "minute"))
        if count
    ]
    return " and ".join(words)
