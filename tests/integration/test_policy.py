"""The policy, walked: every role tries every act on every thing at every door, and the table alone decides."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa

from chatzilla.core import audit, hooks, links, policy, programs
from chatzilla.core.audit import Done
from chatzilla.core.directory import Room
from chatzilla.core.people import AccountId, app_named
from chatzilla.core.policy import Act, Role, Thing
from chatzilla.core.rights import CallRole
from chatzilla.core.rooms import Grade, Kind, RoomId
from chatzilla.store import tables
from tests.helpers import order
from tests.helpers.callers import Caller
from tests.helpers.clients import Client
from tests.helpers.people import Person, Town, town
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

HOME: Final = "garden"
ELSEWHERE: Final = "attic"

BELOW: Final = {Role.OWNER: Role.ADMIN, Role.ADMIN: Role.MEMBER, Role.MEMBER: Role.GUEST}
"""Somebody of a lower role, where there is one who can have anything."""

OTHER: Final = {
    Role.OWNER: Role.OWNER,
    Role.ADMIN: Role.OWNER,
    Role.MEMBER: Role.MEMBER,
    Role.GUEST: Role.BOT,
    Role.BOT: Role.MEMBER,
    Role.VISITOR: Role.MEMBER,
    Role.LISTENER: Role.MEMBER,
    Role.SPEAKER: Role.MEMBER,
}

WITH_A_RIGHT: Final = {Role.LISTENER: CallRole.SUBSCRIBER, Role.SPEAKER: CallRole.PUBLISHER}
"""Whoever came with a right to one room: what they said is their own and nothing else, and sockets alone know them."""


@dataclass
class Walk:
    """One person who tries everything, and the others whose things they reach for."""

    town: Town
    role: Role
    actor: Person
    stranger: Person
    others: dict[Thing, Person] = field(default_factory=dict)
    tried: int = 0

    def arrange(self, thing: Thing) -> str:
        """Let the room stand to the one who tries as the table names it; returns its id."""
        if thing is Thing.OTHER_ROOM and (self.role is Role.GUEST or self.role in WITH_A_RIGHT):
            return ELSEWHERE
        actor, other, now = self.actor.id, self.others[Thing.OTHER].id, 1
        plain = Room(RoomId(HOME), HOME)
        private, moderated = replace(plain, kind=Kind.PRIVATE), replace(plain, grades={other: Grade.MODERATE})
        self.town.server.house.directory.keep(
            {
                Thing.ROOM: moderated,
                Thing.COMMON_ROOM: plain,
                Thing.OWN_ROOM: replace(private, grades={actor: Grade.MODERATE, other: Grade.POST}),
                Thing.PRIVATE_ROOM: replace(private, grades={actor: Grade.POST, other: Grade.MODERATE}),
                Thing.DIRECT_ROOM: replace(plain, kind=Kind.DIRECT, grades=dict.fromkeys((actor, other), Grade.POST)),
                Thing.QUIET_ROOM: replace(plain, grades={actor: Grade.READ}),
                Thing.LOCKED_ROOM: replace(moderated, locked_at=now),
                Thing.ARCHIVED_ROOM: replace(plain, archived_at=now),
                Thing.OTHER_ROOM: replace(private, grades={other: Grade.MODERATE}),
            }[thing]
        )
        return HOME

    async def socket(self, room: str, *calls: tuple[str, dict[str, Any]]) -> bool:
        """Join a room and call; whether all of it was allowed."""
        client = await Client(self.actor.url).connect(auth={"dialect": "full", "token": self.actor.token})
        try:
            results = [await client.call("join", {"room": room})]
            results += [await client.call(event, {"room": room, **fields}) for event, fields in calls]
        finally:
            await client.close()
        if not results[0][0] and calls:  # what is not entered cannot be reached otherwise either
            assert not any(accepted for accepted, _ in results)
        refusals = [answer["code"] for accepted, answer in results if not accepted]
        assert all(code in ("forbidden", "not-joined", "not-found") for code in refusals), refusals
        return all(accepted for accepted, _ in results)

    async def bot(self) -> Person:
        """A bot that the operator made."""
        self.tried += 1
        sign_ins = self.town.server.house.sign_ins
        sign_in, token = await programs.make_bot(sign_ins, None, f"Robot {self.tried}")
        return replace(self.stranger, token=token, id=sign_in.account.id, name=sign_in.account.name)

    async def page(self, room: str) -> bool:
        headers = {"Authorization": f"Bearer {self.actor.token}"}
        async with self.town.http.get(f"{self.actor.url}/r/{room}", headers=headers) as answer:
            assert answer.status in (200, 403, 404)
            return answer.status == 200

    async def asks(self, method: str, path: str, question: object = None) -> tuple[bool, Any]:
        status, answer = await self.actor.ask(method, path, question)
        vain = (401, 429) if self.role in WITH_A_RIGHT else (401, 403, 404)  # no token, and soon too many of them
        assert status in (200, 201, 204, *vain), (status, answer)
        return status < 300, answer


async def enter(walk: Walk, room: str) -> bool:
    by_socket, by_page = await walk.socket(room), await walk.page(room)
    if walk.role is not Role.VISITOR and walk.role not in WITH_A_RIGHT:  # whose page asks who they are first
        assert by_socket == by_page, "both doors say the same"
    return by_socket


async def change(walk: Walk, thing: Thing) -> bool:
    """Edit and delete a message of somebody's."""
    author = await Client(walk.actor.url).connect(auth={"dialect": "full", "token": walk.others[thing].token})
    await author.joins(HOME)
    said = await author.says(HOME, "mine")
    allowed = await walk.socket(
        HOME, ("edit", {"id": said["id"], "content": "changed"}), ("delete", {"id": said["id"]})
    )
    await author.close()
    return allowed


async def moderate_call(walk: Walk, thing: Thing) -> bool:
    """Lock a call that somebody else began."""
    walk.arrange(thing)
    host = await Caller(walk.actor.url).connect(token=walk.others[Thing.OTHER].token)
    await host.joins(HOME)
    caller = await Caller(walk.actor.url).connect(token=walk.actor.token)
    try:
        allowed, answer = await caller.call("join", {"room": HOME})
        if allowed:
            allowed, answer = await caller.call("lock", {"locked": True})
        assert allowed or answer["code"] == "forbidden"
    finally:
        await caller.close()
        await host.does("end")
        await host.close()
    return allowed


async def invite(walk: Walk, role: str) -> bool:
    return (await walk.asks("POST", "links", {"role": role, "room": HOME}))[0]


async def sign_in(walk: Walk, thing: Thing) -> bool:
    return (await walk.asks("POST", "links", {"account": walk.others[thing].id}))[0]


async def see_link(walk: Walk, thing: Thing) -> bool:
    ident, _ = await walk.town.link(maker=walk.others[thing].id)
    allowed, answer = await walk.asks("GET", "links")
    return allowed and ident in [link["id"] for link in answer["links"]]


async def revoke_link(walk: Walk, thing: Thing) -> bool:
    ident, secret = await walk.town.link(maker=walk.others[thing].id)
    allowed, _ = await walk.asks("DELETE", f"links/{ident}")
    register, now = walk.town.server.house.register, walk.town.server.house.ports.clock.wall_ms()
    still = await register.link(links.digest(secret), now)
    assert (still is None) == allowed, "what was allowed has happened, and nothing else"
    return allowed


async def another_sign_in(walk: Walk, thing: Thing) -> Person:
    """The person whose thing it is, in one more browser."""
    _, secret = await walk.town.link(account=walk.others[thing].id)
    return await walk.town.comes(secret)


async def see_sign_in(walk: Walk, thing: Thing) -> bool:
    ident = await (await another_sign_in(walk, thing)).sign_in_id()
    allowed, answer = await walk.asks("GET", "sign-ins")
    return allowed and ident in [each["id"] for each in answer["sign_ins"]]


async def end_sign_in(walk: Walk, thing: Thing) -> bool:
    person = await another_sign_in(walk, thing)
    ident = await person.sign_in_id()
    allowed, _ = await walk.asks("DELETE", f"sign-ins/{ident}")
    assert ((await person.ask("GET", "me"))[0] == 401) == allowed
    return allowed


async def make(walk: Walk, thing: Thing) -> bool:
    """Make a room of a kind."""
    walk.tried += 1
    if thing is Thing.DIRECT_ROOM:
        return await walk.socket(walk.arrange(Thing.COMMON_ROOM), ("direct", {"people": [walk.others[Thing.OTHER].id]}))
    kind = "public" if thing is Thing.ROOM else "private"
    question = {"name": f"Room {walk.tried}", "kind": kind}
    return await walk.socket(walk.arrange(Thing.COMMON_ROOM), ("create", question))


async def see_people(walk: Walk, thing: Thing) -> bool:
    assert thing is Thing.OTHER
    return await walk.socket(walk.arrange(Thing.COMMON_ROOM), ("people", {}))


async def make_token(walk: Walk, thing: Thing) -> bool:
    """Make a token for oneself, or for a bot."""
    whose = {"bot": (await walk.bot()).id} if thing is Thing.BOT else {}
    return (await walk.asks("POST", "tokens", {"label": "a program", **whose}))[0]


async def see_bot(walk: Walk, _: Thing) -> bool:
    bot = await walk.bot()
    allowed, answer = await walk.asks("GET", "bots")
    return allowed and bot.id in [each["id"] for each in answer["bots"]]


async def end_bot(walk: Walk, _: Thing) -> bool:
    bot = await walk.bot()
    allowed, _answer = await walk.asks("DELETE", f"bots/{bot.id}")
    assert ((await bot.ask("GET", "me"))[0] == 401) == allowed
    return allowed


async def hook_of(walk: Walk, thing: Thing) -> tuple[str, str]:
    """A hook of somebody's, made without asking whether anybody may; returns its id and its secret."""
    house = walk.town.server.house
    hook, secret = await hooks.make_as_operator(house.hooks, house.sign_ins, "CI", RoomId(HOME))
    with house.database.writing.begin() as connection:
        this = sa.update(tables.hooks).where(tables.hooks.c.id == hook.id)
        connection.execute(this.values(maker=walk.others[thing].id))
    return hook.id, secret


async def see_hook(walk: Walk, thing: Thing) -> bool:
    ident, _ = await hook_of(walk, thing)
    allowed, answer = await walk.asks("GET", "hooks")
    return allowed and ident in [hook["id"] for hook in answer["hooks"]]


async def end_hook(walk: Walk, thing: Thing) -> bool:
    ident, secret = await hook_of(walk, thing)
    allowed, _ = await walk.asks("DELETE", f"hooks/{ident}")
    assert (await walk.town.server.house.hooks.hook(hooks.digest(secret)) is None) == allowed
    return allowed


ROOMS: Final = (
    Thing.ROOM,
    Thing.COMMON_ROOM,
    Thing.OWN_ROOM,
    Thing.PRIVATE_ROOM,
    Thing.DIRECT_ROOM,
    Thing.QUIET_ROOM,
    Thing.OTHER_ROOM,
)

IN_ROOMS: Final = (
    Act.ENTER,
    Act.READ,
    Act.POST,
    Act.TYPE,
    Act.RENAME,
    Act.ARCHIVE,
    Act.ADMIT,
    Act.GRADE,
    Act.EXPEL,
    Act.LEAVE,
    Act.MAKE_HOOK,
)

TRIES: Final[dict[tuple[Act, Thing], Callable[[Walk], Awaitable[bool]]]] = {
    **{
        (act, thing): (lambda walk, act=act, thing=thing: attempt(walk, act, thing))  # type: ignore[misc]  # bound now
        for things, acts in ((ROOMS, IN_ROOMS), ((Thing.LOCKED_ROOM, Thing.ARCHIVED_ROOM), policy.SPEAKING))
        for thing in things
        for act in acts
    },
    **{
        (Act.MODERATE_CALL, thing): (lambda walk, thing=thing: moderate_call(walk, thing))  # type: ignore[misc]
        for thing in (Thing.ROOM, Thing.COMMON_ROOM, Thing.OWN_ROOM)
    },
    **{
        (Act.CREATE, thing): (lambda walk, thing=thing: make(walk, thing))  # type: ignore[misc]
        for thing in (Thing.ROOM, Thing.PRIVATE_ROOM, Thing.DIRECT_ROOM)
    },
    (Act.SEE_PEOPLE, Thing.OTHER): lambda walk: see_people(walk, Thing.OTHER),
    **{
        (Act.INVITE, policy.giving(role)): (lambda walk, role=role: invite(walk, role.value))  # type: ignore[misc]
        for role in policy.GIVEN
    },
    **{
        (act, thing): (lambda walk, thing=thing, tried=tried: tried(walk, thing))  # type: ignore[misc]
        for thing in (Thing.OWN, Thing.BELOW, Thing.OTHER)
        for act, tried in (
            (Act.CHANGE, change),
            (Act.SIGN_IN, sign_in),
            (Act.SEE_LINK, see_link),
            (Act.REVOKE_LINK, revoke_link),
            (Act.SEE_SIGN_IN, see_sign_in),
            (Act.END_SIGN_IN, end_sign_in),
            (Act.SEE_HOOK, see_hook),
            (Act.END_HOOK, end_hook),
        )
    },
    **{
        (act, thing): (lambda walk, thing=thing, tried=tried: tried(walk, thing))  # type: ignore[misc]
        for act, tried, thing in (
            (Act.MAKE_TOKEN, make_token, Thing.OWN),
            (Act.MAKE_TOKEN, make_token, Thing.BOT),
            (Act.SEE_BOT, see_bot, Thing.BOT),
            (Act.END_BOT, end_bot, Thing.BOT),
        )
    },
    **order.TRIES,
}


async def attempt(walk: Walk, act: Act, thing: Thing) -> bool:
    """Try something in a room, by every door that has it."""
    if act is Act.MAKE_HOOK:
        return (await walk.asks("POST", "hooks", {"name": "CI", "room": walk.arrange(thing)}))[0]
    if act in (Act.ENTER, Act.TYPE):
        return await by_socket(walk, act, thing)
    over_http, over_sockets = await by_http(walk, act, thing), await by_socket(walk, act, thing)
    if walk.role in WITH_A_RIGHT:
        assert not over_http, "over HTTP a right is nobody's"
    else:
        assert over_http == over_sockets, "all doors say the same"
    return over_sockets


async def renew(walk: Walk, act: Act) -> None:
    """See that what is about to be tried changes something: another topic, somebody who was not invited before."""
    walk.tried += 1
    if act in (Act.ADMIT, Act.GRADE):
        walk.stranger = await walk.town.enters(f"Stranger {walk.tried}")


async def by_http(walk: Walk, act: Act, thing: Thing) -> bool:
    await renew(walk, act)
    room = f"rooms/{walk.arrange(thing)}"
    other, stranger, actor = (
        f"{room}/members/{each.id}" for each in (walk.others[Thing.OTHER], walk.stranger, walk.actor)
    )
    question: tuple[Any, ...] = {
        Act.READ: ("GET", f"{room}/messages"),
        Act.POST: ("POST", f"{room}/messages", {"content": "hello"}),
        Act.RENAME: ("PATCH", room, {"topic": f"Topic {walk.tried}"}),
        Act.ARCHIVE: ("PATCH", room, {"archived": True}),
        Act.ADMIT: ("PUT", stranger, {}),
        Act.GRADE: ("PUT", stranger, {"grade": "read"}),
        Act.EXPEL: ("DELETE", other),
        Act.LEAVE: ("DELETE", actor),
    }[act]
    return (await walk.asks(*question))[0]


async def by_socket(walk: Walk, act: Act, thing: Thing) -> bool:
    await renew(walk, act)
    room, other = walk.arrange(thing), walk.others[Thing.OTHER].id
    match act:
        case Act.RENAME:
            return await walk.socket(room, ("change-room", {"topic": f"Topic {walk.tried}"}))
        case Act.ARCHIVE:
            return await walk.socket(room, ("change-room", {"archived": True}))
        case Act.ADMIT:
            return await walk.socket(room, ("invite", {"account": walk.stranger.id}))
        case Act.GRADE:
            return await walk.socket(room, ("invite", {"account": walk.stranger.id, "grade": "read"}))
        case Act.EXPEL:
            return await walk.socket(room, ("remove", {"account": other}))
        case Act.LEAVE:
            return await walk.socket(room, ("remove", {"account": walk.actor.id}))
        case Act.ENTER:
            return await enter(walk, room)
        case Act.READ:
            return await walk.socket(room, ("history", {}))
        case Act.POST:
            return await walk.socket(room, ("message", {"content": "hello", "client_id": str(uuid.uuid4())}))
        case _:
            return await walk.socket(room, ("typing", {}))


def test_the_walk_leaves_nothing_of_the_table_out() -> None:
    assert policy.TABLE.keys() <= TRIES.keys()


def test_what_is_not_in_the_table_is_refused() -> None:
    allowed = {(role, act, thing) for role in Role for act in Act for thing in Thing if policy.may(role, act, thing)}
    assert allowed == {(role, *place) for place, roles in policy.TABLE.items() for role in roles}


def test_whoever_was_removed_may_nothing() -> None:
    assert not any(Role.REMOVED in roles for roles in policy.TABLE.values())


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.REMOVED])
async def test_every_door_does_what_the_table_says(role: Role, tmp_path: Path) -> None:
    mode = "open" if role is Role.VISITOR else "links"
    async with serving(tmp_path / "data", sign_in=mode) as server, town(server) as place:
        for tries in (server.house.directory._tries, server.house.directory.vain):
            tries._at_most = 1_000  # more is tried in vain here than a stranger may
        walk = Walk(place, role, await who_tries(place, role), await place.enters("Stranger"))
        if role not in (Role.VISITOR, Role.LISTENER):
            walk.others[Thing.OWN] = walk.actor
        if role in BELOW:
            walk.others[Thing.BELOW] = await place.enters("Below", BELOW[role], HOME)
        walk.others[Thing.OTHER] = await place.enters("Other", OTHER[role], HOME)
        author = await Client(server.url).connect(auth={"dialect": "full", "token": walk.others[Thing.OTHER].token})
        await author.joins(HOME)
        await author.says(HOME, "so that it is stored")
        await author.close()
        told = {}
        for (act, thing), tried in TRIES.items():
            if thing in (Thing.OWN, Thing.BELOW) and thing not in walk.others:
                continue
            if thing is Thing.OWN and role in WITH_A_RIGHT and act is not Act.CHANGE:
                continue
            before = await newest_entry(place)
            told[act, thing] = await tried(walk)
            entries = await entries_since(place, before, walk.actor)
            words = audit.words_of(act, thing) if told[act, thing] else frozenset()
            assert entries <= words | AND_THAT.get(act, set()), (act, thing, entries)
            assert bool(entries & words) == bool(words), (act, thing, entries)
        assert told == {(act, thing): policy.may(role, act, thing) for act, thing in told}


AND_THAT: Final[dict[Act, set[Done]]] = {
    Act.CHANGE: {Done.DELETE_MESSAGE},
    Act.LEAVE: {Done.INHERIT},
    Act.EXPEL: {Done.INHERIT},
    Act.BAN: {Done.INHERIT},
    Act.GRADE: {Done.INVITE},
}
"""What else the list may tell of where this is done."""


async def newest_entry(place: Town) -> int:
    found = await place.server.house.means.records.deeds(None, 1)
    return found[0].no if found else 0


async def entries_since(place: Town, before: int, actor: Person) -> frozenset[Done]:
    """What the audit list says that somebody has done since."""
    house = place.server.house
    await asyncio.get_running_loop().run_in_executor(house.book._thread, lambda: None)  # calls write theirs later
    found = await house.means.records.deeds(None, 50)
    return frozenset(Done(each.act) for each in found if each.no > before and each.actor == actor.id)


def test_every_act_leaves_an_entry_or_has_a_reason_not_to() -> None:
    for act in Act:
        assert (act in audit.RECORDED) != ((act, None) in audit.UNRECORDED), act
    assert all((act, thing) in policy.TABLE for act, thing in audit.UNRECORDED if thing is not None)
    told = frozenset[Done]().union(*audit.RECORDED.values())
    assert set(Done) - told == {Done.INHERIT, Done.END_TOKEN, Done.ROTATE_KEY}, "see `RECORDED`"


async def who_tries(place: Town, role: Role) -> Person:
    if role in WITH_A_RIGHT:
        rights, room = place.server.house.sign_ins.rights, RoomId(HOME)
        assert rights is not None
        right = rights.make(app_named("Tries", room), room, WITH_A_RIGHT[role])
        return Person(place.http, place.server.url, right.token, right.account.id, "Tries")
    if role is not Role.VISITOR:
        return await place.enters("Tries", role, HOME)
    client = await Client(place.server.url).connect(auth={"dialect": "full"})
    you = (await client.joins(HOME, name="Tries"))["you"]
    await client.close()
    return Person(place.http, place.server.url, you["token"], AccountId(you["id"]), "Tries")
