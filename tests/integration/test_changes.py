"""Editing and deleting one's own messages: the answer, the event, who hears it, and who may not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.clock import ManualClock
from tests.helpers.house import open_house

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Connect, Lobby
    from tests.helpers.clients import Client


GARDEN: dict[str, Any] = {"room": "garden", "name": "garden", "kind": "public", "topic": ""}

NO_OBJECT: list[Any] = [None, 5, [], b"x"]
NO_TEXT: list[Any] = [None, 5, "", " \n", [], "a\0b", "\ud83d"]
NO_ID: list[Any] = [None, 5, True, [], {}, b"1", 1.5]
NO_NUMBER: list[Any] = [None, -1, 1.5, "1", True, [], 2**53]


async def changes(client: Client, event: str, ident: str, **fields: Any) -> dict[str, Any]:
    """Edit or delete; returns the answer."""
    accepted, answer = await client.call(event, {"id": ident, **fields})
    assert accepted, answer
    return dict(answer)


async def refusal(client: Client, event: str, call: object) -> str:
    accepted, answer = await client.call(event, call)
    assert not accepted
    assert answer.keys() - {"retry_after"} == {"code", "message"}
    return str(answer["code"])


async def rows(client: Client, room: str = "lobby") -> list[dict[str, Any]]:
    accepted, page = await client.call("history", {"room": room, "limit": 100})
    assert accepted
    return list(page["messages"])


async def test_an_edit_is_answered_and_told_in_one_shape(lobby: Lobby) -> None:
    alice, bob = await lobby("alice"), await lobby("bob")
    said = await alice.says("lobby", "helo", "one")
    heard = await bob.hears()
    answer = await changes(alice, "edit", said["id"], content="hello")
    assert answer == heard | {"content": "hello", "changed": 2, "edited_at": answer["edited_at"]}
    assert answer["edited_at"] >= answer["sent_at"]
    assert await bob.hears() == answer
    assert await rows(bob) == [answer]
    assert (await bob.joins(cursor=1))["messages"] == [answer]
    await alice.hears_nothing()


async def test_a_deletion_empties_the_row_and_keeps_it(lobby: Lobby) -> None:
    alice, bob = await lobby("alice"), await lobby("bob")
    said = await alice.says("lobby", "oops", "one")
    heard = await bob.hears()
    await changes(alice, "edit", said["id"], content="oops!")
    await bob.hears()
    answer = await changes(alice, "delete", said["id"])
    assert answer == heard | {"content": "", "changed": 3, "deleted": True}
    assert await bob.hears() == answer
    assert await rows(bob) == [answer]
    assert (await alice.says("lobby", "next"))["seq"] == 4


async def test_the_authors_other_tabs_hear_it_too(lobby: Lobby) -> None:
    one, other = await lobby("alice"), await lobby("Alice")
    said = await one.says("lobby", "helo")
    await other.hears()
    assert (await changes(other, "edit", said["id"], content="hello"))["name"] == "alice"
    assert (await one.hears())["content"] == "hello"
    await other.hears_nothing()
    await changes(one, "delete", said["id"])
    assert (await other.hears())["deleted"]
    await one.hears_nothing()


async def test_who_was_away_catches_up(lobby: Lobby) -> None:
    """Each touched message once, in its newest state, in the order of the changes."""
    alice, bob = await lobby("alice"), await lobby("bob")
    ids = [(await alice.says("lobby", f"number {number}"))["id"] for number in range(5)]
    cursor = (await bob.joins())["cursor"]
    await bob.call("leave", {"room": "lobby"})
    for number, ident in enumerate((ids[3], ids[0], ids[3])):
        await changes(alice, "edit", ident, content=f"edit {number}")
    await changes(alice, "delete", ids[1])
    await alice.says("lobby", "new")
    answer = await bob.joins(cursor=cursor)
    assert [(row["id"], row["changed"]) for row in answer["messages"]] == [
        (ids[0], 7),
        (ids[3], 8),
        (ids[1], 9),
        ("lobby:10", 10),
    ]
    assert (answer["cursor"], answer["more"]) == (10, False)


async def test_a_repetition_is_answered_as_it_stands_and_told_to_nobody(lobby: Lobby) -> None:
    alice, bob = await lobby("alice"), await lobby("bob")
    said = await alice.says("lobby", "helo")
    edits = await asyncio.gather(*(changes(alice, "edit", said["id"], content="hello") for _ in range(5)))
    deletions = await asyncio.gather(*(changes(alice, "delete", said["id"]) for _ in range(5)))
    assert all(each == edits[0] for each in edits)
    assert all(each == deletions[0] for each in deletions)
    assert [(await bob.hears())["changed"] for _ in range(3)] == [1, 2, 3]
    await bob.hears_nothing()


async def test_a_retry_of_the_message_brings_no_text_back(lobby: Lobby) -> None:
    alice, bob = await lobby("alice"), await lobby("bob")
    draft = {"room": "lobby", "client_id": "one", "content": "helo"}
    first = await alice.call("message", draft)
    await changes(alice, "edit", first[1]["id"], content="hello")
    assert await alice.call("message", draft) == first
    await changes(alice, "delete", first[1]["id"])
    assert await alice.call("message", draft) == first
    assert [(await bob.hears())["content"] for _ in range(3)] == ["helo", "hello", ""]
    await bob.hears_nothing()
    assert [row["content"] for row in await rows(bob)] == [""]


async def test_refusals(lobby: Lobby) -> None:
    alice, bob, eve = await lobby("alice"), await lobby("bob"), await lobby("eve", "garden")
    ident = (await alice.says("lobby", "hers"))["id"]
    gone = (await alice.says("lobby", "gone"))["id"]
    await changes(alice, "delete", gone)
    for event in ("edit", "delete"):
        assert await refusal(bob, event, {"id": ident, "content": "his"}) == "forbidden"
        for unknown in ("lobby:99", "attic:1", "nonsense", "LOBBY:1", "lobby:01", "lobby:0", "lobby:-1", "", "\ud800"):
            assert await refusal(alice, event, {"id": unknown, "content": "x"}) == "not-found"
        for there_or_not in (ident, gone, "lobby:99"):
            assert await refusal(eve, event, {"id": there_or_not, "content": "x"}) == "not-found"
        for wrong in NO_ID:
            assert await refusal(alice, event, {"id": wrong, "content": "x"}) == "bad-request"
        for call in NO_OBJECT:
            assert await refusal(alice, event, call) == "bad-request"
    for content in NO_TEXT:
        assert await refusal(alice, "edit", {"id": ident, "content": content}) == "bad-request"
    assert await refusal(alice, "edit", {"id": ident, "content": "x" * 10_001}) == "too-long"
    assert await refusal(alice, "edit", {"id": gone, "content": "back"}) == "conflict"
    await alice.call("leave", {"room": "lobby"})
    assert await refusal(alice, "edit", {"id": ident, "content": "from outside"}) == "not-found"
    assert [row["content"] for row in await rows(bob)] == ["hers", ""]
    assert (await bob.says("lobby", "next"))["seq"] == 4


async def test_a_stranger_is_refused_before_the_first_join(connect: Connect, lobby: Lobby) -> None:
    alice, stranger = await lobby("alice"), await connect(auth={"dialect": "full"})
    ident = (await alice.says("lobby", "hello"))["id"]
    assert await refusal(stranger, "delete", {"id": ident}) == "not-found"


async def test_they_count_against_the_rate_of_messages(tmp_path: Path) -> None:
    async with open_house(tmp_path / "data", clock=ManualClock(), message_rate=1.0, message_burst=3) as house:
        alice = await house.enter("alice")
        ident = (await alice.says("lobby", "helo"))["id"]
        await changes(alice, "edit", ident, content="hello")
        await changes(alice, "delete", ident)
        assert await refusal(alice, "delete", {"id": ident}) == "too-fast"


@pytest.mark.parametrize("transports", [("websocket",), ("polling",)])
async def test_the_tutorial_dialect_hears_nothing_of_it(
    connect: Connect, lobby: Lobby, transports: tuple[str, ...]
) -> None:
    alice, simple = await lobby("alice"), await connect(transports=transports)
    await simple.call("join", "bob")
    ident = (await alice.says("lobby", "helo"))["id"]
    await asyncio.gather(
        changes(alice, "edit", ident, content="hello"),
        alice.says("lobby", "in between"),
        changes(alice, "delete", ident),
    )
    heard = [await simple.hears() for _ in range(2)]
    assert heard == [{"sender": "alice", "content": text} for text in ("helo", "in between")]
    await simple.hears_nothing()


async def test_what_was_said_simply_can_be_changed_in_the_full_dialect(connect: Connect, lobby: Lobby) -> None:
    simple, tab = await connect(), await lobby("bob")
    await simple.call("join", "bob")
    await simple.call("message", "helo")
    ident = (await tab.hears())["id"]
    assert (await changes(tab, "edit", ident, content="hello"))["content"] == "hello"
    await simple.hears_nothing()


async def test_a_call_with_a_string_is_answered_in_a_sentence(lobby: Lobby) -> None:
    alice = await lobby("alice")
    for event in ("edit", "delete", "read"):
        accepted, sentence = await alice.call(event, "lobby:1")
        assert not accepted
        assert isinstance(sentence, str)


async def test_a_deleted_text_is_nowhere_in_the_files(tmp_path: Path) -> None:
    secret, long = "the-password-is-swordfish", "a-long-regret " * 700
    async with open_house(tmp_path / "data") as house:
        alice = await house.enter("alice")
        await house.fill(f"kept {number}" for number in range(200))
        said = [await alice.says("lobby", text) for text in (secret, long, secret)]
        await house.fill(f"kept {number}" for number in range(200, 400))
        await changes(alice, "edit", said[0]["id"], content="nothing to see")
        for each in said[1:]:
            await changes(alice, "delete", each["id"])
        assert await house.server.house.store.answers()
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    held = {word: [path.name for path in files if word.encode() in path.read_bytes()] for word in (secret, long[:14])}
    assert held == {secret: [], long[:14]: []}
    assert any(b"kept 399" in path.read_bytes() for path in files)


class TestReading:
    """`read`: how far a person has read, on every connection of theirs."""

    async def test_it_is_told_to_the_persons_other_connections_alone(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house:
            phone, desk = await house.enter("alice", "garden"), await house.enter("alice")
            elsewhere = await house.enter("alice", "garden")
            bob, simple = await house.enter("bob", "garden"), await house.enter_simply("alice")
            for text in ("one", "two", "three"):
                await bob.says("garden", text)
            clock.advance(1)
            assert (await desk.hears("room"))["last"] == 0
            assert (await desk.hears("room"))["last"] == 3
            await phone.fence()
            phone.heard("room")
            assert await phone.call("read", {"room": "garden", "seq": 3}) == (True, {})
            clock.advance(0.5)
            mark = GARDEN | {"head": 3, "last": 3, "read": 3}
            assert await desk.hears("room") == mark
            assert await elsewhere.hears("room") == mark
            for each in (phone, bob, simple):
                await each.hears_nothing("room")

    async def test_it_is_kept_for_who_has_written_something(self, tmp_path: Path) -> None:
        async with open_house(tmp_path / "kept") as house:
            alice, bob, lurker = [await house.enter(name, "garden") for name in ("alice", "bob", "eve")]
            await alice.says("garden", "mine")
            for text in ("one", "two", "three"):
                await bob.says("garden", text)
            assert (await alice.joins("garden"))["room"]["read"] == 1
            for each in (alice, lurker):
                await each.call("read", {"room": "garden", "seq": 3})
                await each.call("read", {"room": "garden", "seq": 2})
            assert "read" not in (await lurker.joins("garden"))["room"]
        async with open_house(tmp_path / "kept") as house:
            alice, lurker = await house.enter("alice"), await house.enter("eve", "garden")
            mark = GARDEN | {"head": 4, "last": 4, "read": 3, "muted": False}
            assert await alice.hears("room") == mark
            assert (await alice.joins("garden"))["room"] == mark | {"may": ["post", "rename"]}
            assert "read" not in (await lurker.joins("garden"))["room"]

    async def test_an_edit_makes_nothing_unread(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house:
            alice, bob = await house.enter("alice"), await house.enter("bob", "garden")
            ident = (await bob.says("garden", "helo"))["id"]
            await alice.joins("garden")
            await alice.call("leave", {"room": "garden"})
            clock.advance(1)
            await alice.fence()
            alice.heard("room")
            await changes(bob, "edit", ident, content="hello")
            clock.advance(1)
            assert await alice.hears("room") == GARDEN | {"head": 2, "last": 1}

    async def test_refusals(self, lobby: Lobby) -> None:
        alice, bob = await lobby("alice"), await lobby("bob", "garden")
        assert await refusal(alice, "read", {"room": "garden", "seq": 1}) == "not-joined"
        for seq in NO_NUMBER:
            assert await refusal(alice, "read", {"room": "lobby", "seq": seq}) == "bad-request"
        for call in (*NO_OBJECT, {}, {"room": "no such id!", "seq": 1}):
            assert await refusal(alice, "read", call) == "bad-request"
        await bob.hears_nothing("room")

    async def test_a_number_beyond_the_room_is_not_believed(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with open_house(tmp_path / "data", clock=clock) as house:
            alice, other = await house.enter("alice"), await house.enter("alice")
            await alice.says("lobby", "mine")
            assert await alice.call("read", {"room": "lobby", "seq": 2**53 - 1}) == (True, {})
            clock.advance(0.5)
            await other.hears_nothing("room")
            assert (await other.joins())["room"]["read"] == 1
