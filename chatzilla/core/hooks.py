"""Hooks: an address that says in one room whatever is sent to it, so that `curl -d hello` is an integration.

Whoever holds the address may speak there, under the hook's name, and can do nothing else; for as long as whoever made
it might make it. It has 128 random bits, is told once, to whoever made the hook, and the store knows a hash of it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NewType

from chatzilla.core import policy
from chatzilla.core.audit import Done
from chatzilla.core.directory import is_hidden
from chatzilla.core.messages import Draft, mint_client_id, parse_client_id
from chatzilla.core.people import hook_named
from chatzilla.core.policy import Act, Thing
from chatzilla.errors import BadRequest, Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.core.directory import Directory
    from chatzilla.core.limits import Paces
    from chatzilla.core.messages import Message
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.signin import Bearer, SignIns
    from chatzilla.core.tokens import SignInId
    from chatzilla.core.tries import Tries
    from chatzilla.ports import HookRegister, Ports

HookId = NewType("HookId", str)

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
"""What every secret looks like."""

HOOKS_PER_PERSON: Final = 50
NO_SUCH_HOOK: Final = "There is no such hook."
"""All that a stranger is told, whatever is wrong with an address."""

NAME_TAKEN: Final = "Somebody here has this name, or one that looks like it. Choose another one for the hook."


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook as it is stored. Times are milliseconds since 1970."""

    id: HookId
    name: str
    room: RoomId
    maker: AccountId | None
    """None: the operator."""
    made_in: SignInId | None
    made_at: int

    @property
    def account(self) -> Account:
        """Under whom it speaks."""
        return hook_named(self.name, self.id, self.room)


async def make(
    register: HookRegister,
    directory: Directory,
    sign_ins: SignIns,
    maker: Bearer,
    name: object,
    room: RoomId,
    *,
    address: str,
) -> tuple[Hook, str]:
    """Make a hook; returns it with its secret, which nobody is told again.

    Raises:
        NotFound, TooFast, Forbidden: it is not theirs to make there; see `Directory.check`.
        BadRequest, TooLong: the name is none.
        Conflict: the name is somebody's, or looks like it.
        Full: they have as many hooks as one may.
    """
    directory.check(maker.account, Act.MAKE_HOOK, room, address=address)
    return await _make(register, sign_ins, maker, name, room)


async def make_as_operator(register: HookRegister, sign_ins: SignIns, name: object, room: RoomId) -> tuple[Hook, str]:
    """Make a hook that lasts until somebody ends it; returns it with its secret.

    Raises:
        BadRequest: as `make`, and for a private room: its hooks are made by who is in it.
        TooLong, Conflict, Full: as `make`.
    """
    if is_hidden(room):
        raise BadRequest("Whoever is in a private room makes its hooks.")
    return await _make(register, sign_ins, None, name, room)


async def _make(
    register: HookRegister, sign_ins: SignIns, maker: Bearer | None, name: object, room: RoomId
) -> tuple[Hook, str]:
    ident = HookId(secrets.token_hex(9))
    account = hook_named(name, ident, room)
    if sign_ins.holder(account.name) is not None:
        raise Conflict(NAME_TAKEN)
    hook = Hook(
        id=ident,
        name=account.name,
        room=room,
        maker=None if maker is None else maker.account.id,
        made_in=None if maker is None else maker.standing,
        made_at=sign_ins.clock.wall_ms(),
    )
    secret = secrets.token_urlsafe(16)
    by = None if maker is None else maker.account
    entry = sign_ins.rooms.scribe.entry(by, Done.MAKE_HOOK, room=room, hook=ident)
    await register.make(hook, digest(secret), at_most=HOOKS_PER_PERSON, deeds=[entry])
    return hook, secret


async def seen_by(register: HookRegister, sign_ins: SignIns, account: Account | None) -> Sequence[Hook]:
    """The hooks that somebody may see, the newest first; the operator sees all."""
    found = await register.hooks()
    return [
        hook
        for hook in found
        if account is None or policy.may(account.role, Act.SEE_HOOK, _stands(sign_ins, account, hook))
    ]


async def end(register: HookRegister, sign_ins: SignIns, account: Account | None, ident: str) -> None:
    """End a hook.

    Raises:
        NotFound: there is none, or it is not theirs to end.
    """
    for hook in await seen_by(register, sign_ins, account):
        if hook.id == ident:
            if account is not None:
                policy.check(account, Act.END_HOOK, _stands(sign_ins, account, hook))
            maker = sign_ins.person(hook.maker)
            entry = sign_ins.rooms.scribe.entry(account, Done.END_HOOK, maker, room=hook.room, hook=hook.id)
            await register.end(hook.id, sign_ins.clock.wall_ms(), deeds=[entry])
            return
    raise NotFound(NO_SUCH_HOOK)


async def find(register: HookRegister, tries: Tries, secret: str, *, address: str) -> Hook:
    """Whose address this is. One that is right is never refused, whatever else came from there.

    Raises:
        NotFound: nobody's. It counts against the address.
        TooFast: the same, and too many came from this address.
    """
    hook = await register.hook(digest(secret)) if _FORM.fullmatch(secret) else None
    if hook is not None:
        return hook
    if tries.exhausted(address):
        raise tries.refusal(address)
    tries.count(address)
    raise NotFound(NO_SUCH_HOOK)


async def speak(
    ports: Ports, paces: Paces, sign_ins: SignIns, hook: Hook, content: str, *, key: str | None, address: str
) -> Message:
    """Let a hook say something in its room; returns the message once it is on disk.

    Args:
        ports, paces, sign_ins: what it takes.
        hook: who speaks.
        content: what it says.
        key: what it calls it: the same once more, under the same key, is the message that was said before.
        address: where it came from.

    Raises:
        BadRequest: the key is none.
        Conflict: under this key something else was said.
        NotFound: whoever made it might not make it any more.
        Forbidden: nobody like it speaks there now.
        TooFast: over a rate.
        Unavailable: the log cannot store now.
    """
    account = hook.account
    if hook.maker is not None:
        maker = sign_ins.person(hook.maker)
        if maker is None or not ports.directory.may(maker, Act.MAKE_HOOK, hook.room):
            raise NotFound(NO_SUCH_HOOK)
    policy.check(account, Act.POST, _room_of(ports.directory, hook))
    client_id = mint_client_id() if key is None else parse_client_id(key)
    paces.spend_posting(account, address)
    return await ports.log.append(account, Draft(hook.room, client_id, content), origin=None)


def digest(secret: str) -> str:
    """What the store knows of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _room_of(directory: Directory, hook: Hook) -> Thing:
    """What its room is to a hook, which was let in by whoever made it."""
    room = directory.get(hook.room)
    if room is None:
        return Thing.ROOM
    if room.archived_at is not None:
        return Thing.ARCHIVED_ROOM
    if room.locked_at is not None:
        return Thing.LOCKED_ROOM
    return Thing.PRIVATE_ROOM if room.hidden else Thing.ROOM


def _stands(sign_ins: SignIns, account: Account, hook: Hook) -> Thing:
    return policy.stands(account, sign_ins.person(hook.maker))
