"""Saying something in the full dialect: the answer, the event, and the harmless retry."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from chatzilla import wire
from chatzilla.core import messages
from tests.helpers.clock import ManualClock
from tests.helpers.house import open_house

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Connect, Lobby
    from tests.helpers.clients import Client


def draft(content: str = "hello", room: str = "lobby", client_id: str = "one") -> dict[str, Any]:
    return {"room": room, "client_id": client_id, "content": content}


async def contents(client: Client, room: str = "lobby") -> list[str]:
    """What the room holds."""
    accepted, page = await client.call("history", {"room": room, "limit": 100})
    assert accepted
    return [row["content"] for row in page["messages"]]


async def test_the_answer_has_these_keys_and_no_others(lobby: Lobby) -> None:
    alice = await lobby("alice")
    before = int(time.time() * 1000)
    accepted, answer = await alice.call("message", draft())
    assert accepted
    assert set(answer) == {"id", "seq", "changed", "sent_at", "client_id"}
    assert (answer["seq"], answer["changed"], answer["client_id"]) == (1, 1, "one")
    assert before <= answer["sent_at"] <= time.time() * 1000


async def test_the_event_has_these_keys_and_no_others(lobby: Lobby) -> None:
    alice, bob = await lobby("Alice"), await lobby("bob")
    answer = await alice.says("lobby", " as it was\nwritten ", "one")
    assert await bob.hears() == {
        "id": answer["id"],
        "room": "lobby",
        "seq": 1,
        "changed": 1,
        "kind": "text",
        "client_id": "one",
        "sender": alice.you["id"],
        "name": "Alice",
        "content": " as it was\nwritten ",
        "sent_at": answer["sent_at"],
    }


async def test_the_row_of_a_page_is_the_event(lobby: Lobby) -> None:
    alice, bob = await lobby("alice"), await lobby("bob")
    await alice.says("lobby", "hello")
    heard = await bob.hears()
    assert (await bob.call("history", {"room": "lobby"}))[1] == {"messages": [heard], "more": False}
    assert (await bob.joins(cursor=0))["messages"] == [heard]


async def test_the_senders_other_tabs_hear_it_with_its_client_id(lobby: Lobby) -> None:
    one, other = await lobby("alice"), await lobby("alice")
    await one.says("lobby", "hello", "mine")
    assert (await other.hears())["client_id"] == "mine"
    await one.hears_nothing()


async def test_a_room_must_be_joined_first(lobby: Lobby) -> None:
    alice = await lobby("alice")
    for event, call in (
        ("message", draft(room="garden")),
        ("history", {"room": "garden"}),
        ("typing", {"room": "garden"}),
    ):
        accepted, refusal = await alice.call(event, call)
        assert (accepted, refusal["code"]) == (False, "not-joined")


class TestTheClientId:
    """1 to 64 printable ASCII characters."""

    @pytest.mark.parametrize("client_id", ["1", "x" * 64, "5f0c6e5e-3a0c-4b0e-9a43-6d1a7c1b2f7d", "a b", "~!@#"])
    async def test_these_pass(self, lobby: Lobby, client_id: str) -> None:
        alice = await lobby("alice")
        assert (await alice.says("lobby", "hello", client_id))["client_id"] == client_id

    @pytest.mark.parametrize(
        "client_id", ["", "x" * 65, "é", "a\nb", "a\0", "\x7f", "\ud800", None, 5, True, ["a"], {}]
    )
    async def test_these_do_not(self, lobby: Lobby, client_id: object) -> None:
        alice = await lobby("alice")
        accepted, refusal = await alice.call("message", draft() | {"client_id": client_id})
        assert (accepted, refusal["code"]) == (False, "bad-request")
        assert await contents(alice) == []


class TestARetry:
    """It is answered as the first time; it takes no number and is not told again."""

    async def test_it_is_answered_as_the_first_time(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob")
        first = await alice.call("message", draft())
        await alice.says("lobby", "something else")
        assert await alice.call("message", draft()) == first
        assert [(await bob.hears())["seq"] for _ in range(2)] == [1, 2]
        await bob.hears_nothing()
        assert (await alice.says("lobby", "next"))["seq"] == 3

    async def test_its_own_rate_is_the_only_thing_it_costs(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "data", clock=ManualClock(), message_rate=1.0, message_burst=2) as house:
            alice = await house.enter("alice")
            assert await alice.call("message", draft()) == await alice.call("message", draft())
            accepted, refusal = await alice.call("message", draft())
            assert (accepted, refusal["code"]) == (False, "too-fast")

    async def test_many_at_once_are_one_message(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob")
        answers = await asyncio.gather(*(alice.call("message", draft()) for _ in range(20)))
        assert all(answer == answers[0] for answer in answers)
        assert (await bob.hears())["seq"] == 1
        await bob.hears_nothing()
        assert await contents(bob) == ["hello"]

    async def test_two_connections_at_once_are_one_message(self, lobby: Lobby) -> None:
        tabs = [await lobby("alice") for _ in range(4)]
        bob = await lobby("bob")
        answers = await asyncio.gather(*(tab.call("message", draft()) for tab in tabs for _ in range(5)))
        assert all(answer == answers[0] for answer in answers)
        assert (await bob.hears())["seq"] == 1
        await bob.hears_nothing()
        for tab in tabs:
            await tab.fence()
        assert sum(len(tab.heard()) for tab in tabs) == 3

    async def test_it_is_harmless_after_a_restart(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "data") as house:
            first = await (await house.enter("alice")).call("message", draft())
        async with open_house(tmp_path / "data") as house:
            alice, bob = await house.enter("alice"), await house.enter("bob")
            assert await alice.call("message", draft()) == first
            await bob.hears_nothing()
            assert (await alice.says("lobby", "next"))["seq"] == 2

    async def test_with_another_text_or_room_it_is_a_conflict(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob")
        await alice.joins("garden")
        await alice.call("message", draft())
        for other in (draft("other"), draft(room="garden"), draft("hello ")):
            accepted, refusal = await alice.call("message", other)
            assert (accepted, refusal["code"]) == (False, "conflict")
        assert (await bob.hears())["content"] == "hello"
        await bob.hears_nothing()
        assert await contents(alice) == ["hello"]
        assert await contents(alice, "garden") == []
        assert (await alice.says("garden", "first there"))["seq"] == 1

    async def test_a_conflict_at_the_same_moment_takes_no_number(self, lobby: Lobby) -> None:
        alice = await lobby("alice")
        calls = [draft(), draft("other"), draft("next", client_id="two")]
        first, conflicting, third = await asyncio.gather(*(alice.call("message", call) for call in calls))
        assert (first[1]["seq"], third[1]["seq"]) == (1, 2)
        assert (conflicting[0], conflicting[1]["code"]) == (False, "conflict")

    async def test_the_room_in_another_case_is_the_same_room(self, lobby: Lobby) -> None:
        alice = await lobby("alice")
        assert await alice.call("message", draft(room="LOBBY")) == await alice.call("message", draft())

    async def test_the_ids_of_different_people_do_not_meet(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob")
        assert (await alice.call("message", draft("hers")))[1]["seq"] == 1
        assert (await bob.call("message", draft("his")))[1]["seq"] == 2


EVENTS = ("join", "leave", "typing", "history", "message")
WRONG: list[Any] = [None, 5, -1, 1.5, True, "", "no such id!", [], ["lobby"], {}, {"room": "lobby"}, b"bytes"]
NO_NUMBER: list[Any] = [1.0, 0.5, True, False, -1, "1", "", [], [1], {}, b"1", 2**53, 10**30, 1e300]

NO_NAME: list[Any] = [5, 1.5, True, "", " ", [], {}, "x" * 255, "a\0b", "\ud800", b"bob"]
NO_EPOCH: list[Any] = [5, 1.5, True, [], {}, b"epoch"]
NO_TEXT: list[Any] = [None, 5, True, "", " \n", [], {}, "a\0b", "\ud83d", b"x", "x" * 10_001]
NO_OBJECT: list[Any] = [None, 5, True, [], 1.5, [{"room": "lobby"}], b"bytes"]

TABLE: list[tuple[str, Any]] = [
    *(("join", {"name": "alice", "room": room}) for room in WRONG if room is not None),
    *(("join", {"name": name}) for name in NO_NAME),
    *(("join", {"cursor": number}) for number in NO_NUMBER),
    *(("join", {"epoch": epoch}) for epoch in NO_EPOCH),
    *((event, {"room": room}) for event in ("leave", "typing", "history") for room in WRONG),
    *(("history", {"room": "lobby", key: number}) for key in ("before", "after", "around") for number in NO_NUMBER),
    *(("history", {"room": "lobby", "limit": number}) for number in (*NO_NUMBER, 0)),
    ("history", {"room": "lobby", "before": 3, "after": 1}),
    ("history", {"room": "lobby", "before": 3, "around": 1}),
    ("history", {"room": "lobby", "before": 3, "after": 1, "around": 2}),
    *(("message", draft() | {"room": room}) for room in WRONG),
    *(("message", draft() | {"content": text}) for text in NO_TEXT),
    ("message", {}),
    *((event, call) for event in EVENTS for call in NO_OBJECT),
]
STABLE = {"bad-request", "too-long"}


@pytest.mark.parametrize("event", EVENTS)
async def test_a_field_of_the_wrong_kind_has_a_stable_code_and_no_effect(lobby: Lobby, event: str) -> None:
    alice, bob = await lobby("alice"), await lobby("bob")
    surprises = []
    for call in (call for name, call in TABLE if name == event):
        accepted, refusal = await alice.call(event, call)
        if accepted or set(refusal) != {"code", "message"} or refusal["code"] not in STABLE:
            surprises.append((call, accepted, refusal))
    assert surprises == []
    await bob.hears_nothing()
    await bob.hears_nothing("typing")
    assert await contents(alice) == []
    assert (await alice.says("lobby", "still here"))["seq"] == 1
    assert (await bob.hears())["content"] == "still here"


@pytest.mark.parametrize("event", ["react", "pin", "moderate", "ping", "", "a\0b", "x" * 1000])
async def test_an_unknown_event_says_so(lobby: Lobby, event: str) -> None:
    alice = await lobby("alice")
    for call in ({"room": "lobby"}, None):
        accepted, refusal = await alice.call(event, call)
        assert (accepted, refusal["code"]) == (False, "unknown-event")


async def test_a_text_over_its_limit_says_so(lobby: Lobby) -> None:
    alice = await lobby("alice")
    accepted, refusal = await alice.call("message", draft("x" * 10_001))
    assert (accepted, refusal["code"]) == (False, "too-long")
    assert (await alice.call("message", draft("x" * 10_000)))[0]


async def test_whoever_goes_too_fast_is_told_so_in_an_object(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_house(tmp_path / "data", clock=clock, message_rate=2.0, message_burst=1) as house:
        alice, bob = await house.enter("alice"), await house.enter("bob")
        await alice.says("lobby", "one")
        accepted, refusal = await alice.call("message", draft("two"))
        assert (accepted, refusal["code"]) == (False, "too-fast")
        clock.advance(0.5)
        assert (await alice.call("message", draft("two")))[1]["seq"] == 2
        assert [(await bob.hears())["content"] for _ in range(2)] == ["one", "two"]


async def test_further_arguments_are_ignored(connect: Connect) -> None:
    alice = await connect(auth={"dialect": "full"})
    await alice.joins(name="alice")
    accepted, answer = await alice.call("message", (draft(), "further", 5))
    assert accepted
    assert answer["seq"] == 1


@pytest.mark.parametrize(
    ("verb", "event", "payload"),
    [
        ("post", "message", draft("and now?")),
        ("history", "history", {"room": "lobby"}),
        ("post", "message", "and now?"),
    ],
)
async def test_what_nobody_foresaw_is_answered_with_where_to_find_it_and_nothing_else(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, verb: str, event: str, payload: Any
) -> None:
    """Whether it happens at once or later. The log knows what it was, and the connection goes on."""

    def fails(*_: object) -> None:
        raise RuntimeError("something private")

    alice = await lobby("alice")
    monkeypatch.setattr(messages, verb, fails)
    accepted, answer = await alice.call(event, payload)
    sentence = answer if isinstance(payload, str) else answer["message"]
    assert accepted is False
    assert isinstance(payload, str) or answer["code"] == "internal"
    assert "private" not in sentence
    [line] = [record for record in caplog.records if record.exc_info]
    assert line.getMessage().rpartition(" ")[2] in sentence
    monkeypatch.undo()
    assert (await alice.says("lobby", "I am still here"))["seq"] == 1


@pytest.mark.parametrize("transports", [("websocket",), ("polling",)])
@pytest.mark.parametrize(
    ("reader", "event", "payload"),
    [
        ("parse_room", "message", draft("and now?")),
        ("parse_room", "history", {"room": "lobby"}),
        ("parse_content", "message", "and now?"),
    ],
)
async def test_nor_does_it_cut_the_connection_where_it_happens_while_reading(
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    transports: tuple[str, ...],
    reader: str,
    event: str,
    payload: Any,
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("something private")

    alice = await connect(auth={"dialect": "full"}, transports=transports)
    await alice.joins(name="alice")
    monkeypatch.setattr(wire, reader, fails)
    accepted, answer = await alice.call(event, payload)
    assert accepted is False
    sentence = answer if isinstance(payload, str) else answer["message"]
    [line] = [record for record in caplog.records if record.exc_info]
    assert line.getMessage().rpartition(" ")[2] in sentence
    monkeypatch.undo()
    assert (await alice.says("lobby", "I am still here"))["seq"] == 1
