"""Where JSON meets our types; sockets and HTTP share it. What is decoded here has the right shape, and the
rules of `core` have been asked about every value in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from chatzilla.core.catchup import PAGE_ROWS, Span
from chatzilla.core.membership import MEMBERS_AT_MOST, Plan, Wish, parse_name, parse_topic
from chatzilla.core.messages import Change, Draft, mint_client_id, parse_client_id, parse_content, parse_target
from chatzilla.core.people import AccountId, account_named
from chatzilla.core.rooms import LOBBY, Grade, Kind, RoomId, parse_room
from chatzilla.errors import BadRequest, ChatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chatzilla.core.audit import Deed
    from chatzilla.core.bans import Ban
    from chatzilla.core.hooks import Hook
    from chatzilla.core.links import Offer
    from chatzilla.core.membership import Listed, Roll
    from chatzilla.core.messages import Message, Page
    from chatzilla.core.people import Account
    from chatzilla.core.presence import Here, PresenceChange
    from chatzilla.core.rooms import Entrance, RoomHead
    from chatzilla.core.signin import SignIn

HISTORY_ROWS: Final = 50
LARGEST_NUMBER: Final = 2**53 - 1
"""The largest whole number that every JSON reader keeps (RFC 8259, section 6)."""

LONGEST_ACCOUNT: Final = 64
"""Characters in an account's id, and more than any has."""

Json = dict[str, Any]

Alike = Callable[[Any, Callable[[Any], object]], object]
"""Encodes what many are given alike, by the function for it; it need not do that each time."""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """`join`. `account` is None where it brings no name; `simple` is the tutorial's way to ask."""

    account: Account | None
    room: RoomId
    cursor: int | None = None
    epoch: str | None = None
    simple: bool = False


class MessageRequest(NamedTuple):
    """`message`, in the full dialect or, `simple`, in the tutorial's."""

    draft: Draft
    simple: bool


class _Letter(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What `message` carries in the full dialect."""

    room: str
    client_id: str
    content: str


_MESSAGE: Final = msgspec.json.Decoder(tuple[Literal["message"], str | _Letter])


def read_message(event: bytes) -> MessageRequest | None:
    """Read what nearly all events are: a `message`, in one step from its JSON.

    Returns:
        None for everything else, also for one that is to be refused or carries more than it should; it is then read
        by the way of all events, which finds out what it is.
    """
    try:
        letter = _MESSAGE.decode(event)[1]
        if isinstance(letter, str):
            return MessageRequest(Draft(LOBBY, mint_client_id(), parse_content(letter)), simple=True)
        draft = Draft(parse_room(letter.room), parse_client_id(letter.client_id), parse_content(letter.content))
    except Exception:  # noqa: BLE001  # whatever it is, the way of all events meets it again, and says so
        return None
    return MessageRequest(draft, simple=False)


def decode_object(payload: object) -> Mapping[str, Any]:
    """A call of the full dialect carries one object.

    Raises:
        BadRequest: it carries something else.
    """
    if isinstance(payload, dict):
        return payload
    raise BadRequest("This call takes an object.")


def decode_nothing(payload: object) -> None:
    """A call that has nothing to say still carries an object, of which nothing is kept.

    Raises:
        BadRequest: it carries something else.
    """
    decode_object(payload)


def decode_join(payload: object) -> JoinRequest:
    """Read `{name?, room?, cursor?, epoch?}`, or the name alone.

    Raises:
        BadRequest, TooLong: a name, room id, cursor or epoch that is none.
    """
    if not isinstance(payload, dict):
        return JoinRequest(account_named(payload), LOBBY, simple=True)
    fields: Mapping[str, Any] = payload
    epoch = fields.get("epoch")
    if epoch is not None and not isinstance(epoch, str):
        raise BadRequest("An epoch is the text that came with the cursor.")
    name, room = fields.get("name"), fields.get("room")
    return JoinRequest(
        account=None if name is None else account_named(name),
        room=LOBBY if room is None else parse_room(room),
        cursor=_number(fields, "cursor"),
        epoch=epoch,
    )


def decode_room(payload: object) -> RoomId:
    """Read `{room}`.

    Raises:
        BadRequest: there is no room id.
    """
    return parse_room(decode_object(payload).get("room"))


def decode_message(payload: object) -> MessageRequest:
    """Read `{room, client_id, content}`, or the text alone, which goes to the lobby.

    Raises:
        BadRequest, TooLong: any of the three is missing or none.
    """
    if not isinstance(payload, dict):
        draft = Draft(LOBBY, mint_client_id(), parse_content(payload))
        return MessageRequest(draft, simple=True)
    draft = Draft(
        room=parse_room(payload.get("room")),
        client_id=parse_client_id(payload.get("client_id")),
        content=parse_content(payload.get("content")),
    )
    return MessageRequest(draft, simple=False)


def decode_edit(payload: object) -> Change:
    """Read `{id, content}`.

    Raises:
        BadRequest, TooLong: either is missing or none.
        NotFound: no message has such an id.
    """
    fields = decode_object(payload)
    content = parse_content(fields.get("content"))
    return Change(parse_target(fields.get("id")), content)


def decode_delete(payload: object) -> Change:
    """Read `{id}`.

    Raises:
        BadRequest: there is no id.
        NotFound: no message has such an id.
    """
    return Change(parse_target(decode_object(payload).get("id")), None)


def decode_read(payload: object) -> tuple[RoomId, int]:
    """Read `{room, seq}`.

    Raises:
        BadRequest: either is missing or none.
    """
    fields = decode_object(payload)
    seq = _number(fields, "seq")
    if seq is None:
        raise BadRequest("Say how far you have read: seq is a whole number from 0.")
    return parse_room(fields.get("room")), seq


def decode_history(payload: object) -> tuple[RoomId, Span]:
    """Read `{room, before? / after? / around?, limit?}`; none of the three asks for the newest.

    Raises:
        BadRequest: more than one of the three, or a number that is none.
    """
    fields = decode_object(payload)
    places = {key: _number(fields, key) for key in ("before", "after", "around")}
    if sum(place is not None for place in places.values()) > 1:
        raise BadRequest("Ask for what is before, after or around a message: one of them.")
    limit = _number(fields, "limit")
    if limit == 0:
        raise BadRequest("A limit is a whole number from 1.")
    span = Span(limit=min(limit or HISTORY_ROWS, PAGE_ROWS), **places)
    return parse_room(fields.get("room")), span


def decode_create(payload: object) -> Plan:
    """Read `{name, kind?, topic?, people?, client_id?}`.

    Raises:
        BadRequest, TooLong: any of them is none.
    """
    fields = decode_object(payload)
    kind = fields.get("kind", Kind.PUBLIC.value)
    if kind not in (Kind.PUBLIC.value, Kind.PRIVATE.value):
        raise BadRequest("A room is public or private.")
    topic = fields.get("topic")
    return Plan(
        parse_name(fields.get("name")),
        Kind(kind),
        "" if topic is None else parse_topic(topic),
        _people(fields.get("people", [])),
        None if fields.get("client_id") is None else parse_client_id(fields["client_id"]),
    )


def decode_direct(payload: object) -> tuple[AccountId, ...]:
    """Read `{people}`.

    Raises:
        BadRequest: it is no list of accounts.
    """
    return _people(decode_object(payload).get("people"))


def decode_change_room(payload: object) -> tuple[RoomId, Wish]:
    """Read `{room, name?, topic?, archived?}`.

    Raises:
        BadRequest, TooLong: any of them is none, or nothing is to be changed.
    """
    fields = decode_object(payload)
    name, topic, archived = fields.get("name"), fields.get("topic"), fields.get("archived")
    if name is None and topic is None and archived is None:
        raise BadRequest("Say what to change: the name, the topic, or whether the room is archived.")
    wish = Wish(
        None if name is None else parse_name(name),
        None if topic is None else parse_topic(topic),
        None if archived is None else _switch(fields, "archived"),
    )
    return parse_room(fields.get("room")), wish


def decode_invite(payload: object) -> tuple[RoomId, AccountId, Grade | None]:
    """Read `{room, account, grade?}`.

    Raises:
        BadRequest: any of them is none.
    """
    fields = decode_object(payload)
    grade = fields.get("grade")
    if grade is not None and grade not in [each.value for each in Grade]:
        raise BadRequest("In a room one may read, post or moderate.")
    return parse_room(fields.get("room")), _person(fields.get("account")), None if grade is None else Grade(grade)


def decode_remove(payload: object) -> tuple[RoomId, AccountId]:
    """Read `{room, account}`.

    Raises:
        BadRequest: either is missing or none.
    """
    fields = decode_object(payload)
    return parse_room(fields.get("room")), _person(fields.get("account"))


def decode_mute(payload: object) -> tuple[RoomId, bool]:
    """Read `{room, on}`.

    Raises:
        BadRequest: either is missing or none.
    """
    fields = decode_object(payload)
    return parse_room(fields.get("room")), _switch(fields, "on")


def _person(raw: object) -> AccountId:
    if isinstance(raw, str) and len(raw) <= LONGEST_ACCOUNT:
        return AccountId(raw)
    raise BadRequest("An account is named by its id.")


def _people(raw: object) -> tuple[AccountId, ...]:
    if isinstance(raw, list) and len(raw) <= MEMBERS_AT_MOST:
        return tuple(_person(each) for each in raw)
    raise BadRequest(f"People are a list of up to {MEMBERS_AT_MOST} account ids.")


def _switch(fields: Mapping[str, Any], key: str) -> bool:
    value = fields.get(key)
    if isinstance(value, bool):
        return value
    raise BadRequest(f"{key} has to be true or false.")


def _number(fields: Mapping[str, Any], key: str) -> int | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER:
        return value
    raise BadRequest(f"{key} has to be a whole number from 0.")


def encode_message(message: Message) -> Json:
    """The event `message` of the full dialect, and a row of every page: one shape."""
    encoded = {
        "id": message.id,
        "room": message.room,
        "seq": message.seq,
        "changed": message.changed,
        "kind": message.kind,
        "client_id": message.client_id,
        "sender": message.sender,
        "name": message.name,
        "content": message.content,
        "sent_at": message.sent_at,
    }
    if message.changed != message.seq:
        if message.edited_at is not None:
            encoded["edited_at"] = message.edited_at
        if message.deleted:
            encoded["deleted"] = True
        if message.removed:
            encoded["removed"] = True
    return encoded


def encode_messages(messages: Iterable[Message]) -> list[Json]:
    return [encode_message(message) for message in messages]


def encode_tutorial_message(message: Message) -> Json:
    """The event `message` as the tutorial has it: these two keys, no more."""
    return {"sender": message.name, "content": message.content}


def encode_posted(message: Message) -> Json:
    """What the sender of a message is answered."""
    return {
        "id": message.id,
        "seq": message.seq,
        "changed": message.changed,
        "sent_at": message.sent_at,
        "client_id": message.client_id,
    }


def _each_time(thing: Any, encode: Callable[[Any], object]) -> object:
    return encode(thing)


def encode_entrance(entrance: Entrance, token: str, alike: Alike = _each_time) -> Json:
    """The answer of `join`.

    Args:
        entrance: what somebody is given.
        token: the one that is theirs.
        alike: how those parts are encoded that many are given alike.
    """
    backlog = entrance.backlog
    answer: Json = {
        "you": encode_you(entrance.account) | {"token": token},
        "room": encode_room(entrance.room, entrance.may),
        "here": {"count": entrance.here.count, "people": alike(entrance.here.people, encode_people)},
        "messages": alike(backlog.messages, encode_messages),
        "cursor": backlog.cursor,
        "epoch": entrance.epoch,
        "more": backlog.more,
    }
    if backlog.reset:
        answer["reset"] = True
    return answer


def encode_page(page: Page) -> Json:
    return {"messages": encode_messages(page.messages), "more": page.more}


def encode_room(head: RoomHead, may: Iterable[str] | None = None) -> Json:
    """The event `room`, and the room in answers: one shape. What is one person's is there when it is told."""
    encoded: Json = {
        "room": head.room,
        "name": head.name,
        "kind": head.kind.value,
        "topic": head.topic,
        "head": head.head,
        "last": head.last,
    }
    if head.archived:
        encoded["archived"] = True
    if head.locked:
        encoded["locked"] = True
    if head.people:
        encoded["people"] = encode_people(head.people)
    if head.read is not None:
        encoded["read"] = head.read
    if head.muted is not None:
        encoded["muted"] = head.muted
    if may is not None:
        encoded["may"] = list(may)
    return encoded


def encode_changed_room(head: RoomHead, may: Iterable[str]) -> Json:
    """The answer of what makes, finds or changes a room."""
    return {"room": encode_room(head, may)}


def encode_listing(listed: Iterable[Listed], kinds: Iterable[Kind]) -> Json:
    """The answer of `rooms`: all that somebody may see, and the kinds that they may make."""
    rooms = [encode_room(each.head) | {"member": each.member} for each in listed]
    return {"rooms": rooms, "makes": [kind.value for kind in kinds]}


def encode_roll(roll: Roll) -> Json:
    """The answer of `members`."""
    return {
        "count": roll.count,
        "members": [
            encode_person(each.account) | {"grade": each.grade.value, "here": each.here, "online": each.online}
            for each in roll.members
        ],
    }


def encode_everybody(people: Iterable[tuple[Account, bool]]) -> Json:
    """The answer of `people`."""
    return {"people": [encode_person(each) | {"online": online} for each, online in people]}


def encode_gone(room: RoomId, message: str | None = None) -> Json:
    """The event `room` for whoever is not in it any more; with a reason where they did not go by themselves."""
    return {"room": room, "gone": True} | ({} if message is None else {"message": message})


def encode_person(account: Account) -> Json:
    """Somebody as others see them; `verified` is there where it is true."""
    person: Json = {"id": account.id, "name": account.name}
    if account.verified:
        person["verified"] = True
    return person


def encode_people(accounts: Iterable[Account]) -> list[Json]:
    return [encode_person(account) for account in accounts]


def encode_presence(room: RoomId, change: PresenceChange) -> Json:
    return {
        "room": room,
        "came": encode_people(change.came),
        "went": encode_people(change.went),
        "count": change.here.count,
    }


def encode_stats(here: Here) -> Json:
    """The event `stats` of the tutorial's final app."""
    return {"people": [account.name for account in here.people]}


def encode_typing(room: RoomId, account: Account) -> Json:
    return {"room": room, "name": account.name}


def encode_goodbye(code: str, message: str, *, reconnect: bool) -> Json:
    return {"code": code, "message": message, "reconnect": reconnect}


def encode_refusal(error: ChatError) -> Json:
    refusal: Json = {"code": error.code, "message": error.sentence}
    if error.retry_after is not None:
        refusal["retry_after"] = error.retry_after
    return refusal


def encode_holder(account: Account) -> Json:
    """Somebody with what they are here."""
    return encode_person(account) | {"verified": account.verified, "role": account.role.value, "room": account.room}


def encode_offer(offer: Offer) -> Json:
    """A link, without its secret."""
    link = offer.link
    return {
        "id": link.id,
        "kind": "invitation" if offer.person is None else "sign-in",
        "role": link.role.value,
        "room": link.room,
        "person": None if offer.person is None else encode_person(offer.person),
        "maker": None if offer.maker is None else encode_person(offer.maker),
        "made_at": link.made_at,
        "ends_at": link.ends_at,
        "uses": link.uses,
        "used": link.used,
        "email": link.email,
    }


def encode_sign_in(sign_in: SignIn, *, current: bool) -> Json:
    """A browser or program that is signed in."""
    return {
        "id": sign_in.id,
        "person": encode_holder(sign_in.account),
        "made_at": sign_in.made_at,
        "seen_at": sign_in.seen_at,
        "ends_at": sign_in.ends_at,
        "agent": sign_in.agent,
        "program": sign_in.of_program,
        "current": current,
    }


def encode_token(sign_in: SignIn) -> Json:
    """The token of a program, without the token."""
    return {
        "id": sign_in.id,
        "label": sign_in.agent,
        "person": encode_holder(sign_in.account),
        "made_at": sign_in.made_at,
        "seen_at": sign_in.seen_at,
        "ends_at": sign_in.ends_at,
    }


def encode_bot(account: Account, tokens: Sequence[SignIn]) -> Json:
    return encode_person(account) | {
        "tokens": len(tokens),
        "seen_at": max((token.seen_at for token in tokens), default=None),
    }


def encode_hook(hook: Hook, maker: Account | None) -> Json:
    """A hook, without its address."""
    return {
        "id": hook.id,
        "name": hook.name,
        "room": hook.room,
        "maker": None if maker is None else encode_person(maker),
        "made_at": hook.made_at,
    }


def encode_ban(ban: Ban, *, addresses: bool) -> Json:
    """A ban; where the address is not told, whoever sees it still learns that it is one."""
    return {
        "id": ban.id,
        "kind": "account" if ban.network is None else "address",
        "account": ban.account,
        "address": ban.network if addresses else None,
        "name": ban.name if addresses or ban.name != ban.network else "",
        "room": ban.room,
        "maker": None if ban.maker is None else {"id": ban.maker, "name": ban.maker_name},
        "made_at": ban.made_at,
        "ends_at": ban.ends_at,
    }


def encode_deed(deed: Deed) -> Json:
    """An entry of the audit list."""
    return {
        "no": deed.no,
        "at": deed.at,
        "actor": None if deed.actor is None else {"id": deed.actor, "name": deed.actor_name},
        "act": deed.act,
        "person": None if deed.person_name is None else {"id": deed.person, "name": deed.person_name},
        "room": deed.room,
        "details": dict(deed.details),
    }


def encode_you(account: Account) -> Json:
    """The event `you`: what somebody is here from now on."""
    return encode_person(account) | {"verified": account.verified, "role": account.role.value}
