"""What is said and read without a connection: over HTTP, by programs and people with a token.

The rules are those of `core.messages`, but for the joining: who asks over HTTP is in every room that they may enter.
What is said here has no origin, so everybody hears it, the speaker's own connections too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatzilla.core.catchup import Span
from chatzilla.core.messages import NO_SUCH_MESSAGE, place_change
from chatzilla.core.policy import Act
from chatzilla.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from chatzilla.core.limits import Paces
    from chatzilla.core.messages import Change, Draft, Message, Page, Target
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import RoomId
    from chatzilla.ports import Ports


async def post(ports: Ports, paces: Paces, author: Account, draft: Draft, *, address: str) -> tuple[Message, bool]:
    """Append one message to its room; the same `client_id` twice is stored once.

    Returns:
        The message, once it is on disk, and whether it is new.

    Raises:
        NotFound: there is no such room for them.
        Forbidden: they may not write there, or nobody may now.
        Conflict: the `client_id` was used for something else.
        TooFast: over a rate.
        Unavailable: the log cannot store now.
    """
    ports.directory.check(author, Act.POST, draft.room, address=address)
    paces.spend_posting(author, address)
    spot = ports.log.append(author, draft, origin=None)
    message = await spot
    return message, not spot.repeated


async def change(ports: Ports, paces: Paces, author: Account, wanted: Change, *, address: str) -> Message:
    """Edit or delete a message of one's own, or delete anybody's in a room that one moderates.

    Returns:
        Its newest state, once that is on disk.

    Raises:
        NotFound: it is not there, or in a room that is not for this person: they cannot tell which.
        Forbidden: it is somebody else's, or nobody speaks there now.
        Conflict: it was deleted, and is given a text.
        TooFast, Unavailable: see `post`.
    """
    _check_readable(ports, author, wanted.target.room, address)
    place = place_change(ports, author, wanted, spend=lambda: paces.spend_posting(author, address), origin=None)
    with ports.directory.vain.judging(address, NotFound, Forbidden):
        return await place


async def history(ports: Ports, paces: Paces, reader: Account, room: RoomId, span: Span, *, address: str) -> Page:
    """Read a part of a room's history.

    Raises:
        NotFound, Forbidden: the room is not for this person.
        TooFast: over a rate.
        Unavailable: the store cannot be read now.
    """
    ports.directory.check(reader, Act.READ, room, address=address)
    paces.spend_asking(reader, address)
    return await ports.store.history(room, span)


async def message(ports: Ports, paces: Paces, reader: Account, target: Target, *, address: str) -> Message:
    """Read one message.

    Raises:
        NotFound: it is not there, or in a room that is not for this person: they cannot tell which.
        TooFast, Unavailable: see `history`.
    """
    _check_readable(ports, reader, target.room, address)
    paces.spend_asking(reader, address)
    page = await ports.store.history(target.room, Span(limit=1, after=target.seq - 1))
    found = next((each for each in page.messages if each.seq == target.seq), None)
    if found is None:
        raise NotFound(NO_SUCH_MESSAGE)
    return found


def _check_readable(ports: Ports, account: Account, room: RoomId, address: str) -> None:
    try:
        ports.directory.check(account, Act.READ, room, address=address)
    except (Forbidden, NotFound) as error:
        raise NotFound(NO_SUCH_MESSAGE) from error
