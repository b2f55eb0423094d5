"""What is done with power over others: roles, bans, kicks, purges, locks.

Every verb asks the policy, stores first, together with an entry in the audit list, and then lets it hold on every live
connection before it returns. Whoever is turned out hears nothing that comes later.

`actor` is who does it; None is the operator, who may do everything but leave the server without an owner. Whoever
cannot be reached, because there is nobody like that, because they stand too high, or because they are oneself, is
refused in the same words, so that nobody learns by trying who is here.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core import policy, rooms, succession
from chatzilla.core.audit import PAGE_DEEDS, Done
from chatzilla.core.bans import LONGEST_BAN_MS, Ban, BanId
from chatzilla.core.directory import Room
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.rooms import NO_SUCH_ROOM, RoomHead
from chatzilla.core.tries import network_of
from chatzilla.errors import BadRequest, Forbidden, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.presence import Presence
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.session import Session
    from chatzilla.core.signin import SignIns
    from chatzilla.ports import Ports, Records

logger = logging.getLogger(__name__)

NOBODY: Final = "There is nobody like that, or that is not yours to do."
"""All that somebody is told who reaches for a person in vain."""

NOBODY_AT_ALL: Final = "There is nobody like that there. `people` and `roles` show names, and ids in brackets."
"""What the operator is told, to whom everything is open."""

PURGED_AT_MOST: Final = 2_000
"""Messages that one purge deletes; asked again, it goes on."""

PURGED_AT_ONCE: Final = 100
"""Of these, how many stand in the log's line at once: others are not kept waiting."""

NETWORKS_AT_MOST: Final = 20
"""Addresses that one ban of somebody unverified can name."""


@dataclass(frozen=True, slots=True)
class Means:
    """What these verbs act with."""

    ports: Ports
    presence: Presence
    sign_ins: SignIns
    records: Records


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a ban is meant for: an account, or, for operators and heads, an address."""

    account: AccountId | None
    network: str | None
    room: RoomId | None
    lasts_ms: int | None
    """None: for good."""


@dataclass(frozen=True, slots=True)
class Purged:
    """How many messages are gone, and whether there are more."""

    count: int
    more: bool


def people(means: Means, actor: Account | None) -> Sequence[Account]:
    """Everybody whose name is their own, with their roles.

    Raises:
        Forbidden: it is not theirs to see.
    """
    _check(actor, Act.SEE_ROLES, Thing.SERVER)
    return sorted(
        means.sign_ins.everybody(), key=lambda account: (policy.rank(account.role) * -1, account.name.casefold())
    )


async def set_role(means: Means, actor: Account | None, ident: AccountId, role: Role) -> Account:
    """Give somebody another role; whoever was removed is here again with it, and a guest stays.

    Raises:
        NotFound: see `NOBODY`.
        Forbidden: the role is not theirs to give, or nobody can be given it.
        Conflict: nobody would be an owner any more.
    """
    person = means.sign_ins.person(ident)
    if person is None or not _reaches(actor, Act.SET_ROLE, person):
        raise NotFound(_nobody(actor))
    if role is Role.GUEST:
        raise Forbidden("A guest is invited into a room: make a link.")
    _check(actor, Act.SET_ROLE, policy.giving(role))
    if person.role is role:
        return person
    changed = replace(person, role=role, room=None, ends_at=None)
    entry = _deed(means, actor, Done.ROLE, person, before=person.role.value, role=role.value)
    keeps = [each for each in policy.GIVEN if policy.may(role, Act.INVITE, policy.giving(each))]
    await means.records.set_role(changed, entry, keeps=keeps)
    means.sign_ins.became(changed)
    for session in _of(means, ident):
        if session.right is not None:
            continue  # who came by a right to one room has that, and nothing of the person's
        session.account = changed
        session.voice = policy.may(role, Act.POST, Thing.ROOM)
    means.ports.audience.tell_you(changed)
    for room in {room for session in _of(means, ident) for room in session.rooms}:
        means.ports.audience.tell_standing(room, ident, may=means.ports.directory.rights(changed, room))
    return changed


async def end_membership(means: Means, actor: Account | None, ident: AccountId) -> None:
    """Remove a person from the server: their sign-ins end, every link that they made or that was made for them, and the
    tokens that they made for bots, since they know them.

    What they said stays, and so their name stays theirs; a role brings them back. A guest's name is free again.

    Raises:
        NotFound: see `NOBODY`.
        Conflict: nobody would be an owner any more.
    """
    person = means.sign_ins.person(ident)
    if person is None or person.role is Role.REMOVED or not _reaches(actor, Act.END_MEMBERSHIP, person):
        raise NotFound(_nobody(actor))
    now = means.ports.clock.wall_ms()
    gone = replace(person, role=Role.REMOVED, ends_at=None if person.ends_at is None else now)
    entry = _deed(means, actor, Done.REMOVE_PERSON, person, role=person.role.value)
    ended = await means.records.end_membership(gone, entry)
    for session in _of(means, ident):
        means.ports.audience.turn_out(session.connection, "You are not a member of this server any more.")
    means.ports.put_out_of_calls(ident, None)
    means.sign_ins.became(gone)
    means.sign_ins.ended(ended)
    await pass_on(means, gone, actor, gone=True)


async def pass_on(
    means: Means, person: Account, actor: Account | None, *, gone: bool, only: RoomId | None = None
) -> None:
    """Let others follow somebody in their private rooms; see `succession.pass_on`. What was done to them holds by now,
    and is answered so; where nothing more can be stored, the next start finds the heirs."""
    try:
        await succession.pass_on(means.ports, means.presence, person, by=actor, gone=gone, only=only)
    except Unavailable as refusal:
        logger.warning("the private rooms of %s are passed on with the next start: %s", person.id, refusal)


async def ban(means: Means, actor: Account | None, wanted: Wanted) -> Sequence[Ban]:
    """Keep somebody out, of one room or of everything, and turn them out now on all their connections.

    Somebody verified is banned by their account. Of somebody who only typed a name, the addresses are banned that
    they are here from, with everybody unverified behind them.

    Raises:
        NotFound: see `NOBODY`; or they are unverified and not here, so that there is no address.
        BadRequest: no ban lasts that long, or the address is none.
        Full: there are as many bans as a server keeps.
    """
    now = means.ports.clock.wall_ms()
    ends_at = None if wanted.lasts_ms is None else now + wanted.lasts_ms
    if wanted.lasts_ms is not None and not 0 < wanted.lasts_ms <= LONGEST_BAN_MS:
        raise BadRequest("A ban lasts five years at most, or is for good.")
    person = None
    if wanted.account is not None:
        person = await _reach(means, actor, Act.BAN, wanted.account, wanted.room)
        subjects = _subjects(means, person)
    elif wanted.network is not None:
        if not _keeps_order(means, actor, Act.BAN, None):
            raise NotFound(_nobody(actor))
        subjects = [(None, wanted.network)]
    else:
        raise BadRequest("Say who is banned: an account, or an address.")
    bans = []
    for account, network in subjects:
        means.sign_ins.bans.make_room()
        made = Ban(
            id=BanId(secrets.token_hex(9)),
            account=account,
            network=network,
            room=wanted.room,
            name=network or "" if person is None else person.name,
            maker=None if actor is None else actor.id,
            maker_name=None if actor is None else actor.name,
            made_at=now,
            ends_at=ends_at,
        )
        details = {"ban": made.id} | ({} if network is None else {"network": network}) | _until(ends_at)
        entry = _deed(means, actor, Done.BAN, person, room=wanted.room, **details)
        await means.records.ban(made, means.sign_ins.bans.replaced_by(made), entry)
        means.sign_ins.bans.began(made)
        _enforce(means, made)
        bans.append(made)
    if person is not None and person.verified:
        await pass_on(means, person, actor, gone=False, only=wanted.room)
    return bans


async def unban(means: Means, actor: Account | None, ident: str) -> Ban:
    """Let somebody in again.

    Raises:
        NotFound: there is no such ban, or it is not theirs to lift.
    """
    found = means.sign_ins.bans.get(ident)
    if found is None or not _keeps_order(means, actor, Act.UNBAN, found.room):
        raise NotFound("There is no such ban, or it is not yours to lift.")
    network = {} if found.network is None else {"network": found.network}
    entry = _deed(means, actor, Done.UNBAN, None, room=found.room, ban=found.id, **network)
    await means.records.unban(found, entry._replace(person=found.account, person_name=found.name))
    means.sign_ins.bans.ended(found)
    return found


def bans(means: Means, actor: Account | None, room: RoomId | None = None) -> Sequence[Ban]:
    """The bans that hold: all of them, or those of one room.

    Raises:
        Forbidden: they are not theirs to see.
    """
    if not _keeps_order(means, actor, Act.SEE_BANS, room):
        raise Forbidden("That is not yours to see.")
    return [each for each in means.sign_ins.bans.all() if room is None or each.room == room]


async def kick(means: Means, actor: Account | None, room: RoomId, ident: AccountId) -> int:
    """Turn somebody out of a room now, on all their connections; they may come back where the room admits them.

    Returns:
        How many connections were in it.

    Raises:
        NotFound: see `NOBODY`; or they are not in the room.
    """
    person = await _reach(means, actor, Act.KICK, ident, room)
    if not _in_room(means, ident, room):
        raise NotFound(_nobody(actor))
    await means.records.note(_deed(means, actor, Done.KICK, person, room=room))
    out = _in_room(means, ident, room)
    for session in _of(means, ident):
        _turn_out_of(means, session, room, "You were asked to leave this room.")
    means.ports.put_out_of_calls(ident, room)
    return len(out)


async def purge(means: Means, actor: Account | None, ident: AccountId, room: RoomId | None) -> Purged:
    """Delete what somebody said, in one room or everywhere, a bounded number of messages at a time.

    They go through the log, a few at once, so that everybody hears of it, and whoever was away is told later.

    Raises:
        NotFound: see `NOBODY`.
        Unavailable: the log takes nothing more now; what is gone is gone, and asking again goes on.
    """
    person = await _reach(means, actor, Act.PURGE, ident, room)
    targets = await means.ports.store.said_by(ident, room, PURGED_AT_MOST + 1)
    if not targets:
        return Purged(0, more=False)
    more = len(targets) > PURGED_AT_MOST
    targets = targets[:PURGED_AT_MOST]
    entry = _deed(means, actor, Done.PURGE, person, room=room, messages=len(targets))
    await means.records.note(entry)
    count = 0
    for at in range(0, len(targets), PURGED_AT_ONCE):
        some = targets[at : at + PURGED_AT_ONCE]
        places = [means.ports.log.remove(target, deed=entry, noted=False, origin=None) for target in some]
        for place in places:
            await place
            count += 1
    return Purged(count, more)


async def lock(means: Means, actor: Account | None, room: RoomId, *, on: bool) -> None:
    """Let nobody but its moderators speak in a room, or everybody again. Everybody goes on reading.

    Raises:
        NotFound: there is no such room for them, or it is not theirs to do.
    """
    directory = means.ports.directory
    if not _keeps_order(means, actor, Act.LOCK, room):
        raise NotFound(NO_SUCH_ROOM)
    async with directory.changing:
        known = directory.get(room) or Room(room, room)
        if (known.locked_at is not None) is on:
            return
        now = means.ports.clock.wall_ms()
        locked = replace(known, locked_at=now if on else None)
        entry = _deed(means, actor, Done.LOCK if on else Done.UNLOCK, None, room=room)
        await means.records.lock(room, locked.locked_at, entry)
        directory.keep(locked)
    means.ports.audience.tell_room(directory.dress(RoomHead(room, known.name, 0, 0)))


async def deeds(means: Means, actor: Account | None, before: int | None = None) -> Sequence[Deed]:
    """A page of the audit list, the newest first.

    Raises:
        Forbidden: it is not theirs to see.
    """
    _check(actor, Act.SEE_AUDIT, Thing.SERVER)
    return await means.records.deeds(before, PAGE_DEEDS)


def _nobody(actor: Account | None) -> str:
    return NOBODY_AT_ALL if actor is None else NOBODY


def _check(actor: Account | None, act: Act, thing: Thing) -> None:
    if actor is not None:
        policy.check(actor, act, thing)


def _keeps_order(means: Means, actor: Account | None, act: Act, room: RoomId | None) -> bool:
    """Whether somebody does such things at all: everywhere, or in this room."""
    if actor is None:
        return True
    return policy.may(actor.role, act, Thing.SERVER) if room is None else means.ports.directory.may(actor, act, room)


def _reaches(actor: Account | None, act: Act, person: Account) -> bool:
    return actor is None or policy.may(actor.role, act, policy.stands(actor, person))


async def _reach(means: Means, actor: Account | None, act: Act, ident: AccountId, room: RoomId | None) -> Account:
    """Somebody to whom this may be done, there or everywhere.

    Raises:
        NotFound: see `NOBODY`.
    """
    if not _keeps_order(means, actor, act, room):
        raise NotFound(_nobody(actor))  # without a look at who it is
    person = await _find(means, ident)
    if person is None:
        raise NotFound(_nobody(actor))
    if actor is not None:
        directory = means.ports.directory
        stands = policy.stands(actor, person) if room is None else directory.stands_there(actor, person, room)
        if not policy.may(actor.role, act, stands):
            raise NotFound(_nobody(actor))
    return person


async def _find(means: Means, ident: AccountId) -> Account | None:
    """Anybody: known by their sign-ins, here under a typed name, or the author of something."""
    known = means.sign_ins.person(ident)
    here = (session.account for session in _of(means, ident) if session.account is not None)
    return known or next(here, None) or await means.records.account(ident)


def _of(means: Means, ident: AccountId) -> Sequence[Session]:
    """The sessions of somebody, also those that have not joined anything yet and bring their account along."""
    return [each for each in means.ports.audience.sessions() if each.account is not None and each.account.id == ident]


def _in_room(means: Means, ident: AccountId, room: RoomId) -> Sequence[Session]:
    return [session for session in _of(means, ident) if room in session.rooms]


def _turn_out_of(means: Means, session: Session, room: RoomId, sentence: str) -> None:
    """Take a connection out of a room: it hears nothing more of it, not even that it moves, and is told why."""
    if session.member_of is not None:
        session.member_of.discard(room)
    heard = room in session.rooms
    rooms.leave(means.ports, means.presence, session, room, watching=False)
    means.ports.audience.unsubscribe(session.connection, room, watching=False)
    if heard:
        means.ports.audience.tell_out(session.connection, room, sentence)


def _enforce(means: Means, ban: Ban) -> None:
    """Turn out whoever a ban keeps out, on every connection."""
    means.ports.enforce_in_calls(ban)
    for session in means.ports.audience.sessions():
        if means.sign_ins.bans.against(session.account, session.address, ban.room) is not ban:
            continue
        if session.account is not None:
            means.ports.put_out_of_calls(session.account.id, ban.room)
        if ban.room is None:
            means.ports.audience.turn_out(session.connection, ban.sentence)
        else:
            _turn_out_of(means, session, ban.room, ban.told(means.ports.directory.find(ban.room).name))


def _subjects(means: Means, person: Account) -> list[tuple[AccountId | None, str | None]]:
    """Whom a ban of somebody names."""
    if person.verified:
        return [(person.id, None)]
    networks = {network_of(session.address) for session in _of(means, person.id)}
    if not networks:
        raise NotFound("Nobody by this name is here now, so there is no address to ban.")
    return [(None, network) for network in sorted(networks)[:NETWORKS_AT_MOST]]


def _deed(
    means: Means,
    actor: Account | None,
    act: Done,
    person: Account | None,
    *,
    room: RoomId | None = None,
    **details: Any,
) -> Deed:
    return means.ports.directory.scribe.entry(actor, act, person, room=room, **details)


def _until(ends_at: int | None) -> dict[str, int]:
    return {} if ends_at is None else {"ends_at": ends_at}
