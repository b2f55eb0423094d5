"""Servers with a fault of their own. They live here alone, are made by patching, and must be caught.

Each breaks one promise in the way in which it is usually broken. They hold on to `ports` and the verbs of the core, so
that they stay true when what lies below is written anew.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from chatzilla import app
from chatzilla.core import rooms
from chatzilla.core.catchup import Span
from chatzilla.core.messages import TEXT, Draft, Message, Posted
from chatzilla.core.presence import Presence
from chatzilla.realtime.engine import Limits
from chatzilla.store.log import RoomLog
from chatzilla.store.queries import RoomStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

    from chatzilla.core.catchup import Backlog
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import ConnectionId, RoomId
    from chatzilla.ports import Clock

LATE_SECONDS: Final = 0.4
"""How far apart a mutant tears what belongs together."""

_running: Final[set[asyncio.Task[Any]]] = set()


def replace_in(owner: Any, name: str, other: object) -> None:
    """Put something else in the place of a product's function, method or class."""
    assert hasattr(owner, name), name
    setattr(owner, name, other)


class _Soon(asyncio.Future[Message]):
    """A place in the log that is settled by hand."""

    def then(self, settle: Callable[[Message | Exception], None]) -> None:
        self.add_done_callback(lambda _: settle(self.result()))


class _Foretelling(RoomLog):
    """Knows what number a message will get, and cannot wait for it."""

    def __init__(self, engine: Engine, clock: Clock, on_stored: Callable[[Sequence[Posted]], None], *rest: Any) -> None:
        super().__init__(engine, clock, on_stored, *rest)
        self._database = engine
        self._time = clock
        self._audience = on_stored
        self._foretold: dict[RoomId, int] = {}

    def foretell(self, author: Account, draft: Draft) -> Message:
        """What the message will be, if nothing comes between."""
        if draft.room not in self._foretold:
            with self._database.connect() as connection:
                found = connection.exec_driver_sql("SELECT head FROM rooms WHERE id = ?", (draft.room,)).scalar()
            self._foretold[draft.room] = int(found or 0)
        self._foretold[draft.room] += 1
        number = self._foretold[draft.room]
        now = self._time.wall_ms()
        return Message(draft.room, number, number, TEXT, draft.client_id, author.id, author.name, draft.content, now)

    def append_late(self, author: Account, draft: Draft, origin: ConnectionId | None) -> _Soon:
        """Store it, but not yet."""
        soon = _Soon()

        async def store() -> None:
            await asyncio.sleep(LATE_SECONDS)
            soon.set_result(await RoomLog.append(self, author, draft, origin=origin))

        task = asyncio.get_running_loop().create_task(store())
        _running.add(task)
        task.add_done_callback(_running.discard)
        return soon


class _AckFirst(_Foretelling):
    def append(self, author: Account, draft: Draft, *, origin: ConnectionId | None) -> Any:
        self.append_late(author, draft, origin)
        soon = _Soon()
        soon.set_result(self.foretell(author, draft))
        return soon


class _TellFirst(_Foretelling):
    def append(self, author: Account, draft: Draft, *, origin: ConnectionId | None) -> Any:
        self._audience([Posted(self.foretell(author, draft), origin)])
        return self.append_late(author, draft, origin)


def _ack_before_commit() -> None:
    replace_in(app, "RoomLog", _AckFirst)


def _broadcast_before_commit() -> None:
    replace_in(app, "RoomLog", _TellFirst)


def _read_before_subscribe() -> None:
    """The backlog that a join is answered with was read before anything could be heard."""
    enter = rooms.enter

    async def swapped(ports: Any, *arguments: Any, cursor: int | None, epoch: str | None) -> Any:
        early: Backlog = await ports.store.backlog(arguments[-1], arguments[-2], cursor=cursor, epoch=epoch)
        await asyncio.sleep(2 * LATE_SECONDS)

        class Store:
            def __getattr__(self, name: str) -> Any:
                return getattr(ports.store, name)

            async def backlog(self, *_: Any, **__: Any) -> Backlog:
                return early

        return await enter(replace(ports, store=Store()), *arguments, cursor=cursor, epoch=epoch)

    replace_in(rooms, "enter", swapped)


def _cursor_by_time() -> None:
    """Whoever comes back is given what has a later time than what they knew, instead of a higher number."""
    backlog = RoomStore.backlog

    async def by_time(
        store: RoomStore, room: RoomId, account: Account, *, cursor: int | None, epoch: str | None
    ) -> Backlog:
        page = await backlog(store, room, account, cursor=cursor, epoch=epoch)
        if not cursor or page.reset:
            return page
        known = await store.history(room, Span(limit=1, before=cursor + 1))
        last = known.messages[-1].sent_at
        return replace(page, messages=tuple(each for each in page.messages if each.sent_at > last))

    replace_in(RoomStore, "backlog", by_time)


def _ghosts() -> None:
    """Who loses the connection stays on the list."""
    replace_in(Presence, "depart", lambda *_: None)


def _never_misses_anybody() -> None:
    """Who falls silent is waited for, for ever."""

    def patient(**given: Any) -> Limits:
        return Limits(**given | {"pong_within": 3600.0})

    replace_in(app, "Limits", patient)


def _new_epoch_at_each_start() -> None:
    """Numbers mean nothing after a restart, though they are the same."""
    epoch = secrets.token_urlsafe(9)
    replace_in(RoomStore, "epoch", property(lambda _: epoch))


def _leak() -> None:
    """Each join leaves a task behind."""
    join = rooms.join

    def leaking(*arguments: Any) -> None:
        _running.add(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))
        join(*arguments)

    replace_in(rooms, "join", leaking)


def _nothing() -> None:
    """The database is changed before the start: see `server`."""


SERVER_MUTANTS: Final[dict[str, Callable[[], None]]] = {
    "no_unique_index": _nothing,
    "read_before_subscribe": _read_before_subscribe,
    "ack_before_commit": _ack_before_commit,
    "broadcast_before_commit": _broadcast_before_commit,
    "cursor_by_time": _cursor_by_time,
    "ghosts": _ghosts,
    "never_misses_anybody": _never_misses_anybody,
    "new_epoch_at_each_start": _new_epoch_at_each_start,
    "leak": _leak,
}
