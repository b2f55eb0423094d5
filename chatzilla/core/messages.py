"""What is said: drafts become messages, each once, in the order of its room."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, NewType

from chatzilla.core import policy
from chatzilla.core.audit import Done
from chatzilla.core.policy import Act, Thing
from chatzilla.core.rooms import RoomId
from chatzilla.core.text import parse_text
from chatzilla.errors import BadRequest, Forbidden, NotFound, NotJoined, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatzilla.core.catchup import Span
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import ConnectionId
    from chatzilla.core.session import Session
    from chatzilla.ports import Place, Ports

logger = logging.getLogger(__name__)

MessageId = NewType("MessageId", str)
ClientId = NewType("ClientId", str)

TEXT_LIMIT: Final = 10_000
"""Characters (code points) in a message."""

CLIENT_ID_LIMIT: Final = 64

NO_SUCH_MESSAGE: Final = "There is no such message."

_ID: Final = re.compile(r"(?P<room>[a-z0-9_-]{1,64}):(?P<seq>[1-9][0-9]{0,15})", re.ASCII)
"""See `Message.id`."""

_RUN: Final = secrets.token_hex(10)
_count: Final = itertools.count()

TEXT: Final = "text"
"""The kind of a message that a person wrote."""

NOTICE: Final = "notice"
"""The kind of a message that tells what happened in a room, in words; nobody changes it."""

READ_ONLY: Final = "You may read here, and not write."


class Draft(NamedTuple):
    """What somebody wants to say, under an id of their own making."""

    room: RoomId
    client_id: ClientId
    content: str
    kind: str = TEXT


class Target(NamedTuple):
    """Which message is meant: its room and its place there."""

    room: RoomId
    seq: int


class Change(NamedTuple):
    """What becomes of a message: another text for it, or, with None, no text any more. A moderator may do the latter to
    anybody's."""

    target: Target
    content: str | None


class Message(NamedTuple):
    """The newest state of one message. `seq` is its place for ever, `changed` the number of its last change."""

    room: RoomId
    seq: int
    changed: int
    kind: str
    client_id: ClientId
    sender: AccountId
    name: str
    content: str
    sent_at: int
    """Milliseconds since 1970, by the server's clock."""
    edited_at: int | None = None
    """When its text was last replaced; likewise."""
    deleted: bool = False
    """Its author took it back: the row stays, and its text is gone."""
    removed: bool = False
    """Likewise, and it was a moderator who did it."""

    @property
    def id(self) -> MessageId:
        """A place is never given twice, so it names the message."""
        return MessageId(f"{self.room}:{self.seq}")


class Posted(NamedTuple):
    """A message that was stored or changed just now, and the connection that needs no telling."""

    message: Message
    origin: ConnectionId | None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a room's history, ascending by place; or what changed after a cursor, ascending by `changed`. `more`
    lies beyond it in the direction asked for."""

    messages: tuple[Message, ...]
    more: bool


def parse_content(raw: object) -> str:
    """Accept the text of a message as it is.

    Raises:
        BadRequest, TooLong: see `parse_text`.
    """
    return parse_text(raw, "a message", TEXT_LIMIT)


def parse_client_id(raw: object) -> ClientId:
    """Accept an id that a client made.

    Raises:
        BadRequest: it is not 1 to 64 printable ASCII characters.
    """
    if isinstance(raw, str) and 1 <= len(raw) <= CLIENT_ID_LIMIT and raw.isascii() and raw.isprintable():
        return ClientId(raw)
    raise BadRequest(f"A client_id is 1 to {CLIENT_ID_LIMIT} printable characters, such as a UUID.")


def parse_target(raw: object) -> Target:
    """Read the id of a message.

    Raises:
        BadRequest: it is not a string.
        NotFound: no message has such an id.
    """
    if not isinstance(raw, str):
        raise BadRequest("Say which message: its id is a string.")
    form = _ID.fullmatch(raw)
    if form is None:
        raise NotFound(NO_SUCH_MESSAGE)
    return Target(RoomId(form["room"]), int(form["seq"]))


def mint_client_id() -> ClientId:
    """Make an id for a client that makes none. They ascend, so that the store keeps them side by side."""
    return ClientId(f"{_RUN}{next(_count):012x}")


def post(ports: Ports, session: Session, draft: Draft) -> Place:
    """Append one message to its room; the same `client_id` twice is stored once.

    It has its place in the log when this returns, so that a connection's next event may begin. That is settled
    when the message is on disk, and only then is anybody told.

    Raises:
        NotJoined: this connection has not joined the room.
        Forbidden: this person may not write, or nobody may there now.
        TooFast: over the connection's rate.
        Unavailable: the log takes nothing more now. The place may come to it too, and to `Conflict` for a
            `client_id` that was used for something else.
    """
    author = speaker(session, draft.room)
    if not session.voice:
        raise Forbidden(READ_ONLY)
    ports.directory.check_voice(author, draft.room)
    session.posting.spend()
    return ports.log.append(author, draft, origin=session.connection)


def change(ports: Ports, session: Session, wanted: Change) -> Place:
    """Edit or delete a message of one's own, or delete anybody's in a room that one moderates.

    Repeating it changes nothing, and is answered as it stands.

    It has its place in the log when this returns, and is settled as in `post`, with the message's newest state.

    Raises:
        NotFound: this connection has not joined the room. Whoever is not in it learns nothing of it.
        Forbidden: this person may not write here, or nobody may there now.
        TooFast: over the connection's rate.
        Unavailable: the log takes nothing more now. The place may come to it too, to `NotFound`, to `Forbidden` for
            somebody else's message, and to `Conflict` for the text of a deleted one.
    """
    author = session.account
    if author is None or wanted.target.room not in session.rooms:
        refusal = NotFound(NO_SUCH_MESSAGE)
        guessed = author is not None and not ports.directory.admits(author, wanted.target.room)
        raise ports.directory.vain.judged(session.address, refusal) if guessed else refusal
    return place_change(ports, author, wanted, spend=session.posting.spend, origin=session.connection)


def place_change(
    ports: Ports, author: Account, wanted: Change, *, spend: Callable[[], None], origin: ConnectionId | None
) -> Place:
    """Take a place in the log for a change by somebody who may read the message, whichever door they come by.

    Args:
        spend: counts it against a rate, once it may be done.

    Raises:
        Forbidden: this person may not write here, or nobody may there now.
        TooFast, Unavailable: see `change`.
    """
    room = wanted.target.room
    if wanted.content is None and ports.directory.may(author, Act.REMOVE, room):
        spend()
        entry = ports.directory.scribe.entry(author, Done.DELETE_MESSAGE)
        return ports.log.remove(wanted.target, deed=entry, noted=True, origin=origin)
    policy.check(author, Act.CHANGE, Thing.OWN)  # whether it is, the log finds out
    if wanted.content is not None:  # taking one's own words back is no speaking
        ports.directory.check_voice(author, room)
    spend()
    return ports.log.change(author, wanted, origin=origin)


async def notify(ports: Ports, account: Account, room: RoomId, words: str) -> None:
    """Let everybody see in the room what was done, now and later.

    It is done and stored by then, and is answered so: a notice that the log does not take is lost, and said in our log.
    """
    try:
        await ports.log.append(account, Draft(room, mint_client_id(), words, NOTICE), origin=None)
    except Unavailable as refusal:
        logger.warning("what was done in room %s is not told there: %s", room, refusal)


async def history(ports: Ports, session: Session, room: RoomId, span: Span) -> Page:
    """Read a part of a room's history, for scrolling.

    Raises:
        NotJoined: this connection has not joined the room.
        Unavailable: the store cannot be read now.
    """
    reader = speaker(session, room)
    ports.directory.check(reader, Act.READ, room)
    page = await ports.store.history(room, span)
    speaker(session, room)  # still: whoever was removed meanwhile is told nothing
    return page


def typing(ports: Ports, session: Session, room: RoomId) -> None:
    """Let the others know that somebody is writing. It may be lost; too much of it is dropped.

    Raises:
        NotJoined: this connection has not joined the room.
    """
    author = speaker(session, room)
    ports.directory.check(author, Act.TYPE, room)
    if session.typing.take():
        ports.audience.tell_typing(room, author)


def speaker(session: Session, room: RoomId) -> Account:
    """Who speaks on a connection in a room.

    Raises:
        NotJoined: nobody does, or not there.
    """
    if session.account is None or room not in session.rooms:
        raise NotJoined("Join the room first.")
    return session.account
