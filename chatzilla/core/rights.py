"""The signed right of one person to enter one room, in one role, until a stated time.

It is what the seed systems call a token or a connection, and what they call a session is a room here. A right counts
where a room is entered, on `/calls` and on `/chat`, and nowhere else: it signs nobody in, and opens nothing over HTTP.
It says until when one may enter; whoever is in by then may stay. One that was made by somebody who is signed in ends
with that sign-in. An application that made one can end it before its time; that is kept until then (`Ending`).

We sign rights with the key of all our tokens (`aud` is "call"). Those that an application signs by itself, with the
pair that it shares with this server, are read by `foreign`. Such a person is whom the application says, in that room
alone, and counts as unverified: most applications ask for a name and for nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from chatzilla.core import foreign
from chatzilla.core.people import APP, OPEN, Account, AccountId, account_named, app_named, key_of
from chatzilla.core.policy import Role
from chatzilla.core.rooms import RoomId, parse_room
from chatzilla.core.text import parse_line, parse_text
from chatzilla.core.tokens import NOT_VALID, SignInId
from chatzilla.errors import BadRequest, Full, SignInNeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chatzilla.core.foreign import Pair
    from chatzilla.core.tokens import Tokens
    from chatzilla.ports import Clock

CALL: Final = "call"
"""The audience of a right."""

LASTS_SECONDS: Final = 24 * 3600
"""How long one may enter, unless it is said otherwise."""

DATA_LIMIT: Final = 1_000
"""Characters that an application may say of a connection."""

NAME_LIMIT: Final = 255
"""Characters in what another system calls a room or a session."""

LONGEST: Final = 8_192
"""Characters of a token."""

_NAMES: Final = ("clientData", "name", "username", "userName", "nickname")
"""Under what applications say how somebody is called."""

_OPENTOK_SESSION: Final = re.compile(r"[12]_[A-Za-z0-9_-]{30,}={0,2}")


ENDINGS_AT_MOST: Final = 100_000
"""Rights that are remembered as ended before their time."""


class CallRole(StrEnum):
    """What a right lets somebody do in a call."""

    SUBSCRIBER = "subscriber"
    """Hear and see, and read what is said."""
    PUBLISHER = "publisher"
    """Be heard and seen as well, and write."""
    MODERATOR = "moderator"
    """Mute and remove others as well, and end the call."""


@dataclass(frozen=True, slots=True)
class Right:
    """What a token lets its bearer do."""

    id: str
    """One right is one participant: who enters with it again takes their own place."""
    account: Account
    """Who that is, as far as this right goes: let into one room."""
    room: RoomId
    role: CallRole
    ends_at: int
    """Until when one may enter, in milliseconds since 1970."""
    data: str = ""
    """What the application says of this connection."""
    sign_in: SignInId | None = None
    """The sign-in that it ends with."""
    token: str = field(default="", repr=False)
    made_at: int | None = None
    """In milliseconds since 1970; None of what an application has signed by itself."""


@dataclass(frozen=True, slots=True)
class Ending:
    """That a right opens nothing any more, or no right that was made for a room until then. Milliseconds since 1970."""

    what: str
    """A right's id, or what `all_of` says."""
    at: int
    until: int
    """When it would have been over by itself."""


def all_of(room: RoomId) -> str:
    """Every right to a room that was made here."""
    return f"room {room}"


def room_of(session: str) -> RoomId:
    """The room that another system's room or session is: of that id, or else of an id that is made of the name.

    `My Room` is `my-room`, as a room is that somebody makes under this name here; what no id can hold stands behind
    such words as a fingerprint. Names are compared as people's are, ignoring case; OpenTok's ids letter by letter.

    Raises:
        BadRequest, TooLong: it is blank, too long, or not a single line.
    """
    name = parse_line(session, "a session", NAME_LIMIT)
    if _OPENTOK_SESSION.fullmatch(name):
        return RoomId(f"session-{_digest(name)}")
    try:
        return parse_room("-".join(name.split()))
    except BadRequest:
        words = "-".join(re.findall(r"[a-z0-9]+", key_of(name)))[:40].strip("-")
        return RoomId(f"{words or 'room'}-{_digest(key_of(name))}")


def name_in(data: str) -> str | None:
    """The name of a person in what an application says of a connection, if there seems to be one.

    The usual forms: `{"clientData": "Ann"}` or another key that means a name, `name=Ann&…`, or the name alone.
    """
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = dict(parse_qsl(data.replace(",", "&").replace(";", "&"))) if "=" in data else data
    candidates = [said.get(key) for key in _NAMES] if isinstance(said, dict) else [said]
    for candidate in candidates:
        try:
            return account_named(candidate).name
        except BadRequest:
            continue
    return None


class Rights:
    """Makes rights and judges them."""

    def __init__(self, tokens: Tokens, clock: Clock, pair: Pair | None) -> None:
        self.pair = pair
        """What an application and this server share, if there is an application."""
        self._tokens = tokens
        self._clock = clock
        self._endings: dict[str, Ending] = {}

    def recall(self, endings: Iterable[Ending]) -> None:
        """From now on, these are ended."""
        self._endings |= {each.what: each for each in endings}

    def check_ending(self, count: int) -> None:
        """See that so many more can be remembered as ended.

        Raises:
            Full: there are too many already.
        """
        now = self._clock.wall_ms()
        self._endings = {what: each for what, each in self._endings.items() if each.until > now}
        if len(self._endings) + count > ENDINGS_AT_MOST:
            raise Full("This server remembers as many ended connections as it can. Their ends pass within a day.")

    def make(
        self,
        account: Account,
        room: RoomId,
        role: CallRole,
        *,
        data: str = "",
        sign_in: SignInId | None = None,
    ) -> Right:
        """Make a right for somebody, which ends with their sign-in where there is one.

        Raises:
            BadRequest, TooLong: more is said of the connection than a token carries.
        """
        _check_data(data)
        ident = f"con_{secrets.token_urlsafe(12)}"
        ended = self._endings.get(all_of(room))
        made_at = max(self._clock.wall_ms(), 0 if ended is None else ended.at + 1)
        claims = {"sub": account.id, "room": room, "role": role.value, "jti": ident, "data": data, "made": made_at}
        claims |= {"kind": account.kind, "name": account.name} if sign_in is None else {"sid": sign_in}
        token = self._tokens.seal(CALL, claims, LASTS_SECONDS)
        if len(token) > LONGEST:
            raise BadRequest("This is more than a token can carry.")
        ends_at = (self._clock.wall_ms() // 1000 + LASTS_SECONDS) * 1000
        return Right(ident, _let_in(account, room, role, ends_at), room, role, ends_at, data, sign_in, token, made_at)

    def read(self, token: object, holder: Callable[[SignInId, AccountId], Account]) -> Right:
        """What a token lets its bearer do.

        Args:
            token: anything that a client brings.
            holder: tells who is signed in by a sign-in, or raises `SignInNeeded`.

        Raises:
            SignInNeeded: it is no right, or its time is over, or it was ended. A stranger is not told which.
        """
        right = self._read(token, holder)
        whole_room = self._endings.get(all_of(right.room))
        closed = whole_room is not None and right.made_at is not None and right.made_at <= whole_room.at
        if closed or right.id in self._endings:
            raise SignInNeeded(NOT_VALID)
        return right

    def _read(self, token: object, holder: Callable[[SignInId, AccountId], Account]) -> Right:
        if not isinstance(token, str) or len(token) > LONGEST:
            raise SignInNeeded(NOT_VALID)
        try:
            if self.pair is not None and _is_signed_by(token, self.pair):
                return self._read_foreign(token, self.pair)
            return self._read_own(token, holder)
        except (BadRequest, ValueError, KeyError, TypeError, RecursionError) as error:
            raise SignInNeeded(NOT_VALID) from error

    def _read_own(self, token: str, holder: Callable[[SignInId, AccountId], Account]) -> Right:
        claims = self._tokens.unseal(CALL, token, longest=LONGEST)
        room, role, sign_in = parse_room(claims["room"]), CallRole(claims["role"]), claims.get("sid")
        ident, data = claims["jti"], claims["data"]
        if not isinstance(ident, str) or not isinstance(data, str):
            raise SignInNeeded(NOT_VALID)
        if sign_in is not None:
            account = holder(SignInId(sign_in), AccountId(claims["sub"]))
            if account.room not in (None, room):
                raise SignInNeeded(NOT_VALID)
        elif claims["kind"] == APP:
            account = app_named(claims["name"], room)
        else:
            account = account_named(claims["name"], claims["kind"])
        if account.id != claims["sub"] or (sign_in is None and account.kind not in (OPEN, APP)):
            raise SignInNeeded(NOT_VALID)
        ends_at, made_at = claims["exp"] * 1000, claims.get("made", claims["iat"] * 1000)
        if type(made_at) is not int:
            raise SignInNeeded(NOT_VALID)
        return Right(ident, _let_in(account, room, role, ends_at), room, role, ends_at, data, sign_in, token, made_at)

    def _read_foreign(self, token: str, pair: Pair) -> Right:
        claims = foreign.read(token, pair, self._clock.wall_ms() // 1000)
        room, role, ends_at = room_of(claims.session), CallRole(claims.role), claims.ends_at * 1000
        _check_data(claims.data)
        # Twilio's `jti` is the second in which a token was made, and OpenTok has none: what is signed names it.
        ident = f"con_{_digest(claims.signed)}"
        name = name_in(claims.data) if claims.identity is None else claims.identity
        account = app_named(unnamed(ident) if name is None else name, room)
        return Right(ident, _let_in(account, room, role, ends_at), room, role, ends_at, claims.data, None, token)


def unnamed(ident: str) -> str:
    """What somebody is called of whom no name is known."""
    return f"Guest {_digest(ident)[:6]}"


def _check_data(data: str) -> None:
    if data:
        parse_text(data, "what is said of a connection", DATA_LIMIT)


def _let_in(account: Account, room: RoomId, role: CallRole, ends_at: int) -> Account:
    """A person as a right lets them in: into one room, whatever else they may do elsewhere."""
    here = Role.LISTENER if role is CallRole.SUBSCRIBER else Role.SPEAKER
    return replace(account, role=here, room=room, ends_at=ends_at)


def _is_signed_by(token: str, pair: Pair) -> bool:
    """Whether a token claims to be signed with the pair; nothing is believed yet."""
    if token.startswith(foreign.SENTINEL):
        return True
    _, _, rest = token.partition(".")
    body, _, _ = rest.partition(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return isinstance(claims, dict) and claims.get("iss") == pair.key


def _digest(text: str) -> str:
    """A name's fingerprint, in the letters of a room's id."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest())[:16].decode().lower()
