"""Who is talking.

A person is an account, keyed by (kind, normalised name). The id is derived from that key, so that an account
needs no row before its first message, and so that a name that was merely typed ("open") and the same name
verified by mail ("email") are two people for ever. Whoever came by a link is of the kind "link", and a guest
is somebody new each time. Whom an application sends ("app") is called as it says, in the one room that it names.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NewType

from chatzilla.core import policy
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.text import is_visible, parse_line
from chatzilla.errors import BadRequest, Conflict, Forbidden, NotJoined

if TYPE_CHECKING:
    from chatzilla.core.addresses import Address
    from chatzilla.core.presence import Presence
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.session import Session
    from chatzilla.ports import Ports

AccountId = NewType("AccountId", str)

NAME_LIMIT: Final = 254
"""Characters in a name: the longest email address."""

OPEN: Final = "open"
"""The kind of an account whose name was typed and never verified."""

LINK: Final = "link"
"""The kind of an account that came by an invitation."""

BOT: Final = "bot"
"""The kind of an account that was made for a program."""

HOOK: Final = "hook"
"""The kind of an account under which a hook speaks."""

GUEST: Final = "guest"
"""The kind of an account that was let into one room for a while."""

EMAIL: Final = "email"
"""The kind of an account whose key is an email address, and whose person reads what is sent there."""

APP: Final = "app"
"""The kind of an account that an application vouches for, in one room. Whether it asked who they are, nobody knows."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person: `name` as they wrote it, `key` as it is compared."""

    id: AccountId
    kind: str
    key: str
    name: str
    role: Role = Role.VISITOR
    room: RoomId | None = None
    """The one room that a guest was let into; None is every room."""
    ends_at: int | None = None
    """When a guest's time is over, in milliseconds since 1970."""

    @property
    def verified(self) -> bool:
        return self.kind not in (OPEN, APP)


def account_named(raw: object, kind: str = OPEN) -> Account:
    """The account of whoever goes by a name.

    Raises:
        BadRequest, TooLong: the name is missing, blank, too long, not a string, or not a single line.
    """
    name = parse_line(raw, "a name", NAME_LIMIT)
    if not any(is_visible(character) for character in name):
        raise BadRequest("A name needs something that can be seen.")
    key = key_of(name)
    if not key:
        raise BadRequest("A name cannot be empty.")
    return Account(_id_of(kind, key), kind, key, name)


def guest_named(raw: object, room: RoomId, ends_at: int) -> Account:
    """A new account for somebody who is let into one room until a moment; the next guest of this name is another.

    Raises:
        BadRequest, TooLong: see `account_named`.
    """
    named = account_named(raw, GUEST)
    key = f"{named.key}\n{secrets.token_urlsafe(9)}"
    return Account(_id_of(GUEST, key), GUEST, key, named.name, Role.GUEST, room, ends_at)


def app_named(raw: object, room: RoomId) -> Account:
    """The account of whom an application calls so in a room; the same name in another room is somebody else.

    Raises:
        BadRequest, TooLong: see `account_named`.
    """
    named = account_named(raw, APP)
    key = f"{named.key}\n{room}"
    return Account(_id_of(APP, key), APP, key, named.name)


def hook_named(raw: object, hook: str, room: RoomId) -> Account:
    """The account under which a hook speaks; each hook is somebody else, whatever it is called.

    Raises:
        BadRequest, TooLong: see `account_named`.
    """
    named = account_named(raw, HOOK)
    return Account(_id_of(HOOK, hook), HOOK, hook, named.name, Role.BOT, room)


def account_by_mail(address: Address, raw: object, role: Role) -> Account:
    """The account of whoever has a mailbox, under the name that they choose.

    Raises:
        BadRequest, TooLong: see `account_named`.
    """
    return Account(id_by_mail(address), EMAIL, address, account_named(raw, EMAIL).name, role)


def id_by_mail(address: Address) -> AccountId:
    """The id of the account that has this address, if there is one."""
    return _id_of(EMAIL, address)


def key_of(name: str) -> str:
    """A name as it is compared."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _id_of(kind: str, key: str) -> AccountId:
    digest = hashlib.sha256(f"{kind}\0{key}".encode()).digest()
    return AccountId(base64.urlsafe_b64encode(digest[:15]).decode())


def who_speaks(session: Session, named: Account | None) -> Account:
    """Tell whom a join is for: the person of the token, or whom it names.

    A connection in the full dialect is one person for as long as it lasts.

    Raises:
        NotJoined: neither a name nor an earlier join.
        Forbidden: a name beside a token that belongs to somebody else.
        Conflict: a name other than the one this connection joined with.
    """
    present = session.account
    if present is None:
        if named is None:
            raise NotJoined("Say who you are: a join needs a name.")
        return named
    if named is None or named.key == key_of(present.name):
        return present if named is None or session.by_token else named
    if session.by_token:
        raise Forbidden("You are signed in under another name.")
    raise Conflict("This connection already speaks under another name; open another one to be somebody else.")


def introduce(ports: Ports, presence: Presence, session: Session, account: Account) -> None:
    """Let a connection speak as `account` from now on, in every room that it has joined.

    Raises:
        Forbidden: the name looks like another one that is in use.
    """
    if account != session.account or session.unnamed:
        # A right shows what it was asked for, which is a name that anybody may have typed, unless they are signed in.
        proven = session.by_token and (session.right is None or session.right.sign_in is not None)
        presence.names.take(session.connection, account, proven=proven, vouched=account.kind == APP)
        session.unnamed = False
    before, session.account = session.account, account
    session.voice = policy.may(account.role, Act.POST, Thing.ROOM)
    ports.audience.identify(session.connection, account)
    if before is None or before == account:
        return
    for room in session.rooms:
        presence.depart(room, before, session.connection)
        presence.arrive(room, account, session.connection)
