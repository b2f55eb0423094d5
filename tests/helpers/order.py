"""The walk through the policy where it is about keeping order: what is tried, and whether it has happened."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from chatzilla.core import moderation, policy
from chatzilla.core.messages import ClientId, Draft
from chatzilla.core.moderation import Wanted
from chatzilla.core.people import AccountId
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.rooms import Grade, RoomId
from tests.helpers.clients import Client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.helpers.people import Person
    from tests.integration.test_policy import Walk

ROOMS: Final = (
    Thing.ROOM,
    Thing.COMMON_ROOM,
    Thing.OWN_ROOM,
    Thing.PRIVATE_ROOM,
    Thing.DIRECT_ROOM,
    Thing.QUIET_ROOM,
    Thing.OTHER_ROOM,
)

EQUAL: Final = {Role.OWNER: Role.OWNER, Role.ADMIN: Role.ADMIN}
"""Somebody who is not below, where there is one; whoever else moderates a room meets another one who does."""

_numbers: Final = itertools.count()


async def somebody(walk: Walk, role: Role) -> Person:
    """Somebody new: what is done to them is done to nobody else."""
    return await walk.town.enters(f"Somebody {next(_numbers)} {role.value}", role, "garden")


async def settle(walk: Walk, room: str, person: Person, grade: Grade | None = None) -> Client:
    """Let somebody be in a room, whatever kind it has been made, and have said something there."""
    directory = walk.town.server.house.directory
    known = directory.find(RoomId(room))
    if grade is not None or known.hidden:
        directory.keep(known.graded(person.id, grade or Grade.POST))
    client = await Client(person.url).connect(auth={"dialect": "full", "token": person.token})
    await client.joins(room)
    return client


async def said(walk: Walk, room: str, person: Person) -> str:
    """Something that somebody has said, whatever room that is now."""
    house = walk.town.server.house
    account = house.sign_ins.person(person.id)
    assert account is not None
    draft = Draft(RoomId(room), ClientId(f"words-{next(_numbers)}"), "words")
    return (await house.log.append(account, draft, origin=None)).id


async def there(walk: Walk, act: Act, thing: Thing) -> bool:
    """Do something for the peace of a room that stands to the actor as `thing`; to somebody of no power."""
    room = walk.arrange(thing)
    return await done_there(walk, act, room, await somebody(walk, Role.MEMBER))


async def to_whom(walk: Walk, act: Act, thing: Thing) -> bool:
    """Do something in a room that the actor moderates, to somebody below there, or not below."""
    room = walk.arrange(Thing.OWN_ROOM)
    below = thing is Thing.BELOW_THERE
    person = await somebody(walk, Role.MEMBER if below else EQUAL.get(walk.role, Role.MEMBER))
    return await done_there(walk, act, room, person, None if below else Grade.MODERATE)


async def done_there(walk: Walk, act: Act, room: str, person: Person, grade: Grade | None = None) -> bool:
    house = walk.town.server.house
    client = await settle(walk, room, person, grade)
    words = await said(walk, room, person)
    try:
        allowed, happened = await attempt(walk, act, room, person, client, words)
        assert allowed == happened, "what was allowed has happened, and nothing else"
    finally:
        for ban in house.sign_ins.bans.all():
            await moderation.unban(house.means, None, ban.id)
        await client.close()
    return allowed


async def attempt(walk: Walk, act: Act, room: str, person: Person, client: Client, words: str) -> tuple[bool, bool]:
    """Try it; returns whether it was answered with a yes, and whether it has happened."""
    house, at = walk.town.server.house, RoomId(room)
    match act:
        case Act.REMOVE:
            return await walk.socket(room, ("delete", {"id": words})), await is_deleted(client, words)
        case Act.LOCK:
            allowed, _ = await walk.asks("POST", "locks", {"room": room, "on": True})
            return allowed, house.directory.find(at).locked_at is not None
        case Act.KICK:
            allowed, _ = await walk.asks("POST", "kicks", {"room": room, "account": person.id})
            return allowed, not any(at in session.rooms for session in house.delivery.sessions_of(person.id))
        case Act.BAN:
            allowed, _ = await walk.asks("POST", "bans", {"room": room, "account": person.id})
            return allowed, not (await client.call("join", {"room": room}))[0]
        case Act.UNBAN:
            (ban,) = await moderation.ban(house.means, None, Wanted(person.id, None, at, None))
            allowed, _ = await walk.asks("DELETE", f"bans/{ban.id}")
            return allowed, (await client.call("join", {"room": room}))[0]
        case Act.SEE_BANS:
            await moderation.ban(house.means, None, Wanted(person.id, None, at, None))
            allowed, answer = await walk.asks("GET", f"bans?room={room}")
            return allowed, allowed and person.id in [each["account"] for each in answer["bans"]]
        case _:
            allowed, _ = await walk.asks("POST", "purges", {"account": person.id, "room": room})
            return allowed, await is_deleted(client, words)


async def is_deleted(client: Client, message: str) -> bool:
    room, _, seq = message.partition(":")
    _, page = await client.call("history", {"room": room, "around": int(seq)})
    return any(row["id"] == message and row.get("removed", False) for row in page["messages"])


async def set_role(walk: Walk, person: Person, role: Role) -> bool:
    allowed, _ = await walk.asks("PUT", f"people/{person.id}/role", {"role": role.value})
    known = walk.town.server.house.sign_ins.person(person.id)
    assert known is not None
    assert (known.role is role) == allowed
    return allowed


async def give(walk: Walk, role: Role) -> bool:
    """Give a role to somebody who is below everybody."""
    person = await somebody(walk, Role.BOT if role is Role.GUEST else Role.GUEST)
    return await set_role(walk, person, role)


async def to_a_person(walk: Walk, act: Act, thing: Thing) -> bool:
    """Do something to somebody, everywhere."""
    house = walk.town.server.house
    known = house.sign_ins.person(walk.others[thing].id)
    assert known is not None
    person = walk.actor if thing is Thing.OWN else await somebody(walk, known.role)
    match act:
        case Act.SET_ROLE:
            return await set_role(walk, person, Role.BOT if known.role is Role.MEMBER else Role.MEMBER)
        case Act.END_MEMBERSHIP:
            allowed, _ = await walk.asks("DELETE", f"people/{person.id}")
            happened = (await person.ask("GET", "me"))[0] == 401
        case Act.BAN:
            allowed, _ = await walk.asks("POST", "bans", {"account": person.id})
            happened = (await person.ask("GET", "me"))[0] == 403
            for ban in house.sign_ins.bans.all():
                await moderation.unban(house.means, None, ban.id)
        case _:
            words = await said(walk, walk.arrange(Thing.COMMON_ROOM), person)
            allowed, _ = await walk.asks("POST", "purges", {"account": person.id})
            happened = not await house.store.said_by(AccountId(person.id), None, 1)
            assert words
    assert allowed == happened
    return allowed


async def on_the_server(walk: Walk, act: Act) -> bool:
    """Do what is about nobody in particular."""
    house = walk.town.server.house
    match act:
        case Act.SEE_ROLES:
            return (await walk.asks("GET", "roles"))[0]
        case Act.SEE_AUDIT:
            return (await walk.asks("GET", "audit"))[0]
        case Act.SEE_BANS:
            return (await walk.asks("GET", "bans"))[0]
        case Act.UNBAN:
            (ban,) = await moderation.ban(house.means, None, Wanted(walk.stranger.id, None, None, None))
            allowed, _ = await walk.asks("DELETE", f"bans/{ban.id}")
            assert (house.sign_ins.bans.get(ban.id) is None) == allowed
        case Act.BAN:
            allowed, _ = await walk.asks("POST", "bans", {"address": "203.0.113.9"})
            assert bool(house.sign_ins.bans.all()) == allowed
        case _:
            return await to_a_person(walk, Act.PURGE, Thing.BELOW if Thing.BELOW in walk.others else Thing.OTHER)
    for ban in house.sign_ins.bans.all():
        await moderation.unban(house.means, None, ban.id)
    return allowed


TRIES: Final[dict[tuple[Act, Thing], Callable[[Walk], Awaitable[bool]]]] = {
    **{
        (act, thing): (lambda walk, act=act, thing=thing: there(walk, act, thing))  # type: ignore[misc]  # bound now
        for act in policy.KEEPING_ORDER
        for thing in ROOMS
    },
    **{
        (act, thing): (lambda walk, act=act, thing=thing: to_whom(walk, act, thing))  # type: ignore[misc]
        for act in (Act.KICK, Act.BAN, Act.PURGE)
        for thing in (Thing.BELOW_THERE, Thing.OTHER_THERE)
    },
    **{
        (Act.SET_ROLE, policy.giving(role)): (lambda walk, role=role: give(walk, role))  # type: ignore[misc]
        for role in policy.GIVEN
    },
    **{
        (act, thing): (lambda walk, act=act, thing=thing: to_a_person(walk, act, thing))  # type: ignore[misc]
        for act in (Act.SET_ROLE, Act.END_MEMBERSHIP, Act.BAN, Act.PURGE)
        for thing in (Thing.OWN, Thing.BELOW, Thing.OTHER)
    },
    **{
        (act, Thing.SERVER): (lambda walk, act=act: on_the_server(walk, act))  # type: ignore[misc]
        for act in (Act.SEE_ROLES, Act.SEE_AUDIT, Act.SEE_BANS, Act.UNBAN, Act.BAN, Act.PURGE)
    },
}
